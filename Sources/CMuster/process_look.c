// How a living process is.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal/caller.h"
#include "internal/process.h"
#include "internal/process_tree.h"

// The number behind a name in /proc/PID/status; 0 where it is not there, as for a zombie.
static uint64_t field(const char *text, const char *name) {
  size_t length = strlen(name);
  for (const char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (!strncmp(line, name, length) && line[length] == ':') return strtoull(line + length + 1, NULL, 10);
  }
  return 0;
}

static uint64_t ticks(uint64_t count) {
  long hertz = sysconf(_SC_CLK_TCK);
  return hertz > 0 ? count * (UINT64_C(1000000000) / (uint64_t)hertz) : 0;
}

static int look(const muster_process *process, muster_process_sample *sample) {
  process_stat stat;
  char text[4096];
  int error = muster_process_read_stat(process->pid, &stat);
  if (error) return error;
  if (muster_process_read_proc(process->pid, "status", text, sizeof text) < 0) return errno == ENOENT ? ESRCH : errno;
  *sample = (muster_process_sample){
      .start = stat.start,
      .user = ticks(stat.user),
      .system = ticks(stat.system),
      .memory = stat.pages * (uint64_t)sysconf(_SC_PAGESIZE),
      .memory_peak = field(text, "VmHWM") * 1024,
      .faults_minor = stat.faults_minor,
      .faults_major = stat.faults_major,
      .switches_voluntary = field(text, "voluntary_ctxt_switches"),
      .switches_involuntary = field(text, "nonvoluntary_ctxt_switches"),
      .threads = stat.threads,
      .state = stat.state,
  };
  struct stat files;
  int folder = muster_process_proc_open(process->pid, "fd");
  if (folder >= 0) {
    if (!fstat(folder, &files)) sample->descriptors = (uint32_t)files.st_size;
    close(folder);
  }
  return 0;
}

int muster_process_look(const muster_process *process, muster_process_sample *sample) {
  if (process->pidfd < 0) return process->end.kind ? ESRCH : EINVAL;
  muster_caller came = muster_enter();
  int error = look(process, sample);
  // All of it was of this process if it is not reaped even now: nobody else has had its number till then.
  int gone = muster_process_pidfd_signal(process->pidfd, 0) == ESRCH;
  muster_leave(came);
  return gone ? ESRCH : error;
}
