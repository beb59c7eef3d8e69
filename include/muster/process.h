// Processes: start, watch and signal them, without a race of numbers, a zombie, or a descriptor that leaks.
//
//   muster_process worker;
//   muster_process_step failed;
//   muster_process_options options = {
//     .path = "/usr/bin/worker", .arguments = (const char *const[]){"worker", "--fast", NULL},
//     .streams[0] = {MUSTER_PROCESS_STREAM_NULL}, .flags = MUSTER_PROCESS_GROUP | MUSTER_PROCESS_TIE,
//     .readiness = MUSTER_PROCESS_READY_SOCKET};
//   int status = muster_process_spawn(&options, &worker, &failed);  // ENOENT at MUSTER_PROCESS_STEP_EXEC: there is no such program
//   status = muster_process_ready(&worker, deadline);               // 0: it said READY=1; EOWNERDEAD: it ended before
//   muster_process_end end;
//   status = muster_process_wait(&worker, deadline, &end);          // 0: end.kind, end.code, end.usage; ETIMEDOUT
//   muster_process_close(&worker);
//
// muster_process_stop (process_stop.h) ends a process with all that it has started.
//
// A muster_process is a value: it may lie anywhere and be moved by copying it; one copy is used and closed. It holds descriptors, all
// close-on-exec and none of them 0, 1 or 2; there is no thread, no handler and no memory behind it. It is used by one thread at a time,
// and by any; but signal, which may be called beside a wait.
//
// Why the right process is meant. A process is meant by a pidfd, made by the kernel together with the process, and never by its number:
// who ends and is reaped, by whomever, can't be taken for who has its number next. Its end is told by that descriptor, which becomes
// readable (poll it in a loop of your own, then muster_process_poll), and not by SIGCHLD. It is reaped by that descriptor alone: no other
// child of this process is ever waited for. Where somebody else has reaped it (a wait for any child; SIGCHLD ignored, which has the
// kernel do so), the end is told all the same, and since Linux 6.15 how it ended, too; before, the kind is UNKNOWN.
//
// Between clone and exec. The child is cloned with the memory of its parent (CLONE_VM), on a stack of its own, while the thread that
// started it stands still (CLONE_VFORK): nothing is copied, however large the parent is. All signals are blocked until the handlers of
// this process are gone from the child. It makes system calls only, on what was prepared before: no allocation, no lock, no
// environment. What fails there comes back as the errno value with the step that it failed at, and the child has been reaped by then.
// Where a sandbox refuses such a clone, fork(2) takes its place, and a pipe what the memory did.
//
// What a child gets. Standard streams as the options say; beside them the descriptors that are listed, and no others: all else is made
// close-on-exec in the child (close_range(2)), as descriptors that another thread has just opened, or a library without O_CLOEXEC, keep
// files locked and pipes open. MUSTER_PROCESS_KEEP_DESCRIPTORS: as exec has it. Every signal has its default action and none is
// blocked: a server that ignores SIGPIPE would else start shells whose pipelines never end. MUSTER_PROCESS_KEEP_SIGNALS: as
// exec has it: what is ignored stays ignored, what this thread blocks is blocked.
//
// Its tree. Each program that is started finds in its environment MUSTER_TREE=<hex>, a number of its own, behind those of the
// programs above it, as A,B,C (32 at most: the outermost go). What it starts inherits that; so muster_process_stop finds who belongs to it,
// also when he has left the group, the session and his dead parents. MUSTER_PROCESS_NO_COOKIE leaves the environment as it is.
// MUSTER_PROCESS_CGROUP: it has a cgroup of its own (v2), where this process may make one beside those it has: then nobody escapes.
//
// Tied lives. MUSTER_PROCESS_TIE: when this *process* ends, in whatever way, the child is killed. What the kernel has for this
// (PR_SET_PDEATHSIG) goes by the *thread* that made the child. So it is used where that thread is the main one, whose end is
// commonly the process's; any other thread starts a guard beside the child: a forked process, named muster-guard, in a session of its own so that
// what is sent to our group or terminal does not reach it, with no descriptor but three: the pidfds of both, and a
// socket by which it got the child's. It sleeps until one of the two ends; if it is this process, it kills the child and its whole
// tree. MUSTER_PROCESS_GUARD asks for one in any case. MUSTER_PROCESS_TIE_THREAD: by the kernel, to the calling thread, which the
// caller knows to live on.
//   No moment is without its tie. By the kernel: the child asks for the signal, then looks whether its parent is still the one who made it:
//   the parent has ended before, and is seen to be another; or after, and the signal comes. With a guard: the child sends its pidfd to
//   the guard before it runs the program, waits for the answer, and ends if that fails. The guard, told of our end, first shuts its socket for sending, then reads it:
//   the pidfd came before and is killed, or the sending fails.
//   A guard is a child without a signal at its end (clone(2), "__WCLONE"): waiting for any child doesn't see it. It ends with the
//   child, and is reaped by whoever learns of that end by this handle; or, if that was closed before, by the next spawn, fork or close, and is a
//   zombie until then. A guard that is let go of so keeps one descriptor of this process open. It costs a
//   fork of this process; its pages are shared until this process writes to them. Who kills a guard by its number unties the child.
//
// Numbers are those of this process's pid namespace, and /proc has to be mounted for it where this says so.
//
// All functions may be called from any thread; none is a cancellation point. muster_process_fork needs that there is no other.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_PROCESS_H
#define MUSTER_PROCESS_H

#include "clock.h"
#include "status.h"

MUSTER_BEGIN_DECLS

// How many descriptors beside the standard streams can be given to a child.
#define MUSTER_PROCESS_DESCRIPTORS_MAX 64

// How long, in nanoseconds, muster_process_fork and muster_root_run wait for other threads to be gone, which one that was just joined is
// not at once, before they refuse: half a second.
#define MUSTER_PROCESS_THREADS_PATIENCE INT64_C(500000000)

// The bytes of a status that are kept, with the 0 behind them.
#define MUSTER_PROCESS_STATUS_SIZE 128

typedef enum MUSTER_OPTION_SET muster_process_flags {
  MUSTER_PROCESS_SEARCH = 1,             // a path without `/` is looked for in this process's PATH, as execvp(3) does
  MUSTER_PROCESS_GROUP = 2,              // it leads a process group of its own
  MUSTER_PROCESS_SESSION = 4,            // it leads a session of its own, and so a group
  MUSTER_PROCESS_TIE = 8,                // it dies with this process
  MUSTER_PROCESS_TIE_THREAD = 16,        // it dies with the calling thread
  MUSTER_PROCESS_GUARD = 32,             // as TIE, and by a guard in any case: its tree dies too
  MUSTER_PROCESS_CGROUP = 64,            // in a cgroup of its own, where that is permitted; `cgroup` is -1 where not
  MUSTER_PROCESS_KEEP_DESCRIPTORS = 128, // what is not close-on-exec stays open
  MUSTER_PROCESS_KEEP_SIGNALS = 256,     // ignored signals stay ignored, and blocked ones blocked; in a fork handlers stay, too
  MUSTER_PROCESS_NO_COOKIE = 512,        // no MUSTER_TREE in its environment
  MUSTER_PROCESS_UMASK = 1024,           // with the options' umask
} muster_process_flags;

typedef enum MUSTER_OPEN_ENUM muster_process_stream_kind {
  MUSTER_PROCESS_STREAM_INHERIT = 0,
  MUSTER_PROCESS_STREAM_NULL = 1,        // /dev/null
  MUSTER_PROCESS_STREAM_DESCRIPTOR = 2,  // a duplicate of the descriptor, which stays the caller's
  MUSTER_PROCESS_STREAM_CLOSED = 3,
} muster_process_stream_kind;

typedef struct muster_process_stream {
  uint32_t kind;       // muster_process_stream_kind
  int32_t descriptor;  // of STREAM_DESCRIPTOR
} muster_process_stream;

// A descriptor of this process, and the number, at least 3, that the child has it by.
typedef struct muster_process_descriptor {
  int32_t from;
  int32_t to;
} muster_process_descriptor;

// As of setrlimit(2); UINT64_MAX: no limit.
typedef struct muster_process_limit {
  int32_t resource;  // RLIMIT_NOFILE...
  int32_t reserved;
  uint64_t soft;
  uint64_t hard;
} muster_process_limit;

// How it tells that it is ready.
typedef enum MUSTER_OPEN_ENUM muster_process_readiness {
  MUSTER_PROCESS_READY_NONE = 0,
  MUSTER_PROCESS_READY_SOCKET = 1,  // READY=1 to the socket that NOTIFY_SOCKET names: the convention of sd_notify(3)
  MUSTER_PROCESS_READY_LINE = 2,    // a newline on the descriptor `ready_descriptor`: the convention of s6
} muster_process_readiness;

// Zeroes are the defaults; all that is pointed to is only read, and only during the call.
typedef struct muster_process_options {
  const char *MUSTER_NULLABLE path;  // the program; relative: to `folder`. NULL: `program`
  const char *MUSTER_NULLABLE const *MUSTER_NULLABLE arguments;    // with NULL behind the last; NULL: the path alone
  const char *MUSTER_NULLABLE const *MUSTER_NULLABLE environment;  // likewise; NULL: this process's
  const char *MUSTER_NULLABLE folder;  // its working folder; NULL: this process's
  int32_t program;                     // a descriptor of the program, at least 3, where there is no path; of a script it has to be in `descriptors`, too, by the same number
  uint32_t flags;                      // muster_process_flags
  muster_process_stream streams[3];    // standard input, output, error
  uint32_t descriptors_count;
  uint32_t limits_count;
  const muster_process_descriptor *MUSTER_NULLABLE descriptors;
  const muster_process_limit *MUSTER_NULLABLE limits;
  int32_t group;             // a process group to join, of this session; 0: none
  int32_t nice;              // added to this process's; 0: as it is
  uint32_t umask;            // with MUSTER_PROCESS_UMASK
  uint32_t readiness;        // muster_process_readiness
  int32_t ready_descriptor;  // for READY_LINE: a number, at least 3, that the child has the pipe by
  uint32_t reserved;
  uint64_t tree;  // its number in MUSTER_TREE, and its cgroup's, that no other has: for who has to know it before there is a process; 0: a fresh one
} muster_process_options;

// What a start has failed at.
typedef enum MUSTER_OPEN_ENUM muster_process_step {
  MUSTER_PROCESS_STEP_NONE = 0,
  MUSTER_PROCESS_STEP_PREPARE = 1,      // before there was a child: an argument, a descriptor, memory
  MUSTER_PROCESS_STEP_CLONE = 2,        // making it: EAGAIN (RLIMIT_NPROC, pids.max), ENOMEM; EBUSY (muster_process_fork)
  MUSTER_PROCESS_STEP_GROUP = 3,        // from here on in the child: EPERM, no such group in this session
  MUSTER_PROCESS_STEP_CGROUP = 4,
  MUSTER_PROCESS_STEP_TIE = 5,          // ESRCH: its parent, or its guard, has ended meanwhile; ETIMEDOUT: its guard stands still
  MUSTER_PROCESS_STEP_NICE = 6,         // EACCES, EPERM
  MUSTER_PROCESS_STEP_FOLDER = 7,
  MUSTER_PROCESS_STEP_DESCRIPTORS = 8,  // EBADF, no such descriptor here, or a number past the limit; EMFILE
  MUSTER_PROCESS_STEP_LIMIT = 9,        // EPERM, EINVAL
  MUSTER_PROCESS_STEP_EXEC = 10,        // ENOENT, EACCES, ENOEXEC, E2BIG, ETXTBSY, ENOMEM...
  MUSTER_PROCESS_STEP_GUARD = 11,       // between PREPARE and CLONE, making its guard, which is a process, too: EAGAIN, ENOMEM
} muster_process_step;

typedef enum MUSTER_OPEN_ENUM muster_process_end_kind {
  MUSTER_PROCESS_LIVES = 0,
  MUSTER_PROCESS_EXITED = 1,
  MUSTER_PROCESS_SIGNALED = 2,
  MUSTER_PROCESS_UNKNOWN = 3,  // it has ended; how is known only to who has reaped it
} muster_process_end_kind;

// What a process has used, with those of its children that it has waited for. All 0 where the process was not ours to reap.
typedef struct muster_process_usage {
  uint64_t user;         // nanoseconds of processor time
  uint64_t system;
  uint64_t memory_peak;  // bytes resident at most
  uint64_t faults_minor;
  uint64_t faults_major;
  uint64_t switches_voluntary;
  uint64_t switches_involuntary;
  uint64_t blocks_in;  // of 512 bytes, read from and written to disks
  uint64_t blocks_out;
} muster_process_usage;

typedef struct muster_process_end {
  muster_process_end_kind kind;
  int32_t code;         // what it exited with, 0 to 255; or the signal
  int32_t core_dumped;  // SIGNALED: 1 when a core was written
  int32_t reaped;       // 1: by this handle, so usage is known
  muster_process_usage usage;
} muster_process_end;

// What it has told so far; all by its own account.
typedef struct muster_process_notice {
  uint32_t ready;      // 1: READY=1, or the newline
  uint32_t stopping;   // 1: STOPPING=1
  uint64_t watchdogs;  // how many times WATCHDOG=1
  int32_t error;       // ERRNO=; 0: none
  uint32_t closed;     // 1: READY_LINE: the pipe was closed
  char status[MUSTER_PROCESS_STATUS_SIZE];  // STATUS=, UTF-8 as it came but for what was too long; control characters are spaces
} muster_process_notice;

typedef struct muster_process {
  int32_t pid;         // 0: none
  int32_t pidfd;       // readable when it has ended; -1: none, closed
  int32_t ready;       // READY_SOCKET, READY_LINE: readable when there is something to hear (muster_process_hear); else -1
  int32_t cgroup;      // the folder of its cgroup, or -1
  int32_t guard;       // the pidfd of its guard, or -1
  uint32_t flags;      // it was started with; CGROUP only where it has one
  uint64_t tree;       // the number in its environment; 0: none
  uint64_t start;      // of open and open_tree: as it was given; else 0. Who is older belongs to another
  uint32_t readiness;
  uint32_t reserved;
  muster_process_end end;  // kind is LIVES until its end was learned of by this handle
  muster_process_notice notice;
} muster_process;

// ---- Starting

// Starts a program. At an error *process holds nothing, nothing is left of the child, and *failed, which may be NULL, says at which
// step. Returns 0; EINVAL: options that no call could accept (no path, and no `program` of 3 or more; both GROUP or SESSION and `group`; SESSION with GROUP is
// SESSION; more than MUSTER_PROCESS_DESCRIPTORS_MAX descriptors, or two with one number, or a number below 3); or what the step's call
// gave, see muster_process_step. Beside those: ENOMEM, EMFILE, ENFILE at PREPARE. ENOSYS: no pidfds (Linux before 5.3).
int muster_process_spawn(const muster_process_options *MUSTER_NONNULL options, muster_process *MUSTER_NONNULL process,
                         muster_process_step *MUSTER_NULLABLE failed) MUSTER_MUST_CHECK;

// Starts a child that is a fork of this process, calls `function` and ends by _exit(2) with what it returns; buffered output of this
// process is not written by it. Options as of spawn, but for what is exec's: path, program, arguments, environment,
// MUSTER_PROCESS_SEARCH and READY_SOCKET (EINVAL). All descriptors stay open that this process's handlers of pthread_atfork(3) leave so
// (Muster's own: alive.h). To find the signals that have no default action takes some 20 us, which MUSTER_PROCESS_KEEP_SIGNALS saves. There is no number in its environment: what it starts is found by its group, its parents and its cgroup.
//
// Only where no other thread runs, since what they hold, such as a lock of the allocator's, would be held in the child for ever.
// This is checked (/proc). Returns and fails as spawn does; EBUSY at CLONE: other threads run. Errors in the child are told where the
// options have steps that can fail; then the call waits for the child to be past them.
int muster_process_fork(int (*MUSTER_NONNULL function)(void *MUSTER_NULLABLE context), void *MUSTER_NULLABLE context,
                        const muster_process_options *MUSTER_NONNULL options, muster_process *MUSTER_NONNULL process,
                        muster_process_step *MUSTER_NULLABLE failed) MUSTER_MUST_CHECK;

// Any process, to be watched, signalled and stopped. `start` 0: whichever has the number now; else the one that was started then
// (clock ticks since boot, field 22 of /proc/PID/stat: muster_process_sample.start, muster_alive_found.start). Returns 0; ESRCH: there
// is none; ESTALE: another one has the number, or it can't be told (no /proc); EINVAL: no number of a process, or that of a
// thread; EMFILE, ENFILE, ENOMEM, ENOSYS.
int muster_process_open(int32_t pid, uint64_t start, muster_process *MUSTER_NONNULL process) MUSTER_MUST_CHECK;

// The same of a process that is known by a pidfd: one that was inherited (muster_process_options.descriptors) or has come by a socket, so that
// no number is ever asked for. It is duplicated and stays the caller's. Returns 0, also when it has ended and is not reaped yet; ESRCH: it has
// ended and was reaped; EBADF: not open; EINVAL: no pidfd, or one of a process that this pid namespace doesn't have; ENOENT (no /proc);
// EMFILE, ENFILE.
int muster_process_open_descriptor(int32_t descriptor, muster_process *MUSTER_NONNULL process) MUSTER_MUST_CHECK;

// What another process has started with the number `tree` (muster_process_options), for who comes after that one and has to see all of it gone
// (muster_process_stop). `pid` and `start` as of open; either 0: not known. Of `flags` GROUP, SESSION and CGROUP count, as it was started
// with. It may have ended and been reaped, or never have been: then `pid` is 0, `end.kind` UNKNOWN, and what it has left is found by the number, in the environment and
// in the names of cgroups, wherever those are. Returns 0; EINVAL: no tree, or no number of a process; EMFILE, ENFILE, ENOMEM, ENOSYS.
int muster_process_open_tree(int32_t pid, uint64_t start, uint64_t tree, uint32_t flags, muster_process *MUSTER_NONNULL process) MUSTER_MUST_CHECK;

// Closes its descriptors and removes its cgroup, if that is empty; if it isn't, its guard does when the process has ended, or the next
// start with MUSTER_PROCESS_CGROUP below the same cgroup, once nobody lives in it. Waits for nothing and kills nobody: a child that was not waited for
// stays a zombie when it ends, until this process waits for it by other means. Again: nothing.
void muster_process_close(muster_process *MUSTER_NONNULL process);

// ---- Watching

// Waits for its end. Returns 0 with *end (which may be NULL) filled in, the same again at each call, also after closing; ETIMEDOUT;
// EINVAL: the handle holds nothing. For who is no child of ours the kind is UNKNOWN, or (since Linux 6.15, once its parent has
// reaped it) what it was.
int muster_process_wait(muster_process *MUSTER_NONNULL process, muster_deadline deadline, muster_process_end *MUSTER_NULLABLE end) MUSTER_MUST_CHECK;

// The same without waiting: EAGAIN while it lives.
int muster_process_poll(muster_process *MUSTER_NONNULL process, muster_process_end *MUSTER_NULLABLE end) MUSTER_MUST_CHECK;

// Sends it a signal (0: none, only ask). Returns 0; ESRCH: it has ended; EINVAL: no signal, or a handle that holds nothing; EPERM: of another user;
// EAGAIN: too many signals are queued.
int muster_process_signal(const muster_process *MUSTER_NONNULL process, int32_t signal) MUSTER_MUST_CHECK;

// How a living process is. By /proc; processor time in steps of the kernel's clock tick.
typedef struct muster_process_sample {
  uint64_t start;     // clock ticks since boot: what tells it from all others that ever have its number
  uint64_t user;      // nanoseconds of processor time
  uint64_t system;
  uint64_t memory;    // bytes resident
  uint64_t memory_peak;  // 0 where it is not to be had
  uint64_t faults_minor;
  uint64_t faults_major;
  uint64_t switches_voluntary;
  uint64_t switches_involuntary;
  uint32_t threads;
  uint32_t descriptors;  // open ones; 0 where it may not be asked for, or before Linux 6.2
  char state;            // R, S, D, T, Z... as of proc(5)
} muster_process_sample;

// Returns 0; ESRCH: it has ended (and was reaped); EINVAL: the handle holds nothing; EBADMSG: /proc has something else there; or why it
// can't be read: ENOENT (no /proc), EMFILE, ENFILE, EACCES.
int muster_process_look(const muster_process *MUSTER_NONNULL process, muster_process_sample *MUSTER_NONNULL sample) MUSTER_MUST_CHECK;

// ---- Readiness

// Waits until it says that it is ready. Who may say so with READY_SOCKET: it, or a process of its tree that still lives when the message
// is read, as the kernel tells (SCM_CREDENTIALS); what others send is dropped. Descriptors sent along are closed, which is
// what who waits for a BARRIER=1 waits for. Returns 0; ETIMEDOUT; EOWNERDEAD: it ended before it was ready (not reaped by this: wait);
// EPIPE: it has closed the pipe without a newline; EINVAL: it was not started with a readiness, or the handle holds nothing.
int muster_process_ready(muster_process *MUSTER_NONNULL process, muster_deadline deadline) MUSTER_MUST_CHECK;

// Reads into process->notice what it has told since, without waiting; when process->ready is readable, or now and then. Returns 0;
// EAGAIN: nothing that counts; EINVAL as above.
int muster_process_hear(muster_process *MUSTER_NONNULL process) MUSTER_MUST_CHECK;

// For the other side: sends `text` ("READY=1\nSTATUS=all is well") to the socket that this process's NOTIFY_SOCKET names. Returns 0; ENOENT: it
// names none, so nobody wants to know; EINVAL: no name of a socket; EMSGSIZE, ECONNREFUSED, EAGAIN (its queue is full)... from the kernel.
int muster_process_tell(const char *MUSTER_NONNULL text);

MUSTER_END_DECLS

#endif
