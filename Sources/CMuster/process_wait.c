// How a process ended.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal/caller.h"
#include "internal/process.h"

// PIDFD_GET_INFO, of which headers before Linux 6.15 don't know that it tells of an end.
typedef struct pidfd_info_v0 {
  uint64_t mask;
  uint64_t cgroup;
  uint32_t ids[11];
  int32_t exit_code;
} pidfd_info_v0;

#define PIDFD_GET_INFO_V0 _IOWR(0xff, 11, pidfd_info_v0)
#define PIDFD_TELLS_EXIT (UINT64_C(1) << 3)

// As the kernel has it; libc's may have other times, and more behind.
typedef struct kernel_usage {
  struct {
    long seconds, microseconds;
  } user, system;
  long memory_peak, unused_1[3], faults_minor, faults_major, unused_2, blocks_in, blocks_out, unused_3[3], voluntary, involuntary;
} kernel_usage;

static uint64_t nanoseconds(long seconds, long microseconds) { return ((uint64_t)seconds * 1000000 + (uint64_t)microseconds) * 1000; }

static void put_usage(muster_process_usage *usage, const kernel_usage *used) {
  *usage = (muster_process_usage){
      .user = nanoseconds(used->user.seconds, used->user.microseconds),
      .system = nanoseconds(used->system.seconds, used->system.microseconds),
      .memory_peak = (uint64_t)used->memory_peak * 1024,
      .faults_minor = (uint64_t)used->faults_minor,
      .faults_major = (uint64_t)used->faults_major,
      .switches_voluntary = (uint64_t)used->voluntary,
      .switches_involuntary = (uint64_t)used->involuntary,
      .blocks_in = (uint64_t)used->blocks_in,
      .blocks_out = (uint64_t)used->blocks_out,
  };
}

// The system call has a fifth argument that libc's waitid doesn't pass on: what the child has used.
int muster_process_reap(int pidfd, int flags, muster_process_end *end) {
  siginfo_t info;
  kernel_usage used;
  memset(&info, 0, sizeof info);
  memset(&used, 0, sizeof used);
  memset(end, 0, sizeof *end);
  while (syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED | flags, &used)) {
    if (errno != EINTR) return errno;
  }
  if (!info.si_pid) return 0;
  end->kind = info.si_code == CLD_EXITED ? MUSTER_PROCESS_EXITED : MUSTER_PROCESS_SIGNALED;
  end->code = info.si_status;
  end->core_dumped = info.si_code == CLD_DUMPED;
  end->reaped = !(flags & WNOWAIT);
  put_usage(&end->usage, &used);
  return 0;
}

// Of one that somebody else reaps, or has reaped: what the kernel keeps with the pidfd.
static void ask_kernel(int pidfd, muster_process_end *end) {
  pidfd_info_v0 info = {.mask = PIDFD_TELLS_EXIT};
  memset(end, 0, sizeof *end);
  end->kind = MUSTER_PROCESS_UNKNOWN;
  if (syscall(SYS_ioctl, pidfd, PIDFD_GET_INFO_V0, &info) || !(info.mask & PIDFD_TELLS_EXIT)) return;
  if (WIFEXITED(info.exit_code)) {
    end->kind = MUSTER_PROCESS_EXITED;
    end->code = WEXITSTATUS(info.exit_code);
  } else if (WIFSIGNALED(info.exit_code)) {
    end->kind = MUSTER_PROCESS_SIGNALED;
    end->code = WTERMSIG(info.exit_code);
    end->core_dumped = WCOREDUMP(info.exit_code) != 0;
  }
}

int muster_process_ended_by(int pidfd, muster_deadline deadline) {
  struct pollfd polled = {.fd = pidfd, .events = POLLIN};
  for (;;) {
    int got = muster_process_sleep_at(&polled, 1, deadline);
    if (got > 0) return 1;
    if (got == 0 || muster_deadline_passed(deadline)) return 0;
  }
}

// EAGAIN while it lives.
static int learn(muster_process *process) {
  int error = muster_process_reap(process->pidfd, WNOHANG, &process->end);
  if (!error && !process->end.kind) return EAGAIN;
  if (error) {
    // Not ours to reap; that it has ended is told all the same.
    if (!muster_process_ended_by(process->pidfd, MUSTER_DEADLINE_NOW)) return EAGAIN;
    ask_kernel(process->pidfd, &process->end);
  }
  muster_process_guard_end(&process->guard);
  return 0;
}

// It has ended, but who traces it (ptrace(2)) has not let it go yet: until then it can't be reaped, and nothing tells when.
static int learn_later(muster_process *process, muster_deadline deadline) {
  struct timespec pause = {.tv_nsec = 1000000};
  if (muster_deadline_passed(deadline)) return ETIMEDOUT;
  nanosleep(&pause, NULL);
  return learn(process);
}

int muster_process_poll(muster_process *process, muster_process_end *end) {
  int status = 0;
  if (!process->end.kind) {
    if (process->pidfd < 0) return EINVAL;
    muster_caller came = muster_enter();
    status = learn(process);
    muster_leave(came);
  }
  if (!status && end) *end = process->end;
  return status;
}

int muster_process_wait(muster_process *process, muster_deadline deadline, muster_process_end *end) {
  int status = 0;
  if (!process->end.kind) {
    if (process->pidfd < 0) return EINVAL;
    muster_caller came = muster_enter();
    status = muster_process_ended_by(process->pidfd, deadline) ? learn(process) : ETIMEDOUT;
    while (status == EAGAIN) status = learn_later(process, deadline);
    muster_leave(came);
  }
  if (!status && end) *end = process->end;
  return status;
}
