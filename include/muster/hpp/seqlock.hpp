// Counters that one process writes and any number read, as one snapshot, without waiting (seqlock.h).
//
//   muster::Seqlock counters("load", 2);                           // the one writer
//   counters.claim();
//   counters.write({requests, errors});
//   counters.add(0, 1);
//
//   muster::SeqlockOptions options;                                // a reader, which stores nothing in the region
//   options.flags = muster::Flags::Attach | muster::Flags::ReadOnly;
//   muster::Seqlock counters("load", options);
//   auto now = counters.read<2>();                                 // now.words[0], now.words[1], now.sequence
//   counters.wait(now.sequence, 5s);
//
// Reads and writes are the inline functions of seqlock.h: no call, no lock, no allocation. What throws is out of line.
// The wrappers are always_inline: left to themselves, compilers find that a function which may throw is too large.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_SEQLOCK_HPP
#define MUSTER_HPP_SEQLOCK_HPP

#include <array>
#include <initializer_list>
#include <vector>

#include "../seqlock.h"
#include "deadline.hpp"
#include "error.hpp"
#include "region.hpp"

namespace muster {

/// What a seqlock is opened with: muster_seqlock_options.
struct SeqlockOptions {
  std::uint32_t words = 0;  ///< 1 to 4096; when attaching, 0: as it is
  Flags flags = Flags::Open;
  std::uint32_t mode = 0;                ///< permissions when created; 0 is 0600
  std::uint64_t layout = 0;             ///< what the words mean, as a number of yours; 0 when attaching: any
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
  std::vector<std::string> labels{};    ///< names of the words, at most 31 bytes each, without a zero; kept when creating
};

/// `N` words as one write left them, and the number of that write (0: none yet).
template <std::size_t N>
struct Snapshot {
  std::array<std::uint64_t, N> words{};
  std::uint64_t sequence = 0;
};

/// What a claimant found: muster_seqlock_claimant.
struct SeqlockClaim {
  std::uint64_t sequence = 0;        ///< of the newest whole value
  bool died = false;                 ///< the writer before ended without releasing its claim
  std::optional<std::int32_t> pid{};  ///< its process then, where it is known
};

/// Who has the claim, or had it and died.
struct SeqlockWriter {
  std::optional<std::int32_t> pid{};  ///< where it is known
  bool alive = false;
};

namespace detail {

// What an object that is not open reads and writes: no words, no claim. So the fast paths need not ask.
inline constexpr std::uint64_t seqlock_nothing[MUSTER_SEQLOCK_COPIES + 1] = {};
inline constexpr muster_seqlock_reader seqlock_no_reader = {seqlock_nothing, 0, 0};
inline muster_seqlock_writer seqlock_no_writer = {nullptr, nullptr, nullptr, seqlock_nothing, 1, 0, 0, 0, 0, 0};

[[noreturn, gnu::cold, gnu::noinline]] inline void seqlock_fail(const char *operation, const muster_seqlock *seqlock,
                                                                int status) {
  const muster_region *region = seqlock ? muster_seqlock_region(seqlock) : nullptr;
  fail(operation, region ? muster_region_name(region) : "", {seqlock ? status : EBADF, UINT32_MAX, 0, {}});
}

}  // namespace detail

/// A view that reads, of an open Seqlock: small, copied, and best kept in a local variable by a loop that reads a lot,
/// where it stays in registers. For any number of threads. It ends with the Seqlock.
class SeqlockReader {
 public:
  /// Reads the first `N` words, or from `first` on, as one snapshot. muster_seqlock_snapshot.
  /// \throws muster::error: EINVAL (there are fewer), EAGAIN (the writer passed it again and again), EBADMSG.
  template <std::size_t N>
  [[nodiscard, gnu::always_inline]] Snapshot<N> read(std::uint32_t first = 0) const {
    Snapshot<N> snapshot;
    snapshot.sequence = read(snapshot.words.data(), N, first);
    return snapshot;
  }

  /// The same into `count` words of the caller's; returns the sequence.
  [[gnu::always_inline]] std::uint64_t read(std::uint64_t *words, std::size_t count, std::uint32_t first = 0) const {
    std::uint64_t sequence = 0;
    const int status = get(words, count, first, sequence);
    if (__builtin_expect(status != 0, 0)) detail::seqlock_fail("read the counters", handle_, status);
    return sequence;
  }
  [[gnu::always_inline]] std::uint64_t read(std::uint64_t *words, std::size_t count,
                                            std::error_code &ec) const noexcept {
    std::uint64_t sequence = 0;
    ec = to_error_code(get(words, count, 0, sequence));
    return sequence;
  }

  /// One word.
  [[nodiscard, gnu::always_inline]] std::uint64_t operator[](std::uint32_t index) const {
    std::uint64_t word = 0;
    read(&word, 1, index);
    return word;
  }

  /// How many there are.
  [[nodiscard]] std::uint32_t words() const noexcept { return view_.words; }

 private:
  friend class Seqlock;
  SeqlockReader() noexcept = default;
  explicit SeqlockReader(const muster_seqlock *handle) noexcept
      : view_(*muster_seqlock_reader_of(handle)), handle_(handle) {}

  [[gnu::always_inline]] int get(std::uint64_t *words, std::size_t count, std::uint32_t first,
                                 std::uint64_t &sequence) const noexcept {
    if (count > MUSTER_SEQLOCK_WORDS_MAX) return EINVAL;
    return muster_seqlock_snapshot(&view_, first, static_cast<std::uint32_t>(count), words, &sequence);
  }

  muster_seqlock_reader view_ = detail::seqlock_no_reader;
  const muster_seqlock *handle_ = nullptr;  // for its name, when something is wrong
};

/// A handle of a seqlock: muster_seqlock. Moved, not copied. By one handle any number of threads may read and ask at
/// the same time; to claim, release and write is for one at a time.
///
/// A claim belongs to the thread that took it. The destructor gives it back and lets go; on another thread, while the
/// one that claimed lives, it can't, and the claim lasts until that thread ends.
class Seqlock {
 public:
  /// Not open.
  Seqlock() noexcept = default;

  /// Creates or attaches; it does not claim. muster_seqlock_open.
  /// \throws muster::error with the values of that function; mismatch() at EPROTO.
  Seqlock(const Name &name, const SeqlockOptions &options) {
    detail::check("open the counters", name.text(), open(name, options));
  }
  /// So many words.
  Seqlock(const Name &name, std::uint32_t words) : Seqlock(name, SeqlockOptions{words}) {}
  /// The same; not open where `ec` is set.
  Seqlock(const Name &name, const SeqlockOptions &options, std::error_code &ec) {
    ec = to_error_code(open(name, options).status);
  }

  Seqlock(Seqlock &&other) noexcept { swap(other); }
  Seqlock &operator=(Seqlock &&other) noexcept {
    Seqlock taken(std::move(other));
    swap(taken);
    return *this;
  }

  /// In place: the bytes that a seqlock of `words` takes, and their alignment. muster_seqlock_size.
  [[nodiscard]] static std::size_t size(std::uint32_t words) noexcept { return muster_seqlock_size(words); }
  static constexpr std::size_t alignment = MUSTER_SEQLOCK_ALIGNMENT;

  /// In place: lays a seqlock into memory, all words 0. muster_seqlock_init.
  /// \throws muster::error: EINVAL, ENOTSUP.
  static void init(void *memory, std::size_t size, std::uint32_t words) {
    detail::check("lay out counters", "", {muster_seqlock_init(memory, size, words)});
  }

  /// In place: a handle for the seqlock at `memory`, which stays mapped until close. The second can't claim, and stores
  /// nothing there. muster_seqlock_attach, muster_seqlock_attach_read_only.
  /// \throws muster::error: EINVAL, ENOMEM, EBADMSG, EPROTO, ENOTSUP.
  [[nodiscard]] static Seqlock attach(void *memory, std::size_t size) {
    muster_seqlock *plain = nullptr;
    detail::check("attach to the counters", "", {muster_seqlock_attach(memory, size, &plain)});
    return Seqlock(plain);
  }
  [[nodiscard]] static Seqlock attach_read_only(const void *memory, std::size_t size) {
    muster_seqlock *plain = nullptr;
    detail::check("attach to the counters", "", {muster_seqlock_attach_read_only(memory, size, &plain)});
    return Seqlock(plain);
  }

  /// Whether it is open. All below but close() is for one that is: EBADF else, and from the error_code forms of reads
  /// and writes EINVAL and EPERM.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Gives the claim back, if there is one, and lets go. Again: nothing. muster_seqlock_close.
  /// \throws muster::error: EBUSY on another thread than claimed, which lives; it is open as before then.
  void close() { check("close the counters", shut()); }
  void close(std::error_code &ec) noexcept { ec = to_error_code(shut()); }

  /// A view for loops that read a lot.
  [[nodiscard]] SeqlockReader reader() const noexcept { return reader_; }

  /// Reads the first `N` words, or from `first` on, as one snapshot. No lock, no system call, no store to the region.
  /// \throws muster::error: EINVAL (there are fewer), EAGAIN (the writer passed it again and again), EBADMSG.
  template <std::size_t N>
  [[nodiscard, gnu::always_inline]] Snapshot<N> read(std::uint32_t first = 0) const {
    return reader_.read<N>(first);
  }

  /// The same into `count` words of the caller's; returns the sequence.
  [[gnu::always_inline]] std::uint64_t read(std::uint64_t *words, std::size_t count, std::uint32_t first = 0) const {
    return reader_.read(words, count, first);
  }
  [[gnu::always_inline]] std::uint64_t read(std::uint64_t *words, std::size_t count,
                                            std::error_code &ec) const noexcept {
    return reader_.read(words, count, ec);
  }

  /// One word.
  [[nodiscard, gnu::always_inline]] std::uint64_t operator[](std::uint32_t index) const { return reader_[index]; }

  /// The number of the newest write. One load.
  [[nodiscard]] std::uint64_t sequence() const noexcept {
    return __atomic_load_n(reader_.view_.latest, __ATOMIC_ACQUIRE);
  }

  /// How many words there are.
  [[nodiscard]] std::uint32_t words() const noexcept { return reader_.words(); }

  /// Becomes the writer, on the calling thread, until that ends or releases; tells of a predecessor that died.
  /// muster_seqlock_claim.
  /// \throws muster::error: EBUSY with the pid() of the living writer, EALREADY, EACCES (read-only), EPROTO, ENOLCK...
  SeqlockClaim claim() {
    muster_seqlock_claimant found{};
    const int status = call(muster_seqlock_claim, &found);
    if (status) detail::fail("claim the counters", name(), {status, UINT32_MAX, found.pid, {}});
    return claim_of(found);
  }
  SeqlockClaim claim(std::error_code &ec) noexcept {
    muster_seqlock_claimant found{};
    ec = to_error_code(call(muster_seqlock_claim, &found));
    return claim_of(found);
  }

  /// The same; nothing where a living writer has it.
  [[nodiscard]] std::optional<SeqlockClaim> try_claim() {
    muster_seqlock_claimant found{};
    const int status = call(muster_seqlock_claim, &found);
    if (status == EBUSY) return std::nullopt;
    check("claim the counters", status);
    return claim_of(found);
  }

  /// Gives the claim back. muster_seqlock_release.
  /// \throws muster::error: EINVAL (not claimed), EBUSY (another thread claimed), EPERM.
  void release() { check("release the counters", call(muster_seqlock_release)); }
  void release(std::error_code &ec) noexcept { ec = to_error_code(call(muster_seqlock_release)); }

  /// Publishes the first words, the others as they are, as one snapshot. muster_seqlock_publish.
  /// \throws muster::error: EPERM (not claimed by this handle in this process), EINVAL (there are fewer).
  [[gnu::always_inline]] void write(std::initializer_list<std::uint64_t> words) { write(words.begin(), words.size()); }
  template <std::size_t N>
  [[gnu::always_inline]] void write(const std::array<std::uint64_t, N> &words) {
    write(words.data(), N);
  }
  [[gnu::always_inline]] void write(const std::uint64_t *words, std::size_t count) { wrote(put(words, count)); }
  [[gnu::always_inline]] void write(const std::uint64_t *words, std::size_t count, std::error_code &ec) noexcept {
    ec = to_error_code(put(words, count));
  }

  /// Publishes one word; or one with something added, modulo 2^64. muster_seqlock_publish_word, _publish_sum.
  /// \throws muster::error: EPERM, EINVAL, as write does.
  [[gnu::always_inline]] void set(std::uint32_t index, std::uint64_t value) {
    wrote(muster_seqlock_publish_word(writer_, index, value));
  }
  [[gnu::always_inline]] void add(std::uint32_t index, std::uint64_t delta) {
    wrote(muster_seqlock_publish_sum(writer_, index, delta));
  }
  [[gnu::always_inline]] void set(std::uint32_t index, std::uint64_t value, std::error_code &ec) noexcept {
    ec = to_error_code(muster_seqlock_publish_word(writer_, index, value));
  }
  [[gnu::always_inline]] void add(std::uint32_t index, std::uint64_t delta, std::error_code &ec) noexcept {
    ec = to_error_code(muster_seqlock_publish_sum(writer_, index, delta));
  }

  /// Waits until the sequence is another than `seen`, and returns it. muster_seqlock_wait.
  /// \throws muster::error: ETIMEDOUT; EOWNERDEAD with pid(): the writer died, and nothing newer is there; EPERM,
  /// EBADMSG.
  std::uint64_t wait(std::uint64_t seen, Deadline deadline) {
    std::error_code ec;
    const std::uint64_t newest = wait(seen, deadline, ec);
    if (ec) fail_waiting("wait for a change of the counters", ec.value());
    return newest;
  }
  std::uint64_t wait(std::uint64_t seen, Deadline deadline, std::error_code &ec) noexcept {
    std::uint64_t newest = 0;
    ec = to_error_code(call(muster_seqlock_wait, seen, deadline.get(), &newest));
    return newest;
  }

  /// Waits until a living writer has the claim. muster_seqlock_wait_writer.
  /// \throws muster::error: ETIMEDOUT, EPERM, EBADMSG.
  void wait_writer(Deadline deadline) {
    check("wait for a writer of the counters", call(muster_seqlock_wait_writer, deadline.get()));
  }
  void wait_writer(Deadline deadline, std::error_code &ec) noexcept {
    ec = to_error_code(call(muster_seqlock_wait_writer, deadline.get()));
  }

  /// Who has the claim, or died having it; nothing where nobody has. muster_seqlock_writer_pid.
  /// \throws muster::error: EPERM.
  [[nodiscard]] std::optional<SeqlockWriter> writer() const {
    std::int32_t pid = 0;
    const int status = handle_ ? muster_seqlock_writer_pid(handle_.get(), &pid) : EBADF;
    if (status == ENOENT) return std::nullopt;
    if (status != EOWNERDEAD) check("look for the writer of the counters", status);
    return SeqlockWriter{pid ? std::optional(pid) : std::nullopt, status == 0};
  }

  /// The name of a word, "" where it has none. muster_seqlock_label.
  /// \throws muster::error: EINVAL (no such word).
  [[nodiscard]] std::string label(std::uint32_t index) const {
    char text[MUSTER_SEQLOCK_LABEL_SIZE] = "";
    check("look up a label of the counters", handle_ ? muster_seqlock_label(handle_.get(), index, text) : EBADF);
    return text;
  }

  /// The first word of that name, where there is one. muster_seqlock_find.
  [[nodiscard]] std::optional<std::uint32_t> find(const Name &label) const noexcept {
    std::uint32_t index = 0;
    if (!handle_ || muster_seqlock_find(handle_.get(), label.c_str(), &index)) return std::nullopt;
    return index;
  }

  /// What the words mean, as a number of whoever created it. muster_seqlock_layout.
  [[nodiscard]] std::uint64_t layout() const noexcept { return handle_ ? muster_seqlock_layout(handle_.get()) : 0; }

  /// The name that it was opened by; empty for one in place, or not open.
  [[nodiscard]] std::string name() const {
    const muster_region *region = handle_ ? muster_seqlock_region(handle_.get()) : nullptr;
    return region ? muster_region_name(region) : "";
  }

  /// For the C API (muster_seqlock_poll in an event loop); it stays this object's.
  [[nodiscard]] muster_seqlock *get() const noexcept { return handle_.get(); }

 private:
  struct Close {
    void operator()(muster_seqlock *seqlock) const noexcept { (void)muster_seqlock_close(seqlock); }
  };

  explicit Seqlock(muster_seqlock *plain) noexcept { take(plain); }

  void take(muster_seqlock *plain) noexcept {
    handle_.reset(plain);
    reader_ = SeqlockReader(plain);
    writer_ = muster_seqlock_writer_of(plain);
  }

  void swap(Seqlock &other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(reader_, other.reader_);
    std::swap(writer_, other.writer_);
  }

  detail::Failure open(const Name &name, const SeqlockOptions &options) {
    detail::Failure failure;
    std::vector<const char *> labels;
    for (const std::string &label : options.labels) {
      // C would take the zero for its end, and so for another label.
      if (label.find('\0') != std::string::npos) return {EINVAL};
      labels.push_back(label.c_str());
    }
    muster_seqlock_options plain{};
    plain.words = options.words;
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.mode = options.mode;
    plain.label_count = static_cast<std::uint32_t>(labels.size());
    plain.labels = labels.empty() ? nullptr : labels.data();
    plain.layout = options.layout;
    plain.deadline = options.deadline.get();
    plain.mismatch = &failure.mismatch;
    muster_seqlock *seqlock = nullptr;
    failure.status = muster_seqlock_open(name.c_str(), &plain, &seqlock);
    if (!failure.status) take(seqlock);
    return failure;
  }

  template <class Function, class... Arguments>
  int call(Function function, Arguments... arguments) noexcept {
    return handle_ ? function(handle_.get(), arguments...) : EBADF;
  }

  [[gnu::always_inline]] int put(const std::uint64_t *words, std::size_t count) noexcept {
    if (count > MUSTER_SEQLOCK_WORDS_MAX) return EINVAL;
    return muster_seqlock_publish(writer_, 0, static_cast<std::uint32_t>(count), words);
  }

  [[gnu::always_inline]] void wrote(int status) const {
    if (__builtin_expect(status != 0, 0)) detail::seqlock_fail("write the counters", handle_.get(), status);
  }

  void check(const char *operation, int status) const {
    if (status) detail::fail(operation, name(), {status});
  }

  [[noreturn, gnu::cold, gnu::noinline]] void fail_waiting(const char *operation, int status) const {
    std::int32_t pid = 0;
    if (status == EOWNERDEAD && muster_seqlock_writer_pid(handle_.get(), &pid) != EOWNERDEAD) pid = 0;
    detail::fail(operation, name(), {status, UINT32_MAX, pid, {}});
  }

  static SeqlockClaim claim_of(const muster_seqlock_claimant &found) noexcept {
    return {found.sequence, found.died != 0, found.pid ? std::optional(found.pid) : std::nullopt};
  }

  int shut() noexcept {
    const int status = handle_ ? muster_seqlock_close(handle_.get()) : 0;
    if (status) return status;
    (void)handle_.release();
    reader_ = SeqlockReader();
    writer_ = &detail::seqlock_no_writer;
    return 0;
  }

  std::unique_ptr<muster_seqlock, Close> handle_;
  SeqlockReader reader_;
  muster_seqlock_writer *writer_ = &detail::seqlock_no_writer;
};

}  // namespace muster

#endif
