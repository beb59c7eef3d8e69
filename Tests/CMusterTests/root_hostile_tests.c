// What a root leaves in shared memory is input for those who look: bytes of it are changed at random, and nobody crashes or hangs.
// And rows, which are read while they are written.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/root.h"
#include "root_support.h"

static int nothing(muster_daemon *self, void *context) {
  (void)self;
  (void)context;
  return 0;
}

static muster_root *lay(const char *name) {
  static const muster_daemon_spec specs[] = {
      {.name = "a", .run = nothing, .state_size = 5000, .checkpoints = 3},
      {.name = "b", .run = nothing, .state_size = 100, .transaction_pages = MUSTER_ROOT_NONE},
  };
  muster_root *root;
  REQUIRE(muster_root_start(name, specs, 2, NULL, &root) == 0);
  return root;
}

// The file, as one who may write to it has it.
static unsigned char *map_file(const char *name, size_t *size) {
  int file = open(shm_path(name), O_RDWR | O_CLOEXEC);
  struct stat about;
  REQUIRE(file >= 0 && fstat(file, &about) == 0);
  *size = (size_t)about.st_size;
  void *bytes = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  REQUIRE(bytes != MAP_FAILED);
  close(file);
  return bytes;
}

static void look_at_all(const muster_root_view *view) {
  muster_root_status root;
  (void)!muster_root_view_root(view, &root);
  uint32_t count = muster_root_view_count(view);
  CHECK(count >= 1 && count <= MUSTER_ROOT_DAEMONS_MAX);
  for (uint32_t k = 0; k < count; k++) {
    muster_daemon_status status;
    unsigned char bytes[100];
    if (!muster_root_view_daemon(view, k, &status)) {
      CHECK(memchr(status.name, 0, sizeof status.name) != NULL);
      (void)muster_daemon_phase_text(status.phase);
      (void)muster_daemon_end_text(status.death.how);
      (void)muster_daemon_rung_text(status.rung);
    }
    (void)!muster_root_view_read(view, k, 0, bytes, sizeof bytes);
    (void)!muster_root_view_read(view, k, UINT64_MAX - 5, bytes, sizeof bytes);
  }
}

static void look_from_outside(const char *name) {
  muster_root_view *view;
  if (muster_root_observe(name, 0, &view)) return;
  look_at_all(view);
  muster_root_view_close(view);
}

// The header, the rows, and where the arenas begin: what anything is decided by.
static size_t somewhere(uint64_t *seed, const muster_root *root) {
  uint64_t at = test_random(seed);
  switch (at % 4) {
    case 0: return ROOT_HEAD_OFFSET + (at >> 8) % sizeof(root_head);
    case 1: return ROOT_SLOTS_OFFSET + (at >> 8) % (2 * ROOT_SLOT_SIZE);
    case 2: return root->parts[(at >> 8) % 2].place.desk + (at >> 9) % 64;
    default: return root->parts[(at >> 8) % 2].place.arena + (at >> 9) % 512;
  }
}

static void scribbled(void) {
  uint64_t seed = test_seed();
  const char *name = test_name("hostile");
  muster_root *root = lay(name);
  size_t size;
  unsigned char *bytes = map_file(name, &size), *whole = shared_memory(size);
  memcpy(whole, bytes, size);
  muster_root_view *view;
  CHECK_STATUS(muster_root_observe(name, 0, &view), 0);
  unsigned turns = 3000 / test_slower();
  for (unsigned k = 0; k < turns; k++) {
    for (uint64_t more = 1 + test_random(&seed) % 8; more; more--)
      bytes[somewhere(&seed, root)] = test_random(&seed) % 3 ? (unsigned char)test_random(&seed) : 0xff;
    look_at_all(view);
    look_from_outside(name);
    if (k % 4 == 3) memcpy(bytes + MUSTER_REGION_HEADER_SIZE, whole + MUSTER_REGION_HEADER_SIZE, size - MUSTER_REGION_HEADER_SIZE);
  }
  muster_root_view_close(view);
  munmap(bytes, size);
  muster_root_close(root);
}

static void refused_at_once(void) {
  const char *name = test_name("refused");
  muster_root *root = lay(name);
  size_t size;
  unsigned char *bytes = map_file(name, &size);
  root_head *head = (root_head *)(void *)(bytes + ROOT_HEAD_OFFSET), good = *head;
  muster_root_view *view;
  const struct {
    root_head head;
    int status;
  } table[] = {
      {{.magic = 1}, EBADMSG},
      {{.magic = good.magic, .version = 9, .page = good.page, .count = 2, .size = good.size}, EPROTO},
      {{.magic = good.magic, .version = good.version, .page = 123, .count = 2, .size = good.size}, EPROTO},
      {{.magic = good.magic, .version = good.version, .page = good.page, .count = 0, .size = good.size}, EBADMSG},
      {{.magic = good.magic, .version = good.version, .page = good.page, .count = UINT32_MAX, .size = good.size}, EBADMSG},
      {{.magic = good.magic, .version = good.version, .page = good.page, .count = 4096, .size = good.size}, EBADMSG},
      {{.magic = good.magic, .version = good.version, .page = good.page, .count = 2, .size = good.size + 1}, EBADMSG},
  };
  for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
    *head = table[k].head;
    CHECK_STATUS(muster_root_observe(name, 0, &view), table[k].status);
    CHECK(!view);
  }
  *head = good;
  // One whose arena can't be is told; the other is as it was.
  root_slot *slot = (root_slot *)(void *)(bytes + ROOT_SLOTS_OFFSET);
  slot->arena_size = UINT64_MAX - 100;
  CHECK_STATUS(muster_root_observe(name, 0, &view), 0);
  muster_daemon_status status;
  CHECK_STATUS(muster_root_view_daemon(view, 0, &status), 0);
  CHECK_EQUAL(status.arena_error, EBADMSG);
  CHECK_STATUS(muster_root_view_read(view, 0, 0, &status, 1), EBADMSG);
  CHECK_STATUS(muster_root_view_daemon(view, 1, &status), 0);
  CHECK_EQUAL(status.arena_error, 0);
  // A row that no root wrote.
  slot->row.stamps[slot->row.latest & 1] = 77;
  CHECK_STATUS(muster_root_view_daemon(view, 0, &status), EBADMSG);
  muster_root_view_close(view);
  munmap(bytes, size);
  muster_root_close(root);
}

static void another_kind(void) {
  const char *name = test_name("kind");
  REQUIRE(make_region(name, MUSTER_REGION_CREATE, 4096) == 0);
  muster_root_view *view;
  CHECK_STATUS(muster_root_observe(name, 0, &view), EPROTO);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// ---- Rows

static root_row row;
static uint32_t stop;

static void *writes(void *context) {
  (void)context;
  uint64_t words[ROOT_WORDS];
  for (uint64_t number = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); number++) {
    for (int k = 0; k < ROOT_WORDS; k++) words[k] = number;
    muster_root_row_write(&row, words, ROOT_WORDS);
  }
  return NULL;
}

static void rows_are_whole(void) {
  pthread_t writer;
  REQUIRE(pthread_create(&writer, NULL, writes, NULL) == 0);
  uint64_t last = 0, words[ROOT_WORDS];
  unsigned turns = 200000 / test_slower(), read = 0;
  for (unsigned turn = 0; turn < turns; turn++) {
    int status = muster_root_row_read(&row, words, ROOT_WORDS);
    CHECK(status == 0 || status == EAGAIN);
    if (status) continue;
    read++;
    for (int k = 1; k < ROOT_WORDS; k++) CHECK_EQUAL(words[k], words[0]);
    CHECK(words[0] >= last);
    last = words[0];
  }
  CHECK(read > 0);
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  pthread_join(writer, NULL);
}

TEST_SUITE(root_hostile, {"scribbled", scribbled, 0}, {"refused_at_once", refused_at_once, 0}, {"another_kind", another_kind, 0},
           {"rows_are_whole", rows_are_whole, 0});
