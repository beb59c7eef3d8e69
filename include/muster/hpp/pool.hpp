// The pool: fixed blocks of shared memory that have owners (pool.h).
//
//   muster::Pool pool("messages", options);
//   pool.join();                                                   // on the thread whose life counts
//   muster::PoolBlock block = pool.alloc(5s);                      // freed by its destructor
//   std::memcpy(block.data(), bytes, size);
//   writer.write_value(block.name(), 5s);                          // through a ring, say
//   block.give(receiver);                                          // it is the receiver's now
//
//   muster::PoolBlock received = pool.adopt(name);                 // at the receiver
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_POOL_HPP
#define MUSTER_HPP_POOL_HPP

#include <vector>

#include "../pool.h"
#include "deadline.hpp"
#include "error.hpp"
#include "group.hpp"
#include "region.hpp"

namespace muster {

/// The name of a block, the same in every process: muster_pool_block.
using PoolBlockName = muster_pool_block;

/// What a pool is opened with: muster_pool_options.
struct PoolOptions {
  std::uint32_t block_size = 0;  ///< bytes, rounded up to 16, from 64 on to 64; when attaching, 0: as it is
  std::uint32_t blocks = 0;      ///< likewise
  std::uint32_t members = 0;     ///< likewise
  Flags flags = Flags::Open;
  std::uint32_t permissions = 0;        ///< when created; 0 is 0600
  std::uint64_t layout = 0;             ///< what the blocks mean; when attaching, 0: any
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
};

/// What is known of a pool: muster_pool_state.
using PoolState = muster_pool_state;

/// What is known of a member: muster_pool_owner.
struct PoolOwner {
  Member::State state = Member::State::Free;
  std::optional<std::int32_t> pid{};  ///< of the last that joined there
  std::uint32_t blocks = 0;           ///< that it owns, offered ones too
  std::uint32_t offered = 0;
};

namespace detail {

inline std::string name_of(const muster_pool *pool) {
  const muster_region *region = pool ? muster_pool_region(pool) : nullptr;
  return region ? muster_region_name(region) : "";
}

inline void check(std::string_view operation, const muster_pool *pool, int status) {
  if (__builtin_expect(status != 0, 0)) fail(operation, name_of(pool), {status});
}

}  // namespace detail

/// A block that this member owns. Moved, not copied. The destructor frees it, which does nothing to one that somebody has
/// taken. It is to end before its Pool does, which may be moved meanwhile.
class PoolBlock {
 public:
  /// No block. All below but name() and data() is for one that there is: EBADF else.
  PoolBlock() noexcept = default;
  PoolBlock(PoolBlock &&other) noexcept { swap(other); }
  PoolBlock &operator=(PoolBlock &&other) noexcept {
    PoolBlock taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~PoolBlock() {
    if (pool_) (void)muster_pool_free(pool_, name_);
  }

  [[nodiscard]] explicit operator bool() const noexcept { return pool_ != nullptr; }

  /// What others know it by; MUSTER_POOL_NONE where there is none.
  [[nodiscard]] PoolBlockName name() const noexcept { return name_; }

  /// Where it lies in this process, aligned to 16, to 64 from that size on; null where there is none. Not zeroed. To be used while
  /// it is this member's alone: what was given, or offered and taken, is another's.
  [[nodiscard]] void *data() const noexcept { return data_; }

  /// Its usable bytes.
  [[nodiscard]] std::size_t size() const noexcept { return pool_ ? muster_pool_block_size(pool_) : 0; }

  /// Frees it. muster_pool_free.
  /// \throws muster::error: EBUSY, ESTALE: it was offered, and taken; EPERM. There is no block here afterwards, in any case.
  void free() {
    const muster_pool *pool = pool_;
    detail::check("free a block of the pool", pool, leave(&muster_pool_free));
  }
  void free(std::error_code &ec) noexcept { ec = to_error_code(leave(&muster_pool_free)); }

  /// Makes another member its owner. muster_pool_give.
  /// \throws muster::error: EOWNERDEAD (nobody lives in that place), EBUSY, ESTALE (it was offered, and taken), EINVAL (no such place),
  /// EPERM. Then it is here as before.
  void give(std::uint32_t member) {
    const int status = hand_to(member);
    if (__builtin_expect(status == 0, 1)) return;
    detail::fail("give a block of the pool", detail::name_of(pool_),
                 {status, status == EOWNERDEAD ? member : UINT32_MAX, 0, {}});
  }
  void give(std::uint32_t member, std::error_code &ec) noexcept { ec = to_error_code(hand_to(member)); }

  /// Offers it to whoever takes it first, and says by which name. It is freed as before by the destructor, if nobody has taken it until
  /// then. muster_pool_offer.
  /// \throws muster::error: EALREADY (it is offered), EBUSY, ESTALE (it was, and somebody has taken it), EPERM.
  PoolBlockName offer() {
    detail::check("offer a block of the pool", pool_, call(muster_pool_offer));
    return name_;
  }
  PoolBlockName offer(std::error_code &ec) noexcept {
    ec = to_error_code(call(muster_pool_offer));
    return name_;
  }

  /// Takes the offer back, and says whether it could: else somebody has taken it, and there is no block here any more.
  /// muster_pool_withdraw.
  /// \throws muster::error: EALREADY (it was not offered), EPERM.
  bool withdraw() {
    const int status = call(muster_pool_withdraw);
    if (status == EBUSY || status == ESTALE) return (void)release(), false;
    detail::check("withdraw a block of the pool", pool_, status);
    return true;
  }

  /// Lets the block be, without freeing it: it is this member's until that one ends, or Pool::adopt has it back.
  PoolBlockName release() noexcept {
    const PoolBlockName name = name_;
    pool_ = nullptr, name_ = MUSTER_POOL_NONE, data_ = nullptr;
    return name;
  }

 private:
  friend class Pool;

  PoolBlock(muster_pool *pool, PoolBlockName name) noexcept : pool_(pool), name_(name) {}

  // Where it lies; no block where it is not this member's.
  int find() noexcept {
    const int status = muster_pool_get(pool_, name_, &data_);
    if (status) (void)release();
    return status;
  }

  template <class Function>
  int call(Function function) noexcept {
    return pool_ ? function(pool_, name_) : EBADF;
  }

  template <class Function>
  int leave(Function function) noexcept {
    const int status = call(function);
    (void)release();
    return status;
  }

  int hand_to(std::uint32_t member) noexcept {
    const int status = pool_ ? muster_pool_give(pool_, name_, member) : EBADF;
    if (!status) (void)release();
    return status;
  }

  void swap(PoolBlock &other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(name_, other.name_);
    std::swap(data_, other.data_);
  }

  muster_pool *pool_ = nullptr;
  PoolBlockName name_ = MUSTER_POOL_NONE;
  void *data_ = nullptr;
};

/// A handle of a pool: muster_pool. Moved, not copied. Any number of threads may allocate, free and hand on by it; one alone joins,
/// leaves and closes it, when nobody else uses it.
///
/// Membership belongs to the thread that joined. The destructor leaves, which frees all of this member's blocks, and lets go; on another
/// thread, while the one that joined lives, it can't, and the membership lasts until that thread ends.
class Pool {
 public:
  /// Not open.
  Pool() noexcept = default;

  /// Creates or attaches; it does not join. muster_pool_open.
  /// \throws muster::error with the values of that function; mismatch() at EPROTO.
  Pool(const Name &name, const PoolOptions &options) { detail::check("open the pool", name.text(), open(name, options)); }
  /// The same; not open where `ec` is set.
  Pool(const Name &name, const PoolOptions &options, std::error_code &ec) { ec = to_error_code(open(name, options).status); }

  /// In place: the bytes that a pool takes, 0 for numbers that can't be, and their alignment. muster_pool_size.
  [[nodiscard]] static std::size_t size(std::uint32_t block_size, std::uint32_t blocks, std::uint32_t members) noexcept {
    return muster_pool_size(block_size, blocks, members);
  }
  static constexpr std::size_t alignment = MUSTER_POOL_ALIGNMENT;

  /// In place: lays a pool into memory that no one uses as one. muster_pool_init.
  /// \throws muster::error: EINVAL, ENOTSUP.
  static void init(void *memory, std::size_t size, std::uint32_t block_size, std::uint32_t blocks, std::uint32_t members) {
    detail::check("lay out a pool", "", {muster_pool_init(memory, size, block_size, blocks, members)});
  }

  /// In place: a handle for the pool at `memory`, which stays mapped and writable until close. muster_pool_attach.
  /// \throws muster::error: EINVAL, ENOMEM, EBADMSG, EPROTO, ENOTSUP.
  [[nodiscard]] static Pool attach(void *memory, std::size_t size) {
    muster_pool *plain = nullptr;
    detail::check("attach to the pool", "", {muster_pool_attach(memory, size, &plain)});
    Pool pool;
    pool.handle_.reset(plain);
    return pool;
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Leaves, if joined, and lets go. Again: nothing. Its blocks must have ended. muster_pool_close.
  /// \throws muster::error: EBUSY on another thread than joined, which lives; it is open as before then.
  void close() { check("close the pool", shut()); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// Becomes a member, on the calling thread, and says in which place. muster_pool_join.
  /// \throws muster::error with the values of that function.
  std::uint32_t join() {
    std::uint32_t member = UINT32_MAX;
    check("join the pool", call(muster_pool_join, &member));
    return member;
  }
  std::uint32_t join(std::error_code &ec) noexcept {
    std::uint32_t member = UINT32_MAX;
    ec = to_error_code(call(muster_pool_join, &member));
    return member;
  }

  /// Leaves: all blocks of this member are free. muster_pool_leave.
  /// \throws muster::error: EINVAL (not joined), EBUSY (another thread joined), EPERM.
  void leave() { check("leave the pool", call(muster_pool_leave)); }
  void leave(std::error_code &ec) noexcept { ec = to_error_code(call(muster_pool_leave)); }

  /// A block, waiting for one until the deadline. muster_pool_alloc_wait.
  /// \throws muster::error: ETIMEDOUT, EPERM (not joined), EBADMSG.
  [[nodiscard]] PoolBlock alloc(Deadline deadline) {
    PoolBlock block;
    check("allocate from the pool", get(deadline, block));
    return block;
  }
  [[nodiscard]] PoolBlock alloc(Deadline deadline, std::error_code &ec) noexcept {
    PoolBlock block;
    ec = to_error_code(get(deadline, block));
    return block;
  }

  /// A block, unless none is free. muster_pool_alloc.
  /// \throws muster::error: EPERM (not joined).
  [[nodiscard]] std::optional<PoolBlock> try_alloc() {
    PoolBlockName name = MUSTER_POOL_NONE;
    int status = call(muster_pool_alloc, &name);
    if (status == ENOSPC) return std::nullopt;
    PoolBlock block(handle_.get(), name);
    if (!status) status = block.find();
    else (void)block.release();
    check("allocate from the pool", status);
    return block;
  }

  /// Takes a block that is offered, unless another was first, or it is not offered any more. muster_pool_take.
  /// \throws muster::error: ESTALE (it was freed, also because its offerer died), EALREADY (it is this member's), EINVAL, EPERM.
  [[nodiscard]] std::optional<PoolBlock> try_take(PoolBlockName name) {
    const int status = call(muster_pool_take, name);
    if (status == EBUSY) return std::nullopt;
    check("take a block of the pool", status);
    return adopt(name);
  }

  /// A block that is this member's already: it was given to it, or let be by PoolBlock::release. One object alone is to have it.
  /// muster_pool_get.
  /// \throws muster::error: EBUSY (another's), ESTALE (freed), EINVAL, EPERM.
  [[nodiscard]] PoolBlock adopt(PoolBlockName name) {
    if (!handle_) check("adopt a block of the pool", EBADF);
    PoolBlock block(handle_.get(), name);
    check("adopt a block of the pool", block.find());
    return block;
  }

  /// Takes back what the dead, and those who left, had; how many blocks. Alloc does it by itself. muster_pool_reclaim.
  /// \throws muster::error: EACCES (read-only), EPERM, EAGAIN.
  std::uint32_t reclaim() {
    std::uint32_t count = 0;
    check("reclaim blocks of the pool", call(muster_pool_reclaim, &count));
    return count;
  }

  /// What a member owns, as far as it did not change meanwhile. muster_pool_next.
  /// \throws muster::error: EINVAL (no such place), EPERM.
  [[nodiscard]] std::vector<PoolBlockName> blocks_of(std::uint32_t member) const {
    std::vector<PoolBlockName> names;
    std::uint32_t cursor = 0;
    PoolBlockName name = MUSTER_POOL_NONE;
    int status;
    while (!(status = ask(muster_pool_next, member, &cursor, &name))) names.push_back(name);
    if (status != ENOENT) check("list the blocks of a member of the pool", status);
    return names;
  }

  /// What is known of it. Goes over all blocks. muster_pool_look.
  /// \throws muster::error: EPERM.
  [[nodiscard]] PoolState state() const {
    PoolState state{};
    check("look at the pool", ask(muster_pool_look, &state));
    return state;
  }

  /// What is known of a member. Goes over all blocks. muster_pool_look_owner.
  /// \throws muster::error: EINVAL (no such place), EPERM.
  [[nodiscard]] PoolOwner owner(std::uint32_t member) const {
    muster_pool_owner plain{};
    check("look at a member of the pool", ask(muster_pool_look_owner, member, &plain));
    return owner_of(plain);
  }

  /// What is known of each place, in their order. Goes over all blocks, once. muster_pool_look_owners.
  /// \throws muster::error: EPERM.
  [[nodiscard]] std::vector<PoolOwner> owners() const {
    std::vector<muster_pool_owner> plain(state().members);
    const auto count = static_cast<std::uint32_t>(plain.size());
    check("look at the members of the pool", ask(muster_pool_look_owners, plain.data(), count));
    std::vector<PoolOwner> owners;
    for (const muster_pool_owner &one : plain) owners.push_back(owner_of(one));
    return owners;
  }

  /// The usable bytes of each block; 0 where it is not open.
  [[nodiscard]] std::size_t block_size() const noexcept { return handle_ ? muster_pool_block_size(handle_.get()) : 0; }

  /// The place of this member, where it has joined.
  [[nodiscard]] std::optional<std::uint32_t> member() const noexcept {
    const std::uint32_t member = handle_ ? muster_pool_member(handle_.get()) : UINT32_MAX;
    return member == UINT32_MAX ? std::nullopt : std::optional(member);
  }

  /// The name that it was opened by; empty for one in place, or not open.
  [[nodiscard]] std::string name() const { return detail::name_of(handle_.get()); }

  /// For the C API (muster_pool_poll in an event loop, muster_pool_group); it stays this object's.
  [[nodiscard]] muster_pool *get() const noexcept { return handle_.get(); }

 private:
  static PoolOwner owner_of(const muster_pool_owner &plain) {
    PoolOwner owner;
    owner.state = static_cast<Member::State>(plain.state);
    if (plain.pid) owner.pid = plain.pid;
    owner.blocks = plain.blocks;
    owner.offered = plain.offered;
    return owner;
  }

  struct Close {
    void operator()(muster_pool *pool) const noexcept { (void)muster_pool_close(pool); }
  };

  detail::Failure open(const Name &name, const PoolOptions &options) noexcept {
    detail::Failure failure;
    muster_pool_options plain{};
    plain.block_size = options.block_size;
    plain.blocks = options.blocks;
    plain.members = options.members;
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.permissions = options.permissions;
    plain.layout = options.layout;
    plain.deadline = options.deadline.get();
    plain.mismatch = &failure.mismatch;
    muster_pool *pool = nullptr;
    failure.status = muster_pool_open(name.c_str(), &plain, &pool);
    if (!failure.status) handle_.reset(pool);
    return failure;
  }

  int get(Deadline deadline, PoolBlock &block) noexcept {
    PoolBlockName name = MUSTER_POOL_NONE;
    const int status = call(muster_pool_alloc_wait, deadline.get(), &name);
    if (status) return status;
    block = PoolBlock(handle_.get(), name);
    return block.find();
  }

  template <class Function, class... Arguments>
  int call(Function function, Arguments... arguments) noexcept {
    return handle_ ? function(handle_.get(), arguments...) : EBADF;
  }

  template <class Function, class... Arguments>
  int ask(Function function, Arguments... arguments) const noexcept {
    return handle_ ? function(handle_.get(), arguments...) : EBADF;
  }

  void check(std::string_view operation, int status) const { detail::check(operation, handle_.get(), status); }

  int shut() noexcept {
    const int status = handle_ ? muster_pool_close(handle_.get()) : 0;
    if (!status) (void)handle_.release();
    return status;
  }

  std::unique_ptr<muster_pool, Close> handle_;
};

}  // namespace muster

#endif
