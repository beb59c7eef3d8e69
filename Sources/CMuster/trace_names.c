// The table of names: entries are only ever added, by whoever comes first, and never change.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "internal/trace.h"

// Not in the midst of a character of UTF-8.
static size_t cut(const char *text) {
  size_t length = strnlen(text, MUSTER_TRACE_NAME_SIZE);
  if (length < MUSTER_TRACE_NAME_SIZE) return length;
  length = MUSTER_TRACE_NAME_SIZE - 1;
  while (length && ((unsigned char)text[length] & 0xc0) == 0x80) length--;
  return length;
}

static int is_name(const trace_name *entry, const char *text, size_t length) {
  return !memcmp(entry->text, text, length) && !entry->text[length];
}

static void fill(trace_name *entry, const char *text, size_t length) {
  memset(entry->text, 0, sizeof entry->text);
  memcpy(entry->text, text, length);
  __atomic_store_n(&entry->state, (uint32_t)TRACE_NAME_READY, __ATOMIC_RELEASE);
}

// Whether the entry is the caller's to fill; *state is what it was. Who has claimed one first may be writing another name, or this one,
// or be dead: then the next entry will do.
static int claim(trace_name *entry, uint32_t *state) {
  return *state == TRACE_NAME_EMPTY &&
         __atomic_compare_exchange_n(&entry->state, state, (uint32_t)TRACE_NAME_CLAIMED, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

int muster_trace_name(muster_trace *trace, const char *text, uint16_t *name) {
  *name = MUSTER_TRACE_NAME_OTHER;
  size_t length = cut(text);
  if (!length) return EINVAL;
  for (uint32_t k = 1; k <= trace->shape.names; k++) {
    trace_name *entry = &trace->names[k];
    uint32_t state = __atomic_load_n(&entry->state, __ATOMIC_ACQUIRE);
    if (state == TRACE_NAME_EMPTY && trace->read_only) return EACCES;
    if (claim(entry, &state)) return fill(entry, text, length), *name = (uint16_t)k, 0;
    if (state == TRACE_NAME_READY && is_name(entry, text, length)) return *name = (uint16_t)k, 0;
  }
  return trace->read_only ? EACCES : EOVERFLOW;
}

int muster_trace_name_text(const muster_trace *trace, uint16_t name, char text[MUSTER_TRACE_NAME_SIZE]) {
  memcpy(text, "?", 2);
  if (name > trace->shape.names) return ENOENT;
  const trace_name *entry = &trace->names[name];
  if (__atomic_load_n(&entry->state, __ATOMIC_ACQUIRE) != TRACE_NAME_READY) return ENOENT;
  memcpy(text, entry->text, MUSTER_TRACE_NAME_SIZE);
  text[MUSTER_TRACE_NAME_SIZE - 1] = 0;
  return 0;
}
