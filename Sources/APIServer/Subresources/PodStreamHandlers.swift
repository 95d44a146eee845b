import Client
import Core
package import Machinery
import Schema
import Store
import Transport
import Tree

/// `pods/log`, `exec`, `attach` and `portforward`: finds the pod's node and joins the client with it.
package struct PodStreamHandler: SubresourceHandler {
    package enum Kind: Sendable { case log, exec, attach, portForward }

    private let kind: Kind
    private let nodes: NodeStreamsDirectory

    package init(_ kind: Kind, nodes: NodeStreamsDirectory) {
        self.kind = kind
        self.nodes = nodes
    }

    package func handle(_ request: APIRequest, _ resource: ServedResource, _ server: APIServer) async throws(APIError) {
        let info = request.info
        guard let record = server.parts.store.get(Key("pods", namespace: info.namespace, name: info.name)) else {
            throw APIError.notFound("pods", name: info.name)
        }
        let pod = try record.node()
        switch kind {
        case .log: try await logs(request, pod)
        case .exec, .attach: try await command(request, resource, pod, server)
        case .portForward: try await portForward(request, resource, pod, server)
        }
    }

    private func node(of pod: Node) throws(APIError) -> any NodeStreams {
        let name = pod["spec"]["nodeName"].string ?? ""
        guard !name.isEmpty else { throw APIError.badRequest("pod \(pod.name) does not have a host assigned") }
        guard let streams = nodes.streams(of: name) else {
            throw APIError.internalError("the node \(FieldError.quoted(name)) of pod \(FieldError.quoted(pod.name)) cannot be reached")
        }
        return streams
    }

    /// The container asked for, or the only one.
    private func container(_ request: APIRequest, _ pod: Node) throws(APIError) -> String {
        let names = ["containers", "initContainers", "ephemeralContainers"].map { pod["spec"][$0].list.compactMap { $0["name"].string } }
        if let name = request.first("container"), !name.isEmpty {
            guard names.contains(where: { $0.contains(name) }) else {
                throw APIError.badRequest("container \(name) is not valid for pod \(pod.name)")
            }
            return name
        }
        if names[0].count == 1 { return names[0][0] }
        var text = "a container name must be specified for pod \(pod.name), choose one of: [\(names[0].joined(separator: " "))]"
        if !names[1].isEmpty { text += " or one of the init containers: [\(names[1].joined(separator: " "))]" }
        if !names[2].isEmpty { text += " or one of the ephemeral containers: [\(names[2].joined(separator: " "))]" }
        throw APIError.badRequest(text)
    }

    // MARK: - Logs

    private func logs(_ request: APIRequest, _ pod: Node) async throws(APIError) {
        let options = try options(request)
        let container = try container(request, pod)
        let node = pod["spec"]["nodeName"].string ?? ""
        // A pod that has no node yet has written nothing.
        guard !node.isEmpty else { return request.exchange.respond(status: 200, headers: request.headers(contentType: "text/plain"), body: []) }
        let streams = try self.node(of: pod)
        let chunks = try await PodStreamHandler.apiErrors { try await streams.logs(pod, container: container, options) }
        if request.http.asksWebSocket { return try await messages(request, chunks) }
        request.exchange.start(status: 200, headers: request.headers(contentType: "text/plain"))
        let reading = Task {
            for try await chunk in chunks { try await request.exchange.write(chunk) }
        }
        request.exchange.onClose { reading.cancel() }
        _ = await reading.result
        request.exchange.finish()
    }

    /// The log in messages of its bytes, or of their base64, as the client's protocol says. A client that closes ends it.
    private func messages(_ request: APIRequest, _ chunks: AsyncThrowingStream<[UInt8], any Error>) async throws(APIError) {
        let socket: WebSocket
        do { socket = try await request.exchange.acceptWebSocket(protocols: ["", "binary.k8s.io", "base64.binary.k8s.io"]) } catch {
            throw PodStreamHandler.refused(error)
        }
        let isText = socket.subprotocol == "base64.binary.k8s.io"
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                // Whoever breaks off, the farewell says all there is to say.
                try? await PodStreamHandler.send(chunks, to: socket, asText: isText)
            }
            group.addTask { while let _ = try? await socket.receive() {} }
            await group.next()
            await socket.close()
            group.cancelAll()
        }
    }

    private static func send(_ chunks: AsyncThrowingStream<[UInt8], any Error>, to socket: WebSocket, asText: Bool) async throws {
        for try await chunk in chunks { try await socket.send(asText ? Array(Encoding.base64(chunk).utf8) : chunk, text: asText) }
    }

    private func options(_ request: APIRequest) throws(APIError) -> LogOptions {
        var options = LogOptions()
        var errors: [FieldError] = []
        options.follow = request.flag("follow")
        options.previous = request.flag("previous")
        options.timestamps = request.flag("timestamps")
        func number(_ name: String, minimum: Int, _ text: String) -> Int? {
            guard let value = request.first(name), !value.isEmpty else { return nil }
            guard let number = Int(value), number >= minimum else {
                errors.append(.invalid(name, value, text))
                return nil
            }
            return number
        }
        options.tailLines = number("tailLines", minimum: 0, "must be greater than or equal to 0")
        options.limitBytes = number("limitBytes", minimum: 1, "must be greater than 0")
        if let seconds = number("sinceSeconds", minimum: 1, "must be greater than 0") { options.since = Timestamp.now() + .seconds(-seconds) }
        if let time = request.first("sinceTime"), !time.isEmpty {
            if request.first("sinceSeconds") != nil { errors.append(.forbidden("sinceSeconds", "at most one of `sinceTime` or `sinceSeconds` may be specified")) }
            options.since = Timestamp(rfc3339: time)
            if options.since == nil { errors.append(.invalid("sinceTime", quoted: time, "must be an RFC 3339 time")) }
        }
        if let stream = request.first("stream"), !stream.isEmpty {
            if let known = LogOptions.Stream(rawValue: stream) {
                options.stream = known
            } else {
                errors.append(.notSupported("stream", quoted: stream, supported: ["All", "Stderr", "Stdout"]))
            }
        }
        if !errors.isEmpty { throw APIError.invalid(kind: "PodLogOptions", name: request.info.name, errors: errors) }
        return options
    }

    // MARK: - Sessions

    private func command(_ request: APIRequest, _ resource: ServedResource, _ pod: Node, _ server: APIServer) async throws(APIError) {
        try authorizeUpgrade(request, server)
        try await admit(request, resource, kind == .exec ? "PodExecOptions" : "PodAttachOptions", server)
        let command = request.query.filter { $0.name == "command" }.map(\.value)
        if kind == .exec, command.isEmpty { throw APIError.badRequest("you must specify at least 1 container command") }
        let options = RemoteCommandOptions(query: request.query)
        guard !options.isEmpty else { throw APIError.badRequest("you must specify at least 1 of stdin, stdout, stderr") }
        let container = try container(request, pod)
        let streams = try node(of: pod)
        try await PodStreamHandler.apiErrors { try await streams.checkStream(pod, container: container) }
        let session: RemoteCommandSession
        do { session = try await request.exchange.acceptRemoteCommand(options) } catch { throw PodStreamHandler.refused(error) }
        if kind == .exec {
            await streams.exec(pod, container: container, command: command, session: session)
        } else {
            await streams.attach(pod, container: container, session: session)
        }
    }

    private func portForward(_ request: APIRequest, _ resource: ServedResource, _ pod: Node, _ server: APIServer) async throws(APIError) {
        try authorizeUpgrade(request, server)
        try await admit(request, resource, "PodPortForwardOptions", server)
        let streams = try node(of: pod)
        let session: PortForwardSession
        do { session = try await request.exchange.acceptPortForward() } catch { throw PodStreamHandler.refused(error) }
        await streams.portForward(pod, session: session)
    }

    /// Whoever opens a session is asked about as a write: the operation is CONNECT, the object the session's options.
    private func admit(_ request: APIRequest, _ resource: ServedResource, _ kind: String, _ server: APIServer) async throws(APIError) {
        try await server.admitConnect(request, resource, ConnectOptions.node(kind, request.query))
    }

    /// A WebSocket is a GET: what it opens still takes the right to create (KEP-4006).
    private func authorizeUpgrade(_ request: APIRequest, _ server: APIServer) throws(APIError) {
        guard request.info.verb == "get" else { return }
        var asked = Attributes(user: request.user, info: request.info)
        asked.verb = "create"
        guard server.parts.authorizer.allows(asked) else { throw APIServer.refusal(asked) }
    }

    private static func refused(_ error: any Error) -> APIError {
        if case TransportError.upgradeRefused(let status) = error {
            return APIError(code: status, reason: "BadRequest", message: status == 403 ? "unable to negotiate a protocol" : "you must use a WebSocket or SPDY upgrade")
        }
        return .badRequest("the stream could not be opened: \(error)")
    }

    private static func apiErrors<T: Sendable>(_ body: @Sendable () async throws -> T) async throws(APIError) -> T {
        do { return try await body() } catch let error as APIError { throw error } catch { throw APIError.internalError("\(error)") }
    }
}
