// The arena: a state that outlives its owner, read by all (arena.h).
//
//   muster::Arena::init(memory, size, {sizeof(Book), 0, 2});       // once; then, in each process that has the memory:
//   muster::Arena arena = muster::Arena::attach(memory, size);     // the one owner
//   arena.redo();                                                  // what a transaction committed
//   {
//     muster::ArenaChange change(arena);                           // ends with the block
//     arena.state<Book>().total += 5;
//   }
//   arena.save();
//
//   const auto book = muster::Arena::attach_read_only(memory, size).read<Book>();   // nothing while it is being changed
//
// An arena owns nothing: it is a view of the memory, to be copied at will, valid in a forked child too.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_ARENA_HPP
#define MUSTER_HPP_ARENA_HPP

#include <optional>
#include <type_traits>
#include <vector>

#include "../arena.h"
#include "deadline.hpp"
#include "error.hpp"

namespace muster {

/// What an arena is laid with, and where its parts lie: muster_arena_shape, muster_arena_layout.
using ArenaShape = muster_arena_shape;
using ArenaLayout = muster_arena_layout;

/// What is known of an arena, and of one of its checkpoints: muster_arena_info, muster_arena_checkpoint.
using ArenaInfo = muster_arena_info;
using ArenaCheckpoint = muster_arena_checkpoint;

/// An arena as this process has it mapped. Not attached where the default constructor made it: then nothing may be called.
class Arena {
 public:
  Arena() noexcept = default;

  /// Where the parts of such an arena lie, and its bytes. muster_arena_layout_of.
  /// \throws muster::error: EINVAL (no such shape can be).
  [[nodiscard]] static ArenaLayout layout(const ArenaShape &shape) {
    ArenaLayout layout{};
    detail::check("lay an arena out", "", {muster_arena_layout_of(&shape, &layout)});
    return layout;
  }
  [[nodiscard]] static std::uint64_t size(const ArenaShape &shape) noexcept { return muster_arena_size(&shape); }

  /// Lays one into memory that nobody uses as one. muster_arena_init.
  /// \throws muster::error: EINVAL (shape, not on a page's beginning, too few bytes).
  static void init(void *memory, std::uint64_t size, const ArenaShape &shape) {
    detail::check("lay an arena", "", {muster_arena_init(memory, size, &shape)});
  }

  /// A view for its owner, and one for those who read. muster_arena_attach, muster_arena_attach_read_only.
  /// \throws muster::error: EINVAL (not on a page's beginning), EBADMSG (no arena, or a cut one), EPROTO (another version).
  [[nodiscard]] static Arena attach(void *memory, std::uint64_t size) {
    Arena made;
    detail::check("attach to an arena", "", {muster_arena_attach(memory, size, &made.plain_)});
    return made;
  }
  [[nodiscard]] static Arena attach_read_only(const void *memory, std::uint64_t size) {
    Arena made;
    detail::check("attach to an arena", "", {muster_arena_attach_read_only(memory, size, &made.plain_)});
    return made;
  }

  /// Copies a part of the state, all of one moment, whose number it gives; nothing where it is being changed. muster_arena_read.
  /// \throws muster::error: EINVAL (range).
  std::optional<std::uint64_t> read(std::uint64_t offset, void *to, std::uint64_t size) const {
    std::uint64_t sequence = 0;
    return found(muster_arena_read(&plain_, offset, to, size, &sequence), EAGAIN, sequence);
  }
  /// The same, again and again until the deadline; nothing where that passed. muster_arena_read_until.
  /// \throws muster::error: EINVAL (range; Deadline::never(), as an arena knows of no death).
  std::optional<std::uint64_t> read(std::uint64_t offset, void *to, std::uint64_t size, Deadline deadline) const {
    std::uint64_t sequence = 0;
    return found(muster_arena_read_until(&plain_, offset, to, size, deadline.get(), &sequence), ETIMEDOUT, sequence);
  }

  /// The same of a value that lies at that offset.
  template <class Value>
  [[nodiscard]] std::optional<Value> read(std::uint64_t offset = 0) const {
    Value value;
    return typed<Value>() && read(offset, &value, sizeof value) ? std::optional<Value>(value) : std::nullopt;
  }
  template <class Value>
  [[nodiscard]] std::optional<Value> read(std::uint64_t offset, Deadline deadline) const {
    Value value;
    return typed<Value>() && read(offset, &value, sizeof value, deadline) ? std::optional<Value>(value) : std::nullopt;
  }

  /// The state in place, for its owner.
  [[nodiscard]] void *state() const noexcept { return plain_.state; }
  [[nodiscard]] std::uint64_t size() const noexcept { return plain_.size; }
  /// \throws muster::error: EMSGSIZE (it has fewer bytes).
  template <class State>
  [[nodiscard]] State &state() const {
    (void)typed<State>();
    if (sizeof(State) > plain_.size) detail::fail("use the state of the arena", "", {EMSGSIZE});
    return *static_cast<State *>(plain_.state);
  }

  /// muster_arena_sequence, muster_arena_changing, muster_arena_info_of.
  [[nodiscard]] std::uint64_t sequence() const noexcept { return muster_arena_sequence(&plain_); }
  [[nodiscard]] bool changing() const noexcept { return muster_arena_changing(&plain_) != 0; }
  [[nodiscard]] ArenaInfo look() const noexcept {
    ArenaInfo info{};
    muster_arena_info_of(&plain_, &info);
    return info;
  }

  /// Stores bytes into the state, within a change. muster_arena_write.
  /// \throws muster::error: EINVAL (range; no change is under way), EACCES.
  void write(std::uint64_t offset, const void *from, std::uint64_t size) const {
    detail::check("write into the arena", "", {muster_arena_write(&plain_, offset, from, size)});
  }

  /// Makes the state zeros, as one change. muster_arena_zero.
  /// \throws muster::error: EBUSY (a transaction runs, or is not yet redone), EACCES.
  void zero() const { detail::check("zero the arena", "", {muster_arena_zero(&plain_)}); }

  /// A sign of life. muster_arena_beat.
  void beat() const noexcept { muster_arena_beat(&plain_, muster_clock_now()); }

  /// Takes the state as it is that a dead predecessor was changing. muster_arena_change_end.
  /// \throws muster::error: EINVAL (it was not), EBUSY (it is redo's to end), EACCES.
  void take() const { detail::check("take the state of the arena", "", {muster_arena_change_end(&plain_)}); }

  /// Saves the state. muster_arena_save.
  /// \throws muster::error: EBUSY (a change is under way), ENOTSUP (no checkpoints in this shape), EACCES.
  ArenaCheckpoint save() const {
    ArenaCheckpoint saved{};
    detail::check("save the arena", "", {muster_arena_save(&plain_, &saved)});
    return saved;
  }

  /// Replaces the state by the newest checkpoint, from the nth newest on, that is whole and that `accept(state, size)` takes for
  /// good; nothing where there is none. muster_arena_load.
  /// \throws muster::error: ENOENT (none was accepted), EBADMSG (none was whole): the change stays under way; EBUSY, EACCES;
  /// what `accept` threw: then too.
  template <class Accept>
  std::optional<ArenaCheckpoint> load(std::uint32_t nth, Accept &&accept) const {
    Acceptance<std::remove_reference_t<Accept>> asked{accept};
    ArenaCheckpoint loaded{};
    const int status = muster_arena_load(&plain_, nth, &asked.call, &asked, &loaded);
    detail::rethrow(asked.thrown);
    return found(status, ENODATA, loaded);
  }
  std::optional<ArenaCheckpoint> load(std::uint32_t nth = 0) const {
    ArenaCheckpoint loaded{};
    return found(muster_arena_load(&plain_, nth, nullptr, nullptr, &loaded), ENODATA, loaded);
  }

  /// What is kept, from the newest to the oldest. muster_arena_checkpoints.
  /// \throws muster::error: EAGAIN.
  [[nodiscard]] std::vector<ArenaCheckpoint> checkpoints(bool verify = false) const {
    std::vector<ArenaCheckpoint> listed(plain_.checkpoints);
    std::uint32_t kept = 0;
    const auto count = static_cast<std::uint32_t>(listed.size());
    detail::check("list the checkpoints of the arena", "",
                  {muster_arena_checkpoints(&plain_, verify, listed.data(), count, &kept)});
    listed.resize(kept);
    return listed;
  }

  /// Begins a transaction, before its process is forked: its number, for ArenaLog. muster_arena_log_begin.
  /// \throws muster::error: EBUSY (one runs, or is not yet redone; or a change is under way), ENOTSUP, EACCES.
  [[nodiscard]] std::uint64_t begin() const {
    std::uint64_t id = 0;
    detail::check("begin a transaction of the arena", "", {muster_arena_log_begin(&plain_, &id)});
    return id;
  }

  /// Ends it, at its deadline or after its death: true where it is aborted, false where it had committed. muster_arena_log_decide.
  /// \throws muster::error: ESTALE (it is not the last), EACCES.
  [[nodiscard]] bool decide(std::uint64_t id) const {
    const int status = muster_arena_log_decide(&plain_, id);
    if (status != EALREADY) detail::check("end a transaction of the arena", "", {status});
    return status == 0;
  }

  /// Brings into the state what was committed: whether anything was. muster_arena_redo.
  /// \throws muster::error: EBADMSG (the log is corrupt), EACCES.
  bool redo() const { return found(muster_arena_redo(&plain_), ENODATA, 0).has_value(); }

  /// Gives a log up that redo could not use. muster_arena_log_drop.
  /// \throws muster::error: EINVAL (nothing is committed), EACCES.
  void drop() const { detail::check("drop the log of the arena", "", {muster_arena_log_drop(&plain_)}); }

  /// For the C API.
  [[nodiscard]] const muster_arena *get() const noexcept { return &plain_; }

 private:
  template <class Accept>
  struct Acceptance {
    Accept &accept;
    std::exception_ptr thrown{};

    // An exception refuses what was looked at, and all that is older.
    static int call(const void *state, std::uint64_t size, void *context) noexcept {
      auto &self = *static_cast<Acceptance *>(context);
      bool good = false;
      if (!self.thrown) (void)detail::guarded(self.thrown, [&] { good = static_cast<bool>(self.accept(state, size)); });
      return good;
    }
  };

  template <class Value>
  static constexpr bool typed() noexcept {
    static_assert(std::is_trivially_copyable_v<Value>, "A state is copied byte for byte, between processes.");
    return true;
  }

  template <class Value>
  static std::optional<Value> found(int status, int none, const Value &value) {
    if (status == none) return std::nullopt;
    detail::check("use the arena", "", {status});
    return value;
  }

  muster_arena plain_{};
};

/// An update in place, which ends with the block, also by an exception: what was changed by then stays, so who may throw half-way loads a
/// checkpoint afterwards. muster_arena_change_begin, muster_arena_change_end.
class ArenaChange {
 public:
  /// \throws muster::error: EALREADY (a change is under way), EBUSY (a transaction runs, or is not yet redone), EACCES.
  explicit ArenaChange(const Arena &arena) : arena_(arena) {
    detail::check("change the arena", "", {muster_arena_change_begin(arena_.get())});
  }
  ~ArenaChange() { (void)muster_arena_change_end(arena_.get()); }
  ArenaChange(const ArenaChange &) = delete;
  ArenaChange &operator=(const ArenaChange &) = delete;

 private:
  Arena arena_;
};

/// The log of a transaction, in the process that was forked for it.
class ArenaLog {
 public:
  /// muster_arena_log_open.
  /// \throws muster::error: ECANCELED (it is aborted), ESTALE (it is not the last, or over), EACCES.
  ArenaLog(const Arena &arena, std::uint64_t id) {
    detail::check("open the log of the arena", "", {muster_arena_log_open(arena.get(), id, &plain_)});
  }

  /// From here on the state is this process's own. `offset` is where the state begins in the file. muster_arena_log_isolate.
  /// \throws muster::error: EINVAL, EBADF, EACCES, ENODEV, ENOMEM, EPERM.
  void isolate(int descriptor, std::uint64_t offset) {
    detail::check("isolate the state of the arena", "", {muster_arena_log_isolate(&plain_, descriptor, offset)});
  }

  /// Adds a page, as it is, or all that were changed since isolate. muster_arena_log_add, muster_arena_log_changed.
  /// \throws muster::error: ENOSPC (the log is full), EINVAL, ECANCELED; ENOMEM, EBADF.
  void add(std::uint64_t page, const void *bytes = nullptr) {
    detail::check("log a page of the arena", "", {muster_arena_log_add(&plain_, page, bytes)});
  }
  void add_changed() { detail::check("log the pages of the arena", "", {muster_arena_log_changed(&plain_)}); }

  /// Whether it is committed, or aborted by the owner meanwhile. muster_arena_log_commit.
  /// \throws muster::error: ESTALE (it is over).
  [[nodiscard]] bool commit() {
    const int status = muster_arena_log_commit(&plain_);
    if (status != ECANCELED) detail::check("commit to the arena", "", {status});
    return status == 0;
  }

  /// Nothing of it will be in the state. muster_arena_log_abort.
  void abort() noexcept { (void)muster_arena_log_abort(&plain_); }

 private:
  muster_arena_log plain_{};
};

}  // namespace muster

#endif
