// SPDX-License-Identifier: Apache-2.0
#include "muster/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/futex.h"
#include "internal/group.h"
#include "internal/ring.h"

// ---- In place

size_t muster_ring_size(uint32_t bytes) {
  if (bytes < MUSTER_RING_BYTES_MIN || bytes > MUSTER_RING_BYTES_MAX || (bytes & (bytes - 1))) return 0;
  return ring_data_offset() + bytes;
}

static void *part(const void *memory, size_t offset) { return (void *)((uintptr_t)memory + offset); }
static ring_state *state_in(const void *memory) { return part(memory, ring_state_offset()); }
static ring_slot *slots_in(const void *memory) { return part(memory, ring_slots_offset()); }

static void lay_state(void *memory) {
  ring_state *state = state_in(memory);
  for (uint32_t k = 0; k < RING_MARKS; k++) state->marks[k].position = RING_NONE;
  state->marks[0].position = 0;
  for (uint32_t k = 0; k < MUSTER_RING_READERS_MAX; k++) slots_in(memory)[k].position = RING_NONE;
}

int muster_ring_init(void *memory, size_t size, uint32_t bytes, muster_ring_mode mode) {
  size_t needed = muster_ring_size(bytes);
  if (!needed || size < needed || (uintptr_t)memory % MUSTER_RING_ALIGNMENT) return EINVAL;
  if (mode != MUSTER_RING_LOSSLESS && mode != MUSTER_RING_LATEST) return EINVAL;
  // Of the records only the first header: the others are set as the writer comes to them.
  memset(memory, 0, ring_data_offset() + 8);
  ring_head *head = memory;
  int status = muster_group_init(part(memory, sizeof *head), ring_writers_size(), 1);
  if (!status) status = muster_group_init(part(memory, ring_readers_offset()), ring_readers_size(), MUSTER_RING_READERS_MAX);
  if (status) return status;
  lay_state(memory);
  head->version = RING_VERSION;
  head->mode = (uint32_t)mode;
  head->bytes = bytes;
  __atomic_store_n(&head->magic, RING_MAGIC, __ATOMIC_RELEASE);
  return 0;
}

// Checks the head, and gives the two numbers that all follows from.
static int check(const void *memory, size_t size, uint32_t *bytes, uint32_t *mode) {
  if ((uintptr_t)memory % MUSTER_RING_ALIGNMENT) return EINVAL;
  const ring_head *head = memory;
  if (size < sizeof *head || __atomic_load_n(&head->magic, __ATOMIC_ACQUIRE) != RING_MAGIC) return EBADMSG;
  if (__atomic_load_n(&head->version, __ATOMIC_RELAXED) != RING_VERSION) return EPROTO;
  *bytes = __atomic_load_n(&head->bytes, __ATOMIC_RELAXED);
  *mode = __atomic_load_n(&head->mode, __ATOMIC_RELAXED);
  size_t needed = muster_ring_size(*bytes);
  if (*mode != MUSTER_RING_LOSSLESS && *mode != MUSTER_RING_LATEST) return EBADMSG;
  return !needed || size < needed ? EBADMSG : 0;
}

static void describe(muster_ring *ring, const void *memory, uint32_t bytes, uint32_t mode) {
  ring->state = state_in(memory);
  ring->slots = slots_in(memory);
  ring->data = part(memory, ring_data_offset());
  ring->bytes = bytes;
  ring->mode = mode;
  ring->shift = (uint32_t)__builtin_ctz(bytes);
}

// A power failure may have kept the state's page and those of the records of different moments. Where the chain from the
// newest mark is broken off, the end is put: a header that doesn't fit is of an earlier lap.
static int put_end(muster_ring *ring) {
  muster_ring_place end;
  uint64_t tail = __atomic_load_n(&ring->state->tail, __ATOMIC_RELAXED), word;
  if (muster_ring_mark_from(ring, tail, &end) || end.position != tail) return EBADMSG;
  int status = 0;
  while (!status && end.position - tail < ring->bytes) status = muster_ring_step(ring, &end, &word);
  if (!status) return EBADMSG;
  if (status == EBADMSG)
    __atomic_store_n(muster_ring_header(ring->data, end.position & (ring->bytes - 1)), UINT64_C(0), __ATOMIC_RELEASE);
  uint64_t reserve = __atomic_load_n(&ring->state->reserve, __ATOMIC_RELAXED);
  if (reserve < end.position) __atomic_store_n(&ring->state->reserve, end.position, __ATOMIC_RELEASE);
  return reserve > tail + ring->bytes ? EBADMSG : 0;
}

// A death in here leaves what readers go by as it was, and the next to renew does all of it again.
int muster_ring_renew(void *memory, size_t size) {
  uint32_t bytes, mode;
  int status = check(memory, size, &bytes, &mode);
  if (status) return status == EPROTO ? EBADMSG : status;
  status = muster_group_renew(part(memory, sizeof(ring_head)), ring_writers_size());
  if (!status) status = muster_group_renew(part(memory, ring_readers_offset()), ring_readers_size());
  if (status) return status;
  for (uint32_t k = 0; k < MUSTER_RING_READERS_MAX; k++)
    __atomic_store_n(&slots_in(memory)[k].position, RING_NONE, __ATOMIC_RELAXED);
  muster_ring ring = {0};
  describe(&ring, memory, bytes, mode);
  return put_end(&ring);
}

static void make_views(muster_ring *ring) {
  ring->writer = (muster_ring_writer){.data = ring->data,
                                      .mask = ring->bytes - 1,
                                      .process = ring->guard.word,
                                      .token = RING_IDLE,
                                      .calls = &ring->state->calls,
                                      .shift = ring->shift,
                                      .ring = ring};
  ring->reader = (muster_ring_reader){.data = ring->data,
                                      .mask = ring->bytes - 1,
                                      .reserve = &ring->state->reserve,
                                      .process = ring->guard.word,
                                      .token = RING_IDLE,
                                      .calls = &ring->state->room_calls,
                                      .shift = ring->shift,
                                      .latest = ring->mode == MUSTER_RING_LATEST,
                                      .ring = ring};
}

static int make_handle(const void *memory, size_t size, int read_only, muster_ring **ring) {
  *ring = NULL;
  uint32_t bytes, mode;
  int status = check(memory, size, &bytes, &mode);
  if (status) return status;
  int saved = errno;
  muster_ring *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  describe(made, memory, bytes, mode);
  made->read_only = read_only;
  made->may_spin = muster_spinning() && muster_processors() > 1;
  made->may_yield = muster_spinning();
  made->spins = 1000;
  status = muster_fork_guard(&made->guard);
  // Attaching to a group, and asking it who lives, stores nothing.
  if (!status) status = muster_group_attach(part(memory, sizeof(ring_head)), ring_writers_size(), &made->writers);
  if (!status)
    status = muster_group_attach(part(memory, ring_readers_offset()), ring_readers_size(), &made->readers);
  if (!status && (muster_group_capacity(made->writers) != 1 ||
                  muster_group_capacity(made->readers) != MUSTER_RING_READERS_MAX))
    status = EBADMSG;
  if (status) {
    (void)muster_group_close(made->writers);
    (void)muster_group_close(made->readers);
    return free(made), status;
  }
  made->writers->read_only = made->readers->read_only = read_only;
  make_views(made);
  *ring = made;
  return 0;
}

int muster_ring_attach(void *memory, size_t size, muster_ring **ring) { return make_handle(memory, size, 0, ring); }

int muster_ring_attach_read_only(const void *memory, size_t size, muster_ring **ring) {
  return make_handle(memory, size, 1, ring);
}

// ---- By name

static int fill(void *payload, size_t size, void *context) {
  const muster_ring_options *options = context;
  muster_ring_mode mode = options->mode ? options->mode : MUSTER_RING_LOSSLESS;
  return muster_ring_init(payload, size, options->bytes, mode);
}

static int renew(void *payload, size_t size, void *context) {
  (void)context;
  return muster_ring_renew(payload, size);
}

// One that is attached to is of the mode that was asked for, if one was.
static int is_as_asked(const muster_ring *ring, const muster_ring_options *options) {
  if (!options->mode || ring->mode == (uint32_t)options->mode) return 0;
  if (options->mismatch)
    *options->mismatch = (muster_mismatch){MUSTER_MISMATCH_LAYOUT, (uint64_t)options->mode, ring->mode};
  return EPROTO;
}

int muster_ring_open(const char *name, const muster_ring_options *options, muster_ring **ring) {
  *ring = NULL;
  uint32_t flags = muster_group_region_flags(options->flags), bytes = options->bytes;
  if (bytes ? !muster_ring_size(bytes) : (flags & MUSTER_REGION_CREATE) != 0) return EINVAL;
  if (options->mode && options->mode != MUSTER_RING_LOSSLESS && options->mode != MUSTER_RING_LATEST) return EINVAL;
  muster_region *region;
  int status = muster_region_open(name,
                                  &(muster_region_options){.flags = flags,
                                                           .mode = options->permissions,
                                                           .kind = MUSTER_RING_KIND,
                                                           .version = RING_VERSION,
                                                           .layout = options->layout,
                                                           .size = muster_ring_size(bytes),
                                                           .deadline = options->deadline,
                                                           .initialize = fill,
                                                           .renew = renew,
                                                           .context = (void *)(uintptr_t)options,
                                                           .mismatch = options->mismatch},
                                  &region);
  if (status) return status;
  int read_only = (flags & MUSTER_REGION_READ_ONLY) != 0;
  size_t size = muster_region_size(region);
  status = make_handle(muster_region_payload(region), size, read_only, ring);
  if (status) return muster_region_close(region), status;
  (*ring)->region = region;
  status = size == muster_ring_size((*ring)->bytes) ? is_as_asked(*ring, options) : EBADMSG;
  if (!status) return 0;
  (void)muster_ring_close(*ring);
  *ring = NULL;
  return status;
}

muster_region *muster_ring_region(const muster_ring *ring) { return ring->region; }

// ---- Who writes

static uint32_t this_thread(void) { return (uint32_t)syscall(SYS_gettid); }

static muster_group *joined_group(muster_ring *ring) {
  return ring->role == RING_WRITES ? ring->writers : ring->readers;
}

static void become_idle(muster_ring *ring) {
  ring->role = RING_LOOKS;
  ring->writer.token = ring->reader.token = RING_IDLE;
}

// Whether the handle is free to write or read: a role whose thread has ended is forgotten.
static int may_start(muster_ring *ring) {
  if (muster_fork_inherited(&ring->guard)) return EPERM;
  if (ring->role == RING_LOOKS) return 0;
  if (ring->read_only || !muster_group_was_lost(joined_group(ring))) return EALREADY;
  int status = muster_group_leave(joined_group(ring));
  become_idle(ring);
  return status == EINVAL ? 0 : status;
}

int muster_ring_start_writing(muster_ring *ring, muster_ring_predecessor *found) {
  muster_ring_predecessor unused;
  if (!found) found = &unused;
  *found = (muster_ring_predecessor){0};
  if (ring->read_only && !muster_fork_inherited(&ring->guard)) return EACCES;
  int status = may_start(ring);
  if (status) return status;
  uint32_t place;
  status = muster_group_join(ring->writers, &place);
  if (status == EOVERFLOW) {
    if (muster_group_holder(ring->writers, &ring->state->owner, &found->pid)) found->pid = 0;
    return EBUSY;
  }
  if (status) return status;
  uint32_t before = __atomic_load_n(&ring->state->owner, __ATOMIC_ACQUIRE);
  status = muster_ring_recover(ring, &found->end);
  if (status) {
    (void)muster_group_leave(ring->writers);
    return status;
  }
  found->died = before != 0;
  found->pid = (int32_t)before;
  __atomic_store_n(&ring->state->owner, (uint32_t)getpid(), __ATOMIC_RELEASE);
  muster_ring_ready_writer(ring, found->end);
  ring->writer.fence = muster_ring_fence_join() != 0;
  ring->role = RING_WRITES;
  ring->writer.token = ring->guard.token;
  return 0;
}

int muster_ring_stop_writing(muster_ring *ring) {
  if (muster_fork_inherited(&ring->guard)) return EPERM;
  if (ring->role != RING_WRITES) return EINVAL;
  // Before anything else: `owner` may be a successor's by now.
  if (muster_group_was_lost(ring->writers)) {
    (void)muster_group_leave(ring->writers);
    become_idle(ring);
    return EINVAL;
  }
  if (this_thread() != ring->writers->thread) return EBUSY;
  become_idle(ring);
  // Before the place is left: after that another may have stored its own.
  __atomic_store_n(&ring->state->owner, 0u, __ATOMIC_RELEASE);
  return muster_group_leave(ring->writers);
}

// ---- Who reads

static int accept_any(uint32_t index, muster_member_state was, void *context) {
  (void)index, (void)was, (void)context;
  return 1;
}

// Whoever was here before holds nothing any more, and the newcomer nothing yet.
static void take_slot(uint32_t index, void *context) {
  muster_ring *ring = context;
  __atomic_store_n(&ring->slots[index].position, RING_NONE, __ATOMIC_SEQ_CST);
}

static int join_readers(muster_ring *ring) {
  if (ring->read_only) return ring->mode == MUSTER_RING_LATEST ? 0 : EACCES;
  int status = muster_group_join_seated(
      ring->readers, &(group_seating){.accept = accept_any, .seated = take_slot, .context = ring}, &ring->member);
  if (status) return status;
  ring->reader.published = &ring->slots[ring->member].position;
  ring->reader.fence = muster_ring_fence_join() != 0;
  // One needless wake of a writer that has called before: by others it may not have been answered.
  ring->reader.rung = __atomic_load_n(&ring->state->room_calls, __ATOMIC_SEQ_CST) - 1;
  return 0;
}

// 0 or ESTALE: the reader stands at its place. `most`: the position that it holds meanwhile, or RING_NONE.
static int go_to(muster_ring *ring, muster_ring_from from, const muster_ring_place *place, uint64_t most) {
  if (from == MUSTER_RING_AT && !place) return EINVAL;
  muster_ring_place to = from == MUSTER_RING_AT ? *place : (muster_ring_place){0};
  uint64_t lost = 0;
  ring_hold published = {ring->reader.published, most}, *hold = ring->mode == MUSTER_RING_LOSSLESS ? &published : NULL;
  int status = muster_ring_find(ring, from, &to, hold), gone = status == ESTALE;
  if (gone) {
    status = muster_ring_find(ring, MUSTER_RING_OLDEST, &to, hold);
    // A place of another ring, or of none, is no number of records away.
    if (!status && (to.number < place->number || to.position <= place->position)) status = EINVAL;
    lost = to.number - place->number;
  }
  if (status) return status;
  muster_ring_reader *reader = &ring->reader;
  reader->position = reader->held = to.position;
  reader->number = reader->held_number = to.number - lost;
  reader->lost = lost;
  if (reader->published) __atomic_store_n(reader->published, to.position, __ATOMIC_RELEASE);
  return gone ? ESTALE : 0;
}

// A writer that waits for room finds that one reader less is in its way, or one that has gone ahead.
static void answer_writer(muster_ring *ring) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  uint32_t calls = __atomic_load_n(&ring->state->room_calls, __ATOMIC_RELAXED);
  if (ring->mode == MUSTER_RING_LOSSLESS && calls != ring->reader.rung) muster_ring_wake_writer(&ring->reader, calls);
}

static void hold_nothing(muster_ring *ring) {
  if (!ring->reader.published) return;
  __atomic_store_n(ring->reader.published, RING_NONE, __ATOMIC_SEQ_CST);
  ring->reader.position = RING_NONE;
  answer_writer(ring);
}

int muster_ring_start_reading(muster_ring *ring, muster_ring_from from, const muster_ring_place *place) {
  int status = may_start(ring);
  if (status) return status;
  ring->reader.published = NULL;
  status = join_readers(ring);
  if (status) return status;
  status = go_to(ring, from, place, RING_NONE);
  if (status && status != ESTALE) {
    hold_nothing(ring);
    if (!ring->read_only) (void)muster_group_leave(ring->readers);
    return status;
  }
  // The writer may have met a position that was held only while this looked for its own.
  if (ring->reader.published) answer_writer(ring);
  ring->role = RING_READS;
  ring->reader.token = ring->guard.token;
  return status;
}

int muster_ring_stop_reading(muster_ring *ring) {
  if (muster_fork_inherited(&ring->guard)) return EPERM;
  if (ring->role != RING_READS) return EINVAL;
  if (ring->read_only) return become_idle(ring), 0;
  // The place, and the position in it, may be another's by now.
  if (muster_group_was_lost(ring->readers)) {
    (void)muster_group_leave(ring->readers);
    become_idle(ring);
    return EINVAL;
  }
  if (this_thread() != ring->readers->thread) return EBUSY;
  hold_nothing(ring);
  become_idle(ring);
  return muster_group_leave(ring->readers);
}

int muster_ring_seek(muster_ring *ring, muster_ring_from from, const muster_ring_place *place) {
  muster_ring_reader *reader = &ring->reader;
  if (__atomic_load_n(reader->process, __ATOMIC_RELAXED) != reader->token) return EPERM;
  // Where it is, should the other place not do: that is held until then.
  uint64_t here = reader->held;
  int status = go_to(ring, from, place, here);
  if (status && status != ESTALE && reader->published)
    __atomic_store_n(reader->published, here, __ATOMIC_SEQ_CST);
  if (reader->published) answer_writer(ring);
  return status;
}

int muster_ring_position(const muster_ring *ring, muster_ring_place *place) {
  if (muster_fork_inherited(&ring->guard)) return EPERM;
  if (ring->role == RING_LOOKS) return EPERM;
  const muster_ring_writer *writer = &ring->writer;
  const muster_ring_reader *reader = &ring->reader;
  if (ring->role == RING_READS) *place = (muster_ring_place){reader->position, reader->number + reader->lost};
  else *place = (muster_ring_place){writer->first ? writer->start : writer->position, writer->number};
  return 0;
}

int muster_ring_close(muster_ring *ring) {
  if (!ring) return 0;
  if (!muster_fork_inherited(&ring->guard)) {
    if (ring->role == RING_WRITES && muster_ring_stop_writing(ring) == EBUSY) return EBUSY;
    if (ring->role == RING_READS && muster_ring_stop_reading(ring) == EBUSY) return EBUSY;
  }
  (void)muster_group_close(ring->writers);
  (void)muster_group_close(ring->readers);
  muster_region_close(ring->region);
  free(ring);
  return 0;
}

// ---- What is known of it

int muster_ring_look(const muster_ring *ring, muster_ring_state *state) {
  *state = (muster_ring_state){.mode = (muster_ring_mode)ring->mode, .bytes = ring->bytes, .largest = ring_largest(ring)};
  if (muster_fork_inherited(&ring->guard)) return EPERM;
  state->writer = muster_group_holder(ring->writers, &ring->state->owner, &state->writer_pid);
  for (uint32_t k = 0; k < MUSTER_RING_READERS_MAX; k++)
    state->readers += muster_group_life(ring->readers, k) == MUSTER_MEMBER_ALIVE;
  uint64_t reserve = __atomic_load_n(&ring->state->reserve, __ATOMIC_ACQUIRE);
  state->oldest = reserve > ring->bytes ? reserve - ring->bytes : 0;
  return muster_ring_find(ring, MUSTER_RING_NEWEST, &state->end, NULL);
}

int muster_ring_look_reader(const muster_ring *ring, uint32_t index, muster_ring_reader_state *state) {
  *state = (muster_ring_reader_state){0};
  if (index >= MUSTER_RING_READERS_MAX) return EINVAL;
  muster_member member;
  int status = muster_group_member(ring->readers, index, &member);
  if (status) return status;
  state->pid = member.pid;
  state->position = __atomic_load_n(&ring->slots[index].position, __ATOMIC_ACQUIRE);
  // Who waits for a reader to be there means one that holds what is written from then on.
  state->alive = member.state == MUSTER_MEMBER_ALIVE && state->position != RING_NONE;
  if (!state->alive) return state->position = 0, 0;
  muster_ring_place end;
  status = muster_ring_find(ring, MUSTER_RING_NEWEST, &end, NULL);
  if (!status) state->lag = end.position > state->position ? end.position - state->position : 0;
  return status;
}
