// Guards that are let go of: their handles were closed while the child lived. They end with it, and somebody has to reap them then.
//
// A list of pages that is only ever lengthened, so that whoever goes through it needs no lock. Each entry is a pidfd + 1; who takes one
// out by a swap has it.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "internal/process.h"

enum { ENTRIES = (4096 - sizeof(void *)) / sizeof(int32_t) };

typedef struct guard_page {
  struct guard_page *next;
  int32_t guards[ENTRIES];
} guard_page;

static guard_page first;
static uint32_t held;   // how many are in it, about
static pid_t cleansed;  // the process that has no entries of its parent's any more

static guard_page *next_page(guard_page *page) {
  guard_page *next = __atomic_load_n(&page->next, __ATOMIC_ACQUIRE);
  if (next) return next;
  guard_page *fresh = mmap(NULL, sizeof *fresh, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fresh == MAP_FAILED) return NULL;
  if (__atomic_compare_exchange_n(&page->next, &next, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return fresh;
  munmap(fresh, sizeof *fresh);
  return next;
}

void muster_process_guard_leave(int32_t *guard) {
  if (*guard < 0) return;
  for (guard_page *page = &first; page; page = next_page(page)) {
    for (size_t i = 0; i < ENTRIES; i++) {
      int32_t none = 0;
      if (!__atomic_compare_exchange_n(&page->guards[i], &none, *guard + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) continue;
      __atomic_add_fetch(&held, 1, __ATOMIC_RELAXED);
      *guard = -1;
      return;
    }
  }
  // No memory: it stays a zombie as long as this process lives.
  muster_process_drop(guard);
}

// 1: it has ended. 0: it lives. -1: there is no guard of ours by that number: this process is a fork of who had it, and may have
// closed what it inherited, and have another file there.
static int has_ended(int guard) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  if (syscall(SYS_waitid, P_PIDFD, guard, &info, WEXITED | WNOHANG | WNOWAIT | __WCLONE, NULL)) return -1;
  return info.si_pid != 0;
}

static void collect_one(int32_t *entry) {
  int32_t one = __atomic_load_n(entry, __ATOMIC_RELAXED);
  if (!one || !has_ended(one - 1)) return;
  if (!__atomic_compare_exchange_n(entry, &one, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) return;
  __atomic_sub_fetch(&held, 1, __ATOMIC_RELAXED);
  int32_t guard = one - 1;
  // What was seen to have ended may have been taken out meanwhile, and another put in by the same number.
  int ended = has_ended(guard);
  if (ended > 0) muster_process_guard_end(&guard);
  if (ended == 0) muster_process_guard_leave(&guard);
}

// Of all children of the guards' kind, which are few beside ours: one call, however many are let go of.
static int any_ended(void) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  return !syscall(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WCLONE, NULL) && info.si_pid;
}

void muster_process_guard_collect(void) {
  if (!__atomic_load_n(&held, __ATOMIC_RELAXED)) return;
  // A fork has to strike out what it inherited, before it has guards by those numbers.
  pid_t self = getpid();
  if (__atomic_load_n(&cleansed, __ATOMIC_RELAXED) == self && !any_ended()) return;
  for (guard_page *page = &first; page; page = __atomic_load_n(&page->next, __ATOMIC_ACQUIRE))
    for (size_t i = 0; i < ENTRIES; i++) collect_one(&page->guards[i]);
  __atomic_store_n(&cleansed, self, __ATOMIC_RELAXED);
}
