// The file below a region: names, locks, drafts that are published whole, and the checks of what is found.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_REGION_FILE_H
#define MUSTER_INTERNAL_REGION_FILE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "held.h"
#include "region_layout.h"
#include "muster/region.h"

// What no system call returns, so that no error of the kernel is ever taken for it.
enum {
  REGION_LOOK_AGAIN = -1,        // held exclusively, or the name was given to another file meanwhile
  REGION_NO_WAY_TO_A_NAME = -2,  // an unnamed file can't be given one here
};

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

// Opens without following a link, blocking, or creating. REGION_LOOK_AGAIN: somebody's lease is in the way.
int muster_region_file_open(const region_path *path, int read_only, int *file);
void muster_region_file_close(int file);

// Drops all locks, and closes: for a descriptor that did not become a handle's.
void muster_region_file_drop(int file);

// The same for writing, as held->file in the list of what a forked child closes: for who may come to have the file for
// himself alone. And back: drops all locks, closes, takes it from the list.
int muster_region_file_open_held(const region_path *path, held_files *held);
void muster_region_file_let_go(held_files *held);

// F_RDLCK, F_WRLCK or F_UNLCK on `count` bytes, without waiting. REGION_LOOK_AGAIN: somebody else's lock stands against
// it. A lock that the descriptor has there becomes the other kind in one step.
int muster_region_file_lock(int file, int first, int count, int type);

// Copies the header and checks it against the file. REGION_LOOK_AGAIN: the file has lost this name meanwhile.
int muster_region_file_check(int file, const region_path *path, uint32_t flags, region_header *header,
                             muster_mismatch *mismatch);

int muster_region_file_exists(const region_path *path);

// Whether the path leads to this very file: 0, ESTALE, or why that can't be told.
int muster_region_file_is(const region_path *path, int file);

// Whether it has the size of a region, and nothing but zeros where its header would be: what a power failure leaves of
// a file that was never written back.
int muster_region_file_is_blank(int file);

// A new file of `size` bytes, all reserved, with its permissions. `named`: not an unnamed one.
int muster_region_draft_make(const region_path *path, uint32_t mode, size_t size, int named, region_draft *draft);

// As if no file system had unnamed files: for the crash sweep.
extern int muster_region_named_drafts;

// Makes what is in it durable, before it has a name.
int muster_region_draft_sync(const region_draft *draft);

// Gives the draft its name, in one step that fails with EEXIST when the name is taken. REGION_NO_WAY_TO_A_NAME: of an
// unnamed one, on kernels before 6.10 without /proc.
int muster_region_draft_publish(region_draft *draft, const region_path *path);
void muster_region_draft_discard(region_draft *draft);

int muster_region_sync_folder(const region_path *path);

// A file's name on the disk, before anything is durable in it. Whoever created it may have died before he had come to that.
int muster_region_sync_name(muster_region *region);

int64_t muster_region_wall_clock(void);
void muster_region_sleep_until(muster_deadline until);

#endif
