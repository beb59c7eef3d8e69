// How another thread ends a wait for an Alive file.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ALIVE_STOP_H
#define MUSTER_INTERNAL_ALIVE_STOP_H

// What the calling thread's waits poll beside their own: readable when they are to end. -1: nothing.
int muster_alive_stop_descriptor(void);

#endif
