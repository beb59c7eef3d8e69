// Counters: snapshots, one writer, and its death.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "test.hpp"

using muster::Flags;
using muster::Seqlock;

static muster::SeqlockOptions to_read() {
  muster::SeqlockOptions options;
  options.flags = Flags::Attach | Flags::ReadOnly;
  return options;
}

TEST(seqlock, is_written_and_read_as_one_snapshot) {
  const std::string name = test::name("load");
  muster::SeqlockOptions options;
  options.words = 3;
  options.layout = 7;
  options.labels = {"requests", "errors"};
  Seqlock writer(name, options), reader(name, to_read());
  CHECK_THROWS(EPERM, writer.add(0, 1));
  CHECK_THROWS(EACCES, reader.claim());
  const muster::SeqlockClaim claim = writer.claim();
  CHECK(claim.sequence == 0 && !claim.died && !claim.pid);
  CHECK_THROWS(EALREADY, writer.claim());
  writer.write({1, 2, 3});
  writer.add(0, 10);
  writer.set(2, 30);
  const auto seen = reader.read<3>();
  CHECK(seen.sequence == 3 && seen.words == std::array<std::uint64_t, 3>{11, 2, 30});
  CHECK(reader.read<2>(1).words[1] == 30 && reader[0] == 11 && reader.sequence() == 3);
  std::uint64_t some[2];
  CHECK(reader.read(some, 2) == 3 && some[1] == 2);
  writer.write(std::array<std::uint64_t, 2>{5, 6});
  CHECK(reader.reader().read<3>().words[2] == 30 && reader.reader()[0] == 5);

  CHECK_THROWS(EINVAL, reader.read<4>());
  CHECK_THROWS(EINVAL, reader.read<1>(3));
  CHECK_THROWS(EINVAL, writer.write({1, 2, 3, 4}));
  CHECK_THROWS(EINVAL, writer.set(3, 0));
  std::error_code ec;
  reader.read(some, SIZE_MAX, ec);
  CHECK(ec == std::errc::invalid_argument);
  writer.add(9, 1, ec);
  CHECK(ec == std::errc::invalid_argument);
  writer.add(1, 1, ec);
  CHECK(!ec && reader[1] == 7);

  CHECK(reader.words() == 3 && reader.label(1) == "errors" && reader.label(2).empty() && reader.layout() == 7);
  CHECK(reader.find("errors") == 1u && !reader.find("nothing"));
  CHECK_THROWS(EINVAL, reader.label(3));
  writer.release();
  CHECK(!reader.writer());
  CHECK_THROWS(EPERM, writer.add(0, 1));
  writer.close(), reader.close();
  CHECK(reader.sequence() == 0 && muster::Region::remove(name));
}

TEST(seqlock, readers_see_whole_writes_and_learn_of_the_death) {
  const std::string name = test::name("torn");
  Seqlock made(name, 2);
  const pid_t child = test::child([&] {
    Seqlock writer(name, 2);
    writer.claim();
    for (std::uint64_t n = 1;; n++) writer.write({n, 100 * n});
  });
  made.wait_writer(test::soon());
  CHECK(made.writer()->alive && made.writer()->pid == child);
  CHECK(CHECK_THROWS(EBUSY, made.claim()).pid() == child);
  CHECK(!made.try_claim());
  Seqlock reader(name, to_read());
  const muster::SeqlockReader view = reader.reader();
  std::uint64_t sequence = 0;
  for (int k = 0; k < 1000; k++) {
    reader.wait(sequence, test::soon());
    const auto now = view.read<2>();
    CHECK(now.words[1] == 100 * now.words[0] && now.sequence == now.words[0] && now.sequence > sequence);
    sequence = now.sequence;
  }
  REQUIRE(::kill(child, SIGSTOP) == 0 && waitpid(child, nullptr, WUNTRACED) == child);
  CHECK(view.read<2>().sequence == reader.sequence());
  test::kill(child);
  // Whole values may be newer than the one that was seen; then comes the news.
  std::error_code ec;
  while (!ec) sequence = reader.wait(sequence, test::soon(), ec);
  CHECK(ec == std::errc::owner_dead);
  const muster::error died = CHECK_THROWS(EOWNERDEAD, reader.wait(sequence, test::soon()));
  CHECK(died.pid() == child && !reader.writer()->alive);
  const auto claim = made.try_claim();
  CHECK(claim && claim->died && claim->pid == child && claim->sequence == sequence);
  made.add(0, 1);
  CHECK(reader.read<2>().words[0] == sequence + 1);
  CHECK_THROWS(ETIMEDOUT, reader.wait(reader.sequence(), std::chrono::milliseconds(1)));
  made.close(), reader.close();
  CHECK(muster::Region::remove(name));
}

TEST(seqlock, belongs_to_thread_and_process) {
  const std::string name = test::name("owned");
  Seqlock first(name, 1);
  first.claim();
  Seqlock mine = std::move(first);
  CHECK(!first && first.words() == 0);
  CHECK_THROWS(EBADF, first.set(0, 1));
  mine.add(0, 1);
  std::thread([&] {
    mine.add(0, 1);
    CHECK_THROWS(EBUSY, mine.release());
    CHECK_THROWS(EBUSY, mine.close());
  }).join();
  test::join(test::child([&] {
    CHECK_THROWS(EPERM, mine.add(0, 1));
    CHECK_EQUAL(mine[0], 2u);
  }));
  CHECK_THROWS(EPROTO, Seqlock(name, 2));
  mine = Seqlock();
  CHECK(muster::Region::remove(name));
}

TEST(seqlock, each_form_with_a_code_does_what_its_other_does) {
  const std::string name = test::name("codes");
  muster::SeqlockOptions options;
  options.words = 2, options.layout = 7;
  Seqlock counters(name, options);
  std::error_code ec;
  options.labels = {std::string("a\0b", 3)};
  CHECK_THROWS(EINVAL, Seqlock(name, options));
  options.labels.clear(), options.layout = 8;
  const muster::error layout = CHECK_THROWS(EPROTO, Seqlock(name, options));
  CHECK(layout.mismatch() && layout.mismatch()->kind == MUSTER_MISMATCH_LAYOUT && layout.mismatch()->found == 7);
  const std::uint64_t words[3] = {1, 2, 3};
  counters.write(words, 2, ec);
  CHECK(ec == std::errc::operation_not_permitted);
  counters.wait_writer(std::chrono::milliseconds(1), ec);
  CHECK(ec == std::errc::timed_out);
  CHECK(counters.claim(ec).sequence == 0 && !ec);
  counters.claim(ec);
  CHECK(ec == std::errc::connection_already_in_progress);
  counters.write(words, 2, ec);
  CHECK(!ec && counters[1] == 2);
  counters.write(words, 3, ec);
  CHECK(ec == std::errc::invalid_argument);
  CHECK_THROWS(EINVAL, counters.write(words, std::size_t(UINT32_MAX) + 2));
  counters.set(0, 5, ec);
  CHECK(!ec && counters[0] == 5);
  counters.set(2, 5, ec);
  CHECK(ec == std::errc::invalid_argument);
  counters.wait_writer(test::soon(), ec);
  CHECK(!ec);
  counters.release(ec);
  CHECK(!ec);
  counters.release(ec);
  CHECK(ec == std::errc::invalid_argument);
  Seqlock moved = std::move(counters);
  counters = std::move(moved);
  CHECK(counters.reader()[0] == 5 && moved.words() == 0);
  const muster::SeqlockReader before = counters.reader();
  CHECK(before[0] == 5);
  counters.close();
  CHECK(counters.words() == 0 && !counters && muster::Region::remove(name));
  CHECK_THROWS(EBADF, counters[0]);
  CHECK_THROWS(EBADF, counters.set(0, 1));
}

TEST(seqlock, a_read_only_look_stores_nothing) {
  const std::size_t size = Seqlock::size(2);
  void *memory = test::shared_memory(size);
  Seqlock::init(memory, size, 2);
  CHECK_THROWS(EACCES, Seqlock::attach_read_only(memory, size).claim());
}

TEST(seqlock, lies_where_its_user_wants) {
  const std::size_t size = Seqlock::size(2);
  void *memory = test::shared_memory(size);
  Seqlock::init(memory, size, 2);
  Seqlock writer = Seqlock::attach(memory, size), reader = Seqlock::attach_read_only(memory, size);
  writer.claim();
  writer.write({1, 2});
  CHECK(reader[1] == 2 && reader.name().empty());
}
