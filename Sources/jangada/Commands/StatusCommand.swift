import ArgumentParser
import Core
import Tree

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the cluster: nodes, services, registries, images.",
        discussion: """
            Examples:
              sudo jangada status
              sudo jangada status -o json
            """)

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        output.print(try await cluster.control.get("/v1/status")) { StatusCommand.text($0, Terminal.output.style) }
    }

    static func text(_ status: Node, _ style: Style) -> String {
        let running = status["pods"]["running"].int ?? 0
        let total = status["pods"]["total"].int ?? 0
        let registries = status["registry"]["registries"].stringList
        var lines: [(String, String)] = [
            ("Cluster", "\(status["name"].string ?? "") \(status["version"].string ?? "")  (daemon \(status["pid"].int ?? 0)\(since(status)))"),
            ("API", "\(status["server"].string ?? "-")  (kubectl --context \(status["context"].string ?? "-"))"),
            ("Registry", "\(status["registry"]["address"].string ?? "-")" + (registries.isEmpty ? "" : "  \(registries.joined(separator: ", "))")),
            ("Images", "\(status["images"]["count"].int ?? 0), \(Words.bytes(status["images"]["bytes"].int ?? 0))"),
            ("Pods", "\(running) running" + (running == total ? "" : " of \(total)")),
        ]
        if let deployments = status["deployments"].int { lines.append(("Deployments", "\(deployments)")) }
        var out = lines.map { label, value in
            style.bold(label + ":") + String(repeating: " ", count: 13 - label.count) + value + "\n"
        }.joined()
        var nodes = TextTable("NODE", "STATUS", "ADDRESS", "PODS")
        for node in status["nodes"].list {
            nodes.add(
                node["name"].string ?? "", node["ready"].bool == true ? "Ready" : "NotReady", node["address"].string ?? "", "\(node["pods"].int ?? 0)")
        }
        out += "\n" + nodes.rendered(style)
        if let emulated = status["emulatedNodes"].int, emulated > 0 { out += "and \(emulated) emulated: jangada node list\n" }
        var services = TextTable("SERVICE", "ADDRESS", "PORTS")
        for service in status["services"].list {
            services.add(
                "\(service["namespace"].string ?? "")/\(service["name"].string ?? "")",
                service["addresses"].stringList.joined(separator: ","),
                service["ports"].list.compactMap { $0.int.map(String.init) }.joined(separator: ","))
        }
        if !services.isEmpty { out += "\n" + services.rendered(style) }
        return out
    }

    private static func since(_ status: Node) -> String {
        guard let started = status["started"].string.flatMap({ Timestamp(rfc3339: $0) }) else { return "" }
        return ", up for \(Words.age((Timestamp.now() - started).components.seconds))"
    }
}
