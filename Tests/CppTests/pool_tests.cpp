// Pools: blocks that are freed, given, offered, taken, and that come back from the dead.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <thread>

#include "test.hpp"

using namespace std::chrono_literals;

using muster::Pool;
using muster::PoolBlock;
using muster::PoolBlockName;
using muster::PoolOptions;

static PoolOptions of(std::uint32_t block_size, std::uint32_t blocks, std::uint32_t members) {
  PoolOptions options;
  options.block_size = block_size;
  options.blocks = blocks;
  options.members = members;
  return options;
}

TEST(pool, blocks_are_freed_where_their_object_ends) {
  const std::string name = test::name("pool");
  Pool pool(name, of(100, 2, 2));
  CHECK(pool && pool.name() == name && pool.block_size() == 128 && !pool.member());
  CHECK_THROWS(EPERM, pool.alloc(test::soon()));
  CHECK_THROWS(EPERM, pool.try_alloc());
  const std::uint32_t me = pool.join();
  CHECK(pool.member() == me);
  CHECK_THROWS(EALREADY, pool.join());
  {
    PoolBlock first = pool.alloc(test::soon());
    CHECK(first && first.size() == 128 && first.name() != MUSTER_POOL_NONE);
    std::memset(first.data(), 1, first.size());
    std::optional<PoolBlock> second = pool.try_alloc();
    CHECK(second && second->name() != first.name() && second->data() != first.data());
    CHECK(!pool.try_alloc());
    CHECK_THROWS(ETIMEDOUT, pool.alloc(muster::Deadline::now()));
    std::error_code ec;
    CHECK(!pool.alloc(1ms, ec) && ec == std::errc::timed_out);
    CHECK(pool.state().owned == 2 && pool.owner(me).blocks == 2 && pool.owner(me).pid == getpid());
    CHECK(pool.owners().size() == pool.state().members && pool.owners().at(me).blocks == 2);
    CHECK_EQUAL(pool.blocks_of(me).size(), 2u);

    PoolBlock moved = std::move(first);
    CHECK(!first && moved);
    moved = std::move(*second);  // frees what it had
    CHECK_EQUAL(pool.state().free, 1u);
    moved.free();
    CHECK(!moved && !moved.data() && moved.name() == MUSTER_POOL_NONE);
    CHECK_EQUAL(pool.state().free, 2u);
    CHECK_THROWS(EBADF, moved.free());
    PoolBlock gone = pool.alloc(test::soon());
    CHECK(muster_pool_free(pool.get(), gone.name()) == 0);
    CHECK(std::string(CHECK_THROWS(ESTALE, gone.free()).what()).find(name) != std::string::npos);
  }
  CHECK_EQUAL(pool.state().free, 2u);
  pool.leave();
  CHECK_THROWS(EINVAL, pool.leave());
  pool.close(), pool.close();
  CHECK_THROWS(EBADF, pool.state());
  CHECK_THROWS(EBADF, pool.adopt(1));
  CHECK(muster::Region::remove(name));
}

TEST(pool, an_exception_frees) {
  const std::size_t size = Pool::size(64, 3, 1);
  void *memory = test::shared_memory(size);
  CHECK_THROWS(EBADMSG, Pool::attach(memory, size));
  Pool::init(memory, size, 64, 3, 1);
  Pool pool = Pool::attach(memory, size);
  pool.join();
  try {
    PoolBlock block = pool.alloc(test::soon());
    throw std::runtime_error("in between");
  } catch (const std::runtime_error &) {
  }
  CHECK(pool.state().free == 3 && pool.name().empty());
}

TEST(pool, a_name_of_an_earlier_life_is_refused) {
  const std::string name = test::name("stale");
  Pool pool(name, of(16, 1, 1));
  pool.join();
  const PoolBlockName before = pool.alloc(test::soon()).name();
  CHECK_THROWS(ESTALE, pool.adopt(before));
  CHECK_THROWS(ESTALE, pool.try_take(before));
  CHECK_THROWS(EINVAL, pool.adopt(2));
  const PoolBlockName kept = pool.alloc(test::soon()).release();
  CHECK(kept != before && pool.state().owned == 1);
  pool.adopt(kept).free();
  CHECK_EQUAL(pool.state().free, 1u);
  pool.close();
  CHECK(muster::Region::remove(name));
}

TEST(pool, what_is_given_is_the_receivers) {
  const std::string name = test::name("given");
  Pool pool(name, of(64, 4, 2));
  pool.join();
  PoolBlockName *board = static_cast<PoolBlockName *>(test::shared_memory(sizeof *board * 2));
  PoolBlock block = pool.alloc(test::soon());
  CHECK(CHECK_THROWS(EOWNERDEAD, block.give(1)).member() == 1u);
  std::error_code ec;
  block.give(2, ec);
  CHECK(ec == std::errc::invalid_argument && block);
  const pid_t receiver = test::child([&] {
    Pool mine(name, of(64, 4, 2));
    __atomic_store_n(&board[1], mine.join() + 1, __ATOMIC_RELEASE);
    test::until([&] { return __atomic_load_n(&board[0], __ATOMIC_ACQUIRE) != 0; });
    const PoolBlock received = mine.adopt(board[0]);
    CHECK(std::strcmp(static_cast<const char *>(received.data()), "for you") == 0);
    CHECK(mine.blocks_of(*mine.member()).at(0) == received.name());
  });
  test::until([&] { return __atomic_load_n(&board[1], __ATOMIC_ACQUIRE) != 0; });
  std::strcpy(static_cast<char *>(block.data()), "for you");
  const PoolBlockName given = block.name();
  block.give(static_cast<std::uint32_t>(board[1] - 1));
  CHECK(!block);
  CHECK_THROWS(EBUSY, pool.adopt(given));
  __atomic_store_n(&board[0], given, __ATOMIC_RELEASE);
  test::join(receiver);
  CHECK_EQUAL(pool.state().free, 4u);
  pool.close();
  CHECK(muster::Region::remove(name));
}

static void offer_and_take(const std::string &name) {
  Pool pool(name, of(64, 4, 2));
  pool.join();
  Pool other(name, of(64, 4, 2));
  CHECK_THROWS(EPERM, other.try_take(1));
  test::join(test::child([&] {
    // Of the child's own: handles are not inherited.
    std::error_code ec;
    other.join(ec);
    CHECK(ec == std::errc::operation_not_permitted);
  }));
  other.join();
  PoolBlock block = pool.alloc(test::soon()), kept = pool.alloc(test::soon());
  CHECK_THROWS(EALREADY, block.withdraw());
  const PoolBlockName offered = block.offer();
  CHECK_THROWS(EALREADY, block.offer());
  {
    const std::optional<PoolBlock> taken = other.try_take(offered);
    CHECK(taken && taken->name() == offered);
    CHECK(!pool.try_take(offered));
    CHECK(!block.withdraw() && !block);
    CHECK(!other.try_take(kept.name()));
    CHECK(kept.offer() == kept.name() && kept.withdraw() && kept);
  }
  CHECK_THROWS(ESTALE, pool.try_take(offered));
  // Ends without a block of its own, once it was taken, and frees nothing of the other's.
  PoolBlock third = pool.alloc(test::soon());
  const std::optional<PoolBlock> taken = other.try_take(third.offer());
  third = PoolBlock();
  CHECK(taken && other.owner(*other.member()).blocks == 1);
}

TEST(pool, what_is_offered_goes_to_the_first) {
  const std::string name = test::name("offered");
  offer_and_take(name);
  CHECK(muster::Region::remove(name));
}

TEST(pool, what_the_dead_had_comes_back) {
  const std::string name = test::name("dead");
  Pool pool(name, of(64, 2, 2));
  pool.join();
  const pid_t child = test::child([&] {
    Pool mine(name, of(64, 2, 2));
    mine.join();
    const PoolBlock one = mine.alloc(test::soon()), two = mine.alloc(test::soon());
    for (;;) pause();
  });
  test::until([&] { return pool.state().owned == 2; });
  CHECK(!pool.try_alloc());
  kill(child, SIGKILL);
  PoolBlock block = pool.alloc(test::soon());
  test::join(child, SIGKILL);
  CHECK(block && pool.state().free == 1 && pool.reclaim() == 0);
  block.free();
  CHECK(pool.owner(1).state == muster::Member::State::Dead && pool.owner(1).pid == child);
  pool.close();
  CHECK(muster::Region::remove(name));
}

TEST(pool, belongs_to_a_thread_and_is_used_by_many) {
  const std::string name = test::name("threads");
  Pool pool(name, of(64, 64, 1));
  pool.join();
  std::vector<std::thread> threads;
  for (int k = 0; k < 3; k++)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; i++) {
        const PoolBlock one = pool.alloc(test::soon()), two = pool.alloc(test::soon());
        CHECK(one.data() != two.data());
      }
    });
  for (std::thread &thread : threads) thread.join();
  CHECK_EQUAL(pool.state().free, 64u);
  std::thread([&] {
    CHECK_THROWS(EBUSY, pool.leave());
    std::error_code ec;
    pool.close(ec);
    CHECK(ec == std::errc::device_or_resource_busy && pool);
  }).join();
  pool.close();
  CHECK(muster::Region::remove(name));
}
