# What the Swift owners cost beside the C calls that they wrap; part of Benchmarks/run --swift.
# SPDX-License-Identifier: Apache-2.0

round_of_owners() {
  if ! "$build/products/benchmark-owners" $batches > "$work/owners" 2> "$work/errors"; then
    say "  benchmark-owners: $(tail -n 1 "$work/errors")"
    echo "failed${tab}swift${tab}$(tail -n 1 "$work/errors")" >> "$work/samples"
    return
  fi
  while read -r what swift c; do
    printf 'sample\tswift.%s\t%s\nsample\tc.%s\t%s\n' "$what" "$swift" "$what" "$c" >> "$work/samples"
  done < "$work/owners"
}

figures_swift() {
  [ $swift = 1 ] && wanted swift || return 0
  repeat round_of_owners
  while IFS='|' read -r what title; do
    figure "swift.$what" "swift.$what" "c.$what" ns - "Swift, $title, beside C"
  done << END
checkpoint.save|a checkpoint of 256 bytes saved
checkpoint.read|the same read
ring.record|a record of 64 bytes written to a ring, and read in place
pool.block|a block of 64 bytes allocated, written to, freed
queue.job|a job of 64 bytes put, taken, done
log.record|a log record of 100 bytes with two key-values
log.handler|the same through swift-log
trace.instant|a trace event
END
}
