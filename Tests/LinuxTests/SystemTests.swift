import Core
import Glibc
import Testing

@testable import Linux

struct SystemTests {
    private func temporary(_ body: (String) async throws -> Void) async throws {
        let path = "/tmp/jangada-linux-\(Identifier.suffix(8))"
        try Files.makeDirectories(path)
        do { try await body(path) } catch {
            try Files.removeTree(path)
            throw error
        }
        try Files.removeTree(path)
        #expect(!Files.exists(path))
    }

    @Test func spawnedProgramsReportTheirExit() async throws {
        let (reading, writing) = try Descriptor.pipe()
        var spawn = Spawn(.path("/bin/sh"), arguments: ["sh", "-c", "echo $A; ls /proc/self/fd | wc -l; exit 5"])
        spawn.environment = ["A=b", "PATH=/usr/bin:/bin"]
        spawn.descriptors = [nil, writing, nil]
        let child = try spawn.start()
        writing.close()
        #expect(String(decoding: try reading.readAll(), as: UTF8.self) == "b\n4\n")
        let watcher = try AsyncDescriptor(Descriptor(dup(child.pidfd.raw)))
        _ = try? await watcher.read(upTo: 1)
        var code: Int32?
        for _ in 0..<100_000 {
            code = try child.reap()
            if code != nil { break }
            usleep(1000)
        }
        #expect(code == 5)
    }

    @Test func aProgramThatIsNotThereIsAnErrorOfTheCall() {
        let failure = #expect(throws: SystemFailure.self) { _ = try Spawn(.path("/no/such/program"), arguments: ["x"]).start() }
        #expect(failure?.errno == ENOENT && failure?.hint == "exec")
    }

    @Test func trees() async throws {
        try await temporary { path in
            try Files.makeDirectories("\(path)/a/b/c")
            try Files.replace("\(path)/a/b/file", Array("x".utf8))
            symlink("/etc", "\(path)/a/link")
            #expect(try Files.list("\(path)/a") == ["b", "link"])
            try Files.removeTree("\(path)/a")
            #expect(Files.exists("/etc/passwd"))
            #expect(try Files.list(path).isEmpty)
            try Files.removeTree("\(path)/a")
        }
    }

    @Test func lookupsStayBeneath() async throws {
        try await temporary { path in
            try Files.makeDirectories("\(path)/root/etc")
            try Files.replace("\(path)/root/etc/name", Array("inside".utf8))
            symlink("/etc/name", "\(path)/root/link")
            symlink("../../..", "\(path)/root/up")
            let root = try Descriptor.open("\(path)/root", O_RDONLY | O_DIRECTORY)
            #expect(try Files.openInRoot(root, "link", O_RDONLY).readAll() == Array("inside".utf8))
            #expect(throws: SystemFailure.self) { _ = try Files.openBeneath(root, "link", O_RDONLY) }
            #expect(throws: SystemFailure.self) { _ = try Files.openBeneath(root, "up", O_RDONLY) }
            #expect(throws: SystemFailure.self) { _ = try Files.openInRoot(root, "up/etc/passwd", O_RDONLY) }
        }
    }

    @Test func messagesCarryDescriptors() async throws {
        try await temporary { path in
            let deep = "\(path)/\(String(repeating: "d", count: 150))"
            try Files.makeDirectories(deep)
            let listener = try UnixSocket.listen(directory: deep, name: "sock")
            let client = try UnixSocket.connect(directory: deep, name: "sock")
            let server = Descriptor(accept(listener.raw, nil, nil))
            let file = try Descriptor.memory("note", Array("hello".utf8))
            try UnixSocket.send(client, [1, 2, 3], descriptors: [file.raw])
            let message = try #require(try UnixSocket.receive(server, limit: 100))
            #expect(message.bytes == [1, 2, 3])
            lseek(file.raw, 0, SEEK_SET)
            #expect(try message.descriptors.first?.readAll() == Array("hello".utf8))
            #expect(try UnixSocket.receive(client, limit: 10) == nil)
        }
    }

    @Test func readersWaitWithoutAThreadAndCanBeCancelled() async throws {
        let (reading, writing) = try Descriptor.pipe()
        let reader = try AsyncDescriptor(reading)
        let writer = try AsyncDescriptor(writing)
        async let total = {
            var count = 0
            while let bytes = try await reader.read() { count += bytes.count }
            return count
        }()
        try await writer.write([UInt8](repeating: 7, count: 1 << 20))
        writer.close()
        #expect(try await total == 1 << 20)

        let (idle, _keep) = try Descriptor.pipe()
        let waiting = try AsyncDescriptor(idle)
        let task = Task { try await waiting.read() }
        try await Task.sleep(for: .milliseconds(20))
        task.cancel()
        await #expect(throws: CancellationError.self) { _ = try await task.value }
        _keep.close()
    }

    @Test func changesAreNoticed() async throws {
        try await temporary { path in
            let watch = try FileWatch()
            try watch.add(path, [.created, .movedTo])
            try Files.replace("\(path)/x", [])
            #expect(try await watch.next())
            watch.close()
            #expect(try await !watch.next())
        }
    }

    @Test func mountTablesAreRead() {
        let text = """
            22 27 0:21 / /proc rw,relatime - proc proc rw
            30 27 8:1 /sub /mnt/a\\040b rw shared:5 master:1 - ext4 /dev/sda1 rw
            """
        let entries = Mounts.parse(text)
        #expect(entries.map(\.target) == ["/proc", "/mnt/a b"] && entries.map(\.isShared) == [false, true] && entries[1].root == "/sub")
    }

    @Test(.enabled(if: geteuid() == 0, "needs root")) func mountsComeAndGo() async throws {
        try await temporary { path in
            try Files.makeDirectories("\(path)/a")
            try Files.makeDirectories("\(path)/b")
            try Mounts.tmpfs(at: "\(path)/a", options: "size=64k")
            try Files.replace("\(path)/a/file", Array("x".utf8))
            try Mounts.bind("\(path)/a", to: "\(path)/b", readOnly: true)
            #expect(try Files.text("\(path)/b/file") == "x")
            #expect(throws: SystemFailure.self) { try Files.replace("\(path)/b/other", []) }
            #expect(try FileSystemUsage(path: "\(path)/a").capacity == 65536)
            #expect(throws: SystemFailure.self) { try Files.removeTree("\(path)/b") }
            for entry in try Mounts.below(path) { try Mounts.unmount(entry.target) }
            #expect(try Mounts.below(path).isEmpty)
        }
    }
}
