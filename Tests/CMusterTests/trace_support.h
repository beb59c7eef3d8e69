// What the tests of the trace share: traces in memory, events that tell by themselves whether they are whole.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_TRACE_SUPPORT_H
#define MUSTER_TRACE_SUPPORT_H

#include "muster/muster.h"
#include "test.h"

typedef struct trace_scene {
  void *memory;
  size_t size;
  muster_trace_shape shape;
} trace_scene;

// Laid over bytes that are no trace, in memory that forked children share.
trace_scene trace_test_scene(uint32_t recorders, uint32_t events, uint32_t names);
void trace_test_end(const trace_scene *scene);
muster_trace *trace_test_attach(const trace_scene *scene);
muster_trace *trace_test_look_at(const trace_scene *scene);  // read-only
muster_trace_recorder *trace_test_join(muster_trace *trace, const char *label);
void trace_test_leave(muster_trace_recorder *recorder);
void trace_test_close(muster_trace *trace);

// Records event `number` of a recorder: kind, name and value follow from it. Whether an event is that one.
int trace_test_record(muster_trace_recorder *recorder);
int trace_test_is_whole(const muster_trace_event *event);

// Reads all of one recorder, or of MUSTER_TRACE_ALL: how many events; each is whole, and no time goes back.
uint64_t trace_test_read_whole(const muster_trace *trace, uint32_t recorder);

// A text that holds all that is exported, to be freed.
char *trace_test_export(const muster_trace *trace);

// Checks a text against the published description of the Trace Event Format (trace_format.c). How many events there are of each
// phase, by its letter.
typedef struct trace_counts {
  uint32_t of[128];
  uint32_t left_open;  // B without E
} trace_counts;
trace_counts trace_test_check_format(const char *text);

#endif
