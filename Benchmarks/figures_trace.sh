# The figures of the trace; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

figures_trace() {
  wanted trace || return 0
  repeat take 'trace.event trace.called trace.large trace.counter trace.frozen trace.monotonic trace.gettime' \
    "$build/trace_events" $batches
  name='trace, an event'
  figure trace.event trace.event trace.counter ns 3 "$name, beside reading the counter that it carries"
  figure trace.called trace.called trace.counter ns 3 "$name by the function of the library, beside that"
  figure trace.large trace.large trace.counter ns - "$name, of a recorder of 32 MiB, beside that"
  figure trace.monotonic trace.monotonic trace.gettime ns 3 "$name by CLOCK_MONOTONIC, beside clock_gettime"
  figure trace.frozen trace.frozen trace.counter ns - "$name while the trace is frozen, beside reading the counter"
}
