// A trace in shared memory, version 1.
//
//   offset  what
//   0       trace_head: constant after muster_trace_init, which stores `magic` last
//   128     trace_control: the kill word
//   256     a group of `recorders` places (group_layout.h)
//   then    names + 1 entries of 64 bytes; number 0 is "?"
//   then    recorders sessions of 384 bytes
//   then    recorders x events slots of 32 bytes
//
//   field             written by                   ordering           if its writer is dead
//   ----------------  ---------------------------  -----------------  ------------------------------------------------
//   control.frozen    who freezes or thaws         cas                one word: who, and when
//   name.state        who adds it: EMPTY, CLAIMED  cas, then release  CLAIMED for good: passed over, and lost until the
//                     while the text is written,                      next renewal, which makes it EMPTY
//                     READY
//   name.text         the same, between the two    plain, before      as above
//                                                  READY
//   session.number    who joins: odd while the     relaxed, then      odd: the recorder counts as unused
//                     identity is written          release
//   session.ended     its thread as it leaves, or  release            about another session than `number`: not ended in
//                     who renews: number and how                      order; the lock tells
//   session.identity  who joins, between the two   release            as number
//                     stores of number
//   session.end       the thread that records      release, after     the number behind the last event, or one less
//                                                  the stamp
//   slot.stamp        the same: 0, and when the    relaxed, then      0: the event that it died at, no event
//                     rest is there number + 1     release
//   slot.the rest     the same                     release            as its stamp says
//
// Invariants.
//   I1  A stamp s > 0 in slot i says that event s - 1 is whole, and (s - 1) % events is i. Each is stored once.
//   I2  Events of the session that `number` (even) tells of have numbers from identity.first to the first one behind
//       which the stamp is missing at or after `end`; those of earlier sessions lie below identity.first.
//   I3  Who writes a session or a slot holds the liveness lock of that place in the group.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_TRACE_LAYOUT_H
#define MUSTER_INTERNAL_TRACE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "muster/group.h"
#include "muster/trace.h"

#define TRACE_MAGIC UINT64_C(0x004543415254534d)  // "MSTRACE"

// No number of an event or of a session lies here or beyond, so that sums with it don't wrap around. At an event a
// nanosecond it takes 36 years to get here.
#define TRACE_NUMBERS_END (UINT64_C(1) << 60)

enum { TRACE_VERSION = 1, TRACE_LINE = 128, TRACE_SLOT_WORDS = 4 };

enum { TRACE_NAME_EMPTY = 0, TRACE_NAME_CLAIMED = 1, TRACE_NAME_READY = 2 };

// How a session ended, in the two lowest bits of `ended`; the others are its number.
enum { TRACE_ENDED_LEFT = 1, TRACE_ENDED_DIED = 2, TRACE_ENDED_SHIFT = 2 };

typedef struct trace_head {
  uint64_t magic;
  uint32_t version;
  uint32_t recorders;
  uint32_t events;
  uint32_t names;
  uint32_t clock;
  uint32_t reserved;
  uint64_t unused[12];
} trace_head;

// The kill word: 0, or who froze it, in the lowest 22 bits (pids are below 2^22, proc_sys_kernel(5)), and when, in
// CLOCK_MONOTONIC without its lowest 16 bits.
enum { TRACE_PID_BITS = 22, TRACE_TIME_CUT = 16 };

typedef struct trace_control {
  uint64_t frozen;
  uint64_t unused[15];
} trace_control;

typedef struct trace_name {
  uint32_t state;
  uint32_t reserved;
  char text[MUSTER_TRACE_NAME_SIZE];
} trace_name;

// Who records, and the clock's readings as it began.
typedef struct trace_identity {
  uint64_t first;  // the number of its first event
  int32_t pid;
  uint32_t thread;
  uint64_t start;
  uint64_t ticks;
  int64_t monotonic;
  int64_t real;
  uint64_t boot;  // the two halves of the boot id, added up
  char process[MUSTER_TRACE_LABEL_SIZE];
  char label[MUSTER_TRACE_LABEL_SIZE];
} trace_identity;

enum { TRACE_IDENTITY_WORDS = sizeof(trace_identity) / sizeof(uint64_t) };

typedef struct trace_session {
  uint64_t number;
  uint64_t ended;
  uint64_t identity[TRACE_IDENTITY_WORDS];
  // What is stored at each event has a line of its own.
  _Alignas(TRACE_LINE) uint64_t end;
} trace_session;

_Static_assert(sizeof(trace_head) == TRACE_LINE && sizeof(trace_control) == TRACE_LINE, "a line each");
_Static_assert(sizeof(trace_name) == 64, "two in a line");
_Static_assert(sizeof(trace_identity) % sizeof(uint64_t) == 0, "it is written and read by words");
_Static_assert(sizeof(trace_session) == 3 * TRACE_LINE, "as said above");

// Offsets in bytes from the head's beginning.
static inline uint64_t trace_up(uint64_t bytes) { return (bytes + TRACE_LINE - 1) / TRACE_LINE * TRACE_LINE; }
static inline uint64_t trace_control_offset(void) { return sizeof(trace_head); }
static inline uint64_t trace_group_offset(void) { return trace_control_offset() + sizeof(trace_control); }
static inline uint64_t trace_names_offset(uint32_t recorders) {
  return trace_group_offset() + trace_up(muster_group_size(recorders));
}
static inline uint64_t trace_sessions_offset(uint32_t recorders, uint32_t names) {
  return trace_names_offset(recorders) + trace_up(((uint64_t)names + 1) * sizeof(trace_name));
}
static inline uint64_t trace_events_offset(uint32_t recorders, uint32_t names) {
  return trace_sessions_offset(recorders, names) + recorders * sizeof(trace_session);
}
static inline uint64_t trace_recorder_size(uint32_t events) {
  return (uint64_t)events * TRACE_SLOT_WORDS * sizeof(uint64_t);
}

#endif
