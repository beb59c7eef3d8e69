// Messages without a copy: the sender fills a block of a pool and sends its name through a ring; the receiver takes the block and reads it
// where it lies. Receivers die: one between the name's arrival and the taking, one with a block in its hands. Every message is received
// by somebody or known to be lost with who had it, and no block is lost at all.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <muster/muster.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 8, SIZE = 4096, MESSAGES = 3 };

static char names[64], messages[64];

static void check(int status, const char *what) {
  if (status) fprintf(stderr, "%s: %s\n", what, muster_status_text(status)), exit(1);
}

static muster_ring *open_names(void) {
  muster_ring *ring;
  check(muster_ring_open(names, &(muster_ring_options){.bytes = 1 << 14}, &ring), "open the ring");
  return ring;
}

static muster_pool *join_pool(void) {
  muster_pool *pool;
  check(muster_pool_open(messages, &(muster_pool_options){.block_size = SIZE, .blocks = BLOCKS, .members = 4}, &pool), "open");
  check(muster_pool_join(pool, NULL), "join");
  return pool;
}

// ---- The sender

static void send_name(muster_ring *ring, muster_pool_block block) {
  check(muster_ring_write(ring, &block, sizeof block, MUSTER_DEADLINE_NEVER), "write");
}

// Offered, the block is still the sender's until somebody takes it: a receiver that never does loses nothing.
static void send_message(muster_pool *pool, muster_ring *ring, int number) {
  muster_pool_block block;
  void *place;
  check(muster_pool_alloc_wait(pool, MUSTER_DEADLINE_NEVER, &block), "alloc");
  check(muster_pool_get(pool, block, &place), "get");
  snprintf(place, SIZE, "message %d", number);
  check(muster_pool_offer(pool, block), "offer");
  send_name(ring, block);
}

// What nobody took is what the sender has still.
static int send_again(muster_pool *pool, muster_ring *ring) {
  muster_pool_block block;
  uint32_t cursor = 0;
  int count = 0;
  for (; !muster_pool_next(pool, muster_pool_member(pool), &cursor, &block); count++) send_name(ring, block);
  return count;
}

// ---- Receivers

typedef enum ending { UNTAKEN, TAKEN, DONE } ending;

// Receives until `dies` says otherwise; what has been taken before it came, it passes over.
static int receive(muster_ring *ring, muster_pool *pool, ending dies) {
  for (int received = 0; received < MESSAGES - 1;) {
    muster_ring_record record;
    muster_pool_block block;
    void *place;
    check(muster_ring_wait(ring, MUSTER_DEADLINE_NEVER), "wait");
    check(muster_ring_read(ring, &block, sizeof block, &record), "read");
    if (dies == UNTAKEN) raise(SIGKILL);
    int status = muster_pool_take(pool, block);
    if (status == EBUSY || status == ESTALE) continue;
    check(status, "take");
    if (dies == TAKEN) raise(SIGKILL);
    check(muster_pool_get(pool, block, &place), "get");
    printf("%s\n", (const char *)place);
    check(muster_pool_free(pool, block), "free");
    received++;
  }
  fflush(stdout);
  return 0;
}

static pid_t start_receiver(ending dies) {
  int ready[2];
  char byte;
  if (pipe(ready)) return perror("pipe"), exit(1), 0;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    muster_ring *ring = open_names();
    muster_pool *pool = join_pool();
    check(muster_ring_start_reading(ring, MUSTER_RING_NEWEST, NULL), "start_reading");
    if (write(ready[1], "", 1) != 1) exit(1);
    int status = receive(ring, pool, dies);
    check(muster_pool_close(pool), "close");
    check(muster_ring_close(ring), "close");
    exit(status);
  }
  if (child < 0 || read(ready[0], &byte, 1) != 1) return perror("a receiver"), exit(1), 0;
  close(ready[0]);
  close(ready[1]);
  return child;
}

static int ended_by(pid_t child, int number) {
  int status;
  return waitpid(child, &status, 0) == child &&
         (number ? WIFSIGNALED(status) && WTERMSIG(status) == number : WIFEXITED(status) && !WEXITSTATUS(status));
}

int main(void) {
  snprintf(names, sizeof names, "muster-example-names-%d", (int)getpid());
  snprintf(messages, sizeof messages, "muster-example-messages-%d", (int)getpid());
  muster_ring *ring = open_names();
  muster_pool *pool = join_pool();
  check(muster_ring_start_writing(ring, NULL), "start_writing");

  pid_t receiver = start_receiver(UNTAKEN);
  for (int k = 0; k < MESSAGES; k++) send_message(pool, ring, k);
  int whole = ended_by(receiver, SIGKILL);

  receiver = start_receiver(TAKEN);
  int again = send_again(pool, ring);
  whole &= again == MESSAGES && ended_by(receiver, SIGKILL);
  printf("died before it took one: %d messages are the sender's still\n", again);

  receiver = start_receiver(DONE);
  again = send_again(pool, ring);
  whole &= again == MESSAGES - 1 && ended_by(receiver, 0);
  printf("died with one in its hands: %d were left\n", again);

  // The one in its hands is back as well: whoever joins, or finds none, sees to that, and whoever wants to know at once.
  muster_pool_state state;
  check(muster_pool_reclaim(pool, NULL), "reclaim");
  check(muster_pool_look(pool, &state), "look");
  printf("%u of %u blocks are free\n", state.free, state.blocks);
  whole &= state.free == BLOCKS;
  check(muster_pool_close(pool), "close");
  check(muster_ring_close(ring), "close");
  check(muster_region_remove(names, 0), "remove");
  check(muster_region_remove(messages, 0), "remove");
  return !whole;
}
