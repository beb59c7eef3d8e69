// spdlog's asynchronous logger, with its usual queue of 8,192 messages; when that is full the oldest are dropped, as in
// a log of ours, which is its quicker way for who calls.
// SPDX-License-Identifier: Apache-2.0
#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include "log_peers.h"

namespace {

std::shared_ptr<spdlog::logger> logger;

void open(const char *path) {
  logger = spdlog::basic_logger_mt<spdlog::async_factory_impl<spdlog::async_overflow_policy::overrun_oldest>>("peer", path);
}

void write(int port) { logger->info(LOG_MESSAGE " port={} who={}", port, LOG_WHO); }

void close() {
  logger.reset();
  spdlog::shutdown();
}

}  // namespace

extern "C" const log_peer log_peer_spdlog = {open, write, close};
