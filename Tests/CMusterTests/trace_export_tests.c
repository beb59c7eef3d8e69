// What is exported, checked against the description of the format, and in what it says.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/trace.h"
#include "support.h"
#include "trace_support.h"

static unsigned count_of(const char *text, const char *what) {
  unsigned count = 0;
  for (const char *at = text; (at = strstr(at, what)); at += strlen(what)) count++;
  return count;
}

static void every_kind(void) {
  trace_scene scene = trace_test_scene(2, 64, 8);
  muster_trace *trace = trace_test_attach(&scene);
  muster_trace_recorder *mine = trace_test_join(trace, "a \"label\"\\\x01");
  uint16_t work, odd;
  CHECK_STATUS(muster_trace_name(trace, "work", &work), 0);
  CHECK_STATUS(muster_trace_name(trace, "\xffodd\xc0\x80 \xe2\x82\xac\n", &odd), 0);
  for (int kind = MUSTER_TRACE_BEGIN; kind <= MUSTER_TRACE_ASYNC_INSTANT; kind++)
    CHECK_STATUS(muster_trace_record(mine, (muster_trace_kind)kind, kind % 2 ? work : odd, (uint64_t)kind), 0);
  CHECK_STATUS(muster_trace_counter(mine, work, INT64_MIN), 0);
  CHECK_STATUS(muster_trace_instant(mine, 77, 0), 0);
  CHECK_STATUS(muster_trace_freeze(trace), 0);
  char *text = trace_test_export(trace);
  trace_counts counts = trace_test_check_format(text);
  const char *phases = "BEXCstfbenM";
  const unsigned expected[] = {1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2};
  for (size_t k = 0; k < strlen(phases); k++) CHECK_EQUAL(counts.of[(unsigned char)phases[k]], expected[k]);
  CHECK_EQUAL(counts.of['i'], 3);
  CHECK_EQUAL(count_of(text, "\"name\":\"\\ufffdodd\\ufffd\\ufffd \xe2\x82\xac\\u000a\""), 5);
  CHECK_EQUAL(count_of(text, "a \\u0022label\\u0022\\u005c\\u0001"), 1);
  CHECK_EQUAL(count_of(text, "\"args\":{\"value\":-9223372036854775808}"), 1);
  CHECK_EQUAL(count_of(text, "\"name\":\"?\""), 1);
  CHECK_EQUAL(count_of(text, "\"name\":\"frozen\""), 1);
  char pid[64];
  snprintf(pid, sizeof pid, "\"pid\":%d,\"tid\":%d,", (int)getpid(), (int)gettid());
  CHECK_EQUAL(count_of(text, pid), count_of(text, "\"ph\":"));
  free(text);
  trace_test_leave(mine);
  trace_test_close(trace);
  trace_test_end(&scene);
}

// The record begins within spans, and ends within others.
static void spans_that_are_cut(void) {
  for (int leaves = 0; leaves < 2; leaves++) {
    trace_scene scene = trace_test_scene(1, 16, 1);
    muster_trace *trace = trace_test_attach(&scene);
    muster_trace_recorder *mine = trace_test_join(trace, NULL);
    for (uint64_t k = 0; k < 20; k++) CHECK_STATUS(muster_trace_begin(mine, 0, k), 0);
    for (uint64_t k = 0; k < 14; k++) CHECK_STATUS(muster_trace_end(mine, 0, k), 0);
    // Two begins are left, 14 ends; of these 12 have lost their begins.
    char *text = trace_test_export(trace);
    trace_counts counts = trace_test_check_format(text);
    CHECK(counts.of['B'] == 2 && counts.of['E'] == 2 && counts.of['X'] == 12 && counts.left_open == 0);
    CHECK_EQUAL(count_of(text, "\"cut\":true"), 12);
    free(text);
    for (uint64_t k = 0; k < 3; k++) CHECK_STATUS(muster_trace_begin(mine, 0, k), 0);
    if (leaves) trace_test_leave(mine);
    text = trace_test_export(trace);
    counts = trace_test_check_format(text);
    CHECK(counts.of['B'] == 3 && counts.left_open == (leaves ? 0 : 3));
    free(text);
    if (!leaves) trace_test_leave(mine);
    trace_test_close(trace);
    trace_test_end(&scene);
  }
}

// Two recorders of one thread, whose spans overlap: a track each.
static void recorders_of_one_thread(void) {
  trace_scene scene = trace_test_scene(2, 16, 1);
  muster_trace *trace = trace_test_attach(&scene);
  muster_trace_recorder *both[2] = {trace_test_join(trace, "one"), trace_test_join(trace, "two")};
  for (int k = 0; k < 2; k++) CHECK_STATUS(muster_trace_begin(both[k], 0, 1), 0);
  CHECK_STATUS(muster_trace_begin(both[0], 0, 2), 0);
  CHECK_STATUS(muster_trace_end(both[1], 0, 1), 0);
  char *text = trace_test_export(trace), tid[64];
  trace_counts counts = trace_test_check_format(text);
  CHECK(counts.of['B'] == 3 && counts.of['E'] == 1 && counts.of['X'] == 0 && counts.left_open == 2);
  snprintf(tid, sizeof tid, "\"tid\":%d,", (int)gettid());
  CHECK_EQUAL(count_of(text, tid), 4);
  free(text);
  for (int k = 0; k < 2; k++) trace_test_leave(both[k]);
  trace_test_close(trace);
  trace_test_end(&scene);
}

// The clock stands still from the second event on, as that of arm64 may for some events.
static void a_clock_that_is_slow(void) {
  trace_scene scene = trace_test_scene(1, 64, 1);
  muster_trace *trace = trace_test_attach(&scene);
  muster_trace_recorder *mine = trace_test_join(trace, NULL);
  for (uint64_t k = 0; k < 4; k++) {
    CHECK_STATUS(muster_trace_begin(mine, 0, k), 0);
    CHECK_STATUS(muster_trace_begin(mine, 0, k), 0);
    CHECK_STATUS(muster_trace_end(mine, 0, k), 0);
    CHECK_STATUS(muster_trace_span(mine, 0, muster_trace_now(mine)), 0);
    CHECK_STATUS(muster_trace_end(mine, 0, k), 0);
  }
  CHECK_STATUS(muster_trace_begin(mine, 0, 4), 0);
  uint64_t *slots = trace_slots_of(trace, 0), time = slots[TRACE_SLOT_WORDS + 1];
  for (uint32_t k = 1; k < 21; k++) {
    slots[k * TRACE_SLOT_WORDS + 1] = time;
    if ((slots[k * TRACE_SLOT_WORDS + 3] & 0xff) == MUSTER_TRACE_SPAN) slots[k * TRACE_SLOT_WORDS + 2] = time;
  }
  trace_test_leave(mine);
  char *text = trace_test_export(trace);
  trace_counts counts = trace_test_check_format(text);
  CHECK(counts.of['B'] == 9 && counts.of['E'] == 9 && counts.of['X'] == 4 && !counts.left_open);
  CHECK_EQUAL(count_of(text, "\"ts_less_monotonic_ns\":0}"), 1);
  free(text);
  trace_test_close(trace);
  trace_test_end(&scene);
}

// Of an earlier boot: nothing has a negative time.
static void before_this_boot(void) {
  trace_scene scene = trace_test_scene(2, 16, 1);
  muster_trace *trace = trace_test_attach(&scene);
  muster_trace_recorder *both[2] = {trace_test_join(trace, "then"), trace_test_join(trace, "now")};
  for (int k = 0; k < 2; k++) CHECK_STATUS(muster_trace_instant(both[k], 0, 0), 0);
  trace_identity *who = (trace_identity *)(void *)trace->sessions[0].identity;
  who->boot++;
  who->real -= who->monotonic + INT64_C(3599500000000);
  muster_trace_recorder_info info;
  CHECK_STATUS(muster_trace_look_recorder(trace, 0, &info), 0);
  CHECK(info.joined < 0);
  char *text = trace_test_export(trace);
  trace_counts counts = trace_test_check_format(text);
  CHECK_EQUAL(counts.of['i'], 3);
  CHECK_EQUAL(count_of(text, "\"ts_less_monotonic_ns\":3600000000000}"), 1);
  free(text);
  for (int k = 0; k < 2; k++) trace_test_leave(both[k]);
  trace_test_close(trace);
  trace_test_end(&scene);
}

// What a span that the gap swallowed the begin of is shown as begins behind the gap, not at the beginning of all.
static void spans_beside_a_gap(void) {
  trace_scene scene = trace_test_scene(1, 16, 1);
  muster_trace *trace = trace_test_attach(&scene);
  muster_trace_recorder *mine = trace_test_join(trace, NULL);
  CHECK_STATUS(muster_trace_begin(mine, 0, 1), 0);
  CHECK_STATUS(muster_trace_begin(mine, 0, 2), 0);
  CHECK_STATUS(muster_trace_instant(mine, 0, 3), 0);
  CHECK_STATUS(muster_trace_end(mine, 0, 2), 0);
  trace_slots_of(trace, 0)[2 * TRACE_SLOT_WORDS] = 0;
  char *text = trace_test_export(trace);
  trace_counts counts = trace_test_check_format(text);
  CHECK(counts.of['B'] == 2 && counts.of['E'] == 2 && counts.of['X'] == 1 && counts.of['i'] == 1);
  CHECK_EQUAL(count_of(text, "\"dur\":0.000,\"args\":{\"cut\":true,\"id\":2}"), 1);
  free(text);
  trace_test_leave(mine);
  trace_test_close(trace);
  trace_test_end(&scene);
}

static muster_trace *dying;
static int dying_to;

static void tell_and_die(int number) {
  if (muster_trace_freeze(dying) || muster_trace_export(dying, dying_to)) _exit(3);
  signal(number, SIG_DFL);
  raise(number);
}

typedef struct crash {
  trace_scene scene;
  int file;
} crash;

static void do_crash(void *context) {
  const crash *at = context;
  dying = trace_test_attach(&at->scene);
  dying_to = at->file;
  signal(SIGSEGV, tell_and_die);
  muster_trace_recorder *mine = trace_test_join(dying, "crashes");
  uint16_t work;
  CHECK_STATUS(muster_trace_name(dying, "work", &work), 0);
  for (uint64_t k = 0; k < 1000; k++) {
    CHECK_STATUS(muster_trace_begin(mine, work, k), 0);
    if (k == 999) raise(SIGSEGV);
    CHECK_STATUS(muster_trace_end(mine, work, k), 0);
  }
}

static char *read_all(int file) {
  off_t size = lseek(file, 0, SEEK_END);
  char *text = calloc((size_t)size + 1, 1);
  REQUIRE(text && pread(file, text, (size_t)size, 0) == size);
  return text;
}

// The handler of a fatal signal exports what led to it; who looks later finds the same, and that the thread died.
static void from_a_handler(void) {
  char path[512];
  snprintf(path, sizeof path, "%s/export", test_folder());
  crash at = {trace_test_scene(2, 64, 4), open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  REQUIRE(at.file >= 0);
  test_join(test_fork(do_crash, &at), SIGSEGV);
  char *then = read_all(at.file);
  trace_counts counts = trace_test_check_format(then);
  CHECK(counts.left_open == 1 && counts.of['B'] == 32 && counts.of['X'] == 1 && count_of(then, "\"id\":999") == 1);
  CHECK(!count_of(then, "\"name\":\"died\"") && count_of(then, "\"name\":\"frozen\"") == 1);
  muster_trace *looking = trace_test_look_at(&at.scene);
  char *now = trace_test_export(looking);
  trace_counts later = trace_test_check_format(now);
  CHECK(later.left_open == 1 && later.of['B'] == 32 && count_of(now, "\"name\":\"died\"") == 1);
  free(then);
  free(now);
  close(at.file);
  trace_test_close(looking);
  trace_test_end(&at.scene);
}

static void what_cannot_be_written(void) {
  trace_scene scene = trace_test_scene(1, 16, 1);
  muster_trace *trace = trace_test_attach(&scene);
  CHECK_STATUS(muster_trace_export(trace, -1), EBADF);
  int file = open("/dev/full", O_WRONLY | O_CLOEXEC), ends[2];
  REQUIRE(file >= 0 && !pipe(ends));
  CHECK_STATUS(muster_trace_export(trace, file), ENOSPC);
  close(file);
  signal(SIGPIPE, SIG_IGN);
  close(ends[0]);
  errno = 77;
  CHECK_STATUS(muster_trace_export(trace, ends[1]), EPIPE);
  CHECK_EQUAL(errno, 77);
  close(ends[1]);
  char *text = trace_test_export(trace);
  trace_counts counts = trace_test_check_format(text);
  CHECK_EQUAL(counts.of['M'], 0);
  free(text);
  trace_test_close(trace);
  trace_test_end(&scene);
}

// What the checker lets through is what the test is worth.
static void the_checker_checks(void) {
  const char *good = "{\"traceEvents\":[{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":1.5,\"name\":\"a\"},"
                     "{\"ph\":\"E\",\"pid\":1,\"tid\":2,\"ts\":2}]}";
  trace_counts counts = trace_test_check_format(good);
  CHECK(counts.of['B'] == 1 && counts.of['E'] == 1 && !counts.left_open);
  const char *bad[] = {
      "{\"traceEvents\":[{\"ph\":\"E\",\"pid\":1,\"tid\":2,\"ts\":2}]}",
      "{\"traceEvents\":[{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":2,\"name\":\"a\"}]}",
      "{\"traceEvents\":[{\"ph\":\"C\",\"pid\":1,\"tid\":2,\"ts\":2,\"name\":\"a\"}]}",
      "{\"traceEvents\":[{\"ph\":\"i\",\"pid\":1,\"tid\":2,\"ts\":2,\"name\":\"a\"}]}",
      "{\"traceEvents\":[{\"ph\":\"s\",\"pid\":1,\"tid\":2,\"ts\":2,\"name\":\"a\",\"cat\":\"c\"}]}",
      "{\"traceEvents\":[{\"ph\":\"i\",\"pid\":1,\"ts\":2,\"name\":\"a\",\"s\":\"t\"}]}",
      "{\"traceEvents\":[{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":02,\"name\":\"a\"}]}",
      "{\"traceEvents\":[{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":2,\"name\":\"a\n\"}]}",
      "{\"traceEvents\":[{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":2,\"name\":\"a\"}]",
      ("{\"traceEvents\":[{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":2,\"name\":\"a\"},"
       "{\"ph\":\"E\",\"pid\":1,\"tid\":2,\"ts\":1}]}"),
      "{\"traceEvents\":[{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":-2,\"name\":\"a\"}]}",
      ("{\"traceEvents\":[{\"ph\":\"B\",\"pid\":1,\"tid\":2,\"ts\":2,\"name\":\"a\"},"
       "{\"ph\":\"E\",\"pid\":1,\"tid\":2,\"ts\":2}]}"),
  };
  for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
    fflush(NULL);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (!child) {
      close(STDERR_FILENO);
      (void)trace_test_check_format(bad[k]);
      _exit(0);
    }
    int ended;
    REQUIRE(waitpid(child, &ended, 0) == child);
    if (!WIFEXITED(ended) || WEXITSTATUS(ended) == 0) test_fail(__FILE__, __LINE__, "not refused: %s", bad[k]);
  }
}

TEST_SUITE(trace_export, {"every_kind", every_kind, 0}, {"spans_that_are_cut", spans_that_are_cut, 0},
           {"a_clock_that_is_slow", a_clock_that_is_slow, 0}, {"before_this_boot", before_this_boot, 0},
           {"spans_beside_a_gap", spans_beside_a_gap, 0}, {"recorders_of_one_thread", recorders_of_one_thread, 0},
           {"from_a_handler", from_a_handler, 0}, {"what_cannot_be_written", what_cannot_be_written, 0},
           {"the_checker_checks", the_checker_checks, 0});
