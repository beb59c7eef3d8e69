// Heartbeats by a cell of shared memory. muster/heartbeat.h has the table of its fields.
//
// Why a reader never takes a beat that was not sent. The sender: check = 0, release fence, words, check = sum (release).
// The reader: check (acquire), words, acquire fence, check again. If a word it read is of a later write to this copy than
// the first check is, then, by the two fences, the second look finds the 0 of that write or what came after it (Boehm
// 2012): not the first check, so it reads again. If a word were of an earlier write, the acquire of the first check, which
// was stored after the words, would have been in vain. And the words have to fit the checksum, for those who keep to no
// order: a sender of an earlier listener, which was stopped in the midst of its store, and strangers.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/heartbeat.h"

// Each attempt but the last was in vain because the sender has stored to this copy meanwhile, which it does in every
// second beat.
enum { BUSY = 0, ATTEMPTS = 8 };

static uint32_t sum_of(uint64_t key, const uint64_t words[3]) {
  return (uint32_t)(muster_heartbeat_sum(key, words[0], words[1], words[2]) >> 32);
}

static void put(muster_heartbeat_cell *cell, int at, const uint64_t words[3], uint32_t check) {
  __atomic_store_n(&cell->check[at], BUSY, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
  for (int i = 0; i < 3; i++) __atomic_store_n(&cell->copies[at][i], words[i], __ATOMIC_RELAXED);
  __atomic_store_n(&cell->check[at], check, __ATOMIC_RELEASE);
}

// The check of what was read; BUSY also for a copy that changes faster than it can be read.
static uint32_t get(const muster_heartbeat_cell *cell, int at, uint64_t words[3]) {
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    uint32_t check = __atomic_load_n(&cell->check[at], __ATOMIC_ACQUIRE);
    for (int i = 0; i < 3; i++) words[i] = __atomic_load_n(&cell->copies[at][i], __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&cell->check[at], __ATOMIC_RELAXED) == check) return check;
  }
  return BUSY;
}

static int memory_listen(const muster_heartbeat_options *options, muster_heartbeat_listener *listener,
                         muster_heartbeat_contact *contact) {
  (void)contact;
  const uint64_t none[3] = {0};
  listener->cell = options->cell;
  __atomic_store_n(&listener->cell->listener, 0, __ATOMIC_SEQ_CST);
  for (int at = 0; at < 2; at++) put(listener->cell, at, none, BUSY);
  __atomic_store_n(&listener->cell->listener, listener->key, __ATOMIC_RELEASE);
  return 0;
}

static int memory_receive(muster_heartbeat_listener *listener) {
  for (int at = 0; at < 2; at++) {
    uint64_t words[3];
    uint32_t check = get(listener->cell, at, words);
    if (check == BUSY || check == listener->seen[at]) continue;
    listener->seen[at] = check;
    muster_heartbeat beat = {.epoch = words[0], .number = words[1], .time = (int64_t)words[2]};
    if (check == sum_of(listener->key, words) && beat.number) muster_heartbeat_take(listener, &beat);
    else listener->counts.foreign++;
  }
  return 0;
}

static int memory_let_go(muster_heartbeat_listener *listener) {
  uint64_t mine = listener->key;
  // Somebody may listen by this cell anew, against the rules: it's his then.
  __atomic_compare_exchange_n(&listener->cell->listener, &mine, 0, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
  return 0;
}

static int is_heard(const muster_heartbeat_sender *sender) {
  return __atomic_load_n(&sender->cell->listener, __ATOMIC_ACQUIRE) == sender->key;
}

static int memory_connect(const muster_heartbeat_options *options, const muster_heartbeat_contact *contact,
                          muster_heartbeat_sender *sender) {
  (void)contact;
  sender->cell = options->cell;
  if (!is_heard(sender)) return ECONNREFUSED;
  heartbeat_copy copies[2] = {0};
  for (int at = 0; at < 2; at++) {
    uint64_t words[3];
    uint32_t check = get(sender->cell, at, words);
    muster_heartbeat beat = {.epoch = words[0], .number = words[1], .time = (int64_t)words[2]};
    if (check != BUSY && check == sum_of(sender->key, words)) copies[at] = heartbeat_copy_of(sender->key, &beat);
  }
  sender->next = muster_heartbeat_older(sender->key, copies);
  return 0;
}

static int memory_send(muster_heartbeat_sender *sender, const muster_heartbeat *beat) {
  if (!is_heard(sender)) return ECONNREFUSED;
  const uint64_t words[3] = {beat->epoch, beat->number, (uint64_t)beat->time};
  put(sender->cell, sender->next, words, sum_of(sender->key, words));
  sender->next = !sender->next;
  return 0;
}

const heartbeat_way muster_heartbeat_by_memory = {.listen = memory_listen, .receive = memory_receive,
                                                  .let_go = memory_let_go, .connect = memory_connect,
                                                  .send = memory_send};
