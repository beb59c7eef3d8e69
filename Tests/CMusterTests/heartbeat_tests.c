// Heartbeats, the same scenarios over each of the five kinds.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "heartbeat_support.h"

static int is_readable(muster_heartbeat_listener *listener) {
  struct pollfd one = {.fd = muster_heartbeat_descriptor(listener), .events = POLLIN};
  return poll(&one, 1, 0) == 1 && one.revents == POLLIN;
}

static muster_heartbeat_counts counts_of(muster_heartbeat_listener *listener) {
  muster_heartbeat_counts counts;
  muster_heartbeat_count(listener, &counts);
  return counts;
}

static void first_beat(muster_heartbeat_kind kind) {
  meeting *at = meet();
  muster_heartbeat_listener *listener = listens(kind, at);
  muster_heartbeat_sender *sender = connects(kind, at);
  gives_nothing(listener);
  CHECK_EQUAL(muster_heartbeat_descriptor(listener) >= 0, is_polled(kind));
  if (is_polled(kind)) CHECK(!is_readable(listener));
  sends(sender, 1, 1);
  if (is_polled(kind)) CHECK(is_readable(listener));
  gives(listener, 1, 1);
  if (is_polled(kind)) CHECK(!is_readable(listener));
  gives_nothing(listener);
  CHECK_EQUAL(counts_of(listener).beats, 1);
  closes(kind, listener, sender);
}
EACH_KIND(first_beat)

static void each_in_turn(muster_heartbeat_kind kind) {
  meeting *at = meet();
  muster_heartbeat_listener *listener = listens(kind, at);
  muster_heartbeat_sender *sender = connects(kind, at);
  for (uint64_t number = 1; number <= 200; number++) {
    sends(sender, number / 50, number);
    gives(listener, number / 50, number);
    gives_nothing(listener);
  }
  CHECK_EQUAL(counts_of(listener).beats, 200);
  CHECK_EQUAL(counts_of(listener).old, 0);
  CHECK_EQUAL(counts_of(listener).foreign, 0);
  closes(kind, listener, sender);
}
EACH_KIND(each_in_turn)

static void newest_of_many(muster_heartbeat_kind kind) {
  meeting *at = meet();
  muster_heartbeat_listener *listener = listens(kind, at);
  muster_heartbeat_sender *sender = connects(kind, at);
  for (uint64_t number = 1; number <= 7; number++) sends(sender, 1, number);
  gives(listener, 1, 7);
  gives_nothing(listener);
  CHECK_EQUAL(counts_of(listener).beats + counts_of(listener).old, is_polled(kind) ? 7 : 2);
  closes(kind, listener, sender);
}
EACH_KIND(newest_of_many)

static void old_beats(muster_heartbeat_kind kind) {
  meeting *at = meet();
  muster_heartbeat_listener *listener = listens_after(kind, at, 3, 10);
  muster_heartbeat_sender *sender = connects(kind, at);
  sends(sender, 2, 100);
  gives_nothing(listener);
  sends(sender, 3, 10);
  gives_nothing(listener);
  sends(sender, 3, 11);
  gives(listener, 3, 11);
  sends(sender, 3, 11);
  gives_nothing(listener);
  sends(sender, 2, 1000);
  gives_nothing(listener);
  CHECK(counts_of(listener).old >= (is_polled(kind) ? 4 : 3));
  sends(sender, 5, 1);
  gives(listener, 5, 1);
  sends(sender, 3, 2000);
  gives_nothing(listener);
  muster_heartbeat beat;
  CHECK_STATUS(muster_heartbeat_receive(listener, &beat), EAGAIN);
  CHECK_EQUAL(beat.epoch, 5);
  CHECK_EQUAL(beat.number, 1);
  CHECK_EQUAL(counts_of(listener).foreign, 0);
  closes(kind, listener, sender);
}
EACH_KIND(old_beats)

static void large_numbers(muster_heartbeat_kind kind) {
  meeting *at = meet();
  const uint64_t epoch = UINT64_C(0xfedcba9876540000), number = UINT64_C(0xffffffff00000000);
  muster_heartbeat_listener *listener = listens_after(kind, at, epoch, number - 5);
  muster_heartbeat_sender *sender = connects(kind, at);
  for (uint64_t i = number - 4; i != number + 4; i++) {
    sends(sender, epoch, i);
    gives(listener, epoch, i);
  }
  sends(sender, epoch + 7, 1);
  gives(listener, epoch + 7, 1);
  closes(kind, listener, sender);
}
EACH_KIND(large_numbers)

static void stamped(muster_heartbeat_kind kind) {
  meeting *at = meet();
  muster_heartbeat_listener *listener = listens(kind, at);
  muster_heartbeat_sender *sender = connects(kind, at);
  int64_t before = muster_clock_now();
  muster_heartbeat beat = {.epoch = 1, .number = 1};
  CHECK_STATUS(muster_heartbeat_send(sender, &beat), 0);
  CHECK_STATUS(muster_heartbeat_receive(listener, &beat), 0);
  CHECK(beat.time >= before && beat.time <= muster_clock_now());
  CHECK_EQUAL(counts_of(listener).modified != 0, kind == MUSTER_HEARTBEAT_FILE);
  beat.number = 0;
  CHECK_STATUS(muster_heartbeat_send(sender, &beat), EINVAL);
  gives_nothing(listener);
  closes(kind, listener, sender);
}
EACH_KIND(stamped)

static void forgeries(muster_heartbeat_kind kind) {
  meeting *at = meet();
  muster_heartbeat_listener *listener = listens(kind, at);
  muster_heartbeat_sender *sender = connects(kind, at);
  unsigned count = forge(kind, at);
  gives_nothing(listener);
  muster_heartbeat_counts counts = counts_of(listener);
  CHECK_EQUAL(counts.foreign + counts.dropped, count);
  CHECK_EQUAL(counts.beats + counts.old, 0);
  gives_nothing(listener);
  CHECK_EQUAL(counts_of(listener).foreign, counts.foreign);
  // The two copies of memory and file are each mended in their turn.
  sends(sender, 1, 1);
  sends(sender, 1, 2);
  gives(listener, 1, 2);
  forge(kind, at);
  sends(sender, 1, 3);
  gives(listener, 1, 3);
  closes(kind, listener, sender);
}
EACH_KIND(forgeries)

// A sender that was started anew, and one that is still there beside it, by the same contact.
static void next_sender(muster_heartbeat_kind kind) {
  meeting *at = meet();
  muster_heartbeat_listener *listener = listens(kind, at);
  for (uint64_t number = 1; number <= 9; number += 3) {
    muster_heartbeat_sender *sender = connects(kind, at);
    for (uint64_t i = number; i < number + 3; i++) sends(sender, 1, i);
    muster_heartbeat_sender_close(sender);
  }
  gives(listener, 1, 9);
  // Whichever copy was written last, the next sender leaves it alone.
  for (uint64_t number = 10; number < 20; number++) {
    muster_heartbeat_sender *sender = connects(kind, at);
    sends(sender, 1, number);
    muster_heartbeat_sender_close(sender);
    sender = connects(kind, at);
    gives(listener, 1, number);
    muster_heartbeat_sender_close(sender);
  }
  closes(kind, listener, NULL);
}
EACH_KIND(next_sender)

static int until_refused(muster_heartbeat_kind kind, muster_heartbeat_sender *sender, uint64_t number) {
  muster_heartbeat beat = {.epoch = 1, .number = number, .time = 1};
  int status = muster_heartbeat_send(sender, &beat);
  beat.number++;
  if (status == 0 && kind == MUSTER_HEARTBEAT_UDP) status = muster_heartbeat_send(sender, &beat);
  return status;
}

static void closed_listener(muster_heartbeat_kind kind) {
  meeting *at = meet();
  muster_heartbeat_options options = options_of(kind, at);
  muster_heartbeat_listener *listener = listens(kind, at);
  muster_heartbeat_sender *sender = connects(kind, at), *late;
  muster_heartbeat_contact before = at->contact;
  sends(sender, 1, 1);
  closes(kind, listener, NULL);
  int told = kind != MUSTER_HEARTBEAT_SIGNAL;
  CHECK_STATUS(until_refused(kind, sender, 2), told ? ECONNREFUSED : 0);
  CHECK_STATUS(until_refused(kind, sender, 4), told ? ECONNREFUSED : 0);
  if (kind != MUSTER_HEARTBEAT_UDP && told) CHECK_STATUS(muster_heartbeat_connect(&options, &before, &late), ECONNREFUSED);
  // Somebody listens anew under the name: by another contact, which the old one does not reach.
  listener = listens(kind, at);
  CHECK(at->contact.key != before.key);
  CHECK_STATUS(until_refused(kind, sender, 6), told ? ECONNREFUSED : 0);
  gives_nothing(listener);
  muster_heartbeat_sender_close(sender);
  sender = connects(kind, at);
  sends(sender, 1, 1);
  gives(listener, 1, 1);
  closes(kind, listener, sender);
}
EACH_KIND(closed_listener)

// Two under one name exclude each other; where there is no name they don't meet.
static void second_listener(muster_heartbeat_kind kind) {
  meeting *at = meet(), *there = meet();
  muster_heartbeat_listener *listener = listens(kind, at), *second;
  muster_heartbeat_options options = options_of(kind, there);
  CHECK_STATUS(muster_heartbeat_remove(&options), has_name(kind) ? EBUSY : EINVAL);
  CHECK_STATUS(muster_heartbeat_listen(&options, &second, &there->contact), has_name(kind) ? EBUSY : 0);
  muster_heartbeat_sender *sender = connects(kind, at);
  if (second) {
    muster_heartbeat_sender *other = connects(kind, there);
    sends(other, 1, 5);
    sends(sender, 1, 6);
    gives(second, 1, 5);
    muster_heartbeat_sender_close(other);
    CHECK_STATUS(muster_heartbeat_listener_close(second), 0);
  } else {
    sends(sender, 1, 6);
  }
  gives(listener, 1, 6);
  closes(kind, listener, sender);
  if (has_name(kind)) CHECK_STATUS(muster_heartbeat_remove(&options), ENOENT);
}
EACH_KIND(second_listener)

static void wrong_contacts(muster_heartbeat_kind kind) {
  meeting *at = meet();
  muster_heartbeat_options options = options_of(kind, at);
  muster_heartbeat_listener *listener = listens(kind, at);
  muster_heartbeat_sender *sender;
  muster_heartbeat_contact spoilt = {0};
  CHECK_STATUS(muster_heartbeat_connect(&options, &spoilt, &sender), EBADMSG);
  for (size_t i = 0; i < sizeof spoilt; i++) {
    for (int bit = 0; bit < 8; bit++) {
      spoilt = at->contact;
      ((unsigned char *)&spoilt)[i] ^= (unsigned char)(1 << bit);
      CHECK_STATUS(muster_heartbeat_connect(&options, &spoilt, &sender), EBADMSG);
      CHECK(!sender);
    }
  }
  options.kind = kind == MUSTER_HEARTBEAT_SIGNAL ? MUSTER_HEARTBEAT_MEMORY : kind + 1;
  CHECK_STATUS(muster_heartbeat_connect(&options, &at->contact, &sender), EPROTO);
  options.kind = 0;
  CHECK_STATUS(muster_heartbeat_connect(&options, &at->contact, &sender), EINVAL);
  options.kind = 6;
  CHECK_STATUS(muster_heartbeat_connect(&options, &at->contact, &sender), EINVAL);
  closes(kind, listener, NULL);
}
EACH_KIND(wrong_contacts)

typedef struct inherited {
  muster_heartbeat_kind kind;
  muster_heartbeat_listener *listener;
  muster_heartbeat_sender *sender;
  int descriptor;
} inherited;

static void child_has_nothing(void *context) {
  inherited *of = context;
  muster_heartbeat beat = {.epoch = 1, .number = 9};
  CHECK_STATUS(muster_heartbeat_receive(of->listener, &beat), EPERM);
  CHECK_STATUS(muster_heartbeat_send(of->sender, &beat), EPERM);
  CHECK_EQUAL(muster_heartbeat_descriptor(of->listener), -1);
  if (of->descriptor >= 0) CHECK(fcntl(of->descriptor, F_GETFD) < 0 && errno == EBADF);
  counts_of(of->listener);
  CHECK_STATUS(muster_heartbeat_listener_close(of->listener), 0);
  muster_heartbeat_sender_close(of->sender);
}

static void forked(muster_heartbeat_kind kind) {
  meeting *at = meet();
  inherited of = {.kind = kind, .listener = listens(kind, at), .sender = connects(kind, at)};
  of.descriptor = muster_heartbeat_descriptor(of.listener);
  test_join(test_fork(child_has_nothing, &of), 0);
  sends(of.sender, 1, 1);
  gives(of.listener, 1, 1);
  closes(kind, of.listener, of.sender);
}
EACH_KIND(forked)

static void descriptors(muster_heartbeat_kind kind) {
  meeting *at = meet();
  closes(kind, listens(kind, at), NULL);
  unsigned before = count_descriptors(), more = 0;
  int was_open[256];
  for (int file = 0; file < 256; file++) was_open[file] = fcntl(file, F_GETFD) >= 0;
  muster_heartbeat_listener *listener = listens(kind, at);
  muster_heartbeat_sender *sender = connects(kind, at);
  for (int file = 0; file < 256; file++) {
    int flags = fcntl(file, F_GETFD);
    if (flags < 0 || was_open[file]) continue;
    CHECK(flags & FD_CLOEXEC);
    more++;
  }
  CHECK_EQUAL(count_descriptors(), before + more);
  CHECK_EQUAL(more, kind == MUSTER_HEARTBEAT_MEMORY ? 0 : kind == MUSTER_HEARTBEAT_FILE ? 3 : 2);
  closes(kind, listener, sender);
  CHECK_EQUAL(count_descriptors(), before);
}
EACH_KIND(descriptors)

// In a program that has closed stdin, stdout and stderr nothing of it takes their place.
static void closes_stdio(void *context) {
  muster_heartbeat_kind kind = *(muster_heartbeat_kind *)context;
  meeting *at = meet();
  int kept = dup(2);
  for (int i = 0; i < 3; i++) close(i);
  muster_heartbeat_listener *listener = listens(kind, at);
  muster_heartbeat_sender *sender = connects(kind, at);
  int taken = 0;
  for (int i = 0; i < 3; i++) taken |= fcntl(i, F_GETFD) >= 0;
  dup2(kept, 2);
  CHECK(!taken);
  closes(kind, listener, sender);
}

static void no_stdio(muster_heartbeat_kind kind) { test_join(test_fork(closes_stdio, &kind), 0); }
EACH_KIND(no_stdio)

static void errno_stays(muster_heartbeat_kind kind) {
  meeting *at = meet();
  errno = 12345;
  muster_heartbeat_listener *listener = listens(kind, at);
  muster_heartbeat_sender *sender = connects(kind, at);
  sends(sender, 1, 1);
  gives(listener, 1, 1);
  gives_nothing(listener);
  counts_of(listener);
  CHECK_STATUS(muster_heartbeat_listener_close(listener), 0);
  until_refused(kind, sender, 2);
  muster_heartbeat_sender_close(sender);
  CHECK_EQUAL(errno, 12345);
}
EACH_KIND(errno_stays)

static int listen_as(muster_heartbeat_options options) {
  muster_heartbeat_listener *listener;
  muster_heartbeat_contact contact;
  int status = muster_heartbeat_listen(&options, &listener, &contact);
  CHECK_EQUAL(listener != NULL, status == 0);
  muster_heartbeat_listener_close(listener);
  return status;
}

static void wrong_options(void) {
  meeting *at = meet();
  char name[300];
  CHECK_STATUS(listen_as((muster_heartbeat_options){0}), EINVAL);
  CHECK_STATUS(listen_as((muster_heartbeat_options){.kind = 6}), EINVAL);
  CHECK_STATUS(listen_as((muster_heartbeat_options){.kind = MUSTER_HEARTBEAT_MEMORY}), EINVAL);
  void *odd = (char *)&at->cell + 8;
  CHECK_STATUS(listen_as((muster_heartbeat_options){.kind = MUSTER_HEARTBEAT_MEMORY, .cell = odd}), EINVAL);
  for (int k = 0; k < 2; k++) {
    muster_heartbeat_options options = {.kind = k ? MUSTER_HEARTBEAT_QUEUE : MUSTER_HEARTBEAT_FILE};
    CHECK_STATUS(listen_as(options), EINVAL);
    const char *bad[] = {"", "/", "a/b", "//a", "../a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
      options.name = bad[i];
      CHECK_STATUS(listen_as(options), EINVAL);
    }
    memset(name, 'x', sizeof name);
    name[246] = 0;
    options.name = name;
    CHECK_STATUS(listen_as(options), ENAMETOOLONG);
    snprintf(name, 64, "%s", test_name("long"));
    memset(name + strlen(name), 'x', 245 - strlen(name));
    name[245] = 0;
    CHECK_STATUS(listen_as(options), 0);
  }
  muster_heartbeat_options file = {.kind = MUSTER_HEARTBEAT_FILE, .name = "a", .folder = ""};
  CHECK_STATUS(listen_as(file), EINVAL);
  file.folder = "/nowhere/at/all";
  CHECK_STATUS(listen_as(file), ENOENT);
  CHECK_STATUS(muster_heartbeat_remove(&file), ENOENT);
  file.folder = "/dev/null";
  CHECK_STATUS(listen_as(file), ENOTDIR);
}

TEST_SUITE(heartbeat, KINDS(first_beat), KINDS(each_in_turn), KINDS(newest_of_many), KINDS(old_beats),
           KINDS(large_numbers), KINDS(stamped), KINDS(forgeries), KINDS(next_sender), KINDS(closed_listener),
           KINDS(second_listener), KINDS(wrong_contacts), KINDS(forked), KINDS(descriptors), KINDS(no_stdio),
           KINDS(errno_stays), {"wrong_options", wrong_options, 0});
