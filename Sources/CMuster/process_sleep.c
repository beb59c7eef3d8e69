// Sleeping until a descriptor is readable.
//
// poll(2) refuses more descriptors than RLIMIT_NOFILE allows (EINVAL), be they open or not: a process that has lowered its limit to 0, as
// sandboxes do, could wait for none of its children. select(2) knows no such limit, but takes a bit for each number up to the highest.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/select.h>

#include "internal/process.h"

enum { BITS = sizeof(long) * CHAR_BIT };

static int highest(const struct pollfd *polled, uint32_t count) {
  int most = -1;
  for (uint32_t i = 0; i < count; i++)
    if (polled[i].fd > most) most = polled[i].fd;
  return most;
}

static int select_by(struct pollfd *polled, uint32_t count, int most, unsigned long *bits, muster_deadline deadline) {
  struct timespec rest;
  for (uint32_t i = 0; i < count; i++)
    if (polled[i].fd >= 0) bits[polled[i].fd / BITS] |= 1UL << polled[i].fd % BITS;
  int got = pselect(most + 1, (fd_set *)(void *)bits, NULL, NULL, muster_process_timeout(deadline, &rest), NULL);
  for (uint32_t i = 0; i < count; i++) {
    int readable = got > 0 && polled[i].fd >= 0 && bits[polled[i].fd / BITS] >> polled[i].fd % BITS & 1;
    polled[i].revents = readable ? POLLIN : 0;
  }
  return got;
}

static int sleep_by_select(struct pollfd *polled, uint32_t count, muster_deadline deadline) {
  int most = highest(polled, count);
  size_t size = ((size_t)(most + 1) / BITS + 1) * sizeof(long);
  // libc's set ends at 1024 descriptors, the kernel's doesn't.
  unsigned long *bits = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (bits == MAP_FAILED) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return -1;
  }
  int got = select_by(polled, count, most, bits, deadline);
  munmap(bits, size);
  return got;
}

int muster_process_sleep_at(struct pollfd *polled, uint32_t count, muster_deadline deadline) {
  struct timespec rest;
  int got = ppoll(polled, count, muster_process_timeout(deadline, &rest), NULL);
  return got < 0 && errno == EINVAL ? sleep_by_select(polled, count, deadline) : got;
}
