import ArgumentParser
import Tree

struct CredentialsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "credentials",
        abstract: "User names and tokens of registries.",
        discussion: """
            A token is shown once, when it is made; only a salted hash of it is kept.

            Examples:
              sudo jangada registry credentials create meu-registry --user ana
              sudo jangada registry credentials rotate ID
              kubectl create secret docker-registry pull --docker-server=localhost:5000 --docker-username=ana --docker-password=TOKEN
            """,
        subcommands: [List.self, Create.self, Rotate.self, Delete.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List credentials, without their tokens.", discussion: "Example: sudo jangada registry credentials list meu-registry",
            aliases: ["ls"])
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "Of this registry only.")
        var registry: String?

        func run() async throws {
            let query = registry.map { "?registry=\($0.urlEscaped)" } ?? ""
            output.print(try await cluster.control.get("/v1/credentials\(query)")) { node in
                var table = TextTable("ID", "REGISTRY", "USER", "MAY", "CREATED")
                for item in node["items"].list {
                    table.add(
                        item["id"].string ?? "", item["registry"].string ?? "", item["user"].string ?? "",
                        item["scopes"].stringList.joined(separator: ","), item["created"].string ?? "")
                }
                return table.isEmpty
                    ? "There are no credentials. Make one: jangada registry credentials create REGISTRY\n" : table.rendered(Terminal.output.style)
            }
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a credential and show its token, this once.",
            discussion: """
                Examples:
                  sudo jangada registry credentials create meu-registry --user ana
                  sudo jangada registry credentials create meu-registry --user ci --scopes pull
                """)
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions
        @Option(help: "User name (default: the registry's name).")
        var user: String?
        @Option(help: "What it may do: pull, push, delete, joined by commas (default: all).")
        var scopes: String?
        @Argument(help: "The registry.")
        var registry: String

        func run() async throws {
            var request: Node = ["registry": .string(registry)]
            if let user { request["user"] = .string(user) }
            if let scopes { request["scopes"] = Node(scopes.split(separator: ",").map(String.init)) }
            output.print(try await cluster.control.send("POST", "/v1/credentials", request), CredentialsCommand.text)
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a new token for a credential; the old one ends.", discussion: "Example: sudo jangada registry credentials rotate ID")
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The credential's id, from `list`.")
        var id: String

        func run() async throws {
            output.print(try await cluster.control.send("POST", "/v1/credentials/\(id.urlEscaped)/rotate"), CredentialsCommand.text)
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete a credential; its token ends.", discussion: "Example: sudo jangada registry credentials delete ID", aliases: ["rm"])
        @OptionGroup var cluster: ClusterOptions
        @Argument(help: "The credential's id, from `list`.")
        var id: String

        func run() async throws {
            _ = try await cluster.control.send("DELETE", "/v1/credentials/\(id.urlEscaped)")
            Terminal.output.line("Credential \(id) is deleted.")
        }
    }

    static func text(_ node: Node) -> String {
        """
        id:     \(node["id"].string ?? "")
        user:   \(node["user"].string ?? "")
        token:  \(node["token"].string ?? "")

        """
    }
}
