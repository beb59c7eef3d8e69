// Transactions: processes of a daemon that work on a snapshot of its state. What becomes of their changes is the arena's
// business (arena.h); here is who is forked, waited for, and killed.
//
// From log_begin to redo the state is read-only in the daemon, nobody else may write it, and the transaction has replaced it by a
// private mapping of the same file: so that mapping is a snapshot. The transaction can write the log, and the desk's note; control page
// and checkpoints it can't.
//
// A death of the daemon anywhere in here is the end of the transaction (PR_SET_PDEATHSIG, and the root's SIGKILL to the group),
// and the successor's redo brings in what was committed. The daemon does not let go of a transaction that it did not reap, so that
// there never is a second one beside it.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal/region_map.h"
#include "internal/root.h"

enum { TRIES = 3, SLICE = 1000000 };

// ---- In the transaction

static void leave_note(const muster_daemon *self, uint32_t kind, int value) {
  __atomic_store_n(&self->desk->note, (uint64_t)kind << 32 | (uint32_t)value, __ATOMIC_RELAXED);
}

// A daemon may have closed all that it did not open, and have opened a file since, which must not pass for the region's.
static int is_own_file(const muster_root *root, int descriptor) {
  struct stat file;
  return fstat(descriptor, &file) == 0 && file.st_dev == root->device && file.st_ino == root->inode;
}

static int isolate(const muster_daemon *self, muster_arena_log *log) {
  const muster_root *root = self->root;
  const root_place *place = &root->parts[self->index].place;
  int descriptor = muster_region_descriptor(root->region);
  if (!is_own_file(root, descriptor)) return EBADF;
  int status = muster_arena_log_open(self->arena, self->transaction.id, log);
  // First: the daemon's protection has made a mapping of the state alone, which is now replaced as a whole.
  if (!status) status = muster_arena_log_isolate(log, descriptor, place->state);
  if (status) return status;
  return mprotect(root->base + place->arena, place->state - place->arena, PROT_READ) ? errno : 0;
}

static int commit(const muster_daemon *self, muster_arena_log *log) {
  if (muster_deadline_passed(self->transaction.deadline)) {
    leave_note(self, ROOT_NOTE_LATE, 0);
    return ETIMEDOUT;
  }
  int status = muster_arena_log_changed(log);
  if (status) leave_note(self, status == ENOSPC ? ROOT_NOTE_TOO_LARGE : ROOT_NOTE_FAILED, status);
  return status ? status : muster_arena_log_commit(log);
}

__attribute__((noreturn)) static void transact(const muster_daemon *self) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != self->pid) _exit(1);
  muster_arena_log log;
  int status = isolate(self, &log);
  if (status) {
    leave_note(self, ROOT_NOTE_FAILED, status);
    _exit(1);
  }
  int value = self->transaction.body(self->arena->state, self->arena->size, self->transaction.context);
  if (value) leave_note(self, ROOT_NOTE_ABORTED, value);
  else status = commit(self, &log);
  _exit(value || status);
}

// ---- In the daemon

// The state, as the daemon may use it. On pages that were touched before it takes time by their number, but for huge ones.
static int open_state(const muster_daemon *self, int protection) {
  return mprotect(self->arena->state, self->arena->state_room, protection) ? errno : 0;
}

static pid_t reap(pid_t pid, int options, int *status, struct rusage *usage) {
  pid_t got;
  do got = wait4(pid, status, options, usage);
  while (got < 0 && errno == EINTR);
  return got;
}

// What log_begin began is over, though nobody has run.
static int take_back(muster_daemon *self, int status) {
  int over = muster_arena_log_decide(self->arena, self->transaction.id);
  (void)open_state(self, PROT_READ | PROT_WRITE);
  over = muster_arena_redo(self->arena);
  (void)over;  // nothing was committed, and the first error is the one to be told
  return status;
}

static int launch(muster_daemon *self) {
  root_transaction *transaction = &self->transaction;
  int status = muster_arena_log_begin(self->arena, &transaction->id);
  if (status) return status;
  __atomic_store_n(&self->desk->note, 0, __ATOMIC_RELAXED);
  status = open_state(self, PROT_READ);
  if (status) return take_back(self, status);
  pid_t pid = fork();
  if (pid == 0) transact(self);
  if (pid < 0) return take_back(self, errno);
  transaction->pid = pid;
  transaction->outcome.attempts++;
  __atomic_store_n(&self->desk->transaction, (uint32_t)pid, __ATOMIC_RELAXED);
  return 0;
}

int muster_daemon_begin(muster_daemon *self, muster_transaction_body body, void *context,
                        const muster_transaction_options *options) {
  if (muster_fork_inherited(&self->guard)) return EPERM;
  if (self->transaction.pid) return EBUSY;
  muster_transaction_options given = options ? *options : (muster_transaction_options){0};
  self->transaction = (root_transaction){
      .body = body,
      .context = context,
      .file = -1,
      .deadline = given.deadline ? given.deadline : MUSTER_DEADLINE_NEVER,
      .tries = given.tries ? given.tries : TRIES,
  };
  int saved = errno, status = launch(self);
  errno = saved;
  return status;
}

static void add_usage(muster_transaction_outcome *outcome, const struct rusage *usage) {
  outcome->user_ns += usage->ru_utime.tv_sec * INT64_C(1000000000) + usage->ru_utime.tv_usec * INT64_C(1000);
  outcome->system_ns += usage->ru_stime.tv_sec * INT64_C(1000000000) + usage->ru_stime.tv_usec * INT64_C(1000);
  if (usage->ru_maxrss > outcome->most_kib) outcome->most_kib = usage->ru_maxrss;
}

// How one ended that did not commit.
static void judge(const muster_daemon *self, int status, muster_transaction_outcome *outcome) {
  uint64_t note = __atomic_load_n(&self->desk->note, __ATOMIC_RELAXED);
  outcome->value = (int32_t)(uint32_t)note;
  outcome->signal = 0;
  if (self->transaction.late || note >> 32 == ROOT_NOTE_LATE) {
    outcome->how = MUSTER_TRANSACTION_LATE;
  } else if (note >> 32 == ROOT_NOTE_ABORTED) {
    outcome->how = MUSTER_TRANSACTION_ABORTED;
  } else if (note >> 32 == ROOT_NOTE_TOO_LARGE) {
    outcome->how = MUSTER_TRANSACTION_TOO_LARGE;
  } else if (note >> 32 == ROOT_NOTE_FAILED) {
    outcome->how = MUSTER_TRANSACTION_FAILED;
  } else {
    outcome->how = MUSTER_TRANSACTION_CRASHED;
    outcome->signal = WIFSIGNALED(status);
    outcome->value = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  }
}

static void count(const muster_daemon *self, muster_transaction_end how) {
  if (how == MUSTER_TRANSACTION_LATE) muster_arena_count(self->arena, MUSTER_ARENA_END_LATE);
  else if (how != MUSTER_TRANSACTION_CRASHED) muster_arena_count(self->arena, MUSTER_ARENA_END_ABORTED);
}

// Reaps it and sees what it left: 0, the outcome is told; EAGAIN: it crashed, and another attempt runs.
static int conclude(muster_daemon *self) {
  root_transaction *transaction = &self->transaction;
  struct rusage usage = {0};
  int ended = 0;
  (void)reap(transaction->pid, 0, &ended, &usage);
  if (transaction->file >= 0) close(transaction->file);
  transaction->file = -1;
  transaction->pid = 0;
  __atomic_store_n(&self->desk->transaction, 0, __ATOMIC_RELAXED);
  muster_transaction_outcome *outcome = &transaction->outcome;
  add_usage(outcome, &usage);
  int status = open_state(self, PROT_READ | PROT_WRITE);
  if (status) return status;
  status = muster_arena_redo(self->arena);
  if (status == EBADMSG) {
    int dropped = muster_arena_log_drop(self->arena);
    (void)dropped;
    return EBADMSG;
  }
  if (status == 0) {
    outcome->how = MUSTER_TRANSACTION_COMMITTED;
    outcome->value = outcome->signal = 0;
    return 0;
  }
  judge(self, ended, outcome);
  count(self, outcome->how);
  if (outcome->how != MUSTER_TRANSACTION_CRASHED || outcome->attempts >= transaction->tries) return 0;
  if (muster_deadline_passed(transaction->deadline)) return 0;
  status = launch(self);
  if (!status) return EAGAIN;
  outcome->how = MUSTER_TRANSACTION_FAILED;
  outcome->value = status;
  outcome->signal = 0;
  return 0;
}

// It shall end now. What it has committed stays committed.
static void call_off(muster_daemon *self) {
  root_transaction *transaction = &self->transaction;
  if (muster_arena_log_decide(self->arena, transaction->id) == 0) transaction->late = 1;
  (void)kill(transaction->pid, SIGKILL);
  transaction->deadline = MUSTER_DEADLINE_NEVER;
  transaction->tries = 0;
}

// Also where somebody else has reaped it: the kernel does, where SIGCHLD is ignored.
static int has_ended(pid_t pid) {
  siginfo_t info = {0};
  return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) ? errno == ECHILD : info.si_pid != 0;
}

// A sleep until it has ended (EALREADY) or that time (0); or ECANCELED, EINTR. Where no descriptor is to be had for it, in slices.
static int sleep_beside(muster_daemon *self, muster_deadline until) {
  root_transaction *transaction = &self->transaction;
  if (transaction->file < 0) transaction->file = (int)syscall(SYS_pidfd_open, transaction->pid, 0);
  if (transaction->file >= 0) return muster_root_wait(self, transaction->file, until);
  muster_deadline slice = muster_deadline_after(SLICE);
  int status = muster_root_wait(self, -1, slice < until ? slice : until);
  return has_ended(transaction->pid) ? EALREADY : status;
}

// The flag is up and stays so: the sleep is not to be ended by it again.
static int sleep_on(muster_daemon *self, muster_deadline until) {
  int catches = self->catches, status;
  self->catches = 0;
  status = sleep_beside(self, until);
  self->catches = catches;
  return status;
}

// Nothing else can come meanwhile, nor has to be done: to wait for it takes one call then.
static int may_block(const muster_daemon *self, muster_deadline until, int stops) {
  return until == MUSTER_DEADLINE_NEVER && !self->beat_every && !(stops && self->catches);
}

// Until it has ended, or the deadline; `stops`: or the daemon is to stop.
static int await(muster_daemon *self, muster_deadline deadline, int stops) {
  for (;;) {
    const root_transaction *transaction = &self->transaction;
    muster_deadline until = transaction->deadline < deadline ? transaction->deadline : deadline;
    int status = may_block(self, until, stops) ? EALREADY : sleep_beside(self, until);
    if (status == ECANCELED && !stops) status = sleep_on(self, until);
    if (status == EALREADY) {
      status = conclude(self);
      if (status != EAGAIN) return status;
    } else if (status == ECANCELED) {
      return status;
    } else if (muster_deadline_passed(transaction->deadline)) {
      call_off(self);
    } else if (status != EINTR && muster_deadline_passed(deadline)) {
      return ETIMEDOUT;
    }
  }
}

static int finish(muster_daemon *self, muster_deadline deadline, int stops, muster_transaction_outcome *outcome) {
  int saved = errno;
  int status = await(self, deadline, stops);
  errno = saved;
  if (outcome && status == 0) *outcome = self->transaction.outcome;
  return status;
}

int muster_daemon_finish(muster_daemon *self, muster_deadline deadline, muster_transaction_outcome *outcome) {
  if (muster_fork_inherited(&self->guard)) return EPERM;
  return self->transaction.pid ? finish(self, deadline, 1, outcome) : EINVAL;
}

int muster_daemon_cancel(muster_daemon *self, muster_transaction_outcome *outcome) {
  if (muster_fork_inherited(&self->guard)) return EPERM;
  if (!self->transaction.pid) return EINVAL;
  call_off(self);
  return finish(self, MUSTER_DEADLINE_NEVER, 0, outcome);
}

int muster_daemon_transact(muster_daemon *self, muster_transaction_body body, void *context,
                           const muster_transaction_options *options, muster_transaction_outcome *outcome) {
  int status = muster_daemon_begin(self, body, context, options);
  return status ? status : finish(self, MUSTER_DEADLINE_NEVER, 0, outcome);
}
