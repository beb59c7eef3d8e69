// Runs the crash sweep: crash-sweep [--list] [--all | --brief | --sample N] [--seed S] [--jobs J] [CASE...]
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define SUITES(X) \
  X(self) \
  X(alive) \
  X(arena) \
  X(arena_log) \
  X(barrier) \
  X(barrier_break) \
  X(barrier_names) \
  X(checkpoint) \
  X(group) \
  X(lock) \
  X(log) \
  X(pool) \
  X(pool_owner) \
  X(posix) \
  X(queue) \
  X(queue_death) \
  X(region) \
  X(ring) \
  X(ring_read) \
  X(root) \
  X(rwlock) \
  X(seqlock) \
  X(trace) \
  X(trace_read)

#define DECLARE(name) extern const sweep_suite name##_sweep;
#define ADDRESS(name) &name##_sweep,

SUITES(DECLARE)

static const sweep_suite *const suites[] = {SUITES(ADDRESS)};

#define PREFIX "muster-sweep-"

enum { JOBS_MAX = 64 };

static char folder[128];
static volatile sig_atomic_t interrupted;

static const char *const verdicts[] = {"ok",   "wrong",    "hangs",          "left behind",
                                       "dies", "unsteady", "too few points", "harness"};

static void interrupt(int number) { interrupted = number; }

static int usage(void) {
  fputs(
      "usage: crash-sweep [options] [CASE...]\n"
      "  CASE           a case, or a module: the part of the names before the `.`; none: all\n"
      "  --case CASE    the same\n"
      "  --list         the cases: their names, injections, and least number of points\n"
      "  --all          every point of every case\n"
      "  --brief        at most 20 points of each case, and both sides of 5 system calls\n"
      "  --sample N     N points of each case (never fewer than its minimum), and both sides of each system call\n"
      "  --seed S       which points are sampled; printed at the start\n"
      "  --at K         the point K alone\n"
      "  --crash        crash injection only\n"
      "  --stall        stall injection only\n"
      "  --jobs J       workers side by side; default: the processors\n"
      "  --plain        go to each point by single steps alone, without breakpoints\n",
      stderr);
  return 2;
}

static int matches(const char *name, const char *wanted) {
  size_t length = strlen(wanted);
  return !strncmp(name, wanted, length) && (!name[length] || name[length] == '.');
}

static int is_wanted(const char *name, char **wanted, int count) {
  for (int i = 0; i < count; i++)
    if (matches(name, wanted[i])) return 1;
  return count == 0;
}

static void worker(const sweep_case *of, sweep_injection injection, const sweep_choice *choice, uint32_t index,
                   sweep_tally *tally) {
  const int usual[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) signal(usual[i], SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sweep = mmap(NULL, sizeof *sweep, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (sweep == MAP_FAILED) _exit(2);
  isolation_enter(folder);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  tally->isolated = (uint32_t)isolated;
  snprintf(sweep->prefix, sizeof sweep->prefix, PREFIX "%d-", (int)getpid());
  snprintf(sweep->folder, sizeof sweep->folder, "%s", folder);
  if (!isolated) {
    snprintf(sweep->folder, sizeof sweep->folder, "%s/%d", folder, (int)getpid());
    if (mkdir(sweep->folder, 0700)) _exit(2);
  }
  worker_sweep(of, injection, choice, index, tally);
  _exit(0);
}

static void end_workers(const sweep_tally *tallies, uint32_t jobs) {
  harness_end_children();
  for (uint32_t i = 0; i < jobs; i++) {
    char prefix[64], text[512];
    snprintf(prefix, sizeof prefix, PREFIX "%d-", (int)tallies[i].worker);
    harness_look("/dev/shm", prefix, text, sizeof text, 1);
  }
}

static void run_workers(const sweep_case *of, sweep_injection injection, const sweep_choice *choice,
                        sweep_tally *tallies) {
  fflush(NULL);
  for (uint32_t i = 0; i < choice->jobs; i++) {
    tallies[i] = (sweep_tally){.verdict = SWEEP_BROKEN, .text = "a worker ended early"};
    pid_t pid = fork();
    if (pid == 0) worker(of, injection, choice, i, &tallies[i]);
    tallies[i].worker = pid;
  }
  for (uint32_t i = 0; i < choice->jobs && !interrupted; i++)
    while (tallies[i].worker > 0 && waitpid(tallies[i].worker, NULL, 0) < 0 && errno == EINTR && !interrupted) {
    }
  end_workers(tallies, choice->jobs);
}

static void merge(sweep_tally *sum, const sweep_tally *one) {
  sum->tried += one->tried, sum->before += one->before, sum->after += one->after, sum->slow += one->slow;
  if (sum->points == 0) sum->points = one->points;
  if (one->verdict && (!sum->verdict || one->failed_at < sum->failed_at)) {
    sum->verdict = one->verdict, sum->failed_at = one->failed_at;
    memcpy(sum->text, one->text, sizeof sum->text);
  }
  if (!sum->verdict && one->text[0]) memcpy(sum->text, one->text, sizeof sum->text);
  if (!sum->verdict && one->points != sum->points) {
    sum->verdict = SWEEP_UNSTEADY;
    snprintf(sum->text, sizeof sum->text, "%u instructions in one worker, %u in another", sum->points, one->points);
  }
}

static sweep_tally sweep_one(const sweep_case *of, sweep_injection injection, const sweep_choice *choice,
                             sweep_tally *tallies) {
  sweep_tally sum = {0};
  if (injection == SWEEP_CRASH || of->meanwhile) {
    sweep_choice own = *choice;
    if (of->race) own.jobs = 1;
    run_workers(of, injection, &own, tallies);
    for (uint32_t i = 0; i < own.jobs; i++) merge(&sum, &tallies[i]);
  }
  uint32_t least = choice->at >= 0 || of->minimum == 0 ? 1 : of->minimum;
  if (choice->brief && least > SWEEP_BRIEF && of->expect != SWEEP_TOO_FEW) least = SWEEP_BRIEF;
  if (!sum.verdict && sum.tried < least) {
    sum.verdict = SWEEP_TOO_FEW;
    snprintf(sum.text, sizeof sum.text, "%u points were tried; the least that will do is %u", sum.tried, least);
  }
  return sum;
}

static int tell(const sweep_case *of, sweep_injection injection, const sweep_tally *sum, double seconds) {
  const char *way = injection == SWEEP_CRASH ? "crash" : "stall";
  int fine = sum->verdict == of->expect;
  printf("%s %-34s %s %6u of %6u points %6.1f s", fine ? "ok  " : "FAIL", of->name, way, sum->tried,
         sum->points + (sum->points != 0), seconds);
  if (sum->before + sum->after) printf("  before %u, after %u", sum->before, sum->after);
  if (sum->slow) printf("  (%u checks took more than 0.9 s)", sum->slow);
  if (of->expect && fine)
    printf("  found, as it has to be: %s at %u: %.*s", verdicts[sum->verdict], sum->failed_at,
           (int)strcspn(sum->text, "\n"), sum->text);
  putchar('\n');
  if (fine && !sum->verdict && sum->text[0]) printf("%s\n", sum->text + 1);
  if (fine) return 1;
  if (of->expect) printf("     has to be found: %s; verdict: %s\n", verdicts[of->expect], verdicts[sum->verdict]);
  if (sum->verdict) {
    printf("     %s at point %u of %u: %s\n", verdicts[sum->verdict], sum->failed_at, sum->points, sum->text);
    printf("     again: crash-sweep --%s --case %s --at %u\n", way, of->name, sum->failed_at);
  }
  return 0;
}

static int sweep_all(const sweep_choice *choice, uint32_t injections, char **wanted, int count, int list) {
  size_t size = JOBS_MAX * sizeof(sweep_tally);
  sweep_tally *tallies = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (tallies == MAP_FAILED) return perror("crash-sweep: mmap"), 2;
  uint64_t points = 0;
  int cases = 0, failures = 0;
  int64_t begun = sweep_now();
  for (size_t s = 0; s < sizeof suites / sizeof *suites; s++) {
    for (size_t c = 0; c < suites[s]->count; c++) {
      const sweep_case *of = &suites[s]->cases[c];
      if (!is_wanted(of->name, wanted, count)) continue;
      cases++;
      uint32_t ways = of->injections ? of->injections : of->meanwhile ? SWEEP_CRASH | SWEEP_STALL : SWEEP_CRASH;
      if (list)
        printf("%-34s %s %s at least %u points\n", of->name, ways & SWEEP_CRASH ? "crash" : "     ",
               ways & SWEEP_STALL ? "stall" : "     ", of->minimum);
      for (uint32_t way = SWEEP_CRASH; way <= SWEEP_STALL && !list; way++) {
        if (!(ways & injections & way)) continue;
        int64_t start = sweep_now();
        sweep_tally sum = sweep_one(of, (sweep_injection)way, choice, tallies);
        if (interrupted) return 128 + interrupted;
        points += sum.tried;
        if (!tell(of, (sweep_injection)way, &sum, (double)(sweep_now() - start) / 1e9)) failures++;
        fflush(stdout);
      }
    }
  }
  if (!cases) return fprintf(stderr, "crash-sweep: no case of that name\n"), 2;
  if (list) return 0;
  printf("crash sweep: %d cases, %llu points, %.1f s, %d failed; %s\n", cases, (unsigned long long)points,
         (double)(sweep_now() - begun) / 1e9, failures,
         tallies[0].isolated ? "each worker had its own /dev/shm and pids" : "own namespaces are not permitted here");
  return failures ? 1 : 0;
}

static int make_folder(void) {
  const char *top = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/" PREFIX "XXXXXX", top ? top : "/tmp");
  return mkdtemp(folder) != NULL;
}

static void remove_folder(void) {
  char text[512];
  harness_look(folder, NULL, text, sizeof text, 1);
  rmdir(folder);
}

static uint64_t number(const char *text) { return text ? strtoull(text, NULL, 0) : 0; }

int main(int count, char **arguments) {
  // Not by the time of day, which stands still here.
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  sweep_choice choice = {.at = -1, .seed = (uint64_t)now.tv_sec * 1000003 + (uint64_t)now.tv_nsec};
  uint32_t injections = SWEEP_CRASH | SWEEP_STALL;
  char **wanted = calloc((size_t)count + 1, sizeof *wanted);
  int names = 0, list = 0;
  for (int i = 1; i < count; i++) {
    const char *option = arguments[i];
    if (!strcmp(option, "--list")) list = 1;
    else if (!strcmp(option, "--all")) choice.all = 1;
    else if (!strcmp(option, "--brief")) choice.brief = 1;
    else if (!strcmp(option, "--crash")) injections = SWEEP_CRASH;
    else if (!strcmp(option, "--stall")) injections = SWEEP_STALL;
    else if (!strcmp(option, "--plain")) choice.plain = 1;
    else if (option[0] != '-') wanted[names++] = arguments[i];
    else if (i + 1 == count) return usage();
    else if (!strcmp(option, "--case")) wanted[names++] = arguments[++i];
    else if (!strcmp(option, "--sample")) choice.sample = (uint32_t)number(arguments[++i]);
    else if (!strcmp(option, "--seed")) choice.seed = number(arguments[++i]);
    else if (!strcmp(option, "--at")) choice.at = (int64_t)number(arguments[++i]);
    else if (!strcmp(option, "--jobs")) choice.jobs = (uint32_t)number(arguments[++i]);
    else return usage();
  }
  if (!list && !isolation_inner()) return isolation_outer(arguments);
  cpu_set_t processors;
  if (choice.jobs == 0 && sched_getaffinity(0, sizeof processors, &processors) == 0)
    choice.jobs = (uint32_t)CPU_COUNT(&processors);
  if (choice.jobs == 0 || choice.at >= 0) choice.jobs = 1;
  if (choice.jobs > JOBS_MAX) choice.jobs = JOBS_MAX;
  if (list) return sweep_all(&choice, injections, wanted, names, 1);
  const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  struct sigaction action = {.sa_handler = interrupt};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) sigaction(ends[i], &action, NULL);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (!make_folder()) return perror("crash-sweep: no folder for temporary files"), 2;
  printf("seed: --seed %llu\n", (unsigned long long)choice.seed);
  int status = sweep_all(&choice, injections, wanted, names, 0);
  remove_folder();
  return status;
}
