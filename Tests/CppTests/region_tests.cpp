// Regions: callbacks that throw, and what is told of names.
// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>

#include "test.hpp"

using muster::Flags;
using muster::Region;

TEST(region, is_filled_once_and_attached_to) {
  const std::string name = test::name("table");
  muster::RegionOptions options;
  options.size = sizeof(std::uint64_t);
  int filled = 0;
  options.initialize = [&](void *payload, std::size_t size) {
    CHECK_EQUAL(size, sizeof(std::uint64_t));
    *static_cast<std::uint64_t *>(payload) = 42;
    filled++;
  };
  Region first(name, options), second(name, options);
  CHECK(first.created() && !second.created() && filled == 1);
  CHECK_EQUAL(*static_cast<std::uint64_t *>(second.data()), 42u);
  CHECK(first.name() == name && first.current() && first.size() == 8);

  options.size = 16;
  const muster::error other = CHECK_THROWS(EPROTO, Region(name, options));
  CHECK(other.mismatch() && other.mismatch()->kind == MUSTER_MISMATCH_SIZE && other.mismatch()->found == 8);

  Region moved = std::move(first);
  CHECK(moved && !first && !first.data());
  CHECK_THROWS(EBUSY, Region::remove(name));
  CHECK(Region::inspect(name)->held == 1);
  moved.close(), moved.close(), second.close();
  CHECK(Region::remove(name));
  CHECK(!Region::remove(name));
  CHECK(!Region::inspect(name));
}

TEST(region, that_could_not_be_filled_is_not_there) {
  const std::string name = test::name("broken");
  muster::RegionOptions options;
  options.size = 1;
  options.initialize = [](void *, std::size_t) { throw std::logic_error("no"); };
  std::string said;
  try {
    Region region(name, options);
  } catch (const std::logic_error &error) {
    said = error.what();
  }
  CHECK_EQUAL(said, "no");
  std::error_code ec;
  options.initialize = nullptr;
  options.flags = Flags::Attach;
  CHECK(!Region(name, options, ec));
  CHECK(ec == std::errc::no_such_file_or_directory);
}

TEST(region, names_are_listed) {
  const std::string name = test::name("listed");
  muster::RegionOptions options;
  options.size = 1;
  Region region(name, options);
  int found = 0, seen = 0;
  Region::list([&](const muster::RegionInfo &info) { found += info.name == name; });
  CHECK_EQUAL(found, 1);
  Region::list([&](const muster::RegionInfo &) { return ++seen < 1; });
  CHECK_EQUAL(seen, 1);
  bool thrown = false;
  try {
    Region::list([](const muster::RegionInfo &) { throw 5; });
  } catch (int number) {
    thrown = number == 5;
  }
  CHECK(thrown);
  region.close();
  CHECK(Region::remove(name));
}
