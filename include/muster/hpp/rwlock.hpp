// The robust read-write lock: readers that die are counted out, a writer's death is told and repaired (lock.h).
//
//   muster::ReadWriteLockOptions options;
//   options.capacity = 16;                                         // handles that may live at a time
//   options.repair = [&] { table->roll_back(); };
//   muster::ReadWriteLock lock("table", options);                  // a place of its own, for this thread
//   {
//     std::shared_lock reads(lock);
//   }
//   std::scoped_lock writes(lock);
//
// A death reaches who locks as with the mutex (lock.hpp). A reader can't repair as a reader: with a `repair` it becomes the
// writer for as long as that takes. Without one lock_shared() throws std::errc::owner_dead, and the lock is as it was: a
// reader poisons nothing.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_RWLOCK_HPP
#define MUSTER_HPP_RWLOCK_HPP

#include "group.hpp"
#include "lock.hpp"

namespace muster {

/// What a read-write lock is opened with: muster_rwlock_options.
struct ReadWriteLockOptions {
  std::uint32_t capacity = 0;  ///< places, 1 to 256, one for each handle; when attaching, 0: as it is
  Flags flags = Flags::Open;
  std::uint32_t mode = 0;               ///< permissions when created; 0 is 0600
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
  Repair repair{};                      ///< of this handle
};

/// Who holds a read-write lock.
struct ReadWriteLockHolders {
  LockHolder writer{};  ///< one that waits for readers is one, too; the condition is the lock's
  MemberSet readers{};  ///< the places of the living that read
};

/// A handle of a read-write lock, with a place in it: muster_rwlock. Moved, not copied. A SharedTimedMutex in the words
/// of the standard, except that a handle is of the thread that opened it, and holds one thing at a time: each thread
/// opens its own. (Of one handle that several threads share, all but that one get EPERM.)
///
/// Closing it while it holds the lock, or on another thread, does nothing (EBUSY), and the destructor lets it leak.
class ReadWriteLock {
 public:
  /// Not open.
  ReadWriteLock() noexcept = default;

  /// Creates or attaches, and joins on the calling thread. muster_rwlock_open.
  /// \throws muster::error with the values of that function, such as EOVERFLOW: all places are held by the living.
  ReadWriteLock(const Name &name, const ReadWriteLockOptions &options) : repair_(options.repair) {
    detail::check("open the lock", name.text(), open(name, options));
  }
  /// One of so many places.
  ReadWriteLock(const Name &name, std::uint32_t capacity) : ReadWriteLock(name, ReadWriteLockOptions{capacity}) {}
  /// The same; not open where `ec` is set.
  ReadWriteLock(const Name &name, const ReadWriteLockOptions &options, std::error_code &ec) : repair_(options.repair) {
    ec = to_error_code(open(name, options).status);
  }

  /// In place: the bytes that one of `capacity` places takes, and their alignment. muster_rwlock_size.
  [[nodiscard]] static std::size_t size(std::uint32_t capacity) noexcept { return muster_rwlock_size(capacity); }
  static constexpr std::size_t alignment = MUSTER_LOCK_ALIGNMENT;

  /// In place: lays one into memory that no one uses as one. muster_rwlock_init.
  /// \throws muster::error: EINVAL, ENOTSUP.
  static void init(void *memory, std::size_t size, std::uint32_t capacity) {
    detail::check("lay out a lock", "", {muster_rwlock_init(memory, size, capacity)});
  }

  /// In place: joins the lock at `memory`, which stays mapped and writable until close. muster_rwlock_attach.
  /// \throws muster::error with the values of that function.
  [[nodiscard]] static ReadWriteLock attach(void *memory, std::size_t size, Repair repair = {}) {
    muster_rwlock *plain = nullptr;
    detail::check("attach to the lock", "", {muster_rwlock_attach(memory, size, &plain)});
    ReadWriteLock lock;
    lock.handle_.reset(plain);
    lock.repair_ = std::move(repair);
    return lock;
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Leaves, and lets go of it. Again: nothing. muster_rwlock_close.
  /// \throws muster::error: EBUSY while it holds the lock, or on another thread than opened it, which lives.
  void close() { detail::check("close the lock", name(), {shut()}); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// Locks for writing. After an exception it is not held. muster_rwlock_write.
  /// \throws muster::error as Mutex::lock does; EPERM on another thread than opened it.
  [[gnu::always_inline]] void lock() { lock(Deadline::never()); }
  [[gnu::always_inline]] void lock(Deadline deadline) { settle(call(muster_rwlock_write, deadline.get())); }

  /// The same; says whether it is held. With EOWNERDEAD it is: repair, say repaired(), unlock.
  [[nodiscard]] bool lock(Deadline deadline, std::error_code &ec) {
    const int status = mended(call(muster_rwlock_write, deadline.get()));
    ec = to_error_code(status);
    return !status || status == EOWNERDEAD;
  }

  /// Locks for writing unless somebody holds it, or until the deadline; says whether. muster_rwlock_try_write.
  /// \throws muster::error as lock does; EDEADLK where this thread writes, or this handle holds it.
  [[nodiscard]] bool try_lock() {
    const int status = call(muster_rwlock_try_write);
    return status != EBUSY && (settle(status), true);
  }
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(const std::chrono::duration<Rep, Period> &span) {
    return try_lock_until(Deadline(span));
  }
  [[nodiscard]] bool try_lock_until(Deadline deadline) {
    const int status = call(muster_rwlock_write, deadline.get());
    return status != ETIMEDOUT && (settle(status), true);
  }

  /// Locks for reading. muster_rwlock_read.
  /// \throws muster::error: EOWNERDEAD (a writer died, no repair was given, and nobody who lives repairs) and
  /// ENOTRECOVERABLE (poisoned) with the pid() of the dead; ETIMEDOUT with the writer's; EDEADLK (this handle holds it),
  /// EPERM, EACCES, ENOLCK, EBADMSG; what the repair threw, and then it is poisoned.
  [[gnu::always_inline]] void lock_shared() { lock_shared(Deadline::never()); }
  [[gnu::always_inline]] void lock_shared(Deadline deadline) {
    const int status = call(muster_rwlock_read, deadline.get());
    if (__builtin_expect(status != 0, 0)) read_otherwise(status, 0, Wait{deadline.get()});
  }

  /// The same; says whether it is held. With EOWNERDEAD it is not, here.
  [[nodiscard]] bool lock_shared(Deadline deadline, std::error_code &ec) {
    const int status = read_mended(call(muster_rwlock_read, deadline.get()), Wait{deadline.get()});
    ec = to_error_code(status);
    return !status;
  }

  /// Locks for reading unless somebody writes or waits to, or until the deadline; says whether. muster_rwlock_try_read.
  /// \throws muster::error as lock_shared does.
  [[nodiscard]] bool try_lock_shared() {
    const int status = call(muster_rwlock_try_read);
    return !status || read_otherwise(status, EBUSY, Try{});
  }
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_shared_for(const std::chrono::duration<Rep, Period> &span) {
    return try_lock_shared_until(Deadline(span));
  }
  [[nodiscard]] bool try_lock_shared_until(Deadline deadline) {
    const int status = call(muster_rwlock_read, deadline.get());
    return !status || read_otherwise(status, ETIMEDOUT, Wait{deadline.get()});
  }

  /// What the lock guards is whole again: said by its writer, before it unlocks. muster_rwlock_repaired.
  /// \throws muster::error: EPERM (this handle doesn't write).
  void repaired() { detail::check("mark as repaired the lock", name(), {call(muster_rwlock_repaired)}); }
  void repaired(std::error_code &ec) noexcept { ec = to_error_code(call(muster_rwlock_repaired)); }

  /// Unlocks what this handle holds; a writer that has not repaired poisons the lock. muster_rwlock_unlock. The guards call
  /// it where nothing may be thrown; the form with `ec` tells: EPERM (holds nothing, or another thread's, or in a forked
  /// child), EBADMSG.
  [[gnu::always_inline]] void unlock() noexcept { (void)call(muster_rwlock_unlock); }
  [[gnu::always_inline]] void unlock_shared() noexcept { unlock(); }
  void unlock(std::error_code &ec) noexcept { ec = to_error_code(call(muster_rwlock_unlock)); }

  /// Takes poison off: the next writer repairs. By anybody. muster_rwlock_reset.
  /// \throws muster::error: EPERM, EACCES.
  void reset() { detail::check("reset the lock", name(), {call(muster_rwlock_reset)}); }
  void reset(std::error_code &ec) noexcept { ec = to_error_code(call(muster_rwlock_reset)); }

  /// Who holds it. Takes no lock. muster_rwlock_holders.
  /// \throws muster::error: EPERM.
  [[nodiscard]] ReadWriteLockHolders holders() const {
    muster_lock_holder writer{};
    muster_member_set readers{};
    detail::check("look at the lock", name(), {look(writer, readers)});
    ReadWriteLockHolders holders{detail::holder_of(writer), {}};
    for (std::size_t k = 0; k < holders.readers.size(); k++) holders.readers[k] = (readers.bits[k / 64] >> (k % 64)) & 1;
    return holders;
  }

  /// Who is in a place: Held it reads, Dead it died as a member, Free otherwise. muster_rwlock_reader.
  /// \throws muster::error: EINVAL (no such place), EPERM.
  [[nodiscard]] LockHolder reader(std::uint32_t index) const {
    muster_lock_holder plain{};
    const int status = handle_ ? muster_rwlock_reader(handle_.get(), index, &plain) : EBADF;
    detail::check("look at a reader of the lock", name(), {status});
    return detail::holder_of(plain);
  }

  /// Its places; 0 where it is not open.
  [[nodiscard]] std::uint32_t capacity() const noexcept { return handle_ ? muster_rwlock_capacity(handle_.get()) : 0; }

  /// The name that it was opened by; empty for one in place, or not open.
  [[nodiscard]] std::string name() const {
    const muster_region *region = handle_ ? muster_rwlock_region(handle_.get()) : nullptr;
    return region ? muster_region_name(region) : "";
  }

  /// For the C API (muster_rwlock_poll_read, muster_rwlock_poll_write in an event loop); it stays this object's.
  [[nodiscard]] muster_rwlock *get() const noexcept { return handle_.get(); }

 private:
  struct Close {
    void operator()(muster_rwlock *rwlock) const noexcept { (void)muster_rwlock_close(rwlock); }
  };

  // The two ways to lock: until a deadline, and at once.
  struct Wait {
    muster_deadline deadline;
    int read(muster_rwlock *rwlock) const noexcept { return muster_rwlock_read(rwlock, deadline); }
    int write(muster_rwlock *rwlock) const noexcept { return muster_rwlock_write(rwlock, deadline); }
  };
  struct Try {
    static int read(muster_rwlock *rwlock) noexcept { return muster_rwlock_try_read(rwlock); }
    static int write(muster_rwlock *rwlock) noexcept { return muster_rwlock_try_write(rwlock); }
  };

  detail::Failure open(const Name &name, const ReadWriteLockOptions &options) noexcept {
    detail::Failure failure;
    muster_rwlock_options plain{};
    plain.capacity = options.capacity;
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.mode = options.mode;
    plain.deadline = options.deadline.get();
    plain.mismatch = &failure.mismatch;
    muster_rwlock *rwlock = nullptr;
    failure.status = muster_rwlock_open(name.c_str(), &plain, &rwlock);
    if (!failure.status) handle_.reset(rwlock);
    return failure;
  }

  template <class Function, class... Arguments>
  [[gnu::always_inline]] int call(Function function, Arguments... arguments) noexcept {
    return handle_ ? function(handle_.get(), arguments...) : EBADF;
  }

  int look(muster_lock_holder &writer, muster_member_set &readers) const noexcept {
    return handle_ ? muster_rwlock_holders(handle_.get(), &writer, &readers) : EBADF;
  }

  [[gnu::always_inline]] void settle(int status) {
    if (__builtin_expect(status != 0, 0)) settle_otherwise(status);
  }

  [[gnu::cold, gnu::noinline]] void settle_otherwise(int status) {
    status = mended(status);
    if (!status) return;
    const detail::Failure failure = failure_of(status);
    if (status == EOWNERDEAD) unlock();
    detail::fail("lock for writing", name(), failure);
  }

  // Whether it is held for reading after all; `refused` says that it is not, and is no error.
  template <class How>
  [[gnu::cold, gnu::noinline]] bool read_otherwise(int status, int refused, How how) {
    status = read_mended(status, how);
    if (status && status == refused) return false;
    if (status) detail::fail("lock for reading", name(), failure_of(status));
    return true;
  }

  detail::Failure failure_of(int status) const noexcept {
    muster_lock_holder writer{};
    muster_member_set readers{};
    (void)look(writer, readers);
    return {status, UINT32_MAX, detail::whose(status, writer), {}};
  }

  // A writer's: repairs, where that is what is needed and there is a way to.
  int mended(int status) {
    if (status != EOWNERDEAD || !repair_) return status;
    detail::run_repair(repair_, [&] { unlock(); });
    return call(muster_rwlock_repaired);
  }

  // A reader's: repairs as the writer, and reads then. Again, if another writer has died by then.
  template <class How>
  int read_mended(int status, How how) {
    while (status == EOWNERDEAD && repair_) {
      status = mended(how.write(handle_.get()));
      if (!status) status = call(muster_rwlock_unlock);
      if (!status) status = how.read(handle_.get());
    }
    return status;
  }

  int shut() noexcept {
    const int status = handle_ ? muster_rwlock_close(handle_.get()) : 0;
    if (!status) (void)handle_.release();
    return status;
  }

  std::unique_ptr<muster_rwlock, Close> handle_;
  Repair repair_;
};

}  // namespace muster

#endif
