// The heartbeat's two ends.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// How the heartbeat of a pair is found.
struct PairBeatPlace {
  let name: String
  let way: ProcessPairHeartbeat
  let cell: UnsafeMutablePointer<muster_heartbeat_cell>?

  func withOptions(after epoch: UInt64 = 0, _ body: (UnsafePointer<muster_heartbeat_options>) -> Int32) -> Int32 {
    name.withCString { name in
      func call(_ folder: UnsafePointer<CChar>?) -> Int32 {
        var options = muster_heartbeat_options()
        options.kind = way.kind
        options.name = name
        options.folder = folder
        options.cell = cell
        options.after.epoch = epoch
        return body(&options)
      }
      return way.folder.map { $0.withPlatformString { call($0) } } ?? call(nil)
    }
  }

  /// What a killed listener has left, when nobody listens again.
  func remove() { _ = withOptions { muster_heartbeat_remove($0) } }
}

final class PairSender {
  private let sender: OpaquePointer
  /// The listener that it reaches.
  let key: UInt64

  init(_ place: PairBeatPlace, to contact: muster_heartbeat_contact, in name: String) throws(ProcessPairError) {
    var contact = contact
    var sender: OpaquePointer?
    let status = place.withOptions { muster_heartbeat_connect($0, &contact, &sender) }
    guard status == 0, let sender else { throw ProcessPairError("send heartbeats in", name, status: status) }
    self.sender = sender
    key = contact.key
  }

  deinit { muster_heartbeat_sender_close(sender) }

  /// Whether anybody listens.
  func send(epoch: UInt64, number: UInt64, at time: Int64) -> Bool {
    var beat = muster_heartbeat(epoch: epoch, number: number, time: time)
    return muster_heartbeat_send(sender, &beat) != ECONNREFUSED
  }
}

final class PairListener {
  private let listener: OpaquePointer
  let contact: muster_heartbeat_contact

  init(_ place: PairBeatPlace, after epoch: UInt64, in name: String) throws(ProcessPairError) {
    var contact = muster_heartbeat_contact()
    var listener: OpaquePointer?
    let status = place.withOptions(after: epoch) { muster_heartbeat_listen($0, &listener, &contact) }
    guard status == 0, let listener else { throw ProcessPairError("listen to heartbeats in", name, status: status) }
    self.listener = listener
    self.contact = contact
  }

  deinit { _ = muster_heartbeat_listener_close(listener) }

  var descriptor: Int32 { muster_heartbeat_descriptor(listener) }

  /// Whether a newer beat has come.
  func hasHeard() -> Bool {
    var beat = muster_heartbeat()
    return muster_heartbeat_receive(listener, &beat) == 0
  }
}

extension muster_pair_backup {
  var heartbeatContact: muster_heartbeat_contact {
    get { withUnsafeBytes(of: contact) { $0.loadUnaligned(as: muster_heartbeat_contact.self) } }
    set { withUnsafeMutableBytes(of: &contact) { $0.storeBytes(of: newValue, as: muster_heartbeat_contact.self) } }
  }
}
