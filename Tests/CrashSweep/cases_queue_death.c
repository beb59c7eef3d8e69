// The queue, who settles what the dead left, who sleeps, who wakes, who opens: no job is lost, counted twice, or slept through, whatever
// became of the operator.
// SPDX-License-Identifier: Apache-2.0
#include "../../Sources/CMuster/internal/queue.h"
#include "queue_world.h"

// ---- Settling one who left something of every kind: a job put, a claim, a job taken, one that was on its way back when it died, one that
// was about to be queued, one that was never put, one that was being tried anew.

enum { BY_RECLAIM = 0, BY_JOIN = 1 };

// Makes the word of a job of this member's what it is between two steps of it.
static void leave_at(muster_queue *queue, uint64_t id, uint32_t tag, uint32_t next) {
  uint32_t index = muster_pool_index(id);
  uint64_t word = muster_pool_word(queue->pool, index);
  queue_head_of(queue, index)->next = next;
  SWEEP_CHECK(muster_pool_swap(queue->pool, index, &word, (word & ~(uint64_t)POOL_TAG_MOST) | tag));
}

// About to be queued again, at the first position of the lane of what came back of the later level.
static void leave_on_its_way(muster_queue *queue, uint64_t id) {
  queue_job_head *head = queue_head_of(queue, muster_pool_index(id));
  head->attempts = 1;
  head->stamp = queue_stamp(0, queue_lane_of(1, 1));
  head->generation = pool_generation(id);
  leave_at(queue, id, QUEUE_AGAIN, 1);
}

static pid_t partner;

static int leaves_all_kinds(int what) {
  muster_queue *queue = join();
  muster_queue_job claim;
  (void)take(queue, 0);
  leave_at(queue, take(queue, 1), QUEUE_RETURNING, 1);
  leave_on_its_way(queue, take(queue, 2));
  SWEEP_STATUS(put(queue, 3, 1), 0);
  SWEEP_STATUS(put(queue, 4, 0), 0);
  leave_at(queue, take(queue, 4), QUEUE_RETRYING, 0);
  SWEEP_STATUS(muster_queue_claim(queue, &claim), 0);
  SWEEP_STATUS(muster_queue_claim(queue, &claim), 0);
  leave_at(queue, claim.id, QUEUE_QUEUED, 0);
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  while (what == BY_RECLAIM && __atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) < 2) sweep_pause(50000);
  return raise(SIGKILL);
}

static uint32_t living(const muster_queue *queue) {
  muster_queue_state state;
  SWEEP_STATUS(muster_queue_look(queue, &state), 0);
  return state.living;
}

static void settle_setup(void) {
  lay();
  partner = sweep_peer(leaves_all_kinds, (int)sweep->variant);
  while (!__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE)) sweep_pause(50000);
}

// Who joins settles: so the partner dies when the operator is a member already.
static void settle_prepare(void) {
  mine = attach();
  uint32_t others = 1;
  if (sweep->variant == BY_RECLAIM) {
    SWEEP_STATUS(muster_queue_join(mine, NULL), 0);
    others = 2;
  }
  __atomic_store_n(&note()->ready, 2, __ATOMIC_RELEASE);
  while (living(mine) > others) sweep_pause(50000);
}

static int settle_operate(void) {
  return sweep->variant == BY_JOIN ? muster_queue_join(mine, NULL) : muster_queue_reclaim(mine, NULL);
}

// Who asks for what the stopped one has not come to, settles the rest; what is in its hands waits.
static void settle_meanwhile(void) {
  muster_queue_state state;
  SWEEP_STATUS(muster_queue_reclaim(ours, NULL), 0);
  SWEEP_STATUS(muster_queue_look(ours, &state), 0);
  SWEEP_EQUAL(state.ended, 0);
  SWEEP_CHECK(state.taken + state.returning <= 1 && state.queued >= 3 && state.aside + state.free == JOBS - 4);
  SWEEP_STATUS(put(ours, 41, 1), 0);
}

static void settle_check(void) {
  sweep_reap_killed(partner);
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  drain();
  for (uint32_t k = 0; k < 3; k++) SWEEP_EQUAL(fate_of(k), QUEUED + 1);
  SWEEP_EQUAL(fate_of(3), QUEUED);
  SWEEP_EQUAL(fate_of(4), ASIDE);
  check_whole();
}

// ---- A job that is put while others sleep: one of them gets it, also when who put it died before it could wake them.

static pid_t sleepers[SLEEPERS];

static int sleeps_for_job(int number) {
  muster_queue *queue = join();
  muster_queue_job job;
  __atomic_fetch_add(&note()->ready, 1, __ATOMIC_RELEASE);
  note()->slept[number] = muster_queue_take_wait(queue, sweep_deadline(), &job);
  if (note()->slept[number]) return muster_queue_close(queue);
  note()->number[number] = number_of(&job);
  SWEEP_STATUS(muster_queue_done(queue, job.id), 0);
  return muster_queue_close(queue);
}

static void let_sleep(void) {
  for (int k = 0; k < SLEEPERS; k++) {
    sleepers[k] = sweep_peer(sleeps_for_job, k);
    while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) <= (uint32_t)k) sweep_pause(50000);
    sweep_settle(sleepers[k]);
  }
}

static void wakes_setup(void) {
  lay_with(0);
  let_sleep();
}

static void joined(void) { mine = join(); }
static int put_operate(void) { return put(mine, 3, 1); }

// How many sleepers were given a job; the others were told of the end.
static uint32_t reap_sleepers(void) {
  uint32_t taken = 0;
  for (int k = 0; k < SLEEPERS; k++) {
    SWEEP_STATUS(sweep_reap(sleepers[k]), 0);
    if (note()->slept[k]) SWEEP_STATUS(note()->slept[k], ENODATA);
    else taken++;
  }
  return taken;
}

static void wakes_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  // Told of the end only when all that was put has been taken.
  muster_queue_state state;
  do {
    SWEEP_STATUS(muster_queue_look(ours, &state), 0);
    if (state.queued) sweep_pause(50000);
    SWEEP_CHECK(sweep_now() < sweep_deadline());
  } while (state.queued);
  SWEEP_STATUS(muster_queue_finish(ours), 0);
  uint32_t taken = reap_sleepers();
  SWEEP_EQUAL(taken, state.put);
  if (sweep->returned) SWEEP_EQUAL(taken, 1);
  if (sweep->injection == SWEEP_CRASH) sweep_found(taken ? SWEEP_AFTER : SWEEP_BEFORE);
  drain();
  check_whole();
}

// ---- The last job of a finished queue is done while others wait for the end: they are told, or get the job of one who died.

static void ends_setup(void) {
  lay_with(1);
  SWEEP_STATUS(muster_queue_finish(ours), 0);
}

static void ends_prepare(void) {
  mine = join();
  note()->id = take(mine, 0);
}

static int ends_operate(void) { return muster_queue_done(mine, note()->id); }

// The sleepers come when the operator has the job: it is stopped or dead by then.
static void ends_meanwhile(void) {
  let_sleep();
  sweep_settle(sleepers[0]);
}

static void ends_check(void) {
  if (sweep->injection == SWEEP_CRASH) let_sleep();
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  uint32_t taken = reap_sleepers();
  if (sweep->returned) SWEEP_EQUAL(taken, 0);
  SWEEP_CHECK(taken <= 1);
  if (sweep->injection == SWEEP_CRASH) sweep_found(taken ? SWEEP_BEFORE : SWEEP_AFTER);
  drain();
  SWEEP_EQUAL(fate_of(0), GONE);
  check_whole();
}

// ---- Waiting for a job that somebody puts, or that comes back from one who dies; for room.

enum { FOR_JOB = 0, FOR_DEATH = 1, FOR_ROOM = 2 };

static int holds_then(int what) {
  muster_queue *queue = join();
  if (what == FOR_DEATH) (void)take(queue, 0);
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  sweep_operator_asleep();
  if (what == FOR_DEATH) raise(SIGKILL);
  if (what == FOR_JOB) SWEEP_STATUS(put(queue, 0, 1), 0);
  if (what == FOR_ROOM) SWEEP_STATUS(muster_queue_done(queue, take(queue, 0)), 0);
  sweep_operator_done();
  return muster_queue_close(queue);
}

static void waits_setup(void) {
  lay_with(sweep->variant == FOR_JOB ? 0 : sweep->variant == FOR_DEATH ? 1 : JOBS);
  partner = sweep_peer(holds_then, (int)sweep->variant);
  while (!__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE)) sweep_pause(50000);
}

static int waits_operate(void) {
  muster_queue_job job;
  uint32_t words[2] = {20, ~20u};
  if (sweep->variant == FOR_ROOM) return muster_queue_put_wait(mine, words, sizeof words, 1, MUSTER_DEADLINE_NEVER);
  return muster_queue_take_wait(mine, MUSTER_DEADLINE_NEVER, &job);
}

static void waits_meanwhile(void) {
  muster_queue_state state;
  SWEEP_STATUS(muster_queue_look(ours, &state), 0);
}

static void waits_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  if (sweep->variant == FOR_DEATH) sweep_reap_killed(partner);
  else SWEEP_STATUS(sweep_reap(partner), 0);
  drain();
  uint32_t found = fate_of(0), returned = sweep->returned != 0;
  if (sweep->variant == FOR_JOB) SWEEP_CHECK(found == QUEUED + 1 || (!returned && found == QUEUED));
  if (sweep->variant == FOR_DEATH) SWEEP_CHECK(found == QUEUED + 2 || (!returned && found == QUEUED + 1));
  if (sweep->variant == FOR_ROOM) {
    SWEEP_EQUAL(found, GONE);
    SWEEP_CHECK(fate_of(20) == QUEUED || (!returned && fate_of(20) == GONE));
    for (uint32_t k = 1; k < JOBS; k++) SWEEP_EQUAL(fate_of(k), QUEUED);
  }
  check_whole();
}

// ---- Opened by name: created, and renewed when all have died.

static muster_queue *named(uint32_t flags) {
  muster_queue_options options = shape;
  options.flags = flags;
  muster_queue *queue;
  SWEEP_STATUS(muster_queue_open(sweep_name("queue"), &options, &queue), 0);
  return queue;
}

static int leaves_jobs(int number) {
  (void)number;
  muster_queue *queue = named(0);
  SWEEP_STATUS(muster_queue_join(queue, NULL), 0);
  for (uint32_t k = 0; k < 3; k++) SWEEP_STATUS(put(queue, k, 1), 0);
  (void)take(queue, 0);
  leave_on_its_way(queue, take(queue, 1));
  return raise(SIGKILL);
}

static void renews_setup(void) { sweep_reap_killed(sweep_peer(leaves_jobs, 0)); }

static int open_operate(void) {
  muster_queue_options options = shape;
  return muster_queue_open(sweep_name("queue"), &options, &mine);
}

static pid_t waits_for_it;
static int opens_it(int number) {
  (void)number;
  return muster_queue_close(named(0));
}

static void open_meanwhile(void) {
  waits_for_it = sweep_peer(opens_it, 0);
  (void)sweep_ends_soon(waits_for_it);
}

static void open_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) {
    sweep_finish();
    SWEEP_STATUS(sweep_reap(waits_for_it), 0);
  }
  ours = named(0);
  SWEEP_STATUS(muster_queue_join(ours, NULL), 0);
  drain();
  if (sweep->variant) {
    for (uint32_t k = 0; k < 2; k++) SWEEP_EQUAL(fate_of(k), QUEUED + 1);
    SWEEP_EQUAL(fate_of(2), QUEUED);
  }
  SWEEP_STATUS(muster_queue_close(ours), 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("queue"), 0), 0);
}

#define SETTLE(NAME, VARIANT)                                                                                                   \
  {.name = "queue." NAME, .minimum = 300, .variant = VARIANT, .setup = settle_setup, .prepare = settle_prepare,                \
   .operate = settle_operate, .meanwhile = settle_meanwhile, .finish = finish, .check = settle_check}
#define WAIT(NAME, VARIANT)                                                                                                     \
  {.name = "queue." NAME, .minimum = 150, .variant = VARIANT, .setup = waits_setup, .prepare = joined,                         \
   .operate = waits_operate, .meanwhile = waits_meanwhile, .finish = finish, .check = waits_check}

SWEEP_SUITE(queue_death, SETTLE("reclaim", BY_RECLAIM), SETTLE("join-settles", BY_JOIN),
            {.name = "queue.put-wakes", .minimum = 100, .setup = wakes_setup, .prepare = joined, .operate = put_operate,
             .meanwhile = nothing, .finish = finish, .check = wakes_check},
            {.name = "queue.done-is-the-end", .minimum = 30, .setup = ends_setup, .prepare = ends_prepare, .operate = ends_operate,
             .meanwhile = ends_meanwhile, .finish = finish, .check = ends_check},
            WAIT("take-waits", FOR_JOB), WAIT("take-waits-for-a-death", FOR_DEATH), WAIT("put-waits-for-room", FOR_ROOM),
            {.name = "queue.open-creates", .minimum = 300, .setup = nothing, .operate = open_operate, .meanwhile = open_meanwhile,
             .finish = finish, .check = open_check},
            {.name = "queue.open-renews", .minimum = 300, .variant = 1, .setup = renews_setup, .operate = open_operate,
             .meanwhile = open_meanwhile, .finish = finish, .check = open_check});
