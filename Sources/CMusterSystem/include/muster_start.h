// Starting a program without waiting until it runs.
//
// A fork copies the caller's page tables, and vfork(2), posix_spawn(3) and muster_process_spawn stop the caller until the child has come to its
// program, which takes as long as everything else that a backup does when it takes over. Here the child shares the caller's memory, as
// vfork's does, and both go on (clone(2), CLONE_VM without CLONE_VFORK). What makes that right:
//   The child touches nothing of what they share but the `muster_start` that it was given, which stays as it is until the kernel has cleared its
//   `running` word (CLONE_CHILD_CLEARTID): the child has left this memory, by its exec or by its end, however it came to that.
//   It runs on a stack of its own, and calls nothing of libc, which would set the errno that both have: bare system calls alone.
//   No handler runs in it: all signals are blocked in it until their actions are the default, or ignored as they were.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_START_H
#define MUSTER_START_H

#include <stddef.h>
#include <stdint.h>

enum { MUSTER_START_STACK = 16384, MUSTER_START_DESCRIPTORS = 4 };

// Zeroes at first. All that is pointed to has to stay as long as `running` is not zero.
typedef struct muster_start {
  const char *_Nonnull path;
  char *_Nullable const *_Nonnull arguments;    // with NULL behind the last
  char *_Nullable const *_Nonnull environment;  // likewise
  int32_t descriptors[MUSTER_START_DESCRIPTORS];  // that it has by their numbers, though they are closed by exec; -1: none
  int32_t pid;
  int32_t pidfd;
  int32_t running;  // muster_start_is_over
  int32_t error;    // of a child that has ended with status 127: why the program could not be executed
  uint64_t mask;
  _Alignas(16) unsigned char stack[MUSTER_START_STACK];
} muster_start;

// Starts `path`, with this process's streams, ignored signals, and this thread's mask. A program that can't be executed is told by its end: status
// 127, and `error`. Returns 0; EBUSY: the one before is not over; ENOSYS: not on this processor; or what clone(2) has.
int muster_start_program(muster_start *_Nonnull start);

// Whether the child has left our memory, or there never was one.
int muster_start_is_over(const muster_start *_Nonnull start);

#endif
