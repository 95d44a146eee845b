import Client
import Core

/// Picks and renders the lines that a log request asks for. Pure: lines in, bytes out.
struct LogSelection {
    private let options: LogOptions
    private let since: String
    private(set) var left: Int

    init(_ options: LogOptions) {
        self.options = options
        since = options.since?.rfc3339Nano ?? ""
        left = options.limitBytes ?? .max
    }

    var isFull: Bool { left <= 0 }

    /// Nil where the line is not wanted. Both kinds of the CRI's time text compare as text: their zone is the same.
    mutating func render(_ line: CRILine) -> [UInt8]? {
        guard left > 0, isWanted(line) else { return nil }
        var out: [UInt8] = []
        if options.timestamps { out += Array(line.time.utf8) + [0x20] }
        out += Array(line.text.utf8)
        if !line.isPartial { out.append(0x0A) }
        if out.count > left { out.removeLast(out.count - left) }
        left -= out.count
        return out
    }

    func isWanted(_ line: CRILine) -> Bool {
        if !since.isEmpty, line.time < since { return false }
        return switch options.stream {
        case .all: true
        case .stdout: !line.isError
        case .stderr: line.isError
        }
    }
}

/// Where in a log file the last so many lines begin.
enum LogTail {
    static func offset(_ file: FileDescriptor, lines: Int) throws(SystemFailure) -> Int64 {
        let size = try file.status().size
        guard lines > 0 else { return size }
        var at = size
        var missing = lines
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
        defer { chunk.deallocate() }
        while at > 0 {
            let start = max(0, at - 65536)
            let count = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: chunk[..<Int(at - start)]), at: start)
            for index in stride(from: count - 1, through: 0, by: -1) where chunk[index] == 0x0A {
                // The file's own last line end begins no line.
                if start + Int64(index) == size - 1 { continue }
                missing -= 1
                if missing == 0 { return start + Int64(index) + 1 }
            }
            at = start
        }
        return 0
    }
}

/// Cuts a log file that may still grow into its lines.
struct LogLines {
    private let file: FileDescriptor
    private var buffer: [UInt8] = []
    private static let limit = 1 << 20

    init(_ file: FileDescriptor) { self.file = file }

    /// The whole lines that are there now; empty where there are none yet.
    mutating func read() throws(SystemFailure) -> [String] {
        var chunk = [UInt8](repeating: 0, count: 65536)
        var failure: SystemFailure?
        let count = chunk.withUnsafeMutableBytes { bytes -> Int in
            do throws(SystemFailure) { return try file.read(into: bytes) } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        guard count > 0 else { return [] }
        buffer += chunk[..<count]
        guard let last = buffer.lastIndex(of: 0x0A) else {
            if buffer.count > LogLines.limit { buffer = [] }
            return try read()
        }
        let lines = buffer[..<last].split(separator: 0x0A, omittingEmptySubsequences: true).map { String(decoding: $0, as: UTF8.self) }
        buffer.removeFirst(last + 1)
        return lines
    }
}
