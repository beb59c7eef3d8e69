// SPDX-License-Identifier: Apache-2.0
#include "internal/liveness.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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

int muster_liveness_take(liveness_lock *lock) {
  int status = pthread_mutex_trylock(&lock->mutex);
  // A death from here on leaves the word marked again, so nothing is lost between the two calls.
  if (status == EOWNERDEAD) pthread_mutex_consistent(&lock->mutex);
  return status;
}

int muster_liveness_release(liveness_lock *lock) { return pthread_mutex_unlock(&lock->mutex); }

static size_t offset;
static uint32_t abi;

// Locks a mutex of its own and looks where this thread's id has come to stand.
static uint32_t find(void) {
  liveness_lock probe;
  if (muster_liveness_init(&probe) || pthread_mutex_lock(&probe.mutex)) return 0;
  uint32_t self = (uint32_t)syscall(SYS_gettid), found = 0, word;
  for (size_t at = 0; at + sizeof word <= sizeof(pthread_mutex_t); at += sizeof word) {
    memcpy(&word, probe.space + at, sizeof word);
    if (muster_liveness_owner(word) != self) continue;
    __atomic_store_n(&offset, at, __ATOMIC_RELAXED);
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

uint32_t *muster_liveness_word(liveness_lock *lock) {
  return (uint32_t *)(void *)(lock->space + __atomic_load_n(&offset, __ATOMIC_RELAXED));
}
