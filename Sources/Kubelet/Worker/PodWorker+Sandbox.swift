import Containers
import Core
import Linux
import Logging
import Synchronization
import Tree

extension PodWorker {
    func createSandbox(_ attempt: Int) async {
        let pod = pod
        do {
            let (network, addresses) = try await attach(pod)
            try await writeFiles(pod, addresses)
            let spec = spec(pod, attempt, network)
            let sandbox = try await parts.runtime.createSandbox(spec)
            state.withLock { state in
                state.podLimits = spec.limits
                state.sandbox = sandbox
                state.addresses = addresses
                state.containers = [:]
            }
            send(.sandboxReady(id: sandbox.id, addresses: addresses))
        } catch {
            if !Task.isCancelled { send(.sandboxFailed(message: "\(error)")) }
        }
    }

    private func attach(_ pod: PodView) async throws -> (SandboxSpec.Network, [String]) {
        if pod.usesHostNetwork { return (.given(parts.network.node), parts.node.addresses) }
        let network = parts.network
        let uid = uid
        let attachment = try await parts.threads.run { () throws(any Error) in try network.attach(uid, hostPorts: PodPort.of(pod)) }
        return (.given(attachment.namespace), attachment.addresses)
    }

    private func spec(_ pod: PodView, _ attempt: Int, _ network: SandboxSpec.Network) -> SandboxSpec {
        let quality = QualityOfService(pod.spec)
        let parent = ["\(parts.node.cgroup)/kubepods", quality.group, "pod\(uid)"].compactMap(\.self).joined(separator: "/")
        var spec = SandboxSpec(id: Encoding.hex(Identifier.randomBytes(32)), cgroup: parent)
        let names = PodFiles.hostname(pod, clusterDomain: parts.node.clusterDomain)
        spec.hostname = pod.usesHostNetwork ? parts.node.hostname : names.kernel
        spec.network = network
        spec.hostIPC = pod.spec["hostIPC"].bool ?? false
        spec.processIDs = pod.spec["hostPID"].bool == true ? .host : pod.spec["shareProcessNamespace"].bool == true ? .shared : .perContainer
        for sysctl in pod.spec["securityContext"]["sysctls"].list { spec.sysctls[sysctl["name"].string ?? ""] = sysctl["value"].string ?? "" }
        spec.limits = ContainerResources.limits(pod)
        spec.labels = [
            Label.node: parts.node.name, Label.podUID: uid, Label.podName: pod.name, Label.podNamespace: pod.namespace, Label.sandboxAttempt: "\(attempt)",
        ]
        return spec
    }

    /// What every container of the pod finds in its /etc.
    private func writeFiles(_ pod: PodView, _ addresses: [String]) async throws {
        let node = parts.node
        let paths = paths
        try await parts.threads.run { () throws(SystemFailure) in
            try FileSystem.makeDirectories(paths.state, mode: 0o755)
            let hostFile = pod.usesHostNetwork ? ((try? Files.text("/etc/hosts")) ?? "") : ""
            let hosts = PodFiles.hosts(pod, addresses: addresses, clusterDomain: node.clusterDomain, hostFile: hostFile)
            let host = ResolvConf(parsing: (try? Files.text(node.resolvConf)) ?? "")
            let resolv = ResolvConf(pod, clusterDNS: node.clusterDNS, clusterDomain: node.clusterDomain, host: host)
            let name = pod.usesHostNetwork ? node.hostname : PodFiles.hostname(pod, clusterDomain: node.clusterDomain).kernel
            for (path, text) in [(paths.hosts, hosts), (paths.resolvConf, resolv.text), (paths.hostname, name + "\n")] {
                try Files.replace(path, Array(text.utf8), mode: 0o644)
                try FileSystem.setPermissions(path, 0o644)
            }
        }
    }

    func removeSandbox() async {
        var backoff = Backoff(base: .milliseconds(100), limit: .seconds(10))
        while !Task.isCancelled {
            do {
                if let sandbox = state.withLock({ $0.sandbox }) { try await sandbox.remove() }
                let network = parts.network
                let uid = uid
                try await parts.threads.run { () throws(any Error) in try network.detach(uid) }
                state.withLock { state in
                    state.sandbox = nil
                    state.containers = [:]
                }
                return send(.sandboxRemoved)
            } catch {
                parts.log.warning("sandbox not removed", metadata: ["pod": "\(key)", "error": "\(error)"])
                try? await Task.sleep(for: backoff.next())
            }
        }
    }
}
