// Traces: recording, reading, freezing, and whose a recorder was.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "test.hpp"

using muster::Trace;
using muster::TraceCursor;
using muster::TraceEvent;
using muster::TraceOptions;
using muster::TraceRecorder;
using muster::TraceScope;

static const TraceOptions small{4, 16, 8};

static std::vector<muster_trace_kind> kinds(const Trace &trace) {
  std::vector<muster_trace_kind> found;
  TraceCursor cursor = trace.read();
  while (const std::optional<TraceEvent> event = cursor.next()) found.push_back(event->kind);
  return found;
}

TEST(trace, events_are_read_in_the_order_of_time) {
  const std::string name = test::name("trace");
  Trace trace(name, small);
  CHECK(trace && trace.name() == name && trace.look().shape.events == 16);
  const std::uint16_t work = trace.name("work"), depth = trace.name("depth");
  CHECK(work != depth && work == trace.name(std::string("work")) && trace.text(work) == "work" && trace.text(99) == "?");
  TraceRecorder mine = trace.join("writer");
  const std::uint64_t began = mine.now();
  mine.begin(work, 7);
  mine.counter(depth, -3);
  mine.instant(work);
  mine.put(MUSTER_TRACE_FLOW_OUT, work, 9);
  mine.end(work, 7);
  mine.span(work, began);
  TraceCursor cursor = trace.read();
  const std::optional<TraceEvent> first = cursor.next(), second = cursor.next();
  CHECK(first && first->kind == MUSTER_TRACE_BEGIN && first->name == work && first->value == 7 && first->number == 0);
  CHECK(second && second->kind == MUSTER_TRACE_COUNTER && static_cast<std::int64_t>(second->value) == -3);
  CHECK(second->time >= first->time);
  CHECK(std::strcmp(cursor.recorder(first->recorder).label, "writer") == 0);
  CHECK_EQUAL(kinds(trace).size(), 6u);
  CHECK_THROWS(EINVAL, trace.read(4));
  CHECK_THROWS(EINVAL, trace.recorder(4));
  CHECK_THROWS(EBUSY, trace.close());
  mine.leave(), mine.leave();
  mine.begin(work);
  CHECK(!mine && mine.now() == 0 && kinds(trace).size() == 6);
  trace.close(), trace.close();
  CHECK_THROWS(EBADF, trace.look());
  CHECK_THROWS(EBADF, trace.join());
  CHECK(muster::Region::remove(name));
}

TEST(trace, a_scope_ends_by_an_exception_too) {
  const std::size_t size = Trace::size(small);
  void *memory = test::shared_memory(size);
  CHECK_THROWS(EBADMSG, Trace::attach(memory, size));
  Trace::init(memory, size, small);
  Trace trace = Trace::attach(memory, size);
  TraceRecorder mine = trace.join();
  try {
    const TraceScope span(mine, trace.name("work"), 1);
    throw std::runtime_error("within");
  } catch (const std::runtime_error &) {
  }
  CHECK((kinds(Trace::attach_read_only(memory, size)) == std::vector{MUSTER_TRACE_BEGIN, MUSTER_TRACE_END}));
  CHECK_THROWS(EACCES, Trace::attach_read_only(memory, size).freeze());
}

TEST(trace, frozen_it_keeps_what_was) {
  const std::string name = test::name("frozen");
  Trace trace(name, small);
  TraceRecorder mine = trace.join();
  const std::uint16_t work = trace.name("work");
  mine.instant(work);
  CHECK(trace.freeze() && !trace.freeze());
  CHECK(trace.look().frozen && trace.look().frozen_by == getpid());
  mine.instant(work);
  CHECK_EQUAL(kinds(trace).size(), 1u);
  CHECK(!trace.watch(test::soon()));
  CHECK(trace.thaw() && !trace.thaw());
  mine.instant(work);
  CHECK_EQUAL(kinds(trace).size(), 2u);
  CHECK_THROWS(ETIMEDOUT, trace.watch(std::chrono::milliseconds(1)));
  mine.leave();
  trace.close();
  CHECK(muster::Region::remove(name));
}

TEST(trace, the_dead_are_told_and_what_they_did_last) {
  const std::string name = test::name("died");
  Trace trace(name, small);
  const std::uint16_t work = trace.name("work");
  const pid_t child = test::child([&] {
    Trace own(name, small);
    TraceRecorder recorder = own.join("child");
    recorder.begin(work, 42);
    for (;;) pause();
  });
  test::until([&] { return kinds(trace).size() == 1; });
  kill(child, SIGKILL);
  const std::optional<std::uint32_t> died = trace.watch(test::soon());
  test::join(child, SIGKILL);
  CHECK(died && trace.recorder(*died).pid == child && trace.recorder(*died).life == MUSTER_TRACE_DIED);
  CHECK(trace.look().frozen && trace.read(*died).next()->value == 42);
  trace.close();
  CHECK(muster::Region::remove(name));
}

TEST(trace, a_recorder_belongs_to_a_thread_and_a_process) {
  const std::string name = test::name("owned");
  Trace trace(name, small);
  TraceRecorder mine = trace.join();
  const std::uint16_t work = trace.name("work");
  std::thread([&] {
    CHECK_THROWS(EBUSY, mine.leave());
    std::error_code ec;
    mine.leave(ec);
    CHECK(ec == std::errc::device_or_resource_busy);
    TraceRecorder other = trace.join();
    other.instant(work);
  }).join();
  test::join(test::child([&] { mine.instant(work); }));
  CHECK_EQUAL(kinds(trace).size(), 1u);
  mine = TraceRecorder();
  trace.close();
  CHECK(muster::Region::remove(name));
}

TEST(trace, its_export_is_written_whole) {
  const std::string name = test::name("export"), path = test::path("json");
  Trace trace(name, small);
  TraceRecorder mine = trace.join();
  mine.instant(trace.name("met"));
  FILE *file = std::fopen(path.c_str(), "w+");
  REQUIRE(file);
  trace.export_to(fileno(file));
  std::string text(1 << 16, '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  CHECK(text.find("\"met\"") != std::string::npos && text.find("traceEvents") != std::string::npos);
  CHECK_THROWS(EBADF, trace.export_to(-1));
  mine.leave();
  trace.close();
  CHECK(muster::Region::remove(name));
}
