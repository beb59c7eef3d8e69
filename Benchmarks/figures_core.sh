# The figures of everything but rounds of the barrier; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

if [ $quick = 1 ]; then
  trials_8=10 trials_64=3 asleep=1 batches=10 windows=50 events=10
else
  trials_8=60 trials_64=20 asleep=3 batches=100 windows=1000 events=100
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

round_of_readers() {
  take seqlock.readers "$build/seqlock_reads" readers seqlock $ms
  take rwlock.readers "$build/seqlock_reads" readers rwlock $ms
}

figures_seqlock() {
  name='seqlock, a snapshot of 64 bytes'
  if wanted seqlock.alone; then
    repeat take 'seqlock.inlined loads seqlock.called' "$build/seqlock_reads" alone $batches
    figure seqlock.alone seqlock.inlined loads ns 1.3 "$name, beside as many relaxed loads"
    figure seqlock.alone seqlock.called loads ns - "$name by the library's function, beside the loads"
  fi
  if wanted seqlock.readers; then
    repeat round_of_readers
    figure seqlock.readers seqlock.readers rwlock.readers ns 0.1 "$name, two readers, beside pthread_rwlock_t"
  fi
  if wanted seqlock.writer; then
    repeat take 'seqlock.p999 seqlock.median seqlock.write' "$build/seqlock_reads" latency $windows
    figure seqlock.writer seqlock.p999 seqlock.median ns 10 "$name under a writer at full speed, 99.9 % beside the median"
    figure seqlock.writer seqlock.write - ns - 'seqlock, a write of 64 bytes meanwhile'
  fi
}

figures_region() {
  wanted region.attach || return 0
  repeat take 'attach.muster attach.hand' "$build/region_attach" ${batches}0
  figure region.attach attach.muster attach.hand ns 3 'region, attach and close, beside shm_open, mmap, munmap, close'
}

# alive_latency prints a line a figure: name p50_us=A p99_us=B rounds=N.
alive_numbers='lines=$("$0" "$1") && printf "%s\n" "$lines" | sed -n "s/.*p50_us=\([0-9.]*\).*/\1/p" | tr "\n" " "'

figures_alive() {
  wanted alive || return 0
  repeat take 'alive.wait alive.death alive.end' sh -c "$alive_numbers" "$build/alive_latency" $events
  figure alive alive.wait - us 1000 'Alive, from an owner that appears to the return of a wait for it, median'
  figure alive alive.death - us 1000 "Alive, from an owner's SIGKILL to the return of a wait for its death, median"
  figure alive alive.end - us 1000 "Alive, from an owner's clean end to the return of the same, median"
}

figures_core() {
  figures_death
  figures_seqlock
  figures_region
  figures_alive
}
