// SPDX-License-Identifier: Apache-2.0
#include "muster/clock.h"

#include <time.h>

muster_deadline muster_clock_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (muster_deadline)now.tv_sec * 1000000000 + now.tv_nsec;
}

muster_deadline muster_deadline_after(int64_t nanoseconds) {
  muster_deadline now = muster_clock_now();
  if (nanoseconds <= 0) return now;
  return nanoseconds >= MUSTER_DEADLINE_NEVER - now ? MUSTER_DEADLINE_NEVER : now + nanoseconds;
}

int muster_deadline_passed(muster_deadline deadline) {
  if (deadline == MUSTER_DEADLINE_NEVER) return 0;
  return deadline <= MUSTER_DEADLINE_NOW || muster_clock_now() >= deadline;
}
