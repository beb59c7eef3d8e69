// Rings that somebody writes into while they are used, and files of which a power failure kept pages of two moments.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/ring_layout.h"
#include "ring_support.h"
#include "support.h"
#include "test.h"

enum { BYTES = 4096, PAGE = 4096, PLAYERS = 4 };

// ---- While it is used

// The ring lies just before a page that nobody may touch, so that a step over its end is a death.
typedef struct attack {
  unsigned char *memory;
  size_t size;
  muster_ring_mode mode;
  uint64_t seed;
  uint64_t *calls;  // of each player
  uint32_t number;  // of this player
} attack;

static void may_be(int line, int status, const int *allowed) {
  for (; *allowed >= 0; allowed++)
    if (status == *allowed) return;
  test_fail(__FILE__, line, "a call came to %d", status);
  test_end();
}

#define ALLOW(status, ...) may_be(__LINE__, (status), (const int[]){0, __VA_ARGS__, -1})

static void write_once(muster_ring *ring, uint64_t *random) {
  static char bytes[BYTES];
  void *place;
  muster_wait_set set;
  uint32_t size = (uint32_t)(test_random(random) % (test_random(random) % 8 ? 100 : BYTES / 4 + 50));
  muster_deadline deadline = test_random(random) % 2 ? 0 : muster_deadline_after(100000);
  int status = 0;
  switch (test_random(random) % 5) {
    case 0: ALLOW(muster_ring_write(ring, bytes, size, deadline), EINVAL, ETIMEDOUT, EOVERFLOW); break;
    case 1:
      status = muster_ring_claim(ring, size, deadline, &place);
      ALLOW(status, EINVAL, ETIMEDOUT, EOVERFLOW);
      if (!status) memset(place, 7, size);
      break;
    case 2: ALLOW(muster_ring_commit(ring), EINVAL); break;
    case 3: ALLOW(muster_ring_poll_room(ring, size, &set), EINVAL, EAGAIN, EOVERFLOW); break;
    default: ALLOW(muster_ring_cancel(ring), 0);
  }
}

static void read_once(muster_ring *ring, uint64_t *random) {
  static unsigned char buffer[BYTES];
  volatile unsigned char sum = 0;
  muster_ring_record record;
  muster_ring_state state;
  muster_ring_place place = {test_random(random) >> test_random(random) % 64, test_random(random) % 500};
  int status;
  switch (test_random(random) % 7) {
    case 0:
    case 1:
      status = muster_ring_next(ring, &record);
      ALLOW(status, EAGAIN, EBADMSG);
      for (uint32_t i = 0; !status && i < record.size; i++)
        sum = (unsigned char)(sum + ((const unsigned char *)record.bytes)[i]);
      break;
    case 2: ALLOW(muster_ring_release(ring), ESTALE); break;
    case 3: ALLOW(muster_ring_read(ring, buffer, sizeof buffer, &record), EAGAIN, EBADMSG); break;
    case 4: ALLOW(muster_ring_wait(ring, muster_deadline_after(50000)), ETIMEDOUT, EOWNERDEAD, EBADMSG); break;
    case 5: ALLOW(muster_ring_look(ring, &state), EAGAIN, EBADMSG); break;
    default:
      ALLOW(muster_ring_seek(ring, (muster_ring_from)(test_random(random) % 3), &place), ESTALE, EBADMSG, EAGAIN, EINVAL);
  }
}

static void play(void *context) {
  const attack *on = context;
  uint64_t random = on->seed + on->number;
  for (;;) {
    muster_ring *ring;
    int writes = on->number < PLAYERS / 2, status = muster_ring_attach(on->memory, on->size, &ring);
    REQUIRE(!status);
    for (int turn = 0; turn < 20; turn++) {
      status = writes ? muster_ring_start_writing(ring, NULL) : muster_ring_start_reading(ring, MUSTER_RING_OLDEST, NULL);
      ALLOW(status, EBUSY, EBADMSG, EAGAIN, EOVERFLOW);
      for (int i = 0; !status && i < 100; i++) {
        if (writes) write_once(ring, &random);
        else read_once(ring, &random);
        __atomic_fetch_add(on->calls + on->number, 1, __ATOMIC_RELAXED);
      }
      if (!status) REQUIRE(!(writes ? muster_ring_stop_writing(ring) : muster_ring_stop_reading(ring)));
    }
    REQUIRE(!muster_ring_close(ring));
  }
}

static void store(void *word, uint64_t value) { __atomic_store_n((uint64_t *)word, value, __ATOMIC_RELAXED); }

// A ring without records at some position, so that the players find something to play with.
static void put_right(ring_state *state, unsigned char *data, uint64_t position) {
  for (uint32_t k = 0; k < RING_MARKS; k++) store(&state->marks[k].position, RING_NONE);
  store(&state->marks[position / (BYTES / RING_MARKS) % RING_MARKS].position, position);
  store(data + position % BYTES, 0);
  store(&state->tail, position);
  store(&state->reserve, position);
}

// A header as it should be at a place that somebody may be at.
static void lay_header(ring_state *state, unsigned char *data, uint64_t value, uint64_t further) {
  uint64_t position = __atomic_load_n(&state->tail, __ATOMIC_RELAXED) / 8 * 8 + further, offset = position % BYTES;
  uint64_t kind = value % 4 ? MUSTER_RING_RECORD | value % 1200 : MUSTER_RING_FILLER | (BYTES - offset - 8);
  store(data + offset, muster_ring_stamp(position, BYTES - 1, 12) | kind);
}

static void scribble(const attack *on, uint64_t *random) {
  ring_state *state = (ring_state *)(void *)(on->memory + ring_state_offset());
  unsigned char *data = on->memory + ring_data_offset();
  uint64_t value = test_random(random) >> test_random(random) % 64, at = test_random(random) % BYTES / 8 * 8;
  switch (test_random(random) % 8) {
    case 0: store(&state->reserve, value); break;
    case 1:
      // Sums with it may wrap around.
      if (value % 3 == 0) value = UINT64_MAX - value % BYTES;
      value -= value % 8;
      store(&state->marks[value / (BYTES / RING_MARKS) % RING_MARKS].position, value);
      store(&state->tail, value);
      break;
    case 2: store(&state->marks[value % RING_MARKS].position, value); break;
    case 3: store(&state->marks[value % RING_MARKS].number, test_random(random)); break;
    case 4: store(on->memory + ring_slots_offset() + value % MUSTER_RING_READERS_MAX * RING_LINE, value); break;
    case 5: store(data + at, value); break;
    case 6: __atomic_store_n(value % 2 ? &state->bell : &state->room_calls, (uint32_t)value, __ATOMIC_RELAXED); break;
    default: lay_header(state, data, value, at);
  }
}

static void scribbled_on(muster_ring_mode mode) {
  attack on = {.size = muster_ring_size(BYTES), .mode = mode, .seed = test_seed()};
  size_t whole = (on.size + PAGE - 1) / PAGE * PAGE;
  unsigned char *pages = mmap(NULL, whole + PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(pages != MAP_FAILED && !mprotect(pages + whole, PAGE, PROT_NONE));
  on.memory = pages + whole - on.size;
  on.calls = shared_memory(PAGE);
  REQUIRE(!muster_ring_init(on.memory, on.size, BYTES, mode));
  pid_t players[PLAYERS];
  for (on.number = 0; on.number < PLAYERS; on.number++) players[on.number] = test_fork(play, &on);
  uint64_t random = on.seed, least = 0;
  // Until each has made its calls: one that hangs, or died, never comes to that.
  while (least < 40000) {
    for (int i = 0; i < 300; i++) scribble(&on, &random);
    put_right((ring_state *)(void *)(on.memory + ring_state_offset()), on.memory + ring_data_offset(),
              test_random(&random) % 100000 / 8 * 8);
    test_pause((int64_t)(test_random(&random) % 500000));
    least = UINT64_MAX;
    for (int k = 0; k < PLAYERS; k++) {
      uint64_t calls = __atomic_load_n(on.calls + k, __ATOMIC_RELAXED);
      if (calls < least) least = calls;
    }
  }
  for (int k = 0; k < PLAYERS; k++) kill_process(players[k]);
  munmap(pages, whole + PAGE);
}

static void lossless_scribbled_on(void) { scribbled_on(MUSTER_RING_LOSSLESS); }
static void latest_scribbled_on(void) { scribbled_on(MUSTER_RING_LATEST); }

// ---- Pages of two moments

enum { FILE_BYTES = 16384, MOST = 100 };

static uint64_t write_more(muster_ring *ring, uint64_t number, uint64_t count) {
  for (; count; count--) REQUIRE(!ring_test_write(ring, number++, MOST, 0));
  return number;
}

// As the file has them, where the region's header comes before the payload.
static void mix_pages(unsigned char *to, const unsigned char *early, const unsigned char *late, size_t size,
                      uint64_t *random) {
  for (size_t from = 0, end; from < size; from = end) {
    end = (from + MUSTER_REGION_HEADER_SIZE) / PAGE * PAGE + PAGE - MUSTER_REGION_HEADER_SIZE;
    if (end > size) end = size;
    memcpy(to + from, (test_random(random) % 2 ? early : late) + from, end - from);
  }
}

// After a power failure: it can be renewed, has an end, and who reads from there gets all that the successor writes.
static void pages_of_two_moments(void) {
  uint64_t random = test_seed();
  for (int round = 0; round < 2000 / (int)test_slower(); round++) {
    ring_scene scene = ring_test_scene(FILE_BYTES, round % 2 ? MUSTER_RING_LATEST : MUSTER_RING_LOSSLESS);
    unsigned char *early = malloc(scene.size), *late = malloc(scene.size);
    REQUIRE(early && late);
    muster_ring *ring = ring_test_writer(&scene), *reader;
    uint64_t number = write_more(ring, 0, test_random(&random) % 600);
    memcpy(early, scene.memory, scene.size);
    write_more(ring, number, test_random(&random) % 600);
    memcpy(late, scene.memory, scene.size);
    REQUIRE(!muster_ring_close(ring));
    mix_pages(scene.memory, early, late, scene.size, &random);
    REQUIRE(!muster_ring_renew(scene.memory, scene.size));
    reader = ring_test_reader(&scene, MUSTER_RING_NEWEST);
    ring = ring_test_writer(&scene);
    muster_ring_place begin, end;
    REQUIRE(!muster_ring_position(reader, &begin) && !muster_ring_position(ring, &end));
    REQUIRE(begin.position == end.position && begin.number == end.number);
    for (uint64_t n = begin.number; n < begin.number + 600; n++) {
      REQUIRE(!ring_test_write(ring, n, MOST, 0));
      ring_test_expect(reader, n, MOST);
    }
    // The ring has come round.
    REQUIRE(!muster_ring_seek(reader, MUSTER_RING_OLDEST, NULL));
    muster_ring_record record;
    int status;
    while (!(status = muster_ring_next(reader, &record)))
      REQUIRE(ring_test_is_record(record.bytes, record.size, record.number, MOST));
    CHECK_STATUS(status, EAGAIN);
    REQUIRE(!muster_ring_close(ring) && !muster_ring_close(reader));
    free(early), free(late);
    ring_test_end(&scene);
  }
}

TEST_SUITE(ring_scribble, {"lossless_scribbled_on", lossless_scribbled_on, 60},
           {"latest_scribbled_on", latest_scribbled_on, 60}, {"pages_of_two_moments", pages_of_two_moments, 60});
