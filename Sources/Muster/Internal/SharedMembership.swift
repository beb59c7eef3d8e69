// When the place of an object that many threads use at a time may be given up: not while one of them is at work with the C
// handle, which may be left by one who is alone with it.
//
// One word counts. Bit 0, leaving: no step begins any more. Bit 1, left. From bit 2 on the short steps in progress, which
// neither sleep nor run anybody's closure; from bit 33 on the long ones, which may. A step adds itself first and looks
// then: if it finds `leaving`, it takes itself off again and is refused. So once `leaving` is set and nothing is counted,
// nobody is at work and nobody will be: whoever sees that has the keeper's thread give up. That job makes the word `left` by
// compare-and-swap, so it gives up once, however many saw it.
//
// Leaving waits for short steps, and leaves it to the last of the long ones if there are any: so what is closed while
// tasks wait for it has been given up when closing returns, and a closure may close what it was lent a part of.
//
// The handle's memory is there as long as the place is: who makes a step need not count itself as a use of the handle.
// SPDX-License-Identifier: Apache-2.0
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class SharedMembership: Sendable {
  enum Step: UInt64 {
    case short = 0x4
    case long = 0x2_0000_0000
  }

  private static let leaving: UInt64 = 1
  private static let left: UInt64 = 2
  private static let shortSteps: UInt64 = 0x1_ffff_fffc

  private let word = Atomic<UInt64>(0)
  private let pid = getpid()
  private let giveUp: Guarded<(@Sendable () -> Void)?>

  /// - Parameter giveUp: run once, on the keeper's thread.
  init(giveUp: @escaping @Sendable () -> Void) { self.giveUp = Guarded(giveUp) }

  /// Whether a step has begun, which must be ended then. `false`: it has been left, or is about to be.
  @inline(__always)
  func begin(_ step: Step = .short) -> Bool {
    let (seen, _) = word.wrappingAdd(step.rawValue, ordering: .acquiringAndReleasing)
    if seen & Self.leaving == 0 { return true }
    end(step)
    return false
  }

  @inline(__always)
  func end(_ step: Step = .short) {
    let (_, now) = word.wrappingSubtract(step.rawValue, ordering: .acquiringAndReleasing)
    if now == Self.leaving { settle() }
  }

  /// Gives up, now or at the end of the last long step in progress. Doing it again does nothing.
  func leave() {
    word.bitwiseOr(Self.leaving, ordering: .acquiringAndReleasing)
    while true {
      let seen = word.load(ordering: .acquiring)
      if seen & Self.left != 0 { return }
      if seen == Self.leaving {
        settle()
      } else if seen & Self.shortSteps == 0 || pid != getpid() {
        // A step that a thread of the parent's was in when this process was forked never ends here.
        return
      } else {
        sched_yield()
      }
    }
  }

  @inline(never)
  private func settle() {
    // The keeper runs: the place was taken there.
    _ = try? Keeper.shared.run {
      let (exchanged, _) = word.compareExchange(
        expected: Self.leaving, desired: Self.leaving | Self.left, ordering: .acquiringAndReleasing)
      if exchanged, let giveUp = giveUp.take() { giveUp() }
    }
  }
}
