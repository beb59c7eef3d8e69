// What else writes log records: a peer that is built where its library is found.
// SPDX-License-Identifier: Apache-2.0
#ifndef LOG_PEERS_H
#define LOG_PEERS_H

#ifdef __cplusplus
extern "C" {
#endif

#define LOG_MESSAGE "a message of some length, as one writes into logs, it is ok"
#define LOG_WHO "somebody"

typedef struct log_peer {
  void (*open)(const char *path);
  void (*write)(int port);
  void (*close)(void);
} log_peer;

extern const log_peer log_peer_spdlog;

#ifdef __cplusplus
}
#endif

#endif
