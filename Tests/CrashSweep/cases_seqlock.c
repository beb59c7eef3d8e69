// The seqlock: readers see one whole write whatever became of the writer, and a successor finds the last whole one.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "muster/region.h"
#include "muster/seqlock.h"
#include "sweep.h"

enum { WORDS = 6, BEGUN = 3, SLEEPERS = 2 };  // words, writes before the operation, and who waits for the next

// Beside the seqlock, what the processes of a case tell each other.
typedef struct notes {
  uint32_t ready;
  uint64_t sequence;
  struct {
    int32_t status;
    uint64_t sequence;
  } slept[SLEEPERS];
  uint64_t words[WORDS];
} notes;

static notes *note(void) { return (notes *)(void *)(sweep->arena + SWEEP_ARENA / 2); }

static muster_seqlock *mine, *reader, *ours;
static pid_t partner;

static muster_seqlock *attach(void) {
  muster_seqlock *seqlock;
  SWEEP_STATUS(muster_seqlock_attach(sweep->arena, SWEEP_ARENA / 2, &seqlock), 0);
  return seqlock;
}

// The words of write number n.
static void words_of(uint64_t number, uint64_t words[WORDS]) {
  for (uint64_t i = 0; i < WORDS; i++) words[i] = number * 1000 + i;
}

static int write_next(muster_seqlock *seqlock) {
  uint64_t words[WORDS];
  words_of(muster_seqlock_sequence(seqlock) + 1, words);
  return muster_seqlock_write(seqlock, words, WORDS);
}

static void check_words(const uint64_t *words, uint64_t sequence) {
  for (uint64_t i = 0; i < WORDS; i++) SWEEP_EQUAL(words[i], sequence ? sequence * 1000 + i : 0);
}

static uint64_t read_whole(void) {
  uint64_t words[WORDS], sequence;
  SWEEP_STATUS(muster_seqlock_read(reader, words, WORDS, &sequence), 0);
  check_words(words, sequence);
  return sequence;
}

// ---- The world before: some writes by one that released its claim.

static void lay(void) {
  SWEEP_STATUS(muster_seqlock_init(sweep->arena, SWEEP_ARENA / 2, WORDS), 0);
  SWEEP_STATUS(muster_seqlock_attach_read_only(sweep->arena, SWEEP_ARENA / 2, &reader), 0);
  ours = attach();
  SWEEP_STATUS(muster_seqlock_claim(ours, NULL), 0);
  for (int i = 0; i < BEGUN; i++) SWEEP_STATUS(write_next(ours), 0);
  SWEEP_STATUS(muster_seqlock_release(ours), 0);
}

static int claims_and_writes(int writes) {
  muster_seqlock *seqlock = attach();
  int status = muster_seqlock_claim(seqlock, NULL);
  if (status) return status;
  for (int i = 0; i < writes; i++) SWEEP_STATUS(write_next(seqlock), 0);
  SWEEP_STATUS(muster_seqlock_release(seqlock), 0);
  return muster_seqlock_close(seqlock);
}

static int claims_and_dies(int number) {
  (void)number;
  muster_seqlock *seqlock = attach();
  SWEEP_STATUS(muster_seqlock_claim(seqlock, NULL), 0);
  raise(SIGKILL);
  return 1;
}

// A successor takes over, is told of a death or of none, and goes on at the last whole write.
static void check_successor(int died) {
  muster_seqlock_claimant found;
  uint64_t before = read_whole();
  SWEEP_STATUS(muster_seqlock_claim(ours, &found), 0);
  SWEEP_EQUAL(found.sequence, before);
  if (died >= 0) SWEEP_EQUAL(found.died, died);
  if (found.died) SWEEP_CHECK(found.pid == sweep->operator_pid || found.pid == partner);
  for (int i = 0; i < 3; i++) {
    SWEEP_STATUS(write_next(ours), 0);
    SWEEP_EQUAL(read_whole(), before + 1 + (uint64_t)i);
  }
  SWEEP_STATUS(muster_seqlock_add(ours, 0, 1), 0);
  SWEEP_EQUAL(muster_seqlock_sequence(reader), before + 4);
  SWEEP_STATUS(write_next(ours), 0);
  read_whole();
  SWEEP_STATUS(muster_seqlock_release(ours), 0);
  sweep_newcomer(claims_and_writes, 2);
  read_whole();
}

// ---- Writing, while others sleep until something changes. The kernel wakes one of them when the writer dies, so that
// one wakes the other.

static pid_t sleepers[SLEEPERS];

static int waits_for_change(int number) {
  muster_seqlock *seqlock = attach();
  __atomic_fetch_add(&note()->ready, 1, __ATOMIC_RELEASE);
  note()->slept[number].status =
      muster_seqlock_wait(seqlock, BEGUN, sweep_deadline(), &note()->slept[number].sequence);
  return 0;
}

static void write_setup(void) {
  lay();
  for (int k = 0; k < SLEEPERS; k++) {
    sleepers[k] = sweep_peer(waits_for_change, k);
    while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) <= (uint32_t)k) sweep_pause(50000);
    sweep_settle(sleepers[k]);
  }
}

static void prepare(void) { mine = attach(); }

static void claim_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_seqlock_claim(mine, NULL), 0);
}

static int write_operate(void) { return write_next(mine); }

static void finish(void) { SWEEP_STATUS(muster_seqlock_close(mine), 0); }

static int claims(int number) {
  (void)number;
  return muster_seqlock_claim(attach(), NULL);
}

static void write_meanwhile(void) {
  uint64_t sequence = read_whole();
  SWEEP_CHECK(sequence == BEGUN || sequence == BEGUN + 1);
  SWEEP_EQUAL(sweep_reap(sweep_peer(claims, 0)), EBUSY);
  SWEEP_EQUAL(read_whole(), sequence);
}

static void write_check(void) {
  uint64_t sequence = read_whole();
  SWEEP_CHECK(sequence == BEGUN || sequence == BEGUN + 1);
  if (sweep->injection == SWEEP_CRASH) sweep_found(sequence == BEGUN ? SWEEP_BEFORE : SWEEP_AFTER);
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_EQUAL(sequence, BEGUN + 1);
  }
  // The sleepers learn of the write, or of the death of who was to write.
  for (int k = 0; k < SLEEPERS; k++) {
    SWEEP_STATUS(sweep_reap(sleepers[k]), 0);
    SWEEP_STATUS(note()->slept[k].status, sequence == BEGUN ? EOWNERDEAD : 0);
    SWEEP_EQUAL(note()->slept[k].sequence, sequence);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successor(sweep->injection == SWEEP_CRASH);
}

// One word: set, and added to.
static int set_operate(void) { return muster_seqlock_set(mine, 2, 77); }
static int add_operate(void) { return muster_seqlock_add(mine, 2, UINT64_C(77) - (BEGUN * 1000 + 2)); }

static void one_word_look(void) {
  uint64_t words[WORDS], sequence;
  SWEEP_STATUS(muster_seqlock_read(reader, words, WORDS, &sequence), 0);
  SWEEP_CHECK(sequence == BEGUN || sequence == BEGUN + 1);
  SWEEP_EQUAL(words[2], sequence == BEGUN ? BEGUN * 1000 + 2 : 77);
  words[2] = BEGUN * 1000 + 2;
  check_words(words, BEGUN);
}

static void one_word_check(void) {
  one_word_look();
  uint64_t sequence = muster_seqlock_sequence(reader);
  if (sweep->injection == SWEEP_CRASH) sweep_found(sequence == BEGUN ? SWEEP_BEFORE : SWEEP_AFTER);
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  // Back to words that are all of one write.
  SWEEP_STATUS(muster_seqlock_claim(ours, NULL), 0);
  SWEEP_STATUS(write_next(ours), 0);
  SWEEP_STATUS(muster_seqlock_release(ours), 0);
  check_successor(0);
}

// ---- The claim: of one that was released, and of one whose holder died.

static void dead_setup(void) {
  lay();
  partner = sweep_peer(claims_and_dies, 0);
  sweep_reap_killed(partner);
}

static int claim_operate(void) { return muster_seqlock_claim(mine, NULL); }

// Who looks while the one place is being taken waits for it, and is then told that it is held.
static pid_t waits_for_it;

static void claim_meanwhile(void) {
  read_whole();
  waits_for_it = sweep_peer(claims_and_writes, 3);
  if (sweep_ends_soon(waits_for_it)) {
    int status = sweep_reap(waits_for_it);
    SWEEP_CHECK(status == 0 || status == EBUSY);
    waits_for_it = 0;
  }
  read_whole();
}

static void claim_check(void) {
  if (waits_for_it) {
    int status = sweep_reap(waits_for_it);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  read_whole();
  if (sweep->injection == SWEEP_STALL) {
    // Somebody else may have been quicker; then it is told so, or comes after.
    SWEEP_CHECK(sweep->result == 0 || sweep->result == EBUSY);
    if (sweep->result == 0) SWEEP_EQUAL(sweep_reap(sweep_peer(claims, 0)), EBUSY);
    sweep_finish();
    check_successor(-1);
  } else {
    if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
    check_successor(-1);
  }
}

// The operator writes once it has the claim, over what it found then.
static void claim_finish(void) {
  if (!sweep->result) SWEEP_STATUS(write_next(mine), 0);
  finish();
}

static void held_setup(void) {
  lay();
  SWEEP_STATUS(muster_seqlock_claim(ours, NULL), 0);
}

static void refused_meanwhile(void) { SWEEP_STATUS(write_next(ours), 0); }

static void refused_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, EBUSY);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_STATUS(write_next(ours), 0);
  read_whole();
  SWEEP_STATUS(muster_seqlock_release(ours), 0);
  check_successor(0);
}

static int release_operate(void) { return muster_seqlock_release(mine); }
static int close_operate(void) { return muster_seqlock_close(mine); }

static void release_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (waits_for_it) {
    int status = sweep_reap(waits_for_it);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successor(sweep->returned ? 0 : -1);
}

// ---- Reading, while another writes.

static void read_setup(void) { held_setup(); }
static int read_operate(void) { return muster_seqlock_read(mine, note()->words, WORDS, &note()->sequence); }

static void read_meanwhile(void) {
  for (int i = 0; i < 5; i++) SWEEP_STATUS(write_next(ours), 0);
}

static void read_check(void) {
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    check_words(note()->words, note()->sequence);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_STATUS(muster_seqlock_release(ours), 0);
  check_successor(0);
}

// ---- Sleeping until a write, until the writer's death, and until there is a writer.

static int wait_operate(void) { return muster_seqlock_wait(mine, BEGUN, MUSTER_DEADLINE_NEVER, NULL); }
static int wait_writer_operate(void) { return muster_seqlock_wait_writer(mine, MUSTER_DEADLINE_NEVER); }

static int late_writer(int dies) {
  muster_seqlock *seqlock = attach();
  SWEEP_STATUS(muster_seqlock_claim(seqlock, NULL), 0);
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  sweep_operator_asleep();
  if (dies) raise(SIGKILL);
  SWEEP_STATUS(write_next(seqlock), 0);
  sweep_operator_done();
  return muster_seqlock_close(seqlock);
}

static int late_claimant(int number) {
  (void)number;
  sweep_operator_asleep();
  muster_seqlock *seqlock = attach();
  SWEEP_STATUS(muster_seqlock_claim(seqlock, NULL), 0);
  sweep_operator_done();
  // Whoever waits for a writer, and was stopped, has to find one: it goes when the operator has seen it.
  while (!__atomic_load_n(&sweep->returned, __ATOMIC_ACQUIRE) && !sweep_operator_dead()) sweep_pause(100000);
  return muster_seqlock_close(seqlock);
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
  partner = sweep_peer(late_claimant, 0);
}

static void look(void) { read_whole(); }

static void wait_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_STATUS(sweep_reap(partner), 0);
  check_successor(0);
}

static void wait_death_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, EOWNERDEAD);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_reap_killed(partner);
  check_successor(1);
}

// ---- By name.

static int open_by_name(muster_seqlock **seqlock) {
  return muster_seqlock_open(sweep_name("seqlock"), &(muster_seqlock_options){.words = WORDS}, seqlock);
}

static int open_operate(void) { return open_by_name(&mine); }

static int writes_by_name(int dies) {
  muster_seqlock *seqlock;
  uint64_t words[WORDS], sequence;
  int status = open_by_name(&seqlock);
  if (status) return status;
  SWEEP_STATUS(muster_seqlock_claim(seqlock, NULL), 0);
  SWEEP_STATUS(muster_seqlock_read(seqlock, words, WORDS, &sequence), 0);
  check_words(words, sequence);
  SWEEP_STATUS(write_next(seqlock), 0);
  if (dies) raise(SIGKILL);
  return muster_seqlock_close(seqlock);
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
  if (waits_for_it) {
    int status = sweep_reap(waits_for_it);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(writes_by_name, 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("seqlock"), 0), 0);
}

// ---- Renewed in place, as an opener does when all processes have ended, while others look: whoever attaches to read,
// meanwhile or after a death in it, finds the last whole value.

static int renew_operate(void) { return muster_seqlock_renew(sweep->arena, SWEEP_ARENA / 2); }

static int reads_newly(int number) {
  (void)number;
  int32_t pid;
  SWEEP_STATUS(muster_seqlock_attach_read_only(sweep->arena, SWEEP_ARENA / 2, &reader), 0);
  SWEEP_EQUAL(read_whole(), BEGUN);
  int status = muster_seqlock_writer_pid(reader, &pid);
  SWEEP_CHECK(status == EOWNERDEAD || status == ENOENT);
  return muster_seqlock_close(reader);
}

static void renew_meanwhile(void) { sweep_newcomer(reads_newly, 0); }

static void renew_check(void) {
  sweep_newcomer(reads_newly, 0);
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  if (!sweep->returned) SWEEP_STATUS(renew_operate(), 0);
  sweep_newcomer(reads_newly, 0);
  check_successor(1);
}

SWEEP_SUITE(
    seqlock,
    {.name = "seqlock.write", .minimum = 50, .setup = write_setup, .prepare = claim_prepare, .operate = write_operate,
     .meanwhile = write_meanwhile, .finish = finish, .check = write_check},
    {.name = "seqlock.set", .minimum = 20, .setup = lay, .prepare = claim_prepare, .operate = set_operate,
     .meanwhile = one_word_look, .finish = finish, .check = one_word_check},
    {.name = "seqlock.add", .minimum = 20, .setup = lay, .prepare = claim_prepare, .operate = add_operate,
     .meanwhile = one_word_look, .finish = finish, .check = one_word_check},
    {.name = "seqlock.claim", .minimum = 200, .setup = lay, .prepare = prepare, .operate = claim_operate,
     .meanwhile = claim_meanwhile, .finish = claim_finish, .check = claim_check},
    {.name = "seqlock.claim-after-a-death", .minimum = 200, .setup = dead_setup, .prepare = prepare,
     .operate = claim_operate, .meanwhile = claim_meanwhile, .finish = claim_finish, .check = claim_check},
    {.name = "seqlock.claim-what-is-held", .minimum = 100, .setup = held_setup, .prepare = prepare,
     .operate = claim_operate, .meanwhile = refused_meanwhile, .finish = finish, .check = refused_check},
    {.name = "seqlock.release", .minimum = 40, .setup = lay, .prepare = claim_prepare, .operate = release_operate,
     .meanwhile = claim_meanwhile, .finish = finish, .check = release_check},
    {.name = "seqlock.close", .minimum = 40, .setup = lay, .prepare = claim_prepare, .operate = close_operate,
     .meanwhile = claim_meanwhile, .check = release_check},
    {.name = "seqlock.read", .minimum = 20, .setup = read_setup, .prepare = prepare, .operate = read_operate,
     .meanwhile = read_meanwhile, .finish = finish, .check = read_check},
    {.name = "seqlock.wait-for-a-write", .minimum = 100, .setup = wait_setup, .prepare = prepare,
     .operate = wait_operate, .meanwhile = look, .finish = finish, .check = wait_check},
    {.name = "seqlock.wait-for-a-death", .minimum = 100, .setup = wait_death_setup, .prepare = prepare,
     .operate = wait_operate, .meanwhile = look, .finish = finish, .check = wait_death_check},
    {.name = "seqlock.wait-for-a-writer", .minimum = 100, .setup = wait_writer_setup, .prepare = prepare,
     .operate = wait_writer_operate, .meanwhile = look, .finish = finish, .check = wait_check},
    {.name = "seqlock.renew", .minimum = 100, .setup = dead_setup, .operate = renew_operate,
     .meanwhile = renew_meanwhile, .check = renew_check},
    {.name = "seqlock.open-creates", .minimum = 300, .setup = nothing, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check},
    {.name = "seqlock.open-renews", .minimum = 300, .setup = dead_generation, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check});
