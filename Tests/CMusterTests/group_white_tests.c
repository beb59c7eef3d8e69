// Groups seen from inside: races between the end of one member and the joining of the next, who is on watch, foreign
// and hostile memory, members of another libc or pid namespace.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/barrier_layout.h"
#include "../../Sources/CMuster/internal/group.h"
#include "support.h"

// The memory of a group in place, and the handle by which a test looks at it.
typedef struct plot {
  group_head *head;
  group_place *places;
  size_t size;
  uint32_t capacity;
  muster_group *look;
  uint32_t gate, over;
  uint64_t joined;
  uint32_t seen;
} plot;

static plot *make_plot(uint32_t capacity) {
  plot *made = shared_memory(sizeof *made);
  made->capacity = capacity;
  made->size = muster_group_size(capacity);
  made->head = shared_memory(made->size);
  made->places = (group_place *)(made->head + 1);
  CHECK_STATUS(muster_group_init(made->head, made->size, capacity), 0);
  CHECK_STATUS(muster_group_attach(made->head, made->size, &made->look), 0);
  return made;
}

static muster_group *attach(plot *on) {
  muster_group *group;
  CHECK_STATUS(muster_group_attach(on->head, on->size, &group), 0);
  REQUIRE(group);
  return group;
}

// Whoever has joined is not counted as ended already: else nobody who waits would be told of his end.
static void join_and_leave(void *context) {
  plot *on = context;
  muster_group *group = attach(on);
  while (!__atomic_load_n(&on->over, __ATOMIC_RELAXED)) {
    uint32_t member;
    int status = muster_group_join(group, &member);
    if (status == EOVERFLOW) continue;
    CHECK_STATUS(status, 0);
    for (int i = 0; i < 200; i++) {
      group_place *place = &on->places[member];
      uint32_t noted = __atomic_load_n(&place->noted, __ATOMIC_ACQUIRE);
      REQUIRE(noted != __atomic_load_n(&place->incarnation, __ATOMIC_ACQUIRE));
    }
    __atomic_add_fetch(&on->joined, 1, __ATOMIC_RELAXED);
    CHECK_STATUS(muster_group_leave(group), 0);
  }
}

typedef struct seating_seen {
  const group_place *place;
  int sat, was_noted;
} seating_seen;

static int accept_that(uint32_t index, muster_member_state state, void *context) {
  (void)index, (void)state, (void)context;
  return 1;
}

static void look_at_noted(uint32_t index, void *context) {
  seating_seen *seen = context;
  (void)index;
  seen->sat = 1;
  seen->was_noted = seen->place->noted == seen->place->incarnation;
}

// Who takes the place of one who left, and was stopped before he counted his end, counts it: by the number alone the newcomer would be
// taken for him until it has its own. And when he goes on he does not take back that a later end is counted.
static void an_end_is_counted_before_the_place_is_taken(void) {
  plot *on = make_plot(1);
  uint32_t member;
  for (uint32_t k = 1; k < 3; k++) {
    CHECK_STATUS(muster_group_join(on->look, &member), 0);
    CHECK_STATUS(muster_group_leave(on->look), 0);
    CHECK_EQUAL(on->places->noted, k);
  }
  CHECK_STATUS(muster_group_note_end(on->look, 0, 1), 0);
  CHECK_EQUAL(on->places->noted, 2);
  on->places->noted = 1;
  seating_seen seen = {.place = on->places};
  CHECK_STATUS(muster_group_join_seated(
                   on->look, &(group_seating){.accept = accept_that, .seated = look_at_noted, .context = &seen}, &member), 0);
  CHECK(seen.sat && seen.was_noted);
  // Nonsense is noted over.
  on->places->noted = 77;
  CHECK_STATUS(muster_group_note_end(on->look, 0, 3), 1);
  CHECK_EQUAL(on->places->noted, 3);
  CHECK_STATUS(muster_group_leave(on->look), 0);
}

static void wait_all_the_time(void *context) {
  plot *on = context;
  muster_group *group = attach(on);
  while (!__atomic_load_n(&on->over, __ATOMIC_RELAXED))
    CHECK_STATUS(muster_group_wait(group, muster_group_roster(group), soon()), 0);
}

static void an_end_is_not_counted_for_the_next_in_the_place(void) {
  plot *on = make_plot(2);
  pid_t pids[5];
  for (int i = 0; i < 5; i++) pids[i] = test_fork(i < 3 ? join_and_leave : wait_all_the_time, on);
  test_pause(1500000000);
  __atomic_store_n(&on->over, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < 3; i++) test_join(pids[i], 0);
  uint32_t member;
  CHECK_STATUS(muster_group_join(on->look, &member), 0);
  for (int i = 3; i < 5; i++) test_join(pids[i], 0);
  printf("joined %llu times\n", (unsigned long long)on->joined);
  CHECK(on->joined > 100);
}

// Whether the member is one of the two watchers of the first places.
static unsigned on_watch(const plot *on, uint32_t member) {
  unsigned count = 0;
  uint64_t his = (uint64_t)on->head->roster << 32 | (member + 1);
  for (int s = 0; s < 2; s++) count += __atomic_load_n(&on->head->slots[s], __ATOMIC_ACQUIRE) == his;
  return count;
}

// Sleeps as muster_group_wait does, but never looks again by itself: what wakes it is an event.
static int wait_without_recheck(muster_group *group, uint32_t seen) {
  muster_wait_set set;
  int status;
  while ((status = muster_group_poll(group, seen, &set)) == EAGAIN) {
    set.recheck = soon();
    if (muster_wait_any(&set, set.recheck)) return ETIMEDOUT;
  }
  return status;
}

static void join_and_wait(void *context) {
  plot *on = context;
  muster_group *group = attach(on);
  uint32_t member;
  CHECK_STATUS(muster_group_join(group, &member), 0);
  gate_wait(&on->gate, 1);
  CHECK_STATUS(wait_without_recheck(group, on->seen), 0);
  CHECK_STATUS(muster_group_close(group), 0);
}

static void join_and_stay(void *context) {
  plot *on = context;
  uint32_t member;
  CHECK_STATUS(muster_group_join(attach(on), &member), 0);
  for (;;) pause();
}

// Who had the watch, and stopped waiting at his deadline, hands it over to those who still wait.
static void the_watch_is_handed_over(void) {
  plot *on = make_plot(8);
  muster_group *early[2] = {attach(on), attach(on)};
  uint32_t member;
  for (int i = 0; i < 2; i++) CHECK_STATUS(muster_group_join(early[i], &member), 0);
  pid_t waiters[3], victim = test_fork(join_and_stay, on);
  for (int i = 0; i < 3; i++) waiters[i] = test_fork(join_and_wait, on);
  while (muster_group_roster(on->look) != 6) test_pause(100000);
  on->seen = 6;
  muster_wait_set set;
  for (int i = 0; i < 2; i++) CHECK_STATUS(muster_group_poll(early[i], on->seen, &set), EAGAIN);
  CHECK_EQUAL(on_watch(on, 0) + on_watch(on, 1), 2);
  gate_open(&on->gate, 1);
  for (int i = 0; i < 3; i++) CHECK(test_asleep(waiters[i]));
  for (int i = 0; i < 2; i++)
    CHECK_STATUS(muster_group_wait(early[i], on->seen, muster_deadline_after(1000000)), ETIMEDOUT);
  CHECK_EQUAL(on_watch(on, 0) + on_watch(on, 1), 0);
  // Two of the sleepers take it before they sleep again.
  for (unsigned all = 0; all < 2; test_pause(100000)) {
    all = 0;
    for (uint32_t k = 2; k < 6; k++) all += on_watch(on, k);
  }
  for (int i = 0; i < 3; i++) CHECK(test_asleep(waiters[i]));
  kill_process(victim);
  for (int i = 0; i < 3; i++) test_join(waiters[i], 0);
  for (int i = 0; i < 2; i++) CHECK_STATUS(muster_group_close(early[i]), 0);
}

static void look_on_and_wait(void *context) {
  plot *on = context;
  gate_open(&on->gate, 1);
  CHECK_STATUS(wait_without_recheck(attach(on), on->seen), 0);
}

// Who is no member has the whole watch for himself, in a large group as well.
static void a_looker_sees_deaths_in_all_places(void) {
  plot *on = make_plot(256);
  muster_group *others[200];
  uint32_t member;
  for (int i = 0; i < 200; i++) CHECK_STATUS(muster_group_join(others[i] = attach(on), &member), 0);
  pid_t victim = test_fork(join_and_stay, on);
  while (muster_group_roster(on->look) != 201) test_pause(100000);
  for (int i = 0; i < 200; i += 2) CHECK_STATUS(muster_group_close(others[i]), 0);
  on->seen = muster_group_roster(on->look);
  pid_t looker = test_fork(look_on_and_wait, on);
  gate_wait(&on->gate, 1);
  CHECK(test_asleep(looker));
  kill_process(victim);
  test_join(looker, 0);
  for (int i = 1; i < 200; i += 2) CHECK_STATUS(muster_group_close(others[i]), 0);
}

static void memory_that_is_no_group(void) {
  plot *on = make_plot(4);
  unsigned char *bytes = (unsigned char *)on->head;
  muster_group *group = (muster_group *)bytes;
  CHECK_STATUS(muster_group_attach(bytes + 64, on->size, &group), EINVAL);
  CHECK(!group);
  CHECK_STATUS(muster_group_init(bytes + 64, on->size, 1), EINVAL);
  CHECK_STATUS(muster_group_init(bytes, on->size, 0), EINVAL);
  CHECK_STATUS(muster_group_init(bytes, on->size, 257), EINVAL);
  CHECK_STATUS(muster_group_init(bytes, on->size, 5), EINVAL);
  const size_t sizes[] = {0, 1, 64, sizeof(group_head) - 1, sizeof(group_head), on->size - 1};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    CHECK_STATUS(muster_group_attach(bytes, sizes[i], &group), EBADMSG);
    CHECK(!group);
  }
  on->head->version++;
  CHECK_STATUS(muster_group_attach(bytes, on->size, &group), EPROTO);
  on->head->version--;
  on->head->magic++;
  CHECK_STATUS(muster_group_attach(bytes, on->size, &group), EBADMSG);
  on->head->magic--;
  on->head->abi = 0;
  CHECK_STATUS(muster_group_attach(bytes, on->size, &group), EBADMSG);
  memset(bytes, 0, on->size);
  CHECK_STATUS(muster_group_attach(bytes, on->size, &group), EBADMSG);
}

// A member of another libc or pid namespace can look and wait; it can't take part, and takes no lock.
static void foreigners_look_and_wait(void) {
  plot *on = make_plot(2);
  uint32_t member, abi = on->head->abi;
  uint64_t space = on->head->pid_namespace;
  muster_group *late;
  muster_member what;
  CHECK_STATUS(muster_group_join(on->look, &member), 0);
  pid_t victim = test_fork(join_and_stay, on);
  while (muster_group_roster(on->look) != 2) test_pause(100000);
  for (int i = 0; i < 2; i++) {
    if (i) on->head->pid_namespace++;
    else on->head->abi ^= 3u << 24;
    late = attach(on);
    CHECK_STATUS(muster_group_join(late, &member), EPROTO);
    muster_mismatch differs = {0};
    CHECK_STATUS(muster_group_compatible(late, &differs), EPROTO);
    CHECK_EQUAL(differs.kind, i ? MUSTER_MISMATCH_NAMESPACE : MUSTER_MISMATCH_LIBC);
    CHECK(differs.expected == (i ? space : abi) && differs.found == (i ? on->head->pid_namespace : on->head->abi));
    if (!i) CHECK_STATUS(muster_group_free_dead(late), EPROTO);
    CHECK_STATUS(muster_group_member(late, 1, &what), 0);
    CHECK_EQUAL(what.state, MUSTER_MEMBER_ALIVE);
    CHECK_STATUS(muster_group_wait(late, 2, MUSTER_DEADLINE_NOW), ETIMEDOUT);
    CHECK_STATUS(muster_group_close(late), 0);
    on->head->abi = abi, on->head->pid_namespace = space;
  }
  // Another place for the word in the lock: what is looked at, and slept at, is the word of the libc that made the
  // group.
  on->head->abi = (abi & ~0x7fu) | (sizeof(liveness_lock) - 4);
  late = attach(on);
  CHECK_STATUS(muster_group_member(late, 1, &what), 0);
  CHECK_EQUAL(what.state, MUSTER_MEMBER_DEAD);
  CHECK_STATUS(muster_group_close(late), 0);
  on->head->abi = abi;
  kill_process(victim);
  CHECK_STATUS(muster_group_close(on->look), 0);
}

// Who can't take part in a barrier is told why by opening it.
static void a_barrier_of_foreigners(void) {
  size_t size = muster_barrier_size(2);
  unsigned char *bytes = shared_memory(size);
  CHECK_STATUS(muster_barrier_init(bytes, size, 2, 0), 0);
  group_head *head = (group_head *)(void *)(bytes + sizeof(barrier_shared));
  muster_mismatch differs = {0};
  muster_barrier_options options = {.mismatch = &differs}, look = {.observe = 1};
  muster_barrier *barrier;
  head->abi ^= 3u << 24;
  CHECK_STATUS(muster_barrier_attach(bytes, size, &options, &barrier), EPROTO);
  CHECK_EQUAL(differs.kind, MUSTER_MISMATCH_LIBC);
  CHECK_STATUS(muster_barrier_attach(bytes, size, &look, &barrier), 0);
  CHECK_STATUS(muster_barrier_close(barrier), 0);
}

TEST_SUITE(group_white,
           {"an_end_is_counted_before_the_place_is_taken", an_end_is_counted_before_the_place_is_taken, 0},
           {"a_barrier_of_foreigners", a_barrier_of_foreigners, 0},
           {"an_end_is_not_counted_for_the_next_in_the_place", an_end_is_not_counted_for_the_next_in_the_place, 60},
           {"the_watch_is_handed_over", the_watch_is_handed_over, 0},
           {"a_looker_sees_deaths_in_all_places", a_looker_sees_deaths_in_all_places, 0},
           {"memory_that_is_no_group", memory_that_is_no_group, 0},
           {"foreigners_look_and_wait", foreigners_look_and_wait, 0});
