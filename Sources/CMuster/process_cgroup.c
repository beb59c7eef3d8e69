// A cgroup (v2) of a process's own: made beside what this process's cgroup has below it, where that may be done.
//
// Whoever holds a handle of it, or its guard, holds a shared lock on its folder (flock(2), on the open file that both have). One that nobody
// holds was left: its handle was closed, or its maker killed, while somebody lived in it. It goes when he has ended, and the next is made.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "internal/process.h"
#include "internal/process_tree.h"

// How deep what a process has made in its cgroup is removed.
enum { DEPTH = 8, LINE = 2 * PATH_MAX };

// How often another number is tried, where the folder was taken for left before it was locked.
enum { TRIES = 8 };

// The file's lines one by one; a longer one is cut.
typedef struct line_reader {
  int file;
  size_t from, to;
  char bytes[LINE];
} line_reader;

static const char *next_line(line_reader *reader) {
  for (;;) {
    char *start = reader->bytes + reader->from, *end = memchr(start, '\n', reader->to - reader->from);
    if (end) {
      *end = 0;
      reader->from = (size_t)(end + 1 - reader->bytes);
      return start;
    }
    memmove(reader->bytes, start, reader->to - reader->from);
    reader->to -= reader->from;
    reader->from = 0;
    if (reader->to >= sizeof reader->bytes - 1) reader->to = 0;
    ssize_t length = read(reader->file, reader->bytes + reader->to, sizeof reader->bytes - 1 - reader->to);
    if (length <= 0) return NULL;
    reader->to += (size_t)length;
  }
}

// As /proc/self/mountinfo has it: fields between spaces, the mount's root 4th, its point 5th; the type behind " - ".
static int is_cgroup2(const char *line, char root[PATH_MAX], char point[PATH_MAX]) {
  const char *type = strstr(line, " - cgroup2 ");
  return type && sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) == 2;
}

static int find_mount(char root[PATH_MAX], char point[PATH_MAX]) {
  line_reader reader = {.file = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)};
  if (reader.file < 0) return 0;
  int found = 0;
  for (const char *line; !found && (line = next_line(&reader));) found = is_cgroup2(line, root, point);
  close(reader.file);
  return found;
}

static int find_own(char path[PATH_MAX]) {
  line_reader reader = {.file = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC)};
  if (reader.file < 0) return 0;
  int found = 0;
  for (const char *line; !found && (line = next_line(&reader));) {
    if (strncmp(line, "0::/", 4) || strlen(line) - 3 >= PATH_MAX) continue;
    strcpy(path, line + 3);
    found = 1;
  }
  close(reader.file);
  return found;
}

// The folder of this process's own cgroup. The mount may show a part of the hierarchy only.
static int open_own(void) {
  char root[PATH_MAX], point[PATH_MAX], own[PATH_MAX], path[2 * PATH_MAX];
  if (!find_mount(root, point) || !find_own(own)) return -1;
  size_t length = strcmp(root, "/") ? strlen(root) : 0;
  if (length && (strncmp(own, root, length) || (own[length] && own[length] != '/'))) return -1;
  if (snprintf(path, sizeof path, "%s%s", point, own + length) >= (int)sizeof path) return -1;
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// By hand, as a guard does it as well.
static void name_of(uint64_t tree, char *name) {
  memcpy(name, "muster-", 7);
  for (int i = 22; i > 6; i--, tree >>= 4) name[i] = "0123456789abcdef"[tree & 15];
  name[23] = 0;
}

static int populated(int events) {
  char text[256];
  ssize_t length = pread(events, text, sizeof text - 1, 0);
  // It was removed, by its guard for one, which nobody can do while somebody is in it.
  if (length < 0 && errno == ENODEV) return 0;
  if (length <= 0) return 1;
  text[length] = 0;
  return !strstr(text, "populated 0");
}

static int is_empty(int cgroup) {
  int events = openat(cgroup, "cgroup.events", O_RDONLY | O_CLOEXEC);
  int empty = events >= 0 && !populated(events);
  if (events >= 0) close(events);
  return empty;
}

// What it has made below comes first. It may make more meanwhile: then the folder stays, as it would if it were in use.
static void remove_below(int folder, int depth) {
  dir_reader reader;
  if (depth == 0 || muster_process_dir_open(&reader, folder, ".")) return;
  for (const char *name; (name = muster_process_dir_next(&reader));) {
    if (*name == '.') continue;
    int below = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (below < 0) continue;
    remove_below(below, depth - 1);
    close(below);
    unlinkat(folder, name, AT_REMOVEDIR);
  }
  muster_process_dir_close(&reader);
}

// 0: somebody lives in it, or it can't be.
static int remove_empty(int above, const char *name, int folder) {
  if (!unlinkat(above, name, AT_REMOVEDIR) || errno == ENOENT) return 1;
  // What the living have made in it is theirs.
  if (errno != EBUSY || !is_empty(folder)) return 0;
  remove_below(folder, DEPTH);
  return !unlinkat(above, name, AT_REMOVEDIR);
}

static int is_name(const char *name) {
  return !strncmp(name, "muster-", 7) && strspn(name + 7, "0123456789abcdef") == 16 && strlen(name) == 23;
}

// Whether there may be some in the folder of this process's cgroup that were left: by others before, by us since.
static int some_left = 1;

// Those in whom nobody lives any more.
static void remove_left(int own) {
  dir_reader reader;
  if (!__atomic_exchange_n(&some_left, 0, __ATOMIC_RELAXED) || muster_process_dir_open(&reader, own, ".")) return;
  for (const char *name; (name = muster_process_dir_next(&reader));) {
    int left = is_name(name) ? openat(own, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (left < 0) continue;
    // With the lock, so that nobody holds it any more, or is about to; of another user's one it is not to be had, or of no use.
    // It may be another's who looks as well, and saw somebody in it who has ended since.
    int stays = flock(left, LOCK_EX | LOCK_NB) ? is_empty(left) : !remove_empty(own, name, left);
    if (stays) __atomic_store_n(&some_left, 1, __ATOMIC_RELAXED);
    close(left);
  }
  muster_process_dir_close(&reader);
}

// EAGAIN: it was taken for left, and removed, before it was locked.
static int make_in(int own, const char *name, int *made) {
  if (mkdirat(own, name, 0755)) return errno;
  *made = muster_above_stdio(openat(own, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (*made < 0 && errno != ENOENT) return errno;
  if (*made < 0 || flock(*made, LOCK_SH | LOCK_NB) || faccessat(*made, "cgroup.procs", F_OK, 0)) return EAGAIN;
  // Before Linux 5.14 it could not be killed at once.
  return faccessat(*made, "cgroup.kill", W_OK, AT_EACCESS) ? errno : 0;
}

int muster_process_cgroup_make(uint64_t *tree, int chosen) {
  int own = open_own(), made = -1, error = EAGAIN;
  if (own < 0) return -1;
  // To move a process one has to be permitted to write to the file of the folder above both.
  if (faccessat(own, "cgroup.procs", W_OK, AT_EACCESS)) error = errno;
  if (error == EAGAIN) remove_left(own);
  for (int i = 0; i < (chosen ? 1 : TRIES) && error == EAGAIN; i++) {
    char name[32];
    // One that somebody is about to remove is his, lest he remove the next by that name.
    if (i) *tree = muster_process_fresh_number();
    name_of(*tree, name);
    error = make_in(own, name, &made);
    if (error) muster_process_drop(&made);
    if (error && error != EAGAIN && error != EEXIST) unlinkat(own, name, AT_REMOVEDIR);
  }
  close(own);
  return made;
}

// Without the lock: whoever was to hold it may be dead, and who removes it meanwhile has seen nobody in it.
int muster_process_cgroup_open(uint64_t tree) {
  int own = open_own();
  if (own < 0) return -1;
  char name[32];
  name_of(tree, name);
  int folder = muster_above_stdio(openat(own, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  close(own);
  return folder;
}

static int write_to(int folder, const char *name, const char *text) {
  int file = openat(folder, name, O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno;
  int error = write(file, text, strlen(text)) < 0 ? errno : 0;
  close(file);
  return error;
}

int muster_process_cgroup_enter(int cgroup) { return write_to(cgroup, "cgroup.procs", "0"); }

int muster_process_cgroup_kill(int cgroup) { return write_to(cgroup, "cgroup.kill", "1"); }

// By its number's cgroup, which is this one or below it: the name has a number that nobody else has.
int muster_process_cgroup_has(uint64_t tree, int32_t pid) {
  char text[4096], name[32];
  if (muster_process_read_proc(pid, "cgroup", text, sizeof text) < 0) return -1;
  name_of(tree, name);
  return strstr(text, name) != NULL;
}

int muster_process_cgroup_empty_by(int cgroup, muster_deadline deadline) {
  int events = openat(cgroup, "cgroup.events", O_RDONLY | O_CLOEXEC);
  if (events < 0) return 0;
  int empty;
  // The file's change is told as an exception; and looked at now and then in any case.
  while (!(empty = !populated(events)) && !muster_deadline_passed(deadline)) {
    struct pollfd polled = {.fd = events, .events = POLLPRI};
    muster_deadline look = muster_deadline_after(INT64_C(100000000));
    struct timespec rest;
    (void)ppoll(&polled, 1, muster_process_timeout(look < deadline ? look : deadline, &rest), NULL);
  }
  close(events);
  return empty;
}

uint32_t muster_process_cgroup_members(int cgroup, int32_t *pids, uint32_t most) {
  line_reader reader = {.file = openat(cgroup, "cgroup.procs", O_RDONLY | O_CLOEXEC)};
  uint32_t count = 0;
  if (reader.file < 0) return 0;
  for (const char *line; count < most && (line = next_line(&reader));) {
    int32_t pid = 0;
    while (*line >= '0' && *line <= '9') pid = pid * 10 + (*line++ - '0');
    if (pid > 0) pids[count++] = pid;
  }
  close(reader.file);
  return count;
}

// By way of itself: that needs no descriptor, of which none may be left.
void muster_process_cgroup_remove(int32_t *cgroup, uint64_t tree) {
  if (*cgroup < 0) return;
  char path[40] = "../";
  name_of(tree, path + 3);
  if (!remove_empty(*cgroup, path, *cgroup)) __atomic_store_n(&some_left, 1, __ATOMIC_RELAXED);
  muster_process_drop(cgroup);
}
