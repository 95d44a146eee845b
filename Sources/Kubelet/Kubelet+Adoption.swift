import Client
import Containers
import Core
import Linux
import Logging
import Machinery
import Schema
import Tree

extension Kubelet {
    /// What runs here from before, by pod uid. Of two sandboxes of one pod only the newer stays.
    func adopt() async -> [String: (AdoptedPod, Sandbox)] {
        var found: [String: (AdoptedPod, Sandbox)] = [:]
        for sandbox in parts.runtime.all where sandbox.labels[Label.node] == parts.node.name {
            guard let uid = sandbox.labels[Label.podUID] else { continue }
            let pod = await adopted(sandbox, uid)
            if let other = found[uid] {
                let isNewer = pod.sandboxAttempt > other.0.sandboxAttempt || (sandbox.isRunning && !other.1.isRunning)
                try? await (isNewer ? other.1 : sandbox).remove()
                if !isNewer { continue }
            }
            found[uid] = (pod, sandbox)
        }
        return found
    }

    private func adopted(_ sandbox: Sandbox, _ uid: String) async -> AdoptedPod {
        var containers: [AdoptedPod.Container] = []
        for container in sandbox.containers {
            let labels = container.labels
            guard let name = labels[Label.container], let attempt = labels[Label.attempt].flatMap({ Int($0) }) else { continue }
            let state: AdoptedPod.Container.State
            switch container.state {
            case .created:
                // The daemon ended between making and starting it.
                try? await container.remove()
                continue
            case .running(_, let startedAt):
                state = .running(
                    RunningContainer(
                        id: container.id, image: labels[Label.image] ?? "", imageID: labels[Label.imageID] ?? "", startedAt: startedAt,
                        user: ContainerLabels.user(labels)))
            case .exited(let exit):
                let message = TerminationMessage.read("\(parts.node.podsDirectory)/\(uid)/containers/\(name)/\(attempt).message", log: nil)
                state = .exited(
                    Termination(
                        exitCode: exit.code, reason: exit.oomKilled ? "OOMKilled" : exit.code == 0 ? "Completed" : exit.witnessed ? "Error" : "Unknown",
                        message: message, startedAt: exit.startedAt, finishedAt: exit.finishedAt, containerID: container.id))
            }
            containers.append(.init(name: name, attempt: attempt, specImage: labels[Label.specImage] ?? "", state: state))
        }
        let network = parts.network
        let addresses = try? await parts.threads.run { () throws(any Error) -> [String] in
            network.attached().contains(uid) ? try network.attach(uid, hostPorts: []).addresses : []
        }
        return AdoptedPod(
            sandbox: sandbox.id, addresses: addresses ?? [], sandboxAttempt: sandbox.labels[Label.sandboxAttempt].flatMap { Int($0) } ?? 0,
            containers: containers)
    }

    /// What belongs to pods that went while nobody looked.
    func removeOrphans(_ found: [String: (AdoptedPod, Sandbox)]) async {
        for (uid, (_, sandbox)) in found where worker(uid: uid) == nil {
            parts.log.info("removing the sandbox of a pod that is gone", metadata: ["pod": "\(uid)", "sandbox": "\(sandbox.id)"])
            try? await sandbox.remove()
        }
        for uid in parts.network.attached() where worker(uid: uid) == nil {
            let network = parts.network
            try? await parts.threads.run { () throws(any Error) in try network.detach(uid) }
        }
        let live = Set(workers.map(\.uid))
        let node = parts.node
        try? await parts.threads.run { () throws(SystemFailure) in
            for uid in (try? FileSystem.list(node.podsDirectory)) ?? [] where !live.contains(uid) {
                let volumes = "\(node.podsDirectory)/\(uid)/volumes"
                for name in (try? FileSystem.list(volumes)) ?? [] { try Mounts.unmount("\(volumes)/\(name)") }
                try FileSystem.removeTree("\(node.podsDirectory)/\(uid)")
            }
            for uid in (try? FileSystem.list("\(node.runtimeDirectory)/pods")) ?? [] where !live.contains(uid) {
                try FileSystem.removeTree("\(node.runtimeDirectory)/pods/\(uid)")
            }
            for name in (try? FileSystem.list(node.logsDirectory)) ?? [] where !live.contains(String(name.split(separator: "_").last ?? "")) {
                try FileSystem.removeTree("\(node.logsDirectory)/\(name)")
            }
        }
    }
}
