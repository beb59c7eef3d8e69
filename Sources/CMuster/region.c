// SPDX-License-Identifier: Apache-2.0
#include "muster/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/boot.h"
#include "internal/caller.h"
#include "internal/region_file.h"
#include "internal/region_layout.h"
#include "internal/region_map.h"

// What can be mapped at all.
enum { HEADER = MUSTER_REGION_HEADER_SIZE };
static const uint64_t most_payload = PTRDIFF_MAX - HEADER;

struct muster_region {
  unsigned char *base;
  size_t payload_size;
  int file;
  uint32_t flags;
  int created;
  char name[];
};

static int mismatch(const muster_region_options *options, muster_mismatch_kind kind, uint64_t expected,
                    uint64_t found) {
  if (options->mismatch) *options->mismatch = (muster_mismatch){kind, expected, found};
  return EPROTO;
}

static int compare(const region_header *header, const muster_region_options *options) {
  if (options->kind) {
    if (header->kind != options->kind) return mismatch(options, MUSTER_MISMATCH_KIND, options->kind, header->kind);
    if (header->version != options->version)
      return mismatch(options, MUSTER_MISMATCH_VERSION, options->version, header->version);
  }
  if (options->layout && header->layout != options->layout)
    return mismatch(options, MUSTER_MISMATCH_LAYOUT, options->layout, header->layout);
  if (options->size && header->payload_size != options->size)
    return mismatch(options, MUSTER_MISMATCH_SIZE, options->size, header->payload_size);
  return 0;
}

static int map(int file, size_t payload_size, int read_only, unsigned char **base) {
  int saved = errno;
  void *memory =
      mmap(NULL, HEADER + payload_size, read_only ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  int error = memory == MAP_FAILED ? errno : 0;
  errno = saved;
  *base = error ? NULL : memory;
  return error == EAGAIN ? ENOMEM : error;  // mlockall(2), and more than may be locked
}

// While the region is held exclusively its mapping, which keeps the open file and so the lock, is no child's either.
// The list's mutex keeps forks out until that is said.
static int map_alone(int file, size_t payload_size, unsigned char **base) {
  muster_held_lock();
  int status = map(file, payload_size, 0, base);
  if (!status && madvise(*base, HEADER + payload_size, MADV_DONTFORK)) status = errno;
  muster_held_unlock();
  return status;
}

static int map_shared_again(unsigned char *base, size_t payload_size) {
  return madvise(base, HEADER + payload_size, MADV_DOFORK) ? errno : 0;
}

static int make_handle(const char *name, const muster_region_options *options, int file, unsigned char *base,
                       size_t payload_size, int created, muster_region **region) {
  size_t length = strlen(name) + 1;
  int saved = errno;
  muster_region *made = malloc(sizeof *made + length);
  errno = saved;
  if (!made) return ENOMEM;
  *made = (muster_region){.base = base, .payload_size = payload_size, .file = file, .flags = options->flags,
                          .created = created};
  memcpy(made->name, name, length);
  *region = made;
  return 0;
}

// One call of muster_region_open.
typedef struct opening {
  const char *name;
  region_path path;
  const muster_region_options *options;
  int refused;  // `initialize` or `renew` said no: its number is the caller's, and means nothing to us
} opening;

static int call(opening *open, muster_region_fill callback, unsigned char *base, size_t payload_size) {
  int status = callback ? callback(base + HEADER, payload_size, open->options->context) : 0;
  open->refused = status != 0;
  return status;
}

// Puts the region in order after a generation of users that are all gone. Runs with the region held exclusively; a
// death in here leaves it held by nobody, so the next to open it does all of it again.
static int renew(opening *open, unsigned char *base, size_t payload_size) {
  int status = call(open, open->options->renew, base, payload_size);
  region_header *header = (region_header *)base;
  if (!status && open->options->flags & MUSTER_REGION_FILE) muster_boot_id(header->boot);
  return status;
}

// What of an opening has to be undone when it fails. A descriptor that is for writing stands in the list of what a
// forked child closes until it is the handle's: until then it may have the region for itself alone.
typedef struct attaching {
  held_files held;
  int file;  // of one that is not in the list, or -1
  unsigned char *base;
  size_t size;
} attaching;

static int attach_to(opening *open, attaching *at, int exclusive) {
  const muster_region_options *options = open->options;
  int read_only = (options->flags & MUSTER_REGION_READ_ONLY) != 0, file = at->file >= 0 ? at->file : at->held.file;
  region_header header = {0};
  muster_mismatch differs = {0};
  int status = 0;
  if (exclusive) exclusive = muster_region_file_lock(file, REGION_LOCK_WRITE, 1, F_WRLCK) == 0;
  if (!(options->flags & MUSTER_REGION_PEEK))
    status = muster_region_file_lock(file, REGION_LOCK_USE, read_only || exclusive ? 1 : 2, F_RDLCK);
  if (!status) status = muster_region_file_check(file, &open->path, options->flags, &header, &differs);
  if (status == EPROTO && options->mismatch) *options->mismatch = differs;
  if (!status) status = compare(&header, options);
  if (!status && header.payload_size > most_payload) status = EFBIG;
  if (status) return status;
  at->size = (size_t)header.payload_size;
  if (!exclusive) return map(file, at->size, read_only, &at->base);
  status = map_alone(file, at->size, &at->base);
  if (!status) status = renew(open, at->base, at->size);
  if (!status) status = muster_region_file_lock(file, REGION_LOCK_WRITE, 1, F_RDLCK);
  return status ? status : map_shared_again(at->base, at->size);
}

// REGION_LOOK_AGAIN: held exclusively, or removed meanwhile. ENOENT: no such name.
static int attach_once(opening *open, muster_region **region) {
  const muster_region_options *options = open->options;
  int read_only = (options->flags & MUSTER_REGION_READ_ONLY) != 0, renews = !read_only && options->renew;
  attaching at = {.held = {.file = -1}, .file = -1};
  int status = renews ? muster_region_file_open_held(&open->path, &at.held)
                      : muster_region_file_open(&open->path, read_only, &at.file);
  if (status) return status;
  status = attach_to(open, &at, renews);
  if (!status) status = make_handle(open->name, options, at.file, at.base, at.size, 0, region);
  if (!status && renews) (*region)->file = muster_held_keep(&at.held);
  if (!status) return 0;
  if (at.base) munmap(at.base, HEADER + at.size);
  if (renews) muster_region_file_let_go(&at.held);
  else muster_region_file_drop(at.file);
  return status;
}

static void fill_header(region_header *header, const muster_region_options *options) {
  *header = (region_header){.magic = REGION_MAGIC,
                            .format = REGION_FORMAT,
                            .header_size = MUSTER_REGION_HEADER_SIZE,
                            .payload_size = options->size,
                            .layout = options->layout,
                            .kind = options->kind,
                            .version = options->version,
                            .created = muster_region_wall_clock(),
                            .creator_pid = (int32_t)getpid()};
  muster_boot_id(header->boot);
}

// EEXIST: another was first. REGION_NO_WAY_TO_A_NAME: an unnamed draft can't be published here.
static int create_once(opening *open, int named, muster_region **region) {
  const muster_region_options *options = open->options;
  size_t size = (size_t)options->size;
  // Before the draft: it may take the last descriptor, and the boot id is read from a file.
  region_header header;
  fill_header(&header, options);
  region_draft draft;
  int status = muster_region_draft_make(&open->path, options->mode, HEADER + size, named, &draft);
  if (status) return status;
  // Held before there is a header: neither the region nor a draft that has a name ever looks stale.
  status = muster_region_file_lock(draft.file, REGION_LOCK_USE, 2, F_RDLCK);
  unsigned char *base = NULL;
  if (!status) status = map(draft.file, size, 0, &base);
  if (!status) {
    memcpy(base, &header, sizeof header);
    status = call(open, options->initialize, base, size);
    if (!status) status = make_handle(open->name, options, draft.file, base, size, 1, region);
    // Else a power failure could leave a name with nothing but zeros behind it.
    if (!status && options->flags & MUSTER_REGION_FILE) status = muster_region_draft_sync(&draft);
    if (!status) status = muster_region_draft_publish(&draft, &open->path);
    if (status) free(*region), *region = NULL;
    if (status) munmap(base, HEADER + size);
  }
  if (status) muster_region_draft_discard(&draft);
  return status;
}

static int create(opening *open, muster_region **region) {
  int status = create_once(open, 0, region);
  return status == REGION_NO_WAY_TO_A_NAME && !open->refused ? create_once(open, 1, region) : status;
}

static int flags_fit(const muster_region_options *options) {
  uint32_t way = options->flags & MUSTER_REGION_OPEN;
  if (!way || (options->flags & MUSTER_REGION_PEEK && !(options->flags & MUSTER_REGION_READ_ONLY))) return 0;
  return !(options->flags & MUSTER_REGION_READ_ONLY) || way == MUSTER_REGION_ATTACH;
}

static int mode_fits(uint32_t mode) { return mode == 0 || ((mode & ~0777u) == 0 && (mode & 0600) == 0600); }

static int options_fit(const muster_region_options *options) {
  if (!flags_fit(options)) return 0;
  if (!(options->flags & MUSTER_REGION_CREATE)) return 1;
  return options->size > 0 && options->size <= most_payload && mode_fits(options->mode);
}

static void pause_before(int *turn, muster_deadline end) {
  int64_t pause = INT64_C(20000) << (*turn < 7 ? (*turn)++ : 7);
  muster_region_sleep_until(muster_deadline_after(pause) < end ? muster_deadline_after(pause) : end);
}

// One look, and a try to create where nothing was found. *made: whether that was tried.
static int open_once(opening *open, int *made, muster_region **region) {
  int may_attach = (open->options->flags & MUSTER_REGION_ATTACH) != 0, status;
  *made = 0;
  if (may_attach) {
    status = attach_once(open, region);
  } else {
    status = muster_region_file_exists(&open->path) ? EEXIST : ENOENT;
  }
  if (status != ENOENT || !(open->options->flags & MUSTER_REGION_CREATE) || open->refused) return status;
  *made = 1;
  status = create(open, region);
  return status == EEXIST && may_attach && !open->refused ? REGION_LOOK_AGAIN : status;
}

// The patience with others is that of looks in a row which found the region held. It is no part of the time that a
// draft takes to be filled, and never over before a look that began when it was.
static int open_patiently(opening *open, muster_region **region) {
  const muster_region_options *options = open->options;
  int waits = !(options->flags & MUSTER_REGION_CREATE) && options->deadline > 0, turn = 0;
  int held = 0;  // looks after the end that found it held: also a deadline that is long over gets a second one
  muster_deadline end = waits ? options->deadline : 0;
  for (;;) {
    int last = end && muster_deadline_passed(end), made;
    int status = open_once(open, &made, region);
    if (open->refused) return status;
    if (status == ENOENT && waits) {
      if (last) return ETIMEDOUT;
      held = 0;
    } else if (status != REGION_LOOK_AGAIN) {
      return status;
    } else if (made) {
      // Whoever was first has just come, and stands there whole.
      end = 0, held = 0, turn = 0;
      continue;
    } else if (last && held++) {
      return EBUSY;
    } else if (!end) {
      end = muster_deadline_after(MUSTER_REGION_PATIENCE);
    }
    pause_before(&turn, end);
  }
}

int muster_region_open(const char *name, const muster_region_options *options, muster_region **region) {
  *region = NULL;
  if (options->mismatch) *options->mismatch = (muster_mismatch){0};
  if (!options_fit(options)) return EINVAL;
  opening open = {.name = name, .options = options};
  int status = muster_region_path(name, options->flags, &open.path);
  if (status) return status;
  muster_caller came = muster_enter();
  status = open_patiently(&open, region);
  muster_leave(came);
  return status;
}

void muster_region_close(muster_region *region) {
  if (!region) return;
  muster_caller came = muster_enter();
  munmap(region->base, HEADER + region->payload_size);
  muster_region_file_close(region->file);
  free(region);
  muster_leave(came);
}

unsigned char *muster_region_base(const muster_region *region) { return region->base; }

int muster_region_descriptor(const muster_region *region) { return region->file; }

// A place that is large enough is reserved first; what lies around the part that is taken is given back.
int muster_region_move(muster_region *region, size_t alignment) {
  size_t size = HEADER + region->payload_size, room = size + alignment;
  if (room < size) return ENOMEM;
  int saved = errno;
  unsigned char *place = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return errno = saved, ENOMEM;
  unsigned char *to = (unsigned char *)(((uintptr_t)place + alignment - 1) & ~(uintptr_t)(alignment - 1));
  if (mremap(region->base, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
    munmap(place, room);
    return errno = saved, ENOMEM;
  }
  size_t page = (size_t)sysconf(_SC_PAGESIZE), end = (size + page - 1) & ~(page - 1);
  if (to > place) munmap(place, (size_t)(to - place));
  if (place + room > to + end) munmap(to + end, (size_t)(place + room - (to + end)));
  region->base = to;
  errno = saved;
  return 0;
}

void *muster_region_payload(const muster_region *region) { return region->base + HEADER; }

size_t muster_region_size(const muster_region *region) { return region->payload_size; }

const char *muster_region_name(const muster_region *region) { return region->name; }

int muster_region_created(const muster_region *region) { return region->created; }

int muster_region_current(const muster_region *region) {
  region_path path;
  int status = muster_region_path(region->name, region->flags, &path);
  return status ? status : muster_region_file_is(&path, region->file);
}

static int sync_region(const muster_region *region) {
  if (msync(region->base, HEADER + region->payload_size, MS_SYNC)) return errno;
  if (fsync(region->file)) return errno;
  region_path path;
  int status = muster_region_path(region->name, region->flags, &path);
  return status ? status : muster_region_sync_folder(&path);
}

int muster_region_sync_name(muster_region *region) {
  if (region->created) return muster_region_sync(region);
  region_path path;
  muster_caller came = muster_enter();
  int status = muster_region_path(region->name, MUSTER_REGION_FILE, &path);
  if (!status) status = muster_region_sync_folder(&path);
  muster_leave(came);
  return status;
}

int muster_region_sync(muster_region *region) {
  if (!(region->flags & MUSTER_REGION_FILE)) return 0;
  muster_caller came = muster_enter();
  int status = sync_region(region);
  muster_leave(came);
  return status;
}
