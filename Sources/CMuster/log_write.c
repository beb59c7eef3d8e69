// Writing: one record, built where it stays.
//
// Threads of the process exclude each other by `lock`: the number of the thread that writes, with WAITING when others
// sleep for it. Its holder is known, so that a signal handler which interrupted it is refused instead of waiting for itself.
// The word is the process's own; its holder dies with all who wait for it. A forked child never comes to it: EPERM first.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "internal/futex.h"
#include "internal/group.h"
#include "internal/log.h"

#define WAITING (UINT32_C(1) << 31)

// How often to look before sleeping: a record takes some tens of nanoseconds. And the text that a format makes.
enum { SPINS = 100, FORMATTED = 4096, SHORT_MOST = 255, PREFETCHED = 256 };

// ---- Which thread writes

static int wait_for_lock(muster_log *log, uint32_t self) {
  uint32_t seen = __atomic_load_n(&log->lock, __ATOMIC_RELAXED);
  if ((seen & ~WAITING) == self) return EDEADLK;
  uint32_t spins = muster_spinning() && muster_processors() > 1 ? SPINS : 0;
  for (uint32_t turn = 0; turn < spins; turn++) {
    uint32_t none = 0;
    if (!__atomic_load_n(&log->lock, __ATOMIC_RELAXED) &&
        __atomic_compare_exchange_n(&log->lock, &none, self, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      return 0;
    muster_cpu_pause();
  }
  // Who has slept can't tell whether others still do: so it says that they do.
  for (;;) {
    seen = __atomic_load_n(&log->lock, __ATOMIC_RELAXED);
    if (!seen) {
      if (__atomic_compare_exchange_n(&log->lock, &seen, self | WAITING, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return 0;
    } else if (seen & WAITING || __atomic_compare_exchange_n(&log->lock, &seen, seen | WAITING, 0, __ATOMIC_RELAXED,
                                                             __ATOMIC_RELAXED)) {
      (void)muster_futex_wait(&log->lock, seen | WAITING, MUSTER_DEADLINE_NEVER);
    }
  }
}

static inline int take_lock(muster_log *log, uint32_t self) {
  uint32_t none = 0;
  if (__builtin_expect(
          __atomic_compare_exchange_n(&log->lock, &none, self, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED), 1))
    return 0;
  return wait_for_lock(log, self);
}

static inline void give_lock(muster_log *log) {
  if (__builtin_expect(__atomic_exchange_n(&log->lock, 0u, __ATOMIC_RELEASE) & WAITING, 0))
    muster_futex_wake_one(&log->lock);
}

// ---- What goes into a record, and how much room it takes

typedef struct log_content {
  const char *message;
  uint32_t message_size;
  uint32_t size;  // of all, the head included
  uint32_t tag_count, pair_count;
  uint16_t flags;
  muster_log_text label, file, function;
  const uint8_t *correlation;
  uint32_t line;
  const muster_log_text *tags;
  const muster_log_pair *pairs;
} log_content;

static inline uint32_t pair_size(const muster_log_pair *pair) {
  return 4 + pair->key_size + (pair->type == MUSTER_LOG_STRING ? pair->text_size : LOG_NUMBER);
}

static uint32_t fixed_size(const log_content *content) {
  return LOG_RECORD_HEAD + (content->correlation ? 16u : 0u) + (content->file.size ? 4u : 0u) + content->label.size +
         content->file.size + content->function.size;
}

uint32_t muster_log_cut(const char *text, uint32_t size, uint32_t most) {
  if (size <= most) return size;
  uint32_t at = most;
  for (int turn = 0; turn < 3 && at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80; turn++) at--;
  return ((unsigned char)text[at] & 0xc0) == 0x80 ? most : at;
}

static muster_log_text plain(muster_log_text text) {
  if (!text.bytes) text.size = 0;
  return text;
}

// The sizes of what is neither too long nor too many; -1: something is, or is no value. All of it fits into 32 bits: each
// part was compared with what it may be at most.
static inline int64_t size_of(const log_content *content) {
  uint32_t size = fixed_size(content);
  if (content->label.size > SHORT_MOST || content->file.size > SHORT_MOST || content->function.size > SHORT_MOST ||
      content->tag_count > MUSTER_LOG_TAGS_MAX || content->pair_count > MUSTER_LOG_PAIRS_MAX)
    return -1;
  for (uint32_t k = 0; k < content->tag_count; k++) {
    if (content->tags[k].size > SHORT_MOST || !content->tags[k].bytes) return -1;
    size += 1 + content->tags[k].size;
  }
  for (uint32_t k = 0; k < content->pair_count; k++) {
    const muster_log_pair *pair = &content->pairs[k];
    if (pair->key_size > SHORT_MOST || pair->text_size > UINT16_MAX || !pair->key ||
        (uint32_t)pair->type - 1 >= MUSTER_LOG_BOOL || (pair->type == MUSTER_LOG_STRING && !pair->text))
      return -1;
    size += pair_size(pair);
  }
  return size;
}

// ---- What is too large is cut

typedef struct log_trimmed {
  muster_log_text tags[MUSTER_LOG_TAGS_MAX];
  muster_log_pair pairs[MUSTER_LOG_PAIRS_MAX];
} log_trimmed;

static void trim_text(log_content *content, muster_log_text *text) {
  uint32_t size = muster_log_cut(text->bytes, text->size, SHORT_MOST);
  if (size != text->size) content->flags |= LOG_CUT;
  text->size = size;
}

// Of a path the end tells more than the beginning.
static void trim_file(log_content *content) {
  muster_log_text *file = &content->file;
  if (file->size <= SHORT_MOST) return;
  file->bytes += file->size - SHORT_MOST;
  file->size = SHORT_MOST;
  content->flags |= LOG_CUT;
}

static int trim_pair(log_content *content, muster_log_pair *pair) {
  if ((uint32_t)pair->type - 1 >= MUSTER_LOG_BOOL) return EINVAL;
  if (!pair->key) pair->key = "", pair->key_size = 0;
  uint32_t key = muster_log_cut(pair->key, pair->key_size, SHORT_MOST);
  if (pair->type != MUSTER_LOG_STRING || !pair->text) pair->text = "", pair->text_size = 0;
  uint32_t text = muster_log_cut(pair->text, pair->text_size, UINT16_MAX);
  if (key != pair->key_size || text != pair->text_size) content->flags |= LOG_CUT;
  pair->key_size = key;
  pair->text_size = text;
  return 0;
}

// Copies what may be too long, each cut to what it may be at most.
static int trim(log_content *content, log_trimmed *trimmed) {
  trim_text(content, &content->label);
  trim_text(content, &content->function);
  trim_file(content);
  if (content->tag_count > MUSTER_LOG_TAGS_MAX) content->tag_count = MUSTER_LOG_TAGS_MAX, content->flags |= LOG_CUT;
  if (content->pair_count > MUSTER_LOG_PAIRS_MAX) content->pair_count = MUSTER_LOG_PAIRS_MAX, content->flags |= LOG_CUT;
  for (uint32_t k = 0; k < content->tag_count; k++) {
    trimmed->tags[k] = plain(content->tags[k]);
    trim_text(content, &trimmed->tags[k]);
  }
  for (uint32_t k = 0; k < content->pair_count; k++) {
    trimmed->pairs[k] = content->pairs[k];
    int status = trim_pair(content, &trimmed->pairs[k]);
    if (status) return status;
  }
  content->tags = trimmed->tags;
  content->pairs = trimmed->pairs;
  return 0;
}

// Keeps of the tags, then of the pairs, those that fit into `room`, and of a string as much as does; what is left.
static uint32_t fit(log_content *content, log_trimmed *trimmed, uint32_t room) {
  uint32_t tags = 0, pairs = 0;
  for (uint32_t k = 0; k < content->tag_count; k++) {
    if (1 + trimmed->tags[k].size > room) continue;
    room -= 1 + trimmed->tags[k].size;
    trimmed->tags[tags++] = trimmed->tags[k];
  }
  for (uint32_t k = 0; k < content->pair_count; k++) {
    muster_log_pair pair = trimmed->pairs[k];
    if (pair.type == MUSTER_LOG_STRING && pair_size(&pair) > room && 4 + pair.key_size < room)
      pair.text_size = muster_log_cut(pair.text, pair.text_size, room - 4 - pair.key_size);
    if (pair_size(&pair) > room) continue;
    room -= pair_size(&pair);
    trimmed->pairs[pairs++] = pair;
  }
  content->tag_count = tags;
  content->pair_count = pairs;
  return room;
}

static int make_fit(log_content *content, log_trimmed *trimmed, uint32_t largest, size_t message_size) {
  int status = trim(content, trimmed);
  if (status) return status;
  uint64_t others = 0;
  for (uint32_t k = 0; k < content->tag_count; k++) others += 1 + trimmed->tags[k].size;
  for (uint32_t k = 0; k < content->pair_count; k++) others += pair_size(&trimmed->pairs[k]);
  uint32_t room = largest - fixed_size(content);
  uint64_t most = others < room / 2 ? room - others : room / 2;
  uint32_t given = message_size < UINT32_MAX ? (uint32_t)message_size : UINT32_MAX;
  content->message_size = muster_log_cut(content->message, given, most < UINT32_MAX ? (uint32_t)most : UINT32_MAX);
  room -= content->message_size;
  if (message_size > content->message_size || others > room) content->flags |= LOG_CUT;
  content->size = largest - fit(content, trimmed, room);
  return 0;
}

// ---- The bytes

static inline unsigned char *lay(unsigned char *to, const void *bytes, uint32_t size) {
  memcpy(to, bytes, size);
  return to + size;
}

static inline unsigned char *lay_text(unsigned char *to, muster_log_text text) {
  return text.size ? lay(to, text.bytes, text.size) : to;
}

static inline unsigned char *lay_pair(unsigned char *to, const muster_log_pair *pair) {
  int string = pair->type == MUSTER_LOG_STRING;
  uint16_t size = (uint16_t)(string ? pair->text_size : LOG_NUMBER);
  to[0] = (unsigned char)pair->type;
  to[1] = (unsigned char)pair->key_size;
  memcpy(to + 2, &size, 2);
  to = lay(to + 4, pair->key, pair->key_size);
  if (string) return lay(to, pair->text, size);
  memcpy(to, &pair->bits, LOG_NUMBER);
  return to + LOG_NUMBER;
}

// Put together in registers: a structure filled by bytes and copied by words waits for each of its stores.
static inline unsigned char *lay_head(unsigned char *to, const log_content *content, int64_t time, uint64_t writer,
                                      uint32_t level) {
  uint64_t what = LOG_RECORD_VERSION | level << 8 | (uint32_t)content->flags << 16, words[4];
  words[0] = (uint64_t)time;
  words[1] = writer;
  words[2] = what | (uint64_t)content->message_size << 32;
  words[3] = content->tag_count | content->pair_count << 8 | content->label.size << 16 | content->file.size << 24 |
             (uint64_t)content->function.size << 32;
  return lay(to, words, sizeof words);
}

static inline void lay_record(unsigned char *to, const log_content *content, int64_t time, uint64_t writer,
                              uint32_t level) {
  to = lay_head(to, content, time, writer, level);
  if (content->correlation) to = lay(to, content->correlation, 16);
  if (content->file.size) to = lay(to, &content->line, 4);
  if (content->message_size) to = lay(to, content->message, content->message_size);
  to = lay_text(to, content->label);
  to = lay_text(to, content->file);
  to = lay_text(to, content->function);
  for (uint32_t k = 0; k < content->tag_count; k++) {
    *to = (unsigned char)content->tags[k].size;
    to = lay_text(to + 1, content->tags[k]);
  }
  for (uint32_t k = 0; k < content->pair_count; k++) to = lay_pair(to, &content->pairs[k]);
}

// With the lock. The time is taken with it, too, so that the records of a place follow each other in time.
static inline int commit(muster_log *log, uint32_t level, uint32_t thread, const log_content *content) {
  if (__builtin_expect(muster_group_was_lost(log->ring->writers), 0)) return EOWNERDEAD;
  void *place;
  // Latest mode never waits; an error is one of what somebody scribbled into the shared memory.
  if (muster_ring_writer_claim(log->writer, content->size, MUSTER_DEADLINE_NOW, &place)) return EBADMSG;
  // The lines come while the clock is read; the release of the lock waits for what was stored into them.
  for (uint32_t at = 0; at < PREFETCHED; at += 64) __builtin_prefetch((unsigned char *)place + at, 1, 3);
  int64_t now = muster_log_clock();
  lay_record(place, content, now, log->pid | (uint64_t)thread << 32, level);
  __atomic_store_n(&log->seat->touched, now, __ATOMIC_RELAXED);
  return muster_ring_writer_commit(log->writer) ? EBADMSG : 0;
}

static int put_content(muster_log *log, uint32_t level, const log_content *content) {
  liveness_thread *self = &muster_liveness_thread;
  if (__builtin_expect(self->guard.token != log->guard.token, 0)) {
    int status = muster_liveness_know_thread();
    if (status) return status;
  }
  int status = take_lock(log, self->id);
  if (status) return status;
  status = commit(log, level, self->id, content);
  give_lock(log);
  return status;
}

// Not inlined, so that what is cut has no room on the stack of what is not.
__attribute__((noinline)) static int put_cut(muster_log *log, uint32_t level, log_content *content, size_t size) {
  log_trimmed trimmed;
  int status = make_fit(content, &trimmed, log->largest, size);
  return status ? status : put_content(log, level, content);
}

static inline int put(muster_log *log, uint32_t level, const char *message, size_t size,
                      const muster_log_fields *fields, uint16_t flags) {
  if (level > MUSTER_LOG_CRITICAL) return EINVAL;
  if (level < __atomic_load_n(log->level, __ATOMIC_RELAXED)) return 0;
  if (__builtin_expect(muster_fork_inherited(&log->guard), 0)) return EPERM;
  if (__builtin_expect(!log->writer, 0)) return EINVAL;
  static const muster_log_fields none;
  if (!fields) fields = &none;
  if (!message) size = 0;
  // Each field is stored once: to clear it all first takes longer than to fill it in.
  log_content content;
  content.message = message;
  content.message_size = (uint32_t)size;
  content.flags = (uint16_t)(flags | (fields->correlation ? LOG_CORRELATED : 0));
  content.label = plain(fields->label);
  content.file = plain(fields->file);
  content.function = plain(fields->function);
  content.line = fields->line;
  content.correlation = fields->correlation;
  content.tags = fields->tags;
  content.pairs = fields->pairs;
  content.tag_count = fields->tags ? fields->tag_count : 0;
  content.pair_count = fields->pairs ? fields->pair_count : 0;
  int64_t others = size_of(&content);
  if (__builtin_expect(others < 0 || size > log->largest || (uint64_t)others + size > log->largest, 0))
    return put_cut(log, level, &content, size);
  content.size = (uint32_t)others + (uint32_t)size;
  return put_content(log, level, &content);
}

int muster_log_put(muster_log *log, muster_log_level level, const char *message, size_t size,
                   const muster_log_fields *fields) {
  return put(log, (uint32_t)level, message, size, fields, 0);
}

int muster_log_printf(muster_log *log, muster_log_level level, const muster_log_fields *fields, const char *format,
                      ...) {
  if ((uint32_t)level > MUSTER_LOG_CRITICAL) return EINVAL;
  if (!muster_log_enabled(log, level)) return 0;
  if (muster_fork_inherited(&log->guard)) return EPERM;
  char text[FORMATTED];
  int saved = errno;
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  errno = saved;
  if (size < 0) return EINVAL;
  int cut = size >= FORMATTED;
  uint32_t kept = cut ? muster_log_cut(text, FORMATTED - 1, FORMATTED - 4) : (uint32_t)size;
  return put(log, (uint32_t)level, text, kept, fields, cut ? LOG_CUT : 0);
}
