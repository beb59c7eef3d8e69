// One process writes events into a ring, another reads them in place. The writer is killed while it writes at full speed;
// the reader gets all that was committed, learns of the death, and goes on with the successor in the same ring.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <muster/muster.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int status, const char *what) {
  if (status) fprintf(stderr, "%s: %s\n", what, muster_status_text(status)), exit(1);
}

static muster_ring *open_ring(const char *name) {
  muster_ring *ring;
  check(muster_ring_open(name, &(muster_ring_options){.bytes = 1 << 16}, &ring), "open");
  return ring;
}

// Writes events in place: each says its number as text. 0: without end.
static void write_events(muster_ring *ring, int count) {
  muster_ring_place end;
  check(muster_ring_position(ring, &end), "position");
  for (uint64_t n = end.number; !count || n < end.number + (uint64_t)count; n++) {
    void *place;
    check(muster_ring_claim(ring, 32, MUSTER_DEADLINE_NEVER, &place), "claim");
    snprintf(place, 32, "event %llu", (unsigned long long)n);
    check(muster_ring_commit(ring), "commit");
  }
}

// Reads until there is no more by now. Each event has to follow on the one before.
static uint64_t read_events(muster_ring *ring, uint64_t next) {
  muster_ring_record record;
  while (!muster_ring_next(ring, &record)) {
    char expected[32];
    snprintf(expected, sizeof expected, "event %llu", (unsigned long long)next++);
    if (strcmp(record.bytes, expected)) fprintf(stderr, "not %s\n", expected), exit(1);
    check(muster_ring_release(ring), "release");
  }
  return next;
}

int main(void) {
  char name[64];
  snprintf(name, sizeof name, "muster-example-events-%d", (int)getpid());
  muster_ring *reader = open_ring(name);
  check(muster_ring_start_reading(reader, MUSTER_RING_OLDEST, NULL), "start_reading");
  pid_t writer = fork();
  if (writer < 0) return perror("fork"), 1;
  if (writer == 0) {
    muster_ring *ring = open_ring(name);
    check(muster_ring_start_writing(ring, NULL), "start_writing");
    write_events(ring, 0);
    _exit(1);
  }
  int status = 0;
  uint64_t next = 0;
  while (!status && next < 100000) {
    status = muster_ring_wait(reader, MUSTER_DEADLINE_NEVER);
    next = read_events(reader, next);
  }
  kill(writer, SIGKILL);
  while (!status) {
    status = muster_ring_wait(reader, MUSTER_DEADLINE_NEVER);
    if (!status) next = read_events(reader, next);
  }
  printf("%s after event %llu\n", muster_status_text(status), (unsigned long long)next - 1);
  waitpid(writer, NULL, 0);
  muster_ring_predecessor found;
  muster_ring *successor = open_ring(name);
  check(muster_ring_start_writing(successor, &found), "start_writing");
  write_events(successor, 10);
  uint64_t last = read_events(reader, next);
  printf("the successor goes on to event %llu\n", (unsigned long long)last - 1);
  int whole = status == EOWNERDEAD && found.died && found.end.number == next && last == next + 10;
  check(muster_ring_close(successor), "close");
  check(muster_ring_close(reader), "close");
  check(muster_region_remove(name, 0), "remove");
  return !whole;
}
