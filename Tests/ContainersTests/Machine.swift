import Core
import Glibc
import Linux
import Logging
import Testing

@testable import Containers

/// A runtime of its own in a temporary directory, with the host's programs as image; everything goes when the body ends.
final class Machine: Sendable {
    let directory: String
    let runtime: ContainerRuntime
    let name: String

    /// Tests of this module need the kernel's consent.
    static let isPossible = geteuid() == 0

    static func program() throws -> InitProgram {
        if let other = getenv("JANGADA_INIT") { return try InitProgram(path: String(cString: other)) }
        return try InitProgram(path: "\(try toolDirectory())/sandbox-probe")
    }

    /// Where the build put its programs: beside this test.
    static func toolDirectory() throws -> String { "/" + (try ownPath()).split(separator: "/").dropLast().joined(separator: "/") }

    private static func ownPath() throws -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, 4095)
        try #require(count > 0)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private init(_ cgroups: CgroupHierarchy?) throws {
        name = "jangada-test-\(Identifier.suffix(8))"
        directory = "/var/tmp/\(name)"
        try Files.makeDirectories("\(directory)/image")
        for link in ["bin", "sbin", "lib", "lib64"] where !Files.isDirectory("/\(link)") {
            symlink("usr/\(link)", "\(directory)/image/\(link)")
        }
        for path in ["usr", "etc", "tmp", "proc", "sys", "dev"] { try Files.makeDirectories("\(directory)/image/\(path)") }
        chmod("\(directory)/image/tmp", 0o1777)
        try Files.replace(
            "\(directory)/image/etc/passwd", Array("root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n".utf8), mode: 0o644)
        runtime = try ContainerRuntime(
            stateDirectory: "\(directory)/state", runtimeDirectory: "\(directory)/run", program: try Machine.program(), cgroups: cgroups)
    }

    static func with(cgroups: CgroupHierarchy? = nil, _ body: (Machine) async throws -> Void) async throws {
        let machine = try Machine(cgroups)
        do {
            try await body(machine)
        } catch {
            try await machine.close()
            throw error
        }
        try await machine.close()
    }

    private func close() async throws {
        try await runtime.destroyAll()
        try await runtime.cgroups.group(name).destroy()
        try Files.removeTree(directory)
    }

    func sandboxSpec(_ id: String = "box") -> SandboxSpec { SandboxSpec(id: id, cgroup: "\(name)/\(id)") }

    func sandbox(_ id: String = "box") async throws -> Sandbox { try await runtime.createSandbox(sandboxSpec(id)) }

    /// A shell in the host's /usr, read-only, with its output in a log.
    func shell(_ script: String, id: String = "main") throws -> ContainerSpec { spec(["/bin/sh", "-c", script], id: id) }

    func spec(_ arguments: [String], id: String = "main") -> ContainerSpec {
        let filter = try? SeccompFilter.runtimeDefault(capabilities: CapabilitySets.standard.bounding)
        let process = ProcessSpec(arguments: arguments, seccomp: filter)
        var spec = ContainerSpec(id: id, root: RootFilesystem(layers: ["\(directory)/image"]), process: process)
        spec.mounts.append(ContainerMount(target: "/usr", .bind(source: "/usr"), readOnly: true))
        for link in ["bin", "sbin", "lib", "lib64"] where Files.isDirectory("/\(link)") {
            spec.mounts.append(ContainerMount(target: "/\(link)", .bind(source: "/\(link)"), readOnly: true))
        }
        spec.log = ContainerLog(path: log(id))
        return spec
    }

    func log(_ id: String = "main") -> String { "\(directory)/\(id).log" }

    /// Runs it to its end; its exit and its log's texts, without times.
    func run(_ spec: ContainerSpec, in sandbox: Sandbox) async throws -> (exit: ContainerExit, lines: [String]) {
        let container = try sandbox.create(spec)
        try await container.start()
        let exit = try await container.wait()
        return (exit, try lines(spec.id))
    }

    /// `stdout F text`
    func lines(_ id: String = "main") throws -> [String] {
        try Files.text(log(id)).split(separator: "\n").map { $0.split(separator: " ", maxSplits: 1).last.map(String.init) ?? "" }
    }
}
