// The ring, who writes: readers get what was committed and nothing else, whatever became of the writer.
// SPDX-License-Identifier: Apache-2.0
#include "ring_world.h"

// ---- Writing, while others sleep until something comes. The kernel wakes one of them when the writer dies, so that one
// wakes the other.

static pid_t sleepers[SLEEPERS];

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
