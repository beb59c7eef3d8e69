// Removing, looking at and listing regions without attaching to them.
// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/boot.h"
#include "internal/caller.h"
#include "internal/region_file.h"

// Under the lock on REGION_LOCK_NAME, which every remover of this file takes, the file at the path can't change from
// this one to another between the comparison and unlink: only a remover takes a name away.
static int unlink_this(const region_path *path, int file) {
  int error = muster_region_file_is(path, file);
  if (error) return error == ESTALE ? REGION_LOOK_AGAIN : error;
  int saved = errno;
  error = unlink(path->path) ? errno : 0;
  errno = saved;
  return error;
}

static int remove_this(const region_path *path, uint32_t flags, int file) {
  region_header header;
  muster_mismatch differs;
  int status = muster_region_file_check(file, path, flags, &header, &differs);
  if (status == EPROTO) status = 0;  // another format of ours may go too
  // A file that the power failed before is none of anybody's, and could not be opened nor made anew.
  if (status == EBADMSG && flags & MUSTER_REGION_FILE && muster_region_file_is_blank(file)) status = 0;
  if (!status) status = muster_region_file_lock(file, REGION_LOCK_NAME, 1, F_WRLCK);
  if (!status && !(flags & MUSTER_REGION_FORCE)) {
    status = muster_region_file_lock(file, REGION_LOCK_USE, 2, F_WRLCK);
    if (status == REGION_LOOK_AGAIN) status = EBUSY;
  }
  return status ? status : unlink_this(path, file);
}

static int remove_once(const region_path *path, uint32_t flags) {
  held_files held;
  int status = muster_region_file_open_held(path, &held);
  if (status) return status;
  status = remove_this(path, flags, held.file);
  muster_region_file_let_go(&held);
  return status;
}

// As in opening: not EBUSY but by a look that began when the patience was over.
static int remove_patiently(const region_path *path, uint32_t flags) {
  muster_deadline patience = muster_deadline_after(MUSTER_REGION_PATIENCE);
  for (;;) {
    int last = muster_deadline_passed(patience);
    int status = remove_once(path, flags);
    if (status != REGION_LOOK_AGAIN) return status;
    if (last) return EBUSY;
    muster_region_sleep_until(muster_deadline_after(100000));
  }
}

int muster_region_remove(const char *name, uint32_t flags) {
  region_path path;
  int status = muster_region_path(name, flags, &path);
  if (status) return status;
  muster_caller came = muster_enter();
  status = remove_patiently(&path, flags);
  muster_leave(came);
  return status;
}

// F_OFD_GETLK takes no lock: it tells which one would stand against an exclusive one. Who renews has WRITE a moment
// before USE.
static int is_held(int file) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = REGION_LOCK_USE, .l_len = 2};
  int saved = errno, held = fcntl(file, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  errno = saved;
  return held;
}

static int inspect_file(int file, const region_path *path, const uint8_t boot[16], muster_region_info *info) {
  region_header header;
  muster_mismatch differs;
  int status = muster_region_file_check(file, path, MUSTER_REGION_ANY_OWNER, &header, &differs);
  if (status) return status;
  struct stat about;
  int saved = errno, error = fstat(file, &about) ? errno : 0;
  errno = saved;
  if (error) return error;
  *info = (muster_region_info){.kind = header.kind,
                               .version = header.version,
                               .layout = header.layout,
                               .size = header.payload_size,
                               .file_size = (uint64_t)about.st_size,
                               .user = about.st_uid,
                               .mode = about.st_mode & 07777,
                               .creator_pid = header.creator_pid,
                               .held = is_held(file),
                               .created = header.created,
                               .this_boot = memcmp(boot, header.boot, sizeof header.boot) == 0};
  const char *slash = strrchr(path->path, '/');
  memccpy(info->name, slash ? slash + 1 : path->path, 0, sizeof info->name - 1);
  return 0;
}

// Another look each time that the name was given to another file between open and the comparison.
static int inspect(const region_path *path, muster_region_info *info) {
  uint8_t boot[16];
  muster_boot_id(boot);
  int status = 0;
  for (int looks = 0; looks < 100; looks++) {
    int file;
    status = muster_region_file_open(path, 1, &file);
    if (status && status != REGION_LOOK_AGAIN) return status;
    if (status) {
      muster_region_sleep_until(muster_deadline_after(200000));
      continue;
    }
    status = inspect_file(file, path, boot, info);
    muster_region_file_close(file);
    if (status != REGION_LOOK_AGAIN) return status;
    status = 0;
  }
  return status ? EBUSY : ENOENT;
}

int muster_region_inspect(const char *name, uint32_t flags, muster_region_info *info) {
  region_path path;
  int status = muster_region_path(name, flags, &path);
  if (status) return status;
  muster_caller came = muster_enter();
  status = inspect(&path, info);
  muster_leave(came);
  return status;
}

// What is no region, or goes away in this moment, or may not be read, is none of the caller's. What keeps us from
// looking is.
static int is_callers(int status) { return status == EMFILE || status == ENFILE || status == ENOMEM; }

static int list(DIR *folder, muster_region_visit visit, void *context) {
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(folder);
    if (!entry) return errno;
    if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN) continue;
    muster_region_info info;
    int status = muster_region_inspect(entry->d_name, 0, &info);
    if (is_callers(status)) return status;
    if (!status && (status = visit(&info, context)) != 0) return status;
  }
}

int muster_region_list(muster_region_visit visit, void *context) {
  muster_caller came = muster_enter();
  // Before the folder takes what may be the last descriptor but one.
  uint8_t boot[16];
  muster_boot_id(boot);
  DIR *folder = opendir("/dev/shm");
  int status = folder ? list(folder, visit, context) : errno;
  if (folder) closedir(folder);
  muster_leave(came);
  return status;
}
