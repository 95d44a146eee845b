package import Client
package import Core
import Machinery
import Schema
import Tree

/// Removes certificate requests that nobody needs any more: an hour after they were decided, a day after nobody did.
package struct CertificateCleaner: Controller {
    package init() {}
    package var name: String { "csrcleaner" }
    package var triggers: [Trigger] { [Trigger(.certificateSigningRequests) { change, _ in change.new == nil ? [] : [change.key] }] }

    private static let decided: Duration = .seconds(3600)
    private static let open: Duration = .seconds(24 * 3600)

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let request = state.get(.certificateSigningRequests, key), let creation = request.creation else { return .nothing }
        let isIssued = !request["status"]["certificate"].isEmpty
        var ends: [Timestamp] = []
        if request["status"]["conditions"].isEmpty { ends.append(creation + CertificateCleaner.open) }
        for condition in request["status"]["conditions"].list {
            guard let time = condition.time("lastUpdateTime") else { continue }
            switch condition["type"].string {
            case "Approved": ends.append(time + (isIssued ? CertificateCleaner.decided : CertificateCleaner.open))
            case "Denied", "Failed": ends.append(time + CertificateCleaner.decided)
            default: break
            }
        }
        guard let end = ends.min() else { return .nothing }
        if end > now { return Plan(requeueAfter: end - now) }
        return Plan([.delete(.certificateSigningRequests, key, DeleteOptions(uid: request.uid))])
    }
}
