// Owners and transactions that are killed and stopped wherever they are; readers beside them; successors that go on.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena_support.h"
#include "support.h"
#include "test.h"

enum { SIZE = 3 * 4096 - 40, READERS = 2 };

// What the processes of a storm have done for certain, each word stored after it was done.
typedef struct done {
  uint64_t whole;      // the number of the state, when it was last whole
  uint64_t promised;   // of the last transaction that knew itself committed
  uint64_t saved;      // of the last state that was saved
  uint64_t tried;      // the greatest that anybody began to make; stored before
  uint64_t loading;    // 1 from before a checkpoint is loaded until `whole` says so
  uint64_t redone, loaded, transactions, reads;
  uint64_t random;
} done;

typedef struct scene {
  arena_place place;
  done *done;
} scene;

static scene make_scene(void) {
  muster_arena_shape shape = {.size = SIZE, .checkpoints = 2};
  scene at = {.place = arena_test_place(&shape), .done = shared_memory(sizeof(done))};
  at.done->random = test_seed();
  return at;
}

static void say(uint64_t *word, uint64_t number) { __atomic_store_n(word, number, __ATOMIC_RELEASE); }
static uint64_t get(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

static uint64_t drawn(const scene *at) { return test_random(&at->done->random); }

// ---- A transaction

typedef struct task {
  const scene *at;
  uint64_t id, number, fate;
} task;

static void transact(void *context) {
  const task *of = context;
  const arena_place *place = &of->at->place;
  muster_arena_log log;
  REQUIRE(!prctl(PR_SET_PDEATHSIG, SIGKILL));
  REQUIRE(!muster_arena_log_open(&place->arena, of->id, &log));
  REQUIRE(!muster_arena_log_isolate(&log, place->file, place->layout.state_offset));
  arena_test_state(place->arena.state, 0, SIZE / (1 + of->fate % 3 / 2), of->number);
  if (of->fate == 0) raise(SIGKILL);
  if (of->fate == 1) pause();
  if (of->fate == 2) {
    CHECK_STATUS(muster_arena_log_abort(&log), 0);
    return;
  }
  arena_test_state(place->arena.state, 0, SIZE, of->number);
  REQUIRE(!muster_arena_log_changed(&log));
  int status = muster_arena_log_commit(&log);
  if (!status) say(&of->at->done->promised, of->number);
  else CHECK_STATUS(status, ECANCELED);
}

// Forks one, waits for it or loses patience, and redoes.
static void run_transaction(const scene *at) {
  const muster_arena *arena = &at->place.arena;
  task of = {.at = at, .number = get(&at->done->whole) + 1, .fate = drawn(at) % 6};
  say(&at->done->tried, of.number);
  REQUIRE(!muster_arena_log_begin(arena, &of.id));
  pid_t pid = test_fork(transact, &of);
  int ended = 0, status = 0;
  if (of.fate > 1 && drawn(at) % 4) ended = waitpid(pid, &status, 0) == pid;
  else test_pause((int64_t)(drawn(at) % 500000));
  int decided = muster_arena_log_decide(arena, of.id);
  if (!ended) kill(pid, SIGKILL), waitpid(pid, &status, 0);
  CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
  CHECK(decided == 0 || decided == EALREADY);
  if (of.fate < 3) CHECK_STATUS(decided, 0);
  if (ended && of.fate > 2) CHECK_STATUS(decided, EALREADY);
  CHECK_STATUS(muster_arena_redo(arena), decided ? 0 : ENODATA);
  if (decided) say(&at->done->whole, of.number);
  at->done->transactions++;
}

// ---- An owner

static uint64_t number_of_state(const scene *at) {
  uint64_t number;
  CHECK(arena_test_is_state(at->place.arena.state, 0, SIZE, &number));
  return number;
}

// What was committed is there; what was being changed in place is replaced by what was saved.
static void recover(const scene *at) {
  const muster_arena *arena = &at->place.arena;
  done *did = at->done;
  int status = muster_arena_redo(arena);
  CHECK(status == 0 || status == ENODATA);
  did->redone += status == 0;
  uint64_t least = get(&did->whole) > get(&did->promised) ? get(&did->whole) : get(&did->promised);
  if (muster_arena_changing(arena)) {
    CHECK_STATUS(status, ENODATA);
    muster_arena_checkpoint loaded;
    say(&did->loading, 1);
    status = muster_arena_load(arena, 0, NULL, NULL, &loaded);
    if (status == ENODATA) CHECK_STATUS(muster_arena_zero(arena), 0);
    else CHECK_STATUS(status, 0);
    did->loaded++;
  }
  if (get(&did->loading)) least = get(&did->saved);
  uint64_t number = number_of_state(at);
  CHECK(number >= least && number <= get(&did->tried));
  say(&did->promised, 0);
  say(&did->whole, number);
  say(&did->loading, 0);
}

static void own(void *context) {
  const scene *at = context;
  const muster_arena *arena = &at->place.arena;
  REQUIRE(!setpgid(0, 0));
  recover(at);
  while (!test_result()) {
    uint64_t number = get(&at->done->whole) + 1;
    switch (drawn(at) % 12) {
      case 0: run_transaction(at); break;
      case 1:
        REQUIRE(!muster_arena_save(arena, NULL));
        say(&at->done->saved, number - 1);
        break;
      case 2:
        say(&at->done->tried, number);
        REQUIRE(!muster_arena_change_begin(arena));
        arena_test_state(arena->state, 0, SIZE, number);
        REQUIRE(!muster_arena_change_end(arena));
        say(&at->done->whole, number);
        break;
      default:
        say(&at->done->tried, number);
        arena_test_change(arena, number);
        say(&at->done->whole, number);
    }
    muster_arena_beat(arena, muster_clock_now());
  }
}

static void read_on(void *context) {
  const scene *at = context;
  unsigned char bytes[SIZE];
  while (!test_result()) {
    uint64_t number, sequence, later = get(&at->done->tried);
    int status = muster_arena_read(&at->place.arena, 0, bytes, SIZE, &sequence);
    if (status == EAGAIN) continue;
    CHECK_STATUS(status, 0);
    CHECK(sequence % 2 == 0 && arena_test_is_state(bytes, 0, SIZE, &number));
    if (get(&at->done->tried) == later) CHECK(number <= later);
    __atomic_fetch_add(&at->done->reads, 1, __ATOMIC_RELAXED);
  }
}

// Kills a group of processes, and sees them gone. Returns how its first one ended.
static int end_group(pid_t leader) {
  int status, first = 0;
  (void)setpgid(leader, leader);
  kill(-leader, SIGKILL);
  for (pid_t pid; (pid = waitpid(-leader, &status, 0)) > 0 || errno == EINTR;)
    if (pid == leader) first = status;
  return first;
}

static void storm_of_deaths(void) {
  REQUIRE(!prctl(PR_SET_CHILD_SUBREAPER, 1));
  scene at = make_scene();
  uint64_t random = at.done->random ^ 1;
  pid_t readers[READERS];
  for (int r = 0; r < READERS; r++) readers[r] = test_fork(read_on, &at);
  int deaths = 0;
  muster_arena_info info = {0};
  // Whatever the machine does beside: as many as that some meet a transaction.
  for (int64_t end = test_now() + 1000000000; test_now() < end || deaths < 100 || info.committed < 3; deaths++) {
    pid_t owner = test_fork(own, &at);
    test_pause((int64_t)(test_random(&random) % 4000000 * test_slower()));
    int status = end_group(owner);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
      test_fail(__FILE__, __LINE__, "an owner ended with wait status 0x%x", (unsigned)status);
      break;
    }
    muster_arena_info_of(&at.place.arena, &info);
  }
  for (int r = 0; r < READERS; r++) kill(readers[r], SIGKILL), test_join(readers[r], SIGKILL);
  recover(&at);
  muster_arena_info_of(&at.place.arena, &info);
  printf("%d deaths, %llu transactions, %llu committed, %llu redone after a death, %llu loaded, %llu reads\n", deaths,
         (unsigned long long)info.id, (unsigned long long)info.committed, (unsigned long long)at.done->redone,
         (unsigned long long)at.done->loaded, (unsigned long long)at.done->reads);
  CHECK(info.newest > 0 && at.done->reads > 0);
  CHECK_EQUAL(info.committed + info.crashed, info.id);
  arena_test_free(&at.place);
}

// A stopped owner: reads say so, or are of one moment, and stay what they are.
static void storm_of_stops(void) {
  REQUIRE(!prctl(PR_SET_CHILD_SUBREAPER, 1));
  scene at = make_scene();
  uint64_t random = at.done->random ^ 1;
  pid_t owner = test_fork(own, &at);
  int whole = 0, changing = 0;
  for (int round = 0; round < 300; round++) {
    test_pause((int64_t)(test_random(&random) % 300000));
    stop_process(owner);
    unsigned char bytes[SIZE];
    uint64_t number, first = 0, sequence;
    int status = muster_arena_read(&at.place.arena, 0, bytes, SIZE, &sequence);
    CHECK(status == 0 || status == EAGAIN);
    CHECK_EQUAL(status == EAGAIN, muster_arena_changing(&at.place.arena));
    if (!status) CHECK(arena_test_is_state(bytes, 0, SIZE, &first));
    status ? changing++ : whole++;
    if (status) CHECK_STATUS(muster_arena_read_until(&at.place.arena, 0, bytes, 8, muster_deadline_after(100000), NULL), ETIMEDOUT);
    else CHECK(arena_test_read(&at.place.arena) == first && arena_test_is_state(bytes, 0, SIZE, &number));
    kill(owner, SIGCONT);
  }
  int status = end_group(owner);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  printf("stopped: %d times whole, %d times being changed\n", whole, changing);
  CHECK(whole > 0 && changing > 0);
  recover(&at);
  arena_test_free(&at.place);
}

TEST_SUITE(arena_death, {"storm_of_deaths", storm_of_deaths, 60}, {"storm_of_stops", storm_of_stops, 60});
