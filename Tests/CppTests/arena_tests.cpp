// Arenas: reading, changing, checkpoints, transactions.
// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

#include "test.hpp"

using muster::Arena;
using muster::ArenaChange;
using muster::ArenaCheckpoint;
using muster::ArenaLog;
using muster::ArenaShape;

namespace {

struct Book {
  std::uint64_t total;
  std::uint64_t lines[1000];
};

struct Place {
  int file = memfd_create("muster-test", MFD_CLOEXEC);
  muster::ArenaLayout layout;
  void *memory;

  explicit Place(const ArenaShape &shape) : layout(Arena::layout(shape)) {
    if (file < 0 || ftruncate(file, static_cast<off_t>(layout.size))) test::stop();
    memory = mmap(nullptr, layout.size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) test::stop();
    Arena::init(memory, layout.size, shape);
  }
  ~Place() {
    munmap(memory, layout.size);
    close(file);
  }
};

const ArenaShape shape{sizeof(Book), 0, 2, 0};

}  // namespace

TEST(arena, changes_are_read_whole) {
  Place place(shape);
  const Arena owner = Arena::attach(place.memory, place.layout.size);
  const Arena reader = Arena::attach_read_only(place.memory, place.layout.size);
  CHECK(Arena::size(shape) == place.layout.size && owner.size() == sizeof(Book) && !owner.changing());
  {
    ArenaChange change(owner);
    owner.state<Book>().total = 5;
    const std::uint64_t seven = 7;
    owner.write(offsetof(Book, lines), &seven, sizeof seven);
    CHECK(reader.changing() && !reader.read<Book>() && !reader.read<Book>(0, muster::Deadline::now()));
    CHECK_THROWS(EALREADY, ArenaChange(owner));
    CHECK_THROWS(EBUSY, owner.save());
  }
  const std::optional<Book> book = reader.read<Book>();
  CHECK(book && book->total == 5 && book->lines[0] == 7 && reader.sequence() == 2);
  CHECK(reader.read<std::uint64_t>(offsetof(Book, lines), test::soon()) == std::uint64_t{7});
  CHECK_THROWS(EINVAL, (void)reader.read<Book>(8));
  CHECK_THROWS(EINVAL, (void)reader.read<Book>(0, muster::Deadline::never()));
  CHECK_THROWS(EACCES, ArenaChange(reader));
  CHECK_THROWS(EACCES, reader.zero());
  struct Larger {
    Book books[2];
  };
  CHECK_THROWS(EMSGSIZE, (void)owner.state<Larger>());
  CHECK_THROWS(EBADMSG, (void)Arena::attach(place.memory, place.layout.size - 1));
  CHECK_THROWS(EINVAL, (void)Arena::layout({}));
  owner.beat();
  CHECK_EQUAL(reader.look().beats, 1u);
  owner.zero();
  CHECK(reader.read<Book>()->total == 0);
}

TEST(arena, checkpoints_are_loaded_if_they_are_good) {
  Place place(shape);
  const Arena arena = Arena::attach(place.memory, place.layout.size);
  CHECK(!arena.load());
  for (std::uint64_t n = 1; n <= 3; n++) {
    arena.state<Book>().total = n;
    CHECK_EQUAL(arena.save().number, n);
  }
  CHECK(arena.checkpoints(true).size() == 2 && arena.checkpoints()[1].number == 2);
  const auto total = [](const void *state) { return static_cast<const Book *>(state)->total; };
  const std::optional<ArenaCheckpoint> loaded = arena.load(0, [&](const void *state, std::uint64_t) { return total(state) == 2; });
  CHECK(loaded && loaded->number == 2 && arena.state<Book>().total == 2);
  CHECK_THROWS(ENOENT, arena.load(1, [&](const void *state, std::uint64_t size) { return total(state) == size; }));
  CHECK(arena.changing());
  arena.take();
  bool thrown = false;
  int asked = 0;
  try {
    (void)arena.load(0, [&](const void *, std::uint64_t) -> bool {
      asked++;
      throw std::runtime_error("no");
    });
  } catch (const std::runtime_error &) {
    thrown = true;
  }
  CHECK(thrown && asked == 1 && arena.changing());
  CHECK(arena.load(0)->number == 3 && !arena.changing());
}

TEST(arena, transactions_are_in_the_state_whole_or_not) {
  Place place(shape);
  const Arena arena = Arena::attach(place.memory, place.layout.size);
  const auto run = [&](bool commits) {
    const std::uint64_t id = arena.begin();
    test::join(test::child([&] {
      ArenaLog log(arena, id);
      log.isolate(place.file, place.layout.state_offset);
      arena.state<Book>().total++;
      arena.state<Book>().lines[999]++;
      log.add_changed();
      if (commits) CHECK(log.commit());
      else log.abort();
    }));
    CHECK_THROWS(EBUSY, ArenaChange(arena));
    CHECK(arena.decide(id) != commits && arena.redo() == commits);
  };
  CHECK(!arena.redo());
  const std::uint64_t id = arena.begin();
  CHECK_THROWS(EBUSY, (void)arena.begin());
  ArenaLog log(arena, id);
  log.add(0), CHECK_THROWS(EINVAL, log.add(0));
  CHECK(arena.decide(id) && !log.commit() && !arena.redo());
  run(true);
  CHECK(arena.state<Book>().total == 1 && arena.state<Book>().lines[999] == 1);
  const std::uint64_t last = arena.begin();
  ArenaLog other(arena, last);
  CHECK(other.commit() && !arena.decide(last));
  arena.drop(), CHECK_THROWS(EINVAL, arena.drop());
  CHECK_THROWS(ESTALE, ArenaLog(arena, last));
  CHECK(arena.look().committed == 1 && arena.look().id == 3);
}
