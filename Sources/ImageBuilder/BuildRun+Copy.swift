import Core
import OCI
import Tree

extension BuildRun {
    mutating func copy(_ instruction: Instruction, _ words: Words, _ state: inout StageState, _ progress: BuildProgress.Step) async throws {
        let known: Set<String> = instruction.keyword == "ADD" ? ["chown", "chmod", "link", "checksum"] : ["from", "chown", "chmod", "link"]
        if let unknown = instruction.flags.keys.first(where: { !known.contains($0) }) {
            throw BuildError(instruction.line, "unknown flag: --\(unknown)")
        }
        let arguments = try instruction.exec.map { try $0.map { try words.expand($0) } } ?? words.split(instruction.text)
        guard arguments.count >= 2, let last = arguments.last else {
            throw BuildError(
                instruction.line,
                "\(instruction.keyword) requires at least two arguments, but only one was provided. Destination could not be determined.")
        }
        let sources = Array(arguments.dropLast())
        guard sources.count == 1 || last.hasSuffix("/") || last == "." else {
            throw BuildError(
                instruction.line,
                "When using \(instruction.keyword) with more than one source file, the destination must be a directory and end with a /")
        }
        let rootfs = LayeredTree(layers: try await directories(state))
        let tree: LayeredTree
        if let from = try instruction.flag("from").map({ try words.expand($0) }) {
            tree = LayeredTree(layers: try await directories(try await source(from, line: instruction.line)))
        } else {
            tree = LayeredTree(layers: [request.context])
        }
        let owner = try instruction.flag("chown").map { try Accounts(rootfs).owner(try words.expand($0), instruction.line) }
        let mode = try instruction.flag("chmod").map { text throws(BuildError) in
            guard let mode = UInt32(text, radix: 8), mode <= 0o7777 else {
                throw BuildError(instruction.line, "invalid chmod parameter: '\(text)'. it should be octal string and between 0 and 07777")
            }
            return mode
        }
        var plan = CopyPlan(line: instruction.line, owner: owner, mode: mode, ignore: instruction.flag("from") == nil ? ignore : nil)
        let place = try destination(last, state, rootfs, &plan)
        let scratch = try builder.layers.scratch()
        defer { try? FileSystem.removeTree(scratch) }
        for (number, source) in sources.enumerated() {
            if instruction.keyword == "ADD", RemoteFile.isOne(source) {
                let checksum = try instruction.flag("checksum").map { try words.expand($0) }
                let file = try await RemoteFile.fetch(source, to: "\(scratch)/\(number)", checksum: checksum, line: instruction.line)
                guard !place.isDirectory || !file.name.isEmpty else {
                    throw BuildError(instruction.line, "cannot determine filename for source \(source)")
                }
                plan.add(remote: file, to: place.isDirectory ? place.below(file.name) : place.path)
            } else {
                try add(source, instruction, words, tree, place, &plan)
            }
        }
        let key = ContentDigest(of: Array("\(state.key)\0COPY\0\(try plan.digest())".utf8))
        let finished = plan
        let content = builder.images.content
        try await layer(key, instruction.display, &state, progress) {
            let recorder = try LayerRecorder(content)
            do {
                try finished.write(to: recorder)
                return try recorder.finish(created: now)
            } catch {
                recorder.abandon()
                throw error
            }
        }
    }

    private struct Place {
        /// Below the root, without leading slash.
        let path: String
        let isDirectory: Bool

        func below(_ name: String) -> String { path.isEmpty ? name : "\(path)/\(name)" }
    }

    /// Resolves links of the image on the way, and plans the directories that are missing.
    private func destination(_ text: String, _ state: StageState, _ rootfs: LayeredTree, _ plan: inout CopyPlan) throws -> Place {
        let absolute = state.absolute(text)
        let found = try rootfs.find(absolute)
        let isDirectory = text.hasSuffix("/") || text == "." || text.hasSuffix("/.") || found?.status.isDirectory == true
        if let found, found.status.isDirectory { return Place(path: found.parts.joined(separator: "/"), isDirectory: true) }
        var parts: [String] = []
        let wanted = absolute.split(separator: "/").map(String.init)
        for part in isDirectory ? wanted[...] : wanted.dropLast() {
            if let there = try rootfs.find((parts + [part]).joined(separator: "/")), there.status.isDirectory {
                parts = there.parts
            } else {
                parts.append(part)
                plan.addParent(parts.joined(separator: "/"))
            }
        }
        if !isDirectory, let last = wanted.last { parts.append(last) }
        return Place(path: parts.joined(separator: "/"), isDirectory: isDirectory)
    }

    private func add(
        _ source: String, _ instruction: Instruction, _ words: Words, _ tree: LayeredTree, _ place: Place, _ plan: inout CopyPlan
    ) throws {
        if source.hasPrefix("<<") {
            let name = source.dropFirst(2).drop { $0 == "-" }.filter { $0 != "\"" && $0 != "'" }
            guard let document = instruction.heredocs.first(where: { $0.name == name }) else {
                throw BuildError(instruction.line, "no heredoc \(name)")
            }
            let text = document.expands ? try words.expandDocument(document.content) : document.content
            return plan.add(bytes: Array(text.utf8), to: place.isDirectory ? place.below(document.name) : place.path)
        }
        if instruction.keyword == "ADD", source.contains("://") || source.hasPrefix("git@") {
            throw BuildError(instruction.line, "ADD of a repository is not supported: \(source)")
        }
        let matches = try expandPattern(source, tree, plan.ignore)
        guard !matches.isEmpty else {
            throw BuildError(
                instruction.line,
                "failed to compute cache key: failed to calculate checksum: \"/\(source.split(separator: "/").joined(separator: "/"))\": not found"
            )
        }
        for path in matches {
            guard let found = try tree.find(path) else { continue }
            let name = path.split(separator: "/").last.map(String.init) ?? ""
            if found.status.isDirectory {
                try plan.add(found, of: tree, to: place.path)
            } else if instruction.keyword == "ADD", try isArchive(found.file) {
                plan.addArchive(found.file, to: place.path)
            } else {
                try plan.add(found, of: tree, to: place.isDirectory ? place.below(name) : place.path)
            }
        }
    }

    /// The paths that a source names, each part a pattern; ignored ones are not there.
    private func expandPattern(_ source: String, _ tree: LayeredTree, _ ignore: IgnoreRules?) throws -> [String] {
        var paths: [[String]] = [[]]
        for part in source.split(separator: "/") where part != "." {
            guard part != ".." else { continue }
            var next: [[String]] = []
            let isPattern = part.contains { "*?[\\".contains($0) }
            for path in paths {
                if !isPattern {
                    if try tree.find((path + [String(part)]).joined(separator: "/"), following: false) != nil {
                        next.append(path + [String(part)])
                    }
                    continue
                }
                guard let here = try tree.find(path.joined(separator: "/")), here.status.isDirectory else { continue }
                next += try tree.list(here.parts).filter { Glob.matches(Array(part.utf8), Array($0.utf8)) }.map { path + [$0] }
            }
            paths = next
        }
        return paths.filter { $0.isEmpty || ignore?.ignores($0) != true }.map { $0.joined(separator: "/") }
    }

    private func isArchive(_ file: String) throws -> Bool {
        guard let stream = try? Compression.unpack(FileSource(try FileSystem.open(file, [.readOnly, .noFollow]))) else { return false }
        return (try? TarReader(stream).next()) != nil
    }

    mutating func workingDirectory(_ instruction: Instruction, _ words: Words, _ state: inout StageState, _ progress: BuildProgress.Step)
        async throws
    {
        let path = state.absolute(try words.expand(instruction.text))
        state.config["WorkingDir"] = .string(path)
        let rootfs = LayeredTree(layers: try await directories(state))
        var plan = CopyPlan(line: instruction.line, owner: nil, mode: nil, ignore: nil)
        let key = ContentDigest(of: Array("\(state.key)\0WORKDIR\0\(path)".utf8))
        let there = try rootfs.find(path)
        if path == "/" || there?.status.isDirectory == true {
            try await layer(key, instruction.display, &state, progress) { BuildCache.Entry(layer: nil, diff: nil, created: now) }
            return
        }
        _ = try destination(path + "/", state, rootfs, &plan)
        let finished = plan
        let content = builder.images.content
        try await layer(key, instruction.display, &state, progress) {
            let recorder = try LayerRecorder(content)
            try finished.write(to: recorder)
            return try recorder.finish(created: now)
        }
    }
}

/// The users and groups of an image, by its own files.
struct Accounts {
    private let tree: LayeredTree
    init(_ tree: LayeredTree) { self.tree = tree }

    /// `user`, `user:group`, by name or number; a user alone takes the group of the same number.
    func owner(_ text: String, _ line: Int) throws -> (user: UInt32, group: UInt32) {
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        guard let first = parts.first else { throw BuildError(line, "invalid user: \(text)") }
        let user = try id(first, in: "/etc/passwd", line)
        return (user, parts.count > 1 ? try id(parts[1], in: "/etc/group", line) : user)
    }

    private func id(_ name: String, in file: String, _ line: Int) throws -> UInt32 {
        if let number = UInt32(name) { return number }
        if let found = try tree.find(file) {
            for row in String(decoding: try FileSystem.readFile(found.file, limit: 4 << 20), as: UTF8.self).split(separator: "\n") {
                let fields = row.split(separator: ":", omittingEmptySubsequences: false)
                if fields.count > 2, fields[0] == name, let number = UInt32(fields[2]) { return number }
            }
        }
        throw BuildError(
            line, "unable to convert uid/gid chown string to host mapping: can't find uid for user \(name): no such user: \(name)")
    }
}
