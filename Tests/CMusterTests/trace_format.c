// Checks JSON text against the "Trace Event Format" description (the Chromium project's document of that name).
//
// From the description: an object with the array traceEvents; each event an object with ph; all but metadata with ts, a number
// of microseconds; pid and tid; name for all but E; B and E of one thread nest, and are in the order of time; X has dur;
// C has args of numbers; i has s, one of g, p, t; s, t, f have an id and, as b, e, n, a category by which they are joined;
// M is process_name or thread_name with args.name.
//
// And what Perfetto asks for beyond that: no time is negative (those it drops), and an E is later than its B (at one moment it takes the
// E first).
// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "trace_support.h"

// What is known of one event, by the names of its members.
typedef struct one_event {
  char ph[8], name[512], cat[64], id[64], s[8], args_name[512];
  double pid, tid, ts, dur, args_number;
  int has_ph, has_pid, has_tid, has_ts, has_dur, has_name, has_cat, has_id, has_s, has_args, has_args_name, has_args_number;
} one_event;

typedef struct thread_of {
  double pid, tid, last, began;
  uint32_t depth;
} thread_of;

typedef struct parser {
  const char *at;
  int in_events, in_args, saw_events;
  one_event event;
  trace_counts counts;
  thread_of threads[512];
  size_t thread_count;
} parser;

static void bad(const parser *p, const char *what) {
  test_fail(__FILE__, __LINE__, "%s, at: %.120s", what, p->at);
  test_end();
}

static void skip_space(parser *p) {
  while (*p->at && strchr(" \t\r\n", *p->at)) p->at++;
}

static void expect(parser *p, char c) {
  skip_space(p);
  if (*p->at != c) bad(p, "not JSON");
  p->at++;
}

static int next_is(parser *p, char c) {
  skip_space(p);
  return *p->at == c;
}

static int hex4(parser *p) {
  int value = 0;
  for (int k = 0; k < 4; k++) {
    const char *digits = "0123456789abcdefABCDEF", *found = *p->at ? strchr(digits, *p->at) : NULL;
    if (!found) bad(p, "not four hexadecimal digits");
    value = value * 16 + (found - digits < 16 ? (int)(found - digits) : (int)(found - digits) - 6);
    p->at++;
  }
  return value;
}

static void put_byte(char *text, size_t size, size_t *used, int byte) {
  if (*used + 1 < size) text[(*used)++] = (char)byte;
}

static void string(parser *p, char *text, size_t size) {
  size_t used = 0;
  expect(p, '"');
  while (*p->at != '"') {
    unsigned char c = (unsigned char)*p->at;
    if (c < 0x20) bad(p, "a control character, or the end, in a string");
    p->at++;
    if (c != '\\') {
      put_byte(text, size, &used, c);
      continue;
    }
    char escape = *p->at++;
    if (escape != 'u') {
      if (!escape || !strchr("\"\\/bfnrt", escape)) bad(p, "an unknown escape");
      put_byte(text, size, &used, escape);
      continue;
    }
    int code = hex4(p);
    put_byte(text, size, &used, code < 0x80 ? code : '?');
  }
  p->at++;
  text[used] = 0;
}

static double number(parser *p) {
  char *end;
  skip_space(p);
  if (!strchr("-0123456789", *p->at)) bad(p, "not a number");
  if (*p->at == '0' && p->at[1] >= '0' && p->at[1] <= '9') bad(p, "a leading zero");
  double value = strtod(p->at, &end);
  if (end == p->at) bad(p, "not a number");
  p->at = end;
  return value;
}

static void value(parser *p, const char *key);

static void take_string(parser *p, const char *key) {
  one_event *e = &p->event;
  char text[512];
  string(p, text, sizeof text);
  const struct {
    const char *key;
    char *to;
    size_t size;
    int *has;
  } members[] = {{"ph", e->ph, sizeof e->ph, &e->has_ph},       {"name", e->name, sizeof e->name, &e->has_name},
                 {"cat", e->cat, sizeof e->cat, &e->has_cat},   {"id", e->id, sizeof e->id, &e->has_id},
                 {"s", e->s, sizeof e->s, &e->has_s}};
  if (!p->in_events) return;
  if (p->in_args) {
    if (strcmp(key, "name")) return;
    memcpy(e->args_name, text, sizeof text);
    e->has_args_name = 1;
    return;
  }
  for (size_t k = 0; k < sizeof members / sizeof *members; k++) {
    if (strcmp(key, members[k].key)) continue;
    if (*members[k].has || strlen(text) >= members[k].size) bad(p, "a member twice, or too long");
    strcpy(members[k].to, text);
    *members[k].has = 1;
  }
}

static void take_number(parser *p, const char *key) {
  one_event *e = &p->event;
  double got = number(p);
  const struct {
    const char *key;
    double *to;
    int *has;
  } members[] = {{"pid", &e->pid, &e->has_pid}, {"tid", &e->tid, &e->has_tid}, {"ts", &e->ts, &e->has_ts},
                 {"dur", &e->dur, &e->has_dur}};
  if (!p->in_events) return;
  if (p->in_args) {
    e->args_number = got;
    e->has_args_number = 1;
    return;
  }
  for (size_t k = 0; k < sizeof members / sizeof *members; k++) {
    if (strcmp(key, members[k].key)) continue;
    if (*members[k].has) bad(p, "a member twice");
    *members[k].to = got;
    *members[k].has = 1;
  }
}

static void object(parser *p) {
  char key[64];
  expect(p, '{');
  if (next_is(p, '}')) {
    p->at++;
    return;
  }
  for (;;) {
    string(p, key, sizeof key);
    expect(p, ':');
    value(p, key);
    if (!next_is(p, ',')) break;
    p->at++;
  }
  expect(p, '}');
}

static thread_of *thread_in(parser *p) {
  for (size_t k = 0; k < p->thread_count; k++)
    if (p->threads[k].pid == p->event.pid && p->threads[k].tid == p->event.tid) return &p->threads[k];
  REQUIRE(p->thread_count < sizeof p->threads / sizeof *p->threads);
  thread_of *made = &p->threads[p->thread_count++];
  *made = (thread_of){.pid = p->event.pid, .tid = p->event.tid, .last = -1e300, .began = -1e300};
  return made;
}

static void check_event(parser *p) {
  const one_event *e = &p->event;
  if (!e->has_ph || strlen(e->ph) != 1) bad(p, "an event without a phase");
  char phase = e->ph[0];
  if (!strchr("BEXiCstfbenM", phase)) bad(p, "an unknown phase");
  p->counts.of[(unsigned char)phase]++;
  if (!e->has_pid || !e->has_tid || !e->has_ts) bad(p, "an event without pid, tid or ts");
  if (e->pid != (double)(int32_t)e->pid || e->tid != (double)(uint32_t)e->tid) bad(p, "pid or tid are no integers");
  if (phase != 'E' && (!e->has_name || !e->name[0])) bad(p, "an event without a name");
  if (phase == 'X' && (!e->has_dur || e->dur < 0)) bad(p, "X without dur");
  if (phase != 'X' && e->has_dur) bad(p, "dur in another phase than X");
  if (phase == 'i' && (!e->has_s || strlen(e->s) != 1 || !strchr("gpt", e->s[0]))) bad(p, "i without a scope");
  if (phase == 'C' && (!e->has_args || !e->has_args_number || e->has_args_name)) bad(p, "C without a number");
  if (strchr("stfben", phase) && (!e->has_id || !e->id[0] || !e->has_cat || !e->cat[0])) bad(p, "no id, or no category");
  if (phase == 'M') {
    if (strcmp(e->name, "process_name") && strcmp(e->name, "thread_name")) bad(p, "metadata of no known kind");
    if (!e->has_args || !e->has_args_name) bad(p, "metadata without args.name");
    return;
  }
  if (phase == 'X' || (phase == 'i' && e->s[0] == 'g')) return;
  thread_of *thread = thread_in(p);
  if (e->ts < thread->last) bad(p, "a thread's time goes back");
  if (e->ts < 0) bad(p, "a time that Perfetto drops");
  // Beyond that a double has no nanoseconds.
  if (phase == 'E' && e->ts <= thread->began && e->ts < 1e12) bad(p, "an end that Perfetto puts before its begin");
  thread->last = e->ts;
  if (phase == 'B') thread->depth++, thread->began = e->ts;
  if (phase == 'E' && !thread->depth--) bad(p, "E without B");
}

static void array(parser *p, int events) {
  expect(p, '[');
  p->in_events = events;
  if (next_is(p, ']')) {
    p->in_events = 0;
    p->at++;
    return;
  }
  for (;;) {
    if (events) memset(&p->event, 0, sizeof p->event);
    value(p, "");
    if (events) check_event(p);
    if (!next_is(p, ',')) break;
    p->at++;
  }
  p->in_events = 0;
  expect(p, ']');
}

static void value(parser *p, const char *key) {
  skip_space(p);
  if (*p->at == '"') {
    take_string(p, key);
    return;
  }
  if (*p->at == '[') {
    int events = !p->in_events && !strcmp(key, "traceEvents");
    p->saw_events |= events;
    array(p, events);
    return;
  }
  if (*p->at == '{') {
    int args = p->in_events && !strcmp(key, "args");
    if (args) p->event.has_args = 1;
    p->in_args = args;
    object(p);
    p->in_args = 0;
    return;
  }
  const char *words[] = {"true", "false", "null"};
  for (int k = 0; k < 3; k++) {
    if (strncmp(p->at, words[k], strlen(words[k]))) continue;
    p->at += strlen(words[k]);
    return;
  }
  take_number(p, key);
}

trace_counts trace_test_check_format(const char *text) {
  static parser p;
  p = (parser){.at = text};
  object(&p);
  skip_space(&p);
  if (*p.at) bad(&p, "something behind the end");
  if (!p.saw_events) bad(&p, "no traceEvents");
  for (size_t k = 0; k < p.thread_count; k++) p.counts.left_open += p.threads[k].depth;
  return p.counts;
}
