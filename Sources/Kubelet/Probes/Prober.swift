import Containers
import Core
import Linux
import Transport
import Tree

/// What one attempt of a probe or hook came to.
enum ProbeOutcome: Sendable, Equatable {
    case success
    case failure(String)
}

/// Asks a container how it is, in the four ways that a spec can name. Connections come from the node's own network.
struct Prober: Sendable {
    let namespace: NetworkNamespace
    let threads: BlockingThreads
    let container: Container
    /// Of the container, for ports by name.
    let spec: Node
    let address: String
    var agent = "kube-probe/1.36"

    func run(_ handler: Node, timeout: Duration) async -> ProbeOutcome {
        if handler.has("exec") { return await Prober.exec(handler["exec"]["command"].stringList, in: container, timeout: timeout) }
        if handler.has("httpGet") { return await http(handler["httpGet"], timeout) }
        if handler.has("tcpSocket") { return await tcp(handler["tcpSocket"], timeout) }
        if handler.has("grpc") { return await grpc(handler["grpc"], timeout) }
        return .failure("missing probe handler for \(spec["name"].string ?? "")")
    }

    // MARK: - Exec

    /// Both outputs, up to ten kibibytes, are what a failure says.
    static func exec(_ command: [String], in container: Container, timeout: Duration?) async -> ProbeOutcome {
        do {
            let session = try await container.exec(ExecSpec(arguments: command))
            return try await withThrowingTaskGroup(of: ProbeOutcome?.self) { group in
                group.addTask {
                    async let errors = drain(session.stderr)
                    let output = await drain(session.stdout)
                    let all = String(decoding: (output + (await errors)).prefix(10240), as: UTF8.self)
                    let code = try await session.wait()
                    return code == 0 ? .success : .failure(all.isEmpty ? "command terminated with exit code \(code)" : all)
                }
                if let timeout {
                    group.addTask {
                        try await Task.sleep(for: timeout)
                        return nil
                    }
                }
                defer { group.cancelAll() }
                if let outcome = try await group.next().flatMap(\.self) { return outcome }
                try? await session.signal(Signals.kill)
                let words = command.map { $0 }.joined(separator: " ")
                return .failure("command timed out: \(NodePath.quoted(words)) timed out after \(timeout?.components.seconds ?? 0)s")
            }
        } catch {
            return .failure("\(error)")
        }
    }

    private static func drain(_ stream: AsyncDescriptor?) async -> [UInt8] {
        var out: [UInt8] = []
        while let bytes = try? await stream?.read() { if out.count < 10240 { out += bytes } }
        return out
    }

    // MARK: - Network

    private func port(_ node: Node) -> UInt16? {
        if let number = node.int { return UInt16(exactly: number) }
        guard let text = node.string else { return nil }
        if let number = UInt16(text) { return number }
        return spec["ports"].list.first { $0["name"].string == text }?["containerPort"].int.flatMap { UInt16(exactly: $0) }
    }

    private func host(_ node: Node) -> String { node["host"].string.flatMap { $0.isEmpty ? nil : $0 } ?? address }

    private func connect(_ host: String, _ port: UInt16, _ timeout: Duration) async throws -> Descriptor {
        guard let target = IPAddress(host == "localhost" ? "127.0.0.1" : host) else { throw SystemFailure("lookup", host, errno: 22) }
        let namespace = namespace
        return try await threads.run { () throws(SystemFailure) in
            try namespace.connect(to: target, port: port, seconds: Int(max(1, timeout.components.seconds)))
        }
    }

    private func dialFailure(_ error: any Error, _ place: String) -> String {
        if let failure = error as? SystemFailure {
            return failure.errno == 110 ? "dial tcp \(place): i/o timeout" : "dial tcp \(place): connect: \(failure.reason.lowercased())"
        }
        return "\(error)"
    }

    private func tcp(_ action: Node, _ timeout: Duration) async -> ProbeOutcome {
        guard let port = port(action["port"]) else { return .failure("couldn't find port: \(action["port"].jsonText)") }
        do {
            try await connect(host(action), port, timeout).close()
            return .success
        } catch { return .failure(dialFailure(error, "\(host(action)):\(port)")) }
    }

    private func http(_ action: Node, _ timeout: Duration) async -> ProbeOutcome {
        guard let port = port(action["port"]) else { return .failure("couldn't find port: \(action["port"].jsonText)") }
        let isTLS = action["scheme"].string?.uppercased() == "HTTPS"
        let path = action["path"].string ?? "/"
        let target = path.hasPrefix("/") ? path : "/" + path
        let url = "\(isTLS ? "https" : "http")://\(host(action)):\(port)\(target)"
        var headers: HTTPHeaders = ["User-Agent": agent, "Accept": "*/*", "Connection": "close"]
        for header in action["httpHeaders"].list {
            let name = header["name"].string ?? ""
            headers.remove(name)
            headers.append(name, header["value"].string ?? "")
        }
        let endpoint = HTTPEndpoint(isTLS: isTLS, host: host(action), port: Int(port))
        let client = HTTPClient(tls: ClientTLS(insecure: true), http2: false, connectTimeout: timeout, idleTimeout: .seconds(1)) { _ in
            try await connect(host(action), port, timeout).take()
        }
        defer { client.close() }
        do {
            let response = try await client.send(HTTPClientRequest("GET", endpoint, target, headers: headers, timeout: timeout))
            defer { response.cancel() }
            if (200..<400).contains(response.status) { return .success }
            return .failure("HTTP probe failed with statuscode: \(response.status)")
        } catch TransportError.timedOut {
            return .failure("Get \(NodePath.quoted(url)): context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
        } catch {
            return .failure("Get \(NodePath.quoted(url)): \(dialFailure(error, "\(host(action)):\(port)"))")
        }
    }

    private func grpc(_ action: Node, _ timeout: Duration) async -> ProbeOutcome {
        guard let port = port(action["port"]) else { return .failure("couldn't find port: \(action["port"].jsonText)") }
        let place = "\(address):\(port)"
        do {
            let stream = try await Sockets.adopt(descriptor: connect(address, port, timeout).take())
            defer { stream.close() }
            return await withTaskGroup(of: ProbeOutcome?.self) { group in
                group.addTask { await HealthCheckRPC.ask(stream, service: action["service"].string ?? "", authority: place) }
                group.addTask {
                    try? await Task.sleep(for: timeout)
                    return nil
                }
                let first = await group.next().flatMap(\.self)
                group.cancelAll()
                stream.close()
                return first ?? .failure("timeout: failed to connect service \(NodePath.quoted(place)) within \(timeout.components.seconds)s: context deadline exceeded")
            }
        } catch {
            return .failure("timeout: failed to connect service \(NodePath.quoted(place)) within \(timeout.components.seconds)s: \(dialFailure(error, place))")
        }
    }
}
