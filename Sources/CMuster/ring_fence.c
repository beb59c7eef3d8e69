// The order of two accesses of another process, bought by the one who needs it (membarrier(2)).
//
// MEMBARRIER_CMD_GLOBAL_EXPEDITED interrupts each processor that runs a process which has registered; what does not run
// passes a barrier before it runs again. So of "store, then look" here and "store, then look" there, with this call
// between the two here and nothing but the compiler's order there, at least one side sees the other's store.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/ring.h"

static int call(int command) {
  int saved = errno;
  long got = syscall(SYS_membarrier, command, 0, 0);
  int error = got < 0 ? errno : 0;
  errno = saved;
  return error;
}

int muster_ring_fence_join(void) { return call(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED); }

int muster_ring_fence_all(void) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return call(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}
