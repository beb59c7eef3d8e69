// Heartbeats whose sender or listener dies, or stops, or no longer listens; the same over each of the five kinds.
// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heartbeat_support.h"

typedef struct pair {
  muster_heartbeat_kind kind;
  meeting *at;
} pair;

static uint64_t load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static void store(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

static int passed(muster_deadline end) {
  if (!muster_deadline_passed(end)) return 0;
  test_fail(__FILE__, __LINE__, "what was waited for did not come");
  test_end();
}

// ---- The sender is killed.

// Sends as fast as it can; what the kernel has no room for is lost.
static void sends_on(void *context) {
  pair *of = context;
  muster_heartbeat_sender *sender = connects(of->kind, of->at);
  for (uint64_t number = 1;; number++) {
    store(&of->at->sent, number);
    muster_heartbeat beat = {.epoch = 1, .number = number, .time = time_of(1, number)};
    int status = muster_heartbeat_send(sender, &beat);
    if (status != EAGAIN) CHECK_STATUS(status, 0);
    if (test_result()) return;
  }
}

static void killed_sender(muster_heartbeat_kind kind) {
  meeting *at = meet();
  pair of = {kind, at};
  limit_signals(2000);
  muster_heartbeat_listener *listener = listens(kind, at);
  uint64_t seed = test_seed(), last = 0;
  for (int turn = 0; turn < 12; turn++) {
    store(&at->sent, 0);
    pid_t child = test_fork(sends_on, &of);
    muster_deadline end = soon(), enough = muster_deadline_after((int64_t)(test_random(&seed) % 4000000));
    uint64_t got = 0;
    while (got < 2 || !muster_deadline_passed(enough)) {
      got = drain(listener, 1, got);
      passed(end);
    }
    kill_process(child);
    got = drain(listener, 1, got);
    uint64_t sent = load(&at->sent);
    CHECK(got <= sent);
    if (!is_polled(kind)) CHECK(got + 1 >= sent);
    gives_nothing(listener);
    // Another goes on, whatever the dead one was at.
    muster_heartbeat_sender *sender = connects(kind, at);
    sends(sender, 1, sent + 1);
    last = drain(listener, 1, got);
    CHECK_EQUAL(last, sent + 1);
    muster_heartbeat_sender_close(sender);
    closes(kind, listener, NULL);
    listener = listens(kind, at);
  }
  closes(kind, listener, NULL);
}
EACH_KIND(killed_sender)

// ---- The listener is stopped, for thousands of beats.

static void listens_on(void *context) {
  pair *of = context;
  limit_signals(4000);
  muster_heartbeat_listener *listener = listens(of->kind, of->at);
  gate_open(&of->at->gate, 1);
  uint64_t got = 0;
  for (muster_deadline end = soon(); got < 1000000 && !passed(end);) {
    got = drain(listener, 1, got);
    store(&of->at->got, got);
    struct pollfd one = {.fd = muster_heartbeat_descriptor(listener), .events = POLLIN};
    poll(&one, 1, is_polled(of->kind) ? 100 : 1);
  }
  CHECK_STATUS(muster_heartbeat_listener_close(listener), 0);
}

static void stopped_listener(muster_heartbeat_kind kind) {
  meeting *at = meet();
  pair of = {kind, at};
  pid_t child = test_fork(listens_on, &of);
  gate_wait(&at->gate, 1);
  muster_heartbeat_sender *sender = connects(kind, at);
  sends(sender, 1, 1);
  muster_deadline end = soon();
  while (load(&at->got) < 1 && !passed(end)) test_pause(100000);
  stop_process(child);
  uint64_t last = 1;
  for (uint64_t number = 2; number <= 5000; number++) {
    muster_heartbeat beat = {.epoch = 1, .number = number, .time = time_of(1, number)};
    int status = muster_heartbeat_send(sender, &beat);
    if (!status) last = number;
    // A signal for which there is no room is lost, and the next one that has room arrives.
    else CHECK(status == EAGAIN && kind == MUSTER_HEARTBEAT_SIGNAL);
  }
  CHECK_EQUAL(load(&at->got), 1);
  kill(child, SIGCONT);
  // A socket keeps the first ones: it takes one more beat.
  uint64_t next = 5000;
  while (load(&at->got) < last && !passed(end)) {
    test_pause(1000000);
    if (kind == MUSTER_HEARTBEAT_UDP && load(&at->got) > 1) sends(sender, 1, ++next);
  }
  if (kind == MUSTER_HEARTBEAT_UDP) CHECK(load(&at->got) > 5000);
  sends(sender, 1, 1000000);
  test_join(child, 0);
  muster_heartbeat_sender_close(sender);
  CHECK(!name_exists(kind));
}
EACH_KIND(stopped_listener)

// ---- The listener is killed.

static void listens_and_waits(void *context) {
  pair *of = context;
  listens(of->kind, of->at);
  gate_open(&of->at->gate, of->at->gate + 1);
  for (;;) pause();
}

static pid_t listening_child(pair *of) {
  uint32_t before = of->at->gate;
  pid_t child = test_fork(listens_and_waits, of);
  gate_wait(&of->at->gate, before + 1);
  return child;
}

static void is_told(muster_heartbeat_kind kind, muster_heartbeat_sender *sender) {
  muster_heartbeat beat = {.epoch = 1, .number = 2, .time = 1};
  int status = muster_heartbeat_send(sender, &beat);
  if (kind == MUSTER_HEARTBEAT_UDP && status == 0) status = muster_heartbeat_send(sender, &beat);
  CHECK_STATUS(status, kind == MUSTER_HEARTBEAT_MEMORY ? 0 : ECONNREFUSED);
}

static void killed_listener(muster_heartbeat_kind kind) {
  meeting *at = meet();
  pair of = {kind, at};
  muster_heartbeat_options options = options_of(kind, at);
  pid_t child = listening_child(&of);
  muster_heartbeat_sender *sender = connects(kind, at), *late;
  sends(sender, 1, 1);
  muster_heartbeat_contact before = at->contact;
  kill_process(child);
  is_told(kind, sender);
  CHECK_EQUAL(name_exists(kind), has_name(kind));
  int tells = kind != MUSTER_HEARTBEAT_MEMORY && kind != MUSTER_HEARTBEAT_UDP;
  if (tells) CHECK_STATUS(muster_heartbeat_connect(&options, &before, &late), ECONNREFUSED);
  // A new one under the same name: the old sender does not reach it, a new one does.
  muster_heartbeat_listener *listener = listens(kind, at);
  muster_heartbeat beat = {.epoch = 1, .number = 50, .time = 1};
  CHECK_STATUS(muster_heartbeat_send(sender, &beat), ECONNREFUSED);
  gives_nothing(listener);
  muster_heartbeat_sender_close(sender);
  sender = connects(kind, at);
  sends(sender, 1, 1);
  gives(listener, 1, 1);
  closes(kind, listener, sender);
}
EACH_KIND(killed_listener)

static void left_name(muster_heartbeat_kind kind) {
  meeting *at = meet();
  pair of = {kind, at};
  muster_heartbeat_options options = options_of(kind, at);
  kill_process(listening_child(&of));
  CHECK_EQUAL(name_exists(kind), has_name(kind));
  CHECK_STATUS(muster_heartbeat_remove(&options), has_name(kind) ? 0 : EINVAL);
  CHECK(!name_exists(kind));
}
EACH_KIND(left_name)

// It ended and nobody has reaped it: its locks and sockets are gone, and its number is there still.
static void unreaped_listener(muster_heartbeat_kind kind) {
  meeting *at = meet();
  pair of = {kind, at};
  muster_heartbeat_options options = options_of(kind, at);
  pid_t child = listening_child(&of);
  muster_heartbeat_sender *sender = connects(kind, at);
  kill(child, SIGKILL);
  siginfo_t info;
  REQUIRE(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
  is_told(kind, sender);
  muster_heartbeat_sender_close(sender);
  if (kind == MUSTER_HEARTBEAT_SIGNAL)
    CHECK_STATUS(muster_heartbeat_connect(&options, &at->contact, &sender), ECONNREFUSED);
  test_join(child, SIGKILL);
  if (has_name(kind)) CHECK_STATUS(muster_heartbeat_remove(&options), 0);
}
EACH_KIND(unreaped_listener)

// A forked child of a dead listener does not listen in its place.
static void forks_and_waits(void *context) {
  pair *of = context;
  listens(of->kind, of->at);
  pid_t child = fork();
  if (child == 0) {
    gate_open(&of->at->gate, 1);
    gate_wait(&of->at->ready, 1);
    _exit(0);
  }
  for (;;) pause();
}

static void killed_with_child(muster_heartbeat_kind kind) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  meeting *at = meet();
  pair of = {kind, at};
  pid_t child = test_fork(forks_and_waits, &of);
  gate_wait(&at->gate, 1);
  muster_heartbeat_sender *sender = connects(kind, at);
  kill_process(child);
  is_told(kind, sender);
  muster_heartbeat_sender_close(sender);
  closes(kind, listens(kind, at), NULL);
  gate_open(&at->ready, 1);
  while (waitpid(-1, NULL, 0) > 0) {
  }
}
EACH_KIND(killed_with_child)

// ---- Whoever listened and does not any more, or never did, is not killed by a beat.

static void listens_no_more(void *context) {
  pair *of = context;
  sigset_t before, after;
  sigprocmask(SIG_SETMASK, NULL, &before);
  muster_heartbeat_listener *listener = listens(of->kind, of->at);
  gate_open(&of->at->gate, 1);
  gate_wait(&of->at->ready, 1);
  CHECK_STATUS(muster_heartbeat_listener_close(listener), 0);
  sigprocmask(SIG_SETMASK, NULL, &after);
  for (int signal = 1; signal < NSIG; signal++) CHECK_EQUAL(sigismember(&after, signal), sigismember(&before, signal));
  gate_open(&of->at->gate, 2);
  gate_wait(&of->at->ready, 2);
}

static void late_beats(muster_heartbeat_kind kind) {
  meeting *at = meet();
  pair of = {kind, at};
  pid_t child = test_fork(listens_no_more, &of);
  gate_wait(&at->gate, 1);
  muster_heartbeat_sender *sender = connects(kind, at);
  muster_heartbeat beat = {.epoch = 1, .number = 1};
  for (; beat.number <= 5; beat.number++) sends(sender, 1, beat.number);
  gate_open(&at->ready, 1);
  // Before, at, and after the close.
  while (__atomic_load_n(&at->gate, __ATOMIC_ACQUIRE) < 2) {
    int status = muster_heartbeat_send(sender, &beat);
    CHECK(status == 0 || status == ECONNREFUSED || status == EAGAIN);
    beat.number++;
  }
  for (int i = 0; i < 100; i++) {
    int status = muster_heartbeat_send(sender, &beat);
    CHECK(status == 0 || status == ECONNREFUSED);
    beat.number++;
  }
  gate_open(&at->ready, 2);
  test_join(child, 0);
  muster_heartbeat_sender_close(sender);
  CHECK(!name_exists(kind));
}
EACH_KIND(late_beats)

// ---- A storm: whatever comes is a beat that was sent, and newer than the one before.

static void sends_many(void *context) {
  pair *of = context;
  muster_heartbeat_sender *sender = connects(of->kind, of->at);
  uint64_t count = 60000 / test_slower();
  for (uint64_t number = 1; number <= count; number++) {
    muster_heartbeat beat = {.epoch = 1, .number = number, .time = time_of(1, number)};
    int status = muster_heartbeat_send(sender, &beat);
    if (status != EAGAIN) CHECK_STATUS(status, 0);
  }
  // The last one arrives, whatever was lost before.
  for (uint64_t number = count + 1; load(&of->at->got) < count; number++) {
    muster_heartbeat beat = {.epoch = 1, .number = number, .time = time_of(1, number)};
    int status = muster_heartbeat_send(sender, &beat);
    if (status != EAGAIN) CHECK_STATUS(status, 0);
    test_pause(1000000);
  }
  muster_heartbeat_sender_close(sender);
}

static void storm(muster_heartbeat_kind kind) {
  meeting *at = meet();
  pair of = {kind, at};
  limit_signals(1000);
  muster_heartbeat_listener *listener = listens(kind, at);
  pid_t child = test_fork(sends_many, &of);
  uint64_t got = 0, count = 60000 / test_slower();
  for (muster_deadline end = soon(); got < count && !passed(end);) store(&at->got, got = drain(listener, 1, got));
  test_join(child, 0);
  muster_heartbeat_counts counts;
  muster_heartbeat_count(listener, &counts);
  if (kind != MUSTER_HEARTBEAT_FILE) CHECK_EQUAL(counts.foreign, 0);
  closes(kind, listener, NULL);
}
EACH_KIND(storm)

TEST_SUITE(heartbeat_death, KINDS(killed_sender), KINDS(stopped_listener), KINDS(killed_listener), KINDS(left_name),
           KINDS(unreaped_listener), KINDS(killed_with_child), KINDS(late_beats), KINDS(storm));
