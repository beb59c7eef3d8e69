// A crew of processes records what it does. One of them crashes; a watcher, told by the kernel, freezes the record at once,
// and what the dead one did last is there to be read: its open span says at which job it died. With a file's name as
// argument all of it is exported for ui.perfetto.dev.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <muster/muster.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CREW = 3, CRASHES = 1, FATAL_JOB = 5000 };

static void check(int status, const char *what) {
  if (status) fprintf(stderr, "%s: %s\n", what, muster_status_text(status)), exit(1);
}

static muster_trace *open_trace(const char *name) {
  muster_trace_options options = {.shape = {.recorders = 8, .events = 1024, .names = 16}};
  muster_trace *trace;
  check(muster_trace_open(name, &options, &trace), "open");
  return trace;
}

// Works until it is killed, or dies of a job.
static void work(const char *name, int number) {
  muster_trace *trace = open_trace(name);
  muster_trace_recorder *mine;
  uint16_t job, step;
  char label[32];
  snprintf(label, sizeof label, "worker %d", number);
  check(muster_trace_join(trace, label, &mine), "join");
  check(muster_trace_name(trace, "job", &job), "name");
  check(muster_trace_name(trace, "step", &step), "name");
  for (uint64_t n = 1;; n++) {
    muster_trace_begin(mine, job, n);
    uint64_t began = muster_trace_now(mine);
    if (number == CRASHES && n == FATAL_JOB) abort();
    muster_trace_span(mine, step, began);
    muster_trace_end(mine, job, n);
    if (n % 64 == 0) usleep(100);
  }
}

// The last event of a recorder: at most it tells which job was open.
static muster_trace_event last_event(const muster_trace *trace, uint32_t recorder) {
  muster_trace_cursor *cursor;
  muster_trace_event event = {0};
  check(muster_trace_read(trace, recorder, &cursor), "read");
  while (!muster_trace_next(cursor, &event)) continue;
  muster_trace_cursor_close(cursor);
  return event;
}

static void export_to(const muster_trace *trace, const char *path) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) perror(path), exit(1);
  check(muster_trace_export(trace, file), "export");
  close(file);
}

int main(int count, char **arguments) {
  char name[64];
  snprintf(name, sizeof name, "muster-example-flight-%d", (int)getpid());
  muster_trace *trace = open_trace(name);
  pid_t crew[CREW];
  for (int k = 0; k < CREW; k++) {
    crew[k] = fork();
    if (crew[k] < 0) return perror("fork"), 1;
    if (crew[k] == 0) work(name, k), _exit(1);
  }
  uint32_t died;
  int status = muster_trace_watch(trace, muster_deadline_after(INT64_C(30000000000)), &died);
  if (status != EOWNERDEAD) check(status, "watch");
  for (int k = 0; k < CREW; k++) kill(crew[k], SIGKILL), waitpid(crew[k], NULL, 0);
  muster_trace_recorder_info info;
  check(muster_trace_look_recorder(trace, died, &info), "look");
  muster_trace_event last = last_event(trace, died);
  char text[MUSTER_TRACE_NAME_SIZE];
  check(muster_trace_name_text(trace, last.name, text), "name");
  printf("%s, process %d, died in %s %llu\n", info.label, (int)info.pid, text, (unsigned long long)last.value);
  if (count > 1) export_to(trace, arguments[1]);
  int right = info.pid == crew[CRASHES] && last.kind == MUSTER_TRACE_BEGIN && last.value == FATAL_JOB && !strcmp(text, "job");
  check(muster_trace_close(trace), "close");
  check(muster_region_remove(name, 0), "remove");
  return right ? 0 : 1;
}
