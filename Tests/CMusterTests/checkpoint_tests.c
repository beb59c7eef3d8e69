// The checkpoint by one process: what each call does and refuses.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint_support.h"
#include "support.h"
#include "test.h"

static void shapes(void) {
  muster_checkpoint_shape good = {.capacity = 1, .history = 2, .writers = 1};
  CHECK(muster_checkpoint_size(&good) > 0);
  muster_checkpoint_shape wrong[] = {{.capacity = 0, .history = 2},
                                     {.capacity = 1, .history = 1},
                                     {.capacity = 1, .history = 65},
                                     {.capacity = 1, .history = 2, .writers = 65},
                                     {.capacity = 1, .history = 2, .flags = 2},
                                     {.capacity = UINT64_MAX, .history = 2},
                                     {.capacity = (uint64_t)PTRDIFF_MAX / 7, .history = 2}};
  _Alignas(128) static unsigned char memory[1 << 16];
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    CHECK_EQUAL(muster_checkpoint_size(&wrong[i]), 0);
    CHECK_STATUS(muster_checkpoint_init(memory, sizeof memory, &wrong[i]), EINVAL);
  }
  muster_checkpoint_shape most = {.capacity = 1, .history = 64, .writers = 64, .flags = MUSTER_CHECKPOINT_PAGES};
  CHECK(muster_checkpoint_size(&most) >= (64 + 1 + 64) * 4096);
  size_t size = muster_checkpoint_size(&good);
  CHECK_STATUS(muster_checkpoint_init(memory, size - 1, &good), EINVAL);
  CHECK_STATUS(muster_checkpoint_init(memory + 64, size, &good), EINVAL);
  CHECK_STATUS(muster_checkpoint_init(memory, size, &good), 0);
  muster_checkpoint *checkpoint;
  CHECK_STATUS(muster_checkpoint_attach(memory + 64, size, &checkpoint), EINVAL);
  CHECK_STATUS(muster_checkpoint_attach(memory, size - 1, &checkpoint), EBADMSG);
  CHECK_STATUS(muster_checkpoint_attach(memory, 8, &checkpoint), EBADMSG);
  CHECK_STATUS(muster_checkpoint_attach(memory, size, &checkpoint), 0);
  muster_checkpoint_shape found;
  muster_checkpoint_shape_of(checkpoint, &found);
  CHECK(found.capacity == 1 && found.history == 2 && found.writers == 1 && found.flags == 0);
  CHECK(!muster_checkpoint_region(checkpoint));
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  CHECK_STATUS(muster_checkpoint_close(NULL), 0);
}

static void commits_and_reads(void) {
  checkpoint_place place = checkpoint_test_place(256, 3, 2);
  muster_checkpoint *writer = checkpoint_test_attach(&place), *reader = checkpoint_test_reader(&place);
  unsigned char bytes[256] = {0}, state[256];
  muster_checkpoint_info info;
  uint64_t epoch, sequence, number;
  int32_t pid;
  CHECK_STATUS(muster_checkpoint_read(reader, bytes, sizeof bytes, &info), ENODATA);
  CHECK_STATUS(muster_checkpoint_load(reader, NULL, NULL, bytes, sizeof bytes, &info), ENODATA);
  CHECK_STATUS(muster_checkpoint_read_at(reader, 1, bytes, sizeof bytes, &info), ENODATA);
  CHECK_STATUS(muster_checkpoint_writer_pid(reader, &pid), ENOENT);
  CHECK_STATUS(muster_checkpoint_save(writer, bytes, 8, NULL), EPERM);
  CHECK_STATUS(muster_checkpoint_check(writer), EPERM);
  CHECK_STATUS(muster_checkpoint_release(writer), EINVAL);
  CHECK_STATUS(muster_checkpoint_take_over(reader, &epoch), EACCES);
  CHECK_EQUAL(muster_checkpoint_epoch(reader), 0);
  CHECK_STATUS(muster_checkpoint_take_over(writer, &epoch), 0);
  CHECK(epoch == 1 && muster_checkpoint_epoch(reader) == 1);
  CHECK_STATUS(muster_checkpoint_take_over(writer, &epoch), EALREADY);
  CHECK_STATUS(muster_checkpoint_check(writer), 0);
  CHECK_STATUS(muster_checkpoint_writer_pid(reader, &pid), 0);
  CHECK_EQUAL(pid, getpid());
  CHECK_STATUS(muster_checkpoint_save(writer, bytes, 257, NULL), EMSGSIZE);
  int64_t before = (int64_t)time(NULL) * 1000000000;
  for (uint64_t n = 1; n <= 20; n++) {
    size_t length = n == 10 ? 256 : 8 + (size_t)n * 7;
    CHECK_STATUS(checkpoint_test_save(writer, length, n), 0);
    CHECK_EQUAL(checkpoint_test_newest(reader), n);
    CHECK_STATUS(muster_checkpoint_read(reader, bytes, sizeof bytes, &info), 0);
    CHECK(info.sequence == n && info.epoch == 1 && info.length == length && info.restored == 0 && info.whole == 1);
    CHECK(info.time >= before);
    for (uint64_t old = 1; old <= n; old++) {
      int status = muster_checkpoint_read_at(reader, old, bytes, sizeof bytes, &info);
      // Not more than the last and the three before it is told of.
      CHECK_STATUS(status, old + 3 >= n ? 0 : ENOENT);
      if (!status) CHECK(checkpoint_test_is_state(bytes, info.length, &number) && number == old);
    }
  }
  CHECK_STATUS(muster_checkpoint_read_at(reader, 0, bytes, sizeof bytes, &info), ENOENT);
  CHECK_STATUS(muster_checkpoint_read_at(reader, 21, bytes, sizeof bytes, &info), ENOENT);
  CHECK_STATUS(muster_checkpoint_read(reader, bytes, 100, &info), EMSGSIZE);
  CHECK(info.length == 148 && info.sequence == 20);
  CHECK_STATUS(muster_checkpoint_read(reader, bytes, 148, NULL), 0);
  // A state of no bytes is one, too.
  CHECK_STATUS(muster_checkpoint_save(writer, NULL, 0, &sequence), 0);
  CHECK_STATUS(muster_checkpoint_read(reader, NULL, 0, &info), 0);
  CHECK(info.sequence == 21 && info.length == 0 && info.checksum == 0);
  checkpoint_test_state(state, 256, 22);
  CHECK_STATUS(muster_checkpoint_save_durable(writer, state, 256, &sequence), 0);
  CHECK(sequence == 22 && checkpoint_test_newest(reader) == 22);
  CHECK_STATUS(muster_checkpoint_release(writer), 0);
  CHECK_STATUS(muster_checkpoint_save(writer, bytes, 8, NULL), EPERM);
  CHECK_STATUS(muster_checkpoint_writer_pid(reader, &pid), ENOENT);
  CHECK_STATUS(muster_checkpoint_take_over(writer, &epoch), 0);
  CHECK_EQUAL(epoch, 2);
  CHECK_STATUS(checkpoint_test_save(writer, 50, 23), 0);
  CHECK_STATUS(muster_checkpoint_close(writer), 0);
  CHECK_STATUS(muster_checkpoint_close(reader), 0);
  checkpoint_test_free(&place);
}

static void in_place(void) {
  checkpoint_place place = checkpoint_test_place(100, 2, 1);
  muster_checkpoint *writer = checkpoint_test_attach(&place);
  void *bytes;
  uint64_t sequence;
  CHECK_STATUS(muster_checkpoint_begin(writer, &bytes), EPERM);
  REQUIRE(!muster_checkpoint_take_over(writer, NULL));
  CHECK_STATUS(muster_checkpoint_commit(writer, 1, &sequence), EINVAL);
  CHECK_STATUS(muster_checkpoint_abandon(writer), EINVAL);
  for (uint64_t n = 1; n <= 10; n++) {
    CHECK_STATUS(muster_checkpoint_begin(writer, &bytes), 0);
    CHECK((uintptr_t)bytes % MUSTER_CHECKPOINT_PAYLOAD_ALIGNMENT == 0);
    CHECK_STATUS(muster_checkpoint_begin(writer, &(void *){NULL}), EALREADY);
    CHECK_STATUS(muster_checkpoint_save(writer, bytes, 1, NULL), EALREADY);
    CHECK_STATUS(muster_checkpoint_roll_back(writer, 1, NULL), EALREADY);
    checkpoint_test_state(bytes, 100, n);
    CHECK_EQUAL(checkpoint_test_newest(writer), n - 1);
    if (n % 3 == 0) {
      CHECK_STATUS(muster_checkpoint_abandon(writer), 0);
      CHECK_EQUAL(checkpoint_test_newest(writer), n - 1);
      REQUIRE(!muster_checkpoint_begin(writer, &bytes));
      checkpoint_test_state(bytes, 100, n);
    }
    CHECK_STATUS(muster_checkpoint_commit(writer, 101, &sequence), EMSGSIZE);
    if (n % 2) CHECK_STATUS(muster_checkpoint_commit(writer, 100, &sequence), 0);
    else CHECK_STATUS(muster_checkpoint_commit_durable(writer, 100, &sequence), 0);
    CHECK(sequence == n && checkpoint_test_newest(writer) == n);
  }
  REQUIRE(!muster_checkpoint_begin(writer, &bytes));
  memset(bytes, 1, 100);
  CHECK_STATUS(muster_checkpoint_release(writer), 0);
  CHECK_EQUAL(checkpoint_test_newest(writer), 10);
  CHECK_STATUS(muster_checkpoint_close(writer), 0);
  checkpoint_test_free(&place);
}

static void check_list(const muster_checkpoint *checkpoint, uint64_t newest, uint32_t count) {
  muster_checkpoint_info infos[65], last;
  uint32_t kept;
  CHECK_STATUS(muster_checkpoint_list(checkpoint, infos, 65, &kept), 0);
  CHECK_EQUAL(kept, count);
  for (uint32_t k = 0; k < kept; k++) CHECK(infos[k].sequence == newest - k && infos[k].whole == 1);
  if (!count) return;
  CHECK_STATUS(muster_checkpoint_list(checkpoint, &last, 1, &kept), 0);
  CHECK(kept == count && last.sequence == newest);
}

static void lists(void) {
  for (uint32_t history = 2; history <= 64; history += 31) {
    checkpoint_place place = checkpoint_test_place(64, history, 3);
    muster_checkpoint *writer = checkpoint_test_attach(&place);
    check_list(writer, 0, 0);
    for (uint64_t n = 1; n <= 3 * history + 5; n++) {
      // Also over changes of the writer.
      if (n % 7 == 1) {
        if (n > 1) CHECK_STATUS(muster_checkpoint_release(writer), 0);
        CHECK_STATUS(muster_checkpoint_take_over(writer, NULL), 0);
        check_list(writer, n - 1, n - 1 < history + 1 ? (uint32_t)n - 1 : history + 1);
      }
      CHECK_STATUS(checkpoint_test_save(writer, 64, n), 0);
      check_list(writer, n, n < history + 1 ? (uint32_t)n : history + 1);
    }
    CHECK_STATUS(muster_checkpoint_close(writer), 0);
    checkpoint_test_free(&place);
  }
}

static void roll_back(void) {
  checkpoint_place place = checkpoint_test_place(64, 3, 1);
  muster_checkpoint *writer = checkpoint_test_attach(&place);
  unsigned char bytes[64] = {0};
  muster_checkpoint_info info;
  uint64_t sequence, number;
  REQUIRE(!muster_checkpoint_take_over(writer, NULL));
  CHECK_STATUS(muster_checkpoint_roll_back(writer, 1, &sequence), ENOENT);
  for (uint64_t n = 1; n <= 6; n++) REQUIRE(!checkpoint_test_save(writer, 40 + (size_t)n, n));
  CHECK_STATUS(muster_checkpoint_roll_back(writer, 2, &sequence), ENOENT);
  CHECK_STATUS(muster_checkpoint_roll_back(writer, 7, &sequence), ENOENT);
  CHECK_STATUS(muster_checkpoint_roll_back(writer, 3, &sequence), 0);
  CHECK_EQUAL(sequence, 7);
  CHECK_STATUS(muster_checkpoint_read(writer, bytes, 64, &info), 0);
  CHECK(info.sequence == 7 && info.restored == 3 && info.length == 43);
  CHECK(checkpoint_test_is_state(bytes, 43, &number) && number == 3);
  // The newest too, and what was rolled back before.
  CHECK_STATUS(muster_checkpoint_roll_back_durable(writer, 7, &sequence), 0);
  CHECK_STATUS(muster_checkpoint_read(writer, bytes, 64, &info), 0);
  CHECK(info.sequence == 8 && info.restored == 7 && checkpoint_test_is_state(bytes, 43, &number) && number == 3);
  check_list(writer, 8, 4);
  CHECK_STATUS(checkpoint_test_save(writer, 64, 9), 0);
  CHECK_STATUS(muster_checkpoint_close(writer), 0);
  checkpoint_test_free(&place);
}

typedef struct acceptance {
  uint64_t least, most;  // sequences that are good
  uint32_t asked;
  const void *buffer;
} acceptance;

static int accept_between(const void *bytes, const muster_checkpoint_info *info, void *context) {
  acceptance *wanted = context;
  uint64_t number;
  CHECK(bytes == wanted->buffer && checkpoint_test_is_state(bytes, info->length, &number) && number == info->sequence);
  wanted->asked++;
  return info->sequence >= wanted->least && info->sequence <= wanted->most;
}

static void acceptance_test(void) {
  checkpoint_place place = checkpoint_test_place(64, 4, 1);
  muster_checkpoint *writer = checkpoint_test_attach(&place);
  unsigned char bytes[64] = {0};
  muster_checkpoint_info info;
  REQUIRE(!muster_checkpoint_take_over(writer, NULL));
  for (uint64_t n = 1; n <= 9; n++) REQUIRE(!checkpoint_test_save(writer, 64, n));
  acceptance wanted = {.least = 1, .most = 7, .buffer = bytes};
  CHECK_STATUS(muster_checkpoint_load(writer, accept_between, &wanted, bytes, 64, &info), 0);
  CHECK(info.sequence == 7 && wanted.asked == 3);
  CHECK_STATUS(muster_checkpoint_load(writer, accept_between, &wanted, bytes, 64, NULL), 0);
  wanted = (acceptance){.least = 1, .most = 4, .buffer = bytes};
  CHECK_STATUS(muster_checkpoint_load(writer, accept_between, &wanted, bytes, 64, &info), ENOENT);
  CHECK_EQUAL(wanted.asked, 5);
  CHECK_STATUS(muster_checkpoint_load(writer, NULL, NULL, bytes, 63, &info), EMSGSIZE);
  CHECK_STATUS(muster_checkpoint_load(writer, NULL, NULL, bytes, 64, &info), 0);
  CHECK_EQUAL(info.sequence, 9);
  CHECK_STATUS(muster_checkpoint_close(writer), 0);
  checkpoint_test_free(&place);
}

// Two handles of one process: the second takes over from the first, which is fenced at whatever it does.
static void fenced(void) {
  checkpoint_place place = checkpoint_test_place(64, 2, 2);
  muster_checkpoint *one = checkpoint_test_attach(&place), *two = checkpoint_test_attach(&place);
  muster_checkpoint *three = checkpoint_test_attach(&place);
  void *bytes;
  uint64_t epoch, sequence;
  REQUIRE(!muster_checkpoint_take_over(one, &epoch));
  REQUIRE(!checkpoint_test_save(one, 64, 1));
  REQUIRE(!muster_checkpoint_begin(one, &bytes));
  CHECK_STATUS(muster_checkpoint_take_over(two, &epoch), 0);
  CHECK_EQUAL(epoch, 2);
  CHECK_STATUS(muster_checkpoint_take_over(three, &epoch), EBUSY);
  CHECK_EQUAL(muster_checkpoint_epoch(three), 2);
  CHECK_STATUS(muster_checkpoint_check(one), ESTALE);
  for (uint64_t n = 2; n <= 12; n++) {
    // What the first still has is its own.
    checkpoint_test_state(bytes, 64, 1000 + n);
    CHECK_STATUS(checkpoint_test_save(two, 64, n), 0);
    check_list(three, n, n < 3 ? (uint32_t)n : 3);
  }
  CHECK_STATUS(muster_checkpoint_commit(one, 64, &sequence), ESTALE);
  CHECK_STATUS(muster_checkpoint_commit(one, 64, &sequence), EINVAL);
  CHECK_STATUS(muster_checkpoint_save(one, bytes, 64, &sequence), ESTALE);
  CHECK_STATUS(muster_checkpoint_save_durable(one, bytes, 64, &sequence), ESTALE);
  CHECK_STATUS(muster_checkpoint_begin(one, &bytes), ESTALE);
  CHECK_STATUS(muster_checkpoint_roll_back(one, 12, &sequence), ESTALE);
  check_list(three, 12, 3);
  // It may take over anew, and then the other is fenced.
  CHECK_STATUS(muster_checkpoint_take_over(one, &epoch), 0);
  CHECK_EQUAL(epoch, 3);
  CHECK_STATUS(checkpoint_test_save(two, 64, 13), ESTALE);
  CHECK_STATUS(checkpoint_test_save(one, 64, 13), 0);
  CHECK_STATUS(muster_checkpoint_release(two), 0);
  CHECK_STATUS(muster_checkpoint_take_over(three, &epoch), 0);
  CHECK_STATUS(checkpoint_test_save(three, 64, 14), 0);
  check_list(one, 14, 3);
  CHECK_STATUS(muster_checkpoint_close(one), 0);
  CHECK_STATUS(muster_checkpoint_close(two), 0);
  CHECK_STATUS(muster_checkpoint_close(three), 0);
  checkpoint_test_free(&place);
}

typedef struct on_thread {
  muster_checkpoint *checkpoint;
  uint64_t sequence;
  int status;
} on_thread;

static void *take_over_and_end(void *context) {
  on_thread *run = context;
  run->status = muster_checkpoint_take_over(run->checkpoint, NULL);
  if (!run->status) run->status = checkpoint_test_save(run->checkpoint, 64, run->sequence);
  return NULL;
}

static void *close_elsewhere(void *context) {
  on_thread *run = context;
  CHECK_STATUS(muster_checkpoint_release(run->checkpoint), EBUSY);
  CHECK_STATUS(checkpoint_test_save(run->checkpoint, 64, run->sequence), 0);
  run->status = muster_checkpoint_close(run->checkpoint);
  return NULL;
}

static void run_on_thread(void *(*body)(void *), on_thread *run) {
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, body, run));
  pthread_join(thread, NULL);
}

// The role is a thread's. The kernel may tell of its end a moment after the join.
static void thread_end_is_death(void) {
  checkpoint_place place = checkpoint_test_place(64, 2, 1);
  on_thread run = {.checkpoint = checkpoint_test_attach(&place), .sequence = 1};
  run_on_thread(take_over_and_end, &run);
  CHECK_STATUS(run.status, 0);
  while (muster_checkpoint_check(run.checkpoint) == 0) test_pause(10000);
  CHECK_STATUS(muster_checkpoint_check(run.checkpoint), EPERM);
  CHECK_STATUS(checkpoint_test_save(run.checkpoint, 64, 2), EPERM);
  int32_t pid;
  CHECK_STATUS(muster_checkpoint_writer_pid(run.checkpoint, &pid), EOWNERDEAD);
  CHECK_EQUAL(pid, getpid());
  CHECK_STATUS(muster_checkpoint_release(run.checkpoint), EINVAL);
  CHECK_STATUS(muster_checkpoint_take_over(run.checkpoint, NULL), 0);
  run.sequence = 2;
  run_on_thread(close_elsewhere, &run);
  CHECK_STATUS(run.status, EBUSY);
  CHECK_STATUS(muster_checkpoint_release(run.checkpoint), 0);
  // Taken anew by the same handle after its thread ended, without a release between.
  run.sequence = 3;
  run_on_thread(take_over_and_end, &run);
  while (muster_checkpoint_check(run.checkpoint) == 0) test_pause(10000);
  CHECK_STATUS(muster_checkpoint_take_over(run.checkpoint, NULL), 0);
  CHECK_STATUS(checkpoint_test_save(run.checkpoint, 64, 4), 0);
  CHECK_STATUS(muster_checkpoint_close(run.checkpoint), 0);
  checkpoint_test_free(&place);
}

static void use_inherited(void *context) {
  muster_checkpoint *checkpoint = context;
  unsigned char bytes[64] = {0};
  void *begun;
  int32_t pid;
  CHECK_STATUS(muster_checkpoint_save(checkpoint, bytes, 8, NULL), EPERM);
  CHECK_STATUS(muster_checkpoint_save_durable(checkpoint, bytes, 8, NULL), EPERM);
  CHECK_STATUS(muster_checkpoint_begin(checkpoint, &begun), EPERM);
  CHECK_STATUS(muster_checkpoint_commit(checkpoint, 8, NULL), EPERM);
  CHECK_STATUS(muster_checkpoint_commit_durable(checkpoint, 8, NULL), EPERM);
  CHECK_STATUS(muster_checkpoint_abandon(checkpoint), EPERM);
  CHECK_STATUS(muster_checkpoint_roll_back(checkpoint, 1, NULL), EPERM);
  CHECK_STATUS(muster_checkpoint_take_over(checkpoint, NULL), EPERM);
  CHECK_STATUS(muster_checkpoint_release(checkpoint), EPERM);
  CHECK_STATUS(muster_checkpoint_check(checkpoint), EPERM);
  CHECK_STATUS(muster_checkpoint_writer_pid(checkpoint, &pid), EPERM);
  CHECK_EQUAL(checkpoint_test_newest(checkpoint), 1);
  CHECK_EQUAL(muster_checkpoint_epoch(checkpoint), 1);
  check_list(checkpoint, 1, 1);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
}

static void fork_takes_no_role(void) {
  const char *name = test_name("fork");
  unsigned descriptors = count_descriptors();
  muster_checkpoint *checkpoint;
  muster_checkpoint_options options = {.shape = {.capacity = 64, .history = 2}};
  REQUIRE(!muster_checkpoint_open(name, &options, &checkpoint));
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  REQUIRE(!checkpoint_test_save(checkpoint, 64, 1));
  test_join(test_fork(use_inherited, checkpoint), 0);
  CHECK_STATUS(checkpoint_test_save(checkpoint, 64, 2), 0);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  CHECK_EQUAL(count_descriptors(), descriptors);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void by_name(void) {
  const char *name = test_name("name");
  unsigned descriptors = count_descriptors();
  muster_mismatch differs;
  muster_checkpoint *checkpoint, *other;
  muster_checkpoint_options options = {
      .shape = {.capacity = 100, .history = 4, .writers = 2}, .layout = 7, .mismatch = &differs};
  muster_checkpoint_options look = {.flags = MUSTER_REGION_READ_ONLY, .mismatch = &differs};
  CHECK_STATUS(muster_checkpoint_open(name, &look, &other), ENOENT);
  CHECK_STATUS(muster_checkpoint_open(name, &(muster_checkpoint_options){.layout = 1}, &other), EINVAL);
  CHECK_STATUS(muster_checkpoint_open(name, &options, &checkpoint), 0);
  CHECK(muster_checkpoint_region(checkpoint) != NULL);
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  REQUIRE(!checkpoint_test_save(checkpoint, 64, 1));
  CHECK_STATUS(muster_checkpoint_open(name, &look, &other), 0);
  CHECK_EQUAL(checkpoint_test_newest(other), 1);
  CHECK_STATUS(muster_checkpoint_take_over(other, NULL), EACCES);
  CHECK_STATUS(muster_checkpoint_close(other), 0);
  CHECK_STATUS(muster_checkpoint_open(name, &options, &other), 0);
  CHECK_EQUAL(checkpoint_test_newest(other), 1);
  CHECK_STATUS(muster_checkpoint_close(other), 0);
  options.layout = 8;
  CHECK_STATUS(muster_checkpoint_open(name, &options, &other), EPROTO);
  CHECK_EQUAL(differs.kind, MUSTER_MISMATCH_LAYOUT);
  options.layout = 0, options.shape.capacity = 4000;
  CHECK_STATUS(muster_checkpoint_open(name, &options, &other), EPROTO);
  CHECK_EQUAL(differs.kind, MUSTER_MISMATCH_SIZE);
  // The same bytes in all, of another shape.
  options.shape = (muster_checkpoint_shape){.capacity = 101, .history = 4, .writers = 2};
  CHECK_STATUS(muster_checkpoint_open(name, &options, &other), EPROTO);
  CHECK(differs.kind == MUSTER_MISMATCH_LAYOUT && differs.expected == 101 && differs.found == 100);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  CHECK_EQUAL(count_descriptors(), descriptors);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

TEST_SUITE(checkpoint, {"shapes", shapes, 0}, {"commits_and_reads", commits_and_reads, 0}, {"in_place", in_place, 0},
           {"lists", lists, 0}, {"roll_back", roll_back, 0}, {"acceptance_test", acceptance_test, 0},
           {"fenced", fenced, 0}, {"thread_end_is_death", thread_end_is_death, 0},
           {"fork_takes_no_role", fork_takes_no_role, 0}, {"by_name", by_name, 0});
