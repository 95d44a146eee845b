import ArgumentParser
import Tree

struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Why a pod is where it is, or nowhere.",
        discussion: """
            Asks the scheduler, as of now: which nodes each filter refuses and why, what the others score, whether preemption would help,
            and what would have to happen.

            Examples:
              sudo jangada explain pod/web-0
              sudo jangada explain pod/web-0 --namespace shop --output yaml
            """)

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var output: OutputOptions
    @Option(name: .shortAndLong, help: "The pod's namespace.")
    var namespace = "default"
    @Argument(help: "The pod, as pod/NAME or NAME.")
    var pod: String

    private var podName: String { pod.hasPrefix("pod/") ? String(pod.dropFirst(4)) : pod.hasPrefix("pods/") ? String(pod.dropFirst(5)) : pod }

    func validate() throws {
        if podName.isEmpty || podName.contains("/") { throw ValidationError("\"\(pod)\" is no pod: write pod/NAME.") }
    }

    func run() async throws {
        let answer = try await cluster.control.get("/v1/explain?pod=\(podName.urlEscaped)&namespace=\(namespace.urlEscaped)")
        output.print(answer) { ExplainCommand.text($0, Terminal.output.style) }
    }

    static func text(_ answer: Node, _ style: Style) -> String {
        var out = style.bold("Pod:") + "       \(answer["pod"].string ?? "") (priority \(answer["priority"].int ?? 0), by \(answer["schedulerName"].string ?? ""))\n"
        out += style.bold("Verdict:") + "   \(answer["summary"].string ?? "")\n"
        if let node = answer["nominatedNode"].string { out += style.bold("Promised:") + "  \(node), once its victims have left\n" }
        let queue = answer["queue"]
        if !queue.isNull {
            let attempts = queue["attempts"].int ?? 0
            out += style.bold("Queue:") + "     \(queue["state"].string ?? ""), \(attempts) attempt\(attempts == 1 ? "" : "s")"
            out += (queue["retriedAtTheLatest"].string.map { ", tried again at the latest at \($0)" } ?? "") + "\n"
        }
        out += filters(answer, style) + candidates(answer, style) + preemption(answer["preemption"], style)
        if !answer["extenders"].isEmpty { out += "\n" + style.bold("Extenders with a say, not asked here:") + " \(answer["extenders"].stringList.joined(separator: ", "))\n" }
        let remedies = answer["schedulableWhen"].list
        if !remedies.isEmpty {
            out += "\n" + style.bold("Tried again when:") + "\n"
            for remedy in remedies { out += "  \(remedy["plugin"].string ?? ""): \(remedy["event"].string ?? "")\n" }
        }
        return out
    }

    private static func filters(_ answer: Node, _ style: Style) -> String {
        guard !answer["filters"].list.isEmpty else { return "" }
        var table = TextTable("FILTER", "REFUSES", "WHY", "SUCH AS")
        for filter in answer["filters"].list {
            for reason in filter["reasons"].list {
                table.add(
                    filter["plugin"].string ?? "", "\(reason["nodes"].int ?? 0) of \(answer["nodes"].int ?? 0)", reason["reason"].string ?? "",
                    reason["examples"].stringList.joined(separator: ", "))
            }
        }
        return "\n" + table.rendered(style)
    }

    private static func candidates(_ answer: Node, _ style: Style) -> String {
        let candidates = answer["candidates"].list
        guard !candidates.isEmpty else { return "" }
        var table = TextTable("RANK", "NODE", "SCORE", "OF WHICH")
        for candidate in candidates {
            let scores = candidate["scores"].fields.map { "\($0.key) \($0.value.int ?? 0)" }.joined(separator: ", ")
            let mark = candidate["node"] == answer["node"] ? " *" : ""
            table.add("\(candidate["rank"].int ?? 0)", (candidate["node"].string ?? "") + mark, "\(candidate["total"].int ?? 0)", scores)
        }
        return "\n" + table.rendered(style)
    }

    private static func preemption(_ preemption: Node, _ style: Style) -> String {
        if preemption.isNull { return "" }
        var out = "\n" + style.bold("Preemption:") + " "
        if let why = preemption.string { return out + why + "\n" }
        out += "on \(preemption["node"].string ?? ""), best of \(preemption["candidates"].int ?? 0), these would go: "
        return out + preemption["victims"].stringList.joined(separator: ", ") + "\n"
    }
}
