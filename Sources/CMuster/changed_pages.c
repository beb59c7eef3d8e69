// SPDX-License-Identifier: Apache-2.0
#include "internal/changed_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/caller.h"

changed_pages_way muster_changed_pages_first = CHANGED_BY_SCAN;

// This way is not to be had here: the next. No errno value, and none that a visitor returns.
enum { NO_WAY = -1 };

// ---- ioctl(2) PAGEMAP_SCAN, as <linux/fs.h> of Linux 6.7 declares it: older headers lack it

typedef struct scan_region {
  uint64_t start, end, categories;
} scan_region;

typedef struct scan_arguments {
  uint64_t size, flags, start, end, walk_end, regions, region_count, max_pages;
  uint64_t inverted, all_of, any_of, returned;
} scan_arguments;

#define SCAN_REQUEST _IOWR('f', 16, scan_arguments)

enum { SCAN_FILE = 1 << 2, SCAN_PRESENT = 1 << 3, SCAN_SWAPPED = 1 << 4, SCAN_REGIONS = 128 };

static int visit_region(const changed_pages *find, const scan_region *region) {
  uint64_t first = (region->start - (uintptr_t)find->memory) / find->page;
  uint64_t end = (region->end - (uintptr_t)find->memory) / find->page;
  for (uint64_t page = first; page < end && page < find->pages; page++) {
    int status = find->visit(page, find->context);
    if (status) return status;
  }
  return 0;
}

// Filters that forbid it say EPERM or ENOSYS, older kernels ENOTTY. Afterwards a failure is no longer one of the way.
static int by_scan(const changed_pages *find, int pagemap) {
  scan_region found[SCAN_REGIONS];
  uint64_t end = (uintptr_t)find->memory + find->pages * find->page;
  for (uint64_t start = (uintptr_t)find->memory; start < end;) {
    scan_arguments scan = {.size = sizeof scan,
                           .start = start,
                           .end = end,
                           .regions = (uintptr_t)found,
                           .region_count = SCAN_REGIONS,
                           .inverted = SCAN_FILE,
                           .all_of = SCAN_FILE,
                           .any_of = SCAN_PRESENT | SCAN_SWAPPED,
                           .returned = SCAN_FILE};
    // By the call itself: libcs differ in the type of a request.
    long count = syscall(SYS_ioctl, pagemap, SCAN_REQUEST, &scan);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return start == (uintptr_t)find->memory ? NO_WAY : errno;
    for (long i = 0; i < count; i++) {
      int status = visit_region(find, &found[i]);
      if (status) return status;
    }
    if (scan.walk_end <= start) return EIO;
    start = scan.walk_end;
  }
  return 0;
}

// ---- /proc/self/pagemap, a word a page

#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_SWAPPED (UINT64_C(1) << 62)
#define PAGE_OF_FILE (UINT64_C(1) << 61)

enum { ENTRIES = 512 };

static int is_changed(uint64_t entry) { return entry & (PAGE_PRESENT | PAGE_SWAPPED) && !(entry & PAGE_OF_FILE); }

static int by_pagemap(const changed_pages *find, int pagemap) {
  uint64_t entries[ENTRIES];
  for (uint64_t page = 0; page < find->pages;) {
    uint64_t most = find->pages - page < ENTRIES ? find->pages - page : ENTRIES;
    off_t at = (off_t)(((uintptr_t)find->memory / find->page + page) * sizeof *entries);
    ssize_t got = pread(pagemap, entries, most * sizeof *entries, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < (ssize_t)sizeof *entries) return page == 0 ? NO_WAY : EIO;
    for (size_t i = 0; i < (size_t)got / sizeof *entries; i++, page++) {
      int status = is_changed(entries[i]) ? find->visit(page, find->context) : 0;
      if (status) return status;
    }
  }
  return 0;
}

static int by_the_kernel(const changed_pages *find) {
  int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pagemap < 0) return NO_WAY;
  int status = muster_changed_pages_first == CHANGED_BY_SCAN ? by_scan(find, pagemap) : NO_WAY;
  if (status == NO_WAY) status = by_pagemap(find, pagemap);
  close(pagemap);
  return status;
}

// ---- The file, mapped once more

static int by_comparing(const changed_pages *find) {
  size_t size = (size_t)(find->pages * find->page);
  unsigned char *file = mmap(NULL, size, PROT_READ, MAP_SHARED, find->descriptor, (off_t)find->offset);
  if (file == MAP_FAILED) return errno;
  int status = 0;
  for (uint64_t page = 0; page < find->pages && !status; page++) {
    size_t at = (size_t)(page * find->page);
    if (memcmp(file + at, find->memory + at, (size_t)find->page) != 0) status = find->visit(page, find->context);
  }
  munmap(file, size);
  return status;
}

int muster_changed_pages(const changed_pages *find) {
  muster_caller came = muster_enter();
  int status = muster_changed_pages_first == CHANGED_BY_COMPARING ? NO_WAY : by_the_kernel(find);
  if (status == NO_WAY) status = by_comparing(find);
  muster_leave(came);
  return status;
}
