// SPDX-License-Identifier: Apache-2.0
#include "internal/heartbeat_threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The line `field` of a status file, a mask in hexadecimal: whether it has the signal; -1 where it can't be read. The
// name in the first line, which the process chooses, has its line breaks escaped.
static int has_signal(int folder, const char *path, const char *field, int signal) {
  char text[4096];
  int file = openat(folder, path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length <= 0) return -1;
  text[length] = 0;
  const char *line = strstr(text, field);
  if (!line) return -1;
  uint64_t mask = strtoull(line + strlen(field), NULL, 16);
  return (int)(mask >> (signal - 1) & 1);
}

int muster_heartbeat_ignores(pid_t pid, int signal) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  return has_signal(AT_FDCWD, path, "\nSigIgn:\t", signal) == 1;
}

int muster_heartbeat_threads_block(int signal) {
  DIR *tasks = opendir("/proc/self/task");
  if (!tasks) return errno == ENOMEM || errno == EMFILE || errno == ENFILE ? errno : ENOTSUP;
  int blocked = 1;
  for (struct dirent *task; blocked && (task = readdir(tasks));) {
    char path[sizeof task->d_name + 8];
    if (task->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/status", task->d_name);
    // A thread that ended meanwhile can't be read.
    blocked = has_signal(dirfd(tasks), path, "\nSigBlk:\t", signal) != 0;
  }
  closedir(tasks);
  return blocked ? 0 : ENOTSUP;
}
