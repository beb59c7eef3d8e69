// What one process or a few living ones see of a seqlock. Deaths are in seqlock_death_tests.c.
// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "muster/group.h"
#include "muster/seqlock.h"
#include "seqlock_support.h"
#include "test.h"

static void counts_and_labels(void) {
  const char *name = test_name("counts");
  const char *labels[] = {"requests", NULL, "a label that has more than its thirty-one bytes"};
  muster_seqlock_options options = {.words = 4, .labels = labels, .label_count = 3};
  muster_seqlock *counters;
  REQUIRE(!muster_seqlock_open(name, &options, &counters));
  uint64_t words[4] = {9, 9, 9, 9}, sequence = 9;
  CHECK_STATUS(muster_seqlock_read(counters, words, 4, &sequence), 0);
  CHECK(sequence == 0 && words[0] == 0 && words[3] == 0);
  CHECK_STATUS(muster_seqlock_write(counters, words, 4), EPERM);
  CHECK_STATUS(muster_seqlock_add(counters, 0, 1), EPERM);
  CHECK_STATUS(muster_seqlock_set(counters, 0, 1), EPERM);
  CHECK_STATUS(muster_seqlock_release(counters), EINVAL);
  muster_seqlock_claimant found = {7, 7, 7};
  CHECK_STATUS(muster_seqlock_claim(counters, &found), 0);
  CHECK(found.sequence == 0 && found.pid == 0 && found.died == 0);
  CHECK_STATUS(muster_seqlock_claim(counters, NULL), EALREADY);
  CHECK_STATUS(muster_seqlock_write(counters, (uint64_t[]){1, 2, 3, 4}, 4), 0);
  CHECK_STATUS(muster_seqlock_add(counters, 1, 40), 0);
  CHECK_STATUS(muster_seqlock_add(counters, 3, UINT64_MAX), 0);
  CHECK_STATUS(muster_seqlock_set(counters, 0, 100), 0);
  CHECK_STATUS(muster_seqlock_write(counters, (uint64_t[]){101, 43}, 2), 0);
  CHECK_STATUS(muster_seqlock_write(counters, words, 5), EINVAL);
  CHECK_STATUS(muster_seqlock_add(counters, 4, 1), EINVAL);
  CHECK_STATUS(muster_seqlock_read(counters, words, 4, &sequence), 0);
  CHECK_EQUAL(sequence, 5);
  CHECK(words[0] == 101 && words[1] == 43 && words[2] == 3 && words[3] == 3);
  CHECK_STATUS(muster_seqlock_read(counters, words, 5, NULL), EINVAL);
  CHECK_STATUS(muster_seqlock_read_word(counters, 1, words, NULL), 0);
  CHECK_EQUAL(words[0], 43);
  CHECK_STATUS(muster_seqlock_read_word(counters, 4, words, NULL), EINVAL);
  CHECK_EQUAL(muster_seqlock_sequence(counters), 5);
  char label[MUSTER_SEQLOCK_LABEL_SIZE];
  uint32_t index = 9;
  CHECK(!muster_seqlock_label(counters, 0, label) && !strcmp(label, "requests"));
  CHECK(!muster_seqlock_label(counters, 1, label) && !*label);
  CHECK(!muster_seqlock_label(counters, 2, label) && !strcmp(label, "a label that has more than its "));
  CHECK_STATUS(muster_seqlock_label(counters, 4, label), EINVAL);
  CHECK(!muster_seqlock_find(counters, "requests", &index) && index == 0);
  CHECK_STATUS(muster_seqlock_find(counters, "", &index), ENOENT);
  CHECK_STATUS(muster_seqlock_find(counters, "request", &index), ENOENT);
  CHECK_STATUS(muster_seqlock_release(counters), 0);
  CHECK_STATUS(muster_seqlock_add(counters, 0, 1), EPERM);
  CHECK_STATUS(muster_seqlock_claim(counters, &found), 0);
  CHECK(found.sequence == 5 && !found.died && !found.pid);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// The inlined views, as Swift and C++ use them: a whole value changed in the process's own copy, then committed.
static void views(void) {
  muster_seqlock *counters;
  void *memory = seqlock_test_memory(100, &counters);
  const muster_seqlock_reader reader = *muster_seqlock_reader_of(counters);
  muster_seqlock_writer *writer = muster_seqlock_writer_of(counters);
  CHECK_STATUS(muster_seqlock_commit(writer), EPERM);
  REQUIRE(!muster_seqlock_claim(counters, NULL));
  for (uint32_t i = 0; i < 100; i++) writer->newest[i] = i;
  CHECK_STATUS(muster_seqlock_commit(writer), 0);
  CHECK_STATUS(muster_seqlock_publish(writer, 98, 2, (uint64_t[]){198, 199}), 0);
  CHECK_STATUS(muster_seqlock_publish(writer, 98, 3, (uint64_t[]){0, 0, 0}), EINVAL);
  CHECK_STATUS(muster_seqlock_publish_word(writer, 50, 150), 0);
  CHECK_STATUS(muster_seqlock_publish_sum(writer, 51, 100), 0);
  uint64_t words[100], sequence = 0;
  CHECK_STATUS(muster_seqlock_snapshot(&reader, 50, 50, words, &sequence), 0);
  CHECK_EQUAL(sequence, 4);
  for (uint32_t i = 0; i < 50; i++) CHECK_EQUAL(words[i], i < 2 || i > 47 ? 150 + i : 50 + i);
  CHECK_STATUS(muster_seqlock_snapshot(&reader, 101, 0, words, NULL), EINVAL);
  CHECK_STATUS(muster_seqlock_snapshot(&reader, 99, 2, words, NULL), EINVAL);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  munmap(memory, muster_seqlock_size(100));
}

// clang's -Wfunction-effects checks this function when it is compiled, -fsanitize=realtime when it runs.
MUSTER_NONBLOCKING static int all_fast_paths(muster_seqlock *counters, const muster_seqlock_reader *reader,
                                             muster_seqlock_writer *writer) {
  uint64_t words[4], sequence;
  int status = muster_seqlock_snapshot(reader, 0, 4, words, &sequence);
  status |= muster_seqlock_read(counters, words, 4, &sequence) | muster_seqlock_read_word(counters, 1, words, NULL);
  status |= muster_seqlock_write(counters, words, 4) | muster_seqlock_set(counters, 1, 5);
  status |= muster_seqlock_add(counters, 1, 5) | muster_seqlock_publish(writer, 1, 2, words);
  status |= muster_seqlock_publish_word(writer, 1, 5) | muster_seqlock_publish_sum(writer, 1, 5);
  // Also where somebody waits, and has to be woken.
  *writer->waiting = 1;
  status |= muster_seqlock_commit(writer);
  return status || muster_seqlock_sequence(counters) != sequence + 7;
}

static void never_blocks(void) {
  muster_seqlock *counters;
  void *memory = seqlock_test_memory(4, &counters);
  REQUIRE(!muster_seqlock_claim(counters, NULL));
  CHECK(!all_fast_paths(counters, muster_seqlock_reader_of(counters), muster_seqlock_writer_of(counters)));
  CHECK_EQUAL(*muster_seqlock_writer_of(counters)->waiting, 0);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  munmap(memory, muster_seqlock_size(4));
}

static void limits(void) {
  CHECK_EQUAL(muster_seqlock_size(0), 0);
  CHECK_EQUAL(muster_seqlock_size(MUSTER_SEQLOCK_WORDS_MAX + 1), 0);
  for (uint32_t words = 1; words < MUSTER_SEQLOCK_WORDS_MAX; words++)
    CHECK(muster_seqlock_size(words) < muster_seqlock_size(words + 1));
  muster_seqlock *counters;
  size_t size = muster_seqlock_size(MUSTER_SEQLOCK_WORDS_MAX);
  unsigned char *memory = seqlock_test_memory(MUSTER_SEQLOCK_WORDS_MAX, &counters);
  REQUIRE(!muster_seqlock_claim(counters, NULL));
  static uint64_t words[MUSTER_SEQLOCK_WORDS_MAX];
  for (uint32_t i = 0; i < MUSTER_SEQLOCK_WORDS_MAX; i++) words[i] = i + 1;
  CHECK_STATUS(muster_seqlock_write(counters, words, MUSTER_SEQLOCK_WORDS_MAX), 0);
  memset(words, 0, sizeof words);
  CHECK_STATUS(muster_seqlock_read(counters, words, MUSTER_SEQLOCK_WORDS_MAX, NULL), 0);
  for (uint32_t i = 0; i < MUSTER_SEQLOCK_WORDS_MAX; i++) REQUIRE(words[i] == i + 1);
  CHECK_STATUS(muster_seqlock_set_label(memory, size, MUSTER_SEQLOCK_WORDS_MAX - 1, "last"), 0);
  CHECK_STATUS(muster_seqlock_set_label(memory, size, MUSTER_SEQLOCK_WORDS_MAX, "none"), EINVAL);
  uint32_t index;
  CHECK(!muster_seqlock_find(counters, "last", &index) && index == MUSTER_SEQLOCK_WORDS_MAX - 1);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  CHECK_STATUS(muster_seqlock_init(memory, size, 0), EINVAL);
  CHECK_STATUS(muster_seqlock_init(memory + 64, size - 64, 1), EINVAL);
  CHECK_STATUS(muster_seqlock_init(memory, muster_seqlock_size(9) - 1, 9), EINVAL);
  CHECK_STATUS(muster_seqlock_attach(memory + 64, size - 64, &counters), EINVAL);
  CHECK_STATUS(muster_seqlock_attach(memory, size - 1, &counters), EBADMSG);
  CHECK_STATUS(muster_seqlock_attach(memory, 8, &counters), EBADMSG);
  CHECK_STATUS(muster_seqlock_open(test_name("limits"), &(muster_seqlock_options){.words = 4097}, &counters), EINVAL);
  CHECK_STATUS(muster_seqlock_open(test_name("limits"), &(muster_seqlock_options){0}, &counters), EINVAL);
  const char *label = "x";
  muster_seqlock_options too_many = {.words = 1, .labels = &label, .label_count = 2};
  CHECK_STATUS(muster_seqlock_open(test_name("limits"), &too_many, &counters), EINVAL);
  munmap(memory, size);
}

static void tells_what_differs(void) {
  const char *name = test_name("differs");
  muster_mismatch differs;
  muster_seqlock *counters, *other;
  REQUIRE(!muster_seqlock_open(name, &(muster_seqlock_options){.words = 5, .layout = 77}, &counters));
  CHECK_STATUS(muster_seqlock_open(name, &(muster_seqlock_options){.words = 6, .mismatch = &differs}, &other), EPROTO);
  CHECK(differs.kind == MUSTER_MISMATCH_LAYOUT && differs.expected == 6 && differs.found == 5);
  CHECK(!other);
  muster_seqlock_options layout = {.words = 5, .layout = 78, .mismatch = &differs};
  CHECK_STATUS(muster_seqlock_open(name, &layout, &other), EPROTO);
  CHECK(differs.kind == MUSTER_MISMATCH_LAYOUT && differs.expected == 78 && differs.found == 77);
  layout.layout = 0;
  CHECK_STATUS(muster_seqlock_open(name, &layout, &other), 0);
  CHECK_EQUAL(muster_seqlock_words(other), 5);
  CHECK(muster_seqlock_layout(other) == 77 && muster_seqlock_layout(counters) == 77);
  CHECK_STATUS(muster_seqlock_close(other), 0);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  muster_group *group;
  REQUIRE(!muster_group_open(name, &(muster_group_options){.capacity = 1}, &group));
  CHECK_STATUS(muster_seqlock_open(name, &(muster_seqlock_options){.words = 5, .mismatch = &differs}, &other), EPROTO);
  CHECK(differs.kind == MUSTER_MISMATCH_KIND && differs.expected == MUSTER_SEQLOCK_KIND);
  CHECK_STATUS(muster_group_close(group), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  CHECK_STATUS(muster_seqlock_open(name, &(muster_seqlock_options){.flags = MUSTER_REGION_READ_ONLY}, &other), ENOENT);
}

static void store_into(void *word) {
  signal(SIGSEGV, SIG_DFL);
  *(volatile uint64_t *)word = 1;
}

static void read_only(void) {
  const char *name = test_name("readonly");
  muster_seqlock *counters, *reader;
  REQUIRE(!muster_seqlock_open(name, &(muster_seqlock_options){.words = 3}, &counters));
  REQUIRE(!muster_seqlock_claim(counters, NULL));
  REQUIRE(!muster_seqlock_write(counters, (uint64_t[]){1, 2, 3}, 3));
  REQUIRE(!muster_seqlock_open(name, &(muster_seqlock_options){.flags = MUSTER_REGION_READ_ONLY}, &reader));
  uint64_t words[3], sequence;
  CHECK_STATUS(muster_seqlock_read(reader, words, 3, &sequence), 0);
  CHECK(sequence == 1 && words[2] == 3);
  CHECK_STATUS(muster_seqlock_claim(reader, NULL), EACCES);
  CHECK_STATUS(muster_seqlock_write(reader, words, 3), EPERM);
  int32_t pid;
  CHECK_STATUS(muster_seqlock_writer_pid(reader, &pid), 0);
  CHECK_EQUAL(pid, getpid());
  CHECK_STATUS(muster_seqlock_wait_writer(reader, 0), 0);
  CHECK_STATUS(muster_seqlock_wait(reader, 1, muster_deadline_after(3000000), &sequence), ETIMEDOUT);
  CHECK_STATUS(muster_seqlock_wait(reader, 0, 0, &sequence), 0);
  CHECK_EQUAL(sequence, 1);
  // Its pages fault at a store; the other handle's don't.
  union { const uint64_t *from; void *to; } word = {.from = muster_seqlock_reader_of(reader)->latest};
  test_join(test_fork(store_into, word.to), SIGSEGV);
  word.from = muster_seqlock_reader_of(counters)->latest;
  test_join(test_fork(store_into, word.to), 0);
  CHECK_STATUS(muster_seqlock_close(reader), 0);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// The memory of an in-place handle may be read-only too: no function of such a handle faults.
static void read_only_in_place(void) {
  muster_seqlock *counters, *reader;
  void *memory = seqlock_test_memory(3, &counters);
  size_t size = muster_seqlock_size(3);
  REQUIRE(!muster_seqlock_claim(counters, NULL));
  REQUIRE(!muster_seqlock_add(counters, 2, 5));
  REQUIRE(!muster_seqlock_close(counters));
  REQUIRE(!mprotect(memory, size, PROT_READ));
  REQUIRE(!muster_seqlock_attach_read_only(memory, size, &reader));
  uint64_t words[3], sequence;
  CHECK_STATUS(muster_seqlock_read(reader, words, 3, &sequence), 0);
  CHECK_EQUAL(words[2], 5);
  CHECK_STATUS(muster_seqlock_claim(reader, NULL), EACCES);
  CHECK_STATUS(muster_seqlock_wait(reader, 1, muster_deadline_after(3000000), &sequence), ETIMEDOUT);
  CHECK_STATUS(muster_seqlock_wait_writer(reader, muster_deadline_after(3000000)), ETIMEDOUT);
  muster_wait_set set;
  CHECK_STATUS(muster_seqlock_poll(reader, 1, &sequence, &set), EAGAIN);
  CHECK_EQUAL(set.count, 1);
  CHECK_STATUS(muster_seqlock_poll_writer(reader, &set), EAGAIN);
  int32_t pid;
  CHECK_STATUS(muster_seqlock_writer_pid(reader, &pid), ENOENT);
  CHECK_STATUS(muster_seqlock_close(reader), 0);
  munmap(memory, size);
}

typedef struct sharing {
  muster_seqlock *counters;
  uint32_t words;
  uint64_t changes;  // how many different snapshots a reader sees at least, and how many are enough
  uint64_t enough;
  int *stop;
} sharing;

enum { READS = 300000 };

static void read_all(void *context) {
  const sharing *run = context;
  uint64_t words[512], sequence, last = 0;
  // Where other programs keep the processors busy, reader and writer hardly ever run at once: then a few changes must
  // do.
  for (uint64_t changes = 0, reads = 0; changes < run->changes || (changes < run->enough && reads < READS); reads++) {
    int status = muster_seqlock_read(run->counters, words, run->words, &sequence);
    // Many words and a processor taken away in the middle of each read: allowed to be passed, never to be wrong.
    if (status == EAGAIN) continue;
    REQUIRE(status == 0);
    REQUIRE(sequence >= last);
    REQUIRE(seqlock_test_is_value(words, run->words, sequence));
    changes += sequence != last;
    last = sequence;
  }
}

static void write_all(void *context) {
  const sharing *run = context;
  REQUIRE(!muster_seqlock_claim(run->counters, NULL));
  uint64_t words[512];
  for (uint64_t number = 1; !__atomic_load_n(run->stop, __ATOMIC_RELAXED); number++) {
    seqlock_test_value(words, run->words, number);
    REQUIRE(!muster_seqlock_write(run->counters, words, run->words));
  }
  CHECK_STATUS(muster_seqlock_release(run->counters), 0);
}

// Each word is a function of its index and the write's number, so that one word of another write shows.
static void snapshots_are_whole(void) {
  static const uint32_t sizes[] = {1, 7, 8, 64, 512};
  int *stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(stop != MAP_FAILED);
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    sharing run = {.words = sizes[s], .changes = 20, .enough = 1000000 / (sizes[s] + 16), .stop = stop};
    void *memory = seqlock_test_memory(sizes[s], NULL);
    size_t size = muster_seqlock_size(sizes[s]);
    REQUIRE(!muster_seqlock_attach(memory, size, &run.counters));
    *stop = 0;
    // Handles that claim are made by the process that uses them.
    pid_t writer = fork();
    REQUIRE(writer >= 0);
    if (writer == 0) {
      REQUIRE(!muster_seqlock_attach(memory, size, &run.counters));
      write_all(&run);
      _exit(test_result());
    }
    pid_t readers[3];
    for (int r = 0; r < 3; r++) readers[r] = test_fork(read_all, &run);
    for (int r = 0; r < 3; r++) test_join(readers[r], 0);
    __atomic_store_n(stop, 1, __ATOMIC_RELAXED);
    test_join(writer, 0);
    uint64_t words[512], sequence;
    CHECK_STATUS(muster_seqlock_read(run.counters, words, sizes[s], &sequence), 0);
    CHECK(sequence > 0 && seqlock_test_is_value(words, sizes[s], sequence));
    CHECK_STATUS(muster_seqlock_close(run.counters), 0);
    munmap(memory, size);
  }
  munmap(stop, 4096);
}

enum { SLOTS = 6, SUMS = 300000 };

static void check_sums(const sharing *run) {
  uint64_t words[SLOTS], sequence = 0;
  while (sequence < SUMS) {
    REQUIRE(!muster_seqlock_read(run->counters, words, SLOTS, &sequence));
    for (uint32_t k = 0; k < SLOTS; k++) REQUIRE(words[k] == (sequence + SLOTS - 1 - k) / SLOTS);
  }
}

static void check_sums_in_child(void *context) { check_sums(context); }

// Write number n adds one to word (n - 1) % 6, so every snapshot's words follow from its number, although a write of
// one word stores two words only. Every so often a whole write comes between.
static void single_words_are_snapshots_too(void) {
  sharing run = {.words = SLOTS};
  void *memory = seqlock_test_memory(SLOTS, &run.counters);
  pid_t readers[2] = {test_fork(check_sums_in_child, &run), test_fork(check_sums_in_child, &run)};
  REQUIRE(!muster_seqlock_claim(run.counters, NULL));
  uint64_t words[SLOTS] = {0};
  for (uint32_t n = 0; n < SUMS; n++) {
    words[n % SLOTS]++;
    int status = n % 1009 == 0 ? muster_seqlock_write(run.counters, words, SLOTS)
                 : n % 7 == 0  ? muster_seqlock_set(run.counters, n % SLOTS, words[n % SLOTS])
                               : muster_seqlock_add(run.counters, n % SLOTS, 1);
    REQUIRE(status == 0);
  }
  test_join(readers[0], 0);
  test_join(readers[1], 0);
  CHECK_STATUS(muster_seqlock_close(run.counters), 0);
  munmap(memory, muster_seqlock_size(SLOTS));
}

static void *read_in_thread(void *context) {
  read_all(context);
  return NULL;
}

static void *write_in_thread(void *context) {
  write_all(context);
  return NULL;
}

// The same within one process, for the thread sanitizer to see.
static void threads(void) {
  int stop = 0;
  sharing run = {.words = 8, .changes = 20, .enough = 2000, .stop = &stop};
  void *memory = seqlock_test_memory(8, &run.counters);
  pthread_t readers[2], writer;
  REQUIRE(!pthread_create(&writer, NULL, write_in_thread, &run));
  for (int r = 0; r < 2; r++) REQUIRE(!pthread_create(&readers[r], NULL, read_in_thread, &run));
  for (int r = 0; r < 2; r++) pthread_join(readers[r], NULL);
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  pthread_join(writer, NULL);
  CHECK_STATUS(muster_seqlock_close(run.counters), 0);
  munmap(memory, muster_seqlock_size(8));
}

typedef struct rally {
  muster_seqlock *to, *from;
  uint64_t rounds;
} rally;

static void answer(void *context) {
  const rally *game = context;
  uint64_t seen = 0;
  while (seen < game->rounds) {
    REQUIRE(!muster_seqlock_wait(game->from, seen, MUSTER_DEADLINE_NEVER, &seen));
    REQUIRE(!muster_seqlock_add(game->to, 0, 1));
  }
}

// A lost wake costs a second each: the test's deadline allows a few in a thousand rounds, not more.
static void wait_there_and_back(void) {
  void *there = seqlock_test_memory(1, NULL), *back = seqlock_test_memory(1, NULL);
  size_t size = muster_seqlock_size(1);
  rally game = {.rounds = 2000};
  pid_t partner = fork();
  REQUIRE(partner >= 0);
  if (partner == 0) {
    REQUIRE(!muster_seqlock_attach(there, size, &game.from) && !muster_seqlock_attach(back, size, &game.to));
    REQUIRE(!muster_seqlock_claim(game.to, NULL));
    answer(&game);
    _exit(test_result());
  }
  REQUIRE(!muster_seqlock_attach(there, size, &game.to) && !muster_seqlock_attach(back, size, &game.from));
  REQUIRE(!muster_seqlock_wait_writer(game.from, MUSTER_DEADLINE_NEVER));
  REQUIRE(!muster_seqlock_claim(game.to, NULL));
  uint64_t seen = 0;
  for (uint64_t round = 1; round <= game.rounds; round++) {
    REQUIRE(!muster_seqlock_add(game.to, 0, 1));
    // The partner is alive until it has answered the last.
    int status = muster_seqlock_wait(game.from, seen, MUSTER_DEADLINE_NEVER, &seen);
    REQUIRE(status == 0 && seen == round);
  }
  test_join(partner, 0);
  CHECK_STATUS(muster_seqlock_close(game.to), 0);
  CHECK_STATUS(muster_seqlock_close(game.from), 0);
  munmap(there, size), munmap(back, size);
}

typedef struct crowd {
  muster_seqlock *counters;
  uint32_t *arrived;
  uint64_t rounds;
  int read_only;
  void *memory;
} crowd;

static void follow(void *context) {
  const crowd *run = context;
  muster_seqlock *counters;
  size_t size = muster_seqlock_size(1);
  REQUIRE(!(run->read_only ? muster_seqlock_attach_read_only(run->memory, size, &counters)
                           : muster_seqlock_attach(run->memory, size, &counters)));
  for (uint64_t seen = 0; seen < run->rounds;) {
    REQUIRE(!muster_seqlock_wait(counters, seen, MUSTER_DEADLINE_NEVER, &seen));
    __atomic_fetch_add(run->arrived, 1, __ATOMIC_RELAXED);
  }
  CHECK_STATUS(muster_seqlock_close(counters), 0);
}

// Eight sleepers with different paces share one `waiting` word; a ninth can't write and isn't woken by it. The writer
// writes when some, not all, have seen the last.
static void a_crowd_waits(void) {
  uint32_t *arrived = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(arrived != MAP_FAILED);
  crowd run = {.rounds = 400, .arrived = arrived};
  run.memory = seqlock_test_memory(1, &run.counters);
  REQUIRE(!muster_seqlock_claim(run.counters, NULL));
  pid_t followers[9];
  for (int f = 0; f < 9; f++) {
    run.read_only = f == 8;
    followers[f] = test_fork(follow, &run);
  }
  for (uint64_t round = 1; round <= run.rounds; round++) {
    uint32_t before = __atomic_load_n(arrived, __ATOMIC_RELAXED);
    REQUIRE(!muster_seqlock_add(run.counters, 0, 1));
    while (round % 3 && __atomic_load_n(arrived, __ATOMIC_RELAXED) < before + (uint32_t)(round % 8)) test_pause(20000);
  }
  for (int f = 0; f < 9; f++) test_join(followers[f], 0);
  CHECK_STATUS(muster_seqlock_close(run.counters), 0);
  munmap(run.memory, muster_seqlock_size(1));
  munmap(arrived, 4096);
}

static void wait_outcomes(void) {
  muster_seqlock *counters, *watcher;
  void *memory = seqlock_test_memory(2, &counters);
  REQUIRE(!muster_seqlock_attach(memory, muster_seqlock_size(2), &watcher));
  uint64_t sequence = 9;
  CHECK_STATUS(muster_seqlock_wait(watcher, 0, 0, &sequence), ETIMEDOUT);
  CHECK_EQUAL(sequence, 0);
  CHECK_STATUS(muster_seqlock_wait(watcher, 0, muster_deadline_after(2000000), NULL), ETIMEDOUT);
  CHECK_STATUS(muster_seqlock_wait_writer(watcher, muster_deadline_after(2000000)), ETIMEDOUT);
  REQUIRE(!muster_seqlock_claim(counters, NULL));
  CHECK_STATUS(muster_seqlock_wait_writer(watcher, 0), 0);
  CHECK_STATUS(muster_seqlock_wait(watcher, 0, muster_deadline_after(2000000), NULL), ETIMEDOUT);
  REQUIRE(!muster_seqlock_add(counters, 0, 1));
  CHECK_STATUS(muster_seqlock_wait(watcher, 0, 0, &sequence), 0);
  CHECK_EQUAL(sequence, 1);
  muster_wait_set set;
  CHECK_STATUS(muster_seqlock_poll(watcher, 1, &sequence, &set), EAGAIN);
  CHECK(set.count >= 2 && set.words[0].expected == 1);
  REQUIRE(!muster_seqlock_add(counters, 0, 1));
  CHECK_STATUS(muster_wait_any(&set, MUSTER_DEADLINE_NEVER), 0);
  CHECK_STATUS(muster_seqlock_poll(watcher, 1, &sequence, &set), 0);
  CHECK_EQUAL(sequence, 2);
  // A release is no death: the next writer is waited for.
  REQUIRE(!muster_seqlock_release(counters));
  CHECK_STATUS(muster_seqlock_wait(watcher, 2, muster_deadline_after(2000000), NULL), ETIMEDOUT);
  CHECK_STATUS(muster_seqlock_poll_writer(watcher, &set), EAGAIN);
  REQUIRE(!muster_seqlock_claim(counters, NULL));
  CHECK_STATUS(muster_wait_any(&set, MUSTER_DEADLINE_NEVER), 0);
  CHECK_STATUS(muster_seqlock_poll_writer(watcher, &set), 0);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  CHECK_STATUS(muster_seqlock_close(watcher), 0);
  munmap(memory, muster_seqlock_size(2));
}

static int descriptors(void) {
  int count = 0;
  DIR *folder = opendir("/proc/self/fd");
  REQUIRE(folder);
  while (readdir(folder)) count++;
  closedir(folder);
  return count;
}

static void leaks_no_descriptor(void) {
  const char *name = test_name("leaks");
  muster_seqlock *counters, *other;
  REQUIRE(!muster_seqlock_open(name, &(muster_seqlock_options){.words = 3}, &counters));
  int before = descriptors();
  for (int i = 0; i < 50; i++) {
    REQUIRE(!muster_seqlock_open(name, &(muster_seqlock_options){.words = 3}, &other));
    CHECK_STATUS(muster_seqlock_claim(other, NULL), 0);
    CHECK_STATUS(muster_seqlock_close(other), 0);
    CHECK_STATUS(muster_seqlock_open(name, &(muster_seqlock_options){.words = 4}, &other), EPROTO);
    muster_seqlock_options alone = {.words = 3, .flags = MUSTER_REGION_CREATE};
    CHECK_STATUS(muster_seqlock_open(name, &alone, &other), EEXIST);
    REQUIRE(!muster_seqlock_open(name, &(muster_seqlock_options){.flags = MUSTER_REGION_READ_ONLY}, &other));
    CHECK_STATUS(muster_seqlock_close(other), 0);
  }
  CHECK_EQUAL(descriptors(), before);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  CHECK_EQUAL(descriptors(), before - 1);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

TEST_SUITE(seqlock, {"counts_and_labels", counts_and_labels, 0}, {"views", views, 0}, {"never_blocks", never_blocks, 0},
           {"limits", limits, 0}, {"tells_what_differs", tells_what_differs, 0}, {"read_only", read_only, 0},
           {"read_only_in_place", read_only_in_place, 0}, {"snapshots_are_whole", snapshots_are_whole, 120},
           {"single_words_are_snapshots_too", single_words_are_snapshots_too, 60}, {"threads", threads, 60},
           {"wait_there_and_back", wait_there_and_back, 0}, {"a_crowd_waits", a_crowd_waits, 60},
           {"wait_outcomes", wait_outcomes, 0}, {"leaks_no_descriptor", leaks_no_descriptor, 0});
