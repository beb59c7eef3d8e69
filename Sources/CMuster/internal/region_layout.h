// The header of a region, format 1: the first 256 bytes, before the payload.
//
// Written by the creator before the region has a name, and from then on only by a process that holds the region
// exclusively (renewal of a file after a restart of the machine: `boot`). So it is constant for whoever holds the
// region, and its writer's death is either before the name exists or repaired by the next renewal, which writes the
// same again. SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_REGION_LAYOUT_H
#define MUSTER_INTERNAL_REGION_LAYOUT_H

#include <stdint.h>

#include "muster/region.h"

#define REGION_MAGIC UINT64_C(0x000a52455453554d)  // "MUSTER\n\0"

enum { REGION_FORMAT = 1 };

typedef struct region_header {
  uint64_t magic;
  uint32_t format;       // of this header; another one is EPROTO, MUSTER_MISMATCH_FORMAT
  uint32_t header_size;  // MUSTER_REGION_HEADER_SIZE
  uint64_t payload_size;
  uint64_t layout;
  uint32_t kind;
  uint32_t version;
  uint8_t boot[16];      // the boot id under which it was created or last renewed; zeros where there is none
  int64_t created;       // nanoseconds since 1970
  int32_t creator_pid;
  uint32_t reserved;
} region_header;

_Static_assert(sizeof(region_header) <= MUSTER_REGION_HEADER_SIZE, "the header fits before the payload");

// Bytes of the file on which OFD locks stand. USE: every handle shares it; who removes the region has it alone. WRITE:
// every handle that can write shares it; who renews the region has it alone (a reader that only looks does not stand in
// the way of that). NAME: who unlinks the name has it alone, so that two removers can't unlink each other's successor.
enum { REGION_LOCK_USE = 0, REGION_LOCK_WRITE = 1, REGION_LOCK_NAME = 2, REGION_LOCKS = 3 };

#endif
