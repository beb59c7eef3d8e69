// Pools in memory that somebody wrote into who shouldn't have.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "../../Sources/CMuster/internal/pool.h"
#include "pool_support.h"
#include "support.h"
#include "test.h"

enum { BLOCKS = 70, SIZE = 16, MEMBERS = 2, HEAD = 128 };

// Any of these, whatever the memory says; and a place only within the memory.
static void is_a_value(int status, const char *what, size_t at) {
  static const int values[] = {0, EPERM, EINVAL, ESTALE, EBUSY, EALREADY, ENOSPC, EAGAIN, EOWNERDEAD, ENOENT, ETIMEDOUT, EBADMSG};
  for (size_t k = 0; k < sizeof values / sizeof *values; k++)
    if (status == values[k]) return;
  test_fail(__FILE__, __LINE__, "%s with another byte %zu gives %d", what, at, status);
}

static void use(const pool_scene *scene, muster_pool *pool, size_t at) {
  muster_pool_block blocks[12], block;
  muster_wait_set set;
  uint32_t count, cursor = 0;
  for (uint32_t k = 0; k < 12; k++) {
    int status = muster_pool_alloc(pool, &blocks[k]);
    is_a_value(status, "alloc", at);
    if (status) blocks[k] = (muster_pool_block)k << 32 | (k + 1);
    void *place;
    if (!muster_pool_get(pool, blocks[k], &place)) {
      REQUIRE((unsigned char *)place >= (unsigned char *)scene->memory &&
              (unsigned char *)place + SIZE <= (unsigned char *)scene->memory + scene->size);
      memset(place, 1, SIZE);
    }
  }
  is_a_value(muster_pool_give(pool, blocks[0], 1), "give", at);
  is_a_value(muster_pool_offer(pool, blocks[1]), "offer", at);
  is_a_value(muster_pool_withdraw(pool, blocks[1]), "withdraw", at);
  is_a_value(muster_pool_offer(pool, blocks[2]), "offer", at);
  is_a_value(muster_pool_take(pool, blocks[2]), "take", at);
  is_a_value(muster_pool_poll(pool, &set), "poll", at);
  is_a_value(muster_pool_alloc_wait(pool, MUSTER_DEADLINE_NOW, &block), "alloc_wait", at);
  for (uint32_t k = 0; k < 12; k++) is_a_value(muster_pool_free(pool, blocks[k]), "free", at);
  for (int k = 0; k < BLOCKS + 1 && !muster_pool_next(pool, 0, &cursor, &block); k++) REQUIRE((uint32_t)block <= BLOCKS);
  is_a_value(muster_pool_reclaim(pool, &count), "reclaim", at);
}

static void look_around(const muster_pool *pool, size_t at) {
  muster_pool_state state;
  muster_pool_owner owner;
  muster_pool_block_state block;
  is_a_value(muster_pool_look(pool, &state), "look", at);
  CHECK(state.free + state.owned + state.offered + state.other == state.blocks);
  is_a_value(muster_pool_look_owner(pool, 1, &owner), "look_owner", at);
  muster_pool_owner owners[MEMBERS];
  uint32_t members = muster_group_capacity(muster_pool_group(pool));
  is_a_value(muster_pool_look_owners(pool, owners, members < MEMBERS ? members : MEMBERS), "look_owners", at);
  is_a_value(muster_pool_look_block(pool, 3, &block), "look_block", at);
  CHECK(block.member == UINT32_MAX || block.member < MEMBERS);
}

// Each byte of all that is not a lock or a block's content, in turn, set to other values, before a handle is made and after.
static void hostile_bytes(void) {
  pool_scene scene = pool_test_scene(SIZE, BLOCKS, MEMBERS);
  unsigned char *memory = scene.memory, *kept = shared_memory(scene.size);
  memcpy(kept, memory, scene.size);
  size_t from = pool_state_offset(MEMBERS), end = pool_blocks_offset(BLOCKS, MEMBERS);
  static const unsigned char masks[] = {0x01, 0x02, 0x10, 0x80, 0xff};
  int attached = 0, refused = 0;
  for (size_t at = 0; at < end; at++) {
    if (at == HEAD) at = from;
    for (size_t m = 0; m < sizeof masks; m++) {
      muster_pool *before = pool_test_join(&scene), *after;
      memory[at] ^= masks[m];
      use(&scene, before, at);
      int status = muster_pool_attach(memory, scene.size, &after);
      if (status) {
        REQUIRE(status == EBADMSG || status == EPROTO);
        refused++;
      } else {
        attached++;
        look_around(after, at);
        if (!muster_pool_join(after, NULL)) use(&scene, after, at);
        REQUIRE(!muster_pool_close(after));
      }
      REQUIRE(!muster_pool_close(before));
      memcpy(memory, kept, scene.size);
    }
  }
  CHECK(attached > 1000 && refused > 50);
  pool_test_end(&scene);
}

// Words, hints and what is settled are any numbers, and change while they are used.
static void random_words(void) {
  pool_scene scene = pool_test_scene(SIZE, BLOCKS, MEMBERS);
  unsigned char *memory = scene.memory;
  size_t from = pool_state_offset(MEMBERS), span = pool_blocks_offset(BLOCKS, MEMBERS) - from;
  uint64_t random = test_seed();
  for (int round = 0; round < 1500; round++) {
    for (int k = 0; k < 40; k++) {
      uint64_t value = test_random(&random) >> test_random(&random) % 64;
      memcpy(memory + from + test_random(&random) % span / 8 * 8, &value, 8);
    }
    muster_pool *pool;
    REQUIRE(!muster_pool_attach(memory, scene.size, &pool));
    look_around(pool, 0);
    REQUIRE(!muster_pool_join(pool, NULL));
    use(&scene, pool, 0);
    REQUIRE(!muster_pool_close(pool));
    // Whatever it was, it can be made whole.
    if (round % 2) continue;
    REQUIRE(!muster_pool_renew(memory, scene.size));
    pool = pool_test_join(&scene);
    muster_pool_block blocks[BLOCKS];
    CHECK_EQUAL(pool_test_drain(pool, blocks, BLOCKS), BLOCKS);
    REQUIRE(!muster_pool_close(pool));
  }
  pool_test_end(&scene);
}

// Group and pool that say other numbers of members.
static void two_numbers_of_members(void) {
  pool_scene scene = pool_test_scene(SIZE, BLOCKS, MEMBERS);
  REQUIRE(!muster_group_init((unsigned char *)scene.memory + HEAD, muster_group_size(1), 1));
  muster_pool *pool;
  CHECK_STATUS(muster_pool_attach(scene.memory, scene.size, &pool), EBADMSG);
  CHECK(!pool);
  pool_test_end(&scene);
}

TEST_SUITE(pool_hostile, {"hostile_bytes", hostile_bytes, 60}, {"random_words", random_words, 60},
           {"two_numbers_of_members", two_numbers_of_members, 0});
