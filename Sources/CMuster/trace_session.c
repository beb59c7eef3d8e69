// Whose a recorder is: joining, leaving, and being read meanwhile.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/boot.h"
#include "internal/group.h"
#include "internal/trace.h"

static uint32_t this_thread(void) { return (uint32_t)syscall(SYS_gettid); }

// The successor of a writer that died between an event's stamp and `end` finds that event by its stamp. More than one can be behind
// `end` only where somebody scribbled, or a handler of a signal recorded in between.
uint64_t muster_trace_end_of(const muster_trace *trace, uint32_t index) {
  uint64_t end = __atomic_load_n(&trace->sessions[index].end, __ATOMIC_ACQUIRE);
  if (end >= TRACE_NUMBERS_END) return TRACE_NUMBERS_END;
  uint64_t most = end + trace->shape.events;
  while (end < most && trace_stamp(trace, index, end) == end + 1) end++;
  return end;
}

// ---- What a session is

enum { ATTEMPTS = 16 };

static int copy_identity(const trace_session *session, uint64_t *number, trace_identity *who) {
  uint64_t words[TRACE_IDENTITY_WORDS];
  *number = __atomic_load_n(&session->number, __ATOMIC_ACQUIRE);
  if (!*number || *number & 1 || *number >= TRACE_NUMBERS_END) return *number = 0, 0;
  for (int i = 0; i < TRACE_IDENTITY_WORDS; i++) words[i] = __atomic_load_n(&session->identity[i], __ATOMIC_ACQUIRE);
  if (__atomic_load_n(&session->number, __ATOMIC_RELAXED) != *number) return EAGAIN;
  memcpy(who, words, sizeof *who);
  who->process[MUSTER_TRACE_LABEL_SIZE - 1] = who->label[MUSTER_TRACE_LABEL_SIZE - 1] = 0;
  if (who->first >= TRACE_NUMBERS_END) *number = 0;
  return 0;
}

static muster_trace_life ended(uint64_t word, uint64_t number) {
  if (word >> TRACE_ENDED_SHIFT != number) return MUSTER_TRACE_ALIVE;
  return (word & 3) == TRACE_ENDED_LEFT ? MUSTER_TRACE_LEFT : MUSTER_TRACE_DIED;
}

// The lock has an owner while the session's thread lives. Another one is somebody who is taking the place over. A lock of an
// earlier boot says nothing: nobody was there to mark it.
static muster_trace_life life_of(const muster_trace *trace, uint32_t index, const trace_seen *seen) {
  muster_trace_life life = ended(__atomic_load_n(&trace->sessions[index].ended, __ATOMIC_ACQUIRE), seen->number);
  if (life != MUSTER_TRACE_ALIVE) return life;
  uint32_t word = __atomic_load_n(muster_group_lock_word(trace->group, index), __ATOMIC_ACQUIRE);
  int held = !muster_liveness_died(word) && muster_liveness_owner(word) == seen->who.thread;
  return held && seen->who.thread && seen->who.boot == trace->boot ? MUSTER_TRACE_ALIVE : MUSTER_TRACE_DIED;
}

void muster_trace_see(const muster_trace *trace, uint32_t index, trace_seen *seen) {
  const trace_session *session = &trace->sessions[index];
  for (int turn = 0; turn < ATTEMPTS; turn++) {
    *seen = (trace_seen){0};
    if (copy_identity(session, &seen->number, &seen->who)) continue;
    if (!seen->number) break;
    seen->life = life_of(trace, index, seen);
    // Of the same session, not of one that began in between.
    if (trace_is_session(trace, index, seen->number)) return;
  }
  *seen = (trace_seen){0};
}

// Only where numbers were scribbled on do they begin anew, and then no old stamp may be left that could be taken for a new one.
static uint64_t go_on_from(const muster_trace *trace, uint32_t index) {
  uint64_t end = muster_trace_end_of(trace, index);
  if (end < TRACE_NUMBERS_END - trace->shape.events) return end;
  for (uint32_t k = 0; k < trace->shape.events; k++)
    __atomic_store_n(trace_slot(trace, index, k), UINT64_C(0), __ATOMIC_RELEASE);
  return 0;
}

uint64_t muster_trace_begin_session(const muster_trace *trace, uint32_t index, trace_identity *who) {
  trace_session *session = &trace->sessions[index];
  uint64_t number = __atomic_load_n(&session->number, __ATOMIC_RELAXED) | 1, words[TRACE_IDENTITY_WORDS];
  if (number >= TRACE_NUMBERS_END - 2) number = 1;
  who->first = go_on_from(trace, index);
  memcpy(words, who, sizeof words);
  __atomic_store_n(&session->number, number, __ATOMIC_RELAXED);
  for (int i = 0; i < TRACE_IDENTITY_WORDS; i++) __atomic_store_n(&session->identity[i], words[i], __ATOMIC_RELEASE);
  __atomic_store_n(&session->end, who->first, __ATOMIC_RELEASE);
  __atomic_store_n(&session->number, number + 1, __ATOMIC_RELEASE);
  return who->first;
}

void muster_trace_end_session(const muster_trace *trace, uint32_t index, int how) {
  trace_session *session = &trace->sessions[index];
  uint64_t number = __atomic_load_n(&session->number, __ATOMIC_RELAXED);
  if (!number || number & 1 || number >= TRACE_NUMBERS_END) return;
  if (ended(__atomic_load_n(&session->ended, __ATOMIC_RELAXED), number) != MUSTER_TRACE_ALIVE) return;
  __atomic_store_n(&session->ended, number << TRACE_ENDED_SHIFT | (uint64_t)how, __ATOMIC_RELEASE);
}

// ---- Joining

typedef struct trace_recorder {
  muster_trace_recorder view;  // first: what the caller has a pointer to
  muster_trace *trace;
  muster_group *group;
} trace_recorder;

// Which recorder to take: an unused one first, then of one who left, then of one who died; of those the one that was quiet longest.
typedef struct choice {
  uint32_t index;
  int rank;       // the lower the better
  uint64_t when;  // the clock at the last event
} choice;

enum { RANK_UNUSED, RANK_OLD_BOOT, RANK_LEFT, RANK_DIED, RANK_NONE };

static int rank_of(const muster_trace *trace, const trace_seen *seen) {
  if (!seen->number) return RANK_UNUSED;
  if (seen->who.boot != trace->boot) return RANK_OLD_BOOT;
  return seen->life == MUSTER_TRACE_LEFT ? RANK_LEFT : RANK_DIED;
}

static uint64_t last_time(const muster_trace *trace, uint32_t index, const trace_seen *seen) {
  uint64_t end = muster_trace_end_of(trace, index);
  if (end <= seen->who.first || end >= TRACE_NUMBERS_END) return seen->who.ticks;
  return __atomic_load_n(trace_slot(trace, index, end - 1) + 1, __ATOMIC_ACQUIRE);
}

static choice choose(const muster_trace *trace) {
  choice best = {.rank = RANK_NONE};
  for (uint32_t k = 0; k < trace->shape.recorders && best.rank != RANK_UNUSED; k++) {
    // Who is just taking one may be stopped in that.
    if (muster_group_is_passing(trace->group, k)) continue;
    if (muster_group_life(trace->group, k) == MUSTER_MEMBER_ALIVE) continue;
    trace_seen seen;
    muster_trace_see(trace, k, &seen);
    int rank = rank_of(trace, &seen);
    uint64_t when = rank == RANK_UNUSED ? 0 : last_time(trace, k, &seen);
    if (rank < best.rank || (rank == best.rank && when < best.when))
      best = (choice){.index = k, .rank = rank, .when = when};
  }
  return best;
}

typedef struct seat {
  muster_trace *trace;
  uint32_t index;
  trace_identity who;
} seat;

static int accept_one(uint32_t index, muster_member_state was, void *context) {
  (void)was;
  return index == ((const seat *)context)->index;
}

static void sit_down(uint32_t index, void *context) {
  seat *at = context;
  (void)muster_trace_begin_session(at->trace, index, &at->who);
}

static void introduce(const muster_trace *trace, const char *label, trace_identity *who) {
  int saved = errno;
  char thread[16] = "";
  prctl(PR_GET_NAME, thread);
  *who = (trace_identity){
      .pid = (int32_t)getpid(), .thread = this_thread(), .start = muster_own_start(), .boot = trace->boot};
  const char *process = program_invocation_short_name;
  memcpy(who->process, process, strnlen(process, sizeof who->process - 1));
  const char *as = label ? label : thread;
  memcpy(who->label, as, strnlen(as, sizeof who->label - 1));
  trace_moment now;
  muster_trace_moment((uint32_t)trace->shape.clock, &now);
  who->ticks = now.ticks;
  who->monotonic = now.monotonic;
  who->real = now.real;
  errno = saved;
}

// Somebody else may take the chosen one first. He has it then, so after as many times as there are recorders none is left.
static int take_place(trace_recorder *made, seat *at, uint32_t *index) {
  muster_trace *trace = at->trace;
  for (uint32_t turn = 0; turn <= trace->shape.recorders; turn++) {
    choice best = choose(trace);
    if (best.rank == RANK_NONE) return EOVERFLOW;
    if (best.rank != RANK_UNUSED && muster_trace_is_frozen(trace, NULL, NULL)) return EAGAIN;
    at->index = best.index;
    int status = muster_group_join_seated(
        made->group, &(group_seating){.accept = accept_one, .seated = sit_down, .context = at}, index);
    if (status != EOVERFLOW) return status;
  }
  return EOVERFLOW;
}

static int join(muster_trace *trace, const char *label, trace_recorder *made) {
  int status = muster_group_attach(trace->places, muster_group_size(trace->shape.recorders), &made->group);
  if (status) return status;
  seat at = {.trace = trace};
  introduce(trace, label, &at.who);
  uint32_t index;
  status = take_place(made, &at, &index);
  if (status) return muster_group_close(made->group), status;
  made->trace = trace;
  made->view = (muster_trace_recorder){.slots = trace_slots_of(trace, index),
                                       .frozen = &trace->control->frozen,
                                       .end = &trace->sessions[index].end,
                                       .process = trace->guard.word,
                                       .token = trace->guard.token,
                                       .position = at.who.first,
                                       .mask = trace->shape.events - 1,
                                       .clock = (uint32_t)trace->shape.clock,
                                       .index = index};
  return 0;
}

int muster_trace_join(muster_trace *trace, const char *label, muster_trace_recorder **recorder) {
  *recorder = NULL;
  if (muster_fork_inherited(&trace->guard)) return EPERM;
  if (trace->read_only) return EACCES;
  if (trace->shape.clock == MUSTER_TRACE_CLOCK_COUNTER && !muster_trace_counter_readable()) return ENOTSUP;
  int saved = errno;
  trace_recorder *made = calloc(1, sizeof *made);
  errno = saved;
  if (!made) return ENOMEM;
  int status = join(trace, label, made);
  if (status) return free(made), status;
  __atomic_fetch_add(&trace->joined, 1u, __ATOMIC_ACQ_REL);
  *recorder = &made->view;
  return 0;
}

int muster_trace_leave(muster_trace_recorder *recorder) {
  if (!recorder) return 0;
  trace_recorder *made = (trace_recorder *)(void *)recorder;
  muster_trace *trace = made->trace;
  int inherited = muster_fork_inherited(&made->group->guard);
  if (!inherited) {
    // Before anything else: the session may be a successor's by now.
    int lost = muster_group_was_lost(made->group);
    if (!lost && this_thread() != made->group->thread) return EBUSY;
    recorder->token = TRACE_IDLE;
    if (!lost) muster_trace_end_session(trace, recorder->index, TRACE_ENDED_LEFT);
    __atomic_fetch_sub(&trace->joined, 1u, __ATOMIC_ACQ_REL);
  }
  (void)muster_group_close(made->group);
  free(made);
  return 0;
}
