// What processes tell of themselves: readiness by both conventions, and who may say so.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_support.h"

static void start_line(muster_process *process, const char *script) {
  muster_process_options options = shell(script);
  options.readiness = MUSTER_PROCESS_READY_LINE;
  options.ready_descriptor = 3;
  REQUIRE(!muster_process_spawn(&options, process, NULL));
}

static void a_newline_says_so(void) {
  int ends[2];
  process_audit audit = audit_begin();
  muster_process process;
  REQUIRE(!pipe(ends));
  muster_process_options options = shell("read x; printf ready >&7; read x; echo >&7; read x; exit 0");
  options.readiness = MUSTER_PROCESS_READY_LINE;
  options.ready_descriptor = 7;
  options.streams[0] = (muster_process_stream){MUSTER_PROCESS_STREAM_DESCRIPTOR, ends[0]};
  REQUIRE(!muster_process_spawn(&options, &process, NULL));
  close(ends[0]);
  CHECK_STATUS(muster_process_ready(&process, MUSTER_DEADLINE_NOW), ETIMEDOUT);
  CHECK_STATUS(muster_process_hear(&process), EAGAIN);
  // Text without a newline says nothing yet.
  REQUIRE(write(ends[1], "\n", 1) == 1);
  CHECK_STATUS(muster_process_ready(&process, muster_deadline_after(5000000)), ETIMEDOUT);
  REQUIRE(write(ends[1], "\n", 1) == 1);
  CHECK_STATUS(muster_process_ready(&process, soon()), 0);
  CHECK_STATUS(muster_process_ready(&process, MUSTER_DEADLINE_NOW), 0);
  CHECK(process.notice.ready && process.ready < 0);
  close(ends[1]);
  CHECK_EQUAL(end_of(&process), 0);
  audit_end(&audit);
}

static void an_end_is_told_from_silence(void) {
  process_audit audit = audit_begin();
  muster_process process;
  start_line(&process, "exit 3");
  CHECK_STATUS(muster_process_ready(&process, soon()), EOWNERDEAD);
  CHECK_EQUAL(end_of(&process), 3);
  start_line(&process, "exec 3>&-; exec sleep 1000");
  CHECK_STATUS(muster_process_ready(&process, soon()), EPIPE);
  CHECK_STATUS(muster_process_ready(&process, MUSTER_DEADLINE_NOW), EPIPE);
  CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  // It was ready before it ended: it was ready.
  start_line(&process, "echo >&3; exit 0");
  CHECK_STATUS(muster_process_wait(&process, soon(), NULL), 0);
  CHECK_STATUS(muster_process_ready(&process, soon()), 0);
  muster_process_close(&process);
  CHECK_STATUS(muster_process_ready(&(muster_process){.pidfd = -1, .ready = -1, .readiness = MUSTER_PROCESS_READY_LINE}, soon()), EINVAL);
  start_shell(&process, "exit 0", 0);
  CHECK_STATUS(muster_process_ready(&process, soon()), EINVAL);
  CHECK_STATUS(muster_process_hear(&process), EINVAL);
  CHECK_EQUAL(end_of(&process), 0);
  audit_end(&audit);
}

static void spins(void *context) {
  (void)context;
  for (volatile unsigned turn = 0;; turn++) {
  }
}

// Its pipe is closed by its end, and then it has to wait for a processor before that can be told.
static void an_end_is_told_from_silence_on_a_busy_machine(void) {
  enum { SPINNERS = 8, ENDS = 20 };
  pid_t spinners[SPINNERS];
  for (int k = 0; k < SPINNERS; k++) spinners[k] = test_fork(spins, NULL);
  for (int k = 0; k < ENDS && !test_result(); k++) {
    muster_process process;
    muster_process_options options = shell("exit 3");
    options.readiness = MUSTER_PROCESS_READY_LINE;
    options.ready_descriptor = 3;
    options.nice = 19;
    REQUIRE(!muster_process_spawn(&options, &process, NULL));
    CHECK_STATUS(muster_process_ready(&process, soon()), EOWNERDEAD);
    CHECK_EQUAL(end_of(&process), 3);
  }
  for (int k = 0; k < SPINNERS; k++) {
    kill(spinners[k], SIGKILL);
    test_join(spinners[k], SIGKILL);
  }
}

// This program itself is what tells: it is forked, and finds the socket as a program would.
static char socket_name[64];

static void start_telling(muster_process *process) {
  int ends[2];
  REQUIRE(!pipe(ends));
  muster_process_options options = shell("echo $NOTIFY_SOCKET; exec sleep 1000");
  options.readiness = MUSTER_PROCESS_READY_SOCKET;
  options.flags = MUSTER_PROCESS_GROUP;
  options.streams[1] = (muster_process_stream){MUSTER_PROCESS_STREAM_DESCRIPTOR, ends[1]};
  REQUIRE(!muster_process_spawn(&options, process, NULL));
  close(ends[1]);
  ssize_t length = read(ends[0], socket_name, sizeof socket_name - 1);
  REQUIRE(length > 1);
  socket_name[length - 1] = 0;
  close(ends[0]);
}

static int tell(const char *text) {
  REQUIRE(!setenv("NOTIFY_SOCKET", socket_name, 1));
  int status = muster_process_tell(text);
  unsetenv("NOTIFY_SOCKET");
  return status;
}

static void strangers_are_not_heard(void) {
  process_audit audit = audit_begin();
  muster_process process;
  start_telling(&process);
  CHECK_EQUAL(*socket_name, '@');
  // We are its parent, not of its tree.
  CHECK_STATUS(tell("READY=1"), 0);
  CHECK_STATUS(muster_process_ready(&process, MUSTER_DEADLINE_NOW), ETIMEDOUT);
  CHECK_STATUS(muster_process_hear(&process), EAGAIN);
  CHECK(!process.notice.ready);
  CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
  CHECK_STATUS(muster_process_ready(&process, soon()), EOWNERDEAD);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  // Nobody hears any more.
  CHECK_STATUS(tell("READY=1"), ECONNREFUSED);
  CHECK_STATUS(muster_process_tell("READY=1"), ENOENT);
  strcpy(socket_name, "no name");
  CHECK_STATUS(tell("READY=1"), EINVAL);
  audit_end(&audit);
}

// A fork of this program that says what a test wants, with descriptors, as one of the tree of the script that it is forked beside: it has
// its group.
typedef struct speaker {
  uint32_t gate;
  pid_t group;
} speaker;

static void send_with_descriptor(const char *text) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {(void *)(uintptr_t)text, strlen(text)};
  int ends[2];
  REQUIRE(!pipe(ends));
  memcpy(address.sun_path + 1, socket_name + 1, strlen(socket_name + 1));
  struct msghdr message = {.msg_name = &address,
                           .msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(socket_name)),
                           .msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(rights), &ends[1], sizeof(int));
  int file = socket(AF_UNIX, SOCK_DGRAM, 0);
  REQUIRE(sendmsg(file, &message, 0) == (ssize_t)strlen(text));
  close(ends[1]);
  // Who hears closes it: that is what a barrier waits for.
  char nothing;
  CHECK_EQUAL(read(ends[0], &nothing, 1), 0);
}

static void speak(void *context) {
  speaker *one = context;
  REQUIRE(!setpgid(0, one->group));
  CHECK_STATUS(tell("READY=0\nSTATUS=starting\nnonsense\nMAINPID=1\n\nWATCHDOG=1"), 0);
  CHECK_STATUS(tell("WATCHDOG=1\nERRNO=5\nERRNO=-1\nERRNO=5x\nSTOPPING=1\nWATCHDOG=2"), 0);
  gate_open(&one->gate, 1);
  gate_wait(&one->gate, 2);
  char text[600] = "STATUS=a\tb\x1b[31m ";
  while (strlen(text) < 500) strcat(text, "\xc3\xa4");
  CHECK_STATUS(tell(text), 0);
  send_with_descriptor("BARRIER=1");
  CHECK_STATUS(tell("READY=1"), 0);
  gate_open(&one->gate, 3);
  gate_wait(&one->gate, 4);
}

static void one_of_the_tree_is_heard(void) {
  process_audit audit = audit_begin();
  muster_process process;
  speaker *one = shared_memory(sizeof *one);
  start_telling(&process);
  one->group = process.pid;
  pid_t pid = test_fork(speak, one);
  gate_wait(&one->gate, 1);
  CHECK_STATUS(muster_process_ready(&process, MUSTER_DEADLINE_NOW), ETIMEDOUT);
  CHECK(!strcmp(process.notice.status, "starting"));
  CHECK(process.notice.watchdogs == 2 && process.notice.error == 5 && process.notice.stopping && !process.notice.ready);
  struct pollfd polled = {.fd = process.ready, .events = POLLIN};
  CHECK_EQUAL(poll(&polled, 1, 0), 0);
  gate_open(&one->gate, 2);
  CHECK_STATUS(muster_process_ready(&process, soon()), 0);
  // Whole characters, and none that a terminal obeys.
  size_t kept = strlen(process.notice.status);
  CHECK(!strncmp(process.notice.status, "a b [31m \xc3\xa4", 11));
  CHECK(kept >= MUSTER_PROCESS_STATUS_SIZE - 2 && (kept - 9) % 2 == 0);
  gate_wait(&one->gate, 3);
  gate_open(&one->gate, 4);
  test_join(pid, 0);
  CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
  audit_end(&audit);
}

static void say_ready(void *context) {
  (void)context;
  CHECK_STATUS(tell("READY=1"), 0);
}

// Who has ended by the time that it is read is known only if he was the process himself.
static void last_words_are_the_processes_own(void) {
  muster_process process, itself;
  start_telling(&process);
  test_join(test_fork(say_ready, NULL), 0);
  CHECK_STATUS(muster_process_hear(&process), EAGAIN);
  CHECK(!process.notice.ready);
  // The same words, were they its own.
  pid_t pid = test_fork(say_ready, NULL);
  test_join(pid, 0);
  itself = process;
  itself.pid = pid;
  CHECK_STATUS(muster_process_hear(&itself), 0);
  CHECK(itself.notice.ready);
  CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
}

// Any bytes, as long as they like: what is kept is bounded and a string.
static void flood(void *context) {
  speaker *one = context;
  uint64_t seed = test_seed();
  REQUIRE(!setpgid(0, one->group));
  char text[9000];
  static const char *const parts[] = {"READY=", "STATUS=", "\n", "ERRNO=", "=", "WATCHDOG=1", "99999999999999999999", "\x80\xff"};
  for (int i = 0; i < 300; i++) {
    size_t length = 0, end = test_random(&seed) % sizeof text;
    while (length < end) {
      if (test_random(&seed) & 1) {
        text[length++] = (char)test_random(&seed);
        continue;
      }
      const char *part = parts[test_random(&seed) % 8];
      for (; *part && length < end; part++) text[length++] = *part;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, socket_name + 1, strlen(socket_name + 1));
    int file = socket(AF_UNIX, SOCK_DGRAM, 0);
    sendto(file, text, length, 0, (struct sockaddr *)&address,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(socket_name)));
    close(file);
  }
}

static void any_bytes_do_no_harm(void) {
  muster_process process;
  speaker *one = shared_memory(sizeof *one);
  start_telling(&process);
  one->group = process.pid;
  pid_t pid = test_fork(flood, one);
  siginfo_t info = {0};
  while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid) {
    (void)!muster_process_hear(&process);
    CHECK(memchr(process.notice.status, 0, sizeof process.notice.status));
    for (const char *c = process.notice.status; *c; c++) CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
  }
  test_join(pid, 0);
  CHECK(process.notice.watchdogs > 0);
  CHECK_STATUS(muster_process_signal(&process, SIGKILL), 0);
  CHECK_EQUAL(end_of(&process), -SIGKILL);
}

TEST_SUITE(process_ready, {"a_newline_says_so", a_newline_says_so, 0},
           {"an_end_is_told_from_silence", an_end_is_told_from_silence, 0},
           {"an_end_is_told_from_silence_on_a_busy_machine", an_end_is_told_from_silence_on_a_busy_machine, 0},
           {"strangers_are_not_heard", strangers_are_not_heard, 0}, {"one_of_the_tree_is_heard", one_of_the_tree_is_heard, 0},
           {"last_words_are_the_processes_own", last_words_are_the_processes_own, 0}, {"any_bytes_do_no_harm", any_bytes_do_no_harm, 0});
