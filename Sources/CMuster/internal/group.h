// What the modules that stand on a group use of it.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_GROUP_H
#define MUSTER_INTERNAL_GROUP_H

#include "fork.h"
#include "group_layout.h"
#include "muster/group.h"

struct muster_group {
  group_head *head;
  group_place *places;
  uint32_t capacity;  // checked against the memory at attach; never read again
  uint32_t member;    // joined: the place; else GROUP_NOBODY
  uint32_t thread;    // joined: the thread that holds the place's lock
  uint32_t word_at;   // where the futex word lies in a lock, by the libc that made the group
  int read_only;      // the memory is mapped read-only: asking is all that can be done
  fork_guard guard;
  muster_region *region;  // opened by name, else NULL
};

#define GROUP_NOBODY UINT32_MAX

// What a place is now.
muster_member_state muster_group_life(const muster_group *group, uint32_t index) MUSTER_NONBLOCKING;

// Of a group of one place whose member notes its pid in `owner` when it has joined, and 0 there before it leaves: 0 and the
// pid of who is there (0: just joining); EOWNERDEAD and who died; ENOENT.
int muster_group_holder(const muster_group *group, const uint32_t *owner, int32_t *pid);

// Whether somebody holds the lock of a place that is not his: to free it, or to look whether he may join in it.
int muster_group_is_passing(const muster_group *group, uint32_t index);

// Joins in the first place that `accept` takes, asked again once the place's lock is held, when nobody else can change what
// the place is. EOVERFLOW: it took none. `seated` is called with the lock held, before the place counts as joined.
typedef struct group_seating {
  int (*accept)(uint32_t index, muster_member_state was, void *context);
  void (*seated)(uint32_t index, void *context);
  void *context;
} group_seating;
int muster_group_join_seated(muster_group *group, const group_seating *seating, uint32_t *member);

// A sleeper's share of the watch over the group, so that no death goes unseen (group_watch.c). `slots` (GROUP_SLOTS words of shared
// memory) belong to one kind of sleep, `tag` to one occasion of it, growing (mod 2^32) from one to the next: a slot with an older tag is
// vacant, so nobody needs to give up his.
typedef struct group_watch {
  uint64_t *slots;
  uint32_t tag;
  const uint32_t *wake;  // the word at which all sleep
  uint32_t roster;       // the roster as it was before the caller looked at the places
  // Of a dead place: whether the caller has done what there is to do about it.
  int (*known_dead)(uint32_t index, void *context);
  void *context;
  muster_member_set *watched;  // NULL, or where to add the members at whose locks the caller is to sleep
} group_watch;

typedef struct group_duty {
  enum { DUTY_NONE, DUTY_DEPUTY, DUTY_WATCHER } role;
  uint32_t shard;
} group_duty;

// What falls to this sleeper. `again`: he was woken, or has waited for long, and looks whether those on duty still live.
group_duty muster_group_duty(muster_group *group, const group_watch *watch, int again);

// Adds to the set what that duty asks to sleep at. EAGAIN: a place is dead that was not, or the like: look again before sleeping. A
// watcher must have looked at the places since he has his duty.
int muster_group_watch(muster_group *group, const group_watch *watch, group_duty duty, muster_wait_set *set);

// Gives up one's duty on an occasion that is not over, and wakes all so that another takes it.
void muster_group_end_watch(muster_group *group, const group_watch *watch);

// The same for who has polled the group with that roster (muster_group_poll), and goes on to other things.
void muster_group_unwatch(muster_group *group, uint32_t seen);

// How often to look again at once where muster_group_watch says so. Beyond that somebody else scribbles: then the wait goes on at its first
// word alone, with frequent rechecks.
enum { GROUP_TURNS = 64 };
void muster_group_watch_alone(muster_wait_set *set);

static inline uint32_t *muster_group_lock_word(const muster_group *group, uint32_t index) {
  return (uint32_t *)(void *)(group->places[index].lock.space + group->word_at);
}

// Whether the thread that joined by this handle has ended, or none has joined: the kernel has then marked the lock, and
// somebody may have taken it since. Told by the lock word alone, which libc and the kernel vouch for: a lock that is taken
// for let go of and unmapped corrupts its thread's list.
static inline int muster_group_was_lost(const muster_group *group) {
  if (group->member == GROUP_NOBODY) return 1;
  uint32_t word = __atomic_load_n(muster_group_lock_word(group, group->member), __ATOMIC_ACQUIRE);
  return muster_liveness_died(word) || muster_liveness_owner(word) != group->thread;
}

// Counts the end of that incarnation of the place, once: whether this call did. The caller read the number before he saw the
// place dead or left, so that it is of one who has ended, not of one who has joined since.
int muster_group_note_end(muster_group *group, uint32_t index, uint32_t incarnation);

// Counts all ends that nobody has counted yet, which wakes those who watch. Whether there were any.
int muster_group_note_ends(muster_group *group);

// Lays anew, in place, a group that nobody has joined or sleeps at: all but what says that it is a group and of how many places, and who
// attaches meanwhile to ask, or after a death in here, finds a group. Returns 0, EINVAL, EBADMSG, ENOTSUP.
int muster_group_renew(void *memory, size_t size);

// The flags with which a region is opened where the caller gave none of CREATE and ATTACH.
uint32_t muster_group_region_flags(uint32_t flags);

// Lets go of a handle whose memory goes away with it. EBUSY: joined on another living thread.
int muster_group_detach(muster_group *group);

#endif
