// SPDX-License-Identifier: Apache-2.0
#include "queue_support.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "test.h"

queue_scene queue_test_scene(const muster_queue_options *options) {
  queue_scene scene = {.size = muster_queue_size(options)};
  REQUIRE(scene.size);
  scene.memory = mmap(NULL, scene.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(scene.memory != MAP_FAILED);
  // What was there before is no queue.
  memset(scene.memory, 0xab, scene.size);
  REQUIRE(!muster_queue_init(scene.memory, scene.size, options));
  return scene;
}

void queue_test_end(const queue_scene *scene) { munmap(scene->memory, scene->size); }

muster_queue *queue_test_attach(const queue_scene *scene) {
  muster_queue *queue;
  REQUIRE(!muster_queue_attach(scene->memory, scene->size, &queue));
  return queue;
}

muster_queue *queue_test_join(const queue_scene *scene) {
  muster_queue *queue = queue_test_attach(scene);
  REQUIRE(!muster_queue_join(queue, NULL));
  return queue;
}

uint32_t queue_test_fill(unsigned char *bytes, uint32_t number) {
  uint32_t size = 4 + number % (QUEUE_TEST_SIZE - 3);
  memcpy(bytes, &number, 4);
  for (uint32_t k = 4; k < size; k++) bytes[k] = (unsigned char)(number * 31 + k);
  return size;
}

void queue_test_put(muster_queue *queue, uint32_t number, uint32_t level) {
  unsigned char bytes[QUEUE_TEST_SIZE];
  uint32_t size = queue_test_fill(bytes, number);
  int status = muster_queue_put(queue, bytes, size, level);
  CHECK_STATUS(status, 0);
  REQUIRE(!status);
}

uint32_t queue_test_number(const muster_queue_job *job) {
  unsigned char bytes[QUEUE_TEST_SIZE];
  uint32_t number;
  REQUIRE(job->bytes && job->size >= 4 && (uintptr_t)job->bytes % 16 == 0);
  memcpy(&number, job->bytes, 4);
  REQUIRE(job->size == queue_test_fill(bytes, number) && !memcmp(bytes, job->bytes, job->size));
  return number;
}

muster_queue_job queue_test_take(muster_queue *queue, uint32_t number) {
  muster_queue_job job;
  int status = muster_queue_take(queue, &job);
  CHECK_STATUS(status, 0);
  REQUIRE(!status);
  CHECK_EQUAL(queue_test_number(&job), number);
  return job;
}

void queue_test_work(muster_queue *queue, uint32_t number) {
  muster_queue_job job = queue_test_take(queue, number);
  CHECK_STATUS(muster_queue_done(queue, job.id), 0);
}

muster_queue_state queue_test_look(const muster_queue *queue) {
  muster_queue_state state;
  REQUIRE(!muster_queue_look(queue, &state));
  CHECK_EQUAL(state.free + state.putting + state.queued + state.taken + state.returning + state.aside, state.jobs);
  return state;
}
