import Core
import OCI
import Tree

/// One build under way: its stages, in the order they are needed.
struct BuildRun {
    let builder: ImageBuilder
    let request: BuildRequest
    let dockerfile: Dockerfile
    let ignore: IgnoreRules
    let lease: ContentLease
    let output: BuildProgress
    let now: String
    private var done: [Int: StageState] = [:]
    private var globals: [String: String] = [:]

    init(
        builder: ImageBuilder, request: BuildRequest, dockerfile: Dockerfile, ignore: IgnoreRules, lease: ContentLease,
        output: BuildProgress, now: String
    ) {
        self.builder = builder
        self.request = request
        self.dockerfile = dockerfile
        self.ignore = ignore
        self.lease = lease
        self.output = output
        self.now = now
    }

    /// The stage that was asked for, the last by default; stages it does not need are not built.
    mutating func target() async throws -> StageState {
        try readGlobals()
        var wanted = dockerfile.stages.count - 1
        if let target = request.target {
            guard let found = stageIndex(target, before: dockerfile.stages.count) else {
                throw BuildError(0, "target stage \"\(target)\" could not be found")
            }
            wanted = found
        }
        return try await stage(wanted)
    }

    private var platformArguments: [String: String] {
        let platform = request.platform
        var out: [String: String] = [:]
        for prefix in ["TARGET", "BUILD"] {
            out["\(prefix)PLATFORM"] = platform.description
            out["\(prefix)OS"] = platform.os
            out["\(prefix)ARCH"] = platform.architecture
            out["\(prefix)VARIANT"] = platform.variant
        }
        return out
    }

    private mutating func readGlobals() throws {
        globals = platformArguments
        for instruction in dockerfile.globals {
            let words = Words(escape: dockerfile.escape, variables: globals, line: instruction.line)
            for word in try words.split(instruction.text) {
                let (name, value) = BuildRun.argument(word)
                globals[name] = request.arguments[name] ?? value ?? globals[name] ?? ""
            }
        }
    }

    private static func argument(_ word: String) -> (String, String?) {
        guard let equals = word.firstIndex(of: "=") else { return (word, nil) }
        return (String(word[..<equals]), String(word[word.index(after: equals)...]))
    }

    private func stageIndex(_ name: String, before limit: Int) -> Int? {
        if let index = dockerfile.stages[..<limit].lastIndex(where: { $0.name == name.lowercased() }) { return index }
        return Int(name).flatMap { (0..<limit).contains($0) ? $0 : nil }
    }

    private mutating func stage(_ index: Int) async throws -> StageState {
        if let state = done[index] { return state }
        let stage = dockerfile.stages[index]
        let words = Words(escape: dockerfile.escape, variables: globals, line: stage.line)
        let base = try words.expand(stage.base)
        guard !base.isEmpty else { throw BuildError(stage.line, "base name (\(stage.base)) should not be blank") }
        var state: StageState
        if let earlier = dockerfile.stages[..<index].lastIndex(where: { $0.name == base.lowercased() }) {
            state = try await self.stage(earlier)
            state.arguments = [:]
            state.ownCommand = false
        } else {
            state = try image(base, stage.line)
        }
        let instructions = try state.triggers.map { try Dockerfile.instruction($0, stage.line) } + stage.instructions
        state.triggers = []
        let name = stage.name ?? "stage-\(index)"
        let counted = instructions.filter { ["RUN", "COPY", "ADD", "WORKDIR"].contains($0.keyword) }.count + 1
        var number = 1
        output.step("[\(name) 1/\(counted)] FROM \(base)").done()
        for instruction in instructions {
            let makesLayer = ["RUN", "COPY", "ADD", "WORKDIR"].contains(instruction.keyword)
            if makesLayer { number += 1 }
            do { try await self.step(instruction, &state, "[\(name) \(number)/\(counted)]", makesLayer) } catch let error as ImageError {
                throw BuildError(instruction.line, "\(instruction.keyword): \(error)")
            } catch let error as SystemFailure { throw BuildError(instruction.line, "\(instruction.keyword): \(error)") }
        }
        done[index] = state
        return state
    }

    private func image(_ base: String, _ line: Int) throws -> StageState {
        if base == "scratch" { return .scratch(request.platform) }
        let reference: ImageReference
        do { reference = try ImageReference(parsing: base).withDefaultTag } catch {
            throw BuildError(line, "failed to parse stage name \"\(base)\": \(error)")
        }
        guard let record = builder.images[reference.description] else {
            throw BuildError(
                line, "\(base): failed to resolve source metadata for \(reference): \(reference): not found (pull or load it first)")
        }
        lease.add(record.target.digest)
        let (_, manifest) = try builder.images.manifest(of: record.target, platform: request.platform)
        for layer in manifest.layers { lease.add(layer.digest) }
        return StageState(image: manifest, try builder.images.config(of: manifest))
    }

    // MARK: - Steps

    private mutating func step(_ instruction: Instruction, _ state: inout StageState, _ label: String, _ makesLayer: Bool) async throws {
        let words = Words(escape: dockerfile.escape, variables: state.variables, line: instruction.line)
        if instruction.keyword == "ARG" { return try argument(instruction, words, &state) }
        if try state.apply(instruction, words) {
            let key = ContentDigest(of: Array("\(state.key)\0\(JSONWriter.write(state.config))\0\(instruction.display)".utf8))
            let entry = (request.usesCache ? builder.cache.find(key) : nil) ?? BuildCache.Entry(layer: nil, diff: nil, created: now)
            try builder.cache.keep(key, entry)
            state.key = key
            state.add(entry, instruction.display)
            return
        }
        let progress = output.step("\(label) \(instruction.display)")
        do {
            switch instruction.keyword {
            case "COPY", "ADD": try await copy(instruction, words, &state, progress)
            case "WORKDIR": try await workingDirectory(instruction, words, &state, progress)
            default: try await run(instruction, words, &state, progress)
            }
        } catch {
            progress.failed("\(error)")
            throw error
        }
    }

    private func argument(_ instruction: Instruction, _ words: Words, _ state: inout StageState) throws {
        for word in try words.split(instruction.text) {
            let (name, value) = BuildRun.argument(word)
            // Without a value of its own it takes the one from before the first FROM.
            if let known = request.arguments[name] ?? value ?? globals[name] { state.arguments[name] = known }
        }
    }

    /// Takes the step's layer from the cache, or makes it.
    func layer(
        _ key: ContentDigest, _ words: String, _ state: inout StageState, _ progress: BuildProgress.Step,
        _ make: () async throws -> BuildCache.Entry
    ) async throws {
        state.key = key
        if request.usesCache, let entry = builder.cache.find(key) {
            if let layer = entry.layer { lease.add(layer.digest) }
            state.add(entry, words)
            progress.cached()
            return
        }
        let entry = try await make()
        if let layer = entry.layer { lease.add(layer.digest) }
        try builder.cache.keep(key, entry)
        state.add(entry, words)
        progress.done()
    }

    /// The unpacked layers of a state, uppermost first.
    func directories(_ state: StageState) async throws -> [String] {
        let config = state.imageConfig(request.platform)
        let none = Descriptor(mediaType: MediaType.ociConfig, digest: ContentDigest(of: []), size: 0)
        return try await builder.layers.unpack(ImageManifest(config: none, layers: state.layers), config)
    }

    /// Where `COPY --from` reads: a stage before this one, by name or number, or an image.
    mutating func source(_ name: String, line: Int) async throws -> StageState {
        let current = dockerfile.stages.lastIndex { $0.line <= line } ?? 0
        if let index = stageIndex(name, before: current) { return try await stage(index) }
        return try image(name, line)
    }
}
