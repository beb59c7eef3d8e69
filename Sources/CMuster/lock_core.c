// The robust mutex that both kinds of lock are made of: libc's, with a note of its holder, and flags that outlive it.
//
// That no wake is lost. A sleeper in libc's lock stores ASLEEP before it goes there. Libc wakes one sleeper at each unlock of a
// lock word with FUTEX_WAITERS, which the woken one sets again when it takes the lock. The gap is one who takes the lock before
// the woken one comes, without that bit: if the woken one is killed then, the others sleep at a word that nobody will wake them
// at. So whoever takes the lock and finds ASLEEP sets the bit himself. The kernel does the rest: a thread that dies in libc's
// lock while the word has no owner passes its wake on (since 5.7; "robust futex exit race").
//
// ASLEEP counts unlocks, not sleepers, since a dead sleeper can't be counted down: each unlock takes one off, and the last clears
// it and wakes all, who set it anew if they sleep again. So it is at most some wakes too many, and never one too few: one who
// sets it after it was cleared sets the bit in the word, or changes what it sleeps at, after the unlock that cleared it, or is
// asleep before that unlock wakes all.
//
// Who sleeps at the word by other means (a poll; libcs without pthread_mutex_clocklock) is not in libc's lock when it dies, and
// may not come at all: unlocks that find POLLERS wake all. There are two of them, because the first may die between its unlock
// and that wake; whoever takes the lock of a dead one stores POLLERS too, since that one may have died just after it took the last off.
// The kernel wakes only one for a dead holder; with pollers about, everybody therefore looks again after a twentieth of the usual
// time.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal/boot.h"
#include "internal/futex.h"
#include "internal/liveness.h"
#include "internal/lock.h"
#include "internal/region_layout.h"

enum { SPINS_LEAST = 16, SPINS_MOST = 2000, GAP_MOST = 128, POLL_TURNS = 64 };

#if defined(__GLIBC__) && !defined(MUSTER_THREAD_SANITIZER)
#if __GLIBC_PREREQ(2, 30)
#define SLEEPS_IN_LIBC 1
#endif
#endif

// ---- Laying and checking

int muster_lock_core_init(lock_core *core) {
  memset(core, 0, sizeof *core);
  pthread_mutexattr_t attributes;
  int status = pthread_mutexattr_init(&attributes);
  if (status) return status;
  status = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (!status) status = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (!status) status = pthread_mutex_init(&core->lock.mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return status;
}

void muster_lock_head_init(lock_head *head, uint64_t magic, uint32_t capacity) {
  head->version = LOCK_VERSION;
  head->abi = muster_liveness_abi();
  head->pid_namespace = muster_pid_namespace();
  head->capacity = capacity;
  __atomic_store_n(&head->magic, magic, __ATOMIC_RELEASE);
}

int muster_lock_head_check(const void *memory, size_t size, uint64_t magic, uint32_t *capacity) {
  const lock_head *head = memory;
  if ((uintptr_t)memory % MUSTER_LOCK_ALIGNMENT) return EINVAL;
  if (size < sizeof *head || __atomic_load_n(&head->magic, __ATOMIC_ACQUIRE) != magic) return EBADMSG;
  if (__atomic_load_n(&head->version, __ATOMIC_RELAXED) != LOCK_VERSION) return EPROTO;
  *capacity = __atomic_load_n(&head->capacity, __ATOMIC_RELAXED);
  return 0;
}

static int differ(muster_mismatch *mismatch, muster_mismatch_kind kind, uint64_t ours, uint64_t theirs) {
  if (mismatch) *mismatch = (muster_mismatch){kind, ours, theirs};
  return EPROTO;
}

int muster_lock_compatible(const lock_head *head, muster_mismatch *mismatch) {
  uint32_t abi = head->abi, our_abi = muster_liveness_abi();
  if (abi != our_abi) return differ(mismatch, MUSTER_MISMATCH_LIBC, our_abi, abi);
  uint64_t theirs = head->pid_namespace, ours = muster_pid_namespace();
  return theirs && ours && theirs != ours ? differ(mismatch, MUSTER_MISMATCH_NAMESPACE, ours, theirs) : 0;
}

int muster_lock_outlived_boot(const void *payload) {
  const region_header *header = (const void *)((const unsigned char *)payload - MUSTER_REGION_HEADER_SIZE);
  uint8_t boot[sizeof header->boot];
  muster_boot_id(boot);
  return memcmp(header->boot, boot, sizeof boot) != 0;
}

int muster_lock_view_init(lock_view *view, const lock_head *head, lock_core *core) {
  uint32_t at = muster_liveness_word_at(__atomic_load_n(&head->abi, __ATOMIC_RELAXED));
  if (at > sizeof core->lock - sizeof(uint32_t)) return EBADMSG;
  *view = (lock_view){.core = core, .word = (uint32_t *)(void *)(core->lock.space + at), .spins = 64};
  view->pid = (int32_t)getpid();
  return muster_fork_guard(&view->guard);
}

// ---- The clock

int64_t muster_lock_clock_anew(int64_t second) {
  struct timespec coarse;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &coarse);
  muster_liveness_thread.second = second;
  return muster_liveness_thread.clock = coarse.tv_sec * INT64_C(1000000000) + coarse.tv_nsec;
}

int64_t muster_lock_slice(void) { return muster_recheck / 20; }

// ---- Taking it

static uint32_t flags_of(const lock_view *view) { return __atomic_load_n(&view->core->flags, __ATOMIC_SEQ_CST); }

// Has the next unlock wake a sleeper. Only the kernel and who sleeps change a word that has an owner, and only by this bit.
static void mark_waiters(lock_view *view) { __atomic_fetch_or(view->word, FUTEX_WAITERS, __ATOMIC_ACQ_REL); }

// The last that held it died. The flag comes before the lock is made consistent: until then a death leaves it to the next.
static void find_dead(lock_core *core) {
  uint64_t who = __atomic_exchange_n(&core->who, UINT64_C(0), __ATOMIC_ACQ_REL);
  __atomic_store_n(&core->died, (int32_t)(who >> 32), __ATOMIC_RELAXED);
  __atomic_fetch_or(&core->flags, LOCK_UNREPAIRED | LOCK_POLLERS, __ATOMIC_SEQ_CST);
  pthread_mutex_consistent(&core->lock.mutex);
}

static int unlock_word(lock_view *view, int wakes_all) {
  muster_liveness_thread.held--;
  __atomic_store_n(&view->holder, 0u, __ATOMIC_RELAXED);
  if (lock_release_word(&muster_liveness_thread, view->core)) return EBADMSG;
  if (wakes_all) muster_futex_wake_all(view->word);
  return 0;
}

static int release(lock_view *view, int poisons);

int muster_lock_taken(lock_view *view, int status, int slept) {
  if (status == EBUSY || status == ETIMEDOUT) return status;
  if (status && status != EOWNERDEAD) return EBADMSG;
  muster_liveness_thread.held++;
  muster_liveness_took();
  if (status) find_dead(view->core);
  uint32_t flags = flags_of(view);
  // Others may sleep whom the same unlock did not wake.
  if (slept) flags = __atomic_fetch_or(&view->core->flags, LOCK_ASLEEP, __ATOMIC_SEQ_CST) | LOCK_ASLEEP;
  if (flags & (LOCK_ASLEEP | LOCK_POLLERS_ANY)) mark_waiters(view);
  // Not used, so not poisoned by this: a reset may have come in between.
  if (flags & LOCK_POISONED) return release(view, 0), ENOTRECOVERABLE;
  lock_note(view, &muster_liveness_thread, lock_clock(&muster_liveness_thread));
  return flags & LOCK_UNREPAIRED ? EOWNERDEAD : 0;
}

int muster_lock_may_take(const lock_view *view) {
  if (muster_fork_inherited(&view->guard)) return EPERM;
  int status = muster_liveness_know_thread();
  return status ? status : muster_liveness_thread.held < LIVENESS_MOST ? 0 : ENOLCK;
}

// ---- Letting go of it

#if defined(MUSTER_ROBUST_INLINE)
void muster_lock_wake(lock_core *core) { muster_futex_wake_one(robust_word(&core->lock.mutex)); }
#endif

void muster_lock_clear(lock_view *view) {
  __atomic_fetch_and(&view->core->flags, ~(uint32_t)LOCK_UNREPAIRED, __ATOMIC_SEQ_CST);
}

// With flags set: takes off what this unlock does about those asleep, and, for one who had it to use, poisons what is unrepaired.
static int release(lock_view *view, int poisons) {
  uint32_t seen = flags_of(view), next;
  int wakes_all;
  do {
    next = seen;
    wakes_all = (seen & LOCK_POLLERS_ANY) || (seen & LOCK_ASLEEP) == LOCK_ASLEEP_ONE;
    if (poisons && seen & LOCK_UNREPAIRED) next = (next & ~(uint32_t)LOCK_UNREPAIRED) | LOCK_POISONED, wakes_all = 1;
    if (next & LOCK_POLLERS_ANY) next -= LOCK_POLLERS_ONE;
    if (wakes_all) next &= ~(uint32_t)LOCK_ASLEEP;
    else if (next & LOCK_ASLEEP) next -= LOCK_ASLEEP_ONE;
  } while (!__atomic_compare_exchange_n(&view->core->flags, &seen, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  __atomic_store_n(&view->core->who, UINT64_C(0), __ATOMIC_RELAXED);
  return unlock_word(view, wakes_all);
}

int muster_lock_release_flagged(lock_view *view) { return release(view, 1); }

// ---- Waiting for it

// Looks on for a while before sleeping: longer next time where that has paid, shorter where not (as the barrier does). It looks
// ever more seldom: each look takes the line from the holder, who is quicker when it can lock and unlock some times in between.
static int spin(lock_view *view) {
  if (muster_processors() < 2 || !muster_spinning()) return EBUSY;
  int32_t turns = __atomic_load_n(&view->spins, __ATOMIC_RELAXED);
  for (int32_t turn = 0, gap = 1; turn < turns; turn += gap) {
    if (!muster_liveness_owner(__atomic_load_n(view->word, __ATOMIC_RELAXED))) {
      int status = lock_try(view);
      if (status != EBUSY) {
        if (turns < SPINS_MOST) __atomic_store_n(&view->spins, turns * 2, __ATOMIC_RELAXED);
        return status;
      }
    }
    if (gap < GAP_MOST) gap *= 2;
    for (int32_t k = 0; k < gap; k++) muster_cpu_pause();
  }
  if (turns > SPINS_LEAST) __atomic_store_n(&view->spins, turns / 2, __ATOMIC_RELAXED);
  return EBUSY;
}

// By whatever handle.
static int is_mine(const lock_view *view) {
  return muster_liveness_owner(__atomic_load_n(view->word, __ATOMIC_RELAXED)) == muster_liveness_thread.id;
}

// The word of one who is no sleeper of libc's. EAGAIN: it is held, and ready to be slept at. EBUSY: it changes.
static int sleep_as_poller(lock_view *view, muster_wait_set *set) {
  __atomic_fetch_or(&view->core->flags, LOCK_POLLERS, __ATOMIC_SEQ_CST);
  uint32_t seen = __atomic_load_n(view->word, __ATOMIC_SEQ_CST);
  if (!muster_liveness_owner(seen)) return EBUSY;
  if (!(seen & FUTEX_WAITERS) && !__atomic_compare_exchange_n(view->word, &seen, seen | FUTEX_WAITERS, 0,
                                                              __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
    return EBUSY;
  set->count = 0;
  set->recheck = muster_deadline_after(muster_lock_slice());
  muster_wait_set_add(set, view->word, seen | FUTEX_WAITERS);
  return EAGAIN;
}

// It changes whenever one looks: look again soon.
static int sleep_shortly(lock_view *view, muster_wait_set *set) {
  set->count = 0;
  set->recheck = muster_deadline_after(1000000);
  muster_wait_set_add(set, view->word, __atomic_load_n(view->word, __ATOMIC_RELAXED));
  return EAGAIN;
}

int muster_lock_poll(lock_view *view, muster_wait_set *set) {
  for (int turn = 0; turn < POLL_TURNS; turn++) {
    int status = lock_try(view);
    if (status != EBUSY) return status;
    if (is_mine(view)) return EDEADLK;
    if (sleep_as_poller(view, set) == EAGAIN) return EAGAIN;
  }
  return sleep_shortly(view, set);
}

int muster_lock_poll_free(lock_view *view, muster_wait_set *set) {
  if (muster_fork_inherited(&view->guard)) return EPERM;
  for (int turn = 0; turn < POLL_TURNS; turn++) {
    if (!muster_liveness_owner(__atomic_load_n(view->word, __ATOMIC_ACQUIRE))) return 0;
    if (sleep_as_poller(view, set) == EAGAIN) return EAGAIN;
  }
  return sleep_shortly(view, set);
}

#if defined(SLEEPS_IN_LIBC)
// EBUSY: look again.
static int sleep_once(lock_view *view, muster_deadline deadline) {
  uint32_t flags = __atomic_fetch_or(&view->core->flags, LOCK_ASLEEP, __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  muster_deadline until = muster_deadline_after(flags & LOCK_POLLERS_ANY ? muster_lock_slice() : muster_recheck);
  if (deadline < until) until = deadline;
  struct timespec end = {.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
  int status = muster_lock_taken(view, pthread_mutex_clocklock(&view->core->lock.mutex, CLOCK_MONOTONIC, &end), 1);
  return status == ETIMEDOUT ? EBUSY : status;
}
#else
static int sleep_once(lock_view *view, muster_deadline deadline) {
  muster_wait_set set;
  int status = muster_lock_poll(view, &set);
  if (status != EAGAIN) return status;
  status = muster_wait_any(&set, deadline);
  return status && status != ETIMEDOUT ? status : EBUSY;
}
#endif

int muster_lock_wait(lock_view *view, muster_deadline deadline) {
  if (is_mine(view)) return EDEADLK;
  int status = deadline > 0 ? spin(view) : EBUSY;
  while (status == EBUSY) {
    if (muster_deadline_passed(deadline)) return ETIMEDOUT;
    status = sleep_once(view, deadline);
    if (status == EBUSY) status = lock_try(view);
  }
  return status;
}

// ---- Who holds it

void muster_lock_tell(const lock_view *view, muster_lock_holder *holder) {
  const lock_core *core = view->core;
  uint32_t word = __atomic_load_n(view->word, __ATOMIC_ACQUIRE), before;
  uint64_t who;
  int turns = 16;
  do {
    before = word;
    *holder = (muster_lock_holder){.died = __atomic_load_n(&core->died, __ATOMIC_RELAXED)};
    who = __atomic_load_n(&core->who, __ATOMIC_ACQUIRE);
    holder->since = __atomic_load_n(&core->since, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    word = __atomic_load_n(view->word, __ATOMIC_ACQUIRE);
  } while ((word != before || who != __atomic_load_n(&core->who, __ATOMIC_RELAXED)) && --turns);
  uint32_t flags = flags_of(view), owner = muster_liveness_owner(word), thread = (uint32_t)who;
  holder->condition = flags & LOCK_POISONED     ? MUSTER_LOCK_POISONED
                      : flags & LOCK_UNREPAIRED ? MUSTER_LOCK_UNREPAIRED
                                                : MUSTER_LOCK_WHOLE;
  holder->state = owner ? MUSTER_LOCK_HELD : muster_liveness_died(word) ? MUSTER_LOCK_DEAD : MUSTER_LOCK_FREE;
  int known = thread && (holder->state == MUSTER_LOCK_DEAD || thread == owner);
  if (!known) holder->since = 0;
  holder->pid = known ? (int32_t)(who >> 32) : 0;
  holder->thread = owner ? owner : known ? thread : 0;
  // Whom nobody has found yet is the last, too.
  if (holder->state == MUSTER_LOCK_DEAD && holder->pid) holder->died = holder->pid;
}
