// All of Muster in C++17: types that own the C objects, over the C API and nothing else. Header only; link muster.
//
//   #include <muster/muster.hpp>
//   using namespace std::chrono_literals;
//
//   muster::Barrier crew("crew", 2);                     // creates it or joins it, whoever comes first
//   crew.wait(5s);                                       // throws muster::error: who died, that the deadline passed...
//
// What holds everywhere:
//   - One type owns one C object. It can be moved, not copied. One that was moved from, closed, or made by the default
//     constructor is not open, and calling it fails with EBADF. Destructors let go and never throw; close() does the
//     same early, tells what can go wrong, and does nothing the second time.
//   - A C function that returns another value than 0 is a muster::error, which is a std::system_error; the form with a
//     std::error_code& at the end sets that instead. (Making a name from a string, and errors themselves, may throw
//     std::bad_alloc.) Values compare with std::errc; the C headers say which function returns which, and when.
//   - Every wait takes a deadline: a duration, a time point of std::chrono::steady_clock, or Deadline::never().
//   - What may be missing is a std::optional.
//   - Callbacks may throw: the exception is kept while C runs, and comes out of the call that led there.
//   - After an exception from lock() the lock is not held. A holder's death is met by a repair that is given when the lock is
//     opened; without one lock() throws std::errc::owner_dead, and the lock is poisoned until reset().
//   - In a forked child, handles give EPERM; a child opens its own.
// docs/cpp.md has the rest. One header a type: include what you need, or this one.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP
#define MUSTER_HPP

#include "hpp/alive.hpp"
#include "hpp/arena.hpp"
#include "hpp/barrier.hpp"
#include "hpp/checkpoint.hpp"
#include "hpp/deadline.hpp"
#include "hpp/error.hpp"
#include "hpp/group.hpp"
#include "hpp/lock.hpp"
#include "hpp/log.hpp"
#include "hpp/log_drain.hpp"
#include "hpp/log_reader.hpp"
#include "hpp/pool.hpp"
#include "hpp/process.hpp"
#include "hpp/queue.hpp"
#include "hpp/region.hpp"
#include "hpp/ring.hpp"
#include "hpp/ring_reader.hpp"
#include "hpp/ring_writer.hpp"
#include "hpp/rwlock.hpp"
#include "hpp/seqlock.hpp"
#include "hpp/trace.hpp"

#endif
