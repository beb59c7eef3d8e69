// swift-tools-version: 6.1
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

let swiftSettings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
  name: "muster",
  products: [
    .library(name: "CMuster", targets: ["CMuster"])
  ],
  targets: [
    .target(
      name: "CMuster", path: ".", sources: ["Sources/CMuster"], publicHeadersPath: "include",
      cSettings: [.define("_GNU_SOURCE")]),
    .executableTarget(
      name: "cmuster-tests", dependencies: ["CMuster"], path: "Tests/CMusterTests",
      cSettings: [.define("_GNU_SOURCE")]),
  ],
  cLanguageStandard: .gnu11
)
