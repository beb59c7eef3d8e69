// A record taken apart, each length checked, and whether a filter takes it.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>

#include "internal/log.h"

int64_t muster_log_time_of(const unsigned char *bytes, uint32_t size) {
  int64_t time = 0;
  if (size >= sizeof time) memcpy(&time, bytes, sizeof time);
  return time;
}

// What is left to be taken apart.
typedef struct rest {
  const unsigned char *bytes;
  uint32_t size;
} rest;

static int take(rest *from, uint32_t size, const unsigned char **bytes) {
  if (size > from->size) return EBADMSG;
  *bytes = from->bytes;
  from->bytes += size;
  from->size -= size;
  return 0;
}

static int take_number(rest *from, void *number, uint32_t size) {
  const unsigned char *bytes;
  if (take(from, size, &bytes)) return EBADMSG;
  memcpy(number, bytes, size);
  return 0;
}

static int take_text(rest *from, uint32_t size, muster_log_text *text) {
  const unsigned char *bytes;
  if (take(from, size, &bytes)) return EBADMSG;
  *text = (muster_log_text){.bytes = (const char *)bytes, .size = size};
  return 0;
}

static int take_pair(rest *from, muster_log_pair *pair) {
  uint8_t type, key;
  uint16_t value;
  if (take_number(from, &type, 1) || take_number(from, &key, 1) || take_number(from, &value, 2)) return EBADMSG;
  if (type < MUSTER_LOG_STRING || type > MUSTER_LOG_BOOL) return EBADMSG;
  muster_log_text name, text = {0};
  uint64_t bits = 0;
  if (take_text(from, key, &name)) return EBADMSG;
  if (type == MUSTER_LOG_STRING) {
    if (take_text(from, value, &text)) return EBADMSG;
  } else if (value != LOG_NUMBER || take_number(from, &bits, LOG_NUMBER)) {
    return EBADMSG;
  }
  *pair = (muster_log_pair){.key = name.bytes, .text = text.bytes, .bits = bits, .key_size = name.size,
                            .text_size = text.size, .type = (muster_log_type)type};
  return 0;
}

int32_t muster_log_pid_of(const unsigned char *bytes, uint32_t size) {
  uint64_t word = 0;
  if (size >= LOG_RECORD_HEAD) memcpy(&word, bytes + sizeof word, sizeof word);
  return (int32_t)(uint32_t)word;
}

static uint32_t byte_of(uint64_t word, uint32_t index) { return (uint8_t)(word >> 8 * index); }

int muster_log_decode(const unsigned char *bytes, uint32_t size, log_decoded *decoded) {
  muster_log_record *record = &decoded->record;
  *record = (muster_log_record){.tags = decoded->tags, .pairs = decoded->pairs};
  if (size < LOG_RECORD_HEAD) return EBADMSG;
  uint64_t words[4];
  memcpy(words, bytes, sizeof words);
  record->time = (int64_t)words[0];
  record->pid = (int32_t)(uint32_t)words[1];
  record->thread = (uint32_t)(words[1] >> 32);
  const uint32_t version = byte_of(words[2], 0), level = byte_of(words[2], 1), flags = words[2] >> 16 & 0xffff;
  const uint32_t tags = byte_of(words[3], 0), pairs = byte_of(words[3], 1), file = byte_of(words[3], 3);
  if (words[3] >> 40) return EBADMSG;
  if (version != LOG_RECORD_VERSION || level > MUSTER_LOG_CRITICAL || flags & ~(uint32_t)(LOG_CUT | LOG_CORRELATED) ||
      tags > MUSTER_LOG_TAGS_MAX || pairs > MUSTER_LOG_PAIRS_MAX)
    return EBADMSG;
  record->level = (muster_log_level)level;
  record->cut = (flags & LOG_CUT) != 0;
  record->has_correlation = (flags & LOG_CORRELATED) != 0;
  rest from = {bytes + LOG_RECORD_HEAD, size - LOG_RECORD_HEAD};
  if (record->has_correlation && take_number(&from, record->correlation, 16)) return EBADMSG;
  if (file && take_number(&from, &record->line, 4)) return EBADMSG;
  if (take_text(&from, (uint32_t)(words[2] >> 32), &record->message) ||
      take_text(&from, byte_of(words[3], 2), &record->label) || take_text(&from, file, &record->file) ||
      take_text(&from, byte_of(words[3], 4), &record->function))
    return EBADMSG;
  for (; record->tag_count < tags; record->tag_count++) {
    uint8_t length;
    if (take_number(&from, &length, 1) || take_text(&from, length, &decoded->tags[record->tag_count])) return EBADMSG;
  }
  for (; record->pair_count < pairs; record->pair_count++)
    if (take_pair(&from, &decoded->pairs[record->pair_count])) return EBADMSG;
  return from.size ? EBADMSG : 0;
}

// ---- Filters

static muster_log_text keep(char **at, muster_log_text text) {
  char *bytes = *at;
  if (text.size && text.bytes) memcpy(bytes, text.bytes, text.size);
  else text.size = 0;
  *at += text.size;
  return (muster_log_text){.bytes = bytes, .size = text.size};
}

int muster_log_filter_copy(const muster_log_filter *asked, log_filter *filter) {
  *filter = (log_filter){.asked = *asked};
  if (asked->tags && asked->tag_count > MUSTER_LOG_TAGS_MAX) return EINVAL;
  if (!asked->tags) filter->asked.tag_count = 0;
  size_t size = asked->label ? asked->label->size : 0;
  for (uint32_t k = 0; k < filter->asked.tag_count; k++) size += asked->tags[k].size;
  int saved = errno;
  char *at = filter->texts = malloc(size + 1);
  errno = saved;
  if (!at) return ENOMEM;
  for (uint32_t k = 0; k < filter->asked.tag_count; k++) filter->tags[k] = keep(&at, asked->tags[k]);
  if (asked->label) filter->label = keep(&at, *asked->label);
  if (asked->correlation) memcpy(filter->correlation, asked->correlation, 16);
  return 0;
}

void muster_log_filter_drop(log_filter *filter) { free(filter->texts); }

static int same(muster_log_text a, muster_log_text b) {
  return a.size == b.size && (!a.size || !memcmp(a.bytes, b.bytes, a.size));
}

static int has_tags(const log_filter *filter, const muster_log_record *record) {
  for (uint32_t k = 0; k < filter->asked.tag_count; k++) {
    uint32_t i = 0;
    while (i < record->tag_count && !same(record->tags[i], filter->tags[k])) i++;
    if (i == record->tag_count) return 0;
  }
  return 1;
}

int muster_log_filter_takes(const log_filter *filter, const muster_log_record *record) {
  const muster_log_filter *asked = &filter->asked;
  if (asked->pid && record->pid && asked->pid != record->pid) return 0;
  if (record->kind != MUSTER_LOG_WRITTEN) return 1;
  if ((uint32_t)record->level < (uint32_t)asked->least) return 0;
  if ((asked->from && record->time < asked->from) || (asked->until && record->time >= asked->until)) return 0;
  if (asked->correlation &&
      (!record->has_correlation || memcmp(record->correlation, filter->correlation, sizeof filter->correlation)))
    return 0;
  if (asked->label && !same(filter->label, record->label)) return 0;
  return has_tags(filter, record);
}
