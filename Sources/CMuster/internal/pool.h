// What the sources of the pool share, and what modules that stand on it use.
//
// A module lays a pool into its own memory (muster_pool_init, muster_pool_attach) and has states of its own for a block: tags from
// POOL_TAG_MODULE on, which change together with the owner by muster_pool_swap. It says by `reclaim` what becomes of tagged blocks of
// members that have ended. A word whose owner is POOL_NOBODY belongs to no member and stays until the module changes it. Public
// functions refuse tagged blocks (EBUSY), but for muster_pool_next and the looks, which show them. What a module may rely on:
//
//   muster_pool_word      the word of a block; an index below pool->blocks
//   muster_pool_swap      one compare-and-swap of it, sequentially consistent; from free only by muster_pool_claim
//   muster_pool_claim     alloc with a tag of one's choice
//   muster_pool_release   any word that one may change, by the exact word seen, to free: with hint, stack and bell
//   muster_pool_bytes     where a block lies
//   muster_pool_me        this member as owner bits; muster_pool_may: whether it may act as such
//   muster_pool_lives     whether the owner in a word lives
//   muster_pool_settle    what is left by ended members, if anything: also worth a call when muster_pool_is_unsettled says so of a place
//   pool->reclaim         set right after muster_pool_attach, before the handle joins
//   muster_pool_renew_by  renewing with words of a module's tags kept, owned by nobody
//
// Who makes *another* member the owner of a block (public: muster_pool_give) has to look afterwards whether that one lives, as what is
// left to one that has been settled is found only at the end of the next life in that place.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_POOL_H
#define MUSTER_INTERNAL_POOL_H

#include "fork.h"
#include "group.h"
#include "muster/pool.h"
#include "pool_layout.h"

enum { POOL_STACK = 64 };

// Other than any number that a process gives itself: those are odd, or 0 in a child that has none yet.
#define POOL_IDLE UINT64_C(2)

// Called for each block with a module's tag whose owner has ended, by whoever settles, also several at once: changes `word`, which was
// seen, to what the module wants by muster_pool_swap or muster_pool_release. 0: nothing of that life is left of this block, also where
// another was first; else it is called again at the next settling.
typedef int (*pool_reclaimer)(muster_pool *pool, uint32_t index, uint64_t word, void *context);

struct muster_pool {
  // What alloc and free look at.
  uint64_t *words;
  uint32_t *hints;
  const uint64_t *process;  // the word that fork wipes
  uint64_t token;           // its value while this handle is a member in this process; else POOL_IDLE
  const uint32_t *lock;     // of this member's place
  uint32_t thread;          // that joined
  uint32_t me;              // owner bits
  uint32_t blocks;          // checked at attach; never read again
  uint32_t block_size;      // as rounded up
  const uint32_t *calls;
  uint32_t rung;            // the calls that this handle has answered
  uint32_t cursor;          // the hint at which the next search begins
  unsigned char *data;
  uint32_t top;             // indexes on the stack
  uint32_t stack[POOL_STACK];
  // The rest.
  uint32_t members;
  uint32_t *settled;
  pool_state *state;
  muster_group *group;
  muster_region *region;    // opened by name, else NULL
  fork_guard guard;
  pool_reclaimer reclaim;   // of a module; NULL: its blocks are left alone
  void *context;            // for it
  int read_only;
  int may_spin;             // there is more than one processor
};

// ---- For modules

static inline uint64_t muster_pool_word(const muster_pool *pool, uint32_t index) {
  return __atomic_load_n(&pool->words[index], __ATOMIC_SEQ_CST);
}
static inline int muster_pool_swap(muster_pool *pool, uint32_t index, uint64_t *seen, uint64_t next) {
  return __atomic_compare_exchange_n(&pool->words[index], seen, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline unsigned char *muster_pool_bytes(const muster_pool *pool, uint32_t index) {
  return pool->data + (size_t)index * pool->block_size;
}
static inline uint32_t muster_pool_me(const muster_pool *pool) { return pool->me; }

// Whether this handle is a member in this process, and the thread that joined lives.
static inline int muster_pool_may(const muster_pool *pool) {
  return __atomic_load_n(pool->process, __ATOMIC_RELAXED) == __atomic_load_n(&pool->token, __ATOMIC_RELAXED) &&
         (__atomic_load_n(pool->lock, __ATOMIC_RELAXED) & (FUTEX_TID_MASK | FUTEX_OWNER_DIED)) == pool->thread;
}

// A name of block `index` in the life that `word` tells.
static inline muster_pool_block muster_pool_name(uint32_t index, uint64_t word) {
  return (word & ~UINT64_C(0xffffffff)) | (index + 1);
}
// The index of a name, which may be any number: at least `blocks` where there is no such block.
static inline uint32_t muster_pool_index(muster_pool_block block) { return (uint32_t)block - 1; }

// Allocates, for a caller who may: 0 with the block owned by this member with that tag, or ENOSPC.
int muster_pool_claim(muster_pool *pool, uint32_t tag, uint32_t *index, uint64_t *word) MUSTER_NONBLOCKING;

// Frees the block whose word is still `seen`: whether it was. By a member, or who settles.
int muster_pool_release(muster_pool *pool, uint32_t index, uint64_t seen) MUSTER_NONBLOCKING;

// Whether the owner in a word is a member now; 0 for POOL_NOBODY.
int muster_pool_lives(const muster_pool *pool, uint64_t word) MUSTER_NONBLOCKING;

// Whether a life in that place (below pool->members) has ended whose blocks may not all have been taken back. Two or three loads.
int muster_pool_is_unsettled(const muster_pool *pool, uint32_t place) MUSTER_NONBLOCKING;

// Takes back what is of ended lives, if any place has one that is not settled. Whether it went over the blocks.
int muster_pool_settle(muster_pool *pool) MUSTER_NONBLOCKING;

// As muster_pool_renew; of each block with a module's tag `keep` says what its word is to be: one of owner POOL_NOBODY, or `freed`. It
// may be asked again of words that it gave, after a death in here. NULL: all are freed.
typedef uint64_t (*pool_keeper)(uint32_t index, uint64_t word, uint64_t freed, void *context);
int muster_pool_renew_by(void *memory, size_t size, pool_keeper keep, void *context);

// As muster_pool_poll, for a caller who may.
int muster_pool_poll_free(muster_pool *pool, muster_wait_set *set);

// ---- pool_alloc.c

// Says that group `hint` may have a free block.
void muster_pool_set_hint(muster_pool *pool, uint32_t hint) MUSTER_NONBLOCKING;

// Wakes those who wait for a block, if any has called since this handle answered last.
void muster_pool_answer(muster_pool *pool) MUSTER_NONBLOCKING;

// Finds free blocks for the stack: whether there was one.
int muster_pool_search(muster_pool *pool) MUSTER_NONBLOCKING;

// ---- pool_owner.c

// Whether the block whose word was seen is of this member, under that name: 0, ESTALE, EBUSY.
int muster_pool_is_mine(const muster_pool *pool, muster_pool_block block, uint64_t word) MUSTER_NONBLOCKING;

// ---- pool_settle.c

// How many lives have begun in that place.
uint32_t muster_pool_life_in(const muster_pool *pool, uint32_t place) MUSTER_NONBLOCKING;

// The last life in that place that is known to have ended.
uint32_t muster_pool_ended(const muster_pool *pool, uint32_t place) MUSTER_NONBLOCKING;

// Whether the life in a word is that or an earlier one.
static inline int pool_has_ended(uint64_t word, uint32_t ended) {
  uint32_t behind = (ended - pool_life_of(word)) & ((1u << POOL_LIFE_BITS) - 1);
  return behind < 1u << (POOL_LIFE_BITS - 1);
}

// Goes over all blocks. EAGAIN: a module's blocks are left.
int muster_pool_sweep(muster_pool *pool, uint32_t *count) MUSTER_NONBLOCKING;

#endif
