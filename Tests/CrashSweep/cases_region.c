// Regions: a name leads to one whole initialisation or to nothing, and nobody holds another up.
// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "internal/region_file.h"
#include "muster/region.h"
#include "sweep.h"

enum { WORDS = 32, KIND = MUSTER_KIND('S', 'W', 'E', 'P') };

static const char *named(void) { return sweep_name("region"); }
static const char *filed(void) { return sweep_path("region"); }

static int fill(void *payload, size_t size, void *context) {
  (void)context;
  uint64_t *words = payload;
  for (size_t i = 0; i < size / sizeof *words; i++) words[i] = ~i;
  return 0;
}

static int open_flags(const char *name, uint32_t flags, muster_region **region) {
  muster_region_options options = {
      .flags = flags, .kind = KIND, .version = 1, .size = WORDS * sizeof(uint64_t), .initialize = fill};
  return muster_region_open(name, &options, region);
}

static int open_renewing(const char *name, muster_region **region) {
  muster_region_options options = {.flags = MUSTER_REGION_OPEN,
                                   .kind = KIND,
                                   .version = 1,
                                   .size = WORDS * sizeof(uint64_t),
                                   .initialize = fill,
                                   .renew = fill};
  return muster_region_open(name, &options, region);
}

static void check_whole(const muster_region *region) {
  SWEEP_EQUAL(muster_region_size(region), WORDS * sizeof(uint64_t));
  const uint64_t *words = muster_region_payload(region);
  for (size_t i = 0; i < WORDS; i++) SWEEP_EQUAL(words[i], ~i);
}

// What a name leads to, seen from outside: 1 a region, 0 nothing.
static int exists(const char *name, uint32_t flags) {
  muster_region_info info;
  int status = muster_region_inspect(name, flags, &info);
  if (status == ENOENT) return 0;
  SWEEP_STATUS(status, 0);
  SWEEP_EQUAL(info.kind, KIND);
  SWEEP_EQUAL(info.size, WORDS * sizeof(uint64_t));
  return 1;
}

// A newcomer that needs the region, whoever made it.
static int newcomer_uses(int file) {
  muster_region *region;
  const char *name = file ? filed() : named();
  int status = open_flags(name, MUSTER_REGION_OPEN | (file ? MUSTER_REGION_FILE : 0u), &region);
  if (status) return status;
  check_whole(region);
  status = muster_region_current(region);
  muster_region_close(region);
  return status;
}

static void newcomer_uses_all(uint32_t file) {
  sweep_newcomer(newcomer_uses, file != 0);
  SWEEP_STATUS(muster_region_remove(file ? filed() : named(), file), 0);
  SWEEP_EQUAL(exists(file ? filed() : named(), file), 0);
}

// Another name has nothing to do with whoever is stopped at this one.
static void other_name_works(void) {
  muster_region *region;
  const char *name = sweep_name("other");
  SWEEP_STATUS(open_flags(name, MUSTER_REGION_CREATE, &region), 0);
  check_whole(region);
  muster_region_close(region);
  SWEEP_STATUS(open_flags(name, MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY, &region), 0);
  check_whole(region);
  muster_region_close(region);
  SWEEP_STATUS(muster_region_remove(name, 0), 0);
}

static void nothing(void) {}

static const char *shm_path(const char *name) {
  static char path[320];
  snprintf(path, sizeof path, "/dev/shm/%s", name);
  return path;
}

// How many drafts have a name, and one of them.
static unsigned find_draft(char name[300]) {
  DIR *folder = opendir("/dev/shm");
  SWEEP_CHECK(folder);
  unsigned count = 0;
  for (struct dirent *entry; (entry = readdir(folder));) {
    if (strncmp(entry->d_name, ".muster-draft-", 14)) continue;
    snprintf(name, 300, "%s", entry->d_name);
    count++;
  }
  closedir(folder);
  return count;
}

// ---- Creating, alone or as the one who comes first.

static muster_region *mine;

static int create_operate(void) { return open_flags(named(), MUSTER_REGION_CREATE, &mine); }
static int open_operate(void) { return open_flags(named(), MUSTER_REGION_OPEN, &mine); }
static int file_operate(void) { return open_flags(filed(), MUSTER_REGION_OPEN | MUSTER_REGION_FILE, &mine); }
static void finish(void) { muster_region_close(mine); }

// Another makes it too, removes it if nobody has it, makes it again.
static void create_foreign(uint32_t file) {
  const char *name = file ? filed() : named();
  for (int turn = 0; turn < 3; turn++) {
    sweep_newcomer(newcomer_uses, file != 0);
    int status = muster_region_remove(name, file);
    SWEEP_CHECK(status == 0 || status == EBUSY);
    SWEEP_EQUAL(exists(name, file), status == EBUSY);
  }
  if (sweep->point % 2) sweep_newcomer(newcomer_uses, file != 0);
  other_name_works();
}

static void create_meanwhile(void) { create_foreign(0); }
static void file_meanwhile(void) { create_foreign(MUSTER_REGION_FILE); }

static void create_look(uint32_t file) {
  if (sweep->injection == SWEEP_CRASH) sweep_found(exists(file ? filed() : named(), file) ? SWEEP_AFTER : SWEEP_BEFORE);
  newcomer_uses_all(file);
}

static void create_check(void) {
  if (sweep->injection == SWEEP_STALL) {
    // Who creates alone may find that another was first; then that one's region stands.
    SWEEP_CHECK(sweep->result == 0 || sweep->result == EEXIST);
    SWEEP_EQUAL(exists(named(), 0), 1);
    sweep_finish();
  } else if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
  }
  create_look(0);
}

static void open_look(uint32_t file) {
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_EQUAL(exists(file ? filed() : named(), file), 1);
  }
  if (sweep->injection == SWEEP_STALL) {
    // It may hold one that was removed by force only; nobody forced anything, so what it holds can't be removed.
    SWEEP_STATUS(muster_region_remove(file ? filed() : named(), file), EBUSY);
    sweep_finish();
  }
  create_look(file);
}

static void open_check(void) { open_look(0); }
static void file_check(void) { open_look(MUSTER_REGION_FILE); }

// ---- The same where the file system has no unnamed files. A death may leave the draft's own name: as a second name of
// the region, as a region that nobody holds, or, before its header is written, as no region.

static int drafted_operate(void) {
  muster_region_named_drafts = 1;
  return open_flags(named(), MUSTER_REGION_CREATE, &mine);
}

static void drafted_check(void) {
  char left[300];
  unsigned drafts = find_draft(left);
  if (sweep->injection == SWEEP_STALL || sweep->returned) SWEEP_EQUAL(drafts, 0);
  SWEEP_CHECK(drafts <= 1);
  if (sweep->injection == SWEEP_CRASH && drafts) {
    muster_region_info info;
    int status = muster_region_inspect(left, 0, &info);
    if (status == 0) {
      SWEEP_EQUAL(info.held, 0);
      SWEEP_STATUS(muster_region_remove(left, 0), 0);
    } else {
      SWEEP_STATUS(status, EBADMSG);
      SWEEP_EQUAL(exists(named(), 0), 0);
      SWEEP_CHECK(unlink(shm_path(left)) == 0);
    }
  }
  create_check();
  SWEEP_EQUAL(find_draft(left), 0);
}

// ---- Attaching to what is there, and letting go.

static muster_region *ours;

static void held_setup(void) { SWEEP_STATUS(open_flags(named(), MUSTER_REGION_CREATE, &ours), 0); }

static void unheld_setup(void) {
  held_setup();
  muster_region_close(ours);
  ours = NULL;
}

static int attach_operate(void) { return open_flags(named(), MUSTER_REGION_ATTACH, &mine); }
static int view_operate(void) { return open_flags(named(), MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY, &mine); }

static void attach_meanwhile(void) {
  for (int turn = 0; turn < 3; turn++) sweep_newcomer(newcomer_uses, 0);
  other_name_works();
}

static void attach_check(void) {
  muster_region_info info;
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) {
    SWEEP_STATUS(muster_region_remove(named(), 0), EBUSY);
    sweep_finish();
  }
  SWEEP_STATUS(muster_region_inspect(named(), 0, &info), 0);
  SWEEP_EQUAL(info.held, 0);
  newcomer_uses_all(0);
}

static void close_prepare(void) { SWEEP_STATUS(attach_operate(), 0); }

static int close_operate(void) {
  muster_region_close(mine);
  return 0;
}

static void close_check(void) {
  muster_region_info info;
  SWEEP_STATUS(muster_region_inspect(named(), 0, &info), 0);
  SWEEP_EQUAL(info.held, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  newcomer_uses_all(0);
}

// Waiting for the name, with a deadline that is over by the time that it looks: found, or not.
static int expecting_operate(void) {
  muster_region_options options = {.flags = MUSTER_REGION_ATTACH, .kind = KIND, .version = 1, .deadline = 1};
  return muster_region_open(named(), &options, &mine);
}

static void expecting_check(void) {
  if (sweep->injection == SWEEP_STALL) {
    SWEEP_CHECK(sweep->result == 0 || sweep->result == ETIMEDOUT);
    if (sweep->result == 0) SWEEP_STATUS(muster_region_remove(named(), 0), EBUSY);
    sweep_finish();
  } else if (sweep->returned) {
    SWEEP_STATUS(sweep->result, ETIMEDOUT);
  }
  newcomer_uses_all(0);
}

// ---- Renewal by the first who comes after all have gone. Who stops in it holds the region, and others are told
// EBUSY.

static int renew_operate(void) { return open_renewing(named(), &mine); }

static int newcomer_renews(int number) {
  (void)number;
  muster_region *region;
  int status = open_renewing(named(), &region);
  if (status) return status;
  check_whole(region);
  muster_region_close(region);
  return 0;
}

static pid_t waits_for_it;

static void renew_meanwhile(void) {
  muster_region_info info;
  SWEEP_STATUS(muster_region_inspect(named(), 0, &info), 0);
  waits_for_it = sweep_peer(newcomer_renews, 0);
  if (sweep_ends_soon(waits_for_it)) {
    SWEEP_STATUS(sweep_reap(waits_for_it), 0);
    sweep_newcomer(newcomer_renews, 0);
    waits_for_it = 0;
  }
  other_name_works();
}

static void renew_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (waits_for_it) {
    int status = sweep_reap(waits_for_it);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(newcomer_renews, 0);
  newcomer_uses_all(0);
}

// ---- Removing.

static int remove_operate(void) { return muster_region_remove(named(), 0); }
static int force_operate(void) { return muster_region_remove(named(), MUSTER_REGION_FORCE); }

static void remove_meanwhile(void) {
  muster_region_info info;
  int status = muster_region_inspect(named(), 0, &info);
  if (status == ENOENT || !info.held || sweep->point % 200 == 0) {
    // Stays attached, so the remover either was first, or has to let be.
    status = open_flags(named(), MUSTER_REGION_OPEN, &ours);
    SWEEP_CHECK(status == 0 || (info.held && status == EBUSY));
    if (status == 0) check_whole(ours);
  }
  other_name_works();
}

static void remove_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
    sweep_found(exists(named(), 0) ? SWEEP_BEFORE : SWEEP_AFTER);
  } else {
    sweep_finish();
    SWEEP_CHECK(sweep->result == 0 || (sweep->result == EBUSY && ours));
    // A region that somebody attached to is never removed from under him.
    if (ours) {
      SWEEP_STATUS(muster_region_current(ours), 0);
      check_whole(ours);
      muster_region_close(ours);
    } else {
      SWEEP_EQUAL(exists(named(), 0), 0);
    }
  }
  newcomer_uses_all(0);
}

static void force_meanwhile(void) {
  check_whole(ours);
  int status = muster_region_current(ours);
  SWEEP_CHECK(status == 0 || status == ESTALE);
  sweep_newcomer(newcomer_uses, 0);
  other_name_works();
}

static void force_check(void) {
  check_whole(ours);
  int current = muster_region_current(ours) == 0;
  if (sweep->injection == SWEEP_CRASH) sweep_found(current ? SWEEP_BEFORE : SWEEP_AFTER);
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_EQUAL(current, 0);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  muster_region_close(ours);
  newcomer_uses_all(0);
}

// ---- Looking, which changes nothing.

static int inspect_operate(void) {
  muster_region_info info;
  int status = muster_region_inspect(named(), 0, &info);
  return status ? status : info.held ? -1 : -2;
}

static int count_one(const muster_region_info *info, void *context) {
  *(int *)context += info->kind == KIND;
  return 0;
}

static int list_operate(void) {
  int count = 0;
  int status = muster_region_list(count_one, &count);
  return status ? status : count;
}

static int current_operate(void) { return muster_region_current(mine); }
static int sync_operate(void) { return muster_region_sync(mine); }

static void replace_it(void) {
  SWEEP_STATUS(muster_region_remove(named(), MUSTER_REGION_FORCE), 0);
  sweep_newcomer(newcomer_uses, 0);
}

static void inspect_check(void) {
  int held = sweep->injection == SWEEP_CRASH;
  if (sweep->returned) SWEEP_CHECK(sweep->result == -1 || (!held && (sweep->result == -2 || sweep->result == ENOENT)));
  check_whole(ours);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  muster_region_close(ours);
  newcomer_uses_all(0);
}

static void list_check(void) {
  // One that is replaced by another while the list is made may be met as both or not at all.
  if (sweep->returned) SWEEP_CHECK(sweep->result == 1 || (sweep->injection == SWEEP_STALL && sweep->result <= 2));
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  muster_region_close(ours);
  newcomer_uses_all(0);
}

static void current_check(void) {
  if (sweep->returned) SWEEP_CHECK(sweep->result == 0 || (sweep->injection == SWEEP_STALL && sweep->result == ESTALE));
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  muster_region_close(ours);
  newcomer_uses_all(0);
}

static void sync_setup(void) { sweep_newcomer(newcomer_uses, 1); }
static void sync_prepare(void) { SWEEP_STATUS(file_operate(), 0); }

static void sync_meanwhile(void) {
  for (int turn = 0; turn < 3; turn++) sweep_newcomer(newcomer_uses, 1);
}

static void sync_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  newcomer_uses_all(MUSTER_REGION_FILE);
}

SWEEP_SUITE(
    region,
    {.name = "region.create", .minimum = 300, .setup = nothing, .operate = create_operate,
     .meanwhile = create_meanwhile, .finish = finish, .check = create_check},
    {.name = "region.create-by-a-named-draft", .minimum = 300, .setup = nothing, .operate = drafted_operate,
     .meanwhile = create_meanwhile, .finish = finish, .check = drafted_check},
    {.name = "region.open-creates", .minimum = 300, .setup = nothing, .operate = open_operate,
     .meanwhile = create_meanwhile, .finish = finish, .check = open_check},
    {.name = "region.open-creates-file", .minimum = 300, .setup = nothing, .operate = file_operate,
     .meanwhile = file_meanwhile, .finish = finish, .check = file_check},
    {.name = "region.open-attaches", .minimum = 200, .setup = unheld_setup, .operate = open_operate,
     .meanwhile = attach_meanwhile, .finish = finish, .check = attach_check},
    {.name = "region.attach", .minimum = 200, .setup = unheld_setup, .operate = attach_operate,
     .meanwhile = attach_meanwhile, .finish = finish, .check = attach_check},
    {.name = "region.attach-read-only", .minimum = 200, .setup = unheld_setup, .operate = view_operate,
     .meanwhile = attach_meanwhile, .finish = finish, .check = attach_check},
    {.name = "region.attach-times-out", .minimum = 100, .setup = nothing, .operate = expecting_operate,
     .meanwhile = attach_meanwhile, .finish = finish, .check = expecting_check},
    {.name = "region.open-renews", .minimum = 200, .setup = unheld_setup, .operate = renew_operate,
     .meanwhile = renew_meanwhile, .finish = finish, .check = renew_check},
    {.name = "region.close", .minimum = 30, .setup = unheld_setup, .prepare = close_prepare,
     .operate = close_operate, .meanwhile = attach_meanwhile, .check = close_check},
    {.name = "region.remove", .minimum = 100, .setup = unheld_setup, .operate = remove_operate,
     .meanwhile = remove_meanwhile, .check = remove_check},
    {.name = "region.remove-forced", .minimum = 100, .setup = held_setup, .operate = force_operate,
     .meanwhile = force_meanwhile, .check = force_check},
    {.name = "region.inspect", .minimum = 200, .setup = held_setup, .operate = inspect_operate,
     .meanwhile = replace_it, .check = inspect_check},
    {.name = "region.list", .minimum = 200, .setup = held_setup, .operate = list_operate,
     .meanwhile = replace_it, .check = list_check},
    {.name = "region.current", .minimum = 50, .setup = held_setup, .prepare = close_prepare,
     .operate = current_operate, .meanwhile = replace_it, .finish = finish, .check = current_check},
    {.name = "region.sync", .minimum = 100, .setup = sync_setup, .prepare = sync_prepare, .operate = sync_operate,
     .meanwhile = sync_meanwhile, .finish = finish, .check = sync_check});
