// Queues whose putters and takers are killed and stopped all the time, and queues with many threads: no job is lost, and none is in two
// hands.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue_support.h"
#include "support.h"
#include "test.h"

enum { PUTTERS = 2, TAKERS = 4, WORKERS = PUTTERS + TAKERS, NUMBERS = 1000000, LEVELS = 3, KILLS = 150, LIVES = 1 << 10 };

// What is known of each job, in shared memory.
typedef struct record {
  uint32_t holder;     // the life that has it; 0: none that says so
  uint32_t tries;      // of takers that came to say so and did not give it back untried
  uint32_t completed;  // by takers that were about to say that it was done
  uint32_t closed;     // a taker was told that it is done
  uint32_t put;        // 1: put was about to be called; 2: it returned
} record;

typedef struct arena {
  record records[PUTTERS * NUMBERS];
  uint32_t next[PUTTERS];        // the next number of each putter
  uint32_t doomed[LIVES];        // lives that have been killed, or are about to be
  uint32_t lives;
  uint32_t enough;               // 1: nothing more is to be put
} arena;

typedef struct storm {
  queue_scene queue;
  arena *arena;
  uint32_t limit;
  uint32_t index;  // of this worker
  uint32_t life;   // likewise
  uint64_t seed;
} storm;

static uint32_t load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
static void store(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }

// Each number is put at most once: what was begun by one who died is not tried again.
static void put_all(void *context) {
  const storm *at = context;
  muster_queue *queue = queue_test_join(&at->queue);
  uint64_t random = at->seed + at->life;
  for (;;) {
    uint32_t number = load(&at->arena->next[at->index]);
    if (number == NUMBERS || load(&at->arena->enough)) break;
    store(&at->arena->next[at->index], number + 1);
    record *of = &at->arena->records[at->index * NUMBERS + number];
    store(&of->put, 1);
    unsigned char bytes[QUEUE_TEST_SIZE];
    uint32_t job = at->index * NUMBERS + number, size = queue_test_fill(bytes, job);
    if (test_random(&random) % 2) {
      REQUIRE(!muster_queue_put_wait(queue, bytes, size, job % LEVELS, soon()));
    } else {
      muster_queue_job claim;
      REQUIRE(!muster_queue_claim_wait(queue, soon(), &claim));
      memcpy(claim.bytes, bytes, size);
      REQUIRE(!muster_queue_commit(queue, claim.id, size, job % LEVELS));
    }
    store(&of->put, 2);
  }
  CHECK_STATUS(muster_queue_close(queue), 0);
}

// Nobody alive may have it, nobody may have been told that it is done, and every attempt that failed is counted.
static record *hold(const storm *at, const muster_queue_job *job) {
  uint32_t number = queue_test_number(job);
  REQUIRE(number < PUTTERS * NUMBERS && job->level == number % LEVELS);
  record *of = &at->arena->records[number];
  uint32_t before = __atomic_exchange_n(&of->holder, at->life, __ATOMIC_SEQ_CST);
  REQUIRE(before == 0 || before == at->life || load(&at->arena->doomed[before % LIVES]));
  REQUIRE(load(&of->put) && !load(&of->closed));
  REQUIRE(job->attempts >= load(&of->tries) && job->attempts < at->limit);
  return of;
}

static void take_all(void *context) {
  const storm *at = context;
  muster_queue *queue = queue_test_join(&at->queue);
  uint64_t random = at->seed + at->life;
  muster_queue_job job;
  int status;
  while (!(status = muster_queue_take_wait(queue, soon(), &job))) {
    record *of = hold(at, &job);
    uint32_t choice = (uint32_t)(test_random(&random) % 64);
    if (choice < 3) {
      if (choice == 0) __atomic_fetch_add(&of->tries, 1, __ATOMIC_SEQ_CST);
      store(&of->holder, 0);
      REQUIRE(!muster_queue_put_back(queue, job.id, choice == 0 ? MUSTER_QUEUE_FAILED : MUSTER_QUEUE_UNTRIED));
      continue;
    }
    __atomic_fetch_add(&of->tries, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&of->completed, 1, __ATOMIC_SEQ_CST);
    REQUIRE(load(&of->holder) == at->life);
    store(&of->holder, 0);
    REQUIRE(!muster_queue_done(queue, job.id));
    store(&of->closed, 1);
  }
  CHECK_STATUS(status, ENODATA);
  CHECK_STATUS(muster_queue_close(queue), 0);
}

static pid_t start(storm *at, uint32_t worker) {
  storm mine = *at;
  mine.index = worker < PUTTERS ? worker : worker - PUTTERS;
  mine.life = ++at->arena->lives;
  REQUIRE(mine.life < LIVES);
  return test_fork(worker < PUTTERS ? put_all : take_all, &mine);
}

// Whether a worker is through; if it is, its end was looked at.
static int has_ended(pid_t pid) {
  int status;
  if (waitpid(pid, &status, WNOHANG) != pid) return 0;
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return 1;
}

// Kills some, stops some for a while, and starts another in the place of each that was killed.
static void harass(storm *at, pid_t *workers, uint32_t *lives) {
  uint64_t random = at->seed;
  for (uint32_t kills = 0; kills < KILLS;) {
    test_pause((int64_t)(test_random(&random) % 300000));
    uint32_t k = (uint32_t)(test_random(&random) % WORKERS);
    if (workers[k] == 0) continue;
    if (k < PUTTERS && has_ended(workers[k])) {
      workers[k] = 0;
      continue;
    }
    switch (test_random(&random) % 4) {
      case 0:
        kill(workers[k], SIGSTOP);
        test_pause((int64_t)(test_random(&random) % 500000));
        kill(workers[k], SIGCONT);
        break;
      default:
        store(&at->arena->doomed[lives[k]], 1);
        if (test_random(&random) % 4 == 0) kill(workers[k], SIGSTOP);
        kill(workers[k], SIGKILL);
        while (waitpid(workers[k], NULL, 0) < 0 && errno == EINTR) continue;
        kills++;
        workers[k] = start(at, k);
        lives[k] = at->arena->lives;
    }
  }
}

static void account(const storm *at, muster_queue *queue) {
  uint32_t aside = 0, cursor = 0, number, lost = 0;
  muster_queue_entry entry;
  while (!muster_queue_next(queue, MUSTER_QUEUE_ANY, &cursor, &entry, &number, sizeof number)) {
    REQUIRE(entry.use == MUSTER_QUEUE_ASIDE && entry.attempts == at->limit && number < PUTTERS * NUMBERS);
    REQUIRE(!load(&at->arena->records[number].closed));
    at->arena->records[number].completed++;
    aside++;
  }
  for (uint32_t k = 0; k < PUTTERS * NUMBERS; k++) {
    const record *of = &at->arena->records[k];
    if (of->put == 2 && of->completed == 0) lost++;
    if (of->completed > of->tries) REQUIRE(of->completed == of->tries + 1);
  }
  CHECK_EQUAL(lost, 0);
  muster_queue_state state = queue_test_look(queue);
  CHECK_EQUAL(state.aside, aside);
  CHECK_EQUAL(state.free, state.jobs - aside);
}

static void rage(uint32_t jobs, uint32_t limit) {
  muster_queue_options options = {
      .job_size = QUEUE_TEST_SIZE, .jobs = jobs, .levels = LEVELS, .members = WORKERS + 2, .attempts = limit};
  storm at = {.queue = queue_test_scene(&options), .arena = shared_memory(sizeof(arena)), .limit = limit, .seed = test_seed()};
  pid_t workers[WORKERS];
  uint32_t lives[WORKERS];
  for (uint32_t k = 0; k < WORKERS; k++) {
    workers[k] = start(&at, k);
    lives[k] = at.arena->lives;
  }
  harass(&at, workers, lives);
  store(&at.arena->enough, 1);
  muster_queue *queue = queue_test_join(&at.queue);
  for (uint32_t k = 0; k < PUTTERS; k++)
    if (workers[k]) test_join(workers[k], 0);
  CHECK_STATUS(muster_queue_finish(queue), 0);
  for (uint32_t k = PUTTERS; k < WORKERS; k++) test_join(workers[k], 0);
  account(&at, queue);
  CHECK(at.arena->next[0] > KILLS && at.arena->next[1] > KILLS);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&at.queue);
}

// With jobs enough that none need be set aside, in a small queue that is always full, and one where deaths use the attempts up.
static void killed_at_random(void) { rage(200, 1000); }
static void killed_in_a_small_queue(void) { rage(WORKERS + 2, 1000); }

// ---- Threads

enum { THREADS = 4, EACH = 5000 };

typedef struct crowd {
  muster_queue *queue;
  uint32_t index;
  unsigned char *seen;
  uint32_t *last;  // of each putter, the last number that this taker saw
} crowd;

static void *put_each(void *context) {
  const crowd *of = context;
  for (uint32_t k = 0; k < EACH; k++) {
    unsigned char bytes[QUEUE_TEST_SIZE];
    uint32_t number = of->index * EACH + k;
    REQUIRE(!muster_queue_put_wait(of->queue, bytes, queue_test_fill(bytes, number), 0, soon()));
  }
  return NULL;
}

// What one thread puts, each other thread sees in the order of putting.
static void *take_each(void *context) {
  const crowd *of = context;
  uint32_t last[THREADS] = {0};
  muster_queue_job job;
  int status;
  while (!(status = muster_queue_take_wait(of->queue, soon(), &job))) {
    uint32_t number = queue_test_number(&job), putter = number / EACH;
    REQUIRE(putter < THREADS && number % EACH + 1 > last[putter]);
    last[putter] = number % EACH + 1;
    REQUIRE(__atomic_exchange_n(&of->seen[number], 1, __ATOMIC_RELAXED) == 0);
    REQUIRE(!muster_queue_done(of->queue, job.id));
  }
  CHECK_STATUS(status, ENODATA);
  return NULL;
}

// All by one handle, or each by one of its own (which the main thread has joined).
static void with_threads(int own) {
  muster_queue_options options = {.job_size = QUEUE_TEST_SIZE, .jobs = 60, .members = 2 * THREADS};
  queue_scene scene = queue_test_scene(&options);
  static unsigned char seen[THREADS * EACH];
  muster_queue *queues[2 * THREADS];
  crowd crowds[2 * THREADS];
  pthread_t threads[2 * THREADS];
  memset(seen, 0, sizeof seen);
  for (uint32_t k = 0; k < 2 * THREADS; k++) queues[k] = own || !k ? queue_test_join(&scene) : queues[0];
  for (uint32_t k = 0; k < 2 * THREADS; k++) {
    crowds[k] = (crowd){queues[k], k % THREADS, seen, NULL};
    REQUIRE(!pthread_create(&threads[k], NULL, k < THREADS ? put_each : take_each, &crowds[k]));
  }
  for (uint32_t k = 0; k < THREADS; k++) REQUIRE(!pthread_join(threads[k], NULL));
  CHECK_STATUS(muster_queue_finish(queues[0]), 0);
  for (uint32_t k = THREADS; k < 2 * THREADS; k++) REQUIRE(!pthread_join(threads[k], NULL));
  for (uint32_t k = 0; k < THREADS * EACH; k++) REQUIRE(seen[k]);
  CHECK_EQUAL(queue_test_look(queues[0]).free, 60);
  for (uint32_t k = 0; k < 2 * THREADS; k++)
    if (own || !k) CHECK_STATUS(muster_queue_close(queues[k]), 0);
  queue_test_end(&scene);
}

static void threads_of_one_handle(void) { with_threads(0); }
static void threads_with_handles(void) { with_threads(1); }

TEST_SUITE(queue_storm, {"killed_at_random", killed_at_random, 120}, {"killed_in_a_small_queue", killed_in_a_small_queue, 120},
           {"threads_of_one_handle", threads_of_one_handle, 60}, {"threads_with_handles", threads_with_handles, 60});
