// Wait sets: which word wakes, what the deadline and the recheck say, what can't be slept at; with and without
// futex_waitv.
// SPDX-License-Identifier: Apache-2.0
#include "muster/wait.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/futex.h"
#include "support.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

typedef struct words {
  uint32_t word[MUSTER_WAIT_WORDS];
  uint32_t ready;
} words;

static void fill_set(muster_wait_set *set, words *all, uint32_t count) {
  *set = (muster_wait_set){.count = count};
  for (uint32_t i = 0; i < count; i++) set->words[i] = (muster_wait_word){&all->word[i], 0};
}

static void sets_that_can_not_be(void) {
  static muster_wait_set set;
  words *all = shared_memory(sizeof *all);
  CHECK_STATUS(muster_wait_any(&set, soon()), EINVAL);
  set.count = MUSTER_WAIT_WORDS + 1;
  CHECK_STATUS(muster_wait_any(&set, soon()), EINVAL);
  set.count = UINT32_MAX;
  CHECK_STATUS(muster_wait_any(&set, soon()), EINVAL);
  void *gone = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (uint32_t count = 1; count < 3; count++) {
    fill_set(&set, all, count);
    set.words[count - 1].address = gone;
    CHECK_STATUS(muster_wait_any(&set, soon()), EFAULT);
  }
}

static void deadlines_and_rechecks(void) {
  words *all = shared_memory(sizeof *all);
  muster_wait_set set;
  const uint32_t counts[] = {1, 2, MUSTER_WAIT_WORDS};
  errno = 4242;
  for (int c = 0; c < 3; c++) {
    fill_set(&set, all, counts[c]);
    CHECK_STATUS(muster_wait_any(&set, MUSTER_DEADLINE_NOW), ETIMEDOUT);
    CHECK_STATUS(muster_wait_any(&set, -5), ETIMEDOUT);
    CHECK_STATUS(muster_wait_any(&set, 1), ETIMEDOUT);
    muster_deadline end = muster_deadline_after(2000000);
    int status;
    while ((status = muster_wait_any(&set, end)) == 0) CHECK(!muster_deadline_passed(end + 1000000000));
    CHECK_STATUS(status, ETIMEDOUT);
    CHECK(muster_deadline_passed(end));
    // The recheck is not the deadline: it says look again.
    set.recheck = muster_deadline_after(1000000);
    CHECK_STATUS(muster_wait_any(&set, MUSTER_DEADLINE_NEVER), 0);
    set.recheck = muster_deadline_after(1000000000);
    for (uint32_t i = 0; i < counts[c]; i += counts[c] > 2 ? 63 : 1) {
      all->word[i] = 1;
      CHECK_STATUS(muster_wait_any(&set, MUSTER_DEADLINE_NEVER), 0);
      all->word[i] = 0;
    }
  }
  CHECK_EQUAL(errno, 4242);
}

typedef struct sleeper {
  words *all;
  uint32_t count;
} sleeper;

static void sleep_at_words(void *context) {
  sleeper *me = context;
  muster_wait_set set;
  fill_set(&set, me->all, me->count);
  gate_open(&me->all->ready, 1);
  CHECK_STATUS(muster_wait_any(&set, soon()), 0);
  gate_open(&me->all->ready, 2);
}

static void woken_at_any_word(void) {
  const uint32_t counts[] = {1, 2, 127, MUSTER_WAIT_WORDS};
  for (int c = 0; c < 4; c++) {
    for (uint32_t at = 0; at < counts[c]; at += counts[c] > 2 ? counts[c] - 1 : 1) {
      words *all = shared_memory(sizeof *all);
      pid_t pid = test_fork(sleep_at_words, &(sleeper){all, counts[c]});
      gate_wait(&all->ready, 1);
      CHECK(test_asleep(pid));
      // By a wake alone: the word is what it was. A sleeper's state says S a moment before the kernel has put it into the queue of
      // each word (futex_waitv sets the state first), and a wake in that moment finds nobody.
      while (__atomic_load_n(&all->ready, __ATOMIC_ACQUIRE) != 2) {
        muster_futex_wake_all(&all->word[at]);
        test_pause(1000000);
      }
      test_join(pid, 0);
    }
  }
}

static void sleep_read_only(void *context) {
  sleeper *me = context;
  REQUIRE(mprotect(me->all, sizeof *me->all, PROT_READ) == 0);
  muster_wait_set set;
  fill_set(&set, me->all, me->count);
  set.words[0].expected = 1;
  CHECK_STATUS(muster_wait_any(&set, soon()), 0);
}

static void at_words_that_can_only_be_read(void) {
  for (uint32_t count = 1; count < 3; count++) {
    words *all = shared_memory(sizeof *all);
    all->word[0] = 1;
    pid_t pid = test_fork(sleep_read_only, &(sleeper){all, count});
    CHECK(test_asleep(pid));
    all->word[0] = 0;
    muster_futex_wake_all(&all->word[0]);
    test_join(pid, 0);
  }
}

static void without_waitv(void) {
  words *all = shared_memory(sizeof *all);
  muster_wait_set set;
  refuse_call(SYS_futex_waitv, getpid() % 2 ? ENOSYS : EPERM);
  for (int turn = 0; turn < 3; turn++) {
    fill_set(&set, all, 5);
    CHECK_STATUS(muster_wait_any(&set, MUSTER_DEADLINE_NOW), ETIMEDOUT);
    // A slice is over before the deadline: look again.
    CHECK_STATUS(muster_wait_any(&set, MUSTER_DEADLINE_NEVER), 0);
    muster_deadline end = muster_deadline_after(1000000);
    CHECK_STATUS(muster_wait_any(&set, end), ETIMEDOUT);
    all->word[0] = 1;
    CHECK_STATUS(muster_wait_any(&set, MUSTER_DEADLINE_NEVER), 0);
    all->word[0] = 0;
  }
}

// Spinning is for as many as can run at a time: the affinity mask counts, not the machine.
static void processors_by_the_affinity_mask(void) {
  cpu_set_t all, one;
  CPU_ZERO(&one);
  REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
  for (size_t cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
    if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  errno = 4242;
  CHECK_EQUAL(muster_processors(), 1);
  // Known from here on.
  REQUIRE(sched_setaffinity(0, sizeof all, &all) == 0);
  CHECK_EQUAL(muster_processors(), 1);
  CHECK_EQUAL(errno, 4242);
}

TEST_SUITE(wait, {"sets_that_can_not_be", sets_that_can_not_be, 0},
           {"deadlines_and_rechecks", deadlines_and_rechecks, 0},
           {"woken_at_any_word", woken_at_any_word, 0},
           {"at_words_that_can_only_be_read", at_words_that_can_only_be_read, 0}, {"without_waitv", without_waitv, 0},
           {"processors_by_the_affinity_mask", processors_by_the_affinity_mask, 0});
