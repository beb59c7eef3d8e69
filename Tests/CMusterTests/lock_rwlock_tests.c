// The robust read-write lock: what one process sees, deaths of readers and writers, fairness, polls, names, hostile bytes.
// SPDX-License-Identifier: Apache-2.0
#include "lock_support.h"

#include "../../Sources/CMuster/internal/lock_layout.h"

static muster_lock_holder told(const muster_rwlock *lock, muster_member_set *readers) {
  muster_lock_holder writer;
  muster_member_set unused;
  CHECK_STATUS(muster_rwlock_holders(lock, &writer, readers ? readers : &unused), 0);
  return writer;
}

static void reads_and_writes(void) {
  scene *at = rwlock_scene(4);
  muster_rwlock *a = rwlock_of(at), *b = rwlock_of(at);
  muster_member_set readers;
  CHECK_STATUS(muster_rwlock_unlock(a), EPERM);
  CHECK_STATUS(muster_rwlock_repaired(a), EPERM);
  for (int i = 0; i < 50; i++) {
    CHECK_STATUS(muster_rwlock_read(a, soon()), 0);
    CHECK_STATUS(muster_rwlock_read(a, soon()), EDEADLK);
    CHECK_STATUS(muster_rwlock_write(a, soon()), EDEADLK);
    CHECK_STATUS(muster_rwlock_close(a), EBUSY);
    CHECK_STATUS(muster_rwlock_try_read(b), 0);
    CHECK(told(a, &readers).state == MUSTER_LOCK_FREE && readers.bits[0] == 3);
    muster_lock_holder reader;
    CHECK_STATUS(muster_rwlock_reader(a, 1, &reader), 0);
    CHECK(reader.state == MUSTER_LOCK_HELD && reader.pid == getpid() && reader.since > 0);
    CHECK_STATUS(muster_rwlock_unlock(b), 0);
    CHECK_STATUS(muster_rwlock_try_write(b), EBUSY);
    CHECK_STATUS(muster_rwlock_write(b, muster_deadline_after(1000000)), ETIMEDOUT);
    CHECK_STATUS(muster_rwlock_unlock(a), 0);
    CHECK_STATUS(muster_rwlock_try_write(b), 0);
    CHECK(told(a, &readers).state == MUSTER_LOCK_HELD && told(a, NULL).pid == getpid() && readers.bits[0] == 0);
    CHECK(told(a, NULL).condition == MUSTER_LOCK_WHOLE);
    CHECK_STATUS(muster_rwlock_try_read(a), EBUSY);
    CHECK_STATUS(muster_rwlock_read(a, muster_deadline_after(1000000)), ETIMEDOUT);
    CHECK_STATUS(muster_rwlock_read(b, soon()), EDEADLK);
    CHECK_STATUS(muster_rwlock_unlock(a), EPERM);
    CHECK_STATUS(muster_rwlock_unlock(b), 0);
  }
  CHECK_EQUAL(muster_rwlock_capacity(a), 4);
  CHECK_STATUS(muster_rwlock_close(a), 0);
  CHECK_STATUS(muster_rwlock_close(b), 0);
  CHECK_STATUS(muster_rwlock_close(NULL), 0);
}

static void what_is_refused(void) {
  scene *at = rwlock_scene(2);
  muster_rwlock *lock, *all[2];
  CHECK_EQUAL(muster_rwlock_size(0), 0);
  CHECK_EQUAL(muster_rwlock_size(257), 0);
  CHECK_STATUS(muster_rwlock_attach(at->memory, muster_rwlock_size(2) - 1, &lock), EBADMSG);
  CHECK_STATUS(muster_rwlock_attach(at->memory + 8, sizeof at->memory - 8, &lock), EINVAL);
  for (int k = 0; k < 2; k++) all[k] = rwlock_of(at);
  CHECK_STATUS(muster_rwlock_attach(at->memory, sizeof at->memory, &lock), EOVERFLOW);
  CHECK_STATUS(muster_rwlock_close(all[0]), 0);
  all[0] = rwlock_of(at);
  for (int k = 0; k < 2; k++) CHECK_STATUS(muster_rwlock_close(all[k]), 0);
}

static void *other_thread(void *context) {
  CHECK_STATUS(muster_rwlock_read(context, soon()), EPERM);
  CHECK_STATUS(muster_rwlock_write(context, soon()), EPERM);
  CHECK_STATUS(muster_rwlock_unlock(context), EPERM);
  CHECK_STATUS(muster_rwlock_close(context), EBUSY);
  return NULL;
}

static void uses_inherited(void *context) {
  muster_wait_set set;
  CHECK_STATUS(muster_rwlock_read(context, soon()), EPERM);
  CHECK_STATUS(muster_rwlock_write(context, soon()), EPERM);
  CHECK_STATUS(muster_rwlock_poll_read(context, &set), EPERM);
  CHECK_STATUS(muster_rwlock_poll_write(context, &set), EPERM);
  CHECK_STATUS(muster_rwlock_unlock(context), EPERM);
  CHECK_STATUS(muster_rwlock_reset(context), EPERM);
  CHECK_STATUS(muster_rwlock_close(context), 0);
}

static void belongs_to_its_thread(void) {
  muster_rwlock *lock = rwlock_of(rwlock_scene(2));
  pthread_t thread;
  CHECK_STATUS(muster_rwlock_read(lock, soon()), 0);
  REQUIRE(!pthread_create(&thread, NULL, other_thread, lock) && !pthread_join(thread, NULL));
  test_join(test_fork(uses_inherited, lock), 0);
  CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  CHECK_STATUS(muster_rwlock_close(lock), 0);
}

static void reads_for_ever(void *context) {
  scene *at = context;
  CHECK_STATUS(muster_rwlock_read(rwlock_of(at), soon()), 0);
  __atomic_fetch_add(&at->gate[0], 1, __ATOMIC_RELEASE);
  gate_open(&at->gate[0], at->gate[0]);
  for (;;) pause();
}

static void writes_for_ever(void *context) {
  scene *at = context;
  int status = muster_rwlock_write(rwlock_of(at), soon());
  CHECK(status == 0 || status == EOWNERDEAD);
  gate_open(&at->gate[0], 1);
  for (;;) pause();
}

static void writes_once(void *context) {
  scene *at = context;
  muster_rwlock *lock = rwlock_of(at);
  CHECK_STATUS(muster_rwlock_write(lock, soon()), 0);
  CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  CHECK_STATUS(muster_rwlock_close(lock), 0);
}

// Readers that die are counted out, asleep or not; the writer that waits for them is woken.
static void dead_readers_are_counted_out(void) {
  scene *at = rwlock_scene(16);
  for (int round = 0; round < 20; round++) {
    at->gate[0] = 0;
    pid_t readers[6];
    for (int k = 0; k < 6; k++) {
      readers[k] = test_fork(reads_for_ever, at);
      gate_pass(&at->gate[0], (uint32_t)k + 1);
    }
    pid_t writer = test_fork(writes_once, at);
    CHECK(test_asleep(writer));
    for (int k = 0; k < 6; k++) kill_process(readers[k]);
    test_join(writer, 0);
  }
  muster_rwlock *lock = rwlock_of(at);
  CHECK_STATUS(muster_rwlock_try_write(lock), 0);
  CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  CHECK_STATUS(muster_rwlock_close(lock), 0);
}

static void reads_once(void *context) {
  scene *at = context;
  muster_rwlock *lock = rwlock_of(at);
  CHECK_STATUS(muster_rwlock_read(lock, soon()), at->status);
  if (!at->status) CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  CHECK_STATUS(muster_rwlock_close(lock), 0);
}

// A writer that dies at work: readers that sleep learn of it, the next writer repairs.
static void dead_writers_are_told(void) {
  scene *at = rwlock_scene(16);
  muster_rwlock *lock = rwlock_of(at);
  for (int round = 0; round < 20; round++) {
    at->gate[0] = 0, at->status = EOWNERDEAD;
    pid_t writer = test_fork(writes_for_ever, at), readers[6];
    gate_wait(&at->gate[0], 1);
    for (int k = 0; k < 6; k++) readers[k] = test_fork(reads_once, at);
    for (int k = 0; k < 6; k++) CHECK(test_asleep(readers[k]));
    kill_process(writer);
    for (int k = 0; k < 6; k++) test_join(readers[k], 0);
    CHECK_STATUS(muster_rwlock_read(lock, soon()), EOWNERDEAD);
    CHECK(told(lock, NULL).condition == MUSTER_LOCK_UNREPAIRED);
    CHECK_STATUS(muster_rwlock_try_write(lock), EOWNERDEAD);
    CHECK(told(lock, NULL).died == writer);
    if (round % 4 == 3) {
      CHECK_STATUS(muster_rwlock_unlock(lock), 0);
      CHECK_STATUS(muster_rwlock_read(lock, soon()), ENOTRECOVERABLE);
      CHECK_STATUS(muster_rwlock_write(lock, soon()), ENOTRECOVERABLE);
      CHECK(told(lock, NULL).condition == MUSTER_LOCK_POISONED);
      CHECK_STATUS(muster_rwlock_reset(lock), 0);
      CHECK_STATUS(muster_rwlock_try_read(lock), EOWNERDEAD);
      CHECK_STATUS(muster_rwlock_try_write(lock), EOWNERDEAD);
    }
    CHECK_STATUS(muster_rwlock_repaired(lock), 0);
    CHECK_STATUS(muster_rwlock_unlock(lock), 0);
    CHECK_STATUS(muster_rwlock_try_read(lock), 0);
    CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  }
  CHECK_STATUS(muster_rwlock_close(lock), 0);
}

// While one repairs, readers wait; poison ends their wait, repair lets them in.
static void readers_wait_for_a_repair(void) {
  scene *at = rwlock_scene(16);
  muster_rwlock *lock = rwlock_of(at);
  for (int poison = 0; poison < 2; poison++) {
    at->gate[0] = 0, at->status = poison ? ENOTRECOVERABLE : 0;
    pid_t writer = test_fork(writes_for_ever, at), readers[4];
    gate_wait(&at->gate[0], 1);
    kill_process(writer);
    CHECK_STATUS(muster_rwlock_write(lock, soon()), EOWNERDEAD);
    for (int k = 0; k < 4; k++) readers[k] = test_fork(reads_once, at);
    for (int k = 0; k < 4; k++) CHECK(test_asleep(readers[k]));
    if (!poison) CHECK_STATUS(muster_rwlock_repaired(lock), 0);
    CHECK_STATUS(muster_rwlock_unlock(lock), 0);
    for (int k = 0; k < 4; k++) test_join(readers[k], 0);
  }
  CHECK_STATUS(muster_rwlock_close(lock), 0);
}

// A writer that dies while it waits for readers has changed nothing, and leaves nobody waiting.
static void dead_waiting_writers_leave_nothing(void) {
  scene *at = rwlock_scene(16);
  muster_rwlock *lock = rwlock_of(at);
  for (int round = 0; round < 20; round++) {
    at->status = 0;
    CHECK_STATUS(muster_rwlock_read(lock, soon()), 0);
    pid_t writer = test_fork(writes_for_ever, at), readers[4];
    CHECK(test_asleep(writer));
    for (int k = 0; k < 4; k++) readers[k] = test_fork(reads_once, at);
    for (int k = 0; k < 4; k++) CHECK(test_asleep(readers[k]));
    kill_process(writer);
    for (int k = 0; k < 4; k++) test_join(readers[k], 0);
    CHECK_STATUS(muster_rwlock_unlock(lock), 0);
    CHECK_STATUS(muster_rwlock_try_write(lock), 0);
    CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  }
  CHECK_STATUS(muster_rwlock_close(lock), 0);
}

static void writes_and_notes(void *context) {
  scene *at = context;
  muster_rwlock *lock = rwlock_of(at);
  CHECK_STATUS(muster_rwlock_write(lock, soon()), 0);
  at->guarded[0] = __atomic_add_fetch(&at->gate[2], 1, __ATOMIC_RELAXED);
  CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  CHECK_STATUS(muster_rwlock_close(lock), 0);
}

// A writer that waits goes before readers that come later; a reader that waits goes before the next writer.
static void neither_side_starves(void) {
  scene *at = rwlock_scene(8);
  muster_rwlock *reader = rwlock_of(at), *late = rwlock_of(at), *writer = rwlock_of(at);
  CHECK_STATUS(muster_rwlock_read(reader, soon()), 0);
  pid_t waits = test_fork(writes_and_notes, at);
  CHECK(test_asleep(waits));
  CHECK_STATUS(muster_rwlock_try_read(late), EBUSY);
  CHECK_STATUS(muster_rwlock_unlock(reader), 0);
  test_join(waits, 0);
  CHECK_EQUAL(at->guarded[0], 1);
  muster_wait_set set;
  CHECK_STATUS(muster_rwlock_write(writer, soon()), 0);
  CHECK_STATUS(muster_rwlock_poll_read(late, &set), EAGAIN);
  pid_t next = test_fork(writes_and_notes, at);
  CHECK(test_asleep(next));
  CHECK_STATUS(muster_rwlock_unlock(writer), 0);
  CHECK_STATUS(muster_rwlock_poll_read(late, &set), 0);
  CHECK_EQUAL(at->gate[2], 1);
  CHECK_STATUS(muster_rwlock_unlock(late), 0);
  test_join(next, 0);
  CHECK_STATUS(muster_rwlock_close(reader), 0);
  CHECK_STATUS(muster_rwlock_close(late), 0);
  CHECK_STATUS(muster_rwlock_close(writer), 0);
}

static void polls_and_gives_up(void) {
  scene *at = rwlock_scene(4);
  muster_rwlock *a = rwlock_of(at), *b = rwlock_of(at);
  muster_wait_set set;
  CHECK_STATUS(muster_rwlock_poll_read(a, &set), 0);
  CHECK_STATUS(muster_rwlock_poll_write(b, &set), EAGAIN);
  CHECK(set.count >= 2);
  CHECK_STATUS(muster_rwlock_poll_read(b, &set), EDEADLK);
  CHECK_STATUS(muster_rwlock_close(b), EBUSY);
  CHECK_STATUS(muster_rwlock_unlock(b), 0);
  CHECK_STATUS(muster_rwlock_poll_write(b, &set), EAGAIN);
  CHECK_STATUS(muster_rwlock_unlock(a), 0);
  CHECK_STATUS(muster_rwlock_poll_write(b, &set), 0);
  CHECK_STATUS(muster_rwlock_poll_read(a, &set), EAGAIN);
  CHECK_STATUS(muster_rwlock_unlock(a), 0);
  CHECK_STATUS(muster_rwlock_poll_write(a, &set), EDEADLK);
  CHECK_STATUS(muster_rwlock_poll_read(a, &set), EAGAIN);
  CHECK_STATUS(muster_rwlock_unlock(b), 0);
  CHECK_STATUS(muster_rwlock_try_write(b), EBUSY);
  CHECK_STATUS(muster_rwlock_unlock(a), 0);
  CHECK_STATUS(muster_rwlock_try_write(b), 0);
  CHECK_STATUS(muster_rwlock_unlock(b), 0);
  CHECK_STATUS(muster_rwlock_close(a), 0);
  CHECK_STATUS(muster_rwlock_close(b), 0);
}

static muster_rwlock *named(const char *name, uint32_t flags) {
  muster_rwlock *lock;
  uint32_t capacity = flags & MUSTER_REGION_READ_ONLY ? 0 : 3;
  REQUIRE(!muster_rwlock_open(name, &(muster_rwlock_options){.flags = flags, .capacity = capacity}, &lock));
  return lock;
}

static void dies_by_name(void *context) {
  CHECK_STATUS(muster_rwlock_write(named(context, 0), soon()), 0);
  raise(SIGKILL);
}

static int repairs(void *context) {
  ++*(int *)context;
  return 0;
}

static void by_name(void) {
  const char *name = test_name("rwlock");
  unsigned descriptors = count_descriptors();
  muster_rwlock *lock = named(name, 0), *looks = named(name, MUSTER_REGION_READ_ONLY);
  muster_member_set readers;
  CHECK_STATUS(muster_rwlock_read(lock, soon()), 0);
  told(looks, &readers);
  CHECK_EQUAL(readers.bits[0], 1);
  CHECK_STATUS(muster_rwlock_read(looks, soon()), EACCES);
  CHECK_STATUS(muster_rwlock_write(looks, soon()), EACCES);
  CHECK_STATUS(muster_rwlock_reset(looks), EACCES);
  CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  CHECK_STATUS(muster_rwlock_close(looks), 0);
  CHECK_STATUS(muster_rwlock_close(lock), 0);
  test_join(test_fork(dies_by_name, (void *)(uintptr_t)name), SIGKILL);
  lock = named(name, 0);
  int calls = 0;
  CHECK_STATUS(muster_rwlock_try_read(lock), EOWNERDEAD);
  CHECK_STATUS(muster_rwlock_write_repairing(lock, repairs, &calls, soon()), 0);
  CHECK_EQUAL(calls, 1);
  CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  CHECK_STATUS(muster_rwlock_try_read(lock), 0);
  CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  CHECK_STATUS(muster_rwlock_close(lock), 0);
  CHECK_EQUAL(count_descriptors(), descriptors);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// Unlocked, or waited for, as far as the file tells, which may be of another moment than the data.
static void restarts_are_told(void) {
  char path[300];
  snprintf(path, sizeof path, "%s/rwlock", test_folder());
  for (int restarts = 0; restarts < 3; restarts++) {
    if (restarts) pretend_restart(path);
    muster_rwlock *lock = named(path, MUSTER_REGION_OPEN | MUSTER_REGION_FILE);
    CHECK_STATUS(muster_rwlock_try_read(lock), restarts ? EOWNERDEAD : 0);
    if (!restarts) CHECK_STATUS(muster_rwlock_unlock(lock), 0);
    CHECK_STATUS(muster_rwlock_try_write(lock), restarts ? EOWNERDEAD : 0);
    CHECK_STATUS(muster_rwlock_repaired(lock), 0);
    CHECK_STATUS(muster_rwlock_unlock(lock), 0);
    CHECK_STATUS(muster_rwlock_close(lock), 0);
  }
}

static void dies_in(void *context) {
  muster_rwlock *lock;
  REQUIRE(!muster_rwlock_attach(muster_region_payload(context), muster_region_size(context), &lock));
  CHECK_STATUS(muster_rwlock_write(lock, soon()), 0);
  raise(SIGKILL);
}

static void observes(void) {
  const char *name = test_name("observer");
  muster_rwlock *observer, *lock;
  muster_rwlock_options options = {.capacity = 1, .observe = 1};
  REQUIRE(!muster_rwlock_open(name, &options, &observer));
  CHECK_STATUS(muster_rwlock_read(observer, soon()), EACCES);
  CHECK_STATUS(muster_rwlock_write(observer, soon()), EACCES);
  CHECK_STATUS(muster_rwlock_unlock(observer), EACCES);
  // It has taken no place, and others attach in its region.
  muster_region *region = muster_rwlock_region(observer);
  REQUIRE(!muster_rwlock_attach(muster_region_payload(region), muster_region_size(region), &lock));
  CHECK_STATUS(muster_rwlock_write(lock, soon()), 0);
  CHECK_EQUAL(told(observer, NULL).pid, getpid());
  CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  CHECK_STATUS(muster_rwlock_close(lock), 0);
  test_join(test_fork(dies_in, region), SIGKILL);
  REQUIRE(!muster_rwlock_attach(muster_region_payload(region), muster_region_size(region), &lock));
  CHECK_STATUS(muster_rwlock_write(lock, soon()), EOWNERDEAD);
  CHECK_STATUS(muster_rwlock_unlock(lock), 0);
  CHECK_EQUAL(told(observer, NULL).condition, MUSTER_LOCK_POISONED);
  CHECK_STATUS(muster_rwlock_reset(observer), 0);
  CHECK_EQUAL(told(observer, NULL).condition, MUSTER_LOCK_UNREPAIRED);
  CHECK_STATUS(muster_rwlock_close(lock), 0);
  CHECK_STATUS(muster_rwlock_close(observer), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static int is_libcs(size_t at, uint32_t capacity) {
  size_t core = sizeof(lock_head), group = sizeof(lock_head) + sizeof(rwlock_shared);
  if (at >= core && at < core + 48) return 1;
  for (uint32_t k = 0; k < capacity; k++) {
    size_t place = group + sizeof(group_head) + k * sizeof(group_place);
    if (at >= place && at < place + sizeof(liveness_lock)) return 1;
  }
  return 0;
}

static void hostile_bytes(void) {
  scene *at = rwlock_scene(2);
  static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x06};
  for (size_t k = 0; k < muster_rwlock_size(2); k++) {
    if (is_libcs(k, 2)) continue;
    for (size_t m = 0; m < sizeof masks; m++) {
      at->memory[k] ^= masks[m];
      muster_rwlock *lock;
      int status = muster_rwlock_attach(at->memory, sizeof at->memory, &lock);
      CHECK(status == 0 || status == EBADMSG || status == EPROTO || status == EOVERFLOW);
      if (!status) {
        told(lock, NULL);
        muster_lock_holder reader;
        CHECK_STATUS(muster_rwlock_reader(lock, 1, &reader), 0);
        status = muster_rwlock_read(lock, MUSTER_DEADLINE_NOW);
        CHECK(status == 0 || status == EOWNERDEAD || status == ENOTRECOVERABLE || status == ETIMEDOUT || status == EBADMSG);
        if (!status) CHECK_STATUS(muster_rwlock_unlock(lock), 0);
        status = muster_rwlock_write(lock, muster_deadline_after(1000000));
        CHECK(status == 0 || status == EOWNERDEAD || status == ENOTRECOVERABLE || status == ETIMEDOUT || status == EBADMSG);
        if (!status || status == EOWNERDEAD) CHECK_STATUS(muster_rwlock_unlock(lock), 0);
        CHECK_STATUS(muster_rwlock_close(lock), 0);
      }
      REQUIRE(!muster_rwlock_init(at->memory, sizeof at->memory, 2));
    }
  }
}

// What is written into a slot while its member waits ends the wait with an error, and the handle can be closed.
static void hostile_slot(void) {
  scene *at = rwlock_scene(2);
  for (uint32_t state = 3; state < 6; state++) {
    muster_rwlock *writer = rwlock_of(at), *reader = rwlock_of(at);
    rwlock_slot *slots = (rwlock_slot *)(void *)(at->memory + muster_rwlock_size(2) - 2 * sizeof(rwlock_slot));
    muster_wait_set set;
    CHECK_STATUS(muster_rwlock_try_write(writer), 0);
    CHECK_STATUS(muster_rwlock_poll_read(reader, &set), EAGAIN);
    CHECK_EQUAL(slots[1].state, SLOT_WAITS);
    __atomic_store_n(&slots[1].state, state, __ATOMIC_SEQ_CST);
    if (state == 3) CHECK_STATUS(muster_rwlock_unlock(reader), EBADMSG);
    CHECK_STATUS(muster_rwlock_unlock(writer), 0);
    if (state > 3) CHECK_STATUS(muster_rwlock_poll_read(reader, &set), EBADMSG);
    CHECK_STATUS(muster_rwlock_try_read(reader), 0);
    CHECK_STATUS(muster_rwlock_unlock(reader), 0);
    CHECK_STATUS(muster_rwlock_close(reader), 0);
    CHECK_STATUS(muster_rwlock_close(writer), 0);
  }
}

TEST_SUITE(lock_rwlock, {"reads_and_writes", reads_and_writes, 0}, {"what_is_refused", what_is_refused, 0},
           {"belongs_to_its_thread", belongs_to_its_thread, 0},
           {"dead_readers_are_counted_out", dead_readers_are_counted_out, 60},
           {"dead_writers_are_told", dead_writers_are_told, 60},
           {"readers_wait_for_a_repair", readers_wait_for_a_repair, 0},
           {"dead_waiting_writers_leave_nothing", dead_waiting_writers_leave_nothing, 60},
           {"neither_side_starves", neither_side_starves, 0}, {"polls_and_gives_up", polls_and_gives_up, 0},
           {"by_name", by_name, 0}, {"observes", observes, 0},
           {"restarts_are_told", restarts_are_told, 0},
           {"hostile_slot", hostile_slot, 0}, {"hostile_bytes", hostile_bytes, 120});
