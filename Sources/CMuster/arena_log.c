// An arena's redo log: a transaction writes it, its owner decides, whoever comes next redoes it.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "internal/arena.h"
#include "internal/caller.h"
#include "internal/changed_pages.h"
#include "internal/crc32c.h"
#include "internal/words.h"

static int swap(const muster_arena *arena, uint64_t id, muster_arena_transaction to, uint64_t *found) MUSTER_NONBLOCKING {
  *found = arena_word(id, MUSTER_ARENA_RUNNING);
  return __atomic_compare_exchange_n(&arena_log_of(arena)->word, found, arena_word(id, to), 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE);
}

static void make_idle(const muster_arena *arena, uint64_t id) {
  __atomic_store_n(&arena_log_of(arena)->word, arena_word(id, MUSTER_ARENA_IDLE), __ATOMIC_RELEASE);
}

// ---- The owner

int muster_arena_log_begin(const muster_arena *arena, uint64_t *id) {
  if (arena->read_only) return EACCES;
  if (!arena->log_pages) return ENOTSUP;
  // A log is to be redone over the state that the transaction saw, whole.
  if (arena_is_taken(arena) || muster_arena_changing(arena)) return EBUSY;
  *id = (arena_word_id(arena_log_word(arena)) + 1) & (UINT64_MAX >> 8);
  __atomic_store_n(&arena_log_of(arena)->word, arena_word(*id, MUSTER_ARENA_RUNNING), __ATOMIC_RELEASE);
  return 0;
}

MUSTER_NONBLOCKING int muster_arena_log_decide(const muster_arena *arena, uint64_t id) {
  uint64_t found;
  if (arena->read_only) return EACCES;
  if (!arena->log_pages) return ESTALE;
  if (swap(arena, id, MUSTER_ARENA_ABORTED, &found)) return 0;
  if (arena_word_id(found) != id) return ESTALE;
  switch (arena_word_what(found)) {
    case MUSTER_ARENA_ABORTED: return 0;
    case MUSTER_ARENA_COMMITTED: return EALREADY;
    default: return ESTALE;
  }
}

static uint64_t number_at(const muster_arena *arena, uint64_t index) {
  return __atomic_load_n(&arena_log_numbers(arena)[index], __ATOMIC_RELAXED);
}

static uint32_t sum_of_head(uint32_t sum, uint64_t id, uint64_t pages, uint64_t committed) MUSTER_NONBLOCKING {
  uint64_t words[3] = {id, pages, committed};
  return muster_crc32c(sum, words, sizeof words);
}

// Whether the log is what a commit left: 0, EBADMSG. Gives what the commit says of itself.
static int verify(const muster_arena *arena, uint64_t id, uint64_t *pages, uint64_t *committed) {
  const arena_log_head *head = arena_log_of(arena);
  uint32_t sum = 0;
  *pages = __atomic_load_n(&head->pages, __ATOMIC_RELAXED);
  *committed = __atomic_load_n(&head->committed, __ATOMIC_RELAXED);
  if (*pages > arena->log_pages) return EBADMSG;
  for (uint64_t i = 0; i < *pages; i++) {
    uint64_t number = number_at(arena, i);
    if (number >= arena_pages(arena)) return EBADMSG;
    sum = muster_crc32c(sum, &number, sizeof number);
    sum = muster_crc32c_look(sum, arena_log_page(arena, i), arena->page);
  }
  sum = sum_of_head(sum, id, *pages, *committed);
  return __atomic_load_n(&head->checksum, __ATOMIC_RELAXED) == sum ? 0 : EBADMSG;
}

// d3. The numbers are read a second time, so they are checked a second time.
static int apply(const muster_arena *arena, uint64_t pages) {
  for (uint64_t i = 0; i < pages; i++) {
    uint64_t number = number_at(arena, i);
    if (number >= arena_pages(arena)) return EBADMSG;
    muster_words_put((unsigned char *)arena->state + number * arena->page, arena_log_page(arena, i), arena->page);
  }
  return 0;
}

static int redo(const muster_arena *arena, uint64_t id) {
  uint64_t pages, committed;
  int status = verify(arena, id, &pages, &committed);
  if (status) return status;
  arena_open_change(arena);
  status = apply(arena, pages);
  if (status) return status;
  __atomic_store_n(&arena_control_of(arena)->committed, committed, __ATOMIC_RELAXED);
  arena_close_change(arena);
  make_idle(arena, id);
  return 0;
}

int muster_arena_redo(const muster_arena *arena) {
  if (arena->read_only) return EACCES;
  uint64_t word = arena_log_word(arena), id = arena_word_id(word);
  // One that still lives, against the rules, is not told that it has committed when it is lost.
  if (arena_word_what(word) == MUSTER_ARENA_RUNNING && !swap(arena, id, MUSTER_ARENA_ABORTED, &word)) id = arena_word_id(word);
  if (arena_word_what(word) == MUSTER_ARENA_COMMITTED) return redo(arena, id);
  if (arena_word_what(word) != MUSTER_ARENA_IDLE) make_idle(arena, id);
  return ENODATA;
}

int muster_arena_log_drop(const muster_arena *arena) {
  if (arena->read_only) return EACCES;
  uint64_t word = arena_log_word(arena);
  if (arena_word_what(word) != MUSTER_ARENA_COMMITTED) return EINVAL;
  make_idle(arena, arena_word_id(word));
  return 0;
}

// ---- The transaction

// What became of it, where it does not run any more.
static int over(uint64_t word, uint64_t id) MUSTER_NONBLOCKING {
  return word == arena_word(id, MUSTER_ARENA_ABORTED) ? ECANCELED : ESTALE;
}

int muster_arena_log_open(const muster_arena *arena, uint64_t id, muster_arena_log *log) {
  if (arena->read_only) return EACCES;
  *log = (muster_arena_log){.arena = *arena, .id = id, .descriptor = -1};
  uint64_t word = arena_log_word(arena);
  return word == arena_word(id, MUSTER_ARENA_RUNNING) ? 0 : over(word, id);
}

static int map_private(const muster_arena_log *log, int descriptor, uint64_t offset) {
  struct stat file;
  size_t room = (size_t)log->arena.state_room;
  if (fstat(descriptor, &file)) return errno;
  if (offset % log->arena.page || (uint64_t)file.st_size < offset || (uint64_t)file.st_size - offset < room) return EINVAL;
  // A transaction changes little of it, mostly: room is needed for what it does change.
  int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
  return mmap(log->arena.state, room, PROT_READ | PROT_WRITE, flags, descriptor, (off_t)offset) == MAP_FAILED ? errno : 0;
}

int muster_arena_log_isolate(muster_arena_log *log, int descriptor, uint64_t offset) {
  muster_caller came = muster_enter();
  int status = map_private(log, descriptor, offset);
  muster_leave(came);
  if (status) return status;
  log->descriptor = descriptor;
  log->offset = offset;
  return 0;
}

MUSTER_NONBLOCKING int muster_arena_log_add(muster_arena_log *log, uint64_t page, const void *bytes) {
  const muster_arena *arena = &log->arena;
  uint64_t *numbers = arena_log_numbers(arena);
  if (page >= arena_pages(arena)) return EINVAL;
  if (log->pages && page <= log->last) return EINVAL;
  if (log->pages >= arena->log_pages) return ENOSPC;
  uint64_t word = __atomic_load_n(&arena_log_of(arena)->word, __ATOMIC_RELAXED);
  if (word == arena_word(log->id, MUSTER_ARENA_ABORTED)) return ECANCELED;
  if (!bytes) bytes = (unsigned char *)arena->state + page * arena->page;
  __atomic_store_n(&numbers[log->pages], page, __ATOMIC_RELAXED);
  log->checksum = muster_crc32c(log->checksum, &page, sizeof page);
  log->checksum = muster_crc32c_put(log->checksum, arena_log_page(arena, log->pages), bytes, arena->page);
  log->last = page;
  log->pages++;
  return 0;
}

static int add_changed(uint64_t page, void *log) { return muster_arena_log_add(log, page, NULL); }

int muster_arena_log_changed(muster_arena_log *log) {
  if (log->descriptor < 0 || log->pages) return EINVAL;
  return muster_changed_pages(&(changed_pages){.memory = log->arena.state,
                                               .pages = arena_pages(&log->arena),
                                               .page = log->arena.page,
                                               .descriptor = log->descriptor,
                                               .offset = log->offset,
                                               .visit = add_changed,
                                               .context = log});
}

MUSTER_NONBLOCKING int muster_arena_log_commit(muster_arena_log *log) {
  uint64_t found;
  arena_log_head *head = arena_log_of(&log->arena);
  uint64_t committed = __atomic_load_n(&arena_control_of(&log->arena)->committed, __ATOMIC_RELAXED) + 1;
  uint32_t sum = sum_of_head(log->checksum, log->id, log->pages, committed);
  // Only while it is this one's log: the head of one that is committed is its proof.
  found = __atomic_load_n(&head->word, __ATOMIC_ACQUIRE);
  if (found != arena_word(log->id, MUSTER_ARENA_RUNNING)) return over(found, log->id);
  __atomic_store_n(&head->pages, log->pages, __ATOMIC_RELAXED);
  __atomic_store_n(&head->committed, committed, __ATOMIC_RELAXED);
  __atomic_store_n(&head->checksum, (uint64_t)sum, __ATOMIC_RELAXED);
  return swap(&log->arena, log->id, MUSTER_ARENA_COMMITTED, &found) ? 0 : over(found, log->id);
}

MUSTER_NONBLOCKING int muster_arena_log_abort(muster_arena_log *log) {
  uint64_t found;
  return swap(&log->arena, log->id, MUSTER_ARENA_ABORTED, &found) ? 0 : over(found, log->id);
}
