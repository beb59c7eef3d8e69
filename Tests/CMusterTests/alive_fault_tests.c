// Paths that are no Alive file, means that are missing, and handles that a fork copied.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alive_help.h"

static void check_refused(const char *path, int status) {
  muster_alive *alive;
  muster_alive_found found;
  CHECK_STATUS(muster_alive_probe(path, &found), status);
  CHECK_STATUS(muster_alive_wait(path, in_seconds(20), &found), status);
  CHECK_STATUS(muster_alive_wait_death(path, in_seconds(20), &found), status);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), status);
  CHECK_STATUS(muster_alive_acquire(path, 0, in_seconds(20), &found, &alive), status);
  CHECK(alive == NULL);
}

static void paths_that_are_no_file(void) {
  const char *path = alive_path_of("path"), *target = alive_path_of("target");
  char longest[600];
  int before = descriptors();
  check_refused("", EINVAL);
  check_refused("/", EISDIR);
  check_refused(".", EISDIR);
  check_refused(test_folder(), EISDIR);
  snprintf(longest, sizeof longest, "%s/", test_folder());
  check_refused(longest, EISDIR);
  check_refused("/dev/null", EINVAL);
  check_refused(alive_path_of("missing/file"), ENOENT);
  snprintf(longest, sizeof longest, "%s/%0300d", test_folder(), 0);
  check_refused(longest, ENAMETOOLONG);
  REQUIRE(!symlink(target, path));
  check_refused(path, ELOOP);
  CHECK(!exists(target));
  spit(target, "", 0);
  check_refused(path, ELOOP);
  check_refused(alive_path_of("target/file"), ENOTDIR);
  REQUIRE(!unlink(path) && !mkfifo(path, 0600));
  // Not opened either: its reader would be told that a writer has come and gone.
  struct pollfd reader = {.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), .events = POLLIN};
  REQUIRE(reader.fd >= 0);
  check_refused(path, EINVAL);
  CHECK_EQUAL(poll(&reader, 1, 0), 0);
  REQUIRE(!close(reader.fd) && !unlink(path));
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%.100s", path);
  int socket_file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(!bind(socket_file, (struct sockaddr *)&address, sizeof address));
  check_refused(path, EINVAL);
  close(socket_file);
  muster_alive *alive;
  CHECK_STATUS(muster_alive_acquire(target, 010000, MUSTER_DEADLINE_NOW, NULL, &alive), EINVAL);
  CHECK_EQUAL(descriptors(), before);
}

// The last part of a path is not followed, folders on the way to it are.
static void a_link_to_the_folder_is_followed(void) {
  const char *link = alive_path_of("link"), *path = alive_path_of("link/file");
  REQUIRE(!mkdir(alive_path_of("real"), 0700) && !symlink("real", link));
  muster_alive *alive;
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
  CHECK(exists(alive_path_of("real/file")));
  CHECK_STATUS(muster_alive_current(alive), 0);
  muster_alive_found found;
  CHECK_STATUS(muster_alive_probe(alive_path_of("real/file"), &found), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_HELD);
  // Another folder now: there nobody is alive.
  REQUIRE(!unlink(link) && !symlink(".", link));
  CHECK_STATUS(muster_alive_current(alive), ESTALE);
  CHECK_STATUS(muster_alive_release(alive), 0);
}

typedef struct unprivileged {
  const char *closed, *inside, *open, *free;
} unprivileged;

static void become_nobody(void) {
  if (geteuid() == 0) REQUIRE(!setgid(65534) && !setuid(65534));
}

static void use_as_nobody(void *context) {
  unprivileged *u = context;
  become_nobody();
  muster_alive *alive;
  muster_alive_found found;
  CHECK_STATUS(muster_alive_acquire(u->closed, 0, MUSTER_DEADLINE_NOW, &found, &alive), EACCES);
  CHECK_STATUS(muster_alive_acquire(u->closed, 0, in_seconds(20), &found, &alive), EACCES);
  CHECK_STATUS(muster_alive_probe(u->closed, &found), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_NOTHING);
  CHECK_STATUS(muster_alive_wait_death(u->closed, in_seconds(20), &found), 0);
  CHECK_STATUS(muster_alive_wait(u->closed, muster_deadline_after(1000000), &found), ETIMEDOUT);
  CHECK(!exists(u->closed));
  // A file there that may be read and not written can be probed, and not taken.
  CHECK_STATUS(muster_alive_probe(u->open, &found), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_CRASH);
  CHECK_STATUS(muster_alive_acquire(u->open, 0, MUSTER_DEADLINE_NOW, &found, &alive), EACCES);
  CHECK_STATUS(muster_alive_acquire(u->free, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  CHECK_STATUS(muster_alive_release(alive), 0);
  CHECK(!exists(u->free));
  // One in a folder that may not even be searched.
  CHECK_STATUS(muster_alive_probe(u->inside, &found), EACCES);
  CHECK_STATUS(muster_alive_acquire(u->inside, 0, MUSTER_DEADLINE_NOW, &found, &alive), EACCES);
}

static void a_folder_that_may_not_be_written(void) {
  const char *folder = alive_path_of("readonly"), *hidden = alive_path_of("hidden");
  unprivileged u = {.closed = alive_path_of("readonly/none"),
                    .inside = alive_path_of("hidden/file"),
                    .open = alive_path_of("readonly/there"),
                    .free = alive_path_of("free")};
  REQUIRE(!chmod(test_folder(), 0777) && !mkdir(folder, 0755) && !mkdir(hidden, 0700));
  owner o = owner_start(u.open);
  owner_kill(&o);
  REQUIRE(!chmod(u.open, 0444) && !chmod(folder, 0555) && !chmod(hidden, 0));
  test_join(test_fork(use_as_nobody, &u), 0);
  REQUIRE(!chmod(folder, 0755) && !chmod(hidden, 0700));
}

static void end_without_permission(void *context) {
  const char *path = context;
  muster_alive *alive;
  CHECK_STATUS(muster_alive_acquire(path, 0666, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
  if (geteuid()) REQUIRE(!chmod(test_folder(), 0555));
  become_nobody();
  CHECK_STATUS(muster_alive_current(alive), 0);
  CHECK_STATUS(muster_alive_release(alive), EACCES);
}

// An owner that dropped its privileges may not remove its file any more; it ended cleanly nevertheless.
static void a_clean_end_that_may_not_remove_the_file(void) {
  const char *path = alive_path_of("dropped");
  REQUIRE(!chmod(test_folder(), 0755));
  muster_alive *alive;
  muster_alive_found found = {.kind = MUSTER_ALIVE_CRASH};
  for (int i = 0; i < 2; i++) {
    test_join(test_fork(end_without_permission, (void *)(uintptr_t)path), 0);
    REQUIRE(!chmod(test_folder(), 0755));
    CHECK(exists(path));
    CHECK_STATUS(muster_alive_probe(path, &found), 0);
    CHECK_EQUAL(found.kind, MUSTER_ALIVE_NOTHING);
    CHECK_EQUAL(found.pid, 0);
  }
  CHECK_STATUS(muster_alive_wait(path, muster_deadline_after(1000000), &found), ETIMEDOUT);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_NOTHING);
  CHECK_STATUS(muster_alive_release(alive), 0);
  CHECK(!exists(path));
}

static void mount_small(const char *folder, const char *options) {
  REQUIRE(!mkdir(folder, 0700));
  if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
      mount("muster-test", folder, "tmpfs", 0, options)) {
    rmdir(folder);
    test_skip("no mount of one's own: %s", strerror(errno));
  }
}

static void fill(const char *path) {
  static char block[4096];
  int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  REQUIRE(file >= 0);
  while (write(file, block, sizeof block) > 0) {
  }
  CHECK_EQUAL(errno, ENOSPC);
  close(file);
}

static void a_full_disk(void) {
  const char *folder = alive_path_of("full");
  const char *path = alive_path_of("full/file"), *filler = alive_path_of("full/filler");
  mount_small(folder, "size=64k,nr_inodes=16");
  muster_alive *alive;
  muster_alive_found found;
  int before = descriptors();
  fill(filler);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), ENOSPC);
  CHECK_STATUS(muster_alive_acquire(path, 0, in_seconds(20), &found, &alive), ENOSPC);
  CHECK(!exists(path));
  // An empty file that stood there stays what it was, and nobody's.
  spit(path, "", 0);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), ENOSPC);
  struct stat status;
  CHECK(!stat(path, &status) && status.st_size == 0);
  CHECK_STATUS(muster_alive_probe(path, &found), 0);
  CHECK_EQUAL(found.kind, MUSTER_ALIVE_CRASH);
  REQUIRE(!unlink(filler));
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  muster_alive_abandon(alive);
  // A record has its room: the next owner needs none.
  fill(filler);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  CHECK_EQUAL(found.pid, getpid());
  CHECK_STATUS(muster_alive_release(alive), 0);
  REQUIRE(!unlink(filler));
  char name[600];
  int files = 0;
  do snprintf(name, sizeof name, "%s/inode-%d", folder, files++);
  while (files < 64 && close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), ENOSPC);
  CHECK_EQUAL(descriptors(), before);
  umount2(folder, MNT_DETACH);
}

// The limit of a file's size cuts the writing of a record short, in the middle of a file or before its first byte.
static void a_write_cut_short_keeps_the_former_record(void) {
  const char *path = alive_path_of("short"), *fresh = alive_path_of("fresh");
  owner o = owner_start(path);
  owner_kill(&o);
  char before[256], after[256];
  CHECK_EQUAL(slurp(path, before, sizeof before), 192);
  signal(SIGXFSZ, SIG_IGN);
  muster_alive *alive;
  muster_alive_found found;
  for (rlim_t limit = 0; limit < 192; limit += 100) {
    struct rlimit size = {.rlim_cur = limit, .rlim_max = RLIM_INFINITY};
    REQUIRE(!setrlimit(RLIMIT_FSIZE, &size));
    int status = muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive);
    CHECK_STATUS(status, limit ? ENOSPC : EFBIG);
    CHECK_STATUS(muster_alive_acquire(fresh, 0, MUSTER_DEADLINE_NOW, &found, &alive), limit ? ENOSPC : EFBIG);
    size.rlim_cur = RLIM_INFINITY;
    REQUIRE(!setrlimit(RLIMIT_FSIZE, &size));
    CHECK(!exists(fresh));
    CHECK_EQUAL(slurp(path, after, sizeof after), 192);
    CHECK(!memcmp(before, after, 192));
    CHECK_STATUS(muster_alive_probe(path, &found), 0);
    CHECK(found.kind == MUSTER_ALIVE_CRASH && found.pid == o.pid);
  }
}

// With every number of descriptors too few, from none: an error that tells, nothing left open, nothing left behind.
static void no_descriptors_left(void) {
  const char *path = alive_path_of("few"), *crash = alive_path_of("crash");
  owner o = owner_start(crash);
  owner_kill(&o);
  struct rlimit limit;
  REQUIRE(!getrlimit(RLIMIT_NOFILE, &limit));
  rlim_t usual = limit.rlim_cur;
  // Numbers without holes, so that the limit is what counts.
  int top = 0, done = 0;
  for (int i = 0; i < 1024; i++)
    if (fcntl(i, F_GETFD) != -1) top = i + 1;
  for (int filled = 0; filled < top;) filled = fcntl(2, F_DUPFD_CLOEXEC, 0);
  close(top);
  int before = descriptors();
  for (int more = 0; more < 8; more++) {
    limit.rlim_cur = (rlim_t)(top + more);
    REQUIRE(!setrlimit(RLIMIT_NOFILE, &limit));
    muster_alive *first, *second, *alive;
    muster_alive_found found;
    int one = muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &first);
    int two = muster_alive_acquire(crash, 0, MUSTER_DEADLINE_NOW, &found, &second);
    int three = two ? EMFILE : muster_alive_acquire(crash, 0, muster_deadline_after(1000000), NULL, &alive);
    int probe = muster_alive_probe(crash, &found);
    int death = muster_alive_wait_death(crash, muster_deadline_after(1000000), &found);
    limit.rlim_cur = usual;
    REQUIRE(!setrlimit(RLIMIT_NOFILE, &limit));
    CHECK(one == 0 || one == EMFILE);
    CHECK(two == 0 || two == EMFILE);
    CHECK(three == ETIMEDOUT || three == EMFILE);
    CHECK(probe == 0 || probe == EMFILE);
    CHECK(death == 0 || death == ETIMEDOUT || death == EMFILE);
    CHECK_EQUAL(exists(path), one == 0);
    done += two == 0;
    if (!one) CHECK_STATUS(muster_alive_release(first), 0);
    if (!two) muster_alive_abandon(second);
    CHECK_STATUS(muster_alive_probe(crash, &found), 0);
    CHECK_EQUAL(found.kind, MUSTER_ALIVE_CRASH);
    CHECK_EQUAL(found.pid, done ? getpid() : o.pid);
    if (more == 0) CHECK(one == EMFILE && two == EMFILE && probe == EMFILE && death == EMFILE);
  }
  CHECK(done > 0);
  CHECK(descriptors() <= before + 1);  // the inotify instance that is kept
}

typedef struct family {
  const char *path;
  pid_t child;
} family;

static family *make_family(const char *path) {
  family *f = mmap(NULL, sizeof *f, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(f != MAP_FAILED);
  f->path = path;
  return f;
}

static void own_and_fork(void *context) {
  family *f = context;
  muster_alive *alive;
  CHECK_STATUS(muster_alive_acquire(f->path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
  int before = descriptors();
  pid_t child = fork();
  if (child == 0) {
    // Neither of the handle's two descriptors came along.
    if (descriptors() != before - 2) _exit(1);
    f->child = getpid();
    for (;;) pause();
  }
  for (;;) pause();
}

// The child of a killed owner lives on, and the file is free.
static void a_child_does_not_keep_its_parents_lock(void) {
  family *f = make_family(alive_path_of("parent"));
  pid_t parent = test_fork(own_and_fork, f);
  while (!__atomic_load_n(&f->child, __ATOMIC_SEQ_CST)) test_pause(100000);
  muster_alive_found found;
  CHECK_STATUS(muster_alive_probe(f->path, &found), 0);
  CHECK(found.kind == MUSTER_ALIVE_HELD && found.pid == parent);
  kill(parent, SIGKILL);
  CHECK_STATUS(muster_alive_wait_death(f->path, in_seconds(20), &found), 0);
  CHECK(found.kind == MUSTER_ALIVE_CRASH && found.pid == parent);
  CHECK_EQUAL(kill(f->child, 0), 0);
  muster_alive *alive;
  CHECK_STATUS(muster_alive_acquire(f->path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
  CHECK_STATUS(muster_alive_release(alive), 0);
  test_join(parent, SIGKILL);
  kill(f->child, SIGKILL);
  await_end(f->child);
}

static void use_inherited(void *context) {
  muster_alive *alive = context;
  CHECK_STATUS(muster_alive_current(alive), EPERM);
  CHECK_STATUS(muster_alive_release(alive), 0);
}

static void abandon_inherited(void *context) { muster_alive_abandon(context); }

static void do_nothing(void *context) { (void)context; }

static void a_childs_end_does_not_end_its_parents(void) {
  const char *path = alive_path_of("children");
  muster_alive *alive, *second;
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
  void (*const bodies[])(void *) = {use_inherited, abandon_inherited, do_nothing};
  for (size_t i = 0; i < 3; i++) {
    test_join(test_fork(bodies[i], alive), 0);
    CHECK_STATUS(muster_alive_current(alive), 0);
    CHECK(exists(path));
    muster_alive_found found;
    CHECK_STATUS(muster_alive_probe(path, &found), 0);
    CHECK(found.kind == MUSTER_ALIVE_HELD && found.pid == getpid());
    CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &second), EBUSY);
  }
  // A child made past the handlers of fork has the descriptors; using the handle harms nobody there either.
  pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) {
    use_inherited(alive);
    _exit(test_result());
  }
  test_join(pid, 0);
  CHECK_STATUS(muster_alive_current(alive), 0);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &second), EBUSY);
  CHECK_STATUS(muster_alive_release(alive), 0);
}

static void own_in_child(void *context) {
  const char *path = context;
  muster_alive *alive;
  muster_alive_found found;
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  CHECK_STATUS(muster_alive_wait(path, in_seconds(20), &found), 0);
  CHECK_EQUAL(found.pid, getpid());
  CHECK_STATUS(muster_alive_wait_death(path, muster_deadline_after(1000000), NULL), ETIMEDOUT);
  CHECK_STATUS(muster_alive_release(alive), 0);
}

// A child may have Alive files of its own, and waits of its own although its parent had some.
static void a_child_may_own(void) {
  const char *path = alive_path_of("mine");
  muster_alive *alive;
  CHECK_STATUS(muster_alive_acquire(alive_path_of("parents"), 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
  CHECK_STATUS(muster_alive_wait(path, muster_deadline_after(1000000), NULL), ETIMEDOUT);
  for (int i = 0; i < 3; i++) test_join(test_fork(own_in_child, (void *)(uintptr_t)path), 0);
  CHECK_STATUS(muster_alive_wait(path, muster_deadline_after(1000000), NULL), ETIMEDOUT);
  CHECK_STATUS(muster_alive_release(alive), 0);
}

enum { CHILDREN = 12 };

typedef struct brood {
  const char *path;
  pid_t children[CHILDREN];
  int count;
} brood;

static void *cycle(void *context) {
  brood *b = context;
  for (;;) {
    muster_alive *alive;
    CHECK_STATUS(muster_alive_acquire(b->path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
    muster_alive_abandon(alive);
  }
  return NULL;
}

// One thread acquires and lets go without end, another forks.
static void fork_beside_acquiring(void *context) {
  brood *b = context;
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, cycle, b));
  for (int i = 0; i < CHILDREN; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      // Until it has come here it has what was the parent's.
      __atomic_add_fetch(&b->count, 1, __ATOMIC_SEQ_CST);
      for (;;) pause();
    }
    __atomic_store_n(&b->children[i], pid, __ATOMIC_SEQ_CST);
  }
  __atomic_add_fetch(&b->count, 1, __ATOMIC_SEQ_CST);
  for (;;) pause();
}

// Whatever the one thread was at when the other forked, no child has come by a lock: when the process is killed the
// file is free, though the children live.
static void a_fork_in_the_midst_of_acquiring(void) {
  brood *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(b != MAP_FAILED);
  b->path = alive_path_of("race");
  for (int round = 0; round < 25; round++) {
    b->count = 0;
    pid_t parent = test_fork(fork_beside_acquiring, b);
    while (__atomic_load_n(&b->count, __ATOMIC_SEQ_CST) <= CHILDREN) test_pause(100000);
    kill(parent, SIGKILL);
    test_join(parent, SIGKILL);
    muster_alive *alive;
    CHECK_STATUS(muster_alive_acquire(b->path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
    if (!test_result()) muster_alive_abandon(alive);
    for (int i = 0; i < CHILDREN; i++) kill(b->children[i], SIGKILL), await_end(b->children[i]);
    if (test_result()) break;
  }
}

static void on_signal(int number) {
  (void)number;
  int saved = errno;
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  errno = saved;
}

// A signal handler that forks while its thread is in the midst of a call of ours.
static void a_handler_that_forks(void) {
  family *f = make_family(alive_path_of("handler"));
  struct sigaction action = {.sa_handler = on_signal};
  REQUIRE(!sigaction(SIGALRM, &action, NULL) && signal(SIGCHLD, SIG_IGN) != SIG_ERR);
  struct itimerval timer = {.it_interval = {.tv_usec = 2000}, .it_value = {.tv_usec = 2000}};
  REQUIRE(!setitimer(ITIMER_REAL, &timer, NULL));
  for (int64_t end = test_now() + SECOND / 2; test_now() < end;) {
    muster_alive *alive;
    CHECK_STATUS(muster_alive_acquire(f->path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
    CHECK_STATUS(muster_alive_release(alive), 0);
  }
  timer = (struct itimerval){0};
  setitimer(ITIMER_REAL, &timer, NULL);
  while (waitpid(-1, NULL, 0) > 0) {
  }
}

static int64_t processor_time(const struct rusage *usage) {
  return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * SECOND +
         (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * INT64_C(1000);
}

// Somebody else's lock, of flock(1) say, on a file that is free otherwise: refused, not waited for in a busy loop, and
// taken when it goes.
static void a_stranger_with_a_lock(void) {
  const char *path = alive_path_of("stranger");
  owner o = owner_start(path);
  owner_kill(&o);
  int file = open(path, O_RDWR | O_CLOEXEC);
  REQUIRE(file >= 0 && !flock(file, LOCK_EX));
  muster_alive *alive;
  muster_alive_found found;
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), EBUSY);
  CHECK(found.kind == MUSTER_ALIVE_HELD && found.pid == 0);
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  CHECK_STATUS(muster_alive_acquire(path, 0, muster_deadline_after(300000000), &found, &alive), ETIMEDOUT);
  getrusage(RUSAGE_SELF, &after);
  // Some 25 tries, 1 ms; were it woken by its own tries, it would not sleep at all.
  CHECK(processor_time(&after) - processor_time(&before) < 60000000);
  close(file);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  CHECK(found.kind == MUSTER_ALIVE_CRASH && found.pid == o.pid);
  CHECK_STATUS(muster_alive_release(alive), 0);
}

static void lease(void *context) {
  int file = open(context, O_RDWR | O_CLOEXEC);
  signal(SIGIO, SIG_IGN);
  REQUIRE(file >= 0);
  if (fcntl(file, F_SETLEASE, F_WRLCK)) _exit(1);
  raise(SIGSTOP);
  for (;;) pause();
}

// Somebody's lease keeps the file from being opened: refused after some tries, not taken for a file that is replaced
// again and again.
static void a_stranger_with_a_lease(void) {
  const char *path = alive_path_of("lease");
  owner o = owner_start(path);
  owner_kill(&o);
  pid_t stranger = test_fork(lease, (void *)(uintptr_t)path);
  int ended;
  REQUIRE(waitpid(stranger, &ended, WUNTRACED) == stranger);
  if (!WIFSTOPPED(ended)) test_skip("no leases here");
  muster_alive *alive;
  muster_alive_found found;
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  CHECK_STATUS(muster_alive_probe(path, &found), EAGAIN);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), EBUSY);
  CHECK(found.kind == MUSTER_ALIVE_HELD && found.pid == 0);
  CHECK_STATUS(muster_alive_acquire(path, 0, muster_deadline_after(50000000), &found, &alive), ETIMEDOUT);
  getrusage(RUSAGE_SELF, &after);
  // Some 100 tries, 1 ms; it was a million of them.
  CHECK(processor_time(&after) - processor_time(&before) < 60000000);
  kill(stranger, SIGKILL);
  test_join(stranger, SIGKILL);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  CHECK(found.kind == MUSTER_ALIVE_CRASH && found.pid == o.pid);
  CHECK_STATUS(muster_alive_release(alive), 0);
}

// The number of an inotify instance among this process's descriptors, or -1.
static int find_instance(void) {
  char link[64], target[64];
  for (int i = 0; i < 1024; i++) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", i);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length > 0 && (target[length] = 0, strstr(target, "inotify"))) return i;
  }
  return -1;
}

static void check_open(void *context) { CHECK(fcntl(*(int *)context, F_GETFD) != -1); }

// A daemon closes all descriptors, of which it does not know all, and opens others: what stands at the number of the
// instance that was kept is the program's, to be neither read, nor polled, nor closed.
static void an_instance_that_the_program_closed(void) {
  const char *path = alive_path_of("closed");
  char bytes[8];
  for (int again = 0; again < 2; again++) {
    CHECK_STATUS(muster_alive_wait(path, muster_deadline_after(1000000), NULL), ETIMEDOUT);
    int instance = find_instance(), ends[2];
    REQUIRE(instance >= 0 && !pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    REQUIRE(dup3(ends[0], instance, O_CLOEXEC) == instance && !close(ends[0]));
    CHECK_EQUAL(write(ends[1], "precious", 8), 8);
    // Not in a child either.
    test_join(test_fork(check_open, &instance), 0);
    CHECK_STATUS(muster_alive_wait(path, muster_deadline_after(30000000), NULL), ETIMEDOUT);
    CHECK_EQUAL(read(instance, bytes, sizeof bytes), 8);
    close(instance), close(ends[1]);
  }
  // Waits go on being told.
  owner o = owner_start(path);
  CHECK_STATUS(muster_alive_wait(path, in_seconds(20), NULL), 0);
  owner_kill(&o);
  CHECK_STATUS(muster_alive_wait_death(path, in_seconds(20), NULL), 0);
}

TEST_SUITE(alive_fault, {"paths_that_are_no_file", paths_that_are_no_file, 0},
           {"a_link_to_the_folder_is_followed", a_link_to_the_folder_is_followed, 0},
           {"a_folder_that_may_not_be_written", a_folder_that_may_not_be_written, 0},
           {"a_clean_end_that_may_not_remove_the_file", a_clean_end_that_may_not_remove_the_file, 0},
           {"a_full_disk", a_full_disk, 0},
           {"a_write_cut_short_keeps_the_former_record", a_write_cut_short_keeps_the_former_record, 0},
           {"no_descriptors_left", no_descriptors_left, 0},
           {"a_child_does_not_keep_its_parents_lock", a_child_does_not_keep_its_parents_lock, 0},
           {"a_childs_end_does_not_end_its_parents", a_childs_end_does_not_end_its_parents, 0},
           {"a_child_may_own", a_child_may_own, 0},
           {"a_fork_in_the_midst_of_acquiring", a_fork_in_the_midst_of_acquiring, 0},
           {"a_handler_that_forks", a_handler_that_forks, 0}, {"a_stranger_with_a_lock", a_stranger_with_a_lock, 0},
           {"a_stranger_with_a_lease", a_stranger_with_a_lease, 0},
           {"an_instance_that_the_program_closed", an_instance_that_the_program_closed, 0});
