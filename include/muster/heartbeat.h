// Heartbeats: one process tells another that it is alive, again and again, and the other listens.
//
//   The listener (backup), first                        The sender (primary)
//   -------------------------------------------------   -----------------------------------------------------
//   muster_heartbeat_options by = {
//       .kind = MUSTER_HEARTBEAT_UDP};
//   muster_heartbeat_listen(&by, &listener, &contact);
//          ... `contact`, 64 bytes, goes to the sender by memory that both have ...
//                                                       muster_heartbeat_connect(&by, &contact, &sender);
//   poll(descriptor, period);                           muster_heartbeat beat = {.epoch = 3, .number = n++};
//   muster_heartbeat_receive(listener, &beat);          muster_heartbeat_send(sender, &beat);
//   muster_heartbeat_listener_close(listener);          muster_heartbeat_sender_close(sender);
//
// A beat says: in epoch `epoch` (it rises at each takeover) this is beat `number`, sent at `time`. The listener is given
// the newest beat, each at most once; older ones, repeated ones and what is no beat of its sender's are ignored. What it
// makes of their absence, how many may be missing, and who takes over then, is not decided here.
//
// Five ways, one interface:
//
//   kind     by what                                 descriptor   tells the sender that nobody listens
//   -------  --------------------------------------  -----------  ------------------------------------------------
//   MEMORY   a cell of 64 bytes in shared memory     none         after a close; not after a death
//   FILE     a file of 128 bytes (and its mtime)     none         at once
//   UDP      a datagram to 127.0.0.1                 a socket     at the second send, mostly
//   QUEUE    a POSIX message queue                   the queue    at once
//   SIGNAL   a real-time signal, queued with a       a signalfd   after a death; not after a close
//            value
//
// Why a beat is never one that was not sent. Each has a checksum over epoch, number and time that begins with a random
// key of the listener's (in the contact, which is for its sender's eyes); what does not fit is foreign. In memory and in
// the file there are two copies, written in turn, so that a sender that dies or stops in the midst of one leaves the
// other; in memory the checksum is the stamp of a seqlock, too: it is taken away before the words of its copy change and
// put there after they have, and a reader that finds it changed reads again, eight times at most.
//
// Why the newest is not lost for ever. Memory and the file hold the newest beat, whoever is stopped. A full queue makes
// the sender take the oldest message out of it. A socket and the queue of signals drop the newest instead, until the
// listener runs again; the next beat after that arrives.
//
// Sending never waits for the listener, whatever state that is in, and allocates nothing. The sender is never killed by
// a listener that is gone (no SIGPIPE, no SIGXFSZ), nor a process that does not listen any more by a signal that comes
// late: from listening on, the signal is ignored in the listener's process, also after closing.
//
// After a SIGKILL the kernel closes sockets and signals' queues; a file's and a queue's name stay, and are removed by
// who listens next under that name. They know by an OFD lock (fcntl(2)) on it, held as long as the listener lives.
//
// All functions may be called from any thread, one handle from one thread at a time; none is a cancellation point. A
// listener or sender that was inherited over fork gives EPERM; the listener's descriptor is closed in the child. (A
// child of a bare clone(2) or _Fork(3) keeps it.) All descriptors are close-on-exec. Nothing is promised against other
// processes of the same user that mean harm: they can kill the listener as well. docs/heartbeat.md has the argument.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HEARTBEAT_H
#define MUSTER_HEARTBEAT_H

#include "clock.h"
#include "status.h"

MUSTER_BEGIN_DECLS

typedef enum MUSTER_OPEN_ENUM muster_heartbeat_kind {
  MUSTER_HEARTBEAT_MEMORY = 1,
  MUSTER_HEARTBEAT_FILE = 2,
  MUSTER_HEARTBEAT_UDP = 3,
  MUSTER_HEARTBEAT_QUEUE = 4,
  MUSTER_HEARTBEAT_SIGNAL = 5,
} muster_heartbeat_kind;

typedef struct muster_heartbeat {
  uint64_t epoch;
  uint64_t number;  // from 1, rising within an epoch
  int64_t time;     // nanoseconds of CLOCK_MONOTONIC at sending; SIGNAL has no room for it: at receiving
} muster_heartbeat;

// The memory of MUSTER_HEARTBEAT_MEMORY, which need not be initialized: one listener, one sender at a time. Two copies of
// a beat, written in turn.
//
//   field     writer        ordering                           if its writer is dead
//   --------  ------------  ---------------------------------  --------------------------------------------------------
//   listener  the listener  release: its key while it listens  nobody listens; the sender goes on as before
//                           (last), 0 at its close (first)
//   check     the sender    relaxed and a release fence: 0,    0: this copy is half written. The other one is whole, and
//                           "being written"; after its copy's  is the newest beat that there is
//                           words, release: their checksum
//             the listener  0, before `listener`               both 0: there is no beat yet
//   copies    the sender    relaxed                            as `check` says
//
// A sender looks at `listener` before each beat. One of an earlier listener (it was stopped in the midst of sending, and
// runs again) so spoils one copy at most, by words that don't fit their checksum, and the present sender writes that copy
// again at one of its next two beats.
typedef struct muster_heartbeat_cell {
  uint64_t listener;
  uint32_t check[2];
  uint64_t copies[2][3];  // epoch, number, time
} muster_heartbeat_cell;

// 64 and 64.
size_t muster_heartbeat_cell_size(void);
size_t muster_heartbeat_cell_alignment(void);

// What a listener gives to its sender: 64 bytes that may be copied by words. Who has it can send beats. A copy that is
// torn or spoilt is told by `check`.
typedef struct muster_heartbeat_contact {
  uint32_t version;  // MUSTER_HEARTBEAT_VERSION of the listener's library
  uint32_t kind;     // muster_heartbeat_kind
  uint64_t key;      // random
  int32_t pid;       // the listener's, in its pid namespace
  uint32_t place;    // UDP: the port; SIGNAL: the signal's number, and 256 times the bytes of a sigval
  uint64_t start;    // when the listener's process started: clock ticks since boot, field 22 of /proc/PID/stat
  uint64_t node;     // FILE and QUEUE: the inode; SIGNAL: the pid namespace's
  uint64_t epoch;    // `after` of the listener's options
  uint64_t number;
  uint64_t check;
} muster_heartbeat_contact;

#define MUSTER_HEARTBEAT_VERSION 1u

// The same for listener and sender, but where said.
typedef struct muster_heartbeat_options {
  muster_heartbeat_kind kind;
  int32_t signal;  // SIGNAL, listener: which one, SIGRTMIN to SIGRTMAX; 0: the highest that has no handler
  // FILE and QUEUE: the file is NAME.heartbeat in `folder`, the queue /NAME.heartbeat. At most 245 bytes, without
  // slashes; one slash at the beginning is skipped.
  const char *MUSTER_NULLABLE name;
  const char *MUSTER_NULLABLE folder;           // FILE; NULL: /dev/shm
  muster_heartbeat_cell *MUSTER_NULLABLE cell;  // MEMORY: must stay mapped until the handle is closed
  // Listener: only what is newer counts. {.epoch = 7}: epoch 7 and those that come after it.
  muster_heartbeat after;
} muster_heartbeat_options;

// What a listener has met. Memory and the file show their newest two beats only, and each is counted once.
typedef struct muster_heartbeat_counts {
  uint64_t beats;     // newer ones, also those that a newer one of the same call made pointless
  uint64_t old;       // beats of the sender's that were repeated, or older than what was given
  uint64_t foreign;   // wrong key, checksum, length, or sender
  uint64_t dropped;   // UDP: by the kernel: foreign ones, and any that came while the queue was full (mod 2^32)
  int64_t modified;   // FILE: the file's time of modification, nanoseconds since 1970; else 0
} muster_heartbeat_counts;

typedef struct muster_heartbeat_listener muster_heartbeat_listener;
typedef struct muster_heartbeat_sender muster_heartbeat_sender;

// Makes what beats come by, removing what a killed listener of the same name has left, and says in *contact how to reach
// it. FILE and QUEUE are made with mode 0600.
//
// SIGNAL: the calling thread has the signal blocked from here until close, and the process ignores it from here on,
// until the program itself says otherwise; exec and forked children inherit both. All other threads must have it blocked
// (as they have if it was blocked before they were started): one that has not would take beats away, and they would be
// lost. A listener whose process is stopped collects up to RLIMIT_SIGPENDING signals, which its user's other processes
// lack meanwhile: set a low limit where that matters.
//
// Returns 0, or
//   EINVAL     no such kind; a name, cell (missing, misaligned) or signal that can't be; an empty folder
//   EBUSY      FILE, QUEUE: somebody listens under this name, or is just beginning to. SIGNAL: the signal has a handler
//              or another listener in this process; or, where none was asked for, all have
//   ENOTSUP    SIGNAL: another thread of the process has not blocked the signal; or there is no /proc
//   ELOOP      FILE: the name is a symbolic link
//   EBADMSG    FILE, QUEUE: there is something of that name which is no heartbeat's: it is left as it is
//   EACCES     FILE, QUEUE: what is there is another user's, or the kernel says so
//   ENAMETOOLONG, ENOMEM
//   ENOENT, ENOTDIR, EROFS, ENOSPC, EMFILE, ENFILE, EADDRNOTAVAIL (no 127.0.0.1), ENOSYS... from the kernel
int muster_heartbeat_listen(const muster_heartbeat_options *MUSTER_NONNULL options,
                            muster_heartbeat_listener *MUSTER_NULLABLE *MUSTER_NONNULL listener,
                            muster_heartbeat_contact *MUSTER_NONNULL contact) MUSTER_MUST_CHECK;

// Takes in all that has come, without waiting, and gives the newest beat that is newer than the last it gave. A call
// looks at most at 4096 datagrams or messages, or 131072 signals; where more have come the descriptor stays readable.
//
// Returns 0, or
//   EAGAIN  no newer beat; *beat is the last one that was given, or `after`
//   EPERM   inherited over fork
//   EBADF, EIO... from the kernel: somebody has closed the descriptor, or the disk is broken
int muster_heartbeat_receive(muster_heartbeat_listener *MUSTER_NONNULL listener,
                             muster_heartbeat *MUSTER_NONNULL beat) MUSTER_MUST_CHECK;

// What to poll(2) for POLLIN until something has come, not always a beat; -1 for MEMORY and FILE, where one looks each
// period, and in a forked child.
int muster_heartbeat_descriptor(const muster_heartbeat_listener *MUSTER_NONNULL listener);

// What has been met so far; in a forked child, before the fork.
void muster_heartbeat_count(const muster_heartbeat_listener *MUSTER_NONNULL listener,
                            muster_heartbeat_counts *MUSTER_NONNULL counts);

// Lets go of everything, and removes the file or queue. SIGNAL: takes in what has come, and gives the calling thread its
// signal mask back if it is the one that listened; the signal stays ignored. NULL is nothing to do; in a forked child it
// frees the child's copy alone. Returns 0; ESTALE when somebody removed or replaced the file or queue before (what stands
// there is left alone); or what unlinkat(2) or mq_unlink(3) says: then the name stays, for the next listener to remove.
int muster_heartbeat_listener_close(muster_heartbeat_listener *MUSTER_NULLABLE listener);

// Removes the file or queue that a killed listener has left, for whom nobody listens again. Returns 0, ENOENT (there is
// none; or the folder is missing), EINVAL (also for a kind that leaves nothing), EBUSY (somebody listens), or ELOOP,
// EBADMSG, EACCES, ENOMEM... as listening does.
int muster_heartbeat_remove(const muster_heartbeat_options *MUSTER_NONNULL options) MUSTER_MUST_CHECK;

// Reaches a listener by its contact, which may be any 64 bytes. Sends nothing.
//
// Returns 0, or
//   EINVAL        as for listening
//   EBADMSG       the contact's checksum is wrong: none was given yet, or it is torn; FILE, QUEUE: what is there is no
//                 heartbeat's
//   EPROTO        the contact is of another kind or version, or says what can't be; SIGNAL: of another pid namespace, or
//                 of a process with other pointers
//   ENOTSUP       SIGNAL: there is no /proc
//   ECONNREFUSED  nobody listens by this contact any more, as far as the kind can tell (UDP: only at sending)
//   EACCES        the listener's file, queue or process is another user's
//   ELOOP         FILE: the name is a symbolic link
//   ENAMETOOLONG, ENOMEM, ENOTDIR, EMFILE, ENFILE, ENOSYS... from the kernel
int muster_heartbeat_connect(const muster_heartbeat_options *MUSTER_NONNULL options,
                             const muster_heartbeat_contact *MUSTER_NONNULL contact,
                             muster_heartbeat_sender *MUSTER_NULLABLE *MUSTER_NONNULL sender) MUSTER_MUST_CHECK;

// Sends a beat; a time of 0 becomes the present. Never waits (FILE: writes to the page cache, as write(2) does; on a disk
// that hangs that may wait, in /dev/shm not). No allocation; a system call or a few; none for MEMORY with a time given.
//
// Returns 0, or
//   EAGAIN        there was no room for it: this beat is lost, send the next one. SIGNAL: the listener collects signals
//                 and takes none; UDP: the kernel lacks buffers; QUEUE: others fill the queue as fast as it is emptied
//   ECONNREFUSED  nobody listens any more. From here on always
//   EINVAL        number 0
//   EOVERFLOW     SIGNAL: epoch or number went on so far that the listener could not tell where they are. Of the epoch the
//                 low 16 bits are sent, and of the number the low 32 (32-bit processes: 6 and 18). From the last beat, or
//                 `after`, an epoch may be off by less than 2^15 (2^5), a number of the same epoch by less than 2^31
//                 (2^17), and the first number of a new epoch lies below 2^32 (2^18)
//   EACCES        UDP: a packet filter refuses it. SIGNAL: the listener has become another user
//   EPERM         inherited over fork
//   EFBIG         FILE: the process may not write files of 128 bytes (RLIMIT_FSIZE)
//   EBADF, EIO, ENOSPC... from the kernel
int muster_heartbeat_send(muster_heartbeat_sender *MUSTER_NONNULL sender,
                          const muster_heartbeat *MUSTER_NONNULL beat) MUSTER_MUST_CHECK;

// NULL is nothing to do. What was sent stays sent.
void muster_heartbeat_sender_close(muster_heartbeat_sender *MUSTER_NULLABLE sender);

MUSTER_END_DECLS

#endif
