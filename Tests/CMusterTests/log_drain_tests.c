// Draining: rotation, what is kept, one at a time, and each record once whatever the drain died at.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log_support.h"

enum { BYTES = 1 << 16 };

typedef struct scene {
  log_scene log;
  const char *folder;
  uint32_t *gate;
} scene;

static scene make_scene(uint32_t bytes) { return (scene){log_test_scene(3, bytes), test_folder(), shared_memory(4)}; }

static unsigned count_files(const scene *of) { return count_names(of->folder, "app-"); }

static void arguments(void) {
  scene with = make_scene(BYTES);
  muster_log *log = log_test_attach(&with.log), *read_only;
  muster_log_drain *drain;
  const muster_log_drain_options wrong[] = {
      {.descriptor = -1}, {.folder = with.folder}, {.folder = with.folder, .name = "a/b"}, {.folder = with.folder, .name = ""},
      {.folder = with.folder, .name = "."}, {.folder = with.folder, .name = "a", .format = MUSTER_LOG_FORMAT_COLOUR},
      {.descriptor = 1, .format = MUSTER_LOG_FORMAT_COLOUR | MUSTER_LOG_FORMAT_JSON}, {.descriptor = 1, .format = 8},
      {.descriptor = 1, .flags = MUSTER_LOG_DRAIN_ALL}, {.descriptor = 1, .keep_seconds = -1},
      {.folder = with.folder, .name = "a", .permissions = 01000}};
  for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
    CHECK_STATUS(muster_log_drain_open(log, &wrong[k], &drain, NULL), EINVAL);
  muster_log_drain_options options = {.folder = log_test_path(with.folder, "none"), .name = "app"};
  CHECK_STATUS(muster_log_drain_open(log, &options, &drain, NULL), ENOENT);
  REQUIRE(!muster_log_attach_read_only(with.log.memory, with.log.size, &read_only));
  options.folder = with.folder;
  CHECK_STATUS(muster_log_drain_open(read_only, &options, &drain, NULL), EACCES);
  CHECK_STATUS(muster_log_close(read_only), 0);
  drain = log_test_drain(log, with.folder, 0);
  CHECK_STATUS(muster_log_close(log), EBUSY);
  CHECK_STATUS(muster_log_drain_step(drain, 0, NULL), EAGAIN);
  CHECK(!muster_log_drain_path(drain));
  CHECK_EQUAL(count_files(&with), 0);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

// The second is told who does it; after the first closed, died, or lost its thread, another goes on.
static void drain_and_stay(void *context) {
  scene *with = context;
  muster_log *log = log_test_join(&with->log);
  muster_log_drain *drain = log_test_drain(log, with->folder, 0);
  log_test_write(log, 10);
  log_test_drain_all(drain);
  log_test_write(log, 5);
  gate_open(with->gate, 1);
  for (;;) pause();
}

static void one_at_a_time(void) {
  scene with = make_scene(BYTES);
  pid_t pid = test_fork(drain_and_stay, &with);
  gate_wait(with.gate, 1);
  muster_log *log = log_test_attach(&with.log);
  muster_log_drain *drain;
  int32_t who = 0;
  muster_log_drain_options options = {.folder = with.folder, .name = "app", .format = MUSTER_LOG_FORMAT_JSON};
  CHECK_STATUS(muster_log_drain_open(log, &options, &drain, &who), EBUSY);
  CHECK_EQUAL(who, pid);
  muster_log_drain_state state;
  CHECK_STATUS(muster_log_look_drain(log, &state), 0);
  CHECK(state.life == 0 && state.pid == pid && state.records == 10 && state.file == 1 && !state.staged);
  kill_process(pid);
  CHECK_STATUS(muster_log_look_drain(log, &state), 0);
  CHECK(state.life == EOWNERDEAD && state.pid == pid);
  drain = log_test_drain(log, with.folder, 0);
  log_test_drain_all(drain);
  CHECK_STATUS(muster_log_look_drain(log, &state), 0);
  CHECK(state.life == 0 && state.pid == getpid() && state.records == 15 && state.file == 1 && state.lost == 0);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  CHECK_STATUS(muster_log_look_drain(log, &state), 0);
  CHECK_EQUAL(state.life, ENOENT);
  log_tally tally = {0};
  log_test_tally(with.folder, &tally);
  CHECK(tally.written == 15 && tally.files == 1 && tally.bytes == state.length);
  char target[64] = {0};
  CHECK(readlink(log_test_path(with.folder, "app.log"), target, sizeof target - 1) > 0 && !strcmp(target, "app-000001.log"));
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

static void rotation(void) {
  scene with = make_scene(BYTES);
  muster_log *log = log_test_join(&with.log);
  write_file(log_test_path(with.folder, "app-1.log"), "other", 5);
  write_file(log_test_path(with.folder, "app-000000.log"), "other", 5);
  write_file(log_test_path(with.folder, "application-000001.log"), "other", 5);
  muster_log_drain_options options = {.folder = with.folder, .name = "app", .format = MUSTER_LOG_FORMAT_JSON,
                                      .rotate_bytes = 1000, .keep_files = 3,
                                      .permissions = 0640};
  muster_log_drain *drain;
  umask(0777);
  REQUIRE(!muster_log_drain_open(log, &options, &drain, NULL));
  for (int k = 0; k < 20; k++) {
    log_test_write(log, 3 + (uint32_t)k % 4 * 10);
    log_test_drain_all(drain);
  }
  struct stat file;
  REQUIRE(!stat(muster_log_drain_path(drain), &file));
  CHECK_EQUAL(file.st_mode & 0777, 0640);
  // Each but the last is as long as asked for, and at most by one record longer.
  muster_log_drain_state state;
  CHECK_STATUS(muster_log_look_drain(log, &state), 0);
  CHECK(state.file > 10 && state.length == (uint64_t)file.st_size);
  for (uint64_t k = state.file - 2; k < state.file; k++) {
    char name[64];
    snprintf(name, sizeof name, "app-%06llu.log", (unsigned long long)k);
    REQUIRE(!stat(log_test_path(with.folder, name), &file));
    CHECK(file.st_size >= 1000 && file.st_size < 1300);
  }
  CHECK_EQUAL(count_files(&with), 5);
  CHECK(access(log_test_path(with.folder, "application-000001.log"), F_OK) == 0);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  // By age: what was last written long ago.
  struct timespec old[2] = {{1000, 0}, {1000, 0}};
  char name[64];
  snprintf(name, sizeof name, "app-%06llu.log", (unsigned long long)state.file - 1);
  REQUIRE(!utimensat(AT_FDCWD, log_test_path(with.folder, name), old, 0));
  options.keep_files = 0;
  options.keep_seconds = 3600;
  REQUIRE(!muster_log_drain_open(log, &options, &drain, NULL));
  CHECK_STATUS(muster_log_drain_step(drain, 0, NULL), EAGAIN);
  CHECK_EQUAL(count_files(&with), 4);
  CHECK(access(log_test_path(with.folder, name), F_OK) != 0);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  // By time: a second is over when it is.
  options.rotate_bytes = 0;
  options.rotate_seconds = 1;
  REQUIRE(!muster_log_drain_open(log, &options, &drain, NULL));
  for (uint64_t before = state.file, turn = 0; turn < 1; turn++) {
    muster_deadline end = soon();
    do {
      log_test_write(log, 1);
      log_test_drain_all(drain);
      CHECK_STATUS(muster_log_look_drain(log, &state), 0);
      test_pause(20000000);
    } while (state.file == before && !muster_deadline_passed(end));
    CHECK(state.file > before);
    before = state.file;
  }
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

// ---- Death at each system call

typedef struct death {
  scene with;
  long call;
  muster_log_drain *drain;
} death;

static void drain_to_death(void *context) {
  death *at = context;
  muster_log *log = log_test_attach(&at->with.log);
  muster_log_drain *drain = log_test_drain(log, at->with.folder, 2000);
  die_at_call(at->call);
  log_test_drain_all(drain);
}

// The rings go round between the death and the successor: what was staged is there all the same.
static void dies_at(long call, int overrun) {
  death at = {.with = make_scene(8192), .call = call};
  muster_log *log = log_test_join(&at.with.log);
  log_test_write(log, 30);
  muster_log_drain *drain = log_test_drain(log, at.with.folder, 2000);
  log_test_drain_all(drain);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  log_tally before = {0};
  log_test_tally(at.with.folder, &before);
  CHECK_EQUAL(before.written, 30);
  log_test_write(log, 40);
  test_join(test_fork(drain_to_death, &at), SIGSYS);
  muster_log_drain_state state;
  CHECK_STATUS(muster_log_look_drain(log, &state), 0);
  uint64_t safe = state.staged ? state.records : 30;
  if (overrun) log_test_write(log, 500);
  drain = log_test_drain(log, at.with.folder, 2000);
  log_test_drain_all(drain);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  log_tally after = {0};
  log_test_tally(at.with.folder, &after);
  log_test_all_drained(log, &after);
  CHECK(after.written >= safe);
  if (overrun) CHECK(after.lost > 100 && after.written + after.lost == 570);
  else CHECK(after.written == 70 && !after.lost);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&at.with.log);
}

static void dies_writing(void) { dies_at(SYS_pwrite64, 0); }
static void dies_writing_and_overrun(void) { dies_at(SYS_pwrite64, 1); }
static void dies_linking(void) { dies_at(SYS_symlinkat, 0); }
static void dies_making_a_file(void) { dies_at(SYS_fchmod, 0); }
static void dies_renaming_the_link(void) { dies_at(SYS_renameat, 1); }

// Half of a batch is in the file, and then more than was ever said: it is cut, and written again.
static void torn_tail(void) {
  scene with = make_scene(BYTES);
  muster_log *log = log_test_join(&with.log);
  log_test_write(log, 7);
  muster_log_drain *drain = log_test_drain(log, with.folder, 0);
  log_test_drain_all(drain);
  char path[512];
  snprintf(path, sizeof path, "%s", muster_log_drain_path(drain));
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  int file = open(path, O_WRONLY | O_APPEND);
  REQUIRE(file >= 0 && write(file, "{\"time\":\"torn", 13) == 13);
  close(file);
  log_test_write(log, 7);
  drain = log_test_drain(log, with.folder, 0);
  log_test_drain_all(drain);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  log_tally tally = {0};
  log_test_tally(with.folder, &tally);
  CHECK(tally.written == 14 && tally.files == 1);
  // Another file of that name is not ours to be cut.
  REQUIRE(!unlink(path));
  write_file(path, "another's", 9);
  log_test_write(log, 7);
  drain = log_test_drain(log, with.folder, 0);
  log_test_drain_all(drain);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  char found[16] = {0};
  file = open(path, O_RDONLY);
  CHECK(read(file, found, sizeof found) == 9 && !memcmp(found, "another's", 9));
  close(file);
  REQUIRE(!unlink(path));
  tally = (log_tally){.next = {14}};
  log_test_tally(with.folder, &tally);
  CHECK(tally.written == 7 && tally.files == 1);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

// What was staged in another form for a file that is gone is read again, not written between lines of this form.
static void gone_in_another_form(void) {
  death at = {.with = make_scene(BYTES), .call = SYS_pwrite64};
  muster_log *log = log_test_join(&at.with.log);
  log_test_write(log, 5);
  test_join(test_fork(drain_to_death, &at), SIGSYS);
  REQUIRE(!unlink(log_test_path(at.with.folder, "app-000001.log")));
  muster_log_drain *drain;
  REQUIRE(!muster_log_drain_open(log, &(muster_log_drain_options){.folder = at.with.folder, .name = "app"}, &drain, NULL));
  log_test_drain_all(drain);
  static char text[4096];
  int file = open(muster_log_drain_path(drain), O_RDONLY);
  ssize_t size = read(file, text, sizeof text);
  close(file);
  CHECK(size > 0 && !memchr(text, '"', (size_t)size) && strstr(text, "record 4 of some"));
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&at.with.log);
}

// ---- Where there is no room

static void fill_disk(const scene *of) {
  static char zeros[4096];
  int file = open(log_test_path(of->folder, "ballast"), O_WRONLY | O_CREAT, 0600);
  REQUIRE(file >= 0);
  while (write(file, zeros, sizeof zeros) > 0) {
  }
  close(file);
}

// Neither this drain loses anything nor, when it gives up, the next one; half of a batch may be in the file meanwhile.
static void disk_gets_full(int successor) {
  scene with = make_scene(BYTES);
  mount_private(with.folder, 0, "size=64k");
  muster_log *log = log_test_join(&with.log);
  muster_log_drain *drain = log_test_drain(log, with.folder, 0);
  log_test_write(log, 10);
  log_test_drain_all(drain);
  fill_disk(&with);
  int status = 0;
  for (int turns = 0; !status && turns < 100; turns++) {
    log_test_write(log, 7);
    while (!(status = muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL))) {
    }
    if (status == EAGAIN) status = 0;
  }
  CHECK_STATUS(status, ENOSPC);
  log_test_write(log, 20);
  CHECK_STATUS(muster_log_drain_step(drain, 0, NULL), ENOSPC);
  muster_wait_set set;
  CHECK_STATUS(muster_log_drain_poll(drain, &set), EAGAIN);
  CHECK_STATUS(muster_log_drain_wait(drain, muster_deadline_after(1000000)), 0);
  CHECK_STATUS(muster_log_drain_run(drain, soon()), ENOSPC);
  if (successor) {
    CHECK_STATUS(muster_log_drain_close(drain), 0);
    drain = log_test_drain(log, with.folder, 0);
    CHECK_STATUS(muster_log_drain_step(drain, 0, NULL), ENOSPC);
  }
  REQUIRE(!unlink(log_test_path(with.folder, "ballast")));
  log_test_drain_all(drain);
  log_tally tally = {0};
  log_test_tally(with.folder, &tally);
  log_test_all_drained(log, &tally);
  CHECK(tally.written > 30 && !tally.lost);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

// Who deletes or empties the log's own file to make room gets the room, and the batch is in the next file, whole.
static void room_made_by_taking(int cut) {
  scene with = make_scene(BYTES);
  mount_private(with.folder, 0, "size=64k");
  muster_log *log = log_test_join(&with.log);
  muster_log_drain *drain = log_test_drain(log, with.folder, 0);
  uint64_t wrote = 0, records;
  int status;
  do {
    log_test_write(log, 50);
    while (!(status = muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, &records))) wrote += records;
  } while (status == EAGAIN);
  CHECK_STATUS(status, ENOSPC);
  const char *path = log_test_path(with.folder, "app-000001.log");
  REQUIRE(!(cut ? truncate(path, 0) : unlink(path)));
  log_test_drain_all(drain);
  log_tally tally = {.next = {wrote}};
  log_test_tally(with.folder, &tally);
  log_test_all_drained(log, &tally);
  CHECK_EQUAL(tally.written, 50);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

static void full_disk_file_deleted(void) { room_made_by_taking(0); }
static void full_disk_file_cut(void) { room_made_by_taking(1); }
static void full_disk(void) { disk_gets_full(0); }
static void full_disk_and_successor(void) { disk_gets_full(1); }

// ---- Descriptors

static uint32_t lines_in(const char *text, size_t size) {
  uint32_t count = 0;
  for (size_t k = 0; k < size; k++) count += text[k] == '\n';
  return count;
}

static void to_a_pipe(void) {
  scene with = make_scene(1 << 18);
  muster_log *log = log_test_join(&with.log);
  int ends[2];
  REQUIRE(!pipe2(ends, O_NONBLOCK));
  muster_log_drain *drain;
  REQUIRE(!muster_log_drain_open(log, &(muster_log_drain_options){.descriptor = ends[1]}, &drain, NULL));
  log_test_write(log, 2000);
  uint64_t records, wrote = 0;
  uint32_t seen = 0;
  int status;
  static char text[1 << 16];
  size_t part = 0;
  do {
    status = muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, &records);
    wrote += records;
    ssize_t got = read(ends[0], text, sizeof text);
    if (got > 0) seen += lines_in(text, (size_t)got), part += (size_t)got;
    else if (status == EAGAIN) break;
  } while (status == 0 || status == EAGAIN);
  CHECK_STATUS(status, EAGAIN);
  CHECK(wrote == 2000 && seen == 2000);
  // A reader that is gone.
  close(ends[0]);
  signal(SIGPIPE, SIG_IGN);
  log_test_write(log, 1);
  CHECK_STATUS(muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL), EPIPE);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  close(ends[1]);
  // What it could not get rid of goes to whoever is next, in the form that he asks for.
  drain = log_test_drain(log, with.folder, 0);
  log_test_drain_all(drain);
  log_tally tally = {.next = {2000}};
  log_test_tally(with.folder, &tally);
  CHECK_EQUAL(tally.written, 1);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  // Another form in another file.
  log_test_write(log, 3);
  REQUIRE(!muster_log_drain_open(log, &(muster_log_drain_options){.folder = with.folder, .name = "app"}, &drain, NULL));
  log_test_drain_all(drain);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  CHECK_EQUAL(count_files(&with), 2);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

// What a filter leaves out counts as drained, and what is lost is told in the file.
static void filtered(void) {
  scene with = make_scene(4096);
  muster_log *log = log_test_join(&with.log);
  muster_log_drain *drain;
  muster_log_drain_options options = {.folder = with.folder, .name = "app", .format = MUSTER_LOG_FORMAT_JSON,
                                      .filter = {.least = MUSTER_LOG_ERROR}};
  for (int turn = 0; turn < 3; turn++) {
    REQUIRE(!muster_log_drain_open(log, &options, &drain, NULL));
    log_test_write(log, 20);
    CHECK_STATUS(muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL), EAGAIN);
    CHECK_STATUS(muster_log_drain_close(drain), 0);
  }
  CHECK_EQUAL(count_files(&with), 0);
  options.filter.least = MUSTER_LOG_TRACE;
  REQUIRE(!muster_log_drain_open(log, &options, &drain, NULL));
  log_test_write(log, 400);
  log_test_drain_all(drain);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  log_tally tally = {.next = {60}};
  log_test_tally(with.folder, &tally);
  log_test_all_drained(log, &tally);
  CHECK(tally.lost > 100 && tally.written > 10);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

TEST_SUITE(log_drain, {"arguments", arguments, 0}, {"one_at_a_time", one_at_a_time, 0}, {"rotation", rotation, 0},
           {"dies_writing", dies_writing, 0}, {"dies_writing_and_overrun", dies_writing_and_overrun, 0},
           {"dies_linking", dies_linking, 0}, {"dies_making_a_file", dies_making_a_file, 0},
           {"dies_renaming_the_link", dies_renaming_the_link, 0}, {"torn_tail", torn_tail, 0},
           {"gone_in_another_form", gone_in_another_form, 0}, {"full_disk_file_deleted", full_disk_file_deleted, 0},
           {"full_disk_file_cut", full_disk_file_cut, 0}, {"full_disk", full_disk, 0},
           {"full_disk_and_successor", full_disk_and_successor, 0},
           {"to_a_pipe", to_a_pipe, 0}, {"filtered", filtered, 0});
