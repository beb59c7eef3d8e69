// Alive: who holds it, and how the last owner ended.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "test.hpp"

using Kind = muster::AliveFound::Kind;
using muster::Alive;
using muster::Deadline;

TEST(alive, tells_of_a_crash_and_of_a_clean_end) {
  const std::string path = test::path("server.alive");
  CHECK(muster::probe(path).kind == Kind::Nothing);
  const pid_t owner = test::child([&] {
    Alive alive(path);
    CHECK(alive.found().kind == Kind::Nothing && !alive.found().pid);
    for (;;) pause();
  });
  const muster::AliveFound held = muster::wait_for_alive(path, test::soon());
  CHECK(held.kind == Kind::Held && held.pid == owner && held.start && held.since);
  CHECK(CHECK_THROWS(EBUSY, Alive(path)).pid() == owner);
  CHECK(CHECK_THROWS(ETIMEDOUT, Alive(path, std::chrono::milliseconds(1))).pid() == owner);
  std::error_code ec;
  Alive none(path, Deadline::now(), ec);
  CHECK(!none && ec == std::errc::device_or_resource_busy && none.found().kind == Kind::Held);
  CHECK(CHECK_THROWS(ETIMEDOUT, muster::wait_for_death(path, std::chrono::milliseconds(1))).pid() == owner);

  test::kill(owner);
  const muster::AliveFound ended = muster::wait_for_death(path, test::soon());
  CHECK(ended.kind == Kind::Crash && ended.pid == owner && ended.start == held.start);
  Alive next(path, test::soon());
  CHECK(next && next.found().kind == Kind::Crash && next.found().pid == owner && next.found().start == held.start);
  CHECK(next.current() && next.path() == path);
  Alive moved = std::move(next);
  CHECK(moved && !next);
  moved.close(), moved.close();
  CHECK(muster::probe(path).kind == Kind::Nothing);
}

TEST(alive, abandoned_is_a_crash_and_destroyed_is_not) {
  const std::string path = test::path("x.alive");
  { Alive alive(path); }
  CHECK(muster::probe(path).kind == Kind::Nothing);
  Alive(path).abandon();
  Alive next(path);
  CHECK(next.found().kind == Kind::Crash && next.found().pid == getpid());
  CHECK(::unlink(path.c_str()) == 0);
  CHECK(!next.current());
  CHECK_THROWS(ESTALE, next.close());
  CHECK(!next);
}

TEST(alive, waits_end_by_deadline_and_by_another_thread) {
  const std::string path = test::path("y.alive");
  CHECK_THROWS(ETIMEDOUT, muster::wait_for_alive(path, std::chrono::milliseconds(1)));
  muster::AliveStop stop;
  std::thread waiter([&] {
    muster::AliveStop::Heed heed(stop);
    CHECK_THROWS(ECANCELED, muster::wait_for_alive(path, test::soon()));
  });
  stop.set();
  waiter.join();
  std::error_code ec;
  (void)muster::probe(test::path("missing") + "/z", ec);
  CHECK(ec == std::errc::no_such_file_or_directory);
}

TEST(alive, is_made_as_it_is_wanted) {
  const std::string path = test::path("mode.alive"), missing = test::path("missing") + "/z";
  Alive alive(path, Deadline::now(), 0640);
  CHECK(std::filesystem::status(path).permissions() == std::filesystem::perms(0640));
  CHECK_THROWS(ENOENT, muster::probe(missing));
  CHECK_THROWS(ENOENT, muster::wait_for_death(missing, Deadline::now()));
  std::error_code ec;
  Alive none(missing, Deadline::now(), ec);
  CHECK(!none && ec == std::errc::no_such_file_or_directory);
  CHECK(::unlink(path.c_str()) == 0);
  alive.close(ec);
  CHECK(ec == std::error_code(ESTALE, muster::category()) && !alive);
  alive.close(ec);
  CHECK(!ec);
}

// What one that was let go of had to say is not told to waits that begin later.
TEST(alive, a_stop_is_heeded_as_long_as_it_is_said) {
  const std::string path = test::path("stop.alive");
  muster::AliveStop first;
  muster::AliveStop stop = std::move(first);
  first.set();
  stop.set();
  {
    muster::AliveStop::Heed heed(stop);
    CHECK_THROWS(ECANCELED, muster::wait_for_alive(path, test::soon()));
  }
  CHECK_THROWS(ETIMEDOUT, muster::wait_for_alive(path, std::chrono::milliseconds(1)));
}

TEST(alive, what_was_found_says_only_what_is_known) {
  const muster_alive_found cut = {MUSTER_ALIVE_REBOOT, 0, 0, 0};
  const muster::AliveFound found = muster::detail::found_of(cut);
  CHECK(found.kind == Kind::Reboot && !found.pid && !found.start && !found.since);
  const muster_alive_found whole = {MUSTER_ALIVE_CRASH, 7, 8, 1500000000};
  const std::chrono::system_clock::time_point since(std::chrono::milliseconds(1500));
  CHECK(muster::detail::found_of(whole).since == since);
}
