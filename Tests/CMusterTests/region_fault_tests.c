// Regions where something goes wrong beside them: slow and stopped peers, forks at the wrong moment, signals, missing
// means, cancelled threads.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alive_help.h"
#include "support.h"

static const char *in_folder(const char *last) {
  static char paths[4][512];
  static unsigned used;
  char *path = paths[used++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", test_folder(), last);
  return path;
}

// What a child and its parent know of each other.
typedef struct common {
  uint32_t gate;
  uint32_t calls;
  pid_t child;
  int bare;  // children are made past the handlers of fork
  char name[512];
} common;

static common *make_common(const char *name) {
  common *all = shared_memory(sizeof *all);
  snprintf(all->name, sizeof all->name, "%s", name);
  return all;
}

// Until all patience that began before this call is over.
static void outlast_patience(void) {
  for (int64_t end = test_now() + MUSTER_REGION_PATIENCE + SECOND / 10; test_now() < end;) test_pause(SECOND / 100);
}

static int do_nothing(void *payload, size_t size, void *context) {
  (void)payload, (void)size, (void)context;
  return 0;
}

static int open_with(common *all, uint32_t flags, muster_region_fill initialize, muster_region_fill renew,
                     muster_deadline deadline, muster_region **region) {
  muster_region_options options = {.flags = flags, .size = flags & MUSTER_REGION_CREATE ? 64 : 0, .deadline = deadline,
                                   .initialize = initialize, .renew = renew, .context = all};
  return muster_region_open(all->name, &options, region);
}

static void renew_now(common *all, int status) {
  muster_region *region;
  CHECK_STATUS(open_with(all, MUSTER_REGION_ATTACH, NULL, do_nothing, 0, &region), status);
  muster_region_close(region);
}

// ---- Patience.

static int fill_at_gate(void *payload, size_t size, void *context) {
  (void)payload, (void)size;
  common *all = context;
  gate_open(&all->gate, 1);
  gate_wait(&all->gate, 2);
  return 0;
}

static void create_slowly(void *context) {
  muster_region *region;
  CHECK_STATUS(open_with(context, MUSTER_REGION_OPEN, fill_at_gate, NULL, 0, &region), 0);
  if (region) CHECK_EQUAL(muster_region_created(region), 0);
  muster_region_close(region);
}

// Who loses a race after a long initialisation attaches: what it spent on its own draft is not patience with anybody.
static void a_slow_initialisation_costs_no_patience(void) {
  common *all = make_common(test_name("slow"));
  pid_t slow = test_fork(create_slowly, all);
  gate_wait(&all->gate, 1);
  outlast_patience();
  CHECK_STATUS(make_region(all->name, 0, 64), 0);
  gate_open(&all->gate, 2);
  test_join(slow, 0);
  CHECK_STATUS(muster_region_remove(all->name, 0), 0);
}

static void renew_slowly(void *context) {
  muster_region *region;
  CHECK_STATUS(open_with(context, MUSTER_REGION_ATTACH, NULL, fill_at_gate, 0, &region), 0);
  muster_region_close(region);
}

static void attach_by_a_late_deadline(void *context) {
  muster_region *region;
  CHECK_STATUS(open_with(context, MUSTER_REGION_ATTACH, NULL, NULL, soon(), &region), 0);
  muster_region_close(region);
}

// A renewer that is stopped: who has a deadline waits so long and no longer, others for a second. FORCE gets past it.
static void a_renewer_that_stops(void) {
  common *all = make_common(test_name("stop"));
  CHECK_STATUS(make_region(all->name, 0, 64), 0);
  pid_t renewer = test_fork(renew_slowly, all);
  gate_wait(&all->gate, 1);
  muster_region *region;
  CHECK_STATUS(open_with(all, MUSTER_REGION_ATTACH, NULL, NULL, muster_deadline_after(1000000), &region), EBUSY);
  CHECK_STATUS(open_with(all, MUSTER_REGION_ATTACH, NULL, NULL, 1, &region), EBUSY);
  CHECK_STATUS(open_with(all, MUSTER_REGION_OPEN, NULL, NULL, 0, &region), EBUSY);
  pid_t patient = test_fork(attach_by_a_late_deadline, all);
  CHECK(test_asleep(patient));
  outlast_patience();
  gate_open(&all->gate, 2);
  test_join(patient, 0);
  test_join(renewer, 0);
  all->gate = 0;
  renewer = test_fork(renew_slowly, all);
  gate_wait(&all->gate, 1);
  stop_process(renewer);
  CHECK_STATUS(muster_region_remove(all->name, 0), EBUSY);
  CHECK_STATUS(muster_region_remove(all->name, MUSTER_REGION_FORCE), 0);
  CHECK_STATUS(make_region(all->name, 0, 64), 0);
  kill_process(renewer);
  CHECK_STATUS(muster_region_remove(all->name, 0), 0);
}

// ---- Forks.

static pid_t make_child(int bare) {
  pid_t pid = bare ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
  if (pid == 0)
    for (;;) pause();
  return pid;
}

static int fork_and_die(void *payload, size_t size, void *context) {
  (void)payload, (void)size;
  common *all = context;
  all->child = make_child(0);
  raise(SIGKILL);
  return 0;
}

static int fork_and_fail(void *payload, size_t size, void *context) {
  (void)payload, (void)size;
  common *all = context;
  all->child = make_child(all->bare);
  return EIO;
}

static void renew_and_die(void *context) {
  muster_region *region;
  CHECK_STATUS(open_with(context, MUSTER_REGION_ATTACH, NULL, fork_and_die, 0, &region), EIO);
}

// The fork stands for one of another thread, which may come at any moment: no child keeps a lock that its parent had
// for a moment, whether the parent dies with it or fails.
static void a_fork_while_renewing(void) {
  common *all = make_common(test_name("fork"));
  muster_region *region;
  CHECK_STATUS(make_region(all->name, 0, 64), 0);
  test_join(test_fork(renew_and_die, all), SIGKILL);
  renew_now(all, 0);
  CHECK_EQUAL(is_held(all->name, 0), 0);
  kill(all->child, SIGKILL);
  await_end(all->child);
  for (all->bare = 0; all->bare < 2; all->bare++) {
    CHECK_STATUS(open_with(all, MUSTER_REGION_ATTACH, NULL, fork_and_fail, 0, &region), EIO);
    renew_now(all, 0);
    CHECK_EQUAL(is_held(all->name, 0), 0);
    kill_process(all->child);
  }
  CHECK_STATUS(muster_region_remove(all->name, 0), 0);
}

// A child that is forked with a handle open keeps the region, as before.
static void a_handle_is_the_childs_too(void) {
  common *all = make_common(test_name("kept"));
  muster_region *region;
  CHECK_STATUS(make_region(all->name, 0, 64), 0);
  CHECK_STATUS(open_with(all, MUSTER_REGION_ATTACH, NULL, do_nothing, 0, &region), 0);
  pid_t child = make_child(0);
  muster_region_close(region);
  CHECK_EQUAL(is_held(all->name, 0), 1);
  kill_process(child);
  CHECK_EQUAL(is_held(all->name, 0), 0);
  CHECK_STATUS(muster_region_remove(all->name, 0), 0);
}

enum { CHILDREN = 60 };

typedef struct forker {
  int bare;
  pid_t children[CHILDREN];
  int done;
} forker;

static void *fork_again_and_again(void *context) {
  forker *f = context;
  for (int i = 0; i < CHILDREN; i++) f->children[i] = make_child(f->bare);
  __atomic_store_n(&f->done, 1, __ATOMIC_RELEASE);
  return NULL;
}

static void hold(void *context) {
  common *all = context;
  muster_region *region;
  CHECK_STATUS(open_with(all, MUSTER_REGION_ATTACH, NULL, NULL, 0, &region), 0);
  gate_open(&all->gate, 1);
  for (;;) pause();
}

// One thread asks for a removal that is refused, another forks: what the first had locked is nobody's afterwards.
static void forks_while_removing(void) {
  common *all = make_common(test_name("remove"));
  for (int bare = 0; bare < 2; bare++) {
    forker f = {.bare = bare};
    CHECK_STATUS(make_region(all->name, 0, 64), 0);
    all->gate = 0;
    pid_t holder = test_fork(hold, all);
    gate_wait(&all->gate, 1);
    pthread_t thread;
    REQUIRE(!pthread_create(&thread, NULL, fork_again_and_again, &f));
    while (!__atomic_load_n(&f.done, __ATOMIC_ACQUIRE)) CHECK_STATUS(muster_region_remove(all->name, 0), EBUSY);
    pthread_join(thread, NULL);
    kill_process(holder);
    CHECK_STATUS(muster_region_remove(all->name, 0), 0);
    for (int i = 0; i < CHILDREN; i++) kill_process(f.children[i]);
  }
}

// ---- Signals.

// A timer that ticks faster than all of the space can be reserved in one piece: what takes longer than a tick is undone
// by some file systems, and says EINTR.
static void a_timer_does_not_stop_a_reservation(void) {
  enum { SIZE = 40 * 1000 * 1000 };
  const char *name = test_name("timer");
  muster_region *region;
  refuse_call_with(SYS_fallocate, 3, 0xfff00000, EINTR);
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, SIZE, &region), 0);
  struct stat status;
  CHECK(stat(shm_path(name), &status) == 0);
  CHECK_EQUAL(status.st_size, SIZE + MUSTER_REGION_HEADER_SIZE);
  CHECK(status.st_blocks * 512 >= status.st_size);
  muster_region_close(region);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// What no file system has is refused before the space that it has is taken from others.
static void more_than_there_can_be(void) {
  mount_private(test_folder(), 0, "size=1m");
  const char *path = in_folder("more");
  muster_region *region;
  const uint64_t sizes[] = {2 << 20, UINT64_C(1) << 40, INT64_MAX - MUSTER_REGION_HEADER_SIZE};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    int status = open_region(path, MUSTER_REGION_CREATE | MUSTER_REGION_FILE, sizes[i], &region);
    if (status != EFBIG) CHECK_STATUS(status, ENOSPC);
    CHECK_EQUAL(count_names(test_folder(), ""), 0);
  }
}

// ---- Means that are missing.

// mlockall(MCL_FUTURE) and RLIMIT_MEMLOCK make mmap say EAGAIN: that is no "look again".
static void memory_that_can_not_be_locked(void) {
  const char *name = test_name("lock");
  muster_region *region;
  CHECK_STATUS(make_region(name, 0, 64), 0);
  // Removing for the first time allocates.
  CHECK_STATUS(muster_region_remove(test_name("none"), 0), ENOENT);
  refuse_call(SYS_mmap, EAGAIN);
  CHECK_STATUS(open_region(name, MUSTER_REGION_OPEN, 64, &region), ENOMEM);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  CHECK_STATUS(open_region(name, MUSTER_REGION_OPEN, 64, &region), ENOMEM);
  CHECK_EQUAL(inode_of(shm_path(name)), 0);
}

// For the handlers of fork, which are libc's to keep.
static void no_memory_for_the_first_use(void) {
  const char *name = test_name("none");
  refuse_call(SYS_mmap, EAGAIN);
  int status = muster_region_remove(name, 0);
  if (status != ENOMEM) CHECK_STATUS(status, ENOENT);
}

static int count_call(void *payload, size_t size, void *context) {
  for (size_t i = 0; i < size; i++) CHECK_EQUAL(((unsigned char *)payload)[i], 0);
  memset(payload, 1, size);
  ((common *)context)->calls++;
  return 0;
}

// Kernels before 6.10 without /proc: an unnamed file can't be given a name.
static void no_way_to_name_an_unnamed_file(void) {
#if defined(SYS_link)
  common *all = make_common(test_name("noproc"));
  muster_region *region;
  char drafts[64];
  snprintf(drafts, sizeof drafts, ".muster-draft-%d-", (int)getpid());
  refuse_call(SYS_linkat, ENOENT);
  CHECK_STATUS(open_with(all, MUSTER_REGION_OPEN, count_call, NULL, 0, &region), 0);
  CHECK_EQUAL(all->calls, 2);
  if (region) CHECK_EQUAL(muster_region_created(region), 1);
  CHECK_EQUAL(count_names("/dev/shm", drafts), 0);
  muster_region_close(region);
  CHECK_STATUS(make_region(all->name, 0, 64), EEXIST);
  CHECK_STATUS(muster_region_remove(all->name, 0), 0);
#else
  test_skip("link(2) is linkat here");
#endif
}

static int stop_at_none(const muster_region_info *info, void *context) {
  (void)info, (void)context;
  return 0;
}

// A list that could not be made is not an empty one.
static void a_list_without_descriptors(void) {
  const char *name = test_name("list");
  CHECK_STATUS(make_region(name, 0, 64), 0);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  int next = dup(0), statuses[3];
  close(next);
  for (int spare = 0; spare < 3; spare++) {
    limit.rlim_cur = (rlim_t)(next + spare);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    statuses[spare] = muster_region_list(stop_at_none, NULL);
    limit.rlim_cur = limit.rlim_max;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }
  CHECK_STATUS(statuses[0], EMFILE);
  CHECK_STATUS(statuses[1], EMFILE);
  CHECK_STATUS(statuses[2], 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static int is_open(int file) { return fcntl(file, F_GETFD) >= 0; }

static unsigned use_without_stdio(common *all, const char *path) {
  muster_region *made, *attached, *viewed;
  muster_alive *alive, *taken;
  unsigned wrong = open_with(all, MUSTER_REGION_CREATE, NULL, NULL, 0, &made) != 0;
  muster_region_close(made);
  wrong += open_with(all, MUSTER_REGION_ATTACH, NULL, do_nothing, 0, &attached) != 0;
  wrong += open_with(all, MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY, NULL, NULL, 0, &viewed) != 0;
  wrong += muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &taken) != 0;
  muster_alive_abandon(taken);
  wrong += muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &alive) != 0;
  wrong += muster_alive_wait_death(path, muster_deadline_after(1000000), NULL) != ETIMEDOUT;
  wrong += is_open(0) || is_open(1) || is_open(2);
  wrong += muster_alive_release(alive) != 0;
  muster_region_close(attached);
  muster_region_close(viewed);
  return wrong;
}

// A program that has closed them prints all the same: nothing of ours may stand at their numbers.
static void stdin_stdout_and_stderr_are_left_alone(void) {
  common *all = make_common(test_name("stdio"));
  const char *path = in_folder("alive");
  int kept[3];
  for (int i = 0; i < 3; i++) kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 10), close(i);
  unsigned wrong = use_without_stdio(all, path);
  for (int i = 0; i < 3; i++) dup2(kept[i], i), close(kept[i]);
  CHECK_EQUAL(wrong, 0);
  CHECK_STATUS(muster_region_remove(all->name, 0), 0);
}

static void lease(void *context) {
  int file = open(context, O_RDWR | O_CLOEXEC);
  signal(SIGIO, SIG_IGN);
  REQUIRE(file >= 0);
  if (fcntl(file, F_SETLEASE, F_WRLCK)) _exit(1);
  raise(SIGSTOP);
  for (;;) pause();
}

// Somebody's lease keeps the file from being opened: as a lock that is held.
static void a_stranger_with_a_lease(void) {
  const char *name = test_name("lease");
  muster_region *region;
  muster_region_info info;
  CHECK_STATUS(make_region(name, 0, 64), 0);
  pid_t stranger = test_fork(lease, (void *)(uintptr_t)shm_path(name));
  int ended;
  REQUIRE(waitpid(stranger, &ended, WUNTRACED) == stranger);
  if (!WIFSTOPPED(ended)) test_skip("no leases here");
  muster_region_options options = {.flags = MUSTER_REGION_ATTACH, .deadline = muster_deadline_after(1000000)};
  CHECK_STATUS(muster_region_open(name, &options, &region), EBUSY);
  CHECK_STATUS(muster_region_inspect(name, 0, &info), EBUSY);
  CHECK_STATUS(muster_region_remove(name, MUSTER_REGION_FORCE), EBUSY);
  kill_process(stranger);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// ---- Files and power.

static void what_a_power_failure_leaves(void) {
  const char *path = in_folder("power");
  static char bytes[MUSTER_REGION_HEADER_SIZE + 8192];
  muster_region *region;
  const uint32_t flags[] = {MUSTER_REGION_FILE, MUSTER_REGION_FILE | MUSTER_REGION_FORCE};
  for (int i = 0; i < 2; i++) {
    write_file(path, bytes, sizeof bytes);
    CHECK_STATUS(open_region(path, MUSTER_REGION_OPEN | MUSTER_REGION_FILE, 8192, &region), EBADMSG);
    CHECK_STATUS(muster_region_remove(path, flags[i]), 0);
    CHECK_STATUS(open_region(path, MUSTER_REGION_OPEN | MUSTER_REGION_FILE, 8192, &region), 0);
    muster_region_close(region);
    CHECK_STATUS(muster_region_remove(path, flags[i]), 0);
    // What has something in its first page, or no room for a header, is somebody else's.
    bytes[2000] = 1;
    write_file(path, bytes, sizeof bytes);
    CHECK_STATUS(muster_region_remove(path, flags[i]), EBADMSG);
    bytes[2000] = 0;
    write_file(path, bytes, MUSTER_REGION_HEADER_SIZE);
    CHECK_STATUS(muster_region_remove(path, flags[i]), EBADMSG);
    write_file(path, bytes, 0);
    CHECK_STATUS(muster_region_remove(path, flags[i]), EBADMSG);
  }
}

// A file has its name only when what is in it is on the disk.
static void a_name_comes_after_the_contents(void) {
  const char *path = in_folder("sync"), *name = test_name("sync");
  muster_region *region;
  refuse_call(SYS_fsync, EIO);
  CHECK_STATUS(open_region(path, MUSTER_REGION_OPEN | MUSTER_REGION_FILE, 64, &region), EIO);
  CHECK(!region);
  CHECK_EQUAL(count_names(test_folder(), ""), 0);
  CHECK_STATUS(make_region(name, 0, 64), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void look_behind_a_closed_door(void *context) {
  const char *folder = context;
  char path[600];
  snprintf(path, sizeof path, "%s/region", folder);
  if (geteuid() == 0) REQUIRE(setgid(65534) == 0 && setuid(65534) == 0);
  muster_region *region;
  REQUIRE(mkdir(folder, 0700) == 0);
  CHECK_STATUS(open_region(path, MUSTER_REGION_OPEN | MUSTER_REGION_FILE, 64, &region), 0);
  CHECK_STATUS(muster_region_current(region), 0);
  REQUIRE(chmod(folder, 0) == 0);
  CHECK_STATUS(muster_region_current(region), EACCES);
  REQUIRE(chmod(folder, 0700) == 0);
  CHECK_STATUS(muster_region_remove(path, MUSTER_REGION_FILE | MUSTER_REGION_FORCE), 0);
  CHECK_STATUS(muster_region_current(region), ESTALE);
  REQUIRE(rmdir(folder) == 0);
  CHECK_STATUS(muster_region_current(region), ESTALE);
  muster_region_close(region);
}

static void what_can_not_be_looked_at_is_not_stale(void) {
  REQUIRE(chmod(test_folder(), 0777) == 0);
  test_join(test_fork(look_behind_a_closed_door, (void *)(uintptr_t)in_folder("closed")), 0);
}

static void modes_that_no_region_can_have(void) {
  const uint32_t modes[] = {01600, 04600, 0400, 0200, 0444, 0066, 0170600, UINT32_MAX};
  const char *name = test_name("mode");
  muster_region *region;
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
    muster_region_options options = {.flags = MUSTER_REGION_OPEN, .size = 64, .mode = modes[i]};
    CHECK_STATUS(muster_region_open(name, &options, &region), EINVAL);
    CHECK(!region);
  }
  CHECK_EQUAL(inode_of(shm_path(name)), 0);
}

// ---- Cancelled threads.

static int come_by_a_cancellation_point(void *payload, size_t size, void *context) {
  (void)payload, (void)size, (void)context;
  pthread_testcancel();
  test_pause(1000);
  return 0;
}

static void *call_all_cancelled(void *context) {
  common *all = context;
  muster_region *region, *file;
  muster_region_info info;
  char path[600];
  snprintf(path, sizeof path, "%s/file", test_folder());
  pthread_cancel(pthread_self());
  for (int turn = 0; turn < 2; turn++) {
    muster_region_fill point = come_by_a_cancellation_point;
    CHECK_STATUS(open_with(all, MUSTER_REGION_OPEN, point, point, 0, &region), 0);
    muster_region_close(region);
  }
  CHECK_STATUS(open_region(path, MUSTER_REGION_OPEN | MUSTER_REGION_FILE, 64, &file), 0);
  CHECK_STATUS(muster_region_sync(file), 0);
  muster_region_close(file);
  CHECK_STATUS(muster_region_inspect(all->name, 0, &info), 0);
  CHECK_STATUS(muster_region_list(stop_at_none, NULL), 0);
  CHECK_STATUS(muster_region_remove(all->name, 0), 0);
  // Cancellable before and after each call, as it was.
  int state = PTHREAD_CANCEL_DISABLE;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
  CHECK_EQUAL(state, PTHREAD_CANCEL_ENABLE);
  return all;
}

// None of the calls is a cancellation point: nothing is lost in their midst.
static void a_cancelled_thread_ends_between_calls(void) {
  common *all = make_common(test_name("cancel"));
  unsigned before = count_descriptors();
  pthread_t thread;
  void *result = NULL;
  REQUIRE(!pthread_create(&thread, NULL, call_all_cancelled, all) && !pthread_join(thread, &result));
  CHECK(result == all);
  CHECK_EQUAL(count_descriptors(), before);
}

TEST_SUITE(region_fault, {"a_slow_initialisation_costs_no_patience", a_slow_initialisation_costs_no_patience, 60},
           {"a_renewer_that_stops", a_renewer_that_stops, 60}, {"a_fork_while_renewing", a_fork_while_renewing, 0},
           {"a_handle_is_the_childs_too", a_handle_is_the_childs_too, 0},
           {"forks_while_removing", forks_while_removing, 60},
           {"a_timer_does_not_stop_a_reservation", a_timer_does_not_stop_a_reservation, 0},
           {"more_than_there_can_be", more_than_there_can_be, 0},
           {"memory_that_can_not_be_locked", memory_that_can_not_be_locked, 0},
           {"no_memory_for_the_first_use", no_memory_for_the_first_use, 0},
           {"no_way_to_name_an_unnamed_file", no_way_to_name_an_unnamed_file, 0},
           {"a_list_without_descriptors", a_list_without_descriptors, 0},
           {"stdin_stdout_and_stderr_are_left_alone", stdin_stdout_and_stderr_are_left_alone, 0},
           {"a_stranger_with_a_lease", a_stranger_with_a_lease, 0},
           {"what_a_power_failure_leaves", what_a_power_failure_leaves, 0},
           {"a_name_comes_after_the_contents", a_name_comes_after_the_contents, 0},
           {"what_can_not_be_looked_at_is_not_stale", what_can_not_be_looked_at_is_not_stale, 0},
           {"modes_that_no_region_can_have", modes_that_no_region_can_have, 0},
           {"a_cancelled_thread_ends_between_calls", a_cancelled_thread_ends_between_calls, 0});
