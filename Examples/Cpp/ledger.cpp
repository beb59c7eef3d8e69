// Two accounts whose sum never changes, kept by processes that move money under a robust mutex, with std::scoped_lock. One is
// killed between taking and giving; the next to lock repairs from the note that each leaves before it begins, without
// knowing: the repair belongs to the handle.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <mutex>
#include <muster/muster.hpp>

constexpr int workers = 4, unlucky = 1, moves = 2000, last_move_of_unlucky = 500;
constexpr std::int64_t sum = 1000;

struct Ledger {
  std::int64_t accounts[2] = {sum, 0};
  std::int64_t before[2] = {sum, 0};  // as they were when the present move began
  int repairs = 0;
};

// The accounts and their lock, by one name.
class Books {
 public:
  explicit Books(const std::string &name) : region_(name, with_accounts()), mutex_(name + "-lock", repairing()) {}

  void move(std::int64_t amount, bool dies) {
    const std::scoped_lock held(mutex_);
    Ledger &books = ledger();
    if (books.accounts[0] + books.accounts[1] != sum) throw std::logic_error("the books are wrong");
    for (int k = 0; k < 2; k++) books.before[k] = books.accounts[k];
    // What a death leaves must not depend on what the compiler has put off.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    books.accounts[0] -= amount;
    if (dies) raise(SIGKILL);
    books.accounts[1] += amount;
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  int repairs() {
    const std::scoped_lock held(mutex_);
    return ledger().repairs;
  }

 private:
  static muster::RegionOptions with_accounts() {
    muster::RegionOptions options;
    options.size = sizeof(Ledger);
    options.kind = MUSTER_KIND('B', 'O', 'O', 'K');
    options.initialize = [](void *payload, std::size_t) { new (payload) Ledger; };
    return options;
  }

  muster::MutexOptions repairing() {
    muster::MutexOptions options;
    options.repair = [this] {
      Ledger &books = ledger();
      for (int k = 0; k < 2; k++) books.accounts[k] = books.before[k];
      books.repairs++;
    };
    return options;
  }

  Ledger &ledger() const { return *static_cast<Ledger *>(region_.data()); }

  muster::Region region_;
  muster::Mutex mutex_;
};

// In a process of its own.
static int work(const std::string &name, int number) try {
  Books books(name);
  for (int n = 0; n < moves; n++) books.move(n % 7 - 3, number == unlucky && n == last_move_of_unlucky);
  return 0;
} catch (const std::exception &error) {
  std::cerr << error.what() << '\n';
  return 1;
}

int main() {
  const std::string name = "muster-example-ledger-cpp-" + std::to_string(getpid());
  int killed = 0, failed = 0, repairs = 0;
  {
    Books books(name);
    for (int number = 0; number < workers; number++) {
      const pid_t pid = fork();
      if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
      if (pid == 0) _exit(work(name, number));
    }
    for (int status; wait(&status) > 0;) WIFSIGNALED(status) ? killed++ : failed += WEXITSTATUS(status) != 0;
    books.move(1, false);
    repairs = books.repairs();
  }
  std::cout << killed << " was killed with the lock, " << repairs << " repaired; the sum is what it was\n";
  const bool removed = muster::Region::remove(name) && muster::Region::remove(name + "-lock");
  return !removed || killed != 1 || repairs != 1 || failed;
}
