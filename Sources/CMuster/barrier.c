// SPDX-License-Identifier: Apache-2.0
#include "muster/barrier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal/barrier.h"

#define BARRIER_KIND MUSTER_KIND('B', 'A', 'R', 'R')

size_t muster_barrier_size(uint32_t parties) {
  size_t group = muster_group_size(parties);
  return group ? sizeof(barrier_shared) + group : 0;
}

static int fits(uint32_t parties, uint32_t on_death) {
  return muster_barrier_size(parties) != 0 && on_death <= MUSTER_ON_DEATH_AWAIT;
}

// Lays all of its own words but the constant line, so that it can be done again by whoever finds that the one before died in it.
static void lay(barrier_shared *shared) {
  memset((unsigned char *)shared + offsetof(barrier_shared, root), 0, sizeof *shared - offsetof(barrier_shared, root));
  shared->root = root_make(0, 0, 0, STATE_OPEN, 0, 0, (1u << BARRIER_HISTORY) - 1);
}

int muster_barrier_init(void *memory, size_t size, uint32_t parties, muster_on_death on_death) {
  if ((uintptr_t)memory % MUSTER_BARRIER_ALIGNMENT || !fits(parties, on_death) || size < muster_barrier_size(parties))
    return EINVAL;
  barrier_shared *shared = memory;
  memset(shared, 0, sizeof *shared);
  shared->magic = BARRIER_MAGIC;
  shared->version = BARRIER_VERSION;
  shared->parties = parties;
  shared->on_death = on_death;
  lay(shared);
  return muster_group_init(shared + 1, size - sizeof *shared, parties);
}

typedef struct joining {
  muster_barrier *barrier;
  int passed_over;  // a place of the dead that the policy keeps
} joining;

static int accept(uint32_t index, muster_member_state was, void *context) {
  joining *join = context;
  uint32_t absent = muster_barrier_absent_in(join->barrier, index / BARRIER_LEAF);
  if (absent >> index % BARRIER_LEAF & 1) return 0;
  if (was == MUSTER_MEMBER_FREE || join->barrier->on_death == MUSTER_ON_DEATH_AWAIT) return 1;
  join->passed_over = 1;
  return 0;
}

// Whoever ran an action from this place is gone; once somebody lives in it again nobody else could tell.
static void seated(uint32_t index, void *context) {
  muster_barrier *barrier = ((joining *)context)->barrier;
  uint64_t root = barrier_root(barrier);
  while (!root_broken(root) && root_state(root) == STATE_ACTION && root_member(root) == index)
    if (muster_barrier_break(barrier, &root, MUSTER_BARRIER_DEATH, index)) break;
}

static int join(muster_barrier *barrier) {
  joining context = {.barrier = barrier};
  group_seating seating = {.accept = accept, .seated = seated, .context = &context};
  int status = muster_group_join_seated(barrier->group, &seating, &barrier->member);
  if (status != EOVERFLOW || !context.passed_over || barrier->on_death != MUSTER_ON_DEATH_BREAK) return status;
  return root_broken(barrier_root(barrier)) ? ENOTRECOVERABLE : EOWNERDEAD;
}

static int check(const barrier_shared *shared, size_t size, uint32_t *parties, uint32_t *on_death) {
  if (size < sizeof *shared || shared->magic != BARRIER_MAGIC) return EBADMSG;
  if (shared->version != BARRIER_VERSION) return EPROTO;
  *parties = __atomic_load_n(&shared->parties, __ATOMIC_RELAXED);
  *on_death = __atomic_load_n(&shared->on_death, __ATOMIC_RELAXED);
  return fits(*parties, *on_death) && muster_barrier_size(*parties) <= size ? 0 : EBADMSG;
}

int muster_barrier_attach(void *memory, size_t size, const muster_barrier_options *options, muster_barrier **barrier) {
  *barrier = NULL;
  if ((uintptr_t)memory % MUSTER_BARRIER_ALIGNMENT) return EINVAL;
  uint32_t parties, on_death;
  int status = check(memory, size, &parties, &on_death);
  if (status) return status;
  if (options->parties && (options->parties != parties || (uint32_t)options->on_death != on_death)) return EPROTO;
  int saved = errno;
  muster_barrier *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  *made = (muster_barrier){.shared = memory,
                           .parties = parties,
                           .on_death = on_death,
                           .member = GROUP_NOBODY,
                           .may_spin = muster_spinning() && parties <= muster_processors(),
                           .may_yield = muster_spinning(),
                           .spins = 1000,
                           .yields = 4,
                           .action = options->action,
                           .context = options->context};
  status = muster_group_attach(made->shared + 1, size - sizeof *made->shared, &made->group);
  // A group for fewer than the parties would have us look beyond its places.
  if (!status && muster_group_capacity(made->group) != parties) status = EBADMSG;
  if (!status && !options->observe) status = join(made);
  if (status == EPROTO && options->mismatch) muster_group_compatible(made->group, options->mismatch);
  if (status) {
    if (made->group) muster_group_detach(made->group);
    free(made);
    return status;
  }
  *barrier = made;
  return 0;
}

typedef struct parameters {
  uint32_t parties;
  muster_on_death on_death;
} parameters;

static int fill(void *payload, size_t size, void *context) {
  const parameters *wanted = context;
  return muster_barrier_init(payload, size, wanted->parties, wanted->on_death);
}

// Nobody holds the region: a barrier of the same parameters begins anew, as if the name had not been there.
static int renew(void *payload, size_t size, void *context) {
  (void)context;
  uint32_t parties, on_death;
  barrier_shared *shared = payload;
  int status = check(shared, size, &parties, &on_death);
  if (status) return status;
  lay(shared);
  return muster_group_renew(shared + 1, size - sizeof *shared);
}

int muster_barrier_open(const char *name, const muster_barrier_options *options, muster_barrier **barrier) {
  *barrier = NULL;
  uint32_t flags = muster_group_region_flags(options->flags);
  if (flags & MUSTER_REGION_READ_ONLY && !options->observe) return EINVAL;
  if (options->parties ? !fits(options->parties, (uint32_t)options->on_death) : (flags & MUSTER_REGION_CREATE) != 0)
    return EINVAL;
  parameters wanted = {options->parties, options->on_death};
  muster_region_options place = {.flags = flags,
                                 .mode = options->mode,
                                 .kind = BARRIER_KIND,
                                 .version = BARRIER_VERSION,
                                 .layout = options->parties ? UINT64_C(1) << 32 | options->parties << 8 | options->on_death : 0,
                                 .size = muster_barrier_size(options->parties),
                                 .deadline = options->deadline,
                                 .initialize = fill,
                                 .renew = renew,
                                 .context = &wanted,
                                 .mismatch = options->mismatch};
  muster_region *region;
  int status = muster_region_open(name, &place, &region);
  if (status) return status;
  status = muster_barrier_attach(muster_region_payload(region), muster_region_size(region), options, barrier);
  if (status) return muster_region_close(region), status;
  (*barrier)->region = region;
  (*barrier)->group->read_only = (flags & MUSTER_REGION_READ_ONLY) != 0;
  return 0;
}

int muster_barrier_close(muster_barrier *barrier) {
  if (!barrier) return 0;
  int status = muster_group_detach(barrier->group);
  if (status) return status;
  muster_region_close(barrier->region);
  free(barrier);
  return 0;
}

int muster_barrier_abort(muster_barrier *barrier) {
  if (muster_fork_inherited(&barrier->group->guard)) return EPERM;
  if (barrier->group->read_only) return EACCES;
  uint64_t root = barrier_root(barrier);
  while (!root_broken(root))
    if (muster_barrier_break(barrier, &root, MUSTER_BARRIER_ABORTED, 0)) break;
  return 0;
}

// The dead are freed while the barrier still is what it was: freed afterwards, the first to wait would find them and break it again.
int muster_barrier_reset(muster_barrier *barrier) {
  int status = muster_group_free_dead(barrier->group);
  if (status) return status;
  uint64_t root = barrier_root(barrier);
  while (!barrier_root_swap(barrier, &root, muster_barrier_next(barrier, root, 0))) {
  }
  muster_futex_wake_all(barrier_futex(barrier));
  return 0;
}

static uint32_t absent_in_all(const muster_barrier *barrier) {
  uint32_t count = 0;
  for (uint32_t leaf = 0; leaf < barrier_leaves(barrier); leaf++)
    count += (uint32_t)__builtin_popcount(muster_barrier_absent_in(barrier, leaf));
  return count;
}

static uint32_t arrived_in(const muster_barrier *barrier, uint64_t root) {
  uint32_t count = 0;
  for (uint32_t k = 0; k < barrier->parties; k++) {
    uint32_t absent = muster_barrier_absent_in(barrier, k / BARRIER_LEAF) >> k % BARRIER_LEAF & 1;
    count += !absent && muster_barrier_has_arrived(barrier, root_phase(root), root, k);
  }
  return count;
}

int muster_barrier_state_get(const muster_barrier *barrier, muster_barrier_state *state) {
  if (muster_fork_inherited(&barrier->group->guard)) return EPERM;
  uint64_t root;
  do {
    root = barrier_root(barrier);
    int status = muster_barrier_outcome(barrier, root_phase(root), root);
    if (status == EBADMSG) return EBADMSG;
    muster_barrier_cause cause =
        root_broken(root) ? (muster_barrier_cause)(root_state(root) - STATE_BROKEN) : MUSTER_BARRIER_WHOLE;
    int nobody = cause == MUSTER_BARRIER_WHOLE || cause == MUSTER_BARRIER_ABORTED;
    *state = (muster_barrier_state){.parties = barrier->parties - absent_in_all(barrier),
                                    .arrived = arrived_in(barrier, root),
                                    .phase = root_phase(root),
                                    .cause = cause,
                                    .culprit = nobody ? MUSTER_BARRIER_NOBODY : root_member(root),
                                    .on_death = (muster_on_death)barrier->on_death,
                                    .in_action = !root_broken(root) && root_state(root) == STATE_ACTION};
    // Counted leaf by leaf, and true for one moment only if the phase has not changed meanwhile.
  } while (root_phase(barrier_root(barrier)) != root_phase(root));
  return 0;
}

int muster_barrier_broken(const muster_barrier *barrier) { return root_broken(barrier_root(barrier)); }

uint32_t muster_barrier_waiting(const muster_barrier *barrier) { return arrived_in(barrier, barrier_root(barrier)); }

uint32_t muster_barrier_parties(const muster_barrier *barrier) { return barrier->parties - absent_in_all(barrier); }

uint32_t muster_barrier_phase(const muster_barrier *barrier) { return root_phase(barrier_root(barrier)); }

uint32_t muster_barrier_member(const muster_barrier *barrier) { return barrier->member; }

muster_group *muster_barrier_group(const muster_barrier *barrier) { return barrier->group; }

const muster_region *muster_barrier_region(const muster_barrier *barrier) { return barrier->region; }
