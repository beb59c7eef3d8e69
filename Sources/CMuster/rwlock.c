// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal/futex.h"
#include "internal/rwlock.h"

// ---- In place

static size_t slots_offset(uint32_t capacity) {
  return sizeof(lock_head) + sizeof(rwlock_shared) + rwlock_group_size(capacity);
}

size_t muster_rwlock_size(uint32_t capacity) {
  if (capacity == 0 || capacity > MUSTER_RWLOCK_CAPACITY_MAX) return 0;
  return slots_offset(capacity) + capacity * sizeof(rwlock_slot);
}

static rwlock_shared *shared_in(void *memory) { return (rwlock_shared *)(void *)((lock_head *)memory + 1); }
static void *group_in(void *memory) { return shared_in(memory) + 1; }
static rwlock_slot *slots_in(void *memory, uint32_t capacity) {
  return (rwlock_slot *)(void *)((unsigned char *)memory + slots_offset(capacity));
}

int muster_rwlock_init(void *memory, size_t size, uint32_t capacity) {
  size_t needed = muster_rwlock_size(capacity);
  if (!needed || size < needed || (uintptr_t)memory % MUSTER_LOCK_ALIGNMENT) return EINVAL;
  memset(memory, 0, needed);
  int status = muster_group_init(group_in(memory), rwlock_group_size(capacity), capacity);
  if (!status) status = muster_lock_core_init(&shared_in(memory)->core);
  if (!status) muster_lock_head_init(memory, RWLOCK_MAGIC, capacity);
  return status;
}

static int check(const void *memory, size_t size, uint32_t *capacity) {
  int status = muster_lock_head_check(memory, size, RWLOCK_MAGIC, capacity);
  if (status) return status;
  size_t needed = muster_rwlock_size(*capacity);
  return !needed || size < needed ? EBADMSG : 0;
}

// Nobody holds the region. The gate is all that outlives a generation; who dies in here leaves it as it was, or settled.
static int renew(void *payload, size_t size, void *context) {
  (void)context;
  uint32_t capacity;
  int status = check(payload, size, &capacity);
  if (status) return status == EPROTO ? EBADMSG : status;
  rwlock_shared *shared = shared_in(payload);
  uint32_t state = gate_state(shared->gate);
  if (state > GATE_POISONED) return EBADMSG;
  if (state != GATE_POISONED) {
    int broken = state == GATE_WRITING || state == GATE_BROKEN || muster_lock_outlived_boot(payload);
    state = broken ? GATE_BROKEN : GATE_OPEN;
  }
  shared->gate = state;
  memset(shared->slots, 0, sizeof shared->slots);
  memset(slots_in(payload, capacity), 0, capacity * sizeof(rwlock_slot));
  status = muster_lock_core_init(&shared->core);
  if (!status) status = muster_group_renew(group_in(payload), rwlock_group_size(capacity));
  if (!status) muster_lock_head_init(payload, RWLOCK_MAGIC, capacity);
  return status;
}

static int accept_any(uint32_t index, muster_member_state state, void *context) {
  (void)index, (void)state, (void)context;
  return 1;
}

// With the place's lock held: what a dead reader left here is over.
static void empty_slot(uint32_t index, void *context) {
  rwlock_slot *slots = context;
  __atomic_store_n(&slots[index].since, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&slots[index].state, SLOT_EMPTY, __ATOMIC_SEQ_CST);
}

static int join(muster_rwlock *rwlock) {
  group_seating seating = {.accept = accept_any, .seated = empty_slot, .context = rwlock->slots};
  int status = muster_group_join_seated(rwlock->group, &seating, &rwlock->member);
  if (status) return status;
  rwlock->slot = &rwlock->slots[rwlock->member];
  rwlock->thread = rwlock->group->thread;
  return 0;
}

// `hold`: HOLDS_NOTHING to join, OBSERVES, ONLY_ASKS.
static int make_handle(void *memory, size_t size, rwlock_hold hold, muster_mismatch *mismatch, muster_rwlock **rwlock) {
  *rwlock = NULL;
  uint32_t capacity;
  int status = check(memory, size, &capacity);
  if (status) return status;
  int saved = errno;
  muster_rwlock *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  made->shared = shared_in(memory);
  made->gate = &made->shared->gate;
  made->slots = slots_in(memory, capacity);
  made->capacity = capacity;
  made->hold = hold;
  made->spins = 64;
  status = muster_group_attach(group_in(memory), rwlock_group_size(capacity), &made->group);
  if (status) return free(made), status;
  if (made->group->capacity != capacity) status = EBADMSG;
  if (!status) status = muster_lock_view_init(&made->view, memory, &made->shared->core);
  if (!status && hold != ONLY_ASKS) status = muster_lock_compatible(memory, mismatch);
  if (!status && hold == HOLDS_NOTHING) status = join(made);
  made->group->read_only = hold == ONLY_ASKS;
  if (status) return (void)muster_group_detach(made->group), free(made), status;
  *rwlock = made;
  return 0;
}

int muster_rwlock_attach(void *memory, size_t size, muster_rwlock **rwlock) {
  return make_handle(memory, size, HOLDS_NOTHING, NULL, rwlock);
}

// ---- By name

static int fill(void *payload, size_t size, void *context) {
  return muster_rwlock_init(payload, size, *(uint32_t *)context);
}

int muster_rwlock_open(const char *name, const muster_rwlock_options *options, muster_rwlock **rwlock) {
  *rwlock = NULL;
  uint32_t flags = muster_group_region_flags(options->flags), capacity = options->capacity;
  if (capacity ? !muster_rwlock_size(capacity) : (flags & MUSTER_REGION_CREATE) != 0) return EINVAL;
  muster_region *region;
  int status = muster_region_open(name,
                                  &(muster_region_options){.flags = flags,
                                                           .mode = options->mode,
                                                           .kind = MUSTER_LOCK_KIND,
                                                           .version = LOCK_VERSION,
                                                           .layout = MUSTER_LOCK_LAYOUT_RWLOCK,
                                                           .size = muster_rwlock_size(capacity),
                                                           .deadline = options->deadline,
                                                           .initialize = fill,
                                                           .renew = renew,
                                                           .context = &capacity,
                                                           .mismatch = options->mismatch},
                                  &region);
  if (status) return status;
  rwlock_hold hold = flags & MUSTER_REGION_READ_ONLY ? ONLY_ASKS : options->observe ? OBSERVES : HOLDS_NOTHING;
  status = make_handle(muster_region_payload(region), muster_region_size(region), hold, options->mismatch, rwlock);
  if (status) return muster_region_close(region), status;
  (*rwlock)->region = region;
  return 0;
}

int muster_rwlock_close(muster_rwlock *rwlock) {
  if (!rwlock) return 0;
  if (rwlock_mine(rwlock) == 0 && rwlock->hold != HOLDS_NOTHING) return EBUSY;
  muster_region *region = rwlock->region;
  int status = muster_group_detach(rwlock->group);
  if (status) return status;
  muster_region_close(region);
  free(rwlock);
  return 0;
}

// ---- What is known of it

static uint32_t slot_state(const muster_rwlock *rwlock, uint32_t index) {
  return __atomic_load_n(&rwlock->slots[index].state, __ATOMIC_SEQ_CST);
}

static muster_lock_condition condition(uint32_t state, muster_lock_state writer) {
  if (state == GATE_POISONED) return MUSTER_LOCK_POISONED;
  int whole = state == GATE_OPEN || state == GATE_DRAINING || (state == GATE_WRITING && writer == MUSTER_LOCK_HELD);
  return whole ? MUSTER_LOCK_WHOLE : MUSTER_LOCK_UNREPAIRED;
}

int muster_rwlock_holders(const muster_rwlock *rwlock, muster_lock_holder *writer, muster_member_set *readers) {
  if (muster_fork_inherited(&rwlock->view.guard)) return EPERM;
  uint32_t gate;
  int turns = 16;
  do {
    gate = rwlock_gate(rwlock);
    muster_lock_tell(&rwlock->view, writer);
  } while (gate != rwlock_gate(rwlock) && --turns);
  writer->condition = condition(gate_state(gate), writer->state);
  *readers = (muster_member_set){{0}};
  for (uint32_t k = 0; k < rwlock->capacity; k++)
    if (muster_rwlock_reads(rwlock, k))
      readers->bits[k / 64] |= UINT64_C(1) << k % 64;
  return 0;
}

int muster_rwlock_reader(const muster_rwlock *rwlock, uint32_t index, muster_lock_holder *reader) {
  muster_member member;
  int status = muster_group_member(rwlock->group, index, &member);
  if (status) return status;
  *reader = (muster_lock_holder){.state = MUSTER_LOCK_FREE};
  int reads = slot_state(rwlock, index) == SLOT_READS;
  if (member.state == MUSTER_MEMBER_DEAD) reader->state = MUSTER_LOCK_DEAD, reader->died = member.pid;
  else if (muster_rwlock_reads(rwlock, index)) reader->state = MUSTER_LOCK_HELD;
  else return 0;
  reader->pid = member.pid;
  reader->thread = member.thread;
  reader->since = reads ? __atomic_load_n(&rwlock->slots[index].since, __ATOMIC_RELAXED) : 0;
  return 0;
}

uint32_t muster_rwlock_capacity(const muster_rwlock *rwlock) { return rwlock->capacity; }

muster_region *muster_rwlock_region(const muster_rwlock *rwlock) { return rwlock->region; }
