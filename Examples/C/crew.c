// A crew of four processes meets round after round. One of them is killed at its work; the others learn of it at the
// barrier and go on as three (MUSTER_ON_DEATH_SHRINK).
// SPDX-License-Identifier: Apache-2.0
#include <muster/muster.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4, ROUNDS = 5, UNLUCKY = 2, LAST_ROUND_OF_UNLUCKY = 3 };

#define SECONDS INT64_C(1000000000)

static int work(const char *name, int number) {
  muster_barrier_options options = {.parties = WORKERS, .on_death = MUSTER_ON_DEATH_SHRINK};
  muster_barrier *crew;
  int status = muster_barrier_open(name, &options, &crew);
  for (int round = 0; !status && round < ROUNDS; round++) {
    if (number == UNLUCKY && round == LAST_ROUND_OF_UNLUCKY) raise(SIGKILL);
    muster_barrier_result result;
    status = muster_barrier_wait(crew, muster_deadline_after(10 * SECONDS), &result);
    if (!status && result.serial) printf("round %d: %u met\n", round, muster_barrier_parties(crew));
  }
  if (status) {
    fprintf(stderr, "worker %d: %s\n", number, muster_status_text(status));
    return 1;
  }
  // Leaving without dropping out would be a death to those who still meet; after the last round nobody does.
  return muster_barrier_close(crew) != 0;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  char name[64];
  snprintf(name, sizeof name, "muster-example-crew-%d", (int)getpid());
  for (int number = 0; number < WORKERS; number++) {
    pid_t pid = fork();
    if (pid < 0) return perror("fork"), 1;
    if (pid == 0) _exit(work(name, number));
  }
  int killed = 0, failed = 0, status;
  while (wait(&status) > 0) {
    if (WIFSIGNALED(status)) killed++;
    else if (WEXITSTATUS(status)) failed++;
  }
  printf("%d was killed, %d came to the end\n", killed, WORKERS - killed - failed);
  status = muster_region_remove(name, 0);
  if (status) fprintf(stderr, "%s: %s\n", name, muster_status_text(status));
  return failed || killed != 1 || status;
}
