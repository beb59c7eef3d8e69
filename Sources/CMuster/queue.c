// A queue laid, opened, joined and left.
// SPDX-License-Identifier: Apache-2.0
#include "muster/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/queue.h"

// ---- In place

typedef struct numbers {
  uint32_t job_size, jobs, levels, members, attempts, times;
} numbers;

static int is_possible(const numbers *of) {
  return of->job_size <= MUSTER_QUEUE_JOB_SIZE_MAX && of->jobs >= 1 && of->jobs <= MUSTER_QUEUE_JOBS_MAX && of->levels >= 1 &&
         of->levels <= MUSTER_QUEUE_LEVELS_MAX && of->members >= 1 && of->members <= MUSTER_QUEUE_MEMBERS_MAX;
}

static size_t pool_size(const numbers *of) { return muster_pool_size(queue_block_size(of->job_size), of->jobs, of->members); }

// Cells in more bytes than an address has bits for would be taken for few.
static size_t size_of(const numbers *of) {
  if (is_possible(of) && (uint64_t)2 * of->levels << queue_shift(of->jobs) > SIZE_MAX / 4 / sizeof(uint64_t)) return 0;
  size_t pool = is_possible(of) ? pool_size(of) : 0, all;
  if (!pool || __builtin_add_overflow(pool, queue_pool_offset(of->jobs, of->levels), &all)) return 0;
  return all > PTRDIFF_MAX ? 0 : all;
}

static numbers numbers_of(const muster_queue_options *options) {
  return (numbers){options->job_size, options->jobs, options->levels ? options->levels : 1, options->members,
                   options->attempts, options->times};
}

size_t muster_queue_size(const muster_queue_options *options) {
  numbers asked = numbers_of(options);
  return size_of(&asked);
}

static void *part(const void *memory, size_t offset) { return (void *)((uintptr_t)memory + offset); }

int muster_queue_init(void *memory, size_t size, const muster_queue_options *options) {
  numbers of = numbers_of(options);
  size_t needed = size_of(&of);
  if (!needed || size < needed || (uintptr_t)memory % MUSTER_QUEUE_ALIGNMENT) return EINVAL;
  size_t before = queue_pool_offset(of.jobs, of.levels);
  memset(memory, 0, before);
  int status = muster_pool_init(part(memory, before), needed - before, queue_block_size(of.job_size), of.jobs, of.members);
  if (status) return status;
  queue_head *head = memory;
  head->version = QUEUE_VERSION;
  head->job_size = of.job_size;
  head->jobs = of.jobs;
  head->levels = of.levels;
  head->members = of.members;
  head->attempts = of.attempts;
  head->times = of.times != 0;
  __atomic_store_n(&head->magic, QUEUE_MAGIC, __ATOMIC_RELEASE);
  return 0;
}

static uint32_t read_number(const uint32_t *number) { return __atomic_load_n(number, __ATOMIC_RELAXED); }

// Checks the head, and gives the numbers that all follows from.
static int check(const void *memory, size_t size, numbers *found) {
  if ((uintptr_t)memory % MUSTER_QUEUE_ALIGNMENT) return EINVAL;
  const queue_head *head = memory;
  if (size < sizeof *head || __atomic_load_n(&head->magic, __ATOMIC_ACQUIRE) != QUEUE_MAGIC) return EBADMSG;
  if (read_number(&head->version) != QUEUE_VERSION) return EPROTO;
  *found = (numbers){read_number(&head->job_size), read_number(&head->jobs), read_number(&head->levels),
                     read_number(&head->members), read_number(&head->attempts), read_number(&head->times)};
  size_t needed = size_of(found);
  return !needed || size < needed ? EBADMSG : 0;
}

static void describe(muster_queue *queue, const void *memory, const numbers *found) {
  queue->state = part(memory, sizeof(queue_head));
  queue->ends = part(memory, queue_ends_offset());
  queue->cells = part(memory, queue_cells_offset(found->levels));
  queue->heads_of = part(memory, queue_heads_offset(found->jobs, found->levels));
  queue->job_size = found->job_size;
  queue->levels = found->levels;
  queue->attempts = found->attempts;
  queue->times = found->times;
  queue->shift = queue_shift(found->jobs);
  for (uint32_t k = 0; k < 2 * found->levels; k++) {
    queue->heads[k] = __atomic_load_n(&queue->ends[k].head, __ATOMIC_RELAXED);
    queue->tails[k] = __atomic_load_n(&queue->ends[k].tail, __ATOMIC_RELAXED);
  }
}

static int attach_pool(const void *memory, const numbers *found, int read_only, muster_pool **pool) {
  void *at = part(memory, queue_pool_offset(found->jobs, found->levels));
  int status = read_only ? muster_pool_attach_read_only(at, pool_size(found), pool) : muster_pool_attach(at, pool_size(found), pool);
  // What is no pool there is a corrupt queue.
  if (status) return status == EPROTO || status == EINVAL ? EBADMSG : status;
  if ((*pool)->blocks == found->jobs && (*pool)->members == found->members &&
      (*pool)->block_size == pool_rounded(queue_block_size(found->job_size)))
    return 0;
  (void)muster_pool_close(*pool);
  return EBADMSG;
}

static int make_handle(const void *memory, size_t size, int read_only, muster_queue **queue) {
  *queue = NULL;
  numbers found;
  int status = check(memory, size, &found);
  if (status) return status;
  int saved = errno;
  muster_queue *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  describe(made, memory, &found);
  status = attach_pool(memory, &found, read_only, &made->pool);
  if (status) return free(made), status;
  made->pool->reclaim = muster_queue_settle_block;
  made->pool->context = made;
  *queue = made;
  return 0;
}

int muster_queue_attach(void *memory, size_t size, muster_queue **queue) { return make_handle(memory, size, 0, queue); }

int muster_queue_attach_read_only(const void *memory, size_t size, muster_queue **queue) {
  return make_handle(memory, size, 1, queue);
}

// What nobody holds any more goes back, by the same steps as of one who died. A death in here leaves it to the next to renew.
int muster_queue_renew(void *memory, size_t size) {
  muster_queue *queue;
  int status = make_handle(memory, size, 0, &queue);
  if (status) return status == EPROTO ? EBADMSG : status;
  numbers found;
  status = check(memory, size, &found);
  if (!status) muster_queue_mend_cells(queue);
  if (!status)
    status = muster_pool_renew_by(part(memory, queue_pool_offset(found.jobs, found.levels)), pool_size(&found), muster_queue_keep, queue);
  if (!status) muster_queue_mend_gaps(queue);
  for (uint32_t k = 0; !status && k < queue->pool->blocks; k++) {
    uint64_t word = muster_pool_word(queue->pool, k);
    uint32_t tag = pool_tag_of(word);
    if (tag == QUEUE_TAKEN || tag == QUEUE_RETURNING) (void)muster_queue_return(queue, k, word);
  }
  (void)muster_queue_close(queue);
  return status;
}

// ---- By name

static int fill(void *payload, size_t size, void *context) { return muster_queue_init(payload, size, context); }

static int renew(void *payload, size_t size, void *context) {
  (void)context;
  return muster_queue_renew(payload, size);
}

static int differs(muster_mismatch *mismatch, uint32_t asked, uint32_t found) {
  if (!asked || asked == found) return 0;
  if (mismatch) *mismatch = (muster_mismatch){MUSTER_MISMATCH_LAYOUT, asked, found};
  return EPROTO;
}

// One that is attached to has the numbers that were asked for.
static int is_as_asked(const muster_queue *queue, const muster_queue_options *options) {
  int status = differs(options->mismatch, options->job_size, queue->job_size);
  if (!status) status = differs(options->mismatch, options->jobs, queue->pool->blocks);
  if (!status) status = differs(options->mismatch, options->levels, queue->levels);
  return status ? status : differs(options->mismatch, options->members, queue->pool->members);
}

// What was not given may be anything, where it need not be known.
static int may_be_asked(const muster_queue_options *options, uint32_t flags) {
  uint32_t any = flags & MUSTER_REGION_CREATE ? 0 : 1;
  numbers asked = numbers_of(options);
  if (!asked.jobs) asked.jobs = any;
  if (!asked.members) asked.members = any;
  return is_possible(&asked);
}

// The size that is asked for of the region: 0, any, when some number is left open.
static size_t size_asked(const muster_queue_options *options, uint32_t flags) {
  if (flags & MUSTER_REGION_CREATE) return muster_queue_size(options);
  return options->job_size && options->jobs && options->levels && options->members ? muster_queue_size(options) : 0;
}

int muster_queue_open(const char *name, const muster_queue_options *options, muster_queue **queue) {
  *queue = NULL;
  uint32_t flags = muster_group_region_flags(options->flags);
  if (!may_be_asked(options, flags)) return EINVAL;
  size_t needed = size_asked(options, flags);
  if (!needed && flags & MUSTER_REGION_CREATE) return EINVAL;
  muster_region *region;
  int status = muster_region_open(name,
                                  &(muster_region_options){.flags = flags,
                                                           .mode = options->permissions,
                                                           .kind = MUSTER_QUEUE_KIND,
                                                           .version = QUEUE_VERSION,
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
  status = make_handle(muster_region_payload(region), size, read_only, queue);
  if (status) return muster_region_close(region), status;
  (*queue)->region = region;
  status = is_as_asked(*queue, options);
  if (!status) return 0;
  (void)muster_queue_close(*queue);
  *queue = NULL;
  return status;
}

// ---- Joining and leaving

int muster_queue_join(muster_queue *queue, uint32_t *member) {
  int status = muster_pool_join(queue->pool, member);
  if (status) return status;
  // One needless wake of who has called before: by others he may not have been answered.
  queue->rung = __atomic_load_n(&queue->state->calls, __ATOMIC_SEQ_CST) - 1;
  // What is left by those who had this place before, and by others when nobody was a member.
  (void)muster_queue_settle(queue);
  return 0;
}

// What this member has, as if it had died: it is the one who settles it.
static void hand_back(muster_queue *queue) {
  uint32_t me = muster_pool_me(queue->pool);
  for (uint32_t k = 0; k < queue->pool->blocks; k++) {
    uint64_t word = muster_pool_word(queue->pool, k);
    if (pool_owner_of(word) == me && pool_tag_of(word) >= POOL_TAG_MODULE)
      (void)muster_queue_settle_block(queue->pool, k, word, queue);
  }
  muster_queue_answer(queue);
}

int muster_queue_leave(muster_queue *queue) {
  if (muster_pool_may(queue->pool)) {
    if ((uint32_t)syscall(SYS_gettid) != queue->pool->thread) return EBUSY;
    hand_back(queue);
  }
  return muster_pool_leave(queue->pool);
}

int muster_queue_close(muster_queue *queue) {
  if (!queue) return 0;
  if (muster_queue_leave(queue) == EBUSY) return EBUSY;
  int status = muster_pool_close(queue->pool);
  if (status) return status;
  muster_region_close(queue->region);
  free(queue);
  return 0;
}
