// Heartbeats by datagrams to 127.0.0.1. A filter in the kernel lets only those in that have the key, before they take
// room: a flood of others neither fills the queue nor wakes the listener.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal/heartbeat.h"

// What a listener that was stopped finds is old: a few are enough. The kernel doubles it, and counts 768 bytes for each.
enum { UDP_HEADER = 8, MOST = 4096, ROOM = 8192 };

static struct sockaddr_in loopback(uint16_t port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_socket(void) {
  return muster_above_stdio(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// Where there is no such filter (a sandbox), `receive` looks at the key all the same.
static void let_in_only(int file, uint64_t key) {
  uint32_t halves[2];
  memcpy(halves, &key, sizeof halves);
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UDP_HEADER + sizeof(heartbeat_message), 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, UDP_HEADER),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(halves[0]), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, UDP_HEADER + sizeof halves[0]),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(halves[1]), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
  setsockopt(file, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static int udp_listen(const muster_heartbeat_options *options, muster_heartbeat_listener *listener,
                      muster_heartbeat_contact *contact) {
  (void)options;
  muster_held_lock();
  int file = listener->held.file = open_socket(), error = errno;
  muster_held_unlock();
  if (file < 0) return error;
  const int room = ROOM;
  setsockopt(file, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  let_in_only(file, listener->key);
  struct sockaddr_in here = loopback(0);
  socklen_t size = sizeof here;
  if (bind(file, (const struct sockaddr *)&here, size)) return errno;
  if (getsockname(file, (struct sockaddr *)&here, &size)) return errno;
  contact->place = ntohs(here.sin_port);
  return 0;
}

static int udp_receive(muster_heartbeat_listener *listener) {
  for (int i = 0; i < MOST; i++) {
    heartbeat_message message;
    // With MSG_TRUNC the length is the datagram's own.
    ssize_t got = recv(listener->held.file, &message, sizeof message, MSG_DONTWAIT | MSG_TRUNC);
    if (got >= 0) muster_heartbeat_take_message(listener, &message, (size_t)got);
    else if (errno == EAGAIN) return 0;
    else if (errno != EINTR) return errno;
  }
  return 0;
}

static void udp_count(const muster_heartbeat_listener *listener, muster_heartbeat_counts *counts) {
  uint32_t memory[SK_MEMINFO_VARS] = {0};
  socklen_t size = sizeof memory;
  if (!getsockopt(listener->held.file, SOL_SOCKET, SO_MEMINFO, memory, &size)) counts->dropped = memory[SK_MEMINFO_DROPS];
}

static int udp_connect(const muster_heartbeat_options *options, const muster_heartbeat_contact *contact,
                       muster_heartbeat_sender *sender) {
  (void)options;
  if (contact->place == 0 || contact->place > UINT16_MAX) return EPROTO;
  struct sockaddr_in there = loopback((uint16_t)contact->place);
  sender->descriptor = open_socket();
  if (sender->descriptor < 0) return errno;
  return connect(sender->descriptor, (const struct sockaddr *)&there, sizeof there) ? errno : 0;
}

static int udp_send(muster_heartbeat_sender *sender, const muster_heartbeat *beat) {
  heartbeat_message message = {.key = sender->key, .copy = heartbeat_copy_of(sender->key, beat)};
  ssize_t sent;
  do sent = send(sender->descriptor, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0) return 0;
  if (errno == ENOBUFS || errno == ENOMEM) return EAGAIN;
  return errno == EPERM ? EACCES : errno;  // EPERM is a packet filter's
}

const heartbeat_way muster_heartbeat_by_udp = {.can_poll = 1, .listen = udp_listen, .receive = udp_receive,
                                               .count = udp_count, .connect = udp_connect, .send = udp_send};
