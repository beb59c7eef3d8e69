// mpi_barrier_rounds ROUNDS [FOR_MS]: MPI_Barrier, measured as barrier_rounds measures; started by mpirun.
// SPDX-License-Identifier: Apache-2.0
#include <mpi.h>

#include "bench.h"

static void meet(uint64_t rounds) {
  for (uint64_t round = 0; round < rounds; round++) MPI_Barrier(MPI_COMM_WORLD);
}

static uint64_t settle_rounds(int rank, int64_t for_ns) {
  for (uint64_t probe = 20;; probe *= 4) {
    int64_t start = bench_now();
    meet(probe);
    int64_t took = bench_now() - start;
    uint64_t rounds = 0;
    if (rank == 0 && (took * 10 >= for_ns || probe >= 20480)) {
      double wanted = (double)for_ns / ((double)(took + 1) / (double)probe);
      rounds = wanted < 10 ? 10 : (uint64_t)wanted;
    }
    MPI_Bcast(&rounds, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    if (rounds) return rounds;
  }
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  int rank, size;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
  if (!rounds) rounds = settle_rounds(rank, argc > 2 ? atol(argv[2]) * 1000000 : 300000000);
  MPI_Barrier(MPI_COMM_WORLD);
  int64_t cpu = bench_cpu(), start = bench_now();
  meet(rounds);
  double mine[2] = {(double)(bench_now() - start), (double)(bench_cpu() - cpu)}, sum[2];
  MPI_Reduce(mine, sum, 2, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
  if (rank == 0) printf("%.1f %.1f %.0f\n", sum[0] / size / (double)rounds, sum[1] / (double)rounds, (double)rounds);
  MPI_Finalize();
  return 0;
}
