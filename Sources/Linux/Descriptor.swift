import CLinux
package import Core
import Glibc
import Synchronization

/// Owns one file descriptor and closes it exactly once: by `close()`, by `take()` handing it on, or when the last reference goes.
package final class Descriptor: Sendable {
    private let value: Mutex<Int32>

    package init(_ raw: Int32) { value = Mutex(raw) }

    deinit { close() }

    /// The number, for a call that ends before `close` can run; -1 once closed.
    package var raw: Int32 { value.withLock { $0 } }

    package func close() {
        let raw = take()
        if raw >= 0 { _ = Glibc.close(raw) }
    }

    /// Gives up ownership.
    package func take() -> Int32 {
        value.withLock { current in
            defer { current = -1 }
            return current
        }
    }

    package static func open(_ path: String, _ flags: Int32, mode: UInt32 = 0) throws(SystemFailure) -> Descriptor {
        Descriptor(try retrying("open", path) { Glibc.open(path, flags | O_CLOEXEC, mode) })
    }

    package static func pipe() throws(SystemFailure) -> (reading: Descriptor, writing: Descriptor) {
        var pair: [Int32] = [-1, -1]
        guard jangada_pipe(&pair) == 0 else { throw SystemFailure("pipe") }
        return (Descriptor(pair[0]), Descriptor(pair[1]))
    }

    /// An anonymous file holding `bytes`, positioned at its start.
    package static func memory(_ name: String, _ bytes: [UInt8]) throws(SystemFailure) -> Descriptor {
        let descriptor = Descriptor(try retrying("memfd_create", name) { jangada_memfd(name) })
        try descriptor.writeAll(bytes)
        guard lseek(descriptor.raw, 0, SEEK_SET) == 0 else { throw SystemFailure("lseek", name) }
        return descriptor
    }

    package func duplicate() throws(SystemFailure) -> Descriptor {
        let raw = raw
        return Descriptor(try retrying("dup", "\(raw)") { fcntl(raw, F_DUPFD_CLOEXEC, 3) })
    }

    package func setNonblocking() throws(SystemFailure) {
        let flags = fcntl(raw, F_GETFL)
        guard flags >= 0, fcntl(raw, F_SETFL, flags | O_NONBLOCK) == 0 else { throw SystemFailure("fcntl", "O_NONBLOCK") }
    }

    /// Writes everything; for files and blocking descriptors.
    package func writeAll(_ bytes: [UInt8]) throws(SystemFailure) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(raw, $0.baseAddress?.advanced(by: done), $0.count - done) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw SystemFailure("write") }
            done += count
        }
    }

    /// Reads to the end; for files.
    package func readAll(limit: Int = 64 << 20) throws(SystemFailure) -> [UInt8] {
        var out: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = chunk.withUnsafeMutableBytes { Glibc.read(raw, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemFailure("read") }
            if count == 0 { return out }
            guard out.count + count <= limit else { throw SystemFailure("read", errno: EFBIG) }
            out.append(contentsOf: chunk[..<count])
        }
    }
}

/// Repeats a call that a signal interrupted; any other -1 becomes the failure.
package func retrying(_ operation: String, _ subject: String, _ call: () -> Int32) throws(SystemFailure) -> Int32 {
    while true {
        let result = call()
        if result >= 0 { return result }
        if errno != EINTR { throw SystemFailure(operation, subject) }
    }
}
