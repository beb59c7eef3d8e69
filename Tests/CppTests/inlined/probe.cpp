// What a program's hot paths look like. The test is that nothing of the fast paths is left here as a function to call.
// SPDX-License-Identifier: Apache-2.0
#include <mutex>
#include <muster/muster.hpp>
#include <shared_mutex>

std::uint64_t read_both(const muster::Seqlock &counters);
std::uint64_t read_in_a_loop(const muster::Seqlock &counters);
std::uint64_t read_one(const muster::Seqlock &counters);
void count(muster::Seqlock &counters);
void publish(muster::Seqlock &counters, std::uint64_t requests, std::uint64_t errors);
void under_lock(muster::Mutex &mutex, std::uint64_t &sum);
std::uint64_t read_under_lock(muster::ReadWriteLock &lock, const std::uint64_t &sum);
void write_batch(muster::RingWriter &writer, const std::uint64_t (&values)[8]);
void write_in_place(muster::RingWriter &writer, std::uint64_t value);
std::uint64_t drain(muster::RingReader &reader);
void record(muster::TraceRecorder &recorder, std::uint16_t name, std::int64_t depth);

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

void under_lock(muster::Mutex &mutex, std::uint64_t &sum) {
  const std::scoped_lock held(mutex);
  sum++;
}

std::uint64_t read_under_lock(muster::ReadWriteLock &lock, const std::uint64_t &sum) {
  const std::shared_lock reads(lock);
  return sum;
}

void write_in_place(muster::RingWriter &writer, std::uint64_t value) {
  new (writer.claim(sizeof value, muster::Deadline::never())) std::uint64_t(value);
  writer.commit();
}

void write_batch(muster::RingWriter &writer, const std::uint64_t (&values)[8]) {
  muster::RingBatch batch(writer);
  for (const std::uint64_t value : values) new (batch.claim(8, muster::Deadline::never())) std::uint64_t(value);
  batch.commit();
}

std::uint64_t drain(muster::RingReader &reader) {
  std::uint64_t sum = 0;
  for (muster::RingRecord record; reader.next(record); reader.release()) sum += record.size;
  while (const auto record = reader.next()) sum += record->number;
  return sum;
}

void record(muster::TraceRecorder &recorder, std::uint16_t name, std::int64_t depth) {
  const muster::TraceScope span(recorder, name);
  recorder.counter(name, depth);
}
