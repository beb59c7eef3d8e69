// Who this process is, and which run of the machine this is.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_BOOT_H
#define MUSTER_INTERNAL_BOOT_H

#include <stdint.h>

// The kernel's boot id (/proc/sys/kernel/random/boot_id) as 16 bytes; zeros where it can't be read.
void muster_boot_id(uint8_t id[16]);

// When a process started: clock ticks since boot, field 22 of /proc/PID/stat (proc(5)); 0 where that can't be read.
uint64_t muster_process_start(int32_t pid);

// The same of this process. This and the namespace are found out once in a process: /proc takes some microseconds, and who joins for a
// moment (a reader of a Swift read-write lock) asks each time.
uint64_t muster_own_start(void);

// The number of this process's pid namespace; 0 where it can't be read.
uint64_t muster_pid_namespace(void);

#endif
