// A process is held at each system call of an operation in turn, before it and after it, under ptrace(2). While it
// stands there others look at the file or use it; then it is killed there, or goes on. The kernel sees nothing of a
// process but its calls, so these are all the places where its death, or a pause, can matter to anybody else.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alive_help.h"

enum { MOST_STOPS = 1000, ENOUGH_STOPS = 12 };

enum operation { TAKE, LET_GO_CLEANLY, LET_GO, LOOK };

typedef struct stage {
  const char *path;
  enum operation operation;
  int without_unnamed;  // whether the file system has no unnamed files
  // What came of it, once it is done.
  int status;
  muster_alive_found found;
} stage;

static stage *make_stage(const char *path, enum operation what) {
  stage *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(s != MAP_FAILED);
  s->path = path;
  s->operation = what;
  return s;
}

static void perform(void *context) {
  stage *s = context;
  muster_alive *alive = NULL;
  if (s->operation == LET_GO_CLEANLY || s->operation == LET_GO)
    CHECK_STATUS(muster_alive_acquire(s->path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
  if (s->without_unnamed) refuse_call_with(SYS_openat, 2, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP);
  if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) test_skip("no ptrace here: %s", strerror(errno));
  raise(SIGSTOP);
  switch (s->operation) {
    case TAKE: s->status = muster_alive_acquire(s->path, 0, MUSTER_DEADLINE_NOW, &s->found, &alive); break;
    case LET_GO_CLEANLY: s->status = muster_alive_release(alive); break;
    case LET_GO: muster_alive_abandon(alive); break;
    case LOOK: s->status = muster_alive_probe(s->path, &s->found); break;
  }
  // Held here, having done it, until it is killed or let go.
  raise(SIGSTOP);
}

// Starts the operation and holds it at stop number `stop`. 0 when it was over before.
static pid_t hold_at(stage *s, int stop) {
  pid_t pid = test_fork(perform, s);
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  if (WIFEXITED(status)) test_skip("no ptrace here");
  REQUIRE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  REQUIRE(!ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)));
  for (int i = 0; i < stop; i++) {
    REQUIRE(!ptrace(PTRACE_SYSCALL, pid, NULL, NULL));
    REQUIRE(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    if (WSTOPSIG(status) == SIGSTOP) {
      kill(pid, SIGKILL);
      test_join(pid, SIGKILL);
      return 0;
    }
    REQUIRE(WSTOPSIG(status) == (SIGTRAP | 0x80));
  }
  return pid;
}

// Lets it do the rest, and holds it at the end.
static void go_on(pid_t pid) {
  int status = 0;
  REQUIRE(!ptrace(PTRACE_CONT, pid, NULL, NULL));
  REQUIRE(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
}

static void finish(pid_t pid) {
  kill(pid, SIGKILL);
  test_join(pid, SIGKILL);
}

static int32_t leave_crash(const char *path) {
  owner o = owner_start(path);
  owner_kill(&o);
  return (int32_t)o.pid;
}

static muster_alive_found look(const char *path) {
  muster_alive_found found;
  CHECK_STATUS(muster_alive_probe(path, &found), 0);
  return found;
}

static int is(const muster_alive_found *found, muster_alive_kind kind, int32_t pid) {
  return found->kind == kind && found->pid == pid;
}

#define CHECK_STOP(condition, stop, found)                                                                       \
  do {                                                                                                           \
    if (!(condition))                                                                                            \
      test_fail(__FILE__, __LINE__, "stop %d: kind %d, pid %d, not %s", stop, (found).kind, (found).pid, #condition); \
  } while (0)

// Takes the file, if it may be had, and leaves it as it was found: free, with nothing or with the crash of `pid`.
static void take_after_death(const char *path, int stop, int nothing, int32_t one, int32_t other) {
  muster_alive *alive;
  muster_alive_found found, seen = look(path), ended;
  CHECK_STATUS(muster_alive_wait_death(path, in_seconds(20), &ended), 0);
  CHECK_STATUS(muster_alive_acquire(path, 0, MUSTER_DEADLINE_NOW, &found, &alive), 0);
  CHECK_STOP(is(&found, seen.kind, seen.pid), stop, found);
  CHECK_STOP(is(&ended, seen.kind, seen.pid), stop, ended);
  CHECK_STOP((nothing && is(&found, MUSTER_ALIVE_NOTHING, 0)) || is(&found, MUSTER_ALIVE_CRASH, one) ||
                 is(&found, MUSTER_ALIVE_CRASH, other), stop, found);
  CHECK_STATUS(muster_alive_release(alive), 0);
  CHECK(!exists(path));
}

static void taking_a_new_file_at_each_call(stage *s) {
  int stop = 0, living = 0;
  for (; stop < MOST_STOPS && !test_result(); stop++) {
    pid_t pid = hold_at(s, stop);
    if (!pid) break;
    muster_alive_found found = look(s->path);
    // Once alive it stays so; before that there is nothing.
    CHECK_STOP(is(&found, MUSTER_ALIVE_HELD, pid) || (!living && is(&found, MUSTER_ALIVE_NOTHING, 0)), stop, found);
    living = found.kind == MUSTER_ALIVE_HELD;
    finish(pid);
    take_after_death(s->path, stop, !living, pid, pid);
  }
  CHECK(living);
  CHECK(stop > ENOUGH_STOPS && stop < MOST_STOPS);
  printf("%d stops\n", stop);
}

static void taking_a_new_file(void) { taking_a_new_file_at_each_call(make_stage(alive_path_of("new"), TAKE)); }

static void taking_a_new_file_without_unnamed_files(void) {
  stage *s = make_stage(alive_path_of("named"), TAKE);
  s->without_unnamed = 1;
  taking_a_new_file_at_each_call(s);
}

static void taking_what_a_crash_left(void) {
  stage *s = make_stage(alive_path_of("left"), TAKE);
  int stop = 0, living = 0;
  for (; stop < MOST_STOPS && !test_result(); stop++) {
    int32_t former = leave_crash(s->path);
    pid_t pid = hold_at(s, stop);
    if (!pid) break;
    muster_alive_found found = look(s->path);
    int before = is(&found, MUSTER_ALIVE_CRASH, former) || is(&found, MUSTER_ALIVE_HELD, 0);
    CHECK_STOP(is(&found, MUSTER_ALIVE_HELD, pid) || (!living && before), stop, found);
    living = is(&found, MUSTER_ALIVE_HELD, pid);
    finish(pid);
    take_after_death(s->path, stop, 0, living ? pid : former, pid);
  }
  CHECK(living);
  CHECK(stop > ENOUGH_STOPS && stop < MOST_STOPS);
  printf("%d stops\n", stop);
}

static void letting_go(void) {
  for (int clean = 0; clean < 2; clean++) {
    stage *s = make_stage(alive_path_of("ending"), clean ? LET_GO_CLEANLY : LET_GO);
    muster_alive_kind after = clean ? MUSTER_ALIVE_NOTHING : MUSTER_ALIVE_CRASH;
    int stop = 0, ended = 0;
    for (; stop < MOST_STOPS && !test_result(); stop++) {
      unlink(s->path);
      pid_t pid = hold_at(s, stop);
      if (!pid) break;
      muster_alive_found found = look(s->path);
      CHECK_STOP((!ended && is(&found, MUSTER_ALIVE_HELD, pid)) || is(&found, after, clean ? 0 : pid), stop, found);
      ended = found.kind == after;
      finish(pid);
      take_after_death(s->path, stop, ended && clean, ended && clean ? 0 : pid, pid);
    }
    CHECK(ended);
    CHECK(stop > ENOUGH_STOPS / 2 && stop < MOST_STOPS);
    printf("%d stops\n", stop);
  }
}

// One who takes the file is held, another uses it meanwhile, the first goes on: never two owners, and the truth for
// each.
static void taking_while_another_comes(void) {
  for (int way = 0; way < 4; way++) {
    int leave = way & 1, keep = way & 2;
    stage *s = make_stage(alive_path_of("meeting"), TAKE);
    int stop = 0, refused = 0, first = 0;
    for (; stop < MOST_STOPS && !test_result(); stop++) {
      unlink(s->path);
      int32_t former = leave ? leave_crash(s->path) : 0;
      pid_t pid = hold_at(s, stop);
      if (!pid) break;
      muster_alive *alive;
      muster_alive_found found;
      int status = muster_alive_acquire(s->path, 0, MUSTER_DEADLINE_NOW, &found, &alive);
      CHECK(status == 0 || status == EBUSY);
      if (!status && !keep) CHECK_STATUS(muster_alive_release(alive), 0);
      go_on(pid);
      if (status) {
        refused++;
        CHECK_STATUS(s->status, 0);
        CHECK_STOP(is(&s->found, leave ? MUSTER_ALIVE_CRASH : MUSTER_ALIVE_NOTHING, former), stop, s->found);
      } else if (keep) {
        first++;
        // It may have got so far as to see the file free, and is refused all the same.
        CHECK_STATUS(s->status, EBUSY);
        CHECK_STATUS(muster_alive_current(alive), 0);
        CHECK_STATUS(muster_alive_release(alive), 0);
      } else {
        first++;
        CHECK_STATUS(s->status, 0);
        CHECK_STOP(is(&s->found, MUSTER_ALIVE_NOTHING, 0), stop, s->found);
      }
      finish(pid);
    }
    CHECK(refused > 0 && first > 0 && stop < MOST_STOPS);
    printf("%d stops: %d times refused, %d times first\n", stop, refused, first);
  }
}

// One who looks is held, the file changes meanwhile, it goes on: it saw the state before or the one after.
static void looking_while_it_changes(void) {
  static const char *const changes[] = {"taken new", "taken over", "released", "abandoned", "taken over and abandoned"};
  for (int change = 0; change < 5; change++) {
    stage *s = make_stage(alive_path_of("seen"), LOOK);
    int stop = 0;
    for (; stop < MOST_STOPS && !test_result(); stop++) {
      muster_alive *alive;
      unlink(s->path);
      int32_t former = change == 1 || change == 4 ? leave_crash(s->path) : 0, self = getpid();
      if (change == 2 || change == 3)
        CHECK_STATUS(muster_alive_acquire(s->path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
      pid_t pid = hold_at(s, stop);
      if (!pid) {
        if (change == 2 || change == 3) muster_alive_abandon(alive);
        break;
      }
      if (change != 2 && change != 3)
        CHECK_STATUS(muster_alive_acquire(s->path, 0, MUSTER_DEADLINE_NOW, NULL, &alive), 0);
      if (change == 2) CHECK_STATUS(muster_alive_release(alive), 0);
      if (change > 2) muster_alive_abandon(alive);
      go_on(pid);
      finish(pid);
      const muster_alive_found *f = &s->found;
      CHECK_STATUS(s->status, 0);
      int good = 0;
      switch (change) {
        case 0: good = is(f, MUSTER_ALIVE_NOTHING, 0) || is(f, MUSTER_ALIVE_HELD, self); break;
        case 1: good = is(f, MUSTER_ALIVE_CRASH, former) || is(f, MUSTER_ALIVE_HELD, self); break;
        case 2: good = is(f, MUSTER_ALIVE_HELD, self) || is(f, MUSTER_ALIVE_NOTHING, 0); break;
        case 3: good = is(f, MUSTER_ALIVE_HELD, self) || is(f, MUSTER_ALIVE_CRASH, self); break;
        case 4: good = is(f, MUSTER_ALIVE_CRASH, former) || is(f, MUSTER_ALIVE_CRASH, self); break;
      }
      if (!good) test_fail(__FILE__, __LINE__, "%s, stop %d: kind %d, pid %d", changes[change], stop, f->kind, f->pid);
      if (change < 2) CHECK_STATUS(muster_alive_release(alive), 0);
    }
    CHECK(stop > 2 && stop < MOST_STOPS);
    printf("%s: %d stops\n", changes[change], stop);
  }
}

TEST_SUITE(alive_step, {"taking_a_new_file", taking_a_new_file, 60},
           {"taking_a_new_file_without_unnamed_files", taking_a_new_file_without_unnamed_files, 60},
           {"taking_what_a_crash_left", taking_what_a_crash_left, 60}, {"letting_go", letting_go, 60},
           {"taking_while_another_comes", taking_while_another_comes, 120},
           {"looking_while_it_changes", looking_while_it_changes, 120});
