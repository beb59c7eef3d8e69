// SPDX-License-Identifier: Apache-2.0
#include "ring_support.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "test.h"

ring_scene ring_test_scene(uint32_t bytes, muster_ring_mode mode) {
  ring_scene scene = {.size = muster_ring_size(bytes), .mode = mode};
  scene.memory = mmap(NULL, scene.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(scene.memory != MAP_FAILED);
  // What was there before is no record.
  memset(scene.memory, 0xab, scene.size);
  REQUIRE(!muster_ring_init(scene.memory, scene.size, bytes, mode));
  return scene;
}

void ring_test_end(const ring_scene *scene) { munmap(scene->memory, scene->size); }

muster_ring *ring_test_attach(const ring_scene *scene) {
  muster_ring *ring;
  REQUIRE(!muster_ring_attach(scene->memory, scene->size, &ring));
  return ring;
}

muster_ring *ring_test_writer(const ring_scene *scene) {
  muster_ring *ring = ring_test_attach(scene);
  REQUIRE(!muster_ring_start_writing(ring, NULL));
  return ring;
}

muster_ring *ring_test_reader(const ring_scene *scene, muster_ring_from from) {
  muster_ring *ring = ring_test_attach(scene);
  REQUIRE(!muster_ring_start_reading(ring, from, NULL));
  return ring;
}

uint32_t ring_test_size(uint64_t number, uint32_t most) {
  return (uint32_t)((number * UINT64_C(0x9e3779b97f4a7c15) >> 33) % (most + 1));
}

static unsigned char byte_of(uint64_t number, uint32_t index) {
  return (unsigned char)((number + 1) * 31 + index * 7 + (number >> 8));
}

int ring_test_write(muster_ring *ring, uint64_t number, uint32_t most, muster_deadline deadline) {
  static unsigned char bytes[1 << 16];
  uint32_t size = ring_test_size(number, most);
  REQUIRE(size <= sizeof bytes);
  for (uint32_t i = 0; i < size; i++) bytes[i] = byte_of(number, i);
  return muster_ring_write(ring, bytes, size, deadline);
}

int ring_test_is_record(const void *bytes, uint32_t size, uint64_t number, uint32_t most) {
  if (size != ring_test_size(number, most)) return 0;
  for (uint32_t i = 0; i < size; i++)
    if (((const unsigned char *)bytes)[i] != byte_of(number, i)) return 0;
  return 1;
}

void ring_test_expect(muster_ring *ring, uint64_t number, uint32_t most) {
  muster_ring_record record;
  int status = muster_ring_next(ring, &record);
  CHECK_STATUS(status, 0);
  REQUIRE(!status);
  CHECK_EQUAL(record.number, number);
  CHECK_EQUAL(record.lost, 0);
  CHECK((uintptr_t)record.bytes % 8 == 0);
  REQUIRE(ring_test_is_record(record.bytes, record.size, number, most));
  CHECK_STATUS(muster_ring_release(ring), 0);
}
