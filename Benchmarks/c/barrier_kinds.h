// The barriers that barrier_rounds measures, each behind the same functions.
// SPDX-License-Identifier: Apache-2.0
#ifndef BARRIER_KINDS_H
#define BARRIER_KINDS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct barrier_kind {
  const char *name;
  const char *what;
  size_t (*size)(unsigned parties);
  void (*init)(void *memory, unsigned parties);
  void *(*join)(void *memory, unsigned parties);  // in each worker; what wait and leave are given
  void (*wait)(void *handle);
  void (*leave)(void *handle);
  void (*remove)(void *memory);  // when all workers have ended; NULL: nothing to be done
} barrier_kind;

// NULL for a name that there is not.
const barrier_kind *barrier_kind_named(const char *name);

extern const barrier_kind barrier_kinds[];

#ifdef BENCH_BOOST
extern const barrier_kind barrier_kind_boost;
#endif

#ifdef __cplusplus
}
#endif

#endif
