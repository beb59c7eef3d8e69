// Alive: a file that is locked while its owner lives, and that tells how the last owner ended.
//
//   The owner                                        Anyone else
//   -------------------------------------------      ---------------------------------------------------
//   muster_alive *alive;                             muster_alive_wait("/run/x.alive", deadline, &who);
//   muster_alive_found found;                        muster_alive_probe("/run/x.alive", &who);
//   muster_alive_acquire("/run/x.alive", 0,          muster_alive_wait_death("/run/x.alive", deadline);
//       MUSTER_DEADLINE_NOW, &found, &alive);
//   if (found.kind == MUSTER_ALIVE_CRASH) ...
//   muster_alive_release(alive);
//
// The file exists while its owner lives, and after an owner that did not end cleanly. A clean end removes it, so
// whoever acquires next and finds a file that nobody holds knows that the owner named in it crashed, or, if that was
// before the machine was last started, that the machine went down with it.
//
// How it works. Owners exclude each other by flock(2) on the open file, taken without waiting and followed by a
// comparison of fstat(descriptor) with stat(path) (device, inode, link count): who locked a file that was removed
// meanwhile starts again. The owner also holds an OFD write lock on byte 0, and a probe asks for that one with
// F_OFD_GETLK, which takes no lock and creates no file: probes never disturb an acquirer, nor each other. A clean end
// unlinks while still holding the lock, then closes. All of it is let go of by the kernel at any death.
//
// Waiting is event-driven: inotify(7) on the file and its folder, and the owner's pidfd for its death; after each event
// the probe decides. Where neither is to be had the wait looks every 20 ms.
//
// A child that is forked without exec would share its parent's locks and keep them after the parent's death; a handler
// of pthread_atfork(3), installed at the first acquire, closes the descriptor in children. The handle in the child gives EPERM.
// (Children made by a bare clone(2) or _Fork(3) run no handlers.)
//
// Not promised: anything over network file systems; anything against a process that deletes the file by hand (the owner can
// ask muster_alive_current).
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_ALIVE_H
#define MUSTER_ALIVE_H

#include "clock.h"
#include "status.h"

MUSTER_BEGIN_DECLS

typedef struct muster_alive muster_alive;

typedef enum MUSTER_OPEN_ENUM muster_alive_kind {
  MUSTER_ALIVE_NOTHING = 0,  // no file: there never was an owner, or the last one ended cleanly
  MUSTER_ALIVE_CRASH = 1,    // a file that nobody holds: its owner ended otherwise
  MUSTER_ALIVE_REBOOT = 2,   // the same, from before the machine was last started
  MUSTER_ALIVE_HELD = 3,     // somebody holds it: alive
} muster_alive_kind;

// What an acquirer or a probe found. `pid` and the times are 0 where the file does not tell (its owner died before
// it had written them).
typedef struct muster_alive_found {
  muster_alive_kind kind;
  int32_t pid;       // the owner's process id, in its pid namespace
  uint64_t start;    // when that process started: clock ticks since boot, field 22 of /proc/PID/stat
  int64_t since;     // when it acquired: nanoseconds since 1970
} muster_alive_found;

// Takes the Alive file at `path`, creating it if it is missing with the permissions `mode` (0 is 0644), and waiting for its
// present owner until the deadline (MUSTER_DEADLINE_NOW: don't wait).
//
// *found, which may be NULL, is what the file told before: NOTHING, CRASH or REBOOT; at EBUSY or ETIMEDOUT it is HELD, with the
// holder's pid. Returns 0, or
//   EBUSY      somebody holds it, and the deadline is MUSTER_DEADLINE_NOW
//   ETIMEDOUT  somebody held it until the deadline
//   EISDIR     the path is a folder
//   ELOOP      the path is a symbolic link (they are not followed at the last part)
//   EINVAL     the path is no regular file, or empty
//   EBADMSG    there is a file that is not an Alive file: it is left as it is
//   ENOENT, EACCES, EROFS, ENOSPC, EMFILE... from the kernel
int muster_alive_acquire(const char *MUSTER_NONNULL path, uint32_t mode, muster_deadline deadline,
                         muster_alive_found *MUSTER_NULLABLE found,
                         muster_alive *MUSTER_NULLABLE *MUSTER_NONNULL alive) MUSTER_MUST_CHECK;

// A clean end: removes the file and lets go of it. NULL is nothing to do. In a forked child it frees the handle and touches
// nothing else. Returns 0, or the error at removing (the lock is let go of in any case).
int muster_alive_release(muster_alive *MUSTER_NULLABLE alive);

// Lets go of the file without removing it: the next acquirer finds a crash. For who must end uncleanly on purpose.
void muster_alive_abandon(muster_alive *MUSTER_NULLABLE alive);

// Whether the path still leads to the file that is held: 0, ESTALE when somebody removed or replaced it, EPERM in a
// forked child.
int muster_alive_current(const muster_alive *MUSTER_NONNULL alive) MUSTER_MUST_CHECK;

// Tells what stands at the path, without creating or locking anything. Returns 0 with *found filled in, or EISDIR, ELOOP,
// EINVAL, EBADMSG, EACCES... as acquire does. A missing file is NOTHING; a missing folder is ENOENT.
int muster_alive_probe(const char *MUSTER_NONNULL path, muster_alive_found *MUSTER_NONNULL found) MUSTER_MUST_CHECK;

// Waits until somebody holds the file. Returns 0 with *found (which may be NULL) filled in, ETIMEDOUT, or an error of
// muster_alive_probe.
int muster_alive_wait(const char *MUSTER_NONNULL path, muster_deadline deadline,
                      muster_alive_found *MUSTER_NULLABLE found) MUSTER_MUST_CHECK;

// Waits until nobody holds the file. Returns 0 with *found (which may be NULL) telling how the owner ended: NOTHING (cleanly),
// CRASH or REBOOT; ETIMEDOUT with HELD; or an error of muster_alive_probe.
int muster_alive_wait_death(const char *MUSTER_NONNULL path, muster_deadline deadline,
                            muster_alive_found *MUSTER_NULLABLE found) MUSTER_MUST_CHECK;

MUSTER_END_DECLS

#endif
