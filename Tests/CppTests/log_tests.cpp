// Logs: records written, read, filtered, drained, and those of a process that died.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "test.hpp"

using namespace std::chrono_literals;

using muster::CorrelationId;
using muster::Log;
using muster::LogDrain;
using muster::LogDrainOptions;
using muster::LogFields;
using muster::LogLevel;
using muster::LogOptions;
using muster::LogReader;
using muster::LogReaderOptions;
using muster::LogRecord;

static LogReaderOptions at_once() {
  LogReaderOptions options;
  options.hold = -1ns;
  return options;
}

static std::vector<std::string> messages(const Log &log, const LogReaderOptions &options = at_once()) {
  std::vector<std::string> found;
  LogReader reader(log, options);
  while (const std::optional<LogRecord> record = reader.next()) found.emplace_back(record->text());
  return found;
}

TEST(log, what_is_written_is_read_with_all_its_fields) {
  const std::string name = test::name("log");
  Log log(name);
  CHECK(log && log.name() == name && log.look().places == MUSTER_LOG_PLACES);
  CHECK(log.info("nobody has joined") == std::errc::invalid_argument);
  log.join();
  const std::string host = "localhost";
  const std::string_view tags[] = {"net", "slow"};
  const CorrelationId id{1, 2, 3};
  LogFields fields;
  fields.label = "server", fields.tags = tags, fields.correlation = &id;
  fields.file = "server.cpp", fields.function = "listen", fields.line = 7;
  CHECK(!log.write(LogLevel::Warning, "listens",
                   {{"port", 80}, {"host", host}, {"up", true}, {"load", 0.5}, {"bytes", std::uint64_t(1) << 63}, {"via", "tcp"}},
                   fields));
  LogReader reader(log, at_once());
  const std::optional<LogRecord> record = reader.next();
  REQUIRE(record);
  CHECK(record->severity() == LogLevel::Warning && muster::name_of(record->severity()) == "warning");
  CHECK(record->text() == "listens" && record->pid == getpid() && record->thread == static_cast<std::uint32_t>(gettid()));
  CHECK(record->when() <= std::chrono::system_clock::now() && record->when() > std::chrono::system_clock::now() - 60s);
  CHECK(record->tag_count == 2 && record->tag(1) == "slow" && record->tag(2).empty());
  CHECK(record->has_correlation && std::memcmp(record->correlation, id.data(), 16) == 0);
  CHECK(record->line == 7 && std::string_view(record->label.bytes, record->label.size) == "server");
  CHECK(record->pair_count == 6 && record->pair("port")->type == MUSTER_LOG_INT && record->pair("port")->bits == 80);
  CHECK(record->pair("up")->type == MUSTER_LOG_BOOL && record->pair("bytes")->type == MUSTER_LOG_UINT);
  CHECK(record->pair("load")->type == MUSTER_LOG_DOUBLE && !record->pair("none"));
  CHECK(std::string_view(record->pair("host")->text, record->pair("host")->text_size) == host);
  const std::string text = record->formatted(), json = record->formatted(MUSTER_LOG_FORMAT_JSON);
  CHECK(text.find("listens") != std::string::npos && text.find("port=80") != std::string::npos && text.back() == '\n');
  CHECK(json.front() == '{' && json.find("\"listens\"") != std::string::npos);
  CHECK(!reader.next() && !reader.wait(muster::Deadline::now()));
  reader.close();
  log.leave();
  log.close(), log.close();
  CHECK(log.info("closed") == std::errc::bad_file_descriptor);
  CHECK_THROWS(EBADF, log.look());
  CHECK(muster::Region::remove(name));
}

TEST(log, the_threshold_is_for_all) {
  const std::size_t size = Log::size(2, 4096);
  void *memory = test::shared_memory(size);
  CHECK_THROWS(EBADMSG, Log::attach(memory, size));
  Log::init(memory, size, 2, 4096, LogLevel::Info);
  Log log = Log::attach(memory, size);
  log.join();
  Log looking = Log::attach_read_only(memory, size);
  CHECK(!log.enabled(LogLevel::Debug) && log.enabled(LogLevel::Info) && looking.level() == LogLevel::Info);
  log.debug("not written"), log.notice("written"), log.critical("written too");
  CHECK((messages(looking) == std::vector<std::string>{"written", "written too"}));
  CHECK_THROWS(EACCES, looking.set_level(LogLevel::Off));
  log.set_level(LogLevel::Off);
  log.error("not written");
  CHECK_EQUAL(messages(looking).size(), 2u);
  CHECK(log.write(static_cast<LogLevel>(9), "none") == std::errc::invalid_argument);
}

TEST(log, a_filter_gives_what_it_asks_for) {
  const std::string name = test::name("filter");
  Log log(name);
  log.join();
  const std::string_view tags[] = {"net"};
  const CorrelationId id{9};
  LogFields tagged, correlated, labelled;
  tagged.tags = tags, correlated.correlation = &id, labelled.label = "disk";
  log.write(LogLevel::Info, "tagged", {}, tagged);
  log.write(LogLevel::Info, "correlated", {}, correlated);
  log.write(LogLevel::Error, "labelled", {}, labelled);
  LogReaderOptions options = at_once();
  options.filter.tags = tags;
  CHECK(messages(log, options) == std::vector<std::string>{"tagged"});
  options = at_once();
  options.filter.correlation = &id;
  CHECK(messages(log, options) == std::vector<std::string>{"correlated"});
  options = at_once();
  options.filter.label = "disk";
  CHECK(messages(log, options) == std::vector<std::string>{"labelled"});
  options = at_once();
  options.filter.least = LogLevel::Warning;
  CHECK(messages(log, options) == std::vector<std::string>{"labelled"});
  options = at_once();
  options.filter.pid = getpid() + 1;
  CHECK(messages(log, options).empty());
  options = at_once();
  options.filter.until = muster::LogFilter::Time(1ns);
  CHECK(messages(log, options).empty());
  options.filter.until = std::nullopt;
  options.filter.from = std::chrono::system_clock::now() - 60s;
  CHECK_EQUAL(messages(log, options).size(), 3u);
  options.from = MUSTER_LOG_NEWEST;
  CHECK(messages(log, options).empty());
  log.close();
  CHECK(muster::Region::remove(name));
}

TEST(log, what_the_dead_wrote_is_drained_into_files_once) {
  const std::string name = test::name("dead"), folder = test::path("logs");
  Log log(name);
  const pid_t child = test::child([&] {
    Log own(name);
    own.join();
    own.error("last words", {{"left", 0}});
    kill(getpid(), SIGKILL);
  });
  test::join(child, SIGKILL);
  REQUIRE(mkdir(folder.c_str(), 0700) == 0);
  LogDrainOptions where;
  where.folder = folder, where.name = "app";
  std::string path;
  {
    LogDrain drain(log, where);
    std::error_code ec;
    CHECK(!LogDrain(log, where, ec) && ec == std::errc::device_or_resource_busy);
    CHECK(muster::look_at_drain(log).pid == getpid());
    CHECK_EQUAL(drain.finish(), 1u);
    CHECK_EQUAL(drain.step(), 0u);
    path = drain.path();
    CHECK_THROWS(EBUSY, log.close());
  }
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  CHECK(text.find("last words") != std::string::npos && text.find("last words") == text.rfind("last words"));
  CHECK(muster::look_at_drain(log).records == 1 && muster::look_at_drain(log).life == ENOENT);
  where.name = "no/name";
  CHECK_THROWS(EINVAL, LogDrain(log, where));
  log.close();
  CHECK(unlink(path.c_str()) == 0 && unlink((folder + "/app.log").c_str()) == 0 && rmdir(folder.c_str()) == 0);
  CHECK(muster::Region::remove(name));
}

TEST(log, what_a_drain_left_is_not_the_end_of_what_the_next_one_writes) {
  const std::string name = test::name("left"), folder = test::path("logs");
  LogOptions large;
  large.places = 1, large.bytes = 1 << 20;
  Log log(name, large);
  log.join();
  for (int k = 0; k < 5000; k++) log.info("here", {{"k", k}});
  int ends[2];
  REQUIRE(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  LogDrainOptions where;
  where.descriptor = ends[1];
  {
    LogDrain drain(log, where);
    CHECK_EQUAL(drain.finish(), 0u);
    CHECK(muster::look_at_drain(log).staged > 0);
  }
  close(ends[0]), close(ends[1]);
  REQUIRE(mkdir(folder.c_str(), 0700) == 0);
  where.folder = folder, where.name = "app";
  std::string path;
  {
    LogDrain drain(log, where);
    CHECK(drain.finish() > 0);
    path = drain.path();
  }
  std::ifstream file(path);
  std::size_t lines = 0;
  for (std::string line; std::getline(file, line);) lines++;
  CHECK_EQUAL(lines, 5000u);
  log.close();
  CHECK(unlink(path.c_str()) == 0 && unlink((folder + "/app.log").c_str()) == 0 && rmdir(folder.c_str()) == 0);
  CHECK(muster::Region::remove(name));
}

TEST(log, any_thread_writes_and_a_forked_child_does_not) {
  const std::string name = test::name("threads");
  Log log(name);
  log.join();
  std::vector<std::thread> threads;
  for (int k = 0; k < 3; k++) threads.emplace_back([&] { for (int i = 0; i < 100; i++) log.info("here", {{"i", i}}); });
  for (std::thread &thread : threads) thread.join();
  CHECK_EQUAL(messages(log).size(), 300u);
  test::join(test::child([&] {
    CHECK(log.info("forked") == std::errc::operation_not_permitted);
    CHECK_THROWS(EPERM, log.leave());
  }));
  std::thread([&] { CHECK_THROWS(EBUSY, log.close()); }).join();
  log.close();
  CHECK(muster::Region::remove(name));
}
