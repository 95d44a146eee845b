import Client
import Core
import Machinery
import Schema
import Synchronization
import Tree

/// The tokens of one pod's service account, renewed when four fifths of their time are over, or a day.
final class ServiceAccountTokenCache: Sendable {
    private struct Entry { var token: String; var expires: Timestamp; var renew: Timestamp }
    private let entries = Mutex<[String: Entry]>([:])

    /// When the first of them is to be renewed.
    var nextRenewal: Timestamp? { entries.withLock { $0.values.map(\.renew).min() } }

    func token(_ pod: PodView, audience: String, seconds: Int64, client: any ClusterClient) async throws -> String {
        let key = "\(audience)/\(seconds)"
        let now = Timestamp.now()
        let known = entries.withLock { $0[key] }
        if let known, known.renew > now { return known.token }
        let account = pod.spec["serviceAccountName"].string ?? "default"
        var spec: Node = [
            "expirationSeconds": .int(seconds),
            "boundObjectRef": ["kind": "Pod", "apiVersion": "v1", "name": .string(pod.name), "uid": .string(pod.uid)],
        ]
        spec["audiences"] = audience.isEmpty ? .list([]) : .list([.string(audience)])
        do {
            let reply = try await client.post(
                .serviceAccounts, ObjectKey(pod.namespace, account), subresource: "token",
                ["apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": [:], "spec": spec])
            guard let token = reply["status"]["token"].string else { throw VolumeFailure("failed to fetch token: empty answer") }
            let expires = reply["status"]["expirationTimestamp"].string.flatMap { Timestamp(rfc3339: $0) } ?? now + .seconds(seconds)
            let life = (expires - now).components.seconds
            let renew = now + .seconds(min(life * 4 / 5, 86400))
            entries.withLock { $0[key] = Entry(token: token, expires: expires, renew: renew) }
            return token
        } catch {
            // An API that is away for a moment must not take a good token from the pod.
            if let known, known.expires > now { return known.token }
            throw VolumeFailure("failed to fetch token: \(error)")
        }
    }
}
