// SPDX-License-Identifier: Apache-2.0
#include "checkpoint_support.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../../Sources/CMuster/internal/crc32c.h"
#include "test.h"

enum { LONGEST = 1 << 16 };

checkpoint_place checkpoint_test_place(uint64_t capacity, uint32_t history, uint32_t writers) {
  checkpoint_place place = {.shape = {.capacity = capacity, .history = history, .writers = writers}};
  place.size = muster_checkpoint_size(&place.shape);
  REQUIRE(place.size > 0);
  place.memory = mmap(NULL, place.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(place.memory != MAP_FAILED);
  REQUIRE(!muster_checkpoint_init(place.memory, place.size, &place.shape));
  return place;
}

muster_checkpoint *checkpoint_test_attach(const checkpoint_place *place) {
  muster_checkpoint *checkpoint;
  REQUIRE(!muster_checkpoint_attach(place->memory, place->size, &checkpoint));
  return checkpoint;
}

muster_checkpoint *checkpoint_test_reader(const checkpoint_place *place) {
  muster_checkpoint *checkpoint;
  REQUIRE(!muster_checkpoint_attach_read_only(place->memory, place->size, &checkpoint));
  return checkpoint;
}

void checkpoint_test_free(checkpoint_place *place) { munmap(place->memory, place->size); }

void checkpoint_test_state(void *bytes, size_t length, uint64_t number) {
  unsigned char *to = bytes;
  uint64_t state = number;
  for (size_t at = 0; at < length; at += sizeof number) {
    uint64_t word = at ? test_random(&state) : number;
    memcpy(to + at, &word, length - at < sizeof word ? length - at : sizeof word);
  }
}

int checkpoint_test_is_state(const void *bytes, size_t length, uint64_t *number) {
  static unsigned char expected[LONGEST];
  REQUIRE(length >= sizeof *number && length <= LONGEST);
  memcpy(number, bytes, sizeof *number);
  checkpoint_test_state(expected, length, *number);
  return !memcmp(bytes, expected, length);
}

int checkpoint_test_save(muster_checkpoint *checkpoint, size_t length, uint64_t sequence) {
  static unsigned char bytes[LONGEST];
  uint64_t got = 0;
  checkpoint_test_state(bytes, length, sequence);
  int status = muster_checkpoint_save(checkpoint, bytes, length, &got);
  if (!status) CHECK_EQUAL(got, sequence);
  return status;
}

uint64_t checkpoint_test_newest(const muster_checkpoint *checkpoint) {
  static unsigned char bytes[LONGEST];
  muster_checkpoint_info info;
  uint64_t number;
  int status = muster_checkpoint_read(checkpoint, bytes, sizeof bytes, &info);
  if (status == ENODATA) return 0;
  CHECK_STATUS(status, 0);
  if (status) return UINT64_MAX;
  CHECK(checkpoint_test_is_state(bytes, info.length, &number));
  CHECK_EQUAL(number, info.restored ? info.restored : info.sequence);
  CHECK_EQUAL(info.checksum, muster_crc32c(0, bytes, info.length));
  return info.sequence;
}
