// An arena beside what its operations can't do without:
//
//   arena_reads read BYTES BATCHES    nanoseconds of a read, and of memcpy of as many bytes
//   arena_reads save BYTES BATCHES    of a save, of memcpy and the library's own CRC-32C, and of an empty change
//   arena_reads transact BATCHES      microseconds of a transaction that changes 4 KiB of 16 MiB, and of fork, _exit and waitpid
//
// SPDX-License-Identifier: Apache-2.0
#include <muster/muster.h>

#include "../../Sources/CMuster/internal/crc32c.h"
#include "bench.h"

#define COLLAPSE 25  // madvise(2) MADV_COLLAPSE, Linux 6.1

static void use(void *memory) { __asm__ __volatile__("" ::"r"(memory) : "memory"); }

typedef struct bench {
  muster_arena arena;
  unsigned char *to, *copies;
  uint64_t size;
  int turns, file;
  uint64_t state_offset;
} bench;

// In a file, with the state where huge pages can hold it.
static void lay(bench *b, uint64_t size, uint32_t checkpoints) {
  muster_arena_shape shape = {.size = size, .checkpoints = checkpoints};
  muster_arena_layout layout;
  bench_check(muster_arena_layout_of(&shape, &layout), "muster_arena_layout_of");
  uint64_t before = -layout.state_offset & (layout.alignment - 1), whole = before + layout.size;
  b->file = (int)memfd_create("arena", MFD_CLOEXEC);
  if (b->file < 0 || ftruncate(b->file, (off_t)whole)) bench_fail("memfd_create", errno);
  unsigned char *room = mmap(NULL, whole + layout.alignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) bench_fail("mmap", errno);
  room += -(uintptr_t)room & (layout.alignment - 1);
  void *memory = mmap(room, whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, b->file, 0);
  if (memory == MAP_FAILED) bench_fail("mmap", errno);
  bench_check(muster_arena_init(room + before, layout.size, &shape), "muster_arena_init");
  bench_check(muster_arena_attach(room + before, layout.size, &b->arena), "muster_arena_attach");
  b->size = size;
  b->state_offset = before + layout.state_offset;
  memset(b->arena.state, 7, (size_t)b->arena.state_room);
  if (layout.alignment > layout.page) (void)madvise(b->arena.state, (size_t)b->arena.state_room, COLLAPSE);
}

static int64_t time_reads(bench *b) {
  int64_t start = bench_now();
  for (int i = 0; i < b->turns; i++) {
    bench_check(muster_arena_read(&b->arena, 0, b->to, b->size, NULL), "muster_arena_read");
    use(b->to);
  }
  return bench_now() - start;
}

static int64_t time_memcpy(bench *b) {
  int64_t start = bench_now();
  for (int i = 0; i < b->turns; i++) {
    use(b->arena.state);
    memcpy(b->to, b->arena.state, b->size);
    use(b->to);
  }
  return bench_now() - start;
}

static int64_t time_saves(bench *b) {
  int64_t start = bench_now();
  for (int i = 0; i < b->turns; i++) bench_check(muster_arena_save(&b->arena, NULL), "muster_arena_save");
  return bench_now() - start;
}

// To as many places as there are slots.
static int64_t time_sums(bench *b) {
  uint32_t sum = 0;
  int64_t start = bench_now();
  for (int i = 0; i < b->turns; i++) {
    unsigned char *to = b->copies + (uint64_t)(i % 4) * b->size;
    use(b->arena.state);
    memcpy(to, b->arena.state, b->size);
    use(to);
    sum += muster_crc32c(0, to, b->size);
  }
  use(&sum);
  return bench_now() - start;
}

static int64_t time_changes(bench *b) {
  int64_t start = bench_now();
  for (int i = 0; i < b->turns; i++) {
    bench_check(muster_arena_change_begin(&b->arena), "muster_arena_change_begin");
    bench_check(muster_arena_change_end(&b->arena), "muster_arena_change_end");
  }
  return bench_now() - start;
}

static void transact(bench *b, uint64_t id) {
  muster_arena_log log;
  bench_check(muster_arena_log_open(&b->arena, id, &log), "muster_arena_log_open");
  bench_check(muster_arena_log_isolate(&log, b->file, b->state_offset), "muster_arena_log_isolate");
  memset((unsigned char *)b->arena.state + b->size / 2, (int)id, 4096);
  bench_check(muster_arena_log_changed(&log), "muster_arena_log_changed");
  bench_check(muster_arena_log_commit(&log), "muster_arena_log_commit");
  _exit(0);
}

static void join(pid_t child) {
  int status;
  if (waitpid(child, &status, 0) != child || status) bench_fail("a transaction", ECHILD);
}

static int64_t time_transactions(bench *b) {
  uint64_t id;
  int64_t start = bench_now();
  bench_check(muster_arena_log_begin(&b->arena, &id), "muster_arena_log_begin");
  pid_t child = fork();
  if (child == 0) transact(b, id);
  join(child);
  bench_check(muster_arena_redo(&b->arena), "muster_arena_redo");
  return bench_now() - start;
}

static int64_t time_forks(bench *b) {
  (void)b;
  int64_t start = bench_now();
  pid_t child = fork();
  if (child == 0) _exit(0);
  join(child);
  return bench_now() - start;
}

static void measure(bench *b, int64_t (*const kinds[])(bench *), size_t count, size_t batches, double unit) {
  int64_t *took = calloc(count * batches, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  for (size_t i = 0; i < batches; i++)
    for (size_t kind = 0; kind < count; kind++) took[kind * batches + i] = kinds[kind](b);
  for (size_t kind = 0; kind < count; kind++) {
    bench_sort(took + kind * batches, batches);
    printf("%.3f ", (double)bench_permille(took + kind * batches, batches, 500) / unit);
  }
  free(took);
  puts("");
}

int main(int argc, char **argv) {
  bench_limit(170);
  bench b = {.turns = 1};
  uint64_t size = argc == 4 ? strtoull(argv[2], NULL, 10) : 0;
  size_t batches = argc > 2 ? strtoull(argv[argc - 1], NULL, 10) : 0;
  if (argc == 4 && size && batches && (!strcmp(argv[1], "read") || !strcmp(argv[1], "save"))) {
    lay(&b, size, 3);
    b.turns = 1 + (int)(4000000 / (size + 500));
    b.to = malloc(size);
    b.copies = calloc(4, size);
    if (!b.to || !b.copies) bench_fail("malloc", ENOMEM);
    if (*argv[1] == 'r') measure(&b, (int64_t(*const[])(bench *)){time_reads, time_memcpy}, 2, batches, b.turns);
    else measure(&b, (int64_t(*const[])(bench *)){time_saves, time_sums, time_changes}, 3, batches, b.turns);
    return 0;
  }
  if (argc == 3 && batches && !strcmp(argv[1], "transact")) {
    lay(&b, UINT64_C(16) << 20, 0);
    measure(&b, (int64_t(*const[])(bench *)){time_transactions, time_forks}, 2, batches, 1000);
    return 0;
  }
  fputs("usage: arena_reads read|save BYTES BATCHES, arena_reads transact BATCHES\n", stderr);
  return 2;
}
