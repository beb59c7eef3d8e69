// The flight recorder: what each thread did last, in shared memory, some nanoseconds an event, there to be read after a
// crash.
//
//   A thread that records                                 Whoever wants to know, before or after its end
//   ---------------------------------------------------   ----------------------------------------------------------
//   muster_trace_shape shape = {.recorders = 16,          options.flags = MUSTER_REGION_READ_ONLY | MUSTER_REGION_PEEK;
//       .events = 4096, .names = 64};                     muster_trace_open("crew", &options, &trace);
//   muster_trace_options options = {.shape = shape};      muster_trace_read(trace, MUSTER_TRACE_ALL, &cursor);
//   muster_trace_open("crew", &options, &trace);          muster_trace_event event;
//   muster_trace_name(trace, "work", &work);              while (!muster_trace_next(cursor, &event))
//   muster_trace_join(trace, NULL, &mine);                  look_at(&event);
//   muster_trace_begin(mine, work, job);                  muster_trace_cursor_close(cursor);
//   ...                                                   muster_trace_export(trace, descriptor);  // or, all as JSON
//   muster_trace_end(mine, work, job);
//   muster_trace_leave(mine);
//
// Each thread that joins has a recorder of its own: a row of 32-byte events of which the newest are kept. To record is a
// look at the kill word, a reading of the clock and six stores, no lock, no system call, no read-modify-write. The
// memory outlives the thread, so its last events are there however it ended.
//
// The kill word. Any process that may write to the memory can freeze the trace: from then on nobody records, so that the
// last moments before an incident are not overwritten while somebody comes to look. muster_trace_watch does it at a
// death. A thread that is in the midst of an event when the word is set finishes that one.
//
// How it works, and why it is right, in the terms of C11. Event number n of a recorder lies in slot n % events:
// {stamp, time, value, what}, four words. To record it the one writer stores
//     stamp = 0;   time, value, what, each with release;   stamp = n + 1 with release;   end = n + 1.
//   1. Who reads the stamp n + 1 with acquire sees the words of n, or later ones: they were stored before it.
//   2. Who then reads a word of a later event m, with acquire, sees the 0 that was stored before that word, or what was
//      stored after it. So when the stamp is read once more and still is n + 1, no word was of m: n + 1 is stored once,
//      and comes before that 0. (Words that are stored with release and read with acquire take the place of the fences
//      in H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012.)
//   3. Thus a slot whose writer died, or stopped, anywhere is an event that is whole or none; at most one event, the
//      oldest, is lost for one that was never finished. Nobody waits for anybody.
//   4. `end` is where readers and successors begin to look: it, or what was stored just before its writer died, is the
//      number behind the last event. Numbers go on when another thread takes the recorder, which a liveness lock
//      (group.h) allows once the one before has ended. What a recorder's session is (who, and from which number on) has a
//      stamp of its own, odd while it is written; a reader looks at it before and after it reads `end`, so that all
//      numbers below belong to that session. No number comes twice: no event is ever told as another thread's.
//
// A recorder that nobody has used is taken first, then the one of those who left that was quiet longest, then that of a
// dead one. While the trace is frozen, used ones are not taken at all.
//
// The clock. Where the kernel itself goes by the processor's counter (clocksource tsc; on arm64 always) events carry
// that, a few nanoseconds to read; else CLOCK_MONOTONIC. The memory says which. Each session notes {counter, monotonic,
// real} once; who reads turns counts into nanoseconds by that and by what the three are now. All times that are given
// out are of CLOCK_MONOTONIC of the present boot, whatever the clock; events of an earlier boot (in a file) are placed by
// the time of day. A thread's times never go back; between threads they are as good as the counter, whose
// reading the processor may move by some tens of instructions.
//
// Recording belongs to the thread that joined: one thread at a time may use a recorder, and when the one that joined has
// ended the recorder may be another's. A handler of a signal that interrupts a thread as it records takes a recorder of
// its own, or the two events may be mixed. A forked child's copy records nothing. By the trace's handle any
// number of threads may join, name, freeze and look at the same time; nothing may run at the same time as close. A
// cursor is for one thread at a time.
//
// Who may write to the memory can make readers find nothing, or nonsense, but not crash or loop. docs/trace.md has the
// layout, the export, and what is not promised.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_TRACE_H
#define MUSTER_TRACE_H

#include <errno.h>

#include "clock.h"
#include "region.h"
#include "status.h"
#include "wait.h"

MUSTER_BEGIN_DECLS

#define MUSTER_TRACE_RECORDERS_MAX 256
#define MUSTER_TRACE_EVENTS_MIN (UINT32_C(1) << 4)
#define MUSTER_TRACE_EVENTS_MAX (UINT32_C(1) << 22)
#define MUSTER_TRACE_NAMES_MAX 4096

// Bytes of a name with its 0. Longer ones are cut, between two characters of UTF-8.
#define MUSTER_TRACE_NAME_SIZE 56

// Bytes of a process's name and of a recorder's label, with the 0.
#define MUSTER_TRACE_LABEL_SIZE 32

// The kind of its regions.
#define MUSTER_TRACE_KIND MUSTER_KIND('T', 'R', 'A', 'C')

// The alignment of a trace that is laid into memory by its user.
#define MUSTER_TRACE_ALIGNMENT 128

// The name that events have whose own found no room: "?".
#define MUSTER_TRACE_NAME_OTHER 0

// All recorders, for muster_trace_read.
#define MUSTER_TRACE_ALL UINT32_MAX

typedef struct muster_trace muster_trace;
typedef struct muster_trace_cursor muster_trace_cursor;

typedef enum MUSTER_OPEN_ENUM muster_trace_clock {
  MUSTER_TRACE_CLOCK_BEST = 0,       // creating: the counter where it will do
  MUSTER_TRACE_CLOCK_COUNTER = 1,    // the processor's: TSC, or CNTVCT on arm64
  MUSTER_TRACE_CLOCK_MONOTONIC = 2,  // CLOCK_MONOTONIC
} muster_trace_clock;

typedef struct muster_trace_shape {
  uint32_t recorders;        // threads that record at a time, 1 to 256
  uint32_t events;           // of each the newest so many are kept: a power of two, 16 to 4,194,304
  uint32_t names;            // different ones, 1 to 4096, beside "?"
  muster_trace_clock clock;
} muster_trace_shape;

typedef struct muster_trace_options {
  muster_trace_shape shape;  // when attaching, zeros: as it is
  uint32_t flags;            // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t permissions;      // `mode` of a region
  muster_deadline deadline;  // as of a region
  muster_mismatch *MUSTER_NULLABLE mismatch;  // filled in at EPROTO
} muster_trace_options;

// What an event is; how each is used stands at the functions below.
typedef enum MUSTER_OPEN_ENUM muster_trace_kind {
  MUSTER_TRACE_BEGIN = 1,          // a span of this thread begins; value: a correlation id of yours, 0 for none
  MUSTER_TRACE_END = 2,            // the innermost open span ends; value: as above
  MUSTER_TRACE_INSTANT = 3,        // something happened; value: as above
  MUSTER_TRACE_COUNTER = 4,        // value: what a counter stands at now, signed
  MUSTER_TRACE_SPAN = 5,           // a whole span, told at its end; value: the clock's reading at its beginning
  MUSTER_TRACE_FLOW_OUT = 6,       // something goes from here to another thread; value: by which it is known there
  MUSTER_TRACE_FLOW_STEP = 7,      // it has come here, and goes on
  MUSTER_TRACE_FLOW_IN = 8,        // it has come here
  MUSTER_TRACE_ASYNC_BEGIN = 9,    // a span of no one thread begins; value: which
  MUSTER_TRACE_ASYNC_END = 10,     // it ends, on this thread or another
  MUSTER_TRACE_ASYNC_INSTANT = 11, // something happened in it
} muster_trace_kind;

// What is recorded. Times are nanoseconds of CLOCK_MONOTONIC of the present boot (negative: before it).
typedef struct muster_trace_event {
  int64_t time;
  int64_t duration;        // of a SPAN, which began so long before `time`; else 0
  uint64_t value;          // of a SPAN 0
  uint64_t number;         // of the recorder's events, from the beginning of all
  uint32_t recorder;
  muster_trace_kind kind;
  uint16_t name;
  uint16_t reserved;
  uint32_t lost;           // events of this recorder that were overwritten while this was read, since the one before
} muster_trace_event;

typedef enum MUSTER_OPEN_ENUM muster_trace_life {
  MUSTER_TRACE_UNUSED = 0,  // nobody has recorded here, or one who joins is just about to
  MUSTER_TRACE_ALIVE = 1,   // the thread that joined lives
  MUSTER_TRACE_LEFT = 2,    // it left
  MUSTER_TRACE_DIED = 3,    // it, or its process, ended without leaving
} muster_trace_life;

typedef struct muster_trace_recorder_info {
  muster_trace_life life;
  int32_t pid;
  uint32_t thread;       // its thread id
  int32_t this_boot;     // 0: the machine was started anew since
  uint64_t start;        // when its process started: clock ticks since boot
  uint64_t session;      // differs from that of any other thread that recorded here
  int64_t joined;        // as the times of events
  int64_t joined_real;   // nanoseconds since 1970
  uint64_t first;        // the number of its first event
  uint64_t end;          // and the one behind its last
  uint64_t oldest;       // the first that is still there
  char process[MUSTER_TRACE_LABEL_SIZE];  // the name of its program, as it was called
  char label[MUSTER_TRACE_LABEL_SIZE];    // as given to join, else the thread's name
} muster_trace_recorder_info;

typedef struct muster_trace_state {
  muster_trace_shape shape;  // with the clock that is in use
  uint32_t names;            // in use, without "?"
  uint32_t alive, left, died, unused;  // recorders
  int32_t frozen;            // 1: frozen
  int32_t frozen_by;         // the process that did it
  uint32_t reserved;
  int64_t frozen_at;         // nanoseconds of CLOCK_MONOTONIC, up to 66 microseconds late
} muster_trace_state;

// A thread's recorder, from join to leave: what the inlined functions below need. Not to be changed.
typedef struct muster_trace_recorder {
  uint64_t *MUSTER_NONNULL slots;
  const uint64_t *MUSTER_NONNULL frozen;
  uint64_t *MUSTER_NONNULL end;
  const uint64_t *MUSTER_NONNULL process;  // the word that fork wipes
  uint64_t token;                          // its value while this records
  uint64_t position;                       // the number of the next event
  uint64_t mask;                           // events - 1
  uint32_t clock;
  uint32_t index;                          // which recorder of the trace
} muster_trace_recorder;

// In place: the bytes that a trace takes (0 for a shape that can't be), and how to lay one into memory that no one uses
// as a trace. Returns 0, EINVAL (shape, alignment, too few bytes), ENOTSUP (no robust mutexes here, or
// MUSTER_TRACE_CLOCK_COUNTER where the counter won't do).
size_t muster_trace_size(const muster_trace_shape *MUSTER_NONNULL shape);
int muster_trace_init(void *MUSTER_NONNULL memory, size_t size,
                      const muster_trace_shape *MUSTER_NONNULL shape) MUSTER_MUST_CHECK;

// In place: after a restart of the machine, or of all processes, before any attaches with write permission to memory
// that was kept in a file: fresh locks, all that was recorded as it was. Opening by name does this. Returns 0, EINVAL,
// EBADMSG, ENOTSUP.
int muster_trace_renew(void *MUSTER_NONNULL memory, size_t size) MUSTER_MUST_CHECK;

// In place: a handle for the trace at `memory`, which must stay mapped until close, and writable for the first form. The
// second form stores nothing there, ever; it can look, read and export. Returns 0, EINVAL, ENOMEM, EBADMSG, EPROTO
// (version), ENOTSUP.
int muster_trace_attach(void *MUSTER_NONNULL memory, size_t size,
                        muster_trace *MUSTER_NULLABLE *MUSTER_NONNULL trace) MUSTER_MUST_CHECK;
int muster_trace_attach_read_only(const void *MUSTER_NONNULL memory, size_t size,
                                  muster_trace *MUSTER_NULLABLE *MUSTER_NONNULL trace) MUSTER_MUST_CHECK;

// By name, or in a file: creates or attaches, as the flags say. Returns 0, EINVAL (shape), ENOTSUP, and what
// muster_region_open returns; EPROTO also where a number of the shape was given and is another there.
int muster_trace_open(const char *MUSTER_NONNULL name, const muster_trace_options *MUSTER_NONNULL options,
                      muster_trace *MUSTER_NULLABLE *MUSTER_NONNULL trace) MUSTER_MUST_CHECK;

// Lets go of the handle. Returns 0, or EBUSY while a recorder of this handle has not left: nothing is done then. In a
// forked child it lets go of the child's copy, whatever has joined.
int muster_trace_close(muster_trace *MUSTER_NULLABLE trace);

// Gives the calling thread a recorder, until it leaves or ends. `label` is what to call it (NULL: the thread's name), cut
// to 31 bytes.
//
// Returns 0, or
//   EOVERFLOW  all recorders are held by living threads
//   EAGAIN     the trace is frozen, and all others hold records: join again when it is thawed
//   EPROTO     made with another libc or in another pid namespace
//   ENOTSUP    its clock is the counter, and this process may not read that
//   EACCES     a read-only handle
//   EPERM      a handle inherited over fork
//   ENOLCK     this thread holds as many claims and memberships as it may (group.h)
//   ENOMEM
int muster_trace_join(muster_trace *MUSTER_NONNULL trace, const char *MUSTER_NULLABLE label,
                      muster_trace_recorder *MUSTER_NULLABLE *MUSTER_NONNULL recorder) MUSTER_MUST_CHECK;

// Gives it back: what was recorded stays. Returns 0 (NULL: nothing to do), or EBUSY: joined on another thread, which
// lives. When that has ended any thread may call it, and should, to free the handle. In a forked child it lets go of the
// child's copy.
int muster_trace_leave(muster_trace_recorder *MUSTER_NULLABLE recorder);

// The number of a name, which is found, or added. Some hundred nanoseconds to microseconds: ask once. Two processes that
// add the same name at the same moment may get two numbers for it, which does no harm. Returns 0; or, with *name
// MUSTER_TRACE_NAME_OTHER, which may be used all the same: EOVERFLOW (no room), EACCES (read-only, and not there),
// EINVAL ("").
int muster_trace_name(muster_trace *MUSTER_NONNULL trace, const char *MUSTER_NONNULL text,
                      uint16_t *MUSTER_NONNULL name);

// The text of a name. Returns 0, or ENOENT with "?": there is none of that number.
int muster_trace_name_text(const muster_trace *MUSTER_NONNULL trace, uint16_t name,
                           char text[MUSTER_NONNULL MUSTER_TRACE_NAME_SIZE]);

// Sets and clears the kill word. Return 0; EALREADY: it is as asked; EACCES: a read-only handle.
int muster_trace_freeze(muster_trace *MUSTER_NONNULL trace);
int muster_trace_thaw(muster_trace *MUSTER_NONNULL trace);

// Waits until a thread that records dies, and freezes the trace at once. Each death since the handle was made is told
// once, also one before the call. One thread at a time watches by a handle. Returns EOWNERDEAD with the recorder in
// *died; ECANCELED: frozen, by somebody else or before, with *died as well if it is a death that ended the wait, else
// MUSTER_TRACE_ALL; ETIMEDOUT; EACCES (read-only), EPERM (inherited over fork).
int muster_trace_watch(muster_trace *MUSTER_NONNULL trace, muster_deadline deadline,
                       uint32_t *MUSTER_NULLABLE died) MUSTER_MUST_CHECK;

// The same without sleeping, for event loops: EAGAIN with the words to sleep at (wait.h).
int muster_trace_poll_watch(muster_trace *MUSTER_NONNULL trace, uint32_t *MUSTER_NULLABLE died,
                            muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// ---- What is known of it, from any handle.

// Returns 0.
int muster_trace_look(const muster_trace *MUSTER_NONNULL trace, muster_trace_state *MUSTER_NONNULL state);

// Of recorder `index`. Returns 0, EINVAL (no such recorder).
int muster_trace_look_recorder(const muster_trace *MUSTER_NONNULL trace, uint32_t index,
                               muster_trace_recorder_info *MUSTER_NONNULL info) MUSTER_MUST_CHECK;

// The region of a trace that was opened by name; NULL for one attached in place. It belongs to the handle.
muster_region *MUSTER_NULLABLE muster_trace_region(const muster_trace *MUSTER_NONNULL trace);

// ---- Reading

// A cursor over what one recorder, or MUSTER_TRACE_ALL of them in the order of time, has recorded by now. Returns 0,
// EINVAL (no such recorder), ENOMEM.
int muster_trace_read(const muster_trace *MUSTER_NONNULL trace, uint32_t recorder,
                      muster_trace_cursor *MUSTER_NULLABLE *MUSTER_NONNULL cursor) MUSTER_MUST_CHECK;

// The next event. Returns 0, or ENOENT: that was all. What is overwritten meanwhile is passed over, and told in `lost`
// of the next one; also slots that hold no event, where somebody wrote into the memory who should not have.
int muster_trace_next(muster_trace_cursor *MUSTER_NONNULL cursor, muster_trace_event *MUSTER_NONNULL event)
    MUSTER_MUST_CHECK;

// Whose a recorder was when the cursor was made. Returns 0, EINVAL (the cursor doesn't read that one).
int muster_trace_cursor_recorder(const muster_trace_cursor *MUSTER_NONNULL cursor, uint32_t index,
                                 muster_trace_recorder_info *MUSTER_NONNULL info) MUSTER_MUST_CHECK;

void muster_trace_cursor_close(muster_trace_cursor *MUSTER_NULLABLE cursor);

// Writes all that is recorded to a descriptor, in the Trace Event Format as JSON, which Perfetto (ui.perfetto.dev) and
// chrome://tracing show: a process a pid, a track a thread. It allocates nothing and takes no lock, so that a handler of a fatal
// signal may call it. Returns 0, or an error of write(2).
int muster_trace_export(const muster_trace *MUSTER_NONNULL trace, int descriptor) MUSTER_MUST_CHECK;

// ---- Recording. All return 0, ECANCELED (frozen), EPERM (left, or inherited over fork), or EINVAL (no recorder: NULL),
// which most programs need not look at: then nothing was recorded. `muster_trace_record` is the same out of line, for
// languages that can't use what follows.
int muster_trace_record(muster_trace_recorder *MUSTER_NULLABLE recorder, muster_trace_kind kind, uint16_t name,
                        uint64_t value) MUSTER_NONBLOCKING;

// The clock, for the beginning of a SPAN: 0 without a recorder.
uint64_t muster_trace_now(const muster_trace_recorder *MUSTER_NULLABLE recorder) MUSTER_NONBLOCKING;

// CLOCK_MONOTONIC in nanoseconds.
uint64_t muster_trace_monotonic(void) MUSTER_NONBLOCKING;

MUSTER_NONBLOCKING static inline uint64_t muster_trace_ticks(uint32_t clock) {
#if defined(__x86_64__) || defined(__i386__)
  if (__builtin_expect(clock == MUSTER_TRACE_CLOCK_COUNTER, 1)) return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  if (__builtin_expect(clock == MUSTER_TRACE_CLOCK_COUNTER, 1)) {
    uint64_t now;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(now));
    return now;
  }
#else
  (void)clock;
#endif
  return muster_trace_monotonic();
}

MUSTER_NONBLOCKING static inline int muster_trace_put(muster_trace_recorder *MUSTER_NULLABLE recorder,
                                                      muster_trace_kind kind, uint16_t name, uint64_t value) {
  if (__builtin_expect(!recorder, 0)) return EINVAL;
  if (__builtin_expect(__atomic_load_n(recorder->process, __ATOMIC_RELAXED) != recorder->token, 0)) return EPERM;
  if (__builtin_expect(__atomic_load_n(recorder->frozen, __ATOMIC_RELAXED) != 0, 0)) return ECANCELED;
  uint64_t position = recorder->position, *slot = recorder->slots + (position & recorder->mask) * 4;
  // Before the slot is touched: it is most of the time that this takes, and who dies in it shall lose no older event.
  uint64_t now = muster_trace_ticks(recorder->clock);
  __atomic_store_n(slot, UINT64_C(0), __ATOMIC_RELAXED);
  __atomic_store_n(slot + 1, now, __ATOMIC_RELEASE);
  __atomic_store_n(slot + 2, value, __ATOMIC_RELEASE);
  __atomic_store_n(slot + 3, (uint64_t)name << 8 | (uint64_t)kind, __ATOMIC_RELEASE);
  __atomic_store_n(slot, position + 1, __ATOMIC_RELEASE);
  __atomic_store_n(recorder->end, position + 1, __ATOMIC_RELEASE);
  recorder->position = position + 1;
  return 0;
}

// A span of this thread, in others or with others in it. `id` is what it is about, as a number that you know it by
// elsewhere, or 0.
MUSTER_NONBLOCKING static inline int muster_trace_begin(muster_trace_recorder *MUSTER_NULLABLE recorder, uint16_t name,
                                                        uint64_t id) {
  return muster_trace_put(recorder, MUSTER_TRACE_BEGIN, name, id);
}
MUSTER_NONBLOCKING static inline int muster_trace_end(muster_trace_recorder *MUSTER_NULLABLE recorder, uint16_t name,
                                                      uint64_t id) {
  return muster_trace_put(recorder, MUSTER_TRACE_END, name, id);
}

// A span as one event, for short ones: muster_trace_now before, this behind it. A span that a crash ends is not told.
MUSTER_NONBLOCKING static inline int muster_trace_span(muster_trace_recorder *MUSTER_NULLABLE recorder, uint16_t name,
                                                       uint64_t began) {
  return muster_trace_put(recorder, MUSTER_TRACE_SPAN, name, began);
}

MUSTER_NONBLOCKING static inline int muster_trace_instant(muster_trace_recorder *MUSTER_NULLABLE recorder, uint16_t name,
                                                          uint64_t id) {
  return muster_trace_put(recorder, MUSTER_TRACE_INSTANT, name, id);
}

MUSTER_NONBLOCKING static inline int muster_trace_counter(muster_trace_recorder *MUSTER_NULLABLE recorder, uint16_t name,
                                                          int64_t value) {
  return muster_trace_put(recorder, MUSTER_TRACE_COUNTER, name, (uint64_t)value);
}

MUSTER_END_DECLS

#endif
