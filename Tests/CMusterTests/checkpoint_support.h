// What the tests of the checkpoint share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_CHECKPOINT_SUPPORT_H
#define MUSTER_CHECKPOINT_SUPPORT_H

#include "muster/checkpoint.h"

// A checkpoint laid into anonymous shared memory, which forked children inherit.
typedef struct checkpoint_place {
  void *memory;
  size_t size;
  muster_checkpoint_shape shape;
} checkpoint_place;

checkpoint_place checkpoint_test_place(uint64_t capacity, uint32_t history, uint32_t writers);
muster_checkpoint *checkpoint_test_attach(const checkpoint_place *place);
muster_checkpoint *checkpoint_test_reader(const checkpoint_place *place);
void checkpoint_test_free(checkpoint_place *place);

// The state that goes with a number: `length` bytes, each a function of the number and its place, the number first. And
// whether these bytes are such a state; *number is its number.
void checkpoint_test_state(void *bytes, size_t length, uint64_t number);
int checkpoint_test_is_state(const void *bytes, size_t length, uint64_t *number);

// Saves the state of the next sequence as that sequence's, and checks that it got it.
int checkpoint_test_save(muster_checkpoint *checkpoint, size_t length, uint64_t sequence);

// Reads the newest, checks that it is the state of its sequence, and gives that; 0: none.
uint64_t checkpoint_test_newest(const muster_checkpoint *checkpoint);

#endif
