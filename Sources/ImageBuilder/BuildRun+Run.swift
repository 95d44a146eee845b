import Core
import OCI
import Tree

extension BuildRun {
    mutating func run(_ instruction: Instruction, _ words: Words, _ state: inout StageState, _ progress: BuildProgress.Step) async throws {
        guard let sandbox = builder.sandbox else {
            throw BuildError(instruction.line, "RUN needs a container runtime, and none is at hand")
        }
        let network = try BuildRun.network(instruction)
        let (arguments, input) = arguments(instruction, state)
        let shown = arguments.joined(separator: " ")
        let environment = state.variables
        let scratch = try builder.layers.scratch()
        defer { try? FileSystem.removeTree(scratch) }
        let mounts = try await mounts(instruction, words, state, scratch: scratch)
        let key = ContentDigest(
            of: Array(
                "\(state.key)\0RUN\0\(arguments)\0\(input)\0\(environment.sorted { $0.key < $1.key })\0\(state.workingDirectory)\0\(state.config["User"].string ?? "")\(mounts.key)"
                    .utf8))
        let command = SandboxCommand(
            lower: try await directories(state), scratch: scratch, arguments: arguments,
            environment: environment.map { "\($0.key)=\($0.value)" }.sorted() + mounts.environment,
            workingDirectory: state.workingDirectory, user: state.config["User"].string ?? "", input: input, network: network,
            mounts: mounts.mounts)
        try FileSystem.makeDirectory(command.upper, mode: 0o755)
        let content = builder.images.content
        let threads = builder.threads
        let now = now
        try await layer(key, instruction.display, &state, progress) {
            try await threads.run { try mounts.prepare() }
            let splitter = LineSplitter { progress.output($0) }
            let code: Int32
            do { code = try await sandbox.run(command) { splitter.feed($0) } } catch let error as CommandFailure {
                throw BuildError(instruction.line, "The command '\(shown)' could not be started: \(error.message)")
            }
            splitter.finish()
            guard code == 0 else {
                throw BuildError(instruction.line, "The command '\(shown)' returned a non-zero code: \(code)")
            }
            return try await threads.run { try BuildRun.pack(command.upper, content, now) }
        }
    }

    private static func network(_ instruction: Instruction) throws(BuildError) -> String {
        if let unknown = instruction.flags.keys.first(where: { !["network", "mount", "security"].contains($0) }) {
            throw BuildError(instruction.line, "unknown flag: --\(unknown)")
        }
        if let security = instruction.flag("security"), security != "sandbox" {
            throw BuildError(instruction.line, "security mode \"\(security)\" is not supported")
        }
        let network = instruction.flag("network") ?? "default"
        guard ["default", "none", "host"].contains(network) else {
            throw BuildError(instruction.line, "unsupported network mode \"\(network)\"")
        }
        return network
    }

    /// What runs, and what it reads.
    private func arguments(_ instruction: Instruction, _ state: StageState) -> ([String], input: [UInt8]) {
        guard let document = instruction.heredocs.first else { return (instruction.exec ?? state.shell + [instruction.text], []) }
        // `RUN <<EOF` is a script for the shell; `RUN cmd <<EOF` is the command's input.
        let command = instruction.text.split(separator: " ").filter { !$0.hasPrefix("<<") }.joined(separator: " ")
        return command.isEmpty ? (state.shell + [document.content], []) : (state.shell + [command], Array(document.content.utf8))
    }

    private static func pack(_ upper: String, _ content: ContentStore, _ now: String) throws -> BuildCache.Entry {
        let recorder = try LayerRecorder(content)
        do {
            try LayerPacker(recorder).pack(upper)
            return try recorder.finish(created: now)
        } catch {
            recorder.abandon()
            throw error
        }
    }
}
