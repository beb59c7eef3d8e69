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
#include "internal/region_file.h"
#include "internal/region_layout.h"

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
  void *memory = mmap(NULL, MUSTER_REGION_HEADER_SIZE + payload_size, read_only ? PROT_READ : PROT_READ | PROT_WRITE,
                      MAP_SHARED, file, 0);
  int error = memory == MAP_FAILED ? errno : 0;
  errno = saved;
  *base = error ? NULL : memory;
  return error;
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
  int status = callback ? callback(base + MUSTER_REGION_HEADER_SIZE, payload_size, open->options->context) : 0;
  open->refused = status != 0;
  return status;
}

// Puts the region in order after a generation of users that are all gone. Runs with the region held exclusively; a death in
// here leaves it held by nobody, so the next to open it does all of it again.
static int renew(opening *open, unsigned char *base, size_t payload_size) {
  int status = call(open, open->options->renew, base, payload_size);
  region_header *header = (region_header *)base;
  if (!status && open->options->flags & MUSTER_REGION_FILE) muster_boot_id(header->boot);
  return status;
}

// EAGAIN: held exclusively, or removed meanwhile: look again. ENOENT: no such name.
static int attach_once(opening *open, muster_region **region) {
  const muster_region_options *options = open->options;
  int read_only = (options->flags & MUSTER_REGION_READ_ONLY) != 0, file = -1, exclusive = 0;
  region_header header = {0};
  int status = muster_region_file_open(&open->path, read_only, &file);
  if (status) return status;
  if (!read_only && options->renew) exclusive = muster_region_file_lock(file, REGION_LOCK_WRITE, 1, F_WRLCK) == 0;
  if (!(options->flags & MUSTER_REGION_PEEK))
    status = muster_region_file_lock(file, REGION_LOCK_USE, read_only || exclusive ? 1 : 2, F_RDLCK);
  muster_mismatch differs = {0};
  if (!status) status = muster_region_file_check(file, &open->path, options->flags, &header, &differs);
  if (status == EPROTO && options->mismatch) *options->mismatch = differs;
  if (!status) status = compare(&header, options);
  unsigned char *base = NULL;
  size_t size = (size_t)header.payload_size;
  if (!status) {
    status = map(file, size, read_only, &base);
    if (!status && exclusive) status = renew(open, base, size);
    if (!status && exclusive) status = muster_region_file_lock(file, REGION_LOCK_WRITE, 1, F_RDLCK);
    if (!status) status = make_handle(open->name, options, file, base, size, 0, region);
    if (status && base) munmap(base, MUSTER_REGION_HEADER_SIZE + size);
  }
  if (status) muster_region_file_close(file);
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

static int create_once(opening *open, muster_region **region) {
  const muster_region_options *options = open->options;
  size_t size = (size_t)options->size;
  if (size == 0 || size > (size_t)INT64_MAX - MUSTER_REGION_HEADER_SIZE) return EINVAL;
  // Before the draft: it may take the last descriptor, and the boot id is read from a file.
  region_header header;
  fill_header(&header, options);
  region_draft draft;
  int status = muster_region_draft_make(&open->path, options->mode, MUSTER_REGION_HEADER_SIZE + size, &draft);
  if (status) return status;
  // Held before there is a header: neither the region nor a draft that has a name ever looks stale.
  status = muster_region_file_lock(draft.file, REGION_LOCK_USE, 2, F_RDLCK);
  unsigned char *base = NULL;
  if (!status) status = map(draft.file, size, 0, &base);
  if (!status) {
    memcpy(base, &header, sizeof header);
    status = call(open, options->initialize, base, size);
    if (!status) status = make_handle(open->name, options, draft.file, base, size, 1, region);
    if (!status && (status = muster_region_draft_publish(&draft, &open->path)) != 0) free(*region), *region = NULL;
    if (status) munmap(base, MUSTER_REGION_HEADER_SIZE + size);
  }
  if (status) muster_region_draft_discard(&draft);
  return status;
}

static int flags_fit(const muster_region_options *options) {
  uint32_t way = options->flags & MUSTER_REGION_OPEN;
  if (!way || (options->flags & MUSTER_REGION_PEEK && !(options->flags & MUSTER_REGION_READ_ONLY))) return 0;
  return !(options->flags & MUSTER_REGION_READ_ONLY) || way == MUSTER_REGION_ATTACH;
}

static void pause_before(int *turn, muster_deadline end) {
  int64_t pause = INT64_C(20000) << (*turn < 7 ? (*turn)++ : 7);
  muster_region_sleep_until(muster_deadline_after(pause) < end ? muster_deadline_after(pause) : end);
}

// EAGAIN: look again.
static int open_once(opening *open, muster_region **region) {
  int may_create = (open->options->flags & MUSTER_REGION_CREATE) != 0;
  int may_attach = (open->options->flags & MUSTER_REGION_ATTACH) != 0, status;
  if (may_attach) {
    status = attach_once(open, region);
  } else {
    status = muster_region_file_exists(&open->path) ? EEXIST : ENOENT;
  }
  if (status != ENOENT || !may_create || open->refused) return status;
  status = create_once(open, region);
  return status == EEXIST && may_attach && !open->refused ? EAGAIN : status;
}

int muster_region_open(const char *name, const muster_region_options *options, muster_region **region) {
  *region = NULL;
  if (options->mismatch) *options->mismatch = (muster_mismatch){0};
  if (!flags_fit(options)) return EINVAL;
  opening open = {.name = name, .options = options};
  int status = muster_region_path(name, options->flags, &open.path);
  if (status) return status;
  int may_create = (options->flags & MUSTER_REGION_CREATE) != 0;
  if (may_create && options->size == 0) return EINVAL;
  muster_deadline patience = muster_deadline_after(MUSTER_REGION_PATIENCE);
  for (int turn = 0;;) {
    status = open_once(&open, region);
    if (open.refused) return status;
    if (status == EAGAIN) {
      if (muster_deadline_passed(patience)) return EBUSY;
      pause_before(&turn, patience);
    } else if (status == ENOENT && !may_create && options->deadline > 0) {
      if (muster_deadline_passed(options->deadline)) return ETIMEDOUT;
      pause_before(&turn, options->deadline);
      patience = muster_deadline_after(MUSTER_REGION_PATIENCE);
    } else {
      return status;
    }
  }
}

void muster_region_close(muster_region *region) {
  if (!region) return;
  int saved = errno;
  munmap(region->base, MUSTER_REGION_HEADER_SIZE + region->payload_size);
  errno = saved;
  muster_region_file_close(region->file);
  free(region);
}

void *muster_region_payload(const muster_region *region) { return region->base + MUSTER_REGION_HEADER_SIZE; }

size_t muster_region_size(const muster_region *region) { return region->payload_size; }

const char *muster_region_name(const muster_region *region) { return region->name; }

int muster_region_created(const muster_region *region) { return region->created; }

int muster_region_current(const muster_region *region) {
  region_path path;
  int status = muster_region_path(region->name, region->flags, &path);
  if (status) return status;
  return muster_region_file_is(&path, region->file) ? 0 : ESTALE;
}

int muster_region_sync(muster_region *region) {
  if (!(region->flags & MUSTER_REGION_FILE)) return 0;
  int saved = errno, status = 0;
  if (msync(region->base, MUSTER_REGION_HEADER_SIZE + region->payload_size, MS_SYNC)) status = errno;
  if (!status && fsync(region->file)) status = errno;
  errno = saved;
  region_path path;
  if (!status) status = muster_region_path(region->name, region->flags, &path);
  return status ? status : muster_region_sync_folder(&path);
}
