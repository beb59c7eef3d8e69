// Waiting for an owner, for its death, and for one's turn.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "alive_help.h"

// A process that waits for life, then for death, and says what it saw.
typedef struct observer {
  const char *path;
  pid_t pid;
  int step;  // 1: saw life, 2: saw death
  muster_alive_found life, death;
} observer;

static void observe(void *context) {
  observer *o = context;
  CHECK_STATUS(muster_alive_wait(o->path, in_seconds(25), &o->life), 0);
  __atomic_store_n(&o->step, 1, __ATOMIC_SEQ_CST);
  CHECK_STATUS(muster_alive_wait_death(o->path, in_seconds(25), &o->death), 0);
  __atomic_store_n(&o->step, 2, __ATOMIC_SEQ_CST);
}

static observer *observer_start(const char *path) {
  observer *o = mmap(NULL, sizeof *o, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(o != MAP_FAILED);
  o->path = path;
  o->pid = test_fork(observe, o);
  CHECK(test_asleep(o->pid));
  return o;
}

static void await_step(const observer *o, int step) {
  for (int64_t end = test_now() + 25 * SECOND; __atomic_load_n(&o->step, __ATOMIC_SEQ_CST) < step; test_pause(100000))
    REQUIRE(test_now() < end);
}

static void end_by(owner *o, int way) {
  if (way == SIGKILL) {
    owner_kill(o);
  } else {
    owner_order(o, way);
    owner_join(o);
  }
}

// Someone sleeps until the owner appears, and again until it goes; whether the file is new or was left behind, and
// however it goes.
static void there_and_back(const char *path) {
  const int ways[] = {SIGKILL, RELEASE, ABANDON, EXIT};
  for (size_t i = 0; i < 4; i++) {
    for (int left_behind = 0; left_behind < 2; left_behind++) {
      owner former, next = owner_prepare(path);
      if (left_behind) former = owner_start(path), owner_kill(&former);
      CHECK_EQUAL(exists(path), left_behind);
      observer *o = observer_start(path);
      CHECK_EQUAL(o->step, 0);
      owner_order(&next, ACQUIRE);
      await_step(o, 1);
      CHECK_EQUAL(o->life.kind, MUSTER_ALIVE_HELD);
      CHECK_EQUAL(o->life.pid, next.pid);
      CHECK_EQUAL(o->life.start, next.start);
      CHECK(test_asleep(o->pid));
      CHECK_EQUAL(o->step, 1);
      end_by(&next, ways[i]);
      test_join(o->pid, 0);
      CHECK_EQUAL(o->step, 2);
      CHECK_EQUAL(o->death.kind, ways[i] == RELEASE ? MUSTER_ALIVE_NOTHING : MUSTER_ALIVE_CRASH);
      CHECK_EQUAL(o->death.pid, ways[i] == RELEASE ? 0 : next.pid);
      munmap(o, sizeof *o);
      unlink(path);
    }
  }
}

static void life_and_death_are_told(void) { there_and_back(alive_path_of("told")); }

// What a sandbox, or a limit, takes away: the result is the same, by other ways.
static void without_inotify(void) {
  refuse_call_with(SYS_inotify_init1, 0, 0, EMFILE);
  CHECK(inotify_init1(0) < 0);
  there_and_back(alive_path_of("no-inotify"));
}

static void without_watches(void) {
  refuse_call_with(SYS_inotify_add_watch, 0, 0, ENOSPC);
  CHECK(inotify_add_watch(0, "/", IN_CREATE) < 0 && errno == ENOSPC);
  there_and_back(alive_path_of("no-watches"));
}

static void without_pidfd(void) {
  refuse_call_with(SYS_pidfd_open, 0, 0, ENOSYS);
  CHECK(syscall(SYS_pidfd_open, getpid(), 0) < 0);
  there_and_back(alive_path_of("no-pidfd"));
}

static void without_either(void) {
  refuse_call_with(SYS_inotify_init1, 0, 0, EMFILE);
  CHECK(inotify_init1(0) < 0);
  refuse_call_with(SYS_pidfd_open, 0, 0, EPERM);
  CHECK(syscall(SYS_pidfd_open, getpid(), 0) < 0);
  there_and_back(alive_path_of("neither"));
}

static int entries(const char *folder) {
  char command[600];
  snprintf(command, sizeof command, "ls -A '%s' | wc -l", folder);
  FILE *pipe = popen(command, "r");
  int count = -1;
  REQUIRE(pipe && fscanf(pipe, "%d", &count) == 1);
  pclose(pipe);
  return count;
}

static void without_unnamed_files(void) {
  // The bit of O_TMPFILE that is not O_DIRECTORY's.
  refuse_call_with(SYS_openat, 2, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP);
  CHECK(openat(AT_FDCWD, "/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) < 0 && errno == EOPNOTSUPP);
  there_and_back(alive_path_of("no-tmpfile"));
  CHECK_EQUAL(entries(test_folder()), 0);
}

static void without_unnamed_files_or_renaming(void) {
  refuse_call_with(SYS_openat, 2, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP);
  CHECK(openat(AT_FDCWD, "/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) < 0 && errno == EOPNOTSUPP);
  refuse_call_with(SYS_renameat2, 0, 0, EINVAL);
  there_and_back(alive_path_of("no-rename"));
  CHECK_EQUAL(entries(test_folder()), 0);
}

static void without_links_by_descriptor(void) {
  refuse_call_with(SYS_linkat, 4, AT_EMPTY_PATH, EPERM);
  CHECK(linkat(0, "", AT_FDCWD, "/none/none", AT_EMPTY_PATH) < 0 && errno == EPERM);
  there_and_back(alive_path_of("no-empty-path"));
  CHECK_EQUAL(entries(test_folder()), 0);
}

static void a_wait_that_is_over_returns_at_once(void) {
  const char *path = alive_path_of("over");
  muster_alive_found found;
  owner o = owner_start(path);
  CHECK_STATUS(muster_alive_wait(path, MUSTER_DEADLINE_NOW, &found), 0);
  CHECK_EQUAL(found.pid, o.pid);
  CHECK_STATUS(muster_alive_wait(path, MUSTER_DEADLINE_NEVER, NULL), 0);
  CHECK_STATUS(muster_alive_wait_death(path, MUSTER_DEADLINE_NOW, &found), ETIMEDOUT);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_HELD);
  CHECK_EQUAL(found.pid, o.pid);
  owner_kill(&o);
  CHECK_STATUS(muster_alive_wait_death(path, MUSTER_DEADLINE_NEVER, &found), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_CRASH);
  CHECK_STATUS(muster_alive_wait_death(path, MUSTER_DEADLINE_NOW, NULL), 0);
  CHECK_STATUS(muster_alive_wait(path, MUSTER_DEADLINE_NOW, NULL), ETIMEDOUT);
}

static void deadlines_are_kept(void) {
  const char *path = alive_path_of("late");
  for (int i = 0; i < 20; i++) {
    muster_deadline deadline = muster_deadline_after(3000000);
    CHECK_STATUS(muster_alive_wait(path, deadline, NULL), ETIMEDOUT);
    CHECK(muster_deadline_passed(deadline));
  }
  owner o = owner_start(path);
  muster_alive *alive;
  for (int i = 0; i < 20; i++) {
    muster_alive_found found;
    muster_deadline deadline = muster_deadline_after(3000000);
    CHECK_STATUS(muster_alive_acquire(path, 0, deadline, &found, &alive), ETIMEDOUT);
    CHECK(muster_deadline_passed(deadline));
    CHECK(found.kind == MUSTER_ALIVE_HELD && found.pid == o.pid && !alive);
  }
  owner_kill(&o);
}

typedef struct turn {
  const char *path;
  muster_alive_found found;
  int done;
} turn;

// To try is an event for all who wait; somebody who comes again and again without waiting looks only.
static void a_deadline_that_is_over_wakes_nobody(void) {
  const char *path = alive_path_of("over");
  owner o = owner_start(path);
  int events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  REQUIRE(events >= 0 && inotify_add_watch(events, path, IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB) >= 0);
  muster_alive_found found;
  muster_alive *alive;
  for (muster_deadline over = MUSTER_DEADLINE_NOW; over <= MUSTER_DEADLINE_NOW + 1; over++) {
    CHECK_STATUS(muster_alive_acquire(path, 0, over, &found, &alive), over == MUSTER_DEADLINE_NOW ? EBUSY : ETIMEDOUT);
    CHECK_EQUAL(found.pid, o.pid);
  }
  char event[4096];
  CHECK(read(events, event, sizeof event) < 0 && errno == EAGAIN);
  CHECK(!close(events));
  owner_kill(&o);
}

static void take_turn(void *context) {
  turn *t = context;
  muster_alive *alive;
  CHECK_STATUS(muster_alive_acquire(t->path, 0, in_seconds(25), &t->found, &alive), 0);
  CHECK_STATUS(muster_alive_current(alive), 0);
  __atomic_add_fetch(&t->done, 1, __ATOMIC_SEQ_CST);
  CHECK_STATUS(muster_alive_release(alive), 0);
}

// An acquirer sleeps until the owner goes, and is told how it went.
static void acquiring_waits_its_turn(void) {
  const char *path = alive_path_of("turn");
  const int ways[] = {SIGKILL, RELEASE, ABANDON};
  turn *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(t != MAP_FAILED);
  t->path = path;
  for (size_t i = 0; i < 3; i++) {
    owner o = owner_start(path);
    pid_t next = test_fork(take_turn, t);
    CHECK(test_asleep(next));
    CHECK_EQUAL(t->done, (int)i);
    end_by(&o, ways[i]);
    test_join(next, 0);
    CHECK_EQUAL(t->done, (int)i + 1);
    CHECK_EQUAL(t->found.kind, ways[i] == RELEASE ? MUSTER_ALIVE_NOTHING : MUSTER_ALIVE_CRASH);
    CHECK_EQUAL(t->found.pid, ways[i] == RELEASE ? 0 : o.pid);
  }
}

static void everyone_gets_a_turn(void) {
  turn *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(t != MAP_FAILED);
  t->path = alive_path_of("queue");
  owner o = owner_start(t->path);
  pid_t pids[12];
  for (int i = 0; i < 12; i++) pids[i] = test_fork(take_turn, t);
  for (int i = 0; i < 12; i++) CHECK(test_asleep(pids[i]));
  owner_kill(&o);
  for (int i = 0; i < 12; i++) test_join(pids[i], 0);
  CHECK_EQUAL(t->done, 12);
  CHECK(!exists(t->path));
}

static void *wait_in_thread(void *context) {
  turn *t = context;
  muster_alive_found found;
  CHECK_STATUS(muster_alive_wait_death(t->path, in_seconds(25), &found), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_CRASH);
  __atomic_add_fetch(&t->done, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

// More waits at once than inotify instances are kept.
static void many_threads_wait(void) {
  turn t = {.path = alive_path_of("many")};
  int before = descriptors();
  for (int round = 0; round < 3; round++) {
    owner o = owner_start(t.path);
    pthread_t threads[20];
    for (int i = 0; i < 20; i++) REQUIRE(!pthread_create(&threads[i], NULL, wait_in_thread, &t));
    test_pause(20000000);
    owner_kill(&o);
    for (int i = 0; i < 20; i++) pthread_join(threads[i], NULL);
  }
  CHECK_EQUAL(t.done, 60);
  CHECK(descriptors() <= before + 8);
}

static void ignore(int signal) { (void)signal; }

static void signals_do_not_end_a_wait(void) {
  const char *path = alive_path_of("signals");
  struct sigaction action = {.sa_handler = ignore};
  REQUIRE(!sigaction(SIGALRM, &action, NULL));
  owner o = owner_start(path);
  struct itimerval timer = {.it_interval = {.tv_usec = 300}, .it_value = {.tv_usec = 300}};
  REQUIRE(!setitimer(ITIMER_REAL, &timer, NULL));
  muster_deadline deadline = muster_deadline_after(100000000);
  CHECK_STATUS(muster_alive_wait_death(path, deadline, NULL), ETIMEDOUT);
  CHECK(muster_deadline_passed(deadline));
  for (int i = 0; i < 100; i++) {
    muster_alive *alive;
    muster_alive_found found;
    CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), EBUSY);
    CHECK_EQUAL(found.pid, o.pid);
  }
  owner_kill(&o);
}

static void make_noise(void *context) {
  (void)context;
  char name[600];
  for (unsigned i = 0;; i++) {
    snprintf(name, sizeof name, "%s/noise-%u", test_folder(), i % 100);
    spit(name, "x", 1);
    unlink(name);
  }
}

static void a_busy_folder_is_no_hindrance(void) {
  const char *path = alive_path_of("quiet");
  pid_t noise = test_fork(make_noise, NULL);
  there_and_back(path);
  kill(noise, SIGKILL);
  test_join(noise, SIGKILL);
}

typedef struct expectation {
  const char *path;
  int status;
} expectation;

static void wait_and_expect(void *context) {
  const expectation *e = context;
  CHECK_STATUS(muster_alive_wait(e->path, in_seconds(25), NULL), e->status);
}

static void the_folder_may_go_or_change(void) {
  const char *folder = alive_path_of("folder"), *other = alive_path_of("other"), *path = alive_path_of("folder/file");
  CHECK_STATUS(muster_alive_wait(path, in_seconds(25), NULL), ENOENT);
  CHECK_STATUS(muster_alive_wait_death(path, in_seconds(25), NULL), ENOENT);
  REQUIRE(!mkdir(folder, 0700));
  expectation e = {.path = path, .status = ENOENT};
  pid_t pid = test_fork(wait_and_expect, &e);
  CHECK(test_asleep(pid));
  REQUIRE(!rmdir(folder));
  test_join(pid, 0);
  // Another folder takes its place, in one step, with a living owner in it.
  REQUIRE(!mkdir(folder, 0700) && !mkdir(other, 0700));
  e.status = 0;
  pid = test_fork(wait_and_expect, &e);
  CHECK(test_asleep(pid));
  owner o = owner_start(alive_path_of("other/file"));
  REQUIRE(!syscall(SYS_renameat2, AT_FDCWD, folder, AT_FDCWD, other, 2));
  test_join(pid, 0);
  owner_kill(&o);
}

// A file that somebody takes away by hand is one that nobody holds.
static void removal_by_hand_ends_a_wait(void) {
  const char *path = alive_path_of("by-hand");
  owner o = owner_start(path);
  observer *seen = observer_start(path);
  await_step(seen, 1);
  CHECK(test_asleep(seen->pid));
  REQUIRE(!unlink(path));
  test_join(seen->pid, 0);
  CHECK_EQUAL(seen->death.kind, MUSTER_ALIVE_NOTHING);
  owner_kill(&o);
}

// Owns by way of the first process of another pid namespace, until it is told to kill that.
static void own_elsewhere(void *context) {
  turn *t = context;
  if (unshare(CLONE_NEWPID)) {
    __atomic_store_n(&t->done, -errno, __ATOMIC_SEQ_CST);
    return;
  }
  owner o = owner_start(t->path);
  __atomic_store_n(&t->done, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&t->done, __ATOMIC_SEQ_CST) == 1) test_pause(100000);
  owner_kill(&o);
}

// The owner's number means another process here: its death is told by the file alone.
static void an_owner_in_another_pid_namespace(void) {
  turn *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(t != MAP_FAILED);
  t->path = alive_path_of("namespace");
  pid_t pid = test_fork(own_elsewhere, t);
  while (!__atomic_load_n(&t->done, __ATOMIC_SEQ_CST)) test_pause(100000);
  if (t->done < 0) {
    test_join(pid, 0);
    test_skip("no pid namespace: %s", strerror(-t->done));
  }
  observer *o = observer_start(t->path);
  await_step(o, 1);
  CHECK_EQUAL(o->life.pid, 1);
  CHECK(test_asleep(o->pid));
  __atomic_store_n(&t->done, 2, __ATOMIC_SEQ_CST);
  test_join(o->pid, 0);
  CHECK_EQUAL(o->death.kind, MUSTER_ALIVE_CRASH);
  CHECK_EQUAL(o->death.pid, 1);
  test_join(pid, 0);
}

static void random_owners_are_followed(void) {
  uint64_t seed = test_seed();
  const char *path = alive_path_of("random");
  for (int i = 0; i < 30; i++) {
    owner next = owner_prepare(path);
    observer *o = mmap(NULL, sizeof *o, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(o != MAP_FAILED);
    o->path = path;
    o->pid = test_fork(observe, o);
    test_pause((int64_t)(test_random(&seed) % 400000));
    owner_order(&next, ACQUIRE);
    await_step(o, 1);
    test_pause((int64_t)(test_random(&seed) % 400000));
    const int ways[] = {SIGKILL, RELEASE, ABANDON};
    int way = ways[test_random(&seed) % 3];
    end_by(&next, way);
    test_join(o->pid, 0);
    CHECK_EQUAL(o->life.pid, next.pid);
    CHECK_EQUAL(o->death.kind, way == RELEASE ? MUSTER_ALIVE_NOTHING : MUSTER_ALIVE_CRASH);
    munmap(o, sizeof *o);
  }
}

TEST_SUITE(alive_wait, {"life_and_death_are_told", life_and_death_are_told, 0}, {"without_inotify", without_inotify, 0},
           {"without_watches", without_watches, 0}, {"without_pidfd", without_pidfd, 0},
           {"without_either", without_either, 0}, {"without_unnamed_files", without_unnamed_files, 0},
           {"without_unnamed_files_or_renaming", without_unnamed_files_or_renaming, 0},
           {"without_links_by_descriptor", without_links_by_descriptor, 0},
           {"a_wait_that_is_over_returns_at_once", a_wait_that_is_over_returns_at_once, 0},
           {"deadlines_are_kept", deadlines_are_kept, 0},
           {"a_deadline_that_is_over_wakes_nobody", a_deadline_that_is_over_wakes_nobody, 0},
           {"acquiring_waits_its_turn", acquiring_waits_its_turn, 0}, {"everyone_gets_a_turn", everyone_gets_a_turn, 0},
           {"many_threads_wait", many_threads_wait, 0}, {"signals_do_not_end_a_wait", signals_do_not_end_a_wait, 0},
           {"a_busy_folder_is_no_hindrance", a_busy_folder_is_no_hindrance, 0},
           {"the_folder_may_go_or_change", the_folder_may_go_or_change, 0},
           {"removal_by_hand_ends_a_wait", removal_by_hand_ends_a_wait, 0},
           {"an_owner_in_another_pid_namespace", an_owner_in_another_pid_namespace, 0},
           {"random_owners_are_followed", random_owners_are_followed, 0});
