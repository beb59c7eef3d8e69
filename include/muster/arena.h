// The arena: the state of one process, its checkpoints and the log of its transactions, in memory that outlives it.
//
//   Its owner, first or a successor                         Any process, also with a read-only mapping
//   -----------------------------------------------------   ------------------------------------------------------
//   muster_arena_attach(memory, size, &arena);              muster_arena_attach_read_only(memory, size, &other);
//   muster_arena_redo(&arena);       // what was committed  muster_arena_read(&other, offset, &copy, sizeof copy, NULL);
//   if (muster_arena_changing(&arena))                      // 0: all of one moment; EAGAIN: it is being changed
//     muster_arena_load(&arena, 0, accept, NULL, &info);    muster_arena_read_until(&other, offset, &copy, sizeof copy,
//   struct state *state = arena.state;                                              deadline, NULL);
//   for (;;) {
//     muster_arena_change_begin(&arena);
//     work_on(state);                                       A transaction: a process that the owner forks
//     muster_arena_change_end(&arena);                      ------------------------------------------------------
//     muster_arena_save(&arena, NULL);                      muster_arena_log_open(&arena, id, &log);
//     muster_arena_beat(&arena, muster_clock_now());        muster_arena_log_isolate(&log, descriptor, offset);
//   }                                                       what_may_crash(arena.state);
//                                                           muster_arena_log_changed(&log);
//   muster_arena_log_begin(&arena, &id); fork();            muster_arena_log_commit(&log);
//   muster_arena_log_decide(&arena, id); // at a deadline   _exit(0);
//   muster_arena_redo(&arena);
//
// One owner at a time, and who it is the arena does not ask: whoever starts an owner has seen the one before gone, and its
// transactions with it (root.h does). So there is no lock in here, no claim, nothing that a death has to give back; a
// handle is a value, valid in each process that has the memory at the same address, over fork too. Nothing allocates, and
// nothing here is a libc object: a reader that distrusts the owner gets an error or wrong bytes, no more.
//
// The state is changed in place. One word, `sequence`, is even while it is whole and odd while it is being changed.
//
//   change                                             read
//   ------------------------------------------------   ------------------------------------------------
//   c1  sequence = n + 1 (odd)           relaxed       r1  n = sequence; odd: EAGAIN     acquire
//   c2  fence                            release       r2  the bytes, by words           relaxed
//   c3  the state                                      r3  fence                         acquire
//   c4  sequence = n + 2                 release       r4  sequence is n? else again     relaxed
//
// Why a read is of one moment. c4 of n releases what r1 acquires, so r2 sees the state of n or later. If a word of r2 is of a
// later change, that one's c1 comes before it (c2, r3), and r4 reads another number: H.-J. Boehm, "Can seqlocks get along
// with programming language memory models?", MSPC 2012. Numbers do not come back. An owner that stops, or dies, between c1
// and c4 leaves the number odd: reads give EAGAIN, never half of it, until a successor has made it whole, by redo, load or
// zero, or taken it as it is (change_end). Whatever the owner stores outside of a change is seen word by word.
// (The program's own stores at c3 are plain. Where readers are threads of one process, and the language's rules shall hold to the
// letter, they go by muster_arena_write.)
//
// Checkpoints. The n-th lies in slot n % (K + 1), and `newest` is the number of the last. A save writes into the slot that
// holds n - K, which is none of the K newest then, and stores `newest` last, with release: that store is the save. A death
// before it leaves the K that were there, whole, and a successor writes the same slot again; after it, the new one is
// there. Who lists them looks at `newest` before and after: while it stays, nothing is written into the K that it names. The checksum
// (CRC-32C) over number, time and bytes tells what no death does: a stray store of the owner's.
//
// Transactions. One word has the transaction's number and what became of it:
//
//   IDLE, ABORTED --log_begin--> RUNNING --log_commit--> COMMITTED --redo--> IDLE
//                                   \-----log_decide, log_abort--> ABORTED
//
// The transaction's process works on a private copy of the state, writes each changed page with its number into the log, then how many
// and a checksum over all, and then swaps RUNNING for COMMITTED: that compare-and-swap is the commit. The owner that
// loses patience swaps RUNNING for ABORTED. Both expect RUNNING with the same number, so one of them fails: a transaction is
// committed or aborted, never both, and both sides know. The log is whole before the swap, which releases it.
//
// Redo is done by the owner, or, if it dies, by its successor, from the beginning:
//
//   d1  the word is COMMITTED, the checksum right      else nothing is touched
//   d2  sequence odd, fence                            (it is already, when somebody died in here)
//   d3  each page of the log into the state
//   d4  sequence even, release
//   d5  the word: IDLE
//
// Why a death anywhere in it does not matter. The log is not written by redo, nor by anyone while the word is COMMITTED, and
// d3 reads nothing but the log: done once, or half and then once more, it gives the same bytes. Between log_begin and d5 no
// other change of the state can begin (EBUSY), so the pages that are not in the log are those that the transaction
// saw, and those in the log are written over. A death before d4: odd, readers wait, the word says COMMITTED, the successor does it all.
// Between d4 and d5: the state is the one after, and is written with the same bytes once more. Readers see the state
// before, or EAGAIN, or the state after. A log that is COMMITTED and does not fit its checksum can't come from a death:
// EBADMSG, and it stays there until its owner drops it.
//
// Threads. Any number may read. What changes an arena is for one thread of its owner at a time; the log_ functions of a
// transaction for one thread of that, one at a time.
//
// Limits. A read of n bytes costs the time to copy them; one that a change overlaps begins again, so a large read beside an owner that
// changes without pause may never succeed: EAGAIN after MUSTER_ARENA_ATTEMPTS. There is one copy of the state: while it is being
// changed it can't be read. Layout and costs: docs/arena.md.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_ARENA_H
#define MUSTER_ARENA_H

#include "clock.h"
#include "status.h"

MUSTER_BEGIN_DECLS

#define MUSTER_ARENA_CHECKPOINTS_MAX 16u

// A state of so many bytes or more takes a multiple of so many, and best begins at one: in the address space, and in the
// file that it is mapped from. It can then lie on huge pages, whose protection is changed in some microseconds.
#define MUSTER_ARENA_HUGE ((uint64_t)2 << 20)

// How often a read begins again before it gives up.
#define MUSTER_ARENA_ATTEMPTS 100u

typedef enum MUSTER_OPTION_SET muster_arena_flags {
  MUSTER_ARENA_NO_TRANSACTIONS = 1,  // no log: `log_pages` counts as none, not as all
} muster_arena_flags;

typedef struct muster_arena_shape {
  uint64_t size;         // bytes of the state, at least 1
  uint64_t log_pages;    // how many pages a transaction may change; 0, or more than the state has: all
  uint32_t checkpoints;  // K: how many are kept, 0 to 16
  uint32_t flags;        // muster_arena_flags
} muster_arena_shape;

// Where the parts of an arena lie, in bytes from its beginning. All are multiples of the system's page size, so that each
// can have a protection of its own: the parts are, in this order, [control and checkpoints][state][log].
typedef struct muster_arena_layout {
  uint64_t size;          // of the whole
  uint64_t alignment;     // of the state, best (MUSTER_ARENA_HUGE or a page); the arena itself needs that of a page
  uint64_t state_offset;  // also the size of control and checkpoints, which begin at 0
  uint64_t state_room;    // the state's pages
  uint64_t log_offset;    // state_offset + state_room; the log's room is the rest, 0 without transactions
  uint64_t page;          // bytes of a page
} muster_arena_layout;

// An arena as a process has it mapped: a value, to be copied at will. Only `state` and `size` are of interest to users. All
// functions want one that is attached.
typedef struct muster_arena {
  void *MUSTER_NULLABLE state;          // the state; of a read-only handle it must not be written to. NULL: not attached
  uint64_t size;                        // its bytes
  unsigned char *MUSTER_NULLABLE base;  // the arena's beginning
  uint64_t state_room, log_offset, whole;
  uint64_t log_pages;
  uint32_t page;
  uint32_t checkpoints;
  uint32_t read_only;
  uint32_t reserved;
} muster_arena;

// ---- Laying and attaching

// Returns 0, EINVAL: no such shape can be (size 0 or too large, too many checkpoints, unknown flags).
int muster_arena_layout_of(const muster_arena_shape *MUSTER_NONNULL shape,
                           muster_arena_layout *MUSTER_NONNULL layout) MUSTER_MUST_CHECK;

// The bytes that it takes; 0 for a shape that can't be.
uint64_t muster_arena_size(const muster_arena_shape *MUSTER_NONNULL shape);

// Lays an arena into memory that no one uses as one: no checkpoint, no transaction, and the state's bytes as they are
// (zeros in a fresh region). Returns 0, EINVAL (shape, not on a page's beginning, too few bytes).
int muster_arena_init(void *MUSTER_NONNULL memory, uint64_t size,
                      const muster_arena_shape *MUSTER_NONNULL shape) MUSTER_MUST_CHECK;

// Fills in a handle. Nothing is stored in the memory, by the first form neither. The second's handle changes nothing, ever.
// Returns 0, EINVAL (not on a page's beginning), EBADMSG (no arena, or one that does not fit into `size`), EPROTO (another
// version, or another size of pages).
int muster_arena_attach(void *MUSTER_NONNULL memory, uint64_t size,
                        muster_arena *MUSTER_NONNULL arena) MUSTER_MUST_CHECK;
int muster_arena_attach_read_only(const void *MUSTER_NONNULL memory, uint64_t size,
                                  muster_arena *MUSTER_NONNULL arena) MUSTER_MUST_CHECK;

// ---- Reading, by anyone

// Copies a part of the state, all of one moment; *sequence is that moment's number. The bytes at `to` are undefined after
// another value than 0. Returns 0, EAGAIN (it is being changed, also by an owner that died in it; or it was changed during each of
// MUSTER_ARENA_ATTEMPTS attempts), EINVAL (range).
int muster_arena_read(const muster_arena *MUSTER_NONNULL arena, uint64_t offset, void *MUSTER_NULLABLE to, uint64_t size,
                      uint64_t *MUSTER_NULLABLE sequence) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// The same, again and again until the deadline: at once, then between yields, then after sleeps of at most 1 ms. An arena knows of
// no death, so there has to be a deadline. Returns 0, ETIMEDOUT, EINVAL (range; MUSTER_DEADLINE_NEVER).
int muster_arena_read_until(const muster_arena *MUSTER_NONNULL arena, uint64_t offset, void *MUSTER_NULLABLE to,
                            uint64_t size, muster_deadline deadline,
                            uint64_t *MUSTER_NULLABLE sequence) MUSTER_MUST_CHECK;

// The state's number, which grows by 2 with each change; odd while it is being changed. One load.
uint64_t muster_arena_sequence(const muster_arena *MUSTER_NONNULL arena) MUSTER_NONBLOCKING;

// Whether it is being changed: 1 also where an owner died in that, and the state may be half of each.
int muster_arena_changing(const muster_arena *MUSTER_NONNULL arena) MUSTER_NONBLOCKING;

typedef enum MUSTER_OPEN_ENUM muster_arena_transaction {
  MUSTER_ARENA_IDLE = 0,
  MUSTER_ARENA_RUNNING = 1,
  MUSTER_ARENA_COMMITTED = 2,  // and not yet in the state
  MUSTER_ARENA_ABORTED = 3,
} muster_arena_transaction;

// What is known of an arena. Each word is one that its owner stored, but they are not of one moment.
typedef struct muster_arena_info {
  uint64_t size;
  uint64_t log_pages;
  uint32_t checkpoints;         // that may be kept
  uint32_t kept;                // that are, whole or not
  uint64_t newest;              // the number of the newest; 0: none
  uint64_t sequence;
  muster_deadline beat;         // the last heartbeat; 0: none yet
  uint64_t beats;
  uint64_t id;                  // the number of the last transaction, and so how many were begun
  muster_arena_transaction transaction;
  uint32_t reserved;
  uint64_t committed, aborted, late;
  uint64_t crashed;             // begun, ended, and none of the three; so also what its owner's death kept from being counted
} muster_arena_info;

void muster_arena_info_of(const muster_arena *MUSTER_NONNULL arena, muster_arena_info *MUSTER_NONNULL info);

// ---- Changing, by the owner. Each function from here on that changes anything returns EACCES by a read-only handle.

// Brackets an update in place. Begin returns 0, EALREADY (one is under way: an own one, or a dead predecessor's), EBUSY (a
// transaction runs, or is committed and not yet redone). End ends it, also a dead predecessor's, whose state is thereby
// taken as it is; it returns 0, EINVAL (none is under way), EBUSY (it is a redo's: redo ends it).
int muster_arena_change_begin(const muster_arena *MUSTER_NONNULL arena) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;
int muster_arena_change_end(const muster_arena *MUSTER_NONNULL arena) MUSTER_NONBLOCKING;

// Stores bytes into the state, word by word as readers load them, within a change. Returns 0, EINVAL (range; no change is
// under way).
int muster_arena_write(const muster_arena *MUSTER_NONNULL arena, uint64_t offset, const void *MUSTER_NULLABLE from,
                       uint64_t size) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Makes the state zeros, as one change, also where a predecessor's was under way. Returns 0, EBUSY (as begin).
int muster_arena_zero(const muster_arena *MUSTER_NONNULL arena) MUSTER_MUST_CHECK;

// A sign of life: the time, and one more.
void muster_arena_beat(const muster_arena *MUSTER_NONNULL arena, muster_deadline now) MUSTER_NONBLOCKING;

// ---- Checkpoints, by the owner

typedef struct muster_arena_checkpoint {
  uint64_t number;    // the first is 1
  int64_t time;       // of the save, nanoseconds since 1970
  uint64_t sequence;  // of the state that was saved
  uint32_t checksum;  // CRC-32C of its bytes
  int32_t whole;      // 0: its bytes or fields don't fit their checksums; only told by muster_arena_checkpoints
} muster_arena_checkpoint;

// Saves the state. Returns 0, EBUSY (a change is under way, also a dead predecessor's), ENOTSUP (no checkpoints in this shape).
int muster_arena_save(const muster_arena *MUSTER_NONNULL arena,
                      muster_arena_checkpoint *MUSTER_NULLABLE saved) MUSTER_MUST_CHECK;

// Replaces the state, as one change, by the newest checkpoint that is whole and that `accept` takes for good (returns other
// than 0), from the `nth` newest (0: the newest) to the oldest. Each is copied into the state, where `accept` looks at it;
// NULL takes the first. Returns 0, or
//   ENODATA  there are no checkpoints, or not so many: the state was not touched
//   ENOENT   none was accepted, EBADMSG none was whole: the state is of no use, and the change stays under way (load, zero,
//            or change_end)
//   EBUSY    a transaction runs, or is committed and not yet redone
typedef int (*muster_arena_accept)(const void *MUSTER_NONNULL state, uint64_t size, void *MUSTER_NULLABLE context);
int muster_arena_load(const muster_arena *MUSTER_NONNULL arena, uint32_t nth, muster_arena_accept MUSTER_NULLABLE accept,
                      void *MUSTER_NULLABLE context, muster_arena_checkpoint *MUSTER_NULLABLE loaded) MUSTER_MUST_CHECK;

// By anyone: what is kept, from the newest to the oldest, at most `count`; *kept is how many there are. Their bytes are summed up
// only with `verify`. Returns 0, EAGAIN (saves went on meanwhile, MUSTER_ARENA_ATTEMPTS times).
int muster_arena_checkpoints(const muster_arena *MUSTER_NONNULL arena, int verify,
                             muster_arena_checkpoint *MUSTER_NULLABLE checkpoints, uint32_t count,
                             uint32_t *MUSTER_NONNULL kept) MUSTER_MUST_CHECK;

// ---- Transactions: the owner's side

// Begins the next, whose number is *id, before its process is forked; the process of the one before is gone. Returns 0,
// EBUSY (one runs; or is committed and not yet redone; or a change is under way), ENOTSUP (no log in this shape).
int muster_arena_log_begin(const muster_arena *MUSTER_NONNULL arena, uint64_t *MUSTER_NONNULL id) MUSTER_MUST_CHECK;

// Ends it, at its deadline or after its process died. Returns 0 (it is aborted, by this or by itself: it will never
// commit), EALREADY (it is committed), ESTALE (it is not the last that was begun, or redone by now). Its process may still live,
// and has to be killed, and seen gone, before another begins.
int muster_arena_log_decide(const muster_arena *MUSTER_NONNULL arena, uint64_t id) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Brings a committed transaction into the state, as one change. Of any other it leaves nothing: afterwards the log is idle. No
// process of a transaction may live when it is called. A successor calls it first of all. Returns 0 (it was committed, and is in
// the state now), ENODATA (nothing was committed), EBADMSG (the log is corrupt, which no death causes: the state was not
// touched, and nothing changes until log_drop).
int muster_arena_redo(const muster_arena *MUSTER_NONNULL arena) MUSTER_MUST_CHECK;

// Gives up a committed log that redo could not use. A redo that was under way when it became corrupt leaves a change under way.
// Returns 0, EINVAL (nothing is committed).
int muster_arena_log_drop(const muster_arena *MUSTER_NONNULL arena) MUSTER_MUST_CHECK;

// How a transaction ended that did not commit, for those who look: counted by the owner, once it has seen it gone.
typedef enum MUSTER_OPEN_ENUM muster_arena_end {
  MUSTER_ARENA_END_ABORTED = 0,
  MUSTER_ARENA_END_LATE = 1,
} muster_arena_end;
void muster_arena_count(const muster_arena *MUSTER_NONNULL arena, muster_arena_end end);

// ---- Transactions: the transaction's side

// A log that is being written: a value of its process.
typedef struct muster_arena_log {
  muster_arena arena;
  uint64_t id;
  uint64_t pages;     // in the log so far
  uint64_t last;      // the number of the last of them
  uint64_t offset;    // of the state in the file
  uint32_t checksum;
  int32_t descriptor; // of the file; -1: not isolated
} muster_arena_log;

// Begins to write. Returns 0, ECANCELED (it is aborted), ESTALE (it is not the last that was begun, or committed by now).
int muster_arena_log_open(const muster_arena *MUSTER_NONNULL arena, uint64_t id,
                          muster_arena_log *MUSTER_NONNULL log) MUSTER_MUST_CHECK;

// Replaces the state's pages in this process by a private mapping of the same file, so that what is stored from here on
// stays in it. `offset` is where the *state* begins in the file of the descriptor, which stays open until log_changed. The mapping
// is a snapshot only while nobody else changes the state: the owner can't, between log_begin and redo. Returns 0, EINVAL
// (offset not on a page, or the file shorter), EBADF, EACCES, ENODEV, ENOMEM, EPERM (the state is sealed), from mmap(2).
int muster_arena_log_isolate(muster_arena_log *MUSTER_NONNULL log, int descriptor, uint64_t offset) MUSTER_MUST_CHECK;

// Adds one page of the state to the log: its bytes as they are now in this process, or (`bytes` not NULL) others. In rising
// order. Returns 0, ENOSPC (the log is full), EINVAL (no such page, or not after the last), ECANCELED (it is aborted).
int muster_arena_log_add(muster_arena_log *MUSTER_NONNULL log, uint64_t page,
                         const void *MUSTER_NULLABLE bytes) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Adds each page that was changed since log_isolate, instead of log_add. Asks the kernel (PAGEMAP_SCAN, Linux 6.7; or
// /proc/self/pagemap), and compares with the file where neither is to be had. Returns as log_add, or EINVAL (not isolated, or
// pages were added before), EIO or another of ioctl(2)'s (the kernel broke off in the middle), or, where it has to compare,
// what mmap(2) says: ENOMEM, EBADF, EACCES.
int muster_arena_log_changed(muster_arena_log *MUSTER_NONNULL log) MUSTER_MUST_CHECK;

// Commits what was added: all of it will be in the state, whatever dies. Abort says that nothing will. Each returns 0,
// ECANCELED (it is aborted: by the owner, or by an abort before), ESTALE (it is over: committed, or not the last that was begun).
int muster_arena_log_commit(muster_arena_log *MUSTER_NONNULL log) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;
int muster_arena_log_abort(muster_arena_log *MUSTER_NONNULL log) MUSTER_NONBLOCKING;

MUSTER_END_DECLS

#endif
