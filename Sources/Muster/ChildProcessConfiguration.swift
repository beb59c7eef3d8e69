// SPDX-License-Identifier: Apache-2.0
public import SystemPackage

extension ChildProcess {
  /// What a program is started with. Beside what stands here it gets: no descriptor of this process's, which all are closed when it is executed;
  /// every signal with its default action, and none blocked; and a number of its own in `MUSTER_TREE` of its environment.
  public struct Configuration: Hashable, Sendable {
    /// The program.
    public var program: Program
    /// Its arguments, without its name.
    public var arguments: Arguments
    /// Its name, argument 0; `nil`: the path.
    public var name: String?
    /// Its environment.
    public var environment: Environment
    /// Its working folder; `nil`: this process's.
    public var folder: FilePath?
    /// Standard input.
    public var input = Stream.inherited
    /// Standard output.
    public var output = Stream.inherited
    /// Standard error.
    public var error = Stream.inherited
    /// Further descriptors: the number, at least 3, that it has each by, and the one of this process that is duplicated. 64 at most.
    public var descriptors: [Int32: FileDescriptor] = [:]
    /// The process group that it is in.
    public var group = ProcessGroup.inherited
    /// Its limits, where they are not this process's.
    public var limits: [Limit] = []
    /// What is added to this process's niceness: less of the processor with more.
    public var niceness: Int32 = 0
    /// The permissions that files it creates are not to have (`umask(2)`); `nil`: as of this process.
    public var umask: FilePermissions?
    /// What dies with this process.
    public var tie = Tie.nothing
    /// How it says that it is ready.
    public var readiness = Readiness.none
    /// It has a cgroup (v2) of its own, where this process may make one: then nobody escapes a stop. ``ChildProcess/hasCgroup`` tells whether.
    public var hasCgroup = false
    /// Descriptors that are not close-on-exec stay open in it, as `exec` has it.
    public var keepsDescriptors = false
    /// Signals that this process ignores stay ignored, and those that this thread blocks blocked, as `exec` has it.
    public var keepsSignals = false
    /// It finds `MUSTER_TREE` in its environment, by which ``ChildProcess/stop(signal:grace:patience:firstAlone:)`` knows who belongs to it.
    public var isMarked = true

    /// A program with arguments; all else as it is in this process.
    public init(_ program: Program, arguments: Arguments = [], environment: Environment = .inherited) {
      self.program = program
      self.arguments = arguments
      self.environment = environment
    }
  }
}
