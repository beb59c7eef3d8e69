// Deadlines: absolute points of CLOCK_MONOTONIC, in nanoseconds.
//
// A wait takes a deadline, not a duration, so that a wait that is cut in pieces (a spurious wake, a retry after
// a death, three calls in a row) ends when its caller meant it to. CLOCK_MONOTONIC stands still while the machine is
// suspended and is never set. Within one machine it is the same for all processes of a time namespace, so a deadline
// may be handed from process to process.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_CLOCK_H
#define MUSTER_CLOCK_H

#include "attributes.h"

MUSTER_BEGIN_DECLS

// Nanoseconds of CLOCK_MONOTONIC.
typedef int64_t muster_deadline;

// Never: the wait ends by what it waits for, or by a death.
#define MUSTER_DEADLINE_NEVER INT64_MAX

// Already past: look once, don't wait.
#define MUSTER_DEADLINE_NOW ((muster_deadline)0)

// The present, in nanoseconds of CLOCK_MONOTONIC. Costs what clock_gettime costs (some 20 ns, no system call).
muster_deadline muster_clock_now(void);

// The deadline `nanoseconds` from now. Negative durations give the present; what would overflow gives
// MUSTER_DEADLINE_NEVER.
muster_deadline muster_deadline_after(int64_t nanoseconds);

// Whether the deadline has passed. Reads no clock for MUSTER_DEADLINE_NEVER and MUSTER_DEADLINE_NOW.
int muster_deadline_passed(muster_deadline deadline);

MUSTER_END_DECLS

#endif
