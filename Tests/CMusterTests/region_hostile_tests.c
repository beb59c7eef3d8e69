// Regions that are not what they should be: other objects at the name, cut and foreign ones, headers with any byte in
// any place.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/region_layout.h"
#include "support.h"

static const uint32_t look = MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY;

// Nobody may open, create over, or remove what is at the name; looking says why as well.
static void is_no_region(const char *name, int reading, int writing) {
  muster_region *region;
  muster_region_info info;
  ino_t inode = inode_of(shm_path(name));
  const uint32_t writes[] = {MUSTER_REGION_ATTACH, MUSTER_REGION_OPEN};
  for (int i = 0; i < 2; i++) {
    CHECK_STATUS(open_region(name, writes[i], 64, &region), writing);
    CHECK(!region);
  }
  CHECK_STATUS(open_region(name, MUSTER_REGION_CREATE, 64, &region), EEXIST);
  CHECK_STATUS(open_region(name, look, 0, &region), reading);
  CHECK_STATUS(open_region(name, look | MUSTER_REGION_PEEK, 0, &region), reading);
  CHECK_STATUS(muster_region_inspect(name, 0, &info), reading);
  CHECK_STATUS(muster_region_remove(name, 0), writing);
  CHECK_STATUS(muster_region_remove(name, MUSTER_REGION_FORCE), writing);
  CHECK_EQUAL(inode_of(shm_path(name)), inode);
}

static void other_objects_at_the_name(void) {
  const char *name = test_name("x"), *path = shm_path(name), *real = test_name("real");
  CHECK_STATUS(make_region(real, 0, 64), 0);
  CHECK(symlink(real, path) == 0);
  is_no_region(name, ELOOP, ELOOP);
  CHECK(unlink(path) == 0 && symlink("/no/such/thing", path) == 0);
  is_no_region(name, ELOOP, ELOOP);
  CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
  is_no_region(name, EISDIR, EISDIR);
  CHECK(rmdir(path) == 0 && mkfifo(path, 0600) == 0);
  is_no_region(name, EBADMSG, EBADMSG);
  CHECK(unlink(path) == 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(bind(server, (struct sockaddr *)&address, sizeof address) == 0);
  is_no_region(name, EBADMSG, EBADMSG);
  close(server);
  CHECK(unlink(path) == 0);
  CHECK_STATUS(muster_region_remove(real, 0), 0);
}

static void objects_of_other_programs(void) {
  const char *name = test_name("y"), *path = shm_path(name);
  char bytes[1000];
  // What shm_open leaves for a moment: no bytes at all.
  int file = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
  CHECK(file >= 0);
  close(file);
  is_no_region(name, EBADMSG, EBADMSG);
  memset(bytes, 0, sizeof bytes);
  const size_t sizes[] = {1, 8, 47, 64, 255, 256, 257, 1000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    write_file(path, bytes, sizes[i]);
    is_no_region(name, EBADMSG, EBADMSG);
  }
  memcpy(bytes, "MUSTER\n", 7);
  bytes[7] = 1;
  write_file(path, bytes, sizeof bytes);
  is_no_region(name, EBADMSG, EBADMSG);
  CHECK(unlink(path) == 0);
}

static void cut_regions(void) {
  const char *name = test_name("cut"), *path = shm_path(name);
  CHECK_STATUS(make_region(name, 0, 4096), 0);
  for (off_t size = 4096 + MUSTER_REGION_HEADER_SIZE - 1; size >= 0; size -= size > 300 ? 251 : 1) {
    CHECK(truncate(path, size) == 0);
    is_no_region(name, EBADMSG, EBADMSG);
  }
  CHECK(unlink(path) == 0);
}

// Opens in each way and looks; whatever comes, it is a value, and what can be reached is within the file.
static void try_all(const char *name, uint64_t file_size, unsigned *opened) {
  muster_region *region;
  muster_region_info info;
  const uint32_t ways[] = {look, look | MUSTER_REGION_PEEK, MUSTER_REGION_ATTACH};
  for (int i = 0; i < 3; i++) {
    int status = open_region(name, ways[i], 0, &region);
    if (status) {
      if (status != EPROTO && status != EBADMSG) CHECK_STATUS(status, EBADMSG);
      CHECK(!region);
      continue;
    }
    ++*opened;
    size_t size = muster_region_size(region);
    CHECK(size > 0 && size <= file_size - MUSTER_REGION_HEADER_SIZE);
    const volatile unsigned char *bytes = muster_region_payload(region);
    (void)(bytes[0] + bytes[size - 1]);
    muster_region_close(region);
  }
  int status = muster_region_inspect(name, 0, &info);
  if (status != EPROTO && status != EBADMSG) CHECK_STATUS(status, 0);
}

static void any_byte_of_the_header(void) {
  const char *name = test_name("fuzz");
  const uint64_t file_size = 8192 + MUSTER_REGION_HEADER_SIZE;
  const unsigned char values[] = {0, 1, 2, 0x0a, 0x7f, 0x80, 0xfe, 0xff};
  unsigned opened = 0;
  CHECK_STATUS(make_region(name, 0, 8192), 0);
  int file = shm_open(name, O_RDWR, 0);
  for (off_t at = 0; at < MUSTER_REGION_HEADER_SIZE; at++) {
    unsigned char before = 0, now;
    CHECK_EQUAL(pread(file, &before, 1, at), 1);
    for (size_t v = 0; v < sizeof values + 8; v++) {
      unsigned flipped = before ^ 1u << (v < sizeof values ? 0 : v - sizeof values);
      now = v < sizeof values ? values[v] : (unsigned char)(flipped & 0xff);
      CHECK_EQUAL(pwrite(file, &now, 1, at), 1);
      try_all(name, file_size, &opened);
    }
    CHECK_EQUAL(pwrite(file, &before, 1, at), 1);
  }
  // Most bytes are free to be anything: not all may have been refused, nor may all have been taken.
  CHECK(opened > 3 * 16 * 128 && opened < 3 * 16 * 250);
  close(file);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void any_header(void) {
  const char *name = test_name("fuzz");
  const uint64_t file_size = 8192 + MUSTER_REGION_HEADER_SIZE;
  uint64_t seed = test_seed();
  unsigned opened = 0;
  CHECK_STATUS(make_region(name, 0, 8192), 0);
  int file = shm_open(name, O_RDWR, 0);
  region_header good, bad;
  CHECK_EQUAL(pread(file, &good, sizeof good, 0), (long)sizeof good);
  for (int i = 0; i < 5000; i++) {
    bad = good;
    const uint64_t sizes[] = {0, 1, 8191, 8192, 8193, 8448, 8449, UINT64_MAX, UINT64_MAX - 255, UINT64_MAX - 256,
                              INT64_MAX,
                              UINT64_C(1) << 63, UINT64_C(1) << 32, test_random(&seed), test_random(&seed) % 10000};
    bad.payload_size = sizes[test_random(&seed) % (sizeof sizes / sizeof *sizes)];
    for (uint64_t k = test_random(&seed) % 4; k > 0; k--)
      ((unsigned char *)&bad)[16 + test_random(&seed) % (sizeof bad - 16)] = (unsigned char)test_random(&seed);
    CHECK_EQUAL(pwrite(file, &bad, sizeof bad, 0), (long)sizeof bad);
    try_all(name, file_size, &opened);
  }
  CHECK(opened > 0);
  close(file);
  CHECK(unlink(shm_path(name)) == 0);
}

// A kind's parameters that don't fit its size are found by the kind: here, that of groups.
static void a_group_that_lies_about_itself(void) {
  const char *name = test_name("liar");
  muster_group *group;
  CHECK_STATUS(muster_group_open(name, &(muster_group_options){.capacity = 4}, &group), 0);
  CHECK_STATUS(muster_group_close(group), 0);
  int file = shm_open(name, O_RDWR, 0);
  const uint32_t capacities[] = {0, 5, 256, 257, UINT32_MAX};
  for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
    CHECK_EQUAL(pwrite(file, &capacities[i], 4, MUSTER_REGION_HEADER_SIZE + 12), 4);
    CHECK_STATUS(muster_group_open(name, &(muster_group_options){.capacity = 4}, &group), EBADMSG);
    CHECK(!group);
    CHECK_STATUS(muster_group_open(name, &(muster_group_options){.flags = look}, &group), EBADMSG);
  }
  close(file);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

TEST_SUITE(region_hostile, {"other_objects_at_the_name", other_objects_at_the_name, 0},
           {"objects_of_other_programs", objects_of_other_programs, 0}, {"cut_regions", cut_regions, 0},
           {"any_byte_of_the_header", any_byte_of_the_header, 120}, {"any_header", any_header, 60},
           {"a_group_that_lies_about_itself", a_group_that_lies_about_itself, 0});
