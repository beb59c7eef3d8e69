// How many processors this process may use: sched_getaffinity(2), cut by the CPU quota of its cgroup (kernel documentation,
// admin-guide/cgroup-v2, "cpu.max"; cgroup v1, "cpu.cfs_quota_us").
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/futex.h"

static int read_text(const char *path, char *text, size_t size) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t length = read(file, text, size - 1);
  close(file);
  if (length <= 0) return 0;
  text[length] = 0;
  return 1;
}

static long affinity(void) {
  cpu_set_t *set;
  for (size_t count = 1024; count <= 1u << 16; count *= 2) {
    size_t size = CPU_ALLOC_SIZE(count);
    set = CPU_ALLOC(count);
    if (!set) break;
    int got = sched_getaffinity(0, size, set);
    long processors = got ? 0 : CPU_COUNT_S(size, set);
    CPU_FREE(set);
    if (!got) return processors;
    if (errno != EINVAL) break;
  }
  return 1;
}

static long whole_processors(long quota, long period) {
  if (quota <= 0 || period <= 0) return 0;
  return (quota + period - 1) / period;
}

// 0: no quota.
static long quota_of_v2(const char *groups) {
  const char *line = strstr(groups, "0::");
  if (!line) return 0;
  char path[512], text[64];
  int length = (int)strcspn(line + 3, "\n");
  if (snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/cpu.max", length, line + 3) >= (int)sizeof path) return 0;
  if (!read_text(path, text, sizeof text)) return 0;
  long quota = 0, period = 0;
  return sscanf(text, "%ld %ld", &quota, &period) == 2 ? whole_processors(quota, period) : 0;
}

static long quota_of_v1(void) {
  char quota[32], period[32];
  if (!read_text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof quota)) return 0;
  if (!read_text("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period)) return 0;
  return whole_processors(atol(quota), atol(period));
}

uint32_t muster_processors(void) {
  static uint32_t known;
  uint32_t answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (answer) return answer;
  int saved = errno;
  char groups[4096];
  long processors = affinity();
  long quota = read_text("/proc/self/cgroup", groups, sizeof groups) ? quota_of_v2(groups) : 0;
  if (!quota) quota = quota_of_v1();
  if (quota && quota < processors) processors = quota;
  errno = saved;
  answer = processors > 0 ? (uint32_t)processors : 1;
  __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
  return answer;
}
