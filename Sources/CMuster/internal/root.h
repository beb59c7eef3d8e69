// What the parts of the root share: the root as its own process knows it, and the daemon that a child of it becomes.
//
//   root.c              laying out, start and close
//   root_map.c          where everything lies; protection
//   root_policy.c       what is to become of a daemon that ended: pure
//   root_loop.c         run: signals, times, heartbeats, the end
//   root_daemon.c       one daemon, seen from the root: its start, death, draining
//   root_child.c        one daemon, from fork to the first instruction of its `run`
//   root_self.c         what `run` calls
//   root_transaction.c  transactions
//   root_row.c, root_status.c, root_observe.c   what others see
//
// What a child has of it: the root as it was at the moment of the fork, and the parts, which nobody writes any more. The rows and what
// the root alone knows of the daemons is not forked along (MADV_DONTFORK): a child can't write it, and a fork takes no time for it.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ROOT_H
#define MUSTER_INTERNAL_ROOT_H

#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "fork.h"
#include "muster/root.h"
#include "root_layout.h"
#include "root_policy.h"
#include "root_row.h"

// What a process ends with that could not become a daemon: its memory could not be protected, or its parent was gone.
enum { ROOT_EXIT_UNPROTECTED = 125 };

typedef struct root_place {
  uint64_t arena;  // offsets in the file
  uint64_t state;  // in the arena
  uint64_t desk;   // the page behind it
  uint64_t end;
} root_place;

// What is known of a daemon from the start.
typedef struct root_part {
  muster_daemon_spec spec;
  root_place place;
  muster_arena arena;
} root_part;

// What becomes of it.
typedef struct root_daemon {
  root_policy policy;
  root_ladder ladder;
  root_facts facts;
  muster_daemon_death death;
  int64_t fork_delay;  // after a fork that failed
  int hung;            // it was killed for want of a heartbeat
} root_daemon;

typedef struct root_transaction {
  pid_t pid;           // 0: none runs
  int file;            // its pidfd
  uint64_t id;         // in the arena
  muster_transaction_body body;
  void *context;
  muster_deadline deadline;
  uint32_t tries;
  int late;            // it was decided so
  muster_transaction_outcome outcome;
} root_transaction;

struct muster_daemon {
  muster_root *root;
  uint32_t index;
  pid_t pid;
  fork_guard guard;
  const muster_arena *arena;
  root_desk *desk;
  muster_daemon_start how;
  root_transaction transaction;
  int64_t beat_every;  // while it waits; 0: no heartbeat
  int catches;         // the stop signal sets a flag
};

struct muster_root {
  muster_region *region;
  unsigned char *base;   // of the mapping, and so of the file
  uint64_t size;
  unsigned char *rows;   // its beginning once more, up to the first arena, writable; not in a child
  uint64_t rows_size;
  uint64_t page;
  dev_t device;          // which file the region's descriptor leads to
  ino_t inode;
  uint32_t count;
  pid_t pid;
  fork_guard guard;
  muster_root_options options;

  root_part *parts;
  root_daemon *daemons;  // not in a child, and so the next two
  pid_t *pids;           // of the daemons; 0: not there
  muster_deadline *due;  // when something is to be done for each; NEVER: nothing

  root_words words;      // what it tells of itself
  uint32_t unsettled;    // daemons that run, or are to run again, or are being drained
  uint32_t draining;
  uint32_t stop_next;    // stopping: the daemons below are yet to be stopped
  int ran, stopping, hurry, asked, more, result;
  muster_deadline look_at, looked_at;  // at the heartbeats
  muster_deadline floor;               // no heartbeat counts as earlier
  int64_t shortest;                    // heartbeat; 0: none is declared
  int forgave;                         // the last look raised the floor
  sigset_t signals, ignored, mask_before;
  struct sigaction child_before;
  int subreaper_before;
  struct muster_daemon self;           // a child's
};

static inline root_slot *root_slot_of(const muster_root *root, uint32_t index) {
  return (root_slot *)(void *)(root->base + ROOT_SLOTS_OFFSET + (uint64_t)index * ROOT_SLOT_SIZE);
}

// The same, for the root to write to.
static inline root_row *root_row_of(const muster_root *root, uint32_t index) {
  return &((root_slot *)(void *)(root->rows + ROOT_SLOTS_OFFSET + (uint64_t)index * ROOT_SLOT_SIZE))->row;
}

static inline root_desk *root_desk_of(const muster_root *root, uint32_t index) {
  return (root_desk *)(void *)(root->base + root->parts[index].place.desk);
}

static inline muster_deadline root_later(muster_deadline from, int64_t by) {
  return by > MUSTER_DEADLINE_NEVER - from ? MUSTER_DEADLINE_NEVER : from + by;
}

// ---- root_map.c

typedef struct root_map {
  uint64_t page, rows_size, size;
} root_map;

// Where the daemons' places are (parts NULL: not wanted), and how large the file is. Returns 0, EINVAL (a shape), EOVERFLOW.
int muster_root_map_of(const muster_daemon_spec *specs, uint32_t count, root_map *map, root_part *parts);
void muster_root_shape_of(const muster_daemon_spec *spec, muster_arena_shape *shape);

// The tables, none of them in malloc's memory. Returns 0, ENOMEM.
int muster_root_lay_tables(muster_root *root);
void muster_root_drop_tables(muster_root *root);

// In the root: all read-only, but for the rows, which it maps once more. Returns what mmap(2), mprotect(2) do.
int muster_root_protect_root(muster_root *root);

// In a child: its own place becomes writable, and the rest is sealed.
int muster_root_protect_daemon(const muster_root *root, uint32_t index);

// Large states onto huge pages, where the kernel can.
void muster_root_collapse(const muster_root *root);

// ---- root_daemon.c

void muster_root_publish(muster_root *root, uint32_t index);
void muster_root_publish_self(muster_root *root);
void muster_root_start_daemon(muster_root *root, uint32_t index);

// A child that waitid(2) told to be dead, and is not yet reaped.
void muster_root_child_died(muster_root *root, const siginfo_t *info);
void muster_root_drain(muster_root *root);
void muster_root_kill(const muster_root *root, uint32_t index);
void muster_root_kill_hung(muster_root *root, uint32_t index);
void muster_root_reset_ladder(muster_root *root, uint32_t index);
uint32_t muster_root_index_of(const muster_root *root, pid_t pid);

// ---- root_loop.c

void muster_root_begin_stop(muster_root *root);
void muster_root_expect_beat(muster_root *root, muster_deadline by);

// ---- root_child.c

// In the root, before the first fork: what a child calls, to no effect.
void muster_root_rehearse(const muster_root *root);
// Makes this process, a child of the root, the daemon that root->self names; main runs it then. Where that can't be, the process ends.
void muster_root_child_begin(muster_root *root);
__attribute__((noreturn)) void muster_root_child_main(muster_root *root);
int muster_root_mseal(void *address, size_t size);

// ---- root_status.c

// Fills in all that row, desk and arena tell. EAGAIN, EBADMSG: the row.
int muster_root_status_of(const root_slot *slot, const root_desk *desk, const muster_arena *arena,
                          muster_daemon_status *status);

// ---- root_self.c

int muster_root_stop_seen(const muster_daemon *self);
int muster_root_wait(muster_daemon *self, int file, muster_deadline until);

#endif
