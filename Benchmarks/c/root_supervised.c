// How long other supervisors take to start again what was killed: root_supervised runit|s6|supervisord|otp SAMPLES
//
// From SIGKILL to the first instruction of main of the successor, a program that is started by exec: their way. Each lives for a bit
// more than a second first, since they put off the restart of what lived shorter. Prints the median microseconds; skipped where there
// is no such supervisor.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>

#include "bench.h"

typedef struct place {
  int32_t pid;
  uint32_t lives;
  int64_t began;
} place;

static char folder[64], service[96], file[96], self[512];

static int supervised(const char *path) {
  int64_t now = bench_now();
  int opened = open(path, O_RDWR | O_CLOEXEC);
  place *mine = mmap(NULL, sizeof *mine, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
  if (mine == MAP_FAILED) return 1;
  mine->pid = (int32_t)getpid();
  mine->began = now;
  __atomic_fetch_add(&mine->lives, 1, __ATOMIC_RELEASE);
  while (pause()) {
  }
  return 0;
}

static place *make_place(void) {
  int opened = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (opened < 0 || ftruncate(opened, sizeof(place))) bench_fail(file, errno);
  place *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
  if (made == MAP_FAILED) bench_fail("mmap", errno);
  close(opened);
  return made;
}

static void write_file(const char *path, const char *text) {
  FILE *out = fopen(path, "w");
  if (!out) bench_fail(path, errno);
  fputs(text, out);
  if (fclose(out) || chmod(path, 0700)) bench_fail(path, errno);
}

static void exec_supervisord(void) {
  char path[128], text[1200];
  snprintf(path, sizeof path, "%s/conf", folder);
  snprintf(text, sizeof text,
           "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=%s/pid\n"
           "[program:x]\ncommand=%s child %s\nautorestart=true\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n",
           folder, self, file);
  write_file(path, text);
  execlp("supervisord", "supervisord", "-c", path, (char *)NULL);
}

static void exec_service(const char *supervisor) {
  char path[128], text[1200];
  snprintf(path, sizeof path, "%s/run", service);
  snprintf(text, sizeof text, "#!/bin/sh\nexec '%s' child '%s'\n", self, file);
  write_file(path, text);
  execlp(supervisor, supervisor, service, (char *)NULL);
}

// A server that owns the port of the program, and ends with it; a supervisor that starts it again.
static void exec_otp(void) {
  static const char script[] =
      "#!/usr/bin/env escript\n"
      "-mode(compile).\n"
      "-export([init/1, start_link/2, handle_info/2, handle_call/3, handle_cast/2]).\n"
      "main([Program, File]) ->\n"
      "  {ok, _} = supervisor:start_link(?MODULE, {top, Program, File}),\n"
      "  receive after infinity -> ok end.\n"
      "start_link(Program, File) -> gen_server:start_link(?MODULE, {port, Program, File}, []).\n"
      "init({top, Program, File}) ->\n"
      "  {ok, {#{strategy => one_for_one, intensity => 1000, period => 1},\n"
      "        [#{id => x, start => {?MODULE, start_link, [Program, File]}}]}};\n"
      "init({port, Program, File}) ->\n"
      "  {ok, open_port({spawn_executable, Program}, [{args, [\"child\", File]}, exit_status])}.\n"
      "handle_info({Port, {exit_status, Status}}, Port) -> {stop, {died, Status}, Port};\n"
      "handle_info(_, Port) -> {noreply, Port}.\n"
      "handle_call(_, _, Port) -> {reply, ok, Port}.\n"
      "handle_cast(_, Port) -> {noreply, Port}.\n";
  char path[128];
  snprintf(path, sizeof path, "%s/top", folder);
  write_file(path, script);
  execlp("escript", "escript", path, self, file, (char *)NULL);
}

static void run_supervisor(void *context, unsigned index) {
  (void)index;
  const char *kind = context;
  int quiet = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(quiet, 1);
  dup2(quiet, 2);
  if (!strcmp(kind, "supervisord")) exec_supervisord();
  else if (!strcmp(kind, "otp")) exec_otp();
  else exec_service(!strcmp(kind, "runit") ? "runsv" : "s6-supervise");
  _exit(127);
}

static void clean_up(void) {
  char command[160];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  if (system(command)) fprintf(stderr, "left: %s\n", folder);
}

static const char *missing(const char *kind) {
  if (!strcmp(kind, "runit")) return "no runsv (runit)";
  if (!strcmp(kind, "s6")) return "no s6-supervise (s6)";
  if (!strcmp(kind, "supervisord")) return "no supervisord (supervisor)";
  return "no escript, or it can't run a supervisor (erlang-base)";
}

// Returns 0, or -1: it ended before anything was started.
static int await_life(place *mine, uint32_t lives, pid_t supervisor) {
  while (__atomic_load_n(&mine->lives, __ATOMIC_ACQUIRE) < lives) {
    int status;
    if (waitpid(supervisor, &status, WNOHANG) == supervisor) return -1;
    usleep(50);
  }
  return 0;
}

int main(int count, char **words) {
  if (count == 3 && !strcmp(words[1], "child")) return supervised(words[2]);
  if (count != 3) return fputs("root_supervised runit|s6|supervisord|otp SAMPLES\n", stderr), 2;
  bench_limit(120);
  size_t samples = (size_t)atol(words[2]);
  strcpy(folder, "/tmp/muster-bench-XXXXXX");
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length <= 0 || !mkdtemp(folder)) bench_fail("mkdtemp", errno);
  snprintf(service, sizeof service, "%s/service", folder);
  snprintf(file, sizeof file, "%s/place", folder);
  if (mkdir(service, 0700)) bench_fail(service, errno);
  place *mine = make_place();
  pid_t supervisor = bench_fork(run_supervisor, words[1], 0);
  int64_t *took = calloc(samples, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  for (uint32_t k = 0; k <= samples; k++) {
    if (await_life(mine, k + 1, supervisor)) {
      clean_up();
      bench_skip(missing(words[1]));
    }
    if (k > 0) took[k - 1] = mine->began - took[k - 1];
    if (k == samples) break;
    usleep(1200000);
    took[k] = bench_now();
    if (kill(mine->pid, SIGKILL)) bench_fail("kill", errno);
  }
  kill(supervisor, SIGTERM);
  usleep(100000);
  kill(mine->pid, SIGKILL);
  kill(supervisor, SIGKILL);
  waitpid(supervisor, NULL, 0);
  clean_up();
  bench_sort(took, samples);
  return printf("%.2f\n", (double)bench_permille(took, samples, 500) / 1e3) < 0;
}
