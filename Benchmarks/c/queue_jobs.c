// Jobs of 64 bytes from one process to another, on two processors, one at a time without pause.
//
// queue_jobs KIND MS   KIND is queue (1024 jobs, each copied in, read in place, and done), large (the same with 8192), place (1024, written in
//                      place), boost (Boost.Interprocess message_queue of 1000, of the same priority); prints the median nanoseconds a job,
//                      over stretches
// SPDX-License-Identifier: Apache-2.0
#include "bench.h"
#include "muster/queue.h"
#include "ring_peers.h"

#define SIZE RING_PEER_SIZE
#define STRETCH 20000
#define STRETCHES_MOST 200000

typedef struct arena {
  _Alignas(BENCH_LINE) uint32_t ready;
  _Alignas(BENCH_LINE) double result;
  int processors[2];
  int64_t for_ns;
  int in_place;
  const ring_peer *peer;
  char name[64];
  size_t size;
  void *memory;
} arena;

static uint64_t sink;

static void together(arena *a, unsigned index) {
  bench_pin(a->processors[index]);
  __atomic_add_fetch(&a->ready, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(&a->ready, __ATOMIC_ACQUIRE) < 2) {
  }
}

static muster_queue *join(arena *a) {
  muster_queue *queue;
  bench_check(muster_queue_attach(a->memory, a->size, &queue), "muster_queue_attach");
  bench_check(muster_queue_join(queue, NULL), "muster_queue_join");
  return queue;
}

static void put_one(arena *a, muster_queue *queue, void *handle, const uint64_t *words) {
  if (a->peer) {
    a->peer->send(handle, words);
  } else if (a->in_place) {
    muster_queue_job job;
    bench_check(muster_queue_claim_wait(queue, MUSTER_DEADLINE_NEVER, &job), "muster_queue_claim_wait");
    memcpy(job.bytes, words, SIZE);
    bench_check(muster_queue_commit(queue, job.id, SIZE, 0), "muster_queue_commit");
  } else {
    bench_check(muster_queue_put_wait(queue, words, SIZE, 0, MUSTER_DEADLINE_NEVER), "muster_queue_put_wait");
  }
}

static void put_all(void *context, unsigned index) {
  arena *a = context;
  muster_queue *queue = a->peer ? NULL : join(a);
  void *handle = a->peer ? a->peer->open(a->name, 1) : NULL;
  together(a, index);
  for (uint64_t words[SIZE / 8] = {1};; words[0]++) put_one(a, queue, handle, words);
}

static void take_stretch(arena *a, muster_queue *queue, void *handle, uint64_t *next) {
  uint64_t words[SIZE / 8], sum = 0;
  for (int i = 0; i < STRETCH; i++) {
    const uint64_t *from = words;
    muster_queue_job job = {0};
    if (a->peer) {
      a->peer->receive(handle, words);
    } else {
      bench_check(muster_queue_take_wait(queue, MUSTER_DEADLINE_NEVER, &job), "muster_queue_take_wait");
      from = job.bytes;
    }
    for (int w = 0; w < SIZE / 8; w++) sum += from[w];
    if (from[0] != ++*next) bench_fail("a job that is another", EBADMSG);
    if (queue) bench_check(muster_queue_done(queue, job.id), "muster_queue_done");
  }
  sink += sum;
}

static void take_all(void *context, unsigned index) {
  arena *a = context;
  muster_queue *queue = a->peer ? NULL : join(a);
  void *handle = a->peer ? a->peer->open(a->name, 0) : NULL;
  int64_t *took = calloc(STRETCHES_MOST, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  together(a, index);
  uint64_t next = 0;
  size_t count = 0;
  take_stretch(a, queue, handle, &next);
  int64_t start = bench_now(), now = start;
  while ((now - start < a->for_ns || count < 3) && count < STRETCHES_MOST) {
    int64_t begun = now;
    take_stretch(a, queue, handle, &next);
    now = bench_now();
    took[count++] = now - begun;
  }
  bench_sort(took, count);
  a->result = (double)bench_permille(took, count, 500) / STRETCH;
}

// Who puts goes on without end; it is who takes that is waited for.
static void run(arena *a) {
  pid_t putter = bench_fork(put_all, a, 0), taker = bench_fork(take_all, a, 1);
  int status;
  waitpid(taker, &status, 0);
  kill(putter, SIGKILL);
  waitpid(putter, NULL, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status)) bench_fail("the taker", ECHILD);
}

static void lay(arena *a, uint32_t jobs) {
  muster_queue_options options = {.job_size = SIZE, .jobs = jobs, .members = 8, .attempts = 3};
  a->size = muster_queue_size(&options);
  a->memory = bench_share(a->size);
  bench_check(muster_queue_init(a->memory, a->size, &options), "muster_queue_init");
}

int main(int argc, char **argv) {
  const char *kind = argc == 3 ? argv[1] : "";
  int ours = !strcmp(kind, "queue") || !strcmp(kind, "large") || !strcmp(kind, "place");
  if ((!ours && strcmp(kind, "boost")) || atol(argv[2]) < 1) {
    fputs("usage: queue_jobs queue|large|place|boost MS\n", stderr);
    return 2;
  }
  bench_limit(120);
  arena *a = bench_share(sizeof *a);
  a->processors[0] = bench_processor(0, 2);
  a->processors[1] = bench_processor(1, 2);
  if (a->processors[0] < 0) bench_skip("only one processor");
  a->for_ns = atol(argv[2]) * 1000000;
  a->in_place = *kind == 'p';
#ifdef BENCH_BOOST
  if (!ours) a->peer = &ring_peer_boost;
#endif
  if (!ours && !a->peer) bench_skip("built without it");
  snprintf(a->name, sizeof a->name, "muster-bench-%d", (int)getpid());
  if (ours) lay(a, *kind == 'l' ? 8192 : 1024);
  else a->peer->make(a->name);
  run(a);
  if (!ours) a->peer->remove(a->name);
  return printf("%.2f\n", a->result) < 0;
}
