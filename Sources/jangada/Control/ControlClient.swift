import Core
import Glibc
import Platform
import Transport
import Tree

/// Asks the daemon, through its control socket.
struct ControlClient: Sendable {
    let cluster: ClusterOptions
    let directory: StateDirectory
    private let http = HTTPClient(http2: false)

    init(_ cluster: ClusterOptions) {
        self.cluster = cluster
        directory = cluster.directory
    }

    /// Whether a daemon answers on the socket, and soon: one that hangs does not.
    func isRunning() async -> Bool {
        guard let response = try? await open("GET", "/v1/status", nil, timeout: .seconds(5)) else { return false }
        return (try? await response.body()) != nil && response.isSuccess
    }

    func get(_ target: String) async throws -> Node { try await send("GET", target) }

    func send(_ method: String, _ target: String, _ body: Node? = nil) async throws -> Node {
        let response = try await open(method, target, body, timeout: .seconds(60))
        let bytes = try await response.body()
        guard response.isSuccess else { throw ControlClient.failure(try? JSONReader.read(bytes), response.status) }
        return try JSONReader.read(bytes)
    }

    /// Sends what takes long, and gives its lines as they come.
    func stream(_ target: String, _ body: Node, _ progress: (String) -> Void) async throws -> Node {
        let response = try await open("POST", target, body, timeout: nil)
        guard response.isSuccess else { throw ControlClient.failure(try? JSONReader.read(try await response.body()), response.status) }
        var rest: [UInt8] = []
        while let chunk = try await response.nextChunk() {
            rest += chunk
            while let end = rest.firstIndex(of: 0x0A) {
                let line = try JSONReader.read(Array(rest[..<end]))
                rest.removeFirst(end + 1)
                if let text = line["progress"].string { progress(text) }
                if line.has("error") { throw ControlClient.failure(line, 500) }
                if line.has("result") { return line["result"] }
            }
        }
        throw CommandFailure("the daemon ended before it had answered", hint: "Its last words: \(cluster.command("logs"))")
    }

    private func open(_ method: String, _ target: String, _ body: Node?, timeout: Duration?) async throws -> HTTPClientResponse {
        let path = directory.controlSocket
        guard access(path, F_OK) == 0 || errno == EACCES else { throw notRunning }
        guard access(path, R_OK | W_OK) == 0 else {
            throw CommandFailure("only root may ask the cluster \(directory.root)", hint: "Put sudo before it. kubectl needs no root.")
        }
        do {
            return try await http.send(
                HTTPClientRequest(
                    method, HTTPEndpoint(unixPath: path), target, headers: ["content-type": "application/json"],
                    body: body.map { .bytes(JSONWriter.write($0)) } ?? .none, timeout: timeout))
        } catch TransportError.unreachable {
            throw notRunning
        }
    }

    /// With the names of those that do run, in case another was meant.
    var notRunning: CommandFailure {
        let others = ClusterNames.running()
        let which = cluster.chosenName.map { "the cluster \($0)" } ?? "the cluster"
        return CommandFailure(
            "\(which) is not running" + (others.isEmpty ? "" : "; these are: \(others.joined(separator: ", "))"), hint: "Start it: \(cluster.command("up"))")
    }

    private static func failure(_ node: Node?, _ status: Int) -> CommandFailure {
        guard let error = node?["error"], let message = error["message"].string else { return CommandFailure("the daemon answered \(status)") }
        return CommandFailure(message, hint: error["hint"].string)
    }
}

extension String {
    /// As one segment of a path, or one value of a query.
    var urlEscaped: String {
        let digits = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in utf8 {
            switch byte {
            case 48...57, 65...90, 97...122, 45, 46, 95, 126: out.append(byte)
            default: out += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
