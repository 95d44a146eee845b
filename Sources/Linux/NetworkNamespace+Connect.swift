import CLinux
package import Core
import Glibc

extension NetworkNamespace {
    /// A TCP connection made from inside this namespace. Blocks until it stands or `seconds` have passed.
    package func connect(to address: IPAddress, port: UInt16, seconds: Int) throws(SystemFailure) -> Descriptor {
        // A socket stays in the namespace it was made in, so that the thread has to be there for that moment only.
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let raw = jangada_socket_in_network(self.descriptor, address.isIPv6 ? AF_INET6 : AF_INET, type)
        guard raw >= 0 else { throw SystemFailure("socket") }
        let socket = Descriptor(raw)
        var limit = timeval(tv_sec: max(1, seconds), tv_usec: 0)
        setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let result = address.isIPv6 ? NetworkNamespace.connect6(raw, address, port) : NetworkNamespace.connect4(raw, address, port)
        guard result == 0 else {
            // A time-out of the socket shows as a connection still being made.
            throw SystemFailure("connect", "\(address):\(port)", errno: errno == EINPROGRESS || errno == EAGAIN ? ETIMEDOUT : errno)
        }
        var none = timeval()
        setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &none, socklen_t(MemoryLayout<timeval>.size))
        return socket
    }

    private static func connect4(_ socket: Int32, _ address: IPAddress, _ port: UInt16) -> Int32 {
        var raw = sockaddr_in()
        raw.sin_family = sa_family_t(AF_INET)
        raw.sin_port = port.bigEndian
        raw.sin_addr.s_addr = address.v4.bigEndian
        return withUnsafePointer(to: &raw) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }

    private static func connect6(_ socket: Int32, _ address: IPAddress, _ port: UInt16) -> Int32 {
        var raw = sockaddr_in6()
        raw.sin6_family = sa_family_t(AF_INET6)
        raw.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &raw.sin6_addr) { $0.copyBytes(from: address.bytes) }
        return withUnsafePointer(to: &raw) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in6>.size)) }
        }
    }
}
