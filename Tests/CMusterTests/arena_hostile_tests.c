// Arenas in memory that somebody wrote into who shouldn't have. Beside the memory lie pages that may not be touched.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arena_support.h"
#include "internal/arena_layout.h"
#include "support.h"
#include "test.h"

static int refuse(const void *state, uint64_t size, void *context) {
  uint64_t sum = 0;
  (void)context;
  for (uint64_t i = 0; i < size; i++) sum += ((const unsigned char *)state)[i];
  return sum == UINT64_MAX;
}

// All there is to do, whatever comes of it: in the time of the test, and within the memory.
static void use(const muster_arena *arena) {
  unsigned char bytes[64];
  muster_arena_info info;
  muster_arena_checkpoint listed[MUSTER_ARENA_CHECKPOINTS_MAX];
  uint32_t kept;
  uint64_t id;
  CHECK(arena->size > 0 && arena->checkpoints <= MUSTER_ARENA_CHECKPOINTS_MAX);
  int status = muster_arena_read(arena, arena->size > 64 ? arena->size - 64 : 0, bytes, arena->size < 64 ? arena->size : 64, NULL);
  CHECK(status == 0 || status == EAGAIN);
  muster_arena_info_of(arena, &info);
  CHECK(info.kept <= arena->checkpoints && info.crashed <= info.id);
  CHECK_STATUS(muster_arena_checkpoints(arena, 1, listed, MUSTER_ARENA_CHECKPOINTS_MAX, &kept), 0);
  CHECK(kept <= arena->checkpoints);
  status = muster_arena_redo(arena);
  CHECK(status == 0 || status == ENODATA || status == EBADMSG);
  if (status == EBADMSG) CHECK_STATUS(muster_arena_log_drop(arena), 0);
  status = muster_arena_load(arena, 0, refuse, NULL, NULL);
  CHECK(status == ENOENT || status == ENODATA || status == EBADMSG);
  if (muster_arena_changing(arena)) CHECK_STATUS(muster_arena_change_end(arena), 0);
  status = muster_arena_save(arena, NULL);
  CHECK(status == 0 || status == ENOTSUP);
  status = muster_arena_log_begin(arena, &id);
  CHECK(status == 0 || status == ENOTSUP);
  if (!status) CHECK_STATUS(muster_arena_log_decide(arena, id), 0);
}

// Each byte of control and log's head, and the first of the log's numbers, in turn set to a few other values.
static void hostile_bytes(void) {
  muster_arena_shape shape = {.size = 4096 + 17, .checkpoints = 2};
  arena_place place = arena_test_place(&shape);
  size_t size = (size_t)place.layout.size;
  uint64_t id;
  muster_arena_log log;
  arena_test_change(&place.arena, 3);
  for (int i = 0; i < 3; i++) REQUIRE(!muster_arena_save(&place.arena, NULL));
  REQUIRE(!muster_arena_log_begin(&place.arena, &id) && !muster_arena_log_open(&place.arena, id, &log));
  REQUIRE(!muster_arena_log_add(&log, 0, NULL) && !muster_arena_log_add(&log, 1, NULL) && !muster_arena_log_commit(&log));
  unsigned char *saved = malloc(size);
  REQUIRE(saved);
  memcpy(saved, place.memory, size);
  struct {
    uint64_t at, size;
  } parts[] = {{0, sizeof(arena_control)},
               {place.layout.log_offset, sizeof(arena_log_head)},
               {place.layout.log_offset + place.layout.page, 24}};
  static const unsigned char masks[] = {0x01, 0x02, 0x80, 0xff, 0x7e};
  size_t kinds = test_slower() > 4 ? 1 : sizeof masks;
  int attached = 0, refused = 0;
  for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
    for (uint64_t at = parts[p].at; at < parts[p].at + parts[p].size; at++) {
      for (size_t m = 0; m < kinds; m++) {
        muster_arena arena;
        place.memory[at] ^= masks[m];
        int status = muster_arena_attach(place.memory, size, &arena);
        if (status) {
          CHECK(status == EBADMSG || status == EPROTO);
          refused++;
        } else {
          attached++;
          use(&arena);
        }
        memcpy(place.memory, saved, size);
      }
    }
  }
  CHECK(attached > 1000 && refused > 20);
  free(saved);
  arena_test_free(&place);
}

// Heads of every size: what attaches fits, whatever the numbers are.
static void hostile_heads(void) {
  uint64_t random = test_seed();
  arena_place place = arena_test_place(&(muster_arena_shape){.size = 20000, .checkpoints = 3});
  arena_head *head = (arena_head *)(void *)place.memory, saved = *head;
  int attached = 0;
  for (int round = 0; round < 20000; round++) {
    muster_arena arena;
    uint64_t size = test_random(&random), pages = test_random(&random);
    head->size = size >> test_random(&random) % 64;
    head->log_pages = pages >> test_random(&random) % 64;
    head->checkpoints = test_random(&random) % 2 ? (uint32_t)pages : (uint32_t)pages % 5;
    if (muster_arena_attach(place.memory, place.layout.size, &arena)) continue;
    attached++;
    CHECK(arena.whole <= place.layout.size && arena.log_offset <= arena.whole);
    if (attached % 16 == 0) use(&arena);
  }
  *head = saved;
  CHECK(attached > 20);
  arena_test_free(&place);
}

typedef struct scribbling {
  const arena_place *place;
  uint64_t seed;
  int stop;
} scribbling;

// Words of the control, and of the log's head and numbers, without end.
static void *scribble(void *context) {
  scribbling *run = context;
  uint64_t random = run->seed, log = run->place->layout.log_offset;
  while (!__atomic_load_n(&run->stop, __ATOMIC_RELAXED)) {
    uint64_t at = test_random(&random), word = test_random(&random) >> test_random(&random) % 64;
    if (at % 3 == 0) at = sizeof(arena_head) + at / 3 % (sizeof(arena_control) - sizeof(arena_head)) / 8 * 8;
    else if (at % 3 == 1) at = log + at / 3 % sizeof(arena_log_head) / 8 * 8;
    else at = log + run->place->layout.page + at / 3 % 40 / 8 * 8;
    __atomic_store_n(arena_test_word(run->place, at), word, __ATOMIC_RELAXED);
  }
  return NULL;
}

static void hostile_peer(void) {
  arena_place place = arena_test_place(&(muster_arena_shape){.size = 5 * 4096, .checkpoints = 2});
  scribbling run = {.place = &place, .seed = test_seed()};
  pthread_t other;
  REQUIRE(!pthread_create(&other, NULL, scribble, &run));
  unsigned char bytes[5 * 4096];
  muster_arena_checkpoint listed[2];
  muster_arena_info info;
  uint32_t kept;
  uint64_t id;
  for (uint64_t round = 0; round < 20000 / test_slower(); round++) {
    muster_arena_log log;
    (void)!muster_arena_read(&place.arena, round, bytes, 64, NULL);
    (void)!muster_arena_checkpoints(&place.arena, round % 64 == 0, listed, 2, &kept);
    CHECK(kept <= 2);
    muster_arena_info_of(&place.arena, &info);
    (void)!muster_arena_redo(&place.arena);
    (void)!muster_arena_log_drop(&place.arena);
    if (muster_arena_log_begin(&place.arena, &id)) continue;
    if (muster_arena_log_open(&place.arena, id, &log)) continue;
    (void)!muster_arena_log_add(&log, round % 5, NULL);
    (void)!muster_arena_log_commit(&log);
    if (round % 16 == 0) (void)!muster_arena_save(&place.arena, NULL), (void)!muster_arena_load(&place.arena, 0, NULL, NULL, NULL);
  }
  __atomic_store_n(&run.stop, 1, __ATOMIC_RELAXED);
  pthread_join(other, NULL);
  arena_test_free(&place);
}

TEST_SUITE(arena_hostile, {"hostile_bytes", hostile_bytes, 60}, {"hostile_heads", hostile_heads, 0},
           {"hostile_peer", hostile_peer, 60});
