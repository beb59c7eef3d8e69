// The one call that the commands need and Swift can't make, because prctl(2) is variadic.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_CLI_H
#define MUSTER_CLI_H

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

// Ties this process's life to its parent's: the kernel kills it when the thread that started it ends, stopped or not. Returns 0, ESRCH
// when the parent was not `parent` any more by then, or the error of prctl.
static inline int muster_cli_die_with_parent(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL) != 0) return errno;
  return getppid() == parent ? 0 : ESRCH;
}

#endif
