// Runs the crash sweep: crash-sweep [--list] [--all | --brief | --sample N] [--seed S] [--jobs J] [CASE...]
// SPDX-License-Identifier: Apache-2.0
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
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
  X(heartbeat) \
  X(lock) \
  X(log) \
  X(pair) \
  X(pair_role) \
  X(pool) \
  X(pool_owner) \
  X(posix) \
  X(process) \
  X(process_stop) \
  X(queue) \
  X(queue_death) \
  X(region) \
  X(ring) \
  X(ring_read) \
  X(root) \
  X(root_ladder) \
  X(root_start) \
  X(rwlock) \
  X(seqlock) \
  X(trace) \
  X(trace_read)

#define DECLARE(name) extern const sweep_suite name##_sweep;
#define ADDRESS(name) &name##_sweep,

SUITES(DECLARE)

static const sweep_suite *const suites[] = {SUITES(ADDRESS)};

// What the last line tells.
static struct {
  const sweep_choice *choice;
  uint32_t injections;
  uint64_t points;
  int failures;
} told;

static char folder[128];

static const char *const verdicts[] = {"ok",   "wrong",    "hangs",          "left behind",
                                       "dies", "unsteady", "too few points", "harness"};

static void interrupt(int number) { dealer_interrupted = number; }

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

static void judge(const sweep_case *of, const sweep_choice *choice, sweep_tally *sum) {
  uint32_t least = choice->at >= 0 || of->minimum == 0 ? 1 : of->minimum;
  if (choice->brief && least > SWEEP_BRIEF && of->expect != SWEEP_TOO_FEW) least = SWEEP_BRIEF;
  if (sum->verdict || sum->skipped || sum->tried >= least) return;
  sum->verdict = SWEEP_TOO_FEW;
  snprintf(sum->text, sizeof sum->text, "%u points were tried; the least that will do is %u", sum->tried, least);
}

static int tell(const sweep_case *of, sweep_injection injection, const sweep_tally *sum) {
  const char *way = injection == SWEEP_CRASH ? "crash" : "stall";
  int fine = sum->skipped || sum->verdict == of->expect;
  printf("%s %-34s %s %6u of %6u points %6.1f s", sum->skipped ? "skip" : fine ? "ok  " : "FAIL", of->name, way, sum->tried,
         sum->points + (sum->points != 0), (double)sum->took / 1e9);
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

static uint32_t ways_of(const sweep_case *of) {
  return of->injections ? of->injections : of->meanwhile ? SWEEP_CRASH | SWEEP_STALL : SWEEP_CRASH;
}

static void tell_item(const sweep_item *item) {
  for (uint32_t way = SWEEP_CRASH; way <= SWEEP_STALL; way++) {
    if (!(ways_of(item->of) & told.injections & way)) continue;
    sweep_tally sum = item->sums[way - SWEEP_CRASH];
    judge(item->of, told.choice, &sum);
    told.points += sum.tried;
    told.failures += !tell(item->of, (sweep_injection)way, &sum);
  }
  fflush(stdout);
}

static void list_case(const sweep_case *of) {
  uint32_t ways = ways_of(of);
  printf("%-34s %s %s at least %u points\n", of->name, ways & SWEEP_CRASH ? "crash" : "     ",
         ways & SWEEP_STALL ? "stall" : "     ", of->minimum);
}

static size_t count_all(void) {
  size_t count = 0;
  for (size_t s = 0; s < sizeof suites / sizeof *suites; s++) count += suites[s]->count;
  return count;
}

static size_t find_cases(char **wanted, int names, uint32_t injections, sweep_item *items) {
  size_t count = 0;
  for (size_t s = 0; s < sizeof suites / sizeof *suites; s++) {
    for (size_t c = 0; c < suites[s]->count; c++) {
      const sweep_case *of = &suites[s]->cases[c];
      if (!is_wanted(of->name, wanted, names)) continue;
      // Without a function for the time of the stall there is nothing to try: too few points.
      items[count++] = (sweep_item){.of = of, .ways = ways_of(of) & injections & (of->meanwhile ? ~0u : SWEEP_CRASH)};
    }
  }
  return count;
}

// To share the points of a case out pays where all of them are tried, or where workers would have no case.
static void share_out(sweep_item *items, size_t count, const sweep_choice *choice) {
  for (size_t i = 0; i < count; i++) {
    int shared = !items[i].of->race && (choice->all || count < choice->jobs);
    items[i].parts = items[i].ways == 0 ? 0 : shared ? choice->jobs : 1;
  }
}

static int sweep_all(sweep_item *items, size_t count, const sweep_choice *choice) {
  int64_t begun = sweep_now();
  share_out(items, count, choice);
  int status = dealer_sweep(items, count, choice, folder, tell_item);
  if (status) return fprintf(stderr, "crash-sweep: %s\n", strerror(status)), 2;
  if (dealer_interrupted) return 128 + dealer_interrupted;
  printf("crash sweep: %zu cases, %llu points, %.1f s, %d failed; %s\n", count, (unsigned long long)told.points,
         (double)(sweep_now() - begun) / 1e9, told.failures,
         dealer_isolated ? "each worker had its own /dev/shm and pids" : "own namespaces are not permitted here");
  return told.failures ? 1 : 0;
}

static int make_folder(void) {
  const char *top = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/" SWEEP_PREFIX "XXXXXX", top ? top : "/tmp");
  return mkdtemp(folder) != NULL;
}

static void remove_folder(void) {
  char text[512];
  harness_look(folder, NULL, text, sizeof text, 1);
  rmdir(folder);
}

static void choose_jobs(sweep_choice *choice) {
  cpu_set_t processors;
  if (choice->jobs == 0 && sched_getaffinity(0, sizeof processors, &processors) == 0)
    choice->jobs = (uint32_t)CPU_COUNT(&processors);
  if (choice->jobs == 0 || choice->at >= 0) choice->jobs = 1;
  if (choice->jobs > JOBS_MAX) choice->jobs = JOBS_MAX;
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
  sweep_item *items = calloc(count_all(), sizeof *items);
  size_t found = items && wanted ? find_cases(wanted, names, injections, items) : 0;
  if (!found) return fprintf(stderr, "crash-sweep: no case of that name\n"), 2;
  for (size_t i = 0; i < found && list; i++) list_case(items[i].of);
  if (list) return 0;
  if (!isolation_inner()) return isolation_outer(arguments);
  choose_jobs(&choice);
  told.choice = &choice, told.injections = injections;
  const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  struct sigaction action = {.sa_handler = interrupt};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) sigaction(ends[i], &action, NULL);
  signal(SIGCHLD, SIG_DFL);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (!make_folder()) return perror("crash-sweep: no folder for temporary files"), 2;
  printf("seed: --seed %llu\n", (unsigned long long)choice.seed);
  int status = sweep_all(items, found, &choice);
  remove_folder();
  return status;
}
