// Which clock events carry, and how its readings become nanoseconds.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "internal/boot.h"
#include "internal/trace.h"

static int64_t read_clock(clockid_t which) {
  struct timespec now;
  clock_gettime(which, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// It is the vDSO's: no lock, no allocation, and a system call only on machines without a counter.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wfunction-effects"
#endif
MUSTER_NONBLOCKING uint64_t muster_trace_monotonic(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

// ---- The counter

#if defined(__x86_64__) || defined(__i386__)

int muster_trace_counter_readable(void) {
  int saved = errno, mode = 0;
  int got = prctl(PR_GET_TSC, &mode);
  errno = saved;
  return !got && mode == PR_TSC_ENABLE;
}

// The kernel takes the counter for its own clock only where it runs at one speed, through idleness, and alike on all processors; it
// goes on watching that, and gives it up where it does not hold.
int muster_trace_counter_good(void) {
  int saved = errno;
  char text[16] = "";
  int file = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    ssize_t length = read(file, text, sizeof text - 1);
    text[length > 0 ? length : 0] = 0;
    close(file);
  }
  errno = saved;
  return !strcmp(text, "tsc\n") && muster_trace_counter_readable();
}

#elif defined(__aarch64__)

int muster_trace_counter_readable(void) { return 1; }
int muster_trace_counter_good(void) { return 1; }

#else

int muster_trace_counter_readable(void) { return 0; }
int muster_trace_counter_good(void) { return 0; }

#endif

uint64_t muster_trace_boot(void) {
  uint64_t halves[2];
  uint8_t id[16];
  muster_boot_id(id);
  memcpy(halves, id, sizeof halves);
  return halves[0] + halves[1];
}

// The closest of some tries: who loses the processor between two readings takes them for one moment. Which one it was is chosen without
// a branch, so that the crash sweep finds the same instructions each time.
static uint64_t either(uint64_t first, uint64_t second, uint64_t mask) { return (first & mask) | (second & ~mask); }

void muster_trace_moment(uint32_t clock, trace_moment *moment) {
  enum { TRIES = 5 };
  uint64_t best = UINT64_MAX, ticks = 0, monotonic = 0, real = 0;
  int counts = clock == MUSTER_TRACE_CLOCK_COUNTER && muster_trace_counter_readable();
  for (int k = 0; k < TRIES; k++) {
    uint64_t before = (uint64_t)read_clock(CLOCK_MONOTONIC);
    uint64_t count = counts ? muster_trace_ticks(MUSTER_TRACE_CLOCK_COUNTER) : 0;
    uint64_t day = (uint64_t)read_clock(CLOCK_REALTIME), took = (uint64_t)read_clock(CLOCK_MONOTONIC) - before;
    uint64_t closer = (uint64_t)0 - (took < best);
    __asm__("" : "+r"(closer));
    best = either(took, best, closer);
    ticks = either(count, ticks, closer);
    monotonic = either(before + took / 2, monotonic, closer);
    real = either(day, real, closer);
  }
  *moment = (trace_moment){counts ? ticks : monotonic, (int64_t)monotonic, (int64_t)real};
}

// ---- Nanoseconds

// The session of this boot that noted the clocks first: all that this boot recorded lies between that and now, so what the two
// readings are wrong by is all that any time is wrong by.
static int first_reading(const muster_trace *trace, const trace_moment *now, trace_moment *first) {
  int any = 0;
  for (uint32_t k = 0; k < trace->shape.recorders; k++) {
    trace_seen seen;
    muster_trace_see(trace, k, &seen);
    const trace_identity *who = &seen.who;
    if (!seen.number || who->boot != trace->boot) continue;
    if (who->ticks >= now->ticks || who->monotonic >= now->monotonic || (any && who->ticks >= first->ticks)) continue;
    *first = (trace_moment){.ticks = who->ticks, .monotonic = who->monotonic, .real = who->real};
    any = 1;
  }
  return any;
}

static double slope_between(const trace_moment *first, const trace_moment *last) {
  if (last->ticks <= first->ticks || last->monotonic <= first->monotonic) return 1;
  return (double)((uint64_t)last->monotonic - (uint64_t)first->monotonic) / (double)(last->ticks - first->ticks);
}

// What the counter does now: of use where no session of this boot tells, only such of earlier ones.
static double measure(uint32_t clock, const trace_moment *first) {
  trace_moment last;
  struct timespec pause = {.tv_nsec = 2000000};
  nanosleep(&pause, NULL);
  muster_trace_moment(clock, &last);
  return slope_between(first, &last);
}

static int has_sessions(const muster_trace *trace) {
  for (uint32_t k = 0; k < trace->shape.recorders; k++) {
    trace_seen seen;
    muster_trace_see(trace, k, &seen);
    if (seen.number) return 1;
  }
  return 0;
}

void muster_trace_scale(const muster_trace *trace, trace_scale *scale) {
  int saved = errno;
  uint32_t clock = (uint32_t)trace->shape.clock;
  int counts = clock == MUSTER_TRACE_CLOCK_COUNTER && muster_trace_counter_readable();
  trace_moment now, first = {0};
  muster_trace_moment(clock, &now);
  *scale = (trace_scale){.slope = 1, .boot = trace->boot, .offset = now.real - now.monotonic};
  scale->ticks = now.ticks;
  scale->monotonic = now.monotonic;
  if (counts && first_reading(trace, &now, &first)) {
    scale->slope = slope_between(&first, &now);
    scale->ticks = first.ticks;
    scale->monotonic = first.monotonic;
  } else if (counts && has_sessions(trace)) {
    scale->slope = measure(clock, &now);
  }
  errno = saved;
}

trace_origin muster_trace_origin(const trace_scale *scale, const trace_identity *who) {
  if (who->boot == scale->boot) return (trace_origin){scale->slope, scale->ticks, scale->monotonic};
  int64_t monotonic;
  if (__builtin_sub_overflow(who->real, scale->offset, &monotonic)) monotonic = 0;
  return (trace_origin){scale->slope, who->ticks, monotonic};
}

int64_t muster_trace_time(const trace_origin *origin, uint64_t ticks) {
  // Whatever the memory says: nothing beyond a hundred years on either side.
  const double most = 3.2e18;
  int later = ticks >= origin->ticks;
  double distance = (double)(later ? ticks - origin->ticks : origin->ticks - ticks) * origin->slope;
  int64_t nanoseconds = distance < most ? (int64_t)(distance + 0.5) : (int64_t)most, time;
  if (__builtin_add_overflow(origin->monotonic, later ? nanoseconds : -nanoseconds, &time))
    return later ? INT64_MAX : INT64_MIN;
  return time;
}
