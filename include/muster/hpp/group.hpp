// Groups: the members that take part in something; the kernel tells who died (group.h).
//
//   muster::Group group("crew", 8);
//   std::uint32_t me = group.join();                               // on the thread whose life is to be told
//   std::uint32_t seen = group.roster();
//   seen = group.wait(seen, 5s);                                   // somebody joined, left or died
//   muster::MemberSet dead = group.members(muster::Member::State::Dead);
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_GROUP_HPP
#define MUSTER_HPP_GROUP_HPP

#include <bitset>

#include "../group.h"
#include "deadline.hpp"
#include "error.hpp"
#include "region.hpp"

namespace muster {

/// What is known of a member: muster_member.
struct Member {
  enum class State {
    Free = MUSTER_MEMBER_FREE,    ///< nobody has joined here, or the place was freed
    Alive = MUSTER_MEMBER_ALIVE,  ///< joined
    Left = MUSTER_MEMBER_LEFT,    ///< left on its own
    Dead = MUSTER_MEMBER_DEAD,    ///< died as a member
  };

  State state = State::Free;
  std::optional<std::int32_t> pid{};  ///< of the last that joined here
  std::uint64_t start = 0;            ///< when its process started: clock ticks since boot
  std::uint32_t incarnation = 0;      ///< how many have joined here so far
  std::uint32_t thread = 0;           ///< its thread id
};

/// Places of a group, by their numbers.
using MemberSet = std::bitset<MUSTER_GROUP_CAPACITY_MAX>;

/// What a group is opened with: muster_group_options.
struct GroupOptions {
  std::uint32_t capacity = 0;  ///< places, 1 to 256; when attaching, 0: as it is
  Flags flags = Flags::Open;
  std::uint32_t mode = 0;                ///< permissions when created; 0 is 0600
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
};

namespace detail {

// Of the group of its own, or of a barrier's. A null group is one that is not open.
inline Member member_of(const muster_group *group, std::uint32_t index, int &status) noexcept {
  muster_member plain{};
  status = group ? muster_group_member(group, index, &plain) : EBADF;
  Member member;
  if (status) return member;
  member.state = static_cast<Member::State>(plain.state);
  if (plain.pid) member.pid = plain.pid;
  member.start = plain.start;
  member.incarnation = plain.incarnation;
  member.thread = plain.thread;
  return member;
}

inline MemberSet members_of(const muster_group *group, Member::State state, int &status) noexcept {
  muster_member_set plain{};
  status = group ? muster_group_members(group, static_cast<muster_member_state>(state), &plain) : EBADF;
  MemberSet set;
  for (std::size_t k = 0; !status && k < set.size(); k++) set[k] = (plain.bits[k / 64] >> (k % 64)) & 1;
  return set;
}

}  // namespace detail

/// A handle of a group: muster_group. Moved, not copied; one thread at a time calls it.
///
/// Membership belongs to the thread that joined. The destructor leaves and lets go; on another thread, while the one
/// that joined lives, it can't, and the membership lasts until that thread ends.
class Group {
 public:
  /// Not open.
  Group() noexcept = default;

  /// Creates or attaches; it does not join. muster_group_open.
  /// \throws muster::error with the values of that function.
  Group(const Name &name, const GroupOptions &options) : name_(name.text()) {
    detail::check("open the group", name_, open(name, options));
  }
  /// A group of so many places.
  Group(const Name &name, std::uint32_t capacity) : Group(name, GroupOptions{capacity}) {}
  /// The same; not open where `ec` is set.
  Group(const Name &name, const GroupOptions &options, std::error_code &ec) : name_(name.text()) {
    ec = to_error_code(open(name, options).status);
  }

  /// In place: the bytes that a group of `capacity` takes, and their alignment. muster_group_size.
  [[nodiscard]] static std::size_t size(std::uint32_t capacity) noexcept { return muster_group_size(capacity); }
  static constexpr std::size_t alignment = MUSTER_GROUP_ALIGNMENT;

  /// In place: lays a group into memory that no one uses as a group. muster_group_init.
  /// \throws muster::error: EINVAL.
  static void init(void *memory, std::size_t size, std::uint32_t capacity) {
    detail::check("lay out a group", "", {muster_group_init(memory, size, capacity)});
  }

  /// In place: a handle for the group at `memory`, which stays mapped until close. muster_group_attach.
  /// \throws muster::error with the values of that function.
  [[nodiscard]] static Group attach(void *memory, std::size_t size) {
    std::error_code ec;
    Group group = attach(memory, size, ec);
    detail::check("attach to the group", "", {ec.value()});
    return group;
  }
  [[nodiscard]] static Group attach(void *memory, std::size_t size, std::error_code &ec) noexcept {
    muster_group *plain = nullptr;
    const int status = muster_group_attach(memory, size, &plain);
    ec = to_error_code(status);
    Group group;
    if (!status) group.handle_.reset(plain);
    return group;
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Leaves, if joined, and lets go. Again: nothing. muster_group_close.
  /// \throws muster::error: EBUSY on another thread than joined, which lives; it is open as before then.
  void close() { detail::check("close the group", name_, {shut()}); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// Joins, for the calling thread, and says in which place. muster_group_join.
  /// \throws muster::error: EALREADY, EOVERFLOW (no place is free), ENOLCK, EPROTO with mismatch(), EACCES...
  std::uint32_t join() {
    detail::Failure failure;
    std::uint32_t member = 0;
    failure.status = call(muster_group_join, &member);
    if (failure.status == EPROTO) (void)muster_group_compatible(handle_.get(), &failure.mismatch);
    detail::check("join the group", name_, failure);
    return member;
  }
  std::uint32_t join(std::error_code &ec) noexcept {
    std::uint32_t member = UINT32_MAX;
    ec = to_error_code(call(muster_group_join, &member));
    return member;
  }

  /// Leaves: the others see the place as Left. muster_group_leave.
  /// \throws muster::error: EINVAL (not joined), EBUSY (another thread joined), EPERM.
  void leave() { detail::check("leave the group", name_, {call(muster_group_leave)}); }
  void leave(std::error_code &ec) noexcept { ec = to_error_code(call(muster_group_leave)); }

  /// Its places; 0 where it is not open.
  [[nodiscard]] std::uint32_t capacity() const noexcept { return handle_ ? muster_group_capacity(handle_.get()) : 0; }

  /// What is known of a place. muster_group_member.
  /// \throws muster::error: EINVAL (no such place), EBADMSG.
  [[nodiscard]] Member member(std::uint32_t index) const {
    int status = 0;
    Member member = detail::member_of(handle_.get(), index, status);
    detail::check("look at a member of the group", name_, {status});
    return member;
  }

  /// All places in that state. muster_group_members.
  /// \throws muster::error: EBADMSG.
  [[nodiscard]] MemberSet members(Member::State state) const {
    int status = 0;
    MemberSet set = detail::members_of(handle_.get(), state, status);
    detail::check("look at the members of the group", name_, {status});
    return set;
  }

  /// Frees the places of the dead and of those who left. muster_group_free_dead.
  /// \throws muster::error
  void free_dead() { detail::check("free the places of the dead in the group", name_, {call(muster_group_free_dead)}); }
  void free_dead(std::error_code &ec) noexcept { ec = to_error_code(call(muster_group_free_dead)); }

  /// A number that changes with every join, leave, and death that somebody noticed. muster_group_roster.
  [[nodiscard]] std::uint32_t roster() const noexcept { return handle_ ? muster_group_roster(handle_.get()) : 0; }

  /// Waits until the roster differs from `seen`, and returns it. muster_group_wait.
  /// \throws muster::error: ETIMEDOUT, EPERM, EBADMSG.
  std::uint32_t wait(std::uint32_t seen, Deadline deadline) {
    detail::check("wait for a change in the group", name_, {call(muster_group_wait, seen, deadline.get())});
    return roster();
  }
  std::uint32_t wait(std::uint32_t seen, Deadline deadline, std::error_code &ec) noexcept {
    ec = to_error_code(call(muster_group_wait, seen, deadline.get()));
    return roster();
  }

  /// The name that it was opened by; empty for one in place, or not open.
  [[nodiscard]] std::string name() const { return handle_ ? name_ : std::string(); }

  /// For the C API (muster_group_poll in an event loop); it stays this object's.
  [[nodiscard]] muster_group *get() const noexcept { return handle_.get(); }

 private:
  struct Close {
    void operator()(muster_group *group) const noexcept { (void)muster_group_close(group); }
  };

  detail::Failure open(const Name &name, const GroupOptions &options) noexcept {
    detail::Failure failure;
    muster_group_options plain{};
    plain.capacity = options.capacity;
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.mode = options.mode;
    plain.deadline = options.deadline.get();
    plain.mismatch = &failure.mismatch;
    muster_group *group = nullptr;
    failure.status = muster_group_open(name.c_str(), &plain, &group);
    if (!failure.status) handle_.reset(group);
    return failure;
  }

  template <class Function, class... Arguments>
  int call(Function function, Arguments... arguments) noexcept {
    return handle_ ? function(handle_.get(), arguments...) : EBADF;
  }

  int shut() noexcept {
    const int status = handle_ ? muster_group_close(handle_.get()) : 0;
    if (!status) (void)handle_.release();
    return status;
  }

  std::unique_ptr<muster_group, Close> handle_;
  std::string name_;
};

}  // namespace muster

#endif
