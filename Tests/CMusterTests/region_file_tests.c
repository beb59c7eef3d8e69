// Regions in files, where the name and the draft live: durability, renewal, folders, full and read-only file systems,
// file systems without O_TMPFILE, and creators that die or stop on the way.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/region_layout.h"
#include "support.h"

#if defined(SYS_unlink)
#define UNLINK SYS_unlink
#define LINK SYS_link
#else
#define UNLINK SYS_unlinkat
#define LINK SYS_linkat
#endif

enum { FILE_REGION = MUSTER_REGION_FILE };

static const char *in_folder(const char *last) {
  static char paths[4][512];
  static unsigned used;
  char *path = paths[used++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", test_folder(), last);
  return path;
}

static int count_call(void *payload, size_t size, void *context) {
  (void)payload, (void)size;
  __atomic_add_fetch((uint32_t *)context, 1, __ATOMIC_RELAXED);
  return 0;
}

static void contents_survive(void) {
  const char *path = in_folder("store");
  muster_region *region;
  CHECK_STATUS(open_region(path, MUSTER_REGION_OPEN | FILE_REGION, 10000, &region), 0);
  memset(muster_region_payload(region), 0x3c, 10000);
  errno = 4242;
  CHECK_STATUS(muster_region_sync(region), 0);
  CHECK_STATUS(muster_region_current(region), 0);
  CHECK_EQUAL(errno, 4242);
  muster_region_close(region);
  muster_region_info info;
  CHECK_STATUS(muster_region_inspect(path, FILE_REGION, &info), 0);
  CHECK(!strcmp(info.name, "store"));
  CHECK_EQUAL(info.held, 0);
  CHECK_STATUS(open_region(path, MUSTER_REGION_OPEN | FILE_REGION, 10000, &region), 0);
  CHECK_EQUAL(muster_region_created(region), 0);
  CHECK(!strcmp(muster_region_name(region), path));
  CHECK_EQUAL(((unsigned char *)muster_region_payload(region))[9999], 0x3c);
  CHECK_STATUS(muster_region_remove(path, FILE_REGION), EBUSY);
  muster_region_close(region);
  // A path is no name, nor the other way round.
  CHECK_STATUS(muster_region_remove(path, 0), EINVAL);
  CHECK_STATUS(muster_region_remove(path, FILE_REGION), 0);
  CHECK_EQUAL(count_names(test_folder(), ""), 0);
}

static void paths_of_all_kinds(void) {
  muster_region *region;
  REQUIRE(chdir(test_folder()) == 0 && mkdir("deep", 0700) == 0 && symlink("deep", "short") == 0);
  const char *good[] = {"plain", "./dotted", "deep/in", "deep//twice", "deep/../up", "short/by-link"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    CHECK_STATUS(open_region(good[i], MUSTER_REGION_CREATE | FILE_REGION, 64, &region), 0);
    if (!region) continue;
    CHECK_STATUS(muster_region_current(region), 0);
    CHECK_STATUS(muster_region_sync(region), 0);
    muster_region_close(region);
    CHECK_STATUS(muster_region_remove(good[i], FILE_REGION), 0);
  }
  const char *bad[] = {"", "/", "deep/", ".", "..", "deep/..", "deep/."};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK_STATUS(open_region(bad[i], MUSTER_REGION_OPEN | FILE_REGION, 64, &region), EINVAL);
  CHECK_STATUS(open_region("no/such", MUSTER_REGION_OPEN | FILE_REGION, 64, &region), ENOENT);
  // A deadline is for a name to appear, not for a folder to create it in.
  muster_region_options options = {.flags = MUSTER_REGION_OPEN | FILE_REGION, .size = 64,
                                   .deadline = MUSTER_DEADLINE_NEVER};
  CHECK_STATUS(muster_region_open("no/such", &options, &region), ENOENT);
  write_file("flat", "x", 1);
  CHECK_STATUS(open_region("flat/such", MUSTER_REGION_OPEN | FILE_REGION, 64, &region), ENOTDIR);
  REQUIRE(chdir("/") == 0);
}

static void renewed_when_nobody_holds_it(void) {
  for (int file = 0; file < 2; file++) {
    const char *name = file ? in_folder("renew") : test_name("renew");
    uint32_t *count = shared_memory(4096), flags = file ? FILE_REGION : 0;
    muster_region *first, *second;
    muster_region_options options = {.flags = MUSTER_REGION_OPEN | flags, .size = 64, .renew = count_call,
                                     .context = count};
    CHECK_STATUS(muster_region_open(name, &options, &first), 0);
    CHECK_EQUAL(*count, 0);
    CHECK_STATUS(muster_region_open(name, &options, &second), 0);
    CHECK_EQUAL(*count, 0);
    muster_region_close(first);
    CHECK_STATUS(muster_region_open(name, &options, &first), 0);
    CHECK_EQUAL(*count, 0);
    muster_region_close(first);
    muster_region_close(second);
    CHECK_STATUS(muster_region_open(name, &options, &first), 0);
    CHECK_EQUAL(*count, 1);
    muster_region_close(first);
    // Who only reads does not renew, and does not keep others from it, as one that watches a file for years would; nor
    // does who peeks.
    muster_region_options look = {.flags = MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY | flags, .renew = count_call,
                                  .context = count};
    CHECK_STATUS(muster_region_open(name, &look, &second), 0);
    CHECK_STATUS(muster_region_open(name, &options, &first), 0);
    CHECK_EQUAL(*count, 2);
    muster_region_close(second);
    muster_region_close(first);
    look.flags |= MUSTER_REGION_PEEK;
    CHECK_STATUS(muster_region_open(name, &look, &second), 0);
    CHECK_STATUS(muster_region_open(name, &options, &first), 0);
    CHECK_EQUAL(*count, 3);
    muster_region_close(second);
    muster_region_close(first);
    // What doesn't match is not touched.
    options.size = 65;
    CHECK_STATUS(muster_region_open(name, &options, &first), EPROTO);
    CHECK_EQUAL(*count, 3);
    CHECK_STATUS(muster_region_remove(name, flags), 0);
  }
}

static void a_restart_of_the_machine_is_told_and_renewed(void) {
  const char *path = in_folder("boot");
  muster_region_info info;
  uint32_t *count = shared_memory(4096);
  muster_region *region;
  CHECK_STATUS(make_region(path, FILE_REGION, 64), 0);
  int file = open(path, O_RDWR | O_CLOEXEC);
  uint8_t other[16] = {1, 2, 3};
  CHECK_EQUAL(pwrite(file, other, sizeof other, offsetof(region_header, boot)), (long)sizeof other);
  close(file);
  CHECK_STATUS(muster_region_inspect(path, FILE_REGION, &info), 0);
  CHECK_EQUAL(info.this_boot, 0);
  CHECK_STATUS(open_region(path, MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY | FILE_REGION, 0, &region), 0);
  muster_region_close(region);
  CHECK_STATUS(muster_region_inspect(path, FILE_REGION, &info), 0);
  CHECK_EQUAL(info.this_boot, 0);
  muster_region_options options = {.flags = MUSTER_REGION_OPEN | FILE_REGION, .size = 64, .renew = count_call,
                                   .context = count};
  CHECK_STATUS(muster_region_open(path, &options, &region), 0);
  CHECK_EQUAL(*count, 1);
  CHECK_STATUS(muster_region_inspect(path, FILE_REGION, &info), 0);
  CHECK_EQUAL(info.this_boot, 1);
  muster_region_close(region);
  CHECK_STATUS(muster_region_remove(path, FILE_REGION), 0);
}

static void die_in(void *payload) {
  *(int *)payload = 1;
  raise(SIGKILL);
}

static int die_in_callback(void *payload, size_t size, void *context) {
  (void)size, (void)context;
  die_in(payload);
  return 0;
}

typedef struct creator {
  const char *name;
  uint32_t flags;
  uint32_t *gate;
  void (*first)(void);  // what happens in the child before it opens
  muster_region_fill initialize;
  muster_region_fill renew;
} creator;

static void open_and_close(void *context) {
  creator *given = context;
  muster_region *region;
  if (given->first) given->first();
  muster_region_options options = {.flags = given->flags, .size = 64, .initialize = given->initialize,
                                   .renew = given->renew, .context = given->gate};
  CHECK_STATUS(muster_region_open(given->name, &options, &region), 0);
  muster_region_close(region);
}

static void a_renewer_that_dies_leaves_it_to_the_next(void) {
  creator given = {.name = test_name("rd"), .flags = MUSTER_REGION_OPEN, .renew = die_in_callback};
  CHECK_STATUS(make_region(given.name, 0, 64), 0);
  test_join(test_fork(open_and_close, &given), SIGKILL);
  uint32_t count = 0;
  muster_region *region;
  muster_region_options options = {.flags = MUSTER_REGION_OPEN, .size = 64, .renew = count_call, .context = &count};
  CHECK_STATUS(muster_region_open(given.name, &options, &region), 0);
  CHECK_EQUAL(count, 1);
  CHECK_EQUAL(*(int *)muster_region_payload(region), 1);
  muster_region_close(region);
  CHECK_STATUS(muster_region_remove(given.name, 0), 0);
}

static void a_creator_that_dies_leaves_nothing(void) {
  creator given = {.name = test_name("dies"), .flags = MUSTER_REGION_OPEN, .initialize = die_in_callback};
  for (int i = 0; i < 20; i++) {
    char draft[64];
    pid_t pid = test_fork(open_and_close, &given);
    test_join(pid, SIGKILL);
    snprintf(draft, sizeof draft, ".muster-draft-%d-", (int)pid);
    CHECK_EQUAL(count_names("/dev/shm", given.name) + count_names("/dev/shm", draft), 0);
  }
}

static int wait_at_gate(void *payload, size_t size, void *context) {
  (void)size;
  *(int *)payload = 7;
  gate_open(context, 1);
  gate_wait(context, 2);
  return 0;
}

static void open_slowly(void *context) {
  creator *given = context;
  muster_region *region;
  if (given->first) given->first();
  muster_region_options options = {.flags = given->flags, .size = 64, .initialize = wait_at_gate,
                                   .context = given->gate};
  CHECK_STATUS(muster_region_open(given->name, &options, &region), 0);
  CHECK_EQUAL(muster_region_created(region), 0);
  CHECK_EQUAL(*(int *)muster_region_payload(region), 8);
  muster_region_close(region);
}

static void no_tmpfile(void) { refuse_tmpfile(EOPNOTSUPP); }

// The stopped creator holds nobody up; when it goes on, it finds the name taken and attaches.
static void a_creator_that_stops_holds_nobody_up(void) {
  for (int named = 0; named < 2; named++) {
    creator given = {.name = in_folder("stops"), .flags = MUSTER_REGION_OPEN | FILE_REGION, .gate = shared_memory(4096),
                     .first = named ? no_tmpfile : NULL};
    muster_region *region;
    pid_t slow = test_fork(open_slowly, &given);
    gate_wait(given.gate, 1);
    stop_process(slow);
    CHECK_STATUS(open_region(given.name, MUSTER_REGION_ATTACH | FILE_REGION, 64, &region), ENOENT);
    CHECK_STATUS(open_region(given.name, MUSTER_REGION_CREATE | FILE_REGION, 64, &region), 0);
    *(int *)muster_region_payload(region) = 8;
    kill(slow, SIGCONT);
    gate_open(given.gate, 2);
    test_join(slow, 0);
    muster_region_close(region);
    CHECK_STATUS(muster_region_remove(given.name, FILE_REGION), 0);
    CHECK_EQUAL(count_names(test_folder(), ""), 0);
  }
}

static void without_tmpfile(void *context) {
  const char *path = context;
  muster_region *region;
  no_tmpfile();
  for (int i = 0; i < 3; i++) {
    CHECK_STATUS(open_region(path, MUSTER_REGION_CREATE | FILE_REGION, 5000, &region), 0);
    CHECK_EQUAL(muster_region_created(region), 1);
    CHECK_EQUAL(count_names(test_folder(), ""), 1);
    muster_region *other;
    CHECK_STATUS(open_region(path, MUSTER_REGION_CREATE | FILE_REGION, 5000, &other), EEXIST);
    CHECK_STATUS(open_region(path, MUSTER_REGION_OPEN | FILE_REGION, 5000, &other), 0);
    CHECK_EQUAL(muster_region_created(other), 0);
    muster_region_close(other);
    muster_region_close(region);
    CHECK_STATUS(muster_region_remove(path, FILE_REGION), 0);
  }
  uint32_t count = 0;
  muster_region_options options = {.flags = MUSTER_REGION_OPEN | FILE_REGION, .size = 64, .initialize = count_call,
                                   .context = &count};
  for (int i = 0; i < 2; i++) {
    CHECK_STATUS(muster_region_open(path, &options, &region), 0);
    CHECK_EQUAL(count, 1);
    muster_region_close(region);
  }
  CHECK_EQUAL(count_names(test_folder(), ""), 1);
}

static void a_draft_with_a_name_where_there_is_none_without(void) {
  const char *path = in_folder("named");
  test_join(test_fork(without_tmpfile, (void *)(uintptr_t)path), 0);
  CHECK_STATUS(muster_region_remove(path, FILE_REGION), 0);
}

static void die_at_unlink(void) { no_tmpfile(), die_at_call(UNLINK); }
static void die_at_link(void) { no_tmpfile(), die_at_call(LINK); }

typedef struct draft_names {
  char start[64];
  char found[256];
  unsigned count;
} draft_names;

static int find_draft(const muster_region_info *info, void *context) {
  draft_names *names = context;
  if (strncmp(info->name, names->start, strlen(names->start))) return 0;
  CHECK_EQUAL(info->held, 0);
  strcpy(names->found, info->name);
  names->count++;
  return 0;
}

// What a creator leaves that dies before it has linked, or between linking and unlinking, is shown and can be removed.
static void what_a_named_draft_leaves_can_be_removed(void) {
  void (*const deaths[])(void) = {die_at_link, die_at_unlink};
  for (int linked = 0; linked < 2; linked++) {
    creator given = {.name = test_name("draft"), .flags = MUSTER_REGION_OPEN, .first = deaths[linked]};
    draft_names names = {.count = 0};
    pid_t pid = test_fork(open_and_close, &given);
    test_join(pid, SIGSYS);
    snprintf(names.start, sizeof names.start, ".muster-draft-%d-", (int)pid);
    CHECK_STATUS(muster_region_list(find_draft, &names), 0);
    CHECK_EQUAL(names.count, 1);
    CHECK_EQUAL(inode_of(shm_path(given.name)) != 0, linked);
    muster_region *region;
    CHECK_STATUS(open_region(given.name, MUSTER_REGION_OPEN, 64, &region), 0);
    CHECK_EQUAL(muster_region_created(region), !linked);
    CHECK_STATUS(muster_region_remove(names.found, 0), linked ? EBUSY : 0);
    muster_region_close(region);
    CHECK_STATUS(muster_region_remove(given.name, 0), 0);
    if (linked) CHECK_STATUS(muster_region_remove(names.found, 0), 0);
    CHECK_EQUAL(count_names("/dev/shm", names.start), 0);
  }
}

// The draft of a creator that is at work is not taken for a leftover.
static void a_named_draft_at_work_is_held(void) {
  creator given = {.name = in_folder("work"), .flags = MUSTER_REGION_OPEN | FILE_REGION, .gate = shared_memory(4096),
                   .first = no_tmpfile, .initialize = wait_at_gate};
  pid_t slow = test_fork(open_and_close, &given);
  gate_wait(given.gate, 1);
  char command[600], path[600];
  snprintf(command, sizeof command, "ls %s/.muster-draft-*", test_folder());
  FILE *list = popen(command, "r");
  CHECK(list && fgets(path, sizeof path, list));
  pclose(list);
  path[strcspn(path, "\n")] = 0;
  CHECK_EQUAL(is_held(path, FILE_REGION), 1);
  CHECK_STATUS(muster_region_remove(path, FILE_REGION), EBUSY);
  gate_open(given.gate, 2);
  test_join(slow, 0);
  CHECK_STATUS(muster_region_remove(given.name, FILE_REGION), 0);
  CHECK_EQUAL(count_names(test_folder(), ""), 0);
}

static void a_full_file_system(void) {
  mount_private(test_folder(), 0, "size=128k");
  const char *path = in_folder("full");
  muster_region *region;
  for (int named = 0; named < 2; named++) {
    if (named) no_tmpfile();
    CHECK_STATUS(open_region(path, MUSTER_REGION_OPEN | FILE_REGION, 200000, &region), ENOSPC);
    CHECK_EQUAL(count_names(test_folder(), ""), 0);
    // Room that was promised is there: each byte can be touched, and the file system is as full as can be.
    CHECK_STATUS(open_region(path, MUSTER_REGION_OPEN | FILE_REGION, 100000, &region), 0);
    muster_region *second;
    CHECK_STATUS(open_region(in_folder("second"), MUSTER_REGION_OPEN | FILE_REGION, 100000, &second), ENOSPC);
    memset(muster_region_payload(region), 1, 100000);
    muster_region_close(region);
    CHECK_STATUS(muster_region_remove(path, FILE_REGION), 0);
    CHECK_EQUAL(count_names(test_folder(), ""), 0);
  }
  CHECK(umount(test_folder()) == 0);
}

static void a_read_only_file_system(void) {
  mount_private(test_folder(), MS_RDONLY, "size=128k");
  muster_region *region;
  CHECK_STATUS(open_region(in_folder("ro"), MUSTER_REGION_OPEN | FILE_REGION, 64, &region), EROFS);
  CHECK(umount(test_folder()) == 0);
}

static void as_nobody(void *context) {
  muster_region *region;
  REQUIRE(setgid(65534) == 0 && setuid(65534) == 0);
  CHECK_STATUS(open_region(context, MUSTER_REGION_OPEN | FILE_REGION, 64, &region), EACCES);
  CHECK_STATUS(open_region(context, MUSTER_REGION_CREATE | FILE_REGION, 64, &region), EACCES);
}

static void a_folder_that_one_may_not_write_to(void) {
  if (geteuid()) test_skip("needs root to be another user");
  CHECK(chmod(test_folder(), 0755) == 0);
  test_join(test_fork(as_nobody, (void *)(uintptr_t)in_folder("mine")), 0);
  CHECK_EQUAL(count_names(test_folder(), ""), 0);
}

// Two names of one file, one of them removed: who comes by the other finds a region, who came by the removed one does
// not.
static void a_second_name_of_the_same_file(void) {
  const char *path = in_folder("one"), *other = in_folder("two");
  muster_region *region;
  CHECK_STATUS(make_region(path, FILE_REGION, 64), 0);
  CHECK(link(path, other) == 0);
  CHECK_STATUS(open_region(path, MUSTER_REGION_ATTACH | FILE_REGION, 64, &region), 0);
  CHECK_STATUS(muster_region_remove(other, FILE_REGION), EBUSY);
  muster_region_close(region);
  CHECK_STATUS(muster_region_remove(path, FILE_REGION), 0);
  CHECK_STATUS(open_region(path, MUSTER_REGION_ATTACH | FILE_REGION, 64, &region), ENOENT);
  CHECK_STATUS(open_region(other, MUSTER_REGION_ATTACH | FILE_REGION, 64, &region), 0);
  muster_region_close(region);
  CHECK_STATUS(muster_region_remove(other, FILE_REGION), 0);
}

TEST_SUITE(region_file, {"contents_survive", contents_survive, 0}, {"paths_of_all_kinds", paths_of_all_kinds, 0},
           {"renewed_when_nobody_holds_it", renewed_when_nobody_holds_it, 0},
           {"a_restart_of_the_machine_is_told_and_renewed", a_restart_of_the_machine_is_told_and_renewed, 0},
           {"a_renewer_that_dies_leaves_it_to_the_next", a_renewer_that_dies_leaves_it_to_the_next, 0},
           {"a_creator_that_dies_leaves_nothing", a_creator_that_dies_leaves_nothing, 0},
           {"a_creator_that_stops_holds_nobody_up", a_creator_that_stops_holds_nobody_up, 0},
           {"a_draft_with_a_name_where_there_is_none_without", a_draft_with_a_name_where_there_is_none_without, 0},
           {"what_a_named_draft_leaves_can_be_removed", what_a_named_draft_leaves_can_be_removed, 0},
           {"a_named_draft_at_work_is_held", a_named_draft_at_work_is_held, 0},
           {"a_full_file_system", a_full_file_system, 0}, {"a_read_only_file_system", a_read_only_file_system, 0},
           {"a_folder_that_one_may_not_write_to", a_folder_that_one_may_not_write_to, 0},
           {"a_second_name_of_the_same_file", a_second_name_of_the_same_file, 0});
