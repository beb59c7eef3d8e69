// ZeroMQ, PUSH to PULL over ipc://.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <unistd.h>
#include <zmq.h>

#include "bench.h"
#include "ring_peers.h"

static void make(const char *name) { (void)name; }

static void path_of(const char *name, char *path, size_t size) { snprintf(path, size, "/tmp/%s.sock", name); }

static void *open_socket(const char *name, int writes) {
  char path[200], address[220];
  path_of(name, path, sizeof path);
  snprintf(address, sizeof address, "ipc://%s", path);
  void *socket = zmq_socket(zmq_ctx_new(), writes ? ZMQ_PUSH : ZMQ_PULL);
  if (!socket || (writes ? zmq_connect(socket, address) : zmq_bind(socket, address))) bench_fail("zmq", zmq_errno());
  return socket;
}

static void send_one(void *socket, const void *bytes) {
  if (zmq_send(socket, bytes, RING_PEER_SIZE, 0) < 0) bench_fail("zmq_send", zmq_errno());
}

static void receive_one(void *socket, void *bytes) {
  if (zmq_recv(socket, bytes, RING_PEER_SIZE, 0) < 0) bench_fail("zmq_recv", zmq_errno());
}

static void remove_path(const char *name) {
  char path[200];
  path_of(name, path, sizeof path);
  unlink(path);
}

const ring_peer ring_peer_zmq = {make, open_socket, send_one, receive_one, remove_path};
