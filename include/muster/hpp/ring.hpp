// The ring: records of any size that one process writes and up to 64 read, in place (ring.h).
//
//   muster::RingOptions options;
//   options.bytes = 1 << 20;
//   muster::RingWriter writer("events", options);                  // the one writer; throws while another lives
//   writer.write("started", 5s);
//
//   muster::RingReader reader("events", options);                  // elsewhere: from the oldest that is still there
//   for (const muster::RingRecord &record : reader.each(5s)) use(record.text());
//
// Each end is a type that owns a handle and its role: ring_writer.hpp, ring_reader.hpp. A Ring is a handle that only
// looks, and what both are made of.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_RING_HPP
#define MUSTER_HPP_RING_HPP

#include <cstddef>

#include "../ring.h"
#include "deadline.hpp"
#include "error.hpp"
#include "region.hpp"

namespace muster {

/// What becomes of a slow reader: muster_ring_mode.
enum class RingMode {
  Lossless = MUSTER_RING_LOSSLESS,  ///< the writer waits for it
  Latest = MUSTER_RING_LATEST,      ///< it is overtaken, and told how many records it lost
};

/// What a ring is opened with: muster_ring_options.
struct RingOptions {
  std::uint32_t bytes = 0;         ///< for records: a power of two, 4 KiB to 1 GiB; when attaching, 0: as it is
  std::optional<RingMode> mode{};  ///< nothing: Lossless; when attaching, any
  Flags flags = Flags::Open;
  std::uint32_t permissions = 0;        ///< when created; 0 is 0600
  std::uint64_t layout = 0;             ///< what the records mean, as a number of yours; 0 when attaching: any
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
};

/// A place between two records; it can be kept, and is valid for any process: muster_ring_place.
using RingPlace = muster_ring_place;

/// The state of a ring at one moment: muster_ring_state.
struct RingState {
  enum class Writer {
    Alive,   ///< it lives
    Dead,    ///< it died, and nobody has come after it
    Nobody,  ///< there was none, or it has stopped
  };

  RingMode mode = RingMode::Lossless;
  std::uint32_t bytes = 0;
  std::uint32_t largest = 0;  ///< the largest record
  std::uint32_t readers = 0;  ///< living ones, without those that are read-only
  Writer writer = Writer::Nobody;
  std::optional<std::int32_t> writer_pid{};
  RingPlace end{};           ///< behind the last record that was committed
  std::uint64_t oldest = 0;  ///< the position from which on nothing is overwritten
};

/// What is known of a reader: muster_ring_reader_state.
using RingReaderState = muster_ring_reader_state;

/// A handle of a ring that looks: muster_ring. Moved, not copied. RingWriter and RingReader are made of one.
class Ring {
 public:
  /// Not open.
  Ring() noexcept = default;

  /// Creates or attaches. muster_ring_open.
  /// \throws muster::error with the values of that function; mismatch() at EPROTO.
  Ring(const Name &name, const RingOptions &options) { detail::check("open the ring", name.text(), open(name, options)); }
  /// The same; not open where `ec` is set.
  Ring(const Name &name, const RingOptions &options, std::error_code &ec) noexcept {
    ec = to_error_code(open(name, options).status);
  }

  /// In place: the bytes that a ring with `bytes` for records takes, and their alignment. muster_ring_size.
  [[nodiscard]] static std::size_t size(std::uint32_t bytes) noexcept { return muster_ring_size(bytes); }
  static constexpr std::size_t alignment = MUSTER_RING_ALIGNMENT;

  /// In place: lays a ring into memory that no one uses as one. muster_ring_init.
  /// \throws muster::error: EINVAL, ENOTSUP.
  static void init(void *memory, std::size_t size, std::uint32_t bytes, RingMode mode = RingMode::Lossless) {
    detail::check("lay out a ring", "", {muster_ring_init(memory, size, bytes, static_cast<muster_ring_mode>(mode))});
  }

  /// In place: before anybody attaches to memory that outlived all its users. muster_ring_renew.
  /// \throws muster::error: EINVAL, EBADMSG, ENOTSUP.
  static void renew(void *memory, std::size_t size) {
    detail::check("renew the ring", "", {muster_ring_renew(memory, size)});
  }

  /// In place: a handle for the ring at `memory`, which stays mapped until close. The second stores nothing there; it can
  /// read in latest mode, and look. muster_ring_attach, muster_ring_attach_read_only.
  /// \throws muster::error: EINVAL, ENOMEM, EBADMSG, EPROTO, ENOTSUP.
  [[nodiscard]] static Ring attach(void *memory, std::size_t size) {
    muster_ring *plain = nullptr;
    detail::check("attach to the ring", "", {muster_ring_attach(memory, size, &plain)});
    return Ring(plain);
  }
  [[nodiscard]] static Ring attach_read_only(const void *memory, std::size_t size) {
    muster_ring *plain = nullptr;
    detail::check("attach to the ring", "", {muster_ring_attach_read_only(memory, size, &plain)});
    return Ring(plain);
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Lets go of it. Again: nothing. muster_ring_close.
  void close() { check("close the ring", shut()); }

  /// The state at one moment. muster_ring_look.
  /// \throws muster::error: EPERM, EBADMSG, EAGAIN (latest: overtaken each time).
  [[nodiscard]] RingState look() const {
    muster_ring_state plain{};
    check("look at the ring", call(muster_ring_look, &plain));
    RingState state;
    state.mode = static_cast<RingMode>(plain.mode);
    state.bytes = plain.bytes;
    state.largest = plain.largest;
    state.readers = plain.readers;
    state.writer = plain.writer == 0            ? RingState::Writer::Alive
                   : plain.writer == EOWNERDEAD ? RingState::Writer::Dead
                                                : RingState::Writer::Nobody;
    if (plain.writer_pid) state.writer_pid = plain.writer_pid;
    state.end = plain.end;
    state.oldest = plain.oldest;
    return state;
  }

  /// Of the reader in place `index`, 0 to 63. muster_ring_look_reader.
  /// \throws muster::error: EINVAL (no such place), EPERM, EBADMSG, EAGAIN.
  [[nodiscard]] RingReaderState reader(std::uint32_t index) const {
    RingReaderState state{};
    check("look at a reader of the ring", call(muster_ring_look_reader, index, &state));
    return state;
  }

  /// Waits until a living writer is there. muster_ring_wait_writer.
  /// \throws muster::error: ETIMEDOUT, EPERM, EBADMSG.
  void wait_writer(Deadline deadline) { check("wait for a writer of the ring", call(muster_ring_wait_writer, deadline.get())); }
  void wait_writer(Deadline deadline, std::error_code &ec) noexcept {
    ec = to_error_code(call(muster_ring_wait_writer, deadline.get()));
  }

  /// The name or path that it was opened by; empty for one in place, or not open.
  [[nodiscard]] std::string name() const {
    const muster_region *region = handle_ ? muster_ring_region(handle_.get()) : nullptr;
    return region ? muster_region_name(region) : "";
  }

  /// For the C API (the poll functions of event loops); it stays this object's.
  [[nodiscard]] muster_ring *get() const noexcept { return handle_.get(); }

 private:
  friend class RingWriter;
  friend class RingReader;
  friend class RingRecords;

  struct Close {
    void operator()(muster_ring *ring) const noexcept { (void)muster_ring_close(ring); }
  };

  explicit Ring(muster_ring *plain) noexcept : handle_(plain) {}

  detail::Failure open(const Name &name, const RingOptions &options) noexcept {
    detail::Failure failure;
    muster_ring_options plain{};
    plain.bytes = options.bytes;
    if (options.mode) plain.mode = static_cast<muster_ring_mode>(*options.mode);
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.permissions = options.permissions;
    plain.layout = options.layout;
    plain.deadline = options.deadline.get();
    plain.mismatch = &failure.mismatch;
    muster_ring *ring = nullptr;
    failure.status = muster_ring_open(name.c_str(), &plain, &ring);
    if (!failure.status) handle_.reset(ring);
    return failure;
  }

  template <class Function, class... Arguments>
  int call(Function function, Arguments... arguments) const noexcept {
    return handle_ ? function(handle_.get(), arguments...) : EBADF;
  }

  void check(const char *operation, int status) const {
    if (status) fail(operation, status);
  }

  [[noreturn, gnu::cold, gnu::noinline]] void fail(const char *operation, int status) const {
    muster_ring_state state{};
    if (status == EOWNERDEAD && call(muster_ring_look, &state)) state.writer_pid = 0;
    detail::fail(operation, name(), {status, UINT32_MAX, state.writer_pid, {}});
  }

  int shut() noexcept {
    const int status = handle_ ? muster_ring_close(handle_.get()) : 0;
    if (!status) (void)handle_.release();
    return status;
  }

  std::unique_ptr<muster_ring, Close> handle_;
};

}  // namespace muster

#endif
