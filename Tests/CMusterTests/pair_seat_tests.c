// The seat of the backup: held from before its first instruction to its end, whoever dies meanwhile.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pair_support.h"
#include "support.h"
#include "test.h"

static void expect_seat(const muster_pair *pair, int expected) {
  int seat;
  CHECK_STATUS(muster_pair_seat(pair, &seat), expected);
  CHECK(expected ? seat == -1 : seat >= 3);
  if (seat < 0) return;
  CHECK(fcntl(seat, F_GETFD) & FD_CLOEXEC);
  close(seat);
}

static void one_at_a_time(void) {
  const char *name = test_name("seat");
  muster_pair *one = pair_test_open(name, 0), *two = pair_test_open(name, 0);
  int seat, copy;
  CHECK_STATUS(muster_pair_seat(one, &seat), 0);
  expect_seat(one, EBUSY);
  expect_seat(two, EBUSY);
  copy = dup(seat);
  close(seat);
  expect_seat(two, EBUSY);
  // The handle's own end is not the seat's.
  CHECK_STATUS(muster_pair_close(one), 0);
  expect_seat(two, EBUSY);
  close(copy);
  expect_seat(two, 0);
  // Removing the name is not held up by it, and the next region has a seat of its own.
  CHECK_STATUS(muster_pair_seat(two, &seat), 0);
  CHECK_STATUS(muster_pair_close(two), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  two = pair_test_open(name, 0);
  expect_seat(two, 0);
  close(seat);
  CHECK_STATUS(muster_pair_close(two), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void replaced(void) {
  const char *name = test_name("replaced");
  muster_pair *old = pair_test_open(name, 0);
  CHECK_STATUS(muster_region_remove(name, MUSTER_REGION_FORCE), 0);
  expect_seat(old, ESTALE);
  muster_pair *other = pair_test_open(name, 0);
  expect_seat(old, ESTALE);
  expect_seat(other, 0);
  CHECK_STATUS(muster_pair_close(old), 0);
  CHECK_STATUS(muster_pair_close(other), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void in_a_file(void) {
  char path[300];
  snprintf(path, sizeof path, "%s/pair", test_folder());
  muster_pair *one = pair_test_open(path, MUSTER_REGION_OPEN | MUSTER_REGION_FILE);
  muster_pair *two = pair_test_open(path, MUSTER_REGION_ATTACH | MUSTER_REGION_FILE);
  int seat;
  CHECK_STATUS(muster_pair_seat(one, &seat), 0);
  expect_seat(two, EBUSY);
  close(seat);
  expect_seat(two, 0);
  CHECK_STATUS(muster_pair_close(one), 0);
  CHECK_STATUS(muster_pair_close(two), 0);
}

static void never_stdio(void) {
  const char *name = test_name("stdio");
  muster_pair *pair = pair_test_open(name, 0);
  int in = dup(0);
  close(0);
  expect_seat(pair, 0);
  dup2(in, 0);
  close(in);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void find_no_locks(void *context) {
  muster_pair *pair = pair_test_open(context, 0);
  unsigned before = count_descriptors();
  refuse_call(SYS_fcntl, ENOLCK);
  int seat;
  CHECK_STATUS(muster_pair_seat(pair, &seat), ENOLCK);
  CHECK_EQUAL(seat, -1);
  CHECK_EQUAL(count_descriptors(), before);
  CHECK_STATUS(muster_pair_close(pair), 0);
}

static void errors_leave_nothing(void) {
  const char *name = test_name("errors");
  muster_pair *pair = pair_test_open(name, 0);
  test_join(test_fork(find_no_locks, (void *)(uintptr_t)name), 0);
  expect_seat(pair, 0);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// ---- Handed on, over exec, and over the death of who handed it on

typedef struct scene {
  const char *name;
  uint32_t gate;
  pid_t backup;
} scene;

static void launch_and_die(void *context) {
  scene *at = context;
  muster_pair *pair = pair_test_lead(at->name, 0, 1);
  int seat;
  REQUIRE(!muster_pair_seat(pair, &seat));
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (!child) {
    fcntl(seat, F_SETFD, 0);
    execlp("sleep", "sleep", "600", (char *)NULL);
    _exit(9);
  }
  at->backup = child;
  close(seat);
  gate_open(&at->gate, 1);
  for (;;) pause();
}

static int runs(pid_t pid, const char *program) {
  char path[64], name[32] = "";
  snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? 0 : read(file, name, sizeof name - 1);
  if (file >= 0) close(file);
  return length > 0 && !strncmp(name, program, strlen(program));
}

static void handed_on(void) {
  REQUIRE(!prctl(PR_SET_CHILD_SUBREAPER, 1));
  scene *at = shared_memory(sizeof *at);
  at->name = test_name("handed");
  muster_pair *pair = pair_test_open(at->name, 0);
  pid_t primary = test_fork(launch_and_die, at);
  gate_wait(&at->gate, 1);
  // From before the child's first instruction, through exec, and after its parent's death.
  expect_seat(pair, EBUSY);
  while (!runs(at->backup, "sleep")) expect_seat(pair, EBUSY);
  expect_seat(pair, EBUSY);
  kill_process(primary);
  expect_seat(pair, EBUSY);
  kill(at->backup, SIGSTOP);
  expect_seat(pair, EBUSY);
  kill(at->backup, SIGKILL);
  int status;
  REQUIRE(waitpid(at->backup, &status, 0) == at->backup && WIFSIGNALED(status));
  expect_seat(pair, 0);
  CHECK_EQUAL(pair_test_look(pair).primary_life, MUSTER_PAIR_DEAD);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(at->name, 0), 0);
  munmap(at, sizeof *at);
}

TEST_SUITE(pair_seat, {"one_at_a_time", one_at_a_time, 0}, {"replaced", replaced, 0}, {"in_a_file", in_a_file, 0},
           {"never_stdio", never_stdio, 0}, {"errors_leave_nothing", errors_leave_nothing, 0},
           {"handed_on", handed_on, 0});
