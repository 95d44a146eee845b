import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

extension SchedulerCore {
    mutating func observeDevices(_ resource: GroupVersionResource, _ key: ObjectKey, _ new: Node?, _ now: Timestamp) {
        switch resource {
        case .resourceSlices:
            cluster.devices.setSlice(key.name, new)
            changed(.device, now)
        case .deviceClasses:
            cluster.devices.setClass(key.name, new)
            changed(.deviceClass, now)
        default:
            let old = cluster.devices.setClaim(key, new)
            for pod in cluster.devices.release() { queue.upsert(pod, isBetter: true, now: now) }
            if old?["status"] != new?["status"] || old == nil || new == nil { changed(.device, now) }
        }
    }

    /// True for a pod whose claims do not exist yet: it is looked at when they do.
    mutating func isParked(_ pod: PodInfo) -> Bool {
        cluster.devices.unpark(uid: pod.uid)
        guard cluster.devices.awaits(pod) else { return false }
        queue.remove(uid: pod.uid)
        cluster.devices.park(pod)
        return true
    }
}
