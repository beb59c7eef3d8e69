// Laying out, opening and closing a pair's region. What its two processes do with it is in pair_role.c and pair_entry.c.
// SPDX-License-Identifier: Apache-2.0
#include "muster/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal/boot.h"
#include "internal/checkpoint.h"
#include "internal/group.h"
#include "internal/pair.h"
#include "internal/region_file.h"
#include "internal/region_layout.h"
#include "internal/seqlock.h"
#include "internal/words.h"

// Where each part of the region lies.
typedef struct pair_parts {
  size_t primary, primary_size;
  size_t backup, backup_size;
  size_t entries, entries_size;
} pair_parts;

static size_t lines(size_t bytes) { return (bytes + PAIR_LINE - 1) / PAIR_LINE * PAIR_LINE; }

static muster_checkpoint_shape entries_shape(const pair_head *head) {
  return (muster_checkpoint_shape){.capacity = sizeof(pair_entry_head) + head->state + head->output,
                                   .history = head->history,
                                   .flags = head->in_a_file ? MUSTER_CHECKPOINT_PAGES : 0};
}

// Returns 0, or EINVAL for a head that can't be.
static int parts_of(const pair_head *head, pair_parts *parts) {
  uint64_t most = PTRDIFF_MAX / 2 - sizeof(pair_entry_head);
  if (head->state == 0 || head->state > most || head->output > most - head->state || head->in_a_file > 1) return EINVAL;
  muster_checkpoint_shape shape = entries_shape(head);
  *parts = (pair_parts){.primary = (size_t)3 * PAIR_LINE,
                        .primary_size = lines(muster_seqlock_size(PAIR_PRIMARY_WORDS)),
                        .backup_size = lines(muster_seqlock_size(PAIR_BACKUP_WORDS)),
                        .entries_size = muster_checkpoint_size(&shape)};
  parts->backup = parts->primary + parts->primary_size;
  parts->entries = parts->backup + parts->backup_size;
  return parts->entries_size && parts->entries_size <= PTRDIFF_MAX - parts->entries ? 0 : EINVAL;
}

static pair_head head_of(const muster_pair_shape *shape, uint32_t flags) {
  return (pair_head){.magic = PAIR_MAGIC,
                     .version = PAIR_VERSION,
                     .history = shape->history,
                     .state = shape->state,
                     .output = shape->output,
                     .in_a_file = (flags & MUSTER_REGION_FILE) != 0};
}

static int fill(void *payload, size_t size, void *context) {
  (void)size;
  const pair_head *head = context;
  pair_parts parts;
  int status = parts_of(head, &parts);
  if (status) return status;
  unsigned char *base = payload;
  muster_checkpoint_shape shape = entries_shape(head);
  status = muster_seqlock_init(base + parts.primary, parts.primary_size, PAIR_PRIMARY_WORDS);
  if (!status) status = muster_seqlock_init(base + parts.backup, parts.backup_size, PAIR_BACKUP_WORDS);
  if (!status) status = muster_checkpoint_init(base + parts.entries, parts.entries_size, &shape);
  memcpy(payload, head, sizeof *head);
  return status;
}

static int check(const void *payload, size_t size, pair_head *head, pair_parts *parts) {
  if (size < sizeof *head) return EBADMSG;
  muster_words_get(head, payload, sizeof *head);
  if (head->magic != PAIR_MAGIC) return EBADMSG;
  if (head->version != PAIR_VERSION) return EPROTO;
  return parts_of(head, parts) || size != parts->entries + parts->entries_size ? EBADMSG : 0;
}

// What a power cut may have left of a seqlock, whose page has no order with the others': it says nothing any more.
static int renew_said(void *memory, size_t size, uint32_t words) {
  return muster_seqlock_renew(memory, size) == 0 ? 0 : muster_seqlock_init(memory, size, words);
}

// CLOCK_BOOTTIME counts from the machine's start: times of a start before are as good as any of this one's.
static int forget_times(unsigned char *base, const pair_parts *parts) {
  const region_header *header = (const region_header *)(const void *)(base - MUSTER_REGION_HEADER_SIZE);
  uint8_t boot[sizeof header->boot];
  muster_boot_id(boot);
  if (memcmp(boot, header->boot, sizeof boot) == 0) return 0;
  return muster_seqlock_zero(base + parts->primary, parts->primary_size,
                             offsetof(muster_pair_primary, recent) / sizeof(uint64_t), MUSTER_PAIR_TAKEOVERS_MAX);
}

static int renew(void *payload, size_t size, void *context) {
  (void)context;
  pair_head head;
  pair_parts parts;
  int status = check(payload, size, &head, &parts);
  if (status) return status == EPROTO ? EBADMSG : status;
  unsigned char *base = payload;
  status = renew_said(base + parts.primary, parts.primary_size, PAIR_PRIMARY_WORDS);
  if (!status) status = renew_said(base + parts.backup, parts.backup_size, PAIR_BACKUP_WORDS);
  if (!status && head.in_a_file) status = forget_times(base, &parts);
  return status ? status : muster_checkpoint_renew(base + parts.entries, parts.entries_size);
}

// ---- Handles

static int attach(unsigned char *base, const pair_parts *parts, muster_pair *made) {
  int status;
  if (made->read_only) {
    status = muster_seqlock_attach_read_only(base + parts->primary, parts->primary_size, &made->primary);
    if (!status) status = muster_seqlock_attach_read_only(base + parts->backup, parts->backup_size, &made->backup);
    if (!status) status = muster_checkpoint_attach_read_only(base + parts->entries, parts->entries_size, &made->entries);
    return status;
  }
  made->cell = base + (size_t)2 * PAIR_LINE;
  status = muster_seqlock_attach(base + parts->primary, parts->primary_size, &made->primary);
  if (!status) status = muster_seqlock_attach(base + parts->backup, parts->backup_size, &made->backup);
  if (!status) status = muster_checkpoint_attach(base + parts->entries, parts->entries_size, &made->entries);
  return status;
}

// The parts tell their own sizes; that they are the head's is checked once, here.
static int parts_agree(const muster_pair *made) {
  muster_checkpoint_shape asked = entries_shape(&made->head), found;
  muster_checkpoint_shape_of(made->entries, &found);
  return muster_seqlock_words(made->primary) == PAIR_PRIMARY_WORDS &&
         muster_seqlock_words(made->backup) == PAIR_BACKUP_WORDS && found.capacity == asked.capacity &&
         found.history == asked.history;
}

static int make_handle(muster_region *region, uint32_t flags, muster_pair *made) {
  unsigned char *base = muster_region_payload(region);
  pair_parts parts;
  int status = check(base, muster_region_size(region), &made->head, &parts);
  if (!status) status = muster_fork_guard(&made->guard);
  if (status) return status;
  made->read_only = (flags & MUSTER_REGION_READ_ONLY) != 0;
  made->marks = (pair_marks *)(void *)(base + PAIR_LINE);
  status = attach(base, &parts, made);
  if (status) return status == EINVAL ? EBADMSG : status;
  if (!parts_agree(made)) return EBADMSG;
  if (made->read_only && flags & MUSTER_REGION_FILE) {
    muster_boot_id(made->entries->this_boot);
    made->entries->boot = ((const region_header *)(const void *)(base - MUSTER_REGION_HEADER_SIZE))->boot;
  }
  return 0;
}

static int same_shape(const muster_pair_shape *asked, const pair_head *found, muster_mismatch *differs) {
  uint64_t pairs[][2] = {{asked->state, found->state}, {asked->output, found->output}, {asked->history, found->history}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    if (pairs[i][0] == pairs[i][1]) continue;
    *differs = (muster_mismatch){MUSTER_MISMATCH_LAYOUT, pairs[i][0], pairs[i][1]};
    return 0;
  }
  return 1;
}

static int use_region(muster_region *region, uint32_t flags, const muster_pair_options *options,
                      muster_mismatch *differs, muster_pair **pair) {
  int status = flags & MUSTER_REGION_FILE && !(flags & MUSTER_REGION_READ_ONLY) ? muster_region_sync_name(region) : 0;
  if (status) return status;
  int saved = errno;
  muster_pair *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  status = make_handle(region, flags, made);
  if (!status && options->shape.history && !same_shape(&options->shape, &made->head, differs)) status = EPROTO;
  if (status) return (void)muster_pair_close(made), status;
  made->region = region;
  *pair = made;
  return 0;
}

int muster_pair_open(const char *name, const muster_pair_options *options, muster_pair **pair) {
  *pair = NULL;
  uint32_t flags = muster_group_region_flags(options->flags);
  pair_head head = head_of(&options->shape, flags);
  pair_parts parts = {0};
  int given = options->shape.history != 0;
  if ((given || flags & MUSTER_REGION_CREATE) && parts_of(&head, &parts)) return EINVAL;
  muster_mismatch differs = {0};
  muster_region *region;
  int status = muster_region_open(name,
                                  &(muster_region_options){.flags = flags,
                                                           .mode = options->mode,
                                                           .kind = MUSTER_PAIR_KIND,
                                                           .version = PAIR_VERSION,
                                                           .layout = options->layout,
                                                           .size = given ? parts.entries + parts.entries_size : 0,
                                                           .deadline = options->deadline,
                                                           .initialize = fill,
                                                           .renew = renew,
                                                           .context = &head,
                                                           .mismatch = &differs},
                                  &region);
  if (!status) {
    status = use_region(region, flags, options, &differs, pair);
    if (status) muster_region_close(region);
  }
  if (options->mismatch) *options->mismatch = differs;
  return status;
}

int muster_pair_close(muster_pair *pair) {
  if (!pair) return 0;
  int inherited = pair->guard.word && muster_fork_inherited(&pair->guard);
  if ((pair->leads || pair->stands_by) && !inherited && muster_pair_resign(pair) == EBUSY) return EBUSY;
  (void)muster_seqlock_close(pair->primary);
  (void)muster_seqlock_close(pair->backup);
  (void)muster_checkpoint_close(pair->entries);
  muster_region_close(pair->region);
  free(pair);
  return 0;
}

muster_region *muster_pair_region(const muster_pair *pair) { return pair->region; }

void *muster_pair_cell(const muster_pair *pair) { return pair->cell; }

void muster_pair_shape_of(const muster_pair *pair, muster_pair_shape *shape) {
  *shape = (muster_pair_shape){.state = pair->head.state, .output = pair->head.output, .history = pair->head.history};
}
