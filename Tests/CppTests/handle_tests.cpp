// What all types that own a C object have in common.
// SPDX-License-Identifier: Apache-2.0
#include <type_traits>

#include "test.hpp"

namespace {

template <class Type>
constexpr bool moves_only = !std::is_copy_constructible_v<Type> && !std::is_copy_assignable_v<Type> &&
                            std::is_nothrow_move_constructible_v<Type> && std::is_nothrow_move_assignable_v<Type> &&
                            std::is_nothrow_destructible_v<Type> && std::is_nothrow_default_constructible_v<Type>;
static_assert(moves_only<muster::Region> && moves_only<muster::Alive> && moves_only<muster::Group>);
static_assert(moves_only<muster::Barrier> && moves_only<muster::Seqlock>);

}  // namespace

// It would lead to another object if C took the zero for its end.
TEST(name, with_a_zero_in_it_is_refused) {
  using namespace std::string_view_literals;
  CHECK_THROWS(EINVAL, muster::Barrier("muster-cpp\0-other"sv, 1));
  CHECK_THROWS(EINVAL, muster::Alive("/tmp/muster-cpp\0-other"sv));
  CHECK_THROWS(EINVAL, muster::Region::remove("muster-cpp\0-other"sv));
  CHECK_THROWS(EINVAL, muster::Barrier(static_cast<const char *>(nullptr), 1));
}

TEST(handle, that_is_not_open_says_so) {
  muster::Barrier barrier;
  muster::Group group;
  muster::Seqlock counters;
  muster::Region region;
  muster::Alive alive;
  CHECK(!barrier && !group && !counters && !region && !alive);
  CHECK_EQUAL(std::string(CHECK_THROWS(EBADF, barrier.wait(test::soon())).what()),
              "Can't wait at the barrier: it is not open (EBADF).");
  CHECK_THROWS(EBADF, barrier.state());
  CHECK_THROWS(EBADF, barrier.member(0));
  CHECK_THROWS(EBADF, group.join());
  CHECK_THROWS(EBADF, counters.claim());
  CHECK_THROWS(EBADF, counters.add(0, 1));
  CHECK_THROWS(EBADF, counters.read<1>());
  CHECK_THROWS(EBADF, region.sync());
  CHECK_THROWS(EBADF, alive.current());
  CHECK(!barrier.broken() && barrier.parties() == 0 && !barrier.member() && counters.sequence() == 0);
  barrier.close(), group.close(), counters.close(), region.close(), alive.close();
}
