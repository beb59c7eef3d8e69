// Heartbeats among those who mean harm, or don't know better: what is peculiar to a kind.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heartbeat_support.h"
#include "internal/heartbeat.h"

static int listen_status(const muster_heartbeat_options *options) {
  muster_heartbeat_listener *listener;
  muster_heartbeat_contact contact;
  int status = muster_heartbeat_listen(options, &listener, &contact);
  CHECK_EQUAL(listener != NULL, status == 0);
  muster_heartbeat_listener_close(listener);
  return status;
}

// A path in the test's own folder.
static const char *path_of(const char *name) {
  static char paths[4][512];
  static unsigned used;
  char *path = paths[used++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", test_folder(), name);
  return path;
}

static muster_heartbeat_options file_options(void) {
  return (muster_heartbeat_options){.kind = MUSTER_HEARTBEAT_FILE, .name = "x", .folder = test_folder()};
}

// ---- Memory.

static void random_cell(void) {
  meeting *at = meet();
  uint64_t seed = test_seed();
  muster_heartbeat_listener *listener = listens(MUSTER_HEARTBEAT_MEMORY, at);
  muster_heartbeat_sender *sender = connects(MUSTER_HEARTBEAT_MEMORY, at);
  uint64_t *words = (uint64_t *)(void *)&at->cell;
  uint64_t number = 1;
  for (unsigned i = 0; i < 100000 / test_slower(); i++) {
    for (uint64_t changes = 1 + test_random(&seed) % 4; changes; changes--)
      words[1 + test_random(&seed) % 7] ^= UINT64_C(1) << test_random(&seed) % 64;
    muster_heartbeat beat;
    int status = muster_heartbeat_receive(listener, &beat);
    // What was flipped twice is as it was.
    if (status) CHECK_STATUS(status, EAGAIN);
    else CHECK(beat.time == time_of(1, beat.number) && beat.number < number);
    if (i % 3) continue;
    sends(sender, 1, number++);
    if (i % 2) gives(listener, 1, number - 1);
  }
  sends(sender, 1, number);
  gives(listener, 1, number);
  at->cell.listener ^= 1;
  muster_heartbeat beat = {.epoch = 1, .number = number + 1};
  CHECK_STATUS(muster_heartbeat_send(sender, &beat), ECONNREFUSED);
  closes(MUSTER_HEARTBEAT_MEMORY, listener, sender);
}

// Each half of one beat put together with the other of the next: all 2^4 ways. None is a beat but the two.
static void torn_cell(void) {
  meeting *at = meet();
  muster_heartbeat_listener *listener = listens(MUSTER_HEARTBEAT_MEMORY, at);
  muster_heartbeat_sender *sender = connects(MUSTER_HEARTBEAT_MEMORY, at);
  muster_heartbeat_cell early = at->cell;
  sends(sender, 1, 1);
  muster_heartbeat_cell first = at->cell;
  sends(sender, 2, 2);
  sends(sender, 3, 3);
  muster_heartbeat_cell third = at->cell;
  gives(listener, 3, 3);
  for (unsigned ways = 0; ways < 16; ways++) {
    // A listener that has given nothing yet.
    uint64_t key = listener->key;
    CHECK_STATUS(muster_heartbeat_listener_close(listener), 0);
    listener = listens(MUSTER_HEARTBEAT_MEMORY, at);
    listener->key = key;
    at->cell = early;
    at->cell.check[0] = ways & 1 ? first.check[0] : third.check[0];
    for (int word = 0; word < 3; word++)
      at->cell.copies[0][word] = ways >> (word + 1) & 1 ? first.copies[0][word] : third.copies[0][word];
    if (ways == 15) gives(listener, 1, 1);
    else if (ways == 0) gives(listener, 3, 3);
    else gives_nothing(listener);
  }
  muster_heartbeat_sender_close(sender);
  CHECK_STATUS(muster_heartbeat_listener_close(listener), 0);
}

// A sender of the listener before was stopped in the midst of its store and goes on now.
static void woken_sender(void) {
  for (int words = 0; words < 5; words++) {
    meeting *at = meet();
    muster_heartbeat_listener *listener = listens(MUSTER_HEARTBEAT_MEMORY, at);
    muster_heartbeat_sender *old = connects(MUSTER_HEARTBEAT_MEMORY, at);
    sends(old, 1, 1);
    sends(old, 1, 2);
    sends(old, 1, 3);
    muster_heartbeat_cell then = at->cell;
    CHECK_STATUS(muster_heartbeat_listener_close(listener), 0);
    listener = listens(MUSTER_HEARTBEAT_MEMORY, at);
    muster_heartbeat_sender *sender = connects(MUSTER_HEARTBEAT_MEMORY, at);
    sends(sender, 2, 1);
    // The last stores of the old one.
    for (int word = 0; word < 3; word++)
      if (word < words) at->cell.copies[0][word] = then.copies[0][word];
    if (words == 4) at->cell.check[0] = then.check[0];
    muster_heartbeat beat = {.epoch = 1, .number = 4};
    CHECK_STATUS(muster_heartbeat_send(old, &beat), ECONNREFUSED);
    if (words == 0) gives(listener, 2, 1);
    else gives_nothing(listener);
    sends(sender, 2, 2);
    gives(listener, 2, 2);
    sends(sender, 2, 3);
    gives(listener, 2, 3);
    muster_heartbeat_sender_close(old);
    closes(MUSTER_HEARTBEAT_MEMORY, listener, sender);
  }
}

// ---- The file.

static void planted_link(void) {
  write_file(path_of("target"), "precious", 8);
  REQUIRE(symlink(path_of("target"), path_of("x.heartbeat")) == 0);
  muster_heartbeat_options options = file_options();
  CHECK_STATUS(listen_status(&options), ELOOP);
  CHECK_STATUS(muster_heartbeat_remove(&options), ELOOP);
  unlink(path_of("x.heartbeat"));
  // Between listening and connecting.
  muster_heartbeat_listener *listener;
  muster_heartbeat_sender *sender;
  muster_heartbeat_contact contact;
  CHECK_STATUS(muster_heartbeat_listen(&options, &listener, &contact), 0);
  CHECK(rename(path_of("x.heartbeat"), path_of("moved")) == 0 && symlink(path_of("moved"), path_of("x.heartbeat")) == 0);
  CHECK_STATUS(muster_heartbeat_connect(&options, &contact, &sender), ELOOP);
  CHECK_STATUS(muster_heartbeat_listener_close(listener), ESTALE);
  char text[9] = {0};
  int file = open(path_of("target"), O_RDONLY | O_CLOEXEC);
  CHECK(read(file, text, 8) == 8 && !strcmp(text, "precious"));
  close(file);
}

static void somebodys_file(void) {
  muster_heartbeat_options options = file_options();
  const char *path = path_of("x.heartbeat");
  char whole[128] = {0};
  write_file(path, "precious", 8);
  CHECK_STATUS(listen_status(&options), EBADMSG);
  write_file(path, whole, sizeof whole);
  ino_t before = inode_of(path);
  CHECK_STATUS(listen_status(&options), EBADMSG);
  CHECK_STATUS(muster_heartbeat_remove(&options), EBADMSG);
  CHECK(inode_of(path) == before);
  unlink(path);
  REQUIRE(mkdir(path, 0700) == 0);
  CHECK_STATUS(listen_status(&options), EBADMSG);
  rmdir(path);
  REQUIRE(mkfifo(path, 0600) == 0);
  CHECK_STATUS(listen_status(&options), EBADMSG);
  unlink(path);
  // What one left who died right after making it.
  write_file(path, "", 0);
  CHECK_STATUS(listen_status(&options), 0);
  CHECK(inode_of(path) == 0);
}

static void another_users_file(void) {
  if (geteuid() != 0) test_skip("not root");
  muster_heartbeat_options options = file_options();
  muster_heartbeat_listener *listener;
  muster_heartbeat_sender *sender;
  muster_heartbeat_contact contact;
  CHECK_STATUS(muster_heartbeat_listen(&options, &listener, &contact), 0);
  CHECK(chown(path_of("x.heartbeat"), 1, 1) == 0);
  CHECK_STATUS(muster_heartbeat_connect(&options, &contact, &sender), EACCES);
  CHECK_STATUS(listen_status(&options), EACCES);
  CHECK_STATUS(muster_heartbeat_remove(&options), EACCES);
  CHECK_STATUS(muster_heartbeat_listener_close(listener), 0);
}

static void changed_file(void) {
  muster_heartbeat_options options = file_options();
  const char *path = path_of("x.heartbeat");
  muster_heartbeat_listener *listener;
  muster_heartbeat_sender *sender;
  muster_heartbeat_contact contact;
  CHECK_STATUS(muster_heartbeat_listen(&options, &listener, &contact), 0);
  struct stat made;
  CHECK(stat(path, &made) == 0 && (made.st_mode & 07777) == 0600 && made.st_size == 128);
  CHECK_STATUS(muster_heartbeat_connect(&options, &contact, &sender), 0);
  sends(sender, 1, 1);
  // Cut short: nothing comes until the sender has written it anew.
  for (off_t size = 127; size >= 0; size -= 9) {
    CHECK(truncate(path, size) == 0);
    muster_heartbeat beat;
    int status = muster_heartbeat_receive(listener, &beat);
    CHECK(status == EAGAIN || (size == 127 && status == 0));
  }
  sends(sender, 1, 2);
  sends(sender, 1, 3);
  gives(listener, 1, 3);
  // Removed by hand: those who have it open go on.
  CHECK(unlink(path) == 0);
  sends(sender, 1, 4);
  gives(listener, 1, 4);
  write_file(path, "precious", 8);
  CHECK_STATUS(muster_heartbeat_listener_close(listener), ESTALE);
  CHECK(inode_of(path) != 0);
  muster_heartbeat_sender_close(sender);
}

static void limited_file(void *context) {
  (void)context;
  signal(SIGXFSZ, SIG_DFL);
  muster_heartbeat_options options = file_options();
  muster_heartbeat_listener *listener;
  muster_heartbeat_sender *sender;
  muster_heartbeat_contact contact;
  CHECK_STATUS(muster_heartbeat_listen(&options, &listener, &contact), 0);
  CHECK_STATUS(muster_heartbeat_connect(&options, &contact, &sender), 0);
  struct rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  rlim_t before = limit.rlim_cur;
  limit.rlim_cur = 100;
  setrlimit(RLIMIT_FSIZE, &limit);
  muster_heartbeat beat = {.epoch = 1, .number = 1};
  int sent = muster_heartbeat_send(sender, &beat);
  muster_heartbeat_options other = options;
  other.name = "other";
  int listened = listen_status(&other);
  limit.rlim_cur = before;
  setrlimit(RLIMIT_FSIZE, &limit);
  CHECK_STATUS(sent, EFBIG);
  CHECK_STATUS(listened, EFBIG);
  CHECK(inode_of(path_of("other.heartbeat")) == 0);
  sends(sender, 1, 1);
  gives(listener, 1, 1);
  muster_heartbeat_sender_close(sender);
  CHECK_STATUS(muster_heartbeat_listener_close(listener), 0);
}

static void file_size_limit(void) {
  test_folder();
  test_join(test_fork(limited_file, NULL), 0);
}

// ---- UDP.

typedef struct flooding {
  meeting *at;
  int whole_key;  // the filter lets it in, the checksum does not
} flooding;

static void floods(void *context) {
  flooding *of = context;
  int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)of->at->contact.place),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  heartbeat_message message = {.key = of->whole_key ? of->at->contact.key : 1, .copy = {.epoch = 9, .number = 9}};
  gate_open(&of->at->gate, 1);
  for (;; message.copy.number++) sendto(file, &message, sizeof message, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
}

static void flooded(int whole_key) {
  meeting *at = meet();
  flooding of = {at, whole_key};
  muster_heartbeat_listener *listener = listens(MUSTER_HEARTBEAT_UDP, at);
  muster_heartbeat_sender *sender = connects(MUSTER_HEARTBEAT_UDP, at);
  pid_t child = test_fork(floods, &of);
  gate_wait(&at->gate, 1);
  uint64_t number = 0;
  for (int got = 0; got < 20;) {
    sends(sender, 1, ++number);
    muster_heartbeat beat;
    int status = muster_heartbeat_receive(listener, &beat);
    // What the filter keeps out takes nobody's place.
    if (!whole_key) CHECK_STATUS(status, 0);
    if (status) CHECK_STATUS(status, EAGAIN);
    else got++;
    if (!status) CHECK(beat.epoch == 1 && beat.number <= number && beat.time == time_of(1, beat.number));
  }
  kill_process(child);
  closes(MUSTER_HEARTBEAT_UDP, listener, sender);
}

static void udp_flood(void) { flooded(0); }
static void udp_flood_with_key(void) { flooded(1); }

// ---- The queue.

static void full_queue(void) {
  meeting *at = meet();
  muster_heartbeat_listener *listener = listens(MUSTER_HEARTBEAT_QUEUE, at);
  muster_heartbeat_sender *sender = connects(MUSTER_HEARTBEAT_QUEUE, at);
  char name[128];
  snprintf(name, sizeof name, "/%s.heartbeat", options_of(MUSTER_HEARTBEAT_QUEUE, at).name);
  mqd_t queue = mq_open(name, O_WRONLY | O_NONBLOCK);
  REQUIRE(queue >= 0);
  unsigned foreign = 0;
  while (mq_send(queue, "not a beat", 10, 7) == 0) foreign++;
  CHECK(errno == EAGAIN && foreign > 0);
  sends(sender, 1, 1);
  gives(listener, 1, 1);
  muster_heartbeat_counts counts;
  muster_heartbeat_count(listener, &counts);
  CHECK_EQUAL(counts.foreign, foreign - 1);
  mq_close(queue);
  // Removed by hand: those who have it open go on.
  CHECK(mq_unlink(name) == 0);
  sends(sender, 1, 2);
  gives(listener, 1, 2);
  CHECK_STATUS(muster_heartbeat_listener_close(listener), ESTALE);
  muster_heartbeat_sender_close(sender);
}

static void somebodys_queue(void) {
  meeting *at = meet();
  muster_heartbeat_options options = options_of(MUSTER_HEARTBEAT_QUEUE, at);
  char name[128];
  snprintf(name, sizeof name, "/%s.heartbeat", options.name);
  struct mq_attr other = {.mq_maxmsg = 1, .mq_msgsize = 8};
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &other);
  if (queue < 0 && errno == ENOSYS) test_skip("the kernel has no message queues");
  REQUIRE(queue >= 0);
  mq_close(queue);
  CHECK_STATUS(listen_status(&options), EBADMSG);
  CHECK_STATUS(muster_heartbeat_remove(&options), EBADMSG);
  CHECK(name_exists(MUSTER_HEARTBEAT_QUEUE));
  mq_unlink(name);
}

// ---- Signals.

static void kills_on(void *context) {
  meeting *at = context;
  gate_open(&at->gate, 1);
  for (uintptr_t i = 0;; i++) sigqueue(at->contact.pid, (int)(at->contact.place & 0xff), (union sigval){.sival_ptr = (void *)i});
}

static void signal_flood(void) {
  meeting *at = meet();
  limit_signals(1000);
  muster_heartbeat_listener *listener = listens(MUSTER_HEARTBEAT_SIGNAL, at);
  muster_heartbeat_sender *sender = connects(MUSTER_HEARTBEAT_SIGNAL, at);
  pid_t child = test_fork(kills_on, at);
  gate_wait(&at->gate, 1);
  uint64_t number = 0;
  for (int got = 0; got < 20;) {
    muster_heartbeat beat = {.epoch = 1, .number = ++number};
    int status = muster_heartbeat_send(sender, &beat);
    if (status) CHECK_STATUS(status, EAGAIN);
    status = muster_heartbeat_receive(listener, &beat);
    if (status) CHECK_STATUS(status, EAGAIN);
    else got++;
  }
  kill_process(child);
  muster_heartbeat beat;
  while (muster_heartbeat_receive(listener, &beat) == 0) continue;
  closes(MUSTER_HEARTBEAT_SIGNAL, listener, sender);
}

// Where the user's signals are used up, beats are lost until the listener has taken some in.
static void full_of_signals(void) {
  meeting *at = meet();
  struct rlimit limit;
  muster_heartbeat_listener *listener = listens(MUSTER_HEARTBEAT_SIGNAL, at);
  muster_heartbeat_sender *sender = connects(MUSTER_HEARTBEAT_SIGNAL, at);
  getrlimit(RLIMIT_SIGPENDING, &limit);
  limit.rlim_cur = 50;
  setrlimit(RLIMIT_SIGPENDING, &limit);
  uint64_t number = 0;
  int status = 0;
  muster_heartbeat beat = {.epoch = 1};
  while (!status && number < 1000) {
    beat.number = ++number;
    status = muster_heartbeat_send(sender, &beat);
  }
  CHECK_STATUS(status, EAGAIN);
  if (number > 1) gives(listener, 1, number - 1);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_SIGPENDING, &limit);
  sends(sender, 1, number + 1);
  gives(listener, 1, number + 1);
  closes(MUSTER_HEARTBEAT_SIGNAL, listener, sender);
}

static void handles(int number) { (void)number; }

static void which_signal(void) {
  meeting *at = meet();
  muster_heartbeat_options options = options_of(MUSTER_HEARTBEAT_SIGNAL, at);
  const int bad[] = {-1, SIGUSR1, SIGKILL, SIGRTMIN - 1, SIGRTMAX + 1, 1000};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    options.signal = bad[i];
    CHECK_STATUS(listen_status(&options), EINVAL);
  }
  options.signal = SIGRTMIN + 3;
  CHECK_STATUS(listen_status(&options), 0);
  CHECK_STATUS(listen_status(&options), 0);
  signal(SIGRTMIN + 3, handles);
  CHECK_STATUS(listen_status(&options), EBUSY);
  struct sigaction now;
  sigaction(SIGRTMIN + 3, NULL, &now);
  CHECK(now.sa_handler == handles);
  // As many listeners as there are signals without a handler.
  options.signal = 0;
  muster_heartbeat_listener *many[64];
  muster_heartbeat_contact contact;
  int count = 0, status;
  while (count < 64 && (status = muster_heartbeat_listen(&options, &many[count], &contact)) == 0) count++;
  CHECK_STATUS(status, EBUSY);
  CHECK_EQUAL(count, SIGRTMAX - SIGRTMIN);
  for (int i = 0; i < count; i++) CHECK_STATUS(muster_heartbeat_listener_close(many[i]), 0);
  CHECK_STATUS(listen_status(&options), 0);
}

static void *waits_for_gate(void *context) {
  meeting *at = context;
  gate_open(&at->gate, 1);
  gate_wait(&at->ready, 1);
  return NULL;
}

static void open_threads(void) {
  meeting *at = meet();
  muster_heartbeat_options options = options_of(MUSTER_HEARTBEAT_SIGNAL, at);
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, waits_for_gate, at) == 0);
  gate_wait(&at->gate, 1);
  sigset_t mask;
  CHECK_STATUS(listen_status(&options), ENOTSUP);
  sigprocmask(SIG_SETMASK, NULL, &mask);
  CHECK_EQUAL(sigismember(&mask, SIGRTMAX), 0);
  // Nobody dies by a signal of the number that was tried.
  CHECK(kill(getpid(), SIGRTMAX) == 0);
  gate_open(&at->ready, 1);
  pthread_join(thread, NULL);
  CHECK_STATUS(listen_status(&options), 0);
}

static void *closes_elsewhere(void *context) {
  CHECK_STATUS(muster_heartbeat_listener_close(context), 0);
  return NULL;
}

// Threads that were started while it is blocked have it blocked; and the mask is its own thread's.
static void blocked_threads(void) {
  meeting *at = meet();
  sigset_t one, now;
  sigemptyset(&one);
  sigaddset(&one, SIGRTMAX);
  pthread_sigmask(SIG_BLOCK, &one, NULL);
  pthread_t thread, other;
  REQUIRE(pthread_create(&thread, NULL, waits_for_gate, at) == 0);
  gate_wait(&at->gate, 1);
  muster_heartbeat_listener *listener = listens(MUSTER_HEARTBEAT_SIGNAL, at);
  muster_heartbeat_sender *sender = connects(MUSTER_HEARTBEAT_SIGNAL, at);
  for (uint64_t number = 1; number < 100; number++) sends(sender, 1, number);
  gives(listener, 1, 99);
  REQUIRE(pthread_create(&other, NULL, closes_elsewhere, listener) == 0);
  pthread_join(other, NULL);
  pthread_sigmask(SIG_SETMASK, NULL, &now);
  CHECK_EQUAL(sigismember(&now, SIGRTMAX), 1);
  gate_open(&at->ready, 1);
  pthread_join(thread, NULL);
  muster_heartbeat_sender_close(sender);
}

// A contact of a process that does not ignore the signal, so would die of it, is no listener's.
static void deaf_process(void) {
  meeting *at = meet();
  muster_heartbeat_options options = options_of(MUSTER_HEARTBEAT_SIGNAL, at);
  muster_heartbeat_listener *listener = listens(MUSTER_HEARTBEAT_SIGNAL, at);
  signal((int)(at->contact.place & 0xff), SIG_DFL);
  muster_heartbeat_sender *sender;
  CHECK_STATUS(muster_heartbeat_connect(&options, &at->contact, &sender), ECONNREFUSED);
  CHECK_STATUS(muster_heartbeat_listener_close(listener), 0);
}

static void too_far(void) {
  meeting *at = meet();
  muster_heartbeat_listener *listener = listens_after(MUSTER_HEARTBEAT_SIGNAL, at, 70000, 0);
  muster_heartbeat_sender *sender = connects(MUSTER_HEARTBEAT_SIGNAL, at);
  const uint64_t epochs = sizeof(void *) == 8 ? 1 << 15 : 1 << 5;
  const uint64_t numbers = sizeof(void *) == 8 ? UINT64_C(1) << 31 : 1 << 17;
  const struct {
    uint64_t epoch, number;
    int status;
  } tried[] = {
      {70000 + epochs, 1, EOVERFLOW}, {70000 - epochs - 1, 1, EOVERFLOW},  {1, 1, EOVERFLOW},
      {70000, numbers, EOVERFLOW},    {70001, numbers * 2, EOVERFLOW},     {70000, numbers - 1, 0},
      {70000, numbers, 0},            {70000, numbers * 2 - 1, 0},         {70000, numbers * 3 - 1, EOVERFLOW},
      {70001, numbers * 2 - 1, 0},    {70001 + epochs - 1, 1, 0},          {UINT64_MAX, 1, EOVERFLOW},
  };
  for (size_t i = 0; i < sizeof tried / sizeof *tried; i++) {
    muster_heartbeat beat = {.epoch = tried[i].epoch, .number = tried[i].number};
    CHECK_STATUS(muster_heartbeat_send(sender, &beat), tried[i].status);
    if (tried[i].status) gives_nothing(listener);
    else gives(listener, tried[i].epoch, tried[i].number);
  }
  // Old ones are known for old as far as they may be sent.
  muster_heartbeat beat = {.epoch = 70000, .number = 12345};
  CHECK_STATUS(muster_heartbeat_send(sender, &beat), 0);
  gives_nothing(listener);
  closes(MUSTER_HEARTBEAT_SIGNAL, listener, sender);
}

TEST_SUITE(heartbeat_hostile, {"random_cell", random_cell, 0}, {"torn_cell", torn_cell, 0},
           {"woken_sender", woken_sender, 0}, {"planted_link", planted_link, 0}, {"somebodys_file", somebodys_file, 0},
           {"another_users_file", another_users_file, 0}, {"changed_file", changed_file, 0},
           {"file_size_limit", file_size_limit, 0}, {"udp_flood", udp_flood, 0},
           {"udp_flood_with_key", udp_flood_with_key, 0}, {"full_queue", full_queue, 0},
           {"somebodys_queue", somebodys_queue, 0}, {"signal_flood", signal_flood, 60},
           {"full_of_signals", full_of_signals, 0}, {"which_signal", which_signal, 0}, {"open_threads", open_threads, 0},
           {"blocked_threads", blocked_threads, 0}, {"deaf_process", deaf_process, 0}, {"too_far", too_far, 0});
