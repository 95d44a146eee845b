// swift-tools-version: 6.2
import PackageDescription

// The target ladder of Sources/README.md: a target imports only lower ranks, and
// Tests/ArchitectureTests fails on a breach. Add a target when its first real file arrives.

let swift: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// A Swift target of ours, in the folder of its own name.
func rank(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(name)", exclude: [], swiftSettings: swift)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, path: "Tests/\(name)", exclude: exclude, swiftSettings: swift)
}

func system(_ name: String, pkgConfig: String, apt: String) -> Target {
    .systemLibrary(name: name, path: "Sources/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOHTTP1", package: "swift-nio"),
    .product(name: "NIOWebSocket", package: "swift-nio"),
    .product(name: "NIOTLS", package: "swift-nio"),
    .product(name: "NIOSSL", package: "swift-nio-ssl"),
    .product(name: "NIOHTTP2", package: "swift-nio-http2"),
]
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
    name: "jangada",
    products: [.executable(name: "jangada", targets: ["jangada"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        // rank 0
        .target(name: "CLinux", path: "Sources/CLinux"),
        .target(name: "CAssets", path: "Sources/CAssets", exclude: ["Schema", "Bootstrap"]),
        system("CSQLite", pkgConfig: "sqlite3", apt: "libsqlite3-dev"),
        system("CSeccomp", pkgConfig: "libseccomp", apt: "libseccomp-dev"),
        system("CCap", pkgConfig: "libcap", apt: "libcap-dev"),
        system("CCrypto", pkgConfig: "libcrypto", apt: "libssl-dev"),
        system("CYAML", pkgConfig: "yaml-0.1", apt: "libyaml-dev"),
        system("CZlib", pkgConfig: "zlib", apt: "zlib1g-dev"),
        system("CZstd", pkgConfig: "libzstd", apt: "libzstd-dev"),
        .systemLibrary(name: "CFiles", path: "Sources/CFiles"),
        // rank 1
        rank("Core", ["CCrypto", "CFiles", log]),
        // rank 2
        rank("Tree", ["Core", "CYAML"]),
        rank("Linux", ["Core", "CLinux", "CSeccomp", "CCap"]),
        rank("Transport", ["Core", "CCrypto", "CZlib", log] + nio),
        rank("Store", ["Core", "CSQLite", log]),
        // rank 3
        rank("Schema", ["Core", "Tree", "CAssets"]),
        rank("CEL", ["Core", "Tree"]),
        rank("OCI", ["Core", "Tree", "Transport", "CZlib", "CZstd", log]),
        rank("HostNetwork", ["Core", "Linux", "Transport", log]),
        // rank 4
        rank("Machinery", ["Core", "Tree", "Schema", "CEL"]),
        rank("Containers", ["Core", "Linux", "CLinux", log]),
        // rank 5
        rank("Kinds", ["Core", "Tree", "Schema", "CEL", "Machinery"]),
        // rank 6
        rank("Client", ["Core", "Tree", "Schema", "Machinery", "Transport", log]),
        // rank 7
        rank("APIServer", ["Core", "CAssets", "Tree", "Transport", "Store", "Schema", "CEL", "Machinery", "Kinds", "Client", log]),
        rank("Controllers", ["Core", "Tree", "Schema", "Machinery", "Kinds", "Client", log]),
        rank("Scheduler", ["Core", "Tree", "Transport", "Schema", "Machinery", "Kinds", "Client", log]),
        rank("Kubelet", ["Core", "Tree", "Linux", "Transport", "OCI", "HostNetwork", "Schema", "Machinery", "Containers", "Kinds", "Client", log]),
        rank("Volumes", ["Core", "Tree", "Linux", "Schema", "Machinery", "Kinds", "Client", log]),
        rank("Emulation", ["Core", "Tree", "Schema", "Machinery", "Kinds", "Client", log]),
        rank("ImageRegistry", ["Core", "Tree", "Transport", "OCI", log]),
        rank("ImageBuilder", ["Core", "Tree", "Transport", "OCI", log]),
        // rank 8
        rank("Platform", [
            "Core", "Tree", "Linux", "Transport", "Store", "Schema", "OCI", "HostNetwork", "Machinery", "Containers", "Kinds", "Client", "APIServer",
            "Controllers", "Scheduler", "Kubelet", "Volumes", "Emulation", "ImageRegistry", "ImageBuilder", log,
        ]),
        // rank 9
        .executableTarget(
            name: "jangada",
            dependencies: [
                "Core", "CLinux", "Linux", "Tree", "Transport", "Store", "Client", "Machinery", "Schema", "Platform", log,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/jangada", swiftSettings: swift),

        // The sandbox init alone, for tests that must not re-execute their own runner.
        .executableTarget(name: "sandbox-probe", dependencies: ["CLinux", "Containers", "Linux", "Core"], path: "Tests/SandboxProbe", swiftSettings: swift),

        // Sends the same requests to two servers and compares; the answers of upstream are recorded beside.
        .target(name: "Differential", dependencies: ["Core", "Tree", "Transport"], path: "Tests/Differential/Kit", swiftSettings: swift),
        .target(name: "DifferentialBare", dependencies: ["Core", "Platform", "Store", "Transport"], path: "Tests/Differential/Bare", swiftSettings: swift),
        .executableTarget(
            name: "differential-tool", dependencies: ["Differential", "DifferentialBare", "Core"], path: "Tests/Differential/Tool", swiftSettings: swift),

        // Gives every parser and a whole API server what nobody sends by intention.
        .executableTarget(
            name: "fuzz-driver",
            dependencies: ["Differential", "APIServer", "CEL", "Kinds", "Machinery", "OCI", "Schema", "Store", "Transport", "Tree", "Core"],
            path: "Tests/Fuzz", swiftSettings: swift),
        tests("FuzzTests", ["fuzz-driver", "Core"]),

        tests("ArchitectureTests", ["Core"]),
        tests("CommandTests", ["jangada", "Platform", "Linux", "Tree", "Core", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
        tests("ClusterTests", ["jangada", "Platform", "Transport", "Linux", "Tree", "Core"]),
        tests("CoreTests", ["Core"]),
        tests("DifferentialTests", ["Differential", "DifferentialBare", "Core", "Tree"]),
        tests("LinuxTests", ["Linux", "Core", "CLinux"]),
        tests("ContainersTests", ["Containers", "Linux", "Core", "CLinux", "sandbox-probe"]),
        tests("TreeTests", ["Tree", "Core"]),
        tests("CELTests", ["CEL", "Tree", "Core"]),
        tests("OCITests", ["OCI", "Transport", "Tree", "Core"]),
        tests("ImageBuilderTests", ["ImageBuilder", "OCI", "Transport", "Tree", "Core"]),
        tests("MachineryTests", ["Machinery", "CEL", "Schema", "Tree", "Core"]),
        tests("KindsTests", ["Kinds", "Machinery", "Schema", "Tree", "Core"]),
        tests("ImageRegistryTests", ["ImageRegistry", "OCI", "Transport", "Tree", "Core"]),
        tests("TransportTests", ["Transport", "Core"] + nio),
        tests("SchemaTests", ["Schema", "Tree", "Core"], exclude: ["Fixtures"]),
        tests("HostNetworkTests", ["HostNetwork", "Linux", "Core"]),
        tests(
            "KubeletTests",
            ["Kubelet", "APIServer", "Store", "Client", "Containers", "HostNetwork", "OCI", "Kinds", "Machinery", "Schema", "Transport", "ImageRegistry", "Linux", "Tree", "Core", "sandbox-probe"]),
        tests(
            "PlatformNetworkTests", ["Platform", "HostNetwork", "APIServer", "Store", "Client", "Controllers", "Machinery", "Schema", "Linux", "Tree", "Core"]),
        tests("PlatformBuildTests", ["Platform", "ImageBuilder", "OCI", "HostNetwork", "Containers", "Linux", "Core", "sandbox-probe"]),
        tests("StoreTests", ["Store", "Core", "StoreDriver"]),
        tests("ControllersTests", ["Controllers", "Scheduler", "Client", "APIServer", "Kinds", "Machinery", "Schema", "Store", "Tree", "Core"], exclude: ["Fixtures"]),
        tests("APIServerTests", ["APIServer", "OCI", "Client", "Kinds", "Machinery", "Schema", "Store", "Transport", "Tree", "Core"], exclude: ["Fixtures"]),
        tests("SchedulerTests", ["Scheduler", "Transport", "Client", "Kinds", "Machinery", "Schema", "Tree", "Core"], exclude: ["Fixtures"]),
        tests("EmulationTests", ["Emulation", "APIServer", "Store", "Client", "Kinds", "Machinery", "Schema", "Tree", "Core"]),
        tests("VolumesTests", ["Volumes", "Controllers", "APIServer", "Client", "Kinds", "Machinery", "Schema", "Store", "Tree", "Core"]),
        tests("MetricsTests", ["APIServer", "Client", "Transport", "Kinds", "Machinery", "Schema", "Store", "Tree", "Core"]),
        .executableTarget(name: "StoreDriver", dependencies: ["Core", "Store"], path: "Tests/StoreDriver", swiftSettings: swift),
    ]
)
