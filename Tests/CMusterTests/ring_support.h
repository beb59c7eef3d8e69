// What the tests of the ring share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_RING_SUPPORT_H
#define MUSTER_RING_SUPPORT_H

#include "muster/ring.h"

// A ring laid into anonymous shared memory, which forked children inherit.
typedef struct ring_scene {
  void *memory;
  size_t size;
  muster_ring_mode mode;
} ring_scene;

ring_scene ring_test_scene(uint32_t bytes, muster_ring_mode mode);
void ring_test_end(const ring_scene *scene);

muster_ring *ring_test_attach(const ring_scene *scene);
muster_ring *ring_test_writer(const ring_scene *scene);
muster_ring *ring_test_reader(const ring_scene *scene, muster_ring_from from);

// Record `number`: its size and each of its bytes follow from that.
uint32_t ring_test_size(uint64_t number, uint32_t most);
int ring_test_write(muster_ring *ring, uint64_t number, uint32_t most, muster_deadline deadline);
int ring_test_is_record(const void *bytes, uint32_t size, uint64_t number, uint32_t most);

// The next record, which has to be there and has to be `number`; released.
void ring_test_expect(muster_ring *ring, uint64_t number, uint32_t most);

#endif
