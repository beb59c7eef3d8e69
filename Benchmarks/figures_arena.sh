# The figures of the arena; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

figures_arena() {
  if wanted arena.read; then
    for size in $([ $quick = 1 ] && echo 4096 || echo 64 4096 65536 1048576); do
      repeat take "arena.read.$size memcpy.$size" "$build/arena_reads" read $size $batches
      if [ $size = 64 ]; then aim=-; else aim=1.3; fi
      figure arena.read arena.read.$size memcpy.$size ns $aim "arena, a read of $size bytes, beside memcpy"
    done
  fi
  if wanted arena.save; then
    repeat take 'arena.save arena.copy arena.change' "$build/arena_reads" save 16384 $batches
    figure arena.save arena.save arena.copy ns 1.2 'arena, a checkpoint of 16 KiB, beside memcpy and CRC-32C'
    figure arena.change arena.change - ns - 'arena, an empty change'
  fi
  if wanted arena.transaction; then
    repeat take 'arena.transaction arena.fork' "$build/arena_reads" transact $batches
    figure arena.transaction arena.transaction arena.fork us 1.5 \
      'arena, a transaction in 4 KiB of 16 MiB, beside fork, _exit, waitpid'
  fi
}
