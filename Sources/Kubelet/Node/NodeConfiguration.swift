package import Machinery

/// What one kubelet is told about its node. Several live in one process, so nothing here may be global to the machine.
package struct NodeConfiguration: Sendable {
    package var name: String
    package var addresses: [String]
    package var hostname: String
    package var instanceType = ""
    package var labels: [String: String] = [:]
    package var taints: [(key: String, value: String, effect: String)] = []
    package var podCIDRs: [String] = []
    package var providerID = ""
    package var capacity: [String: Quantity]
    /// Kept back from pods.
    package var reserved: [String: Quantity] = [:]
    /// The port that node addresses say the kubelet listens on.
    package var port = 10250
    package var clusterDNS: [String] = []
    package var clusterDomain = "cluster.local"
    /// Of which pods with `dnsPolicy: Default` get their resolvers.
    package var resolvConf = "/etc/resolv.conf"
    /// Volumes and other things of pods that a reboot keeps.
    package var podsDirectory: String
    /// What comes from the API, secrets among it: on a file system in memory.
    package var runtimeDirectory: String
    package var logsDirectory: String
    /// What plugins of the node and its kubelet find each other in: `plugins`, `plugins_registry`.
    package var kubeletDirectory: String
    /// The cgroup above `kubepods`, below the hierarchy's root.
    package var cgroup: String
    package var logRotation: (bytes: UInt64, files: Int) = (10 << 20, 5)
    package var version = "v1.36.0"
    package var statusInterval = Duration.seconds(300)
    package var leaseSeconds = 40
    /// Free share of the image file system (of 100) below which unused images go, and at which that stops.
    package var imageCollection: (start: Int, stop: Int) = (15, 20)

    package init(
        name: String, addresses: [String], capacity: [String: Quantity], podsDirectory: String, runtimeDirectory: String, logsDirectory: String,
        cgroup: String
    ) {
        self.name = name
        self.addresses = addresses
        hostname = name
        self.capacity = capacity
        self.podsDirectory = podsDirectory
        kubeletDirectory = "\(podsDirectory).kubelet"
        self.runtimeDirectory = runtimeDirectory
        self.logsDirectory = logsDirectory
        self.cgroup = cgroup
    }

    /// Several nodes share a machine, and what a pod finds under these paths is its node's own.
    func machinePath(_ path: String) -> String {
        for (prefix, own) in [("/var/lib/kubelet", kubeletDirectory), ("/var/run/cdi", "\(kubeletDirectory)/cdi"), ("/run/cdi", "\(kubeletDirectory)/cdi")] {
            if path == prefix || path.hasPrefix(prefix + "/") { return own + path.dropFirst(prefix.count) }
        }
        return path
    }

    package var allocatable: [String: Quantity] {
        capacity.merging(reserved.mapValues { -$0 }) { $0 + $1 }.filter { capacity[$0.key] != nil }
    }
}
