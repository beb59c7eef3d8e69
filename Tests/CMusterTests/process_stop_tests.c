// Ending a process with all that it has started: whatever they do, wherever they have gone, and nobody else.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_support.h"

static const int64_t moment = 30000000;

static muster_process_stop_options patient(void) { return (muster_process_stop_options){.grace = soon(), .deadline = soon()}; }
static muster_process_stop_options at_once(void) { return (muster_process_stop_options){.deadline = soon()}; }
static muster_process_stop_options briefly(void) {
  return (muster_process_stop_options){.grace = muster_deadline_after(moment), .deadline = soon()};
}

static void start_and_await(muster_process *process, const char *script, uint32_t flags, unsigned processes) {
  start_shell(process, script, flags);
  CHECK(comes_to(process->tree, processes));
}

static void who_ends_politely_is_not_killed(void) {
  process_audit audit = audit_begin();
  muster_process process;
  muster_process_stop_report report;
  muster_process_stop_options options = patient();
  start_and_await(&process, "trap 'exit 3' TERM; sleep 1000 & wait", MUSTER_PROCESS_GROUP, 2);
  CHECK(comes_to_sleep(process.tree));
  CHECK_STATUS(muster_process_stop(&process, &options, &report), 0);
  CHECK(report.killed == 0 && report.found == 2 && report.left == 0);
  CHECK_EQUAL(end_of(&process), 3);
  // One that is stopped gets to act on it.
  start_shell(&process, "trap 'exit 4' HUP; kill -STOP $$; while :; do :; done", 0);
  for (muster_deadline end = soon(); *status_line(process.pid, "State") != 'T' && !muster_deadline_passed(end);) test_pause(1000000);
  options.signal = SIGHUP;
  CHECK_STATUS(muster_process_stop(&process, &options, &report), 0);
  CHECK_EQUAL(report.killed, 0);
  CHECK_EQUAL(end_of(&process), 4);
  // The first alone is asked, and asks the others.
  options = patient();
  options.flags = MUSTER_PROCESS_STOP_FIRST;
  start_and_await(&process, "trap 'kill -USR1 0; wait; exit 5' TERM; trap : USR1; (trap 'exit 9' TERM; trap 'exit 0' USR1; sleep 1000 & wait) & wait",
                  MUSTER_PROCESS_GROUP, 3);
  CHECK(comes_to_sleep(process.tree));
  CHECK_STATUS(muster_process_stop(&process, &options, &report), 0);
  CHECK_EQUAL(report.killed, 0);
  CHECK_EQUAL(end_of(&process), 5);
  // Nobody is told of what was ended before.
  start_shell(&process, "exit 6", 0);
  CHECK_STATUS(muster_process_wait(&process, soon(), NULL), 0);
  CHECK_STATUS(muster_process_stop(&process, &options, &report), 0);
  CHECK_EQUAL(report.found, 0);
  CHECK_EQUAL(end_of(&process), 6);
  audit_end(&audit);
}

// They heed no polite signal; they are stopped; in groups and sessions of their own; without their parents.
static const char *const obstinate =
    "trap '' TERM HUP INT; "
    "sleep 1000 & "
    "setsid sleep 1000 & "
    "(setsid sh -c '(sleep 1000; :) & sleep 1000; :' &) ; "
    "(sh -c 'kill -STOP $$; :' &) ; "
    "(setsid setsid sh -c 'kill -STOP $$; :' &) ; "
    "while :; do sleep 1000; done";

static void obstinate_ones_are_killed(uint32_t flags) {
  process_audit audit = audit_begin();
  muster_process process;
  muster_process_stop_report report;
  CHECK_STATUS(muster_process_become_subreaper(), 0);
  start_and_await(&process, obstinate, flags, 10);
  muster_process_stop_options options = briefly();
  CHECK_STATUS(muster_process_stop(&process, &options, &report), 0);
  CHECK_EQUAL(count_tree(process.tree), 0);
  CHECK(report.killed > 0 && report.left == 0);
  CHECK_EQUAL(report.cgroup, process.flags & MUSTER_PROCESS_CGROUP && report.cgroup);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  // Of those whose parents had ended we are the parent now, and they are reaped; but for the first setsid of two, which ended long ago.
  uint32_t reaped;
  CHECK_STATUS(muster_process_reap_orphans(NULL, 0, &reaped), 0);
  CHECK(reaped <= 1);
  audit_end(&audit);
}

static void without_a_group(void) { obstinate_ones_are_killed(0); }
static void with_a_group(void) { obstinate_ones_are_killed(MUSTER_PROCESS_GROUP | MUSTER_PROCESS_GUARD); }
static void with_a_session(void) { obstinate_ones_are_killed(MUSTER_PROCESS_SESSION); }
static void with_a_cgroup(void) { obstinate_ones_are_killed(MUSTER_PROCESS_CGROUP); }

static int32_t read_pid(int from) {
  char text[32] = "";
  ssize_t length = read(from, text, sizeof text - 1);
  REQUIRE(length > 0);
  return atoi(text);
}

// Started to get away: it has left the session, its parents are dead, its environment is empty.
static void escape_from_a_cgroup(int politely) {
  process_audit audit = audit_begin();
  muster_process process, away;
  muster_process_stop_report report;
  int ends[2];
  REQUIRE(!pipe(ends));
  muster_process_options options = shell("(env -i /bin/sh -c 'setsid sh -c \"echo \\$\\$; exec sleep 1000\" &') ; exec sleep 1000");
  options.flags = MUSTER_PROCESS_CGROUP | MUSTER_PROCESS_SESSION;
  options.streams[1] = (muster_process_stream){MUSTER_PROCESS_STREAM_DESCRIPTOR, ends[1]};
  CHECK_STATUS(muster_process_become_subreaper(), 0);
  REQUIRE(!muster_process_spawn(&options, &process, NULL));
  close(ends[1]);
  int32_t pid = read_pid(ends[0]);
  close(ends[0]);
  int has_cgroup = process.cgroup >= 0;
  CHECK_STATUS(muster_process_open(pid, 0, &away), 0);
  muster_process_stop_options stop = politely ? patient() : at_once();
  CHECK_STATUS(muster_process_stop(&process, &stop, &report), 0);
  muster_process_close(&process);
  if (has_cgroup) {
    CHECK_EQUAL(report.cgroup, !politely);
    CHECK_STATUS(muster_process_wait(&away, soon(), NULL), 0);
  } else {
    CHECK_STATUS(muster_process_stop(&away, &stop, NULL), 0);
  }
  muster_process_close(&away);
  uint32_t reaped;
  CHECK_STATUS(muster_process_reap_orphans(NULL, 0, &reaped), 0);
  audit_end(&audit);
  if (!has_cgroup) test_skip("no cgroup of our own may be made here");
}

static void from_a_cgroup_nobody_escapes(void) { escape_from_a_cgroup(0); }
static void nor_is_anybody_in_it_left_out(void) { escape_from_a_cgroup(1); }

// Neighbours, by a number that is nearly its, and by its own parents.
static void nobody_else_is_killed(void) {
  process_audit audit = audit_begin();
  muster_process process, neighbour, other;
  muster_process_stop_report report;
  muster_process_stop_options options = at_once();
  start_shell(&other, "exec sleep 1000", 0);
  start_shell(&process, "exec sleep 1000", 0);
  char entry[64];
  snprintf(entry, sizeof entry, "MUSTER_TREE=%016llx", (unsigned long long)(process.tree ^ 1));
  const char *environment[] = {entry, "A=MUSTER_TREE=", "PATH=/usr/bin:/bin", NULL};
  muster_process_options plain = shell("exec sleep 1000");
  plain.environment = environment;
  plain.flags = MUSTER_PROCESS_NO_COOKIE;
  REQUIRE(!muster_process_spawn(&plain, &neighbour, NULL));
  CHECK_STATUS(muster_process_stop(&process, &options, &report), 0);
  CHECK(report.found == 1 && report.killed == 1);
  CHECK_STATUS(muster_process_poll(&neighbour, NULL), EAGAIN);
  CHECK_STATUS(muster_process_poll(&other, NULL), EAGAIN);
  CHECK_STATUS(muster_process_stop(&neighbour, &options, &report), 0);
  CHECK_STATUS(muster_process_stop(&other, &options, NULL), 0);
  muster_process_close(&process);
  muster_process_close(&neighbour);
  muster_process_close(&other);
  CHECK_STATUS(muster_process_stop(&(muster_process){.pidfd = -1}, &options, NULL), EINVAL);
  audit_end(&audit);
}

// It has ended, and was reaped, and what it has left behind is ended all the same.
static void what_was_left_behind_is_ended(void) {
  process_audit audit = audit_begin();
  muster_process process;
  muster_process_stop_report report;
  CHECK_STATUS(muster_process_become_subreaper(), 0);
  start_shell(&process, "setsid sleep 1000 & sleep 1000 & exit 0", MUSTER_PROCESS_GROUP);
  CHECK_STATUS(muster_process_wait(&process, soon(), NULL), 0);
  CHECK(comes_to(process.tree, 2));
  muster_process_stop_options options = patient();
  CHECK_STATUS(muster_process_stop(&process, &options, &report), 0);
  CHECK(report.found == 2 && report.killed == 0 && report.reaped == 2);
  CHECK_EQUAL(end_of(&process), 0);
  audit_end(&audit);
}

// As fast as they are killed there are more; and more than are known at a time.
static void those_who_fork_are_outrun(void) {
  process_audit audit = audit_begin();
  muster_process process;
  muster_process_stop_report report;
  CHECK_STATUS(muster_process_become_subreaper(), 0);
  // In any case it comes to an end.
  const char *script = "trap '' TERM; for i in 1 2 3 4 5; do for k in 1 2 3 4 5 6 7 8; do for l in 1 2 3 4 5 6 7 8; do "
                       "setsid sleep 1000 & done; done; done; echo; "
                       "i=0; while [ $i -lt 500 ]; do i=$((i+1)); sleep 1000 & sleep 0.002; done";
  int ends[2];
  char byte;
  REQUIRE(!pipe2(ends, O_CLOEXEC));
  muster_process_options options = shell(script);
  options.flags = MUSTER_PROCESS_GROUP;
  options.streams[1] = (muster_process_stream){MUSTER_PROCESS_STREAM_DESCRIPTOR, ends[1]};
  REQUIRE(!muster_process_spawn(&options, &process, NULL));
  close(ends[1]);
  CHECK_EQUAL(read(ends[0], &byte, 1), 1);
  close(ends[0]);
  muster_process_stop_options stop = briefly();
  CHECK_STATUS(muster_process_stop(&process, &stop, &report), 0);
  CHECK(report.found > 300 && report.left == 0);
  CHECK_EQUAL(count_tree(process.tree), 0);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  CHECK_STATUS(muster_process_reap_orphans(NULL, 0, NULL), 0);
  audit_end(&audit);
}

// Of a pipeline, which is one group, each process is its own handle's to wait for.
static void who_is_waited_for_by_another_is_not_reaped(void) {
  process_audit audit = audit_begin();
  muster_process first, second;
  muster_process_stop_report report;
  muster_process_end end;
  start_shell(&first, "exec sleep 1000", MUSTER_PROCESS_GROUP);
  muster_process_options options = shell("exec sleep 1000");
  options.group = first.pid;
  REQUIRE(!muster_process_spawn(&options, &second, NULL));
  muster_process_stop_options stop = at_once();
  CHECK_STATUS(muster_process_stop(&first, &stop, &report), 0);
  CHECK(report.found == 2 && report.reaped == 0);
  CHECK_STATUS(muster_process_wait(&second, soon(), &end), 0);
  CHECK(end.reaped && end.kind == MUSTER_PROCESS_SIGNALED && end.code == SIGKILL);
  muster_process_close(&first);
  muster_process_close(&second);
  audit_end(&audit);
}

static void *stays(void *context) {
  while (pause()) continue;
  return context;
}

// The environment that others see is what lies where it lay when this program was executed.
static int pose_as_one_of(uint64_t tree) {
  for (char **entry = environ; *entry; entry++)
    if (strlen(*entry) >= 28) return sprintf(*entry, "MUSTER_TREE=%016llx", (unsigned long long)tree);
  return 0;
}

static void lose_the_main_thread(uint32_t *gate, uint64_t tree) {
  pthread_t thread;
  if (!pose_as_one_of(tree)) _exit(1);
  gate_open(gate, 1);
  gate_wait(gate, 2);
  if (pthread_create(&thread, NULL, stays, NULL)) _exit(1);
  pthread_exit(NULL);
}

typedef struct storm {
  uint32_t gate, enough;
  uint64_t generations;
} storm;

// In a session of its own each, without a parent after a moment; whom one look finds has ended at the next.
static _Noreturn void storm_on(storm *with, uint64_t tree, int64_t end) {
  if (!pose_as_one_of(tree)) _exit(1);
  while (!__atomic_load_n(&with->enough, __ATOMIC_RELAXED) && test_now() < end) {
    pid_t pid = fork();
    if (pid != 0) _exit(0);
    setsid();
    if (__atomic_add_fetch(&with->generations, 1, __ATOMIC_RELAXED) == 50) gate_open(&with->gate, 1);
  }
  gate_open(&with->gate, 2);
  _exit(0);
}

static void who_forks_and_ends_for_ever_is_caught(void) {
  muster_process process;
  storm *with = shared_memory(sizeof *with);
  CHECK_STATUS(muster_process_become_subreaper(), 0);
  for (int i = 0; i < 6; i++) {
    int ends[2];
    char nothing;
    REQUIRE(!pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    *with = (storm){0};
    start_shell(&process, "exec sleep 1000", MUSTER_PROCESS_GROUP);
    CHECK(comes_to_sleep(process.tree));
    pid_t pid = fork();
    if (pid == 0) storm_on(with, process.tree, test_now() + INT64_C(15000000000));
    REQUIRE(pid > 0);
    close(ends[1]);
    if (gate_pass(&with->gate, 1) != 1) test_skip("this program's own environment is not to be had");
    muster_process_stop_options stop = i & 1 ? at_once() : patient();
    CHECK_STATUS(muster_process_stop(&process, &stop, NULL), 0);
    // Whoever lives would hold it open.
    CHECK_EQUAL(read(ends[0], &nothing, 1), 0);
    close(ends[0]);
    CHECK_EQUAL(count_tree(process.tree), 0);
    __atomic_store_n(&with->enough, 1, __ATOMIC_RELAXED);
    muster_process_close(&process);
    CHECK_STATUS(muster_process_reap_orphans(NULL, 0, NULL), 0);
  }
}

// It looks like a zombie, and like one without an environment.
static void who_has_lost_his_main_thread_is_ended(void) {
  muster_process process, other;
  uint32_t *gate = shared_memory(sizeof *gate);
  start_shell(&process, "exec sleep 1000", 0);
  CHECK(comes_to_sleep(process.tree));
  pid_t pid = fork();
  if (pid == 0) lose_the_main_thread(gate, process.tree);
  REQUIRE(pid > 0);
  gate_wait(gate, 1);
  int posed = count_tree(process.tree) == 2;
  CHECK_STATUS(muster_process_open(pid, 0, &other), 0);
  gate_open(gate, 2);
  for (muster_deadline end = soon(); *status_line(pid, "State") != 'Z' && !muster_deadline_passed(end);) test_pause(1000000);
  muster_process_stop_options stop = at_once();
  CHECK_STATUS(muster_process_poll(&other, NULL), EAGAIN);
  CHECK_STATUS(muster_process_stop(&process, &stop, NULL), 0);
  if (posed) CHECK_STATUS(muster_process_poll(&other, NULL), 0);
  CHECK_STATUS(muster_process_stop(&other, &stop, NULL), 0);
  CHECK_EQUAL(end_of(&other), -SIGKILL);
  muster_process_close(&process);
  if (!posed) test_skip("this program's own environment is not to be had");
}

// What is there, but can't be met, is told.
static void who_is_never_met_is_told(void) {
  muster_process process;
  muster_process_stop_report report;
  start_and_await(&process, "setsid sleep 1000 & exec sleep 1000", 0, 2);
  CHECK(comes_to_sleep(process.tree));
  // As of one who is gone by the time that he is opened.
  refuse_call(SYS_pidfd_open, ESRCH);
  muster_process_stop_options stop = {.deadline = muster_deadline_after(10 * moment)};
  CHECK_STATUS(muster_process_stop(&process, &stop, &report), EBUSY);
  CHECK_EQUAL(report.left, 1);
  REQUIRE(report.left > 0 && report.pids[0] > 1 && report.pids[0] != process.pid);
  CHECK_EQUAL(kill(report.pids[0], SIGKILL), 0);
  CHECK(comes_to(process.tree, 0));
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  orphans_end();
}

static void who_cannot_be_met_has_his_grace(void) {
  muster_process process;
  // It takes longer than until others are looked for again.
  start_and_await(&process, "trap 'sleep 0.3; exit 3' TERM; sleep 1000 & wait", MUSTER_PROCESS_GROUP, 2);
  CHECK(comes_to_sleep(process.tree));
  uint64_t tree = process.tree;
  refuse_call(SYS_pidfd_open, EMFILE);
  muster_process_stop_options stop = patient();
  int status = muster_process_stop(&process, &stop, NULL);
  CHECK(status == 0 || status == EMFILE);
  CHECK_EQUAL(end_of(&process), 3);
  CHECK(comes_to(tree, 0));
}

// For the list of all processes there is one, and none for a look at any of them.
static void with_one_descriptor_nobody_is_taken_for_gone(void) {
  muster_process process;
  muster_process_stop_report report;
  struct rlimit limit;
  start_and_await(&process, "setsid sleep 1000 & exec sleep 1000", 0, 2);
  CHECK(comes_to_sleep(process.tree));
  int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
  close(lowest);
  REQUIRE(lowest > 0 && !getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = (rlim_t)lowest + 1;
  REQUIRE(!setrlimit(RLIMIT_NOFILE, &limit));
  muster_process_stop_options stop = at_once();
  CHECK_STATUS(muster_process_stop(&process, &stop, &report), EMFILE);
  limit.rlim_cur = limit.rlim_max;
  REQUIRE(!setrlimit(RLIMIT_NOFILE, &limit));
  CHECK_STATUS(muster_process_stop(&process, &stop, &report), 0);
  CHECK_EQUAL(count_tree(process.tree), 0);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  orphans_end();
}

// /proc counts otherwise than we do: whoever has a number there is not whom we would signal by it.
static void stop_by_foreign_numbers(void *context) {
  (void)context;
  muster_process process;
  start_shell(&process, "exec sleep 1000", MUSTER_PROCESS_GROUP);
  muster_process_stop_options stop = at_once();
  CHECK_STATUS(muster_process_stop(&process, &stop, NULL), ENOENT);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
}

static void numbers_of_another_namespace_are_not_believed(void) {
  if (unshare(CLONE_NEWPID)) test_skip("no pid namespace of our own: %s", strerror(errno));
  test_join(test_fork(stop_by_foreign_numbers, NULL), 0);
}

typedef struct refusal {
  uint32_t gate;
  int32_t pid;
} refusal;

static void stop_as_another(void *context) {
  refusal *with = context;
  muster_process process;
  muster_process_stop_report report;
  start_shell(&process, "exec sleep 1000", MUSTER_PROCESS_GROUP);
  with->pid = process.pid;
  if (setgid(65534) || setuid(65534)) test_skip("can't become another user: %s", strerror(errno));
  muster_process_stop_options options = {.grace = muster_deadline_after(moment), .deadline = muster_deadline_after(2 * moment)};
  CHECK_STATUS(muster_process_stop(&process, &options, &report), EBUSY);
  CHECK(report.left == 1 && report.pids[0] == process.pid && report.killed == 0);
  CHECK_STATUS(muster_process_poll(&process, NULL), EAGAIN);
  gate_open(&with->gate, 1);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
}

static void who_would_not_die_is_told(void) {
  if (getuid()) test_skip("needs root, to have a child that may not be signalled");
  refusal *with = shared_memory(sizeof *with);
  pid_t pid = test_fork(stop_as_another, with);
  gate_wait(&with->gate, 1);
  kill(with->pid, SIGKILL);
  test_join(pid, 0);
}

static int write_text(const char *folder, const char *name, const char *text) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  int file = open(path, O_WRONLY | O_CLOEXEC);
  int done = file >= 0 && write(file, text, strlen(text)) > 0;
  if (file >= 0) close(file);
  return done;
}

// The freezer of cgroups v1 holds even against SIGKILL, as a broken disk would.
static void who_sleeps_in_the_kernel_is_told(void) {
  char folder[128], text[16];
  muster_process process;
  muster_process_stop_report report;
  snprintf(folder, sizeof folder, "/sys/fs/cgroup/freezer/muster-test-%d", (int)getpid());
  if (mkdir(folder, 0700)) test_skip("no freezer: %s", strerror(errno));
  start_shell(&process, "exec sleep 1000", 0);
  snprintf(text, sizeof text, "%d", process.pid);
  int frozen = write_text(folder, "cgroup.procs", text) && write_text(folder, "freezer.state", "FROZEN");
  if (frozen) {
    muster_process_stop_options options = {.deadline = muster_deadline_after(moment)};
    CHECK_STATUS(muster_process_stop(&process, &options, &report), EBUSY);
    CHECK(report.left == 1 && report.pids[0] == process.pid && report.killed == 1);
    write_text(folder, "freezer.state", "THAWED");
  } else {
    CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
  }
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  CHECK_EQUAL(rmdir(folder), 0);
  if (!frozen) test_skip("the freezer doesn't");
}

static void without_descriptors_it_is_killed_nevertheless(void) {
  muster_process process;
  muster_process_stop_report report;
  struct rlimit limit;
  start_and_await(&process, "trap '' TERM; sleep 1000 & while :; do sleep 1000; done", MUSTER_PROCESS_GROUP, 3);
  uint64_t tree = process.tree;
  REQUIRE(!getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = 0;
  REQUIRE(!setrlimit(RLIMIT_NOFILE, &limit));
  muster_process_stop_options options = briefly();
  CHECK_STATUS(muster_process_stop(&process, &options, &report), EMFILE);
  limit.rlim_cur = limit.rlim_max;
  REQUIRE(!setrlimit(RLIMIT_NOFILE, &limit));
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  CHECK(comes_to(tree, 0));
}

static void orphans_are_reaped_and_children_not(void) {
  process_audit audit = audit_begin();
  muster_process mine, parent;
  uint32_t reaped = 9;
  CHECK_STATUS(muster_process_become_subreaper(), 0);
  CHECK_STATUS(muster_process_reap_orphans(NULL, 0, &reaped), 0);
  CHECK_EQUAL(reaped, 0);
  start_shell(&mine, "exit 7", 0);
  start_shell(&parent, "(sh -c 'exit 0' &); (sh -c 'exit 0' &); exit 0", 0);
  CHECK_EQUAL(end_of(&parent), 0);
  const muster_process *const known[] = {&mine};
  unsigned all = 0;
  for (muster_deadline end = soon(); all < 2 && !muster_deadline_passed(end); all += reaped)
    CHECK_STATUS(muster_process_reap_orphans(known, 1, &reaped), 0);
  CHECK_EQUAL(all, 2);
  CHECK_EQUAL(end_of(&mine), 7);
  audit_end(&audit);
}

TEST_SUITE(process_stop, {"who_ends_politely_is_not_killed", who_ends_politely_is_not_killed, 0},
           {"without_a_group", without_a_group, 0}, {"with_a_group", with_a_group, 0}, {"with_a_session", with_a_session, 0},
           {"with_a_cgroup", with_a_cgroup, 0}, {"from_a_cgroup_nobody_escapes", from_a_cgroup_nobody_escapes, 0},
           {"nobody_else_is_killed", nobody_else_is_killed, 0},
           {"nor_is_anybody_in_it_left_out", nor_is_anybody_in_it_left_out, 0},
           {"who_is_waited_for_by_another_is_not_reaped", who_is_waited_for_by_another_is_not_reaped, 0},
           {"who_has_lost_his_main_thread_is_ended", who_has_lost_his_main_thread_is_ended, 0},
           
           {"who_forks_and_ends_for_ever_is_caught", who_forks_and_ends_for_ever_is_caught, 60},
           {"who_is_never_met_is_told", who_is_never_met_is_told, 0},
           {"who_cannot_be_met_has_his_grace", who_cannot_be_met_has_his_grace, 0},
           {"numbers_of_another_namespace_are_not_believed", numbers_of_another_namespace_are_not_believed, 0},
           {"with_one_descriptor_nobody_is_taken_for_gone", with_one_descriptor_nobody_is_taken_for_gone, 0},
           {"what_was_left_behind_is_ended", what_was_left_behind_is_ended, 0},
           {"those_who_fork_are_outrun", those_who_fork_are_outrun, 60}, {"who_would_not_die_is_told", who_would_not_die_is_told, 0},
           {"who_sleeps_in_the_kernel_is_told", who_sleeps_in_the_kernel_is_told, 0},
           {"without_descriptors_it_is_killed_nevertheless", without_descriptors_it_is_killed_nevertheless, 0},
           {"orphans_are_reaped_and_children_not", orphans_are_reaped_and_children_not, 0});
