// The checkpoint: a commit is all or nothing at any instruction, a writer that was fenced while it was stopped damages
// nothing when it goes on, and there is always a slot for the next.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "muster/checkpoint.h"
#include "sweep.h"

enum { WORDS = 5, HISTORY = 2, WRITERS = 3, BEGUN = 9 };

typedef struct state {
  uint64_t words[WORDS];
} state;

// What the operator read, for the survivor to check.
typedef struct notes {
  state read;
  muster_checkpoint_info info, infos[HISTORY + 2];
  uint64_t sequence;
  uint32_t kept;
} notes;

static const muster_checkpoint_shape shape = {.capacity = sizeof(state), .history = HISTORY, .writers = WRITERS};

static notes *note(void) { return (notes *)(void *)(sweep->arena + SWEEP_ARENA / 2); }

static muster_checkpoint *mine, *ours, *reader;
static uint64_t my_epoch, seen_meanwhile;
static pid_t partner;

static muster_checkpoint *attach(void) {
  muster_checkpoint *checkpoint;
  SWEEP_STATUS(muster_checkpoint_attach(sweep->arena, SWEEP_ARENA / 2, &checkpoint), 0);
  return checkpoint;
}

// Each word tells sequence and epoch, so that no mixture of two states passes for one.
static void state_of(uint64_t sequence, uint64_t epoch, state *made) {
  for (uint64_t i = 0; i < WORDS; i++) made->words[i] = (epoch << 32 | sequence) * 16 + i;
}

static void check_state(const state *read, const muster_checkpoint_info *info) {
  state expected;
  SWEEP_EQUAL(info->length, sizeof *read);
  state_of(info->restored ? info->restored : info->sequence, info->restored ? 1 : info->epoch, &expected);
  SWEEP_CHECK(!memcmp(read, &expected, sizeof expected));
}

static int save_as(muster_checkpoint *checkpoint, uint64_t sequence, uint64_t epoch) {
  state next;
  uint64_t got;
  state_of(sequence, epoch, &next);
  int status = muster_checkpoint_save(checkpoint, &next, sizeof next, &got);
  if (!status) SWEEP_EQUAL(got, sequence);
  return status;
}

static uint64_t newest_of(const muster_checkpoint *checkpoint) {
  state read;
  muster_checkpoint_info info;
  SWEEP_STATUS(muster_checkpoint_read(checkpoint, &read, sizeof read, &info), 0);
  check_state(&read, &info);
  return info.sequence;
}

// The newest, and what is kept before it, each whole and each the one before.
static uint64_t read_whole(void) {
  muster_checkpoint_info infos[HISTORY + 2], info;
  uint32_t kept;
  state read;
  uint64_t newest = newest_of(reader);
  SWEEP_STATUS(muster_checkpoint_list(reader, infos, HISTORY + 2, &kept), 0);
  SWEEP_EQUAL(kept, HISTORY + 1);
  for (uint32_t k = 0; k < kept; k++) {
    SWEEP_CHECK(infos[k].whole && infos[k].sequence == newest - k);
    if (k) SWEEP_CHECK(infos[k].epoch <= infos[k - 1].epoch);
    SWEEP_STATUS(muster_checkpoint_read_at(reader, newest - k, &read, sizeof read, &info), 0);
    SWEEP_EQUAL(info.epoch, infos[k].epoch);
    check_state(&read, &info);
  }
  return newest;
}

// Whether a state of that epoch is kept.
static int has_epoch(uint64_t epoch) {
  muster_checkpoint_info infos[HISTORY + 1];
  uint32_t kept;
  SWEEP_STATUS(muster_checkpoint_list(reader, infos, HISTORY + 1, &kept), 0);
  for (uint32_t k = 0; k < kept; k++)
    if (infos[k].epoch == epoch) return 1;
  return 0;
}

// Takes over, goes on from the newest, and commits.
static void succeed(muster_checkpoint *checkpoint, int commits) {
  uint64_t epoch, before = read_whole();
  SWEEP_STATUS(muster_checkpoint_take_over(checkpoint, &epoch), 0);
  SWEEP_EQUAL(read_whole(), before);
  for (int i = 1; i <= commits; i++) {
    SWEEP_STATUS(save_as(checkpoint, before + (uint64_t)i, epoch), 0);
    SWEEP_EQUAL(read_whole(), before + (uint64_t)i);
  }
  SWEEP_STATUS(muster_checkpoint_release(checkpoint), 0);
}

static int succeeds(int commits) {
  muster_checkpoint *checkpoint = attach();
  SWEEP_STATUS(muster_checkpoint_attach_read_only(sweep->arena, SWEEP_ARENA / 2, &reader), 0);
  succeed(checkpoint, commits);
  return muster_checkpoint_close(checkpoint);
}

static void check_successor(void) {
  succeed(ours, 8);
  sweep_newcomer(succeeds, 7);
  read_whole();
}

// ---- The world before: states of one that released.

static void lay(void) {
  uint64_t epoch;
  SWEEP_STATUS(muster_checkpoint_init(sweep->arena, SWEEP_ARENA / 2, &shape), 0);
  SWEEP_STATUS(muster_checkpoint_attach_read_only(sweep->arena, SWEEP_ARENA / 2, &reader), 0);
  ours = attach();
  SWEEP_STATUS(muster_checkpoint_take_over(ours, &epoch), 0);
  for (uint64_t n = 1; n <= BEGUN; n++) SWEEP_STATUS(save_as(ours, n, epoch), 0);
  SWEEP_STATUS(muster_checkpoint_release(ours), 0);
}

static void prepare(void) { mine = attach(); }

static void write_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_checkpoint_take_over(mine, &my_epoch), 0);
}

static void finish(void) { SWEEP_STATUS(muster_checkpoint_close(mine), 0); }

// ---- Committing. While the operator is stopped another takes over and uses every slot more than once.

enum { OPERATOR_EPOCH = 2 };

static int save_operate(void) { return save_as(mine, BEGUN + 1, my_epoch); }

static int durable_operate(void) {
  state next;
  state_of(BEGUN + 1, my_epoch, &next);
  return muster_checkpoint_save_durable(mine, &next, sizeof next, NULL);
}

static int in_place_operate(void) {
  void *bytes;
  int status = muster_checkpoint_begin(mine, &bytes);
  if (status) return status;
  state_of(BEGUN + 1, my_epoch, bytes);
  return muster_checkpoint_commit(mine, sizeof(state), NULL);
}

static int roll_back_operate(void) { return muster_checkpoint_roll_back(mine, BEGUN - 1, NULL); }

static void commit_meanwhile(void) {
  seen_meanwhile = read_whole();
  SWEEP_CHECK(seen_meanwhile == BEGUN || seen_meanwhile == BEGUN + 1);
  // The operator is the writer still, to whom asks.
  int32_t pid;
  SWEEP_STATUS(muster_checkpoint_writer_pid(reader, &pid), 0);
  SWEEP_EQUAL(pid, sweep->operator_pid);
  succeed(ours, 9);
  sweep_newcomer(succeeds, 2);
}

static void commit_check(void) {
  uint64_t newest = read_whole();
  if (sweep->injection == SWEEP_CRASH) {
    SWEEP_CHECK(newest == BEGUN || newest == BEGUN + 1);
    sweep_found(newest == BEGUN ? SWEEP_BEFORE : SWEEP_AFTER);
    if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  } else {
    // It was before the take-over, and done, or it never was.
    SWEEP_CHECK(sweep->result == (seen_meanwhile == BEGUN ? ESTALE : 0));
    SWEEP_EQUAL(newest, seen_meanwhile + 11);
    SWEEP_CHECK(!has_epoch(OPERATOR_EPOCH));
    sweep_finish();
  }
  check_successor();
}

// The same while nobody takes over: the commit is done when the operator goes on.
static void alone_meanwhile(void) { seen_meanwhile = read_whole(); }

static void alone_check(void) {
  uint64_t newest = read_whole();
  if (sweep->injection == SWEEP_CRASH) sweep_found(newest == BEGUN ? SWEEP_BEFORE : SWEEP_AFTER);
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_EQUAL(newest, BEGUN + 1);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successor();
}

// ---- A state that is begun and given back.

static int abandon_operate(void) {
  void *bytes;
  int status = muster_checkpoint_begin(mine, &bytes);
  if (status) return status;
  memset(bytes, 0xaa, sizeof(state));
  return muster_checkpoint_abandon(mine);
}

static void abandon_meanwhile(void) {
  SWEEP_EQUAL(read_whole(), BEGUN);
  succeed(ours, 9);
}

static void abandon_check(void) {
  SWEEP_EQUAL(read_whole(), sweep->injection == SWEEP_STALL ? BEGUN + 9 : BEGUN);
  if (sweep->returned) SWEEP_CHECK(sweep->result == 0 || (sweep->injection == SWEEP_STALL && sweep->result == ESTALE));
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successor();
}

// ---- Taking over: from one who released, one who died with a slot claimed, and one who lives and goes on committing.

static int dies_writing(int number) {
  (void)number;
  muster_checkpoint *checkpoint = attach();
  void *bytes;
  uint64_t epoch;
  SWEEP_STATUS(muster_checkpoint_take_over(checkpoint, &epoch), 0);
  SWEEP_STATUS(save_as(checkpoint, BEGUN + 1, epoch), 0);
  SWEEP_STATUS(muster_checkpoint_begin(checkpoint, &bytes), 0);
  memset(bytes, 0xbb, sizeof(state));
  raise(SIGKILL);
  return 1;
}

static void dead_setup(void) {
  lay();
  partner = sweep_peer(dies_writing, 0);
  sweep_reap_killed(partner);
}

static void held_setup(void) {
  uint64_t epoch;
  lay();
  SWEEP_STATUS(muster_checkpoint_take_over(ours, &epoch), 0);
}

static int take_over_operate(void) { return muster_checkpoint_take_over(mine, NULL); }

static void take_over_meanwhile(void) {
  read_whole();
  sweep_newcomer(succeeds, 8);
}

static void take_over_check(void) {
  read_whole();
  if (sweep->injection == SWEEP_CRASH && sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) {
    SWEEP_CHECK(sweep->result == 0 || sweep->result == ESTALE);
    sweep_finish();
  }
  check_successor();
}

// The operator commits once, if it is the writer, when it has gone on.
static void take_over_finish(void) {
  if (!sweep->result && !muster_checkpoint_check(mine)) {
    uint64_t epoch = muster_checkpoint_epoch(mine);
    SWEEP_STATUS(save_as(mine, newest_of(mine) + 1, epoch), 0);
  }
  finish();
}

// Our own commits meet the fence at one instruction or the other, and never again after.
static void fencing_meanwhile(void) {
  uint64_t before = read_whole(), epoch = muster_checkpoint_epoch(ours);
  int status = muster_checkpoint_check(ours);
  SWEEP_CHECK(status == 0 || status == ESTALE);
  SWEEP_STATUS(save_as(ours, before + 1, 2), status);
  SWEEP_EQUAL(read_whole(), before + !status);
  SWEEP_EQUAL(epoch, status ? 3 : 2);
}

static void fencing_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->returned) SWEEP_STATUS(save_as(ours, newest_of(ours) + 1, 2), ESTALE);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_STATUS(muster_checkpoint_release(ours), 0);
  check_successor();
}

// ---- Giving it back, with a state begun.

static void begun_prepare(void) {
  void *bytes;
  write_prepare();
  SWEEP_STATUS(muster_checkpoint_begin(mine, &bytes), 0);
  memset(bytes, 0xcc, sizeof(state));
}

static int release_operate(void) { return muster_checkpoint_release(mine); }
static int close_operate(void) { return muster_checkpoint_close(mine); }

static void release_check(void) {
  read_whole();
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successor();
}

// ---- Reading, while others commit and overwrite every slot.

static int read_operate(void) { return muster_checkpoint_read(mine, &note()->read, sizeof(state), &note()->info); }
static int read_at_operate(void) {
  return muster_checkpoint_read_at(mine, BEGUN - 1, &note()->read, sizeof(state), &note()->info);
}

static int accept_odd(const void *bytes, const muster_checkpoint_info *info, void *context) {
  return (void)bytes, (void)context, (int)(info->sequence & 1);
}
static int load_operate(void) {
  return muster_checkpoint_load(mine, accept_odd, NULL, &note()->read, sizeof(state), &note()->info);
}
static int list_operate(void) { return muster_checkpoint_list(mine, note()->infos, HISTORY + 2, &note()->kept); }

static void read_meanwhile(void) {
  succeed(ours, 6);
  sweep_newcomer(succeeds, 7);
}

static void read_check(void) {
  if (sweep->returned && sweep->variant == 1 && sweep->result == ENOENT) {
    SWEEP_CHECK(sweep->injection == SWEEP_STALL);
  } else if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    check_state(&note()->read, &note()->info);
    if (sweep->variant == 1) SWEEP_EQUAL(note()->info.sequence, BEGUN - 1);
    if (sweep->variant == 2) SWEEP_EQUAL(note()->info.sequence & 1, 1);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successor();
}

// What was overwritten while it was looked at is left out; what is told is in order and whole.
static void list_check(void) {
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_CHECK(note()->kept <= HISTORY + 1);
    if (sweep->injection == SWEEP_CRASH) SWEEP_EQUAL(note()->kept, HISTORY + 1);
    for (uint32_t k = 0; k < note()->kept; k++) SWEEP_CHECK(note()->infos[k].whole);
    for (uint32_t k = 1; k < note()->kept; k++)
      SWEEP_CHECK(note()->infos[k].sequence < note()->infos[k - 1].sequence);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successor();
}

// ---- Renewed in place, as an opener does when all processes have ended, while others look.

static int renew_operate(void) { return muster_checkpoint_renew(sweep->arena, SWEEP_ARENA / 2); }

static int reads_newly(int number) {
  (void)number;
  SWEEP_STATUS(muster_checkpoint_attach_read_only(sweep->arena, SWEEP_ARENA / 2, &reader), 0);
  SWEEP_EQUAL(read_whole(), BEGUN + 1);
  return muster_checkpoint_close(reader);
}

static void renew_meanwhile(void) { sweep_newcomer(reads_newly, 0); }

static void renew_check(void) {
  sweep_newcomer(reads_newly, 0);
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  if (!sweep->returned) SWEEP_STATUS(renew_operate(), 0);
  sweep_newcomer(reads_newly, 0);
  check_successor();
}

// ---- By name.

static int open_by_name(muster_checkpoint **checkpoint) {
  return muster_checkpoint_open(sweep_name("checkpoint"), &(muster_checkpoint_options){.shape = shape}, checkpoint);
}

static int open_operate(void) { return open_by_name(&mine); }

static int writes_by_name(int dies) {
  muster_checkpoint *checkpoint;
  muster_checkpoint_info info = {0};
  state read;
  uint64_t epoch;
  int status = open_by_name(&checkpoint);
  if (status) return status;
  SWEEP_STATUS(muster_checkpoint_take_over(checkpoint, &epoch), 0);
  status = muster_checkpoint_read(checkpoint, &read, sizeof read, &info);
  SWEEP_CHECK(status == 0 || status == ENODATA);
  if (!status) check_state(&read, &info);
  else info.sequence = 0;
  for (uint64_t n = 1; n <= 4; n++) SWEEP_STATUS(save_as(checkpoint, info.sequence + n, epoch), 0);
  if (dies) raise(SIGKILL);
  return muster_checkpoint_close(checkpoint);
}

static pid_t waits_for_it;
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
  SWEEP_STATUS(muster_region_remove(sweep_name("checkpoint"), 0), 0);
}

SWEEP_SUITE(
    checkpoint,
    {.name = "checkpoint.save-while-another-takes-over", .minimum = 100, .setup = lay, .prepare = write_prepare,
     .operate = save_operate, .meanwhile = commit_meanwhile, .finish = finish, .check = commit_check},
    {.name = "checkpoint.save", .minimum = 100, .setup = lay, .prepare = write_prepare, .operate = save_operate,
     .meanwhile = alone_meanwhile, .finish = finish, .check = alone_check},
    {.name = "checkpoint.save-durable", .minimum = 100, .setup = lay, .prepare = write_prepare,
     .operate = durable_operate, .meanwhile = commit_meanwhile, .finish = finish, .check = commit_check},
    {.name = "checkpoint.commit-in-place", .minimum = 100, .setup = lay, .prepare = write_prepare,
     .operate = in_place_operate, .meanwhile = commit_meanwhile, .finish = finish, .check = commit_check},
    {.name = "checkpoint.roll-back", .minimum = 100, .setup = lay, .prepare = write_prepare,
     .operate = roll_back_operate, .meanwhile = commit_meanwhile, .finish = finish, .check = commit_check},
    {.name = "checkpoint.abandon", .minimum = 40, .setup = lay, .prepare = write_prepare, .operate = abandon_operate,
     .meanwhile = abandon_meanwhile, .finish = finish, .check = abandon_check},
    {.name = "checkpoint.take-over", .minimum = 200, .setup = lay, .prepare = prepare, .operate = take_over_operate,
     .meanwhile = take_over_meanwhile, .finish = take_over_finish, .check = take_over_check},
    {.name = "checkpoint.take-over-after-a-death", .minimum = 200, .setup = dead_setup, .prepare = prepare,
     .operate = take_over_operate, .meanwhile = take_over_meanwhile, .finish = take_over_finish,
     .check = take_over_check},
    {.name = "checkpoint.take-over-from-one-at-work", .minimum = 200, .setup = held_setup, .prepare = prepare,
     .operate = take_over_operate, .meanwhile = fencing_meanwhile, .finish = finish, .check = fencing_check},
    {.name = "checkpoint.release", .minimum = 40, .setup = lay, .prepare = begun_prepare, .operate = release_operate,
     .meanwhile = take_over_meanwhile, .finish = finish, .check = release_check},
    {.name = "checkpoint.close", .minimum = 40, .setup = lay, .prepare = begun_prepare, .operate = close_operate,
     .meanwhile = take_over_meanwhile, .check = release_check},
    {.name = "checkpoint.read", .minimum = 40, .setup = lay, .prepare = prepare, .operate = read_operate,
     .meanwhile = read_meanwhile, .finish = finish, .check = read_check},
    {.name = "checkpoint.read-at", .minimum = 40, .setup = lay, .prepare = prepare, .operate = read_at_operate,
     .meanwhile = read_meanwhile, .finish = finish, .check = read_check, .variant = 1},
    {.name = "checkpoint.load", .minimum = 40, .setup = lay, .prepare = prepare, .operate = load_operate,
     .meanwhile = read_meanwhile, .finish = finish, .check = read_check, .variant = 2},
    {.name = "checkpoint.list", .minimum = 40, .setup = lay, .prepare = prepare, .operate = list_operate,
     .meanwhile = read_meanwhile, .finish = finish, .check = list_check},
    {.name = "checkpoint.renew", .minimum = 100, .setup = dead_setup, .operate = renew_operate,
     .meanwhile = renew_meanwhile, .check = renew_check},
    {.name = "checkpoint.open-creates", .minimum = 300, .setup = nothing, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check},
    {.name = "checkpoint.open-renews", .minimum = 300, .setup = dead_generation, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check});
