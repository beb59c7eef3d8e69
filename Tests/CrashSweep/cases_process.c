// Processes: a child that is tied to its parent's life is gone after it, whichever instruction of the start the parent was killed at.
//
// Whether a child lives is seen at a pipe that it has inherited, as all others of its kind would: it is closed when the last one has ended.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/process.h"
#include "sweep.h"

enum { TIED, GUARDED };

static int ours = -1, theirs = -1;
static muster_process child;

static void setup(void) {
  const char *path = sweep_path("pipe");
  SWEEP_EQUAL(mkfifo(path, 0600), 0);
  ours = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  SWEEP_CHECK(ours >= 0);
}

static void prepare(void) {
  theirs = open(sweep_path("pipe"), O_WRONLY | O_CLOEXEC);
  SWEEP_CHECK(theirs >= 0);
}

static int operate(void) {
  static const char *const arguments[] = {"sleep", "1000", NULL};
  static const char *const environment[] = {NULL};
  muster_process_options options = {.path = "/bin/sleep", .arguments = arguments, .environment = environment};
  options.flags = sweep->variant == GUARDED ? MUSTER_PROCESS_GUARD : MUSTER_PROCESS_TIE;
  options.streams[1] = (muster_process_stream){MUSTER_PROCESS_STREAM_DESCRIPTOR, theirs};
  return muster_process_spawn(&options, &child, NULL);
}

static void check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  struct pollfd polled = {.fd = ours, .events = POLLIN};
  int64_t rest = (sweep_deadline() - sweep_now()) / 1000000;
  SWEEP_EQUAL(poll(&polled, 1, rest > 0 ? (int)rest : 0), 1);
  SWEEP_EQUAL(polled.revents, POLLHUP);
  SWEEP_EQUAL(unlink(sweep_path("pipe")), 0);
}

SWEEP_SUITE(process,
            {.name = "process.spawn-tied", .minimum = 300, .setup = setup, .prepare = prepare, .operate = operate, .check = check,
             .injections = SWEEP_CRASH, .variant = TIED, .children = 1},
            {.name = "process.spawn-guarded", .minimum = 300, .setup = setup, .prepare = prepare, .operate = operate, .check = check,
             .injections = SWEEP_CRASH, .variant = GUARDED, .children = 1});
