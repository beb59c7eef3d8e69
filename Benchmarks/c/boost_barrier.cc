// The barrier that a user of Boost.Interprocess makes: its process-shared mutex and condition, a count and a generation. (The
// library's own barrier was removed.)
// SPDX-License-Identifier: Apache-2.0
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <new>

#include "barrier_kinds.h"

namespace {

namespace ipc = boost::interprocess;

struct Meeting {
  explicit Meeting(unsigned count) : parties(count) {}

  void wait() {
    ipc::scoped_lock<ipc::interprocess_mutex> lock(mutex);
    unsigned seen = generation;
    if (++arrived == parties) {
      arrived = 0;
      ++generation;
      all.notify_all();
    } else {
      while (generation == seen) all.wait(lock);
    }
  }

  ipc::interprocess_mutex mutex;
  ipc::interprocess_condition all;
  unsigned parties;
  unsigned arrived = 0;
  unsigned generation = 0;
};

std::size_t size(unsigned) { return sizeof(Meeting); }
void init(void *memory, unsigned parties) { new (memory) Meeting(parties); }
void *join(void *memory, unsigned) { return memory; }
void wait(void *handle) { static_cast<Meeting *>(handle)->wait(); }
void leave(void *) {}

}  // namespace

extern "C" const barrier_kind barrier_kind_boost = {
    "boost", "Boost.Interprocess mutex and condition", size, init, join, wait, leave, nullptr};
