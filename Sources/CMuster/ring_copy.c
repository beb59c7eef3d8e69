// Copying a large record into the ring, past the caches.
//
// The lines of a ring that is written lap after lap lie in the reader's cache, which read them in the lap before. An ordinary store
// has to take each of them away from there first, and a processor keeps few of these requests under way: 64 KiB took 5 to 40 us,
// by how far the two processors are from each other, where a copy within one takes 2. Stores that go past the caches ask nobody for the
// line: 2.7 us, wherever the two are. The reader then finds the record in memory, which it reads ahead of itself.
//
// Such stores are ordered with others by a fence alone. It stands at the end, so for whoever commits they are like any other.
// What they must not pass, the look at the readers' positions and the store of `reserve`, is behind a fence when a claim
// returns, or was loaded before it did.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "internal/ring.h"

#if defined(__x86_64__)
#include <emmintrin.h>

// From where on it pays: at 2 KiB both took as long, at 4 KiB this took half.
enum { STREAMS_FROM = 8192, STREAM_LINE = 64 };

static void stream_line(unsigned char *to, const unsigned char *from) MUSTER_NONBLOCKING {
  __m128i *place = (__m128i *)(void *)to;
  const __m128i *bytes = (const __m128i *)(const void *)from;
  __m128i a = _mm_loadu_si128(bytes), b = _mm_loadu_si128(bytes + 1);
  __m128i c = _mm_loadu_si128(bytes + 2), d = _mm_loadu_si128(bytes + 3);
  _mm_stream_si128(place, a);
  _mm_stream_si128(place + 1, b);
  _mm_stream_si128(place + 2, c);
  _mm_stream_si128(place + 3, d);
}

MUSTER_NONBLOCKING void muster_ring_copy(void *place, const void *bytes, size_t size) {
  unsigned char *to = place;
  const unsigned char *from = bytes;
  if (size >= STREAMS_FROM) {
    // Whole lines only: half of one would be merged in memory.
    size_t before = -(uintptr_t)to % STREAM_LINE;
    memcpy(to, from, before);
    to += before, from += before, size -= before;
    for (; size >= STREAM_LINE; to += STREAM_LINE, from += STREAM_LINE, size -= STREAM_LINE) stream_line(to, from);
    _mm_sfence();
  }
  memcpy(to, from, size);
}
#else
MUSTER_NONBLOCKING void muster_ring_copy(void *place, const void *bytes, size_t size) { memcpy(place, bytes, size); }
#endif
