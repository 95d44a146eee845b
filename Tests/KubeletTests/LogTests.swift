import Client
import Core
import Machinery
import Synchronization
import Testing
import Tree

@testable import Kubelet

@Suite struct LogTests {
    static let text = """
        2026-01-01T00:00:01.000000000Z stdout F one
        2026-01-01T00:00:02.000000000Z stderr F two
        2026-01-01T00:00:03.000000000Z stdout P thr
        2026-01-01T00:00:03.000000001Z stdout F ee
        2026-01-01T00:00:04.000000000Z stdout F 

        """

    private func read(_ edit: (inout LogOptions) -> Void) async throws -> String {
        let directory = "/tmp/jangada-log-\(Identifier.suffix(8))"
        try FileSystem.makeDirectories(directory)
        defer { try? FileSystem.removeTree(directory) }
        let path = "\(directory)/0.log"
        try FileSystem.writeAtomically(path, Array(Self.text.utf8))
        var options = LogOptions()
        edit(&options)
        var out: [UInt8] = []
        for try await chunk in LogReader(path: path, options: options, threads: .shared, isLive: { false }).stream() { out += chunk }
        return String(decoding: out, as: UTF8.self)
    }

    @Test func linesAreJoinedCutAndChosen() async throws {
        #expect(try await read { _ in } == "one\ntwo\nthree\n\n")
        #expect(try await read { $0.tailLines = 2 } == "ee\n\n")
        #expect(try await read { $0.tailLines = 0 } == "")
        #expect(try await read { $0.tailLines = 100 } == "one\ntwo\nthree\n\n")
        #expect(try await read { $0.limitBytes = 5 } == "one\nt")
        #expect(try await read { $0.stream = .stderr } == "two\n")
        #expect(try await read { $0.since = Timestamp(rfc3339: "2026-01-01T00:00:03Z") } == "three\n\n")
        #expect(try await read { $0.timestamps = true; $0.limitBytes = 35 } == "2026-01-01T00:00:01.000000000Z one\n")
    }

    @Test func aFollowerSeesWhatComesAndWhatComesAfterARotation() async throws {
        let directory = "/tmp/jangada-log-\(Identifier.suffix(8))"
        try FileSystem.makeDirectories(directory)
        defer { try? FileSystem.removeTree(directory) }
        let path = "\(directory)/0.log"
        func line(_ text: String) -> [UInt8] { Array("2026-01-01T00:00:01.000000000Z stdout F \(text)\n".utf8) }
        try FileSystem.open(path, [.writeOnly, .create]).write(line("a"))
        let live = Flag()
        var options = LogOptions()
        options.follow = true
        var stream = LogReader(path: path, options: options, threads: .shared, isLive: { live.isUp }, ended: { await live.lowered() }).stream().makeAsyncIterator()
        #expect(try await stream.next() == Array("a\n".utf8))
        try FileSystem.open(path, [.writeOnly, .append]).write(line("b"))
        #expect(try await stream.next() == Array("b\n".utf8))
        try FileSystem.rename(path, to: "\(path).1")
        try FileSystem.open(path, [.writeOnly, .create]).write(line("c"))
        #expect(try await stream.next() == Array("c\n".utf8))
        live.lower()
        #expect(try await stream.next() == nil)
    }

    @Test(arguments: [
        ("{state: {running: {}}, restartCount: 2}", false, 2, ""),
        ("{state: {running: {}}, restartCount: 2, lastState: {terminated: {containerID: x}}}", true, 1, ""),
        ("{state: {waiting: {reason: CrashLoopBackOff}}, restartCount: 2, lastState: {terminated: {containerID: x}}}", true, 2, ""),
        ("{state: {running: {}}}", true, 0, "previous terminated container \"app\" in pod \"web\" not found"),
        ("{state: {waiting: {reason: ContainerCreating}}}", false, 0, "container \"app\" in pod \"web\" is waiting to start: ContainerCreating"),
        ("{state: {waiting: {reason: ErrImagePull}}}", false, 0, "container \"app\" in pod \"web\" is waiting to start: image can't be pulled"),
        (
            "{state: {waiting: {reason: ImagePullBackOff}}}", false, 0,
            "container \"app\" in pod \"web\" is waiting to start: trying and failing to pull image"
        ),
    ])
    func theRunIsFoundOrTheReasonWhyNot(status: String, previous: Bool, attempt: Int, message: String) throws {
        var container = try Node(yaml: status)
        container["name"] = "app"
        let pod = PodView(["metadata": ["name": "web"]])
        let all: Node = ["containerStatuses": [container]]
        if message.isEmpty {
            #expect(try LogTarget.attempt(pod, status: all, container: "app", previous: previous) == attempt)
        } else {
            #expect { try LogTarget.attempt(pod, status: all, container: "app", previous: previous) } throws: { ($0 as? APIError)?.message == message }
        }
    }

    @Test func projectedFilesChangeInOneStep() throws {
        let path = "/tmp/jangada-volume-\(Identifier.suffix(8))"
        defer { try? FileSystem.removeTree(path) }
        let directory = AtomicDirectory(path: path)
        func file(_ text: String) -> ProjectedFile { ProjectedFile(bytes: Array(text.utf8), mode: 0o640) }
        #expect(try directory.write(["a": file("1"), "deep/b": file("2")]))
        #expect(try FileSystem.readFile("\(path)/deep/b") == [0x32])
        let before = try FileSystem.readLink("\(path)/..data")
        #expect(try !directory.write(["a": file("1"), "deep/b": file("2")]))
        #expect(try FileSystem.readLink("\(path)/..data") == before)
        #expect(try directory.write(["a": file("3")]))
        #expect(try FileSystem.readFile("\(path)/a") == [0x33])
        #expect(try FileSystem.list(path).count == 3)
        #expect(try FileSystem.status("\(path)/a", following: true)?.permissions == 0o640)
    }

    @Test func usersComeFromTheImagesOwnFiles() {
        let users = ImageUsers(passwd: "root:x:0:0::/:/bin/sh\napp:x:1000:100::/:\nbroken\n", group: "wheel:x:10:app,other\nnone:x:11:\n")
        #expect(users.uid("app") == 1000)
        #expect(users.primaryGroup(of: 1000) == 100)
        #expect(users.memberships(of: 1000) == [10])
        #expect(users.uid("nobody") == nil)
    }
}

final class Flag: Sendable {
    private let value = Mutex(true)
    private let (ends, end) = AsyncStream<Void>.makeStream()
    var isUp: Bool { value.withLock { $0 } }
    func lower() {
        value.withLock { $0 = false }
        end.finish()
    }
    func lowered() async { for await _ in ends {} }
}
