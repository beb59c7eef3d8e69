// Starting programs: what they get, how they end, and what starting them can fail at.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_support.h"

static void says_how_it_ended(void) {
  process_audit audit = audit_begin();
  muster_process process;
  start_shell(&process, "exit 0", 0);
  CHECK_EQUAL(end_of(&process), 0);
  start_shell(&process, "exit 255", 0);
  CHECK_EQUAL(end_of(&process), 255);
  start_shell(&process, "kill -KILL $$", 0);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  start_shell(&process, "kill -TERM $$", 0);
  muster_process_end first, second;
  CHECK_STATUS(muster_process_wait(&process, soon(), &first), 0);
  CHECK_EQUAL(first.reaped, 1);
  CHECK(first.usage.memory_peak > 100000 && first.usage.faults_minor > 0);
  // It is said again, also by a handle that is closed.
  CHECK_STATUS(muster_process_poll(&process, &second), 0);
  CHECK(!memcmp(&first, &second, sizeof first));
  muster_process_close(&process);
  muster_process_close(&process);
  CHECK_STATUS(muster_process_wait(&process, MUSTER_DEADLINE_NOW, &second), 0);
  CHECK(!memcmp(&first, &second, sizeof first));
  CHECK_STATUS(muster_process_signal(&process, SIGTERM), ESRCH);
  audit_end(&audit);
}

static void waits_no_longer_than_the_deadline(void) {
  muster_process process;
  start_shell(&process, "exec sleep 1000", 0);
  struct pollfd polled = {.fd = process.pidfd, .events = POLLIN};
  CHECK_STATUS(muster_process_poll(&process, NULL), EAGAIN);
  CHECK_STATUS(muster_process_wait(&process, MUSTER_DEADLINE_NOW, NULL), ETIMEDOUT);
  CHECK_STATUS(muster_process_wait(&process, muster_deadline_after(2000000), NULL), ETIMEDOUT);
  CHECK_EQUAL(poll(&polled, 1, 0), 0);
  CHECK_STATUS(muster_process_signal(&process, 0), 0);
  CHECK_STATUS(muster_process_signal(&process, 1000), EINVAL);
  CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
  CHECK_EQUAL(poll(&polled, 1, 20000), 1);
  // A zombie has ended.
  CHECK_STATUS(muster_process_signal(&process, 0), ESRCH);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
}

// Later than 32 bits of seconds can say.
static void waits_to_the_end_of_time(void) {
  muster_process process;
  muster_process_end end;
  start_shell(&process, "exec sleep 0.05", 0);
  CHECK_STATUS(muster_process_wait(&process, MUSTER_DEADLINE_NEVER - 1, &end), 0);
  CHECK(end.kind == MUSTER_PROCESS_EXITED && end.code == 0);
  muster_process_close(&process);
}

static void tells_of_a_core(void) {
  char pattern[256] = "";
  int file = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);
  if (file < 0 || read(file, pattern, sizeof pattern - 1) <= 0 || *pattern == '|' || *pattern == '/')
    test_skip("cores are not written to the working folder: %s", pattern);
  close(file);
  muster_process_limit limits[] = {{.resource = RLIMIT_CORE, .soft = 1 << 26, .hard = 1 << 26}};
  for (int dumps = 0; dumps < 2; dumps++) {
    muster_process process;
    muster_process_end end;
    muster_process_options options = shell("kill -ABRT $$");
    limits[0].soft = dumps ? 1 << 26 : 0;
    options.folder = test_folder();
    options.limits = limits;
    options.limits_count = 1;
    REQUIRE(!muster_process_spawn(&options, &process, NULL));
    CHECK_STATUS(muster_process_wait(&process, soon(), &end), 0);
    CHECK_EQUAL(end.code, SIGABRT);
    CHECK_EQUAL(end.core_dumped, dumps);
    muster_process_close(&process);
  }
}

// What it used is what the kernel says: half of it is worked, half slept.
static void says_what_it_used(void) {
  muster_process process;
  muster_process_end end;
  muster_process_sample sample;
  start_shell(&process, "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; kill -STOP $$; exit 0", 0);
  char state = 0;
  for (muster_deadline deadline = soon(); state != 'T' && !muster_deadline_passed(deadline); test_pause(1000000)) {
    CHECK_STATUS(muster_process_look(&process, &sample), 0);
    state = sample.state;
  }
  CHECK_EQUAL(state, 'T');
  CHECK_EQUAL(sample.threads, 1);
  CHECK(sample.start > 0 && sample.memory > 100000 && sample.memory_peak >= sample.memory && sample.faults_minor > 10);
  CHECK_STATUS(muster_process_signal(&process, SIGCONT), 0);
  CHECK_STATUS(muster_process_wait(&process, soon(), &end), 0);
  CHECK(end.usage.user + end.usage.system > 1000000 && end.usage.user + end.usage.system < UINT64_C(20000000000));
  // The kernel counts pages by processor, and adds them up at other times for the one than for the other.
  CHECK(end.usage.memory_peak >= sample.memory_peak / 2);
  CHECK(end.usage.faults_minor >= sample.faults_minor);
  CHECK_STATUS(muster_process_look(&process, &sample), ESRCH);
  muster_process_close(&process);
}

static void is_told_though_another_has_reaped_it(void) {
  muster_process process;
  muster_process_end end;
  start_shell(&process, "exit 7", 0);
  int status;
  while (waitpid(-1, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK_STATUS(muster_process_wait(&process, soon(), &end), 0);
  CHECK_EQUAL(end.reaped, 0);
  CHECK(end.kind == MUSTER_PROCESS_UNKNOWN || (end.kind == MUSTER_PROCESS_EXITED && end.code == 7));
  muster_process_close(&process);
  // The kernel reaps.
  signal(SIGCHLD, SIG_IGN);
  process_audit audit = audit_begin();
  start_shell(&process, "exit 8", 0);
  CHECK_STATUS(muster_process_wait(&process, soon(), &end), 0);
  CHECK(end.kind == MUSTER_PROCESS_UNKNOWN || (end.kind == MUSTER_PROCESS_EXITED && end.code == 8));
  muster_process_close(&process);
  muster_process_step step;
  CHECK_STATUS(muster_process_spawn(&(muster_process_options){.path = "/no/such"}, &process, &step), ENOENT);
  CHECK_EQUAL(step, MUSTER_PROCESS_STEP_EXEC);
  audit_end(&audit);
}

static void others_can_be_watched(void) {
  muster_process mine, other;
  muster_process_sample sample;
  start_shell(&mine, "exec sleep 1000", 0);
  CHECK_STATUS(muster_process_look(&mine, &sample), 0);
  CHECK_STATUS(muster_process_open(mine.pid, sample.start + 1, &other), ESTALE);
  CHECK_STATUS(muster_process_open(0, 0, &other), EINVAL);
  CHECK_STATUS(muster_process_wait(&other, MUSTER_DEADLINE_NOW, NULL), EINVAL);
  CHECK_STATUS(muster_process_open(mine.pid, sample.start, &other), 0);
  CHECK_STATUS(muster_process_wait(&other, MUSTER_DEADLINE_NOW, NULL), ETIMEDOUT);
  CHECK_STATUS(muster_process_signal(&other, SIGTERM), 0);
  // A child all the same: the one handle reaps, the other is told nevertheless.
  CHECK_EQUAL(end_of(&mine), -SIGTERM);
  muster_process_end end;
  CHECK_STATUS(muster_process_wait(&other, soon(), &end), 0);
  CHECK_EQUAL(end.reaped, 0);
  muster_process_close(&other);
  CHECK_STATUS(muster_process_open(mine.pid, 0, &other), ESRCH);
}

static void watches_by_a_descriptor_of_it(void) {
  process_audit audit = audit_begin();
  muster_process mine, other, again;
  start_shell(&mine, "exec sleep 1000", 0);
  CHECK_STATUS(muster_process_open_descriptor(-1, &other), EBADF);
  CHECK_STATUS(muster_process_wait(&other, MUSTER_DEADLINE_NOW, NULL), EINVAL);
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK_STATUS(muster_process_open_descriptor(null, &other), EINVAL);
  close(null);
  CHECK_STATUS(muster_process_open_descriptor(mine.pidfd, &other), 0);
  CHECK_EQUAL(other.pid, mine.pid);
  CHECK(other.pidfd != mine.pidfd && fcntl(other.pidfd, F_GETFD) == FD_CLOEXEC);
  CHECK_STATUS(muster_process_poll(&other, NULL), EAGAIN);
  CHECK_STATUS(muster_process_signal(&other, SIGTERM), 0);
  // A zombie is told as one who has ended, and one who was reaped is nobody's number any more.
  struct pollfd polled = {.fd = mine.pidfd, .events = POLLIN};
  CHECK_EQUAL(poll(&polled, 1, 20000), 1);
  CHECK_STATUS(muster_process_open_descriptor(mine.pidfd, &again), 0);
  CHECK_STATUS(muster_process_signal(&again, 0), ESRCH);
  CHECK_EQUAL(end_of(&again), -SIGTERM);
  CHECK_STATUS(muster_process_open_descriptor(other.pidfd, &again), ESRCH);
  CHECK_EQUAL(again.pid, 0);
  muster_process_close(&other);
  muster_process_close(&mine);
  audit_end(&audit);
}

static void gets_what_the_options_say(void) {
  char text[PATH_MAX + 256], expected[PATH_MAX + 256];
  muster_process_options options = shell("pwd; echo $A-$B-$0-$1; umask; ulimit -n; nice; cat");
  const char *arguments[] = {"sh", "-c", options.arguments[2], "zero", "one", NULL};
  const char *environment[] = {"A=a", "PATH=/usr/bin:/bin", NULL};
  muster_process_limit limit = {.resource = RLIMIT_NOFILE, .soft = 37, .hard = 41};
  char folder[PATH_MAX];
  REQUIRE(realpath(test_folder(), folder));
  options.arguments = arguments;
  options.environment = environment;
  options.folder = folder;
  options.flags = MUSTER_PROCESS_UMASK;
  options.umask = 0127;
  options.limits = &limit;
  options.limits_count = 1;
  options.nice = 3;
  options.streams[0].kind = MUSTER_PROCESS_STREAM_NULL;
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  snprintf(expected, sizeof expected, "%s\na--zero-one\n0127\n37\n%d\n", folder, getpriority(PRIO_PROCESS, 0) + 3);
  CHECK(!strcmp(text, expected));
  // Group and session; this process's environment, with a number of its own behind ours.
  REQUIRE(!setenv("MUSTER_TREE", "00000000000000aa", 1));
  options = shell("echo $$ $(ps -o pgid=,sid= $$); echo $MUSTER_TREE");
  options.flags = MUSTER_PROCESS_SESSION;
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  int pid, group, session;
  char tree[64];
  CHECK_EQUAL(sscanf(text, "%d %d %d %63s", &pid, &group, &session, tree), 4);
  CHECK(pid == group && pid == session);
  CHECK(!strncmp(tree, "00000000000000aa,", 17) && strlen(tree) == 33);
  options.flags = MUSTER_PROCESS_NO_COOKIE;
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK(strstr(text, "\n00000000000000aa\n"));
}

// Who is started by who is started, forty deep: the outermost numbers go.
static void numbers_of_the_tree_are_not_ever_more(void) {
  char text[4096], outer[41 * 17] = "";
  for (int i = 0; i < 40; i++) sprintf(outer + strlen(outer), "%s%016x", i ? "," : "", i + 1);
  REQUIRE(!setenv("MUSTER_TREE", outer, 1));
  muster_process_options options = shell("echo $MUSTER_TREE");
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK_EQUAL(strlen(text), 32 * 17);
  CHECK(!strncmp(text, "000000000000000a,", 17));
}

// Entries that come and go while a program is started.
static const char *mine[16] = {"A=a"};

static void *add_and_remove(void *context) {
  static const char *const more = "B=b";
  while (!__atomic_load_n((int *)context, __ATOMIC_RELAXED)) {
    __atomic_store_n(&mine[1], more, __ATOMIC_RELAXED);
    __atomic_store_n(&mine[1], NULL, __ATOMIC_RELAXED);
  }
  return NULL;
}

static void an_environment_that_grows_does_no_harm(void) {
  if (count_names("/proc/self/task", "") > 1) test_skip("the thread sanitizer would be right");
  int enough = 0;
  pthread_t thread;
  char text[4096];
  for (int i = 2; i < 15; i++) mine[i] = "C=c";
  environ = (char **)(uintptr_t)mine;
  muster_process_options options = shell("echo $MUSTER_TREE");
  REQUIRE(!pthread_create(&thread, NULL, add_and_remove, &enough));
  for (int i = 0; i < 60; i++) {
    CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
    CHECK_EQUAL(strspn(text, "0123456789abcdef"), 16);
    CHECK_EQUAL(strlen(text), 17);
  }
  __atomic_store_n(&enough, 1, __ATOMIC_RELAXED);
  pthread_join(thread, NULL);
}

static int open_text(const char *text) {
  int ends[2];
  REQUIRE(!pipe2(ends, O_CLOEXEC));
  REQUIRE(write(ends[1], text, strlen(text)) == (ssize_t)strlen(text));
  close(ends[1]);
  return ends[0];
}

// Numbers that are each other's, or their own; and none beside them.
static void descriptors_come_where_they_should(void) {
  char text[4096], script[256], expected[64];
  int a = open_text("a"), b = open_text("b"), c = open_text("c"), leaks = fcntl(a, F_DUPFD, 30);
  muster_process_descriptor moves[] = {{a, b}, {b, a}, {c, c}, {a, 17}};
  // The shell itself takes numbers of one digit only.
  snprintf(script, sizeof script, "cat /proc/$$/fd/%d; cat /proc/$$/fd/%d; cat /proc/$$/fd/%d; for f in /proc/$$/fd/*; do echo ${f##*/}; done",
           b, a, c);
  muster_process_options options = shell(script);
  options.descriptors = moves;
  options.descriptors_count = 4;
  process_audit audit = audit_begin();
  int flags = fcntl(a, F_GETFD);
  REQUIRE(a < 17 && b < 17 && c < 17 && leaks >= 30);
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK(!strncmp(text, "abc0\n1\n", 7));
  snprintf(expected, sizeof expected, "\n%d\n", leaks);
  CHECK(strstr(text, "\n17\n") && !strstr(text, expected));
  CHECK_EQUAL(fcntl(a, F_GETFD), flags);
  audit_end(&audit);
}

// Some have to step aside, and the limit leaves nothing above.
static void numbers_end_where_the_limit_does(void) {
  int a = open_text("a"), b = open_text("b");
  muster_process_descriptor moves[] = {{a, b}, {b, a}, {0, 29}};
  char text[64], script[128];
  snprintf(script, sizeof script, "cat /proc/$$/fd/%d /proc/$$/fd/%d", a, b);
  muster_process_options options = shell(script);
  options.descriptors = moves;
  options.descriptors_count = 3;
  struct rlimit limit;
  REQUIRE(a < 20 && b < 20 && !getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = 30;
  REQUIRE(!setrlimit(RLIMIT_NOFILE, &limit));
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK(!strcmp(text, "ba"));
  muster_process process;
  muster_process_step step;
  moves[2].to = INT32_MAX;
  options.streams[1].kind = 0;
  CHECK_STATUS(muster_process_spawn(&options, &process, &step), EBADF);
  CHECK_EQUAL(step, MUSTER_PROCESS_STEP_DESCRIPTORS);
}

static void others_stay_here(void) {
  char text[4096], kept[16];
  int leaks = fcntl(0, F_DUPFD, 50);
  REQUIRE(leaks >= 50);
  snprintf(kept, sizeof kept, "%d", leaks);
  muster_process_options options = shell("for f in /proc/$$/fd/*; do echo ${f##*/}; done");
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK(!strstr(text, kept));
  options.flags = MUSTER_PROCESS_KEEP_DESCRIPTORS;
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK(strstr(text, kept));
  // The same where there is no close_range(2).
  refuse_call(436, ENOSYS);
  options.flags = 0;
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK(!strstr(text, kept));
}

static void handler(int number) { (void)number; }

// The two that libc keeps for itself (32, 33) are left out: glibc's posix_spawn(3), by which this may have been started, has them ignored.
static uint64_t signals_of(const char *text, const char *name) {
  const char *found = strstr(text, name);
  return found ? strtoull(found + strlen(name), NULL, 16) & ~(UINT64_C(3) << 31) : UINT64_MAX;
}

static void signals_are_as_for_a_new_program(void) {
  char text[4096];
  sigset_t some;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR2);
  sigprocmask(SIG_BLOCK, &some, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGUSR1, handler);
  // By exec: a shell may have the programs that it starts block nothing.
  muster_process_options options = shell("exec grep -E '^Sig(Blk|Ign)' /proc/self/status");
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK_EQUAL(signals_of(text, "SigBlk:"), 0);
  CHECK_EQUAL(signals_of(text, "SigIgn:"), 0);
  options.flags = MUSTER_PROCESS_KEEP_SIGNALS;
  CHECK_EQUAL(run_shell(&options, text, sizeof text), 0);
  CHECK_EQUAL(signals_of(text, "SigBlk:"), 0x800);
  CHECK_EQUAL(signals_of(text, "SigIgn:"), 0x1000);
  // And ours are as before.
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  CHECK(sigismember(&now, SIGUSR2) && !sigismember(&now, SIGTERM));
}

TEST_SUITE(process, {"says_how_it_ended", says_how_it_ended, 0},
           {"waits_no_longer_than_the_deadline", waits_no_longer_than_the_deadline, 0}, 
           {"waits_to_the_end_of_time", waits_to_the_end_of_time, 0}, {"tells_of_a_core", tells_of_a_core, 0},
           {"says_what_it_used", says_what_it_used, 0},
           {"is_told_though_another_has_reaped_it", is_told_though_another_has_reaped_it, 0},
           {"others_can_be_watched", others_can_be_watched, 0},
           {"watches_by_a_descriptor_of_it", watches_by_a_descriptor_of_it, 0}, {"gets_what_the_options_say", gets_what_the_options_say, 0},
           {"numbers_of_the_tree_are_not_ever_more", numbers_of_the_tree_are_not_ever_more, 0},
           {"descriptors_come_where_they_should", descriptors_come_where_they_should, 0},
           {"an_environment_that_grows_does_no_harm", an_environment_that_grows_does_no_harm, 0},
           {"numbers_end_where_the_limit_does", numbers_end_where_the_limit_does, 0},
           {"others_stay_here", others_stay_here, 0},
           {"signals_are_as_for_a_new_program", signals_are_as_for_a_new_program, 0});
