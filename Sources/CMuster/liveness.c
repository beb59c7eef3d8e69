// SPDX-License-Identifier: Apache-2.0
#include "internal/liveness.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/fork.h"

int muster_liveness_init(liveness_lock *lock) {
  memset(lock, 0, sizeof *lock);
  pthread_mutexattr_t attributes;
  int status = pthread_mutexattr_init(&attributes);
  if (status) return status;
  status = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (!status) status = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (!status) status = pthread_mutex_init(&lock->mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return status;
}

#if defined(__GLIBC__)
static void forget_parents_locks(void) {}
static void note_list(void) {}
#else
// After fork(3) musl leaves the child's thread with the list of robust mutexes that the parent's thread holds (glibc empties it; both
// make the kernel forget it). The first lock that the child takes would be put before the parent's, by a store into the
// parent's mutex: which is shared memory, so that the parent, letting go, follows a pointer of the child's. So we empty the child's list,
// which holds nothing of its own yet. Where the list begins the kernel tells while it is registered, that is in the parent.
static _Thread_local struct robust_list_head *list;
static _Thread_local fork_guard list_guard;

static void forget_parents_locks(void) {
  if (!list || !muster_fork_inherited(&list_guard)) return;
  list->list.next = &list->list;
  list = NULL;
}

static void note_list(void) {
  if (list || muster_fork_guard(&list_guard)) return;
  size_t length;
  int saved = errno;
  if (syscall(SYS_get_robust_list, 0, &list, &length)) list = NULL;
  errno = saved;
}
#endif

#if !defined(__GLIBC__)
void muster_liveness_took(void) { note_list(); }
#endif

_Thread_local liveness_thread muster_liveness_thread;

// A child holds none.
int muster_liveness_know_thread(void) {
  liveness_thread *self = &muster_liveness_thread;
  if (self->guard.word && !muster_fork_inherited(&self->guard)) return 0;
  forget_parents_locks();
  self->held = 0;
  self->id = (uint32_t)syscall(SYS_gettid);
#if defined(MUSTER_ROBUST_INLINE)
  self->robust = muster_robust_head();
#endif
  return muster_fork_guard(&self->guard);
}

int muster_liveness_borrow(liveness_lock *lock) {
  int status = muster_liveness_know_thread();
  if (status) return status;
  status = pthread_mutex_trylock(&lock->mutex);
  // A death from here on leaves the word marked again, so nothing is lost between the two calls.
  if (status == EOWNERDEAD) pthread_mutex_consistent(&lock->mutex);
  if (status == 0 || status == EOWNERDEAD) {
    muster_liveness_thread.held++;
    note_list();
  }
  return status;
}

int muster_liveness_take(liveness_lock *lock) {
  int status = muster_liveness_know_thread();
  if (status) return status;
  return muster_liveness_thread.held < LIVENESS_MOST ? muster_liveness_borrow(lock) : ENOLCK;
}

int muster_liveness_release(liveness_lock *lock) {
  muster_liveness_thread.held--;
  return pthread_mutex_unlock(&lock->mutex);
}

static uint32_t abi;

// Locks a mutex of its own and looks where this thread's id has come to stand. Where that word was something else than 0 before, it
// is another that happens to be the same number: musl keeps the mutex's type, 132, in front of its lock, and thread 132 is common
// in containers.
static uint32_t find(void) {
  liveness_lock probe, before;
  if (muster_liveness_init(&probe)) return 0;
  memcpy(&before, &probe, sizeof before);
  if (pthread_mutex_lock(&probe.mutex)) return 0;
  uint32_t self = (uint32_t)syscall(SYS_gettid), found = 0, word, free;
  for (size_t at = 0; at + sizeof word <= sizeof(pthread_mutex_t); at += sizeof word) {
    memcpy(&word, probe.space + at, sizeof word);
    memcpy(&free, before.space + at, sizeof free);
    if (free != 0 || muster_liveness_owner(word) != self) continue;
#if defined(__GLIBC__)
    uint32_t libc = 1;
#else
    uint32_t libc = 2;
#endif
    found = libc << 24 | (uint32_t)sizeof(pthread_mutex_t) << 8 | (uint32_t)at | 0x80;
    break;
  }
  pthread_mutex_unlock(&probe.mutex);
  pthread_mutex_destroy(&probe.mutex);
  return found;
}

uint32_t muster_liveness_abi(void) {
  uint32_t known = __atomic_load_n(&abi, __ATOMIC_ACQUIRE);
  if (known) return known;
  known = find();
  __atomic_store_n(&abi, known, __ATOMIC_RELEASE);
  return known;
}
