// The files that a log is drained to: NAME-000001.log and so on, in one folder.
//
// Numbers only grow and nothing is renamed, so that there is no half-done rotation: a death leaves at most a new file that
// is empty, which the next drain takes.
// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "internal/log_drain.h"

// How often another one may have taken the number that was to be ours.
enum { TURNS = 1000, LEAF = MUSTER_LOG_DRAIN_NAME_MAX + 32 };

#define NUMBER_MOST UINT64_C(999999999999)

// Never one of the standard descriptors, also in a program that has closed those.
static int above_standard(int file) {
  if (file < 0 || file > 2) return file;
  int other = fcntl(file, F_DUPFD_CLOEXEC, 3), error = errno;
  close(file);
  errno = error;
  return other;
}

static void leaf_of(const log_files *files, uint64_t number, char leaf[LEAF]) {
  snprintf(leaf, LEAF, "%s-%06" PRIu64 ".log", files->name, number);
}

// The number in a name of ours; 0: it is none.
static uint64_t number_in(const log_files *files, const char *leaf) {
  size_t length = strlen(files->name);
  if (strncmp(leaf, files->name, length) || leaf[length] != '-') return 0;
  uint64_t number = 0;
  for (const char *at = leaf + length + 1; *at >= '0' && *at <= '9' && number <= NUMBER_MOST; at++)
    number = number * 10 + (uint64_t)(*at - '0');
  char expected[LEAF];
  leaf_of(files, number, expected);
  return number <= NUMBER_MOST && !strcmp(leaf, expected) ? number : 0;
}

static int is_name(const char *name) {
  size_t length = strlen(name);
  return length > 0 && length <= MUSTER_LOG_DRAIN_NAME_MAX && !strchr(name, '/') && name[0] != '.';
}

// FNV-1a (Fowler, Noll, Vo), over which folder it is and the name.
static uint64_t mix(uint64_t hash, const void *bytes, size_t size) {
  for (size_t k = 0; k < size; k++) hash = (hash ^ ((const unsigned char *)bytes)[k]) * UINT64_C(0x100000001b3);
  return hash;
}

static int identify(log_files *files) {
  struct stat folder;
  if (fstat(files->folder, &folder)) return errno;
  uint64_t words[2] = {(uint64_t)folder.st_dev, (uint64_t)folder.st_ino};
  files->target = mix(mix(UINT64_C(0xcbf29ce484222325), words, sizeof words), files->name, strlen(files->name)) | 1;
  return 0;
}

int muster_log_files_open(const char *folder, const char *name, uint32_t permissions, log_files *files) {
  *files = (log_files){.folder = -1, .file = -1, .permissions = permissions ? permissions : 0600};
  if (!is_name(name) || permissions & ~(uint32_t)0777) return EINVAL;
  files->folder_length = strlen(folder);
  memcpy(files->name, name, strlen(name) + 1);
  int folder_file = above_standard(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder_file < 0) return errno;
  files->folder = folder_file;
  files->path = malloc(files->folder_length + 1 + LEAF);
  if (files->path) memcpy(files->path, folder, files->folder_length + 1);
  int status = files->path ? identify(files) : ENOMEM;
  if (status) muster_log_files_close(files);
  return status;
}

void muster_log_files_close_file(log_files *files) {
  if (files->file >= 0) close(files->file);
  files->file = -1;
}

void muster_log_files_close(log_files *files) {
  muster_log_files_close_file(files);
  if (files->folder >= 0) close(files->folder);
  files->folder = -1;
  free(files->path);
  files->path = NULL;
}

int muster_log_files_identity(const log_files *files, uint64_t *device, uint64_t *inode, uint64_t *size) {
  struct stat found;
  if (fstat(files->file, &found)) return errno;
  if (!S_ISREG(found.st_mode)) return ESTALE;
  *device = (uint64_t)found.st_dev;
  *inode = (uint64_t)found.st_ino;
  *size = (uint64_t)found.st_size;
  return 0;
}

int muster_log_files_look(const log_files *files, uint64_t device, uint64_t inode, uint64_t *size) {
  struct stat found;
  if (fstatat(files->folder, files->path + files->folder_length + 1, &found, AT_SYMLINK_NOFOLLOW))
    return errno == ENOENT ? ESTALE : errno;
  *size = (uint64_t)found.st_size;
  return (uint64_t)found.st_dev == device && (uint64_t)found.st_ino == inode ? 0 : ESTALE;
}

static int open_leaf(log_files *files, uint64_t number, int flags) {
  char leaf[LEAF];
  leaf_of(files, number, leaf);
  files->file = above_standard(openat(files->folder, leaf, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600));
  if (files->file < 0) return errno;
  files->number = number;
  files->path[files->folder_length] = '/';
  memcpy(files->path + files->folder_length + 1, leaf, strlen(leaf) + 1);
  return 0;
}

int muster_log_files_reopen(log_files *files, uint64_t number, uint64_t device, uint64_t inode) {
  int status = open_leaf(files, number, 0);
  if (status) return status == ENOENT || status == ELOOP || status == ENXIO ? ESTALE : status;
  uint64_t found_device, found_inode, size;
  status = muster_log_files_identity(files, &found_device, &found_inode, &size);
  if (!status && (found_device != device || found_inode != inode)) status = ESTALE;
  if (status) muster_log_files_close_file(files);
  return status;
}

// ---- All files there are

typedef void (*visit)(const log_files *files, const char *leaf, uint64_t number, void *context);

static int each(const log_files *files, visit call, void *context) {
  int folder = openat(files->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return errno;
  DIR *names = fdopendir(folder);
  if (!names) {
    int error = errno;
    return close(folder), error;
  }
  for (const struct dirent *entry; (entry = readdir(names));) {
    uint64_t number = number_in(files, entry->d_name);
    if (number) call(files, entry->d_name, number, context);
  }
  closedir(names);
  return 0;
}

static void note_highest(const log_files *files, const char *leaf, uint64_t number, void *context) {
  (void)files, (void)leaf;
  uint64_t *highest = context;
  if (number > *highest) *highest = number;
}

// Those that were written: counted, since numbers may be left out.
typedef struct numbers {
  uint64_t *list;
  size_t count, room;
} numbers;

static void note_number(const log_files *files, const char *leaf, uint64_t number, void *context) {
  (void)leaf;
  numbers *all = context;
  if (number > files->number) return;
  if (all->count == all->room) {
    size_t room = 2 * all->room + 64;
    uint64_t *list = realloc(all->list, room * sizeof *list);
    if (!list) return;
    all->list = list;
    all->room = room;
  }
  all->list[all->count++] = number;
}

static int by_number(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

// The lowest number of the newest files, so many; 0: all are to be kept. Of those that there is no memory
// for nothing is known: then too low a number at most.
static uint64_t lowest_kept(const log_files *files, uint32_t kept) {
  numbers all = {0};
  int status = each(files, note_number, &all);
  uint64_t lowest = 0;
  if (!status && all.count > kept) {
    qsort(all.list, all.count, sizeof *all.list, by_number);
    lowest = all.list[all.count - kept];
  }
  free(all.list);
  return lowest;
}

typedef struct prune {
  log_keep keep;
  int64_t now;
  uint64_t lowest;
} prune;

static void prune_one(const log_files *files, const char *leaf, uint64_t number, void *context) {
  const prune *by = context;
  if (number >= files->number) return;
  int gone = number < by->lowest;
  struct stat found;
  if (!gone && by->keep.seconds && !fstatat(files->folder, leaf, &found, AT_SYMLINK_NOFOLLOW))
    gone = found.st_mtime < by->now - by->keep.seconds;
  if (gone) (void)unlinkat(files->folder, leaf, 0);
}

void muster_log_files_prune(const log_files *files, log_keep keep) {
  if (files->file < 0 || (!keep.files && !keep.seconds)) return;
  uint64_t lowest = keep.files ? lowest_kept(files, keep.files) : 0;
  (void)each(files, prune_one, &(prune){keep, (int64_t)time(NULL), lowest});
}

// ---- A new one

// NAME.log leads to it. Made aside and renamed, so that the name is never missing; what one who died left there is taken
// away, and there is but one drain. Not every file system has links, and
// nothing depends on this one; what stands there and is no link stays.
void muster_log_files_lead(const log_files *files) {
  char name[LEAF], aside[LEAF + 16], leaf[LEAF], target[LEAF];
  struct stat found;
  snprintf(name, sizeof name, "%s.log", files->name);
  snprintf(aside, sizeof aside, ".%s.new", name);
  leaf_of(files, files->number, leaf);
  ssize_t length = readlinkat(files->folder, name, target, sizeof target);
  if (length == (ssize_t)strlen(leaf) && !memcmp(target, leaf, (size_t)length)) return;
  if (!fstatat(files->folder, name, &found, AT_SYMLINK_NOFOLLOW) && !S_ISLNK(found.st_mode)) return;
  (void)unlinkat(files->folder, aside, 0);
  if (symlinkat(leaf, files->folder, aside)) return;
  if (renameat(files->folder, aside, files->folder, name)) (void)unlinkat(files->folder, aside, 0);
}

// Whatever the umask.
static int set_permissions(log_files *files) {
  if (!fchmod(files->file, files->permissions)) return 0;
  int error = errno;
  return muster_log_files_close_file(files), error;
}

// An empty file of that number is what one who died left between making it and saying so, perhaps before it had its
// permissions. Another user's, or one that has a second name, was put there by somebody who would like to read along.
static int adopt(log_files *files, uint64_t number) {
  struct stat found;
  int status = open_leaf(files, number, 0);
  if (status) return status;
  if (fstat(files->file, &found) || !S_ISREG(found.st_mode) || found.st_size || found.st_uid != geteuid() ||
      found.st_nlink != 1)
    return muster_log_files_close_file(files), EEXIST;
  return set_permissions(files);
}

int muster_log_files_create(log_files *files, uint64_t above) {
  muster_log_files_close_file(files);
  // A number that none of ours has is one that somebody scribbled.
  uint64_t highest = above = above < NUMBER_MOST ? above : 0;
  int status = each(files, note_highest, &highest);
  if (status) return status;
  if (highest > above && !adopt(files, highest)) return muster_log_files_lead(files), 0;
  if (highest == NUMBER_MOST) return EOVERFLOW;
  for (int turn = 0; turn < TURNS && highest < NUMBER_MOST; turn++) {
    status = open_leaf(files, ++highest, O_CREAT | O_EXCL);
    if (status == EEXIST) continue;
    if (!status) status = set_permissions(files);
    if (status) return status;
    return muster_log_files_lead(files), 0;
  }
  return EEXIST;
}
