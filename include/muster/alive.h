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
// comparison of fstat(descriptor) with the path: who locked a file that was removed meanwhile starts again. A new file
// is written unnamed, locked, and given its name last, so nobody ever sees one that has no owner yet. The owner also
// holds an OFD lock on byte 0: for reading while the file still tells of somebody else, for writing from then on. A
// probe asks for that one with F_OFD_GETLK, which takes no lock and creates no file: probes never disturb an acquirer,
// nor each other. A clean end unlinks while still holding the lock, then closes. All of it is let go of by the kernel
// at any death.
//
// Waiting is event-driven: inotify(7) on the file and its folder, and the owner's pidfd for its death; after each event
// the probe decides, and once a second in any case. Where inotify is not to be had the wait looks every 20 ms. A
// process keeps as many inotify instances as waits of it ever ran at once, up to eight: to close one takes longer than
// all the rest of a wait. A daemon that closes all its descriptors does so before it uses Muster. (If it does so later,
// Muster lets alone what stands at the number of an instance by then, unless that is an inotify instance too.)
//
// A child that is forked without exec would share its parent's locks and keep them after the parent's death; a handler
// of pthread_atfork(3), installed at the first acquire, closes the descriptor in children. The handle in the child
// gives EPERM. (Children made by a bare clone(2) or _Fork(3) run no handlers: they keep the file locked, as long as
// they live and don't exec.)
//
// A path is looked up anew at each look, so a process that changes its working folder meanwhile gives absolute ones.
// All functions may be called from any thread, one handle from one thread at a time; none is a cancellation point.
//
// Not promised: anything over network file systems; anything against a process that deletes the file by hand (the owner
// can ask muster_alive_current), or that may open the file and locks it itself. docs/alive.md has the argument and the
// limits.
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

// What an acquirer or a probe found. `pid` and the times are 0 where the file does not tell: at CRASH and REBOOT
// because it was cut short (the power failed before it was on the disk); at HELD because its holder has been stopped in
// the midst of taking it, or is no owner at all but somebody with a lock of flock(1).
typedef struct muster_alive_found {
  muster_alive_kind kind;
  int32_t pid;       // the owner's process id, in its pid namespace
  uint64_t start;    // when that process started: clock ticks since boot, field 22 of /proc/PID/stat
  int64_t since;     // when it acquired: nanoseconds since 1970
} muster_alive_found;

// Takes the Alive file at `path`, creating it if it is missing with the permissions `mode` (0 is 0644), and waiting for
// its present owner until the deadline (MUSTER_DEADLINE_NOW: don't wait).
//
// *found, which may be NULL, is what the file told before: NOTHING, CRASH or REBOOT; at EBUSY or ETIMEDOUT it is HELD,
// with the holder's pid. Returns 0, or
//   EBUSY      somebody holds it, or a lease on it (fcntl(2), F_SETLEASE), and the deadline is MUSTER_DEADLINE_NOW
//   ETIMEDOUT  somebody held it until the deadline
//   EISDIR     the path is a folder
//   ELOOP      the path is a symbolic link (they are not followed at the last part)
//   EINVAL     the path is no regular file, or empty; or a mode with other bits than 07777
//   EBADMSG    there is a file that is not an Alive file: it is left as it is
//   ENOTDIR, ENAMETOOLONG, ENOMEM
//   ENOENT, EACCES, EROFS, ENOSPC, EMFILE... from the kernel; a file that was there before is then as it was before
int muster_alive_acquire(const char *MUSTER_NONNULL path, uint32_t mode, muster_deadline deadline,
                         muster_alive_found *MUSTER_NULLABLE found,
                         muster_alive *MUSTER_NULLABLE *MUSTER_NONNULL alive) MUSTER_MUST_CHECK;

// A clean end: removes the file and lets go of it. NULL is nothing to do. In a forked child it frees the handle and
// touches nothing else. Returns 0, ESTALE when somebody removed or replaced the file before (what stands there is left
// alone), or the error at removing, such as EACCES or EPERM for an owner that has dropped its privileges: then the file
// stays, saying that its owner ended cleanly, and the next acquirer finds NOTHING. The lock is let go of in any case.
int muster_alive_release(muster_alive *MUSTER_NULLABLE alive);

// Lets go of the file without removing it: the next acquirer finds a crash. For who must end uncleanly on purpose.
void muster_alive_abandon(muster_alive *MUSTER_NULLABLE alive);

// Whether the path still leads to the file that is held: 0, ESTALE when somebody removed or replaced it or a folder on
// the way, EPERM in a forked child; or an error of stat(2), such as EACCES. Of a relative path, the working folder is
// that of acquiring.
int muster_alive_current(const muster_alive *MUSTER_NONNULL alive) MUSTER_MUST_CHECK;

// Tells what stands at the path, without creating or locking anything. Returns 0 with *found filled in, or EISDIR,
// ELOOP, EINVAL, EBADMSG, EACCES... as acquire does; EAGAIN when the file was replaced each of a thousand times that it
// was looked at, or somebody's lease keeps it from being opened. A missing file is NOTHING; a missing folder is ENOENT.
// Returns at once, but for a holder that is just taking the file, or has a lease: up to 20 ms.
int muster_alive_probe(const char *MUSTER_NONNULL path, muster_alive_found *MUSTER_NONNULL found) MUSTER_MUST_CHECK;

// Waits until somebody holds the file. Returns 0 with *found (which may be NULL) filled in, ETIMEDOUT, or an error of
// muster_alive_probe.
int muster_alive_wait(const char *MUSTER_NONNULL path, muster_deadline deadline,
                      muster_alive_found *MUSTER_NULLABLE found) MUSTER_MUST_CHECK;

// Waits until nobody holds the file. Returns 0 with *found (which may be NULL) telling how the owner ended: NOTHING
// (cleanly), CRASH or REBOOT; ETIMEDOUT with HELD; or an error of muster_alive_probe.
int muster_alive_wait_death(const char *MUSTER_NONNULL path, muster_deadline deadline,
                            muster_alive_found *MUSTER_NULLABLE found) MUSTER_MUST_CHECK;

// A way out for another thread, as a task's cancellation needs it: the waits of a thread (acquire, wait, wait_death)
// that heeds a stop end with ECANCELED once it was set, unless what they wait for has happened by then. It stays set.
//
// make returns 0, ENOMEM, EMFILE or ENFILE. set may be called by any thread. heed is for the calling thread, and its
// waits that begin from then on; NULL: none. The stop is freed when no wait heeds it any more.
typedef struct muster_alive_stop muster_alive_stop;
int muster_alive_stop_make(muster_alive_stop *MUSTER_NULLABLE *MUSTER_NONNULL stop) MUSTER_MUST_CHECK;
void muster_alive_stop_set(const muster_alive_stop *MUSTER_NONNULL stop);
void muster_alive_stop_heed(const muster_alive_stop *MUSTER_NULLABLE stop);
void muster_alive_stop_free(muster_alive_stop *MUSTER_NULLABLE stop);

MUSTER_END_DECLS

#endif
