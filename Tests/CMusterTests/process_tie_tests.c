// Lives that are tied to this process's: by the kernel, and by a guard.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_support.h"

typedef struct shared {
  uint32_t gate;
  uint32_t flags;
  int threaded;
  int32_t guarded;
  uint64_t tree;
  const char *script;
} shared;

static void *start_tied(void *context) {
  shared *with = context;
  muster_process process;
  start_shell(&process, with->script, with->flags);
  with->guarded = process.guard >= 0;
  with->tree = process.tree;
  return NULL;
}

// A parent of its own for the child, which is killed in the end.
static void start_and_stay(void *context) {
  shared *with = context;
  pthread_t thread;
  if (with->threaded) {
    REQUIRE(!pthread_create(&thread, NULL, start_tied, context));
    pthread_join(thread, NULL);
  } else {
    start_tied(context);
  }
  gate_open(&with->gate, 1);
  for (;;) pause();
}

static void dies_with_its_parent(uint32_t flags, int threaded, int guarded, const char *script, unsigned processes) {
  shared *with = shared_memory(sizeof *with);
  *with = (shared){.flags = flags, .threaded = threaded, .script = script};
  pid_t parent = test_fork(start_and_stay, with);
  gate_wait(&with->gate, 1);
  CHECK_EQUAL(with->guarded, guarded);
  // The thread that started it has ended by now, and it lives.
  CHECK(comes_to(with->tree, processes));
  kill_process(parent);
  CHECK(comes_to(with->tree, 0));
  orphans_end();
}

static void from_the_main_thread(void) { dies_with_its_parent(MUSTER_PROCESS_TIE, 0, 0, "exec sleep 1000", 1); }
static void from_another_thread(void) { dies_with_its_parent(MUSTER_PROCESS_TIE, 1, 1, "exec sleep 1000", 1); }

// Those of it that are in other groups and sessions, and whose parents are gone, too.
static void with_its_tree(void) {
  dies_with_its_parent(MUSTER_PROCESS_GUARD | MUSTER_PROCESS_GROUP, 0, 1,
                       "trap '' TERM HUP; sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sleep 1000; :' &) ; wait", 5);
}

static void with_its_thread(void) {
  shared *with = shared_memory(sizeof *with);
  *with = (shared){.flags = MUSTER_PROCESS_TIE_THREAD, .threaded = 1, .script = "exec sleep 1000"};
  pid_t parent = test_fork(start_and_stay, with);
  gate_wait(&with->gate, 1);
  CHECK_EQUAL(with->guarded, 0);
  CHECK(comes_to(with->tree, 0));
  kill_process(parent);
  orphans_end();
}

static void a_guard_is_modest(void) {
  process_audit audit = audit_begin();
  muster_process process;
  char path[64];
  int more = fcntl(0, F_DUPFD, 100);
  start_shell(&process, "exec sleep 1000", MUSTER_PROCESS_GUARD);
  pid_t guard = find_guard(getpid());
  CHECK(guard > 0 && process.guard >= 0);
  snprintf(path, sizeof path, "/proc/%d/fd", (int)guard);
  // Two pidfds: the socket is closed once it has them.
  for (muster_deadline end = soon(); count_names(path, "") != 2 && !muster_deadline_passed(end);) test_pause(1000000);
  CHECK_EQUAL(count_names(path, ""), 2);
  CHECK(getpgid(guard) == guard && getsid(guard) == guard);
  // Who waits for any child doesn't meet it, and none of these ends it.
  CHECK_EQUAL(waitpid(-1, NULL, WNOHANG), 0);
  for (int number = 1; number <= SIGRTMAX; number++)
    if (number != SIGKILL && number != SIGSTOP) kill(guard, number);
  CHECK(find_guard(getpid()) == guard);
  CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  close(more);
  audit_end(&audit);
}

// A handle that is closed leaves the tie; and whoever comes later sees to the guard.
static void a_guard_outlives_the_handle(void) {
  process_audit audit = audit_begin();
  muster_process process, other;
  start_shell(&process, "exec sleep 1000", MUSTER_PROCESS_GUARD);
  pid_t child = process.pid, guard = find_guard(getpid());
  muster_process_close(&process);
  CHECK(find_guard(getpid()) == guard);
  CHECK(kill(child, SIGKILL) == 0);
  CHECK_EQUAL(waitpid(child, NULL, 0), child);
  for (muster_deadline end = soon(); *status_line(guard, "State") != 'Z' && !muster_deadline_passed(end);) test_pause(1000000);
  start_shell(&other, "exit 0", 0);
  CHECK_EQUAL(end_of(&other), 0);
  audit_end(&audit);
}

// More than one would keep a list for: none of them stays when it has ended.
static void any_number_of_guards_outlive_their_handles(void) {
  enum { MOST = 70 };
  static pid_t children[MOST];
  process_audit audit = audit_begin();
  muster_process none = {.pidfd = -1, .ready = -1, .cgroup = -1, .guard = -1};
  for (int i = 0; i < MOST; i++) {
    muster_process process;
    muster_process_options options = {.path = "/bin/sleep", .arguments = (const char *const[]){"sleep", "1000", NULL},
                                      .flags = MUSTER_PROCESS_GUARD};
    REQUIRE(!muster_process_spawn(&options, &process, NULL));
    children[i] = process.pid;
    muster_process_close(&process);
  }
  for (int i = 0; i < MOST; i++) CHECK_EQUAL(kill(children[i], SIGKILL), 0);
  for (int i = 0; i < MOST; i++) CHECK_EQUAL(waitpid(children[i], NULL, 0), children[i]);
  for (muster_deadline end = soon(); find_guard(getpid()) && !muster_deadline_passed(end);) test_pause(1000000);
  muster_process_close(&none);
  audit_end(&audit);
}

// A fork that has closed what it inherited, as daemons do, may have anything by a number that was a guard's.
static void a_fork_keeps_its_own_descriptors(void) {
  muster_process process, none = {.pidfd = -1, .ready = -1, .cgroup = -1, .guard = -1};
  int ends[2];
  REQUIRE(!pipe2(ends, O_CLOEXEC) && write(ends[1], "", 1) == 1);
  start_shell(&process, "exec sleep 1000", MUSTER_PROCESS_GUARD);
  pid_t child = process.pid, guard = find_guard(getpid());
  int number = process.guard;
  muster_process_close(&process);
  pid_t pid = fork();
  if (pid == 0) {
    if (dup2(ends[0], number) != number) _exit(1);
    muster_process_close(&none);
    _exit(fcntl(number, F_GETFD) < 0 ? 2 : 0);
  }
  test_join(pid, 0);
  CHECK_EQUAL(kill(child, SIGKILL), 0);
  CHECK_EQUAL(waitpid(child, NULL, 0), child);
  for (muster_deadline end = soon(); *status_line(guard, "State") != 'Z' && !muster_deadline_passed(end);) test_pause(1000000);
  muster_process_close(&none);
  CHECK(!*status_line(guard, "State"));
}

// Its parent is killed at a random moment of a start: whatever has become of the child, it does not run on.
static void start_many(void *context) {
  shared *with = context;
  pthread_t thread;
  for (uint32_t i = 1; i <= 16; i++) {
    if (with->threaded) {
      REQUIRE(!pthread_create(&thread, NULL, start_tied, context));
      pthread_join(thread, NULL);
    } else {
      start_tied(context);
    }
    gate_open(&with->gate, i);
  }
  for (;;) pause();
}

static void no_moment_is_without_its_tie(void) {
  uint64_t seed = test_seed();
  shared *with = shared_memory(sizeof *with);
  // All of these have it, whatever number they have beside.
  uint64_t mark = test_random(&seed) | 1;
  char text[32];
  snprintf(text, sizeof text, "%016llx", (unsigned long long)mark);
  REQUIRE(!setenv("MUSTER_TREE", text, 1));
  for (unsigned i = 0; i < 40 / test_slower(); i++) {
    *with = (shared){.flags = i & 1 ? MUSTER_PROCESS_GUARD : MUSTER_PROCESS_TIE, .threaded = i & 2, .script = "exec sleep 1000"};
    pid_t parent = test_fork(start_many, with);
    gate_pass(&with->gate, 1 + i % 3);
    test_pause((int64_t)(test_random(&seed) % 2000000));
    kill_process(parent);
    CHECK(comes_to(mark, 0));
    orphans_end();
  }
}

TEST_SUITE(process_tie, {"from_the_main_thread", from_the_main_thread, 0}, {"from_another_thread", from_another_thread, 0},
           {"with_its_tree", with_its_tree, 0}, {"with_its_thread", with_its_thread, 0},
           {"a_guard_is_modest", a_guard_is_modest, 0}, {"a_guard_outlives_the_handle", a_guard_outlives_the_handle, 0},
           
           {"any_number_of_guards_outlive_their_handles", any_number_of_guards_outlive_their_handles, 0},
           {"a_fork_keeps_its_own_descriptors", a_fork_keeps_its_own_descriptors, 0},
           {"no_moment_is_without_its_tie", no_moment_is_without_its_tie, 60});
