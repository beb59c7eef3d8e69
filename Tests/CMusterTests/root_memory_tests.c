// Memory, files and descriptors that are not to be had: nothing is left behind, and what was refused is told for what it is.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "root_support.h"

#define MS INT64_C(1000000)

// ---- fork(2) has no memory

typedef struct weight {
  unsigned char *at;
  size_t size;
} weight;

static int overcommits_by_guess(void) {
  FILE *file = fopen("/proc/sys/vm/overcommit_memory", "r");
  int kind = file ? fgetc(file) : EOF;
  if (file) fclose(file);
  return kind == '0';
}

// Two mappings, each less than the machine has, which become one that is more: a fork copies mappings whole, and is refused (proc(5),
// overcommit_memory: "obvious overcommits of address space").
static weight *put_on_weight(void) {
  static weight made;
  struct sysinfo about;
  REQUIRE(sysinfo(&about) == 0);
  size_t all = (about.totalram + about.totalswap) * about.mem_unit, half = all / 4 * 3 & ~(size_t)0xffff;
  made.size = 2 * half;
  made.at = mmap(NULL, made.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(made.at != MAP_FAILED);
  for (int k = 0; k < 2; k++) {
    void *part = made.at + (size_t)k * half;
    REQUIRE(mmap(part, half, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == part);
  }
  return &made;
}

static void lose_weight(const weight *made) { CHECK(munmap(made->at, made->size) == 0); }

static weight *of_the_root;

static void gain(muster_root *root) {
  (void)root;
  of_the_root = put_on_weight();
}

static void lose_at_the_third(muster_root *root, muster_root_event_kind kind, uint32_t daemon,
                              const muster_daemon_status *status, void *context) {
  (void)context;
  if (kind == MUSTER_ROOT_NOT_FORKED) {
    CHECK_EQUAL(daemon, 0);
    CHECK_EQUAL(status->fork_error, ENOMEM);
    CHECK_EQUAL(status->starts, 0);
    CHECK_EQUAL(status->attempts, 0);
    if (++board->order == 3) lose_weight(of_the_root);
  }
  if (kind == MUSTER_ROOT_STARTED) {
    CHECK_EQUAL(status->fork_error, 0);
    muster_root_stop(root);
  }
}

static void fork_has_no_memory(void) {
  if (!overcommits_by_guess()) test_skip("vm.overcommit_memory is not 0");
  const muster_daemon_spec spec = {.name = "a", .run = root_test_idle, .state_size = 8, .tries = 1};
  root_test_scene scene = {.specs = &spec, .count = 1, .before = gain, .options.tell = lose_at_the_third};
  root_test_begin(&scene);
  root_test_join(&scene, 0);
  CHECK_EQUAL(board->order, 3);
}

static int adds_one(void *state, uint64_t size, void *context) {
  (void)size;
  (void)context;
  return ++*(uint64_t *)state, 0;
}

// The attempt after the one that crashes is refused.
static int crashes(void *state, uint64_t size, void *context) {
  (void)adds_one(state, size, NULL);
  while (!__atomic_load_n((uint32_t *)context, __ATOMIC_ACQUIRE)) test_pause(MS / 10);
  raise(SIGKILL);
  return 0;
}

static int has_no_memory(muster_daemon *self, void *context) {
  uint64_t *state = muster_daemon_state(self);
  root_test_place *place = &board->places[0];
  muster_transaction_outcome outcome;
  const weight *mine = put_on_weight();
  CHECK_STATUS(muster_daemon_transact(self, adds_one, NULL, NULL, &outcome), ENOMEM);
  *state += 10;
  lose_weight(mine);
  CHECK_STATUS(muster_daemon_transact(self, adds_one, NULL, NULL, &outcome), 0);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_COMMITTED);
  CHECK_EQUAL(*state, 11);
  CHECK_STATUS(muster_daemon_begin(self, crashes, &place->gate, NULL), 0);
  mine = put_on_weight();
  gate_open(&place->gate, 1);
  CHECK_STATUS(muster_daemon_finish(self, soon(), &outcome), 0);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_FAILED);
  CHECK_EQUAL(outcome.value, ENOMEM);
  CHECK_EQUAL(outcome.attempts, 1);
  *state += 10;
  lose_weight(mine);
  CHECK_STATUS(muster_daemon_transact(self, adds_one, NULL, NULL, &outcome), 0);
  CHECK_EQUAL(*state, 22);
  place->value = 1 + (uint64_t)test_result();
  return root_test_polite(self, context);
}

static void transaction_has_no_memory(void) {
  if (!overcommits_by_guess()) test_skip("vm.overcommit_memory is not 0");
  const muster_daemon_spec spec = {.name = "a", .run = has_no_memory, .state_size = 8};
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  CHECK_EQUAL(board->places[0].value, 1);
  root_test_end(&scene);
}

// ---- The region

static uint64_t address_space(void) {
  unsigned long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%lu", &pages) != 1) pages = 0;
  if (file) fclose(file);
  REQUIRE(pages);
  return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

// With so much address space more than there is taken; 0: as much as there is.
static int lay_within(const char *name, uint64_t bytes, uint64_t more) {
  const muster_daemon_spec spec = {.name = "a", .run = root_test_idle, .state_size = bytes};
  unsigned before = count_descriptors();
  struct rlimit all, limit;
  getrlimit(RLIMIT_AS, &all);
  limit = all;
  if (more) limit.rlim_cur = address_space() + more;
  REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
  muster_root *root;
  int status = muster_root_start(name, &spec, 1, NULL, &root);
  REQUIRE(setrlimit(RLIMIT_AS, &all) == 0);
  CHECK_EQUAL(root != NULL, status == 0);
  muster_root_close(root);
  CHECK_EQUAL(count_descriptors(), before);
  CHECK_EQUAL(access(shm_path(name), F_OK), -1);
  return status;
}

static int lay(const char *name, uint64_t bytes) { return lay_within(name, bytes, 0); }

// At each limit of the address space it is refused whole, or starts.
static void address_space_is_limited(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  test_skip("a sanitizer has all of the address space");
#endif
  const char *name = test_name("limited");
  unsigned refused = 0;
  int status = ENOMEM;
  for (uint64_t more = 4096; status && more < 64 << 20; more += more < 128 << 10 ? 4096 : 128 << 10) {
    status = lay_within(name, 1 << 20, more);
    refused += status != 0;
    if (status) CHECK_STATUS(status, ENOMEM);
  }
  CHECK_STATUS(status, 0);
  CHECK(refused > 10);
}

static void file_system_is_full(void) {
  mount_private("/dev/shm", 0, "size=256k");
  const char *name = test_name("full");
  CHECK_STATUS(lay(name, 1 << 20), ENOSPC);
  // All but some pages of it belong to others.
  char bytes[4096] = {0};
  FILE *file = fopen("/dev/shm/other", "w");
  REQUIRE(file);
  for (int k = 0; k < 60; k++) CHECK(fwrite(bytes, sizeof bytes, 1, file) == 1);
  CHECK(fclose(file) == 0);
  CHECK_STATUS(lay(name, 64 << 10), ENOSPC);
  CHECK_EQUAL(count_names("/dev/shm", ""), 1);
  CHECK(unlink("/dev/shm/other") == 0);
  CHECK_STATUS(lay(name, 64 << 10), 0);
}

static void file_is_too_large(void) {
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = 256 << 10;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  CHECK_STATUS(lay(test_name("large"), 1 << 20), EOVERFLOW);
  CHECK_STATUS(lay(test_name("large"), 1 << 10), 0);
}

// ---- Who asks has no descriptors: that says nothing of the root.

static void asked_without_descriptors(void) {
  const muster_daemon_spec spec = {.name = "a", .run = root_test_idle, .state_size = 8};
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  muster_root_status status;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  struct rlimit none = {0, limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  int refused = muster_root_view_root(scene.view, &status);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK_STATUS(refused, EMFILE);
  CHECK_STATUS(muster_root_view_root(scene.view, &status), 0);
  CHECK_EQUAL(status.alive, 1);
  kill_process(scene.pid);
  for (muster_deadline end = soon(); status.alive; test_pause(MS)) {
    REQUIRE(!muster_deadline_passed(end));
    CHECK_STATUS(muster_root_view_root(scene.view, &status), 0);
  }
  muster_root_view_close(scene.view);
  for (muster_deadline end = soon(); muster_region_remove(scene.name, 0) == EBUSY; test_pause(MS))
    REQUIRE(!muster_deadline_passed(end));
}

TEST_SUITE(root_memory, {"fork_has_no_memory", fork_has_no_memory, 0},
           {"transaction_has_no_memory", transaction_has_no_memory, 0},
           {"address_space_is_limited", address_space_is_limited, 0}, {"file_system_is_full", file_system_is_full, 0},
           {"file_is_too_large", file_is_too_large, 0}, {"asked_without_descriptors", asked_without_descriptors, 0});
