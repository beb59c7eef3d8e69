// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/group.h"
#include "internal/liveness.h"
#include "internal/lock.h"

struct muster_mutex {
  lock_view view;
  muster_region *region;  // opened by name, else NULL
  int read_only;
};

typedef struct mutex_shared {
  lock_head head;
  lock_core core;
} mutex_shared;

size_t muster_mutex_size(void) { return sizeof(mutex_shared); }

int muster_mutex_init(void *memory, size_t size) {
  if ((uintptr_t)memory % MUSTER_LOCK_ALIGNMENT || size < sizeof(mutex_shared)) return EINVAL;
  if (!muster_liveness_abi()) return ENOTSUP;
  mutex_shared *shared = memory;
  memset(&shared->head, 0, sizeof shared->head);
  int status = muster_lock_core_init(&shared->core);
  if (!status) muster_lock_head_init(&shared->head, MUTEX_MAGIC, 1);
  return status;
}

// What its last holder left stays so: nobody of the generation before lives, but what the mutex guards may have outlived it.
// A death in here leaves what says so, in one of the two, and the next to renew does it again.
static int renew(void *payload, size_t size, void *context) {
  (void)context;
  mutex_shared *shared = payload;
  if (size < sizeof *shared || shared->head.magic != MUTEX_MAGIC) return EBADMSG;
  uint32_t abi = muster_liveness_abi(), word_at = muster_liveness_word_at(shared->head.abi);
  if (!abi) return ENOTSUP;
  if (word_at > sizeof shared->core.lock - sizeof(uint32_t)) return EBADMSG;
  const uint32_t *word = (const uint32_t *)(const void *)(shared->core.lock.space + word_at);
  // Also an owner: the machine was stopped, and nobody marked it.
  if (*word & (FUTEX_OWNER_DIED | FUTEX_TID_MASK) || muster_lock_outlived_boot(payload)) shared->core.flags |= LOCK_UNREPAIRED;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  lock_core fresh;
  int status = muster_lock_core_init(&fresh);
  if (status) return status;
  memcpy(&shared->core, &fresh, offsetof(lock_core, flags));
  shared->core.flags &= LOCK_UNREPAIRED | LOCK_POISONED;
  muster_lock_head_init(&shared->head, MUTEX_MAGIC, 1);
  return 0;
}

static int make_handle(void *memory, size_t size, int read_only, muster_mismatch *mismatch, muster_mutex **mutex) {
  *mutex = NULL;
  mutex_shared *shared = memory;
  uint32_t capacity;
  int status = muster_lock_head_check(memory, size, MUTEX_MAGIC, &capacity);
  if (!status && size < sizeof *shared) status = EBADMSG;
  if (!status && !muster_liveness_abi()) status = ENOTSUP;
  if (!status && !read_only) status = muster_lock_compatible(&shared->head, mismatch);
  if (status) return status;
  int saved = errno;
  muster_mutex *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  made->read_only = read_only;
  status = muster_lock_view_init(&made->view, &shared->head, &shared->core);
  if (status) return free(made), status;
  *mutex = made;
  return 0;
}

int muster_mutex_attach(void *memory, size_t size, muster_mutex **mutex) {
  return make_handle(memory, size, 0, NULL, mutex);
}

static int fill(void *payload, size_t size, void *context) {
  (void)context;
  return muster_mutex_init(payload, size);
}

int muster_mutex_open(const char *name, const muster_mutex_options *options, muster_mutex **mutex) {
  *mutex = NULL;
  uint32_t flags = muster_group_region_flags(options->flags);
  muster_region *region;
  int status = muster_region_open(name,
                                  &(muster_region_options){.flags = flags,
                                                           .mode = options->mode,
                                                           .kind = MUSTER_LOCK_KIND,
                                                           .version = LOCK_VERSION,
                                                           .layout = MUSTER_LOCK_LAYOUT_MUTEX,
                                                           .size = sizeof(mutex_shared),
                                                           .deadline = options->deadline,
                                                           .initialize = fill,
                                                           .renew = renew,
                                                           .mismatch = options->mismatch},
                                  &region);
  if (status) return status;
  status = make_handle(muster_region_payload(region), muster_region_size(region),
                       (flags & MUSTER_REGION_READ_ONLY) != 0, options->mismatch, mutex);
  if (status) return muster_region_close(region), status;
  (*mutex)->region = region;
  return 0;
}

int muster_mutex_close(muster_mutex *mutex) {
  if (!mutex) return 0;
  if (!mutex->read_only && !muster_fork_inherited(&mutex->view.guard)) {
    // Unmapping a lock that is on a living thread's list would cut that list off.
    uint32_t holder = __atomic_load_n(&mutex->view.holder, __ATOMIC_RELAXED);
    uint32_t word = __atomic_load_n(mutex->view.word, __ATOMIC_ACQUIRE);
    if (holder && muster_liveness_owner(word) == holder) return EBUSY;
  }
  muster_region_close(mutex->region);
  free(mutex);
  return 0;
}

int muster_mutex_lock(muster_mutex *mutex, muster_deadline deadline) {
  return __builtin_expect(mutex->read_only, 0) ? EACCES : lock_wait(&mutex->view, deadline);
}

int muster_mutex_try(muster_mutex *mutex) { return mutex->read_only ? EACCES : lock_try(&mutex->view); }

int muster_mutex_poll(muster_mutex *mutex, muster_wait_set *set) {
  return mutex->read_only ? EACCES : muster_lock_poll(&mutex->view, set);
}

int muster_mutex_poll_free(muster_mutex *mutex, muster_wait_set *set) {
  return mutex->read_only ? EACCES : muster_lock_poll_free(&mutex->view, set);
}

int muster_mutex_repaired(muster_mutex *mutex) {
  if (mutex->read_only) return EACCES;
  int status = lock_held(&mutex->view);
  if (!status) muster_lock_clear(&mutex->view);
  return status;
}

int muster_mutex_unlock(muster_mutex *mutex) {
  return __builtin_expect(mutex->read_only, 0) ? EACCES : lock_release(&mutex->view);
}

int muster_mutex_lock_repairing(muster_mutex *mutex, muster_lock_repair repair, void *context, muster_deadline deadline) {
  int status = muster_mutex_lock(mutex, deadline);
  if (status != EOWNERDEAD) return status;
  status = repair(context);
  if (!status) return muster_mutex_repaired(mutex);
  (void)muster_mutex_unlock(mutex);
  return status;
}

int muster_mutex_reset(muster_mutex *mutex) {
  if (muster_fork_inherited(&mutex->view.guard)) return EPERM;
  if (mutex->read_only) return EACCES;
  uint32_t *flags = &mutex->view.core->flags, seen = __atomic_load_n(flags, __ATOMIC_SEQ_CST);
  while (seen & LOCK_POISONED)
    if (__atomic_compare_exchange_n(flags, &seen, (seen & ~(uint32_t)LOCK_POISONED) | LOCK_UNREPAIRED, 0,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      break;
  return 0;
}

int muster_mutex_holder(const muster_mutex *mutex, muster_lock_holder *holder) {
  if (muster_fork_inherited(&mutex->view.guard)) return EPERM;
  muster_lock_tell(&mutex->view, holder);
  return 0;
}

muster_region *muster_mutex_region(const muster_mutex *mutex) { return mutex->region; }
