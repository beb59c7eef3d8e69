// SPDX-License-Identifier: Apache-2.0
#include "barrier_support.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

muster_deadline soon(void) { return muster_deadline_after(INT64_C(20000000000)); }

void board_wait(uint32_t *word, uint32_t value) {
  for (int64_t end = test_now() + INT64_C(20000000000); __atomic_load_n(word, __ATOMIC_ACQUIRE) < value;) {
    REQUIRE(test_now() < end);
    test_pause(50000);
  }
}

void board_set(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

void crew_make(test_crew *crew, uint32_t size, muster_barrier_options options, crew_work work) {
  *crew = (test_crew){.name = test_name("barrier"), .size = size, .options = options, .work = work};
  if (!options.parties) crew->options.parties = size;
  crew->board = mmap(NULL, sizeof *crew->board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(crew->board != MAP_FAILED);
}

typedef struct seat {
  test_crew *crew;
  uint32_t index;
} seat;

static void member(void *context) {
  test_crew *crew = ((seat *)context)->crew;
  uint32_t index = ((seat *)context)->index;
  member_report *report = &crew->board->reports[index];
  muster_barrier *barrier = NULL;
  int status = muster_barrier_open(crew->name, &crew->options, &barrier);
  report->status = status;
  if (!status) report->member = muster_barrier_member(barrier);
  __atomic_add_fetch(&crew->board->joined, 1, __ATOMIC_RELEASE);
  if (!status) {
    crew->work(crew, index, barrier, report);
    CHECK_STATUS(muster_barrier_close(barrier), 0);
  }
  __atomic_store_n(&report->done, 1, __ATOMIC_RELEASE);
}

void crew_start(test_crew *crew, uint32_t index) {
  uint32_t joined = __atomic_load_n(&crew->board->joined, __ATOMIC_ACQUIRE);
  seat at = {crew, index};
  memset(&crew->board->reports[index], 0, sizeof(member_report));
  crew->pids[index] = test_fork(member, &at);
  board_wait(&crew->board->joined, joined + 1);
}

void crew_start_all(test_crew *crew) {
  for (uint32_t k = 0; k < crew->size; k++) crew_start(crew, k);
}

void crew_join(test_crew *crew, uint32_t from, uint32_t to) {
  for (uint32_t k = from; k < to; k++) test_join(crew->pids[k], 0);
}

void crew_kill(test_crew *crew, uint32_t index) {
  kill(crew->pids[index], SIGKILL);
  test_join(crew->pids[index], SIGKILL);
}

void crew_end(test_crew *crew) {
  CHECK_STATUS(muster_region_remove(crew->name, 0), 0);
  munmap(crew->board, sizeof *crew->board);
}

void work_wait_once(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  (void)crew, (void)index;
  report->status = muster_barrier_wait(barrier, soon(), &report->result);
}
