// The counter region: a row of 64-bit words that one process writes and any number read, as one snapshot, without
// waiting.
//
//   The one writer                                       Any number of readers, also from read-only mappings
//   --------------------------------------------------   -----------------------------------------------------------
//   muster_seqlock_options options = {.words = 2};       options.flags = MUSTER_REGION_READ_ONLY;
//   muster_seqlock_open("load", &options, &counters);    muster_seqlock_open("load", &options, &counters);
//   muster_seqlock_claim(counters, NULL);                uint64_t seen[2], sequence;
//   uint64_t now[2] = {requests, errors};                muster_seqlock_read(counters, seen, 2, &sequence);
//   muster_seqlock_write(counters, now, 2);              muster_seqlock_wait(counters, sequence, deadline, &sequence);
//   muster_seqlock_add(counters, 0, 1);
//   muster_seqlock_close(counters);                      muster_seqlock_close(counters);
//
// A read gives all words as one write left them, and the number of that write. It stores nothing, takes no lock and
// depends on nobody: not on a writer that was stopped (SIGSTOP), killed at whatever instruction, or never started.
//
// How it works. There are two copies of the words, each with a stamp. Write number n goes to copy n % 2: the stamp
// becomes "being written", then the words, then the stamp n, and last `latest` = n. A reader takes n from `latest`, the
// words of copy n % 2, and then looks whether that copy's stamp still is n. Only when the writer has meanwhile finished
// write n + 1 and begun write n + 2 is it not, and the reader begins again. So a writer that stops anywhere leaves the
// copy that `latest` names whole for ever, and a reader that fails has been passed by two writes: readers are
// lock-free, not wait-free.
//
// Why it is right, in the terms of C11:
//   1. Stamp n and the words of n are stored before `latest` = n, with release; the reader reads `latest` with acquire.
//      So it sees words and stamp of write n or of a later one to the same copy.
//   2. "Being written" of n + 2 is stored before a release fence, its words after it; the reader reads the words before
//      an acquire fence, and the stamp after it. So if any word was of n + 2, the stamp read is n + 2's or later, not
//      n. A stamp n therefore says that every word was of n: H.-J. Boehm, "Can seqlocks get along with programming
//      language memory models?", MSPC 2012.
//   3. The store "being written" of n + 2 has release order after `latest` = n + 1. A reader that finds another stamp
//      than n thus finds, after an acquire fence, `latest` greater than n. If it finds n again the memory was not
//      written by this protocol: EBADMSG. (Also after a successor: it goes on at `latest` + 1, and writes the same copy
//      that a dead predecessor may have left half written, which `latest` does not name.)
//
// One writer at a time. Writing takes a claim, a place in a group of one (group.h): a lock that the kernel lets go of
// when the claiming thread ends. A second claimant gets EBUSY; a successor of a dead writer finds the last whole value.
// A claim belongs to the thread that took it; other threads of the process may write by the handle, one at a time,
// while that thread lives.
//
// Threads. By one handle any number of threads may read, ask (sequence, words, label, find, writer_pid) and wait or
// poll at the same time. To claim, to release and to write is for one at a time, while others read and ask: they may
// not wait or poll by this handle while it is claimed or released (each may have a handle of its own). Nothing may run
// at the same time as close.
//
// Limits. 1 to 4096 words. A reader that is passed MUSTER_SEQLOCK_ATTEMPTS times in a row gives up with EAGAIN: a few
// dozen words don't come near it, thousands that are written without pause may. Sequences are 64 bits and don't wrap.
// After the machine itself stopped (power), a file has the words of the last muster_region_sync or of later ones, and
// may have a mix of them: whoever needs more uses a checkpoint. Layout, costs and the rest of the argument:
// docs/seqlock.md.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_SEQLOCK_H
#define MUSTER_SEQLOCK_H

#include <errno.h>

#include "clock.h"
#include "region.h"
#include "status.h"
#include "wait.h"

MUSTER_BEGIN_DECLS

#define MUSTER_SEQLOCK_WORDS_MAX 4096u

// The kind of its regions.
#define MUSTER_SEQLOCK_KIND MUSTER_KIND('S', 'E', 'Q', 'L')

// Bytes of a label, with the 0 at its end.
#define MUSTER_SEQLOCK_LABEL_SIZE 32

// The alignment of a seqlock that is laid into memory by its user.
#define MUSTER_SEQLOCK_ALIGNMENT 128

// How often a read begins again before it gives up.
#define MUSTER_SEQLOCK_ATTEMPTS 100000u

typedef struct muster_seqlock muster_seqlock;

typedef struct muster_seqlock_options {
  uint32_t words;            // 1 to 4096; when attaching, 0: as it is
  uint32_t flags;            // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t mode;             // as of a region
  uint32_t label_count;      // labels given; at most `words`
  uint64_t layout;           // what the words mean, as a number of yours; 0 when attaching: any
  muster_deadline deadline;  // as of a region
  // Names of the words, at most 31 bytes each (longer ones are cut), kept when creating. NULL, or an entry NULL: no
  // name.
  const char *MUSTER_NULLABLE const *MUSTER_NULLABLE labels;
  muster_mismatch *MUSTER_NULLABLE mismatch;  // filled in at EPROTO; other `words` are MUSTER_MISMATCH_LAYOUT
} muster_seqlock_options;

// What a claimant found.
typedef struct muster_seqlock_claimant {
  uint64_t sequence;  // of the newest whole value
  int32_t pid;        // at EBUSY the holder, 0 while it is just claiming; when `died`, who died; else 0
  int32_t died;       // 1: the writer before ended without releasing its claim
} muster_seqlock_claimant;

// In place: the bytes that a seqlock of `words` takes (0 for a number that can't be), and how to lay one into memory
// that no one uses as a seqlock: all words 0, sequence 0, no labels. Returns 0, EINVAL (words, alignment, too few
// bytes), ENOTSUP (no robust mutexes here).
size_t muster_seqlock_size(uint32_t words);
int muster_seqlock_init(void *MUSTER_NONNULL memory, size_t size, uint32_t words) MUSTER_MUST_CHECK;

// In place: gives a word its name (31 bytes of it) before others use the memory. Returns 0, EINVAL, EBADMSG.
int muster_seqlock_set_label(void *MUSTER_NONNULL memory, size_t size, uint32_t index,
                             const char *MUSTER_NONNULL label);

// In place: after a restart of the machine, or of all processes, before any process attaches with write permission to
// memory that was kept in a file: a fresh claim, the words as they were. Read-only handles may be there meanwhile.
// Opening by name does this. Returns 0, EINVAL, EBADMSG, ENOTSUP.
int muster_seqlock_renew(void *MUSTER_NONNULL memory, size_t size) MUSTER_MUST_CHECK;

// In place: a handle for the seqlock at `memory`, which must stay mapped until close, and writable for the first form.
// The second form stores nothing there, ever; it can't claim. Returns 0, EINVAL, ENOMEM, EBADMSG, EPROTO (version),
// ENOTSUP.
int muster_seqlock_attach(void *MUSTER_NONNULL memory, size_t size,
                          muster_seqlock *MUSTER_NULLABLE *MUSTER_NONNULL seqlock) MUSTER_MUST_CHECK;
int muster_seqlock_attach_read_only(const void *MUSTER_NONNULL memory, size_t size,
                                    muster_seqlock *MUSTER_NULLABLE *MUSTER_NONNULL seqlock) MUSTER_MUST_CHECK;

// By name: creates or attaches, as the flags say. Returns 0, EINVAL (words, labels), ENOTSUP, and what
// muster_region_open returns: EBUSY there is no writer, but somebody who is removing or renewing the region.
int muster_seqlock_open(const char *MUSTER_NONNULL name, const muster_seqlock_options *MUSTER_NONNULL options,
                        muster_seqlock *MUSTER_NULLABLE *MUSTER_NONNULL seqlock) MUSTER_MUST_CHECK;

// Releases the claim, if there is one, and lets go of the handle. Returns 0, or EBUSY when the handle was claimed on
// another thread that still lives: nothing is done then. In a forked child it lets go of the child's copy alone.
int muster_seqlock_close(muster_seqlock *MUSTER_NULLABLE seqlock);

// Reads the first `count` words as one snapshot, and the number of the write that left them (0: none yet). No lock, no
// system call, no store to the region. What is in `words` after another value than 0 is undefined.
//
// Returns 0, EINVAL (count is more than there are), EAGAIN (passed MUSTER_SEQLOCK_ATTEMPTS times by the writer),
// EBADMSG.
int muster_seqlock_read(const muster_seqlock *MUSTER_NONNULL seqlock, uint64_t *MUSTER_NONNULL words, uint32_t count,
                        uint64_t *MUSTER_NULLABLE sequence) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// Reads one word. Returns as muster_seqlock_read.
int muster_seqlock_read_word(const muster_seqlock *MUSTER_NONNULL seqlock, uint32_t index,
                             uint64_t *MUSTER_NONNULL value,
                             uint64_t *MUSTER_NULLABLE sequence) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;

// The number of the newest write: one load.
uint64_t muster_seqlock_sequence(const muster_seqlock *MUSTER_NONNULL seqlock) MUSTER_NONBLOCKING;

// Becomes the writer, on the calling thread, until that thread ends or releases.
//
// It waits for nobody, except, for a second at most, for one who was stopped while claiming or releasing. Returns 0; a
// predecessor that died is told in found->died, not as an error.
//   EBUSY    a living writer has the claim: found->pid
//   EALREADY this handle has it
//   EPROTO   made with another libc or in another pid namespace
//   EACCES   a read-only handle
//   EPERM    a handle inherited over fork
//   EBADMSG  the newest value is not whole, or the claim's place is corrupt
//   ENOLCK   this thread holds as many claims and memberships as it may (group.h)
//   ENOMEM
int muster_seqlock_claim(muster_seqlock *MUSTER_NONNULL seqlock,
                         muster_seqlock_claimant *MUSTER_NULLABLE found) MUSTER_MUST_CHECK;

// Gives the claim back. Returns 0, EINVAL (not claimed, or the thread that claimed has ended: the handle may claim
// anew), EBUSY (claimed on another thread, which lives), EPERM.
int muster_seqlock_release(muster_seqlock *MUSTER_NONNULL seqlock);

// The living writer's process: 0 and its pid, or EOWNERDEAD and the pid of one that died, or ENOENT: nobody has the
// claim; or EPERM. The pid is 0 where it is not known: of one who is just claiming, or died in that.
int muster_seqlock_writer_pid(const muster_seqlock *MUSTER_NONNULL seqlock,
                              int32_t *MUSTER_NONNULL pid) MUSTER_MUST_CHECK;

// Each of the following publishes one snapshot. Returns 0, EPERM (not claimed by this handle in this process), EINVAL
// (count or index). The claim's own copy of the newest words is kept in the process, so nothing is read back.
//   write  the first `count` words; the others stay as they are
//   set    one word
//   add    adds to one word, modulo 2^64
int muster_seqlock_write(muster_seqlock *MUSTER_NONNULL seqlock, const uint64_t *MUSTER_NONNULL words,
                         uint32_t count) MUSTER_NONBLOCKING MUSTER_MUST_CHECK;
int muster_seqlock_set(muster_seqlock *MUSTER_NONNULL seqlock, uint32_t index, uint64_t value) MUSTER_NONBLOCKING
    MUSTER_MUST_CHECK;
int muster_seqlock_add(muster_seqlock *MUSTER_NONNULL seqlock, uint32_t index, uint64_t delta) MUSTER_NONBLOCKING
    MUSTER_MUST_CHECK;

// Waits until the sequence is another than `seen`. *sequence is the newest, whatever is returned.
//
// Returns 0, ETIMEDOUT, EPERM (inherited over fork), EBADMSG, or EOWNERDEAD: the writer died, and nothing newer is
// there. Without any writer yet, or after one that released its claim, it waits for the next. After EOWNERDEAD a
// program that wants to see the successor's values calls muster_seqlock_wait_writer, then waits on.
//
// A writable handle costs the writer one system call at the first change after it went to sleep. A read-only one costs
// the writer nothing: it looks again after 1 ms, then less often, at least each 10 ms.
int muster_seqlock_wait(muster_seqlock *MUSTER_NONNULL seqlock, uint64_t seen, muster_deadline deadline,
                        uint64_t *MUSTER_NULLABLE sequence) MUSTER_MUST_CHECK;

// Waits until a living writer has the claim. Returns 0, ETIMEDOUT, EPERM, EBADMSG.
int muster_seqlock_wait_writer(muster_seqlock *MUSTER_NONNULL seqlock, muster_deadline deadline) MUSTER_MUST_CHECK;

// The same two without sleeping, for event loops: EAGAIN with the words to sleep at (wait.h).
int muster_seqlock_poll(muster_seqlock *MUSTER_NONNULL seqlock, uint64_t seen, uint64_t *MUSTER_NULLABLE sequence,
                        muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;
int muster_seqlock_poll_writer(muster_seqlock *MUSTER_NONNULL seqlock,
                               muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

uint32_t muster_seqlock_words(const muster_seqlock *MUSTER_NONNULL seqlock);

// The name of a word; "" where it has none. Returns 0, EINVAL (no such word).
int muster_seqlock_label(const muster_seqlock *MUSTER_NONNULL seqlock, uint32_t index,
                         char label[MUSTER_NONNULL MUSTER_SEQLOCK_LABEL_SIZE]);

// The first word of that name. Returns 0, ENOENT.
int muster_seqlock_find(const muster_seqlock *MUSTER_NONNULL seqlock, const char *MUSTER_NONNULL label,
                        uint32_t *MUSTER_NONNULL index) MUSTER_MUST_CHECK;

// What the words mean, as a number of whoever created it: `layout` of the options then. 0 for one attached in place.
uint64_t muster_seqlock_layout(const muster_seqlock *MUSTER_NONNULL seqlock);

// The region of a seqlock that was opened by name; NULL for one attached in place. It belongs to the handle.
muster_region *MUSTER_NULLABLE muster_seqlock_region(const muster_seqlock *MUSTER_NONNULL seqlock);

// ---- The fast paths, to be inlined. Each function above that reads or writes is one of these, out of line.

// Words from `latest` to the stamp of copy 0; each copy's words follow its stamp.
#define MUSTER_SEQLOCK_COPIES 16

// What a read needs: checked once when the handle was made, constant while it is open, for any number of threads. A
// loop that reads a lot takes a copy into a local variable, so that it stays in registers: a read is then `count` + 2
// loads.
typedef struct muster_seqlock_reader {
  const uint64_t *MUSTER_NONNULL latest;
  uint32_t stride;  // words from one copy's stamp to the other's
  uint32_t words;
} muster_seqlock_reader;

// What a write needs. `newest` is this process's own copy of the words: change any of them, then commit.
typedef struct muster_seqlock_writer {
  uint64_t *MUSTER_NONNULL latest;
  uint32_t *MUSTER_NONNULL waiting;
  uint64_t *MUSTER_NULLABLE newest;
  const uint64_t *MUSTER_NONNULL process;  // the word that fork wipes
  uint64_t token;                          // its value while this handle has the claim in this process
  uint64_t sequence;                       // of the newest write
  uint32_t stride;                         // as of a reader
  uint32_t words;
  uint32_t changed;  // the one word that the last write changed; UINT32_MAX: any
  uint32_t reserved;
} muster_seqlock_writer;

// The views of a handle. The second is of use while the handle has the claim.
const muster_seqlock_reader *MUSTER_NONNULL muster_seqlock_reader_of(const muster_seqlock *MUSTER_NONNULL seqlock);
muster_seqlock_writer *MUSTER_NONNULL muster_seqlock_writer_of(muster_seqlock *MUSTER_NONNULL seqlock);

// Wakes all who wait for a change. Not needed after a write: that does it where somebody waits.
void muster_seqlock_wake(const muster_seqlock_writer *MUSTER_NONNULL writer) MUSTER_NONBLOCKING;

// Reads `count` words from `first` on as one snapshot. Returns as muster_seqlock_read.
MUSTER_NONBLOCKING MUSTER_MUST_CHECK static inline int muster_seqlock_snapshot(
    const muster_seqlock_reader *MUSTER_NONNULL reader, uint32_t first, uint32_t count,
    uint64_t *MUSTER_NONNULL words, uint64_t *MUSTER_NULLABLE sequence) {
  if (first > reader->words || count > reader->words - first) return EINVAL;
  uint64_t number = __atomic_load_n(reader->latest, __ATOMIC_ACQUIRE);
  for (uint32_t attempt = 0; attempt < MUSTER_SEQLOCK_ATTEMPTS; attempt++) {
    const uint64_t *stamp = reader->latest + MUSTER_SEQLOCK_COPIES + (-(number & 1) & reader->stride);
    const uint64_t *from = stamp + 1 + first;
    MUSTER_UNROLL_8
    for (uint32_t i = 0; i < count; i++) words[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__builtin_expect(__atomic_load_n(stamp, __ATOMIC_RELAXED) == number, 1)) {
      if (sequence) *sequence = number;
      return 0;
    }
    // Orders the stamp before `latest`: a stamp of a later write then shows a later `latest` (argument 3 above).
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint64_t now = __atomic_load_n(reader->latest, __ATOMIC_ACQUIRE);
    if (now == number) return EBADMSG;
    number = now;
  }
  return EAGAIN;
}

// Publishes writer->newest; `changed` is the one word that differs from the last write, or UINT32_MAX: any may.
// Returns 0, EPERM.
MUSTER_NONBLOCKING MUSTER_MUST_CHECK static inline int muster_seqlock_commit_word(
    muster_seqlock_writer *MUSTER_NONNULL writer, uint32_t changed) {
  if (__builtin_expect(__atomic_load_n(writer->process, __ATOMIC_RELAXED) != writer->token, 0)) return EPERM;
  uint64_t number = writer->sequence + 1;
  uint64_t *stamp = writer->latest + MUSTER_SEQLOCK_COPIES + (number & 1) * writer->stride;
  uint64_t *to = stamp + 1;
  const uint64_t *from = writer->newest;
  uint32_t before = writer->changed;
  __atomic_store_n(stamp, ~number, __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_RELEASE);
  if (changed < writer->words && before < writer->words) {
    // The copy holds the write before the last: only what these two writes changed differs.
    __atomic_store_n(to + before, from[before], __ATOMIC_RELAXED);
    __atomic_store_n(to + changed, from[changed], __ATOMIC_RELAXED);
  } else {
    for (uint32_t i = 0; i < writer->words; i++) __atomic_store_n(to + i, from[i], __ATOMIC_RELAXED);
  }
  __atomic_store_n(stamp, number, __ATOMIC_RELEASE);
  writer->sequence = number;
  writer->changed = changed;
  // A waiter sets `waiting`, then looks at `latest`, then sleeps at the value that it saw. Clearing before the store,
  // and looking after it (both sequentially consistent, as the waiter's two), can't miss one: one that set it before
  // the second look is woken, one that set it later sees the new `latest`.
  uint32_t waited = __atomic_load_n(writer->waiting, __ATOMIC_RELAXED);
  if (__builtin_expect(waited != 0, 0)) __atomic_store_n(writer->waiting, 0u, __ATOMIC_RELAXED);
  __atomic_store_n(writer->latest, number, __ATOMIC_SEQ_CST);
  waited |= __atomic_load_n(writer->waiting, __ATOMIC_SEQ_CST);
  if (__builtin_expect(waited != 0, 0)) muster_seqlock_wake(writer);
  return 0;
}

// Publishes writer->newest, of which any words were changed. Returns 0, EPERM.
MUSTER_NONBLOCKING MUSTER_MUST_CHECK static inline int muster_seqlock_commit(
    muster_seqlock_writer *MUSTER_NONNULL writer) {
  return muster_seqlock_commit_word(writer, UINT32_MAX);
}

// Publishes `count` words from `first` on, the others unchanged. Returns 0, EPERM, EINVAL.
MUSTER_NONBLOCKING MUSTER_MUST_CHECK static inline int muster_seqlock_publish(
    muster_seqlock_writer *MUSTER_NONNULL writer, uint32_t first, uint32_t count,
    const uint64_t *MUSTER_NONNULL words) {
  if (__builtin_expect(__atomic_load_n(writer->process, __ATOMIC_RELAXED) != writer->token, 0)) return EPERM;
  if (first > writer->words || count > writer->words - first) return EINVAL;
  uint64_t *newest = writer->newest + first;
  for (uint32_t i = 0; i < count; i++) newest[i] = words[i];
  return muster_seqlock_commit_word(writer, count == 1 ? first : UINT32_MAX);
}

// Publishes one word, and a word with something added. Returns 0, EPERM, EINVAL.
MUSTER_NONBLOCKING MUSTER_MUST_CHECK static inline int muster_seqlock_publish_word(
    muster_seqlock_writer *MUSTER_NONNULL writer, uint32_t index, uint64_t value) {
  return muster_seqlock_publish(writer, index, 1, &value);
}

MUSTER_NONBLOCKING MUSTER_MUST_CHECK static inline int muster_seqlock_publish_sum(
    muster_seqlock_writer *MUSTER_NONNULL writer, uint32_t index, uint64_t delta) {
  if (__builtin_expect(__atomic_load_n(writer->process, __ATOMIC_RELAXED) != writer->token, 0)) return EPERM;
  if (index >= writer->words) return EINVAL;
  writer->newest[index] += delta;
  return muster_seqlock_commit_word(writer, index);
}

MUSTER_END_DECLS

#endif
