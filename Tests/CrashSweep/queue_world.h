// What the cases of the queue share: the world before an operation, jobs that are numbers, and what must be true of each of them after it.
// Statics, so that each file of cases has its own.
// SPDX-License-Identifier: Apache-2.0
#ifndef SWEEP_QUEUE_WORLD_H
#define SWEEP_QUEUE_WORLD_H

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "muster/queue.h"
#include "sweep.h"

enum { JOBS = 8, MEMBERS = 6, LIMIT = 3, BEGUN = 3, SLEEPERS = 2, NUMBERS = 64, ROOM = SWEEP_ARENA - 1024 };

static const muster_queue_options shape = {.job_size = 40, .jobs = JOBS, .levels = 2, .members = MEMBERS, .attempts = LIMIT};

// Beside the queue, what the processes of a case tell each other.
typedef struct notes {
  uint32_t ready;
  int32_t slept[SLEEPERS];
  uint32_t number[SLEEPERS];
  uint64_t id;
} notes;

static inline notes *note(void) { return (notes *)(void *)(sweep->arena + ROOM); }

static muster_queue *mine, *ours;

static inline muster_queue *attach(void) {
  muster_queue *queue;
  SWEEP_STATUS(muster_queue_attach(sweep->arena, ROOM, &queue), 0);
  return queue;
}

static inline muster_queue *join(void) {
  muster_queue *queue = attach();
  SWEEP_STATUS(muster_queue_join(queue, NULL), 0);
  return queue;
}

static inline int put(muster_queue *queue, uint32_t number, uint32_t level) {
  uint32_t words[2] = {number, ~number};
  return muster_queue_put(queue, words, sizeof words, level);
}

static inline uint32_t number_of(const muster_queue_job *job) {
  uint32_t words[2];
  SWEEP_EQUAL(job->size, sizeof words);
  memcpy(words, job->bytes, sizeof words);
  SWEEP_CHECK(words[0] == ~words[1] && words[0] < NUMBERS);
  return words[0];
}

static inline uint64_t take(muster_queue *queue, uint32_t number) {
  muster_queue_job job;
  SWEEP_STATUS(muster_queue_take(queue, &job), 0);
  SWEEP_EQUAL(number_of(&job), number);
  return job.id;
}

// ---- The world before: some jobs of the later level, put by who is a member.

static inline void lay_with(uint32_t jobs) {
  SWEEP_STATUS(muster_queue_init(sweep->arena, ROOM, &shape), 0);
  ours = join();
  for (uint32_t k = 0; k < jobs; k++) SWEEP_STATUS(put(ours, k, 1), 0);
}

static inline void lay(void) { lay_with(BEGUN); }

// Job 0 has failed as often as it may but for one.
static inline void fail_job(void) {
  for (uint32_t k = 1; k < LIMIT; k++) SWEEP_STATUS(muster_queue_put_back(ours, take(ours, 0), MUSTER_QUEUE_FAILED), 0);
}

// ---- The world after

// What became of each job: how often it was there, with how many attempts, and whether it was set aside.
typedef struct fate {
  uint32_t count, attempts, aside;
} fate;

static fate fates[NUMBERS];

// A fate as a number, to be compared.
enum { GONE = 0, QUEUED = 100, ASIDE = 200 };
static inline uint32_t fate_of(uint32_t number) {
  const fate *of = &fates[number];
  SWEEP_CHECK(of->count <= 1);
  if (!of->count) return GONE;
  return (of->aside ? ASIDE : QUEUED) + of->attempts;
}

// Takes all that there is, and drops what was set aside: then the queue is as good as new.
static inline void drain(void) {
  muster_queue_job job;
  muster_queue_entry entry;
  muster_queue_state state;
  uint32_t cursor = 0, words[2];
  int status;
  memset(fates, 0, sizeof fates);
  SWEEP_STATUS(muster_queue_reclaim(ours, NULL), 0);
  while (!(status = muster_queue_take(ours, &job))) {
    fate *of = &fates[number_of(&job)];
    of->count++;
    of->attempts = job.attempts;
    SWEEP_STATUS(muster_queue_done(ours, job.id), 0);
  }
  SWEEP_CHECK(status == EAGAIN || status == ENODATA);
  while (!muster_queue_next(ours, MUSTER_QUEUE_ASIDE, &cursor, &entry, words, sizeof words)) {
    SWEEP_CHECK(entry.size == sizeof words && words[0] == ~words[1] && words[0] < NUMBERS);
    fates[words[0]].count++;
    fates[words[0]].aside = 1;
    fates[words[0]].attempts = entry.attempts;
    SWEEP_STATUS(muster_queue_drop(ours, entry.id), 0);
  }
  SWEEP_STATUS(muster_queue_look(ours, &state), 0);
  SWEEP_EQUAL(state.free, JOBS);
}

// A newcomer finds room for all jobs, and gets them in order, several laps long.
static inline int fills_and_drains(int rounds) {
  muster_queue *queue = join();
  SWEEP_STATUS(muster_queue_reopen(queue), 0);
  for (int round = 0; round < rounds; round++) {
    for (uint32_t k = 0; k < JOBS; k++) SWEEP_STATUS(put(queue, k, k / (JOBS / 2)), 0);
    SWEEP_STATUS(put(queue, JOBS, 0), ENOSPC);
    for (uint32_t k = 0; k < JOBS; k++) SWEEP_STATUS(muster_queue_done(queue, take(queue, k)), 0);
  }
  return muster_queue_close(queue);
}

static inline void check_whole(void) {
  SWEEP_STATUS(muster_queue_close(ours), 0);
  sweep_newcomer(fills_and_drains, 20);
}

// What must not depend on a stopped member: putting and taking of the earlier level, putting into the later one, taking what is next there.
static inline int works_on(int rounds) {
  muster_queue *queue = join();
  muster_queue_job job;
  for (int round = 0; round < rounds; round++) {
    SWEEP_STATUS(put(queue, 40, 0), 0);
    SWEEP_STATUS(muster_queue_done(queue, take(queue, 40)), 0);
  }
  SWEEP_STATUS(put(queue, 41, 1), 0);
  SWEEP_STATUS(muster_queue_take(queue, &job), 0);
  SWEEP_STATUS(muster_queue_put_back(queue, job.id, MUSTER_QUEUE_UNTRIED), 0);
  return muster_queue_close(queue);
}

static inline void finish(void) { SWEEP_STATUS(muster_queue_close(mine), 0); }
static inline void nothing(void) {}

#endif
