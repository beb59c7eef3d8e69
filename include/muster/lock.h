// Robust locks between processes: a mutex, and a read-write lock, whose holders may die.
//
//   muster_mutex *mutex;                                     muster_rwlock *lock;
//   muster_mutex_open("books", &(muster_mutex_options){0},   muster_rwlock_open("books",
//                     &mutex);                                   &(muster_rwlock_options){.capacity = 16}, &lock);
//   int status = muster_mutex_lock(mutex, deadline);         status = muster_rwlock_read(lock, deadline);
//   if (status == EOWNERDEAD) {                              ...read...
//     ...put in order what the dead one left...              muster_rwlock_unlock(lock);
//     status = muster_mutex_repaired(mutex);                 status = muster_rwlock_write(lock, deadline);
//   }                                                        ...as with the mutex...
//   if (!status) ...change..., muster_mutex_unlock(mutex);   muster_rwlock_unlock(lock);
//
// Or, with a function that repairs: muster_mutex_lock_repairing(mutex, repair, context, deadline), which gives the lock
// only when what it guards is whole.
//
// When a holder dies, by whatever cause, the next one gets the lock with EOWNERDEAD: it holds the lock, and what the lock
// guards is unrepaired. It repairs that, says so (`repaired`), and unlocks as ever. If it dies too, the next one gets
// EOWNERDEAD in turn. If it unlocks without having said so, the lock is poisoned: ENOTRECOVERABLE for everybody, also for
// those who sleep, until `reset`; after that the next one gets EOWNERDEAD and can repair. So nobody ever gets a lock
// with 0 that guards something half changed, by whatever mistake.
//
// Why it is right. The mutex is libc's robust process-shared one (pthread_mutexattr_setrobust(3)): the kernel marks its word
// when the holder's thread ends, and wakes a sleeper. Before that mark is taken off (pthread_mutex_consistent) the word
// `unrepaired` is set beside it, which only `repaired`, by a holder, and `reset` clear: at each instruction the one or
// the other tells the next holder. What wakes whom, and that no single death loses a wake: docs/lock.md.
//
// The read-write lock. Each handle is a member with a place in a group (group.h), and a word in a cache line of its own that
// says "reading". A reader stores that word and looks at the gate; a writer closes the gate and looks at the words of
// all members that live (Dekker; all four sequentially consistent): at least one sees the other. Readers thus write to no
// line that another reader writes to. A member that died counts as not reading. Writers exclude each other by a mutex as
// above; whether a dead one had begun to write stands in the gate.
//
// Fairness. The mutex goes to whoever is quickest. In the read-write lock neither side starves: a reader that comes
// while a writer waits or writes waits itself, so that a writer waits for those who read already; and a writer that unlocks lets
// all readers in who wait by then, before the next writer. So a reader waits for one writer at the most, whoever else comes.
// Writers among themselves: whoever is quickest.
//
// Threads. A mutex belongs to the thread that locked it; any number of threads may use one handle. A handle of a
// read-write lock is of the thread that opened it, and holds one thing at a time. No handle is used while it is closed.
// Locks are not inherited over fork, and the handles give EPERM in the child.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_LOCK_H
#define MUSTER_LOCK_H

#include "clock.h"
#include "group.h"
#include "region.h"
#include "status.h"
#include "wait.h"

MUSTER_BEGIN_DECLS

// The kinds of their regions: both are locks, of different layouts.
#define MUSTER_LOCK_KIND MUSTER_KIND('L', 'O', 'C', 'K')
#define MUSTER_LOCK_LAYOUT_MUTEX 1
#define MUSTER_LOCK_LAYOUT_RWLOCK 2

// The alignment of a lock that is laid into memory by its user.
#define MUSTER_LOCK_ALIGNMENT 128

#define MUSTER_RWLOCK_CAPACITY_MAX MUSTER_GROUP_CAPACITY_MAX

typedef struct muster_mutex muster_mutex;
typedef struct muster_rwlock muster_rwlock;

typedef enum MUSTER_OPEN_ENUM muster_lock_state {
  MUSTER_LOCK_FREE = 0,
  MUSTER_LOCK_HELD = 1,  // by a living thread
  MUSTER_LOCK_DEAD = 2,  // its holder died, and nobody has taken it since
} muster_lock_state;

typedef enum MUSTER_OPEN_ENUM muster_lock_condition {
  MUSTER_LOCK_WHOLE = 0,
  MUSTER_LOCK_UNREPAIRED = 1,  // a holder died, and nobody has said yet that it is repaired
  MUSTER_LOCK_POISONED = 2,    // unlocked unrepaired: until reset
} muster_lock_condition;

// Who holds a lock, or died holding it.
typedef struct muster_lock_holder {
  muster_lock_state state;
  muster_lock_condition condition;
  int32_t pid;            // of the holder, or of the dead one; 0: nobody's, or not known: it is just taking the lock, or died in that
  uint32_t thread;        // its thread id
  muster_deadline since;  // when it took the lock, up to a second too early; 0 where the pid is 0
  int32_t died;           // the process of the last that is known to have died holding it; 0: none
  int32_t reserved;
} muster_lock_holder;

// Puts in order what a dead holder left; called with the lock held. Other than 0: it can't be.
typedef int (*muster_lock_repair)(void *MUSTER_NULLABLE context);

// ---- The mutex

typedef struct muster_mutex_options {
  uint32_t flags;            // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t mode;             // as of a region
  muster_deadline deadline;  // as of a region
  muster_mismatch *MUSTER_NULLABLE mismatch;
} muster_mutex_options;

// In place: the bytes a mutex takes, and how to lay one into memory that no one uses as one. Returns 0, EINVAL (alignment, too
// few bytes), ENOTSUP (no robust mutexes here).
size_t muster_mutex_size(void);
int muster_mutex_init(void *MUSTER_NONNULL memory, size_t size) MUSTER_MUST_CHECK;

// In place: a handle for the mutex at `memory`, which must stay mapped and writable until close. Returns 0, EINVAL, ENOMEM,
// EBADMSG (no mutex there), EPROTO (version, or made with another libc or in another pid namespace), ENOTSUP.
int muster_mutex_attach(void *MUSTER_NONNULL memory, size_t size,
                        muster_mutex *MUSTER_NULLABLE *MUSTER_NONNULL mutex) MUSTER_MUST_CHECK;

// By name: creates or attaches, as the flags say. Returns what muster_region_open and muster_mutex_attach do. When nobody holds
// the region, the mutex is made anew; what a dead holder left unrepaired, or somebody poisoned, stays so; and in a file that outlived a
// restart of the machine it is unrepaired. With MUSTER_REGION_READ_ONLY the handle can only ask; what would write gives EACCES.
int muster_mutex_open(const char *MUSTER_NONNULL name, const muster_mutex_options *MUSTER_NONNULL options,
                      muster_mutex *MUSTER_NULLABLE *MUSTER_NONNULL mutex) MUSTER_MUST_CHECK;

// Lets go of the handle. Returns 0, or EBUSY: a thread that lives holds the mutex by this handle. In a forked child it lets go of the
// child's copy alone.
int muster_mutex_close(muster_mutex *MUSTER_NULLABLE mutex);

// Locks, waiting until the deadline.
//
// Returns 0, or
//   EOWNERDEAD       locked; what it guards is unrepaired
//   ENOTRECOVERABLE  poisoned, also while waiting
//   ETIMEDOUT        the deadline passed
//   EDEADLK          this thread holds it
//   ENOLCK           this thread holds 1,024 locks and memberships: the kernel releases no more than 2,048 of a dead thread
//   EACCES, EPERM, ENOMEM, EBADMSG
int muster_mutex_lock(muster_mutex *MUSTER_NONNULL mutex, muster_deadline deadline) MUSTER_MUST_CHECK;

// The same without waiting: EBUSY when anybody holds it, this thread included.
int muster_mutex_try(muster_mutex *MUSTER_NONNULL mutex) MUSTER_MUST_CHECK;

// Locks, and when a holder had died calls `repair`. If that returns 0, what the lock guards is whole again and this
// returns 0. Else the mutex is unlocked and poisoned, and this returns what `repair` returned. Never EOWNERDEAD otherwise.
int muster_mutex_lock_repairing(muster_mutex *MUSTER_NONNULL mutex, muster_lock_repair MUSTER_NONNULL repair,
                                void *MUSTER_NULLABLE context, muster_deadline deadline) MUSTER_MUST_CHECK;

// What the mutex guards is whole again: said by its holder. Returns 0 (also when it was), EPERM (not held by this thread by
// this handle), EACCES.
int muster_mutex_repaired(muster_mutex *MUSTER_NONNULL mutex) MUSTER_MUST_CHECK;

// Unlocks; poisons the mutex if it is unrepaired. Returns 0, EPERM (not held by this thread by this handle), EACCES, EBADMSG.
int muster_mutex_unlock(muster_mutex *MUSTER_NONNULL mutex);

// Takes poison off: the next to lock gets EOWNERDEAD, and can repair. By anybody. Returns 0 (also when it was not poisoned),
// EPERM, EACCES.
int muster_mutex_reset(muster_mutex *MUSTER_NONNULL mutex);

// Locks without sleeping, for event loops: as muster_mutex_lock, or EAGAIN with the word to sleep at (wait.h). Who gives up has
// nothing to undo. The recheck of these sets is after 50 ms: the kernel wakes one sleeper for a dead holder, and that one may be
// a loop that does not come.
int muster_mutex_poll(muster_mutex *MUSTER_NONNULL mutex, muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// Waits without locking, for a thread that sleeps in another's stead: 0 when nobody who lives holds the mutex, so that the other may
// try; EAGAIN with the word to sleep at, as above; EPERM, EACCES.
int muster_mutex_poll_free(muster_mutex *MUSTER_NONNULL mutex, muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// Who holds it. Takes no lock. Returns 0, EPERM.
int muster_mutex_holder(const muster_mutex *MUSTER_NONNULL mutex,
                        muster_lock_holder *MUSTER_NONNULL holder) MUSTER_MUST_CHECK;

// The region of a mutex that was opened by name; NULL for one attached in place. It belongs to the handle.
muster_region *MUSTER_NULLABLE muster_mutex_region(const muster_mutex *MUSTER_NONNULL mutex);

// ---- The read-write lock

typedef struct muster_rwlock_options {
  uint32_t capacity;         // places, 1 to 256, one for each handle; when attaching, 0: as it is
  uint32_t flags;            // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t mode;             // as of a region
  uint32_t observe;          // 1: does not join, and is of no thread: it asks, resets, and holds the region for handles that attach in it
  muster_deadline deadline;  // as of a region
  muster_mismatch *MUSTER_NULLABLE mismatch;
} muster_rwlock_options;

// In place: the bytes that one of `capacity` places takes (0 for a number that can't be), and how to lay one. Returns 0, EINVAL,
// ENOTSUP.
size_t muster_rwlock_size(uint32_t capacity);
int muster_rwlock_init(void *MUSTER_NONNULL memory, size_t size, uint32_t capacity) MUSTER_MUST_CHECK;

// In place: a handle, which joins on the calling thread. Returns 0, EINVAL, ENOMEM, EBADMSG, EPROTO, ENOTSUP, EOVERFLOW (all
// places are held by the living), ENOLCK.
int muster_rwlock_attach(void *MUSTER_NONNULL memory, size_t size,
                         muster_rwlock *MUSTER_NULLABLE *MUSTER_NONNULL rwlock) MUSTER_MUST_CHECK;

// By name: creates or attaches, and joins. As muster_mutex_open, and as muster_rwlock_attach. With MUSTER_REGION_READ_ONLY it
// does not join and can only ask. An observer's locking gives EACCES.
int muster_rwlock_open(const char *MUSTER_NONNULL name, const muster_rwlock_options *MUSTER_NONNULL options,
                       muster_rwlock *MUSTER_NULLABLE *MUSTER_NONNULL rwlock) MUSTER_MUST_CHECK;

// Leaves, and lets go of the handle. Returns 0, or EBUSY: it holds the lock, waits for it by a poll, or was opened on another thread,
// which lives. In a forked child it lets go of the child's copy alone.
int muster_rwlock_close(muster_rwlock *MUSTER_NULLABLE rwlock);

// Locks for reading. Returns 0, or
//   EOWNERDEAD       not locked: a writer died, and nobody who lives is repairing what it left
//   ENOTRECOVERABLE  not locked: poisoned
//   ETIMEDOUT, EDEADLK (this handle holds it), EACCES, EPERM (inherited over fork, or another thread's), ENOLCK, EBADMSG
int muster_rwlock_read(muster_rwlock *MUSTER_NONNULL rwlock, muster_deadline deadline) MUSTER_MUST_CHECK;

// Locks for writing. Returns as muster_mutex_lock; with EOWNERDEAD it is locked.
int muster_rwlock_write(muster_rwlock *MUSTER_NONNULL rwlock, muster_deadline deadline) MUSTER_MUST_CHECK;

// The same without waiting: EBUSY.
int muster_rwlock_try_read(muster_rwlock *MUSTER_NONNULL rwlock) MUSTER_MUST_CHECK;
int muster_rwlock_try_write(muster_rwlock *MUSTER_NONNULL rwlock) MUSTER_MUST_CHECK;

// Locks for writing and repairs where that is needed: as muster_mutex_lock_repairing.
int muster_rwlock_write_repairing(muster_rwlock *MUSTER_NONNULL rwlock, muster_lock_repair MUSTER_NONNULL repair,
                                  void *MUSTER_NULLABLE context, muster_deadline deadline) MUSTER_MUST_CHECK;

// What the lock guards is whole again: said by its writer. Returns 0, EPERM.
int muster_rwlock_repaired(muster_rwlock *MUSTER_NONNULL rwlock) MUSTER_MUST_CHECK;

// Unlocks what this handle holds, or gives up what it waits for by a poll. A writer that has not repaired poisons the lock. Returns 0,
// EPERM (holds nothing), EBADMSG.
int muster_rwlock_unlock(muster_rwlock *MUSTER_NONNULL rwlock);

// Takes poison off: the next writer gets EOWNERDEAD. By anybody. Returns 0, EPERM, EACCES.
int muster_rwlock_reset(muster_rwlock *MUSTER_NONNULL rwlock);

// Locks without sleeping, for event loops: EAGAIN with the words to sleep at. The first EAGAIN begins a wait, during which only the
// same poll goes on with it: who gives up calls muster_rwlock_unlock, since readers wait for a writer that waits.
int muster_rwlock_poll_read(muster_rwlock *MUSTER_NONNULL rwlock, muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;
int muster_rwlock_poll_write(muster_rwlock *MUSTER_NONNULL rwlock, muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// Who holds it: the writer (one that waits for readers is one, and `condition` tells of the lock), and the places of the living
// readers. Returns 0, EPERM.
int muster_rwlock_holders(const muster_rwlock *MUSTER_NONNULL rwlock, muster_lock_holder *MUSTER_NONNULL writer,
                          muster_member_set *MUSTER_NONNULL readers) MUSTER_MUST_CHECK;

// Who is in a place: HELD it reads, DEAD it died as a member (`since` tells when it began to read; 0: it did not), FREE otherwise.
// Returns 0, EINVAL (no such place), EPERM.
int muster_rwlock_reader(const muster_rwlock *MUSTER_NONNULL rwlock, uint32_t index,
                         muster_lock_holder *MUSTER_NONNULL reader) MUSTER_MUST_CHECK;

uint32_t muster_rwlock_capacity(const muster_rwlock *MUSTER_NONNULL rwlock);

// The region of one that was opened by name; NULL for one attached in place. It belongs to the handle.
muster_region *MUSTER_NULLABLE muster_rwlock_region(const muster_rwlock *MUSTER_NONNULL rwlock);

MUSTER_END_DECLS

#endif
