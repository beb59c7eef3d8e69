// What else brings records of 64 bytes from one process to another: peers that are built where their libraries are found.
// SPDX-License-Identifier: Apache-2.0
#ifndef RING_PEERS_H
#define RING_PEERS_H

#ifdef __cplusplus
extern "C" {
#endif

#define RING_PEER_SIZE 64

// `make` and `remove` in the parent; `open` in each of the two. Names and paths begin with `name`, which no one else has.
typedef struct ring_peer {
  void (*make)(const char *name);
  void *(*open)(const char *name, int writes);
  void (*send)(void *handle, const void *bytes);
  void (*receive)(void *handle, void *bytes);
  void (*remove)(const char *name);
} ring_peer;

extern const ring_peer ring_peer_boost, ring_peer_zmq;

#ifdef __cplusplus
}
#endif

#endif
