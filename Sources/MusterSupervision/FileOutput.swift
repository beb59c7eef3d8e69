// SPDX-License-Identifier: Apache-2.0
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A file that the pair alone appends to: each output exactly once.
///
/// What is in doubt is looked for where the file ended before it. A write that was cut by a death leaves a part of it: that is dropped, and the
/// output is written again. What somebody else has written meanwhile is never written over: it is told as an error, by which this primary ends;
/// who takes over goes on behind it, unless it stands in the place of an output that is in doubt.
public struct FileOutput: ProcessPairOutput {
  /// Something that can't be with a file of a pair's alone.
  public struct Failure: Error, CustomStringConvertible, Sendable {
    /// One sentence.
    public let description: String
  }

  /// Its path.
  public let path: FilePath
  private let file: FileDescriptor
  private let isDurable: Bool
  private var end: Int64

  /// Opens or creates it.
  ///
  /// - Parameters:
  ///   - path: a regular file.
  ///   - isDurable: whether each output is on the disk before the next step: with durable states, so that a crash of the machine loses none either.
  public init(_ path: FilePath, isDurable: Bool = false) throws {
    self.path = path
    self.isDurable = isDurable
    file = try FileDescriptor.open(
      path, .readWrite, options: [.create, .closeOnExec, .nonBlocking],
      permissions: [.ownerReadWrite, .groupRead, .otherRead])
    do {
      end = try Self.length(of: file, path)
    } catch {
      try? file.close()
      throw error
    }
    if isDurable { try Self.synchronizeFolder(of: path) }
  }

  /// Whether nothing is in it yet.
  public var isEmpty: Bool { end == 0 }

  /// Looks how long it is by now.
  public mutating func lead(epoch: UInt64) throws { end = try Self.length(of: file, path) }

  /// Its length, which is looked at: a file that is longer or shorter than it was left is somebody else's as well.
  public mutating func position() throws -> UInt64 {
    let length = try Self.length(of: file, path)
    guard length == end else {
      throw Failure(
        description:
          "\(path) has \(length) bytes and had \(end): somebody else has \(length > end ? "written to" : "cut") it")
    }
    return UInt64(end)
  }

  /// Appends it, and returns when it is on the disk, if that was asked for.
  public mutating func emit(_ bytes: RawSpan, _ emission: ProcessPairEmission) throws {
    do {
      try bytes.withUnsafeBytes { _ = try file.writeAll(toAbsoluteOffset: end, $0) }
      if isDurable { try synchronize() }
    } catch let error as Errno {
      throw Failure(description: "\(path) can't be written to: \(error)")
    }
    end += Int64(bytes.byteCount)
  }

  /// Whether it stands where the file ended before it; what is there of a torn one is dropped.
  public mutating func contains(_ bytes: RawSpan, _ emission: ProcessPairEmission) throws -> Bool? {
    let start = Int64(emission.position)
    guard end >= start else {
      throw Failure(description: "\(path) has \(end) bytes and had \(start): somebody has cut it")
    }
    guard end > start else { return false }
    let there = try read(at: start, at: bytes.byteCount + 1)
    let isPrefix = bytes.withUnsafeBytes { bytes in there.count <= bytes.count && bytes.starts(with: there) }
    guard isPrefix else {
      throw Failure(description: "\(path) has something else after byte \(start) than step \(emission.step) wrote")
    }
    if there.count == bytes.byteCount {
      if isDurable { try synchronize() }
      return true
    }
    guard ftruncate(file.rawValue, off_t(start)) == 0 else { throw Errno(rawValue: errno) }
    end = start
    return false
  }

  private static func length(of file: FileDescriptor, _ path: FilePath) throws -> Int64 {
    var status = stat()
    guard fstat(file.rawValue, &status) == 0 else { throw Errno(rawValue: errno) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw Failure(description: "\(path) is no regular file") }
    return Int64(status.st_size)
  }

  private func read(at offset: Int64, at most: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: most)
    var count = 0
    while count < most {
      let more = try bytes.withUnsafeMutableBytes {
        try file.read(
          fromAbsoluteOffset: offset + Int64(count), into: UnsafeMutableRawBufferPointer(rebasing: $0[count...]))
      }
      guard more > 0 else { break }
      count += more
    }
    return Array(bytes[..<count])
  }

  private func synchronize() throws {
    guard fdatasync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
  }

  // Its name on the disk.
  private static func synchronizeFolder(of path: FilePath) throws {
    let name = path.removingLastComponent()
    let folder = try FileDescriptor.open(name.isEmpty ? "." : name, .readOnly, options: [.directory, .closeOnExec])
    defer { try? folder.close() }
    guard fsync(folder.rawValue) == 0 else { throw Errno(rawValue: errno) }
  }
}
