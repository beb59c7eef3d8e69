// The folders of cgroups: whoever dies, and whoever closes what still lives, they are removed in the end, and never under who needs them.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal/process_tree.h"
#include "process_support.h"

static void folder_of(const muster_process *process, char folder[PATH_MAX]) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", process->cgroup);
  ssize_t length = readlink(path, folder, PATH_MAX - 1);
  REQUIRE(length > 0);
  folder[length] = 0;
}

static void start_in_cgroup(muster_process *process, const char *script, uint32_t flags, char folder[PATH_MAX]) {
  start_shell(process, script, flags | MUSTER_PROCESS_CGROUP);
  if (process->cgroup < 0) {
    muster_process_stop_options now = {.deadline = soon()};
    CHECK_STATUS(muster_process_stop(process, &now, NULL), 0);
    test_skip("no cgroup of our own may be made here");
  }
  folder_of(process, folder);
}

static int stands(const char *folder) { return access(folder, F_OK) == 0; }

static void kill_and_reap(pid_t pid) {
  CHECK_EQUAL(kill(pid, SIGKILL), 0);
  CHECK_EQUAL(waitpid(pid, NULL, 0), pid);
}

// The next removes it: but that another process, which looks as well, has it in its hands just then; that is seen by the one after.
static void starts_until_gone(const char *folder) {
  muster_process other;
  char second[PATH_MAX];
  muster_deadline end = soon();
  do {
    start_in_cgroup(&other, "exit 0", 0, second);
    CHECK_EQUAL(end_of(&other), 0);
    CHECK(!stands(second));
  } while (stands(folder) && !muster_deadline_passed(end));
  CHECK(!stands(folder));
}

static void what_is_closed_alive_is_removed_by_the_next(void) {
  process_audit audit = audit_begin();
  muster_process process, other;
  char folder[PATH_MAX], second[PATH_MAX];
  start_in_cgroup(&process, "exec sleep 1000", 0, folder);
  pid_t pid = process.pid;
  muster_process_close(&process);
  // Somebody lives in it: it stays, also when others are made.
  start_in_cgroup(&other, "exit 0", 0, second);
  CHECK_EQUAL(end_of(&other), 0);
  CHECK(stands(folder) && !stands(second));
  kill_and_reap(pid);
  starts_until_gone(folder);
  audit_end(&audit);
}

// Another looks as well, since before its last one ended: he goes away without it, and so do we at first.
static void what_another_looks_at_is_not_forgotten(void) {
  process_audit audit = audit_begin();
  muster_process process, other;
  char folder[PATH_MAX], second[PATH_MAX];
  start_in_cgroup(&process, "exec sleep 1000", 0, folder);
  pid_t pid = process.pid;
  muster_process_close(&process);
  int looks = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  REQUIRE(looks >= 0 && !flock(looks, LOCK_EX));
  kill_and_reap(pid);
  start_in_cgroup(&other, "exit 0", 0, second);
  CHECK_EQUAL(end_of(&other), 0);
  CHECK(stands(folder));
  close(looks);
  starts_until_gone(folder);
  audit_end(&audit);
}

static void a_guard_removes_it_at_once(void) {
  process_audit audit = audit_begin();
  muster_process process, none = {.pidfd = -1, .ready = -1, .cgroup = -1, .guard = -1};
  char folder[PATH_MAX];
  start_in_cgroup(&process, "exec sleep 1000", MUSTER_PROCESS_GUARD, folder);
  pid_t pid = process.pid, guard = find_guard(getpid());
  CHECK(guard > 0);
  muster_process_close(&process);
  CHECK(stands(folder));
  kill_and_reap(pid);
  for (muster_deadline end = soon(); *status_line(guard, "State") != 'Z' && !muster_deadline_passed(end);) test_pause(1000000);
  CHECK(!stands(folder));
  muster_process_close(&none);
  audit_end(&audit);
}

// Nobody lives in it, but its handle is held: those who are left behind by it would be found there.
static void what_is_held_is_nobody_elses(void) {
  process_audit audit = audit_begin();
  muster_process process, other;
  char folder[PATH_MAX], second[PATH_MAX];
  start_in_cgroup(&process, "exit 0", 0, folder);
  CHECK_STATUS(muster_process_wait(&process, soon(), NULL), 0);
  pid_t pid = fork();
  if (pid == 0) {
    // Looks for what was left, as each process does at its first.
    start_in_cgroup(&other, "exit 0", 0, second);
    CHECK_EQUAL(end_of(&other), 0);
    _exit(test_result());
  }
  test_join(pid, 0);
  CHECK(stands(folder));
  muster_process_close(&process);
  CHECK(!stands(folder));
  audit_end(&audit);
}

typedef struct maker {
  uint32_t gate;
  int32_t pid;
  char folder[PATH_MAX];
} maker;

static void make_and_stay(void *context) {
  maker *with = context;
  muster_process process;
  start_shell(&process, "exec sleep 1000", MUSTER_PROCESS_CGROUP);
  if (process.cgroup < 0) {
    CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
    CHECK_EQUAL(end_of(&process), -SIGKILL);
    gate_open(&with->gate, 2);
    return;
  }
  folder_of(&process, with->folder);
  with->pid = process.pid;
  gate_open(&with->gate, 1);
  for (;;) pause();
}

static void what_a_killed_one_made_is_removed_by_the_next(void) {
  maker *with = shared_memory(sizeof *with);
  muster_process process;
  char below[PATH_MAX + 8];
  pid_t parent = test_fork(make_and_stay, with);
  if (gate_pass(&with->gate, 1) == 2) test_skip("no cgroup of our own may be made here");
  snprintf(below, sizeof below, "%s/below", with->folder);
  CHECK_EQUAL(mkdir(below, 0755), 0);
  kill_process(parent);
  CHECK(stands(with->folder));
  REQUIRE(!muster_process_open(with->pid, 0, &process));
  CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
  CHECK_STATUS(muster_process_wait(&process, soon(), NULL), 0);
  muster_process_close(&process);
  // By another process, at its first.
  pid_t pid = fork();
  if (pid == 0) {
    starts_until_gone(with->folder);
    _exit(test_result());
  }
  test_join(pid, 0);
}

// Many at a time, which all look for what was left: each keeps its own until it is closed.
static void make_many(void *context) {
  (void)context;
  for (int i = 0; i < 15; i++) {
    muster_process process, left;
    char folder[PATH_MAX], other[PATH_MAX];
    start_in_cgroup(&process, "exit 3", 0, folder);
    start_in_cgroup(&left, "exec sleep 1000", 0, other);
    pid_t pid = left.pid;
    muster_process_close(&left);
    kill_and_reap(pid);
    CHECK_STATUS(muster_process_wait(&process, soon(), NULL), 0);
    CHECK(stands(folder));
    CHECK_EQUAL(end_of(&process), 3);
    CHECK(!stands(folder));
  }
  muster_process last;
  char folder[PATH_MAX];
  start_in_cgroup(&last, "exit 0", 0, folder);
  CHECK_EQUAL(end_of(&last), 0);
}

static void who_looks_for_the_left_harms_no_fresh_one(void) {
  muster_process process;
  char folder[PATH_MAX];
  start_in_cgroup(&process, "exit 0", 0, folder);
  CHECK_EQUAL(end_of(&process), 0);
  pid_t makers[4];
  for (int i = 0; i < 4; i++) makers[i] = test_fork(make_many, NULL);
  for (int i = 0; i < 4; i++) test_join(makers[i], 0);
}

static void await_empty(void *context) { CHECK(muster_process_cgroup_empty_by(*(int *)context, MUSTER_DEADLINE_NEVER)); }

// Whether it comes to have a file of that name open.
static int comes_to_open(pid_t pid, const char *name) {
  for (muster_deadline end = soon(); !muster_deadline_passed(end); test_pause(1000000)) {
    for (int i = 3; i < 64; i++) {
      char path[64], to[PATH_MAX];
      snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, i);
      ssize_t length = readlink(path, to, sizeof to - 1);
      to[length > 0 ? length : 0] = 0;
      if (strstr(to, name)) return 1;
    }
  }
  return 0;
}

// By its guard, or by who looks for the left: while another waits for its last one to end.
static void what_is_removed_meanwhile_is_empty(void) {
  process_audit audit = audit_begin();
  muster_process process;
  char folder[PATH_MAX];
  start_in_cgroup(&process, "exec sleep 1000", 0, folder);
  pid_t waits = test_fork(await_empty, &process.cgroup);
  CHECK(comes_to_open(waits, "cgroup.events"));
  CHECK_EQUAL(kill(waits, SIGSTOP), 0);
  CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  CHECK(!stands(folder));
  CHECK_EQUAL(kill(waits, SIGCONT), 0);
  test_join(waits, 0);
  audit_end(&audit);
}

static int is_member(const char *folder, int32_t pid) {
  char path[PATH_MAX + 16], line[32];
  int is = 0;
  snprintf(path, sizeof path, "%s/cgroup.procs", folder);
  FILE *file = fopen(path, "re");
  REQUIRE(file);
  while (fgets(line, sizeof line, file)) is |= atoi(line) == pid;
  fclose(file);
  return is;
}

static void start_refused(void *context) {
  muster_process process;
  char folder[PATH_MAX];
  int32_t *pid = context;
  muster_process_stop_options now = {.deadline = soon()};
  start_shell(&process, "exec sleep 1000", MUSTER_PROCESS_CGROUP);
  if (process.cgroup >= 0) {
    folder_of(&process, folder);
    CHECK(is_member(folder, process.pid));
    *pid = process.pid;
  }
  CHECK_STATUS(muster_process_stop(&process, &now, NULL), 0);
  muster_process_close(&process);
  CHECK(!*pid || !stands(folder));
}

// Nobody can write to its file: so it did not move there.
static void start_without_moving(void *context) {
  refuse_flags(SYS_openat, 2, O_WRONLY, EACCES);
  start_refused(context);
}

static void start_by_moving(void *context) {
  refuse_flags(SYS_clone3, 0, ~0U, ENOSYS);
  start_refused(context);
}

static void start_in(void (*way)(void *)) {
  int32_t *pid = shared_memory(sizeof *pid);
  pid_t parent = test_fork(way, pid);
  test_join(parent, 0);
  if (!*pid) test_skip("no cgroup of our own may be made here");
}

static void it_is_made_there(void) {
#if defined(__x86_64__) && defined(__LP64__)
  start_in(start_without_moving);
#else
  test_skip("made elsewhere, and moved there");
#endif
}

static void where_it_cannot_be_it_moves_there(void) { start_in(start_by_moving); }

TEST_SUITE(process_cgroup, {"what_is_closed_alive_is_removed_by_the_next", what_is_closed_alive_is_removed_by_the_next, 0},
           {"what_another_looks_at_is_not_forgotten", what_another_looks_at_is_not_forgotten, 0},
           {"a_guard_removes_it_at_once", a_guard_removes_it_at_once, 0},
           {"what_is_removed_meanwhile_is_empty", what_is_removed_meanwhile_is_empty, 0},
           {"it_is_made_there", it_is_made_there, 0},
           {"where_it_cannot_be_it_moves_there", where_it_cannot_be_it_moves_there, 0},
           {"what_is_held_is_nobody_elses", what_is_held_is_nobody_elses, 0},
           {"what_a_killed_one_made_is_removed_by_the_next", what_a_killed_one_made_is_removed_by_the_next, 0},
           {"who_looks_for_the_left_harms_no_fresh_one", who_looks_for_the_left_harms_no_fresh_one, 60});
