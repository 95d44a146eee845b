import Core
import ImageBuilder
import OCI
import Transport
import Tree

extension ControlAPI {
    /// Builds from a directory of this machine. Progress lines are those of buildkit's plain output.
    func build(_ exchange: HTTPExchange) async throws {
        let wanted = try await body(exchange)
        let request = try await buildRequest(wanted)
        let builder = cluster.builder
        await ControlStream.run(exchange) { stream in
            let descriptor = try await builder.build(request) { stream.progress($0) }
            return ["digest": .string("\(descriptor.digest)"), "tags": Node(request.tags)]
        }
    }

    private func buildRequest(_ wanted: Node) async throws -> BuildRequest {
        let context = try required(wanted, "context")
        let file = wanted["file"].string ?? "\(context)/Dockerfile"
        guard try FileSystem.status(context, following: true)?.isDirectory == true else {
            throw ControlFailure(400, "\(context) is no directory", hint: "The last argument is the directory that COPY reads from.")
        }
        guard FileSystem.exists(file) else { throw ControlFailure(400, "no Dockerfile at \(file)", hint: "Name it: jangada build -f FILE …") }
        let text = String(decoding: try FileSystem.readFile(file, limit: 1 << 20), as: UTF8.self)
        var request = BuildRequest(context: context, dockerfile: text)
        if FileSystem.exists("\(file).dockerignore") {
            request.ignore = String(decoding: try FileSystem.readFile("\(file).dockerignore", limit: 1 << 20), as: UTF8.self)
        }
        request.tags = wanted["tags"].stringList
        request.target = wanted["target"].string
        request.arguments = wanted["arguments"].stringMap
        request.labels = wanted["labels"].stringMap
        request.usesCache = wanted["cache"].bool ?? true
        for (id, value) in wanted["secrets"].stringMap {
            guard let bytes = Encoding.decodeBase64(value) else { throw ControlFailure(400, "secret \(id) is no base64") }
            request.secrets[id] = bytes
        }
        return request
    }
}
