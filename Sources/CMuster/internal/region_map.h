// How a region is mapped: for modules that give parts of it another protection, or another place.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_REGION_MAP_H
#define MUSTER_INTERNAL_REGION_MAP_H

#include <stddef.h>

#include "muster/region.h"

// The mapping from its first byte, the header's, on; and the file behind it, which belongs to the handle.
unsigned char *muster_region_base(const muster_region *region);
int muster_region_descriptor(const muster_region *region);

// Moves the whole mapping to an address that is a multiple of `alignment`, a power of two and of the page's size, so that
// what lies at such a multiple in the file does so in memory. Pointers into the payload are invalid from here on. For
// handles that nobody else uses yet. Returns 0; ENOMEM: nothing was moved.
int muster_region_move(muster_region *region, size_t alignment);

#endif
