# The figures of the log; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

round_of_logs() {
  for kind in drained alone off stdio spdlog; do
    take "log.$kind" "$build/log_calls" $kind $ms
  done
}

figures_log() {
  wanted log || return 0
  repeat round_of_logs
  name='log, a record of 100 bytes with two key-values'
  figure log.stdio log.drained log.stdio ns 0.1 "$name, drained meanwhile, beside fprintf and fflush to a file"
  figure log.spdlog log.drained log.spdlog ns 0.5 "$name, drained meanwhile, beside spdlog's asynchronous logger"
  figure log.alone log.alone log.stdio ns - "$name, nobody reads, beside fprintf and fflush to a file"
  figure log.off log.off - ns - 'log, a record below the threshold, with two key-values made for it'
}
