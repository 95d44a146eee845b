import Core
import Glibc
import Linux
import Testing

@testable import Containers

@Suite(.enabled(if: Machine.isPossible, "needs root"), .serialized)
struct ExecTests {
    private func all(_ stream: AsyncDescriptor?) async throws -> String {
        var out: [UInt8] = []
        while let bytes = try await stream?.read() { out += bytes }
        return String(decoding: out, as: UTF8.self)
    }

    private func withSleeper(_ change: (inout ContainerSpec) -> Void = { _ in }, _ body: (Machine, Container) async throws -> Void)
        async throws
    {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("exec sleep 1000")
            change(&spec)
            let container = try sandbox.create(spec)
            try await container.start()
            try await body(machine, container)
        }
    }

    @Test func streamsAndExitCodeComeBack() async throws {
        try await withSleeper { _, container in
            var spec = ExecSpec(arguments: ["/bin/sh", "-c", "cat; echo oops >&2; exit 42"])
            spec.stdin = true
            let session = try await container.exec(spec)
            try await session.stdin?.write(Array("hello".utf8))
            session.stdin?.close()
            #expect(try await all(session.stdout) == "hello")
            #expect(try await all(session.stderr) == "oops\n")
            #expect(try await session.wait() == 42)
        }
    }

    @Test func itRunsInTheContainersNamespacesAndGroups() async throws {
        try await withSleeper({ $0.process.environment.append("FROM=container") }) { _, container in
            let session = try await container.exec(
                ExecSpec(arguments: [
                    "/bin/sh", "-c",
                    "cat /proc/1/cmdline | tr '\\0' ' '; echo $FROM; for n in mnt pid net ipc uts cgroup; do [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo not in $n; done",
                ]))
            #expect(try await all(session.stdout) == "sleep 1000 container\n")
            let sleeper = try await container.exec(ExecSpec(arguments: ["sleep", "100"]))
            #expect(container.cgroup.processes().contains(sleeper.pid))
            try await sleeper.signal(SIGTERM)
            #expect(try await sleeper.wait() == 143)
        }
    }

    @Test func aMissingCommandIsAnError() async throws {
        try await withSleeper { _, container in
            let failure = await #expect(throws: ContainerFailure.self) { _ = try await container.exec(ExecSpec(arguments: ["nope"])) }
            #expect(failure?.message == "exec: \"nope\": executable file not found in $PATH")
        }
    }

    @Test func aTerminalIsATerminalAndCanBeResized() async throws {
        try await withSleeper { _, container in
            var spec = ExecSpec(arguments: ["/bin/sh", "-c", "tty; stty size; read x; stty size; echo got $x"])
            spec.terminal = true
            spec.rows = 33
            spec.columns = 99
            let session = try await container.exec(spec)
            var text = ""
            while !text.contains("33 99") { text += String(decoding: try #require(try await session.terminal?.read()), as: UTF8.self) }
            try session.resize(rows: 40, columns: 120)
            try await session.terminal?.write(Array("yes\n".utf8))
            text += try await all(session.terminal)
            #expect(text.contains("/dev/pts/0") && text.contains("40 120") && text.contains("got yes"))
            #expect(try await session.wait() == 0)
        }
    }

    @Test func anotherUserCanBeAsked() async throws {
        try await withSleeper { _, container in
            var spec = ExecSpec(arguments: ["id", "-u"])
            spec.user = ContainerUser(uid: 1000, gid: 1000)
            let session = try await container.exec(spec)
            #expect(try await all(session.stdout) == "1000\n")
        }
    }

    @Test func attachSeesOutputAndFeedsStdinOnce() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("while read line; do echo got $line; done; echo done")
            spec.stdin = true
            spec.stdinOnce = true
            let container = try sandbox.create(spec)
            try await container.start()
            let client = try await container.attach(stdin: true)
            try await client.stdin?.write(Array("a\nb\n".utf8))
            client.stdin?.close()
            #expect(try await all(client.stdout) == "got a\ngot b\ndone\n")
            #expect(try await container.wait().code == 0)
            #expect(try machine.lines() == ["stdout F got a", "stdout F got b", "stdout F done"])
        }
    }

    @Test func aTerminalContainerLogsAndAttaches() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("read x; echo hello $x; tty")
            spec.process.terminal = true
            spec.stdin = true
            let container = try sandbox.create(spec)
            try await container.start()
            let client = try await container.attach(stdin: true)
            try await container.resize(rows: 24, columns: 80)
            try await client.stdin?.write(Array("you\n".utf8))
            let text = try await all(client.stdout)
            #expect(text.contains("hello you\r\n") && text.contains("/dev/pts/0"))
            #expect(try await container.wait().code == 0)
            #expect(try Files.text(machine.log()).contains("stdout F hello you\r\n"))
        }
    }

    @Test func aClientThatDoesNotReadLosesItsPlaceAndTheLogIsWhole() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("read go; seq 1 400000; echo end")
            spec.stdin = true
            spec.log = ContainerLog(path: machine.log(), rotateAt: 0)
            let container = try sandbox.create(spec)
            try await container.start()
            let client = try await container.attach(stdin: true)
            try await client.stdin?.write(Array("go\n".utf8))
            #expect(try await container.wait().code == 0)
            #expect(try machine.lines().count == 400_001)
            #expect(try await all(client.stdout).utf8.count < 2_000_000)
        }
    }

    @Test func aTerminalWaitsForItsClientButNotForever() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("read go; seq 1 400000; echo end")
            spec.stdin = true
            spec.process.terminal = true
            spec.log = ContainerLog(path: machine.log(), rotateAt: 0)
            let container = try sandbox.create(spec)
            try await container.start()
            let reader = try await container.attach(stdin: true)
            let stuck = try await container.attach(stdin: false)
            try await reader.stdin?.write(Array("go\n".utf8))
            let text = try await all(reader.stdout)
            #expect(text.contains("\r\n400000\r\nend\r\n"))
            #expect(try await container.wait().code == 0)
            #expect(try await all(stuck.stdout).utf8.count < 2_500_000)
            #expect(try machine.lines().suffix(1) == ["stdout F end\r"] || machine.lines().last?.contains("end") == true)
        }
    }

    @Test func aContainerWithoutAPlaceForItsLogDoesNotStart() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("true")
            spec.log = ContainerLog(path: "\(machine.directory)/missing/0.log")
            let container = try sandbox.create(spec)
            let failure = await #expect(throws: SystemFailure.self) { try await container.start() }
            #expect(failure?.errno == ENOENT)
        }
    }
}
