// The robust mutex between processes: who comes after a dead holder is told, and repairs or poisons (lock.h).
//
//   muster::MutexOptions options;
//   options.repair = [&] { books->roll_back(); };                  // what a dead holder left half done
//   muster::Mutex mutex("books", options);
//   std::scoped_lock held(mutex);                                  // whole, whoever died before
//
// How a death reaches who locks. The guards of the standard library know no third outcome beside "locked" and "threw", so:
//   - With a `repair`, every form of locking calls it, with the lock held, when a holder had died. If it returns, what the
//     lock guards is whole, and the lock is held as ever. What it throws poisons the mutex and comes out of lock():
//     std::errc::state_not_recoverable for everybody, until reset().
//   - Without one lock() poisons the mutex, too, and throws std::errc::owner_dead with the pid() of the dead: as
//     everywhere, whoever gets an exception holds nothing, and nobody works on what is half changed.
//   - lock(deadline, ec) is the form for who repairs by hand, as in C: with ec == std::errc::owner_dead it *is* locked.
//
//         std::error_code ec;
//         if (!mutex.lock(5s, ec)) return;                         // not held: ec says why
//         std::unique_lock held(mutex, std::adopt_lock);
//         if (ec == std::errc::owner_dead) repair(), mutex.repaired();
//
// An exception that leaves the guarded part unlocks as if all were well: it is no death.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_LOCK_HPP
#define MUSTER_HPP_LOCK_HPP

#include <functional>

#include "../lock.h"
#include "deadline.hpp"
#include "error.hpp"
#include "region.hpp"

namespace muster {

/// Who holds a lock, or died holding it: muster_lock_holder.
struct LockHolder {
  enum class State {
    Free = MUSTER_LOCK_FREE,  ///< nobody holds it
    Held = MUSTER_LOCK_HELD,  ///< a living thread does
    Dead = MUSTER_LOCK_DEAD,  ///< its holder died, and nobody has taken it since
  };
  enum class Condition {
    Whole = MUSTER_LOCK_WHOLE,            ///< what it guards is as its holders left it
    Unrepaired = MUSTER_LOCK_UNREPAIRED,  ///< a holder died, and nobody has said yet that it is repaired
    Poisoned = MUSTER_LOCK_POISONED,      ///< unlocked unrepaired: until reset
  };

  State state = State::Free;
  Condition condition = Condition::Whole;
  std::optional<std::int32_t> pid{};  ///< of the holder, or of the dead one, where it is known
  std::uint32_t thread = 0;           ///< its thread id
  std::optional<std::chrono::steady_clock::time_point> since{};  ///< when it locked, up to a second too early
  std::optional<std::int32_t> died{};  ///< the process of the last that is known to have died holding it
};

/// Puts in order what a dead holder left; called with the lock held. What it throws says that it can't.
using Repair = std::function<void()>;

/// What a mutex is opened with: muster_mutex_options.
struct MutexOptions {
  Flags flags = Flags::Open;
  std::uint32_t mode = 0;               ///< permissions when created; 0 is 0600
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
  Repair repair{};                      ///< of this handle
};

namespace detail {

inline LockHolder holder_of(const muster_lock_holder &plain) noexcept {
  LockHolder holder;
  holder.state = static_cast<LockHolder::State>(plain.state);
  holder.condition = static_cast<LockHolder::Condition>(plain.condition);
  if (plain.pid) holder.pid = plain.pid;
  holder.thread = plain.thread;
  if (plain.since) holder.since = std::chrono::steady_clock::time_point(std::chrono::nanoseconds(plain.since));
  if (plain.died) holder.died = plain.died;
  return holder;
}

// Whom an error is to name: who died, or who has the lock. 0: nobody.
inline std::int32_t whose(int status, const muster_lock_holder &holder) noexcept {
  if (status == EBUSY || status == ETIMEDOUT) return holder.state == MUSTER_LOCK_HELD ? holder.pid : 0;
  return status == EOWNERDEAD || status == ENOTRECOVERABLE ? holder.died : 0;
}

// Runs a repair for who holds the lock; `unlock` poisons it.
template <class Unlock>
void run_repair(const Repair &repair, Unlock &&unlock) {
  try {
    repair();
  } catch (...) {
    unlock();
    throw;
  }
}

}  // namespace detail

/// A handle of a mutex: muster_mutex. Moved (while nobody uses it), not copied. TimedLockable: std::scoped_lock,
/// std::unique_lock and std::lock take it. Any number of threads may lock by one handle; the mutex belongs to the
/// thread that locked it, and that thread's end is its death.
///
/// Closing a handle by which the mutex is held does nothing (EBUSY), and the destructor lets it leak.
class Mutex {
 public:
  /// Not open.
  Mutex() noexcept = default;

  /// Creates or attaches. muster_mutex_open.
  /// \throws muster::error with the values of that function; mismatch() at EPROTO.
  explicit Mutex(const Name &name, const MutexOptions &options = {}) : repair_(options.repair) {
    detail::check("open the mutex", name.text(), open(name, options));
  }
  /// The same; not open where `ec` is set.
  Mutex(const Name &name, const MutexOptions &options, std::error_code &ec) : repair_(options.repair) {
    ec = to_error_code(open(name, options).status);
  }

  /// In place: the bytes that a mutex takes, and their alignment. muster_mutex_size.
  [[nodiscard]] static std::size_t size() noexcept { return muster_mutex_size(); }
  static constexpr std::size_t alignment = MUSTER_LOCK_ALIGNMENT;

  /// In place: lays a mutex into memory that no one uses as one. muster_mutex_init.
  /// \throws muster::error: EINVAL, ENOTSUP.
  static void init(void *memory, std::size_t size) {
    detail::check("lay out a mutex", "", {muster_mutex_init(memory, size)});
  }

  /// In place: a handle for the mutex at `memory`, which stays mapped and writable until close. muster_mutex_attach.
  /// \throws muster::error: EINVAL, ENOMEM, EBADMSG, EPROTO, ENOTSUP.
  [[nodiscard]] static Mutex attach(void *memory, std::size_t size, Repair repair = {}) {
    muster_mutex *plain = nullptr;
    detail::check("attach to the mutex", "", {muster_mutex_attach(memory, size, &plain)});
    Mutex mutex;
    mutex.handle_.reset(plain);
    mutex.repair_ = std::move(repair);
    return mutex;
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Lets go of it. Again: nothing. muster_mutex_close.
  /// \throws muster::error: EBUSY while a living thread holds the mutex by this handle; it is open as before then.
  void close() { detail::check("close the mutex", name(), {shut()}); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// Locks, waiting for as long as it takes, or until the deadline. After an exception it is not held. muster_mutex_lock.
  /// \throws muster::error: EOWNERDEAD (no repair was given; it is poisoned now) and ENOTRECOVERABLE (poisoned) with the
  /// pid() of the dead; ETIMEDOUT with the holder's; EDEADLK (this thread holds it), ENOLCK, EACCES, EPERM, ENOMEM,
  /// EBADMSG; what the repair threw.
  [[gnu::always_inline]] void lock() { lock(Deadline::never()); }
  [[gnu::always_inline]] void lock(Deadline deadline) { settle(call(muster_mutex_lock, deadline.get())); }

  /// The same; says whether it is held. With EOWNERDEAD it is: repair, say repaired(), unlock. What the repair of this
  /// handle throws is thrown here too.
  [[nodiscard]] bool lock(Deadline deadline, std::error_code &ec) {
    return tell(call(muster_mutex_lock, deadline.get()), ec);
  }

  /// Locks unless anybody holds it, this thread included; says whether. muster_mutex_try.
  /// \throws muster::error as lock does.
  [[nodiscard, gnu::always_inline]] bool try_lock() {
    const int status = call(muster_mutex_try);
    return status != EBUSY && (settle(status), true);
  }

  /// The same. That somebody holds it is no error, and with EOWNERDEAD it is held, as with lock.
  [[nodiscard]] bool try_lock(std::error_code &ec) {
    const int status = call(muster_mutex_try);
    if (status != EBUSY) return tell(status, ec);
    ec.clear();
    return false;
  }

  /// Locks unless that takes longer; says whether.
  /// \throws muster::error as lock does.
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(const std::chrono::duration<Rep, Period> &span) {
    return try_lock_until(Deadline(span));
  }
  [[nodiscard]] bool try_lock_until(Deadline deadline) {
    const int status = call(muster_mutex_lock, deadline.get());
    return status != ETIMEDOUT && (settle(status), true);
  }

  /// What the mutex guards is whole again: said by its holder, before it unlocks. muster_mutex_repaired.
  /// \throws muster::error: EPERM (not held by this thread by this handle), EACCES.
  void repaired() { detail::check("mark as repaired the mutex", name(), {call(muster_mutex_repaired)}); }
  void repaired(std::error_code &ec) noexcept { ec = to_error_code(call(muster_mutex_repaired)); }

  /// Unlocks; poisons the mutex if it is unrepaired. muster_mutex_unlock. The guards call it where nothing may be thrown;
  /// the second form tells: EPERM (not held by this thread by this handle, or in a forked child), EACCES, EBADMSG.
  [[gnu::always_inline]] void unlock() noexcept { (void)call(muster_mutex_unlock); }
  void unlock(std::error_code &ec) noexcept { ec = to_error_code(call(muster_mutex_unlock)); }

  /// Takes poison off: the next to lock repairs. By anybody. muster_mutex_reset.
  /// \throws muster::error: EPERM, EACCES.
  void reset() { detail::check("reset the mutex", name(), {call(muster_mutex_reset)}); }
  void reset(std::error_code &ec) noexcept { ec = to_error_code(call(muster_mutex_reset)); }

  /// Who holds it. Takes no lock. muster_mutex_holder.
  /// \throws muster::error: EPERM.
  [[nodiscard]] LockHolder holder() const {
    muster_lock_holder plain{};
    detail::check("look at the mutex", name(), {look(plain)});
    return detail::holder_of(plain);
  }

  /// The name that it was opened by; empty for one in place, or not open.
  [[nodiscard]] std::string name() const {
    const muster_region *region = handle_ ? muster_mutex_region(handle_.get()) : nullptr;
    return region ? muster_region_name(region) : "";
  }

  /// For the C API (muster_mutex_poll in an event loop); it stays this object's.
  [[nodiscard]] muster_mutex *get() const noexcept { return handle_.get(); }

 private:
  struct Close {
    void operator()(muster_mutex *mutex) const noexcept { (void)muster_mutex_close(mutex); }
  };

  detail::Failure open(const Name &name, const MutexOptions &options) noexcept {
    detail::Failure failure;
    muster_mutex_options plain{};
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.mode = options.mode;
    plain.deadline = options.deadline.get();
    plain.mismatch = &failure.mismatch;
    muster_mutex *mutex = nullptr;
    failure.status = muster_mutex_open(name.c_str(), &plain, &mutex);
    if (!failure.status) handle_.reset(mutex);
    return failure;
  }

  template <class Function, class... Arguments>
  [[gnu::always_inline]] int call(Function function, Arguments... arguments) noexcept {
    return handle_ ? function(handle_.get(), arguments...) : EBADF;
  }

  int look(muster_lock_holder &plain) const noexcept {
    return handle_ ? muster_mutex_holder(handle_.get(), &plain) : EBADF;
  }

  // Makes of what C returned what a Lockable says: held, or an exception.
  [[gnu::always_inline]] void settle(int status) {
    if (__builtin_expect(status != 0, 0)) settle_otherwise(status);
  }

  [[gnu::cold, gnu::noinline]] void settle_otherwise(int status) {
    status = mended(status);
    if (!status) return;
    muster_lock_holder holder{};
    (void)look(holder);
    if (status == EOWNERDEAD) unlock();
    detail::fail("lock the mutex", name(), {status, UINT32_MAX, detail::whose(status, holder), {}});
  }

  bool tell(int status, std::error_code &ec) {
    status = mended(status);
    ec = to_error_code(status);
    return !status || status == EOWNERDEAD;
  }

  // Repairs, where that is what is needed and there is a way to.
  int mended(int status) {
    if (status != EOWNERDEAD || !repair_) return status;
    detail::run_repair(repair_, [&] { unlock(); });
    return call(muster_mutex_repaired);
  }

  int shut() noexcept {
    const int status = handle_ ? muster_mutex_close(handle_.get()) : 0;
    if (!status) (void)handle_.release();
    return status;
  }

  std::unique_ptr<muster_mutex, Close> handle_;
  Repair repair_;
};

}  // namespace muster

#endif
