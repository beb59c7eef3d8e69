// Barriers in memory that somebody wrote into who shouldn't have: errors or values, in the time of the test.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../../Sources/CMuster/internal/barrier_layout.h"
#include "barrier_support.h"
#include "test.h"

static int is_told(int status) {
  static const int all[] = {0,       EAGAIN, EALREADY,   EBADMSG, EBUSY,           ECANCELED, EINVAL,
                            EPERM,   EPROTO, EOVERFLOW,  ESTALE,  ENOTRECOVERABLE, ETIMEDOUT, EOWNERDEAD};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (status == all[i]) return 1;
  return 0;
}

// Everything that a handle can be asked to do, and close.
static void use(void *memory, size_t size, int observe, int *opened) {
  muster_barrier *barrier;
  int status = muster_barrier_attach(memory, size, &(muster_barrier_options){.observe = observe}, &barrier);
  CHECK(is_told(status));
  if (status) return;
  ++*opened;
  muster_barrier_state state;
  muster_barrier_result result = {0};
  muster_wait_set set;
  CHECK(is_told(muster_barrier_state_get(barrier, &state)));
  CHECK(muster_barrier_waiting(barrier) <= MUSTER_BARRIER_PARTIES_MAX);
  uint32_t phase = muster_barrier_phase(barrier);
  CHECK(is_told(muster_barrier_arrive(barrier, &result)));
  CHECK(is_told(muster_barrier_try_wait(barrier, phase, &result)));
  status = muster_barrier_poll(barrier, phase, &result, &set);
  CHECK(is_told(status));
  if (status == EAGAIN) CHECK(set.count >= 1 && set.count <= MUSTER_WAIT_WORDS);
  CHECK(is_told(muster_barrier_expire(barrier, phase, &result)));
  CHECK(is_told(muster_barrier_wait(barrier, MUSTER_DEADLINE_NOW, &result)));
  CHECK(is_told(muster_barrier_reset(barrier)));
  CHECK(is_told(muster_barrier_wait(barrier, muster_deadline_after(1000), &result)));
  CHECK(is_told(muster_barrier_arrive_and_drop(barrier, &result)));
  CHECK(is_told(muster_barrier_abort(barrier)));
  CHECK_STATUS(muster_barrier_close(barrier), 0);
}

// Locks are libc's, which trusts them: docs/security.md.
static int is_in_a_lock(size_t at) {
  size_t places = sizeof(barrier_shared) + sizeof(group_head);
  return at >= places && (at - places) % sizeof(group_place) < sizeof(liveness_lock);
}

static void every_byte(uint32_t parties) {
  static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x7e};
  static unsigned char whole[1 << 14];
  size_t size = muster_barrier_size(parties);
  REQUIRE(size <= sizeof whole);
  unsigned char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  int opened = 0;
  unsigned stride = test_stride();
  for (int policy = 0; policy <= MUSTER_ON_DEATH_AWAIT; policy++) {
    CHECK_STATUS(muster_barrier_init(memory, size, parties, (muster_on_death)policy), 0);
    memcpy(whole, memory, size);
    for (size_t at = 0; at < size; at++) {
      for (size_t m = 0; m < sizeof masks && !is_in_a_lock(at); m++) {
        if ((at + at / 8 + m) % stride) continue;
        for (int observe = 0; observe < 2; observe++) {
          memcpy(memory, whole, size);
          memory[at] ^= masks[m];
          use(memory, size, observe, &opened);
          if (test_result()) {
            test_fail(__FILE__, __LINE__, "byte %zu ^ %#x, policy %d, observe %d", at, masks[m], policy, observe);
            return;
          }
        }
      }
    }
  }
  CHECK(opened > 1000);
  munmap(memory, size);
}

static void flat_bytes(void) { every_byte(2); }
static void tree_bytes(void) { every_byte(40); }

// A leaf, or the ticket, of a phase that has not come: nobody can arrive there, and nobody looks for ever.
static void a_leaf_of_a_phase_to_come(void) {
  size_t size = muster_barrier_size(9);
  barrier_shared *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(shared != MAP_FAILED);
  for (int ticket = 0; ticket < 2; ticket++) {
    muster_barrier *barrier;
    CHECK_STATUS(muster_barrier_init(shared, size, 9, MUSTER_ON_DEATH_BREAK), 0);
    CHECK_STATUS(muster_barrier_attach(shared, size, &(muster_barrier_options){0}, &barrier), 0);
    *(ticket ? &shared->ticket : &shared->leaves[0].arrived) = leaf_make(7, 0);
    CHECK_STATUS(muster_barrier_arrive(barrier, NULL), EBADMSG);
    CHECK_STATUS(muster_barrier_wait(barrier, MUSTER_DEADLINE_NEVER, NULL), EBADMSG);
    CHECK_STATUS(muster_barrier_close(barrier), 0);
  }
  munmap(shared, size);
}

TEST_SUITE(barrier_hostile, {"flat_bytes", flat_bytes, 60}, {"tree_bytes", tree_bytes, 120},
           {"a_leaf_of_a_phase_to_come", a_leaf_of_a_phase_to_come, 0});
