// What the sources of the trace share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_TRACE_H
#define MUSTER_INTERNAL_TRACE_H

#include "fork.h"
#include "muster/group.h"
#include "muster/trace.h"
#include "trace_layout.h"

// Other than any number that a process gives itself: those are odd, or 0 in a child that has none yet.
#define TRACE_IDLE UINT64_C(2)

struct muster_trace {
  trace_control *control;
  trace_name *names;
  trace_session *sessions;
  uint64_t *slots;
  void *places;        // the group's memory: each recorder joins by a handle of its own
  muster_group *group; // never joined: to ask who lives
  muster_region *region;  // opened by name, else NULL
  fork_guard guard;
  muster_trace_shape shape;  // checked at attach; never read again
  uint64_t boot;             // of this process
  uint32_t joined;           // recorders of this handle
  int read_only;
  uint64_t known_deaths[];   // of each recorder the session whose death the watch has nothing to tell of; 0: none
};

static inline uint64_t *trace_slots_of(const muster_trace *trace, uint32_t index) {
  return trace->slots + (size_t)index * trace->shape.events * TRACE_SLOT_WORDS;
}

static inline uint64_t *trace_slot(const muster_trace *trace, uint32_t index, uint64_t number) {
  return trace_slots_of(trace, index) + (number & (trace->shape.events - 1)) * TRACE_SLOT_WORDS;
}

static inline uint64_t trace_stamp(const muster_trace *trace, uint32_t index, uint64_t number) {
  return __atomic_load_n(trace_slot(trace, index, number), __ATOMIC_ACQUIRE);
}

// The number behind a recorder's last event, or TRACE_NUMBERS_END: the memory says what can't be.
uint64_t muster_trace_end_of(const muster_trace *trace, uint32_t index);

// ---- trace_session.c

// A session as it was at one moment.
typedef struct trace_seen {
  uint64_t number;  // 0: the recorder is unused, or just being taken
  muster_trace_life life;
  trace_identity who;
} trace_seen;

void muster_trace_see(const muster_trace *trace, uint32_t index, trace_seen *seen);

// Whether that is the recorder's session still, asked behind loads with acquire of what it wrote.
static inline int trace_is_session(const muster_trace *trace, uint32_t index, uint64_t number) {
  return __atomic_load_n(&trace->sessions[index].number, __ATOMIC_RELAXED) == number;
}

// Writes who records from now on, by one who holds the place's lock. Returns the number of its first event.
uint64_t muster_trace_begin_session(const muster_trace *trace, uint32_t index, trace_identity *who);

// Notes how the session ended, by its thread, or by one who has the trace for himself alone.
void muster_trace_end_session(const muster_trace *trace, uint32_t index, int how);

// ---- trace_clock.c

// One moment by the clocks.
typedef struct trace_moment {
  uint64_t ticks;
  int64_t monotonic;
  int64_t real;
} trace_moment;

void muster_trace_moment(uint32_t clock, trace_moment *moment);

// Whether this process may read the counter; whether all processes of this machine can go by it.
int muster_trace_counter_readable(void);
int muster_trace_counter_good(void);

uint64_t muster_trace_boot(void);

// How readings become nanoseconds of CLOCK_MONOTONIC.
typedef struct trace_scale {
  double slope;     // nanoseconds a tick
  uint64_t ticks;   // of this boot, at `monotonic`
  int64_t monotonic;
  int64_t offset;   // CLOCK_REALTIME less CLOCK_MONOTONIC
  uint64_t boot;
} trace_scale;

void muster_trace_scale(const muster_trace *trace, trace_scale *scale);

// The scale's beginning for what one session recorded.
typedef struct trace_origin {
  double slope;
  uint64_t ticks;
  int64_t monotonic;
} trace_origin;

trace_origin muster_trace_origin(const trace_scale *scale, const trace_identity *who);
int64_t muster_trace_time(const trace_origin *origin, uint64_t ticks);

// ---- trace_view.c

// A walk along one recorder. It has no memory but itself, so that a handler of a signal can make one.
typedef struct trace_view {
  const muster_trace *trace;
  uint32_t index;
  uint32_t lost;  // since the event before
  trace_seen seen;
  trace_origin origin;
  uint64_t oldest, next, end;
  int64_t last;   // the time of the event before: times never go back
} trace_view;

// 0, or ENOENT: the recorder is unused.
int muster_trace_view(const muster_trace *trace, const trace_scale *scale, uint32_t index, trace_view *view);

// 0, or ENOENT: that was all.
int muster_trace_view_next(trace_view *view, muster_trace_event *event);

void muster_trace_describe(const trace_view *view, muster_trace_recorder_info *info);

// ---- trace_freeze.c

// The first recorder with a death that this handle does not know of, which it then does, or MUSTER_TRACE_ALL.
uint32_t muster_trace_next_death(muster_trace *trace);

// Who froze it, and when; 0: it is not frozen.
int muster_trace_is_frozen(const muster_trace *trace, int32_t *pid, int64_t *at);

#endif
