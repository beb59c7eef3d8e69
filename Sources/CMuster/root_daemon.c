// One daemon, seen from the root: how it is started, and what is done at its death before it is started again.
//
//   WAITING --fork--> RUNNING --beat missed--> KILLING
//      ^                 \-------dead-----v-----/
//      |                              DRAINING          its group is not gone yet
//      +-----again, now or later----------+----for good--> ENDED, ABANDONED
//
// While the root ends, RUNNING becomes STOPPING, and every death is for good.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal/root.h"

#define FORK_DELAY_FIRST INT64_C(10000000)
#define FORK_DELAY_MOST INT64_C(1000000000)

// ---- Telling

void muster_root_publish(muster_root *root, uint32_t index) {
  const root_facts *facts = &root->daemons[index].facts;
  muster_root_row_write(root_row_of(root, index), (const uint64_t *)(const void *)facts,
                        sizeof *facts / sizeof(uint64_t));
}

void muster_root_publish_self(muster_root *root) {
  root_row *row = (root_row *)(void *)(root->rows + ROOT_OWN_ROW_OFFSET);
  muster_root_row_write(row, (const uint64_t *)(const void *)&root->words, sizeof root->words / sizeof(uint64_t));
}

static void tell(muster_root *root, muster_root_event_kind kind, uint32_t index) {
  if (!root->options.tell) return;
  muster_daemon_status status;
  const root_slot *slot = root_slot_of(root, index);
  if (muster_root_status_of(slot, root_desk_of(root, index), &root->parts[index].arena, &status)) return;
  root->options.tell(root, kind, index, &status, root->options.context);
}

static void enter_phase(muster_root *root, uint32_t index, muster_daemon_phase phase, muster_deadline due) {
  root->daemons[index].facts.phase = phase;
  root->due[index] = due;
  muster_root_publish(root, index);
}

uint32_t muster_root_index_of(const muster_root *root, pid_t pid) {
  for (uint32_t k = 0; k < root->count; k++)
    if (root->pids[k] == pid) return k;
  return UINT32_MAX;
}

// ---- Starting

static void checkpoints_of(const muster_root *root, uint32_t index, root_checkpoints *there) {
  there->count = 0;
  if (!root->parts[index].spec.checkpoints) return;
  muster_arena_checkpoint kept[MUSTER_ARENA_CHECKPOINTS_MAX];
  uint32_t count = 0;
  if (muster_arena_checkpoints(&root->parts[index].arena, 0, kept, MUSTER_ARENA_CHECKPOINTS_MAX, &count)) return;
  if (count > MUSTER_ARENA_CHECKPOINTS_MAX) count = MUSTER_ARENA_CHECKPOINTS_MAX;
  for (uint32_t k = 0; k < count; k++) there->numbers[k] = kept[k].number;
  there->count = count;
}

static void copy_ladder(root_daemon *daemon) {
  daemon->facts.rung = daemon->ladder.rung;
  daemon->facts.attempts = daemon->ladder.attempts;
  daemon->facts.checkpoint = daemon->ladder.rung == MUSTER_DAEMON_CHECKPOINTS ? daemon->ladder.checkpoint : 0;
}

// Its state is not to blame: the attempt does not count.
static void not_forked(muster_root *root, uint32_t index, int error) {
  root_daemon *daemon = &root->daemons[index];
  muster_root_ladder_untry(&daemon->ladder);
  copy_ladder(daemon);
  daemon->facts.starts--;
  daemon->facts.fork_error = (uint64_t)error;
  daemon->fork_delay = daemon->fork_delay ? daemon->fork_delay * 2 : FORK_DELAY_FIRST;
  if (daemon->fork_delay > FORK_DELAY_MOST) daemon->fork_delay = FORK_DELAY_MOST;
  muster_deadline next = muster_deadline_after(daemon->fork_delay);
  daemon->facts.next_start = (uint64_t)next;
  enter_phase(root, index, MUSTER_DAEMON_WAITING, next);
  tell(root, MUSTER_ROOT_NOT_FORKED, index);
}

// When its stable time is to be looked for: of one with a heartbeat, that is done with the beats.
static muster_deadline stable_at(const muster_root *root, uint32_t index, muster_deadline now) {
  const root_daemon *daemon = &root->daemons[index];
  const root_ladder *ladder = &daemon->ladder;
  if (root->parts[index].spec.heartbeat || (ladder->rung == MUSTER_DAEMON_AS_DECLARED && !ladder->streak)) return MUSTER_DEADLINE_NEVER;
  return root_later(now, daemon->policy.stable);
}

static void forked(muster_root *root, uint32_t index, pid_t pid, muster_deadline now) {
  root_daemon *daemon = &root->daemons[index];
  // The child does so, too: whoever comes first. Its group is there before anything can be sent to it.
  (void)setpgid(pid, pid);
  root->pids[index] = pid;
  root->words.running++;
  root->words.starts++;
  daemon->facts.pid = (uint64_t)pid;
  daemon->facts.fork_error = 0;
  daemon->fork_delay = 0;
  daemon->hung = 0;
  enter_phase(root, index, MUSTER_DAEMON_RUNNING, stable_at(root, index, now));
  int64_t heartbeat = root->parts[index].spec.heartbeat;
  if (heartbeat) muster_root_expect_beat(root, root_later(now, heartbeat));
  tell(root, MUSTER_ROOT_STARTED, index);
}

// What the child is to know of all this, which it does not have.
static void introduce(muster_root *root, uint32_t index) {
  const root_daemon *daemon = &root->daemons[index];
  root->self.index = index;
  root->self.how = (muster_daemon_start){.starts = daemon->facts.starts, .rung = daemon->ladder.rung,
                                         .attempts = daemon->ladder.attempts, .checkpoint = daemon->facts.checkpoint,
                                         .death = daemon->death};
}

// The child has the program's signal handlers until it has put its own in order: what asks it to stop has to wait so long.
static pid_t fork_daemon(muster_root *root, uint32_t index) {
  int number = root->parts[index].spec.stop_signal, error, waits = sigismember(&root->signals, number) == 1;
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, number);
  if (!waits) sigprocmask(SIG_BLOCK, &stop, NULL);
  introduce(root, index);
  pid_t pid = fork();
  if (pid == 0) muster_root_child_main(root);
  error = errno;
  if (!waits && sigismember(&root->mask_before, number) != 1) sigprocmask(SIG_UNBLOCK, &stop, NULL);
  errno = error;
  return pid;
}

void muster_root_start_daemon(muster_root *root, uint32_t index) {
  root_daemon *daemon = &root->daemons[index];
  root_checkpoints there;
  checkpoints_of(root, index, &there);
  muster_root_ladder_try(&daemon->policy, &daemon->ladder, &there);
  copy_ladder(daemon);
  muster_deadline now = muster_clock_now();
  daemon->facts.starts++;
  daemon->facts.started_at = (uint64_t)now;
  daemon->facts.next_start = 0;
  // Before the attempt, so that there is none that was not counted.
  muster_root_publish(root, index);
  pid_t pid = fork_daemon(root, index);
  if (pid < 0) not_forked(root, index, errno);
  else forked(root, index, pid, now);
}

// ---- Ending

static void add_usage(root_facts *facts, const struct rusage *usage) {
  facts->user_ns += (uint64_t)usage->ru_utime.tv_sec * 1000000000 + (uint64_t)usage->ru_utime.tv_usec * 1000;
  facts->system_ns += (uint64_t)usage->ru_stime.tv_sec * 1000000000 + (uint64_t)usage->ru_stime.tv_usec * 1000;
  if ((uint64_t)usage->ru_maxrss > facts->most_kib) facts->most_kib = (uint64_t)usage->ru_maxrss;
}

static void note_death(root_daemon *daemon, int status, muster_deadline now) {
  muster_daemon_death *death = &daemon->death;
  int killed = WIFSIGNALED(status);
  *death = (muster_daemon_death){.how = killed ? MUSTER_DAEMON_SIGNALED : MUSTER_DAEMON_EXITED,
                                 .value = killed ? WTERMSIG(status) : WEXITSTATUS(status), .at = now};
  if (daemon->hung) death->how = MUSTER_DAEMON_HUNG;
  else if (daemon->facts.phase == MUSTER_DAEMON_STOPPING)
    death->how = killed && death->value == SIGKILL ? MUSTER_DAEMON_KILLED : MUSTER_DAEMON_STOPPED;
  daemon->facts.how = death->how;
  daemon->facts.value = (uint64_t)death->value;
  daemon->facts.died_at = (uint64_t)now;
}

static int was_asked(muster_daemon_end how) { return how == MUSTER_DAEMON_STOPPED || how == MUSTER_DAEMON_KILLED; }

// How long it was of use: with a heartbeat, until its last beat.
static int64_t lived(const muster_root *root, uint32_t index) {
  const root_daemon *daemon = &root->daemons[index];
  int64_t started = (int64_t)daemon->facts.started_at, end = daemon->death.at;
  if (root->parts[index].spec.heartbeat) {
    muster_arena_info info;
    muster_arena_info_of(&root->parts[index].arena, &info);
    end = info.beat < end ? info.beat : started;
  }
  return end > started ? end - started : 0;
}

static void for_good(muster_root *root, uint32_t index, muster_daemon_phase phase) {
  root->unsettled--;
  if (phase == MUSTER_DAEMON_ABANDONED) root->words.abandoned++;
  enter_phase(root, index, phase, MUSTER_DEADLINE_NEVER);
  tell(root, MUSTER_ROOT_ENDED, index);
  if (phase != MUSTER_DAEMON_ABANDONED) return;
  tell(root, MUSTER_ROOT_GAVE_UP, index);
  if (root->options.flags & MUSTER_ROOT_END_WHEN_GIVEN_UP) {
    root->result = ENOTRECOVERABLE;
    root->asked = 1;
  }
}

// It is dead, and so is its group.
static void gone(muster_root *root, uint32_t index) {
  root_daemon *daemon = &root->daemons[index];
  int failed = daemon->death.how != MUSTER_DAEMON_EXITED || daemon->death.value != 0;
  if (root->stopping) {
    for_good(root, index, MUSTER_DAEMON_ENDED);
    return;
  }
  root_end end = {.failed = failed, .lived = lived(root, index), .now = daemon->death.at};
  root_checkpoints there;
  checkpoints_of(root, index, &there);
  int64_t delay = muster_root_ladder_ended(&daemon->policy, &daemon->ladder, &end, &there);
  copy_ladder(daemon);
  if (delay == ROOT_FOR_GOOD) {
    for_good(root, index, daemon->ladder.rung == MUSTER_DAEMON_GIVEN_UP ? MUSTER_DAEMON_ABANDONED : MUSTER_DAEMON_ENDED);
    return;
  }
  muster_deadline next = delay ? muster_deadline_after(delay) : daemon->death.at;
  daemon->facts.next_start = (uint64_t)next;
  enter_phase(root, index, MUSTER_DAEMON_WAITING, next);
  tell(root, MUSTER_ROOT_ENDED, index);
  if (delay == 0 && !root->asked) muster_root_start_daemon(root, index);
}

// Reaps what is dead of a group whose leader is dead and reaped. Whether it is gone: the kernel knows no process of it
// (ESRCH), or none that is a child of the root (ECHILD: then the number may be another's group by now).
static int drained(root_facts *facts, pid_t group) {
  for (;;) {
    if (kill(-group, 0) && errno == ESRCH) return 1;
    struct rusage usage;
    int status;
    pid_t pid = wait4(-group, &status, WNOHANG, &usage);
    if (pid == 0) return 0;
    if (pid < 0) return errno == ECHILD;
    facts->drained++;
    add_usage(facts, &usage);
  }
}

static void leader_died(muster_root *root, uint32_t index) {
  root_daemon *daemon = &root->daemons[index];
  pid_t pid = root->pids[index];
  // It is not yet reaped, so that this group is its own.
  (void)kill(-pid, SIGKILL);
  struct rusage usage;
  int status = 0;
  if (wait4(pid, &status, WNOHANG, &usage) != pid) return;
  root->pids[index] = 0;
  root->words.running--;
  note_death(daemon, status, muster_clock_now());
  add_usage(&daemon->facts, &usage);
  if (!was_asked(daemon->death.how) && (daemon->death.how != MUSTER_DAEMON_EXITED || daemon->death.value))
    daemon->facts.failures++;
  if (drained(&daemon->facts, pid)) {
    daemon->facts.pid = 0;
    gone(root, index);
    return;
  }
  root->draining++;
  enter_phase(root, index, MUSTER_DAEMON_DRAINING, MUSTER_DEADLINE_NEVER);
}

static void drain(muster_root *root, uint32_t index) {
  root_facts *facts = &root->daemons[index].facts;
  if (!drained(facts, (pid_t)facts->pid)) return;
  root->draining--;
  facts->pid = 0;
  gone(root, index);
}

void muster_root_drain(muster_root *root) {
  for (uint32_t k = 0; k < root->count && root->draining; k++)
    if (root->daemons[k].facts.phase == MUSTER_DAEMON_DRAINING) drain(root, k);
}

// A child that is no daemon: of a group that is being drained, or an orphan of whom nothing is known. If it was the last of its
// group, the group's number is free from here on. So that is found out before the root forks, which could give it to a daemon.
static void stranger_died(muster_root *root, pid_t pid) {
  pid_t group = getpgid(pid);
  struct rusage usage;
  int status;
  if (wait4(pid, &status, WNOHANG, &usage) != pid) return;
  for (uint32_t k = 0; k < root->count && root->draining; k++) {
    root_facts *facts = &root->daemons[k].facts;
    if (facts->phase != MUSTER_DAEMON_DRAINING || (pid_t)facts->pid != group) continue;
    facts->drained++;
    add_usage(facts, &usage);
    drain(root, k);
    return;
  }
  root->words.orphans++;
}

void muster_root_child_died(muster_root *root, const siginfo_t *info) {
  uint32_t index = muster_root_index_of(root, info->si_pid);
  if (index == UINT32_MAX) stranger_died(root, info->si_pid);
  else leader_died(root, index);
}

// Its own process by its number, too: it may have left its group.
void muster_root_kill(const muster_root *root, uint32_t index) {
  (void)kill(-root->pids[index], SIGKILL);
  (void)kill(root->pids[index], SIGKILL);
}

void muster_root_kill_hung(muster_root *root, uint32_t index) {
  root->daemons[index].hung = 1;
  muster_root_kill(root, index);
  enter_phase(root, index, MUSTER_DAEMON_KILLING, MUSTER_DEADLINE_NEVER);
}

void muster_root_reset_ladder(muster_root *root, uint32_t index) {
  root_daemon *daemon = &root->daemons[index];
  muster_root_ladder_reset(&daemon->ladder);
  copy_ladder(daemon);
  enter_phase(root, index, (muster_daemon_phase)daemon->facts.phase, MUSTER_DEADLINE_NEVER);
}
