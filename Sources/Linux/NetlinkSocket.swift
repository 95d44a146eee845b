package import Core
import Glibc
import Synchronization

/// A netlink socket bound for life to the network namespace of the thread that opened it: opened once inside a
/// namespace, it serves from any thread. One conversation at a time; callers queue on its lock.
package final class NetlinkSocket: Sendable {
    package enum Family: Int32, Sendable {
        case route = 0
        case netfilter = 12
    }

    /// What the kernel said about one message of a batch.
    package struct Refusal: Error, Sendable {
        package let index: Int
        package let errno: Int32
        /// The kernel's own words, where it gives any.
        package let text: String?
    }

    private struct State {
        var sequence: UInt32 = 1
        var sendBuffer = 212_992
        var scratch = [UInt8](repeating: 0, count: 1 << 16)
    }

    private let descriptor: Int32
    private let state = Mutex(State())

    package init(_ family: Family) throws(SystemFailure) {
        descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), family.rawValue)
        guard descriptor >= 0 else {
            let hint = family == .netfilter ? "the kernel lacks nfnetlink (CONFIG_NETFILTER_NETLINK)" : nil
            throw SystemFailure("socket", "netlink", hint: hint)
        }
        // Answers carry no copy of the request (10), but the kernel's words (11); dumps are checked strictly (12).
        for option: Int32 in [10, 11, 12] { setOption(270, option, 1) }
        setOption(SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    private func setOption(_ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Sends all messages in one write. The kernel works through them in order and goes on behind one it refuses
    /// (route family) or takes back all (netfilter batches). Returns what it refused.
    package func send(_ buffer: consuming NetlinkBuffer, acknowledge: Int? = nil) throws(SystemFailure) -> [Refusal] {
        guard buffer.messageCount > 0 else { return [] }
        let count = buffer.messageCount
        let last = acknowledge ?? count - 1
        let answer = state.withLock { state -> Result<[Refusal], SystemFailure> in
            let base = state.sequence
            state.sequence &+= UInt32(count)
            buffer.finish(sequence: base, acknowledgeAll: false, acknowledge: last)
            do throws(SystemFailure) {
                try write(buffer.bytes, &state)
                return .success(try collect(base: base, last: base &+ UInt32(last), batched: acknowledge != nil, &state))
            } catch {
                return .failure(error)
            }
        }
        return try answer.get()
    }

    /// Every message of a dump. Starts over where the kernel says that the state changed meanwhile.
    package func dump(_ buffer: NetlinkBuffer) throws(SystemFailure) -> [NetlinkMessage] {
        for _ in 0..<20 {
            if let messages = try dumpOnce(buffer) { return messages }
        }
        throw SystemFailure("recv", "netlink", errno: EINTR, hint: "the state kept changing while it was read")
    }

    private func dumpOnce(_ buffer: consuming NetlinkBuffer) throws(SystemFailure) -> [NetlinkMessage]? {
        let answer = state.withLock { state -> Result<[NetlinkMessage]?, SystemFailure> in
            let base = state.sequence
            state.sequence &+= 1
            buffer.finish(sequence: base, acknowledgeAll: false, acknowledge: -1)
            var messages: [NetlinkMessage] = []
            var interrupted = false
            do throws(SystemFailure) {
                try write(buffer.bytes, &state)
                while true {
                    for message in try read(&state) where message.sequence == base {
                        if message.flags & 0x10 != 0 { interrupted = true }
                        switch message.type {
                        case 3: return .success(interrupted ? nil : messages)
                        case 2:
                            let code = -(message.number(at: 0, as: Int32.self) ?? 0)
                            if code == 0 { return .success(messages) }
                            return .failure(SystemFailure("netlink dump", errno: code))
                        default:
                            messages.append(message)
                            // A question for one thing has an answer without the multipart flag and without an end.
                            if message.flags & 0x2 == 0 { return .success(messages) }
                        }
                    }
                }
            } catch {
                return .failure(error)
            }
        }
        return try answer.get()
    }

    // MARK: - Bytes

    private func write(_ bytes: [UInt8], _ state: inout State) throws(SystemFailure) {
        if bytes.count + 4096 > state.sendBuffer {
            state.sendBuffer = bytes.count * 2
            setOption(SOL_SOCKET, SO_SNDBUFFORCE, Int32(clamping: state.sendBuffer))
        }
        while true {
            let sent = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, 0) }
            if sent == bytes.count { return }
            if sent < 0, errno == EINTR { continue }
            throw SystemFailure("send", "netlink")
        }
    }

    private func read(_ state: inout State) throws(SystemFailure) -> [NetlinkMessage] {
        var received = 0
        while true {
            // With MSG_TRUNC the answer is the true length, so that a larger message than the buffer shows.
            received = state.scratch.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, Int32(MSG_TRUNC)) }
            if received >= 0 { break }
            if errno != EINTR { throw SystemFailure("recv", "netlink") }
        }
        guard received <= state.scratch.count else { throw SystemFailure("recv", "netlink", errno: EMSGSIZE) }
        let bytes = [UInt8](state.scratch[..<received])
        var messages: [NetlinkMessage] = []
        var offset = 0
        while offset + 16 <= bytes.count {
            let head = bytes[offset...]
            guard let length = head.number(at: 0, as: UInt32.self).map(Int.init), length >= 16, offset + length <= bytes.count,
                let type = head.number(at: 4, as: UInt16.self), let flags = head.number(at: 6, as: UInt16.self),
                let sequence = head.number(at: 8, as: UInt32.self)
            else { break }
            messages.append(NetlinkMessage(type: type, flags: flags, sequence: sequence, payload: bytes[(offset + 16)..<(offset + length)]))
            offset += (length + 3) & ~3
        }
        return messages
    }

    private func collect(base: UInt32, last: UInt32, batched: Bool, _ state: inout State) throws(SystemFailure) -> [Refusal] {
        var refusals: [Refusal] = []
        while true {
            for message in try read(&state) where message.type == 2 {
                let index = message.sequence &- base
                guard index <= last &- base else { continue }
                let code = -(message.number(at: 0, as: Int32.self) ?? 0)
                if code != 0 { refusals.append(Refusal(index: Int(index), errno: code, text: words(of: message))) }
                // A batch that fails as a whole is told on its first message alone.
                if message.sequence == last || (batched && index == 0 && code != 0) { return refusals }
            }
        }
    }

    private func words(of message: NetlinkMessage) -> String? {
        // NLM_F_ACK_TLVS; with NETLINK_CAP_ACK the request's header alone is repeated, except in errors without it.
        guard message.flags & 0x200 != 0 else { return nil }
        var skip = 20
        if message.flags & 0x100 == 0, let length = message.number(at: 4, as: UInt32.self) { skip = 4 + Int(length) }
        return message.attributes(after: skip)[1]?.text
    }
}
