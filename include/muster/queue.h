// The queue: jobs from many processes to many, each taken by exactly one. A job outlives who put it, and comes back when the one who
// took it dies.
//
//   muster_queue *queue;
//   muster_queue_open("thumbnails", &(muster_queue_options){.job_size = 256, .jobs = 1024, .members = 16, .attempts = 3}, &queue);
//   muster_queue_join(queue, NULL);                     // on the thread whose life counts
//
//   muster_queue_put_wait(queue, path, length, 0, deadline);                  // one side
//
//   muster_queue_job job;                                                     // the other
//   while (!muster_queue_take_wait(queue, MUSTER_DEADLINE_NEVER, &job)) {     // ENODATA: there is no more work, and will be none
//     int done = work(job.bytes, job.size);
//     if (done) muster_queue_done(queue, job.id);
//     else muster_queue_put_back(queue, job.id, MUSTER_QUEUE_FAILED);
//   }
//
// What is promised. A job that was put is queued, or one member has it, or it was done, or it is set aside: at each moment exactly one
// of these, whoever dies or stops at whatever instruction. A member that dies, or leaves, while it has a job has failed at it: the job is
// queued again with one attempt more, at the front of its level, or set aside when that makes `attempts` of them. So a job is done by
// one who lived to say so; work on it may have been begun before by those who died: make it fit to be repeated. There are no leases: a
// member that is stopped counts as living and keeps its jobs.
//
// Order. A queue has 1 to 16 levels. Level 0 is served first; jobs of one level in the order in which they were put, those that came
// back before the others. All that a take has seen empty it has seen once, one level after the other: what is put meanwhile may be
// overtaken.
//
// Zero copies. A job can be written in place (claim, commit), and is read where it lies until it is done or put back.
//
// The end. After muster_queue_finish nothing new may be put (EPIPE); who takes gets what is left, and ENODATA when no job is queued, in
// anybody's hands, or being put. Jobs that were set aside stay: they can be looked at, tried anew, dropped.
//
// How it works. A job lies in a block of a pool (pool.h), whose word says who has it: one compare-and-swap takes it. Each level has two
// lanes, one for jobs that came back, one for new ones. A lane is an array of cells; position n is cell n mod cells, in lap n / cells.
// A cell holds a lap and a block, and only ever goes from one lap to the next.
//   put:  the block is mine. Write it; find the first position whose cell is of the lap before; write that position and the word's
//         generation into the block; swap the cell to {this lap, block}. That swap is the put. Where another was first: the next.
//   take: find the first position whose cell is of this lap and whose block is queued *for that position*; swap its word from
//         {.., putter, QUEUED} to {.., me, TAKEN}. Nothing else is written: a cell whose block is not queued for it is spent.
//
// Why it is right, in the terms of C11 (words and cells: sequentially consistent):
//   1. A word is of one episode. Its generation rises when the block is freed and whenever the job comes back, so {generation, owner,
//      QUEUED} never recurs, and a swap from it takes the job as it was seen, or fails. Hence exactly one takes it.
//   2. "Block b is queued for position p" means: its word is QUEUED, and the generation and position in it are the word's and p. The putter
//      writes p, then the generation, only when it has seen p's cell in the lap before, thus nobody can find b by that cell but after the
//      putter's own swap: nobody takes what was not put, and the putter may write another position when that swap fails. After it, it
//      touches b no more. What an earlier life of b left in it has another generation.
//   3. Who finds the cell of p in this lap with a block that is not queued for p knows that this stays so: the block was queued for it
//      before the cell was filled, so it has been taken, and is never queued for p again.
//   4. No gaps. Who fills p has seen p - 1 filled, so what is filled is a prefix; who goes past p has seen it spent, so what is spent is a
//      prefix of that. What is queued in a lane lies between the two without a gap, and is fewer than there are blocks, as the putter's own is
//      not there yet: the cell at its end, one lap back, is spent. Where the two ends are, everyone notes for himself and tells
//      the others now and then: numbers that may be too small, never too large.
//   5. Deaths. A word names the exact life of a member (group.h); any member settles those that have ended, and does so by swaps from the
//      exact word he saw. Claimed: free. QUEUED: is it in the cell of its position? then it was put and stays, nobody's; else it never was
//      put, and is free. TAKEN: to be returned by the one who settles: next = attempts + 1, RETURNING, attempts = next, then either ASIDE
//      or put again. Each of these can be done over by the next settler, should this one die: what is read in a step is not
//      written in it.
//   6. No sleeper misses a job. It reads `bell`, adds to `calls`, looks at all lanes and for deaths, then sleeps at `bell` as it was; who
//      puts looks at `calls` after the swap of the cell and, where it is another number than it answered last, changes `bell` and
//      wakes. Sleepers also watch all members: a death wakes them, and they settle it.
//   7. The end is seen by all. Who puts makes a block his own, then looks whether the queue is finished; who finds it finished, then goes
//      over all words and sees none that is queued, taken or being put, has seen each after it could become so no more.
//
// Membership belongs to the thread that joined: when it ends, its jobs come back. Until then any thread of the process may use the
// handle, also several at once; but for joining, leaving and closing, when nobody else may. What a thread has taken by such a
// handle must not be used when the thread that joined has ended: new calls give EPERM. No other thread may be in the midst of a put or a
// commit when it ends: the block may be another's job by then, of which this would say where it is queued.
//
// Limits: jobs of 0 bytes to 1 GiB, 1 to 2^24 of them at a time, 1 to 256 members. Each job takes 40 bytes and, for each level, 16
// or more (twice as much where the number is no power of two). Every put wakes all who sleep. Who may write to the memory can hide, forge
// or repeat jobs: docs/queue.md has that, and the layout.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_QUEUE_H
#define MUSTER_QUEUE_H

#include "clock.h"
#include "group.h"
#include "region.h"
#include "status.h"
#include "wait.h"

MUSTER_BEGIN_DECLS

#define MUSTER_QUEUE_JOB_SIZE_MAX (UINT32_C(1) << 30)
#define MUSTER_QUEUE_JOBS_MAX (UINT32_C(1) << 24)
#define MUSTER_QUEUE_LEVELS_MAX 16
#define MUSTER_QUEUE_MEMBERS_MAX MUSTER_GROUP_CAPACITY_MAX

// The kind of its regions.
#define MUSTER_QUEUE_KIND MUSTER_KIND('Q', 'U', 'E', 'U')

// The alignment of a queue that is laid into memory by its user.
#define MUSTER_QUEUE_ALIGNMENT 128

typedef struct muster_queue muster_queue;

typedef struct muster_queue_options {
  uint32_t job_size;         // the bytes that a job has at most; when attaching by name, 0: as it is
  uint32_t jobs;             // that there are at a time: queued, taken, set aside; when attaching by name, 0: as it is
  uint32_t levels;           // 1 to 16; 0: one; when attaching by name, 0: as it is
  uint32_t members;          // places for who puts and takes; when attaching by name, 0: as it is
  uint32_t attempts;         // after so many failures a job is set aside; 0: never. When attaching, it is as it is
  uint32_t flags;            // from here on by name only: muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t permissions;      // `mode` of a region
  uint32_t times;            // 1: each job notes when it was put, which costs a look at the clock. When attaching, it is as it is
  uint64_t layout;           // what the jobs mean, as a number of yours; 0 when attaching: any
  muster_deadline deadline;  // as of a region
  muster_mismatch *MUSTER_NULLABLE mismatch;  // filled in at EPROTO
} muster_queue_options;

// A job in this member's hands: claimed to be written, or taken to be done.
typedef struct muster_queue_job {
  uint64_t id;        // what the functions below call it by, while it is in these hands
  void *MUSTER_NULLABLE bytes;  // where it lies, aligned to 16, and to 64 where jobs may have 64 bytes or more
  uint32_t size;      // of a claimed one: what it may have at most
  uint32_t level;     // of a taken one
  uint32_t attempts;  // failures before this
  uint32_t reserved;
} muster_queue_job;

// What became of a job that goes back.
typedef enum MUSTER_OPEN_ENUM muster_queue_outcome {
  MUSTER_QUEUE_FAILED = 0,    // an attempt that counts: queued again at the front of its level, or set aside if it was the last
  MUSTER_QUEUE_UNTRIED = 1,   // one that doesn't: queued again at the front of its level
  MUSTER_QUEUE_HOPELESS = 2,  // set aside now; not counted
} muster_queue_outcome;

typedef enum MUSTER_OPEN_ENUM muster_queue_use {
  MUSTER_QUEUE_PUTTING = 1,    // claimed, being written or on its way into the queue
  MUSTER_QUEUE_QUEUED = 2,
  MUSTER_QUEUE_TAKEN = 4,      // in a member's hands
  MUSTER_QUEUE_RETURNING = 8,  // on its way back into the queue
  MUSTER_QUEUE_ASIDE = 16,
} muster_queue_use;

#define MUSTER_QUEUE_ANY 31

typedef struct muster_queue_entry {
  uint64_t id;
  uint64_t position;    // the how manyth of its lane, where it is queued: those that came back, or of the new ones
  int64_t put_at;       // CLOCK_MONOTONIC when it was put, to some milliseconds (`times`; else 0); means nothing after a restart of the machine
  muster_queue_use use;
  uint32_t size;
  uint32_t level;
  uint32_t attempts;
  uint32_t returned;    // 1: it is queued among those that came back
  uint32_t member;      // the place of who has it, or puts it; UINT32_MAX: nobody's
  int32_t pid;          // of that member; 0: nobody's
  int32_t alive;        // 1: that member lives; 0: it has ended, and this is yet to be settled, or nobody's
} muster_queue_entry;

typedef struct muster_queue_state {
  uint32_t job_size;
  uint32_t jobs;       // that there can be
  uint32_t levels;
  uint32_t members;    // places
  uint32_t living;     // of them, those that are members now
  uint32_t attempts;   // the limit
  uint32_t finished;   // 1: nothing new may be put
  uint32_t free;
  uint32_t putting;
  uint32_t queued;
  uint32_t taken;
  uint32_t returning;
  uint32_t aside;
  uint32_t ended;      // of those putting, taken, returning: how many are of members that have ended, to be settled
  uint32_t waits;      // how often somebody has gone to sleep for want of a job; wraps around
  uint32_t reserved;
  uint64_t put;        // jobs put since the beginning
  uint64_t returned;   // how often one came back
  uint32_t queued_at[MUSTER_QUEUE_LEVELS_MAX];  // by level
  uint32_t taken_at[MUSTER_QUEUE_LEVELS_MAX];
  uint32_t aside_at[MUSTER_QUEUE_LEVELS_MAX];
} muster_queue_state;

// In place: the bytes that a queue takes (0 for numbers that can't be), and how to lay one into memory that no one uses as a queue. Of
// the options the first five count, and `times`. Returns 0, EINVAL (the numbers, alignment, size), ENOTSUP (no robust mutexes here).
size_t muster_queue_size(const muster_queue_options *MUSTER_NONNULL options);
int muster_queue_init(void *MUSTER_NONNULL memory, size_t size,
                      const muster_queue_options *MUSTER_NONNULL options) MUSTER_MUST_CHECK;

// In place: after a restart of the machine, or of all processes, before any attaches with write permission to memory that was kept in
// a file: fresh locks, and no members. Jobs stay; those that were taken have failed once more. Opening by name does this. Returns 0,
// EINVAL, EBADMSG, ENOTSUP, ENOMEM.
int muster_queue_renew(void *MUSTER_NONNULL memory, size_t size) MUSTER_MUST_CHECK;

// In place: a handle for the queue at `memory`, which must stay mapped until close, and writable for the first form. The second form
// stores nothing there, ever, and can only look. Returns 0, EINVAL, ENOMEM, EBADMSG, EPROTO (version), ENOTSUP.
int muster_queue_attach(void *MUSTER_NONNULL memory, size_t size,
                        muster_queue *MUSTER_NULLABLE *MUSTER_NONNULL queue) MUSTER_MUST_CHECK;
int muster_queue_attach_read_only(const void *MUSTER_NONNULL memory, size_t size,
                                  muster_queue *MUSTER_NULLABLE *MUSTER_NONNULL queue) MUSTER_MUST_CHECK;

// By name, or in a file: creates or attaches, as the flags say. Returns 0, EINVAL (the numbers), ENOTSUP, EPROTO also for numbers
// other than were asked for, and what muster_region_open returns.
int muster_queue_open(const char *MUSTER_NONNULL name, const muster_queue_options *MUSTER_NONNULL options,
                      muster_queue *MUSTER_NULLABLE *MUSTER_NONNULL queue) MUSTER_MUST_CHECK;

// Leaves, if joined, and lets go of the handle. Returns 0, or EBUSY when it joined on another thread that still lives: nothing is done
// then. In a forked child it lets go of the child's copy alone.
int muster_queue_close(muster_queue *MUSTER_NULLABLE queue);

// Becomes a member, on the calling thread, until that thread ends or leaves. Returns 0 with the place in *member (NULL: not wanted);
//   EALREADY  this handle has joined
//   EOVERFLOW all places are held by the living
//   EPROTO    made with another libc or in another pid namespace
//   EACCES    a read-only handle
//   EPERM     a handle inherited over fork
//   ENOLCK    this thread holds as many claims and memberships as it may (group.h)
//   EBADMSG, ENOMEM
int muster_queue_join(muster_queue *MUSTER_NONNULL queue, uint32_t *MUSTER_NULLABLE member) MUSTER_MUST_CHECK;

// Leaves: what this member has taken goes back, as failed. What it has put stays. Returns 0, EINVAL (not joined, or the thread that
// joined has ended: it may join anew), EBUSY (joined on another thread, which lives), EPERM.
int muster_queue_leave(muster_queue *MUSTER_NONNULL queue);

// ---- Putting, by members. EPERM from each: this handle has not joined in this process, or the thread that joined has ended.

// Puts a copy of `bytes`. Never waits. Returns 0: it is queued, whatever becomes of this process; EPERM;
//   ENOSPC    there are as many jobs as there can be, and no member has died who was putting one
//   EPIPE     the queue is finished
//   EMSGSIZE  more bytes than a job may have
//   EINVAL    there is no such level
//   EBADMSG   the lane is corrupt
int muster_queue_put(muster_queue *MUSTER_NONNULL queue, const void *MUSTER_NULLABLE bytes, size_t size,
                     uint32_t level) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// The same, waiting for room until the deadline. Who waits longest is not served first. Returns what put does, but ETIMEDOUT for ENOSPC.
int muster_queue_put_wait(muster_queue *MUSTER_NONNULL queue, const void *MUSTER_NULLABLE bytes, size_t size,
                          uint32_t level, muster_deadline deadline) MUSTER_MUST_CHECK;

// Claims a job to be written in place: job->bytes has room for job->size. It is queued by commit, and nobody's business before: should
// this member die, it never was. Returns as put and put_wait do.
int muster_queue_claim(muster_queue *MUSTER_NONNULL queue,
                       muster_queue_job *MUSTER_NONNULL job) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;
int muster_queue_claim_wait(muster_queue *MUSTER_NONNULL queue, muster_deadline deadline,
                            muster_queue_job *MUSTER_NONNULL job) MUSTER_MUST_CHECK;

// Queues what was claimed, with that many bytes, also when the queue was finished since. Returns 0; EPERM; EINVAL (no such job, no such
// level); EMSGSIZE and EINVAL leave it claimed; ESTALE, EBUSY (it is none that this member has claimed and not committed or cancelled);
// EBADMSG (the lane is corrupt: the claim is gone).
int muster_queue_commit(muster_queue *MUSTER_NONNULL queue, uint64_t id, size_t size,
                        uint32_t level) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Gives up what was claimed. Returns 0, EPERM, EINVAL, ESTALE, EBUSY.
int muster_queue_cancel(muster_queue *MUSTER_NONNULL queue, uint64_t id) MUSTER_NONBLOCKING;

// For event loops: 0 when there was room a moment ago, EAGAIN with the words to sleep at (wait.h), EPIPE (finished), EPERM.
int muster_queue_poll_room(muster_queue *MUSTER_NONNULL queue, muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// ---- Taking, by members. EPERM as above.

// Takes the next job. Never waits. Returns 0; EPERM; *job is all 0 with what follows:
//   EAGAIN    none is queued (or others were quicker each of very many times)
//   ENODATA   the queue is finished, none is queued, and none is in anybody's hands that could come back
//   EBADMSG   the job that was next is corrupt: it is set aside
int muster_queue_take(muster_queue *MUSTER_NONNULL queue,
                      muster_queue_job *MUSTER_NONNULL job) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// The same, waiting for a job until the deadline. Who waits longest is not served first. Returns what take does, but ETIMEDOUT for
// EAGAIN.
int muster_queue_take_wait(muster_queue *MUSTER_NONNULL queue, muster_deadline deadline,
                           muster_queue_job *MUSTER_NONNULL job) MUSTER_MUST_CHECK;

// For event loops: 0 when a job was queued a moment ago, EAGAIN with the words to sleep at (wait.h), ENODATA, EPERM.
int muster_queue_poll(muster_queue *MUSTER_NONNULL queue, muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// It is done, and gone. Returns 0; EPERM; EINVAL (no such job); ESTALE (it is in no one's hands any more under that id); EBUSY (this member
// has not taken it).
int muster_queue_done(muster_queue *MUSTER_NONNULL queue, uint64_t id) MUSTER_NONBLOCKING;

// It is not done. Returns 0: it is queued again, or set aside, and others may have it by now; EPERM, EINVAL (also: no such outcome),
// ESTALE, EBUSY.
int muster_queue_put_back(muster_queue *MUSTER_NONNULL queue, uint64_t id, muster_queue_outcome outcome) MUSTER_NONBLOCKING;

// ---- The end, and what was set aside; by members. EPERM as above.

// Nothing new may be put from here on; who waits for room gets EPIPE, who waits for a job ENODATA when all is done. And the other way
// round. Return 0, EPERM.
int muster_queue_finish(muster_queue *MUSTER_NONNULL queue);
int muster_queue_reopen(muster_queue *MUSTER_NONNULL queue);

// A job that was set aside (muster_queue_next gives its id): queued again at the front of its level with no attempts, or gone. Return
// 0; EPERM; EINVAL (no such job); ESTALE (it is not there any more under that id); EBUSY (it is not set aside); EPIPE (retry: the queue is
// finished).
int muster_queue_retry(muster_queue *MUSTER_NONNULL queue, uint64_t id);
int muster_queue_drop(muster_queue *MUSTER_NONNULL queue, uint64_t id);

// Settles what was left by all members that have ended. Whoever takes, puts or waits does so by himself, soon: this is for who wants to
// know at once. *count (NULL: not wanted): how many jobs were settled. Returns 0; EPERM; EAGAIN: not all could be (the memory is corrupt).
int muster_queue_reclaim(muster_queue *MUSTER_NONNULL queue, uint32_t *MUSTER_NULLABLE count);

// ---- By any handle.

// The jobs, one at a call, those whose use is among `uses` (a sum of muster_queue_use): *cursor is 0 at the first. Up to `capacity` bytes
// of it are copied (NULL: none); they are what it had while it was in that use. Jobs that come and go meanwhile may be told or not; in
// what order they will be taken, level, `returned` (those first) and `position` tell. Returns 0, ENOENT (no more), EPERM (inherited over
// fork).
int muster_queue_next(const muster_queue *MUSTER_NONNULL queue, uint32_t uses, uint32_t *MUSTER_NONNULL cursor,
                      muster_queue_entry *MUSTER_NONNULL entry, void *MUSTER_NULLABLE buffer, size_t capacity) MUSTER_MUST_CHECK;

// What is known of the queue. Looks at all jobs, one after the other. Returns 0, EPERM (inherited over fork).
int muster_queue_look(const muster_queue *MUSTER_NONNULL queue, muster_queue_state *MUSTER_NONNULL state) MUSTER_MUST_CHECK;

// The bytes that a job has at most, and the place of this member (UINT32_MAX: it has not joined).
uint32_t muster_queue_job_size(const muster_queue *MUSTER_NONNULL queue) MUSTER_NONBLOCKING;
uint32_t muster_queue_member(const muster_queue *MUSTER_NONNULL queue) MUSTER_NONBLOCKING;

// The members, to wait for one that joins or dies (group.h). Joining and leaving is done by the queue's own functions. It belongs to the
// handle.
muster_group *MUSTER_NONNULL muster_queue_group(const muster_queue *MUSTER_NONNULL queue);

// The region of a queue that was opened by name; NULL for one attached in place. It belongs to the handle.
muster_region *MUSTER_NULLABLE muster_queue_region(const muster_queue *MUSTER_NONNULL queue);

MUSTER_END_DECLS

#endif
