// Readers of a log: the records of all its writers, in the order of time (log_read.h).
//
//   muster::LogReader reader(log, options);
//   while (reader.wait(5s)) {
//     while (const auto record = reader.next()) std::cout << record->formatted();
//   }
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_LOG_READER_HPP
#define MUSTER_HPP_LOG_READER_HPP

#include "../log_read.h"
#include "log.hpp"

namespace muster {

/// Which records a reader gives: muster_log_filter. What is not set asks for nothing.
struct LogFilter {
  using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

  LogLevel least = LogLevel::Trace;
  std::optional<std::int32_t> pid{};
  std::optional<Time> from{};   ///< not before
  std::optional<Time> until{};  ///< before
  LogTags tags{};               ///< each of them
  const CorrelationId *correlation = nullptr;
  std::string_view label{};  ///< the very same
};

/// What a reader is opened with: muster_log_reader_options.
struct LogReaderOptions {
  muster_log_from from = MUSTER_LOG_OLDEST;
  std::chrono::nanoseconds hold{};                 ///< for how long a record is held back; none: 5 ms; negative: not at all
  const muster_log_position *position = nullptr;   ///< of MUSTER_LOG_AT
  LogFilter filter{};
};

namespace detail {

// The filter for C, with memory for its tags.
struct PlainFilter {
  explicit PlainFilter(const LogFilter &filter) noexcept {
    plain.least = static_cast<muster_log_level>(filter.least);
    plain.pid = filter.pid.value_or(0);
    plain.from = filter.from ? filter.from->time_since_epoch().count() : 0;
    plain.until = filter.until ? filter.until->time_since_epoch().count() : 0;
    for (const std::string_view tag : filter.tags) {
      if (plain.tag_count < MUSTER_LOG_TAGS_MAX) tags[plain.tag_count] = text_of(tag);
      plain.tag_count++;
    }
    if (plain.tag_count) plain.tags = tags;
    if (filter.correlation) plain.correlation = filter.correlation->data();
    label = text_of(filter.label);
    if (label.size) plain.label = &label;
  }
  PlainFilter(const PlainFilter &) = delete;
  PlainFilter &operator=(const PlainFilter &) = delete;

  muster_log_filter plain{};
  muster_log_text label{};
  muster_log_text tags[MUSTER_LOG_TAGS_MAX];
};

}  // namespace detail

/// A record, in memory of its reader's until that gives the next: muster_log_record.
struct LogRecord : muster_log_record {
  LogRecord() noexcept : muster_log_record{} {}

  [[nodiscard]] LogLevel severity() const noexcept { return static_cast<LogLevel>(level); }
  [[nodiscard]] std::string_view text() const noexcept { return detail::view_of(message); }
  [[nodiscard]] LogFilter::Time when() const noexcept { return LogFilter::Time(std::chrono::nanoseconds(time)); }
  [[nodiscard]] std::string_view tag(std::uint32_t index) const noexcept {
    return index < tag_count ? detail::view_of(tags[index]) : std::string_view();
  }

  /// The pair of that key; null where there is none.
  [[nodiscard]] const muster_log_pair *pair(std::string_view key) const noexcept {
    for (std::uint32_t k = 0; k < pair_count; k++) {
      if (std::string_view(pairs[k].key, pairs[k].key_size) == key) return &pairs[k];
    }
    return nullptr;
  }

  /// As a line with its newline; `format`: muster_log_format. muster_log_format_record.
  [[nodiscard]] std::string formatted(std::uint32_t format = MUSTER_LOG_FORMAT_TEXT) const {
    std::string made(512, '\0');
    const std::size_t size = muster_log_format_record(this, format, made.data(), made.size());
    const bool fits = size <= made.size();
    made.resize(size);
    if (!fits) (void)muster_log_format_record(this, format, made.data(), size);
    return made;
  }
};

/// A reader: muster_log_reader. Moved, not copied; one thread at a time reads by it. It ends before its Log does.
class LogReader {
 public:
  /// Not open.
  LogReader() noexcept = default;

  /// muster_log_reader_open.
  /// \throws muster::error: EINVAL, ENOMEM, EPERM, EAGAIN.
  explicit LogReader(const Log &log, const LogReaderOptions &options = {}) {
    const detail::PlainFilter filter(options.filter);
    muster_log_reader_options plain{};
    plain.from = options.from;
    plain.hold = options.hold.count();
    plain.position = options.position;
    plain.filter = filter.plain;
    muster_log_reader *reader = nullptr;
    const int status = log ? muster_log_reader_open(log.get(), &plain, &reader) : EBADF;
    detail::check("read the log", log.name(), {status});
    handle_.reset(reader);
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  void close() noexcept { handle_.reset(); }

  /// The next record; nothing where there is none by now. Never waits. muster_log_next.
  /// \throws muster::error: EPERM.
  [[nodiscard]] std::optional<LogRecord> next() {
    std::optional<LogRecord> record(std::in_place);
    const int status = handle_ ? muster_log_next(handle_.get(), &*record) : EBADF;
    if (!status) return record;
    if (status != EAGAIN) detail::fail("read the log", "", {status});
    return std::nullopt;
  }

  /// Waits until next() would give one; false: the deadline has passed. muster_log_wait.
  /// \throws muster::error: EPERM.
  [[nodiscard]] bool wait(Deadline deadline) {
    const int status = handle_ ? muster_log_wait(handle_.get(), deadline.get()) : EBADF;
    if (status && status != ETIMEDOUT) detail::fail("wait for the log", "", {status});
    return !status;
  }

  /// Behind the last record that next() gave or passed over. muster_log_reader_position.
  [[nodiscard]] muster_log_position position() const noexcept {
    muster_log_position position{};
    if (handle_) muster_log_reader_position(handle_.get(), &position);
    return position;
  }

  /// For the C API (muster_log_poll in an event loop); it stays this object's.
  [[nodiscard]] muster_log_reader *get() const noexcept { return handle_.get(); }

 private:
  struct Close {
    void operator()(muster_log_reader *reader) const noexcept { muster_log_reader_close(reader); }
  };

  std::unique_ptr<muster_log_reader, Close> handle_;
};

}  // namespace muster

#endif
