// Heartbeats by a real-time signal, queued with a value (rt_sigqueueinfo(2)) through the listener's pidfd, and read from
// a signalfd(2).
//
// Nobody is ever killed by a beat: the listener's process ignores the signal, from before anybody knows of it. A signal
// that is blocked is queued although it is ignored (the kernel's sig_ignored), so the listening thread gets it; once it
// isn't blocked any more it is dropped. A sender takes a process for its listener only if its pidfd, its start time, and
// the mask of what it ignores say so; the pidfd means that process for ever.
//
// The value has room for the low bits of epoch and number, and a tag by which others are told; `widen` finds the rest.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/boot.h"
#include "internal/heartbeat.h"
#include "internal/heartbeat_threads.h"
#include "internal/process.h"

#if UINTPTR_MAX == UINT64_MAX
enum { NUMBER_BITS = 32, EPOCH_BITS = 16, TAG_BITS = 16 };
#else
enum { NUMBER_BITS = 18, EPOCH_BITS = 6, TAG_BITS = 8 };
#endif
enum { BATCH = 32, MOST = 131072, SIGVAL = sizeof(union sigval) << 8 };

_Static_assert(NUMBER_BITS + EPOCH_BITS + TAG_BITS == sizeof(void *) * 8, "a sigval holds a beat");

static uint64_t low(uint64_t value, int bits) { return value & ((UINT64_C(1) << bits) - 1); }

// The tag goes by who sends as well: a signal of somebody else's that has been overheard and is sent again is foreign.
static uint64_t tag_of(uint64_t key, uint64_t epoch, uint64_t number, pid_t sender) {
  return muster_heartbeat_sum(key, epoch, number, (uint32_t)sender) >> (64 - TAG_BITS);
}

static uint64_t pack(uint64_t key, const muster_heartbeat *beat, pid_t sender) {
  uint64_t epoch = low(beat->epoch, EPOCH_BITS), number = low(beat->number, NUMBER_BITS);
  return (tag_of(key, epoch, number, sender) << EPOCH_BITS | epoch) << NUMBER_BITS | number;
}

// The value with these low bits that lies nearest to `near`: less than half the range above, or up to half below it.
static uint64_t widen(uint64_t bits, int count, uint64_t near) {
  uint64_t up = low(bits - near, count), half = UINT64_C(1) << (count - 1);
  return up < half || near + up < (half << 1) ? near + up : near + up - (half << 1);
}

// ---- Which signal.

static uint64_t taken;  // bit n: a listener of this process has signal n

static int take_signal(int signal) {
  uint64_t bit = UINT64_C(1) << (signal & 63);
  struct sigaction now;
  if (sigaction(signal, NULL, &now)) return errno;
  int ours = !(now.sa_flags & SA_SIGINFO) && (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN);
  if (!ours || __atomic_fetch_or(&taken, bit, __ATOMIC_ACQ_REL) & bit) return EBUSY;
  return 0;
}

static void give_signal_back(int signal) {
  __atomic_fetch_and(&taken, ~(UINT64_C(1) << (signal & 63)), __ATOMIC_ACQ_REL);
}

static int choose_signal(int wanted, int *signal) {
  if (wanted && (wanted < SIGRTMIN || wanted > SIGRTMAX)) return EINVAL;
  int status = EBUSY;
  for (*signal = wanted ? wanted : SIGRTMAX; status == EBUSY && *signal >= SIGRTMIN; --*signal) {
    status = take_signal(*signal);
    if (status == 0 || wanted) return status;
  }
  return status;
}

// ---- The listener.

static int open_signalfd(muster_heartbeat_listener *listener, const sigset_t *only) {
  muster_held_lock();
  int file = listener->held.file = muster_above_stdio(signalfd(-1, only, SFD_CLOEXEC | SFD_NONBLOCK));
  int status = file < 0 ? errno : 0;
  muster_held_unlock();
  return status;
}

static int hear(muster_heartbeat_listener *listener) {
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  sigset_t only, before;
  sigemptyset(&only);
  sigaddset(&only, listener->signal);
  if (sigaction(listener->signal, &ignore, NULL)) return errno;
  int status = pthread_sigmask(SIG_BLOCK, &only, &before);
  if (status) return status;
  listener->was_blocked = sigismember(&before, listener->signal);
  listener->thread = (pid_t)syscall(SYS_gettid);
  status = muster_heartbeat_threads_block(listener->signal);
  if (!status) status = open_signalfd(listener, &only);
  if (status && !listener->was_blocked) pthread_sigmask(SIG_UNBLOCK, &only, NULL);
  return status;
}

static int signal_listen(const muster_heartbeat_options *options, muster_heartbeat_listener *listener,
                         muster_heartbeat_contact *contact) {
  int status = choose_signal(options->signal, &listener->signal);
  if (status) return status;
  contact->place = (uint32_t)listener->signal | SIGVAL;
  contact->start = muster_own_start();
  contact->node = muster_pid_namespace();
  status = contact->start && contact->node ? hear(listener) : ENOTSUP;
  if (status) give_signal_back(listener->signal);
  return status;
}

static void take(muster_heartbeat_listener *listener, const struct signalfd_siginfo *info) {
  uint64_t value = info->ssi_ptr;
  uint64_t number = low(value, NUMBER_BITS), epoch = low(value >> NUMBER_BITS, EPOCH_BITS);
  uint64_t tag = low(value >> (NUMBER_BITS + EPOCH_BITS), TAG_BITS);
  if (info->ssi_code != SI_QUEUE || tag != tag_of(listener->key, epoch, number, (pid_t)info->ssi_pid)) {
    listener->counts.foreign++;
    return;
  }
  const muster_heartbeat *last = &listener->last;
  muster_heartbeat beat = {.epoch = widen(epoch, EPOCH_BITS, last->epoch), .time = muster_clock_now()};
  beat.number = beat.epoch == last->epoch ? widen(number, NUMBER_BITS, last->number) : number;
  muster_heartbeat_take(listener, &beat);
}

static int signal_receive(muster_heartbeat_listener *listener) {
  struct signalfd_siginfo came[BATCH];
  for (int seen = 0; seen < MOST;) {
    ssize_t got = read(listener->held.file, came, sizeof came);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    int count = (int)((size_t)got / sizeof *came);
    for (int i = 0; i < count; i++) take(listener, &came[i]);
    if (count < BATCH) return 0;
    seen += count;
  }
  return 0;
}

static int signal_let_go(muster_heartbeat_listener *listener) {
  // What comes from here on is dropped when the mask is put back, or stays queued where it was blocked before.
  signal_receive(listener);
  if (!listener->was_blocked && (pid_t)syscall(SYS_gettid) == listener->thread) {
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, listener->signal);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
  }
  give_signal_back(listener->signal);
  return 0;
}

// ---- The sender.

static int has_ended(int pidfd) {
  struct pollfd end = {.fd = pidfd, .events = POLLIN};
  return poll(&end, 1, 0) > 0;
}

// The pidfd first: it is of whoever has the number now, and so is what /proc says as long as that one lives.
static int find_listener(const muster_heartbeat_contact *contact, muster_heartbeat_sender *sender) {
  if (contact->pid <= 0) return EPROTO;
  sender->descriptor = muster_above_stdio(muster_process_pidfd_open(contact->pid));
  if (sender->descriptor < 0) return errno == ESRCH ? ECONNREFUSED : errno;
  if (muster_process_start(contact->pid) != contact->start) return ECONNREFUSED;
  if (!muster_heartbeat_ignores(contact->pid, sender->signal)) return ECONNREFUSED;
  if (has_ended(sender->descriptor)) return ECONNREFUSED;
  if (syscall(SYS_pidfd_send_signal, sender->descriptor, 0, NULL, 0) == 0) return 0;
  return errno == EPERM ? EACCES : errno == ESRCH ? ECONNREFUSED : errno;
}

static int signal_connect(const muster_heartbeat_options *options, const muster_heartbeat_contact *contact,
                          muster_heartbeat_sender *sender) {
  (void)options;
  uint64_t here = muster_pid_namespace();
  if (!here) return ENOTSUP;
  if (contact->node != here || (contact->place & ~UINT32_C(0xff)) != SIGVAL) return EPROTO;
  sender->signal = (int)(contact->place & 0xff);
  if (sender->signal < SIGRTMIN || sender->signal > SIGRTMAX) return EPROTO;
  sender->pid = getpid();
  sender->user = getuid();
  return find_listener(contact, sender);
}

// Whether the listener, who knows the last beat or one before it, finds by so many low bits which value is meant.
static int is_near(uint64_t value, uint64_t last, int bits) {
  uint64_t half = UINT64_C(1) << (bits - 1);
  return value >= last ? value - last < half : last - value <= half;
}

static int can_tell(const muster_heartbeat *last, const muster_heartbeat *beat) {
  if (!is_near(beat->epoch, last->epoch, EPOCH_BITS)) return 0;
  if (beat->epoch > last->epoch) return beat->number >> NUMBER_BITS == 0;
  return beat->epoch < last->epoch || is_near(beat->number, last->number, NUMBER_BITS);
}

static void fill(siginfo_t *info, const muster_heartbeat_sender *sender, uint64_t value) {
  memset(info, 0, sizeof *info);
  info->si_signo = sender->signal;
  info->si_code = SI_QUEUE;
  info->si_pid = sender->pid;
  info->si_uid = sender->user;
  info->si_value.sival_ptr = (void *)(uintptr_t)value;
}

static int signal_send(muster_heartbeat_sender *sender, const muster_heartbeat *beat) {
  if (!can_tell(&sender->last, beat)) return EOVERFLOW;
  // One that ended and was not reaped yet takes signals still.
  if (has_ended(sender->descriptor)) return ECONNREFUSED;
  siginfo_t info;
  fill(&info, sender, pack(sender->key, beat, sender->pid));
  if (syscall(SYS_pidfd_send_signal, sender->descriptor, sender->signal, &info, 0) == 0) return 0;
  return errno == ESRCH ? ECONNREFUSED : errno == EPERM ? EACCES : errno;
}

const heartbeat_way muster_heartbeat_by_signal = {.can_poll = 1, .listen = signal_listen, .receive = signal_receive,
                                                  .let_go = signal_let_go, .connect = signal_connect,
                                                  .send = signal_send};
