// The shared memory of a process pair: a primary that works, and a backup that goes on where the primary died.
//
//   The primary, first or a successor                      Its backup
//   ----------------------------------------------------   ----------------------------------------------------
//   muster_pair_open("count", &options, &pair);            muster_pair_open("count", &options, &pair);
//   muster_pair_lead(pair, &epoch);                        muster_pair_stand_by(pair);
//   muster_pair_say(pair, &primary);                       muster_pair_say_standing_by(pair, &backup);
//   muster_pair_load(pair, 0, NULL, NULL, b, n, &entry);   for (;;) muster_pair_look(pair, &status);  // until it is dead
//   ask_or_emit(&entry);       // what is in doubt: below  // then: kill it and see it gone, take the Alive file,
//   for (;;) {                                             // become the primary: muster_pair_lead ...
//     muster_pair_try(pair, ++step);
//     work_on(&state, &output);
//     muster_pair_commit(pair, &entry);
//     emit(&output);
//     muster_pair_emitted(pair, step);
//   }
//
// This is the mechanism alone: who watches whom, when to take over, when to give up is decided above it (docs/pair.md has
// the whole order, and its model). It starts no process and no thread.
//
// What is kept. One region: the checkpoint (checkpoint.h) with the state after each step and the output that belongs to
// it; two words, the step that was begun last (`tried`) and the step whose output was emitted last (`emitted`); what the
// primary and the backup say of themselves, each in a seqlock of its own (seqlock.h); a cell for the heartbeat.
//
// A step in four stores, each of which may be the last that its process does:
//
//   1. tried = n          from here on a death is counted against step n
//   2. commit of n        state and output of step n, all or nothing: from here on step n is done, whoever dies
//   3. (emit)             the output leaves for where it can't be taken back
//   4. emitted = n
//
// Why nothing is skipped, and nothing emitted but by step 3. A successor loads the newest entry, n. It begins with step
// n + 1, so no step is left out and none is done twice on one state. If emitted = n, the output of n is out. If it is less, its
// output is in doubt: the primary died between 2 and 4. The entry has that output, byte for byte, so the successor asks the output
// whether it has n already, if it can be asked, and else emits it again: at most one repeat a take-over. An
// output that is in doubt is n's and none other's: step n + 1 is begun after emitted = n.
//
// One primary. To lead takes a claim that the kernel lets go of when its thread ends (the seqlock's), and begins the next epoch of
// the checkpoint. The second of two that would lead gets EBUSY while the first lives, also while that one is stopped: it is killed
// first, and seen gone. What a primary of an older epoch commits is refused (ESTALE).
//
// The words `tried` and `emitted` are stored by the living primary alone, with release, and keep what a dead one left. They
// are counts of steps, nothing in them can be half done. In a file they are not written to the disk by a commit: after a power cut
// `emitted` may be an older number, and where all commits are durable never a newer one than the newest entry's step.
//
// Threads. One handle is for one thread at a time. A role belongs to the thread that took it, and ends with it: then what is
// the role's gives EPERM. So it does by a handle that was inherited over fork, which may look and load.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_PAIR_H
#define MUSTER_PAIR_H

#include "clock.h"
#include "region.h"
#include "status.h"

MUSTER_BEGIN_DECLS

// The kind of its regions.
#define MUSTER_PAIR_KIND MUSTER_KIND('P', 'A', 'I', 'R')

// The times of the last take-overs that are kept, for budgets.
#define MUSTER_PAIR_TAKEOVERS_MAX 32

// Bytes of the cell that a heartbeat in shared memory uses, and its alignment.
#define MUSTER_PAIR_CELL_SIZE 128

typedef struct muster_pair muster_pair;

typedef struct muster_pair_shape {
  uint64_t state;    // the most bytes of a state, at least 1
  uint64_t output;   // the most bytes of one step's output; may be 0
  uint32_t history;  // how many entries before the last are kept, 2 to 64
  uint32_t reserved;
} muster_pair_shape;

typedef struct muster_pair_options {
  muster_pair_shape shape;    // when attaching, history 0: as it is
  uint64_t layout;            // what the states mean, as a number of yours; 0 when attaching: any
  uint32_t flags;             // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t mode;              // as of a region
  muster_deadline deadline;   // as of a region
  muster_mismatch *MUSTER_NULLABLE mismatch;  // filled in at EPROTO
} muster_pair_options;

typedef enum MUSTER_OPEN_ENUM muster_pair_mode {
  MUSTER_PAIR_UNSAID = 0,    // nobody has led yet
  MUSTER_PAIR_STARTING = 1,  // leads, and has not begun to work
  MUSTER_PAIR_WORKING = 2,   // and has a backup, or is starting one
  MUSTER_PAIR_DEGRADED = 3,  // works alone: no backup can be started
  MUSTER_PAIR_ENDED = 4,     // the work is done, or was ended on purpose
  MUSTER_PAIR_GIVEN_UP = 5,  // the escalation is at its end: nobody goes on
} muster_pair_mode;

// What the primary says of itself. Numbers whose meaning is the caller's are marked so.
typedef struct muster_pair_primary {
  uint64_t epoch;
  uint64_t pid;
  uint64_t start;        // when that process started: field 22 of /proc/PID/stat
  int64_t since;         // when it began to lead: nanoseconds since 1970
  uint64_t mode;         // muster_pair_mode
  uint64_t takeovers;    // that this pair has seen
  uint64_t launch;       // the token of the backup that was launched last; 0: none yet
  uint64_t backup_pid;   // of that one, where it is known
  uint64_t backup_start;
  uint64_t heartbeat;    // caller's: which way
  int64_t period;        // nanoseconds from beat to beat
  uint64_t missed;       // beats until it is taken for hung
  uint64_t suspect;      // the step that is suspected, and below where its escalation stands; 0: none
  uint64_t rung;         // caller's
  uint64_t attempts;     // on this rung, counted before each
  uint64_t loaded;       // the sequence of the checkpoint that was tried last; 0: none
  uint64_t cause;        // caller's: how the primary before ended
  uint64_t skipped;      // steps that were set aside
  uint64_t next;         // where in the row below the next one is noted, modulo MUSTER_PAIR_TAKEOVERS_MAX
  int64_t recent[MUSTER_PAIR_TAKEOVERS_MAX];  // the times of the last take-overs in this run of the machine, CLOCK_BOOTTIME; 0: none
} muster_pair_primary;

// What the backup says of itself.
typedef struct muster_pair_backup {
  uint64_t launch;       // the token that it was launched with
  uint64_t pid;
  uint64_t start;
  int64_t since;         // nanoseconds since 1970
  uint64_t epoch;        // of the primary that it watches
  uint64_t looks;        // how often it has looked: its own heartbeat
  uint64_t misses;       // beats in a row that it missed
  uint64_t wish;         // caller's: what it asks of the primary
  uint64_t contact[8];   // where the heartbeat is to be sent: a muster_heartbeat_contact
} muster_pair_backup;

// How the two are known to live: by the lock that the kernel lets go of at a death.
typedef enum MUSTER_OPEN_ENUM muster_pair_life {
  MUSTER_PAIR_NOBODY = 0,
  MUSTER_PAIR_ALIVE = 1,
  MUSTER_PAIR_DEAD = 2,  // died without resigning, and nobody has taken its place
} muster_pair_life;

// Each part is one moment's; the parts may be of different moments.
typedef struct muster_pair_status {
  uint64_t epoch;      // 0: nobody has led yet
  uint64_t tried;      // the step that was begun last
  uint64_t committed;  // the step of the newest entry; the one before, if its writer died on the way here
  uint64_t emitted;    // the step whose output was emitted last
  int32_t entries;     // whether there is any entry
  muster_pair_life primary_life;
  muster_pair_life backup_life;
  int32_t reserved;
  muster_pair_primary primary;
  muster_pair_backup backup;
} muster_pair_status;

typedef enum MUSTER_OPEN_ENUM muster_pair_entry_kind {
  MUSTER_PAIR_INITIAL = 1,  // the state before the first step
  MUSTER_PAIR_STEP = 2,
  MUSTER_PAIR_SKIP = 3,     // a step that was set aside: the state is what the program made of that
  MUSTER_PAIR_FRESH = 4,    // the state was begun anew; steps go on counting
} muster_pair_entry_kind;

// One entry of the checkpoint: a state, and the output of the step that led to it. To commit, both pointers are the
// caller's; after load they lead into its buffer.
typedef struct muster_pair_entry {
  uint64_t step;      // its number: the first is 1; 0 for the initial state
  uint64_t sequence;  // of the checkpoint, when loaded
  uint64_t epoch;     // its writer's, when loaded
  uint32_t kind;      // muster_pair_entry_kind
  uint32_t reserved;
  uint64_t position;  // caller's: where the output stood before this step's was emitted
  const void *MUSTER_NULLABLE state;
  uint64_t state_length;
  const void *MUSTER_NULLABLE output;
  uint64_t output_length;
} muster_pair_entry;

// Opens a pair's region: creates or attaches, as the flags say. Read-only handles may look and load.
//
// Returns 0; EINVAL (shape); EPROTO, also for another shape; and what muster_region_open and muster_checkpoint_open return.
int muster_pair_open(const char *MUSTER_NONNULL name, const muster_pair_options *MUSTER_NONNULL options,
                     muster_pair *MUSTER_NULLABLE *MUSTER_NONNULL pair) MUSTER_MUST_CHECK;

// Resigns, if the handle has a role, and lets go of the handle. NULL is nothing to do. Returns 0, or EBUSY: the role was taken on another
// thread that still lives; nothing is done then. In a forked child it lets go of the child's copy alone.
int muster_pair_close(muster_pair *MUSTER_NULLABLE pair);

muster_region *MUSTER_NONNULL muster_pair_region(const muster_pair *MUSTER_NONNULL pair);
void muster_pair_shape_of(const muster_pair *MUSTER_NONNULL pair, muster_pair_shape *MUSTER_NONNULL shape);

// MUSTER_PAIR_CELL_SIZE bytes for the heartbeat, aligned to as many; they begin as zeros. NULL by a read-only handle.
void *MUSTER_NULLABLE muster_pair_cell(const muster_pair *MUSTER_NONNULL pair);

// The seat of the backup: a lock that is handed to it. The primary takes it before it starts a backup, gives the
// descriptor to the child (and no one else: it is close-on-exec here), and closes its own. So from before the backup's first
// instruction to its end, by whatever death, nobody else gets the seat, and there is never a moment at which it could be
// started twice. It is an OFD lock (fcntl(2)) on byte 16 of the region's file.
//
// A child that is forked while the descriptor is open shares the lock, too, until it executes another program, or ends.
//
// Returns 0 with the descriptor, at least 3; EBUSY: somebody has it; ESTALE: the name leads to another region by now, or to
// nothing; EACCES a read-only handle, or the file may not be written any more; EPERM inherited over fork; ENOENT where there is
// no /proc; EMFILE, ENFILE, ENOMEM, ENOLCK; and what muster_region_current returns. *descriptor is -1 then.
int muster_pair_seat(const muster_pair *MUSTER_NONNULL pair, int *MUSTER_NONNULL descriptor) MUSTER_MUST_CHECK;

// Becomes the primary, on the calling thread, with the next epoch; a backup's role of this handle is given up. The caller
// has seen the primary before gone, and holds the pair's Alive file.
//
// Returns 0 with the epoch, or
//   EBUSY     another primary lives (or is stopped); or EBUSY of muster_checkpoint_take_over; or this handle has a role by
//             another thread that lives, and keeps it
//   EALREADY  this handle leads
//   EACCES    a read-only handle
//   EPERM     inherited over fork
// and what muster_seqlock_claim and muster_checkpoint_take_over return. After EALREADY, EACCES, EPERM and the last EBUSY nothing
// has changed, after any other error it is neither primary nor backup.
int muster_pair_lead(muster_pair *MUSTER_NONNULL pair, uint64_t *MUSTER_NONNULL epoch) MUSTER_MUST_CHECK;

// Becomes the backup, on the calling thread. Returns 0; EBUSY: another lives; EALREADY: this handle has a role (a primary resigns
// first); EACCES, EPERM; and what muster_seqlock_claim returns.
int muster_pair_stand_by(muster_pair *MUSTER_NONNULL pair) MUSTER_MUST_CHECK;

// Gives the role back, if its thread has not ended, which does the same. Returns 0, EINVAL (has none), EBUSY (taken on another
// thread that lives), EPERM.
int muster_pair_resign(muster_pair *MUSTER_NONNULL pair);

// Publishes what a primary, or a backup, says of itself, as one snapshot. Returns 0, or EPERM: it has not that role, or its
// thread has ended.
int muster_pair_say(muster_pair *MUSTER_NONNULL pair, const muster_pair_primary *MUSTER_NONNULL primary) MUSTER_MUST_CHECK;
int muster_pair_say_standing_by(muster_pair *MUSTER_NONNULL pair,
                                const muster_pair_backup *MUSTER_NONNULL backup) MUSTER_MUST_CHECK;

// What there is to be seen, without a lock or a store. Of one that works meanwhile: emitted <= committed <= tried. Returns 0;
// EBADMSG: corrupt; EAGAIN: passed by writers each time.
int muster_pair_look(const muster_pair *MUSTER_NONNULL pair, muster_pair_status *MUSTER_NONNULL status) MUSTER_MUST_CHECK;

// The primary's. Step `step` is about to be tried: one store. Returns 0; EPERM: it does not lead, or its thread has ended;
// ESTALE: another took the checkpoint over.
int muster_pair_try(muster_pair *MUSTER_NONNULL pair, uint64_t step) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// The primary's. Commits a step, all or nothing; the second form writes it to the disk before anybody sees it (a file's pair).
// Returns 0; EMSGSIZE: more than the shape allows; EINVAL: kind; EPERM: it does not lead, or its thread has ended; ESTALE: another
// took the checkpoint over; EBUSY, EBADMSG: the memory was written to by others; and the second form EIO, ENOSPC, EDQUOT: it
// could not be written to the disk. After an error nothing was committed.
int muster_pair_commit(muster_pair *MUSTER_NONNULL pair,
                       const muster_pair_entry *MUSTER_NONNULL entry) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;
int muster_pair_commit_durable(muster_pair *MUSTER_NONNULL pair,
                               const muster_pair_entry *MUSTER_NONNULL entry) MUSTER_MUST_CHECK;

// The primary's. The output of `step` is out: one store. The number never falls. Returns 0, EPERM, ESTALE.
int muster_pair_emitted(muster_pair *MUSTER_NONNULL pair, uint64_t step) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Loads the newest entry whose sequence is below `before` (0: any), and that `accept` takes for good (NULL: any), into
// `buffer`, which state and output then lie in; the state is aligned to 16 if the buffer is. Entries that are torn or can't be
// are passed over. `accept` may be shown an entry more than once, when a writer passes by. What is in the buffer and the entry after
// an error is undefined.
//
// Returns 0; ENODATA: nothing was committed yet; ENOENT: none below, or none accepted; EMSGSIZE: `size` is less than
// muster_pair_buffer_size; EAGAIN: passed by writers each time; EBADMSG: none is whole.
typedef int (*muster_pair_accept)(const muster_pair_entry *MUSTER_NONNULL entry, void *MUSTER_NULLABLE context);
int muster_pair_load(const muster_pair *MUSTER_NONNULL pair, uint64_t before, muster_pair_accept MUSTER_NULLABLE accept,
                     void *MUSTER_NULLABLE context, void *MUSTER_NONNULL buffer, size_t size,
                     muster_pair_entry *MUSTER_NONNULL entry) MUSTER_MUST_CHECK;

// The bytes that load needs.
size_t muster_pair_buffer_size(const muster_pair *MUSTER_NONNULL pair);

MUSTER_END_DECLS

#endif
