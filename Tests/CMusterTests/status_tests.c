// SPDX-License-Identifier: Apache-2.0
#include "muster/status.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#include "muster/clock.h"
#include "test.h"

// Every value that a header of Muster names.
#define NAMED(number) {number, #number}
static const struct {
  int number;
  const char *name;
} named[] = {
    NAMED(EACCES),  NAMED(EAGAIN),       NAMED(EALREADY),        NAMED(EBADMSG),   NAMED(EBUSY),      NAMED(ECANCELED),
    NAMED(EEXIST),  NAMED(EFAULT),       NAMED(EINVAL),          NAMED(EISDIR),    NAMED(ELOOP),      NAMED(EMFILE),
    NAMED(ENFILE),  NAMED(ENAMETOOLONG), NAMED(ENOENT),          NAMED(ENOMEM),    NAMED(ENOSPC),     NAMED(ENOSYS),
    NAMED(ENOTDIR), NAMED(ENOLCK),       NAMED(ENOTRECOVERABLE), NAMED(EOVERFLOW), NAMED(EOWNERDEAD), NAMED(EPERM),
    NAMED(EPROTO),  NAMED(EROFS),        NAMED(ESTALE),          NAMED(ETIMEDOUT),
};

static int is_clause(const char *text) {
  size_t length = strlen(text);
  return length > 3 && text[length - 1] != '.' && text[0] != ' ' && !strchr(text, '\n');
}

static void named_values_have_name_and_text(void) {
  const char *unknown = muster_status_text(INT_MAX);
  for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
    CHECK(!strcmp(muster_status_name(named[i].number), named[i].name));
    const char *text = muster_status_text(named[i].number);
    if (!strcmp(text, unknown) || !is_clause(text)) test_fail(__FILE__, __LINE__, "%s: '%s'", named[i].name, text);
    for (size_t j = 0; j < i; j++) CHECK(strcmp(text, muster_status_text(named[j].number)) != 0);
  }
  CHECK(!strcmp(muster_status_name(0), "0"));
  CHECK(!strcmp(muster_status_text(0), "done"));
  CHECK(!strcmp(muster_status_text(ETIMEDOUT), "the deadline passed"));
}

// Whatever the number, there are words: neither NULL nor a read outside of the table.
static void any_number_has_words(void) {
  const int odd[] = {INT_MIN, -EBUSY, -1, 41, 58, 134, 4096, INT_MAX};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    CHECK(!strcmp(muster_status_name(odd[i]), "E?"));
    CHECK(is_clause(muster_status_text(odd[i])));
  }
  errno = 4242;
  for (int number = -300; number < 4300; number++)
    CHECK(muster_status_name(number)[0] && is_clause(muster_status_text(number)));
  CHECK_EQUAL(errno, 4242);
}

static void mismatches_have_texts(void) {
  for (int kind = MUSTER_MISMATCH_NONE; kind <= MUSTER_MISMATCH_NAMESPACE; kind++) {
    CHECK(is_clause(muster_mismatch_text((muster_mismatch_kind)kind)));
    for (int other = MUSTER_MISMATCH_NONE; other < kind; other++)
      CHECK(strcmp(muster_mismatch_text((muster_mismatch_kind)kind), muster_mismatch_text((muster_mismatch_kind)other)));
  }
  CHECK(!strcmp(muster_mismatch_text(MUSTER_MISMATCH_SIZE), "another size"));
  CHECK(is_clause(muster_mismatch_text((muster_mismatch_kind)99)));
}

static void version_is_major_minor_patch(void) {
  CHECK(muster_version() > 0);
  CHECK(muster_version() < 1000000);
}

static void now_is_the_monotonic_clock(void) {
  struct timespec before, after;
  clock_gettime(CLOCK_MONOTONIC, &before);
  muster_deadline now = muster_clock_now();
  clock_gettime(CLOCK_MONOTONIC, &after);
  CHECK(now >= before.tv_sec * INT64_C(1000000000) + before.tv_nsec);
  CHECK(now <= after.tv_sec * INT64_C(1000000000) + after.tv_nsec);
  for (int i = 0; i < 100000; i++) {
    muster_deadline next = muster_clock_now();
    if (next < now) test_fail(__FILE__, __LINE__, "the clock went back from %lld to %lld", (long long)now, (long long)next);
    now = next;
  }
}

static void deadlines_add_without_overflow(void) {
  const int64_t long_ones[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX - muster_clock_now()};
  for (size_t i = 0; i < sizeof long_ones / sizeof *long_ones; i++)
    CHECK_EQUAL(muster_deadline_after(long_ones[i]), MUSTER_DEADLINE_NEVER);
  const int64_t none[] = {0, -1, -1000000000, INT64_MIN};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    muster_deadline before = muster_clock_now(), got = muster_deadline_after(none[i]);
    CHECK(got >= before && got <= muster_clock_now());
  }
  muster_deadline before = muster_clock_now(), hour = muster_deadline_after(INT64_C(3600000000000));
  CHECK(hour >= before + INT64_C(3600000000000) && hour <= muster_clock_now() + INT64_C(3600000000000));
}

static void deadlines_pass(void) {
  CHECK(muster_deadline_passed(MUSTER_DEADLINE_NOW));
  CHECK(muster_deadline_passed(-1));
  CHECK(muster_deadline_passed(INT64_MIN));
  CHECK(!muster_deadline_passed(MUSTER_DEADLINE_NEVER));
  CHECK(!muster_deadline_passed(muster_deadline_after(INT64_C(3600000000000))));
  CHECK(muster_deadline_passed(muster_clock_now()));
  muster_deadline soon = muster_deadline_after(2000000);
  while (!muster_deadline_passed(soon)) CHECK(muster_clock_now() <= soon || muster_deadline_passed(soon));
  CHECK(muster_clock_now() >= soon);
}

TEST_SUITE(status, {"named_values_have_name_and_text", named_values_have_name_and_text, 0},
           {"any_number_has_words", any_number_has_words, 0}, {"mismatches_have_texts", mismatches_have_texts, 0},
           {"version_is_major_minor_patch", version_is_major_minor_patch, 0},
           {"now_is_the_monotonic_clock", now_is_the_monotonic_clock, 0},
           {"deadlines_add_without_overflow", deadlines_add_without_overflow, 0}, {"deadlines_pass", deadlines_pass, 0});
