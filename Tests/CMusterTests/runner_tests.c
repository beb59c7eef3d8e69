// The runner of the tests itself: nothing of a test outlives it, or the runner, even if they are killed.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "support.h"

typedef struct shared {
  uint32_t gate;
  pid_t child;
} shared;

static void stay(void *context) {
  shared *with = context;
  with->child = getpid();
  gate_open(&with->gate, 1);
  for (;;) pause();
}

static void fork_and_stay(void *context) {
  test_fork(stay, context);
  for (;;) pause();
}

static void what_a_process_forked_ends_with_it(void) {
  shared *with = shared_memory(sizeof *with);
  REQUIRE(!prctl(PR_SET_CHILD_SUBREAPER, 1));
  pid_t parent = test_fork(fork_and_stay, with);
  gate_wait(&with->gate, 1);
  CHECK_EQUAL(kill(parent, SIGKILL), 0);
  test_join(parent, SIGKILL);
  test_join(with->child, SIGKILL);
}

static void a_test_ends_with_the_runner(void) {
  int number = 0;
  CHECK_EQUAL(prctl(PR_GET_PDEATHSIG, &number), 0);
  CHECK_EQUAL(number, SIGKILL);
}

TEST_SUITE(runner, {"what_a_process_forked_ends_with_it", what_a_process_forked_ends_with_it, 0},
           {"a_test_ends_with_the_runner", a_test_ends_with_the_runner, 0});
