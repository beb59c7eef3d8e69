// SPDX-License-Identifier: Apache-2.0
#include "internal/fork.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "muster/clock.h"

static uint64_t *page;

static int make_page(uint64_t **made) {
  int saved = errno;
  size_t size = (size_t)sysconf(_SC_PAGESIZE);
  void *fresh = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fresh == MAP_FAILED || madvise(fresh, size, MADV_WIPEONFORK)) {
    if (fresh != MAP_FAILED) munmap(fresh, size);
    errno = saved;
    return ENOMEM;
  }
  uint64_t *none = NULL;
  if (__atomic_compare_exchange_n(&page, &none, (uint64_t *)fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    *made = fresh;
  } else {
    munmap(fresh, size);
    *made = none;
  }
  errno = saved;
  return 0;
}

// The time makes a child's number differ from each of its ancestors', which were all made earlier; the shift leaves room for a
// bit that makes it other than 0.
static uint64_t fresh_token(void) { return (uint64_t)muster_clock_now() << 1 | 1; }

int muster_fork_guard(fork_guard *guard) {
  uint64_t *word = __atomic_load_n(&page, __ATOMIC_ACQUIRE);
  if (!word) {
    int status = make_page(&word);
    if (status) return status;
  }
  uint64_t token = __atomic_load_n(word, __ATOMIC_RELAXED);
  if (!token) {
    uint64_t fresh = fresh_token();
    if (__atomic_compare_exchange_n(word, &token, fresh, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) token = fresh;
  }
  guard->word = word;
  guard->token = token;
  return 0;
}
