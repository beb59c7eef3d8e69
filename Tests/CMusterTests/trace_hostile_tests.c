// Traces in memory that somebody wrote into who shouldn't have.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/trace_layout.h"
#include "support.h"
#include "trace_support.h"

enum { RECORDERS = 2, EVENTS = 16, NAMES = 3 };

static trace_scene filled_scene(void) {
  trace_scene scene = trace_test_scene(RECORDERS, EVENTS, NAMES);
  muster_trace *trace = trace_test_attach(&scene);
  uint16_t name;
  CHECK_STATUS(muster_trace_name(trace, "work", &name), 0);
  for (uint32_t k = 0; k < RECORDERS; k++) {
    muster_trace_recorder *mine = trace_test_join(trace, "label");
    for (int n = 0; n < 25; n++) CHECK_STATUS(trace_test_record(mine), 0);
    if (k == 0) trace_test_leave(mine);
    // The other one stays: in the end it has died.
  }
  return scene;
}

// All that a reader can ask. It gets something, in the time of the test; how much is bounded by the number of slots.
static void ask_everything(muster_trace *trace, int null) {
  muster_trace_state state;
  REQUIRE(!muster_trace_look(trace, &state));
  muster_trace_cursor *cursor;
  REQUIRE(!muster_trace_read(trace, MUSTER_TRACE_ALL, &cursor));
  muster_trace_event event;
  muster_trace_recorder_info info;
  char text[MUSTER_TRACE_NAME_SIZE];
  uint32_t told = 0;
  for (; !muster_trace_next(cursor, &event); told++) {
    REQUIRE(event.kind >= MUSTER_TRACE_BEGIN && event.kind <= MUSTER_TRACE_ASYNC_INSTANT && event.recorder < RECORDERS);
    (void)muster_trace_name_text(trace, event.name, text);
    REQUIRE(strlen(text) < sizeof text);
  }
  REQUIRE(told <= RECORDERS * EVENTS);
  for (uint32_t k = 0; k < RECORDERS; k++) {
    REQUIRE(!muster_trace_look_recorder(trace, k, &info));
    REQUIRE(strlen(info.label) < sizeof info.label && strlen(info.process) < sizeof info.process);
    REQUIRE(info.oldest >= info.first && info.end >= info.oldest && info.end - info.oldest <= EVENTS);
  }
  muster_trace_cursor_close(cursor);
  REQUIRE(!muster_trace_export(trace, null));
}

// One that can write does what it can. Who scribbles on locks is beyond what it can bear.
static void use_everything(muster_trace *trace) {
  uint16_t name;
  int status = muster_trace_name(trace, "new", &name);
  REQUIRE(status == 0 || status == EOVERFLOW);
  (void)muster_trace_thaw(trace);
  muster_trace_recorder *mine;
  status = muster_trace_join(trace, NULL, &mine);
  REQUIRE(status == 0 || status == EOVERFLOW || status == EAGAIN || status == ENOTSUP);
  if (status) return;
  for (int k = 0; k < 20; k++) REQUIRE(!trace_test_record(mine));
  // Whatever was there before: what it recorded itself is there.
  REQUIRE(trace_test_read_whole(trace, mine->index) == EVENTS);
  REQUIRE(!muster_trace_leave(mine));
}

static void look(const trace_scene *scene, int null, int *attached, int *refused) {
  muster_trace *trace;
  int status = muster_trace_attach_read_only(scene->memory, scene->size, &trace);
  if (status) {
    REQUIRE(status == EBADMSG || status == EPROTO);
    ++*refused;
    return;
  }
  ++*attached;
  ask_everything(trace, null);
  REQUIRE(!muster_trace_close(trace));
}

static void hostile_bytes(void) {
  trace_scene scene = filled_scene();
  unsigned char *memory = scene.memory, *kept = shared_memory(scene.size);
  memcpy(kept, memory, scene.size);
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC), attached = 0, refused = 0, used = 0;
  unsigned stride = test_stride();
  size_t group = trace_group_offset(), behind = trace_names_offset(RECORDERS);
  static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x7e};
  for (size_t at = 0; at < scene.size; at++) {
    for (size_t m = 0; m < sizeof masks; m++) {
      if ((at + at / 8 + m) % stride) continue;
      memory[at] ^= masks[m];
      look(&scene, null, &attached, &refused);
      muster_trace *trace;
      if (m == 2 && (at < group || at >= behind) && !muster_trace_attach(memory, scene.size, &trace)) {
        use_everything(trace);
        REQUIRE(!muster_trace_close(trace));
        REQUIRE(!muster_trace_renew(memory, scene.size));
        memcpy(memory, kept, scene.size);
        used++;
      } else {
        memory[at] ^= masks[m];
      }
    }
  }
  CHECK(attached > 4000 / (int)stride && refused > 50 / (int)stride && used > 1000 / (int)stride);
  close(null);
  trace_test_end(&scene);
}

static void random_bytes(void) {
  trace_scene scene = filled_scene();
  unsigned char *memory = scene.memory;
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC), attached = 0, refused = 0;
  uint64_t random = test_seed();
  size_t behind = trace_names_offset(RECORDERS), span = scene.size - behind;
  for (int round = 0; round < 1500; round++) {
    for (int k = 0; k < 30; k++) {
      size_t at = behind + test_random(&random) % span / 8 * 8;
      uint64_t value = test_random(&random) >> test_random(&random) % 64;
      memcpy(memory + at, &value, 8);
    }
    look(&scene, null, &attached, &refused);
    muster_trace *trace;
    REQUIRE(!muster_trace_attach(memory, scene.size, &trace));
    use_everything(trace);
    REQUIRE(!muster_trace_close(trace));
    if (round % 10 == 0) REQUIRE(!muster_trace_renew(memory, scene.size));
  }
  CHECK(attached == 1500 && refused == 0);
  close(null);
  trace_test_end(&scene);
}

static trace_session *session_in(const trace_scene *scene, uint32_t index) {
  return (trace_session *)(void *)((unsigned char *)scene->memory + trace_sessions_offset(RECORDERS, NAMES)) + index;
}

// Numbers near the end of all: nobody goes round them, and who records next begins anew.
static void numbers_that_wrap(void) {
  static const uint64_t numbers[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 16, UINT64_C(1) << 63, UINT64_C(1) << 60,
                                     (UINT64_C(1) << 60) - 1, (UINT64_C(1) << 60) - 2, (UINT64_C(1) << 60) - 16};
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
    for (int field = 0; field < 3; field++) {
      trace_scene scene = filled_scene();
      for (uint32_t r = 0; r < RECORDERS; r++) {
        trace_session *session = session_in(&scene, r);
        uint64_t *const fields[] = {&session->number, &session->end, &session->identity[0]};
        *fields[field] = numbers[k];
      }
      muster_trace *trace = trace_test_attach(&scene);
      ask_everything(trace, null);
      REQUIRE(!muster_trace_renew(scene.memory, scene.size));
      for (int turn = 0; turn < 3; turn++) use_everything(trace);
      muster_trace_state state;
      CHECK_STATUS(muster_trace_look(trace, &state), 0);
      CHECK(state.left >= 1);
      trace_test_close(trace);
      trace_test_end(&scene);
    }
  }
  close(null);
}

TEST_SUITE(trace_hostile, {"hostile_bytes", hostile_bytes, 60}, {"random_bytes", random_bytes, 60},
           {"numbers_that_wrap", numbers_that_wrap, 0});
