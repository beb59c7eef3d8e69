// Deadlines from std::chrono, and names that C can be given.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_DEADLINE_HPP
#define MUSTER_HPP_DEADLINE_HPP

#include <chrono>

#include "../clock.h"
#include "error.hpp"

namespace muster {

/// When a wait ends at the latest: an absolute point of CLOCK_MONOTONIC (clock.h), which is std::chrono::steady_clock
/// on Linux. Made without a word from a time point of that clock, or from a duration, which counts from here:
///
///     crew.wait(5s);
///     crew.wait(std::chrono::steady_clock::now() + 5s);
///     crew.wait(muster::Deadline::never());
///
/// A loop that must end at a time makes its deadline once, before it begins.
class Deadline {
 public:
  /// Never: the wait ends by what it waits for, or by a death (MUSTER_DEADLINE_NEVER).
  [[nodiscard]] static constexpr Deadline never() noexcept { return Deadline(MUSTER_DEADLINE_NEVER); }

  /// Past already: look once, don't wait (MUSTER_DEADLINE_NOW).
  [[nodiscard]] static constexpr Deadline now() noexcept { return Deadline(MUSTER_DEADLINE_NOW); }

  /// A deadline of the C API.
  [[nodiscard]] static constexpr Deadline of(muster_deadline nanoseconds) noexcept { return Deadline(nanoseconds); }

  /// So long from now (muster_deadline_after). None or a negative one is now(); one of 290 years or more is never().
  template <class Rep, class Period>
  Deadline(const std::chrono::duration<Rep, Period> &span) noexcept : value_(MUSTER_DEADLINE_NOW) {
    const std::int64_t nanoseconds = count(span);
    if (nanoseconds > 0) value_ = muster_deadline_after(nanoseconds);
  }

  /// That point. One before the clock began is now(); the clock's time_point::max() is never().
  template <class Duration>
  constexpr Deadline(const std::chrono::time_point<std::chrono::steady_clock, Duration> &point) noexcept
      : value_(count(point.time_since_epoch())) {}

  /// Nanoseconds of CLOCK_MONOTONIC, for the C API.
  [[nodiscard]] constexpr muster_deadline get() const noexcept { return value_; }

  /// Whether it has passed (muster_deadline_passed).
  [[nodiscard]] bool passed() const noexcept { return muster_deadline_passed(value_) != 0; }

 private:
  explicit constexpr Deadline(muster_deadline value) noexcept : value_(value) {}

  // Nanoseconds; 0 for what is not positive (or not a number), the most there are for what does not fit. Compared in
  // floating point, as nanoseconds would overflow in the comparison itself.
  template <class Rep, class Period>
  static constexpr std::int64_t count(const std::chrono::duration<Rep, Period> &span) noexcept {
    if (!(span > std::chrono::duration<Rep, Period>::zero())) return 0;
    constexpr double years_290 = 9.15e9;
    if (std::chrono::duration<double>(span).count() >= years_290) return INT64_MAX;
    return static_cast<std::int64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(span).count());
  }

  muster_deadline value_;
};

/// A name or a path, from whatever a program has: a literal, a std::string, a std::string_view that ends anywhere, a
/// std::filesystem::path. A null pointer is the empty name. The empty name, and one with a zero in it (which C would
/// take for its end, and so for another name), give EINVAL wherever they are used.
class Name {
 public:
  Name(const char *text) : text_(text ? text : "") {}
  Name(std::string_view text) : text_(text) {}
  Name(std::string text) noexcept : text_(std::move(text)) {}
  template <class Path, class = decltype(std::string(std::declval<const Path &>().native()))>
  Name(const Path &path) : text_(path.native()) {}

  /// As it was given.
  [[nodiscard]] const std::string &text() const noexcept { return text_; }

  /// For C; "" for a name that has a zero in it.
  [[nodiscard]] const char *c_str() const noexcept {
    return text_.find('\0') == std::string::npos ? text_.c_str() : "";
  }

 private:
  std::string text_;
};

}  // namespace muster

#endif
