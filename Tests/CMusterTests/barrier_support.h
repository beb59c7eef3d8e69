// What the suites of the barrier share: a crew of processes, each a member, and a board of shared memory they report to.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_TEST_BARRIER_SUPPORT_H
#define MUSTER_TEST_BARRIER_SUPPORT_H

#include <stdint.h>
#include <sys/types.h>

#include "muster/muster.h"

enum { CREW_MAX = 256 };

// What a member came to. Written by its process, read by the test.
typedef struct member_report {
  int done;                        // 0: not yet
  int status;
  muster_barrier_result result;
  uint32_t member;
  uint32_t rounds;
} member_report;

typedef struct test_crew test_crew;

// What a member does, in a process of its own, joined.
typedef void (*crew_work)(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report);

typedef struct crew_board {
  member_report reports[CREW_MAX];
  uint32_t joined;   // members that have opened
  uint32_t go;       // a word for the test's own use
  uint64_t counter;  // likewise
} crew_board;

struct test_crew {
  const char *name;
  uint32_t size;
  muster_barrier_options options;
  crew_board *board;
  pid_t pids[CREW_MAX];
  crew_work work;
};

// Makes the board, and no process yet. `options.parties` is `size` where it is 0.
void crew_make(test_crew *crew, uint32_t size, muster_barrier_options options, crew_work work);

// Starts member `index` and waits until it has joined, in the place with the same number when started in order.
void crew_start(test_crew *crew, uint32_t index);
void crew_start_all(test_crew *crew);

// Waits until all of `from` ... `to - 1` have ended cleanly.
void crew_join(test_crew *crew, uint32_t from, uint32_t to);

// SIGKILLs a member and reaps it.
void crew_kill(test_crew *crew, uint32_t index);

// Removes the barrier's name; checks that nobody holds it.
void crew_end(test_crew *crew);

muster_deadline soon(void);  // 20 s: never reached by a test that passes
void board_wait(uint32_t *word, uint32_t value);  // until *word >= value, by its deadline
void board_set(uint32_t *word, uint32_t value);

// One wait, with its outcome in the report.
void work_wait_once(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report);

#endif
