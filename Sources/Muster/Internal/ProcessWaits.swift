// The waits for a process.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// For its end.
final class ProcessEndWait: DescriptorWait, @unchecked Sendable {
  private let object: ProcessObject
  private(set) var end = muster_process_end()

  init(_ object: ProcessObject, deadline: Deadline) {
    self.object = object
    super.init(deadline: deadline)
  }

  override var descriptors: [Int32] { [object.restingPlace] }
  override func look() -> Int32 { object.look { muster_process_poll($0, &end) } }
}

/// For its being ready, or for news of it.
final class ProcessNoticeWait: DescriptorWait, @unchecked Sendable {
  private let core: ProcessCore
  private let known: ProcessNotice?
  private(set) var notice = ProcessNotice()
  private var socket: Int32 = -1

  /// - Parameter known: news is what differs from that; `nil`: it is to be ready.
  init(_ core: ProcessCore, after known: ProcessNotice?, deadline: Deadline) {
    self.core = core
    self.known = known
    super.init(deadline: deadline)
  }

  override var descriptors: [Int32] { [socket, core.object.restingPlace] }

  override func look() -> Int32 {
    let (status, heard) = core.hear { process in
      defer { socket = process.pointee.ready }
      guard let known else { return Self.ready(process) }
      return Self.news(process, known)
    }
    if let heard { notice = heard }
    return status
  }

  private static func ready(_ process: UnsafeMutablePointer<muster_process>) -> Int32 {
    let status = muster_process_ready(process, .now)
    return status == ETIMEDOUT ? EAGAIN : status
  }

  /// What it said before it ended is there to be read after its end is seen: so the end first.
  private static func news(_ process: UnsafeMutablePointer<muster_process>, _ known: ProcessNotice) -> Int32 {
    let hasEnded = muster_process_signal(process, 0) == ESRCH
    let status = muster_process_hear(process)
    if status != 0 && status != EAGAIN { return status }
    if ProcessNotice(process.pointee.notice) != known { return 0 }
    if hasEnded { return EOWNERDEAD }
    return process.pointee.ready < 0 ? EPIPE : EAGAIN
  }
}

/// Of a child that nobody has a hold on any more: until it can be reaped.
final class ProcessReapWait: DescriptorWait, @unchecked Sendable {
  private let object: ProcessObject

  init(_ object: ProcessObject) {
    self.object = object
    super.init(deadline: .never)
  }

  override var descriptors: [Int32] { [object.restingPlace] }

  override func look() -> Int32 {
    let status = object.look { muster_process_poll($0, nil) }
    if status != EAGAIN { Children.shared.remove(object) }
    return status
  }
}
