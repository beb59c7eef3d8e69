// The queue: jobs from many processes to many, each taken by exactly one; a job comes back when the one who took it dies (queue.h).
//
//   muster::JobQueue queue("thumbnails", options);
//   queue.join();                                                  // on the thread whose life counts
//   queue.put(path, 5s);                                           // one side
//
//   while (std::optional<muster::Job> job = queue.take(muster::Deadline::never())) {
//     make_thumbnail(job->text());                                 // an exception puts it back, as failed
//     job->done();
//   }                                                              // finished: there is no more work, and will be none
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_QUEUE_HPP
#define MUSTER_HPP_QUEUE_HPP

#include <cstring>
#include <type_traits>
#include <vector>

#include "../queue.h"
#include "deadline.hpp"
#include "error.hpp"
#include "group.hpp"
#include "region.hpp"

namespace muster {

/// What a queue is opened with: muster_queue_options. Zeros when attaching: as it is.
struct JobQueueOptions {
  std::uint32_t job_size = 0;  ///< the bytes that a job has at most
  std::uint32_t jobs = 0;      ///< that there are at a time: queued, taken, set aside
  std::uint32_t levels = 0;    ///< 1 to 16, of which 0 is served first; 0: one
  std::uint32_t members = 0;   ///< places for who puts and takes
  std::uint32_t attempts = 0;  ///< after so many failures a job is set aside; 0: never
  bool times = false;          ///< each job notes when it was put, which costs a look at the clock
  Flags flags = Flags::Open;
  std::uint32_t permissions = 0;        ///< when created; 0 is 0600
  std::uint64_t layout = 0;             ///< what the jobs mean; when attaching, 0: any
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
};

/// What became of a job that goes back: muster_queue_outcome.
enum class JobOutcome {
  Failed = MUSTER_QUEUE_FAILED,      ///< queued again, or set aside if it was the last attempt
  Untried = MUSTER_QUEUE_UNTRIED,    ///< queued again, and not counted
  Hopeless = MUSTER_QUEUE_HOPELESS,  ///< set aside now
};

/// What is known of a queue: muster_queue_state.
using JobQueueState = muster_queue_state;

/// A job as it was at one moment, with a copy of its bytes: muster_queue_entry.
struct JobEntry : muster_queue_entry {
  JobEntry() noexcept : muster_queue_entry{} {}
  std::string bytes{};
};

namespace detail {

inline std::string name_of(const muster_queue *queue) {
  const muster_region *region = queue ? muster_queue_region(queue) : nullptr;
  return region ? muster_region_name(region) : "";
}

}  // namespace detail

/// A job in this member's hands, taken to be done. Moved, not copied. The destructor puts it back as failed, if nothing was said of it. It
/// ends before its queue does, which may be moved meanwhile.
class Job {
 public:
  /// No job. What is to be said of one fails with EBADF.
  Job() noexcept = default;
  Job(Job &&other) noexcept { swap(other); }
  Job &operator=(Job &&other) noexcept {
    Job taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~Job() {
    if (queue_) (void)muster_queue_put_back(queue_, plain_.id, MUSTER_QUEUE_FAILED);
  }

  [[nodiscard]] explicit operator bool() const noexcept { return queue_ != nullptr; }

  /// Where it lies, aligned to 16, while it is in these hands.
  [[nodiscard]] const void *data() const noexcept { return plain_.bytes; }
  [[nodiscard]] std::size_t size() const noexcept { return plain_.size; }
  [[nodiscard]] std::string_view text() const noexcept { return {static_cast<const char *>(plain_.bytes), plain_.size}; }

  /// A copy as a value; nothing where it is of another size.
  template <class Value>
  [[nodiscard]] std::optional<Value> as() const noexcept {
    static_assert(std::is_trivially_copyable_v<Value> && std::is_default_constructible_v<Value>);
    if (plain_.size != sizeof(Value)) return std::nullopt;
    Value value;
    std::memcpy(&value, plain_.bytes, sizeof value);
    return value;
  }

  [[nodiscard]] std::uint64_t id() const noexcept { return plain_.id; }
  [[nodiscard]] std::uint32_t level() const noexcept { return plain_.level; }

  /// How often it has failed before this.
  [[nodiscard]] std::uint32_t attempts() const noexcept { return plain_.attempts; }

  /// It is done, and gone. muster_queue_done.
  /// \throws muster::error: EPERM, ESTALE, EBUSY. There is no job here afterwards, in any case.
  void done() { end("finish a job of the queue", [](auto *queue, auto id) { return muster_queue_done(queue, id); }); }

  /// It is not done: queued again, or set aside. muster_queue_put_back.
  /// \throws muster::error: EPERM, ESTALE, EBUSY. There is no job here afterwards, in any case.
  void put_back(JobOutcome outcome = JobOutcome::Failed) {
    end("put a job back into the queue",
        [=](auto *queue, auto id) { return muster_queue_put_back(queue, id, static_cast<muster_queue_outcome>(outcome)); });
  }

 private:
  friend class JobQueue;

  Job(muster_queue *queue, const muster_queue_job &plain) noexcept : queue_(queue), plain_(plain) {}

  template <class Function>
  void end(const char *operation, Function function) {
    muster_queue *queue = queue_;
    const int status = queue ? function(queue, plain_.id) : EBADF;
    queue_ = nullptr, plain_ = {};
    if (status) detail::fail(operation, detail::name_of(queue), {status});
  }

  void swap(Job &other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(plain_, other.plain_);
  }

  muster_queue *queue_ = nullptr;
  muster_queue_job plain_{};
};

/// A job that is being written in place. Moved, not copied. The destructor cancels it, if it was not committed. It ends before its queue.
class JobDraft {
 public:
  JobDraft(JobDraft &&other) noexcept : queue_(std::exchange(other.queue_, nullptr)), plain_(other.plain_) {}
  JobDraft &operator=(JobDraft &&) = delete;
  ~JobDraft() {
    if (queue_) (void)muster_queue_cancel(queue_, plain_.id);
  }

  /// Where to write, aligned to 16; null once it was committed.
  [[nodiscard]] void *data() const noexcept { return queue_ ? plain_.bytes : nullptr; }

  /// The bytes that it may have.
  [[nodiscard]] std::size_t size() const noexcept { return plain_.size; }

  /// Queues it with so many bytes. muster_queue_commit.
  /// \throws muster::error: EMSGSIZE, EINVAL (no such level): it is a draft as before; EPERM, EBADMSG.
  void commit(std::size_t size, std::uint32_t level = 0) {
    const int status = queue_ ? muster_queue_commit(queue_, plain_.id, size, level) : EBADF;
    if (status) detail::fail("commit a job to the queue", detail::name_of(queue_), {status});
    queue_ = nullptr;
  }

 private:
  friend class JobQueue;

  JobDraft(muster_queue *queue, const muster_queue_job &plain) noexcept : queue_(queue), plain_(plain) {}

  muster_queue *queue_;
  muster_queue_job plain_;
};

/// A handle of a queue: muster_queue. Moved, not copied. Any number of threads may put and take by it; one alone joins, leaves and closes
/// it, when nobody else uses it.
///
/// Membership belongs to the thread that joined. The destructor leaves, which puts what was taken back, and lets go; on another thread,
/// while the one that joined lives, it can't, and the membership lasts until that thread ends.
class JobQueue {
 public:
  /// Not open.
  JobQueue() noexcept = default;

  /// Creates or attaches; it does not join. muster_queue_open.
  /// \throws muster::error with the values of that function; mismatch() at EPROTO.
  JobQueue(const Name &name, const JobQueueOptions &options) {
    detail::check("open the queue", name.text(), open(name, options));
  }
  /// The same; not open where `ec` is set.
  JobQueue(const Name &name, const JobQueueOptions &options, std::error_code &ec) {
    ec = to_error_code(open(name, options).status);
  }

  /// In place: the bytes that a queue takes, 0 for numbers that can't be, and their alignment. muster_queue_size.
  [[nodiscard]] static std::size_t size(const JobQueueOptions &options) noexcept {
    const muster_queue_options plain = plain_of(options);
    return muster_queue_size(&plain);
  }
  static constexpr std::size_t alignment = MUSTER_QUEUE_ALIGNMENT;

  /// In place: lays a queue into memory that no one uses as one. muster_queue_init.
  /// \throws muster::error: EINVAL, ENOTSUP.
  static void init(void *memory, std::size_t size, const JobQueueOptions &options) {
    const muster_queue_options plain = plain_of(options);
    detail::check("lay out a queue", "", {muster_queue_init(memory, size, &plain)});
  }

  /// In place: a handle for the queue at `memory`, which stays mapped and writable until close. muster_queue_attach.
  /// \throws muster::error: EINVAL, ENOMEM, EBADMSG, EPROTO, ENOTSUP.
  [[nodiscard]] static JobQueue attach(void *memory, std::size_t size) {
    muster_queue *plain = nullptr;
    detail::check("attach to the queue", "", {muster_queue_attach(memory, size, &plain)});
    JobQueue queue;
    queue.handle_.reset(plain);
    return queue;
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Leaves, if joined, and lets go. Again: nothing. Its jobs must have ended. muster_queue_close.
  /// \throws muster::error: EBUSY on another thread than joined, which lives; it is open as before then.
  void close() { check("close the queue", shut()); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// Becomes a member, on the calling thread, and says in which place. muster_queue_join.
  /// \throws muster::error with the values of that function.
  std::uint32_t join() {
    std::uint32_t member = UINT32_MAX;
    check("join the queue", call(muster_queue_join, &member));
    return member;
  }
  std::uint32_t join(std::error_code &ec) noexcept {
    std::uint32_t member = UINT32_MAX;
    ec = to_error_code(call(muster_queue_join, &member));
    return member;
  }

  /// Leaves: what this member has taken goes back, as failed. muster_queue_leave.
  /// \throws muster::error: EINVAL (not joined), EBUSY (another thread joined), EPERM.
  void leave() { check("leave the queue", call(muster_queue_leave)); }
  void leave(std::error_code &ec) noexcept { ec = to_error_code(call(muster_queue_leave)); }

  /// Puts a copy of these bytes, waiting for room until the deadline: from then on the job outlives this process. muster_queue_put_wait.
  /// \throws muster::error: ETIMEDOUT, EPIPE (finished), EMSGSIZE, EINVAL (no such level), EPERM (not joined), EBADMSG.
  void put_bytes(const void *bytes, std::size_t size, Deadline deadline, std::uint32_t level = 0) {
    check("put a job into the queue", call(muster_queue_put_wait, bytes, size, level, deadline.get()));
  }
  void put(std::string_view text, Deadline deadline, std::uint32_t level = 0) {
    put_bytes(text.data(), text.size(), deadline, level);
  }

  /// The same, unless there is no room; says whether. muster_queue_put.
  /// \throws muster::error as put does, but ETIMEDOUT.
  [[nodiscard]] bool try_put_bytes(const void *bytes, std::size_t size, std::uint32_t level = 0) {
    const int status = call(muster_queue_put, bytes, size, level);
    if (status != ENOSPC) check("put a job into the queue", status);
    return !status;
  }
  [[nodiscard]] bool try_put(std::string_view text, std::uint32_t level = 0) {
    return try_put_bytes(text.data(), text.size(), level);
  }

  /// The same with a value that is copied byte for byte.
  template <class Value>
  void put_value(const Value &value, Deadline deadline, std::uint32_t level = 0) {
    static_assert(std::is_trivially_copyable_v<Value> && !std::is_pointer_v<Value>,
                  "A value is copied byte for byte, between processes.");
    static_assert(!std::is_convertible_v<const Value &, std::string_view>, "Text goes by put().");
    put_bytes(&value, sizeof value, deadline, level);
  }

  /// A job to be written in place, waiting for room until the deadline. muster_queue_claim_wait.
  /// \throws muster::error: ETIMEDOUT, EPIPE (finished), EPERM (not joined), EBADMSG.
  [[nodiscard]] JobDraft claim(Deadline deadline) {
    muster_queue_job plain{};
    check("claim a job of the queue", call(muster_queue_claim_wait, deadline.get(), &plain));
    return JobDraft(handle_.get(), plain);
  }

  /// Takes the next job, waiting for one until the deadline; nothing once the queue is finished and all is done.
  /// muster_queue_take_wait.
  /// \throws muster::error: ETIMEDOUT, EPERM (not joined), EBADMSG (the job that was next is corrupt: it is set aside).
  [[nodiscard]] std::optional<Job> take(Deadline deadline) {
    muster_queue_job plain{};
    return taken(call(muster_queue_take_wait, deadline.get(), &plain), ENODATA, plain);
  }

  /// Takes the next job; nothing where none is queued by now. muster_queue_take.
  /// \throws muster::error: EPERM (not joined), EBADMSG.
  [[nodiscard]] std::optional<Job> try_take() {
    muster_queue_job plain{};
    int status = call(muster_queue_take, &plain);
    return taken(status == ENODATA ? EAGAIN : status, EAGAIN, plain);
  }

  /// Nothing new may be put from here on; and the other way round. muster_queue_finish, muster_queue_reopen.
  /// \throws muster::error: EPERM (not joined).
  void finish() { check("finish the queue", call(muster_queue_finish)); }
  void reopen() { check("reopen the queue", call(muster_queue_reopen)); }

  /// A job that was set aside, by its id: queued again with no attempts, or gone. muster_queue_retry, muster_queue_drop.
  /// \throws muster::error: EPERM, EINVAL, ESTALE (not there any more), EBUSY (not set aside), EPIPE (retry: finished).
  void retry(std::uint64_t id) { check("retry a job of the queue", call(muster_queue_retry, id)); }
  void drop(std::uint64_t id) { check("drop a job of the queue", call(muster_queue_drop, id)); }

  /// Settles what the dead left; how many jobs. Who takes, puts or waits does so by himself. muster_queue_reclaim.
  /// \throws muster::error: EPERM, EAGAIN.
  std::uint32_t reclaim() {
    std::uint32_t count = 0;
    check("reclaim jobs of the queue", call(muster_queue_reclaim, &count));
    return count;
  }

  /// The jobs whose use is among `uses` (a sum of muster_queue_use), in no order, with their bytes. muster_queue_next.
  /// \throws muster::error: EPERM (inherited over fork).
  [[nodiscard]] std::vector<JobEntry> jobs(std::uint32_t uses = MUSTER_QUEUE_ANY) const {
    std::vector<JobEntry> found;
    std::string bytes(handle_ ? muster_queue_job_size(handle_.get()) : 0, '\0');
    std::uint32_t cursor = 0;
    JobEntry entry;
    int status;
    while (!(status = call(muster_queue_next, uses, &cursor, static_cast<muster_queue_entry *>(&entry), bytes.data(), bytes.size()))) {
      entry.bytes.assign(bytes, 0, entry.size);
      found.push_back(entry);
    }
    if (status != ENOENT) check("list the jobs of the queue", status);
    return found;
  }

  /// What is known of it. Goes over all jobs. muster_queue_look.
  /// \throws muster::error: EPERM.
  [[nodiscard]] JobQueueState look() const {
    JobQueueState state{};
    check("look at the queue", call(muster_queue_look, &state));
    return state;
  }

  /// The place of this member, where it has joined.
  [[nodiscard]] std::optional<std::uint32_t> member() const noexcept {
    const std::uint32_t member = handle_ ? muster_queue_member(handle_.get()) : UINT32_MAX;
    return member == UINT32_MAX ? std::nullopt : std::optional(member);
  }

  /// The name that it was opened by; empty for one in place, or not open.
  [[nodiscard]] std::string name() const { return detail::name_of(handle_.get()); }

  /// For the C API (the poll functions of event loops); it stays this object's.
  [[nodiscard]] muster_queue *get() const noexcept { return handle_.get(); }

 private:
  struct Close {
    void operator()(muster_queue *queue) const noexcept { (void)muster_queue_close(queue); }
  };

  static muster_queue_options plain_of(const JobQueueOptions &options) noexcept {
    muster_queue_options plain{};
    plain.job_size = options.job_size;
    plain.jobs = options.jobs;
    plain.levels = options.levels;
    plain.members = options.members;
    plain.attempts = options.attempts;
    plain.times = options.times;
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.permissions = options.permissions;
    plain.layout = options.layout;
    plain.deadline = options.deadline.get();
    return plain;
  }

  detail::Failure open(const Name &name, const JobQueueOptions &options) noexcept {
    detail::Failure failure;
    muster_queue_options plain = plain_of(options);
    plain.mismatch = &failure.mismatch;
    muster_queue *queue = nullptr;
    failure.status = muster_queue_open(name.c_str(), &plain, &queue);
    if (!failure.status) handle_.reset(queue);
    return failure;
  }

  std::optional<Job> taken(int status, int none, const muster_queue_job &plain) const {
    if (status == none) return std::nullopt;
    check("take a job of the queue", status);
    return Job(handle_.get(), plain);
  }

  template <class Function, class... Arguments>
  int call(Function function, Arguments... arguments) const noexcept {
    return handle_ ? function(handle_.get(), arguments...) : EBADF;
  }

  void check(const char *operation, int status) const {
    if (status) detail::fail(operation, name(), {status});
  }

  int shut() noexcept {
    const int status = handle_ ? muster_queue_close(handle_.get()) : 0;
    if (!status) (void)handle_.release();
    return status;
  }

  std::unique_ptr<muster_queue, Close> handle_;
};

}  // namespace muster

#endif
