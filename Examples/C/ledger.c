// Two accounts whose sum never changes, kept by processes that move money under a robust mutex. One is killed between taking and
// giving; the next to come is told, and repairs from the note that each leaves before it begins.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <muster/muster.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4, MOVES = 2000, UNLUCKY = 1, LAST_MOVE_OF_UNLUCKY = 500, SUM = 1000 };

typedef struct ledger {
  int64_t accounts[2];
  int64_t before[2];  // as they were when the present move began
  int repairs;
} ledger;

static int repair(void *context) {
  ledger *books = context;
  for (int i = 0; i < 2; i++) books->accounts[i] = books->before[i];
  books->repairs++;
  return 0;
}

static int move(muster_mutex *mutex, ledger *books, int64_t amount, int dies) {
  int status = muster_mutex_lock_repairing(mutex, repair, books, muster_deadline_after(INT64_C(20000000000)));
  if (status) return status;
  if (books->accounts[0] + books->accounts[1] != SUM) status = EBADMSG;
  for (int i = 0; i < 2; i++) books->before[i] = books->accounts[i];
  // What a death leaves must not depend on what the compiler has put off.
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  books->accounts[0] -= amount;
  if (dies) raise(SIGKILL);
  books->accounts[1] += amount;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  int unlocked = muster_mutex_unlock(mutex);
  return status ? status : unlocked;
}

static int fill(void *payload, size_t size, void *context) {
  (void)size, (void)context;
  *(ledger *)payload = (ledger){.accounts = {SUM, 0}, .before = {SUM, 0}};
  return 0;
}

static int work(const char *lock, const char *name, int number, int *repairs) {
  muster_mutex *mutex;
  muster_region *region;
  int status = muster_mutex_open(lock, &(muster_mutex_options){0}, &mutex);
  if (status) return status;
  muster_region_options options = {.flags = MUSTER_REGION_OPEN, .size = sizeof(ledger), .initialize = fill};
  status = muster_region_open(name, &options, &region);
  if (status) return status;
  ledger *books = muster_region_payload(region);
  for (int n = 0; !status && n < MOVES; n++)
    status = move(mutex, books, n % 7 - 3, number == UNLUCKY && n == LAST_MOVE_OF_UNLUCKY);
  if (repairs) *repairs = books->repairs;
  muster_region_close(region);
  int closed = muster_mutex_close(mutex);
  return status ? status : closed;
}

int main(void) {
  char lock[64], name[64];
  snprintf(lock, sizeof lock, "muster-example-ledger-%d-lock", (int)getpid());
  snprintf(name, sizeof name, "muster-example-ledger-%d", (int)getpid());
  for (int number = 0; number < WORKERS; number++) {
    pid_t pid = fork();
    if (pid < 0) return perror("fork"), 1;
    if (pid == 0) _exit(work(lock, name, number, NULL));
  }
  int killed = 0, failed = 0, status, repairs = 0;
  while (wait(&status) > 0) {
    if (WIFSIGNALED(status)) killed++;
    else if (WEXITSTATUS(status)) failed++;
  }
  int last = work(lock, name, WORKERS, &repairs);
  printf("%d was killed with the lock, %d repaired; the sum is what it was\n", killed, repairs);
  int removed = muster_region_remove(lock, 0) | muster_region_remove(name, 0);
  return failed || killed != 1 || repairs != 1 || last || removed;
}
