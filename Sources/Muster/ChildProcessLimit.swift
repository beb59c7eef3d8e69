// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension ChildProcess {
  /// A limit of a resource, as of `setrlimit(2)`.
  public struct Limit: Hashable, Sendable {
    /// Which.
    public var resource: Resource
    /// What is enforced; `nil`: no limit.
    public var soft: UInt64?
    /// Up to where the program may raise that; `nil`: no limit.
    public var hard: UInt64?

    /// Two values.
    public init(_ resource: Resource, soft: UInt64?, hard: UInt64?) {
      self.resource = resource
      self.soft = soft
      self.hard = hard
    }

    /// One value for both.
    public init(_ resource: Resource, _ value: UInt64?) { self.init(resource, soft: value, hard: value) }
  }

  /// What a ``Limit`` is of: the numbers of `setrlimit(2)`.
  public struct Resource: RawRepresentable, Hashable, Sendable {
    /// The number.
    public let rawValue: Int32

    /// Any number.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Descriptors: one more than the highest.
    public static let openFiles = Resource(RLIMIT_NOFILE)
    /// Bytes of a core; 0: none.
    public static let coreSize = Resource(RLIMIT_CORE)
    /// Seconds of processor time.
    public static let processorTime = Resource(RLIMIT_CPU)
    /// Bytes of address space.
    public static let addressSpace = Resource(RLIMIT_AS)
    /// Bytes of data.
    public static let dataSize = Resource(RLIMIT_DATA)
    /// Bytes of the main thread's stack.
    public static let stackSize = Resource(RLIMIT_STACK)
    /// Bytes of a file that it writes.
    public static let fileSize = Resource(RLIMIT_FSIZE)
    /// Bytes that are locked into memory.
    public static let lockedMemory = Resource(rawValue: 8)
    /// Processes and threads of its user.
    public static let processes = Resource(rawValue: 6)

    // glibc shows Swift the others alone; these two are the same wherever Swift runs.
    #if canImport(Glibc)
      private init(_ resource: __rlimit_resource) { rawValue = Int32(resource.rawValue) }
    #else
      private init(_ resource: Int32) { rawValue = resource }
    #endif
  }
}
