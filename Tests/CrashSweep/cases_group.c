// Groups: a member's death is seen by all, its place comes back, and a sleeper is woken by the dead as by the living.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "muster/group.h"
#include "muster/region.h"
#include "sweep.h"

enum { PLACES = 6 };

// Beside the group, what the processes of a case tell each other.
typedef struct notes {
  uint32_t seated;   // peers that have joined
  uint32_t asleep;   // peers that are about to sleep
  uint32_t roster;   // the number that they go to sleep at; 0: not yet
  int32_t peers[2];
  uint32_t place;    // the operator's
} notes;

static notes *note(void) { return (notes *)(void *)(sweep->arena + SWEEP_ARENA / 2); }

static muster_group *attach(void) {
  muster_group *group;
  SWEEP_STATUS(muster_group_attach(sweep->arena, SWEEP_ARENA / 2, &group), 0);
  return group;
}

static muster_group *mine, *watcher;

static void lay(void) {
  SWEEP_STATUS(muster_group_init(sweep->arena, SWEEP_ARENA / 2, PLACES), 0);
  watcher = attach();
}

static uint32_t count(muster_member_state state) {
  muster_member_set set;
  SWEEP_STATUS(muster_group_members(watcher, state, &set), 0);
  return (uint32_t)__builtin_popcountll(set.bits[0]);
}

static void until(const uint32_t *word, uint32_t at_least) {
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < at_least) {
    if (sweep_now() > sweep_deadline()) sweep_fail(__FILE__, __LINE__, "a peer does not come");
    sweep_pause(50000);
  }
}

// The roster once everything that has happened is counted in it.
static uint32_t settled_roster(muster_group *group) {
  uint32_t seen;
  muster_wait_set set;
  do seen = muster_group_roster(group);
  while (muster_group_poll(group, seen, &set) == 0);
  return seen;
}

// ---- Peers that sleep until the roster is another than it was when all had joined, then leave.

static muster_group *sit(void) {
  uint32_t index;
  muster_group *group = attach();
  SWEEP_STATUS(muster_group_join(group, &index), 0);
  __atomic_fetch_add(&note()->seated, 1, __ATOMIC_RELEASE);
  return group;
}

static int sleep_and_leave(muster_group *group) {
  __atomic_fetch_add(&note()->asleep, 1, __ATOMIC_RELEASE);
  SWEEP_STATUS(muster_group_wait(group, note()->roster, sweep_deadline()), 0);
  sweep_operator_done();
  return muster_group_close(group);
}

static int sleeper(int number) {
  (void)number;
  muster_group *group = sit();
  until(&note()->roster, 1);
  return sleep_and_leave(group);
}

static void two_come(void) {
  lay();
  for (int i = 0; i < 2; i++) note()->peers[i] = sweep_peer(sleeper, i);
  until(&note()->seated, 2);
}

// Once everybody is there who is to be there from the beginning. The roster starts at 0, and is at least 2 here.
static void put_to_sleep(muster_group *group) {
  __atomic_store_n(&note()->roster, settled_roster(group), __ATOMIC_RELEASE);
  until(&note()->asleep, 2);
  for (int i = 0; i < 2; i++) sweep_settle(note()->peers[i]);
}

static void reap_sleepers(void) {
  for (int i = 0; i < 2; i++) SWEEP_STATUS(sweep_reap(note()->peers[i]), 0);
}

// ---- What others can do at any time.

// One process may hold many places, by as many handles: as many as nobody living holds, and not one more.
static int fill_up(int free_places) {
  muster_group *all[PLACES + 1];
  int joined = 0, status = 0;
  uint32_t index;
  while (joined <= PLACES) {
    all[joined] = attach();
    if ((status = muster_group_join(all[joined], &index)) != 0) break;
    joined++;
  }
  SWEEP_STATUS(status, EOVERFLOW);
  SWEEP_EQUAL(joined, free_places);
  for (int i = 0; i <= joined; i++) SWEEP_STATUS(muster_group_close(all[i]), 0);
  return 0;
}

static int come_and_go(int number) {
  (void)number;
  muster_group *group = attach();
  uint32_t index;
  SWEEP_STATUS(muster_group_join(group, &index), 0);
  settled_roster(group);
  SWEEP_STATUS(muster_group_leave(group), 0);
  SWEEP_STATUS(muster_group_free_dead(group), 0);
  return muster_group_close(group);
}

static int come_and_leave(int number) {
  (void)number;
  return muster_group_close(sit());
}

static int come_and_die(int number) {
  (void)number;
  sit();
  raise(SIGKILL);
  return 1;
}

static void somebody_dies(void) { sweep_reap_killed(sweep_peer(come_and_die, 0)); }

static void traffic(void) {
  sweep_newcomer(come_and_go, 0);
  somebody_dies();
  sweep_newcomer(come_and_go, 0);
  SWEEP_STATUS(muster_group_free_dead(watcher), 0);
}

// When all is over: nobody lives but who is expected, and every other place can be had.
static void check_whole(uint32_t alive) {
  SWEEP_EQUAL(count(MUSTER_MEMBER_ALIVE), alive);
  sweep_newcomer(fill_up, (int)(PLACES - alive));
  SWEEP_STATUS(muster_group_free_dead(watcher), 0);
  SWEEP_EQUAL(count(MUSTER_MEMBER_FREE), PLACES - alive);
  sweep_newcomer(fill_up, (int)(PLACES - alive));
}

static void check_operator_lives(void) {
  muster_member member;
  SWEEP_STATUS(muster_group_member(watcher, note()->place, &member), 0);
  SWEEP_EQUAL(member.state, MUSTER_MEMBER_ALIVE);
  SWEEP_EQUAL(member.pid, sweep->operator_pid);
}

static void prepare(void) { mine = attach(); }
static void prepare_joined(void) {
  prepare();
  SWEEP_STATUS(muster_group_join(mine, &note()->place), 0);
}
static void finish(void) { SWEEP_STATUS(muster_group_close(mine), 0); }

// What a check of most cases has to see at first.
static void returned_well(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
}

// ---- Joining a group of which two members sleep.

static void join_setup(void) {
  two_come();
  put_to_sleep(watcher);
}

static int join_operate(void) { return muster_group_join(mine, &note()->place); }

static void join_check(void) {
  if (sweep->injection == SWEEP_STALL) {
    SWEEP_STATUS(sweep->result, 0);
    check_operator_lives();
  } else {
    sweep_found(count(MUSTER_MEMBER_DEAD) ? SWEEP_AFTER : SWEEP_BEFORE);
  }
  returned_well();
  sweep_newcomer(come_and_go, 0);
  reap_sleepers();
  check_whole(0);
}

// ---- Joining where all places are held by the living but one, in which somebody died.

static void last_setup(void) {
  uint32_t index;
  lay();
  somebody_dies();
  for (int i = 0; i < PLACES - 1; i++) {
    // A place that is free is taken first, so the dead one is what is left over.
    SWEEP_STATUS(muster_group_join(attach(), &index), 0);
  }
}

// Who looks while the place is being taken waits for MUSTER_REGION_PATIENCE: now and then will do.
static void last_meanwhile(void) {
  if (sweep->point % 200) return;
  muster_group *group = attach();
  uint32_t index;
  int status = muster_group_join(group, &index);
  SWEEP_CHECK(status == 0 || status == EOVERFLOW);
  SWEEP_STATUS(muster_group_close(group), 0);
}

static void last_check(void) {
  if (sweep->injection == SWEEP_STALL) {
    SWEEP_STATUS(sweep->result, 0);
    check_operator_lives();
    SWEEP_EQUAL(count(MUSTER_MEMBER_ALIVE), PLACES);
  }
  returned_well();
  sweep_newcomer(fill_up, 1);
}

// ---- Leaving. Sleepers learn of it, or of the death in it, from nobody else.

static void leave_prepare(void) {
  prepare_joined();
  put_to_sleep(mine);
}

static int leave_operate(void) { return muster_group_leave(mine); }
static int close_operate(void) { return muster_group_close(mine); }

static void leave_check(void) {
  returned_well();
  reap_sleepers();
  if (sweep->injection == SWEEP_CRASH) {
    muster_member member;
    SWEEP_STATUS(muster_group_member(watcher, note()->place, &member), 0);
    SWEEP_CHECK(member.state == MUSTER_MEMBER_DEAD || member.state == MUSTER_MEMBER_LEFT);
    sweep_found(member.state == MUSTER_MEMBER_DEAD ? SWEEP_BEFORE : SWEEP_AFTER);
  }
  check_whole(0);
}

// ---- Freeing the places of one who died and of one who left.

static void free_setup(void) {
  two_come();
  somebody_dies();
  sweep_newcomer(come_and_leave, 0);
  put_to_sleep(watcher);
}

static int free_operate(void) { return muster_group_free_dead(mine); }

// Each place is freed by itself, so one may be and the other not; what is said of each is true.
static void free_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    SWEEP_CHECK(count(MUSTER_MEMBER_FREE) >= 2 && count(MUSTER_MEMBER_DEAD) <= 2);
    sweep_found(count(MUSTER_MEMBER_FREE) == 4 ? SWEEP_AFTER : SWEEP_BEFORE);
  }
  returned_well();
  sweep_newcomer(come_and_go, 0);
  reap_sleepers();
  check_whole(0);
}

// ---- Sleeping until another joins, or dies. The operator is the first to be woken, and the first to be relied on.

static int late_sleeper(int number) {
  (void)number;
  muster_group *group = sit();
  until(&note()->roster, 1);
  sweep_operator_asleep();
  return sleep_and_leave(group);
}

static int late_joiner(int number) {
  (void)number;
  muster_group *group = attach();
  uint32_t index;
  until(&note()->asleep, 1);
  sweep_settle(note()->peers[0]);
  SWEEP_STATUS(muster_group_join(group, &index), 0);
  sweep_operator_done();
  return muster_group_close(group);
}

static int late_to_die(int number) {
  (void)number;
  sit();
  until(&note()->asleep, 1);
  sweep_settle(note()->peers[0]);
  raise(SIGKILL);
  return 1;
}

static void wait_for_joiner_setup(void) {
  lay();
  note()->peers[0] = sweep_peer(late_sleeper, 0);
  until(&note()->seated, 1);
  note()->peers[1] = sweep_peer(late_joiner, 0);
}

static void wait_for_death_setup(void) {
  lay();
  note()->peers[0] = sweep_peer(late_sleeper, 0);
  until(&note()->seated, 1);
  note()->peers[1] = sweep_peer(late_to_die, 0);
  until(&note()->seated, 2);
}

static void wait_prepare(void) {
  prepare_joined();
  __atomic_store_n(&note()->roster, settled_roster(mine), __ATOMIC_RELEASE);
}

static int wait_operate(void) { return muster_group_wait(mine, note()->roster, MUSTER_DEADLINE_NEVER); }

static void wait_meanwhile(void) { sweep_newcomer(come_and_go, 0); }

static void wait_for_joiner_check(void) {
  returned_well();
  reap_sleepers();
  check_whole(0);
}

static void wait_for_death_check(void) {
  returned_well();
  SWEEP_STATUS(sweep_reap(note()->peers[0]), 0);
  sweep_reap_killed(note()->peers[1]);
  check_whole(0);
}

// ---- Asking.

static int ask_operate(void) {
  muster_member member;
  muster_member_set set;
  int status = 0;
  for (uint32_t k = 0; k < muster_group_capacity(mine) && !status; k++) status = muster_group_member(mine, k, &member);
  if (!status) status = muster_group_members(mine, MUSTER_MEMBER_DEAD, &set);
  return status;
}

static void ask_check(void) {
  returned_well();
  sweep_newcomer(come_and_go, 0);
  reap_sleepers();
  check_whole(0);
}

static int poll_operate(void) {
  muster_wait_set set;
  int status = muster_group_poll(mine, note()->roster, &set);
  return status == EAGAIN ? 0 : status;
}

// Who polls and dies is missed by the sleepers as any member is.
static void poll_check(void) {
  returned_well();
  reap_sleepers();
  check_whole(0);
}

// ---- By name.

static int open_by_name(muster_group **group) {
  return muster_group_open(sweep_name("group"), &(muster_group_options){.capacity = PLACES}, group);
}

static int open_operate(void) { return open_by_name(&mine); }

static int come_by_name(int number) {
  (void)number;
  muster_group *group;
  uint32_t index;
  int status = open_by_name(&group);
  if (status) return status;
  for (uint32_t k = 0; k < PLACES; k++) {
    muster_member member;
    SWEEP_STATUS(muster_group_member(group, k, &member), 0);
    SWEEP_CHECK(member.state != MUSTER_MEMBER_ALIVE);
  }
  SWEEP_STATUS(muster_group_join(group, &index), 0);
  return muster_group_close(group);
}

static int die_by_name(int number) {
  (void)number;
  muster_group *group;
  uint32_t index;
  SWEEP_STATUS(open_by_name(&group), 0);
  SWEEP_STATUS(muster_group_join(group, &index), 0);
  raise(SIGKILL);
  return 1;
}

static void nothing(void) {}
static void dead_generation(void) { sweep_reap_killed(sweep_peer(die_by_name, 0)); }

// While the first to come after a dead generation puts things in order, others are told EBUSY after
// MUSTER_REGION_PATIENCE.
static pid_t waits_for_it;

static void open_meanwhile(void) {
  waits_for_it = sweep_peer(come_by_name, 0);
  if (!sweep_ends_soon(waits_for_it)) return;
  SWEEP_STATUS(sweep_reap(waits_for_it), 0);
  sweep_newcomer(come_by_name, 0);
  waits_for_it = 0;
}

static void open_check(void) {
  if (waits_for_it) {
    int status = sweep_reap(waits_for_it);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  returned_well();
  sweep_newcomer(come_by_name, 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("group"), 0), 0);
}

SWEEP_SUITE(
    group,
    {.name = "group.join", .minimum = 100, .setup = join_setup, .prepare = prepare, .operate = join_operate,
     .meanwhile = traffic, .finish = finish, .check = join_check},
    {.name = "group.join-the-last-place", .minimum = 100, .setup = last_setup, .prepare = prepare,
     .operate = join_operate, .meanwhile = last_meanwhile, .finish = finish, .check = last_check},
    // Whoever is woken by the lock may count the end before the one who leaves does.
    {.name = "group.leave", .minimum = 40, .setup = two_come, .prepare = leave_prepare, .operate = leave_operate,
     .meanwhile = traffic, .finish = finish, .check = leave_check, .race = 1,
     .rechecks = SWEEP_UNLOCK_RECHECKS},
    {.name = "group.close", .minimum = 40, .setup = two_come, .prepare = leave_prepare, .operate = close_operate,
     .meanwhile = traffic, .check = leave_check, .rechecks = SWEEP_UNLOCK_RECHECKS},
    {.name = "group.free-dead", .minimum = 100, .setup = free_setup, .prepare = prepare, .operate = free_operate,
     .meanwhile = traffic, .finish = finish, .check = free_check},
    {.name = "group.wait-for-a-joiner", .minimum = 100, .setup = wait_for_joiner_setup, .prepare = wait_prepare,
     .operate = wait_operate, .meanwhile = wait_meanwhile, .finish = finish, .check = wait_for_joiner_check},
    {.name = "group.wait-for-a-death", .minimum = 100, .setup = wait_for_death_setup, .prepare = wait_prepare,
     .operate = wait_operate, .meanwhile = wait_meanwhile, .finish = finish, .check = wait_for_death_check},
    {.name = "group.poll", .minimum = 100, .setup = two_come, .prepare = leave_prepare, .operate = poll_operate,
     .meanwhile = traffic, .finish = finish, .check = poll_check},
    {.name = "group.ask", .minimum = 100, .setup = join_setup, .prepare = prepare, .operate = ask_operate,
     .meanwhile = traffic, .finish = finish, .check = ask_check},
    {.name = "group.open-creates", .minimum = 300, .setup = nothing, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check},
    {.name = "group.open-renews", .minimum = 300, .setup = dead_generation, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check});
