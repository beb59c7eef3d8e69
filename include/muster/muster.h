// All of Muster's C API.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_H
#define MUSTER_H

#include "alive.h"
#include "arena.h"
#include "barrier.h"
#include "checkpoint.h"
#include "clock.h"
#include "group.h"
#include "heartbeat.h"
#include "lock.h"
#include "pair.h"
#include "pool.h"
#include "log.h"
#include "log_drain.h"
#include "log_read.h"
#include "posix_barrier.h"
#include "process.h"
#include "process_stop.h"
#include "queue.h"
#include "region.h"
#include "ring.h"
#include "root.h"
#include "seqlock.h"
#include "status.h"
#include "trace.h"
#include "wait.h"

#endif
