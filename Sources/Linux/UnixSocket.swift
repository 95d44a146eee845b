import CLinux
package import Core
import Glibc

/// Unix sockets with message boundaries and passed descriptors. Paths of any length work: they are reached by way of their directory.
package enum UnixSocket {
    package static func listen(directory: String, name: String) throws(SystemFailure) -> Descriptor {
        try Files.remove("\(directory)/\(name)")
        return try open(directory, name, backlog: 64)
    }

    /// Non-blocking.
    package static func connect(directory: String, name: String) throws(SystemFailure) -> Descriptor {
        try open(directory, name, backlog: 0)
    }

    package static func send(_ socket: Descriptor, _ bytes: [UInt8], descriptors: [Int32] = []) throws(SystemFailure) {
        let sent = bytes.withUnsafeBytes { jangada_send(socket.raw, $0.baseAddress, $0.count, descriptors, UInt32(descriptors.count)) }
        guard sent == bytes.count else { throw SystemFailure("sendmsg") }
    }

    /// One message; nil where none waits, an empty one at the end.
    package static func receive(_ socket: Descriptor, limit: Int) throws(SystemFailure) -> (bytes: [UInt8], descriptors: [Descriptor])? {
        var fds = [Int32](repeating: -1, count: Int(JANGADA_MAX_FDS))
        var count: UInt32 = 0
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, filled in
            let got = jangada_receive(socket.raw, buffer.baseAddress, limit, &fds, UInt32(JANGADA_MAX_FDS), &count)
            failure = got < 0 ? errno : 0
            filled = max(0, got)
        }
        if failure == EAGAIN { return nil }
        guard failure == 0 else { throw SystemFailure("recvmsg", errno: failure) }
        return (bytes, fds[..<Int(count)].map { Descriptor($0) })
    }

    private static func open(_ directory: String, _ name: String, backlog: Int32) throws(SystemFailure) -> Descriptor {
        let parent = try Descriptor.open(directory, Int32(JANGADA_O_PATH) | O_DIRECTORY)
        let fd = jangada_unix_socket("/proc/self/fd/\(parent.raw)/\(name)", backlog)
        guard fd >= 0 else { throw SystemFailure(backlog > 0 ? "bind" : "connect", "\(directory)/\(name)") }
        return Descriptor(fd)
    }
}
