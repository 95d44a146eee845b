import ArgumentParser
import Tree

struct RegistryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "registry",
        abstract: "Private registries and who may enter them.",
        discussion: """
            A registry is the first part of its images' names: localhost:5000/REGISTRY/IMAGE:TAG.

            Examples:
              sudo jangada registry create meu-registry
              sudo jangada registry credentials create meu-registry
              sudo jangada registry alias add container-registry.br-se1.magalu.cloud
            """,
        subcommands: [Create.self, List.self, Delete.self, CredentialsCommand.self, AliasCommand.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a registry.", discussion: "Example: sudo jangada registry create meu-registry")
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions
        @Flag(name: .customLong("public"), help: "Anyone on this machine may pull.")
        var isPublic = false
        @Argument(help: "Lowercase letters and digits, joined by '-', '_' or '.'.")
        var name: String

        func run() async throws {
            let made = try await cluster.control.send("POST", "/v1/registries", ["name": .string(name), "public": .bool(isPublic)])
            output.print(made) { "Registry \($0["name"].string ?? "") is at \($0["address"].string ?? "")\n" }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List registries.", discussion: "Example: sudo jangada registry list -o json", aliases: ["ls"])
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            output.print(try await cluster.control.get("/v1/registries")) { node in
                var table = TextTable("NAME", "ADDRESS", "ACCESS", "REPOSITORIES", "TAGS", "SIZE")
                for item in node["items"].list {
                    table.add(
                        item["name"].string ?? "", item["address"].string ?? "", item["public"].bool == true ? "public" : "private",
                        "\(item["repositories"].int ?? 0)", "\(item["tags"].int ?? 0)", Words.bytes(item["bytes"].int ?? 0))
                }
                return table.isEmpty ? "There are no registries. Make one: jangada registry create NAME\n" : table.rendered(Terminal.output.style)
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete a registry with its repositories and credentials.",
            discussion: "Example: sudo jangada registry delete meu-registry", aliases: ["rm"])
        @OptionGroup var cluster: ClusterOptions
        @Argument(help: "The registry.")
        var name: String

        func run() async throws {
            _ = try await cluster.control.send("DELETE", "/v1/registries/\(name.urlEscaped)")
            Terminal.output.line("Registry \(name) is deleted.")
        }
    }
}

struct AliasCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alias",
        abstract: "Other registries' names that this one answers to.",
        discussion: """
            Manifests that name another registry then pull from the built-in one, unchanged.

            Example: sudo jangada registry alias add container-registry.br-se1.magalu.cloud
            """,
        subcommands: [Add.self, List.self, Remove.self])

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Answer to a name.", discussion: "Example: sudo jangada registry alias add container-registry.br-se1.magalu.cloud")
        @OptionGroup var cluster: ClusterOptions
        @Argument(help: "Host name of a registry, with its port where it has one.")
        var host: String

        func run() async throws {
            _ = try await cluster.control.send("PUT", "/v1/aliases/\(host.urlEscaped)")
            Terminal.output.line("Images of \(host) come from the built-in registry.")
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the names.", discussion: "Example: sudo jangada registry alias list", aliases: ["ls"])
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            output.print(try await cluster.control.get("/v1/aliases")) { $0["items"].stringList.map { $0 + "\n" }.joined() }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Leave a name to its own registry again.",
            discussion: "Example: sudo jangada registry alias remove container-registry.br-se1.magalu.cloud", aliases: ["rm"])
        @OptionGroup var cluster: ClusterOptions
        @Argument(help: "Host name of a registry.")
        var host: String

        func run() async throws {
            _ = try await cluster.control.send("DELETE", "/v1/aliases/\(host.urlEscaped)")
            Terminal.output.line("Images of \(host) come from \(host) again.")
        }
    }
}
