// Starting processes: a child that is tied to its parent's life is gone after it, whichever instruction of the start the parent was killed
// at; one that is not does all that it was forked for, or was never there.
//
// Whether a child lives is seen at a pipe that it has inherited, as all others of its kind would: it is closed when the last one has ended.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/process.h"
#include "sweep.h"

enum { TIED, GUARDED, FREE };

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

static void await_end(void) {
  struct pollfd polled = {.fd = ours};
  int64_t rest = (sweep_deadline() - sweep_now()) / 1000000;
  SWEEP_EQUAL(poll(&polled, 1, rest > 0 ? (int)rest : 0), 1);
  SWEEP_EQUAL(polled.revents, POLLHUP);
}

static void check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  await_end();
  SWEEP_EQUAL(unlink(sweep_path("pipe")), 0);
}

// ---- Forks

static int stays(void *context) {
  (void)context;
  while (pause()) continue;
  return 0;
}

static int tells(void *context) {
  (void)context;
  return write(1, "all of it", 9) == 9 ? 0 : 1;
}

// The kernel reaps, and a step may fail: so the child is held until it is known, and has something to tell.
static void fork_prepare(void) {
  prepare();
  if (sweep->variant == FREE) signal(SIGCHLD, SIG_IGN);
}

static int fork_operate(void) {
  static const uint32_t flags[] = {[TIED] = MUSTER_PROCESS_TIE, [GUARDED] = MUSTER_PROCESS_GUARD, [FREE] = MUSTER_PROCESS_GROUP};
  muster_process_options options = {.flags = flags[sweep->variant]};
  options.streams[1] = (muster_process_stream){MUSTER_PROCESS_STREAM_DESCRIPTOR, theirs};
  return muster_process_fork(sweep->variant == FREE ? tells : stays, NULL, &options, &child, NULL);
}

// All of it, or it has not begun.
static void fork_check(void) {
  char text[32];
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  await_end();
  ssize_t length = read(ours, text, sizeof text);
  SWEEP_CHECK(length == 0 || (length == 9 && !memcmp(text, "all of it", 9)));
  sweep_found(length ? SWEEP_AFTER : SWEEP_BEFORE);
  SWEEP_EQUAL(unlink(sweep_path("pipe")), 0);
}

SWEEP_SUITE(process,
            {.name = "process.spawn-tied", .minimum = 300, .setup = setup, .prepare = prepare, .operate = operate, .check = check,
             .injections = SWEEP_CRASH, .variant = TIED, .children = 1},
            {.name = "process.spawn-guarded", .minimum = 300, .setup = setup, .prepare = prepare, .operate = operate, .check = check,
             .injections = SWEEP_CRASH, .variant = GUARDED, .children = 1},
            {.name = "process.fork", .minimum = 300, .setup = setup, .prepare = fork_prepare, .operate = fork_operate,
             .check = fork_check, .injections = SWEEP_CRASH, .variant = FREE, .children = 1},
            {.name = "process.fork-tied", .minimum = 300, .setup = setup, .prepare = fork_prepare, .operate = fork_operate,
             .check = check, .injections = SWEEP_CRASH, .variant = TIED, .children = 1},
            {.name = "process.fork-guarded", .minimum = 300, .setup = setup, .prepare = fork_prepare, .operate = fork_operate,
             .check = check, .injections = SWEEP_CRASH, .variant = GUARDED, .children = 1});
