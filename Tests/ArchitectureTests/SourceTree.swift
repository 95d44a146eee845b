import Core

/// The repository's Swift sources as text.
struct SourceTree {
    struct File {
        let path: String
        let target: String
        let text: String
        var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

        /// Modules imported, without access levels and attributes.
        var imports: [String] {
            lines.compactMap { line in
                let words = line.split(separator: " ").filter { !$0.hasPrefix("@") }
                guard let at = words.firstIndex(of: "import"), words[..<at].allSatisfy({ ["package", "internal", "private"].contains(String($0)) }), at + 1 < words.count
                else { return nil }
                let name = ["struct", "class", "enum", "func", "protocol"].contains(String(words[at + 1])) ? words[at + 2] : words[at + 1]
                return name.split(separator: ".").first.map(String.init)
            }
        }
    }

    let root: String
    let files: [File]

    init(_ here: String = #filePath) throws {
        let root = (0..<3).reduce(here) { path, _ in FileSystem.parent(of: path) }
        var files: [File] = []
        try SourceTree.walk("\(root)/Sources") { path in
            guard path.hasSuffix(".swift") else { return }
            let relative = String(path.dropFirst("\(root)/".count))
            let target = relative.split(separator: "/")[1]
            files.append(File(path: relative, target: String(target), text: String(decoding: try FileSystem.readFile(path), as: UTF8.self)))
        }
        self.root = root
        self.files = files
    }

    func text(_ path: String) throws -> String { String(decoding: try FileSystem.readFile("\(root)/\(path)"), as: UTF8.self) }

    private static func walk(_ directory: String, _ body: (String) throws -> Void) throws {
        for name in try FileSystem.list(directory) {
            let path = "\(directory)/\(name)"
            if try FileSystem.status(path)?.isDirectory == true { try walk(path, body) } else { try body(path) }
        }
    }
}
