// Copies between private memory and shared words that others may read or write at the same time.
//
// The shared side is loaded and stored by aligned words of 8 bytes, each whole, relaxed; by two or four of them at a time where the
// processor can, which keeps each whole as well. Also the words that the first and the last byte lie in, so those must be mapped.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_WORDS_H
#define MUSTER_INTERNAL_WORDS_H

#include "muster/attributes.h"

// Asks the processor for its widest loads, once a process; no constructor does it. Who forgot it copies less wide.
void muster_words_prepare(void);

// Any alignment, any size.
void muster_words_get(void *to, const void *shared, size_t size) MUSTER_NONBLOCKING;

// The same the other way. Bytes of the first and the last word that are not to be changed are stored as they were, so nobody
// else may write to them meanwhile.
void muster_words_put(void *shared, const void *from, size_t size) MUSTER_NONBLOCKING;

// Zeros: whole words, 8-aligned.
void muster_words_zero(void *shared, size_t size) MUSTER_NONBLOCKING;

#endif
