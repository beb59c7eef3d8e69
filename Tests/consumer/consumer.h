// What every consumer program below does: that headers and library are of one version, and one call of each kind.
// SPDX-License-Identifier: Apache-2.0
#ifndef CONSUMER_H
#define CONSUMER_H

#include <errno.h>
#include <muster/muster.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int consume(void) {
  unsigned major = 0, minor = 0, patch = 0;
  if (sscanf(EXPECTED_VERSION, "%u.%u.%u", &major, &minor, &patch) != 3) return 1;
  if (muster_version() != major * 10000 + minor * 100 + patch) {
    fprintf(stderr, "the package says %s, the library %u\n", EXPECTED_VERSION, (unsigned)muster_version());
    return 1;
  }
  if (strcmp(muster_status_name(ETIMEDOUT), "ETIMEDOUT") != 0) return 2;
  if (muster_deadline_passed(muster_deadline_after(INT64_C(3600000000000)))) return 3;
  return 0;
}

#endif
