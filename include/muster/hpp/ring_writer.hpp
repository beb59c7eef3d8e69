// The writing end of a ring: one process, records of any size, single or in batches (ring.h).
//
//   muster::RingWriter writer("events", options);
//   writer.write("started", 5s);                                   // copied
//   std::memcpy(writer.claim(size, 5s), bytes, size);              // in place
//   writer.commit();
//   muster::RingBatch batch(writer);                               // several: readers get all or none
//   for (const Event &event : events) new (batch.claim(sizeof event, 5s)) Event(event);
//   batch.commit();
//
// Claims and commits are the inline functions of ring.h. A deadline that is made from a duration reads the clock, each time:
// loops that write a lot make theirs once.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_RING_WRITER_HPP
#define MUSTER_HPP_RING_WRITER_HPP

#include <type_traits>

#include "ring.hpp"

namespace muster {

/// What one who starts writing found: muster_ring_predecessor.
struct RingPredecessor {
  RingPlace end{};                    ///< behind the last record that was committed
  bool died = false;                  ///< the writer before ended without stopping
  std::optional<std::int32_t> pid{};  ///< its process then, where it is known
};

/// The writing end. Moved, not copied; one thread at a time calls it.
///
/// Writing belongs to the thread that made it, until that ends. The destructor stops, drops what was claimed and not
/// committed, and lets go; on another thread, while that one lives, it can't.
class RingWriter {
 public:
  /// Not open.
  RingWriter() noexcept = default;

  /// Creates or attaches, and becomes the writer. muster_ring_open, muster_ring_start_writing.
  /// \throws muster::error with the values of those, such as EBUSY with the pid() of a living writer.
  RingWriter(const Name &name, const RingOptions &options) : RingWriter(Ring(name, options)) {}
  /// The same by a handle that there is, which is closed where that throws.
  explicit RingWriter(Ring ring) : ring_(std::move(ring)) {
    const detail::Failure failure = start();
    if (failure.status) detail::fail("write to the ring", ring_.name(), failure);
  }
  /// The same; not open where `ec` is set.
  RingWriter(Ring ring, std::error_code &ec) noexcept : ring_(std::move(ring)) {
    ec = to_error_code(start().status);
    if (ec) ring_ = Ring();
  }

  RingWriter(RingWriter &&other) noexcept { swap(other); }
  RingWriter &operator=(RingWriter &&other) noexcept {
    RingWriter taken(std::move(other));
    swap(taken);
    return *this;
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return writer_ != nullptr; }

  /// Stops and lets go. Again: nothing. muster_ring_close.
  /// \throws muster::error: EBUSY on another thread than started, which lives; it is open as before then.
  void close() { ring_.check("close the ring", shut()); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// What it found when it started: a predecessor that died, and where it goes on.
  [[nodiscard]] const RingPredecessor &found() const noexcept { return found_; }

  /// Writes a record of these bytes, and with it all that was claimed. Never waits in latest mode. muster_ring_write.
  /// \throws muster::error: ETIMEDOUT (a living reader has not made room by the deadline), EINVAL (more than a quarter of
  /// the ring), EOVERFLOW (with a batch that is too large), EPERM, EBADMSG.
  void write(const void *bytes, std::size_t size, Deadline deadline) { check("write to the ring", put(bytes, size, deadline)); }
  void write(const void *bytes, std::size_t size, Deadline deadline, std::error_code &ec) noexcept {
    ec = to_error_code(put(bytes, size, deadline));
  }
  void write(std::string_view text, Deadline deadline) { write(text.data(), text.size(), deadline); }

  /// The same with a value that is copied byte for byte.
  template <class Value>
  void write_value(const Value &value, Deadline deadline) {
    static_assert(std::is_trivially_copyable_v<Value> && !std::is_pointer_v<Value>,
                  "A value is copied byte for byte, between processes.");
    static_assert(!std::is_convertible_v<const Value &, std::string_view>, "Text goes by write().");
    write(&value, sizeof value, deadline);
  }

  /// Room for a record of `size` bytes, aligned to 8, behind what was claimed before and not yet committed. A RingBatch
  /// gives it back where an exception passes. muster_ring_claim.
  /// \throws muster::error as write does.
  [[nodiscard, gnu::always_inline]] void *claim(std::size_t size, Deadline deadline) {
    void *place = nullptr;
    check("claim room in the ring", take(size, deadline, place));
    return place;
  }
  [[nodiscard, gnu::always_inline]] void *claim(std::size_t size, Deadline deadline, std::error_code &ec) noexcept {
    void *place = nullptr;
    ec = to_error_code(take(size, deadline, place));
    return place;
  }

  /// Publishes all that was claimed, at once. muster_ring_commit.
  /// \throws muster::error: EINVAL (nothing was claimed), EPERM.
  [[gnu::always_inline]] void commit() { check("commit to the ring", publish()); }
  [[gnu::always_inline]] void commit(std::error_code &ec) noexcept { ec = to_error_code(publish()); }

  /// Drops all that was claimed and not committed. Nothing claimed: nothing. muster_ring_cancel.
  void cancel() noexcept {
    if (writer_) (void)muster_ring_cancel(ring_.get());
  }

  /// The end of what it committed. muster_ring_position.
  /// \throws muster::error: EPERM.
  [[nodiscard]] RingPlace position() const {
    RingPlace place{};
    ring_.check("tell the position in the ring", ring_.call(muster_ring_position, &place));
    return place;
  }

  /// The handle, to look by.
  [[nodiscard]] const Ring &ring() const noexcept { return ring_; }

 private:
  detail::Failure start() noexcept {
    muster_ring_predecessor plain{};
    detail::Failure failure;
    failure.status = ring_.call(muster_ring_start_writing, &plain);
    failure.pid = failure.status ? plain.pid : 0;
    if (failure.status) return failure;
    writer_ = muster_ring_writer_of(ring_.get());
    found_ = {plain.end, plain.died != 0, plain.pid ? std::optional(plain.pid) : std::nullopt};
    return failure;
  }

  [[gnu::always_inline]] int take(std::size_t size, Deadline deadline, void *&place) noexcept {
    if (__builtin_expect(!writer_, 0)) return EBADF;
    if (size > UINT32_MAX) return EINVAL;
    return muster_ring_writer_claim(writer_, static_cast<std::uint32_t>(size), deadline.get(), &place);
  }

  [[gnu::always_inline]] int publish() noexcept {
    return __builtin_expect(!writer_, 0) ? EBADF : muster_ring_writer_commit(writer_);
  }

  int put(const void *bytes, std::size_t size, Deadline deadline) noexcept {
    if (size > UINT32_MAX) return EINVAL;
    return ring_.call(muster_ring_write, size ? bytes : "", static_cast<std::uint32_t>(size), deadline.get());
  }

  [[gnu::always_inline]] void check(const char *operation, int status) const {
    if (__builtin_expect(status != 0, 0)) ring_.fail(operation, status);
  }

  void swap(RingWriter &other) noexcept {
    std::swap(ring_, other.ring_);
    std::swap(writer_, other.writer_);
    std::swap(found_, other.found_);
  }

  int shut() noexcept {
    const int status = ring_.shut();
    if (!status) writer_ = nullptr;
    return status;
  }

  Ring ring_;
  muster_ring_writer *writer_ = nullptr;
  RingPredecessor found_;
};

/// Several records that are published at once, or not at all: what was claimed and not committed when it ends, also by an
/// exception, is dropped. One at a time for a writer, which stays where it is.
class RingBatch {
 public:
  explicit RingBatch(RingWriter &writer) noexcept : writer_(writer) {}
  ~RingBatch() {
    if (open_) writer_.cancel();
  }
  RingBatch(const RingBatch &) = delete;
  RingBatch &operator=(const RingBatch &) = delete;

  /// Room for one more; the batch is at most three quarters of the ring. RingWriter::claim.
  [[nodiscard, gnu::always_inline]] void *claim(std::size_t size, Deadline deadline) {
    open_ = true;
    return writer_.claim(size, deadline);
  }

  /// Publishes what was claimed. RingWriter::commit.
  [[gnu::always_inline]] void commit() {
    writer_.commit();
    open_ = false;
  }

 private:
  RingWriter &writer_;
  bool open_ = false;
};

}  // namespace muster

#endif
