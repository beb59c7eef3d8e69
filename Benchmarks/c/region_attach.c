// region_attach BATCHES: attaching to an existing region and closing it, beside shm_open, mmap, munmap and close of the very same
// object, batch by batch in turn. Prints the median nanoseconds of both.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>

#include "bench.h"
#include "muster/region.h"

#define BATCH 20
#define PAYLOAD 4096

static char name[64];

static void remove_region(void) { bench_check(muster_region_remove(name, 0), "remove"); }

static int64_t by_muster(void) {
  muster_region_options options = {.flags = MUSTER_REGION_ATTACH, .kind = MUSTER_KIND('B', 'E', 'N', 'C'), .size = PAYLOAD};
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    muster_region *region;
    bench_check(muster_region_open(name, &options, &region), "attach");
    muster_region_close(region);
  }
  return (bench_now() - start) / BATCH;
}

static int64_t by_hand(size_t size) {
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    int file = shm_open(name, O_RDWR, 0);
    if (file < 0) bench_fail("shm_open", errno);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) bench_fail("mmap", errno);
    munmap(memory, size);
    close(file);
  }
  return (bench_now() - start) / BATCH;
}

int main(int argc, char **argv) {
  size_t batches = argc > 1 ? (size_t)atoi(argv[1]) : 100;
  if (!batches || batches > 100000) return 2;
  bench_limit(60);
  snprintf(name, sizeof name, "muster-bench-%d", (int)getpid());
  muster_region_options options = {.flags = MUSTER_REGION_CREATE, .kind = MUSTER_KIND('B', 'E', 'N', 'C'), .size = PAYLOAD};
  muster_region *region;
  bench_check(muster_region_open(name, &options, &region), "create");
  muster_region_info info;
  int status = muster_region_inspect(name, 0, &info);
  muster_region_close(region);
  atexit(remove_region);
  bench_check(status, "inspect");

  int64_t *ours = calloc(2 * batches, sizeof *ours), *peer = ours + batches;
  if (!ours) bench_fail("calloc", ENOMEM);
  for (size_t i = 0; i < batches; i++) {
    ours[i] = by_muster();
    peer[i] = by_hand(info.file_size);
  }
  bench_sort(ours, batches);
  bench_sort(peer, batches);
  printf("%lld %lld\n", (long long)bench_permille(ours, batches, 500), (long long)bench_permille(peer, batches, 500));
  free(ours);
  return 0;
}
