// Who watches whom: a sleeper's share of the watch over a group.
//
// The claim: as long as somebody sleeps, a death wakes somebody, also if the first that it wakes dies before doing anything.
// Each shard of 125 places has two watchers, the first two who went to sleep on this occasion; a watcher sleeps at the roster
// and at every lock word of its shard, other sleepers at those of all watchers. A death of a plain member wakes a watcher
// of its shard. A death of a watcher wakes another sleeper. Whoever is woken looks, acts, and if he can't for being dead himself,
// that death wakes in turn: a watcher's wakes any sleeper, any other's wakes a watcher. So a chain of deaths breaks only where both
// watchers of a shard and whoever they woke die before one of them has acted, and then the recheck after a second
// finds it. The same recheck covers a watcher that is stopped (SIGSTOP) before it sleeps.
//
// Who joins after a watcher went to sleep is not among its words: so joining changes the roster, which wakes the watchers to
// look anew.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/futex.h"
#include "internal/group.h"

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
static int add_member(muster_group *group, uint32_t index, muster_wait_set *set) {
  uint32_t *word = muster_liveness_word(&group->places[index].lock);
  uint32_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
  while (!(seen & FUTEX_WAITERS)) {
    if (!muster_liveness_owner(seen) || muster_liveness_died(seen)) return EAGAIN;
    if (__atomic_compare_exchange_n(word, &seen, seen | FUTEX_WAITERS, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
      seen |= FUTEX_WAITERS;
  }
  if (!muster_liveness_owner(seen) || muster_liveness_died(seen)) return EAGAIN;
  muster_wait_set_add(set, word, seen);
  return 0;
}

static int add_shard(muster_group *group, const group_watch *watch, uint32_t shard, muster_wait_set *set) {
  uint32_t first = shard * GROUP_SHARD, end = first + GROUP_SHARD;
  if (end > group->capacity) end = group->capacity;
  for (uint32_t k = first; k < end; k++) {
    if (k == group->member || set->count >= MUSTER_WAIT_WORDS) continue;
    muster_member_state state = muster_group_life(group, k);
    if (state == MUSTER_MEMBER_ALIVE) {
      if (add_member(group, k, set)) return EAGAIN;
    } else if (state == MUSTER_MEMBER_DEAD && !watch->known_dead(k, watch->context)) {
      return EAGAIN;
    }
  }
  return 0;
}

// Takes one of the two slots of a shard if one is vacant, or is ours already. After a watcher that died on this occasion all must
// look anew, for they sleep at the dead one's word, not at ours.
static int take_slot(muster_group *group, const group_watch *watch, uint32_t shard, const muster_wait_set *set) {
  if (group->member == GROUP_NOBODY) return 0;
  for (uint32_t s = 2 * shard; s < 2 * shard + 2; s++) {
    uint64_t seen = __atomic_load_n(&watch->slots[s], __ATOMIC_ACQUIRE);
    uint32_t holder = watcher_in(group, seen, watch->tag);
    if (holder == group->member) return 1;
    if (holder == GROUP_NOBODY &&
        __atomic_compare_exchange_n(&watch->slots[s], &seen, slot_of(watch->tag, group->member), 0, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
      if (seen && seen >> 32 == watch->tag) muster_futex_wake_all(set->words[0].address);
      return 1;
    }
  }
  return 0;
}

static int add_watchers(muster_group *group, const group_watch *watch, uint32_t shard, muster_wait_set *set) {
  for (uint32_t s = 2 * shard; s < 2 * shard + 2; s++) {
    uint32_t holder = watcher_in(group, __atomic_load_n(&watch->slots[s], __ATOMIC_ACQUIRE), watch->tag);
    if (holder == GROUP_NOBODY || holder == group->member || set->count >= MUSTER_WAIT_WORDS) continue;
    if (add_member(group, holder, set)) return EAGAIN;
  }
  return 0;
}

int muster_group_watch(muster_group *group, const group_watch *watch, muster_wait_set *set) {
  uint32_t shards = (group->capacity + GROUP_SHARD - 1) / GROUP_SHARD, duty = shards;
  for (uint32_t shard = 0; shard < shards && duty == shards; shard++)
    if (take_slot(group, watch, shard, set)) duty = shard;
  // Who is no member can't be watched, hence can't be relied on: he watches what he can by himself.
  if (duty == shards && group->member == GROUP_NOBODY) duty = 0;
  if (duty < shards) {
    if (set->words[0].address != &group->head->roster) muster_wait_set_add(set, &group->head->roster, watch->roster);
    if (add_shard(group, watch, duty, set)) return EAGAIN;
  }
  for (uint32_t shard = 0; shard < shards; shard++)
    if (shard != duty && add_watchers(group, watch, shard, set)) return EAGAIN;
  return 0;
}

// A dead place that is noted has been told of; a second look at it tells nothing new.
static int is_noted(uint32_t index, void *context) {
  const group_place *place = &((muster_group *)context)->places[index];
  return __atomic_load_n(&place->noted, __ATOMIC_ACQUIRE) == __atomic_load_n(&place->incarnation, __ATOMIC_ACQUIRE);
}

static int note_ends(muster_group *group) {
  int any = 0;
  for (uint32_t k = 0; k < group->capacity; k++) {
    muster_member_state state = muster_group_life(group, k);
    if (state == MUSTER_MEMBER_DEAD || state == MUSTER_MEMBER_LEFT) any |= muster_group_note_end(group, k);
  }
  return any;
}

int muster_group_poll(muster_group *group, uint32_t seen, muster_wait_set *set) {
  if (muster_fork_inherited(&group->guard)) return EPERM;
  if (group->read_only) return EACCES;
  group_watch watch = {.slots = group->head->watchers, .tag = seen, .roster = seen, .known_dead = is_noted,
                       .context = group};
  do {
    if (note_ends(group) || muster_group_roster(group) != seen) return 0;
    set->count = 0;
    set->recheck = muster_deadline_after(MUSTER_WAIT_RECHECK);
    muster_wait_set_add(set, &group->head->roster, seen);
  } while (muster_group_watch(group, &watch, set));
  return EAGAIN;
}

int muster_group_wait(muster_group *group, uint32_t seen, muster_deadline deadline) {
  muster_wait_set set;
  for (;;) {
    int status = muster_group_poll(group, seen, &set);
    if (status != EAGAIN) return status;
    if (muster_deadline_passed(deadline)) return ETIMEDOUT;
    status = muster_wait_any(&set, deadline);
    if (status && status != ETIMEDOUT) return status;
  }
}
