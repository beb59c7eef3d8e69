// Queues in memory that somebody wrote into who shouldn't have.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "../../Sources/CMuster/internal/queue.h"
#include "queue_support.h"
#include "support.h"
#include "test.h"

enum { JOBS = 12, SIZE = 16, MEMBERS = 2, LEVELS = 2 };

static const muster_queue_options usual = {.job_size = SIZE, .jobs = JOBS, .levels = LEVELS, .members = MEMBERS, .attempts = 2};

// Any of these, whatever the memory says.
static void is_a_value(int status, const char *what, size_t at) {
  static const int values[] = {0,      EPERM,  EINVAL, ESTALE,    EBUSY,   ENOSPC,   EAGAIN,
                               EPIPE,  ENOENT, ENODATA, ETIMEDOUT, EBADMSG, EMSGSIZE};
  for (size_t k = 0; k < sizeof values / sizeof *values; k++)
    if (status == values[k]) return;
  test_fail(__FILE__, __LINE__, "%s with another byte %zu gives %d", what, at, status);
}

// A job lies within the memory, all that it says to have; it is read, and written over where that is allowed.
static void within(const queue_scene *scene, const muster_queue_job *job, int writes) {
  unsigned char *bytes = job->bytes, sum = 0;
  REQUIRE(job->size <= SIZE && job->level < LEVELS);
  REQUIRE(bytes >= (unsigned char *)scene->memory && bytes + job->size <= (unsigned char *)scene->memory + scene->size);
  for (uint32_t k = 0; k < job->size; k++) sum = (unsigned char)(sum + bytes[k]);
  if (writes) memset(bytes, sum, job->size);
}

static void put_some(const queue_scene *scene, muster_queue *queue, size_t at) {
  muster_queue_job claim;
  muster_wait_set set;
  for (uint32_t k = 0; k < 5; k++) is_a_value(muster_queue_put(queue, "bytes", 5, k % LEVELS), "put", at);
  is_a_value(muster_queue_put_wait(queue, "bytes", 5, 0, MUSTER_DEADLINE_NOW), "put_wait", at);
  is_a_value(muster_queue_poll_room(queue, &set), "poll_room", at);
  for (int k = 0; k < 2; k++) {
    int status = muster_queue_claim(queue, &claim);
    is_a_value(status, "claim", at);
    if (status) continue;
    within(scene, &claim, 1);
    if (k) is_a_value(muster_queue_commit(queue, claim.id, SIZE, 1), "commit", at);
    else is_a_value(muster_queue_cancel(queue, claim.id), "cancel", at);
  }
}

static void take_some(const queue_scene *scene, muster_queue *queue, size_t at) {
  muster_queue_job job;
  muster_wait_set set;
  is_a_value(muster_queue_poll(queue, &set), "poll", at);
  for (uint32_t k = 0; k < 6; k++) {
    int status = k < 5 ? muster_queue_take(queue, &job) : muster_queue_take_wait(queue, MUSTER_DEADLINE_NOW, &job);
    is_a_value(status, "take", at);
    if (status) continue;
    within(scene, &job, 0);
    if (k % 3) is_a_value(muster_queue_put_back(queue, job.id, (muster_queue_outcome)(k % 3)), "put_back", at);
    else is_a_value(muster_queue_done(queue, job.id), "done", at);
  }
}

static void look_around(const queue_scene *scene, muster_queue *queue, size_t at) {
  muster_queue_state state;
  muster_queue_entry entry;
  unsigned char bytes[SIZE];
  uint32_t cursor = 0;
  is_a_value(muster_queue_look(queue, &state), "look", at);
  CHECK(state.queued + state.taken + state.aside + state.free <= JOBS);
  for (int k = 0; k <= JOBS && !muster_queue_next(queue, MUSTER_QUEUE_ANY, &cursor, &entry, bytes, sizeof bytes); k++) {
    REQUIRE(entry.size <= SIZE && entry.level < LEVELS && (entry.member == UINT32_MAX || entry.member < MEMBERS));
    if (entry.use != MUSTER_QUEUE_ASIDE) continue;
    is_a_value(k % 2 ? muster_queue_drop(queue, entry.id) : muster_queue_retry(queue, entry.id), "aside", at);
  }
  (void)scene;
}

static void use(const queue_scene *scene, muster_queue *queue, size_t at) {
  uint32_t count;
  put_some(scene, queue, at);
  take_some(scene, queue, at);
  look_around(scene, queue, at);
  is_a_value(muster_queue_reclaim(queue, &count), "reclaim", at);
}

// Each byte of all that is not a lock, in turn, set to other values, in a queue with jobs of all kinds, before a handle is made and after.
static void hostile_bytes(void) {
  queue_scene scene = queue_test_scene(&usual);
  unsigned char *memory = scene.memory, *kept = shared_memory(scene.size);
  muster_queue *first = queue_test_join(&scene);
  muster_queue_job job;
  for (uint32_t k = 0; k < 6; k++) REQUIRE(!muster_queue_put(first, "first", 5, k % LEVELS));
  REQUIRE(!muster_queue_take(first, &job) && !muster_queue_put_back(first, job.id, MUSTER_QUEUE_HOPELESS));
  REQUIRE(!muster_queue_take(first, &job) && !muster_queue_put_back(first, job.id, MUSTER_QUEUE_FAILED));
  REQUIRE(!muster_queue_close(first));
  memcpy(kept, memory, scene.size);
  size_t pool = queue_pool_offset(JOBS, LEVELS), from = pool + pool_state_offset(MEMBERS);
  static const unsigned char masks[] = {0x01, 0x10, 0x80, 0xff};
  uint32_t attached = 0, refused = 0;
  for (size_t at = 0; at < scene.size; at++) {
    if (at == pool + sizeof(pool_head)) at = from;
    // Of the cells, some: they are alike.
    if (at >= queue_cells_offset(LEVELS) + 256 && at < pool && at % 7) continue;
    for (size_t m = 0; m < sizeof masks; m++) {
      muster_queue *before = queue_test_join(&scene), *after;
      memory[at] ^= masks[m];
      use(&scene, before, at);
      int status = muster_queue_attach(memory, scene.size, &after);
      if (status) {
        REQUIRE(status == EBADMSG || status == EPROTO);
        refused++;
      } else {
        attached++;
        if (!muster_queue_join(after, NULL)) use(&scene, after, at);
        REQUIRE(!muster_queue_close(after));
      }
      REQUIRE(!muster_queue_close(before));
      memcpy(memory, kept, scene.size);
    }
  }
  CHECK(attached > 1000 && refused > 100);
  queue_test_end(&scene);
}

// Renewed it is a queue that hides no job and holds as many as ever, once what was set aside is dropped.
static void whole_again(const queue_scene *scene, uint32_t jobs) {
  REQUIRE(!muster_queue_renew(scene->memory, scene->size));
  muster_queue *queue = queue_test_join(scene);
  REQUIRE(!muster_queue_reopen(queue));
  muster_queue_state state = queue_test_look(queue);
  CHECK_EQUAL(state.free + state.queued + state.aside, jobs);
  muster_queue_job job;
  muster_queue_entry entry;
  uint32_t taken = 0, cursor = 0;
  int status;
  for (; (status = muster_queue_take(queue, &job)) != EAGAIN; taken++) {
    REQUIRE(!status || status == EBADMSG);
    if (!status) REQUIRE(!muster_queue_done(queue, job.id));
  }
  CHECK_EQUAL(taken, state.queued);
  while (!muster_queue_next(queue, MUSTER_QUEUE_ASIDE, &cursor, &entry, NULL, 0)) REQUIRE(!muster_queue_drop(queue, entry.id));
  for (uint32_t round = 0; round < 3; round++) {
    for (uint32_t k = 0; k < jobs; k++) REQUIRE(!muster_queue_put(queue, &k, sizeof k, 0));
    for (uint32_t k = 0; k < jobs; k++)
      REQUIRE(!muster_queue_take(queue, &job) && !memcmp(job.bytes, &k, sizeof k) && !muster_queue_done(queue, job.id));
  }
  REQUIRE(!muster_queue_close(queue));
}

// All are any numbers, and can be made whole.
static void random_words(void) {
  queue_scene scene = queue_test_scene(&usual);
  unsigned char *memory = scene.memory;
  size_t state = sizeof(queue_head), pool = queue_pool_offset(JOBS, LEVELS), words = pool + pool_state_offset(MEMBERS);
  uint64_t random = test_seed();
  for (int round = 0; round < 1000; round++) {
    for (int k = 0; k < 40; k++) {
      uint64_t value = test_random(&random) >> test_random(&random) % 64;
      size_t from = k % 2 ? state : words, end = k % 2 ? pool : scene.size;
      memcpy(memory + from + test_random(&random) % (end - from) / 8 * 8, &value, 8);
    }
    muster_queue *queue = queue_test_join(&scene);
    use(&scene, queue, 0);
    REQUIRE(!muster_queue_close(queue));
    if (round % 2 == 0) whole_again(&scene, JOBS);
  }
  queue_test_end(&scene);
}

// ---- A file after the machine has stopped

enum { MANY = 64, DEEP = 50 };

// So many jobs go through the queue, in which DEEP are queued then.
static void turn(muster_queue *queue, uint32_t count) {
  muster_queue_job job;
  for (uint32_t k = 0; k < count; k++) {
    REQUIRE(!muster_queue_put(queue, &k, sizeof k, 0));
    if (queue_test_look(queue).queued <= DEEP) continue;
    REQUIRE(!muster_queue_take(queue, &job));
    if (k % 7 == 0) REQUIRE(!muster_queue_put_back(queue, job.id, MUSTER_QUEUE_UNTRIED) && !muster_queue_take(queue, &job));
    REQUIRE(!muster_queue_done(queue, job.id));
  }
}

// Pages are written to the disk one by one: what is there is of different moments.
static void pages_of_different_moments(void) {
  muster_queue_options options = {.job_size = SIZE, .jobs = MANY, .levels = 1, .members = MEMBERS};
  queue_scene scene = queue_test_scene(&options);
  unsigned char *memory = scene.memory, *earlier = shared_memory(scene.size);
  size_t cells = queue_cells_offset(1), heads = queue_heads_offset(MANY, 1), pool = queue_pool_offset(MANY, 1);
  size_t words = pool + pool_words_offset(MANY, MEMBERS), lane = MANY * sizeof(uint64_t);
  const struct {
    size_t from, size;
  } parts[] = {{sizeof(queue_head), sizeof(queue_state)},
               {queue_ends_offset(), cells - queue_ends_offset()},
               {cells, lane / 2},
               {cells + lane / 2, lane / 2},
               {cells + lane, lane / 2},
               {cells + lane + lane / 2, lane / 2},
               {heads, MANY / 2 * sizeof(queue_job_head)},
               {heads + MANY / 2 * sizeof(queue_job_head), MANY / 2 * sizeof(queue_job_head)},
               {words, lane / 2},
               {words + lane / 2, lane / 2}};
  static const uint32_t between[] = {1, 20, 64, 100, 700};
  uint64_t random = test_seed();
  for (uint32_t round = 0; round < 300; round++) {
    muster_queue *queue = queue_test_join(&scene);
    turn(queue, 100);
    memcpy(earlier, memory, scene.size);
    turn(queue, between[round % 5]);
    REQUIRE(!muster_queue_close(queue));
    uint64_t which = test_random(&random);
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
      if (which >> k & 1) memcpy(memory + parts[k].from, earlier + parts[k].from, parts[k].size);
    whole_again(&scene, MANY);
  }
  queue_test_end(&scene);
}

// Numbers in the head that are possible each, but not those of the pool behind it.
static void other_numbers(void) {
  for (int which = 0; which < 4; which++) {
    queue_scene scene = queue_test_scene(&usual);
    queue_head *head = scene.memory;
    uint32_t *numbers[] = {&head->job_size, &head->jobs, &head->levels, &head->members};
    *numbers[which] = which == 0 ? SIZE + 16 : 1;
    muster_queue *queue;
    CHECK_STATUS(muster_queue_attach(scene.memory, scene.size, &queue), EBADMSG);
    CHECK(!queue);
    queue_test_end(&scene);
  }
}

// A job whose size can't be is set aside, told, and stops nobody.
static void job_too_large(void) {
  queue_scene scene = queue_test_scene(&usual);
  muster_queue *queue = queue_test_join(&scene);
  muster_queue_job job;
  REQUIRE(!muster_queue_put(queue, "one", 3, 0) && !muster_queue_put(queue, "two", 3, 0));
  for (uint32_t k = 0; k < JOBS; k++)
    if (!memcmp(queue_bytes_of(queue, k), "one", 3)) queue_head_of(queue, k)->size = SIZE + 1;
  CHECK_STATUS(muster_queue_take(queue, &job), EBADMSG);
  CHECK(!job.bytes);
  CHECK_STATUS(muster_queue_take(queue, &job), 0);
  CHECK(job.size == 3 && !memcmp(job.bytes, "two", 3));
  CHECK_EQUAL(queue_test_look(queue).aside, 1);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&scene);
}

TEST_SUITE(queue_hostile, {"hostile_bytes", hostile_bytes, 60}, {"random_words", random_words, 60},
           {"pages_of_different_moments", pages_of_different_moments, 60},
           {"other_numbers", other_numbers, 0}, {"job_too_large", job_too_large, 0});
