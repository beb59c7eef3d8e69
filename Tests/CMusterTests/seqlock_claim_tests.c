// The claim seen from inside: who is told as the writer while another is just claiming, and a handle whose claim was
// lost.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/group.h"
#include "../../Sources/CMuster/internal/seqlock.h"
#include "seqlock_support.h"
#include "support.h"

// A seqlock of two words, and the handle by which a test looks at it.
typedef struct plot {
  void *memory;
  muster_seqlock *look;
  uint32_t gate;
  int releases;  // what the writer does at its end
} plot;

static muster_seqlock *attach(plot *on) {
  muster_seqlock *seqlock;
  REQUIRE(!muster_seqlock_attach(on->memory, muster_seqlock_size(2), &seqlock));
  return seqlock;
}

static plot *make_plot(void) {
  plot *made = shared_memory(sizeof *made);
  made->memory = seqlock_test_memory(2, &made->look);
  return made;
}

static void claim_and_end(void *context) {
  plot *on = context;
  muster_seqlock *seqlock = attach(on);
  REQUIRE(!muster_seqlock_claim(seqlock, NULL));
  if (on->releases) REQUIRE(!muster_seqlock_release(seqlock));
}

// Has the claim's lock, and not yet anything else: as a claimant does who was stopped there.
static void take_the_lock(void *context) {
  plot *on = context;
  int status = muster_liveness_take(&attach(on)->group->places[0].lock);
  CHECK(status == 0 || status == EOWNERDEAD);
  gate_open(&on->gate, 1);
  for (;;) pause();
}

static pid_t writer_before(plot *on, int releases) {
  on->releases = releases;
  pid_t writer = test_fork(claim_and_end, on);
  test_join(writer, 0);
  return writer;
}

static pid_t claimant_in_passing(plot *on) {
  pid_t claimant = test_fork(take_the_lock, on);
  gate_wait(&on->gate, 1);
  return claimant;
}

// The one before is not told in the stead of one who is just claiming.
static void who_claims_is_unknown_yet(void) {
  for (int releases = 0; releases < 2; releases++) {
    plot *on = make_plot();
    int32_t pid;
    muster_seqlock_claimant found;
    writer_before(on, releases);
    pid_t claimant = claimant_in_passing(on);
    // LEFT outweighs a lock that is held for a moment.
    CHECK_STATUS(muster_seqlock_writer_pid(on->look, &pid), releases ? ENOENT : 0);
    CHECK_EQUAL(pid, 0);
    CHECK_STATUS(muster_seqlock_claim(on->look, &found), EBUSY);
    CHECK(found.pid == 0 && !found.died);
    kill_process(claimant);
    CHECK_STATUS(muster_seqlock_close(on->look), 0);
  }
}

// Who died while claiming is not told by the name of one who had left; one who died after that is.
static void who_died_claiming(void) {
  plot *on = make_plot();
  int32_t pid;
  writer_before(on, 1);
  kill_process(claimant_in_passing(on));
  CHECK_STATUS(muster_seqlock_writer_pid(on->look, &pid), EOWNERDEAD);
  CHECK_EQUAL(pid, 0);
  // Joined, and died before it was noted as the owner.
  pid_t writer = writer_before(on, 0);
  __atomic_store_n(&on->look->state->owner, 1u, __ATOMIC_RELEASE);
  CHECK_STATUS(muster_seqlock_writer_pid(on->look, &pid), EOWNERDEAD);
  CHECK_EQUAL(pid, writer);
  CHECK_STATUS(muster_seqlock_close(on->look), 0);
}

static void *claim_on_thread(void *context) {
  CHECK_STATUS(muster_seqlock_claim(context, NULL), 0);
  return NULL;
}

static void lose_claim(muster_seqlock *seqlock) {
  int32_t pid;
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, claim_on_thread, seqlock));
  pthread_join(thread, NULL);
  // The kernel may be a moment later than the join.
  while (muster_seqlock_writer_pid(seqlock, &pid) != EOWNERDEAD) test_pause(10000);
}

static void hold_claim(void *context) {
  plot *on = context;
  REQUIRE(!muster_seqlock_claim(attach(on), NULL));
  gate_open(&on->gate, 1);
  for (;;) pause();
}

// A thread's number may be used again: who has it now releases nothing of a successor's.
static void release_of_a_lost_claim(void) {
  plot *on = make_plot();
  lose_claim(on->look);
  pid_t successor = test_fork(hold_claim, on);
  gate_wait(&on->gate, 1);
  on->look->group->thread = (uint32_t)gettid();
  CHECK_STATUS(muster_seqlock_release(on->look), EINVAL);
  CHECK_EQUAL(on->look->state->owner, successor);
  int32_t pid;
  CHECK_STATUS(muster_seqlock_writer_pid(on->look, &pid), 0);
  CHECK_EQUAL(pid, successor);
  kill_process(successor);
  CHECK_STATUS(muster_seqlock_claim(on->look, NULL), 0);
  CHECK_STATUS(muster_seqlock_close(on->look), 0);
}

typedef struct asker {
  muster_seqlock *seqlock;
  uint32_t over;
} asker;

static void *ask_on(void *context) {
  asker *run = context;
  int32_t pid;
  while (!__atomic_load_n(&run->over, __ATOMIC_ACQUIRE)) {
    int status = muster_seqlock_writer_pid(run->seqlock, &pid);
    CHECK(status == 0 || status == EOWNERDEAD || status == ENOENT);
  }
  return NULL;
}

// Others may ask by the handle while it forgets a claim and takes another (the sanitizers see what they touch).
static void forgetting_while_others_ask(void) {
  plot *on = make_plot();
  asker run = {.seqlock = on->look};
  pthread_t askers[2];
  for (int k = 0; k < 2; k++) REQUIRE(!pthread_create(&askers[k], NULL, ask_on, &run));
  for (int round = 0; round < 200; round++) {
    lose_claim(on->look);
    CHECK_STATUS(round % 2 ? muster_seqlock_claim(on->look, NULL) : muster_seqlock_release(on->look),
                 round % 2 ? 0 : EINVAL);
    if (round % 2) CHECK_STATUS(muster_seqlock_release(on->look), 0);
  }
  __atomic_store_n(&run.over, 1, __ATOMIC_RELEASE);
  for (int k = 0; k < 2; k++) pthread_join(askers[k], NULL);
  CHECK_STATUS(muster_seqlock_close(on->look), 0);
}

TEST_SUITE(seqlock_claim, {"who_claims_is_unknown_yet", who_claims_is_unknown_yet, 0},
           {"who_died_claiming", who_died_claiming, 0}, {"release_of_a_lost_claim", release_of_a_lost_claim, 0},
           {"forgetting_while_others_ask", forgetting_while_others_ask, 0});
