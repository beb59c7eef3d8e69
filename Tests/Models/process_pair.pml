/* The whole order of a process pair's takeover: docs/pair.md, checked by Spin (https://spinroot.com).
 *
 * Tests/Models/check runs it: the assertions (never two primaries, never a number skipped, never more than two processes), the
 * formula (a takeover always ends), and each of the mistakes below, which have to be found.
 *
 * What is modelled. Three process numbers; a killer who kills, stops and continues whom he likes at any instruction, so
 * many times; a person who starts the program by hand at any moment; a backup that may take a healthy primary for hung.
 * A statement is an instruction: what lies between two of them can be the last that a process does.
 *
 * The kernel's part: a dead process's locks are let go of before others see it gone, in a step of its own; a pidfd stands for
 * one process, not for its number; a lock that a child inherits is held while either lives; a stopped process does nothing, and
 * keeps what it has.
 *
 * What does not hold, and is therefore not asked for: with a backup that takes a healthy primary for hung in the very moment in
 * which that one takes it for hung, too (it had been stopped, and was just let go on), each may kill the other. Both are dead then, and
 * somebody has to start the program anew; nothing is skipped by that.
 *
 * What is left out: states and outputs are their step's number; a primary that can't be killed (it is not taken over from,
 * so nothing happens); the acceptance test and the escalation, which choose among old states and change no order here; and the claim of
 * shared memory, which refuses a second primary: the order has to hold without it, so that nobody ever commits by an older epoch.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

#ifndef KILLS
#define KILLS 2      /* of the killer: kills, stops */
#endif
#ifndef STARTS
#define STARTS 2     /* by hand, the first one included */
#endif
#ifndef DOUBTS
#define DOUBTS 1     /* healthy ones that are taken for hung */
#endif
#ifndef STEPS
#define STEPS 3      /* the work: it is done after these */
#endif
#ifndef READABLE
#define READABLE 1   /* the output can be asked which step it has last */
#endif

#define PROCESSES 3
#define NOBODY PROCESSES

/* Mistakes that the check has to find, each alone. */
#ifdef WITHOUT_KILL       /* takes over from a hung primary without killing it */
#define KILL_FIRST 0
#else
#define KILL_FIRST 1
#endif
#ifdef WITHOUT_SEEING     /* kills it, and goes on without having seen it gone, and without the lock */
#define SEE_GONE 0
#else
#define SEE_GONE 1
#endif
#ifdef EMIT_FIRST         /* emits before the commit */
#define COMMIT_FIRST 0
#else
#define COMMIT_FIRST 1
#endif
#ifdef WITHOUT_DOUBT      /* goes on with the next step, whether the last one's output is out or not */
#define RESOLVE 0
#else
#define RESOLVE 1
#endif
#ifdef LEAVES             /* a backup that finds somebody else leading leaves, whatever becomes of that one */
#define STAYS 0
#else
#define STAYS 1
#endif
#ifdef WITHOUT_SEAT       /* starts a backup where another one may be */
#define SEATED 0
#else
#define SEATED 1
#endif

mtype = { none, running, stopped, dying, dead };

/* ---- The kernel's */
mtype is[PROCESSES] = none;
bool doomed[PROCESSES];         /* SIGKILL is on its way: it may still go on for a moment, on another processor */
byte born[PROCESSES];           /* which process of this number: a pidfd is {number, born} */
byte alive_file = NOBODY;       /* who holds it */
byte seat = 0;                  /* the backup's: a bit for each that has the descriptor */
bool by_hand[PROCESSES];        /* how it was started, or by whom */
byte parent[PROCESSES], parent_born[PROCESSES];

/* ---- The shared memory's */
byte committed, emitted;
byte newest_epoch;
byte said_backup = NOBODY, said_born;

/* ---- The world's */
byte output;                    /* the last number that is out */
byte repeats, takeovers;
byte kills = KILLS, starts = STARTS, doubts = DOUBTS;
bool works[PROCESSES];          /* it has come to where it works */
bool of_pair[PROCESSES];        /* it is primary or backup */

#define lives(p) (is[p] == running || is[p] == stopped)
#define gone(p, b) (born[p] != b || is[p] == dead || is[p] == none)
#define hangs(p, b) (born[p] == b && is[p] == stopped)
#define working(p) (works[p] && lives(p))
#define member(p) (of_pair[p] && lives(p))
#define seated(p) (is[p] == running && !doomed[p] && (alive_file == p || (of_pair[p] && (seat & (1 << p)))))

#define quiet (kills == 0 && starts == 0)
#define hope (seated(0) || seated(1) || seated(2))
#define finished (output == STEPS && emitted == STEPS)

ltl takeover_ends { [] ((quiet && hope) -> <> finished) }

/* The output takes a number: none is left out; an output that can be asked gets none twice; another gets at most one twice
 * for each takeover. */
inline emit(n) {
  d_step {
    assert(working(0) + working(1) + working(2) <= 1);
    assert(n <= output + 1);
    if
    :: n == output + 1 -> output = n
    :: else -> assert(!READABLE && n == output); repeats++; assert(repeats < takeovers)
    fi
  }
}

/* pidfd_send_signal(SIGKILL): to the very process, or to nobody. */
inline kill_process(p, b) {
  d_step {
    if
    :: born[p] == b && lives(p) -> doomed[p] = true
    :: else
    fi
  }
}

inline enter(p) {
  d_step {
    of_pair[p] = true;
    assert(member(0) + member(1) + member(2) <= 2)
  }
}

inline take_alive_file(me) {
  d_step {
    if
    :: alive_file == NOBODY || !SEE_GONE || !KILL_FIRST -> alive_file = me; mine = true
    :: else -> mine = false
    fi
  }
}

/* A child with the seat's descriptor, under a number that nobody has: NOBODY where none is free. */
inline spawn(me, child) {
  d_step {
    child = 0;
    do
    :: child < PROCESSES && is[child] != none && is[child] != dead -> child++
    :: else -> break
    od;
    if
    :: child < PROCESSES ->
      born[child]++;
      by_hand[child] = false;
      parent[child] = me;
      parent_born[child] = born[me];
      seat = seat | (SEATED << child);
      is[child] = running
    :: else
    fi
  }
}

/* Nobody else starts one meanwhile: the seat is taken before, and shared with the child from its first instruction on. */
inline start_backup(me) {
  d_step { mine = !SEATED || seat == 0; if :: mine -> seat = seat | (SEATED << me) :: else fi };
  if
  :: mine ->
    spawn(me, backup);
    if
    :: backup != NOBODY -> backup_born = born[backup]; said_backup = backup; said_born = backup_born
    :: else
    fi;
    seat = seat & ~(1 << me)
  :: else
  fi
}

inline resolve_doubt() {
  if
  :: RESOLVE && emitted < step ->
    if
    :: READABLE && output >= step
    :: else -> emit(step)
    fi;
    emitted = step
  :: else
  fi
}

/* Fencing would refuse it: in this order there is nothing to be refused. */
inline commit(n) {
  d_step { assert(epoch == newest_epoch); committed = n }
}

/* With the Alive file. */
inline work(me) {
  d_step { newest_epoch++; epoch = newest_epoch };
  d_step { takeovers++; works[me] = true; assert(working(0) + working(1) + working(2) <= 1) };
  step = committed;
  resolve_doubt();
  do
  :: step < STEPS ->
    if
    :: COMMIT_FIRST -> commit(step + 1); emit(step + 1); emitted = step + 1
    :: else -> emit(step + 1); emitted = step + 1; commit(step + 1)
    fi;
    step++
  :: backup == NOBODY && (!SEATED || seat == 0) -> start_backup(me)
  /* One that a dead primary has left. */
  :: backup == NOBODY && SEATED && seat != 0 && said_backup != NOBODY && lives(said_backup) && born[said_backup] == said_born &&
     !doomed[said_backup] -> kill_process(said_backup, said_born)
  :: backup != NOBODY && gone(backup, backup_born) -> backup = NOBODY
  :: backup != NOBODY && hangs(backup, backup_born) && !doomed[backup] -> kill_process(backup, backup_born)
  od
}

/* The backup's loop, until it has the Alive file. */
inline watch(me) {
  do
  ::
    if
    :: gone(watched, watched_born)
    :: hangs(watched, watched_born) -> if :: KILL_FIRST -> kill_process(watched, watched_born) :: else fi
    :: doubts > 0 && !gone(watched, watched_born) -> doubts--; if :: KILL_FIRST -> kill_process(watched, watched_born) :: else fi
    :: doubts > 0 -> doubts = 0
    fi;
    if
    :: gone(watched, watched_born) || !SEE_GONE || !KILL_FIRST ->
      take_alive_file(me);
      if
      :: mine -> break
      /* Somebody was started by hand, and leads: it is watched from now on. */
      :: else ->
        if :: STAYS :: else -> goto leave fi;
        d_step { if :: alive_file != NOBODY -> watched = alive_file; watched_born = born[watched] :: else fi }
      fi
    :: else
    fi
  od
}

proctype process(byte me) provided (is[me] != stopped) {
  byte step, epoch, backup, backup_born, watched, watched_born;
  bool mine;
begin:
  is[me] == running;
  {
    backup = NOBODY;
    if
    :: by_hand[me] ->
      take_alive_file(me);
      if
      :: !mine -> goto leave                      /* a pair of this name runs */
      :: else -> enter(me)
      fi
    :: else ->
      enter(me);
      d_step { watched = parent[me]; watched_born = parent_born[me] };
      d_step { said_backup = me; said_born = born[me] };
      watch(me);
      skip;
      d_step { seat = seat & ~(1 << me); watched = 0; watched_born = 0; mine = false }
    fi;
    work(me)
  } unless { is[me] == dying };
  goto buried;
leave:
  skip;
  d_step { if :: is[me] == running -> is[me] = dying :: else fi };
buried:
  skip;
  /* The locks first, then it is seen gone. */
  d_step { is[me] == dying; seat = seat & ~(1 << me); if :: alive_file == me -> alive_file = NOBODY :: else fi };
  d_step {
    works[me] = false; of_pair[me] = false; doomed[me] = false;
    /* Nothing is left of it, so that the same worlds are the same states. */
    step = 0; epoch = 0; backup = 0; backup_born = 0; watched = 0; watched_born = 0; mine = false;
    if :: !by_hand[me] -> parent[me] = 0; parent_born[me] = 0 :: else fi;
    is[me] = dead
  };
  goto begin
}

#define dies(p) doomed[p] && lives(p) -> d_step { if :: lives(p) -> is[p] = dying :: else fi }

/* SIGKILLs arrive. */
active proctype kernel() {
  do
  :: dies(0)
  :: dies(1)
  :: dies(2)
  od
}

#define kills_it(p) kills > 0 && is[p] == running -> d_step { if :: is[p] == running -> kills--; is[p] = dying :: else fi }
#define stops_it(p) kills > 0 && is[p] == running -> d_step { if :: is[p] == running -> kills--; is[p] = stopped :: else fi }
#define lets_it_go(p) kills > 0 && is[p] == stopped -> d_step { if :: is[p] == stopped -> is[p] = running :: else fi }

active proctype killer() {
  do
  :: kills_it(0)
  :: kills_it(1)
  :: kills_it(2)
  :: stops_it(0)
  :: stops_it(1)
  :: stops_it(2)
  :: lets_it_go(0)
  :: lets_it_go(1)
  :: lets_it_go(2)
  :: kills > 0 -> kills = 0  /* has had enough */
  od
}

#define free(p) (is[p] == none || is[p] == dead)
#define starts_it(p) starts > 0 && free(p) -> \
  d_step { if :: free(p) -> starts--; born[p]++; by_hand[p] = true; is[p] = running :: else fi }

active proctype person() {
  do
  :: starts_it(0)
  :: starts_it(1)
  :: starts > 0 && starts < STARTS -> starts = 0
  od
}

init {
  atomic { run process(0); run process(1); run process(2) }
}
