// A death wakes those who sleep, whoever of them it is that dies, without anybody looking again by himself; and what is
// left where the kernel has no futex_waitv.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/group_layout.h"
#include "support.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

enum { CREW_MOST = 256, OVER = 1 << 30 };

typedef struct crew {
  group_head *head;
  size_t size;
  uint32_t count;
  uint32_t gate;      // the round that may begin
  uint32_t joined;
  uint32_t seen;      // the roster of the round
  int rechecks;       // whether they look again by themselves
  int refuse;         // with which error futex_waitv is refused; 0: not at all
  uint32_t entered[CREW_MOST];   // the round in which each began to wait, and the one in which he was woken
  uint32_t returned[CREW_MOST];
  uint32_t place[CREW_MOST];
  pid_t pids[CREW_MOST];
} crew;

typedef struct hand {
  crew *crew;
  uint32_t index;
  uint32_t round;
} hand;

// Without looking again, what does not wake a sleeper by an event lets it sleep on to the end of the test.
static int wait_by_events(muster_group *group, uint32_t seen) {
  muster_wait_set set;
  int status;
  while ((status = muster_group_poll(group, seen, &set)) == EAGAIN) {
    set.recheck = soon();
    if (muster_wait_any(&set, set.recheck)) return ETIMEDOUT;
  }
  return status;
}

static void take_part(void *context) {
  hand *me = context;
  crew *all = me->crew;
  muster_group *group;
  if (all->refuse) refuse_call(SYS_futex_waitv, all->refuse);
  CHECK_STATUS(muster_group_attach(all->head, all->size, &group), 0);
  REQUIRE(muster_group_join(group, &all->place[me->index]) == 0);
  __atomic_add_fetch(&all->joined, 1, __ATOMIC_RELEASE);
  for (uint32_t round = me->round;; round++) {
    if (gate_pass(&all->gate, round) >= OVER) break;
    uint32_t seen = all->seen;
    __atomic_store_n(&all->entered[me->index], round, __ATOMIC_RELEASE);
    REQUIRE((all->rechecks ? muster_group_wait(group, seen, soon()) : wait_by_events(group, seen)) == 0);
    __atomic_store_n(&all->returned[me->index], round, __ATOMIC_RELEASE);
  }
  CHECK_STATUS(muster_group_close(group), 0);
}

static void until(const uint32_t *word, uint32_t value) {
  for (int64_t end = test_now() + 20 * INT64_C(1000000000); __atomic_load_n(word, __ATOMIC_ACQUIRE) != value;
       test_pause(50000)) {
    if (test_now() < end) continue;
    test_fail(__FILE__, __LINE__, "it is %u and did not come to %u", *word, value);
    test_end();
  }
}

static void until_asleep(pid_t pid) {
  int asleep = 0;
  for (int i = 0; i < 20 && !asleep; i++) asleep = test_asleep(pid);
  REQUIRE(asleep);
}

static crew *make_crew(uint32_t count) {
  crew *made = shared_memory(sizeof *made);
  made->count = count;
  made->size = muster_group_size(count);
  made->head = shared_memory(made->size);
  CHECK_STATUS(muster_group_init(made->head, made->size, count), 0);
  return made;
}

// Begins a round: fills the ranks, and returns when all sleep.
static void begin(crew *all, uint32_t round) {
  for (uint32_t i = 0; i < all->count; i++) {
    if (all->pids[i]) continue;
    uint32_t joined = all->joined;
    all->pids[i] = test_fork(take_part, &(hand){all, i, round});
    until(&all->joined, joined + 1);
  }
  all->seen = __atomic_load_n(&all->head->roster, __ATOMIC_ACQUIRE);
  gate_open(&all->gate, round);
  for (uint32_t i = 0; i < all->count; i++) until(&all->entered[i], round);
  for (uint32_t i = 0; i < all->count; i++) until_asleep(all->pids[i]);
}

// All who live have returned from the wait of this round.
static void all_return(crew *all, uint32_t round) {
  for (uint32_t i = 0; i < all->count; i++)
    if (all->pids[i]) until(&all->returned[i], round);
}

static void end(crew *all) {
  gate_open(&all->gate, OVER);
  for (uint32_t i = 0; i < all->count; i++)
    if (all->pids[i]) test_join(all->pids[i], 0);
}

// Who has a duty: slot 0 and 1 are the first watchers, 2 and 3 the deputies. count: nobody.
static uint32_t in_slot(const crew *all, uint32_t slot) {
  uint64_t held = __atomic_load_n(&all->head->slots[slot], __ATOMIC_ACQUIRE);
  for (uint32_t i = 0; i < all->count; i++)
    if (held == ((uint64_t)all->seen << 32 | (all->place[i] + 1))) return i;
  return all->count;
}

static uint32_t without_duty(const crew *all) {
  for (uint32_t i = all->count; i-- > 0;) {
    int has = 0;
    for (uint32_t s = 0; s < GROUP_SLOTS; s++) has |= in_slot(all, s) == i;
    if (!has) return i;
  }
  return all->count - 1;
}

enum { PLAIN = 100 };

// Kills those who have these duties, one right after the other, and waits until all the others have returned.
static void kill_and_count(crew *all, uint32_t round, const int *duties, uint32_t count) {
  uint32_t victims[4];
  begin(all, round);
  for (uint32_t i = 0; i < count; i++) {
    victims[i] = duties[i] == PLAIN ? without_duty(all) : in_slot(all, (uint32_t)duties[i]);
    REQUIRE(victims[i] < all->count);
  }
  for (uint32_t i = 0; i < count; i++) kill(all->pids[victims[i]], SIGKILL);
  for (uint32_t i = 0; i < count; i++) {
    test_join(all->pids[victims[i]], SIGKILL);
    all->pids[victims[i]] = 0;
  }
  all_return(all, round);
}

static void each_kind_dies(uint32_t members) {
  crew *all = make_crew(members);
  const struct {
    int duties[4];
    uint32_t count;
  } deaths[] = {{{PLAIN}, 1}, {{0}, 1}, {{1}, 1}, {{2}, 1}, {{0, 1}, 2}, {{0, 2}, 2}, {{PLAIN, 0}, 2}, {{PLAIN, 1}, 2},
                {{0, 1, 2}, 3}};
  uint32_t round = 0;
  for (size_t d = 0; d < sizeof deaths / sizeof *deaths; d++) {
    if (deaths[d].count >= members) continue;
    // Three members have no fourth who would have no duty.
    if (members == 3 && deaths[d].count == 2 && deaths[d].duties[0] == PLAIN) continue;
    kill_and_count(all, ++round, deaths[d].duties, deaths[d].count);
  }
  end(all);
}

static void deaths_among_3(void) { each_kind_dies(3); }
static void deaths_among_8(void) { for (int i = 0; i < 20; i++) each_kind_dies(8); }
static void deaths_among_64(void) { each_kind_dies(64); }
static void deaths_among_126(void) { each_kind_dies(126); }
static void deaths_among_200(void) { each_kind_dies(200); }
static void deaths_among_256(void) { each_kind_dies(256); }

// A watcher that is stopped in its sleep is passed over; its own death later is seen by those who sleep then.
static void a_stopped_watcher_is_passed_over(void) {
  crew *all = make_crew(8);
  begin(all, 1);
  uint32_t first = in_slot(all, 0), plain = without_duty(all);
  pid_t stopped = all->pids[first];
  stop_process(stopped);
  kill_process(all->pids[plain]);
  all->pids[first] = all->pids[plain] = 0;
  all_return(all, 1);
  kill_process(stopped);
  kill_and_count(all, 2, (const int[]){PLAIN}, 1);
  end(all);
}

// With both watchers stopped nobody is woken by the death of another: then the recheck of the others tells them.
static void the_recheck_stands_behind_stopped_watchers(void) {
  crew *all = make_crew(8);
  all->rechecks = 1;
  begin(all, 1);
  uint32_t first = in_slot(all, 0), second = in_slot(all, 1), plain = without_duty(all);
  pid_t stopped[2] = {all->pids[first], all->pids[second]};
  for (int i = 0; i < 2; i++) stop_process(stopped[i]);
  kill_process(all->pids[plain]);
  all->pids[plain] = all->pids[first] = all->pids[second] = 0;
  all_return(all, 1);
  for (int i = 0; i < 2; i++) kill(stopped[i], SIGCONT);
  all->pids[first] = stopped[0], all->pids[second] = stopped[1];
  all_return(all, 1);
  end(all);
}

static void without_waitv(void) {
  const int errors[] = {ENOSYS, EPERM};
  for (int e = 0; e < 2; e++) {
    crew *all = make_crew(6);
    all->rechecks = 1, all->refuse = errors[e];
    for (uint32_t round = 1; round <= 6; round++)
      kill_and_count(all, round, (const int[][2]){{PLAIN}, {0}, {1}, {2}, {0, 1}, {PLAIN, 0}}[round - 1],
                     round < 5 ? 1 : 2);
    end(all);
  }
}

static long voluntary_switches(pid_t pid) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  FILE *file = fopen(path, "re");
  long count = -1;
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1) break;
  if (file) fclose(file);
  return count;
}

// Watchers, deputies and the others alike: as many wakes as seconds, and a few.
static void sleepers_wake_once_a_second(void) {
  crew *all = make_crew(8);
  all->rechecks = 1;
  begin(all, 1);
  long before[8];
  int64_t start = test_now();
  for (int i = 0; i < 8; i++) before[i] = voluntary_switches(all->pids[i]);
  test_pause(INT64_C(2200000000));
  for (int i = 0; i < 8; i++) {
    long woken = voluntary_switches(all->pids[i]) - before[i];
    CHECK(before[i] >= 0 && woken >= 1 && woken <= (test_now() - start) / 1000000000 + 2);
  }
  kill_process(all->pids[0]);
  all->pids[0] = 0;
  all_return(all, 1);
  end(all);
}

TEST_SUITE(group_watch, {"deaths_among_3", deaths_among_3, 0}, {"deaths_among_8", deaths_among_8, 60},
           {"deaths_among_64", deaths_among_64, 60}, {"deaths_among_126", deaths_among_126, 120},
           {"deaths_among_200", deaths_among_200, 120}, {"deaths_among_256", deaths_among_256, 120},
           {"a_stopped_watcher_is_passed_over", a_stopped_watcher_is_passed_over, 0},
           {"the_recheck_stands_behind_stopped_watchers", the_recheck_stands_behind_stopped_watchers, 0},
           {"without_waitv", without_waitv, 0}, {"sleepers_wake_once_a_second", sleepers_wake_once_a_second, 0});
