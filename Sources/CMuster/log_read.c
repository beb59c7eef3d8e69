// Reading: the records of all places, merged in the order of time.
//
// Of each place that has a next record, the reader holds a copy of it, its head; a heap orders the heads. A look reads the
// clock and then fills the heads that are missing. After it, the earliest head that is older than the hold-back can be
// given: had another place an earlier record, its writer would have read the clock before ours less the hold-back, and
// committed after we looked there. A place whose record was given is filled again before the next one is chosen.
// SPDX-License-Identifier: Apache-2.0
#include "muster/log_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal/caller.h"
#include "internal/futex.h"
#include "internal/log.h"
#include "internal/region_file.h"

enum { HOLD = 5000000, FIRST_SLICE = 1000000, LAST_SLICE = 32000000, WORDS = 96 };

#define NOBODY UINT32_MAX

// A year: what is added to a time and taken from one stays a number.
#define LONGEST_HOLD (INT64_C(365) * 86400 * 1000000000)

typedef struct log_stream {
  muster_ring *ring;       // NULL: there was no reading it
  unsigned char *bytes;    // of the head
  muster_ring_record head;
  uint32_t copied;         // bytes of the head that are here: all, or none
  int64_t time;            // of the head
  muster_deadline seen;    // when it was copied, if it said a time that was to be held back
  uint64_t lost;           // before the head, and not told yet
  muster_ring_place at;    // behind what was given
  int heaped;
  int corrupt;             // to be told
} log_stream;

struct muster_log_reader {
  muster_log *log;
  fork_guard guard;
  int64_t hold;
  int64_t horizon;         // by the last look: what is not later is old enough
  muster_deadline looked;
  int64_t slice;           // how long the next wait that finds nothing sleeps
  uint64_t passed;
  uint32_t count, heaped;
  uint32_t refill;         // whose record was given: its head is to be filled
  uint32_t ahead;          // whose record is decoded, and not given yet: then `at` will be
  muster_ring_place ahead_at;
  log_filter filter;
  log_decoded decoded;
  char words[WORDS];
  unsigned char *copies;
  uint32_t heap[MUSTER_LOG_PLACES_MAX];
  log_stream streams[];  // one for each place
};

// ---- The heap: the place with the earliest head first, of equals the one with the lower number.

static int is_before(const muster_log_reader *reader, uint32_t a, uint32_t b) {
  int64_t x = reader->streams[a].time, y = reader->streams[b].time;
  return x != y ? x < y : a < b;
}

static void heap_push(muster_log_reader *reader, uint32_t place) {
  uint32_t at = reader->heaped++, up;
  for (; at > 0 && is_before(reader, place, reader->heap[up = (at - 1) / 2]); at = up) reader->heap[at] = reader->heap[up];
  reader->heap[at] = place;
  reader->streams[place].heaped = 1;
}

static void heap_pop(muster_log_reader *reader) {
  reader->streams[reader->heap[0]].heaped = 0;
  uint32_t last = reader->heap[--reader->heaped], at = 0;
  for (uint32_t down; (down = 2 * at + 1) < reader->heaped; at = down) {
    if (down + 1 < reader->heaped && is_before(reader, reader->heap[down + 1], reader->heap[down])) down++;
    if (!is_before(reader, reader->heap[down], last)) break;
    reader->heap[at] = reader->heap[down];
  }
  reader->heap[at] = last;
}

// ---- Heads

// What no writer of a log leaves: a record too large to be one. It is passed over, and told.
static int skip(log_stream *stream) {
  int status = muster_ring_next(stream->ring, &stream->head);
  if (!status) (void)muster_ring_release(stream->ring);
  return status;
}

// `now`: when this look was, or 0: later.
static void fill(muster_log_reader *reader, uint32_t place, muster_deadline now) {
  log_stream *stream = &reader->streams[place];
  int status = muster_ring_read(stream->ring, stream->bytes, reader->log->largest, &stream->head);
  int is_too_large = status == EMSGSIZE;
  if (is_too_large) status = skip(stream);
  if (status == EAGAIN) return;
  if (status) {
    (void)muster_ring_close(stream->ring);
    stream->ring = NULL;
    stream->corrupt = 1;
    return;
  }
  stream->lost = stream->head.lost;
  stream->copied = is_too_large ? 0 : stream->head.size;
  stream->time = muster_log_time_of(stream->bytes, stream->copied);
  if (stream->time > reader->horizon) stream->seen = now ? now : muster_clock_now();
  heap_push(reader, place);
}

static void look(muster_log_reader *reader, int64_t hold) {
  reader->looked = muster_clock_now();
  reader->horizon = muster_log_clock() - hold;
  // The clocks before the rings.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  for (uint32_t k = 0; k < reader->count; k++)
    if (!reader->streams[k].heaped && reader->streams[k].ring) fill(reader, k, reader->looked);
}

static int is_due(const muster_log_reader *reader, int64_t hold) {
  if (!reader->heaped) return 0;
  const log_stream *first = &reader->streams[reader->heap[0]];
  return first->time <= reader->horizon || first->seen + hold <= reader->looked;
}

// ---- What is told

static muster_log_record *say(muster_log_reader *reader, uint32_t place, muster_log_kind kind, int64_t time) {
  muster_log_record *record = &reader->decoded.record;
  *record = (muster_log_record){.kind = kind, .level = MUSTER_LOG_WARNING, .time = time, .place = place};
  record->tags = reader->decoded.tags;
  record->pairs = reader->decoded.pairs;
  return record;
}

static void say_words(muster_log_reader *reader) {
  reader->decoded.record.message = muster_log_text_of(reader->words);
}

static void say_corrupt(muster_log_reader *reader, uint32_t place) {
  muster_log_record *record = say(reader, place, MUSTER_LOG_CORRUPT, muster_log_clock());
  record->level = MUSTER_LOG_ERROR;
  record->pid = (int32_t)__atomic_load_n(&log_seat_at(reader->log, place)->pid, __ATOMIC_RELAXED);
  record->number = reader->streams[place].at.number;
  snprintf(reader->words, WORDS, "place %" PRIu32 " of the log is corrupt: nothing more is read there", place);
  say_words(reader);
}

static void say_lost(muster_log_reader *reader, uint32_t place, uint64_t lost) {
  const log_stream *stream = &reader->streams[place];
  muster_log_record *record = say(reader, place, MUSTER_LOG_LOST, stream->time);
  record->pid = muster_log_pid_of(stream->bytes, stream->copied);
  record->lost = lost;
  record->number = stream->head.number - lost;
  snprintf(reader->words, WORDS, "%" PRIu64 " record%s overwritten before being read", lost, lost == 1 ? " was" : "s were");
  say_words(reader);
}

static void say_unreadable(muster_log_reader *reader, uint32_t place) {
  muster_log_record *record = say(reader, place, MUSTER_LOG_UNREADABLE, muster_log_clock());
  record->pid = (int32_t)__atomic_load_n(&log_seat_at(reader->log, place)->pid, __ATOMIC_RELAXED);
  record->number = reader->streams[place].head.number;
  snprintf(reader->words, WORDS, "what was written here is no record: %" PRIu32 " bytes", reader->streams[place].head.size);
  say_words(reader);
}

// The next of what there is to tell, into `decoded`: the place it is of. Of what the reader holds, so there always is.
static uint32_t tell_first(muster_log_reader *reader, muster_ring_place *at) {
  uint32_t place = reader->heap[0];
  log_stream *stream = &reader->streams[place];
  *at = (muster_ring_place){stream->head.position, stream->head.number};
  if (stream->lost) {
    say_lost(reader, place, stream->lost);
    stream->lost = 0;
    return place;
  }
  heap_pop(reader);
  reader->refill = place;
  *at = (muster_ring_place){stream->head.position + muster_ring_extent(stream->head.size), stream->head.number + 1};
  if (muster_log_decode(stream->bytes, stream->copied, &reader->decoded)) say_unreadable(reader, place);
  reader->decoded.record.place = place;
  reader->decoded.record.number = stream->head.number;
  return place;
}

static uint32_t find_corrupt(const muster_log_reader *reader) {
  for (uint32_t k = 0; k < reader->count; k++)
    if (reader->streams[k].corrupt) return k;
  return NOBODY;
}

// Puts what was told ahead, or passes it over when the filter does not ask for it: whether it is ahead.
static int put_ahead(muster_log_reader *reader, uint32_t place, muster_ring_place at) {
  reader->passed++;
  if (!muster_log_filter_takes(&reader->filter, &reader->decoded.record)) return reader->streams[place].at = at, 0;
  reader->ahead = place;
  reader->ahead_at = at;
  return 1;
}

static void refill(muster_log_reader *reader) {
  uint32_t place = reader->refill;
  reader->refill = NOBODY;
  if (place != NOBODY && reader->streams[place].ring) fill(reader, place, 0);
}

// How many records all rings can hold: who passes over more than that in one call, without a second look, is fed by somebody
// who writes as fast as this reads, with times of the past.
static uint64_t most_of(const muster_log_reader *reader) {
  return (uint64_t)reader->count * (reader->log->bytes / 8 + 1);
}

// 0: something is ahead; EAGAIN, EPERM. Looks once: what is due by then is finite.
static int advance(muster_log_reader *reader, int64_t hold) {
  if (muster_fork_inherited(&reader->guard)) return EPERM;
  if (reader->ahead != NOBODY) return 0;
  uint64_t most = reader->passed + most_of(reader);
  for (int looked = 0; reader->passed < most;) {
    refill(reader);
    uint32_t corrupt = find_corrupt(reader);
    if (corrupt != NOBODY) {
      reader->streams[corrupt].corrupt = 0;
      say_corrupt(reader, corrupt);
      if (put_ahead(reader, corrupt, reader->streams[corrupt].at)) return 0;
      continue;
    }
    if (!is_due(reader, hold)) {
      if (looked) return EAGAIN;
      look(reader, hold);
      looked = 1;
      continue;
    }
    muster_ring_place at;
    uint32_t place = tell_first(reader, &at);
    if (put_ahead(reader, place, at)) return 0;
  }
  return EAGAIN;
}

int muster_log_advance(muster_log_reader *reader, int all, muster_log_record *record) {
  int status = advance(reader, all ? 0 : reader->hold);
  if (status) return status;
  reader->streams[reader->ahead].at = reader->ahead_at;
  reader->ahead = NOBODY;
  *record = reader->decoded.record;
  return 0;
}

int muster_log_next(muster_log_reader *reader, muster_log_record *record) {
  return muster_log_advance(reader, 0, record);
}

uint64_t muster_log_passed(const muster_log_reader *reader) { return reader->passed; }

void muster_log_reader_position(const muster_log_reader *reader, muster_log_position *position) {
  position->count = reader->count;
  position->reserved = 0;
  for (uint32_t k = 0; k < reader->count; k++) position->places[k] = reader->streams[k].at;
}

// ---- Waiting

// When there will be something, or when to look again.
static muster_deadline look_again(const muster_log_reader *reader, int64_t slice) {
  muster_deadline when = reader->looked + slice;
  if (!reader->heaped) return when;
  const log_stream *first = &reader->streams[reader->heap[0]];
  muster_deadline old = reader->looked + LAST_SLICE, shown = first->seen + reader->hold;
  if (first->time - reader->horizon < LAST_SLICE) old = reader->looked + (first->time - reader->horizon);
  if (shown < old) old = shown;
  return old < when ? old : when;
}

static int poll(muster_log_reader *reader, muster_deadline *again) {
  int status = advance(reader, reader->hold);
  if (status != EAGAIN) return reader->slice = FIRST_SLICE, status;
  *again = look_again(reader, reader->slice);
  if (reader->slice < LAST_SLICE) reader->slice *= 2;
  return EAGAIN;
}

int muster_log_poll(muster_log_reader *reader, muster_wait_set *set) {
  set->count = 0;
  int status = poll(reader, &set->recheck);
  if (status != EAGAIN) return status;
  const uint32_t *word = reader->log->level;
  muster_wait_set_add(set, word, __atomic_load_n(word, __ATOMIC_RELAXED));
  return EAGAIN;
}

static int wait_for_more(muster_log_reader *reader, muster_deadline deadline) {
  for (;;) {
    muster_deadline again;
    int status = poll(reader, &again);
    if (status != EAGAIN) return status;
    if (muster_deadline_passed(deadline)) return ETIMEDOUT;
    muster_region_sleep_until(again < deadline ? again : deadline);
  }
}

int muster_log_wait(muster_log_reader *reader, muster_deadline deadline) {
  muster_caller caller = muster_enter();
  int status = wait_for_more(reader, deadline);
  muster_leave(caller);
  return status;
}

// ---- Opening

// 0, and `ring` NULL where it is corrupt.
static int start_stream(muster_log_reader *reader, uint32_t place, const muster_log_reader_options *options) {
  log_stream *stream = &reader->streams[place];
  stream->bytes = reader->copies + (size_t)place * reader->log->largest;
  const muster_ring_place *at = options->from == MUSTER_LOG_AT ? &options->position->places[place] : NULL;
  if (at) stream->at = *at;
  muster_ring *ring;
  int status = muster_log_ring(reader->log, place, 1, &ring);
  if (status == EBADMSG) return stream->corrupt = 1, 0;
  if (status) return status;
  status = muster_ring_start_reading(ring, (muster_ring_from)options->from, at);
  // A ring that was laid anew knows nothing of that place.
  if (status == EINVAL) status = muster_ring_start_reading(ring, MUSTER_RING_OLDEST, NULL), at = NULL;
  if (status && status != ESTALE) {
    (void)muster_ring_close(ring);
    if (status == EAGAIN || status == ENOMEM || status == EPERM) return status;
    return stream->corrupt = 1, 0;
  }
  stream->ring = ring;
  // Of what is gone nothing was told yet.
  if (status != ESTALE) (void)muster_ring_position(ring, &stream->at);
  return 0;
}

void muster_log_reader_close(muster_log_reader *reader) {
  if (!reader) return;
  for (uint32_t k = 0; k < reader->count; k++) (void)muster_ring_close(reader->streams[k].ring);
  __atomic_fetch_sub(&reader->log->users, 1, __ATOMIC_RELEASE);
  muster_log_filter_drop(&reader->filter);
  free(reader->copies);
  free(reader);
}

static int are_options(const muster_log *log, const muster_log_reader_options *options) {
  if ((uint32_t)options->from > MUSTER_LOG_AT) return 0;
  return options->from != MUSTER_LOG_AT || (options->position && options->position->count == log->places);
}

int muster_log_reader_open(muster_log *log, const muster_log_reader_options *options, muster_log_reader **reader) {
  *reader = NULL;
  if (muster_fork_inherited(&log->guard)) return EPERM;
  if (!are_options(log, options)) return EINVAL;
  int saved = errno;
  muster_log_reader *made = calloc(1, sizeof *made + log->places * sizeof *made->streams);
  unsigned char *copies = malloc((size_t)log->places * log->largest);
  errno = saved;
  if (!made || !copies) return free(made), free(copies), ENOMEM;
  made->log = log;
  made->guard = log->guard;
  made->copies = copies;
  made->count = log->places;
  made->refill = made->ahead = NOBODY;
  made->slice = FIRST_SLICE;
  made->hold = options->hold < 0 ? 0 : options->hold > LONGEST_HOLD ? LONGEST_HOLD : options->hold ? options->hold : HOLD;
  __atomic_fetch_add(&log->users, 1, __ATOMIC_RELAXED);
  int status = muster_log_filter_copy(&options->filter, &made->filter);
  for (uint32_t k = 0; !status && k < made->count; k++) status = start_stream(made, k, options);
  if (status) return muster_log_reader_close(made), status;
  *reader = made;
  return 0;
}
