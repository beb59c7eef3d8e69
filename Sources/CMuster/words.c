// SPDX-License-Identifier: Apache-2.0
#include "internal/words.h"

#include <string.h>

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#include <cpuid.h>
#define WIDE
#endif

// A word of shared memory, whatever the program keeps there.
typedef uint64_t __attribute__((may_alias)) shared_word;

enum { WORD = sizeof(shared_word), BLOCK = 64 };

#define INLINE static inline __attribute__((always_inline))

INLINE uint64_t load(const unsigned char *shared) MUSTER_NONBLOCKING {
  return __atomic_load_n((const shared_word *)(const void *)shared, __ATOMIC_RELAXED);
}

INLINE void store(unsigned char *shared, uint64_t word) MUSTER_NONBLOCKING {
  __atomic_store_n((shared_word *)(void *)shared, word, __ATOMIC_RELAXED);
}

// 64 bytes, of which the shared side is 8-aligned. A compiler keeps relaxed words apart, which takes two to three times as long as
// memcpy in the first cache. The instruction is the processor's, which does with 16 bytes what it does with two words; what a
// program may assume of it is said by the constraints. A sanitizer has to see the words.
#if defined(WIDE)
typedef long long two_words __attribute__((vector_size(16), may_alias, aligned(1)));

INLINE two_words load_two(const unsigned char *from) MUSTER_NONBLOCKING {
  two_words words;
  __asm__ __volatile__("movdqu %1, %0" : "=x"(words) : "m"(*(const two_words *)(const void *)from));
  return words;
}

INLINE void store_two(unsigned char *to, two_words words) MUSTER_NONBLOCKING {
  __asm__ __volatile__("movdqu %1, %0" : "=m"(*(two_words *)(void *)to) : "x"(words));
}

INLINE void block(unsigned char *to, const unsigned char *from) MUSTER_NONBLOCKING {
  two_words a = load_two(from), b = load_two(from + 16), c = load_two(from + 32), d = load_two(from + 48);
  store_two(to, a);
  store_two(to + 16, b);
  store_two(to + 32, c);
  store_two(to + 48, d);
}

#define get_block block
#define put_block block
#else
INLINE void get_block(unsigned char *to, const unsigned char *shared) MUSTER_NONBLOCKING {
  MUSTER_UNROLL_8
  for (int i = 0; i < BLOCK; i += WORD) {
    uint64_t word = load(shared + i);
    memcpy(to + i, &word, WORD);
  }
}

INLINE void put_block(unsigned char *shared, const unsigned char *from) MUSTER_NONBLOCKING {
  MUSTER_UNROLL_8
  for (int i = 0; i < BLOCK; i += WORD) {
    uint64_t word;
    memcpy(&word, from + i, WORD);
    store(shared + i, word);
  }
}
#endif

// A part of one word: `size` bytes from `shared` on, which all lie in it.
INLINE void get_part(unsigned char *to, const unsigned char *shared, size_t size) MUSTER_NONBLOCKING {
  size_t before = (uintptr_t)shared % WORD;
  uint64_t word = load(shared - before);
  memcpy(to, (unsigned char *)&word + before, size);
}

INLINE void put_part(unsigned char *shared, const unsigned char *from, size_t size) MUSTER_NONBLOCKING {
  size_t before = (uintptr_t)shared % WORD;
  uint64_t word = load(shared - before);
  memcpy((unsigned char *)&word + before, from, size);
  store(shared - before, word);
}

INLINE size_t first_part(const unsigned char *shared, size_t size) MUSTER_NONBLOCKING {
  size_t part = -(uintptr_t)shared % WORD;
  return part < size ? part : size;
}

// ---- 128 bytes by loads of 32, where there are such: 4 KiB take half the time that they take by 16, which is that of memcpy.

#if defined(WIDE)
typedef long long four_words __attribute__((vector_size(32), may_alias, aligned(1)));

// 1: the processor has AVX, and the kernel saves its registers.
static int has_avx;

void muster_words_prepare(void) {
  unsigned a, b, c = 0, d, low = 0, high;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_AVX) || !(c & bit_OSXSAVE)) return;
  __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  int found = (low & 6) == 6;
  if (found != __atomic_load_n(&has_avx, __ATOMIC_RELAXED)) __atomic_store_n(&has_avx, found, __ATOMIC_RELAXED);
}

#define AVX __attribute__((target("avx")))

AVX INLINE four_words load_four(const unsigned char *from) MUSTER_NONBLOCKING {
  four_words words;
  __asm__ __volatile__("vmovdqu %1, %0" : "=x"(words) : "m"(*(const four_words *)(const void *)from));
  return words;
}

AVX INLINE void store_four(unsigned char *to, four_words words) MUSTER_NONBLOCKING {
  __asm__ __volatile__("vmovdqu %1, %0" : "=m"(*(four_words *)(void *)to) : "x"(words));
}

AVX static void get_wide_blocks(unsigned char *to, const unsigned char *shared, size_t size) MUSTER_NONBLOCKING {
  for (size_t i = 0; i < size; i += 2 * BLOCK) {
    four_words a = load_four(shared + i), b = load_four(shared + i + 32);
    four_words c = load_four(shared + i + 64), d = load_four(shared + i + 96);
    store_four(to + i, a);
    store_four(to + i + 32, b);
    store_four(to + i + 64, c);
    store_four(to + i + 96, d);
  }
  __asm__ __volatile__("vzeroupper");
}

// How many of the bytes it has copied.
INLINE size_t get_wide(unsigned char *to, const unsigned char *shared, size_t size) MUSTER_NONBLOCKING {
  size -= size % (2 * BLOCK);
  if (!size || !__atomic_load_n(&has_avx, __ATOMIC_RELAXED)) return 0;
  get_wide_blocks(to, shared, size);
  return size;
}
#else
void muster_words_prepare(void) {}

INLINE size_t get_wide(unsigned char *to, const unsigned char *shared, size_t size) MUSTER_NONBLOCKING {
  return (void)to, (void)shared, (void)size, (size_t)0;
}
#endif

// ---- Any size

MUSTER_NONBLOCKING void muster_words_get(void *private_bytes, const void *shared_bytes, size_t size) {
  unsigned char *to = private_bytes;
  const unsigned char *shared = shared_bytes;
  size_t part = first_part(shared, size);
  if (part) get_part(to, shared, part);
  to += part, shared += part, size -= part;
  size_t wide = get_wide(to, shared, size);
  to += wide, shared += wide, size -= wide;
  for (; size >= BLOCK; to += BLOCK, shared += BLOCK, size -= BLOCK) get_block(to, shared);
  for (; size >= WORD; to += WORD, shared += WORD, size -= WORD) get_part(to, shared, WORD);
  if (size) get_part(to, shared, size);
}

MUSTER_NONBLOCKING void muster_words_put(void *shared_bytes, const void *private_bytes, size_t size) {
  unsigned char *shared = shared_bytes;
  const unsigned char *from = private_bytes;
  size_t part = first_part(shared, size);
  if (part) put_part(shared, from, part);
  shared += part, from += part, size -= part;
  for (; size >= BLOCK; shared += BLOCK, from += BLOCK, size -= BLOCK) put_block(shared, from);
  for (; size >= WORD; shared += WORD, from += WORD, size -= WORD) put_part(shared, from, WORD);
  if (size) put_part(shared, from, size);
}

MUSTER_NONBLOCKING void muster_words_zero(void *shared_bytes, size_t size) {
  unsigned char *shared = shared_bytes;
  MUSTER_UNROLL_8
  for (size_t i = 0; i < size; i += WORD) store(shared + i, 0);
}
