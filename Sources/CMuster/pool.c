// A pool laid, opened, joined and left.
// SPDX-License-Identifier: Apache-2.0
#include "muster/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/futex.h"
#include "internal/group.h"
#include "internal/pool.h"

// ---- In place

static int is_possible(uint32_t block_size, uint32_t blocks, uint32_t members) {
  return block_size >= MUSTER_POOL_BLOCK_SIZE_MIN && block_size <= MUSTER_POOL_BLOCK_SIZE_MAX && blocks >= 1 &&
         blocks <= MUSTER_POOL_BLOCKS_MAX && members >= 1 && members <= MUSTER_POOL_MEMBERS_MAX;
}

size_t muster_pool_size(uint32_t block_size, uint32_t blocks, uint32_t members) {
  if (!is_possible(block_size, blocks, members)) return 0;
  size_t before = pool_blocks_offset(blocks, members), all;
  if (__builtin_mul_overflow((size_t)pool_rounded(block_size), (size_t)blocks, &all)) return 0;
  return __builtin_add_overflow(all, before, &all) || all > PTRDIFF_MAX ? 0 : all;
}

static void *part(const void *memory, size_t offset) { return (void *)((uintptr_t)memory + offset); }

static void set_hints(void *memory, uint32_t blocks, uint32_t members) {
  uint32_t *hints = part(memory, pool_hints_offset(members));
  for (uint32_t k = 0; k < pool_hints(blocks); k++) __atomic_store_n(&hints[k], (uint32_t)HINT_SOME, __ATOMIC_RELAXED);
}

int muster_pool_init(void *memory, size_t size, uint32_t block_size, uint32_t blocks, uint32_t members) {
  size_t needed = muster_pool_size(block_size, blocks, members);
  if (!needed || size < needed || (uintptr_t)memory % MUSTER_POOL_ALIGNMENT) return EINVAL;
  memset(memory, 0, pool_blocks_offset(blocks, members));
  pool_head *head = memory;
  int status = muster_group_init(part(memory, sizeof *head), pool_up(muster_group_size(members)), members);
  if (status) return status;
  set_hints(memory, blocks, members);
  head->version = POOL_VERSION;
  head->block_size = pool_rounded(block_size);
  head->blocks = blocks;
  head->members = members;
  __atomic_store_n(&head->magic, POOL_MAGIC, __ATOMIC_RELEASE);
  return 0;
}

typedef struct numbers {
  uint32_t block_size, blocks, members;
} numbers;

// Checks the head, and gives the numbers that all follows from.
static int check(const void *memory, size_t size, numbers *found) {
  if ((uintptr_t)memory % MUSTER_POOL_ALIGNMENT) return EINVAL;
  const pool_head *head = memory;
  if (size < sizeof *head || __atomic_load_n(&head->magic, __ATOMIC_ACQUIRE) != POOL_MAGIC) return EBADMSG;
  if (__atomic_load_n(&head->version, __ATOMIC_RELAXED) != POOL_VERSION) return EPROTO;
  found->block_size = __atomic_load_n(&head->block_size, __ATOMIC_RELAXED);
  found->blocks = __atomic_load_n(&head->blocks, __ATOMIC_RELAXED);
  found->members = __atomic_load_n(&head->members, __ATOMIC_RELAXED);
  size_t needed = muster_pool_size(found->block_size, found->blocks, found->members);
  return !needed || size < needed || pool_rounded(found->block_size) != found->block_size ? EBADMSG : 0;
}

static uint64_t renewed(uint32_t index, uint64_t word, pool_keeper keep, void *context) {
  if (pool_is_free(word)) return word;
  uint64_t freed = pool_freed(word);
  return keep && pool_tag_of(word) >= POOL_TAG_MODULE ? keep(index, word, freed, context) : freed;
}

// A death in here leaves a pool, some of whose blocks are of lives that the new group knows nothing of; the next to renew does all of
// it again.
int muster_pool_renew_by(void *memory, size_t size, pool_keeper keep, void *context) {
  numbers found;
  int status = check(memory, size, &found);
  if (status) return status == EPROTO ? EBADMSG : status;
  status = muster_group_renew(part(memory, sizeof(pool_head)), pool_up(muster_group_size(found.members)));
  if (status) return status;
  memset(part(memory, pool_settled_offset(found.members)), 0, found.members * sizeof(uint32_t));
  uint64_t *words = part(memory, pool_words_offset(found.blocks, found.members));
  for (uint32_t k = 0; k < found.blocks; k++) {
    uint64_t word = __atomic_load_n(&words[k], __ATOMIC_RELAXED);
    __atomic_store_n(&words[k], renewed(k, word, keep, context), __ATOMIC_RELAXED);
  }
  set_hints(memory, found.blocks, found.members);
  return 0;
}

int muster_pool_renew(void *memory, size_t size) { return muster_pool_renew_by(memory, size, NULL, NULL); }

static void describe(muster_pool *pool, const void *memory, const numbers *found) {
  pool->block_size = found->block_size;
  pool->blocks = found->blocks;
  pool->members = found->members;
  pool->state = part(memory, pool_state_offset(found->members));
  pool->calls = &pool->state->calls;
  pool->settled = part(memory, pool_settled_offset(found->members));
  pool->hints = part(memory, pool_hints_offset(found->members));
  pool->words = part(memory, pool_words_offset(found->blocks, found->members));
  pool->data = part(memory, pool_blocks_offset(found->blocks, found->members));
}

static int make_handle(const void *memory, size_t size, int read_only, muster_pool **pool) {
  *pool = NULL;
  numbers found;
  int status = check(memory, size, &found);
  if (status) return status;
  int saved = errno;
  muster_pool *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  describe(made, memory, &found);
  made->read_only = read_only;
  made->token = POOL_IDLE;
  made->may_spin = muster_spinning() && muster_processors() > 1;
  status = muster_fork_guard(&made->guard);
  // Attaching to a group, and asking it who lives, stores nothing.
  if (!status)
    status = muster_group_attach(part(memory, sizeof(pool_head)), pool_up(muster_group_size(found.members)), &made->group);
  if (!status && muster_group_capacity(made->group) != found.members) status = EBADMSG;
  if (status) {
    (void)muster_group_close(made->group);
    return free(made), status;
  }
  made->group->read_only = read_only;
  made->process = made->guard.word;
  *pool = made;
  return 0;
}

int muster_pool_attach(void *memory, size_t size, muster_pool **pool) { return make_handle(memory, size, 0, pool); }

int muster_pool_attach_read_only(const void *memory, size_t size, muster_pool **pool) {
  return make_handle(memory, size, 1, pool);
}

// ---- By name

static int fill(void *payload, size_t size, void *context) {
  const muster_pool_options *options = context;
  return muster_pool_init(payload, size, options->block_size, options->blocks, options->members);
}

static int renew(void *payload, size_t size, void *context) {
  (void)context;
  return muster_pool_renew(payload, size);
}

static int differs(muster_mismatch *mismatch, uint32_t asked, uint32_t found) {
  if (!asked || asked == found) return 0;
  if (mismatch) *mismatch = (muster_mismatch){MUSTER_MISMATCH_LAYOUT, asked, found};
  return EPROTO;
}

// One that is attached to has the numbers that were asked for.
static int is_as_asked(const muster_pool *pool, const muster_pool_options *options) {
  uint32_t block_size = options->block_size ? pool_rounded(options->block_size) : 0;
  int status = differs(options->mismatch, block_size, pool->block_size);
  if (!status) status = differs(options->mismatch, options->blocks, pool->blocks);
  return status ? status : differs(options->mismatch, options->members, pool->members);
}

// What was not given may be anything, where it need not be known.
static int may_be_asked(const muster_pool_options *options, uint32_t flags) {
  uint32_t any = flags & MUSTER_REGION_CREATE ? 0 : 1;
  return is_possible(options->block_size ? options->block_size : any * MUSTER_POOL_BLOCK_SIZE_MIN,
                     options->blocks ? options->blocks : any, options->members ? options->members : any);
}

int muster_pool_open(const char *name, const muster_pool_options *options, muster_pool **pool) {
  *pool = NULL;
  uint32_t flags = muster_group_region_flags(options->flags);
  if (!may_be_asked(options, flags)) return EINVAL;
  // The size tells that the numbers differ where all are asked for; which, tells the pool itself.
  size_t needed = muster_pool_size(options->block_size, options->blocks, options->members);
  if (!needed && flags & MUSTER_REGION_CREATE) return EINVAL;
  muster_region *region;
  int status = muster_region_open(name,
                                  &(muster_region_options){.flags = flags,
                                                           .mode = options->permissions,
                                                           .kind = MUSTER_POOL_KIND,
                                                           .version = POOL_VERSION,
                                                           .layout = options->layout,
                                                           .size = needed,
                                                           .deadline = options->deadline,
                                                           .initialize = fill,
                                                           .renew = renew,
                                                           .context = (void *)(uintptr_t)options,
                                                           .mismatch = options->mismatch},
                                  &region);
  if (status) return status;
  int read_only = (flags & MUSTER_REGION_READ_ONLY) != 0;
  size_t size = muster_region_size(region);
  status = make_handle(muster_region_payload(region), size, read_only, pool);
  if (status) return muster_region_close(region), status;
  (*pool)->region = region;
  status = size == muster_pool_size((*pool)->block_size, (*pool)->blocks, (*pool)->members) ? is_as_asked(*pool, options) : EBADMSG;
  if (!status) return 0;
  (void)muster_pool_close(*pool);
  *pool = NULL;
  return status;
}

// ---- Joining and leaving

static uint32_t this_thread(void) { return (uint32_t)syscall(SYS_gettid); }

static void become_idle(muster_pool *pool) { __atomic_store_n(&pool->token, POOL_IDLE, __ATOMIC_RELAXED); }

static int has_joined(const muster_pool *pool) { return pool->token != POOL_IDLE; }

// Whether the handle is free to join: a membership whose thread has ended is forgotten.
static int may_join(muster_pool *pool) {
  if (muster_fork_inherited(&pool->guard)) return EPERM;
  if (pool->read_only) return EACCES;
  if (!has_joined(pool)) return 0;
  if (!muster_group_was_lost(pool->group)) return EALREADY;
  (void)muster_group_leave(pool->group);
  become_idle(pool);
  return 0;
}

int muster_pool_join(muster_pool *pool, uint32_t *member) {
  int status = may_join(pool);
  if (status) return status;
  uint32_t place;
  status = muster_group_join(pool->group, &place);
  if (status) return status;
  // So that no two lives of a place that are far apart are ever to be told from each other by the few bits of a word.
  if (muster_pool_is_unsettled(pool, place)) (void)muster_pool_settle(pool);
  pool->me = pool_owner_bits(place, muster_pool_life_in(pool, place));
  pool->lock = muster_group_lock_word(pool->group, place);
  pool->thread = pool->group->thread;
  pool->top = 0;
  // Each begins elsewhere, so that they do not fight over the same lines.
  pool->cursor = (uint32_t)((uint64_t)pool_hints(pool->blocks) * place / pool->members);
  // One needless wake of who has called before: by others he may not have been answered.
  pool->rung = __atomic_load_n(pool->calls, __ATOMIC_SEQ_CST) - 1;
  __atomic_store_n(&pool->token, pool->guard.token, __ATOMIC_RELAXED);
  if (member) *member = place;
  return 0;
}

int muster_pool_leave(muster_pool *pool) {
  if (muster_fork_inherited(&pool->guard)) return EPERM;
  if (!has_joined(pool)) return EINVAL;
  if (muster_group_was_lost(pool->group)) {
    (void)muster_group_leave(pool->group);
    become_idle(pool);
    return EINVAL;
  }
  if (this_thread() != pool->group->thread) return EBUSY;
  become_idle(pool);
  int status = muster_group_leave(pool->group);
  // From here on its blocks are those of one who has ended: by whoever comes first.
  if (!status) (void)muster_pool_settle(pool);
  return status;
}

int muster_pool_close(muster_pool *pool) {
  if (!pool) return 0;
  if (!muster_fork_inherited(&pool->guard) && has_joined(pool) && muster_pool_leave(pool) == EBUSY) return EBUSY;
  (void)muster_group_close(pool->group);
  muster_region_close(pool->region);
  free(pool);
  return 0;
}
