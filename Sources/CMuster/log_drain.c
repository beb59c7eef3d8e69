// The drain: gathers a batch, says what it is about to write, writes it, says that it has.
//
// What a death at each place leaves, and what the next drain makes of it, is in log_drain.h; the marks are in log_mark.c.
// SPDX-License-Identifier: Apache-2.0
#include "muster/log_drain.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal/caller.h"
#include "internal/crc32c.h"
#include "internal/futex.h"
#include "internal/group.h"
#include "internal/log_drain.h"
#include "internal/region_file.h"

// How soon a write that failed is tried again by who waits; how often files are looked through for old ones.
enum { RETRY = 100000000, PRUNE_EACH = 60 };

// How many of a file's last bytes tell that it is the one that was written: a new file may have the inode of one that was deleted.
enum { TAIL = 64 };

// Room for one more record is kept, so that each that was begun is gathered whole.
enum { BATCH = LOG_STAGE - MUSTER_LOG_FORMATTED_MAX };

struct muster_log_drain {
  muster_log *log;
  fork_guard guard;
  muster_group *group;
  muster_log_reader *reader;
  muster_log_drain_options options;  // `folder`, `name` and what the filter points to are not used any more
  log_files files;
  log_marked marked;                 // as it was stored last, or, while it is not yet `committed`, will be
  uint32_t gathered;                 // bytes that are staged
  uint32_t written;                  // of them, by this drain
  int committed;                     // the shared mark tells of them, and of this file
  int failed;                        // writing them did, or they were more than a descriptor takes by now
  int to_files;
  uint64_t batch;                    // records in it
  uint64_t passed;                   // of the reader, when the last mark was stored
  int64_t pruned;
};

static int64_t seconds_now(void) { return (int64_t)time(NULL); }

static log_drain_owner *owner_in(const muster_log *log) { return log_part(log, log_owner_offset()); }

// ---- One at a time

static int attach_group(const muster_log *log, muster_group **group) {
  int status = muster_group_attach(log_part(log, log_drains_offset()), log_drains_size(), group);
  if (status) return status == EPROTO ? EBADMSG : status;
  if (muster_group_capacity(*group) == 1) return 0;
  (void)muster_group_close(*group);
  *group = NULL;
  return EBADMSG;
}

static int take_over(muster_log_drain *drain, int32_t *pid) {
  int status = attach_group(drain->log, &drain->group);
  if (status) return status;
  uint32_t place;
  status = muster_group_join(drain->group, &place);
  if (status == EOVERFLOW) {
    if (muster_group_holder(drain->group, &owner_in(drain->log)->pid, pid)) *pid = 0;
    return EBUSY;
  }
  if (!status) __atomic_store_n(&owner_in(drain->log)->pid, (uint32_t)getpid(), __ATOMIC_RELEASE);
  return status;
}

// ---- What the drain before left

static uint32_t stage_check(const muster_log *log, uint32_t size) { return muster_crc32c(0, log_stage(log), size); }

static int is_staged_whole(const muster_log *log, const log_mark *mark) {
  return mark->staged <= LOG_STAGE && mark->stage_check == stage_check(log, mark->staged);
}

// Back to before the batch, whose records are read again: where its bytes are of no use here. They are taken all the same
// when there is no way back, unless they are not even whole. Before the first mark nothing was drained.
static void take_back(muster_log_drain *drain) {
  log_marked before = {0};
  if (drain->marked.mark.sequence == 1 ||
      (muster_log_mark_before(drain->log, drain->marked.mark.sequence, &before) && !before.mark.staged))
    drain->marked = before;
  else if (!is_staged_whole(drain->log, &drain->marked.mark))
    drain->marked.mark.staged = 0;
}

static int has_tail(const muster_log_drain *drain) {
  const log_mark *mark = &drain->marked.mark;
  unsigned char tail[TAIL];
  if (mark->tail > TAIL || mark->tail > mark->length) return 0;
  ssize_t got = pread(drain->files.file, tail, mark->tail, (off_t)(mark->length - mark->tail));
  return got == (ssize_t)mark->tail && muster_crc32c(0, tail, mark->tail) == mark->tail_check;
}

static int is_same_target(const muster_log_drain *drain) {
  return drain->to_files && drain->marked.mark.file && drain->marked.mark.target == drain->files.target;
}

// The file that the mark tells of, cut to what was in it for certain. Not one that was deleted, moved, cut or written by
// somebody else: that stays as it is, and a new one is begun.
static int reopen(muster_log_drain *drain) {
  log_mark *mark = &drain->marked.mark;
  if (!is_same_target(drain)) return 0;
  int status = muster_log_files_reopen(&drain->files, mark->file, mark->device, mark->inode);
  if (status) return status == ESTALE ? 0 : status;
  uint64_t device, inode, size = 0;
  status = muster_log_files_identity(&drain->files, &device, &inode, &size);
  if (status) return status;
  if (size < mark->length || !has_tail(drain)) return muster_log_files_close_file(&drain->files), 0;
  return size > mark->length && ftruncate(drain->files.file, (off_t)mark->length) ? errno : 0;
}

// What is staged is to be written into the file that is open, whose lines have its form.
static int is_for_this_file(const muster_log_drain *drain) {
  return drain->files.file >= 0 && !drain->marked.mark.descriptor;
}

// Where nothing was ever drained it begins at the beginning of all, so that what is gone by now is told.
static int recover(muster_log_drain *drain) {
  log_mark *mark = &drain->marked.mark;
  if (!muster_log_mark_newest(drain->log, &drain->marked)) return drain->marked = (log_marked){0}, 0;
  int status = reopen(drain);
  if (status) return status;
  int of_use = is_for_this_file(drain) || mark->format == drain->options.format;
  if (mark->staged && (!of_use || !is_staged_whole(drain->log, mark))) {
    take_back(drain);
    // It may be of the file before.
    muster_log_files_close_file(&drain->files);
    status = reopen(drain);
    if (status) return status;
  }
  // One who died between making a new file and its mark has led there.
  if (drain->files.file >= 0) muster_log_files_lead(&drain->files);
  drain->gathered = mark->staged;
  drain->committed = mark->staged && is_for_this_file(drain);
  return 0;
}

// ---- Opening

static int are_options(const muster_log_drain_options *options) {
  int to_files = options->folder != NULL;
  if (to_files ? !options->name : options->descriptor < 0) return 0;
  uint32_t known = MUSTER_LOG_FORMAT_JSON | MUSTER_LOG_FORMAT_COLOUR | MUSTER_LOG_FORMAT_LOCAL;
  if (options->format & ~known || options->flags & ~(uint32_t)MUSTER_LOG_DRAIN_SYNC) return 0;
  if (options->format & MUSTER_LOG_FORMAT_COLOUR && (to_files || options->format & MUSTER_LOG_FORMAT_JSON)) return 0;
  return options->rotate_seconds >= 0 && options->keep_seconds >= 0;
}

static int open_reader(muster_log_drain *drain) {
  muster_log_position position = {.count = drain->log->places};
  memcpy(position.places, drain->marked.places, sizeof position.places);
  return muster_log_reader_open(drain->log,
                                &(muster_log_reader_options){.from = MUSTER_LOG_AT,
                                                             .hold = drain->options.hold,
                                                             .position = &position,
                                                             .filter = drain->options.filter},
                                &drain->reader);
}

static int set_up(muster_log_drain *drain, int32_t *pid) {
  int status = 0;
  if (drain->to_files)
    status = muster_log_files_open(drain->options.folder, drain->options.name, drain->options.permissions, &drain->files);
  if (!status) status = take_over(drain, pid);
  if (status) return status;
  status = recover(drain);
  return status ? status : open_reader(drain);
}

static void let_go(muster_log_drain *drain) {
  muster_log_reader_close(drain->reader);
  if (drain->group && !muster_fork_inherited(&drain->guard) && drain->group->member != GROUP_NOBODY) {
    // Before the place is left: after that another may have stored its own. Not by one who has lost it.
    if (!muster_group_was_lost(drain->group)) __atomic_store_n(&owner_in(drain->log)->pid, 0u, __ATOMIC_RELEASE);
    (void)muster_group_leave(drain->group);
  }
  (void)muster_group_close(drain->group);
  muster_log_files_close(&drain->files);
  __atomic_fetch_sub(&drain->log->users, 1, __ATOMIC_RELEASE);
  free(drain);
}

int muster_log_drain_open(muster_log *log, const muster_log_drain_options *options, muster_log_drain **drain,
                          int32_t *pid) {
  int32_t unused;
  if (!pid) pid = &unused;
  *pid = 0;
  *drain = NULL;
  if (muster_fork_inherited(&log->guard)) return EPERM;
  if (!are_options(options)) return EINVAL;
  if (log->read_only) return EACCES;
  muster_caller caller = muster_enter();
  muster_log_drain *made = calloc(1, sizeof *made);
  if (!made) return muster_leave(caller), ENOMEM;
  made->log = log;
  made->guard = log->guard;
  made->options = *options;
  made->to_files = options->folder != NULL;
  made->files.folder = made->files.file = -1;
  __atomic_fetch_add(&log->users, 1, __ATOMIC_RELAXED);
  int status = set_up(made, pid);
  if (status) let_go(made);
  else *drain = made;
  muster_leave(caller);
  return status;
}

int muster_log_drain_close(muster_log_drain *drain) {
  if (!drain) return 0;
  if (!muster_fork_inherited(&drain->guard) && !muster_group_was_lost(drain->group) &&
      (uint32_t)syscall(SYS_gettid) != drain->group->thread)
    return EBUSY;
  muster_caller caller = muster_enter();
  let_go(drain);
  muster_leave(caller);
  return 0;
}

// ---- Gathering

// The present file is full, or of a time that is over, or of another format.
static int is_rotation_due(const muster_log_drain *drain) {
  const log_mark *mark = &drain->marked.mark;
  const muster_log_drain_options *options = &drain->options;
  if (drain->files.file < 0 || !mark->length) return 0;
  if (mark->file_format != options->format) return 1;
  if (options->rotate_bytes && mark->length >= options->rotate_bytes) return 1;
  return options->rotate_seconds && seconds_now() / options->rotate_seconds > mark->began / options->rotate_seconds;
}

// How many bytes to gather before it is enough.
static uint64_t room_for(const muster_log_drain *drain, int in_new_file) {
  uint64_t most = drain->options.rotate_bytes, length = in_new_file ? 0 : drain->marked.mark.length;
  if (!drain->to_files || !most) return BATCH;
  uint64_t room = most > length ? most - length : 1;
  return room < BATCH ? room : BATCH;
}

static void note_position(muster_log_drain *drain) {
  muster_log_position position;
  muster_log_reader_position(drain->reader, &position);
  memcpy(drain->marked.places, position.places, position.count * sizeof *position.places);
  drain->passed = muster_log_passed(drain->reader);
}

static int gather(muster_log_drain *drain, int all, int in_new_file) {
  char *stage = (char *)log_stage(drain->log);
  uint64_t room = room_for(drain, in_new_file || drain->files.file < 0);
  muster_log_record record;
  int status = 0;
  drain->batch = 0;
  while (drain->gathered < room && !(status = muster_log_advance(drain->reader, all, &record))) {
    size_t left = LOG_STAGE - drain->gathered;
    size_t size = muster_log_format_record(&record, drain->options.format, stage + drain->gathered, left);
    if (size > left) continue;
    drain->gathered += (uint32_t)size;
    drain->batch += record.kind == MUSTER_LOG_WRITTEN;
    drain->marked.mark.lost += record.lost;
  }
  drain->marked.mark.records += drain->batch;
  return status == EAGAIN ? 0 : status;
}

// Records that nobody asked for were passed: a successor need not be told that they were lost.
static void note_passed(muster_log_drain *drain) {
  if (muster_log_passed(drain->reader) == drain->passed) return;
  note_position(drain);
  muster_log_mark_store(drain->log, &drain->marked);
}

// ---- Writing

// The same for what somebody did to the file while it was open. Lines that were cut off behind what was marked are written again.
static void watch_file(muster_log_drain *drain) {
  const log_mark *mark = &drain->marked.mark;
  uint64_t size;
  if (drain->files.file < 0) return;
  int status = muster_log_files_look(&drain->files, mark->device, mark->inode, &size);
  if (status == ESTALE || (!status && size < mark->length)) {
    muster_log_files_close_file(&drain->files);
    drain->committed = 0;
    drain->written = 0;
  } else if (!status && size < mark->length + drain->written) {
    drain->written = 0;
  }
}

static int ensure_file(muster_log_drain *drain) {
  log_mark *mark = &drain->marked.mark;
  if (!drain->to_files || drain->files.file >= 0) return 0;
  int status = muster_log_files_create(&drain->files, mark->target == drain->files.target ? mark->file : 0);
  uint64_t size;
  if (!status) status = muster_log_files_identity(&drain->files, &mark->device, &mark->inode, &size);
  // Its name, too, or the file is lost with the power.
  if (!status && drain->options.flags & MUSTER_LOG_DRAIN_SYNC && fsync(drain->files.folder) && errno != EINVAL && errno != EROFS)
    status = errno;
  if (status) return muster_log_files_close_file(&drain->files), status;
  mark->target = drain->files.target;
  mark->file = drain->files.number;
  mark->length = 0;
  mark->tail = 0;
  mark->tail_check = 0;
  mark->began = seconds_now();
  mark->file_format = drain->options.format;
  drain->committed = 0;
  drain->pruned = 0;
  return 0;
}

static void commit_stage(muster_log_drain *drain, int recovered) {
  log_mark *mark = &drain->marked.mark;
  mark->staged = drain->gathered;
  mark->stage_check = stage_check(drain->log, drain->gathered);
  mark->format = drain->options.format;
  mark->descriptor = !drain->to_files;
  if (!recovered) note_position(drain);
  muster_log_mark_store(drain->log, &drain->marked);
  drain->committed = 1;
}

static int write_stage(muster_log_drain *drain) {
  const unsigned char *stage = log_stage(drain->log);
  while (drain->written < drain->gathered) {
    const unsigned char *from = stage + drain->written;
    size_t left = drain->gathered - drain->written;
    ssize_t wrote = drain->to_files ? pwrite(drain->files.file, from, left, (off_t)(drain->marked.mark.length + drain->written))
                                    : write(drain->options.descriptor, from, left);
    if (wrote < 0 && errno != EINTR) return errno == EWOULDBLOCK ? EAGAIN : errno;
    if (wrote > 0) drain->written += (uint32_t)wrote;
    // What a file of no more room may say instead of an error.
    if (wrote == 0) return ENOSPC;
  }
  int descriptor = drain->to_files ? drain->files.file : drain->options.descriptor;
  // Pipes and terminals have no disk.
  if (!(drain->options.flags & MUSTER_LOG_DRAIN_SYNC) || !fdatasync(descriptor) || errno == EINVAL || errno == EROFS) return 0;
  // What could not be written back may be gone from the cache, and the next fdatasync knows nothing of it.
  if (drain->to_files) drain->written = 0;
  return errno;
}

static void commit_written(muster_log_drain *drain) {
  log_mark *mark = &drain->marked.mark;
  if (drain->to_files) {
    mark->length += drain->gathered;
    mark->tail = drain->gathered < TAIL ? drain->gathered : TAIL;
    mark->tail_check = muster_crc32c(0, log_stage(drain->log) + drain->gathered - mark->tail, mark->tail);
  }
  mark->staged = mark->stage_check = 0;
  drain->gathered = drain->written = 0;
  drain->committed = 0;
  muster_log_mark_store(drain->log, &drain->marked);
}

static void prune(muster_log_drain *drain) {
  int64_t now = seconds_now();
  if (!drain->to_files || (drain->pruned && now >= drain->pruned && now - drain->pruned < PRUNE_EACH)) return;
  drain->pruned = now;
  muster_log_files_prune(&drain->files, (log_keep){drain->options.keep_files, drain->options.keep_seconds});
}

static int step(muster_log_drain *drain, int all, uint64_t *records) {
  int recovered = drain->marked.mark.staged != 0;
  if (!drain->gathered) {
    recovered = 0;
    int due = is_rotation_due(drain), status = gather(drain, all, due);
    if (status) return status;
    if (!drain->gathered) return prune(drain), note_passed(drain), EAGAIN;
    if (due) muster_log_files_close_file(&drain->files);
  }
  watch_file(drain);
  int status = ensure_file(drain);
  if (status) return status;
  if (!drain->committed) commit_stage(drain, recovered);
  status = write_stage(drain);
  if (status) return status;
  commit_written(drain);
  *records = drain->batch;
  prune(drain);
  return 0;
}

int muster_log_drain_step(muster_log_drain *drain, uint32_t flags, uint64_t *records) {
  uint64_t unused;
  if (!records) records = &unused;
  *records = 0;
  if (muster_fork_inherited(&drain->guard)) return EPERM;
  if (muster_group_was_lost(drain->group)) return EOWNERDEAD;
  muster_caller caller = muster_enter();
  int status = step(drain, (flags & MUSTER_LOG_DRAIN_ALL) != 0, records);
  drain->failed = status && drain->gathered;
  muster_leave(caller);
  return status;
}

// ---- Waiting

int muster_log_drain_poll(muster_log_drain *drain, muster_wait_set *set) {
  if (muster_fork_inherited(&drain->guard)) return EPERM;
  if (!drain->gathered) return muster_log_poll(drain->reader, set);
  if (!drain->failed) return 0;
  set->count = 0;
  set->recheck = muster_deadline_after(RETRY / 10);
  muster_wait_set_add(set, drain->log->level, __atomic_load_n(drain->log->level, __ATOMIC_RELAXED));
  return EAGAIN;
}

// What could not be written is tried again when the descriptor takes something, or after a while.
static int wait_to_retry(muster_log_drain *drain, muster_deadline deadline) {
  muster_deadline retry = muster_deadline_after(RETRY);
  if (drain->to_files) return muster_region_sleep_until(retry < deadline ? retry : deadline), 0;
  struct pollfd descriptor = {.fd = drain->options.descriptor, .events = POLLOUT};
  int ready = 0;
  while (ready <= 0 && !muster_deadline_passed(deadline)) {
    int64_t left = deadline == MUSTER_DEADLINE_NEVER ? RETRY : deadline - muster_clock_now();
    // It may have passed since; of a negative time poll waits for ever.
    left = left < 0 ? 0 : left > RETRY ? RETRY : left;
    ready = poll(&descriptor, 1, (int)(left / 1000000) + 1);
  }
  return ready > 0 ? 0 : ETIMEDOUT;
}

int muster_log_drain_wait(muster_log_drain *drain, muster_deadline deadline) {
  if (muster_fork_inherited(&drain->guard)) return EPERM;
  if (!drain->gathered) return muster_log_wait(drain->reader, deadline);
  if (!drain->failed) return 0;
  muster_caller caller = muster_enter();
  int status = wait_to_retry(drain, deadline);
  muster_leave(caller);
  return status;
}

int muster_log_drain_run(muster_log_drain *drain, muster_deadline deadline) {
  for (;;) {
    int status = muster_log_drain_step(drain, 0, NULL);
    if (status && status != EAGAIN) return status;
    if (muster_deadline_passed(deadline)) return ETIMEDOUT;
    if (status) status = muster_log_drain_wait(drain, deadline);
    if (status) return status;
  }
}

// ---- What is known of it

const char *muster_log_drain_path(const muster_log_drain *drain) {
  return drain->to_files && drain->files.file >= 0 ? drain->files.path : NULL;
}

int muster_log_look_drain(const muster_log *log, muster_log_drain_state *state) {
  *state = (muster_log_drain_state){.life = ENOENT};
  if (muster_fork_inherited(&log->guard)) return EPERM;
  muster_group *group;
  int status = attach_group(log, &group);
  if (status) return status;
  state->life = muster_group_holder(group, &owner_in(log)->pid, &state->pid);
  (void)muster_group_close(group);
  log_marked marked;
  if (!muster_log_mark_newest(log, &marked)) return 0;
  state->records = marked.mark.records;
  state->lost = marked.mark.lost;
  state->file = marked.mark.file;
  state->length = marked.mark.length;
  state->staged = marked.mark.staged;
  return 0;
}
