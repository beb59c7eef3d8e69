// The steps of a pair: the marks, committing an entry, loading one.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "internal/pair.h"
#include "internal/words.h"

MUSTER_NONBLOCKING int muster_pair_try(muster_pair *pair, uint64_t step) {
  int status = muster_checkpoint_check(pair->entries);
  if (!status) __atomic_store_n(&pair->marks->tried, step, __ATOMIC_RELEASE);
  return status;
}

MUSTER_NONBLOCKING int muster_pair_emitted(muster_pair *pair, uint64_t step) {
  int status = muster_checkpoint_check(pair->entries);
  if (!status && step > __atomic_load_n(&pair->marks->emitted, __ATOMIC_RELAXED))
    __atomic_store_n(&pair->marks->emitted, step, __ATOMIC_RELEASE);
  return status;
}

MUSTER_NONBLOCKING static int entry_fits(const muster_pair *pair, const muster_pair_entry *entry) {
  if (entry->kind < MUSTER_PAIR_INITIAL || entry->kind > MUSTER_PAIR_FRESH) return EINVAL;
  return entry->state_length > pair->head.state || entry->output_length > pair->head.output ? EMSGSIZE : 0;
}

// Lays the entry into the slot that is to be committed; *length is all of it.
MUSTER_NONBLOCKING static int lay(muster_pair *pair, const muster_pair_entry *entry, size_t *length) {
  int status = muster_checkpoint_check(pair->entries);
  if (!status) status = entry_fits(pair, entry);
  void *slot;
  if (!status) status = muster_checkpoint_begin(pair->entries, &slot);
  if (status) return status;
  pair_entry_head head = {.step = entry->step,
                          .position = entry->position,
                          .state_length = entry->state_length,
                          .output_length = entry->output_length,
                          .kind = entry->kind};
  unsigned char *to = slot;
  muster_words_put(to, &head, sizeof head);
  if (entry->state_length) muster_words_put(to + sizeof head, entry->state, entry->state_length);
  if (entry->output_length) muster_words_put(to + sizeof head + entry->state_length, entry->output, entry->output_length);
  *length = sizeof head + entry->state_length + entry->output_length;
  return 0;
}

MUSTER_NONBLOCKING static int note(muster_pair *pair, const muster_pair_entry *entry, int status) {
  if (!status) __atomic_store_n(&pair->marks->committed, entry->step, __ATOMIC_RELEASE);
  return status;
}

MUSTER_NONBLOCKING int muster_pair_commit(muster_pair *pair, const muster_pair_entry *entry) {
  size_t length;
  int status = lay(pair, entry, &length);
  return status ? status : note(pair, entry, muster_checkpoint_commit(pair->entries, length, NULL));
}

int muster_pair_commit_durable(muster_pair *pair, const muster_pair_entry *entry) {
  size_t length;
  int status = lay(pair, entry, &length);
  return status ? status : note(pair, entry, muster_checkpoint_commit_durable(pair->entries, length, NULL));
}

// ---- Loading

size_t muster_pair_buffer_size(const muster_pair *pair) {
  return sizeof(pair_entry_head) + pair->head.state + pair->head.output;
}

typedef struct loading {
  const muster_pair *pair;
  uint64_t before;
  muster_pair_accept accept;
  void *context;
  muster_pair_entry *entry;
} loading;

// What the bytes of a committed state say, or 0: they can't be an entry.
static int parse(const muster_pair *pair, const unsigned char *bytes, const muster_checkpoint_info *info,
                 muster_pair_entry *entry) {
  pair_entry_head head;
  if (info->length < sizeof head) return 0;
  memcpy(&head, bytes, sizeof head);
  uint64_t rest = info->length - sizeof head;
  if (head.state_length > pair->head.state || head.output_length > pair->head.output) return 0;
  if (head.state_length + head.output_length != rest) return 0;
  if (head.kind < MUSTER_PAIR_INITIAL || head.kind > MUSTER_PAIR_FRESH) return 0;
  *entry = (muster_pair_entry){.step = head.step,
                               .sequence = info->sequence,
                               .epoch = info->epoch,
                               .kind = head.kind,
                               .position = head.position,
                               .state = bytes + sizeof head,
                               .state_length = head.state_length,
                               .output = bytes + sizeof head + head.state_length,
                               .output_length = head.output_length};
  return 1;
}

static int accept_entry(const void *bytes, const muster_checkpoint_info *info, void *context) {
  const loading *search = context;
  if (search->before && info->sequence >= search->before) return 0;
  if (!parse(search->pair, bytes, info, search->entry)) return 0;
  return !search->accept || search->accept(search->entry, search->context);
}

int muster_pair_load(const muster_pair *pair, uint64_t before, muster_pair_accept accept, void *context, void *buffer,
                     size_t size, muster_pair_entry *entry) {
  if (size < muster_pair_buffer_size(pair)) return EMSGSIZE;
  loading search = {.pair = pair, .before = before, .accept = accept, .context = context, .entry = entry};
  return muster_checkpoint_load(pair->entries, accept_entry, &search, buffer, size, NULL);
}
