// What the cases of the trace share: a trace of a few recorders in the arena, events that tell whether they are whole.
// SPDX-License-Identifier: Apache-2.0
#ifndef TRACE_WORLD_H
#define TRACE_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "muster/trace.h"
#include "sweep.h"

enum { RECORDERS = 3, EVENTS = 16, NAMES = 8, ROOM = SWEEP_ARENA / 2, BEGUN = 20 };

// What a case is about, beside its functions.
enum { FRESH = 1, USED = 2, SMALL = 4 };

// Beside the trace, what the processes of a case tell each other.
typedef struct notes {
  uint32_t index;    // the operator's recorder
  uint64_t session;  // of it before the operation
  muster_trace_recorder_info before;
  uint32_t told;     // events that the operator read
  uint32_t ready;
  uint16_t name;
} notes;

static inline notes *note(void) { return (notes *)(void *)(sweep->arena + ROOM); }

static muster_trace *mine, *ours;
static muster_trace_recorder *recorder, *ours_too;

static inline muster_trace *attach(void) {
  muster_trace *trace;
  SWEEP_STATUS(muster_trace_attach(sweep->arena, ROOM, &trace), 0);
  return trace;
}

static inline muster_trace_recorder *join(muster_trace *trace) {
  muster_trace_recorder *made;
  SWEEP_STATUS(muster_trace_join(trace, "sweep", &made), 0);
  return made;
}

static inline int record(muster_trace_recorder *in) {
  uint64_t number = in->position;
  return muster_trace_record(in, MUSTER_TRACE_INSTANT, (uint16_t)(number % 5), number * 7 + 1);
}

static inline void record_some(muster_trace_recorder *in, int count) {
  while (count--) SWEEP_STATUS(record(in), 0);
}

static inline void check_event(const muster_trace_event *event) {
  SWEEP_EQUAL(event->kind, MUSTER_TRACE_INSTANT);
  SWEEP_EQUAL(event->name, event->number % 5);
  SWEEP_EQUAL(event->value, event->number * 7 + 1);
}

static inline muster_trace_recorder_info info_of(const muster_trace *trace, uint32_t index) {
  muster_trace_recorder_info info;
  SWEEP_STATUS(muster_trace_look_recorder(trace, index, &info), 0);
  return info;
}

// Reads all of a recorder: how many events, the last of which is info.end - 1.
static inline uint32_t read_whole(const muster_trace *trace, uint32_t index) {
  muster_trace_cursor *cursor;
  muster_trace_event event;
  muster_trace_recorder_info info;
  SWEEP_STATUS(muster_trace_read(trace, index, &cursor), 0);
  SWEEP_STATUS(muster_trace_cursor_recorder(cursor, index, &info), 0);
  uint32_t told = 0;
  uint64_t next = info.oldest;
  for (; !muster_trace_next(cursor, &event); told++) {
    check_event(&event);
    SWEEP_EQUAL(event.number, next + event.lost);
    next = event.number + 1;
  }
  SWEEP_EQUAL(next, info.end);
  muster_trace_cursor_close(cursor);
  return told;
}

static inline int frozen(const muster_trace *trace) {
  muster_trace_state state;
  SWEEP_STATUS(muster_trace_look(trace, &state), 0);
  return state.frozen;
}

// The world before: one recorder is the survivor's, who goes on; another is of one who left.
static inline int visits(int number) {
  muster_trace *trace = attach();
  muster_trace_recorder *visitor = join(trace);
  record_some(visitor, number);
  SWEEP_STATUS(muster_trace_leave(visitor), 0);
  return muster_trace_close(trace);
}

static inline void lay(void) {
  muster_trace_shape shape = {.recorders = RECORDERS, .events = EVENTS, .names = NAMES};
  SWEEP_STATUS(muster_trace_init(sweep->arena, ROOM, &shape), 0);
  ours = attach();
  ours_too = join(ours);
  record_some(ours_too, sweep->variant & SMALL ? 1 : 5);
  sweep_newcomer(visits, sweep->variant & SMALL ? 1 : BEGUN);
}

static inline void prepare(void) { mine = attach(); }

static inline void recorder_prepare(void) {
  prepare();
  recorder = join(mine);
  if (!(sweep->variant & FRESH)) record_some(recorder, BEGUN);
  note()->index = recorder->index;
  note()->session = info_of(mine, recorder->index).session;
}

static inline void finish(void) {
  SWEEP_STATUS(muster_trace_leave(recorder), 0);
  SWEEP_STATUS(muster_trace_close(mine), 0);
}

static inline void close_finish(void) { SWEEP_STATUS(muster_trace_close(mine), 0); }

// Others record, read, add names, join and leave, freeze and thaw.
static inline void others_go_on(void) {
  if (frozen(ours)) {
    SWEEP_STATUS(record(ours_too), ECANCELED);
    SWEEP_EQUAL(read_whole(ours, 1), EVENTS);
    return;
  }
  record_some(ours_too, 40);
  SWEEP_EQUAL(read_whole(ours, ours_too->index), EVENTS);
  (void)read_whole(ours, note()->index);
  uint16_t name;
  SWEEP_STATUS(muster_trace_name(ours, "others", &name), 0);
  sweep_newcomer(visits, 30);
  SWEEP_STATUS(muster_trace_freeze(ours), 0);
  SWEEP_STATUS(record(ours_too), ECANCELED);
  SWEEP_STATUS(muster_trace_thaw(ours), 0);
}

// A whole crew of newcomers has all recorders but the survivor's at the same time, and nobody's events but its own.
static inline int takes_the_rest(int number) {
  (void)number;
  muster_trace *trace = attach();
  muster_trace_recorder *all[RECORDERS - 1], *none;
  for (int k = 0; k < RECORDERS - 1; k++) {
    all[k] = join(trace);
    SWEEP_EQUAL(read_whole(trace, all[k]->index), 0);
    record_some(all[k], 50);
    SWEEP_EQUAL(read_whole(trace, all[k]->index), EVENTS);
  }
  SWEEP_STATUS(muster_trace_join(trace, NULL, &none), EOVERFLOW);
  for (int k = 0; k < RECORDERS - 1; k++) SWEEP_STATUS(muster_trace_leave(all[k]), 0);
  return muster_trace_close(trace);
}

static inline void check_newcomers(void) {
  if (frozen(ours)) SWEEP_STATUS(muster_trace_thaw(ours), 0);
  sweep_newcomer(takes_the_rest, 0);
  record_some(ours_too, 5);
  (void)read_whole(ours, ours_too->index);
  uint16_t name, again;
  SWEEP_STATUS(muster_trace_name(ours, "newcomer", &name), 0);
  SWEEP_STATUS(muster_trace_name(ours, "newcomer", &again), 0);
  SWEEP_EQUAL(again, name);
  SWEEP_STATUS(muster_trace_leave(ours_too), 0);
  SWEEP_STATUS(muster_trace_close(ours), 0);
}

#endif
