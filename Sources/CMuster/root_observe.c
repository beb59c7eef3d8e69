// Looking at a root from outside. All of the region is input: it is checked against the mapping when it is opened, and what was
// checked is kept here, so that it is not read again.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/caller.h"
#include "internal/region_map.h"
#include "internal/root.h"

typedef struct view_place {
  const root_desk *desk;  // NULL: what stands there can't be
  muster_arena arena;
  int has_arena;
} view_place;

struct muster_root_view {
  muster_region *region;
  const unsigned char *base;
  uint64_t size;
  root_head head;
  int64_t created;
  view_place *places;
};

static int head_fits(const root_head *head, uint64_t size) {
  if (head->magic != ROOT_MAGIC || head->count == 0 || head->count > MUSTER_ROOT_DAEMONS_MAX) return EBADMSG;
  if (head->version != ROOT_VERSION || head->page != (uint64_t)sysconf(_SC_PAGESIZE)) return EPROTO;
  return head->size == size && ROOT_SLOTS_OFFSET + (uint64_t)head->count * ROOT_SLOT_SIZE <= size ? 0 : EBADMSG;
}

static const root_slot *slot_of(const muster_root_view *view, uint32_t index) {
  return (const root_slot *)(const void *)(view->base + ROOT_SLOTS_OFFSET + (uint64_t)index * ROOT_SLOT_SIZE);
}

static void find_place(const muster_root_view *view, uint32_t index, view_place *place) {
  const root_slot *slot = slot_of(view, index);
  uint64_t page = view->head.page, arena = __atomic_load_n(&slot->arena, __ATOMIC_RELAXED);
  uint64_t size = __atomic_load_n(&slot->arena_size, __ATOMIC_RELAXED);
  if (arena % page || size % page || arena > view->size || size > view->size - arena || view->size - arena - size < page) return;
  place->desk = (const root_desk *)(const void *)(view->base + arena + size);
  place->has_arena = muster_arena_attach_read_only(view->base + arena, size, &place->arena) == 0;
}

static int make_view(muster_region *region, muster_root_view **view) {
  uint64_t size = muster_region_size(region) + MUSTER_REGION_HEADER_SIZE;
  if (size < ROOT_SLOTS_OFFSET + ROOT_SLOT_SIZE) return EBADMSG;
  muster_root_view *made = calloc(1, sizeof *made);
  if (!made) return ENOMEM;
  *made = (muster_root_view){.region = region, .base = muster_region_base(region), .size = size};
  memcpy(&made->head, made->base + ROOT_HEAD_OFFSET, sizeof made->head);
  int status = head_fits(&made->head, size);
  if (!status && !(made->places = calloc(made->head.count, sizeof *made->places))) status = ENOMEM;
  if (status) {
    free(made);
    return status;
  }
  for (uint32_t k = 0; k < made->head.count; k++) find_place(made, k, &made->places[k]);
  *view = made;
  return 0;
}

int muster_root_observe(const char *name, uint32_t flags, muster_root_view **view) {
  *view = NULL;
  if (flags & ~(uint32_t)MUSTER_REGION_ANY_OWNER) return EINVAL;
  muster_caller came = muster_enter();
  muster_region_options options = {.flags = MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY | MUSTER_REGION_PEEK | flags,
                                   .kind = MUSTER_ROOT_KIND, .version = ROOT_VERSION};
  muster_region *region;
  muster_region_info info;
  int status = muster_region_open(name, &options, &region);
  if (!status) {
    status = make_view(region, view);
    if (status) muster_region_close(region);
  }
  if (!status && muster_region_inspect(name, 0, &info) == 0) (*view)->created = info.created;
  muster_leave(came);
  return status;
}

void muster_root_view_close(muster_root_view *view) {
  if (!view) return;
  muster_region_close(view->region);
  free(view->places);
  free(view);
}

uint32_t muster_root_view_count(const muster_root_view *view) { return view->head.count; }

// Whether the root still has its name, and holds what the name leads to. What keeps the asker from looking is no news of the root.
static int find_alive(const muster_root_view *view, int32_t *alive) {
  muster_region_info info;
  int status = muster_region_current(view->region);
  if (!status) status = muster_region_inspect(muster_region_name(view->region), 0, &info);
  *alive = !status && info.held;
  if (status == ESTALE || status == ENOENT) return 0;
  return status == EBUSY ? EAGAIN : status;  // somebody's lease on the file is being broken
}

int muster_root_view_root(const muster_root_view *view, muster_root_status *status) {
  root_words words;
  *status = (muster_root_status){0};
  const root_row *row = (const root_row *)(const void *)(view->base + ROOT_OWN_ROW_OFFSET);
  int error = muster_root_row_read(row, (uint64_t *)(void *)&words, sizeof words / sizeof(uint64_t));
  if (error) return error;
  int32_t alive;
  muster_caller came = muster_enter();
  error = find_alive(view, &alive);
  muster_leave(came);
  if (error) return error;
  *status = (muster_root_status){
      .pid = view->head.pid,
      .daemons = view->head.count,
      .running = (uint32_t)words.running,
      .abandoned = (uint32_t)words.abandoned,
      .stopping = words.stopping != 0,
      .alive = alive,
      .starts = words.starts,
      .orphans = words.orphans,
      .wakes = words.wakes,
      .started_at = view->head.started,
      .created = view->created,
      .bytes = view->size,
  };
  return 0;
}

int muster_root_view_daemon(const muster_root_view *view, uint32_t index, muster_daemon_status *status) {
  if (index >= view->head.count) return EINVAL;
  const view_place *place = &view->places[index];
  return muster_root_status_of(slot_of(view, index), place->desk, place->has_arena ? &place->arena : NULL, status);
}

int muster_root_view_read(const muster_root_view *view, uint32_t index, uint64_t offset, void *to, uint64_t size) {
  if (index >= view->head.count) return EINVAL;
  const view_place *place = &view->places[index];
  return place->has_arena ? muster_arena_read(&place->arena, offset, to, size, NULL) : EBADMSG;
}
