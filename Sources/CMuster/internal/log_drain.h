// What the sources of the log's drain share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_LOG_DRAIN_H
#define MUSTER_INTERNAL_LOG_DRAIN_H

#include "log.h"
#include "muster/log_drain.h"

// ---- log_mark.c: the two marks in the shared memory

typedef struct log_marked {
  log_mark mark;
  muster_ring_place places[MUSTER_LOG_PLACES_MAX];
} log_marked;

// The newest mark that is whole; 0: there is none. `before`: the one before it, if it is whole and the newest is, too.
int muster_log_mark_newest(const muster_log *log, log_marked *marked);
int muster_log_mark_before(const muster_log *log, uint64_t sequence, log_marked *marked);

// Makes it the newest: gives it the next sequence number. A death in here leaves the one before.
void muster_log_mark_store(const muster_log *log, log_marked *marked);

static inline unsigned char *log_stage(const muster_log *log) { return log_part(log, log_stage_offset(log->places)); }

// ---- log_files.c: the files in a folder

typedef struct log_files {
  int folder, file;      // -1: none is open
  uint64_t target;       // which folder and name, as a number other than 0
  uint64_t number;       // of the file
  uint32_t permissions;
  size_t folder_length;  // of the path
  char *path;            // of the file; NULL: closed
  char name[MUSTER_LOG_DRAIN_NAME_MAX + 1];
} log_files;

typedef struct log_keep {
  uint32_t files;
  int64_t seconds;
} log_keep;

// 0, EINVAL, ENOMEM, or of open(2).
int muster_log_files_open(const char *folder, const char *name, uint32_t permissions, log_files *files);
void muster_log_files_close(log_files *files);
void muster_log_files_close_file(log_files *files);

// Opens the file of that number, if it is the one with that device and inode: 0, ESTALE, or of open(2).
int muster_log_files_reopen(log_files *files, uint64_t number, uint64_t device, uint64_t inode);

// Makes a file with a number above `above` and above all that are there, and leads NAME.log to it. 0; EOVERFLOW: the highest
// number that can be is taken; EEXIST: others took the next ones, each time; or of open(2), fchmod(2).
int muster_log_files_create(log_files *files, uint64_t above);

// Leads NAME.log to the file that is open, if it does not yet.
void muster_log_files_lead(const log_files *files);

// Deletes what is not to be kept; never the file that is open.
void muster_log_files_prune(const log_files *files, log_keep keep);

// Whether the file that is open, with that device and inode, is still the one of its name, and its size then: 0, ESTALE, or
// of fstatat(2).
int muster_log_files_look(const log_files *files, uint64_t device, uint64_t inode, uint64_t *size);

// Which file is open, and its size.
int muster_log_files_identity(const log_files *files, uint64_t *device, uint64_t *inode, uint64_t *size);

#endif
