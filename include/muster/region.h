// Regions: named shared memory, or a file, mapped; every process sees one whole initialisation or none.
//
//   A process that needs the region, first or last        One that looks
//   ---------------------------------------------         --------------------------------------
//   muster_region_options options = {                     options.flags = MUSTER_REGION_ATTACH |
//     .flags = MUSTER_REGION_OPEN, .size = sizeof(T),                     MUSTER_REGION_READ_ONLY;
//     .kind = 'T', .initialize = fill };                  muster_region_open("name", &options, &region);
//   muster_region_open("name", &options, &region);
//   T *t = muster_region_payload(region);
//   muster_region_close(region);
//
// How it works, and why it is right. A region is built without a name (O_TMPFILE), its space reserved, its payload
// filled, and only then published by linkat(2), which fails with EEXIST when the name is taken. So a name always
// leads to a whole initialisation; of any number of racing creators exactly one publishes, the others attach to what
// stands there; and a creator that dies or stops before linkat leaves nothing that anyone could see or wait for. Where
// O_TMPFILE is not to be had, or an unnamed file can't be given a name (no /proc, before Linux 6.10), a file with a
// temporary name that no one opens stands in for the unnamed one.
//
// Every handle holds a shared OFD lock (fcntl(2), F_OFD_SETLK) on byte 0 of the region's file, which the kernel lets
// go of when the last descriptor of that handle closes, by whatever death. "In use" is thus a fact that anyone can ask
// for (F_OFD_GETLK) without disturbing anybody. Removal takes the same byte exclusively and without waiting, so that a
// region which somebody attaches to is never removed, and one that is being removed is never attached to.
//
// What a reader of another user's region, or of a file of unknown origin, must know: everything in a region is input.
// The header is copied once and checked against the file's size before a byte of the payload is looked at. Whoever may
// write to the file can truncate it, and touching what is gone is SIGBUS: see docs/security.md.
//
// Names: one leading `/` may stand or not, no other; not "", "." or ".."; at most 255 bytes. They are those of
// shm_open(3): the region "a" is /dev/shm/a. With MUSTER_REGION_FILE the name is a path; it is looked up anew by open,
// current, sync and remove, so a process that changes its working folder meanwhile gives an absolute one.
//
// All functions may be called from any thread; none is a cancellation point, nor are `initialize` and `renew` within
// open, nor `visit` within list. No descriptor of a region's is 0, 1 or 2, also in a program that has closed those.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_REGION_H
#define MUSTER_REGION_H

#include "clock.h"
#include "status.h"

MUSTER_BEGIN_DECLS

// The bytes before the payload, which is aligned to 256 bytes.
#define MUSTER_REGION_HEADER_SIZE 256

// How long open and remove wait for a process that holds the region exclusively (a removal or a renewal: some
// microseconds, unless that process is stopped in between): 1 s from the first look that met it. The time that open
// takes to fill in a region of its own does not count. ATTACH alone with a deadline waits until the deadline instead.
#define MUSTER_REGION_PATIENCE INT64_C(1000000000)

typedef struct muster_region muster_region;

typedef enum MUSTER_OPTION_SET muster_region_flags {
  MUSTER_REGION_CREATE = 1,     // alone: create, EEXIST when the name is taken
  MUSTER_REGION_ATTACH = 2,     // alone: attach, ENOENT when there is nothing by the deadline
  MUSTER_REGION_OPEN = 3,       // both: attach to what is there, else create
  MUSTER_REGION_READ_ONLY = 4,  // map read-only; only with ATTACH alone
  MUSTER_REGION_FILE = 8,       // the name is a path of a file
  MUSTER_REGION_ANY_OWNER = 16, // accept a region that belongs to another user
  MUSTER_REGION_FORCE = 32,     // muster_region_remove: also while it is held
  MUSTER_REGION_PEEK = 64,      // with READ_ONLY: look without holding, so that it is not in use by this handle
} muster_region_flags;

// Four letters that name a kind of object, such as MUSTER_KIND('B','A','R','R').
#define MUSTER_KIND(a, b, c, d) \
  ((uint32_t)(unsigned char)(a) | (uint32_t)(unsigned char)(b) << 8 | (uint32_t)(unsigned char)(c) << 16 | \
   (uint32_t)(unsigned char)(d) << 24)

// Fills a payload. Returns 0, or the error that open then returns.
typedef int (*muster_region_fill)(void *MUSTER_NONNULL payload, size_t size, void *MUSTER_NULLABLE context);

typedef struct muster_region_options {
  uint32_t flags;     // muster_region_flags
  uint32_t mode;      // permissions of a region that is created, whatever the umask; 0 is 0600, else with both of 0600
  uint32_t kind;      // what the payload is (MUSTER_KIND); 0 when attaching: any
  uint32_t version;   // of the payload's layout; compared unless kind is 0
  uint64_t layout;    // a hash of what else must agree; 0 when attaching: any
  uint64_t size;      // bytes of the payload, at least 1 when creating; 0 when attaching: any
  // ATTACH alone: how long to wait for the name to appear, and for whoever holds the region exclusively; 0: not for the
  // name, and MUSTER_REGION_PATIENCE for the other.
  muster_deadline deadline;
  // Fills a new payload, which is zeroed, before anybody can see it. NULL leaves the zeros. Called again, on another
  // payload, when the first was not needed (another process was first, and its region is gone again), or could not be
  // given a name.
  muster_region_fill MUSTER_NULLABLE initialize;
  // Called when nobody else holds the region but readers that can't write, and while no one else can come to, so that
  // whatever an earlier, dead generation of users left can be put in order. NULL: nothing to be done. A process that is
  // forked meanwhile has neither this mapping nor the lock, and can't return from here.
  muster_region_fill MUSTER_NULLABLE renew;
  void *MUSTER_NULLABLE context;
  muster_mismatch *MUSTER_NULLABLE mismatch;  // filled in at EPROTO
} muster_region_options;

// Opens a region: creates it, attaches to it, or whichever is needed.
//
// Returns 0, or
//   EINVAL      a bad name (also a path that ends in `/`); CREATE with a size of 0 or more than can be mapped, or
//               with a mode that has bits other than 0777 or lacks one of 0600; READ_ONLY together with CREATE; PEEK
//               without READ_ONLY; neither CREATE nor ATTACH
//   ENAMETOOLONG the name, or the last part of the path, has more than 255 bytes, or the path more than PATH_MAX
//   EEXIST      CREATE alone, and the name is taken
//   ENOENT      ATTACH alone, and there is no such name (with a deadline: ETIMEDOUT); or there is no such folder
//   ENOTDIR     a part of the path before the last is no folder
//   ETIMEDOUT   no such name appeared by the deadline
//   EPROTO      another format, kind, version, layout or size; *mismatch says which
//   EBADMSG     what is there is no region, or a cut or corrupt one; a file after a power failure may be: remove it
//   EISDIR      the name leads to a folder
//   EACCES      permission denied, or another user's region without ANY_OWNER
//   EPERM       the file may not be opened for writing, or made (a file system's or a security module's word)
//   ELOOP       the name leads to a symbolic link
//   EBUSY       a process that is removing or renewing the region, or has a lease on its file, has not finished within
//               MUSTER_REGION_PATIENCE, or by the deadline of ATTACH. It may be stopped:
//               muster_region_remove with FORCE is the way past one that was stopped while renewing
//   EFBIG       more than the file system, or RLIMIT_FSIZE, lets a file have; or, attaching, more than can be
//               mapped here
//   ENOSPC, EDQUOT  no room for it. All of it is reserved: touching it later never fails for want of room
//   ENOMEM      no memory, or more than may be locked where mlockall(2) locks all
//   EMFILE, ENFILE  no descriptor is left
//   EROFS       a read-only file system
//   EIO, ETXTBSY, EOVERFLOW, ENOLCK, ENODEV  from the kernel, at open(2), fsync(2), fcntl(2) and mmap(2)
// and what `initialize` or `renew` returned.
int muster_region_open(const char *MUSTER_NONNULL name, const muster_region_options *MUSTER_NONNULL options,
                       muster_region *MUSTER_NULLABLE *MUSTER_NONNULL region) MUSTER_MUST_CHECK;

// Unmaps the region and lets go of it; the name stays. NULL is nothing to do. Pointers into the payload are invalid
// from here on; a liveness lock in it must have been released before (the modules that take them do).
void muster_region_close(muster_region *MUSTER_NULLABLE region);

// The payload, and its size in bytes.
void *MUSTER_NONNULL muster_region_payload(const muster_region *MUSTER_NONNULL region);
size_t muster_region_size(const muster_region *MUSTER_NONNULL region);

// The name or path as it was given. Valid until close.
const char *MUSTER_NONNULL muster_region_name(const muster_region *MUSTER_NONNULL region);

// Whether this handle created what it maps (1), or attached to it (0).
int muster_region_created(const muster_region *MUSTER_NONNULL region);

// Whether the name still leads to this region: 0, or ESTALE when it leads to another one or to nothing, also for want
// of a folder on the way; or, when that can't be told, an error of stat(2): EACCES, ENOMEM, EIO, EOVERFLOW. A relative
// path is looked up in the present working folder.
int muster_region_current(const muster_region *MUSTER_NONNULL region) MUSTER_MUST_CHECK;

// Makes a file's contents durable: msync, fsync of the file and of its folder. On shared memory nothing to do. (What
// `initialize` left is durable before the file has its name; that it has it, after the first sync.)
//
// Returns 0; EIO, ENOSPC or EDQUOT when what is in memory could not be written; or what opening the folder gives:
// ENOENT when it is gone, ENOTDIR, ELOOP, EACCES, EMFILE, ENFILE, ENOMEM; EINVAL or EROFS where the file system has no
// fsync. A relative path is looked up in the present working folder.
int muster_region_sync(muster_region *MUSTER_NONNULL region) MUSTER_MUST_CHECK;

// Removes a name. Flags: FILE (a path), FORCE (also while somebody holds it: those go on with memory that has no
// name, and the next to open the name gets another region), ANY_OWNER.
//
// With FILE also one that is as long as a region and begins with zeros where the header should be: what a power failure
// leaves of a file that was not yet written back, and that nobody can open.
//
// Returns 0, or
//   ENOENT      there is no such name, or no such folder
//   EBUSY       held, and no FORCE (also by a child that this process forked before it closed its handle, until the child
//               ends or execs; and for a moment by one that has died, while somebody reads its /proc files); or, FORCE or not, another remover has not finished within MUSTER_REGION_PATIENCE
//               (or holds that lock by hand: docs/security.md), or somebody has a lease on the file
//   EBADMSG, EISDIR, ELOOP  not a region: never removed
//   EACCES      permission denied (also to open it for writing, as removing has to lock it), or another user's region
//               without ANY_OWNER
//   EPERM       not permitted: the folder is another user's with the sticky bit, or the file is immutable
//   EINVAL, ENAMETOOLONG, ENOTDIR  as in muster_region_open
//   EROFS       a read-only file system
//   EMFILE, ENFILE, ENOMEM, EIO, ENOLCK, ETXTBSY, EOVERFLOW  from the kernel
int muster_region_remove(const char *MUSTER_NONNULL name, uint32_t flags) MUSTER_MUST_CHECK;

// What can be said of a region without attaching to it.
typedef struct muster_region_info {
  char name[256];          // as to be given to open; for a file the last part of the path
  uint32_t kind;
  uint32_t version;
  uint64_t layout;
  uint64_t size;           // bytes of the payload
  uint64_t file_size;      // bytes with the header
  uint32_t user;           // the owner's user id
  uint32_t mode;           // permissions
  int32_t creator_pid;     // in the creator's pid namespace
  int32_t held;            // 1: at least one process holds it; 0: nobody does
  int64_t created;         // nanoseconds since 1970
  int32_t this_boot;       // 0: created, or last renewed, before the machine was last started
  int32_t reserved;
} muster_region_info;

// Looks at a region without holding or disturbing it. Flags: FILE.
//
// Returns 0; ENOENT, also when the name led elsewhere each of a hundred times; EBADMSG, EISDIR or ELOOP for what is no
// region; EPROTO for another format; EACCES when it may not be read; EBUSY when somebody's lease keeps it from being
// opened; EINVAL, ENAMETOOLONG, ENOTDIR as in muster_region_open; EMFILE, ENFILE, ENOMEM, EIO, EOVERFLOW from the
// kernel.
int muster_region_inspect(const char *MUSTER_NONNULL name, uint32_t flags,
                          muster_region_info *MUSTER_NONNULL info) MUSTER_MUST_CHECK;

// Calls `visit` for each named region that the caller may read, in no particular order, until it returns other than 0,
// which muster_region_list then returns. Objects in /dev/shm that are not regions, or may not be read, are passed over.
//
// Returns 0 when all have been shown; what `visit` returned; or what kept it from showing them all: EMFILE or ENFILE
// (it takes two descriptors), ENOMEM; ENOENT or EACCES where there is no /dev/shm, or none that may be read; EIO.
typedef int (*muster_region_visit)(const muster_region_info *MUSTER_NONNULL info, void *MUSTER_NULLABLE context);
int muster_region_list(muster_region_visit MUSTER_NONNULL visit, void *MUSTER_NULLABLE context);

MUSTER_END_DECLS

#endif
