// Laying and attaching an arena, and changing its state in place.
// SPDX-License-Identifier: Apache-2.0
#include "muster/arena.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "internal/arena.h"
#include "internal/crc32c.h"
#include "internal/words.h"

// ---- The layout

static uint64_t page_size(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }

// From numbers that may be anything. `log_pages` 0: no log.
static int lay_out(uint64_t size, uint64_t log_pages, uint32_t checkpoints, muster_arena_layout *layout) {
  if (size == 0 || size > ARENA_SIZE_MAX || checkpoints > MUSTER_ARENA_CHECKPOINTS_MAX) return EINVAL;
  uint64_t page = page_size(), pages = arena_up(size, page) / page;
  if (log_pages > pages) return EINVAL;
  uint64_t slots = checkpoints ? checkpoints + 1 : 0;
  uint64_t alignment = size >= MUSTER_ARENA_HUGE ? MUSTER_ARENA_HUGE : page;
  *layout = (muster_arena_layout){.alignment = alignment,
                                  .state_offset = page + slots * pages * page,
                                  .state_room = arena_up(size, alignment),
                                  .page = page};
  layout->log_offset = layout->state_offset + layout->state_room;
  layout->size = layout->log_offset;
  if (log_pages) layout->size += page + arena_up(log_pages * sizeof(uint64_t), page) + log_pages * page;
  return layout->size > PTRDIFF_MAX ? EINVAL : 0;
}

// How many pages the log has, which the shape says with its defaults.
static uint64_t log_pages_of(const muster_arena_shape *shape) {
  if (shape->flags & MUSTER_ARENA_NO_TRANSACTIONS) return 0;
  uint64_t page = page_size(), pages = shape->size / page + (shape->size % page != 0);
  return shape->log_pages == 0 || shape->log_pages > pages ? pages : shape->log_pages;
}

int muster_arena_layout_of(const muster_arena_shape *shape, muster_arena_layout *layout) {
  if (shape->flags & ~(uint32_t)MUSTER_ARENA_NO_TRANSACTIONS) return EINVAL;
  return lay_out(shape->size, log_pages_of(shape), shape->checkpoints, layout);
}

uint64_t muster_arena_size(const muster_arena_shape *shape) {
  muster_arena_layout layout;
  return muster_arena_layout_of(shape, &layout) ? 0 : layout.size;
}

int muster_arena_init(void *memory, uint64_t size, const muster_arena_shape *shape) {
  muster_arena_layout layout;
  int status = muster_arena_layout_of(shape, &layout);
  if (status) return status;
  if ((uintptr_t)memory % layout.page || size < layout.size) return EINVAL;
  arena_control *control = memory;
  memset(control, 0, sizeof *control);
  control->head.version = ARENA_VERSION;
  control->head.page = (uint32_t)layout.page;
  control->head.size = shape->size;
  control->head.log_pages = log_pages_of(shape);
  control->head.checkpoints = shape->checkpoints;
  if (control->head.log_pages) memset((unsigned char *)memory + layout.log_offset, 0, sizeof(arena_log_head));
  __atomic_store_n(&control->head.magic, ARENA_MAGIC, __ATOMIC_RELEASE);
  return 0;
}

static int attach(unsigned char *base, uint64_t size, uint32_t read_only, muster_arena *arena) {
  uint64_t page = page_size();
  if ((uintptr_t)base % page) return EINVAL;
  const arena_head *head = &((const arena_control *)(const void *)base)->head;
  if (size < page || __atomic_load_n(&head->magic, __ATOMIC_ACQUIRE) != ARENA_MAGIC) return EBADMSG;
  if (__atomic_load_n(&head->version, __ATOMIC_RELAXED) != ARENA_VERSION) return EPROTO;
  if (__atomic_load_n(&head->page, __ATOMIC_RELAXED) != page) return EPROTO;
  uint64_t state = __atomic_load_n(&head->size, __ATOMIC_RELAXED);
  uint64_t log_pages = __atomic_load_n(&head->log_pages, __ATOMIC_RELAXED);
  uint32_t checkpoints = __atomic_load_n(&head->checkpoints, __ATOMIC_RELAXED);
  muster_arena_layout layout;
  if (lay_out(state, log_pages, checkpoints, &layout) || size < layout.size) return EBADMSG;
  muster_crc32c_prepare(0);
  muster_words_prepare();
  *arena = (muster_arena){.state = base + layout.state_offset,
                          .size = state,
                          .base = base,
                          .state_room = layout.state_room,
                          .log_offset = layout.log_offset,
                          .whole = layout.size,
                          .log_pages = log_pages,
                          .page = (uint32_t)page,
                          .checkpoints = checkpoints,
                          .read_only = read_only};
  return 0;
}

int muster_arena_attach(void *memory, uint64_t size, muster_arena *arena) { return attach(memory, size, 0, arena); }

int muster_arena_attach_read_only(const void *memory, uint64_t size, muster_arena *arena) {
  return attach((unsigned char *)(uintptr_t)memory, size, 1, arena);
}

// ---- What is known of it

MUSTER_NONBLOCKING uint64_t muster_arena_sequence(const muster_arena *arena) {
  return __atomic_load_n(&arena_control_of(arena)->sequence, __ATOMIC_ACQUIRE);
}

MUSTER_NONBLOCKING int muster_arena_changing(const muster_arena *arena) { return muster_arena_sequence(arena) & 1; }

static uint64_t look(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }

// Counts are of different moments, and may be anything.
static uint64_t less(uint64_t count, uint64_t than) { return than < count ? count - than : 0; }

void muster_arena_info_of(const muster_arena *arena, muster_arena_info *info) {
  const arena_control *control = arena_control_of(arena);
  uint64_t word = arena_log_word(arena), newest = look(&control->newest);
  *info = (muster_arena_info){
      .size = arena->size,
      .log_pages = arena->log_pages,
      .checkpoints = arena->checkpoints,
      .kept = newest < arena->checkpoints ? (uint32_t)newest : arena->checkpoints,
      .newest = newest,
      .sequence = muster_arena_sequence(arena),
      .beats = __atomic_load_n(&control->beats, __ATOMIC_ACQUIRE),
      .beat = (muster_deadline)look(&control->beat),
      .id = arena_word_id(word),
      .transaction = arena_word_what(word),
      .committed = look(&control->committed),
      .aborted = look(&control->aborted),
      .late = look(&control->late),
  };
  info->crashed = less(less(less(info->id, info->committed), info->aborted), info->late);
  if (arena_is_taken(arena)) info->crashed = less(info->crashed, 1);
}

// ---- Changing

MUSTER_NONBLOCKING int muster_arena_change_begin(const muster_arena *arena) {
  if (arena->read_only) return EACCES;
  if (arena_is_taken(arena)) return EBUSY;
  if (muster_arena_changing(arena)) return EALREADY;
  arena_open_change(arena);
  return 0;
}

MUSTER_NONBLOCKING int muster_arena_change_end(const muster_arena *arena) {
  if (arena->read_only) return EACCES;
  if (!muster_arena_changing(arena)) return EINVAL;
  if (arena_is_taken(arena)) return EBUSY;
  arena_close_change(arena);
  return 0;
}

MUSTER_NONBLOCKING int muster_arena_write(const muster_arena *arena, uint64_t offset, const void *from, uint64_t size) {
  if (arena->read_only) return EACCES;
  if (offset > arena->size || size > arena->size - offset || !muster_arena_changing(arena)) return EINVAL;
  muster_words_put((unsigned char *)arena->state + offset, from, size);
  return 0;
}

int muster_arena_zero(const muster_arena *arena) {
  if (arena->read_only) return EACCES;
  if (arena_is_taken(arena)) return EBUSY;
  arena_open_change(arena);
  muster_words_zero(arena->state, arena_up(arena->size, sizeof(uint64_t)));
  arena_close_change(arena);
  return 0;
}

static void add_one(uint64_t *word) MUSTER_NONBLOCKING {
  __atomic_store_n(word, __atomic_load_n(word, __ATOMIC_RELAXED) + 1, __ATOMIC_RELEASE);
}

MUSTER_NONBLOCKING void muster_arena_beat(const muster_arena *arena, muster_deadline now) {
  if (arena->read_only) return;
  arena_control *control = arena_control_of(arena);
  __atomic_store_n(&control->beat, (uint64_t)now, __ATOMIC_RELAXED);
  add_one(&control->beats);
}

void muster_arena_count(const muster_arena *arena, muster_arena_end end) {
  arena_control *control = arena_control_of(arena);
  if (!arena->read_only) add_one(end == MUSTER_ARENA_END_LATE ? &control->late : &control->aborted);
}
