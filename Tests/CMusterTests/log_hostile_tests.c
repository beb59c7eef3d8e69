// Whatever stands in the memory: readers and drains get records or are told that there are none, in the time of the test.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/log_drain.h"
#include "log_support.h"

enum { BYTES = 4096 };

static void use(const muster_log_record *record) {
  static char line[MUSTER_LOG_FORMATTED_MAX];
  static uint32_t used;
  for (uint32_t format = 0; format < 2 && used++ % 16 < 2; format++)
    REQUIRE(muster_log_format_record(record, format, line, sizeof line) <= sizeof line);
  REQUIRE(record->tag_count <= MUSTER_LOG_TAGS_MAX && record->pair_count <= MUSTER_LOG_PAIRS_MAX);
}

static void read_all(muster_log *log, const muster_log_position *position) {
  muster_log_reader *reader;
  int status = muster_log_reader_open(log, &(muster_log_reader_options){.from = position ? MUSTER_LOG_AT : MUSTER_LOG_OLDEST,
                                                                        .hold = -1, .position = position}, &reader);
  REQUIRE(status == 0 || status == EAGAIN);
  if (status) return;
  muster_log_record record;
  // No more than fit.
  uint32_t count = 0;
  while (!(status = muster_log_next(reader, &record)) && count++ < 3 * BYTES / 8) use(&record);
  REQUIRE(status == EAGAIN);
  muster_log_reader_close(reader);
}

static void look_around(muster_log *log) {
  muster_log_state state;
  muster_log_place_state place;
  muster_log_drain_state drained;
  REQUIRE(!muster_log_look(log, &state));
  for (uint32_t k = 0; k <= state.places; k++) (void)!muster_log_look_place(log, k, &place);
  int status = muster_log_look_drain(log, &drained);
  REQUIRE(status == 0 || status == EBADMSG);
}

static void drain_all(muster_log *log, int descriptor) {
  muster_log_drain *drain;
  muster_log_drain_options options = {.descriptor = descriptor, .format = MUSTER_LOG_FORMAT_JSON};
  int status = muster_log_drain_open(log, &options, &drain, NULL);
  REQUIRE(status == 0 || status == EAGAIN || status == EBADMSG);
  if (status) return;
  for (int turn = 0; !(status = muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL)); turn++) REQUIRE(turn < 100);
  REQUIRE(status == EAGAIN);
  REQUIRE(!muster_log_drain_close(drain));
}

static void write_some(muster_log *log, int count) {
  muster_log_pair pairs[] = {muster_log_int("number", 5), muster_log_string("name", "some value")};
  muster_log_text tag = muster_log_text_of("tag");
  muster_log_fields fields = {.pairs = pairs, .pair_count = 2, .tags = &tag, .tag_count = 1, .label = muster_log_text_of("label"),
                              .file = muster_log_text_of("file.c"), .line = 3, .function = muster_log_text_of("function")};
  for (int k = 0; k < count; k++) {
    int status = muster_log_write(log, MUSTER_LOG_INFO, "a message", k % 3 ? NULL : &fields);
    REQUIRE(status == 0 || status == EBADMSG);
  }
}

// The bytes of the locks, which are libc's.
static int is_lock(size_t at) {
  size_t ring = log_rings_offset(1);
  return (at >= log_drains_offset() && at < log_owner_offset()) || (at >= ring + 128 && at < ring + 8960);
}

// Where readers of a ring say how far they are: those of a log don't.
static int is_position(size_t at) {
  size_t ring = log_rings_offset(1);
  return at >= ring + 10752 && at < ring + 18944;
}

static int is_stage(size_t at) { return at >= log_stage_offset(1) && at < log_seats_offset(1); }

// Each byte but those of the stage as another value.
static void hostile_bytes(void) {
  log_scene scene = log_test_scene(1, BYTES);
  int nowhere = open("/dev/null", O_WRONLY);
  muster_log *log = log_test_join(&scene);
  write_some(log, 100);
  drain_all(log, nowhere);
  write_some(log, 20);
  REQUIRE(!muster_log_close(log));
  unsigned char *memory = scene.memory, *kept = malloc(scene.size);
  REQUIRE(kept);
  memcpy(kept, memory, scene.size);
  uint64_t seed = test_seed();
  int attached = 0, refused = 0, wrote = 0;
  for (size_t at = 0; at < scene.size; at++) {
    // Of the records' bytes some: the ring's own tests take each.
    if (is_stage(at) || (at > scene.size - BYTES / 2 && at % 3) || (is_position(at) && at % 64)) continue;
    static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x7e};
    memory[at] ^= masks[test_random(&seed) % 4];
    int status = muster_log_attach_read_only(memory, scene.size, &log);
    if (status) {
      REQUIRE(status == EBADMSG || status == EPROTO);
      refused++;
    } else {
      attached++;
      read_all(log, NULL);
      look_around(log);
      REQUIRE(!muster_log_close(log));
    }
    if (!is_lock(at) && !status && at % 4 == 0) {
      REQUIRE(!muster_log_attach(memory, scene.size, &log));
      drain_all(log, nowhere);
      status = muster_log_join(log, NULL);
      REQUIRE(status == 0 || status == EBADMSG);
      if (!status) write_some(log, 30), wrote++;
      REQUIRE(!muster_log_close(log));
      memcpy(memory, kept, log_stage_offset(1));
      memcpy(memory + log_seats_offset(1), kept + log_seats_offset(1), scene.size - log_seats_offset(1));
    } else {
      memory[at] = kept[at];
    }
  }
  CHECK(attached > 5000 && refused >= 16 && wrote > 300);
  free(kept);
  close(nowhere);
  log_test_end(&scene);
}

// Records that no writer of a log leaves, in a ring that is whole: each is told, and those of others go on.
static void hostile_records(void) {
  log_scene scene = log_test_scene(2, 1 << 14);
  muster_log *log = log_test_join(&scene);
  muster_ring *ring;
  REQUIRE(!muster_log_ring(log, 1, 0, &ring) && !muster_ring_start_writing(ring, NULL));
  write_some(log, 1);
  // A record of ours to begin with.
  muster_ring *own;
  muster_ring_record found;
  static unsigned char model[4096], bytes[4096];
  REQUIRE(!muster_log_ring(log, 0, 1, &own) && !muster_ring_start_reading(own, MUSTER_RING_OLDEST, NULL));
  REQUIRE(!muster_ring_read(own, model, sizeof model, &found));
  REQUIRE(!muster_ring_close(own));
  muster_log_reader *reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  (void)log_test_next(reader);
  uint64_t seed = test_seed(), unreadable = 0, readable = 0;
  for (int turn = 0; turn < 8000; turn++) {
    uint32_t size = found.size;
    memcpy(bytes, model, size);
    uint64_t kind = test_random(&seed) % 4;
    if (kind == 0) size = (uint32_t)(test_random(&seed) % (size + 20));
    for (uint64_t k = kind == 3 ? size : 1 + test_random(&seed) % 3; kind && k > 0; k--)
      bytes[test_random(&seed) % size] = (unsigned char)test_random(&seed);
    REQUIRE(!muster_ring_write(ring, bytes, size, MUSTER_DEADLINE_NOW));
    // All sizes and ends are looked at.
    log_decoded decoded;
    unsigned char *exact = malloc(size + !size);
    REQUIRE(exact);
    memcpy(exact, bytes, size);
    int valid = !muster_log_decode(exact, size, &decoded);
    if (valid) use(&decoded.record);
    free(exact);
    muster_log_record record = log_test_next(reader);
    use(&record);
    CHECK_EQUAL(record.kind, valid ? MUSTER_LOG_WRITTEN : MUSTER_LOG_UNREADABLE);
    CHECK(record.place == 1 && record.number == (uint64_t)turn);
    unreadable += !valid;
    readable += (uint64_t)valid;
    write_some(log, 1);
    CHECK(log_test_is(log_test_next(reader).message, "a message"));
  }
  CHECK(unreadable > 1000 && readable > 1000);
  // One larger than any record.
  void *place;
  REQUIRE(!muster_ring_claim(ring, 4096, MUSTER_DEADLINE_NOW, &place) && !muster_ring_commit(ring));
  muster_log_record record = log_test_next(reader);
  CHECK(record.kind == MUSTER_LOG_WRITTEN || record.kind == MUSTER_LOG_UNREADABLE);
  muster_log_reader_close(reader);
  REQUIRE(!muster_ring_close(ring));
  REQUIRE(!muster_log_close(log));
  log_test_end(&scene);
}

// A record that is larger than any of a log's is passed over, also by who goes on behind it later.
static void too_large_a_record(void) {
  log_scene scene = log_test_scene(1, 1 << 17);
  muster_log *log = log_test_attach(&scene);
  muster_ring *ring;
  void *place;
  REQUIRE(!muster_log_ring(log, 0, 0, &ring) && !muster_ring_start_writing(ring, NULL));
  REQUIRE(!muster_ring_claim(ring, 20000, MUSTER_DEADLINE_NOW, &place) && !muster_ring_commit(ring));
  REQUIRE(!muster_ring_stop_writing(ring) && !muster_ring_close(ring));
  muster_log_reader *reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  muster_log_record record = log_test_next(reader);
  CHECK(record.kind == MUSTER_LOG_UNREADABLE && log_test_is(record.message, "what was written here is no record: 20000 bytes"));
  muster_log_position position;
  muster_log_reader_position(reader, &position);
  muster_log_reader_close(reader);
  REQUIRE(!muster_log_reader_open(log, &(muster_log_reader_options){.from = MUSTER_LOG_AT, .hold = -1, .position = &position}, &reader));
  CHECK_STATUS(muster_log_next(reader, &record), EAGAIN);
  REQUIRE(!muster_log_join(log, NULL));
  write_some(log, 1);
  CHECK(log_test_is(log_test_next(reader).message, "a message"));
  muster_log_reader_close(reader);
  REQUIRE(!muster_log_close(log));
  log_test_end(&scene);
}

// A ring that is corrupt is told once; the others go on, and so does the drain.
static void one_corrupt_place(void) {
  log_scene scene = log_test_scene(2, BYTES);
  muster_log *first = log_test_join(&scene), *second = log_test_join(&scene);
  write_some(first, 5);
  write_some(second, 5);
  // The head of the second's ring.
  *(uint64_t *)(void *)((unsigned char *)scene.memory + log_rings_offset(2) + muster_ring_size(BYTES)) ^= 1;
  muster_log_reader *reader = log_test_reader(first, MUSTER_LOG_OLDEST);
  muster_log_record record = log_test_next(reader);
  CHECK(record.kind == MUSTER_LOG_CORRUPT && record.level == MUSTER_LOG_ERROR && record.place == 1 && record.pid == getpid());
  for (int k = 0; k < 5; k++) CHECK(log_test_next(reader).place == 0);
  CHECK_STATUS(muster_log_next(reader, &record), EAGAIN);
  write_some(first, 1);
  CHECK(log_test_next(reader).place == 0);
  muster_log_reader_close(reader);
  muster_log_place_state place;
  CHECK_STATUS(muster_log_look_place(first, 1, &place), EBADMSG);
  CHECK_STATUS(muster_log_close(second), 0);
  second = log_test_attach(&scene);
  CHECK_STATUS(muster_log_join(second, NULL), EBADMSG);
  CHECK_STATUS(muster_log_close(second), 0);
  CHECK_STATUS(muster_log_close(first), 0);
  // Who renews lays it anew.
  CHECK_STATUS(muster_log_renew(scene.memory, scene.size), 0);
  first = log_test_join(&scene), second = log_test_join(&scene);
  CHECK_STATUS(muster_log_close(second), 0);
  CHECK_STATUS(muster_log_close(first), 0);
  log_test_end(&scene);
}

// Marks whose checksums are right and whose numbers lead anywhere.
static void hostile_marks(void) {
  log_scene scene = log_test_scene(2, BYTES);
  const char *folder = test_folder();
  muster_log *log = log_test_join(&scene);
  uint64_t seed = test_seed();
  int nowhere = open("/dev/null", O_WRONLY);
  write_some(log, 50);
  muster_log_drain_options files = {.folder = folder, .name = "app", .rotate_bytes = 3000, .keep_files = 2};
  for (int turn = 0; turn < 500; turn++) {
    log_marked marked;
    if (!muster_log_mark_newest(log, &marked)) memset(&marked, 0, sizeof marked);
    uint64_t *words = (uint64_t *)(void *)&marked;
    for (int k = 0; k < 3; k++) {
      uint64_t at = 2 + test_random(&seed) % (sizeof(log_mark) / 8 + 2);
      uint64_t bit = UINT64_C(1) << test_random(&seed) % 64;
      words[at] = test_random(&seed) % 2 ? test_random(&seed) % bit : words[at] ^ bit;
    }
    muster_log_mark_store(log, &marked);
    muster_log_drain *drain;
    if (turn % 3) {
      drain_all(log, nowhere);
    } else {
      int status = muster_log_drain_open(log, &files, &drain, NULL);
      REQUIRE(status == 0 || status == EAGAIN);
      for (int k = 0; !status && k < 50; k++) status = muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL);
      REQUIRE(status == EAGAIN);
      if (drain) REQUIRE(!muster_log_drain_close(drain));
    }
    write_some(log, 3);
    muster_log_position position = {.count = 2};
    memcpy(position.places, marked.places, sizeof position.places);
    read_all(log, &position);
    look_around(log);
  }
  close(nowhere);
  REQUIRE(!muster_log_close(log));
  log_test_end(&scene);
}

TEST_SUITE(log_hostile, {"hostile_bytes", hostile_bytes, 60}, {"hostile_records", hostile_records, 0},
           {"too_large_a_record", too_large_a_record, 0}, {"one_corrupt_place", one_corrupt_place, 0}, {"hostile_marks", hostile_marks, 60});
