# barrier_rounds.py PARTIES ROUNDS [FOR_MS]: multiprocessing.Barrier, measured as c/barrier_rounds.c measures.
# SPDX-License-Identifier: Apache-2.0
import multiprocessing
import sys
import time


def work(barrier, index, rounds, for_ns, results):
    for _ in range(20):
        barrier.wait()
    start = time.monotonic_ns()
    for _ in range(500):
        barrier.wait()
    took = time.monotonic_ns() - start
    if index == 0 and rounds.value == 0:
        rounds.value = max(10, for_ns * 500 // took)
    barrier.wait()
    count = rounds.value
    barrier.wait()
    cpu, start = time.process_time_ns(), time.monotonic_ns()
    for _ in range(count):
        barrier.wait()
    results[index * 2] = time.monotonic_ns() - start
    results[index * 2 + 1] = time.process_time_ns() - cpu


def main():
    parties, rounds = int(sys.argv[1]), multiprocessing.Value("q", int(sys.argv[2]))
    for_ns = (int(sys.argv[3]) if len(sys.argv) > 3 else 300) * 1_000_000
    results = multiprocessing.Array("q", parties * 2, lock=False)
    barrier = multiprocessing.Barrier(parties)
    workers = [
        multiprocessing.Process(target=work, args=(barrier, i, rounds, for_ns, results), daemon=True)
        for i in range(parties)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        sys.exit("failed: a worker ended with an error")
    count = rounds.value
    print(f"{sum(results[::2]) / parties / count:.1f} {sum(results[1::2]) / count:.1f} {count}")


if __name__ == "__main__":
    main()
