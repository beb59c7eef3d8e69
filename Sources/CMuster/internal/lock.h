// The robust mutex that both kinds of lock are made of.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_LOCK_H
#define MUSTER_INTERNAL_LOCK_H

#include "fork.h"
#include "lock_layout.h"
#include "muster/lock.h"

// What a handle has of it; for any number of threads.
typedef struct lock_view {
  lock_core *core;
  uint32_t *word;  // the futex word in it, by the libc that made it
  fork_guard guard;
  int32_t pid;
  int32_t spins;   // how long the next wait looks on before it sleeps
} lock_view;

int muster_lock_core_init(lock_core *core);
void muster_lock_head_init(lock_head *head, uint64_t magic, uint32_t capacity);

// What stands at `memory`: EINVAL (alignment), EBADMSG, EPROTO (version). And whether this process may lock it: 0, EPROTO.
int muster_lock_head_check(const void *memory, size_t size, uint64_t magic, uint32_t *capacity);
int muster_lock_compatible(const lock_head *head, muster_mismatch *mismatch);

// EBADMSG: the head's libc is none; ENOMEM.
int muster_lock_view_init(lock_view *view, const lock_head *head, lock_core *core);

// 0 or EOWNERDEAD: held. EBUSY, ENOTRECOVERABLE, EPERM, ENOLCK, ENOMEM, EBADMSG.
int muster_lock_try(lock_view *view);

// The same, and EDEADLK, ETIMEDOUT instead of EBUSY.
int muster_lock_wait(lock_view *view, muster_deadline deadline);

// The same without waiting: EAGAIN with the word to sleep at.
int muster_lock_poll(lock_view *view, muster_wait_set *set);

// Unlocks; what is unrepaired is poisoned by that. 0, EPERM, EBADMSG.
int muster_lock_release(lock_view *view);

// Whether the calling thread holds it: 0, EPERM.
int muster_lock_held(const lock_view *view);

// By the holder: it is whole again.
void muster_lock_clear(lock_view *view);

void muster_lock_tell(const lock_view *view, muster_lock_holder *holder);

// The coarse clock, as muster_deadline, up to a second behind and never ahead.
int64_t muster_lock_clock(void);

// How long one that sleeps among pollers sleeps at the most: the one that the kernel wakes for a death may not come.
int64_t muster_lock_slice(void);

#endif
