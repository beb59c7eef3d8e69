// The ring: records of any size that one process writes and up to 64 read, in place, each reader all of them.
//
//   The one writer                                       A reader
//   --------------------------------------------------   -----------------------------------------------------------
//   muster_ring_options options = {.bytes = 1 << 20};    muster_ring_open("events", &options, &ring);
//   muster_ring_open("events", &options, &ring);         muster_ring_start_reading(ring, MUSTER_RING_OLDEST, NULL);
//   muster_ring_start_writing(ring, NULL);               muster_ring_record record;
//   void *place;                                         while (!(status = muster_ring_wait(ring, deadline)))
//   muster_ring_claim(ring, 24, deadline, &place);         while (!muster_ring_next(ring, &record)) {
//   fill(place);                                             use(record.bytes, record.size);
//   muster_ring_commit(ring);                                muster_ring_release(ring);
//   muster_ring_close(ring);                               }
//
// A record is claimed, written and read where it lies. Several claims before one commit are a batch: readers get all of
// it or nothing. A record that is not committed is never seen, wherever its writer died; the next writer overwrites it.
//
// Two modes, chosen at creation:
//   lossless  the writer waits, by its deadline, for the slowest reader. A dead reader is let go the moment the writer
//             would wait for it; one that is stopped counts as living.
//   latest    the writer never waits. A reader that it overtakes goes on further ahead, and the next record tells how
//             many were lost, exactly. What was read in place holds if muster_ring_release then says so (0, not ESTALE);
//             muster_ring_read copies and never gives a torn record. Readers without write permission can read, too.
//
// How it works. A record is a header of 8 bytes and the payload, up to the next multiple of 8. The header holds a stamp
// that follows from the record's position, a count of bytes that never wraps, and the payload's size; it is stored
// last. So a reader needs nothing but the header at the position where it is: no index that writer and reader share,
// whose line would go back and forth for each record. What does not fit before the end of the memory begins anew at its
// start, behind a record that fills the end. Before a record is committed the header after it is set to 0: no payload
// of an earlier lap is ever taken for a header. Each 64th of the ring has a mark {position, number} of the first record
// that began in it: where readers who join, and successors, begin to look, and how lost records are counted.
//
// Why it is right, in the terms of C11:
//   1. A header that fits was stored with release after its payload, after all records of its batch and after the 0
//      behind them; it is read with acquire. So whoever finds it finds the payload whole, and at the end of it 0, or a
//      later header that fits.
//   2. Lossless: the writer stores only below the slowest position that it has seen, plus the ring's size. A newcomer
//      stores its position, then looks at `reserve`; the writer stores `reserve`, then looks at all positions, all
//      sequentially consistent: either the newcomer sees that its place is gone, or the writer sees the newcomer.
//   3. Latest: before it overwrites anything the writer stores `reserve`, how far it may write, then a release fence. A
//      reader looks at `reserve` after an acquire fence that follows its loads. If any of them met what came later, so
//      does this one, and it says that the record is gone (H.-J. Boehm, MSPC 2012, as for the seqlock).
//   4. Sleeping: a reader adds to `calls`, then looks at the header, then sleeps at `bell` as it was before; the writer
//      stores the header, then looks at `calls`. The order of the writer's two is bought by who goes to sleep
//      (membarrier(2), MEMBARRIER_CMD_GLOBAL_EXPEDITED), not by a fence for each record. Where that call is missing the
//      writer uses a fence, and the sleeper looks again every 1 to 8 ms. The writer's wait for room is the same thing
//      with the roles exchanged. Nobody ever takes another's notice back, so none can be lost by a stop.
//
// One writer at a time, by a liveness lock: a second one gets EBUSY, a successor finds the last record that was committed
// and goes on. Writing and reading belong to the thread that started it (group.h): when that thread ends, so does the
// right to write, and in a lossless ring the writer's wait for this reader; what the handle is used for before it
// starts anew may disturb others. By one handle one thread at a time writes or reads, asks or closes.
//
// Limits: 4 KiB to 1 GiB, a power of two; 64 readers (read-only ones do not count); records up to a quarter of the ring.
// Who may write to the memory can make readers fail (EBADMSG), not crash. After a power failure a file may hold records
// whose payload was not yet written back: docs/ring.md has that, the layout, and the rest of the argument.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_RING_H
#define MUSTER_RING_H

#include <errno.h>

#include "clock.h"
#include "region.h"
#include "status.h"
#include "wait.h"

MUSTER_BEGIN_DECLS

#define MUSTER_RING_BYTES_MIN (UINT32_C(1) << 12)
#define MUSTER_RING_BYTES_MAX (UINT32_C(1) << 30)
#define MUSTER_RING_READERS_MAX 64

// The kind of its regions.
#define MUSTER_RING_KIND MUSTER_KIND('R', 'I', 'N', 'G')

// The alignment of a ring that is laid into memory by its user.
#define MUSTER_RING_ALIGNMENT 128

typedef struct muster_ring muster_ring;

typedef enum MUSTER_OPEN_ENUM muster_ring_mode {
  MUSTER_RING_LOSSLESS = 1,
  MUSTER_RING_LATEST = 2,
} muster_ring_mode;

// Where a reader begins.
typedef enum MUSTER_OPEN_ENUM muster_ring_from {
  MUSTER_RING_OLDEST = 0,  // the first mark that is still there: up to a 64th of the ring, or the rest of a batch, is
                           // passed over, and what the writer has reserved counts as gone (docs/ring.md)
  MUSTER_RING_NEWEST = 1,  // behind the last record that was committed: what comes next
  MUSTER_RING_AT = 2,      // at a place that was remembered
} muster_ring_from;

// A place between two records.
typedef struct muster_ring_place {
  uint64_t position;  // bytes from the beginning of all
  uint64_t number;    // records before it, from the beginning of all
} muster_ring_place;

typedef struct muster_ring_options {
  uint32_t bytes;            // a power of two; when attaching, 0: as it is
  muster_ring_mode mode;     // 0: lossless; when attaching, any
  uint32_t flags;            // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t permissions;      // `mode` of a region
  uint64_t layout;           // what the records mean, as a number of yours; 0 when attaching: any
  muster_deadline deadline;  // as of a region
  muster_mismatch *MUSTER_NULLABLE mismatch;  // filled in at EPROTO
} muster_ring_options;

typedef struct muster_ring_record {
  const void *MUSTER_NULLABLE bytes;  // aligned to 8
  uint32_t size;
  uint32_t reserved;
  uint64_t position;
  uint64_t number;                    // how many were committed before it
  uint64_t lost;                      // latest: how many were lost since the record before this one
} muster_ring_record;

// What one who starts writing found.
typedef struct muster_ring_predecessor {
  muster_ring_place end;  // behind the last record that was committed
  int32_t pid;            // at EBUSY the writer, 0 while it is just starting; when `died`, who died; else 0
  int32_t died;           // 1: the writer before ended without stopping
} muster_ring_predecessor;

typedef struct muster_ring_state {
  muster_ring_mode mode;
  uint32_t bytes;
  uint32_t largest;       // the largest record
  uint32_t readers;       // living ones, without those that are read-only
  int32_t writer;         // 0 alive, EOWNERDEAD, ENOENT: nobody writes
  int32_t writer_pid;     // 0: unknown, or nobody
  muster_ring_place end;  // behind the last record that was committed
  uint64_t oldest;        // the position from which on nothing is overwritten
} muster_ring_state;

typedef struct muster_ring_reader_state {
  int32_t pid;
  uint32_t alive;     // 0: nobody is in this place, one who died, or one who holds no position yet, or no more
  uint64_t position;  // what it released last
  uint64_t lag;       // bytes from there to the end
} muster_ring_reader_state;

// In place: the bytes that a ring with `bytes` for records takes (0 for a number that can't be), and how to lay one into
// memory that no one uses as a ring. Returns 0, EINVAL (bytes, mode, alignment, size), ENOTSUP (no robust mutexes here).
size_t muster_ring_size(uint32_t bytes);
int muster_ring_init(void *MUSTER_NONNULL memory, size_t size, uint32_t bytes, muster_ring_mode mode);

// In place: after a restart of the machine, or of all processes, before any attaches with write permission to memory
// that was kept in a file: fresh locks, the records as they were. Opening by name does this. Returns 0, EINVAL, EBADMSG,
// ENOTSUP.
int muster_ring_renew(void *MUSTER_NONNULL memory, size_t size) MUSTER_MUST_CHECK;

// In place: a handle for the ring at `memory`, which must stay mapped until close, and writable for the first form. The
// second form stores nothing there, ever; it can read in latest mode, and look. Returns 0, EINVAL, ENOMEM, EBADMSG,
// EPROTO (version), ENOTSUP.
int muster_ring_attach(void *MUSTER_NONNULL memory, size_t size,
                       muster_ring *MUSTER_NULLABLE *MUSTER_NONNULL ring) MUSTER_MUST_CHECK;
int muster_ring_attach_read_only(const void *MUSTER_NONNULL memory, size_t size,
                                 muster_ring *MUSTER_NULLABLE *MUSTER_NONNULL ring) MUSTER_MUST_CHECK;

// By name, or in a file: creates or attaches, as the flags say. Returns 0, EINVAL (bytes, mode), ENOTSUP, and what
// muster_region_open returns.
int muster_ring_open(const char *MUSTER_NONNULL name, const muster_ring_options *MUSTER_NONNULL options,
                     muster_ring *MUSTER_NULLABLE *MUSTER_NONNULL ring) MUSTER_MUST_CHECK;

// Stops writing or reading and lets go of the handle. What was claimed and not committed is dropped. Returns 0, or
// EBUSY when it was started on another thread that still lives: nothing is done then. In a forked child it lets go of
// the child's copy alone.
int muster_ring_close(muster_ring *MUSTER_NULLABLE ring);

// Becomes the writer, on the calling thread, until that thread ends or stops. Returns 0; a predecessor that died is told
// in found->died, not as an error.
//   EBUSY    a living writer is there: found->pid
//   EALREADY this handle writes or reads already
//   EPROTO   made with another libc or in another pid namespace
//   EACCES   a read-only handle
//   EPERM    a handle inherited over fork
//   EBADMSG  the newest records are not what a writer leaves
//   ENOLCK   this thread holds as many claims and memberships as it may (group.h)
//   ENOMEM
int muster_ring_start_writing(muster_ring *MUSTER_NONNULL ring,
                              muster_ring_predecessor *MUSTER_NULLABLE found) MUSTER_MUST_CHECK;

// Returns 0, EINVAL (this handle doesn't write, or the thread that started has ended: it may start anew), EBUSY (started
// on another thread, which lives), EPERM. What was claimed and not committed is dropped.
int muster_ring_stop_writing(muster_ring *MUSTER_NONNULL ring);

// Becomes a reader, on the calling thread. `place` is where to begin for MUSTER_RING_AT, else it is not looked at.
// Returns 0, EALREADY, EPROTO, EACCES (a read-only handle of a lossless ring), EPERM, ENOLCK, ENOMEM, EBADMSG, EINVAL
// (`from`; or `place` is no place between two records of this ring), EOVERFLOW (64 readers are there), EAGAIN (the writer
// was ahead of each of many attempts), or
//   ESTALE   `place` has been overwritten. It reads then, from the oldest on, and the first record's `lost` counts from
//            `place`.
int muster_ring_start_reading(muster_ring *MUSTER_NONNULL ring, muster_ring_from from,
                              const muster_ring_place *MUSTER_NULLABLE place) MUSTER_MUST_CHECK;

// Returns 0, EINVAL (this handle doesn't read, or the thread that started has ended), EBUSY (started on another thread,
// which lives), EPERM.
int muster_ring_stop_reading(muster_ring *MUSTER_NONNULL ring);

// ---- Writing. EPERM from each: this handle doesn't write in this process.

// Room for a record of `size` bytes, behind what was claimed before and not yet committed. Never waits in latest mode.
// After an error what was claimed before stays claimed. Returns 0, EINVAL (more than a quarter of the ring), ETIMEDOUT
// (lossless: a living reader has not made room by the deadline), EOVERFLOW (a batch of more than three quarters of the
// ring), EPERM, EBADMSG.
int muster_ring_claim(muster_ring *MUSTER_NONNULL ring, uint32_t size, muster_deadline deadline,
                      void *MUSTER_NULLABLE *MUSTER_NONNULL place) MUSTER_MUST_CHECK;

// Copies into a place that was claimed, before its commit: as memcpy does, but large records (8 KiB and more) past the caches where
// the processor can, which is 2 to 15 times as fast while another processor reads the ring. muster_ring_write does so itself.
void muster_ring_copy(void *MUSTER_NONNULL place, const void *MUSTER_NONNULL bytes, size_t size) MUSTER_NONBLOCKING;

// Publishes all that was claimed, at once. Returns 0, EINVAL (nothing was claimed), EPERM.
int muster_ring_commit(muster_ring *MUSTER_NONNULL ring) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Drops all that was claimed and not committed. Returns 0, EPERM.
int muster_ring_cancel(muster_ring *MUSTER_NONNULL ring) MUSTER_NONBLOCKING;

// Copies one record into the ring and commits it, and all that was claimed before. Returns as claim does.
int muster_ring_write(muster_ring *MUSTER_NONNULL ring, const void *MUSTER_NONNULL bytes, uint32_t size,
                      muster_deadline deadline) MUSTER_MUST_CHECK;

// For event loops: 0 when a claim of `size` would not wait, or what it would return else; EAGAIN with the words to sleep
// at (wait.h).
int muster_ring_poll_room(muster_ring *MUSTER_NONNULL ring, uint32_t size,
                          muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// ---- Reading. EPERM from each: this handle doesn't read in this process.

// The next record, in place. All that next gave is the reader's until release. Never waits. Returns 0, EAGAIN (nothing
// there; in latest mode also: overtaken each time), EPERM, EBADMSG.
int muster_ring_next(muster_ring *MUSTER_NONNULL ring,
                     muster_ring_record *MUSTER_NONNULL record) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Gives back all that next gave. Returns 0, EPERM; in latest mode ESTALE: the writer has overtaken the first of it, so
// what was read since the last release may be of two records, and must not be used. It counts as lost, with what it told
// to be lost: the next record tells of all.
int muster_ring_release(muster_ring *MUSTER_NONNULL ring) MUSTER_NONBLOCKING;

// Latest mode: whether what was read of `record` until now was the record. Always so in lossless mode until release.
int muster_ring_still_valid(const muster_ring *MUSTER_NONNULL ring,
                            const muster_ring_record *MUSTER_NONNULL record) MUSTER_NONBLOCKING;

// Copies the next record and releases it, with all that next gave before, whatever has become of that. record->bytes
// is `buffer`. Returns as next, and EMSGSIZE: it is larger than `capacity`: record->size tells; it is still the next.
int muster_ring_read(muster_ring *MUSTER_NONNULL ring, void *MUSTER_NONNULL buffer, uint32_t capacity,
                     muster_ring_record *MUSTER_NONNULL record) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Waits until there is a next record: spins, yields, then sleeps. Returns 0, ETIMEDOUT, EPERM, EBADMSG, or EOWNERDEAD: the
// writer died, and all that it committed has been read. Without any writer yet, or after one that stopped, it waits for
// the next one. After EOWNERDEAD muster_ring_wait_writer waits for the successor.
int muster_ring_wait(muster_ring *MUSTER_NONNULL ring, muster_deadline deadline) MUSTER_MUST_CHECK;

// Waits until a living writer is there. Returns 0, ETIMEDOUT, EPERM (inherited over fork), EBADMSG. Any handle may.
int muster_ring_wait_writer(muster_ring *MUSTER_NONNULL ring, muster_deadline deadline) MUSTER_MUST_CHECK;

// The same two without sleeping: EAGAIN with the words to sleep at (wait.h).
int muster_ring_poll(muster_ring *MUSTER_NONNULL ring, muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;
int muster_ring_poll_writer(muster_ring *MUSTER_NONNULL ring, muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// Where the next record is, or will be; of a writer, the end of what it committed. Valid for any process, also after
// a restart. Returns 0, EPERM.
int muster_ring_position(const muster_ring *MUSTER_NONNULL ring, muster_ring_place *MUSTER_NONNULL place);

// Goes elsewhere, releasing all. Returns as start_reading does: 0, EINVAL, ESTALE (`place` is gone: it stands at the
// oldest, and the next record's `lost` tells), EAGAIN, EPERM, EBADMSG.
int muster_ring_seek(muster_ring *MUSTER_NONNULL ring, muster_ring_from from,
                     const muster_ring_place *MUSTER_NULLABLE place) MUSTER_MUST_CHECK;

// ---- What is known of it, from any handle.

// Returns 0, EPERM, EBADMSG, EAGAIN (latest: overtaken each time).
int muster_ring_look(const muster_ring *MUSTER_NONNULL ring, muster_ring_state *MUSTER_NONNULL state) MUSTER_MUST_CHECK;

// Of the reader in place `index`, 0 to 63. Returns 0, EINVAL (no such place), EPERM, EBADMSG, EAGAIN.
int muster_ring_look_reader(const muster_ring *MUSTER_NONNULL ring, uint32_t index,
                            muster_ring_reader_state *MUSTER_NONNULL state) MUSTER_MUST_CHECK;

// The region of a ring that was opened by name; NULL for one attached in place. It belongs to the handle.
muster_region *MUSTER_NULLABLE muster_ring_region(const muster_ring *MUSTER_NONNULL ring);

// ---- The fast paths, to be inlined. Each function above that claims, commits, reads or releases is one of these, out of
// line.

// A header: the stamp in the high half; in the low half the size, and whether it is a record or fills the end.
#define MUSTER_RING_RECORD (UINT64_C(1) << 30)
#define MUSTER_RING_FILLER (UINT64_C(1) << 31)
#define MUSTER_RING_SIZE_MASK (MUSTER_RING_RECORD - 1)

// What writing needs; of use while the handle writes, and then for one thread at a time.
typedef struct muster_ring_writer {
  unsigned char *MUSTER_NONNULL data;
  uint64_t position;  // where the next claim begins
  uint64_t limit;     // claims that end here, with a header behind them, need nothing else
  uint64_t start;     // where the first claim that is not committed began
  uint64_t first;     // its header, which is stored by the commit; 0: nothing is claimed
  uint64_t number;    // records committed so far
  uint64_t mask;      // bytes - 1
  const uint64_t *MUSTER_NONNULL process;  // the word that fork wipes
  uint64_t token;                          // its value while this handle writes in this process
  const uint32_t *MUSTER_NONNULL calls;    // sleeping readers
  uint32_t rung;                           // those that were woken
  uint32_t claimed;                        // records that are not committed
  uint32_t shift;                          // bytes is 1 << shift
  uint32_t fence;                          // no membarrier(2) here: a fence for each commit
  muster_ring *MUSTER_NONNULL ring;
} muster_ring_writer;

// What reading needs; of use while the handle reads, and then for one thread at a time.
typedef struct muster_ring_reader {
  const unsigned char *MUSTER_NONNULL data;
  // Not in pairs that a compiler would copy by one load of 16 bytes, just after two stores of 8: that is slow.
  uint64_t position;  // of the next record
  uint64_t lost;      // to be told with the next record
  uint64_t number;    // of the next record, less `lost`
  uint64_t mask;
  uint64_t held;      // the place of the first record that is not released
  const uint64_t *MUSTER_NONNULL reserve;  // how far the writer may have written
  uint64_t *MUSTER_NULLABLE published;     // where the writer looks; NULL: read-only
  uint64_t held_number;  // of the first record that is not released, or of what was lost before it
  const uint64_t *MUSTER_NONNULL process;
  uint64_t token;
  const uint32_t *MUSTER_NONNULL calls;    // of a writer that sleeps for want of room
  uint32_t rung;
  uint32_t shift;
  uint32_t latest;                         // 1: latest mode
  uint32_t fence;
  uint32_t guess;                          // the size of the record before
  muster_ring *MUSTER_NONNULL ring;
} muster_ring_reader;

muster_ring_writer *MUSTER_NONNULL muster_ring_writer_of(muster_ring *MUSTER_NONNULL ring);
muster_ring_reader *MUSTER_NONNULL muster_ring_reader_of(muster_ring *MUSTER_NONNULL ring);

// What the fast paths go to when there is more to do. They return as the functions that call them.
int muster_ring_claim_more(muster_ring_writer *MUSTER_NONNULL writer, uint32_t size, muster_deadline deadline,
                           void *MUSTER_NULLABLE *MUSTER_NONNULL place) MUSTER_MUST_CHECK;
int muster_ring_next_more(muster_ring_reader *MUSTER_NONNULL reader,
                          muster_ring_record *MUSTER_NONNULL record) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;
void muster_ring_wake_readers(muster_ring_writer *MUSTER_NONNULL writer, uint32_t calls) MUSTER_NONBLOCKING;
void muster_ring_wake_writer(muster_ring_reader *MUSTER_NONNULL reader, uint32_t calls) MUSTER_NONBLOCKING;

// The stamp of a position, in the high half: the lap, so that one of another lap differs, mixed with the offset, so that
// one of another place most likely does.
MUSTER_NONBLOCKING static inline uint64_t muster_ring_stamp(uint64_t position, uint64_t mask, uint32_t shift) {
  uint32_t mixed = (uint32_t)(position & mask) * UINT32_C(0x9e3779b1);
  return (uint64_t)((uint32_t)(position >> shift) ^ mixed) << 32;
}

// Header and payload, up to the next header.
MUSTER_NONBLOCKING static inline uint64_t muster_ring_extent(uint32_t size) { return ((uint64_t)size + 15) & ~UINT64_C(7); }

MUSTER_NONBLOCKING static inline uint64_t *MUSTER_NONNULL muster_ring_header(unsigned char *MUSTER_NONNULL data,
                                                                             uint64_t offset) {
  return (uint64_t *)(void *)(data + offset);
}

// Claims at the writer's position, where there is room.
MUSTER_NONBLOCKING static inline void *MUSTER_NONNULL muster_ring_lay(muster_ring_writer *MUSTER_NONNULL writer,
                                                                      uint64_t kind_and_size, uint64_t extent) {
  uint64_t position = writer->position, offset = position & writer->mask;
  uint64_t word = muster_ring_stamp(position, writer->mask, writer->shift) | kind_and_size;
  // Those after the first may stand at once: nobody gets past the first, which is 0.
  if (writer->first) {
    __atomic_store_n(muster_ring_header(writer->data, offset), word, __ATOMIC_RELAXED);
  } else {
    writer->start = position;
    writer->first = word;
  }
  writer->position = position + extent;
  return writer->data + offset + 8;
}

// Returns as muster_ring_claim.
MUSTER_MUST_CHECK static inline int muster_ring_writer_claim(muster_ring_writer *MUSTER_NONNULL writer, uint32_t size,
                                                             muster_deadline deadline,
                                                             void *MUSTER_NULLABLE *MUSTER_NONNULL place) {
  uint64_t extent = muster_ring_extent(size);
  // The limit lies within a 64th of the ring, so a size that is too large, or an end of the memory, doesn't get past it.
  if (__builtin_expect(writer->position + extent + 8 > writer->limit, 0) ||
      __builtin_expect(__atomic_load_n(writer->process, __ATOMIC_RELAXED) != writer->token, 0))
    return muster_ring_claim_more(writer, size, deadline, place);
  *place = muster_ring_lay(writer, MUSTER_RING_RECORD | size, extent);
  writer->claimed++;
  return 0;
}

// Returns as muster_ring_commit.
MUSTER_NONBLOCKING MUSTER_MUST_CHECK static inline int muster_ring_writer_commit(
    muster_ring_writer *MUSTER_NONNULL writer) {
  if (__builtin_expect(__atomic_load_n(writer->process, __ATOMIC_RELAXED) != writer->token, 0)) return EPERM;
  if (__builtin_expect(!writer->first, 0)) return EINVAL;
  __atomic_store_n(muster_ring_header(writer->data, writer->position & writer->mask), UINT64_C(0), __ATOMIC_RELAXED);
  __atomic_store_n(muster_ring_header(writer->data, writer->start & writer->mask), writer->first, __ATOMIC_RELEASE);
  writer->first = 0;
  writer->number += writer->claimed;
  writer->claimed = 0;
  // Argument 4 above. The processor may exchange the store and the load; who goes to sleep pays for that.
  if (__builtin_expect(writer->fence != 0, 0)) __atomic_thread_fence(__ATOMIC_SEQ_CST);
  else __atomic_signal_fence(__ATOMIC_SEQ_CST);
  uint32_t calls = __atomic_load_n(writer->calls, __ATOMIC_RELAXED);
  if (__builtin_expect(calls != writer->rung, 0)) muster_ring_wake_readers(writer, calls);
  return 0;
}

// Whether nothing from `position` on has been overwritten by what was loaded before.
MUSTER_NONBLOCKING static inline int muster_ring_holds(const muster_ring_reader *MUSTER_NONNULL reader,
                                                       uint64_t position) {
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  uint64_t reserve = __atomic_load_n(reader->reserve, __ATOMIC_RELAXED), bytes = reader->mask + 1;
  return reserve <= position + bytes;
}

// Returns as muster_ring_next.
MUSTER_NONBLOCKING MUSTER_MUST_CHECK static inline int muster_ring_reader_next(
    muster_ring_reader *MUSTER_NONNULL reader, muster_ring_record *MUSTER_NONNULL record) {
  uint64_t position = reader->position, offset = position & reader->mask;
  const unsigned char *at = reader->data + offset;
  uint64_t word = __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_ACQUIRE);
  uint64_t stamp = muster_ring_stamp(position, reader->mask, reader->shift) | MUSTER_RING_RECORD;
  uint64_t size = word ^ stamp;
  // One comparison for all of it: another stamp, another kind, or a size beyond the end of the memory.
  if (__builtin_expect(size > reader->mask - 7 - offset, 0) ||
      __builtin_expect(__atomic_load_n(reader->process, __ATOMIC_RELAXED) != reader->token, 0) ||
      __builtin_expect(reader->lost != 0, 0) ||
      (reader->latest && __builtin_expect(!muster_ring_holds(reader, position), 0)))
    return muster_ring_next_more(reader, record);
  record->bytes = at + 8;
  record->size = (uint32_t)size;
  record->reserved = 0;
  record->position = position;
  record->number = reader->number++;
  record->lost = 0;
  // The next record's place follows from this one's size, which comes from far away. That most records are as large as the
  // ones before is what the processor can foretell, if it is a branch: then it need not wait for the one to ask for the
  // next.
  uint32_t guess = reader->guess;
  if (__builtin_expect(size == guess, 1)) __asm__("" : "+r"(guess));
  else reader->guess = guess = (uint32_t)size;
  reader->position = position + muster_ring_extent(guess);
  return 0;
}

// Returns as muster_ring_release.
MUSTER_NONBLOCKING static inline int muster_ring_reader_release(muster_ring_reader *MUSTER_NONNULL reader) {
  if (__builtin_expect(__atomic_load_n(reader->process, __ATOMIC_RELAXED) != reader->token, 0)) return EPERM;
  if (reader->latest && __builtin_expect(!muster_ring_holds(reader, reader->held), 0)) {
    // Back to what was not read whole. It is gone, so what comes next is further on and tells how many were lost, from
    // the number that is held.
    reader->position = reader->held;
    reader->number = reader->held_number;
    reader->lost = 0;
    return ESTALE;
  }
  reader->held = reader->position;
  reader->held_number = reader->number;
  if (!reader->published) return 0;
  __atomic_store_n(reader->published, reader->position, __ATOMIC_RELEASE);
  if (reader->latest) return 0;
  if (__builtin_expect(reader->fence != 0, 0)) __atomic_thread_fence(__ATOMIC_SEQ_CST);
  else __atomic_signal_fence(__ATOMIC_SEQ_CST);
  uint32_t calls = __atomic_load_n(reader->calls, __ATOMIC_RELAXED);
  if (__builtin_expect(calls != reader->rung, 0)) muster_ring_wake_writer(reader, calls);
  return 0;
}

MUSTER_END_DECLS

#endif
