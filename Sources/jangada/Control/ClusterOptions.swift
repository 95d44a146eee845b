import ArgumentParser
import Platform

/// Which cluster a command is about.
struct ClusterOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Directory for everything that outlives the daemon.", visibility: .hidden))
    var state = Environment["JANGADA_STATE"] ?? "/var/lib/jangada"
    @Option(name: .customLong("run"), help: ArgumentHelp("Directory for sockets and mounts.", visibility: .hidden))
    var runDirectory = Environment["JANGADA_RUN"] ?? "/run/jangada"

    var directory: StateDirectory { StateDirectory(root: state, run: runDirectory) }
    var control: ControlClient { ControlClient(directory) }
}
