// SPDX-License-Identifier: Apache-2.0
#include "internal/region_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "internal/boot.h"

// Where shm_open(3) puts its objects, in glibc and in musl.
#define SHARED_MEMORY "/dev/shm/"

// How much is reserved at a time.
enum { MOST_AT_ONCE = 16 << 20, LEAST_AT_ONCE = 4096 };

int muster_region_named_drafts;

int muster_region_path(const char *name, uint32_t flags, region_path *path) {
  const char *folder = SHARED_MEMORY;
  if (flags & MUSTER_REGION_FILE) {
    folder = "";
  } else {
    if (*name == '/') name++;
    if (strchr(name, '/')) return EINVAL;
  }
  const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
  if (!*last || !strcmp(last, ".") || !strcmp(last, "..")) return EINVAL;
  if (strlen(last) > NAME_MAX || strlen(folder) + strlen(name) >= sizeof path->path) return ENAMETOOLONG;
  memcpy(path->path, folder, strlen(folder));
  strcpy(path->path + strlen(folder), name);
  slash = strrchr(path->path, '/');
  path->folder = slash ? (size_t)(slash - path->path) : 0;
  return 0;
}

// The folder as a path of its own.
static void folder_of(const region_path *path, char folder[PATH_MAX]) {
  if (path->folder == 0) {
    strcpy(folder, path->path[0] == '/' ? "/" : ".");
  } else {
    memcpy(folder, path->path, path->folder);
    folder[path->folder] = 0;
  }
}

static int open_retry(const char *path, int flags, mode_t mode, int *file) {
  int saved = errno, error = 0;
  do *file = open(path, flags | O_NOCTTY | O_CLOEXEC, mode);
  while (*file < 0 && errno == EINTR);
  *file = muster_above_stdio(*file);
  if (*file < 0) error = errno;
  errno = saved;
  return error;
}

// ENXIO: a socket, or a device that is not there. EAGAIN: somebody has a lease on the file (fcntl(2), F_SETLEASE).
static int open_outcome(int error) { return error == ENXIO ? EBADMSG : error == EAGAIN ? REGION_LOOK_AGAIN : error; }

// O_NONBLOCK: a FIFO that stands at the name must not hold us.
enum { OPEN_FLAGS = O_NOFOLLOW | O_NONBLOCK };

int muster_region_file_open(const region_path *path, int read_only, int *file) {
  return open_outcome(open_retry(path->path, (read_only ? O_RDONLY : O_RDWR) | OPEN_FLAGS, 0, file));
}

int muster_region_file_open_held(const region_path *path, held_files *held) {
  int saved = errno, error = muster_held_enter(held);
  if (!error) {
    error = muster_held_open(&held->file, AT_FDCWD, path->path, O_RDWR | O_NOCTTY | OPEN_FLAGS, 0);
    if (error) muster_held_leave(held);
  }
  errno = saved;
  return open_outcome(error);
}

// Not only by closing: a child that was forked meanwhile may have the same open file.
static void unlock_all(int file) { muster_region_file_lock(file, REGION_LOCK_USE, REGION_LOCKS, F_UNLCK); }

void muster_region_file_drop(int file) {
  unlock_all(file);
  muster_region_file_close(file);
}

void muster_region_file_let_go(held_files *held) {
  int saved = errno;
  if (held->file >= 0) unlock_all(held->file);  // else this is such a child, and has none
  muster_held_leave(held);
  errno = saved;
}

void muster_region_file_close(int file) {
  int saved = errno;
  close(file);
  errno = saved;
}

int muster_region_file_lock(int file, int first, int count, int type) {
  struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = first, .l_len = count};
  int saved = errno, error = 0;
  while (fcntl(file, F_OFD_SETLK, &lock) < 0) {
    error = errno;
    if (error != EINTR) break;
    error = 0;
  }
  errno = saved;
  return error == EACCES || error == EAGAIN ? REGION_LOOK_AGAIN : error;
}

static int read_start(int file, void *bytes, size_t size, ssize_t *got) {
  int saved = errno, error = 0;
  do *got = pread(file, bytes, size, 0);
  while (*got < 0 && errno == EINTR);
  if (*got < 0) error = errno;
  errno = saved;
  return error;
}

int muster_region_file_check(int file, const region_path *path, uint32_t flags, region_header *header,
                             muster_mismatch *differs) {
  struct stat status;
  int saved = errno, error = 0;
  if (fstat(file, &status)) error = errno;
  errno = saved;
  if (error) return error;
  if (!S_ISREG(status.st_mode)) return S_ISDIR(status.st_mode) ? EISDIR : EBADMSG;
  // Not the link count: a draft's own name, or a hard link, can outlive the name by which we came.
  error = muster_region_file_is(path, file);
  if (error) return error == ESTALE ? REGION_LOOK_AGAIN : error;
  if (status.st_uid != geteuid() && !(flags & MUSTER_REGION_ANY_OWNER)) return EACCES;
  // read(2) where the mapping would do: a file that is cut in this moment is an error then, and no SIGBUS.
  ssize_t got;
  error = read_start(file, header, sizeof *header, &got);
  if (error) return error;
  if (got != (ssize_t)sizeof *header || header->magic != REGION_MAGIC) return EBADMSG;
  if (header->format != REGION_FORMAT) {
    *differs = (muster_mismatch){MUSTER_MISMATCH_FORMAT, REGION_FORMAT, header->format};
    return EPROTO;
  }
  if (header->header_size != MUSTER_REGION_HEADER_SIZE || status.st_size < MUSTER_REGION_HEADER_SIZE ||
      header->payload_size == 0 || header->payload_size > (uint64_t)status.st_size - MUSTER_REGION_HEADER_SIZE)
    return EBADMSG;
  return 0;
}

int muster_region_file_exists(const region_path *path) {
  struct stat status;
  int saved = errno, found = lstat(path->path, &status) == 0;
  errno = saved;
  return found;
}

int muster_region_file_is(const region_path *path, int file) {
  struct stat there, here;
  int saved = errno, error = 0;
  if (fstat(file, &here) || lstat(path->path, &there)) error = errno;
  errno = saved;
  if (error) return error == ENOENT || error == ENOTDIR || error == ELOOP ? ESTALE : error;
  return there.st_ino == here.st_ino && there.st_dev == here.st_dev ? 0 : ESTALE;
}

int muster_region_file_is_blank(int file) {
  // The whole first page, not the header alone: what begins with zeros may be somebody's all the same (images of disks
  // do), and what was not written back was not written back by the page.
  char bytes[4096];
  ssize_t got;
  if (read_start(file, bytes, sizeof bytes, &got) || got <= MUSTER_REGION_HEADER_SIZE) return 0;
  for (ssize_t i = 0; i < got; i++)
    if (bytes[i]) return 0;
  return 1;
}

// More than the whole file system is refused before it is filled up with it, for others to find it full.
static int could_fit(int file, size_t size) {
  struct statvfs about;
  if (fstatvfs(file, &about) || about.f_blocks == 0 || about.f_frsize == 0) return 1;
  return size / about.f_frsize <= about.f_blocks;
}

static int write_zeros(int file, size_t size) {
  static const char zeros[4096];
  for (size_t done = 0; done < size;) {
    size_t rest = size - done;
    ssize_t wrote = pwrite(file, zeros, rest < sizeof zeros ? rest : sizeof zeros, (off_t)done);
    if (wrote < 0 && errno != EINTR) return errno;
    if (wrote > 0) done += (size_t)wrote;
  }
  return 0;
}

// posix_fallocate, and where the file system or libc has none, zeros written to every page: ftruncate alone succeeds on
// a full file system, and the first touch is SIGBUS.
//
// In parts, since a signal makes some file systems (tmpfs) undo all that this one call has reserved: in one piece, a
// timer that is faster than the reservation would keep it from ever being done. The part that comes through is found by
// halving.
static int reserve(int file, size_t size) {
  if (!could_fit(file, size)) return ENOSPC;
  // First: what is too large for any file is told before others are kept from the space.
  if (ftruncate(file, (off_t)size)) return errno;
  size_t part = MOST_AT_ONCE;
  for (size_t done = 0; done < size;) {
    size_t now = size - done < part ? size - done : part;
    int error = posix_fallocate(file, (off_t)done, (off_t)now);
    if (!error) {
      done += now;
      if (part < MOST_AT_ONCE) part *= 2;
    } else if (error == EINTR) {
      if (part > LEAST_AT_ONCE) part /= 2;
    } else {
      return error == EOPNOTSUPP || error == EINVAL ? write_zeros(file, size) : error;
    }
  }
  return 0;
}

static int open_named_draft(const region_path *path, region_draft *draft) {
  static unsigned count;
  char folder[PATH_MAX];
  folder_of(path, folder);
  int length = snprintf(draft->name, sizeof draft->name, "%s/.muster-draft-%d-%llx-%u", folder, (int)getpid(),
                        (unsigned long long)muster_clock_now(), __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED));
  if (length < 0 || (size_t)length >= sizeof draft->name) return ENAMETOOLONG;
  draft->named = 1;
  return open_retry(draft->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &draft->file);
}

static int open_draft(const region_path *path, int named, region_draft *draft) {
  char folder[PATH_MAX];
  folder_of(path, folder);
  draft->named = 0;
  int error = named ? EOPNOTSUPP : open_retry(folder, O_RDWR | O_TMPFILE, 0600, &draft->file);
  // What kernels and file systems without O_TMPFILE say: open(2), "BUGS" and "ERRORS".
  if (error == EOPNOTSUPP || error == EISDIR || error == EINVAL) error = open_named_draft(path, draft);
  return error;
}

int muster_region_draft_make(const region_path *path, uint32_t mode, size_t size, int named, region_draft *draft) {
  int error = open_draft(path, named || muster_region_named_drafts, draft);
  if (error) return error;
  int saved = errno;
  if (fchmod(draft->file, mode ? mode : 0600)) error = errno;
  if (!error) error = reserve(draft->file, size);
  errno = saved;
  if (error) muster_region_draft_discard(draft);
  return error;
}

int muster_region_draft_sync(const region_draft *draft) {
  int saved = errno, error = 0;
  while (fsync(draft->file) && (error = errno) == EINTR) error = 0;
  errno = saved;
  return error == EINVAL || error == EROFS ? 0 : error;  // not a file system that has anything to sync
}

static int publish_unnamed(int file, const char *path) {
  char from[64];
  snprintf(from, sizeof from, "/proc/self/fd/%d", file);
  if (linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0) return 0;
  // Without /proc there is the descriptor itself, which kernels before 6.10 allow to CAP_DAC_READ_SEARCH alone.
  if (errno == ENOENT && linkat(file, "", AT_FDCWD, path, AT_EMPTY_PATH) == 0) return 0;
  // And without that permission there is no way to a name.
  return errno == ENOENT ? REGION_NO_WAY_TO_A_NAME : errno;
}

int muster_region_draft_publish(region_draft *draft, const region_path *path) {
  int saved = errno, error = 0;
  if (!draft->named) {
    error = publish_unnamed(draft->file, path->path);
  } else if (link(draft->name, path->path)) {
    error = errno;
  } else {
    unlink(draft->name);
  }
  errno = saved;
  return error;
}

void muster_region_draft_discard(region_draft *draft) {
  int saved = errno;
  if (draft->named) unlink(draft->name);
  close(draft->file);
  errno = saved;
}

int muster_region_sync_folder(const region_path *path) {
  char folder[PATH_MAX];
  folder_of(path, folder);
  int file, saved = errno;
  int error = open_retry(folder, O_RDONLY | O_DIRECTORY, 0, &file);
  if (error) return error;
  if (fsync(file)) error = errno;
  close(file);
  errno = saved;
  return error;
}

int64_t muster_region_wall_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void muster_region_sleep_until(muster_deadline until) {
  struct timespec end = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
}
