// What an Alive file tells, and to whom it belongs.
// SPDX-License-Identifier: Apache-2.0
#include "muster/alive.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "alive_help.h"

static int64_t realtime(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * SECOND + now.tv_nsec;
}

static void check_probe(const char *path, muster_alive_kind kind, int32_t pid) {
  muster_alive_found found;
  CHECK_STATUS(muster_alive_probe(path, &found), 0);
  CHECK_EQUAL(found.kind, kind);
  CHECK_EQUAL(found.pid, pid);
}

static void a_clean_end_removes_the_file(void) {
  const char *path = alive_path_of("clean");
  umask(077);
  for (int i = 0; i < 3; i++) {
    muster_alive *alive;
    muster_alive_found found = {.kind = MUSTER_ALIVE_HELD, .pid = 1, .start = 1, .since = 1};
    CHECK(!exists(path));
    CHECK_STATUS(muster_alive_acquire(path, i == 2 ? 0640 : 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
    CHECK_EQUAL(found.kind, MUSTER_ALIVE_NOTHING);
    CHECK(found.pid == 0 && found.start == 0 && found.since == 0);
    struct stat status;
    REQUIRE(!stat(path, &status));
    CHECK_EQUAL(status.st_mode & 07777, i == 2 ? 0640 : 0644);
    check_probe(path, MUSTER_ALIVE_HELD, getpid());
    CHECK_STATUS(muster_alive_current(alive), 0);
    CHECK_STATUS(muster_alive_release(alive), 0);
    CHECK(!exists(path));
    check_probe(path, MUSTER_ALIVE_NOTHING, 0);
  }
  CHECK_EQUAL(umask(0), 077);
  CHECK_STATUS(muster_alive_release(NULL), 0);
  muster_alive_abandon(NULL);
}

static void check_crash_of(const char *path, const owner *o, int64_t before, int64_t after) {
  muster_alive_found found;
  muster_alive *alive;
  check_probe(path, MUSTER_ALIVE_CRASH, o->pid);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_CRASH);
  CHECK_EQUAL(found.pid, o->pid);
  CHECK_EQUAL(found.start, o->start);
  CHECK(found.since >= before && found.since <= after);
  check_probe(path, MUSTER_ALIVE_HELD, getpid());
  CHECK_STATUS(muster_alive_release(alive), 0);
  CHECK(!exists(path));
}

static void a_killed_owner_is_told_to_the_next(void) {
  const char *path = alive_path_of("killed");
  const int orders[] = {SIGKILL, ABANDON, EXIT};
  for (size_t i = 0; i < 3; i++) {
    int64_t before = realtime();
    owner o = owner_start(path);
    int64_t after = realtime();
    check_probe(path, MUSTER_ALIVE_HELD, o.pid);
    if (orders[i] == SIGKILL) owner_kill(&o);
    else owner_order(&o, orders[i]), owner_join(&o);
    CHECK(exists(path));
    check_crash_of(path, &o, before, after);
  }
}

// An unreaped zombie answers kill(pid, 0), and holds nothing.
static void a_zombie_is_not_alive(void) {
  const char *path = alive_path_of("zombie");
  owner o = owner_start(path);
  kill(o.pid, SIGKILL);
  await_end(o.pid);
  CHECK_EQUAL(kill(o.pid, 0), 0);
  check_probe(path, MUSTER_ALIVE_CRASH, o.pid);
  owner_kill(&o);
}

static void exec_ends_it(void) {
  const char *path = alive_path_of("exec");
  owner o = owner_start(path);
  owner_order(&o, EXEC);
  muster_alive_found found;
  CHECK_STATUS(muster_alive_wait_death(path, in_seconds(20), &found), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_CRASH);
  CHECK_EQUAL(found.pid, o.pid);
  CHECK_EQUAL(kill(o.pid, 0), 0);
  owner_join(&o);
}

static void a_stopped_owner_is_alive(void) {
  const char *path = alive_path_of("stopped");
  owner o = owner_start(path);
  kill(o.pid, SIGSTOP);
  muster_alive *alive;
  muster_alive_found found;
  check_probe(path, MUSTER_ALIVE_HELD, o.pid);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), EBUSY);
  CHECK_STATUS(muster_alive_wait_death(path, muster_deadline_after(30000000), &found), ETIMEDOUT);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_HELD);
  kill(o.pid, SIGCONT);
  owner_order(&o, RELEASE);
  owner_join(&o);
  check_probe(path, MUSTER_ALIVE_NOTHING, 0);
}

// The last 13 bytes of a record are a sum (FNV-1a) over those before.
static void seal(char text[192]) {
  uint32_t hash = 2166136261u;
  char end[16];
  for (int i = 0; i < 179; i++) hash = (hash ^ (unsigned char)text[i]) * 16777619u;
  snprintf(end, sizeof end, "sum=%08x\n", hash);
  memcpy(text + 179, end, 13);
}

static void a_file_of_another_boot_is_a_reboot(void) {
  const char *path = alive_path_of("reboot");
  char text[256];
  CHECK_EQUAL(crash_record(path, text, sizeof text), 192);
  char *boot = strstr(text, " boot=");
  REQUIRE(boot);
  boot[6] = boot[6] == '0' ? '1' : '0';
  seal(text);
  spit(path, text, 192);
  muster_alive_found probed, found;
  muster_alive *alive;
  CHECK_STATUS(muster_alive_probe(path, &probed), 0);
  CHECK_EQUAL(probed.kind, MUSTER_ALIVE_REBOOT);
  CHECK(probed.pid > 0 && probed.start > 0 && probed.since > 0);
  CHECK_STATUS(muster_alive_wait_death(path, MUSTER_DEADLINE_NOW, &found), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_REBOOT);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_REBOOT);
  CHECK_EQUAL(found.pid, probed.pid);
  CHECK_STATUS(muster_alive_release(alive), 0);
}

static void take_and_check(const char *path, muster_alive_kind kind, int32_t pid) {
  muster_alive_found found;
  muster_alive *alive;
  check_probe(path, kind, pid);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  CHECK_EQUAL(found.kind, kind);
  CHECK_EQUAL(found.pid, pid);
  CHECK_STATUS(muster_alive_release(alive), 0);
}

// What is left by an owner that died, or by power that failed, before all was written: a crash of nobody that is known.
static void a_torn_record_is_a_crash_without_pid(void) {
  const char *path = alive_path_of("torn");
  char text[256], zeros[192] = {0};
  crash_record(path, text, sizeof text);
  for (size_t length = 0; length < 192; length += length < 20 ? 1 : 13) {
    spit(path, text, length);
    take_and_check(path, MUSTER_ALIVE_CRASH, 0);
  }
  spit(path, zeros, sizeof zeros);
  take_and_check(path, MUSTER_ALIVE_CRASH, 0);
  for (int at = 15; at < 192; at += 11) {
    text[at] ^= 1;
    spit(path, text, 192);
    take_and_check(path, MUSTER_ALIVE_CRASH, 0);
    text[at] ^= 1;
  }
  spit(path, "", 0);
  const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
  REQUIRE(!utimensat(AT_FDCWD, path, old, 0));
  take_and_check(path, MUSTER_ALIVE_REBOOT, 0);
}

// A record whose sum is right and whose fields are not is no record either.
static void a_record_with_impossible_fields_is_torn(void) {
  const char *path = alive_path_of("fields");
  const char *lines[] = {
      "muster-alive 1 held pid=0 start=1 boot=00000000000000000000000000000001 since=1 ",
      "muster-alive 1 held pid=2147483648 start=1 boot=00000000000000000000000000000001 since=1 ",
      "muster-alive 1 held pid=-4 start=1 boot=00000000000000000000000000000001 since=1 ",
      "muster-alive 1 held pid=5 start=18446744073709551616 boot=00000000000000000000000000000001 since=1 ",
      "muster-alive 1 held pid=5 start=1 boot=0000000000000000000000000000000g since=1 ",
      "muster-alive 1 held pid=5 start=1 boot=0000 since=1 ",
      "muster-alive 1 held pid=5 start=1 since=9223372036854775808 boot=00000000000000000000000000000001 ",
      "muster-alive 1 held ",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    char text[192];
    memset(text, ' ', sizeof text);
    memcpy(text, lines[i], strlen(lines[i]));
    seal(text);
    spit(path, text, sizeof text);
    take_and_check(path, MUSTER_ALIVE_CRASH, 0);
  }
}

static void a_foreign_file_is_left_as_it_is(void) {
  const char *path = alive_path_of("foreign");
  char text[512], now[512];
  memset(text, 'x', sizeof text);
  const struct { const char *begin; size_t length; } files[] = {
      {"hello\n", 6}, {"muster-alive 2 held", 19}, {"\0\0x", 3}, {"muster-alive 1 held", 193}, {"xx", 512}};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    memcpy(text, files[i].begin, strlen(files[i].begin) ? strlen(files[i].begin) : files[i].length);
    spit(path, text, files[i].length);
    muster_alive_found found;
    muster_alive *alive;
    CHECK_STATUS(muster_alive_probe(path, &found), EBADMSG);
    CHECK_STATUS(muster_alive_wait(path, in_seconds(20), &found), EBADMSG);
    CHECK_STATUS(muster_alive_wait_death(path, in_seconds(20), &found), EBADMSG);
    CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), EBADMSG);
    CHECK_STATUS(muster_alive_acquire(path, 0, in_seconds(20), NULL, &alive), EBADMSG);
    CHECK(alive == NULL);
    CHECK_EQUAL(slurp(path, now, sizeof now), files[i].length);
    CHECK(!memcmp(text, now, files[i].length));
  }
}

static void a_second_is_refused_and_told_whose_it_is(void) {
  const char *path = alive_path_of("busy");
  owner o = owner_start(path);
  muster_alive *alive = (muster_alive *)(void *)&o;
  muster_alive_found found;
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), EBUSY);
  CHECK(alive == NULL);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_HELD);
  CHECK_EQUAL(found.pid, o.pid);
  CHECK_EQUAL(found.start, o.start);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), EBUSY);
  owner_order(&o, RELEASE);
  owner_join(&o);
  // The holder may also be this very process.
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  muster_alive *second;
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &second), EBUSY);
  CHECK_EQUAL(found.pid, getpid());
  CHECK_STATUS(muster_alive_release(alive), 0);
}

typedef struct shared {
  const char *path;
  int inside;
  int turns;
  int stop;
} shared;

static void *take_turns(void *context) {
  shared *s = context;
  for (int i = 0; i < 100; i++) {
    muster_alive *alive;
    muster_alive_found found;
    CHECK_STATUS(muster_alive_acquire(s->path, 0, in_seconds(25), &found, &alive), 0);
    CHECK_EQUAL(found.kind, MUSTER_ALIVE_NOTHING);
    CHECK_EQUAL(__atomic_fetch_add(&s->inside, 1, __ATOMIC_SEQ_CST), 0);
    s->turns++;
    CHECK_EQUAL(__atomic_fetch_sub(&s->inside, 1, __ATOMIC_SEQ_CST), 1);
    CHECK_STATUS(muster_alive_release(alive), 0);
  }
  return NULL;
}

static void threads_exclude_each_other(void) {
  shared s = {.path = alive_path_of("threads")};
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) REQUIRE(!pthread_create(&threads[i], NULL, take_turns, &s));
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  CHECK_EQUAL(s.turns, 400);
  CHECK(!exists(s.path));
}

static shared *share(const char *path) {
  shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(s != MAP_FAILED);
  s->path = path;
  return s;
}

// Leaves its number in `inside` while it owns the file. Whoever comes next finds none, or the one that the file told.
static void own_and_mark(void *context) {
  shared *s = context;
  for (;;) {
    muster_alive *alive;
    muster_alive_found found;
    int status = muster_alive_acquire(s->path, 0, in_seconds(25), &found, &alive);
    if (status) {
      CHECK_STATUS(status, 0);
      return;
    }
    int former = __atomic_exchange_n(&s->inside, (int)getpid(), __ATOMIC_SEQ_CST);
    if (former && (found.kind != MUSTER_ALIVE_CRASH || found.pid != former))
      test_fail(__FILE__, __LINE__, "%d was inside, the file told of kind %d, pid %d", former, found.kind, found.pid);
    __atomic_add_fetch(&s->turns, 1, __ATOMIC_SEQ_CST);
    CHECK_STATUS(muster_alive_current(alive), 0);
    __atomic_store_n(&s->inside, 0, __ATOMIC_SEQ_CST);
    CHECK_STATUS(muster_alive_release(alive), 0);
    if (test_result() || __atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) return;
  }
}

static void random_kills_leave_one_owner_and_the_truth(void) {
  uint64_t seed = test_seed();
  shared *s = share(alive_path_of("kills"));
  pid_t pids[6];
  for (int i = 0; i < 6; i++) pids[i] = test_fork(own_and_mark, s);
  for (int i = 0; i < 100; i++) {
    test_pause((int64_t)(test_random(&seed) % 3000000));
    int which = (int)(test_random(&seed) % 6);
    kill(pids[which], SIGKILL);
    test_join(pids[which], SIGKILL);
    pids[which] = test_fork(own_and_mark, s);
  }
  s->stop = 1;
  for (int i = 0; i < 6; i++) test_join(pids[i], 0);
  printf("%d turns\n", s->turns);
  CHECK(s->turns > 100);
  muster_alive_found found;
  CHECK_STATUS(muster_alive_probe(s->path, &found), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_NOTHING);
}

static void probe_for_ever(void *context) {
  shared *s = context;
  int64_t ended = 0;
  while (!__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) {
    muster_alive_found found;
    CHECK_STATUS(muster_alive_probe(s->path, &found), 0);
    // One owner only, so whatever pid is told is its own.
    CHECK(found.pid == 0 || found.pid == (int32_t)s->inside);
    // And who once was told to be dead is not alive again, nor is what it left taken for the words of the next.
    if (found.kind == MUSTER_ALIVE_CRASH) ended = found.since;
    if (found.kind == MUSTER_ALIVE_HELD && found.since) CHECK(found.since > ended);
    __atomic_add_fetch(&s->turns, 1, __ATOMIC_RELAXED);
    if (test_result()) return;
  }
}

// Probes as fast as they go, beside one who acquires and lets go: it is never refused, and after it never seems alive.
static void probes_disturb_nobody(void) {
  shared *s = share(alive_path_of("probed"));
  s->inside = getpid();
  pid_t probers[3];
  for (int i = 0; i < 3; i++) probers[i] = test_fork(probe_for_ever, s);
  int taken = 0;
  for (; (__atomic_load_n(&s->turns, __ATOMIC_RELAXED) < 20000 || taken < 200) && !test_result(); taken++) {
    muster_alive *alive;
    muster_alive_found found;
    CHECK_STATUS(muster_alive_acquire(s->path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
    CHECK_EQUAL(found.kind, taken % 2 ? MUSTER_ALIVE_CRASH : MUSTER_ALIVE_NOTHING);
    check_probe(s->path, MUSTER_ALIVE_HELD, getpid());
    if (taken % 2) CHECK_STATUS(muster_alive_release(alive), 0);
    else muster_alive_abandon(alive);
    CHECK_STATUS(muster_alive_probe(s->path, &found), 0);
    CHECK_EQUAL(found.kind, taken % 2 ? MUSTER_ALIVE_NOTHING : MUSTER_ALIVE_CRASH);
  }
  s->stop = 1;
  for (int i = 0; i < 3; i++) test_join(probers[i], 0);
  printf("%d probes beside %d acquisitions\n", s->turns, taken);
}

static void a_probe_creates_nothing(void) {
  const char *path = alive_path_of("none");
  for (int i = 0; i < 100; i++) check_probe(path, MUSTER_ALIVE_NOTHING, 0);
  muster_alive_found found;
  CHECK_STATUS(muster_alive_wait_death(path, MUSTER_DEADLINE_NOW, &found), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_NOTHING);
  CHECK_STATUS(muster_alive_wait(path, MUSTER_DEADLINE_NOW, &found), ETIMEDOUT);
  CHECK(!exists(path));
  CHECK(rmdir(test_folder()) == 0);
  CHECK_STATUS(muster_alive_probe(path, &found), ENOENT);
  CHECK(mkdir(test_folder(), 0700) == 0);
}

// By hand somebody removes the file, or puts another there: two may then hold "the" file, and only one is told that it
// does.
static void a_replaced_file_is_told(void) {
  const char *path = alive_path_of("replaced"), *aside = alive_path_of("aside");
  for (int way = 0; way < 2; way++) {
    muster_alive *first, *second;
    CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &first), 0);
    CHECK_STATUS(muster_alive_current(first), 0);
    REQUIRE(!(way == 0 ? unlink(path) : rename(path, aside)));
    CHECK_STATUS(muster_alive_current(first), ESTALE);
    check_probe(path, MUSTER_ALIVE_NOTHING, 0);
    CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &second), 0);
    CHECK_STATUS(muster_alive_current(first), ESTALE);
    CHECK_STATUS(muster_alive_current(second), 0);
    CHECK_STATUS(muster_alive_release(first), ESTALE);
    CHECK(exists(path));
    check_probe(path, MUSTER_ALIVE_HELD, getpid());
    if (way == 1) check_probe(aside, MUSTER_ALIVE_NOTHING, 0);
    CHECK_STATUS(muster_alive_release(second), 0);
  }
}

static void a_moved_folder_is_told(void) {
  const char *folder = alive_path_of("old"), *elsewhere = alive_path_of("new"), *path = alive_path_of("old/file");
  REQUIRE(!mkdir(folder, 0700));
  muster_alive *alive, *relative;
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
  REQUIRE(!chdir(folder));
  CHECK_STATUS(muster_alive_acquire("relative", 0, MUSTER_DEADLINE_NOW, NULL, &relative), 0);
  REQUIRE(!chdir("/"));
  CHECK_STATUS(muster_alive_current(relative), 0);
  REQUIRE(!rename(folder, elsewhere));
  CHECK_STATUS(muster_alive_current(alive), ESTALE);
  CHECK_STATUS(muster_alive_current(relative), 0);
  // Both let go of what they hold, wherever it went.
  CHECK_STATUS(muster_alive_release(alive), 0);
  CHECK_STATUS(muster_alive_release(relative), 0);
  CHECK(rmdir(elsewhere) == 0);
}

static void errno_is_left_alone(void) {
  const char *path = alive_path_of("errno");
  muster_alive *alive, *second;
  muster_alive_found found;
  errno = 4242;
  CHECK_STATUS(muster_alive_probe(path, &found), 0);
  CHECK_STATUS(muster_alive_wait(path, muster_deadline_after(1000000), &found), ETIMEDOUT);
  CHECK_STATUS(muster_alive_acquire("/", 0, MUSTER_DEADLINE_NOW, &found, &alive), EISDIR);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  CHECK_STATUS(muster_alive_acquire(path, 0, muster_deadline_after(1000000), &found, &second), ETIMEDOUT);
  CHECK_STATUS(muster_alive_current(alive), 0);
  CHECK_STATUS(muster_alive_release(alive), 0);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  muster_alive_abandon(alive);
  CHECK_EQUAL(errno, 4242);
}

static void a_thousand_cycles_leak_nothing(void) {
  const char *path = alive_path_of("leaks"), *foreign = alive_path_of("foreign");
  spit(foreign, "not mine", 8);
  int before = 0;
  for (int i = 0; i < 1001; i++) {
    muster_alive *alive, *second;
    muster_alive_found found;
    CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
    CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &second), EBUSY);
    CHECK_STATUS(muster_alive_acquire(foreign, 0, MUSTER_DEADLINE_NOW, &found, &second), EBADMSG);
    CHECK_STATUS(muster_alive_acquire(test_folder(), 0, MUSTER_DEADLINE_NOW, &found, &second), EISDIR);
    CHECK_STATUS(muster_alive_wait(path, in_seconds(20), &found), 0);
    CHECK_STATUS(muster_alive_wait_death(path, muster_deadline_after(1000), &found), ETIMEDOUT);
    CHECK_STATUS(muster_alive_current(alive), 0);
    if (i % 2) muster_alive_abandon(alive);
    else CHECK_STATUS(muster_alive_release(alive), 0);
    CHECK_STATUS(muster_alive_wait(path, muster_deadline_after(1000), &found), ETIMEDOUT);
    // The first wait of a process gets it an inotify instance that is kept.
    if (i == 0) before = descriptors();
  }
  CHECK_EQUAL(descriptors(), before);
}

TEST_SUITE(alive, {"a_clean_end_removes_the_file", a_clean_end_removes_the_file, 0},
           {"a_killed_owner_is_told_to_the_next", a_killed_owner_is_told_to_the_next, 0},
           {"a_zombie_is_not_alive", a_zombie_is_not_alive, 0}, {"exec_ends_it", exec_ends_it, 0},
           {"a_stopped_owner_is_alive", a_stopped_owner_is_alive, 0},
           {"a_file_of_another_boot_is_a_reboot", a_file_of_another_boot_is_a_reboot, 0},
           {"a_torn_record_is_a_crash_without_pid", a_torn_record_is_a_crash_without_pid, 0},
           {"a_record_with_impossible_fields_is_torn", a_record_with_impossible_fields_is_torn, 0},
           {"a_foreign_file_is_left_as_it_is", a_foreign_file_is_left_as_it_is, 0},
           {"a_second_is_refused_and_told_whose_it_is", a_second_is_refused_and_told_whose_it_is, 0},
           {"threads_exclude_each_other", threads_exclude_each_other, 60},
           {"random_kills_leave_one_owner_and_the_truth", random_kills_leave_one_owner_and_the_truth, 60},
           {"probes_disturb_nobody", probes_disturb_nobody, 60},
           {"a_probe_creates_nothing", a_probe_creates_nothing, 0},
           {"a_replaced_file_is_told", a_replaced_file_is_told, 0},
           {"a_moved_folder_is_told", a_moved_folder_is_told, 0},
           {"errno_is_left_alone", errno_is_left_alone, 0},
           {"a_thousand_cycles_leak_nothing", a_thousand_cycles_leak_nothing, 60});
