// Queues: jobs put, taken, done, put back, set aside, in order and by level, in place and by name.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "queue_support.h"
#include "support.h"
#include "test.h"

// As written to the queue, not as the header says.
enum { JOBS = 100, SIZE = QUEUE_TEST_SIZE, MEMBERS = 4, LEVELS = 3, LIMIT = 3 };

static const muster_queue_options usual = {.job_size = SIZE, .jobs = JOBS, .levels = LEVELS, .members = MEMBERS, .attempts = LIMIT, .times = 1};

static size_t size_with(uint32_t job_size, uint32_t jobs, uint32_t levels, uint32_t members) {
  return muster_queue_size(&(muster_queue_options){.job_size = job_size, .jobs = jobs, .levels = levels, .members = members});
}

static void sizes(void) {
  CHECK_EQUAL(size_with((UINT32_C(1) << 30) + 1, 1, 1, 1), 0);
  CHECK_EQUAL(size_with(1, 0, 1, 1), 0);
  CHECK_EQUAL(size_with(1, (UINT32_C(1) << 24) + 1, 1, 1), 0);
  CHECK_EQUAL(size_with(1, 1, 17, 1), 0);
  CHECK_EQUAL(size_with(1, 1, 1, 0), 0);
  CHECK_EQUAL(size_with(1, 1, 1, 257), 0);
  CHECK(size_with(UINT32_C(1) << 30, 1, 16, 256) > UINT32_C(1) << 30);
  CHECK(size_with(0, 1, 1, 1) > 0);
  CHECK_EQUAL(size_with(8, 64, 0, 1), size_with(8, 64, 1, 1));
  CHECK_EQUAL(size_with(8, 1024, 2, 1) - size_with(8, 1024, 1, 1), 2 * (1024 * 8 + 256));
  static _Alignas(128) unsigned char memory[1 << 16];
  muster_queue_options options = {.job_size = 8, .jobs = 70, .members = 2};
  size_t needed = muster_queue_size(&options);
  CHECK(needed < sizeof memory - 128);
  CHECK_STATUS(muster_queue_init(memory, needed - 1, &options), EINVAL);
  CHECK_STATUS(muster_queue_init(memory + 64, sizeof memory - 64, &options), EINVAL);
  muster_queue *queue;
  CHECK_STATUS(muster_queue_attach(memory, sizeof memory, &queue), EBADMSG);
  CHECK(!queue);
  CHECK_STATUS(muster_queue_init(memory, needed, &options), 0);
  CHECK_STATUS(muster_queue_attach(memory, needed - 1, &queue), EBADMSG);
  CHECK_STATUS(muster_queue_attach(memory + 64, needed, &queue), EINVAL);
  CHECK_STATUS(muster_queue_attach(memory, needed, &queue), 0);
  CHECK_EQUAL(muster_queue_job_size(queue), 8);
  CHECK_EQUAL(muster_queue_member(queue), UINT32_MAX);
  CHECK_STATUS(muster_queue_close(queue), 0);
}

// In the order in which they were put, many times round, filled to the last.
static void in_order(void) {
  muster_queue_options options = {.job_size = SIZE, .jobs = 70, .members = MEMBERS};
  queue_scene scene = queue_test_scene(&options);
  muster_queue *putter = queue_test_join(&scene), *taker = queue_test_join(&scene);
  muster_queue_job job;
  unsigned char bytes[SIZE] = {0};
  uint32_t put = 0, taken = 0;
  CHECK_STATUS(muster_queue_take(taker, &job), EAGAIN);
  CHECK(!job.bytes && !job.id);
  for (uint32_t round = 0; round < 60; round++) {
    while (put < taken + 70) queue_test_put(putter, put++, 0);
    CHECK_STATUS(muster_queue_put(putter, bytes, 4, 0), ENOSPC);
    CHECK_STATUS(muster_queue_put_wait(putter, bytes, 4, 0, MUSTER_DEADLINE_NOW), ETIMEDOUT);
    CHECK_STATUS(muster_queue_put_wait(putter, bytes, 4, 0, muster_deadline_after(100000)), ETIMEDOUT);
    for (uint32_t k = round % 70; k < 70; k++) queue_test_work(k % 3 ? taker : putter, taken++);
  }
  while (taken < put) queue_test_work(taker, taken++);
  CHECK_STATUS(muster_queue_take(taker, &job), EAGAIN);
  CHECK_STATUS(muster_queue_take_wait(taker, MUSTER_DEADLINE_NOW, &job), ETIMEDOUT);
  CHECK_STATUS(muster_queue_take_wait(taker, muster_deadline_after(100000), &job), ETIMEDOUT);
  CHECK_EQUAL(queue_test_look(taker).put, put);
  CHECK_STATUS(muster_queue_close(putter), 0);
  CHECK_STATUS(muster_queue_close(taker), 0);
  queue_test_end(&scene);
}

static void levels(void) {
  queue_scene scene = queue_test_scene(&usual);
  muster_queue *queue = queue_test_join(&scene);
  for (uint32_t k = 0; k < 9; k++) queue_test_put(queue, k, 2 - k % 3);
  CHECK_STATUS(muster_queue_put(queue, "job", 3, LEVELS), EINVAL);
  muster_queue_state state = queue_test_look(queue);
  for (uint32_t level = 0; level < LEVELS; level++) CHECK_EQUAL(state.queued_at[level], 3);
  static const uint32_t order[] = {2, 5, 8, 1, 4};
  for (uint32_t k = 0; k < 5; k++) queue_test_work(queue, order[k]);
  // One that comes goes before all of later levels.
  queue_test_put(queue, 100, 0);
  muster_queue_job job = queue_test_take(queue, 100);
  CHECK_EQUAL(job.level, 0);
  static const uint32_t rest[] = {7, 0, 3, 6};
  for (uint32_t k = 0; k < 4; k++) queue_test_work(queue, rest[k]);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&scene);
}

// What comes back goes to the front of its level; each failure counts, and the last one sets it aside.
static void back_and_aside(void) {
  queue_scene scene = queue_test_scene(&usual);
  muster_queue *queue = queue_test_join(&scene);
  for (uint32_t k = 0; k < 4; k++) queue_test_put(queue, k, 1);
  muster_queue_job first = queue_test_take(queue, 0), second = queue_test_take(queue, 1), job;
  CHECK_EQUAL(first.attempts, 0);
  CHECK_STATUS(muster_queue_put_back(queue, second.id, MUSTER_QUEUE_UNTRIED), 0);
  CHECK_STATUS(muster_queue_put_back(queue, first.id, MUSTER_QUEUE_FAILED), 0);
  CHECK_STATUS(muster_queue_put_back(queue, first.id, MUSTER_QUEUE_FAILED), ESTALE);
  CHECK_STATUS(muster_queue_done(queue, first.id), ESTALE);
  job = queue_test_take(queue, 1);
  CHECK_EQUAL(job.attempts, 0);
  CHECK_EQUAL(job.level, 1);
  CHECK_STATUS(muster_queue_put_back(queue, job.id, (muster_queue_outcome)3), EINVAL);
  CHECK_STATUS(muster_queue_done(queue, job.id), 0);
  for (uint32_t attempt = 1; attempt < LIMIT; attempt++) {
    job = queue_test_take(queue, 0);
    CHECK_EQUAL(job.attempts, attempt);
    CHECK_STATUS(muster_queue_put_back(queue, job.id, MUSTER_QUEUE_FAILED), 0);
  }
  queue_test_work(queue, 2);
  job = queue_test_take(queue, 3);
  CHECK_STATUS(muster_queue_put_back(queue, job.id, MUSTER_QUEUE_HOPELESS), 0);
  CHECK_STATUS(muster_queue_take(queue, &job), EAGAIN);
  muster_queue_state state = queue_test_look(queue);
  CHECK_EQUAL(state.aside, 2);
  CHECK_EQUAL(state.aside_at[1], 2);
  CHECK_EQUAL(state.returned, 3);
  // One is tried anew, one dropped.
  uint32_t cursor = 0;
  muster_queue_entry entries[2], none;
  for (int k = 0; k < 2; k++) {
    unsigned char bytes[SIZE], expected[SIZE];
    CHECK_STATUS(muster_queue_next(queue, MUSTER_QUEUE_ASIDE, &cursor, &entries[k], bytes, sizeof bytes), 0);
    uint32_t number = entries[k].attempts == LIMIT ? 0 : 3;
    CHECK_EQUAL(entries[k].size, queue_test_fill(expected, number));
    CHECK(!memcmp(bytes, expected, entries[k].size));
    CHECK_EQUAL(entries[k].level, 1);
    CHECK_EQUAL(entries[k].member, UINT32_MAX);
  }
  CHECK_STATUS(muster_queue_next(queue, MUSTER_QUEUE_ASIDE, &cursor, &none, NULL, 0), ENOENT);
  int failed = entries[0].attempts == LIMIT ? 0 : 1;
  CHECK_STATUS(muster_queue_drop(queue, entries[1 - failed].id), 0);
  CHECK_STATUS(muster_queue_drop(queue, entries[1 - failed].id), ESTALE);
  CHECK_STATUS(muster_queue_retry(queue, entries[1 - failed].id), ESTALE);
  queue_test_put(queue, 4, 1);
  CHECK_STATUS(muster_queue_retry(queue, entries[failed].id), 0);
  CHECK_STATUS(muster_queue_retry(queue, entries[failed].id), ESTALE);
  job = queue_test_take(queue, 0);
  CHECK_EQUAL(job.attempts, 0);
  CHECK_STATUS(muster_queue_drop(queue, job.id), EBUSY);
  CHECK_STATUS(muster_queue_retry(queue, job.id), EBUSY);
  CHECK_STATUS(muster_queue_done(queue, job.id), 0);
  queue_test_work(queue, 4);
  CHECK_EQUAL(queue_test_look(queue).free, JOBS);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&scene);
}

static void no_limit(void) {
  muster_queue_options options = {.job_size = SIZE, .jobs = 1, .members = 1};
  queue_scene scene = queue_test_scene(&options);
  muster_queue *queue = queue_test_join(&scene);
  queue_test_put(queue, 1, 0);
  for (uint32_t attempt = 0; attempt < 500; attempt++) {
    muster_queue_job job = queue_test_take(queue, 1);
    CHECK_EQUAL(job.attempts, attempt);
    CHECK_STATUS(muster_queue_put_back(queue, job.id, MUSTER_QUEUE_FAILED), 0);
  }
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&scene);
}

static void claimed(void) {
  muster_queue_options options = {.job_size = SIZE, .jobs = 3, .levels = 2, .members = MEMBERS};
  queue_scene scene = queue_test_scene(&options);
  muster_queue *queue = queue_test_join(&scene), *other = queue_test_join(&scene);
  muster_queue_job jobs[3], job;
  for (int k = 0; k < 3; k++) {
    REQUIRE(!muster_queue_claim(queue, &jobs[k]));
    CHECK(jobs[k].size == SIZE && (uintptr_t)jobs[k].bytes % 16 == 0);
  }
  CHECK_STATUS(muster_queue_claim(queue, &job), ENOSPC);
  CHECK_STATUS(muster_queue_claim_wait(queue, MUSTER_DEADLINE_NOW, &job), ETIMEDOUT);
  CHECK_STATUS(muster_queue_take(other, &job), EAGAIN);
  CHECK_EQUAL(queue_test_look(other).putting, 3);
  CHECK_STATUS(muster_queue_commit(queue, jobs[0].id, SIZE + 1, 0), EMSGSIZE);
  CHECK_STATUS(muster_queue_commit(queue, jobs[0].id, 4, 2), EINVAL);
  CHECK_STATUS(muster_queue_commit(other, jobs[0].id, 4, 0), EBUSY);
  CHECK_STATUS(muster_queue_cancel(other, jobs[0].id), EBUSY);
  CHECK_STATUS(muster_queue_done(queue, jobs[0].id), EBUSY);
  for (uint32_t k = 3; k-- > 1;) {
    uint32_t size = queue_test_fill(jobs[k].bytes, k);
    CHECK_STATUS(muster_queue_commit(queue, jobs[k].id, size, 0), 0);
    CHECK_STATUS(muster_queue_commit(queue, jobs[k].id, size, 0), EBUSY);
  }
  CHECK_STATUS(muster_queue_cancel(queue, jobs[0].id), 0);
  CHECK_STATUS(muster_queue_cancel(queue, jobs[0].id), ESTALE);
  CHECK_STATUS(muster_queue_commit(queue, jobs[0].id, 4, 0), ESTALE);
  queue_test_work(other, 2);
  queue_test_work(other, 1);
  CHECK_STATUS(muster_queue_take(other, &job), EAGAIN);
  // Empty jobs, and full ones.
  static const unsigned char full[SIZE] = {7, 7, 7};
  CHECK_STATUS(muster_queue_put(queue, NULL, 0, 0), 0);
  CHECK_STATUS(muster_queue_put(queue, full, SIZE, 0), 0);
  CHECK_STATUS(muster_queue_put(queue, full, SIZE + 1, 0), EMSGSIZE);
  CHECK_STATUS(muster_queue_take(queue, &job), 0);
  CHECK_EQUAL(job.size, 0);
  CHECK_STATUS(muster_queue_take(queue, &job), 0);
  CHECK(job.size == SIZE && !memcmp(job.bytes, full, SIZE));
  static const uint64_t nothing[] = {0, 4, UINT64_MAX, UINT32_MAX};
  for (size_t k = 0; k < sizeof nothing / sizeof *nothing; k++) {
    CHECK_STATUS(muster_queue_commit(queue, nothing[k], 0, 0), EINVAL);
    CHECK_STATUS(muster_queue_cancel(queue, nothing[k]), EINVAL);
    CHECK_STATUS(muster_queue_done(queue, nothing[k]), EINVAL);
    CHECK_STATUS(muster_queue_put_back(queue, nothing[k], MUSTER_QUEUE_FAILED), EINVAL);
    CHECK_STATUS(muster_queue_retry(queue, nothing[k]), EINVAL);
    CHECK_STATUS(muster_queue_drop(queue, nothing[k]), EINVAL);
  }
  CHECK_STATUS(muster_queue_done(other, job.id), EBUSY);
  CHECK_STATUS(muster_queue_close(queue), 0);
  CHECK_STATUS(muster_queue_close(other), 0);
  queue_test_end(&scene);
}

// Finished: nothing new, and an end when all that could come back is done.
static void finished(void) {
  queue_scene scene = queue_test_scene(&usual);
  muster_queue *queue = queue_test_join(&scene), *other = queue_test_join(&scene);
  muster_queue_job claim, job, kept;
  muster_wait_set set;
  queue_test_put(queue, 0, 0);
  REQUIRE(!muster_queue_claim(queue, &claim));
  CHECK_STATUS(muster_queue_finish(other), 0);
  CHECK_EQUAL(queue_test_look(queue).finished, 1);
  CHECK_STATUS(muster_queue_put(queue, "x", 1, 0), EPIPE);
  CHECK_STATUS(muster_queue_put_wait(queue, "x", 1, 0, soon()), EPIPE);
  CHECK_STATUS(muster_queue_claim(other, &job), EPIPE);
  CHECK_STATUS(muster_queue_poll_room(other, &set), EPIPE);
  kept = queue_test_take(other, 0);
  // One is being put, one might come back.
  CHECK_STATUS(muster_queue_take(queue, &job), EAGAIN);
  CHECK_STATUS(muster_queue_poll(queue, &set), EAGAIN);
  CHECK_STATUS(muster_queue_commit(queue, claim.id, queue_test_fill(claim.bytes, 1), 0), 0);
  queue_test_work(queue, 1);
  CHECK_STATUS(muster_queue_take(queue, &job), EAGAIN);
  CHECK_STATUS(muster_queue_put_back(other, kept.id, MUSTER_QUEUE_FAILED), 0);
  queue_test_work(queue, 0);
  CHECK_STATUS(muster_queue_take(queue, &job), ENODATA);
  CHECK_STATUS(muster_queue_take_wait(other, soon(), &job), ENODATA);
  CHECK_STATUS(muster_queue_poll(other, &set), ENODATA);
  // And again.
  CHECK_STATUS(muster_queue_reopen(queue), 0);
  CHECK_STATUS(muster_queue_take(queue, &job), EAGAIN);
  queue_test_put(queue, 2, 0);
  CHECK_STATUS(muster_queue_finish(queue), 0);
  job = queue_test_take(queue, 2);
  CHECK_STATUS(muster_queue_put_back(queue, job.id, MUSTER_QUEUE_HOPELESS), 0);
  CHECK_STATUS(muster_queue_take(queue, &kept), ENODATA);
  CHECK_STATUS(muster_queue_retry(queue, job.id), EPIPE);
  CHECK_STATUS(muster_queue_reopen(queue), 0);
  CHECK_STATUS(muster_queue_retry(queue, job.id), 0);
  queue_test_work(queue, 2);
  CHECK_STATUS(muster_queue_close(queue), 0);
  CHECK_STATUS(muster_queue_close(other), 0);
  queue_test_end(&scene);
}

static void leaves(void) {
  muster_queue_options options = {.job_size = SIZE, .jobs = JOBS, .members = 2, .attempts = LIMIT};
  queue_scene scene = queue_test_scene(&options);
  muster_queue *queue = queue_test_attach(&scene), *other = queue_test_join(&scene), *third = queue_test_attach(&scene);
  muster_queue_job job;
  muster_wait_set set;
  uint32_t me, count;
  CHECK_STATUS(muster_queue_put(queue, "x", 1, 0), EPERM);
  CHECK_STATUS(muster_queue_put_wait(queue, "x", 1, 0, soon()), EPERM);
  CHECK_STATUS(muster_queue_claim(queue, &job), EPERM);
  CHECK_STATUS(muster_queue_claim_wait(queue, soon(), &job), EPERM);
  CHECK_STATUS(muster_queue_commit(queue, 1, 0, 0), EPERM);
  CHECK_STATUS(muster_queue_cancel(queue, 1), EPERM);
  CHECK_STATUS(muster_queue_take(queue, &job), EPERM);
  CHECK_STATUS(muster_queue_take_wait(queue, soon(), &job), EPERM);
  CHECK_STATUS(muster_queue_poll(queue, &set), EPERM);
  CHECK_STATUS(muster_queue_poll_room(queue, &set), EPERM);
  CHECK_STATUS(muster_queue_done(queue, 1), EPERM);
  CHECK_STATUS(muster_queue_put_back(queue, 1, MUSTER_QUEUE_FAILED), EPERM);
  CHECK_STATUS(muster_queue_finish(queue), EPERM);
  CHECK_STATUS(muster_queue_reopen(queue), EPERM);
  CHECK_STATUS(muster_queue_retry(queue, 1), EPERM);
  CHECK_STATUS(muster_queue_drop(queue, 1), EPERM);
  CHECK_STATUS(muster_queue_reclaim(queue, &count), EPERM);
  CHECK_STATUS(muster_queue_leave(queue), EINVAL);
  CHECK_STATUS(muster_queue_join(queue, &me), 0);
  CHECK_EQUAL(me, muster_queue_member(queue));
  CHECK_STATUS(muster_queue_join(queue, &me), EALREADY);
  CHECK_STATUS(muster_queue_join(third, &me), EOVERFLOW);
  for (uint32_t k = 0; k < 10; k++) queue_test_put(queue, k, 0);
  (void)queue_test_take(queue, 0);
  muster_queue_job kept = queue_test_take(other, 1);
  (void)queue_test_take(queue, 2);
  REQUIRE(!muster_queue_claim(queue, &job));
  CHECK_STATUS(muster_queue_leave(queue), 0);
  // What it had taken has failed once, what it put stays, what it claimed never was.
  muster_queue_state state = queue_test_look(other);
  CHECK_EQUAL(state.queued, 9);
  CHECK_EQUAL(state.taken, 1);
  CHECK_EQUAL(state.free, JOBS - 10);
  CHECK_EQUAL(state.ended, 0);
  static const uint32_t order[] = {0, 2, 3, 4, 5, 6, 7, 8, 9};
  for (uint32_t k = 0; k < 9; k++) {
    job = queue_test_take(other, order[k]);
    CHECK_EQUAL(job.attempts, k < 2);
    CHECK_STATUS(muster_queue_done(other, job.id), 0);
  }
  // The last to leave, too; found by whoever comes.
  CHECK_STATUS(muster_queue_close(other), 0);
  CHECK_STATUS(muster_queue_join(third, NULL), 0);
  kept = queue_test_take(third, 1);
  CHECK_EQUAL(kept.attempts, 1);
  CHECK_STATUS(muster_queue_close(third), 0);
  CHECK_STATUS(muster_queue_close(queue), 0);
  CHECK_STATUS(muster_queue_close(NULL), 0);
  queue_test_end(&scene);
}

static void looks(void) {
  queue_scene scene = queue_test_scene(&usual);
  muster_queue *queue = queue_test_join(&scene), *reader;
  muster_deadline before = muster_clock_now();
  for (uint32_t k = 0; k < 6; k++) queue_test_put(queue, k, k % 2);
  muster_queue_job first = queue_test_take(queue, 0), second = queue_test_take(queue, 2);
  CHECK_STATUS(muster_queue_put_back(queue, second.id, MUSTER_QUEUE_FAILED), 0);
  REQUIRE(!muster_queue_attach_read_only(scene.memory, scene.size, &reader));
  muster_queue_state state = queue_test_look(reader);
  CHECK(state.job_size == SIZE && state.jobs == JOBS && state.levels == LEVELS && state.members == MEMBERS);
  CHECK(state.attempts == LIMIT && state.living == 1 && state.finished == 0 && state.put == 6 && state.returned == 1);
  CHECK(state.queued == 5 && state.queued_at[0] == 2 && state.queued_at[1] == 3 && state.taken_at[0] == 1 && state.taken == 1);
  uint32_t cursor = 0, seen = 0, numbers = 0;
  muster_queue_entry entry;
  unsigned char bytes[SIZE], expected[SIZE];
  while (!muster_queue_next(reader, MUSTER_QUEUE_ANY, &cursor, &entry, bytes, sizeof bytes)) {
    uint32_t number;
    memcpy(&number, bytes, 4);
    CHECK_EQUAL(entry.size, queue_test_fill(expected, number));
    CHECK(!memcmp(bytes, expected, entry.size));
    CHECK_EQUAL(entry.level, number % 2);
    CHECK_EQUAL(entry.attempts, number == 2);
    CHECK_EQUAL(entry.returned, number == 2);
    CHECK(entry.put_at > before - 100000000 && entry.put_at <= muster_clock_now());
    if (entry.use == MUSTER_QUEUE_TAKEN) {
      CHECK_EQUAL(entry.id, first.id);
      CHECK(entry.member == muster_queue_member(queue) && entry.pid > 0 && entry.alive);
    } else {
      CHECK_EQUAL(entry.use, MUSTER_QUEUE_QUEUED);
      CHECK_EQUAL(entry.position, number == 2 ? 0 : number / 2);
      CHECK_EQUAL(entry.member, UINT32_MAX);
    }
    numbers |= 1u << number;
    seen++;
  }
  CHECK(seen == 6 && numbers == 63);
  cursor = 0;
  CHECK_STATUS(muster_queue_next(reader, MUSTER_QUEUE_TAKEN, &cursor, &entry, bytes, 2), 0);
  CHECK_STATUS(muster_queue_next(reader, MUSTER_QUEUE_TAKEN, &cursor, &entry, NULL, 0), ENOENT);
  CHECK_STATUS(muster_queue_join(reader, NULL), EACCES);
  CHECK_STATUS(muster_queue_put(reader, "x", 1, 0), EPERM);
  CHECK_STATUS(muster_queue_take(reader, &first), EPERM);
  CHECK(!muster_queue_region(queue));
  CHECK_EQUAL(muster_group_capacity(muster_queue_group(queue)), MEMBERS);
  CHECK_STATUS(muster_queue_close(reader), 0);
  CHECK_STATUS(muster_queue_close(queue), 0);
  queue_test_end(&scene);
}

static void by_name(void) {
  const char *name = test_name("queue");
  muster_mismatch mismatch = {0};
  muster_queue *queue, *other, *reader;
  unsigned before = count_descriptors();
  muster_queue_options options = usual;
  options.mismatch = &mismatch;
  options.layout = 7;
  CHECK_STATUS(muster_queue_open(name, &(muster_queue_options){.job_size = SIZE, .jobs = JOBS}, &queue), EINVAL);
  CHECK_STATUS(muster_queue_open(name, &(muster_queue_options){.levels = 17, .flags = MUSTER_REGION_ATTACH}, &queue), EINVAL);
  CHECK_STATUS(muster_queue_open(name, &(muster_queue_options){.flags = MUSTER_REGION_ATTACH}, &queue), ENOENT);
  CHECK(!queue);
  CHECK_STATUS(muster_queue_open(name, &options, &queue), 0);
  CHECK_STATUS(muster_queue_open(name, &options, &other), 0);
  CHECK_STATUS(muster_queue_join(queue, NULL), 0);
  CHECK_STATUS(muster_queue_join(other, NULL), 0);
  queue_test_put(queue, 5, 1);
  queue_test_put(queue, 6, 1);
  muster_queue_job job = queue_test_take(other, 5);
  CHECK_STATUS(muster_queue_open(name, &(muster_queue_options){.flags = MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY}, &reader), 0);
  CHECK_EQUAL(queue_test_look(reader).queued, 1);
  CHECK(muster_queue_region(reader) != NULL);
  CHECK_STATUS(muster_queue_close(reader), 0);
  muster_queue_options wrong[4] = {options, options, options, options};
  wrong[0].job_size++, wrong[1].jobs++, wrong[2].levels++, wrong[3].members++;
  for (int k = 0; k < 4; k++) {
    CHECK_STATUS(muster_queue_open(name, &wrong[k], &reader), EPROTO);
    CHECK(!reader);
  }
  CHECK_STATUS(muster_queue_open(name, &(muster_queue_options){.levels = 2, .flags = MUSTER_REGION_ATTACH, .mismatch = &mismatch}, &reader), EPROTO);
  CHECK(mismatch.expected == 2 && mismatch.found == LEVELS);
  // Nobody holds it: what was taken has failed, what was queued is.
  (void)job;
  CHECK_STATUS(muster_queue_close(queue), 0);
  CHECK_STATUS(muster_queue_close(other), 0);
  CHECK_STATUS(muster_queue_open(name, &(muster_queue_options){.flags = MUSTER_REGION_ATTACH}, &queue), 0);
  CHECK_STATUS(muster_queue_join(queue, NULL), 0);
  job = queue_test_take(queue, 5);
  CHECK_EQUAL(job.attempts, 1);
  CHECK_STATUS(muster_queue_done(queue, job.id), 0);
  queue_test_work(queue, 6);
  CHECK_STATUS(muster_queue_close(queue), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  CHECK_EQUAL(count_descriptors(), before);
}

// Forty thousand rounds of a handful of jobs, with members that come and go: positions far beyond the cells, and all accounted for.
static void many_laps(void) {
  muster_queue_options options = {.job_size = SIZE, .jobs = 3, .levels = 2, .members = MEMBERS};
  queue_scene scene = queue_test_scene(&options);
  muster_queue *queue = queue_test_join(&scene), *old = queue_test_join(&scene);
  for (uint32_t k = 0; k < 40000; k++) {
    queue_test_put(queue, k, k % 2);
    if (k % 5 == 0) {
      muster_queue_job job = queue_test_take(queue, k);
      REQUIRE(!muster_queue_put_back(queue, job.id, MUSTER_QUEUE_UNTRIED));
    }
    // One that was here last many laps ago.
    queue_test_work(k % 1000 == 999 ? old : queue, k);
    if (k % 5000 == 4999) {
      REQUIRE(!muster_queue_close(queue));
      queue = queue_test_join(&scene);
    }
  }
  muster_queue_state state = queue_test_look(queue);
  CHECK(state.put == 40000 && state.returned == 8000 && state.free == 3);
  CHECK_STATUS(muster_queue_close(queue), 0);
  CHECK_STATUS(muster_queue_close(old), 0);
  queue_test_end(&scene);
}

TEST_SUITE(queue, {"sizes", sizes, 0}, {"in_order", in_order, 0}, {"levels", levels, 0}, {"back_and_aside", back_and_aside, 0},
           {"no_limit", no_limit, 0}, {"claimed", claimed, 0}, {"finished", finished, 0}, {"leaves", leaves, 0},
           {"looks", looks, 0}, {"by_name", by_name, 0}, {"many_laps", many_laps, 0});
