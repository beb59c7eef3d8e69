// Writers that are killed, stopped, fenced and woken, in other processes; readers see whole states in order throughout.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint_support.h"
#include "support.h"
#include "test.h"

enum { LENGTH = 600, HISTORY = 3, WRITERS = 4, COMPETITORS = 3, READERS = 2, COMMITS = 1 << 22 };

typedef struct scene {
  checkpoint_place place;
  uint32_t *gate;      // of what the test is about
  uint32_t *epoch_of;  // by sequence: the epoch that committed it
} scene;

static void state_of(unsigned char *bytes, uint64_t sequence, uint64_t epoch) {
  checkpoint_test_state(bytes, LENGTH, epoch << 32 | sequence);
}

static void check_state(const unsigned char *bytes, const muster_checkpoint_info *info) {
  uint64_t number;
  CHECK_EQUAL(info->length, LENGTH);
  CHECK(checkpoint_test_is_state(bytes, LENGTH, &number));
  CHECK(number == (info->epoch << 32 | info->sequence));
}

// Each sequence is committed by one epoch, and seen as no other's.
static void note_commit(const scene *at, uint64_t sequence, uint64_t epoch) {
  if (sequence >= COMMITS) return;
  uint32_t none = 0;
  if (__atomic_compare_exchange_n(&at->epoch_of[sequence], &none, (uint32_t)epoch, 0, __ATOMIC_ACQ_REL,
                                  __ATOMIC_ACQUIRE))
    return;
  CHECK_EQUAL(none, epoch);
}

static int save_as(muster_checkpoint *checkpoint, uint64_t sequence, uint64_t epoch) {
  unsigned char bytes[LENGTH];
  uint64_t got;
  state_of(bytes, sequence, epoch);
  int status = muster_checkpoint_save(checkpoint, bytes, LENGTH, &got);
  if (!status) CHECK_EQUAL(got, sequence);
  return status;
}

static uint64_t read_newest(const muster_checkpoint *checkpoint, muster_checkpoint_info *info) {
  unsigned char bytes[LENGTH];
  int status = muster_checkpoint_read(checkpoint, bytes, LENGTH, info);
  if (status == ENODATA) return info->epoch = 0, info->sequence = 0;
  CHECK_STATUS(status, 0);
  check_state(bytes, info);
  return info->sequence;
}

static void compete(void *context) {
  const scene *at = context;
  muster_checkpoint *checkpoint = checkpoint_test_attach(&at->place);
  muster_checkpoint_info info;
  uint64_t random = (uint64_t)getpid(), epoch, sequence;
  while (!test_result()) {
    int status = muster_checkpoint_take_over(checkpoint, &epoch);
    if (status == ESTALE || status == EBUSY) continue;
    CHECK_STATUS(status, 0);
    // What is read may be of one who fenced us meanwhile: then nothing is committed.
    sequence = read_newest(checkpoint, &info);
    for (uint64_t left = 1 + test_random(&random) % 60; !status && left; left--) {
      status = save_as(checkpoint, sequence + 1, epoch);
      if (!status) note_commit(at, ++sequence, epoch);
      else if (status != ESTALE) CHECK_STATUS(status, 0);
    }
    // A fenced one may also take over anew at once.
    if (!status || test_random(&random) % 2) CHECK_STATUS(muster_checkpoint_release(checkpoint), 0);
  }
}

static int is_later(const muster_checkpoint_info *one, const muster_checkpoint_info *other) {
  return one->sequence > other->sequence && one->epoch >= other->epoch;
}

static void follow(void *context) {
  const scene *at = context;
  muster_checkpoint *checkpoint = checkpoint_test_reader(&at->place);
  muster_checkpoint_info last = {0}, info, infos[HISTORY + 1];
  while (!test_result()) {
    if (!read_newest(checkpoint, &info)) continue;
    note_commit(at, info.sequence, info.epoch);
    CHECK(is_later(&info, &last) || (info.sequence == last.sequence && info.epoch == last.epoch));
    last = info;
    uint32_t kept;
    int status = muster_checkpoint_list(checkpoint, infos, HISTORY + 1, &kept);
    if (status == EAGAIN) continue;
    CHECK_STATUS(status, 0);
    for (uint32_t k = 0; k < kept; k++) {
      CHECK(infos[k].whole);
      note_commit(at, infos[k].sequence, infos[k].epoch);
      if (k) CHECK(is_later(&infos[k - 1], &infos[k]));
    }
  }
}

static void check_end(const scene *at) {
  muster_checkpoint *checkpoint = checkpoint_test_attach(&at->place);
  muster_checkpoint_info infos[HISTORY + 1];
  uint64_t epoch;
  uint32_t kept;
  REQUIRE(!muster_checkpoint_take_over(checkpoint, &epoch));
  uint64_t sequence = read_newest(checkpoint, infos);
  printf("%llu commits in %llu epochs\n", (unsigned long long)sequence, (unsigned long long)epoch);
  CHECK(sequence > HISTORY);
  CHECK_STATUS(muster_checkpoint_list(checkpoint, infos, HISTORY + 1, &kept), 0);
  CHECK_EQUAL(kept, HISTORY + 1);
  for (uint32_t k = 0; k < kept; k++) CHECK(infos[k].whole && infos[k].sequence == sequence - k);
  for (int i = 0; i < 3 * (HISTORY + 1 + WRITERS); i++) CHECK_STATUS(save_as(checkpoint, ++sequence, epoch), 0);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
}

static void killed_and_stopped_at_random_points(void) {
  uint64_t random = test_seed();
  scene at = {.place = checkpoint_test_place(LENGTH, HISTORY, WRITERS),
              .epoch_of = shared_memory(COMMITS * sizeof(uint32_t))};
  pid_t writers[COMPETITORS], readers[READERS];
  int stopped[COMPETITORS] = {0};
  for (int w = 0; w < COMPETITORS; w++) writers[w] = test_fork(compete, &at);
  for (int r = 0; r < READERS; r++) readers[r] = test_fork(follow, &at);
  for (int round = 0; round < 300; round++) {
    test_pause((int64_t)(test_random(&random) % 3000000));
    int w = (int)(test_random(&random) % COMPETITORS);
    if (stopped[w]) {
      kill(writers[w], SIGCONT);
      stopped[w] = 0;
    } else if (test_random(&random) % 2) {
      stop_process(writers[w]);
      stopped[w] = 1;
    } else {
      kill_process(writers[w]);
      writers[w] = test_fork(compete, &at);
    }
  }
  for (int w = 0; w < COMPETITORS; w++) kill_process(writers[w]);
  for (int r = 0; r < READERS; r++) kill_process(readers[r]);
  check_end(&at);
  munmap(at.epoch_of, COMMITS * sizeof(uint32_t));
  checkpoint_test_free(&at.place);
}

// ---- A writer that is stopped in the midst, fenced off, and goes on when its successors have used every slot.

static void begin_and_wait(void *context) {
  const scene *at = context;
  muster_checkpoint *checkpoint = checkpoint_test_attach(&at->place);
  void *bytes;
  uint64_t sequence;
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  REQUIRE(!muster_checkpoint_begin(checkpoint, &bytes));
  memset(bytes, 0x55, LENGTH / 2);
  gate_open(at->gate, 1);
  gate_wait(at->gate, 2);
  memset(bytes, 0x77, LENGTH);
  CHECK_STATUS(muster_checkpoint_commit(checkpoint, LENGTH, &sequence), ESTALE);
  CHECK_STATUS(muster_checkpoint_save(checkpoint, bytes, LENGTH, &sequence), ESTALE);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
}

static void fenced_while_stopped(void) {
  scene at = {.place = checkpoint_test_place(LENGTH, HISTORY, 3), .gate = shared_memory(sizeof(uint32_t))};
  muster_checkpoint *checkpoint = checkpoint_test_attach(&at.place);
  muster_checkpoint_info info;
  uint64_t epoch;
  int32_t pid;
  REQUIRE(!muster_checkpoint_take_over(checkpoint, &epoch));
  for (uint64_t n = 1; n <= 5; n++) REQUIRE(!save_as(checkpoint, n, epoch));
  REQUIRE(!muster_checkpoint_release(checkpoint));
  pid_t stopped = test_fork(begin_and_wait, &at);
  gate_wait(at.gate, 1);
  stop_process(stopped);
  CHECK_STATUS(muster_checkpoint_writer_pid(checkpoint, &pid), 0);
  CHECK_EQUAL(pid, stopped);
  CHECK_STATUS(muster_checkpoint_take_over(checkpoint, &epoch), 0);
  CHECK_EQUAL(epoch, 3);
  for (uint64_t n = 6; n <= 40; n++) CHECK_STATUS(save_as(checkpoint, n, epoch), 0);
  gate_open(at.gate, 2);
  kill(stopped, SIGCONT);
  test_join(stopped, 0);
  CHECK_EQUAL(read_newest(checkpoint, &info), 40);
  CHECK_EQUAL(info.epoch, 3);
  for (uint64_t n = 41; n <= 60; n++) CHECK_STATUS(save_as(checkpoint, n, epoch), 0);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  munmap(at.gate, sizeof(uint32_t));
  checkpoint_test_free(&at.place);
}

// As many stopped writers as there are places: the next is told, and gets in when one of them is dead.
static void begin_and_stop(void *context) {
  const scene *at = context;
  muster_checkpoint *checkpoint = checkpoint_test_attach(&at->place);
  void *bytes;
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  REQUIRE(!muster_checkpoint_begin(checkpoint, &bytes));
  memset(bytes, 0x55, LENGTH);
  __atomic_add_fetch(at->gate, 1, __ATOMIC_RELEASE);
  gate_open(at->gate, __atomic_load_n(at->gate, __ATOMIC_ACQUIRE));
  for (;;) pause();
}

static void every_place_is_held(void) {
  scene at = {.place = checkpoint_test_place(LENGTH, HISTORY, 3), .gate = shared_memory(sizeof(uint32_t))};
  muster_checkpoint *checkpoint = checkpoint_test_attach(&at.place);
  pid_t stopped[3];
  uint64_t epoch;
  int32_t pid;
  for (uint32_t k = 0; k < 3; k++) {
    if (k < 2) {
      REQUIRE(!muster_checkpoint_take_over(checkpoint, &epoch));
      for (uint64_t n = 1; n <= 20; n++) CHECK_STATUS(save_as(checkpoint, k * 20 + n, epoch), 0);
      REQUIRE(!muster_checkpoint_release(checkpoint));
    }
    stopped[k] = test_fork(begin_and_stop, &at);
    gate_pass(at.gate, k + 1);
    stop_process(stopped[k]);
  }
  CHECK_STATUS(muster_checkpoint_take_over(checkpoint, &epoch), EBUSY);
  CHECK_STATUS(muster_checkpoint_writer_pid(checkpoint, &pid), 0);
  CHECK_EQUAL(pid, stopped[2]);
  kill_process(stopped[2]);
  CHECK_STATUS(muster_checkpoint_writer_pid(checkpoint, &pid), EOWNERDEAD);
  CHECK_EQUAL(pid, stopped[2]);
  // The two others hold a slot each, for ever; there is one left for each commit.
  CHECK_STATUS(muster_checkpoint_take_over(checkpoint, &epoch), 0);
  for (uint64_t n = 41; n <= 80; n++) CHECK_STATUS(save_as(checkpoint, n, epoch), 0);
  kill_process(stopped[0]);
  kill_process(stopped[1]);
  for (uint64_t n = 81; n <= 100; n++) CHECK_STATUS(save_as(checkpoint, n, epoch), 0);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  munmap(at.gate, sizeof(uint32_t));
  checkpoint_test_free(&at.place);
}

// ---- A writer at full speed, and readers of whom each read is whole.

static void write_on(void *context) {
  const scene *at = context;
  muster_checkpoint *checkpoint = checkpoint_test_attach(&at->place);
  uint64_t epoch;
  REQUIRE(!muster_checkpoint_take_over(checkpoint, &epoch));
  for (uint64_t n = 1;; n++) REQUIRE(!save_as(checkpoint, n, epoch));
}

static void reads_under_a_writer(void) {
  scene at = {.place = checkpoint_test_place(LENGTH, 2, 1)};
  muster_checkpoint *reader = checkpoint_test_reader(&at.place);
  pid_t writer = test_fork(write_on, &at);
  muster_checkpoint_info info;
  uint64_t last = 0;
  while (last < 20000) {
    uint64_t sequence = read_newest(reader, &info);
    CHECK(sequence >= last);
    last = sequence;
  }
  kill_process(writer);
  uint64_t end = read_newest(reader, &info);
  CHECK(end >= last);
  CHECK_EQUAL(read_newest(reader, &info), end);
  CHECK_STATUS(muster_checkpoint_close(reader), 0);
  checkpoint_test_free(&at.place);
}

// ---- A file outlives its processes.

static void write_file_and_die(void *context) {
  muster_checkpoint *checkpoint;
  muster_checkpoint_options options = {.shape = {.capacity = LENGTH, .history = HISTORY},
                                       .flags = MUSTER_REGION_OPEN | MUSTER_REGION_FILE};
  muster_checkpoint_info info;
  void *bytes;
  uint64_t epoch;
  REQUIRE(!muster_checkpoint_open(context, &options, &checkpoint));
  REQUIRE(!muster_checkpoint_take_over(checkpoint, &epoch));
  uint64_t sequence = read_newest(checkpoint, &info);
  CHECK_EQUAL(sequence, (epoch - 1) * 5);
  for (uint64_t n = 1; n <= 5; n++) {
    unsigned char state[LENGTH];
    state_of(state, sequence + n, epoch);
    CHECK_STATUS(muster_checkpoint_save_durable(checkpoint, state, LENGTH, NULL), 0);
  }
  REQUIRE(!muster_checkpoint_begin(checkpoint, &bytes));
  memset(bytes, 0x99, LENGTH);
  if (test_result()) return;
  raise(SIGKILL);
}

static void files_keep_states(void) {
  char path[300];
  snprintf(path, sizeof path, "%s/states", test_folder());
  unsigned descriptors = count_descriptors();
  for (int generation = 0; generation < 6; generation++)
    test_join(test_fork(write_file_and_die, path), SIGKILL);
  muster_checkpoint *checkpoint;
  muster_checkpoint_options look = {.flags = MUSTER_REGION_READ_ONLY | MUSTER_REGION_FILE};
  muster_checkpoint_info info, infos[HISTORY + 1];
  uint32_t kept;
  REQUIRE(!muster_checkpoint_open(path, &look, &checkpoint));
  CHECK_EQUAL(read_newest(checkpoint, &info), 30);
  CHECK_EQUAL(info.epoch, 6);
  CHECK_STATUS(muster_checkpoint_list(checkpoint, infos, HISTORY + 1, &kept), 0);
  CHECK(kept == HISTORY + 1 && infos[HISTORY].sequence == 30 - HISTORY);
  muster_checkpoint_shape shape;
  muster_checkpoint_shape_of(checkpoint, &shape);
  CHECK_EQUAL(shape.flags, MUSTER_CHECKPOINT_PAGES);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  CHECK_EQUAL(count_descriptors(), descriptors);
  CHECK_STATUS(muster_region_remove(path, MUSTER_REGION_FILE), 0);
}

TEST_SUITE(checkpoint_death, {"killed_and_stopped_at_random_points", killed_and_stopped_at_random_points, 60},
           {"fenced_while_stopped", fenced_while_stopped, 0}, {"every_place_is_held", every_place_is_held, 0},
           {"reads_under_a_writer", reads_under_a_writer, 60}, {"files_keep_states", files_keep_states, 0});
