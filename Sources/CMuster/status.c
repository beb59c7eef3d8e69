// SPDX-License-Identifier: Apache-2.0
#include "muster/status.h"

#include <errno.h>

#define MAJOR 0
#define MINOR 1
#define PATCH 0

typedef struct meaning {
  const char *name;
  const char *text;
} meaning;

// A table of our own instead of strerror: that one may be translated, isn't safe from every thread in every libc, knows
// nothing of what Muster means, and musl has no strerrorname_np.
#define MEANING(number, words) [number] = {#number, words}
static const meaning meanings[] = {
    [0] = {"0", "done"},
    // What Muster means by them; the header has the list.
    MEANING(EAGAIN, "not yet: try again"),
    MEANING(EALREADY, "done already: arrived at this phase, joined, claimed or taken over"),
    MEANING(EBADMSG, "the shared state is corrupt, or is not Muster's"),
    MEANING(EBUSY, "held by somebody else"),
    MEANING(ECANCELED, "aborted, or reset, while waiting"),
    MEANING(EINVAL, "an argument that no call could accept"),
    MEANING(ENOTRECOVERABLE, "broken until it is reset"),
    MEANING(EOVERFLOW, "the limit of members is reached"),
    MEANING(EOWNERDEAD, "a member, an owner or a writer died"),
    MEANING(EPERM, "not permitted: the handle was inherited over fork, or belongs to another thread"),
    MEANING(EPROTO, "of another size, layout, version, libc or pid namespace"),
    MEANING(ESTALE, "the name leads elsewhere by now, the epoch is over, or it was overwritten"),
    MEANING(ETIMEDOUT, "the deadline passed"),
    // What the kernel means by them.
    MEANING(E2BIG, "the list of arguments is too long"),
    MEANING(EACCES, "permission denied"),
    MEANING(EADDRINUSE, "the address is in use"),
    MEANING(EADDRNOTAVAIL, "the address is not to be had"),
    MEANING(EAFNOSUPPORT, "the address family is not supported"),
    MEANING(EBADF, "not an open descriptor"),
    MEANING(ECHILD, "no such child process"),
    MEANING(ECONNABORTED, "the connection was aborted"),
    MEANING(ECONNREFUSED, "the connection was refused"),
    MEANING(ECONNRESET, "the connection was reset"),
    MEANING(EDEADLK, "this would wait for itself"),
    MEANING(EDESTADDRREQ, "a destination address is needed"),
    MEANING(EDOM, "outside the domain of the function"),
    MEANING(EDQUOT, "the disk quota is used up"),
    MEANING(EEXIST, "it exists already"),
    MEANING(EFAULT, "not a valid address"),
    MEANING(EFBIG, "the file would be too large"),
    MEANING(EHOSTUNREACH, "no way to the host"),
    MEANING(EIDRM, "it was removed"),
    MEANING(EILSEQ, "not a valid sequence of bytes"),
    MEANING(EINPROGRESS, "in progress"),
    MEANING(EINTR, "interrupted by a signal"),
    MEANING(EIO, "an input or output error of the device"),
    MEANING(EISCONN, "connected already"),
    MEANING(EISDIR, "it is a folder"),
    MEANING(ELOOP, "it is a symbolic link, or there are too many of them on the way"),
    MEANING(EMFILE, "this process has too many open files, or inotify instances"),
    MEANING(EMLINK, "too many links"),
    MEANING(EMSGSIZE, "the message is too long"),
    MEANING(ENAMETOOLONG, "the name is too long"),
    MEANING(ENETDOWN, "the network is down"),
    MEANING(ENETUNREACH, "no way to the network"),
    MEANING(ENFILE, "the system has too many open files"),
    MEANING(ENOBUFS, "no buffer space is left"),
    MEANING(ENODATA, "no data"),
    MEANING(ENODEV, "no such device"),
    MEANING(ENOENT, "no such file, folder or object"),
    MEANING(ENOEXEC, "not a program that can be run"),
    MEANING(ENOLCK, "no locks are left, or the file system has none"),
    MEANING(ENOMEM, "out of memory"),
    MEANING(ENOSPC, "no space is left"),
    MEANING(ENOSYS, "the kernel has no such call"),
    MEANING(ENOTBLK, "not a block device"),
    MEANING(ENOTCONN, "not connected"),
    MEANING(ENOTDIR, "a part of the path is not a folder"),
    MEANING(ENOTEMPTY, "the folder is not empty"),
    MEANING(ENOTSOCK, "not a socket"),
    MEANING(ENOTTY, "not a call for this kind of descriptor"),
    MEANING(ENXIO, "no such device or address, or nobody at the other end"),
    MEANING(EOPNOTSUPP, "not supported"),
    MEANING(EPIPE, "nobody reads at the other end"),
    MEANING(EPROTONOSUPPORT, "the protocol is not supported"),
    MEANING(ERANGE, "out of range"),
    MEANING(EROFS, "the file system is read-only"),
    MEANING(ESPIPE, "no position can be set here"),
    MEANING(ESRCH, "no such process or thread"),
    MEANING(ETIME, "the timer ran out"),
    MEANING(ETXTBSY, "the program file is in use"),
    MEANING(EUSERS, "too many users"),
    MEANING(EXDEV, "on another file system"),
};

static const meaning *find(int status) {
  if (status < 0 || status >= (int)(sizeof meanings / sizeof *meanings) || !meanings[status].name) return NULL;
  return &meanings[status];
}

const char *muster_status_text(int status) {
  const meaning *found = find(status);
  return found ? found->text : "an error that Muster has no words for";
}

const char *muster_status_name(int status) {
  const meaning *found = find(status);
  return found ? found->name : "E?";
}

const char *muster_mismatch_text(muster_mismatch_kind kind) {
  switch (kind) {
    case MUSTER_MISMATCH_NONE: return "no difference";
    case MUSTER_MISMATCH_FORMAT: return "another format of Muster itself";
    case MUSTER_MISMATCH_KIND: return "another kind of object";
    case MUSTER_MISMATCH_VERSION: return "another version";
    case MUSTER_MISMATCH_LAYOUT: return "other parameters";
    case MUSTER_MISMATCH_SIZE: return "another size";
    case MUSTER_MISMATCH_LIBC: return "another libc";
    case MUSTER_MISMATCH_NAMESPACE: return "another pid namespace";
  }
  return "a difference of a kind that this version does not know";
}

uint32_t muster_version(void) { return MAJOR * 10000u + MINOR * 100u + PATCH; }
