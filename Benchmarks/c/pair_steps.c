// A step of a process pair (try, commit, emitted) beside one muster_checkpoint_save of as many bytes: pair_steps SIZE BATCHES
//
// Prints nanoseconds of: a step, a save, and the commit of the step alone; batch by batch in turn.
// SPDX-License-Identifier: Apache-2.0
#include <muster/muster.h>

#include "bench.h"

#define BATCH 5000
#define LARGEST 65536

typedef struct bench {
  muster_pair *pair;
  muster_checkpoint *checkpoint;
  uint64_t step;
  size_t size;
  unsigned char state[LARGEST];
} bench;

static char name[64];

static void remove_region(void) { (void)!muster_region_remove(name, MUSTER_REGION_FORCE); }

static void use(void *memory) { __asm__ __volatile__("" ::"r"(memory) : "memory"); }

static void commit(bench *of) {
  muster_pair_entry entry = {
      .step = of->step, .kind = MUSTER_PAIR_STEP, .state = of->state, .state_length = of->size, .position = of->step};
  bench_check(muster_pair_commit(of->pair, &entry), "muster_pair_commit");
}

static int64_t time_steps(bench *of) {
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    use(of->state);
    bench_check(muster_pair_try(of->pair, ++of->step), "muster_pair_try");
    commit(of);
    bench_check(muster_pair_emitted(of->pair, of->step), "muster_pair_emitted");
  }
  return bench_now() - start;
}

static int64_t time_saves(bench *of) {
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    use(of->state);
    bench_check(muster_checkpoint_save(of->checkpoint, of->state, of->size, NULL), "muster_checkpoint_save");
  }
  return bench_now() - start;
}

static int64_t time_commits(bench *of) {
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    use(of->state);
    of->step++;
    commit(of);
  }
  return bench_now() - start;
}

static void prepare(bench *of) {
  muster_checkpoint_shape shape = {.capacity = of->size, .history = 4};
  size_t bytes = muster_checkpoint_size(&shape);
  void *memory = bench_share(bytes);
  bench_check(muster_checkpoint_init(memory, bytes, &shape), "muster_checkpoint_init");
  bench_check(muster_checkpoint_attach(memory, bytes, &of->checkpoint), "muster_checkpoint_attach");
  bench_check(muster_checkpoint_take_over(of->checkpoint, NULL), "muster_checkpoint_take_over");
  snprintf(name, sizeof name, "muster-bench-%d", (int)getpid());
  muster_pair_options options = {.shape = {.state = of->size, .output = 64, .history = 4},
                                 .flags = MUSTER_REGION_CREATE};
  uint64_t epoch;
  bench_check(muster_pair_open(name, &options, &of->pair), "muster_pair_open");
  atexit(remove_region);
  bench_check(muster_pair_lead(of->pair, &epoch), "muster_pair_lead");
}

int main(int argc, char **argv) {
  static bench of;
  of.size = argc == 3 ? (size_t)atol(argv[1]) : 0;
  size_t batches = argc == 3 ? (size_t)atol(argv[2]) : 0;
  if (!of.size || of.size > LARGEST || !batches || batches > 100000) {
    fputs("usage: pair_steps SIZE BATCHES\n", stderr);
    return 2;
  }
  bench_limit(170);
  prepare(&of);
  for (size_t i = 0; i < of.size; i++) of.state[i] = (unsigned char)(i * 7);
  int64_t (*const kinds[])(bench *) = {time_steps, time_saves, time_commits};
  int64_t *took = calloc(3 * batches, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  for (size_t i = 0; i < batches; i++)
    for (size_t kind = 0; kind < 3; kind++) took[kind * batches + i] = kinds[kind](&of);
  for (size_t kind = 0; kind < 3; kind++) {
    bench_sort(took + kind * batches, batches);
    printf("%.3f ", (double)bench_permille(took + kind * batches, batches, 500) / BATCH);
  }
  free(took);
  bench_check(muster_checkpoint_close(of.checkpoint), "muster_checkpoint_close");
  bench_check(muster_pair_close(of.pair), "muster_pair_close");
  return puts("") < 0;
}
