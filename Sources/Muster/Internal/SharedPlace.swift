// The place of an object that many threads use at a time, a pool or a queue: joined on the keeper's thread, watched from by some
// of its waits, and left when the object is closed.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class SharedPlace: Sendable {
  let handle: Handle
  let membership: SharedMembership
  private nonisolated(unsafe) let group: OpaquePointer
  /// How many waits of this handle are watching for the others (group.h).
  private let watching = Atomic<Int>(0)

  struct Refusal: Error {
    var status: Int32
    /// Not of the system: what joining itself came to.
    var isOurs: Bool
  }

  /// Joins on the keeper's thread, and gives the place.
  static func join(_ body: (UnsafeMutablePointer<UInt32>) -> Int32) throws(Refusal) -> Int {
    var place: UInt32 = 0
    let status: Int32
    do throws(ThreadFailure) {
      status = try Keeper.shared.run { body(&place) }
    } catch {
      throw Refusal(status: error.status, isOurs: false)
    }
    if status == 0 { return Int(place) }
    throw Refusal(status: status, isOurs: [EOVERFLOW, EPROTO, EBADMSG, EACCES].contains(status))
  }

  /// Of a handle that has joined. Its memory is in use as long as the place is held, and by whoever waits.
  init(
    _ object: OpaquePointer, group: OpaquePointer, leave: @escaping @Sendable (OpaquePointer) -> Int32,
    close: @escaping @Sendable (OpaquePointer) -> Int32
  ) {
    nonisolated(unsafe) let object = object
    let membership = Guarded<SharedMembership?>(nil)
    let handle = Handle(object) { _ in
      membership.value?.leave()
    } letGo: {
      _ = close($0)
    }
    // That of the place; what has just been made is not closed.
    _ = try? handle.begin()
    self.group = group
    self.handle = handle
    self.membership = SharedMembership {
      _ = leave(object)
      handle.end()
      membership.value = nil
    }
    membership.value = self.membership
  }

  /// For tests.
  var watchCount: Int { watching.load(ordering: .acquiring) }

  fileprivate func beginWatch() { watching.add(1, ordering: .acquiringAndReleasing) }

  /// Who was served, or waits no more, must not be relied on to watch for the others, unless another wait of this handle does it.
  fileprivate func endWatch() {
    guard watching.subtract(1, ordering: .acquiringAndReleasing).newValue == 0, membership.begin() else { return }
    defer { membership.end() }
    _ = muster_group_wait(group, muster_group_roster(group), .now)
  }
}

/// A wait that watches for others while it sleeps.
class WatchingWait: PendingWait, @unchecked Sendable {
  private let place: SharedPlace
  private var isWatching = false

  init(_ place: SharedPlace, deadline: Deadline) {
    self.place = place
    super.init(deadline: deadline)
  }

  /// What `poll` is to others.
  func look(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { fatalError("a wait says how to look") }

  final override func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    let status = look(set)
    if status != EAGAIN {
      endWatch()
    } else if !isWatching {
      isWatching = true
      place.beginWatch()
    }
    return status
  }

  final override func giveUp() -> Int32 {
    endWatch()
    return ETIMEDOUT
  }

  private func endWatch() {
    if isWatching { place.endWatch() }
    isWatching = false
  }
}
