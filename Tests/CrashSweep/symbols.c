// The function at an address: from the symbol tables of the ELF files that are mapped (elf(5)), static functions
// included.
// SPDX-License-Identifier: Apache-2.0
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

typedef struct object {
  uintptr_t at;  // what is looked for
  uintptr_t base;
  int found, index;
  char path[512];
} object;

static int visit(struct dl_phdr_info *info, size_t size, void *context) {
  (void)size;
  object *wanted = context;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
    uintptr_t start = info->dlpi_addr + part->p_vaddr;
    if (wanted->at < start || wanted->at >= start + part->p_memsz) continue;
    wanted->found = 1;
    wanted->base = info->dlpi_addr;
    snprintf(wanted->path, sizeof wanted->path, "%s", info->dlpi_name);
    return 1;
  }
  wanted->index++;
  return 0;
}

static object find(uintptr_t at) {
  object wanted = {.at = at};
  dl_iterate_phdr(visit, &wanted);
  if (wanted.found && wanted.index == 0) {
    ssize_t length = readlink("/proc/self/exe", wanted.path, sizeof wanted.path - 1);
    wanted.path[length > 0 ? length : 0] = 0;
  }
  return wanted;
}

int symbols_is_ours(uintptr_t at) {
  object wanted = {.at = at};
  dl_iterate_phdr(visit, &wanted);
  return wanted.found && wanted.index == 0;
}

static const ElfW(Shdr) *section(const char *file, size_t size, uint32_t type) {
  const ElfW(Ehdr) *head = (const void *)file;
  if (size < sizeof *head || memcmp(head->e_ident, ELFMAG, SELFMAG)) return NULL;
  const ElfW(Shdr) *all = (const void *)(file + head->e_shoff);
  if (head->e_shoff + head->e_shnum * sizeof *all > size) return NULL;
  for (unsigned i = 0; i < head->e_shnum; i++)
    if (all[i].sh_type == type) return &all[i];
  return NULL;
}

static int name_in(const char *file, size_t size, uintptr_t offset, char *text, size_t room) {
  const ElfW(Shdr) *table = section(file, size, SHT_SYMTAB);
  if (!table) table = section(file, size, SHT_DYNSYM);
  if (!table) return 0;
  const ElfW(Shdr) *sections = (const void *)(file + ((const ElfW(Ehdr) *)(const void *)file)->e_shoff);
  const char *names = file + sections[table->sh_link].sh_offset;
  const ElfW(Sym) *symbols = (const void *)(file + table->sh_offset);
  const ElfW(Sym) *best = NULL;
  for (size_t i = 0; i < table->sh_size / sizeof *symbols; i++) {
    const ElfW(Sym) *symbol = &symbols[i];
    unsigned type = symbol->st_info & 0xf;
    if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol->st_value > offset) continue;
    // Hand-written assembly has sizes of 0: a symbol shortly below is the answer then.
    if (offset >= symbol->st_value + (symbol->st_size ? symbol->st_size : 1024)) continue;
    if (!best || symbol->st_value > best->st_value) best = symbol;
  }
  if (!best) return 0;
  snprintf(text, room, "%s+0x%lx", names + best->st_name, (unsigned long)(offset - best->st_value));
  return 1;
}

void symbols_name(uintptr_t at, char *text, size_t size) {
  object in = find(at);
  if (!in.found) {
    snprintf(text, size, "0x%lx", (unsigned long)at);
    return;
  }
  const char *last = strrchr(in.path, '/');
  int file = open(in.path, O_RDONLY | O_CLOEXEC), named = 0;
  struct stat status;
  if (file >= 0 && fstat(file, &status) == 0 && status.st_size > 0) {
    size_t length = (size_t)status.st_size;
    char *view = mmap(NULL, length, PROT_READ, MAP_PRIVATE, file, 0);
    if (view != MAP_FAILED) {
      named = name_in(view, length, at - in.base, text, size);
      munmap(view, length);
    }
  }
  if (file >= 0) close(file);
  if (!named) snprintf(text, size, "%s+0x%lx", last ? last + 1 : in.path, (unsigned long)(at - in.base));
}

// Where the operator stood, and, inside a library, which instruction of ours it had come from; with the command that
// gives the line.
void symbols_point(const sweep_trace *trace, uint32_t point, char *text, size_t size) {
  char name[128];
  symbols_name(trace->at[point], name, sizeof name);
  int length = snprintf(text, size, "before %s", name);
  uint32_t ours = point;
  while (ours > 0 && !symbols_is_ours(trace->at[ours])) ours--;
  object in = find(trace->at[ours]);
  if (ours != point && (size_t)length < size) {
    symbols_name(trace->at[ours], name, sizeof name);
    length += snprintf(text + length, size - (size_t)length, ", called from %s", name);
  }
  if (in.found && (size_t)length < size)
    snprintf(text + length, size - (size_t)length, "\n     line: addr2line -fipe %s 0x%lx", in.path,
             (unsigned long)(trace->at[ours] - in.base));
}
