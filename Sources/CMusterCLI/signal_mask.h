// The signals that were blocked for this process when it began to watch for some: on its first thread, before any library's.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_CLI_SIGNAL_MASK_H
#define MUSTER_CLI_SIGNAL_MASK_H

#include <signal.h>

// Puts it into *mask; that of the calling thread if it has not begun.
void muster_cli_first_mask(sigset_t *mask);

#endif
