// SPDX-License-Identifier: Apache-2.0
import CMuster
import Synchronization
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One process that forks others, its daemons, and forks them again when they die, over memory that outlives them.
///
/// ```swift
/// struct Counter: SharedPayload {
///   static let payloadLayout: UInt32 = 1
///   var turns: Int
/// }
///
/// let root = Root("app")
/// let counter = root.daemon("counter", state: Counter.self, policy: .keep { $0.turns >= 0 }) { daemon in
///   try daemon.catchStop()
///   repeat {
///     try daemon.transaction(timeout: .seconds(1)) { state in state.turns += try whatMayCrash() }
///   } while daemon.pause(for: .milliseconds(10))
/// }
/// root.daemon("watcher", state: Int.self, heartbeat: .seconds(1)) { daemon in
///   repeat {
///     let turns = try daemon.read(counter, within: .seconds(1)).turns
///     try daemon.change { $0 = turns }
///   } while daemon.pause(for: .seconds(1))
/// }
/// defer { root.close() }
/// try root.run()                              // until SIGTERM, SIGINT or stop()
/// ```
///
/// A daemon has a state of its own, which it changes, and which is there when it is started again; it reads the states of all others,
/// and can write none of them: the memory is protected. What may crash it hands to a transaction, a fork of its own that works on a
/// snapshot, and whose changes become the daemon's state all at once or not at all. A root that is killed takes its daemons with it.
///
/// **Run it before any other thread is started**, from a `main` that is not `async`: a forked process has but the one thread that forked it.
/// Where there are others, ``run()`` throws `otherThreads` and leaves nothing. Daemons are forked without exec, so in a body:
/// - no `async`, no task, no dispatch queue: the threads that would run them are not promised to come to be in a forked process;
/// - no `Synchronization.Mutex` from before `run`: it traps in a forked process when two threads want it;
/// - threads of your own, descriptors and Muster's other objects are fine when they are opened in the daemon.
///
/// The C functions are in muster/root.h; the model, and how to choose a policy, stand in the repository's docs/root.md.
public final class Root {
  /// How a root behaves.
  public struct Options: OptionSet, Hashable, Sendable {
    /// C's `muster_root_flags`.
    public let rawValue: UInt32

    /// A set of C's flags.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// When a daemon is given up, all others are stopped, and ``Root/run()`` throws `gaveUp`.
    public static let endWhenGivenUp = Options(rawValue: 1)
    /// SIGHUP ends the root as SIGTERM does, unless it is ignored when the root runs (`nohup`); else it is ignored.
    public static let endAtHangUp = Options(rawValue: 2)
    /// States of 2 MiB and more are not put into huge pages.
    public static let smallPages = Options(rawValue: 4)
  }

  /// What happened to a daemon.
  public struct Event: Sendable {
    /// What can happen.
    public enum Kind: Hashable, Sendable {
      /// It was forked, for the first time or again.
      case started
      /// It is dead, and all that it had forked: ``DaemonStatus/death`` says how.
      case ended
      /// It is not started any more.
      case gaveUp
      /// It could not be forked, which is tried again: ``DaemonStatus/forkError`` says why.
      case notForked

      init?(_ kind: muster_root_event_kind) {
        switch kind {
        case .MUSTER_ROOT_STARTED: self = .started
        case .MUSTER_ROOT_ENDED: self = .ended
        case .MUSTER_ROOT_GAVE_UP: self = .gaveUp
        case .MUSTER_ROOT_NOT_FORKED: self = .notForked
        default: return nil
        }
      }
    }

    /// What.
    public let kind: Kind
    /// The daemon, as it is now.
    public let daemon: DaemonStatus
  }

  /// The name, under which ``RootObserver`` and `muster root status` find it.
  public let name: String
  /// Is told what happens, in the root, between two of its doings: it delays all else, and must neither crash nor wait. May
  /// call ``stop()``.
  public var tell: ((Event) -> Void)?

  private let permissions: FilePermissions
  private let options: Options
  private let patience: Duration
  private let number = Root.numbers.wrappingAdd(1, ordering: .relaxed).newValue
  private var daemons: [DaemonBody] = []
  private var complaint: String?
  private var object: OpaquePointer?
  private var isRunning = false
  private var isClosed = false

  private static let numbers = Atomic<UInt32>(0)

  /// A root without daemons. Nothing happens before ``run()``.
  ///
  /// - Parameters:
  ///   - name: of shared memory, as of a region.
  ///   - permissions: of that memory: who may look.
  ///   - options: how it behaves.
  ///   - patience: how long `run` waits for the end of the daemons of a root of that name that was killed.
  public init(
    _ name: String, permissions: FilePermissions = [.ownerReadWrite], options: Options = [],
    patience: Duration = .seconds(1)
  ) {
    self.name = name
    self.permissions = permissions
    self.options = options
    self.patience = patience
  }

  deinit { close() }

  // MARK: Daemons

  /// Declares a daemon whose reference others have already.
  ///
  /// Its memory is reserved when the root starts: the state's, as much again for what transactions may change, and as much again for each
  /// checkpoint.
  ///
  /// - Parameters:
  ///   - reference: by which other daemons read it.
  ///   - policy: what it finds in its state when it is started again. The first time it is zeros.
  ///   - checkpoints: how many it keeps, 0 to 16.
  ///   - transactions: what they may change.
  ///   - heartbeat: it is killed when it has not beaten for so long; `nil`: never. ``Daemon/pause(for:)`` and waiting for a transaction beat.
  ///   - restarts: when it is started again.
  ///   - stopSignal: asks it to end when the root does; `nil`: SIGTERM.
  ///   - stopGrace: how long it has for that until it is killed.
  ///   - body: its life. Returning from it ends the daemon's process, as by `exit` with 0; throwing prints the error to standard error
  ///     and ends it with 1 (see ``DaemonExit``). What stdio has buffered is not written out then.
  /// - Returns: `reference`.
  @discardableResult
  public func daemon<State: SharedPayload>(
    _ reference: DaemonReference<State>, policy: DaemonPolicy<State> = .zeros(), checkpoints: Int = 0,
    transactions: DaemonTransactions = .all, heartbeat: Duration? = nil, restarts: DaemonRestarts = .always,
    stopSignal: Int32? = nil, stopGrace: Duration = .seconds(5),
    _ body: @escaping (Daemon<State>) throws -> Void
  ) -> DaemonReference<State> {
    let (root, number, name) = (self.name, self.number, reference.name)
    complaint = complaint ?? reference.declare(root: number, index: daemons.count)
    let daemon = DaemonBody(name, policy) { core in
      try body(Daemon(core: core, root: root, number: number, name: name))
    }
    daemon.spec.state_size = UInt64(max(1, MemoryLayout<State>.size))
    daemon.spec.checkpoints = UInt32(exactly: checkpoints) ?? .max
    daemon.spec.transaction_pages = transactions.core
    daemon.spec.heartbeat = heartbeat.map(DaemonRestarts.time) ?? 0
    // 0 is SIGTERM to C, and no signal.
    daemon.spec.stop_signal = stopSignal.map { $0 > 0 ? $0 : -1 } ?? 0
    daemon.spec.stop_grace = DaemonRestarts.time(stopGrace)
    restarts.apply(to: &daemon.spec)
    daemons.append(daemon)
    return reference
  }

  /// Declares a daemon: as ``daemon(_:policy:checkpoints:transactions:heartbeat:restarts:stopSignal:stopGrace:_:)``, with a reference of
  /// its own.
  ///
  /// - Parameters:
  ///   - name: 1 to 31 bytes, no other daemon's.
  ///   - state: the type of its state.
  /// - Returns: that by which daemons that are declared later read it.
  @discardableResult
  public func daemon<State: SharedPayload>(
    _ name: String, state: State.Type, policy: DaemonPolicy<State> = .zeros(), checkpoints: Int = 0,
    transactions: DaemonTransactions = .all, heartbeat: Duration? = nil, restarts: DaemonRestarts = .always,
    stopSignal: Int32? = nil, stopGrace: Duration = .seconds(5),
    _ body: @escaping (Daemon<State>) throws -> Void
  ) -> DaemonReference<State> {
    daemon(
      DaemonReference(name), policy: policy, checkpoints: checkpoints, transactions: transactions,
      heartbeat: heartbeat, restarts: restarts, stopSignal: stopSignal, stopGrace: stopGrace, body)
  }

  // MARK: Running

  private static let running = "run the root"

  /// The bytes of memory that the daemons take, all of it reserved when the root starts.
  ///
  /// - Throws: ``RootError``: `invalidArgument`.
  public func size() throws(RootError) -> Int {
    var bytes: UInt64 = 0
    try withSpecs("ask the root") { specs in muster_root_size(specs.baseAddress!, UInt32(specs.count), &bytes) }
    return Int(clamping: bytes)
  }

  /// Lays out the daemons' memory, forks them in the order in which they were declared, and keeps them running until SIGTERM, SIGINT or
  /// ``stop()``; then stops them in reverse order. Blocks the thread, which must be the only one. Once for each root.
  ///
  /// It returns also when no daemon is left that is to be started again. The memory stays for ``RootObserver`` to look at until
  /// ``close()``, or the end of the object.
  ///
  /// - Throws: ``RootError``: `otherThreads`, `running`, `gaveUp`, `ranBefore`, `alreadyExists`, `invalidArgument`, `permissionDenied`,
  ///   `inherited`, `closed`, `system`.
  @available(*, noasync, message: "a root runs in a process with one thread")
  public func run() throws(RootError) {
    let object = try started()
    // `tell` may call this, which C refuses.
    let isOuter = !isRunning
    isRunning = true
    let status = muster_root_run(object)
    if isOuter { isRunning = false }
    // What has not run is not left there for others to wonder at; what was closed meanwhile is let go of now.
    if isOuter, isClosed || status == EBUSY { letGo() }
    guard status != 0 else { return }
    let code: RootError.Code? = status == EBUSY ? .otherThreads : status == EPERM ? .inherited : nil
    throw RootError(Self.running, name, status: status, code: code)
  }

  /// Makes ``run()`` stop the daemons and return, as SIGTERM would: for ``tell``. Before it runs there is nothing to stop.
  public func stop() {
    if let object { muster_root_stop(object) }
  }

  /// Removes the name and lets go of the memory; called by ``tell``, stops the root first. In a forked process it does nothing; closing
  /// again neither. A program that ends without it leaves the memory behind, to be looked at, and replaced by the next root of that name.
  public func close() {
    isClosed = true
    if isRunning { stop() } else { letGo() }
  }

  private func letGo() {
    muster_root_close(object)
    object = nil
  }

  private func started() throws(RootError) -> OpaquePointer {
    if isClosed { throw RootError(Self.running, name, code: .closed) }
    if let object { return object }
    var options = muster_root_options()
    options.flags = self.options.rawValue
    options.mode = UInt32(permissions.rawValue)
    // 0 is the default to C.
    options.deadline = max(1, Deadline(patience))
    options.context = Unmanaged.passUnretained(self).toOpaque()
    options.tell = { _, kind, _, status, context in
      let root = Unmanaged<Root>.fromOpaque(context!).takeUnretainedValue()
      guard let tell = root.tell, let kind = Event.Kind(kind) else { return }
      tell(Event(kind: kind, daemon: DaemonStatus(status.pointee, now: muster_clock_now())))
    }
    var object: OpaquePointer?
    try withSpecs(Self.running) { specs in
      withName(name) { muster_root_start($0, specs.baseAddress!, UInt32(specs.count), &options, &object) }
    }
    self.object = object
    return object!
  }

  /// C copies the specs; what they point to lives as long as this object, but for the names, which it copies too.
  private func withSpecs(
    _ operation: String, _ body: (UnsafeBufferPointer<muster_daemon_spec>) -> Int32
  ) throws(RootError) {
    if let reason = complaint ?? objection() {
      throw RootError(operation, name, status: EINVAL, reason: reason)
    }
    var specs = daemons.map(\.spec)
    for index in specs.indices { specs[index].name = UnsafePointer(strdup(daemons[index].name)) }
    defer { for spec in specs { free(UnsafeMutablePointer(mutating: spec.name)) } }
    let status = specs.withUnsafeBufferPointer(body)
    guard status != 0 else { return }
    let code: RootError.Code? = status == EBUSY ? .running : nil
    throw RootError(operation, name, status: status, code: code, reason: reason(status))
  }

  private func reason(_ status: Int32) -> String? {
    switch status {
    case EINVAL:
      if daemons.count > Int(MUSTER_ROOT_DAEMONS_MAX) {
        return "\(daemons.count) daemons are declared, and it can have \(MUSTER_ROOT_DAEMONS_MAX)"
      }
      return daemons.lazy.compactMap(\.fault).first ?? "that can't be the name of shared memory"
    case EOVERFLOW: return "its daemons take more memory than can be mapped"
    case ENOSPC: return "/dev/shm has no room for what its daemons take, which is told by size()"
    default: return nil
    }
  }

  private func objection() -> String? {
    if daemons.isEmpty { return "no daemon is declared" }
    var names: Set<String> = []
    for name in daemons.map(\.name) {
      guard 1..<Int(MUSTER_ROOT_NAME_SIZE) ~= name.utf8.count, !name.utf8.contains(0) else {
        return "a daemon's name has 1 to 31 bytes, none of them 0, and “\(name)” has not"
      }
      guard names.insert(name).inserted else { return "“\(name)” is declared twice" }
    }
    return nil
  }
}
