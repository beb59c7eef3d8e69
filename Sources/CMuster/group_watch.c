// Who watches whom, so that a death wakes somebody although most sleepers sleep at one word alone.
//
// Places are in shards of 125. Each shard has two watchers, the first two who went to sleep on this occasion, and two deputies, the next
// two. A watcher sleeps at the word of the occasion, at the roster, and at the lock words of all members of its shard; a deputy at
// the word of the occasion and the lock words of the two watchers and of the other deputy; everybody else at the word of the occasion.
//
// The claim: a death is acted upon at once unless four members, both watchers and both deputies of a shard, die before one
// of them has run. Members of one process do die together: so the four are not all of one process while a member of another sleeps. The kernel wakes one sleeper at a dead member's lock word, the one who has slept longest. A plain member's or a deputy's
// death wakes a watcher; a watcher's death wakes the other watcher or the deputy who has slept longer, and that one's death wakes the
// other deputy, who found him there when he came to sleep. Whoever is woken looks at the places, acts, fills the dead one's slot or
// clears it and wakes all to have it filled. If he is killed before he has done so, his own death wakes another of the four.
// Behind that stands the recheck of every sleeper after a second, which also covers a watcher that is stopped (SIGSTOP).
//
// Slots are filled watchers first, one shard after the other. While fewer sleep than there are shards, which takes more than 125
// places, watchers look again every 50 ms.
//
// Who joins after a watcher went to sleep is not among its words: so joining changes the roster, which wakes the watchers to
// look anew.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/futex.h"
#include "internal/group.h"

enum { UNWATCHED_RECHECK = 50000000 };

// A slot is the tag and place + 1; 0 is nobody, also under tag 0.
static uint64_t slot_of(uint32_t tag, uint32_t index) { return (uint64_t)tag << 32 | (index + 1); }

// The member in a slot, or GROUP_NOBODY when it is of another occasion, corrupt, or its holder is no longer alive.
static uint32_t watcher_in(const muster_group *group, uint64_t slot, uint32_t tag) {
  uint32_t index = (uint32_t)slot - 1;
  if (slot >> 32 != tag || index >= group->capacity) return GROUP_NOBODY;
  return muster_group_life(group, index) == MUSTER_MEMBER_ALIVE ? index : GROUP_NOBODY;
}

// Puts a living member's lock word into the set, with FUTEX_WAITERS set in it so that the kernel wakes us. The value that we sleep at is
// the one we saw or made, so a death in between is seen at once. EAGAIN: it just died or changed.
static int add_member(muster_group *group, const group_watch *watch, uint32_t index, muster_wait_set *set) {
  uint32_t *word = muster_group_lock_word(group, index);
  uint32_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
  while (!(seen & FUTEX_WAITERS)) {
    if (!muster_liveness_owner(seen) || muster_liveness_died(seen)) return EAGAIN;
    if (__atomic_compare_exchange_n(word, &seen, seen | FUTEX_WAITERS, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
      seen |= FUTEX_WAITERS;
  }
  if (!muster_liveness_owner(seen) || muster_liveness_died(seen)) return EAGAIN;
  muster_wait_set_add(set, word, seen);
  if (watch->watched) watch->watched->bits[index / 64] |= UINT64_C(1) << index % 64;
  return 0;
}

static int add_shard(muster_group *group, const group_watch *watch, uint32_t shard, muster_wait_set *set) {
  uint32_t first = shard * GROUP_SHARD, end = first + GROUP_SHARD;
  // Who is no member shares the watch with nobody.
  if (end > group->capacity || group->member == GROUP_NOBODY) end = group->capacity;
  for (uint32_t k = first; k < end; k++) {
    if (k == group->member || set->count >= MUSTER_WAIT_WORDS) continue;
    muster_member_state state = muster_group_life(group, k);
    if (state == MUSTER_MEMBER_ALIVE) {
      if (add_member(group, watch, k, set)) return EAGAIN;
    } else if (state == MUSTER_MEMBER_DEAD && !watch->known_dead(k, watch->context)) {
      return EAGAIN;
    }
  }
  return 0;
}

static int swap_slot(const group_watch *watch, uint32_t slot, uint64_t seen, uint64_t next) {
  return __atomic_compare_exchange_n(&watch->slots[slot], &seen, next, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static uint64_t read_slot(const group_watch *watch, uint32_t slot) {
  return __atomic_load_n(&watch->slots[slot], __ATOMIC_ACQUIRE);
}

// A slot of any other occasion is vacant. Whether that one was earlier can't be told after 2^31 of them in which nobody slept. If it
// is a later one, because we were stopped between looking and here, its watchers sleep on at all their words, who comes to sleep in it finds our
// tag vacant in turn, and we find next that our own occasion is over.
static int is_vacant(const group_watch *watch, uint64_t slot) {
  return slot == 0 || (uint32_t)(slot >> 32) != watch->tag;
}

// Takes a slot if it is vacant, or finds that it is ours.
static int take_slot(const muster_group *group, const group_watch *watch, uint32_t slot) {
  uint64_t mine = slot_of(watch->tag, group->member), seen = read_slot(watch, slot);
  return seen == mine || (is_vacant(watch, seen) && swap_slot(watch, slot, seen, mine));
}

// Clears the slots of this occasion whose holders no longer live, and wakes all so that they are filled.
static void clear_dead(const muster_group *group, const group_watch *watch, uint32_t slots) {
  int cleared = 0;
  for (uint32_t s = 0; s < slots; s++) {
    uint64_t seen = read_slot(watch, s);
    if (seen && seen >> 32 == watch->tag && watcher_in(group, seen, watch->tag) == GROUP_NOBODY)
      cleared |= swap_slot(watch, s, seen, 0);
  }
  if (cleared) muster_futex_wake_all(watch->wake);
}

static uint32_t group_shards(const muster_group *group) { return (group->capacity + GROUP_SHARD - 1) / GROUP_SHARD; }

// Gives up the slots that are ours, of those from number `first` of each shard on. Whether there were any.
static int give_up(const muster_group *group, const group_watch *watch, uint32_t first) {
  uint64_t mine = slot_of(watch->tag, group->member);
  int any = 0;
  for (uint32_t s = 0; s < 4 * group_shards(group); s++)
    if (s % 4 >= first && read_slot(watch, s) == mine) any |= swap_slot(watch, s, mine, 0);
  return any;
}

void muster_group_end_watch(muster_group *group, const group_watch *watch) {
  if (group->member != GROUP_NOBODY && give_up(group, watch, 0)) muster_futex_wake_all(watch->wake);
}

// The process of whoever holds a slot in this occasion; 0: nobody.
static int32_t process_in(const muster_group *group, const group_watch *watch, uint32_t slot) {
  uint64_t seen = read_slot(watch, slot);
  uint32_t index = (uint32_t)seen - 1;
  if (seen >> 32 != watch->tag || index >= group->capacity) return 0;
  return __atomic_load_n(&group->places[index].pid, __ATOMIC_RELAXED);
}

// Whether the first `count` slots of a shard are all of one process that is not ours.
static int are_of_another(const muster_group *group, const group_watch *watch, uint32_t shard, uint32_t count) {
  int32_t pid = process_in(group, watch, 4 * shard);
  if (!pid || pid == __atomic_load_n(&group->places[group->member].pid, __ATOMIC_RELAXED)) return 0;
  for (uint32_t slot = 4 * shard + 1; slot < 4 * shard + count; slot++)
    if (process_in(group, watch, slot) != pid) return 0;
  return 1;
}

// Members of one process die together, so the four of a shard must not be of one: a member of another takes the last deputy's slot. The
// one who loses it sleeps on at its words, which does no harm. But the kernel may wake the dying for each other, and him, whom nobody
// watches any more, last: so whoever took his slot watches all.
static int displace_deputy(muster_group *group, const group_watch *watch, uint32_t shard) {
  uint64_t seen = read_slot(watch, 4 * shard + 3);
  return are_of_another(group, watch, shard, 4) && swap_slot(watch, 4 * shard + 3, seen, slot_of(watch->tag, group->member));
}

group_duty muster_group_duty(muster_group *group, const group_watch *watch, int again) {
  // Who is no member can't be watched, hence can't be relied on: he watches what he can by himself.
  if (group->member == GROUP_NOBODY) return (group_duty){DUTY_WATCHER, 0};
  uint32_t shards = group_shards(group);
  if (again) clear_dead(group, watch, 4 * shards);
  // Each shard's first watcher, then each one's second, then the deputies: with few sleepers every shard has one.
  for (uint32_t slot = 0; slot < 4; slot++) {
    for (uint32_t shard = 0; shard < shards; shard++) {
      if (!take_slot(group, watch, 4 * shard + slot)) continue;
      if (slot < 2 && again) give_up(group, watch, 2);
      int watches = slot < 2 || (slot == 3 && are_of_another(group, watch, shard, 3));
      return (group_duty){watches ? DUTY_WATCHER : DUTY_DEPUTY, shard};
    }
  }
  for (uint32_t shard = 0; shard < shards; shard++)
    if (displace_deputy(group, watch, shard)) return (group_duty){DUTY_WATCHER, shard};
  return (group_duty){DUTY_NONE, 0};
}

// A slot that nobody holds is being filled by whom its clearing woke; one of a later occasion says that ours is over.
// A deputy's share: the two watchers, and the other deputy if there is one yet.
static int add_watchers(muster_group *group, const group_watch *watch, uint32_t shard, muster_wait_set *set) {
  for (uint32_t s = 4 * shard; s < 4 * shard + 4; s++) {
    uint32_t holder = watcher_in(group, read_slot(watch, s), watch->tag);
    if (holder == GROUP_NOBODY && s < 4 * shard + 2) return EAGAIN;
    if (holder != GROUP_NOBODY && holder != group->member && add_member(group, watch, holder, set)) return EAGAIN;
  }
  return 0;
}

int muster_group_watch(muster_group *group, const group_watch *watch, group_duty duty, muster_wait_set *set) {
  if (duty.role == DUTY_NONE) return 0;
  if (duty.role == DUTY_DEPUTY) return add_watchers(group, watch, duty.shard, set);
  if (watch->wake != &group->head->roster) muster_wait_set_add(set, &group->head->roster, watch->roster);
  // More than 125 places and fewer sleepers than shards: some places are watched by nobody yet.
  for (uint32_t shard = 0; shard < group_shards(group); shard++) {
    if (shard != duty.shard && watcher_in(group, read_slot(watch, 4 * shard), watch->tag) == GROUP_NOBODY)
      set->recheck = muster_deadline_after(UNWATCHED_RECHECK);
  }
  return add_shard(group, watch, duty.shard, set);
}

// A dead place that is noted has been told of; a second look at it tells nothing new.
static int is_noted(uint32_t index, void *context) {
  const group_place *place = &((muster_group *)context)->places[index];
  return __atomic_load_n(&place->noted, __ATOMIC_ACQUIRE) == __atomic_load_n(&place->incarnation, __ATOMIC_ACQUIRE);
}

int muster_group_note_ends(muster_group *group) {
  int any = 0;
  for (uint32_t k = 0; k < group->capacity; k++) {
    uint32_t incarnation = __atomic_load_n(&group->places[k].incarnation, __ATOMIC_ACQUIRE);
    muster_member_state state = muster_group_life(group, k);
    if (state == MUSTER_MEMBER_DEAD || state == MUSTER_MEMBER_LEFT) any |= muster_group_note_end(group, k, incarnation);
  }
  return any;
}

static group_watch watch_roster(muster_group *group, uint32_t seen) {
  return (group_watch){.slots = group->head->slots,
                       .tag = seen,
                       .wake = &group->head->roster,
                       .roster = seen,
                       .known_dead = is_noted,
                       .context = group};
}

int muster_group_poll(muster_group *group, uint32_t seen, muster_wait_set *set) {
  if (muster_fork_inherited(&group->guard)) return EPERM;
  if (group->read_only) return EACCES;
  group_watch watch = watch_roster(group, seen);
  for (int turn = 0; turn < GROUP_TURNS; turn++) {
    if (muster_group_note_ends(group) || muster_group_roster(group) != seen) return 0;
    group_duty duty = muster_group_duty(group, &watch, 1);
    // Once more, by one who has his duty now.
    if (muster_group_note_ends(group) || muster_group_roster(group) != seen) return 0;
    set->count = 0;
    set->recheck = muster_deadline_after(muster_recheck);
    muster_wait_set_add(set, &group->head->roster, seen);
    if (!muster_group_watch(group, &watch, duty, set)) return EAGAIN;
  }
  muster_group_watch_alone(set);
  return EAGAIN;
}

void muster_group_watch_alone(muster_wait_set *set) {
  set->count = 1;
  set->recheck = muster_deadline_after(UNWATCHED_RECHECK);
}

// Who does not sleep any more must not be relied on.
void muster_group_unwatch(muster_group *group, uint32_t seen) {
  group_watch watch = watch_roster(group, seen);
  muster_group_end_watch(group, &watch);
}

int muster_group_wait(muster_group *group, uint32_t seen, muster_deadline deadline) {
  muster_wait_set set;
  for (;;) {
    int status = muster_group_poll(group, seen, &set);
    if (status != EAGAIN) return status;
    if (muster_deadline_passed(deadline)) {
      muster_group_unwatch(group, seen);
      return ETIMEDOUT;
    }
    status = muster_wait_any(&set, deadline);
    if (status && status != ETIMEDOUT) return status;
  }
}
