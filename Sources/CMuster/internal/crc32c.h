// CRC-32C (Castagnoli), the checksum of iSCSI (RFC 3720, 12.1), ext4 and Btrfs: by the processor's own instruction where
// it has one (SSE 4.2; ARMv8 with CRC), by a table elsewhere. All ways give the same numbers.
//
// Which way is decided by muster_crc32c_prepare, once a process; no constructor does it. Before that, and where there is
// no instruction, the table serves: whoever forgot to prepare gets the right number slowly.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_CRC32C_H
#define MUSTER_INTERNAL_CRC32C_H

#include "muster/attributes.h"

// Asks the processor. Returns 1 where it has the instruction. `table`: the table from here on all the same, for tests.
int muster_crc32c_prepare(int table);

// The checksum of what `crc` is the checksum of (0: of nothing), followed by `size` bytes.
uint32_t muster_crc32c(uint32_t crc, const void *bytes, size_t size) MUSTER_NONBLOCKING;

// The same while copying between private memory and shared words that others may read or write at the same time: these
// are 8-aligned, and loaded and stored whole, relaxed. There is room for whole words; `put` fills the last up with zeros.
uint32_t muster_crc32c_get(uint32_t crc, void *to, const void *words, size_t size) MUSTER_NONBLOCKING;
uint32_t muster_crc32c_put(uint32_t crc, void *words, const void *from, size_t size) MUSTER_NONBLOCKING;

// The same of shared words that stay where they are, and from some to others.
uint32_t muster_crc32c_look(uint32_t crc, const void *words, size_t size) MUSTER_NONBLOCKING;
uint32_t muster_crc32c_move(uint32_t crc, void *to, const void *words, size_t size) MUSTER_NONBLOCKING;

#endif
