// What is written is what is read: fields, sizes, levels, order, and what is told of lost records.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log_support.h"

enum { BYTES = 1 << 14 };

static const uint8_t id[16] = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8};

static void arguments(void) {
  CHECK_EQUAL(muster_log_size(0, BYTES), 0);
  CHECK_EQUAL(muster_log_size(MUSTER_LOG_PLACES_MAX + 1, BYTES), 0);
  CHECK_EQUAL(muster_log_size(1, BYTES + 1), 0);
  log_scene scene = log_test_scene(2, BYTES);
  CHECK_STATUS(muster_log_init(scene.memory, scene.size - 1, 2, BYTES, MUSTER_LOG_TRACE), EINVAL);
  CHECK_STATUS(muster_log_init((char *)scene.memory + 8, scene.size, 2, BYTES, MUSTER_LOG_TRACE), EINVAL);
  CHECK_STATUS(muster_log_init(scene.memory, scene.size, 2, BYTES, (muster_log_level)8), EINVAL);
  muster_log *log;
  CHECK_STATUS(muster_log_attach(scene.memory, scene.size - 1, &log), EBADMSG);
  log = log_test_attach(&scene);
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_INFO, "x", NULL), EINVAL);
  CHECK_STATUS(muster_log_leave(log), EINVAL);
  uint32_t place = 9;
  CHECK_STATUS(muster_log_join(log, &place), 0);
  CHECK_EQUAL(place, 0);
  CHECK_STATUS(muster_log_join(log, NULL), EALREADY);
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_OFF, "x", NULL), EINVAL);
  muster_log_pair pair = {.key = "k", .key_size = 1, .type = (muster_log_type)6};
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_INFO, "x", &(muster_log_fields){.pairs = &pair, .pair_count = 1}), EINVAL);
  // A tag without bytes is an empty one.
  muster_log_text none = {.size = 3};
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_INFO, "x", &(muster_log_fields){.tags = &none, .tag_count = 1}), 0);
  muster_log_reader *reader = NULL;
  CHECK_STATUS(muster_log_reader_open(log, &(muster_log_reader_options){.from = (muster_log_from)3}, &reader), EINVAL);
  CHECK_STATUS(muster_log_reader_open(log, &(muster_log_reader_options){.from = MUSTER_LOG_AT}, &reader), EINVAL);
  reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  muster_log_record record = log_test_next(reader);
  CHECK(record.tag_count == 1 && record.tags[0].size == 0 && !record.cut);
  CHECK_STATUS(muster_log_close(log), EBUSY);
  muster_log_reader_close(reader);
  // Held back for as long as can be.
  REQUIRE(!muster_log_reader_open(log, &(muster_log_reader_options){.hold = INT64_MAX}, &reader));
  CHECK_STATUS(muster_log_next(reader, &record), EAGAIN);
  CHECK_STATUS(muster_log_wait(reader, MUSTER_DEADLINE_NOW), ETIMEDOUT);
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&scene);
}

static void all_fields(void) {
  log_scene scene = log_test_scene(2, BYTES);
  muster_log *log = log_test_join(&scene);
  muster_log_pair pairs[] = {muster_log_string("who", "me"), muster_log_int("low", INT64_MIN), muster_log_uint("high", UINT64_MAX),
                             muster_log_double("pi", 3.25), muster_log_bool("yes", 2), muster_log_string("none", NULL)};
  muster_log_text tags[] = {muster_log_text_of("net"), muster_log_text_of("")};
  muster_log_fields fields = {.pairs = pairs, .pair_count = 6, .tags = tags, .tag_count = 2, .correlation = id,
                              .label = muster_log_text_of("server"), .file = muster_log_text_of("a.c"), .line = 77,
                              .function = muster_log_text_of("main")};
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_NOTICE, "a message", &fields), 0);
  CHECK_STATUS(muster_log_put(log, MUSTER_LOG_CRITICAL, NULL, 7, NULL), 0);
  muster_log_reader *reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  muster_log_record record = log_test_next(reader);
  CHECK_EQUAL(record.kind, MUSTER_LOG_WRITTEN);
  CHECK_EQUAL(record.level, MUSTER_LOG_NOTICE);
  CHECK_EQUAL(record.pid, getpid());
  CHECK_EQUAL(record.thread, gettid());
  CHECK_EQUAL(record.number, 0);
  CHECK_EQUAL(record.cut, 0);
  CHECK(log_test_is(record.message, "a message") && log_test_is(record.label, "server"));
  CHECK(log_test_is(record.file, "a.c") && log_test_is(record.function, "main"));
  CHECK_EQUAL(record.line, 77);
  CHECK(record.has_correlation && !memcmp(record.correlation, id, 16));
  REQUIRE(record.tag_count == 2 && record.pair_count == 6);
  CHECK(log_test_is(record.tags[0], "net") && record.tags[1].size == 0);
  for (uint32_t k = 0; k < 5; k++) {
    CHECK_EQUAL(record.pairs[k].type, pairs[k].type);
    CHECK_EQUAL(record.pairs[k].bits, pairs[k].bits);
    CHECK(record.pairs[k].key_size == pairs[k].key_size && !memcmp(record.pairs[k].key, pairs[k].key, pairs[k].key_size));
  }
  CHECK(record.pairs[0].text_size == 2 && !memcmp(record.pairs[0].text, "me", 2));
  CHECK_EQUAL(record.pairs[4].bits, 1);
  CHECK_EQUAL(record.pairs[5].text_size, 0);
  record = log_test_next(reader);
  CHECK(record.level == MUSTER_LOG_CRITICAL && record.message.size == 0 && record.number == 1 && !record.pair_count);
  CHECK_STATUS(muster_log_next(reader, &record), EAGAIN);
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&scene);
}

// Step by step, by a format, and a level that is off.
static void other_forms(void) {
  log_scene scene = log_test_scene(1, BYTES);
  muster_log *log = log_test_join(&scene), *other = log_test_attach(&scene);
  muster_log_entry entry;
  muster_log_begin(&entry, MUSTER_LOG_WARNING, "begun");
  muster_log_add(&entry, muster_log_int("n", 5));
  muster_log_add_tag(&entry, "t");
  CHECK_STATUS(muster_log_commit(log, &entry), 0);
  for (int k = 0; k < MUSTER_LOG_PAIRS_MAX; k++) muster_log_add(&entry, muster_log_int("more", k));
  CHECK_STATUS(muster_log_commit(log, &entry), 0);
  CHECK_STATUS(muster_log_printf(log, MUSTER_LOG_INFO, NULL, "%d and %s", 7, "eight"), 0);
  CHECK_STATUS(muster_log_printf(log, MUSTER_LOG_INFO, NULL, "%5000d", 7), 0);
  CHECK(muster_log_enabled(log, MUSTER_LOG_TRACE));
  CHECK_STATUS(muster_log_set_level(other, MUSTER_LOG_ERROR), 0);
  CHECK(!muster_log_enabled(log, MUSTER_LOG_WARNING) && muster_log_enabled(log, MUSTER_LOG_ERROR));
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_WARNING, "no", NULL), 0);
  CHECK_STATUS(muster_log_printf(log, MUSTER_LOG_WARNING, NULL, "%s", "no"), 0);
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_ERROR, "yes", NULL), 0);
  CHECK_STATUS(muster_log_set_level(other, (muster_log_level)8), EINVAL);
  CHECK_STATUS(muster_log_set_level(other, MUSTER_LOG_OFF), 0);
  CHECK_EQUAL(muster_log_get_level(log), MUSTER_LOG_OFF);
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_CRITICAL, "no", NULL), 0);
  muster_log_reader *reader = log_test_reader(other, MUSTER_LOG_OLDEST);
  muster_log_record record = log_test_next(reader);
  CHECK(log_test_is(record.message, "begun") && record.pair_count == 1 && record.tag_count == 1 && !record.cut);
  record = log_test_next(reader);
  CHECK(record.pair_count == MUSTER_LOG_PAIRS_MAX && record.cut);
  CHECK(log_test_is(log_test_next(reader).message, "7 and eight"));
  record = log_test_next(reader);
  CHECK(record.cut && record.message.size == 4096 - 32);
  CHECK(log_test_is(log_test_next(reader).message, "yes"));
  CHECK_STATUS(muster_log_next(reader, &record), EAGAIN);
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(other), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  muster_log_level level;
  CHECK(!muster_log_level_of("Warning", &level) && level == MUSTER_LOG_WARNING && muster_log_level_of("loud", &level) == EINVAL);
  log_test_end(&scene);
}

// What is too large is cut at a character, and told; nothing of it is left out silently, and all of it stays a record.
static void too_large(void) {
  log_scene scene = log_test_scene(1, 4096);
  muster_log *log = log_test_join(&scene);
  static char large[100000];
  memset(large, 'x', sizeof large);
  memcpy(large + 300, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 12);
  muster_log_state state;
  CHECK_STATUS(muster_log_look(log, &state), 0);
  CHECK_EQUAL(state.largest, 1024);
  muster_log_reader *reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  uint64_t seed = test_seed();
  for (int turn = 0; turn < 3000; turn++) {
    muster_log_pair pairs[70];
    muster_log_text tags[40];
    uint32_t pair_count = (uint32_t)(test_random(&seed) % 71), tag_count = (uint32_t)(test_random(&seed) % 41);
    uint32_t most = turn % 3 ? 40 : 70000;
    for (uint32_t k = 0; k < pair_count; k++)
      pairs[k] = (muster_log_pair){.key = large, .key_size = (uint32_t)(test_random(&seed) % (k % 5 ? 10 : 400)),
                                   .text = large + 290, .text_size = (uint32_t)(test_random(&seed) % most),
                                   .type = (muster_log_type)(1 + test_random(&seed) % 5)};
    for (uint32_t k = 0; k < tag_count; k++)
      tags[k] = (muster_log_text){large + 299, (uint32_t)(test_random(&seed) % (k % 5 ? 6 : 400)), 0};
    muster_log_fields fields = {.pairs = pairs, .pair_count = pair_count, .tags = tags, .tag_count = tag_count,
                                .label = {large + 200, (uint32_t)(test_random(&seed) % 300), 0},
                                .file = {large, (uint32_t)(test_random(&seed) % 500), 0},
                                .correlation = turn % 2 ? id : NULL};
    size_t size = test_random(&seed) % (turn % 2 ? 600 : sizeof large);
    REQUIRE(!muster_log_put(log, MUSTER_LOG_INFO, large, size, &fields));
    muster_log_record record = log_test_next(reader);
    REQUIRE(record.kind == MUSTER_LOG_WRITTEN);
    int whole = record.message.size == size && record.pair_count == pair_count && record.tag_count == tag_count &&
                record.label.size == fields.label.size && record.file.size == fields.file.size;
    for (uint32_t k = 0; whole && k < pair_count; k++)
      whole = record.pairs[k].key_size == pairs[k].key_size &&
              (pairs[k].type != MUSTER_LOG_STRING || record.pairs[k].text_size == pairs[k].text_size);
    for (uint32_t k = 0; whole && k < tag_count; k++) whole = record.tags[k].size == tags[k].size;
    CHECK_EQUAL(record.cut, !whole);
    // Of the message, half of what there was room for.
    if (size >= 500) CHECK(record.message.size >= 80);
    if (record.message.size < size && record.message.size > 300 && record.message.size < 312)
      CHECK_EQUAL(record.message.size % 3, 0);
  }
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&scene);
}

// ---- Many places

typedef struct turns {
  log_scene scene;
  uint32_t *gate;
  uint32_t index, of, rounds;
} turns;

// Writes each time that it is its turn, so that the order of time is known.
static void write_in_turn(void *context) {
  turns *with = context;
  muster_log *log = log_test_join(&with->scene);
  for (uint32_t round = 0; round < with->rounds; round++) {
    uint32_t number = round * with->of + with->index;
    gate_wait(with->gate, number);
    CHECK_STATUS(muster_log_printf(log, MUSTER_LOG_INFO, NULL, "%u", number), 0);
    gate_open(with->gate, number + 1);
  }
  CHECK_STATUS(muster_log_close(log), 0);
}

static void in_order_of_time(void) {
  turns with = {log_test_scene(5, BYTES), shared_memory(4), 0, 4, 25};
  pid_t pids[4];
  for (; with.index < 4; with.index++) pids[with.index] = test_fork(write_in_turn, &with);
  for (int k = 0; k < 4; k++) test_join(pids[k], 0);
  muster_log *log = log_test_attach(&with.scene);
  muster_log_reader *reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  int64_t before = 0;
  for (uint32_t k = 0; k < 100; k++) {
    muster_log_record record = log_test_next(reader);
    char expected[16];
    snprintf(expected, sizeof expected, "%u", k);
    CHECK(log_test_is(record.message, expected));
    CHECK_EQUAL(record.pid, pids[k % 4]);
    CHECK(record.time >= before);
    before = record.time;
  }
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.scene);
}

// With a hold-back a record that is younger waits, and wait waits for just that.
static void held_back(void) {
  log_scene scene = log_test_scene(2, BYTES);
  muster_log *log = log_test_join(&scene);
  muster_log_reader *reader;
  const int64_t hold = 30000000;
  REQUIRE(!muster_log_reader_open(log, &(muster_log_reader_options){.hold = hold}, &reader));
  muster_deadline begun = muster_clock_now();
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_INFO, "young", NULL), 0);
  muster_log_record record;
  int status = muster_log_next(reader, &record);
  // Whoever was kept off the processor for so long finds it old by now.
  if (muster_clock_now() < begun + hold) CHECK_STATUS(status, EAGAIN);
  if (status) CHECK_STATUS(muster_log_wait(reader, soon()), 0);
  CHECK(muster_clock_now() >= begun + hold - 1000000);
  if (status) record = log_test_next(reader);
  CHECK(log_test_is(record.message, "young"));
  CHECK_STATUS(muster_log_wait(reader, muster_deadline_after(1000000)), ETIMEDOUT);
  muster_wait_set set;
  CHECK_STATUS(muster_log_poll(reader, &set), EAGAIN);
  CHECK(set.count == 1 && set.recheck < soon());
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&scene);
}

// Overrun: just as many as are missing are told, wherever the reader was.
static void lost(void) {
  log_scene scene = log_test_scene(2, 4096);
  muster_log *log = log_test_join(&scene);
  muster_log_reader *reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  uint64_t next = 0, total = 0, number = 0, seed = test_seed(), events = 0;
  for (int round = 0; round < 400; round++) {
    for (uint64_t more = test_random(&seed) % 90; more > 0; more--)
      REQUIRE(!muster_log_printf(log, MUSTER_LOG_INFO, NULL, "%llu", (unsigned long long)number++));
    muster_log_record record;
    int status = 0;
    for (uint64_t some = test_random(&seed) % 60; some > 0 && !(status = muster_log_next(reader, &record)); some--) {
      CHECK_EQUAL(record.number, next);
      if (record.kind == MUSTER_LOG_LOST) {
        CHECK(record.lost > 0);
        CHECK_EQUAL(record.pid, getpid());
        CHECK_EQUAL(record.level, MUSTER_LOG_WARNING);
        next += record.lost, total += record.lost, events++;
      } else {
        char expected[24];
        snprintf(expected, sizeof expected, "%llu", (unsigned long long)next++);
        CHECK(log_test_is(record.message, expected));
      }
    }
    CHECK(status == 0 || (status == EAGAIN && next == number));
    // Elsewhere it goes on from where it was, between what was told and what comes next, too.
    if (round % 5 == 0) {
      muster_log_position position;
      muster_log_reader_position(reader, &position);
      CHECK_EQUAL(position.places[0].number, next);
      muster_log_reader_close(reader);
      REQUIRE(!muster_log_reader_open(
          log, &(muster_log_reader_options){.from = MUSTER_LOG_AT, .hold = -1, .position = &position}, &reader));
    }
  }
  CHECK(total > 1000 && events > 50);
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&scene);
}

static uint32_t count_with(muster_log *log, const muster_log_filter *filter) {
  muster_log_reader *reader;
  REQUIRE(!muster_log_reader_open(log, &(muster_log_reader_options){.hold = -1, .filter = *filter}, &reader));
  uint32_t count = 0;
  muster_log_record record;
  while (!muster_log_next(reader, &record)) count++;
  muster_log_reader_close(reader);
  return count;
}

static void filters(void) {
  log_scene scene = log_test_scene(2, BYTES);
  muster_log *log = log_test_join(&scene);
  muster_log_text tags[] = {muster_log_text_of("a"), muster_log_text_of("b")}, label = muster_log_text_of("db");
  int64_t times[12];
  for (uint32_t k = 0; k < 12; k++) {
    muster_log_fields fields = {.tags = tags, .tag_count = k % 3, .correlation = k % 4 ? NULL : id};
    if (k % 6 == 0) fields.label = label;
    REQUIRE(!muster_log_write(log, (muster_log_level)(k % 7), "x", &fields));
  }
  muster_log_reader *reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  for (uint32_t k = 0; k < 12; k++) times[k] = log_test_next(reader).time;
  muster_log_reader_close(reader);
  CHECK_EQUAL(count_with(log, &(muster_log_filter){0}), 12);
  CHECK_EQUAL(count_with(log, &(muster_log_filter){.least = MUSTER_LOG_ERROR}), 2);
  CHECK_EQUAL(count_with(log, &(muster_log_filter){.pid = getpid()}), 12);
  CHECK_EQUAL(count_with(log, &(muster_log_filter){.pid = getpid() + 1}), 0);
  CHECK_EQUAL(count_with(log, &(muster_log_filter){.tags = tags, .tag_count = 1}), 8);
  CHECK_EQUAL(count_with(log, &(muster_log_filter){.tags = tags, .tag_count = 2}), 4);
  CHECK_EQUAL(count_with(log, &(muster_log_filter){.correlation = id}), 3);
  CHECK_EQUAL(count_with(log, &(muster_log_filter){.label = &label}), 2);
  uint32_t from = 0, until = 0;
  for (uint32_t k = 0; k < 12; k++) from += times[k] >= times[5], until += times[k] < times[5];
  CHECK_EQUAL(count_with(log, &(muster_log_filter){.from = times[5]}), from);
  CHECK_EQUAL(count_with(log, &(muster_log_filter){.until = times[5]}), until);
  muster_log_reader_options too_many = {.filter = {.tags = tags, .tag_count = 33}};
  CHECK_STATUS(muster_log_reader_open(log, &too_many, &reader), EINVAL);
  reader = log_test_reader(log, MUSTER_LOG_NEWEST);
  muster_log_record record;
  CHECK_STATUS(muster_log_next(reader, &record), EAGAIN);
  REQUIRE(!muster_log_write(log, MUSTER_LOG_INFO, "new", NULL));
  CHECK(log_test_is(log_test_next(reader).message, "new"));
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&scene);
}

// ---- Lines

static const char *line_of(const muster_log_record *record, uint32_t format) {
  static char line[4096];
  size_t size = muster_log_format_record(record, format, line, sizeof line - 1);
  REQUIRE(size < sizeof line);
  CHECK_EQUAL(muster_log_format_record(record, format, NULL, 0), size);
  line[size] = 0;
  return line;
}

static void check_line(const muster_log_record *record, uint32_t format, const char *expected) {
  const char *line = line_of(record, format);
  if (strcmp(line, expected)) test_fail(__FILE__, __LINE__, "is\n%s not\n%s", line, expected);
}

static void lines(void) {
  muster_log_pair pairs[] = {muster_log_int("n", -5), muster_log_double("d", 0.1), muster_log_bool("b", 0),
                             muster_log_string("two words", "a \"b\"\\"), muster_log_string("s", "plain"),
                             muster_log_double("nan", 0.0), muster_log_uint("u", UINT64_MAX), muster_log_string("e", "")};
  const double infinite = __builtin_inf();
  memcpy(&pairs[5].bits, &infinite, 8);
  muster_log_text tags[] = {muster_log_text_of("t1"), muster_log_text_of("t 2")};
  muster_log_record record = {.level = MUSTER_LOG_INFO, .time = INT64_C(1700000000123456789), .pid = 12, .thread = 13,
                              .place = 1, .number = 4, .message = muster_log_text_of("a\nb\x1b[2J\x01 \xc3\xa9\xff\xc2\x9b \xe2\x80\xae \"q\""),
                              .label = muster_log_text_of("lab"), .tags = tags, .tag_count = 2, .pairs = pairs, .pair_count = 8,
                              .has_correlation = 1, .file = muster_log_text_of("f.c"), .line = 3, .function = muster_log_text_of("g"), .cut = 1};
  memcpy(record.correlation, id, 16);
  check_line(&record, MUSTER_LOG_FORMAT_TEXT,
             "2023-11-14T22:13:20.123456Z info     12/13 lab: a\\nb\\u001b[2J\\u0001 \xc3\xa9\xef\xbf\xbd\\u009b \\u202e \"q\" n=-5 d=0.1 b=false "
             "\"two words\"=\"a \\\"b\\\"\\\\\" s=plain nan=inf u=18446744073709551615 e=\"\" #t1 #\"t 2\" "
             "{12345678-9abc-def0-0102-030405060708} (f.c:3 g) ...\n");
  check_line(&record, MUSTER_LOG_FORMAT_JSON,
             "{\"time\":\"2023-11-14T22:13:20.123456789Z\",\"level\":\"info\",\"pid\":12,\"thread\":13,\"place\":1,\"number\":4,"
             "\"label\":\"lab\",\"message\":\"a\\nb\\u001b[2J\\u0001 \xc3\xa9\xef\xbf\xbd\\u009b \\u202e \\\"q\\\"\",\"tags\":[\"t1\",\"t 2\"],"
             "\"fields\":{\"n\":-5,\"d\":0.1,\"b\":false,\"two words\":\"a \\\"b\\\"\\\\\",\"s\":\"plain\",\"nan\":\"inf\","
             "\"u\":18446744073709551615,\"e\":\"\"},\"correlation\":\"12345678-9abc-def0-0102-030405060708\",\"file\":\"f.c\",\"line\":3,"
             "\"function\":\"g\",\"cut\":true}\n");
  static const char *const dates[] = {"1677-09-21", "1969-12-31", "1970-01-01", "2000-02-29", "2000-03-01", "2100-02-28", "2262-04-11"};
  static const int64_t times[] = {INT64_MIN, -1, 0, INT64_C(951782400) * 1000000000, INT64_C(951868800) * 1000000000,
                                  INT64_C(4107542399) * 1000000000, INT64_MAX};
  for (size_t k = 0; k < sizeof times / sizeof *times; k++) {
    record.time = times[k];
    const char *line = line_of(&record, MUSTER_LOG_FORMAT_TEXT);
    if (strncmp(line, dates[k], 10)) test_fail(__FILE__, __LINE__, "%.10s is not %s", line, dates[k]);
  }
  // No more digits than it takes, and errno as it was.
  muster_log_pair small[] = {muster_log_double("a", 0.1234567890123456), muster_log_double("b", 0.1 + 0.2), muster_log_double("c", 5e-324)};
  record = (muster_log_record){.level = MUSTER_LOG_INFO, .pid = 1, .message = muster_log_text_of("m"), .pairs = small, .pair_count = 3};
  errno = 0;
  check_line(&record, MUSTER_LOG_FORMAT_TEXT,
             "1970-01-01T00:00:00.000000Z info     1 m a=0.1234567890123456 b=0.30000000000000004 c=4.94065645841247e-324\n");
  CHECK_EQUAL(errno, 0);
  setenv("TZ", "XXX-05:30", 1);
  record = (muster_log_record){.level = MUSTER_LOG_ERROR, .time = -1, .pid = 1, .thread = 1, .message = muster_log_text_of("m")};
  check_line(&record, MUSTER_LOG_FORMAT_LOCAL, "1970-01-01T05:29:59.999999+05:30 error    1 m\n");
  check_line(&record, MUSTER_LOG_FORMAT_COLOUR, "1969-12-31T23:59:59.999999Z \33[31merror\33[0m    1 m\n");
}

// The largest record in the largest form has room.
static void largest_line(void) {
  log_scene scene = log_test_scene(1, 1 << 16);
  muster_log *log = log_test_join(&scene);
  static char worst[MUSTER_LOG_RECORD_MAX];
  muster_log_reader *reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  for (int kind = 0; kind < 3; kind++) {
    memset(worst, kind == 0 ? 1 : kind == 1 ? 0xff : '"', sizeof worst);
    muster_log_pair pairs[MUSTER_LOG_PAIRS_MAX];
    muster_log_text tags[MUSTER_LOG_TAGS_MAX];
    for (int k = 0; k < MUSTER_LOG_PAIRS_MAX; k++)
      pairs[k] = kind ? muster_log_double("", -1.0000000000000002e-300)
                      : (muster_log_pair){.key = worst, .key_size = 5, .text = worst, .text_size = 99, .type = MUSTER_LOG_STRING};
    for (int k = 0; k < MUSTER_LOG_TAGS_MAX; k++) tags[k] = (muster_log_text){worst, 40, 0};
    muster_log_text text = {worst, 255, 0};
    muster_log_fields fields = {.pairs = pairs, .pair_count = MUSTER_LOG_PAIRS_MAX, .tags = tags, .tag_count = MUSTER_LOG_TAGS_MAX,
                                .label = text, .file = text, .function = text, .correlation = id, .line = UINT32_MAX};
    REQUIRE(!muster_log_put(log, MUSTER_LOG_INFO, worst, sizeof worst, &fields));
    muster_log_record record = log_test_next(reader);
    CHECK(record.cut);
    for (uint32_t format = 0; format < 2; format++) {
      size_t size = muster_log_format_record(&record, format, NULL, 0);
      CHECK(size > 10000 && size <= MUSTER_LOG_FORMATTED_MAX);
    }
  }
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&scene);
}

TEST_SUITE(log, {"arguments", arguments, 0}, {"all_fields", all_fields, 0}, {"other_forms", other_forms, 0},
           {"too_large", too_large, 0}, {"in_order_of_time", in_order_of_time, 0}, {"held_back", held_back, 0},
           {"lost", lost, 0}, {"filters", filters, 0}, {"lines", lines, 0}, {"largest_line", largest_line, 0});
