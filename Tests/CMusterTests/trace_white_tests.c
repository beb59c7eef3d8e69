// The trace at moments that are met once in a million runs, made by hand.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "../../Sources/CMuster/internal/group.h"
#include "../../Sources/CMuster/internal/trace.h"
#include "trace_support.h"

static void *record_and_end(void *context) {
  muster_trace_recorder *mine = trace_test_join(context, "ends");
  for (int k = 0; k < 5; k++) CHECK_STATUS(trace_test_record(mine), 0);
  return mine;
}

// A thread that recorded five events and ended without leaving.
static void die_in(muster_trace *trace) {
  pthread_t thread;
  void *recorder;
  REQUIRE(!pthread_create(&thread, NULL, record_and_end, trace) && !pthread_join(thread, &recorder));
  trace_test_leave(recorder);
}

static muster_trace_recorder_info info_of(const muster_trace *trace) {
  muster_trace_recorder_info info;
  REQUIRE(!muster_trace_look_recorder(trace, 0, &info));
  return info;
}

// Its writer died between the stamp and `end`: the event is there, and its number is not given to another.
static void stamped_and_not_counted(void) {
  trace_scene scene = trace_test_scene(1, 16, 1);
  muster_trace *trace = trace_test_attach(&scene);
  die_in(trace);
  trace->sessions[0].end = 4;
  CHECK_EQUAL(info_of(trace).end, 5);
  CHECK_EQUAL(trace_test_read_whole(trace, 0), 5);
  muster_trace_recorder *next = trace_test_join(trace, NULL);
  CHECK_EQUAL(next->position, 5);
  trace_test_leave(next);
  trace_test_close(trace);
  trace_test_end(&scene);
}

// It died before the stamp: no event, and the number is free.
static void begun_and_not_stamped(void) {
  trace_scene scene = trace_test_scene(1, 16, 1);
  muster_trace *trace = trace_test_attach(&scene);
  die_in(trace);
  trace_slot(trace, 0, 5)[1] = 77;
  CHECK_EQUAL(trace_test_read_whole(trace, 0), 5);
  muster_trace_recorder *next = trace_test_join(trace, NULL);
  CHECK_EQUAL(next->position, 5);
  CHECK_STATUS(trace_test_record(next), 0);
  CHECK_EQUAL(trace_test_read_whole(trace, 0), 1);
  trace_test_leave(next);
  trace_test_close(trace);
  trace_test_end(&scene);
}

// Somebody has a dead one's lock, and has not written his session yet: the lock's owner is not who the session tells of.
static void being_taken_over(void) {
  trace_scene scene = trace_test_scene(1, 16, 1);
  muster_trace *trace = trace_test_attach(&scene), *looking = trace_test_look_at(&scene);
  die_in(trace);
  liveness_lock *lock = &trace->group->places[0].lock;
  CHECK_STATUS(muster_liveness_take(lock), EOWNERDEAD);
  CHECK_EQUAL(info_of(looking).life, MUSTER_TRACE_DIED);
  CHECK_EQUAL(trace_test_read_whole(looking, 0), 5);
  // Nobody else takes it meanwhile, nor waits for him who has it.
  muster_trace_recorder *none;
  CHECK_STATUS(muster_trace_join(trace, NULL, &none), EOVERFLOW);
  // And while he writes it there is nothing to tell.
  trace->sessions[0].number++;
  CHECK_EQUAL(info_of(looking).life, MUSTER_TRACE_UNUSED);
  CHECK_EQUAL(trace_test_read_whole(looking, 0), 0);
  // He dies of it: the next begins as ever.
  muster_liveness_release(lock);
  muster_trace_recorder *next = trace_test_join(trace, "next");
  CHECK(info_of(looking).life == MUSTER_TRACE_ALIVE && !strcmp(info_of(looking).label, "next"));
  trace_test_leave(next);
  trace_test_close(looking);
  trace_test_close(trace);
  trace_test_end(&scene);
}

// What one was about to read has been overwritten by a successor: told as gone, or as it was, never as the successor's.
static void overtaken_by_a_successor(void) {
  trace_scene scene = trace_test_scene(1, 16, 1);
  muster_trace *trace = trace_test_attach(&scene);
  die_in(trace);
  muster_trace_cursor *cursor;
  REQUIRE(!muster_trace_read(trace, 0, &cursor));
  muster_trace_recorder *next = trace_test_join(trace, NULL);
  // Numbers 5 to 18 take the slots of 0 to 2 and leave those of 3 and 4.
  for (int k = 0; k < 14; k++) CHECK_STATUS(trace_test_record(next), 0);
  muster_trace_event event;
  uint64_t seen = 0;
  while (!muster_trace_next(cursor, &event)) {
    CHECK(trace_test_is_whole(&event) && event.number < 5);
    seen |= UINT64_C(1) << event.number;
  }
  CHECK_EQUAL(seen, 1 << 0 | 1 << 3 | 1 << 4);
  muster_trace_recorder_info info;
  CHECK_STATUS(muster_trace_cursor_recorder(cursor, 0, &info), 0);
  CHECK(info.end == 5 && !strcmp(info.label, "ends"));
  muster_trace_cursor_close(cursor);
  trace_test_leave(next);
  trace_test_close(trace);
  trace_test_end(&scene);
}

TEST_SUITE(trace_white, {"stamped_and_not_counted", stamped_and_not_counted, 0},
           {"begun_and_not_stamped", begun_and_not_stamped, 0}, {"being_taken_over", being_taken_over, 0},
           {"overtaken_by_a_successor", overtaken_by_a_successor, 0});
