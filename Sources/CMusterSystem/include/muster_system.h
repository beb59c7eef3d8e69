// What the Swift targets above need of the system that Swift can't call.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_SYSTEM_H
#define MUSTER_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

#include "muster_lighten.h"
#include "muster_start.h"

// Sleeps until one of the descriptors can be read (negative ones: nobody's), a signal was handled, or `nanoseconds` have passed: ppoll(2),
// which Swift's headers hide. At most 16 descriptors.
void muster_system_sleep(const int32_t *descriptors, size_t count, int64_t nanoseconds);

// What ps(1) shows: the first 15 bytes.
void muster_system_name(const char *name);

// A line on standard error, whose variable Swift takes for shared state.
void muster_system_complain(const char *text);

#endif
