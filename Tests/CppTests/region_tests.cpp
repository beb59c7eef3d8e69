// Regions: callbacks that throw, and what is told of names.
// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>

#include <filesystem>
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

TEST(region, of_another_kind_version_or_layout_is_refused) {
  const std::string name = test::name("kind");
  muster::RegionOptions options;
  options.size = 8, options.kind = 1, options.version = 2, options.layout = 3;
  Region region(name, options);
  const auto found = Region::inspect(name);
  CHECK(found->kind == 1 && found->version == 2 && found->layout == 3 && found->size == 8);
  const auto differs = [&](muster_mismatch_kind kind) {
    const muster::error error = CHECK_THROWS(EPROTO, Region(name, options));
    CHECK(error.mismatch() && error.mismatch()->kind == kind && error.name() == name);
  };
  options.layout = 4;
  differs(MUSTER_MISMATCH_LAYOUT);
  options.version = 4;
  differs(MUSTER_MISMATCH_VERSION);
  options.kind = 4;
  differs(MUSTER_MISMATCH_KIND);
  region.close();
  CHECK(Region::remove(name));
}

TEST(region, a_later_generation_renews_it) {
  const std::string name = test::name("renew");
  muster::RegionOptions options;
  options.size = 8;
  int filled = 0, renewed = 0;
  options.initialize = [&](void *, std::size_t) { filled++; };
  options.renew = [&](void *payload, std::size_t size) {
    CHECK(payload && size == 8);
    if (renewed++ == 1) throw std::system_error(EDOM, std::generic_category(), "not this time");
  };
  Region(name, options).close();
  CHECK(filled == 1 && renewed == 0);
  Region first(name, options), second(name, options);
  CHECK(filled == 1 && renewed == 1);
  first.close(), second.close();
  std::error_code ec;
  const std::function<void()> ways[] = {[&] { Region(name, options); }, [&] { renewed = 1, Region(name, options, ec); }};
  for (const auto &way : ways) {
    bool thrown = false;
    try {
      way();
    } catch (const std::system_error &error) {
      thrown = error.code() == std::errc::argument_out_of_domain;
    }
    CHECK(thrown);
  }
  CHECK(Region::remove(name));
}

TEST(region, that_is_a_file_is_written_back_and_removed_under_its_users) {
  const std::string path = test::path("table.region");
  muster::RegionOptions options;
  options.size = 8;
  options.flags = Flags::Open | Flags::File;
  Region region(path, options);
  std::error_code ec;
  region.sync(), region.sync(ec);
  CHECK(!ec && region.current() && Region::inspect(path, Flags::File)->held == 1);
  CHECK(!Region::remove(path, Flags::File, ec) && ec == std::errc::device_or_resource_busy);
  CHECK(Region::remove(path, Flags::File | Flags::Force, ec) && !ec && !region.current());
  CHECK(!Region::remove(path, Flags::File, ec) && !ec);
  std::filesystem::remove_all(std::filesystem::path(path).parent_path());
  region.sync(ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
  CHECK_THROWS(ENOENT, region.sync());
  region.close();
  CHECK_THROWS(EBADF, region.current());
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

// Sanitizers look at an exception's type through a pipe of their own, and take it for none where there is no descriptor.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define NEEDS_DESCRIPTORS
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NEEDS_DESCRIPTORS
#endif
#if !defined(NEEDS_DESCRIPTORS)
TEST(region, what_keeps_a_list_from_being_whole_is_thrown) {
  const rlimit none{3, 3};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  CHECK_THROWS(EMFILE, Region::list([](const muster::RegionInfo &) {}));
}
#endif
