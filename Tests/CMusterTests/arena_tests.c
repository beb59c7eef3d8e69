// The arena by itself: layouts, reading, changing, checkpoints.
// SPDX-License-Identifier: Apache-2.0
#include "muster/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena_support.h"
#include "internal/arena_layout.h"
#include "internal/words.h"
#include "support.h"
#include "test.h"

static uint64_t page_size(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }

static void check_layout(const muster_arena_shape *shape) {
  muster_arena_layout layout;
  uint64_t page = page_size();
  REQUIRE(!muster_arena_layout_of(shape, &layout));
  CHECK_EQUAL(layout.page, page);
  CHECK_EQUAL(layout.size, muster_arena_size(shape));
  CHECK(layout.state_offset % page == 0 && layout.state_room % page == 0 && layout.size % page == 0);
  CHECK(layout.state_room >= shape->size && layout.state_room % layout.alignment == 0);
  CHECK_EQUAL(layout.alignment, shape->size >= MUSTER_ARENA_HUGE ? MUSTER_ARENA_HUGE : page);
  CHECK_EQUAL(layout.log_offset, layout.state_offset + layout.state_room);
  uint64_t slots = shape->checkpoints ? shape->checkpoints + 1 : 0;
  CHECK(layout.state_offset >= page + slots * shape->size && layout.state_offset <= page + slots * (shape->size + page));
  if (shape->flags & MUSTER_ARENA_NO_TRANSACTIONS) CHECK_EQUAL(layout.size, layout.log_offset);
  else CHECK(layout.size > layout.log_offset + page);
}

static void layouts(void) {
  static const uint64_t sizes[] = {1, 8, 4095, 4096, 4097, 100000, ((uint64_t)2 << 20) - 1, (uint64_t)2 << 20, ((uint64_t)2 << 20) + 1};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (uint32_t checkpoints = 0; checkpoints <= MUSTER_ARENA_CHECKPOINTS_MAX; checkpoints++)
      for (uint32_t flags = 0; flags < 2; flags++)
        check_layout(&(muster_arena_shape){.size = sizes[i], .checkpoints = checkpoints, .flags = flags});
  static const muster_arena_shape impossible[] = {
      {.size = 0}, {.size = UINT64_MAX}, {.size = ARENA_SIZE_MAX + 1}, {.size = 1, .checkpoints = 17}, {.size = 1, .flags = 2}};
  for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
    muster_arena_layout layout;
    CHECK_EQUAL(muster_arena_size(&impossible[i]), 0);
    CHECK_STATUS(muster_arena_layout_of(&impossible[i], &layout), EINVAL);
    CHECK_STATUS(muster_arena_init(&layout, sizeof layout, &impossible[i]), EINVAL);
  }
  // A log of one page beside one of all, which more than all is too.
  uint64_t page = page_size();
  muster_arena_shape one = {.size = 9 * page, .log_pages = 1}, all = {.size = 9 * page}, more = {.size = 9 * page, .log_pages = 10};
  CHECK_EQUAL(muster_arena_size(&all) - muster_arena_size(&one), 8 * page);
  CHECK_EQUAL(muster_arena_size(&all), muster_arena_size(&more));
}

static void attaching(void) {
  muster_arena_shape shape = {.size = 10000, .log_pages = 2, .checkpoints = 3};
  arena_place place = arena_test_place(&shape);
  muster_arena arena;
  CHECK_STATUS(muster_arena_attach(place.memory + 8, place.layout.size, &arena), EINVAL);
  CHECK_STATUS(muster_arena_attach(place.memory, place.layout.size - 1, &arena), EBADMSG);
  CHECK_STATUS(muster_arena_attach(place.memory, 1, &arena), EBADMSG);
  CHECK_STATUS(muster_arena_init(place.memory + 8, place.layout.size, &shape), EINVAL);
  CHECK_STATUS(muster_arena_init(place.memory, place.layout.size - 1, &shape), EINVAL);
  CHECK_STATUS(muster_arena_attach(place.memory, place.layout.size + 4096, &arena), 0);
  CHECK(arena.size == 10000 && arena.state == place.memory + place.layout.state_offset);
  muster_arena_info info;
  muster_arena_info_of(&arena, &info);
  CHECK(info.size == 10000 && info.log_pages == 2 && info.checkpoints == 3 && !info.kept && !info.newest && !info.id);
  arena_head *head = (arena_head *)(void *)place.memory;
  head->version++;
  CHECK_STATUS(muster_arena_attach(place.memory, place.layout.size, &arena), EPROTO);
  head->version--, head->page *= 2;
  CHECK_STATUS(muster_arena_attach(place.memory, place.layout.size, &arena), EPROTO);
  head->page /= 2, head->magic++;
  CHECK_STATUS(muster_arena_attach(place.memory, place.layout.size, &arena), EBADMSG);
  arena_test_free(&place);
}

// Each offset and size around words and blocks, the other bytes untouched; by what every processor has, then by the widest
// that this one has.
static void check_words(void) {
  enum { ROOM = 512 };
  _Alignas(64) static unsigned char shared[ROOM], expected[ROOM];
  static unsigned char mine[ROOM + 1];
  for (size_t i = 0; i < ROOM; i++) shared[i] = (unsigned char)(i * 31 + i / 7);
  for (size_t at = 0; at < 20; at++) {
    for (size_t size = 0; size < 300; size++) {
      memset(mine, 0xa5, sizeof mine);
      muster_words_get(mine + size % 3, shared + at, size);
      CHECK(!memcmp(mine + size % 3, shared + at, size) && mine[size % 3 + size] == 0xa5);
      memcpy(expected, shared, ROOM);
      for (size_t i = 0; i < size; i++) mine[i] = expected[at + i] = (unsigned char)(size * 7 + i);
      muster_words_put(shared + at, mine, size);
      CHECK(!memcmp(shared, expected, ROOM));
    }
  }
  muster_words_zero(shared + 8, 256);
  memset(expected + 8, 0, 256);
  CHECK(!memcmp(shared, expected, ROOM));
}

static void words(void) {
  check_words();
  muster_words_prepare();
  check_words();
}

static void changing(void) {
  muster_arena_shape shape = {.size = 5000, .checkpoints = 1};
  arena_place place = arena_test_place(&shape);
  const muster_arena *arena = &place.arena;
  unsigned char bytes[5000];
  uint64_t sequence = 7, number;
  CHECK_STATUS(muster_arena_read(arena, 0, bytes, 5000, &sequence), 0);
  CHECK(sequence == 0 && arena_test_is_state(bytes, 0, 5000, &number) && number == 0);
  CHECK_STATUS(muster_arena_write(arena, 0, bytes, 1), EINVAL);
  CHECK_STATUS(muster_arena_change_end(arena), EINVAL);
  CHECK_STATUS(muster_arena_change_begin(arena), 0);
  CHECK(muster_arena_changing(arena));
  CHECK_STATUS(muster_arena_change_begin(arena), EALREADY);
  CHECK_STATUS(muster_arena_save(arena, NULL), EBUSY);
  CHECK_STATUS(muster_arena_log_begin(arena, &number), EBUSY);
  CHECK_STATUS(muster_arena_read(arena, 0, bytes, 1, NULL), EAGAIN);
  CHECK_STATUS(muster_arena_read_until(arena, 0, bytes, 1, muster_deadline_after(2000000), NULL), ETIMEDOUT);
  CHECK_STATUS(muster_arena_read_until(arena, 0, bytes, 1, MUSTER_DEADLINE_NOW, NULL), ETIMEDOUT);
  CHECK_STATUS(muster_arena_read_until(arena, 0, bytes, 1, MUSTER_DEADLINE_NEVER, NULL), EINVAL);
  arena_test_state(arena->state, 0, 5000, 4);
  CHECK_STATUS(muster_arena_change_end(arena), 0);
  CHECK(!muster_arena_changing(arena) && muster_arena_sequence(arena) == 2);
  for (uint64_t at = 0; at < 70; at++) {
    CHECK_STATUS(muster_arena_read_until(arena, at, bytes, 5000 - 2 * at, MUSTER_DEADLINE_NOW, &sequence), 0);
    CHECK(sequence == 2 && arena_test_is_state(bytes, at, 5000 - 2 * at, &number) && number == 4);
  }
  CHECK_STATUS(muster_arena_read(arena, 5000, bytes, 0, NULL), 0);
  CHECK_STATUS(muster_arena_read(arena, 5000, bytes, 1, NULL), EINVAL);
  CHECK_STATUS(muster_arena_read(arena, 5001, bytes, 0, NULL), EINVAL);
  CHECK_STATUS(muster_arena_read(arena, 1, bytes, UINT64_MAX, NULL), EINVAL);
  CHECK_STATUS(muster_arena_change_begin(arena), 0);
  CHECK_STATUS(muster_arena_write(arena, 4999, bytes, 2), EINVAL);
  CHECK_STATUS(muster_arena_zero(arena), 0);
  CHECK(arena_test_read(arena) == 0 && muster_arena_sequence(arena) == 4);
  muster_arena_info info;
  muster_arena_beat(arena, 1234);
  muster_arena_beat(arena, 1235);
  muster_arena_info_of(arena, &info);
  CHECK(info.beat == 1235 && info.beats == 2 && info.sequence == 4);
  arena_test_free(&place);
}

static void end_the_change(void *context) {
  const arena_place *place = context;
  test_pause(20000000);
  arena_test_state(place->arena.state, 0, place->arena.size, 9);
  CHECK_STATUS(muster_arena_change_end(&place->arena), 0);
}

static void waiting_for_the_end(void) {
  arena_place place = arena_test_place(&(muster_arena_shape){.size = 3000});
  unsigned char bytes[3000];
  uint64_t number;
  REQUIRE(!muster_arena_change_begin(&place.arena));
  pid_t other = test_fork(end_the_change, &place);
  CHECK_STATUS(muster_arena_read_until(&place.arena, 0, bytes, 3000, soon(), NULL), 0);
  CHECK(arena_test_is_state(bytes, 0, 3000, &number) && number == 9);
  test_join(other, 0);
  arena_test_free(&place);
}

static void check_list(const muster_arena *arena, uint64_t newest, uint32_t kept) {
  muster_arena_checkpoint listed[MUSTER_ARENA_CHECKPOINTS_MAX], first;
  uint32_t found;
  for (int verify = 0; verify < 2; verify++) {
    CHECK_STATUS(muster_arena_checkpoints(arena, verify, listed, MUSTER_ARENA_CHECKPOINTS_MAX, &found), 0);
    CHECK_EQUAL(found, kept);
    for (uint32_t k = 0; k < found; k++) CHECK(listed[k].number == newest - k && listed[k].whole == 1 && listed[k].time > 0);
  }
  CHECK_STATUS(muster_arena_checkpoints(arena, 0, &first, 1, &found), 0);
  CHECK(found == kept && (!kept || first.number == newest));
  CHECK_STATUS(muster_arena_checkpoints(arena, 0, NULL, 0, &found), 0);
  CHECK_EQUAL(found, kept);
}

static void checkpoints(void) {
  for (uint32_t most = 1; most <= MUSTER_ARENA_CHECKPOINTS_MAX; most += 5) {
    arena_place place = arena_test_place(&(muster_arena_shape){.size = 5001, .checkpoints = most});
    muster_arena_checkpoint saved;
    CHECK_STATUS(muster_arena_load(&place.arena, 0, NULL, NULL, &saved), ENODATA);
    for (uint64_t n = 1; n <= 2 * most + 3; n++) {
      arena_test_change(&place.arena, 100 + n);
      CHECK_STATUS(muster_arena_save(&place.arena, &saved), 0);
      CHECK(saved.number == n && saved.whole && saved.sequence == muster_arena_sequence(&place.arena));
      uint32_t kept = n < most ? (uint32_t)n : most;
      check_list(&place.arena, n, kept);
      for (uint32_t k = 0; k < kept; k++) {
        CHECK_STATUS(muster_arena_load(&place.arena, k, NULL, NULL, &saved), 0);
        CHECK(saved.number == n - k && arena_test_read(&place.arena) == 100 + n - k);
      }
      CHECK_STATUS(muster_arena_load(&place.arena, kept, NULL, NULL, &saved), ENODATA);
      CHECK(!muster_arena_changing(&place.arena));
    }
    arena_test_free(&place);
  }
  arena_place place = arena_test_place(&(muster_arena_shape){.size = 100});
  CHECK_STATUS(muster_arena_save(&place.arena, NULL), ENOTSUP);
  CHECK_STATUS(muster_arena_load(&place.arena, 0, NULL, NULL, NULL), ENODATA);
  check_list(&place.arena, 0, 0);
  arena_test_free(&place);
}

typedef struct asking {
  const muster_arena *arena;
  uint64_t good;  // the state that is taken
  uint32_t asked;
} asking;

static int is_good(const void *state, uint64_t size, void *context) {
  asking *asked = context;
  uint64_t number;
  CHECK(state == asked->arena->state && size == asked->arena->size && muster_arena_changing(asked->arena));
  CHECK(arena_test_is_state(state, 0, size, &number));
  asked->asked++;
  return number == asked->good;
}

static void acceptance(void) {
  arena_place place = arena_test_place(&(muster_arena_shape){.size = 9000, .checkpoints = 4});
  const muster_arena *arena = &place.arena;
  muster_arena_checkpoint loaded;
  for (uint64_t n = 1; n <= 6; n++) {
    arena_test_change(arena, n);
    REQUIRE(!muster_arena_save(arena, NULL));
  }
  asking asked = {.arena = arena, .good = 4};
  CHECK_STATUS(muster_arena_load(arena, 0, is_good, &asked, &loaded), 0);
  CHECK(asked.asked == 3 && loaded.number == 4 && arena_test_read(arena) == 4);
  asked = (asking){.arena = arena, .good = 6};
  CHECK_STATUS(muster_arena_load(arena, 1, is_good, &asked, &loaded), ENOENT);
  CHECK(asked.asked == 3 && muster_arena_changing(arena));
  CHECK_STATUS(muster_arena_load(arena, 0, is_good, &asked, &loaded), 0);
  CHECK(loaded.number == 6 && !muster_arena_changing(arena));
  // One that is scribbled on is passed over; its fields, or its bytes.
  arena_control *control = (arena_control *)(void *)place.memory;
  control->slots[6 % 5].time++;
  place.memory[page_size() + (5 % 5) * 3 * page_size() + 700] ^= 1;
  muster_arena_checkpoint listed[4];
  uint32_t kept;
  CHECK_STATUS(muster_arena_checkpoints(arena, 0, listed, 4, &kept), 0);
  CHECK(kept == 4 && !listed[0].whole && listed[1].whole && listed[2].whole);
  CHECK_STATUS(muster_arena_checkpoints(arena, 1, listed, 4, &kept), 0);
  CHECK(kept == 4 && !listed[0].whole && !listed[1].whole && listed[2].whole && listed[3].whole);
  CHECK_STATUS(muster_arena_load(arena, 0, NULL, NULL, &loaded), 0);
  CHECK(loaded.number == 4 && arena_test_read(arena) == 4);
  for (uint32_t slot = 0; slot < 5; slot++) control->slots[slot].seal++;
  CHECK_STATUS(muster_arena_load(arena, 0, NULL, NULL, &loaded), EBADMSG);
  CHECK(muster_arena_changing(arena));
  CHECK_STATUS(muster_arena_zero(arena), 0);
  arena_test_free(&place);
}

// From a mapping that can't be written to: all that looks works, all that changes is refused and stores nothing.
static void reading_only(void) {
  arena_place place = arena_test_place(&(muster_arena_shape){.size = 6000, .checkpoints = 2});
  arena_test_change(&place.arena, 3);
  REQUIRE(!muster_arena_save(&place.arena, NULL));
  muster_arena other;
  muster_arena_info info;
  muster_arena_log log;
  uint64_t id = 0;
  REQUIRE(!mprotect(place.memory, place.layout.size, PROT_READ));
  CHECK_STATUS(muster_arena_attach_read_only(place.memory, place.layout.size, &other), 0);
  CHECK_EQUAL(arena_test_read(&other), 3);
  muster_arena_info_of(&other, &info);
  CHECK(info.newest == 1 && info.kept == 1 && info.sequence == 2);
  check_list(&other, 1, 1);
  CHECK_STATUS(muster_arena_change_begin(&other), EACCES);
  CHECK_STATUS(muster_arena_change_end(&other), EACCES);
  CHECK_STATUS(muster_arena_write(&other, 0, &id, 8), EACCES);
  CHECK_STATUS(muster_arena_zero(&other), EACCES);
  CHECK_STATUS(muster_arena_save(&other, NULL), EACCES);
  CHECK_STATUS(muster_arena_load(&other, 0, NULL, NULL, NULL), EACCES);
  CHECK_STATUS(muster_arena_log_begin(&other, &id), EACCES);
  CHECK_STATUS(muster_arena_log_decide(&other, 1), EACCES);
  CHECK_STATUS(muster_arena_redo(&other), EACCES);
  CHECK_STATUS(muster_arena_log_drop(&other), EACCES);
  CHECK_STATUS(muster_arena_log_open(&other, 1, &log), EACCES);
  muster_arena_beat(&other, 5);
  muster_arena_count(&other, MUSTER_ARENA_END_LATE);
  arena_test_free(&place);
}

TEST_SUITE(arena, {"layouts", layouts, 0}, {"attaching", attaching, 0}, {"words", words, 0}, {"changing", changing, 0},
           {"waiting_for_the_end", waiting_for_the_end, 0}, {"checkpoints", checkpoints, 0},
           {"acceptance", acceptance, 0}, {"reading_only", reading_only, 0});
