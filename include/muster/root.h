// Root, daemons and transactions: processes that are started again by fork, over memory that was laid out before.
//
//   static int count(muster_daemon *self, void *context) {         // a daemon: its own process, forked by the root
//     counter *mine = muster_daemon_state(self);
//     while (!muster_daemon_stopping(self)) {
//       muster_daemon_change_begin(self);
//       mine->turns++;                                             // others never read half of it
//       muster_daemon_change_end(self);
//       muster_transaction_outcome outcome;
//       muster_daemon_transact(self, what_may_crash, NULL, NULL, &outcome);
//       muster_daemon_pause(self, muster_deadline_after(10000000));
//     }
//     return 0;
//   }
//
//   const muster_daemon_spec daemons[] = {
//       {.name = "count", .run = count, .state_size = sizeof(counter), .policy = MUSTER_DAEMON_KEEP},
//       {.name = "watch", .run = watch, .state_size = 64, .heartbeat = 1000000000}};
//   muster_root_start("app", daemons, 2, NULL, &root);
//   muster_root_run(root);                                         // until SIGTERM
//   muster_root_close(root);
//
// Three kinds of process. The *root* is one process with one thread that does next to nothing, so that nothing in it
// can crash: it lays out the memory of all daemons as one mapping, forks each, sleeps, and forks again who dies. A *daemon*
// has an arena of its own (arena.h), which outlives it; it reads all others', and can write none of them. What may crash it hands to
// a *transaction*: a fork of the daemon that works on a snapshot of the daemon's state, and whose changes become the
// daemon's state all at once, or not at all. A root that is killed takes its daemons with it, and they their transactions.
//
// Nothing is allocated once the daemons run, neither here nor there, and no descriptor is opened for one that is started
// again.
//
// Why it is right.
//   1. A daemon is known to be dead by its unreaped process alone (waitid), not by a signal's count: SIGCHLD merely
//      wakes the root, which then looks until there is no dead child left. While it is unreaped its number is nobody
//      else's, so that what is sent to its process group reaches its descendants and no one else.
//   2. A daemon is started again only when each process of its group is gone: the group gets SIGKILL while its leader is
//      unreaped; the root, as their subreaper, becomes the parent of all that it had forked; and the kernel then says
//      that the group has no process (kill(2), ESRCH) or the root no child in it (waitid(2), ECHILD). So no transaction
//      of a dead daemon ever writes beside its successor. (Who leaves the group by setpgid or setsid escapes: don't.)
//   3. A process writes its own arena alone: all of the mapping is read-only before its `run` begins, but for that
//      arena; and what lies on both sides of it is sealed (mseal(2), Linux 6.10), which no later call of that process
//      undoes. In the root all arenas are read-only.
//   4. Each attempt to start a daemon is counted in memory that only the root writes before the attempt, so no way of
//      dying goes uncounted; and the count falls back only after the daemon has lived for its `stable` time (with a
//      heartbeat: from its start to its last beat). So there are finitely many starts in a row that all fail.
//   5. What a person reads of it (status) lies in two copies of which the root writes one while the other is whole, as in
//      the seqlock (seqlock.h): a root that is stopped, or killed, at whatever instruction leaves each row readable.
//   6. Of a transaction's commit and its daemon's decision that it is late, one wins (arena.h). Whoever comes next applies
//      what was committed, before anything else; applying it again changes nothing.
//
// State at restart. What a daemon finds in its state is its policy's choice at first, and then that of a ladder:
//   as declared  `tries` attempts: zeroed; its newest checkpoint; its memory as it was, if `accept` takes it; or what
//                `decide` says
//   checkpoints  each that is there, from the newest that was not tried to the oldest, `tries` attempts each
//   zeroed       `tries` attempts
//   given up     it is not started any more, and that is told
// More restarts within `budget_within` than `budget` are a step on the ladder, too. Restarts in a row are put off, more each time, with
// jitter; meanwhile the root does its other work.
//
// Limits and what is not promised: up to 4096 daemons. A daemon with threads is allowed, not supported: it is its first
// thread whose `run` counts. Readers trust no arena, the root trusts none either; who may write to the region's file from outside can
// confuse all of them. A process in uninterruptible sleep does not die, and its daemon does not come back before it has. The whole of it,
// and how to choose a policy: docs/root.md.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_ROOT_H
#define MUSTER_ROOT_H

#include "arena.h"
#include "clock.h"
#include "region.h"
#include "status.h"

MUSTER_BEGIN_DECLS

#define MUSTER_ROOT_DAEMONS_MAX 4096u
#define MUSTER_ROOT_NAME_SIZE 32          // of a daemon, with the 0 at its end
#define MUSTER_ROOT_BUDGET_MAX 64u

// The kind of its regions.
#define MUSTER_ROOT_KIND MUSTER_KIND('R', 'O', 'O', 'T')

// For times and numbers of a spec whose 0 stands for a default: none at all.
#define MUSTER_ROOT_NONE (-1)

typedef struct muster_root muster_root;
typedef struct muster_daemon muster_daemon;
typedef struct muster_root_view muster_root_view;

// ---- What a daemon is

// What a daemon finds in its state when it is started again.
typedef enum MUSTER_OPEN_ENUM muster_daemon_policy {
  MUSTER_DAEMON_ZERO = 0,        // zeros
  MUSTER_DAEMON_CHECKPOINT = 1,  // its newest checkpoint that `accept` takes; zeros if there is none
  MUSTER_DAEMON_KEEP = 2,        // its memory as it was, if `accept` takes it; else as CHECKPOINT
  MUSTER_DAEMON_DECIDE = 3,      // one of the above, as `decide` says
} muster_daemon_policy;

typedef enum MUSTER_OPEN_ENUM muster_daemon_restart {
  MUSTER_DAEMON_ALWAYS = 0,      // however it ended
  MUSTER_DAEMON_ON_FAILURE = 1,  // unless `run` returned 0
  MUSTER_DAEMON_NEVER = 2,
} muster_daemon_restart;

typedef enum MUSTER_OPEN_ENUM muster_daemon_end {
  MUSTER_DAEMON_NOT_ENDED = 0,
  MUSTER_DAEMON_EXITED = 1,    // value: what `run` returned, its lowest 8 bits; 125: it did not get so far (docs/root.md)
  MUSTER_DAEMON_SIGNALED = 2,  // value: the signal
  MUSTER_DAEMON_HUNG = 3,      // killed by the root for want of a heartbeat
  MUSTER_DAEMON_STOPPED = 4,   // asked to by the root, which ends; value: as it was
  MUSTER_DAEMON_KILLED = 5,    // the same, but it had to be killed
} muster_daemon_end;

typedef enum MUSTER_OPEN_ENUM muster_daemon_rung {
  MUSTER_DAEMON_AS_DECLARED = 0,
  MUSTER_DAEMON_CHECKPOINTS = 1,
  MUSTER_DAEMON_ZEROED = 2,
  MUSTER_DAEMON_GIVEN_UP = 3,
} muster_daemon_rung;

typedef struct muster_daemon_death {
  muster_daemon_end how;
  int32_t value;
  int64_t at;  // CLOCK_MONOTONIC, when the root saw it
} muster_daemon_death;

// What a `decide` decides on. The state may be half changed, or garbage.
typedef struct muster_daemon_case {
  const void *MUSTER_NONNULL state;
  uint64_t size;
  muster_daemon_death death;     // of the predecessor
  uint32_t attempts;             // of this rung, with this one
  uint32_t changing;             // 1: the predecessor died in the midst of a change of its state (change_begin)
  uint64_t checkpoint;           // the number of the newest checkpoint; 0: there is none
} muster_daemon_case;

// `run` is a daemon's life: its process ends with _exit of what it returns, so that stdio's buffers are not written out.
// `accept` says of a state, or of a checkpoint, whether it is good (1) or not (0). `decide` returns MUSTER_DAEMON_ZERO,
// CHECKPOINT or KEEP. Both run in the daemon's process, before `run`, and may die as it may.
typedef int (*muster_daemon_run)(muster_daemon *MUSTER_NONNULL self, void *MUSTER_NULLABLE context);
typedef int (*muster_daemon_accept)(const void *MUSTER_NONNULL state, uint64_t size, void *MUSTER_NULLABLE context);
typedef muster_daemon_policy (*muster_daemon_decide)(const muster_daemon_case *MUSTER_NONNULL found,
                                                     void *MUSTER_NULLABLE context);

// What a daemon declares. A field that is 0 has the default; where 0 would be of use it is MUSTER_ROOT_NONE. Times are
// nanoseconds.
typedef struct muster_daemon_spec {
  const char *MUSTER_NULLABLE name;  // 1 to 31 bytes, no other daemon's
  muster_daemon_run MUSTER_NULLABLE run;
  void *MUSTER_NULLABLE context;
  uint64_t state_size;         // bytes, at least 1. They begin on a page, and at 2 MiB or more on one of 2 MiB
  uint32_t checkpoints;        // how many are kept, up to MUSTER_ARENA_CHECKPOINTS_MAX; 0: none
  int32_t transaction_pages;   // that a transaction may change; 0: all of them; NONE: it has no transactions
  muster_daemon_policy policy;
  muster_daemon_restart restart;
  muster_daemon_accept MUSTER_NULLABLE accept;  // NULL: takes everything
  muster_daemon_decide MUSTER_NULLABLE decide;  // for DECIDE
  int64_t heartbeat;           // killed when it has not beaten for so long; 0: never
  int64_t stop_grace;          // between the stop signal and SIGKILL; 0: 5 s; NONE: at once
  int32_t stop_signal;         // 0: SIGTERM
  int32_t tries;               // attempts on each rung of the ladder; 0: 3
  int64_t stable;              // lived so long, it starts from the ladder's foot; 0: 10 s; NONE: always
  int32_t budget;              // restarts within budget_within, up to 64; 0: no limit but the ladder's
  int32_t delay_jitter;        // per cent by which delays vary; 0: 20; NONE: not at all
  int64_t budget_within;       // 0: 60 s
  int64_t delay_first;         // the first restart in a row comes at once, the second after this; 0: 50 ms; NONE: no delays
  int64_t delay_most;          // each further one is put off twice as long, at most this; 0: 10 s
} muster_daemon_spec;

// ---- The root

typedef enum MUSTER_OPTION_SET muster_root_flags {
  MUSTER_ROOT_END_WHEN_GIVEN_UP = 1,  // the root stops all daemons when one is given up
  MUSTER_ROOT_END_AT_HANGUP = 2,      // SIGHUP is as SIGTERM; else it is ignored
  MUSTER_ROOT_SMALL_PAGES = 4,        // states of 2 MiB and more are not put into huge pages
} muster_root_flags;

typedef enum MUSTER_OPEN_ENUM muster_root_event_kind {
  MUSTER_ROOT_STARTED = 1,      // a daemon was forked, its first time or again
  MUSTER_ROOT_ENDED = 2,        // it is dead, and so is its group: status->death tells how
  MUSTER_ROOT_GAVE_UP = 3,      // and is not started any more
  MUSTER_ROOT_NOT_FORKED = 4,   // fork failed, status->fork_error; it is tried again
} muster_root_event_kind;

struct muster_daemon_status;

// For who wants to log what happens: called in the root, on its thread, between two of its doings. It delays all else
// and must not crash, or wait.
typedef void (*muster_root_tell)(muster_root *MUSTER_NONNULL root, muster_root_event_kind kind, uint32_t daemon,
                                 const struct muster_daemon_status *MUSTER_NONNULL status, void *MUSTER_NULLABLE context);

typedef struct muster_root_options {
  uint32_t flags;            // muster_root_flags
  uint32_t mode;             // who may look: permissions of the region; 0 is 0600
  muster_deadline deadline;  // how long to wait for the end of a killed root's daemons; 0: 1 s from now
  uint64_t seed;             // of the jitter; 0: from the clock
  muster_root_tell MUSTER_NULLABLE tell;
  void *MUSTER_NULLABLE context;
} muster_root_options;

// The bytes of memory that such daemons take, all of it reserved at start. Returns 0, or what muster_root_start gives for the specs.
int muster_root_size(const muster_daemon_spec *MUSTER_NONNULL specs, uint32_t count,
                     uint64_t *MUSTER_NONNULL bytes) MUSTER_MUST_CHECK;

// Lays out a root: its region with that name, all memory mapped, nothing forked yet. The specs are copied, what they
// point to is not. The region of a root that was killed is replaced.
//
// Returns 0, or
//   EINVAL     no daemons, or more than MUSTER_ROOT_DAEMONS_MAX; a spec without name, run or state; a name that is too
//              long or there twice; numbers beyond their limits; DECIDE without `decide`; a name as of muster_region_open
//   EBUSY      a root of that name runs, or daemons of one that was killed are not gone by the deadline
//   EEXIST     the name is that of something else
//   EOVERFLOW  more memory than can be mapped, or than a file may have: see EFBIG of muster_region_open
//   ENOSPC, ENOMEM, EACCES, EPERM, EMFILE, ENFILE, EDQUOT  from muster_region_open and mmap(2)
int muster_root_start(const char *MUSTER_NONNULL name, const muster_daemon_spec *MUSTER_NONNULL specs, uint32_t count,
                      const muster_root_options *MUSTER_NULLABLE options,
                      muster_root *MUSTER_NULLABLE *MUSTER_NONNULL root) MUSTER_MUST_CHECK;

// Forks the daemons, in the order of their specs, and keeps them running until SIGTERM, SIGINT or muster_root_stop; then
// stops them one after the other in reverse order, each by its stop signal, with a SIGCONT to its group lest one that is stopped has to
// wait for its grace, and after that SIGKILL. A second of
// these signals ends all graces. Meanwhile the calling thread, which must be the only one, has these signals and SIGCHLD
// blocked and the process is the subreaper of its descendants; after it all is as it was before. Once for each root.
//
// A daemon whose heartbeat failed is killed at the root's next look, and the root looks no oftener than once in the
// shortest `heartbeat` declared: an idle root wakes no more often than that. If the root itself was held up (stopped, the
// machine suspended), all heartbeats get their time anew.
//
// SIGINT and SIGHUP that are ignored when it is called, as nohup(1) has it, or a shell for what it starts in the background, stay
// ignored, whatever the flags say, and in the daemons too, but for one whose stop signal it is.
//
// In the daemon, before its `run`: signals and their mask are as they were before muster_root_run, but SIGCHLD, SIGTERM,
// SIGINT, SIGHUP and its stop signal have their default action and are not blocked; it leads a process group of its own.
//
// Returns 0: stopped, or no daemon is left that is to be started again; or
//   EBUSY           the process has other threads, half a second long (MUSTER_PROCESS_THREADS_PATIENCE); nothing was done
//   EPERM           another process than the one that called muster_root_start
//   EALREADY        it has run before
//   ENOTRECOVERABLE no daemon is left, and at least one was given up; or one was, and the flag END_WHEN_GIVEN_UP stands
// Other children of the process are reaped and counted by it as long as it runs.
int muster_root_run(muster_root *MUSTER_NONNULL root) MUSTER_MUST_CHECK;

// Asks run to stop as if by SIGTERM: for `tell`.
void muster_root_stop(muster_root *MUSTER_NONNULL root);

// Removes the name and unmaps everything. In a forked child it does nothing. NULL is nothing to do. Not within run.
void muster_root_close(muster_root *MUSTER_NULLABLE root);

// ---- In a daemon. `self` is what `run` was given.

// How this process came to be, and what is in its state.
typedef struct muster_daemon_start {
  uint64_t starts;             // how many times it was started, this one included: 1 is the first
  muster_daemon_rung rung;
  uint32_t attempts;           // on that rung, this one included
  muster_daemon_policy found;  // ZERO: zeros; CHECKPOINT: checkpoint number `checkpoint`; KEEP: the memory as it was
  uint32_t redone;             // 1: what a transaction of the predecessor had committed was applied first
  uint32_t changing;           // 1: the predecessor died in the midst of a change of its state
  uint64_t checkpoint;
  muster_daemon_death death;   // of the predecessor
} muster_daemon_start;

uint32_t muster_daemon_count(const muster_daemon *MUSTER_NONNULL self);
uint32_t muster_daemon_self(const muster_daemon *MUSTER_NONNULL self);  // its own index
const char *MUSTER_NONNULL muster_daemon_name(const muster_daemon *MUSTER_NONNULL self);
const muster_daemon_start *MUSTER_NONNULL muster_daemon_how(const muster_daemon *MUSTER_NONNULL self);

// The index of a daemon by its name. Returns 0, ENOENT.
int muster_daemon_find(const muster_daemon *MUSTER_NONNULL self, const char *MUSTER_NONNULL name,
                       uint32_t *MUSTER_NONNULL index) MUSTER_MUST_CHECK;

// Its state: `state_size` bytes, writable except while a transaction runs.
void *MUSTER_NONNULL muster_daemon_state(const muster_daemon *MUSTER_NONNULL self);
uint64_t muster_daemon_state_size(const muster_daemon *MUSTER_NONNULL self);

// The arena of a daemon, its own or another's, for what arena.h offers. NULL: there is no such index.
const muster_arena *MUSTER_NULLABLE muster_daemon_arena(const muster_daemon *MUSTER_NONNULL self, uint32_t index);

// A copy of part of a daemon's state, as one moment had it. Never waits. Returns 0, EAGAIN (it is being changed, or
// was each of many times), EINVAL (no such daemon, or beyond its state), EBADMSG.
int muster_daemon_read(const muster_daemon *MUSTER_NONNULL self, uint32_t index, uint64_t offset,
                       void *MUSTER_NONNULL to, uint64_t size) MUSTER_MUST_CHECK;

// The same, trying again until the deadline. ETIMEDOUT instead of EAGAIN.
int muster_daemon_read_until(const muster_daemon *MUSTER_NONNULL self, uint32_t index, uint64_t offset,
                             void *MUSTER_NONNULL to, uint64_t size, muster_deadline deadline) MUSTER_MUST_CHECK;

// Brackets a change of its own state, so that others read what was before or what is after, and EAGAIN between the two. A
// death between them is told to the successor: to its `decide`, and by `changing` in what muster_daemon_how gives. Not
// nested. Return 0; EPERM (another process than the daemon's: so also in a transaction, whose changes are one in any case);
// EBUSY (begin: a transaction runs), EALREADY (begin: begun already), EINVAL (end: not begun).
int muster_daemon_change_begin(muster_daemon *MUSTER_NONNULL self);
int muster_daemon_change_end(muster_daemon *MUSTER_NONNULL self);

// Keeps the state as it is now as its newest checkpoint. Returns 0, ENOTSUP (it declared none), EBUSY (a change is
// under way), EPERM, EBADMSG.
int muster_daemon_save(muster_daemon *MUSTER_NONNULL self) MUSTER_MUST_CHECK;

// The heartbeat: two stores. The first one says that the daemon is ready.
void muster_daemon_beat(muster_daemon *MUSTER_NONNULL self);

// From here on the stop signal no longer ends the process, but makes `stopping` true. Returns 0, EPERM.
int muster_daemon_catch_stop(muster_daemon *MUSTER_NONNULL self);
int muster_daemon_stopping(const muster_daemon *MUSTER_NONNULL self);

// Sleeps until the deadline, beating meanwhile as often as its heartbeat asks for. Returns 0, or ECANCELED at once when
// it is to stop (catch_stop), EINTR when another signal was handled.
int muster_daemon_pause(muster_daemon *MUSTER_NONNULL self, muster_deadline deadline);

// What is known of a daemon, from within; as muster_root_view_daemon.
int muster_daemon_look(const muster_daemon *MUSTER_NONNULL self, uint32_t index,
                       struct muster_daemon_status *MUSTER_NONNULL status) MUSTER_MUST_CHECK;

// ---- Transactions, of the daemon's own state, one at a time

// Works on `state`, a snapshot of the daemon's that it may change at will, in a process of its own, with threads if it
// likes. Returning 0 commits, other values abort. What it does otherwise (other memory, files) is its own business.
typedef int (*muster_transaction_body)(void *MUSTER_NONNULL state, uint64_t size, void *MUSTER_NULLABLE context);

typedef struct muster_transaction_options {
  muster_deadline deadline;  // of all attempts together; 0: MUSTER_DEADLINE_NEVER
  uint32_t tries;            // one that crashed is forked again, so many attempts in all; 0: 3
  uint32_t reserved;
} muster_transaction_options;

typedef enum MUSTER_OPEN_ENUM muster_transaction_end {
  MUSTER_TRANSACTION_COMMITTED = 1,  // its changes are the daemon's state now
  MUSTER_TRANSACTION_ABORTED = 2,    // it returned something else than 0: value
  MUSTER_TRANSACTION_CRASHED = 3,    // each attempt; value: the signal of the last, or, signal 0, what it exited with (0: also
                                     // in a daemon that ignores SIGCHLD, where nobody can know)
  MUSTER_TRANSACTION_LATE = 4,       // not done by its deadline
  MUSTER_TRANSACTION_TOO_LARGE = 5,  // it changed more pages than `transaction_pages`
  MUSTER_TRANSACTION_FAILED = 6,     // it could not be run or logged; value: the errno value
} muster_transaction_end;

typedef struct muster_transaction_outcome {
  muster_transaction_end how;
  int32_t value;
  int32_t signal;      // CRASHED: 1 when value is a signal
  uint32_t attempts;
  int64_t user_ns;     // processor time, of all attempts
  int64_t system_ns;
  int64_t most_kib;    // the most memory that an attempt had at a time, in KiB
} muster_transaction_outcome;

// Forks a transaction. The daemon's own view of its state is read-only until finish says how it ended.
//
// Returns 0, or EBUSY (one runs, or a change is under way), ENOTSUP (it declared none), EPERM (another process than
// the daemon's); EAGAIN, ENOMEM: no process or memory is to be had.
int muster_daemon_begin(muster_daemon *MUSTER_NONNULL self, muster_transaction_body MUSTER_NONNULL body,
                        void *MUSTER_NULLABLE context,
                        const muster_transaction_options *MUSTER_NULLABLE options) MUSTER_MUST_CHECK;

// Waits, beating, for the transaction's end, up to a deadline of its own; at the transaction's deadline decides that it
// is late, and kills it. It is here that crashed ones are forked again and what was committed is applied, so a daemon
// that has begun has to finish.
//
// Returns 0: *outcome is told, the state is writable; ETIMEDOUT: it goes on, ask again (MUSTER_DEADLINE_NOW: just look);
// EINVAL (none was begun), EPERM; EBADMSG: what it left is corrupt, the state is as before; ENOMEM: the state stays
// read-only (mprotect(2)); ECANCELED: the daemon is to stop (catch_stop), and the transaction goes on: muster_daemon_cancel
// ends it.
int muster_daemon_finish(muster_daemon *MUSTER_NONNULL self, muster_deadline deadline,
                         muster_transaction_outcome *MUSTER_NULLABLE outcome) MUSTER_MUST_CHECK;

// Ends the transaction as if it were late, unless it has committed; then as finish. Returns 0, EINVAL, EPERM, EBADMSG.
int muster_daemon_cancel(muster_daemon *MUSTER_NONNULL self, muster_transaction_outcome *MUSTER_NULLABLE outcome);

// Both begin and finish, without a deadline but the transaction's own, and not ended by a stop signal. Returns as they do.
int muster_daemon_transact(muster_daemon *MUSTER_NONNULL self, muster_transaction_body MUSTER_NONNULL body,
                           void *MUSTER_NULLABLE context, const muster_transaction_options *MUSTER_NULLABLE options,
                           muster_transaction_outcome *MUSTER_NULLABLE outcome) MUSTER_MUST_CHECK;

// ---- What can be seen from outside, without disturbing anybody

typedef enum MUSTER_OPEN_ENUM muster_daemon_phase {
  MUSTER_DAEMON_WAITING = 0,   // not yet started, or to be started again at `next_start`
  MUSTER_DAEMON_RUNNING = 1,
  MUSTER_DAEMON_KILLING = 2,   // its heartbeat failed: SIGKILL was sent
  MUSTER_DAEMON_DRAINING = 3,  // dead, but others of its group are not yet
  MUSTER_DAEMON_STOPPING = 4,  // the root ends and has asked it to
  MUSTER_DAEMON_ENDED = 5,     // for good: by its own will, or since the root ends
  MUSTER_DAEMON_ABANDONED = 6, // given up
} muster_daemon_phase;

// Times are of CLOCK_MONOTONIC; 0: never.
typedef struct muster_daemon_status {
  char name[MUSTER_ROOT_NAME_SIZE];
  muster_daemon_phase phase;
  int32_t pid;                // of the running one; 0: none
  uint64_t starts;            // how often it was started
  uint64_t failures;          // how often it died or hung
  muster_daemon_rung rung;
  uint32_t attempts;          // on that rung
  muster_daemon_death death;  // the last one
  int64_t started_at;         // the last start
  int64_t next_start;         // of a waiting one
  uint64_t checkpoint;        // on the rung of the checkpoints: which one is tried
  int64_t heartbeat;          // as declared; 0: none
  int64_t beat_at;            // its last beat
  uint64_t beats;             // all beats of all its lives
  uint64_t state_size;
  uint64_t arena_size;        // with checkpoints and log
  uint64_t newest_checkpoint; // number; 0: none
  int32_t transaction_pid;    // of the transaction that runs; 0: none does
  muster_daemon_policy found; // what the last start found: as in muster_daemon_start; -1: it has not come so far
  uint64_t transactions_begun;
  uint64_t transactions_committed;
  uint64_t transactions_aborted;
  uint64_t transactions_crashed;
  uint64_t transactions_late;
  int64_t user_ns;            // processor time of all its dead processes that the root reaped
  int64_t system_ns;
  int64_t most_kib;           // the most memory that one of them had, in KiB
  uint64_t drained;           // processes of its group that were killed after its deaths
  int32_t fork_error;         // why it could not be forked, last; 0: it could
  uint32_t arena_error;       // 0, or EBADMSG: what stands in its arena can't be, and is left 0 here
} muster_daemon_status;

typedef struct muster_root_status {
  int32_t pid;
  uint32_t daemons;
  uint32_t running;           // of them
  uint32_t abandoned;
  int32_t stopping;           // 1: it stops its daemons
  int32_t alive;              // 1: the root holds its region; 0: it is gone, killed, and so are its daemons, now or soon
  uint64_t starts;            // of all daemons
  uint64_t orphans;           // other children that it reaped
  uint64_t wakes;             // how often it woke up
  int64_t started_at;         // CLOCK_MONOTONIC
  int64_t created;            // nanoseconds since 1970
  uint64_t bytes;             // memory in all
} muster_root_status;

// Looks at the root of that name, read-only, without holding it: it may end meanwhile, what was seen last stays. Flags:
// MUSTER_REGION_ANY_OWNER, or 0. Returns 0, ENOENT, EPROTO (not a root, or of another version), EBADMSG, and what
// muster_region_open returns.
int muster_root_observe(const char *MUSTER_NONNULL name, uint32_t flags,
                        muster_root_view *MUSTER_NULLABLE *MUSTER_NONNULL view) MUSTER_MUST_CHECK;
void muster_root_view_close(muster_root_view *MUSTER_NULLABLE view);
uint32_t muster_root_view_count(const muster_root_view *MUSTER_NONNULL view);

// Return 0, EINVAL (no such daemon), EBADMSG; EAGAIN: the root was quicker each of many times. The first one also what keeps it from
// finding out whether the root is alive, as muster_region_inspect: EMFILE, ENFILE, ENOMEM, EACCES, EIO, EPROTO.
int muster_root_view_root(const muster_root_view *MUSTER_NONNULL view,
                          muster_root_status *MUSTER_NONNULL status) MUSTER_MUST_CHECK;
int muster_root_view_daemon(const muster_root_view *MUSTER_NONNULL view, uint32_t index,
                            muster_daemon_status *MUSTER_NONNULL status) MUSTER_MUST_CHECK;

// A copy of part of a daemon's state, from outside; as muster_daemon_read.
int muster_root_view_read(const muster_root_view *MUSTER_NONNULL view, uint32_t index, uint64_t offset,
                          void *MUSTER_NONNULL to, uint64_t size) MUSTER_MUST_CHECK;

// What the words of a status mean, for a person: "running", "signaled", "as declared". Never NULL; static storage.
const char *MUSTER_NONNULL muster_daemon_phase_text(muster_daemon_phase phase);
const char *MUSTER_NONNULL muster_daemon_end_text(muster_daemon_end end);
const char *MUSTER_NONNULL muster_daemon_rung_text(muster_daemon_rung rung);

MUSTER_END_DECLS

#endif
