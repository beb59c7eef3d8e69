# The figures of the queue; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

round_of_jobs() {
  for kind in queue place large boost; do take "queue.$kind" "$build/queue_jobs" $kind $ms; done
}

figures_queue() {
  if wanted queue.jobs; then
    repeat round_of_jobs
    name='queue, jobs of 64 bytes put, taken, done, one at a time'
    figure queue.jobs queue.queue queue.boost ns 0.2 "$name, beside Boost.Interprocess message_queue"
    figure queue.jobs queue.place queue.boost ns - "$name, written in place, beside it"
    figure queue.jobs queue.large queue.boost ns - "$name, 8192 jobs, beside it"
  fi
}
