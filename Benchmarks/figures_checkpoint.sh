# The figures of the checkpoint; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

figures_checkpoint() {
  wanted checkpoint || return 0
  repeat take 'checkpoint.commit checkpoint.read checkpoint.copy checkpoint.clock' "$build/checkpoint_commits" ${batches}0
  name='checkpoint of 256 bytes'
  figure checkpoint.commit checkpoint.commit checkpoint.copy ns 3 "$name, a commit, beside memcpy and CRC-32C"
  figure checkpoint.read checkpoint.read checkpoint.copy ns 2 "$name, a read, beside memcpy and CRC-32C"
  figure checkpoint.clock checkpoint.clock - ns - "$name, the time of day, which is part of a commit"
}
