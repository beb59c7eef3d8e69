// What others do to a drain's files and their folder, and what one who died leaves there beside them.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log_support.h"

enum { BYTES = 1 << 16 };

typedef struct scene {
  log_scene log;
  const char *folder;
} scene;

static scene make_scene(uint32_t bytes) { return (scene){log_test_scene(3, bytes), test_folder()}; }

// A file that is deleted, moved, or cut while it is being written is not written to any more; none of what comes is lost.
static void files_taken_away(void) {
  scene with = make_scene(BYTES);
  muster_log *log = log_test_join(&with.log);
  muster_log_drain *drain = log_test_drain(log, with.folder, 0);
  log_test_write(log, 5);
  log_test_drain_all(drain);
  REQUIRE(!unlink(log_test_path(with.folder, "app-000001.log")));
  log_test_write(log, 6);
  log_test_drain_all(drain);
  log_tally tally = {.next = {5}};
  log_test_tally(with.folder, &tally);
  CHECK(tally.written == 6 && tally.files == 1 && !strcmp(muster_log_drain_path(drain), log_test_path(with.folder, "app-000002.log")));
  char moved[512];
  snprintf(moved, sizeof moved, "%s", log_test_path(with.folder, "old"));
  REQUIRE(!rename(log_test_path(with.folder, "app-000002.log"), moved));
  uint64_t size = log_test_size(with.folder, "old");
  log_test_write(log, 7);
  log_test_drain_all(drain);
  CHECK_EQUAL(log_test_size(with.folder, "old"), size);
  tally = (log_tally){.next = {11}};
  log_test_tally(with.folder, &tally);
  CHECK(tally.written == 7 && tally.files == 1);
  REQUIRE(!truncate(log_test_path(with.folder, "app-000003.log"), 0));
  log_test_write(log, 8);
  log_test_drain_all(drain);
  CHECK_EQUAL(log_test_size(with.folder, "app-000003.log"), 0);
  tally = (log_tally){.next = {18}};
  log_test_tally(with.folder, &tally);
  CHECK(tally.written == 8 && tally.files == 2);
  log_test_all_drained(log, &tally);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

// Empty files that were put there before: one of the drain's own gets its permissions; one that has a second name, or
// another user, isn't written to.
static void files_put_there(void) {
  scene with = make_scene(BYTES);
  muster_log *log = log_test_join(&with.log);
  write_file(log_test_path(with.folder, "app-000001.log"), "", 0);
  REQUIRE(!chmod(log_test_path(with.folder, "app-000001.log"), 0666));
  muster_log_drain *drain = log_test_drain(log, with.folder, 0);
  log_test_write(log, 5);
  log_test_drain_all(drain);
  struct stat found;
  REQUIRE(!stat(log_test_path(with.folder, "app-000001.log"), &found));
  CHECK(found.st_size > 0 && (found.st_mode & 0777) == 0600);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  char second[512];
  snprintf(second, sizeof second, "%s", log_test_path(with.folder, "app-000002.log"));
  write_file(log_test_path(with.folder, "mine"), "", 0);
  REQUIRE(!link(log_test_path(with.folder, "mine"), second));
  REQUIRE(!unlink(log_test_path(with.folder, "app-000001.log")));
  drain = log_test_drain(log, with.folder, 0);
  log_test_write(log, 5);
  log_test_drain_all(drain);
  CHECK(log_test_size(with.folder, "mine") == 0 && log_test_size(with.folder, "app-000003.log") > 0);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  if (!geteuid()) {
    REQUIRE(!unlink(log_test_path(with.folder, "app-000003.log")));
    write_file(log_test_path(with.folder, "app-000004.log"), "", 0);
    REQUIRE(!chown(log_test_path(with.folder, "app-000004.log"), 65534, 65534));
    drain = log_test_drain(log, with.folder, 0);
    log_test_write(log, 5);
    log_test_drain_all(drain);
    CHECK(log_test_size(with.folder, "app-000004.log") == 0 && log_test_size(with.folder, "app-000005.log") > 0);
    CHECK_STATUS(muster_log_drain_close(drain), 0);
  }
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

// Files are counted, not their numbers: one with a number far ahead does not make all others too old.
static void numbers_left_out(void) {
  scene with = make_scene(BYTES);
  muster_log *log = log_test_join(&with.log);
  muster_log_drain *drain;
  muster_log_drain_options options = {.folder = with.folder, .name = "app", .rotate_bytes = 1, .keep_files = 4};
  REQUIRE(!muster_log_drain_open(log, &options, &drain, NULL));
  for (int k = 0; k < 3; k++) log_test_write(log, 1), log_test_drain_all(drain);
  write_file(log_test_path(with.folder, "app-005000.log"), "other", 5);
  log_test_write(log, 1);
  log_test_drain_all(drain);
  CHECK(count_names(with.folder, "app-") == 4 && access(log_test_path(with.folder, "app-000002.log"), F_OK) == 0);
  CHECK(access(log_test_path(with.folder, "app-000001.log"), F_OK) != 0 && access(log_test_path(with.folder, "app-005001.log"), F_OK) == 0);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

// Behind the highest number there is none; nothing is lost by it.
static void highest_number(void) {
  scene with = make_scene(BYTES);
  muster_log *log = log_test_join(&with.log);
  write_file(log_test_path(with.folder, "app-999999999999.log"), "other", 5);
  muster_log_drain *drain = log_test_drain(log, with.folder, 0);
  log_test_write(log, 5);
  CHECK_STATUS(muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL), EOVERFLOW);
  CHECK_EQUAL(log_test_size(with.folder, "app-999999999999.log"), 5);
  REQUIRE(!unlink(log_test_path(with.folder, "app-999999999999.log")));
  log_test_drain_all(drain);
  log_tally tally = {0};
  log_test_tally(with.folder, &tally);
  CHECK(tally.written == 5 && tally.files == 1);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

// The batch is there for a drain into another folder.
static void folder_removed(void) {
  scene with = make_scene(BYTES);
  muster_log *log = log_test_join(&with.log);
  char folder[512];
  snprintf(folder, sizeof folder, "%s", log_test_path(with.folder, "below"));
  REQUIRE(!mkdir(folder, 0700));
  muster_log_drain *drain = log_test_drain(log, folder, 0);
  log_test_write(log, 5);
  REQUIRE(!rmdir(folder));
  CHECK_STATUS(muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL), ENOENT);
  CHECK_STATUS(muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL), ENOENT);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  drain = log_test_drain(log, with.folder, 0);
  log_test_drain_all(drain);
  log_tally tally = {0};
  log_test_tally(with.folder, &tally);
  CHECK(tally.written == 5 && tally.files == 1);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

static void rotate_to_death(void *context) {
  scene *with = context;
  muster_log *log = log_test_attach(&with->log);
  muster_log_drain *drain;
  muster_log_drain_options options = {.folder = with->folder, .name = "app", .format = MUSTER_LOG_FORMAT_JSON,
                                      .rotate_bytes = 1, .flags = MUSTER_LOG_DRAIN_SYNC};
  REQUIRE(!muster_log_drain_open(log, &options, &drain, NULL));
  die_at_call(SYS_fsync);
  log_test_drain_all(drain);
}

static int leads_to(const scene *of, const char *leaf) {
  char target[64] = {0};
  return readlink(log_test_path(of->folder, "app.log"), target, sizeof target - 1) > 0 && !strcmp(target, leaf);
}

// A new file was made, and no mark tells of it: one who goes on with the file before leads there again.
static void link_led_ahead(void) {
  scene with = make_scene(BYTES);
  muster_log *log = log_test_join(&with.log);
  muster_log_drain *drain = log_test_drain(log, with.folder, 0);
  log_test_write(log, 5);
  log_test_drain_all(drain);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  log_test_write(log, 5);
  test_join(test_fork(rotate_to_death, &with), SIGSYS);
  CHECK(leads_to(&with, "app-000002.log") && log_test_size(with.folder, "app-000002.log") == 0);
  drain = log_test_drain(log, with.folder, 0);
  CHECK(leads_to(&with, "app-000001.log"));
  log_test_drain_all(drain);
  CHECK(leads_to(&with, "app-000001.log") && log_test_size(with.folder, "app-000002.log") == 0);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  // The next rotation takes the file that is there.
  log_test_write(log, 1);
  drain = log_test_drain(log, with.folder, 1);
  log_test_drain_all(drain);
  CHECK(leads_to(&with, "app-000002.log") && log_test_size(with.folder, "app-000002.log") > 0);
  CHECK_STATUS(muster_log_drain_close(drain), 0);
  log_tally tally = {0};
  log_test_tally(with.folder, &tally);
  CHECK(tally.written == 11 && tally.files == 2);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

TEST_SUITE(log_folder, {"files_taken_away", files_taken_away, 0}, {"files_put_there", files_put_there, 0},
           {"numbers_left_out", numbers_left_out, 0}, {"highest_number", highest_number, 0},
           {"folder_removed", folder_removed, 0}, {"link_led_ahead", link_led_ahead, 0});
