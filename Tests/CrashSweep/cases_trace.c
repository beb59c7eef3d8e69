// The trace: who dies or stops as he records, joins, names or freezes leaves events that are whole, and holds up nobody.
// SPDX-License-Identifier: Apache-2.0
#include "trace_world.h"

// ---- An event

static int record_operate(void) { return record(recorder); }

static void record_check(void) {
  uint32_t begun = sweep->variant & FRESH ? 0 : BEGUN, most = begun < EVENTS ? begun : EVENTS;
  muster_trace_recorder_info info = info_of(ours, note()->index);
  SWEEP_EQUAL(info.session, note()->session);
  SWEEP_EQUAL(info.life, sweep->injection == SWEEP_CRASH ? MUSTER_TRACE_DIED : MUSTER_TRACE_ALIVE);
  SWEEP_CHECK(info.end - info.first == begun || info.end - info.first == begun + 1);
  int after = info.end - info.first > begun;
  uint32_t told = read_whole(ours, note()->index);
  // The one that was begun may have taken the oldest one's place.
  if (after) SWEEP_EQUAL(told, begun + 1 < EVENTS ? begun + 1 : EVENTS);
  else SWEEP_CHECK(told == most || (told == EVENTS - 1 && most == EVENTS));
  sweep_found(after ? SWEEP_AFTER : SWEEP_BEFORE);
  if (sweep->returned) SWEEP_CHECK(after);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_newcomers();
}

// ---- Joining and leaving

static int join_operate(void) { return muster_trace_join(mine, "sweep", &recorder); }

// The recorder that the operator takes: the unused one; or, that being taken, the one of who left.
static void join_setup(void) {
  lay();
  if (sweep->variant & USED) sweep_newcomer(visits, 30);
  note()->index = sweep->variant & USED ? 1 : 2;
  note()->before = info_of(ours, note()->index);
  note()->session = note()->before.session;
}

// While it is the session from before, all of it is.
static int is_session_before(const muster_trace_recorder_info *info) {
  const muster_trace_recorder_info *before = &note()->before;
  if (info->session != before->session) return 0;
  SWEEP_CHECK(info->life == before->life && info->pid == before->pid && info->thread == before->thread);
  SWEEP_CHECK(info->first == before->first && info->end == before->end && info->start == before->start);
  return 1;
}

static void join_meanwhile(void) {
  muster_trace_recorder_info info = info_of(ours, note()->index);
  (void)is_session_before(&info);
  others_go_on();
}

static void join_check(void) {
  muster_trace_recorder_info info = info_of(ours, note()->index);
  int after = !is_session_before(&info);
  if (after) SWEEP_CHECK(info.life == MUSTER_TRACE_UNUSED || info.pid == sweep->operator_pid || sweep->injection == SWEEP_STALL);
  if (!after && sweep->variant & USED) SWEEP_CHECK(info.life == MUSTER_TRACE_LEFT);
  sweep_found(after ? SWEEP_AFTER : SWEEP_BEFORE);
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  (void)read_whole(ours, note()->index);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_newcomers();
}

static int leave_operate(void) {
  int status = muster_trace_leave(recorder);
  recorder = NULL;
  return status;
}

static void leave_check(void) {
  muster_trace_recorder_info info = info_of(ours, note()->index);
  SWEEP_EQUAL(info.session, note()->session);
  SWEEP_EQUAL(read_whole(ours, note()->index), EVENTS);
  int after = info.life == MUSTER_TRACE_LEFT;
  if (!after) SWEEP_EQUAL(info.life, sweep->injection == SWEEP_CRASH ? MUSTER_TRACE_DIED : MUSTER_TRACE_ALIVE);
  sweep_found(after ? SWEEP_AFTER : SWEEP_BEFORE);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_newcomers();
}

// ---- Names

static int name_operate(void) { return muster_trace_name(mine, "operator", &note()->name); }

static void name_check(void) {
  muster_trace_state state;
  SWEEP_STATUS(muster_trace_look(ours, &state), 0);
  uint32_t others = sweep->injection == SWEEP_STALL;
  SWEEP_CHECK(state.names == others || state.names == others + 1);
  sweep_found(state.names > others ? SWEEP_AFTER : SWEEP_BEFORE);
  uint16_t name;
  char text[MUSTER_TRACE_NAME_SIZE];
  SWEEP_STATUS(muster_trace_name(ours, "operator", &name), 0);
  SWEEP_STATUS(muster_trace_name_text(ours, name, text), 0);
  SWEEP_CHECK(!strcmp(text, "operator"));
  if (sweep->returned) SWEEP_EQUAL(name, note()->name);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_newcomers();
}

// ---- The kill word

static void frozen_setup(void) {
  lay();
  SWEEP_STATUS(muster_trace_freeze(ours), 0);
}

static int freeze_operate(void) { return muster_trace_freeze(mine); }
static int thaw_operate(void) { return muster_trace_thaw(mine); }

static void freeze_check(void) {
  muster_trace_state state;
  SWEEP_STATUS(muster_trace_look(ours, &state), 0);
  if (state.frozen) SWEEP_EQUAL(state.frozen_by, sweep->operator_pid);
  if (sweep->injection == SWEEP_CRASH) sweep_found(state.frozen ? SWEEP_AFTER : SWEEP_BEFORE);
  // Others have frozen and thawed meanwhile, so both may be.
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_STATUS(record(ours_too), state.frozen ? ECANCELED : 0);
  check_newcomers();
}

static void thaw_check(void) {
  int is = frozen(ours);
  sweep_found(is ? SWEEP_BEFORE : SWEEP_AFTER);
  SWEEP_STATUS(record(ours_too), is ? ECANCELED : 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_newcomers();
}

SWEEP_SUITE(trace, {.name = "trace.record", .minimum = 15, .setup = lay, .prepare = recorder_prepare, .operate = record_operate,
                    .meanwhile = others_go_on, .finish = finish, .check = record_check},
            {.name = "trace.record-the-first", .minimum = 15, .setup = lay, .prepare = recorder_prepare,
             .operate = record_operate, .meanwhile = others_go_on, .finish = finish, .check = record_check, .variant = FRESH},
            {.name = "trace.join", .minimum = 300, .setup = join_setup, .prepare = prepare, .operate = join_operate,
             .meanwhile = join_meanwhile, .finish = finish, .check = join_check},
            {.name = "trace.join-a-used-one", .minimum = 300, .setup = join_setup, .prepare = prepare,
             .operate = join_operate, .meanwhile = join_meanwhile, .finish = finish, .check = join_check, .variant = USED},
            {.name = "trace.leave", .minimum = 50, .setup = lay, .prepare = recorder_prepare, .operate = leave_operate,
             .meanwhile = others_go_on, .finish = close_finish, .check = leave_check},
            {.name = "trace.name", .minimum = 30, .setup = lay, .prepare = prepare, .operate = name_operate,
             .meanwhile = others_go_on, .finish = close_finish, .check = name_check},
            {.name = "trace.freeze", .minimum = 10, .setup = lay, .prepare = prepare, .operate = freeze_operate,
             .meanwhile = others_go_on, .finish = close_finish, .check = freeze_check},
            {.name = "trace.thaw", .minimum = 3, .setup = frozen_setup, .prepare = prepare, .operate = thaw_operate,
             .meanwhile = others_go_on, .finish = close_finish, .check = thaw_check});
