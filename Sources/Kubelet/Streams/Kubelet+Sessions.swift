import Client
import Containers
import Core
import Linux
import Machinery
import Synchronization
package import Transport
package import Tree

extension Kubelet {
    private func running(_ pod: Node, _ container: String) throws -> Container {
        guard let found = worker(uid: pod.uid)?.state.withLock({ $0.containers[container]?.container }), case .running = found.state else {
            throw APIError.internalError("container not found (\(NodePath.quoted(container)))")
        }
        return found
    }

    package func checkStream(_ pod: Node, container: String) async throws { _ = try running(pod, container) }

    package func exec(_ pod: Node, container: String, command: [String], session: RemoteCommandSession) async {
        do {
            let target = try running(pod, container)
            var spec = ExecSpec(arguments: command)
            spec.terminal = session.options.tty
            spec.stdin = session.options.stdin
            spec.stdout = session.options.stdout
            spec.stderr = session.options.stderr
            await session.finish(.exited(code: try await ExecRelay.run(try await target.exec(spec), session)))
        } catch {
            await session.finish(.failed("\(error)"))
        }
    }

    package func attach(_ pod: Node, container: String, session: RemoteCommandSession) async {
        do {
            let target = try running(pod, container)
            let options = session.options
            let streams = try await target.attach(stdin: options.stdin, stdout: options.stdout, stderr: options.stderr)
            await ExecRelay.attach(streams, target, session)
            await session.finish(.exited(code: 0))
        } catch {
            await session.finish(.failed("\(error)"))
        }
    }

    // MARK: - Port-forward

    package func portForward(_ pod: Node, session: PortForwardSession) async {
        guard let sandbox = worker(uid: pod.uid)?.state.withLock({ $0.sandbox }), sandbox.pid > 0,
            let namespace = try? NetworkNamespace.open("/proc/\(sandbox.pid)/ns/net")
        else { return await session.close() }
        await withDiscardingTaskGroup { group in
            while let connection = await session.next() {
                group.addTask { await self.forward(connection, namespace, pod) }
            }
        }
        await session.close()
    }

    private func forward(_ connection: PortForwardConnection, _ namespace: NetworkNamespace, _ pod: Node) async {
        do {
            let port = UInt16(clamping: connection.port)
            let socket = try await parts.dialing.run { () throws(SystemFailure) in
                // The program may listen on either loopback.
                do throws(SystemFailure) { return try namespace.connect(to: IPAddress(127, 0, 0, 1), port: port, seconds: 10) } catch let first {
                    guard let loopback = IPAddress("::1"), let other = try? namespace.connect(to: loopback, port: port, seconds: 10) else { throw first }
                    return other
                }
            }
            let stream = try await Sockets.adopt(descriptor: socket.take())
            await Relay.run(connection.data, stream)
            await connection.finish()
        } catch {
            let reason = (error as? SystemFailure)?.reason.lowercased() ?? "\(error)"
            await connection.fail(
                "failed to forward port \(connection.port) inside pod \(NodePath.quoted(pod.uid)): failed to connect to localhost:\(connection.port) inside namespace: dial tcp4 127.0.0.1:\(connection.port): connect: \(reason)")
        }
    }
}

/// Carries bytes between a program and a client until the program has ended and all it said is told.
enum ExecRelay {
    static func run(_ program: ExecSession, _ session: RemoteCommandSession) async throws -> Int {
        await withTaskGroup(of: Bool.self) { group in
            if let stdin = program.terminal ?? program.stdin, session.options.stdin { group.addTask { await feed(stdin, session, closes: program.terminal == nil) } }
            if let terminal = program.terminal { group.addTask { await resize(session) { try? terminal.setWindow(rows: $0, columns: $1) } } }
            var outputs = 0
            for (stream, isError) in [(program.terminal ?? program.stdout, false), (program.stderr, true)] {
                guard let stream else { continue }
                outputs += 1
                group.addTask { await drain(stream, session, isError: isError) }
            }
            // A program may close its outputs and go on, or end and leave them to a child: its end is what counts, with a moment for the rest.
            let patience = Duration.seconds(outputs > 0 ? 2 : 0)
            let isOver = Mutex(false)
            group.addTask {
                _ = try? await program.wait()
                try? await Task.sleep(for: patience)
                isOver.withLock { $0 = true }
                return false
            }
            var left = max(outputs, 1)
            while left > 0, let ended = await group.next() {
                if ended { left -= 1 }
                if session.isClosed || isOver.withLock({ $0 }) { break }
            }
            group.cancelAll()
            // A client that types nothing more would keep the session open.
            session.endInput()
            program.terminal?.close()
            program.stdin?.close()
        }
        return Int(try await program.wait())
    }

    static func attach(_ streams: AttachSession, _ container: Container, _ session: RemoteCommandSession) async {
        await withTaskGroup(of: Bool.self) { group in
            if let stdin = streams.stdin { group.addTask { await feed(stdin, session, closes: true) } }
            group.addTask { await resize(session) { rows, columns in try? await container.resize(rows: rows, columns: columns) } }
            var outputs = 0
            for (stream, isError) in [(streams.stdout, false), (streams.stderr, true)] {
                guard let stream else { continue }
                outputs += 1
                group.addTask { await drain(stream, session, isError: isError) }
            }
            if outputs == 0 {
                outputs = 1
                group.addTask { (try? await container.wait()) != nil }
            }
            while outputs > 0, let ended = await group.next() {
                if ended { outputs -= 1 }
                if session.isClosed { break }
            }
            group.cancelAll()
            session.endInput()
            streams.stdin?.close()
        }
    }

    private static func feed(_ stdin: AsyncDescriptor, _ session: RemoteCommandSession, closes: Bool) async -> Bool {
        while let bytes = await session.readStdin() {
            guard (try? await stdin.write(bytes)) != nil else { break }
        }
        if closes { stdin.close() }
        return false
    }

    private static func resize(_ session: RemoteCommandSession, _ apply: (UInt16, UInt16) async -> Void) async -> Bool {
        while let size = await session.nextResize() { await apply(UInt16(clamping: size.height), UInt16(clamping: size.width)) }
        return false
    }

    /// True: an output that the session waits for is through.
    private static func drain(_ stream: AsyncDescriptor, _ session: RemoteCommandSession, isError: Bool) async -> Bool {
        while let bytes = try? await stream.read() {
            let sent: Void? = isError ? try? await session.writeStderr(bytes) : try? await session.writeStdout(bytes)
            guard sent != nil else { break }
        }
        return true
    }
}
