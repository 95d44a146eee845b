package import Core

/// Where a cluster keeps its things. Everything that outlives the daemon is below `root`; sockets and mounts are below `run`.
package struct StateDirectory: Sendable {
    package let root: String
    package let run: String

    package static let defaultRoot = "/var/lib/jangada"
    package static let defaultRun = "/run/jangada"

    /// Where a cluster of that name is unless somebody chose otherwise.
    package static func named(_ name: String) -> StateDirectory {
        name == ClusterSettings.defaultName ? StateDirectory() : StateDirectory(root: "\(defaultRoot)-\(name)", run: "\(defaultRun)-\(name)")
    }

    package init(root: String = StateDirectory.defaultRoot, run: String = StateDirectory.defaultRun) {
        self.root = root
        self.run = run
    }

    package var database: String { "\(root)/cluster.db" }
    package var pki: String { "\(root)/pki" }
    package var images: String { "\(root)/images" }
    package var registry: String { "\(root)/registry" }
    package var containers: String { "\(root)/containers" }
    /// What commands of builds keep for the next build.
    package var buildCaches: String { "\(root)/buildcaches" }
    package var volumes: String { "\(root)/volumes" }
    package var pods: String { "\(root)/pods" }
    /// Of each node what programs on a machine would find in /var/lib/kubelet.
    package var kubelets: String { "\(root)/kubelets" }
    package var logs: String { "\(root)/logs" }
    /// Full rights over the cluster, for its owner and for this program's own commands.
    package var adminKubeconfig: String { "\(root)/admin.kubeconfig" }
    package var settings: String { "\(root)/settings.json" }
    /// Written by the cluster's owner; read when the daemon starts.
    package var scheduler: String { "\(root)/scheduler.yaml" }
    /// The audit policy, written by the cluster's owner.
    package var audit: String { "\(root)/audit.yaml" }
    /// An AuthenticationConfiguration, written by the cluster's owner.
    package var authentication: String { "\(root)/authentication.yaml" }
    package var auditLog: String { "\(root)/audit/audit.log" }
    package var daemonLog: String { "\(root)/daemon.log" }
    /// Held by the daemon as long as it lives; its pid is in it.
    package var lock: String { "\(root)/daemon.lock" }
    package var network: String { "\(run)/network" }
    package var controlSocket: String { "\(run)/control.sock" }

    /// Makes the directories, readable by their owner alone.
    package func prepare() throws(SystemFailure) {
        for path in [root, run, pki, images, registry, containers, volumes, pods, kubelets, logs] { try FileSystem.makeDirectories(path, mode: 0o700) }
        // Containers' users pass through these on the way to what is theirs.
        for path in [root, run, containers, volumes, pods, kubelets] { try FileMode.set(path, 0o711) }
    }
}
