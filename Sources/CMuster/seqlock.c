// SPDX-License-Identifier: Apache-2.0
#include "muster/seqlock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/group.h"
#include "internal/region_layout.h"
#include "internal/seqlock.h"

// Other than any number that a process gives itself: those are odd, or 0 in a child that has none yet.
#define NOT_CLAIMED UINT64_C(2)

static uint32_t this_thread(void) { return (uint32_t)syscall(SYS_gettid); }

// ---- In place

size_t muster_seqlock_size(uint32_t words) {
  if (words == 0 || words > MUSTER_SEQLOCK_WORDS_MAX) return 0;
  return seqlock_labels_offset(words) + (size_t)words * MUSTER_SEQLOCK_LABEL_SIZE;
}

static seqlock_state *state_in(const void *memory) {
  return (seqlock_state *)((uintptr_t)memory + seqlock_state_offset());
}

static char *label_in(const void *memory, uint32_t words, uint32_t index) {
  return (char *)((uintptr_t)memory + seqlock_labels_offset(words) + (size_t)index * MUSTER_SEQLOCK_LABEL_SIZE);
}

static uint64_t *stamp_in(const void *memory, uint32_t words, uint64_t number) {
  size_t offset = seqlock_state_offset() + sizeof(seqlock_state) + (number & 1) * seqlock_copy_size(words);
  return (uint64_t *)((uintptr_t)memory + offset);
}

int muster_seqlock_init(void *memory, size_t size, uint32_t words) {
  size_t needed = muster_seqlock_size(words);
  if (!needed || size < needed || (uintptr_t)memory % MUSTER_SEQLOCK_ALIGNMENT) return EINVAL;
  memset(memory, 0, needed);
  seqlock_head *head = memory;
  int status = muster_group_init(head + 1, seqlock_claim_size(), 1);
  if (status) return status;
  head->version = SEQLOCK_VERSION;
  head->words = words;
  __atomic_store_n(&head->magic, SEQLOCK_MAGIC, __ATOMIC_RELEASE);
  return 0;
}

// Checks the head, and gives the one number that all offsets follow from.
static int check(const void *memory, size_t size, uint32_t *words) {
  if ((uintptr_t)memory % MUSTER_SEQLOCK_ALIGNMENT) return EINVAL;
  const seqlock_head *head = memory;
  if (size < sizeof *head || __atomic_load_n(&head->magic, __ATOMIC_ACQUIRE) != SEQLOCK_MAGIC) return EBADMSG;
  if (__atomic_load_n(&head->version, __ATOMIC_RELAXED) != SEQLOCK_VERSION) return EPROTO;
  *words = __atomic_load_n(&head->words, __ATOMIC_RELAXED);
  size_t needed = muster_seqlock_size(*words);
  return !needed || size < needed ? EBADMSG : 0;
}

int muster_seqlock_set_label(void *memory, size_t size, uint32_t index, const char *label) {
  uint32_t words;
  int status = check(memory, size, &words);
  if (status) return status == EPROTO ? EBADMSG : status;
  if (index >= words) return EINVAL;
  char *to = label_in(memory, words, index);
  memset(to, 0, MUSTER_SEQLOCK_LABEL_SIZE);
  memcpy(to, label, strnlen(label, MUSTER_SEQLOCK_LABEL_SIZE - 1));
  return 0;
}

// A death in here leaves both heads as they were, so that readers attach all the same, and the next to renew does all
// of it again.
int muster_seqlock_renew(void *memory, size_t size) {
  uint32_t words;
  int status = check(memory, size, &words);
  if (status) return status == EPROTO ? EBADMSG : status;
  seqlock_state *state = state_in(memory);
  status = muster_group_renew((seqlock_head *)memory + 1, seqlock_claim_size());
  if (status) return status;
  __atomic_store_n(&state->waiting, 0u, __ATOMIC_RELAXED);
  // Processes leave `latest` at a whole copy wherever they die. A machine that stops doesn't: it may have kept the
  // state's page and the copies' pages of different moments.
  uint64_t latest = __atomic_load_n(&state->latest, __ATOMIC_RELAXED), may_be[] = {latest, latest + 1, latest - 1};
  for (size_t i = 0; i < sizeof may_be / sizeof *may_be; i++) {
    if (__atomic_load_n(stamp_in(memory, words, may_be[i]), __ATOMIC_RELAXED) != may_be[i]) continue;
    if (i) __atomic_store_n(&state->latest, may_be[i], __ATOMIC_RELEASE);
    return 0;
  }
  return EBADMSG;
}

int muster_seqlock_zero(void *memory, size_t size, uint32_t first, uint32_t count) {
  uint32_t words;
  if (check(memory, size, &words) || first > words || count > words - first) return EBADMSG;
  uint64_t latest = __atomic_load_n(&state_in(memory)->latest, __ATOMIC_RELAXED);
  uint64_t *word = stamp_in(memory, words, latest) + 1 + first;
  for (uint32_t k = 0; k < count; k++) __atomic_store_n(word + k, UINT64_C(0), __ATOMIC_RELAXED);
  return 0;
}

static int make_handle(const void *memory, size_t size, int read_only, muster_seqlock **seqlock) {
  *seqlock = NULL;
  uint32_t words;
  int status = check(memory, size, &words);
  if (status) return status;
  int saved = errno;
  muster_seqlock *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  made->state = state_in(memory);
  made->labels = label_in(memory, words, 0);
  made->read_only = read_only;
  uint32_t stride = (uint32_t)(seqlock_copy_size(words) / sizeof(uint64_t));
  made->reader = (muster_seqlock_reader){.latest = &made->state->latest, .stride = stride, .words = words};
  status = muster_fork_guard(&made->guard);
  made->writer = (muster_seqlock_writer){.latest = &made->state->latest,
                                         .waiting = &made->state->waiting,
                                         .process = made->guard.word,
                                         .token = NOT_CLAIMED,
                                         .stride = stride,
                                         .words = words,
                                         .changed = UINT32_MAX};
  // Attaching to a group, and asking it who lives, stores nothing.
  if (!status)
    status = muster_group_attach((seqlock_head *)(uintptr_t)memory + 1, seqlock_claim_size(), &made->group);
  if (status) return free(made), status;
  made->group->read_only = read_only;
  *seqlock = made;
  return 0;
}

int muster_seqlock_attach(void *memory, size_t size, muster_seqlock **seqlock) {
  return make_handle(memory, size, 0, seqlock);
}

int muster_seqlock_attach_read_only(const void *memory, size_t size, muster_seqlock **seqlock) {
  return make_handle(memory, size, 1, seqlock);
}

// ---- By name

static int fill(void *payload, size_t size, void *context) {
  const muster_seqlock_options *options = context;
  int status = muster_seqlock_init(payload, size, options->words);
  for (uint32_t i = 0; !status && i < options->label_count; i++)
    if (options->labels[i]) status = muster_seqlock_set_label(payload, size, i, options->labels[i]);
  return status;
}

static int renew(void *payload, size_t size, void *context) {
  (void)context;
  return muster_seqlock_renew(payload, size);
}

// The number of words that takes `size` bytes, or 0: each word more takes more.
static uint32_t words_of_size(uint64_t size) {
  for (uint32_t words = 1; words <= MUSTER_SEQLOCK_WORDS_MAX; words++)
    if (muster_seqlock_size(words) == size) return words;
  return 0;
}

int muster_seqlock_open(const char *name, const muster_seqlock_options *options, muster_seqlock **seqlock) {
  *seqlock = NULL;
  uint32_t flags = muster_group_region_flags(options->flags), words = options->words;
  if (words > MUSTER_SEQLOCK_WORDS_MAX || (words == 0 && flags & MUSTER_REGION_CREATE)) return EINVAL;
  if (options->label_count && (!options->labels || options->label_count > words)) return EINVAL;
  muster_mismatch differs = {0};
  muster_region *region;
  int status = muster_region_open(name,
                                  &(muster_region_options){.flags = flags,
                                                           .mode = options->mode,
                                                           .kind = MUSTER_SEQLOCK_KIND,
                                                           .version = SEQLOCK_VERSION,
                                                           .layout = options->layout,
                                                           .size = muster_seqlock_size(words),
                                                           .deadline = options->deadline,
                                                           .initialize = fill,
                                                           .renew = renew,
                                                           .context = (void *)(uintptr_t)options,
                                                           .mismatch = &differs},
                                  &region);
  if (status == EPROTO && differs.kind == MUSTER_MISMATCH_SIZE && words_of_size(differs.found))
    differs = (muster_mismatch){MUSTER_MISMATCH_LAYOUT, words, words_of_size(differs.found)};
  if (options->mismatch) *options->mismatch = differs;
  if (status) return status;
  int read_only = (flags & MUSTER_REGION_READ_ONLY) != 0;
  size_t size = muster_region_size(region);
  status = make_handle(muster_region_payload(region), size, read_only, seqlock);
  if (status) return muster_region_close(region), status;
  (*seqlock)->region = region;
  if (size == muster_seqlock_size((*seqlock)->reader.words)) return 0;
  (void)muster_seqlock_close(*seqlock);
  *seqlock = NULL;
  return EBADMSG;
}

// ---- The claim

int muster_seqlock_life(const muster_seqlock *seqlock, int32_t *pid) {
  *pid = 0;
  if (muster_fork_inherited(&seqlock->guard)) return EPERM;
  return muster_group_holder(seqlock->group, &seqlock->state->owner, pid);
}

int muster_seqlock_writer_pid(const muster_seqlock *seqlock, int32_t *pid) {
  return muster_seqlock_life(seqlock, pid);
}

// Forgets a claim whose thread has ended: its lock is on no list any more, and the group's handle can join anew.
static int forget_lost_claim(muster_seqlock *seqlock) {
  seqlock->writer.token = NOT_CLAIMED;
  seqlock->claimed = 0;
  return muster_group_leave(seqlock->group);
}

// Reads the newest value into the writer's own copy. Nobody writes now, so anything but one whole value is corrupt.
static int take_over(muster_seqlock *seqlock) {
  muster_seqlock_writer *writer = &seqlock->writer;
  uint64_t number;
  int status = muster_seqlock_snapshot(&seqlock->reader, 0, writer->words, writer->newest, &number);
  if (status) return EBADMSG;
  writer->sequence = number;
  writer->changed = UINT32_MAX;
  return 0;
}

int muster_seqlock_claim(muster_seqlock *seqlock, muster_seqlock_claimant *found) {
  muster_seqlock_claimant unused;
  if (!found) found = &unused;
  *found = (muster_seqlock_claimant){.sequence = muster_seqlock_sequence(seqlock)};
  if (muster_fork_inherited(&seqlock->guard)) return EPERM;
  if (seqlock->read_only) return EACCES;
  int status = 0;
  if (seqlock->claimed) status = muster_group_was_lost(seqlock->group) ? forget_lost_claim(seqlock) : EALREADY;
  if (status) return status;
  muster_seqlock_writer *writer = &seqlock->writer;
  int saved = errno;
  if (!writer->newest) writer->newest = calloc(writer->words, sizeof *writer->newest);
  errno = saved;
  if (!writer->newest) return ENOMEM;
  uint32_t place;
  status = muster_group_join(seqlock->group, &place);
  if (status == EOVERFLOW) {
    if (muster_seqlock_life(seqlock, &found->pid)) found->pid = 0;
    return EBUSY;
  }
  if (status) return status;
  uint32_t before = __atomic_load_n(&seqlock->state->owner, __ATOMIC_ACQUIRE);
  status = take_over(seqlock);
  if (status) {
    (void)muster_group_leave(seqlock->group);
    return status;
  }
  found->sequence = writer->sequence;
  found->died = before != 0;
  found->pid = (int32_t)before;
  __atomic_store_n(&seqlock->state->owner, (uint32_t)getpid(), __ATOMIC_RELEASE);
  // A predecessor may have cleared it and died before it woke anybody.
  __atomic_store_n(&seqlock->state->waiting, 1u, __ATOMIC_SEQ_CST);
  writer->token = seqlock->guard.token;
  seqlock->claimed = 1;
  return 0;
}

int muster_seqlock_release(muster_seqlock *seqlock) {
  if (muster_fork_inherited(&seqlock->guard)) return EPERM;
  if (!seqlock->claimed) return EINVAL;
  // Before anything else: `owner` may be a successor's by now.
  if (muster_group_was_lost(seqlock->group)) {
    int status = forget_lost_claim(seqlock);
    return status ? status : EINVAL;
  }
  if (this_thread() != seqlock->group->thread) return EBUSY;
  seqlock->writer.token = NOT_CLAIMED;
  seqlock->claimed = 0;
  // Before the place is left: after that another may have stored its own.
  __atomic_store_n(&seqlock->state->owner, 0u, __ATOMIC_RELEASE);
  return muster_group_leave(seqlock->group);
}

int muster_seqlock_close(muster_seqlock *seqlock) {
  if (!seqlock) return 0;
  int inherited = muster_fork_inherited(&seqlock->guard);
  if (seqlock->claimed && !inherited && muster_seqlock_release(seqlock) == EBUSY) return EBUSY;
  (void)muster_group_close(seqlock->group);
  muster_region_close(seqlock->region);
  free(seqlock->writer.newest);
  free(seqlock);
  return 0;
}

// ---- What is known of it

uint32_t muster_seqlock_words(const muster_seqlock *seqlock) { return seqlock->reader.words; }

int muster_seqlock_label(const muster_seqlock *seqlock, uint32_t index, char label[MUSTER_SEQLOCK_LABEL_SIZE]) {
  label[0] = 0;
  if (index >= seqlock->reader.words) return EINVAL;
  memcpy(label, seqlock->labels + (size_t)index * MUSTER_SEQLOCK_LABEL_SIZE, MUSTER_SEQLOCK_LABEL_SIZE);
  label[MUSTER_SEQLOCK_LABEL_SIZE - 1] = 0;
  return 0;
}

int muster_seqlock_find(const muster_seqlock *seqlock, const char *label, uint32_t *index) {
  char found[MUSTER_SEQLOCK_LABEL_SIZE];
  for (uint32_t i = 0; *label && i < seqlock->reader.words; i++) {
    if (muster_seqlock_label(seqlock, i, found) || strcmp(found, label)) continue;
    *index = i;
    return 0;
  }
  return ENOENT;
}

uint64_t muster_seqlock_layout(const muster_seqlock *seqlock) {
  if (!seqlock->region) return 0;
  const unsigned char *payload = muster_region_payload(seqlock->region);
  return ((const region_header *)(const void *)(payload - MUSTER_REGION_HEADER_SIZE))->layout;
}

muster_region *muster_seqlock_region(const muster_seqlock *seqlock) { return seqlock->region; }

// ---- The fast paths, out of line

const muster_seqlock_reader *muster_seqlock_reader_of(const muster_seqlock *seqlock) { return &seqlock->reader; }

muster_seqlock_writer *muster_seqlock_writer_of(muster_seqlock *seqlock) { return &seqlock->writer; }

MUSTER_NONBLOCKING int muster_seqlock_read(const muster_seqlock *seqlock, uint64_t *words, uint32_t count,
                                           uint64_t *sequence) {
  return muster_seqlock_snapshot(&seqlock->reader, 0, count, words, sequence);
}

MUSTER_NONBLOCKING int muster_seqlock_read_word(const muster_seqlock *seqlock, uint32_t index, uint64_t *value,
                                                uint64_t *sequence) {
  return muster_seqlock_snapshot(&seqlock->reader, index, 1, value, sequence);
}

MUSTER_NONBLOCKING uint64_t muster_seqlock_sequence(const muster_seqlock *seqlock) {
  return __atomic_load_n(seqlock->reader.latest, __ATOMIC_ACQUIRE);
}

MUSTER_NONBLOCKING int muster_seqlock_write(muster_seqlock *seqlock, const uint64_t *words, uint32_t count) {
  return muster_seqlock_publish(&seqlock->writer, 0, count, words);
}

MUSTER_NONBLOCKING int muster_seqlock_set(muster_seqlock *seqlock, uint32_t index, uint64_t value) {
  return muster_seqlock_publish_word(&seqlock->writer, index, value);
}

MUSTER_NONBLOCKING int muster_seqlock_add(muster_seqlock *seqlock, uint32_t index, uint64_t delta) {
  return muster_seqlock_publish_sum(&seqlock->writer, index, delta);
}
