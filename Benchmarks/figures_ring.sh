# The figures of the ring; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

if [ $quick = 1 ]; then ring_events=20; else ring_events=400; fi

round_of_records() {
  for kind in lossless latest small pipe boost zmq; do
    take "ring.$kind" "$build/ring_records" stream $kind $ms
  done
}

round_of_returns() {
  take ring.return "$build/ring_records" return $ms
  take ring.line "$build/cache_line" $ms
}

figures_ring() {
  name='ring, records of 64 bytes one at a time'
  if wanted ring.records; then
    repeat round_of_records
    figure ring.records ring.lossless ring.pipe ns 0.025 "$name, beside a pipe"
    figure ring.records ring.lossless ring.boost ns 0.05 "$name, beside Boost.Interprocess message_queue"
    figure ring.records ring.lossless ring.zmq ns 0.05 "$name, beside ZeroMQ ipc://"
    figure ring.records ring.latest ring.pipe ns - "$name, latest, beside a pipe"
    figure ring.records ring.small ring.pipe ns - "$name, a ring of 256 KiB, beside a pipe"
  fi
  if wanted ring.return; then
    repeat round_of_returns
    figure ring.return ring.return ring.line ns 2.5 'ring, a record there and one back, beside a cache line'
  fi
  if wanted ring.large; then
    repeat take 'ring.large ring.plain ring.flags memcpy' "$build/ring_records" large $ms
    figure ring.large ring.large memcpy ns 1.25 'ring, records of 64 KiB in place in 1 MiB, beside memcpy'
    figure ring.large ring.large ring.flags ns - 'the same, beside memcpy in one process, read in another, a flag for each buffer'
    figure ring.large ring.plain ring.flags ns - 'the same written with memcpy, beside that'
  fi
  if wanted ring.wake; then
    repeat take 'ring.wake futex' "$build/ring_records" wake $ring_events
    figure ring.wake ring.wake futex ns 1.2 'ring, a sleeping reader woken, beside a bare futex'
  fi
}
