import Core
import Platform
import Tree

/// A person's own kubeconfig: other clusters' entries stay as they are, the file belongs to that person and only they read it.
struct UserKubeconfig: Sendable {
    let path: String
    let user: InvokingUser

    init(path: String? = nil, user: InvokingUser = .current()) {
        self.user = user
        self.path = path ?? user.kubeconfig
    }

    /// Puts the cluster's entries in and makes its context the current one.
    func merge(_ admin: Kubeconfig) throws {
        try user.acting {
            try FileSystem.makeDirectories(FileSystem.parent(of: path), mode: 0o700)
            var config = try existing() ?? Kubeconfig(node: ["apiVersion": "v1", "kind": "Config", "preferences": [:]])
            config.merge(admin)
            try write(config)
        }
    }

    /// Takes the cluster's entries out again; without a file there is nothing to do.
    func remove(_ name: String) throws {
        try user.acting {
            guard var config = try existing() else { return }
            let before = config.node
            config.remove(name: name)
            if config.node != before { try write(config) }
        }
    }

    private func existing() throws -> Kubeconfig? {
        guard FileSystem.exists(path), let size = try FileSystem.status(path, following: true)?.size, size > 0 else { return nil }
        do { return try Kubeconfig(path: path) } catch let error as SyntaxError {
            throw CommandFailure("\(path) is no YAML: \(error)", hint: "Repair or move it away, then: sudo jangada kubeconfig --merge")
        }
    }

    // A link is followed: people keep this file in a repository of their own.
    private func write(_ config: Kubeconfig) throws {
        let target = (try? FileSystem.readLink(path)).map { $0.hasPrefix("/") ? $0 : "\(FileSystem.parent(of: path))/\($0)" } ?? path
        try config.write(target)
    }
}
