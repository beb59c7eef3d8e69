// The robust barrier: processes that may die meet, phase after phase, and none waits for the dead.
//
//   Each of N processes, whoever comes first
//   ----------------------------------------------------------------
//   muster_barrier *barrier;
//   muster_barrier_options options = {.parties = 4};
//   muster_barrier_open("crew", &options, &barrier);
//   muster_barrier_wait(barrier, muster_deadline_after(5000000000), NULL);     // 0: all 4 have arrived
//   muster_barrier_close(barrier);
//   // once, when the name is no longer wanted: muster_region_remove("crew", 0);
//
// Opening joins: the calling thread takes one of the `parties` places, with a liveness lock that the kernel lets go of
// when that thread ends (group.h). All `parties` must arrive before anybody is released, also those that have not joined
// yet. What a death means is chosen at creation:
//
//   break    (default) all who wait get EOWNERDEAD and can ask which member; the barrier is broken until reset
//   shrink   the others go on without it; the parties are one fewer
//   await    the others wait on, by their deadlines, until a process joins in the dead one's place
//
// A death after arriving counts as arrived for this phase; the policy applies at the next. Closing without
// arrive_and_drop is a death in this sense. A process that is stopped (SIGSTOP) is alive: deadlines are for that.
//
// Names and meanings are those of Java's CyclicBarrier and Phaser and of Python's threading.Barrier: broken, abort, reset,
// waiting, parties, phase, arrive-and-drop (arriveAndDeregister).
//
// Correctness, cost and the layout in memory: docs/barrier.md and internal/barrier_layout.h. In short: an arrival is one
// compare-and-swap that sets the arriver's own bit in a word which holds the phase too, so it says who arrived and
// cannot fall into another phase; the one that completes the word moves on to the next phase by the same instruction; each
// step that may be left half done by a death is idempotent, and anyone who waits finishes it.
//
// A handle is for one member: one thread at a time calls it. Handles of one process, each with its own open, are independent.
// In a forked child the handle gives EPERM.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_BARRIER_H
#define MUSTER_BARRIER_H

#include "clock.h"
#include "group.h"
#include "region.h"
#include "status.h"
#include "wait.h"

MUSTER_BEGIN_DECLS

#define MUSTER_BARRIER_PARTIES_MAX MUSTER_GROUP_CAPACITY_MAX

// The alignment of a barrier that is laid into memory by its user.
#define MUSTER_BARRIER_ALIGNMENT 128

typedef struct muster_barrier muster_barrier;

typedef enum MUSTER_OPEN_ENUM muster_on_death {
  MUSTER_ON_DEATH_BREAK = 0,
  MUSTER_ON_DEATH_SHRINK = 1,
  MUSTER_ON_DEATH_AWAIT = 2,
} muster_on_death;

// Run by the last to arrive, before anyone is released. Other than 0 breaks the barrier, and that caller's wait returns it
// (ENOTRECOVERABLE for EAGAIN, which has another meaning here).
typedef int (*muster_barrier_action)(void *MUSTER_NULLABLE context);

typedef struct muster_barrier_options {
  uint32_t parties;          // 1 to 256; when attaching, 0: as it is
  muster_on_death on_death;  // compared when parties is given
  uint32_t flags;            // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t mode;             // as of a region
  muster_deadline deadline;  // as of a region: how long to wait for a name when attaching alone
  int32_t observe;           // 1: don't join; such a handle can ask, abort and reset, not arrive. With READ_ONLY: only ask
  uint32_t reserved;
  muster_barrier_action MUSTER_NULLABLE action;  // of this handle
  void *MUSTER_NULLABLE context;
  muster_mismatch *MUSTER_NULLABLE mismatch;
} muster_barrier_options;

// Why a barrier is broken.
typedef enum MUSTER_OPEN_ENUM muster_barrier_cause {
  MUSTER_BARRIER_WHOLE = 0,     // it is not
  MUSTER_BARRIER_TIMED_OUT = 1, // a waiter's deadline passed
  MUSTER_BARRIER_ABORTED = 2,   // somebody called abort
  MUSTER_BARRIER_DEATH = 3,     // a member died, or closed without dropping
  MUSTER_BARRIER_ACTION = 4,    // the action returned an error
} muster_barrier_cause;

typedef struct muster_barrier_state {
  uint32_t parties;             // who have to arrive for a phase to complete
  uint32_t arrived;             // of those, who have arrived in the present phase
  uint32_t phase;               // the present phase
  muster_barrier_cause cause;   // WHOLE, or why it is broken
  uint32_t culprit;             // at TIMED_OUT, DEATH, ACTION: the member; MUSTER_BARRIER_NOBODY else
  muster_on_death on_death;
  int32_t in_action;            // 1: all have arrived, and the action runs
  uint32_t reserved;
} muster_barrier_state;

#define MUSTER_BARRIER_NOBODY UINT32_MAX

// What a wait, or an arrival, came to.
typedef struct muster_barrier_result {
  uint32_t phase;    // the phase that was arrived at or waited for
  uint32_t index;    // the arrival index: 0 for the first, parties - 1 for the last; UINT32_MAX where unknown
  int32_t serial;    // 1 for at most one of the released
  uint32_t culprit;  // at EOWNERDEAD, and ENOTRECOVERABLE by a death: the member; MUSTER_BARRIER_NOBODY else
} muster_barrier_result;

// In place: the bytes a barrier of `parties` takes (0 for a number that can't be), and how to lay one into memory.
// Returns 0, EINVAL.
size_t muster_barrier_size(uint32_t parties);
int muster_barrier_init(void *MUSTER_NONNULL memory, size_t size, uint32_t parties,
                        muster_on_death on_death) MUSTER_MUST_CHECK;

// In place: a handle for the barrier at `memory`, which must stay mapped and writable until close. Of the options action, context,
// observe, parties and on_death are used. Returns 0, EINVAL, ENOMEM, EBADMSG, EPROTO, and what joining returns (see open).
int muster_barrier_attach(void *MUSTER_NONNULL memory, size_t size,
                          const muster_barrier_options *MUSTER_NONNULL options,
                          muster_barrier *MUSTER_NULLABLE *MUSTER_NONNULL barrier) MUSTER_MUST_CHECK;

// By name: rendezvous. Creates or attaches, and joins. Returns 0, what muster_region_open returns (EPROTO: other parties or policy), and
// of joining
//   EOVERFLOW        all places are held by the living, or were dropped
//   EOWNERDEAD       all that is left are places of the dead, and the policy is break: reset first
//   ENOTRECOVERABLE  the same, and the barrier is broken already
//   EPROTO           made with another libc or in another pid namespace: *mismatch tells which
//   ENOLCK           this thread is a member of 1,024 already (group.h)
int muster_barrier_open(const char *MUSTER_NONNULL name, const muster_barrier_options *MUSTER_NONNULL options,
                        muster_barrier *MUSTER_NULLABLE *MUSTER_NONNULL barrier) MUSTER_MUST_CHECK;

// Leaves (which the others take for a death, unless this member has dropped out) and lets go of the handle. Returns 0, or EBUSY when
// called on another thread than the one that joined, which still lives: nothing is done then.
int muster_barrier_close(muster_barrier *MUSTER_NULLABLE barrier);

// Arrives and waits until all have arrived.
//
// Returns 0, or
//   ETIMEDOUT        this deadline passed; the barrier is broken now
//   EOWNERDEAD       a member died, and the policy is break: result->culprit; the barrier is broken now
//   ECANCELED        aborted, or reset, while waiting
//   ENOTRECOVERABLE  broken: by another's deadline or action while waiting, or by whatever before
//   EALREADY         this member arrived at this phase by muster_barrier_arrive: wait for that one
//   EINVAL           an observer, or one that has dropped out
//   EPERM, EBADMSG   see status.h
// and what the action returned. A deadline that has passed already when called breaks the barrier unless this arrival is the
// last (as Java and Python do).
int muster_barrier_wait(muster_barrier *MUSTER_NONNULL barrier, muster_deadline deadline,
                        muster_barrier_result *MUSTER_NULLABLE result) MUSTER_MUST_CHECK;

// Arrives without waiting. result->phase is what to wait for. The last to arrive runs its action here. Returns 0, EALREADY, EAGAIN (the
// one before in this place arrived at this phase: this member starts at the next), EINVAL, ENOTRECOVERABLE, EPERM, EBADMSG,
// and what the action returned.
int muster_barrier_arrive(muster_barrier *MUSTER_NONNULL barrier,
                          muster_barrier_result *MUSTER_NULLABLE result) MUSTER_MUST_CHECK;

// Arrives, and lowers the parties by one from the next phase on. This member can wait for the phase that it arrived at, then close.
int muster_barrier_arrive_and_drop(muster_barrier *MUSTER_NONNULL barrier,
                                   muster_barrier_result *MUSTER_NULLABLE result) MUSTER_MUST_CHECK;

// Waits for a phase that this member arrived at. Returns as muster_barrier_wait; EINVAL for a phase yet to come.
int muster_barrier_wait_phase(muster_barrier *MUSTER_NONNULL barrier, uint32_t phase, muster_deadline deadline,
                              muster_barrier_result *MUSTER_NULLABLE result) MUSTER_MUST_CHECK;

// The same without waiting: EAGAIN when the phase goes on.
int muster_barrier_try_wait(muster_barrier *MUSTER_NONNULL barrier, uint32_t phase,
                            muster_barrier_result *MUSTER_NULLABLE result) MUSTER_MUST_CHECK;

// The same for event loops: EAGAIN with the words to sleep at (wait.h). Deadlines are the caller's: muster_barrier_expire.
int muster_barrier_poll(muster_barrier *MUSTER_NONNULL barrier, uint32_t phase,
                        muster_barrier_result *MUSTER_NULLABLE result,
                        muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// What a waiter does whose deadline passed: breaks the barrier if the phase still goes on (an observer only stops waiting). Returns
// ETIMEDOUT, or the outcome that came first.
int muster_barrier_expire(muster_barrier *MUSTER_NONNULL barrier, uint32_t phase,
                          muster_barrier_result *MUSTER_NULLABLE result) MUSTER_MUST_CHECK;

// Breaks the barrier: who waits gets ECANCELED, who comes ENOTRECOVERABLE, until reset. Also by an observer. Returns 0 (also when it was
// broken already), EPERM, EBADMSG.
int muster_barrier_abort(muster_barrier *MUSTER_NONNULL barrier);

// Makes a barrier usable again, broken or not: who waits gets ECANCELED, the parties stay as many as they are, the places of the
// dead and of those who left are free. Also by an observer. Returns 0, EPROTO, EPERM, EBADMSG.
int muster_barrier_reset(muster_barrier *MUSTER_NONNULL barrier);

// The present state, at one moment.
int muster_barrier_state_get(const muster_barrier *MUSTER_NONNULL barrier,
                             muster_barrier_state *MUSTER_NONNULL state) MUSTER_MUST_CHECK;

// Whether it is broken; how many have arrived and wait; how many have to; the present phase. A phase is a number of 31 bits that
// grows by one with each release and each reset, and wraps around.
int muster_barrier_broken(const muster_barrier *MUSTER_NONNULL barrier);
uint32_t muster_barrier_waiting(const muster_barrier *MUSTER_NONNULL barrier);
uint32_t muster_barrier_parties(const muster_barrier *MUSTER_NONNULL barrier);
uint32_t muster_barrier_phase(const muster_barrier *MUSTER_NONNULL barrier);

// This handle's place; MUSTER_BARRIER_NOBODY for an observer.
uint32_t muster_barrier_member(const muster_barrier *MUSTER_NONNULL barrier);

// The group of the barrier's members, to ask who they are. It belongs to the handle.
muster_group *MUSTER_NONNULL muster_barrier_group(const muster_barrier *MUSTER_NONNULL barrier);

// The region of a barrier that was opened by name; NULL for one attached in place. It belongs to the handle.
const muster_region *MUSTER_NULLABLE muster_barrier_region(const muster_barrier *MUSTER_NONNULL barrier);

MUSTER_END_DECLS

#endif
