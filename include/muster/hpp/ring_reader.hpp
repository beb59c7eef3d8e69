// A reading end of a ring: each record, in place or copied (ring.h).
//
//   muster::RingReader reader("events", options);
//   for (const muster::RingRecord &record : reader.each(5s)) use(record.text(), record.lost);
//
//   while (auto record = reader.next()) use(record->text());       // the same by hand, without waiting
//   reader.release();                                              // the writer may overwrite all of them
//   reader.wait(5s);
//
// Reads and releases are the inline functions of ring.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_RING_READER_HPP
#define MUSTER_HPP_RING_READER_HPP

#include <cstring>
#include <iterator>
#include <type_traits>
#include <vector>

#include "ring.hpp"

namespace muster {

/// Where a reader begins: muster_ring_from.
class RingStart {
 public:
  /// The oldest record that can still be had (by the marks: up to a 64th of the ring is passed over).
  [[nodiscard]] static RingStart oldest() noexcept { return {MUSTER_RING_OLDEST, {}}; }
  /// Behind the last record that was committed: what comes next.
  [[nodiscard]] static RingStart newest() noexcept { return {MUSTER_RING_NEWEST, {}}; }
  /// At a place that was remembered.
  RingStart(const RingPlace &place) noexcept : RingStart(MUSTER_RING_AT, place) {}

 private:
  friend class RingReader;
  RingStart(muster_ring_from from, const RingPlace &place) noexcept : from_(from), place_(place) {}

  muster_ring_from from_;
  RingPlace place_;
};

/// A record, where it lies (or, from RingReader::read, in the caller's buffer): muster_ring_record.
struct RingRecord : muster_ring_record {
  RingRecord() noexcept : muster_ring_record{} {}

  /// Its bytes as text.
  [[nodiscard]] std::string_view text() const noexcept { return {static_cast<const char *>(bytes), size}; }

  /// A copy as a value; nothing where it is of another size.
  template <class Value>
  [[nodiscard]] std::optional<Value> as() const noexcept {
    static_assert(std::is_trivially_copyable_v<Value> && std::is_default_constructible_v<Value>);
    if (size != sizeof(Value)) return std::nullopt;
    Value value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }
};

class RingRecords;

/// A reading end: gets each record, in place. Moved, not copied; one thread at a time calls it.
///
/// Reading belongs to the thread that made it, until that ends: a lossless ring's writer waits for this reader until then.
/// The destructor releases all and lets go; on another thread, while that one lives, it can't.
class RingReader {
 public:
  /// Not open.
  RingReader() noexcept = default;

  /// Creates or attaches, and reads from there. A place that has been overwritten by now is no error: it begins at the
  /// oldest then, and the first record tells how many were lost. muster_ring_open, muster_ring_start_reading.
  /// \throws muster::error with the values of those: EOVERFLOW (64 readers are there), EACCES (read-only, and the ring is
  /// lossless), EINVAL (no place of this ring)...
  RingReader(const Name &name, const RingOptions &options, const RingStart &from = RingStart::oldest())
      : RingReader(Ring(name, options), from) {}
  /// The same by a handle that there is, which is closed where that throws.
  explicit RingReader(Ring ring, const RingStart &from = RingStart::oldest()) : ring_(std::move(ring)) {
    ring_.check("read the ring", start(from));
  }
  /// The same; not open where `ec` is set.
  RingReader(Ring ring, const RingStart &from, std::error_code &ec) noexcept : ring_(std::move(ring)) {
    ec = to_error_code(start(from));
    if (ec) ring_ = Ring();
  }

  RingReader(RingReader &&other) noexcept { swap(other); }
  RingReader &operator=(RingReader &&other) noexcept {
    RingReader taken(std::move(other));
    swap(taken);
    return *this;
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return reader_ != nullptr; }

  /// Stops and lets go. Again: nothing. muster_ring_close.
  /// \throws muster::error: EBUSY on another thread than started, which lives; it is open as before then.
  void close() { ring_.check("close the ring", shut()); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// The next record, in place; false where there is none by now. All that it gave is this reader's until release().
  /// Never waits. muster_ring_next.
  /// \throws muster::error: EPERM, EBADMSG.
  [[nodiscard, gnu::always_inline]] bool next(RingRecord &record) {
    const int status = get(record);
    return __builtin_expect(status == 0, 1) || nothing("read the ring", status);
  }
  [[nodiscard, gnu::always_inline]] std::optional<RingRecord> next() {
    std::optional<RingRecord> record(std::in_place);
    if (!next(*record)) record.reset();
    return record;
  }

  /// Gives back all that next() gave. muster_ring_release.
  /// \throws muster::error: EPERM; in latest mode ESTALE: the writer has overtaken the first of it, so what was read since
  /// the last release must not be used. It counts as lost: the next record tells of it.
  [[gnu::always_inline]] void release() {
    const int status = give_back();
    if (__builtin_expect(status != 0, 0)) ring_.fail("read whole records of the ring", status);
  }
  [[gnu::always_inline]] void release(std::error_code &ec) noexcept { ec = to_error_code(give_back()); }

  /// Latest mode: whether what was read of `record` until now was the record. Always so in lossless mode.
  /// muster_ring_still_valid.
  [[nodiscard]] bool still_valid(const RingRecord &record) const noexcept {
    return reader_ && muster_ring_still_valid(ring_.get(), &record);
  }

  /// Copies the next record, whole in any mode, and releases it; nothing where there is none by now. muster_ring_read.
  /// \throws muster::error: EMSGSIZE (it is larger, and still the next), EPERM, EBADMSG.
  [[nodiscard]] std::optional<RingRecord> read(void *buffer, std::size_t capacity) {
    RingRecord record;
    const int status = copy(buffer, capacity, record);
    if (status && !nothing("read the ring", status)) return std::nullopt;
    return record;
  }
  /// The same into as many bytes as it needs.
  [[nodiscard]] std::optional<RingRecord> read(std::vector<std::byte> &buffer) {
    RingRecord record;
    int status;
    if (buffer.empty()) buffer.resize(1);
    while ((status = copy(buffer.data(), buffer.size(), record)) == EMSGSIZE) buffer.resize(record.size);
    if (status && !nothing("read the ring", status)) return buffer.clear(), std::nullopt;
    buffer.resize(record.size);
    return record;
  }

  /// Waits until there is a next record: spins, yields, sleeps. muster_ring_wait.
  /// \throws muster::error: ETIMEDOUT; EOWNERDEAD with pid(): the writer died, and all that it committed has been read
  /// (Ring::wait_writer, or wait_writer, waits for the successor); EPERM, EBADMSG.
  void wait(Deadline deadline) { ring_.check("wait for a record of the ring", ring_.call(muster_ring_wait, deadline.get())); }
  void wait(Deadline deadline, std::error_code &ec) noexcept {
    ec = to_error_code(ring_.call(muster_ring_wait, deadline.get()));
  }

  /// Waits until a living writer is there. muster_ring_wait_writer.
  /// \throws muster::error: ETIMEDOUT, EPERM, EBADMSG.
  void wait_writer(Deadline deadline) { ring_.wait_writer(deadline); }
  void wait_writer(Deadline deadline, std::error_code &ec) noexcept { ring_.wait_writer(deadline, ec); }

  /// The records as a range, each released when the loop goes on or ends. It waits for the next one until the deadline
  /// (Deadline::now(): those that are there), where it ends. When the writer is dead and all is read, it throws
  /// EOWNERDEAD. In latest mode going on throws ESTALE, as release() does, where the record just used was overtaken: a
  /// program that can't take back what it did with one copies by read().
  [[nodiscard]] RingRecords each(Deadline deadline);

  /// Where the next record is, or will be: to be kept, and begun at by another reader. muster_ring_position.
  /// \throws muster::error: EPERM.
  [[nodiscard]] RingPlace position() const {
    RingPlace place{};
    ring_.check("tell the position in the ring", ring_.call(muster_ring_position, &place));
    return place;
  }

  /// Goes elsewhere, releasing all; false: the place is gone, it stands at the oldest, and the next record tells how many
  /// were lost. muster_ring_seek.
  /// \throws muster::error: EINVAL (no place of this ring), EAGAIN, EPERM, EBADMSG.
  bool seek(const RingStart &from) {
    const int status = ring_.call(muster_ring_seek, from.from_, &from.place_);
    if (status != ESTALE) ring_.check("go to a place in the ring", status);
    return status == 0;
  }

  /// The handle, to look by.
  [[nodiscard]] const Ring &ring() const noexcept { return ring_; }

 private:
  friend class RingRecords;

  int start(const RingStart &from) noexcept {
    const int status = ring_.call(muster_ring_start_reading, from.from_, &from.place_);
    if (status && status != ESTALE) return status;
    reader_ = muster_ring_reader_of(ring_.get());
    return 0;
  }

  [[gnu::always_inline]] int get(RingRecord &record) noexcept {
    return __builtin_expect(!reader_, 0) ? EBADF : muster_ring_reader_next(reader_, &record);
  }

  [[gnu::always_inline]] int give_back() noexcept {
    return __builtin_expect(!reader_, 0) ? EBADF : muster_ring_reader_release(reader_);
  }

  int copy(void *buffer, std::size_t capacity, RingRecord &record) noexcept {
    const auto most = static_cast<std::uint32_t>(capacity < UINT32_MAX ? capacity : UINT32_MAX);
    return ring_.call(muster_ring_read, buffer, most, static_cast<muster_ring_record *>(&record));
  }

  // That there is none is no error.
  [[gnu::cold, gnu::noinline]] bool nothing(const char *operation, int status) const {
    if (status != EAGAIN) ring_.fail(operation, status);
    return false;
  }

  void swap(RingReader &other) noexcept {
    std::swap(ring_, other.ring_);
    std::swap(reader_, other.reader_);
  }

  int shut() noexcept {
    const int status = ring_.shut();
    if (!status) reader_ = nullptr;
    return status;
  }

  Ring ring_;
  muster_ring_reader *reader_ = nullptr;
};

/// A range of records, for one loop: RingReader::each. The reader stays where it is meanwhile.
class RingRecords {
 public:
  /// Behind the last.
  struct End {};

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = RingRecord;
    using difference_type = std::ptrdiff_t;
    using pointer = const RingRecord *;
    using reference = const RingRecord &;

    [[nodiscard]] reference operator*() const noexcept { return records_->record_; }
    [[nodiscard]] pointer operator->() const noexcept { return &records_->record_; }
    Iterator &operator++() {
      records_->go_on();
      return *this;
    }
    void operator++(int) { records_->go_on(); }
    friend bool operator==(const Iterator &it, End) noexcept { return !it.is_there(); }
    friend bool operator!=(const Iterator &it, End) noexcept { return it.is_there(); }

   private:
    friend class RingRecords;
    explicit Iterator(RingRecords *records) noexcept : records_(records) {}
    bool is_there() const noexcept { return records_->held_; }

    RingRecords *records_;
  };

  RingRecords(const RingRecords &) = delete;
  RingRecords &operator=(const RingRecords &) = delete;
  ~RingRecords() {
    if (held_) (void)reader_.give_back();
  }

  /// Takes the first. Once.
  [[nodiscard]] Iterator begin() {
    go_on();
    return Iterator(this);
  }
  [[nodiscard]] End end() const noexcept { return {}; }

 private:
  friend class RingReader;
  RingRecords(RingReader &reader, Deadline deadline) noexcept : reader_(reader), deadline_(deadline) {}

  void go_on() {
    if (held_) {
      held_ = false;
      reader_.release();
    }
    while (!(held_ = reader_.next(record_))) {
      if (deadline_.get() == MUSTER_DEADLINE_NOW) return;
      std::error_code ec;
      reader_.wait(deadline_, ec);
      if (ec.value() == ETIMEDOUT) return;
      reader_.ring_.check("wait for a record of the ring", ec.value());
    }
  }

  RingReader &reader_;
  Deadline deadline_;
  RingRecord record_;
  bool held_ = false;
};

inline RingRecords RingReader::each(Deadline deadline) { return RingRecords(*this, deadline); }

}  // namespace muster

#endif
