// A wait for what descriptors tell: a pidfd, a socket.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One wait that is looked at when one of its descriptors is readable, or when it is nudged. The descriptors stay open as long as the
/// object is in use, which it is as long as the wait is.
class DescriptorWait: Wait, @unchecked Sendable {
  /// How soon to look again where a descriptor was readable and nothing came of it, without sleeping at it meanwhile.
  static let pause: Int64 = 1_000_000

  /// Where to sleep, as of the last look.
  var descriptors: [Int32] { fatalError("a wait says where to sleep") }

  /// `EAGAIN`, or the outcome. Never sleeps.
  func look() -> Int32 { fatalError("a wait says how to look") }

  /// The same wait on the caller's own thread, which sleeps.
  final func runBlocking() -> WaitEnd {
    let bell: DescriptorBell
    do throws(CoreFailure) {
      bell = try DescriptorBell()
    } catch {
      return .noThread(error.status)
    }
    belongs(to: bell)
    defer { _ = takeTask() }
    var isReadable = false
    while true {
      bell.hear()
      if let reason { return outcome(of: reason) }
      let status = look()
      if status != EAGAIN { return .status(status) }
      if deadline.hasPassed { return .status(giveUp()) }
      var polled = Polled(bell: bell)
      if !isReadable { for descriptor in descriptors { polled.add(descriptor) } }
      polled.sleep(until: isReadable ? deadline.atMost(nanoseconds: Self.pause) : deadline)
      isReadable = descriptors.contains(where: polled.isReadable)
    }
  }
}

/// The descriptors of a sleep, each once.
struct Polled {
  private var entries: [pollfd]
  private var places: [Int32: Int] = [:]

  init(bell: DescriptorBell) { entries = [pollfd(fd: bell.descriptor, events: Int16(POLLIN), revents: 0)] }

  mutating func add(_ descriptor: Int32) {
    guard descriptor >= 0, places[descriptor] == nil else { return }
    places[descriptor] = entries.count
    entries.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
  }

  /// Sleeps until one is readable, or the deadline, or a signal.
  mutating func sleep(until deadline: Deadline) {
    if poll(deadline) >= 0 || errno == EINTR { return }
    // More than the limit of open files is by now (EINVAL): all are looked at, and now and then.
    for index in entries.indices { entries[index].revents = Int16(POLLIN) }
    usleep(useconds_t(DescriptorWait.pause / 1000))
  }

  /// At most what poll(2) counts in, and never less than is left.
  private mutating func poll(_ deadline: Deadline) -> Int32 {
    let left = deadline == .never ? -1 : (max(0, deadline - muster_clock_now()) + 999_999) / 1_000_000
    return pollSystem(&entries, nfds_t(entries.count), Int32(clamping: left))
  }

  /// Whether the bell is to be heard.
  var isRung: Bool { entries[0].revents != 0 }

  /// Whether the sleep found it so; also when it is closed by now.
  func isReadable(_ descriptor: Int32) -> Bool { places[descriptor].map { entries[$0].revents != 0 } ?? false }
}

private func pollSystem(_ entries: UnsafeMutablePointer<pollfd>, _ count: nfds_t, _ milliseconds: Int32) -> Int32 {
  poll(entries, count, milliseconds)
}
