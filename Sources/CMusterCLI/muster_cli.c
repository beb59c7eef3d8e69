// SPDX-License-Identifier: Apache-2.0
#include "muster_cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "signal_mask.h"

static sigset_t first_mask;
static int has_first_mask;

void muster_cli_first_mask(sigset_t *mask) {
  if (has_first_mask) {
    *mask = first_mask;
  } else {
    pthread_sigmask(SIG_SETMASK, NULL, mask);
  }
}

int muster_cli_open_standard(void) {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
    if (fcntl(descriptor, F_GETFD) >= 0) continue;
    // The lowest that is free, hence this one.
    if (open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) return errno;
  }
  return 0;
}

static int signal_pipe[2] = {-1, -1};
static uint32_t signals_passed_on;

int muster_cli_die_with_parent(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL) != 0) return errno;
  return getppid() == parent ? 0 : ESRCH;
}

// The pipe doesn't block: a person who presses Ctrl-C ten thousand times is heard the first thousand.
static void pass_on(int number, siginfo_t *info, void *context) {
  (void)context;
  int saved = errno;
  muster_cli_signal signal = {.number = number, .from_terminal = info->si_code > 0};
  ssize_t written = write(signal_pipe[1], &signal, sizeof signal);
  (void)written;
  errno = saved;
  // After it is there to be read.
  __atomic_fetch_add(&signals_passed_on, 1u, __ATOMIC_RELEASE);
}

int muster_cli_watch_signals(int *descriptor) {
  // Handlers know of one pipe.
  if (signal_pipe[0] >= 0) {
    *descriptor = signal_pipe[0];
    return 0;
  }
  static const int watched[] = {SIGINT, SIGTERM, SIGHUP};
  has_first_mask = pthread_sigmask(SIG_SETMASK, NULL, &first_mask) == 0;
  if (pipe2(signal_pipe, O_CLOEXEC) != 0) return errno;
  if (fcntl(signal_pipe[1], F_SETFL, O_NONBLOCK) != 0) return errno;
  for (size_t k = 0; k < sizeof watched / sizeof watched[0]; k++) {
    struct sigaction old, new;
    if (sigaction(watched[k], NULL, &old) != 0) return errno;
    if (old.sa_handler == SIG_IGN) continue;
    memset(&new, 0, sizeof new);
    new.sa_sigaction = pass_on;
    new.sa_flags = SA_SIGINFO | SA_RESTART;
    sigfillset(&new.sa_mask);
    if (sigaction(watched[k], &new, NULL) != 0) return errno;
  }
  *descriptor = signal_pipe[0];
  return 0;
}

uint32_t muster_cli_signals_seen(void) { return __atomic_load_n(&signals_passed_on, __ATOMIC_ACQUIRE); }

int muster_cli_next_signal(int descriptor, muster_cli_signal *signal) {
  for (;;) {
    ssize_t count = read(descriptor, signal, sizeof *signal);
    if (count == (ssize_t)sizeof *signal) return 0;
    if (count >= 0) return EPIPE;
    if (errno != EINTR) return errno;
  }
}
