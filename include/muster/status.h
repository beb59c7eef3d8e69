// What the numbers that Muster's functions return mean.
//
// Every function that can fail returns 0 or a positive errno value, as pthreads do, and leaves errno alone.
// The table below is the meaning that each value has all over Muster; a header says which of them a function
// returns and when. `muster_status_text` gives the meaning as words, for a log or a terminal.
//
//   0                done
//   EAGAIN           not yet; try again (a `try_` or a `poll` that would have to wait)
//   EALREADY         done already: arrived at this phase, joined, claimed or taken over
//   EBADMSG          the shared state is corrupt, or is not Muster's
//   EBUSY            held by somebody else
//   ECANCELED        aborted, or reset, while waiting
//   EINVAL           an argument that no call could accept
//   ENOTRECOVERABLE  broken until it is reset
//   EOVERFLOW        the limit of members is reached
//   EOWNERDEAD       a member, an owner or a writer died
//   EPERM            the handle was inherited over fork, or belongs to another thread
//   EPROTO           another size, layout, version, libc or pid namespace: `muster_mismatch` tells which
//   ESTALE           the name leads elsewhere by now, the epoch is over, or it was overwritten
//   ETIMEDOUT        the deadline passed
//
// Other values (EACCES, ENOENT, ENOSPC, EMFILE, ELOOP...) come from the kernel and mean what its pages say.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_STATUS_H
#define MUSTER_STATUS_H

#include "attributes.h"

MUSTER_BEGIN_DECLS

// Which property of a shared object is not the expected one, where a function returned EPROTO.
typedef enum MUSTER_OPEN_ENUM muster_mismatch_kind {
  MUSTER_MISMATCH_NONE = 0,
  MUSTER_MISMATCH_FORMAT = 1,     // written by another format version of Muster itself
  MUSTER_MISMATCH_KIND = 2,       // another kind of object (a barrier where a seqlock was asked for)
  MUSTER_MISMATCH_VERSION = 3,    // the same kind in another version
  MUSTER_MISMATCH_LAYOUT = 4,     // the same kind and version with other parameters
  MUSTER_MISMATCH_SIZE = 5,       // the same layout in another size (bytes)
  MUSTER_MISMATCH_LIBC = 6,       // made by a process with another libc, whose locks lie otherwise
  MUSTER_MISMATCH_NAMESPACE = 7,  // made in another pid namespace, where thread numbers mean other threads
} muster_mismatch_kind;

// The property with both its values.
typedef struct muster_mismatch {
  muster_mismatch_kind kind;
  uint64_t expected;
  uint64_t found;
} muster_mismatch;

// The meaning of a value, as a clause without a full stop: "the deadline passed". Never NULL; static storage.
const char *MUSTER_NONNULL muster_status_text(int status);

// The name of a value: "ETIMEDOUT"; "E?" for one that neither libc nor Muster knows. Static storage.
const char *MUSTER_NONNULL muster_status_name(int status);

// The property that differs, as words: "another size". Never NULL; static storage.
const char *MUSTER_NONNULL muster_mismatch_text(muster_mismatch_kind kind);

// The version of the library: major * 10000 + minor * 100 + patch.
uint32_t muster_version(void);

MUSTER_END_DECLS

#endif
