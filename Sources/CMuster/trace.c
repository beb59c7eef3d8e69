// SPDX-License-Identifier: Apache-2.0
#include "muster/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal/group.h"
#include "internal/trace.h"

// ---- In place

static int can_be(const muster_trace_shape *shape) {
  uint32_t events = shape->events;
  if (shape->recorders < 1 || shape->recorders > MUSTER_TRACE_RECORDERS_MAX) return 0;
  if (events < MUSTER_TRACE_EVENTS_MIN || events > MUSTER_TRACE_EVENTS_MAX || (events & (events - 1))) return 0;
  if (shape->names < 1 || shape->names > MUSTER_TRACE_NAMES_MAX) return 0;
  return (uint32_t)shape->clock <= MUSTER_TRACE_CLOCK_MONOTONIC;
}

size_t muster_trace_size(const muster_trace_shape *shape) {
  if (!can_be(shape)) return 0;
  uint64_t size = trace_events_offset(shape->recorders, shape->names) +
                  shape->recorders * trace_recorder_size(shape->events);
  return size > SIZE_MAX ? 0 : (size_t)size;
}

static void *part(const void *memory, uint64_t offset) { return (void *)((uintptr_t)memory + (uintptr_t)offset); }

static trace_name *names_in(const void *memory, const muster_trace_shape *shape) {
  return part(memory, trace_names_offset(shape->recorders));
}

static int choose_clock(muster_trace_clock asked, uint32_t *clock) {
  int good = asked != MUSTER_TRACE_CLOCK_MONOTONIC && muster_trace_counter_good();
  if (asked == MUSTER_TRACE_CLOCK_COUNTER && !good) return ENOTSUP;
  *clock = good ? MUSTER_TRACE_CLOCK_COUNTER : MUSTER_TRACE_CLOCK_MONOTONIC;
  return 0;
}

// Into zeroed memory: that of a region has pages that nobody has touched, and most of a large trace's stay so.
static int lay(void *memory, const muster_trace_shape *shape, uint32_t clock) {
  int status = muster_group_init(part(memory, trace_group_offset()), muster_group_size(shape->recorders), shape->recorders);
  if (status) return status;
  *names_in(memory, shape) = (trace_name){.state = TRACE_NAME_READY, .text = "?"};
  trace_head *head = memory;
  head->version = TRACE_VERSION;
  head->recorders = shape->recorders;
  head->events = shape->events;
  head->names = shape->names;
  head->clock = clock;
  __atomic_store_n(&head->magic, TRACE_MAGIC, __ATOMIC_RELEASE);
  return 0;
}

int muster_trace_init(void *memory, size_t size, const muster_trace_shape *shape) {
  size_t needed = muster_trace_size(shape);
  if (!needed || size < needed || (uintptr_t)memory % MUSTER_TRACE_ALIGNMENT) return EINVAL;
  uint32_t clock;
  int status = choose_clock(shape->clock, &clock);
  if (status) return status;
  memset(memory, 0, needed);
  return lay(memory, shape, clock);
}

// Checks the head, and gives the numbers that all offsets follow from.
static int check(const void *memory, size_t size, muster_trace_shape *shape) {
  if ((uintptr_t)memory % MUSTER_TRACE_ALIGNMENT) return EINVAL;
  const trace_head *head = memory;
  if (size < sizeof *head || __atomic_load_n(&head->magic, __ATOMIC_ACQUIRE) != TRACE_MAGIC) return EBADMSG;
  if (__atomic_load_n(&head->version, __ATOMIC_RELAXED) != TRACE_VERSION) return EPROTO;
  *shape = (muster_trace_shape){.recorders = __atomic_load_n(&head->recorders, __ATOMIC_RELAXED),
                                .events = __atomic_load_n(&head->events, __ATOMIC_RELAXED),
                                .names = __atomic_load_n(&head->names, __ATOMIC_RELAXED),
                                .clock = (muster_trace_clock)__atomic_load_n(&head->clock, __ATOMIC_RELAXED)};
  size_t needed = muster_trace_size(shape);
  return !needed || !shape->clock || size < needed ? EBADMSG : 0;
}

static void describe(muster_trace *trace, const void *memory, const muster_trace_shape *shape) {
  trace->shape = *shape;
  trace->control = part(memory, trace_control_offset());
  trace->places = part(memory, trace_group_offset());
  trace->names = names_in(memory, shape);
  trace->sessions = part(memory, trace_sessions_offset(shape->recorders, shape->names));
  trace->slots = part(memory, trace_events_offset(shape->recorders, shape->names));
}

// A death in here leaves sessions ended that were, and the next to renew does the rest of it.
int muster_trace_renew(void *memory, size_t size) {
  muster_trace trace = {0};
  muster_trace_shape shape;
  int status = check(memory, size, &shape);
  if (status) return status == EPROTO ? EBADMSG : status;
  describe(&trace, memory, &shape);
  for (uint32_t k = 0; k < shape.recorders; k++) muster_trace_end_session(&trace, k, TRACE_ENDED_DIED);
  for (uint32_t k = 0; k <= shape.names; k++)
    if (__atomic_load_n(&trace.names[k].state, __ATOMIC_RELAXED) == TRACE_NAME_CLAIMED)
      __atomic_store_n(&trace.names[k].state, TRACE_NAME_EMPTY, __ATOMIC_RELEASE);
  return muster_group_renew(trace.places, muster_group_size(shape.recorders));
}

static int make_handle(const void *memory, size_t size, int read_only, muster_trace **trace) {
  *trace = NULL;
  muster_trace_shape shape;
  int status = check(memory, size, &shape);
  if (status) return status;
  int saved = errno;
  muster_trace *made = calloc(1, sizeof *made + shape.recorders * sizeof *made->known_deaths);
  errno = saved;
  if (!made) return ENOMEM;
  describe(made, memory, &shape);
  made->read_only = read_only;
  made->boot = muster_trace_boot();
  status = muster_fork_guard(&made->guard);
  // Attaching to a group, and asking it who lives, stores nothing.
  if (!status) status = muster_group_attach(made->places, muster_group_size(shape.recorders), &made->group);
  if (!status && muster_group_capacity(made->group) != shape.recorders) status = EBADMSG;
  if (status) {
    (void)muster_group_close(made->group);
    return free(made), status;
  }
  made->group->read_only = read_only;
  while (muster_trace_next_death(made) != MUSTER_TRACE_ALL) {
  }
  *trace = made;
  return 0;
}

int muster_trace_attach(void *memory, size_t size, muster_trace **trace) { return make_handle(memory, size, 0, trace); }

int muster_trace_attach_read_only(const void *memory, size_t size, muster_trace **trace) {
  return make_handle(memory, size, 1, trace);
}

// ---- By name

static int fill(void *payload, size_t size, void *context) {
  const muster_trace_shape *shape = &((const muster_trace_options *)context)->shape;
  uint32_t clock;
  (void)size;
  int status = choose_clock(shape->clock, &clock);
  return status ? status : lay(payload, shape, clock);
}

static int renew(void *payload, size_t size, void *context) {
  (void)context;
  return muster_trace_renew(payload, size);
}

// One that is attached to is as was asked for, in what was.
static int is_as_asked(const muster_trace *trace, const muster_trace_options *options) {
  const muster_trace_shape *is = &trace->shape, *asked = &options->shape;
  const uint32_t pairs[][2] = {{asked->recorders, is->recorders},
                               {asked->events, is->events},
                               {asked->names, is->names},
                               {(uint32_t)asked->clock, (uint32_t)is->clock}};
  for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
    if (!pairs[k][0] || pairs[k][0] == pairs[k][1]) continue;
    if (options->mismatch)
      *options->mismatch = (muster_mismatch){MUSTER_MISMATCH_LAYOUT, pairs[k][0], pairs[k][1]};
    return EPROTO;
  }
  return 0;
}

static int may_be_asked_for(const muster_trace_shape *shape, uint32_t flags) {
  if (can_be(shape)) return muster_trace_size(shape) != 0;
  muster_trace_shape rest = {.recorders = shape->recorders ? shape->recorders : 1,
                             .events = shape->events ? shape->events : MUSTER_TRACE_EVENTS_MIN,
                             .names = shape->names ? shape->names : 1,
                             .clock = shape->clock};
  return !(flags & MUSTER_REGION_CREATE) && can_be(&rest);
}

int muster_trace_open(const char *name, const muster_trace_options *options, muster_trace **trace) {
  *trace = NULL;
  uint32_t flags = muster_group_region_flags(options->flags);
  if (!may_be_asked_for(&options->shape, flags)) return EINVAL;
  muster_region *region;
  int status = muster_region_open(name,
                                  &(muster_region_options){.flags = flags,
                                                           .mode = options->permissions,
                                                           .kind = MUSTER_TRACE_KIND,
                                                           .version = TRACE_VERSION,
                                                           .size = muster_trace_size(&options->shape),
                                                           .deadline = options->deadline,
                                                           .initialize = fill,
                                                           .renew = renew,
                                                           .context = (void *)(uintptr_t)options,
                                                           .mismatch = options->mismatch},
                                  &region);
  if (status) return status;
  size_t size = muster_region_size(region);
  status = make_handle(muster_region_payload(region), size, (flags & MUSTER_REGION_READ_ONLY) != 0, trace);
  if (status) return muster_region_close(region), status;
  (*trace)->region = region;
  status = size == muster_trace_size(&(*trace)->shape) ? is_as_asked(*trace, options) : EBADMSG;
  if (!status) return 0;
  (void)muster_trace_close(*trace);
  *trace = NULL;
  return status;
}

muster_region *muster_trace_region(const muster_trace *trace) { return trace->region; }

int muster_trace_close(muster_trace *trace) {
  if (!trace) return 0;
  if (!muster_fork_inherited(&trace->guard) && __atomic_load_n(&trace->joined, __ATOMIC_ACQUIRE)) return EBUSY;
  (void)muster_group_close(trace->group);
  muster_region_close(trace->region);
  free(trace);
  return 0;
}

// ---- What is known of it

static uint32_t count_names(const muster_trace *trace) {
  uint32_t used = 0;
  for (uint32_t k = 1; k <= trace->shape.names; k++)
    used += __atomic_load_n(&trace->names[k].state, __ATOMIC_ACQUIRE) == TRACE_NAME_READY;
  return used;
}

int muster_trace_look(const muster_trace *trace, muster_trace_state *state) {
  *state = (muster_trace_state){.shape = trace->shape, .names = count_names(trace)};
  uint32_t *const counts[] = {[MUSTER_TRACE_UNUSED] = &state->unused,
                              [MUSTER_TRACE_ALIVE] = &state->alive,
                              [MUSTER_TRACE_LEFT] = &state->left,
                              [MUSTER_TRACE_DIED] = &state->died};
  for (uint32_t k = 0; k < trace->shape.recorders; k++) {
    trace_seen seen;
    muster_trace_see(trace, k, &seen);
    ++*counts[seen.life];
  }
  state->frozen = muster_trace_is_frozen(trace, &state->frozen_by, &state->frozen_at);
  return 0;
}

int muster_trace_look_recorder(const muster_trace *trace, uint32_t index, muster_trace_recorder_info *info) {
  *info = (muster_trace_recorder_info){.life = MUSTER_TRACE_UNUSED};
  if (index >= trace->shape.recorders) return EINVAL;
  trace_scale scale;
  trace_view view;
  muster_trace_scale(trace, &scale);
  if (!muster_trace_view(trace, &scale, index, &view)) muster_trace_describe(&view, info);
  return 0;
}
