// What a record of about 100 bytes with two key-values costs the thread that logs it: log_calls KIND MS
//
// KIND: drained (Muster, while a drain in another process writes it to a file), alone (Muster, nobody reads), off (a level
// below the threshold), stdio (fprintf and fflush to a file), spdlog (its asynchronous logger to a file). Files lie in
// TMPDIR or /tmp. Prints nanoseconds a record: the median of batches, with pauses between them in which whoever writes to
// a file can catch up a little.
// SPDX-License-Identifier: Apache-2.0
#include <muster/muster.h>

#include "bench.h"
#include "log_peers.h"

enum { BATCH = 1000, BATCHES_MOST = 100000, PAUSE = 200000 };

static char folder[256], path[300];
static FILE *file;
static int pid;
static muster_log *logs;
static void *memory;
static size_t size;
static uint32_t *phase;  // 1: the drain is there; 2: it is to end

static void pause_some(void) {
  struct timespec time = {0, PAUSE};
  nanosleep(&time, NULL);
}

static void stdio_write(int port) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  fprintf(file, "%lld.%09ld info %d %s port=%d who=%s\n", (long long)now.tv_sec, now.tv_nsec, pid, LOG_MESSAGE,
          port, LOG_WHO);
  fflush(file);
}

static void write_level(int port, muster_log_level level) {
  muster_log_pair pairs[] = {muster_log_int("port", port), muster_log_string("who", LOG_WHO)};
  muster_log_fields fields = {.pairs = pairs, .pair_count = 2};
  if (muster_log_write(logs, level, LOG_MESSAGE, &fields)) bench_fail("muster_log_write", EIO);
}

static void muster_write(int port) { write_level(port, MUSTER_LOG_INFO); }
static void off_write(int port) { write_level(port, MUSTER_LOG_TRACE); }

static void attach(void) { bench_check(muster_log_attach(memory, size, &logs), "muster_log_attach"); }

static void drain_it(void *context, unsigned index) {
  (void)context, (void)index;
  int processor = bench_processor(1, 2);
  if (processor >= 0) bench_pin(processor);
  attach();
  muster_log_drain *drain;
  muster_log_drain_options options = {.folder = folder, .name = "muster", .rotate_bytes = 64 << 20, .keep_files = 2};
  bench_check(muster_log_drain_open(logs, &options, &drain, NULL), "muster_log_drain_open");
  __atomic_store_n(phase, 1, __ATOMIC_RELEASE);
  while (__atomic_load_n(phase, __ATOMIC_ACQUIRE) == 1) {
    int status = muster_log_drain_run(drain, muster_deadline_after(5000000));
    if (status != ETIMEDOUT) bench_fail("muster_log_drain_run", status);
  }
  bench_check(muster_log_drain_close(drain), "muster_log_drain_close");
}

static double measure(void (*write)(int), int64_t ms) {
  static int64_t took[BATCHES_MOST];
  size_t batches = 0;
  int port = 0;
  for (int64_t end = bench_now() + ms * 1000000; batches < BATCHES_MOST && (bench_now() < end || !batches);) {
    int64_t start = bench_now();
    for (int i = 0; i < BATCH; i++) write(port++ & 0xffff);
    took[batches++] = bench_now() - start;
    pause_some();
  }
  bench_sort(took, batches);
  return (double)bench_permille(took, batches, 500) / BATCH;
}

static double of_muster(const char *kind, int64_t ms) {
  size = muster_log_size(4, 1 << 20);
  memory = bench_share(size);
  phase = bench_share(sizeof *phase);
  bench_check(muster_log_init(memory, size, 4, 1 << 20, MUSTER_LOG_DEBUG), "muster_log_init");
  pid_t worker = strcmp(kind, "drained") ? 0 : bench_fork(drain_it, NULL, 0);
  while (worker && !__atomic_load_n(phase, __ATOMIC_ACQUIRE)) pause_some();
  attach();
  bench_check(muster_log_join(logs, NULL), "muster_log_join");
  double took = measure(strcmp(kind, "off") ? muster_write : off_write, ms);
  __atomic_store_n(phase, 2, __ATOMIC_RELEASE);
  if (worker) bench_join(&worker, 1);
  bench_check(muster_log_close(logs), "muster_log_close");
  return took;
}

static double of_stdio(int64_t ms) {
  file = fopen(path, "w");
  if (!file) bench_fail(path, errno);
  double took = measure(stdio_write, ms);
  fclose(file);
  return took;
}

static double of_spdlog(int64_t ms) {
#if defined(BENCH_SPDLOG)
  log_peer_spdlog.open(path);
  double took = measure(log_peer_spdlog.write, ms);
  log_peer_spdlog.close();
  return took;
#else
  (void)ms;
  bench_skip("spdlog is not installed");
#endif
}

static void make_folder(void) {
  const char *parent = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/muster-bench-log.XXXXXX", parent ? parent : "/tmp");
  if (!mkdtemp(folder)) bench_fail("mkdtemp", errno);
  snprintf(path, sizeof path, "%s/peer.log", folder);
}

static void remove_folder(void) {
  char command[300];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  if (system(command)) fprintf(stderr, "%s stays\n", folder);
}

int main(int argc, char **argv) {
  long ms = argc == 3 ? atol(argv[2]) : 0;
  if (ms < 1) {
    fputs("usage: log_calls drained|alone|off|stdio|spdlog MS\n", stderr);
    return 2;
  }
  bench_limit(170);
  pid = (int)getpid();
  int processor = bench_processor(0, 2);
  make_folder();
  double took;
  // Not spdlog: its thread would be bound to the same processor.
  if (strcmp(argv[1], "spdlog") == 0) {
    took = of_spdlog(ms);
  } else {
    if (processor >= 0) bench_pin(processor);
    took = strcmp(argv[1], "stdio") ? of_muster(argv[1], ms) : of_stdio(ms);
  }
  remove_folder();
  return printf("%.3f\n", took) < 0;
}
