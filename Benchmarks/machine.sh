# Describes the machine, a line a property; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

property() { printf 'machine\t%s\t%s\n' "$1" "$2"; }

machine() {
  model=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
  property processor "${model:-$(uname -m)}"
  virtual=''
  ! grep -qw hypervisor /proc/cpuinfo || virtual=' (virtual machine)'
  property processors "$(nproc) of $(getconf _NPROCESSORS_ONLN)$virtual"
  property kernel "$(uname -srm)"
  # That of the programs, which may be another than the machine's.
  libc=$(printf '#include <features.h>\nglibc __GLIBC__.__GLIBC_MINOR__\n' | $cc -E -P - 2> /dev/null | tail -n 1 | tr -d ' ')
  case $libc in
    glibc[0-9]*) property libc "glibc ${libc#glibc}" ;;
    *) if grep -aq ld-musl "$build/busy"; then property libc musl; else property libc unknown; fi ;;
  esac
  property compiler "$($cc --version | head -n 1), -O2"
  [ -z "$boost" ] || property Boost "$(printf '#include <boost/version.hpp>\nBOOST_LIB_VERSION\n' |
    $cxx -x c++ -E -P - | tail -n 1 | tr -d '"' | tr _ .)"
  [ -z "$mpi" ] || property MPI "$(mpirun --version | head -n 1)"
  [ -z "$python" ] || property Python "$($python -c 'import platform; print(platform.python_version())')"
  property Muster "$(git -C "$root" describe --always --dirty --abbrev=10 2> /dev/null || echo 'not a checkout')"
  property date "$(date -u '+%Y-%m-%d %H:%M UTC')"
  property rounds "$rounds"
  property 'load at the start' "$(cut -d' ' -f1-3 /proc/loadavg)"
}
