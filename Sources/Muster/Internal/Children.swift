// The children that this process has started as ChildProcess, so that no orphan is taken for one of them.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class Children: Sendable {
  static var shared: Children { ofProcess.value }
  private static let ofProcess = ForkLocal { Children() }

  private let all = Locked<[ObjectIdentifier: ProcessObject]>([:])
  private let starts = StartGate()

  /// Starts one. Reaping orphans waits for that: a child that has just been started, and ended, is in no list.
  func start(_ body: () -> (Int32, muster_process)) -> Result<ProcessObject, CoreFailure> {
    starts.enter()
    defer { starts.leave() }
    let (status, process) = body()
    guard status == 0 else { return .failure(CoreFailure(status: status)) }
    let object = ProcessObject(process)
    all.withLock { $0[ObjectIdentifier(object)] = object }
    return .success(object)
  }

  func remove(_ object: ProcessObject) { all.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(object)) } }

  /// Nobody has a hold on it any more: it is reaped when it ends. Where no thread is to be had for that it stays a zombie.
  func letGo(_ object: ProcessObject) {
    guard object.isOurs else { return }
    let wait = ProcessReapWait(object)
    if wait.look() == EAGAIN, DescriptorReactor.shared.submit(wait) != 0 { remove(object) }
  }

  /// - Returns: how many were reaped.
  func reapOrphans() -> Result<Int, CoreFailure> {
    starts.withNobodyIn {
      // Copies: who is reaped by its owner meanwhile keeps an orphan that has its number from being reaped this time.
      var mine = all.withLock { all in all.values.map { ($0.pid, Self.end(of: $0)) } }.map { pid, kind in
        var process = muster_process()
        process.pid = pid
        process.end.kind = kind
        return process
      }
      var reaped: UInt32 = 0
      let status = mine.withUnsafeMutableBufferPointer { processes in
        let pointers = processes.indices.map { UnsafePointer<muster_process>?(processes.baseAddress! + $0) }
        return muster_process_reap_orphans(pointers, pointers.count, &reaped)
      }
      return status == 0 ? .success(Int(reaped)) : .failure(CoreFailure(status: status))
    }
  }
}

extension Children {
  private static func end(of object: ProcessObject) -> muster_process_end_kind {
    var kind = muster_process_end_kind.MUSTER_PROCESS_LIVES
    _ = object.look {
      kind = $0.pointee.end.kind
      return 0
    }
    return kind
  }
}

/// Many starts at a time, or one who looks while there is none.
private final class StartGate: @unchecked Sendable {
  private let lock: UnsafeMutablePointer<pthread_rwlock_t>

  init() {
    lock = .allocate(capacity: 1)
    lock.initialize(to: pthread_rwlock_t())
    pthread_rwlock_init(lock, nil)
  }

  deinit {
    pthread_rwlock_destroy(lock)
    lock.deallocate()
  }

  func enter() { pthread_rwlock_rdlock(lock) }
  func leave() { pthread_rwlock_unlock(lock) }

  func withNobodyIn<Result>(_ body: () -> Result) -> Result {
    pthread_rwlock_wrlock(lock)
    defer { pthread_rwlock_unlock(lock) }
    return body()
  }
}
