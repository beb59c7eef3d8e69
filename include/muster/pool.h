// The pool: fixed blocks of shared memory, allocated and freed by any member of any process without a lock. Each block has an owner;
// the blocks of one who dies come back.
//
//   muster_pool *pool;
//   muster_pool_open("messages", &(muster_pool_options){.block_size = 512, .blocks = 1024, .members = 16}, &pool);
//   muster_pool_join(pool, &me);                      // on the thread whose life counts
//   muster_pool_block block;
//   if (!muster_pool_alloc_wait(pool, deadline, &block)) {
//     void *place;
//     muster_pool_get(pool, block, &place);           // where it lies in this process
//     fill(place);
//     muster_pool_give(pool, block, receiver);        // or muster_pool_free
//   }
//   muster_pool_close(pool);
//
// A block is named by a number that means the same in every process: its index and its generation, which rises whenever it is freed. So
// a name of an earlier life is refused (ESTALE), and a name can go through a ring, a pipe or a queue: that is a message without a copy.
//
// Handing on. At each moment a block has exactly one owner, so no death loses one, whoever dies when.
//   give   to a member that one knows: it owns the block from then on, whatever becomes of the giver. What it was given and never told
//          of (the giver died before it sent the name) it finds by muster_pool_next.
//   offer  to whoever comes first: the block stays the offerer's until somebody takes it; it can be withdrawn. Its content dies with the
//          offerer, or is rescued by one who takes it before the block is taken back.
// When both are to survive each other: offer, and free only what was not taken, after the receiver has ended.
//
// How it works. The truth of a block is one word of 64 bits: generation, owner (place among the members and how many joined there
// before, as the group counts them, group.h), and a tag: free, owned, offered. Every step is one compare-and-swap of that word. All
// else is a hint, which may be wrong and is put right:
//   - a stack of indexes in each handle, of blocks freed or seen free last: what alloc tries first, so that allocating and freeing are
//     two atomic steps for the pair;
//   - a word for each 64 blocks: 0 none of them is free, 1 some may be, 2 somebody is finding out.
// Who finds nothing on the stack goes over the groups of 64 that may have something, each member from a place of its own.
//
// Why it is right, in the terms of C11 (all of these accesses are sequentially consistent):
//   1. A death between any two instructions leaves each word what it was or what it was to become: a block is the dead one's, and is
//      taken back, or another's, or free. The word names the exact life of a member, so one who joins in the place of the dead is never
//      taken for it, and whoever takes back (anyone may, several at once) does so by the exact word that he found.
//   2. No free block is hidden. A freer stores the free word, then looks at the group's hint and sets it to 1 if it is something else.
//      A searcher who has seen nothing sets {n, 2}, with a number n that no one had before, looks once more, and goes from {n, 2} to 0
//      if it still finds nothing. A block that was freed before that look, the look finds; the freer of one freed after it finds {n, 2},
//      or 0, and sets 1: if that comes before the searcher's last step, this fails, as it is no longer {n, 2}. So a free block with hint
//      0 is one whose freer has not returned yet. If that one died, the next point finds it.
//   3. Deaths are settled: for each place there is the last life in it whose blocks have all been taken back. Who finds nothing to
//      allocate looks whether a place has ended a life since, goes over all words then, takes back what is of ended lives, sets the hints
//      of all that is free, and only then notes the lives as settled; and searches once more before he says that there is nothing. His death in between leaves it to the next. Who gives a block to
//      a member looks afterwards whether that life goes on, and takes the block back else; should he die before, it is found when he
//      is settled.
//   4. No waiter sleeps through a free block. It reads `bell`, adds to `calls`, looks (2 and 3), then sleeps at `bell` as it was; the
//      freer stores the free word, sets the hint, looks at `calls` and, where that is another number than it answered last, changes
//      `bell` and wakes. Either the freer sees the call, or its block was there to be seen. Nobody takes another's notice back. Sleepers
//      also watch all members (group.h): a death wakes them, and they settle it.
//
// Membership belongs to the thread that joined: when it ends, its blocks go back. Until then any thread of the process may use the
// handle, also several at once; but for joining, leaving and closing, when nobody else may. What a thread has had given by such a
// handle must not be used when the thread that joined has ended: new calls give EPERM.
//
// Limits: blocks of 16 bytes to 1 GiB, 1 to 2^24 of them, 1 to 256 members. A name becomes valid again when its block was freed 2^32
// times. A member that is stopped counts as living and keeps its blocks. Blocks are not zeroed: what its owner before left is there.
// Who may write to the memory can give any block to anybody, or hide it: docs/pool.md has that, and the layout.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_POOL_H
#define MUSTER_POOL_H

#include "clock.h"
#include "group.h"
#include "region.h"
#include "status.h"
#include "wait.h"

MUSTER_BEGIN_DECLS

#define MUSTER_POOL_BLOCK_SIZE_MIN UINT32_C(16)
#define MUSTER_POOL_BLOCK_SIZE_MAX (UINT32_C(1) << 30)
#define MUSTER_POOL_BLOCKS_MAX (UINT32_C(1) << 24)
#define MUSTER_POOL_MEMBERS_MAX MUSTER_GROUP_CAPACITY_MAX

// The kind of its regions.
#define MUSTER_POOL_KIND MUSTER_KIND('P', 'O', 'O', 'L')

// The alignment of a pool that is laid into memory by its user.
#define MUSTER_POOL_ALIGNMENT 128

typedef struct muster_pool muster_pool;

// A block's name, the same in every process: the generation in the high half, the index + 1 in the low one.
typedef uint64_t muster_pool_block;

// The name of no block.
#define MUSTER_POOL_NONE ((muster_pool_block)0)

typedef struct muster_pool_options {
  uint32_t block_size;       // bytes, rounded up to 16, from 64 on to 64; when attaching, 0: as it is
  uint32_t blocks;           // likewise
  uint32_t members;          // likewise
  uint32_t flags;            // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t permissions;      // `mode` of a region
  uint32_t reserved;
  uint64_t layout;           // what the blocks mean, as a number of yours; 0 when attaching: any
  muster_deadline deadline;  // as of a region
  muster_mismatch *MUSTER_NULLABLE mismatch;  // filled in at EPROTO
} muster_pool_options;

typedef enum MUSTER_OPEN_ENUM muster_pool_use {
  MUSTER_POOL_FREE = 0,
  MUSTER_POOL_OWNED = 1,
  MUSTER_POOL_OFFERED = 2,  // owned, and anybody may take it
  MUSTER_POOL_OTHER = 3,    // in the hands of a module that stands on the pool
} muster_pool_use;

typedef struct muster_pool_state {
  uint32_t block_size;  // as rounded up
  uint32_t blocks;
  uint32_t members;     // places
  uint32_t living;      // of them, those that are members now
  uint32_t free;
  uint32_t owned;
  uint32_t offered;
  uint32_t other;
  uint32_t ended;       // of those that are not free: how many are of members that have died or left, to be taken back
  uint32_t waits;       // how often somebody has gone to sleep for want of a block; wraps around
} muster_pool_state;

typedef struct muster_pool_owner {
  muster_member_state state;
  int32_t pid;      // of the last that joined here; 0: nobody yet
  uint32_t blocks;  // that it owns, offered ones too; of one that has ended, those that are to be taken back
  uint32_t offered;
} muster_pool_owner;

typedef struct muster_pool_block_state {
  muster_pool_use use;
  uint32_t member;      // its owner's place; UINT32_MAX: nobody's
  int32_t alive;        // 1: that owner lives
  uint32_t reserved;
} muster_pool_block_state;

// In place: the bytes that a pool takes (0 for numbers that can't be), and how to lay one into memory that no one uses as a pool.
// Returns 0, EINVAL (the numbers, alignment, size), ENOTSUP (no robust mutexes here).
size_t muster_pool_size(uint32_t block_size, uint32_t blocks, uint32_t members);
int muster_pool_init(void *MUSTER_NONNULL memory, size_t size, uint32_t block_size, uint32_t blocks,
                     uint32_t members) MUSTER_MUST_CHECK;

// In place: after a restart of the machine, or of all processes, before any attaches with write permission to memory that was kept in
// a file: fresh locks, and all blocks free. Opening by name does this. Returns 0, EINVAL, EBADMSG, ENOTSUP.
int muster_pool_renew(void *MUSTER_NONNULL memory, size_t size) MUSTER_MUST_CHECK;

// In place: a handle for the pool at `memory`, which must stay mapped until close, and writable for the first form. The second form
// stores nothing there, ever, and can only look. Returns 0, EINVAL, ENOMEM, EBADMSG, EPROTO (version), ENOTSUP.
int muster_pool_attach(void *MUSTER_NONNULL memory, size_t size,
                       muster_pool *MUSTER_NULLABLE *MUSTER_NONNULL pool) MUSTER_MUST_CHECK;
int muster_pool_attach_read_only(const void *MUSTER_NONNULL memory, size_t size,
                                 muster_pool *MUSTER_NULLABLE *MUSTER_NONNULL pool) MUSTER_MUST_CHECK;

// By name, or in a file: creates or attaches, as the flags say. Returns 0, EINVAL (the numbers), ENOTSUP, EPROTO also for numbers
// other than were asked for, and what muster_region_open returns.
int muster_pool_open(const char *MUSTER_NONNULL name, const muster_pool_options *MUSTER_NONNULL options,
                     muster_pool *MUSTER_NULLABLE *MUSTER_NONNULL pool) MUSTER_MUST_CHECK;

// Leaves, if joined, and lets go of the handle. Returns 0, or EBUSY when it joined on another thread that still lives: nothing is done
// then. In a forked child it lets go of the child's copy alone.
int muster_pool_close(muster_pool *MUSTER_NULLABLE pool);

// Becomes a member, on the calling thread, until that thread ends or leaves. What was left by a dead one in the place that it gets is
// taken back first. Returns 0 with the place in *member, by which others give to it (NULL: not wanted);
//   EALREADY  this handle has joined
//   EOVERFLOW all places are held by the living
//   EPROTO    made with another libc or in another pid namespace
//   EACCES    a read-only handle
//   EPERM     a handle inherited over fork
//   ENOLCK    this thread holds as many claims and memberships as it may (group.h)
//   EBADMSG, ENOMEM
int muster_pool_join(muster_pool *MUSTER_NONNULL pool, uint32_t *MUSTER_NULLABLE member) MUSTER_MUST_CHECK;

// Leaves: all blocks of this member are free. Returns 0, EINVAL (not joined, or the thread that joined has ended: it may join anew),
// EBUSY (joined on another thread, which lives), EPERM.
int muster_pool_leave(muster_pool *MUSTER_NONNULL pool);

// ---- By members. EPERM from each: this handle has not joined in this process, or the thread that joined has ended. The functions
// with a block return EINVAL where there is no block of that index, and ESTALE where the block was freed since it had this name.

// Allocates a block. Never waits. Returns 0; EPERM; ENOSPC: all blocks are in use, or in the midst of being freed (or others were
// quicker each of very many times), and no member has died whose blocks could be taken back. *block is MUSTER_POOL_NONE then.
int muster_pool_alloc(muster_pool *MUSTER_NONNULL pool,
                      muster_pool_block *MUSTER_NONNULL block) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// The same, waiting for a block until the deadline. Who waits longest is not served first. Returns 0, EPERM, ETIMEDOUT.
int muster_pool_alloc_wait(muster_pool *MUSTER_NONNULL pool, muster_deadline deadline,
                           muster_pool_block *MUSTER_NONNULL block) MUSTER_MUST_CHECK;

// For event loops: 0 when a block was free a moment ago, EAGAIN with the words to sleep at (wait.h), EPERM.
int muster_pool_poll(muster_pool *MUSTER_NONNULL pool, muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// Frees a block of this member, offered or not. Returns 0, EPERM, EINVAL, ESTALE (freed already, also by one who took it), EBUSY
// (somebody else owns it).
int muster_pool_free(muster_pool *MUSTER_NONNULL pool, muster_pool_block block) MUSTER_NONBLOCKING;

// Where a block of this member lies, aligned to 16, and to 64 where blocks have 64 bytes or more. Returns 0, EPERM, EINVAL, ESTALE,
// EBUSY (somebody else owns it).
int muster_pool_get(const muster_pool *MUSTER_NONNULL pool, muster_pool_block block,
                    void *MUSTER_NULLABLE *MUSTER_NONNULL place) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Makes another member, or this one, the owner of a block of this member, offered or not. Returns 0: it was given (should the other
// have died since, it goes back to the pool as all of its blocks do); EPERM; EINVAL (also: no such place); ESTALE; EBUSY (somebody
// else owns it);
//   EOWNERDEAD  nobody lives in that place: the block is still this member's
int muster_pool_give(muster_pool *MUSTER_NONNULL pool, muster_pool_block block,
                     uint32_t member) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Offers a block of this member to whoever takes it first. It stays this member's, who may go on reading it, until then. Returns 0,
// EPERM, EINVAL, ESTALE, EBUSY (somebody else owns it), EALREADY (it is offered).
int muster_pool_offer(muster_pool *MUSTER_NONNULL pool, muster_pool_block block) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Takes the offer of a block back. Returns 0: it is this member's alone; EPERM; EINVAL; ESTALE; EBUSY (somebody has taken it);
// EALREADY (it was not offered).
int muster_pool_withdraw(muster_pool *MUSTER_NONNULL pool,
                         muster_pool_block block) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Becomes the owner of a block that is offered. Returns 0; EPERM; EINVAL; ESTALE (also: its offerer died, and it was taken back); EBUSY
// (another was first, or its owner does not offer it, or no more); EALREADY (it is this member's own, and not offered).
int muster_pool_take(muster_pool *MUSTER_NONNULL pool, muster_pool_block block) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// ---- By any handle.

// Takes back the blocks of all members that have died or left. What allocates and waits does so by itself, as soon as there is nothing
// free: this is for who wants to know at once. *count (NULL: not wanted): how many this call took back. Returns 0, EACCES (a read-only
// handle), EPERM (inherited over fork), EAGAIN: some blocks of the dead are in the hands of a module that this handle knows nothing of.
int muster_pool_reclaim(muster_pool *MUSTER_NONNULL pool, uint32_t *MUSTER_NULLABLE count);

// The blocks that a member owns, one at a call: *cursor is 0 at the first. Blocks that come and go meanwhile may be told or not. Returns
// 0, ENOENT (no more), EINVAL (no such place), EPERM (inherited over fork).
int muster_pool_next(const muster_pool *MUSTER_NONNULL pool, uint32_t member, uint32_t *MUSTER_NONNULL cursor,
                     muster_pool_block *MUSTER_NONNULL block) MUSTER_MUST_CHECK;

// What is known of the pool, of the member in place `member`, of those in the first `count` places, of a block. All but the last look
// at all blocks, once. Return 0, EPERM (inherited over fork), EINVAL (no such place, more places than there are, no such block), ESTALE
// (freed since).
int muster_pool_look(const muster_pool *MUSTER_NONNULL pool, muster_pool_state *MUSTER_NONNULL state) MUSTER_MUST_CHECK;
int muster_pool_look_owner(const muster_pool *MUSTER_NONNULL pool, uint32_t member,
                           muster_pool_owner *MUSTER_NONNULL owner) MUSTER_MUST_CHECK;
int muster_pool_look_owners(const muster_pool *MUSTER_NONNULL pool, muster_pool_owner *MUSTER_NONNULL owners,
                            uint32_t count) MUSTER_MUST_CHECK;
int muster_pool_look_block(const muster_pool *MUSTER_NONNULL pool, muster_pool_block block,
                           muster_pool_block_state *MUSTER_NONNULL state) MUSTER_MUST_CHECK;

// The usable bytes of each block, and the place of this member (UINT32_MAX: it has not joined).
uint32_t muster_pool_block_size(const muster_pool *MUSTER_NONNULL pool) MUSTER_NONBLOCKING;
uint32_t muster_pool_member(const muster_pool *MUSTER_NONNULL pool) MUSTER_NONBLOCKING;

// The members, to wait for one that joins or dies (group.h). Joining and leaving is done by the pool's own functions. It belongs to the
// handle.
muster_group *MUSTER_NONNULL muster_pool_group(const muster_pool *MUSTER_NONNULL pool);

// The region of a pool that was opened by name; NULL for one attached in place. It belongs to the handle.
muster_region *MUSTER_NULLABLE muster_pool_region(const muster_pool *MUSTER_NONNULL pool);

MUSTER_END_DECLS

#endif
