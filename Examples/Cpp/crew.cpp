// A crew of three processes meets round after round, and none may be missing: when one is killed at its work the others
// wait, and a replacement takes its place (OnDeath::Await).
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>
#include <muster/muster.hpp>

using namespace std::chrono_literals;

constexpr int workers = 3;
constexpr std::uint32_t rounds = 5, unlucky_round = 2;

// In a process of its own. The phase says which round it is, also to one that comes later.
static int work(const std::string &name, bool unlucky) try {
  muster::Barrier crew(name, workers, muster::OnDeath::Await);
  for (std::uint32_t round = crew.phase(); round < rounds; round++) {
    if (unlucky && round == unlucky_round) raise(SIGKILL);
    if (crew.wait(10s).serial) std::cout << "round " << round << ": " << crew.parties() << " met" << std::endl;
  }
  return 0;
} catch (const muster::error &error) {
  std::cerr << error.what() << '\n';
  return 1;
}

static void start(const std::string &name, bool unlucky) {
  const pid_t pid = fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid == 0) _exit(work(name, unlucky));
}

int main() {
  const std::string name = "muster-example-cpp-" + std::to_string(getpid());
  // Held from before the first comes until after the last has gone, so that all meet the same one.
  muster::BarrierOptions options;
  options.parties = workers;
  options.on_death = muster::OnDeath::Await;
  options.observe = true;
  muster::Barrier watched(name, options);
  for (int number = 0; number < workers; number++) start(name, number == 1);
  int killed = 0, failed = 0;
  for (int status; wait(&status) > 0;) {
    if (WIFSIGNALED(status)) killed++, start(name, false);
    else failed += WEXITSTATUS(status) != 0;
  }
  std::cout << killed << " was killed and replaced, the last round was " << watched.phase() - 1 << '\n';
  watched.close();
  return !muster::Region::remove(name) || killed != 1 || failed;
}
