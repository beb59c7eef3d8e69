// Seqlocks in memory that somebody wrote into who shouldn't have.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "muster/seqlock.h"
#include "seqlock_support.h"
#include "test.h"

// Each byte of a whole region, header and payload, in turn set to a few other values: whoever opens it read-only gets
// an error or a value, in the time of the test.
static void hostile_bytes(void) {
  const char *name = test_name("hostile");
  char path[300];
  snprintf(path, sizeof path, "/dev/shm/%s", name);
  muster_seqlock *counters;
  const char *label = "label";
  muster_seqlock_options options = {.words = 3, .labels = &label, .label_count = 1};
  REQUIRE(!muster_seqlock_open(name, &options, &counters));
  REQUIRE(!muster_seqlock_claim(counters, NULL) && !muster_seqlock_add(counters, 1, 7));
  REQUIRE(!muster_seqlock_close(counters));
  FILE *file = fopen(path, "r+");
  REQUIRE(file);
  static unsigned char whole[8192];
  size_t size = fread(whole, 1, sizeof whole, file);
  REQUIRE(size == MUSTER_REGION_HEADER_SIZE + muster_seqlock_size(3));
  setvbuf(file, NULL, _IONBF, 0);
  static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x7e};
  int opened = 0, refused = 0;
  for (size_t at = 0; at < size; at++) {
    for (size_t m = 0; m < sizeof masks; m++) {
      unsigned char changed = whole[at] ^ masks[m];
      REQUIRE(!fseek(file, (long)at, SEEK_SET) && fwrite(&changed, 1, 1, file) == 1);
      int status = muster_seqlock_open(name, &(muster_seqlock_options){.flags = MUSTER_REGION_READ_ONLY}, &counters);
      if (status) {
        CHECK(status == EBADMSG || status == EPROTO);
        refused++;
        continue;
      }
      opened++;
      uint64_t words[3], sequence;
      status = muster_seqlock_read(counters, words, 3, &sequence);
      CHECK(status == 0 || status == EBADMSG);
      CHECK(muster_seqlock_words(counters) == 3);
      char text[MUSTER_SEQLOCK_LABEL_SIZE];
      for (uint32_t i = 0; i < 3; i++) CHECK(!muster_seqlock_label(counters, i, text) && strlen(text) < sizeof text);
      uint32_t index;
      int32_t pid;
      (void)!muster_seqlock_find(counters, "label", &index);
      (void)!muster_seqlock_writer_pid(counters, &pid);
      status = muster_seqlock_wait(counters, sequence, 0, NULL);
      REQUIRE(status == 0 || status == ETIMEDOUT || status == EOWNERDEAD || status == EBADMSG);
      CHECK_STATUS(muster_seqlock_close(counters), 0);
    }
    REQUIRE(!fseek(file, (long)at, SEEK_SET) && fwrite(&whole[at], 1, 1, file) == 1);
  }
  CHECK(opened > 100 && refused > 100);
  fclose(file);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

typedef struct scribbling {
  muster_seqlock *counters;
  int *stop;
} scribbling;

static void *count_for_ever(void *context) {
  scribbling *run = context;
  uint64_t *latest = (uint64_t *)(uintptr_t)muster_seqlock_reader_of(run->counters)->latest;
  while (!__atomic_load_n(run->stop, __ATOMIC_RELAXED)) __atomic_store_n(latest, *latest + 1, __ATOMIC_RELAXED);
  return NULL;
}

// Who scribbles over `latest`, once or without end, makes reads fail, never wait.
static void hostile_writer(void) {
  int stop = 0;
  scribbling run = {.stop = &stop};
  void *memory = seqlock_test_memory(2, &run.counters);
  uint64_t *latest = (uint64_t *)(uintptr_t)muster_seqlock_reader_of(run.counters)->latest, words[2];
  *latest = 40;
  CHECK_STATUS(muster_seqlock_read(run.counters, words, 2, NULL), EBADMSG);
  CHECK_STATUS(muster_seqlock_claim(run.counters, NULL), EBADMSG);
  CHECK_STATUS(muster_seqlock_claim(run.counters, NULL), EBADMSG);
  *latest = 1;
  pthread_t scribbler;
  REQUIRE(!pthread_create(&scribbler, NULL, count_for_ever, &run));
  while (__atomic_load_n(latest, __ATOMIC_RELAXED) < 1000) test_pause(1000);
  for (int i = 0; i < 20; i++) {
    int status = muster_seqlock_read(run.counters, words, 2, NULL);
    CHECK(status == EAGAIN || status == EBADMSG);
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  pthread_join(scribbler, NULL);
  CHECK_STATUS(muster_seqlock_close(run.counters), 0);
  munmap(memory, muster_seqlock_size(2));
}

TEST_SUITE(seqlock_hostile, {"hostile_bytes", hostile_bytes, 60}, {"hostile_writer", hostile_writer, 0});
