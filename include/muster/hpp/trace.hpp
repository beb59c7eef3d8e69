// The flight recorder: what each thread did last, there to be read after a crash (trace.h).
//
//   muster::Trace trace("crew", {16, 4096, 64});                   // recorders, events of each, names
//   const std::uint16_t work = trace.name("work");                 // once
//   muster::TraceRecorder mine = trace.join();                     // on the thread that records
//   {
//     muster::TraceScope span(mine, work, job);                    // ends with the block
//     mine.counter(depth, 3);
//   }
//   trace.export_to(STDOUT_FILENO);                                // JSON for Perfetto
//
// Recording is the inline functions of trace.h: nothing throws, and nothing is recorded by what is not open, has left, or
// was forked.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_TRACE_HPP
#define MUSTER_HPP_TRACE_HPP

#include "../trace.h"
#include "deadline.hpp"
#include "error.hpp"
#include "region.hpp"

namespace muster {

/// The clock of a trace: muster_trace_clock.
enum class TraceClock {
  Best = MUSTER_TRACE_CLOCK_BEST,            ///< creating: the counter where it will do
  Counter = MUSTER_TRACE_CLOCK_COUNTER,      ///< the processor's
  Monotonic = MUSTER_TRACE_CLOCK_MONOTONIC,  ///< CLOCK_MONOTONIC
};

/// What a trace is opened with: muster_trace_options. Zeros when attaching: as it is.
struct TraceOptions {
  std::uint32_t recorders = 0;  ///< threads that record at a time, 1 to 256
  std::uint32_t events = 0;     ///< of each the newest so many are kept: a power of two, 16 to 4,194,304
  std::uint32_t names = 0;      ///< different ones, 1 to 4096
  TraceClock clock = TraceClock::Best;
  Flags flags = Flags::Open;
  std::uint32_t permissions = 0;        ///< when created; 0 is 0600
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
};

/// What is known of a trace, and of one of its recorders: muster_trace_state, muster_trace_recorder_info.
using TraceState = muster_trace_state;
using TraceRecorderInfo = muster_trace_recorder_info;

/// An event: muster_trace_event.
using TraceEvent = muster_trace_event;

namespace detail {

inline std::string name_of(const muster_trace *trace) {
  const muster_region *region = trace ? muster_trace_region(trace) : nullptr;
  return region ? muster_region_name(region) : "";
}

}  // namespace detail

/// A thread's recorder, from Trace::join on. Moved, not copied; it is to be used, and to end, on the thread that joined, and before its
/// Trace ends: on another thread, while that one lives, the destructor lets the handle leak.
class TraceRecorder {
 public:
  /// Records nothing.
  TraceRecorder() noexcept = default;

  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// A span of this thread; `id` is what it is about, as a number that you know it by elsewhere. muster_trace_begin, muster_trace_end.
  [[gnu::always_inline]] void begin(std::uint16_t name, std::uint64_t id = 0) noexcept {
    (void)muster_trace_begin(handle_.get(), name, id);
  }
  [[gnu::always_inline]] void end(std::uint16_t name, std::uint64_t id = 0) noexcept {
    (void)muster_trace_end(handle_.get(), name, id);
  }

  /// A whole span as one event, told at its end, which began at now() of before: what a crash cuts off is not told. muster_trace_span.
  [[gnu::always_inline]] void span(std::uint16_t name, std::uint64_t began) noexcept {
    (void)muster_trace_span(handle_.get(), name, began);
  }

  /// Something happened. muster_trace_instant.
  [[gnu::always_inline]] void instant(std::uint16_t name, std::uint64_t id = 0) noexcept {
    (void)muster_trace_instant(handle_.get(), name, id);
  }

  /// What a counter stands at now. muster_trace_counter.
  [[gnu::always_inline]] void counter(std::uint16_t name, std::int64_t value) noexcept {
    (void)muster_trace_counter(handle_.get(), name, value);
  }

  /// Any kind of event, such as the flows. muster_trace_put.
  [[gnu::always_inline]] void put(muster_trace_kind kind, std::uint16_t name, std::uint64_t value) noexcept {
    (void)muster_trace_put(handle_.get(), kind, name, value);
  }

  /// The clock, for span(). muster_trace_now.
  [[nodiscard]] std::uint64_t now() const noexcept { return muster_trace_now(handle_.get()); }

  /// Gives the recorder back; what was recorded stays. Again: nothing. muster_trace_leave.
  /// \throws muster::error: EBUSY on another thread than joined, which lives; it records as before then.
  void leave() { detail::check("leave the trace", "", {give_back()}); }
  void leave(std::error_code &ec) noexcept { ec = to_error_code(give_back()); }

  /// For the C API; it stays this object's.
  [[nodiscard]] muster_trace_recorder *get() const noexcept { return handle_.get(); }

 private:
  friend class Trace;

  struct Leave {
    void operator()(muster_trace_recorder *recorder) const noexcept { (void)muster_trace_leave(recorder); }
  };

  explicit TraceRecorder(muster_trace_recorder *plain) noexcept : handle_(plain) {}

  int give_back() noexcept {
    const int status = muster_trace_leave(handle_.get());
    if (!status) (void)handle_.release();
    return status;
  }

  std::unique_ptr<muster_trace_recorder, Leave> handle_;
};

/// A span that begins here and ends with the block, also by an exception. The recorder stays where it is meanwhile.
class TraceScope {
 public:
  [[gnu::always_inline]] TraceScope(TraceRecorder &recorder, std::uint16_t name, std::uint64_t id = 0) noexcept
      : recorder_(recorder), id_(id), name_(name) {
    recorder_.begin(name, id);
  }
  [[gnu::always_inline]] ~TraceScope() { recorder_.end(name_, id_); }
  TraceScope(const TraceScope &) = delete;
  TraceScope &operator=(const TraceScope &) = delete;

 private:
  TraceRecorder &recorder_;
  std::uint64_t id_;
  std::uint16_t name_;
};

/// What was recorded until it was made, event by event: muster_trace_cursor. It ends before its Trace.
class TraceCursor {
 public:
  /// The next event; nothing where that was all. muster_trace_next.
  [[nodiscard]] std::optional<TraceEvent> next() noexcept {
    TraceEvent event{};
    if (!handle_ || muster_trace_next(handle_.get(), &event)) return std::nullopt;
    return event;
  }

  /// Whose a recorder was when this was made. muster_trace_cursor_recorder.
  /// \throws muster::error: EINVAL (it doesn't read that one).
  [[nodiscard]] TraceRecorderInfo recorder(std::uint32_t index) const {
    TraceRecorderInfo info{};
    const int status = handle_ ? muster_trace_cursor_recorder(handle_.get(), index, &info) : EBADF;
    detail::check("look at a recorder of the trace", "", {status});
    return info;
  }

 private:
  friend class Trace;

  struct Close {
    void operator()(muster_trace_cursor *cursor) const noexcept { muster_trace_cursor_close(cursor); }
  };

  explicit TraceCursor(muster_trace_cursor *plain) noexcept : handle_(plain) {}

  std::unique_ptr<muster_trace_cursor, Close> handle_;
};

/// A handle of a trace: muster_trace. Moved, not copied; any number of threads may join, name, freeze and look by it.
class Trace {
 public:
  /// Not open.
  Trace() noexcept = default;

  /// Creates or attaches; it does not join. muster_trace_open.
  /// \throws muster::error with the values of that function; mismatch() at EPROTO.
  Trace(const Name &name, const TraceOptions &options) { detail::check("open the trace", name.text(), open(name, options)); }
  /// The same; not open where `ec` is set.
  Trace(const Name &name, const TraceOptions &options, std::error_code &ec) { ec = to_error_code(open(name, options).status); }

  /// In place: the bytes that a trace takes, 0 for numbers that can't be, and their alignment. muster_trace_size.
  [[nodiscard]] static std::size_t size(const TraceOptions &options) noexcept {
    const muster_trace_shape shape = shape_of(options);
    return muster_trace_size(&shape);
  }
  static constexpr std::size_t alignment = MUSTER_TRACE_ALIGNMENT;

  /// In place: lays a trace into memory that no one uses as one. muster_trace_init.
  /// \throws muster::error: EINVAL, ENOTSUP.
  static void init(void *memory, std::size_t size, const TraceOptions &options) {
    const muster_trace_shape shape = shape_of(options);
    detail::check("lay out a trace", "", {muster_trace_init(memory, size, &shape)});
  }

  /// In place: a handle for the trace at `memory`, which stays mapped until close; the second form can only look.
  /// muster_trace_attach, muster_trace_attach_read_only.
  /// \throws muster::error: EINVAL, ENOMEM, EBADMSG, EPROTO, ENOTSUP.
  [[nodiscard]] static Trace attach(void *memory, std::size_t size) {
    muster_trace *plain = nullptr;
    detail::check("attach to the trace", "", {muster_trace_attach(memory, size, &plain)});
    return Trace(plain);
  }
  [[nodiscard]] static Trace attach_read_only(const void *memory, std::size_t size) {
    muster_trace *plain = nullptr;
    detail::check("attach to the trace", "", {muster_trace_attach_read_only(memory, size, &plain)});
    return Trace(plain);
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Lets go of it. Again: nothing. muster_trace_close.
  /// \throws muster::error: EBUSY while a recorder of this handle has not left; it is open as before then.
  void close() { check("close the trace", shut()); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// The number of a name, which is found, or added; that of "?" where there is no room. Ask once. muster_trace_name.
  [[nodiscard]] std::uint16_t name(const Name &text) noexcept {
    std::uint16_t name = MUSTER_TRACE_NAME_OTHER;
    (void)call(muster_trace_name, text.c_str(), &name);
    return name;
  }

  /// The text of a name; "?" where there is none of that number. muster_trace_name_text.
  [[nodiscard]] std::string text(std::uint16_t name) const {
    char text[MUSTER_TRACE_NAME_SIZE] = "?";
    (void)call(muster_trace_name_text, name, text);
    return text;
  }

  /// A recorder for the calling thread; the thread's name is its label where none is given. muster_trace_join.
  /// \throws muster::error with the values of that function.
  [[nodiscard]] TraceRecorder join() { return join_as(nullptr); }
  [[nodiscard]] TraceRecorder join(const Name &label) { return join_as(label.c_str()); }

  /// Nobody records from here on, or everybody again; whether that is new. muster_trace_freeze, muster_trace_thaw.
  /// \throws muster::error: EACCES (read-only).
  bool freeze() { return turn("freeze the trace", call(muster_trace_freeze)); }
  bool thaw() { return turn("thaw the trace", call(muster_trace_thaw)); }

  /// Waits until a thread that records dies, freezes the trace, and says which; nothing where somebody else froze it.
  /// muster_trace_watch.
  /// \throws muster::error: ETIMEDOUT, EACCES (read-only), EPERM (inherited over fork).
  std::optional<std::uint32_t> watch(Deadline deadline) {
    std::uint32_t died = UINT32_MAX;
    const int status = call(muster_trace_watch, deadline.get(), &died);
    if (status == EOWNERDEAD) return died;
    if (status != ECANCELED) check("watch the trace", status);
    return std::nullopt;
  }

  /// What is known of it. muster_trace_look, muster_trace_look_recorder.
  /// \throws muster::error: EINVAL (no such recorder).
  [[nodiscard]] TraceState look() const {
    TraceState state{};
    check("look at the trace", call(muster_trace_look, &state));
    return state;
  }
  [[nodiscard]] TraceRecorderInfo recorder(std::uint32_t index) const {
    TraceRecorderInfo info{};
    check("look at a recorder of the trace", call(muster_trace_look_recorder, index, &info));
    return info;
  }

  /// What one recorder, or all in the order of time, have recorded by now. muster_trace_read.
  /// \throws muster::error: EINVAL (no such recorder), ENOMEM.
  [[nodiscard]] TraceCursor read(std::uint32_t recorder = MUSTER_TRACE_ALL) const {
    muster_trace_cursor *plain = nullptr;
    check("read the trace", call(muster_trace_read, recorder, &plain));
    return TraceCursor(plain);
  }

  /// Writes all that is recorded, in the Trace Event Format as JSON. muster_trace_export.
  /// \throws muster::error: those of write(2).
  void export_to(int descriptor) const { check("export the trace", call(muster_trace_export, descriptor)); }

  /// The name that it was opened by; empty for one in place, or not open.
  [[nodiscard]] std::string name() const { return detail::name_of(handle_.get()); }

  /// For the C API; it stays this object's.
  [[nodiscard]] muster_trace *get() const noexcept { return handle_.get(); }

 private:
  struct Close {
    void operator()(muster_trace *trace) const noexcept { (void)muster_trace_close(trace); }
  };

  explicit Trace(muster_trace *plain) noexcept : handle_(plain) {}

  static muster_trace_shape shape_of(const TraceOptions &options) noexcept {
    return {options.recorders, options.events, options.names, static_cast<muster_trace_clock>(options.clock)};
  }

  detail::Failure open(const Name &name, const TraceOptions &options) noexcept {
    detail::Failure failure;
    muster_trace_options plain{};
    plain.shape = shape_of(options);
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.permissions = options.permissions;
    plain.deadline = options.deadline.get();
    plain.mismatch = &failure.mismatch;
    muster_trace *trace = nullptr;
    failure.status = muster_trace_open(name.c_str(), &plain, &trace);
    if (!failure.status) handle_.reset(trace);
    return failure;
  }

  TraceRecorder join_as(const char *label) {
    muster_trace_recorder *plain = nullptr;
    check("join the trace", call(muster_trace_join, label, &plain));
    return TraceRecorder(plain);
  }

  bool turn(const char *operation, int status) const {
    if (status == EALREADY) return false;
    check(operation, status);
    return true;
  }

  template <class Function, class... Arguments>
  int call(Function function, Arguments... arguments) const noexcept {
    return handle_ ? function(handle_.get(), arguments...) : EBADF;
  }

  void check(const char *operation, int status) const {
    if (status) detail::fail(operation, name(), {status});
  }

  int shut() noexcept {
    const int status = handle_ ? muster_trace_close(handle_.get()) : 0;
    if (!status) (void)handle_.release();
    return status;
  }

  std::unique_ptr<muster_trace, Close> handle_;
};

}  // namespace muster

#endif
