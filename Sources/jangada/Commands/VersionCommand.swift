import ArgumentParser
import Tree

struct VersionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the versions of this program and of its Kubernetes.",
        discussion: "Example: jangada version -o json")

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let node: Node = ["version": .string(Jangada.versionText), "kubernetes": .string(Jangada.kubernetesVersion)]
        output.print(node) { _ in "jangada \(Jangada.versionText) (Kubernetes \(Jangada.kubernetesVersion))\n" }
    }
}
