// The frame of Muster's C tests: suites of named tests, each run in a process of its own with a deadline.
//
// A test is `static void name(void)`; it fails by a CHECK, by dying, by its deadline, or by leaving a region or a
// process behind. Processes that a test forks end by `_exit(test_result())`, or are killed with it.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_TEST_H
#define MUSTER_TEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct test_case {
  const char *name;
  void (*run)(void);
  unsigned seconds;  // deadline; 0: 30 s
} test_case;

typedef struct test_suite {
  const char *name;
  const test_case *cases;
  size_t count;
} test_suite;

#define TEST_SUITE(suite, ...)                                  \
  static const test_case suite##_cases[] = {__VA_ARGS__};       \
  const test_suite suite##_suite = {#suite, suite##_cases, sizeof suite##_cases / sizeof *suite##_cases}

void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

// How many times slower than usual this build is, by its sanitizer: what goes by a number of turns may take fewer.
unsigned test_slower(void);

// Where each byte is tried in up to four ways: of how many of them this build takes one, another at the next byte and the
// next word: `if ((at + at / 8 + way) % test_stride()) continue;`.
unsigned test_stride(void);

// Whether a check failed in this process: 0, or 1. What a forked child exits with.
int test_result(void);

#define CHECK(condition)                                                   \
  do {                                                                     \
    if (!(condition)) test_fail(__FILE__, __LINE__, "%s is not so", #condition); \
  } while (0)

// Two integers are equal; both are printed when they are not.
#define CHECK_EQUAL(actual, expected)                                                                         \
  do {                                                                                                        \
    long long test_a = (long long)(actual), test_e = (long long)(expected);                                   \
    if (test_a != test_e) test_fail(__FILE__, __LINE__, "%s is %lld, not %lld (%s)", #actual, test_a, test_e, #expected); \
  } while (0)

// A Muster status; names are printed.
#define CHECK_STATUS(actual, expected) test_status(__FILE__, __LINE__, #actual, (actual), (expected))
void test_status(const char *file, int line, const char *text, int actual, int expected);

// What can't be true for the test to go on: fails and ends the process.
#define REQUIRE(condition)                                                                        \
  do {                                                                                            \
    if (!(condition)) test_fail(__FILE__, __LINE__, "%s is not so: can't go on", #condition), test_end(); \
  } while (0)
void test_end(void) __attribute__((noreturn));

// The test could not be run here, and why; counted and printed as skipped, never as passed.
void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

// A name for a region that no other test has: "muster-test-PID-TAG". Removed after the test whatever happens. Static storage,
// a new one for each call, up to 16.
const char *test_name(const char *tag);

// A folder of this test's own under TMPDIR or /tmp; removed with all that is in it after the test.
const char *test_folder(void);

// Forks a child that runs `body(context)` and ends with test_result(). Returns its pid.
pid_t test_fork(void (*body)(void *context), void *context);

// Waits for a child and checks that it ended with status 0, or (`signal` not 0) by that signal.
void test_join(pid_t pid, int signal);

// Whether the child sleeps in the kernel (state S in /proc/PID/stat), waited for up to a second; then true.
int test_asleep(pid_t pid);

// Nanoseconds of CLOCK_MONOTONIC; a pause.
int64_t test_now(void);
void test_pause(int64_t nanoseconds);

// A pseudo-random stream (splitmix64) whose seed is printed, and taken from MUSTER_TEST_SEED where that is set.
uint64_t test_seed(void);
uint64_t test_random(uint64_t *state);

#endif
