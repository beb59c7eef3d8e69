// Two workers log into shared memory and are killed. What they wrote last is there: a drain writes it to a file, in the order
// of time, and a reader finds what went wrong.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <muster/muster.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int status, const char *what) {
  if (status) fprintf(stderr, "%s: %s\n", what, muster_status_text(status)), exit(1);
}

static muster_log *open_log(const char *name) {
  muster_log *log;
  check(muster_log_open(name, &(muster_log_options){0}, &log), "open");
  return log;
}

static void work(const char *name, int worker) {
  muster_log *log = open_log(name);
  check(muster_log_join(log, NULL), "join");
  muster_log_pair pairs[] = {muster_log_int("worker", worker), muster_log_int("job", 0)};
  muster_log_text tag = muster_log_text_of("jobs");
  muster_log_fields fields = {.pairs = pairs, .pair_count = 2, .tags = &tag, .tag_count = 1};
  for (int64_t job = 1; job <= 3; job++) {
    pairs[1] = muster_log_int("job", job);
    check(muster_log_write(log, MUSTER_LOG_INFO, "begun", &fields), "write");
  }
  check(muster_log_printf(log, MUSTER_LOG_CRITICAL, &fields, "worker %d: this can't be", worker), "printf");
  // No farewell, nothing flushed.
  kill(getpid(), SIGKILL);
}

// One line for each record.
static int count_lines(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) perror(path), exit(1);
  int count = 0;
  for (int c; (c = getc(file)) != EOF;) count += c == '\n';
  fclose(file);
  return count;
}

int main(void) {
  char name[64], folder[] = "/tmp/muster-example-journal.XXXXXX", command[128];
  snprintf(name, sizeof name, "muster-example-journal-%d", (int)getpid());
  if (!mkdtemp(folder)) return perror("mkdtemp"), 1;
  muster_log *log = open_log(name);
  for (int worker = 1; worker <= 2; worker++) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) return perror("fork"), 1;
    if (pid == 0) work(name, worker), _exit(1);
    waitpid(pid, NULL, 0);
  }
  muster_log_drain *drain;
  check(muster_log_drain_open(log, &(muster_log_drain_options){.folder = folder, .name = "journal"}, &drain, NULL), "drain");
  int status;
  while (!(status = muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL))) {
  }
  if (status != EAGAIN) check(status, "step");
  int lines = count_lines(muster_log_drain_path(drain));
  printf("%d records drained\n", lines);
  check(muster_log_drain_close(drain), "close");
  // Draining takes nothing away.
  muster_log_reader *reader;
  muster_log_reader_options errors = {.hold = -1, .filter = {.least = MUSTER_LOG_ERROR}};
  check(muster_log_reader_open(log, &errors, &reader), "read");
  muster_log_record record;
  int found = 0;
  for (; !muster_log_next(reader, &record); found++)
    printf("%s: %.*s\n", muster_log_level_name(record.level), (int)record.message.size, record.message.bytes);
  muster_log_reader_close(reader);
  check(muster_log_close(log), "close");
  check(muster_region_remove(name, 0), "remove");
  snprintf(command, sizeof command, "rm -r '%s'", folder);
  return system(command) != 0 || lines != 8 || found != 2;
}
