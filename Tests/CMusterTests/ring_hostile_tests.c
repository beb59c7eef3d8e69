// Rings in memory that somebody wrote into who shouldn't have.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "ring_support.h"
#include "support.h"
#include "test.h"

enum { BYTES = 4096, MOST = 60, HEAD = 128, WRITERS = 384, READERS = 8448, RESERVE = 0, TAIL = 8, MARKS = 768 };

static void read_some(muster_ring *ring) {
  muster_ring_record record;
  static unsigned char buffer[BYTES];
  volatile unsigned char sum = 0;
  for (int i = 0; i < 300; i++) {
    int status = i % 2 ? muster_ring_next(ring, &record) : muster_ring_read(ring, buffer, sizeof buffer, &record);
    if (status == EAGAIN || status == EBADMSG) return;
    REQUIRE(status == 0);
    for (uint32_t k = 0; k < record.size; k++) sum = (unsigned char)(sum + ((const unsigned char *)record.bytes)[k]);
    status = muster_ring_release(ring);
    REQUIRE(status == 0 || status == ESTALE);
  }
}

static void look_around(muster_ring *ring) {
  muster_ring_state state;
  muster_ring_reader_state reader;
  int status = muster_ring_look(ring, &state);
  REQUIRE(status == 0 || status == EBADMSG || status == EAGAIN);
  status = muster_ring_look_reader(ring, 1, &reader);
  REQUIRE(status == 0 || status == EBADMSG || status == EAGAIN);
}

// Each byte of what is not a lock in turn set to other values, and some of the records' bytes: who attaches gets an error
// or records, in the time of the test.
static void hostile_bytes(void) {
  ring_scene scene = ring_test_scene(BYTES, MUSTER_RING_LATEST);
  muster_ring *writer = ring_test_writer(&scene);
  for (uint64_t n = 0; n < 400; n++) REQUIRE(!ring_test_write(writer, n, MOST, 0));
  REQUIRE(!muster_ring_close(writer));
  unsigned char *memory = scene.memory, *kept = shared_memory(scene.size);
  memcpy(kept, memory, scene.size);
  static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x7e};
  int attached = 0, refused = 0, wrote = 0;
  unsigned stride = test_stride();
  for (size_t at = 0; at < scene.size; at++) {
    int in_groups = at >= HEAD && at < HEAD + WRITERS + READERS;
    for (size_t m = 0; m < sizeof masks; m++) {
      if ((at + at / 8 + m) % stride) continue;
      memory[at] ^= masks[m];
      muster_ring *ring;
      int status = muster_ring_attach_read_only(memory, scene.size, &ring);
      if (status) {
        REQUIRE(status == EBADMSG || status == EPROTO);
        refused++;
      } else {
        attached++;
        status = muster_ring_start_reading(ring, MUSTER_RING_OLDEST, NULL);
        if (status == 0) read_some(ring);
        else REQUIRE(status == EBADMSG || status == EAGAIN || status == EACCES);
        if (!status) REQUIRE(!muster_ring_stop_reading(ring));
        status = muster_ring_start_reading(ring, MUSTER_RING_AT, &(muster_ring_place){3000, 100});
        REQUIRE(status == 0 || status == EINVAL || status == ESTALE || status == EBADMSG || status == EAGAIN ||
                status == EACCES);
        look_around(ring);
        REQUIRE(!muster_ring_close(ring));
      }
      // A writer, too; who scribbles on locks is beyond what it can bear.
      if (!in_groups && m == 2 && !muster_ring_attach(memory, scene.size, &ring)) {
        if (!muster_ring_start_writing(ring, NULL)) {
          for (int i = 0; i < 50; i++) {
            status = muster_ring_write(ring, "payload", 7, MUSTER_DEADLINE_NOW);
            REQUIRE(status == 0 || status == ETIMEDOUT);
          }
          wrote++;
        }
        REQUIRE(!muster_ring_close(ring));
        memcpy(memory, kept, scene.size);
      } else {
        memory[at] ^= masks[m];
      }
    }
  }
  CHECK(attached > 1000 && refused > 50 && wrote > 1000 / (int)stride);
  ring_test_end(&scene);
}

// A chain that leads anywhere: random bytes for state, marks and records.
static void random_bytes(void) {
  ring_scene scene = ring_test_scene(BYTES, MUSTER_RING_LATEST);
  unsigned char *memory = scene.memory;
  uint64_t random = test_seed();
  for (int round = 0; round < 3000; round++) {
    size_t from = HEAD + WRITERS + READERS, span = scene.size - from;
    for (int i = 0; i < 40; i++) {
      size_t at = from + test_random(&random) % span / 8 * 8;
      uint64_t value = test_random(&random) >> test_random(&random) % 64;
      memcpy(memory + at, &value, 8);
    }
    muster_ring *ring;
    REQUIRE(!muster_ring_attach(memory, scene.size, &ring));
    muster_ring_from way = (muster_ring_from)(round % 3);
    muster_ring_place place = {test_random(&random) % 20000 / 8 * 8, test_random(&random) % 500};
    int status = muster_ring_start_reading(ring, way, &place);
    if (status == 0 || status == ESTALE) read_some(ring);
    else REQUIRE(status == EBADMSG || status == EAGAIN || status == EINVAL);
    look_around(ring);
    REQUIRE(!muster_ring_close(ring));
    (void)!muster_ring_renew(memory, scene.size);
  }
  ring_test_end(&scene);
}

static uint64_t *state_word(const ring_scene *scene, size_t offset) {
  return (uint64_t *)(void *)((unsigned char *)scene->memory + HEAD + WRITERS + READERS + offset);
}

// A mark so near the end of all numbers that sums with it wrap around: no place, and never one to write from.
static void positions_that_wrap(void) {
  static const uint64_t positions[] = {UINT64_MAX - 15, UINT64_MAX - 4095, (UINT64_MAX >> 1) + 1, UINT64_MAX - 7};
  for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
    ring_scene scene = ring_test_scene(BYTES, i % 2 ? MUSTER_RING_LATEST : MUSTER_RING_LOSSLESS);
    uint64_t chunk = positions[i] / (BYTES / 64) % 64, *mark = state_word(&scene, MARKS + chunk * 16);
    memset((unsigned char *)scene.memory + scene.size - BYTES, 0, BYTES);
    *state_word(&scene, TAIL) = mark[0] = positions[i];
    mark[1] = 7;
    muster_ring *ring = ring_test_attach(&scene);
    CHECK_STATUS(muster_ring_start_writing(ring, NULL), EBADMSG);
    CHECK_STATUS(muster_ring_start_reading(ring, MUSTER_RING_NEWEST, NULL), EBADMSG);
    CHECK_STATUS(muster_ring_start_reading(ring, MUSTER_RING_AT, &(muster_ring_place){positions[i], 7}), EINVAL);
    CHECK_STATUS(muster_ring_close(ring), 0);
    CHECK_STATUS(muster_ring_renew(scene.memory, scene.size), EBADMSG);
    ring_test_end(&scene);
  }
}

// Somebody says that all has been overwritten. Who reads must not be told again and again that there is more, and find
// nothing.
static void all_is_said_to_be_gone(void) {
  for (int latest = 0; latest < 2; latest++) {
    ring_scene scene = ring_test_scene(BYTES, latest ? MUSTER_RING_LATEST : MUSTER_RING_LOSSLESS);
    muster_ring *writer = ring_test_writer(&scene), *reader = ring_test_reader(&scene, MUSTER_RING_OLDEST);
    *state_word(&scene, RESERVE) = UINT64_C(1) << 40;
    muster_ring_record record;
    CHECK_STATUS(muster_ring_wait(reader, muster_deadline_after(2000000)), latest ? 0 : ETIMEDOUT);
    CHECK_STATUS(muster_ring_next(reader, &record), latest ? EBADMSG : EAGAIN);
    CHECK_STATUS(muster_ring_close(writer), 0);
    CHECK_STATUS(muster_ring_close(reader), 0);
    ring_test_end(&scene);
  }
}

TEST_SUITE(ring_hostile, {"hostile_bytes", hostile_bytes, 60}, {"random_bytes", random_bytes, 60},
           {"positions_that_wrap", positions_that_wrap, 0}, {"all_is_said_to_be_gone", all_is_said_to_be_gone, 0});
