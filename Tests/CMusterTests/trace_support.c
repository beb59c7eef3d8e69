// SPDX-License-Identifier: Apache-2.0
#include "trace_support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

trace_scene trace_test_scene(uint32_t recorders, uint32_t events, uint32_t names) {
  trace_scene scene = {.shape = {.recorders = recorders, .events = events, .names = names}};
  scene.size = muster_trace_size(&scene.shape);
  scene.memory = mmap(NULL, scene.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(scene.memory != MAP_FAILED);
  memset(scene.memory, 0xab, scene.size);
  REQUIRE(!muster_trace_init(scene.memory, scene.size, &scene.shape));
  return scene;
}

void trace_test_end(const trace_scene *scene) { munmap(scene->memory, scene->size); }

muster_trace *trace_test_attach(const trace_scene *scene) {
  muster_trace *trace;
  REQUIRE(!muster_trace_attach(scene->memory, scene->size, &trace));
  return trace;
}

muster_trace *trace_test_look_at(const trace_scene *scene) {
  muster_trace *trace;
  REQUIRE(!muster_trace_attach_read_only(scene->memory, scene->size, &trace));
  return trace;
}

muster_trace_recorder *trace_test_join(muster_trace *trace, const char *label) {
  muster_trace_recorder *recorder;
  int status = muster_trace_join(trace, label, &recorder);
  CHECK_STATUS(status, 0);
  REQUIRE(!status);
  return recorder;
}

void trace_test_leave(muster_trace_recorder *recorder) { CHECK_STATUS(muster_trace_leave(recorder), 0); }
void trace_test_close(muster_trace *trace) { CHECK_STATUS(muster_trace_close(trace), 0); }

static uint64_t mixed(uint64_t number) { return (number + 1) * UINT64_C(0x9e3779b97f4a7c15); }
static muster_trace_kind kind_of(uint64_t number) {
  return (muster_trace_kind)(mixed(number) % 2 ? MUSTER_TRACE_INSTANT : MUSTER_TRACE_COUNTER);
}
static uint16_t name_of(uint64_t number) { return (uint16_t)(mixed(number) >> 40); }

int trace_test_record(muster_trace_recorder *recorder) {
  uint64_t number = recorder->position;
  return muster_trace_put(recorder, kind_of(number), name_of(number), mixed(number));
}

int trace_test_is_whole(const muster_trace_event *event) {
  return event->kind == kind_of(event->number) && event->name == name_of(event->number) &&
         event->value == mixed(event->number);
}

uint64_t trace_test_read_whole(const muster_trace *trace, uint32_t recorder) {
  muster_trace_cursor *cursor;
  REQUIRE(!muster_trace_read(trace, recorder, &cursor));
  muster_trace_event event;
  int64_t last = INT64_MIN;
  uint64_t count = 0;
  for (; !muster_trace_next(cursor, &event); count++) {
    REQUIRE(trace_test_is_whole(&event));
    REQUIRE(event.time >= last);
    last = event.time;
  }
  CHECK_STATUS(muster_trace_next(cursor, &event), ENOENT);
  muster_trace_cursor_close(cursor);
  return count;
}

char *trace_test_export(const muster_trace *trace) {
  int file = memfd_create("export", MFD_CLOEXEC);
  REQUIRE(file >= 0);
  CHECK_STATUS(muster_trace_export(trace, file), 0);
  off_t size = lseek(file, 0, SEEK_END);
  REQUIRE(size > 0);
  char *text = calloc((size_t)size + 1, 1);
  REQUIRE(text && pread(file, text, (size_t)size, 0) == size);
  close(file);
  return text;
}
