package import Core
import Logging
package import Tree

/// Audit events as lines of JSON in a file that is set aside when it grows too large. Requests never wait for the disk: a thread of
/// its own writes whatever has gathered, in one go. `close` returns when the last line is written.
package final class AuditLogFile: AuditBackend {
    package struct Options: Sendable {
        /// "-" is standard output.
        package var path: String
        /// In mebibytes; 0 for upstream's 100.
        package var maxSize = 100
        /// Days after which files set aside are deleted; 0 for never.
        package var maxAge = 366
        /// How many files set aside are kept; 0 for all.
        package var maxBackups = 100
        package init(path: String) { self.path = path }
    }

    private struct Pending: Sendable {
        var lines: [UInt8] = []
        var lost = 0
        var isClosing = false
        var isDone = false
    }

    /// What may wait for the disk.
    private static let bound = 64 << 20

    private let options: Options
    private let time: any TimeSource
    private let pending = Monitor(Pending())
    private let log = Logger(label: "audit")
    package var name: String { "log" }

    /// Opens the file, so that what is wrong with it is known before the server is ready.
    package init(_ options: Options, time: any TimeSource = SystemTime()) throws(SystemFailure) {
        self.options = options
        self.time = time
        if options.path != "-" { try FileSystem.makeDirectories(FileSystem.parent(of: options.path), mode: 0o700) }
        let file = try AuditLogFile.open(options.path)
        try WorkerThread(name: "audit-log") { [self] in run(file) }.detach()
    }

    package func take(_ event: Node) {
        var line = JSONWriter.write(event)
        line.append(0x0A)
        let isFirstLoss = pending.changeForOne { [line] pending -> Bool in
            guard !pending.isDone, pending.lines.count + line.count <= AuditLogFile.bound else {
                pending.lost += 1
                return pending.lost == 1
            }
            pending.lines += line
            return false
        }
        if isFirstLoss { log.error("audit events are lost: the disk does not keep up", metadata: ["path": "\(options.path)"]) }
    }

    package func close() async {
        await BlockingThreads.shared.run { [pending] in
            pending.change { $0.isClosing = true }
            pending.wait { $0.isDone ? () : nil }
        }
    }

    /// Events that were not written.
    package var lost: Int { pending.withLock { $0.lost } }

    // MARK: - The thread

    private func run(_ first: Output) {
        var file = first
        while true {
            let (lines, isLast) = pending.wait { pending -> ([UInt8], Bool)? in
                guard !pending.lines.isEmpty || pending.isClosing else { return nil }
                defer { pending.lines = [] }
                return (pending.lines, pending.isClosing)
            }
            do throws(SystemFailure) { try write(lines[...], &file) } catch {
                pending.withLock { $0.lost += 1 }
                log.error("audit events could not be written", metadata: ["path": "\(options.path)", "error": "\(error)"])
            }
            if isLast, pending.change({ pending in
                pending.isDone = pending.lines.isEmpty
                return pending.isDone
            }) { return }
        }
    }

    private var limit: Int { (options.maxSize > 0 ? options.maxSize : 100) << 20 }

    /// Whole lines only: none is split between two files.
    private func write(_ lines: ArraySlice<UInt8>, _ file: inout Output) throws(SystemFailure) {
        var rest = lines
        while !rest.isEmpty {
            var end = rest.endIndex
            if !file.isStream, file.size + rest.count > limit {
                end = rest.startIndex
                var at = end
                while at < rest.endIndex {
                    guard let newline = rest[at...].firstIndex(of: 0x0A), file.size + newline + 1 - rest.startIndex <= limit else { break }
                    end = newline + 1
                    at = end
                }
                // A line that is larger than any file gets one of its own.
                if end == rest.startIndex, file.size == 0 { end = (rest.firstIndex(of: 0x0A) ?? rest.endIndex - 1) + 1 }
            }
            if end > rest.startIndex {
                try file.append(rest[rest.startIndex..<end])
                rest = rest[end...]
            }
            if !rest.isEmpty { try rotate(&file) }
        }
    }

    private func rotate(_ file: inout Output) throws(SystemFailure) {
        try FileSystem.rename(options.path, to: AuditLogBackups(options.path).name(time.now()))
        file = try AuditLogFile.open(options.path)
        AuditLogBackups(options.path).clean(maxAge: options.maxAge, maxBackups: options.maxBackups, now: time.now())
    }

    // MARK: - The file

    private struct Output: Sendable {
        let file: FileDescriptor
        var size: Int
        let isStream: Bool

        mutating func append(_ bytes: ArraySlice<UInt8>) throws(SystemFailure) {
            try file.write(Array(bytes))
            size += bytes.count
        }
    }

    private static func open(_ path: String) throws(SystemFailure) -> Output {
        guard path != "-" else { return Output(file: try FileSystem.open("/proc/self/fd/1", .writeOnly), size: 0, isStream: true) }
        let file = try FileSystem.open(path, [.writeOnly, .create, .append], mode: 0o600)
        return Output(file: file, size: Int(try file.status().size), isStream: false)
    }
}

/// The files beside an audit log that were set aside, named by the time when that was.
struct AuditLogBackups {
    private let directory: String
    private let prefix: String
    private let suffix: String

    init(_ path: String) {
        directory = FileSystem.parent(of: path)
        let file = path.split(separator: "/").last.map(String.init) ?? path
        let dot = file.lastIndex(of: ".").flatMap { $0 == file.startIndex ? nil : $0 } ?? file.endIndex
        prefix = file[..<dot] + "-"
        suffix = String(file[dot...])
    }

    func name(_ time: Timestamp) -> String {
        var number = 0
        while true {
            let path = "\(directory)/\(prefix)\(AuditLogBackups.stamp(time + .milliseconds(number)))\(suffix)"
            if !FileSystem.exists(path) { return path }
            number += 1
        }
    }

    /// `2026-11-21T15-07-05.591`: sorts as time does.
    private static func stamp(_ time: Timestamp) -> String { String(time.rfc3339Micro.dropLast(4)).replacing(":", with: "-") }

    func clean(maxAge: Int, maxBackups: Int, now: Timestamp) {
        guard let names = try? FileSystem.list(directory) else { return }
        let length = prefix.utf8.count + 23 + suffix.utf8.count
        let found = names.filter { $0.hasPrefix(prefix) && $0.hasSuffix(suffix) && $0.utf8.count == length }.sorted(by: >)
        let oldest = maxAge > 0 ? prefix + AuditLogBackups.stamp(now + .seconds(-86400 * maxAge)) : ""
        for (index, name) in found.enumerated() where (maxBackups > 0 && index >= maxBackups) || name < oldest {
            try? FileSystem.unlink("\(directory)/\(name)")
        }
    }
}
