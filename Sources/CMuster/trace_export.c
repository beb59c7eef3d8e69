// What was recorded as JSON, in the Trace Event Format, to a descriptor.
//
// It goes recorder by recorder (the format leaves the order free), through a buffer on the stack, so that a handler of a
// fatal signal can call it: no allocation, no lock, no libc that formats.
//
// The format wants spans of a thread to nest: each E ends the innermost B that is open. What is kept is a stretch of a
// recorder's events, so at its beginning may be ends whose begins are overwritten, and at its end begins without ends.
//   an end without its begin    a complete span (X) from the first event that is kept
//   a begin without its end     stays open, where the thread lives or died: a viewer draws it to the end, as not
//                               terminated; of one who left it is ended at its last event
//   a gap                       (what was overwritten while this read) ends all that are open; a complete span whose begin it
//                               swallowed begins behind it
//
// Viewers sort by time, and Perfetto takes the ends of a moment before its begins. So an end comes a nanosecond behind its begin at
// least, where the clock did not go on between the two, and what follows comes no earlier. Perfetto also drops what has a negative time:
// where there is something of an earlier boot, all times are so many whole seconds later that there is none.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "internal/trace.h"

// ---- Text

typedef struct output {
  int descriptor;
  int status;
  int any;        // an event was written
  int64_t shift;  // nanoseconds that all times are later by
  size_t used;
  char buffer[4096];
} output;

static void flush(output *out) {
  size_t done = 0;
  while (!out->status && done < out->used) {
    ssize_t wrote = write(out->descriptor, out->buffer + done, out->used - done);
    if (wrote > 0) done += (size_t)wrote;
    else if (wrote == 0 || errno != EINTR) out->status = wrote == 0 ? EIO : errno;
  }
  out->used = 0;
}

static void put(output *out, char c) {
  if (out->used == sizeof out->buffer) flush(out);
  out->buffer[out->used++] = c;
}

static void put_text(output *out, const char *text) {
  while (*text) put(out, *text++);
}

// Beyond the ends of all times is the end: there is only what somebody scribbled.
static int64_t sum(int64_t one, int64_t other) {
  int64_t both;
  return __builtin_add_overflow(one, other, &both) ? (other < 0 ? INT64_MIN : INT64_MAX) : both;
}

static int64_t difference(int64_t one, int64_t other) {
  int64_t left;
  return __builtin_sub_overflow(one, other, &left) ? (other < 0 ? INT64_MAX : INT64_MIN) : left;
}

static void put_number(output *out, uint64_t number, unsigned base, int least) {
  char digits[24];
  int count = 0;
  do digits[count++] = "0123456789abcdef"[number % base];
  while ((number /= base) || count < least);
  while (count) put(out, digits[--count]);
}

static void put_signed(output *out, int64_t number) {
  if (number < 0) put(out, '-');
  put_number(out, number < 0 ? -(uint64_t)number : (uint64_t)number, 10, 1);
}

// Microseconds, with the nanoseconds behind the point.
static void put_time(output *out, int64_t nanoseconds) {
  uint64_t size = nanoseconds < 0 ? -(uint64_t)nanoseconds : (uint64_t)nanoseconds;
  if (nanoseconds < 0) put(out, '-');
  put_number(out, size / 1000, 10, 1);
  put(out, '.');
  put_number(out, size % 1000, 10, 3);
}

// Bytes of the character of UTF-8 that begins here; 0: there is none. What is shorter or longer than need be, surrogates, and what lies
// behind the last character are none (RFC 3629).
static int character(const unsigned char *text) {
  unsigned char first = text[0], least = 0x80, most = 0xbf;
  int length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (first == 0xe0) least = 0xa0;
  if (first == 0xed) most = 0x9f;
  if (first == 0xf0) least = 0x90;
  if (first == 0xf4) most = 0x8f;
  for (int k = 1; k < length; k++, least = 0x80, most = 0xbf)
    if (text[k] < least || text[k] > most) return 0;
  return length;
}

// A string of JSON, whatever the bytes are.
static void put_string(output *out, const char *string) {
  const unsigned char *text = (const unsigned char *)string;
  put(out, '"');
  while (*text) {
    int length = character(text);
    if (!length) {
      put_text(out, "\\ufffd");
      text++;
    } else if (*text < 0x20 || *text == 0x7f || *text == '"' || *text == '\\') {
      put_text(out, "\\u");
      put_number(out, *text++, 16, 4);
    } else {
      while (length--) put(out, (char)*text++);
    }
  }
  put(out, '"');
}

// ---- Events

typedef struct export_state {
  output *out;
  const muster_trace *trace;
  const trace_view *view;
  uint32_t thread;
  int64_t first;  // the time of the first event that is kept, or behind a gap
  int64_t last;   // of the last that was written
  int64_t began;  // of the last begin
  uint32_t depth; // spans that are open
  int any;
} export_state;

// {"ph":"B","pid":1,"tid":2,"ts":3.000 – what is left open is closed by the caller.
static void open_event(output *out, char phase, int32_t pid, uint32_t thread, int64_t time) {
  put_text(out, out->any ? ",\n" : "\n");
  out->any = 1;
  put_text(out, "{\"ph\":\"");
  put(out, phase);
  put_text(out, "\",\"pid\":");
  put_signed(out, pid);
  put_text(out, ",\"tid\":");
  put_number(out, thread, 10, 1);
  put_text(out, ",\"ts\":");
  put_time(out, sum(time, out->shift));
}

static void open_here(const export_state *state, char phase, int64_t time) {
  open_event(state->out, phase, state->view->seen.who.pid, state->thread, time);
}

static void put_name(const export_state *state, uint16_t name, const char *category) {
  char text[MUSTER_TRACE_NAME_SIZE];
  (void)muster_trace_name_text(state->trace, name, text);
  put_text(state->out, ",\"name\":");
  put_string(state->out, text);
  put_text(state->out, ",\"cat\":\"");
  put_text(state->out, category);
  put(state->out, '"');
}

static void put_id(const export_state *state, uint64_t value) {
  put_text(state->out, ",\"id\":\"0x");
  put_number(state->out, value, 16, 1);
  put(state->out, '"');
}

// `cut`: one end of the span was not recorded, or is not there any more.
static void close_event(const export_state *state, uint64_t id, int cut) {
  if (id || cut) {
    put_text(state->out, ",\"args\":{");
    if (cut) put_text(state->out, id ? "\"cut\":true," : "\"cut\":true");
    if (id) {
      put_text(state->out, "\"id\":");
      put_number(state->out, id, 10, 1);
    }
    put(state->out, '}');
  }
  put(state->out, '}');
}

static void put_plain(const export_state *state, const muster_trace_event *event, char phase) {
  open_here(state, phase, event->time);
  put_name(state, event->name, "muster");
  if (phase == 'i') put_text(state->out, ",\"s\":\"t\"");
  close_event(state, event->value, 0);
}

static void put_span(const export_state *state, const muster_trace_event *event, int64_t began, int cut) {
  open_here(state, 'X', began);
  put_name(state, event->name, "muster");
  put_text(state->out, ",\"dur\":");
  put_time(state->out, difference(event->time, began));
  close_event(state, event->value, cut);
}

static void put_counter(const export_state *state, const muster_trace_event *event) {
  open_here(state, 'C', event->time);
  put_name(state, event->name, "muster");
  put_text(state->out, ",\"args\":{\"value\":");
  put_signed(state->out, (int64_t)event->value);
  put_text(state->out, "}}");
}

// What goes from thread to thread is joined by name, category and id.
static void put_joined(const export_state *state, const muster_trace_event *event, char phase, const char *category) {
  open_here(state, phase, event->time);
  put_name(state, event->name, category);
  put_id(state, event->value);
  if (phase == 'f') put_text(state->out, ",\"bp\":\"e\"");
  put(state->out, '}');
}

// What Muster itself has to say about a thread.
static void put_remark(const export_state *state, int64_t time, const char *what, const char *key, uint64_t value) {
  open_here(state, 'i', time);
  put_text(state->out, ",\"name\":\"");
  put_text(state->out, what);
  put_text(state->out, "\",\"cat\":\"muster.remark\",\"s\":\"t\",\"args\":{\"");
  put_text(state->out, key);
  put_text(state->out, "\":");
  put_number(state->out, value, 10, 1);
  put_text(state->out, "}}");
}

static int64_t later(int64_t one, int64_t other) { return one > other ? one : other; }

// When a span ends that was open at `time`.
static int64_t end_time(const export_state *state, int64_t time) { return later(time, sum(state->began, 1)); }

static void end_open(export_state *state) {
  if (state->depth) state->last = end_time(state, state->last);
  for (; state->depth; state->depth--) {
    open_here(state, 'E', state->last);
    close_event(state, 0, 1);
  }
}

// The time of an event, and of what follows, as it is written.
static void settle_time(export_state *state, muster_trace_event *event) {
  int64_t time = later(event->time, state->last);
  if (event->kind == MUSTER_TRACE_END && state->depth) time = end_time(state, time);
  if (event->kind == MUSTER_TRACE_SPAN) event->duration = sum(event->duration, difference(time, event->time));
  event->time = state->last = time;
}

static void put_event(export_state *state, const muster_trace_event *event) {
  switch (event->kind) {
    case MUSTER_TRACE_BEGIN:
      state->depth++;
      state->began = event->time;
      put_plain(state, event, 'B');
      return;
    case MUSTER_TRACE_END:
      if (!state->depth) {
        put_span(state, event, state->first, 1);
        return;
      }
      state->depth--;
      put_plain(state, event, 'E');
      return;
    case MUSTER_TRACE_INSTANT: put_plain(state, event, 'i'); return;
    case MUSTER_TRACE_COUNTER: put_counter(state, event); return;
    case MUSTER_TRACE_SPAN: put_span(state, event, difference(event->time, event->duration), 0); return;
    case MUSTER_TRACE_FLOW_OUT: put_joined(state, event, 's', "flow"); return;
    case MUSTER_TRACE_FLOW_STEP: put_joined(state, event, 't', "flow"); return;
    case MUSTER_TRACE_FLOW_IN: put_joined(state, event, 'f', "flow"); return;
    case MUSTER_TRACE_ASYNC_BEGIN: put_joined(state, event, 'b', "async"); return;
    case MUSTER_TRACE_ASYNC_END: put_joined(state, event, 'e', "async"); return;
    case MUSTER_TRACE_ASYNC_INSTANT: put_joined(state, event, 'n', "async"); return;
  }
}

// ---- Threads

static void put_metadata(const export_state *state, const char *what, const char *name) {
  open_here(state, 'M', 0);
  put_text(state->out, ",\"name\":\"");
  put_text(state->out, what);
  put_text(state->out, "\",\"args\":{\"name\":");
  put_string(state->out, name);
  put_text(state->out, "}}");
}

static void put_end(export_state *state) {
  if (state->view->seen.life == MUSTER_TRACE_LEFT) end_open(state);
  if (state->view->seen.life == MUSTER_TRACE_DIED)
    put_remark(state, state->last, "died", "pid", (uint64_t)(uint32_t)state->view->seen.who.pid);
}

// Spans nest by thread number, so each recorder needs one of its own. A thread that has joined more than once (a Swift process joins by one
// thread) has a number beyond those of the kernel, which end at 22 bits, for each but the first.
static uint32_t track_of(const trace_view *view) {
  const trace_identity *who = &view->seen.who;
  for (uint32_t k = 0; k < view->index; k++) {
    trace_seen other;
    muster_trace_see(view->trace, k, &other);
    if (other.number && other.who.pid == who->pid && other.who.thread == who->thread)
      return who->thread + ((view->index + 1) << TRACE_PID_BITS);
  }
  return who->thread;
}

static void put_recorder(output *out, const muster_trace *trace, const trace_scale *scale, uint32_t index) {
  trace_view view;
  if (muster_trace_view(trace, scale, index, &view)) return;
  export_state state = {.out = out, .trace = trace, .view = &view, .thread = track_of(&view)};
  state.last = state.began = muster_trace_time(&view.origin, view.seen.who.ticks);
  put_metadata(&state, "process_name", view.seen.who.process);
  put_metadata(&state, "thread_name", view.seen.who.label);
  muster_trace_event event;
  while (!out->status && !muster_trace_view_next(&view, &event)) {
    if (event.lost) end_open(&state);
    settle_time(&state, &event);
    if (event.lost) put_remark(&state, event.time, "lost", "events", event.lost);
    if (!state.any || event.lost) state.first = event.time;
    state.any = 1;
    put_event(&state, &event);
  }
  put_end(&state);
}

static void put_freeze(output *out, const muster_trace *trace) {
  int32_t pid;
  int64_t at;
  if (!muster_trace_is_frozen(trace, &pid, &at)) return;
  open_event(out, 'i', pid, (uint32_t)pid, at);
  put_text(out, ",\"name\":\"frozen\",\"cat\":\"muster.remark\",\"s\":\"g\"}");
}

static int64_t shift_of(const muster_trace *trace, const trace_scale *scale) {
  const int64_t second = 1000000000;
  int64_t earliest = 0;
  for (uint32_t k = 0; k < trace->shape.recorders; k++) {
    trace_seen seen;
    muster_trace_see(trace, k, &seen);
    if (!seen.number) continue;
    trace_origin origin = muster_trace_origin(scale, &seen.who);
    int64_t joined = muster_trace_time(&origin, seen.who.ticks);
    if (joined < earliest) earliest = joined;
  }
  return earliest < 0 ? difference(second - 1, earliest) / second * second : 0;
}

int muster_trace_export(const muster_trace *trace, int descriptor) {
  int saved = errno;
  output out;
  out.descriptor = descriptor;
  out.status = out.any = 0;
  out.used = 0;
  trace_scale scale;
  muster_trace_scale(trace, &scale);
  out.shift = shift_of(trace, &scale);
  put_text(&out, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"producer\":\"muster\",\"clock\":\"CLOCK_MONOTONIC\"");
  put_text(&out, ",\"real_less_monotonic_ns\":");
  put_signed(&out, scale.offset);
  put_text(&out, ",\"ts_less_monotonic_ns\":");
  put_signed(&out, out.shift);
  put_text(&out, "},\"traceEvents\":[");
  for (uint32_t k = 0; k < trace->shape.recorders && !out.status; k++) put_recorder(&out, trace, &scale, k);
  put_freeze(&out, trace);
  put_text(&out, "\n]}\n");
  flush(&out);
  errno = saved;
  return out.status;
}
