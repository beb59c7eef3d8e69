// SPDX-License-Identifier: Apache-2.0
#include "internal/alive_record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal/boot.h"

static const char magic[] = "muster-alive 1 ";

enum { MAGIC = sizeof magic - 1, SUM = 13, SUMMED = ALIVE_RECORD_SIZE - SUM };

void muster_alive_record_own(alive_record *record) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  *record = (alive_record){.pid = (int32_t)getpid(), .since = now.tv_sec * INT64_C(1000000000) + now.tv_nsec};
  record->start = muster_own_start();
  muster_boot_id(record->boot);
}

// FNV-1a: told apart are halves of two records, not the work of an enemy.
static uint32_t sum(const char *text) {
  uint32_t hash = 2166136261u;
  for (int i = 0; i < SUMMED; i++) hash = (hash ^ (unsigned char)text[i]) * 16777619u;
  return hash;
}

void muster_alive_record_print(const alive_record *record, char text[ALIVE_RECORD_SIZE]) {
  char line[ALIVE_RECORD_SIZE + 1], end[SUM + 1], boot[2 * ALIVE_BOOT_SIZE + 1];
  for (int i = 0; i < ALIVE_BOOT_SIZE; i++) snprintf(boot + 2 * i, 3, "%02x", record->boot[i]);
  int length = snprintf(line, sizeof line, "%s%s pid=%d start=%llu boot=%s since=%lld ", magic,
                        record->ended ? "ended" : "held", (int)record->pid, (unsigned long long)record->start, boot,
                        (long long)record->since);
  memset(text, ' ', SUMMED);
  memcpy(text, line, (size_t)length < SUMMED ? (size_t)length : SUMMED);
  snprintf(end, sizeof end, "sum=%08x\n", (unsigned)sum(text));
  memcpy(text + SUMMED, end, SUM);
}

// Reads the number after " key=". Returns whether there is one, and none larger than `most`.
static int number(const char *line, const char *key, uint64_t most, uint64_t *value) {
  const char *at = strstr(line, key);
  if (!at || at[strlen(key)] < '0' || at[strlen(key)] > '9') return 0;
  *value = 0;
  for (at += strlen(key); *at >= '0' && *at <= '9'; at++) {
    uint64_t digit = (uint64_t)(*at - '0');
    if (*value > (most - digit) / 10) return 0;
    *value = *value * 10 + digit;
  }
  return *at == ' ';
}

// Reads the boot id after " boot=".
static int boot_of(const char *line, uint8_t boot[ALIVE_BOOT_SIZE]) {
  static const char digits[] = "0123456789abcdef";
  const char *at = strstr(line, " boot=");
  if (!at || strspn(at + 6, digits) != 2 * ALIVE_BOOT_SIZE) return 0;
  for (int i = 0; i < ALIVE_BOOT_SIZE; i++)
    boot[i] = (uint8_t)((strchr(digits, at[6 + 2 * i]) - digits) << 4 | (strchr(digits, at[7 + 2 * i]) - digits));
  return 1;
}

static alive_reading parse_whole(const char *text, alive_record *record) {
  char line[SUMMED + 1], end[SUM + 1];
  memcpy(line, text, SUMMED);
  line[SUMMED] = 0;
  snprintf(end, sizeof end, "sum=%08x\n", (unsigned)sum(text));
  if (memcmp(end, text + SUMMED, SUM)) return ALIVE_TORN;
  uint64_t pid, start, since;
  if (number(line, " pid=", INT32_MAX, &pid) && number(line, " start=", UINT64_MAX, &start) &&
      number(line, " since=", INT64_MAX, &since) && boot_of(line, record->boot) && pid > 0) {
    record->ended = !strncmp(line + MAGIC, "ended ", 6);
    record->pid = (int32_t)pid;
    record->start = start;
    record->since = (int64_t)since;
    return ALIVE_WHOLE;
  }
  *record = (alive_record){0};
  return ALIVE_TORN;
}

alive_reading muster_alive_record_parse(const char *text, size_t length, alive_record *record) {
  *record = (alive_record){0};
  if (length > ALIVE_RECORD_SIZE) return ALIVE_FOREIGN;
  size_t zeros = 0;
  while (zeros < length && !text[zeros]) zeros++;
  if (zeros == length) return ALIVE_TORN;
  if (memcmp(text, magic, length < MAGIC ? length : MAGIC)) return ALIVE_FOREIGN;
  return length == ALIVE_RECORD_SIZE ? parse_whole(text, record) : ALIVE_TORN;
}

int muster_alive_record_read(int file, alive_reading *reading, alive_record *record) {
  char text[ALIVE_RECORD_SIZE + 1];
  ssize_t got;
  do got = pread(file, text, sizeof text, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) return errno;
  *reading = muster_alive_record_parse(text, (size_t)got, record);
  return 0;
}

// Power that failed before the data reached the disk leaves an empty file, or zeros; only its times tell when it was
// made.
static int older_than_boot(const struct stat *status) {
  struct timespec now, up;
  if (clock_gettime(CLOCK_REALTIME, &now) || clock_gettime(CLOCK_BOOTTIME, &up)) return 0;
  return status->st_mtim.tv_sec < now.tv_sec - up.tv_sec - 1;
}

static int another_boot(const uint8_t a[ALIVE_BOOT_SIZE], const uint8_t b[ALIVE_BOOT_SIZE]) {
  static const uint8_t unknown[ALIVE_BOOT_SIZE];
  return memcmp(a, b, ALIVE_BOOT_SIZE) && memcmp(a, unknown, ALIVE_BOOT_SIZE) && memcmp(b, unknown, ALIVE_BOOT_SIZE);
}

int muster_alive_record_judge(alive_reading reading, const alive_record *record, const struct stat *status,
                              const uint8_t boot[ALIVE_BOOT_SIZE], muster_alive_found *found) {
  *found = (muster_alive_found){.kind = MUSTER_ALIVE_NOTHING};
  if (reading == ALIVE_FOREIGN) return EBADMSG;
  if (reading == ALIVE_TORN) {
    found->kind = older_than_boot(status) ? MUSTER_ALIVE_REBOOT : MUSTER_ALIVE_CRASH;
  } else if (!record->ended) {
    *found = (muster_alive_found){.kind = another_boot(boot, record->boot) ? MUSTER_ALIVE_REBOOT : MUSTER_ALIVE_CRASH,
                                  .pid = record->pid,
                                  .start = record->start,
                                  .since = record->since};
  }
  return 0;
}
