// Three daemons of one root that read each other's state, over memory that outlives them.
//
// "bank" keeps 64 accounts and moves money between them in transactions, of which every third crashes in the midst of it: the
// total stays right, since a crash leaves nothing. "auditor" adds up the bank's accounts, again and again, from its own process.
// "clumsy" counts what the auditor has done, and crashes now and then; the root forks it again, and it goes on counting from where
// it was. When the auditor has seen enough, the program asks the root to stop, by the same signal that a person would.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <muster/muster.h>

enum { ACCOUNTS = 64, TOTAL = 64000, AUDITS = 50, CRASHES = 3 };

static const int64_t millisecond = 1000000;

typedef struct bank {
  int64_t money[ACCOUNTS];
  uint64_t transfers, crashed;
} bank;

typedef struct auditor {
  uint64_t audits, wrong;
} auditor;

typedef struct clumsy {
  uint64_t looks, lives;
} clumsy;

// ---- The bank

typedef struct transfer {
  uint64_t number;
} transfer;

// On a snapshot of the bank. Between the two stores the total is wrong; nobody ever sees that.
static int move_money(void *state, uint64_t size, void *context) {
  (void)size;
  bank *mine = state;
  const transfer *order = context;
  uint64_t from = order->number % ACCOUNTS, to = order->number * 7 % ACCOUNTS;
  mine->money[from] -= 10;
  if (order->number % 3 == 0) abort();
  mine->money[to] += 10;
  mine->transfers++;
  return 0;
}

static int run_bank(muster_daemon *self, void *context) {
  (void)context;
  bank *mine = muster_daemon_state(self);
  if (muster_daemon_catch_stop(self)) return 1;
  if (muster_daemon_how(self)->found == MUSTER_DAEMON_ZERO) {
    if (muster_daemon_change_begin(self)) return 1;
    for (int k = 0; k < ACCOUNTS; k++) mine->money[k] = TOTAL / ACCOUNTS;
    if (muster_daemon_change_end(self)) return 1;
  }
  transfer order = {0};
  while (!muster_daemon_stopping(self)) {
    const muster_transaction_options once = {.tries = 1, .deadline = muster_deadline_after(1000 * millisecond)};
    muster_transaction_outcome outcome;
    order.number++;
    if (muster_daemon_transact(self, move_money, &order, &once, &outcome)) return 1;
    if (outcome.how == MUSTER_TRANSACTION_CRASHED) {
      if (muster_daemon_change_begin(self)) return 1;
      mine->crashed++;
      if (muster_daemon_change_end(self)) return 1;
    }
  }
  return 0;
}

// ---- The auditor

static int audit(muster_daemon *self, uint32_t of, auditor *mine) {
  bank seen;
  int status = muster_daemon_read_until(self, of, 0, &seen, sizeof seen, muster_deadline_after(1000 * millisecond));
  if (status) return status;
  int64_t total = 0;
  for (int k = 0; k < ACCOUNTS; k++) total += seen.money[k];
  // Before the bank's first start is through, it has nothing.
  if (total == 0) return 0;
  mine->audits++;
  if (total != TOTAL) mine->wrong++;
  return 0;
}

static int run_auditor(muster_daemon *self, void *context) {
  const pid_t *root = context;
  auditor *mine = muster_daemon_state(self);
  uint32_t of, beside;
  if (muster_daemon_find(self, "bank", &of) || muster_daemon_find(self, "clumsy", &beside)) return 1;
  if (muster_daemon_catch_stop(self)) return 1;
  while (!muster_daemon_stopping(self)) {
    clumsy other = {0};
    if (muster_daemon_change_begin(self)) return 1;
    int status = audit(self, of, mine);
    if (muster_daemon_change_end(self) || status) return 1;
    status = muster_daemon_read(self, beside, 0, &other, sizeof other);
    if (!status && mine->audits >= AUDITS && other.lives > CRASHES) kill(*root, SIGTERM);
    (void)muster_daemon_pause(self, muster_deadline_after(millisecond));
  }
  return 0;
}

// ---- The one that crashes

static int run_clumsy(muster_daemon *self, void *context) {
  (void)context;
  clumsy *mine = muster_daemon_state(self);
  uint32_t of;
  if (muster_daemon_find(self, "auditor", &of)) return 1;
  mine->lives++;
  for (;;) {
    auditor seen;
    if (!muster_daemon_read(self, of, 0, &seen, sizeof seen)) mine->looks++;
    if (mine->lives <= CRASHES && mine->looks % 5 == 4) {
      mine->looks++;
      abort();
    }
    (void)muster_daemon_pause(self, muster_deadline_after(millisecond));
  }
}

// ---- The root

// When the daemons are gone their memory is still there, until the root is closed: here it is looked at from outside.
static int report(const char *name) {
  muster_root_view *view;
  bank money;
  auditor audits;
  clumsy looks;
  muster_daemon_status status = {0};
  if (muster_root_observe(name, 0, &view)) return 1;
  int failed = muster_root_view_read(view, 0, 0, &money, sizeof money) || muster_root_view_read(view, 1, 0, &audits, sizeof audits) ||
               muster_root_view_read(view, 2, 0, &looks, sizeof looks) || muster_root_view_daemon(view, 2, &status);
  muster_root_view_close(view);
  if (failed) return 1;
  int64_t total = 0;
  for (int k = 0; k < ACCOUNTS; k++) total += money.money[k];
  printf("bank: %llu transfers, %llu crashed, total %lld\n", (unsigned long long)money.transfers, (unsigned long long)money.crashed,
         (long long)total);
  printf("auditor: %llu audits, %llu wrong\n", (unsigned long long)audits.audits, (unsigned long long)audits.wrong);
  printf("clumsy: %llu looks in %llu lives, %s\n", (unsigned long long)looks.looks, (unsigned long long)looks.lives,
         muster_daemon_end_text(status.death.how));
  return total != TOTAL || audits.wrong || audits.audits < AUDITS || looks.lives != CRASHES + 1 || !money.transfers || !money.crashed;
}

int main(void) {
  pid_t self = getpid();
  const muster_daemon_spec daemons[] = {
      {.name = "bank", .run = run_bank, .state_size = sizeof(bank), .policy = MUSTER_DAEMON_KEEP, .heartbeat = 5000 * millisecond},
      {.name = "auditor", .run = run_auditor, .context = &self, .state_size = sizeof(auditor), .policy = MUSTER_DAEMON_KEEP},
      {.name = "clumsy", .run = run_clumsy, .state_size = sizeof(clumsy), .policy = MUSTER_DAEMON_KEEP, .tries = 10,
       .delay_first = millisecond},
  };
  char name[64];
  snprintf(name, sizeof name, "daemons-%d", (int)self);
  muster_root *root;
  int status = muster_root_start(name, daemons, 3, NULL, &root);
  if (!status) status = muster_root_run(root);
  if (status) {
    fprintf(stderr, "root: %s\n", muster_status_text(status));
    muster_root_close(root);
    return 1;
  }
  int failed = report(name);
  muster_root_close(root);
  return failed;
}
