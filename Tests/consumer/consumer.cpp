// The same in C++, and each type of muster.hpp once.
// SPDX-License-Identifier: Apache-2.0
#include "consumer.h"

#include <unistd.h>

#include <iostream>
#include <muster/muster.hpp>

static bool uses_each_type() {
  const std::string name = "muster-consumer-" + std::to_string(getpid());
  const std::string counters_name = name + "-counters", group_name = name + "-group", path = "/tmp/" + name + ".alive";
  muster::Alive alive(path);
  muster::Barrier barrier(name, 1);
  muster::Group group(group_name, 1);
  muster::Seqlock counters(counters_name, 2);
  bool well = barrier.wait(std::chrono::seconds(5)).phase == 0 && group.join() == 0;
  counters.claim();
  counters.write({1, 2});
  well = well && counters.read<2>().words[1] == 2;
  std::error_code ec;
  barrier.wait_phase(7, muster::Deadline::now(), ec);
  well = well && ec == std::errc::invalid_argument && alive;
  barrier.close(), group.close(), counters.close(), alive.close();
  return muster::Region::remove(name) && muster::Region::remove(group_name) && muster::Region::remove(counters_name) && well;
}

int main() try {
  const int status = consume();
  return status ? status : uses_each_type() ? 0 : 4;
} catch (const std::exception &error) {
  std::cerr << error.what() << '\n';
  return 5;
}
