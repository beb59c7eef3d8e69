# The figures of the process pair; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

figures_pair() {
  for size in 64 1024; do
    wanted pair.step-$size || continue
    repeat take "pair.step-$size pair.save-$size pair.commit-$size" "$build/pair_steps" $size ${batches}0
    name="process pair, a step of $size bytes"
    figure pair.step-$size pair.step-$size pair.save-$size ns 2 "$name: try, commit, emitted, beside a checkpoint's commit of as many"
    figure pair.step-$size pair.commit-$size pair.save-$size ns - "$name: the commit alone, beside it"
  done
  # Their program is of Swift: with --swift.
  [ $swift = 1 ] || return 0
  for size in 64 1024; do
    wanted pair.swift-step-$size || continue
    repeat take "pair.swift-step-$size pair.swift-save-$size pair.c-save-$size" \
      "$build/products/benchmark-pair" bench-steps-$$ steps $size $batches
    name="process pair in Swift, a step of $size bytes and nothing to be put out"
    figure pair.swift-step-$size pair.swift-step-$size pair.c-save-$size ns 2 "$name, beside C's commit of a checkpoint of as many"
    figure pair.swift-save-$size pair.swift-step-$size pair.swift-save-$size ns - "the same, beside Checkpoint.save"
  done
  if [ $quick = 1 ]; then samples=3; else samples=30; fi
  if wanted pair.takeover; then
    repeat take 'pair.takeover pair.floor pair.floor-sized' "$build/pair_takeover" kill $samples "$build/products/benchmark-pair"
    figure pair.takeover pair.takeover pair.floor us 3 \
      "process pair, SIGKILL of the primary to the backup's first step, beside pidfd, kill, fork"
    figure pair.takeover-sized pair.takeover pair.floor-sized us - \
      'the same, beside that of a program of the same size'
  fi
  if wanted pair.run; then
    repeat take 'pair.run pair.run-command pair.run-floor' "$build/pair_run" $samples "$build/products/muster"
    figure pair.run pair.run pair.run-floor us - \
      "muster pair run, SIGKILL of the runner to the next command's first instruction, beside pidfd, kill, fork, exec"
    figure pair.run-command pair.run-command pair.run-floor us - 'the same, SIGKILL of the command'
  fi
  if wanted pair.hang; then
    take 'pair.hang pair.missed' "$build/pair_takeover" hang $samples "$build/products/benchmark-pair"
    figure pair.hang pair.hang pair.missed periods 1 \
      'process pair, SIGSTOP of the primary to the first step, beside the beats that may be missing and one period'
  fi
}
