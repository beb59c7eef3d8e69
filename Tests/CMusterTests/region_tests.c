// Regions: opening, attaching, what is refused and why, names, permissions, removal, looking, descriptors, fork.
// SPDX-License-Identifier: Apache-2.0
#include "muster/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

static int fill_pattern(void *payload, size_t size, void *context) {
  const unsigned char *zeros = payload;
  for (size_t i = 0; i < size; i++)
    if (zeros[i]) return EBADMSG;
  memset(payload, *(int *)context, size);
  return 0;
}

static void created_filled_and_attached_to(void) {
  const char *name = test_name("a");
  int pattern = 0x5a;
  muster_region *first, *second;
  muster_region_options options = {.flags = MUSTER_REGION_OPEN, .size = 5000, .initialize = fill_pattern,
                                   .context = &pattern};
  CHECK_STATUS(muster_region_open(name, &options, &first), 0);
  CHECK_EQUAL(muster_region_created(first), 1);
  CHECK_EQUAL(muster_region_size(first), 5000);
  CHECK_EQUAL((uintptr_t)muster_region_payload(first) % MUSTER_REGION_HEADER_SIZE, 0);
  CHECK(!strcmp(muster_region_name(first), name));
  CHECK_STATUS(muster_region_current(first), 0);
  CHECK_STATUS(muster_region_sync(first), 0);
  pattern = 1;
  CHECK_STATUS(muster_region_open(name, &options, &second), 0);
  CHECK_EQUAL(muster_region_created(second), 0);
  unsigned char *bytes = muster_region_payload(second);
  CHECK_EQUAL(bytes[0], 0x5a);
  CHECK_EQUAL(bytes[4999], 0x5a);
  ((unsigned char *)muster_region_payload(first))[17] = 3;
  CHECK_EQUAL(bytes[17], 3);
  // What shm_open finds at that name is the region.
  int file = shm_open(name, O_RDWR, 0);
  CHECK(file >= 0);
  unsigned char byte = 0;
  CHECK_EQUAL(pread(file, &byte, 1, MUSTER_REGION_HEADER_SIZE + 17), 1);
  CHECK_EQUAL(byte, 3);
  close(file);
  muster_region_close(first);
  muster_region_close(second);
  muster_region_close(NULL);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  CHECK_STATUS(muster_region_remove(name, 0), ENOENT);
}

static void a_payload_without_initialize_is_zeros(void) {
  const char *name = test_name("z");
  muster_region *region;
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, 3 * 4096 + 1, &region), 0);
  const unsigned char *bytes = muster_region_payload(region);
  size_t other = 0;
  for (size_t i = 0; i < muster_region_size(region); i++) other += bytes[i] != 0;
  CHECK_EQUAL(other, 0);
  muster_region_close(region);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void one_way_or_the_other(void) {
  const char *name = test_name("w");
  muster_region *region, *other;
  CHECK_STATUS(open_region(name, MUSTER_REGION_ATTACH, 64, &region), ENOENT);
  CHECK(!region);
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, 64, &region), 0);
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, 64, &other), EEXIST);
  CHECK(!other);
  CHECK_STATUS(open_region(name, MUSTER_REGION_ATTACH, 0, &other), 0);
  CHECK_EQUAL(muster_region_size(other), 64);
  muster_region_close(other);
  muster_region_close(region);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void options_that_no_call_accepts(void) {
  const char *name = test_name("o");
  muster_region *region;
  CHECK_STATUS(open_region(name, 0, 64, &region), EINVAL);
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, 0, &region), EINVAL);
  CHECK_STATUS(open_region(name, MUSTER_REGION_OPEN, 0, &region), EINVAL);
  CHECK_STATUS(open_region(name, MUSTER_REGION_OPEN | MUSTER_REGION_READ_ONLY, 64, &region), EINVAL);
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE | MUSTER_REGION_READ_ONLY, 64, &region), EINVAL);
  CHECK_STATUS(open_region(name, MUSTER_REGION_ATTACH | MUSTER_REGION_PEEK, 64, &region), EINVAL);
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, UINT64_MAX, &region), EINVAL);
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, UINT64_MAX - 255, &region), EINVAL);
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, INT64_MAX, &region), EINVAL);
  CHECK_EQUAL(inode_of(shm_path(name)), 0);
}

// What `initialize` returns is what open returns, whatever it is, at once and with nothing left.
static int fail_with(void *payload, size_t size, void *context) {
  (void)payload, (void)size;
  int *numbers = context;
  numbers[1]++;
  return numbers[0];
}

static void an_error_of_initialize_is_passed_on(void) {
  const char *name = test_name("i");
  const int errors[] = {EIO, EEXIST, ENOENT, EAGAIN, ETIMEDOUT, EBUSY, 12345};
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    for (int way = 0; way < 2; way++) {
      int numbers[2] = {errors[i], 0};
      muster_region *region;
      muster_region_options options = {.flags = way ? MUSTER_REGION_OPEN : MUSTER_REGION_CREATE, .size = 64,
                                       .initialize = fail_with, .context = numbers, .deadline = way ? soon() : 0};
      CHECK_STATUS(muster_region_open(name, &options, &region), errors[i]);
      CHECK(!region);
      CHECK_EQUAL(numbers[1], 1);
      CHECK_EQUAL(inode_of(shm_path(name)), 0);
    }
  }
}

static void an_error_of_renew_is_passed_on(void) {
  const char *name = test_name("r");
  const int errors[] = {EIO, EEXIST, ENOENT, EAGAIN};
  CHECK_STATUS(make_region(name, 0, 64), 0);
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    int numbers[2] = {errors[i], 0};
    muster_region *region;
    muster_region_options options = {.flags = MUSTER_REGION_OPEN, .size = 64, .renew = fail_with, .context = numbers};
    CHECK_STATUS(muster_region_open(name, &options, &region), errors[i]);
    CHECK(!region);
    CHECK_EQUAL(numbers[1], 1);
    CHECK_EQUAL(is_held(name, 0), 0);
  }
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void differs(const char *name, muster_region_options options, muster_mismatch_kind kind, uint64_t expected,
                    uint64_t found) {
  muster_mismatch mismatch = {99, 99, 99};
  muster_region *region;
  options.mismatch = &mismatch;
  CHECK_STATUS(muster_region_open(name, &options, &region), kind ? EPROTO : 0);
  CHECK_EQUAL(mismatch.kind, kind);
  CHECK_EQUAL(mismatch.expected, expected);
  CHECK_EQUAL(mismatch.found, found);
  muster_region_close(region);
}

static void what_differs_is_told(void) {
  const char *name = test_name("d");
  const muster_region_options made = {.flags = MUSTER_REGION_OPEN, .size = 640, .kind = MUSTER_KIND('T', 'E', 'S', 'T'),
                                      .version = 7, .layout = UINT64_C(0x123456789abcdef0)};
  muster_region *region;
  CHECK_STATUS(muster_region_open(name, &made, &region), 0);
  muster_region_options other = made;
  differs(name, other, MUSTER_MISMATCH_NONE, 0, 0);
  other.kind++;
  differs(name, other, MUSTER_MISMATCH_KIND, other.kind, made.kind);
  other.kind = 0, other.version = 8;
  differs(name, other, MUSTER_MISMATCH_NONE, 0, 0);
  other.kind = made.kind;
  differs(name, other, MUSTER_MISMATCH_VERSION, 8, 7);
  other.version = 7, other.layout ^= UINT64_C(1) << 63;
  differs(name, other, MUSTER_MISMATCH_LAYOUT, other.layout, made.layout);
  other.layout = 0;
  differs(name, other, MUSTER_MISMATCH_NONE, 0, 0);
  other.size = 641;
  differs(name, other, MUSTER_MISMATCH_SIZE, 641, 640);
  other.flags = MUSTER_REGION_ATTACH, other.size = 0;
  differs(name, other, MUSTER_MISMATCH_NONE, 0, 0);
  uint32_t format = 2;
  int file = shm_open(name, O_RDWR, 0);
  CHECK_EQUAL(pwrite(file, &format, sizeof format, 8), (long)sizeof format);
  differs(name, other, MUSTER_MISMATCH_FORMAT, 1, 2);
  // Without a place to tell it in.
  muster_region *refused;
  CHECK_STATUS(open_region(name, MUSTER_REGION_ATTACH, 0, &refused), EPROTO);
  close(file);
  muster_region_close(region);
  // Another format of Muster's own may be removed all the same.
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void write_a_byte(void *context) { *(volatile unsigned char *)context = 1; }

static void a_read_only_mapping_is_one(void) {
  const char *name = test_name("ro");
  muster_region *region;
  CHECK_STATUS(make_region(name, 0, 4096), 0);
  CHECK_STATUS(open_region(name, MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY, 0, &region), 0);
  CHECK_EQUAL(signal_of(write_a_byte, muster_region_payload(region)), SIGSEGV);
  unsigned seen = 0;
  char line[1024], rights[8];
  unsigned long from;
  FILE *maps = fopen("/proc/self/maps", "re");
  while (maps && fgets(line, sizeof line, maps)) {
    if (!strstr(line, name) || sscanf(line, "%lx-%*x %7s", &from, rights) != 2) continue;
    seen++;
    CHECK(!strcmp(rights, "r--s"));
  }
  fclose(maps);
  CHECK_EQUAL(seen, 1);
  CHECK(mprotect((void *)from, 4096, PROT_READ | PROT_WRITE) && errno == EACCES);
  muster_region_close(region);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void permissions_are_exact(void) {
  const uint32_t modes[] = {0, 0600, 0666, 0640, 0644, 0777};
  const mode_t masks[] = {0, 022, 077, 0777};
  const char *name = test_name("m");
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
    for (size_t j = 0; j < sizeof masks / sizeof *masks; j++) {
      mode_t before = umask(masks[j]);
      muster_region *region;
      muster_region_options options = {.flags = MUSTER_REGION_CREATE, .size = 64, .mode = modes[i]};
      CHECK_STATUS(muster_region_open(name, &options, &region), 0);
      CHECK_EQUAL(umask(before), masks[j]);
      struct stat status;
      CHECK(stat(shm_path(name), &status) == 0);
      CHECK_EQUAL(status.st_mode & 07777, modes[i] ? modes[i] : 0600);
      muster_region_info info;
      CHECK_STATUS(muster_region_inspect(name, 0, &info), 0);
      CHECK_EQUAL(info.mode, modes[i] ? modes[i] : 0600);
      muster_region_close(region);
      CHECK(unlink(shm_path(name)) == 0);
    }
  }
}

typedef struct name_in {
  const char *name;
  muster_region *region;
} name_in;

static void as_another_user(void *context) {
  name_in *given = context;
  muster_region_info info;
  REQUIRE(setgid(65534) == 0 && setuid(65534) == 0);
  uint32_t look = MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY;
  CHECK_STATUS(open_region(given->name, MUSTER_REGION_ATTACH, 0, &given->region), EACCES);
  CHECK_STATUS(open_region(given->name, look, 0, &given->region), EACCES);
  CHECK_STATUS(open_region(given->name, look | MUSTER_REGION_ANY_OWNER, 0, &given->region), 0);
  muster_region_close(given->region);
  CHECK_STATUS(muster_region_inspect(given->name, 0, &info), 0);
  CHECK_EQUAL(info.user, 0);
  CHECK_STATUS(muster_region_remove(given->name, 0), EACCES);
  CHECK_STATUS(muster_region_remove(given->name, MUSTER_REGION_ANY_OWNER), EACCES);
}

static void theirs_is_refused_unless_asked_for(void) {
  if (geteuid()) test_skip("needs root to be another user");
  name_in given = {.name = test_name("u")};
  muster_region_options options = {.flags = MUSTER_REGION_CREATE, .size = 64, .mode = 0644};
  CHECK_STATUS(muster_region_open(given.name, &options, &given.region), 0);
  muster_region_close(given.region);
  test_join(test_fork(as_another_user, &given), 0);
  // The other way round: root has all permissions, and still does not take what another user laid there.
  CHECK(chown(shm_path(given.name), 65534, 65534) == 0);
  CHECK_STATUS(open_region(given.name, MUSTER_REGION_OPEN, 64, &given.region), EACCES);
  CHECK_STATUS(open_region(given.name, MUSTER_REGION_OPEN | MUSTER_REGION_ANY_OWNER, 64, &given.region), 0);
  muster_region_close(given.region);
  CHECK_STATUS(muster_region_remove(given.name, 0), EACCES);
  CHECK_STATUS(muster_region_remove(given.name, MUSTER_REGION_ANY_OWNER), 0);
}

static void names(void) {
  char longest[300];
  muster_region *region;
  const char *bad[] = {"", "/", ".", "..", "/.", "/..", "a/b", "//a", "/a/", "a/", "../a", "./a"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    CHECK_STATUS(open_region(bad[i], MUSTER_REGION_OPEN, 64, &region), EINVAL);
    CHECK_STATUS(muster_region_remove(bad[i], 0), EINVAL);
    muster_region_info info;
    CHECK_STATUS(muster_region_inspect(bad[i], 0, &info), EINVAL);
  }
  const char *name = test_name("n");
  snprintf(longest, sizeof longest, "/%s", name);
  CHECK_STATUS(make_region(longest, 0, 64), 0);
  CHECK_STATUS(make_region(name, 0, 64), EEXIST);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  size_t length = (size_t)snprintf(longest, sizeof longest, "/%s-", name);
  memset(longest + length, 'x', sizeof longest - length);
  longest[257] = 0;
  CHECK_STATUS(open_region(longest, MUSTER_REGION_OPEN, 64, &region), ENAMETOOLONG);
  CHECK_STATUS(open_region(longest + 1, MUSTER_REGION_OPEN, 64, &region), ENAMETOOLONG);
  CHECK_STATUS(muster_region_remove(longest, 0), ENAMETOOLONG);
  longest[256] = 0;
  CHECK_STATUS(open_region(longest, MUSTER_REGION_OPEN, 64, &region), 0);
  muster_region_info info;
  CHECK_STATUS(muster_region_inspect(longest, 0, &info), 0);
  CHECK(!strcmp(info.name, longest + 1));
  muster_region_close(region);
  CHECK_STATUS(muster_region_remove(longest + 1, 0), 0);
}

static void attach_with_a_deadline(void *context) {
  muster_region *region;
  muster_region_options options = {.flags = MUSTER_REGION_ATTACH, .deadline = soon()};
  CHECK_STATUS(muster_region_open(context, &options, &region), 0);
  CHECK_EQUAL(*(unsigned char *)muster_region_payload(region), 0x77);
  muster_region_close(region);
}

static void attaching_waits_for_the_name(void) {
  const char *name = test_name("wait");
  muster_region *region;
  muster_region_options late = {.flags = MUSTER_REGION_ATTACH, .deadline = muster_deadline_after(20000000)};
  CHECK_STATUS(muster_region_open(name, &late, &region), ETIMEDOUT);
  CHECK(muster_deadline_passed(late.deadline));
  late.deadline = 1;
  CHECK_STATUS(muster_region_open(name, &late, &region), ETIMEDOUT);
  pid_t waiter = test_fork(attach_with_a_deadline, (void *)(uintptr_t)name);
  CHECK(test_asleep(waiter));
  int pattern = 0x77;
  muster_region_options options = {.flags = MUSTER_REGION_CREATE, .size = 9, .initialize = fill_pattern,
                                   .context = &pattern};
  CHECK_STATUS(muster_region_open(name, &options, &region), 0);
  test_join(waiter, 0);
  muster_region_close(region);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void removal_is_refused_while_held(void) {
  const char *name = test_name("rm");
  muster_region *region, *other;
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, 64, &region), 0);
  CHECK_STATUS(muster_region_remove(name, 0), EBUSY);
  CHECK_STATUS(muster_region_current(region), 0);
  CHECK_EQUAL(is_held(name, 0), 1);
  // A read-only handle holds it too; one that peeks doesn't.
  CHECK_STATUS(open_region(name, MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY, 64, &other), 0);
  muster_region_close(region);
  CHECK_EQUAL(is_held(name, 0), 1);
  CHECK_STATUS(muster_region_remove(name, 0), EBUSY);
  muster_region_close(other);
  CHECK_EQUAL(is_held(name, 0), 0);
  CHECK_STATUS(open_region(name, MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY | MUSTER_REGION_PEEK, 64, &other), 0);
  CHECK_EQUAL(is_held(name, 0), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  CHECK_STATUS(muster_region_current(other), ESTALE);
  muster_region_close(other);
}

static void force_removes_and_the_next_gets_another(void) {
  const char *name = test_name("f");
  muster_region *old, *fresh;
  CHECK_STATUS(open_region(name, MUSTER_REGION_OPEN, 64, &old), 0);
  *(int *)muster_region_payload(old) = 42;
  CHECK_STATUS(muster_region_remove(name, MUSTER_REGION_FORCE), 0);
  CHECK_STATUS(muster_region_current(old), ESTALE);
  CHECK_STATUS(open_region(name, MUSTER_REGION_ATTACH, 64, &fresh), ENOENT);
  CHECK_STATUS(open_region(name, MUSTER_REGION_OPEN, 64, &fresh), 0);
  CHECK_EQUAL(muster_region_created(fresh), 1);
  CHECK_EQUAL(*(int *)muster_region_payload(fresh), 0);
  CHECK_EQUAL(*(int *)muster_region_payload(old), 42);
  CHECK_STATUS(muster_region_current(old), ESTALE);
  CHECK_STATUS(muster_region_current(fresh), 0);
  muster_region_close(old);
  CHECK_STATUS(muster_region_remove(name, 0), EBUSY);
  muster_region_close(fresh);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void what_inspect_tells(void) {
  const char *name = test_name("in");
  muster_region *region;
  muster_region_info info;
  CHECK_STATUS(muster_region_inspect(name, 0, &info), ENOENT);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  muster_region_options options = {.flags = MUSTER_REGION_CREATE, .size = 1000, .kind = 11, .version = 12,
                                   .layout = 13};
  CHECK_STATUS(muster_region_open(name, &options, &region), 0);
  CHECK_STATUS(muster_region_inspect(name, 0, &info), 0);
  CHECK(!strcmp(info.name, name));
  CHECK_EQUAL(info.kind, 11);
  CHECK_EQUAL(info.version, 12);
  CHECK_EQUAL(info.layout, 13);
  CHECK_EQUAL(info.size, 1000);
  CHECK_EQUAL(info.file_size, 1000 + MUSTER_REGION_HEADER_SIZE);
  CHECK_EQUAL(info.user, geteuid());
  CHECK_EQUAL(info.creator_pid, getpid());
  CHECK_EQUAL(info.held, 1);
  CHECK_EQUAL(info.this_boot, 1);
  CHECK(info.created >= now.tv_sec * INT64_C(1000000000) + now.tv_nsec);
  muster_region_close(region);
  CHECK_STATUS(muster_region_inspect(name, 0, &info), 0);
  CHECK_EQUAL(info.held, 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

typedef struct seen_names {
  const char *names[3];
  unsigned seen[3];
  int stop;
} seen_names;

static int note_name(const muster_region_info *info, void *context) {
  seen_names *seen = context;
  for (int i = 0; i < 3; i++) seen->seen[i] += !strcmp(info->name, seen->names[i]);
  return seen->stop;
}

static void list_shows_regions_and_nothing_else(void) {
  seen_names seen = {.names = {test_name("l1"), test_name("l2"), test_name("alien")}};
  CHECK_STATUS(make_region(seen.names[0], 0, 64), 0);
  CHECK_STATUS(make_region(seen.names[1], 0, 64), 0);
  write_file(shm_path(seen.names[2]), "something else entirely", 23);
  const char *link = test_name("link"), *folder = test_name("folder"), *pipe = test_name("pipe");
  CHECK(symlink(seen.names[0], shm_path(link)) == 0 && mkdir(shm_path(folder), 0700) == 0);
  CHECK(mkfifo(shm_path(pipe), 0600) == 0);
  CHECK_STATUS(muster_region_list(note_name, &seen), 0);
  CHECK_EQUAL(seen.seen[0], 1);
  CHECK_EQUAL(seen.seen[1], 1);
  CHECK_EQUAL(seen.seen[2], 0);
  seen.stop = 4711;
  CHECK_STATUS(muster_region_list(note_name, &seen), 4711);
  unlink(shm_path(link)), rmdir(shm_path(folder)), unlink(shm_path(pipe)), unlink(shm_path(seen.names[2]));
  CHECK_STATUS(muster_region_remove(seen.names[0], 0), 0);
  CHECK_STATUS(muster_region_remove(seen.names[1], 0), 0);
}

static void no_descriptor_is_left(void) {
  const char *name = test_name("fd");
  muster_region *region;
  muster_region_info info;
  CHECK_STATUS(make_region(name, 0, 64), 0);
  unsigned before = count_descriptors();
  int next = dup(0);
  close(next);
  for (int i = 0; i < 1000; i++) {
    errno = 4242;
    CHECK_STATUS(open_region(name, i % 2 ? MUSTER_REGION_OPEN : MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY, 64,
                             &region), 0);
    CHECK_EQUAL(fcntl(next, F_GETFD), FD_CLOEXEC);
    muster_region_close(region);
    CHECK_STATUS(open_region(name, MUSTER_REGION_OPEN, 65, &region), EPROTO);
    CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, 64, &region), EEXIST);
    CHECK_STATUS(open_region("no-such-region", MUSTER_REGION_ATTACH, 64, &region), ENOENT);
    CHECK_STATUS(muster_region_inspect(name, 0, &info), 0);
    CHECK_STATUS(muster_region_remove("no-such-region", 0), ENOENT);
    CHECK_EQUAL(errno, 4242);
  }
  CHECK_EQUAL(count_descriptors(), before);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  CHECK_EQUAL(errno, 4242);
}

// With no descriptor left: EMFILE, and nothing left behind. With a single one: all works, and what is told is true.
static void descriptors_run_out(void) {
  const char *name = test_name("em");
  muster_region *region;
  muster_region_info info;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  int first = dup(0);
  for (int spare = 0; spare < 2; spare++) {
    limit.rlim_cur = (rlim_t)(first + spare);
    close(first);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int status = open_region(name, MUSTER_REGION_OPEN, 64, &region);
    limit.rlim_cur = limit.rlim_max;
    CHECK_STATUS(status, spare ? 0 : EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (spare) {
      CHECK_STATUS(muster_region_inspect(name, 0, &info), 0);
      CHECK_EQUAL(info.this_boot, 1);
      muster_region_close(region);
    } else {
      CHECK_EQUAL(inode_of(shm_path(name)), 0);
    }
    CHECK_EQUAL(dup(0), first);
  }
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

typedef struct forked {
  muster_region *region;
  uint32_t *gate;
} forked;

static void use_the_parents_mapping(void *context) {
  forked *given = context;
  *(int *)muster_region_payload(given->region) = 99;
  gate_open(given->gate, 1);
  gate_wait(given->gate, 2);
  muster_region_close(given->region);
  gate_open(given->gate, 3);
  gate_wait(given->gate, 4);
}

static void a_forked_child_keeps_it(void) {
  const char *name = test_name("fork");
  forked given = {.gate = shared_memory(4096)};
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, 64, &given.region), 0);
  pid_t child = test_fork(use_the_parents_mapping, &given);
  gate_wait(given.gate, 1);
  CHECK_EQUAL(*(int *)muster_region_payload(given.region), 99);
  muster_region_close(given.region);
  CHECK_EQUAL(is_held(name, 0), 1);
  CHECK_STATUS(muster_region_remove(name, 0), EBUSY);
  gate_open(given.gate, 2);
  gate_wait(given.gate, 3);
  CHECK_EQUAL(is_held(name, 0), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  gate_open(given.gate, 4);
  test_join(child, 0);
}

static void hold_for_ever(void *context) {
  name_in *given = context;
  CHECK_STATUS(open_region(given->name, MUSTER_REGION_OPEN, 64, &given->region), 0);
  for (;;) pause();
}

static void the_killed_hold_nothing(void) {
  name_in given = {.name = test_name("k")};
  muster_region_info info;
  pid_t holder = test_fork(hold_for_ever, &given);
  muster_region *region;
  muster_region_options options = {.flags = MUSTER_REGION_ATTACH, .deadline = soon()};
  CHECK_STATUS(muster_region_open(given.name, &options, &region), 0);
  muster_region_close(region);
  CHECK_STATUS(muster_region_inspect(given.name, 0, &info), 0);
  CHECK_EQUAL(info.held, 1);
  CHECK_EQUAL(info.creator_pid, holder);
  stop_process(holder);
  CHECK_STATUS(muster_region_remove(given.name, 0), EBUSY);
  kill_process(holder);
  CHECK_EQUAL(is_held(given.name, 0), 0);
  CHECK_STATUS(muster_region_remove(given.name, 0), 0);
}

TEST_SUITE(region, {"created_filled_and_attached_to", created_filled_and_attached_to, 0},
           {"a_payload_without_initialize_is_zeros", a_payload_without_initialize_is_zeros, 0},
           {"one_way_or_the_other", one_way_or_the_other, 0},
           {"options_that_no_call_accepts", options_that_no_call_accepts, 0},
           {"an_error_of_initialize_is_passed_on", an_error_of_initialize_is_passed_on, 0},
           {"an_error_of_renew_is_passed_on", an_error_of_renew_is_passed_on, 0},
           {"what_differs_is_told", what_differs_is_told, 0},
           {"a_read_only_mapping_is_one", a_read_only_mapping_is_one, 0},
           {"permissions_are_exact", permissions_are_exact, 0},
           {"theirs_is_refused_unless_asked_for", theirs_is_refused_unless_asked_for, 0},
           {"names", names, 0},
           {"attaching_waits_for_the_name", attaching_waits_for_the_name, 0},
           {"removal_is_refused_while_held", removal_is_refused_while_held, 0},
           {"force_removes_and_the_next_gets_another", force_removes_and_the_next_gets_another, 0},
           {"what_inspect_tells", what_inspect_tells, 0},
           {"list_shows_regions_and_nothing_else", list_shows_regions_and_nothing_else, 0},
           {"no_descriptor_is_left", no_descriptor_is_left, 0},
           {"descriptors_run_out", descriptors_run_out, 0},
           {"a_forked_child_keeps_it", a_forked_child_keeps_it, 0},
           {"the_killed_hold_nothing", the_killed_hold_nothing, 0});
