// Traces by name and in files: opened, refused, renewed, and read after the machine was started anew.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/trace.h"
#include "support.h"
#include "trace_support.h"

static const muster_trace_shape shape = {.recorders = 3, .events = 64, .names = 4};

static int open_as(const char *name, muster_trace_shape as, uint32_t flags, muster_trace **trace) {
  return muster_trace_open(name, &(muster_trace_options){.shape = as, .flags = flags}, trace);
}

static void by_name(void) {
  const char *name = test_name("trace");
  muster_trace *trace, *other;
  CHECK_STATUS(open_as(name, (muster_trace_shape){0}, MUSTER_REGION_ATTACH, &trace), ENOENT);
  CHECK_STATUS(open_as(name, (muster_trace_shape){.recorders = 3}, 0, &trace), EINVAL);
  REQUIRE(!open_as(name, shape, 0, &trace));
  CHECK(!strcmp(muster_region_name(muster_trace_region(trace)), name));
  muster_trace_recorder *mine = trace_test_join(trace, NULL);
  for (int k = 0; k < 5; k++) CHECK_STATUS(trace_test_record(mine), 0);
  uint32_t looks = MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY | MUSTER_REGION_PEEK;
  REQUIRE(!open_as(name, (muster_trace_shape){0}, looks, &other));
  CHECK_EQUAL(trace_test_read_whole(other, MUSTER_TRACE_ALL), 5);
  muster_trace_state state;
  CHECK_STATUS(muster_trace_look(other, &state), 0);
  CHECK(state.shape.recorders == 3 && state.shape.events == 64 && state.shape.names == 4 && state.shape.clock);
  trace_test_close(other);
  REQUIRE(!open_as(name, (muster_trace_shape){.events = 64}, MUSTER_REGION_ATTACH, &other));
  trace_test_close(other);
  // Each number that is asked for has to be as it is.
  const muster_trace_shape others[] = {{.recorders = 4}, {.events = 32}, {.names = 5},
                                       {.clock = state.shape.clock == MUSTER_TRACE_CLOCK_COUNTER ? MUSTER_TRACE_CLOCK_MONOTONIC
                                                                                                 : MUSTER_TRACE_CLOCK_COUNTER}};
  for (int k = 0; k < 4; k++) {
    muster_mismatch differs = {0};
    CHECK_STATUS(muster_trace_open(name, &(muster_trace_options){.shape = others[k], .flags = MUSTER_REGION_ATTACH,
                                                                 .mismatch = &differs}, &other), EPROTO);
    CHECK_EQUAL(differs.kind, MUSTER_MISMATCH_LAYOUT);
    CHECK(!other);
  }
  CHECK_STATUS(open_as(name, (muster_trace_shape){.recorders = 5, .events = 64, .names = 4}, 0, &other), EPROTO);
  muster_ring *ring;
  CHECK_STATUS(muster_ring_open(name, &(muster_ring_options){.flags = MUSTER_REGION_ATTACH}, &ring), EPROTO);
  trace_test_leave(mine);
  trace_test_close(trace);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void record_and_die(void *context) {
  muster_trace *trace;
  REQUIRE(!open_as(context, shape, 0, &trace));
  muster_trace_recorder *mine = trace_test_join(trace, NULL), *gone = trace_test_join(trace, NULL);
  for (int k = 0; k < 7; k++) CHECK_STATUS(trace_test_record(mine), 0);
  for (int k = 0; k < 3; k++) CHECK_STATUS(trace_test_record(gone), 0);
  trace_test_leave(gone);
  CHECK_STATUS(muster_trace_freeze(trace), 0);
  _exit(test_result());
}

// All are gone. Who opens it anew finds what they recorded, who died and who left, and that it was frozen; a name that somebody was
// adding as he died is free again.
static void renewed(const char *name, uint32_t flags) {
  test_join(test_fork(record_and_die, (void *)(uintptr_t)name), 0);
  muster_trace *trace;
  for (int turn = 0; turn < 2; turn++) {
    REQUIRE(!open_as(name, shape, flags, &trace));
    muster_trace_state state;
    CHECK_STATUS(muster_trace_look(trace, &state), 0);
    CHECK(state.alive == 0 && state.died == 1 && state.left == 1 && state.unused == 1 && state.frozen == 1);
    CHECK_EQUAL(trace_test_read_whole(trace, MUSTER_TRACE_ALL), 10);
    uint16_t text;
    CHECK_STATUS(muster_trace_name(trace, "found", &text), 0);
    CHECK_EQUAL(text, 1);
    trace->names[2].state = TRACE_NAME_CLAIMED;
    trace_test_close(trace);
  }
  REQUIRE(!open_as(name, shape, flags, &trace));
  uint16_t second;
  CHECK_STATUS(muster_trace_name(trace, "second", &second), 0);
  CHECK_EQUAL(second, 2);
  CHECK_STATUS(muster_trace_thaw(trace), 0);
  muster_trace_recorder *all[3];
  for (int k = 0; k < 3; k++) {
    all[k] = trace_test_join(trace, NULL);
    CHECK_STATUS(trace_test_record(all[k]), 0);
  }
  CHECK_EQUAL(trace_test_read_whole(trace, MUSTER_TRACE_ALL), 3);
  for (int k = 0; k < 3; k++) trace_test_leave(all[k]);
  trace_test_close(trace);
  CHECK_STATUS(muster_region_remove(name, flags & MUSTER_REGION_FILE), 0);
}

static void after_all_died(void) { renewed(test_name("renewed"), 0); }

static void record_in_a_file(void *context) {
  muster_trace *trace;
  REQUIRE(!open_as(context, shape, MUSTER_REGION_OPEN | MUSTER_REGION_FILE, &trace));
  muster_trace_recorder *mine = trace_test_join(trace, NULL);
  for (int k = 0; k < 4; k++) CHECK_STATUS(trace_test_record(mine), 0);
  _exit(test_result());
}

// As if the machine had been started anew since: nobody of then lives, whatever the locks say, and events lie where the time of day says.
static void after_another_boot(void) {
  char path[512];
  snprintf(path, sizeof path, "%s/trace", test_folder());
  test_join(test_fork(record_in_a_file, path), 0);
  muster_trace *trace;
  REQUIRE(!open_as(path, shape, MUSTER_REGION_OPEN | MUSTER_REGION_FILE, &trace));
  trace_session *session = &trace->sessions[0];
  trace_identity *who = (trace_identity *)(void *)session->identity;
  int64_t now = muster_clock_now();
  who->boot++;
  who->real -= INT64_C(3600000000000);
  session->ended = 0;
  muster_trace_recorder_info info;
  CHECK_STATUS(muster_trace_look_recorder(trace, 0, &info), 0);
  CHECK(info.life == MUSTER_TRACE_DIED && !info.this_boot && info.end == 4);
  int64_t hour_ago = now - INT64_C(3600000000000);
  CHECK(info.joined > hour_ago - 20000000000 && info.joined < hour_ago + 1000000000);
  muster_trace_cursor *cursor;
  muster_trace_event event;
  REQUIRE(!muster_trace_read(trace, MUSTER_TRACE_ALL, &cursor));
  while (!muster_trace_next(cursor, &event))
    CHECK(trace_test_is_whole(&event) && event.time >= info.joined && event.time < info.joined + 1000000000);
  muster_trace_cursor_close(cursor);
  // Beside one of this boot: its events come later, and it takes what nobody has used first, then the old one's.
  muster_trace_recorder *all[3];
  for (int k = 0; k < 3; k++) {
    all[k] = trace_test_join(trace, NULL);
    CHECK_STATUS(trace_test_record(all[k]), 0);
    if (k == 1) CHECK_EQUAL(trace_test_read_whole(trace, MUSTER_TRACE_ALL), 6);
  }
  CHECK_EQUAL(all[2]->index, 0);
  for (int k = 0; k < 3; k++) trace_test_leave(all[k]);
  trace_test_close(trace);
  CHECK_STATUS(muster_region_remove(path, MUSTER_REGION_FILE), 0);
}

// What the numbers of a scribbled session come to: something, without overflow.
static void times_at_the_ends(void) {
  const trace_origin origins[] = {{0.3, 1000, 5000}, {1, 0, INT64_MAX - 10}, {1e30, UINT64_MAX, INT64_MIN + 10}, {1, UINT64_MAX, 0}};
  const uint64_t ticks[] = {0, 1, 1000, 2000, UINT64_MAX / 2, UINT64_MAX};
  for (size_t o = 0; o < sizeof origins / sizeof *origins; o++) {
    int64_t last = INT64_MIN;
    for (size_t k = 0; k < sizeof ticks / sizeof *ticks; k++) {
      int64_t time = muster_trace_time(&origins[o], ticks[k]);
      CHECK(time >= last);
      last = time;
    }
  }
  CHECK_EQUAL(muster_trace_time(&origins[0], 2000), 5300);
  CHECK_EQUAL(muster_trace_time(&origins[0], 0), 4700);
  CHECK_EQUAL(muster_trace_time(&origins[1], 11), INT64_MAX);
  CHECK_EQUAL(muster_trace_time(&origins[2], 0), INT64_MIN);
}

TEST_SUITE(trace_open, {"by_name", by_name, 0}, {"after_all_died", after_all_died, 0},
           {"after_another_boot", after_another_boot, 0}, {"times_at_the_ends", times_at_the_ends, 0});
