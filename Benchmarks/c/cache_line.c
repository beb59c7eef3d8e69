// cache_line [MS]: one cache line there and back between two processes on two processors, pinned. Prints nanoseconds.
// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

typedef struct line {
  _Alignas(BENCH_LINE) uint64_t turn;
  _Alignas(BENCH_LINE) int64_t best;
  uint64_t batches;
  int processors[2];
} line;

#define BATCH 2000

// The median of batches: one in which a process lost its processor counts as slow, and no more.
static void bounce(void *context, unsigned index) {
  line *l = (line *)context;
  bench_pin(l->processors[index]);
  uint64_t turn = index;
  int64_t took[4096];
  for (uint64_t batch = 0; batch < l->batches; batch++) {
    int64_t start = bench_now();
    for (int i = 0; i < BATCH; i++, turn += 2) {
      while (__atomic_load_n(&l->turn, __ATOMIC_ACQUIRE) != turn) {
      }
      __atomic_store_n(&l->turn, turn + 1, __ATOMIC_RELEASE);
    }
    took[batch] = bench_now() - start;
  }
  if (index) return;
  bench_sort(took, l->batches);
  l->best = bench_permille(took, l->batches, 500);
}

int main(int argc, char **argv) {
  bench_limit(60);
  line *l = bench_share(sizeof *l);
  l->processors[0] = bench_processor(0, 2);
  l->processors[1] = bench_processor(1, 2);
  if (l->processors[0] < 0) bench_skip("only one processor");
  uint64_t ms = argc > 1 ? strtoull(argv[1], NULL, 10) : 300;
  l->batches = ms * 3 < 11 ? 11 : ms * 3 > 4096 ? 4096 : ms * 3;
  pid_t pids[2] = {bench_fork(bounce, l, 0), bench_fork(bounce, l, 1)};
  bench_join(pids, 2);
  printf("%.1f\n", (double)l->best / BATCH);
  return 0;
}
