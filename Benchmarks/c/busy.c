// busy [PLACE]: keeps one processor busy, the last of those it may use (or the PLACE-th), until it is killed, its parent ends,
// or ten minutes are over.
// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

int main(int argc, char **argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  bench_limit(600);
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set)) bench_fail("sched_getaffinity", errno);
  bench_pin(bench_processor(argc > 1 ? atoi(argv[1]) : CPU_COUNT(&set) - 1, 1));
  for (;;) bench_work(1000000);
}
