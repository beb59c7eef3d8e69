// Errors: what a Muster function returned, as a std::error_code, and the exception that carries it.
//
//   try {
//     crew.wait(std::chrono::seconds(5));
//   } catch (const muster::error &error) {
//     std::cerr << error.what() << '\n';
//     if (error.code() == std::errc::owner_dead) crew.reset();
//   }
//
//   Can't wait at the barrier "crew": member 2 (process 4711) died (EOWNERDEAD).
//
// Muster's values are errno values with meanings of its own (status.h), so they have a category of their own for the
// words, and compare equal to std::errc.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_ERROR_HPP
#define MUSTER_HPP_ERROR_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "muster.hpp needs C++17 or newer."
#endif

#include <cerrno>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "../status.h"

namespace muster {

namespace detail {

// Visible from every shared object, as the exception below is: that both are one type, and one category, in all of a
// program that is made of several with hidden symbols.
class [[gnu::visibility("default")]] Category final : public std::error_category {
 public:
  const char *name() const noexcept override { return "muster"; }
  std::string message(int status) const override { return muster_status_text(status); }
  std::error_condition default_error_condition(int status) const noexcept override {
    return {status, std::generic_category()};
  }
};

// What is known of a call that failed.
struct Failure {
  int status = 0;
  std::uint32_t member = UINT32_MAX;  // who died
  std::int32_t pid = 0;               // the process that died, or has what was asked for
  muster_mismatch mismatch{};
};

inline std::string who_died(const Failure &failure) {
  std::string process = failure.pid ? "process " + std::to_string(failure.pid) : std::string();
  if (failure.member == UINT32_MAX) return process.empty() ? "a member, an owner or a writer" : process;
  std::string member = "member " + std::to_string(failure.member);
  return process.empty() ? member : member + " (" + process + ")";
}

inline std::string reason(const Failure &failure) {
  const int status = failure.status;
  if (status == EBADF) return "it is not open";
  if (status == EOWNERDEAD) return who_died(failure) + " died";
  if (status == ENOTRECOVERABLE && (failure.member != UINT32_MAX || failure.pid)) {
    return "it is broken, because " + who_died(failure) + " died";
  }
  std::string text = muster_status_text(status);
  if (status == EPROTO && failure.mismatch.kind != MUSTER_MISMATCH_NONE) {
    text = text + ": " + muster_mismatch_text(failure.mismatch.kind) + ", " + std::to_string(failure.mismatch.found) +
           " instead of " + std::to_string(failure.mismatch.expected);
  } else if ((status == EBUSY || status == ETIMEDOUT) && failure.pid) {
    text += ", and process " + std::to_string(failure.pid) + " has it";
  }
  return text;
}

inline std::string sentence(std::string_view operation, std::string_view name, const Failure &failure) {
  std::string text = "Can't ";
  text += operation;
  if (!name.empty()) text.append(" \"").append(name).append("\"");
  return text + ": " + reason(failure) + " (" + muster_status_name(failure.status) + ").";
}

}  // namespace detail

/// The category of Muster's error codes. Their messages are those of muster_status_text; each equals the std::errc of
/// the same errno value, such as std::errc::timed_out, owner_dead or state_not_recoverable.
[[nodiscard, gnu::visibility("default")]] inline const std::error_category &category() noexcept {
  static const detail::Category instance;
  return instance;
}

/// What a C function of Muster returned, as an error code; 0 is none.
[[nodiscard]] inline std::error_code to_error_code(int status) noexcept { return {status, category()}; }

/// What a Muster call that failed throws: which value, what was attempted, at which object, and through whom.
///
/// what() is a sentence of all of that. Copying it never throws.
class [[gnu::visibility("default")]] error : public std::system_error {
 public:
  /// `operation` goes on "Can't ...". For the wrappers of this header; programs catch it.
  error(std::string_view operation, std::string_view name, const detail::Failure &failure)
      : std::system_error(to_error_code(failure.status)),
        failure_(failure),
        text_(std::make_shared<const Text>(Text{detail::sentence(operation, name, failure), std::string(name)})) {}

  /// Can't wait at the barrier "crew": the deadline passed (ETIMEDOUT).
  [[nodiscard]] const char *what() const noexcept override { return text_->sentence.c_str(); }

  /// The errno value that the C function returned; EBADF where the object was not open and none was called.
  [[nodiscard]] int status() const noexcept { return code().value(); }

  /// The name or path of the object; empty for one in place.
  [[nodiscard]] const std::string &name() const noexcept { return text_->name; }

  /// The place of the member that died: at EOWNERDEAD, and at ENOTRECOVERABLE by a death.
  [[nodiscard]] std::optional<std::uint32_t> member() const noexcept {
    return failure_.member == UINT32_MAX ? std::nullopt : std::optional(failure_.member);
  }

  /// The process that died (EOWNERDEAD, ENOTRECOVERABLE), or that has what was asked for (EBUSY, ETIMEDOUT), where it
  /// is known.
  [[nodiscard]] std::optional<std::int32_t> pid() const noexcept {
    return failure_.pid == 0 ? std::nullopt : std::optional(failure_.pid);
  }

  /// At EPROTO: which property differs, with both its values, where the function tells.
  [[nodiscard]] std::optional<muster_mismatch> mismatch() const noexcept {
    return failure_.mismatch.kind == MUSTER_MISMATCH_NONE ? std::nullopt : std::optional(failure_.mismatch);
  }

 private:
  struct Text {
    std::string sentence, name;
  };

  detail::Failure failure_;
  std::shared_ptr<const Text> text_;
};

namespace detail {

[[noreturn, gnu::cold, gnu::noinline]] inline void fail(std::string_view operation, std::string_view name,
                                                        const Failure &failure) {
  throw error(operation, name, failure);
}

inline void check(std::string_view operation, std::string_view name, const Failure &failure) {
  if (failure.status) fail(operation, name, failure);
}

// What a C callback returns for an exception that its C++ side threw: the errno value in it, where there is one.
inline int status_of(const std::error_code &code) noexcept {
  const bool is_errno = code.category() == category() || code.category() == std::generic_category() ||
                        code.category() == std::system_category();
  return is_errno && code.value() > 0 ? code.value() : ECANCELED;
}

// Runs `call` inside a C callback. No exception may pass through C: it is kept in `thrown`, for whoever made the C call
// to throw it again, and the callback returns the status that makes that call fail.
template <class Call>
int guarded(std::exception_ptr &thrown, Call &&call) noexcept {
  try {
    call();
    return 0;
  } catch (const std::system_error &error) {
    thrown = std::current_exception();
    return status_of(error.code());
  } catch (...) {
    thrown = std::current_exception();
    return ECANCELED;
  }
}

// Throws what a callback kept, once.
inline void rethrow(std::exception_ptr &thrown) {
  if (!thrown) return;
  std::exception_ptr once = std::move(thrown);
  thrown = nullptr;
  std::rethrow_exception(once);
}

}  // namespace detail

}  // namespace muster

#endif
