// A daemon as Swift declared it: what C calls in the daemon's process.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import SystemPackage

final class DaemonBody {
  let name: String
  /// All but the name, which is C's for the time of a call.
  var spec = muster_daemon_spec()
  private let run: (OpaquePointer) throws -> Void
  private let accept: ((UnsafeRawPointer) -> Bool)?
  private let choose: ((muster_daemon_case) -> muster_daemon_policy)?

  init<State>(_ name: String, _ policy: DaemonPolicy<State>, _ run: @escaping (OpaquePointer) throws -> Void) {
    self.name = name
    self.run = run
    accept = policy.accept.map { accept in { InPlace.look($0, accept) } }
    choose = policy.choose.map { choose in { choose(DaemonCase($0)).core } }
    spec.policy = policy.core
    // The root, which owns this object, lives as long as the C object that is given it.
    spec.context = Unmanaged.passUnretained(self).toOpaque()
    spec.run = { core, context in DaemonBody.of(context).live(core) }
    if accept != nil {
      spec.accept = { state, _, context in DaemonBody.of(context).accept!(state) ? 1 : 0 }
    }
    if choose != nil {
      spec.decide = { found, context in DaemonBody.of(context).choose!(found.pointee) }
    }
  }

  private static func of(_ context: UnsafeMutableRawPointer?) -> DaemonBody {
    Unmanaged<DaemonBody>.fromOpaque(context!).takeUnretainedValue()
  }

  /// What the process exits with.
  private func live(_ core: OpaquePointer) -> Int32 {
    do {
      try run(core)
      return 0
    } catch let exit as DaemonExit {
      return Int32(exit.value)
    } catch {
      // There is nobody left to throw it to.
      _ = try? FileDescriptor.standardError.writeAll("daemon “\(name)”: \(error)\n".utf8)
      return 1
    }
  }
}
