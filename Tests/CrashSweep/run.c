// One run of a case: a survivor, an operator, one point, and nothing left of them.
// SPDX-License-Identifier: Apache-2.0
#include <alloca.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "internal/futex.h"

int64_t run_check_time;

// Pids of the two, the same in each run where they can be chosen: the length of a pid's text is a number of steps.
enum { SURVIVOR_PID = 1000, OPERATOR_PID = 2000 };

typedef struct run {
  const sweep_case *of;
  pid_t survivor, operator_pid;
  uintptr_t back;
  char *why;
  size_t size;
} run;

static void set_deadline(const run *this) {
  // Single steps are slow beside others' work: a step costs the two processes a turn each.
  uint32_t seconds = this->of->seconds ? this->of->seconds : 30;
  const char *slower = getenv("MUSTER_TEST_SLOWER");
  if (slower && atoi(slower) > 0) seconds *= (uint32_t)atoi(slower);
  __atomic_store_n(&sweep->deadline, sweep_now() + seconds * INT64_C(1000000000), __ATOMIC_RELEASE);
}

static void survivor(const sweep_case *of) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  isolation_fix_stat(getpid());
  for (uint32_t done = 0;;) {
    uint32_t command = __atomic_load_n(&sweep->command, __ATOMIC_ACQUIRE);
    if (command == done) {
      harness_wait(&sweep->command, done, 1000000000);
      continue;
    }
    if (command == COMMAND_SETUP) of->setup();
    if (command == COMMAND_MEANWHILE) of->meanwhile();
    if (command == COMMAND_CHECK) of->check();
    done = command;
    __atomic_store_n(&sweep->reply, done, __ATOMIC_RELEASE);
    harness_wake(&sweep->reply);
  }
}

static void operate(const sweep_case *of) {
  // The stack's depth depends on who called, the arguments and the environment; the steps of libc's vector functions
  // on the last bits of addresses.
  volatile char *filler = alloca(((uintptr_t)__builtin_frame_address(0) & 0xffff) + 1);
  filler[0] = 0;
  if (of->prepare) of->prepare();
  raise(SIGSTOP);
  int result = of->operate();
  __atomic_store_n(&sweep->result, result, __ATOMIC_RELAXED);
  __atomic_store_n(&sweep->returned, 1u, __ATOMIC_RELEASE);
  harness_wake(&sweep->returned);
  while (!__atomic_load_n(&sweep->release, __ATOMIC_ACQUIRE)) harness_wait(&sweep->release, 0, 1000000000);
  if (of->finish) of->finish();
  _exit(0);
}

static int has_ended(pid_t pid) {
  siginfo_t info = {0};
  return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

// The run's failure, if one was recorded by a check in any process; the writer may be about to finish the text.
static sweep_verdict told_failure(run *this) {
  uint32_t failed = __atomic_load_n(&sweep->failed, __ATOMIC_ACQUIRE);
  for (int turn = 0; failed == FAILURE_BEGUN && turn < 1000; turn++) {
    sweep_pause(100000);
    failed = __atomic_load_n(&sweep->failed, __ATOMIC_ACQUIRE);
  }
  if (!failed) return SWEEP_OK;
  snprintf(this->why, this->size, "%s", sweep->failure);
  return failed == FAILURE_BEGUN ? SWEEP_BROKEN : (sweep_verdict)failed;
}

static sweep_verdict end_early(run *this, sweep_verdict verdict, const char *what, pid_t who) {
  sweep_verdict told = told_failure(this);
  if (told) return told;
  char where[512] = "";
  if (verdict == SWEEP_HANGS && who) harness_where(who, where, sizeof where);
  snprintf(this->why, this->size, "%s%s%s", what, where[0] ? ": " : "", where);
  return verdict;
}

static sweep_verdict tell(run *this, uint32_t command, const char *name) {
  char what[64];
  set_deadline(this);
  __atomic_store_n(&sweep->command, command, __ATOMIC_RELEASE);
  harness_wake(&sweep->command);
  for (;;) {
    uint32_t reply = __atomic_load_n(&sweep->reply, __ATOMIC_ACQUIRE);
    if (reply == command) return told_failure(this);
    if (has_ended(this->survivor)) {
      snprintf(what, sizeof what, "the survivor ended in %s", name);
      return end_early(this, SWEEP_DIES, what, this->survivor);
    }
    if (sweep_now() > sweep->deadline) {
      snprintf(what, sizeof what, "%s does not end", name);
      return end_early(this, SWEEP_HANGS, what, this->survivor);
    }
    harness_wait(&sweep->reply, reply, 20000000);
  }
}

// Survivor and operator, the latter before its first instruction.
static sweep_verdict begin(run *this, sweep_injection injection, uint32_t points, uint32_t point) {
  memset(sweep, 0, offsetof(sweep_shared, folder));
  memset(sweep->arena, 0, sizeof sweep->arena);
  sweep->variant = this->of->variant;
  sweep->injection = injection;
  sweep->points = points;
  sweep->point = point;
  set_deadline(this);
  // An hour is never over: a wake that a dead or stopped operator owed, and nobody made up for, is then a hang.
  muster_recheck = this->of->rechecks ? MUSTER_WAIT_RECHECK : 3600 * MUSTER_WAIT_RECHECK;
  isolation_next_pid(SURVIVOR_PID);
  this->survivor = fork();
  if (this->survivor == 0) survivor(this->of);
  if (this->survivor < 0) return end_early(this, SWEEP_BROKEN, strerror(errno), 0);
  sweep_verdict verdict = tell(this, COMMAND_SETUP, "setup");
  if (verdict) return verdict;
  set_deadline(this);
  isolation_next_pid(OPERATOR_PID);
  this->operator_pid = fork();
  if (this->operator_pid == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    operate(this->of);
  }
  if (this->operator_pid < 0) return end_early(this, SWEEP_BROKEN, strerror(errno), 0);
  verdict = stepper_start(this->operator_pid, (uintptr_t)this->of->operate, &this->back);
  if (verdict) return end_early(this, verdict, stepper_why, 0);
  __atomic_store_n(&sweep->operator_pid, this->operator_pid, __ATOMIC_RELEASE);
  return SWEEP_OK;
}

static sweep_verdict end(run *this, sweep_verdict verdict, int look) {
  harness_end_children();
  // Where /dev/shm is this worker's own, whatever stands there was left; else what bears the run's prefix.
  char shared[512], filed[512];
  int found = harness_look("/dev/shm", isolated ? NULL : sweep->prefix, shared, sizeof shared, 1);
  found += harness_look(sweep->folder, NULL, filed, sizeof filed, 1);
  if (verdict || !look || !found) return verdict;
  snprintf(this->why, this->size, "left behind: %s", shared[0] ? shared : filed);
  return SWEEP_LEFT;
}

sweep_verdict run_record(const sweep_case *of, sweep_trace *trace, char *why, size_t size) {
  run this = {.of = of, .why = why, .size = size};
  sweep_verdict verdict = begin(&this, 0, 0, 0);
  if (!verdict) {
    verdict = stepper_record(this.operator_pid, this.back, trace);
    if (verdict) verdict = end_early(&this, verdict, stepper_why, 0);
  }
  return end(&this, verdict, 0);
}

static void kill_operator(run *this) {
  int status;
  kill(this->operator_pid, SIGKILL);
  do {
    while (waitpid(this->operator_pid, &status, __WALL) < 0 && errno == EINTR) {
    }
  } while (!WIFEXITED(status) && !WIFSIGNALED(status));
}

// The operator goes on, and returns.
static sweep_verdict go_on(run *this) {
  set_deadline(this);
  stepper_let_go(this->operator_pid);
  while (!__atomic_load_n(&sweep->returned, __ATOMIC_ACQUIRE)) {
    if (has_ended(this->operator_pid)) return end_early(this, SWEEP_DIES, "the operator ended when it went on", 0);
    if (sweep_now() > sweep->deadline)
      return end_early(this, SWEEP_HANGS, "the operator does not return after it went on", this->operator_pid);
    harness_wait(&sweep->returned, 0, 20000000);
  }
  return told_failure(this);
}

sweep_verdict run_point(const sweep_case *of, sweep_injection injection, const sweep_trace *trace, uint32_t point,
                        int plain, char *why, size_t size) {
  run this = {.of = of, .why = why, .size = size};
  sweep_verdict verdict = begin(&this, injection, trace->points, point);
  if (!verdict) {
    set_deadline(&this);
    verdict = stepper_run_to(this.operator_pid, trace, point, plain);
    if (verdict) verdict = end_early(&this, verdict, stepper_why, 0);
  }
  if (!verdict && injection == SWEEP_CRASH) {
    if (point == trace->points) {
      sweep->result = stepper_result(this.operator_pid);
      __atomic_store_n(&sweep->returned, 1u, __ATOMIC_RELEASE);
    }
    kill_operator(&this);
  } else if (!verdict) {
    verdict = tell(&this, COMMAND_MEANWHILE, "meanwhile");
    if (!verdict) verdict = go_on(&this);
  }
  if (!verdict) {
    int64_t start = sweep_now();
    verdict = tell(&this, COMMAND_CHECK, "check");
    run_check_time = sweep_now() - start;
    // Waits are given until then, and those whose time is over look once more: they were not woken.
    if (!verdict && sweep_now() >= sweep_deadline())
      verdict = end_early(&this, SWEEP_HANGS, "check ended only as its deadline came", 0);
  }
  return end(&this, verdict, 1);
}
