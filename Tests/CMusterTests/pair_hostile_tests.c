// Pairs in memory that somebody wrote into who shouldn't have.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/checkpoint.h"
#include "../../Sources/CMuster/internal/pair.h"
#include "pair_support.h"
#include "support.h"
#include "test.h"

enum { STEPS = 5, OWN = MUSTER_REGION_HEADER_SIZE + 2 * PAIR_LINE };

static int is_life(muster_pair_life life) {
  return life == MUSTER_PAIR_NOBODY || life == MUSTER_PAIR_ALIVE || life == MUSTER_PAIR_DEAD;
}

static int accept_none(const muster_pair_entry *entry, void *context) {
  (void)context;
  CHECK(entry->state_length <= PAIR_TEST_STATE && entry->output_length <= PAIR_TEST_OUTPUT);
  return 0;
}

// Every call that reads gives an error, or an entry that was committed.
static void read_all(const muster_pair *pair) {
  muster_pair_status status;
  muster_pair_entry entry;
  int looked = muster_pair_look(pair, &status);
  CHECK(looked == 0 || looked == EBADMSG || looked == EAGAIN);
  if (!looked) CHECK(is_life(status.primary_life) && is_life(status.backup_life));
  for (uint64_t before = 0; before <= STEPS + 2; before++) {
    int loaded = pair_test_load(pair, before, NULL, NULL, &entry);
    CHECK(loaded == 0 || loaded == EBADMSG || loaded == EAGAIN || loaded == ENODATA || loaded == ENOENT);
    if (!loaded) CHECK(entry.step <= STEPS && entry.epoch == 1);
  }
  int loaded = pair_test_load(pair, 0, accept_none, NULL, &entry);
  CHECK(loaded == EBADMSG || loaded == EAGAIN || loaded == ENODATA || loaded == ENOENT);
}

static void write_steps(const char *name) {
  muster_pair *pair = pair_test_lead(name, 0, 1), *backup = pair_test_open(name, 0);
  muster_pair_primary primary = pair_test_primary(1);
  muster_pair_backup standing_by = pair_test_backup(1);
  CHECK_STATUS(muster_pair_say(pair, &primary), 0);
  CHECK_STATUS(pair_test_commit(pair, 0, 0), 0);
  for (uint64_t n = 1; n <= STEPS; n++) pair_test_step(pair, n);
  REQUIRE(!muster_pair_stand_by(backup));
  CHECK_STATUS(muster_pair_say_standing_by(backup, &standing_by), 0);
  REQUIRE(!muster_pair_close(backup) && !muster_pair_close(pair));
}

// A successor goes on, unless it is told of the damage.
static int succeed(const char *name) {
  muster_pair *pair;
  muster_pair_options options = {.flags = MUSTER_REGION_ATTACH};
  uint64_t epoch;
  int seat, status = muster_pair_open(name, &options, &pair);
  CHECK(status == 0 || status == EBADMSG || status == EPROTO);
  if (status) return 0;
  CHECK_STATUS(muster_pair_stand_by(pair), 0);
  status = muster_pair_lead(pair, &epoch);
  CHECK(status == 0 || status == EBADMSG || status == EOVERFLOW);
  for (uint64_t n = 70; !status && n < 80; n++) {
    muster_pair_primary primary = pair_test_primary(n);
    CHECK_STATUS(muster_pair_try(pair, n), 0);
    CHECK_STATUS(pair_test_commit(pair, n, 0), 0);
    CHECK_STATUS(muster_pair_emitted(pair, n), 0);
    CHECK_STATUS(muster_pair_say(pair, &primary), 0);
    CHECK_EQUAL(pair_test_newest(pair), n);
    CHECK_EQUAL(pair_test_look(pair).primary.epoch, n);
  }
  CHECK_STATUS(muster_pair_seat(pair, &seat), 0);
  close(seat);
  CHECK_STATUS(muster_pair_close(pair), 0);
  return 1;
}

static void hostile_bytes(void) {
  const char *name = test_name("hostile");
  write_steps(name);
  FILE *file = fopen(shm_path(name), "r+");
  REQUIRE(file);
  static unsigned char whole[1 << 15];
  size_t size = fread(whole, 1, sizeof whole, file);
  REQUIRE(size > MUSTER_REGION_HEADER_SIZE && size < sizeof whole);
  setvbuf(file, NULL, _IONBF, 0);
  static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x7e};
  int opened = 0, refused = 0, succeeded = 0;
  for (size_t at = 0; at < size; at++) {
    for (size_t m = 0; m < sizeof masks; m++) {
      // The modules below have tests of their own, of every way at every byte.
      if ((at + at / 8 + m) % (at < OWN ? test_stride() : 4 * test_stride())) continue;
      whole[at] ^= masks[m];
      REQUIRE(!fseek(file, 0, SEEK_SET) && fwrite(whole, size, 1, file) == 1);
      whole[at] ^= masks[m];
      muster_pair *pair;
      muster_pair_options look = {.flags = MUSTER_REGION_READ_ONLY};
      int status = muster_pair_open(name, &look, &pair);
      if (status) {
        CHECK(status == EBADMSG || status == EPROTO);
        refused++;
      } else {
        opened++;
        read_all(pair);
        CHECK_STATUS(muster_pair_close(pair), 0);
      }
      succeeded += succeed(name);
      if (test_result()) REQUIRE(!printf("at byte %zu, mask %02x\n", at, masks[m]));
    }
  }
  printf("%zu bytes: %d opened, %d refused, %d succeeded\n", size, opened, refused, succeeded);
  CHECK(opened > 100 && refused > 100 && succeeded > 100);
  fclose(file);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// ---- Entries that are whole, sealed and summed, and can't be

static void forge(muster_pair *pair, const pair_entry_head *head, size_t length) {
  void *bytes;
  REQUIRE(!muster_checkpoint_begin(pair->entries, &bytes));
  memset(bytes, 0x5a, length);
  memcpy(bytes, head, length < sizeof *head ? length : sizeof *head);
  REQUIRE(!muster_checkpoint_commit(pair->entries, length, NULL));
}

static void forged_entries(void) {
  const char *name = test_name("forged");
  muster_pair *pair = pair_test_lead(name, 0, 1);
  muster_pair_entry entry;
  enum { HEAD = sizeof(pair_entry_head), ALL = HEAD + PAIR_TEST_STATE + PAIR_TEST_OUTPUT };
  struct {
    pair_entry_head head;
    size_t length;
  } wrong[] = {{{.kind = MUSTER_PAIR_STEP}, 0},
               {{.kind = MUSTER_PAIR_STEP}, HEAD - 1},
               {{.kind = MUSTER_PAIR_STEP}, HEAD + 1},
               {{.kind = 0}, HEAD},
               {{.kind = UINT32_MAX}, HEAD},
               {{.kind = MUSTER_PAIR_STEP, .state_length = 9}, HEAD + 8},
               {{.kind = MUSTER_PAIR_STEP, .state_length = UINT64_MAX, .output_length = 1}, HEAD},
               {{.kind = MUSTER_PAIR_STEP, .state_length = 1, .output_length = UINT64_MAX}, HEAD},
               // Both fit into the entry, and not into the caller's idea of it.
               {{.kind = MUSTER_PAIR_STEP, .state_length = PAIR_TEST_STATE + PAIR_TEST_OUTPUT}, ALL},
               {{.kind = MUSTER_PAIR_STEP, .state_length = 1, .output_length = PAIR_TEST_OUTPUT + 1},
                HEAD + PAIR_TEST_OUTPUT + 2}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    CHECK_STATUS(pair_test_commit(pair, i + 1, 0), 0);
    forge(pair, &wrong[i].head, wrong[i].length);
    // The one before it is found.
    CHECK_EQUAL(pair_test_newest(pair), i + 1);
    CHECK(pair_test_look(pair).entries);
  }
  for (int i = 0; i <= PAIR_TEST_HISTORY; i++) forge(pair, &wrong[0].head, 0);
  CHECK_STATUS(pair_test_load(pair, 0, NULL, NULL, &entry), ENOENT);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// ---- Scribbled on while it is used

typedef struct scribbling {
  muster_pair *pair;
  int stop;
} scribbling;

static void *scribble(void *context) {
  scribbling *run = context;
  for (uint64_t n = 1; !__atomic_load_n(&run->stop, __ATOMIC_RELAXED); n++) {
    __atomic_store_n(&run->pair->marks->tried, n, __ATOMIC_RELAXED);
    __atomic_store_n(&run->pair->marks->emitted, ~n, __ATOMIC_RELAXED);
    __atomic_add_fetch(&run->pair->entries->state->newest, 257, __ATOMIC_RELAXED);
  }
  return NULL;
}

static void hostile_peer(void) {
  const char *name = test_name("peer");
  muster_pair *pair = pair_test_open(name, 0), *reader = pair_test_open(name, MUSTER_REGION_READ_ONLY);
  scribbling run = {.pair = pair_test_open(name, 0)};
  pthread_t scribbler;
  REQUIRE(!pthread_create(&scribbler, NULL, scribble, &run));
  for (uint64_t i = 0; i < 300; i++) {
    muster_pair_status status;
    muster_pair_entry entry;
    uint64_t epoch;
    int got = muster_pair_lead(pair, &epoch);
    CHECK(got == 0 || got == EBADMSG || got == ESTALE || got == EALREADY);
    got = pair_test_commit(pair, i, 0);
    CHECK(got == 0 || got == EPERM || got == ESTALE || got == EBADMSG || got == EBUSY);
    got = muster_pair_try(pair, i);
    CHECK(got == 0 || got == EPERM || got == ESTALE);
    got = pair_test_load(reader, 0, NULL, NULL, &entry);
    CHECK(got == 0 || got == EBADMSG || got == EAGAIN || got == ENODATA || got == ENOENT);
    got = muster_pair_look(reader, &status);
    CHECK(got == 0 && status.primary_life != MUSTER_PAIR_DEAD);
    got = muster_pair_resign(pair);
    CHECK(got == 0 || got == EINVAL);
  }
  __atomic_store_n(&run.stop, 1, __ATOMIC_RELAXED);
  pthread_join(scribbler, NULL);
  CHECK_STATUS(muster_pair_close(run.pair), 0);
  CHECK_STATUS(muster_pair_close(reader), 0);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

TEST_SUITE(pair_hostile, {"hostile_bytes", hostile_bytes, 120}, {"forged_entries", forged_entries, 0},
           {"hostile_peer", hostile_peer, 0});
