// Writing a checkpoint: taking over, claiming a slot, committing. The argument stands in muster/checkpoint.h; here, at each
// step, what it rests on.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal/checkpoint.h"
#include "internal/region_file.h"

// ---- The disk

static int flush_pages(const void *address, size_t size) {
  int saved = errno, error = 0;
  size_t page = (size_t)sysconf(_SC_PAGESIZE), before = (uintptr_t)address % page;
  void *first = (void *)((uintptr_t)address - before);
  if (msync(first, before + size, MS_SYNC)) error = errno;
  errno = saved;
  return error;
}

int (*muster_checkpoint_flush)(const void *address, size_t size) = flush_pages;

int muster_checkpoint_flush_slot(const muster_checkpoint *checkpoint, uint32_t index) {
  const checkpoint_slot *slot = checkpoint_slot_at(checkpoint, index);
  uint64_t length = __atomic_load_n(&slot->length, __ATOMIC_RELAXED);
  if (length > checkpoint->shape.capacity) return EBADMSG;
  return muster_checkpoint_flush(slot, sizeof *slot + (size_t)length);
}

// ---- Who may write

MUSTER_NONBLOCKING int muster_checkpoint_was_lost(const muster_checkpoint *checkpoint) {
  uint32_t word = __atomic_load_n(muster_group_lock_word(checkpoint->group, checkpoint->member), __ATOMIC_ACQUIRE);
  return muster_liveness_died(word) || muster_liveness_owner(word) != checkpoint->thread;
}

// While this is the writer nobody changes `newest` but who takes over: a word of the same epoch that is another than ours
// was not written by this protocol.
MUSTER_NONBLOCKING static int look(const muster_checkpoint *checkpoint) {
  if (checkpoint->fenced) return ESTALE;
  uint64_t newest = checkpoint_newest(checkpoint);
  if (newest == checkpoint->newest) return 0;
  return checkpoint_epoch_of(newest) == checkpoint_epoch_of(checkpoint->newest) ? EBADMSG : ESTALE;
}

// The outcome of what could not be done: a fenced writer is told that, whatever else it met because of it.
MUSTER_NONBLOCKING static int blame(muster_checkpoint *checkpoint, int status) {
  int fenced = look(checkpoint) == ESTALE;
  checkpoint->fenced |= fenced;
  return fenced ? ESTALE : status;
}

MUSTER_NONBLOCKING static int may_write(const muster_checkpoint *checkpoint) {
  if (muster_fork_inherited(&checkpoint->guard) || !checkpoint->writing) return EPERM;
  return muster_checkpoint_was_lost(checkpoint) ? EPERM : 0;
}

MUSTER_NONBLOCKING int muster_checkpoint_check(const muster_checkpoint *checkpoint) {
  int status = may_write(checkpoint);
  return status ? status : look(checkpoint) == ESTALE ? ESTALE : 0;
}

// ---- Slots

// From the very stamp that was seen. Stamps never come back, so nobody had the slot since.
MUSTER_NONBLOCKING static int restamp(checkpoint_slot *slot, uint64_t seen, uint32_t member, uint32_t what) {
  uint64_t next = checkpoint_stamp_after(seen, member, what);
  return __atomic_compare_exchange_n(&slot->stamp, &seen, next, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wfunction-effects"
#endif
// Whether the claimant of a slot still lives: some loads. A place that another has joined in meanwhile counts as living until that
// one has given the slots of the one before back.
MUSTER_NONBLOCKING static int is_quarantined(const muster_checkpoint *checkpoint, uint32_t member) {
  if (member >= checkpoint->shape.writers) return 0;
  return muster_group_life(checkpoint->group, member) == MUSTER_MEMBER_ALIVE;
}

// The vDSO's clock: no system call where there is one.
MUSTER_NONBLOCKING static uint64_t time_now(void) { return (uint64_t)muster_region_wall_clock(); }
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

// Whether this slot, at this stamp, holds none of the last history + 1 states, nor the last durable one, and nobody writes into it.
// A whole one with a greater sequence than ours is a fenced writer's, or of one who fenced us: it is let alone.
MUSTER_NONBLOCKING static int is_free(const muster_checkpoint *checkpoint, uint32_t index, uint64_t stamp) {
  if (index == checkpoint_slot_of(checkpoint->newest) || index == checkpoint->durable) return 0;
  const checkpoint_slot *slot = checkpoint_slot_at(checkpoint, index);
  switch (checkpoint_stamp_what(stamp)) {
    case SLOT_WHOLE: return __atomic_load_n(&slot->sequence, __ATOMIC_RELAXED) < checkpoint->least;
    case SLOT_WRITING:
      return checkpoint_stamp_member(stamp) == checkpoint->member ||
             !is_quarantined(checkpoint, checkpoint_stamp_member(stamp));
    default: return 1;
  }
}

// Claims a slot. The epoch is looked at before: whoever is fenced afterwards claims by stamps that he saw as the writer, or later, and
// goes only for states that were too old for him.
MUSTER_NONBLOCKING static int claim(muster_checkpoint *checkpoint) {
  int status = look(checkpoint);
  if (status) return blame(checkpoint, status);
  uint32_t index = checkpoint->next;
  for (uint32_t turn = 0; turn < checkpoint->count; turn++, index = index + 1 == checkpoint->count ? 0 : index + 1) {
    checkpoint_slot *slot = checkpoint_slot_at(checkpoint, index);
    uint64_t stamp = __atomic_load_n(&slot->stamp, __ATOMIC_ACQUIRE);
    if (!is_free(checkpoint, index, stamp)) continue;
    if (!restamp(slot, stamp, checkpoint->member, SLOT_WRITING)) continue;
    // Before anything that is stored into the slot, for readers that still are at its old state.
    __atomic_thread_fence(__ATOMIC_RELEASE);
    checkpoint->open = 1;
    checkpoint->slot = index;
    checkpoint->stamp = checkpoint_stamp_after(stamp, checkpoint->member, SLOT_WRITING);
    return 0;
  }
  return blame(checkpoint, EBUSY);
}

// Gives a slot back whose contents are no state. By compare-and-swap: stamped whole it is no longer claimed, and a successor may have
// taken it.
MUSTER_NONBLOCKING static void give_back(muster_checkpoint *checkpoint) {
  restamp(checkpoint_slot_at(checkpoint, checkpoint->slot), checkpoint->stamp, 0, SLOT_EMPTY);
  checkpoint->open = 0;
}

// ---- Committing

MUSTER_NONBLOCKING static void remember(muster_checkpoint *checkpoint, uint64_t sequence) {
  uint32_t place = checkpoint->place;
  checkpoint->recent[place] = sequence;
  checkpoint->place = place == checkpoint->shape.history ? 0 : place + 1;
  checkpoint->least = checkpoint->recent[checkpoint->place];
}

typedef struct contents {
  size_t length;
  uint32_t checksum;
  uint64_t restored;
} contents;

// Stores what is known of the state, and stamps the slot whole, after its payload.
MUSTER_NONBLOCKING static void fill_in(muster_checkpoint *checkpoint, const contents *of) {
  checkpoint_slot *slot = checkpoint_slot_at(checkpoint, checkpoint->slot);
  checkpoint_slot fields = {.sequence = checkpoint->sequence + 1,
                            .epoch = checkpoint_epoch_of(checkpoint->newest),
                            .base = checkpoint->base,
                            .time = time_now(),
                            .length = of->length,
                            .restored = of->restored,
                            .checksum = of->checksum};
  fields.seal = checkpoint_seal(&fields);
  __atomic_store_n(&slot->sequence, fields.sequence, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->epoch, fields.epoch, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->base, fields.base, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->time, fields.time, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->length, fields.length, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->restored, fields.restored, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->checksum, fields.checksum, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->seal, fields.seal, __ATOMIC_RELAXED);
  checkpoint->stamp = checkpoint_stamp_after(checkpoint->stamp, checkpoint->member, SLOT_WHOLE);
  __atomic_store_n(&slot->stamp, checkpoint->stamp, __ATOMIC_RELEASE);
}

// The commit itself. The slot is whole; it becomes the newest if, and only if, nobody has taken over.
MUSTER_NONBLOCKING static int publish(muster_checkpoint *checkpoint, uint64_t *sequence) {
  uint64_t seen = checkpoint->newest;
  uint64_t next = checkpoint_named(checkpoint_epoch_of(seen), checkpoint->sequence + 1, checkpoint->slot);
  if (!__atomic_compare_exchange_n(&checkpoint->state->newest, &seen, next, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    give_back(checkpoint);
    return blame(checkpoint, EBADMSG);
  }
  checkpoint->open = 0;
  checkpoint->newest = next;
  checkpoint->sequence++;
  checkpoint->next = checkpoint->slot + 1 == checkpoint->count ? 0 : checkpoint->slot + 1;
  remember(checkpoint, checkpoint->sequence);
  if (sequence) *sequence = checkpoint->sequence;
  return 0;
}

MUSTER_NONBLOCKING static int commit(muster_checkpoint *checkpoint, const contents *of, uint64_t *sequence) {
  fill_in(checkpoint, of);
  return publish(checkpoint, sequence);
}

// On the disk first. What could not be written may have got there all the same, in part or whole: its sequence is not used again, so
// that it never passes for another state. What is refused is there whole: it is taken back there too before the caller is told.
static int commit_durable(muster_checkpoint *checkpoint, const contents *of, uint64_t *sequence) {
  const checkpoint_slot *slot = checkpoint_slot_at(checkpoint, checkpoint->slot);
  fill_in(checkpoint, of);
  int status = muster_checkpoint_flush_slot(checkpoint, checkpoint->slot);
  if (status) {
    give_back(checkpoint);
    checkpoint->sequence++;
    return status;
  }
  status = publish(checkpoint, sequence);
  if (status) (void)muster_checkpoint_flush(slot, sizeof *slot);
  else if (checkpoint->shape.flags & MUSTER_CHECKPOINT_PAGES) checkpoint->durable = checkpoint->slot;
  return status;
}

MUSTER_NONBLOCKING int muster_checkpoint_begin(muster_checkpoint *checkpoint, void **bytes) {
  *bytes = NULL;
  int status = may_write(checkpoint);
  if (status) return status;
  if (checkpoint->open) return EALREADY;
  status = claim(checkpoint);
  if (!status) *bytes = checkpoint_payload(checkpoint_slot_at(checkpoint, checkpoint->slot));
  return status;
}

// What stands before a commit in place.
MUSTER_NONBLOCKING static int may_commit(muster_checkpoint *checkpoint, size_t length) {
  int status = may_write(checkpoint);
  if (status) return status;
  if (!checkpoint->open) return EINVAL;
  if (length > checkpoint->shape.capacity) return EMSGSIZE;
  status = look(checkpoint);
  if (!status) return 0;
  give_back(checkpoint);
  return blame(checkpoint, status);
}

// One that was fenced is not worth its sum.
MUSTER_NONBLOCKING static int sum_up(muster_checkpoint *checkpoint, size_t length, contents *of) {
  int status = may_commit(checkpoint, length);
  if (status) return status;
  const void *payload = checkpoint_payload(checkpoint_slot_at(checkpoint, checkpoint->slot));
  *of = (contents){.length = length, .checksum = muster_crc32c_look(0, payload, length)};
  return 0;
}

MUSTER_NONBLOCKING int muster_checkpoint_commit(muster_checkpoint *checkpoint, size_t length, uint64_t *sequence) {
  contents of;
  int status = sum_up(checkpoint, length, &of);
  return status ? status : commit(checkpoint, &of, sequence);
}

int muster_checkpoint_commit_durable(muster_checkpoint *checkpoint, size_t length, uint64_t *sequence) {
  contents of;
  int status = sum_up(checkpoint, length, &of);
  return status ? status : commit_durable(checkpoint, &of, sequence);
}

MUSTER_NONBLOCKING int muster_checkpoint_commit_summed(muster_checkpoint *checkpoint, size_t length, uint32_t sum) {
  int status = may_commit(checkpoint, length);
  return status ? status : commit(checkpoint, &(contents){.length = length, .checksum = sum}, NULL);
}

int muster_checkpoint_commit_summed_durable(muster_checkpoint *checkpoint, size_t length, uint32_t sum) {
  int status = may_commit(checkpoint, length);
  return status ? status : commit_durable(checkpoint, &(contents){.length = length, .checksum = sum}, NULL);
}

MUSTER_NONBLOCKING int muster_checkpoint_abandon(muster_checkpoint *checkpoint) {
  int status = may_write(checkpoint);
  if (status) return status;
  if (!checkpoint->open) return EINVAL;
  give_back(checkpoint);
  return 0;
}

// Claims a slot and copies into it.
MUSTER_NONBLOCKING static int copy_in(muster_checkpoint *checkpoint, const void *bytes, size_t length, contents *of) {
  int status = may_write(checkpoint);
  if (status) return status;
  if (checkpoint->open) return EALREADY;
  if (length > checkpoint->shape.capacity) return EMSGSIZE;
  status = claim(checkpoint);
  if (status) return status;
  void *payload = checkpoint_payload(checkpoint_slot_at(checkpoint, checkpoint->slot));
  *of = (contents){.length = length, .checksum = muster_crc32c_put(0, payload, bytes, length)};
  return 0;
}

MUSTER_NONBLOCKING int muster_checkpoint_save(muster_checkpoint *checkpoint, const void *bytes, size_t length,
                                              uint64_t *sequence) {
  contents of;
  int status = copy_in(checkpoint, bytes, length, &of);
  return status ? status : commit(checkpoint, &of, sequence);
}

int muster_checkpoint_save_durable(muster_checkpoint *checkpoint, const void *bytes, size_t length,
                                   uint64_t *sequence) {
  contents of;
  int status = copy_in(checkpoint, bytes, length, &of);
  return status ? status : commit_durable(checkpoint, &of, sequence);
}

// ---- Rolling back

static int find(const muster_checkpoint *checkpoint, uint64_t sequence, checkpoint_seen *found) {
  checkpoint_seen seen[CHECKPOINT_SLOTS];
  uint32_t count;
  int status = muster_checkpoint_chain(checkpoint, 0, seen, &count);
  if (status) return status == ENODATA ? ENOENT : status;
  for (uint32_t k = 0; k < count; k++) {
    if (seen[k].fields.sequence != sequence) continue;
    *found = seen[k];
    return 0;
  }
  return ENOENT;
}

// While this is the writer nobody touches the last history + 1 states; one that changes meanwhile was taken by a successor.
static int copy_again(muster_checkpoint *checkpoint, uint64_t from, contents *of) {
  checkpoint_seen source;
  int status = may_write(checkpoint);
  if (status) return status;
  if (checkpoint->open) return EALREADY;
  status = find(checkpoint, from, &source);
  if (status) return blame(checkpoint, status);
  status = claim(checkpoint);
  if (status) return status;
  void *to = checkpoint_payload(checkpoint_slot_at(checkpoint, checkpoint->slot));
  checkpoint_slot *slot = checkpoint_slot_at(checkpoint, source.index);
  size_t length = (size_t)source.fields.length;
  *of = (contents){.length = length, .restored = from};
  of->checksum = muster_crc32c_move(0, to, checkpoint_payload(slot), length);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  int same = __atomic_load_n(&slot->stamp, __ATOMIC_RELAXED) == source.fields.stamp;
  if (same && of->checksum == source.fields.checksum) return 0;
  give_back(checkpoint);
  return blame(checkpoint, EBADMSG);
}

int muster_checkpoint_roll_back(muster_checkpoint *checkpoint, uint64_t from, uint64_t *sequence) {
  contents of;
  int status = copy_again(checkpoint, from, &of);
  return status ? status : commit(checkpoint, &of, sequence);
}

int muster_checkpoint_roll_back_durable(muster_checkpoint *checkpoint, uint64_t from, uint64_t *sequence) {
  contents of;
  int status = copy_again(checkpoint, from, &of);
  return status ? status : commit_durable(checkpoint, &of, sequence);
}
