// Dealing the cases to workers, side by side: each worker is a process of its own for one case, or for one part of it.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

volatile sig_atomic_t dealer_interrupted;
uint32_t dealer_isolated = 1;

// A place for one worker at a time. What the worker writes lies in memory shared with it.
typedef struct desk {
  pid_t worker;  // 0: free
  sweep_item *item;
  struct report {
    uint32_t isolated;
    sweep_tally tallies[2];
  } *report;
} desk;

static desk desks[JOBS_MAX];

// A step wakes the worker, and the worker the operator, never both at work: on two processors that takes 85 us in a
// virtual machine, on one 27.
static void stay_on_processor(uint32_t index) {
  cpu_set_t all, one;
  if (sched_getaffinity(0, sizeof all, &all) || CPU_COUNT(&all) == 0) return;
  uint32_t wanted = index % (uint32_t)CPU_COUNT(&all);
  size_t processor = 0;
  while (!CPU_ISSET(processor, &all) || wanted-- > 0) processor++;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  sched_setaffinity(0, sizeof one, &one);
}

static void work(uint32_t index, uint32_t part, const sweep_choice *choice, const char *folder) {
  const int usual[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  const sweep_item *item = desks[index].item;
  struct report *report = desks[index].report;
  for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) signal(usual[i], SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  stay_on_processor(index);
  sweep = mmap(NULL, sizeof *sweep, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (sweep == MAP_FAILED) _exit(2);
  isolation_enter(folder);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  isolation_fix_stat(getpid());
  report->isolated = (uint32_t)isolated;
  snprintf(sweep->prefix, sizeof sweep->prefix, SWEEP_PREFIX "%d-", (int)getpid());
  snprintf(sweep->folder, sizeof sweep->folder, "%s", folder);
  if (!isolated) {
    snprintf(sweep->folder, sizeof sweep->folder, "%s/%d", folder, (int)getpid());
    if (mkdir(sweep->folder, 0700)) _exit(2);
  }
  worker_sweep(item->of, item->ways, choice, part, item->parts, report->tallies);
  _exit(0);
}

static void merge(sweep_tally *sum, const sweep_tally *one) {
  sum->tried += one->tried, sum->before += one->before, sum->after += one->after, sum->slow += one->slow;
  sum->skipped |= one->skipped;
  if (sum->points == 0) sum->points = one->points;
  if (one->took > sum->took) sum->took = one->took;
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

// What a worker that ended has left: its tallies, and where it had no world of its own, its processes and objects.
static void collect(desk *this) {
  char prefix[64], text[512];
  snprintf(prefix, sizeof prefix, SWEEP_PREFIX "%d-", (int)this->worker);
  this->worker = 0;
  pid_t others[JOBS_MAX];
  for (uint32_t i = 0; i < JOBS_MAX; i++) others[i] = desks[i].worker;
  harness_kill_children(others, JOBS_MAX);
  harness_look("/dev/shm", prefix, text, sizeof text, 1);
  dealer_isolated &= this->report->isolated;
  for (int way = 0; way < 2; way++) merge(&this->item->sums[way], &this->report->tallies[way]);
  this->item->back++;
}

static void deal(uint32_t index, sweep_item *item, const sweep_choice *choice, const char *folder) {
  desk *this = &desks[index];
  uint32_t part = item->dealt++;
  this->item = item;
  memset(this->report, 0, sizeof *this->report);
  for (int way = 0; way < 2; way++)
    if (item->ways >> way & 1)
      this->report->tallies[way] = (sweep_tally){.verdict = SWEEP_BROKEN, .text = "a worker ended early"};
  fflush(NULL);
  this->worker = fork();
  if (this->worker == 0) work(index, part, choice, folder);
  if (this->worker < 0) collect(this);
}

static void wait_for_a_worker(void) {
  pid_t pid = waitpid(-1, NULL, 0);  // or what a worker left
  for (uint32_t i = 0; i < JOBS_MAX && pid > 0; i++)
    if (desks[i].worker == pid) collect(&desks[i]);
}

int dealer_sweep(sweep_item *items, size_t count, const sweep_choice *choice, const char *folder,
                 void (*done)(const sweep_item *item)) {
  struct report *reports =
      mmap(NULL, JOBS_MAX * sizeof *reports, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (reports == MAP_FAILED) return ENOMEM;
  for (uint32_t i = 0; i < JOBS_MAX; i++) desks[i].report = &reports[i];
  for (size_t next = 0, told = 0; !dealer_interrupted; wait_for_a_worker()) {
    for (uint32_t i = 0; i < choice->jobs; i++) {
      while (next < count && items[next].dealt == items[next].parts) next++;
      if (next < count && !desks[i].worker) deal(i, &items[next], choice, folder);
    }
    while (told < count && items[told].back == items[told].parts) done(&items[told++]);
    if (told == count) return 0;
  }
  harness_end_children();
  for (uint32_t i = 0; i < JOBS_MAX; i++)
    if (desks[i].worker > 0) collect(&desks[i]);
  return 0;
}
