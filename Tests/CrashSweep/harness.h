// The harness behind sweep.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef HARNESS_H
#define HARNESS_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "sweep.h"

// What the survivor is told to do; it answers with the same number in sweep->reply.
enum { COMMAND_SETUP = 1, COMMAND_MEANWHILE = 2, COMMAND_CHECK = 3 };

// The exit status of a process whose check failed.
enum { FAILED_STATUS = 99 };

enum { JOBS_MAX = 64 };

#define SWEEP_PREFIX "muster-sweep-"

// sweep->failed: 0, or this while the text is being written, or the verdict.
#define FAILURE_BEGUN UINT32_MAX

// The addresses of the operation's instructions, in the order in which they ran; one more than there are instructions,
// the last being where operate returned to.
typedef struct sweep_trace {
  uintptr_t *at;
  uint32_t points;
  uint32_t *visit;  // for each point, which visit of its address it is, from 1
} sweep_trace;

// What was found at the points of a case, by one injection.
typedef struct sweep_tally {
  uint32_t points;  // instructions in the operation
  uint32_t tried, before, after;
  uint32_t slow;    // checks that took longer than 0.9 s: the sleeper's own look once a second may have saved them
  uint32_t skipped;  // 1: here it can't be swept
  int64_t took;     // nanoseconds
  sweep_verdict verdict;
  uint32_t failed_at;
  char text[2048];
} sweep_tally;

// A case on its way through the workers. One worker takes all of its points, or each one part of them: a part has to
// record the operation anew, which takes longer than a sample of its points.
typedef struct sweep_item {
  const sweep_case *of;
  uint32_t ways;               // of sweep_injection: those that the workers try
  uint32_t parts, dealt, back;  // how many there are, were given to a worker, came back
  sweep_tally sums[2];         // of crash, of stall
} sweep_item;

typedef struct sweep_choice {
  int all;
  uint32_t sample;  // 0: as the case says
  int brief;        // at most SWEEP_BRIEF points and both sides of SWEEP_BRIEF_CALLS system calls, whatever the case says
  uint64_t seed;
  int64_t at;       // one point; -1: many
  uint32_t jobs;
  int plain;        // go to each point by single steps alone
} sweep_choice;

// stepper.c. Each returns SWEEP_OK or what went wrong, with the text in `why`. A process stopped at the entry of
// operate; single steps from there on.
sweep_verdict stepper_start(pid_t pid, uintptr_t entry, uintptr_t *back);
sweep_verdict stepper_record(pid_t pid, uintptr_t back, sweep_trace *trace);
sweep_verdict stepper_run_to(pid_t pid, const sweep_trace *trace, uint32_t point, int plain);
int stepper_result(pid_t pid);
void stepper_registers(pid_t pid, uintptr_t *at, uintptr_t *stack);  // of a stopped process
void stepper_let_go(pid_t pid);
extern char stepper_why[512];
int stepper_is_system_call(uintptr_t at);
enum { STEPS_MAX = 1 << 20 };

// run.c. One run of a case, from fresh processes to none.
sweep_verdict run_record(const sweep_case *sweep_of, sweep_trace *trace, char *why, size_t size);
sweep_verdict run_point(const sweep_case *sweep_of, sweep_injection injection, const sweep_trace *trace, uint32_t point,
                        int plain, char *why, size_t size);
extern int64_t run_check_time;  // of the last check, in nanoseconds

// worker.c. Sweeps, in a process of its own, the points of the case that fall to part `part` of `parts`, by each injection of
// `ways`; tallies are of crash and of stall.
void worker_sweep(const sweep_case *sweep_of, uint32_t ways, const sweep_choice *choice, uint32_t part, uint32_t parts,
                  sweep_tally tallies[2]);

// dealer.c. Gives the items to workers, and those that are whole to `done`, in their order, until the last or until it is
// interrupted. `folder` is for files. 0, or an errno value.
int dealer_sweep(sweep_item *items, size_t count, const sweep_choice *choice, const char *folder,
                 void (*done)(const sweep_item *item));
extern volatile sig_atomic_t dealer_interrupted;
extern uint32_t dealer_isolated;  // whether every worker had its own namespaces

// isolation.c
int isolation_inner(void);
int isolation_outer(char **arguments);     // runs this program again, made steady; returns its exit status
void isolation_enter(const char *folder);  // /dev/shm, message queues, `folder` and pids of one's own, where that is permitted
extern int isolated;                       // whether it was
void isolation_fix_stat(pid_t pid);        // makes a process's /proc/PID/stat the same in each run
void isolation_next_pid(pid_t pid);       // the pid that the next fork gets, where that can be chosen

// processes.c
char harness_state(pid_t pid);  // the letter of /proc/PID/stat; 0: no such process
void harness_where(pid_t pid, char *text, size_t size);
void harness_wake(uint32_t *word);
void harness_wait(uint32_t *word, uint32_t while_it_is, int64_t nanoseconds);
void harness_kill_children(const pid_t *but, size_t count);  // all of this process's own, but those
void harness_end_children(void);                            // all, seen gone
// How many entries a folder has, of those that begin with the prefix (NULL: any); *text is the first; removes them if
// asked.
int harness_look(const char *folder, const char *prefix, char *text, size_t size, int remove_it);

// symbols.c
void symbols_name(uintptr_t at, char *text, size_t size);
void symbols_point(const sweep_trace *trace, uint32_t point, char *text, size_t size);
int symbols_is_ours(uintptr_t at);

#endif
