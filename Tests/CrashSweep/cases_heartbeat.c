// Heartbeats: whatever instruction a sender or listener ends or stops at, the other sees whole beats, each once, and who
// comes next has the name.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "muster/heartbeat.h"
#include "sweep.h"

enum { BEGUN = 3 };  // beats before the operation

// What the processes of a case tell each other; in the arena.
typedef struct notes {
  muster_heartbeat_cell cell;
  muster_heartbeat_contact contact, before;
  muster_heartbeat received;
} notes;

static notes *note(void) { return (notes *)(void *)sweep->arena; }

static muster_heartbeat_listener *listener, *mine;
static muster_heartbeat_sender *sender, *old;
static uint64_t given;  // the newest beat of epoch 1 that the survivor was given

static muster_heartbeat_options options(void) {
  return (muster_heartbeat_options){.kind = (muster_heartbeat_kind)sweep->variant, .name = sweep_name("beat"),
                                    .cell = &note()->cell};
}

static int listens(muster_heartbeat_listener **made) {
  muster_heartbeat_options by = options();
  return muster_heartbeat_listen(&by, made, &note()->contact);
}

static muster_heartbeat_sender *connects(void) {
  muster_heartbeat_options by = options();
  muster_heartbeat_sender *made;
  SWEEP_STATUS(muster_heartbeat_connect(&by, &note()->contact, &made), 0);
  return made;
}

static int64_t time_of(uint64_t epoch, uint64_t number) { return (int64_t)(epoch * 1000003 + number * 7 + 1); }

static int send(muster_heartbeat_sender *by, uint64_t epoch, uint64_t number) {
  muster_heartbeat beat = {.epoch = epoch, .number = number, .time = time_of(epoch, number)};
  return muster_heartbeat_send(by, &beat);
}

static void check_whole(const muster_heartbeat *beat) {
  if (sweep->variant != MUSTER_HEARTBEAT_SIGNAL) SWEEP_EQUAL(beat->time, time_of(beat->epoch, beat->number));
}

// Receives once: the number, of that epoch and newer than what was given, or 0.
static uint64_t receive(uint64_t epoch) {
  muster_heartbeat beat;
  int status = muster_heartbeat_receive(listener, &beat);
  if (status) return SWEEP_STATUS(status, EAGAIN), 0;
  check_whole(&beat);
  SWEEP_EQUAL(beat.epoch, epoch);
  return beat.number;
}

static int has_name(void) {
  return sweep->variant == MUSTER_HEARTBEAT_FILE || sweep->variant == MUSTER_HEARTBEAT_QUEUE;
}

static int removes(void) {
  muster_heartbeat_options by = options();
  return muster_heartbeat_remove(&by);
}

// The harness clears /dev/shm between runs, and knows no queues: what a recording has left, whose processes may be dying
// still, goes here.
static void clear(void) {
  while (removes() == EBUSY && sweep_now() < sweep_deadline()) sweep_pause(100000);
}

// Whoever listens now is alone with the name, is heard of, and leaves nothing.
static int listens_and_ends(int number) {
  (void)number;
  int status = listens(&listener);
  if (status) return status;
  sender = connects();
  SWEEP_STATUS(send(sender, 7, 1), 0);
  SWEEP_EQUAL(receive(7), 1);
  muster_heartbeat_sender_close(sender);
  return muster_heartbeat_listener_close(listener);
}

static int listens_and_dies(int number) {
  (void)number;
  SWEEP_STATUS(listens(&listener), 0);
  raise(SIGKILL);
  return 1;
}

static void check_next(void) {
  sweep_newcomer(listens_and_ends, 0);
  SWEEP_STATUS(removes(), has_name() ? ENOENT : EINVAL);
}

// ---- Sending.

static void send_setup(void) {
  clear();
  SWEEP_STATUS(listens(&listener), 0);
  sender = connects();
  for (uint64_t i = 1; i < BEGUN; i++) SWEEP_STATUS(send(sender, 1, i), 0);
  muster_heartbeat_sender_close(sender);
}

static void send_prepare(void) {
  sender = connects();
  SWEEP_STATUS(send(sender, 1, BEGUN), 0);
}

static int send_operate(void) { return send(sender, 1, BEGUN + 1); }
static void send_finish(void) { muster_heartbeat_sender_close(sender); }

static void send_meanwhile(void) {
  given = receive(1);
  SWEEP_CHECK(given == BEGUN || given == BEGUN + 1);
  SWEEP_EQUAL(receive(1), 0);
}

static int sends_next(int number) {
  sender = connects();
  SWEEP_STATUS(send(sender, 1, (uint64_t)number), 0);
  return 0;
}

static void send_check(void) {
  uint64_t got = receive(1);
  if (got > given) given = got;
  SWEEP_CHECK(given == BEGUN || given == BEGUN + 1);
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_EQUAL(given, BEGUN + 1);
  }
  if (sweep->injection == SWEEP_CRASH) sweep_found(given == BEGUN ? SWEEP_BEFORE : SWEEP_AFTER);
  else sweep_finish();
  muster_heartbeat_counts counts;
  muster_heartbeat_count(listener, &counts);
  SWEEP_EQUAL(counts.foreign, 0);
  for (int next = BEGUN + 2; next < BEGUN + 5; next++) {
    sweep_newcomer(sends_next, next);
    SWEEP_EQUAL(receive(1), next);
  }
  SWEEP_STATUS(muster_heartbeat_listener_close(listener), 0);
  check_next();
}

// ---- Sending, while a new listener and a new sender begin: the woken one's beat is not theirs.

static void begin_anew(void) {
  note()->before = note()->contact;
  SWEEP_STATUS(muster_heartbeat_listener_close(listener), 0);
  SWEEP_STATUS(listens(&listener), 0);
  sender = connects();
  SWEEP_STATUS(send(sender, 2, 1), 0);
  SWEEP_EQUAL(receive(2), 1);
}

static void anew_check(void) {
  SWEEP_CHECK(sweep->result == 0 || sweep->result == ECONNREFUSED);
  sweep_finish();
  SWEEP_EQUAL(receive(2), 0);
  for (uint64_t next = 2; next < 6; next++) {
    SWEEP_STATUS(send(sender, 2, next), 0);
    SWEEP_EQUAL(receive(2), next);
  }
  SWEEP_STATUS(muster_heartbeat_listener_close(listener), 0);
  check_next();
}

// ---- Receiving.

static void receive_prepare(void) {
  SWEEP_STATUS(listens(&mine), 0);
  old = connects();
  SWEEP_STATUS(send(old, 1, 1), 0);
  SWEEP_STATUS(send(old, 1, 2), 0);
}

static int receive_operate(void) { return muster_heartbeat_receive(mine, &note()->received); }

static void receive_meanwhile(void) {
  sender = connects();
  for (uint64_t i = 3; i < 8; i++) SWEEP_STATUS(send(sender, 1, i), 0);
}

static void receive_finish(void) { SWEEP_STATUS(muster_heartbeat_listener_close(mine), 0); }

static void receive_check(void) {
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_CHECK(note()->received.number >= 2 && note()->received.number < 8);
    check_whole(&note()->received);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_next();
}

// ---- Beginning to listen, under a name that is free or a dead one's.

static void dead_setup(void) {
  clear();
  sweep_reap_killed(sweep_peer(listens_and_dies, 0));
}

static int listen_operate(void) { return listens(&mine); }

static void listen_finish(void) {
  if (mine) SWEEP_STATUS(muster_heartbeat_listener_close(mine), 0);
}

static void listen_meanwhile(void) {
  for (int i = 0; i < 2; i++) {
    int status = sweep_reap(sweep_peer(listens_and_ends, 0));
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  // Now and then another is there when the operator goes on, or has died there.
  if (sweep->point % 4 == 1 && listens(&listener)) listener = NULL;
  if (sweep->point % 4 == 3 && sweep_reap(sweep_peer(listens_and_ends, 0)) == 0)
    sweep_reap_killed(sweep_peer(listens_and_dies, 0));
}

static void listen_check(void) {
  if (sweep->injection == SWEEP_STALL) {
    SWEEP_CHECK(sweep->result == 0 || (sweep->result == EBUSY && listener));
    if (sweep->result == 0) SWEEP_EQUAL(sweep_reap(sweep_peer(listens_and_ends, 0)), EBUSY);
    if (listener) SWEEP_STATUS(muster_heartbeat_listener_close(listener), 0);
    sweep_finish();
  } else if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
  }
  check_next();
}

// ---- Ceasing to listen.

static void close_prepare(void) { SWEEP_STATUS(listens(&mine), 0); }
static int close_operate(void) { return muster_heartbeat_listener_close(mine); }

static void close_meanwhile(void) {
  int status = sweep_reap(sweep_peer(listens_and_ends, 0));
  SWEEP_CHECK(status == 0 || status == EBUSY);
}

static void close_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    int status = removes();
    SWEEP_CHECK(status == 0 || status == ENOENT);
    sweep_found(status == 0 ? SWEEP_BEFORE : SWEEP_AFTER);
  }
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_next();
}

#define SEND(kind, Kind, least)                                                                                     \
  {.name = "heartbeat.send-by-" kind, .minimum = least, .variant = Kind, .setup = send_setup, .prepare = send_prepare, \
   .operate = send_operate, .meanwhile = send_meanwhile, .finish = send_finish, .check = send_check}
#define ANEW(kind, Kind, least)                                                                                       \
  {.name = "heartbeat.send-to-the-next-by-" kind, .minimum = least, .variant = Kind, .injections = SWEEP_STALL,       \
   .setup = send_setup, .prepare = send_prepare, .operate = send_operate, .meanwhile = begin_anew, .finish = send_finish, \
   .check = anew_check}
#define RECEIVE(kind, Kind, least)                                                                             \
  {.name = "heartbeat.receive-by-" kind, .minimum = least, .variant = Kind, .setup = clear,                  \
   .prepare = receive_prepare, .operate = receive_operate, .meanwhile = receive_meanwhile,                     \
   .finish = receive_finish, .check = receive_check}
#define NAME(kind, Kind, least)                                                                                 \
  {.name = "heartbeat.listen-by-" kind, .minimum = least, .variant = Kind, .setup = clear,                    \
   .operate = listen_operate, .meanwhile = listen_meanwhile, .finish = listen_finish, .check = listen_check},   \
      {.name = "heartbeat.listen-after-a-death-by-" kind, .minimum = least, .variant = Kind, .setup = dead_setup, \
       .operate = listen_operate, .meanwhile = listen_meanwhile, .finish = listen_finish, .check = listen_check}, \
  {.name = "heartbeat.close-by-" kind, .minimum = 100, .variant = Kind, .setup = clear, .prepare = close_prepare, \
   .operate = close_operate, .meanwhile = close_meanwhile, .check = close_check}

SWEEP_SUITE(heartbeat, SEND("memory", MUSTER_HEARTBEAT_MEMORY, 50), SEND("file", MUSTER_HEARTBEAT_FILE, 50),
            SEND("udp", MUSTER_HEARTBEAT_UDP, 50), SEND("queue", MUSTER_HEARTBEAT_QUEUE, 50),
            SEND("signal", MUSTER_HEARTBEAT_SIGNAL, 50), ANEW("memory", MUSTER_HEARTBEAT_MEMORY, 50),
            ANEW("file", MUSTER_HEARTBEAT_FILE, 50), ANEW("queue", MUSTER_HEARTBEAT_QUEUE, 50),
            ANEW("signal", MUSTER_HEARTBEAT_SIGNAL, 50), RECEIVE("memory", MUSTER_HEARTBEAT_MEMORY, 50),
            RECEIVE("file", MUSTER_HEARTBEAT_FILE, 50), RECEIVE("udp", MUSTER_HEARTBEAT_UDP, 50),
            RECEIVE("queue", MUSTER_HEARTBEAT_QUEUE, 50), NAME("file", MUSTER_HEARTBEAT_FILE, 200),
            NAME("queue", MUSTER_HEARTBEAT_QUEUE, 200));
