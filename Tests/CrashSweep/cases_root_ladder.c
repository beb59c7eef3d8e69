// The ladder, as the root keeps it: it is stopped, or dies, while it counts an attempt, starts a daemon, sees to a death, or lets the
// count fall back. What is told of the daemon is what was or what will be, no attempt is made that was not told, and no rung is
// skipped. When the root is dead so are its daemons, and the next one of its name starts, from the foot, and ends.
//
// The operator is the root. Each rung has two attempts: as declared, checkpoint 3, checkpoint 2, zeros; then it is given up.
// SPDX-License-Identifier: Apache-2.0
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "root_world.h"

enum { TRIES = 2, ATTEMPTS_MOST = 8 };

// A variant is how many attempts were made before, and what is done now: the next start, also where no process is to be had; what is
// to be done at a death, which puts the next start off, or makes it at once, as it does when the dead one had lived for its stable
// time; what is to be done when a living one has.
enum { START = 0x100, NO_PROCESS = 0x200, END = 0x300, END_AND_START = 0x400, LATE_END = 0x500, STABLE = 0x600, WHAT = 0xff00 };

static uint32_t made_before(void) { return sweep->variant & 0xff; }
static uint32_t what(void) { return sweep->variant & WHAT; }
static int sees_a_death(void) { return what() == END || what() == END_AND_START || what() == LATE_END; }
static int starts_one(void) { return what() == START || what() == END_AND_START || what() == LATE_END; }

// What the daemons tell: how each of them was started.
typedef struct board {
  uint32_t there;  // the last that came to its `run`
  muster_daemon_start how[ATTEMPTS_MOST + 2];
} board;

static board *told(void) { return (board *)(void *)sweep->arena; }

// Where the daemon stands, as the root tells it.
typedef struct stand {
  uint64_t starts, checkpoint;
  muster_daemon_rung rung;
  uint32_t attempts;
} stand;

// On a rung, after so many attempts there.
static stand on(uint32_t step, uint32_t attempts, uint64_t starts) {
  static const struct {
    muster_daemon_rung rung;
    uint64_t checkpoint;
  } steps[] = {{MUSTER_DAEMON_AS_DECLARED, 0}, {MUSTER_DAEMON_CHECKPOINTS, SAVED}, {MUSTER_DAEMON_CHECKPOINTS, SAVED - 1},
               {MUSTER_DAEMON_ZEROED, 0},      {MUSTER_DAEMON_GIVEN_UP, 0}};
  return (stand){starts, steps[step].checkpoint, steps[step].rung, attempts};
}

// While the attempt of that number lives; and when it has died.
static stand living(uint32_t attempt) {
  if (what() == LATE_END && attempt > made_before()) return on(0, 1, attempt);
  return on((attempt - 1) / TRIES, (attempt - 1) % TRIES + 1, attempt);
}
static stand after(uint32_t attempt) { return on(attempt / TRIES, attempt % TRIES, attempt); }

static int is_at(const muster_daemon_status *status, stand at) {
  return status->starts == at.starts && status->rung == at.rung && status->attempts == at.attempts &&
         status->checkpoint == at.checkpoint;
}

// ---- The daemon

// The first one saves what the ladder is about.
static int daemon_runs(muster_daemon *self, void *context) {
  (void)context;
  const muster_daemon_start *how = muster_daemon_how(self);
  if (how->starts == 1) {
    for (uint64_t number = 1; number <= SAVED; number++) {
      change_to(self->arena, number);
      SWEEP_STATUS(muster_daemon_save(self), 0);
    }
  }
  told()->how[how->starts] = *how;
  __atomic_store_n(&told()->there, (uint32_t)how->starts, __ATOMIC_RELEASE);
  // All die but the one that the operation starts, or is about.
  uint32_t lives = starts_one() ? made_before() + 1 : what() == STABLE ? made_before() : 0;
  while (how->starts == lives) muster_daemon_pause(self, MUSTER_DEADLINE_NEVER);
  return 3;
}

static int successor_runs(muster_daemon *self, void *context) {
  (void)context;
  const muster_daemon_start *how = muster_daemon_how(self);
  SWEEP_EQUAL(how->starts, 1);
  SWEEP_EQUAL(how->rung, MUSTER_DAEMON_AS_DECLARED);
  SWEEP_EQUAL(how->attempts, 1);
  SWEEP_EQUAL(read_it(self->arena), 0);
  return 0;
}

// ---- The root

static siginfo_t dead;

// No process is to be had from here on.
static void forbid_fork(void) {
  const uint32_t calls[] = {
#if defined(SYS_fork)
      SYS_fork, SYS_vfork,
#endif
      SYS_clone, SYS_clone3};
  enum { CALLS = sizeof calls / sizeof *calls };
  struct sock_filter rules[2 * CALLS + 2] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  size_t count = 1;
  for (size_t k = 0; k < CALLS; k++) {
    rules[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[k], 0, 1);
    rules[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN);
  }
  rules[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {.len = (unsigned short)count, .filter = rules};
  SWEEP_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  SWEEP_EQUAL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void prepare_root(void) {
  muster_daemon_spec spec = spec_of(daemon_runs, SMALL);
  spec.tries = TRIES;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  SWEEP_STATUS(start_root(&spec, &made), 0);
  uint32_t there = sees_a_death() || what() == STABLE;
  for (uint32_t k = there; k < made_before(); k++) live_once(made);
  if (there) muster_root_start_daemon(made, 0);
  if (sees_a_death()) dead = await_death(made);
  // Whether one took more memory than the one before it is chance.
  made->daemons[0].facts.most_kib = 0;
  if (what() == END_AND_START) made->daemons[0].ladder.streak = 0;
  if (what() == LATE_END) made->daemons[0].policy.stable = 1;
  if (what() == NO_PROCESS) forbid_fork();
}

static int operate(void) {
  switch (what()) {
    case START:
    case NO_PROCESS: muster_root_start_daemon(made, 0); break;
    case STABLE: muster_root_reset_ladder(made, 0); break;
    default: muster_root_child_died(made, &dead); break;
  }
  return 0;
}

static void finish(void) {
  if (made->pids[0]) {
    kill(made->pids[0], SIGKILL);
    (void)await_death(made);
  }
  muster_root_close(made);
}

// ---- What is told of it

static stand begins(void) { return what() == START || what() == NO_PROCESS ? after(made_before()) : living(made_before()); }

static stand ends(void) {
  if (starts_one()) return living(made_before() + 1);
  return what() == STABLE ? on(0, 0, made_before()) : after(made_before());
}

// Between the two. An attempt that can't be made is counted all the same, until that is known; a death is seen to before a start is.
static int is_between(const muster_daemon_status *status) {
  switch (what()) {
    case NO_PROCESS: return is_at(status, living(made_before() + 1));
    case END_AND_START: return is_at(status, after(made_before()));
    case LATE_END: return is_at(status, on(0, 0, made_before()));
    default: return 0;
  }
}

static int has_ended(const muster_daemon_status *status) {
  if (!is_at(status, ends())) return 0;
  if (what() == NO_PROCESS) return status->fork_error == EAGAIN;
  if (what() == STABLE || starts_one()) return status->phase == MUSTER_DAEMON_RUNNING;
  return status->phase == (status->rung == MUSTER_DAEMON_GIVEN_UP ? MUSTER_DAEMON_ABANDONED : MUSTER_DAEMON_WAITING);
}

// Never waits. A daemon that came to its `run` finds itself told of.
static int look(void) {
  uint32_t came = __atomic_load_n(&told()->there, __ATOMIC_ACQUIRE);
  muster_root_view *view = look_at_root();
  muster_daemon_status status = status_of(view);
  SWEEP_CHECK(is_at(&status, begins()) || is_at(&status, ends()) || is_between(&status));
  SWEEP_CHECK(came <= status.starts);
  for (uint32_t k = 1; k <= came; k++) {
    const muster_daemon_start *how = &told()->how[k];
    stand at = living(k);
    SWEEP_CHECK(how->starts == k && how->rung == at.rung && how->attempts == at.attempts);
    if (at.checkpoint) SWEEP_EQUAL(how->checkpoint, at.checkpoint);
  }
  unsigned char bytes[SMALL];
  int read = muster_root_view_read(view, 0, 0, bytes, sizeof bytes);
  if (read) SWEEP_STATUS(read, EAGAIN);
  else SWEEP_CHECK(number_of(bytes, sizeof bytes) <= SAVED);
  int ended = has_ended(&status);
  muster_root_view_close(view);
  return ended;
}

static int looks_on(int number) {
  (void)number;
  (void)look();
  return 0;
}

static void setup(void) {}

static void meanwhile(void) {
  (void)look();
  sweep_newcomer(looks_on, 0);
}

static int succeeds_root(int number) {
  (void)number;
  muster_daemon_spec spec = spec_of(successor_runs, SMALL);
  spec.restart = MUSTER_DAEMON_ON_FAILURE;
  SWEEP_STATUS(start_root(&spec, &made), 0);
  SWEEP_STATUS(muster_root_run(made), 0);
  muster_root_close(made);
  return 0;
}

static void check(void) {
  int ended = look();
  if (sweep->returned) SWEEP_CHECK(ended);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  else sweep_found(ended ? SWEEP_AFTER : SWEEP_BEFORE);
  sweep_newcomer(succeeds_root, 0);
}

#define CASE(text, least, of, forks)                                                                             \
  {.name = "root." text, .minimum = least, .variant = of, .setup = setup, .prepare = prepare_root, .operate = operate, \
   .meanwhile = meanwhile, .finish = finish, .check = check, .children = forks}

SWEEP_SUITE(root_ladder, CASE("try-first", 300, START | 0, 1), CASE("try-again", 300, START | 1, 1),
            CASE("try-a-checkpoint", 300, START | 2, 1), CASE("try-without-a-process", 300, NO_PROCESS | 2, 1),
            CASE("end-and-stay", 300, END | 1, 0), CASE("end-to-a-checkpoint", 300, END | 2, 0),
            CASE("end-to-an-older", 300, END | 4, 0), CASE("end-to-zeros", 300, END | 6, 0),
            CASE("end-and-give-up", 300, END | 8, 0), CASE("end-after-the-stable-time", 300, LATE_END | 3, 1),
            CASE("end-and-try-again", 300, END_AND_START | 2, 1), CASE("stable", 100, STABLE | 3, 0));
