# The figures of the locks; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

round_of_contention() {
  for kind in mutex pthread write pthread-write; do take "contended.$kind share.$kind" "$build/lock_pairs" contended $kind $ms; done
}

round_of_lock_readers() {
  for kind in read pthread-read; do take "readers.$kind -" "$build/lock_pairs" readers $kind $ms; done
}

figures_lock() {
  if wanted lock.alone; then
    repeat take 'lock.mutex lock.pthread lock.read lock.pthread-read lock.write lock.pthread-write' \
      "$build/lock_pairs" alone $batches
    figure lock.alone lock.mutex lock.pthread ns 1.15 'mutex, lock and unlock, alone, beside a robust pthread_mutex_t'
    figure lock.alone lock.read lock.pthread-read ns 1.5 'read lock and unlock, alone, beside pthread_rwlock_t'
    figure lock.alone lock.write lock.pthread-write ns - 'write lock and unlock, alone, beside pthread_rwlock_t (not robust)'
  fi
  if wanted lock.contended; then
    repeat round_of_contention
    figure lock.contended contended.mutex contended.pthread ns 1.0 \
      'mutex, two processes, a short change, beside a robust pthread_mutex_t'
    figure lock.contended share.mutex share.pthread % - 'the same, the share of the process that got it less often'
    figure lock.contended contended.write contended.pthread-write ns - \
      'write lock, two processes, a short change, beside pthread_rwlock_t (not robust)'
  fi
  if wanted lock.readers; then
    repeat round_of_lock_readers
    figure lock.readers readers.read readers.pthread-read ns 1.0 'read lock, two readers, beside pthread_rwlock_t'
  fi
}
