// SPDX-License-Identifier: Apache-2.0
#include "log_support.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

log_scene log_test_scene(uint32_t places, uint32_t bytes) {
  log_scene scene = {.size = muster_log_size(places, bytes)};
  scene.memory = mmap(NULL, scene.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(scene.memory != MAP_FAILED);
  // What was there before is no record.
  memset(scene.memory, 0xab, scene.size);
  REQUIRE(!muster_log_init(scene.memory, scene.size, places, bytes, MUSTER_LOG_TRACE));
  return scene;
}

void log_test_end(const log_scene *scene) { munmap(scene->memory, scene->size); }

muster_log *log_test_attach(const log_scene *scene) {
  muster_log *log;
  REQUIRE(!muster_log_attach(scene->memory, scene->size, &log));
  return log;
}

muster_log *log_test_join(const log_scene *scene) {
  muster_log *log = log_test_attach(scene);
  REQUIRE(!muster_log_join(log, NULL));
  return log;
}

muster_log_reader *log_test_reader(muster_log *log, muster_log_from from) {
  muster_log_reader *reader;
  REQUIRE(!muster_log_reader_open(log, &(muster_log_reader_options){.from = from, .hold = -1}, &reader));
  return reader;
}

muster_log_record log_test_next(muster_log_reader *reader) {
  muster_log_record record;
  int status = muster_log_next(reader, &record);
  CHECK_STATUS(status, 0);
  REQUIRE(!status);
  return record;
}

int log_test_is(muster_log_text text, const char *expected) {
  return text.size == strlen(expected) && (!text.size || !memcmp(text.bytes, expected, text.size));
}

muster_log_drain *log_test_drain(muster_log *log, const char *folder, uint64_t rotate_bytes) {
  muster_log_drain_options options = {
      .folder = folder, .name = "app", .format = MUSTER_LOG_FORMAT_JSON, .rotate_bytes = rotate_bytes};
  muster_log_drain *drain;
  int status = muster_log_drain_open(log, &options, &drain, NULL);
  CHECK_STATUS(status, 0);
  REQUIRE(!status);
  return drain;
}

void log_test_write(muster_log *log, uint32_t count) {
  for (uint32_t k = 0; k < count; k++) REQUIRE(!muster_log_printf(log, MUSTER_LOG_INFO, NULL, "record %u of some", k));
}

const char *log_test_path(const char *folder, const char *leaf) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, leaf);
  return path;
}

uint64_t log_test_size(const char *folder, const char *leaf) {
  struct stat found;
  return stat(log_test_path(folder, leaf), &found) ? UINT64_MAX : (uint64_t)found.st_size;
}

void log_test_drain_all(muster_log_drain *drain) {
  int status;
  while (!(status = muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL))) {
  }
  CHECK_STATUS(status, EAGAIN);
}

// The number behind a member's name; the line is one of ours.
static uint64_t member(const char *line, const char *name) {
  const char *at = strstr(line, name);
  REQUIRE(at);
  return strtoull(at + strlen(name), NULL, 10);
}

static void tally_line(const char *line, log_tally *tally) {
  size_t length = strlen(line);
  // Torn, or two that were written over each other.
  int whole = length > 3 && !strncmp(line, "{\"time\":\"", 9) && !strcmp(line + length - 2, "}\n");
  if (!whole) test_fail(__FILE__, __LINE__, "no whole line: %s", line);
  if (!whole) test_end();
  uint64_t place = member(line, ",\"place\":"), number = member(line, ",\"number\":");
  REQUIRE(place < MUSTER_LOG_PLACES_MAX && !strstr(line, "\"unreadable\"") && !strstr(line, "\"corrupt\""));
  if (number != tally->next[place])
    test_fail(__FILE__, __LINE__, "place %d: %llu where %llu was to come: %s", (int)place, (unsigned long long)number,
              (unsigned long long)tally->next[place], line), test_end();
  const char *message = strstr(line, ",\"message\":\"") + 12;
  uint64_t lost = strstr(line, ",\"kind\":\"lost\"") ? member(line, ",\"lost\":") : 0;
  if (tally->text && !lost) REQUIRE(!strncmp(message, tally->text, (size_t)(strchr(message, '"') - message)));
  tally->next[place] = number + (lost ? lost : 1);
  tally->lost += lost;
  tally->written += lost == 0;
}

static int is_file(const struct dirent *entry) { return !strncmp(entry->d_name, "app-", 4); }

void log_test_tally(const char *folder, log_tally *tally) {
  struct dirent **names;
  int count = scandir(folder, &names, is_file, alphasort);
  REQUIRE(count >= 0);
  char *line = NULL;
  size_t room = 0;
  for (int k = 0; k < count; k++) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, names[k]->d_name);
    FILE *file = fopen(path, "r");
    REQUIRE(file);
    for (ssize_t got; (got = getline(&line, &room, file)) >= 0; tally->bytes += (uint64_t)got) tally_line(line, tally);
    fclose(file);
    free(names[k]);
    tally->files++;
  }
  free(line);
  free(names);
}

void log_test_all_drained(const muster_log *log, const log_tally *tally) {
  muster_log_state state;
  REQUIRE(!muster_log_look(log, &state));
  for (uint32_t k = 0; k < state.places; k++) {
    muster_log_place_state place;
    REQUIRE(!muster_log_look_place(log, k, &place));
    CHECK_EQUAL(tally->next[k], place.records);
  }
}
