// The writer's role: taking it over, and giving it back.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/checkpoint.h"

static uint32_t this_thread(void) { return (uint32_t)syscall(SYS_gettid); }

static int accept_any(uint32_t index, muster_member_state was, void *context) {
  return (void)index, (void)was, (void)context, 1;
}

// With the place's lock held, before anybody takes who joins for the writer that had the place before.
static void empty_seat(uint32_t index, void *context) {
  const muster_checkpoint *checkpoint = context;
  __atomic_store_n(&checkpoint->seats[index].epoch, UINT64_C(0), __ATOMIC_RELEASE);
}

static void restamp_empty(checkpoint_slot *slot, uint64_t stamp) {
  uint64_t next = checkpoint_stamp_after(stamp, 0, SLOT_EMPTY);
  __atomic_compare_exchange_n(&slot->stamp, &stamp, next, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

// Gives back what those claimed who had this place before: they are dead, since we hold its lock.
static void give_back_of_dead(const muster_checkpoint *checkpoint, uint32_t member) {
  for (uint32_t i = 0; i < checkpoint->count; i++) {
    checkpoint_slot *slot = checkpoint_slot_at(checkpoint, i);
    uint64_t stamp = __atomic_load_n(&slot->stamp, __ATOMIC_ACQUIRE);
    if (checkpoint_stamp_what(stamp) == SLOT_WRITING && checkpoint_stamp_member(stamp) == member)
      restamp_empty(slot, stamp);
  }
}

// Begins the next epoch. One step, which can't fail or be repeated, whatever the writer before does meanwhile.
static int begin_epoch(muster_checkpoint *checkpoint) {
  uint64_t newest = checkpoint_newest(checkpoint);
  uint32_t slot = checkpoint_slot_of(newest);
  if (slot != CHECKPOINT_NOWHERE && slot >= checkpoint->count) return EBADMSG;
  if (checkpoint_epoch_of(newest) >= CHECKPOINT_EPOCH_MAX - 1) return EOVERFLOW;
  uint64_t one = checkpoint_named(1, 0, 0);
  newest = __atomic_fetch_add(&checkpoint->state->newest, one, __ATOMIC_ACQ_REL);
  slot = checkpoint_slot_of(newest);
  checkpoint->newest = newest + one;
  return slot != CHECKPOINT_NOWHERE && slot >= checkpoint->count ? EBADMSG : 0;
}

// Empties what older epochs left whole but uncommitted, so that it takes no slot away. Those writers are fenced, so it can't become
// committed any more; of our own epoch or a later one nothing is touched.
static void empty_uncommitted(const muster_checkpoint *checkpoint, const checkpoint_seen *kept, uint32_t count) {
  for (uint32_t i = 0; i < checkpoint->count; i++) {
    checkpoint_seen state;
    int known = muster_checkpoint_see(checkpoint, i, &state) != 0;
    for (uint32_t k = 0; k < count; k++) known |= kept[k].index == i;
    // What is not sealed tells no epoch, and is nobody's: it was stamped whole after its seal.
    if (known || (state.sealed && state.fields.epoch >= checkpoint_epoch_of(checkpoint->newest))) continue;
    restamp_empty(checkpoint_slot_at(checkpoint, i), state.fields.stamp);
  }
}

static int in_a_file(const muster_checkpoint *checkpoint) {
  return (checkpoint->shape.flags & MUSTER_CHECKPOINT_PAGES) != 0;
}

// Reads where to go on: at the newest whole state.
static int find_place(muster_checkpoint *checkpoint) {
  checkpoint_seen kept[CHECKPOINT_SLOTS];
  uint32_t count, slots = checkpoint->count, named = checkpoint_slot_of(checkpoint->newest);
  int status = muster_checkpoint_chain_all(checkpoint, 0, kept, &count);
  if (status && status != ENODATA) return status == EAGAIN ? ESTALE : status;
  while (count && (status = muster_checkpoint_verify(checkpoint, kept)) == EBADMSG) {
    for (uint32_t k = 1; k < count; k++) kept[k - 1] = kept[k];
    count--;
  }
  // Whoever took over after us has seen to what is left of the others.
  if (checkpoint_newest(checkpoint) != checkpoint->newest) return ESTALE;
  checkpoint->sequence = checkpoint->base = count ? kept->fields.sequence : 0;
  checkpoint->durable = count && in_a_file(checkpoint) ? kept->index : CHECKPOINT_NOWHERE;
  if (checkpoint->sequence == UINT64_MAX) return EBADMSG;
  checkpoint->next = named == CHECKPOINT_NOWHERE || named + 1 == slots ? 0 : named + 1;
  checkpoint->place = 0;
  for (uint32_t k = 0; k <= checkpoint->shape.history; k++) {
    uint32_t from_oldest = checkpoint->shape.history - k;
    checkpoint->recent[k] = from_oldest < count ? kept[from_oldest].fields.sequence : 0;
  }
  checkpoint->least = checkpoint->recent[0];
  empty_uncommitted(checkpoint, kept, count);
  return 0;
}

// What the epoch began after, in place of the older of the two in the seat, which is of a writer that is no more.
static void note_beginning(const muster_checkpoint *checkpoint) {
  checkpoint_began *both = checkpoint->seats[checkpoint->member].began, older[2];
  for (int k = 0; k < 2; k++)
    if (!checkpoint_began_read(&both[k], &older[k])) older[k].epoch = 0;
  checkpoint_began *to = &both[older[1].epoch < older[0].epoch];
  uint64_t epoch = checkpoint_epoch_of(checkpoint->newest);
  __atomic_store_n(&to->epoch, epoch, __ATOMIC_RELAXED);
  __atomic_store_n(&to->base, checkpoint->base, __ATOMIC_RELAXED);
  __atomic_store_n(&to->check, checkpoint_began_check(epoch, checkpoint->base), __ATOMIC_RELAXED);
}

// The epoch has to hold over a power cut too: the state that it began after, then what tells so.
static int write_epoch(const muster_checkpoint *checkpoint) {
  if (!in_a_file(checkpoint)) return 0;
  const checkpoint_seat *seat = &checkpoint->seats[checkpoint->member];
  uint32_t slot = checkpoint->durable;
  int status = slot == CHECKPOINT_NOWHERE ? 0 : muster_checkpoint_flush_slot(checkpoint, slot);
  if (!status) status = muster_checkpoint_flush(seat, sizeof *seat);
  return status ? status : muster_checkpoint_flush(checkpoint->state, sizeof *checkpoint->state);
}

// Leaves a role that is no more: of a thread that has ended, or fenced.
static int let_go(muster_checkpoint *checkpoint) {
  if (!muster_checkpoint_was_lost(checkpoint)) return muster_checkpoint_release(checkpoint);
  checkpoint->writing = checkpoint->open = 0;
  return muster_group_leave(checkpoint->group);
}

static int become_writer(muster_checkpoint *checkpoint, uint32_t member) {
  checkpoint->member = member;
  checkpoint->thread = this_thread();
  checkpoint->fenced = checkpoint->open = 0;
  give_back_of_dead(checkpoint, member);
  int status = begin_epoch(checkpoint);
  if (status) return status;
  __atomic_store_n(&checkpoint->seats[member].epoch, checkpoint_epoch_of(checkpoint->newest), __ATOMIC_RELEASE);
  status = find_place(checkpoint);
  if (status) return status;
  note_beginning(checkpoint);
  return write_epoch(checkpoint);
}

int muster_checkpoint_take_over(muster_checkpoint *checkpoint, uint64_t *epoch) {
  if (muster_fork_inherited(&checkpoint->guard)) return EPERM;
  if (checkpoint->read_only) return EACCES;
  int status = 0;
  if (checkpoint->writing) {
    if (!muster_checkpoint_check(checkpoint)) return EALREADY;
    status = let_go(checkpoint);
    if (status) return status;
  }
  uint32_t member;
  status = muster_group_join_seated(
      checkpoint->group, &(group_seating){.accept = accept_any, .seated = empty_seat, .context = checkpoint}, &member);
  if (status) return status == EOVERFLOW ? EBUSY : status;
  status = become_writer(checkpoint, member);
  if (status) return (void)muster_group_leave(checkpoint->group), status;
  checkpoint->writing = 1;
  if (epoch) *epoch = checkpoint_epoch_of(checkpoint->newest);
  return 0;
}

int muster_checkpoint_release(muster_checkpoint *checkpoint) {
  if (muster_fork_inherited(&checkpoint->guard)) return EPERM;
  if (!checkpoint->writing) return EINVAL;
  if (muster_checkpoint_was_lost(checkpoint)) {
    int status = let_go(checkpoint);
    return status ? status : EINVAL;
  }
  if (this_thread() != checkpoint->thread) return EBUSY;
  if (checkpoint->open) (void)muster_checkpoint_abandon(checkpoint);
  checkpoint->writing = 0;
  return muster_group_leave(checkpoint->group);
}
