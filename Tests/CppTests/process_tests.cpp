// Processes: what they are started with, how they end, and what a failure says.
// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <signal.h>

#include <cstring>

#include "test.hpp"

using muster::Process;
using muster::ProcessOptions;

namespace {

ProcessOptions shell(const std::string &script) {
  ProcessOptions options;
  options.path = "/bin/sh";
  options.arguments = {"sh", "-c", script};
  return options;
}

}  // namespace

TEST(process, ends_as_it_says) {
  Process process(shell("exit 3"));
  CHECK(process && process.pid() > 0 && process.descriptor() >= 0);
  const muster::ProcessEnd end = process.wait(test::soon());
  CHECK(end.kind == MUSTER_PROCESS_EXITED && end.code == 3 && end.usage.memory_peak > 0);
  CHECK(process.ended()->code == 3);
  CHECK_THROWS(ESRCH, process.signal(SIGTERM));
  Process moved = std::move(process);
  CHECK(moved && !process);
  CHECK_THROWS(EBADF, (void)process.wait(test::soon()));
  moved.close(), moved.close();
  CHECK(!moved);
}

TEST(process, says_what_failed) {
  ProcessOptions options;
  options.path = "/no/such";
  const muster::error error = CHECK_THROWS(ENOENT, Process{options});
  CHECK(error.name() == "/no/such" && std::strstr(error.what(), "Can't execute \"/no/such\""));
  std::error_code ec;
  muster_process_step step = MUSTER_PROCESS_STEP_NONE;
  options = shell("exit 0");
  options.folder = "/no/such";
  const Process none(options, ec, &step);
  CHECK(!none && ec == std::errc::no_such_file_or_directory && step == MUSTER_PROCESS_STEP_FOLDER);
}

TEST(process, tells_that_it_is_ready_and_is_stopped) {
  ProcessOptions options = shell("test \"$A\" = b && echo >&3; trap 'exit 5' TERM; while :; do sleep 1000 & wait; done");
  options.environment = {"A=b", "PATH=/usr/bin:/bin"};
  options.flags = MUSTER_PROCESS_GROUP;
  options.readiness = MUSTER_PROCESS_READY_LINE;
  options.ready_descriptor = 3;
  Process process(options);
  process.ready(test::soon());
  CHECK(process.notice().ready && !process.ended());
  CHECK(process.look().threads == 1);
  Process same = Process::open(process.pid(), process.look().start);
  CHECK(same.look().start == process.look().start);
  CHECK_THROWS(ESTALE, (void)Process::open(process.pid(), 1));
  CHECK(Process::open_descriptor(process.descriptor()).pid() == process.pid());
  CHECK_THROWS(EBADF, (void)Process::open_descriptor(-1));
  process.stop(test::soon(), test::soon());
  // Before or after it has set its trap.
  const muster::ProcessEnd end = *process.ended();
  CHECK(end.kind == MUSTER_PROCESS_EXITED ? end.code == 5 : end.code == SIGTERM);
  Process early(shell("exit 0"));
  CHECK_THROWS(EINVAL, early.ready(test::soon()));
  early.wait(test::soon());
}
