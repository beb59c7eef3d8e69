// The frame of the C++ tests, as that of the C tests: each test runs in a process of its own with a deadline, and fails
// by a CHECK, by an exception, by dying, or by leaving a process or a name behind.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_CPP_TEST_HPP
#define MUSTER_CPP_TEST_HPP

#include <sys/types.h>

#include <functional>
#include <iostream>
#include <muster/muster.hpp>
#include <sstream>
#include <string>

namespace test {

using namespace std::chrono_literals;

void add(const char *suite, const char *name, void (*run)());
void failed(const char *file, int line, const std::string &text);
[[noreturn]] void stop();

// A name for a region that no other test has; a path of a file in a folder of this test's own.
std::string name(const char *tag);
std::string path(const char *tag);

// Forks a child that runs `body` and ends with whether a check failed in it.
pid_t child(const std::function<void()> &body);

// Waits for a child: that it ended well, or by that signal.
void join(pid_t pid, int signal = 0);
void kill(pid_t pid);

// Waits until the process sleeps in the kernel, as one does that waits.
void until_asleep(pid_t pid);

// Waits until `ready` says true, by a deadline that no healthy test reaches.
void until(const std::function<bool()> &ready);

// Zeroed memory that forked children share.
void *shared_memory(std::size_t size);

inline muster::Deadline soon() { return 20s; }

template <class A, class B>
void check_equal(const char *file, int line, const char *text, const A &actual, const B &expected) {
  if (actual == expected) return;
  std::ostringstream out;
  out << text << " is " << actual << ", not " << expected;
  failed(file, line, out.str());
}

// The error that `call` throws.
muster::error thrown(const char *file, int line, const char *text, int status, const std::function<void()> &call);

}  // namespace test

#define TEST(suite, name)                                                \
  static void suite##_##name();                                          \
  [[maybe_unused]] static const bool suite##_##name##_added =            \
      (test::add(#suite, #name, suite##_##name), true);                  \
  static void suite##_##name()

#define CHECK(...) \
  do { \
    if (!(__VA_ARGS__)) test::failed(__FILE__, __LINE__, #__VA_ARGS__ " is not so"); \
  } while (0)
#define CHECK_EQUAL(actual, expected) test::check_equal(__FILE__, __LINE__, #actual, (actual), (expected))
#define CHECK_THROWS(status, ...) test::thrown(__FILE__, __LINE__, #__VA_ARGS__, status, [&] { (void)(__VA_ARGS__); })
#define REQUIRE(...) \
  do { \
    if (!(__VA_ARGS__)) test::failed(__FILE__, __LINE__, #__VA_ARGS__ " is not so: can't go on"), test::stop(); \
  } while (0)

#endif
