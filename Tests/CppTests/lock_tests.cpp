// Mutexes: the guards of the standard library, deaths, repairs, and poison.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <mutex>
#include <stdexcept>
#include <thread>

#include "test.hpp"

using namespace std::chrono_literals;

using muster::Deadline;
using muster::Mutex;
using Condition = muster::LockHolder::Condition;
using State = muster::LockHolder::State;

// A process that locks and dies with it.
static pid_t dies_holding(const std::string &name) {
  const pid_t pid = test::child([&] {
    Mutex mutex(name);
    mutex.lock();
    raise(SIGKILL);
  });
  test::join(pid, SIGKILL);
  return pid;
}

static muster::MutexOptions repairing(muster::Repair repair) {
  muster::MutexOptions options;
  options.repair = std::move(repair);
  return options;
}

TEST(lock, excludes_processes_and_threads) {
  const std::string name = test::name("books");
  auto *sums = static_cast<std::uint64_t *>(test::shared_memory(2 * sizeof(std::uint64_t)));
  const auto add = [&](Mutex &mutex) {
    for (int k = 0; k < 2000; k++) {
      std::scoped_lock held(mutex);
      CHECK_EQUAL(sums[0], sums[1]);
      sums[0]++, sums[1]++;
    }
  };
  Mutex mine(name);
  const pid_t other = test::child([&] {
    Mutex mutex(name);
    add(mutex);
  });
  std::thread thread([&] { add(mine); });
  add(mine);
  thread.join();
  test::join(other);
  CHECK(sums[0] == 6000 && mine.name() == name);
  mine.close(), mine.close();
  CHECK(!mine && muster::Region::remove(name));
}

TEST(lock, is_what_the_guards_of_the_library_expect) {
  const std::string name = test::name("guards"), other_name = test::name("other");
  Mutex mutex(name), other(other_name), again(name);
  {
    std::scoped_lock both(mutex, other);
    CHECK(!again.try_lock());
    CHECK(mutex.holder().state == State::Held && mutex.holder().pid == getpid());
    CHECK(mutex.holder().thread == static_cast<std::uint32_t>(gettid()) && mutex.holder().condition == Condition::Whole);
    CHECK(mutex.holder().since && *mutex.holder().since <= std::chrono::steady_clock::now());
  }
  CHECK(mutex.holder().state == State::Free && other.holder().state == State::Free && !mutex.holder().pid);
  std::unique_lock timed(mutex, std::chrono::steady_clock::now() + 20s);
  CHECK(timed.owns_lock());
  std::thread([&] {
    std::unique_lock no(again, 1ms);
    CHECK(!no.owns_lock() && !no.try_lock());
    std::unique_lock nor(again, std::chrono::steady_clock::now());
    CHECK(!nor.owns_lock());
    const muster::error late = CHECK_THROWS(ETIMEDOUT, again.lock(1ms));
    CHECK(late.pid() == getpid() && late.name() == name && late.code() == std::errc::timed_out);
    std::error_code ec;
    CHECK(!again.lock(Deadline::now(), ec) && ec == std::errc::timed_out);
    CHECK(!again.try_lock(ec) && !ec);
    mutex.unlock(ec);
    CHECK(ec == std::errc::operation_not_permitted);
  }).join();
  CHECK_THROWS(EDEADLK, mutex.lock());
  CHECK_THROWS(EDEADLK, again.try_lock_for(20s));
  timed.unlock();
  std::error_code ec;
  CHECK(mutex.try_lock(ec) && !ec && !mutex.try_lock());
  mutex.unlock(ec);
  CHECK(!ec && mutex.lock(test::soon(), ec) && !ec);
  mutex.unlock();
  CHECK(again.try_lock() && again.holder().state == State::Held);
  again.unlock();
  again.close(), other.close(), mutex.close();
  CHECK(muster::Region::remove(name) && muster::Region::remove(other_name));
}

TEST(lock, a_repair_makes_it_whole_for_every_way_to_lock) {
  const std::string name = test::name("repair");
  int repairs = 0;
  Mutex *held_by = nullptr;
  Mutex first(name, repairing([&, large = std::string(100, 'x')] {
    CHECK(held_by->holder().condition == Condition::Unrepaired && held_by->holder().pid == getpid());
    repairs += large.size() == 100;
  }));
  Mutex mutex = std::move(first);
  held_by = &mutex;
  std::error_code ec;
  const std::function<void()> ways[] = {
      [&] { std::scoped_lock held(mutex); },
      [&] { std::lock_guard held(mutex); },
      [&] { CHECK(mutex.try_lock()); mutex.unlock(); },
      [&] { CHECK(mutex.try_lock(ec) && !ec); mutex.unlock(); },
      [&] { CHECK(mutex.try_lock_for(20s)); mutex.unlock(); },
      [&] { CHECK(mutex.try_lock_until(test::soon())); mutex.unlock(); },
      [&] { mutex.lock(test::soon()), mutex.unlock(); },
      [&] { CHECK(mutex.lock(test::soon(), ec) && !ec); mutex.unlock(); },
  };
  int deaths = 0;
  for (const auto &way : ways) {
    const pid_t dead = dies_holding(name);
    CHECK(mutex.holder().state == State::Dead && mutex.holder().pid == dead);
    way();
    CHECK_EQUAL(repairs, ++deaths);
    CHECK(mutex.holder().condition == Condition::Whole && mutex.holder().died == dead);
    CHECK(mutex.holder().state == State::Free);
  }
  mutex.close();
  CHECK(muster::Region::remove(name));
}

TEST(lock, a_repair_that_throws_poisons_it_and_comes_out) {
  const std::string name = test::name("throw");
  bool can = false;
  std::error_code ec;
  Mutex mutex(name, repairing([&] {
    if (!can) throw std::runtime_error("no copy");
  }), ec);
  const auto said = [&](const std::function<void()> &way) {
    try {
      way();
    } catch (const std::runtime_error &no) {
      return std::string(no.what());
    }
    return std::string("nothing");
  };
  const pid_t dead = dies_holding(name);
  CHECK_EQUAL(said([&] { std::scoped_lock held(mutex); }), "no copy");
  CHECK(mutex.holder().condition == Condition::Poisoned && mutex.holder().state == State::Free);
  const muster::error poisoned = CHECK_THROWS(ENOTRECOVERABLE, mutex.lock());
  CHECK(poisoned.pid() == dead && poisoned.code() == std::errc::state_not_recoverable);
  CHECK_EQUAL(std::string(poisoned.what()), "Can't lock the mutex \"" + name + "\": it is broken, because process " +
                                                std::to_string(dead) + " died (ENOTRECOVERABLE).");
  CHECK(!mutex.lock(test::soon(), ec) && ec == std::errc::state_not_recoverable);
  CHECK_THROWS(ENOTRECOVERABLE, mutex.try_lock());
  CHECK_THROWS(ENOTRECOVERABLE, mutex.try_lock_for(1ms));
  mutex.reset();
  CHECK_EQUAL(said([&] { (void)mutex.lock(test::soon(), ec); }), "no copy");
  mutex.reset(ec);
  CHECK(!ec && mutex.holder().condition == Condition::Unrepaired);
  can = true;
  { std::scoped_lock held(mutex); }
  CHECK(mutex.holder().condition == Condition::Whole);
  mutex.close();
  CHECK(muster::Region::remove(name));
}

// What a guard does that knows of no repair: it holds nothing, and nobody works on what is half changed.
TEST(lock, without_a_repair_a_death_is_thrown_and_poisons) {
  const std::string name = test::name("none"), other_name = test::name("beside");
  Mutex mutex(name), other(other_name);
  const std::function<void()> ways[] = {
      [&] { std::scoped_lock held(mutex); }, [&] { std::scoped_lock both(other, mutex); },
      [&] { std::unique_lock held(mutex, std::try_to_lock); }, [&] { std::unique_lock held(mutex, 20s); },
      [&] { mutex.lock(test::soon()); }};
  for (const auto &way : ways) {
    const pid_t dead = dies_holding(name);
    const muster::error died = CHECK_THROWS(EOWNERDEAD, way());
    CHECK(died.pid() == dead && died.code() == std::errc::owner_dead && died.name() == name);
    CHECK(mutex.holder().state == State::Free && other.holder().state == State::Free);
    CHECK_THROWS(ENOTRECOVERABLE, way());
    // What is left of it: repaired by hand, as below.
    mutex.reset();
    std::error_code ec;
    CHECK(mutex.lock(test::soon(), ec) && ec == std::errc::owner_dead);
    mutex.repaired(), mutex.unlock();
  }
  mutex.close(), other.close();
  CHECK(muster::Region::remove(name) && muster::Region::remove(other_name));
}

TEST(lock, is_repaired_by_hand) {
  const std::string name = test::name("hand");
  Mutex mutex(name);
  dies_holding(name);
  std::error_code ec;
  REQUIRE(mutex.lock(test::soon(), ec));
  CHECK(ec == std::errc::owner_dead && mutex.holder().condition == Condition::Unrepaired);
  CHECK(mutex.holder().state == State::Held);
  {
    std::unique_lock held(mutex, std::adopt_lock);
    mutex.repaired();
    std::thread([&] {
      CHECK_THROWS(EPERM, mutex.repaired());
      mutex.repaired(ec);
      CHECK(ec == std::errc::operation_not_permitted);
    }).join();
  }
  { std::scoped_lock held(mutex); }
  dies_holding(name);
  CHECK(mutex.try_lock(ec) && ec == std::errc::owner_dead);
  mutex.unlock();
  CHECK_THROWS(ENOTRECOVERABLE, mutex.lock());
  mutex.close();
  CHECK(muster::Region::remove(name));
}

TEST(lock, a_sleeper_gets_it_from_the_dead) {
  const std::string name = test::name("sleeper");
  auto *repaired = static_cast<int *>(test::shared_memory(sizeof(int)));
  int ready[2], go[2];
  REQUIRE(pipe(ready) == 0 && pipe(go) == 0);
  const pid_t holder = test::child([&] {
    Mutex mutex(name);
    mutex.lock();
    CHECK(write(ready[1], "", 1) == 1);
    for (;;) pause();
  });
  char byte;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  const pid_t sleeper = test::child([&] {
    Mutex mutex(name, repairing([&] { *repaired = 1; }));
    CHECK(write(ready[1], "", 1) == 1);
    std::scoped_lock held(mutex);
    CHECK_EQUAL(*repaired, 1);
  });
  REQUIRE(read(ready[0], &byte, 1) == 1);
  test::until_asleep(sleeper);
  test::kill(holder);
  test::join(sleeper);
  CHECK(*repaired == 1 && muster::Region::remove(name));
}

TEST(lock, belongs_to_thread_and_process) {
  const std::string name = test::name("owned");
  Mutex mutex(name);
  mutex.lock();
  std::error_code ec;
  mutex.close(ec);
  CHECK(ec == std::errc::device_or_resource_busy && mutex);
  CHECK_THROWS(EBUSY, mutex.close());
  test::join(test::child([&] {
    CHECK_THROWS(EPERM, mutex.lock());
    CHECK_THROWS(EPERM, mutex.holder());
    CHECK_THROWS(EPERM, mutex.reset());
    std::error_code in_child;
    mutex.unlock(in_child);
    CHECK(in_child == std::errc::operation_not_permitted);
    mutex.unlock();
  }));
  CHECK(mutex.holder().state == State::Held);
  mutex.unlock();
  muster::MutexOptions options;
  options.flags = muster::Flags::Attach | muster::Flags::ReadOnly;
  Mutex looks(name, options);
  CHECK_THROWS(EACCES, looks.lock());
  CHECK_THROWS(EACCES, looks.reset());
  CHECK(looks.holder().state == State::Free);
  options.flags = muster::Flags::Create;
  CHECK_THROWS(EEXIST, Mutex(name, options));
  CHECK(!Mutex(name, options, ec) && ec == std::errc::file_exists);
  const muster::error kind = CHECK_THROWS(EPROTO, muster::ReadWriteLock(name, 2));
  CHECK(kind.mismatch() && kind.mismatch()->kind == MUSTER_MISMATCH_LAYOUT);
  looks.close(), mutex.close();
  CHECK(muster::Region::remove(name));
}

// Who died is told by each form; the repair's own failing to hold on to the lock is told, too.
TEST(lock, a_repair_that_unlocks_has_nothing) {
  const std::string name = test::name("unlocks");
  Mutex *self = nullptr;
  Mutex mutex(name, repairing([&] { self->repaired(), self->unlock(); }));
  self = &mutex;
  dies_holding(name);
  CHECK_THROWS(EPERM, mutex.lock());
  dies_holding(name);
  std::error_code ec;
  CHECK(!mutex.lock(test::soon(), ec) && ec == std::errc::operation_not_permitted);
  CHECK(mutex.holder().state == State::Free && mutex.holder().condition == Condition::Whole);
  mutex.close();
  CHECK(muster::Region::remove(name));
}

TEST(lock, lies_where_its_user_wants) {
  void *memory = test::shared_memory(Mutex::size());
  CHECK_THROWS(EBADMSG, Mutex::attach(memory, Mutex::size()));
  CHECK_THROWS(EINVAL, Mutex::init(memory, Mutex::size() - 1));
  Mutex::init(memory, Mutex::size());
  int repairs = 0;
  Mutex mutex = Mutex::attach(memory, Mutex::size(), [&] { repairs++; });
  test::join(test::child([&] {
    Mutex::attach(memory, Mutex::size()).lock();
    raise(SIGKILL);
  }), SIGKILL);
  std::scoped_lock held(mutex);
  CHECK(repairs == 1 && mutex.name().empty());
}

TEST(lock, says_what_is_known_of_a_holder) {
  const muster_lock_holder plain = {MUSTER_LOCK_DEAD, MUSTER_LOCK_POISONED, 7, 8, 1500, 9, 0};
  const muster::LockHolder holder = muster::detail::holder_of(plain);
  CHECK(holder.state == State::Dead && holder.condition == Condition::Poisoned && holder.pid == 7 && holder.died == 9);
  CHECK(holder.thread == 8 && holder.since == std::chrono::steady_clock::time_point(1500ns));
  const muster::LockHolder nobody = muster::detail::holder_of({});
  CHECK(!nobody.pid && !nobody.died && !nobody.since && nobody.state == State::Free);
}
