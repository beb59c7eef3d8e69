// What starting a program can fail at: each step, with nothing left of the child; and storms of starts.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_support.h"

static void fails(const muster_process_options *options, int status, muster_process_step step) {
  process_audit audit = audit_begin();
  muster_process process;
  muster_process_step failed;
  CHECK_STATUS(muster_process_spawn(options, &process, &failed), status);
  CHECK_EQUAL(failed, step);
  CHECK(process.pid == 0 && process.pidfd < 0 && process.guard < 0 && process.ready < 0 && process.cgroup < 0);
  audit_end(&audit);
}

static const char *file_of(const char *name, const char *text, mode_t mode) {
  static char paths[4][300];
  static unsigned used;
  char *path = paths[used++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", test_folder(), name);
  write_file(path, text, strlen(text));
  REQUIRE(!chmod(path, mode));
  return path;
}

// With all that is to be undone: a guard, a socket, a cgroup where there may be one, /dev/null.
static muster_process_options laden(void) {
  muster_process_options options = shell("exit 0");
  options.flags = MUSTER_PROCESS_GUARD | MUSTER_PROCESS_CGROUP;
  options.readiness = MUSTER_PROCESS_READY_SOCKET;
  options.streams[0].kind = MUSTER_PROCESS_STREAM_NULL;
  return options;
}

static void each_step_can_fail(void) {
  muster_process_options options = laden();
  options.path = "/no/such";
  fails(&options, ENOENT, MUSTER_PROCESS_STEP_EXEC);
  options.path = file_of("plain", "#!/bin/sh\n", 0600);
  fails(&options, EACCES, MUSTER_PROCESS_STEP_EXEC);
  options.path = file_of("senseless", "no program", 0700);
  fails(&options, ENOEXEC, MUSTER_PROCESS_STEP_EXEC);
  options.path = test_folder();
  fails(&options, EACCES, MUSTER_PROCESS_STEP_EXEC);
  static char long_argument[4 << 20];
  memset(long_argument, 'x', sizeof long_argument - 1);
  const char *arguments[] = {"sh", long_argument, NULL};
  options = laden();
  options.arguments = arguments;
  fails(&options, E2BIG, MUSTER_PROCESS_STEP_EXEC);
  options = laden();
  options.folder = "/no/such";
  fails(&options, ENOENT, MUSTER_PROCESS_STEP_FOLDER);
  options = laden();
  options.group = 1;
  fails(&options, EPERM, MUSTER_PROCESS_STEP_GROUP);
  options = laden();
  muster_process_limit limit = {.resource = 1000};
  options.limits = &limit;
  options.limits_count = 1;
  fails(&options, EINVAL, MUSTER_PROCESS_STEP_LIMIT);
  limit = (muster_process_limit){.resource = RLIMIT_NOFILE, .soft = 20, .hard = 10};
  fails(&options, EINVAL, MUSTER_PROCESS_STEP_LIMIT);
  options = laden();
  muster_process_descriptor move = {1000, 5};
  options.descriptors = &move;
  options.descriptors_count = 1;
  fails(&options, EBADF, MUSTER_PROCESS_STEP_DESCRIPTORS);
  move = (muster_process_descriptor){0, 1 << 30};
  fails(&options, EBADF, MUSTER_PROCESS_STEP_DESCRIPTORS);
  options = laden();
  options.streams[1] = (muster_process_stream){MUSTER_PROCESS_STREAM_DESCRIPTOR, 999};
  fails(&options, EBADF, MUSTER_PROCESS_STEP_DESCRIPTORS);
  // A number that is not open is not what is opened by it meanwhile.
  options = laden();
  move = (muster_process_descriptor){fcntl(0, F_DUPFD, 3), 40};
  close(move.from);
  options.descriptors = &move;
  options.descriptors_count = 1;
  fails(&options, EBADF, MUSTER_PROCESS_STEP_DESCRIPTORS);
}

static void what_makes_no_sense_is_refused(void) {
  muster_process_options options = {.flags = 0};
  fails(&options, EINVAL, MUSTER_PROCESS_STEP_PREPARE);
  options = laden();
  options.path = "";
  fails(&options, EINVAL, MUSTER_PROCESS_STEP_PREPARE);
  options = laden();
  options.flags |= MUSTER_PROCESS_GROUP;
  options.group = 77;
  fails(&options, EINVAL, MUSTER_PROCESS_STEP_PREPARE);
  options = laden();
  options.flags = 1U << 31;
  fails(&options, EINVAL, MUSTER_PROCESS_STEP_PREPARE);
  options = laden();
  options.readiness = 9;
  fails(&options, EINVAL, MUSTER_PROCESS_STEP_PREPARE);
  options.readiness = MUSTER_PROCESS_READY_LINE;
  options.ready_descriptor = 2;
  fails(&options, EINVAL, MUSTER_PROCESS_STEP_PREPARE);
  options = laden();
  options.streams[2].kind = 77;
  fails(&options, EINVAL, MUSTER_PROCESS_STEP_PREPARE);
  muster_process_descriptor moves[] = {{0, 5}, {1, 5}};
  options = laden();
  options.descriptors = moves;
  options.descriptors_count = 2;
  fails(&options, EINVAL, MUSTER_PROCESS_STEP_PREPARE);
  options.descriptors_count = MUSTER_PROCESS_DESCRIPTORS_MAX + 1;
  fails(&options, EINVAL, MUSTER_PROCESS_STEP_PREPARE);
}

static void is_found_in_the_path(void) {
  char path[900], text[64];
  snprintf(path, sizeof path, "/no/such:%s:%s", test_folder(), "/usr/bin:/bin");
  REQUIRE(!setenv("PATH", path, 1));
  const char *arguments[] = {"echo", "found", NULL};
  muster_process_options options = {.path = "echo", .arguments = arguments, .flags = MUSTER_PROCESS_SEARCH};
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK(!strcmp(text, "found\n"));
  // It stands in the way, but may not be executed: the next one is.
  file_of("echo", "#!/bin/sh\necho wrong\n", 0600);
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK(!strcmp(text, "found\n"));
  options.path = "muster-no-such";
  options.streams[1].kind = 0;
  fails(&options, ENOENT, MUSTER_PROCESS_STEP_EXEC);
  // That one is there and may not be executed tells more than that there is no other.
  file_of("muster-no-such", "", 0600);
  fails(&options, EACCES, MUSTER_PROCESS_STEP_EXEC);
  file_of("muster-no-such", "#!/bin/sh\necho $0\n", 0700);
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  options.flags = 0;
  options.streams[1].kind = 0;
  fails(&options, ENOENT, MUSTER_PROCESS_STEP_EXEC);
  // An empty part is the working folder.
  REQUIRE(!setenv("PATH", "/no/such:", 1));
  options.flags = MUSTER_PROCESS_SEARCH;
  options.folder = test_folder();
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
}

static void is_executed_by_a_descriptor(void) {
  char text[64];
  const char *arguments[] = {"echo", "by", "number", NULL};
  int program = open("/bin/echo", O_PATH | O_CLOEXEC);
  REQUIRE(program > 2);
  muster_process_options options = {.program = program, .arguments = arguments};
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK(!strcmp(text, "by number\n"));
  // Though something else is moved to that number.
  muster_process_descriptor move = {0, program};
  options.descriptors = &move;
  options.descriptors_count = 1;
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK(!strcmp(text, "by number\n"));
  close(program);
  // A script is opened by its interpreter, by that number.
  program = open(file_of("script", "#!/bin/sh\necho script\n", 0700), O_RDONLY | O_CLOEXEC);
  REQUIRE(program > 2);
  options.program = program;
  move = (muster_process_descriptor){program, program};
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK(!strcmp(text, "script\n"));
  close(program);
  options.descriptors_count = 0;
  options.streams[1].kind = 0;
  fails(&options, EBADF, MUSTER_PROCESS_STEP_EXEC);
}

// Everything, as by the clone that shares memory.
static void forks_where_a_sandbox_refuses_the_clone(void) {
  refuse_flags(SYS_clone, 0, CLONE_VFORK, EPERM);
  char text[4096];
  muster_process_options options = shell("echo $((6 * 7)); echo ${MUSTER_TREE:+tree}; exit 3");
  options.flags = MUSTER_PROCESS_GROUP | MUSTER_PROCESS_TIE;
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 3);
  CHECK(!strcmp(text, "42\ntree\n"));
  each_step_can_fail();
  // At once gone, and reaped by the kernel: it is known by then.
  signal(SIGCHLD, SIG_IGN);
  for (int i = 0; i < 20; i++) {
    muster_process process;
    muster_process_end end;
    start_shell(&process, "exit 5", 0);
    CHECK_STATUS(muster_process_wait(&process, soon(), &end), 0);
    muster_process_close(&process);
  }
}

static void descriptors_may_be_short(void) {
  muster_process_options options = laden();
  muster_process process;
  muster_process_step step;
  struct rlimit limit;
  REQUIRE(!getrlimit(RLIMIT_NOFILE, &limit));
  unsigned open_now = count_descriptors();
  int succeeded = 0;
  // One more at a time: it fails at each place, and then no more.
  for (unsigned more = 0; more < 40 && !succeeded; more++) {
    limit.rlim_cur = open_now + more;
    REQUIRE(!setrlimit(RLIMIT_NOFILE, &limit));
    int status = muster_process_spawn(&options, &process, &step);
    limit.rlim_cur = limit.rlim_max;
    REQUIRE(!setrlimit(RLIMIT_NOFILE, &limit));
    if (status) {
      CHECK(status == EMFILE);
      CHECK_EQUAL(count_descriptors(), open_now);
    } else {
      succeeded = 1;
      CHECK_EQUAL(end_of(&process), 0);
    }
  }
  CHECK(succeeded);
  audit_end(&(process_audit){open_now, 0});
}

static void memory_may_be_short(void) {
  muster_process_options options = laden();
  process_audit audit = audit_begin();
  // Of the child, and no other: a sanitizer needs memory all the time.
#ifdef SYS_mmap2
  refuse_flags(SYS_mmap2, 3, MAP_STACK, ENOMEM);
#else
  refuse_flags(SYS_mmap, 3, MAP_STACK, ENOMEM);
#endif
  muster_process process;
  muster_process_step step;
  CHECK_STATUS(muster_process_spawn(&options, &process, &step), ENOMEM);
  CHECK_EQUAL(step, MUSTER_PROCESS_STEP_PREPARE);
  audit_end(&audit);
}

// The child can be made, its guard not.
static void a_guard_may_be_short(void) {
  process_audit audit = audit_begin();
  muster_process_options options = laden();
  refuse_flags(SYS_clone, 0, CLONE_PIDFD, EAGAIN);
  muster_process process;
  muster_process_step step;
  CHECK_STATUS(muster_process_spawn(&options, &process, &step), EAGAIN);
  CHECK_EQUAL(step, MUSTER_PROCESS_STEP_GUARD);
  CHECK(process.pid == 0 && process.guard < 0 && process.ready < 0 && process.cgroup < 0);
  audit_end(&audit);
}

static void processes_may_be_short(void) {
  if (getuid() == 0 && (setgid(65534) || setuid(65534))) test_skip("can't become another user: %s", strerror(errno));
  struct rlimit limit = {1, 1};
  REQUIRE(!setrlimit(RLIMIT_NPROC, &limit));
  muster_process_options options = shell("exit 0");
  muster_process process;
  muster_process_step step;
  // Others of that user may run; with one allowed the first may succeed where none does.
  int status = muster_process_spawn(&options, &process, &step);
  if (status == 0) test_skip("this user may have any number of processes");
  CHECK_STATUS(status, EAGAIN);
  CHECK_EQUAL(step, MUSTER_PROCESS_STEP_CLONE);
}

// A process that has given up its descriptors, as sandboxes do, sleeps and is woken for its children all the same.
static void who_may_open_nothing_waits_nevertheless(void) {
  int ends[2];
  muster_process process, late;
  struct rusage before, after;
  REQUIRE(!pipe2(ends, O_CLOEXEC));
  muster_process_options options = shell("read x; echo >&7; read x; exit 6");
  options.readiness = MUSTER_PROCESS_READY_LINE;
  options.ready_descriptor = 7;
  options.streams[0] = (muster_process_stream){MUSTER_PROCESS_STREAM_DESCRIPTOR, ends[0]};
  REQUIRE(!muster_process_spawn(&options, &process, NULL));
  start_shell(&late, "exec sleep 1000", MUSTER_PROCESS_GROUP);
  // The number is far above what a set of libc's has room for, where that may be.
  int high = fcntl(late.pidfd, F_DUPFD_CLOEXEC, 5000);
  if (high >= 0) close(late.pidfd), late.pidfd = high;
  struct rlimit limit;
  REQUIRE(!getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = 0;
  REQUIRE(!setrlimit(RLIMIT_NOFILE, &limit));
  REQUIRE(!getrusage(RUSAGE_THREAD, &before));
  CHECK_STATUS(muster_process_wait(&process, muster_deadline_after(20000000), NULL), ETIMEDOUT);
  CHECK_STATUS(muster_process_wait(&late, muster_deadline_after(20000000), NULL), ETIMEDOUT);
  CHECK_STATUS(muster_process_ready(&process, muster_deadline_after(20000000)), ETIMEDOUT);
  REQUIRE(!getrusage(RUSAGE_THREAD, &after));
  // Asleep, three times.
  CHECK(after.ru_nvcsw >= before.ru_nvcsw + 3);
  REQUIRE(write(ends[1], "\n", 1) == 1);
  CHECK_STATUS(muster_process_ready(&process, soon()), 0);
  CHECK_STATUS(muster_process_signal(&late, 0), 0);
  REQUIRE(write(ends[1], "\n", 1) == 1);
  CHECK_EQUAL(end_of(&process), 6);
  CHECK_STATUS(muster_process_signal(&late, SIGKILL), 0);
  CHECK_EQUAL(end_of(&late), -SIGKILL);
}

// Threads that start, fail, kill and wait, all at once: each gets its own, and nothing is left.
typedef struct storm {
  uint64_t seed;
  unsigned turns;
  int guards;
} storm;

static void *start_and_kill(void *context) {
  storm *run = context;
  for (unsigned i = 0; i < run->turns; i++) {
    uint64_t chance = test_random(&run->seed);
    muster_process process;
    muster_process_step step;
    muster_process_end end;
    const char *arguments[] = {"sh", "-c", chance & 1 ? "exit 9" : "exec sleep 1000", NULL};
    muster_process_options options = {.path = "/bin/sh", .arguments = arguments};
    if (chance & 2) options.flags |= MUSTER_PROCESS_GROUP;
    if (chance & 4) options.readiness = MUSTER_PROCESS_READY_SOCKET;
    if ((chance & 0x38) == 0 && run->guards) options.flags |= MUSTER_PROCESS_TIE;
    if ((chance & 0x1c0) == 0) options.path = "/no/such";
    int status = muster_process_spawn(&options, &process, &step);
    if ((chance & 0x1c0) == 0) {
      CHECK_STATUS(status, ENOENT);
      continue;
    }
    CHECK_STATUS(status, 0);
    if (!(chance & 1)) CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
    CHECK_STATUS(muster_process_wait(&process, soon(), &end), 0);
    CHECK_EQUAL(end.kind, chance & 1 ? MUSTER_PROCESS_EXITED : MUSTER_PROCESS_SIGNALED);
    CHECK_EQUAL(end.code, chance & 1 ? 9 : SIGKILL);
    muster_process_close(&process);
  }
  return NULL;
}

static void a_storm_leaves_nothing(void) {
  enum { THREADS = 4 };
  pthread_t threads[THREADS];
  storm runs[THREADS];
  uint64_t seed = test_seed();
  process_audit audit = audit_begin();
  // A guard is forked behind the thread sanitizer's back: what its runtime holds for other threads just then is held in it for ever.
  int guards = count_names("/proc/self/task", "") == 1;
  for (int i = 0; i < THREADS; i++) {
    runs[i] = (storm){test_random(&seed), 120 / test_slower(), guards};
    REQUIRE(!pthread_create(&threads[i], NULL, start_and_kill, &runs[i]));
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  audit_end(&audit);
}

// A program without standard streams: nothing of ours comes to stand in their place.
static void without_standard_streams(void) {
  for (int i = 0; i < 3; i++) close(i);
  muster_process_options options = laden();
  options.flags &= ~(uint32_t)MUSTER_PROCESS_CGROUP;
  muster_process process;
  if (muster_process_spawn(&options, &process, NULL)) _exit(101);
  if (process.pidfd < 3 || process.ready < 3 || process.guard < 3) _exit(102);
  muster_process_end end;
  if (muster_process_wait(&process, soon(), &end) || end.code) _exit(103);
  muster_process_close(&process);
  for (int i = 0; i < 3; i++)
    if (fcntl(i, F_GETFD) != -1) _exit(104);
  _exit(0);
}

TEST_SUITE(process_fault, {"each_step_can_fail", each_step_can_fail, 0},
           {"what_makes_no_sense_is_refused", what_makes_no_sense_is_refused, 0},
           {"is_found_in_the_path", is_found_in_the_path, 0}, {"is_executed_by_a_descriptor", is_executed_by_a_descriptor, 0},
           {"forks_where_a_sandbox_refuses_the_clone", forks_where_a_sandbox_refuses_the_clone, 0},
           {"descriptors_may_be_short", descriptors_may_be_short, 0}, {"memory_may_be_short", memory_may_be_short, 0},
           
           {"a_guard_may_be_short", a_guard_may_be_short, 0}, {"processes_may_be_short", processes_may_be_short, 0}, 
           {"who_may_open_nothing_waits_nevertheless", who_may_open_nothing_waits_nevertheless, 0},
           {"a_storm_leaves_nothing", a_storm_leaves_nothing, 60},
           {"without_standard_streams", without_standard_streams, 0});
