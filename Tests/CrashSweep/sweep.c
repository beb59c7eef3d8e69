// What the functions of a case use: checks, names, peers.
// SPDX-License-Identifier: Apache-2.0
#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "muster/status.h"

sweep_shared *sweep;

enum { NAMES = 16 };

static void fail(sweep_verdict verdict, const char *file, int line, const char *format, va_list arguments)
    __attribute__((noreturn, format(printf, 4, 0)));

static void fail(sweep_verdict verdict, const char *file, int line, const char *format, va_list arguments) {
  uint32_t none = 0;
  if (__atomic_compare_exchange_n(&sweep->failed, &none, FAILURE_BEGUN, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    const char *last = strrchr(file, '/');
    char text[896];
    vsnprintf(text, sizeof text, format, arguments);
    snprintf(sweep->failure, sizeof sweep->failure, "%s:%d: %s", last ? last + 1 : file, line, text);
    __atomic_store_n(&sweep->failed, (uint32_t)verdict, __ATOMIC_RELEASE);
  }
  _exit(FAILED_STATUS);
}

void sweep_fail(const char *file, int line, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fail(SWEEP_WRONG, file, line, format, arguments);
}

static void hangs(int line, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

static void hangs(int line, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fail(SWEEP_HANGS, __FILE__, line, format, arguments);
}

void sweep_equal(const char *file, int line, const char *text, long long actual, long long expected) {
  if (actual != expected) sweep_fail(file, line, "%s is %lld, not %lld", text, actual, expected);
}

void sweep_status(const char *file, int line, const char *text, int actual, int expected) {
  if (actual == expected) return;
  sweep_fail(file, line, "%s is %s (%s), not %s", text, muster_status_name(actual), muster_status_text(actual),
             muster_status_name(expected));
}

void sweep_found(sweep_outcome outcome) {
  if (sweep->injection == SWEEP_CRASH && sweep->point == 0 && outcome != SWEEP_BEFORE)
    sweep_fail(__FILE__, __LINE__, "nothing was done, but the state is the one after");
  if (sweep->injection == SWEEP_CRASH && sweep->point == sweep->points && outcome != SWEEP_AFTER)
    sweep_fail(__FILE__, __LINE__, "all was done, but the state is the one before");
  sweep->outcome = (uint32_t)outcome;
}

const char *sweep_name(const char *tag) {
  static char names[NAMES][128];
  static unsigned used;
  char *name = names[used++ % NAMES];
  snprintf(name, sizeof names[0], "%s%s", sweep->prefix, tag);
  return name;
}

const char *sweep_path(const char *tag) {
  static char paths[NAMES][256];
  static unsigned used;
  char *path = paths[used++ % NAMES];
  snprintf(path, sizeof paths[0], "%s/%s", sweep->folder, tag);
  return path;
}

int64_t sweep_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t sweep_deadline(void) { return sweep->deadline - 500000000; }

void sweep_pause(int64_t nanoseconds) {
  struct timespec pause = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  while (nanosleep(&pause, &pause) && errno == EINTR) {
  }
}

pid_t sweep_peer(int (*body)(int), int number) {
  pid_t pid = fork();
  if (pid < 0) sweep_fail(__FILE__, __LINE__, "fork: %s", strerror(errno));
  if (pid == 0) {
    isolation_fix_stat(getpid());
    _exit(body(number));
  }
  return pid;
}

// Waits for the end of any process, child or not, without reaping it. 0: not by the deadline.
static int await_end(pid_t pid) {
  int watch = (int)syscall(SYS_pidfd_open, pid, 0);
  if (watch < 0) return errno == ESRCH;
  struct pollfd item = {.fd = watch, .events = POLLIN};
  int ended = 0;
  do {
    int64_t rest = sweep_deadline() - sweep_now();
    ended = poll(&item, 1, rest > 0 ? (int)(rest / 1000000 + 1) : 0) > 0;
  } while (!ended && sweep_now() < sweep_deadline());
  close(watch);
  return ended;
}

static int reap(pid_t peer) {
  if (!await_end(peer)) {
    char where[512];
    harness_where(peer, where, sizeof where);
    hangs(__LINE__, "a peer hangs: %s", where);
  }
  int status = 0;
  while (waitpid(peer, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == FAILED_STATUS) _exit(FAILED_STATUS);
  return status;
}

int sweep_reap(pid_t peer) {
  int status = reap(peer);
  if (!WIFEXITED(status)) sweep_fail(__FILE__, __LINE__, "a peer died by signal %d", WTERMSIG(status));
  return WEXITSTATUS(status);
}

int sweep_ends_soon(pid_t peer) {
  for (int turn = 0; turn < 100; turn++) {
    if (harness_state(peer) == 'Z') return 1;
    sweep_pause(200000);
  }
  return 0;
}

void sweep_reap_killed(pid_t peer) {
  int status = reap(peer);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
    sweep_fail(__FILE__, __LINE__, "a peer that is to be killed ended with wait status 0x%x", (unsigned)status);
}

void sweep_newcomer(int (*body)(int), int number) {
  int status = sweep_reap(sweep_peer(body, number));
  if (status) sweep_fail(__FILE__, __LINE__, "a newcomer ended with %s", muster_status_name(status));
}

void sweep_settle(pid_t pid) {
  for (char state; (state = harness_state(pid)) != 'S' && state != 'Z' && state != 0;) {
    if (sweep_now() > sweep_deadline()) hangs(__LINE__, "process %d does not go to sleep", (int)pid);
    sweep_pause(50000);
  }
}

int sweep_operator_dead(void) {
  char state = harness_state(sweep->operator_pid);
  return state == 0 || state == 'Z' || state == 'X';
}

static int others_may_act(void) {
  return __atomic_load_n(&sweep->returned, __ATOMIC_ACQUIRE) || sweep_operator_dead() ||
         __atomic_load_n(&sweep->command, __ATOMIC_ACQUIRE) >= COMMAND_MEANWHILE;
}

void sweep_operator_done(void) {
  while (!__atomic_load_n(&sweep->operator_pid, __ATOMIC_ACQUIRE) || !others_may_act()) sweep_pause(100000);
}

int sweep_operator_asleep(void) {
  for (;;) {
    int32_t operator_pid = __atomic_load_n(&sweep->operator_pid, __ATOMIC_ACQUIRE);
    if (operator_pid) {
      // The second look tells a sleep for good from one at a busy moment, such as a fault that reads a page.
      if (harness_state(operator_pid) == 'S') {
        sweep_pause(500000);
        if (harness_state(operator_pid) == 'S' && !__atomic_load_n(&sweep->returned, __ATOMIC_ACQUIRE)) return 1;
      }
      if (others_may_act()) return 0;
    }
    sweep_pause(100000);
  }
}

void sweep_finish(void) {
  __atomic_store_n(&sweep->release, 1u, __ATOMIC_RELEASE);
  harness_wake(&sweep->release);
  if (await_end(sweep->operator_pid)) return;
  char where[512];
  harness_where(sweep->operator_pid, where, sizeof where);
  hangs(__LINE__, "the operator does not end: %s", where);
}
