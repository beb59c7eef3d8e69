// What the tests of the locks share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_LOCK_SUPPORT_H
#define MUSTER_LOCK_SUPPORT_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/region_layout.h"
#include "muster/lock.h"
#include "support.h"
#include "test.h"

// A lock in shared memory, and what its processes tell each other.
typedef struct scene {
  uint32_t gate[4];
  int32_t status;
  uint64_t guarded[2];
  _Alignas(MUSTER_LOCK_ALIGNMENT) unsigned char memory[1 << 15];
} scene;

static inline scene *mutex_scene(void) {
  scene *at = shared_memory(sizeof *at);
  REQUIRE(!muster_mutex_init(at->memory, sizeof at->memory));
  return at;
}

static inline muster_mutex *mutex_of(scene *at) {
  muster_mutex *mutex;
  REQUIRE(!muster_mutex_attach(at->memory, sizeof at->memory, &mutex));
  return mutex;
}

static inline scene *rwlock_scene(uint32_t capacity) {
  scene *at = shared_memory(sizeof *at);
  REQUIRE(!muster_rwlock_init(at->memory, sizeof at->memory, capacity));
  return at;
}

static inline muster_rwlock *rwlock_of(scene *at) {
  muster_rwlock *lock;
  REQUIRE(!muster_rwlock_attach(at->memory, sizeof at->memory, &lock));
  return lock;
}

// As if the machine had been started anew since: the file's boot id is another.
static inline void pretend_restart(const char *path) {
  FILE *file = fopen(path, "r+");
  REQUIRE(file && !fseek(file, offsetof(region_header, boot), SEEK_SET));
  int byte = fgetc(file);
  REQUIRE(byte != EOF && !fseek(file, -1, SEEK_CUR) && fputc(byte ^ 1, file) != EOF && !fclose(file));
}

#endif
