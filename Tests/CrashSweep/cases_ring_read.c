// The ring, who reads: a reader that dies or stops, at whatever instruction, holds up nobody for longer than it lives, and
// what it has read was whole.
// SPDX-License-Identifier: Apache-2.0
#include "ring_world.h"

// ---- A reader in whose way a writer sleeps.

static pid_t holder;

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

// ---- A newcomer, while the writer sleeps for want of room. Who is in its way lets go when the newcomer stands there too,
// or is dead, or stopped: then the writer goes on, or sleeps on for the newcomer alone, whose death it must not miss.

static int has_come(const muster_ring *ring) {
  muster_ring_reader_state newcomer;
  SWEEP_STATUS(muster_ring_look_reader(ring, 1, &newcomer), 0);
  return newcomer.lag || __atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) == 3 || sweep_operator_dead();
}

static int holds_until_it_has_come(int number) {
  (void)number;
  muster_ring *ring = attach();
  SWEEP_STATUS(muster_ring_start_reading(ring, MUSTER_RING_OLDEST, NULL), 0);
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  while (!__atomic_load_n(&sweep->operator_pid, __ATOMIC_ACQUIRE) || !has_come(ring)) sweep_pause(20000);
  SWEEP_CHECK(read_rest(ring, 0) >= note()->count);
  return muster_ring_close(ring);
}

static void joins_setup(void) {
  lay_with(0);
  holder = sweep_peer(holds_until_it_has_come, 0);
  partner = note()->partner = sweep_peer(writes_into_full, 0);
  while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) < 2) sweep_pause(50000);
  sweep_settle(partner);
}

static void joins_meanwhile(void) {
  __atomic_store_n(&note()->ready, 3, __ATOMIC_RELEASE);
  release_meanwhile();
}

static void joins_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  SWEEP_STATUS(sweep_reap(holder), 0);
  // It stands in the writer's way itself now, until it closes.
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_STATUS(sweep_reap(partner), 0);
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

// Just before a filler, with a record behind it.
static void at_the_end_setup(void) {
  reading_setup();
  SWEEP_STATUS(muster_ring_position(ours, &note()->place), 0);
  SWEEP_STATUS(write_number(ours, next_number(ours), MUSTER_DEADLINE_NOW), 0);
}

static void at_the_end_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_ring_start_reading(mine, MUSTER_RING_AT, &note()->place), 0);
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
    // The survivor came round but once. Who was overtaken before it had a record is not overtaken in it.
    if (overtaken) SWEEP_EQUAL(note()->record.lost, 0);
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
    ring_read, LETTING_GO("ring.release-wakes", release_operate, finish),
    LETTING_GO("ring.seek-wakes", seek_newest_operate, finish),
    LETTING_GO("ring.stop-reading", stop_reading_operate, finish), LETTING_GO("ring.close-a-reader", close_operate, nothing),
    READING("ring.next-release", next_operate, 0), READING("ring.next-release-latest", next_operate, LATEST),
    {.name = "ring.next-release-latest-at-the-end", .minimum = 20, .variant = LATEST | WRAPS, .setup = at_the_end_setup,
     .prepare = at_the_end_prepare, .operate = next_operate, .meanwhile = write_some, .finish = finish,
     .check = read_check},
    READING("ring.read", read_operate, 0), READING("ring.read-latest", read_operate, LATEST),
    {.name = "ring.start-reading-while-the-writer-sleeps", .minimum = 200, .setup = joins_setup, .prepare = prepare,
     .operate = start_operate, .meanwhile = joins_meanwhile, .finish = finish, .check = joins_check},
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
     .operate = wait_writer_operate, .meanwhile = just_look, .finish = finish, .check = wait_check});
