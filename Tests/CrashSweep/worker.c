// Sweeping the points of a case, or a part of them, in one worker.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "harness.h"

enum { RECORDINGS = 8, REPEATS = 12 };

static void tick(int number) { (void)number; }

// Interrupts every wait of the tracer ten times a second, so that it can look at its deadline.
static void start_ticks(void) {
  struct sigaction action = {.sa_handler = tick};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval each = {{0, 100000}, {0, 100000}};
  setitimer(ITIMER_REAL, &each, NULL);
}

static void *take(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

static int trace_new(sweep_trace *trace) {
  trace->at = take((STEPS_MAX + 1) * sizeof *trace->at);
  trace->visit = take((STEPS_MAX + 1) * sizeof *trace->visit);
  trace->points = 0;
  return trace->at && trace->visit;
}

typedef struct visits {
  uintptr_t address;
  uint32_t count;
} visits;

// Counts, in an open table of the addresses met so far.
static uint32_t visit(visits *table, size_t mask, uintptr_t address) {
  size_t slot = (address * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & mask;
  while (table[slot].count && table[slot].address != address) slot = (slot + 1) & mask;
  table[slot].address = address;
  return ++table[slot].count;
}

static int count_visits(sweep_trace *trace) {
  size_t slots = 4 * (size_t)STEPS_MAX;
  visits *table = take(slots * sizeof *table);
  if (!table) return 0;
  for (uint32_t i = 0; i <= trace->points; i++) trace->visit[i] = visit(table, slots - 1, trace->at[i]);
  munmap(table, slots * sizeof *table);
  return 1;
}

static uint32_t difference(const sweep_trace *one, const sweep_trace *two) {
  uint32_t i = 0;
  while (i < one->points && i < two->points && one->at[i] == two->at[i]) i++;
  return i;
}

static void add_point(const sweep_trace *trace, uint32_t point, char *text, size_t size) {
  char where[1024];
  symbols_point(trace, point, where, sizeof where);
  size_t used = strlen(text);
  snprintf(text + used, size - used, "\n     %s", where);
}

static sweep_verdict told(sweep_tally *tally, sweep_verdict verdict, uint32_t point, const char *text) {
  tally->verdict = verdict;
  tally->failed_at = point;
  snprintf(tally->text, sizeof tally->text, "%s", text);
  return verdict;
}

// Until two recordings in a row are the same. A peer that runs beside the operator may be quicker once; an operation
// that depends on chance differs each time.
static sweep_verdict record_twice(const sweep_case *of, sweep_trace *trace, sweep_tally *tally) {
  sweep_trace other;
  char why[2048] = "";
  if (!trace_new(trace) || !trace_new(&other)) return told(tally, SWEEP_BROKEN, 0, "no memory for the recording");
  sweep_verdict verdict = run_record(of, trace, why, sizeof why);
  if (verdict && trace->points) add_point(trace, trace->points - 1, why, sizeof why);
  if (verdict) return told(tally, verdict, trace->points, why);
  for (int turn = 1; turn < RECORDINGS; turn++) {
    verdict = run_record(of, &other, why, sizeof why);
    if (verdict && other.points) add_point(&other, other.points - 1, why, sizeof why);
    if (verdict) return told(tally, verdict, other.points, why);
    uint32_t same = difference(trace, &other);
    if (same == trace->points && trace->points == other.points)
      return count_visits(trace) ? SWEEP_OK : told(tally, SWEEP_BROKEN, 0, "no memory for the recording");
    char one[128], two[128];
    symbols_name(trace->at[same], one, sizeof one);
    symbols_name(other.at[same], two, sizeof two);
    snprintf(why, sizeof why, "%u and %u instructions; number %u is at %s, then at %s", trace->points, other.points,
             same, one, two);
    sweep_trace swap = *trace;
    *trace = other, other = swap;
  }
  return told(tally, SWEEP_UNSTEADY, 0, why);
}

static uint64_t random_next(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

// Marks both sides of each system call; where the sweep is to be brief, of SWEEP_BRIEF_CALLS of them, or a few more or less. What a
// case is there to find it is to find always.
static void choose_calls(const sweep_case *of, const sweep_choice *choice, const sweep_trace *trace, uint64_t *state,
                         uint8_t *marks) {
  uint32_t calls = 0;
  for (uint32_t i = 0; i < trace->points; i++) calls += (uint32_t)stepper_is_system_call(trace->at[i]);
  int all = !choice->brief || of->expect || calls <= SWEEP_BRIEF_CALLS;
  for (uint32_t i = 0; i < trace->points; i++)
    if (stepper_is_system_call(trace->at[i]) && (all || random_next(state) % calls < SWEEP_BRIEF_CALLS))
      marks[i] = marks[i + 1] = 1;
}

// Marks the points to try: all; or a random one in each of `wanted` equal parts, both ends, and both sides of system calls.
static void choose(const sweep_case *of, const sweep_choice *choice, const sweep_trace *trace, uint8_t *marks) {
  uint32_t count = trace->points + 1;
  uint32_t wanted = choice->sample ? choice->sample : of->sample ? of->sample : SWEEP_SAMPLE;
  if (wanted < of->minimum) wanted = of->minimum;
  if (choice->brief && wanted > SWEEP_BRIEF) wanted = SWEEP_BRIEF;
  int whole = choice->all || wanted >= count ||
              (!choice->sample && !choice->brief && !of->sample && count <= SWEEP_WHOLE);
  if (choice->at >= 0) {
    if ((uint64_t)choice->at < count) marks[choice->at] = 1;
    return;
  }
  if (whole) {
    memset(marks, 1, count);
    return;
  }
  uint64_t state = choice->seed;
  for (const char *c = of->name; *c; c++) state = state * 31 + (unsigned char)*c;
  for (uint32_t i = 0; i < wanted; i++) {
    uint32_t from = (uint32_t)((uint64_t)count * i / wanted), to = (uint32_t)((uint64_t)count * (i + 1) / wanted);
    marks[from + random_next(&state) % (to - from)] = 1;
  }
  marks[0] = marks[trace->points] = 1;
  choose_calls(of, choice, trace, &state, marks);
}

static sweep_verdict try_point(const sweep_case *of, sweep_injection injection, const sweep_trace *trace,
                               uint32_t point, int plain, sweep_tally *tally) {
  char why[2048] = "";
  sweep_verdict verdict = SWEEP_UNSTEADY;
  for (int turn = 0; turn < REPEATS && verdict == SWEEP_UNSTEADY; turn++)
    verdict = run_point(of, injection, trace, point, plain, why, sizeof why);
  if (!verdict) {
    tally->tried++;
    tally->before += sweep->outcome == SWEEP_BEFORE;
    tally->after += sweep->outcome == SWEEP_AFTER;
    tally->slow += run_check_time > 900000000;
    return verdict;
  }
  add_point(trace, point, why, sizeof why);
  return told(tally, verdict, point, why);
}

static void sweep_points(const sweep_case *of, sweep_injection injection, const sweep_choice *choice,
                         const sweep_trace *trace, const uint8_t *mine, sweep_tally *tally) {
  for (uint32_t point = 0; point <= trace->points; point++)
    if (mine[point] && try_point(of, injection, trace, point, choice->plain || of->children, tally)) return;
  char where[2048] = "";
  if (choice->at >= 0 && choice->at <= trace->points) add_point(trace, (uint32_t)choice->at, where, sizeof where);
  told(tally, SWEEP_OK, 0, where);
}

// Each point to the next part in turn, so that all have as many near the end, where the way is longest.
static void keep_part(uint8_t *marks, uint32_t points, uint32_t part, uint32_t parts) {
  uint32_t number = 0;
  for (uint32_t point = 0; point <= points; point++)
    if (marks[point]) marks[point] = number++ % parts == part;
}

// Both injections go by one pair of recordings: what is recorded knows of neither.
void worker_sweep(const sweep_case *of, uint32_t ways, const sweep_choice *choice, uint32_t part, uint32_t parts,
                  sweep_tally tallies[2]) {
  sweep_trace trace;
  sweep_tally recorded = {0};
  int64_t start = sweep_now();
  start_ticks();
  uint8_t *marks = take(STEPS_MAX + 1);
  if (of->looks && !isolated) recorded.skipped = 1;
  else if (!marks) told(&recorded, SWEEP_BROKEN, 0, "no memory for the points");
  else if (!record_twice(of, &trace, &recorded)) {
    recorded.points = trace.points;
    choose(of, choice, &trace, marks);
    keep_part(marks, trace.points, part, parts);
  }
  for (uint32_t way = SWEEP_CRASH; way <= SWEEP_STALL; way++) {
    if (!(ways & way)) continue;
    sweep_tally *tally = &tallies[way - SWEEP_CRASH];
    *tally = recorded;
    if (!recorded.verdict && !recorded.skipped) sweep_points(of, (sweep_injection)way, choice, &trace, marks, tally);
    tally->took = sweep_now() - start;
    start = sweep_now();
  }
}
