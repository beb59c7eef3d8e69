// What /proc/PID/status tells of signals (proc(5)).
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_HEARTBEAT_THREADS_H
#define MUSTER_INTERNAL_HEARTBEAT_THREADS_H

#include <sys/types.h>

// Whether all threads of this process block a signal: 0; ENOTSUP one does not, or it can't be found out.
int muster_heartbeat_threads_block(int signal);

// Whether a process ignores it; 0 also where that can't be found out.
int muster_heartbeat_ignores(pid_t pid, int signal);

#endif
