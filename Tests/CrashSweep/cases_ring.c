// The ring: readers get what was committed and nothing else, whatever became of the writer or of another reader.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "muster/ring.h"
#include "sweep.h"

enum { BYTES = 4096, BEGUN = 3, SLEEPERS = 2, ROOM = SWEEP_ARENA / 2 };

// What a case is about, beside its functions.
enum { LATEST = 1, WRAPS = 2, LAPPED = 4 };

// Beside the ring, what the processes of a case tell each other.
typedef struct notes {
  uint32_t ready;
  int32_t partner;
  uint32_t count;
  int32_t slept[SLEEPERS];
  muster_ring_record record;
  muster_ring_place place;
  unsigned char bytes[256];
} notes;

static notes *note(void) { return (notes *)(void *)(sweep->arena + ROOM); }

static muster_ring *mine, *ours, *reader;
static pid_t partner, sleepers[SLEEPERS];
static uint64_t seen;  // records that `reader` has read

static muster_ring *attach(void) {
  muster_ring *ring;
  SWEEP_STATUS(muster_ring_attach(sweep->arena, ROOM, &ring), 0);
  return ring;
}

static uint32_t size_of(uint64_t number) { return (uint32_t)(number * 13 % 90); }

static void fill(void *bytes, uint64_t number) { memset(bytes, (int)(number % 251 + 1), size_of(number)); }

static int write_number(muster_ring *ring, uint64_t number, muster_deadline deadline) {
  unsigned char bytes[96];
  fill(bytes, number);
  return muster_ring_write(ring, bytes, size_of(number), deadline);
}

static uint64_t next_number(const muster_ring *ring) {
  muster_ring_place end;
  SWEEP_STATUS(muster_ring_position(ring, &end), 0);
  return end.number;
}

static int write_next(muster_ring *ring) { return write_number(ring, next_number(ring), sweep_deadline()); }

static void check_bytes(const void *bytes, uint32_t size, uint64_t number) {
  SWEEP_EQUAL(size, size_of(number));
  for (uint32_t i = 0; i < size; i++) SWEEP_EQUAL(((const unsigned char *)bytes)[i], number % 251 + 1);
}

// Reads on to the end, each record as it has to be.
static uint64_t read_rest(muster_ring *ring, uint64_t from) {
  muster_ring_record record;
  int status;
  while (!(status = muster_ring_next(ring, &record))) {
    if (sweep->variant & LATEST) from += record.lost;
    else SWEEP_EQUAL(record.lost, 0);
    SWEEP_EQUAL(record.number, from);
    check_bytes(record.bytes, record.size, from++);
    SWEEP_STATUS(muster_ring_release(ring), 0);
  }
  SWEEP_STATUS(status, EAGAIN);
  return from;
}

static uint64_t look(void) { return seen = read_rest(reader, seen); }

// ---- The world before: some records, by one who stopped writing, and a reader who has read none or, of one that went
// round already, all but the last.

static uint32_t begun;

static void lay_with(int with_reader) {
  muster_ring_mode mode = sweep->variant & LATEST ? MUSTER_RING_LATEST : MUSTER_RING_LOSSLESS;
  SWEEP_STATUS(muster_ring_init(sweep->arena, ROOM, BYTES, mode), 0);
  ours = attach();
  reader = attach();
  SWEEP_STATUS(muster_ring_start_writing(ours, NULL), 0);
  begun = BEGUN;
  while (sweep->variant & LAPPED && begun < 300) SWEEP_STATUS(write_number(ours, begun++ - BEGUN, MUSTER_DEADLINE_NOW), 0);
  if (sweep->variant & LAPPED) begun -= BEGUN;
  // The next record doesn't fit before the end.
  uint64_t end = 0;
  if (sweep->variant & WRAPS) {
    muster_ring_place at;
    for (begun = 0;; begun++) {
      SWEEP_STATUS(muster_ring_position(ours, &at), 0);
      end = at.position + 8 + size_of(begun);
      if (end > BYTES) break;
      SWEEP_STATUS(write_number(ours, begun, MUSTER_DEADLINE_NOW), 0);
    }
  } else if (!(sweep->variant & LAPPED)) {
    for (uint32_t n = 0; n < begun; n++) SWEEP_STATUS(write_number(ours, n, MUSTER_DEADLINE_NOW), 0);
  }
  SWEEP_STATUS(muster_ring_stop_writing(ours), 0);
  seen = sweep->variant ? begun : 0;
  if (with_reader)
    SWEEP_STATUS(muster_ring_start_reading(reader, sweep->variant ? MUSTER_RING_NEWEST : MUSTER_RING_OLDEST, NULL), 0);
}

static void lay(void) { lay_with(1); }

static int writes_and_reads(int number) {
  muster_ring *writer = attach(), *other = attach();
  int status = muster_ring_start_writing(writer, NULL);
  if (status) return status;
  SWEEP_STATUS(muster_ring_start_reading(other, MUSTER_RING_NEWEST, NULL), 0);
  uint64_t from = next_number(writer);
  for (int i = 0; i < number; i++) {
    SWEEP_STATUS(write_next(writer), 0);
    SWEEP_EQUAL(read_rest(other, from + (uint64_t)i), from + (uint64_t)i + 1);
  }
  SWEEP_STATUS(muster_ring_close(other), 0);
  return muster_ring_close(writer);
}

static int writes_only(int number) {
  (void)number;
  muster_ring *writer = attach();
  int status = muster_ring_start_writing(writer, NULL);
  if (!status) status = write_next(writer);
  return status ? status : muster_ring_close(writer);
}

// A successor takes over, is told of a death or of none, and goes on at the last record; then newcomers go round the
// ring.
static void check_successor(int died) {
  muster_ring_predecessor found;
  uint64_t end = look();
  SWEEP_STATUS(muster_ring_start_writing(ours, &found), 0);
  SWEEP_EQUAL(found.end.number, end);
  if (died >= 0) SWEEP_EQUAL(found.died, died);
  if (found.died) SWEEP_CHECK(found.pid == sweep->operator_pid || found.pid == note()->partner || !found.pid);
  for (int i = 0; i < 5; i++) {
    SWEEP_STATUS(write_next(ours), 0);
    SWEEP_EQUAL(look(), ++end);
  }
  SWEEP_STATUS(muster_ring_close(reader), 0);
  SWEEP_STATUS(muster_ring_stop_writing(ours), 0);
  sweep_newcomer(writes_and_reads, 150);
}

// ---- Writing, while others sleep until something comes. The kernel wakes one of them when the writer dies, so that one
// wakes the other.

static int waits_for_more(int number) {
  muster_ring *ring = attach();
  SWEEP_STATUS(muster_ring_start_reading(ring, MUSTER_RING_NEWEST, NULL), 0);
  __atomic_fetch_add(&note()->ready, 1, __ATOMIC_RELEASE);
  note()->slept[number] = muster_ring_wait(ring, sweep_deadline());
  return muster_ring_close(ring);
}

static void write_setup(void) {
  lay();
  for (int k = 0; k < SLEEPERS; k++) {
    sleepers[k] = sweep_peer(waits_for_more, k);
    while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) <= (uint32_t)k) sweep_pause(50000);
    sweep_settle(sleepers[k]);
  }
}

static void prepare(void) { mine = attach(); }

static void writer_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_ring_start_writing(mine, NULL), 0);
}

static int write_operate(void) { return write_next(mine); }

static int claim_operate(void) {
  void *place;
  uint64_t number = next_number(mine);
  int status = muster_ring_claim(mine, size_of(number), MUSTER_DEADLINE_NOW, &place);
  if (status) return status;
  fill(place, number);
  return muster_ring_commit(mine);
}

// Two records at once; and two that never were before them.
static int batch_operate(void) {
  void *place;
  uint64_t number = next_number(mine);
  for (int turn = 0; turn < 2; turn++) {
    for (uint64_t n = number; n < number + 2; n++) {
      int status = muster_ring_claim(mine, size_of(n), MUSTER_DEADLINE_NOW, &place);
      if (status) return status;
      fill(place, turn ? n : 0);
    }
    if (!turn) SWEEP_STATUS(muster_ring_cancel(mine), 0);
  }
  return muster_ring_commit(mine);
}

static uint64_t written_by_operate;  // records of one operation

static void finish(void) { SWEEP_STATUS(muster_ring_close(mine), 0); }

static int starts_writing(int number) {
  (void)number;
  return muster_ring_start_writing(attach(), NULL);
}

static uint64_t one_or_the_other(void) {
  uint64_t end = look();
  SWEEP_CHECK(end == begun || end == begun + written_by_operate);
  return end;
}

static void write_meanwhile(void) {
  if (!written_by_operate) written_by_operate = 1;
  uint64_t end = one_or_the_other();
  SWEEP_EQUAL(sweep_reap(sweep_peer(starts_writing, 0)), EBUSY);
  SWEEP_EQUAL(look(), end);
}

static void write_check(void) {
  if (!written_by_operate) written_by_operate = 1;
  uint64_t end = one_or_the_other();
  if (sweep->injection == SWEEP_CRASH) sweep_found(end == begun ? SWEEP_BEFORE : SWEEP_AFTER);
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_EQUAL(end, begun + written_by_operate);
  }
  // The sleepers learn of the record, or of the death of who was to write it.
  for (int k = 0; k < SLEEPERS; k++) {
    SWEEP_STATUS(sweep_reap(sleepers[k]), 0);
    SWEEP_STATUS(note()->slept[k], end == begun ? EOWNERDEAD : 0);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successor(sweep->injection == SWEEP_CRASH);
}

static void batch_meanwhile(void) {
  written_by_operate = 2;
  write_meanwhile();
}

static void batch_check(void) {
  written_by_operate = 2;
  write_check();
}

// ---- Writing into a full ring: the writer sleeps until a reader releases, or dies.

static int holds_then(int dies) {
  muster_ring *ring = attach();
  SWEEP_STATUS(muster_ring_start_reading(ring, MUSTER_RING_OLDEST, NULL), 0);
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) < 2) sweep_pause(50000);
  sweep_operator_asleep();
  if (dies) raise(SIGKILL);
  for (uint64_t from = 0; from < note()->count / 2; from++) {
    muster_ring_record record;
    SWEEP_STATUS(muster_ring_next(ring, &record), 0);
    check_bytes(record.bytes, record.size, from);
  }
  SWEEP_STATUS(muster_ring_release(ring), 0);
  sweep_operator_done();
  return muster_ring_close(ring);
}

static void full_setup_for(int dies) {
  lay_with(0);
  partner = sweep_peer(holds_then, dies);
  while (!__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE)) sweep_pause(50000);
  SWEEP_STATUS(muster_ring_start_writing(ours, NULL), 0);
  while (!write_number(ours, next_number(ours), MUSTER_DEADLINE_NOW)) continue;
  begun = note()->count = (uint32_t)next_number(ours);
  SWEEP_STATUS(muster_ring_stop_writing(ours), 0);
  __atomic_store_n(&note()->ready, 2, __ATOMIC_RELEASE);
}

static void full_setup(void) { full_setup_for(0); }
static void full_death_setup(void) { full_setup_for(1); }

static void full_meanwhile(void) {
  muster_ring_state state;
  SWEEP_STATUS(muster_ring_look(ours, &state), 0);
  SWEEP_CHECK(state.end.number == begun || state.end.number == begun + 1);
}

static int full_operate(void) { return write_number(mine, next_number(mine), MUSTER_DEADLINE_NEVER); }

static void full_check_for(int dies) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (dies) sweep_reap_killed(partner);
  else SWEEP_STATUS(sweep_reap(partner), 0);
  SWEEP_STATUS(muster_ring_start_reading(reader, MUSTER_RING_OLDEST, NULL), 0);
  muster_ring_place at;
  SWEEP_STATUS(muster_ring_position(reader, &at), 0);
  seen = at.number;
  uint64_t end = look();
  SWEEP_CHECK(end == begun || end == begun + 1);
  if (sweep->injection == SWEEP_CRASH) sweep_found(end == begun ? SWEEP_BEFORE : SWEEP_AFTER);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successor(sweep->injection == SWEEP_CRASH);
}

static void full_check(void) { full_check_for(0); }
static void full_death_check(void) { full_check_for(1); }

// ---- A reader in whose way a writer sleeps.

static int writes_into_full(int number) {
  (void)number;
  muster_ring *ring = attach();
  SWEEP_STATUS(muster_ring_start_writing(ring, NULL), 0);
  while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) < 1) sweep_pause(50000);
  while (!write_number(ring, next_number(ring), MUSTER_DEADLINE_NOW)) continue;
  note()->count = (uint32_t)next_number(ring);
  __atomic_store_n(&note()->ready, 2, __ATOMIC_RELEASE);
  SWEEP_STATUS(write_next(ring), 0);
  return muster_ring_close(ring);
}

static void release_setup(void) {
  lay_with(0);
  partner = note()->partner = sweep_peer(writes_into_full, 0);
}

// All but the last release.
static void release_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_ring_start_reading(mine, MUSTER_RING_OLDEST, NULL), 0);
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) < 2) sweep_pause(50000);
  sweep_settle(note()->partner);
  muster_ring_record record;
  for (uint32_t n = 0; n < note()->count; n++) SWEEP_STATUS(muster_ring_next(mine, &record), 0);
}

static int release_operate(void) { return muster_ring_release(mine); }
static int stop_reading_operate(void) { return muster_ring_stop_reading(mine); }
static int close_operate(void) { return muster_ring_close(mine); }
static int seek_newest_operate(void) { return muster_ring_seek(mine, MUSTER_RING_NEWEST, NULL); }

static void release_meanwhile(void) {
  muster_ring_state state;
  SWEEP_STATUS(muster_ring_look(ours, &state), 0);
  SWEEP_CHECK(state.end.number == note()->count || state.end.number == note()->count + 1);
}

static void release_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  SWEEP_STATUS(sweep_reap(partner), 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_STATUS(muster_ring_start_reading(reader, MUSTER_RING_NEWEST, NULL), 0);
  seen = note()->count + 1;
  check_successor(0);
}

// ---- Reading, in place and by a copy, while the survivor writes on; in latest mode it comes round.

static void reading_setup(void) {
  lay_with(0);
  SWEEP_STATUS(muster_ring_start_writing(ours, NULL), 0);
}

static void reader_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_ring_start_reading(mine, MUSTER_RING_OLDEST, NULL), 0);
  SWEEP_STATUS(muster_ring_position(mine, &note()->place), 0);
}

static int next_operate(void) {
  int status = muster_ring_next(mine, &note()->record);
  if (status) return status;
  memcpy(note()->bytes, note()->record.bytes, note()->record.size % sizeof note()->bytes);
  return muster_ring_release(mine);
}

static int read_operate(void) {
  return muster_ring_read(mine, note()->bytes, sizeof note()->bytes, &note()->record);
}

static void write_some(void) {
  for (int i = 0; i < (sweep->variant & LATEST ? 300 : 5); i++)
    SWEEP_STATUS(write_number(ours, next_number(ours), MUSTER_DEADLINE_NOW), 0);
}

// A dead reader, and one that has closed, holds nobody up.
static void check_writer_goes_on(void) {
  for (int i = 0; i < 200; i++) SWEEP_STATUS(write_next(ours), 0);
  SWEEP_STATUS(muster_ring_start_reading(reader, MUSTER_RING_NEWEST, NULL), 0);
  seen = next_number(ours);
  SWEEP_STATUS(muster_ring_stop_writing(ours), 0);
  check_successor(0);
}

static void read_check(void) {
  if (sweep->returned) {
    int overtaken = sweep->variant & LATEST && sweep->result == ESTALE;
    if (!overtaken) SWEEP_STATUS(sweep->result, 0);
    if (!overtaken) check_bytes(note()->bytes, note()->record.size, note()->record.number);
    if (!overtaken) SWEEP_EQUAL(note()->record.number, note()->place.number + note()->record.lost);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_writer_goes_on();
}

// ---- Becoming a reader, and going elsewhere.

static int start_operate(void) { return muster_ring_start_reading(mine, MUSTER_RING_OLDEST, NULL); }
static int start_newest_operate(void) { return muster_ring_start_reading(mine, MUSTER_RING_NEWEST, NULL); }

static int start_at_operate(void) { return muster_ring_start_reading(mine, MUSTER_RING_AT, &note()->place); }

static void start_at_setup(void) {
  reading_setup();
  SWEEP_STATUS(muster_ring_position(ours, &note()->place), 0);
  for (int i = 0; i < 5; i++) SWEEP_STATUS(write_number(ours, next_number(ours), MUSTER_DEADLINE_NOW), 0);
}

static int seek_operate(void) { return muster_ring_seek(mine, MUSTER_RING_OLDEST, NULL); }

static void newest_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_ring_start_reading(mine, MUSTER_RING_NEWEST, NULL), 0);
}

// A newcomer that is stopped may hold the writer up already.
static void start_meanwhile(void) {
  for (int i = 0; i < 60; i++) {
    int status = write_number(ours, next_number(ours), MUSTER_DEADLINE_NOW);
    SWEEP_CHECK(status == 0 || (status == ETIMEDOUT && !(sweep->variant & LATEST)));
  }
}

// Whatever it found is a place from which all can be read.
static void start_finish(void) {
  if (!sweep->result || sweep->result == ESTALE) {
    muster_ring_place at;
    muster_ring_record record;
    SWEEP_STATUS(muster_ring_position(mine, &at), 0);
    for (int status; !(status = muster_ring_next(mine, &record));) {
      check_bytes(record.bytes, record.size, record.number);
      SWEEP_STATUS(muster_ring_release(mine), 0);
    }
  }
  finish();
}

static void start_check(void) {
  // Who remembered a place holds nobody up before it has come to it.
  if (sweep->returned) SWEEP_CHECK(sweep->result == 0 || (sweep->result == ESTALE && note()->place.number));
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_writer_goes_on();
}

// ---- Sleeping until a record, until the writer's death, and until there is a writer.

static int wait_operate(void) { return muster_ring_wait(mine, MUSTER_DEADLINE_NEVER); }
static int wait_writer_operate(void) { return muster_ring_wait_writer(mine, MUSTER_DEADLINE_NEVER); }

static int late_writer(int dies) {
  muster_ring *ring = attach();
  SWEEP_STATUS(muster_ring_start_writing(ring, NULL), 0);
  note()->partner = getpid();
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  sweep_operator_asleep();
  if (dies) raise(SIGKILL);
  SWEEP_STATUS(write_next(ring), 0);
  sweep_operator_done();
  return muster_ring_close(ring);
}

static int late_starter(int number) {
  (void)number;
  sweep_operator_asleep();
  muster_ring *ring = attach();
  SWEEP_STATUS(muster_ring_start_writing(ring, NULL), 0);
  sweep_operator_done();
  while (!__atomic_load_n(&sweep->returned, __ATOMIC_ACQUIRE) && !sweep_operator_dead()) sweep_pause(100000);
  return muster_ring_close(ring);
}

static void wait_setup_for(int dies) {
  lay();
  partner = sweep_peer(late_writer, dies);
  while (!__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE)) sweep_pause(50000);
}

static void wait_setup(void) { wait_setup_for(0); }
static void wait_death_setup(void) { wait_setup_for(1); }

static void wait_writer_setup(void) {
  lay();
  partner = sweep_peer(late_starter, 0);
}

static void just_look(void) { look(); }

static void wait_check_for(int dies) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, dies ? EOWNERDEAD : 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  if (dies) sweep_reap_killed(partner);
  else SWEEP_STATUS(sweep_reap(partner), 0);
  check_successor(dies);
}

static void wait_check(void) { wait_check_for(0); }
static void wait_death_check(void) { wait_check_for(1); }

// ---- Becoming the writer, and ceasing to be it.

static int starts_and_dies(int number) {
  (void)number;
  muster_ring *ring = attach();
  void *place;
  SWEEP_STATUS(muster_ring_start_writing(ring, NULL), 0);
  note()->partner = getpid();
  // In the midst of a batch.
  SWEEP_STATUS(muster_ring_claim(ring, 50, 0, &place), 0);
  SWEEP_STATUS(muster_ring_claim(ring, 60, 0, &place), 0);
  raise(SIGKILL);
  return 1;
}

static void dead_setup(void) {
  lay();
  sweep_reap_killed(sweep_peer(starts_and_dies, 0));
}

static int start_writing_operate(void) { return muster_ring_start_writing(mine, NULL); }
static int stop_writing_operate(void) { return muster_ring_stop_writing(mine); }

// Who looks while the one place is being taken waits for it, and is then told that it is held.
static pid_t waits_for_it;

static void start_writing_meanwhile(void) {
  look();
  waits_for_it = sweep_peer(writes_only, 0);
  if (sweep_ends_soon(waits_for_it)) {
    int status = sweep_reap(waits_for_it);
    SWEEP_CHECK(status == 0 || status == EBUSY);
    waits_for_it = 0;
  }
  look();
}

static void reap_who_waited(void) {
  if (!waits_for_it) return;
  int status = sweep_reap(waits_for_it);
  SWEEP_CHECK(status == 0 || status == EBUSY);
}

static void start_writing_check(void) {
  reap_who_waited();
  look();
  if (sweep->injection == SWEEP_STALL) {
    // Somebody else may have been quicker; then it is told so, or comes after.
    SWEEP_CHECK(sweep->result == 0 || sweep->result == EBUSY);
    if (sweep->result == 0) SWEEP_EQUAL(sweep_reap(sweep_peer(starts_writing, 0)), EBUSY);
    sweep_finish();
  } else if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
  }
  check_successor(-1);
}

static void start_writing_finish(void) {
  if (!sweep->result) SWEEP_STATUS(write_next(mine), 0);
  finish();
}

static void stop_writing_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  reap_who_waited();
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successor(sweep->returned ? 0 : -1);
}

static void held_setup(void) {
  lay();
  SWEEP_STATUS(muster_ring_start_writing(ours, NULL), 0);
}

static void refused_meanwhile(void) { SWEEP_STATUS(write_next(ours), 0); }

static void refused_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, EBUSY);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_STATUS(write_next(ours), 0);
  look();
  SWEEP_STATUS(muster_ring_stop_writing(ours), 0);
  check_successor(0);
}

// ---- Renewed in place, and opened by name.

static int renew_operate(void) { return muster_ring_renew(sweep->arena, ROOM); }

static int reads_newly(int number) {
  (void)number;
  muster_ring *ring;
  SWEEP_STATUS(muster_ring_attach_read_only(sweep->arena, ROOM, &ring), 0);
  SWEEP_STATUS(muster_ring_start_reading(ring, MUSTER_RING_OLDEST, NULL), 0);
  SWEEP_EQUAL(read_rest(ring, 0), begun);
  return muster_ring_close(ring);
}

static void renew_setup(void) {
  lay_with(0);
  sweep_reap_killed(sweep_peer(starts_and_dies, 0));
}

static void renew_meanwhile(void) { sweep_newcomer(reads_newly, 0); }

static void renew_check(void) {
  sweep_newcomer(reads_newly, 0);
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  if (!sweep->returned) SWEEP_STATUS(renew_operate(), 0);
  sweep_newcomer(reads_newly, 0);
  SWEEP_STATUS(muster_ring_start_reading(reader, MUSTER_RING_NEWEST, NULL), 0);
  seen = begun;
  check_successor(1);
}

static int open_by_name(muster_ring **ring) {
  return muster_ring_open(sweep_name("ring"), &(muster_ring_options){.bytes = BYTES}, ring);
}

static int open_operate(void) { return open_by_name(&mine); }

static int writes_by_name(int dies) {
  muster_ring *ring, *other;
  int status = open_by_name(&ring);
  if (!status) status = open_by_name(&other);
  if (status) return status;
  SWEEP_STATUS(muster_ring_start_writing(ring, NULL), 0);
  SWEEP_STATUS(write_next(ring), 0);
  SWEEP_STATUS(muster_ring_start_reading(other, MUSTER_RING_OLDEST, NULL), 0);
  SWEEP_EQUAL(read_rest(other, 0), next_number(ring));
  if (dies) raise(SIGKILL);
  SWEEP_STATUS(muster_ring_close(other), 0);
  return muster_ring_close(ring);
}

static void nothing(void) {}
static void dead_generation(void) { sweep_reap_killed(sweep_peer(writes_by_name, 1)); }

static void open_meanwhile(void) {
  waits_for_it = sweep_peer(writes_by_name, 0);
  if (!sweep_ends_soon(waits_for_it)) return;
  SWEEP_STATUS(sweep_reap(waits_for_it), 0);
  sweep_newcomer(writes_by_name, 0);
  waits_for_it = 0;
}

static void open_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  reap_who_waited();
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(writes_by_name, 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("ring"), 0), 0);
}

#define WRITING(NAME, OPERATE, VARIANT)                                                                              \
  {.name = NAME, .minimum = 50, .variant = VARIANT, .setup = write_setup, .prepare = writer_prepare, .operate = OPERATE, \
   .meanwhile = write_meanwhile, .finish = finish, .check = write_check}
#define BATCH(NAME, VARIANT)                                                                                        \
  {.name = NAME, .minimum = 100, .variant = VARIANT, .setup = write_setup, .prepare = writer_prepare,                \
   .operate = batch_operate, .meanwhile = batch_meanwhile, .finish = finish, .check = batch_check}
#define READING(NAME, OPERATE, VARIANT)                                                                              \
  {.name = NAME, .minimum = 20, .variant = VARIANT, .setup = reading_setup, .prepare = reader_prepare, .operate = OPERATE, \
   .meanwhile = write_some, .finish = finish, .check = read_check}
#define STARTING(NAME, SETUP, PREPARE, OPERATE, VARIANT)                                                              \
  {.name = NAME, .minimum = 50, .variant = VARIANT, .setup = SETUP, .prepare = PREPARE, .operate = OPERATE,           \
   .meanwhile = start_meanwhile, .finish = start_finish, .check = start_check}
#define LETTING_GO(NAME, OPERATE, FINISH)                                                                            \
  {.name = NAME, .minimum = 10, .setup = release_setup, .prepare = release_prepare, .operate = OPERATE,               \
   .meanwhile = release_meanwhile, .finish = FINISH, .check = release_check}

SWEEP_SUITE(
    ring, WRITING("ring.claim-commit", claim_operate, 0), WRITING("ring.write", write_operate, 0),
    WRITING("ring.write-latest", write_operate, LATEST), WRITING("ring.write-at-the-end", write_operate, WRAPS),
    WRITING("ring.write-latest-at-the-end", write_operate, LATEST | WRAPS),
    WRITING("ring.write-latest-overwrites", write_operate, LATEST | LAPPED), BATCH("ring.batch", 0),
    BATCH("ring.batch-at-the-end", WRAPS), BATCH("ring.batch-latest", LATEST),
    {.name = "ring.write-waits-for-room", .minimum = 200, .setup = full_setup, .prepare = writer_prepare,
     .operate = full_operate, .meanwhile = full_meanwhile, .finish = finish, .check = full_check},
    {.name = "ring.write-waits-for-a-death", .minimum = 200, .setup = full_death_setup, .prepare = writer_prepare,
     .operate = full_operate, .meanwhile = full_meanwhile, .finish = finish, .check = full_death_check},
    LETTING_GO("ring.release-wakes", release_operate, finish),
    LETTING_GO("ring.seek-wakes", seek_newest_operate, finish),
    LETTING_GO("ring.stop-reading", stop_reading_operate, finish), LETTING_GO("ring.close-a-reader", close_operate, nothing),
    READING("ring.next-release", next_operate, 0), READING("ring.next-release-latest", next_operate, LATEST),
    READING("ring.read", read_operate, 0), READING("ring.read-latest", read_operate, LATEST),
    STARTING("ring.start-reading", reading_setup, prepare, start_operate, 0),
    STARTING("ring.start-reading-lapped", reading_setup, prepare, start_operate, LAPPED),
    STARTING("ring.start-reading-latest", reading_setup, prepare, start_operate, LATEST | LAPPED),
    STARTING("ring.start-reading-newest", reading_setup, prepare, start_newest_operate, LAPPED),
    STARTING("ring.start-reading-at", start_at_setup, prepare, start_at_operate, 0),
    STARTING("ring.seek", reading_setup, newest_prepare, seek_operate, LAPPED),
    STARTING("ring.seek-latest", reading_setup, newest_prepare, seek_operate, LATEST | LAPPED),
    {.name = "ring.wait-for-a-record", .minimum = 100, .setup = wait_setup, .prepare = newest_prepare,
     .operate = wait_operate, .meanwhile = just_look, .finish = finish, .check = wait_check},
    {.name = "ring.wait-for-a-death", .minimum = 100, .setup = wait_death_setup, .prepare = newest_prepare,
     .operate = wait_operate, .meanwhile = just_look, .finish = finish, .check = wait_death_check},
    {.name = "ring.wait-for-a-writer", .minimum = 100, .setup = wait_writer_setup, .prepare = prepare,
     .operate = wait_writer_operate, .meanwhile = just_look, .finish = finish, .check = wait_check},
    {.name = "ring.start-writing", .minimum = 200, .setup = lay, .prepare = prepare, .operate = start_writing_operate,
     .meanwhile = start_writing_meanwhile, .finish = start_writing_finish, .check = start_writing_check},
    {.name = "ring.start-writing-after-a-death", .minimum = 200, .setup = dead_setup, .prepare = prepare,
     .operate = start_writing_operate, .meanwhile = start_writing_meanwhile, .finish = start_writing_finish,
     .check = start_writing_check},
    {.name = "ring.start-writing-refused", .minimum = 100, .setup = held_setup, .prepare = prepare,
     .operate = start_writing_operate, .meanwhile = refused_meanwhile, .finish = finish, .check = refused_check},
    {.name = "ring.stop-writing", .minimum = 40, .setup = lay, .prepare = writer_prepare,
     .operate = stop_writing_operate, .meanwhile = start_writing_meanwhile, .finish = finish,
     .check = stop_writing_check},
    {.name = "ring.close-a-writer", .minimum = 40, .setup = lay, .prepare = writer_prepare, .operate = close_operate,
     .meanwhile = start_writing_meanwhile, .check = stop_writing_check},
    {.name = "ring.renew", .minimum = 100, .variant = LATEST, .setup = renew_setup, .operate = renew_operate,
     .meanwhile = renew_meanwhile, .check = renew_check},
    {.name = "ring.open-creates", .minimum = 300, .setup = nothing, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check},
    {.name = "ring.open-renews", .minimum = 300, .setup = dead_generation, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check});
