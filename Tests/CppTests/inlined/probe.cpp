// What a program's hot paths look like. The test is that nothing of the fast paths is left here as a function to call.
// SPDX-License-Identifier: Apache-2.0
#include <muster/muster.hpp>

std::uint64_t read_both(const muster::Seqlock &counters);
std::uint64_t read_in_a_loop(const muster::Seqlock &counters);
std::uint64_t read_one(const muster::Seqlock &counters);
void count(muster::Seqlock &counters);
void publish(muster::Seqlock &counters, std::uint64_t requests, std::uint64_t errors);

std::uint64_t read_both(const muster::Seqlock &counters) {
  const auto now = counters.read<2>();
  return now.words[0] + now.words[1];
}

std::uint64_t read_in_a_loop(const muster::Seqlock &counters) {
  const muster::SeqlockReader reader = counters.reader();
  std::uint64_t sum = 0;
  for (int k = 0; k < 1000; k++) sum += reader.read<8>().words[7];
  return sum;
}

std::uint64_t read_one(const muster::Seqlock &counters) { return counters[0]; }
void count(muster::Seqlock &counters) { counters.add(0, 1); }
void publish(muster::Seqlock &counters, std::uint64_t requests, std::uint64_t errors) {
  counters.write({requests, errors});
}
