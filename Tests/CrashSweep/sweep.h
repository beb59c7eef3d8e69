// The crash sweep: what happens to the others when a process dies, or stops, after each single instruction.
//
// Muster promises that any process may die or stop at any instruction. A test that kills at random moments meets the
// window of three instructions that matters once in a million runs. The sweep meets it always: it runs one operation
// under ptrace(2), one instruction at a time, and tries every instruction of it as the last one.
//
// A case is three functions, and a few that some operations need:
//
//   setup      in the survivor, a process that goes on: makes the world as it is before the operation prepare    in
//   the operator, unobserved: what the operation itself is not about (opening the object, warming up) operate    in
//   the operator, one instruction at a time meanwhile  in the survivor, while the operator is stopped: what must not
//   depend on it, and has to end; then several
//              foreign commits, so that the operator goes on in a world that has moved
//   finish     in the operator, after operate and when the check asks for it: closing what prepare opened check in the
//   survivor: the state is the one before or the one after, nobody hangs, a newcomer can use all of
//              it, and nothing is left behind
//
// With n instructions in the operation there are n + 1 points, from 0 (before the first) to n (operate has returned).
// At each point k, in fresh processes:
//
//   crash   the operator is killed (SIGKILL) after instruction k; then check stall   the operator stays stopped after
//   instruction k; then meanwhile; then it goes on and returns; then check,
//           with its result in sweep->result
//
// Survivor and operator are forked from one image for each point, so statics of a case's file start anew each time,
// and are the survivor's (setup, meanwhile, check) or the operator's (prepare, operate, finish), never shared. What is
// shared lies in sweep->arena, which is zeroed before each point, or behind sweep_name() and sweep_path(). The
// operator is no child of the survivor and inherits no descriptor and no lock from it.
//
// The same instructions every time. The point k means something only if the operation takes the same path each time.
// So address randomisation is off, the vDSO is hidden (its clock may loop; a system call is one step), symbols are
// bound at start, the pids are the same in each run, MUSTER_SPIN is 0; the operation is recorded twice, and a case
// whose two recordings differ in one address fails; and at each point the address must be the recorded one.
//
// A failing check (SWEEP_CHECK and its like, in any process of the run) ends the run with its text. The harness then
// tells the point, the function and the offset in it, and the command that tries this one point again.
// docs/crash-sweep.md has the rest.
// SPDX-License-Identifier: Apache-2.0
#ifndef SWEEP_H
#define SWEEP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum sweep_injection { SWEEP_CRASH = 1, SWEEP_STALL = 2 } sweep_injection;

// How a sweep of a case can end.
typedef enum sweep_verdict {
  SWEEP_OK = 0,
  SWEEP_WRONG,     // a check failed
  SWEEP_HANGS,     // setup, meanwhile, check, or the operation itself was not done by its deadline
  SWEEP_LEFT,      // a file or shared memory object was left behind
  SWEEP_DIES,      // a process ended that should not have
  SWEEP_UNSTEADY,  // the operation took another path the second time
  SWEEP_TOO_FEW,   // fewer points were tried than the case's minimum
  SWEEP_BROKEN,    // the harness itself could not go on
} sweep_verdict;

typedef struct sweep_case {
  const char *name;       // module.operation-circumstance
  uint32_t minimum;       // the sweep fails when it tried fewer points than this; at least 1
  void (*setup)(void);
  void (*prepare)(void);  // may be NULL
  int (*operate)(void);
  void (*meanwhile)(void);  // NULL: no stall injection
  void (*finish)(void);   // may be NULL
  void (*check)(void);
  uint32_t seconds;       // deadline of each of the functions; 0: 30 s
  uint32_t injections;    // of sweep_injection; 0: all that the functions allow
  uint32_t sample;        // points to try when neither --all nor --sample is given; 0: SWEEP_WHOLE decides
  uint32_t variant;       // for functions that serve several cases: what they find in sweep->variant
  int rechecks;           // 1: sleepers may owe their wake to their own look once a second; else that never comes
  int race;               // 1: what a peer does may come before or after a step of the operator, whose path differs then. One
                          // worker sweeps it, whose recording stands
  int children;           // 1: the operation makes processes, which would run into its breakpoints: points are gone to by single steps
  int looks;              // 1: the operation looks at all processes: it is swept only where a worker has pids of its own
  sweep_verdict expect;   // other than SWEEP_OK: a case that the harness has to find fault with, in just this way
} sweep_case;

// `rechecks` of a case whose operator lets go of a robust mutex for which others sleep. glibc takes back what it told the kernel of
// the unlock (the list's pending operation) after the wake, so that the kernel wakes in its stead. musl does so before the wake: a
// death in the twenty-one instructions between the two is left to the sleepers' own look.
#if defined(__GLIBC__)
enum { SWEEP_UNLOCK_RECHECKS = 0 };
#else
enum { SWEEP_UNLOCK_RECHECKS = 1 };
#endif

typedef struct sweep_suite {
  const sweep_case *cases;
  size_t count;
} sweep_suite;

#define SWEEP_SUITE(suite, ...)                               \
  static const sweep_case suite##_cases[] = {__VA_ARGS__};    \
  const sweep_suite suite##_sweep = {suite##_cases, sizeof suite##_cases / sizeof *suite##_cases}

// An operation of up to this many instructions is swept whole by default, a longer one at SWEEP_SAMPLE points and on
// both sides of each of its system calls.
enum { SWEEP_WHOLE = 800, SWEEP_SAMPLE = 300, SWEEP_BRIEF = 20, SWEEP_BRIEF_CALLS = 5, SWEEP_ARENA = 1 << 16 };

// What all processes of one run see.
typedef struct sweep_shared {
  sweep_injection injection;
  uint32_t point;         // the operator was stopped or killed after so many instructions
  uint32_t points;        // instructions in the operation; point == points: it has returned
  uint32_t variant;       // of the case
  int32_t operator_pid;   // 0: not yet started
  uint32_t returned;      // 1: operate returned, and this is what
  int32_t result;
  int64_t deadline;       // of the function that runs, in nanoseconds of CLOCK_MONOTONIC

  // The harness's own.
  uint32_t command, reply, release, failed, outcome;
  char failure[1024];
  char folder[160], prefix[64];

  _Alignas(4096) unsigned char arena[SWEEP_ARENA];
} sweep_shared;

extern sweep_shared *sweep;

// Ends this process, and the run, with a text. The first failure of a run is the one that is told.
void sweep_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));

#define SWEEP_CHECK(condition) \
  ((condition) ? (void)0 : sweep_fail(__FILE__, __LINE__, "%s is not so", #condition))
#define SWEEP_EQUAL(actual, expected) \
  sweep_equal(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))
#define SWEEP_STATUS(actual, expected) sweep_status(__FILE__, __LINE__, #actual, (actual), (expected))
void sweep_equal(const char *file, int line, const char *text, long long actual, long long expected);
void sweep_status(const char *file, int line, const char *text, int actual, int expected);

// Says which state the check found. At point 0 of a crash it has to be the one before, at the last point the one
// after; the sweep prints how often each was met.
typedef enum sweep_outcome { SWEEP_BEFORE = 1, SWEEP_AFTER = 2 } sweep_outcome;
void sweep_found(sweep_outcome outcome);

// A name for shared memory, and a path, that no other run has. Static storage, a new one for each call, up to 16.
const char *sweep_name(const char *tag);
const char *sweep_path(const char *tag);

// The time by which what runs now should have ended, for waits: half a second before the harness loses patience.
int64_t sweep_deadline(void);
int64_t sweep_now(void);
void sweep_pause(int64_t nanoseconds);

// Processes of the survivor's: forks one that ends with what `body` returns; waits, by the deadline, for its end and
// gives its exit status (death by a signal fails the run), or demands that it ended by SIGKILL. A newcomer is forked
// and reaped, and must return 0.
pid_t sweep_peer(int (*body)(int number), int number);
int sweep_reap(pid_t peer);
void sweep_reap_killed(pid_t peer);
void sweep_newcomer(int (*body)(int number), int number);

// Whether a peer has ended, waited for some hundredths of a second: for one that may be held up by the stopped
// operator, and is to be reaped by the check.
int sweep_ends_soon(pid_t peer);

// Waits, by the deadline, until a process sleeps in the kernel, or has ended.
void sweep_settle(pid_t pid);

// For peers of an operator that has to fall asleep before they act: waits until it sleeps in a system call. Returns 1
// then; 0 when it has returned, or died, or is stopped with others at work (`meanwhile` has begun).
int sweep_operator_asleep(void);

// For peers whose further doings would cross the operator's: waits until it has returned, or died, or `meanwhile` has
// begun.
void sweep_operator_done(void);

// Whether the operator is dead by now (and not just stopped).
int sweep_operator_dead(void);

// Lets the operator of a stall run `finish` and end, and waits for its end. For check.
void sweep_finish(void);

#endif
