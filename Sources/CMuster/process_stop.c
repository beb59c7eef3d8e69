// Ending a process with all that it has started.
//
// Rounds: find who belongs to it, signal those who are new, sleep until those who are known have ended, find again. A round that finds
// nobody after all known ones have ended is the last: who was forked by one of them was there to be seen, or has a number that was given
// while the look went on, and is looked for by that.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>

#include "internal/caller.h"
#include "internal/process.h"
#include "internal/process_tree.h"

// How many are known by a pidfd at a time; and how long a sleep goes on at most before it is looked who is new.
enum { KNOWN = 256 };
#define LOOK_AGAIN INT64_C(100000000)

// Who is chased: by each number that was given since the last look, and by some below it: their forks may have been under way. How many may
// be given during one look; how often it is looked before all is begun anew.
enum { UNDER_WAY = 32, CHASED = 4096, CHASES = 256 };

// What SIGKILL is given where the caller gives it no time.
#define PATIENCE INT64_C(2000000000)

typedef struct stopping {
  muster_process *process;
  muster_process_stop_report *report;
  process_tree tree;
  int signal;         // of this phase
  uint32_t told;      // its mark
  int polite;
  uint32_t rounds;    // of this phase
  uint32_t living;    // that the round has found
  int32_t seen[MUSTER_PROCESS_LEFT_MAX];  // the first of them
  int error;          // why some could not be looked at
  int settled;        // nobody can have been overlooked
  int adopts;         // orphans become this process's children
  uint32_t count;
  process_known known[KNOWN];
} stopping;

static void send_signal(stopping *stop, process_known *one) {
  if (one->state & (stop->told | KNOWN_DEAD)) return;
  one->state |= stop->told;
  int error = muster_process_pidfd_signal(one->pidfd, stop->signal);
  if (error == EPERM) one->state |= KNOWN_REFUSED;
  if (error) return;
  if (stop->told == KNOWN_KILLED) stop->report->killed++;
  // So that who was stopped can act on it.
  if (stop->told == KNOWN_TOLD) muster_process_pidfd_signal(one->pidfd, SIGCONT);
}

// Opens who was found, and looks again: the number may have changed hands between the look and the opening.
static int meet(stopping *stop, const process_stat *stat, process_known *one) {
  process_stat again;
  *one = (process_known){.pid = stat->pid, .start = stat->start};
  one->pidfd = muster_above_stdio(muster_process_pidfd_open(stat->pid));
  if (one->pidfd < 0) {
    // Older kernels call it EINVAL, and newer ones ENOENT, if it was reaped while its number is still that of its group.
    if (errno != ESRCH && errno != EINVAL && errno != ENOENT) stop->error = errno;
    return 0;
  }
  if (muster_process_tree_member(&stop->tree, stat->pid, &again) && again.start == stat->start) return 1;
  close(one->pidfd);
  return 0;
}

static void forget(stopping *stop, uint32_t at) {
  if (!(stop->known[at].state & KNOWN_MAIN)) close(stop->known[at].pidfd);
  stop->known[at] = stop->known[--stop->count];
  stop->tree.known_count = stop->count;
}

// Room for one more: one that has ended, and would be reaped by whoever is its parent.
static int make_room(stopping *stop) {
  if (stop->count < KNOWN) return 1;
  for (uint32_t i = 0; i < stop->count; i++) {
    if ((stop->known[i].state & (KNOWN_DEAD | KNOWN_MAIN)) != KNOWN_DEAD) continue;
    forget(stop, i);
    return 1;
  }
  return 0;
}

// The process itself is always known, and by the caller's pidfd.
static void meet_main(stopping *stop) {
  const muster_process *process = stop->process;
  if (process->pidfd < 0) return;
  stop->known[0] = (process_known){.pid = process->pid, .pidfd = process->pidfd, .start = stop->tree.start, .state = KNOWN_MAIN};
  stop->count = stop->tree.known_count = 1;
  if (!muster_process_ended_by(process->pidfd, MUSTER_DEADLINE_NOW)) stop->report->found++;
}

static int is_met(const stopping *stop, const process_stat *stat) {
  for (uint32_t i = 0; i < stop->count; i++)
    if (stop->known[i].pid == stat->pid && stop->known[i].start == stat->start) return 1;
  return 0;
}

static void note_living(stopping *stop, int32_t pid) {
  if (stop->living < MUSTER_PROCESS_LEFT_MAX) stop->seen[stop->living] = pid;
  stop->living++;
}

// With more than are known at a time, the others are told in the first round; and killed in each, which does no harm.
static void keep(stopping *stop, process_known one) {
  if (make_room(stop)) {
    stop->report->found++;
    stop->known[stop->count++] = one;
    stop->tree.known_count = stop->count;
    return;
  }
  if (stop->rounds == 0 || stop->told == KNOWN_KILLED) send_signal(stop, &one);
  if (stop->rounds == 0) stop->report->found++;
  close(one.pidfd);
}

static void found(void *context, const process_stat *stat) {
  stopping *stop = context;
  process_known one;
  if (muster_process_stat_dead(stat)) return;
  note_living(stop, stat->pid);
  if (!is_met(stop, stat) && meet(stop, stat, &one)) keep(stop, one);
}

// Marks who has ended, and reaps who is ours: it may become so only when its parent has ended, too. Where this process inherits no
// orphans, whoever is its child was started by it and is somebody else's to wait for. Returns how many live.
static uint32_t bury(stopping *stop) {
  uint32_t living = 0;
  for (uint32_t i = stop->count; i-- > 0;) {
    process_known *one = &stop->known[i];
    if (!(one->state & KNOWN_DEAD)) {
      if (!muster_process_ended_by(one->pidfd, MUSTER_DEADLINE_NOW)) {
        living++;
        continue;
      }
      one->state |= KNOWN_DEAD;
    }
    muster_process_end end;
    if (one->state & KNOWN_MAIN || !stop->adopts || muster_process_reap(one->pidfd, WNOHANG, &end) || !end.kind) continue;
    stop->report->reaped++;
    forget(stop, i);
  }
  return living;
}

// Sleeps until one of the known has ended, or `until`.
static void sleep_by_known(const stopping *stop, muster_deadline until) {
  struct pollfd polled[KNOWN];
  uint32_t count = 0;
  for (uint32_t i = 0; i < stop->count; i++)
    if (!(stop->known[i].state & KNOWN_DEAD)) polled[count++] = (struct pollfd){.fd = stop->known[i].pidfd, .events = POLLIN};
  (void)muster_process_sleep_at(polled, count, until);
}

static void await_known(stopping *stop, muster_deadline deadline) {
  muster_deadline look = muster_deadline_after(LOOK_AGAIN);
  if (deadline < look) look = deadline;
  while (bury(stop) && !muster_deadline_passed(look)) sleep_by_known(stop, look);
}

// The number of the main process counts for its group only as long as it is not reaped, which others than we may do.
static void look_at_main(stopping *stop) {
  const muster_process *process = stop->process;
  if (process->pidfd >= 0 && muster_process_pidfd_signal(process->pidfd, 0) != ESRCH) return;
  stop->tree.group = stop->tree.session = 0;
}

// The group at once, after all that the look has found are known: whoever was forked meanwhile is in it, and nobody can be forked by
// one who is being killed.
static void tell(stopping *stop) {
  look_at_main(stop);
  if (stop->told == KNOWN_KILLED && stop->tree.group) kill(-stop->process->pid, SIGKILL);
  int first = stop->polite && stop->told == KNOWN_TOLD;
  for (uint32_t i = 0; i < stop->count; i++)
    if (!first || stop->known[i].state & KNOWN_MAIN) send_signal(stop, &stop->known[i]);
}

// Whoever has this number: pinned first, so that one look is enough, and signalled at once, before he forks again.
static void chase_one(stopping *stop, int32_t pid) {
  process_stat stat;
  if (pid <= 0 || (kill(pid, 0) && errno == ESRCH)) return;
  int pidfd = muster_above_stdio(muster_process_pidfd_open(pid)), error = pidfd < 0 ? errno : 0;
  int one_of_it = muster_process_tree_member(&stop->tree, pid, &stat) && !muster_process_stat_dead(&stat) && !is_met(stop, &stat);
  if (error == EMFILE || error == ENFILE || error == ENOMEM) {
    if (one_of_it) stop->error = error;
  } else if (!error && one_of_it && muster_process_pidfd_signal(pidfd, 0) != ESRCH) {
    process_known one = {.pid = pid, .pidfd = pidfd, .start = stat.start};
    note_living(stop, pid);
    if (stop->told == KNOWN_KILLED || !stop->polite) send_signal(stop, &one);
    keep(stop, one);
    return;
  }
  muster_process_drop(&pidfd);
}

// Numbers are given in order. So one who lives now and was not there to be seen when /proc was read has a number that was given since, as
// have those who have forked him. They are looked at by it, the newest first, until none was given during two looks in a row: one that was
// given, but could not be seen in the second look, would be of a fork under way all through the first, and who forks was to be seen there.
static int chase(stopping *stop, int32_t last) {
  for (int turn = 0, still = 0; turn < CHASES; turn++) {
    int32_t now = muster_process_last_number();
    still = now == last ? still + 1 : 0;
    if (still == 3) return 1;
    // They have begun from below again, or are too many: /proc has them all.
    if (now < last || now - last > CHASED) return 0;
    for (int32_t pid = now; pid > last - UNDER_WAY; pid--) chase_one(stop, pid);
    last = now;
  }
  return 0;
}

static int find(stopping *stop) {
  int32_t last = muster_process_last_number();
  stop->living = 0;
  stop->error = 0;
  look_at_main(stop);
  int error = muster_process_tree_scan(&stop->tree, found, stop);
  if (error || stop->error) return error ? error : stop->error;
  // Where the kernel doesn't tell the number, as good as the look.
  stop->settled = stop->living || !last || chase(stop, last);
  return stop->error;
}

// One phase: who is found is sent the signal once. Returns 0 when nobody is left, ETIMEDOUT, or why none could be looked for.
static int phase(stopping *stop, int signal, uint32_t told, muster_deadline deadline) {
  stop->signal = signal;
  stop->told = told;
  for (stop->rounds = 0;; stop->rounds++) {
    int error = find(stop);
    tell(stop);
    // That others can't be looked for does not cut the grace of those who are known.
    if (error && stop->rounds && (told == KNOWN_KILLED || !bury(stop))) return error;
    if (!error && !stop->living && stop->settled && !bury(stop)) return 0;
    if (muster_deadline_passed(deadline)) return error ? error : ETIMEDOUT;
    await_known(stop, deadline);
  }
}

// At once, and without a descriptor: all of the group, of which nobody can be forked meanwhile. The main process is pinned by not being
// reaped, or has ended: then the group is not known by its number any more.
static void kill_group(stopping *stop) {
  look_at_main(stop);
  if (stop->tree.group) kill(-stop->process->pid, SIGKILL);
  if (stop->process->pidfd >= 0) muster_process_pidfd_signal(stop->process->pidfd, SIGKILL);
}

static int kill_all(stopping *stop, muster_deadline deadline) {
  muster_process *process = stop->process;
  if (process->cgroup >= 0 && !muster_process_cgroup_kill(process->cgroup)) {
    stop->report->cgroup = 1;
    stop->report->killed++;
    if (muster_process_cgroup_empty_by(process->cgroup, deadline)) {
      // Others it may have moved out of it, or made by a service: whoever is left is found as without one.
      return phase(stop, SIGKILL, KNOWN_KILLED, deadline);
    }
    return ETIMEDOUT;
  }
  int error = phase(stop, SIGKILL, KNOWN_KILLED, deadline);
  if (error && error != ETIMEDOUT) {
    kill_group(stop);
    await_known(stop, deadline);
  }
  return error;
}

static void note_one(muster_process_stop_report *report, int32_t pid) {
  for (uint32_t k = 0; k < report->left && k < MUSTER_PROCESS_LEFT_MAX; k++)
    if (report->pids[k] == pid) return;
  if (report->left < MUSTER_PROCESS_LEFT_MAX) report->pids[report->left] = pid;
  report->left++;
}

// Those whom a last look has found, if there was one: who forks and ends faster than he is met is known to nobody.
static void note_left(stopping *stop, int looked) {
  muster_process_stop_report *report = stop->report;
  if (report->cgroup) report->left = muster_process_cgroup_members(stop->process->cgroup, report->pids, MUSTER_PROCESS_LEFT_MAX);
  if (looked) {
    for (uint32_t i = 0; i < stop->living && i < MUSTER_PROCESS_LEFT_MAX; i++) note_one(report, stop->seen[i]);
    if (report->left < stop->living) report->left = stop->living;
  }
  // With more than are named it is not known who of them is among those.
  for (uint32_t i = 0; i < stop->count && (!looked || report->left < MUSTER_PROCESS_LEFT_MAX); i++)
    if (!(stop->known[i].state & KNOWN_DEAD)) note_one(report, stop->known[i].pid);
}

static int inherits_orphans(void) {
  int on = 0;
  return getpid() == 1 || (!prctl(PR_GET_CHILD_SUBREAPER, &on, 0UL, 0UL, 0UL) && on);
}

int muster_process_end_tree(muster_process *process, const muster_process_stop_options *options, muster_process_stop_report *report) {
  stopping stop;
  muster_deadline deadline = options->deadline, least = options->grace;
  memset(report, 0, sizeof *report);
  memset(&stop, 0, offsetof(stopping, known));
  stop.process = process;
  stop.report = report;
  stop.adopts = inherits_orphans();
  stop.polite = (options->flags & MUSTER_PROCESS_STOP_FIRST) != 0;
  muster_process_tree_of(process, &stop.tree);
  stop.tree.known = stop.known;
  meet_main(&stop);
  if (least < muster_clock_now()) least = muster_clock_now();
  if (deadline < least) deadline = least > MUSTER_DEADLINE_NEVER - PATIENCE ? MUSTER_DEADLINE_NEVER : least + PATIENCE;
  int error = ETIMEDOUT;
  if (!muster_deadline_passed(options->grace)) error = phase(&stop, options->signal ? options->signal : SIGTERM, KNOWN_TOLD, options->grace);
  if (error) error = kill_all(&stop, deadline);
  int late = error == ETIMEDOUT;
  if (late) error = find(&stop);
  bury(&stop);
  note_left(&stop, late && !error);
  late = late && !stop.settled;
  for (uint32_t i = stop.count; i-- > 0;) forget(&stop, i);
  return (report->left || late) && !error ? EBUSY : error;
}

int muster_process_stop(muster_process *process, const muster_process_stop_options *options, muster_process_stop_report *report) {
  muster_process_stop_report unseen;
  if ((process->pid <= 0 && !process->tree) || (process->pidfd < 0 && !process->end.kind)) return EINVAL;
  if (options->signal < 0 || options->signal > 64) return EINVAL;
  muster_caller came = muster_enter();
  int error = muster_process_end_tree(process, options, report ? report : &unseen);
  // Last, as its number stood for its group.
  if (muster_process_poll(process, NULL) && !error) error = EBUSY;
  if (!error) muster_process_cgroup_remove(&process->cgroup, process->tree);
  muster_leave(came);
  return error;
}

int muster_process_become_subreaper(void) {
  muster_caller came = muster_enter();
  int error = prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL) ? errno : 0;
  muster_leave(came);
  return error;
}
