// A checkpoint's handle, and what its sources share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_CHECKPOINT_H
#define MUSTER_INTERNAL_CHECKPOINT_H

#include "checkpoint_layout.h"
#include "crc32c.h"
#include "fork.h"
#include "group.h"

enum { CHECKPOINT_BOOT = 16 };

struct muster_checkpoint {
  checkpoint_state *state;
  checkpoint_seat *seats;
  unsigned char *slots;
  size_t stride;   // from one slot to the next
  uint32_t count;  // of slots
  muster_checkpoint_shape shape;  // checked at attach; never read again
  muster_group *group;            // a place for each writer that may live at a time
  muster_region *region;          // opened by name, else NULL
  fork_guard guard;
  int read_only;
  const unsigned char *boot;  // of a file that this handle can't renew: where it says when it was renewed; else NULL
  uint8_t this_boot[CHECKPOINT_BOOT];

  // The writer's.
  int writing;        // took over, and has not released
  int fenced;         // met a later epoch
  int open;           // has `slot` claimed
  uint32_t thread;    // that took over
  uint32_t member;
  uint64_t newest;    // what the shared word is while this is the writer: its epoch, and the slot of its last commit
  uint64_t sequence;  // of the last commit, also of one that could not be written to the disk
  uint64_t base;
  uint32_t slot;      // claimed, with
  uint64_t stamp;     // this stamp
  uint32_t durable;   // the slot of the last state that is on the disk for certain; CHECKPOINT_NOWHERE
  uint32_t next;      // where to look for the next one first
  uint64_t least;     // states from this sequence on are the last history + 1
  uint32_t place;     // in this ring of their sequences, where `least` stands
  uint64_t recent[MUSTER_CHECKPOINT_HISTORY_MAX + 1];
};

// A slot as it was at one moment, when it was whole.
typedef struct checkpoint_seen {
  checkpoint_slot fields;
  uint32_t index;
  int sealed;  // 0: the seal does not fit, so that nothing but the stamp and the index can be relied on
} checkpoint_seen;

// Writes a part of the memory to the disk: msync(2) of its pages. Tests put another in its place.
extern int (*muster_checkpoint_flush)(const void *address, size_t size);

static inline checkpoint_slot *checkpoint_slot_at(const muster_checkpoint *checkpoint, uint32_t index) {
  return (checkpoint_slot *)(void *)(checkpoint->slots + index * checkpoint->stride);
}
static inline unsigned char *checkpoint_payload(checkpoint_slot *slot) { return (unsigned char *)(slot + 1); }

MUSTER_NONBLOCKING static inline uint64_t checkpoint_newest(const muster_checkpoint *checkpoint) {
  return __atomic_load_n(&checkpoint->state->newest, __ATOMIC_ACQUIRE);
}
static inline uint64_t checkpoint_epoch_of(uint64_t newest) { return newest >> 24; }
static inline uint32_t checkpoint_slot_of(uint64_t newest) { return newest & 0xff; }
static inline uint64_t checkpoint_named(uint64_t epoch, uint64_t sequence, uint32_t slot) {
  return epoch << 24 | (sequence & 0xffff) << 8 | slot;
}
// Whether the word may mean a state of that sequence.
static inline int checkpoint_means(uint64_t newest, uint64_t sequence) {
  return (newest >> 8 & 0xffff) == (sequence & 0xffff);
}

MUSTER_NONBLOCKING static inline uint32_t checkpoint_began_check(uint64_t epoch, uint64_t base) {
  uint64_t words[2] = {epoch, base};
  return muster_crc32c(0, words, sizeof words);
}
// Copies what a seat says: 0 when it is torn, or was never written.
MUSTER_NONBLOCKING static inline int checkpoint_began_read(const checkpoint_began *from, checkpoint_began *began) {
  *began = (checkpoint_began){.epoch = __atomic_load_n(&from->epoch, __ATOMIC_RELAXED),
                              .base = __atomic_load_n(&from->base, __ATOMIC_RELAXED),
                              .check = __atomic_load_n(&from->check, __ATOMIC_RELAXED)};
  return began->epoch && began->check == checkpoint_began_check(began->epoch, began->base);
}

// The seal of these fields.
MUSTER_NONBLOCKING static inline uint32_t checkpoint_seal(const checkpoint_slot *fields) {
  return muster_crc32c(0, &fields->sequence, CHECKPOINT_SEALED);
}

// Copies the fields of a slot: 0, or EAGAIN when it was not WHOLE, or became other meanwhile.
int muster_checkpoint_see(const muster_checkpoint *checkpoint, uint32_t index,
                          checkpoint_seen *seen) MUSTER_NONBLOCKING;

// Whether the checksum of that state's bytes is right: 0, EBADMSG, or EAGAIN: the slot has become another's.
int muster_checkpoint_verify(const muster_checkpoint *checkpoint, const checkpoint_seen *seen) MUSTER_NONBLOCKING;

// The committed states, from the newest to the oldest, whose seals fit: at most history + 1; and all that are still there.
//
// `recover`: after a restart of the machine, when `newest` may be of another moment than the slots. Returns 0; ENODATA;
// EAGAIN; EBADMSG: `newest` names no slot.
int muster_checkpoint_chain(const muster_checkpoint *checkpoint, int recover,
                            checkpoint_seen seen[CHECKPOINT_SLOTS],
                            uint32_t *count) MUSTER_NONBLOCKING;
int muster_checkpoint_chain_all(const muster_checkpoint *checkpoint, int recover,
                                checkpoint_seen seen[CHECKPOINT_SLOTS],
                                uint32_t *count) MUSTER_NONBLOCKING;

// Commits what was filled in after muster_checkpoint_begin, of which the caller has made the sum while he stored it (CRC-32C). They return
// what the public ones do.
int muster_checkpoint_commit_summed(muster_checkpoint *checkpoint, size_t length, uint32_t sum) MUSTER_NONBLOCKING;
int muster_checkpoint_commit_summed_durable(muster_checkpoint *checkpoint, size_t length, uint32_t sum);

// Writes a slot with its state to the disk.
int muster_checkpoint_flush_slot(const muster_checkpoint *checkpoint, uint32_t index);

// Whether the thread that took over has ended. Told by the lock word alone, which libc and the kernel vouch for.
int muster_checkpoint_was_lost(const muster_checkpoint *checkpoint) MUSTER_NONBLOCKING;

// Whether the memory is of a boot that is over, and nobody has renewed it yet.
int muster_checkpoint_is_old(const muster_checkpoint *checkpoint) MUSTER_NONBLOCKING;

#endif
