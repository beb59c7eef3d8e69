// Alive: a file that is locked while its owner lives, and that tells how the last owner ended (alive.h).
//
//   muster::Alive alive("/run/server.alive");                      // throws where another one runs
//   if (alive.found().kind == muster::AliveFound::Kind::Crash) recover(*alive.found().pid);
//
//   muster::wait_for_alive("/run/server.alive", 5s);               // elsewhere
//   muster::wait_for_death("/run/server.alive", muster::Deadline::never());
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_ALIVE_HPP
#define MUSTER_HPP_ALIVE_HPP

#include "../alive.h"
#include "deadline.hpp"
#include "error.hpp"

namespace muster {

/// What an Alive file told: muster_alive_found.
struct AliveFound {
  enum class Kind {
    Nothing = MUSTER_ALIVE_NOTHING,  ///< there never was an owner, or the last one ended cleanly
    Crash = MUSTER_ALIVE_CRASH,      ///< its owner ended otherwise
    Reboot = MUSTER_ALIVE_REBOOT,    ///< the same, from before the machine was last started
    Held = MUSTER_ALIVE_HELD,        ///< somebody holds it: alive
  };

  Kind kind = Kind::Nothing;
  std::optional<std::int32_t> pid{};     ///< the owner's process, in its pid namespace, where the file tells
  std::optional<std::uint64_t> start{};  ///< when that process started: clock ticks since boot
  std::optional<std::chrono::system_clock::time_point> since{};  ///< when it acquired
};

namespace detail {

inline AliveFound found_of(const muster_alive_found &plain) noexcept {
  AliveFound found;
  found.kind = static_cast<AliveFound::Kind>(plain.kind);
  if (plain.pid) found.pid = plain.pid;
  if (plain.start) found.start = plain.start;
  if (plain.since) {
    using Clock = std::chrono::system_clock;
    found.since = Clock::time_point(std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(plain.since)));
  }
  return found;
}

}  // namespace detail

/// Holding an Alive file: muster_alive. Moved, not copied.
///
/// The destructor is a clean end, as close() is, also while an exception passes: who wants the next owner to find a
/// crash calls abandon(). In a forked child it touches nothing.
class Alive {
 public:
  /// Holding nothing.
  Alive() noexcept = default;

  /// Takes the file at `path`, creating it with the permissions `mode` (0 is 0644) if it is missing, and waiting for
  /// its present owner until the deadline. muster_alive_acquire.
  /// \throws muster::error: EBUSY at once, or ETIMEDOUT, with the holder's pid(); and the others of that function.
  explicit Alive(const Name &path, Deadline deadline = Deadline::now(), std::uint32_t mode = 0) {
    const int status = acquire(path, deadline, mode);
    if (status) detail::fail("take the Alive file", path.text(), {status, UINT32_MAX, found_.pid.value_or(0), {}});
  }
  /// The same; where `ec` is set it holds nothing, and found() tells of the holder.
  Alive(const Name &path, Deadline deadline, std::error_code &ec) : Alive(path, deadline, 0, ec) {}
  Alive(const Name &path, Deadline deadline, std::uint32_t mode, std::error_code &ec) {
    ec = to_error_code(acquire(path, deadline, mode));
  }

  /// Whether the file is held by this object.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// What the file told before it was taken: Nothing, Crash or Reboot; Held where it was not to be had.
  [[nodiscard]] const AliveFound &found() const noexcept { return found_; }

  /// A clean end: removes the file and lets go of it, in any case. Again: nothing. muster_alive_release.
  /// \throws muster::error: ESTALE when somebody removed or replaced the file before; or why it can't be removed.
  void close() { detail::check("remove the Alive file", path_, {release()}); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(release()); }

  /// Lets go of the file without removing it: the next owner finds a crash. muster_alive_abandon.
  void abandon() noexcept { muster_alive_abandon(handle_.release()); }

  /// Whether the path still leads to the file that is held. muster_alive_current.
  /// \throws muster::error: EPERM in a forked child; or where that can't be told.
  [[nodiscard]] bool current() const {
    const int status = handle_ ? muster_alive_current(handle_.get()) : EBADF;
    if (status == ESTALE) return false;
    detail::check("look up the Alive file", path_, {status});
    return true;
  }

  /// The path as it was given.
  [[nodiscard]] const std::string &path() const noexcept { return path_; }

  /// For the C API; it stays this object's.
  [[nodiscard]] muster_alive *get() const noexcept { return handle_.get(); }

 private:
  struct Close {
    void operator()(muster_alive *alive) const noexcept { (void)muster_alive_release(alive); }
  };

  int acquire(const Name &path, Deadline deadline, std::uint32_t mode) {
    path_ = path.text();
    muster_alive_found plain{};
    muster_alive *alive = nullptr;
    const int status = muster_alive_acquire(path.c_str(), mode, deadline.get(), &plain, &alive);
    if (!status) handle_.reset(alive);
    found_ = detail::found_of(plain);
    return status;
  }

  int release() noexcept { return muster_alive_release(handle_.release()); }

  std::unique_ptr<muster_alive, Close> handle_;
  AliveFound found_;
  std::string path_;
};

/// A way out of Alive's waits for another thread: once set, the waits of every thread that heeds it end with ECANCELED.
/// muster_alive_stop. It outlives all that heed it.
class AliveStop {
 public:
  /// \throws muster::error: ENOMEM, EMFILE, ENFILE.
  AliveStop() {
    muster_alive_stop *stop = nullptr;
    detail::check("make a stop", "", {muster_alive_stop_make(&stop)});
    handle_.reset(stop);
  }

  /// From any thread. It stays set. One that was moved from: nothing.
  void set() const noexcept {
    if (handle_) muster_alive_stop_set(handle_.get());
  }

  /// While this lives, the calling thread's waits that begin heed the stop (and no other: the end of an inner one ends
  /// that of an outer one, too).
  class Heed {
   public:
    explicit Heed(const AliveStop &stop) noexcept { muster_alive_stop_heed(stop.handle_.get()); }
    ~Heed() { muster_alive_stop_heed(nullptr); }
    Heed(const Heed &) = delete;
    Heed &operator=(const Heed &) = delete;
  };

 private:
  struct Free {
    void operator()(muster_alive_stop *stop) const noexcept { muster_alive_stop_free(stop); }
  };
  std::unique_ptr<muster_alive_stop, Free> handle_;
};

/// Tells what stands at the path, without creating or locking anything. muster_alive_probe.
[[nodiscard]] inline AliveFound probe(const Name &path, std::error_code &ec) noexcept {
  muster_alive_found found{};
  ec = to_error_code(muster_alive_probe(path.c_str(), &found));
  return detail::found_of(found);
}
/// \throws muster::error
[[nodiscard]] inline AliveFound probe(const Name &path) {
  std::error_code ec;
  AliveFound found = probe(path, ec);
  detail::check("look at the Alive file", path.text(), {ec.value()});
  return found;
}

/// Waits until somebody holds the file, and tells who. muster_alive_wait.
inline AliveFound wait_for_alive(const Name &path, Deadline deadline, std::error_code &ec) noexcept {
  muster_alive_found found{};
  ec = to_error_code(muster_alive_wait(path.c_str(), deadline.get(), &found));
  return detail::found_of(found);
}
/// \throws muster::error: ETIMEDOUT, ECANCELED (AliveStop), or what probe throws.
inline AliveFound wait_for_alive(const Name &path, Deadline deadline) {
  std::error_code ec;
  AliveFound found = wait_for_alive(path, deadline, ec);
  detail::check("wait for the owner of", path.text(), {ec.value()});
  return found;
}

/// Waits until nobody holds the file, and tells how the owner ended: Nothing (cleanly), Crash or Reboot; at ETIMEDOUT
/// Held. muster_alive_wait_death.
inline AliveFound wait_for_death(const Name &path, Deadline deadline, std::error_code &ec) noexcept {
  muster_alive_found found{};
  ec = to_error_code(muster_alive_wait_death(path.c_str(), deadline.get(), &found));
  return detail::found_of(found);
}
/// \throws muster::error: ETIMEDOUT with the holder's pid(), ECANCELED (AliveStop), or what probe throws.
inline AliveFound wait_for_death(const Name &path, Deadline deadline) {
  std::error_code ec;
  AliveFound found = wait_for_death(path, deadline, ec);
  const detail::Failure failure{ec.value(), UINT32_MAX, found.pid.value_or(0), {}};
  detail::check("wait for the end of the owner of", path.text(), failure);
  return found;
}

}  // namespace muster

#endif
