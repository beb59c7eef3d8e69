// What the tests of the arena share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_ARENA_SUPPORT_H
#define MUSTER_ARENA_SUPPORT_H

#include "muster/arena.h"

// An arena in a file without a name, mapped between two pages that may not be touched; forked children have it too.
typedef struct arena_place {
  unsigned char *memory;
  muster_arena_layout layout;
  muster_arena arena;  // a handle that may change it
  int file;            // whose offset 0 is the arena's beginning
} arena_place;

arena_place arena_test_place(const muster_arena_shape *shape);
void arena_test_free(arena_place *place);

// The state number n: each 8 bytes of it another function of n and the place; 0 is all zeros. And whether these bytes, from
// `offset` of a state on, are of one state, and of which.
void arena_test_state(void *bytes, uint64_t offset, uint64_t size, uint64_t number);
int arena_test_is_state(const void *bytes, uint64_t offset, uint64_t size, uint64_t *number);

// Changes the whole state to that of the number, word by word.
void arena_test_change(const muster_arena *arena, uint64_t number);

// The number of the state as a read copies it; fails if it is of no one state.
uint64_t arena_test_read(const muster_arena *arena);

// What the shared memory of an arena holds at an offset.
uint64_t *arena_test_word(const arena_place *place, uint64_t offset);

#endif
