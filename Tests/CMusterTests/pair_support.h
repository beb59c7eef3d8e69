// What the tests of process pairs share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_PAIR_SUPPORT_H
#define MUSTER_PAIR_SUPPORT_H

#include "muster/pair.h"

enum { PAIR_TEST_STATE = 40, PAIR_TEST_OUTPUT = 24, PAIR_TEST_HISTORY = 2 };

// A pair of that shape: open or create; with MUSTER_REGION_FILE, a path.
muster_pair_options pair_test_options(uint32_t flags);
muster_pair *pair_test_open(const char *name, uint32_t flags);
int pair_test_try_open(const char *name, uint32_t flags, muster_pair **pair);

// A handle that leads.
muster_pair *pair_test_lead(const char *name, uint32_t flags, uint64_t epoch);

// Commits step `step`: its state and its output are functions of the number. A length that differs from step to step.
int pair_test_commit(muster_pair *pair, uint64_t step, int durable);

// Loads as muster_pair_load does, and checks that it is such an entry.
int pair_test_load(const muster_pair *pair, uint64_t before, muster_pair_accept accept, void *context,
                   muster_pair_entry *entry);

// The step of the newest entry, which has to be there.
uint64_t pair_test_newest(const muster_pair *pair);

// A step as the header has it, without its output.
void pair_test_step(muster_pair *pair, uint64_t step);

muster_pair_status pair_test_look(const muster_pair *pair);

// What one says whose every word is `number`; and whether it is one such. 0 as well: nothing was said.
muster_pair_primary pair_test_primary(uint64_t number);
muster_pair_backup pair_test_backup(uint64_t number);
int pair_test_is_said(const void *said, size_t size, uint64_t *number);

#endif
