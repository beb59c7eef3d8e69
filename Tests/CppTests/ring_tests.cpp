// Rings: both ends, batches, ranges, what was lost, and writers that die.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "test.hpp"

using namespace std::chrono_literals;

using muster::Deadline;
using muster::Flags;
using muster::Ring;
using muster::RingBatch;
using muster::RingMode;
using muster::RingOptions;
using muster::RingReader;
using muster::RingRecord;
using muster::RingStart;
using muster::RingState;
using muster::RingWriter;

static RingOptions of_bytes(std::uint32_t bytes, std::optional<RingMode> mode = std::nullopt) {
  RingOptions options;
  options.bytes = bytes;
  options.mode = mode;
  return options;
}

static RingOptions attached(std::optional<RingMode> mode = std::nullopt) {
  RingOptions options = of_bytes(0, mode);
  options.flags = Flags::Attach;
  return options;
}

static std::string all(RingReader &reader) {
  std::string text;
  for (const RingRecord &record : reader.each(Deadline::now())) text.append(record.text()).append(" ");
  return text;
}

TEST(ring, records_are_copied_or_written_in_place) {
  const std::string name = test::name("events");
  RingWriter writer(name, of_bytes(4096));
  CHECK(!writer.found().died && !writer.found().pid && writer.position().number == 0);
  RingReader reader(name, of_bytes(4096));
  std::error_code ec;
  writer.write("one", test::soon());
  writer.write("two!", 3, test::soon());
  writer.write("three", 5, test::soon(), ec);
  CHECK(!ec);
  writer.write({}, test::soon());
  writer.write_value(std::uint64_t(5), test::soon());
  std::memcpy(writer.claim(3, test::soon()), "six", 3);
  CHECK(writer.position().number == 5);
  writer.commit();
  void *place = writer.claim(5, test::soon(), ec);
  REQUIRE(!ec && place && reinterpret_cast<std::uintptr_t>(place) % 8 == 0);
  std::memcpy(place, "seven", 5);
  writer.commit(ec);
  CHECK(!ec && writer.position().number == 7);
  CHECK_THROWS(EINVAL, writer.commit());
  writer.commit(ec);
  CHECK(ec == std::errc::invalid_argument);
  CHECK_THROWS(EINVAL, writer.claim(1025, test::soon()));
  CHECK_THROWS(EINVAL, writer.claim(SIZE_MAX, test::soon()));
  CHECK(!writer.claim(std::size_t(UINT32_MAX) + 9, test::soon(), ec) && ec == std::errc::invalid_argument);
  CHECK_THROWS(EINVAL, writer.write("", std::size_t(UINT32_MAX) + 2, test::soon()));

  RingRecord record;
  REQUIRE(reader.next(record));
  CHECK(record.text() == "one" && record.number == 0 && record.position == 0 && record.lost == 0);
  CHECK(!record.as<std::uint64_t>());
  const auto second = reader.next();
  CHECK(second && second->text() == "two" && second->number == 1 && reader.still_valid(*second));
  CHECK(reader.next()->text() == "three" && reader.next()->size == 0 && reader.next()->as<std::uint64_t>() == 5u);
  CHECK_EQUAL(all(reader), "six seven ");
  CHECK(!reader.next() && !reader.next(record) && reader.position().number == 7);
  reader.release();
  CHECK(reader.ring().reader(0).lag == 0 && reader.ring().reader(0).pid == getpid());
  CHECK_THROWS(EINVAL, reader.ring().reader(64));

  const RingState state = reader.ring().look();
  CHECK(state.mode == RingMode::Lossless && state.bytes == 4096 && state.largest == 1024 && state.readers == 1);
  CHECK(state.writer == RingState::Writer::Alive && state.writer_pid == getpid() && state.end.number == 7);
  CHECK(state.oldest == 0 && writer.ring().name() == name && state.end.position == writer.position().position);
  writer.close(), writer.close(), reader.close(), reader.close();
  CHECK(!writer && !reader && muster::Region::remove(name));
}

TEST(ring, a_batch_is_published_whole_or_not_at_all) {
  const std::string name = test::name("batch");
  RingWriter writer(name, of_bytes(4096));
  RingReader reader(name, of_bytes(4096));
  {
    RingBatch batch(writer);
    std::memcpy(batch.claim(1, test::soon()), "a", 1);
    std::memcpy(batch.claim(1, test::soon()), "b", 1);
    CHECK(!reader.next());
    batch.commit();
    CHECK_EQUAL(all(reader), "a b ");
    std::memcpy(batch.claim(1, test::soon()), "c", 1);
    batch.commit();
    // What is none of its own it leaves alone.
    std::memcpy(writer.claim(2, test::soon()), "c2", 2);
  }
  writer.commit();
  try {
    RingBatch batch(writer);
    std::memcpy(batch.claim(1, test::soon()), "x", 1);
    throw std::runtime_error("no more");
  } catch (const std::runtime_error &) {
  }
  writer.write("d", test::soon());
  CHECK_EQUAL(all(reader), "c c2 d ");
  (void)writer.claim(1, test::soon());
  writer.cancel(), writer.cancel();
  writer.write("e", test::soon());
  CHECK_EQUAL(all(reader), "e ");
  RingBatch large(writer);
  CHECK_THROWS(EOVERFLOW, [&] { for (;;) (void)large.claim(1024, test::soon()); }());
  RingBatch empty(writer);
  CHECK_THROWS(EINVAL, (writer.cancel(), empty.commit()));
  writer.close(), reader.close();
  CHECK(muster::Region::remove(name));
}

TEST(ring, a_lossless_writer_waits_for_the_slowest) {
  const std::string name = test::name("slow");
  RingWriter writer(name, of_bytes(4096));
  RingReader reader(name, of_bytes(4096));
  const std::string text(1000, 'x');
  std::error_code ec;
  const auto fill = [&] {
    int count = 0;
    for (ec.clear(); !ec; count += !ec) writer.write(text.data(), text.size(), Deadline::now(), ec);
    return count;
  };
  CHECK(fill() == 4 && ec == std::errc::timed_out);
  CHECK_THROWS(ETIMEDOUT, writer.write(text, 1ms));
  CHECK_THROWS(ETIMEDOUT, writer.claim(1000, 1ms));
  CHECK(!writer.claim(1000, Deadline::now(), ec) && ec == std::errc::timed_out);
  // What was given is held until it is released: by hand, or by a range as it goes on, or when it ends.
  CHECK(reader.next() && reader.next() && fill() == 0);
  reader.release(ec);
  CHECK(!ec && fill() == 1 && reader.next());
  reader.release();
  CHECK_EQUAL(fill(), 1);
  int count = 0;
  for (const RingRecord &record : reader.each(Deadline::now())) {
    CHECK(record.number == static_cast<std::uint64_t>(3 + count));
    CHECK_EQUAL(fill(), count < 1 ? 0 : 1);
    if (++count == 3) break;
  }
  CHECK_EQUAL(fill(), 1);
  while (reader.next()) reader.release();
  // A reader that has died holds nothing up.
  const pid_t other = test::child([&] {
    RingReader mine(name, attached());
    for (;;) pause();
  });
  test::until([&] { return reader.ring().look().readers == 2; });
  test::kill(other);
  for (int k = 0; k < 10; k++) {
    writer.write(text, test::soon());
    CHECK(reader.next()->text() == text);
    reader.release();
  }
  writer.close(), reader.close();
  CHECK(muster::Region::remove(name));
}

TEST(ring, latest_tells_how_many_were_lost) {
  const std::string name = test::name("latest");
  RingWriter writer(name, of_bytes(4096, RingMode::Latest));
  RingOptions to_read;
  to_read.flags = Flags::Attach | Flags::ReadOnly;
  RingReader reader(name, to_read), copies(name, to_read), stays(name, to_read);
  for (std::uint64_t n = 0; n < 1000; n++) writer.write_value(n, Deadline::now());
  const auto first = reader.next();
  REQUIRE(first);
  CHECK(first->lost > 0 && first->lost == first->number && first->as<std::uint64_t>() == first->number);
  CHECK(reader.still_valid(*first));
  std::uint64_t value = 0;
  const auto copied = copies.read(&value, sizeof value);
  CHECK(copied && copied->lost == copied->number && value == copied->number && copied->bytes == &value);
  reader.release();
  std::uint64_t next = first->number + 1;
  for (const RingRecord &record : reader.each(Deadline::now())) CHECK(record.lost == 0 && record.number == next++);
  CHECK_EQUAL(next, 1000u);

  writer.write_value(next, Deadline::now());
  const auto overtaken = reader.next();
  REQUIRE(overtaken && overtaken->number == 1000);
  for (int n = 0; n < 1000; n++) writer.write_value(n, Deadline::now());
  CHECK(!reader.still_valid(*overtaken));
  const muster::error torn = CHECK_THROWS(ESTALE, reader.release());
  CHECK_EQUAL(torn.name(), name);
  const auto after = reader.next();
  CHECK(after && after->number - after->lost == 1000);
  for (int n = 0; n < 1000; n++) writer.write_value(n, Deadline::now());
  std::error_code ec;
  reader.release(ec);
  CHECK(ec == std::error_code(ESTALE, muster::category()));
  CHECK_THROWS(ESTALE, [&] {
    for (const RingRecord &record : stays.each(Deadline::now()))
      for (int n = 0; n < 1000; n++) writer.write("12345678", 8, Deadline::now()), (void)record;
  }());
  CHECK_THROWS(EACCES, RingWriter(Ring(name, to_read)));
  writer.close(), reader.close(), copies.close(), stays.close();
  CHECK(muster::Region::remove(name));
}

TEST(ring, is_read_by_copy_into_what_there_is) {
  const std::string name = test::name("copy");
  RingWriter writer(name, of_bytes(4096));
  RingReader reader(name, of_bytes(4096));
  std::vector<std::byte> buffer;
  CHECK(!reader.read(buffer) && buffer.empty());
  writer.write(std::string(300, 'a'), test::soon());
  writer.write("bc", test::soon());
  writer.write("", test::soon());
  writer.write("longer", test::soon());
  CHECK(reader.read(buffer)->number == 0 && buffer.size() == 300 && buffer[299] == std::byte('a'));
  CHECK(reader.read(buffer)->text() == "bc" && buffer.size() == 2);
  CHECK(reader.read(buffer)->size == 0 && buffer.empty());
  writer.write("", test::soon());
  char text[8] = "";
  CHECK_THROWS(EMSGSIZE, reader.read(text, 5));
  CHECK(reader.read(text, 6)->text() == "longer" && reader.read(buffer)->size == 0);
  CHECK(!reader.read(text, sizeof text));
  CHECK(reader.ring().reader(0).lag == 0);
  writer.close(), reader.close();
  CHECK(muster::Region::remove(name));
}

TEST(ring, a_reader_begins_where_it_wants) {
  const std::string name = test::name("places");
  RingWriter writer(name, of_bytes(4096));
  for (const char *text : {"a", "b", "c"}) writer.write(text, test::soon());
  RingReader reader(name, attached()), newest(name, attached(), RingStart::newest());
  CHECK(reader.next()->text() == "a");
  const muster::RingPlace place = reader.position();
  CHECK(place.number == 1 && newest.position().number == 3);
  RingReader there(name, attached(), place);
  CHECK_EQUAL(all(there), "b c ");
  CHECK(there.seek(RingStart::oldest()));
  CHECK_EQUAL(all(there), "a b c ");
  CHECK(there.seek(place) && there.seek(RingStart::newest()));
  writer.write("d", test::soon());
  CHECK(all(there) == "d " && all(newest) == "d ");
  const muster::RingPlace nowhere{place.position + 8, 1};
  CHECK_THROWS(EINVAL, there.seek(nowhere));
  CHECK_THROWS(EINVAL, RingReader(name, attached(), nowhere));
  reader.close(), there.close(), newest.close();
  const std::string text(1000, 'x');
  for (int k = 0; k < 20; k++) writer.write(text, Deadline::now());
  RingReader late(name, attached(), place);
  const auto first = late.next();
  CHECK(first && first->lost == first->number - 1 && first->lost > 0);
  CHECK(late.ring().look().oldest > 4096 && late.ring().look().oldest <= first->position);
  CHECK(!late.seek(place));
  CHECK(late.next()->lost == first->lost);
  writer.close(), late.close();
  CHECK(muster::Region::remove(name));
}

TEST(ring, readers_get_all_and_then_learn_of_the_death) {
  const std::string name = test::name("death");
  RingReader reader(name, of_bytes(1 << 16));
  CHECK_THROWS(ETIMEDOUT, reader.wait(1ms));
  CHECK(reader.ring().look().writer == RingState::Writer::Nobody);
  const pid_t first = test::child([&] {
    RingWriter writer(name, of_bytes(1 << 16));
    for (std::uint64_t n = 0;; n++) {
      RingBatch batch(writer);
      for (const std::uint64_t value : {2 * n, 2 * n + 1}) new (batch.claim(8, Deadline::never())) std::uint64_t(value);
      batch.commit();
    }
  });
  reader.wait_writer(test::soon());
  const muster::error busy = CHECK_THROWS(EBUSY, RingWriter(name, attached()));
  CHECK(busy.pid() == first && busy.name() == name);
  std::error_code ec;
  const RingWriter refused(Ring(name, attached()), ec);
  CHECK(!refused && !refused.ring() && ec == std::errc::device_or_resource_busy);
  std::uint64_t next = 0;
  const auto read_all = [&] {
    for (const RingRecord &record : reader.each(test::soon())) {
      CHECK(record.as<std::uint64_t>() == next && record.lost == 0);
      if (++next == 10000) test::kill(first);
    }
  };
  const muster::error died = CHECK_THROWS(EOWNERDEAD, read_all());
  CHECK(died.pid() == first && next >= 10000 && next % 2 == 0);
  CHECK(CHECK_THROWS(EOWNERDEAD, reader.wait(test::soon())).pid() == first);
  reader.wait(test::soon(), ec);
  CHECK(ec == std::errc::owner_dead && reader.ring().look().writer == RingState::Writer::Dead);
  CHECK_THROWS(ETIMEDOUT, reader.wait_writer(1ms));
  reader.wait_writer(Deadline::now(), ec);
  CHECK(ec == std::errc::timed_out);
  // Those that are there are none, whoever died.
  CHECK_EQUAL(all(reader), "");

  RingWriter writer(name, attached());
  RingWriter moved = std::move(writer);
  CHECK(moved.found().died && !writer.found().died);
  writer = std::move(moved);
  CHECK(writer.found().died && writer.found().pid == first && writer.found().end.number == next);
  writer.write_value(next, test::soon());
  reader.wait(test::soon(), ec);
  CHECK(!ec && reader.next()->as<std::uint64_t>() == next);
  CHECK_EQUAL(all(reader), "");
  writer.close();
  int none = 0;
  for (const RingRecord &record : reader.each(1ms)) none += record.number == 0;
  CHECK(none == 0 && reader.ring().look().writer == RingState::Writer::Nobody);
  reader.close();
  CHECK(muster::Region::remove(name));
}

TEST(ring, a_range_waits_for_what_comes) {
  const std::string name = test::name("range");
  RingReader reader(name, of_bytes(4096));
  const pid_t other = test::child([&] {
    RingWriter writer(name, of_bytes(4096));
    for (std::uint64_t n = 0; n < 5000; n++) writer.write_value(n, test::soon());
  });
  std::uint64_t next = 0;
  for (const RingRecord &record : reader.each(test::soon())) {
    CHECK(record.as<std::uint64_t>() == next);
    if (++next == 5000) break;
  }
  test::join(other);
  RingWriter writer(name, of_bytes(4096));
  writer.write("a", test::soon()), writer.write("b", test::soon());
  auto range = reader.each(Deadline::now());
  auto it = range.begin();
  CHECK(it != range.end() && it->text() == "a");
  it++;
  CHECK(!(it == range.end()) && (*it).text() == "b");
  CHECK(++it == range.end());
  writer.close(), reader.close();
  CHECK(muster::Region::remove(name));
}

TEST(ring, belongs_to_thread_and_process) {
  const std::string name = test::name("owned");
  RingWriter first(name, of_bytes(4096));
  RingReader source(name, attached());
  RingWriter writer = std::move(first);
  RingReader reader = std::move(source);
  CHECK(writer && !first && reader && !source);
  CHECK_THROWS(EBADF, first.claim(1, test::soon()));
  CHECK_THROWS(EBADF, source.next());
  std::thread([&] {
    std::error_code ec;
    CHECK_THROWS(EBUSY, writer.close());
    CHECK_THROWS(EBUSY, reader.close());
    writer.close(ec);
    CHECK(ec == std::errc::device_or_resource_busy && writer);
    reader.close(ec);
    CHECK(ec == std::errc::device_or_resource_busy && reader);
    writer.write("x", test::soon());
  }).join();
  test::join(test::child([&] {
    CHECK_THROWS(EPERM, writer.claim(1, test::soon()));
    CHECK_THROWS(EPERM, writer.write("y", test::soon()));
    CHECK_THROWS(EPERM, writer.commit());
    CHECK_THROWS(EPERM, writer.position());
    CHECK_THROWS(EPERM, reader.next());
    CHECK_THROWS(EPERM, reader.release());
    CHECK_THROWS(EPERM, reader.wait(test::soon()));
    CHECK_THROWS(EPERM, reader.ring().look());
  }));
  CHECK_EQUAL(all(reader), "x ");
  const muster::error mode = CHECK_THROWS(EPROTO, Ring(name, attached(RingMode::Latest)));
  CHECK(mode.mismatch() && mode.mismatch()->kind == MUSTER_MISMATCH_LAYOUT);
  RingOptions options = of_bytes(4096);
  options.layout = 9;
  std::error_code ec;
  CHECK(!Ring(name, options, ec) && ec == std::errc::protocol_error);
  options.layout = 0, options.flags = Flags::Attach | Flags::ReadOnly;
  CHECK_THROWS(EACCES, RingReader(name, options));
  const RingReader refused(Ring(name, options), RingStart::oldest(), ec);
  CHECK(!refused && !refused.ring() && ec == std::errc::permission_denied);
  CHECK(RingReader(Ring(name, attached()), RingStart::oldest(), ec) && !ec);
  writer = RingWriter();
  CHECK(RingWriter(Ring(name, attached()), ec) && !ec);
  reader = RingReader();
  Ring ring(name, attached());
  CHECK_THROWS(ETIMEDOUT, ring.wait_writer(1ms));
  ring.close(), ring.close();
  CHECK(!ring && muster::Region::remove(name));
}

TEST(ring, in_a_file_outlives_everybody) {
  RingOptions options = of_bytes(4096);
  options.flags = Flags::Open | Flags::File;
  const std::string path = test::path("events.ring");
  RingWriter(path, options).write("kept", test::soon());
  RingReader reader(path, options);
  CHECK_EQUAL(all(reader), "kept ");
  reader.close();
  CHECK(muster::Region::remove(path, Flags::File));
}

TEST(ring, lies_where_its_user_wants) {
  const std::size_t size = Ring::size(4096);
  CHECK(Ring::size(4097) == 0);
  void *memory = test::shared_memory(size);
  CHECK_THROWS(EBADMSG, Ring::attach(memory, size));
  CHECK_THROWS(EBADMSG, Ring::attach_read_only(memory, size));
  CHECK_THROWS(EBADMSG, Ring::renew(memory, size));
  CHECK_THROWS(EINVAL, Ring::init(memory, size, 4097));
  Ring::init(memory, size, 4096, RingMode::Latest);
  RingWriter writer(Ring::attach(memory, size));
  RingReader reader(Ring::attach_read_only(memory, size));
  writer.write("a", Deadline::now());
  CHECK(reader.ring().look().mode == RingMode::Latest && all(reader) == "a " && reader.ring().name().empty());
  CHECK_THROWS(EACCES, RingWriter(Ring::attach_read_only(memory, size)));
  writer.close(), reader.close();
  Ring::renew(memory, size);
  RingReader again(Ring::attach(memory, size));
  CHECK_EQUAL(all(again), "a ");
}

TEST(ring, of_a_size_is_taken_as_it_is) {
  const std::string name = test::name("layout");
  RingOptions options = of_bytes(4096);
  options.layout = 9;
  Ring ring(name, options);
  options.layout = 8;
  const muster::error layout = CHECK_THROWS(EPROTO, Ring(name, options));
  CHECK(layout.mismatch() && layout.mismatch()->kind == MUSTER_MISMATCH_LAYOUT && layout.mismatch()->found == 9);
  const muster::error size = CHECK_THROWS(EPROTO, Ring(name, of_bytes(8192)));
  CHECK(size.mismatch() && size.mismatch()->kind == MUSTER_MISMATCH_SIZE);
  CHECK(Ring(name, attached(RingMode::Lossless)).look().bytes == 4096);
  ring.close();
  CHECK(muster::Region::remove(name));
}
