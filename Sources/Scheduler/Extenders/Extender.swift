import Core
import Machinery
import Transport
import Tree

/// A program outside that has a say in scheduling, as a `KubeSchedulerConfiguration` names it.
package struct Extender: Sendable {
    let url: String
    let filterVerb: String
    let prioritizeVerb: String
    let bindVerb: String
    let preemptVerb: String
    let weight: Int64
    let timeout: Duration
    /// Knows the nodes by itself: their names are enough.
    let knowsNodes: Bool
    let managed: Set<String>
    /// Of the managed ones, those that the scheduler is not to count.
    let uncountedResources: Set<String>
    /// Scheduling goes on where it cannot be asked.
    let isIgnorable: Bool
    let http: HTTPClient

    var preempts: Bool { !preemptVerb.isEmpty }
    var binds: Bool { !bindVerb.isEmpty }

    static func all(_ entries: [Node]) throws(APIError) -> [Extender] {
        var extenders: [Extender] = []
        for (index, entry) in entries.enumerated() { extenders.append(try Extender(entry, "extenders[\(index)]")) }
        let binders = extenders.count(where: \.binds)
        guard binders < 2 else { throw APIError.badRequest("extenders: Invalid value: found \(binders) extenders implementing bind: only one extender can implement bind") }
        return extenders
    }

    private init(_ entry: Node, _ path: String) throws(APIError) {
        func verb(_ name: String) -> String { entry[name].string ?? "" }
        var url = verb("urlPrefix")
        while url.hasSuffix("/") { url.removeLast() }
        guard HTTPAddress(url) != nil else { throw APIError.badRequest("\(path).urlPrefix: Invalid value: \"\(url)\": must be an http or https URL") }
        self.url = url
        (filterVerb, prioritizeVerb, bindVerb, preemptVerb) = (verb("filterVerb"), verb("prioritizeVerb"), verb("bindVerb"), verb("preemptVerb"))
        weight = entry["weight"].int ?? 0
        guard prioritizeVerb.isEmpty || weight > 0 else {
            throw APIError.badRequest("\(path).weight: Invalid value: \(weight): must have a positive weight applied to it")
        }
        timeout = .nanoseconds(entry["httpTimeout"].string.flatMap(GoDuration.parse).flatMap { $0 > 0 ? $0 : nil } ?? 5_000_000_000)
        knowsNodes = entry["nodeCacheCapable"].bool ?? false
        managed = Set(entry["managedResources"].list.compactMap { $0["name"].string })
        uncountedResources = Set(entry["managedResources"].list.filter { $0["ignoredByScheduler"].bool == true }.compactMap { $0["name"].string })
        isIgnorable = entry["ignorable"].bool ?? false
        http = HTTPClient(tls: try Extender.tls(entry, path))
    }

    /// Without certificates of its own to trust, a server that is to be asked by HTTPS is not checked, as upstream has it.
    private static func tls(_ entry: Node, _ path: String) throws(APIError) -> ClientTLS {
        let config = entry["tlsConfig"]
        func bytes(_ data: String, _ file: String) throws(APIError) -> [UInt8]? {
            if let text = config[data].string {
                guard let decoded = Base64.decode(text) else { throw APIError.badRequest("\(path).tlsConfig.\(data): illegal base64 data") }
                return decoded
            }
            guard let name = config[file].string, !name.isEmpty else { return nil }
            do { return try FileSystem.readFile(name) } catch { throw APIError.badRequest("\(path).tlsConfig.\(file): \(error)") }
        }
        let roots = try bytes("caData", "caFile")
        let insecure = config["insecure"].bool ?? (entry["enableHTTPS"].bool == true && roots == nil)
        var tls = ClientTLS(roots: roots, insecure: insecure, serverName: config["serverName"].string)
        let (certificate, key) = (try bytes("certData", "certFile"), try bytes("keyData", "keyFile"))
        if let certificate, let key { tls.identity = TLSIdentity(certificatePEM: certificate, keyPEM: key) }
        return tls
    }

    func isInterested(in pod: PodInfo) -> Bool {
        if managed.isEmpty { return true }
        let spec = pod.node["spec"]
        return (spec["containers"].list + spec["initContainers"].list).contains { container in
            ["requests", "limits"].contains { field in container["resources"][field].fields.contains { managed.contains($0.key) } }
        }
    }
}
