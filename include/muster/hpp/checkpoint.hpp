// The checkpoint: the last good state of a process and the K before it (checkpoint.h).
//
//   struct Work { std::uint64_t done, sum; };                      // trivially copyable
//   muster::Checkpoint<Work> job("job", 4);                        // the last state, and four before it
//   job.take_over();                                               // whoever wrote before is fenced from here
//   Work now{};
//   if (auto last = job.load(is_good)) now = last->state;          // nothing: a first start
//   for (;;) {
//     work_on(now);
//     job.save(now);                                               // all or nothing; ESTALE: somebody took over
//   }
//
// States of other shapes are bytes: ByteCheckpoint, which Checkpoint<State> is, with a state's type known.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_CHECKPOINT_HPP
#define MUSTER_HPP_CHECKPOINT_HPP

#include <cstddef>
#include <type_traits>
#include <vector>

#include "../checkpoint.h"
#include "deadline.hpp"
#include "error.hpp"
#include "region.hpp"

namespace muster {

/// How much a checkpoint holds: muster_checkpoint_shape.
struct CheckpointShape {
  std::uint64_t capacity = 0;  ///< the most bytes of a state
  std::uint32_t history = 0;   ///< K: how many states before the last are kept, 2 to 64
  std::uint32_t writers = 0;   ///< that may live at a time, 1 to 64; 0 is MUSTER_CHECKPOINT_WRITERS
  bool pages = false;          ///< each slot on pages of its own; in a file always
};

/// What a checkpoint is opened with: muster_checkpoint_options.
struct CheckpointOptions {
  CheckpointShape shape{};   ///< when attaching, capacity and history 0: as it is
  std::uint64_t layout = 0;  ///< what the states mean, as a number of yours; 0 when attaching: any
  Flags flags = Flags::Open;
  std::uint32_t mode = 0;               ///< permissions when created; 0 is 0600
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
};

/// What is known of a state: muster_checkpoint_info.
struct CheckpointInfo {
  std::uint64_t sequence = 0;                    ///< the first is 1; each commit counts one more
  std::uint64_t epoch = 0;                       ///< its writer's
  std::chrono::system_clock::time_point time{};  ///< of the commit
  std::uint64_t length = 0;                      ///< bytes
  std::optional<std::uint64_t> restored{};       ///< of a roll-back: the sequence of the state whose contents it has
  std::uint32_t checksum = 0;                    ///< CRC-32C of its bytes
  bool whole = false;                            ///< false (in a history alone): torn or corrupt, it can't be read
};

/// Who writes in the present epoch, or did and died.
struct CheckpointWriter {
  std::optional<std::int32_t> pid{};  ///< where it is known
  bool alive = false;
};

/// A state with what is known of it.
template <class State>
struct CheckpointState {
  State state{};
  CheckpointInfo info{};
};

namespace detail {

inline CheckpointInfo info_of(const muster_checkpoint_info &plain) noexcept {
  using Clock = std::chrono::system_clock;
  CheckpointInfo info;
  info.sequence = plain.sequence;
  info.epoch = plain.epoch;
  info.time = Clock::time_point(std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(plain.time)));
  info.length = plain.length;
  if (plain.restored) info.restored = plain.restored;
  info.checksum = plain.checksum;
  info.whole = plain.whole != 0;
  return info;
}

inline muster_checkpoint_shape plain_of(const CheckpointShape &shape) noexcept {
  muster_checkpoint_shape plain{};
  plain.capacity = shape.capacity;
  plain.history = shape.history;
  plain.writers = shape.writers;
  if (shape.pages) plain.flags = MUSTER_CHECKPOINT_PAGES;
  return plain;
}

inline std::string name_of(const muster_checkpoint *checkpoint) {
  const muster_region *region = checkpoint ? muster_checkpoint_region(checkpoint) : nullptr;
  return region ? muster_region_name(region) : "";
}

// What of a state's acceptance is the program's: `accept(bytes, info)`.
template <class Accept>
struct Acceptance {
  Accept &accept;
  std::exception_ptr thrown{};

  // An exception ends the search as an acceptance does, and is looked for then.
  static int call(const void *bytes, const muster_checkpoint_info *info, void *context) noexcept {
    auto &self = *static_cast<Acceptance *>(context);
    bool good = true;
    (void)guarded(self.thrown, [&] { good = static_cast<bool>(self.accept(bytes, info_of(*info))); });
    return good;
  }
};

}  // namespace detail

/// The memory of the next state, to be filled in where it lies: muster_checkpoint_begin. The destructor abandons what was
/// not committed. It ends before its checkpoint is released or closed.
class CheckpointDraft {
 public:
  /// Nothing begun.
  CheckpointDraft() noexcept = default;
  CheckpointDraft(CheckpointDraft &&other) noexcept { swap(other); }
  CheckpointDraft &operator=(CheckpointDraft &&other) noexcept {
    CheckpointDraft taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~CheckpointDraft() { abandon(); }

  /// Its bytes, aligned to 64, with unknown contents; and how many there are.
  [[nodiscard]] void *data() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  /// Commits the first `length` bytes as the next state, and gives its sequence; the second form when they are on the
  /// disk. After any error but EMSGSIZE and EPERM the memory is given back. muster_checkpoint_commit, _commit_durable.
  /// \throws muster::error as ByteCheckpoint::save does; EINVAL: nothing is begun.
  std::uint64_t commit(std::size_t length) { return finish(muster_checkpoint_commit, length); }
  std::uint64_t commit_durable(std::size_t length) { return finish(muster_checkpoint_commit_durable, length); }

  /// Gives the memory back. Again: nothing. muster_checkpoint_abandon.
  void abandon() noexcept {
    if (checkpoint_) (void)muster_checkpoint_abandon(checkpoint_);
    forget();
  }

 private:
  friend class ByteCheckpoint;
  CheckpointDraft(muster_checkpoint *checkpoint, void *bytes, std::size_t capacity) noexcept
      : checkpoint_(checkpoint), bytes_(bytes), capacity_(capacity) {}

  void swap(CheckpointDraft &other) noexcept {
    std::swap(checkpoint_, other.checkpoint_);
    std::swap(bytes_, other.bytes_);
    std::swap(capacity_, other.capacity_);
  }

  void forget() noexcept {
    checkpoint_ = nullptr;
    bytes_ = nullptr;
    capacity_ = 0;
  }

  template <class Function>
  std::uint64_t finish(Function function, std::size_t length) {
    std::uint64_t sequence = 0;
    const muster_checkpoint *checkpoint = checkpoint_;
    const int status = checkpoint_ ? function(checkpoint_, length, &sequence) : EINVAL;
    if (status != EMSGSIZE && status != EPERM) forget();
    if (status) detail::fail("commit a state to the checkpoint", detail::name_of(checkpoint), {status});
    return sequence;
  }

  muster_checkpoint *checkpoint_ = nullptr;
  void *bytes_ = nullptr;
  std::size_t capacity_ = 0;
};

/// A handle of a checkpoint of bytes: muster_checkpoint. Moved, not copied. Any number of threads may read by it; to take
/// over, to release and to write is for one at a time.
///
/// The writer's role belongs to the thread that took over. The destructor gives it back and lets go; on another thread,
/// while that one lives, it can't, and the role lasts until that thread ends.
class ByteCheckpoint {
 public:
  /// Not open.
  ByteCheckpoint() noexcept = default;

  /// Creates or attaches; it does not take over. muster_checkpoint_open.
  /// \throws muster::error with the values of that function; mismatch() at EPROTO.
  ByteCheckpoint(const Name &name, const CheckpointOptions &options) {
    detail::check("open the checkpoint", name.text(), open(name, options));
  }
  /// One of states of up to `capacity` bytes, that keeps the last and `history` before it.
  ByteCheckpoint(const Name &name, std::uint64_t capacity, std::uint32_t history)
      : ByteCheckpoint(name, CheckpointOptions{{capacity, history}}) {}
  /// The same; not open where `ec` is set.
  ByteCheckpoint(const Name &name, const CheckpointOptions &options, std::error_code &ec) noexcept {
    ec = to_error_code(open(name, options).status);
  }

  /// In place: the bytes that one of this shape takes, and their alignment. muster_checkpoint_size.
  [[nodiscard]] static std::size_t size(const CheckpointShape &shape) noexcept {
    const muster_checkpoint_shape plain = detail::plain_of(shape);
    return muster_checkpoint_size(&plain);
  }
  static constexpr std::size_t alignment = MUSTER_CHECKPOINT_ALIGNMENT;

  /// In place: lays one into memory that no one uses as a checkpoint. muster_checkpoint_init.
  /// \throws muster::error: EINVAL, ENOTSUP.
  static void init(void *memory, std::size_t size, const CheckpointShape &shape) {
    const muster_checkpoint_shape plain = detail::plain_of(shape);
    detail::check("lay out a checkpoint", "", {muster_checkpoint_init(memory, size, &plain)});
  }

  /// In place: before anybody attaches to memory that outlived all its users. muster_checkpoint_renew.
  /// \throws muster::error: EINVAL, EBADMSG, ENOTSUP.
  static void renew(void *memory, std::size_t size) {
    detail::check("renew the checkpoint", "", {muster_checkpoint_renew(memory, size)});
  }

  /// In place: a handle for the checkpoint at `memory`, which stays mapped until close. The second can't take over, and
  /// stores nothing there. muster_checkpoint_attach, muster_checkpoint_attach_read_only.
  /// \throws muster::error: EINVAL, ENOMEM, EBADMSG, EPROTO, ENOTSUP.
  [[nodiscard]] static ByteCheckpoint attach(void *memory, std::size_t size) {
    muster_checkpoint *plain = nullptr;
    detail::check("attach to the checkpoint", "", {muster_checkpoint_attach(memory, size, &plain)});
    return ByteCheckpoint(plain);
  }
  [[nodiscard]] static ByteCheckpoint attach_read_only(const void *memory, std::size_t size) {
    muster_checkpoint *plain = nullptr;
    detail::check("attach to the checkpoint", "", {muster_checkpoint_attach_read_only(memory, size, &plain)});
    return ByteCheckpoint(plain);
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Gives the role back, if it has it, and lets go. Again: nothing. muster_checkpoint_close.
  /// \throws muster::error: EBUSY on another thread than took over, which lives; it is open as before then.
  void close() { check("close the checkpoint", shut()); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// Copies the newest state into `size` bytes; nothing where none was committed yet. Waits for nobody.
  /// muster_checkpoint_read.
  /// \throws muster::error: EMSGSIZE (it has more bytes; the form with `ec` gives its info then), EAGAIN, EBADMSG.
  [[nodiscard]] std::optional<CheckpointInfo> read(void *bytes, std::size_t size) const {
    return found("read the checkpoint", got(muster_checkpoint_read, bytes, size));
  }
  [[nodiscard]] std::optional<CheckpointInfo> read(void *bytes, std::size_t size, std::error_code &ec) const noexcept {
    return found(ec, got(muster_checkpoint_read, bytes, size));
  }
  /// The same into as many bytes as it has.
  [[nodiscard]] std::optional<CheckpointInfo> read(std::vector<std::byte> &bytes) const {
    bytes.resize(static_cast<std::size_t>(shape().capacity));
    const auto info = read(bytes.data(), bytes.size());
    bytes.resize(info ? static_cast<std::size_t>(info->length) : 0);
    return info;
  }

  /// The state of that sequence; nothing where it is not kept any more, or never was. muster_checkpoint_read_at.
  /// \throws muster::error as read does.
  [[nodiscard]] std::optional<CheckpointInfo> read_at(std::uint64_t sequence, void *bytes, std::size_t size) const {
    Got told = got(muster_checkpoint_read_at, sequence, bytes, size);
    if (told.status == ENOENT) told.status = ENODATA;
    return found("read an older state of the checkpoint", told);
  }

  /// The newest state that `accept(bytes, info)` takes for good, asked from the newest to older ones, as each is copied
  /// to `bytes`; nothing where none was committed yet. muster_checkpoint_load.
  /// \throws muster::error: ENOENT (there are some, and none was accepted), EMSGSIZE, EAGAIN, EBADMSG; what `accept`
  /// threw.
  template <class Accept>
  [[nodiscard]] std::optional<CheckpointInfo> load(Accept &&accept, void *bytes, std::size_t size) const {
    detail::Acceptance<std::remove_reference_t<Accept>> acceptance{accept};
    const Got told = got(muster_checkpoint_load, &acceptance.call, &acceptance, bytes, size);
    detail::rethrow(acceptance.thrown);
    return found("find a good state in the checkpoint", told);
  }

  /// What is kept, from the newest to the oldest. muster_checkpoint_list.
  /// \throws muster::error: EAGAIN, EBADMSG.
  [[nodiscard]] std::vector<CheckpointInfo> history() const {
    muster_checkpoint_info infos[MUSTER_CHECKPOINT_HISTORY_MAX + 1];
    std::uint32_t kept = 0;
    const auto most = static_cast<std::uint32_t>(std::size(infos));
    check("list the states of the checkpoint", ask(muster_checkpoint_list, infos, most, &kept));
    std::vector<CheckpointInfo> history;
    for (std::uint32_t k = 0; k < kept && k < most; k++) history.push_back(detail::info_of(infos[k]));
    return history;
  }

  /// The present epoch; 0: nobody has taken over yet. One load.
  [[nodiscard]] std::uint64_t epoch() const noexcept { return handle_ ? muster_checkpoint_epoch(handle_.get()) : 0; }

  /// Who writes in the present epoch, or died; nothing where nobody does. muster_checkpoint_writer_pid.
  /// \throws muster::error: EPERM.
  [[nodiscard]] std::optional<CheckpointWriter> writer() const {
    std::int32_t pid = 0;
    const int status = ask(muster_checkpoint_writer_pid, &pid);
    if (status == ENOENT) return std::nullopt;
    if (status != EOWNERDEAD) check("look for the writer of the checkpoint", status);
    return CheckpointWriter{pid ? std::optional(pid) : std::nullopt, status == 0};
  }

  /// The shape, as it was made; zeros where it is not open.
  [[nodiscard]] CheckpointShape shape() const noexcept {
    muster_checkpoint_shape plain{};
    if (handle_) muster_checkpoint_shape_of(handle_.get(), &plain);
    return {plain.capacity, plain.history, plain.writers, (plain.flags & MUSTER_CHECKPOINT_PAGES) != 0};
  }

  /// Becomes the writer, on the calling thread, in the epoch that it returns. Whoever wrote before is fenced, dead or
  /// alive. muster_checkpoint_take_over.
  /// \throws muster::error: EBUSY (as many writers live as the shape allows), EALREADY, ESTALE (another took over
  /// meanwhile), EACCES, EPERM, EPROTO, ENOLCK, EBADMSG; EIO, ENOSPC and EDQUOT in a file...
  std::uint64_t take_over() {
    std::uint64_t epoch = 0;
    check("take over the checkpoint", ask(muster_checkpoint_take_over, &epoch));
    return epoch;
  }
  std::uint64_t take_over(std::error_code &ec) noexcept {
    std::uint64_t epoch = 0;
    ec = to_error_code(ask(muster_checkpoint_take_over, &epoch));
    return epoch;
  }

  /// Gives the role back. muster_checkpoint_release.
  /// \throws muster::error: EINVAL (not the writer), EBUSY (another thread took over), EPERM.
  void release() { check("release the checkpoint", ask(muster_checkpoint_release)); }
  void release(std::error_code &ec) noexcept { ec = to_error_code(ask(muster_checkpoint_release)); }

  /// Whether this handle may commit: false when it is fenced, or was never the writer. muster_checkpoint_check.
  [[nodiscard]] bool may_commit() const noexcept { return ask(muster_checkpoint_check) == 0; }

  /// Commits a copy as the next state, and gives its sequence; the second form when it is on the disk.
  /// muster_checkpoint_save, muster_checkpoint_save_durable.
  /// \throws muster::error: ESTALE (fenced: another has taken over), EMSGSIZE (more than the capacity), EPERM (not the
  /// writer), EALREADY (a draft is open), EBUSY, EBADMSG; EIO, ENOSPC and EDQUOT where it is to be durable.
  std::uint64_t save(const void *bytes, std::size_t length) { return put(muster_checkpoint_save, bytes, length); }
  std::uint64_t save_durable(const void *bytes, std::size_t length) {
    return put(muster_checkpoint_save_durable, bytes, length);
  }
  std::uint64_t save(const void *bytes, std::size_t length, std::error_code &ec) noexcept {
    return put(muster_checkpoint_save, bytes, length, ec);
  }
  std::uint64_t save_durable(const void *bytes, std::size_t length, std::error_code &ec) noexcept {
    return put(muster_checkpoint_save_durable, bytes, length, ec);
  }

  /// Begins the next state in place. muster_checkpoint_begin.
  /// \throws muster::error as save does.
  [[nodiscard]] CheckpointDraft begin() {
    void *bytes = nullptr;
    check("begin a state of the checkpoint", ask(muster_checkpoint_begin, &bytes));
    return CheckpointDraft(handle_.get(), bytes, static_cast<std::size_t>(shape().capacity));
  }

  /// Commits the contents of an older state as the next one, and gives its sequence. muster_checkpoint_roll_back,
  /// muster_checkpoint_roll_back_durable.
  /// \throws muster::error as save does; ENOENT (there is no such state any more), EBADMSG (it is not whole).
  std::uint64_t roll_back(std::uint64_t from) { return roll(muster_checkpoint_roll_back, from); }
  std::uint64_t roll_back_durable(std::uint64_t from) { return roll(muster_checkpoint_roll_back_durable, from); }

  /// The name or path that it was opened by; empty for one in place, or not open.
  [[nodiscard]] std::string name() const { return detail::name_of(handle_.get()); }

  /// For the C API; it stays this object's.
  [[nodiscard]] muster_checkpoint *get() const noexcept { return handle_.get(); }

 protected:
  explicit ByteCheckpoint(muster_checkpoint *plain) noexcept : handle_(plain) {}

  // What a reading function told. Its last parameter is the info.
  struct Got {
    int status;
    muster_checkpoint_info info;
  };

  template <class Function, class... Arguments>
  Got got(Function function, Arguments... arguments) const {
    Got told{EBADF, {}};
    if (handle_) told.status = function(handle_.get(), arguments..., &told.info);
    return told;
  }

  std::optional<CheckpointInfo> found(const char *operation, const Got &told) const {
    if (told.status == ENODATA) return std::nullopt;
    check(operation, told.status);
    return detail::info_of(told.info);
  }
  static std::optional<CheckpointInfo> found(std::error_code &ec, const Got &told) noexcept {
    ec = to_error_code(told.status == ENODATA ? 0 : told.status);
    if (told.status && told.status != EMSGSIZE) return std::nullopt;
    return detail::info_of(told.info);
  }

  void check(const char *operation, int status) const {
    if (status) detail::fail(operation, name(), {status});
  }

  [[noreturn, gnu::cold, gnu::noinline]] void fail_by_size(const char *operation, std::uint64_t expected,
                                                           std::uint64_t found) const {
    detail::fail(operation, name(), {EPROTO, UINT32_MAX, 0, {MUSTER_MISMATCH_SIZE, expected, found}});
  }

 private:
  struct Close {
    void operator()(muster_checkpoint *checkpoint) const noexcept { (void)muster_checkpoint_close(checkpoint); }
  };

  detail::Failure open(const Name &name, const CheckpointOptions &options) noexcept {
    detail::Failure failure;
    muster_checkpoint_options plain{};
    plain.shape = detail::plain_of(options.shape);
    plain.layout = options.layout;
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.mode = options.mode;
    plain.deadline = options.deadline.get();
    plain.mismatch = &failure.mismatch;
    muster_checkpoint *checkpoint = nullptr;
    failure.status = muster_checkpoint_open(name.c_str(), &plain, &checkpoint);
    if (!failure.status) handle_.reset(checkpoint);
    return failure;
  }

  template <class Function, class... Arguments>
  int ask(Function function, Arguments... arguments) const noexcept {
    return handle_ ? function(handle_.get(), arguments...) : EBADF;
  }

  template <class Function>
  std::uint64_t put(Function function, const void *bytes, std::size_t length) {
    std::uint64_t sequence = 0;
    check("commit a state to the checkpoint", ask(function, bytes, length, &sequence));
    return sequence;
  }
  template <class Function>
  std::uint64_t put(Function function, const void *bytes, std::size_t length, std::error_code &ec) noexcept {
    std::uint64_t sequence = 0;
    ec = to_error_code(ask(function, bytes, length, &sequence));
    return sequence;
  }
  template <class Function>
  std::uint64_t roll(Function function, std::uint64_t from) {
    std::uint64_t sequence = 0;
    check("roll back the checkpoint", ask(function, from, &sequence));
    return sequence;
  }

  int shut() noexcept {
    const int status = handle_ ? muster_checkpoint_close(handle_.get()) : 0;
    if (!status) (void)handle_.release();
    return status;
  }

  std::unique_ptr<muster_checkpoint, Close> handle_;
};

/// A checkpoint whose states are all of one type, which is copied byte for byte. (Two programs that mean different types
/// of one size by it are told apart by the options' `layout`.) What ByteCheckpoint has, it has, too.
template <class State>
class Checkpoint : public ByteCheckpoint {
  static_assert(std::is_trivially_copyable_v<State>, "A state is copied byte for byte, between processes.");
  static_assert(std::is_default_constructible_v<State> && !std::is_pointer_v<State> && !std::is_const_v<State>);

 public:
  /// Not open.
  Checkpoint() noexcept = default;

  /// Creates or attaches; it does not take over. The shape's capacity is the state's size, whatever the options say.
  /// \throws muster::error with the values of muster_checkpoint_open; EPROTO for states of another size.
  Checkpoint(const Name &name, const CheckpointOptions &options)
      : ByteCheckpoint(sized(ByteCheckpoint(name, typed(options)), name.text())) {}
  /// One that keeps the last state and `history` before it.
  Checkpoint(const Name &name, std::uint32_t history) : Checkpoint(name, CheckpointOptions{{0, history}}) {}
  /// The same; not open where `ec` is set.
  Checkpoint(const Name &name, const CheckpointOptions &options, std::error_code &ec) noexcept
      : ByteCheckpoint(name, typed(options), ec) {
    if (!*this || shape().capacity == sizeof(State)) return;
    close();
    ec = to_error_code(EPROTO);
  }

  /// In place, as with ByteCheckpoint.
  [[nodiscard]] static std::size_t size(std::uint32_t history) noexcept {
    return ByteCheckpoint::size({sizeof(State), history});
  }
  static void init(void *memory, std::size_t size, std::uint32_t history) {
    ByteCheckpoint::init(memory, size, {sizeof(State), history});
  }
  [[nodiscard]] static Checkpoint attach(void *memory, std::size_t size) {
    return Checkpoint(sized(ByteCheckpoint::attach(memory, size), {}));
  }
  [[nodiscard]] static Checkpoint attach_read_only(const void *memory, std::size_t size) {
    return Checkpoint(sized(ByteCheckpoint::attach_read_only(memory, size), {}));
  }

  /// The newest state; nothing where none was committed yet. muster_checkpoint_read.
  /// \throws muster::error: EAGAIN, EBADMSG, EPROTO with mismatch() (bytes of another length were committed).
  [[nodiscard]] std::optional<CheckpointState<State>> read() const {
    CheckpointState<State> out;
    return finish("read the checkpoint", out, got(muster_checkpoint_read, &out.state, sizeof out.state));
  }

  /// The state of that sequence; nothing where it is not kept any more, or never was. muster_checkpoint_read_at.
  /// \throws muster::error as read does.
  [[nodiscard]] std::optional<CheckpointState<State>> read_at(std::uint64_t sequence) const {
    CheckpointState<State> out;
    Got told = got(muster_checkpoint_read_at, sequence, &out.state, sizeof out.state);
    if (told.status == ENOENT) told.status = ENODATA;
    return finish("read an older state of the checkpoint", out, told);
  }

  /// The newest state that `accept(state)`, or `accept(state, info)`, takes for good; nothing where none was committed
  /// yet. Such of another length are not even asked about. muster_checkpoint_load.
  /// \throws muster::error: ENOENT (there are some, and none was accepted), EAGAIN, EBADMSG; what `accept` threw.
  template <class Accept>
  [[nodiscard]] std::optional<CheckpointState<State>> load(Accept &&accept) const {
    CheckpointState<State> out;
    const auto info = ByteCheckpoint::load(
        [&](const void *, const CheckpointInfo &seen) {
          if (seen.length != sizeof(State)) return false;
          if constexpr (std::is_invocable_v<Accept &, const State &, const CheckpointInfo &>)
            return static_cast<bool>(accept(std::as_const(out.state), seen));
          else return static_cast<bool>(accept(std::as_const(out.state)));
        },
        &out.state, sizeof out.state);
    if (!info) return std::nullopt;
    out.info = *info;
    return out;
  }

  /// Commits it as the next state, and gives its sequence; the second form when it is on the disk.
  /// \throws muster::error as ByteCheckpoint::save does.
  std::uint64_t save(const State &state) { return ByteCheckpoint::save(&state, sizeof state); }
  std::uint64_t save_durable(const State &state) { return ByteCheckpoint::save_durable(&state, sizeof state); }
  std::uint64_t save(const State &state, std::error_code &ec) noexcept {
    return ByteCheckpoint::save(&state, sizeof state, ec);
  }
  std::uint64_t save_durable(const State &state, std::error_code &ec) noexcept {
    return ByteCheckpoint::save_durable(&state, sizeof state, ec);
  }

 private:
  explicit Checkpoint(ByteCheckpoint &&bytes) noexcept : ByteCheckpoint(std::move(bytes)) {}

  static CheckpointOptions typed(CheckpointOptions options) noexcept {
    options.shape.capacity = options.shape.history ? sizeof(State) : 0;
    return options;
  }

  static ByteCheckpoint sized(ByteCheckpoint bytes, const std::string &name) {
    const std::uint64_t capacity = bytes.shape().capacity;
    if (capacity == sizeof(State)) return bytes;
    detail::fail("open the checkpoint", name,
                 {EPROTO, UINT32_MAX, 0, {MUSTER_MISMATCH_SIZE, sizeof(State), capacity}});
  }

  std::optional<CheckpointState<State>> finish(const char *operation, CheckpointState<State> &out,
                                               const Got &told) const {
    const auto info = found(operation, told);
    if (!info) return std::nullopt;
    if (info->length != sizeof(State)) fail_by_size(operation, sizeof(State), info->length);
    out.info = *info;
    return out;
  }
};

}  // namespace muster

#endif
