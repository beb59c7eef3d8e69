// One process counts, another reads the counters through a read-only mapping. The first is killed while it counts at
// full speed; the reader still has the last whole snapshot, learns of the death, and a successor goes on from there.
// SPDX-License-Identifier: Apache-2.0
#include <muster/muster.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REQUESTS, BYTES, COUNTERS };

static const char *const labels[COUNTERS] = {"requests", "bytes"};

static muster_seqlock *ready(const char *name, uint32_t flags) {
  muster_seqlock *counters;
  muster_seqlock_options options = {.words = COUNTERS, .labels = labels, .label_count = COUNTERS, .flags = flags};
  int status = muster_seqlock_open(name, &options, &counters);
  if (!status && !(flags & MUSTER_REGION_READ_ONLY)) status = muster_seqlock_claim(counters, NULL);
  if (status) fprintf(stderr, "%s: %s\n", name, muster_status_text(status)), exit(1);
  return counters;
}

int main(void) {
  char name[64];
  snprintf(name, sizeof name, "muster-example-counters-%d", (int)getpid());
  muster_seqlock_close(ready(name, MUSTER_REGION_CREATE));
  pid_t writer = fork();
  if (writer < 0) return perror("fork"), 1;
  if (writer == 0) {
    muster_seqlock *counters = ready(name, MUSTER_REGION_ATTACH);
    // Each request has 100 bytes: one write changes both words, so no reader ever sees other than 100 for each.
    for (uint64_t n = 1; !muster_seqlock_write(counters, (uint64_t[COUNTERS]){n, 100 * n}, COUNTERS); n++) continue;
    _exit(1);
  }
  muster_seqlock *reader = ready(name, MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY);
  uint64_t seen[COUNTERS], sequence = 0;
  int status = 0;
  for (int snapshots = 0; !status && snapshots < 1000; snapshots++) {
    status = muster_seqlock_wait(reader, sequence, MUSTER_DEADLINE_NEVER, NULL);
    if (!status) status = muster_seqlock_read(reader, seen, COUNTERS, &sequence);
    if (seen[BYTES] != 100 * seen[REQUESTS]) return fprintf(stderr, "a torn snapshot\n"), 1;
  }
  kill(writer, SIGKILL);
  while (!status) status = muster_seqlock_wait(reader, sequence, MUSTER_DEADLINE_NEVER, &sequence);
  printf("%s after write %llu\n", muster_status_text(status), (unsigned long long)sequence);
  waitpid(writer, NULL, 0);
  muster_seqlock *successor = ready(name, MUSTER_REGION_ATTACH);
  status = muster_seqlock_add(successor, REQUESTS, 1);
  if (!status) status = muster_seqlock_read(reader, seen, COUNTERS, NULL);
  for (int i = 0; !status && i < COUNTERS; i++) printf("%s %llu\n", labels[i], (unsigned long long)seen[i]);
  int whole = seen[REQUESTS] == sequence + 1 && seen[BYTES] == 100 * sequence;
  muster_seqlock_close(successor);
  muster_seqlock_close(reader);
  return muster_region_remove(name, 0) || status || !whole;
}
