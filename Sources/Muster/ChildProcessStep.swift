// SPDX-License-Identifier: Apache-2.0
import CMuster
import SystemPackage

extension ChildProcess {
  /// What starting it consists of, in this order.
  public enum Step: String, Hashable, Sendable, CustomStringConvertible {
    /// Before there is a child: an argument, a descriptor, memory.
    case prepare
    /// Making it.
    case clone
    /// Making its guard, which dies with this process and takes the child along.
    case guardian
    /// Its process group.
    case group
    /// Its cgroup.
    case cgroup
    /// Its tie.
    case tie
    /// Its niceness.
    case niceness
    /// Its folder.
    case folder
    /// Its descriptors.
    case descriptors
    /// Its limits.
    case limits
    /// Executing the program.
    case execute

    /// The name of the step.
    public var description: String { rawValue }
  }
}

extension ChildProcess.Step {
  init?(_ step: muster_process_step) {
    switch step {
    case .MUSTER_PROCESS_STEP_PREPARE: self = .prepare
    case .MUSTER_PROCESS_STEP_CLONE: self = .clone
    case .MUSTER_PROCESS_STEP_GUARD: self = .guardian
    case .MUSTER_PROCESS_STEP_GROUP: self = .group
    case .MUSTER_PROCESS_STEP_CGROUP: self = .cgroup
    case .MUSTER_PROCESS_STEP_TIE: self = .tie
    case .MUSTER_PROCESS_STEP_NICE: self = .niceness
    case .MUSTER_PROCESS_STEP_FOLDER: self = .folder
    case .MUSTER_PROCESS_STEP_DESCRIPTORS: self = .descriptors
    case .MUSTER_PROCESS_STEP_LIMIT: self = .limits
    case .MUSTER_PROCESS_STEP_EXEC: self = .execute
    default: return nil
    }
  }

  /// A clause that goes on "Can't ... “program”".
  func attempt(folder: FilePath?) -> String {
    switch self {
    case .prepare, .clone: "start"
    case .guardian: "start the guard of"
    case .group: "enter the process group of"
    case .cgroup: "enter the cgroup of"
    case .tie: "tie the life of"
    case .niceness: "set the niceness of"
    case .folder: "enter the folder “\(folder?.string ?? "")” of"
    case .descriptors: "arrange the descriptors of"
    case .limits: "set the limits of"
    case .execute: "execute"
    }
  }
}
