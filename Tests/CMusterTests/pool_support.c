// SPDX-License-Identifier: Apache-2.0
#include "pool_support.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "test.h"

pool_scene pool_test_scene(uint32_t block_size, uint32_t blocks, uint32_t members) {
  pool_scene scene = {.size = muster_pool_size(block_size, blocks, members)};
  REQUIRE(scene.size);
  scene.memory = mmap(NULL, scene.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(scene.memory != MAP_FAILED);
  // What was there before is no pool.
  memset(scene.memory, 0xab, scene.size);
  REQUIRE(!muster_pool_init(scene.memory, scene.size, block_size, blocks, members));
  return scene;
}

void pool_test_end(const pool_scene *scene) { munmap(scene->memory, scene->size); }

muster_pool *pool_test_attach(const pool_scene *scene) {
  muster_pool *pool;
  REQUIRE(!muster_pool_attach(scene->memory, scene->size, &pool));
  return pool;
}

muster_pool *pool_test_join(const pool_scene *scene) {
  muster_pool *pool = pool_test_attach(scene);
  REQUIRE(!muster_pool_join(pool, NULL));
  return pool;
}

muster_pool_block pool_test_alloc(muster_pool *pool) {
  muster_pool_block block;
  REQUIRE(!muster_pool_alloc(pool, &block));
  REQUIRE(block != MUSTER_POOL_NONE);
  return block;
}

uint32_t pool_test_free(const muster_pool *pool) {
  muster_pool_state state;
  REQUIRE(!muster_pool_look(pool, &state));
  REQUIRE(state.free + state.owned + state.offered + state.other == state.blocks);
  return state.free;
}

uint32_t pool_test_drain(muster_pool *pool, muster_pool_block *blocks, uint32_t most) {
  muster_pool_block block;
  int status;
  for (uint32_t count = 0;; count++) {
    status = muster_pool_alloc(pool, &block);
    if (status) {
      CHECK_STATUS(status, ENOSPC);
      CHECK(block == MUSTER_POOL_NONE);
      return count;
    }
    REQUIRE(count < most);
    blocks[count] = block;
    for (uint32_t k = 0; k < count; k++) REQUIRE((uint32_t)blocks[k] != (uint32_t)block);
  }
}
