import Core
import Glibc
import Linux
import Testing

@testable import Containers

@Suite(.enabled(if: Machine.isPossible, "needs root"), .serialized)
struct AdoptionTests {
    /// Starts a daemon of its own process with one container, and kills it.
    private func killedDaemon(_ machine: Machine, script: String) async throws {
        var spawn = Spawn(
            .path("\(try Machine.toolDirectory())/sandbox-probe"),
            arguments: ["sandbox-probe", machine.directory, "\(machine.name)/box", "\(machine.directory)/image", machine.log(), script])
        let (reading, writing) = try Descriptor.pipe()
        spawn.descriptors = [nil, writing, try Descriptor.open("/dev/stderr", O_WRONLY)]
        let daemon = try spawn.start()
        writing.close()
        let output = try AsyncDescriptor(reading)
        var text = ""
        while !text.contains("running"), let bytes = try await output.read() { text += String(decoding: bytes, as: UTF8.self) }
        #expect(text == "running\n")
        try daemon.signal(SIGKILL)
        while try daemon.reap() == nil { try await Task.sleep(for: .milliseconds(2)) }
    }

    @Test func containersOutliveTheDaemonAndAreAdopted() async throws {
        try await Machine.with { machine in
            try await killedDaemon(machine, script: "i=0; while [ ! -e /stop ]; do echo $i; i=$((i+1)); sleep 0.02; done; exit 9")
            let before = try machine.lines().count
            try await Task.sleep(for: .milliseconds(200))
            #expect(try machine.lines().count > before)
            let sandbox = try #require(try await machine.runtime.adoptAll().first)
            let container = try #require(sandbox.container("main"))
            #expect(sandbox.isRunning && container.labels == ["pod": "demo"])
            guard case .running(let pid, _) = container.state else {
                Issue.record("not running: \(container.state)")
                return
            }
            #expect(kill(pid, 0) == 0)
            let session = try await container.exec(ExecSpec(arguments: ["touch", "/stop"]))
            #expect(try await session.wait() == 0)
            #expect(try await container.wait().code == 9)
        }
    }

    @Test func anExitWhileNoDaemonLivedIsNotLost() async throws {
        try await Machine.with { machine in
            try await killedDaemon(machine, script: "sleep 0.3; echo bye; exit 11")
            try await Task.sleep(for: .milliseconds(600))
            try await machine.runtime.adoptAll()
            let container = try #require(machine.runtime.sandbox("box")?.container("main"))
            #expect(container.state.exit?.code == 11)
            #expect(try machine.lines() == ["stdout F bye"])
        }
    }

    @Test func aKilledInitTakesItsContainersAndIsReported() async throws {
        try await Machine.with { machine in
            let events = machine.runtime.subscribe()
            let sandbox = try await machine.sandbox()
            let container = try sandbox.create(try machine.shell("exec sleep 1000"))
            try await container.start()
            kill(sandbox.pid, SIGKILL)
            let exit = try await container.wait()
            #expect(exit.code == 255 && !exit.witnessed)
            for await event in events where event == .lost(sandbox: "box") { break }
            #expect(!sandbox.isRunning && sandbox.pid == 0)
            for _ in 0..<100 where !container.cgroup.processes().isEmpty { try await Task.sleep(for: .milliseconds(5)) }
            #expect(container.cgroup.processes().isEmpty)
        }
    }
}
