// Workers that share a list of jobs and die: all jobs are done all the same.
//
// The parent puts forty commands into a queue and starts four workers, as a shell script would start four of its own kind. Every fifth
// worker that takes a job is killed while it has it, and another is started in its place; the job goes back and is done by somebody
// else. One job kills whoever takes it: after three attempts it is set aside. In the end the parent says who did what.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <muster/queue.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS = 40, WORKERS = 4, ATTEMPTS = 3, DEADLY = 17 };

static const int64_t patience = INT64_C(20000000000);

static void check(int status, const char *what) {
  if (!status) return;
  fprintf(stderr, "%s: %s\n", what, muster_status_text(status));
  exit(1);
}

static muster_queue *enter(const char *name, uint32_t flags) {
  muster_queue *queue;
  muster_queue_options options = {.job_size = 64, .jobs = JOBS, .members = WORKERS + 1, .attempts = ATTEMPTS, .flags = flags};
  check(muster_queue_open(name, &options, &queue), "muster_queue_open");
  check(muster_queue_join(queue, NULL), "muster_queue_join");
  return queue;
}

// What the workers tell about each job; and how many jobs have been begun.
typedef struct ledger {
  uint32_t begun;
  uint32_t done[JOBS];
} ledger;

static void work(const char *name, ledger *book) {
  muster_queue *queue = enter(name, MUSTER_REGION_ATTACH);
  muster_queue_job job;
  int status;
  while (!(status = muster_queue_take_wait(queue, muster_deadline_after(patience), &job))) {
    unsigned number;
    char text[65] = {0};
    memcpy(text, job.bytes, job.size);
    if (sscanf(text, "job %u", &number) != 1 || number >= JOBS) check(EBADMSG, text);
    // A worker's life: now and then it ends in the midst of it.
    if (number == DEADLY || __atomic_fetch_add(&book->begun, 1, __ATOMIC_SEQ_CST) % 5 == 4) raise(SIGKILL);
    __atomic_store_n(&book->done[number], (uint32_t)getpid(), __ATOMIC_SEQ_CST);
    check(muster_queue_done(queue, job.id), "muster_queue_done");
  }
  check(status == ENODATA ? 0 : status, "muster_queue_take_wait");
  check(muster_queue_close(queue), "muster_queue_close");
}

static void start_worker(const char *name, ledger *book) {
  pid_t pid = fork();
  if (pid < 0) check(errno, "fork");
  if (pid) return;
  work(name, book);
  exit(0);
}

// Starts another in the place of each that was killed, until all have come to the end.
static unsigned supervise(const char *name, ledger *book) {
  unsigned killed = 0;
  for (int running = WORKERS; running > 0;) {
    int status;
    if (wait(&status) < 0) check(errno, "wait");
    if (WIFSIGNALED(status)) {
      killed++;
      start_worker(name, book);
    } else {
      check(WEXITSTATUS(status) ? EINVAL : 0, "a worker");
      running--;
    }
  }
  return killed;
}

int main(void) {
  char name[64];
  snprintf(name, sizeof name, "muster-example-workers-%d", (int)getpid());
  ledger *book = mmap(NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (book == MAP_FAILED) check(errno, "mmap");
  // The workers open it by name, as any other program would.
  muster_queue *queue = enter(name, 0);
  for (unsigned k = 0; k < JOBS; k++) {
    char text[64];
    int size = snprintf(text, sizeof text, "job %u", k);
    check(muster_queue_put(queue, text, (size_t)size, 0), "muster_queue_put");
  }
  check(muster_queue_finish(queue), "muster_queue_finish");
  for (int k = 0; k < WORKERS; k++) start_worker(name, book);
  unsigned killed = supervise(name, book), done = 0, aside = 0;
  for (unsigned k = 0; k < JOBS; k++) done += book->done[k] != 0;
  uint32_t cursor = 0;
  muster_queue_entry entry;
  char text[65] = {0};
  while (!muster_queue_next(queue, MUSTER_QUEUE_ASIDE, &cursor, &entry, text, 64)) {
    printf("set aside after %u attempts: %s\n", (unsigned)entry.attempts, text);
    aside++;
  }
  printf("%u jobs done, %u set aside, %u workers killed\n", done, aside, killed);
  check(muster_queue_close(queue), "muster_queue_close");
  check(muster_region_remove(name, 0), "muster_region_remove");
  return done == JOBS - 1 && aside == 1 && killed >= ATTEMPTS ? 0 : 1;
}
