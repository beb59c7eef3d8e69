// A daemon's start, from its fork to its `run`, by each of the policies: it dies, or is stopped, while it puts its predecessor's state
// in order. The state is the one that was found or the one that the policy wants, and the next start makes it the latter.
//
// The survivor is the root. The operator is no child of it, and does what such a one does, over the same region.
// SPDX-License-Identifier: Apache-2.0
#include "internal/region_map.h"
#include "root_world.h"

enum { NOT_TOLD = 0xffff };

typedef struct scene {
  muster_daemon_policy policy;
  muster_daemon_accept accept;
  muster_daemon_rung rung;
  uint64_t checkpoint;
  void (*leave)(const muster_arena *arena);  // how the predecessor leaves it. NULL: there is none
  uint64_t size;
  uint64_t state;                            // that is to be found in the end
  uint64_t redone;                           // transactions of the predecessor
  muster_daemon_policy found, again;         // by the operator; by one who comes after one who got through
} scene;

static const scene *now(void);

// What the next daemon tells.
typedef struct report {
  uint32_t there;
  muster_daemon_start how;
  uint64_t state;
} report;

static report *told(void) { return (report *)(void *)sweep->arena; }

// ---- How a predecessor leaves its state

static void as_it_is(const muster_arena *arena) { SWEEP_STATUS(muster_arena_change_begin(arena), 0); }

static void torn(const muster_arena *arena) {
  unsigned char bytes[LARGE];
  state_of(bytes, arena->size, BEGUN + 1);
  SWEEP_STATUS(muster_arena_change_begin(arena), 0);
  SWEEP_STATUS(muster_arena_write(arena, 0, bytes, arena->size / 2), 0);
}

static void committed(const muster_arena *arena) {
  muster_arena_log log;
  uint64_t id;
  SWEEP_STATUS(muster_arena_log_begin(arena, &id), 0);
  SWEEP_STATUS(muster_arena_log_open(arena, id, &log), 0);
  add_all(&log, BEGUN + 1);
  SWEEP_STATUS(muster_arena_log_commit(&log), 0);
}

static void half_redone(const muster_arena *arena) {
  committed(arena);
  arena_open_change(arena);
  state_of(arena->state, 4096, BEGUN + 1);
}

static void corrupt(const muster_arena *arena) {
  committed(arena);
  arena_log_page(arena, 0)[8] ^= 1;
}

// ---- The scenes

static int is_of_one_piece(const void *state, uint64_t size, void *context) {
  (void)context;
  const unsigned char *bytes = state;
  for (uint64_t at = 8; at < size; at += 8)
    if (bytes[at] / 16 != bytes[0] / 16) return 0;
  return 1;
}

static muster_daemon_policy by_the_case(const muster_daemon_case *found, void *context) {
  (void)context;
  return found->changing ? MUSTER_DAEMON_CHECKPOINT : MUSTER_DAEMON_KEEP;
}

enum { FIRST, ZERO, LOAD, REDO_AND_LOAD, ACCEPT, REFUSE, REDO, REDO_AGAIN, DECIDE, OLDER, DROP };

static const scene scenes[] = {
    [FIRST] = {.policy = MUSTER_DAEMON_KEEP, .size = SMALL, .again = MUSTER_DAEMON_KEEP},
    [ZERO] = {.policy = MUSTER_DAEMON_ZERO, .leave = torn, .size = SMALL},
    [LOAD] = {.policy = MUSTER_DAEMON_CHECKPOINT, .leave = torn, .size = SMALL, .state = SAVED,
              .found = MUSTER_DAEMON_CHECKPOINT, .again = MUSTER_DAEMON_CHECKPOINT},
    [REDO_AND_LOAD] = {.policy = MUSTER_DAEMON_CHECKPOINT, .leave = committed, .size = SMALL, .state = SAVED, .redone = 1,
                       .found = MUSTER_DAEMON_CHECKPOINT, .again = MUSTER_DAEMON_CHECKPOINT},
    [ACCEPT] = {.policy = MUSTER_DAEMON_KEEP, .accept = is_of_one_piece, .leave = as_it_is, .size = SMALL, .state = BEGUN,
                .found = MUSTER_DAEMON_KEEP, .again = MUSTER_DAEMON_KEEP},
    [REFUSE] = {.policy = MUSTER_DAEMON_KEEP, .accept = is_of_one_piece, .leave = torn, .size = SMALL, .state = SAVED,
                .found = MUSTER_DAEMON_CHECKPOINT, .again = MUSTER_DAEMON_KEEP},
    [REDO] = {.policy = MUSTER_DAEMON_KEEP, .leave = committed, .size = SMALL, .state = BEGUN + 1, .redone = 1,
              .found = MUSTER_DAEMON_KEEP, .again = MUSTER_DAEMON_KEEP},
    [REDO_AGAIN] = {.policy = MUSTER_DAEMON_KEEP, .leave = half_redone, .size = LARGE, .state = BEGUN + 1, .redone = 1,
                    .found = MUSTER_DAEMON_KEEP, .again = MUSTER_DAEMON_KEEP},
    [DECIDE] = {.policy = MUSTER_DAEMON_DECIDE, .leave = torn, .size = SMALL, .state = SAVED,
                .found = MUSTER_DAEMON_CHECKPOINT, .again = MUSTER_DAEMON_KEEP},
    [OLDER] = {.policy = MUSTER_DAEMON_KEEP, .rung = MUSTER_DAEMON_CHECKPOINTS, .checkpoint = SAVED - 1, .leave = torn,
               .size = SMALL, .state = SAVED - 1, .found = MUSTER_DAEMON_CHECKPOINT, .again = MUSTER_DAEMON_CHECKPOINT},
    [DROP] = {.policy = MUSTER_DAEMON_KEEP, .rung = MUSTER_DAEMON_ZEROED, .leave = corrupt, .size = SMALL},
};

static const scene *now(void) { return &scenes[sweep->variant]; }

// ---- The daemons

static int leaves_it(const muster_daemon *self) {
  const muster_arena *arena = self->arena;
  for (uint64_t number = 1; number <= SAVED; number++) {
    change_to(arena, number);
    SWEEP_STATUS(muster_arena_save(arena, NULL), 0);
  }
  change_to(arena, BEGUN);
  // It dies with a transaction of its.
  __atomic_store_n(&self->desk->transaction, 4711, __ATOMIC_RELAXED);
  now()->leave(arena);
  return 0;
}

// Finds it in order, and can do everything.
static int tells(muster_daemon *self, void *context) {
  (void)context;
  const muster_arena *arena = self->arena;
  if (now()->leave && muster_daemon_how(self)->starts == 1) return leaves_it(self);
  told()->how = *muster_daemon_how(self);
  told()->state = read_it(arena);
  change_to(arena, 9);
  SWEEP_STATUS(muster_arena_save(arena, NULL), 0);
  run_transaction(arena, 10);
  told()->there = 1;
  return 0;
}

static muster_daemon_spec this_spec(void) {
  muster_daemon_spec spec = spec_of(tells, now()->size);
  spec.policy = now()->policy;
  spec.accept = now()->accept;
  if (spec.policy == MUSTER_DAEMON_DECIDE) spec.decide = by_the_case;
  return spec;
}

static void stand(muster_root *root, uint64_t starts) {
  root_daemon *daemon = &root->daemons[0];
  daemon->ladder.rung = now()->rung;
  daemon->ladder.checkpoint = now()->checkpoint;
  daemon->ladder.attempts = 1;
  daemon->facts.rung = now()->rung;
  daemon->facts.attempts = 1;
  daemon->facts.starts = starts;
}

static uint64_t starts_of_operator(void) { return now()->leave ? 2 : 1; }

// ---- The operator's start, which was counted before

static void setup(void) {
  muster_daemon_spec spec = this_spec();
  SWEEP_STATUS(start_root(&spec, &made), 0);
  if (now()->leave) live_once(made);
  stand(made, starts_of_operator());
  made->daemons[0].facts.phase = MUSTER_DAEMON_RUNNING;
  muster_root_publish(made, 0);
}

static muster_root the_root;

// The root's memory and what it knows, as a child of it has them.
static void become_child(void) {
  static root_part part;
  muster_root *root = &the_root;
  root_map map;
  muster_region_options options = {.flags = MUSTER_REGION_ATTACH, .kind = MUSTER_ROOT_KIND, .version = ROOT_VERSION};
  part.spec = this_spec();
  SWEEP_STATUS(muster_root_map_of(&part.spec, 1, &map, &part), 0);
  SWEEP_STATUS(muster_region_open(root_name(), &options, &root->region), 0);
  root->base = muster_region_base(root->region);
  root->size = map.size, root->rows_size = map.rows_size, root->page = map.page;
  root->count = 1, root->parts = &part;
  root->pid = getppid();
  SWEEP_STATUS(muster_arena_attach(root->base + part.place.arena, part.place.desk - part.place.arena, &part.arena), 0);
  root->self.how = (muster_daemon_start){.starts = starts_of_operator(),
                                         .rung = now()->rung,
                                         .attempts = 1,
                                         .checkpoint = now()->checkpoint,
                                         .death = {.how = MUSTER_DAEMON_SIGNALED, .value = SIGKILL}};
}

static int operate(void) {
  muster_root_child_begin(&the_root);
  return 0;
}

// ---- Those who look on

static int may_be(uint64_t number) {
  uint64_t before = now()->leave ? BEGUN : 0;
  return number == before || number == now()->state || (now()->redone && number == BEGUN + 1);
}

// Never waits; what is told is true, and the checkpoints are whole.
static uint32_t look(void) {
  unsigned char bytes[LARGE];
  muster_root_view *view = look_at_root();
  muster_daemon_status status = status_of(view);
  SWEEP_EQUAL(status.starts, starts_of_operator());
  SWEEP_EQUAL(status.rung, now()->rung);
  SWEEP_EQUAL(status.attempts, 1);
  if (status.found != (muster_daemon_policy)-1) SWEEP_EQUAL(status.found, now()->found);
  SWEEP_EQUAL(status.transaction_pid, 0);
  SWEEP_EQUAL(status.newest_checkpoint, now()->leave ? SAVED : 0);
  SWEEP_CHECK(status.transactions_committed <= now()->redone);
  int read = muster_root_view_read(view, 0, 0, bytes, now()->size);
  if (read) SWEEP_STATUS(read, EAGAIN);
  else SWEEP_CHECK(may_be(number_of(bytes, now()->size)));
  if (now()->leave) check_list(&made->parts[0].arena, SAVED);
  muster_root_view_close(view);
  return status.found == (muster_daemon_policy)-1 ? NOT_TOLD : status.found;
}

static int looks_on(int number) {
  (void)number;
  (void)look();
  return 0;
}

static void meanwhile(void) {
  (void)look();
  sweep_newcomer(looks_on, 0);
}

// ---- The next start

static void check(void) {
  uint32_t found = look();
  if (sweep->returned) SWEEP_EQUAL(found, now()->found);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  else sweep_found(found == NOT_TOLD ? SWEEP_BEFORE : SWEEP_AFTER);
  live_once(made);
  SWEEP_CHECK(told()->there);
  SWEEP_EQUAL(told()->how.starts, starts_of_operator() + 1);
  SWEEP_EQUAL(told()->state, now()->state);
  SWEEP_CHECK(told()->how.found == now()->found || told()->how.found == now()->again);
  if (sweep->returned) SWEEP_EQUAL(told()->how.found, now()->again);
  muster_arena_info info;
  muster_arena_info_of(&made->parts[0].arena, &info);
  // The next one's own is one more.
  SWEEP_EQUAL(info.committed, now()->redone + 1);
  SWEEP_EQUAL(info.newest, now()->leave ? SAVED + 1 : 1);
  muster_root_close(made);
}

#define CASE(text, least, of)                                                                                          \
  {.name = "root.start-" text, .minimum = least, .variant = of, .setup = setup, .prepare = become_child, .operate = operate, \
   .meanwhile = meanwhile, .check = check}

SWEEP_SUITE(root_start, CASE("first", 300, FIRST), CASE("zero", 300, ZERO), CASE("checkpoint", 300, LOAD),
            CASE("redo-and-checkpoint", 300, REDO_AND_LOAD), CASE("keep-accepted", 300, ACCEPT),
            CASE("keep-refused", 300, REFUSE), CASE("redo", 300, REDO), CASE("redo-half-done", 300, REDO_AGAIN),
            CASE("decide", 300, DECIDE), CASE("older-checkpoint", 300, OLDER), CASE("drop-and-zero", 300, DROP));
