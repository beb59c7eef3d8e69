// SPDX-License-Identifier: Apache-2.0
import CMuster

/// When a daemon that ended is started again, and how often.
///
/// ```swift
/// var restarts = DaemonRestarts.onFailure
/// restarts.budget = .init(restarts: 20, within: .seconds(60))
/// ```
public struct DaemonRestarts: Hashable, Sendable {
  /// After which ends.
  public enum Condition: Hashable, Sendable {
    /// However it ended.
    case always
    /// Unless its body returned.
    case onFailure
    /// Never.
    case never

    fileprivate var core: muster_daemon_restart {
      switch self {
      case .always: .MUSTER_DAEMON_ALWAYS
      case .onFailure: .MUSTER_DAEMON_ON_FAILURE
      case .never: .MUSTER_DAEMON_NEVER
      }
    }
  }

  /// How many restarts there may be in a time; one more is a step on the ladder.
  public struct Budget: Hashable, Sendable {
    /// How many: 1 to 64.
    public var restarts: Int
    /// In which time.
    public var within: Duration

    /// A budget.
    public init(restarts: Int, within: Duration) {
      self.restarts = restarts
      self.within = within
    }
  }

  /// How long restarts in a row are put off. The first comes at once.
  public struct Delay: Hashable, Sendable {
    /// The second; each further one twice as long as the one before.
    public var first: Duration
    /// The longest.
    public var most: Duration
    /// By what part of it each varies: 0 to 1.
    public var jitter: Double

    /// A delay.
    public init(first: Duration = .milliseconds(50), most: Duration = .seconds(10), jitter: Double = 0.2) {
      self.first = first
      self.most = most
      self.jitter = jitter
    }
  }

  /// After which ends.
  public var condition: Condition
  /// Attempts on each rung of the ladder, 1 or more.
  public var tries: Int
  /// Once it has lived so long, it starts from the ladder's foot.
  public var stable: Duration
  /// `nil`: no limit but the ladder's.
  public var budget: Budget?
  /// `nil`: no delays.
  public var delay: Delay?

  /// When, and how often.
  public init(
    _ condition: Condition, tries: Int = 3, stable: Duration = .seconds(10), budget: Budget? = nil,
    delay: Delay? = Delay()
  ) {
    self.condition = condition
    self.tries = tries
    self.stable = stable
    self.budget = budget
    self.delay = delay
  }

  /// However it ended.
  public static let always = DaemonRestarts(.always)
  /// Unless its body returned.
  public static let onFailure = DaemonRestarts(.onFailure)
  /// Never.
  public static let never = DaemonRestarts(.never)

  func apply(to spec: inout muster_daemon_spec) {
    spec.restart = condition.core
    spec.tries = Self.number(tries)
    spec.stable = Self.time(stable)
    if let budget {
      spec.budget = Self.number(budget.restarts)
      spec.budget_within = Self.time(budget.within)
    }
    guard let delay else {
      spec.delay_first = Int64(MUSTER_ROOT_NONE)
      return
    }
    spec.delay_first = Self.time(delay.first)
    spec.delay_most = Self.time(delay.most)
    let percent = (delay.jitter * 100).rounded()
    spec.delay_jitter = percent == 0 ? MUSTER_ROOT_NONE : (0...100).contains(percent) ? Int32(percent) : .min
  }

  /// 0 is the default to C; what can't be is refused there.
  private static func number(_ given: Int) -> Int32 { given > 0 ? Int32(clamping: given) : .min }

  /// 0 is the default to C, and NONE the 0.
  static func time(_ given: Duration) -> Int64 {
    given == .zero ? Int64(MUSTER_ROOT_NONE) : given < .zero ? .min : max(1, given.coreNanoseconds)
  }
}

/// What a daemon's transactions may do.
public enum DaemonTransactions: Hashable, Sendable {
  /// They may change all of the state.
  case all
  /// They may change so many pages of it, which takes as much less memory.
  case pages(Int)
  /// There are none.
  case none

  var core: Int32 {
    switch self {
    case .all: 0
    case .pages(let count): count > 0 ? Int32(clamping: count) : .min
    case .none: MUSTER_ROOT_NONE
    }
  }
}
