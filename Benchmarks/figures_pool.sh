# The figures of the pool; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

round_of_two_allocators() {
  for kind in pool mutex; do take "pool.two.$kind pool.share.$kind" "$build/pool_blocks" two $kind $ms; done
}

figures_pool() {
  if wanted pool.alone; then
    for size in $([ $quick = 1 ] && echo 64 || echo 16 64 256 1024); do
      repeat take "pool.$size malloc.$size pool.held.$size malloc.held.$size" "$build/pool_blocks" alone $size $batches
      figure pool.alone pool.$size malloc.$size ns 3 "pool, allocate and free $size bytes, beside malloc and free"
      figure pool.alone pool.held.$size malloc.held.$size ns 3 "the same, 32 allocated, then freed"
    done
  fi
  if wanted pool.two; then
    repeat round_of_two_allocators
    figure pool.two pool.two.pool pool.two.mutex ns 1.0 \
      'pool, two processes, beside a process-shared pthread_mutex_t around a free list'
    figure pool.two pool.share.pool pool.share.mutex % - 'the same, the share of the process that got it less often'
  fi
}
