// Waiting for what happens to an Alive file.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ALIVE_WAIT_H
#define MUSTER_INTERNAL_ALIVE_WAIT_H

#include "alive_file.h"

// Looks whether it has happened: 0, EAGAIN for not yet, or an error that ends the wait. Leaves in *found what it saw.
typedef int alive_check(const alive_path *path, void *context, muster_alive_found *found);

// Calls `check` now, after each event that may matter, and once a second, until it returns something other than EAGAIN
// or the deadline passes (ETIMEDOUT).
int muster_alive_wait_until(const alive_path *path, muster_deadline deadline, alive_check *check, void *context,
                            muster_alive_found *found);

#endif
