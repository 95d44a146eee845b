import Core
import OCI
import Tree

extension BuildRun {
    mutating func run(_ instruction: Instruction, _ words: Words, _ state: inout StageState, _ progress: BuildProgress.Step) async throws {
        if let unknown = instruction.flags.keys.first(where: { !["network", "mount", "security"].contains($0) }) {
            throw BuildError(instruction.line, "unknown flag: --\(unknown)")
        }
        if instruction.flag("mount") != nil { throw BuildError(instruction.line, "RUN --mount is not supported") }
        guard let sandbox = builder.sandbox else {
            throw BuildError(instruction.line, "RUN needs a container runtime, and none is at hand")
        }
        var input: [UInt8] = []
        var arguments = instruction.exec ?? state.shell + [instruction.text]
        if let document = instruction.heredocs.first {
            // `RUN <<EOF` is a script for the shell; `RUN cmd <<EOF` is the command's input.
            let command = instruction.text.split(separator: " ").filter { !$0.hasPrefix("<<") }.joined(separator: " ")
            input = Array(document.content.utf8)
            if command.isEmpty {
                arguments = state.shell + [document.content]
                input = []
            } else {
                arguments = state.shell + [command]
            }
        }
        let environment = state.variables
        let shown = arguments.joined(separator: " ")
        let key = ContentDigest(
            of: Array(
                "\(state.key)\0RUN\0\(arguments)\0\(input)\0\(environment.sorted { $0.key < $1.key })\0\(state.workingDirectory)\0\(state.config["User"].string ?? "")"
                    .utf8))
        let lower = try await directories(state)
        let network = instruction.flag("network") ?? "default"
        guard ["default", "none", "host"].contains(network) else {
            throw BuildError(instruction.line, "unsupported network mode \"\(network)\"")
        }
        let command = SandboxCommand(
            lower: lower, scratch: try builder.layers.scratch(), arguments: arguments,
            environment: environment.map { "\($0.key)=\($0.value)" }.sorted(),
            workingDirectory: state.workingDirectory, user: state.config["User"].string ?? "", input: input, network: network)
        defer { try? FileSystem.removeTree(command.scratch) }
        try FileSystem.makeDirectory(command.upper, mode: 0o755)
        let content = builder.images.content
        let threads = builder.threads
        let now = now
        try await layer(key, instruction.display, &state, progress) {
            let splitter = LineSplitter { progress.output($0) }
            let code: Int32
            do { code = try await sandbox.run(command) { splitter.feed($0) } } catch let error as CommandFailure {
                throw BuildError(instruction.line, "The command '\(shown)' could not be started: \(error.message)")
            }
            splitter.finish()
            guard code == 0 else {
                throw BuildError(instruction.line, "The command '\(shown)' returned a non-zero code: \(code)")
            }
            return try await threads.run {
                let recorder = try LayerRecorder(content)
                do {
                    try LayerPacker(recorder).pack(command.upper)
                    return try recorder.finish(created: now)
                } catch {
                    recorder.abandon()
                    throw error
                }
            }
        }
    }
}
