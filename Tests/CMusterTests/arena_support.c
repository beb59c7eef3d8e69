// SPDX-License-Identifier: Apache-2.0
#include "arena_support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

arena_place arena_test_place(const muster_arena_shape *shape) {
  arena_place place;
  REQUIRE(!muster_arena_layout_of(shape, &place.layout));
  size_t size = (size_t)place.layout.size, page = (size_t)place.layout.page;
  place.file = (int)syscall(SYS_memfd_create, "muster-test", 1u);
  REQUIRE(place.file >= 0 && !ftruncate(place.file, (off_t)size));
  // Room enough that the state can begin at its best.
  size_t alignment = (size_t)place.layout.alignment, room = size + 2 * page + alignment;
  unsigned char *reserved = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(reserved != MAP_FAILED);
  uintptr_t state = (uintptr_t)reserved + page + place.layout.state_offset;
  place.memory = reserved + page + (-state & (alignment - 1));
  REQUIRE(mmap(place.memory, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, place.file, 0) == place.memory);
  REQUIRE(!muster_arena_init(place.memory, size, shape));
  REQUIRE(!muster_arena_attach(place.memory, size, &place.arena));
  return place;
}

void arena_test_free(arena_place *place) {
  munmap(place->memory, (size_t)place->layout.size);
  close(place->file);
}

static uint64_t word_at(uint64_t index, uint64_t number) { return number ? number * (2 * index + 1) + index : 0; }

void arena_test_state(void *bytes, uint64_t offset, uint64_t size, uint64_t number) {
  unsigned char *to = bytes;
  for (uint64_t i = 0; i < size; i++) {
    uint64_t word = word_at((offset + i) / 8, number);
    to[i] = ((unsigned char *)&word)[(offset + i) % 8];
  }
}

// The first whole word tells which state it would be.
int arena_test_is_state(const void *bytes, uint64_t offset, uint64_t size, uint64_t *number) {
  const unsigned char *from = bytes;
  uint64_t first = (8 - offset % 8) % 8, word, index = (offset + first) / 8;
  REQUIRE(first + 8 <= size);
  memcpy(&word, from + first, 8);
  *number = word ? (word - index) / (2 * index + 1) : 0;
  for (uint64_t i = 0; i < size;) {
    uint64_t expected = word_at((offset + i) / 8, *number), at = (offset + i) % 8;
    uint64_t length = 8 - at < size - i ? 8 - at : size - i;
    if (memcmp(from + i, (unsigned char *)&expected + at, length) != 0) return 0;
    i += length;
  }
  return 1;
}

void arena_test_change(const muster_arena *arena, uint64_t number) {
  unsigned char piece[512];
  REQUIRE(!muster_arena_change_begin(arena));
  for (uint64_t at = 0; at < arena->size; at += sizeof piece) {
    uint64_t size = arena->size - at < sizeof piece ? arena->size - at : sizeof piece;
    arena_test_state(piece, at, size, number);
    REQUIRE(!muster_arena_write(arena, at, piece, size));
  }
  REQUIRE(!muster_arena_change_end(arena));
}

uint64_t arena_test_read(const muster_arena *arena) {
  unsigned char *bytes = malloc((size_t)arena->size);
  uint64_t number = 0;
  REQUIRE(bytes);
  CHECK_STATUS(muster_arena_read(arena, 0, bytes, arena->size, NULL), 0);
  CHECK(arena_test_is_state(bytes, 0, arena->size, &number));
  free(bytes);
  return number;
}

uint64_t *arena_test_word(const arena_place *place, uint64_t offset) {
  return (uint64_t *)(void *)(place->memory + offset);
}
