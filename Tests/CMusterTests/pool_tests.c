// Pools: blocks that are allocated, freed, handed on, by one process and by name.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "pool_support.h"
#include "support.h"
#include "test.h"

// As written to the pool, not as the header says.
enum { BLOCKS = 200, SIZE = 100, ROUNDED = 128, MEMBERS = 8 };

static void sizes(void) {
  CHECK_EQUAL(muster_pool_size(15, 1, 1), 0);
  CHECK_EQUAL(muster_pool_size((UINT32_C(1) << 30) + 1, 1, 1), 0);
  CHECK_EQUAL(muster_pool_size(16, 0, 1), 0);
  CHECK_EQUAL(muster_pool_size(16, (UINT32_C(1) << 24) + 1, 1), 0);
  CHECK_EQUAL(muster_pool_size(16, 1, 0), 0);
  CHECK_EQUAL(muster_pool_size(16, 1, 257), 0);
  CHECK(muster_pool_size(16, UINT32_C(1) << 24, 256) > (size_t)24 << 24);
  CHECK_EQUAL(muster_pool_size(17, 1000, 1) - muster_pool_size(16, 1000, 1), 16000);
  CHECK_EQUAL(muster_pool_size(65, 1000, 1) - muster_pool_size(64, 1000, 1), 64000);
  static _Alignas(128) unsigned char memory[1 << 16];
  CHECK_STATUS(muster_pool_init(memory, muster_pool_size(16, 10, 2) - 1, 16, 10, 2), EINVAL);
  CHECK_STATUS(muster_pool_init(memory + 64, sizeof memory - 64, 16, 10, 2), EINVAL);
  CHECK_STATUS(muster_pool_init(memory, sizeof memory, 16, 10, 0), EINVAL);
  muster_pool *pool;
  CHECK_STATUS(muster_pool_attach(memory, sizeof memory, &pool), EBADMSG);
  CHECK_STATUS(muster_pool_init(memory, sizeof memory, 17, 10, 2), 0);
  CHECK_STATUS(muster_pool_attach(memory + 64, sizeof memory - 64, &pool), EINVAL);
  CHECK_STATUS(muster_pool_attach(memory, muster_pool_size(17, 10, 2) - 1, &pool), EBADMSG);
  CHECK(!pool);
  CHECK_STATUS(muster_pool_attach(memory, sizeof memory, &pool), 0);
  CHECK_EQUAL(muster_pool_block_size(pool), 32);
  CHECK_EQUAL(muster_pool_member(pool), UINT32_MAX);
  CHECK_STATUS(muster_pool_close(pool), 0);
}

// Every block once, each aligned, in the memory, and not a byte of it another's.
static void all_blocks(void) {
  pool_scene scene = pool_test_scene(SIZE, BLOCKS, MEMBERS);
  muster_pool *pool = pool_test_join(&scene);
  muster_pool_block blocks[BLOCKS];
  CHECK_EQUAL(pool_test_drain(pool, blocks, BLOCKS), BLOCKS);
  for (uint32_t k = 0; k < BLOCKS; k++) {
    void *place;
    REQUIRE(!muster_pool_get(pool, blocks[k], &place));
    CHECK((uintptr_t)place % 64 == 0);
    CHECK((unsigned char *)place >= (unsigned char *)scene.memory &&
          (unsigned char *)place + ROUNDED <= (unsigned char *)scene.memory + scene.size);
    memset(place, (int)k, ROUNDED);
  }
  for (uint32_t k = 0; k < BLOCKS; k++) {
    void *place;
    REQUIRE(!muster_pool_get(pool, blocks[k], &place));
    for (size_t i = 0; i < ROUNDED; i++) REQUIRE(((unsigned char *)place)[i] == (unsigned char)k);
  }
  CHECK_EQUAL(pool_test_free(pool), 0);
  for (uint32_t k = 0; k < BLOCKS; k++) CHECK_STATUS(muster_pool_free(pool, blocks[k]), 0);
  CHECK_EQUAL(pool_test_free(pool), BLOCKS);
  // Again, in another order, with names that differ.
  muster_pool_block again[BLOCKS];
  CHECK_EQUAL(pool_test_drain(pool, again, BLOCKS), BLOCKS);
  for (uint32_t k = 0; k < BLOCKS; k++) {
    CHECK_STATUS(muster_pool_free(pool, blocks[k]), ESTALE);
    for (uint32_t i = 0; i < BLOCKS; i++) REQUIRE(blocks[i] != again[k]);
  }
  for (uint32_t k = 0; k < BLOCKS; k += 2) CHECK_STATUS(muster_pool_free(pool, again[k]), 0);
  CHECK_EQUAL(pool_test_drain(pool, blocks, BLOCKS), BLOCKS / 2);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&scene);
}

static void names_of_earlier_lives(void) {
  pool_scene scene = pool_test_scene(SIZE, 1, MEMBERS);
  muster_pool *pool = pool_test_join(&scene), *other = pool_test_join(&scene);
  muster_pool_block first = pool_test_alloc(pool), none;
  void *place;
  muster_pool_block_state state;
  CHECK_STATUS(muster_pool_alloc(other, &none), ENOSPC);
  CHECK_STATUS(muster_pool_get(other, first, &place), EBUSY);
  CHECK(!place);
  CHECK_STATUS(muster_pool_free(other, first), EBUSY);
  CHECK_STATUS(muster_pool_free(pool, first), 0);
  CHECK_STATUS(muster_pool_free(pool, first), ESTALE);
  muster_pool_block second = pool_test_alloc(pool);
  CHECK_EQUAL((uint32_t)second, (uint32_t)first);
  CHECK_STATUS(muster_pool_get(pool, first, &place), ESTALE);
  CHECK_STATUS(muster_pool_free(pool, first), ESTALE);
  CHECK_STATUS(muster_pool_give(pool, first, 1), ESTALE);
  CHECK_STATUS(muster_pool_offer(pool, first), ESTALE);
  CHECK_STATUS(muster_pool_withdraw(pool, first), ESTALE);
  CHECK_STATUS(muster_pool_take(other, first), ESTALE);
  CHECK_STATUS(muster_pool_look_block(other, first, &state), ESTALE);
  // The name that it will have next is not one yet.
  CHECK_STATUS(muster_pool_free(pool, second), 0);
  muster_pool_block third = second + (UINT64_C(1) << 32);
  CHECK_STATUS(muster_pool_free(pool, third), ESTALE);
  CHECK_STATUS(muster_pool_take(pool, third), ESTALE);
  CHECK_STATUS(muster_pool_get(pool, third, &place), ESTALE);
  CHECK_STATUS(muster_pool_look_block(pool, third, &state), ESTALE);
  CHECK_EQUAL(pool_test_alloc(pool), third);
  static const muster_pool_block nothing[] = {MUSTER_POOL_NONE, 2, UINT64_MAX, UINT32_MAX};
  for (size_t k = 0; k < sizeof nothing / sizeof *nothing; k++) {
    CHECK_STATUS(muster_pool_free(pool, nothing[k]), EINVAL);
    CHECK_STATUS(muster_pool_get(pool, nothing[k], &place), EINVAL);
    CHECK_STATUS(muster_pool_give(pool, nothing[k], 1), EINVAL);
    CHECK_STATUS(muster_pool_offer(pool, nothing[k]), EINVAL);
    CHECK_STATUS(muster_pool_take(pool, nothing[k]), EINVAL);
    CHECK_STATUS(muster_pool_look_block(pool, nothing[k], &state), EINVAL);
  }
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_STATUS(muster_pool_close(other), 0);
  pool_test_end(&scene);
}

static void given(void) {
  pool_scene scene = pool_test_scene(SIZE, 3, MEMBERS);
  muster_pool *pool = pool_test_join(&scene), *other = pool_test_join(&scene);
  muster_pool_block block = pool_test_alloc(pool), kept = pool_test_alloc(pool), found;
  uint32_t me = muster_pool_member(pool), they = muster_pool_member(other), cursor = 0;
  CHECK(me != they);
  void *place;
  CHECK_STATUS(muster_pool_give(pool, block, MEMBERS), EINVAL);
  CHECK_STATUS(muster_pool_give(pool, block, they + 1), EOWNERDEAD);
  CHECK_STATUS(muster_pool_give(other, block, they), EBUSY);
  CHECK_STATUS(muster_pool_get(pool, block, &place), 0);
  CHECK_STATUS(muster_pool_give(pool, block, they), 0);
  CHECK_STATUS(muster_pool_get(pool, block, &place), EBUSY);
  CHECK_STATUS(muster_pool_give(pool, block, they + 1), EBUSY);
  CHECK_STATUS(muster_pool_get(other, block, &place), 0);
  CHECK_STATUS(muster_pool_next(pool, they, &cursor, &found), 0);
  CHECK_EQUAL(found, block);
  CHECK_STATUS(muster_pool_next(pool, they, &cursor, &found), ENOENT);
  CHECK_STATUS(muster_pool_next(pool, they, &cursor, &found), ENOENT);
  cursor = 0;
  CHECK_STATUS(muster_pool_next(other, me, &cursor, &found), 0);
  CHECK_EQUAL(found, kept);
  CHECK_STATUS(muster_pool_next(other, MEMBERS, &cursor, &found), EINVAL);
  // To oneself, and of an offer.
  CHECK_STATUS(muster_pool_give(other, block, they), 0);
  CHECK_STATUS(muster_pool_offer(other, block), 0);
  CHECK_STATUS(muster_pool_give(other, block, me), 0);
  CHECK_STATUS(muster_pool_take(other, block), EBUSY);
  CHECK_STATUS(muster_pool_free(pool, block), 0);
  CHECK_STATUS(muster_pool_close(other), 0);
  // Nobody lives there now.
  CHECK_STATUS(muster_pool_give(pool, kept, they), EOWNERDEAD);
  CHECK_STATUS(muster_pool_free(pool, kept), 0);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&scene);
}

static void offered(void) {
  pool_scene scene = pool_test_scene(SIZE, 2, MEMBERS);
  muster_pool *pool = pool_test_join(&scene), *first = pool_test_join(&scene), *second = pool_test_join(&scene);
  muster_pool_block block = pool_test_alloc(pool);
  muster_pool_block_state state;
  void *place;
  CHECK_STATUS(muster_pool_take(first, block), EBUSY);
  CHECK_STATUS(muster_pool_take(pool, block), EALREADY);
  CHECK_STATUS(muster_pool_withdraw(pool, block), EALREADY);
  CHECK_STATUS(muster_pool_offer(first, block), EBUSY);
  CHECK_STATUS(muster_pool_offer(pool, block), 0);
  CHECK_STATUS(muster_pool_offer(pool, block), EALREADY);
  CHECK_STATUS(muster_pool_get(pool, block, &place), 0);
  CHECK_STATUS(muster_pool_get(first, block, &place), EBUSY);
  CHECK_STATUS(muster_pool_free(first, block), EBUSY);
  CHECK_STATUS(muster_pool_look_block(first, block, &state), 0);
  CHECK_EQUAL(state.use, MUSTER_POOL_OFFERED);
  CHECK_EQUAL(state.member, muster_pool_member(pool));
  CHECK_EQUAL(state.alive, 1);
  CHECK_STATUS(muster_pool_withdraw(pool, block), 0);
  CHECK_STATUS(muster_pool_take(first, block), EBUSY);
  CHECK_STATUS(muster_pool_offer(pool, block), 0);
  CHECK_STATUS(muster_pool_take(first, block), 0);
  CHECK_STATUS(muster_pool_take(second, block), EBUSY);
  CHECK_STATUS(muster_pool_withdraw(pool, block), EBUSY);
  CHECK_STATUS(muster_pool_free(pool, block), EBUSY);
  CHECK_STATUS(muster_pool_get(first, block, &place), 0);
  CHECK_STATUS(muster_pool_free(first, block), 0);
  // Of one's own; freed while it is offered.
  block = pool_test_alloc(pool);
  CHECK_STATUS(muster_pool_offer(pool, block), 0);
  CHECK_STATUS(muster_pool_take(pool, block), 0);
  CHECK_STATUS(muster_pool_take(second, block), EBUSY);
  CHECK_STATUS(muster_pool_offer(pool, block), 0);
  CHECK_STATUS(muster_pool_free(pool, block), 0);
  CHECK_STATUS(muster_pool_take(second, block), ESTALE);
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_STATUS(muster_pool_close(first), 0);
  CHECK_STATUS(muster_pool_close(second), 0);
  pool_test_end(&scene);
}

static void left(void) {
  pool_scene scene = pool_test_scene(SIZE, 10, 2);
  muster_pool *pool = pool_test_attach(&scene), *other = pool_test_join(&scene), *third = pool_test_attach(&scene);
  muster_pool_block block, taken;
  uint32_t me;
  void *place;
  muster_wait_set set;
  // Who has not joined can look.
  CHECK_STATUS(muster_pool_alloc(pool, &block), EPERM);
  CHECK_STATUS(muster_pool_alloc_wait(pool, MUSTER_DEADLINE_NOW, &block), EPERM);
  CHECK_STATUS(muster_pool_poll(pool, &set), EPERM);
  CHECK_STATUS(muster_pool_free(pool, 1), EPERM);
  CHECK_STATUS(muster_pool_get(pool, 1, &place), EPERM);
  CHECK_STATUS(muster_pool_give(pool, 1, 0), EPERM);
  CHECK_STATUS(muster_pool_offer(pool, 1), EPERM);
  CHECK_STATUS(muster_pool_withdraw(pool, 1), EPERM);
  CHECK_STATUS(muster_pool_take(pool, 1), EPERM);
  CHECK_STATUS(muster_pool_leave(pool), EINVAL);
  CHECK_EQUAL(pool_test_free(pool), 10);
  CHECK_STATUS(muster_pool_join(pool, &me), 0);
  CHECK_EQUAL(me, muster_pool_member(pool));
  CHECK_STATUS(muster_pool_join(pool, &me), EALREADY);
  CHECK_STATUS(muster_pool_join(third, &me), EOVERFLOW);
  taken = pool_test_alloc(pool);
  for (int k = 0; k < 4; k++) (void)pool_test_alloc(pool);
  muster_pool_block offer = pool_test_alloc(pool);
  CHECK_STATUS(muster_pool_offer(pool, offer), 0);
  CHECK_STATUS(muster_pool_offer(pool, taken), 0);
  CHECK_STATUS(muster_pool_take(other, taken), 0);
  CHECK_STATUS(muster_pool_leave(pool), 0);
  CHECK_STATUS(muster_pool_alloc(pool, &block), EPERM);
  CHECK_EQUAL(muster_pool_member(pool), UINT32_MAX);
  CHECK_EQUAL(pool_test_free(other), 9);
  CHECK_STATUS(muster_pool_get(other, taken, &place), 0);
  CHECK_STATUS(muster_pool_take(other, offer), ESTALE);
  CHECK_STATUS(muster_pool_join(third, &me), 0);
  muster_pool_block blocks[10];
  CHECK_EQUAL(pool_test_drain(third, blocks, 10), 9);
  CHECK_STATUS(muster_pool_close(other), 0);
  CHECK_STATUS(muster_pool_close(third), 0);
  CHECK_EQUAL(pool_test_free(pool), 10);
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_STATUS(muster_pool_close(NULL), 0);
  pool_test_end(&scene);
}

static void looks(void) {
  pool_scene scene = pool_test_scene(SIZE, BLOCKS, MEMBERS);
  muster_pool *pool = pool_test_join(&scene), *other = pool_test_join(&scene), *reader;
  for (int k = 0; k < 7; k++) (void)pool_test_alloc(pool);
  for (int k = 0; k < 5; k++) CHECK_STATUS(muster_pool_offer(other, pool_test_alloc(other)), 0);
  REQUIRE(!muster_pool_attach_read_only(scene.memory, scene.size, &reader));
  muster_pool_state state;
  CHECK_STATUS(muster_pool_look(reader, &state), 0);
  CHECK_EQUAL(state.block_size, ROUNDED);
  CHECK_EQUAL(state.blocks, BLOCKS);
  CHECK_EQUAL(state.members, MEMBERS);
  CHECK_EQUAL(state.living, 2);
  CHECK_EQUAL(state.owned, 7);
  CHECK_EQUAL(state.offered, 5);
  CHECK_EQUAL(state.other, 0);
  CHECK_EQUAL(state.ended, 0);
  CHECK_EQUAL(state.free, BLOCKS - 12);
  muster_pool_owner owner;
  CHECK_STATUS(muster_pool_look_owner(reader, muster_pool_member(other), &owner), 0);
  CHECK_EQUAL(owner.state, MUSTER_MEMBER_ALIVE);
  CHECK_EQUAL(owner.blocks, 5);
  CHECK_EQUAL(owner.offered, 5);
  CHECK(owner.pid > 0);
  CHECK_STATUS(muster_pool_look_owner(reader, 5, &owner), 0);
  CHECK_EQUAL(owner.state, MUSTER_MEMBER_FREE);
  CHECK_EQUAL(owner.blocks, 0);
  CHECK_STATUS(muster_pool_look_owner(reader, MEMBERS, &owner), EINVAL);
  muster_pool_owner owners[MEMBERS + 1];
  CHECK_STATUS(muster_pool_look_owners(reader, owners, MEMBERS + 1), EINVAL);
  CHECK_STATUS(muster_pool_look_owners(reader, owners, MEMBERS), 0);
  for (uint32_t k = 0; k < MEMBERS; k++) {
    CHECK_STATUS(muster_pool_look_owner(reader, k, &owner), 0);
    CHECK(owners[k].state == owner.state && owners[k].pid == owner.pid && owners[k].blocks == owner.blocks &&
          owners[k].offered == owner.offered);
  }
  muster_pool_block block;
  uint32_t place, count = 7;
  CHECK_STATUS(muster_pool_join(reader, &place), EACCES);
  CHECK_STATUS(muster_pool_alloc(reader, &block), EPERM);
  CHECK_STATUS(muster_pool_reclaim(reader, &count), EACCES);
  CHECK_EQUAL(count, 0);
  CHECK_STATUS(muster_pool_reclaim(pool, &count), 0);
  CHECK_EQUAL(count, 0);
  CHECK(!muster_pool_region(pool));
  CHECK_EQUAL(muster_group_capacity(muster_pool_group(pool)), MEMBERS);
  CHECK_STATUS(muster_pool_close(reader), 0);
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_STATUS(muster_pool_close(other), 0);
  pool_test_end(&scene);
}

static void by_name(void) {
  const char *name = test_name("pool");
  muster_mismatch mismatch = {0};
  muster_pool *pool, *other, *reader;
  unsigned before = count_descriptors();
  muster_pool_options options = {.block_size = SIZE, .blocks = BLOCKS, .members = MEMBERS, .mismatch = &mismatch, .layout = 7};
  CHECK_STATUS(muster_pool_open(name, &(muster_pool_options){.block_size = SIZE, .blocks = BLOCKS}, &pool), EINVAL);
  CHECK_STATUS(muster_pool_open(name, &(muster_pool_options){.block_size = 5, .flags = MUSTER_REGION_ATTACH}, &pool), EINVAL);
  CHECK_STATUS(muster_pool_open(name, &(muster_pool_options){.flags = MUSTER_REGION_ATTACH}, &pool), ENOENT);
  CHECK(!pool);
  CHECK_STATUS(muster_pool_open(name, &options, &pool), 0);
  CHECK_STATUS(muster_pool_open(name, &options, &other), 0);
  CHECK_STATUS(muster_pool_join(pool, NULL), 0);
  CHECK_STATUS(muster_pool_join(other, NULL), 0);
  muster_pool_block block = pool_test_alloc(pool);
  void *here, *there;
  CHECK_STATUS(muster_pool_get(pool, block, &here), 0);
  memcpy(here, "a message", 10);
  CHECK_STATUS(muster_pool_give(pool, block, muster_pool_member(other)), 0);
  CHECK_STATUS(muster_pool_get(other, block, &there), 0);
  CHECK(here != there && !memcmp(there, "a message", 10));
  CHECK_STATUS(muster_pool_open(name, &(muster_pool_options){.flags = MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY}, &reader), 0);
  CHECK_EQUAL(pool_test_free(reader), BLOCKS - 1);
  CHECK_EQUAL(muster_pool_block_size(reader), ROUNDED);
  CHECK(muster_pool_region(reader) != NULL);
  CHECK_STATUS(muster_pool_join(reader, NULL), EACCES);
  CHECK_STATUS(muster_pool_close(reader), 0);
  // Another number of blocks, of members in as many bytes, another meaning.
  muster_pool_options unlike = options;
  unlike.blocks++;
  CHECK_STATUS(muster_pool_open(name, &unlike, &reader), EPROTO);
  unlike = (muster_pool_options){.blocks = BLOCKS + 1, .flags = MUSTER_REGION_ATTACH, .mismatch = &mismatch};
  CHECK_STATUS(muster_pool_open(name, &unlike, &reader), EPROTO);
  CHECK_EQUAL(mismatch.kind, MUSTER_MISMATCH_LAYOUT);
  CHECK_EQUAL(mismatch.expected, BLOCKS + 1);
  CHECK_EQUAL(mismatch.found, BLOCKS);
  unlike = options;
  unlike.layout = 8;
  CHECK_STATUS(muster_pool_open(name, &unlike, &reader), EPROTO);
  CHECK(!reader);
  // A name that leads to something else.
  muster_group *group;
  CHECK_STATUS(muster_group_open(name, &(muster_group_options){.capacity = 4}, &group), EPROTO);
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_STATUS(muster_pool_close(other), 0);
  // All have left: what the next ones find is a pool of free blocks, whose old names mean nothing.
  CHECK_STATUS(muster_pool_open(name, &options, &pool), 0);
  CHECK_STATUS(muster_pool_join(pool, NULL), 0);
  CHECK_EQUAL(pool_test_free(pool), BLOCKS);
  CHECK_STATUS(muster_pool_get(pool, block, &here), ESTALE);
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  CHECK_EQUAL(count_descriptors(), before);
}

TEST_SUITE(pool, {"sizes", sizes, 0}, {"all_blocks", all_blocks, 0}, {"names_of_earlier_lives", names_of_earlier_lives, 0},
           {"given", given, 0}, {"offered", offered, 0}, {"left", left, 0}, {"looks", looks, 0}, {"by_name", by_name, 0});
