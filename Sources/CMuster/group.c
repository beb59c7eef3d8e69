// SPDX-License-Identifier: Apache-2.0
#include "muster/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/boot.h"
#include "internal/futex.h"
#include "internal/group.h"
#include "internal/region_file.h"

#define GROUP_KIND MUSTER_KIND('G', 'R', 'U', 'P')

static uint32_t this_thread(void) { return (uint32_t)syscall(SYS_gettid); }

size_t muster_group_size(uint32_t capacity) {
  if (capacity == 0 || capacity > MUSTER_GROUP_CAPACITY_MAX) return 0;
  return sizeof(group_head) + capacity * sizeof(group_place);
}

// Lays everything but what says that this is a group and of how many places, so that it can be done again by whoever finds that
// the one before died in it.
static int lay(group_head *head, uint32_t capacity, uint32_t abi) {
  group_place *places = (group_place *)(head + 1);
  memset((unsigned char *)head + offsetof(group_head, roster), 0, sizeof *head - offsetof(group_head, roster));
  memset(places, 0, capacity * sizeof *places);
  for (uint32_t k = 0; k < capacity; k++) {
    int status = muster_liveness_init(&places[k].lock);
    if (status) return status;
  }
  head->abi = abi;
  head->pid_namespace = muster_pid_namespace();
  return 0;
}

int muster_group_init(void *memory, size_t size, uint32_t capacity) {
  if ((uintptr_t)memory % MUSTER_GROUP_ALIGNMENT || muster_group_size(capacity) == 0 || size < muster_group_size(capacity))
    return EINVAL;
  group_head *head = memory;
  uint32_t abi = muster_liveness_abi();
  if (!abi) return ENOTSUP;
  *head = (group_head){.magic = GROUP_MAGIC, .version = GROUP_VERSION, .capacity = capacity};
  return lay(head, capacity, abi);
}

int muster_group_attach(void *memory, size_t size, muster_group **group) {
  *group = NULL;
  if ((uintptr_t)memory % MUSTER_GROUP_ALIGNMENT) return EINVAL;
  if (size < sizeof(group_head)) return EBADMSG;
  group_head *head = memory;
  uint32_t capacity = __atomic_load_n(&head->capacity, __ATOMIC_RELAXED);
  if (head->magic != GROUP_MAGIC) return EBADMSG;
  if (head->version != GROUP_VERSION) return EPROTO;
  if (muster_group_size(capacity) == 0 || muster_group_size(capacity) > size) return EBADMSG;
  // By the word's place in the locks of the libc that made the group, another libc can look and wait too; it can't join.
  uint32_t word_at = muster_liveness_word_at(__atomic_load_n(&head->abi, __ATOMIC_RELAXED));
  if (word_at == LIVENESS_NOWHERE) return EBADMSG;
  if (!muster_liveness_abi()) return ENOTSUP;
  int saved = errno;
  muster_group *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  made->head = head;
  made->places = (group_place *)(head + 1);
  made->capacity = capacity;
  made->member = GROUP_NOBODY;
  made->word_at = word_at;
  int status = muster_fork_guard(&made->guard);
  if (status) return free(made), status;
  *group = made;
  return 0;
}

static int fill(void *payload, size_t size, void *context) {
  return muster_group_init(payload, size, *(uint32_t *)context);
}

int muster_group_renew(void *memory, size_t size) {
  if ((uintptr_t)memory % MUSTER_GROUP_ALIGNMENT) return EINVAL;
  group_head *head = memory;
  if (size < sizeof *head || head->magic != GROUP_MAGIC) return EBADMSG;
  uint32_t capacity = head->capacity, abi = muster_liveness_abi();
  if (muster_group_size(capacity) == 0 || muster_group_size(capacity) > size) return EBADMSG;
  return abi ? lay(head, capacity, abi) : ENOTSUP;
}

// Nobody holds the region, so nobody sleeps and no lock has a living owner: all is laid anew, but for what this itself goes by.
static int renew(void *payload, size_t size, void *context) {
  (void)context;
  if (muster_group_size(((group_head *)payload)->capacity) != size) return EBADMSG;
  return muster_group_renew(payload, size);
}

uint32_t muster_group_region_flags(uint32_t flags) {
  if (flags & MUSTER_REGION_OPEN) return flags;
  return flags | (flags & MUSTER_REGION_READ_ONLY ? MUSTER_REGION_ATTACH : MUSTER_REGION_OPEN);
}

int muster_group_open(const char *name, const muster_group_options *options, muster_group **group) {
  *group = NULL;
  uint32_t flags = muster_group_region_flags(options->flags);
  uint32_t capacity = options->capacity;
  if (capacity ? !muster_group_size(capacity) : (flags & MUSTER_REGION_CREATE) != 0) return EINVAL;
  muster_region *region;
  int status = muster_region_open(name,
                                  &(muster_region_options){.flags = flags,
                                                           .mode = options->mode,
                                                           .kind = GROUP_KIND,
                                                           .version = GROUP_VERSION,
                                                           .layout = capacity,
                                                           .size = muster_group_size(capacity),
                                                           .deadline = options->deadline,
                                                           .initialize = fill,
                                                           .renew = renew,
                                                           .context = &capacity,
                                                           .mismatch = options->mismatch},
                                  &region);
  if (status) return status;
  status = muster_group_attach(muster_region_payload(region), muster_region_size(region), group);
  if (status) return muster_region_close(region), status;
  (*group)->region = region;
  (*group)->read_only = (flags & MUSTER_REGION_READ_ONLY) != 0;
  return 0;
}

MUSTER_NONBLOCKING muster_member_state muster_group_life(const muster_group *group, uint32_t index) {
  group_place *place = &group->places[index];
  const uint32_t *lock = muster_group_lock_word(group, index);
  // seq_cst: not before a step of the caller's that it asks about (who gives to a member, and looks then whether it lives).
  uint32_t word = __atomic_load_n(lock, __ATOMIC_SEQ_CST), state, before;
  // The two must have been so at one moment: no owner, then JOINED by one who came in between, would say dead of the living.
  do {
    before = word;
    state = __atomic_load_n(&place->state, __ATOMIC_ACQUIRE);
    word = __atomic_load_n(lock, __ATOMIC_ACQUIRE);
  } while (word != before);
  if (muster_liveness_died(word)) return MUSTER_MEMBER_DEAD;
  if (state == PLACE_LEFT) return MUSTER_MEMBER_LEFT;
  if (muster_liveness_owner(word)) return MUSTER_MEMBER_ALIVE;
  return state == PLACE_JOINED ? MUSTER_MEMBER_DEAD : MUSTER_MEMBER_FREE;
}

// ---- The holder of a group of one place

// The lock word, but for the mark that somebody sleeps at it, which comes and goes without a change of who has it.
static uint32_t held_word(const muster_group *group) {
  return __atomic_load_n(muster_group_lock_word(group, 0), __ATOMIC_ACQUIRE) & (FUTEX_TID_MASK | FUTEX_OWNER_DIED);
}

// What is read of it at one moment.
typedef struct holder_seen {
  uint32_t word, owner, thread, state;
  int32_t pid;
  muster_member_state life;
} holder_seen;

// Whether it was all of one moment. Nobody comes and goes often enough to make it otherwise each of some times.
static int see_holder(const muster_group *group, const uint32_t *owner, holder_seen *seen) {
  const group_place *place = group->places;
  uint32_t incarnation = __atomic_load_n(&place->incarnation, __ATOMIC_ACQUIRE);
  seen->word = held_word(group);
  seen->life = muster_group_life(group, 0);
  seen->state = __atomic_load_n(&place->state, __ATOMIC_ACQUIRE);
  // In this order: who joins stores them in the other one.
  seen->thread = __atomic_load_n(&place->thread, __ATOMIC_ACQUIRE);
  seen->pid = __atomic_load_n(&place->pid, __ATOMIC_ACQUIRE);
  seen->owner = __atomic_load_n(owner, __ATOMIC_ACQUIRE);
  return held_word(group) == seen->word && __atomic_load_n(&place->incarnation, __ATOMIC_ACQUIRE) == incarnation;
}

int muster_group_holder(const muster_group *group, const uint32_t *owner, int32_t *pid) {
  *pid = 0;
  holder_seen seen;
  int turns = 16;
  while (!see_holder(group, owner, &seen))
    if (!--turns) return 0;
  switch (seen.life) {
    case MUSTER_MEMBER_ALIVE:
      // Who has the lock and is not the thread that is noted is just joining: what is noted is of the one before.
      if (seen.thread == muster_liveness_owner(seen.word)) *pid = seen.pid;
      return 0;
    case MUSTER_MEMBER_DEAD:
      // One who died before he had sat down in the place of one who left is known by nothing.
      if (!muster_liveness_died(seen.word)) *pid = seen.owner ? (int32_t)seen.owner : seen.pid;
      else if (seen.state == PLACE_JOINED) *pid = seen.pid;
      return EOWNERDEAD;
    default:
      *pid = (int32_t)seen.owner;
      return seen.owner ? EOWNERDEAD : ENOENT;
  }
}

// ---- Joining and leaving

static void change_roster(muster_group *group) {
  __atomic_fetch_add(&group->head->roster, 1, __ATOMIC_ACQ_REL);
  muster_futex_wake_all(&group->head->roster);
}

// The roster is changed before the place is marked as noted: who dies between the two leaves it to another to change it once more,
// which costs a look and loses nothing. Who is stopped between the two must not take back what was noted since: a later end, of which
// there are as many as have joined since. (What is beyond those is nonsense, and noted over.)
int muster_group_note_end(muster_group *group, uint32_t index, uint32_t incarnation) {
  group_place *place = &group->places[index];
  uint32_t noted = __atomic_load_n(&place->noted, __ATOMIC_ACQUIRE);
  uint32_t latest = __atomic_load_n(&place->incarnation, __ATOMIC_ACQUIRE);
  if (noted - incarnation <= latest - incarnation) return 0;
  change_roster(group);
  // Fails only where somebody else noted this end, or a later one.
  __atomic_compare_exchange_n(&place->noted, &noted, incarnation, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  return 1;
}

// Takes the lock of a place that was found not to be held. If its last member died or left, that is counted first: once the lock is
// taken, or the place free, nobody who was woken by that end could tell it any more; and one who left may not have come to count it.
static int take_place(muster_group *group, uint32_t index, int (*take)(liveness_lock *lock)) {
  group_place *place = &group->places[index];
  uint32_t incarnation = __atomic_load_n(&place->incarnation, __ATOMIC_ACQUIRE);
  muster_member_state state = muster_group_life(group, index);
  if (state == MUSTER_MEMBER_DEAD || state == MUSTER_MEMBER_LEFT) muster_group_note_end(group, index, incarnation);
  return take(&place->lock);
}

// What the place was, by one who has just taken its lock: nobody else changes it now.
static muster_member_state was(const group_place *place, int taken) {
  uint32_t state = __atomic_load_n(&place->state, __ATOMIC_RELAXED);
  if (taken == EOWNERDEAD || state == PLACE_JOINED) return MUSTER_MEMBER_DEAD;
  return state == PLACE_LEFT ? MUSTER_MEMBER_LEFT : MUSTER_MEMBER_FREE;
}

// Puts a lock back that was taken for nothing. A dead place stays dead: JOINED without an owner says so too.
static void put_back(group_place *place, muster_member_state state) {
  if (state == MUSTER_MEMBER_DEAD) __atomic_store_n(&place->state, PLACE_JOINED, __ATOMIC_RELEASE);
  muster_liveness_release(&place->lock);
}

// Who joins, found out before he takes a place: those who watch sleep at his lock only once the roster has told of him, so between the
// two there is no system call, and who is killed there is missed a second later.
typedef struct newcomer {
  int32_t pid;
  uint32_t thread;
  uint64_t start;
} newcomer;

static void sit_down(muster_group *group, uint32_t index, const newcomer *who) {
  group_place *place = &group->places[index];
  group->thread = who->thread;
  __atomic_store_n(&place->pid, who->pid, __ATOMIC_RELAXED);
  __atomic_store_n(&place->thread, who->thread, __ATOMIC_RELEASE);
  __atomic_store_n(&place->start, who->start, __ATOMIC_RELAXED);
  // In this order: who sees the new number sees the place taken. The other way round he could see the new number on a place that the
  // one before has left, and count the end of one who has just joined.
  __atomic_store_n(&place->state, PLACE_JOINED, __ATOMIC_RELEASE);
  __atomic_store_n(&place->incarnation, place->incarnation + 1, __ATOMIC_RELEASE);
  group->member = index;
  change_roster(group);
}

static int differ(muster_mismatch *mismatch, muster_mismatch_kind kind, uint64_t ours, uint64_t theirs) {
  if (mismatch) *mismatch = (muster_mismatch){kind, ours, theirs};
  return EPROTO;
}

int muster_group_compatible(const muster_group *group, muster_mismatch *mismatch) {
  uint32_t abi = group->head->abi, our_abi = muster_liveness_abi();
  if (abi != our_abi) return differ(mismatch, MUSTER_MISMATCH_LIBC, our_abi, abi);
  uint64_t theirs = group->head->pid_namespace, ours = muster_pid_namespace();
  if (theirs && ours && theirs != ours) return differ(mismatch, MUSTER_MISMATCH_NAMESPACE, ours, theirs);
  return 0;
}

static int may_join(const muster_group *group) {
  if (muster_fork_inherited(&group->guard)) return EPERM;
  if (group->read_only) return EACCES;
  return group->member != GROUP_NOBODY ? EALREADY : muster_group_compatible(group, NULL);
}

int muster_group_is_passing(const muster_group *group, uint32_t index) {
  group_place *place = &group->places[index];
  uint32_t owner = muster_liveness_owner(__atomic_load_n(muster_group_lock_word(group, index), __ATOMIC_ACQUIRE));
  return owner && owner != __atomic_load_n(&place->thread, __ATOMIC_ACQUIRE);
}

static int join_once(muster_group *group, const group_seating *seating, const newcomer *who, uint32_t *member) {
  int passing = 0;
  // Free places first, so that who died can be asked for as long as there is room.
  for (int spare_dead = 1; spare_dead >= 0; spare_dead--) {
    for (uint32_t k = 0; k < group->capacity; k++) {
      group_place *place = &group->places[k];
      passing |= muster_group_is_passing(group, k);
      muster_member_state state = muster_group_life(group, k);
      if (state == MUSTER_MEMBER_ALIVE || (spare_dead && state != MUSTER_MEMBER_FREE)) continue;
      if (!seating->accept(k, state, seating->context)) continue;
      int taken = take_place(group, k, muster_liveness_take);
      if (taken == ENOLCK || taken == ENOMEM) return taken;
      if (taken && taken != EOWNERDEAD) continue;
      state = was(place, taken);
      if ((spare_dead && state != MUSTER_MEMBER_FREE) || !seating->accept(k, state, seating->context)) {
        put_back(place, state);
        continue;
      }
      if (seating->seated) seating->seated(k, seating->context);
      sit_down(group, k, who);
      *member = k;
      return 0;
    }
  }
  return passing ? EAGAIN : EOVERFLOW;
}

int muster_group_join_seated(muster_group *group, const group_seating *seating, uint32_t *member) {
  int status = may_join(group);
  if (status) return status;
  muster_deadline patience = muster_deadline_after(MUSTER_REGION_PATIENCE);
  newcomer who = {.pid = (int32_t)getpid(), .thread = this_thread(), .start = muster_own_start()};
  while ((status = join_once(group, seating, &who, member)) == EAGAIN) {
    if (muster_deadline_passed(patience)) return EOVERFLOW;
    muster_region_sleep_until(muster_deadline_after(50000));
  }
  return status;
}

static int accept_any(uint32_t index, muster_member_state state, void *context) {
  (void)index, (void)state, (void)context;
  return 1;
}

int muster_group_join(muster_group *group, uint32_t *member) {
  return muster_group_join_seated(group, &(group_seating){.accept = accept_any}, member);
}

int muster_group_leave(muster_group *group) {
  if (muster_fork_inherited(&group->guard)) return EPERM;
  if (group->member == GROUP_NOBODY) return EINVAL;
  if (muster_group_was_lost(group)) return group->member = GROUP_NOBODY, 0;
  if (this_thread() != group->thread) return EBUSY;
  uint32_t index = group->member;
  group_place *place = &group->places[index];
  uint32_t incarnation = __atomic_load_n(&place->incarnation, __ATOMIC_RELAXED);
  __atomic_store_n(&place->state, PLACE_LEFT, __ATOMIC_RELEASE);
  muster_liveness_release(&place->lock);
  group->member = GROUP_NOBODY;
  muster_group_note_end(group, index, incarnation);
  return 0;
}

// A lock whose thread has ended is on no list any more, so its memory may go. One whose thread lives must not: the kernel would
// find the list cut off there, and not release what comes after.
static int leave_before_detaching(muster_group *group) {
  if (group->member == GROUP_NOBODY || muster_fork_inherited(&group->guard)) return 0;
  return muster_group_leave(group);
}

int muster_group_detach(muster_group *group) {
  int status = leave_before_detaching(group);
  if (!status) free(group);
  return status;
}

int muster_group_close(muster_group *group) {
  if (!group) return 0;
  muster_region *region = group->region;
  int status = muster_group_detach(group);
  if (!status) muster_region_close(region);
  return status;
}

uint32_t muster_group_capacity(const muster_group *group) { return group->capacity; }

int muster_group_member(const muster_group *group, uint32_t index, muster_member *member) {
  if (index >= group->capacity) return EINVAL;
  if (muster_fork_inherited(&group->guard)) return EPERM;
  const group_place *place = &group->places[index];
  *member = (muster_member){.state = muster_group_life(group, index),
                            .pid = __atomic_load_n(&place->pid, __ATOMIC_RELAXED),
                            .start = __atomic_load_n(&place->start, __ATOMIC_RELAXED),
                            .incarnation = __atomic_load_n(&place->incarnation, __ATOMIC_RELAXED),
                            .thread = __atomic_load_n(&place->thread, __ATOMIC_RELAXED)};
  return 0;
}

int muster_group_members(const muster_group *group, muster_member_state state, muster_member_set *set) {
  if (muster_fork_inherited(&group->guard)) return EPERM;
  *set = (muster_member_set){{0}};
  for (uint32_t k = 0; k < group->capacity; k++)
    if (muster_group_life(group, k) == state) set->bits[k / 64] |= UINT64_C(1) << k % 64;
  return 0;
}

int muster_group_free_dead(muster_group *group) {
  if (muster_fork_inherited(&group->guard)) return EPERM;
  if (group->read_only) return EACCES;
  if (group->head->abi != muster_liveness_abi()) return EPROTO;
  int freed = 0;
  for (uint32_t k = 0; k < group->capacity; k++) {
    group_place *place = &group->places[k];
    muster_member_state state = muster_group_life(group, k);
    if (state != MUSTER_MEMBER_DEAD && state != MUSTER_MEMBER_LEFT) continue;
    int taken = take_place(group, k, muster_liveness_borrow);
    if (taken == ENOMEM) return taken;
    if (taken && taken != EOWNERDEAD) continue;
    __atomic_store_n(&place->state, PLACE_FREE, __ATOMIC_RELEASE);
    muster_liveness_release(&place->lock);
    freed = 1;
  }
  if (freed) change_roster(group);
  return 0;
}

uint32_t muster_group_roster(const muster_group *group) {
  return __atomic_load_n(&group->head->roster, __ATOMIC_ACQUIRE);
}
