// What the tests of heartbeats share: each test is run over all five kinds.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_TEST_HEARTBEAT_SUPPORT_H
#define MUSTER_TEST_HEARTBEAT_SUPPORT_H

#include <errno.h>

#include "muster/heartbeat.h"
#include "support.h"
#include "test.h"

// The functions of a test, and their entries in a suite.
#define EACH_KIND(test)                                                     \
  static void test##_by_memory(void) { test(MUSTER_HEARTBEAT_MEMORY); }     \
  static void test##_by_file(void) { test(MUSTER_HEARTBEAT_FILE); }         \
  static void test##_by_udp(void) { test(MUSTER_HEARTBEAT_UDP); }           \
  static void test##_by_queue(void) { test(MUSTER_HEARTBEAT_QUEUE); }       \
  static void test##_by_signal(void) { test(MUSTER_HEARTBEAT_SIGNAL); }
#define KINDS(test)                                                                                   \
  {#test "_by_memory", test##_by_memory, 0}, {#test "_by_file", test##_by_file, 0},                   \
      {#test "_by_udp", test##_by_udp, 0}, {#test "_by_queue", test##_by_queue, 0}, {                 \
    #test "_by_signal", test##_by_signal, 0                                                           \
  }

// Where listener and sender meet: memory that forked children share.
typedef struct meeting {
  muster_heartbeat_cell cell;
  muster_heartbeat_contact contact;
  uint32_t gate;   // what a child has come to
  uint32_t ready;  // how far the test lets it go
  uint64_t sent;   // the last number whose sending has begun
  uint64_t got;    // the last number that was received
} meeting;

meeting *meet(void);

// Options of a kind: always the same name in one test.
muster_heartbeat_options options_of(muster_heartbeat_kind kind, meeting *at);

muster_heartbeat_listener *listens(muster_heartbeat_kind kind, meeting *at);
muster_heartbeat_listener *listens_after(muster_heartbeat_kind kind, meeting *at, uint64_t epoch, uint64_t number);
muster_heartbeat_sender *connects(muster_heartbeat_kind kind, meeting *at);

// Sends, and demands that it was taken.
void sends(muster_heartbeat_sender *sender, uint64_t epoch, uint64_t number);

// A beat's time as these tests send it, so that a beat which was put together from two is told.
int64_t time_of(uint64_t epoch, uint64_t number);

// The next receive gives this; gives nothing.
void gives(muster_heartbeat_listener *listener, uint64_t epoch, uint64_t number);
void gives_nothing(muster_heartbeat_listener *listener);

// Receives what there is, each whole and newer than the one before; the last number.
uint64_t drain(muster_heartbeat_listener *listener, uint64_t epoch, uint64_t before);

int is_polled(muster_heartbeat_kind kind);
int has_name(muster_heartbeat_kind kind);  // leaves one when its listener is killed
int name_exists(muster_heartbeat_kind kind);

// Closes both, and checks that no name is left.
void closes(muster_heartbeat_kind kind, muster_heartbeat_listener *listener, muster_heartbeat_sender *sender);

// How many signals this process may have pending. Those of a user count together: a test that fills its queue gives others
// that run beside it a chance to send.
void limit_signals(unsigned most);

// What is none of the sender's beats, as far as the kind allows: how many.
unsigned forge(muster_heartbeat_kind kind, meeting *at);

#endif
