// Removing, looking at and listing regions without attaching to them.
// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/boot.h"
#include "internal/region_file.h"

// Under the lock on REGION_LOCK_NAME, which every remover of this file takes, the file at the path can't change from this one to
// another between the comparison and unlink: only a remover takes a name away.
static int unlink_this(const region_path *path, int file) {
  if (!muster_region_file_is(path, file)) return EAGAIN;
  int saved = errno, error = unlink(path->path) ? errno : 0;
  errno = saved;
  return error;
}

static int remove_once(const region_path *path, uint32_t flags) {
  int file;
  region_header header;
  muster_mismatch differs;
  int status = muster_region_file_open(path, 0, &file);
  if (status) return status;
  status = muster_region_file_check(file, path, flags, &header, &differs);
  if (status == EPROTO) status = 0;  // another format of ours may go too
  if (!status) status = muster_region_file_lock(file, REGION_LOCK_NAME, 1, F_WRLCK);
  if (!status && !(flags & MUSTER_REGION_FORCE)) {
    status = muster_region_file_lock(file, REGION_LOCK_USE, 2, F_WRLCK);
    if (status == EAGAIN) status = EBUSY;
  }
  if (!status) status = unlink_this(path, file);
  muster_region_file_close(file);
  return status;
}

int muster_region_remove(const char *name, uint32_t flags) {
  region_path path;
  int status = muster_region_path(name, flags, &path);
  if (status) return status;
  muster_deadline patience = muster_deadline_after(MUSTER_REGION_PATIENCE);
  while ((status = remove_once(&path, flags)) == EAGAIN) {
    if (muster_deadline_passed(patience)) return EBUSY;
    muster_region_sleep_until(muster_deadline_after(100000));
  }
  return status;
}

// F_OFD_GETLK takes no lock: it tells which one would stand against an exclusive one. Who renews has WRITE a moment before USE.
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

int muster_region_inspect(const char *name, uint32_t flags, muster_region_info *info) {
  region_path path;
  int status = muster_region_path(name, flags, &path);
  if (status) return status;
  uint8_t boot[16];
  muster_boot_id(boot);
  // Another look each time that the name was given to another file between open and the comparison.
  for (int looks = 0; looks < 100; looks++) {
    int file;
    status = muster_region_file_open(&path, 1, &file);
    if (status) return status;
    status = inspect_file(file, &path, boot, info);
    muster_region_file_close(file);
    if (status != EAGAIN) return status;
  }
  return ENOENT;
}

int muster_region_list(muster_region_visit visit, void *context) {
  int saved = errno;
  DIR *folder = opendir("/dev/shm");
  int status = folder ? 0 : errno;
  while (!status) {
    struct dirent *entry = readdir(folder);
    if (!entry) break;
    muster_region_info info;
    // What is no region, or goes away in this moment, or may not be read, is none of the caller's.
    if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN) continue;
    if (muster_region_inspect(entry->d_name, 0, &info)) continue;
    status = visit(&info, context);
  }
  if (folder) closedir(folder);
  errno = saved;
  return status;
}
