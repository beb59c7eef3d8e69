// SPDX-License-Identifier: Apache-2.0
#include "heartbeat_support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal/heartbeat.h"

static const char *beat_name(void) {
  static const char *name;
  if (!name) name = test_name("beat");
  return name;
}

meeting *meet(void) {
  REQUIRE(muster_heartbeat_cell_size() == sizeof(muster_heartbeat_cell));
  beat_name();  // children have the test's
  return shared_memory(sizeof(meeting));
}

muster_heartbeat_options options_of(muster_heartbeat_kind kind, meeting *at) {
  return (muster_heartbeat_options){.kind = kind, .name = beat_name(), .cell = &at->cell};
}

muster_heartbeat_listener *listens_after(muster_heartbeat_kind kind, meeting *at, uint64_t epoch, uint64_t number) {
  muster_heartbeat_options options = options_of(kind, at);
  options.after = (muster_heartbeat){.epoch = epoch, .number = number};
  muster_heartbeat_listener *listener;
  int status = muster_heartbeat_listen(&options, &listener, &at->contact);
  if (status == ENOSYS && kind == MUSTER_HEARTBEAT_QUEUE) test_skip("the kernel has no message queues");
  CHECK_STATUS(status, 0);
  REQUIRE(listener);
  return listener;
}

muster_heartbeat_listener *listens(muster_heartbeat_kind kind, meeting *at) { return listens_after(kind, at, 0, 0); }

muster_heartbeat_sender *connects(muster_heartbeat_kind kind, meeting *at) {
  muster_heartbeat_options options = options_of(kind, at);
  muster_heartbeat_sender *sender;
  CHECK_STATUS(muster_heartbeat_connect(&options, &at->contact, &sender), 0);
  REQUIRE(sender);
  return sender;
}

int64_t time_of(uint64_t epoch, uint64_t number) { return (int64_t)(epoch * 1000003 + number * 7 + 1); }

// Signals of other programs of this user, tests beside this one too, may have used up the common limit for a moment.
void sends(muster_heartbeat_sender *sender, uint64_t epoch, uint64_t number) {
  muster_heartbeat beat = {.epoch = epoch, .number = number, .time = time_of(epoch, number)};
  muster_deadline end = soon();
  int status;
  do status = muster_heartbeat_send(sender, &beat);
  while (status == EAGAIN && sender->way == &muster_heartbeat_by_signal && !muster_deadline_passed(end));
  CHECK_STATUS(status, 0);
}

static void check_time(muster_heartbeat_listener *listener, const muster_heartbeat *beat) {
  int by_signal = listener->way == &muster_heartbeat_by_signal;
  if (!by_signal) CHECK_EQUAL(beat->time, time_of(beat->epoch, beat->number));
  else CHECK(beat->time > 0 && beat->time <= muster_clock_now());
}

void gives(muster_heartbeat_listener *listener, uint64_t epoch, uint64_t number) {
  muster_heartbeat beat = {0};
  CHECK_STATUS(muster_heartbeat_receive(listener, &beat), 0);
  CHECK_EQUAL(beat.epoch, epoch);
  CHECK_EQUAL(beat.number, number);
  check_time(listener, &beat);
}

void gives_nothing(muster_heartbeat_listener *listener) {
  muster_heartbeat beat;
  CHECK_STATUS(muster_heartbeat_receive(listener, &beat), EAGAIN);
}

uint64_t drain(muster_heartbeat_listener *listener, uint64_t epoch, uint64_t before) {
  muster_heartbeat beat;
  int status;
  while ((status = muster_heartbeat_receive(listener, &beat)) == 0) {
    CHECK_EQUAL(beat.epoch, epoch);
    CHECK(beat.number > before);
    check_time(listener, &beat);
    before = beat.number;
  }
  CHECK_STATUS(status, EAGAIN);
  return before;
}

int is_polled(muster_heartbeat_kind kind) { return kind >= MUSTER_HEARTBEAT_UDP; }
int has_name(muster_heartbeat_kind kind) { return kind == MUSTER_HEARTBEAT_FILE || kind == MUSTER_HEARTBEAT_QUEUE; }

static const char *slashed(void) {
  static char name[128];
  snprintf(name, sizeof name, "/%s.heartbeat", beat_name());
  return name;
}

int name_exists(muster_heartbeat_kind kind) {
  if (kind == MUSTER_HEARTBEAT_FILE) return inode_of(shm_path(slashed() + 1)) != 0;
  mqd_t there = kind == MUSTER_HEARTBEAT_QUEUE ? mq_open(slashed(), O_RDONLY) : -1;
  if (there < 0) return 0;
  mq_close(there);
  return 1;
}

void closes(muster_heartbeat_kind kind, muster_heartbeat_listener *listener, muster_heartbeat_sender *sender) {
  CHECK_STATUS(muster_heartbeat_listener_close(listener), 0);
  muster_heartbeat_sender_close(sender);
  CHECK(!name_exists(kind));
}

void limit_signals(unsigned most) {
  struct rlimit limit;
  REQUIRE(getrlimit(RLIMIT_SIGPENDING, &limit) == 0);
  if (limit.rlim_cur > most) limit.rlim_cur = most;
  REQUIRE(setrlimit(RLIMIT_SIGPENDING, &limit) == 0);
}

// ---- Forgeries.

static heartbeat_message forged(const meeting *at, int spoil) {
  muster_heartbeat beat = {.epoch = 9, .number = 999, .time = 5};
  heartbeat_message message = {.key = at->contact.key, .copy = heartbeat_copy_of(at->contact.key, &beat)};
  if (spoil == 0) message.key ^= 1, message.copy = heartbeat_copy_of(message.key, &beat);
  if (spoil == 1) message.copy.check ^= 1;
  if (spoil == 2) message.copy.epoch++;
  if (spoil == 3) message.copy.number += 1000;
  if (spoil == 4) message.copy.time++;
  return message;
}

enum { SPOILT = 5 };

static unsigned forge_memory(meeting *at) {
  muster_heartbeat_cell *cell = &at->cell;
  uint64_t sum = muster_heartbeat_sum(at->contact.key ^ 1, 9, 999, 5);
  for (int i = 0; i < 2; i++) {
    cell->copies[i][0] = 9, cell->copies[i][1] = 999, cell->copies[i][2] = 5 + (uint64_t)i;
    cell->check[i] = (uint32_t)(sum >> 32);
  }
  return 2;
}

static unsigned forge_file(const meeting *at) {
  int file = open(shm_path(slashed() + 1), O_RDWR | O_CLOEXEC);
  REQUIRE(file >= 0);
  for (int i = 0; i < 2; i++) {
    heartbeat_message message = forged(at, i * 2);
    CHECK(pwrite(file, &message.copy, sizeof message.copy, (off_t)(64 + 32 * i)) == 32);
  }
  close(file);
  return 2;
}

static unsigned forge_udp(const meeting *at) {
  int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)at->contact.place),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  REQUIRE(connect(file, (struct sockaddr *)&to, sizeof to) == 0);
  unsigned count = 0;
  for (int i = 0; i < SPOILT; i++, count++) {
    heartbeat_message message = forged(at, i);
    CHECK(send(file, &message, sizeof message, 0) == sizeof message);
  }
  char large[1400] = {0};
  heartbeat_message whole = forged(at, -1);
  memcpy(large, &whole, sizeof whole);
  for (size_t size = 0; size <= sizeof large; size += size < sizeof whole - 1 ? 13 : 300, count++)
    CHECK(send(file, large, size, 0) == (ssize_t)size);
  close(file);
  return count;
}

static unsigned forge_queue(const meeting *at) {
  mqd_t queue = mq_open(slashed(), O_WRONLY | O_NONBLOCK);
  REQUIRE(queue >= 0);
  unsigned count = 0;
  for (int i = 0; i < SPOILT; i++, count++) {
    heartbeat_message message = forged(at, i);
    CHECK(mq_send(queue, (char *)&message, sizeof message, (unsigned)i) == 0);
  }
  heartbeat_message whole = forged(at, -1);
  for (size_t size = 0; size < sizeof whole; size += 20, count++) CHECK(mq_send(queue, (char *)&whole, size, 0) == 0);
  mq_close(queue);
  return count;
}

static unsigned forge_signal(const meeting *at) {
  int number = (int)(at->contact.place & 0xff);
  CHECK(kill(at->contact.pid, number) == 0);
  for (uintptr_t i = 0; i < 20; i++)
    while (sigqueue(at->contact.pid, number, (union sigval){.sival_ptr = (void *)(i << (i * 3))})) REQUIRE(errno == EAGAIN);
  return 21;
}

unsigned forge(muster_heartbeat_kind kind, meeting *at) {
  switch (kind) {
    case MUSTER_HEARTBEAT_MEMORY: return forge_memory(at);
    case MUSTER_HEARTBEAT_FILE: return forge_file(at);
    case MUSTER_HEARTBEAT_UDP: return forge_udp(at);
    case MUSTER_HEARTBEAT_QUEUE: return forge_queue(at);
    case MUSTER_HEARTBEAT_SIGNAL: return forge_signal(at);
  }
  return 0;
}
