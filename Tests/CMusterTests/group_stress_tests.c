// Groups under blows: any byte of their memory is any value; members are killed, stopped and continued at random.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/group_layout.h"
#include "support.h"

static const int expected[] = {0, EPERM, EACCES, EALREADY, EBUSY, EINVAL, EPROTO, EBADMSG, EOVERFLOW, ETIMEDOUT,
                               EAGAIN};

static void is_a_value(int status, const char *what, size_t at, unsigned value) {
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
    if (status == expected[i]) return;
  test_fail(__FILE__, __LINE__, "%s with %u in byte %zu gives %d", what, value, at, status);
}

// All that can be done with a group, by one who has not joined.
static void use(muster_group *group, size_t at, unsigned value) {
  muster_member member;
  muster_member_set members;
  muster_wait_set set;
  uint32_t index = UINT32_MAX, seen = muster_group_roster(group);
  for (uint32_t k = 0; k < 3; k++) is_a_value(muster_group_member(group, k, &member), "member", at, value);
  is_a_value(muster_group_members(group, MUSTER_MEMBER_DEAD, &members), "members", at, value);
  int status = muster_group_poll(group, seen, &set);
  is_a_value(status, "poll", at, value);
  if (status == EAGAIN) CHECK(set.count >= 1 && set.count <= MUSTER_WAIT_WORDS);
  is_a_value(muster_group_wait(group, seen, MUSTER_DEADLINE_NOW), "wait", at, value);
  status = muster_group_join(group, &index);
  is_a_value(status, "join", at, value);
  if (status == 0) {
    CHECK(index < muster_group_capacity(group));
    seen = muster_group_roster(group);
    is_a_value(muster_group_wait(group, seen, muster_deadline_after(20000)), "wait as a member", at, value);
    is_a_value(muster_group_poll(group, seen, &set), "poll as a member", at, value);
    CHECK_STATUS(muster_group_leave(group), 0);
  }
  is_a_value(muster_group_free_dead(group), "free_dead", at, value);
}

static void scribble(unsigned char *memory, size_t size, size_t at, unsigned char value) {
  muster_group *inside, *before, *after;
  uint32_t member;
  CHECK_STATUS(muster_group_init(memory, size, 2), 0);
  CHECK_STATUS(muster_group_attach(memory, size, &inside), 0);
  CHECK_STATUS(muster_group_attach(memory, size, &before), 0);
  CHECK_STATUS(muster_group_join(inside, &member), 0);
  memory[at] = value;
  use(before, at, value);
  int status = muster_group_attach(memory, size, &after);
  is_a_value(status, "attach", at, value);
  if (status == 0) {
    CHECK(muster_group_capacity(after) >= 1 && muster_group_size(muster_group_capacity(after)) <= size);
    use(after, at, value);
    CHECK_STATUS(muster_group_close(after), 0);
  } else {
    CHECK(!after);
  }
  CHECK_STATUS(muster_group_close(before), 0);
  is_a_value(muster_group_wait(inside, muster_group_roster(inside), muster_deadline_after(20000)), "wait inside", at,
             value);
  // The lock is libc's and is not scribbled on: it can be let go of whatever the rest says.
  CHECK_STATUS(muster_group_close(inside), 0);
}

static void any_byte_of_the_group(void) {
  size_t size = muster_group_size(2);
  unsigned char *memory = shared_memory(size);
  const unsigned char values[] = {0, 1, 2, 3, 0x7f, 0x80, 0xff};
  for (size_t at = 0; at < size; at++) {
    size_t in_place = at < sizeof(group_head) ? SIZE_MAX : (at - sizeof(group_head)) % sizeof(group_place);
    if (in_place < sizeof(liveness_lock)) continue;
    for (size_t v = 0; v < sizeof values; v++) scribble(memory, size, at, values[v]);
    if (test_result()) return;
  }
}

// A sleeper whose words are scribbled on all the time comes back by his deadline.
typedef struct victim {
  unsigned char *memory;
  size_t size;
  uint32_t over;
} victim;

static void scribble_all_the_time(void *context) {
  victim *on = context;
  uint64_t seed = test_seed();
  while (!__atomic_load_n(&on->over, __ATOMIC_RELAXED)) {
    uint64_t r = test_random(&seed);
    size_t at = 128 + r % (on->size - 128),
        place = at < sizeof(group_head) ? SIZE_MAX : (at - sizeof(group_head)) % sizeof(group_place);
    if (place < sizeof(liveness_lock)) continue;
    __atomic_store_n(&on->memory[at], (unsigned char)(r >> 40), __ATOMIC_RELAXED);
  }
}

static void scribbled_on_while_waiting(void) {
  victim *on = shared_memory(sizeof *on);
  muster_group *group, *other;
  uint32_t member;
  on->size = muster_group_size(4);
  on->memory = shared_memory(on->size);
  CHECK_STATUS(muster_group_init(on->memory, on->size, 4), 0);
  CHECK_STATUS(muster_group_attach(on->memory, on->size, &group), 0);
  CHECK_STATUS(muster_group_attach(on->memory, on->size, &other), 0);
  CHECK_STATUS(muster_group_join(group, &member), 0);
  pid_t scribbler = test_fork(scribble_all_the_time, on);
  unsigned out_of_time = 0;
  for (int64_t end = test_now() + 1000000000; test_now() < end;) {
    int status = muster_group_wait(group, muster_group_roster(group), muster_deadline_after(1000000));
    is_a_value(status, "wait", 0, 0);
    out_of_time += status == ETIMEDOUT;
    status = muster_group_join(other, &member);
    is_a_value(status, "join", 0, 0);
    if (status == 0) CHECK_STATUS(muster_group_leave(other), 0);
    is_a_value(muster_group_free_dead(other), "free_dead", 0, 0);
  }
  __atomic_store_n(&on->over, 1, __ATOMIC_RELAXED);
  test_join(scribbler, 0);
  printf("%u waits ran out of time\n", out_of_time);
  CHECK_STATUS(muster_group_close(group), 0);
  CHECK_STATUS(muster_group_close(other), 0);
}

enum { PLACES = 5, PEOPLE = 7 };

typedef struct town {
  group_head *head;
  size_t size;
  uint32_t over;
  uint64_t seed;
  uint64_t joined, woken;
  uint32_t holder[PLACES];          // who says that the place is his: number and life of the person, 0: nobody
  uint32_t doomed[PEOPLE];          // the life of a person that was killed last
} town;

typedef struct person {
  town *town;
  uint32_t number;
  uint32_t life;
} person;

// A place has one member at a time; who takes it over from somebody who did not let go of it finds that one killed.
static void move_in(person *me, uint32_t place) {
  uint32_t mine = me->life * PEOPLE + me->number + 1;
  uint32_t before = __atomic_exchange_n(&me->town->holder[place], mine, __ATOMIC_ACQ_REL);
  if (!before) return;
  uint32_t number = (before - 1) % PEOPLE, life = (before - 1) / PEOPLE;
  REQUIRE(__atomic_load_n(&me->town->doomed[number], __ATOMIC_ACQUIRE) >= life);
}

static void move_out(person *me, uint32_t place) {
  uint32_t mine = me->life * PEOPLE + me->number + 1;
  REQUIRE(__atomic_exchange_n(&me->town->holder[place], 0, __ATOMIC_ACQ_REL) == mine);
}

static void live(void *context) {
  person *me = context;
  town *town_of = me->town;
  muster_group *group;
  uint64_t seed = town_of->seed ^ (uint64_t)getpid() << 20;
  CHECK_STATUS(muster_group_attach(town_of->head, town_of->size, &group), 0);
  while (!__atomic_load_n(&town_of->over, __ATOMIC_RELAXED)) {
    uint32_t place, seen = muster_group_roster(group);
    int status = muster_group_join(group, &place);
    if (status == EOVERFLOW) {
      status = muster_group_wait(group, seen, muster_deadline_after(5000000));
      REQUIRE(status == 0 || status == ETIMEDOUT);
      continue;
    }
    REQUIRE(status == 0 && place < PLACES);
    move_in(me, place);
    __atomic_add_fetch(&town_of->joined, 1, __ATOMIC_RELAXED);
    for (uint64_t i = test_random(&seed) % 4; i > 0; i--) {
      status = muster_group_wait(group, muster_group_roster(group),
                                 muster_deadline_after((int64_t)(test_random(&seed) % 3000000)));
      REQUIRE(status == 0 || status == ETIMEDOUT);
      town_of->woken += status == 0;
      if (test_random(&seed) % 16 == 0) CHECK_STATUS(muster_group_free_dead(group), 0);
    }
    muster_member member;
    CHECK_STATUS(muster_group_member(group, place, &member), 0);
    REQUIRE(member.state == MUSTER_MEMBER_ALIVE && member.pid == getpid());
    move_out(me, place);
    CHECK_STATUS(muster_group_leave(group), 0);
  }
  CHECK_STATUS(muster_group_close(group), 0);
}

static void killed_stopped_and_continued(void) {
  town *here = shared_memory(sizeof *here);
  here->size = muster_group_size(PLACES), here->head = shared_memory(here->size);
  uint64_t seed = here->seed = test_seed();
  CHECK_STATUS(muster_group_init(here->head, here->size, PLACES), 0);
  person people[PEOPLE];
  pid_t pids[PEOPLE];
  unsigned kills = 0, stops = 0;
  for (uint32_t i = 0; i < PEOPLE; i++) {
    people[i] = (person){here, i, 1};
    pids[i] = test_fork(live, &people[i]);
  }
  while ((kills < 200 || __atomic_load_n(&here->joined, __ATOMIC_RELAXED) < 1000) && !test_result()) {
    uint32_t i = (uint32_t)(test_random(&seed) % PEOPLE);
    test_pause((int64_t)(test_random(&seed) % 3000000));
    if (test_random(&seed) % 3) {
      kill(pids[i], SIGSTOP), stops++;
      kill(pids[test_random(&seed) % PEOPLE], SIGCONT);
      continue;
    }
    __atomic_store_n(&here->doomed[i], people[i].life, __ATOMIC_RELEASE);
    kill_process(pids[i]), kills++;
    people[i].life++;
    pids[i] = test_fork(live, &people[i]);
  }
  __atomic_store_n(&here->over, 1, __ATOMIC_RELAXED);
  for (uint32_t i = 0; i < PEOPLE; i++) kill(pids[i], SIGCONT), test_join(pids[i], 0);
  printf("%u killed, %u stopped, %llu joined, %llu woken\n", kills, stops, (unsigned long long)here->joined,
         (unsigned long long)here->woken);
  // What is left is whole: nobody in it, and room for all.
  muster_group *group, *all[PLACES];
  CHECK_STATUS(muster_group_attach(here->head, here->size, &group), 0);
  muster_member_set alive;
  CHECK_STATUS(muster_group_members(group, MUSTER_MEMBER_ALIVE, &alive), 0);
  CHECK_EQUAL(alive.bits[0], 0);
  CHECK_STATUS(muster_group_free_dead(group), 0);
  for (uint32_t k = 0, place; k < PLACES; k++) {
    CHECK_STATUS(muster_group_attach(here->head, here->size, &all[k]), 0);
    CHECK_STATUS(muster_group_join(all[k], &place), 0);
    CHECK_EQUAL(place, k);
  }
  for (uint32_t k = 0; k < PLACES; k++) CHECK_STATUS(muster_group_close(all[k]), 0);
  CHECK_STATUS(muster_group_close(group), 0);
}

TEST_SUITE(group_stress, {"any_byte_of_the_group", any_byte_of_the_group, 120},
           {"scribbled_on_while_waiting", scribbled_on_while_waiting, 60},
           {"killed_stopped_and_continued", killed_stopped_and_continued, 60});
