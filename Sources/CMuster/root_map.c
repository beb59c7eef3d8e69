// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/region_map.h"
#include "internal/root.h"

// What headers older than the kernel lack.
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
enum { COLLAPSE = 25 };  // MADV_COLLAPSE, Linux 6.1

// No file is larger.
static const uint64_t most = PTRDIFF_MAX;

static uint64_t up(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

void muster_root_shape_of(const muster_daemon_spec *spec, muster_arena_shape *shape) {
  *shape = (muster_arena_shape){.size = spec->state_size, .checkpoints = spec->checkpoints};
  if (spec->transaction_pages > 0) shape->log_pages = (uint64_t)spec->transaction_pages;
  if (spec->transaction_pages < 0) shape->flags = MUSTER_ARENA_NO_TRANSACTIONS;
}

static int place_of(const muster_daemon_spec *spec, uint64_t page, uint64_t from, root_place *place) {
  muster_arena_shape shape;
  muster_arena_layout layout;
  muster_root_shape_of(spec, &shape);
  int status = muster_arena_layout_of(&shape, &layout);
  if (status) return status;
  if (layout.size > most / 2) return EOVERFLOW;
  place->state = up(from + layout.state_offset, layout.alignment);
  place->arena = place->state - layout.state_offset;
  place->desk = place->arena + layout.size;
  place->end = place->desk + page;
  return place->end > most / 2 ? EOVERFLOW : 0;
}

int muster_root_map_of(const muster_daemon_spec *specs, uint32_t count, root_map *map, root_part *parts) {
  map->page = (uint64_t)sysconf(_SC_PAGESIZE);
  map->rows_size = up(ROOT_SLOTS_OFFSET + (uint64_t)count * ROOT_SLOT_SIZE, map->page);
  uint64_t end = map->rows_size;
  for (uint32_t k = 0; k < count; k++) {
    root_place place;
    int status = place_of(&specs[k], map->page, end, &place);
    if (status) return status;
    end = place.end;
    if (parts) parts[k].place = place;
  }
  map->size = end;
  return 0;
}

// ---- The root's own

static uint64_t own_size(const muster_root *root) {
  return root->count * (sizeof(root_daemon) + sizeof(muster_deadline) + sizeof(pid_t));
}

static uint64_t parts_size(const muster_root *root) { return root->count * sizeof(root_part); }

// Shared memory is not copied by fork, which would otherwise take time for each page of each daemon's.
int muster_root_lay_tables(muster_root *root) {
  void *parts = mmap(NULL, parts_size(root), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (parts == MAP_FAILED) return ENOMEM;
  root->parts = parts;
  void *own = mmap(NULL, own_size(root), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (own == MAP_FAILED) return ENOMEM;
  root->daemons = own;
  root->due = (muster_deadline *)(root->daemons + root->count);
  root->pids = (pid_t *)(root->due + root->count);
  return madvise(own, own_size(root), MADV_DONTFORK) ? ENOMEM : 0;
}

void muster_root_drop_tables(muster_root *root) {
  if (root->rows) munmap(root->rows, root->rows_size);
  if (root->daemons) munmap(root->daemons, own_size(root));
  if (root->parts) munmap(root->parts, parts_size(root));
}

int muster_root_protect_root(muster_root *root) {
  int file = muster_region_descriptor(root->region);
  void *rows = mmap(NULL, root->rows_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
  if (rows == MAP_FAILED) return errno;
  root->rows = rows;
  if (madvise(rows, root->rows_size, MADV_DONTFORK)) return errno;
  if (mprotect(root->parts, parts_size(root), PROT_READ)) return errno;
  return mprotect(root->base, root->size, PROT_READ) ? errno : 0;
}

int muster_root_mseal(void *address, size_t size) { return syscall(SYS_mseal, address, size, 0L) ? errno : 0; }

// The seals are an addition: without them nothing is writable either, until somebody means it to be.
int muster_root_protect_daemon(const muster_root *root, uint32_t index) {
  const root_place *place = &root->parts[index].place;
  unsigned char *mine = root->base + place->arena, *end = root->base + place->end;
  if (mprotect(mine, (size_t)(end - mine), PROT_READ | PROT_WRITE)) return errno;
  (void)muster_root_mseal(root->base, place->arena);
  (void)muster_root_mseal(root->parts, parts_size(root));
  if (place->end < root->size) (void)muster_root_mseal(end, root->size - place->end);
  return 0;
}

void muster_root_collapse(const muster_root *root) {
  if (root->options.flags & MUSTER_ROOT_SMALL_PAGES) return;
  for (uint32_t k = 0; k < root->count; k++) {
    const muster_daemon_spec *spec = &root->parts[k].spec;
    if (spec->state_size < MUSTER_ARENA_HUGE || spec->transaction_pages < 0) continue;
    uint64_t room = up(spec->state_size, MUSTER_ARENA_HUGE);
    (void)madvise(root->base + root->parts[k].place.state, room, COLLAPSE);
  }
}
