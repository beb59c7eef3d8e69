// A commit and a read of 256 bytes beside copying and summing as many: checkpoint_commits BATCHES
//
// Prints nanoseconds of: a commit, a read, the copy with its checksum (memcpy, then the library's own CRC-32C), and
// clock_gettime, which is part of a commit.
// SPDX-License-Identifier: Apache-2.0
#include <muster/muster.h>

#include "../../Sources/CMuster/internal/crc32c.h"
#include "bench.h"

#define SIZE 256
#define BATCH 5000

static void use(void *memory) { __asm__ __volatile__("" ::"r"(memory) : "memory"); }

typedef struct arena {
  _Alignas(128) unsigned char memory[1 << 16];
  unsigned char from[SIZE], to[16][SIZE];
  muster_checkpoint *checkpoint;
} arena;

static int64_t time_commits(arena *a) {
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    use(a->from);
    bench_check(muster_checkpoint_save(a->checkpoint, a->from, SIZE, NULL), "muster_checkpoint_save");
  }
  return bench_now() - start;
}

static int64_t time_reads(arena *a) {
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    bench_check(muster_checkpoint_read(a->checkpoint, a->to[0], SIZE, NULL), "muster_checkpoint_read");
    use(a->to[0]);
  }
  return bench_now() - start;
}

// To as many places as the checkpoint has slots.
static int64_t time_copies(arena *a) {
  uint32_t sum = 0;
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    unsigned char *to = a->to[i % 8];
    use(a->from);
    memcpy(to, a->from, SIZE);
    use(to);
    sum += muster_crc32c(0, to, SIZE);
  }
  use(&sum);
  return bench_now() - start;
}

static int64_t time_clock(arena *a) {
  struct timespec now;
  (void)a;
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    clock_gettime(CLOCK_REALTIME, &now);
    use(&now);
  }
  return bench_now() - start;
}

int main(int argc, char **argv) {
  long batches = argc == 2 ? atol(argv[1]) : 0;
  if (batches < 1) {
    fputs("usage: checkpoint_commits BATCHES\n", stderr);
    return 2;
  }
  bench_limit(170);
  arena *a = bench_share(sizeof *a);
  // Eight slots.
  muster_checkpoint_shape shape = {.capacity = SIZE, .history = 5, .writers = 2};
  bench_check(muster_checkpoint_init(a->memory, sizeof a->memory, &shape), "muster_checkpoint_init");
  bench_check(muster_checkpoint_attach(a->memory, sizeof a->memory, &a->checkpoint), "muster_checkpoint_attach");
  bench_check(muster_checkpoint_take_over(a->checkpoint, NULL), "muster_checkpoint_take_over");
  for (size_t i = 0; i < SIZE; i++) a->from[i] = (unsigned char)(i * 7);
  int64_t (*const kinds[])(arena *) = {time_commits, time_reads, time_copies, time_clock};
  int64_t *took = calloc(4 * (size_t)batches, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  for (size_t i = 0; i < (size_t)batches; i++)
    for (size_t kind = 0; kind < 4; kind++) took[kind * (size_t)batches + i] = kinds[kind](a);
  for (size_t kind = 0; kind < 4; kind++) {
    int64_t *of = took + kind * (size_t)batches;
    bench_sort(of, (size_t)batches);
    printf("%.3f ", (double)bench_permille(of, (size_t)batches, 500) / BATCH);
  }
  free(took);
  bench_check(muster_checkpoint_close(a->checkpoint), "muster_checkpoint_close");
  return puts("") < 0;
}
