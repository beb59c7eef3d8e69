// Processes: started, watched, stopped with all that they have started (process.h, process_stop.h).
//
//   muster::ProcessOptions options;
//   options.path = "/usr/bin/worker";
//   options.arguments = {"worker", "--fast"};
//   options.flags = MUSTER_PROCESS_GROUP | MUSTER_PROCESS_TIE;
//   options.readiness = MUSTER_PROCESS_READY_SOCKET;
//   muster::Process worker(options);             // throws: Can't execute "/usr/bin/worker": ... (ENOENT).
//   worker.ready(5s);
//   const muster::ProcessEnd end = worker.wait(muster::Deadline::never());
//   worker.stop(5s, 7s);
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_PROCESS_HPP
#define MUSTER_HPP_PROCESS_HPP

#include <optional>
#include <string>
#include <vector>

#include "../process.h"
#include "../process_stop.h"
#include "deadline.hpp"
#include "error.hpp"

namespace muster {

/// How a process ended: muster_process_end.
using ProcessEnd = muster_process_end;
/// How a living process is: muster_process_sample.
using ProcessSample = muster_process_sample;
/// What it has told of itself: muster_process_notice.
using ProcessNotice = muster_process_notice;
/// What became of a stop: muster_process_stop_report.
using ProcessStopReport = muster_process_stop_report;

/// What a program is started with: muster_process_options.
struct ProcessOptions {
  std::string path{};                     ///< the program; empty: `program`
  std::vector<std::string> arguments{};   ///< with its name first; empty: the path alone
  std::optional<std::vector<std::string>> environment{};  ///< NAME=value; none: this process's
  std::string folder{};                   ///< empty: this process's
  std::int32_t program = -1;              ///< a descriptor of the program
  std::uint32_t flags = 0;                ///< muster_process_flags
  muster_process_stream streams[3] = {};  ///< standard input, output, error
  std::vector<muster_process_descriptor> descriptors{};
  std::vector<muster_process_limit> limits{};
  std::int32_t group = 0;
  std::int32_t nice = 0;
  std::uint32_t umask = 0;
  muster_process_readiness readiness = MUSTER_PROCESS_READY_NONE;
  std::int32_t ready_descriptor = 0;
};

namespace detail {

inline const char *attempt(muster_process_step step) noexcept {
  switch (step) {
    case MUSTER_PROCESS_STEP_GROUP: return "enter the process group of";
    case MUSTER_PROCESS_STEP_CGROUP: return "enter the cgroup of";
    case MUSTER_PROCESS_STEP_GUARD: return "make the guard of";
    case MUSTER_PROCESS_STEP_TIE: return "tie the life of";
    case MUSTER_PROCESS_STEP_NICE: return "set the niceness of";
    case MUSTER_PROCESS_STEP_FOLDER: return "enter the folder of";
    case MUSTER_PROCESS_STEP_DESCRIPTORS: return "arrange the descriptors of";
    case MUSTER_PROCESS_STEP_LIMIT: return "set the limits of";
    case MUSTER_PROCESS_STEP_EXEC: return "execute";
    default: return "start";
  }
}

inline std::vector<const char *> pointers(const std::vector<std::string> &strings) {
  std::vector<const char *> plain;
  plain.reserve(strings.size() + 1);
  for (const std::string &string : strings) plain.push_back(string.c_str());
  plain.push_back(nullptr);
  return plain;
}

}  // namespace detail

/// A process. Moved, not copied. The destructor lets go of it and neither waits nor kills: a child that was not waited for stays a
/// zombie when it ends. One thread at a time.
class Process {
 public:
  /// None.
  Process() noexcept : plain_(none()) {}

  /// Starts a program. muster_process_spawn.
  /// \throws muster::error: what the step gave that failed; name() is the path.
  explicit Process(const ProcessOptions &options) : plain_(none()), name_(options.path) {
    muster_process_step step = MUSTER_PROCESS_STEP_NONE;
    const int status = spawn(options, &step);
    if (status) detail::fail(detail::attempt(step), name_, {status});
  }
  /// The same; `step`, where it is not null, says where it failed.
  Process(const ProcessOptions &options, std::error_code &ec, muster_process_step *step = nullptr)
      : plain_(none()), name_(options.path) {
    ec = to_error_code(spawn(options, step));
  }

  /// Any process: whichever has the number now, or, with `start`, the one that was started then. muster_process_open.
  /// \throws muster::error: ESRCH, ESTALE, EINVAL...
  static Process open(std::int32_t pid, std::uint64_t start = 0) {
    Process process;
    process.name_ = std::to_string(pid);
    detail::check("open the process", process.name_, {muster_process_open(pid, start, &process.plain_)});
    return process;
  }

  /// A process that is known by a pidfd, which is duplicated. muster_process_open_descriptor.
  /// \throws muster::error: ESRCH, EBADF, EINVAL...
  static Process open_descriptor(int descriptor) {
    Process process;
    process.name_ = std::to_string(descriptor);
    detail::check("open the process of the descriptor", process.name_,
                  {muster_process_open_descriptor(descriptor, &process.plain_)});
    process.name_ = std::to_string(process.plain_.pid);
    return process;
  }

  Process(Process &&other) noexcept : plain_(other.plain_), name_(std::move(other.name_)) { other.plain_ = none(); }
  Process &operator=(Process &&other) noexcept {
    Process taken(std::move(other));
    std::swap(plain_, taken.plain_);
    std::swap(name_, taken.name_);
    return *this;
  }
  ~Process() { close(); }

  /// Whether there is one here, living or not.
  [[nodiscard]] explicit operator bool() const noexcept { return plain_.pid != 0; }
  [[nodiscard]] std::int32_t pid() const noexcept { return plain_.pid; }
  /// What it has told so far; hear() and ready() read more.
  [[nodiscard]] const ProcessNotice &notice() const noexcept { return plain_.notice; }

  /// Waits for its end. muster_process_wait.
  /// \throws muster::error: ETIMEDOUT; EBADF: there is none.
  ProcessEnd wait(Deadline deadline) {
    ProcessEnd end{};
    check("wait for the end of", call([&] { return muster_process_wait(&plain_, deadline.get(), &end); }));
    return end;
  }
  ProcessEnd wait(Deadline deadline, std::error_code &ec) noexcept {
    ProcessEnd end{};
    ec = to_error_code(call([&] { return muster_process_wait(&plain_, deadline.get(), &end); }));
    return end;
  }

  /// How it ended, if it has. muster_process_poll.
  [[nodiscard]] std::optional<ProcessEnd> ended() {
    ProcessEnd end{};
    const int status = call([&] { return muster_process_poll(&plain_, &end); });
    if (status == EAGAIN) return std::nullopt;
    check("look for the end of", status);
    return end;
  }

  /// Sends a signal. muster_process_signal.
  /// \throws muster::error: ESRCH: it has ended; EINVAL, EPERM, EAGAIN.
  void signal(std::int32_t number) {
    check("send a signal to", call([&] { return muster_process_signal(&plain_, number); }));
  }
  void signal(std::int32_t number, std::error_code &ec) noexcept {
    ec = to_error_code(call([&] { return muster_process_signal(&plain_, number); }));
  }

  /// How it is. muster_process_look.
  /// \throws muster::error: ESRCH: it has ended.
  [[nodiscard]] ProcessSample look() const {
    ProcessSample sample{};
    check("look at", call([&] { return muster_process_look(&plain_, &sample); }));
    return sample;
  }

  /// Waits until it says that it is ready. muster_process_ready.
  /// \throws muster::error: ETIMEDOUT; EOWNERDEAD: it ended before; EPIPE: it never will; EINVAL: it was not asked to.
  void ready(Deadline deadline) {
    const int status = call([&] { return muster_process_ready(&plain_, deadline.get()); });
    if (status) detail::fail("wait for the readiness of", name_, {status, UINT32_MAX, plain_.pid, {}});
  }
  void ready(Deadline deadline, std::error_code &ec) noexcept {
    ec = to_error_code(call([&] { return muster_process_ready(&plain_, deadline.get()); }));
  }

  /// Reads what it has told since: whether there was any. muster_process_hear.
  bool hear() {
    const int status = call([&] { return muster_process_hear(&plain_); });
    if (status == EAGAIN) return false;
    check("hear", status);
    return true;
  }

  /// Ends it with all that it has started: SIGTERM (or `number`), from `grace` on SIGKILL. muster_process_stop.
  /// \throws muster::error: EBUSY: some would not die by the deadline.
  ProcessStopReport stop(Deadline grace, Deadline deadline, std::int32_t number = 0) {
    ProcessStopReport report{};
    const int status = stop(grace, deadline, number, report);
    if (status) detail::fail("stop", name_, {status, UINT32_MAX, report.left ? report.pids[0] : 0, {}});
    return report;
  }
  ProcessStopReport stop(Deadline grace, Deadline deadline, std::error_code &ec, std::int32_t number = 0) noexcept {
    ProcessStopReport report{};
    ec = to_error_code(stop(grace, deadline, number, report));
    return report;
  }

  /// Lets go of it. muster_process_close.
  void close() noexcept {
    if (plain_.pid != 0) muster_process_close(&plain_);
    plain_ = none();
  }

  /// For the C API, and its pidfd for a poll loop; it stays this object's.
  [[nodiscard]] muster_process *get() noexcept { return &plain_; }
  [[nodiscard]] int descriptor() const noexcept { return plain_.pidfd; }

 private:
  static muster_process none() noexcept {
    muster_process plain{};
    plain.pidfd = plain.ready = plain.cgroup = plain.guard = -1;
    return plain;
  }

  template <class Call>
  int call(Call &&made) const noexcept {
    return plain_.pid == 0 ? EBADF : made();
  }
  void check(std::string_view operation, int status) const { detail::check(operation, name_, {status}); }

  int spawn(const ProcessOptions &options, muster_process_step *step) {
    const std::vector<const char *> arguments = detail::pointers(options.arguments);
    std::vector<const char *> environment;
    if (options.environment) environment = detail::pointers(*options.environment);
    muster_process_options plain{};
    plain.path = options.path.empty() ? nullptr : options.path.c_str();
    plain.arguments = options.arguments.empty() ? nullptr : arguments.data();
    plain.environment = options.environment ? environment.data() : nullptr;
    plain.folder = options.folder.empty() ? nullptr : options.folder.c_str();
    plain.program = options.program;
    plain.flags = options.flags;
    for (int i = 0; i < 3; i++) plain.streams[i] = options.streams[i];
    plain.descriptors = options.descriptors.data();
    plain.descriptors_count = static_cast<std::uint32_t>(options.descriptors.size());
    plain.limits = options.limits.data();
    plain.limits_count = static_cast<std::uint32_t>(options.limits.size());
    plain.group = options.group;
    plain.nice = options.nice;
    plain.umask = options.umask;
    plain.readiness = options.readiness;
    plain.ready_descriptor = options.ready_descriptor;
    return muster_process_spawn(&plain, &plain_, step);
  }

  int stop(Deadline grace, Deadline deadline, std::int32_t number, ProcessStopReport &report) noexcept {
    const muster_process_stop_options plain{number, 0, grace.get(), deadline.get()};
    return call([&] { return muster_process_stop(&plain_, &plain, &report); });
  }

  muster_process plain_;
  std::string name_;
};

}  // namespace muster

#endif
