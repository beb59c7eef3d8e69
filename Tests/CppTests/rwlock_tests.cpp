// Read-write locks: many read, one writes, and either may die.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "test.hpp"

using namespace std::chrono_literals;

using muster::Deadline;
using muster::ReadWriteLock;
using Condition = muster::LockHolder::Condition;
using State = muster::LockHolder::State;

static ReadWriteLock attached(const std::string &name) {
  muster::ReadWriteLockOptions options;
  options.flags = muster::Flags::Attach;
  return ReadWriteLock(name, options);
}

static pid_t dies_writing(const std::string &name) {
  const pid_t pid = test::child([&] {
    ReadWriteLock lock = attached(name);
    lock.lock();
    raise(SIGKILL);
  });
  test::join(pid, SIGKILL);
  return pid;
}

static muster::ReadWriteLockOptions repairing(std::uint32_t capacity, muster::Repair repair) {
  muster::ReadWriteLockOptions options;
  options.capacity = capacity;
  options.repair = std::move(repair);
  return options;
}

TEST(rwlock, readers_see_what_writers_left_whole) {
  const std::string name = test::name("table");
  auto *sums = static_cast<std::uint64_t *>(test::shared_memory(2 * sizeof(std::uint64_t)));
  ReadWriteLock mine(name, 4);
  pid_t others[3];
  for (pid_t &other : others) {
    other = test::child([&] {
      ReadWriteLock lock(name, 4);
      for (int k = 0; k < 500; k++) {
        {
          std::scoped_lock writes(lock);
          sums[0]++, sums[1]++;
        }
        std::shared_lock reads(lock);
        CHECK_EQUAL(sums[0], sums[1]);
      }
    });
  }
  for (std::uint64_t seen = 0; seen < 1500;) {
    std::shared_lock reads(mine);
    CHECK_EQUAL(sums[0], sums[1]);
    seen = sums[0];
  }
  for (pid_t other : others) test::join(other);
  mine.close(), mine.close();
  CHECK(!mine && mine.capacity() == 0 && muster::Region::remove(name));
}

TEST(rwlock, is_what_the_guards_of_the_library_expect) {
  const std::string name = test::name("guards");
  ReadWriteLock a(name, 4), b(name, 4), c(name, 4), full(name, 4);
  CHECK_THROWS(EOVERFLOW, ReadWriteLock(name, 4));
  full.close();
  CHECK(a.capacity() == 4 && a.name() == name);
  std::error_code ec;
  {
    std::shared_lock first(a), second(b, 20s);
    CHECK(second.owns_lock());
    const muster::ReadWriteLockHolders holders = c.holders();
    CHECK(holders.readers.count() == 2 && holders.readers.test(0) && holders.readers.test(1));
    CHECK(holders.writer.state == State::Free);
    CHECK(c.reader(0).state == State::Held && c.reader(0).pid == getpid() && c.reader(2).state == State::Free);
    CHECK(!c.try_lock() && !c.try_lock_for(1ms) && !c.try_lock_until(Deadline::now()));
    CHECK_THROWS(ETIMEDOUT, c.lock(1ms));
    CHECK(!c.lock(Deadline::now(), ec) && ec == std::errc::timed_out);
    CHECK_THROWS(EDEADLK, a.lock_shared());
    CHECK_THROWS(EDEADLK, a.lock());
  }
  CHECK(c.holders().readers.none());
  {
    std::scoped_lock writes(c);
    CHECK(a.holders().writer.state == State::Held && a.holders().writer.pid == getpid());
    CHECK(!a.try_lock_shared() && !a.try_lock_shared_for(1ms) && !a.try_lock_shared_until(Deadline::now()));
    CHECK(CHECK_THROWS(ETIMEDOUT, a.lock_shared(1ms)).pid() == getpid());
    CHECK(!a.lock_shared(Deadline::now(), ec) && ec == std::errc::timed_out);
    std::thread([&] {
      ReadWriteLock d = attached(name);
      CHECK(!d.try_lock() && !d.try_lock_for(1ms) && !d.try_lock_until(Deadline::now()));
      CHECK(CHECK_THROWS(ETIMEDOUT, d.lock(1ms)).pid() == getpid());
    }).join();
    CHECK_THROWS(EDEADLK, a.try_lock());
  }
  CHECK(a.try_lock_shared() && b.try_lock_shared_for(20s) && c.try_lock_shared_until(test::soon()));
  a.unlock_shared(), b.unlock_shared(), c.unlock_shared();
  CHECK(a.try_lock());
  a.unlock();
  CHECK(a.try_lock_for(20s));
  a.unlock();
  CHECK(a.lock(test::soon(), ec) && !ec);
  a.unlock(ec);
  CHECK(!ec && a.lock_shared(test::soon(), ec) && !ec && a.holders().readers.test(0));
  a.unlock(ec);
  CHECK(!ec);
  a.unlock(ec);
  CHECK(ec == std::errc::operation_not_permitted);
  a.close(), b.close(), c.close();
  CHECK(muster::Region::remove(name));
}

TEST(rwlock, a_dead_reader_is_counted_out) {
  const std::string name = test::name("reader");
  ReadWriteLock mine(name, 2);
  const pid_t other = test::child([&] {
    ReadWriteLock lock(name, 2);
    lock.lock_shared();
    for (;;) pause();
  });
  test::until([&] { return mine.holders().readers.test(1); });
  CHECK(!mine.try_lock());
  test::kill(other);
  { std::scoped_lock writes(mine); }
  CHECK(mine.holders().readers.none() && mine.reader(1).state == State::Dead && mine.reader(1).pid == other);
  CHECK_THROWS(EINVAL, mine.reader(2));
  mine.close();
  CHECK(muster::Region::remove(name));
}

TEST(rwlock, a_repair_makes_it_whole_for_every_way_to_lock) {
  const std::string name = test::name("repair");
  int repairs = 0;
  ReadWriteLock *held_by = nullptr;
  ReadWriteLock first(name, repairing(2, [&] {
    CHECK(held_by->holders().writer.condition == Condition::Unrepaired);
    CHECK(held_by->holders().writer.pid == getpid());
    repairs++;
  }));
  ReadWriteLock lock = std::move(first);
  held_by = &lock;
  std::error_code ec;
  const std::function<void()> ways[] = {
      [&] { std::scoped_lock writes(lock); },
      [&] { std::shared_lock reads(lock); CHECK(lock.holders().readers.test(0)); },
      [&] { CHECK(lock.try_lock()); lock.unlock(); },
      [&] { CHECK(lock.try_lock_shared() && lock.holders().readers.test(0)); lock.unlock(); },
      [&] { CHECK(lock.try_lock_for(20s)); lock.unlock(); },
      [&] { CHECK(lock.try_lock_shared_for(20s) && lock.holders().readers.test(0)); lock.unlock(); },
      [&] { lock.lock_shared(test::soon()), lock.unlock(); },
      [&] { CHECK(lock.lock(test::soon(), ec) && !ec); lock.unlock(); },
      [&] { CHECK(lock.lock_shared(test::soon(), ec) && !ec); lock.unlock(); },
  };
  int deaths = 0;
  for (const auto &way : ways) {
    dies_writing(name);
    CHECK(lock.holders().writer.condition == Condition::Unrepaired);
    way();
    CHECK_EQUAL(repairs, ++deaths);
    CHECK(lock.holders().writer.condition == Condition::Whole && lock.holders().writer.state == State::Free);
    CHECK(lock.holders().readers.none());
  }
  lock.close();
  CHECK(muster::Region::remove(name));
}

TEST(rwlock, a_repair_that_throws_poisons_it_and_comes_out) {
  const std::string name = test::name("throw");
  std::error_code ec;
  ReadWriteLock lock(name, repairing(3, [] { throw std::runtime_error("no copy"); }), ec), plain(name, 3);
  const std::function<void()> ways[] = {[&] { std::scoped_lock writes(lock); }, [&] { std::shared_lock reads(lock); },
                                        [&] { (void)lock.try_lock_shared(); },
                                        [&] { (void)lock.lock_shared(test::soon(), ec); }};
  for (const auto &way : ways) {
    const pid_t dead = dies_writing(name);
    std::string said;
    try {
      way();
    } catch (const std::runtime_error &no) {
      said = no.what();
    }
    CHECK_EQUAL(said, "no copy");
    CHECK(lock.holders().writer.condition == Condition::Poisoned && lock.holders().writer.state == State::Free);
    CHECK(CHECK_THROWS(ENOTRECOVERABLE, lock.lock_shared()).pid() == dead);
    CHECK(CHECK_THROWS(ENOTRECOVERABLE, lock.lock()).pid() == dead);
    CHECK_THROWS(ENOTRECOVERABLE, lock.try_lock_shared_for(20s));
    plain.reset();
    CHECK(plain.lock(test::soon(), ec) && ec == std::errc::owner_dead);
    plain.repaired(), plain.unlock();
  }
  lock.close(), plain.close();
  CHECK(muster::Region::remove(name));
}

TEST(rwlock, without_a_repair_a_writer_poisons_and_a_reader_does_not) {
  const std::string name = test::name("none");
  ReadWriteLock lock(name, 2);
  const pid_t dead = dies_writing(name);
  std::error_code ec;
  CHECK(CHECK_THROWS(EOWNERDEAD, lock.lock_shared()).pid() == dead);
  CHECK_THROWS(EOWNERDEAD, lock.try_lock_shared());
  CHECK_THROWS(EOWNERDEAD, lock.try_lock_shared_for(20s));
  CHECK(!lock.lock_shared(test::soon(), ec) && ec == std::errc::owner_dead);
  CHECK(lock.holders().writer.condition == Condition::Unrepaired && lock.holders().readers.none());
  const muster::error died = CHECK_THROWS(EOWNERDEAD, lock.lock());
  CHECK(died.pid() == dead && lock.holders().writer.condition == Condition::Poisoned);
  CHECK_EQUAL(std::string(died.what()),
              "Can't lock for writing \"" + name + "\": process " + std::to_string(dead) + " died (EOWNERDEAD).");
  lock.reset(ec);
  CHECK(!ec);
  CHECK_THROWS(EOWNERDEAD, lock.try_lock());
  lock.reset();
  CHECK_THROWS(EPERM, lock.repaired());
  lock.repaired(ec);
  CHECK(ec == std::errc::operation_not_permitted);
  CHECK(lock.lock(test::soon(), ec) && ec == std::errc::owner_dead);
  {
    std::unique_lock writes(lock, std::adopt_lock);
    lock.repaired(ec);
    CHECK(!ec);
  }
  { std::shared_lock reads(lock); }
  lock.close();
  CHECK(muster::Region::remove(name));
}

TEST(rwlock, who_dies_while_repairing_is_told) {
  const std::string name = test::name("again");
  ReadWriteLock lock(name, 3);
  dies_writing(name);
  const pid_t second = test::child([&] {
    ReadWriteLock mine = attached(name);
    std::error_code ec;
    CHECK(mine.lock(test::soon(), ec) && ec == std::errc::owner_dead);
    raise(SIGKILL);
  });
  test::join(second, SIGKILL);
  CHECK(CHECK_THROWS(EOWNERDEAD, lock.lock_shared()).pid() == second);
  CHECK(CHECK_THROWS(EOWNERDEAD, lock.lock()).pid() == second);
  lock.close();
  CHECK(muster::Region::remove(name));
}

TEST(rwlock, has_places_for_many) {
  const std::string name = test::name("many");
  std::vector<ReadWriteLock> locks;
  for (std::uint32_t k = 0; k < 70; k++) locks.emplace_back(name, 70);
  locks[3].lock_shared(), locks[68].lock_shared();
  const muster::MemberSet readers = locks[0].holders().readers;
  CHECK(readers.count() == 2 && readers.test(3) && readers.test(68));
  locks[3].unlock_shared(), locks[68].unlock_shared();
  locks.clear();
  CHECK(muster::Region::remove(name));
}

TEST(rwlock, belongs_to_thread_and_process) {
  const std::string name = test::name("owned");
  ReadWriteLock lock(name, 2);
  std::error_code ec;
  std::thread([&] {
    CHECK_THROWS(EPERM, lock.lock());
    CHECK_THROWS(EPERM, lock.lock_shared());
    CHECK_THROWS(EBUSY, lock.close());
  }).join();
  lock.lock_shared();
  lock.close(ec);
  CHECK(ec == std::errc::device_or_resource_busy && lock);
  test::join(test::child([&] {
    CHECK_THROWS(EPERM, lock.lock());
    CHECK_THROWS(EPERM, lock.holders());
    CHECK_THROWS(EPERM, lock.reset());
    lock.unlock_shared();
  }));
  CHECK(lock.holders().readers.test(0));
  lock.unlock_shared();
  muster::ReadWriteLockOptions options;
  options.flags = muster::Flags::Attach | muster::Flags::ReadOnly;
  ReadWriteLock looks(name, options);
  CHECK_THROWS(EACCES, looks.lock_shared());
  CHECK(looks.capacity() == 2);
  const muster::error other = CHECK_THROWS(EPROTO, ReadWriteLock(name, 3));
  CHECK(other.mismatch() && other.mismatch()->kind == MUSTER_MISMATCH_SIZE);
  CHECK(!ReadWriteLock(name, repairing(3, {}), ec) && ec == std::errc::protocol_error);
  looks.close(), lock.close();
  CHECK(muster::Region::remove(name));
}

TEST(rwlock, lies_where_its_user_wants) {
  const std::size_t size = ReadWriteLock::size(2);
  void *memory = test::shared_memory(size);
  CHECK_THROWS(EBADMSG, ReadWriteLock::attach(memory, size));
  CHECK_THROWS(EINVAL, ReadWriteLock::init(memory, size, 3));
  ReadWriteLock::init(memory, size, 2);
  int repairs = 0;
  ReadWriteLock lock = ReadWriteLock::attach(memory, size, [&] { repairs++; });
  test::join(test::child([&] {
    ReadWriteLock::attach(memory, size).lock();
    raise(SIGKILL);
  }), SIGKILL);
  std::shared_lock reads(lock);
  CHECK(repairs == 1 && lock.name().empty() && lock.capacity() == 2);
}
