// Whether libc keeps a thread's robust mutexes as internal/robust.h does.
// SPDX-License-Identifier: Apache-2.0
#include "internal/robust.h"

#if defined(MUSTER_ROBUST_INLINE)
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/liveness.h"

enum { UNKNOWN, SAME, OTHER };

static int shape;

static robust_head *registered(void) {
  robust_head *head;
  size_t length;
  int saved = errno;
  long status = syscall(SYS_get_robust_list, 0, &head, &length);
  errno = saved;
  if (status || length != sizeof *head) return NULL;
  long offset = (long)offsetof(pthread_mutex_t, __data.__lock) - (long)offsetof(pthread_mutex_t, __data.__list.__next);
  return head->futex_offset == offset ? head : NULL;
}

// What a lock by libc left where a lock of ours would have left the same.
static int is_first(robust_head *head, pthread_mutex_t *mutex, robust_entry *next) {
  robust_entry *entry = robust_entry_of(mutex);
  return head->list.next == entry && entry->next == next && *robust_back(entry) == &head->list &&
         *robust_back(robust_plain(next)) == entry && head->list_op_pending == NULL;
}

// Two of libc's, the second before the first, which is then taken out: all that the list can be asked to do.
static int compare(robust_head *head, pthread_mutex_t *first, pthread_mutex_t *second) {
  robust_entry *before = head->list.next;
  if (pthread_mutex_lock(first)) return OTHER;
  int same = is_first(head, first, before);
  if (!pthread_mutex_lock(second)) {
    same = same && is_first(head, second, robust_entry_of(first));
    pthread_mutex_unlock(first);
    same = same && is_first(head, second, before);
    pthread_mutex_unlock(second);
  } else {
    same = 0;
    pthread_mutex_unlock(first);
  }
  return same && head->list.next == before ? SAME : OTHER;
}

static int find_shape(robust_head *head) {
  liveness_lock first, second;
  if (muster_liveness_init(&first) || muster_liveness_init(&second)) return OTHER;
  int found = compare(head, &first.mutex, &second.mutex);
  pthread_mutex_destroy(&first.mutex);
  pthread_mutex_destroy(&second.mutex);
  return found;
}

robust_head *muster_robust_head(void) {
  robust_head *head = registered();
  if (!head) return NULL;
  int known = __atomic_load_n(&shape, __ATOMIC_RELAXED);
  if (known == UNKNOWN) __atomic_store_n(&shape, known = find_shape(head), __ATOMIC_RELAXED);
  return known == SAME ? head : NULL;
}
#endif
