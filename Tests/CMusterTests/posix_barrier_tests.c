// The POSIX barrier's region: met by name, and refused where what it says of itself can't be.
// SPDX-License-Identifier: Apache-2.0
#include "muster/posix_barrier.h"

#include <errno.h>
#include <stddef.h>

#include "support.h"

// The payload's first words, as in posix_barrier.c.
typedef struct head {
  uint32_t parties;
  uint32_t abi;
} head;

static int open_barrier(const char *name, uint32_t parties, muster_mismatch *mismatch, muster_posix_barrier **barrier) {
  return muster_posix_barrier_open(
      name,
      &(muster_posix_barrier_options){
          .parties = parties, .flags = parties ? 0 : MUSTER_REGION_ATTACH, .mismatch = mismatch},
      barrier);
}

static void met_by_name(void) {
  const char *name = test_name("posix");
  muster_posix_barrier *first, *second;
  muster_mismatch mismatch;
  CHECK_STATUS(open_barrier(name, 0, NULL, &first), ENOENT);
  CHECK_STATUS(open_barrier(name, 1, NULL, &first), 0);
  CHECK_STATUS(open_barrier(name, 0, &mismatch, &second), 0);
  CHECK_EQUAL(muster_posix_barrier_parties(second), 1);
  int serial = 0;
  CHECK_STATUS(muster_posix_barrier_wait(second, &serial), 0);
  CHECK_EQUAL(serial, 1);
  muster_posix_barrier_close(second);
  CHECK_STATUS(open_barrier(name, 2, &mismatch, &second), EPROTO);
  CHECK_EQUAL(mismatch.kind, MUSTER_MISMATCH_LAYOUT);
  muster_posix_barrier_close(first);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static head *look_inside(const char *name, muster_region **region) {
  CHECK_STATUS(open_region(name, MUSTER_REGION_ATTACH, 0, region), 0);
  REQUIRE(*region);
  return muster_region_payload(*region);
}

static void another_libc_is_told(void) {
  const char *name = test_name("libc");
  muster_posix_barrier *first, *second;
  muster_region *region;
  muster_mismatch mismatch;
  CHECK_STATUS(open_barrier(name, 2, NULL, &first), 0);
  head *inside = look_inside(name, &region);
  uint32_t ours = inside->abi;
  inside->abi ^= 0x3000000;
  for (uint32_t parties = 0; parties < 3; parties += 2) {
    CHECK_STATUS(open_barrier(name, parties, NULL, &second), EPROTO);
    CHECK_STATUS(open_barrier(name, parties, &mismatch, &second), EPROTO);
    CHECK_EQUAL(mismatch.kind, MUSTER_MISMATCH_LIBC);
    CHECK_EQUAL(mismatch.expected, ours);
    CHECK_EQUAL(mismatch.found, ours ^ 0x3000000);
  }
  muster_region_close(region);
  muster_posix_barrier_close(first);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// The payload's number is not the header's: refused by who knows the number and who doesn't, and not renewed.
static void a_barrier_that_lies_about_its_parties(void) {
  const char *name = test_name("lies");
  const uint32_t lies[] = {0, 1, 3, 7, (1u << 30) + 1, UINT32_MAX};
  muster_posix_barrier *first, *second;
  muster_region *region;
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    CHECK_STATUS(open_barrier(name, 2, NULL, &first), 0);
    head *inside = look_inside(name, &region);
    inside->parties = lies[i];
    CHECK_STATUS(open_barrier(name, 2, NULL, &second), EBADMSG);
    CHECK_STATUS(open_barrier(name, 0, NULL, &second), EBADMSG);
    muster_region_close(region);
    muster_posix_barrier_close(first);
    CHECK_STATUS(open_barrier(name, 2, NULL, &second), EBADMSG);
    CHECK_STATUS(open_barrier(name, 0, NULL, &second), EBADMSG);
    CHECK_STATUS(muster_region_remove(name, 0), 0);
  }
}

TEST_SUITE(posix_barrier, {"met_by_name", met_by_name, 0}, {"another_libc_is_told", another_libc_is_told, 0},
           {"a_barrier_that_lies_about_its_parties", a_barrier_that_lies_about_its_parties, 0});
