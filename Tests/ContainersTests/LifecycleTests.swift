import Core
import Glibc
import Linux
import Testing

@testable import Containers

@Suite(.enabled(if: Machine.isPossible, "needs root"), .serialized)
struct LifecycleTests {
    @Test func exitCodesAndLogsArrive() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            let (exit, lines) = try await machine.run(try machine.shell("echo out; echo err >&2; printf partial; exit 3"), in: sandbox)
            #expect(exit.code == 3 && exit.signal == 0 && exit.witnessed)
            #expect(exit.finishedAt >= exit.startedAt)
            #expect(lines.sorted() == ["stderr F err", "stdout F out", "stdout P partial"])
            let first = try Files.text(machine.log()).split(separator: " ").first.map(String.init) ?? ""
            #expect(first.utf8.count == 30 && Timestamp(rfc3339: first) != nil)
        }
    }

    @Test func longLinesAreCutIntoMarkedPieces() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            let (_, lines) = try await machine.run(try machine.shell("head -c 40000 /dev/zero | tr '\\0' x; echo; echo end"), in: sandbox)
            #expect(lines.map { String($0.prefix(8)) } == ["stdout P", "stdout P", "stdout F", "stdout F"])
            #expect(lines.map { $0.utf8.count - 9 } == [16384, 16384, 7232, 3])
        }
    }

    @Test func logsRotateBySizeAndKeepTheNewest() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("for r in 1 2 3 4; do head -c 20000 /dev/zero | tr '\\0' x; echo; sleep 1.1; done; echo last")
            spec.log = ContainerLog(path: machine.log(), rotateAt: 15000, files: 3)
            let container = try sandbox.create(spec)
            try await container.start()
            _ = try await container.wait()
            let files = try Files.list(machine.directory).filter { $0.hasPrefix("main.log") }
            #expect(files.count == 3)
            #expect(try machine.lines().last == "stdout F last")
        }
    }

    @Test func aRenamedLogIsReopenedOnRequest() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            let container = try sandbox.create(try machine.shell("echo one; read x; echo two"))
            let spec = try machine.shell("echo one; read x; echo two", id: "reader")
            var reader = spec
            reader.stdin = true
            let waiting = try sandbox.create(reader)
            try await waiting.start()
            while try Files.text(machine.log("reader")).isEmpty { try await Task.sleep(for: .milliseconds(5)) }
            #expect(rename(machine.log("reader"), machine.log("old")) == 0)
            try await waiting.reopenLog()
            let client = try await waiting.attach(stdin: true)
            try await client.stdin?.write(Array("go\n".utf8))
            _ = try await waiting.wait()
            #expect(try machine.lines("old") == ["stdout F one"])
            #expect(try machine.lines("reader") == ["stdout F two"])
            #expect(container.state == .created)
        }
    }

    @Test func signalsEndContainersAndGraceIsKept() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            let polite = try sandbox.create(try machine.shell("trap 'exit 7' TERM; while :; do sleep 0.05; done", id: "polite"))
            try await polite.start()
            try await Task.sleep(for: .milliseconds(100))
            #expect(try await polite.stop(grace: .seconds(5))?.code == 7)
            let deaf = try sandbox.create(try machine.shell("trap '' TERM; while :; do sleep 0.05; done", id: "deaf"))
            try await deaf.start()
            let before = ContinuousClock.now
            let exit = try await deaf.stop(grace: .milliseconds(200))
            #expect(exit?.code == 137 && exit?.signal == SIGKILL)
            #expect(ContinuousClock.now - before > .milliseconds(190))
        }
    }

    @Test(arguments: [
        (["nothing-here"], "exec: \"nothing-here\": executable file not found in $PATH"),
        (["/no/such"], "exec: \"/no/such\": stat /no/such: no such file or directory"),
        (["/etc/passwd"], "exec: \"/etc/passwd\": permission denied"), (["/etc"], "exec: \"/etc\": is a directory"),
    ])
    func badCommandsAreNamedInTheUsualWords(arguments: [String], words: String) async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            let container = try sandbox.create(machine.spec(arguments))
            let failure = await #expect(throws: ContainerFailure.self) { try await container.start() }
            #expect(failure?.message == words && failure?.isBadCommand == true)
            #expect(container.state == .created)
        }
    }

    @Test func aMissingMountSourceFailsTheStart() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("true")
            spec.mounts.append(ContainerMount(target: "/data", .bind(source: "/no/such/volume")))
            let container = try sandbox.create(spec)
            let failure = await #expect(throws: ContainerFailure.self) { try await container.start() }
            #expect(failure?.message == "error mounting \"/no/such/volume\" to rootfs at \"/data\": no such file or directory")
        }
    }

    /// Of programs that end at once, the news of the end may overtake the reply to the start.
    @Test func everyStartIsToldAndThenItsExit() async throws {
        try await Machine.with { machine in
            let events = machine.runtime.subscribe()
            let sandbox = try await machine.sandbox()
            var expected: [ContainerEvent] = []
            for index in 0..<20 {
                let (exit, _) = try await machine.run(try machine.shell("exit 4", id: "c\(index)"), in: sandbox)
                expected += [.started(sandbox: "box", container: "c\(index)"), .exited(sandbox: "box", container: "c\(index)", exit)]
            }
            var seen: [ContainerEvent] = []
            for await event in events {
                seen.append(event)
                if seen.count == expected.count { break }
            }
            #expect(seen == expected)
        }
    }

    @Test func nothingIsLeftBehind() async throws {
        var name = ""
        try await Machine.with { machine in
            name = machine.name
            let sandbox = try await machine.sandbox()
            for index in 0..<3 {
                let container = try sandbox.create(try machine.shell("sleep 100 & sleep 100", id: "c\(index)"))
                try await container.start()
                let session = try await container.exec(ExecSpec(arguments: ["true"]))
                _ = try await session.wait()
            }
            #expect(!(try Files.text("/proc/self/mountinfo").contains(machine.name)))
            #expect(sandbox.cgroup.processes().count >= 7)
        }
        #expect(!(try CgroupHierarchy.detect().group(name).exists))
        #expect(!Files.exists("/var/tmp/\(name)"))
        // Other tests have descriptors of their own in this process: those that lead to what was this machine's count.
        let open = try Files.list("/proc/self/fd").compactMap { try? FileSystem.readLink("/proc/self/fd/\($0)") }
        #expect(open.filter { $0.contains(name) } == [])
    }

    @Test func removalOfOneContainerLeavesTheOthers() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            let one = try sandbox.create(try machine.shell("sleep 100", id: "one"))
            let two = try sandbox.create(try machine.shell("sleep 100", id: "two"))
            try await one.start()
            try await two.start()
            try await one.remove()
            #expect(!one.cgroup.exists && !Files.exists(one.upperDirectory))
            #expect(sandbox.containers.map(\.id) == ["two"])
            guard case .running = two.state else {
                Issue.record("the other one ended")
                return
            }
            let again = try sandbox.create(try machine.shell("exit 5", id: "one"))
            try await again.start()
            #expect(try await again.wait().code == 5)
        }
    }

    @Test func manyStartAtOnce() async throws {
        try await Machine.with { machine in
            let codes = try await withThrowingTaskGroup(of: [Int32].self) { group in
                for box in 0..<8 {
                    group.addTask {
                        let sandbox = try await machine.sandbox("box\(box)")
                        return try await withThrowingTaskGroup(of: Int32.self) { group in
                            for index in 0..<6 {
                                let spec = try machine.shell("exit \(index + 1)", id: "c\(box)-\(index)")
                                group.addTask {
                                    let container = try sandbox.create(spec)
                                    try await container.start()
                                    return try await container.wait().code
                                }
                            }
                            return try await group.reduce(into: []) { $0.append($1) }
                        }
                    }
                }
                return try await group.reduce(into: [Int32]()) { $0 += $1 }
            }
            let expected = (0..<48).map { (index: Int) -> Int32 in Int32(index / 8 + 1) }
            #expect(codes.sorted() == expected)
        }
    }

    @Test func idsThatArePathsAreRefused() async throws {
        try await Machine.with { machine in
            await #expect(throws: SystemFailure.self) {
                _ = try await machine.runtime.createSandbox(SandboxSpec(id: "../x", cgroup: "\(machine.name)/x"))
            }
            for group in ["", "/", ".."] {
                await #expect(throws: SystemFailure.self) { _ = try await machine.runtime.createSandbox(SandboxSpec(id: "rootless", cgroup: group)) }
            }
            await #expect(throws: SystemFailure.self) { try await machine.runtime.cgroups.group("/").destroy() }
            let sandbox = try await machine.sandbox()
            for id in ["", ".", "a/b", "..", "init", String(repeating: "x", count: 200)] {
                #expect(throws: SystemFailure.self) { _ = try sandbox.create(machine.spec(["true"], id: id)) }
            }
        }
    }
}
