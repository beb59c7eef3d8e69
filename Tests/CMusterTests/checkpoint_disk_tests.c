// Power cuts: what of a file reached the disk is any mixture of what was in memory since the last flush, down to parts of a
// sector. Whatever it is, the last durable commit is found, or a later one, whole.
//
// The memory is recorded at each step of the writer, and at each flush, which is our own in place of msync(2). A cut at a
// step may leave of each sector that was touched since the last flush any of its contents since. Where these mixtures
// are few each is made, else some are drawn; each is then renewed and read as a restarted machine would.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/checkpoint.h"
#include "checkpoint_support.h"
#include "support.h"
#include "test.h"

enum { SECTOR = 512, CAPACITY = 1800, HISTORY = 2, WRITERS = 2, STEPS = 40, EVERY = 3000, DRAWN = 600, ENOUGH = 10000 };

typedef struct disk {
  checkpoint_place place;
  size_t sectors;
  unsigned char *steps[STEPS];  // the memory at each step since the last flush that counts; the first is on the disk
  uint32_t count;
  unsigned char *trial;
  uint64_t least, most;      // sequences of which one has to be found
  uint64_t least_epoch;      // that of `least`
  uint64_t later_epoch;      // the least of any with a greater sequence
  uint64_t random, tried;
} disk;

static disk *recording;

static void record(disk *of) {
  REQUIRE(of->count < STEPS);
  memcpy(of->steps[of->count++], of->place.memory, of->place.size);
}

// The pages of that part are on the disk now. What else was touched may be, or not.
static int flush_recorded(const void *address, size_t size) {
  disk *of = recording;
  if (!of) return 0;
  record(of);
  size_t first = (size_t)((const unsigned char *)address - (unsigned char *)of->place.memory);
  size_t begin = first / SECTOR * SECTOR, end = (first + size + SECTOR - 1) / SECTOR * SECTOR;
  if (end > of->place.size) end = of->place.size;
  for (uint32_t s = 0; s + 1 < of->count; s++)
    memcpy(of->steps[s] + begin, of->steps[of->count - 1] + begin, end - begin);
  return 0;
}

static int fail_to_flush(const void *address, size_t size) {
  (void)flush_recorded(address, size);
  return EIO;
}

// Where everything recorded is the same, apart from what the last step has.
static void forget_steps(disk *of) {
  of->count = 0;
  record(of);
}

static disk make_disk(void) {
  disk made = {.random = test_seed()};
  made.place.shape =
      (muster_checkpoint_shape){.capacity = CAPACITY, .history = HISTORY, .writers = WRITERS, .flags = MUSTER_CHECKPOINT_PAGES};
  made.place.size = muster_checkpoint_size(&made.place.shape);
  made.place.memory = shared_memory(made.place.size);
  made.trial = shared_memory(made.place.size);
  REQUIRE(!muster_checkpoint_init(made.place.memory, made.place.size, &made.place.shape));
  for (int s = 0; s < STEPS; s++) REQUIRE((made.steps[s] = malloc(made.place.size)));
  made.sectors = (made.place.size + SECTOR - 1) / SECTOR;
  return made;
}

static void free_disk(disk *of) {
  for (int s = 0; s < STEPS; s++) free(of->steps[s]);
  munmap(of->trial, of->place.size);
  checkpoint_test_free(&of->place);
}

// What a restarted machine finds.
static void check_trial(disk *of) {
  unsigned char bytes[CAPACITY];
  muster_checkpoint_info info = {0};
  muster_checkpoint *checkpoint;
  uint64_t number = 0, epoch;
  of->tried++;
  // Somebody who only looks, before it is renewed, meets an error or a whole state.
  REQUIRE(!muster_checkpoint_attach_read_only(of->trial, of->place.size, &checkpoint));
  int status = muster_checkpoint_read(checkpoint, bytes, CAPACITY, &info);
  CHECK(status == 0 || status == ENODATA || status == EBADMSG);
  if (!status) CHECK(checkpoint_test_is_state(bytes, info.length, &number) && number == info.sequence);
  REQUIRE(!muster_checkpoint_close(checkpoint));
  CHECK_STATUS(muster_checkpoint_renew(of->trial, of->place.size), 0);
  REQUIRE(!muster_checkpoint_attach(of->trial, of->place.size, &checkpoint));
  status = muster_checkpoint_read(checkpoint, bytes, CAPACITY, &info);
  if (of->least || status != ENODATA) CHECK_STATUS(status, 0);
  if (!status) {
    CHECK(checkpoint_test_is_state(bytes, info.length, &number));
    CHECK(number == (info.restored ? info.restored : info.sequence));
    CHECK(info.sequence >= of->least && info.sequence <= of->most);
    if (info.sequence == of->least) CHECK_EQUAL(info.epoch, of->least_epoch);
    else CHECK(info.epoch >= of->later_epoch);
  }
  if (of->tried % 16 == 0) {
    uint64_t next = status ? 0 : info.sequence;
    CHECK_STATUS(muster_checkpoint_take_over(checkpoint, &epoch), 0);
    CHECK(epoch > info.epoch);
    for (int i = 0; i < HISTORY + WRITERS + 2; i++) CHECK_STATUS(checkpoint_test_save(checkpoint, 64, ++next), 0);
  }
  REQUIRE(!muster_checkpoint_close(checkpoint));
}

static size_t size_of_sector(const disk *of, size_t sector) {
  size_t rest = of->place.size - sector * SECTOR;
  return rest < SECTOR ? rest : SECTOR;
}

// The sectors that have different contents among the steps, but those that only locks lie in, which a renewal lays anew.
static size_t find_touched(const disk *of, size_t *touched, size_t most) {
  size_t count = 0;
  for (size_t sector = 0; sector < of->sectors; sector++) {
    size_t at = sector * SECTOR, differ = 0;
    for (uint32_t s = 1; s < of->count; s++)
      differ |= memcmp(of->steps[0] + at, of->steps[s] + at, size_of_sector(of, sector)) != 0;
    if (!differ) continue;
    REQUIRE(count < most);
    touched[count++] = sector;
  }
  return count;
}

static void put_sector(disk *of, size_t sector, uint32_t step) {
  memcpy(of->trial + sector * SECTOR, of->steps[step] + sector * SECTOR, size_of_sector(of, sector));
}

// How many of it a build tries: what is slow is there to look at each access, not at each disk.
static size_t some(size_t of_many) { return of_many / test_slower(); }

// The writer's steps so far, and any of their contents in each sector; then parts of sectors.
static void cut(disk *of) {
  enum { MOST = 64 };
  recording = NULL;
  muster_checkpoint_flush = flush_recorded;
  size_t touched[MOST], count = find_touched(of, touched, MOST), mixtures = 1;
  for (size_t i = 0; i < count && mixtures <= some(EVERY); i++) mixtures *= of->count;
  memcpy(of->trial, of->steps[0], of->place.size);
  int each = mixtures <= some(EVERY);
  size_t turns = each ? mixtures : some(DRAWN);
  for (size_t turn = 0; turn < turns && !test_result(); turn++) {
    memcpy(of->trial, of->steps[0], of->place.size);
    size_t rest = turn;
    for (size_t i = 0; i < count; i++, rest /= of->count)
      put_sector(of, touched[i], (uint32_t)(each ? rest : test_random(&of->random)) % of->count);
    check_trial(of);
  }
  for (size_t turn = 0; count && turn < some(DRAWN) && !test_result(); turn++) {
    memcpy(of->trial, of->steps[0], of->place.size);
    for (size_t i = 0; i < count; i++) put_sector(of, touched[i], (uint32_t)test_random(&of->random) % of->count);
    // One or two that were torn within: up to some byte the one, from there on the other.
    for (int torn = 0; torn < 2; torn++) {
      size_t sector = touched[test_random(&of->random) % count];
      size_t at = sector * SECTOR, part = test_random(&of->random) % size_of_sector(of, sector);
      if (torn) part = part / 8 * 8;
      memcpy(of->trial + at, of->steps[test_random(&of->random) % of->count] + at, part);
    }
    check_trial(of);
  }
}

// A commit in place, durable, in recorded steps, with a cut after each.
static void commit_recorded(disk *of, muster_checkpoint *checkpoint, uint64_t sequence, size_t length) {
  unsigned char state[CAPACITY];
  void *bytes;
  uint64_t got = 0;
  checkpoint_test_state(state, length, sequence);
  forget_steps(of);
  of->most = sequence;
  REQUIRE(!muster_checkpoint_begin(checkpoint, &bytes));
  record(of);
  memcpy(bytes, state, length / 3);
  record(of);
  memcpy(bytes, state, length);
  record(of);
  cut(of);
  recording = of;
  CHECK_STATUS(muster_checkpoint_commit_durable(checkpoint, length, &got), 0);
  CHECK_EQUAL(got, sequence);
  of->least = sequence;
  of->least_epoch = muster_checkpoint_epoch(checkpoint);
  record(of);
  cut(of);
}

static void cut_while_committing(void) {
  disk of = make_disk();
  muster_checkpoint_flush = flush_recorded;
  muster_checkpoint *checkpoint = checkpoint_test_attach(&of.place);
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  for (uint64_t n = 1; n <= 8 && !test_result(); n++) commit_recorded(&of, checkpoint, n, n % 2 ? CAPACITY : 300);
  printf("%llu disks\n", (unsigned long long)of.tried);
  CHECK(of.tried > some(ENOUGH));
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  free_disk(&of);
}

// Commits that are not durable, between some that are: what was durable stays, and each found is whole.
static void cut_with_plain_commits_between(void) {
  disk of = make_disk();
  muster_checkpoint_flush = flush_recorded;
  muster_checkpoint *checkpoint = checkpoint_test_attach(&of.place);
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  for (uint64_t n = 1; n <= 16 && !test_result(); n++) {
    if (n % 4 == 1) {
      commit_recorded(&of, checkpoint, n, 900);
      continue;
    }
    CHECK_STATUS(checkpoint_test_save(checkpoint, 700, n), 0);
    of.most = n;
    record(&of);
    cut(&of);
  }
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  free_disk(&of);
}

// However many commits that are not durable come after one that is, and whoever makes them: it is found, or one of them. Also where
// all have ended, and the next to open the file puts it in order, in the midst of which there is a cut.
static void save_recorded(disk *of, muster_checkpoint *checkpoint, uint64_t first, uint64_t last) {
  for (uint64_t n = first; n <= last && !test_result(); n++) {
    void *bytes;
    unsigned char state[CAPACITY];
    checkpoint_test_state(state, CAPACITY, n);
    of->most = n;
    REQUIRE(!muster_checkpoint_begin(checkpoint, &bytes));
    memcpy(bytes, state, CAPACITY / 2);
    record(of);
    memcpy(bytes, state, CAPACITY);
    CHECK_STATUS(muster_checkpoint_commit(checkpoint, CAPACITY, NULL), 0);
    record(of);
    cut(of);
  }
}

static void save_durable(muster_checkpoint *checkpoint, uint64_t first, uint64_t last) {
  unsigned char state[CAPACITY];
  for (uint64_t n = first; n <= last; n++) {
    checkpoint_test_state(state, CAPACITY, n);
    REQUIRE(!muster_checkpoint_save_durable(checkpoint, state, CAPACITY, NULL));
  }
}

static void plain_commits_cost_no_durable_one(void) {
  disk of = make_disk();
  muster_checkpoint_flush = flush_recorded;
  muster_checkpoint *checkpoint = checkpoint_test_attach(&of.place);
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  save_durable(checkpoint, 1, 4);
  of.least = of.most = 4, of.least_epoch = 1;
  forget_steps(&of);
  save_recorded(&of, checkpoint, 5, 16);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  CHECK_STATUS(muster_checkpoint_renew(of.place.memory, of.place.size), 0);
  record(&of);
  cut(&of);
  free_disk(&of);
}

// A cut at each flush.
static int cut_at_flush(const void *address, size_t size) {
  disk *of = recording;
  if (!of) return 0;
  record(of);
  cut(of);
  recording = of;
  muster_checkpoint_flush = cut_at_flush;
  return flush_recorded(address, size);
}

// A successor finds states that are not durable, makes one so, and commits others that are not.
static void plain_commits_after_taking_over(void) {
  disk of = make_disk();
  muster_checkpoint_flush = flush_recorded;
  muster_checkpoint *checkpoint = checkpoint_test_attach(&of.place), *next = checkpoint_test_attach(&of.place);
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  save_durable(checkpoint, 1, 5);
  of.least = of.most = 5, of.least_epoch = 1;
  forget_steps(&of);
  save_recorded(&of, checkpoint, 6, 9);
  recording = &of;
  muster_checkpoint_flush = cut_at_flush;
  CHECK_STATUS(muster_checkpoint_take_over(next, NULL), 0);
  recording = NULL;
  record(&of);
  of.least = 9, of.later_epoch = 2;
  cut(&of);
  save_recorded(&of, next, 10, 14);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  CHECK_STATUS(muster_checkpoint_close(next), 0);
  free_disk(&of);
}

// A commit that reached the disk but was refused, since another had taken over by then: it isn't found after the cut, also
// where the successor has committed nothing.
static muster_checkpoint *successor;

static int fence_at_flush(const void *address, size_t size) {
  muster_checkpoint_flush = flush_recorded;
  (void)flush_recorded(address, size);
  CHECK_STATUS(muster_checkpoint_take_over(successor, NULL), 0);
  return 0;
}

// Nor where it has committed what is not durable; and whether the one that was refused lives long enough to take back what it wrote.
static int never_reaches(const void *address, size_t size) { return (void)address, (void)size, 0; }

static int fence_and_lose(const void *address, size_t size) {
  int status = fence_at_flush(address, size);
  muster_checkpoint_flush = never_reaches;
  return status;
}

static void refused_and_plain_commits(void) {
  for (int dies = 0; dies < 2; dies++) {
    disk of = make_disk();
    unsigned char state[CAPACITY];
    muster_checkpoint_flush = flush_recorded;
    muster_checkpoint *checkpoint = checkpoint_test_attach(&of.place);
    successor = checkpoint_test_attach(&of.place);
    REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
    save_durable(checkpoint, 1, 5);
    forget_steps(&of);
    checkpoint_test_state(state, CAPACITY, 6);
    muster_checkpoint_flush = dies ? fence_and_lose : fence_at_flush;
    recording = &of;
    CHECK_STATUS(muster_checkpoint_save_durable(checkpoint, state, CAPACITY, NULL), ESTALE);
    record(&of);
    of.least = 5, of.least_epoch = 1, of.later_epoch = 2;
    save_recorded(&of, successor, 6, 10);
    CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
    CHECK_STATUS(muster_checkpoint_close(successor), 0);
    free_disk(&of);
  }
}

static void fence_survives_a_cut(void) {
  for (int successor_commits = 0; successor_commits < 2; successor_commits++) {
    disk of = make_disk();
    unsigned char state[CAPACITY];
    muster_checkpoint_flush = flush_recorded;
    muster_checkpoint *checkpoint = checkpoint_test_attach(&of.place);
    successor = checkpoint_test_attach(&of.place);
    REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
    for (uint64_t n = 1; n <= 5; n++) {
      checkpoint_test_state(state, CAPACITY, n);
      REQUIRE(!muster_checkpoint_save_durable(checkpoint, state, CAPACITY, NULL));
    }
    forget_steps(&of);
    checkpoint_test_state(state, CAPACITY, 6);
    muster_checkpoint_flush = fence_at_flush;
    recording = &of;
    CHECK_STATUS(muster_checkpoint_save_durable(checkpoint, state, CAPACITY, NULL), ESTALE);
    record(&of);
    of.least = of.most = 5, of.least_epoch = 1;
    cut(&of);
    if (successor_commits) {
      recording = &of;
      CHECK_STATUS(muster_checkpoint_save_durable(successor, state, CAPACITY, NULL), 0);
      record(&of);
      of.least = of.most = 6, of.least_epoch = 2;
      cut(&of);
    }
    CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
    CHECK_STATUS(muster_checkpoint_close(successor), 0);
    free_disk(&of);
  }
}

// The disk fails: nothing is committed, the sequence is not used again, and the next goes on. What came of it on the
// disk may be found after a cut only until the next durable commit.
static void disk_errors(void) {
  disk of = make_disk();
  unsigned char state[CAPACITY];
  uint64_t sequence = 0;
  muster_checkpoint_flush = flush_recorded;
  muster_checkpoint *checkpoint = checkpoint_test_attach(&of.place);
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  for (uint64_t n = 1; n <= 4; n++) {
    checkpoint_test_state(state, CAPACITY, n);
    REQUIRE(!muster_checkpoint_save_durable(checkpoint, state, CAPACITY, NULL));
  }
  forget_steps(&of);
  recording = &of;
  checkpoint_test_state(state, CAPACITY, 5);
  muster_checkpoint_flush = fail_to_flush;
  CHECK_STATUS(muster_checkpoint_save_durable(checkpoint, state, CAPACITY, &sequence), EIO);
  CHECK_EQUAL(sequence, 0);
  CHECK_EQUAL(checkpoint_test_newest(checkpoint), 4);
  record(&of);
  of.least = 4, of.most = 5, of.least_epoch = 1;
  cut(&of);
  recording = &of;
  checkpoint_test_state(state, CAPACITY, 6);
  CHECK_STATUS(muster_checkpoint_save_durable(checkpoint, state, CAPACITY, &sequence), 0);
  CHECK_EQUAL(sequence, 6);
  CHECK_EQUAL(checkpoint_test_newest(checkpoint), 6);
  record(&of);
  of.least = of.most = 6;
  cut(&of);
  // The last and the two before it are kept over the gap.
  muster_checkpoint_info infos[HISTORY + 1];
  uint32_t kept;
  for (uint64_t n = 7; n <= 12; n++) {
    CHECK_STATUS(checkpoint_test_save(checkpoint, 64, n), 0);
    CHECK_STATUS(muster_checkpoint_list(checkpoint, infos, HISTORY + 1, &kept), 0);
    CHECK_EQUAL(kept, HISTORY + 1);
  }
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  free_disk(&of);
}

// The same with the file itself: a copy of it is cut, torn and opened by name.
static void copy_file(const char *from, const char *to, size_t size, size_t torn_at, const unsigned char *bytes) {
  static unsigned char whole[1 << 16];
  FILE *file = fopen(from, "r");
  REQUIRE(file && size <= sizeof whole && fread(whole, 1, size, file) == size);
  fclose(file);
  memcpy(whole + torn_at, bytes, SECTOR);
  write_file(to, whole, size);
}

static void torn_files(void) {
  char path[300], copy[300];
  snprintf(path, sizeof path, "%s/states", test_folder());
  snprintf(copy, sizeof copy, "%s/copy", test_folder());
  muster_checkpoint *checkpoint, *other;
  muster_checkpoint_options options = {.shape = {.capacity = CAPACITY, .history = HISTORY, .writers = WRITERS},
                                       .flags = MUSTER_REGION_OPEN | MUSTER_REGION_FILE};
  muster_checkpoint_options look = {.flags = MUSTER_REGION_READ_ONLY | MUSTER_REGION_FILE};
  unsigned char state[CAPACITY], zeros[SECTOR] = {0};
  REQUIRE(!muster_checkpoint_open(path, &options, &checkpoint));
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  for (uint64_t n = 1; n <= 9; n++) {
    checkpoint_test_state(state, CAPACITY, n);
    REQUIRE(!muster_checkpoint_save_durable(checkpoint, state, CAPACITY, NULL));
  }
  size_t size = MUSTER_REGION_HEADER_SIZE + muster_region_size(muster_checkpoint_region(checkpoint));
  int newest_lost = 0;
  for (size_t at = 4096; at + SECTOR <= size; at += SECTOR) {
    copy_file(path, copy, size, at, zeros);
    REQUIRE(!muster_checkpoint_open(copy, &look, &other));
    uint64_t found = checkpoint_test_newest(other);
    REQUIRE(!muster_checkpoint_close(other));
    REQUIRE(!muster_checkpoint_open(copy, &options, &other));
    CHECK_EQUAL(checkpoint_test_newest(other), found);
    // One state at most is hurt by one sector.
    CHECK(found == 9 || found == 8);
    newest_lost += found == 8;
    CHECK_STATUS(muster_checkpoint_take_over(other, NULL), 0);
    CHECK_STATUS(checkpoint_test_save(other, 64, found + 1), 0);
    REQUIRE(!muster_checkpoint_close(other));
  }
  // As many as the newest state has sectors.
  CHECK_EQUAL(newest_lost, (CAPACITY + 64 + SECTOR - 1) / SECTOR);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
}

// A file of an earlier boot, which only readers have opened since: they don't go by the word that may be of another moment.
static void earlier_boot(void) {
  char path[300];
  snprintf(path, sizeof path, "%s/states", test_folder());
  muster_checkpoint *checkpoint, *reader;
  muster_checkpoint_options options = {.shape = {.capacity = CAPACITY, .history = HISTORY},
                                       .flags = MUSTER_REGION_OPEN | MUSTER_REGION_FILE};
  muster_checkpoint_options look = {.flags = MUSTER_REGION_READ_ONLY | MUSTER_REGION_FILE};
  REQUIRE(!muster_checkpoint_open(path, &options, &checkpoint));
  REQUIRE(!muster_checkpoint_take_over(checkpoint, NULL));
  for (uint64_t n = 1; n <= 3; n++) REQUIRE(!checkpoint_test_save(checkpoint, 64, n));
  uint64_t stale = checkpoint->state->newest;
  for (uint64_t n = 4; n <= 5; n++) REQUIRE(!checkpoint_test_save(checkpoint, 64, n));
  checkpoint->state->newest = stale;
  REQUIRE(!muster_checkpoint_open(path, &look, &reader));
  CHECK_EQUAL(checkpoint_test_newest(reader), 3);
  reader->this_boot[0] ^= 1;
  CHECK_EQUAL(checkpoint_test_newest(reader), 5);
  muster_checkpoint_info infos[HISTORY + 1];
  uint32_t kept;
  CHECK_STATUS(muster_checkpoint_list(reader, infos, HISTORY + 1, &kept), 0);
  CHECK(kept == HISTORY + 1 && infos[0].sequence == 5);
  CHECK_STATUS(muster_checkpoint_close(reader), 0);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  // Whoever can write puts it in order.
  REQUIRE(!muster_checkpoint_open(path, &options, &checkpoint));
  CHECK_EQUAL(checkpoint_test_newest(checkpoint), 5);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
}

// The creator dies once the file has its name, before he has synced the folder: whoever opens it next does, or says why not.
static void open_states(void *context) {
  muster_checkpoint *checkpoint;
  muster_checkpoint_options options = {.shape = {.capacity = CAPACITY, .history = HISTORY},
                                       .flags = MUSTER_REGION_OPEN | MUSTER_REGION_FILE};
  CHECK_STATUS(muster_checkpoint_open(context, &options, &checkpoint), 0);
}
static void create_and_die(void *context) {
  die_at_call(SYS_msync);
  open_states(context);
}
static void look_without_a_disk(void *context) {
  muster_checkpoint *checkpoint;
  refuse_call(SYS_fsync, EIO);
  CHECK_STATUS(muster_checkpoint_open(context, &(muster_checkpoint_options){.flags = MUSTER_REGION_READ_ONLY | MUSTER_REGION_FILE},
                                      &checkpoint), 0);
  CHECK_STATUS(muster_checkpoint_close(checkpoint), 0);
  CHECK_STATUS(muster_checkpoint_open(context, &(muster_checkpoint_options){.flags = MUSTER_REGION_ATTACH | MUSTER_REGION_FILE},
                                      &checkpoint), EIO);
}

static void the_name_is_durable(void) {
  char path[300];
  snprintf(path, sizeof path, "%s/states", test_folder());
  unsigned descriptors = count_descriptors();
  test_join(test_fork(create_and_die, path), SIGSYS);
  CHECK(inode_of(path) != 0);
  test_join(test_fork(look_without_a_disk, path), 0);
  test_join(test_fork(open_states, path), 0);
  CHECK_EQUAL(count_descriptors(), descriptors);
}

TEST_SUITE(checkpoint_disk, {"cut_while_committing", cut_while_committing, 60},
           {"cut_with_plain_commits_between", cut_with_plain_commits_between, 60},
           {"plain_commits_cost_no_durable_one", plain_commits_cost_no_durable_one, 60},
           {"plain_commits_after_taking_over", plain_commits_after_taking_over, 60},
           {"refused_and_plain_commits", refused_and_plain_commits, 60},
           {"fence_survives_a_cut", fence_survives_a_cut, 0}, {"disk_errors", disk_errors, 0},
           {"torn_files", torn_files, 0}, {"the_name_is_durable", the_name_is_durable, 0}, {"earlier_boot", earlier_boot, 0});
