// Groups: the members that take part in something, each with a lock that the kernel lets go of when the member dies.
//
//   muster_group *group;
//   muster_group_open("crew", &(muster_group_options){.capacity = 8}, &group);
//   uint32_t me;
//   muster_group_join(group, &me);                   // on the thread whose life is to be told
//   uint32_t seen = muster_group_roster(group);
//   muster_group_wait(group, seen, deadline);        // somebody joined, left or died
//   muster_group_leave(group);                       // on the same thread
//   muster_group_close(group);
//
// Each of the 1 to 256 places holds a robust process-shared mutex (pthread_mutexattr_setrobust(3)). A member locks the one
// of its place when it joins and holds it. When the thread that joined ends, by whatever cause (SIGKILL, exit, exec,
// return from its start function), the kernel walks that thread's list of robust locks, marks the lock word with
// FUTEX_OWNER_DIED and wakes one sleeper at it (futex(2), "robust futexes"). No polling, no number that could be reused,
// no descriptor.
//
// Learning of a death. Sleepers wait by futex_waitv(2) at a word of their own and at lock words of members, in which they set
// FUTEX_WAITERS first. The kernel wakes one sleeper a dead member, and that one may die before it tells the others; so the
// first two sleepers (of each 126 places) watch every member, the others watch those watchers, whoever is woken by a death
// wakes everybody, and a woken one takes a dead watcher's place. Besides, every sleeper looks again once a second. (On musl that
// look alone tells of a member that is killed in the midst of its leaving, between libc's unlock and libc's wake.)
//
// A dead member's place stays dead, so that all can ask who died, until somebody joins in it or it is freed. A joiner takes a
// free place first, a dead one else: a crash loop never fills the table.
//
// Membership belongs to the thread that joined. It is not inherited over fork: in the child every function of the handle
// gives EPERM. Each place's words and who writes them stand in the source, internal/group_layout.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_GROUP_H
#define MUSTER_GROUP_H

#include "clock.h"
#include "region.h"
#include "status.h"
#include "wait.h"

MUSTER_BEGIN_DECLS

#define MUSTER_GROUP_CAPACITY_MAX 256

// The alignment of a group that is laid into memory by its user.
#define MUSTER_GROUP_ALIGNMENT 128

typedef struct muster_group muster_group;

typedef struct muster_group_options {
  uint32_t capacity;         // places, 1 to 256; when attaching, 0: as it is
  uint32_t flags;            // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t mode;             // as of a region
  uint32_t reserved;
  muster_deadline deadline;  // as of a region
  muster_mismatch *MUSTER_NULLABLE mismatch;
} muster_group_options;

typedef enum MUSTER_OPEN_ENUM muster_member_state {
  MUSTER_MEMBER_FREE = 0,   // nobody has joined here, or the place was freed
  MUSTER_MEMBER_ALIVE = 1,  // joined
  MUSTER_MEMBER_LEFT = 2,   // left on its own
  MUSTER_MEMBER_DEAD = 3,   // died as a member
} muster_member_state;

typedef struct muster_member {
  muster_member_state state;
  int32_t pid;           // of the last that joined here; 0: nobody yet
  uint64_t start;        // when its process started: clock ticks since boot
  uint32_t incarnation;  // how many have joined here so far
  uint32_t thread;       // its thread id
} muster_member;

// A set of places: bit (k % 64) of bits[k / 64].
typedef struct muster_member_set {
  uint64_t bits[4];
} muster_member_set;

// In place: the bytes a group of `capacity` takes (0 for a capacity that can't be), and how to lay one into zeroed or used
// memory that no one uses as a group. Returns 0, EINVAL (capacity, alignment, too few bytes).
size_t muster_group_size(uint32_t capacity);
int muster_group_init(void *MUSTER_NONNULL memory, size_t size, uint32_t capacity) MUSTER_MUST_CHECK;

// In place: a handle for the group at `memory`, which must stay mapped and writable until close. Returns 0, ENOMEM,
// EINVAL, EBADMSG (no group there, or its numbers don't fit into `size`), EPROTO (version).
int muster_group_attach(void *MUSTER_NONNULL memory, size_t size,
                        muster_group *MUSTER_NULLABLE *MUSTER_NONNULL group) MUSTER_MUST_CHECK;

// By name: creates or attaches, as the flags say. Returns what muster_region_open does. When nobody holds the region, the
// places of the dead generation before are freed. With MUSTER_REGION_READ_ONLY (and PEEK) the handle can only ask; what would
// write gives EACCES.
int muster_group_open(const char *MUSTER_NONNULL name, const muster_group_options *MUSTER_NONNULL options,
                      muster_group *MUSTER_NULLABLE *MUSTER_NONNULL group) MUSTER_MUST_CHECK;

// Leaves, if joined, and lets go of the handle. Returns 0, or EBUSY when the handle has joined on another thread that
// still lives: nothing is done then. In a forked child it lets go of the child's copy alone.
int muster_group_close(muster_group *MUSTER_NULLABLE group);

// Joins in a free place, else in a dead or left one, for the calling thread. Returns 0 with the place in *member, EALREADY (this
// handle has joined), EOVERFLOW (all places are held by the living), ENOLCK (this thread is a member of 1,024 already: the kernel
// releases at most 2,048 locks when a thread ends), EPROTO (another libc or pid namespace), EACCES (read-only), ENOMEM, EPERM, EBADMSG.
int muster_group_join(muster_group *MUSTER_NONNULL group, uint32_t *MUSTER_NONNULL member) MUSTER_MUST_CHECK;

// Whether this process could join. Returns 0, or EPROTO: it was made with another libc or in another pid namespace; *mismatch tells
// which, with both values.
int muster_group_compatible(const muster_group *MUSTER_NONNULL group, muster_mismatch *MUSTER_NULLABLE mismatch);

// Leaves: the place is LEFT. Returns 0, EINVAL (not joined), EBUSY (called on another thread than joined), EPERM. When the thread that
// joined has ended, any thread may call it: the place is DEAD and stays so, and the handle can join anew.
int muster_group_leave(muster_group *MUSTER_NONNULL group);

uint32_t muster_group_capacity(const muster_group *MUSTER_NONNULL group);

// What is known of place `index`. Returns 0, EINVAL (no such place), EPERM. Sees a death as soon as the kernel has
// marked it; takes no lock.
int muster_group_member(const muster_group *MUSTER_NONNULL group, uint32_t index,
                        muster_member *MUSTER_NONNULL member) MUSTER_MUST_CHECK;

// All places in a given state. Returns 0, EPERM.
int muster_group_members(const muster_group *MUSTER_NONNULL group, muster_member_state state,
                         muster_member_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// Frees the places of the dead and of those who left. Returns 0, EPROTO, EACCES, ENOMEM, EPERM.
int muster_group_free_dead(muster_group *MUSTER_NONNULL group);

// A number that changes with every join and leave, and with every death that somebody noticed. Wraps around.
uint32_t muster_group_roster(const muster_group *MUSTER_NONNULL group);

// Waits until the roster differs from `seen`: somebody joined, left or died. Whoever waits notices deaths for all. Returns 0, ETIMEDOUT,
// EACCES (a read-only handle), EPERM (inherited over fork).
int muster_group_wait(muster_group *MUSTER_NONNULL group, uint32_t seen, muster_deadline deadline) MUSTER_MUST_CHECK;

// The same without sleeping: 0, EACCES, EPERM, or EAGAIN with the words to sleep at. See wait.h. Whoever got EAGAIN may have the watch for others who
// sleep, and should sleep too: if he doesn't, they learn of a death up to MUSTER_WAIT_RECHECK later.
int muster_group_poll(muster_group *MUSTER_NONNULL group, uint32_t seen,
                      muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

MUSTER_END_DECLS

#endif
