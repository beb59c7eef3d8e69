// From the event to the return of the call that waited for it, between two processes:
//   alive-wait    an owner appears: from the moment before it acquires until muster_alive_wait returns elsewhere
//   alive-death   the owner is killed: from the moment before kill(2) until muster_alive_wait_death returns elsewhere
//   alive-end     the owner ends cleanly: from the moment before muster_alive_release until the same
//
// One line a figure: `name p50_us=... p99_us=... rounds=...`. `alive_latency [ROUNDS [FOLDER]]`; 300 rounds, /dev/shm.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster/alive.h"

typedef struct shared {
  int64_t appeared;  // set by the owner before it acquires
  int64_t ended;     // set before the owner is killed or ends
  int64_t saw_life;
  int64_t saw_death;
  int ready;
  int asleep;
} shared;

enum { MOST = 100000 };

static char path[256];
static shared *state;

static void require(int good, const char *what) {
  if (good) return;
  fprintf(stderr, "alive_latency: %s\n", what);
  kill(0, SIGTERM);
  _exit(1);
}

static void own(int clean) {
  muster_alive *alive;
  state->appeared = muster_clock_now();
  require(!muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), "the owner could not acquire");
  if (!clean) for (;;) pause();
  sigset_t set;
  int got;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigwait(&set, &got);
  state->ended = muster_clock_now();
  require(!muster_alive_release(alive), "the owner could not release");
  _exit(0);
}

static void observe(int go, int done) {
  char byte;
  while (read(go, &byte, 1) == 1) {
    muster_deadline deadline = muster_deadline_after(INT64_C(10000000000));
    require(!muster_alive_wait(path, deadline, NULL), "nobody appeared");
    state->saw_life = muster_clock_now();
    require(write(done, "x", 1) == 1, "no way back");
    require(!muster_alive_wait_death(path, deadline, NULL), "nobody went");
    state->saw_death = muster_clock_now();
    require(write(done, "x", 1) == 1, "no way back");
  }
  _exit(0);
}

// Until the other process sleeps in the kernel: then it waits for the event, and has not to get there first.
static void until_asleep(pid_t pid) {
  char name[64], text[512];
  snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
  for (;;) {
    usleep(2000);
    FILE *file = fopen(name, "r");
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[length] = 0;
    const char *end = strrchr(text, ')');
    require(end != NULL, "the observer is gone");
    if (end[2] == 'S') return;
  }
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void report(const char *name, int64_t *values, int count) {
  qsort(values, (size_t)count, sizeof *values, by_value);
  printf("%s p50_us=%.1f p99_us=%.1f rounds=%d\n", name, (double)values[count / 2] / 1e3,
         (double)values[count * 99 / 100] / 1e3, count);
}

static void await(int done) {
  char byte;
  require(read(done, &byte, 1) == 1, "the observer is gone");
}

int main(int count, char **arguments) {
  int rounds = count > 1 ? atoi(arguments[1]) : 300;
  if (rounds < 1 || rounds > MOST) return fprintf(stderr, "alive_latency: 1 to %d rounds\n", MOST), 2;
  snprintf(path, sizeof path, "%s/muster-latency-%d.alive", count > 2 ? arguments[2] : "/dev/shm", (int)getpid());
  state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int64_t *life = calloc((size_t)rounds, sizeof *life), *death = calloc((size_t)rounds, sizeof *death),
          *end = calloc((size_t)rounds, sizeof *end);
  int go[2], done[2], ends = 0, deaths = 0;
  require(state != MAP_FAILED && life && death && end && !pipe(go) && !pipe(done), "out of memory");
  setpgid(0, 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  pid_t observer = fork();
  if (observer == 0) close(go[1]), observe(go[0], done[1]);
  for (int round = 0; round < rounds; round++) {
    require(write(go[1], "x", 1) == 1, "no way to the observer");
    until_asleep(observer);
    int clean = round % 4 == 3;
    pid_t owner = fork();
    if (owner == 0) close(go[1]), own(clean);
    await(done[0]);
    until_asleep(observer);
    if (!clean) state->ended = muster_clock_now();
    kill(owner, clean ? SIGUSR1 : SIGKILL);
    await(done[0]);
    waitpid(owner, NULL, 0);
    life[round] = state->saw_life - state->appeared;
    *(clean ? &end[ends++] : &death[deaths++]) = state->saw_death - state->ended;
  }
  close(go[1]);
  waitpid(observer, NULL, 0);
  unlink(path);
  report("alive-wait", life, rounds);
  report("alive-death", death, deaths);
  if (ends) report("alive-end", end, ends);
  return 0;
}
