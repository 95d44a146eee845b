package import Core
import CLinux
import Glibc

/// Unix sockets with message boundaries and passed descriptors. Paths of any length work: they are reached by way of their directory.
package enum UnixSocket {
    package static func listen(directory: String, name: String) throws(SystemFailure) -> Descriptor {
        let (socket, parent) = try prepare(directory)
        try Files.remove("\(directory)/\(name)")
        try withAddress(parent, name) { address, size in bind(socket.raw, address, size) == 0 ? nil : "bind" }
        guard Glibc.listen(socket.raw, 64) == 0 else { throw SystemFailure("listen", "\(directory)/\(name)") }
        return socket
    }

    package static func connect(directory: String, name: String) throws(SystemFailure) -> Descriptor {
        let (socket, parent) = try prepare(directory)
        try withAddress(parent, name) { address, size in Glibc.connect(socket.raw, address, size) == 0 ? nil : "connect" }
        try socket.setNonblocking()
        return socket
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

    private static func prepare(_ directory: String) throws(SystemFailure) -> (Descriptor, Descriptor) {
        let parent = try Descriptor.open(directory, O_PATH | O_DIRECTORY)
        let raw = socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw SystemFailure("socket", directory) }
        return (Descriptor(raw), parent)
    }

    private static func withAddress(
        _ parent: Descriptor, _ name: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> String?
    ) throws(SystemFailure) {
        let path = "/proc/self/fd/\(parent.raw)/\(name)"
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { throw SystemFailure("connect", name, errno: ENAMETOOLONG) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let failed = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        if let failed { throw SystemFailure(failed, name) }
    }
}
