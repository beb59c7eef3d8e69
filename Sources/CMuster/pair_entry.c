// The steps of a pair: the marks, committing an entry, loading one.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "internal/checkpoint.h"
#include "internal/crc32c.h"
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

typedef struct laid {
  size_t length;
  uint32_t checksum;
} laid;

// Lays the entry into the slot that is to be committed, and sums it in the same go.
MUSTER_NONBLOCKING static void lay(unsigned char *to, const muster_pair_entry *entry, laid *made) {
  pair_entry_head head = {.step = entry->step,
                          .position = entry->position,
                          .state_length = entry->state_length,
                          .output_length = entry->output_length,
                          .kind = entry->kind};
  size_t size = entry->state_length, more = entry->output_length;
  uint32_t sum = muster_crc32c_put(0, to, &head, sizeof head);
  to += sizeof head;
  if (size) sum = muster_crc32c_put(sum, to, entry->state, size);
  to += size;
  // Summing while storing goes by whole words of the slot, and after a state of any size none may begin.
  if (more && size % sizeof(uint64_t) == 0) {
    sum = muster_crc32c_put(sum, to, entry->output, more);
  } else if (more) {
    muster_words_put(to, entry->output, more);
    sum = muster_crc32c(sum, entry->output, more);
  }
  *made = (laid){.length = sizeof head + size + more, .checksum = sum};
}

MUSTER_NONBLOCKING static int prepare(muster_pair *pair, const muster_pair_entry *entry, laid *made) {
  int status = entry_fits(pair, entry);
  if (status) {
    int lost = muster_checkpoint_check(pair->entries);
    return lost ? lost : status;
  }
  void *slot;
  status = muster_checkpoint_begin(pair->entries, &slot);
  if (!status) lay(slot, entry, made);
  return status;
}

MUSTER_NONBLOCKING static int note(muster_pair *pair, const muster_pair_entry *entry, int status) {
  if (!status) __atomic_store_n(&pair->marks->committed, entry->step, __ATOMIC_RELEASE);
  return status;
}

MUSTER_NONBLOCKING int muster_pair_commit(muster_pair *pair, const muster_pair_entry *entry) {
  laid made;
  int status = prepare(pair, entry, &made);
  if (!status) status = muster_checkpoint_commit_summed(pair->entries, made.length, made.checksum);
  return note(pair, entry, status);
}

int muster_pair_commit_durable(muster_pair *pair, const muster_pair_entry *entry) {
  laid made;
  int status = prepare(pair, entry, &made);
  if (!status) status = muster_checkpoint_commit_summed_durable(pair->entries, made.length, made.checksum);
  return note(pair, entry, status);
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
