// What the tests of regions and groups share: shared pages, gates, descriptors, raw files, system calls refused.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_TEST_SUPPORT_H
#define MUSTER_TEST_SUPPORT_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "muster/muster.h"
#include "test.h"

// Zeroed memory that forked children share.
void *shared_memory(size_t size);

// A deadline that no healthy test reaches.
static inline muster_deadline soon(void) { return muster_deadline_after(20 * INT64_C(1000000000)); }

// A word in shared memory that children wait for until it is `value`, or the deadline (then the test fails).
void gate_open(uint32_t *gate, uint32_t value);
void gate_wait(uint32_t *gate, uint32_t value);
uint32_t gate_pass(uint32_t *gate, uint32_t least);  // until it is at least so much; what it is then

// Open descriptors of this process.
unsigned count_descriptors(void);

// The file of a named region.
const char *shm_path(const char *name);
void write_file(const char *path, const void *bytes, size_t size);
ino_t inode_of(const char *path);

// Names in a folder that start so.
unsigned count_names(const char *folder, const char *start);

// Opens, or creates and closes again; the rest of the options is 0.
int open_region(const char *name, uint32_t flags, uint64_t size, muster_region **region);
int make_region(const char *name, uint32_t flags, uint64_t size);
int is_held(const char *name, uint32_t flags);

// From here on this process (and its children) gets `error` from a system call; from open and openat only with
// O_TMPFILE. `die_at_call` kills the process, by SIGSYS, as it enters the call. They skip the test where filters can't
// be installed.
void refuse_call(long number, int error);
void refuse_tmpfile(int error);
void die_at_call(long number);

// The same at every call but exit_group(2).
void die_at_any_call(void);

// A mount namespace of this process's own, with a tmpfs of these options at `folder`. Skips the test where that is not
// permitted.
void mount_private(const char *folder, unsigned long flags, const char *options);

// Runs `call` in a child: the signal that it ended by, else 0.
int signal_of(void (*call)(void *context), void *context);

// Stops a process, and waits until it has stopped.
void stop_process(pid_t pid);
void kill_process(pid_t pid);

#endif
