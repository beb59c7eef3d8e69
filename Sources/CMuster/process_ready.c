// What a process tells of itself: to the socket that NOTIFY_SOCKET names, or by a newline on a pipe.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "internal/caller.h"
#include "internal/process.h"
#include "internal/process_tree.h"

// What sd_notify(3) sends is shorter; what is longer is cut. And how many are read at once, so that nobody keeps the reader for ever.
enum { MESSAGE = 4096, AT_ONCE = 64, DESCRIPTORS = 32 };

// A name in the abstract space, chosen by the kernel: nothing is to be removed, whoever dies.
int muster_process_socket_make(int32_t *made, char name[32]) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  socklen_t size = sizeof address;
  int on = 1;
  *made = muster_above_stdio(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (*made < 0) return errno;
  if (setsockopt(*made, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) ||
      bind(*made, (struct sockaddr *)&address, sizeof address.sun_family) || getsockname(*made, (struct sockaddr *)&address, &size))
    return errno;
  size_t length = size - offsetof(struct sockaddr_un, sun_path);
  if (length < 2 || length >= 32) return EPROTO;
  name[0] = '@';
  memcpy(name + 1, address.sun_path + 1, length - 1);
  name[length] = 0;
  return 0;
}

// The value of `name=` if the line is that, else NULL.
static const char *value_of(const char *line, const char *name) {
  size_t length = strlen(name);
  return !strncmp(line, name, length) && line[length] == '=' ? line + length + 1 : NULL;
}

// As much as there is room for, but no part of a character; and nothing that a terminal would obey.
static void keep_status(char to[MUSTER_PROCESS_STATUS_SIZE], const char *text) {
  size_t length = strlen(text), kept = length < MUSTER_PROCESS_STATUS_SIZE ? length : MUSTER_PROCESS_STATUS_SIZE - 1;
  while (kept && kept < length && ((unsigned char)text[kept] & 0xc0) == 0x80) kept--;
  for (size_t i = 0; i < kept; i++) to[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i];
  to[kept] = 0;
}

// Returns whether the line says something that is kept.
static int heed_line(muster_process_notice *notice, const char *line) {
  const char *value;
  if ((value = value_of(line, "READY"))) {
    if (strcmp(value, "1")) return 0;
    notice->ready = 1;
  } else if ((value = value_of(line, "STATUS"))) {
    keep_status(notice->status, value);
  } else if ((value = value_of(line, "STOPPING"))) {
    if (strcmp(value, "1")) return 0;
    notice->stopping = 1;
  } else if ((value = value_of(line, "WATCHDOG"))) {
    if (strcmp(value, "1")) return 0;
    notice->watchdogs++;
  } else if ((value = value_of(line, "ERRNO"))) {
    char *end;
    unsigned long number = strtoul(value, &end, 10);
    if (end == value || *end || number > 4095) return 0;
    notice->error = (int32_t)number;
  } else {
    return 0;
  }
  return 1;
}

static int heed(muster_process_notice *notice, char *text) {
  int news = 0;
  for (char *line = text; line;) {
    char *end = strchr(line, '\n');
    if (end) *end = 0;
    news |= heed_line(notice, line);
    line = end ? end + 1 : NULL;
  }
  return news;
}

static void close_all(const struct cmsghdr *part) {
  size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t i = 0; i < count; i++) {
    int file;
    memcpy(&file, CMSG_DATA(part) + i * sizeof file, sizeof file);
    close(file);
  }
}

// Who has sent it, as the kernel says; 0: it doesn't. What else came along is closed. (musl's CMSG_NXTHDR does not compile without warnings.)
static pid_t sender_of(const struct msghdr *message) {
  pid_t sender = 0;
  const char *bytes = message->msg_control;
  for (size_t at = 0, end = message->msg_controllen; end - at >= sizeof(struct cmsghdr);) {
    const struct cmsghdr *part = (const struct cmsghdr *)(const void *)(bytes + at);
    if (part->cmsg_len < CMSG_LEN(0) || part->cmsg_len > end - at) break;
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) close_all(part);
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS && part->cmsg_len >= CMSG_LEN(sizeof(struct ucred))) {
      struct ucred who;
      memcpy(&who, CMSG_DATA(part), sizeof who);
      sender = who.pid;
    }
    size_t next = CMSG_ALIGN(part->cmsg_len);
    at = next < end - at ? at + next : end;
  }
  return sender;
}

static int hear_socket(muster_process *process) {
  int news = 0;
  for (int i = 0; i < AT_ONCE; i++) {
    char text[MESSAGE + 1];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    struct iovec part = {text, MESSAGE};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(process->ready, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) break;
    pid_t sender = sender_of(&message);
    if (sender != process->pid && !muster_process_tree_has(process, sender)) continue;
    text[length] = 0;
    news |= heed(&process->notice, text);
  }
  return news;
}

static int hear_pipe(muster_process *process) {
  char bytes[256];
  for (int i = 0; i < AT_ONCE; i++) {
    ssize_t length = read(process->ready, bytes, sizeof bytes);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return 0;
    if (length > 0 && !memchr(bytes, '\n', (size_t)length)) continue;
    // Nothing that comes later counts.
    if (length > 0) process->notice.ready = 1;
    process->notice.closed = length == 0;
    muster_process_drop(&process->ready);
    return 1;
  }
  return 0;
}

static int hear(muster_process *process) {
  if (process->ready < 0) return EAGAIN;
  int news = process->readiness == MUSTER_PROCESS_READY_SOCKET ? hear_socket(process) : hear_pipe(process);
  return news ? 0 : EAGAIN;
}

// Closed before it ended, or never open.
static int holds_nothing(const muster_process *process) { return !process->readiness || (process->pidfd < 0 && !process->end.kind); }

int muster_process_hear(muster_process *process) {
  if (holds_nothing(process)) return EINVAL;
  muster_caller came = muster_enter();
  int status = hear(process);
  muster_leave(came);
  return status;
}

// What it said before it ended is there to be read after its end is seen; so: the end first, then what it said.
static int look_if_ready(muster_process *process) {
  int ended = process->end.kind || muster_process_ended_by(process->pidfd, MUSTER_DEADLINE_NOW);
  (void)hear(process);
  if (process->notice.ready) return 0;
  if (ended) return EOWNERDEAD;
  return process->notice.closed ? EPIPE : EAGAIN;
}

// Its end closes the pipe before it is told; how long before depends on who else is to run. That it is on its way is
// to be seen from before the pipe was closed.
static int is_ending(const muster_process *process, muster_deadline deadline) {
  enum { PF_EXITING = 4 };
  process_stat stat;
  if (muster_process_ended_by(process->pidfd, MUSTER_DEADLINE_NOW)) return 1;
  int exits = muster_process_read_stat(process->pid, &stat) != 0 || stat.flags & PF_EXITING;
  if (!exits) return muster_process_ended_by(process->pidfd, MUSTER_DEADLINE_NOW);
  muster_deadline soon = muster_deadline_after(1000000000);
  return muster_process_ended_by(process->pidfd, deadline > soon ? deadline : soon);
}

int muster_process_ready(muster_process *process, muster_deadline deadline) {
  if (holds_nothing(process)) return EINVAL;
  muster_caller came = muster_enter();
  int status;
  while ((status = look_if_ready(process)) == EAGAIN) {
    struct pollfd polled[] = {{.fd = process->ready, .events = POLLIN}, {.fd = process->pidfd, .events = POLLIN}};
    if (muster_deadline_passed(deadline)) {
      status = ETIMEDOUT;
      break;
    }
    (void)muster_process_sleep_at(polled, 2, deadline);
  }
  if (status == EPIPE && is_ending(process, deadline)) status = EOWNERDEAD;
  muster_leave(came);
  return status;
}

static int send_to(const char *name, const char *text) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  if ((*name != '@' && *name != '/') || !name[1] || length >= sizeof address.sun_path) return EINVAL;
  memcpy(address.sun_path, name, length);
  if (*name == '@') address.sun_path[0] = 0;
  int file = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (file < 0) return errno;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  ssize_t sent;
  do sent = sendto(file, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, size);
  while (sent < 0 && errno == EINTR);
  int error = sent < 0 ? errno : 0;
  close(file);
  return error;
}

int muster_process_tell(const char *text) {
  const char *name = getenv("NOTIFY_SOCKET");
  if (!name) return ENOENT;
  muster_caller came = muster_enter();
  int error = send_to(name, text);
  muster_leave(came);
  return error;
}
