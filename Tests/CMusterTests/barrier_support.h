// What the suites of the barrier share: a crew of processes, each a member, and a board of shared memory they report to.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_TEST_BARRIER_SUPPORT_H
#define MUSTER_TEST_BARRIER_SUPPORT_H

#include <stdint.h>
#include <sys/types.h>

#include "muster/muster.h"

enum { CREW_MAX = 256 };

// What a member came to. Written by its process, read by the test.
typedef struct report {
  int done;                        // 0: not yet
  int status;
  muster_barrier_result result;
  uint32_t member;
  uint32_t rounds;
} report;

typedef struct crew crew;

// What a member does, in a process of its own, joined.
typedef void (*crew_work)(crew *crew, uint32_t index, muster_barrier *barrier, report *report);

typedef struct crew_board {
  report reports[CREW_MAX];
  uint32_t joined;   // members that have opened
  uint32_t go;       // a word for the test's own use
  uint64_t counter;  // likewise
} crew_board;

struct crew {
  const char *name;
  uint32_t size;
  muster_barrier_options options;
  crew_board *board;
  pid_t pids[CREW_MAX];
  crew_work work;
};

// Makes the board, and no process yet. `options.parties` is `size` where it is 0.
void crew_make(crew *crew, uint32_t size, muster_barrier_options options, crew_work work);

// Starts member `index` and waits until it has joined, in the place with the same number when started in order.
void crew_start(crew *crew, uint32_t index);
void crew_start_all(crew *crew);

// Waits until all of `from` ... `to - 1` have ended cleanly.
void crew_join(crew *crew, uint32_t from, uint32_t to);

// SIGKILLs a member and reaps it.
void crew_kill(crew *crew, uint32_t index);

// Removes the barrier's name; checks that nobody holds it.
void crew_end(crew *crew);

muster_deadline soon(void);  // 20 s: never reached by a test that passes
void board_wait(uint32_t *word, uint32_t value);  // until *word >= value, by its deadline
void board_set(uint32_t *word, uint32_t value);

// One wait, with its outcome in the report.
void work_wait_once(crew *crew, uint32_t index, muster_barrier *barrier, report *report);

#endif
