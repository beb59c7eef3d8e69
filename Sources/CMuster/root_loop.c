// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "internal/root.h"
#include "muster/process.h"

// ---- Before and after

// The kernel says so itself (unshare(2): CLONE_THREAD has no effect but to fail where there are other threads), unless a
// sandbox keeps it from being asked; then /proc does. Where neither may be asked, nothing is known to be wrong.
static int looks_alone(void) {
  if (unshare(CLONE_THREAD) == 0) return 1;
  if (errno == EINVAL) return 0;
  struct stat tasks;
  return stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink <= 3;
}

// A thread that was joined is one of the process's for a moment still: pthread_join(3) returns before the kernel has put it away.
static int is_alone(void) {
  muster_deadline end = muster_deadline_after(MUSTER_PROCESS_THREADS_PATIENCE);
  while (!looks_alone()) {
    if (muster_deadline_passed(end)) return 0;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return 1;
}

// Blocked it would be there to be waited for all the same.
static void heed_unless_ignored(muster_root *root, int number) {
  struct sigaction found;
  int ignored = sigaction(number, NULL, &found) == 0 && found.sa_handler == SIG_IGN;
  sigaddset(ignored ? &root->ignored : &root->signals, number);
}

static void enter(muster_root *root) {
  sigemptyset(&root->signals);
  sigemptyset(&root->ignored);
  sigaddset(&root->signals, SIGCHLD);
  sigaddset(&root->signals, SIGTERM);
  heed_unless_ignored(root, SIGINT);
  heed_unless_ignored(root, SIGHUP);
  sigprocmask(SIG_BLOCK, &root->signals, &root->mask_before);
  // Not ignored, or children would leave nothing to be waited for; and not for those that merely stop.
  struct sigaction plain = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP};
  sigemptyset(&plain.sa_mask);
  sigaction(SIGCHLD, &plain, &root->child_before);
  prctl(PR_GET_CHILD_SUBREAPER, &root->subreaper_before);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void leave(muster_root *root) {
  // What asked to stop has been answered.
  const struct timespec none = {0, 0};
  while (sigtimedwait(&root->signals, NULL, &none) > 0) {
  }
  prctl(PR_SET_CHILD_SUBREAPER, root->subreaper_before);
  sigaction(SIGCHLD, &root->child_before, NULL);
  sigprocmask(SIG_SETMASK, &root->mask_before, NULL);
}

// ---- Deaths

// Looks for dead children until there is none, but does not go on for ever where daemons die as fast as they are started: the
// root has other things to do. The first that a signal names is started again before the kernel has to look through all.
static void look_for_dead(muster_root *root, pid_t hint) {
  siginfo_t info = {0};
  if (hint > 0 && muster_root_index_of(root, hint) != UINT32_MAX &&
      waitid(P_PID, (id_t)hint, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == hint)
    muster_root_child_died(root, &info);
  root->more = 1;
  for (uint32_t turn = 0; turn < root->count + 64; turn++) {
    info.si_pid = 0;
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == 0) {
      root->more = 0;
      break;
    }
    muster_root_child_died(root, &info);
  }
  if (root->draining) muster_root_drain(root);
}

// ---- Heartbeats

// At most one look in the shortest time that any heartbeat has.
void muster_root_expect_beat(muster_root *root, muster_deadline by) {
  muster_deadline soonest = root_later(root->looked_at, root->shortest);
  if (by < soonest) by = soonest;
  if (by < root->look_at) root->look_at = by;
}

// A time that is not there yet was not stored by a beat: a stray store shall not keep a daemon that hangs.
static muster_deadline last_beat(const muster_root *root, uint32_t index, muster_deadline now) {
  muster_arena_info info;
  muster_arena_info_of(&root->parts[index].arena, &info);
  muster_deadline started = (muster_deadline)root->daemons[index].facts.started_at;
  if (info.beat < started || (info.beat > now && info.beat > muster_clock_now())) return started;
  return info.beat < now ? info.beat : now;
}

static void look_at_beat(muster_root *root, uint32_t index, muster_deadline now) {
  const root_daemon *daemon = &root->daemons[index];
  int64_t heartbeat = root->parts[index].spec.heartbeat;
  if (!heartbeat || daemon->facts.phase != MUSTER_DAEMON_RUNNING) return;
  muster_deadline beat = last_beat(root, index, now), started = (muster_deadline)daemon->facts.started_at;
  int unsteady = daemon->ladder.rung != MUSTER_DAEMON_AS_DECLARED || daemon->ladder.streak;
  if (unsteady && beat - started >= daemon->policy.stable) muster_root_reset_ladder(root, index);
  if (beat < root->floor) beat = root->floor;
  if (now - beat >= heartbeat) muster_root_kill_hung(root, index);
  else muster_root_expect_beat(root, root_later(beat, heartbeat));
}

// If the root comes late it was stopped itself, and with it perhaps everyone: all get their time anew. But not twice in a row,
// lest a machine that is always late keep what hangs.
static void look_at_beats(muster_root *root, muster_deadline now) {
  int late = now - root->look_at >= root->shortest / 2;
  root->forgave = late && !root->forgave;
  if (root->forgave) root->floor = now;
  root->looked_at = now;
  root->look_at = MUSTER_DEADLINE_NEVER;
  for (uint32_t k = 0; k < root->count; k++) look_at_beat(root, k, now);
}

// ---- The end

// Who is stopped (SIGSTOP, or SIGTTIN: it is in the background of its terminal) does not see the signal before it goes on; and one that
// waits for its transaction waits for that to go on.
static void ask_to_stop(pid_t pid, int signal) {
  (void)kill(pid, signal);
  (void)kill(-pid, SIGCONT);
  (void)kill(pid, SIGCONT);
}

// The root stops its daemons from the last to the first: each is gone before the one before it is asked.
static void stop_next(muster_root *root, muster_deadline now) {
  for (; root->stop_next > 0; root->stop_next--) {
    uint32_t index = root->stop_next - 1;
    const muster_daemon_spec *spec = &root->parts[index].spec;
    muster_daemon_phase phase = (muster_daemon_phase)root->daemons[index].facts.phase;
    if (phase == MUSTER_DAEMON_RUNNING) {
      root->daemons[index].facts.phase = MUSTER_DAEMON_STOPPING;
      root->due[index] = root->hurry ? now : root_later(now, spec->stop_grace);
      muster_root_publish(root, index);
      if (spec->stop_grace) ask_to_stop(root->pids[index], spec->stop_signal);
      return;
    }
    if (phase != MUSTER_DAEMON_ENDED && phase != MUSTER_DAEMON_ABANDONED) return;
  }
}

static void end_waiting(muster_root *root) {
  for (uint32_t k = 0; k < root->count; k++) {
    if (root->daemons[k].facts.phase != MUSTER_DAEMON_WAITING) continue;
    root->daemons[k].facts.phase = MUSTER_DAEMON_ENDED;
    root->daemons[k].facts.next_start = 0;
    root->due[k] = MUSTER_DEADLINE_NEVER;
    root->unsettled--;
    muster_root_publish(root, k);
  }
}

void muster_root_begin_stop(muster_root *root) {
  if (root->stopping) return;
  root->stopping = 1;
  root->words.stopping = 1;
  root->stop_next = root->count;
  muster_root_publish_self(root);
  end_waiting(root);
}

// A second request: no more patience.
static void hurry(muster_root *root, muster_deadline now) {
  root->hurry = 1;
  for (uint32_t k = 0; k < root->count; k++)
    if (root->daemons[k].facts.phase == MUSTER_DAEMON_STOPPING) root->due[k] = now;
}

void muster_root_stop(muster_root *root) { root->asked = 1; }

// ---- The loop

static void is_due(muster_root *root, uint32_t index) {
  root->due[index] = MUSTER_DEADLINE_NEVER;
  switch ((muster_daemon_phase)root->daemons[index].facts.phase) {
    case MUSTER_DAEMON_WAITING: muster_root_start_daemon(root, index); break;
    case MUSTER_DAEMON_RUNNING: muster_root_reset_ladder(root, index); break;
    case MUSTER_DAEMON_STOPPING: muster_root_kill(root, index); break;
    default: break;
  }
}

// Does what is due, and says when there is something next.
static muster_deadline look_at_times(muster_root *root) {
  muster_deadline now = muster_clock_now(), next = MUSTER_DEADLINE_NEVER;
  if (root->asked) muster_root_begin_stop(root);
  if (root->stopping) stop_next(root, now);
  if (now >= root->look_at) look_at_beats(root, now);
  for (uint32_t k = 0; k < root->count; k++)
    if (root->due[k] <= now) is_due(root, k);
  for (uint32_t k = 0; k < root->count; k++)
    if (root->due[k] < next) next = root->due[k];
  if (root->look_at < next) next = root->look_at;
  return root->asked != root->stopping ? now : next;
}

static void heed(muster_root *root, int signal, const siginfo_t *info) {
  if (signal == SIGHUP && !(root->options.flags & MUSTER_ROOT_END_AT_HANGUP)) return;
  if (signal == SIGCHLD || root->more) look_for_dead(root, signal == SIGCHLD ? info->si_pid : 0);
  if (signal <= 0 || signal == SIGCHLD) return;
  if (root->stopping) hurry(root, muster_clock_now());
  root->asked = 1;
}

static void sleep_until(muster_root *root, muster_deadline next) {
  int64_t rest = root->more ? 0 : INT64_MAX;
  if (!root->more && next != MUSTER_DEADLINE_NEVER) {
    rest = next - muster_clock_now();
    if (rest < 0) rest = 0;
  }
  struct timespec timeout = {(time_t)(rest / 1000000000), (long)(rest % 1000000000)};
  siginfo_t info = {0};
  int signal = sigtimedwait(&root->signals, &info, rest == INT64_MAX ? NULL : &timeout);
  root->words.wakes++;
  heed(root, signal, &info);
}

static void run(muster_root *root) {
  root->unsettled = root->count;
  root->look_at = MUSTER_DEADLINE_NEVER;
  // No daemon was looked at, so none has to wait for its first look.
  muster_deadline now = muster_clock_now();
  root->looked_at = now > root->shortest ? now - root->shortest : 0;
  while (root->unsettled) {
    muster_deadline next = look_at_times(root);
    muster_root_publish_self(root);
    if (root->unsettled) sleep_until(root, next);
  }
  muster_root_publish_self(root);
}

int muster_root_run(muster_root *root) {
  if (muster_fork_inherited(&root->guard)) return EPERM;
  if (root->ran) return EALREADY;
  int saved = errno, alone = is_alone();
  errno = saved;
  if (!alone) return EBUSY;
  root->ran = 1;
  enter(root);
  muster_root_rehearse(root);
  run(root);
  leave(root);
  errno = saved;
  if (!root->stopping && root->words.abandoned) return ENOTRECOVERABLE;
  return root->result;
}
