# The figures of processes; part of Benchmarks/run.
# SPDX-License-Identifier: Apache-2.0

round_of_spawns() {
  for kind in spawn posix exec; do
    take "process.$kind" "$build/process_spawn" $kind $ms
    take "process.large-$kind" "$build/process_spawn" $kind $ms 256
  done
}

round_of_forks() {
  for kind in fork keep bare told poll; do take "process.$kind" "$build/process_spawn" $kind $ms; done
}

figures_process() {
  if wanted process.spawn; then
    repeat round_of_spawns
    name='a program started and its end awaited'
    figure process.spawn process.spawn process.posix ns 1.1 "$name, beside posix_spawn and waitpid"
    figure process.spawn process.spawn process.exec ns - "$name, beside fork, execve and waitpid"
    figure process.spawn process.large-spawn process.large-posix ns 1.1 "$name, by a process of 256 MiB, beside posix_spawn"
    figure process.spawn process.large-spawn process.large-exec ns - "$name, by a process of 256 MiB, beside fork and execve"
  fi
  if wanted process.fork; then
    repeat round_of_forks
    figure process.fork process.keep process.bare ns 1.1 'a fork that ends at once and its end awaited, beside fork, pidfd, poll, waitid'
    figure process.fork process.fork process.bare ns - 'a fork whose signals have their defaults, beside it'
    figure process.fork process.told process.poll ns 1.1 'SIGKILL to a wait that returns, beside poll at a pidfd and waitid'
  fi
}
