// Checkpoints in memory that somebody wrote into who shouldn't have.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "../../Sources/CMuster/internal/checkpoint.h"
#include "checkpoint_support.h"
#include "test.h"

enum { CAPACITY = 40, STATES = 6 };

static int is_expected(int status) {
  return status == 0 || status == EBADMSG || status == EAGAIN || status == ENODATA || status == ENOENT ||
         status == EMSGSIZE;
}

static int accept_none(const void *bytes, const muster_checkpoint_info *info, void *context) {
  uint64_t number;
  (void)context;
  // Only whole states are shown.
  CHECK(info->length < 8 || checkpoint_test_is_state(bytes, info->length, &number));
  return 0;
}

// Every call that reads gives an error or a whole state.
static void read_all(const muster_checkpoint *checkpoint) {
  unsigned char bytes[CAPACITY];
  muster_checkpoint_info info, infos[65];
  uint64_t number;
  uint32_t kept;
  int32_t pid;
  int status = muster_checkpoint_read(checkpoint, bytes, sizeof bytes, &info);
  CHECK(is_expected(status));
  if (!status) CHECK(checkpoint_test_is_state(bytes, info.length, &number) && number == info.sequence);
  for (uint64_t n = 0; n <= STATES + 1; n++) {
    status = muster_checkpoint_read_at(checkpoint, n, bytes, sizeof bytes, &info);
    CHECK(is_expected(status));
    if (!status) CHECK(info.sequence == n && checkpoint_test_is_state(bytes, info.length, &number) && number == n);
  }
  CHECK(is_expected(muster_checkpoint_load(checkpoint, accept_none, NULL, bytes, sizeof bytes, &info)));
  status = muster_checkpoint_list(checkpoint, infos, 65, &kept);
  CHECK(is_expected(status) && kept <= 65);
  status = muster_checkpoint_writer_pid(checkpoint, &pid);
  CHECK(status == 0 || status == ENOENT || status == EOWNERDEAD);
  (void)muster_checkpoint_epoch(checkpoint);
}

static void write_states(const char *name) {
  muster_checkpoint *checkpoint;
  muster_checkpoint_options options = {.shape = {.capacity = CAPACITY, .history = 2, .writers = 1}};
  REQUIRE(!muster_checkpoint_open(name, &options, &checkpoint));
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  for (uint64_t n = 1; n <= STATES; n++) REQUIRE(!checkpoint_test_save(checkpoint, CAPACITY - (size_t)n, n));
  REQUIRE(!muster_checkpoint_close(checkpoint));
}

// A successor opens it, which renews it, and goes on, unless it is told of the damage.
static int succeed(const char *name) {
  muster_checkpoint *checkpoint;
  muster_checkpoint_options options = {.flags = MUSTER_REGION_ATTACH};
  unsigned char bytes[CAPACITY];
  muster_checkpoint_info info;
  uint64_t sequence, number;
  int status = muster_checkpoint_open(name, &options, &checkpoint);
  CHECK(status == 0 || status == EBADMSG || status == EPROTO);
  if (status) return 0;
  status = muster_checkpoint_take_over(checkpoint, NULL);
  CHECK(status == 0 || status == EBADMSG || status == EOVERFLOW);
  checkpoint_test_state(bytes, 20, 77);
  for (int i = 0; !status && i < 6; i++) {
    CHECK_STATUS(muster_checkpoint_save(checkpoint, bytes, 20, &sequence), 0);
    CHECK_STATUS(muster_checkpoint_read(checkpoint, bytes, sizeof bytes, &info), 0);
    CHECK(info.sequence == sequence && checkpoint_test_is_state(bytes, 20, &number) && number == 77);
  }
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  return 1;
}

static void hostile_bytes(void) {
  const char *name = test_name("hostile");
  char path[300];
  snprintf(path, sizeof path, "/dev/shm/%s", name);
  write_states(name);
  FILE *file = fopen(path, "r+");
  REQUIRE(file);
  static unsigned char whole[8192];
  size_t size = fread(whole, 1, sizeof whole, file);
  REQUIRE(size > MUSTER_REGION_HEADER_SIZE && size < sizeof whole);
  setvbuf(file, NULL, _IONBF, 0);
  static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x7e};
  int opened = 0, refused = 0, succeeded = 0;
  for (size_t at = 0; at < size; at++) {
    for (size_t m = 0; m < sizeof masks; m++) {
      whole[at] ^= masks[m];
      REQUIRE(!fseek(file, 0, SEEK_SET) && fwrite(whole, size, 1, file) == 1);
      whole[at] ^= masks[m];
      muster_checkpoint *checkpoint;
      muster_checkpoint_options look = {.flags = MUSTER_REGION_READ_ONLY};
      int status = muster_checkpoint_open(name, &look, &checkpoint);
      if (status) {
        CHECK(status == EBADMSG || status == EPROTO);
        refused++;
      } else {
        opened++;
        read_all(checkpoint);
        CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
      }
      succeeded += succeed(name);
      if (test_result()) REQUIRE(!printf("at byte %zu, mask %02x\n", at, masks[m]));
    }
  }
  CHECK(opened > 100 && refused > 100 && succeeded > 100);
  fclose(file);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

typedef struct scribbling {
  uint64_t *word;
  int *stop;
} scribbling;

static void *count_for_ever(void *context) {
  scribbling *run = context;
  while (!__atomic_load_n(run->stop, __ATOMIC_RELAXED)) __atomic_add_fetch(run->word, 257, __ATOMIC_RELAXED);
  return NULL;
}

// Who scribbles over the word that all go by makes calls fail, never wait.
static void hostile_writer(void) {
  int stop = 0;
  checkpoint_place place = checkpoint_test_place(CAPACITY, 2, 2);
  muster_checkpoint *checkpoint = checkpoint_test_attach(&place), *reader = checkpoint_test_reader(&place);
  unsigned char bytes[CAPACITY] = {0};
  uint32_t kept;
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  for (uint64_t n = 1; n <= STATES; n++) REQUIRE(!checkpoint_test_save(checkpoint, CAPACITY, n));
  uint64_t newest = checkpoint->state->newest;
  checkpoint->state->newest = newest ^ 1;
  CHECK_STATUS(muster_checkpoint_save(checkpoint, bytes, 8, NULL), EBADMSG);
  checkpoint->state->newest = 200;
  CHECK_STATUS(muster_checkpoint_read(reader, bytes, CAPACITY, NULL), EBADMSG);
  CHECK_STATUS(muster_checkpoint_list(reader, NULL, 0, &kept), EBADMSG);
  checkpoint->state->newest = UINT64_MAX - 255 + 1;
  CHECK_STATUS(muster_checkpoint_check(checkpoint), ESTALE);
  CHECK_STATUS(muster_checkpoint_take_over(checkpoint, NULL), EOVERFLOW);
  checkpoint->state->newest = newest;
  scribbling run = {&checkpoint->state->newest, &stop};
  pthread_t scribbler;
  REQUIRE(!pthread_create(&scribbler, NULL, count_for_ever, &run));
  for (int i = 0; i < 300; i++) {
    int status = muster_checkpoint_read(reader, bytes, CAPACITY, NULL);
    CHECK(is_expected(status));
    CHECK(is_expected(muster_checkpoint_list(reader, NULL, 0, &kept)));
    status = muster_checkpoint_take_over(checkpoint, NULL);
    CHECK(status == 0 || status == ESTALE || status == EBADMSG);
    if (status) continue;
    status = muster_checkpoint_save(checkpoint, bytes, 8, NULL);
    CHECK(status == 0 || status == ESTALE || status == EBADMSG || status == EBUSY);
    CHECK_STATUS(muster_checkpoint_release(checkpoint), 0);
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  pthread_join(scribbler, NULL);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  CHECK_STATUS(muster_checkpoint_close(reader), 0);
  checkpoint_test_free(&place);
}

// A state whose bytes are no longer those that were summed: the next older is found, and the writer goes on from there.
static void corrupt_states(void) {
  checkpoint_place place = checkpoint_test_place(CAPACITY, 3, 1);
  muster_checkpoint *checkpoint = checkpoint_test_attach(&place);
  unsigned char bytes[CAPACITY];
  muster_checkpoint_info info, infos[4];
  uint32_t kept;
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  for (uint64_t n = 1; n <= STATES; n++) REQUIRE(!checkpoint_test_save(checkpoint, CAPACITY, n));
  uint32_t newest = checkpoint_slot_of(checkpoint->state->newest);
  checkpoint_payload(checkpoint_slot_at(checkpoint, newest))[7] ^= 4;
  CHECK_STATUS(muster_checkpoint_read(checkpoint, bytes, CAPACITY, &info), 0);
  CHECK_EQUAL(info.sequence, STATES - 1);
  CHECK_STATUS(muster_checkpoint_read_at(checkpoint, STATES, bytes, CAPACITY, &info), EBADMSG);
  CHECK_STATUS(muster_checkpoint_roll_back(checkpoint, STATES, NULL), EBADMSG);
  CHECK_STATUS(muster_checkpoint_list(checkpoint, infos, 4, &kept), 0);
  CHECK(kept == 4 && !infos[0].whole && infos[0].sequence == STATES && infos[1].whole);
  CHECK_STATUS(muster_checkpoint_load(checkpoint, NULL, NULL, bytes, CAPACITY, &info), 0);
  CHECK_EQUAL(info.sequence, STATES - 1);
  CHECK_STATUS(muster_checkpoint_release(checkpoint), 0);
  CHECK_STATUS(muster_checkpoint_take_over(checkpoint, NULL), 0);
  CHECK_STATUS(checkpoint_test_save(checkpoint, CAPACITY, STATES), 0);
  CHECK_EQUAL(checkpoint_test_newest(checkpoint), STATES);
  // All of them: there is no state to be read, and a writer begins anew.
  for (uint32_t i = 0; i < checkpoint->count; i++) checkpoint_slot_at(checkpoint, i)->time++;
  CHECK_STATUS(muster_checkpoint_read(checkpoint, bytes, CAPACITY, &info), EBADMSG);
  CHECK_STATUS(muster_checkpoint_list(checkpoint, infos, 4, &kept), 0);
  CHECK_STATUS(muster_checkpoint_release(checkpoint), 0);
  CHECK_STATUS(muster_checkpoint_take_over(checkpoint, NULL), 0);
  for (uint64_t n = 1; n <= 10; n++) CHECK_STATUS(checkpoint_test_save(checkpoint, CAPACITY, n), 0);
  CHECK_EQUAL(checkpoint_test_newest(checkpoint), 10);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  checkpoint_test_free(&place);
}

TEST_SUITE(checkpoint_hostile, {"hostile_bytes", hostile_bytes, 60}, {"hostile_writer", hostile_writer, 0},
           {"corrupt_states", corrupt_states, 0});
