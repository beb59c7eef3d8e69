// Reading what was recorded: one recorder, and all of them in the order of time.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal/trace.h"

enum { ATTEMPTS = 16 };

int muster_trace_view(const muster_trace *trace, const trace_scale *scale, uint32_t index, trace_view *view) {
  for (int turn = 0; turn < ATTEMPTS; turn++) {
    *view = (trace_view){.trace = trace, .index = index, .last = INT64_MIN};
    muster_trace_see(trace, index, &view->seen);
    if (!view->seen.number) return ENOENT;
    uint64_t first = view->seen.who.first, end = muster_trace_end_of(trace, index);
    if (!trace_is_session(trace, index, view->seen.number)) continue;
    if (end < first || end >= TRACE_NUMBERS_END) end = first;
    view->end = end;
    view->oldest = end - first > trace->shape.events ? end - trace->shape.events : first;
    view->next = view->oldest;
    view->origin = muster_trace_origin(scale, &view->seen.who);
    return 0;
  }
  return ENOENT;
}

// A slot's words, if they are of event `number`: arguments 1 and 2 in the header.
static int load(const trace_view *view, uint64_t number, uint64_t words[TRACE_SLOT_WORDS]) {
  const uint64_t *slot = trace_slot(view->trace, view->index, number);
  if (__atomic_load_n(slot, __ATOMIC_ACQUIRE) != number + 1) return 0;
  for (int i = 1; i < TRACE_SLOT_WORDS; i++) words[i] = __atomic_load_n(slot + i, __ATOMIC_ACQUIRE);
  return __atomic_load_n(slot, __ATOMIC_ACQUIRE) == number + 1;
}

static int64_t not_before(int64_t time, int64_t last) { return time > last ? time : last; }

static int64_t duration_of(const trace_view *view, uint64_t began, int64_t time) {
  int64_t duration;
  if (__builtin_sub_overflow(time, muster_trace_time(&view->origin, began), &duration)) return 0;
  return duration > 0 ? duration : 0;
}

static int tell(trace_view *view, uint64_t number, const uint64_t words[TRACE_SLOT_WORDS], muster_trace_event *event) {
  uint64_t kind = words[3] & 0xff;
  if (kind < MUSTER_TRACE_BEGIN || kind > MUSTER_TRACE_ASYNC_INSTANT || words[3] >> 24) return 0;
  *event = (muster_trace_event){.time = not_before(muster_trace_time(&view->origin, words[1]), view->last),
                                .value = words[2],
                                .number = number,
                                .recorder = view->index,
                                .kind = (muster_trace_kind)kind,
                                .name = (uint16_t)(words[3] >> 8),
                                .lost = view->lost};
  if (kind == MUSTER_TRACE_SPAN) {
    event->duration = duration_of(view, words[2], event->time);
    event->value = 0;
  }
  view->last = event->time;
  view->lost = 0;
  return 1;
}

int muster_trace_view_next(trace_view *view, muster_trace_event *event) {
  uint64_t words[TRACE_SLOT_WORDS];
  while (view->next < view->end) {
    uint64_t number = view->next++;
    if (load(view, number, words) && tell(view, number, words, event)) return 0;
    view->lost++;
  }
  view->next = view->end;
  return ENOENT;
}

void muster_trace_describe(const trace_view *view, muster_trace_recorder_info *info) {
  const trace_identity *who = &view->seen.who;
  *info = (muster_trace_recorder_info){.life = view->seen.life,
                                       .pid = who->pid,
                                       .thread = who->thread,
                                       .this_boot = who->boot == view->trace->boot,
                                       .start = who->start,
                                       .session = view->seen.number,
                                       .joined = muster_trace_time(&view->origin, who->ticks),
                                       .joined_real = who->real,
                                       .first = who->first,
                                       .end = view->end,
                                       .oldest = view->oldest};
  memcpy(info->process, who->process, sizeof info->process);
  memcpy(info->label, who->label, sizeof info->label);
}

// ---- Cursors

// A recorder, and its next event, which is read already.
typedef struct head {
  trace_view view;
  muster_trace_event event;
  int there;
} head;

struct muster_trace_cursor {
  uint32_t first;  // the recorder of the first head
  uint32_t count;
  uint32_t used;   // heads of which anything was known
  head heads[];
};

static void go_on(head *of) { of->there = !muster_trace_view_next(&of->view, &of->event); }

int muster_trace_read(const muster_trace *trace, uint32_t recorder, muster_trace_cursor **cursor) {
  *cursor = NULL;
  int all = recorder == MUSTER_TRACE_ALL;
  if (!all && recorder >= trace->shape.recorders) return EINVAL;
  uint32_t count = all ? trace->shape.recorders : 1;
  int saved = errno;
  muster_trace_cursor *made = calloc(1, sizeof *made + count * sizeof(head));
  errno = saved;
  if (!made) return ENOMEM;
  made->first = all ? 0 : recorder;
  made->count = count;
  trace_scale scale;
  muster_trace_scale(trace, &scale);
  for (uint32_t k = 0; k < count; k++) {
    if (muster_trace_view(trace, &scale, made->first + k, &made->heads[k].view)) continue;
    go_on(&made->heads[k]);
    made->used = k + 1;
  }
  *cursor = made;
  return 0;
}

int muster_trace_next(muster_trace_cursor *cursor, muster_trace_event *event) {
  head *earliest = NULL;
  for (uint32_t k = 0; k < cursor->used; k++) {
    head *one = &cursor->heads[k];
    if (one->there && (!earliest || one->event.time < earliest->event.time)) earliest = one;
  }
  if (!earliest) return ENOENT;
  *event = earliest->event;
  go_on(earliest);
  return 0;
}

int muster_trace_cursor_recorder(const muster_trace_cursor *cursor, uint32_t index, muster_trace_recorder_info *info) {
  *info = (muster_trace_recorder_info){.life = MUSTER_TRACE_UNUSED};
  if (index < cursor->first || index - cursor->first >= cursor->count) return EINVAL;
  const head *of = &cursor->heads[index - cursor->first];
  if (of->view.seen.number) muster_trace_describe(&of->view, info);
  return 0;
}

void muster_trace_cursor_close(muster_trace_cursor *cursor) { free(cursor); }

// ---- The fast paths, out of line

MUSTER_NONBLOCKING int muster_trace_record(muster_trace_recorder *recorder, muster_trace_kind kind, uint16_t name,
                                           uint64_t value) {
  return muster_trace_put(recorder, kind, name, value);
}

MUSTER_NONBLOCKING uint64_t muster_trace_now(const muster_trace_recorder *recorder) {
  return recorder ? muster_trace_ticks(recorder->clock) : 0;
}
