// An owner keeps accounts in an arena, and moves money by transactions that crash in a third of the runs. It is killed now and then, and its
// successor goes on. Another process watches all the time: the sum never changes.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <muster/muster.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ACCOUNTS = 4000, EACH = 100, OWNERS = 5, TRANSFERS = 40 };

typedef struct book {
  uint64_t transfers;
  int64_t accounts[ACCOUNTS];
} book;

static int file;
static muster_arena arena;
static muster_arena_layout layout;

static void check(int status, const char *what) {
  if (status) fprintf(stderr, "%s: %s\n", what, muster_status_text(status)), exit(1);
}

static int is_right(const book *seen) {
  int64_t sum = 0;
  for (int i = 0; i < ACCOUNTS; i++) sum += seen->accounts[i];
  return sum == (int64_t)ACCOUNTS * EACH;
}

// ---- A transaction: it takes, and may crash before it gives

static void transfer(uint64_t id) {
  muster_arena_log log;
  check(muster_arena_log_open(&arena, id, &log), "open the log");
  check(muster_arena_log_isolate(&log, file, layout.state_offset), "isolate");
  book *books = arena.state;
  uint64_t from = id * 7919 % ACCOUNTS, to = id * 104729 % ACCOUNTS;
  books->accounts[from] -= 5;
  if (id % 3 == 0) raise(SIGKILL);
  books->accounts[to] += 5;
  books->transfers++;
  check(muster_arena_log_changed(&log), "log what was changed");
  check(muster_arena_log_commit(&log), "commit");
}

static void run_transaction(void) {
  uint64_t id;
  check(muster_arena_log_begin(&arena, &id), "begin");
  pid_t pid = fork();
  if (pid < 0) perror("fork"), exit(1);
  if (pid == 0) {
    // No transaction may live on without its owner.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    transfer(id);
    _exit(0);
  }
  waitpid(pid, NULL, 0);
  int redone = muster_arena_redo(&arena);
  if (redone != ENODATA) check(redone, "redo");
}

// ---- An owner, and who watches

static int own(void) {
  if (muster_arena_redo(&arena) == EBADMSG) return 1;
  if (muster_arena_changing(&arena)) check(muster_arena_load(&arena, 0, NULL, NULL, NULL), "load");
  const book *books = arena.state;
  for (uint64_t end = books->transfers + TRANSFERS; books->transfers < end;) {
    run_transaction();
    if (books->transfers % 10 == 0) check(muster_arena_save(&arena, NULL), "save");
  }
  raise(SIGKILL);
  return 1;
}

static int watch(void) {
  static book seen;
  uint64_t last = 0;
  while (last < OWNERS * TRANSFERS) {
    check(muster_arena_read_until(&arena, 0, &seen, sizeof seen, muster_deadline_after(INT64_C(10000000000)), NULL), "read");
    if (!is_right(&seen) || seen.transfers < last) return 1;
    last = seen.transfers;
  }
  return 0;
}

static pid_t start(int (*run)(void)) {
  pid_t pid = fork();
  if (pid < 0) perror("fork"), exit(1);
  if (pid == 0) _exit(run());
  return pid;
}

int main(void) {
  muster_arena_shape shape = {.size = sizeof(book), .log_pages = 4, .checkpoints = 2};
  check(muster_arena_layout_of(&shape, &layout), "lay out");
  file = (int)memfd_create("account", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, (off_t)layout.size)) perror("memfd_create"), exit(1);
  void *memory = mmap(NULL, layout.size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) perror("mmap"), exit(1);
  check(muster_arena_init(memory, layout.size, &shape), "lay");
  check(muster_arena_attach(memory, layout.size, &arena), "attach");
  book *books = arena.state;
  for (int i = 0; i < ACCOUNTS; i++) books->accounts[i] = EACH;
  check(muster_arena_save(&arena, NULL), "save");
  int status;
  pid_t watcher = start(watch);
  for (int i = 0; i < OWNERS; i++) {
    waitpid(start(own), &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) return 1;
  }
  waitpid(watcher, &status, 0);
  muster_arena_info info;
  muster_arena_info_of(&arena, &info);
  printf("%llu transfers by %d owners; %llu transactions, of which %llu crashed; the sum is %s\n",
         (unsigned long long)books->transfers, OWNERS, (unsigned long long)info.id, (unsigned long long)info.crashed,
         is_right(books) && status == 0 ? "right" : "wrong");
  return !is_right(books) || status != 0;
}
