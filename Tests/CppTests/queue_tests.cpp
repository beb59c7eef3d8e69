// Queues: jobs that are done, put back, set aside, written in place, and that come back from the dead.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "test.hpp"

using namespace std::chrono_literals;

using muster::Job;
using muster::JobDraft;
using muster::JobEntry;
using muster::JobOutcome;
using muster::JobQueue;
using muster::JobQueueOptions;

static JobQueueOptions of(std::uint32_t job_size, std::uint32_t jobs, std::uint32_t levels = 1, std::uint32_t attempts = 0) {
  JobQueueOptions options;
  options.job_size = job_size, options.jobs = jobs, options.levels = levels, options.attempts = attempts;
  options.members = 4, options.times = true;
  return options;
}

TEST(queue, each_job_is_taken_once_in_order) {
  const std::string name = test::name("queue");
  JobQueue queue(name, of(64, 4, 2));
  CHECK(queue && queue.name() == name && !queue.member());
  CHECK_THROWS(EPERM, queue.put("nobody has joined", test::soon()));
  CHECK_THROWS(EPERM, queue.try_take());
  const std::uint32_t me = queue.join();
  CHECK(queue.member() == me);
  queue.put("second", test::soon(), 1);
  CHECK(queue.try_put("third", 1));
  queue.put("first", test::soon());
  queue.put_value(std::uint64_t(7), test::soon(), 1);
  CHECK(!queue.try_put("there is no room"));
  CHECK_THROWS(ETIMEDOUT, queue.put("", 1ms));
  CHECK_THROWS(EINVAL, queue.put("", test::soon(), 2));
  CHECK_THROWS(EMSGSIZE, queue.put(std::string(65, 'x'), test::soon()));
  CHECK(queue.look().queued == 4 && queue.look().queued_at[1] == 3);
  for (const char *expected : {"first", "second", "third"}) {
    std::optional<Job> job = queue.take(test::soon());
    REQUIRE(job);
    CHECK(job->text() == expected && job->attempts() == 0 && job->size() == std::strlen(expected));
    job->done();
    CHECK(!*job);
    CHECK_THROWS(EBADF, job->done());
  }
  std::optional<Job> last = queue.try_take();
  CHECK(last && last->level() == 1 && last->as<std::uint64_t>() == std::uint64_t(7) && !last->as<char>());
  last->done();
  CHECK(!queue.try_take());
  CHECK_THROWS(ETIMEDOUT, queue.take(muster::Deadline::now()));
  queue.leave();
  queue.close(), queue.close();
  CHECK_THROWS(EBADF, queue.look());
  CHECK(muster::Region::remove(name));
}

TEST(queue, an_exception_puts_a_job_back_and_cancels_a_draft) {
  const JobQueueOptions options = of(64, 2, 1, 2);
  const std::size_t size = JobQueue::size(options);
  void *memory = test::shared_memory(size);
  CHECK_THROWS(EBADMSG, JobQueue::attach(memory, size));
  JobQueue::init(memory, size, options);
  JobQueue queue = JobQueue::attach(memory, size);
  queue.join();
  try {
    const JobDraft draft = queue.claim(test::soon());
    throw std::runtime_error("within");
  } catch (const std::runtime_error &) {
  }
  CHECK(queue.look().free == 2);
  {
    JobDraft draft = queue.claim(test::soon());
    CHECK(draft.size() == 64);
    CHECK_THROWS(EMSGSIZE, draft.commit(65));
    std::memcpy(draft.data(), "draft", 5);
    draft.commit(5);
    CHECK(!draft.data());
    CHECK_THROWS(EBADF, draft.commit(5));
  }
  try {
    const std::optional<Job> job = queue.take(test::soon());
    CHECK(job && job->text() == "draft");
    throw std::runtime_error("within");
  } catch (const std::runtime_error &) {
  }
  std::optional<Job> again = queue.take(test::soon());
  CHECK(again && again->attempts() == 1);
  again->put_back(JobOutcome::Untried);
  again = queue.take(test::soon());
  CHECK(again && again->attempts() == 1);
  again.reset();
  CHECK(!queue.try_take() && queue.look().aside == 1);
}

TEST(queue, what_was_set_aside_can_be_looked_at_retried_and_dropped) {
  const std::string name = test::name("aside");
  JobQueue queue(name, of(64, 4, 1, 1));
  const std::uint32_t me = queue.join();
  queue.put("hopeless", test::soon()), queue.put("fails", test::soon()), queue.put("waits", test::soon());
  queue.take(test::soon())->put_back(JobOutcome::Hopeless);
  queue.take(test::soon())->put_back();
  {
    const std::optional<Job> held = queue.take(test::soon());
    const std::vector<JobEntry> taken = queue.jobs(MUSTER_QUEUE_TAKEN);
    CHECK(taken.size() == 1 && taken[0].bytes == "waits" && taken[0].member == me && taken[0].pid == getpid());
    CHECK(taken[0].put_at > 0);
    CHECK_THROWS(EBUSY, queue.drop(held->id()));
  }
  std::vector<JobEntry> aside = queue.jobs(MUSTER_QUEUE_ASIDE);
  std::sort(aside.begin(), aside.end(), [](const auto &a, const auto &b) { return a.bytes < b.bytes; });
  REQUIRE(aside.size() == 3);
  CHECK(aside[0].bytes == "fails" && aside[1].bytes == "hopeless" && aside[2].bytes == "waits" && aside[0].attempts == 1);
  queue.drop(aside[1].id), queue.drop(aside[2].id);
  CHECK_THROWS(ESTALE, queue.drop(aside[1].id));
  queue.retry(aside[0].id);
  std::optional<Job> job = queue.take(test::soon());
  CHECK(job && job->text() == "fails" && job->attempts() == 0);
  job->done();
  CHECK(queue.look().free == 4);
  queue.close();
  CHECK(muster::Region::remove(name));
}

TEST(queue, a_finished_one_ends_who_takes) {
  const std::string name = test::name("finish");
  JobQueue queue(name, of(64, 4));
  queue.join();
  queue.put("last", test::soon());
  queue.finish();
  CHECK_THROWS(EPIPE, queue.put("late", test::soon()));
  queue.take(test::soon())->done();
  CHECK(!queue.take(test::soon()) && !queue.try_take());
  queue.reopen();
  CHECK(queue.try_put("again") && queue.try_take());
  queue.close();
  CHECK(muster::Region::remove(name));
}

TEST(queue, the_job_of_the_dead_is_taken_by_another) {
  const std::string name = test::name("dead");
  JobQueue queue(name, of(64, 4));
  queue.join();
  const pid_t child = test::child([&] {
    JobQueue mine(name, of(64, 4));
    mine.join();
    const std::optional<Job> job = mine.take(test::soon());
    for (;;) pause();
  });
  queue.put("survives", test::soon());
  test::until([&] { return queue.look().taken == 1; });
  kill(child, SIGKILL);
  std::optional<Job> job = queue.take(test::soon());
  test::join(child, SIGKILL);
  CHECK(job && job->text() == "survives" && job->attempts() == 1 && queue.reclaim() == 0);
  job->done();
  queue.close();
  CHECK(muster::Region::remove(name));
}

TEST(queue, belongs_to_a_thread_and_is_used_by_many) {
  const std::string name = test::name("threads");
  JobQueue queue(name, of(8, 32));
  queue.join();
  std::uint64_t sum = 0;
  std::thread producer([&] {
    for (std::uint64_t k = 1; k <= 1000; k++) queue.put_value(k, test::soon());
    queue.finish();
  });
  while (std::optional<Job> job = queue.take(test::soon())) {
    sum += *job->as<std::uint64_t>();
    job->done();
  }
  producer.join();
  CHECK_EQUAL(sum, 500500u);
  std::thread([&] {
    CHECK_THROWS(EBUSY, queue.leave());
    CHECK_THROWS(EBUSY, queue.close());
  }).join();
  test::join(test::child([&] { CHECK_THROWS(EPERM, queue.try_take()); }));
  queue.close();
  CHECK(muster::Region::remove(name));
}
