// The robust barrier: processes that may die meet, phase after phase, and none waits for the dead (barrier.h).
//
//   muster::Barrier crew("crew", 4);                               // creates it or joins it
//   crew.wait(5s);                                                 // all four have arrived, or muster::error
//
//   muster::BarrierResult mine = crew.arrive();                    // or in two halves, with work between them
//   crew.wait_phase(mine.phase, 5s);
//
// The action of a handle is any callable. What it throws breaks the barrier for everybody (BarrierCause::Action), and
// is thrown again by the call of this handle that ran it.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_BARRIER_HPP
#define MUSTER_HPP_BARRIER_HPP

#include "../barrier.h"
#include "deadline.hpp"
#include "error.hpp"
#include "group.hpp"
#include "region.hpp"

namespace muster {

/// What a member's death means to the others: muster_on_death.
enum class OnDeath {
  Break = MUSTER_ON_DEATH_BREAK,    ///< all who wait are told who died; broken until reset
  Shrink = MUSTER_ON_DEATH_SHRINK,  ///< the others go on without it
  Await = MUSTER_ON_DEATH_AWAIT,    ///< the others wait on, until a process joins in its place
};

/// Why a barrier is broken: muster_barrier_cause.
enum class BarrierCause {
  Whole = MUSTER_BARRIER_WHOLE,         ///< it is not
  TimedOut = MUSTER_BARRIER_TIMED_OUT,  ///< a waiter's deadline passed
  Aborted = MUSTER_BARRIER_ABORTED,     ///< somebody called abort
  Death = MUSTER_BARRIER_DEATH,         ///< a member died, or closed without dropping
  Action = MUSTER_BARRIER_ACTION,       ///< an action failed
};

/// What a barrier is opened with: muster_barrier_options.
struct BarrierOptions {
  std::uint32_t parties = 0;          ///< 1 to 256; when attaching, 0: as it is
  OnDeath on_death = OnDeath::Break;  ///< compared when parties is given
  Flags flags = Flags::Open;
  std::uint32_t mode = 0;                ///< permissions when created; 0 is 0600
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
  bool observe = false;                 ///< don't join; such a handle can ask, abort and reset, not arrive
  std::function<void()> action{};       ///< of this handle: run by the last to arrive, before anyone is released
};

/// What a wait, or an arrival, came to: muster_barrier_result.
struct BarrierResult {
  std::uint32_t phase = 0;                ///< the phase that was arrived at or waited for
  std::optional<std::uint32_t> index{};   ///< the arrival index: 0 for the first; where it is known
  bool serial = false;                    ///< true for at most one of the released
  std::optional<std::uint32_t> culprit{};  ///< the member that died, where the barrier broke by a death
};

/// The state of a barrier at one moment: muster_barrier_state.
struct BarrierState {
  std::uint32_t parties = 0;  ///< who have to arrive for a phase to complete
  std::uint32_t arrived = 0;  ///< of those, who have
  std::uint32_t phase = 0;    ///< the present phase
  BarrierCause cause = BarrierCause::Whole;
  std::optional<std::uint32_t> culprit{};  ///< at TimedOut, Death and Action: the member
  OnDeath on_death = OnDeath::Break;
  bool in_action = false;  ///< all have arrived, and the action runs
};

namespace detail {

// The action of a handle, at an address that stays when the handle is moved.
struct BarrierAction {
  std::function<void()> run;
  std::exception_ptr thrown{};

  static int call(void *context) noexcept {
    auto &self = *static_cast<BarrierAction *>(context);
    return guarded(self.thrown, self.run);
  }
};

// Holds the action too, so that it lives as long as the handle, through moves and assignments.
struct CloseBarrier {
  std::unique_ptr<BarrierAction> action{};
  void operator()(muster_barrier *barrier) const noexcept { (void)muster_barrier_close(barrier); }
};

}  // namespace detail

/// A member's handle of a barrier, or an observer's: muster_barrier. Moved, not copied; one thread at a time calls it.
///
/// Membership belongs to the thread that opened. Closing, and the destructor, is a death to the others unless this
/// member has dropped out (or nobody meets any more). On another thread, while the one that opened lives, the
/// destructor can't leave, and the membership lasts until that thread ends.
///
/// Each call that fails throws muster::error, with the value that the C function returns, and member() and pid() of who
/// died. Its other form sets `ec` instead. What the action of this handle throws comes through both forms.
class Barrier {
 public:
  /// Not open.
  Barrier() noexcept = default;

  /// Creates or attaches, and joins on the calling thread. muster_barrier_open.
  /// \throws muster::error with the values of that function, such as EOVERFLOW: all places are held by the living.
  Barrier(const Name &name, const BarrierOptions &options) {
    detail::check("open the barrier", name.text(), open(name, options));
  }
  Barrier(const Name &name, std::uint32_t parties, OnDeath on_death = OnDeath::Break)
      : Barrier(name, BarrierOptions{parties, on_death}) {}
  /// The same; not open where `ec` is set.
  Barrier(const Name &name, const BarrierOptions &options, std::error_code &ec) {
    ec = to_error_code(open(name, options).status);
  }

  /// In place: the bytes that a barrier of `parties` takes, and their alignment. muster_barrier_size.
  [[nodiscard]] static std::size_t size(std::uint32_t parties) noexcept { return muster_barrier_size(parties); }
  static constexpr std::size_t alignment = MUSTER_BARRIER_ALIGNMENT;

  /// In place: lays a barrier into memory. muster_barrier_init.
  /// \throws muster::error: EINVAL.
  static void init(void *memory, std::size_t size, std::uint32_t parties, OnDeath on_death = OnDeath::Break) {
    const int status = muster_barrier_init(memory, size, parties, static_cast<muster_on_death>(on_death));
    detail::check("lay out a barrier", "", {status});
  }

  /// In place: joins the barrier at `memory`, which stays mapped and writable until close. Of the options parties,
  /// on_death, observe and action are used. muster_barrier_attach.
  /// \throws muster::error with the values of that function.
  [[nodiscard]] static Barrier attach(void *memory, std::size_t size, const BarrierOptions &options = {}) {
    Barrier barrier;
    detail::check("attach to the barrier", "", barrier.attach_to(memory, size, options));
    return barrier;
  }
  [[nodiscard]] static Barrier attach(void *memory, std::size_t size, const BarrierOptions &options,
                                      std::error_code &ec) {
    Barrier barrier;
    ec = to_error_code(barrier.attach_to(memory, size, options).status);
    return barrier;
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Leaves and lets go. Again: nothing. muster_barrier_close.
  /// \throws muster::error: EBUSY on another thread than joined, which lives; it is open as before then.
  void close() { detail::check("close the barrier", name(), {shut()}); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// Arrives and waits until all have arrived. muster_barrier_wait.
  /// \throws muster::error: ETIMEDOUT, EOWNERDEAD with member(), ECANCELED, ENOTRECOVERABLE, EALREADY, EINVAL...
  BarrierResult wait(Deadline deadline) {
    return finish("wait at the barrier", call(muster_barrier_wait, deadline.get()));
  }
  BarrierResult wait(Deadline deadline, std::error_code &ec) {
    return finish(ec, call(muster_barrier_wait, deadline.get()));
  }

  /// Arrives without waiting; the result's phase is what to wait for. The last to arrive runs its action here.
  /// muster_barrier_arrive.
  /// \throws muster::error: EALREADY, EAGAIN, EINVAL, ENOTRECOVERABLE...
  BarrierResult arrive() { return finish("arrive at the barrier", call(muster_barrier_arrive)); }
  BarrierResult arrive(std::error_code &ec) { return finish(ec, call(muster_barrier_arrive)); }

  /// Arrives, and lowers the parties by one from the next phase on. muster_barrier_arrive_and_drop.
  BarrierResult arrive_and_drop() {
    return finish("arrive at the barrier and drop out", call(muster_barrier_arrive_and_drop));
  }
  BarrierResult arrive_and_drop(std::error_code &ec) { return finish(ec, call(muster_barrier_arrive_and_drop)); }

  /// Waits for a phase that this member arrived at. muster_barrier_wait_phase.
  /// \throws muster::error as wait does; EINVAL for a phase yet to come.
  BarrierResult wait_phase(std::uint32_t phase, Deadline deadline) {
    return finish("wait at the barrier", call(muster_barrier_wait_phase, phase, deadline.get()));
  }
  BarrierResult wait_phase(std::uint32_t phase, Deadline deadline, std::error_code &ec) {
    return finish(ec, call(muster_barrier_wait_phase, phase, deadline.get()));
  }

  /// The same without waiting: nothing while the phase goes on. muster_barrier_try_wait.
  [[nodiscard]] std::optional<BarrierResult> try_wait(std::uint32_t phase) {
    const Outcome outcome = call(muster_barrier_try_wait, phase);
    if (outcome.status == EAGAIN) return std::nullopt;
    return finish("wait at the barrier", outcome);
  }
  [[nodiscard]] std::optional<BarrierResult> try_wait(std::uint32_t phase, std::error_code &ec) {
    const Outcome outcome = call(muster_barrier_try_wait, phase);
    ec.clear();
    if (outcome.status == EAGAIN) return std::nullopt;
    return finish(ec, outcome);
  }

  /// Breaks the barrier: who waits gets ECANCELED, who comes ENOTRECOVERABLE, until reset. muster_barrier_abort.
  /// \throws muster::error: EPERM, EBADMSG.
  void abort() { detail::check("abort the barrier", name(), {abort_()}); }
  void abort(std::error_code &ec) noexcept { ec = to_error_code(abort_()); }

  /// Makes it usable again, broken or not; the places of the dead are free. muster_barrier_reset.
  /// \throws muster::error: EPROTO, EPERM, EBADMSG.
  void reset() { detail::check("reset the barrier", name(), {reset_()}); }
  void reset(std::error_code &ec) noexcept { ec = to_error_code(reset_()); }

  /// The state at one moment. muster_barrier_state_get.
  /// \throws muster::error: EPERM, EBADMSG.
  [[nodiscard]] BarrierState state() const {
    std::error_code ec;
    BarrierState state = this->state(ec);
    detail::check("look at the barrier", name(), {ec.value()});
    return state;
  }
  [[nodiscard]] BarrierState state(std::error_code &ec) const noexcept {
    muster_barrier_state plain{};
    plain.culprit = MUSTER_BARRIER_NOBODY;
    ec = to_error_code(handle_ ? muster_barrier_state_get(handle_.get(), &plain) : EBADF);
    BarrierState state;
    state.parties = plain.parties;
    state.arrived = plain.arrived;
    state.phase = plain.phase;
    state.cause = static_cast<BarrierCause>(plain.cause);
    state.culprit = somebody(plain.culprit);
    state.on_death = static_cast<OnDeath>(plain.on_death);
    state.in_action = plain.in_action != 0;
    return state;
  }

  /// Whether it is broken; how many have arrived and wait; how many have to; the present phase. Of one that is not
  /// open: false and 0.
  [[nodiscard]] bool broken() const noexcept { return handle_ && muster_barrier_broken(handle_.get()); }
  [[nodiscard]] std::uint32_t waiting() const noexcept { return ask(muster_barrier_waiting, 0); }
  [[nodiscard]] std::uint32_t parties() const noexcept { return ask(muster_barrier_parties, 0); }
  [[nodiscard]] std::uint32_t phase() const noexcept { return ask(muster_barrier_phase, 0); }

  /// This handle's place; nothing for an observer. muster_barrier_member.
  [[nodiscard]] std::optional<std::uint32_t> member() const noexcept {
    return somebody(ask(muster_barrier_member, MUSTER_BARRIER_NOBODY));
  }

  /// What is known of a place, and all places in a state: of the barrier's group. muster_group_member.
  /// \throws muster::error: EINVAL (no such place), EBADMSG.
  [[nodiscard]] Member member(std::uint32_t index) const {
    int status = 0;
    Member member = detail::member_of(group(), index, status);
    detail::check("look at a member of the barrier", name(), {status});
    return member;
  }
  [[nodiscard]] MemberSet members(Member::State state) const {
    int status = 0;
    MemberSet set = detail::members_of(group(), state, status);
    detail::check("look at the members of the barrier", name(), {status});
    return set;
  }

  /// The name that it was opened by; empty for one in place, or not open.
  [[nodiscard]] std::string name() const {
    const muster_region *region = handle_ ? muster_barrier_region(handle_.get()) : nullptr;
    return region ? muster_region_name(region) : "";
  }

  /// For the C API (muster_barrier_poll in an event loop); it stays this object's.
  [[nodiscard]] muster_barrier *get() const noexcept { return handle_.get(); }

 private:
  using Handle = std::unique_ptr<muster_barrier, detail::CloseBarrier>;

  struct Outcome {
    int status;
    muster_barrier_result result;
  };

  static std::optional<std::uint32_t> somebody(std::uint32_t member) noexcept {
    return member == MUSTER_BARRIER_NOBODY ? std::nullopt : std::optional(member);
  }

  muster_group *group() const noexcept { return handle_ ? muster_barrier_group(handle_.get()) : nullptr; }

  template <class Function>
  std::uint32_t ask(Function function, std::uint32_t nothing) const noexcept {
    return handle_ ? function(handle_.get()) : nothing;
  }

  // Calls a function whose last parameter is the result. Whichever it is may have run the action, also in the stead of
  // a member that died in it.
  template <class Function, class... Arguments>
  Outcome call(Function function, Arguments... arguments) {
    Outcome outcome{EBADF, {0, UINT32_MAX, 0, MUSTER_BARRIER_NOBODY}};
    if (!handle_) return outcome;
    outcome.status = function(handle_.get(), arguments..., &outcome.result);
    if (const auto &action = handle_.get_deleter().action) detail::rethrow(action->thrown);
    return outcome;
  }

  static BarrierResult result_of(const muster_barrier_result &plain) noexcept {
    BarrierResult result;
    result.phase = plain.phase;
    result.index = plain.index == UINT32_MAX ? std::nullopt : std::optional(plain.index);
    result.serial = plain.serial != 0;
    result.culprit = somebody(plain.culprit);
    return result;
  }

  BarrierResult finish(const char *operation, const Outcome &outcome) const {
    if (outcome.status) fail(operation, outcome);
    return result_of(outcome.result);
  }
  static BarrierResult finish(std::error_code &ec, const Outcome &outcome) noexcept {
    ec = to_error_code(outcome.status);
    return result_of(outcome.result);
  }

  [[noreturn, gnu::cold, gnu::noinline]] void fail(const char *operation, const Outcome &outcome) const {
    detail::Failure failure{outcome.status, outcome.result.culprit, 0, {}};
    int status = 0;
    if (failure.member != MUSTER_BARRIER_NOBODY) {
      failure.pid = detail::member_of(group(), failure.member, status).pid.value_or(0);
    }
    detail::fail(operation, name(), failure);
  }

  int abort_() noexcept { return handle_ ? muster_barrier_abort(handle_.get()) : EBADF; }
  int reset_() noexcept { return handle_ ? muster_barrier_reset(handle_.get()) : EBADF; }

  int shut() noexcept {
    const int status = handle_ ? muster_barrier_close(handle_.get()) : 0;
    if (!status) (void)handle_.release();
    return status;
  }

  // `made` opens or attaches: (const muster_barrier_options *, muster_barrier **).
  template <class Make>
  detail::Failure make(const BarrierOptions &options, Make &&made) {
    detail::Failure failure;
    std::unique_ptr<detail::BarrierAction> action;
    muster_barrier_options plain{};
    plain.parties = options.parties;
    plain.on_death = static_cast<muster_on_death>(options.on_death);
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.mode = options.mode;
    plain.deadline = options.deadline.get();
    plain.observe = options.observe;
    plain.mismatch = &failure.mismatch;
    if (options.action) {
      action = std::make_unique<detail::BarrierAction>(detail::BarrierAction{options.action});
      plain.action = &detail::BarrierAction::call;
      plain.context = action.get();
    }
    muster_barrier *barrier = nullptr;
    failure.status = made(&plain, &barrier);
    if (!failure.status) handle_ = Handle(barrier, detail::CloseBarrier{std::move(action)});
    return failure;
  }

  detail::Failure open(const Name &name, const BarrierOptions &options) {
    return make(options, [&](const muster_barrier_options *plain, muster_barrier **barrier) {
      return muster_barrier_open(name.c_str(), plain, barrier);
    });
  }

  detail::Failure attach_to(void *memory, std::size_t size, const BarrierOptions &options) {
    return make(options, [&](const muster_barrier_options *plain, muster_barrier **barrier) {
      return muster_barrier_attach(memory, size, plain, barrier);
    });
  }

  Handle handle_;
};

}  // namespace muster

#endif
