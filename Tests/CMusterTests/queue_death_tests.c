// Queues whose members die, leave, fork, stop, sleep, or end with their thread.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/queue.h"
#include "queue_support.h"
#include "support.h"
#include "test.h"

enum { JOBS = 40, MEMBERS = 8, LIMIT = 3 };

typedef struct scene {
  queue_scene queue;
  uint32_t *gate;    // shared
  int64_t *result;   // likewise, one for each child
  uint32_t number;   // of this child
} scene;

static scene make_scene(uint32_t members) {
  unsigned char *words = shared_memory(4096);
  muster_queue_options options = {
      .job_size = QUEUE_TEST_SIZE, .jobs = JOBS, .levels = 2, .members = members, .attempts = LIMIT};
  return (scene){.queue = queue_test_scene(&options),
                 .gate = (uint32_t *)(void *)words,
                 .result = (int64_t *)(void *)(words + 2048)};
}

// Puts three, takes the first, claims one more, says so, and waits to be killed.
static void put_and_take(void *context) {
  const scene *at = context;
  muster_queue *queue = queue_test_join(&at->queue);
  muster_queue_job claim;
  for (uint32_t k = 0; k < 3; k++) queue_test_put(queue, 10 + k, 1);
  (void)queue_test_take(queue, 10);
  REQUIRE(!muster_queue_claim(queue, &claim));
  gate_open(at->gate, 1);
  for (;;) pause();
}

static pid_t start(scene *at, void (*body)(void *)) {
  *at->gate = 0;
  pid_t child = test_fork(body, at);
  gate_wait(at->gate, 1);
  return child;
}

// What it put stays; what it had taken comes back first, with one attempt; what it claimed never was.
static void member_killed(void) {
  scene at = make_scene(MEMBERS);
  muster_queue *queue = queue_test_join(&at.queue);
  for (uint32_t turn = 0; turn < 3; turn++) {
    kill_process(start(&at, put_and_take));
    muster_queue_state state = queue_test_look(queue);
    CHECK_EQUAL(state.ended, 2);
    CHECK_EQUAL(state.taken, 1);
    CHECK_EQUAL(state.putting, 1);
    CHECK_EQUAL(state.queued, 2);
    CHECK_EQUAL(state.living, 1);
    uint32_t count = 0, cursor = 0;
    muster_queue_entry entry;
    CHECK_STATUS(muster_queue_next(queue, MUSTER_QUEUE_TAKEN, &cursor, &entry, NULL, 0), 0);
    CHECK_EQUAL(entry.alive, 0);
    if (turn) {
      CHECK_STATUS(muster_queue_reclaim(queue, &count), 0);
      CHECK(count >= 2);
      state = queue_test_look(queue);
      CHECK_EQUAL(state.queued, 3);
      CHECK_EQUAL(state.ended, 0);
      CHECK_STATUS(muster_queue_reclaim(queue, &count), 0);
      CHECK_EQUAL(count, 0);
    }
    muster_queue_job job;
    if (turn == 0) {
      // Without being asked, as soon as nothing else is to be had.
      queue_test_work(queue, 11);
      queue_test_work(queue, 12);
    }
    job = queue_test_take(queue, 10);
    CHECK_EQUAL(job.attempts, 1);
    CHECK_EQUAL(job.level, 1);
    CHECK_STATUS(muster_queue_done(queue, job.id), 0);
    if (turn) {
      queue_test_work(queue, 11);
      queue_test_work(queue, 12);
    }
    CHECK_STATUS(muster_queue_take(queue, &job), EAGAIN);
    CHECK_EQUAL(queue_test_look(queue).free, JOBS);
  }
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&at.queue);
}

static void take_one(void *context) {
  const scene *at = context;
  muster_queue *queue = queue_test_join(&at->queue);
  (void)queue_test_take(queue, 7);
  gate_open(at->gate, 1);
  for (;;) pause();
}

// A job that kills whoever takes it is set aside after so many.
static void killer_job(void) {
  scene at = make_scene(MEMBERS);
  muster_queue *queue = queue_test_join(&at.queue);
  queue_test_put(queue, 7, 0);
  for (int turn = 0; turn < LIMIT; turn++) kill_process(start(&at, take_one));
  muster_queue_job job;
  CHECK_STATUS(muster_queue_take(queue, &job), EAGAIN);
  uint32_t cursor = 0;
  muster_queue_entry entry;
  CHECK_STATUS(muster_queue_next(queue, MUSTER_QUEUE_ANY, &cursor, &entry, NULL, 0), 0);
  CHECK(entry.use == MUSTER_QUEUE_ASIDE && entry.attempts == LIMIT);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&at.queue);
}

// A busy taker, whom nothing makes look, finds what the dead left before long.
static void busy_taker(void) {
  scene at = make_scene(MEMBERS);
  muster_queue *queue = queue_test_join(&at.queue);
  kill_process(start(&at, put_and_take));
  uint32_t found = 0;
  for (uint32_t k = 0; k < 16 * MEMBERS + 2 && !found; k++) {
    muster_queue_job job;
    queue_test_put(queue, 1000 + k, 1);
    REQUIRE(!muster_queue_take(queue, &job));
    found = queue_test_number(&job) == 10;
    CHECK_STATUS(muster_queue_done(queue, job.id), 0);
  }
  CHECK(found);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&at.queue);
}

static void hold_all(void *context) {
  const scene *at = context;
  muster_queue *queue = queue_test_join(&at->queue);
  muster_queue_job claim;
  while (!muster_queue_claim(queue, &claim)) continue;
  gate_open(at->gate, 1);
  for (;;) pause();
}

// What the dead had claimed is room, for who is there and for who joins in the only place.
static void room_of_the_dead(void) {
  for (uint32_t members = 1; members <= 2; members++) {
    scene at = make_scene(members);
    muster_queue *queue = members > 1 ? queue_test_join(&at.queue) : NULL;
    pid_t child = start(&at, hold_all);
    if (queue) CHECK_STATUS(muster_queue_put(queue, "x", 1, 0), ENOSPC);
    kill_process(child);
    if (!queue) queue = queue_test_join(&at.queue);
    for (uint32_t k = 0; k < JOBS; k++) queue_test_put(queue, k, 0);
    CHECK_STATUS(muster_queue_put(queue, "x", 1, 0), ENOSPC);
    CHECK_STATUS(muster_queue_close(queue), 0);
    queue_test_end(&at.queue);
  }
}

// ---- Sleepers

static void sleep_for_job(void *context) {
  const scene *at = context;
  muster_queue *queue = queue_test_join(&at->queue);
  muster_queue_job job;
  int status = muster_queue_take_wait(queue, MUSTER_DEADLINE_NEVER, &job);
  at->result[at->number] = status ? -status : 1 + (int64_t)queue_test_number(&job);
  if (!status) CHECK_STATUS(muster_queue_done(queue, job.id), 0);
  CHECK_STATUS(muster_queue_close(queue), 0);
}

static void sleep_for_room(void *context) {
  const scene *at = context;
  muster_queue *queue = queue_test_join(&at->queue);
  at->result[at->number] = -muster_queue_put_wait(queue, "x", 1, 0, MUSTER_DEADLINE_NEVER);
  CHECK_STATUS(muster_queue_close(queue), 0);
}

static pid_t sleeper(scene *at, uint32_t number, void (*body)(void *)) {
  scene mine = *at;
  mine.number = number;
  pid_t child = test_fork(body, &mine);
  CHECK(test_asleep(child));
  return child;
}

// Each job that is put wakes one who takes it; the end wakes the rest.
static void sleepers_take(void) {
  scene at = make_scene(MEMBERS);
  muster_queue *queue = queue_test_join(&at.queue);
  pid_t children[5];
  for (uint32_t k = 0; k < 5; k++) children[k] = sleeper(&at, k, sleep_for_job);
  for (uint32_t k = 0; k < 3; k++) queue_test_put(queue, k, 0);
  while (queue_test_look(queue).free < JOBS) test_pause(100000);
  CHECK_STATUS(muster_queue_finish(queue), 0);
  uint32_t taken = 0, over = 0;
  for (uint32_t k = 0; k < 5; k++) {
    test_join(children[k], 0);
    if (at.result[k] > 0) taken |= 1u << (at.result[k] - 1);
    else over += (uint32_t)(at.result[k] == -ENODATA);
  }
  CHECK_EQUAL(taken, 7);
  CHECK_EQUAL(over, 2);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&at.queue);
}

// A taker's death gives its job to one of those who sleep, with nobody there to do anything else.
static void sleepers_and_a_death(void) {
  scene at = make_scene(MEMBERS);
  pid_t holder = start(&at, put_and_take), children[3];
  muster_queue *queue = queue_test_join(&at.queue);
  queue_test_work(queue, 11);
  queue_test_work(queue, 12);
  CHECK_STATUS(muster_queue_finish(queue), 0);
  CHECK_STATUS(muster_queue_close(queue), 0);
  for (uint32_t k = 0; k < 3; k++) children[k] = sleeper(&at, k, sleep_for_job);
  kill_process(holder);
  int taken = 0;
  for (uint32_t k = 0; k < 3; k++) {
    test_join(children[k], 0);
    taken += at.result[k] == 11;
    CHECK(at.result[k] == 11 || at.result[k] == -ENODATA);
  }
  CHECK_EQUAL(taken, 1);
  queue_test_end(&at.queue);
}

// Who waits for room is woken by a job that is done, by a death, by the end.
static void sleepers_for_room(void) {
  for (int how = 0; how < 3; how++) {
    scene at = make_scene(MEMBERS);
    muster_queue *queue = queue_test_join(&at.queue);
    pid_t holder = 0, child;
    if (how == 1) {
      holder = start(&at, hold_all);
    } else {
      for (uint32_t k = 0; k < JOBS; k++) queue_test_put(queue, k, 0);
    }
    child = sleeper(&at, 0, sleep_for_room);
    if (how == 0) queue_test_work(queue, 0);
    if (how == 1) kill_process(holder);
    if (how == 2) CHECK_STATUS(muster_queue_finish(queue), 0);
    test_join(child, 0);
    CHECK_EQUAL(at.result[0], how == 2 ? -EPIPE : 0);
    CHECK_STATUS(muster_queue_close(queue), 0);
    queue_test_end(&at.queue);
  }
}

// A stopped taker keeps its job, and counts as living; killed, it gives it back.
static void stopped_taker(void) {
  scene at = make_scene(MEMBERS);
  muster_queue *queue = queue_test_join(&at.queue);
  queue_test_put(queue, 7, 0);
  pid_t child = start(&at, take_one);
  stop_process(child);
  muster_queue_job job;
  CHECK_STATUS(muster_queue_take(queue, &job), EAGAIN);
  CHECK_STATUS(muster_queue_reclaim(queue, NULL), 0);
  CHECK_STATUS(muster_queue_take_wait(queue, muster_deadline_after(2000000), &job), ETIMEDOUT);
  for (uint32_t k = 0; k < 100; k++) {
    queue_test_put(queue, k, k % 2);
    queue_test_work(queue, k);
  }
  kill_process(child);
  job = queue_test_take(queue, 7);
  CHECK_EQUAL(job.attempts, 1);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&at.queue);
}

// ---- Event loops

// The words that a poll gives change with a job, and with a death.
static void polls(void) {
  scene at = make_scene(MEMBERS);
  muster_queue *queue = queue_test_join(&at.queue), *other = queue_test_join(&at.queue);
  muster_wait_set set;
  CHECK_STATUS(muster_queue_poll_room(queue, &set), 0);
  CHECK_STATUS(muster_queue_poll(queue, &set), EAGAIN);
  CHECK(set.count > 1);
  CHECK_STATUS(muster_wait_any(&set, muster_deadline_after(1000000)), ETIMEDOUT);
  queue_test_put(other, 7, 0);
  CHECK_STATUS(muster_wait_any(&set, soon()), 0);
  CHECK_STATUS(muster_queue_poll(queue, &set), 0);
  pid_t child = start(&at, take_one);
  CHECK_STATUS(muster_queue_poll(queue, &set), EAGAIN);
  kill_process(child);
  CHECK_STATUS(muster_wait_any(&set, soon()), 0);
  CHECK_STATUS(muster_queue_poll(queue, &set), 0);
  queue_test_work(queue, 7);
  for (uint32_t k = 0; k < JOBS; k++) queue_test_put(queue, k, 0);
  CHECK_STATUS(muster_queue_poll_room(queue, &set), EAGAIN);
  queue_test_work(other, 0);
  CHECK_STATUS(muster_wait_any(&set, soon()), 0);
  CHECK_STATUS(muster_queue_poll_room(queue, &set), 0);
  CHECK_STATUS(muster_queue_close(queue), 0);
  CHECK_STATUS(muster_queue_close(other), 0);
  queue_test_end(&at.queue);
}

// The kernel wakes one sleeper for a death. Though he has found a job and goes to work, the others are told.
static void poll_tells_of_a_death(void) {
  scene at = make_scene(MEMBERS);
  muster_queue *queue = queue_test_join(&at.queue);
  muster_wait_set set;
  queue_test_put(queue, 7, 0);
  pid_t child = start(&at, take_one);
  queue_test_put(queue, 8, 0);
  kill_process(child);
  uint32_t roster = muster_group_roster(muster_queue_group(queue));
  CHECK_STATUS(muster_queue_poll(queue, &set), 0);
  CHECK(muster_group_roster(muster_queue_group(queue)) != roster);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&at.queue);
}

static void join_and_wait(void *context) {
  const scene *at = context;
  (void)queue_test_join(&at->queue);
  gate_open(at->gate, 1);
  for (;;) pause();
}

// Who has given up waiting for room is not relied on to watch for others, also when a death came meanwhile.
static void watches_no_more(void) {
  scene at = make_scene(MEMBERS);
  muster_queue *queue = queue_test_join(&at.queue);
  for (uint32_t k = 0; k < JOBS; k++) queue_test_put(queue, k, 0);
  kill_process(start(&at, join_and_wait));
  CHECK_STATUS(muster_queue_put_wait(queue, "x", 1, 0, muster_deadline_after(1000000)), ETIMEDOUT);
  const muster_group *group = muster_queue_group(queue);
  for (uint32_t k = 0; k < GROUP_SLOTS; k++) {
    uint64_t slot = group->head->slots[k];
    CHECK((uint32_t)slot == 0 || slot >> 32 != muster_group_roster(muster_queue_group(queue)));
  }
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&at.queue);
}

// ---- Fork, threads

typedef struct inherited {
  muster_queue *queue;
  uint64_t taken, claimed;
} inherited;

static void use_inherited(void *context) {
  const inherited *from = context;
  muster_queue *queue = from->queue;
  muster_queue_job job;
  muster_queue_state state;
  muster_queue_entry entry;
  muster_wait_set set;
  uint32_t cursor = 0;
  CHECK_STATUS(muster_queue_put(queue, "x", 1, 0), EPERM);
  CHECK_STATUS(muster_queue_put_wait(queue, "x", 1, 0, soon()), EPERM);
  CHECK_STATUS(muster_queue_claim(queue, &job), EPERM);
  CHECK_STATUS(muster_queue_commit(queue, from->claimed, 1, 0), EPERM);
  CHECK_STATUS(muster_queue_cancel(queue, from->claimed), EPERM);
  CHECK_STATUS(muster_queue_take(queue, &job), EPERM);
  CHECK_STATUS(muster_queue_take_wait(queue, soon(), &job), EPERM);
  CHECK_STATUS(muster_queue_done(queue, from->taken), EPERM);
  CHECK_STATUS(muster_queue_put_back(queue, from->taken, MUSTER_QUEUE_FAILED), EPERM);
  CHECK_STATUS(muster_queue_poll(queue, &set), EPERM);
  CHECK_STATUS(muster_queue_poll_room(queue, &set), EPERM);
  CHECK_STATUS(muster_queue_finish(queue), EPERM);
  CHECK_STATUS(muster_queue_join(queue, NULL), EPERM);
  CHECK_STATUS(muster_queue_leave(queue), EPERM);
  CHECK_STATUS(muster_queue_look(queue, &state), EPERM);
  CHECK_STATUS(muster_queue_next(queue, MUSTER_QUEUE_ANY, &cursor, &entry, NULL, 0), EPERM);
  CHECK_EQUAL(muster_queue_member(queue), UINT32_MAX);
  CHECK_STATUS(muster_queue_close(queue), 0);
}

static void forked_child(void) {
  scene at = make_scene(MEMBERS);
  muster_queue *queue = queue_test_join(&at.queue);
  muster_queue_job claim;
  queue_test_put(queue, 1, 0);
  queue_test_put(queue, 2, 0);
  muster_queue_job job = queue_test_take(queue, 1);
  REQUIRE(!muster_queue_claim(queue, &claim));
  test_join(test_fork(use_inherited, &(inherited){queue, job.id, claim.id}), 0);
  CHECK_STATUS(muster_queue_done(queue, job.id), 0);
  CHECK_STATUS(muster_queue_cancel(queue, claim.id), 0);
  queue_test_work(queue, 2);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&at.queue);
}

static void *join_and_take(void *context) {
  muster_queue *queue = context;
  REQUIRE(!muster_queue_join(queue, NULL));
  (void)queue_test_take(queue, 1);
  return NULL;
}

static void *close_elsewhere(void *context) {
  CHECK_STATUS(muster_queue_leave(context), EBUSY);
  CHECK_STATUS(muster_queue_close(context), EBUSY);
  return NULL;
}

// Membership is the thread's that joined: its end gives its jobs back.
static void thread_that_ends(void) {
  scene at = make_scene(MEMBERS);
  muster_queue *queue = queue_test_attach(&at.queue), *other = queue_test_join(&at.queue);
  muster_queue_job job;
  queue_test_put(other, 1, 0);
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, join_and_take, queue) && !pthread_join(thread, NULL));
  CHECK_STATUS(muster_queue_take(queue, &job), EPERM);
  CHECK_STATUS(muster_queue_put(queue, "x", 1, 0), EPERM);
  CHECK_STATUS(muster_queue_leave(queue), EINVAL);
  job = queue_test_take(other, 1);
  CHECK_EQUAL(job.attempts, 1);
  CHECK_STATUS(muster_queue_join(queue, NULL), 0);
  REQUIRE(!pthread_create(&thread, NULL, close_elsewhere, queue) && !pthread_join(thread, NULL));
  CHECK_STATUS(muster_queue_close(queue), 0);
  CHECK_STATUS(muster_queue_close(other), 0);
  queue_test_end(&at.queue);
}

typedef struct twice {
  muster_queue *queue;
  uint64_t *gate;  // how many rounds have been begun, and ended by each of the two
  uint64_t id;
  int status[2];
} twice;

static void commit_in(twice *at, uint32_t which, uint64_t round) {
  while (__atomic_load_n(&at->gate[0], __ATOMIC_ACQUIRE) < round) continue;
  at->status[which] = muster_queue_commit(at->queue, at->id, which + 1, 0);
  __atomic_store_n(&at->gate[1 + which], round, __ATOMIC_RELEASE);
}

enum { TWICE = 20000 };

static void *commit_too(void *context) {
  for (uint64_t round = 1; round <= TWICE; round++) commit_in(context, 1, round);
  return NULL;
}

// Of two threads that commit one claim at once one does it, and the other touches nothing of it.
static void committed_by_two_threads(void) {
  scene at = make_scene(MEMBERS);
  muster_queue *queue = queue_test_join(&at.queue);
  uint64_t gate[3] = {0};
  twice both = {.queue = queue, .gate = gate};
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, commit_too, &both));
  for (uint64_t round = 1; round <= TWICE; round++) {
    muster_queue_job job;
    REQUIRE(!muster_queue_claim(queue, &job));
    both.id = job.id;
    __atomic_store_n(&gate[0], round, __ATOMIC_RELEASE);
    commit_in(&both, 0, round);
    while (__atomic_load_n(&gate[2], __ATOMIC_ACQUIRE) < round) continue;
    REQUIRE((both.status[0] == 0) != (both.status[1] == 0));
    int other = both.status[both.status[0] == 0];
    REQUIRE(other == EBUSY || other == ESTALE);
    REQUIRE(!muster_queue_take(queue, &job) && job.size == (both.status[0] == 0 ? 1u : 2u) && !muster_queue_done(queue, job.id));
  }
  pthread_join(thread, NULL);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&at.queue);
}

// ---- By name, when all have died

typedef struct named {
  const char *name;
  uint32_t *gate;
  uint32_t flags;
} named;

static void work_by_name(void *context) {
  const named *by = context;
  muster_queue *queue;
  REQUIRE(!muster_queue_open(by->name, &(muster_queue_options){.flags = by->flags | MUSTER_REGION_ATTACH}, &queue));
  REQUIRE(!muster_queue_join(queue, NULL));
  muster_queue_job job;
  (void)queue_test_take(queue, 0);
  job = queue_test_take(queue, 1);
  REQUIRE(!muster_queue_put_back(queue, job.id, MUSTER_QUEUE_HOPELESS));
  job = queue_test_take(queue, 2);
  REQUIRE(!muster_queue_put_back(queue, job.id, MUSTER_QUEUE_UNTRIED));
  REQUIRE(!muster_queue_claim(queue, &job));
  gate_open(by->gate, 1);
  for (;;) pause();
}

// The jobs outlive all of their processes, on disk as in memory: first what came back, then what was never taken.
static void all_die(void) {
  for (int file = 0; file < 2; file++) {
    char path[300];
    snprintf(path, sizeof path, "%s/queue", test_folder());
    named by = {file ? path : test_name("queue"), shared_memory(4096), file ? MUSTER_REGION_FILE : 0};
    muster_queue_options options = {.job_size = QUEUE_TEST_SIZE, .jobs = JOBS, .members = 2, .attempts = LIMIT};
    options.flags = by.flags | MUSTER_REGION_OPEN;
    muster_queue *queue;
    REQUIRE(!muster_queue_open(by.name, &options, &queue));
    REQUIRE(!muster_queue_join(queue, NULL));
    for (uint32_t k = 0; k < 5; k++) queue_test_put(queue, k, 0);
    *by.gate = 0;
    pid_t child = test_fork(work_by_name, &by);
    gate_wait(by.gate, 1);
    REQUIRE(!muster_queue_close(queue));
    kill_process(child);
    REQUIRE(!muster_queue_open(by.name, &options, &queue));
    muster_queue_state state = queue_test_look(queue);
    CHECK(state.queued == 4 && state.aside == 1 && state.free == JOBS - 5 && state.living == 0);
    REQUIRE(!muster_queue_join(queue, NULL));
    queue_test_work(queue, 2);
    muster_queue_job job = queue_test_take(queue, 0);
    CHECK_EQUAL(job.attempts, 1);
    CHECK_STATUS(muster_queue_done(queue, job.id), 0);
    queue_test_work(queue, 3);
    queue_test_work(queue, 4);
    CHECK_STATUS(muster_queue_take(queue, &job), EAGAIN);
    CHECK_STATUS(muster_queue_close(queue), 0);
    CHECK_STATUS(muster_region_remove(by.name, by.flags), 0);
  }
}

TEST_SUITE(queue_death, {"member_killed", member_killed, 0}, {"killer_job", killer_job, 0}, {"busy_taker", busy_taker, 0},
           {"room_of_the_dead", room_of_the_dead, 0}, {"sleepers_take", sleepers_take, 0},
           {"sleepers_and_a_death", sleepers_and_a_death, 0}, {"sleepers_for_room", sleepers_for_room, 0},
           {"stopped_taker", stopped_taker, 0}, {"polls", polls, 0},
           {"poll_tells_of_a_death", poll_tells_of_a_death, 0}, {"watches_no_more", watches_no_more, 0}, {"forked_child", forked_child, 0},
           {"thread_that_ends", thread_that_ends, 0}, {"committed_by_two_threads", committed_by_two_threads, 60}, {"all_die", all_die, 0});
