// The ring: records, batches, the end of the memory, both modes, places, names.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "internal/ring.h"
#include "ring_support.h"
#include "support.h"
#include "test.h"

enum { BYTES = 4096, MOST = 100 };

static const muster_ring_mode modes[] = {MUSTER_RING_LOSSLESS, MUSTER_RING_LATEST};

static void sizes_and_arguments(void) {
  CHECK_EQUAL(muster_ring_size(0), 0);
  CHECK_EQUAL(muster_ring_size(2048), 0);
  CHECK_EQUAL(muster_ring_size(5000), 0);
  CHECK(muster_ring_size(BYTES) > BYTES && muster_ring_size(MUSTER_RING_BYTES_MAX) > MUSTER_RING_BYTES_MAX);
  CHECK_EQUAL(muster_ring_size(UINT32_C(1) << 31), 0);
  size_t size = muster_ring_size(BYTES);
  unsigned char *memory = shared_memory(size + 128);
  CHECK_STATUS(muster_ring_init(memory, size - 1, BYTES, MUSTER_RING_LOSSLESS), EINVAL);
  CHECK_STATUS(muster_ring_init(memory + 8, size, BYTES, MUSTER_RING_LOSSLESS), EINVAL);
  CHECK_STATUS(muster_ring_init(memory, size, BYTES, (muster_ring_mode)7), EINVAL);
  muster_ring *ring;
  CHECK_STATUS(muster_ring_attach(memory, size, &ring), EBADMSG);
  CHECK_STATUS(muster_ring_init(memory, size, BYTES, MUSTER_RING_LOSSLESS), 0);
  CHECK_STATUS(muster_ring_attach(memory, size - 1, &ring), EBADMSG);
  CHECK_STATUS(muster_ring_attach_read_only(memory, size, &ring), 0);
  CHECK_STATUS(muster_ring_start_writing(ring, NULL), EACCES);
  CHECK_STATUS(muster_ring_start_reading(ring, MUSTER_RING_OLDEST, NULL), EACCES);
  CHECK_STATUS(muster_ring_close(ring), 0);
  CHECK_STATUS(muster_ring_attach(memory, size, &ring), 0);
  void *place;
  muster_ring_record record;
  muster_wait_set set;
  CHECK_STATUS(muster_ring_claim(ring, 1, 0, &place), EPERM);
  CHECK_STATUS(muster_ring_commit(ring), EPERM);
  CHECK_STATUS(muster_ring_cancel(ring), EPERM);
  CHECK_STATUS(muster_ring_next(ring, &record), EPERM);
  CHECK_STATUS(muster_ring_release(ring), EPERM);
  CHECK_STATUS(muster_ring_wait(ring, 0), EPERM);
  CHECK_STATUS(muster_ring_poll(ring, &set), EPERM);
  CHECK_STATUS(muster_ring_stop_writing(ring), EINVAL);
  CHECK_STATUS(muster_ring_stop_reading(ring), EINVAL);
  CHECK_STATUS(muster_ring_start_reading(ring, (muster_ring_from)9, NULL), EINVAL);
  CHECK_STATUS(muster_ring_start_reading(ring, MUSTER_RING_AT, NULL), EINVAL);
  CHECK_STATUS(muster_ring_start_writing(ring, NULL), 0);
  CHECK_STATUS(muster_ring_start_writing(ring, NULL), EALREADY);
  CHECK_STATUS(muster_ring_start_reading(ring, MUSTER_RING_OLDEST, NULL), EALREADY);
  CHECK_STATUS(muster_ring_commit(ring), EINVAL);
  CHECK_STATUS(muster_ring_claim(ring, BYTES / 4 + 1, 0, &place), EINVAL);
  CHECK_STATUS(muster_ring_claim(ring, UINT32_MAX, 0, &place), EINVAL);
  CHECK_STATUS(muster_ring_close(ring), 0);
}

// Records of all sizes, many times round the ring.
static void every_size(void) {
  for (size_t m = 0; m < 2; m++) {
    ring_scene scene = ring_test_scene(BYTES, modes[m]);
    muster_ring *writer = ring_test_writer(&scene), *reader = ring_test_reader(&scene, MUSTER_RING_OLDEST);
    muster_ring_record record;
    CHECK_STATUS(muster_ring_next(reader, &record), EAGAIN);
    for (uint64_t n = 0; n < 20000; n++) {
      uint32_t most = n % 3 ? MOST : BYTES / 4;
      REQUIRE(!ring_test_write(writer, n, most, MUSTER_DEADLINE_NOW));
      ring_test_expect(reader, n, most);
      REQUIRE(muster_ring_next(reader, &record) == EAGAIN);
    }
    CHECK_STATUS(muster_ring_close(writer), 0);
    CHECK_STATUS(muster_ring_close(reader), 0);
    ring_test_end(&scene);
  }
}

// A batch is seen whole or not at all, also over the end of the memory, and what is cancelled never was.
static void batches(void) {
  for (size_t m = 0; m < 2; m++) {
    ring_scene scene = ring_test_scene(BYTES, modes[m]);
    muster_ring *writer = ring_test_writer(&scene), *reader = ring_test_reader(&scene, MUSTER_RING_NEWEST);
    muster_ring_record record;
    uint64_t number = 0, seen = 0;
    for (int round = 0; round < 2000; round++) {
      void *place;
      int count = 1 + round % 7;
      for (int i = 0; i < count; i++) {
        REQUIRE(!muster_ring_claim(writer, (uint32_t)(8 + round % 90), MUSTER_DEADLINE_NOW, &place));
        memcpy(place, &(uint64_t){number + (uint64_t)i}, 8);
        REQUIRE(muster_ring_next(reader, &record) == EAGAIN);
      }
      if (round % 5 == 4) {
        REQUIRE(!muster_ring_cancel(writer));
        continue;
      }
      REQUIRE(!muster_ring_commit(writer));
      number += (uint64_t)count;
      while (!muster_ring_next(reader, &record)) {
        REQUIRE(record.number == seen && !memcmp(record.bytes, &seen, 8));
        seen++;
      }
      REQUIRE(seen == number && !muster_ring_release(reader));
    }
    void *place;
    int status = 0;
    for (int i = 0; !status && i < 100; i++) status = muster_ring_claim(writer, 500, MUSTER_DEADLINE_NOW, &place);
    CHECK_STATUS(status, EOVERFLOW);
    CHECK_STATUS(muster_ring_commit(writer), 0);
    CHECK_STATUS(muster_ring_close(writer), 0);
    CHECK_STATUS(muster_ring_close(reader), 0);
    ring_test_end(&scene);
  }
}

// Who has taken a place and not yet found where to begin is no reader that a writer could rely on.
static void a_reader_is_told_of_once_it_holds_a_position(void) {
  ring_scene scene = ring_test_scene(BYTES, MUSTER_RING_LOSSLESS);
  muster_ring *reader = ring_test_reader(&scene, MUSTER_RING_OLDEST);
  muster_ring_reader_state state;
  CHECK_STATUS(muster_ring_look_reader(reader, 0, &state), 0);
  CHECK(state.alive && state.pid == getpid() && state.position == 0);
  __atomic_store_n(&reader->slots[0].position, RING_NONE, __ATOMIC_RELEASE);
  CHECK_STATUS(muster_ring_look_reader(reader, 0, &state), 0);
  CHECK(!state.alive && state.position == 0 && state.lag == 0);
  CHECK_STATUS(muster_ring_close(reader), 0);
  ring_test_end(&scene);
}

static void lossless_waits_for_the_slowest(void) {
  ring_scene scene = ring_test_scene(BYTES, MUSTER_RING_LOSSLESS);
  muster_ring *writer = ring_test_writer(&scene), *slow = ring_test_reader(&scene, MUSTER_RING_OLDEST),
              *fast = ring_test_reader(&scene, MUSTER_RING_OLDEST);
  uint64_t n = 0, read = 0;
  int status;
  while (!(status = ring_test_write(writer, n, MOST, MUSTER_DEADLINE_NOW))) ring_test_expect(fast, n++, MOST);
  CHECK_STATUS(status, ETIMEDOUT);
  CHECK(n > 50);
  CHECK_STATUS(ring_test_write(writer, n, MOST, muster_deadline_after(3000000)), ETIMEDOUT);
  muster_wait_set set;
  CHECK_STATUS(muster_ring_poll_room(writer, 100, &set), EAGAIN);
  CHECK(set.count >= 2);
  muster_ring_state state;
  CHECK_STATUS(muster_ring_look(fast, &state), 0);
  CHECK(state.readers == 2 && state.end.number == n && state.writer == 0 && state.writer_pid == getpid());
  muster_ring_reader_state lag;
  CHECK_STATUS(muster_ring_look_reader(fast, 0, &lag), 0);
  CHECK(lag.alive && lag.pid == getpid() && lag.lag == state.end.position);
  CHECK_STATUS(muster_ring_look_reader(fast, 1, &lag), 0);
  CHECK(lag.alive && lag.lag == 0);
  CHECK_STATUS(muster_ring_look_reader(fast, 64, &lag), EINVAL);
  for (; read < n; read++) ring_test_expect(slow, read, MOST);
  CHECK_STATUS(muster_ring_poll_room(writer, 100, &set), 0);
  CHECK_STATUS(ring_test_write(writer, n, MOST, MUSTER_DEADLINE_NOW), 0);
  ring_test_expect(slow, n, MOST);
  // One who stops reading, and one who closes, holds nothing up.
  CHECK_STATUS(muster_ring_stop_reading(slow), 0);
  CHECK_STATUS(muster_ring_close(fast), 0);
  for (int i = 0; i < 1000; i++) REQUIRE(!ring_test_write(writer, ++n, MOST, MUSTER_DEADLINE_NOW));
  CHECK_STATUS(muster_ring_close(slow), 0);
  CHECK_STATUS(muster_ring_close(writer), 0);
  ring_test_end(&scene);
}

// What a reader is told to have lost, and what it read, is all that was written; by copies, in place, and read-only.
static void latest_counts_what_was_lost(void) {
  ring_scene scene = ring_test_scene(BYTES, MUSTER_RING_LATEST);
  muster_ring *writer = ring_test_writer(&scene), *copies = ring_test_reader(&scene, MUSTER_RING_OLDEST),
              *places = ring_test_reader(&scene, MUSTER_RING_OLDEST), *looks;
  REQUIRE(!muster_ring_attach_read_only(scene.memory, scene.size, &looks));
  REQUIRE(!muster_ring_start_reading(looks, MUSTER_RING_OLDEST, NULL));
  muster_ring *all[] = {copies, places, looks};
  uint64_t accounted[3] = {0}, lost[3] = {0}, random = test_seed(), written = 0;
  unsigned char buffer[MOST];
  for (int round = 0; round < 3000; round++) {
    for (uint64_t count = test_random(&random) % 120; count; count--)
      REQUIRE(!ring_test_write(writer, written++, MOST, MUSTER_DEADLINE_NOW));
    for (int k = 0; k < 3; k++) {
      muster_ring_record record;
      for (uint64_t count = test_random(&random) % 120; count; count--) {
        int status = k == 1 ? muster_ring_next(all[k], &record) : muster_ring_read(all[k], buffer, sizeof buffer, &record);
        if (status == EAGAIN) break;
        REQUIRE(!status && record.number == accounted[k] + record.lost);
        REQUIRE(ring_test_is_record(record.bytes, record.size, record.number, MOST));
        if (k == 1) REQUIRE(muster_ring_still_valid(all[k], &record) && !muster_ring_release(all[k]));
        accounted[k] += record.lost + 1, lost[k] += record.lost;
      }
    }
  }
  for (int k = 0; k < 3; k++) {
    CHECK(lost[k] > 100);
    muster_ring_record record;
    while (!muster_ring_next(all[k], &record)) accounted[k] += record.lost + 1;
    CHECK_EQUAL(accounted[k], written);
    CHECK_STATUS(muster_ring_close(all[k]), 0);
  }
  CHECK_STATUS(muster_ring_close(writer), 0);
  ring_test_end(&scene);
}

// What is read in place while the writer comes round is refused at release, and counts as lost.
static void overtaken_in_place(void) {
  ring_scene scene = ring_test_scene(BYTES, MUSTER_RING_LATEST);
  muster_ring *writer = ring_test_writer(&scene), *reader = ring_test_reader(&scene, MUSTER_RING_OLDEST);
  muster_ring_record record;
  uint64_t written = 0;
  for (; written < 3; written++) REQUIRE(!ring_test_write(writer, written, MOST, 0));
  REQUIRE(!muster_ring_next(reader, &record) && record.number == 0 && muster_ring_still_valid(reader, &record));
  REQUIRE(!muster_ring_release(reader));
  REQUIRE(!muster_ring_next(reader, &record) && record.number == 1);
  for (; written < 500; written++) REQUIRE(!ring_test_write(writer, written, MOST, 0));
  CHECK(!muster_ring_still_valid(reader, &record));
  CHECK_STATUS(muster_ring_release(reader), ESTALE);
  CHECK_STATUS(muster_ring_next(reader, &record), 0);
  CHECK_EQUAL(record.lost, record.number - 1);
  CHECK(ring_test_is_record(record.bytes, record.size, record.number, MOST));
  CHECK_STATUS(muster_ring_release(reader), 0);
  muster_ring_close(writer);
  muster_ring_close(reader);
  ring_test_end(&scene);
}

// What was found to be lost, but not yet told, when a release comes, is told once, and again with what is discarded.
static void lost_is_told_once(void) {
  for (int refused = 0; refused < 2; refused++) {
    ring_scene scene = ring_test_scene(BYTES, MUSTER_RING_LATEST);
    muster_ring *writer = ring_test_writer(&scene), *reader = ring_test_reader(&scene, MUSTER_RING_OLDEST);
    muster_ring_record record;
    static unsigned char bytes[BYTES];
    uint64_t written = 0;
    REQUIRE(!muster_ring_write(writer, bytes, 8, 0) && ++written);
    if (refused) REQUIRE(!muster_ring_next(reader, &record));
    for (int i = 0; i < 4; i++) REQUIRE(!muster_ring_write(writer, bytes, BYTES / 4, 0) && ++written);
    // A batch that overwrites all that is marked but its own beginning, which is the end.
    void *place;
    for (int i = 0; i < 5; i++) REQUIRE(!muster_ring_claim(writer, 600, 0, &place));
    CHECK_STATUS(muster_ring_next(reader, &record), EAGAIN);
    CHECK_STATUS(muster_ring_release(reader), refused ? ESTALE : 0);
    REQUIRE(!muster_ring_commit(writer));
    CHECK_STATUS(muster_ring_next(reader, &record), 0);
    CHECK_EQUAL(record.number, written);
    CHECK_EQUAL(record.lost, written);
    // Discarded, with what it told.
    for (int i = 0; i < 20; i++) REQUIRE(!muster_ring_write(writer, bytes, BYTES / 8, 0));
    CHECK_STATUS(muster_ring_release(reader), ESTALE);
    CHECK_STATUS(muster_ring_next(reader, &record), 0);
    CHECK_EQUAL(record.lost, record.number);
    CHECK_STATUS(muster_ring_release(reader), 0);
    muster_ring_close(writer);
    muster_ring_close(reader);
    ring_test_end(&scene);
  }
}

// Looking for room moves what counts as overwritten, but never past the newest mark: newcomers, successors and who renews
// find the end.
static void looking_for_room_keeps_the_newest_mark(void) {
  for (size_t m = 0; m < 2; m++) {
    ring_scene scene = ring_test_scene(BYTES, modes[m]);
    muster_ring *writer = ring_test_writer(&scene), *reader;
    void *place;
    REQUIRE(!ring_test_write(writer, 0, 0, 0));
    for (int i = 0; i < 5; i++) REQUIRE(!muster_ring_claim(writer, 590, 0, &place));
    REQUIRE(!muster_ring_commit(writer));
    muster_wait_set set;
    CHECK_STATUS(muster_ring_poll_room(writer, BYTES / 4, &set), 0);
    muster_ring_state state;
    CHECK_STATUS(muster_ring_look(writer, &state), 0);
    CHECK_EQUAL(state.end.number, 6);
    reader = ring_test_reader(&scene, MUSTER_RING_NEWEST);
    CHECK_STATUS(muster_ring_close(reader), 0);
    CHECK_STATUS(muster_ring_close(writer), 0);
    CHECK_STATUS(muster_ring_renew(scene.memory, scene.size), 0);
    ring_test_end(&scene);
  }
}

static void places(void) {
  for (size_t m = 0; m < 2; m++) {
    ring_scene scene = ring_test_scene(BYTES, modes[m]);
    muster_ring *writer = ring_test_writer(&scene), *reader = ring_test_reader(&scene, MUSTER_RING_OLDEST);
    static muster_ring_place at[3000];
    uint64_t n = 0;
    for (; n < 3000; n++) {
      REQUIRE(!muster_ring_position(writer, &at[n]) && at[n].number == n);
      REQUIRE(!ring_test_write(writer, n, MOST, 0));
      ring_test_expect(reader, n, MOST);
    }
    // Each of the last records can be gone back to, the earlier ones are gone.
    int there = 0, gone = 0;
    for (uint64_t k = 2800; k < 3000; k++) {
      int status = muster_ring_seek(reader, MUSTER_RING_AT, &at[k]);
      muster_ring_record record;
      REQUIRE(status == 0 || status == ESTALE);
      REQUIRE(!muster_ring_next(reader, &record));
      REQUIRE(status ? record.number > k && record.lost == record.number - k : record.number == k && !record.lost);
      if (status) gone++;
      else there++;
      REQUIRE(!muster_ring_release(reader));
    }
    CHECK(there > 20 && gone > 20);
    muster_ring_place wrong = at[2995];
    wrong.position += 8;
    CHECK_STATUS(muster_ring_seek(reader, MUSTER_RING_AT, &wrong), EINVAL);
    wrong = at[2995], wrong.number++;
    CHECK_STATUS(muster_ring_seek(reader, MUSTER_RING_AT, &wrong), EINVAL);
    wrong.position = UINT64_MAX - 7;
    CHECK_STATUS(muster_ring_seek(reader, MUSTER_RING_AT, &wrong), EINVAL);
    wrong.position = at[2999].position + 4000;
    CHECK_STATUS(muster_ring_seek(reader, MUSTER_RING_AT, &wrong), EINVAL);
    muster_ring_place now;
    CHECK_STATUS(muster_ring_position(writer, &now), 0);
    CHECK_STATUS(muster_ring_seek(reader, MUSTER_RING_AT, &now), 0);
    muster_ring_record record;
    CHECK_STATUS(muster_ring_next(reader, &record), EAGAIN);
    CHECK_STATUS(muster_ring_seek(reader, MUSTER_RING_OLDEST, NULL), 0);
    CHECK_STATUS(muster_ring_next(reader, &record), 0);
    CHECK(record.number < 2990);
    CHECK_STATUS(muster_ring_seek(reader, MUSTER_RING_NEWEST, NULL), 0);
    CHECK_STATUS(muster_ring_next(reader, &record), EAGAIN);
    REQUIRE(!ring_test_write(writer, n, MOST, 0));
    ring_test_expect(reader, n, MOST);
    muster_ring_close(writer);
    muster_ring_close(reader);
    ring_test_end(&scene);
  }
}

static void copies_that_do_not_fit(void) {
  ring_scene scene = ring_test_scene(BYTES, MUSTER_RING_LOSSLESS);
  muster_ring *writer = ring_test_writer(&scene), *reader = ring_test_reader(&scene, MUSTER_RING_OLDEST);
  char buffer[8];
  muster_ring_record record;
  REQUIRE(!muster_ring_write(writer, "0123456789", 10, 0) && !muster_ring_write(writer, "", 0, 0));
  CHECK_STATUS(muster_ring_read(reader, buffer, 8, &record), EMSGSIZE);
  CHECK(record.size == 10 && record.number == 0 && !record.bytes);
  CHECK_STATUS(muster_ring_read(reader, buffer, 8, &record), EMSGSIZE);
  CHECK_STATUS(muster_ring_next(reader, &record), 0);
  CHECK(record.size == 10 && !memcmp(record.bytes, "0123456789", 10));
  CHECK_STATUS(muster_ring_read(reader, buffer, 8, &record), 0);
  CHECK(record.size == 0 && record.number == 1);
  muster_ring_close(writer);
  muster_ring_close(reader);
  ring_test_end(&scene);
}

static void as_many_readers_as_there_are_places(void) {
  ring_scene scene = ring_test_scene(BYTES, MUSTER_RING_LOSSLESS);
  muster_ring *writer = ring_test_writer(&scene), *readers[MUSTER_RING_READERS_MAX], *more = ring_test_attach(&scene);
  for (int k = 0; k < MUSTER_RING_READERS_MAX; k++) readers[k] = ring_test_reader(&scene, MUSTER_RING_NEWEST);
  CHECK_STATUS(muster_ring_start_reading(more, MUSTER_RING_NEWEST, NULL), EOVERFLOW);
  for (uint64_t n = 0; n < 200; n++) {
    REQUIRE(!ring_test_write(writer, n, MOST, 0));
    for (int k = 0; k < MUSTER_RING_READERS_MAX; k++) ring_test_expect(readers[k], n, MOST);
  }
  for (int k = 0; k < MUSTER_RING_READERS_MAX; k++) CHECK_STATUS(muster_ring_close(readers[k]), 0);
  CHECK_STATUS(muster_ring_start_reading(more, MUSTER_RING_NEWEST, NULL), 0);
  CHECK_STATUS(muster_ring_close(more), 0);
  CHECK_STATUS(muster_ring_close(writer), 0);
  ring_test_end(&scene);
}

static void by_name(void) {
  const char *name = test_name("ring");
  unsigned before = count_descriptors();
  muster_ring *writer, *reader, *other;
  muster_mismatch differs = {0};
  muster_ring_options options = {.bytes = BYTES, .mode = MUSTER_RING_LATEST, .layout = 7, .mismatch = &differs};
  CHECK_STATUS(muster_ring_open(name, &(muster_ring_options){.bytes = 5000}, &writer), EINVAL);
  CHECK_STATUS(muster_ring_open(name, &(muster_ring_options){.bytes = 0}, &writer), EINVAL);
  CHECK_STATUS(muster_ring_open(name, &(muster_ring_options){.bytes = BYTES, .mode = 5}, &writer), EINVAL);
  REQUIRE(!muster_ring_open(name, &options, &writer) && muster_ring_region(writer));
  REQUIRE(!muster_ring_start_writing(writer, NULL));
  options.bytes = 2 * BYTES;
  CHECK_STATUS(muster_ring_open(name, &options, &other), EPROTO);
  options.bytes = BYTES, options.mode = MUSTER_RING_LOSSLESS;
  CHECK_STATUS(muster_ring_open(name, &options, &other), EPROTO);
  CHECK(differs.kind == MUSTER_MISMATCH_LAYOUT && differs.found == MUSTER_RING_LATEST);
  REQUIRE(!muster_ring_open(name, &(muster_ring_options){.flags = MUSTER_REGION_READ_ONLY}, &reader));
  REQUIRE(!muster_ring_start_reading(reader, MUSTER_RING_OLDEST, NULL));
  REQUIRE(!muster_ring_write(writer, "hello", 5, 0));
  CHECK_STATUS(muster_ring_wait(reader, soon()), 0);
  muster_ring_record record;
  CHECK_STATUS(muster_ring_next(reader, &record), 0);
  CHECK(record.size == 5 && !memcmp(record.bytes, "hello", 5));
  CHECK_STATUS(muster_ring_wait(reader, muster_deadline_after(2000000)), ETIMEDOUT);
  CHECK_STATUS(muster_ring_close(reader), 0);
  CHECK_STATUS(muster_ring_close(writer), 0);
  CHECK_EQUAL(count_descriptors(), before);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// A file outlives its processes: records, places and numbers are as they were.
static void in_a_file(void) {
  char path[512];
  snprintf(path, sizeof path, "%s/ring", test_folder());
  muster_ring_options options = {.bytes = BYTES, .flags = MUSTER_REGION_OPEN | MUSTER_REGION_FILE};
  muster_ring_place at = {0};
  uint64_t n = 0;
  for (int life = 0; life < 4; life++) {
    muster_ring *writer, *reader;
    muster_ring_predecessor found;
    REQUIRE(!muster_ring_open(path, &options, &writer) && !muster_ring_open(path, &options, &reader));
    CHECK_STATUS(muster_ring_start_reading(reader, MUSTER_RING_AT, &at), 0);
    CHECK_STATUS(muster_ring_start_writing(writer, &found), 0);
    CHECK_EQUAL(found.end.number, n);
    if (n) ring_test_expect(reader, n - 1, MOST);
    for (int i = 0; i < 300; i++, n++) {
      REQUIRE(!ring_test_write(writer, n, MOST, 0));
      if (i < 299) ring_test_expect(reader, n, MOST);
    }
    CHECK_STATUS(muster_ring_position(reader, &at), 0);
    CHECK_STATUS(muster_ring_close(writer), 0);
    CHECK_STATUS(muster_ring_close(reader), 0);
  }
  // One byte less is no ring, and one who finds that leaves nothing open.
  unsigned before = count_descriptors();
  muster_ring *cut = NULL;
  CHECK_STATUS(truncate(path, (off_t)(MUSTER_REGION_HEADER_SIZE + muster_ring_size(BYTES) - 1)), 0);
  CHECK_STATUS(muster_ring_open(path, &options, &cut), EBADMSG);
  CHECK(!cut);
  CHECK_EQUAL(count_descriptors(), before);
  CHECK_STATUS(unlink(path), 0);
}

// ---- Large records, which are copied another way

enum { LARGE_RING = 1 << 18, LARGE_MOST = LARGE_RING / 4, LARGE_ROUNDS = 3000 };

// From each alignment to each, of sizes about the one from which on it is another way: the bytes, and none beside them.
static void copies_as_memcpy_does(void) {
  static unsigned char from[20000], to[20200], expected[20200];
  for (size_t i = 0; i < sizeof from; i++) from[i] = (unsigned char)(i * 131 >> 3);
  for (size_t at = 0; at < 72; at++)
    for (size_t size = 8192 - 70 + at; size < 8192 + 140; size += 23) {
      memset(to, 0xee, sizeof to), memset(expected, 0xee, sizeof expected);
      muster_ring_copy(to + at, from + at * 5 % 64, size);
      memcpy(expected + at, from + at * 5 % 64, size);
      REQUIRE(!memcmp(to, expected, sizeof to));
    }
}

static void writes_large_ones(void *context) {
  muster_ring *writer = ring_test_writer(context);
  for (uint64_t n = 0; n < LARGE_ROUNDS; n++) REQUIRE(!ring_test_write(writer, n, LARGE_MOST, soon()));
  CHECK_STATUS(muster_ring_close(writer), 0);
}

// The reader is at each as soon as it is committed, on another processor where there is one.
static void large_ones_between_processes(void) {
  ring_scene scene = ring_test_scene(LARGE_RING, MUSTER_RING_LOSSLESS);
  muster_ring *reader = ring_test_reader(&scene, MUSTER_RING_OLDEST);
  pid_t writer = test_fork(writes_large_ones, &scene);
  muster_ring_record record;
  int status;
  for (uint64_t n = 0; n < LARGE_ROUNDS; n++) {
    while ((status = muster_ring_next(reader, &record)) == EAGAIN) REQUIRE(!muster_ring_wait(reader, soon()));
    REQUIRE(!status && record.number == n && ring_test_is_record(record.bytes, record.size, n, LARGE_MOST));
    CHECK_STATUS(muster_ring_release(reader), 0);
  }
  test_join(writer, 0);
  CHECK_STATUS(muster_ring_close(reader), 0);
  ring_test_end(&scene);
}

TEST_SUITE(ring, {"sizes_and_arguments", sizes_and_arguments, 0}, {"every_size", every_size, 0}, {"batches", batches, 0},
           {"a_reader_is_told_of_once_it_holds_a_position", a_reader_is_told_of_once_it_holds_a_position, 0},
           {"lossless_waits_for_the_slowest", lossless_waits_for_the_slowest, 0},
           {"latest_counts_what_was_lost", latest_counts_what_was_lost, 0},
           {"overtaken_in_place", overtaken_in_place, 0}, {"lost_is_told_once", lost_is_told_once, 0},
           {"looking_for_room_keeps_the_newest_mark", looking_for_room_keeps_the_newest_mark, 0}, {"places", places, 0},
           {"copies_that_do_not_fit", copies_that_do_not_fit, 0},
           {"as_many_readers_as_there_are_places", as_many_readers_as_there_are_places, 0}, {"by_name", by_name, 0},
           {"in_a_file", in_a_file, 0}, {"copies_as_memcpy_does", copies_as_memcpy_does, 0},
           {"large_ones_between_processes", large_ones_between_processes, 60});
