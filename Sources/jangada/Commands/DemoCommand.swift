import ArgumentParser
import Core
import Glibc
import Platform
import Tree

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Play a story on the cluster: registry, image, deployment, scale, rolling update.",
        discussion: """
            Makes a private registry, builds and pushes checkout-api and order-worker, deploys them behind a load balancer in the
            namespace \(DemoNames.namespace), scales, updates to a new version and goes back, with requests going on all the time.
            Ends with 0 only if every request was answered. Uses kubectl where there is one. What it made stays, to be looked at:
            kubectl -n \(DemoNames.namespace) get all. It can be played again.

            Examples:
              sudo jangada demo
              sudo jangada demo --kill-daemon
            """)

    @OptionGroup var cluster: ClusterOptions
    @Option(help: "The directory of the images (default: where install.sh put them, else Images here).", completion: .directory)
    var images: String?
    @Flag(help: "Kill the daemon in the middle of the rolling update and start it again.")
    var killDaemon = false
    @Flag(help: "Make the requests without kubectl.")
    var noKubectl = false

    func run() async throws {
        guard geteuid() == 0 else { throw CommandFailure("the demo needs root", hint: cluster.command("demo")) }
        let images = try imagesDirectory()
        let timeline = Timeline()
        timeline.chapter("0. A cluster")
        let style = Terminal.output.style
        let wasRunning = await cluster.control.isRunning()
        try await timeline.step("jangada up", note: { (_: Void) in wasRunning ? "it is running already" : "" }) {
            var up = try UpCommand.parse([])
            up.cluster = cluster
            try await up.start(quiet: true)
        }
        if try await cluster.control.get("/v1/status")["nodes"].list.isEmpty {
            throw CommandFailure("the cluster has no node to run pods on", hint: "Give it one: \(cluster.command("down")) && \(cluster.command("up")) --nodes 1")
        }
        let story = DemoStory(
            cluster: cluster, control: cluster.control, client: try client(), images: images, killsDaemon: killDaemon, timeline: timeline)
        let counts = try await story.play()
        Terminal.output.line(
            "\n" + style.bold("\(timeline.steps.count) steps in \(Words.duration(timeline.total))") + ": \(counts.answered) requests answered, "
                + (counts.failed == 0 ? style.green("none failed") : style.red("\(counts.failed) failed"))
                + ", the slowest took \(Words.duration(counts.slowest))")
        guard counts.failed == 0 else {
            throw CommandFailure("\(counts.failed) of \(counts.answered + counts.failed) requests failed: \(counts.failures.joined(separator: "; "))")
        }
        Terminal.output.line("Look around: kubectl -n \(DemoNames.namespace) get all; sudo jangada status")
    }

    private func client() throws -> any DemoClient {
        let path = cluster.directory.adminKubeconfig
        if !noKubectl, let program = Subprocess.find("kubectl") { return KubectlClient(program: program, kubeconfig: path) }
        return try AdminClient(try Kubeconfig(path: path))
    }

    private func imagesDirectory() throws -> String {
        let program = (try? FileSystem.readLink("/proc/self/exe")).map { FileSystem.parent(of: FileSystem.parent(of: $0)) } ?? "/usr/local"
        let places = images.map { [Paths.absolute($0)] } ?? ["\(program)/share/jangada/Images", Paths.absolute("Images")]
        for place in places where FileSystem.exists("\(place)/\(DemoNames.api)/build/\(DemoNames.api)") { return place }
        throw CommandFailure("the demo's images are not built in \(places.joined(separator: " or "))", hint: "Build them: Images/build, in Jangada's source directory")
    }
}
