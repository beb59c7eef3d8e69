// The file below a region: names, locks, drafts that are published whole, and the checks of what is found.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_REGION_FILE_H
#define MUSTER_INTERNAL_REGION_FILE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "region_layout.h"
#include "muster/region.h"

typedef struct region_path {
  char path[PATH_MAX];
  size_t folder;  // length of the part before the last `/`
} region_path;

// A file that is being filled: without a name, or where the file system can't do that, with one that nobody opens.
typedef struct region_draft {
  int file;
  int named;
  char name[PATH_MAX];
} region_draft;

// EINVAL, ENAMETOOLONG: not a name.
int muster_region_path(const char *name, uint32_t flags, region_path *path);

// Opens without following a link, blocking, or creating.
int muster_region_file_open(const region_path *path, int read_only, int *file);
void muster_region_file_close(int file);

// F_RDLCK or F_WRLCK on `count` bytes, without waiting. EAGAIN: somebody else's lock stands against it. A lock that the
// descriptor has there becomes the other kind in one step.
int muster_region_file_lock(int file, int first, int count, int type);

// Copies the header and checks it against the file. EAGAIN: the file has lost this name meanwhile.
int muster_region_file_check(int file, const region_path *path, uint32_t flags, region_header *header,
                             muster_mismatch *mismatch);

int muster_region_file_exists(const region_path *path);

// Whether the path leads to this very file.
int muster_region_file_is(const region_path *path, int file);

// A new file of `size` bytes, all reserved, with its permissions.
int muster_region_draft_make(const region_path *path, uint32_t mode, size_t size, region_draft *draft);

// Gives the draft its name, in one step that fails with EEXIST when the name is taken.
int muster_region_draft_publish(region_draft *draft, const region_path *path);
void muster_region_draft_discard(region_draft *draft);

int muster_region_sync_folder(const region_path *path);

int64_t muster_region_wall_clock(void);
void muster_region_sleep_until(muster_deadline until);

#endif
