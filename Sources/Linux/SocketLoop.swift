import CLinux
package import Core
import Glibc
import Synchronization

/// An address and port of a socket's other side.
package struct SocketPeer: Sendable, Hashable {
    package let address: IPAddress
    package let port: UInt16

    package init(_ address: IPAddress, _ port: UInt16) {
        self.address = address
        self.port = port
    }
}

/// One thread that serves sockets of many network namespaces. Everything that happens to a socket is told to its handler
/// on that thread; handlers must not block.
package final class SocketLoop: Sendable {
    /// Shared by the thread and those who ask it for something.
    fileprivate final class Mailbox: Sendable {
        struct State {
            var work: [@Sendable (SocketReactor) -> Void] = []
            var isEnded = false
        }

        let wakeup: Int32
        let poll: Int32
        let namespace: NetworkNamespace
        let state = Mutex(State())

        init(wakeup: Int32, poll: Int32, namespace: NetworkNamespace) {
            self.wakeup = wakeup
            self.poll = poll
            self.namespace = namespace
        }

        deinit {
            close(wakeup)
            close(poll)
        }

        func wake() {
            var one: UInt64 = 1
            _ = write(wakeup, &one, 8)
        }
    }

    private let mailbox: Mailbox
    private let thread: pthread_t

    /// Starts the thread, inside the namespace in which the sockets that it opens by itself shall be.
    package init(in namespace: NetworkNamespace) throws(SystemFailure) {
        let poll = jangada_poll_create()
        guard poll >= 0 else { throw SystemFailure("epoll_create1") }
        let wakeup = jangada_wakeup_create()
        guard wakeup >= 0 else {
            close(poll)
            throw SystemFailure("eventfd")
        }
        mailbox = Mailbox(wakeup: wakeup, poll: poll, namespace: namespace)
        let raw = Unmanaged.passRetained(mailbox)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                SocketLoop.serve(Unmanaged<Mailbox>.fromOpaque(raw).takeRetainedValue())
                return nil
            }, raw.toOpaque())
        self.thread = thread
        guard code == 0 else {
            raw.release()
            throw SystemFailure("pthread_create", errno: code)
        }
    }

    private static func serve(_ mailbox: Mailbox) {
        guard jangada_enter_network(mailbox.namespace.descriptor) == 0 else { return }
        let reactor = SocketReactor(poll: mailbox.poll, wakeup: mailbox.wakeup)
        while true {
            let (work, isEnded) = mailbox.state.withLock { state in
                defer { state.work = [] }
                return (state.work, state.isEnded)
            }
            if isEnded { return reactor.closeAll() }
            for item in work { item(reactor) }
            reactor.turn()
        }
    }

    /// Runs the work on the loop's thread, some time later; not at all once stopped.
    package func run(_ work: @escaping @Sendable (SocketReactor) -> Void) {
        mailbox.state.withLock { $0.work.append(work) }
        mailbox.wake()
    }

    /// Closes all sockets and waits for the thread. Not from a handler.
    package func stop() {
        let first = mailbox.state.withLock { state in
            defer { state.isEnded = true }
            return !state.isEnded
        }
        guard first else { return }
        mailbox.wake()
        pthread_join(thread, nil)
    }
}

/// A bound socket on its way to a loop; closes itself where it never arrives.
package final class ServerSocket: Sendable {
    package enum Kind: Sendable {
        case datagram
        case stream
    }

    let kind: Kind
    private let descriptor: Mutex<Int32>

    package init(_ kind: Kind, at address: SocketPeer, in namespace: NetworkNamespace) throws(SystemFailure) {
        self.kind = kind
        let descriptor = try namespace.run { () throws(SystemFailure) in
            let descriptor = SocketAddress.socket(kind, ipv6: address.address.isIPv6)
            guard descriptor >= 0 else { throw SystemFailure("socket") }
            var on: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
            guard SocketAddress.with(address, { bind(descriptor, $0, $1) }) == 0, kind == .datagram || listen(descriptor, 128) == 0 else {
                let failure = SystemFailure("bind", "\(address.address) port \(address.port)")
                close(descriptor)
                throw failure
            }
            return descriptor
        }
        self.descriptor = Mutex(descriptor)
    }

    deinit { descriptor.withLock { if $0 >= 0 { close($0) } } }

    func take() -> Int32 {
        descriptor.withLock { descriptor in
            defer { descriptor = -1 }
            return descriptor
        }
    }
}

enum SocketAddress {
    static func socket(_ kind: ServerSocket.Kind, ipv6: Bool) -> Int32 {
        let type = kind == .stream ? SOCK_STREAM : SOCK_DGRAM
        return Glibc.socket(
            ipv6 ? AF_INET6 : AF_INET, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    }

    static func with<T>(_ peer: SocketPeer, _ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
        var storage = sockaddr_storage()
        return withUnsafeMutableBytes(of: &storage) { raw in
            raw.storeBytes(of: sa_family_t(peer.address.isIPv6 ? AF_INET6 : AF_INET), as: sa_family_t.self)
            raw.storeBytes(of: peer.port.bigEndian, toByteOffset: 2, as: UInt16.self)
            raw.baseAddress?.advanced(by: peer.address.isIPv6 ? 8 : 4).copyMemory(
                from: peer.address.bytes, byteCount: peer.address.byteCount)
            let pointer = raw.assumingMemoryBound(to: sockaddr.self)
            let length = peer.address.isIPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
            guard let base = pointer.baseAddress else { preconditionFailure("a socket address has bytes") }
            return body(UnsafePointer(base), socklen_t(length))
        }
    }

    static func read(_ storage: sockaddr_storage) -> SocketPeer? {
        withUnsafeBytes(of: storage) { raw in
            let port = UInt16(bigEndian: raw.load(fromByteOffset: 2, as: UInt16.self))
            switch Int32(raw.load(as: sa_family_t.self)) {
            case AF_INET: return IPAddress(bytes: raw[4..<8]).map { SocketPeer($0, port) }
            case AF_INET6: return IPAddress(bytes: raw[8..<24]).map { SocketPeer($0, port) }
            default: return nil
            }
        }
    }
}
