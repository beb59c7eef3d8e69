// A job that adds up numbers and checkpoints after each. It is killed at work, a successor goes on from the last good
// state; then that one is stopped, a third takes over, and the second finds itself fenced when it goes on.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <muster/muster.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct work {
  uint64_t done, sum;  // the sum of the numbers 1 to `done`
} work;

static int is_good(const void *bytes, const muster_checkpoint_info *info, void *context) {
  const work *seen = bytes;
  (void)context;
  return info->length == sizeof *seen && seen->sum == seen->done * (seen->done + 1) / 2;
}

static muster_checkpoint *opened(const char *name, uint32_t flags) {
  muster_checkpoint *job;
  muster_checkpoint_options options = {.shape = {.capacity = sizeof(work), .history = 3}, .flags = flags};
  if (flags & MUSTER_REGION_READ_ONLY) options.shape = (muster_checkpoint_shape){0};
  int status = muster_checkpoint_open(name, &options, &job);
  if (status) fprintf(stderr, "%s: %s\n", name, muster_status_text(status)), exit(1);
  return job;
}

// Goes on from the last good state until it is killed, or fenced: then it returns 0.
static int run(const char *name, uint64_t steps) {
  muster_checkpoint *job = opened(name, MUSTER_REGION_ATTACH);
  work now = {0, 0};
  int status = muster_checkpoint_take_over(job, NULL);
  if (!status) status = muster_checkpoint_load(job, is_good, NULL, &now, sizeof now, NULL);
  if (status == ENODATA) now = (work){0, 0}, status = 0;
  for (uint64_t i = 0; !status && i < steps; i++) {
    now.done++;
    now.sum += now.done;
    status = muster_checkpoint_save(job, &now, sizeof now, NULL);
  }
  muster_checkpoint_close(job);
  return steps == UINT64_MAX ? status != ESTALE : status;
}

static pid_t start(const char *name) {
  pid_t pid = fork();
  if (pid < 0) perror("fork"), exit(1);
  if (pid == 0) _exit(run(name, UINT64_MAX));
  return pid;
}

// Waits until the states go on, and gives the newest.
static work later(const muster_checkpoint *job, uint64_t epoch) {
  muster_checkpoint_info info;
  work seen;
  while (muster_checkpoint_load(job, is_good, NULL, &seen, sizeof seen, &info) || info.epoch < epoch || info.sequence < 100)
    usleep(100);
  return seen;
}

int main(void) {
  char name[64];
  snprintf(name, sizeof name, "muster-example-job-%d", (int)getpid());
  muster_checkpoint_close(opened(name, MUSTER_REGION_CREATE));
  muster_checkpoint *look = opened(name, MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY);
  pid_t first = start(name);
  later(look, 1);
  kill(first, SIGKILL);
  waitpid(first, NULL, 0);
  work left = later(look, 1);
  printf("killed after %llu numbers\n", (unsigned long long)left.done);
  pid_t second = start(name);
  work went_on = later(look, 2);
  int ended, good = went_on.done > left.done;
  kill(second, SIGSTOP);
  waitpid(second, &ended, WUNTRACED);
  if (run(name, 1000)) return 1;
  work last = later(look, 3);
  kill(second, SIGCONT);
  waitpid(second, &ended, 0);
  printf("stopped, fenced and woken: %s\n", WIFEXITED(ended) && WEXITSTATUS(ended) == 0 ? "it was told" : "?");
  good = good && WIFEXITED(ended) && WEXITSTATUS(ended) == 0 && later(look, 3).done == last.done;
  muster_checkpoint_close(look);
  return muster_region_remove(name, 0) || !good;
}
