// The drain of a log: one process writes its records to a descriptor, or to files that rotate (log_drain.h).
//
//   muster::LogDrainOptions where;
//   where.folder = "/var/log/app", where.name = "app", where.rotate_bytes = 10 << 20, where.keep_files = 8;
//   muster::LogDrain drain(log, where);
//   while (running) drain.run(1s);
//   drain.finish();                                                // the last few milliseconds' too
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_LOG_DRAIN_HPP
#define MUSTER_HPP_LOG_DRAIN_HPP

#include "../log_drain.h"
#include "log_reader.hpp"

namespace muster {

/// What a drain is opened with: muster_log_drain_options.
struct LogDrainOptions {
  std::optional<Name> folder{};  ///< none: to `descriptor`
  Name name{""};                 ///< of the files
  int descriptor = -1;           ///< stays the caller's
  std::uint32_t format = MUSTER_LOG_FORMAT_TEXT;
  bool sync = false;                    ///< each batch is on the disk before it counts as written
  std::uint32_t permissions = 0;        ///< of new files; 0 is 0600
  std::uint64_t rotate_bytes = 0;       ///< 0: not by size
  std::chrono::seconds rotate_every{};  ///< none: not by time
  std::uint32_t keep_files = 0;         ///< with the present one; 0: all
  std::chrono::seconds keep_for{};      ///< none: for ever
  std::chrono::nanoseconds hold{};      ///< as of a reader
  LogFilter filter{};
};

/// How far a log was drained: muster_log_drain_state.
using LogDrainState = muster_log_drain_state;

/// What is known of a log's drain, whoever it is. muster_log_look_drain.
/// \throws muster::error: EPERM.
[[nodiscard]] inline LogDrainState look_at_drain(const Log &log) {
  LogDrainState state{};
  detail::check("look at the drain of the log", log.name(), {log ? muster_log_look_drain(log.get(), &state) : EBADF});
  return state;
}

/// The drain: muster_log_drain. Moved, not copied; one thread at a time calls it. It ends before its Log does.
///
/// It belongs to the thread that made it. On another thread, while that one lives, the destructor can't let go.
class LogDrain {
 public:
  /// Not open.
  LogDrain() noexcept = default;

  /// Becomes the drain. muster_log_drain_open.
  /// \throws muster::error with the values of that function: EBUSY with the pid() of a living drain.
  LogDrain(const Log &log, const LogDrainOptions &options) {
    const detail::Failure failure = open(log, options);
    detail::check("drain the log", log.name(), failure);
  }
  /// The same; not open where `ec` is set.
  LogDrain(const Log &log, const LogDrainOptions &options, std::error_code &ec) noexcept {
    ec = to_error_code(open(log, options).status);
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Stops, and lets go; what is staged stays for the next drain. Again: nothing. muster_log_drain_close.
  /// \throws muster::error: EBUSY on another thread than opened it, which lives; it is open as before then.
  void close() { check("close the drain of a log", shut()); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// Writes what is ready, up to one batch, and says how many records: 0 also for a batch that the drain before left.
  /// muster_log_drain_step.
  /// \throws muster::error with the values of that function but EAGAIN; after those of the file, such as ENOSPC, the batch is kept.
  std::uint64_t step() {
    std::uint64_t records;
    (void)write(0, records);
    return records;
  }

  /// Writes all that is there by now, also what would be held back, or as much as a non-blocking descriptor takes; how many records.
  /// \throws muster::error as step does.
  std::uint64_t finish() {
    std::uint64_t all = 0, records;
    while (write(MUSTER_LOG_DRAIN_ALL, records)) all += records;
    return all;
  }

  /// Writes what comes, until the deadline. muster_log_drain_run.
  /// \throws muster::error as step does.
  void run(Deadline deadline) {
    const int status = handle_ ? muster_log_drain_run(handle_.get(), deadline.get()) : EBADF;
    if (status != ETIMEDOUT) check("drain the log", status);
  }

  /// The path of the file that is being written; empty where there is none.
  [[nodiscard]] std::string path() const {
    const char *path = handle_ ? muster_log_drain_path(handle_.get()) : nullptr;
    return path ? path : "";
  }

  /// For the C API (muster_log_drain_poll in an event loop); it stays this object's.
  [[nodiscard]] muster_log_drain *get() const noexcept { return handle_.get(); }

 private:
  struct Close {
    void operator()(muster_log_drain *drain) const noexcept { (void)muster_log_drain_close(drain); }
  };

  detail::Failure open(const Log &log, const LogDrainOptions &options) noexcept {
    const detail::PlainFilter filter(options.filter);
    muster_log_drain_options plain{};
    if (options.folder) plain.folder = options.folder->c_str();
    plain.name = options.name.c_str();
    plain.descriptor = options.descriptor;
    plain.format = options.format;
    plain.flags = options.sync ? static_cast<std::uint32_t>(MUSTER_LOG_DRAIN_SYNC) : 0;
    plain.permissions = options.permissions;
    plain.rotate_bytes = options.rotate_bytes;
    plain.rotate_seconds = options.rotate_every.count();
    plain.keep_files = options.keep_files;
    plain.keep_seconds = options.keep_for.count();
    plain.hold = options.hold.count();
    plain.filter = filter.plain;
    detail::Failure failure;
    muster_log_drain *drain = nullptr;
    failure.status = log ? muster_log_drain_open(log.get(), &plain, &drain, &failure.pid) : EBADF;
    if (!failure.status) handle_.reset(drain);
    return failure;
  }

  // Whether it wrote anything, which need not be records of its own.
  bool write(std::uint32_t flags, std::uint64_t &records) {
    records = 0;
    const int status = handle_ ? muster_log_drain_step(handle_.get(), flags, &records) : EBADF;
    if (status != EAGAIN) check("drain the log", status);
    return status == 0;
  }

  void check(const char *operation, int status) const {
    if (status) detail::fail(operation, path(), {status});
  }

  int shut() noexcept {
    const int status = handle_ ? muster_log_drain_close(handle_.get()) : 0;
    if (!status) (void)handle_.release();
    return status;
  }

  std::unique_ptr<muster_log_drain, Close> handle_;
};

}  // namespace muster

#endif
