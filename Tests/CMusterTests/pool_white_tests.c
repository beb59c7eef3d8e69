// The pool as modules see it that stand on it, and steps of its own that only the inside can bring about.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/pool.h"
#include "pool_support.h"
#include "support.h"
#include "test.h"

enum { BLOCKS = 130, SIZE = 64, MEMBERS = 4, JOB = POOL_TAG_MODULE, DONE = POOL_TAG_MOST };

// ---- A module's tags

typedef struct module {
  uint32_t seen;
  int refuses;
} module;

// Jobs of the dead stay, as nobody's; what else is tagged is freed.
static int reclaim(muster_pool *pool, uint32_t index, uint64_t word, void *context) {
  module *of = context;
  of->seen++;
  if (of->refuses) return EAGAIN;
  if (pool_tag_of(word) != JOB) return muster_pool_release(pool, index, word), 0;
  uint64_t next = pool_word_of(pool_generation(word), pool_owner_bits(POOL_NOBODY, 0), JOB);
  (void)muster_pool_swap(pool, index, &word, next);
  return 0;
}

typedef struct shared {
  pool_scene pool;
  uint32_t *gate;
} shared;

static void hold_jobs(void *context) {
  const shared *at = context;
  muster_pool *pool = pool_test_join(&at->pool);
  for (uint32_t k = 0; k < 9; k++) {
    uint32_t index;
    uint64_t word;
    static const uint32_t tags[] = {JOB, DONE, POOL_OWNED};
    REQUIRE(!muster_pool_claim(pool, tags[k % 3], &index, &word));
    REQUIRE(muster_pool_word(pool, index) == word && pool_tag_of(word) == tags[k % 3]);
  }
  gate_open(at->gate, 1);
  for (;;) pause();
}

static void tags_of_a_module(void) {
  shared at = {pool_test_scene(SIZE, BLOCKS, MEMBERS), shared_memory(4096)};
  muster_pool *plain = pool_test_join(&at.pool), *pool = pool_test_attach(&at.pool);
  module of = {.refuses = 1};
  pool->reclaim = reclaim;
  pool->context = &of;
  REQUIRE(!muster_pool_join(pool, NULL));
  pid_t child = test_fork(hold_jobs, &at);
  gate_wait(at.gate, 1);
  uint32_t place = 2, count;
  CHECK(!muster_pool_is_unsettled(plain, place) && !muster_pool_settle(pool));
  kill_process(child);
  CHECK(muster_pool_is_unsettled(plain, place));
  // One that knows nothing of jobs takes back what is not tagged, and leaves the rest to be done.
  CHECK_STATUS(muster_pool_reclaim(plain, &count), EAGAIN);
  CHECK_EQUAL(count, 3);
  CHECK(muster_pool_is_unsettled(plain, place));
  muster_pool_state state;
  CHECK_STATUS(muster_pool_look(plain, &state), 0);
  CHECK_EQUAL(state.other, 6);
  CHECK_EQUAL(state.ended, 6);
  // Nobody who finds nothing free goes round for ever because of them.
  muster_pool_block blocks[BLOCKS];
  CHECK_EQUAL(pool_test_drain(plain, blocks, BLOCKS), BLOCKS - 6);
  muster_pool_block block;
  CHECK_STATUS(muster_pool_alloc_wait(plain, muster_deadline_after(2000000), &block), ETIMEDOUT);
  CHECK(muster_pool_settle(pool) && of.seen == 6 && muster_pool_is_unsettled(plain, place));
  of = (module){0};
  CHECK(muster_pool_settle(pool) && !muster_pool_is_unsettled(plain, place));
  CHECK_EQUAL(of.seen, 6);
  CHECK(!muster_pool_settle(pool));
  CHECK_STATUS(muster_pool_look(plain, &state), 0);
  CHECK_EQUAL(state.other, 3);
  CHECK_EQUAL(state.ended, 0);
  CHECK_EQUAL(state.free, 3);
  CHECK_STATUS(muster_pool_close(plain), 0);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

static void tagged_blocks_are_refused(void) {
  pool_scene scene = pool_test_scene(SIZE, 2, MEMBERS);
  muster_pool *pool = pool_test_join(&scene), *other = pool_test_join(&scene);
  uint32_t index;
  uint64_t word;
  REQUIRE(!muster_pool_claim(pool, JOB, &index, &word));
  muster_pool_block block = muster_pool_name(index, word);
  CHECK_EQUAL(muster_pool_index(block), index);
  CHECK(muster_pool_lives(other, word));
  muster_pool *handles[] = {pool, other};
  for (int k = 0; k < 2; k++) {
    void *place;
    CHECK_STATUS(muster_pool_get(handles[k], block, &place), EBUSY);
    CHECK_STATUS(muster_pool_free(handles[k], block), EBUSY);
    CHECK_STATUS(muster_pool_offer(handles[k], block), EBUSY);
    CHECK_STATUS(muster_pool_withdraw(handles[k], block), EBUSY);
    CHECK_STATUS(muster_pool_give(handles[k], block, 1), EBUSY);
    CHECK_STATUS(muster_pool_take(handles[k], block), EBUSY);
  }
  // To be anybody's, by the word alone.
  uint64_t seen = word + 1;
  CHECK(!muster_pool_swap(other, index, &seen, 0) && seen == word);
  uint64_t taken = pool_word_of(pool_generation(word), muster_pool_me(other), DONE);
  CHECK(muster_pool_swap(other, index, &seen, taken));
  CHECK(!muster_pool_release(other, index, word));
  CHECK_STATUS(muster_pool_leave(pool), 0);
  CHECK(!muster_pool_lives(other, word) && muster_pool_lives(other, taken));
  CHECK(muster_pool_release(other, index, taken));
  CHECK_STATUS(muster_pool_take(other, block), ESTALE);
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_STATUS(muster_pool_close(other), 0);
  pool_test_end(&scene);
}

static uint64_t keep_jobs(uint32_t index, uint64_t word, uint64_t freed, void *context) {
  *(uint32_t *)context += index + 1;
  if (pool_tag_of(word) != JOB) return freed;
  return pool_word_of(pool_generation(word), pool_owner_bits(POOL_NOBODY, 0), JOB);
}

static void renewed_with_jobs(void) {
  shared at = {pool_test_scene(SIZE, BLOCKS, MEMBERS), shared_memory(4096)};
  pid_t child = test_fork(hold_jobs, &at);
  gate_wait(at.gate, 1);
  kill_process(child);
  for (int turn = 0; turn < 2; turn++) {
    uint32_t sum = 0;
    CHECK_STATUS(muster_pool_renew_by(at.pool.memory, at.pool.size, keep_jobs, &sum), 0);
    CHECK(sum > 0);
    muster_pool *pool = pool_test_join(&at.pool);
    muster_pool_state state;
    CHECK_STATUS(muster_pool_look(pool, &state), 0);
    CHECK_EQUAL(state.other, 3);
    CHECK_EQUAL(state.free, BLOCKS - 3);
    uint32_t count;
    CHECK_STATUS(muster_pool_reclaim(pool, &count), 0);
    CHECK_EQUAL(count, 0);
    CHECK_STATUS(muster_pool_close(pool), 0);
  }
  CHECK_STATUS(muster_pool_renew(at.pool.memory, at.pool.size), 0);
  muster_pool *pool = pool_test_join(&at.pool);
  CHECK_EQUAL(pool_test_free(pool), BLOCKS);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

// ---- Hints

static uint32_t state_of(const muster_pool *pool, uint32_t hint) { return pool->hints[hint] & HINT_STATES; }

// A group is said to be empty by who looked into it twice, and not to be by who frees into it.
static void hints_follow(void) {
  pool_scene scene = pool_test_scene(SIZE, BLOCKS, MEMBERS);
  muster_pool *pool = pool_test_join(&scene), *other = pool_test_join(&scene);
  muster_pool_block blocks[BLOCKS], block;
  CHECK_EQUAL(pool_test_drain(pool, blocks, BLOCKS), BLOCKS);
  for (uint32_t k = 0; k < pool_hints(BLOCKS); k++) CHECK_EQUAL(state_of(pool, k), HINT_NONE);
  CHECK_STATUS(muster_pool_alloc(other, &block), ENOSPC);
  for (uint32_t k = 0; k < BLOCKS; k++) {
    uint32_t hint = muster_pool_index(blocks[k]) / POOL_HINTED;
    CHECK_STATUS(muster_pool_free(pool, blocks[k]), 0);
    CHECK_EQUAL(state_of(pool, hint), HINT_SOME);
    // The stack of the one who freed is no other's.
    CHECK_STATUS(muster_pool_alloc(other, &block), 0);
    CHECK_EQUAL((uint32_t)block, (uint32_t)blocks[k]);
    CHECK_STATUS(muster_pool_alloc(pool, &blocks[k]), ENOSPC);
    CHECK_EQUAL(state_of(pool, hint), HINT_NONE);
  }
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_STATUS(muster_pool_close(other), 0);
  pool_test_end(&scene);
}

// One who is stopped while it finds out hides nothing, whatever state it left, and doesn't take the hint of a freer with it when it
// goes on.
static void finding_out_is_no_answer(void) {
  pool_scene scene = pool_test_scene(SIZE, 1, MEMBERS);
  muster_pool *pool = pool_test_join(&scene), *other = pool_test_join(&scene);
  muster_pool_block block = pool_test_alloc(pool), none;
  // As of one who has begun, and found nothing so far.
  uint32_t mine = (pool->hints[0] & ~(uint32_t)HINT_STATES) + 4;
  pool->hints[0] = mine | HINT_FINDING;
  CHECK_STATUS(muster_pool_free(pool, block), 0);
  CHECK_EQUAL(pool->hints[0], mine | HINT_SOME);
  block = pool_test_alloc(other);
  pool->hints[0] = mine | HINT_FINDING;
  // Another finds out the same, by a number of its own.
  CHECK_STATUS(muster_pool_alloc(pool, &none), ENOSPC);
  CHECK_EQUAL(pool->hints[0], (mine + 4) | HINT_NONE);
  CHECK_STATUS(muster_pool_free(other, block), 0);
  CHECK_EQUAL(pool->hints[0], (mine + 4) | HINT_SOME);
  // Left in it, with a free block: looked at as if there were some.
  pool->hints[0] = mine | HINT_FINDING;
  block = pool_test_alloc(pool);
  CHECK_STATUS(muster_pool_free(pool, block), 0);
  // Dead between the free word and the hint: who settles sets it.
  pool->hints[0] = mine | HINT_NONE;
  pool->top = 0;
  CHECK_STATUS(muster_pool_alloc(pool, &none), ENOSPC);
  uint32_t count;
  CHECK_STATUS(muster_pool_reclaim(pool, &count), 0);
  CHECK_STATUS(muster_pool_alloc(pool, &block), 0);
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_STATUS(muster_pool_close(other), 0);
  pool_test_end(&scene);
}

// A stack whose entries are all somebody else's by now.
static void stale_stack(void) {
  pool_scene scene = pool_test_scene(SIZE, BLOCKS, MEMBERS);
  muster_pool *pool = pool_test_join(&scene), *other = pool_test_join(&scene);
  muster_pool_block blocks[BLOCKS];
  for (int turn = 0; turn < 3; turn++) {
    uint32_t count = pool_test_drain(pool, blocks, BLOCKS);
    CHECK_EQUAL(count, BLOCKS);
    for (uint32_t k = 0; k < count; k++) CHECK_STATUS(muster_pool_free(pool, blocks[k]), 0);
    CHECK_EQUAL(pool->top, POOL_STACK);
    CHECK_EQUAL(pool_test_drain(other, blocks, BLOCKS), BLOCKS);
    muster_pool_block block;
    CHECK_STATUS(muster_pool_alloc(pool, &block), ENOSPC);
    for (uint32_t k = 0; k < BLOCKS; k++) CHECK_STATUS(muster_pool_free(other, blocks[k]), 0);
  }
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_STATUS(muster_pool_close(other), 0);
  pool_test_end(&scene);
}

// Members that have room do not take turns at the same lines.
static void members_begin_apart(void) {
  pool_scene scene = pool_test_scene(SIZE, 64 * 4, 4);
  muster_pool *pools[4];
  for (int k = 0; k < 4; k++) pools[k] = pool_test_join(&scene);
  for (int turn = 0; turn < 64; turn++)
    for (uint32_t k = 0; k < 4; k++) CHECK_EQUAL(muster_pool_index(pool_test_alloc(pools[k])) / POOL_HINTED, k);
  for (int k = 0; k < 4; k++) CHECK_STATUS(muster_pool_close(pools[k]), 0);
  pool_test_end(&scene);
}

// What a giver that is stopped has left to an earlier life is not the newcomer's, and goes back like all that is of the dead.
static void left_to_an_earlier_life(void) {
  pool_scene scene = pool_test_scene(SIZE, BLOCKS, MEMBERS);
  muster_pool *pool = pool_test_join(&scene);
  uint32_t place = muster_pool_member(pool), cursor = 0, count;
  muster_pool_block block = pool_test_alloc(pool), found;
  uint64_t word = muster_pool_word(pool, muster_pool_index(block));
  pool->words[muster_pool_index(block)] = pool_word_of(pool_generation(word), pool_owner_bits(place, muster_pool_life_in(pool, place) - 1), POOL_OWNED);
  void *at;
  muster_pool_owner owner;
  muster_pool_state state;
  muster_pool_block_state block_state;
  CHECK_STATUS(muster_pool_next(pool, place, &cursor, &found), ENOENT);
  CHECK_STATUS(muster_pool_get(pool, block, &at), EBUSY);
  CHECK_STATUS(muster_pool_look_owner(pool, place, &owner), 0);
  CHECK_EQUAL(owner.blocks, 0);
  CHECK_STATUS(muster_pool_look(pool, &state), 0);
  CHECK_EQUAL(state.ended, 1);
  CHECK_STATUS(muster_pool_look_block(pool, block, &block_state), 0);
  CHECK_EQUAL(block_state.alive, 0);
  CHECK_STATUS(muster_pool_reclaim(pool, &count), 0);
  CHECK_EQUAL(count, 1);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&scene);
}

// Generations come round after 2^32 lives, and the block goes on.
static void generations_that_wrap(void) {
  pool_scene scene = pool_test_scene(SIZE, 1, 1);
  muster_pool *pool = pool_test_join(&scene);
  pool->words[0] = pool_word_of(UINT32_MAX, 0, POOL_FREE);
  muster_pool_block last = pool_test_alloc(pool);
  CHECK_EQUAL(last, (UINT64_C(0xffffffff) << 32) + 1);
  CHECK_STATUS(muster_pool_free(pool, last), 0);
  muster_pool_block first = pool_test_alloc(pool);
  CHECK_EQUAL(first, 1);
  CHECK_STATUS(muster_pool_free(pool, last), ESTALE);
  CHECK_STATUS(muster_pool_free(pool, first), 0);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&scene);
}

TEST_SUITE(pool_white, {"tags_of_a_module", tags_of_a_module, 0}, {"tagged_blocks_are_refused", tagged_blocks_are_refused, 0},
           {"renewed_with_jobs", renewed_with_jobs, 0}, {"hints_follow", hints_follow, 0},
           {"finding_out_is_no_answer", finding_out_is_no_answer, 0}, {"stale_stack", stale_stack, 0},
           {"members_begin_apart", members_begin_apart, 0},
           {"left_to_an_earlier_life", left_to_an_earlier_life, 0}, {"generations_that_wrap", generations_that_wrap, 0});
