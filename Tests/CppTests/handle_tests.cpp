// What all types that own a C object have in common.
// SPDX-License-Identifier: Apache-2.0
#include <type_traits>

#include "test.hpp"

namespace {

template <class Type>
constexpr bool moves_only = !std::is_copy_constructible_v<Type> && !std::is_copy_assignable_v<Type> &&
                            std::is_nothrow_move_constructible_v<Type> && std::is_nothrow_move_assignable_v<Type> &&
                            std::is_nothrow_destructible_v<Type> && std::is_nothrow_default_constructible_v<Type>;
static_assert(moves_only<muster::Region> && moves_only<muster::Alive> && moves_only<muster::Group>);
static_assert(moves_only<muster::Barrier> && moves_only<muster::Seqlock>);
static_assert(moves_only<muster::Mutex> && moves_only<muster::ReadWriteLock>);
static_assert(moves_only<muster::ByteCheckpoint> && moves_only<muster::Checkpoint<int>>);
static_assert(moves_only<muster::CheckpointDraft> && moves_only<muster::Ring>);
static_assert(moves_only<muster::Pool> && moves_only<muster::PoolBlock>);
static_assert(moves_only<muster::Trace> && moves_only<muster::TraceRecorder>);
static_assert(moves_only<muster::Log> && moves_only<muster::LogReader> && moves_only<muster::LogDrain>);
static_assert(moves_only<muster::JobQueue> && moves_only<muster::Job>);
static_assert(moves_only<muster::RingWriter> && moves_only<muster::RingReader>);
// What the standard library's guards rely on.
static_assert(noexcept(std::declval<muster::Mutex &>().unlock()));
static_assert(noexcept(std::declval<muster::ReadWriteLock &>().unlock()));
static_assert(noexcept(std::declval<muster::ReadWriteLock &>().unlock_shared()));

// What all options say of the name, reaches the region by which the object is had.
template <class Type, class Options>
void reaches_the_region(Options options, std::uint32_t Options::*mode) {
  const std::string name = test::name("options");
  options.*mode = 0640;
  options.flags = muster::Flags::Create;
  {
    const Type made(name, options);
    CHECK_EQUAL(muster::Region::inspect(name)->mode, 0640u);
    CHECK_THROWS(EEXIST, Type(name, options));
    std::error_code ec;
    CHECK(!Type(name, options, ec) && ec == std::errc::file_exists);
    CHECK_EQUAL(muster::Region::inspect(name)->held, 1);
  }
  // The destructor has let go of it.
  CHECK(muster::Region::remove(name));
  options.flags = muster::Flags::Attach;
  CHECK_THROWS(ENOENT, Type(name, options));
  options.deadline = std::chrono::milliseconds(1);
  CHECK(CHECK_THROWS(ETIMEDOUT, Type(name, options)).name() == name);
  std::error_code ec;
  CHECK(!Type(name, options, ec) && ec == std::errc::timed_out);
  muster::RegionOptions of_another_kind;
  of_another_kind.size = 8;
  of_another_kind.kind = MUSTER_KIND('N', 'O', 'N', 'E');
  muster::Region(name, of_another_kind).close();
  const muster::error other = CHECK_THROWS(EPROTO, Type(name, options));
  CHECK(other.mismatch() && other.mismatch()->kind == MUSTER_MISMATCH_KIND && other.name() == name);
  CHECK(other.mismatch()->found == of_another_kind.kind);
  CHECK(muster::Region::remove(name));
}

}  // namespace

TEST(handle, options_reach_the_region) {
  muster::RegionOptions region;
  region.size = 8;
  region.kind = MUSTER_KIND('T', 'E', 'S', 'T');
  reaches_the_region<muster::Region>(region, &muster::RegionOptions::mode);
  reaches_the_region<muster::Group>(muster::GroupOptions{2}, &muster::GroupOptions::mode);
  reaches_the_region<muster::Barrier>(muster::BarrierOptions{2}, &muster::BarrierOptions::mode);
  reaches_the_region<muster::Seqlock>(muster::SeqlockOptions{2}, &muster::SeqlockOptions::mode);
  reaches_the_region<muster::Mutex>(muster::MutexOptions{}, &muster::MutexOptions::mode);
  reaches_the_region<muster::ReadWriteLock>(muster::ReadWriteLockOptions{2}, &muster::ReadWriteLockOptions::mode);
  reaches_the_region<muster::ByteCheckpoint>(muster::CheckpointOptions{{8, 2}}, &muster::CheckpointOptions::mode);
  reaches_the_region<muster::Checkpoint<int>>(muster::CheckpointOptions{{0, 2}}, &muster::CheckpointOptions::mode);
  reaches_the_region<muster::Pool>(muster::PoolOptions{64, 2, 2}, &muster::PoolOptions::permissions);
  reaches_the_region<muster::Trace>(muster::TraceOptions{4, 16, 8}, &muster::TraceOptions::permissions);
  reaches_the_region<muster::Log>(muster::LogOptions{2, 4096}, &muster::LogOptions::permissions);
  reaches_the_region<muster::JobQueue>(muster::JobQueueOptions{64, 2, 1, 2}, &muster::JobQueueOptions::permissions);
  reaches_the_region<muster::Ring>(muster::RingOptions{4096}, &muster::RingOptions::permissions);
}

// It would lead to another object if C took the zero for its end.
TEST(name, with_a_zero_in_it_is_refused) {
  using namespace std::string_view_literals;
  CHECK_THROWS(EINVAL, muster::Barrier("muster-cpp\0-other"sv, 1));
  CHECK_THROWS(EINVAL, muster::Alive("/tmp/muster-cpp\0-other"sv));
  CHECK_THROWS(EINVAL, muster::Region::remove("muster-cpp\0-other"sv));
  CHECK_THROWS(EINVAL, muster::Barrier(static_cast<const char *>(nullptr), 1));
  CHECK_THROWS(EINVAL, muster::Group("muster-cpp\0-other"sv, 1));
  CHECK_THROWS(EINVAL, muster::Seqlock("muster-cpp\0-other"sv, 1));
  CHECK_THROWS(EINVAL, muster::Mutex("muster-cpp\0-other"sv));
  CHECK_THROWS(EINVAL, muster::ReadWriteLock("muster-cpp\0-other"sv, 1));
  CHECK_THROWS(EINVAL, muster::Checkpoint<int>("muster-cpp\0-other"sv, 2));
  muster::RingOptions options;
  options.bytes = 4096;
  CHECK_THROWS(EINVAL, muster::Ring("muster-cpp\0-other"sv, options));
}

TEST(handle, that_is_not_open_says_so) {
  muster::Barrier barrier;
  muster::Group group;
  muster::Seqlock counters;
  muster::Region region;
  muster::Alive alive;
  CHECK(!barrier && !group && !counters && !region && !alive);
  CHECK_EQUAL(std::string(CHECK_THROWS(EBADF, barrier.wait(test::soon())).what()),
              "Can't wait at the barrier: it is not open (EBADF).");
  std::error_code ec;
  const muster::BarrierResult nothing = barrier.wait(test::soon(), ec);
  CHECK(ec == std::errc::bad_file_descriptor && !nothing.index && !nothing.culprit && !nothing.serial);
  CHECK_THROWS(EBADF, barrier.state());
  CHECK_THROWS(EBADF, barrier.member(0));
  CHECK_THROWS(EBADF, group.join());
  CHECK_THROWS(EBADF, counters.claim());
  CHECK_THROWS(EBADF, counters.add(0, 1));
  CHECK_THROWS(EBADF, counters.read<1>());
  CHECK_THROWS(EBADF, region.sync());
  CHECK_THROWS(EBADF, alive.current());
  CHECK(!barrier.broken() && barrier.parties() == 0 && !barrier.member() && counters.sequence() == 0);
  barrier.close(), group.close(), counters.close(), region.close(), alive.close();
}

TEST(handle, of_a_lock_that_is_not_open_says_so) {
  muster::Mutex mutex;
  muster::ReadWriteLock lock;
  std::error_code ec;
  CHECK(!mutex && !lock);
  CHECK_EQUAL(std::string(CHECK_THROWS(EBADF, mutex.lock()).what()), "Can't lock the mutex: it is not open (EBADF).");
  CHECK_THROWS(EBADF, mutex.try_lock());
  CHECK_THROWS(EBADF, mutex.try_lock_for(std::chrono::seconds(1)));
  CHECK(!mutex.lock(test::soon(), ec) && ec == std::errc::bad_file_descriptor);
  CHECK_THROWS(EBADF, mutex.repaired());
  CHECK_THROWS(EBADF, mutex.reset());
  CHECK_THROWS(EBADF, mutex.holder());
  CHECK_THROWS(EBADF, lock.lock());
  CHECK_THROWS(EBADF, lock.lock_shared());
  CHECK_THROWS(EBADF, lock.try_lock_shared());
  CHECK_THROWS(EBADF, lock.repaired());
  CHECK_THROWS(EBADF, lock.reset());
  CHECK_THROWS(EBADF, lock.holders());
  CHECK_THROWS(EBADF, lock.reader(0));
  lock.unlock(ec);
  CHECK(ec == std::errc::bad_file_descriptor && lock.name().empty() && mutex.name().empty() && !mutex.get());
  mutex.unlock(), lock.unlock_shared(), mutex.close(), lock.close();
}

TEST(handle, of_states_and_records_that_is_not_open_says_so) {
  muster::Checkpoint<int> job;
  muster::CheckpointDraft draft;
  muster::Ring ring;
  muster::RingWriter writer;
  muster::RingReader reader;
  std::error_code ec;
  char byte = 0;
  CHECK(!job && !ring && !writer && !reader);
  CHECK_THROWS(EBADF, job.read());
  CHECK_THROWS(EBADF, job.load([](int) { return true; }));
  CHECK_THROWS(EBADF, job.save(1));
  CHECK_THROWS(EBADF, job.begin());
  CHECK_THROWS(EBADF, job.take_over());
  CHECK_THROWS(EBADF, job.history());
  CHECK_THROWS(EBADF, job.writer());
  CHECK_THROWS(EINVAL, draft.commit(0));
  CHECK(!job.may_commit() && job.epoch() == 0 && job.shape().capacity == 0 && job.name().empty());
  CHECK_THROWS(EBADF, ring.look());
  CHECK_THROWS(EBADF, ring.wait_writer(test::soon()));
  CHECK_THROWS(EBADF, muster::RingWriter(muster::Ring()));
  CHECK_THROWS(EBADF, muster::RingReader(muster::Ring()));
  CHECK_THROWS(EBADF, writer.claim(1, test::soon()));
  CHECK_THROWS(EBADF, writer.write("x", test::soon()));
  CHECK_THROWS(EBADF, writer.commit());
  CHECK_THROWS(EBADF, writer.position());
  CHECK_THROWS(EBADF, reader.next());
  CHECK_THROWS(EBADF, reader.release());
  CHECK_THROWS(EBADF, reader.read(&byte, 1));
  CHECK_THROWS(EBADF, reader.wait(test::soon()));
  CHECK_THROWS(EBADF, reader.seek(muster::RingStart::oldest()));
  CHECK(!reader.still_valid({}));
  draft.abandon(), writer.cancel(), job.close(), ring.close(), writer.close(), reader.close();
}
