// The checkpoint: the last good state of a process and the K before it, whatever instruction its writer died at.
//
//   The writer, first or a successor                        Any process, also with a read-only mapping
//   -----------------------------------------------------   ------------------------------------------------------
//   muster_checkpoint_options options = {                   options.flags = MUSTER_REGION_READ_ONLY;
//     .shape = {.history = 4, .capacity = sizeof state}};   muster_checkpoint_open("job", &options, &job);
//   muster_checkpoint_open("job", &options, &job);          muster_checkpoint_info info;
//   muster_checkpoint_take_over(job, &epoch);               muster_checkpoint_read(job, &state, sizeof state, &info);
//   muster_checkpoint_read(job, &state, sizeof state, &info);
//   for (;;) {                                              // the newest that `accept` takes for good
//     work_on(&state);                                      muster_checkpoint_load(job, accept, context, &state,
//     muster_checkpoint_save(job, &state, sizeof state,                            sizeof state, &info);
//                            NULL);
//   }                                                       muster_checkpoint_close(job);
//
// A commit is all or nothing at any instruction. A read finds the newest whole state after any death, stores nothing and
// waits for nobody. Older states are read by their sequence, and rolled back to; a roll-back is itself a commit.
//
// Epochs. Whoever takes over begins the next epoch, and the writer before is fenced from that instant: its commits give
// ESTALE, also of one that was stopped (SIGSTOP) in the midst of a commit and goes on an hour later. It doesn't have to be
// dead, and nobody waits for it.
//
// How it works. Each state lies in a slot of its own with its sequence, epoch, time, length and checksum (CRC-32C), and a
// stamp. One word, `newest`, has the epoch and the slot of the newest state (and the end of its sequence). A commit claims a slot that holds none of the
// last K + 1 states (compare-and-swap of its stamp to "being written by me"), fills it in, stamps it whole, and then swaps
// `newest` from {its epoch, the slot before} to {its epoch, this slot}: that swap is the commit. Taking over adds 1 to
// the epoch in the same word. There are K + 1 slots, and one for each writer that may live at a time; in a file one more.
//
// Why it is right.
//   1. All or nothing. Before the swap the slot that `newest` names is whole and nobody touches it; after it the new
//      one is, since its contents and stamp were stored before the swap, which releases. There is no moment in between.
//   2. The fence. A writer's swap expects its own epoch in the word. Taking over changes that once and for all, so the
//      next swap of the writer before fails, whenever it wakes. Both are single atomic steps on one word: a commit is
//      either before the take-over, and then its successor's first state follows it, or it never was.
//   3. A fenced writer can't do damage. What it may still write into is the one slot that it claimed. A claimed slot is not
//      touched by others while the claimant's liveness lock (group.h) is held: it is quarantined. If it had not claimed yet, its
//      claim is a compare-and-swap from the very stamp that it saw, which fails if anybody has had the slot since; and
//      it goes only for slots whose states were then already older than the last K + 1, which they still are.
//      When it is dead the next writer takes the slot back.
//   4. There is always a slot. The last K + 1 states keep K + 1 of them, each other living writer at most one.
//   5. Readers see one state whole. A reader loads `newest`, the stamp of that slot, and `newest` again: the same. So the stamp
//      is of the committed state. It copies, and looks whether the stamp still is that (the argument of a sequence
//      lock: H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012). A slot is
//      written to again only after K + 1 further commits, so only a reader that was passed as often begins again. The
//      checksum, besides, tells what no protocol can prevent: a file that was torn by a power cut, or corrupted.
//   6. Sequences go on from the newest state at the take-over. What a fenced writer had stamped whole, but not committed, is
//      recognised: each state has the sequence that its epoch began after, so a state of an older epoch counts only
//      up to there.
//
// Durable commits, for a checkpoint in a file (MUSTER_REGION_FILE): the slot is written to the disk before the swap of
// `newest`, so that nobody sees what a power cut could take back. One flush of the slot is enough, and no order among its
// pages matters: `seal` covers every field and the payload's checksum, so of a slot of which any part is old, or
// half a sector, seal or checksum are wrong, and it is not taken for a state. `newest` itself need not be on the disk:
// whoever opens the file when nobody else does looks at all slots and takes the newest whole one. The slot of the last durable commit is
// not written to again before there is another durable one, however many that are not come in between. So the last durable
// commit is found, or a later one, whole. Taking over makes the state that it found durable, and writes the new epoch to the disk with
// the sequence that it began after, so that the fence holds over a power cut too.
//
// Threads. By one handle any number of threads may read. To take over, to release and to write is for one at a time.
// The writer's role belongs to the thread that took over; other threads of the process may write while that one lives. Nothing
// may run at the same time as close. The functions of a handle that was inherited over fork give EPERM, but those that read.
//
// Limits. K is 2 to 64. A state of n bytes is copied and summed: the cost of a commit and of a read grows with n. An error in
// 2^32 of a torn slot's goes unnoticed by the checksum. (epoch, sequence) never repeats; a sequence alone may, for a state that a
// power cut took back. Layout, costs, and the rest of the argument: docs/checkpoint.md.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_CHECKPOINT_H
#define MUSTER_CHECKPOINT_H

#include "clock.h"
#include "region.h"
#include "status.h"

MUSTER_BEGIN_DECLS

#define MUSTER_CHECKPOINT_HISTORY_MIN 2u
#define MUSTER_CHECKPOINT_HISTORY_MAX 64u
#define MUSTER_CHECKPOINT_WRITERS_MAX 64u

// Writers that may live at a time where the shape says 0: one at work, and three that were fenced off and have not noticed.
#define MUSTER_CHECKPOINT_WRITERS 4u

// The kind of its regions.
#define MUSTER_CHECKPOINT_KIND MUSTER_KIND('C', 'K', 'P', 'T')

// The alignment of a checkpoint that is laid into memory by its user, and of the payloads that begin gives.
#define MUSTER_CHECKPOINT_ALIGNMENT 128
#define MUSTER_CHECKPOINT_PAYLOAD_ALIGNMENT 64

// How often a read begins again before it gives up.
#define MUSTER_CHECKPOINT_ATTEMPTS 1000u

typedef struct muster_checkpoint muster_checkpoint;

typedef enum MUSTER_OPTION_SET muster_checkpoint_flags {
  MUSTER_CHECKPOINT_PAGES = 1,  // each slot on pages of its own, so that a torn page hurts no other; in a file always
} muster_checkpoint_flags;

typedef struct muster_checkpoint_shape {
  uint64_t capacity;  // the most bytes of a state, at least 1
  uint32_t history;   // K: how many states before the last are kept, 2 to 64
  uint32_t writers;   // that may live at a time, 1 to 64; 0 is MUSTER_CHECKPOINT_WRITERS
  uint32_t flags;     // muster_checkpoint_flags
  uint32_t reserved;
} muster_checkpoint_shape;

typedef struct muster_checkpoint_options {
  muster_checkpoint_shape shape;  // when attaching, capacity and history 0: as it is
  uint64_t layout;                // what the states mean, as a number of yours; 0 when attaching: any
  uint32_t flags;                 // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t mode;                  // as of a region
  muster_deadline deadline;       // as of a region
  muster_mismatch *MUSTER_NULLABLE mismatch;  // filled in at EPROTO
} muster_checkpoint_options;

// What is known of a state.
typedef struct muster_checkpoint_info {
  uint64_t sequence;  // the first is 1; each commit counts one more
  uint64_t epoch;     // its writer's
  int64_t time;       // of the commit, nanoseconds since 1970
  uint64_t length;    // bytes
  uint64_t restored;  // of a roll-back: the sequence of the state whose contents it has; else 0
  uint32_t checksum;  // CRC-32C of its bytes
  int32_t whole;      // 1; 0 (only told by list): torn or corrupt, it can't be read
} muster_checkpoint_info;

// In place: the bytes that a checkpoint of this shape takes (0 for one that can't be), and how to lay one into memory
// that no one uses as a checkpoint. Returns 0, EINVAL (shape, alignment, too few bytes), ENOTSUP (no robust mutexes here).
size_t muster_checkpoint_size(const muster_checkpoint_shape *MUSTER_NONNULL shape);
int muster_checkpoint_init(void *MUSTER_NONNULL memory, size_t size,
                           const muster_checkpoint_shape *MUSTER_NONNULL shape) MUSTER_MUST_CHECK;

// In place: after a restart of the machine, or of all processes, before any process attaches with write permission to
// memory that was kept in a file: fresh liveness locks, and the newest whole state is looked for. What is whole stays.
// Read-only handles may be there meanwhile. Opening by name does this. Returns 0, EINVAL, EBADMSG, ENOTSUP.
int muster_checkpoint_renew(void *MUSTER_NONNULL memory, size_t size) MUSTER_MUST_CHECK;

// In place: a handle for the checkpoint at `memory`, which must stay mapped until close, and writable for the first
// form. The second form stores nothing there, ever; it can't take over. Returns 0, EINVAL, ENOMEM, EBADMSG, EPROTO
// (version), ENOTSUP.
int muster_checkpoint_attach(void *MUSTER_NONNULL memory, size_t size,
                             muster_checkpoint *MUSTER_NULLABLE *MUSTER_NONNULL checkpoint) MUSTER_MUST_CHECK;
int muster_checkpoint_attach_read_only(const void *MUSTER_NONNULL memory, size_t size,
                                       muster_checkpoint *MUSTER_NULLABLE *MUSTER_NONNULL checkpoint) MUSTER_MUST_CHECK;

// By name: creates or attaches, as the flags say. Returns 0, EINVAL (shape), ENOTSUP, EPROTO also for another shape, and
// what muster_region_open returns, and for a file, but read-only, muster_region_sync: its name is on the disk then, whoever created it.
int muster_checkpoint_open(const char *MUSTER_NONNULL name, const muster_checkpoint_options *MUSTER_NONNULL options,
                           muster_checkpoint *MUSTER_NULLABLE *MUSTER_NONNULL checkpoint) MUSTER_MUST_CHECK;

// Releases the writer's role, if the handle has it, and lets go of the handle. Returns 0, or EBUSY when it was taken on
// another thread that still lives: nothing is done then. In a forked child it lets go of the child's copy alone.
int muster_checkpoint_close(muster_checkpoint *MUSTER_NULLABLE checkpoint);

// ---- Reading. None of these stores anything in the shared memory, or waits. What is in the buffer, and in *info, after another value
// than 0 is undefined, but for EMSGSIZE.

// The newest state. Returns 0, or
//   ENODATA   nothing was committed yet
//   EMSGSIZE  it has more than `size` bytes; *info tells how many, and the rest of it
//   EAGAIN    passed by writers MUSTER_CHECKPOINT_ATTEMPTS times
//   EBADMSG   there are states, and none is whole; or the memory is corrupt
// Where the newest is torn (a file after a power cut that nobody has renewed yet, or corruption) it is the next whole one.
int muster_checkpoint_read(const muster_checkpoint *MUSTER_NONNULL checkpoint, void *MUSTER_NULLABLE buffer, size_t size,
                           muster_checkpoint_info *MUSTER_NULLABLE info) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// The state of that sequence. Returns as muster_checkpoint_read, or ENOENT: it is not kept any more, or was never committed.
int muster_checkpoint_read_at(const muster_checkpoint *MUSTER_NONNULL checkpoint, uint64_t sequence,
                              void *MUSTER_NULLABLE buffer, size_t size,
                              muster_checkpoint_info *MUSTER_NULLABLE info) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// The newest state that `accept` takes for good: it is called with each whole one, from the newest to older ones, as it
// is copied into the buffer, until it returns other than 0. NULL takes the first. Returns as muster_checkpoint_read, or
// ENOENT: none was accepted. States that don't fit into the buffer are EMSGSIZE, not passed over.
typedef int (*muster_checkpoint_accept)(const void *MUSTER_NULLABLE bytes, const muster_checkpoint_info *MUSTER_NONNULL info,
                                        void *MUSTER_NULLABLE context);
int muster_checkpoint_load(const muster_checkpoint *MUSTER_NONNULL checkpoint,
                           muster_checkpoint_accept MUSTER_NULLABLE accept, void *MUSTER_NULLABLE context,
                           void *MUSTER_NULLABLE buffer, size_t size,
                           muster_checkpoint_info *MUSTER_NULLABLE info) MUSTER_MUST_CHECK;

// What is kept, from the newest to the oldest, at most history + 1: fills in `count` infos at most, and gives the number
// that there are in *kept. Returns 0, EAGAIN, EBADMSG (`newest` names no slot).
int muster_checkpoint_list(const muster_checkpoint *MUSTER_NONNULL checkpoint,
                           muster_checkpoint_info *MUSTER_NULLABLE infos, uint32_t count,
                           uint32_t *MUSTER_NONNULL kept) MUSTER_MUST_CHECK;

// The present epoch: one load. 0: nobody has taken over yet.
uint64_t muster_checkpoint_epoch(const muster_checkpoint *MUSTER_NONNULL checkpoint) MUSTER_NONBLOCKING;

// The process that writes in the present epoch: 0 and its pid, or EOWNERDEAD and the pid of one that died, or ENOENT: it has
// released, or is just taking over, or there was none; or EPERM (inherited over fork).
int muster_checkpoint_writer_pid(const muster_checkpoint *MUSTER_NONNULL checkpoint,
                                 int32_t *MUSTER_NONNULL pid) MUSTER_MUST_CHECK;

// The shape, as it was made.
void muster_checkpoint_shape_of(const muster_checkpoint *MUSTER_NONNULL checkpoint,
                                muster_checkpoint_shape *MUSTER_NONNULL shape);

// The region of a checkpoint that was opened by name; NULL for one attached in place. It belongs to the handle.
muster_region *MUSTER_NULLABLE muster_checkpoint_region(const muster_checkpoint *MUSTER_NONNULL checkpoint);

// ---- Writing.

// Becomes the writer, with the next epoch, on the calling thread, until that thread ends or releases. Whoever wrote before
// is fenced from that instant, dead or alive. Waits for nobody, but for a second at most for one who was stopped while
// joining or leaving, where there is no other place; in a file, for the disk.
//
// Returns 0 with the epoch in *epoch, or
//   EBUSY     as many writers live as the shape allows: fenced ones that have not released, or were stopped; or this handle is
//             one of those, by another thread that still lives
//   EALREADY  this handle is the writer, and not fenced
//   ESTALE    another took over meanwhile
//   EPROTO    made with another libc or in another pid namespace
//   EACCES    a read-only handle
//   EPERM     a handle inherited over fork
//   EBADMSG   the memory is corrupt
//   EOVERFLOW all 2^40 epochs are over
//   ENOLCK    this thread holds as many memberships as it may (group.h)
//   EIO, ENOSPC, EDQUOT  the epoch could not be written to the disk
//   ENOMEM
// With ESTALE, EBADMSG and what comes from the disk the writer before may have been fenced.
int muster_checkpoint_take_over(muster_checkpoint *MUSTER_NONNULL checkpoint,
                                uint64_t *MUSTER_NULLABLE epoch) MUSTER_MUST_CHECK;

// Gives the role back; a state that was begun is abandoned. The epoch stays until the next writer. Returns 0, EINVAL (not
// the writer, or the thread that took over has ended: the handle may take over anew), EBUSY (taken on another thread, which
// lives), EPERM.
int muster_checkpoint_release(muster_checkpoint *MUSTER_NONNULL checkpoint);

// Whether this handle may commit: 0, ESTALE (fenced), EPERM (not the writer, or its thread has ended, or inherited over fork).
int muster_checkpoint_check(const muster_checkpoint *MUSTER_NONNULL checkpoint) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Commits a copy of `length` bytes as the next state, and gives its sequence. The second form writes it to the disk before.
//
// Returns 0, or
//   EMSGSIZE  more than the capacity
//   ESTALE    fenced: another has taken over. Nothing was committed, nor will be by this handle before it takes over anew
//   EALREADY  a state was begun and not yet committed
//   EPERM     not the writer, or the thread that took over has ended, or inherited over fork
//   EBUSY     no slot is free: the memory was written to by others than this protocol
//   EBADMSG   the memory is corrupt
//   EIO, ENOSPC, EDQUOT  (durable) it could not be written to the disk: nothing was committed
int muster_checkpoint_save(muster_checkpoint *MUSTER_NONNULL checkpoint, const void *MUSTER_NULLABLE bytes, size_t length,
                           uint64_t *MUSTER_NULLABLE sequence) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;
int muster_checkpoint_save_durable(muster_checkpoint *MUSTER_NONNULL checkpoint, const void *MUSTER_NULLABLE bytes,
                                   size_t length, uint64_t *MUSTER_NULLABLE sequence) MUSTER_MUST_CHECK;

// The same in place: begin gives the memory of the next state, `capacity` bytes with unknown contents, to be filled in
// by the caller; commit sums and commits the first `length` of them; abandon gives it back. The memory is the caller's
// until then, also after it was fenced. Returns as save; commit and abandon also EINVAL: nothing was begun. A commit that returns
// other than 0, EMSGSIZE, EPERM or EINVAL has given the memory back.
int muster_checkpoint_begin(muster_checkpoint *MUSTER_NONNULL checkpoint,
                            void *MUSTER_NULLABLE *MUSTER_NONNULL bytes) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;
int muster_checkpoint_commit(muster_checkpoint *MUSTER_NONNULL checkpoint, size_t length,
                             uint64_t *MUSTER_NULLABLE sequence) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;
int muster_checkpoint_commit_durable(muster_checkpoint *MUSTER_NONNULL checkpoint, size_t length,
                                     uint64_t *MUSTER_NULLABLE sequence) MUSTER_MUST_CHECK;
int muster_checkpoint_abandon(muster_checkpoint *MUSTER_NONNULL checkpoint) MUSTER_NONBLOCKING;

// Commits the contents of the state `from`, one of the last history + 1, as the next state, which notes where they come from
// (`restored`). Returns as save, or ENOENT: there is no such state any more; EBADMSG: it is not whole.
int muster_checkpoint_roll_back(muster_checkpoint *MUSTER_NONNULL checkpoint, uint64_t from,
                                uint64_t *MUSTER_NULLABLE sequence) MUSTER_MUST_CHECK;
int muster_checkpoint_roll_back_durable(muster_checkpoint *MUSTER_NONNULL checkpoint, uint64_t from,
                                        uint64_t *MUSTER_NULLABLE sequence) MUSTER_MUST_CHECK;

MUSTER_END_DECLS

#endif
