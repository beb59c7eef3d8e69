// The one line of text in an Alive file: who holds it, or held it.
//
//   muster-alive 1 held pid=4711 start=81205 boot=0f6c41...e2 since=1763712000000000000        sum=1c2d3e4f
//
// It is padded to ALIVE_RECORD_SIZE bytes, so that a later one covers an earlier one whole, and ends with a sum over
// the bytes before: a reader that meets a writer in the middle, or a file that lost its data with the power, sees that
// it is torn instead of believing half of each. `ended` in place of `held` is a clean end of an owner that was not
// permitted to remove the file.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ALIVE_RECORD_H
#define MUSTER_INTERNAL_ALIVE_RECORD_H

#include <sys/stat.h>

#include "muster/alive.h"

enum { ALIVE_RECORD_SIZE = 192, ALIVE_BOOT_SIZE = 16 };

typedef struct alive_record {
  int ended;
  int32_t pid;
  uint64_t start;
  int64_t since;
  uint8_t boot[ALIVE_BOOT_SIZE];  // zeros where the system doesn't tell
} alive_record;

typedef enum alive_reading {
  ALIVE_WHOLE,    // a record
  ALIVE_TORN,     // empty, or part of a record, or zeros: an Alive file that doesn't tell
  ALIVE_FOREIGN,  // something else
} alive_reading;

// The record of the calling process, now.
void muster_alive_record_own(alive_record *record);

void muster_alive_record_print(const alive_record *record, char text[ALIVE_RECORD_SIZE]);

// `length` is what the file holds, or anything larger than ALIVE_RECORD_SIZE.
alive_reading muster_alive_record_parse(const char *text, size_t length, alive_record *record);

// Reads the record at the beginning of a file. Returns 0 or an error of pread(2).
int muster_alive_record_read(int file, alive_reading *reading, alive_record *record);

// What a file that nobody holds tells, in the present boot. Returns 0, or EBADMSG for a foreign one.
int muster_alive_record_judge(alive_reading reading, const alive_record *record, const struct stat *status,
                              const uint8_t boot[ALIVE_BOOT_SIZE], muster_alive_found *found);

#endif
