// Locking and unlocking of libc's robust mutex where nobody is in the way, inlined.
//
// What is stored, and in which order, is what glibc's pthread_mutex_trylock and pthread_mutex_unlock store: the kernel's part of
// it is an interface (locking/robust-futex-ABI), the list's way back is glibc's own. So the mutex stays libc's in every
// respect, and whatever is not the plain case is left to it. Left out is what a robust mutex of this kind never asks for: `__nusers`,
// and `__owner`, which libc sets anew at each lock of its own and reads only after a death.
//
// Whether this libc keeps its list so is found out once a process (robust.c), not assumed; where it does not, on musl, and under
// the thread sanitizer, which has to see the calls, libc's functions do it.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ROBUST_H
#define MUSTER_INTERNAL_ROBUST_H

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>

// The thread sanitizer of gcc 12 does not know pthread_mutex_clocklock either, and takes what that locked for unlocked.
#if defined(__SANITIZE_THREAD__)
#define MUSTER_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MUSTER_THREAD_SANITIZER 1
#endif
#endif

typedef struct robust_list_head robust_head;

#if defined(__GLIBC__) && defined(__PTHREAD_MUTEX_HAVE_PREV) && !defined(MUSTER_THREAD_SANITIZER)
#if __PTHREAD_MUTEX_HAVE_PREV
#define MUSTER_ROBUST_INLINE 1
#endif
#endif

#if defined(MUSTER_ROBUST_INLINE)

// The calling thread's list, or NULL: libc's functions are to be used.
robust_head *muster_robust_head(void);

// An entry is the address of a mutex's link to the next one, and its link back lies before that: in the list's head, too.
typedef struct robust_list robust_entry;

static inline robust_entry *robust_entry_of(pthread_mutex_t *mutex) {
  return (robust_entry *)(void *)&mutex->__data.__list.__next;
}
static inline uint32_t *robust_word(pthread_mutex_t *mutex) { return (uint32_t *)(void *)&mutex->__data.__lock; }
static inline robust_entry **robust_back(robust_entry *entry) { return (robust_entry **)(void *)entry - 1; }

// The lowest bit tells of another kind of mutex.
static inline robust_entry *robust_plain(robust_entry *entry) {
  return (robust_entry *)(void *)((unsigned char *)entry - ((uintptr_t)entry & 1));
}

// The kernel looks at the list when this thread has ended, thus sees its stores in the order of the program: it is the
// compiler that must keep that.
static inline void robust_store(robust_entry **at, robust_entry *value) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  __atomic_store_n(at, value, __ATOMIC_RELAXED);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

// 0, or EBUSY: it was not free, also where its owner has died.
static inline int robust_try(robust_head *head, pthread_mutex_t *mutex, uint32_t thread) {
  robust_entry *entry = robust_entry_of(mutex);
  uint32_t free = 0;
  robust_store(&head->list_op_pending, entry);
  int locked = __atomic_compare_exchange_n(robust_word(mutex), &free, thread, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
  if (__builtin_expect(locked, 1)) {
    robust_entry *next = __atomic_load_n(&head->list.next, __ATOMIC_RELAXED);
    robust_store(robust_back(robust_plain(next)), entry);
    robust_store(&entry->next, next);
    robust_store(robust_back(entry), &head->list);
    robust_store(&head->list.next, entry);
  }
  robust_store(&head->list_op_pending, NULL);
  return locked ? 0 : EBUSY;
}

// Lets go of one that this thread holds. Whether somebody sleeps at the word and has to be woken, before `robust_released`: until then
// the kernel wakes him should this thread die.
static inline int robust_release(robust_head *head, pthread_mutex_t *mutex) {
  robust_entry *entry = robust_entry_of(mutex);
  robust_store(&head->list_op_pending, entry);
  robust_entry *next = __atomic_load_n(&entry->next, __ATOMIC_RELAXED);
  robust_entry *back = __atomic_load_n(robust_back(entry), __ATOMIC_RELAXED);
  robust_store(robust_back(robust_plain(next)), back);
  robust_store(&robust_plain(back)->next, next);
  return (__atomic_exchange_n(robust_word(mutex), 0u, __ATOMIC_RELEASE) & FUTEX_WAITERS) != 0;
}
static inline void robust_released(robust_head *head) { robust_store(&head->list_op_pending, NULL); }

#endif

#endif
