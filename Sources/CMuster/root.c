// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal/caller.h"
#include "internal/region_file.h"
#include "internal/region_map.h"
#include "internal/root.h"

enum { HEADER = MUSTER_REGION_HEADER_SIZE };

// ---- Specs

static int name_fits(const char *name) { return name && name[0] && strnlen(name, MUSTER_ROOT_NAME_SIZE) < MUSTER_ROOT_NAME_SIZE; }

static int spec_fits(const muster_daemon_spec *spec) {
  root_policy policy;
  if (!name_fits(spec->name) || !spec->run || spec->state_size == 0) return 0;
  if (spec->checkpoints > MUSTER_ARENA_CHECKPOINTS_MAX || spec->transaction_pages < MUSTER_ROOT_NONE) return 0;
  if (spec->heartbeat < 0 || spec->stop_grace < MUSTER_ROOT_NONE) return 0;
  if (spec->stop_signal < 0 || spec->stop_signal >= NSIG || spec->stop_signal == SIGCHLD) return 0;
  return muster_root_policy_of(spec, &policy) == 0;
}

static int specs_fit(const muster_daemon_spec *specs, uint32_t count) {
  if (count == 0 || count > MUSTER_ROOT_DAEMONS_MAX) return 0;
  for (uint32_t k = 0; k < count; k++) {
    if (!spec_fits(&specs[k])) return 0;
    for (uint32_t j = 0; j < k; j++)
      if (!strcmp(specs[j].name, specs[k].name)) return 0;
  }
  return 1;
}

int muster_root_size(const muster_daemon_spec *specs, uint32_t count, uint64_t *bytes) {
  *bytes = 0;
  if (!specs_fit(specs, count)) return EINVAL;
  root_map map;
  int status = muster_root_map_of(specs, count, &map, NULL);
  if (!status) *bytes = map.size;
  return status;
}

// ---- The root's own memory

static void forget(muster_root *root) {
  muster_root_drop_tables(root);
  free(root);
}

static muster_root *make(uint32_t count) {
  muster_root *root = calloc(1, sizeof *root);
  if (!root) return NULL;
  root->count = count;
  if (muster_root_lay_tables(root) == 0) return root;
  forget(root);
  return NULL;
}

static void take_specs(muster_root *root, const muster_daemon_spec *specs) {
  uint64_t seed = root->options.seed ? root->options.seed : (uint64_t)muster_clock_now() ^ (uint64_t)getpid() << 32;
  for (uint32_t k = 0; k < root->count; k++) {
    muster_daemon_spec *spec = &root->parts[k].spec;
    *spec = specs[k];
    if (!spec->stop_signal) spec->stop_signal = SIGTERM;
    if (!spec->stop_grace) spec->stop_grace = 5 * INT64_C(1000000000);
    if (spec->stop_grace == MUSTER_ROOT_NONE) spec->stop_grace = 0;
    (void)muster_root_policy_of(&specs[k], &root->daemons[k].policy);
    root->daemons[k].ladder.random = seed + k;
    int64_t beat = specs[k].heartbeat;
    if (beat && (!root->shortest || beat < root->shortest)) root->shortest = beat;
  }
}

// ---- The region

static void fill_slot(const root_part *part, root_slot *slot) {
  strcpy(slot->name, part->spec.name);
  slot->arena = part->place.arena;
  slot->arena_size = part->place.desk - part->place.arena;
  slot->state_size = part->spec.state_size;
  slot->heartbeat = part->spec.heartbeat;
}

// Lays out head, slots and arenas before anybody can see them.
static int fill(void *payload, size_t size, void *context) {
  const muster_root *root = context;
  unsigned char *base = (unsigned char *)payload - HEADER;
  root_head *head = (root_head *)(void *)(base + ROOT_HEAD_OFFSET);
  *head = (root_head){.magic = ROOT_MAGIC, .version = ROOT_VERSION, .page = (uint32_t)root->page, .count = root->count,
                      .pid = root->pid, .size = size + HEADER, .started = muster_clock_now()};
  for (uint32_t k = 0; k < root->count; k++) {
    const root_part *part = &root->parts[k];
    muster_arena_shape shape;
    muster_root_shape_of(&part->spec, &shape);
    fill_slot(part, (root_slot *)(void *)(base + ROOT_SLOTS_OFFSET + (uint64_t)k * ROOT_SLOT_SIZE));
    int status = muster_arena_init(base + part->place.arena, part->place.desk - part->place.arena, &shape);
    if (status) return status;
  }
  return 0;
}

// What a killed root left is removed. Its daemons, which hold it, are dying: they are waited for.
static int clear_name(const char *name, muster_deadline end) {
  for (;;) {
    muster_region_info info;
    int status = muster_region_inspect(name, 0, &info);
    if (status == ENOENT) return 0;
    if (status) return status == EBADMSG || status == EPROTO || status == EISDIR || status == ELOOP ? EEXIST : status;
    if (info.kind != MUSTER_ROOT_KIND) return EEXIST;
    status = muster_region_remove(name, 0);
    if (status != EBUSY) return status == ENOENT ? 0 : status;
    if (muster_deadline_passed(end)) return EBUSY;
    muster_deadline next = muster_deadline_after(1000000);
    muster_region_sleep_until(next < end ? next : end);
  }
}

// Another root may come in between the two.
static int open_region(muster_root *root, const char *name, uint64_t size) {
  muster_deadline end = root->options.deadline ? root->options.deadline : muster_deadline_after(MUSTER_REGION_PATIENCE);
  muster_region_options options = {.flags = MUSTER_REGION_CREATE, .mode = root->options.mode, .kind = MUSTER_ROOT_KIND,
                                   .version = ROOT_VERSION, .size = size - HEADER, .initialize = fill, .context = root};
  for (;;) {
    int status = clear_name(name, end);
    if (!status) status = muster_region_open(name, &options, &root->region);
    if (status != EEXIST) return status == EFBIG ? EOVERFLOW : status;
    muster_region_info info;
    if (muster_region_inspect(name, 0, &info) == 0 && info.kind != MUSTER_ROOT_KIND) return EEXIST;
    if (muster_deadline_passed(end)) return EBUSY;
  }
}

static int attach(muster_root *root) {
  int status = muster_region_move(root->region, MUSTER_ARENA_HUGE);
  if (status) return status;
  struct stat file;
  if (fstat(muster_region_descriptor(root->region), &file)) return errno;
  root->device = file.st_dev;
  root->inode = file.st_ino;
  root->base = muster_region_base(root->region);
  muster_root_collapse(root);
  for (uint32_t k = 0; k < root->count && !status; k++) {
    root_part *part = &root->parts[k];
    status = muster_arena_attach(root->base + part->place.arena, part->place.desk - part->place.arena, &part->arena);
    part->spec.name = root_slot_of(root, k)->name;
  }
  return status ? status : muster_root_protect_root(root);
}

static void end_region(muster_root *root) {
  if (!root->region) return;
  const char *name = muster_region_name(root->region);
  int status = muster_region_current(root->region);
  if (!status) status = muster_region_remove(name, MUSTER_REGION_FORCE);
  (void)status;  // the name may lead elsewhere by now, or be gone
  muster_region_close(root->region);
}

static int start(muster_root *root, const char *name, const muster_daemon_spec *specs) {
  root_map map;
  take_specs(root, specs);
  int status = muster_root_map_of(specs, root->count, &map, root->parts);
  if (status) return status;
  root->page = map.page;
  root->rows_size = map.rows_size;
  root->size = map.size;
  status = open_region(root, name, map.size);
  return status ? status : attach(root);
}

int muster_root_start(const char *name, const muster_daemon_spec *specs, uint32_t count,
                      const muster_root_options *options, muster_root **root) {
  *root = NULL;
  if (!specs_fit(specs, count)) return EINVAL;
  muster_caller came = muster_enter();
  muster_root *made = make(count);
  int status = made ? 0 : ENOMEM;
  if (made) {
    if (options) made->options = *options;
    made->pid = getpid();
    // Its page is laid now, so that no daemon has to.
    status = muster_fork_guard(&made->guard);
    if (!status) status = start(made, name, specs);
    if (status) end_region(made), forget(made);
    else *root = made;
  }
  muster_leave(came);
  return status;
}

void muster_root_close(muster_root *root) {
  if (!root || muster_fork_inherited(&root->guard)) return;
  muster_caller came = muster_enter();
  end_region(root);
  forget(root);
  muster_leave(came);
}
