// Rows of words that the root writes and anybody reads, whole, whatever the root is stopped at (root_layout.h).
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ROOT_ROW_H
#define MUSTER_INTERNAL_ROOT_ROW_H

#include "root_layout.h"

enum { ROOT_ROW_ATTEMPTS = 1000 };

// By the root alone; up to ROOT_WORDS words.
void muster_root_row_write(root_row *row, const uint64_t *words, uint32_t count);

// Returns 0; EAGAIN: it was written twice during each of ROOT_ROW_ATTEMPTS attempts; EBADMSG: no root wrote this.
int muster_root_row_read(const root_row *row, uint64_t *words, uint32_t count);

#endif
