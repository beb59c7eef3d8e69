# Builds the benchmark programs; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

cc=${CC:-cc}
cxx=${CXX:-c++}
cflags='-std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wpedantic -Wshadow -Wconversion'
boost='' zmq='' spdlog='' spdlog_libs='' mpi='' mpi_missing='' python='' python_missing=''

compile() { # OBJECT SOURCE
  # Nothing newer than the object, neither source nor header: it stands.
  if [ -f "$1" ] && [ -z "$(find "$2" "$here/c" "$root/include" "$root/Sources/CMuster/internal" "$here/build.sh" \
      -newer "$1" \( -path "$2" -o -name '*.h' -o -name build.sh \) -print | head -n 1)" ]; then
    return 0
  fi
  # shellcheck disable=SC2086
  case $2 in
    *log_spdlog.cc) $cxx -std=c++17 -O2 -g $spdlog -c "$2" -o "$1" ;;
    *.cc) $cxx -std=c++17 -O2 -g -c "$2" -o "$1" ;;
    *) $cc $cflags ${boost:+-DBENCH_BOOST} ${zmq:+-DBENCH_ZMQ} ${spdlog:+-DBENCH_SPDLOG} -I"$root/include" -c "$2" -o "$1" ;;
  esac
}

find_peers() {
  if printf '#include <boost/interprocess/sync/interprocess_condition.hpp>\n' |
      $cxx -std=c++17 -x c++ -fsyntax-only - 2> /dev/null; then
    boost=1
  fi
  if printf '#include <zmq.h>\n' | $cc -x c -fsyntax-only - 2> /dev/null; then zmq=1; fi
  if printf '#include <spdlog/async.h>\n' | $cxx -std=c++17 -x c++ -fsyntax-only - 2> /dev/null &&
      spdlog=$(pkg-config --cflags spdlog 2> /dev/null) && spdlog_libs=$(pkg-config --libs spdlog); then
    # Never empty: that it is there, and how to compile with it.
    spdlog="-DBENCH_SPDLOG $spdlog"
  fi
  if ! command -v mpicc > /dev/null || ! command -v mpirun > /dev/null; then
    mpi_missing='no mpicc or no mpirun'
  elif ! mpirun --version 2> /dev/null | grep -q 'Open MPI'; then
    mpi_missing='mpirun is not of Open MPI'
  elif ! mpicc -std=gnu11 -D_GNU_SOURCE -O2 "$here/c/mpi_barrier_rounds.c" -o "$build/mpi_barrier_rounds" 2> "$work/mpicc"; then
    mpi_missing="mpicc: $(head -n 1 "$work/mpicc")"
  else
    mpi="mpirun --oversubscribe"
    [ "$(id -u)" != 0 ] || mpi="$mpi --allow-run-as-root"
  fi
  if python3 -c 'import multiprocessing' 2> /dev/null; then python=python3; else python_missing='no python3'; fi
}

build_all() {
  mkdir -p "$build/muster" || return 1
  say "building in $build"
  find_peers
  # Objects made with other settings are of no use.
  settings="$cc $cxx $cflags $boost,$zmq,$spdlog"
  [ "$(cat "$build/settings" 2> /dev/null)" = "$settings" ] || rm -f "$build"/*.o "$build"/muster/*.o
  echo "$settings" > "$build/settings"
  for source in "$root"/Sources/CMuster/*.c; do
    compile "$build/muster/$(basename "$source" .c).o" "$source" || return 1
  done
  compile "$build/barrier_kinds.o" "$here/c/barrier_kinds.c" || return 1
  [ -z "$boost" ] || compile "$build/boost_barrier.o" "$here/c/boost_barrier.cc" || return 1
  [ -z "$boost" ] || compile "$build/ring_boost.o" "$here/c/ring_boost.cc" || return 1
  [ -z "$zmq" ] || compile "$build/ring_zmq.o" "$here/c/ring_zmq.c" || return 1
  [ -z "$spdlog" ] || compile "$build/log_spdlog.o" "$here/c/log_spdlog.cc" || return 1
  for source in "$here"/c/*.c; do
    name=$(basename "$source" .c)
    case $name in
      barrier_kinds | mpi_barrier_rounds | ring_zmq) continue ;;
    esac
    compile "$build/$name.o" "$source" || return 1
    case $name in
      barrier_rounds) extra="$build/barrier_kinds.o ${boost:+$build/boost_barrier.o}" linker=${boost:+$cxx} ;;
      ring_records)
        extra="${boost:+$build/ring_boost.o} ${zmq:+$build/ring_zmq.o -lzmq}" linker=${boost:+$cxx} ;;
      log_calls) extra="${spdlog:+$build/log_spdlog.o $spdlog_libs}" linker=${spdlog:+$cxx} ;;
      queue_jobs) extra="${boost:+$build/ring_boost.o}" linker=${boost:+$cxx} ;;
      *) extra='' linker='' ;;
    esac
    # shellcheck disable=SC2086
    ${linker:-$cc} "$build/$name.o" $extra "$build"/muster/*.o -o "$build/$name" -pthread || return 1
  done
  [ $swift = 0 ] || build_owners
}

build_owners() {
  command -v swift > /dev/null || { say '--swift: there is no swift here'; swift=0; return 0; }
  for product in benchmark-owners benchmark-pair muster; do
    swift build --package-path "$root" -c release --product $product >&2 || return 1
    # Apart, since "muster" is a folder of objects here.
    mkdir -p "$build/products" || return 1
    cp "$(swift build --package-path "$root" -c release --show-bin-path)/$product" "$build/products/$product" || return 1
  done
}
