// SPDX-License-Identifier: Apache-2.0
#include "muster_lighten.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

// Of an entry of pagemap (the kernel's Documentation/admin-guide/mm/pagemap.rst).
#define PRESENT (UINT64_C(1) << 63)
#define SWAPPED (UINT64_C(1) << 62)
#define OF_FILE (UINT64_C(1) << 61)

enum { ENTRIES = 512 };

typedef struct lightening {
  int pagemap;
  size_t page;
  size_t given;
} lightening;

static int is_own(uint64_t entry) { return (entry & SWAPPED) || ((entry & PRESENT) && !(entry & OF_FILE)); }

static void give_back(lightening *all, uintptr_t start, size_t pages) {
  size_t size = pages * all->page;
  if (pages && !madvise((void *)start, size, MADV_DONTNEED)) all->given += size;
}

// Runs of pages of which none is this process's own.
static void lighten_range(lightening *all, uintptr_t start, uintptr_t end) {
  uint64_t entries[ENTRIES];
  while (start < end) {
    size_t wanted = (end - start) / all->page;
    if (wanted > ENTRIES) wanted = ENTRIES;
    ssize_t got = pread(all->pagemap, entries, wanted * sizeof *entries, (off_t)(start / all->page * sizeof *entries));
    if (got != (ssize_t)(wanted * sizeof *entries)) return;
    size_t from = 0;
    for (size_t k = 0; k < wanted; k++) {
      if (!is_own(entries[k])) continue;
      give_back(all, start + from * all->page, k - from);
      from = k + 1;
    }
    give_back(all, start + from * all->page, wanted - from);
    start += wanted * all->page;
  }
}

// Another thread's dlopen lists a library before it has written to its text, if that is to be relocated (DT_TEXTREL).
static int is_text_relocated(const struct dl_phdr_info *object) {
  for (int k = 0; k < object->dlpi_phnum; k++) {
    if (object->dlpi_phdr[k].p_type != PT_DYNAMIC) continue;
    const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(object->dlpi_addr + object->dlpi_phdr[k].p_vaddr);
    for (; entry->d_tag != DT_NULL; entry++)
      if (entry->d_tag == DT_TEXTREL || (entry->d_tag == DT_FLAGS && entry->d_un.d_val & DF_TEXTREL)) return 1;
  }
  return 0;
}

// Between the look and the giving back nobody writes: to what is not writable only relocation does, and a debugger, which has stopped this process
// for it. Whoever allows himself to write to code that runs (mprotect(2), uprobes) does it before or after these microseconds.
static int lighten_object(struct dl_phdr_info *object, size_t size, void *context) {
  (void)size;
  lightening *all = context;
  if (is_text_relocated(object)) return 0;
  for (int k = 0; k < object->dlpi_phnum; k++) {
    const ElfW(Phdr) *part = &object->dlpi_phdr[k];
    if (part->p_type != PT_LOAD || part->p_flags & PF_W) continue;
    uintptr_t start = object->dlpi_addr + part->p_vaddr, end = start + part->p_memsz;
    lighten_range(all, start & ~(all->page - 1), (end + all->page - 1) & ~(all->page - 1));
  }
  return 0;
}

size_t muster_lighten(void) {
  int saved = errno;
  lightening all = {.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), .page = (size_t)sysconf(_SC_PAGESIZE)};
  if (all.pagemap >= 0) {
    (void)dl_iterate_phdr(lighten_object, &all);
    (void)close(all.pagemap);
  }
  errno = saved;
  return all.given;
}
