// The queue, one operation each: every job is where it was or where it was to be, with as many attempts, whatever became of the operator.
// SPDX-License-Identifier: Apache-2.0
#include "queue_world.h"

typedef enum operation {
  PUT, COMMIT, CANCEL, TAKE, TAKE_DONE, DONE, BACK_FAILED, BACK_LAST, BACK_UNTRIED, BACK_HOPELESS, RETRY, DROP, LEAVE, JOIN, FINISH,
  REOPEN, POLL,
} operation;

// Of one job: what it is before, when the operator died at the end, when it went on, returned and left, and in between.
typedef struct expectation {
  uint32_t number, before, after, left, between;
} expectation;

static const expectation expected[] = {
    [PUT] = {3, GONE, QUEUED, QUEUED, GONE},
    [COMMIT] = {3, GONE, QUEUED, QUEUED, GONE},
    [CANCEL] = {3, GONE, GONE, GONE, GONE},
    [TAKE] = {0, QUEUED, QUEUED + 1, QUEUED + 1, QUEUED},
    [TAKE_DONE] = {0, QUEUED, GONE, GONE, QUEUED + 1},
    [DONE] = {0, QUEUED + 1, GONE, GONE, GONE},
    [BACK_FAILED] = {0, QUEUED + 1, QUEUED + 1, QUEUED + 1, QUEUED + 1},
    [BACK_LAST] = {0, ASIDE + LIMIT, ASIDE + LIMIT, ASIDE + LIMIT, ASIDE + LIMIT},
    [BACK_UNTRIED] = {0, QUEUED + 1, QUEUED, QUEUED, QUEUED},
    [BACK_HOPELESS] = {0, QUEUED + 1, ASIDE, ASIDE, ASIDE},
    [RETRY] = {0, ASIDE + LIMIT, QUEUED, QUEUED, QUEUED},
    [DROP] = {0, ASIDE + LIMIT, GONE, GONE, GONE},
    [LEAVE] = {0, QUEUED + 1, QUEUED + 1, QUEUED + 1, QUEUED + 1},
    [JOIN] = {0, QUEUED, QUEUED, QUEUED, QUEUED},
    [FINISH] = {0, QUEUED, QUEUED, QUEUED, QUEUED},
    [REOPEN] = {0, QUEUED, QUEUED, QUEUED, QUEUED},
    [POLL] = {0, QUEUED, QUEUED, QUEUED, QUEUED},
};

static void setup(void) {
  lay();
  operation what = (operation)sweep->variant;
  if (what == BACK_LAST || what == RETRY || what == DROP) fail_job();
  if (what == REOPEN) SWEEP_STATUS(muster_queue_finish(ours), 0);
  if (what != RETRY && what != DROP) return;
  uint64_t id = take(ours, 0);
  uint32_t cursor = 0;
  muster_queue_entry entry;
  SWEEP_STATUS(muster_queue_put_back(ours, id, MUSTER_QUEUE_FAILED), 0);
  SWEEP_STATUS(muster_queue_next(ours, MUSTER_QUEUE_ASIDE, &cursor, &entry, NULL, 0), 0);
  note()->id = entry.id;
}

static int has_taken(operation what) {
  return what == DONE || what == LEAVE || (what >= BACK_FAILED && what <= BACK_HOPELESS);
}

static void prepare(void) {
  mine = attach();
  operation what = (operation)sweep->variant;
  if (what == JOIN) return;
  SWEEP_STATUS(muster_queue_join(mine, NULL), 0);
  if (has_taken(what)) note()->id = take(mine, 0);
  muster_queue_job claim;
  if (what == LEAVE) SWEEP_STATUS(muster_queue_claim(mine, &claim), 0);
}

static int claim_then(int commits) {
  muster_queue_job claim;
  int status = muster_queue_claim(mine, &claim);
  if (status || !commits) return status ? status : muster_queue_cancel(mine, claim.id);
  uint32_t words[2] = {3, ~3u};
  memcpy(claim.bytes, words, sizeof words);
  return muster_queue_commit(mine, claim.id, sizeof words, 1);
}

static int operate(void) {
  muster_queue_job job;
  muster_wait_set set;
  int status;
  switch ((operation)sweep->variant) {
    case PUT: return put(mine, 3, 1);
    case COMMIT: return claim_then(1);
    case CANCEL: return claim_then(0);
    case TAKE: return muster_queue_take(mine, &job);
    case TAKE_DONE: status = muster_queue_take(mine, &job); return status ? status : muster_queue_done(mine, job.id);
    case DONE: return muster_queue_done(mine, note()->id);
    case BACK_FAILED:
    case BACK_LAST: return muster_queue_put_back(mine, note()->id, MUSTER_QUEUE_FAILED);
    case BACK_UNTRIED: return muster_queue_put_back(mine, note()->id, MUSTER_QUEUE_UNTRIED);
    case BACK_HOPELESS: return muster_queue_put_back(mine, note()->id, MUSTER_QUEUE_HOPELESS);
    case RETRY: return muster_queue_retry(mine, note()->id);
    case DROP: return muster_queue_drop(mine, note()->id);
    case LEAVE: return muster_queue_leave(mine);
    case JOIN: return muster_queue_join(mine, NULL);
    case FINISH: return muster_queue_finish(mine);
    case REOPEN: return muster_queue_reopen(mine);
    default: return muster_queue_poll(mine, &set);
  }
}

static int is_finished(void) {
  muster_queue_state state;
  SWEEP_STATUS(muster_queue_look(ours, &state), 0);
  return (int)state.finished;
}

static void meanwhile(void) {
  if (is_finished()) SWEEP_STATUS(muster_queue_reopen(ours), 0);
  sweep_newcomer(works_on, 5);
}

// Which of the jobs of the later level it gets that goes on when others have had them in their hands, is anybody's guess: but it is one.
static void check_took_one(uint32_t left) {
  static const uint32_t numbers[] = {0, 1, 2, 41};
  uint32_t count = 0;
  for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
    uint32_t found = fate_of(numbers[k]);
    SWEEP_CHECK(found == QUEUED || found == left);
    count += found == left;
  }
  SWEEP_EQUAL(count, 1);
}

static void check(void) {
  const expectation *of = &expected[sweep->variant];
  int finished = is_finished();
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  drain();
  if (sweep->injection == SWEEP_STALL && (sweep->variant == TAKE || sweep->variant == TAKE_DONE)) {
    check_took_one(of->left);
    check_whole();
    return;
  }
  uint32_t found = fate_of(of->number);
  if (sweep->injection == SWEEP_STALL) {
    SWEEP_EQUAL(found, of->left);
    SWEEP_EQUAL(fate_of(41), QUEUED);
  } else {
    SWEEP_CHECK(found == of->before || found == of->after || found == of->between);
    int after = of->before != of->after ? found == of->after : sweep->returned != 0;
    if (sweep->variant == FINISH || sweep->variant == REOPEN) after = finished == (sweep->variant == FINISH);
    sweep_found(after ? SWEEP_AFTER : SWEEP_BEFORE);
  }
  // Nothing became of the others.
  for (uint32_t k = 1; k < BEGUN; k++) SWEEP_EQUAL(fate_of(k), QUEUED);
  SWEEP_EQUAL(fate_of(40), GONE);
  check_whole();
}

#define CASE(NAME, LEAST, VARIANT)                                                                                              \
  {.name = "queue." NAME, .minimum = LEAST, .variant = VARIANT, .setup = setup, .prepare = prepare, .operate = operate,        \
   .meanwhile = meanwhile, .finish = finish, .check = check}

SWEEP_SUITE(queue, CASE("put", 100, PUT), CASE("claim-commit", 100, COMMIT), CASE("claim-cancel", 100, CANCEL), CASE("take", 60, TAKE),
            CASE("take-done", 100, TAKE_DONE), CASE("done", 30, DONE), CASE("put-back", 100, BACK_FAILED),
            CASE("put-back-for-good", 60, BACK_LAST), CASE("put-back-untried", 100, BACK_UNTRIED),
            CASE("put-back-hopeless", 30, BACK_HOPELESS), CASE("retry", 100, RETRY), CASE("drop", 30, DROP), CASE("leave", 200, LEAVE),
            CASE("join", 200, JOIN), CASE("finish", 10, FINISH), CASE("reopen", 5, REOPEN), CASE("poll", 30, POLL));
