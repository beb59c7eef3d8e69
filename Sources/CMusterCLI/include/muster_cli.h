// What the commands need of the system that Swift can't call or must not run: a variadic function, a signal handler.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_CLI_H
#define MUSTER_CLI_H

#include <stdint.h>
#include <sys/types.h>

// Ties this process's life to its parent's: the kernel kills it when the thread that started it ends, stopped or not.
// Returns 0, ESRCH when the parent was not `parent` any more by then, or the error of prctl(2).
int muster_cli_die_with_parent(pid_t parent);

// A signal that came.
typedef struct muster_cli_signal {
  int32_t number;
  int32_t from_terminal;  // 1: the terminal's driver sent it (Ctrl-C), to the whole foreground group; 0: a process
} muster_cli_signal;

// From now on SIGINT, SIGTERM and SIGHUP don't end this process but are written as muster_cli_signal to a pipe, whose other end is
// put into *descriptor. A signal that the parent has this process ignore (SIGHUP under nohup) stays ignored. Which thread
// the kernel picks doesn't matter, so it is no matter either which threads libraries start, and with what mask.
// Returns 0 or an error; call it once.
int muster_cli_watch_signals(int *descriptor);

// Reads the next one, waiting for it. Returns 0 or an error.
int muster_cli_next_signal(int descriptor, muster_cli_signal *signal);

#endif
