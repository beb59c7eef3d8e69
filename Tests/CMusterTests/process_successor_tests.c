// What another has started is known by the number that he chose for it: when he is dead, and its guard, and it as well.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/process_stop.h"
#include "process_support.h"

typedef struct starter {
  uint32_t gate;
  uint64_t tree;
  uint64_t start;
  int32_t pid;
  uint32_t flags;
  uint32_t has;  // the flags of its handle
  const char *script;
  int ends[2];
} starter;

// The script tells the number of one of its processes.
static void start_and_stay(void *context) {
  starter *with = context;
  muster_process process;
  muster_process_sample sample;
  muster_process_options options = shell(with->script);
  options.flags = with->flags | MUSTER_PROCESS_GROUP;
  options.tree = with->tree;
  options.streams[1] = (muster_process_stream){MUSTER_PROCESS_STREAM_DESCRIPTOR, with->ends[1]};
  CHECK_STATUS(muster_process_spawn(&options, &process, NULL), 0);
  CHECK_EQUAL(process.tree, with->tree);
  CHECK_STATUS(muster_process_look(&process, &sample), 0);
  with->start = sample.start;
  with->pid = process.pid;
  with->has = process.flags;
  gate_open(&with->gate, 1);
  for (;;) pause();
}

static int32_t read_number(int from) {
  char text[32] = "";
  ssize_t length = read(from, text, sizeof text - 1);
  REQUIRE(length > 0);
  return atoi(text);
}

// Starts it by another process, which is killed then, as its guard is. Returns the number that the script has told.
static int32_t leave_behind(starter *with) {
  REQUIRE(!pipe(with->ends));
  pid_t parent = test_fork(start_and_stay, with);
  gate_pass(&with->gate, 1);
  int32_t told = read_number(with->ends[0]);
  close(with->ends[0]);
  close(with->ends[1]);
  pid_t guard = find_guard(parent);
  CHECK_EQUAL(guard != 0, (with->flags & MUSTER_PROCESS_GUARD) != 0);
  if (guard) kill(guard, SIGKILL);
  kill_process(parent);
  return told;
}

static void end_main(const starter *with) {
  muster_process process;
  REQUIRE(!muster_process_open(with->pid, with->start, &process));
  CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
  CHECK_STATUS(muster_process_wait(&process, soon(), NULL), 0);
  muster_process_close(&process);
}

static starter *begin(const char *script, uint32_t flags) {
  starter *with = shared_memory(sizeof *with);
  with->script = script;
  with->flags = flags;
  with->tree = UINT64_C(0x5eed000000000000) | (uint64_t)getpid();
  // The orphans have to be seen dead by somebody.
  CHECK_STATUS(muster_process_become_subreaper(), 0);
  return with;
}

static void is_ended(muster_process *process, int32_t other, muster_process_stop_report *report) {
  muster_process away;
  muster_process_stop_options now = {.deadline = soon()};
  CHECK_STATUS(muster_process_open(other, 0, &away), 0);
  CHECK_STATUS(muster_process_stop(process, &now, report), 0);
  muster_process_close(process);
  int32_t status = muster_process_wait(&away, muster_deadline_after(1000000000), NULL);
  CHECK_STATUS(status, 0);
  // Lest a failure leave it.
  if (status) CHECK_STATUS(muster_process_signal(&away, SIGKILL), 0);
  muster_process_close(&away);
  CHECK_STATUS(muster_process_reap_orphans(NULL, 0, NULL), 0);
}

// In a session of its own, without parents, without the number in its environment.
#define ESCAPES "(env -i /bin/sh -c 'setsid sh -c \"echo \\$\\$; exec sleep 1000\" &') ; exec sleep 1000"

static void from_a_cgroup(int main_lives, int elsewhere) {
  process_audit audit = audit_begin();
  starter *with = begin(ESCAPES, MUSTER_PROCESS_CGROUP | MUSTER_PROCESS_GUARD);
  int32_t away = leave_behind(with);
  if (!main_lives) end_main(with);
  muster_process process;
  muster_process_stop_report report;
  CHECK_STATUS(muster_process_open_tree(main_lives ? with->pid : 0, with->start, with->tree, with->has, &process), 0);
  if (!(with->has & MUSTER_PROCESS_CGROUP)) {
    kill(away, SIGKILL);
    is_ended(&process, with->pid, NULL);
    test_skip("no cgroup of our own may be made here");
  }
  CHECK(process.cgroup >= 0);
  if (elsewhere) {
    // As one whose own cgroup is another, and does not find it below.
    muster_process found = process;
    found.pidfd = found.ready = found.guard = -1;
    process.cgroup = -1;
    is_ended(&process, away, &report);
    // A shell in between may just be ending.
    CHECK(report.found > (uint32_t)main_lives);
    muster_process_close(&found);
  } else {
    is_ended(&process, away, &report);
    CHECK_EQUAL(report.cgroup, 1);
  }
  // Its folder has gone with it.
  CHECK_STATUS(muster_process_open_tree(0, 0, with->tree, MUSTER_PROCESS_CGROUP, &process), 0);
  CHECK_EQUAL(process.cgroup, -1);
  muster_process_close(&process);
  audit_end(&audit);
}

static void who_escaped_is_found_by_its_cgroup(void) { from_a_cgroup(1, 0); }
static void also_when_its_main_process_is_gone(void) { from_a_cgroup(0, 0); }
static void and_by_who_is_in_another_cgroup(void) { from_a_cgroup(1, 1); }

static void without_a_cgroup_it_is_found_by_the_number(void) {
  process_audit audit = audit_begin();
  starter *with = begin("(setsid sh -c 'echo $$; exec sleep 1000' &) ; exec sleep 1000", 0);
  int32_t away = leave_behind(with);
  end_main(with);
  muster_process process;
  muster_process_stop_report report;
  // Its number may be another's by now.
  CHECK_STATUS(muster_process_open_tree(getpid(), 1, with->tree, with->flags, &process), 0);
  CHECK(process.pid == 0 && process.end.kind == MUSTER_PROCESS_UNKNOWN);
  CHECK_STATUS(muster_process_wait(&process, MUSTER_DEADLINE_NOW, NULL), 0);
  CHECK_STATUS(muster_process_signal(&process, SIGTERM), ESRCH);
  is_ended(&process, away, &report);
  CHECK(report.found >= 1);
  audit_end(&audit);
}

// Without a number in the environment, and with its parent: by the group that the main process leads.
static void who_lives_is_ended_with_its_group(void) {
  process_audit audit = audit_begin();
  starter *with = begin("(env -i /bin/sh -c 'exec sh -c \"echo \\$\\$; exec sleep 1000\" &') ; exec sleep 1000", 0);
  int32_t away = leave_behind(with);
  muster_process process;
  muster_process_stop_report report;
  CHECK_STATUS(muster_process_open_tree(with->pid, with->start, with->tree, MUSTER_PROCESS_GROUP, &process), 0);
  CHECK(process.pid == with->pid && process.end.kind == MUSTER_PROCESS_LIVES);
  is_ended(&process, away, &report);
  CHECK(report.found >= 2);
  audit_end(&audit);
}

// Without its main process, by the time when that was started: who is older is another's, though he has the number.
static void who_is_older_is_left_alone(void) {
  process_audit audit = audit_begin();
  starter *with = begin("echo $$; exec sleep 1000", 0);
  leave_behind(with);
  muster_process process;
  muster_process_stop_report report;
  muster_process_stop_options now = {.deadline = soon()};
  // A number that nobody has.
  CHECK_STATUS(muster_process_open_tree(INT32_MAX, with->start + 1, with->tree, with->flags, &process), 0);
  CHECK_STATUS(muster_process_stop(&process, &now, &report), 0);
  CHECK_EQUAL(report.found, 0);
  muster_process_close(&process);
  CHECK_STATUS(muster_process_open_tree(INT32_MAX, with->start, with->tree, with->flags, &process), 0);
  is_ended(&process, with->pid, &report);
  CHECK_EQUAL(report.found, 1);
  audit_end(&audit);
}

static void what_is_no_tree_is_refused(void) {
  muster_process process;
  CHECK_STATUS(muster_process_open_tree(getpid(), 0, 0, 0, &process), EINVAL);
  CHECK_STATUS(muster_process_open_tree(-1, 0, 1, 0, &process), EINVAL);
  CHECK_STATUS(muster_process_stop(&process, &(muster_process_stop_options){0}, NULL), EINVAL);
  // One of which it is not known when it was started may be another.
  CHECK_STATUS(muster_process_open_tree(getpid(), 0, 1, 0, &process), 0);
  CHECK(process.pid == 0 && process.pidfd == -1);
  muster_process_close(&process);
}

TEST_SUITE(process_successor, {"who_escaped_is_found_by_its_cgroup", who_escaped_is_found_by_its_cgroup, 0},
           {"also_when_its_main_process_is_gone", also_when_its_main_process_is_gone, 0},
           {"and_by_who_is_in_another_cgroup", and_by_who_is_in_another_cgroup, 0},
           {"without_a_cgroup_it_is_found_by_the_number", without_a_cgroup_it_is_found_by_the_number, 0},
           {"who_lives_is_ended_with_its_group", who_lives_is_ended_with_its_group, 0},
           {"who_is_older_is_left_alone", who_is_older_is_left_alone, 0},
           {"what_is_no_tree_is_refused", what_is_no_tree_is_refused, 0});
