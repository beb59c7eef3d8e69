// barrier_rounds KIND PARTIES ROUNDS [--for-ms MS] [--work-us MAX] [--seed SEED] [--turns-per-us T]
//
// PARTIES processes meet ROUNDS times. ROUNDS of 0: as many as take about --for-ms milliseconds (300). With --work-us each worker
// does, before each round, a piece of work of 0 to MAX microseconds that follows from seed, worker and round alone.
//
// Prints: nanoseconds of wall time a round (mean over the workers, from leaving a first meeting to leaving the last),
// nanoseconds of processor time a round (all workers together), rounds. Workers are not pinned.
// SPDX-License-Identifier: Apache-2.0
#include "barrier_kinds.h"
#include "bench.h"

#define WARM_UP 20

typedef struct worker {
  _Alignas(BENCH_LINE) int64_t wall;
  int64_t cpu;
} worker;

typedef struct plan {
  const barrier_kind *kind;
  void *memory;
  unsigned parties;
  uint64_t work_us;
  uint64_t seed;
  double turns_per_us;
  int64_t for_ns;
  uint64_t *rounds;  // shared; settled by worker 0
  worker *workers;   // shared
} plan;

static void meet(const plan *p, void *barrier, unsigned index, uint64_t rounds) {
  for (uint64_t round = 0; round < rounds; round++) {
    if (p->work_us) {
      double us = (double)(bench_random(p->seed, index, round) % (p->work_us * 1000)) / 1000;
      bench_work((uint64_t)(us * p->turns_per_us));
    }
    p->kind->wait(barrier);
  }
}

static void settle_rounds(const plan *p, void *barrier, unsigned index) {
  uint64_t probe = WARM_UP;
  for (;;) {
    int64_t start = bench_now();
    meet(p, barrier, index, probe);
    int64_t took = bench_now() - start;
    if (index == 0 && *p->rounds == 0 && (took * 10 >= p->for_ns || probe >= 20480)) {
      double wanted = (double)p->for_ns / ((double)(took + 1) / (double)probe);
      *p->rounds = wanted < 10 ? 10 : (uint64_t)wanted;
    }
    p->kind->wait(barrier);
    uint64_t settled = *(volatile uint64_t *)p->rounds;
    p->kind->wait(barrier);
    if (settled) return;
    probe *= 4;
  }
}

static void work(void *context, unsigned index) {
  const plan *p = (const plan *)context;
  void *barrier = p->kind->join(p->memory, p->parties);
  settle_rounds(p, barrier, index);
  uint64_t rounds = *p->rounds;
  p->kind->wait(barrier);
  int64_t cpu = bench_cpu(), start = bench_now();
  meet(p, barrier, index, rounds);
  p->workers[index].wall = bench_now() - start;
  p->workers[index].cpu = bench_cpu() - cpu;
  p->kind->leave(barrier);
}

static int usage(void) {
  fputs("usage: barrier_rounds KIND PARTIES ROUNDS [--for-ms MS] [--work-us MAX] [--seed SEED] [--turns-per-us T]\n"
        "       barrier_rounds --turns-per-us        (measures and prints it)\nkinds:\n", stderr);
  for (const barrier_kind *kind = barrier_kinds; kind->name; kind++) fprintf(stderr, "  %-9s%s\n", kind->name, kind->what);
#ifdef BENCH_BOOST
  fprintf(stderr, "  %-9s%s\n", barrier_kind_boost.name, barrier_kind_boost.what);
#endif
  return 2;
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "--turns-per-us")) return printf("%.1f\n", bench_turns_per_us()) < 0;
  if (argc < 4 || argc % 2) return usage();
  plan p = {.kind = barrier_kind_named(argv[1]), .parties = (unsigned)atoi(argv[2]), .seed = 1, .for_ns = 300000000};
  if (!p.kind && !strcmp(argv[1], "boost")) bench_skip("built without Boost.Interprocess");
  if (!p.kind || p.parties < 1 || p.parties > 256) return usage();
  for (int i = 4; i < argc; i += 2) {
    if (!strcmp(argv[i], "--for-ms")) p.for_ns = atol(argv[i + 1]) * 1000000;
    else if (!strcmp(argv[i], "--work-us")) p.work_us = strtoull(argv[i + 1], NULL, 10);
    else if (!strcmp(argv[i], "--seed")) p.seed = strtoull(argv[i + 1], NULL, 10);
    else if (!strcmp(argv[i], "--turns-per-us")) p.turns_per_us = atof(argv[i + 1]);
    else return usage();
  }
  bench_limit(120);
  if (p.work_us && p.turns_per_us <= 0) p.turns_per_us = bench_turns_per_us();
  p.rounds = bench_share(sizeof *p.rounds);
  *p.rounds = strtoull(argv[3], NULL, 10);
  p.workers = bench_share(p.parties * sizeof *p.workers);
  p.memory = bench_share(p.kind->size(p.parties));
  p.kind->init(p.memory, p.parties);

  pid_t pids[256];
  for (unsigned i = 0; i < p.parties; i++) pids[i] = bench_fork(work, &p, i);
  bench_join(pids, p.parties);
  if (p.kind->remove) p.kind->remove(p.memory);

  double wall = 0, cpu = 0, rounds = (double)*p.rounds;
  for (unsigned i = 0; i < p.parties; i++) {
    wall += (double)p.workers[i].wall;
    cpu += (double)p.workers[i].cpu;
  }
  printf("%.1f %.1f %.0f\n", wall / p.parties / rounds, cpu / rounds, rounds);
  return 0;
}
