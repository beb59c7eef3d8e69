// A keeper of one service: starts it, waits until it is ready, starts it again when it dies, and stops it with all that it has started.
//
// The service is this program itself, with an argument. It says READY=1 as services do for systemd, has a helper in a session of its own, and
// crashes twice. The third one runs until it is stopped; and neither it nor its helper is left then. Should the keeper be killed,
// the kernel kills the service.
// SPDX-License-Identifier: Apache-2.0
#include <muster/process.h>
#include <muster/process_stop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static const int64_t second = INT64_C(1000000000);

static void check(int status, const char *what) {
  if (!status) return;
  fprintf(stderr, "%s: %s\n", what, muster_status_text(status));
  exit(1);
}

static _Noreturn void serve(int life) {
  // It would outlive its parent, and any signal to its group.
  if (fork() == 0) {
    setsid();
    for (;;) pause();
  }
  check(muster_process_tell("READY=1\nSTATUS=serving"), "muster_process_tell");
  if (life < 3) raise(SIGSEGV);
  for (;;) pause();
}

static void start(int life, muster_process *service) {
  char number[12];
  snprintf(number, sizeof number, "%d", life);
  const char *arguments[] = {"keeper", number, NULL};
  // Its crashes are meant, and leave no core.
  const muster_process_limit limits[] = {{.resource = RLIMIT_CORE}};
  muster_process_options options = {.path = "/proc/self/exe", .arguments = arguments, .readiness = MUSTER_PROCESS_READY_SOCKET,
                                    .flags = MUSTER_PROCESS_SESSION | MUSTER_PROCESS_TIE, .limits = limits, .limits_count = 1};
  check(muster_process_spawn(&options, service, NULL), "muster_process_spawn");
}

int main(int count, char **arguments) {
  if (count > 1) serve(atoi(arguments[1]));
  muster_process service;
  muster_process_stop_report report;
  check(muster_process_become_subreaper(), "muster_process_become_subreaper");
  for (int life = 1;; life++) {
    start(life, &service);
    int status = muster_process_ready(&service, muster_deadline_after(20 * second));
    // One that was ready before it crashed was ready.
    check(status, "muster_process_ready");
    printf("life %d: ready, \"%s\"\n", life, service.notice.status);
    if (life == 3) break;
    muster_process_end end;
    check(muster_process_wait(&service, muster_deadline_after(20 * second), &end), "muster_process_wait");
    printf("life %d: died by signal %d\n", life, end.code);
    // Its helper goes on, and is found by the number in its environment.
    muster_process_stop_options now = {.deadline = muster_deadline_after(20 * second)};
    check(muster_process_stop(&service, &now, &report), "muster_process_stop");
    printf("life %d: %u left behind and killed\n", life, report.killed);
    muster_process_close(&service);
  }
  muster_process_stop_options patience = {.grace = muster_deadline_after(10 * second), .deadline = muster_deadline_after(20 * second)};
  check(muster_process_stop(&service, &patience, &report), "muster_process_stop");
  printf("life 3: stopped, %u processes, %u of them killed\n", report.found, report.killed);
  int whole = service.end.kind == MUSTER_PROCESS_SIGNALED && service.end.code == SIGTERM && report.found == 2 && report.killed == 0;
  muster_process_close(&service);
  return whole ? 0 : 1;
}
