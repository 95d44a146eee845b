import Platform

/// The clusters of this machine by name.
enum ClusterNames {
    /// Those that a daemon runs where a name leads; where another user may not look, none.
    static func running() -> [String] {
        ClusterIndex.clusters().values.compactMap { root in
            let directory = StateDirectory(root: root, run: "")
            guard DaemonLock.holder(directory).isHeld, let settings = try? ClusterSettings(directory) else { return nil }
            guard root == StateDirectory.named(settings.name).root else { return nil }
            return settings.name
        }.sorted()
    }
}
