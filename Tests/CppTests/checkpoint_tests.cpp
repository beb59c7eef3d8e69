// Checkpoints: states of a type and of bytes, writers that die or are fenced, and files.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <thread>

#include "test.hpp"

using muster::ByteCheckpoint;
using muster::Checkpoint;
using muster::CheckpointInfo;
using muster::CheckpointOptions;
using muster::Flags;

// The libc's, and how often it was called: what is durable was written to the disk, and nothing else was.
static int flushes = 0;
extern "C" int msync(void *address, size_t length, int how) {
  flushes++;
  return static_cast<int>(syscall(SYS_msync, address, length, how));
}

namespace {

// The sum of the numbers 1 to `done`.
struct Work {
  std::uint64_t done = 0, sum = 0;
};

bool is_good(const Work &work) { return work.sum == work.done * (work.done + 1) / 2; }

Work next(Work work) {
  work.done++;
  work.sum += work.done;
  return work;
}

CheckpointOptions to_read() {
  CheckpointOptions options;
  options.flags = Flags::Attach | Flags::ReadOnly;
  return options;
}

}  // namespace

TEST(checkpoint, keeps_the_last_states_of_a_type) {
  const std::string name = test::name("job");
  Checkpoint<Work> job(name, 2);
  Checkpoint<Work> reader(name, to_read());
  CHECK(!reader.read() && !reader.load(is_good) && reader.history().empty() && reader.epoch() == 0 && !reader.writer());
  CHECK_THROWS(EPERM, job.save(Work{}));
  CHECK(!job.may_commit());
  CHECK_THROWS(EACCES, reader.take_over());
  CHECK_EQUAL(job.take_over(), 1u);
  CHECK_THROWS(EALREADY, job.take_over());
  CHECK(job.may_commit() && job.writer()->alive && job.writer()->pid == getpid());
  const auto before = std::chrono::system_clock::now() - std::chrono::seconds(1);
  for (std::uint64_t n = 1; n <= 4; n++) CHECK_EQUAL(job.save({n, 10 * n}), n);
  const auto last = reader.read();
  REQUIRE(last);
  CHECK(last->state.done == 4 && last->state.sum == 40 && last->info.sequence == 4 && last->info.epoch == 1);
  CHECK(last->info.length == sizeof(Work) && last->info.whole && !last->info.restored && last->info.checksum);
  CHECK(last->info.time > before && last->info.time < before + std::chrono::hours(1));
  CHECK(reader.read_at(3)->state.done == 3 && reader.read_at(2)->info.sequence == 2);
  CHECK(!reader.read_at(1) && !reader.read_at(5) && !reader.read_at(0));
  const std::vector<CheckpointInfo> history = reader.history();
  CHECK(history.size() == 3 && history[0].sequence == 4 && history[2].sequence == 2 && history[1].whole);

  CHECK_EQUAL(job.roll_back(2), 5u);
  CHECK(reader.read()->state.done == 2 && reader.read()->info.restored == 2u);
  CHECK_THROWS(ENOENT, job.roll_back(1));
  const muster::CheckpointShape shape = reader.shape();
  CHECK(shape.capacity == sizeof(Work) && shape.history == 2 && shape.writers == MUSTER_CHECKPOINT_WRITERS);
  CHECK(!shape.pages && reader.name() == name);
  job.release();
  CHECK_THROWS(EINVAL, job.release());
  CHECK(!job.may_commit() && !reader.writer() && reader.epoch() == 1);
  std::error_code ec;
  CHECK(job.take_over(ec) == 2 && !ec);
  CHECK(job.save({7, 28}, ec) == 6 && !ec);
  CHECK(job.save_durable({8, 36}, ec) == 7 && !ec && job.save_durable({9, 45}) == 8);
  job.release(ec);
  CHECK(!ec && job.save({1, 1}, ec) == 0 && ec == std::errc::operation_not_permitted);
  Checkpoint<Work> moved = std::move(job);
  CHECK(moved && !job && moved.read()->state.done == 9);
  moved.close(), moved.close(), reader.close();
  CHECK(muster::Region::remove(name));
}

TEST(checkpoint, the_newest_that_is_accepted_is_loaded) {
  const std::string name = test::name("accept");
  Checkpoint<Work> job(name, 3);
  job.take_over();
  job.save({1, 1}), job.save({2, 3}), job.save({3, 5}), job.save({4, 9});
  CHECK(job.load(is_good)->state.done == 2 && job.load(is_good)->info.sequence == 2);
  std::string asked;
  const auto found = job.load([&](const Work &work, const CheckpointInfo &info) {
    CHECK(work.done == info.sequence && info.epoch == 1);
    asked += std::to_string(work.done);
    return work.done < 2;
  });
  CHECK(asked == "4321" && found->info.sequence == 1);
  const muster::error none = CHECK_THROWS(ENOENT, job.load([](const Work &) { return false; }));
  CHECK(none.name() == name);
  int calls = 0;
  std::string said;
  try {
    (void)job.load([&](const Work &) -> bool { throw std::runtime_error("can't tell" + std::to_string(++calls)); });
  } catch (const std::runtime_error &error) {
    said = error.what();
  }
  CHECK_EQUAL(said, "can't tell1");
  job.close();
  CHECK(muster::Region::remove(name));
}

TEST(checkpoint, a_successor_goes_on_where_the_dead_one_was) {
  const std::string name = test::name("death");
  Checkpoint<Work> job(name, 3), reader(name, to_read());
  const pid_t first = test::child([&] {
    Checkpoint<Work> mine(name, 3);
    mine.take_over();
    for (Work work;; work = next(work)) mine.save(work);
  });
  test::until([&] {
    const auto now = reader.read();
    CHECK(!now || is_good(now->state));
    return now && now->state.done > 1000;
  });
  CHECK(reader.writer()->alive && reader.writer()->pid == first);
  test::kill(first);
  CHECK(!reader.writer()->alive && reader.writer()->pid == first);
  const auto left = reader.load(is_good);
  REQUIRE(left && left->state.done > 1000);
  CHECK_EQUAL(job.take_over(), 2u);
  CHECK_EQUAL(job.save(next(left->state)), left->info.sequence + 1);
  CHECK(reader.read()->info.epoch == 2 && reader.read()->state.done == left->state.done + 1);
  job.close(), reader.close();
  CHECK(muster::Region::remove(name));
}

TEST(checkpoint, a_stopped_writer_is_fenced) {
  const std::string name = test::name("fence");
  Checkpoint<Work> job(name, 3);
  const pid_t first = test::child([&] {
    Checkpoint<Work> mine(name, 3);
    mine.take_over();
    std::error_code ec;
    for (Work work; !ec; work = next(work)) mine.save(work, ec);
    CHECK(ec == std::error_code(ESTALE, muster::category()) && !mine.may_commit());
    CHECK_THROWS(ESTALE, mine.save(Work{}));
    CHECK_THROWS(ESTALE, mine.begin());
    CHECK_THROWS(ESTALE, mine.roll_back(1));
  });
  test::until([&] { return job.read().has_value(); });
  REQUIRE(::kill(first, SIGSTOP) == 0 && waitpid(first, nullptr, WUNTRACED) == first);
  job.take_over();
  const std::uint64_t sequence = job.save({1, 1});
  REQUIRE(::kill(first, SIGCONT) == 0);
  test::join(first);
  CHECK(job.read()->info.sequence == sequence && job.read()->state.sum == 1);
  job.close();
  CHECK(muster::Region::remove(name));
}

TEST(checkpoint, holds_bytes_of_any_length) {
  const std::string name = test::name("bytes");
  CheckpointOptions options{{16, 2, 1}, 7};
  ByteCheckpoint job(name, options);
  char text[16] = "";
  std::vector<std::byte> bytes{std::byte(1)};
  CHECK(!job.read(text, sizeof text) && !job.read(bytes) && bytes.empty());
  job.take_over();
  std::error_code ec;
  CHECK(job.save("first", 5) == 1 && job.save("second!", 7, ec) == 2 && !ec);
  CHECK(job.read(text, sizeof text)->length == 7 && std::memcmp(text, "second!", 7) == 0);
  CHECK(job.read(bytes)->sequence == 2 && bytes.size() == 7 && std::memcmp(bytes.data(), "second!", 7) == 0);
  CHECK(job.read_at(1, text, sizeof text)->length == 5 && std::memcmp(text, "first", 5) == 0);
  CHECK_THROWS(EMSGSIZE, job.read(text, 6));
  CHECK_THROWS(EMSGSIZE, job.read_at(2, text, 6));
  CHECK(!job.read_at(3, text, sizeof text) && !job.read_at(0, text, sizeof text));
  const auto large = job.read(text, 6, ec);
  CHECK(ec == std::errc::message_size && large && large->length == 7 && large->sequence == 2);
  CHECK(job.read(text, 7, ec)->length == 7 && !ec);
  CHECK_THROWS(EMSGSIZE, job.save("", 17));
  job.save("", 17, ec);
  CHECK(ec == std::errc::message_size);
  const auto shorter = job.load(
      [&](const void *seen, const CheckpointInfo &info) { return seen == text && info.length == 5; }, text, sizeof text);
  CHECK(shorter && shorter->sequence == 1 && std::memcmp(text, "first", 5) == 0);
  CHECK(job.save_durable("third", 5) == 3 && job.save_durable("fourth", 6, ec) == 4 && !ec);
  CHECK(job.roll_back_durable(3) == 5 && job.read(text, sizeof text)->restored == 3u);
  CHECK(job.shape().writers == 1);

  ByteCheckpoint second(name, options);
  CHECK_THROWS(EBUSY, second.take_over());
  CHECK(second.take_over(ec) == 0 && ec == std::errc::device_or_resource_busy);
  options.shape.history = 3;
  const muster::error shape = CHECK_THROWS(EPROTO, ByteCheckpoint(name, options));
  CHECK(shape.mismatch() && shape.mismatch()->expected != shape.mismatch()->found);
  options.shape.history = 2, options.layout = 8;
  const muster::error layout = CHECK_THROWS(EPROTO, ByteCheckpoint(name, options));
  CHECK(layout.mismatch() && layout.mismatch()->kind == MUSTER_MISMATCH_LAYOUT && layout.mismatch()->found == 7);
  CHECK(!ByteCheckpoint(name, options, ec) && ec == std::errc::protocol_error);
  second.close(), job.close();
  CHECK(muster::Region::remove(name));
}

TEST(checkpoint, a_draft_is_committed_or_abandoned) {
  const std::string name = test::name("draft");
  ByteCheckpoint job(name, 64, 2);
  job.take_over();
  {
    muster::CheckpointDraft draft = job.begin();
    CHECK(draft.capacity() == 64 && reinterpret_cast<std::uintptr_t>(draft.data()) % 64 == 0);
    CHECK_THROWS(EALREADY, job.save("x", 1));
    std::memcpy(draft.data(), "in place", 8);
    CHECK_THROWS(EMSGSIZE, draft.commit(65));
    muster::CheckpointDraft moved = std::move(draft);
    CHECK(!draft.data() && draft.capacity() == 0);
    CHECK_EQUAL(moved.commit(8), 1u);
    CHECK(CHECK_THROWS(EINVAL, moved.commit(8)).name().empty());
  }
  char text[64] = "";
  CHECK(job.read(text, sizeof text)->length == 8 && std::string(text) == "in place");
  try {
    const muster::CheckpointDraft draft = job.begin();
    throw std::runtime_error("not so");
  } catch (const std::runtime_error &) {
  }
  muster::CheckpointDraft draft = job.begin();
  std::memcpy(draft.data(), "durable", 7);
  CHECK_EQUAL(draft.commit_durable(7), 2u);
  draft = job.begin();
  draft.abandon(), draft.abandon();
  CHECK(job.save("x", 1) == 3);
  draft = job.begin();
  ByteCheckpoint other(name, 64, 2);
  other.take_over();
  const muster::error fenced = CHECK_THROWS(ESTALE, draft.commit(1));
  CHECK(fenced.name() == name && !draft.data());
  other.close(), job.close();
  CHECK(muster::Region::remove(name));
}

TEST(checkpoint, in_a_file_outlives_everybody) {
  const std::string path = test::path("job.checkpoint");
  CheckpointOptions options{{0, 2}};
  options.flags = Flags::Open | Flags::File;
  {
    Checkpoint<Work> job(path, options);
    CHECK(job.shape().pages && job.name() == path);
    job.take_over();
    job.save_durable({3, 6});
  }
  Checkpoint<Work> job(path, options);
  CHECK(job.read()->state.done == 3 && job.epoch() == 1 && job.take_over() == 2);
  job.close();
  CHECK(muster::Region::remove(path, Flags::File));
}

TEST(checkpoint, what_is_durable_is_on_the_disk) {
  const std::string path = test::path("durable.checkpoint");
  CheckpointOptions options{{0, 2}};
  options.flags = Flags::Open | Flags::File;
  Checkpoint<Work> job(path, options);
  std::error_code ec;
  const auto flushed = [&](const std::function<void()> &commit) {
    const int before = flushes;
    commit();
    return flushes > before;
  };
  const auto drafted = [&] {
    muster::CheckpointDraft draft = job.begin();
    new (draft.data()) Work;
    return draft;
  };
  CHECK(flushed([&] { job.take_over(); }));
  CHECK(flushed([&] { job.save_durable({1, 1}); }) && !flushed([&] { job.save({1, 1}); }));
  CHECK(flushed([&] { job.save_durable({1, 1}, ec); }) && !flushed([&] { job.save({1, 1}, ec); }));
  CHECK(flushed([&] { job.roll_back_durable(2); }) && !flushed([&] { job.roll_back(3); }));
  CHECK(flushed([&] { drafted().commit_durable(sizeof(Work)); }));
  CHECK(!flushed([&] { drafted().commit(sizeof(Work)); }) && job.read()->info.sequence == 8);
  job.close();
  CHECK(muster::Region::remove(path, Flags::File));
}

TEST(checkpoint, states_of_another_size_are_refused) {
  const std::string name = test::name("size");
  ByteCheckpoint bytes(name, sizeof(Work), 2);
  const muster::error other = CHECK_THROWS(EPROTO, Checkpoint<std::uint64_t>(name, to_read()));
  CHECK(other.mismatch()->kind == MUSTER_MISMATCH_SIZE && other.mismatch()->expected == 8 && other.name() == name);
  CHECK(other.mismatch()->found == sizeof(Work));
  CHECK_THROWS(EPROTO, Checkpoint<std::uint64_t>(name, 2));
  std::error_code ec;
  CHECK(!Checkpoint<std::uint64_t>(name, to_read(), ec) && ec == std::errc::protocol_error);
  CHECK(Checkpoint<Work>(name, to_read(), ec) && !ec);
  Checkpoint<Work> job(name, 2);
  bytes.take_over();
  bytes.save("short", 5);
  const muster::error length = CHECK_THROWS(EPROTO, job.read());
  CHECK(length.mismatch()->found == 5 && length.mismatch()->expected == sizeof(Work));
  CHECK_THROWS(EPROTO, job.read_at(1));
  CHECK_THROWS(ENOENT, job.load([](const Work &) { return true; }));
  job.close(), bytes.close();
  CHECK(muster::Region::remove(name));
}

TEST(checkpoint, belongs_to_thread_and_process) {
  const std::string name = test::name("owned");
  Checkpoint<Work> job(name, 2);
  job.take_over();
  std::error_code ec;
  std::thread([&] {
    CHECK_THROWS(EBUSY, job.close());
    CHECK_THROWS(EBUSY, job.release());
    job.close(ec);
    CHECK(ec == std::errc::device_or_resource_busy && job);
    job.save({1, 1});
  }).join();
  test::join(test::child([&] {
    CHECK_THROWS(EPERM, job.save({2, 3}));
    CHECK_THROWS(EPERM, job.take_over());
    CHECK_THROWS(EPERM, job.writer());
    CHECK(job.read()->state.done == 1);
  }));
  CHECK(job.save({2, 3}) == 2);
  job = Checkpoint<Work>();
  CHECK(muster::Region::remove(name));
}

TEST(checkpoint, what_is_torn_is_told_and_passed_over) {
  const std::size_t size = ByteCheckpoint::size({16, 2});
  void *memory = test::shared_memory(size);
  ByteCheckpoint::init(memory, size, {16, 2});
  ByteCheckpoint job = ByteCheckpoint::attach(memory, size);
  job.take_over();
  job.save("the first one", 13), job.save("the second one", 14);
  void *found = memmem(memory, size, "the second one", 14);
  REQUIRE(found);
  static_cast<char *>(found)[4] = 'x';
  const std::vector<CheckpointInfo> history = job.history();
  CHECK(history.size() == 2 && !history[0].whole && history[1].whole && history[0].sequence == 2);
  char text[16] = "";
  CHECK(job.read(text, sizeof text)->sequence == 1 && std::string(text, 13) == "the first one");
  CHECK_THROWS(EBADMSG, job.read_at(2, text, sizeof text));
  std::error_code ec;
  static_cast<char *>(memmem(memory, size, "the first one", 13))[4] = 'x';
  CHECK(!job.read(text, sizeof text, ec) && ec == std::errc::bad_message);
  CHECK_THROWS(EBADMSG, job.roll_back(1));
}

TEST(checkpoint, lies_where_its_user_wants) {
  const std::size_t size = Checkpoint<Work>::size(2);
  CHECK_EQUAL(size, ByteCheckpoint::size({sizeof(Work), 2}));
  CHECK(ByteCheckpoint::size({sizeof(Work), 2, 0, true}) > size && ByteCheckpoint::size({sizeof(Work), 1}) == 0);
  void *memory = test::shared_memory(size);
  CHECK_THROWS(EBADMSG, Checkpoint<Work>::attach(memory, size));
  CHECK_THROWS(EBADMSG, ByteCheckpoint::attach_read_only(memory, size));
  CHECK_THROWS(EBADMSG, ByteCheckpoint::renew(memory, size));
  CHECK_THROWS(EINVAL, ByteCheckpoint::init(memory, size, {sizeof(Work), 3}));
  Checkpoint<Work>::init(memory, size, 2);
  Checkpoint<Work> job = Checkpoint<Work>::attach(memory, size);
  Checkpoint<Work> reader = Checkpoint<Work>::attach_read_only(memory, size);
  CHECK_THROWS(EPROTO, Checkpoint<std::uint64_t>::attach(memory, size));
  job.take_over();
  job.save({5, 15});
  CHECK(reader.read()->state.done == 5 && reader.name().empty());
  CHECK_THROWS(EACCES, reader.take_over());
  job.close(), reader.close();
  ByteCheckpoint::renew(memory, size);
  CHECK(Checkpoint<Work>::attach(memory, size).read()->state.sum == 15);
}
