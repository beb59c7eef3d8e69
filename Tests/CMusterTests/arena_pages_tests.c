// The pages that a transaction's process has changed: each way to find them, and the others' view meanwhile.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena_support.h"
#include "internal/arena.h"
#include "internal/changed_pages.h"
#include "support.h"
#include "test.h"

enum { PAGES_MOST = 1 << 13, COLLAPSE = 25 };  // madvise(2) MADV_COLLAPSE, Linux 6.1

static const changed_pages_way ways[] = {CHANGED_BY_SCAN, CHANGED_BY_PAGEMAP, CHANGED_BY_COMPARING};

typedef struct task {
  const arena_place *place;
  uint64_t id;
  uint64_t count;
  uint64_t pages[PAGES_MOST];  // to be changed, rising
} task;

static void draw(task *of, uint64_t most, uint64_t *random) {
  uint64_t all = arena_pages(&of->place->arena);
  of->count = 0;
  for (uint64_t page = test_random(random) % 3; page < all && of->count < most; page += 1 + test_random(random) % (2 * all / most))
    of->pages[of->count++] = page;
}

static unsigned char *byte_of(const task *of, uint64_t k) {
  uint64_t all = of->place->arena.size, at = of->pages[k] * of->place->arena.page + of->id % of->place->arena.page;
  return (unsigned char *)of->place->arena.state + (at < all ? at : all - 1);
}

// Looks at some pages, which does not change them, changes those that are to be, and says which it has found.
static void transact(void *context) {
  const task *of = context;
  muster_arena_log log;
  REQUIRE(!muster_arena_log_open(&of->place->arena, of->id, &log));
  CHECK_STATUS(muster_arena_log_isolate(&log, of->place->file, of->place->layout.state_offset), 0);
  volatile unsigned char *state = of->place->arena.state;
  for (uint64_t at = 0; at < of->place->arena.size; at += 3 * of->place->arena.page) (void)state[at];
  for (uint64_t k = 0; k < of->count; k++) (*byte_of(of, k))++;
  CHECK_STATUS(muster_arena_log_changed(&log), 0);
  CHECK_EQUAL(log.pages, of->count);
  for (uint64_t k = 0; k < of->count; k++) CHECK_EQUAL(arena_log_numbers(&log.arena)[k], of->pages[k]);
  CHECK_STATUS(muster_arena_log_changed(&log), of->count ? EINVAL : 0);
  CHECK_STATUS(muster_arena_log_commit(&log), 0);
}

// One transaction: until redo nobody else sees a byte of it, and then all.
static void run(task *of) {
  const arena_place *place = of->place;
  unsigned char before[PAGES_MOST];
  for (uint64_t k = 0; k < of->count; k++) before[k] = *byte_of(of, k);
  REQUIRE(!muster_arena_log_begin(&place->arena, &of->id));
  for (uint64_t k = 0; k < of->count; k++) before[k] = *byte_of(of, k);
  test_join(test_fork(transact, of), 0);
  for (uint64_t k = 0; k < of->count; k++) CHECK_EQUAL(*byte_of(of, k), before[k]);
  CHECK_STATUS(muster_arena_redo(&place->arena), 0);
  for (uint64_t k = 0; k < of->count; k++) CHECK_EQUAL(*byte_of(of, k), (unsigned char)(before[k] + 1));
}

static void run_all_ways(const arena_place *place, uint64_t *random, int rounds) {
  static task of;
  of.place = place;
  uint64_t all = arena_pages(&place->arena), most[] = {1, 5, all};
  for (int round = 0; round < rounds; round++) {
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
      muster_changed_pages_first = ways[w];
      draw(&of, most[round % 3], random);
      run(&of);
    }
  }
  muster_changed_pages_first = CHANGED_BY_SCAN;
  of.count = 0;
  run(&of);
}

static void each_way(void) {
  uint64_t random = test_seed(), page = (uint64_t)sysconf(_SC_PAGESIZE);
  arena_place small = arena_test_place(&(muster_arena_shape){.size = 5 * page - 3});
  run_all_ways(&small, &random, 6);
  arena_test_free(&small);
  arena_place large = arena_test_place(&(muster_arena_shape){.size = 1200 * page});
  run_all_ways(&large, &random, 3);
  arena_test_free(&large);
}

// On huge pages, where they are to be had: a store splits them in the process that stores alone.
static void on_huge_pages(void) {
  uint64_t random = test_seed();
  arena_place place = arena_test_place(&(muster_arena_shape){.size = 3 * MUSTER_ARENA_HUGE - 5, .log_pages = 900});
  if (place.layout.page != 4096) test_skip("pages are not of 4 KiB");
  memset(place.arena.state, 1, (size_t)place.arena.state_room);
  // The file's offset has to be a multiple as well: a second mapping of another file, where the state begins.
  int file = (int)syscall(SYS_memfd_create, "muster-test", 1u);
  REQUIRE(file >= 0 && !ftruncate(file, (off_t)place.arena.state_room));
  void *state = mmap(place.arena.state, (size_t)place.arena.state_room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
  REQUIRE(state == place.arena.state);
  memset(state, 1, (size_t)place.arena.state_room);
  if (madvise(state, (size_t)place.arena.state_room, COLLAPSE)) test_skip("no huge pages: %s", strerror(errno));
  arena_place there = place;
  there.file = file;
  there.layout.state_offset = 0;
  static task of;
  of.place = &there;
  for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
    muster_changed_pages_first = ways[w];
    draw(&of, 40, &random);
    run(&of);
  }
  close(file);
  arena_test_free(&place);
}

static void no_scan(void *context) {
  refuse_call(SYS_ioctl, ENOTTY);
  run(context);
}

static void no_proc(void *context) {
  refuse_call(SYS_ioctl, EPERM);
  refuse_call(SYS_pread64, EIO);
  run(context);
}

// Kernels and sandboxes without: it falls back by itself.
static void refused_by_the_kernel(void) {
  uint64_t random = test_seed();
  arena_place place = arena_test_place(&(muster_arena_shape){.size = 100000});
  static task of;
  of.place = &place;
  draw(&of, 7, &random);
  test_join(test_fork(no_scan, &of), 0);
  test_join(test_fork(no_proc, &of), 0);
  arena_test_free(&place);
}

static void fill_up(void *context) {
  task *of = context;
  muster_arena_log log;
  REQUIRE(!muster_arena_log_open(&of->place->arena, of->id, &log));
  REQUIRE(!muster_arena_log_isolate(&log, of->place->file, of->place->layout.state_offset));
  for (uint64_t k = 0; k < of->count; k++) (*byte_of(of, k))++;
  CHECK_STATUS(muster_arena_log_changed(&log), ENOSPC);
  CHECK_STATUS(muster_arena_log_abort(&log), 0);
}

static void what_can_not_be(void) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  arena_place place = arena_test_place(&(muster_arena_shape){.size = 8 * page, .log_pages = 3});
  static task of;
  of = (task){.place = &place, .count = 4, .pages = {0, 2, 5, 7}};
  for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
    muster_changed_pages_first = ways[w];
    REQUIRE(!muster_arena_log_begin(&place.arena, &of.id));
    test_join(test_fork(fill_up, &of), 0);
    CHECK_STATUS(muster_arena_redo(&place.arena), ENODATA);
  }
  muster_arena_log log;
  REQUIRE(!muster_arena_log_begin(&place.arena, &of.id));
  REQUIRE(!muster_arena_log_open(&place.arena, of.id, &log));
  errno = EDOM;
  CHECK_STATUS(muster_arena_log_isolate(&log, place.file, 1), EINVAL);
  CHECK_STATUS(muster_arena_log_isolate(&log, place.file, place.layout.size), EINVAL);
  CHECK_STATUS(muster_arena_log_isolate(&log, place.file, UINT64_MAX / page * page), EINVAL);
  CHECK_STATUS(muster_arena_log_isolate(&log, -1, 0), EBADF);
  CHECK_STATUS(muster_arena_log_changed(&log), EINVAL);
  CHECK_EQUAL(errno, EDOM);
  CHECK_STATUS(muster_arena_log_abort(&log), 0);
  arena_test_free(&place);
}

TEST_SUITE(arena_pages, {"each_way", each_way, 60}, {"on_huge_pages", on_huge_pages, 0},
           {"refused_by_the_kernel", refused_by_the_kernel, 0}, {"what_can_not_be", what_can_not_be, 0});
