// What the tests of processes share: shell scripts as children, and an audit of what they have left.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_TEST_PROCESS_SUPPORT_H
#define MUSTER_TEST_PROCESS_SUPPORT_H

#include "support.h"

// What is open, and who is a child of this process, zombies and guards too.
typedef struct process_audit {
  unsigned descriptors, children;
} process_audit;

process_audit audit_begin(void);
void audit_end(const process_audit *before);  // it is the same now

// Options for `sh -c script`.
muster_process_options shell(const char *script);

// Starts it and must succeed; `flags` are added.
void start_shell(muster_process *process, const char *script, uint32_t flags);

// Waits for its end by `soon`, and closes it: what it exited with, or -signal.
int end_of(muster_process *process);

// The same of a script that writes to `text`, which is made a string.
int run_shell(muster_process_options *options, char *text, size_t size);

// How many processes have this number in their environment; and whether it comes to `count` by `soon`.
unsigned count_tree(uint64_t tree);
int comes_to(uint64_t tree, unsigned count);

// Whether one of them comes to be the program sleep: what its shell was to do before, it has done, and it has no handlers any more.
int comes_to_sleep(uint64_t tree);

// A line of /proc/PID/status, behind its name; "" if there is none. Static storage.
const char *status_line(pid_t pid, const char *name);

// A living guard that is a child of this process, or 0.
pid_t find_guard(pid_t parent);

// Waits until the orphans of this test have ended, guards among them. They come to the runner, which is the subreaper above.
void orphans_end(void);

// From here on this system call gives `error` where its argument of that place (from 0) has one of these flags.
void refuse_flags(long number, unsigned place, uint32_t flags, int error);

#endif
