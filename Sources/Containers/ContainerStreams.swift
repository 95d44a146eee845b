import CLinux
package import Core
import Glibc
package import Linux

/// A program running in a container beside its first process. Its streams belong to the caller; it ends with them or by itself.
package final class ExecSession: Sendable {
    /// As the daemon sees it.
    package let pid: Int32
    package let stdin: AsyncDescriptor?
    package let stdout: AsyncDescriptor?
    package let stderr: AsyncDescriptor?
    /// Both directions, where it has a terminal; the other three are nil then.
    package let terminal: AsyncDescriptor?
    private let exit: Signalled<Int32>
    private let container: Container
    private let number: UInt64

    init(
        container: Container, number: UInt64, pid: Int32, exit: Signalled<Int32>, stdin: AsyncDescriptor?, stdout: AsyncDescriptor?,
        stderr: AsyncDescriptor?, terminal: AsyncDescriptor?
    ) {
        self.container = container
        self.number = number
        self.pid = pid
        self.exit = exit
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.terminal = terminal
    }

    /// 128 + signal where a signal ended it; 255 where the sandbox was lost.
    package func wait() async throws -> Int32 { try await exit.wait() }

    package func resize(rows: UInt16, columns: UInt16) throws(SystemFailure) { try terminal?.setWindow(rows: rows, columns: columns) }

    package func signal(_ signal: Int32) async throws {
        var message = container.head()
        message.put(JR_EXEC, [number])
        message.put(JR_SIGNAL, [UInt64(signal)])
        try container.check(try await container.sandbox.request(JANGADA_KILL, message.bytes), "signal exec")
    }
}

/// A client's place at a container's own streams. Closing it changes nothing for the container, unless it takes stdin once.
package final class AttachSession: Sendable {
    package let stdin: AsyncDescriptor?
    package let stdout: AsyncDescriptor?
    package let stderr: AsyncDescriptor?

    init(stdin: AsyncDescriptor?, stdout: AsyncDescriptor?, stderr: AsyncDescriptor?) {
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
    }
}

extension Container {
    /// Returns when the program runs; throws `ContainerFailure` with the usual words where it cannot.
    package func exec(_ spec: ExecSpec) async throws -> ExecSession {
        let number = Identifier.randomBytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        var bits = JFD_SPEC
        var theirs = [try Descriptor.memory("exec", spec.encode(inheriting: records))]
        var streams = Streams()
        if !spec.terminal {
            if spec.stdin { streams.stdin = try give(.reading, JFD_STDIN, &bits, &theirs) }
            if spec.stdout { streams.stdout = try give(.writing, JFD_STDOUT, &bits, &theirs) }
            if spec.stderr { streams.stderr = try give(.writing, JFD_STDERR, &bits, &theirs) }
        }
        var message = head()
        message.put(JR_EXEC, [number])
        message.put(JR_FDS, [UInt64(bits)])
        let exit = sandbox.expectExit(of: number)
        let reply: SandboxConnection.Reply
        do {
            reply = try await sandbox.request(JANGADA_EXEC, message.bytes, descriptors: theirs)
            try check(reply, "exec")
        } catch {
            sandbox.forgetExec(number)
            throw error
        }
        // Ours of their ends must go, or the streams would never end.
        for descriptor in theirs { descriptor.close() }
        let terminal = try spec.terminal ? reply.descriptors.first.map { try AsyncDescriptor($0) } : nil
        return ExecSession(
            container: self, number: number, pid: Int32(truncatingIfNeeded: reply.records.record(JR_PID)?.number(0) ?? 0), exit: exit,
            stdin: streams.stdin, stdout: streams.stdout, stderr: streams.stderr, terminal: terminal)
    }

    /// Output from now on, and input where the container takes it. Of a container with a terminal everything comes as stdout.
    package func attach(stdin: Bool, stdout: Bool = true, stderr: Bool = true) async throws -> AttachSession {
        var bits = 0
        var theirs: [Descriptor] = []
        var streams = Streams()
        if stdin { streams.stdin = try give(.reading, JFD_STDIN, &bits, &theirs) }
        if stdout { streams.stdout = try give(.writing, JFD_STDOUT, &bits, &theirs) }
        if stderr && !terminal { streams.stderr = try give(.writing, JFD_STDERR, &bits, &theirs) }
        var message = head()
        message.put(JR_FDS, [UInt64(bits)])
        try check(try await sandbox.request(JANGADA_ATTACH, message.bytes, descriptors: theirs), "attach")
        for descriptor in theirs { descriptor.close() }
        return AttachSession(stdin: streams.stdin, stdout: streams.stdout, stderr: streams.stderr)
    }

    /// Starts it with streams of the caller's own in place of the log: nothing that it writes is lost, and it waits for a slow reader.
    /// Both its outputs come in one stream, in the order they were written; after the daemon they lead nowhere.
    package func startWithStreams(stdin: Bool) async throws -> (input: AsyncDescriptor?, output: AsyncDescriptor) {
        var bits = JFD_SPEC
        var theirs: [Descriptor] = []
        let input = stdin ? try give(.reading, JFD_STDIN, &bits, &theirs) : nil
        let output = try give(.writing, JFD_STDOUT, &bits, &theirs)
        if let writing = theirs.last { theirs.append(writing) }
        try await start(bits | JFD_STDERR, theirs)
        for descriptor in theirs { descriptor.close() }
        return (input, output)
    }

    private struct Streams {
        var stdin: AsyncDescriptor?
        var stdout: AsyncDescriptor?
        var stderr: AsyncDescriptor?
    }

    private enum End { case reading, writing }

    /// A pipe, one end of which goes to the other side.
    private func give(_ end: End, _ bit: Int, _ bits: inout Int, _ theirs: inout [Descriptor]) throws -> AsyncDescriptor {
        let (reading, writing) = try Descriptor.pipe()
        // A megabyte where the limits allow it: a client may be slow for a moment without losing its place.
        _ = fcntl(writing.raw, 1031 /* F_SETPIPE_SZ */, 1 << 20)
        bits |= bit
        theirs.append(end == .reading ? reading : writing)
        return try AsyncDescriptor(end == .reading ? writing : reading)
    }
}
