// The trace as its users see it: recording, reading, names, the kill word, whose a recorder is.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "support.h"
#include "trace_support.h"

static void shapes(void) {
  muster_trace_shape good = {.recorders = 4, .events = 64, .names = 8}, bad[] = {good, good, good, good, good, good, good, good};
  CHECK(muster_trace_size(&good) > 4 * 64 * 32);
  bad[0].recorders = 0;
  bad[1].recorders = MUSTER_TRACE_RECORDERS_MAX + 1;
  bad[2].events = 8;
  bad[3].events = 65;
  bad[4].events = MUSTER_TRACE_EVENTS_MAX * 2;
  bad[5].names = 0;
  bad[6].names = MUSTER_TRACE_NAMES_MAX + 1;
  bad[7].clock = (muster_trace_clock)3;
  unsigned char *memory = shared_memory(1 << 17);
  for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
    CHECK_EQUAL(muster_trace_size(&bad[k]), 0);
    CHECK_STATUS(muster_trace_init(memory, 1 << 17, &bad[k]), EINVAL);
    muster_trace *trace;
    CHECK_STATUS(muster_trace_open(test_name("bad"), &(muster_trace_options){.shape = bad[k]}, &trace), EINVAL);
    CHECK(!trace);
  }
  size_t size = muster_trace_size(&good);
  CHECK_STATUS(muster_trace_init(memory, size - 1, &good), EINVAL);
  CHECK_STATUS(muster_trace_init(memory + 64, size, &good), EINVAL);
  REQUIRE(!muster_trace_init(memory, size, &good));
  muster_trace *trace;
  CHECK_STATUS(muster_trace_attach(memory, size - 1, &trace), EBADMSG);
  CHECK_STATUS(muster_trace_attach(memory + 1, size, &trace), EINVAL);
  muster_trace_shape largest = {.recorders = 256, .events = MUSTER_TRACE_EVENTS_MAX, .names = MUSTER_TRACE_NAMES_MAX};
  CHECK(sizeof(size_t) < 8 || muster_trace_size(&largest) > UINT64_C(256) * MUSTER_TRACE_EVENTS_MAX * 32);
}

// What was recorded comes back, in order, with times between those of before and after.
static void records_and_reads(void) {
  for (int clock = MUSTER_TRACE_CLOCK_BEST; clock <= MUSTER_TRACE_CLOCK_MONOTONIC; clock++) {
    trace_scene scene = trace_test_scene(2, 64, 8);
    scene.shape.clock = (muster_trace_clock)clock;
    int status = muster_trace_init(scene.memory, scene.size, &scene.shape);
    if (status == ENOTSUP && clock == MUSTER_TRACE_CLOCK_COUNTER) {
      trace_test_end(&scene);
      continue;
    }
    REQUIRE(!status);
    muster_trace *trace = trace_test_attach(&scene);
    muster_trace_recorder *mine = trace_test_join(trace, "me");
    uint16_t name;
    CHECK_STATUS(muster_trace_name(trace, "work", &name), 0);
    int64_t before = muster_clock_now();
    CHECK_STATUS(muster_trace_begin(mine, name, 7), 0);
    CHECK_STATUS(muster_trace_counter(mine, name, -5), 0);
    uint64_t began = muster_trace_now(mine);
    test_pause(2000000);
    CHECK_STATUS(muster_trace_span(mine, name, began), 0);
    CHECK_STATUS(muster_trace_record(mine, MUSTER_TRACE_FLOW_OUT, name, UINT64_MAX), 0);
    CHECK_STATUS(muster_trace_instant(mine, name, 3), 0);
    CHECK_STATUS(muster_trace_end(mine, name, 7), 0);
    int64_t after = muster_clock_now();
    const struct {
      muster_trace_kind kind;
      uint64_t value;
    } expected[] = {{MUSTER_TRACE_BEGIN, 7}, {MUSTER_TRACE_COUNTER, (uint64_t)-5}, {MUSTER_TRACE_SPAN, 0},
                    {MUSTER_TRACE_FLOW_OUT, UINT64_MAX}, {MUSTER_TRACE_INSTANT, 3}, {MUSTER_TRACE_END, 7}};
    muster_trace_cursor *cursor;
    REQUIRE(!muster_trace_read(trace, mine->index, &cursor));
    muster_trace_event event;
    for (uint64_t k = 0; k < 6; k++) {
      REQUIRE(!muster_trace_next(cursor, &event));
      CHECK_EQUAL(event.kind, expected[k].kind);
      CHECK_EQUAL(event.value, expected[k].value);
      CHECK_EQUAL(event.number, k);
      CHECK_EQUAL(event.name, name);
      CHECK_EQUAL(event.lost, 0);
      // Two readings of two clocks are never of one moment.
      CHECK(event.time >= before - 100000 && event.time <= after + 100000);
      if (event.kind == MUSTER_TRACE_SPAN) CHECK(event.duration >= 1900000 && event.duration <= after - before);
      else CHECK_EQUAL(event.duration, 0);
    }
    CHECK_STATUS(muster_trace_next(cursor, &event), ENOENT);
    muster_trace_cursor_close(cursor);
    muster_trace_recorder_info info;
    CHECK_STATUS(muster_trace_look_recorder(trace, mine->index, &info), 0);
    CHECK_EQUAL(info.life, MUSTER_TRACE_ALIVE);
    CHECK(info.pid == getpid() && info.this_boot && !strcmp(info.label, "me") && info.process[0]);
    CHECK(info.first == 0 && info.oldest == 0 && info.end == 6);
    CHECK(info.joined <= before + 100000);
    trace_test_leave(mine);
    CHECK_STATUS(muster_trace_look_recorder(trace, 0, &info), 0);
    CHECK_EQUAL(info.life, MUSTER_TRACE_LEFT);
    CHECK_STATUS(muster_trace_look_recorder(trace, 2, &info), EINVAL);
    CHECK_STATUS(muster_trace_read(trace, 2, &cursor), EINVAL);
    trace_test_close(trace);
    trace_test_end(&scene);
  }
}

static void newest_are_kept(void) {
  trace_scene scene = trace_test_scene(1, 16, 1);
  muster_trace *trace = trace_test_attach(&scene);
  muster_trace_recorder *mine = trace_test_join(trace, NULL);
  for (uint64_t total = 1; total <= 50; total++) {
    CHECK_STATUS(trace_test_record(mine), 0);
    uint64_t kept = total < 16 ? total : 16;
    CHECK_EQUAL(trace_test_read_whole(trace, 0), kept);
    muster_trace_recorder_info info;
    CHECK_STATUS(muster_trace_look_recorder(trace, 0, &info), 0);
    CHECK(info.first == 0 && info.end == total && info.oldest == total - kept);
  }
  // Overwritten behind a cursor's back: told as lost, never as something else.
  muster_trace_cursor *cursor;
  REQUIRE(!muster_trace_read(trace, MUSTER_TRACE_ALL, &cursor));
  for (int k = 0; k < 10; k++) CHECK_STATUS(trace_test_record(mine), 0);
  muster_trace_event event;
  REQUIRE(!muster_trace_next(cursor, &event));
  CHECK_EQUAL(event.number, 34);  // read as the cursor was made
  REQUIRE(!muster_trace_next(cursor, &event));
  CHECK_EQUAL(event.number, 44);
  CHECK_EQUAL(event.lost, 9);
  while (!muster_trace_next(cursor, &event)) CHECK(trace_test_is_whole(&event) && !event.lost);
  CHECK_EQUAL(event.number, 49);
  muster_trace_cursor_close(cursor);
  trace_test_leave(mine);
  trace_test_close(trace);
  trace_test_end(&scene);
}

// Three recorders of one thread, which takes turns: the whole is in the order of time, and says whose each event is.
static void merged_in_time(void) {
  trace_scene scene = trace_test_scene(3, 64, 1);
  muster_trace *trace = trace_test_attach(&scene), *looking = trace_test_look_at(&scene);
  muster_trace_recorder *all[3];
  for (int k = 0; k < 3; k++) all[k] = trace_test_join(trace, (const char *[]){"a", "b", "c"}[k]);
  // Apart by more than what the processor may exchange.
  for (uint64_t n = 0; n < 60; n++) {
    CHECK_STATUS(muster_trace_instant(all[n * 7 % 3], 0, n), 0);
    test_pause(1000);
  }
  muster_trace_cursor *cursor;
  REQUIRE(!muster_trace_read(looking, MUSTER_TRACE_ALL, &cursor));
  muster_trace_event event;
  for (uint64_t n = 0; n < 60; n++) {
    REQUIRE(!muster_trace_next(cursor, &event));
    CHECK_EQUAL(event.value, n);
    CHECK_EQUAL(event.recorder, all[n * 7 % 3]->index);
  }
  CHECK_STATUS(muster_trace_next(cursor, &event), ENOENT);
  muster_trace_recorder_info info;
  for (uint32_t k = 0; k < 3; k++) {
    CHECK_STATUS(muster_trace_cursor_recorder(cursor, all[k]->index, &info), 0);
    CHECK(info.label[0] == "abc"[k] && info.end == 20);
  }
  CHECK_STATUS(muster_trace_cursor_recorder(cursor, 3, &info), EINVAL);
  muster_trace_cursor_close(cursor);
  for (int k = 0; k < 3; k++) trace_test_leave(all[k]);
  trace_test_close(trace);
  trace_test_close(looking);
  trace_test_end(&scene);
}

static void names(void) {
  trace_scene scene = trace_test_scene(1, 16, 3);
  muster_trace *trace = trace_test_attach(&scene), *other = trace_test_attach(&scene), *looking = trace_test_look_at(&scene);
  uint16_t work, again, wait, none = 99, longest;
  char text[MUSTER_TRACE_NAME_SIZE];
  CHECK_STATUS(muster_trace_name(trace, "work", &work), 0);
  CHECK_STATUS(muster_trace_name(other, "wait", &wait), 0);
  CHECK_STATUS(muster_trace_name(other, "work", &again), 0);
  CHECK(work == again && work != wait && work && wait);
  CHECK_STATUS(muster_trace_name(looking, "wait", &again), 0);
  CHECK_EQUAL(again, wait);
  CHECK_STATUS(muster_trace_name(looking, "new", &none), EACCES);
  CHECK_EQUAL(none, MUSTER_TRACE_NAME_OTHER);
  none = 99;
  CHECK_STATUS(muster_trace_name(trace, "", &none), EINVAL);
  CHECK_EQUAL(none, MUSTER_TRACE_NAME_OTHER);
  // 54 letters and a character of three bytes: cut before it.
  char much[80];
  memset(much, 'x', 54);
  strcpy(much + 54, "\xe2\x82\xac and more");
  CHECK_STATUS(muster_trace_name(trace, much, &longest), 0);
  CHECK_STATUS(muster_trace_name_text(trace, longest, text), 0);
  CHECK(strlen(text) == 54 && text[53] == 'x');
  CHECK_STATUS(muster_trace_name(other, much, &again), 0);
  CHECK_EQUAL(again, longest);
  none = 99;
  CHECK_STATUS(muster_trace_name(trace, "one more", &none), EOVERFLOW);
  CHECK_EQUAL(none, MUSTER_TRACE_NAME_OTHER);
  CHECK_STATUS(muster_trace_name_text(trace, MUSTER_TRACE_NAME_OTHER, text), 0);
  CHECK(!strcmp(text, "?"));
  CHECK_STATUS(muster_trace_name_text(trace, 4, text), ENOENT);
  CHECK(!strcmp(text, "?"));
  CHECK_STATUS(muster_trace_name_text(looking, wait, text), 0);
  CHECK(!strcmp(text, "wait"));
  muster_trace_state state;
  CHECK_STATUS(muster_trace_look(looking, &state), 0);
  CHECK_EQUAL(state.names, 3);
  trace_test_close(trace);
  trace_test_close(other);
  trace_test_close(looking);
  trace_test_end(&scene);
}

static void freezing(void) {
  trace_scene scene = trace_test_scene(2, 16, 1);
  muster_trace *trace = trace_test_attach(&scene), *other = trace_test_attach(&scene), *looking = trace_test_look_at(&scene);
  muster_trace_recorder *mine = trace_test_join(trace, NULL);
  CHECK_STATUS(trace_test_record(mine), 0);
  muster_trace_state state;
  CHECK_STATUS(muster_trace_look(looking, &state), 0);
  CHECK(!state.frozen && state.alive == 1 && state.unused == 1);
  CHECK_STATUS(muster_trace_freeze(looking), EACCES);
  CHECK_STATUS(muster_trace_thaw(looking), EACCES);
  CHECK_STATUS(muster_trace_thaw(other), EALREADY);
  int64_t before = muster_clock_now();
  CHECK_STATUS(muster_trace_freeze(other), 0);
  CHECK_STATUS(muster_trace_freeze(trace), EALREADY);
  CHECK_STATUS(trace_test_record(mine), ECANCELED);
  CHECK_STATUS(muster_trace_record(mine, MUSTER_TRACE_INSTANT, 0, 0), ECANCELED);
  CHECK_STATUS(muster_trace_look(looking, &state), 0);
  CHECK(state.frozen == 1 && state.frozen_by == getpid());
  CHECK(state.frozen_at >= before && state.frozen_at <= muster_clock_now() + 70000);
  CHECK_EQUAL(trace_test_read_whole(looking, MUSTER_TRACE_ALL), 1);
  CHECK_STATUS(muster_trace_thaw(trace), 0);
  CHECK_STATUS(trace_test_record(mine), 0);
  CHECK_EQUAL(trace_test_read_whole(looking, MUSTER_TRACE_ALL), 2);
  trace_test_leave(mine);
  trace_test_close(trace);
  trace_test_close(other);
  trace_test_close(looking);
  trace_test_end(&scene);
}

// ---- Whose a recorder is

typedef struct visit {
  muster_trace *trace;
  muster_trace_recorder *recorder;
  int leaves, status;
} visit;

static void *record_some(void *context) {
  visit *at = context;
  at->status = muster_trace_join(at->trace, "visitor", &at->recorder);
  for (int k = 0; !at->status && k < 5; k++) CHECK_STATUS(trace_test_record(at->recorder), 0);
  if (!at->status && at->leaves) trace_test_leave(at->recorder);
  return NULL;
}

// A thread that leaves, or ends without leaving; its recorder.
static visit visited(muster_trace *trace, int leaves) {
  visit at = {.trace = trace, .leaves = leaves};
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, record_some, &at) && !pthread_join(thread, NULL));
  return at;
}

static muster_trace_life life(const muster_trace *trace, uint32_t index) {
  muster_trace_recorder_info info;
  CHECK_STATUS(muster_trace_look_recorder(trace, index, &info), 0);
  return info.life;
}

// Unused ones are taken first, then those of who left, then those of the dead, the longest quiet first.
static void who_is_overwritten(void) {
  trace_scene scene = trace_test_scene(4, 16, 1);
  muster_trace *trace = trace_test_attach(&scene);
  visit first_dead = visited(trace, 0);
  uint32_t dead = first_dead.recorder->index;
  trace_test_leave(first_dead.recorder);
  CHECK_EQUAL(life(trace, dead), MUSTER_TRACE_DIED);
  visit late = visited(trace, 0);
  uint32_t later_dead = late.recorder->index;
  trace_test_leave(late.recorder);
  (void)visited(trace, 1);
  (void)visited(trace, 1);
  muster_trace_state state;
  CHECK_STATUS(muster_trace_look(trace, &state), 0);
  CHECK(state.died == 2 && state.left == 2 && state.unused == 0);
  muster_trace_recorder *mine[4];
  mine[0] = trace_test_join(trace, NULL);
  mine[1] = trace_test_join(trace, NULL);
  // That the one before left says nothing of this one.
  CHECK(life(trace, mine[0]->index) == MUSTER_TRACE_ALIVE && life(trace, mine[1]->index) == MUSTER_TRACE_ALIVE);
  CHECK(life(trace, dead) == MUSTER_TRACE_DIED && life(trace, later_dead) == MUSTER_TRACE_DIED);
  CHECK(mine[0]->index < mine[1]->index);
  mine[2] = trace_test_join(trace, NULL);
  CHECK_EQUAL(mine[2]->index, dead);
  CHECK_EQUAL(life(trace, later_dead), MUSTER_TRACE_DIED);
  // The successor's numbers go on; what was before is nobody's.
  CHECK_EQUAL(mine[2]->position, 5);
  CHECK_EQUAL(trace_test_read_whole(trace, dead), 0);
  CHECK_STATUS(trace_test_record(mine[2]), 0);
  CHECK_EQUAL(trace_test_read_whole(trace, dead), 1);
  mine[3] = trace_test_join(trace, NULL);
  CHECK_EQUAL(mine[3]->index, later_dead);
  muster_trace_recorder *none;
  CHECK_STATUS(muster_trace_join(trace, NULL, &none), EOVERFLOW);
  CHECK(!none);
  CHECK_STATUS(muster_trace_close(trace), EBUSY);
  for (int k = 0; k < 4; k++) trace_test_leave(mine[k]);
  trace_test_close(trace);
  trace_test_end(&scene);
}

// While it is frozen no record is given to anybody.
static void joining_what_is_frozen(void) {
  trace_scene scene = trace_test_scene(2, 16, 1);
  muster_trace *trace = trace_test_attach(&scene);
  (void)visited(trace, 1);
  CHECK_STATUS(muster_trace_freeze(trace), 0);
  muster_trace_recorder *unused = trace_test_join(trace, NULL), *none;
  CHECK_STATUS(trace_test_record(unused), ECANCELED);
  CHECK_STATUS(muster_trace_join(trace, NULL, &none), EAGAIN);
  CHECK_EQUAL(trace_test_read_whole(trace, MUSTER_TRACE_ALL), 5);
  CHECK_STATUS(muster_trace_thaw(trace), 0);
  none = trace_test_join(trace, NULL);
  trace_test_leave(none);
  trace_test_leave(unused);
  trace_test_close(trace);
  trace_test_end(&scene);
}

static void *leave_others(void *context) {
  CHECK_STATUS(muster_trace_leave(context), EBUSY);
  return NULL;
}

static void leaving(void) {
  trace_scene scene = trace_test_scene(1, 16, 1);
  muster_trace *trace = trace_test_attach(&scene), *looking = trace_test_look_at(&scene);
  muster_trace_recorder *mine = trace_test_join(trace, "a label of more than thirty-one bytes"), *none;
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, leave_others, mine) && !pthread_join(thread, NULL));
  CHECK_STATUS(trace_test_record(mine), 0);
  CHECK_STATUS(muster_trace_join(looking, NULL, &none), EACCES);
  muster_trace_recorder_info info;
  CHECK_STATUS(muster_trace_look_recorder(looking, 0, &info), 0);
  CHECK_EQUAL(strlen(info.label), MUSTER_TRACE_LABEL_SIZE - 1);
  trace_test_leave(mine);
  trace_test_leave(NULL);
  CHECK_STATUS(muster_trace_put(NULL, MUSTER_TRACE_BEGIN, 0, 0), EINVAL);
  CHECK_EQUAL(muster_trace_now(NULL), 0);
  trace_test_close(trace);
  trace_test_close(looking);
  CHECK_STATUS(muster_trace_close(NULL), 0);
  trace_test_end(&scene);
}

TEST_SUITE(trace, {"shapes", shapes, 0}, {"records_and_reads", records_and_reads, 0}, {"newest_are_kept", newest_are_kept, 0},
           {"merged_in_time", merged_in_time, 0}, {"names", names, 0}, {"freezing", freezing, 0},
           {"who_is_overwritten", who_is_overwritten, 0}, {"joining_what_is_frozen", joining_what_is_frozen, 0},
           {"leaving", leaving, 0});
