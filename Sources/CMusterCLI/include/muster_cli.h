// What the commands need of the system that Swift can't call or must not run: a variadic function, a signal handler.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_CLI_H
#define MUSTER_CLI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Opens those of the descriptors 0 to 2 that are closed, or the next file to be opened would be taken for a standard stream, by this
// process and by the commands that it starts. /dev/null, the wrong way round: reading standard input and writing to the others
// fail as they would have (EBADF). Call it first. Returns 0 or the error of open(2).
int muster_cli_open_standard(void);

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
// Returns 0 or an error. Called again, it gives the same one.
int muster_cli_watch_signals(int *descriptor);

// How many have come to this process, modulo 2^32: one load, for who looks too often to ask the pipe each time. Those that a forked child passes
// on are not counted here.
uint32_t muster_cli_signals_seen(void);

// Reads the next one, waiting for it. Returns 0 or an error.
int muster_cli_next_signal(int descriptor, muster_cli_signal *signal);

// A command that is run for this process and must not outlive it.
typedef struct muster_cli_command {
  const char *const *arguments;    // with NULL behind the last; the first is the program, found as execvp(3) finds it
  const char *const *environment;  // with NULL behind the last
  const void *input;               // what it reads on standard input
  size_t size;
} muster_cli_command;

// One that runs: in a process group of its own, of which `group` is the id.
typedef struct muster_cli_running {
  pid_t group;
  int report;
} muster_cli_running;

// What became of one: it could not be executed, for this error, or it ended, with that status of waitpid(2).
typedef struct muster_cli_ended {
  int error;
  int status;
} muster_cli_ended;

// Starts a command. All of its process group is killed when the calling thread ends, however this process does: a guard, the leader of
// the group, is told by the kernel. What leaves the group (setsid) gets away. Output and errors are this process's, signals as they were
// for it, but for SIGPIPE, which kills. When it returns a signal for the group reaches the command. Returns 0 or an error.
int muster_cli_start(const muster_cli_command *command, muster_cli_running *running);

// Waits for its end. The group's id stays its own until it is reaped, so that it can be killed by kill(2) meanwhile.
muster_cli_ended muster_cli_await(muster_cli_running *running);
void muster_cli_reap(const muster_cli_running *running);

#endif
