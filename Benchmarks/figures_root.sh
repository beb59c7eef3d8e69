# The figures of the root; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

figures_root() {
  if [ $quick = 1 ]; then samples=20 large=2 many=3000 daemons=50; else samples=150 large=64 many=100000 daemons=1000; fi
  if wanted root.restart; then
    for shape in "2 16" "$daemons 16" "$large 16384"; do
      name="root.restart.$(echo "$shape" | tr ' ' .)"
      # shellcheck disable=SC2086
      repeat take "$name $name.bare" "$build/root_restart" one $shape $samples
      figure root.restart "$name" "$name.bare" us 1.6 \
        "root, SIGKILL to the successor's first instruction, ${shape% *} daemons of ${shape#* } KiB, beside pidfd, wait, fork"
    done
  fi
  if wanted root.supervised; then
    take 'root.own root.own.bare' "$build/root_restart" one 2 16 $samples
    for kind in runit s6 supervisord otp; do
      take "root.$kind" "$build/root_supervised" $kind $([ $quick = 1 ] && echo 1 || echo 5)
      figure root.supervised root.own "root.$kind" us - "root, SIGKILL to the successor's first instruction, beside $kind, which has to exec"
    done
  fi
  if wanted root.all; then
    repeat take 'root.all root.all.bare root.all.forks root.all.deaths' "$build/root_restart" all $daemons 1
    figure root.all root.all root.all.forks ms 1.5 "root, $daemons daemons killed at once, until the last is back, beside as many forks"
    figure root.all root.all root.all.bare ms - "root, $daemons daemons killed at once, beside kill, wait, fork of as many"
    figure root.all root.all.deaths root.all.forks ms - "the deaths of $daemons processes alone, beside as many forks"
  fi
  if wanted root.transaction; then
    repeat take 'root.transaction root.transaction.bare' "$build/root_restart" transaction 16384 $samples
    figure root.transaction root.transaction root.transaction.bare us 1.5 \
      'root, a transaction that changes 4 KiB of 16 MiB, beside fork, exit, wait'
  fi
  if wanted root.many; then
    take 'root.many.memory root.many.descriptors root.many.time' "$build/root_restart" many $many
    figure root.many root.many.memory - KiB 16 "root, memory after $many restarts, more than at the start"
    figure root.many root.many.descriptors - '' 0 "root, descriptors after $many restarts, more than at the start"
  fi
  if wanted root.idle; then
    take root.idle "$build/root_restart" idle 100 $((ms * 10))
    figure root.idle root.idle - '' 1 'root, wakes in a heartbeat period, 100 idle daemons'
  fi
}
