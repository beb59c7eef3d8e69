// That neither a root nor its daemons allocate once they run: a thousand restarts, some of them with a transaction and a checkpoint,
// under an allocator of this program's own that counts its calls in shared memory.
//
// A program of its own, since it replaces malloc for all that is in it, libc included.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "muster/root.h"

enum { RESTARTS = 1000, ROOM = 64 << 20, UNIT = 16 };

typedef struct counts {
  uint64_t calls;
  uint64_t counting;
  uint64_t transactions, restarts;
} counts;

static counts *counted;

// ---- The allocator: it gives, counts, and takes nothing back. A block's size stands before it.

static unsigned char room[ROOM];
static size_t used;

static void count(void) {
  if (counted && __atomic_load_n(&counted->counting, __ATOMIC_RELAXED)) __atomic_fetch_add(&counted->calls, 1, __ATOMIC_RELAXED);
}

static void *give(size_t size, size_t alignment) {
  count();
  if (size > ROOM) return errno = ENOMEM, NULL;
  size_t start = (used + UNIT + alignment - 1) / alignment * alignment;
  if (start + size > ROOM) return errno = ENOMEM, NULL;
  used = start + size;
  memcpy(room + start - sizeof size, &size, sizeof size);
  return room + start;
}

void *malloc(size_t size) { return give(size, UNIT); }

void free(void *block) {
  if (block) count();
}

void *calloc(size_t number, size_t size) {
  // What it gives was never used before.
  return size && number > SIZE_MAX / size ? (errno = ENOMEM, NULL) : give(number * size, UNIT);
}

void *realloc(void *block, size_t size) {
  void *other = give(size, UNIT);
  size_t before = 0;
  if (block) memcpy(&before, (unsigned char *)block - sizeof before, sizeof before);
  if (other && block) memcpy(other, block, before < size ? before : size);
  return other;
}

void *aligned_alloc(size_t alignment, size_t size) { return give(size, alignment < UNIT ? UNIT : alignment); }
void *memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }

int posix_memalign(void **block, size_t alignment, size_t size) {
  *block = aligned_alloc(alignment, size);
  return *block ? 0 : ENOMEM;
}

// ---- The daemons

static int adds(void *state, uint64_t size, void *context) {
  (void)size;
  (void)context;
  ++*(uint64_t *)state;
  return 0;
}

static int works(muster_daemon *self, void *context) {
  (void)context;
  muster_daemon_beat(self);
  if (muster_daemon_change_begin(self)) return 1;
  ((uint64_t *)muster_daemon_state(self))[1]++;
  if (muster_daemon_change_end(self) || muster_daemon_save(self)) return 1;
  muster_transaction_outcome outcome;
  if (muster_daemon_how(self)->starts % 10 == 0) {
    if (muster_daemon_transact(self, adds, NULL, NULL, &outcome) || outcome.how != MUSTER_TRANSACTION_COMMITTED) return 1;
    __atomic_fetch_add(&counted->transactions, 1, __ATOMIC_RELAXED);
  }
  return 0;
}

static void tell(muster_root *root, muster_root_event_kind kind, uint32_t daemon, const muster_daemon_status *status, void *context) {
  (void)daemon;
  (void)context;
  if (kind != MUSTER_ROOT_ENDED) return;
  if (status->death.how == MUSTER_DAEMON_EXITED && status->death.value == 0) counted->restarts++;
  if (status->starts >= RESTARTS) muster_root_stop(root);
}

int main(void) {
  counted = mmap(NULL, sizeof *counted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (counted == MAP_FAILED) return 1;
  const muster_daemon_spec specs[] = {
      {.name = "a", .run = works, .state_size = 10000, .checkpoints = 2, .policy = MUSTER_DAEMON_CHECKPOINT, .heartbeat = INT64_C(60000000000),
       .stable = MUSTER_ROOT_NONE, .delay_first = MUSTER_ROOT_NONE},
      {.name = "b", .run = works, .state_size = 10000, .checkpoints = 2, .policy = MUSTER_DAEMON_KEEP, .stable = MUSTER_ROOT_NONE,
       .delay_first = MUSTER_ROOT_NONE}};
  char name[64];
  snprintf(name, sizeof name, "muster-allocations-%d", (int)getpid());
  muster_root *root;
  const muster_root_options options = {.tell = tell};
  int status = muster_root_start(name, specs, 2, &options, &root);
  if (status) return printf("start: %s\n", muster_status_text(status)), 1;
  // That it counts at all.
  counted->counting = 1;
  void *volatile block = malloc(1);
  free(block);
  int counts_calls = counted->calls == 2;
  counted->calls = 0;
  status = muster_root_run(root);
  counted->counting = 0;
  muster_root_close(root);
  printf("%llu calls of the allocator in %llu restarts with %llu transactions\n", (unsigned long long)counted->calls,
         (unsigned long long)counted->restarts, (unsigned long long)counted->transactions);
  return status || !counts_calls || counted->calls || counted->restarts < RESTARTS || counted->transactions < RESTARTS / 10;
}
