// Compiler attributes of the public headers, and the check that this is a system that Muster knows.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_ATTRIBUTES_H
#define MUSTER_ATTRIBUTES_H

#if !defined(__linux__)
#error "Muster needs Linux (5.16 or newer): robust futexes, FUTEX_WAITV and OFD locks."
#endif

#include <stddef.h>
#include <stdint.h>

// clang knows nullability and, when pedantic, says of each use that it is an extension.
#if defined(__clang__)
#define MUSTER_DECLS_PUSH \
  _Pragma("GCC visibility push(default)") _Pragma("clang diagnostic push") \
      _Pragma("clang diagnostic ignored \"-Wnullability-extension\"")
#define MUSTER_DECLS_POP _Pragma("clang diagnostic pop") _Pragma("GCC visibility pop")
#else
#define MUSTER_DECLS_PUSH _Pragma("GCC visibility push(default)")
#define MUSTER_DECLS_POP _Pragma("GCC visibility pop")
#endif

#if defined(__cplusplus)
#define MUSTER_BEGIN_DECLS MUSTER_DECLS_PUSH extern "C" {
#define MUSTER_END_DECLS \
  }                      \
  MUSTER_DECLS_POP
#else
#define MUSTER_BEGIN_DECLS MUSTER_DECLS_PUSH
#define MUSTER_END_DECLS MUSTER_DECLS_POP
#endif

// gcc knows no nullability and refuses the bare keywords.
#if defined(__clang__)
#define MUSTER_NONNULL _Nonnull
#define MUSTER_NULLABLE _Nullable
#else
#define MUSTER_NONNULL
#define MUSTER_NULLABLE
#endif

#if defined(__clang__)
#define MUSTER_SWIFT_NAME(name) __attribute__((swift_name(#name)))
#define MUSTER_OPEN_ENUM __attribute__((enum_extensibility(open)))
#define MUSTER_OPTION_SET __attribute__((flag_enum, enum_extensibility(open)))
#else
#define MUSTER_SWIFT_NAME(name)
#define MUSTER_OPEN_ENUM
#define MUSTER_OPTION_SET
#endif

// Marks a fast path that neither locks nor allocates; clang 20 and newer check it (-Wfunction-effects).
#if defined(__clang__) && __clang_major__ >= 20 && !defined(__cplusplus)
#define MUSTER_NONBLOCKING __attribute__((nonblocking))
#else
#define MUSTER_NONBLOCKING
#endif

#define MUSTER_MUST_CHECK __attribute__((warn_unused_result))

// Unrolls the loop that follows. gcc leaves even a loop of eight loads alone at -O2, and a loop is most of what they cost.
#if defined(__clang__)
#define MUSTER_UNROLL_8 _Pragma("unroll 8")
#else
#define MUSTER_UNROLL_8 _Pragma("GCC unroll 8")
#endif

#endif
