// SPDX-License-Identifier: Apache-2.0
#include "internal/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/fork.h"

static size_t read_file(const char *path, char *text, size_t size) {
  int saved = errno;
  ssize_t length = -1;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    do length = read(file, text, size - 1);
    while (length < 0 && errno == EINTR);
    close(file);
  }
  errno = saved;
  text[length > 0 ? length : 0] = 0;
  return length > 0 ? (size_t)length : 0;
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

static int read_boot_id(uint8_t id[16]) {
  char text[64];
  memset(id, 0, 16);
  read_file("/proc/sys/kernel/random/boot_id", text, sizeof text);
  unsigned digits = 0;
  for (const char *c = text; *c && digits < 32; c++) {
    int digit = hex(*c);
    if (digit < 0) continue;
    id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | digit);
    digits++;
  }
  return digits == 32;
}

// It is the same as long as this process lives, and is asked for again by each region: kept, so that it is known also when no
// descriptor is left to read it with. Threads that read it at the same time store the same words.
void muster_boot_id(uint8_t id[16]) {
  static uint64_t kept[2];
  static int known;
  uint64_t words[2] = {0};
  if (__atomic_load_n(&known, __ATOMIC_ACQUIRE)) {
    for (int i = 0; i < 2; i++) words[i] = __atomic_load_n(&kept[i], __ATOMIC_RELAXED);
    memcpy(id, words, 16);
  } else if (read_boot_id(id)) {
    memcpy(words, id, 16);
    for (int i = 0; i < 2; i++) __atomic_store_n(&kept[i], words[i], __ATOMIC_RELAXED);
    __atomic_store_n(&known, 1, __ATOMIC_RELEASE);
  }
}

uint64_t muster_process_start(int32_t pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (!read_file(path, text, sizeof text)) return 0;
  // The second field is the name in parentheses and may hold anything, so count from the last parenthesis.
  const char *field = strrchr(text, ')');
  for (int number = 2; field && number < 22; number++) {
    field = strchr(field, ' ');
    if (field) field++;
  }
  return field ? strtoull(field, NULL, 10) : 0;
}

// What stays as it is as long as a process lives, under the number of the process that found it (fork.h): a forked child finds it out
// anew. Threads that do so at the same time store the same.
typedef struct own_fact {
  uint64_t token;
  uint64_t value;
} own_fact;

static uint64_t own(own_fact *fact, uint64_t (*find)(void)) {
  fork_guard guard;
  if (muster_fork_guard(&guard)) return find();
  if (__atomic_load_n(&fact->token, __ATOMIC_ACQUIRE) == guard.token) return __atomic_load_n(&fact->value, __ATOMIC_RELAXED);
  uint64_t value = find();
  if (!value) return 0;
  __atomic_store_n(&fact->value, value, __ATOMIC_RELAXED);
  __atomic_store_n(&fact->token, guard.token, __ATOMIC_RELEASE);
  return value;
}

static uint64_t find_start(void) { return muster_process_start((int32_t)getpid()); }

uint64_t muster_own_start(void) {
  static own_fact start;
  return own(&start, find_start);
}

static uint64_t find_pid_namespace(void) {
  struct stat status;
  int saved = errno;
  int got = stat("/proc/self/ns/pid", &status);
  errno = saved;
  return got ? 0 : (uint64_t)status.st_ino;
}

uint64_t muster_pid_namespace(void) {
  static own_fact pid_namespace;
  return own(&pid_namespace, find_pid_namespace);
}
