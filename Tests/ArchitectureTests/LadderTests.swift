import Testing

/// The ladder of Sources/README.md, in code.
enum Ladder {
    static let ranks: [String: Int] = [
        "CLinux": 0, "CAssets": 0, "CSQLite": 0, "CSeccomp": 0, "CCap": 0, "CCrypto": 0, "CYAML": 0, "CZlib": 0, "CZstd": 0, "CFiles": 0,
        "Core": 1, "Tree": 2, "Linux": 2, "Transport": 2, "Store": 2, "Schema": 3, "CEL": 3, "OCI": 3, "HostNetwork": 3, "Machinery": 4,
        "Containers": 4, "Kinds": 5, "Client": 6, "APIServer": 7, "Controllers": 7, "Scheduler": 7, "Kubelet": 7, "Volumes": 7, "Emulation": 7,
        "ImageRegistry": 7, "ImageBuilder": 7, "Platform": 8, "DockerAPI": 8, "jangada": 9,
    ]
    /// Modules that only some may import; an empty list is nobody.
    static func allows(_ target: String, _ module: String) -> Bool {
        switch module {
        case "Foundation", "FoundationEssentials", "FoundationNetworking": false
        // Containers: numbers of signals and errors, which are its subject.
        case "Glibc": ["Core", "Linux", "Containers", "jangada"].contains(target)
        case _ where module.hasPrefix("NIO"): target == "Transport"
        default: true
        }
    }
    static let forbidden: [String: [String]] = [
        "Controllers": ["Store", "APIServer"], "Kubelet": ["APIServer"], "Containers": ["Kinds"], "Store": ["Tree", "Schema"],
        "Machinery": ["Kinds"],
    ]
}

/// Files that may do what others may not, each with its reason.
enum Exceptions {
    /// `path: why`.
    static let long: [String: String] = [:]
    static let imports: [String: String] = [:]
}

@Suite struct LadderTests {
    @Test func everySourceFolderHasARank() throws {
        let targets = Set(try SourceTree().files.map(\.target))
        #expect(targets.count > 10)
        #expect(targets.subtracting(Ladder.ranks.keys) == [])
    }

    @Test func aTargetImportsOnlyLowerRanks() throws {
        for file in try SourceTree().files {
            for module in file.imports {
                guard let rank = Ladder.ranks[module], let own = Ladder.ranks[file.target], module != file.target else { continue }
                #expect(rank < own, "\(file.path) imports \(module), of rank \(rank)")
            }
        }
    }

    @Test func noForbiddenImports() throws {
        for file in try SourceTree().files {
            for module in file.imports where Exceptions.imports[file.path] == nil {
                #expect(Ladder.allows(file.target, module), "\(file.path) imports \(module)")
                #expect(Ladder.forbidden[file.target]?.contains(module) != true, "\(file.path) imports \(module)")
            }
        }
    }

    @Test func noFileIsLongerThan600Lines() throws {
        for file in try SourceTree().files where Exceptions.long[file.path] == nil {
            #expect(file.lines.count <= 601, "\(file.path) has \(file.lines.count) lines")
        }
    }

    @Test func nothingTriesByForceOrIsPublic() throws {
        for file in try SourceTree().files {
            for (number, line) in file.lines.enumerated() {
                let code = line.prefix { $0 != "/" }
                #expect(!code.contains("try! "), "\(file.path):\(number + 1)")
                #expect(!code.hasPrefix("public "), "\(file.path):\(number + 1)")
            }
        }
    }

    @Test func importsAreReadWhateverTheirModifiers() {
        let text = "import Core\npackage import Tree\n@preconcurrency import NIOCore\ninternal import struct Schema.Graph\n// import No\n"
        #expect(SourceTree.File(path: "x", target: "x", text: text).imports == ["Core", "Tree", "NIOCore", "Schema"])
    }
}
