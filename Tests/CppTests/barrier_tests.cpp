// The barrier: processes that meet, die, and throw in their actions.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <stdexcept>
#include <thread>

#include "test.hpp"

using muster::Barrier;
using muster::BarrierCause;
using muster::OnDeath;

TEST(barrier, processes_meet_round_after_round) {
  const std::string name = test::name("meet");
  Barrier mine(name, 3);
  pid_t others[2];
  for (pid_t &other : others) {
    other = test::child([&] {
      Barrier barrier(name, 3);
      for (std::uint32_t round = 0; round < 100; round++) CHECK_EQUAL(barrier.wait(test::soon()).phase, round);
    });
  }
  for (std::uint32_t round = 0; round < 100; round++) {
    const muster::BarrierResult result = mine.wait(std::chrono::steady_clock::now() + std::chrono::seconds(20));
    CHECK(result.phase == round && result.index && *result.index < 3 && !result.culprit);
  }
  for (pid_t other : others) test::join(other);
  mine.close(), mine.close();
  CHECK(!mine && muster::Region::remove(name));
}

TEST(barrier, a_death_is_told_with_who_it_was) {
  const std::string name = test::name("death");
  Barrier mine(name, 2);
  const pid_t other = test::child([&] {
    Barrier barrier(name, 2);
    barrier.wait(test::soon());
    for (;;) pause();
  });
  mine.wait(test::soon());
  test::kill(other);
  const muster::error died = CHECK_THROWS(EOWNERDEAD, mine.wait(test::soon()));
  CHECK(died.member() == 1u && died.pid() == other && died.code() == std::errc::owner_dead && died.name() == name);
  CHECK_EQUAL(std::string(died.what()), "Can't wait at the barrier \"" + name + "\": member 1 (process " +
                                            std::to_string(other) + ") died (EOWNERDEAD).");
  std::error_code ec;
  const muster::BarrierResult broken = mine.wait(test::soon(), ec);
  CHECK(ec == std::errc::state_not_recoverable && broken.culprit == 1u);
  const muster::BarrierState state = mine.state();
  CHECK(state.cause == BarrierCause::Death && state.culprit == 1u && state.parties == 2 && mine.broken());
  CHECK(mine.members(muster::Member::State::Dead).test(1) && mine.member(1).pid == other);
  mine.reset();
  CHECK(!mine.broken() && mine.state().cause == BarrierCause::Whole);
  mine.close();
  CHECK(muster::Region::remove(name));
}

TEST(barrier, the_others_go_on_without_the_dead) {
  const std::string name = test::name("shrink");
  Barrier mine(name, 2, OnDeath::Shrink);
  test::join(test::child([&] {
    Barrier barrier(name, 2, OnDeath::Shrink);
    raise(SIGKILL);
  }), SIGKILL);
  CHECK_EQUAL(mine.wait(test::soon()).phase, 0u);
  CHECK_EQUAL(mine.parties(), 1u);
  mine.close();
  CHECK(muster::Region::remove(name));
}

TEST(barrier, arriving_and_waiting_apart) {
  const std::string name = test::name("split");
  Barrier a(name, 2), b(name, 2);
  const muster::BarrierResult arrived = a.arrive();
  CHECK(arrived.phase == 0 && a.waiting() == 1 && a.state().arrived == 1 && a.state().phase == 0);
  CHECK(!a.try_wait(arrived.phase));
  CHECK_THROWS(EALREADY, a.arrive());
  std::error_code ec;
  CHECK(!a.try_wait(arrived.phase, ec) && !ec);
  ec = std::make_error_code(std::errc::io_error);
  CHECK(!a.try_wait(arrived.phase, ec) && !ec);
  b.arrive_and_drop();
  CHECK(a.try_wait(arrived.phase));
  CHECK_EQUAL(a.wait_phase(arrived.phase, test::soon()).phase, 0u);
  CHECK(a.parties() == 1 && a.phase() == 1 && a.state().phase == 1);
  CHECK(a.wait_phase(arrived.phase, muster::Deadline::now(), ec).phase == 0 && !ec && a.phase() == 1);
  CHECK_EQUAL(a.wait(muster::Deadline::now()).phase, 1u);
  CHECK_THROWS(EINVAL, b.wait(test::soon()));
  CHECK_THROWS(EINVAL, a.wait_phase(7, test::soon()));
  b.close(), a.close();
  CHECK(muster::Region::remove(name));
}

TEST(barrier, each_form_with_a_code_does_what_its_other_does) {
  const std::string name = test::name("codes");
  Barrier a(name, 2), b(name, 2);
  std::error_code ec;
  int serial = 0;
  CHECK(a.arrive(ec).index == 0u && !ec && a.parties() == 2);
  serial += b.arrive().serial;
  serial += a.wait_phase(0, test::soon()).serial;
  CHECK(serial <= 1 && a.phase() == 1 && a.parties() == 2);
  a.abort(ec);
  CHECK(!ec && b.broken() && b.state().cause == BarrierCause::Aborted);
  b.reset(ec);
  CHECK(!ec && !a.broken());
  a.arrive_and_drop(ec);
  CHECK(!ec && !b.broken());
  b.wait(test::soon(), ec);
  CHECK(!ec && b.parties() == 1 && b.wait(test::soon()).serial);
  b.close(), a.close();
  CHECK(muster::Region::remove(name));
}

// How it acts on deaths is told as it was made, in place as well.
TEST(barrier, tells_that_its_action_runs) {
  const std::size_t size = Barrier::size(1);
  void *memory = test::shared_memory(size);
  Barrier::init(memory, size, 1, OnDeath::Shrink);
  const Barrier *self = nullptr;
  int in_action = 0;
  muster::BarrierOptions options;
  options.action = [&] { in_action += self->state().in_action; };
  Barrier mine = Barrier::attach(memory, size, options);
  self = &mine;
  mine.wait(test::soon());
  CHECK(in_action == 1 && !mine.state().in_action && mine.state().on_death == OnDeath::Shrink);
}

TEST(barrier, waits_end_by_deadline_and_by_abort) {
  const std::string name = test::name("abort");
  Barrier mine(name, 2);
  CHECK_THROWS(ETIMEDOUT, mine.wait(std::chrono::milliseconds(1)));
  CHECK(mine.state().cause == BarrierCause::TimedOut);
  mine.reset();
  const pid_t other = test::child([&] {
    Barrier barrier(name, 2);
    std::error_code ec;
    barrier.wait(test::soon(), ec);
    CHECK(ec == std::errc::operation_canceled);
  });
  test::until([&] { return mine.waiting() == 1; });
  muster::BarrierOptions options;
  options.flags = muster::Flags::Attach;
  options.observe = true;
  Barrier observer(name, options);
  CHECK(!observer.member() && mine.member() == 0u);
  CHECK_THROWS(EINVAL, observer.arrive());
  observer.abort();
  test::join(other);
  CHECK_THROWS(ENOTRECOVERABLE, mine.arrive());
  mine.close(), observer.close();
  CHECK(muster::Region::remove(name));
}

TEST(barrier, the_action_runs_once_wherever_the_handle_is_moved) {
  const std::string name = test::name("action");
  int runs = 0;
  muster::BarrierOptions options;
  options.parties = 1;
  options.action = [&, large = std::string(100, 'x')] { runs += large.size() == 100; };
  Barrier first(name, options);
  options.action = nullptr;
  Barrier second = std::move(first);
  second.wait(test::soon());
  first = std::move(second);
  first.arrive();
  CHECK(runs == 2 && !second);
  first = Barrier();
  CHECK(muster::Region::remove(name));
}

// Nothing may pass through C; the others see a broken barrier, the one who ran it its own exception.
TEST(barrier, what_the_action_throws_breaks_it_and_comes_out) {
  const std::string name = test::name("throw");
  const pid_t other = test::child([&] {
    Barrier barrier(name, 2);
    CHECK_THROWS(ENOTRECOVERABLE, barrier.wait(test::soon()));
  });
  muster::BarrierOptions options;
  options.parties = 2;
  options.action = [] { throw std::runtime_error("no room"); };
  Barrier mine(name, options);
  test::until([&] { return mine.waiting() == 1; });
  std::string said;
  try {
    mine.wait(test::soon());
  } catch (const std::runtime_error &error) {
    said = error.what();
  }
  CHECK_EQUAL(said, "no room");
  test::join(other);
  CHECK(mine.state().cause == BarrierCause::Action && mine.state().culprit == mine.member());
  CHECK_THROWS(ENOTRECOVERABLE, mine.wait(test::soon()));
  mine.close();
  CHECK(muster::Region::remove(name));
}

TEST(barrier, what_an_action_throws_comes_out_of_every_form) {
  const std::string name = test::name("forms");
  muster::BarrierOptions options;
  options.parties = 1;
  options.action = [] { throw std::system_error(EIO, std::generic_category()); };
  Barrier mine(name, options);
  int thrown = 0;
  std::error_code ec;
  const std::function<void()> calls[] = {[&] { mine.wait(test::soon()); }, [&] { mine.wait(test::soon(), ec); },
                                         [&] { mine.arrive(); }, [&] { mine.arrive_and_drop(ec); }};
  for (const auto &call : calls) {
    try {
      call();
    } catch (const muster::error &error) {
      CHECK_EQUAL(std::string(error.what()), "its own exception");
    } catch (const std::system_error &error) {
      thrown += error.code() == std::errc::io_error;
    }
    mine.reset();
  }
  CHECK_EQUAL(thrown, 4);
  mine.close();
  CHECK(muster::Region::remove(name));
}

TEST(barrier, belongs_to_thread_and_process) {
  const std::string name = test::name("owned");
  Barrier mine(name, 1);
  std::thread([&] {
    std::error_code ec;
    mine.close(ec);
    CHECK(ec == std::errc::device_or_resource_busy);
  }).join();
  test::join(test::child([&] { CHECK_THROWS(EPERM, mine.wait(test::soon())); }));
  CHECK_EQUAL(mine.wait(test::soon()).phase, 0u);
  CHECK_THROWS(EOVERFLOW, Barrier(name, 1));
  const muster::error other = CHECK_THROWS(EPROTO, Barrier(name, 2));
  CHECK(other.mismatch() && other.mismatch()->kind == MUSTER_MISMATCH_LAYOUT);
  mine.close();
  CHECK(muster::Region::remove(name));
}

TEST(barrier, lies_where_its_user_wants) {
  const std::size_t size = Barrier::size(2);
  void *memory = test::shared_memory(size);
  Barrier::init(memory, size, 2, OnDeath::Break);
  Barrier mine = Barrier::attach(memory, size);
  const pid_t other = test::child([&] { Barrier::attach(memory, size).wait(test::soon()); });
  CHECK_EQUAL(mine.wait(test::soon()).phase, 0u);
  test::join(other);
  CHECK_EQUAL(mine.name(), "");
  std::error_code ec;
  CHECK(!Barrier::attach(memory, 1, {}, ec) && ec);
}

#if __cplusplus >= 202002L
TEST(barrier, options_are_designated) {
  const std::string name = test::name("options");
  int runs = 0;
  Barrier mine(name, {.parties = 1, .on_death = OnDeath::Shrink, .action = [&] { runs++; }});
  mine.wait(test::soon());
  CHECK(runs == 1 && mine.state().on_death == OnDeath::Shrink);
  mine.close();
  CHECK(muster::Region::remove(name));
}
#endif
