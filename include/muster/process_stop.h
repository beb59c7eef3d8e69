// Ending a process with all that it has started: politely, then by SIGKILL, and telling who would not die.
//
//   muster_process_stop_options patience = {.grace = muster_deadline_after(5 * second), .deadline = muster_deadline_after(7 * second)};
//   muster_process_stop_report report;
//   switch (muster_process_stop(&worker, &patience, &report)) {
//     case 0: break;                                  // nobody of it lives; worker.end says how it ended
//     case EBUSY: report.left, report.pids; break;    // these would not die by the deadline
//   }
//
// Who belongs to a process. With a cgroup of its own: who is in it, and the kernel knows. Else, of the processes that /proc shows to have been
// started after it,
//   1. itself;
//   2. who is in the group, or session, that it was made to lead. Its number stands for them as long as it is not reaped, and this
//      reaps it last;
//   3. who descends from it, or from one found before, by living parents;
//   4. who has its number in the MUSTER_TREE of his environment, as that was when he was executed: whatever group and session he has, and whoever is
//      his parent by now.
// So one escapes who has left the group, *and* whose parents up to it have died before anybody looked, *and* who was never executed with, or has wiped
// out, that part of the environment (or is of a user whose environment can't be read). A cgroup catches him as well.
//
// Why the right ones are killed. Each is looked at, opened by pidfd, looked at again: the same start time, still one of them. Only then is
// it signalled, through that descriptor. What became of its number meanwhile doesn't matter. Who is the leader's pid's group by number
// only, after the leader was reaped, is not counted.
//
// Why none is left. The search goes on until one finds nobody, after all that were found before have ended: who was forked before its parent was
// killed is there to be seen by the next one. Zombies count as dead, whether or not somebody reaps them; those of them that are children of
// this process (it is their subreaper) are reaped, by their pidfds; those that had ended before anybody looked are for
// muster_process_reap_orphans. A process that forks faster than it is killed, one that sleeps in the kernel
// (state D), and one that may not be signalled end the search at the deadline: they are told.
//   One that forks and ends at once, for ever, is gone whenever its file in /proc is opened. But the kernel gives numbers in order, and
// tells the last (/proc/loadavg). So each number that was given since a look began is looked at, too, the newest first, pinned by a pidfd and
// signalled at once, until none was given during two looks in a row: whoever lives then has an older number, and was to be seen. A storm
// that is faster than that is not caught without a group or cgroup, but never taken for ended: EBUSY at the deadline. What is left is
// who gives himself a number out of order (clone3(2), set_tid), which takes privileges.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_PROCESS_STOP_H
#define MUSTER_PROCESS_STOP_H

#include "process.h"

MUSTER_BEGIN_DECLS

// How many of those who would not die are named.
#define MUSTER_PROCESS_LEFT_MAX 16

typedef enum MUSTER_OPTION_SET muster_process_stop_flags {
  MUSTER_PROCESS_STOP_FIRST = 1,  // the polite signal goes to the process alone, which tells the others
} muster_process_stop_flags;

typedef struct muster_process_stop_options {
  int32_t signal;            // the polite one; 0: SIGTERM. SIGCONT follows it, so that who was stopped can act on it
  uint32_t flags;            // muster_process_stop_flags
  muster_deadline grace;     // until then they may end by themselves; MUSTER_DEADLINE_NOW: SIGKILL at once
  muster_deadline deadline;  // until then SIGKILL must have worked. Not before `grace`; MUSTER_DEADLINE_NOW (or earlier than grace): grace and 2 s
} muster_process_stop_options;

typedef struct muster_process_stop_report {
  uint32_t found;   // processes that were signalled, each counted once but for trees of more than 256
  uint32_t killed;  // SIGKILLs that were sent; with a cgroup, 1 for all of it
  uint32_t reaped;  // orphans of it that this process has inherited, as a subreaper or init, and reaped
  uint32_t left;    // that lived at the deadline
  int32_t pids[MUSTER_PROCESS_LEFT_MAX];  // the first of them
  uint32_t cgroup;  // 1: by its cgroup
  uint32_t reserved;
} muster_process_stop_report;

// Ends it and its tree. *report may be NULL. Returns 0: nobody of it lives, the process is reaped (if it was ours) and its
// end is in process->end, its cgroup is removed; EBUSY: some would not die, or (left 0) processes come and go too fast for it to be known; EINVAL: the handle holds nothing, or no such signal. EMFILE, ENFILE,
// ENOENT (no /proc, or another pid namespace's), EACCES: others could not be looked for (who is known has his grace nevertheless); the process and the group that it leads have been sent SIGKILL nevertheless.
// Who ended and was waited for before can have left a tree behind: it is ended all the same, by 3 and 4.
int muster_process_stop(muster_process *MUSTER_NONNULL process, const muster_process_stop_options *MUSTER_NONNULL options,
                        muster_process_stop_report *MUSTER_NULLABLE report) MUSTER_MUST_CHECK;

// Makes this process the one that inherits the orphans below it (PR_SET_CHILD_SUBREAPER), instead of init. It has to reap them then.
// Returns 0 or the error of prctl(2).
int muster_process_become_subreaper(void) MUSTER_MUST_CHECK;

// Reaps all children of this process that have ended, but those of the `count` handles: for a subreaper all of whose own children
// are started by Muster. (An orphan that has ended can't be told from a child of its own: one that was started by other means,
// system(3) for example, would be reaped too.) *reaped, which may be NULL, is how many. Returns 0, or why /proc can't be read: EMFILE, ENFILE, ENOENT.
int muster_process_reap_orphans(const muster_process *MUSTER_NULLABLE const *MUSTER_NULLABLE mine, size_t count,
                                uint32_t *MUSTER_NULLABLE reaped) MUSTER_MUST_CHECK;

MUSTER_END_DECLS

#endif
