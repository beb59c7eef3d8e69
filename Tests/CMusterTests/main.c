// Runs the C tests: `cmuster-tests [--list] [SUITE[.CASE]...]`.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "muster/status.h"
#include "test.h"

#define SUITES(X) \
  X(alive_fault) \
  X(alive_step) \
  X(alive_stop) \
  X(alive) \
  X(alive_wait) \
  X(arena) \
  X(arena_log) \
  X(arena_pages) \
  X(arena_death) \
  X(arena_hostile) \
  X(arena_threads) \
  X(barrier_death) \
  X(barrier_hostile) \
  X(barrier) \
  X(barrier_wake) \
  X(checkpoint_death) \
  X(checkpoint_disk) \
  X(checkpoint_hostile) \
  X(checkpoint) \
  X(crc32c) \
  X(group_stress) \
  X(group) \
  X(group_watch) \
  X(group_white) \
  X(heartbeat) \
  X(heartbeat_death) \
  X(heartbeat_hostile) \
  X(lock_mutex) \
  X(lock_rwlock) \
  X(lock_stress) \
  X(log_death) \
  X(log_drain) \
  X(log_folder) \
  X(log_hostile) \
  X(log_name) \
  X(log) \
  X(pair_death) \
  X(pair_disk) \
  X(pair_hostile) \
  X(pair_seat) \
  X(pair) \
  X(pool_death) \
  X(pool_hostile) \
  X(pool_stress) \
  X(pool) \
  X(pool_wait) \
  X(pool_white) \
  X(posix_barrier) \
  X(process_cgroup) \
  X(process_fault) \
  X(process) \
  X(process_fork) \
  X(process_promise) \
  X(process_ready) \
  X(process_stop) \
  X(process_successor) \
  X(process_tie) \
  X(queue_death) \
  X(queue_hostile) \
  X(queue_storm) \
  X(queue) \
  X(region_fault) \
  X(region_file) \
  X(region_hostile) \
  X(region_race) \
  X(region) \
  X(ring_death) \
  X(ring_hostile) \
  X(ring_scribble) \
  X(ring) \
  X(root_hostile) \
  X(root_memory) \
  X(root_odd) \
  X(root_policy) \
  X(root_restart) \
  X(root_signals) \
  X(root_transaction) \
  X(root) \
  X(runner) \
  X(seqlock_claim) \
  X(seqlock_death) \
  X(seqlock_hostile) \
  X(seqlock) \
  X(status) \
  X(trace_death) \
  X(trace_export) \
  X(trace_hostile) \
  X(trace_open) \
  X(trace) \
  X(trace_white) \
  X(wait)

#define DECLARE(name) extern const test_suite name##_suite;
#define ADDRESS(name) &name##_suite,

SUITES(DECLARE)

static const test_suite *const suites[] = {SUITES(ADDRESS)};

enum { SKIPPED = 77, NAMES = 16 };

static int failed;
static char folder[256];

unsigned test_slower(void) {
  const char *slow = getenv("MUSTER_TEST_SLOWER");
  int times = slow ? atoi(slow) : 1;
  return times < 1 ? 1 : (unsigned)times;
}

unsigned test_stride(void) {
  unsigned stride = test_slower() / 2;
  return stride < 1 ? 1 : stride > 4 ? 4 : stride;
}

void test_fail(const char *file, int line, const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  fprintf(stderr, "%s:%d: [%d] %s\n", file, line, (int)getpid(), text);
  failed = 1;
}

int test_result(void) { return failed; }

void test_end(void) { _exit(1); }

void test_status(const char *file, int line, const char *text, int actual, int expected) {
  if (actual == expected) return;
  test_fail(file, line, "%s is %s (%s), not %s", text, muster_status_name(actual), muster_status_text(actual),
            muster_status_name(expected));
}

void test_skip(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("skipped: ", stdout);
  vprintf(format, arguments);
  putchar('\n');
  fflush(stdout);
  va_end(arguments);
  _exit(SKIPPED);
}

const char *test_name(const char *tag) {
  static char names[NAMES][64];
  static unsigned used;
  char *name = names[used++ % NAMES];
  snprintf(name, sizeof names[0], "muster-test-%d-%s", (int)getpid(), tag);
  return name;
}

const char *test_folder(void) {
  if (!folder[0]) {
    const char *top = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/muster-test-%d-XXXXXX", top ? top : "/tmp", (int)getpid());
    REQUIRE(mkdtemp(folder));
  }
  return folder;
}

// What a test forked ends with it, and the test with the runner, also where they are killed. Who has come too late to be told of the
// death sees another parent; one in an outer namespace of pids is 0.
static pid_t fork_tied(void) {
  fflush(NULL);
  pid_t parent = getpid(), pid = fork();
  if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) || (getppid() != parent && getppid() != 0))) _exit(1);
  return pid;
}

pid_t test_fork(void (*body)(void *), void *context) {
  pid_t pid = fork_tied();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    failed = 0;
    body(context);
    fflush(NULL);
    _exit(test_result());
  }
  return pid;
}

void test_join(pid_t pid, int signal) {
  int status = 0;
  pid_t got;
  do got = waitpid(pid, &status, 0);
  while (got < 0 && errno == EINTR);
  REQUIRE(got == pid);
  if (signal) {
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signal);
  } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    test_fail(__FILE__, __LINE__, "child %d ended with wait status 0x%x", (int)pid, (unsigned)status);
  }
}

int test_asleep(pid_t pid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  for (int64_t end = test_now() + 1000000000; test_now() < end; test_pause(200000)) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return 0;
    text[length] = 0;
    const char *state = strrchr(text, ')');
    if (state && state[1] == ' ' && state[2] == 'S') return 1;
  }
  return 0;
}

int64_t test_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void test_pause(int64_t nanoseconds) {
  struct timespec pause = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  while (nanosleep(&pause, &pause) && errno == EINTR) {
  }
}

uint64_t test_seed(void) {
  const char *given = getenv("MUSTER_TEST_SEED");
  uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)test_now() ^ (uint64_t)getpid() << 40;
  printf("seed: MUSTER_TEST_SEED=%llu\n", (unsigned long long)seed);
  fflush(stdout);
  return seed;
}

uint64_t test_random(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
  (void)status, (void)type, (void)where;
  return remove(path);
}

// Removes what a test (or a child of it) made and left, and says whether the region names among it were left.
static int left_behind(pid_t pid) {
  char command[64];
  snprintf(command, sizeof command, "muster-test-%d-", (int)pid);
  int left = 0;
  const char *top = getenv("TMPDIR");
  const char *places[] = {"/dev/shm", top ? top : "/tmp"};
  for (size_t p = 0; p < 2; p++) {
    char found[512];
    for (;;) {
      snprintf(found, sizeof found, "ls -d %s/%s* 2>/dev/null", places[p], command);
      FILE *list = popen(found, "r");
      char line[512];
      int any = list && fgets(line, sizeof line, list) != NULL;
      if (list) pclose(list);
      if (!any) break;
      line[strcspn(line, "\n")] = 0;
      if (p == 0) fprintf(stderr, "left behind: %s\n", line), left = 1;
      if (nftw(line, remove_entry, 16, FTW_DEPTH | FTW_PHYS)) break;
    }
  }
  return left;
}

// Kills and reaps what a test left running; says whether there was any. As subreaper the runner inherits all of it.
static int reap_orphans(void) {
  int any = 0;
  for (;;) {
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
    if (file >= 0) close(file);
    if (length <= 0) return any;
    text[length] = 0;
    for (char *next = text;;) {
      long pid = strtol(next, &next, 10);
      if (pid <= 0) break;
      siginfo_t info = {0};
      int living = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
      if (living) any = 1;
      kill((pid_t)pid, SIGKILL);
      waitpid((pid_t)pid, NULL, 0);
    }
  }
}

static int run(const test_suite *suite, const test_case *test) {
  pid_t pid = fork_tied();
  if (pid < 0) return perror("fork"), 1;
  if (pid == 0) {
    test->run();
    fflush(NULL);
    _exit(failed);
  }
  int watch = (int)syscall(SYS_pidfd_open, pid, 0);
  struct pollfd poll_for = {.fd = watch, .events = POLLIN};
  unsigned seconds = test->seconds ? test->seconds : 30;
  seconds *= test_slower();
  int late = 0;
  for (int64_t end = test_now() + seconds * INT64_C(1000000000);;) {
    int64_t rest = end - test_now();
    int got = poll(&poll_for, 1, rest > 0 ? (int)(rest / 1000000 + 1) : 0);
    if (got > 0) break;
    if (got == 0 && rest <= 0) {
      late = 1;
      kill(pid, SIGABRT);
      break;
    }
  }
  close(watch);
  int status = 0;
  waitpid(pid, &status, 0);
  int orphans = reap_orphans();
  int left = left_behind(pid);
  if (late) fprintf(stderr, "%s.%s: not done within %u s\n", suite->name, test->name, seconds);
  if (orphans) fprintf(stderr, "%s.%s: left processes running\n", suite->name, test->name);
  if (!late && WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) return SKIPPED;
  if (WIFSIGNALED(status) && !late) fprintf(stderr, "%s.%s: died by signal %d\n", suite->name, test->name, WTERMSIG(status));
  return late || orphans || left || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static int wanted(const char *suite, const char *test, int count, char **arguments) {
  if (count == 0) return 1;
  char whole[256];
  snprintf(whole, sizeof whole, "%s.%s", suite, test);
  for (int i = 0; i < count; i++)
    if (!strcmp(arguments[i], suite) || !strcmp(arguments[i], whole)) return 1;
  return 0;
}

// Whoever started this may have signals blocked or ignored, and tests raise some.
static void take_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
}

int main(int count, char **arguments) {
  take_signals();
  int list = count > 1 && !strcmp(arguments[1], "--list");
  count -= 1 + list, arguments += 1 + list;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  int passed = 0, failures = 0, skipped = 0;
  for (size_t s = 0; s < sizeof suites / sizeof *suites; s++) {
    for (size_t c = 0; c < suites[s]->count; c++) {
      const test_case *test = &suites[s]->cases[c];
      if (!wanted(suites[s]->name, test->name, count, arguments)) continue;
      if (list) {
        printf("%s.%s\n", suites[s]->name, test->name);
        passed++;
        continue;
      }
      int64_t start = test_now();
      int result = run(suites[s], test);
      printf("%s %s.%s (%.2f s)\n", result == 0 ? "ok  " : result == SKIPPED ? "skip" : "FAIL", suites[s]->name, test->name,
             (double)(test_now() - start) / 1e9);
      fflush(stdout);
      if (result == 0) passed++;
      else if (result == SKIPPED) skipped++;
      else failures++;
    }
  }
  if (passed + failures + skipped == 0) return fprintf(stderr, "no test of that name\n"), 2;
  if (!list) printf("C tests: %d passed, %d failed, %d skipped\n", passed, failures, skipped);
  return failures ? 1 : 0;
}
