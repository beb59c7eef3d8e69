// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "internal/root.h"

static void take_name(const root_slot *slot, char *name) {
  for (size_t k = 0; k < MUSTER_ROOT_NAME_SIZE; k++) name[k] = __atomic_load_n(&slot->name[k], __ATOMIC_RELAXED);
  name[MUSTER_ROOT_NAME_SIZE - 1] = 0;
}

static int has_process(muster_daemon_phase phase) {
  return phase == MUSTER_DAEMON_RUNNING || phase == MUSTER_DAEMON_KILLING || phase == MUSTER_DAEMON_STOPPING;
}

static void take_facts(const root_facts *facts, muster_daemon_status *status) {
  status->phase = (muster_daemon_phase)facts->phase;
  status->pid = has_process(status->phase) ? (int32_t)facts->pid : 0;
  status->starts = facts->starts;
  status->failures = facts->failures;
  status->rung = (muster_daemon_rung)facts->rung;
  status->attempts = (uint32_t)facts->attempts;
  status->checkpoint = facts->checkpoint;
  status->death = (muster_daemon_death){(muster_daemon_end)facts->how, (int32_t)facts->value, (int64_t)facts->died_at};
  status->started_at = (int64_t)facts->started_at;
  status->next_start = (int64_t)facts->next_start;
  status->user_ns = (int64_t)facts->user_ns;
  status->system_ns = (int64_t)facts->system_ns;
  status->most_kib = (int64_t)facts->most_kib;
  status->drained = facts->drained;
  status->fork_error = (int32_t)facts->fork_error;
}

static void take_arena(const muster_arena *arena, muster_daemon_status *status) {
  muster_arena_info info;
  muster_arena_info_of(arena, &info);
  status->beat_at = info.beat;
  status->beats = info.beats;
  status->newest_checkpoint = info.newest;
  status->transactions_begun = info.id;
  status->transactions_committed = info.committed;
  status->transactions_aborted = info.aborted;
  status->transactions_crashed = info.crashed;
  status->transactions_late = info.late;
}

static void take_desk(const root_desk *desk, muster_daemon_status *status) {
  uint64_t word = __atomic_load_n(&desk->found, __ATOMIC_ACQUIRE), found = word & 0xff;
  // Until the last start has told, what stands there is of an earlier one.
  if (word >> 8 != (status->starts & (UINT64_MAX >> 8)) || !status->starts) return;
  if (found <= MUSTER_DAEMON_DECIDE) status->found = (muster_daemon_policy)found;
  if (has_process(status->phase)) status->transaction_pid = (int32_t)__atomic_load_n(&desk->transaction, __ATOMIC_RELAXED);
}

int muster_root_status_of(const root_slot *slot, const root_desk *desk, const muster_arena *arena,
                          muster_daemon_status *status) {
  *status = (muster_daemon_status){.found = (muster_daemon_policy)-1};
  root_facts facts;
  int error = muster_root_row_read(&slot->row, (uint64_t *)(void *)&facts, sizeof facts / sizeof(uint64_t));
  if (error) return error;
  take_name(slot, status->name);
  take_facts(&facts, status);
  status->heartbeat = __atomic_load_n(&slot->heartbeat, __ATOMIC_RELAXED);
  status->state_size = __atomic_load_n(&slot->state_size, __ATOMIC_RELAXED);
  status->arena_size = __atomic_load_n(&slot->arena_size, __ATOMIC_RELAXED);
  if (desk) take_desk(desk, status);
  if (arena) take_arena(arena, status);
  else status->arena_error = EBADMSG;
  return 0;
}

int muster_daemon_look(const muster_daemon *self, uint32_t index, muster_daemon_status *status) {
  const muster_root *root = self->root;
  if (index >= root->count) return EINVAL;
  return muster_root_status_of(root_slot_of(root, index), root_desk_of(root, index), &root->parts[index].arena, status);
}

// ---- Words

#define TEXT(table, value) ((size_t)(value) < sizeof table / sizeof *table && table[value] ? table[value] : "unknown")

const char *muster_daemon_phase_text(muster_daemon_phase phase) {
  static const char *const texts[] = {[MUSTER_DAEMON_WAITING] = "waiting",   [MUSTER_DAEMON_RUNNING] = "running",
                                      [MUSTER_DAEMON_KILLING] = "killing",   [MUSTER_DAEMON_DRAINING] = "draining",
                                      [MUSTER_DAEMON_STOPPING] = "stopping", [MUSTER_DAEMON_ENDED] = "ended",
                                      [MUSTER_DAEMON_ABANDONED] = "given up"};
  return TEXT(texts, phase);
}

const char *muster_daemon_end_text(muster_daemon_end end) {
  static const char *const texts[] = {[MUSTER_DAEMON_NOT_ENDED] = "not ended", [MUSTER_DAEMON_EXITED] = "exited",
                                      [MUSTER_DAEMON_SIGNALED] = "killed by a signal", [MUSTER_DAEMON_HUNG] = "no heartbeat",
                                      [MUSTER_DAEMON_STOPPED] = "stopped", [MUSTER_DAEMON_KILLED] = "killed at the end"};
  return TEXT(texts, end);
}

const char *muster_daemon_rung_text(muster_daemon_rung rung) {
  static const char *const texts[] = {[MUSTER_DAEMON_AS_DECLARED] = "as declared", [MUSTER_DAEMON_CHECKPOINTS] = "checkpoints",
                                      [MUSTER_DAEMON_ZEROED] = "zeroed", [MUSTER_DAEMON_GIVEN_UP] = "given up"};
  return TEXT(texts, rung);
}
