// Who leads, who stands by, what they say, and the seat that is handed on.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "internal/caller.h"
#include "internal/checkpoint.h"
#include "internal/group.h"
#include "internal/held.h"
#include "internal/pair.h"
#include "internal/region_map.h"
#include "internal/seqlock.h"

// Gives the roles back as far as that can be done. A role whose thread has ended is no more: nothing to give back.
static int give_back(muster_pair *pair) {
  if (pair->leads) {
    int status = muster_checkpoint_release(pair->entries);
    if (status == EBUSY) return EBUSY;
    status = muster_seqlock_release(pair->primary);
    if (status == EBUSY) return EBUSY;
  }
  if (pair->stands_by && muster_seqlock_release(pair->backup) == EBUSY) return EBUSY;
  pair->leads = pair->stands_by = 0;
  return 0;
}

int muster_pair_resign(muster_pair *pair) {
  if (muster_fork_inherited(&pair->guard)) return EPERM;
  return pair->leads || pair->stands_by ? give_back(pair) : EINVAL;
}

// The claim comes first: of two that would lead one is refused before it has fenced the other.
static int claim_and_take_over(muster_pair *pair, uint64_t *epoch) {
  int status = muster_seqlock_claim(pair->primary, NULL);
  if (status) return status;
  status = muster_checkpoint_take_over(pair->entries, epoch);
  if (status) (void)muster_seqlock_release(pair->primary);
  return status;
}

int muster_pair_lead(muster_pair *pair, uint64_t *epoch) {
  if (muster_fork_inherited(&pair->guard)) return EPERM;
  if (pair->read_only) return EACCES;
  if (pair->leads && muster_checkpoint_check(pair->entries) == 0) return EALREADY;
  int status = give_back(pair);
  if (status) return status;
  status = claim_and_take_over(pair, epoch);
  pair->leads = !status;
  return status;
}

int muster_pair_stand_by(muster_pair *pair) {
  if (muster_fork_inherited(&pair->guard)) return EPERM;
  if (pair->read_only) return EACCES;
  if (pair->leads) return EALREADY;
  int status = muster_seqlock_claim(pair->backup, NULL);
  if (status != EALREADY) pair->stands_by = !status;
  return status;
}

// A role ends with the thread that took it: from then on these words are a successor's.
static int has_role(const muster_pair *pair, int role, const muster_seqlock *seqlock) {
  return role && !muster_fork_inherited(&pair->guard) && !muster_group_was_lost(seqlock->group);
}

int muster_pair_say(muster_pair *pair, const muster_pair_primary *primary) {
  uint64_t words[PAIR_PRIMARY_WORDS];
  if (!has_role(pair, pair->leads, pair->primary)) return EPERM;
  memcpy(words, primary, sizeof words);
  return muster_seqlock_write(pair->primary, words, PAIR_PRIMARY_WORDS);
}

int muster_pair_say_standing_by(muster_pair *pair, const muster_pair_backup *backup) {
  uint64_t words[PAIR_BACKUP_WORDS];
  if (!has_role(pair, pair->stands_by, pair->backup)) return EPERM;
  memcpy(words, backup, sizeof words);
  return muster_seqlock_write(pair->backup, words, PAIR_BACKUP_WORDS);
}

// Asked in a forked child too, which only looks. In a file whose boot is over, and which nobody has renewed, locks are as the
// machine's end left them.
static muster_pair_life life_of(const muster_pair *pair, const muster_seqlock *seqlock) {
  int32_t pid;
  switch (muster_group_holder(seqlock->group, &seqlock->state->owner, &pid)) {
    case 0: return muster_checkpoint_is_old(pair->entries) ? MUSTER_PAIR_DEAD : MUSTER_PAIR_ALIVE;
    case EOWNERDEAD: return MUSTER_PAIR_DEAD;
    default: return MUSTER_PAIR_NOBODY;
  }
}

int muster_pair_look(const muster_pair *pair, muster_pair_status *status) {
  uint64_t primary[PAIR_PRIMARY_WORDS], backup[PAIR_BACKUP_WORDS];
  int error = muster_seqlock_read(pair->primary, primary, PAIR_PRIMARY_WORDS, NULL);
  if (!error) error = muster_seqlock_read(pair->backup, backup, PAIR_BACKUP_WORDS, NULL);
  if (error) return error;
  // The last one stored is looked at first, so that who works on meanwhile never seems to have emitted what he has not tried.
  uint64_t emitted = __atomic_load_n(&pair->marks->emitted, __ATOMIC_ACQUIRE);
  uint64_t committed = __atomic_load_n(&pair->marks->committed, __ATOMIC_ACQUIRE);
  *status = (muster_pair_status){.epoch = muster_checkpoint_epoch(pair->entries),
                                 .tried = __atomic_load_n(&pair->marks->tried, __ATOMIC_ACQUIRE),
                                 .committed = committed,
                                 .emitted = emitted,
                                 .entries = checkpoint_slot_of(checkpoint_newest(pair->entries)) != CHECKPOINT_NOWHERE,
                                 .primary_life = life_of(pair, pair->primary),
                                 .backup_life = life_of(pair, pair->backup)};
  memcpy(&status->primary, primary, sizeof primary);
  memcpy(&status->backup, backup, sizeof backup);
  return 0;
}

// ---- The seat

// Another open file of the same region, so that the lock on it is no other handle's.
static int open_again(const muster_pair *pair, int *descriptor) {
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", muster_region_descriptor(pair->region));
  int file = muster_above_stdio(open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (file < 0) return errno;
  *descriptor = file;
  return 0;
}

int muster_pair_seat(const muster_pair *pair, int *descriptor) {
  *descriptor = -1;
  if (muster_fork_inherited(&pair->guard)) return EPERM;
  if (pair->read_only) return EACCES;
  int status = muster_region_current(pair->region);
  if (status) return status;
  muster_caller came = muster_enter();
  int file = -1;
  status = open_again(pair, &file);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = PAIR_SEAT_BYTE, .l_len = 1};
  if (!status && fcntl(file, F_OFD_SETLK, &lock)) {
    status = errno == EAGAIN || errno == EACCES ? EBUSY : errno;
    (void)close(file);
  }
  if (!status) *descriptor = file;
  muster_leave(came);
  return status;
}
