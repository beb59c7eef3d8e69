// What the tests of Alive share: an owner in a process of its own, and a way to take system calls away.
// SPDX-License-Identifier: Apache-2.0
#ifndef ALIVE_HELP_H
#define ALIVE_HELP_H

#include "muster/alive.h"
#include "test.h"

#define SECOND INT64_C(1000000000)

static inline muster_deadline in_seconds(int64_t seconds) { return muster_deadline_after(seconds * SECOND); }

// "FOLDER/NAME" in this test's folder; static storage, a new one for each call, up to 8.
const char *alive_path_of(const char *name);

// A process that acquires, and then waits for an order.
typedef struct owner {
  pid_t pid;
  uint64_t start;  // field 22 of its /proc/PID/stat
  int order;       // write end
  int answer;      // read end
} owner;

enum { RELEASE = 'r', ABANDON = 'a', EXIT = 'x', EXEC = 'e', ACQUIRE = 'q' };

// Starts one; it has acquired when this returns.
owner owner_start(const char *path);

// The same, but it acquires only at the order ACQUIRE.
owner owner_prepare(const char *path);

// Gives an order. At ACQUIRE, returns when it is done.
void owner_order(owner *o, int order);

// Kills it with SIGKILL, or lets it end after an order, and reaps it.
void owner_kill(owner *o);
void owner_join(owner *o);

// Whether the file exists; how many descriptors the process has.
int exists(const char *path);
int descriptors(void);

// Reads a whole file of at most `size` bytes; makes one. The number of bytes.
size_t slurp(const char *path, char *text, size_t size);
void spit(const char *path, const char *text, size_t length);

// The record of an owner that was killed just now, as it stands in its file: the length.
size_t crash_record(const char *path, char *text, size_t size);

// Makes a system call fail with `error` in this process and its children from now on; of its arguments, number
// `argument` must have one of the bits `bits` (0: whatever the arguments).
void refuse_call_with(long number, int argument, uint32_t bits, int error);

// Waits until a process that is no child is gone.
void await_end(pid_t pid);

#endif
