// Races: many processes on one name, creating against removing, looking against opening.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/futex.h"
#include "support.h"

enum { RACERS = 64, REPETITIONS = 300, WORDS = 64 };

// What racers and the one who starts them share. `round` is the start gate: racers sleep at it.
typedef struct race_track {
  uint32_t round;
  uint32_t opened;
  uint32_t closed;
  uint32_t created;
  uint64_t found[RACERS];
  char name[64];
  uint32_t flags;
} race_track;

typedef struct racer {
  race_track *track;
  uint64_t index;
} racer;

static int fill_mine(void *payload, size_t size, void *context) {
  uint64_t *words = payload;
  for (size_t i = 0; i < size / sizeof *words; i++) words[i] = *(uint64_t *)context;
  return 0;
}

static void count_up(uint32_t *count) {
  if (__atomic_add_fetch(count, 1, __ATOMIC_ACQ_REL) == RACERS) muster_futex_wake_all(count);
}

static void wait_for_all(uint32_t *count) {
  uint32_t seen;
  while ((seen = __atomic_load_n(count, __ATOMIC_ACQUIRE)) != RACERS)
    REQUIRE(!muster_futex_wait(count, seen, soon()));
}

static void race_once(racer *me, uint64_t mark) {
  race_track *track = me->track;
  muster_region *region;
  muster_region_options options = {.flags = MUSTER_REGION_OPEN | track->flags, .size = WORDS * sizeof(uint64_t),
                                   .initialize = fill_mine, .context = &mark};
  int status = muster_region_open(track->name, &options, &region);
  CHECK_STATUS(status, 0);
  if (!status) {
    const uint64_t *words = muster_region_payload(region);
    for (int i = 1; i < WORDS; i++) REQUIRE(words[i] == words[0]);
    if (muster_region_created(region)) {
      CHECK(words[0] == mark);
      __atomic_add_fetch(&track->created, 1, __ATOMIC_RELAXED);
    }
    track->found[me->index] = words[0];
  }
  count_up(&track->opened);
  wait_for_all(&track->opened);
  muster_region_close(region);
  count_up(&track->closed);
}

static void race(void *context) {
  racer *me = context;
  for (uint32_t round = 0; round < REPETITIONS; round++) {
    for (uint32_t seen; (seen = __atomic_load_n(&me->track->round, __ATOMIC_ACQUIRE)) <= round;)
      REQUIRE(!muster_futex_wait(&me->track->round, seen, soon()));
    race_once(me, (uint64_t)round << 32 | (me->index + 1));
  }
}

// Exactly one initialisation is ever visible, whole, to all of them.
static void sixty_four_processes_on_one_name(void) {
  race_track *track = shared_memory(sizeof *track);
  const char *name = test_name("race");
  strcpy(track->name, name);
  pid_t pids[RACERS];
  for (uint64_t i = 0; i < RACERS; i++) pids[i] = test_fork(race, &(racer){track, i});
  for (uint32_t round = 0; round < REPETITIONS; round++) {
    track->opened = track->closed = track->created = 0;
    memset(track->found, 0, sizeof track->found);
    gate_open(&track->round, round + 1);
    wait_for_all(&track->closed);
    CHECK_EQUAL(track->created, 1);
    CHECK_EQUAL(track->found[0] >> 32, round);
    for (int i = 1; i < RACERS; i++) REQUIRE(track->found[i] == track->found[0] && track->found[i]);
    CHECK_STATUS(muster_region_remove(track->name, 0), 0);
  }
  for (int i = 0; i < RACERS; i++) test_join(pids[i], 0);
}

enum { OPENERS = 4, REMOVERS = 2, ENOUGH_OPENED = 1000, ENOUGH_REMOVED = 100 };

typedef struct fight_arena {
  uint32_t over;
  uint64_t opened;
  uint64_t removed;
  uint64_t renewed;
  char name[512];
  uint32_t flags;
  int renew;
  int named;
  uint64_t seed;
} fight_arena;

static int note_renewal(void *payload, size_t size, void *context) {
  (void)size;
  // Nobody else is in here: a second renewer at the same time would find the mark.
  uint64_t *words = payload;
  CHECK_EQUAL(__atomic_exchange_n(&words[1], 1, __ATOMIC_ACQ_REL), 0);
  __atomic_add_fetch(&((fight_arena *)context)->renewed, 1, __ATOMIC_RELAXED);
  CHECK_EQUAL(__atomic_exchange_n(&words[1], 0, __ATOMIC_ACQ_REL), 1);
  return 0;
}

// Whoever holds the region without FORCE in play finds the name leading to it, from open to close.
static void open_and_hold(void *context) {
  fight_arena *arena = context;
  uint64_t seed = arena->seed ^ (uint64_t)getpid();
  if (arena->named) refuse_tmpfile(EOPNOTSUPP);
  while (!__atomic_load_n(&arena->over, __ATOMIC_RELAXED)) {
    muster_region *region;
    muster_region_options options = {.flags = MUSTER_REGION_OPEN | arena->flags, .size = 64, .context = arena,
                                     .renew = arena->renew ? note_renewal : NULL};
    CHECK_STATUS(muster_region_open(arena->name, &options, &region), 0);
    if (!region) return;
    CHECK_STATUS(muster_region_current(region), 0);
    if (test_random(&seed) % 8 == 0) test_pause((int64_t)(test_random(&seed) % 100000));
    CHECK_STATUS(muster_region_current(region), 0);
    muster_region_close(region);
    __atomic_add_fetch(&arena->opened, 1, __ATOMIC_RELAXED);
    // Gaps in which nobody holds it, else there is nothing to remove.
    if (test_random(&seed) % 2) test_pause((int64_t)(test_random(&seed) % 300000));
  }
}

static void remove_again_and_again(void *context) {
  fight_arena *arena = context;
  while (!__atomic_load_n(&arena->over, __ATOMIC_RELAXED)) {
    int status = muster_region_remove(arena->name, arena->flags);
    if (status == 0) __atomic_add_fetch(&arena->removed, 1, __ATOMIC_RELAXED);
    else if (status != EBUSY && status != ENOENT) CHECK_STATUS(status, 0);
  }
}

// Gives whatever stands at the name a second one for a while, as a draft does whose creator died before unlink.
static void link_again_and_again(void *context) {
  fight_arena *arena = context;
  char twin[600];
  snprintf(twin, sizeof twin, "%s-twin", arena->name);
  while (!__atomic_load_n(&arena->over, __ATOMIC_RELAXED)) {
    if (link(arena->name, twin)) continue;
    test_pause(100000);
    unlink(twin);
  }
}

static void fight(const char *name, uint32_t flags, int renew, int named, int twins) {
  fight_arena *arena = shared_memory(sizeof *arena);
  strcpy(arena->name, name);
  arena->flags = flags, arena->renew = renew, arena->named = named, arena->seed = test_seed();
  pid_t pids[OPENERS + REMOVERS], linker = twins ? test_fork(link_again_and_again, arena) : 0;
  for (int i = 0; i < OPENERS + REMOVERS; i++)
    pids[i] = test_fork(i < OPENERS ? open_and_hold : remove_again_and_again, arena);
  // Until there was a fight: the test's own deadline tells of one that somebody loses for ever.
  while (__atomic_load_n(&arena->opened, __ATOMIC_RELAXED) < ENOUGH_OPENED ||
         __atomic_load_n(&arena->removed, __ATOMIC_RELAXED) < ENOUGH_REMOVED)
    test_pause(1000000);
  __atomic_store_n(&arena->over, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < OPENERS + REMOVERS; i++) test_join(pids[i], 0);
  if (twins) test_join(linker, 0);
  int status = muster_region_remove(name, flags);
  if (status != ENOENT) CHECK_STATUS(status, 0);
  printf("opened %llu, removed %llu, renewed %llu\n", (unsigned long long)arena->opened,
         (unsigned long long)arena->removed, (unsigned long long)arena->renewed);
  muster_region_info info;
  CHECK_STATUS(muster_region_inspect(name, flags, &info), ENOENT);
}

static void creating_against_removing(void) { fight(test_name("fight"), 0, 0, 0, 0); }
static void renewing_against_removing(void) { fight(test_name("fight"), 0, 1, 0, 0); }

static void files_against_removing(void) {
  char path[512];
  snprintf(path, sizeof path, "%s/fight", test_folder());
  fight(path, MUSTER_REGION_FILE, 1, 0, 0);
  CHECK_EQUAL(count_names(test_folder(), ""), 0);
}

static void named_drafts_against_removing(void) {
  char path[512];
  snprintf(path, sizeof path, "%s/fight", test_folder());
  fight(path, MUSTER_REGION_FILE, 0, 1, 0);
  CHECK_EQUAL(count_names(test_folder(), ""), 0);
}

static void a_second_name_against_removing(void) {
  char path[512];
  snprintf(path, sizeof path, "%s/fight", test_folder());
  fight(path, MUSTER_REGION_FILE, 0, 0, 1);
  CHECK_EQUAL(count_names(test_folder(), ""), 0);
}

// An inspect that took a lock would keep the only opener from finding that nobody holds the region.
static void open_alone(void *context) {
  fight_arena *arena = context;
  while (!__atomic_load_n(&arena->over, __ATOMIC_RELAXED)) {
    uint64_t before = arena->renewed;
    muster_region *region;
    muster_region_options options = {.flags = MUSTER_REGION_ATTACH, .renew = note_renewal, .context = arena};
    CHECK_STATUS(muster_region_open(arena->name, &options, &region), 0);
    if (!region) return;
    REQUIRE(arena->renewed == before + 1);
    arena->opened++;
    muster_region_close(region);
  }
}

static void looking_disturbs_nobody(void) {
  fight_arena *arena = shared_memory(sizeof *arena);
  const char *name = test_name("look");
  strcpy(arena->name, name);
  CHECK_STATUS(make_region(name, 0, 64), 0);
  pid_t opener = test_fork(open_alone, arena);
  muster_region_info info;
  unsigned held = 0;
  for (int i = 0; i < 10000 || __atomic_load_n(&arena->opened, __ATOMIC_RELAXED) < 100; i++) {
    CHECK_STATUS(muster_region_inspect(name, 0, &info), 0);
    held += (unsigned)info.held;
  }
  __atomic_store_n(&arena->over, 1, __ATOMIC_RELAXED);
  test_join(opener, 0);
  printf("held at %u looks, opened %llu times\n", held, (unsigned long long)arena->opened);
  CHECK_EQUAL(is_held(name, 0), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

TEST_SUITE(region_race, {"sixty_four_processes_on_one_name", sixty_four_processes_on_one_name, 240},
           {"creating_against_removing", creating_against_removing, 60},
           {"renewing_against_removing", renewing_against_removing, 60},
           {"files_against_removing", files_against_removing, 60},
           {"named_drafts_against_removing", named_drafts_against_removing, 60},
           {"a_second_name_against_removing", a_second_name_against_removing, 60},
           {"looking_disturbs_nobody", looking_disturbs_nobody, 120});
