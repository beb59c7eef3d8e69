// Transactions: their changes are the daemon's state all at once, or not at all, however they end.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/root.h"
#include "root_support.h"

#define MS INT64_C(1000000)

enum { PAGES = 8, PAGE = 4096, WORDS = PAGES * PAGE / 8 };

// ---- A daemon that runs one function of a test, in its first life, and then idles.

typedef void (*daemon_body)(muster_daemon *self, uint64_t *state);

static int runs_body(muster_daemon *self, void *context) {
  daemon_body body;
  memcpy(&body, &context, sizeof body);
  if (muster_daemon_how(self)->starts == 1) body(self, muster_daemon_state(self));
  board->places[0].value = 1 + (uint64_t)test_result();
  return root_test_polite(self, NULL);
}

static void in_a_daemon(daemon_body body, muster_daemon_spec spec) {
  spec.name = "a";
  spec.run = runs_body;
  memcpy(&spec.context, &body, sizeof body);
  if (!spec.state_size) spec.state_size = PAGES * PAGE;
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  CHECK_EQUAL(board->places[0].value, 1);
  CHECK_EQUAL(root_test_look(&scene, 0).starts, 1);
  // It may have ended for good.
  if (spec.restart == MUSTER_DAEMON_NEVER) root_test_join(&scene, 0);
  else root_test_end(&scene);
}

static muster_transaction_outcome done(muster_daemon *self, muster_transaction_body body, void *context,
                                       const muster_transaction_options *options) {
  muster_transaction_outcome outcome = {0};
  CHECK_STATUS(muster_daemon_transact(self, body, context, options, &outcome), 0);
  return outcome;
}

// ---- What transactions do

static int adds(void *state, uint64_t size, void *context) {
  uint64_t *words = state;
  for (uint64_t k = 0; k < size / 8; k += PAGE / 8) words[k] += (uint64_t)(uintptr_t)context;
  return 0;
}

static int adds_and_fails(void *state, uint64_t size, void *context) {
  adds(state, size, context);
  return -300;
}

static int adds_and_crashes(void *state, uint64_t size, void *context) {
  adds(state, size, context);
  raise(SIGKILL);
  return 0;
}

static int adds_and_exits(void *state, uint64_t size, void *context) {
  adds(state, size, context);
  _exit(7);
}

static int adds_and_hangs(void *state, uint64_t size, void *context) {
  adds(state, size, context);
  for (;;) pause();
  return 0;
}

static void all_words_are(const uint64_t *state, uint64_t value) {
  for (uint64_t k = 0; k < WORDS; k += PAGE / 8) CHECK_EQUAL(state[k], value);
}

static void ends(muster_daemon *self, uint64_t *state) {
  muster_transaction_outcome outcome = done(self, adds, (void *)1, NULL);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_COMMITTED);
  CHECK_EQUAL(outcome.attempts, 1);
  all_words_are(state, 1);
  outcome = done(self, adds_and_fails, (void *)1, NULL);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_ABORTED);
  CHECK_EQUAL(outcome.value, -300);
  CHECK_EQUAL(outcome.attempts, 1);
  all_words_are(state, 1);
  outcome = done(self, adds_and_crashes, (void *)1, NULL);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_CRASHED);
  CHECK_EQUAL(outcome.signal, 1);
  CHECK_EQUAL(outcome.value, SIGKILL);
  CHECK_EQUAL(outcome.attempts, 3);
  all_words_are(state, 1);
  outcome = done(self, adds_and_exits, (void *)1, &(muster_transaction_options){.tries = 1});
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_CRASHED);
  CHECK_EQUAL(outcome.signal, 0);
  CHECK_EQUAL(outcome.value, 7);
  CHECK_EQUAL(outcome.attempts, 1);
  outcome = done(self, adds_and_hangs, (void *)1, &(muster_transaction_options){.deadline = muster_deadline_after(20 * MS)});
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_LATE);
  CHECK_EQUAL(outcome.attempts, 1);
  all_words_are(state, 1);
  // It has its state back.
  CHECK_STATUS(muster_daemon_change_begin(self), 0);
  state[0] = 5;
  CHECK_STATUS(muster_daemon_change_end(self), 0);
  outcome = done(self, adds, (void *)1, NULL);
  CHECK_EQUAL(state[0], 6);
  muster_arena_info info;
  muster_arena_info_of(self->arena, &info);
  CHECK_EQUAL(info.id, 8);
  CHECK_EQUAL(info.committed, 2);
  CHECK_EQUAL(info.aborted, 1);
  CHECK_EQUAL(info.crashed, 4);
  CHECK_EQUAL(info.late, 1);
}

static void how_they_end(void) { in_a_daemon(ends, (muster_daemon_spec){0}); }

static void small(muster_daemon *self, uint64_t *state) {
  muster_transaction_outcome outcome = done(self, adds, (void *)1, NULL);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_TOO_LARGE);
  all_words_are(state, 0);
}

static void too_large(void) { in_a_daemon(small, (muster_daemon_spec){.transaction_pages = PAGES - 1}); }

static void none(muster_daemon *self, uint64_t *state) {
  (void)state;
  CHECK_STATUS(muster_daemon_begin(self, adds, NULL, NULL), ENOTSUP);
}

static void undeclared(void) { in_a_daemon(none, (muster_daemon_spec){.transaction_pages = MUSTER_ROOT_NONE}); }

// ---- While one runs

static uint32_t *gate;

static int waits(void *state, uint64_t size, void *context) {
  muster_daemon *self = context;
  adds(state, size, (void *)1);
  // Not the daemon's process.
  CHECK_STATUS(muster_daemon_change_begin(self), EPERM);
  CHECK_STATUS(muster_daemon_save(self), EPERM);
  CHECK_STATUS(muster_daemon_begin(self, adds, NULL, NULL), EPERM);
  CHECK_STATUS(muster_daemon_finish(self, 0, NULL), EPERM);
  uint64_t seen;
  CHECK_STATUS(muster_daemon_read(self, 0, 0, &seen, 8), 0);
  gate_open(gate, 1);
  gate_wait(gate, 2);
  return test_result();
}

static void store_one(void *context) { *(volatile uint64_t *)context = 1; }

static void meanwhile(muster_daemon *self, uint64_t *state) {
  gate = &board->places[1].gate;
  muster_transaction_outcome outcome;
  CHECK_STATUS(muster_daemon_finish(self, 0, &outcome), EINVAL);
  CHECK_STATUS(muster_daemon_cancel(self, &outcome), EINVAL);
  CHECK_STATUS(muster_daemon_change_begin(self), 0);
  CHECK_STATUS(muster_daemon_begin(self, waits, self, NULL), EBUSY);
  CHECK_STATUS(muster_daemon_change_end(self), 0);
  CHECK_STATUS(muster_daemon_begin(self, waits, self, NULL), 0);
  CHECK_STATUS(muster_daemon_begin(self, waits, self, NULL), EBUSY);
  CHECK_STATUS(muster_daemon_change_begin(self), EBUSY);
  gate_wait(gate, 1);
  // The snapshot's changes are not seen, and the daemon's own state can't be written.
  CHECK_EQUAL(state[0], 0);
  CHECK_EQUAL(signal_of(store_one, state), SIGSEGV);
  CHECK_STATUS(muster_daemon_finish(self, MUSTER_DEADLINE_NOW, &outcome), ETIMEDOUT);
  CHECK_STATUS(muster_daemon_finish(self, muster_deadline_after(5 * MS), &outcome), ETIMEDOUT);
  muster_daemon_status status;
  CHECK_STATUS(muster_daemon_look(self, 0, &status), 0);
  CHECK(status.transaction_pid > 0 && status.transaction_pid != getpid());
  gate_open(gate, 2);
  CHECK_STATUS(muster_daemon_finish(self, soon(), &outcome), 0);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_COMMITTED);
  all_words_are(state, 1);
  CHECK_STATUS(muster_daemon_look(self, 0, &status), 0);
  CHECK_EQUAL(status.transaction_pid, 0);
  // And one that is called off.
  CHECK_STATUS(muster_daemon_begin(self, adds_and_hangs, (void *)1, NULL), 0);
  CHECK_STATUS(muster_daemon_cancel(self, &outcome), 0);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_LATE);
  all_words_are(state, 1);
}

static void while_one_runs(void) { in_a_daemon(meanwhile, (muster_daemon_spec){0}); }

// The transaction may not touch what is not its own.
static int writes_control(void *state, uint64_t size, void *context) {
  (void)state;
  (void)size;
  *(volatile unsigned char *)context = 1;
  return 0;
}

static void trespass(muster_daemon *self, uint64_t *state) {
  const muster_transaction_options once = {.tries = 1};
  muster_transaction_outcome outcome = done(self, writes_control, self->arena->base, &once);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_CRASHED);
  CHECK_EQUAL(outcome.value, SIGSEGV);
  outcome = done(self, writes_control, (unsigned char *)state - 1, &once);
  CHECK_EQUAL(outcome.value, SIGSEGV);
  outcome = done(self, writes_control, self->root->base, &once);
  CHECK_EQUAL(outcome.value, SIGSEGV);
}

static void fences(void) { in_a_daemon(trespass, (muster_daemon_spec){.checkpoints = 2}); }

static void *adds_a_part(void *context) {
  uint64_t *words = context;
  for (int k = 0; k < PAGE / 8; k++) words[k] = 1;
  return NULL;
}

static int has_threads(void *state, uint64_t size, void *context) {
  (void)context;
  pthread_t threads[PAGES];
  for (uint64_t k = 0; k < size / PAGE; k++)
    if (pthread_create(&threads[k], NULL, adds_a_part, (unsigned char *)state + k * PAGE)) return 1;
  for (uint64_t k = 0; k < size / PAGE; k++) pthread_join(threads[k], NULL);
  return 0;
}

static void threaded(muster_daemon *self, uint64_t *state) {
  CHECK_EQUAL(done(self, has_threads, NULL, NULL).how, MUSTER_TRANSACTION_COMMITTED);
  for (int k = 0; k < WORDS; k++) CHECK_EQUAL(state[k], 1);
}

static void threads(void) { in_a_daemon(threaded, (muster_daemon_spec){0}); }

// ---- States on huge pages

static void huge_body(muster_daemon *self, uint64_t *state) {
  uint64_t words = muster_daemon_state_size(self) / 8;
  state[1] = 3;
  muster_transaction_outcome outcome = done(self, adds, (void *)2, NULL);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_COMMITTED);
  for (uint64_t k = 0; k < words; k += PAGE / 8) CHECK_EQUAL(state[k], 2);
  CHECK_EQUAL(state[1], 3);
}

static void huge(void) { in_a_daemon(huge_body, (muster_daemon_spec){.state_size = 2 * MUSTER_ARENA_HUGE}); }

// ---- No descriptor, no process

static void refuse_here(muster_daemon *self, uint64_t *state) {
  unsigned before = count_descriptors();
  for (int k = 0; k < 3; k++) (void)done(self, adds, (void *)1, NULL);
  CHECK_EQUAL(count_descriptors(), before);
  all_words_are(state, 3);
  const muster_transaction_options timed = {.deadline = soon()};
  CHECK_EQUAL(done(self, adds, (void *)1, &timed).how, MUSTER_TRANSACTION_COMMITTED);
  CHECK_EQUAL(count_descriptors(), before);
  // It is waited for all the same, and its deadline kept.
  refuse_call(SYS_pidfd_open, EMFILE);
  CHECK_EQUAL(done(self, adds, (void *)1, &timed).how, MUSTER_TRANSACTION_COMMITTED);
  const muster_transaction_options late = {.deadline = muster_deadline_after(10 * MS)};
  CHECK_EQUAL(done(self, adds_and_hangs, (void *)1, &late).how, MUSTER_TRANSACTION_LATE);
  all_words_are(state, 5);
  refuse_call(SYS_clone, EAGAIN);
#ifdef SYS_fork
  refuse_call(SYS_fork, EAGAIN);
#endif
  CHECK_STATUS(muster_daemon_begin(self, adds, (void *)1, NULL), EAGAIN);
  all_words_are(state, 5);
  CHECK_STATUS(muster_daemon_change_begin(self), 0);
  state[0] = 6;
  CHECK_STATUS(muster_daemon_change_end(self), 0);
  CHECK_EQUAL(count_descriptors(), before);
}

static void no_descriptor(void) { in_a_daemon(refuse_here, (muster_daemon_spec){0}); }

// ---- A daemon that dies while its transaction runs: what was committed is there, and what was not is not.

static int commits_and_waits(void *state, uint64_t size, void *context) {
  muster_daemon *self = context;
  adds(state, size, (void *)1);
  // As the process that runs this would go on, but that it does not end.
  muster_arena_log log;
  CHECK_STATUS(muster_arena_log_open(self->arena, self->transaction.id, &log), 0);
  for (uint64_t k = 0; k < size / PAGE; k++) CHECK_STATUS(muster_arena_log_add(&log, k, NULL), 0);
  CHECK_STATUS(muster_arena_log_commit(&log), 0);
  gate_open(gate, 1);
  for (;;) pause();
  return 0;
}

static int dies_beside_one(muster_daemon *self, void *context) {
  root_test_place *place = &board->places[0];
  uint64_t *state = muster_daemon_state(self);
  place->value = state[0];
  uint64_t starts = muster_daemon_how(self)->starts;
  if (starts == 3) return root_test_polite(self, context);
  root_test_note(self);
  gate = &board->places[starts].gate;
  CHECK_STATUS(muster_daemon_begin(self, starts == 1 ? commits_and_waits : waits, self, NULL), 0);
  gate_wait(gate, 1);
  board->places[starts].value = (uint64_t)self->transaction.pid;
  raise(SIGKILL);
  return 0;
}

static void daemon_dies(void) {
  const muster_daemon_spec spec = {.name = "a", .run = dies_beside_one, .state_size = PAGES * PAGE, .policy = MUSTER_DAEMON_KEEP,
                                   .delay_first = MUSTER_ROOT_NONE};
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 3);
  CHECK_EQUAL(board->places[0].value, 1);
  muster_daemon_status status = root_test_look(&scene, 0);
  CHECK_EQUAL(status.drained, 2);
  CHECK_EQUAL(board->places[0].how.redone, 0);
  uint64_t words[WORDS];
  CHECK_STATUS(muster_root_view_read(scene.view, 0, 0, words, sizeof words), 0);
  all_words_are(words, 1);
  root_test_end(&scene);
}

// ---- To stop ends a wait, not the transaction

static void is_stopped(muster_daemon *self, uint64_t *state) {
  gate = &board->places[1].gate;
  CHECK_STATUS(muster_daemon_catch_stop(self), 0);
  CHECK_STATUS(muster_daemon_begin(self, waits, self, NULL), 0);
  gate_wait(gate, 1);
  kill(getpid(), SIGTERM);
  muster_transaction_outcome outcome;
  CHECK_STATUS(muster_daemon_finish(self, soon(), &outcome), ECANCELED);
  gate_open(gate, 2);
  CHECK_EQUAL(muster_daemon_pause(self, soon()), ECANCELED);
  // Now it can be waited for only by calling it off, or transact.
  CHECK_STATUS(muster_daemon_cancel(self, &outcome), 0);
  CHECK(outcome.how == MUSTER_TRANSACTION_COMMITTED || outcome.how == MUSTER_TRANSACTION_LATE);
  uint64_t value = outcome.how == MUSTER_TRANSACTION_COMMITTED;
  all_words_are(state, value);
  CHECK_EQUAL(done(self, adds, (void *)1, NULL).how, MUSTER_TRANSACTION_COMMITTED);
  all_words_are(state, value + 1);
}

// Once: it has been told to stop, and does so.
static void stopping(void) { in_a_daemon(is_stopped, (muster_daemon_spec){.restart = MUSTER_DAEMON_NEVER}); }

// ---- The storm: a total that stays right, whoever is killed at whatever moment.

// Moves an amount from one account to others, through sums that are wrong meanwhile.
static int moves(void *state, uint64_t size, void *context) {
  uint64_t *accounts = state, turn = *(uint64_t *)context;
  uint64_t from = turn % (size / 8), amount = accounts[from] / 2;
  accounts[from] -= amount;
  for (uint64_t k = 1; amount; k++) {
    uint64_t part = amount > 3 ? amount / 2 : amount;
    accounts[(from + k * 977) % (size / 8)] += part;
    amount -= part;
  }
  return turn % 5 == 4 ? 1 : turn % 3 == 2 ? (raise(SIGABRT), 0) : 0;
}

static uint64_t total_of(const uint64_t *accounts) {
  uint64_t total = 0;
  for (int k = 0; k < WORDS; k++) total += accounts[k];
  return total;
}

static int banks(muster_daemon *self, void *context) {
  (void)context;
  root_test_place *place = root_test_note(self);
  uint64_t *accounts = muster_daemon_state(self);
  // Who is killed before he has told so leaves it to the next: nothing was moved yet.
  if (!__atomic_load_n(&place->told, __ATOMIC_ACQUIRE)) {
    accounts[1] = 1000000;
    __atomic_store_n(&place->told, 1, __ATOMIC_RELEASE);
  }
  CHECK_STATUS(muster_daemon_catch_stop(self), 0);
  for (uint64_t turn = (uint64_t)getpid(); !muster_daemon_stopping(self); turn++) {
    if (total_of(accounts) != 1000000) test_fail(__FILE__, __LINE__, "the total is %llu", (unsigned long long)total_of(accounts)), test_end();
    muster_transaction_outcome outcome;
    CHECK_STATUS(muster_daemon_transact(self, moves, &turn, &(muster_transaction_options){.tries = 1}, &outcome), 0);
    place->value++;
  }
  return test_result();
}

static void storm(void) {
  uint64_t seed = test_seed();
  const muster_daemon_spec spec = {.name = "bank", .run = banks, .state_size = PAGES * PAGE, .policy = MUSTER_DAEMON_KEEP,
                                   .stable = MUSTER_ROOT_NONE, .delay_first = MUSTER_ROOT_NONE, .heartbeat = 200 * MS * test_slower()};
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  uint32_t turns = 250 / test_slower();
  for (uint32_t k = 0; k < turns; k++) {
    muster_daemon_status status = root_test_look(&scene, 0);
    int32_t victim = test_random(&seed) % 3 ? status.transaction_pid : status.pid;
    // A group of its own and a parent that reaps: the number is at worst that of one who has just ended.
    if (victim > 0) kill(victim, test_random(&seed) % 8 ? SIGKILL : SIGSTOP);
    test_pause((int64_t)(test_random(&seed) % (2 * MS)));
    uint64_t accounts[WORDS];
    int opened = __atomic_load_n(&board->places[0].told, __ATOMIC_ACQUIRE) != 0;
    if (!muster_root_view_read(scene.view, 0, 0, accounts, sizeof accounts) && opened)
      CHECK_EQUAL(total_of(accounts), 1000000);
  }
  uint64_t before = board->places[0].value;
  for (muster_deadline end = soon(); board->places[0].value < before + 5 && !muster_deadline_passed(end);) test_pause(MS);
  muster_daemon_status status = root_test_look(&scene, 0);
  CHECK(status.transactions_committed > 0);
  CHECK_EQUAL(status.death.how == MUSTER_DAEMON_EXITED, 0);
  root_test_end(&scene);
}

TEST_SUITE(root_transaction, {"how_they_end", how_they_end, 0}, {"too_large", too_large, 0}, {"undeclared", undeclared, 0},
           {"while_one_runs", while_one_runs, 0}, {"fences", fences, 0}, {"threads", threads, 0}, {"huge", huge, 0},
           {"no_descriptor", no_descriptor, 0}, {"daemon_dies", daemon_dies, 0}, {"stopping", stopping, 0}, {"storm", storm, 0});
