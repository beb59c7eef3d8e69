// The robust mutex that both kinds of lock are made of.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_LOCK_H
#define MUSTER_INTERNAL_LOCK_H

#include <errno.h>
#include <time.h>

#include "fork.h"
#include "liveness.h"
#include "lock_layout.h"
#include "muster/lock.h"

// What a handle has of it; for any number of threads.
typedef struct lock_view {
  lock_core *core;
  uint32_t *word;  // the futex word in it, by the libc that made it
  fork_guard guard;
  int32_t pid;
  int32_t spins;   // how long the next wait looks on before it sleeps
  uint32_t holder;  // the thread that holds it by this handle, else 0; stale when that thread has ended
} lock_view;

int muster_lock_core_init(lock_core *core);
void muster_lock_head_init(lock_head *head, uint64_t magic, uint32_t capacity);

// What stands at `memory`: EINVAL (alignment), EBADMSG, EPROTO (version). And whether this process may lock it: 0, EPROTO.
int muster_lock_head_check(const void *memory, size_t size, uint64_t magic, uint32_t *capacity);
int muster_lock_compatible(const lock_head *head, muster_mismatch *mismatch);

// Of a region that is renewed: whether the machine was started since the last time. Then what is found of the lock in a file may be of another
// moment than what it guards, since each page was written back when the kernel came to it: that nobody had it tells nothing.
int muster_lock_outlived_boot(const void *payload);

// EBADMSG: the head's libc is none; ENOMEM.
int muster_lock_view_init(lock_view *view, const lock_head *head, lock_core *core);

// The coarse clock, as muster_deadline, up to a second behind and never ahead: time of day in whole seconds costs half of what the
// coarse clock does, so it is asked whether that one is to be read again.
int64_t muster_lock_clock_anew(int64_t second);
static inline int64_t lock_clock(const liveness_thread *self) {
#if defined(__GLIBC__)
  int64_t second = time(NULL);
  return __builtin_expect(second == self->second, 1) ? self->clock : muster_lock_clock_anew(second);
#else
  (void)self;
  return muster_lock_clock_anew(0);
#endif
}

// The note of the holder, and who is it in the handle.
static inline void lock_note(lock_view *view, const liveness_thread *self, int64_t now) {
  lock_core *core = view->core;
  __atomic_store_n(&core->since, now, __ATOMIC_RELAXED);
  __atomic_store_n(&core->who, (uint64_t)(uint32_t)view->pid << 32 | self->id, __ATOMIC_RELEASE);
  __atomic_store_n(&view->holder, self->id, __ATOMIC_RELAXED);
}

// For lock_try: whether this thread may take it, 0, EPERM, ENOLCK, ENOMEM; and what libc's lock returned means where it is not the
// plain case.
int muster_lock_may_take(const lock_view *view);
int muster_lock_taken(lock_view *view, int status, int slept);

// As pthread_mutex_trylock.
static inline int lock_try_word(liveness_thread *self, lock_core *core) {
#if defined(MUSTER_ROBUST_INLINE)
  if (__builtin_expect(self->robust != NULL, 1)) {
    if (__builtin_expect(!robust_try(self->robust, &core->lock.mutex, self->id), 1)) return 0;
    if (!muster_liveness_died(__atomic_load_n(robust_word(&core->lock.mutex), __ATOMIC_RELAXED))) return EBUSY;
  }
#else
  (void)self;
#endif
  return pthread_mutex_trylock(&core->lock.mutex);
}

// Lets go of one that this thread holds, as pthread_mutex_unlock: 0, EBADMSG. `wake`: one who sleeps at the word.
void muster_lock_wake(lock_core *core);
static inline int lock_release_word(liveness_thread *self, lock_core *core) {
#if defined(MUSTER_ROBUST_INLINE)
  if (__builtin_expect(self->robust != NULL, 1)) {
    if (__builtin_expect(robust_release(self->robust, &core->lock.mutex), 0)) muster_lock_wake(core);
    robust_released(self->robust);
    return 0;
  }
#else
  (void)self;
#endif
  return __builtin_expect(pthread_mutex_unlock(&core->lock.mutex) == 0, 1) ? 0 : EBADMSG;
}

// 0 or EOWNERDEAD: held. EBUSY, ENOTRECOVERABLE, EPERM, ENOLCK, ENOMEM, EBADMSG. Inlined by force: with several callers in a source
// compilers make a function of it, which costs a tenth of all.
__attribute__((always_inline)) static inline int lock_try(lock_view *view) {
  liveness_thread *self = &muster_liveness_thread;
  if (__builtin_expect(muster_fork_inherited(&view->guard) || self->guard.token != view->guard.token ||
                           self->held >= LIVENESS_MOST, 0)) {
    int status = muster_lock_may_take(view);
    if (status) return status;
  }
  lock_core *core = view->core;
  // Before the lock: what comes after a locked instruction waits for it.
  int64_t now = lock_clock(self);
  int status = lock_try_word(self, core);
  if (__builtin_expect(status || __atomic_load_n(&core->flags, __ATOMIC_SEQ_CST), 0))
    return muster_lock_taken(view, status, 0);
  self->held++;
  muster_liveness_took();
  lock_note(view, self, now);
  return 0;
}

// What follows a try that gave EBUSY: 0, EOWNERDEAD, and EDEADLK, ETIMEDOUT instead of EBUSY.
int muster_lock_wait(lock_view *view, muster_deadline deadline);
static inline int lock_wait(lock_view *view, muster_deadline deadline) {
  int status = lock_try(view);
  return __builtin_expect(status != EBUSY, 1) ? status : muster_lock_wait(view, deadline);
}

// The same without waiting: EAGAIN with the word to sleep at.
int muster_lock_poll(lock_view *view, muster_wait_set *set);

// Whether nobody who lives holds it: 0, EAGAIN with the word to sleep at, EPERM.
int muster_lock_poll_free(lock_view *view, muster_wait_set *set);

// Whether the calling thread holds it by this handle: 0, EPERM. What was locked in one mapping is not to be unlocked in another:
// the thread's list of robust locks has its address.
static inline int lock_held(const lock_view *view) {
  const liveness_thread *self = &muster_liveness_thread;
  if (muster_fork_inherited(&view->guard) || self->guard.token != view->guard.token) return EPERM;
  if (__atomic_load_n(&view->holder, __ATOMIC_RELAXED) != self->id) return EPERM;
  return muster_liveness_owner(__atomic_load_n(view->word, __ATOMIC_RELAXED)) == self->id ? 0 : EPERM;
}

// Unlocks; what is unrepaired is poisoned by that. 0, EPERM, EBADMSG.
int muster_lock_release_flagged(lock_view *view);
static inline int lock_release(lock_view *view) {
  int status = lock_held(view);
  if (__builtin_expect(status, 0)) return status;
  lock_core *core = view->core;
  if (__builtin_expect(__atomic_load_n(&core->flags, __ATOMIC_SEQ_CST) != 0, 0)) return muster_lock_release_flagged(view);
  __atomic_store_n(&core->who, UINT64_C(0), __ATOMIC_RELAXED);
  __atomic_store_n(&view->holder, 0u, __ATOMIC_RELAXED);
  muster_liveness_thread.held--;
  return lock_release_word(&muster_liveness_thread, core);
}

// By the holder: it is whole again.
void muster_lock_clear(lock_view *view);

void muster_lock_tell(const lock_view *view, muster_lock_holder *holder);

// How long one that sleeps among pollers sleeps at the most: the one that the kernel wakes for a death may not come.
int64_t muster_lock_slice(void);

#endif
