// SPDX-License-Identifier: Apache-2.0
#include "internal/root_row.h"

#include <errno.h>

void muster_root_row_write(root_row *row, const uint64_t *words, uint32_t count) {
  uint64_t number = __atomic_load_n(&row->latest, __ATOMIC_RELAXED) + 1;
  uint64_t *stamp = &row->stamps[number & 1], *copy = row->words[number & 1];
  __atomic_store_n(stamp, ROOT_WRITING, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
  for (uint32_t k = 0; k < count; k++) __atomic_store_n(&copy[k], words[k], __ATOMIC_RELAXED);
  __atomic_store_n(stamp, number, __ATOMIC_RELEASE);
  __atomic_store_n(&row->latest, number, __ATOMIC_RELEASE);
}

int muster_root_row_read(const root_row *row, uint64_t *words, uint32_t count) {
  uint64_t last = 0;
  for (uint32_t turn = 0; turn < ROOT_ROW_ATTEMPTS; turn++) {
    uint64_t number = __atomic_load_n(&row->latest, __ATOMIC_ACQUIRE);
    if (turn > 0 && number == last) return EBADMSG;
    const uint64_t *copy = row->words[number & 1];
    for (uint32_t k = 0; k < count; k++) words[k] = __atomic_load_n(&copy[k], __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&row->stamps[number & 1], __ATOMIC_RELAXED) == number) return 0;
    last = number;
  }
  return EAGAIN;
}
