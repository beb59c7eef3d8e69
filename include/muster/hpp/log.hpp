// The log: records in shared memory that outlive their writer (log.h).
//
//   muster::Log log("app");
//   log.join();                                                    // on a thread that lives as long as the process logs
//   log.info("listens", {{"port", 80}, {"host", host}});
//   log.write(muster::LogLevel::Error, "lost the disk", {{"errno", code}}, fields);   // a label, tags, a correlation id
//
// Writing allocates nothing, makes no system call, and throws nothing: a log that can't be written to is no reason for a program to
// end. What went wrong is returned. log_reader.hpp has the readers, log_drain.hpp what is kept in files.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_LOG_HPP
#define MUSTER_HPP_LOG_HPP

#include <array>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <type_traits>

#include "../log.h"
#include "deadline.hpp"
#include "error.hpp"
#include "region.hpp"

namespace muster {

/// The levels of a log: muster_log_level. They compare as they rise.
enum class LogLevel {
  Trace = MUSTER_LOG_TRACE,
  Debug = MUSTER_LOG_DEBUG,
  Info = MUSTER_LOG_INFO,
  Notice = MUSTER_LOG_NOTICE,
  Warning = MUSTER_LOG_WARNING,
  Error = MUSTER_LOG_ERROR,
  Critical = MUSTER_LOG_CRITICAL,
  Off = MUSTER_LOG_OFF,  ///< as a threshold: nothing is logged
};

/// "info" and so on. muster_log_level_name.
[[nodiscard]] inline std::string_view name_of(LogLevel level) noexcept {
  return muster_log_level_name(static_cast<muster_log_level>(level));
}

/// The 16 bytes of a UUID, by which records of several processes belong together.
using CorrelationId = std::array<std::uint8_t, 16>;

namespace detail {

inline muster_log_text text_of(std::string_view text) noexcept {
  const std::size_t size = text.size() < UINT32_MAX ? text.size() : UINT32_MAX;
  return {text.data(), static_cast<std::uint32_t>(size), 0};
}

inline std::string_view view_of(const muster_log_text &text) noexcept {
  return text.bytes ? std::string_view(text.bytes, text.size) : std::string_view();
}

inline std::string name_of(const muster_log *log) {
  const muster_region *region = log ? muster_log_region(log) : nullptr;
  return region ? muster_region_name(region) : "";
}

}  // namespace detail

/// A key with its value: text, a whole number, a floating one, or a bool. It refers to the text, so it is to be made where it is passed.
class LogPair {
 public:
  LogPair(std::string_view key, std::string_view value) noexcept : LogPair(key, MUSTER_LOG_STRING, 0) {
    const muster_log_text text = detail::text_of(value);
    plain_.text = text.bytes;
    plain_.text_size = text.size;
  }
  LogPair(std::string_view key, const char *value) noexcept : LogPair(key, std::string_view(value ? value : "")) {}
  template <class Value, class = std::enable_if_t<std::is_arithmetic_v<Value>>>
  LogPair(std::string_view key, Value value) noexcept : LogPair(key, type_of<Value>(), bits_of(value)) {}

 private:
  friend class Log;

  LogPair(std::string_view key, muster_log_type type, std::uint64_t bits) noexcept {
    const muster_log_text text = detail::text_of(key);
    plain_.key = text.bytes;
    plain_.key_size = text.size;
    plain_.bits = bits;
    plain_.type = type;
  }

  template <class Value>
  static constexpr muster_log_type type_of() noexcept {
    if constexpr (std::is_same_v<Value, bool>) return MUSTER_LOG_BOOL;
    else if constexpr (std::is_floating_point_v<Value>) return MUSTER_LOG_DOUBLE;
    else return std::is_signed_v<Value> ? MUSTER_LOG_INT : MUSTER_LOG_UINT;
  }

  template <class Value>
  static std::uint64_t bits_of(Value value) noexcept {
    if constexpr (std::is_floating_point_v<Value>) {
      const double wide = static_cast<double>(value);
      std::uint64_t bits;
      std::memcpy(&bits, &wide, sizeof bits);
      return bits;
    } else {
      return static_cast<std::uint64_t>(value);
    }
  }

  muster_log_pair plain_{};
};

/// The tags of a record, or those to ask for: any contiguous std::string_views that outlive it, such as an array's.
class LogTags {
 public:
  constexpr LogTags() noexcept = default;
  template <class Range, class = decltype(static_cast<const std::string_view *>(std::data(std::declval<const Range &>())))>
  constexpr LogTags(const Range &range) noexcept : first_(std::data(range)), count_(std::size(range)) {}
  template <class Range, class = std::enable_if_t<!std::is_reference_v<Range>>>
  LogTags(const Range &&) = delete;

  [[nodiscard]] constexpr std::size_t size() const noexcept { return count_; }
  [[nodiscard]] constexpr const std::string_view *begin() const noexcept { return first_; }
  [[nodiscard]] constexpr const std::string_view *end() const noexcept { return first_ + count_; }

 private:
  const std::string_view *first_ = nullptr;
  std::size_t count_ = 0;
};

/// What else goes with a message: muster_log_fields. All of it may be left out; it refers to what it was made of.
struct LogFields {
  std::string_view label{};  ///< which part of the program
  LogTags tags{};
  const CorrelationId *correlation = nullptr;
  std::string_view file{};  ///< where in the source
  std::string_view function{};
  std::uint32_t line = 0;
};

/// What a log is opened with: muster_log_options.
struct LogOptions {
  std::uint32_t places = 0;  ///< processes that write at a time, 1 to 128; both 0: as it is, or 32 of 64 KiB
  std::uint32_t bytes = 0;   ///< of each one's ring: a power of two from 4 KiB
  LogLevel level = LogLevel::Trace;  ///< the threshold of a log that is created
  Flags flags = Flags::Open;
  std::uint32_t permissions = 0;        ///< when created; 0 is 0600
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
};

/// What is known of a log, and of a place in it: muster_log_state, muster_log_place_state.
using LogState = muster_log_state;
using LogPlace = muster_log_place_state;

/// A handle of a log: muster_log. Moved, not copied. When it has joined any thread may write by it; one alone joins, leaves and closes it,
/// when nobody writes.
///
/// Readers and drains of it end before it does. The place belongs to the thread that joined; the destructor leaves and lets go, which on
/// another thread, while that one lives, it can't.
class Log {
 public:
  /// Not open.
  Log() noexcept = default;

  /// Creates or attaches; it does not join. muster_log_open.
  /// \throws muster::error with the values of that function; mismatch() at EPROTO.
  explicit Log(const Name &name, const LogOptions &options = {}) {
    detail::check("open the log", name.text(), open(name, options));
  }
  /// The same; not open where `ec` is set.
  Log(const Name &name, const LogOptions &options, std::error_code &ec) { ec = to_error_code(open(name, options).status); }

  /// In place: the bytes that a log takes, 0 for numbers that can't be, and their alignment. muster_log_size.
  [[nodiscard]] static std::size_t size(std::uint32_t places, std::uint32_t bytes) noexcept { return muster_log_size(places, bytes); }
  static constexpr std::size_t alignment = MUSTER_LOG_ALIGNMENT;

  /// In place: lays a log into memory that no one uses as one. muster_log_init.
  /// \throws muster::error: EINVAL, ENOTSUP.
  static void init(void *memory, std::size_t size, std::uint32_t places, std::uint32_t bytes, LogLevel level = LogLevel::Trace) {
    detail::check("lay out a log", "", {muster_log_init(memory, size, places, bytes, static_cast<muster_log_level>(level))});
  }

  /// In place: a handle for the log at `memory`, which stays mapped until close; the second form can read and look.
  /// muster_log_attach, muster_log_attach_read_only.
  /// \throws muster::error: EINVAL, ENOMEM, EBADMSG, EPROTO.
  [[nodiscard]] static Log attach(void *memory, std::size_t size) {
    muster_log *plain = nullptr;
    detail::check("attach to the log", "", {muster_log_attach(memory, size, &plain)});
    return Log(plain);
  }
  [[nodiscard]] static Log attach_read_only(const void *memory, std::size_t size) {
    muster_log *plain = nullptr;
    detail::check("attach to the log", "", {muster_log_attach_read_only(memory, size, &plain)});
    return Log(plain);
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Leaves, if joined, and lets go. Again: nothing. muster_log_close.
  /// \throws muster::error: EBUSY: on another thread than joined, which lives, or a reader or drain is open; it is open as before then.
  void close() { check("close the log", shut()); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// Takes a place, for the process, on the calling thread, and says which. muster_log_join.
  /// \throws muster::error with the values of that function.
  std::uint32_t join() {
    std::uint32_t place = UINT32_MAX;
    check("join the log", call(muster_log_join, &place));
    return place;
  }
  std::uint32_t join(std::error_code &ec) noexcept {
    std::uint32_t place = UINT32_MAX;
    ec = to_error_code(call(muster_log_join, &place));
    return place;
  }

  /// Gives the place up; its records stay. muster_log_leave.
  /// \throws muster::error: EINVAL (not joined), EBUSY (another thread joined), EPERM.
  void leave() { check("leave the log", call(muster_log_leave)); }
  void leave(std::error_code &ec) noexcept { ec = to_error_code(call(muster_log_leave)); }

  /// Writes a record. Throws nothing. Returns no error also when the level is below the threshold; else those of muster_log_put, which most
  /// programs need not look at.
  std::error_code write(LogLevel level, std::string_view message, std::initializer_list<LogPair> pairs = {},
                        const LogFields &fields = {}) noexcept {
    return to_error_code(put(level, message, pairs, fields));
  }
  std::error_code trace(std::string_view message, std::initializer_list<LogPair> pairs = {}) noexcept {
    return write(LogLevel::Trace, message, pairs);
  }
  std::error_code debug(std::string_view message, std::initializer_list<LogPair> pairs = {}) noexcept {
    return write(LogLevel::Debug, message, pairs);
  }
  std::error_code info(std::string_view message, std::initializer_list<LogPair> pairs = {}) noexcept {
    return write(LogLevel::Info, message, pairs);
  }
  std::error_code notice(std::string_view message, std::initializer_list<LogPair> pairs = {}) noexcept {
    return write(LogLevel::Notice, message, pairs);
  }
  std::error_code warning(std::string_view message, std::initializer_list<LogPair> pairs = {}) noexcept {
    return write(LogLevel::Warning, message, pairs);
  }
  std::error_code error(std::string_view message, std::initializer_list<LogPair> pairs = {}) noexcept {
    return write(LogLevel::Error, message, pairs);
  }
  std::error_code critical(std::string_view message, std::initializer_list<LogPair> pairs = {}) noexcept {
    return write(LogLevel::Critical, message, pairs);
  }

  /// Whether a record of that level would be written: to save what it takes to make one. muster_log_enabled.
  [[nodiscard]] bool enabled(LogLevel level) const noexcept {
    return handle_ && muster_log_enabled(handle_.get(), static_cast<muster_log_level>(level));
  }

  /// The threshold, for all processes. muster_log_get_level, muster_log_set_level.
  /// \throws muster::error: EINVAL (no level), EACCES (read-only), EPERM.
  [[nodiscard]] LogLevel level() const noexcept {
    return handle_ ? static_cast<LogLevel>(muster_log_get_level(handle_.get())) : LogLevel::Off;
  }
  void set_level(LogLevel level) {
    check("set the level of the log", call(muster_log_set_level, static_cast<muster_log_level>(level)));
  }

  /// What is known of it, and of a place. muster_log_look, muster_log_look_place.
  /// \throws muster::error: EINVAL (no such place), EPERM, EBADMSG, ENOMEM, EAGAIN (overtaken each time).
  [[nodiscard]] LogState look() const {
    LogState state{};
    check("look at the log", call(muster_log_look, &state));
    return state;
  }
  [[nodiscard]] LogPlace place(std::uint32_t index) const {
    LogPlace state{};
    check("look at a place of the log", call(muster_log_look_place, index, &state));
    return state;
  }

  /// The name that it was opened by; empty for one in place, or not open.
  [[nodiscard]] std::string name() const { return detail::name_of(handle_.get()); }

  /// For the C API; it stays this object's.
  [[nodiscard]] muster_log *get() const noexcept { return handle_.get(); }

 private:
  struct Close {
    void operator()(muster_log *log) const noexcept { (void)muster_log_close(log); }
  };

  explicit Log(muster_log *plain) noexcept : handle_(plain) {}

  detail::Failure open(const Name &name, const LogOptions &options) noexcept {
    detail::Failure failure;
    muster_log_options plain{};
    plain.places = options.places;
    plain.bytes = options.bytes;
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.permissions = options.permissions;
    plain.level = static_cast<muster_log_level>(options.level);
    plain.deadline = options.deadline.get();
    plain.mismatch = &failure.mismatch;
    muster_log *log = nullptr;
    failure.status = muster_log_open(name.c_str(), &plain, &log);
    if (!failure.status) handle_.reset(log);
    return failure;
  }

  // Pairs and tags beyond the most that a record has are counted nevertheless, so that it is marked as cut.
  int put(LogLevel level, std::string_view message, std::initializer_list<LogPair> pairs, const LogFields &fields) noexcept {
    if (!handle_) return EBADF;
    if (!enabled(level)) return level > LogLevel::Critical ? EINVAL : 0;
    muster_log_pair pairs_of_c[MUSTER_LOG_PAIRS_MAX];
    muster_log_text tags_of_c[MUSTER_LOG_TAGS_MAX];
    std::uint32_t pair_count = 0, tag_count = 0;
    for (const LogPair &pair : pairs) {
      if (pair_count < MUSTER_LOG_PAIRS_MAX) pairs_of_c[pair_count] = pair.plain_;
      pair_count++;
    }
    for (const std::string_view tag : fields.tags) {
      if (tag_count < MUSTER_LOG_TAGS_MAX) tags_of_c[tag_count] = detail::text_of(tag);
      tag_count++;
    }
    muster_log_fields plain{};
    plain.pairs = pairs_of_c;
    plain.tags = tags_of_c;
    plain.correlation = fields.correlation ? fields.correlation->data() : nullptr;
    plain.label = detail::text_of(fields.label);
    plain.file = detail::text_of(fields.file);
    plain.function = detail::text_of(fields.function);
    plain.line = fields.line;
    plain.pair_count = pair_count;
    plain.tag_count = tag_count;
    return muster_log_put(handle_.get(), static_cast<muster_log_level>(level), message.data(), message.size(), &plain);
  }

  template <class Function, class... Arguments>
  int call(Function function, Arguments... arguments) const noexcept {
    return handle_ ? function(handle_.get(), arguments...) : EBADF;
  }

  void check(const char *operation, int status) const {
    if (status) detail::fail(operation, name(), {status});
  }

  int shut() noexcept {
    const int status = handle_ ? muster_log_close(handle_.get()) : 0;
    if (!status) (void)handle_.release();
    return status;
  }

  std::unique_ptr<muster_log, Close> handle_;
};

}  // namespace muster

#endif
