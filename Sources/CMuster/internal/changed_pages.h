// Which pages of a private mapping of a file were stored to.
//
// A page of it that nobody stored to is the file's; the first store gives the process an anonymous copy in its place. So what is
// changed is what is anonymous, and the kernel knows: PAGEMAP_SCAN (Linux 6.7) finds such pages in one call, skipping what is not
// mapped; /proc/self/pagemap says it of each page (bit 61: a file's; kernel documentation, admin-guide/mm/pagemap). Without /proc
// there is the file to compare with. A page that was stored to with what it held already is changed by the first two and not by the third.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_CHANGED_PAGES_H
#define MUSTER_INTERNAL_CHANGED_PAGES_H

#include "muster/attributes.h"

typedef enum changed_pages_way { CHANGED_BY_SCAN, CHANGED_BY_PAGEMAP, CHANGED_BY_COMPARING } changed_pages_way;

// The first way that is tried. Tests put another in its place.
extern changed_pages_way muster_changed_pages_first;

typedef struct changed_pages {
  unsigned char *memory;  // the private mapping
  uint64_t pages;
  uint64_t page;          // bytes of one
  int descriptor;         // the file, and where in it `memory` begins
  uint64_t offset;
  // Called with each changed page, in rising order, until it returns other than 0, which is then the result.
  int (*visit)(uint64_t page, void *context);
  void *context;
} changed_pages;

// Returns 0; what `visit` returned; or what mmap(2) says where it has to compare. errno stays.
int muster_changed_pages(const changed_pages *find);

#endif
