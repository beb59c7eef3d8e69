// Pairs in a file: generations that die, durable commits, a machine that was restarted.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/checkpoint.h"
#include "../../Sources/CMuster/internal/pair.h"
#include "../../Sources/CMuster/internal/region_layout.h"
#include "../../Sources/CMuster/internal/seqlock.h"
#include "pair_support.h"
#include "support.h"
#include "test.h"

enum { EACH = 5, FILE_OPEN = MUSTER_REGION_OPEN | MUSTER_REGION_FILE,
       FILE_LOOK = MUSTER_REGION_READ_ONLY | MUSTER_REGION_FILE };

static const char *path_of(const char *tag) {
  static char path[300];
  snprintf(path, sizeof path, "%s/%s", test_folder(), tag);
  return path;
}

// Each generation goes on where the one before was killed: with a step begun, and the last output in doubt.
static void work_and_die(void *context) {
  muster_pair *pair = pair_test_open(context, FILE_OPEN);
  muster_pair_entry entry = {0};
  uint64_t epoch;
  REQUIRE(!muster_pair_lead(pair, &epoch));
  muster_pair_status status = pair_test_look(pair);
  int loaded = pair_test_load(pair, 0, NULL, NULL, &entry);
  CHECK_STATUS(loaded, epoch == 1 ? ENODATA : 0);
  if (!loaded) {
    CHECK_EQUAL(entry.step, (epoch - 1) * EACH);
    CHECK(status.tried == entry.step + 1 && status.committed == entry.step && status.emitted == entry.step - 1);
    CHECK_EQUAL(status.primary.epoch, epoch - 1);
    CHECK_STATUS(muster_pair_emitted(pair, entry.step), 0);
  } else {
    entry.step = 0;
    CHECK_STATUS(pair_test_commit(pair, 0, 1), 0);
  }
  muster_pair_primary said = pair_test_primary(epoch);
  CHECK_STATUS(muster_pair_say(pair, &said), 0);
  for (uint64_t n = entry.step + 1; n <= entry.step + EACH; n++) {
    CHECK_STATUS(muster_pair_try(pair, n), 0);
    CHECK_STATUS(pair_test_commit(pair, n, 1), 0);
    if (n < entry.step + EACH) CHECK_STATUS(muster_pair_emitted(pair, n), 0);
  }
  CHECK_STATUS(muster_pair_try(pair, entry.step + EACH + 1), 0);
  if (test_result()) return;
  raise(SIGKILL);
}

static void generations(void) {
  const char *path = path_of("generations");
  unsigned descriptors = count_descriptors();
  for (int generation = 0; generation < 6; generation++)
    test_join(test_fork(work_and_die, (void *)(uintptr_t)path), SIGKILL);
  muster_pair *pair = pair_test_open(path, FILE_LOOK);
  muster_pair_status status = pair_test_look(pair);
  CHECK(status.epoch == 6 && status.primary.epoch == 6 && status.tried == 31 && status.committed == 30);
  CHECK_EQUAL(status.primary_life, MUSTER_PAIR_DEAD);
  CHECK_EQUAL(pair_test_newest(pair), 30);
  CHECK_STATUS(muster_pair_close(pair), 0);
  // Whoever opens it to work renews it. How the last one ended is told all the same.
  pair = pair_test_open(path, FILE_OPEN);
  status = pair_test_look(pair);
  CHECK(status.primary_life == MUSTER_PAIR_DEAD && status.emitted == 29);
  uint64_t number;
  CHECK(pair_test_is_said(&status.primary, sizeof status.primary, &number) && number == 6);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_EQUAL(count_descriptors(), descriptors);
  CHECK_STATUS(muster_region_remove(path, MUSTER_REGION_FILE), 0);
}

// ---- A disk that takes no more

static int flushes;
static int count_flushes(const void *address, size_t size) {
  (void)address, (void)size;
  flushes++;
  return 0;
}
static int fail_to_flush(const void *address, size_t size) { return (void)address, (void)size, ENOSPC; }

static void durable_commits(void) {
  const char *path = path_of("durable");
  muster_pair *pair = pair_test_lead(path, FILE_OPEN, 1);
  int (*flush)(const void *, size_t) = muster_checkpoint_flush;
  CHECK_STATUS(pair_test_commit(pair, 1, 1), 0);
  muster_checkpoint_flush = count_flushes;
  CHECK_STATUS(pair_test_commit(pair, 2, 0), 0);
  CHECK_EQUAL(flushes, 0);
  CHECK_STATUS(pair_test_commit(pair, 3, 1), 0);
  CHECK(flushes > 0);
  muster_checkpoint_flush = fail_to_flush;
  CHECK_STATUS(pair_test_commit(pair, 4, 1), ENOSPC);
  // Nothing of it is to be seen.
  CHECK_EQUAL(pair_test_newest(pair), 3);
  CHECK_EQUAL(pair_test_look(pair).committed, 3);
  CHECK_STATUS(muster_pair_resign(pair), 0);
  uint64_t epoch;
  CHECK_STATUS(muster_pair_lead(pair, &epoch), ENOSPC);
  CHECK_EQUAL(pair_test_look(pair).primary_life, MUSTER_PAIR_NOBODY);
  CHECK_STATUS(muster_pair_try(pair, 5), EPERM);
  CHECK_STATUS(muster_pair_resign(pair), EINVAL);
  muster_checkpoint_flush = flush;
  CHECK_STATUS(muster_pair_lead(pair, &epoch), 0);
  CHECK_STATUS(pair_test_commit(pair, 4, 1), 0);
  CHECK_EQUAL(pair_test_newest(pair), 4);
  CHECK_STATUS(muster_pair_close(pair), 0);
}

// ---- The machine was restarted: locks are as its end left them, and each page may be of another moment

static void write_at(const char *path, size_t at, const void *bytes, size_t size) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  REQUIRE(file >= 0 && pwrite(file, bytes, size, (off_t)at) == (ssize_t)size);
  close(file);
}

// As if the machine had stopped while a primary and a backup lived: a copy of the file, of another boot.
static void stop_machine(const char *from, const char *to) {
  static unsigned char whole[1 << 17];
  FILE *file = fopen(from, "r");
  REQUIRE(file);
  size_t size = fread(whole, 1, sizeof whole, file);
  REQUIRE(size > 0 && size < sizeof whole);
  fclose(file);
  memset(whole + offsetof(region_header, boot), 0x11, sizeof((region_header *)0)->boot);
  write_file(to, whole, size);
}

static void restarted_machine(void) {
  char path[300], cut[300];
  snprintf(path, sizeof path, "%s/before", test_folder());
  snprintf(cut, sizeof cut, "%s/after", test_folder());
  muster_pair *pair = pair_test_lead(path, FILE_OPEN, 1), *backup = pair_test_open(path, FILE_OPEN);
  muster_pair_primary said = pair_test_primary(4);
  uint64_t epoch, number;
  REQUIRE(!muster_pair_stand_by(backup));
  CHECK_STATUS(muster_pair_say(pair, &said), 0);
  for (uint64_t n = 0; n <= 3; n++) CHECK_STATUS(pair_test_commit(pair, n, 1), 0);
  stop_machine(path, cut);
  // Who only looks is not told that the two live.
  muster_pair *reader = pair_test_open(cut, FILE_LOOK);
  muster_pair_status status = pair_test_look(reader);
  CHECK(status.primary_life == MUSTER_PAIR_DEAD && status.backup_life == MUSTER_PAIR_DEAD);
  CHECK_EQUAL(pair_test_newest(reader), 3);
  muster_pair *next = pair_test_open(cut, FILE_OPEN);
  status = pair_test_look(next);
  CHECK(status.primary_life == MUSTER_PAIR_DEAD && status.backup_life == MUSTER_PAIR_DEAD);
  // Said is what was said, but for times of a clock that has begun anew.
  for (size_t k = 0; k < MUSTER_PAIR_TAKEOVERS_MAX; k++) CHECK_EQUAL(status.primary.recent[k], 0);
  memcpy(status.primary.recent, said.recent, sizeof said.recent);
  CHECK(pair_test_is_said(&status.primary, sizeof status.primary, &number) && number == 4);
  CHECK_STATUS(muster_pair_lead(next, &epoch), 0);
  CHECK_EQUAL(epoch, 2);
  CHECK_EQUAL(pair_test_look(reader).primary_life, MUSTER_PAIR_ALIVE);
  CHECK_EQUAL(pair_test_newest(next), 3);
  CHECK_STATUS(muster_pair_close(next), 0);
  CHECK_STATUS(muster_pair_close(reader), 0);
  CHECK_STATUS(muster_pair_close(backup), 0);
  CHECK_STATUS(muster_pair_close(pair), 0);
}

static size_t offset_of(const muster_pair *pair, const void *at) {
  return (size_t)((const unsigned char *)at - (const unsigned char *)muster_region_payload(pair->region)) +
         MUSTER_REGION_HEADER_SIZE;
}

// Of what was said no copy has the stamp that the other page names: it says nothing any more, and the entries are there.
static void torn_words(void) {
  char path[300], cut[300];
  snprintf(path, sizeof path, "%s/before", test_folder());
  snprintf(cut, sizeof cut, "%s/after", test_folder());
  muster_pair *pair = pair_test_lead(path, FILE_OPEN, 1);
  muster_pair_primary said = pair_test_primary(4);
  uint64_t epoch, number, late = 1000;
  CHECK_STATUS(muster_pair_say(pair, &said), 0);
  for (uint64_t n = 0; n <= 3; n++) CHECK_STATUS(pair_test_commit(pair, n, 1), 0);
  size_t latest = offset_of(pair, &pair->primary->state->latest);
  CHECK_STATUS(muster_pair_close(pair), 0);
  stop_machine(path, cut);
  write_at(cut, latest, &late, sizeof late);
  pair = pair_test_open(cut, FILE_LOOK);
  muster_pair_status status;
  CHECK_STATUS(muster_pair_look(pair, &status), EBADMSG);
  CHECK_STATUS(muster_pair_close(pair), 0);
  pair = pair_test_open(cut, FILE_OPEN);
  status = pair_test_look(pair);
  CHECK(pair_test_is_said(&status.primary, sizeof status.primary, &number) && number == 0);
  CHECK_STATUS(muster_pair_lead(pair, &epoch), 0);
  CHECK_STATUS(muster_pair_say(pair, &said), 0);
  CHECK_EQUAL(pair_test_newest(pair), 3);
  CHECK_STATUS(muster_pair_close(pair), 0);
}

TEST_SUITE(pair_disk, {"generations", generations, 0}, {"durable_commits", durable_commits, 0},
           {"restarted_machine", restarted_machine, 0}, {"torn_words", torn_words, 0});
