// Laying, renewing, attaching and opening a checkpoint. Reading is in checkpoint_read.c, writing in checkpoint_write.c.
// SPDX-License-Identifier: Apache-2.0
#include "muster/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal/boot.h"
#include "internal/checkpoint.h"
#include "internal/region_file.h"
#include "internal/region_layout.h"

// ---- In place

// With the defaults filled in; EINVAL for one that can't be.
static int shape_fits(const muster_checkpoint_shape *given, muster_checkpoint_shape *shape) {
  *shape = *given;
  shape->reserved = 0;
  if (shape->writers == 0) shape->writers = MUSTER_CHECKPOINT_WRITERS;
  if (shape->writers > MUSTER_CHECKPOINT_WRITERS_MAX || shape->flags & ~(uint32_t)MUSTER_CHECKPOINT_PAGES) return EINVAL;
  if (shape->history < MUSTER_CHECKPOINT_HISTORY_MIN || shape->history > MUSTER_CHECKPOINT_HISTORY_MAX) return EINVAL;
  size_t most = (PTRDIFF_MAX - checkpoint_slots_offset(shape)) / checkpoint_slots(shape);
  return shape->capacity == 0 || shape->capacity > most - 2 * CHECKPOINT_PAGE ? EINVAL : 0;
}

static size_t size_of(const muster_checkpoint_shape *shape) {
  return checkpoint_slots_offset(shape) + checkpoint_slots(shape) * checkpoint_slot_size(shape);
}

size_t muster_checkpoint_size(const muster_checkpoint_shape *given) {
  muster_checkpoint_shape shape;
  return shape_fits(given, &shape) ? 0 : size_of(&shape);
}

int muster_checkpoint_init(void *memory, size_t size, const muster_checkpoint_shape *given) {
  muster_checkpoint_shape shape;
  if (shape_fits(given, &shape) || size < size_of(&shape)) return EINVAL;
  if ((uintptr_t)memory % MUSTER_CHECKPOINT_ALIGNMENT) return EINVAL;
  unsigned char *base = memory;
  memset(base, 0, checkpoint_slots_offset(&shape));
  for (uint32_t i = 0; i < checkpoint_slots(&shape); i++)
    memset(base + checkpoint_slots_offset(&shape) + i * checkpoint_slot_size(&shape), 0, sizeof(checkpoint_slot));
  int status = muster_group_init(base + checkpoint_group_offset(), muster_group_size(shape.writers), shape.writers);
  if (status) return status;
  checkpoint_head *head = memory;
  checkpoint_state *state = (checkpoint_state *)(head + 1);
  state->newest = CHECKPOINT_NOWHERE;
  head->version = CHECKPOINT_VERSION;
  head->history = shape.history;
  head->capacity = shape.capacity;
  head->writers = shape.writers;
  head->flags = shape.flags;
  __atomic_store_n(&head->magic, CHECKPOINT_MAGIC, __ATOMIC_RELEASE);
  return 0;
}

// Checks the head, and gives the numbers that all offsets follow from.
static int check(const void *memory, size_t size, muster_checkpoint_shape *shape) {
  if ((uintptr_t)memory % MUSTER_CHECKPOINT_ALIGNMENT) return EINVAL;
  const checkpoint_head *head = memory;
  if (size < sizeof *head || __atomic_load_n(&head->magic, __ATOMIC_ACQUIRE) != CHECKPOINT_MAGIC) return EBADMSG;
  if (__atomic_load_n(&head->version, __ATOMIC_RELAXED) != CHECKPOINT_VERSION) return EPROTO;
  muster_checkpoint_shape found = {.capacity = __atomic_load_n(&head->capacity, __ATOMIC_RELAXED),
                                   .history = __atomic_load_n(&head->history, __ATOMIC_RELAXED),
                                   .writers = __atomic_load_n(&head->writers, __ATOMIC_RELAXED),
                                   .flags = __atomic_load_n(&head->flags, __ATOMIC_RELAXED)};
  if (found.writers == 0 || shape_fits(&found, shape) || size < size_of(shape)) return EBADMSG;
  return 0;
}

// What every use needs. Nothing is allocated but the group's handle.
static int view(const void *memory, size_t size, muster_checkpoint *made) {
  int status = check(memory, size, &made->shape);
  if (status) return status;
  muster_crc32c_prepare(0);
  unsigned char *base = (unsigned char *)(uintptr_t)memory;
  made->state = (checkpoint_state *)(void *)(base + sizeof(checkpoint_head));
  made->seats = (checkpoint_seat *)(void *)(base + checkpoint_seats_offset(&made->shape));
  made->slots = base + checkpoint_slots_offset(&made->shape);
  made->stride = checkpoint_slot_size(&made->shape);
  made->count = checkpoint_slots(&made->shape);
  return 0;
}

static int make_handle(const void *memory, size_t size, int read_only, muster_checkpoint **checkpoint) {
  *checkpoint = NULL;
  int saved = errno;
  muster_checkpoint *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  int status = view(memory, size, made);
  if (!status) status = muster_fork_guard(&made->guard);
  // Attaching to a group, and asking it who lives, stores nothing.
  if (!status)
    status = muster_group_attach((unsigned char *)(uintptr_t)memory + checkpoint_group_offset(),
                                 muster_group_size(made->shape.writers), &made->group);
  if (!status && made->group->capacity != made->shape.writers) {
    (void)muster_group_close(made->group);
    status = EBADMSG;
  }
  if (status) return free(made), status;
  made->read_only = made->group->read_only = read_only;
  *checkpoint = made;
  return 0;
}

int muster_checkpoint_attach(void *memory, size_t size, muster_checkpoint **checkpoint) {
  return make_handle(memory, size, 0, checkpoint);
}

int muster_checkpoint_attach_read_only(const void *memory, size_t size, muster_checkpoint **checkpoint) {
  return make_handle(memory, size, 1, checkpoint);
}

// ---- Renewing

static void empty(const muster_checkpoint *checkpoint, uint32_t index) {
  checkpoint_slot *slot = checkpoint_slot_at(checkpoint, index);
  uint64_t stamp = __atomic_load_n(&slot->stamp, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->stamp, checkpoint_stamp_after(stamp, 0, SLOT_EMPTY), __ATOMIC_RELEASE);
}

static int is_in(const checkpoint_seen *seen, uint32_t count, uint32_t index) {
  for (uint32_t k = 0; k < count; k++)
    if (seen[k].index == index) return 1;
  return 0;
}

// The last epoch that is known to have begun, also where nothing was committed in it.
static uint64_t last_began(const muster_checkpoint *checkpoint, uint64_t epoch) {
  checkpoint_began began;
  for (uint32_t k = 0; k < 2 * checkpoint->shape.writers; k++)
    if (checkpoint_began_read(&checkpoint->seats[k / 2].began[k % 2], &began) && began.epoch <= CHECKPOINT_EPOCH_MAX &&
        began.epoch > epoch)
      epoch = began.epoch;
  return epoch;
}

// Empties what is torn, so that the newest of the rest can be named, and then what no state leads to. A death in here leaves what
// the next to renew does again: each step keeps all whole states, and the word that readers go by names one at any time,
// or one that is torn, and then they look for the next as well.
//
// Older states than the last history + 1 stay, free to be written over: one of them may be the last that is on the disk.
static int name_newest(const muster_checkpoint *checkpoint) {
  checkpoint_seen seen[CHECKPOINT_SLOTS];
  uint32_t count;
  for (uint32_t i = 0; i < checkpoint->count; i++) {
    int lost = muster_checkpoint_see(checkpoint, i, seen) || !seen->sealed;
    if (lost || muster_checkpoint_verify(checkpoint, seen)) empty(checkpoint, i);
  }
  uint64_t newest = checkpoint_newest(checkpoint), epoch = checkpoint_epoch_of(newest);
  int status = muster_checkpoint_chain_all(checkpoint, 1, seen, &count);
  if (status) count = 0;
  uint32_t slot = count ? seen->index : CHECKPOINT_NOWHERE;
  if (count && seen->fields.epoch > epoch) epoch = seen->fields.epoch;
  epoch = last_began(checkpoint, epoch);
  newest = checkpoint_named(epoch, count ? seen->fields.sequence : 0, slot);
  __atomic_store_n(&checkpoint->state->newest, newest, __ATOMIC_RELEASE);
  for (uint32_t i = 0; i < checkpoint->count; i++)
    if (!is_in(seen, count, i)) empty(checkpoint, i);
  return status == ENODATA ? 0 : status;
}

int muster_checkpoint_renew(void *memory, size_t size) {
  muster_checkpoint checkpoint = {0};
  int status = view(memory, size, &checkpoint);
  if (status) return status == EPROTO ? EBADMSG : status;
  status = muster_group_renew((unsigned char *)memory + checkpoint_group_offset(),
                              muster_group_size(checkpoint.shape.writers));
  if (status) return status;
  for (uint32_t k = 0; k < checkpoint.shape.writers; k++)
    __atomic_store_n(&checkpoint.seats[k].epoch, UINT64_C(0), __ATOMIC_RELAXED);
  return name_newest(&checkpoint);
}

// ---- By name

static int fill(void *payload, size_t size, void *context) { return muster_checkpoint_init(payload, size, context); }

static int renew(void *payload, size_t size, void *context) {
  (void)context;
  return muster_checkpoint_renew(payload, size);
}

// Whether the shape found is the one asked for, where one was.
static int same_shape(const muster_checkpoint_shape *asked, const muster_checkpoint_shape *found,
                      muster_mismatch *differs) {
  uint64_t pairs[][2] = {
      {asked->capacity, found->capacity}, {asked->history, found->history}, {asked->writers, found->writers}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    if (!pairs[i][0] || pairs[i][0] == pairs[i][1]) continue;
    *differs = (muster_mismatch){MUSTER_MISMATCH_LAYOUT, pairs[i][0], pairs[i][1]};
    return 0;
  }
  return 1;
}

static int use_region(muster_region *region, uint32_t flags, const muster_checkpoint_shape *asked,
                      muster_mismatch *differs, muster_checkpoint **checkpoint) {
  int read_only = (flags & MUSTER_REGION_READ_ONLY) != 0;
  if (flags & MUSTER_REGION_FILE && !read_only) {
    int status = muster_region_sync_name(region);
    if (status) return status;
  }
  unsigned char *payload = muster_region_payload(region);
  size_t size = muster_region_size(region);
  int status = make_handle(payload, size, read_only, checkpoint);
  if (status) return status;
  muster_checkpoint *made = *checkpoint;
  if (!same_shape(asked, &made->shape, differs)) status = EPROTO;
  else if (size != size_of(&made->shape)) status = EBADMSG;
  if (status) {
    *checkpoint = NULL;
    return (void)muster_checkpoint_close(made), status;
  }
  made->region = region;
  if (read_only && flags & MUSTER_REGION_FILE) {
    muster_boot_id(made->this_boot);
    made->boot = ((const region_header *)(const void *)(payload - MUSTER_REGION_HEADER_SIZE))->boot;
  }
  return 0;
}

int muster_checkpoint_open(const char *name, const muster_checkpoint_options *options,
                           muster_checkpoint **checkpoint) {
  *checkpoint = NULL;
  uint32_t flags = muster_group_region_flags(options->flags);
  muster_checkpoint_shape shape = options->shape;
  if (flags & MUSTER_REGION_FILE) shape.flags |= MUSTER_CHECKPOINT_PAGES;
  int given = shape.capacity || shape.history;
  if ((given || flags & MUSTER_REGION_CREATE) && shape_fits(&shape, &shape)) return EINVAL;
  muster_mismatch differs = {0};
  muster_region *region;
  int status = muster_region_open(name,
                                  &(muster_region_options){.flags = flags,
                                                           .mode = options->mode,
                                                           .kind = MUSTER_CHECKPOINT_KIND,
                                                           .version = CHECKPOINT_VERSION,
                                                           .layout = options->layout,
                                                           .size = given ? size_of(&shape) : 0,
                                                           .deadline = options->deadline,
                                                           .initialize = fill,
                                                           .renew = renew,
                                                           .context = &shape,
                                                           .mismatch = &differs},
                                  &region);
  if (!status) {
    status = use_region(region, flags, &shape, &differs, checkpoint);
    if (status) muster_region_close(region);
  }
  if (options->mismatch) *options->mismatch = differs;
  return status;
}

int muster_checkpoint_close(muster_checkpoint *checkpoint) {
  if (!checkpoint) return 0;
  int inherited = muster_fork_inherited(&checkpoint->guard);
  if (checkpoint->writing && !inherited && muster_checkpoint_release(checkpoint) == EBUSY) return EBUSY;
  (void)muster_group_close(checkpoint->group);
  muster_region_close(checkpoint->region);
  free(checkpoint);
  return 0;
}

// ---- What is known of it

MUSTER_NONBLOCKING uint64_t muster_checkpoint_epoch(const muster_checkpoint *checkpoint) {
  return checkpoint_epoch_of(checkpoint_newest(checkpoint));
}

int muster_checkpoint_writer_pid(const muster_checkpoint *checkpoint, int32_t *pid) {
  *pid = 0;
  if (muster_fork_inherited(&checkpoint->guard)) return EPERM;
  uint64_t epoch = muster_checkpoint_epoch(checkpoint);
  for (uint32_t k = 0; epoch && k < checkpoint->shape.writers; k++) {
    muster_member member;
    if (__atomic_load_n(&checkpoint->seats[k].epoch, __ATOMIC_ACQUIRE) != epoch) continue;
    if (muster_group_member(checkpoint->group, k, &member)) continue;
    // The seat once more: whoever joins in the place empties it first.
    if (__atomic_load_n(&checkpoint->seats[k].epoch, __ATOMIC_ACQUIRE) != epoch) continue;
    if (member.state != MUSTER_MEMBER_ALIVE && member.state != MUSTER_MEMBER_DEAD) continue;
    *pid = member.pid;
    return member.state == MUSTER_MEMBER_DEAD ? EOWNERDEAD : 0;
  }
  return ENOENT;
}

void muster_checkpoint_shape_of(const muster_checkpoint *checkpoint, muster_checkpoint_shape *shape) {
  *shape = checkpoint->shape;
}

muster_region *muster_checkpoint_region(const muster_checkpoint *checkpoint) { return checkpoint->region; }
