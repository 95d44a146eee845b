import Core
import Glibc
import Synchronization

@testable import Store

/// A folder of its own for one test, gone when the test is.
final class Folder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/store-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemFailure("mkdtemp") }
        path = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { Folder.delete(path) }

    private static func delete(_ path: String) {
        if unlink(path) == 0 { return }
        if let folder = opendir(path) {
            while let entry = readdir(folder) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != ".", name != ".." { delete("\(path)/\(name)") }
            }
            closedir(folder)
        }
        rmdir(path)
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }
    var database: String { file("state/jangada.db") }
}

func draft(_ text: String = "", header: [UInt8] = []) -> Draft {
    Draft(body: Array("{\"rv\":\"\",\"text\":\"\(text)\"}".utf8), revisionOffsets: [7], header: header)
}

func pod(_ name: String, in namespace: String = "default") -> Key { Key("pods", namespace: namespace, name: name) }

extension Record {
    var text: String { String(decoding: body, as: UTF8.self) }
}

extension Store {
    @discardableResult
    func create(_ key: Key, _ text: String = "") async throws -> Record { try await commit(.create(key, draft(text))) }
    @discardableResult
    func update(_ key: Key, _ text: String = "", expected: Int64? = nil) async throws -> Record {
        try await commit(.update(key, draft(text), expected: expected))
    }
    @discardableResult
    func delete(_ key: Key, expected: Int64? = nil) async throws -> Record {
        try await commit(.delete(key, draft("gone"), expected: expected))
    }
}

/// Keeps what it is given.
final class Recorder: WatchSink {
    struct Seen: Sendable {
        var batches: [WatchBatch] = []
        var end: WatchEnd?
    }

    let seen = Monitor(Seen())

    func deliver(_ batch: WatchBatch) { seen.change { $0.batches.append(batch) } }
    func ended(_ reason: WatchEnd) { seen.change { $0.end = reason } }

    var events: [WatchEvent] { seen.withLock { $0.batches.flatMap(\.events) } }
    var revisions: [Int64] { events.map(\.revision) }
    var end: WatchEnd? { seen.withLock { $0.end } }
    var summary: [String] { events.map { "\($0.kind) \($0.record.key.name) \($0.revision)" } }
}

/// Time that stands still until told.
final class ManualTime: TimeSource {
    private let seconds = Atomic<Int64>(1_000)
    func now() -> Timestamp { Timestamp(seconds: seconds.load(ordering: .relaxed)) }
    func advance(_ by: Int64) { seconds.add(by, ordering: .relaxed) }
    func sleep(for duration: Duration) async throws {}
}

/// Runs the driver, which is built beside the tests.
struct Driver {
    let pid: pid_t
    let output: Int32
    let input: Int32

    init(_ arguments: [String]) throws {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard count > 0 else { throw SystemFailure("readlink", "/proc/self/exe") }
        let own = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let program = String(own[..<(own.lastIndex(of: "/") ?? own.startIndex)]) + "/StoreDriver"
        var outPipe: [Int32] = [0, 0]
        var inPipe: [Int32] = [0, 0]
        guard pipe(&outPipe) == 0, pipe(&inPipe) == 0 else { throw SystemFailure("pipe") }
        for descriptor in outPipe + inPipe { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, inPipe[0], 0)
        posix_spawn_file_actions_adddup2(&actions, outPipe[1], 1)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        let status = posix_spawn(&pid, program, &actions, nil, &words, environ)
        close(outPipe[1])
        close(inPipe[0])
        guard status == 0 else {
            close(outPipe[0])
            close(inPipe[1])
            throw SystemFailure("posix_spawn", program, errno: status)
        }
        self.pid = pid
        output = outPipe[0]
        input = inPipe[1]
    }

    /// Reads until the process has closed its end, or until `enough`.
    func read(until enough: ([UInt8]) -> Bool = { _ in false }) -> String {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while !enough(all) {
            let count = Glibc.read(output, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            all += buffer[..<count]
        }
        return String(decoding: all, as: UTF8.self)
    }

    /// The signal that ended it, or 0.
    func wait() -> Int32 {
        close(input)
        close(output)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status & 0x7F
    }
}
