// What the tests of the pool share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_POOL_SUPPORT_H
#define MUSTER_POOL_SUPPORT_H

#include "muster/pool.h"

// A pool laid into anonymous shared memory, which forked children inherit.
typedef struct pool_scene {
  void *memory;
  size_t size;
} pool_scene;

pool_scene pool_test_scene(uint32_t block_size, uint32_t blocks, uint32_t members);
void pool_test_end(const pool_scene *scene);

muster_pool *pool_test_attach(const pool_scene *scene);
muster_pool *pool_test_join(const pool_scene *scene);

// Allocates one, which has to be there.
muster_pool_block pool_test_alloc(muster_pool *pool);

// How many blocks are free, as a look tells; how many of the living and of the dead are not.
uint32_t pool_test_free(const muster_pool *pool);

// Allocates until there is none left. Each has to be another; how many there were.
uint32_t pool_test_drain(muster_pool *pool, muster_pool_block *blocks, uint32_t most);

#endif
