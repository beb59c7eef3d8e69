// What the tests of the queue share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_QUEUE_SUPPORT_H
#define MUSTER_QUEUE_SUPPORT_H

#include "muster/queue.h"

// A queue laid into anonymous shared memory, which forked children inherit.
typedef struct queue_scene {
  void *memory;
  size_t size;
} queue_scene;

queue_scene queue_test_scene(const muster_queue_options *options);
void queue_test_end(const queue_scene *scene);

muster_queue *queue_test_attach(const queue_scene *scene);
muster_queue *queue_test_join(const queue_scene *scene);

// A job that holds a number, and some bytes that follow from it: put, which must be possible; taken, when it must be that one.
void queue_test_put(muster_queue *queue, uint32_t number, uint32_t level);
muster_queue_job queue_test_take(muster_queue *queue, uint32_t number);

// The number in a job, all of whose bytes must follow from it.
uint32_t queue_test_number(const muster_queue_job *job);

// Takes a job that must be that one, and is done with it.
void queue_test_work(muster_queue *queue, uint32_t number);

// What a look tells, whose parts must add up.
muster_queue_state queue_test_look(const muster_queue *queue);

// The bytes that a job with that number has, at most QUEUE_TEST_SIZE.
#define QUEUE_TEST_SIZE 40
uint32_t queue_test_fill(unsigned char *bytes, uint32_t number);

#endif
