import ArgumentParser
import Core
import Platform
import Tree

struct KubeconfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kubeconfig",
        abstract: "Print the administrator's kubeconfig, or merge it into yours.",
        discussion: """
            Examples:
              sudo jangada kubeconfig --merge
              sudo jangada kubeconfig --print > admin.kubeconfig
            """)

    @OptionGroup var cluster: ClusterOptions
    @Flag(name: .customLong("merge"), help: "Merge it into $KUBECONFIG or ~/.kube/config and make its context the current one.")
    var merges = false
    @Flag(name: .customLong("print"), help: "Print it: what happens without --merge.")
    var prints = false

    func validate() throws {
        if merges, prints { throw ValidationError("Either --merge or --print.") }
    }

    func run() async throws {
        let path = cluster.directory.adminKubeconfig
        guard FileSystem.exists(path) else { throw CommandFailure("there is no cluster yet", hint: "Make it: \(cluster.command("up"))") }
        let admin = try Kubeconfig(path: path)
        guard merges else { return Terminal.output.write(YAMLWriter.write(admin.node)) }
        let target = UserKubeconfig()
        try target.merge(admin)
        Terminal.output.line("The context \(admin.node["current-context"].string ?? "") is in \(target.path)")
    }
}
