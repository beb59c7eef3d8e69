// Runs the C++ tests: `cpp-tests [SUITE[.CASE]...]`.
// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "test.hpp"

namespace {

namespace fs = std::filesystem;

struct Case {
  std::string suite, name;
  void (*run)();
};

// Made at the first use, as the tests are added before main.
std::vector<Case> &cases() {
  static std::vector<Case> all;
  return all;
}

bool any_failed = false;

std::string prefix(pid_t pid) { return "muster-cpp-" + std::to_string(pid) + "-"; }

fs::path folder() {
  const fs::path folder = fs::temp_directory_path() / (prefix(getpid()) + "files");
  fs::create_directories(folder);
  return folder;
}

// Removes what a test made and left, and says whether names of regions were among it.
bool left_behind(pid_t pid) {
  bool any = false;
  for (const fs::path &place : {fs::path("/dev/shm"), fs::temp_directory_path()}) {
    std::vector<fs::path> found;
    for (const auto &entry : fs::directory_iterator(place)) {
      if (entry.path().filename().string().rfind(prefix(pid), 0) == 0) found.push_back(entry.path());
    }
    for (const fs::path &path : found) {
      if (place == "/dev/shm") std::cerr << "left behind: " << path << '\n', any = true;
      fs::remove_all(path);
    }
  }
  return any;
}

// Kills and reaps what a test left running; as subreaper this process inherits all of it.
bool reap_orphans() {
  bool any = false;
  for (;;) {
    siginfo_t info{};
    const int got = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
    if (got != 0) return any;
    if (info.si_pid != 0) {
      waitpid(info.si_pid, nullptr, 0);
      continue;
    }
    std::ifstream list("/proc/self/task/" + std::to_string(getpid()) + "/children");
    for (pid_t pid; list >> pid; any = true) kill(pid, SIGKILL);
    waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
  }
}

[[noreturn]] void run_here(const std::function<void()> &body) {
  any_failed = false;
  try {
    body();
  } catch (const std::exception &exception) {
    test::failed(__FILE__, __LINE__, std::string("an exception came through: ") + exception.what());
  }
  std::cout.flush();
  _exit(any_failed);
}

bool run(const Case &which) {
  const char *slower = std::getenv("MUSTER_TEST_SLOWER");
  const int milliseconds = 30000 * (slower ? std::atoi(slower) : 1);
  const pid_t pid = fork();
  if (pid < 0) return false;
  if (pid == 0) run_here(which.run);
  pollfd watch{static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), POLLIN, 0};
  const bool late = poll(&watch, 1, milliseconds) == 0;
  close(watch.fd);
  if (late) kill(pid, SIGABRT);
  int status = 0;
  waitpid(pid, &status, 0);
  const bool orphans = reap_orphans(), left = left_behind(pid);
  if (late) std::cerr << "not done by its deadline\n";
  if (orphans) std::cerr << "left processes running\n";
  if (WIFSIGNALED(status) && !late) std::cerr << "died by signal " << WTERMSIG(status) << '\n';
  return !late && !orphans && !left && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

namespace test {

void add(const char *suite, const char *name, void (*run)()) { cases().push_back({suite, name, run}); }

void failed(const char *file, int line, const std::string &text) {
  std::cerr << file << ':' << line << ": [" << getpid() << "] " << text << std::endl;
  any_failed = true;
}

void stop() { _exit(1); }

std::string name(const char *tag) { return prefix(getpid()) + tag; }
std::string path(const char *tag) { return (folder() / tag).string(); }

pid_t child(const std::function<void()> &body) {
  std::cout.flush();
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) run_here(body);
  return pid;
}

void join(pid_t pid, int signal) {
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  if (signal) CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signal);
  else CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void kill(pid_t pid) {
  ::kill(pid, SIGKILL);
  join(pid, SIGKILL);
}

void until(const std::function<bool()> &ready) {
  for (const muster::Deadline end = soon(); !ready();) {
    REQUIRE(!end.passed());
    std::this_thread::sleep_for(200us);
  }
}

void until_asleep(pid_t pid) {
  until([pid] {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    const auto end = text.rfind(')');
    return end != std::string::npos && text.substr(end + 1, 2) == " S";
  });
}

void *shared_memory(std::size_t size) {
  void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  return memory;
}

muster::error thrown(const char *file, int line, const char *text, int status, const std::function<void()> &call) {
  try {
    call();
  } catch (const muster::error &error) {
    if (error.status() != status) failed(file, line, std::string(text) + ": " + error.what());
    return error;
  }
  failed(file, line, std::string(text) + " threw nothing");
  stop();
}

}  // namespace test

int main(int count, char **arguments) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const std::vector<std::string> wanted(arguments + 1, arguments + count);
  int passed = 0, failures = 0;
  for (const Case &which : cases()) {
    const std::string whole = which.suite + "." + which.name;
    const auto is_named = [&](const std::string &name) { return name == which.suite || name == whole; };
    if (!wanted.empty() && std::none_of(wanted.begin(), wanted.end(), is_named)) continue;
    const bool ok = run(which);
    std::cout << (ok ? "ok   " : "FAIL ") << whole << std::endl;
    ok ? passed++ : failures++;
  }
  std::cout << "C++ tests: " << passed << " passed, " << failures << " failed" << std::endl;
  return failures || !passed;
}
