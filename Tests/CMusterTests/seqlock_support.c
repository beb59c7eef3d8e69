// SPDX-License-Identifier: Apache-2.0
#include "seqlock_support.h"

#include <sys/mman.h>

#include "test.h"

void *seqlock_test_memory(uint32_t words, muster_seqlock **counters) {
  size_t size = muster_seqlock_size(words);
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  REQUIRE(!muster_seqlock_init(memory, size, words));
  if (counters) REQUIRE(!muster_seqlock_attach(memory, size, counters));
  return memory;
}

static uint64_t word_of(uint32_t index, uint64_t number) { return number * (2 * index + 3) + index; }

void seqlock_test_value(uint64_t *words, uint32_t count, uint64_t number) {
  for (uint32_t i = 0; i < count; i++) words[i] = word_of(i, number);
}

int seqlock_test_is_value(const uint64_t *words, uint32_t count, uint64_t number) {
  for (uint32_t i = 0; i < count; i++)
    if (words[i] != (number ? word_of(i, number) : 0)) return 0;
  return 1;
}
