# The barrier's figures; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

if [ $quick = 1 ]; then
  empty_parties='3 8' busy_parties='4' uneven_parties='2 8'
else
  empty_parties='3 4 8 16 64 128' busy_parties='2 3 4 8 16 64 128' uneven_parties='2 3 4 8 16 64 128'
fi
work_us=1000 seed=20240229

# MPI gets the best of the settings that are of use: bound to processors when they suffice, and else told to yield.
take_mpi() { # PARTIES SERIES
  if [ -z "$mpi" ]; then
    skip "$2@" "$mpi_missing"
    return
  fi
  # shellcheck disable=SC2086
  if [ "$1" -le "$(nproc)" ]; then
    take "$2@unbound" $mpi --bind-to none -n "$1" "$build/mpi_barrier_rounds" 0 $ms
    take "$2@bound" $mpi --bind-to core -n "$1" "$build/mpi_barrier_rounds" 0 $ms
    [ -z "$busy" ] || take "$2@yield" $mpi --bind-to none --mca mpi_yield_when_idle 1 -n "$1" \
      "$build/mpi_barrier_rounds" 0 $ms
  else
    take "$2@yield" $mpi --bind-to none --mca mpi_yield_when_idle 1 -n "$1" "$build/mpi_barrier_rounds" 0 $ms
  fi
}

take_barrier() { # KIND PARTIES SERIES [OPTION...]
  kind=$1 parties=$2 names=$3
  shift 3
  take "$names" "$build/barrier_rounds" "$kind" "$parties" 0 --for-ms $ms "$@"
}

round_of_two() {
  take line "$build/cache_line" $ms
  for kind in robust counter pthread boost posix; do take_barrier $kind 2 "empty.2.$kind"; done
  take_mpi 2 empty.2.mpi
  if [ -n "$python" ]; then
    take empty.2.python "$python" "$here/barrier_rounds.py" 2 0 $ms
  else
    skip empty.2.python "$python_missing"
  fi
}

figures_of_two() {
  wanted barrier.empty.2 || return 0
  repeat round_of_two
  name='2 processes, empty rounds'
  figure barrier.empty.2 empty.2.robust line ns 2.5 "$name, beside a cache line there and back"
  figure barrier.empty.2 empty.2.robust 'empty.2.mpi@*' ns 1.0 "$name, beside MPI_Barrier"
  figure barrier.empty.2 empty.2.robust empty.2.pthread ns 0.05 "$name, beside pthread_barrier_t"
  figure barrier.empty.2 empty.2.robust empty.2.counter ns - "$name, beside a counter and a generation"
  figure barrier.empty.2 empty.2.robust empty.2.boost ns - "$name, beside Boost mutex and condition"
  figure barrier.empty.2 empty.2.robust empty.2.python ns - "$name, beside multiprocessing.Barrier"
  figure barrier.empty.2 empty.2.posix empty.2.pthread ns - "$name, Muster's POSIX kind beside the bare pthread_barrier_t"
}

round_empty() { # PARTIES SERIES
  take_barrier robust "$1" "$2.robust"
  take_barrier pthread "$1" "$2.pthread"
  take_mpi "$1" "$2.mpi"
}

figures_empty() { # PARTIES SERIES TITLE
  repeat round_empty "$1" "$2"
  figure "barrier.$2" "$2.robust" "$2.pthread" ns 0.7 "$3, beside pthread_barrier_t"
  figure "barrier.$2" "$2.robust" "$2.mpi@*" ns 1.0 "$3, beside MPI_Barrier"
}

round_uneven() { # PARTIES SERIES
  for kind in robust pthread; do
    take_barrier $kind "$1" "$2.$kind.time $2.$kind.cpu" --work-us $work_us --seed $seed --turns-per-us "$turns"
  done
}

figures_uneven() { # PARTIES SERIES TITLE
  [ -n "${turns:-}" ] || turns=$("$build/barrier_rounds" --turns-per-us)
  repeat round_uneven "$1" "$2"
  figure "barrier.$2" "$2.robust.time" "$2.pthread.time" ns 1.2 "$3, time"
  figure "barrier.$2" "$2.robust.cpu" "$2.pthread.cpu" ns 1.2 "$3, processor time"
}

figures_barrier() {
  figures_of_two
  for n in $empty_parties; do
    wanted "barrier.empty.$n" && figures_empty "$n" "empty.$n" "$n processes, empty rounds"
  done
  for n in $uneven_parties; do
    wanted "barrier.uneven.$n" && figures_uneven "$n" "uneven.$n" "$n processes, 0-1 ms of work"
  done
  for n in $busy_parties; do
    wanted "barrier.busy.empty.$n" || continue
    busy_begin
    figures_empty "$n" "busy.empty.$n" "$n processes, empty rounds, one core busy"
    busy_end
  done
  for n in $busy_parties; do
    wanted "barrier.busy.uneven.$n" || continue
    busy_begin
    figures_uneven "$n" "busy.uneven.$n" "$n processes, 0-1 ms of work, one core busy"
    busy_end
  done
}
