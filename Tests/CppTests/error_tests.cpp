// Errors, deadlines and names.
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <limits>
#include <type_traits>

#include "test.hpp"

static_assert(std::is_nothrow_copy_constructible_v<muster::error>);
static_assert(std::is_base_of_v<std::system_error, muster::error>);
// A time of another clock is no deadline.
static_assert(!std::is_convertible_v<std::chrono::system_clock::time_point, muster::Deadline>);

TEST(error, codes_compare_with_errc) {
  CHECK(muster::to_error_code(ETIMEDOUT) == std::errc::timed_out);
  CHECK(muster::to_error_code(EOWNERDEAD) == std::errc::owner_dead);
  CHECK(muster::to_error_code(ENOTRECOVERABLE) == std::errc::state_not_recoverable);
  CHECK(muster::to_error_code(ETIMEDOUT) != std::errc::owner_dead);
  CHECK(!muster::to_error_code(0));
  CHECK_EQUAL(muster::to_error_code(ETIMEDOUT).message(), "the deadline passed");
  CHECK_EQUAL(std::string(muster::category().name()), "muster");
}

TEST(error, says_what_where_and_why) {
  using muster::error;
  CHECK_EQUAL(std::string(error("open the barrier", "crew", {ENOSPC}).what()),
              "Can't open the barrier \"crew\": no space is left (ENOSPC).");
  const error died("wait at the barrier", "crew", {EOWNERDEAD, 2, 4711, {}});
  CHECK_EQUAL(std::string(died.what()),
              "Can't wait at the barrier \"crew\": member 2 (process 4711) died (EOWNERDEAD).");
  CHECK(died.member() == 2u && died.pid() == 4711 && died.name() == "crew" && !died.mismatch());
  CHECK_EQUAL(std::string(error("take", "x", {EBUSY, UINT32_MAX, 7, {}}).what()),
              "Can't take \"x\": held by somebody else, and process 7 has it (EBUSY).");
  const error other("open", "", {EPROTO, UINT32_MAX, 0, {MUSTER_MISMATCH_SIZE, 16, 24}});
  CHECK_EQUAL(std::string(other.what()), "Can't open: of another size, layout, version, libc or pid namespace: "
                                         "another size, 24 instead of 16 (EPROTO).");
  CHECK(other.mismatch()->found == 24 && !other.member() && !other.pid());
}

TEST(error, says_whose_death_broke_it) {
  using muster::error;
  const auto said = [](const muster::detail::Failure &failure) { return std::string(error("enter", "x", failure).what()); };
  CHECK_EQUAL(said({ENOTRECOVERABLE, 2, 0, {}}), "Can't enter \"x\": it is broken, because member 2 died (ENOTRECOVERABLE).");
  CHECK_EQUAL(said({ENOTRECOVERABLE, UINT32_MAX, 7, {}}),
              "Can't enter \"x\": it is broken, because process 7 died (ENOTRECOVERABLE).");
  CHECK_EQUAL(said({ENOTRECOVERABLE}), "Can't enter \"x\": broken until it is reset (ENOTRECOVERABLE).");
  CHECK_EQUAL(said({EOWNERDEAD}), "Can't enter \"x\": a member, an owner or a writer died (EOWNERDEAD).");
}

// What others see of an exception in a callback: its errno value, where it has one.
TEST(error, of_a_callback_is_an_errno_value) {
  using muster::detail::status_of;
  struct Own final : std::error_category {
    const char *name() const noexcept override { return "own"; }
    std::string message(int) const override { return "own"; }
  } own;
  CHECK_EQUAL(status_of(muster::to_error_code(ETIMEDOUT)), ETIMEDOUT);
  CHECK_EQUAL(status_of({EIO, std::generic_category()}), EIO);
  CHECK_EQUAL(status_of({ENOSPC, std::system_category()}), ENOSPC);
  CHECK_EQUAL(status_of({EIO, own}), ECANCELED);
  CHECK_EQUAL(status_of({0, std::generic_category()}), ECANCELED);
  CHECK_EQUAL(status_of({-1, std::system_category()}), ECANCELED);
  std::exception_ptr thrown;
  CHECK(muster::detail::guarded(thrown, [] {}) == 0 && !thrown);
  CHECK(muster::detail::guarded(thrown, [] { throw 5; }) == ECANCELED && thrown);
  int caught = 0;
  try {
    muster::detail::rethrow(thrown);
  } catch (int number) {
    caught = number;
  }
  muster::detail::rethrow(thrown);
  CHECK(caught == 5 && !thrown);
}

TEST(deadline, takes_durations_and_points) {
  using muster::Deadline;
  using Clock = std::chrono::steady_clock;
  using namespace std::chrono_literals;
  const muster_deadline before = muster_clock_now();
  const Deadline in_an_hour = 1h;
  CHECK(in_an_hour.get() >= before + INT64_C(3600000000000) && !in_an_hour.passed());
  // The C clock is the C++ clock.
  const Deadline here = Clock::now();
  CHECK(here.get() >= before && here.get() <= muster_clock_now() && here.passed());
  CHECK_EQUAL(Deadline(Clock::time_point(5ns)).get(), 5);
  CHECK_EQUAL(Deadline(1.5s).get() > before + 1400000000, true);
}

TEST(deadline, takes_what_does_not_fit) {
  using muster::Deadline;
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  using Limits = std::numeric_limits<double>;
  CHECK_EQUAL(Deadline(std::chrono::hours::max()).get(), MUSTER_DEADLINE_NEVER);
  CHECK_EQUAL(Deadline(Clock::duration::max()).get(), MUSTER_DEADLINE_NEVER);
  CHECK_EQUAL(Deadline(Clock::time_point::max()).get(), MUSTER_DEADLINE_NEVER);
  CHECK_EQUAL(Deadline(Seconds(Limits::infinity())).get(), MUSTER_DEADLINE_NEVER);
  CHECK_EQUAL(Deadline(Seconds(Limits::quiet_NaN())).get(), MUSTER_DEADLINE_NOW);
  CHECK_EQUAL(Deadline(std::chrono::hours::min()).get(), MUSTER_DEADLINE_NOW);
  CHECK_EQUAL(Deadline(std::chrono::seconds(0)).get(), MUSTER_DEADLINE_NOW);
  CHECK_EQUAL(Deadline(Clock::time_point::min()).get(), MUSTER_DEADLINE_NOW);
  CHECK_EQUAL(Deadline::never().get(), MUSTER_DEADLINE_NEVER);
}

TEST(name, is_taken_from_whatever_a_program_has) {
  using muster::Name;
  const std::string text = "crew-of-four";
  CHECK_EQUAL(std::string(Name(std::string_view(text).substr(0, 4)).c_str()), "crew");
  CHECK_EQUAL(std::string(Name(text).c_str()), text);
  CHECK_EQUAL(std::string(Name(std::filesystem::path("/run") / "x").c_str()), "/run/x");
  CHECK_EQUAL(std::string(Name(static_cast<const char *>(nullptr)).c_str()), "");
}
