// Boost.Interprocess message_queue, of 1000 messages.
// SPDX-License-Identifier: Apache-2.0
#include <boost/interprocess/ipc/message_queue.hpp>

#include "ring_peers.h"

namespace {

namespace ipc = boost::interprocess;

void make(const char *name) { ipc::message_queue queue(ipc::create_only, name, 1000, RING_PEER_SIZE); }
void *open(const char *name, int) { return new ipc::message_queue(ipc::open_only, name); }
void send(void *queue, const void *bytes) { static_cast<ipc::message_queue *>(queue)->send(bytes, RING_PEER_SIZE, 0); }

void receive(void *queue, void *bytes) {
  ipc::message_queue::size_type size;
  unsigned priority;
  static_cast<ipc::message_queue *>(queue)->receive(bytes, RING_PEER_SIZE, size, priority);
}

void remove(const char *name) { ipc::message_queue::remove(name); }

}  // namespace

extern "C" const ring_peer ring_peer_boost = {make, open, send, receive, remove};
