// Commands that end when the process that had them run does, with all that they started.
//
// PR_SET_PDEATHSIG kills the child of a process that dies, and not the child's own: of `sh -c 'a; b'` the one at work would go on. So the
// command's parent is a guard, a fork of this process that leads a process group and runs nothing else. It blocks all signals, and
// waits for two of them: its child's end, and the death of the thread that started it. Then it kills its group, itself included.
// Should somebody kill the guard, the kernel kills the command itself.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster_cli.h"
#include "signal_mask.h"

typedef struct report {
  int32_t kind;
  int32_t value;
} report;

enum { BEGUN = 1, NOT_EXECUTED = 2, ENDED = 3 };

// Smaller than what a pipe takes at once.
static void tell(int descriptor, int32_t kind, int32_t value) {
  report sent = {kind, value};
  ssize_t written = write(descriptor, &sent, sizeof sent);
  (void)written;
}

// One of this process's handlers that ran in the child would write to this process's pipe, and keep the signal from the command.
static void forget_handlers(void) {
  for (int number = 1; number < NSIG; number++) {
    struct sigaction action;
    if (!sigaction(number, NULL, &action) && action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL)
      signal(number, SIG_DFL);
  }
}

static _Noreturn void execute(const muster_cli_command *command, int input, int output, pid_t guard, const sigset_t *mask) {
  if (prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL) || getppid() != guard) _exit(127);
  // What is sent to the group before is lost on the guard; from here on it waits until the command can have it.
  tell(output, BEGUN, 0);
  forget_handlers();
  signal(SIGPIPE, SIG_DFL);
  if (dup2(input, STDIN_FILENO) >= 0) {
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvpe(command->arguments[0], (char *const *)(uintptr_t)command->arguments, (char *const *)(uintptr_t)command->environment);
  }
  tell(output, NOT_EXECUTED, errno);
  _exit(127);
}

// Regions are held by descriptors: what this process holds is not held by its guard.
static void close_all_but(int descriptor) {
#if defined(SYS_close_range)
  if (descriptor > 0) (void)syscall(SYS_close_range, 0U, (unsigned)descriptor - 1U, 0U);
  (void)syscall(SYS_close_range, (unsigned)descriptor + 1U, ~0U, 0U);
#else
  (void)descriptor;
#endif
}

static _Noreturn void guard(const muster_cli_command *command, int input, int output, pid_t parent, const sigset_t *mask) {
  setpgid(0, 0);
  signal(SIGCHLD, SIG_DFL);
  if (prctl(PR_SET_PDEATHSIG, (unsigned long)SIGHUP, 0UL, 0UL, 0UL) || getppid() != parent) _exit(1);
  pid_t self = getpid();
  pid_t child = fork();
  if (child == 0) execute(command, input, output, self, mask);
  if (child < 0) {
    tell(output, NOT_EXECUTED, errno);
    _exit(1);
  }
  close_all_but(output);
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGCHLD);
  sigaddset(&awaited, SIGHUP);
  for (;;) {
    int number, status;
    if (sigwait(&awaited, &number)) continue;
    // A SIGHUP that was meant for the group says nothing; who the parent is does.
    if (getppid() != parent) kill(0, SIGKILL);
    if (waitpid(child, &status, WNOHANG) != child) continue;
    tell(output, ENDED, status);
    _exit(0);
  }
}

// A file in memory, which takes all of it at once, and whose reader can't hold this process up.
static int open_input(const void *bytes, size_t size) {
  int descriptor = memfd_create("muster-job", MFD_CLOEXEC);
  for (size_t written = 0; descriptor >= 0 && written < size;) {
    ssize_t count = write(descriptor, (const char *)bytes + written, size - written);
    if (count > 0) {
      written += (size_t)count;
    } else if (errno != EINTR) {
      int failure = errno;
      close(descriptor);
      errno = failure;
      return -1;
    }
  }
  if (descriptor >= 0) (void)lseek(descriptor, 0, SEEK_SET);
  return descriptor;
}

// Returns 0 when it has begun, or why it could not. Of a guard that was killed muster_cli_await tells.
static int await_beginning(int descriptor) {
  report seen;
  ssize_t count;
  do count = read(descriptor, &seen, sizeof seen);
  while (count < 0 && errno == EINTR);
  return count == (ssize_t)sizeof seen && seen.kind == NOT_EXECUTED ? seen.value : 0;
}

int muster_cli_start(const muster_cli_command *command, muster_cli_running *running) {
  int input = open_input(command->input, command->size);
  if (input < 0) return errno;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) {
    int failure = errno;
    close(input);
    return failure;
  }
  // No handler of this process runs in the guard. The command gets neither the mask of this thread, which a library may have made.
  sigset_t all, mine, mask;
  muster_cli_first_mask(&mask);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &mine);
  pid_t parent = getpid();
  pid_t group = fork();
  if (group == 0) guard(command, input, ends[1], parent, &mask);
  int failure = group < 0 ? errno : 0;
  pthread_sigmask(SIG_SETMASK, &mine, NULL);
  close(input);
  close(ends[1]);
  if (failure) {
    close(ends[0]);
    return failure;
  }
  // By whoever comes first: a signal for the group must find it.
  (void)setpgid(group, group);
  *running = (muster_cli_running){.group = group, .report = ends[0]};
  failure = await_beginning(ends[0]);
  if (failure) {
    close(ends[0]);
    muster_cli_reap(running);
  }
  return failure;
}

muster_cli_ended muster_cli_await(muster_cli_running *running) {
  // Of a guard that was killed: as was its command.
  muster_cli_ended ended = {.error = 0, .status = SIGKILL};
  report seen;
  for (;;) {
    ssize_t count = read(running->report, &seen, sizeof seen);
    if (count < 0 && errno == EINTR) continue;
    if (count != (ssize_t)sizeof seen) break;
    if (seen.kind == NOT_EXECUTED) {
      ended.error = seen.value;
    } else if (seen.kind == ENDED) {
      ended.status = seen.value;
    }
  }
  close(running->report);
  running->report = -1;
  return ended;
}

void muster_cli_reap(const muster_cli_running *running) {
  while (waitpid(running->group, NULL, 0) < 0 && errno == EINTR) continue;
}
