import ArgumentParser
import Tree

struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node",
        abstract: "Emulated nodes: any number of them, for trying out scheduling and scale.",
        discussion: """
            An emulated node is registered and sends heartbeats like any other, but nothing runs on it: its pods only report their states.
            Annotations of a pod say when it does so, such as "2s":
              emulation.jangada.dev/running-after, emulation.jangada.dev/succeeded-after, emulation.jangada.dev/failed-after
            Without them a pod is Running at once and stays so; a Job's pod succeeds after a second.

            Examples:
              sudo jangada node emulate 100
              sudo jangada node emulate 3 --flavor BV4-8-40 --label pool=small --taint pool=small:NoSchedule
              sudo jangada node list
              sudo jangada node remove --all
            """,
        subcommands: [Emulate.self, List.self, Remove.self])

    struct Emulate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Register more emulated nodes.", discussion: "Example: sudo jangada node emulate 100 --cpu 8 --memory 32Gi")
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions
        @Option(help: "Processors, memory in GiB and disk in GiB, such as BV4-8-40.")
        var flavor: String?
        @Option(help: "Processors of each (default: 32).")
        var cpu: String?
        @Option(help: "Memory of each (default: 256Gi).")
        var memory: String?
        @Option(help: "Disk of each (default: 1Ti).")
        var storage: String?
        @Option(help: "How many pods each takes (default: 110).")
        var pods: String?
        @Option(help: "A further resource, as NAME=AMOUNT; may be given several times.")
        var resource: [String] = []
        @Option(help: "A label, as KEY=VALUE; may be given several times.")
        var label: [String] = []
        @Option(help: "A taint, as KEY=VALUE:EFFECT; may be given several times.")
        var taint: [String] = []
        @Option(help: "What their names begin with.")
        var prefix = "emulated"
        @Argument(help: "How many.")
        var count: Int

        func validate() throws {
            if count < 1 { throw ValidationError("At least one node is needed.") }
            for text in resource + label where !text.contains("=") { throw ValidationError("\"\(text)\" lacks a '='.") }
        }

        private static func pairs(_ texts: [String]) -> Node {
            .map(Fields(texts.map { text in
                let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return (String(parts[0]), .string(String(parts[1])))
            }))
        }

        func run() async throws {
            var resources = Emulate.pairs(resource)
            for (name, amount) in [("cpu", cpu), ("memory", memory), ("ephemeral-storage", storage), ("pods", pods)] { if let amount { resources[name] = .string(amount) } }
            var wanted: Node = [
                "count": .int(Int64(count)), "prefix": .string(prefix), "resources": resources, "labels": Emulate.pairs(label), "taints": Node(taint),
            ]
            if let flavor { wanted["flavor"] = .string(flavor) }
            let made = try await Progress.show("registering nodes") { progress in
                try await cluster.control.stream("/v1/emulated-nodes", wanted) { progress.say($0) }
            }
            output.print(made) { node in
                let names = node["nodes"].stringList
                return names.count == 1 ? "Node \(names[0]) is emulated.\n" : "\(names.count) nodes are emulated, \(names.first ?? "") to \(names.last ?? "").\n"
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List emulated nodes.", discussion: "Example: sudo jangada node list", aliases: ["ls"])
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            output.print(try await cluster.control.get("/v1/emulated-nodes")) { node in
                var table = TextTable("NAME", "STATUS", "FLAVOR", "CPU", "MEMORY", "PODS")
                for item in node["items"].list {
                    let has = item["allocatable"]
                    table.add(
                        item["name"].string ?? "", item["ready"].bool == true ? "Ready" : "NotReady", item["flavor"].string ?? "", has["cpu"].string ?? "",
                        has["memory"].string ?? "", "\(item["pods"].int ?? 0) of \(has["pods"].string ?? "0")")
                }
                return table.isEmpty ? "No nodes are emulated. Make some: jangada node emulate 10\n" : table.rendered(Terminal.output.style)
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove emulated nodes with the pods on them.", discussion: "Example: sudo jangada node remove emulated-3", aliases: ["rm"])
        @OptionGroup var cluster: ClusterOptions
        @Flag(help: "All emulated nodes.")
        var all = false
        @Argument(help: "The nodes.")
        var names: [String] = []

        func validate() throws {
            if all == !names.isEmpty { throw ValidationError("Name the nodes, or say --all.") }
        }

        func run() async throws {
            let removed = try await Progress.show("removing nodes") { progress in
                try await cluster.control.stream("/v1/emulated-nodes/remove", ["names": Node(names)]) { progress.say($0) }
            }
            let count = removed["nodes"].list.count
            Terminal.output.line(count == 1 ? "Node \(removed["nodes"].stringList[0]) is removed." : "\(count) nodes are removed.")
        }
    }
}
