// Reading a checkpoint: nothing here stores to the shared memory, or waits for anybody.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "internal/checkpoint.h"

MUSTER_NONBLOCKING static uint64_t load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }

MUSTER_NONBLOCKING static void copy_fields(const checkpoint_slot *slot, uint64_t stamp, checkpoint_slot *fields) {
  *fields = (checkpoint_slot){.stamp = stamp,
                              .sequence = load(&slot->sequence),
                              .epoch = load(&slot->epoch),
                              .base = load(&slot->base),
                              .time = load(&slot->time),
                              .length = load(&slot->length),
                              .restored = load(&slot->restored),
                              .checksum = __atomic_load_n(&slot->checksum, __ATOMIC_RELAXED),
                              .seal = __atomic_load_n(&slot->seal, __ATOMIC_RELAXED)};
}

// Whether what was read since the stamp was loaded (acquire) is all of that one state.
MUSTER_NONBLOCKING static int still(const checkpoint_slot *slot, uint64_t stamp) {
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return load(&slot->stamp) == stamp;
}

MUSTER_NONBLOCKING static int is_sealed(const muster_checkpoint *checkpoint, const checkpoint_slot *fields) {
  if (fields->length > checkpoint->shape.capacity || fields->epoch > CHECKPOINT_EPOCH_MAX) return 0;
  return checkpoint_seal(fields) == fields->seal;
}

MUSTER_NONBLOCKING static void tell(const checkpoint_slot *fields, muster_checkpoint_info *info) {
  *info = (muster_checkpoint_info){.sequence = fields->sequence,
                                   .epoch = fields->epoch,
                                   .time = (int64_t)fields->time,
                                   .length = fields->length,
                                   .restored = fields->restored,
                                   .checksum = fields->checksum,
                                   .whole = 1};
}

// Copies the state that the slot held at this stamp: 0; EMSGSIZE; EAGAIN, the slot has become another's; EBADMSG, it is torn.
MUSTER_NONBLOCKING static int copy_out(const muster_checkpoint *checkpoint, uint32_t index, uint64_t stamp, void *buffer,
                                       size_t size, muster_checkpoint_info *info) {
  checkpoint_slot *slot = checkpoint_slot_at(checkpoint, index), fields;
  copy_fields(slot, stamp, &fields);
  uint64_t length = fields.length;
  // A length that is of no one state must not be used.
  if (length > checkpoint->shape.capacity) return still(slot, stamp) ? EBADMSG : EAGAIN;
  int fits = length <= size;
  uint32_t sum = fits ? muster_crc32c_get(0, buffer, checkpoint_payload(slot), (size_t)length) : fields.checksum;
  if (!still(slot, stamp)) return EAGAIN;
  if (sum != fields.checksum || checkpoint_seal(&fields) != fields.seal) return EBADMSG;
  if (info) tell(&fields, info);
  return fits ? 0 : EMSGSIZE;
}

MUSTER_NONBLOCKING int muster_checkpoint_see(const muster_checkpoint *checkpoint, uint32_t index,
                                             checkpoint_seen *seen) {
  const checkpoint_slot *slot = checkpoint_slot_at(checkpoint, index);
  uint64_t stamp = __atomic_load_n(&slot->stamp, __ATOMIC_ACQUIRE);
  if (checkpoint_stamp_what(stamp) != SLOT_WHOLE) return EAGAIN;
  copy_fields(slot, stamp, &seen->fields);
  seen->index = index;
  seen->sealed = is_sealed(checkpoint, &seen->fields);
  return still(slot, stamp) ? 0 : EAGAIN;
}

MUSTER_NONBLOCKING int muster_checkpoint_verify(const muster_checkpoint *checkpoint, const checkpoint_seen *seen) {
  checkpoint_slot *slot = checkpoint_slot_at(checkpoint, seen->index);
  if (!seen->sealed) return still(slot, seen->fields.stamp) ? EBADMSG : EAGAIN;
  uint32_t sum = muster_crc32c_look(0, checkpoint_payload(slot), (size_t)seen->fields.length);
  if (!still(slot, seen->fields.stamp)) return EAGAIN;
  return sum == seen->fields.checksum ? 0 : EBADMSG;
}

// The slot of the newest state and its stamp. The word is the same before and after the stamp was loaded, so the
// stamp is the committed state's, or of somebody who has the slot after that; the look at the stamp that comes after the
// reading tells the two apart. ENODATA, EAGAIN, EBADMSG.
MUSTER_NONBLOCKING static int find_newest(const muster_checkpoint *checkpoint, uint32_t *index, uint64_t *stamp) {
  uint64_t newest = checkpoint_newest(checkpoint);
  *index = checkpoint_slot_of(newest);
  if (*index == CHECKPOINT_NOWHERE) return ENODATA;
  if (*index >= checkpoint->count) return EBADMSG;
  *stamp = __atomic_load_n(&checkpoint_slot_at(checkpoint, *index)->stamp, __ATOMIC_ACQUIRE);
  return checkpoint_newest(checkpoint) == newest ? 0 : EAGAIN;
}

MUSTER_NONBLOCKING int muster_checkpoint_is_old(const muster_checkpoint *checkpoint) {
  return checkpoint->boot && memcmp(checkpoint->boot, checkpoint->this_boot, CHECKPOINT_BOOT) != 0;
}

// ---- All that is kept

MUSTER_NONBLOCKING static int is_newer(const checkpoint_slot *one, const checkpoint_slot *other) {
  return one->epoch != other->epoch ? one->epoch > other->epoch : one->sequence > other->sequence;
}

// Enters a state among the others, the newest first.
MUSTER_NONBLOCKING static void enter(checkpoint_seen *seen, uint32_t *count, const checkpoint_seen *state) {
  uint32_t at = (*count)++;
  for (; at > 0 && is_newer(&state->fields, &seen[at - 1].fields); at--) seen[at] = seen[at - 1];
  seen[at] = *state;
}

// All whole states but those newer than `first`, which may be NULL.
MUSTER_NONBLOCKING static void gather(const muster_checkpoint *checkpoint, const checkpoint_seen *first,
                                      checkpoint_seen *seen, uint32_t *count) {
  checkpoint_seen state;
  *count = 0;
  if (first) enter(seen, count, first);
  for (uint32_t i = 0; i < checkpoint->count; i++) {
    if (first && (i == first->index)) continue;
    if (muster_checkpoint_see(checkpoint, i, &state) || !state.sealed) continue;
    if (!first || !is_newer(&state.fields, &first->fields)) enter(seen, count, &state);
  }
}

// An epoch began after that sequence: what older epochs have beyond it was fenced off.
MUSTER_NONBLOCKING static void drop_older(checkpoint_seen *seen, uint32_t *count, uint64_t epoch, uint64_t base) {
  uint32_t kept = 0;
  for (uint32_t k = 0; k < *count; k++)
    if (seen[k].fields.epoch >= epoch || seen[k].fields.sequence <= base) seen[kept++] = seen[k];
  *count = kept;
}

// Of what was found after a restart of the machine, when of an epoch that fenced others there may be no state. What it began after
// stands in its writer's seat; or, where that one died before he had written it, `newest` still names that state: but if a power cut left
// the word and its slot from different moments, they don't go together, and tell nothing.
MUSTER_NONBLOCKING static void drop_fenced(const muster_checkpoint *checkpoint, checkpoint_seen *seen,
                                           uint32_t *count) {
  checkpoint_began began;
  for (uint32_t k = 0; k < 2 * checkpoint->shape.writers; k++)
    if (checkpoint_began_read(&checkpoint->seats[k / 2].began[k % 2], &began))
      drop_older(seen, count, began.epoch, began.base);
  uint64_t newest = checkpoint_newest(checkpoint);
  for (uint32_t k = 0; k < *count; k++) {
    uint64_t sequence = seen[k].fields.sequence;
    if (seen[k].index != checkpoint_slot_of(newest) || !checkpoint_means(newest, sequence)) continue;
    drop_older(seen, count, checkpoint_epoch_of(newest), sequence);
    return;
  }
}

// Keeps what the first leads to: of its epoch what came before it, of older ones what came before the epoch.
MUSTER_NONBLOCKING static void follow(checkpoint_seen *seen, uint32_t *count) {
  uint32_t kept = 1;
  for (uint32_t k = 1; k < *count; k++) {
    const checkpoint_slot *newer = &seen[kept - 1].fields, *older = &seen[k].fields;
    int committed = older->sequence < newer->sequence;
    if (older->epoch != newer->epoch && older->sequence > newer->base) committed = 0;
    if (committed) seen[kept++] = seen[k];
  }
  if (*count) *count = kept;
}

// The state that `newest` names; first->sealed 0: it is torn.
MUSTER_NONBLOCKING static int see_newest(const muster_checkpoint *checkpoint, checkpoint_seen *first) {
  for (uint32_t attempt = 0; attempt < MUSTER_CHECKPOINT_ATTEMPTS; attempt++) {
    uint32_t index;
    uint64_t stamp;
    int status = find_newest(checkpoint, &index, &stamp);
    if (status == EAGAIN) continue;
    if (status) return status;
    *first = (checkpoint_seen){.index = index, .fields = {.stamp = stamp}};
    // Nothing but a power cut, or corruption, can leave it so.
    if (checkpoint_stamp_what(stamp) != SLOT_WHOLE) return 0;
    if (!muster_checkpoint_see(checkpoint, index, first) && first->fields.stamp == stamp) return 0;
  }
  return EAGAIN;
}

MUSTER_NONBLOCKING int muster_checkpoint_chain_all(const muster_checkpoint *checkpoint, int recover,
                                                   checkpoint_seen seen[CHECKPOINT_SLOTS], uint32_t *count) {
  checkpoint_seen first = {.sealed = 0};
  *count = 0;
  int status = recover ? 0 : see_newest(checkpoint, &first);
  if (status) return status;
  gather(checkpoint, first.sealed ? &first : NULL, seen, count);
  if (!first.sealed) drop_fenced(checkpoint, seen, count);
  follow(seen, count);
  return *count || !recover ? 0 : ENODATA;
}

MUSTER_NONBLOCKING int muster_checkpoint_chain(const muster_checkpoint *checkpoint, int recover,
                                               checkpoint_seen seen[CHECKPOINT_SLOTS], uint32_t *count) {
  int status = muster_checkpoint_chain_all(checkpoint, recover, seen, count);
  if (*count > checkpoint->shape.history + 1) *count = checkpoint->shape.history + 1;
  return status;
}

// ---- Searching

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wfunction-effects"
#endif
// The caller's own function, where there is one.
MUSTER_NONBLOCKING static int accepts(muster_checkpoint_accept accept, void *context, const void *bytes,
                                      const muster_checkpoint_info *info) {
  return !accept || accept(bytes, info, context);
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

typedef struct checkpoint_search {
  uint64_t sequence;  // 0: any
  muster_checkpoint_accept accept;
  void *context;
} checkpoint_search;

// Goes through what is kept once. EAGAIN: some of it was overwritten meanwhile, so there is newer.
MUSTER_NONBLOCKING static int search_once(const muster_checkpoint *checkpoint, const checkpoint_search *search,
                                          void *buffer, size_t size, muster_checkpoint_info *info) {
  checkpoint_seen seen[CHECKPOINT_SLOTS];
  uint32_t count;
  int status = muster_checkpoint_chain(checkpoint, muster_checkpoint_is_old(checkpoint), seen, &count);
  if (status) return status;
  int refused = 0, torn = count == 0;
  for (uint32_t k = 0; k < count; k++) {
    if (search->sequence && seen[k].fields.sequence != search->sequence) continue;
    status = copy_out(checkpoint, seen[k].index, seen[k].fields.stamp, buffer, size, info);
    if (status == EAGAIN || status == EMSGSIZE) return status;
    if (!status && accepts(search->accept, search->context, buffer, info)) return 0;
    if (status) torn = 1;
    else refused = 1;
  }
  return torn && !refused ? EBADMSG : ENOENT;
}

MUSTER_NONBLOCKING static int search(const muster_checkpoint *checkpoint, const checkpoint_search *search,
                                     void *buffer, size_t size, muster_checkpoint_info *info) {
  muster_checkpoint_info unused;
  for (uint32_t attempt = 0; attempt < MUSTER_CHECKPOINT_ATTEMPTS; attempt++) {
    int status = search_once(checkpoint, search, buffer, size, info ? info : &unused);
    if (status != EAGAIN) return status;
  }
  return EAGAIN;
}

MUSTER_NONBLOCKING int muster_checkpoint_read(const muster_checkpoint *checkpoint, void *buffer, size_t size,
                                              muster_checkpoint_info *info) {
  for (uint32_t attempt = 0; attempt < MUSTER_CHECKPOINT_ATTEMPTS; attempt++) {
    uint32_t index;
    uint64_t stamp;
    if (muster_checkpoint_is_old(checkpoint)) return search(checkpoint, &(checkpoint_search){0}, buffer, size, info);
    int status = find_newest(checkpoint, &index, &stamp);
    if (status == EAGAIN) continue;
    if (status) return status;
    status = EBADMSG;
    if (checkpoint_stamp_what(stamp) == SLOT_WHOLE)
      status = copy_out(checkpoint, index, stamp, buffer, size, info);
    if (status == EBADMSG) return search(checkpoint, &(checkpoint_search){0}, buffer, size, info);
    if (status != EAGAIN) return status;
  }
  return EAGAIN;
}

MUSTER_NONBLOCKING int muster_checkpoint_read_at(const muster_checkpoint *checkpoint, uint64_t sequence, void *buffer,
                                                 size_t size, muster_checkpoint_info *info) {
  if (sequence == 0) return ENOENT;
  return search(checkpoint, &(checkpoint_search){.sequence = sequence}, buffer, size, info);
}

int muster_checkpoint_load(const muster_checkpoint *checkpoint, muster_checkpoint_accept accept, void *context,
                           void *buffer, size_t size, muster_checkpoint_info *info) {
  return search(checkpoint, &(checkpoint_search){.accept = accept, .context = context}, buffer, size, info);
}

int muster_checkpoint_list(const muster_checkpoint *checkpoint, muster_checkpoint_info *infos, uint32_t count,
                           uint32_t *kept) {
  checkpoint_seen seen[CHECKPOINT_SLOTS];
  uint32_t there;
  *kept = 0;
  int status = muster_checkpoint_chain(checkpoint, muster_checkpoint_is_old(checkpoint), seen, &there);
  if (status) return status == ENODATA ? 0 : status;
  for (uint32_t k = 0; k < there; k++) {
    int torn = muster_checkpoint_verify(checkpoint, &seen[k]);
    // Others have it by now: it is not kept any more.
    if (torn == EAGAIN) continue;
    if (*kept < count) {
      tell(&seen[k].fields, &infos[*kept]);
      infos[*kept].whole = !torn;
    }
    (*kept)++;
  }
  return 0;
}
