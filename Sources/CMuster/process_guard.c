// The guard of a child whose life is tied to its parent's process.
//
//   socket      parent: makes both ends before the guard; the child's end goes to the child, which sends its pidfd, once, and waits for
//               the answer: by then the guard is in a session of its own, and holds nothing of its parent's
//   parent ends the guard shuts its end for receiving, then reads what is there. The kernel does either under one lock: a pidfd that
//               was sent is read and its process killed; one that was not can't be sent any more, and its process ends by itself
//   child ends  the guard ends
//   no child    the starting failed: the parent kills the guard; or has ended: see above
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "internal/process.h"
#include "internal/process_tree.h"

static int send_pidfd(int to, int pidfd) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof pidfd)];
  int32_t pid = getpid();
  struct iovec part = {&pid, sizeof pid};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  memset(control, 0, sizeof control);
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof pidfd);
  memcpy(CMSG_DATA(rights), &pidfd, sizeof pidfd);
  return sendmsg(to, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

// By the time that its parent has set. Nothing: the guard has ended.
static int await_answer(int from) {
  char answer;
  ssize_t length;
  do length = recv(from, &answer, 1, 0);
  while (length < 0 && errno == EINTR);
  if (length < 0) return errno == EAGAIN ? ETIMEDOUT : errno;
  return length ? 0 : ESRCH;
}

int muster_process_guard_enter(int socket) {
  int self = muster_process_pidfd_open(getpid());
  if (self < 0) return errno;
  int error = send_pidfd(socket, self);
  close(self);
  if (!error) error = await_answer(socket);
  return error == EPIPE || error == ECONNRESET ? ESRCH : error;
}

// 1: there is a child, in process->pid and pidfd. 0: there is none (yet).
static int receive_child(int from, muster_process *process) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  int32_t pid = 0;
  struct iovec part = {&pid, sizeof pid};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != (ssize_t)sizeof pid) return 0;
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  if (!rights || rights->cmsg_type != SCM_RIGHTS) return 0;
  memcpy(&process->pidfd, CMSG_DATA(rights), sizeof process->pidfd);
  process->pid = pid;
  return 1;
}

// Sleeps until either is readable; 1: the first is.
static int sleep_at(int parent, int other) {
  struct pollfd polled[] = {{.fd = parent, .events = POLLIN}, {.fd = other, .events = POLLIN}};
  while (muster_process_sleep_at(polled, 2, MUSTER_DEADLINE_NEVER) <= 0) {
  }
  return polled[0].revents != 0;
}

static _Noreturn void watch(int parent, int socket, muster_process *process) {
  int orphaned = sleep_at(parent, socket);
  if (orphaned) shutdown(socket, SHUT_RD);
  // Nothing to receive: the child's end is closed, or can't send any more.
  if (!receive_child(socket, process)) muster_process_exit_now(0);
  if (!orphaned) (void)send(socket, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  close(socket);
  if (!orphaned) orphaned = sleep_at(parent, process->pidfd);
  if (orphaned) {
    muster_process_stop_options now = {.deadline = muster_deadline_after(INT64_C(10000000000))};
    muster_process_stop_report report;
    muster_process_end_tree(process, &now, &report);
  }
  // If its handle is closed, nobody else does; if not, nobody misses what is empty.
  muster_process_cgroup_remove(&process->cgroup, process->tree);
  muster_process_exit_now(0);
}

// All descriptors but these. What this process holds by a descriptor (a lock, a pipe) is not held by its guard.
static void close_others(const int *kept, int count) {
  for (unsigned from = 0;;) {
    unsigned next = ~0U;
    for (int i = 0; i < count; i++)
      if (kept[i] >= 0 && (unsigned)kept[i] >= from && (unsigned)kept[i] < next) next = (unsigned)kept[i];
    if (next > from && syscall(SYS_close_range, from, next == ~0U ? next : next - 1, 0U)) {
      // A sandbox without it: the soft limit of most programs.
      for (unsigned file = from; file < next && file < 65536; file++) close((int)file);
    }
    if (next == ~0U) return;
    from = next + 1;
  }
}

static _Noreturn void guard(int parent, int socket, const muster_process *starting) {
  muster_process process = {.pidfd = -1, .ready = -1, .guard = -1, .cgroup = starting->cgroup, .flags = starting->flags,
                            .tree = starting->tree};
  int kept[] = {parent, socket, process.cgroup};
  // What is sent to our group, session or terminal is not meant for it, not even SIGKILL.
  setsid();
  prctl(PR_SET_NAME, "muster-guard");
  close_others(kept, 3);
  // No folder of a file system is in use because of it.
  if (chdir("/")) muster_process_exit_now(1);
  watch(parent, socket, &process);
}

int muster_process_guard_start(const muster_process *process, int32_t *made, process_plan *plan) {
  int ends[2] = {-1, -1}, pidfd = -1;
  int self = muster_above_stdio(muster_process_pidfd_open(getpid()));
  int error = self < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) ? errno : 0;
  for (int i = 0; i < 2 && !error; i++) {
    ends[i] = muster_above_stdio(ends[i]);
    if (ends[i] < 0) error = errno;
  }
  struct timeval patience = {.tv_sec = 10};
  if (!error && setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience)) error = errno;
  if (!error) {
    process_mask mask = muster_process_block();
    // No signal at its end. No handlers of pthread_atfork(3): it closes what they would see to, and takes no lock.
    long pid = syscall(SYS_clone, (unsigned long)CLONE_PIDFD, NULL, &pidfd, NULL, NULL);
    if (pid == 0) guard(self, ends[0], process);
    *made = pid < 0 ? -1 : muster_above_stdio(pidfd);
    if (*made < 0) error = errno;
    if (pid < 0) plan->step = MUSTER_PROCESS_STEP_GUARD;
    // By its number, where not a descriptor is left: nobody else waits for it.
    if (error && pid > 0) kill((pid_t)pid, SIGKILL), waitpid((pid_t)pid, NULL, __WALL);
    muster_process_set_mask(mask);
  }
  if (error && ends[1] >= 0) close(ends[1]), ends[1] = -1;
  if (ends[0] >= 0) close(ends[0]);
  if (self >= 0) close(self);
  plan->guard = ends[1];
  return error;
}

// To wait for it can't take long: it has no other business, in the kernel or out of it.
void muster_process_guard_end(int32_t *guard) {
  if (*guard < 0) return;
  muster_process_end end;
  muster_process_pidfd_signal(*guard, SIGKILL);
  muster_process_reap(*guard, __WALL, &end);
  muster_process_drop(guard);
}
