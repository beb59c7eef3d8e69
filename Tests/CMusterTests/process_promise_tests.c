// What docs/process.md promises and no other test asks for.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_support.h"

static muster_process_stop_options at_once(void) { return (muster_process_stop_options){.deadline = soon()}; }
static muster_process_stop_options patient(void) { return (muster_process_stop_options){.grace = soon(), .deadline = soon()}; }

static void handler(int number) { (void)number; }

// A child of somebody else's in this process, that has ended, is there to be waited for whatever is done here; so are errno and handlers.
static void nobody_elses_is_touched(void) {
  muster_process process;
  muster_process_step step;
  struct sigaction before = {.sa_handler = handler}, after;
  REQUIRE(!sigaction(SIGCHLD, &before, NULL));
  process_audit audit = audit_begin();
  pid_t other = fork();
  if (other == 0) _exit(9);
  siginfo_t info;
  while (waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT) && errno == EINTR) {
  }
  errno = 77;
  for (int i = 0; i < 2; i++) {
    muster_process_options options = shell("exec sleep 1000");
    options.flags = i ? MUSTER_PROCESS_GUARD | MUSTER_PROCESS_GROUP : MUSTER_PROCESS_TIE;
    CHECK_STATUS(muster_process_spawn(&options, &process, &step), 0);
    CHECK_STATUS(muster_process_poll(&process, NULL), EAGAIN);
    CHECK_STATUS(muster_process_wait(&process, muster_deadline_after(1000000), NULL), ETIMEDOUT);
    muster_process_stop_options stop = at_once();
    CHECK_STATUS(muster_process_stop(&process, &stop, NULL), 0);
    muster_process_close(&process);
    options.path = "/no/such";
    CHECK_STATUS(muster_process_spawn(&options, &process, &step), ENOENT);
    CHECK_STATUS(muster_process_open(INT32_MAX, 0, &process), ESRCH);
  }
  CHECK_EQUAL(errno, 77);
  sigaction(SIGCHLD, NULL, &after);
  CHECK(after.sa_handler == handler);
  int status = 0;
  CHECK_EQUAL(waitpid(other, &status, 0), other);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
  audit_end(&audit);
}

// Cancelled before: what is asked for is done to its end, and nothing is lost.
static void *start_cancelled(void *context) {
  muster_process process;
  muster_process_options options = shell("exit 7");
  options.flags = MUSTER_PROCESS_GROUP;
  options.readiness = MUSTER_PROCESS_READY_LINE;
  options.ready_descriptor = 7;
  pthread_cancel(pthread_self());
  int *done = context;
  if (muster_process_spawn(&options, &process, NULL)) return NULL;
  *done = muster_process_ready(&process, soon()) == EOWNERDEAD && muster_process_wait(&process, soon(), NULL) == 0;
  muster_process_stop_options stop = at_once();
  *done = *done && muster_process_stop(&process, &stop, NULL) == 0 && process.end.code == 7;
  muster_process_close(&process);
  pthread_testcancel();
  return NULL;
}

static void none_is_a_cancellation_point(void) {
  process_audit audit = audit_begin();
  pthread_t thread;
  int done = 0;
  void *result;
  REQUIRE(!pthread_create(&thread, NULL, start_cancelled, &done));
  pthread_join(thread, &result);
  CHECK(done && result == PTHREAD_CANCELED);
  audit_end(&audit);
}

// Signals rain on the group while children come into being: none runs a handler of ours in one of them.
static pid_t self;
static int strangers, drops;

static void note_stranger(int number) {
  (void)number;
  __atomic_add_fetch(&drops, 1, __ATOMIC_RELAXED);
  if (getpid() != self) __atomic_add_fetch(&strangers, 1, __ATOMIC_RELAXED);
}

static void no_handler_runs_in_a_child(void) {
  muster_process process;
  muster_process_end end;
  REQUIRE(!setpgid(0, 0));
  self = getpid();
  // Its memory would be ours: that of a child of either kind that shares it.
  struct sigaction action = {.sa_handler = note_stranger, .sa_flags = SA_RESTART};
  REQUIRE(!sigaction(SIGUSR1, &action, NULL));
  pid_t rain = fork();
  if (rain == 0) {
    signal(SIGUSR1, SIG_IGN);
    for (muster_deadline last = soon(); !muster_deadline_passed(last);) kill(0, SIGUSR1);
    _exit(0);
  }
  REQUIRE(rain > 0);
  for (muster_deadline last = soon(); !__atomic_load_n(&drops, __ATOMIC_RELAXED) && !muster_deadline_passed(last);) test_pause(100000);
  for (unsigned i = 0; i < 100 / test_slower() + 5; i++) {
    int status = muster_process_spawn(&(muster_process_options){.path = "/bin/true"}, &process, NULL);
    CHECK_STATUS(status, 0);
    if (status) break;
    CHECK_STATUS(muster_process_wait(&process, soon(), &end), 0);
    // It dies of one, by default, or gets away.
    CHECK(end.kind == MUSTER_PROCESS_SIGNALED ? end.code == SIGUSR1 : end.code == 0);
    muster_process_close(&process);
  }
  kill_process(rain);
  CHECK_EQUAL(strangers, 0);
  CHECK(drops > 0);
}

// ---- Tied lives

typedef struct parent {
  uint32_t gate;
  uint32_t flags;
  uint64_t tree;
} parent;

static void start_tied(parent *with) {
  muster_process process;
  start_shell(&process, "exec sleep 1000", with->flags);
  with->tree = process.tree;
}

static void lead_a_group(void *context) {
  parent *with = context;
  REQUIRE(!setpgid(0, 0));
  start_tied(with);
  gate_open(&with->gate, 1);
  for (;;) pause();
}

// What is sent to the parent's group, even SIGKILL, ends the child by its guard though the child is not in that group.
static void a_guard_is_not_of_the_group(void) {
  parent *with = shared_memory(sizeof *with);
  with->flags = MUSTER_PROCESS_GUARD | MUSTER_PROCESS_SESSION;
  pid_t pid = test_fork(lead_a_group, with);
  gate_wait(&with->gate, 1);
  CHECK(comes_to(with->tree, 1));
  CHECK_EQUAL(kill(-pid, SIGKILL), 0);
  test_join(pid, SIGKILL);
  CHECK(comes_to(with->tree, 0));
  orphans_end();
}

static void become_another(void *context) {
  parent *with = context;
  start_tied(with);
  gate_open(&with->gate, 1);
  execl("/bin/sleep", "muster-other", "1000", (char *)NULL);
  _exit(1);
}

// The child stays, tied to who its parent has become.
static void exec_of_the_parent_is_not_its_end(void) {
  static const uint32_t flags[] = {MUSTER_PROCESS_TIE, MUSTER_PROCESS_GUARD};
  for (int i = 0; i < 2; i++) {
    parent *with = shared_memory(sizeof *with);
    with->flags = flags[i];
    pid_t pid = test_fork(become_another, with);
    gate_wait(&with->gate, 1);
    for (muster_deadline end = soon(); strcmp(status_line(pid, "Name"), "sleep") && !muster_deadline_passed(end);) test_pause(1000000);
    CHECK(!strcmp(status_line(pid, "Name"), "sleep"));
    CHECK(comes_to(with->tree, 1));
    if (flags[i] == MUSTER_PROCESS_GUARD) CHECK(find_guard(pid) > 0);
    kill_process(pid);
    CHECK(comes_to(with->tree, 0));
    orphans_end();
  }
}

static void *outlive_the_main_thread(void *context) {
  parent *with = context;
  for (muster_deadline end = soon(); *status_line(getpid(), "State") != 'Z' && !muster_deadline_passed(end);) test_pause(1000000);
  gate_open(&with->gate, 1);
  for (;;) pause();
  return NULL;
}

static void end_the_main_thread(void *context) {
  pthread_t thread;
  start_tied(context);
  REQUIRE(!pthread_create(&thread, NULL, outlive_the_main_thread, context));
  pthread_exit(NULL);
}

// With a guard the end of the main thread is not the process's; by the kernel's request it is.
static void a_guard_knows_a_thread_from_a_process(void) {
  parent *with = shared_memory(sizeof *with);
  with->flags = MUSTER_PROCESS_GUARD;
  pid_t pid = test_fork(end_the_main_thread, with);
  gate_wait(&with->gate, 1);
  CHECK(comes_to(with->tree, 1));
  CHECK(find_guard(pid) > 0);
  kill_process(pid);
  CHECK(comes_to(with->tree, 0));
  with = shared_memory(sizeof *with);
  with->flags = MUSTER_PROCESS_TIE;
  pid = test_fork(end_the_main_thread, with);
  gate_wait(&with->gate, 1);
  CHECK(comes_to(with->tree, 0));
  kill_process(pid);
  orphans_end();
}

// ---- Stopping

// Each program's number stands behind those of the programs above it.
static void a_tree_within_a_tree_belongs_to_both(void) {
  process_audit audit = audit_begin();
  muster_process outer, inner, other;
  muster_process_stop_report report;
  muster_process_stop_options stop = at_once();
  char text[32];
  start_shell(&outer, "exec sleep 1000", 0);
  snprintf(text, sizeof text, "%016llx", (unsigned long long)outer.tree);
  REQUIRE(!setenv("MUSTER_TREE", text, 1));
  start_shell(&inner, "exec sleep 1000", MUSTER_PROCESS_SESSION);
  start_shell(&other, "exec sleep 1000", MUSTER_PROCESS_SESSION);
  CHECK_STATUS(muster_process_stop(&inner, &stop, &report), 0);
  CHECK_EQUAL(report.found, 1);
  CHECK_STATUS(muster_process_poll(&outer, NULL), EAGAIN);
  CHECK_STATUS(muster_process_stop(&outer, &stop, &report), 0);
  CHECK_EQUAL(report.found, 2);
  CHECK_EQUAL(end_of(&inner), -SIGKILL);
  CHECK_EQUAL(end_of(&outer), -SIGKILL);
  CHECK_EQUAL(end_of(&other), -SIGKILL);
  audit_end(&audit);
}

// Somebody who is started by one who ends politely is asked, too.
static void newcomers_are_asked(void) {
  process_audit audit = audit_begin();
  muster_process process;
  muster_process_stop_report report;
  muster_process_stop_options stop = patient();
  start_shell(&process, "trap 'sleep 1000 & wait $!; exit 3' TERM; sleep 1000 & wait", 0);
  CHECK(comes_to_sleep(process.tree));
  CHECK_STATUS(muster_process_stop(&process, &stop, &report), 0);
  CHECK(report.found == 3 && report.killed == 0 && report.left == 0);
  CHECK_EQUAL(end_of(&process), 3);
  orphans_end();
  audit_end(&audit);
}

static void without_a_cgroup(void *context) {
  (void)context;
  muster_process process;
  if (getuid() == 0 && (setgid(65534) || setuid(65534))) test_skip("can't become another user: %s", strerror(errno));
  start_shell(&process, "exit 4", MUSTER_PROCESS_CGROUP);
  CHECK(process.cgroup == -1 && process.tree);
  CHECK_EQUAL(end_of(&process), 4);
}

static void where_no_cgroup_may_be_made_it_runs_without(void) {
  muster_process process;
  char path[64], folder[PATH_MAX], name[64];
  start_shell(&process, "exit 0", MUSTER_PROCESS_CGROUP);
  // Named by its number.
  if (process.cgroup >= 0) {
    snprintf(path, sizeof path, "/proc/self/fd/%d", process.cgroup);
    ssize_t length = readlink(path, folder, sizeof folder - 1);
    REQUIRE(length > 0);
    folder[length] = 0;
    snprintf(name, sizeof name, "/muster-%016llx", (unsigned long long)process.tree);
    CHECK(strlen(folder) > strlen(name) && !strcmp(folder + strlen(folder) - strlen(name), name));
  }
  CHECK_EQUAL(end_of(&process), 0);
  if (getuid()) test_skip("needs root, to become one who may make none");
  test_join(test_fork(without_a_cgroup, NULL), 0);
}

TEST_SUITE(process_promise, {"nobody_elses_is_touched", nobody_elses_is_touched, 0},
           {"none_is_a_cancellation_point", none_is_a_cancellation_point, 0},
           {"no_handler_runs_in_a_child", no_handler_runs_in_a_child, 60},
           {"a_guard_is_not_of_the_group", a_guard_is_not_of_the_group, 0},
           {"exec_of_the_parent_is_not_its_end", exec_of_the_parent_is_not_its_end, 0},
           {"a_guard_knows_a_thread_from_a_process", a_guard_knows_a_thread_from_a_process, 0},
           {"a_tree_within_a_tree_belongs_to_both", a_tree_within_a_tree_belongs_to_both, 0},
           {"newcomers_are_asked", newcomers_are_asked, 0},
           {"where_no_cgroup_may_be_made_it_runs_without", where_no_cgroup_may_be_made_it_runs_without, 0});
