# The figures of everything but rounds of the barrier; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

if [ $quick = 1 ]; then
  trials_8=10 trials_64=3 asleep=1 batches=10
else
  trials_8=60 trials_64=20 asleep=3 batches=100
fi

figures_death() {
  for n in 8 64; do
    wanted "death.$n" || continue
    if [ $n = 8 ]; then trials=$trials_8 aim=250000; else trials=$trials_64 aim=2000000; fi
    repeat take "death.$n.p50 death.$n.p90 death.$n.max" "$build/barrier_waiters" death $n $trials
    figure "death.$n" "death.$n.p50" - ns $aim "$n members, SIGKILL of one to the last waiter's return, median"
    figure "death.$n" "death.$n.p90" - ns - "the same, 90th percentile"
  done
  for n in 8 64; do
    wanted "wakeups.$n" || continue
    take "wakeups.$n" "$build/barrier_waiters" wakeups $n $asleep
    figure "wakeups.$n" "wakeups.$n" - /s 1 "$n members, wake-ups of a sleeping waiter, the most of any"
  done
}

figures_region() {
  wanted region.attach || return 0
  repeat take 'attach.muster attach.hand' "$build/region_attach" $batches
  figure region.attach attach.muster attach.hand ns 3 'region, attach and close, beside shm_open, mmap, munmap, close'
}

figures_core() {
  figures_death
  figures_region
}
