// Groups: places, joining and leaving, all the ways in which a member ends, threads, fork, waiting.
// SPDX-License-Identifier: Apache-2.0
#include "muster/group.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/group_layout.h"
#include "support.h"

static muster_group *open_group(const char *name, uint32_t capacity) {
  muster_group *group;
  int status = muster_group_open(name, &(muster_group_options){.capacity = capacity}, &group);
  CHECK_STATUS(status, 0);
  REQUIRE(group);
  return group;
}

static muster_member_state state_of(const muster_group *group, uint32_t index) {
  muster_member member = {.state = (muster_member_state)99};
  CHECK_STATUS(muster_group_member(group, index, &member), 0);
  return member.state;
}

static unsigned count_in(const muster_group *group, muster_member_state state) {
  muster_member_set set;
  unsigned count = 0;
  CHECK_STATUS(muster_group_members(group, state, &set), 0);
  for (uint32_t k = 0; k < 256; k++) {
    unsigned in = set.bits[k / 64] >> k % 64 & 1;
    CHECK_EQUAL(in, k < muster_group_capacity(group) && state_of(group, k) == state);
    count += in;
  }
  return count;
}

static void join_as(muster_group *group, uint32_t expected) {
  uint32_t member = 999;
  CHECK_STATUS(muster_group_join(group, &member), 0);
  CHECK_EQUAL(member, expected);
}

static void end_of(const char *name, muster_group *group) {
  CHECK_STATUS(muster_group_close(group), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void join_leave_and_join_again(void) {
  const char *name = test_name("g");
  muster_group *group = open_group(name, 3);
  muster_member member;
  CHECK_EQUAL(muster_group_capacity(group), 3);
  CHECK_EQUAL(count_in(group, MUSTER_MEMBER_FREE), 3);
  CHECK_STATUS(muster_group_leave(group), EINVAL);
  uint32_t roster = muster_group_roster(group), other = 7;
  join_as(group, 0);
  CHECK(muster_group_roster(group) != roster);
  CHECK_STATUS(muster_group_join(group, &other), EALREADY);
  CHECK_EQUAL(other, 7);
  CHECK_STATUS(muster_group_member(group, 0, &member), 0);
  CHECK_EQUAL(member.state, MUSTER_MEMBER_ALIVE);
  CHECK_EQUAL(member.pid, getpid());
  CHECK_EQUAL(member.thread, gettid());
  CHECK_EQUAL(member.incarnation, 1);
  CHECK(member.start > 0);
  roster = muster_group_roster(group);
  CHECK_STATUS(muster_group_leave(group), 0);
  CHECK(muster_group_roster(group) != roster);
  CHECK_EQUAL(state_of(group, 0), MUSTER_MEMBER_LEFT);
  CHECK_STATUS(muster_group_leave(group), EINVAL);
  CHECK_STATUS(muster_group_member(group, 3, &member), EINVAL);
  // Free places come first, then the one that was left.
  muster_group *more[3];
  for (uint32_t i = 0; i < 3; i++) join_as(more[i] = open_group(name, 3), (i + 1) % 3);
  CHECK_STATUS(muster_group_join(group, &other), EOVERFLOW);
  CHECK_STATUS(muster_group_member(group, 0, &member), 0);
  CHECK_EQUAL(member.incarnation, 2);
  CHECK_EQUAL(count_in(group, MUSTER_MEMBER_ALIVE), 3);
  // Closing leaves; so does closing with others at work.
  for (uint32_t i = 0; i < 3; i++) CHECK_STATUS(muster_group_close(more[i]), 0);
  CHECK_EQUAL(count_in(group, MUSTER_MEMBER_LEFT), 3);
  roster = muster_group_roster(group);
  CHECK_STATUS(muster_group_free_dead(group), 0);
  CHECK(muster_group_roster(group) != roster);
  CHECK_EQUAL(count_in(group, MUSTER_MEMBER_FREE), 3);
  roster = muster_group_roster(group);
  CHECK_STATUS(muster_group_free_dead(group), 0);
  CHECK_EQUAL(muster_group_roster(group), roster);
  CHECK_STATUS(muster_group_close(NULL), 0);
  end_of(name, group);
}

static void joins_for_itself(void *name) {
  join_as(open_group(name, 2), 1);
  raise(SIGKILL);
}

// A process finds out once when it started: not from its parent.
static void each_process_tells_its_own_start(void) {
  const char *name = test_name("g");
  muster_group *group = open_group(name, 2);
  join_as(group, 0);
  // More than the clock tick in which starts are counted.
  struct timespec tick = {.tv_nsec = 30000000};
  while (nanosleep(&tick, &tick)) continue;
  test_join(test_fork(joins_for_itself, (void *)(uintptr_t)name), SIGKILL);
  muster_member ours, theirs;
  CHECK_STATUS(muster_group_member(group, 0, &ours), 0);
  CHECK_STATUS(muster_group_member(group, 1, &theirs), 0);
  CHECK(ours.start > 0 && theirs.start > ours.start);
  CHECK_STATUS(muster_group_leave(group), 0);
  join_as(group, 0);
  CHECK_STATUS(muster_group_member(group, 0, &theirs), 0);
  CHECK_EQUAL(theirs.start, ours.start);
  end_of(name, group);
}

static void every_capacity(void) {
  CHECK_EQUAL(muster_group_size(0), 0);
  CHECK_EQUAL(muster_group_size(257), 0);
  CHECK_EQUAL(muster_group_size(UINT32_MAX), 0);
  unsigned char *memory = shared_memory(muster_group_size(256));
  muster_group *members[256], *late;
  uint32_t other;
  for (uint32_t capacity = 1; capacity <= 256; capacity = capacity < 16 ? capacity + 1 : capacity + 48) {
    size_t size = muster_group_size(capacity);
    CHECK(size > muster_group_size(capacity - 1));
    CHECK_STATUS(muster_group_init(memory, size - 1, capacity), EINVAL);
    CHECK_STATUS(muster_group_init(memory, size, capacity), 0);
    for (uint32_t k = 0; k < capacity; k++) {
      CHECK_STATUS(muster_group_attach(memory, size, &members[k]), 0);
      join_as(members[k], k);
    }
    CHECK_STATUS(muster_group_attach(memory, size, &late), 0);
    CHECK_STATUS(muster_group_join(late, &other), EOVERFLOW);
    CHECK_EQUAL(count_in(late, MUSTER_MEMBER_ALIVE), capacity);
    // The locks come off the thread's list in another order than they went on.
    for (uint32_t k = 0; k < capacity; k += 2) CHECK_STATUS(muster_group_close(members[k]), 0);
    CHECK_EQUAL(count_in(late, MUSTER_MEMBER_ALIVE), capacity / 2);
    for (uint32_t k = 1; k < capacity; k += 2) CHECK_STATUS(muster_group_close(members[k]), 0);
    CHECK_STATUS(muster_group_close(late), 0);
  }
  CHECK_STATUS(muster_group_open(test_name("none"), &(muster_group_options){.capacity = 257}, &late), EINVAL);
  CHECK_STATUS(muster_group_open(test_name("none"), &(muster_group_options){.capacity = 0}, &late), EINVAL);
}

static void another_capacity_is_refused(void) {
  const char *name = test_name("c");
  muster_group *group = open_group(name, 4), *other;
  muster_mismatch mismatch;
  muster_group_options options = {.capacity = 5, .mismatch = &mismatch};
  CHECK_STATUS(muster_group_open(name, &options, &other), EPROTO);
  CHECK_EQUAL(mismatch.kind, MUSTER_MISMATCH_LAYOUT);
  CHECK_EQUAL(mismatch.expected, 5);
  CHECK_EQUAL(mismatch.found, 4);
  CHECK_STATUS(muster_group_open(test_name("no"), &(muster_group_options){.flags = MUSTER_REGION_ATTACH}, &other),
               ENOENT);
  end_of(name, group);
}

// What the children of a test share with it.
typedef struct stage {
  char name[64];
  uint32_t capacity;
  uint32_t gate;
  uint32_t member;
  uint32_t incarnation;
  int way;
} stage;

static stage *make_stage(const char *tag, uint32_t capacity) {
  stage *made = shared_memory(sizeof *made);
  strcpy(made->name, test_name(tag));
  made->capacity = capacity;
  return made;
}

static void *join_and_return(void *context) {
  stage *on = context;
  CHECK_STATUS(muster_group_join(open_group(on->name, on->capacity), &on->member), 0);
  gate_open(&on->gate, 1);
  gate_wait(&on->gate, 2);
  return NULL;
}

enum { WAYS = 8, MAIN_THREAD_ENDS = WAYS };

static void join_and_end(void *context) {
  stage *on = context;
  if (on->way == 5) {  // a thread ends, its process goes on
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, join_and_return, on) == 0 && pthread_join(thread, NULL) == 0);
    gate_open(&on->gate, 3);
    gate_wait(&on->gate, 4);
    return;
  }
  muster_group *group = open_group(on->name, on->capacity);
  CHECK_STATUS(muster_group_join(group, &on->member), 0);
  gate_open(&on->gate, 1);
  gate_wait(&on->gate, 2);
  switch (on->way) {
    case 0: exit(0);
    case 1: raise(SIGKILL); break;
    case 2: raise(SIGTERM); break;
    case 3: execl("/bin/true", "true", (char *)NULL); break;
    case 4: execl("/bin/sleep", "sleep", "100", (char *)NULL); break;
    case 6: CHECK_STATUS(muster_group_close(group), 0); break;
    case 7: CHECK_STATUS(muster_group_leave(group), 0); break;
    case MAIN_THREAD_ENDS: pthread_exit(NULL);
  }
}

// By whatever way a member ends: it is dead if it did not leave, at once, and all can see who it was.
static void end_by_ways(int from, int to) {
  stage *on = make_stage("end", 2);
  muster_group *group = open_group(on->name, 2);
  for (on->way = from; on->way < to; on->way++) {
    on->gate = 0;
    uint32_t before = muster_group_roster(group);
    pid_t pid = test_fork(join_and_end, on);
    gate_wait(&on->gate, 1);
    CHECK_EQUAL(state_of(group, 0), MUSTER_MEMBER_ALIVE);
    CHECK(muster_group_roster(group) != before);
    before = muster_group_roster(group);
    gate_open(&on->gate, 2);
    CHECK_STATUS(muster_group_wait(group, before, soon()), 0);
    muster_member member;
    CHECK_STATUS(muster_group_member(group, 0, &member), 0);
    CHECK_EQUAL(member.state, on->way == 6 || on->way == 7 ? MUSTER_MEMBER_LEFT : MUSTER_MEMBER_DEAD);
    CHECK_EQUAL(member.pid, pid);
    // There is nothing more to tell of that end.
    CHECK_STATUS(muster_group_wait(group, muster_group_roster(group), MUSTER_DEADLINE_NOW), ETIMEDOUT);
    if (on->way == 5) gate_wait(&on->gate, 3), gate_open(&on->gate, 4);
    if (on->way == 4) kill(pid, SIGKILL);
    test_join(pid, on->way == 1 || on->way == 4 ? SIGKILL : on->way == 2 ? SIGTERM : 0);
    CHECK_STATUS(muster_group_free_dead(group), 0);
    CHECK_EQUAL(count_in(group, MUSTER_MEMBER_FREE), 2);
  }
  end_of(on->name, group);
}

static void every_way_to_end(void) { end_by_ways(0, WAYS); }

// Not under the thread sanitizer, whose own thread keeps such a process for ever.
#if !defined(__SANITIZE_THREAD__)
static void a_main_thread_ends_before_its_process(void) { end_by_ways(MAIN_THREAD_ENDS, MAIN_THREAD_ENDS + 1); }
#define MAIN_THREAD_TEST {"a_main_thread_ends_before_its_process", a_main_thread_ends_before_its_process, 0},
#else
#define MAIN_THREAD_TEST
#endif

static void join_and_be_killed(void *context) {
  stage *on = context;
  muster_group *group = open_group(on->name, on->capacity);
  CHECK_STATUS(muster_group_join(group, &on->member), 0);
  muster_member member;
  CHECK_STATUS(muster_group_member(group, on->member, &member), 0);
  on->incarnation = member.incarnation;
  if (!test_result()) raise(SIGKILL);
}

// Who died can be asked for as long as there is room.
static void free_places_come_before_dead_ones(void) {
  stage *on = make_stage("dead", 3);
  muster_group *group = open_group(on->name, 3);
  join_as(group, 0);
  const uint32_t places[] = {1, 2, 1, 1, 1};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    test_join(test_fork(join_and_be_killed, on), SIGKILL);
    CHECK_EQUAL(on->member, places[i]);
    CHECK_EQUAL(count_in(group, MUSTER_MEMBER_DEAD), i ? 2 : 1);
  }
  CHECK_EQUAL(on->incarnation, 4);
  CHECK_EQUAL(state_of(group, 2), MUSTER_MEMBER_DEAD);
  CHECK_EQUAL(state_of(group, 0), MUSTER_MEMBER_ALIVE);
  end_of(on->name, group);
}

static void a_crash_loop_never_fills_the_table(void) {
  stage *on = make_stage("loop", 2);
  muster_group *group = open_group(on->name, 2);
  join_as(group, 0);
  uint32_t seen = muster_group_roster(group);
  for (uint32_t i = 0; i < 300; i++) {
    test_join(test_fork(join_and_be_killed, on), SIGKILL);
    REQUIRE(on->member == 1);
    CHECK_EQUAL(on->incarnation, i + 1);
    CHECK_STATUS(muster_group_wait(group, seen, soon()), 0);
    seen = muster_group_roster(group);
  }
  CHECK_EQUAL(state_of(group, 1), MUSTER_MEMBER_DEAD);
  end_of(on->name, group);
}

static void in_a_forked_child(void *context) {
  muster_group *group = context;
  muster_member member;
  muster_member_set members;
  muster_wait_set words;
  uint32_t index;
  CHECK_STATUS(muster_group_join(group, &index), EPERM);
  CHECK_STATUS(muster_group_leave(group), EPERM);
  CHECK_STATUS(muster_group_member(group, 0, &member), EPERM);
  CHECK_STATUS(muster_group_members(group, MUSTER_MEMBER_ALIVE, &members), EPERM);
  CHECK_STATUS(muster_group_free_dead(group), EPERM);
  CHECK_STATUS(muster_group_wait(group, 0, MUSTER_DEADLINE_NOW), EPERM);
  CHECK_STATUS(muster_group_poll(group, 0, &words), EPERM);
  CHECK_STATUS(muster_group_close(group), 0);
}

static void nothing_is_inherited_over_fork(void) {
  const char *name = test_name("fork");
  muster_group *group = open_group(name, 2), *idle = open_group(name, 2), *look = open_group(name, 2);
  join_as(group, 0);
  test_join(test_fork(in_a_forked_child, group), 0);
  test_join(test_fork(in_a_forked_child, idle), 0);
  CHECK_EQUAL(state_of(look, 0), MUSTER_MEMBER_ALIVE);
  CHECK_STATUS(muster_group_leave(group), 0);
  join_as(group, 1);
  CHECK_STATUS(muster_group_close(idle), 0);
  CHECK_STATUS(muster_group_close(look), 0);
  end_of(name, group);
}

// A child takes part by a handle of its own, and that one is not its child's either.
static void join_in_line(void *context) {
  stage *on = context;
  muster_group *group = open_group(on->name, on->capacity);
  uint32_t index = on->member++;
  join_as(group, index);
  test_join(test_fork(in_a_forked_child, group), 0);
  if (on->member < on->capacity) test_join(test_fork(join_in_line, on), 0);
  CHECK_EQUAL(count_in(group, MUSTER_MEMBER_ALIVE), index + 1);
  CHECK_STATUS(muster_group_close(group), 0);
}

static void a_child_takes_part_by_its_own_handle(void) {
  stage *on = make_stage("line", 5);
  join_in_line(on);
  CHECK_STATUS(muster_region_remove(on->name, 0), 0);
}

typedef struct on_thread {
  muster_group *group;
  uint32_t gate;
} on_thread;

static void *join_on_thread(void *context) {
  on_thread *given = context;
  uint32_t member;
  CHECK_STATUS(muster_group_join(given->group, &member), 0);
  gate_open(&given->gate, 1);
  gate_wait(&given->gate, 2);
  return NULL;
}

// Membership belongs to the thread that joined: others can't end it while that one lives, and can let go of the handle
// after.
static void a_membership_belongs_to_its_thread(void) {
  const char *name = test_name("thread");
  muster_group *look = open_group(name, 2);
  for (int closing = 0; closing < 2; closing++) {
    on_thread given = {.group = open_group(name, 2)};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, join_on_thread, &given) == 0);
    gate_wait(&given.gate, 1);
    CHECK_STATUS(muster_group_leave(given.group), EBUSY);
    CHECK_STATUS(muster_group_close(given.group), EBUSY);
    CHECK_EQUAL(state_of(look, 0), MUSTER_MEMBER_ALIVE);
    gate_open(&given.gate, 2);
    REQUIRE(pthread_join(thread, NULL) == 0);
    CHECK_EQUAL(state_of(look, 0), MUSTER_MEMBER_DEAD);
    if (!closing) {
      uint32_t other;
      CHECK_STATUS(muster_group_leave(given.group), 0);
      CHECK_EQUAL(state_of(look, 0), MUSTER_MEMBER_DEAD);
      CHECK_STATUS(muster_group_join(given.group, &other), 0);
      CHECK_EQUAL(other, 1);
      CHECK_STATUS(muster_group_free_dead(look), 0);
    }
    CHECK_STATUS(muster_group_close(given.group), 0);
    CHECK_STATUS(muster_group_free_dead(look), 0);
  }
  end_of(name, look);
}

static void wait_for_a_change(void *context) {
  stage *on = context;
  muster_group *group = open_group(on->name, on->capacity);
  uint32_t seen = muster_group_roster(group);
  gate_open(&on->gate, 1);
  CHECK_STATUS(muster_group_wait(group, seen, soon()), 0);
  CHECK(muster_group_roster(group) != seen);
  CHECK_STATUS(muster_group_close(group), 0);
}

static void a_sleeper_is_woken_by_a_join_and_a_leave(void) {
  stage *on = make_stage("wake", 2);
  muster_group *group = open_group(on->name, 2);
  for (int leave = 0; leave < 2; leave++) {
    on->gate = 0;
    pid_t waiter = test_fork(wait_for_a_change, on);
    gate_wait(&on->gate, 1);
    CHECK(test_asleep(waiter));
    if (leave) CHECK_STATUS(muster_group_leave(group), 0);
    else join_as(group, 0);
    test_join(waiter, 0);
  }
  end_of(on->name, group);
}

static void waiting_by_numbers_and_deadlines(void) {
  const char *name = test_name("when");
  muster_group *group = open_group(name, 2), *other = open_group(name, 2);
  muster_wait_set set;
  join_as(group, 0);
  uint32_t seen = muster_group_roster(group);
  errno = 4242;
  CHECK_STATUS(muster_group_wait(group, seen, MUSTER_DEADLINE_NOW), ETIMEDOUT);
  muster_deadline end = muster_deadline_after(3000000);
  CHECK_STATUS(muster_group_wait(group, seen, end), ETIMEDOUT);
  CHECK(muster_deadline_passed(end));
  CHECK_STATUS(muster_group_poll(group, seen, &set), EAGAIN);
  CHECK(set.count >= 1 && set.words[0].address && *set.words[0].address == set.words[0].expected);
  CHECK(set.recheck > muster_clock_now() && set.recheck <= muster_deadline_after(MUSTER_WAIT_RECHECK));
  // Any other number than the present one is a change, also one that never was.
  const uint32_t numbers[] = {seen + 1, seen - 1, seen + (1u << 31), seen + (1u << 30)};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    CHECK_STATUS(muster_group_wait(group, numbers[i], MUSTER_DEADLINE_NEVER), 0);
    CHECK_STATUS(muster_group_poll(group, numbers[i], &set), 0);
  }
  // And asking so takes no place in the watch from those who wait for the present one.
  join_as(other, 1);
  seen = muster_group_roster(group);
  CHECK_STATUS(muster_group_poll(group, seen, &set), EAGAIN);
  CHECK_EQUAL(set.count, 2);
  CHECK_EQUAL(errno, 4242);
  CHECK_STATUS(muster_group_close(other), 0);
  end_of(name, group);
}

// Who read-only asks gets answers, and changes nothing.
static void read_only_handles_ask(void) {
  const char *name = test_name("ro");
  for (int peek = 0; peek < 2; peek++) {
    muster_group *group = open_group(name, 2), *look;
    muster_group_options options = {.flags = MUSTER_REGION_READ_ONLY | (peek ? MUSTER_REGION_PEEK : 0)};
    CHECK_STATUS(muster_group_open(name, &options, &look), 0);
    join_as(group, 0);
    uint32_t index;
    muster_wait_set set;
    CHECK_EQUAL(state_of(look, 0), MUSTER_MEMBER_ALIVE);
    CHECK_EQUAL(count_in(look, MUSTER_MEMBER_FREE), 1);
    CHECK_EQUAL(muster_group_roster(look), muster_group_roster(group));
    CHECK_STATUS(muster_group_join(look, &index), EACCES);
    CHECK_STATUS(muster_group_free_dead(look), EACCES);
    CHECK_STATUS(muster_group_poll(look, 0, &set), EACCES);
    CHECK_STATUS(muster_group_wait(look, 0, MUSTER_DEADLINE_NOW), EACCES);
    CHECK_STATUS(muster_group_leave(look), EINVAL);
    CHECK_STATUS(muster_group_close(look), 0);
    end_of(name, group);
  }
}

static void renewed_when_all_are_gone(void) {
  stage *on = make_stage("renew", 2);
  muster_group *group = open_group(on->name, 2);
  for (int i = 0; i < 2; i++) test_join(test_fork(join_and_be_killed, on), SIGKILL);
  CHECK_EQUAL(count_in(group, MUSTER_MEMBER_DEAD), 2);
  // Somebody holds it: the dead stay where they can be asked for.
  muster_group *second = open_group(on->name, 2);
  CHECK_EQUAL(count_in(second, MUSTER_MEMBER_DEAD), 2);
  CHECK_STATUS(muster_group_close(second), 0);
  CHECK_STATUS(muster_group_close(group), 0);
  group = open_group(on->name, 2);
  CHECK_EQUAL(count_in(group, MUSTER_MEMBER_FREE), 2);
  join_as(group, 0);
  end_of(on->name, group);
}

// Handles of groups in memory that all processes of a test share, all of them members on one thread.
enum { LOCKS_OF_A_THREAD = 1024, GROUPS = LOCKS_OF_A_THREAD / 256 + 1, HANDLES = GROUPS * 256 };

typedef struct many {
  unsigned char *memory;
  size_t size;
  uint32_t gate;
} many;

static muster_group *attach_one(const many *on, uint32_t number) {
  muster_group *group;
  CHECK_STATUS(muster_group_attach(on->memory + number / 256 * on->size, on->size, &group), 0);
  return group;
}

static void join_as_many_as_can_be_and_die(void *context) {
  many *on = context;
  muster_group *all[HANDLES];
  uint32_t member;
  for (uint32_t k = 0; k <= LOCKS_OF_A_THREAD; k++) {
    all[k] = attach_one(on, k);
    CHECK_STATUS(muster_group_join(all[k], &member), k < LOCKS_OF_A_THREAD ? 0 : ENOLCK);
  }
  CHECK_STATUS(muster_group_leave(all[7]), 0);
  CHECK_STATUS(muster_group_join(all[LOCKS_OF_A_THREAD], &member), 0);
  // To free the place that was left takes a lock for a moment.
  CHECK_STATUS(muster_group_free_dead(all[0]), 0);
  CHECK_EQUAL(count_in(all[0], MUSTER_MEMBER_LEFT), 0);
  if (test_result()) return;
  gate_open(&on->gate, 1);
  gate_wait(&on->gate, 2);
  raise(SIGKILL);
}

static void join_and_leave(void *context) {
  uint32_t member;
  muster_group *group = attach_one(context, HANDLES - 1);
  CHECK_STATUS(muster_group_join(group, &member), 0);
  CHECK_STATUS(muster_group_close(group), 0);
}

// The kernel lets go of a bounded number of locks when a thread ends. Nobody may hold one that it would not come to.
static void a_thread_holds_no_more_locks_than_the_kernel_releases(void) {
  size_t size = muster_group_size(256);
  many *on = shared_memory(sizeof *on);
  *on = (many){.memory = shared_memory(GROUPS * size), .size = size};
  for (int k = 0; k < GROUPS; k++) CHECK_STATUS(muster_group_init(on->memory + (size_t)k * size, size, 256), 0);
  pid_t pid = test_fork(join_as_many_as_can_be_and_die, on);
  gate_wait(&on->gate, 1);
  muster_group *look[GROUPS];
  for (uint32_t k = 0; k < GROUPS; k++) look[k] = attach_one(on, k * 256);
  uint32_t member;
  CHECK_STATUS(muster_group_join(look[GROUPS - 1], &member), 0);
  test_join(test_fork(join_and_leave, on), 0);
  gate_open(&on->gate, 2);
  test_join(pid, SIGKILL);
  for (uint32_t k = 0; k < GROUPS; k++) CHECK_EQUAL(count_in(look[k], MUSTER_MEMBER_ALIVE), k == GROUPS - 1);
  for (uint32_t k = 0; k < GROUPS; k++) CHECK_STATUS(muster_group_close(look[k]), 0);
}

TEST_SUITE(group, {"join_leave_and_join_again", join_leave_and_join_again, 0}, {"every_capacity", every_capacity, 0},
           {"each_process_tells_its_own_start", each_process_tells_its_own_start, 0},
           {"another_capacity_is_refused", another_capacity_is_refused, 0}, {"every_way_to_end", every_way_to_end, 0}, MAIN_THREAD_TEST
           {"free_places_come_before_dead_ones", free_places_come_before_dead_ones, 0},
           {"a_crash_loop_never_fills_the_table", a_crash_loop_never_fills_the_table, 60},
           {"nothing_is_inherited_over_fork", nothing_is_inherited_over_fork, 0},
           {"a_child_takes_part_by_its_own_handle", a_child_takes_part_by_its_own_handle, 0},
           {"a_membership_belongs_to_its_thread", a_membership_belongs_to_its_thread, 0},
           {"a_sleeper_is_woken_by_a_join_and_a_leave", a_sleeper_is_woken_by_a_join_and_a_leave, 0},
           {"waiting_by_numbers_and_deadlines", waiting_by_numbers_and_deadlines, 0},
           {"read_only_handles_ask", read_only_handles_ask, 0},
           {"a_thread_holds_no_more_locks_than_the_kernel_releases", a_thread_holds_no_more_locks_than_the_kernel_releases, 0},
           {"renewed_when_all_are_gone", renewed_when_all_are_gone, 0});
