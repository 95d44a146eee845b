import ArgumentParser
import Platform

/// Which cluster a command is about.
struct ClusterOptions: ParsableArguments {
    @Option(help: "Name of the cluster (default: $JANGADA_NAME, else jangada).")
    var name: String?
    @Option(help: ArgumentHelp("Directory for everything that outlives the daemon.", visibility: .hidden))
    var state: String?
    @Option(name: .customLong("run"), help: ArgumentHelp("Directory for sockets and mounts.", visibility: .hidden))
    var runDirectory: String?

    func validate() throws {
        if let chosenName, !ClusterOptions.isName(chosenName) {
            throw ValidationError("\"\(chosenName)\" is no name of a cluster: lowercase letters, digits and '-', at most 40, beginning with a letter.")
        }
    }

    /// The name that was asked for, if any was.
    var chosenName: String? { name ?? Environment["JANGADA_NAME"].flatMap { $0.isEmpty ? nil : $0 } }

    var directory: StateDirectory {
        let usual = StateDirectory.named(chosenName ?? ClusterSettings.defaultName)
        let root = (state ?? Environment["JANGADA_STATE"]).map(Paths.absolute)
        let run = (runDirectory ?? Environment["JANGADA_RUN"]).map(Paths.absolute)
        return StateDirectory(root: root ?? usual.root, run: run ?? root.map { "\($0)/run" } ?? usual.run)
    }

    var control: ControlClient { ControlClient(self) }

    /// A command on this same cluster, for a person to type.
    func command(_ words: String) -> String {
        var out = "sudo jangada \(words)"
        if let chosenName { out += " --name \(chosenName)" }
        if let state { out += " --state \(state)" }
        if let runDirectory { out += " --run \(runDirectory)" }
        return out
    }

    static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, (97...122).contains(first), text.utf8.count <= 40, text.utf8.last != 0x2D else { return false }
        return text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 0x2D }
    }
}
