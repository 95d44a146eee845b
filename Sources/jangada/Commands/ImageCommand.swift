import ArgumentParser
import Core
import Glibc
import Platform
import Tree

struct ImageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image",
        abstract: "The images on this machine.",
        discussion: """
            Examples:
              sudo jangada image list
              sudo jangada image pull registry.k8s.io/pause:3.10
              docker save app:1 | sudo jangada image load -
            """,
        subcommands: [List.self, Load.self, Save.self, Remove.self, Tag.self, Push.self, Pull.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List images.", discussion: "Example: sudo jangada image list -o json", aliases: ["ls"])
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            output.print(try await cluster.control.get("/v1/images")) { node in
                var table = TextTable("IMAGE", "ID", "SIZE", "UPDATED")
                for item in node["items"].list {
                    let id = (item["id"].string ?? "").split(separator: ":").last.map { String($0.prefix(12)) } ?? ""
                    let names = item["tags"].stringList
                    for name in names.isEmpty ? ["<none>"] : names { table.add(name, id, Words.bytes(item["size"].int ?? 0), item["created"].string ?? "") }
                }
                return table.isEmpty ? "There are no images.\n" : table.rendered(Terminal.output.style)
            }
        }
    }

    struct Load: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Load images from an archive of `docker save`, `podman save` or an OCI layout.",
            discussion: "Example: docker save app:1 | sudo jangada image load -")
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .shortAndLong, help: "The name for an image that carries none.")
        var tag: String?
        @Argument(help: "A tar file, compressed or not; - reads standard input.", completion: .file())
        var archive: String

        func run() async throws {
            let isPiped = archive == "-"
            let path = isPiped ? try Load.spool(cluster) : Paths.absolute(archive)
            defer { if isPiped { unlink(path) } }
            var request: Node = ["path": .string(path)]
            if let tag { request["name"] = .string(tag) }
            let control = cluster.control
            let sent = request
            let result = try await Progress.show("loading") { progress in
                try await control.stream("/v1/images/load", sent) { progress.say($0) }
            }
            output.print(result) { $0["images"].stringList.map { "Loaded \($0)\n" }.joined() }
        }

        // The daemon reads files, not this process's input.
        private static func spool(_ cluster: ClusterOptions) throws -> String {
            let path = "\(cluster.directory.run)/load-\(Identifier.suffix(8)).tar"
            let file = try FileSystem.open(path, [.writeOnly, .create, .exclusive])
            let input = FileDescriptor(owning: dup(STDIN_FILENO))
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
            defer { buffer.deallocate() }
            while true {
                let count = try input.read(into: buffer)
                if count == 0 { return path }
                try file.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        }
    }

    struct Save: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Save images to an archive that docker, podman and skopeo read.",
            discussion: "Example: sudo jangada image save -f app.tar localhost:5000/shop/app:1")
        @OptionGroup var cluster: ClusterOptions
        @Option(name: .shortAndLong, help: "The archive to write.", completion: .file())
        var file: String
        @Argument(help: "Images.")
        var images: [String]

        func run() async throws {
            let request: Node = ["path": .string(Paths.absolute(file)), "images": Node(images)]
            let control = cluster.control
            _ = try await Progress.show("saving") { progress in
                try await control.stream("/v1/images/save", request) { progress.say($0) }
            }
            Terminal.output.line("Saved \(images.joined(separator: ", ")) to \(file)")
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "rm", abstract: "Remove images by name or id.", discussion: "Example: sudo jangada image rm app:1 app:2", aliases: ["remove"])
        @OptionGroup var cluster: ClusterOptions
        @Argument(help: "Images.")
        var images: [String]

        func run() async throws {
            for image in images {
                _ = try await cluster.control.send("DELETE", "/v1/images?name=\(image.urlEscaped)")
                Terminal.output.line("Removed \(image)")
            }
        }
    }

    struct Tag: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give an image another name.", discussion: "Example: sudo jangada image tag app:1 localhost:5000/shop/app:1")
        @OptionGroup var cluster: ClusterOptions
        @Argument(help: "An image.")
        var source: String
        @Argument(help: "The other name.")
        var target: String

        func run() async throws {
            _ = try await cluster.control.send("POST", "/v1/images/tag", ["source": .string(source), "target": .string(target)])
        }
    }

    struct Push: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Push an image to the registry that its name begins with.",
            discussion: """
                The built-in registry needs no login here. Others: --user, or what `docker login` left in ~/.docker/config.json.

                Example: sudo jangada image push localhost:5000/shop/app:1
                """)
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var login: LoginOptions
        @Argument(help: "The image.")
        var image: String

        func run() async throws { try await login.transfer(cluster, "push", image) }
    }

    struct Pull: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Pull an image.", discussion: "Example: sudo jangada image pull registry.k8s.io/pause:3.10")
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var login: LoginOptions
        @Argument(help: "The image.")
        var image: String

        func run() async throws { try await login.transfer(cluster, "pull", image) }
    }
}

/// Credentials for a registry: given, or those of the person's docker configuration.
struct LoginOptions: ParsableArguments {
    @Option(help: "User name at the registry.")
    var user: String?
    @Flag(help: "Read the password or token from standard input.")
    var passwordStdin = false
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if passwordStdin != (user != nil) { throw ValidationError("--user and --password-stdin go together.") }
    }

    /// Asks the daemon to push or pull, and shows how far it is.
    func transfer(_ cluster: ClusterOptions, _ verb: String, _ image: String) async throws {
        var request: Node = ["image": .string(image)]
        if let user {
            request["user"] = .string(user)
            request["password"] = .string(readLine() ?? "")
        } else {
            let person = InvokingUser.current()
            let config = Environment["DOCKER_CONFIG"] ?? "\(person.home)/.docker"
            if let text = try? person.acting({ try FileSystem.readFile("\(config)/config.json", limit: 1 << 20) }) {
                request["dockerConfig"] = .string(String(decoding: text, as: UTF8.self))
            }
        }
        let control = cluster.control
        let sent = request
        let result = try await Progress.show("\(verb)ing \(image)") { progress in
            try await control.stream("/v1/images/\(verb)", sent) { progress.say($0) }
        }
        output.print(result) { "\($0["image"].string ?? image)  \($0["digest"].string ?? $0["id"].string ?? "")\n" }
    }
}
