// Children that are forks of this process.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_support.h"

// The thread sanitizer's own thread counts as one that runs.
static void needs_to_be_alone(void) {
  if (count_names("/proc/self/task", "") > 1) test_skip("a sanitizer's thread runs");
}

static int returns(void *context) { return *(int *)context; }
static int dies(void *context) { return raise(*(int *)context); }
static int sleeps(void *context) {
  (void)context;
  while (pause()) continue;
  return 0;
}

static int fork_to(int (*function)(void *), void *context, uint32_t flags, muster_process *process) {
  muster_process_options options = {.flags = flags};
  return muster_process_fork(function, context, &options, process, NULL);
}

static void ends_with_what_it_returns(void) {
  needs_to_be_alone();
  process_audit audit = audit_begin();
  muster_process process;
  for (int value = 0; value < 3; value++) {
    CHECK_STATUS(fork_to(returns, &value, value ? MUSTER_PROCESS_GROUP : MUSTER_PROCESS_SESSION, &process), 0);
    CHECK_EQUAL(end_of(&process), value);
  }
  int number = SIGKILL;
  CHECK_STATUS(fork_to(dies, &number, MUSTER_PROCESS_TIE, &process), 0);
  CHECK_EQUAL(process.guard, -1);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  muster_process_stop_options now = {.deadline = soon()};
  CHECK_STATUS(fork_to(sleeps, NULL, MUSTER_PROCESS_GUARD | MUSTER_PROCESS_CGROUP, &process), 0);
  CHECK_STATUS(muster_process_stop(&process, &now, NULL), 0);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  audit_end(&audit);
}

// Each is known by a pidfd though the kernel reaps it the moment that it ends.
static void is_known_though_the_kernel_reaps(void) {
  needs_to_be_alone();
  signal(SIGCHLD, SIG_IGN);
  process_audit audit = audit_begin();
  for (int i = 0; i < 200; i++) {
    muster_process process;
    muster_process_end end;
    CHECK_STATUS(fork_to(returns, &i, 0, &process), 0);
    CHECK_STATUS(muster_process_wait(&process, soon(), &end), 0);
    CHECK(end.kind == MUSTER_PROCESS_UNKNOWN || (end.kind == MUSTER_PROCESS_EXITED && end.code == i));
    muster_process_close(&process);
  }
  audit_end(&audit);
}

static void *wait_for_gate(void *context) {
  gate_wait(context, 1);
  return NULL;
}

static void other_threads_refuse_it(void) {
  needs_to_be_alone();
  uint32_t gate = 0;
  int value = 4;
  muster_process process;
  muster_process_step step;
  muster_process_options options = {0};
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, wait_for_gate, &gate));
  CHECK_STATUS(muster_process_fork(returns, &value, &options, &process, &step), EBUSY);
  CHECK_EQUAL(step, MUSTER_PROCESS_STEP_CLONE);
  CHECK(process.pid == 0 && process.pidfd < 0);
  gate_open(&gate, 1);
  pthread_join(thread, NULL);
  // One that was joined may still be on its way out of the kernel.
  int status;
  for (muster_deadline end = soon(); (status = fork_to(returns, &value, 0, &process)) == EBUSY && !muster_deadline_passed(end);) {
  }
  CHECK_STATUS(status, 0);
  CHECK_EQUAL(end_of(&process), 4);
}

static void steps_that_fail_are_told(void) {
  needs_to_be_alone();
  process_audit audit = audit_begin();
  int value = 1;
  muster_process process;
  muster_process_step step;
  muster_process_options options = {.folder = "/no/such", .flags = MUSTER_PROCESS_GUARD | MUSTER_PROCESS_CGROUP};
  CHECK_STATUS(muster_process_fork(returns, &value, &options, &process, &step), ENOENT);
  CHECK_EQUAL(step, MUSTER_PROCESS_STEP_FOLDER);
  muster_process_limit limit = {.resource = 1000};
  options = (muster_process_options){.limits = &limit, .limits_count = 1};
  CHECK_STATUS(muster_process_fork(returns, &value, &options, &process, &step), EINVAL);
  CHECK_EQUAL(step, MUSTER_PROCESS_STEP_LIMIT);
  options = (muster_process_options){.readiness = MUSTER_PROCESS_READY_SOCKET};
  CHECK_STATUS(muster_process_fork(returns, &value, &options, &process, &step), EINVAL);
  CHECK_EQUAL(step, MUSTER_PROCESS_STEP_PREPARE);
  audit_end(&audit);
}

static int has_its_parents_signals(void *context) {
  sigset_t mask;
  struct sigaction action;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  sigaction(SIGUSR1, NULL, &action);
  CHECK(sigismember(&mask, SIGUSR2) && !sigismember(&mask, SIGTERM) && action.sa_handler == *(void (**)(int))context);
  return test_result();
}

static int taken;
static void take(int number) { taken = number; }

typedef struct setting {
  unsigned descriptors;
  int low;
  pid_t parent;
} setting;

static int is_settled(void *context) {
  setting *with = context;
  sigset_t mask;
  struct sigaction action;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  sigaction(SIGUSR1, NULL, &action);
  CHECK(!sigismember(&mask, SIGUSR2) && !sigismember(&mask, SIGTERM) && action.sa_handler == SIG_DFL);
  CHECK_EQUAL(getppid(), with->parent);
  CHECK_EQUAL(count_descriptors(), with->descriptors + 1);
  CHECK_EQUAL(fcntl(60, F_GETFD), 0);
  CHECK_EQUAL(fcntl(with->low, F_GETFD) == 0 && write(with->low, "\n", 1) == 1, 1);
  CHECK_EQUAL(write(1, "", 1), 1);
  return test_result();
}

// Nothing is open beside what was, and what it was given: here at 60, and at the number that our own would have had.
static void has_what_the_options_say(void) {
  needs_to_be_alone();
  sigset_t some;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR2);
  sigprocmask(SIG_BLOCK, &some, NULL);
  signal(SIGUSR1, take);
  void (*handler)(int) = take;
  muster_process kept;
  CHECK_STATUS(fork_to(has_its_parents_signals, &handler, MUSTER_PROCESS_KEEP_SIGNALS, &kept), 0);
  CHECK_EQUAL(end_of(&kept), 0);
  int low = fcntl(0, F_DUPFD_CLOEXEC, 3);
  close(low);
  REQUIRE(low < 50);
  process_audit audit = audit_begin();
  muster_process process;
  muster_process_descriptor move = {0, 60};
  setting with = {.descriptors = count_descriptors() + 1, .low = low, .parent = getpid()};
  muster_process_options options = {.descriptors = &move, .descriptors_count = 1, .readiness = MUSTER_PROCESS_READY_LINE,
                                    .ready_descriptor = low};
  options.streams[1].kind = MUSTER_PROCESS_STREAM_NULL;
  CHECK_STATUS(muster_process_fork(is_settled, &with, &options, &process, NULL), 0);
  CHECK_STATUS(muster_process_ready(&process, soon()), 0);
  CHECK_EQUAL(end_of(&process), 0);
  audit_end(&audit);
  CHECK_EQUAL(taken, 0);
}

typedef struct tied {
  uint32_t gate;
  int32_t pid;
} tied;

static int stays(void *context) {
  tied *with = context;
  with->pid = getpid();
  gate_open(&with->gate, 1);
  while (pause()) continue;
  return 0;
}

static void fork_and_stay(void *context) {
  muster_process process;
  CHECK_STATUS(fork_to(stays, context, MUSTER_PROCESS_TIE, &process), 0);
  for (;;) pause();
}

static void dies_with_its_parent(void) {
  needs_to_be_alone();
  tied *with = shared_memory(sizeof *with);
  muster_process child;
  pid_t parent = test_fork(fork_and_stay, with);
  gate_wait(&with->gate, 1);
  REQUIRE(!muster_process_open(with->pid, 0, &child));
  kill_process(parent);
  CHECK_STATUS(muster_process_wait(&child, soon(), NULL), 0);
  muster_process_close(&child);
}

typedef struct family {
  uint32_t gate;
  int32_t pids[4];
} family;

static int has_children(void *context) {
  family *with = context;
  for (int i = 1; i < 4; i++) {
    pid_t pid = fork();
    // One of them in a session of its own.
    if (pid == 0) {
      if (i == 2) setsid();
      while (pause()) continue;
    }
    REQUIRE(pid > 0);
    with->pids[i] = pid;
  }
  with->pids[0] = getpid();
  gate_open(&with->gate, 1);
  while (pause()) continue;
  return 0;
}

static void fork_guarded(void *context) {
  muster_process process;
  CHECK_STATUS(fork_to(has_children, context, MUSTER_PROCESS_GUARD | MUSTER_PROCESS_GROUP, &process), 0);
  while (pause()) continue;
}

static void a_guard_ends_its_family(void) {
  needs_to_be_alone();
  family *with = shared_memory(sizeof *with);
  muster_process all[4];
  pid_t parent = test_fork(fork_guarded, with);
  gate_wait(&with->gate, 1);
  for (int i = 0; i < 4; i++) REQUIRE(!muster_process_open(with->pids[i], 0, &all[i]));
  kill_process(parent);
  for (int i = 0; i < 4; i++) {
    CHECK_STATUS(muster_process_wait(&all[i], soon(), NULL), 0);
    muster_process_close(&all[i]);
  }
  orphans_end();
}

static void a_storm_leaves_nothing(void) {
  needs_to_be_alone();
  uint64_t seed = test_seed();
  process_audit audit = audit_begin();
  enum { AT_ONCE = 16 };
  muster_process processes[AT_ONCE];
  for (unsigned turn = 0; turn < 1 + 4 / test_slower(); turn++) {
    for (int i = 0; i < AT_ONCE; i++) CHECK_STATUS(fork_to(sleeps, NULL, MUSTER_PROCESS_TIE, &processes[i]), 0);
    // Some at random, and twice some of them: each is there to be signalled, or has ended.
    for (int i = 0; i < AT_ONCE; i++) {
      int status = muster_process_signal(&processes[test_random(&seed) % AT_ONCE], SIGKILL);
      CHECK(status == 0 || status == ESRCH);
    }
    for (int i = 0; i < AT_ONCE; i++) {
      muster_process_stop_options now = {.deadline = soon()};
      CHECK_STATUS(muster_process_stop(&processes[i], &now, NULL), 0);
      CHECK_EQUAL(end_of(&processes[i]), -SIGKILL);
    }
  }
  audit_end(&audit);
}

TEST_SUITE(process_fork, {"ends_with_what_it_returns", ends_with_what_it_returns, 0},
           {"is_known_though_the_kernel_reaps", is_known_though_the_kernel_reaps, 0},
           {"other_threads_refuse_it", other_threads_refuse_it, 0}, {"steps_that_fail_are_told", steps_that_fail_are_told, 0},
           {"has_what_the_options_say", has_what_the_options_say, 0}, {"dies_with_its_parent", dies_with_its_parent, 0},
           {"a_guard_ends_its_family", a_guard_ends_its_family, 0},
           {"a_storm_leaves_nothing", a_storm_leaves_nothing, 60});
