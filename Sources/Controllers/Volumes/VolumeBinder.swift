package import Client
package import Core
import Kinds
import Machinery
package import Schema
import Tree

/// Brings claims and volumes together, and keeps the phases of both true. Keys with a namespace are claims, those without
/// are volumes. A binding is four writes, each of which can be the last one before a crash: the next plan goes on from there.
package struct VolumeBinder: Controller {
    package init() {}

    package var name: String { "persistentvolume-controller" }

    /// Claims without a volume, by class; and under `names no class` those that may still get the default one.
    static let waiting = ObjectTable.Index("waiting") { claim in
        guard (claim["spec"]["volumeName"].string ?? "").isEmpty else { return [] }
        return VolumeMatch.namesNoClass(claim) ? [VolumeMatch.storageClass(claim), "names no class"] : [VolumeMatch.storageClass(claim)]
    }
    /// Claims by the volume that they name.
    static let byVolume = ObjectTable.Index("volume") { claim in
        guard let name = claim["spec"]["volumeName"].string, !name.isEmpty else { return [] }
        return [name]
    }
    /// Volumes by the claim that they name.
    static let byClaim = ObjectTable.Index("claim") { volume in
        let reference = volume["spec"]["claimRef"]
        guard let name = reference["name"].string else { return [] }
        return ["\(reference["namespace"].string ?? "")/\(name)"]
    }
    /// Volumes that nobody has, by class.
    static let free = ObjectTable.Index("free") { volume in
        volume["spec"]["claimRef"].isNull ? [VolumeMatch.storageClass(volume)] : []
    }
    /// Pods without a node, by the claims they use.
    static let unscheduled = ObjectTable.Index("unscheduled-by-claim") { pod in
        guard (pod["spec"]["nodeName"].string ?? "").isEmpty else { return [] }
        return ClaimUse.claims(of: pod).map { "\(pod.namespace)/\($0)" }
    }

    package var triggers: [Trigger] {
        [
            Trigger(.persistentVolumeClaims, indexes: [VolumeBinder.waiting, VolumeBinder.byVolume]) { change, view in
                var keys = [change.key]
                let volumes = view.read { $0[.persistentVolumes].keys("claim", change.key.description) }
                keys += volumes
                for claim in [change.old, change.new] {
                    guard let name = claim?["spec"]["volumeName"].string, !name.isEmpty else { continue }
                    let key = ObjectKey("", name)
                    if !keys.contains(key) { keys.append(key) }
                }
                return keys
            },
            Trigger(.persistentVolumes, indexes: [VolumeBinder.byClaim, VolumeBinder.free]) { change, view in VolumeBinder.concerned(by: change, view) },
            Trigger(.storageClasses) { change, view in
                view.read { Array($0[.persistentVolumeClaims].keys("waiting", change.key.name).union($0[.persistentVolumeClaims].keys("waiting", "names no class"))) }
            },
        ]
    }

    package var reads: [(GroupVersionResource, [ObjectTable.Index])] { [(.pods, [VolumeBinder.unscheduled])] }

    private static func concerned(by change: ClusterView.Change, _ view: ClusterView) -> [ObjectKey] {
        var keys = [change.key]
        for volume in [change.old, change.new] {
            guard let reference = volume?["spec"]["claimRef"], let name = reference["name"].string else { continue }
            let key = ObjectKey(reference["namespace"].string ?? "", name)
            if !keys.contains(key) { keys.append(key) }
        }
        return view.read { state in
            var all = keys
            all += state[.persistentVolumeClaims].keys("volume", change.key.name).filter { !keys.contains($0) }
            // A volume that became free may be what somebody waits for.
            if let new = change.new, new["spec"]["claimRef"].isNull, new["status"]["phase"].string == "Available" {
                all += state[.persistentVolumeClaims].keys("waiting", VolumeMatch.storageClass(new)).filter { !all.contains($0) }
            }
            return all
        }
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        if key.namespace.isEmpty {
            guard let volume = state.get(.persistentVolumes, key) else { return .nothing }
            return Plan(plan(volume: volume, state))
        }
        guard let claim = state.get(.persistentVolumeClaims, key) else { return .nothing }
        if claim.annotations[VolumeNames.bindCompleted] != nil { return Plan(plan(bound: claim, state)) }
        return Plan(claim["spec"]["volumeName"].string?.isEmpty == false ? plan(asking: claim, state) : plan(unbound: claim, state))
    }
}
