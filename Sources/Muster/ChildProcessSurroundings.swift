// Where it runs, and with whom.
// SPDX-License-Identifier: Apache-2.0
public import SystemPackage

extension ChildProcess {
  /// A standard stream.
  public enum Stream: Hashable, Sendable {
    /// This process's.
    case inherited
    /// `/dev/null`.
    case null
    /// A duplicate of a descriptor, which stays the caller's.
    case descriptor(FileDescriptor)
    /// None: reading or writing it fails.
    case closed
  }

  /// A process group.
  public enum ProcessGroup: Hashable, Sendable {
    /// That of this process.
    case inherited
    /// One of its own, which it leads: what the terminal sends to this process's does not reach it.
    case own
    /// A session of its own, and so a group: it has no terminal.
    case ownSession
    /// One that exists, of this session, by its number.
    case existing(Int32)
  }

  /// What dies with this process, in whatever way that ends.
  public enum Tie: Hashable, Sendable {
    /// Nothing.
    case nothing
    /// The child. The kernel kills it with the thread that has started it (`PR_SET_PDEATHSIG`): that is one of Muster's own, which lives as long
    /// as the process and whose niceness and processors the child has. What the child has started lives on, unless it is tied in turn. Executing
    /// another program in place of this one is an end, too.
    case child
    /// The child and all that it has started. A guard kills them, a process beside the child: a fork of this one.
    case tree
  }

  /// How a program says that it is ready.
  public enum Readiness: Hashable, Sendable {
    /// It doesn't.
    case none
    /// `READY=1` to the socket that `NOTIFY_SOCKET` names: the convention of `sd_notify(3)`. ``ProcessNotice/tell(_:)`` says so.
    case socket
    /// A newline on the descriptor of that number, at least 3: the convention of s6.
    case line(Int32)
  }
}
