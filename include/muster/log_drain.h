// The drain of a log: one process writes its records, in the order of time, to a descriptor or to files that rotate.
//
//   muster_log_drain_options where = {.folder = "/var/log/app", .name = "app", .rotate_bytes = 10 << 20, .keep_files = 8};
//   muster_log_drain *drain;
//   int status = muster_log_drain_open(log, &where, &drain, &pid);   // EBUSY: process `pid` does it
//   while (running) muster_log_drain_run(drain, muster_deadline_after(1000000000));
//   muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL);        // the last few milliseconds' too
//   muster_log_drain_close(drain);
//
// One at a time, by a liveness lock in the log; when the drain dies, the next one goes on where it was. How far the log was
// drained stands in the log, whatever it was drained to.
//
// Files. NAME-000001.log, NAME-000002.log and so on in the folder; the one with the highest number is being written, and
// NAME.log is a symbolic link to it where the file system has such. No file is ever renamed, and one that is no longer
// written never changes. One that somebody deletes, moves or cuts is let go of with the next batch, and a new one begun. A new one is begun when the present one has reached `rotate_bytes`, or when a multiple of
// `rotate_seconds` since 1970 (86,400: midnight UTC) has passed since it was begun. Then those beyond `keep_files`, and
// those last written more than `keep_seconds` ago, are deleted; other files never. One name in one folder is for one log.
//
// Exactly once. Each record is in the files once, also when the drain is killed at any instruction, and also when the rings
// have gone round since:
//   1. The lines of a batch are laid into the shared memory, behind what was written before.
//   2. A mark says: position behind the batch in each ring; this file, of this length; these staged bytes, with checksum.
//   3. The staged bytes are written into the file behind that length.
//   4. A mark says: the file has the new length, nothing is staged.
// Marks are written in turn into two slots and carry a sequence number and a checksum (CRC-32C): a death within one leaves
// the one before. After a death before 2 the batch is read again from the rings; it was in no file. After one between 2
// and 4 the successor writes the same bytes to the same place in the file again, however many were there. The file is cut to the
// length of the mark in any case, so nothing torn remains.
// Records that are overwritten before the drain reads them are counted, and told in the file.
//
// To a descriptor: each record at least once; what the drain was writing when it was killed, one batch, is repeated.
//
// What a full disk does: step returns ENOSPC; the staged batch stays, and each further step tries it again. Nothing is lost but
// what the writers overwrite meanwhile, which is told.
//
// The drain belongs to the thread that opened it (group.h), which must not end while another is in a step: a second drain would
// begin in its midst. By one drain one thread at a time calls. After a power failure
// MUSTER_LOG_DRAIN_SYNC gives what was flushed; a log in a file that was drained without it may repeat or lack what was not
// written back.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_LOG_DRAIN_H
#define MUSTER_LOG_DRAIN_H

#include "log_read.h"

MUSTER_BEGIN_DECLS

#define MUSTER_LOG_DRAIN_NAME_MAX 200

typedef struct muster_log_drain muster_log_drain;

typedef enum MUSTER_OPTION_SET muster_log_drain_flags {
  MUSTER_LOG_DRAIN_SYNC = 1,  // options: each batch is on the disk before its mark says so (fdatasync)
  MUSTER_LOG_DRAIN_ALL = 2,   // step: all that is there by now, also what would be held back
} muster_log_drain_flags;

typedef struct muster_log_drain_options {
  const char *MUSTER_NULLABLE folder;  // NULL: to `descriptor`
  const char *MUSTER_NULLABLE name;    // of the files; at most 200 bytes, no `/`
  int32_t descriptor;                  // stays the caller's; may be non-blocking
  uint32_t format;                     // muster_log_format; COLOUR only for a descriptor
  uint32_t flags;                      // MUSTER_LOG_DRAIN_SYNC
  uint32_t permissions;                // of new files; 0 is 0600
  uint64_t rotate_bytes;               // 0: not by size. A file exceeds it by at most one record
  int64_t rotate_seconds;              // 0: not by time
  uint32_t keep_files;                 // with the present one; 0: all
  uint32_t reserved;
  int64_t keep_seconds;                // 0: for ever
  int64_t hold;                        // as of a reader
  muster_log_filter filter;            // what is not asked for counts as drained
} muster_log_drain_options;

// How far a log was drained.
typedef struct muster_log_drain_state {
  int32_t life;          // 0: a drain is open, and lives; EOWNERDEAD: it died; ENOENT: none is open
  int32_t pid;           // of that, 0 where it is not known
  uint64_t records;      // written, by all drains that ever were
  uint64_t lost;         // overwritten before they were read
  uint64_t file;         // the number of the present file; 0: no files so far
  uint64_t length;       // its bytes
  uint32_t staged;       // bytes of the batch that is being written
  uint32_t reserved;
} muster_log_drain_state;

// Becomes the drain, on the calling thread. Returns 0, or
//   EBUSY      a living drain is there: *pid, if not NULL (0 while it is just starting)
//   EINVAL     neither folder nor descriptor, or a folder without a name; a name that can't be; COLOUR into files or JSON;
//              negative times; too many tags
//   EACCES     a read-only handle; or the permissions of the folder or of the present file
//   EAGAIN     a writer was ahead of each of many attempts to find where to begin: open again
//   ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EMFILE, ENFILE, EIO, EROFS and others  of open(2), fstat(2), ftruncate(2)
//   ENOLCK, EPROTO, ENOMEM, EPERM, EBADMSG  as of muster_log_join
// What the drain before left staged is written by the first step.
int muster_log_drain_open(muster_log *MUSTER_NONNULL log, const muster_log_drain_options *MUSTER_NONNULL options,
                          muster_log_drain *MUSTER_NULLABLE *MUSTER_NONNULL drain,
                          int32_t *MUSTER_NULLABLE pid) MUSTER_MUST_CHECK;

// Stops, and lets go. What is staged stays for the next drain. Returns 0, or EBUSY: opened on another thread, which lives;
// nothing is done then. In a forked child it lets go of the child's copy alone.
int muster_log_drain_close(muster_log_drain *MUSTER_NULLABLE drain);

// Writes what is ready, up to one batch (about 128 KiB); `flags`: MUSTER_LOG_DRAIN_ALL or 0. Waits for nothing but the
// descriptor, if that blocks. *records, if not NULL, is how many it wrote,
// without those of a batch that the drain before left.
//
// Returns 0, or
//   EAGAIN      nothing is ready; or a non-blocking descriptor takes no more by now
//   ENOSPC, EDQUOT, EFBIG, EIO, EPIPE and others  of open(2), write(2), fdatasync(2): the batch is kept, call again
//   ENOENT      the folder was removed: the batch is kept for a drain that is opened with another
//   EOVERFLOW   a file in the folder has the highest number that there can be, 999999999999: move it away
//   EEXIST      others make files with the numbers that are to be taken, faster than this drain: one name is for one log
//   EOWNERDEAD  the thread that opened the drain has ended: close it, and open another
//   EPERM       inherited over fork
int muster_log_drain_step(muster_log_drain *MUSTER_NONNULL drain, uint32_t flags,
                          uint64_t *MUSTER_NULLABLE records) MUSTER_MUST_CHECK;

// Waits until step would do something. Returns 0, ETIMEDOUT, EPERM. The same without sleeping, as muster_log_poll; while a
// non-blocking descriptor takes no more it says to look again after some milliseconds.
int muster_log_drain_wait(muster_log_drain *MUSTER_NONNULL drain, muster_deadline deadline) MUSTER_MUST_CHECK;
int muster_log_drain_poll(muster_log_drain *MUSTER_NONNULL drain,
                          muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// Steps and waits until the deadline. Returns ETIMEDOUT, or what step returned beside 0 and EAGAIN.
int muster_log_drain_run(muster_log_drain *MUSTER_NONNULL drain, muster_deadline deadline) MUSTER_MUST_CHECK;

// The path of the file that is being written, or NULL. Valid until the next call by this drain.
const char *MUSTER_NULLABLE muster_log_drain_path(const muster_log_drain *MUSTER_NONNULL drain);

// From any handle of the log. Returns 0, EPERM.
int muster_log_look_drain(const muster_log *MUSTER_NONNULL log,
                          muster_log_drain_state *MUSTER_NONNULL state) MUSTER_MUST_CHECK;

MUSTER_END_DECLS

#endif
