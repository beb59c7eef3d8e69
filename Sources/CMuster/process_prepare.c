// What is prepared before there is a child, and what its parent does once there is.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "internal/boot.h"
#include "internal/process.h"

static int valid_moves(const muster_process_options *options) {
  if (options->descriptors_count > MUSTER_PROCESS_DESCRIPTORS_MAX) return 0;
  int line = options->readiness == MUSTER_PROCESS_READY_LINE;
  if (line && options->ready_descriptor < 3) return 0;
  for (uint32_t i = 0; i < options->descriptors_count; i++) {
    int32_t to = options->descriptors[i].to;
    if (to < 3 || options->descriptors[i].from < 0 || (line && to == options->ready_descriptor)) return 0;
    for (uint32_t k = 0; k < i; k++)
      if (options->descriptors[k].to == to) return 0;
  }
  for (int i = 0; i < 3; i++)
    if (options->streams[i].kind > MUSTER_PROCESS_STREAM_CLOSED) return 0;
  return 1;
}

static int valid(const muster_process_options *options, int executes) {
  if (executes && (options->path ? !*options->path : options->program < 3)) return 0;
  if (options->group < 0 || (options->group && options->flags & (MUSTER_PROCESS_GROUP | MUSTER_PROCESS_SESSION))) return 0;
  if (options->readiness > MUSTER_PROCESS_READY_LINE || (!executes && options->readiness == MUSTER_PROCESS_READY_SOCKET)) return 0;
  if (options->flags & ~(uint32_t)(MUSTER_PROCESS_UMASK * 2 - 1)) return 0;
  return valid_moves(options);
}

// Looked at before there are descriptors of ours: a number that is not open could become that of one.
static int are_open(const muster_process_options *options) {
  for (int i = 0; i < 3; i++)
    if (options->streams[i].kind == MUSTER_PROCESS_STREAM_DESCRIPTOR && fcntl(options->streams[i].descriptor, F_GETFD) < 0) return 0;
  for (uint32_t i = 0; i < options->descriptors_count; i++)
    if (fcntl(options->descriptors[i].from, F_GETFD) < 0) return 0;
  return 1;
}

static void move(process_plan *plan, int32_t from, int32_t to) {
  plan->moves[plan->count++] = (muster_process_descriptor){from, to};
}

static int plan_moves(process_starting *starting, const muster_process_options *options) {
  process_plan *plan = &starting->plan;
  for (int i = 0; i < 3; i++) {
    const muster_process_stream *stream = &options->streams[i];
    switch (stream->kind) {
      case MUSTER_PROCESS_STREAM_NULL:
        if (starting->null < 0) starting->null = muster_above_stdio(open("/dev/null", O_RDWR | O_CLOEXEC));
        if (starting->null < 0) return errno;
        move(plan, starting->null, i);
        break;
      case MUSTER_PROCESS_STREAM_DESCRIPTOR:
        move(plan, stream->descriptor, i);
        break;
      case MUSTER_PROCESS_STREAM_CLOSED: move(plan, -1, i); break;
      default: break;
    }
  }
  for (uint32_t i = 0; i < options->descriptors_count; i++) move(plan, options->descriptors[i].from, options->descriptors[i].to);
  if (starting->ready >= 0) move(plan, starting->ready, options->ready_descriptor);
  return 0;
}

static int make_pipe(int32_t *reading, int32_t *writing) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) return errno;
  ends[0] = muster_above_stdio(ends[0]);
  int error = ends[0] < 0 ? errno : 0;
  ends[1] = muster_above_stdio(ends[1]);
  if (!error && ends[1] < 0) error = errno;
  *reading = ends[0];
  *writing = ends[1];
  if (!error) return 0;
  muster_process_drop(reading);
  muster_process_drop(writing);
  return error;
}

static int plan_readiness(process_starting *starting, uint32_t readiness, muster_process *process) {
  process->readiness = readiness;
  if (readiness == MUSTER_PROCESS_READY_SOCKET) return muster_process_socket_make(&process->ready, starting->notify);
  if (readiness != MUSTER_PROCESS_READY_LINE) return 0;
  int error = make_pipe(&process->ready, &starting->ready);
  // The reader's side alone: it is another open file than the writer's.
  if (!error && fcntl(process->ready, F_SETFL, O_NONBLOCK)) error = errno;
  return error;
}

// The main thread's end is the process's, as far as the kernel can be asked for it; any other's says nothing.
static int plan_tie(process_starting *starting, muster_process *process) {
  int main_thread = (pid_t)syscall(SYS_gettid) == getpid();
  uint32_t flags = process->flags;
  int guarded = (flags & MUSTER_PROCESS_GUARD) || (flags & MUSTER_PROCESS_TIE && !main_thread);
  // Not both: the kernel would kill the child before the guard has seen who belongs to it.
  starting->plan.by_thread = (flags & MUSTER_PROCESS_TIE_THREAD) || (flags & MUSTER_PROCESS_TIE && !guarded);
  if (!guarded) return 0;
  return muster_process_guard_start(process, &process->guard, &starting->plan);
}

uint64_t muster_process_fresh_number(void) {
  static uint32_t count;
  uint64_t number = 0;
  if (getrandom(&number, sizeof number, GRND_NONBLOCK) == (ssize_t)sizeof number && number) return number;
  uint64_t nth = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
  return (uint64_t)muster_clock_now() ^ (uint64_t)getpid() << 40 ^ nth << 32;
}

int muster_process_prepare(process_starting *starting, const muster_process_options *options, int executes, muster_process *process) {
  muster_process_clear(process);
  memset(starting, 0, sizeof *starting);
  starting->null = starting->ready = starting->hold[0] = starting->hold[1] = starting->tell[0] = starting->tell[1] = -1;
  process_plan *plan = &starting->plan;
  plan->guard = plan->cgroup = plan->report = -1;
  if (!valid(options, executes)) return EINVAL;
  if (!are_open(options)) {
    plan->step = MUSTER_PROCESS_STEP_DESCRIPTORS;
    return EBADF;
  }
  plan->options = options;
  plan->executes = executes;
  plan->parent = getpid();
  process->flags = options->flags | (executes ? 0 : MUSTER_PROCESS_NO_COOKIE);
  if (!(process->flags & MUSTER_PROCESS_NO_COOKIE) || options->flags & MUSTER_PROCESS_CGROUP) {
    process->tree = options->tree ? options->tree : muster_process_fresh_number();
  }
  int error = plan_readiness(starting, options->readiness, process);
  if (!error) error = plan_moves(starting, options);
  if (!error && options->flags & MUSTER_PROCESS_CGROUP) {
    plan->cgroup = process->cgroup = muster_process_cgroup_make(&process->tree, options->tree != 0);
    if (process->cgroup < 0) process->flags &= ~(uint32_t)MUSTER_PROCESS_CGROUP;
  }
  if (!error) error = plan_tie(starting, process);
  if (error) muster_process_undo(starting, process);
  return error;
}

int muster_process_pipes(process_starting *starting, int hold, int tell) {
  int error = hold ? make_pipe(&starting->hold[0], &starting->hold[1]) : 0;
  if (!error && tell) error = make_pipe(&starting->tell[0], &starting->tell[1]);
  starting->plan.report = starting->tell[1];
  return error;
}

void muster_process_await_go(process_starting *starting, muster_process *process) {
  muster_process_drop(&starting->tell[0]);
  muster_process_drop(&starting->hold[1]);
  muster_process_drop(&process->ready);
  muster_process_drop(&process->guard);
  if (starting->hold[0] < 0) return;
  char nothing;
  while (read(starting->hold[0], &nothing, 1) < 0 && errno == EINTR) {
  }
  muster_process_drop(&starting->hold[0]);
}

// All signals are blocked, so nothing interrupts it.
static process_report read_report(int descriptor) {
  process_report told = {0, 0};
  if (descriptor < 0) return told;
  ssize_t count;
  do count = read(descriptor, &told, sizeof told);
  while (count < 0 && errno == EINTR);
  return count == (ssize_t)sizeof told ? told : (process_report){0, 0};
}

int muster_process_take(process_starting *starting, pid_t pid, muster_process *process, muster_process_step *step) {
  process->pid = pid;
  process->pidfd = muster_above_stdio(muster_process_pidfd_open(pid));
  int error = process->pidfd < 0 ? errno : 0;
  *step = MUSTER_PROCESS_STEP_CLONE;
  // By its number: nobody can have reaped it, or it is held.
  if (error) kill(pid, SIGKILL);
  // Said, and not only by closing: what another thread has forked just now may hold that end for ever.
  if (!error && starting->hold[1] >= 0) (void)!write(starting->hold[1], "", 1);
  muster_process_drop(&starting->hold[1]);
  muster_process_drop(&starting->tell[1]);
  if (error) {
    waitpid(pid, NULL, 0);
    return error;
  }
  process_report told = read_report(starting->tell[0]);
  if (told.step) muster_process_reap(process->pidfd, 0, &process->end);
  *step = (muster_process_step)told.step;
  return told.error;
}

void muster_process_begun(process_starting *starting) {
  muster_process_drop(&starting->null);
  muster_process_drop(&starting->ready);
  muster_process_drop(&starting->plan.guard);
  for (int i = 0; i < 2; i++) {
    muster_process_drop(&starting->hold[i]);
    muster_process_drop(&starting->tell[i]);
  }
}

void muster_process_undo(process_starting *starting, muster_process *process) {
  muster_process_begun(starting);
  muster_process_guard_end(&process->guard);
  muster_process_close(process);
  muster_process_clear(process);
}
