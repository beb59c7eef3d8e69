// Records from one process to another, on two processors.
//
// ring_records stream KIND MS   records of 64 bytes, published one at a time without pause, each released as it was read. KIND is
//                               lossless or latest (rings of 4 MiB), small (lossless, 256 KiB), pipe, boost, zmq; prints the
//                               median nanoseconds a record, over stretches
// ring_records return MS        a record there and one back by two rings; prints the median nanoseconds of the round trip
// ring_records large MS         records of 64 KiB through a ring of 1 MiB, copied in by the writer (muster_ring_copy) and summed in
//                               place by the reader; the same copied by memcpy; memcpy and sum handed over by nothing but a flag
//                               for each of 16 buffers; and memcpy of as much between two buffers of 1 MiB in one process; prints
//                               the nanoseconds a record of each
// ring_records wake EVENTS      from before the commit of a record to the return of a sleeping reader's wait; and the same with a bare
//                               futex, in turn; prints the median nanoseconds of each
// SPDX-License-Identifier: Apache-2.0
#include <linux/futex.h>
#include <sys/syscall.h>

#include "bench.h"
#include "muster/ring.h"
#include "ring_peers.h"

#define SIZE RING_PEER_SIZE
#define STREAM_BYTES (4u << 20)
#define LARGE_BYTES (1u << 20)
#define LARGE 65536
#define SMALL_BYTES (256u << 10)
#define STRETCH 20000
#define STRETCHES_MOST 200000

typedef struct arena {
  _Alignas(BENCH_LINE) uint32_t ready;
  _Alignas(BENCH_LINE) uint32_t word;
  _Alignas(BENCH_LINE) int64_t sent;
  double result[2];
  int processors[2];
  int64_t for_ns;
  size_t events;
  int plain;  // copied into the ring by memcpy
  const ring_peer *peer;
  char name[64];
  int pipe[2];
  _Alignas(BENCH_LINE) unsigned char ring[2][STREAM_BYTES + 65536];
} arena;

static muster_ring *attach(arena *a, int which) {
  muster_ring *ring;
  bench_check(muster_ring_attach(a->ring[which], sizeof a->ring[which], &ring), "muster_ring_attach");
  return ring;
}

static muster_ring *writer_of(arena *a, int which) {
  muster_ring *ring = attach(a, which);
  bench_check(muster_ring_start_writing(ring, NULL), "muster_ring_start_writing");
  return ring;
}

static muster_ring *reader_of(arena *a, int which) {
  muster_ring *ring = attach(a, which);
  bench_check(muster_ring_start_reading(ring, MUSTER_RING_OLDEST, NULL), "muster_ring_start_reading");
  return ring;
}

static void lay(arena *a, int which, uint32_t bytes, muster_ring_mode mode) {
  bench_check(muster_ring_init(a->ring[which], sizeof a->ring[which], bytes, mode), "muster_ring_init");
}

static void together(arena *a) {
  __atomic_add_fetch(&a->ready, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(&a->ready, __ATOMIC_ACQUIRE) < 2) {
  }
}

// The next record, waiting for it.
static inline void await(muster_ring *ring, muster_ring_reader *reader, muster_ring_record *record) {
  int status;
  while ((status = muster_ring_reader_next(reader, record)) == EAGAIN) {
    status = muster_ring_wait(ring, MUSTER_DEADLINE_NEVER);
    if (status == EOWNERDEAD) exit(0);  // all was measured
    bench_check(status, "muster_ring_wait");
  }
  bench_check(status, "muster_ring_next");
}

// Sums in registers, as wide as the processor has them, so that it is memory that takes the time. Vectors wider than a register gcc 12
// keeps on the stack, which takes three times as long.
#define SUM_OF(name, width, how)                                                        \
  typedef uint64_t name##_words __attribute__((vector_size(width), aligned(8)));        \
  how uint64_t name(const void *bytes, size_t size) {                                   \
    const name##_words *words = bytes;                                                  \
    name##_words a = {0}, b = {0}, c = {0}, d = {0};                                    \
    for (size_t i = 0; i + 3 < size / (width); i += 4)                                  \
      a += words[i], b += words[i + 1], c += words[i + 2], d += words[i + 3];           \
    a += b + c + d;                                                                     \
    uint64_t sum = 0;                                                                   \
    for (size_t k = 0; k < (width) / 8; k++) sum += a[k];                               \
    return sum;                                                                         \
  }

SUM_OF(sum_of_16, 16, static)
#if defined(__x86_64__)
SUM_OF(sum_of_32, 32, __attribute__((target("avx2"))) static)
static uint64_t sum_of(const void *bytes, size_t size) {
  return __builtin_cpu_supports("avx2") ? sum_of_32(bytes, size) : sum_of_16(bytes, size);
}
#else
static uint64_t sum_of(const void *bytes, size_t size) { return sum_of_16(bytes, size); }
#endif

// ---- stream

static void stream_in(void *context, unsigned index) {
  arena *a = (arena *)context;
  muster_ring *ring = writer_of(a, 0);
  bench_pin(a->processors[index]);
  muster_ring_writer *writer = muster_ring_writer_of(ring);
  together(a);
  for (uint64_t n = 1;; n++) {
    void *place;
    bench_check(muster_ring_writer_claim(writer, SIZE, MUSTER_DEADLINE_NEVER, &place), "muster_ring_claim");
    MUSTER_UNROLL_8
    for (int w = 0; w < SIZE / 8; w++) ((uint64_t *)place)[w] = n;
    bench_check(muster_ring_writer_commit(writer), "muster_ring_commit");
  }
}

static double middle_of(int64_t *took, size_t count, double per) {
  bench_sort(took, count);
  return (double)bench_permille(took, count, 500) / per;
}

// Times stretches of `count` calls each, until the time is over.
static double stretches(arena *a, void (*stretch)(void *context), void *context, double per) {
  int64_t *took = calloc(STRETCHES_MOST, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  size_t count = 0;
  stretch(context);
  int64_t start = bench_now(), now = start;
  while ((now - start < a->for_ns || count < 3) && count < STRETCHES_MOST) {
    int64_t begun = now;
    stretch(context);
    now = bench_now();
    took[count++] = now - begun;
  }
  double result = middle_of(took, count, per);
  free(took);
  return result;
}

static uint64_t sink;

static void read_stretch(void *context) {
  muster_ring *ring = context;
  muster_ring_reader *reader = muster_ring_reader_of(ring);
  uint64_t sum = 0;
  for (int i = 0; i < STRETCH; i++) {
    muster_ring_record record;
    await(ring, reader, &record);
    const uint64_t *words = record.bytes;
    MUSTER_UNROLL_8
    for (int w = 0; w < SIZE / 8; w++) sum += words[w];
    if (!reader->latest && words[0] != record.number + 1) bench_fail("a record that is another", EBADMSG);
    (void)muster_ring_reader_release(reader);
  }
  sink += sum;
}

static void stream_out(void *context, unsigned index) {
  arena *a = (arena *)context;
  muster_ring *ring = reader_of(a, 0);
  bench_pin(a->processors[index]);
  together(a);
  a->result[0] = stretches(a, read_stretch, ring, STRETCH);
  bench_check(muster_ring_close(ring), "muster_ring_close");
}

static void peer_in(void *context, unsigned index) {
  arena *a = (arena *)context;
  bench_pin(a->processors[index]);
  void *handle = a->peer ? a->peer->open(a->name, 1) : NULL;
  together(a);
  for (uint64_t words[SIZE / 8] = {0};; words[0]++) {
    if (a->peer) a->peer->send(handle, words);
    else if (write(a->pipe[1], words, SIZE) != SIZE) bench_fail("write", errno);
  }
}

typedef struct peer_reader {
  arena *a;
  void *handle;
} peer_reader;

static void peer_stretch(void *context) {
  peer_reader *reader = context;
  uint64_t words[SIZE / 8], sum = 0;
  for (int i = 0; i < STRETCH; i++) {
    if (reader->handle) reader->a->peer->receive(reader->handle, words);
    else if (read(reader->a->pipe[0], words, SIZE) != SIZE) bench_fail("read", errno);
    for (int w = 0; w < SIZE / 8; w++) sum += words[w];
  }
  sink += sum;
}

static void peer_out(void *context, unsigned index) {
  arena *a = (arena *)context;
  bench_pin(a->processors[index]);
  peer_reader reader = {a, a->peer ? a->peer->open(a->name, 0) : NULL};
  together(a);
  a->result[0] = stretches(a, peer_stretch, &reader, STRETCH);
}

// The writer goes on without end; it is the reader that is waited for.
static void run_until_read(arena *a, void (*in)(void *, unsigned), void (*out)(void *, unsigned)) {
  pid_t writer = bench_fork(in, a, 0), reader = bench_fork(out, a, 1);
  int status;
  waitpid(reader, &status, 0);
  kill(writer, SIGKILL);
  waitpid(writer, NULL, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status)) bench_fail("the reader", ECHILD);
}

static int stream(arena *a, const char *kind) {
  int ours = !strcmp(kind, "lossless") || !strcmp(kind, "latest") || !strcmp(kind, "small");
  snprintf(a->name, sizeof a->name, "muster-bench-%d", (int)getpid());
  if (ours) {
    lay(a, 0, *kind == 's' ? SMALL_BYTES : STREAM_BYTES, strcmp(kind, "latest") ? MUSTER_RING_LOSSLESS : MUSTER_RING_LATEST);
    run_until_read(a, stream_in, stream_out);
  } else {
#ifdef BENCH_BOOST
    if (!strcmp(kind, "boost")) a->peer = &ring_peer_boost;
#endif
#ifdef BENCH_ZMQ
    if (!strcmp(kind, "zmq")) a->peer = &ring_peer_zmq;
#endif
    if (!a->peer && strcmp(kind, "pipe")) bench_skip("built without it");
    if (!a->peer && pipe(a->pipe)) bench_fail("pipe", errno);
    if (a->peer) a->peer->make(a->name);
    run_until_read(a, peer_in, peer_out);
    if (a->peer) a->peer->remove(a->name);
  }
  return printf("%.2f\n", a->result[0]) < 0;
}

// ---- return

static void answer(void *context, unsigned index) {
  arena *a = (arena *)context;
  muster_ring *from = reader_of(a, 0), *to = writer_of(a, 1);
  bench_pin(a->processors[index]);
  together(a);
  for (;;) {
    muster_ring_record record;
    await(from, muster_ring_reader_of(from), &record);
    uint64_t word = *(const uint64_t *)record.bytes;
    (void)muster_ring_reader_release(muster_ring_reader_of(from));
    bench_check(muster_ring_write(to, &word, sizeof word, MUSTER_DEADLINE_NEVER), "muster_ring_write");
  }
}

typedef struct asker {
  muster_ring *to, *from;
} asker;

enum { ROUNDS = 2000 };

static void ask_stretch(void *context) {
  asker *both = context;
  for (uint64_t i = 0; i < ROUNDS; i++) {
    muster_ring_record record;
    bench_check(muster_ring_write(both->to, &i, sizeof i, MUSTER_DEADLINE_NEVER), "muster_ring_write");
    await(both->from, muster_ring_reader_of(both->from), &record);
    if (*(const uint64_t *)record.bytes != i) bench_fail("another answer", EBADMSG);
    (void)muster_ring_reader_release(muster_ring_reader_of(both->from));
  }
}

static void ask(void *context, unsigned index) {
  arena *a = (arena *)context;
  asker both = {writer_of(a, 0), reader_of(a, 1)};
  bench_pin(a->processors[index]);
  together(a);
  a->result[0] = stretches(a, ask_stretch, &both, ROUNDS);
}

static int there_and_back(arena *a) {
  lay(a, 0, SMALL_BYTES, MUSTER_RING_LOSSLESS);
  lay(a, 1, SMALL_BYTES, MUSTER_RING_LOSSLESS);
  run_until_read(a, answer, ask);
  return printf("%.1f\n", a->result[0]) < 0;
}

// ---- large

static void large_in(void *context, unsigned index) {
  arena *a = (arena *)context;
  muster_ring *ring = writer_of(a, 0);
  bench_pin(a->processors[index]);
  unsigned char *from = calloc(1, LARGE);
  if (!from) bench_fail("calloc", ENOMEM);
  memset(from, 1, LARGE);
  together(a);
  for (;;) {
    void *place;
    bench_check(muster_ring_claim(ring, LARGE, MUSTER_DEADLINE_NEVER, &place), "muster_ring_claim");
    if (a->plain) memcpy(place, from, LARGE);
    else muster_ring_copy(place, from, LARGE);
    bench_check(muster_ring_commit(ring), "muster_ring_commit");
  }
}

enum { PIECES = 64 };

static void large_stretch(void *context) {
  muster_ring *ring = context;
  for (int i = 0; i < PIECES; i++) {
    muster_ring_record record;
    await(ring, muster_ring_reader_of(ring), &record);
    sink += sum_of(record.bytes, record.size);
    (void)muster_ring_release(ring);
  }
}

static void copy_stretch(void *context) {
  unsigned char *buffers = context;
  for (size_t i = 0; i < PIECES; i++) {
    size_t offset = i * LARGE % LARGE_BYTES;
    memcpy(buffers + LARGE_BYTES + offset, buffers + offset, LARGE);
    __asm__ __volatile__("" : : "r"(buffers) : "memory");
  }
}

static void large_out(void *context, unsigned index) {
  arena *a = (arena *)context;
  muster_ring *ring = reader_of(a, 0);
  bench_pin(a->processors[index]);
  together(a);
  a->result[0] = stretches(a, large_stretch, ring, PIECES);
}

// What two processors can hand over at all: 16 buffers, each full or empty by a word of its own.
enum { BUFFERS = LARGE_BYTES / LARGE };

static uint32_t *flag_of(arena *a, uint64_t n) { return (uint32_t *)(void *)(a->ring[1] + n % BUFFERS * BENCH_LINE); }

static void flags_in(void *context, unsigned index) {
  arena *a = (arena *)context;
  bench_pin(a->processors[index]);
  unsigned char *from = calloc(1, LARGE);
  if (!from) bench_fail("calloc", ENOMEM);
  memset(from, 1, LARGE);
  together(a);
  for (uint64_t n = 0;; n++) {
    while (__atomic_load_n(flag_of(a, n), __ATOMIC_ACQUIRE)) {
    }
    memcpy(a->ring[0] + n % BUFFERS * LARGE, from, LARGE);
    __atomic_store_n(flag_of(a, n), 1, __ATOMIC_RELEASE);
  }
}

static void flags_stretch(void *context) {
  static uint64_t n;
  arena *a = (arena *)context;
  for (int i = 0; i < PIECES; i++, n++) {
    while (!__atomic_load_n(flag_of(a, n), __ATOMIC_ACQUIRE)) {
    }
    sink += sum_of(a->ring[0] + n % BUFFERS * LARGE, LARGE);
    __atomic_store_n(flag_of(a, n), 0, __ATOMIC_RELEASE);
  }
}

static void flags_out(void *context, unsigned index) {
  arena *a = (arena *)context;
  bench_pin(a->processors[index]);
  together(a);
  a->result[1] = stretches(a, flags_stretch, a, PIECES);
}

static double through_ring(arena *a, int plain) {
  a->ready = 0, a->plain = plain;
  lay(a, 0, LARGE_BYTES, MUSTER_RING_LOSSLESS);
  run_until_read(a, large_in, large_out);
  return a->result[0];
}

static int large(arena *a) {
  double copied = through_ring(a, 0), plain = through_ring(a, 1);
  a->ready = 0;
  memset(a->ring, 0, sizeof a->ring);
  run_until_read(a, flags_in, flags_out);
  unsigned char *buffers = bench_share(2 * LARGE_BYTES);
  memset(buffers, 1, 2 * LARGE_BYTES);
  double copy = stretches(a, copy_stretch, buffers, PIECES);
  return printf("%.0f %.0f %.0f %.0f\n", copied, plain, a->result[1], copy) < 0;
}

// ---- wake

static long futex(uint32_t *word, int call, uint32_t value) { return syscall(SYS_futex, word, call, value, NULL, NULL, 0); }

static int64_t *times(size_t events) {
  int64_t *took = calloc(2 * events, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  return took;
}

static void sleep_for_events(void *context, unsigned index) {
  arena *a = (arena *)context;
  muster_ring *ring = reader_of(a, 0);
  bench_pin(a->processors[index]);
  int64_t *took = times(a->events);
  together(a);
  for (size_t i = 0; i < a->events; i++) {
    muster_ring_record record;
    bench_check(muster_ring_wait(ring, MUSTER_DEADLINE_NEVER), "muster_ring_wait");
    took[i] = bench_now() - __atomic_load_n(&a->sent, __ATOMIC_ACQUIRE);
    bench_check(muster_ring_next(ring, &record), "muster_ring_next");
    bench_check(muster_ring_release(ring), "muster_ring_release");
    while (__atomic_load_n(&a->word, __ATOMIC_ACQUIRE) == 2 * i) futex(&a->word, FUTEX_WAIT, (uint32_t)(2 * i));
    took[a->events + i] = bench_now() - __atomic_load_n(&a->sent, __ATOMIC_ACQUIRE);
    __atomic_store_n(&a->word, (uint32_t)(2 * i + 2), __ATOMIC_RELEASE);
  }
  a->result[0] = middle_of(took, a->events, 1);
  a->result[1] = middle_of(took + a->events, a->events, 1);
}

// Long enough for the other to have fallen asleep; how long is no part of what is timed.
static void let_sleep(void) {
  struct timespec pause = {0, 300000};
  nanosleep(&pause, NULL);
}

static void wake_for_events(void *context, unsigned index) {
  arena *a = (arena *)context;
  muster_ring *ring = writer_of(a, 0);
  bench_pin(a->processors[index]);
  together(a);
  for (uint64_t i = 0; i < a->events; i++) {
    let_sleep();
    __atomic_store_n(&a->sent, bench_now(), __ATOMIC_RELEASE);
    bench_check(muster_ring_write(ring, &i, sizeof i, MUSTER_DEADLINE_NEVER), "muster_ring_write");
    let_sleep();
    __atomic_store_n(&a->sent, bench_now(), __ATOMIC_RELEASE);
    __atomic_store_n(&a->word, (uint32_t)(2 * i + 1), __ATOMIC_RELEASE);
    futex(&a->word, FUTEX_WAKE, 1);
    while (__atomic_load_n(&a->word, __ATOMIC_ACQUIRE) != 2 * i + 2) {
    }
  }
}

static int wake(arena *a, size_t events) {
  a->events = events;
  setenv("MUSTER_SPIN", "0", 1);
  lay(a, 0, SMALL_BYTES, MUSTER_RING_LOSSLESS);
  pid_t pids[2] = {bench_fork(wake_for_events, a, 0), bench_fork(sleep_for_events, a, 1)};
  bench_join(pids, 2);
  return printf("%.0f %.0f\n", a->result[0], a->result[1]) < 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  long count = argc > 2 ? atol(argv[argc - 1]) : 0;
  int is_stream = !strcmp(what, "stream");
  if (count < 1 || argc != (is_stream ? 4 : 3)) {
    fputs("usage: ring_records stream lossless|latest|small|pipe|boost|zmq MS | return MS | large MS | wake EVENTS\n", stderr);
    return 2;
  }
  bench_limit(120);
  arena *a = bench_share(sizeof *a);
  a->processors[0] = bench_processor(0, 2);
  a->processors[1] = bench_processor(1, 2);
  if (a->processors[0] < 0) bench_skip("only one processor");
  a->for_ns = count * 1000000;
  if (is_stream) return stream(a, argv[2]);
  if (!strcmp(what, "return")) return there_and_back(a);
  return !strcmp(what, "large") ? large(a) : wake(a, (size_t)count);
}
