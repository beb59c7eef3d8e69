// CRC-32C against published vectors, in all its ways.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "../../Sources/CMuster/internal/crc32c.h"
#include "test.h"

// By definition: a bit at a time.
static uint32_t by_bits(const unsigned char *bytes, size_t size) {
  uint32_t crc = UINT32_MAX;
  for (size_t i = 0; i < size; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc;
}

static void check_vectors(void) {
  unsigned char bytes[48];
  memset(bytes, 0, sizeof bytes);
  CHECK_EQUAL(muster_crc32c(0, bytes, 32), 0x8a9136aa);
  memset(bytes, 0xff, sizeof bytes);
  CHECK_EQUAL(muster_crc32c(0, bytes, 32), 0x62a8ab43);
  for (unsigned char i = 0; i < 32; i++) bytes[i] = i;
  CHECK_EQUAL(muster_crc32c(0, bytes, 32), 0x46dd794e);
  for (unsigned char i = 0; i < 32; i++) bytes[i] = 31 - i;
  CHECK_EQUAL(muster_crc32c(0, bytes, 32), 0x113fdb5c);
  static const unsigned char read_command[48] = {0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14,
                                                 [31] = 0x18, [32] = 0x28, [40] = 0x02};
  CHECK_EQUAL(muster_crc32c(0, read_command, 48), 0xd9963a56);
  CHECK_EQUAL(muster_crc32c(0, "123456789", 9), 0xe3069283);
  CHECK_EQUAL(muster_crc32c(0, NULL, 0), 0);
}

// RFC 3720, B.4, and the check value of the catalogues of checksums.
static void published_vectors(void) {
  printf("%s\n", muster_crc32c_prepare(0) ? "by the processor's instruction" : "by the table");
  check_vectors();
  CHECK_EQUAL(muster_crc32c_prepare(1), 0);
  check_vectors();
}

// Each length and alignment, whole and in two parts, copying and not.
static void check_ways(uint64_t *random) {
  _Alignas(8) unsigned char words[2][304];
  unsigned char bytes[320], copy[320];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)test_random(random);
  for (size_t size = 0; size <= 296; size++) {
    const unsigned char *from = bytes + size % 9;
    uint32_t sum = by_bits(from, size);
    size_t half = size ? test_random(random) % size : 0;
    CHECK_EQUAL(muster_crc32c(0, from, size), sum);
    CHECK_EQUAL(muster_crc32c(muster_crc32c(0, from, half), from + half, size - half), sum);
    memset(words, 0xee, sizeof words);
    CHECK_EQUAL(muster_crc32c_put(0, words[0], from, size), sum);
    CHECK(!memcmp(words[0], from, size) && words[0][(size + 7) / 8 * 8] == 0xee);
    CHECK_EQUAL(muster_crc32c_look(0, words[0], size), sum);
    CHECK_EQUAL(muster_crc32c_move(0, words[1], words[0], size), sum);
    CHECK(!memcmp(words[1], from, size) && words[1][(size + 7) / 8 * 8] == 0xee);
    memset(copy, 0x11, sizeof copy);
    CHECK_EQUAL(muster_crc32c_get(0, copy + 3, words[1], size), sum);
    CHECK(!memcmp(copy + 3, from, size) && copy[2] == 0x11 && copy[3 + size] == 0x11);
  }
}

static void all_ways_agree(void) {
  uint64_t random = test_seed();
  muster_crc32c_prepare(0);
  check_ways(&random);
  muster_crc32c_prepare(1);
  check_ways(&random);
}

TEST_SUITE(crc32c, {"published_vectors", published_vectors, 0}, {"all_ways_agree", all_ways_agree, 0});
