// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

let swiftSettings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]

let package = Package(
  name: "muster",
  products: [
    .library(name: "CMuster", targets: ["CMuster"]),
    .library(name: "Muster", targets: ["Muster"]),
    .library(name: "MusterLogging", targets: ["MusterLogging"]),
    .library(name: "MusterSupervision", targets: ["MusterSupervision"]),
    .executable(name: "counter", targets: ["counter"]),
    .executable(name: "mpbarrier", targets: ["mpbarrier"]),
    .executable(name: "muster", targets: ["muster-cli"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-system.git", from: "1.6.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess.git", from: "1.0.2", traits: []),
  ],
  targets: [
    .target(
      name: "CMuster", path: ".", sources: ["Sources/CMuster"], publicHeadersPath: "include",
      cSettings: [.define("_GNU_SOURCE")]),
    .executableTarget(
      name: "cmuster-tests", dependencies: ["CMuster"], path: "Tests/CMusterTests",
      cSettings: [.define("_GNU_SOURCE"), .headerSearchPath("../../Sources/CMuster")]),
    .executableTarget(
      name: "crash-sweep", dependencies: ["CMuster"], path: "Tests/CrashSweep",
      cSettings: [.define("_GNU_SOURCE"), .headerSearchPath("../../Sources/CMuster")]),
    .target(
      name: "Muster", dependencies: ["CMuster", .product(name: "SystemPackage", package: "swift-system")],
      swiftSettings: swiftSettings),
    .target(
      name: "MusterLogging", dependencies: ["Muster", .product(name: "Logging", package: "swift-log")],
      swiftSettings: swiftSettings),
    .target(name: "CMusterSystem", cSettings: [.define("_GNU_SOURCE")]),
    .target(
      name: "MusterSupervision",
      dependencies: [
        "CMuster", "CMusterCLI", "CMusterSystem", "Muster",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: swiftSettings),
    .executableTarget(
      name: "muster-peer",
      dependencies: ["Muster", .product(name: "SystemPackage", package: "swift-system")],
      path: "Tests/MusterPeer", swiftSettings: swiftSettings),
    .executableTarget(
      name: "muster-root-peer",
      dependencies: ["Muster", .product(name: "SystemPackage", package: "swift-system")],
      path: "Tests/MusterRootPeer", swiftSettings: swiftSettings),
    .executableTarget(
      name: "muster-pair-peer",
      dependencies: ["Muster", "MusterSupervision", .product(name: "SystemPackage", package: "swift-system")],
      path: "Tests/MusterPairPeer", swiftSettings: swiftSettings),
    .executableTarget(
      name: "example-crew", dependencies: ["Muster"], path: "Examples/Swift/crew", swiftSettings: swiftSettings),
    .executableTarget(
      name: "example-counters", dependencies: ["Muster"], path: "Examples/Swift/counters",
      swiftSettings: swiftSettings),
    .executableTarget(
      name: "example-ledger", dependencies: ["Muster"], path: "Examples/Swift/ledger", swiftSettings: swiftSettings),
    .executableTarget(
      name: "example-job", dependencies: ["Muster"], path: "Examples/Swift/job", swiftSettings: swiftSettings),
    .executableTarget(
      name: "example-events", dependencies: ["Muster"], path: "Examples/Swift/events", swiftSettings: swiftSettings),
    .executableTarget(
      name: "example-messages", dependencies: ["Muster"], path: "Examples/Swift/messages",
      swiftSettings: swiftSettings),
    .executableTarget(
      name: "example-workers", dependencies: ["Muster"], path: "Examples/Swift/workers", swiftSettings: swiftSettings),
    .executableTarget(
      name: "example-daemons", dependencies: ["Muster"], path: "Examples/Swift/daemons", swiftSettings: swiftSettings),
    .executableTarget(
      name: "example-keeper", dependencies: ["Muster"], path: "Examples/Swift/keeper", swiftSettings: swiftSettings),
    .executableTarget(
      name: "example-flight",
      dependencies: ["Muster", .product(name: "SystemPackage", package: "swift-system")],
      path: "Examples/Swift/flight", swiftSettings: swiftSettings),
    .executableTarget(
      name: "example-journal",
      dependencies: ["Muster", "MusterLogging", .product(name: "Logging", package: "swift-log")],
      path: "Examples/Swift/journal", swiftSettings: swiftSettings),
    .executableTarget(
      name: "benchmark-latency", dependencies: ["Muster"], path: "Benchmarks/swift", swiftSettings: swiftSettings),
    .executableTarget(
      name: "benchmark-pair", dependencies: ["CMuster", "Muster", "MusterSupervision"], path: "Benchmarks/pair",
      swiftSettings: swiftSettings),
    .executableTarget(
      name: "benchmark-owners",
      dependencies: ["Muster", "CMuster", "MusterLogging", .product(name: "Logging", package: "swift-log")],
      path: "Benchmarks/owners", swiftSettings: swiftSettings),
    .testTarget(
      name: "MusterTests",
      dependencies: [
        "Muster", "CMuster", "MusterLogging", "cmuster-tests", "muster-peer", "muster-root-peer",
        "example-crew", "example-counters",
        "example-ledger", "example-job", "example-events", "example-messages", "example-workers", "example-flight",
        "example-journal", "example-daemons", "example-keeper",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: swiftSettings),
    .testTarget(
      name: "MusterSupervisionTests",
      dependencies: [
        "CMusterSystem", "Muster", "MusterSupervision", "muster-pair-peer",
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: swiftSettings),
    .target(name: "CMusterCLI", cSettings: [.define("_GNU_SOURCE")]),
    .target(
      name: "MusterCLI",
      dependencies: ["CMusterCLI", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      swiftSettings: swiftSettings),
    .target(
      name: "MPBarrierKit",
      dependencies: [
        "Muster", "MusterCLI",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Subprocess", package: "swift-subprocess"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: swiftSettings),
    .executableTarget(name: "mpbarrier", dependencies: ["MPBarrierKit"], swiftSettings: swiftSettings),
    .target(
      name: "MusterToolKit",
      dependencies: [
        "CMusterCLI", "Muster", "MusterCLI", "MusterSupervision",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Subprocess", package: "swift-subprocess"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: swiftSettings),
    .target(
      name: "CounterKit",
      dependencies: [
        "CMusterCLI", "CMusterSystem", "Muster", "MusterCLI", "MusterSupervision",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: swiftSettings),
    .executableTarget(name: "counter", dependencies: ["CounterKit"], swiftSettings: swiftSettings),
    .executableTarget(name: "muster-cli", dependencies: ["MusterCLI", "MusterToolKit"], swiftSettings: swiftSettings),
    .testTarget(
      name: "MusterCLITests",
      dependencies: [
        "CounterKit", "Muster", "MusterCLI", "MPBarrierKit", "MusterSupervision", "MusterToolKit", "counter",
        "mpbarrier", "muster-cli", "muster-peer", "muster-root-peer",
        .product(name: "Subprocess", package: "swift-subprocess"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: swiftSettings),
  ],
  cLanguageStandard: .gnu11
)
