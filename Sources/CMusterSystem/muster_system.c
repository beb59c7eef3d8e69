// SPDX-License-Identifier: Apache-2.0
#include "muster_system.h"

#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

enum { MOST = 16, SECOND = 1000000000 };

void muster_system_sleep(const int32_t *descriptors, size_t count, int64_t nanoseconds) {
  struct pollfd polls[MOST];
  if (count > MOST) count = MOST;
  for (size_t k = 0; k < count; k++) polls[k] = (struct pollfd){.fd = descriptors[k], .events = POLLIN};
  if (nanoseconds < 0) nanoseconds = 0;
  struct timespec left = {.tv_sec = (time_t)(nanoseconds / SECOND), .tv_nsec = (long)(nanoseconds % SECOND)};
  (void)ppoll(polls, count, &left, NULL);
}

void muster_system_name(const char *name) { (void)prctl(PR_SET_NAME, (unsigned long)name, 0UL, 0UL, 0UL); }

void muster_system_complain(const char *text) { (void)fprintf(stderr, "%s\n", text); }
