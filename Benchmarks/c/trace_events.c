// An event of the flight recorder beside reading the clock that it carries: trace_events BATCHES
//
// Prints nanoseconds of: an event by the processor's counter (4,096 are kept), the same out of line, and of a recorder
// of a million events (more than the caches hold); reading the counter; an event while the trace is frozen; an event by
// CLOCK_MONOTONIC; clock_gettime. Where the counter is not to be used all are by CLOCK_MONOTONIC.
// SPDX-License-Identifier: Apache-2.0
#include <muster/muster.h>

#include "bench.h"

#define BATCH 20000

static muster_trace_recorder *recorder_of(uint32_t events, muster_trace_clock clock, muster_trace **trace) {
  muster_trace_shape shape = {.recorders = 1, .events = events, .names = 1, .clock = clock};
  size_t size = muster_trace_size(&shape);
  void *memory = bench_share(size);
  muster_trace_recorder *recorder;
  bench_check(muster_trace_init(memory, size, &shape), "muster_trace_init");
  bench_check(muster_trace_attach(memory, size, trace), "muster_trace_attach");
  bench_check(muster_trace_join(*trace, NULL, &recorder), "muster_trace_join");
  for (uint32_t i = 0; i < events; i++) bench_check(muster_trace_instant(recorder, 0, i), "muster_trace_instant");
  return recorder;
}

static int64_t time_events(muster_trace_recorder *recorder) {
  int64_t start = bench_now();
  for (uint64_t i = 0; i < BATCH; i++) {
    int status = muster_trace_instant(recorder, 1, i);
    __asm__ __volatile__("" ::"r"(status) : "memory");
  }
  return bench_now() - start;
}

static int64_t time_called(muster_trace_recorder *recorder) {
  int64_t start = bench_now();
  for (uint64_t i = 0; i < BATCH; i++) {
    int status = muster_trace_record(recorder, MUSTER_TRACE_INSTANT, 1, i);
    __asm__ __volatile__("" ::"r"(status) : "memory");
  }
  return bench_now() - start;
}

static int64_t time_clock(uint32_t clock) {
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    uint64_t now = muster_trace_ticks(clock);
    __asm__ __volatile__("" ::"r"(now) : "memory");
  }
  return bench_now() - start;
}

static int64_t time_gettime(void) {
  struct timespec now;
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    clock_gettime(CLOCK_MONOTONIC, &now);
    __asm__ __volatile__("" ::"r"(&now) : "memory");
  }
  return bench_now() - start;
}

int main(int argc, char **argv) {
  enum { KINDS = 7 };
  long batches = argc == 2 ? atol(argv[1]) : 0;
  if (batches < 1) {
    fputs("usage: trace_events BATCHES\n", stderr);
    return 2;
  }
  bench_limit(170);
  muster_trace *trace, *other, *stopped;
  muster_trace_recorder *fast = recorder_of(4096, MUSTER_TRACE_CLOCK_BEST, &trace);
  muster_trace_recorder *large = recorder_of(1 << 20, MUSTER_TRACE_CLOCK_BEST, &trace);
  muster_trace_recorder *slow = recorder_of(4096, MUSTER_TRACE_CLOCK_MONOTONIC, &other);
  muster_trace_recorder *frozen = recorder_of(4096, MUSTER_TRACE_CLOCK_BEST, &stopped);
  bench_check(muster_trace_freeze(stopped), "muster_trace_freeze");
  size_t count = (size_t)batches;
  int64_t *took = calloc(KINDS * count, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  for (size_t i = 0; i < count; i++) {
    int64_t one[KINDS] = {time_events(fast),   time_called(fast), time_events(large), time_clock(fast->clock),
                          time_events(frozen), time_events(slow), time_gettime()};
    for (size_t kind = 0; kind < KINDS; kind++) took[kind * count + i] = one[kind];
  }
  for (size_t kind = 0; kind < KINDS; kind++) {
    bench_sort(took + kind * count, count);
    printf("%.3f ", (double)bench_permille(took + kind * count, count, 500) / BATCH);
  }
  free(took);
  return puts("") < 0;
}
