import Client
import Core
import Linux

/// Streams one run's log, over the renames of its rotation, and as long as it is written where it is followed.
struct LogReader: Sendable {
    let path: String
    let options: LogOptions
    let threads: BlockingThreads
    /// Whether the container may still write.
    let isLive: @Sendable () -> Bool
    /// Returns when it writes no more.
    var ended: @Sendable () async -> Void = {}

    /// Tells of every write, new file and rename beside the log.
    func watch() throws(SystemFailure) -> FileWatch {
        let watch = try FileWatch()
        try watch.add(FileSystem.parent(of: path), [.modified, .created, .movedTo])
        return watch
    }

    func stream() -> AsyncThrowingStream<[UInt8], any Error> {
        // One chunk ahead of a slow client, and no more.
        let source = LogSource(self)
        return AsyncThrowingStream { try await source.next() }
    }

    func openIfThere() -> Result<FileDescriptor?, SystemFailure> {
        do throws(SystemFailure) {
            guard FileSystem.exists(path) else { return .success(nil) }
            let file = try FileSystem.open(path)
            if let lines = options.tailLines { try file.seek(to: try LogTail.offset(file, lines: lines)) }
            return .success(file)
        } catch {
            return .failure(error)
        }
    }
}

/// The state of one stream of a log; asked for one chunk at a time.
private actor LogSource {
    private let reader: LogReader
    private var lines: LogLines?
    private var file: FileDescriptor?
    private var selection: LogSelection
    /// Begun before the first look, so that nothing comes between.
    private var changes: FileWatch?

    init(_ reader: LogReader) {
        self.reader = reader
        selection = LogSelection(reader.options)
    }

    func next() async throws -> [UInt8]? {
        while !selection.isFull {
            try Task.checkCancellation()
            if reader.options.follow, changes == nil { changes = try reader.watch() }
            if lines == nil, try await !begin() { return nil }
            // Asked before reading: what is written before the end is read after it.
            let live = reader.isLive()
            let chunk = try read()
            if let chunk {
                if !chunk.isEmpty { return chunk }
                continue
            }
            if try moveOn() { continue }
            guard reader.options.follow, live else { return nil }
            try await change()
        }
        return nil
    }

    /// Until something is written, or nothing will be.
    private func change() async throws {
        guard let changes else { return }
        let ended = reader.ended
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = try? await changes.next() }
            group.addTask { await ended() }
            await group.next()
            group.cancelAll()
        }
    }

    private func begin() async throws -> Bool {
        let reader = reader
        while true {
            switch await reader.threads.run({ reader.openIfThere() }) {
            case .success(let found?):
                file = found
                lines = LogLines(found)
                return true
            case .success(nil):
                // Not written yet, or never.
                guard reader.options.follow, reader.isLive() else { return false }
                try await change()
                try Task.checkCancellation()
            case .failure(let failure): throw failure
            }
        }
    }

    /// Nil at the end of what is there; empty where nothing of it was wanted.
    private func read() throws -> [UInt8]? {
        guard let found = try lines?.read(), !found.isEmpty else { return nil }
        var out: [UInt8] = []
        for text in found { if let line = CRILine(Substring(text)), let bytes = selection.render(line) { out += bytes } }
        return out
    }

    /// After a rotation the name stands for another file.
    private func moveOn() throws -> Bool {
        guard let file, let now = try FileSystem.status(reader.path), try file.status().inode != now.inode else { return false }
        let next = try FileSystem.open(reader.path)
        self.file = next
        lines = LogLines(next)
        return true
    }
}
