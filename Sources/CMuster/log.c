// Laying, opening, joining, and what is known of a log.
// SPDX-License-Identifier: Apache-2.0
#include "muster/log.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "internal/group.h"
#include "internal/log.h"

// How often an opener that was given no size goes back and forth between attaching and creating.
enum { OPEN_TURNS = 100 };

int64_t muster_log_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// ---- Levels

static const char *const levels[] = {"trace", "debug", "info", "notice", "warning", "error", "critical", "off"};

const char *muster_log_level_name(muster_log_level level) {
  return (uint32_t)level <= MUSTER_LOG_OFF ? levels[level] : "level?";
}

int muster_log_level_of(const char *name, muster_log_level *level) {
  for (uint32_t k = 0; k <= MUSTER_LOG_OFF; k++)
    if (!strcasecmp(name, levels[k])) return *level = (muster_log_level)k, 0;
  return EINVAL;
}

// ---- In place

static void *part(void *memory, size_t offset) { return (unsigned char *)memory + offset; }

static size_t ring_offset(uint32_t places, uint32_t bytes, uint32_t place) {
  return log_rings_offset(places) + place * muster_ring_size(bytes);
}

size_t muster_log_size(uint32_t places, uint32_t bytes) {
  size_t ring = muster_ring_size(bytes);
  if (!places || places > MUSTER_LOG_PLACES_MAX || !ring) return 0;
  if (ring > (SIZE_MAX / 2 - log_rings_offset(places)) / places) return 0;
  return log_rings_offset(places) + places * ring;
}

int muster_log_init(void *memory, size_t size, uint32_t places, uint32_t bytes, muster_log_level level) {
  size_t needed = muster_log_size(places, bytes);
  if (!needed || size < needed || (uintptr_t)memory % MUSTER_LOG_ALIGNMENT) return EINVAL;
  if ((uint32_t)level > MUSTER_LOG_OFF) return EINVAL;
  // Not what is staged: no mark names it.
  memset(memory, 0, log_stage_offset(places));
  memset(part(memory, log_seats_offset(places)), 0, places * sizeof(log_seat));
  int status = muster_group_init(part(memory, log_drains_offset()), log_drains_size(), 1);
  for (uint32_t k = 0; !status && k < places; k++)
    status = muster_ring_init(part(memory, ring_offset(places, bytes, k)), muster_ring_size(bytes), bytes,
                              MUSTER_RING_LATEST);
  if (status) return status;
  log_state *state = part(memory, sizeof(log_head));
  state->level = (uint32_t)level;
  log_head *head = memory;
  head->version = LOG_VERSION;
  head->places = places;
  head->bytes = bytes;
  __atomic_store_n(&head->magic, LOG_MAGIC, __ATOMIC_RELEASE);
  return 0;
}

// Checks the head, and gives the two numbers that all follows from.
static int check(const void *memory, size_t size, uint32_t *places, uint32_t *bytes) {
  if ((uintptr_t)memory % MUSTER_LOG_ALIGNMENT) return EINVAL;
  const log_head *head = memory;
  if (size < sizeof *head || __atomic_load_n(&head->magic, __ATOMIC_ACQUIRE) != LOG_MAGIC) return EBADMSG;
  if (__atomic_load_n(&head->version, __ATOMIC_RELAXED) != LOG_VERSION) return EPROTO;
  *places = __atomic_load_n(&head->places, __ATOMIC_RELAXED);
  *bytes = __atomic_load_n(&head->bytes, __ATOMIC_RELAXED);
  size_t needed = muster_log_size(*places, *bytes);
  return !needed || size < needed ? EBADMSG : 0;
}

// A death in here leaves what readers go by as it was, and the next to renew does all of it again.
int muster_log_renew(void *memory, size_t size) {
  uint32_t places, bytes;
  int status = check(memory, size, &places, &bytes);
  if (status) return status == EPROTO ? EBADMSG : status;
  status = muster_group_renew(part(memory, log_drains_offset()), log_drains_size());
  for (uint32_t k = 0; !status && k < places; k++) {
    void *ring = part(memory, ring_offset(places, bytes, k));
    status = muster_ring_renew(ring, muster_ring_size(bytes));
    if (status == EBADMSG) status = muster_ring_init(ring, muster_ring_size(bytes), bytes, MUSTER_RING_LATEST);
  }
  return status;
}

static int make_handle(const void *memory, size_t size, int read_only, muster_log **log) {
  *log = NULL;
  uint32_t places, bytes;
  int status = check(memory, size, &places, &bytes);
  if (status) return status;
  int saved = errno;
  muster_log *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  made->memory = (void *)(uintptr_t)memory;
  made->places = places;
  made->bytes = bytes;
  made->read_only = read_only;
  made->largest = bytes / 4 < MUSTER_LOG_RECORD_MAX ? bytes / 4 : MUSTER_LOG_RECORD_MAX;
  made->level = &((log_state *)log_part(made, sizeof(log_head)))->level;
  status = muster_fork_guard(&made->guard);
  if (status) return free(made), status;
  *log = made;
  return 0;
}

int muster_log_attach(void *memory, size_t size, muster_log **log) { return make_handle(memory, size, 0, log); }

int muster_log_attach_read_only(const void *memory, size_t size, muster_log **log) {
  return make_handle(memory, size, 1, log);
}

int muster_log_ring(const muster_log *log, uint32_t place, int read_only, muster_ring **ring) {
  void *memory = log_part(log, ring_offset(log->places, log->bytes, place));
  size_t size = muster_ring_size(log->bytes);
  int status = read_only ? muster_ring_attach_read_only(memory, size, ring) : muster_ring_attach(memory, size, ring);
  return status == EPROTO || status == EINVAL ? EBADMSG : status;
}

// ---- By name

// What a creator lays.
typedef struct log_shape {
  uint32_t places, bytes;
  muster_log_level level;
} log_shape;

static int fill(void *payload, size_t size, void *context) {
  const log_shape *shape = context;
  return muster_log_init(payload, size, shape->places, shape->bytes, shape->level);
}

static int renew(void *payload, size_t size, void *context) {
  (void)context;
  return muster_log_renew(payload, size);
}

static int open_region(const char *name, const muster_log_options *options, uint32_t flags, log_shape *shape,
                       muster_region **region) {
  return muster_region_open(name,
                            &(muster_region_options){.flags = flags,
                                                     .mode = options->permissions,
                                                     .kind = MUSTER_LOG_KIND,
                                                     .version = LOG_VERSION,
                                                     .size = shape ? muster_log_size(shape->places, shape->bytes) : 0,
                                                     .deadline = options->deadline,
                                                     .initialize = fill,
                                                     .renew = renew,
                                                     .context = shape,
                                                     .mismatch = options->mismatch},
                            region);
}

// With no size given: whatever is there, else one of the usual size. Others may create and remove meanwhile.
static int open_any(const char *name, const muster_log_options *options, uint32_t flags, log_shape *shape,
                    muster_region **region) {
  uint32_t others = flags & ~(uint32_t)MUSTER_REGION_OPEN;
  if (!(flags & MUSTER_REGION_CREATE)) return open_region(name, options, flags, NULL, region);
  *shape = (log_shape){MUSTER_LOG_PLACES, MUSTER_LOG_BYTES, options->level};
  if (!(flags & MUSTER_REGION_ATTACH)) return open_region(name, options, flags, shape, region);
  muster_log_options now = *options;
  now.deadline = 0;
  for (int turn = 0; turn < OPEN_TURNS; turn++) {
    int status = open_region(name, &now, others | MUSTER_REGION_ATTACH, NULL, region);
    if (status != ENOENT) return status;
    status = open_region(name, &now, others | MUSTER_REGION_CREATE, shape, region);
    if (status != EEXIST) return status;
  }
  return EAGAIN;
}

int muster_log_open(const char *name, const muster_log_options *options, muster_log **log) {
  *log = NULL;
  uint32_t flags = muster_group_region_flags(options->flags);
  log_shape shape = {options->places, options->bytes, options->level};
  int any = !shape.places && !shape.bytes;
  if (!any && !muster_log_size(shape.places, shape.bytes)) return EINVAL;
  if ((uint32_t)options->level > MUSTER_LOG_OFF) return EINVAL;
  muster_region *region;
  int status = any ? open_any(name, options, flags, &shape, &region) : open_region(name, options, flags, &shape, &region);
  if (status) return status;
  size_t size = muster_region_size(region);
  status = make_handle(muster_region_payload(region), size, (flags & MUSTER_REGION_READ_ONLY) != 0, log);
  if (status) return muster_region_close(region), status;
  (*log)->region = region;
  if (size != muster_log_size((*log)->places, (*log)->bytes)) status = EBADMSG;
  // Numbers whose product is the same are other numbers all the same.
  if (!status && !any && ((*log)->places != shape.places || (*log)->bytes != shape.bytes)) {
    if (options->mismatch) *options->mismatch = (muster_mismatch){MUSTER_MISMATCH_LAYOUT, shape.places, (*log)->places};
    status = EPROTO;
  }
  if (!status) return 0;
  (void)muster_log_close(*log);
  *log = NULL;
  return status;
}

muster_region *muster_log_region(const muster_log *log) { return log->region; }

int muster_log_close(muster_log *log) {
  if (!log) return 0;
  if (!muster_fork_inherited(&log->guard)) {
    if (__atomic_load_n(&log->users, __ATOMIC_ACQUIRE)) return EBUSY;
    if (log->writer && muster_log_leave(log) == EBUSY) return EBUSY;
  }
  (void)muster_ring_close(log->ring);
  muster_region_close(log->region);
  free(log);
  return 0;
}

// ---- Joining

// The places as a joiner tries them: those that were never used, then by the last record, the oldest first.
static void order_places(const muster_log *log, uint32_t *order) {
  int64_t touched[MUSTER_LOG_PLACES_MAX];
  for (uint32_t k = 0; k < log->places; k++) {
    int64_t when = __atomic_load_n(&log_seat_at(log, k)->touched, __ATOMIC_RELAXED);
    uint32_t at = k;
    for (; at > 0 && touched[at - 1] > when; at--) {
      touched[at] = touched[at - 1];
      order[at] = order[at - 1];
    }
    touched[at] = when;
    order[at] = k;
  }
}

static int try_place(muster_log *log, uint32_t place) {
  muster_ring *ring;
  int status = muster_log_ring(log, place, 0, &ring);
  if (status) return status;
  status = muster_ring_start_writing(ring, NULL);
  if (status) return (void)muster_ring_close(ring), status;
  log->ring = ring;
  log->seat = log_seat_at(log, place);
  log->pid = (uint32_t)getpid();
  int64_t now = muster_log_clock();
  __atomic_store_n(&log->seat->pid, log->pid, __ATOMIC_RELAXED);
  __atomic_store_n(&log->seat->joined, now, __ATOMIC_RELAXED);
  __atomic_store_n(&log->seat->touched, now, __ATOMIC_RELEASE);
  log->writer = muster_ring_writer_of(ring);
  return 0;
}

static void forget_place(muster_log *log) {
  log->writer = NULL;
  (void)muster_ring_close(log->ring);
  log->ring = NULL;
}

int muster_log_join(muster_log *log, uint32_t *place) {
  if (muster_fork_inherited(&log->guard)) return EPERM;
  if (log->read_only) return EACCES;
  if (log->writer && !muster_group_was_lost(log->ring->writers)) return EALREADY;
  if (log->writer) forget_place(log);
  uint32_t order[MUSTER_LOG_PLACES_MAX];
  order_places(log, order);
  int corrupt = 0;
  for (uint32_t k = 0; k < log->places; k++) {
    int status = try_place(log, order[k]);
    if (!status) {
      if (place) *place = order[k];
      return 0;
    }
    if (status == EBADMSG) corrupt = 1;
    else if (status != EBUSY) return status;
  }
  return corrupt ? EBADMSG : EOVERFLOW;
}

int muster_log_leave(muster_log *log) {
  if (muster_fork_inherited(&log->guard)) return EPERM;
  if (!log->writer) return EINVAL;
  int status = muster_ring_stop_writing(log->ring);
  if (status == EBUSY) return EBUSY;
  forget_place(log);
  return status;
}

// ---- What is known of it

MUSTER_NONBLOCKING int muster_log_enabled(const muster_log *log, muster_log_level level) {
  return (uint32_t)level <= MUSTER_LOG_CRITICAL && (uint32_t)level >= __atomic_load_n(log->level, __ATOMIC_RELAXED);
}

MUSTER_NONBLOCKING muster_log_level muster_log_get_level(const muster_log *log) {
  uint32_t level = __atomic_load_n(log->level, __ATOMIC_RELAXED);
  return (muster_log_level)(level < MUSTER_LOG_OFF ? level : MUSTER_LOG_OFF);
}

int muster_log_set_level(muster_log *log, muster_log_level level) {
  if (muster_fork_inherited(&log->guard)) return EPERM;
  if (log->read_only) return EACCES;
  if ((uint32_t)level > MUSTER_LOG_OFF) return EINVAL;
  __atomic_store_n(log->level, (uint32_t)level, __ATOMIC_RELAXED);
  return 0;
}

int muster_log_look_place(const muster_log *log, uint32_t place, muster_log_place_state *state) {
  *state = (muster_log_place_state){.life = ENOENT};
  if (muster_fork_inherited(&log->guard)) return EPERM;
  if (place >= log->places) return EINVAL;
  const log_seat *seat = log_seat_at(log, place);
  state->touched = __atomic_load_n(&seat->touched, __ATOMIC_ACQUIRE);
  state->joined = __atomic_load_n(&seat->joined, __ATOMIC_RELAXED);
  muster_ring *ring;
  muster_ring_state found;
  int status = muster_log_ring(log, place, 1, &ring);
  if (status) return status;
  status = muster_ring_look(ring, &found);
  (void)muster_ring_close(ring);
  if (status) return status;
  state->life = found.writer;
  state->records = found.end.number;
  state->pid = found.writer_pid ? found.writer_pid : (int32_t)__atomic_load_n(&seat->pid, __ATOMIC_RELAXED);
  return 0;
}

int muster_log_look(const muster_log *log, muster_log_state *state) {
  *state = (muster_log_state){.places = log->places, .bytes = log->bytes, .largest = log->largest};
  if (muster_fork_inherited(&log->guard)) return EPERM;
  state->level = muster_log_get_level(log);
  for (uint32_t k = 0; k < log->places; k++) {
    muster_log_place_state place;
    if (muster_log_look_place(log, k, &place)) continue;
    state->writers += place.life == 0;
    state->used += place.joined != 0;
  }
  return 0;
}
