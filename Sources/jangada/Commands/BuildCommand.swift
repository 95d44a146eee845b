import ArgumentParser
import Core
import Tree

struct BuildCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Build an image from a Dockerfile.",
        discussion: """
            The image is at once there for the cluster's pods; `jangada image push` sends it to a registry.

            Examples:
              sudo jangada build -t localhost:5000/shop/app:1 .
              sudo jangada build -t app:1 -f deploy/Dockerfile --build-arg VERSION=1 --target release .
            """)

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var output: OutputOptions
    @Option(name: .shortAndLong, help: "Name of the image; may be given more than once.")
    var tag: [String]
    @Option(name: .shortAndLong, help: "The Dockerfile (default: Dockerfile in the context).", completion: .file())
    var file: String?
    @Option(name: .customLong("build-arg"), help: ArgumentHelp("A value for an ARG; may be given more than once.", valueName: "name=value"))
    var arguments: [String] = []
    @Option(name: .customLong("label"), help: ArgumentHelp("A label; may be given more than once.", valueName: "name=value"))
    var labels: [String] = []
    @Option(
        name: .customLong("secret"),
        help: ArgumentHelp(
            "A secret for RUN --mount=type=secret: id=NAME and src=FILE or env=VARIABLE; may be given more than once.", valueName: "id=name,src=file"))
    var secrets: [String] = []
    @Option(help: "Build up to this stage.")
    var target: String?
    @Flag(help: "Run every step, also those whose result is known.")
    var noCache = false
    @Argument(help: "The directory that COPY and ADD read.", completion: .directory)
    var context: String

    func run() async throws {
        var request: Node = [
            "context": .string(Paths.absolute(context)), "tags": Node(tag), "arguments": Node(try BuildCommand.pairs(arguments)),
            "labels": Node(try BuildCommand.pairs(labels)), "cache": .bool(!noCache),
        ]
        if let file { request["file"] = .string(Paths.absolute(file)) }
        if let target { request["target"] = .string(target) }
        for secret in secrets {
            let (id, value) = try BuildCommand.secret(secret)
            request["secrets"][id] = .string(Encoding.base64(value))
        }
        let control = cluster.control
        let sent = request
        let result = try await Progress.show("building") { progress in
            try await control.stream("/v1/build", sent) { progress.print($0) }
        }
        output.print(result) { "\($0["digest"].string ?? "")\n" }
    }

    /// Read here, where relative paths and variables mean what the caller means. Without a source it is the variable of its own name.
    static func secret(_ text: String) throws -> (id: String, value: [UInt8]) {
        var fields: [String: String] = [:]
        for field in text.split(separator: ",") {
            let parts = field.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, ["id", "src", "source", "env", "type"].contains(parts[0]) else {
                throw ValidationError("\"\(field)\" is no part of a secret: it takes id=, src= and env=.")
            }
            fields[parts[0]] = parts[1]
        }
        guard let id = fields["id"] else { throw ValidationError("\"\(text)\" has no id=.") }
        if let path = fields["src"] ?? fields["source"] { return (id, try FileSystem.readFile(Paths.absolute(path), limit: 500 << 10)) }
        guard let value = Environment[fields["env"] ?? id] else { throw ValidationError("There is no variable \(fields["env"] ?? id) for the secret \(id).") }
        return (id, Array(value.utf8))
    }

    /// `NAME=VALUE` as given; a name alone takes its value from the environment, as docker does.
    static func pairs(_ texts: [String]) throws -> [String: String] {
        var out: [String: String] = [:]
        for text in texts {
            let name = text.prefix { $0 != "=" }
            guard !name.isEmpty else { throw ValidationError("\"\(text)\" is not NAME=VALUE.") }
            if name.endIndex == text.endIndex { out[text] = Environment[text] } else { out[String(name)] = String(text[text.index(after: name.endIndex)...]) }
        }
        return out
    }
}
