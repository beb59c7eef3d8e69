// Groups: the living, the dead, and waiting for either.
// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <thread>
#include <vector>

#include "test.hpp"

using State = muster::Member::State;
using muster::Group;

TEST(group, tells_who_joined_left_and_died) {
  const std::string name = test::name("group");
  Group group(name, 3);
  const std::uint32_t me = group.join();
  CHECK(group.capacity() == 3 && group.name() == name);
  CHECK(group.member(me).pid == getpid() && group.member(me).state == State::Alive);
  CHECK(group.member(me).thread == static_cast<std::uint32_t>(gettid()) && group.member(me).incarnation == 1);
  CHECK(group.member(me).start > 0 && !group.member(1 - me).start && !group.member(1 - me).pid);
  CHECK_THROWS(EALREADY, group.join());
  CHECK_THROWS(EINVAL, group.member(3));

  std::uint32_t seen = group.roster();
  const pid_t other = test::child([&] {
    Group mine(name, 3);
    mine.join();
    for (;;) pause();
  });
  seen = group.wait(seen, test::soon());
  CHECK_EQUAL(group.members(State::Alive).count(), 2u);
  test::kill(other);
  group.wait(seen, test::soon());
  const muster::MemberSet dead = group.members(State::Dead);
  CHECK(dead.count() == 1 && !dead[me] && dead[1 - me] && group.member(1 - me).pid == other);
  group.free_dead();
  CHECK(group.members(State::Dead).none());
  CHECK_THROWS(ETIMEDOUT, group.wait(group.roster(), std::chrono::milliseconds(1)));
  std::error_code ec;
  group.wait(group.roster(), muster::Deadline::now(), ec);
  CHECK(ec == std::errc::timed_out);

  group.leave();
  CHECK(group.member(me).state == State::Left);
  const std::uint32_t again = group.join(ec);
  CHECK(!ec && again < 3 && group.member(again).state == State::Alive);
  group.join(ec);
  CHECK(ec == std::errc::connection_already_in_progress);
  group.leave(ec);
  CHECK(!ec);
  group.leave(ec);
  CHECK(ec == std::errc::invalid_argument);
  group.free_dead(ec);
  CHECK(!ec && group.members(State::Left).none());
  group.close();
  CHECK(muster::Region::remove(name));
}

TEST(group, has_places_for_many) {
  const std::string name = test::name("many");
  std::vector<Group> groups;
  for (std::uint32_t k = 0; k < 70; k++) CHECK_EQUAL(groups.emplace_back(name, 70).join(), k);
  for (std::uint32_t k = 0; k < 70; k++) {
    if (k != 3 && k != 68) groups[k].leave();
  }
  const muster::MemberSet alive = groups[0].members(State::Alive);
  CHECK(alive.count() == 2 && alive.test(3) && alive.test(68) && groups[0].members(State::Left).count() == 68);
  groups.clear();
  CHECK(muster::Region::remove(name));
}

TEST(group, belongs_to_thread_and_process) {
  const std::string name = test::name("owned");
  Group group(name, 2);
  group.join();
  std::thread([&] {
    CHECK_THROWS(EBUSY, group.close());
    CHECK_THROWS(EBUSY, group.leave());
    std::error_code ec;
    group.close(ec);
    CHECK(ec == std::errc::device_or_resource_busy);
  }).join();
  CHECK(group);
  test::join(test::child([&] {
    std::error_code ec;
    CHECK_THROWS(EPERM, group.leave());
    CHECK_THROWS(EPERM, group.free_dead());
    group.free_dead(ec);
    CHECK(ec == std::errc::operation_not_permitted);
  }));
  group.close(), group.close();
  CHECK(muster::Region::remove(name));
}

TEST(group, lies_where_its_user_wants) {
  const std::size_t size = Group::size(4);
  void *memory = test::shared_memory(size);
  CHECK_THROWS(EBADMSG, Group::attach(memory, size));
  Group::init(memory, size, 4);
  Group group = Group::attach(memory, size);
  CHECK(group.join() == 0 && group.capacity() == 4 && group.name().empty());
}
