// The trace, who reads and exports, watches, opens: whatever becomes of them nobody who records learns of it.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include "trace_world.h"

// ---- Reading and exporting, while those who record go round

static muster_trace *looking;

static void look_prepare(void) {
  SWEEP_STATUS(muster_trace_attach_read_only(sweep->arena, ROOM, &looking), 0);
  note()->index = 1;
  recorder = NULL;
}

static int read_operate(void) {
  muster_trace_cursor *cursor;
  muster_trace_event event;
  int status = muster_trace_read(looking, MUSTER_TRACE_ALL, &cursor);
  if (status) return status;
  for (note()->told = 0; !muster_trace_next(cursor, &event); note()->told++) check_event(&event);
  muster_trace_cursor_close(cursor);
  return 0;
}

static int null;

static void export_prepare(void) {
  look_prepare();
  null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  SWEEP_CHECK(null >= 0);
}

static int export_operate(void) { return muster_trace_export(looking, null); }

static void look_finish(void) { SWEEP_STATUS(muster_trace_close(looking), 0); }

static void read_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->returned) SWEEP_CHECK(note()->told <= RECORDERS * EVENTS);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_newcomers();
}

// ---- The watch: woken by a death, the watcher dies before it has frozen anything, or after.

static pid_t victim;

static int records_until_killed(int number) {
  (void)number;
  muster_trace *trace = attach();
  record_some(join(trace), 30);
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  (void)sweep_operator_asleep();
  (void)kill(getpid(), SIGKILL);
  return 0;
}

static void watch_setup(void) {
  lay();
  victim = sweep_peer(records_until_killed, 0);
  while (!__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE)) sweep_pause(50000);
  note()->index = 2;
}

static int watch_operate(void) {
  uint32_t died;
  int status = muster_trace_watch(mine, sweep_deadline(), &died);
  if (status == EOWNERDEAD) SWEEP_EQUAL(died, 2);
  return status;
}

static void watch_meanwhile(void) {
  record_some(ours_too, frozen(ours) ? 0 : 10);
  (void)read_whole(ours, ours_too->index);
  (void)read_whole(ours, 2);
  // A watcher that was stopped before it began to watch has not seen the death: this ends its wait.
  if (!frozen(ours)) SWEEP_STATUS(muster_trace_freeze(ours), 0);
}

static void watch_check(void) {
  if (sweep->returned && sweep->injection == SWEEP_CRASH) SWEEP_STATUS(sweep->result, EOWNERDEAD);
  if (sweep->injection == SWEEP_STALL) SWEEP_CHECK(sweep->result == EOWNERDEAD || sweep->result == ECANCELED);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_reap_killed(victim);
  if (sweep->injection == SWEEP_CRASH) sweep_found(frozen(ours) ? SWEEP_AFTER : SWEEP_BEFORE);
  // The record of who died is whole, and kept while it is frozen.
  SWEEP_EQUAL(info_of(ours, 2).life, MUSTER_TRACE_DIED);
  SWEEP_EQUAL(read_whole(ours, 2), EVENTS);
  check_newcomers();
}

// ---- By name

static const muster_trace_shape shape = {.recorders = RECORDERS, .events = EVENTS, .names = NAMES};
static const char *name;

static int open_it(muster_trace **trace) {
  return muster_trace_open(name, &(muster_trace_options){.shape = shape}, trace);
}

static void name_setup(void) { name = sweep_name("trace"); }

static int leaves_a_record(int number) {
  muster_trace *trace;
  SWEEP_STATUS(open_it(&trace), 0);
  muster_trace_recorder *left = join(trace), *dies = join(trace);
  record_some(left, 30);
  record_some(dies, 7);
  SWEEP_STATUS(muster_trace_leave(left), 0);
  return number;
}

static void renew_setup(void) {
  name_setup();
  sweep_newcomer(leaves_a_record, 0);
}

static int open_operate(void) { return open_it(&mine); }
static void open_finish(void) { SWEEP_STATUS(muster_trace_close(mine), 0); }

static int uses_it_whole(int number) {
  muster_trace *trace;
  int status = open_it(&trace);
  if (status) return status;
  // What was there before is there, and its ends are known.
  if (number && !info_of(trace, 0).life) return EBADMSG;
  if (number) {
    SWEEP_EQUAL(info_of(trace, 0).life, MUSTER_TRACE_LEFT);
    SWEEP_EQUAL(info_of(trace, 1).life, MUSTER_TRACE_DIED);
    SWEEP_EQUAL(read_whole(trace, 0), EVENTS);
    SWEEP_EQUAL(read_whole(trace, 1), 7);
  }
  muster_trace_recorder *visitor = join(trace);
  record_some(visitor, 20);
  SWEEP_STATUS(muster_trace_leave(visitor), 0);
  return muster_trace_close(trace);
}

static void create_meanwhile(void) { sweep_newcomer(uses_it_whole, 0); }

// Who is just renewing has it alone, so others wait: they are reaped in the check.
static pid_t waiting;
static void renew_meanwhile(void) {
  waiting = sweep_peer(uses_it_whole, 1);
  (void)sweep_ends_soon(waiting);
}

static void open_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  if (waiting) {
    int status = sweep_reap(waiting);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  sweep_newcomer(uses_it_whole, sweep->variant & USED);
  SWEEP_STATUS(muster_region_remove(name, 0), 0);
}

SWEEP_SUITE(trace_read, {.name = "trace.read", .minimum = 100, .setup = lay, .prepare = look_prepare, .operate = read_operate,
                         .meanwhile = others_go_on, .finish = look_finish, .check = read_check, .sample = 120},
            {.name = "trace.export", .minimum = 100, .setup = lay, .prepare = export_prepare, .operate = export_operate,
             .meanwhile = others_go_on, .finish = look_finish, .check = read_check, .sample = 120, .injections = SWEEP_CRASH, .variant = SMALL},
            {.name = "trace.watch", .minimum = 100, .setup = watch_setup, .prepare = prepare, .operate = watch_operate,
             .meanwhile = watch_meanwhile, .finish = close_finish, .check = watch_check},
            {.name = "trace.open-creates", .minimum = 100, .setup = name_setup, .prepare = name_setup, .operate = open_operate,
             .meanwhile = create_meanwhile, .finish = open_finish, .check = open_check},
            {.name = "trace.open-renews", .minimum = 100, .setup = renew_setup, .prepare = name_setup, .operate = open_operate,
             .meanwhile = renew_meanwhile, .finish = open_finish, .check = open_check, .variant = USED});
