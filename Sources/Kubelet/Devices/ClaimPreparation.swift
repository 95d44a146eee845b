import Client
import Core
import Kinds
import Linux
import Logging
import Machinery
import Schema
import Synchronization
import Tree

/// Has drivers make the devices of pods' claims ready, and take them back when the last pod of a claim is gone. What is ready is on
/// disk, so that the next kubelet takes back what this one had made ready.
final class ClaimPreparation: Sendable {
    private struct Entry: Sendable {
        let claim: DriverClaim
        /// By driver; one that is named has been asked, whatever came of it.
        var devices: [String: [PreparedDevice]] = [:]
        var pods: Set<String> = []
        var isPrepared = false
    }

    private let plugins: DriverPlugins
    private let client: any ClusterClient
    private let file: String
    private let log: Logger
    private let entries: Mutex<[ObjectKey: Entry]>
    /// Writers of the file, one after another.
    private let writing = Mutex(())

    init(plugins: DriverPlugins, client: any ClusterClient, file: String, log: Logger) {
        self.plugins = plugins
        self.client = client
        self.file = file
        self.log = log
        entries = Mutex(ClaimPreparation.load(file))
    }

    // MARK: - Preparing

    /// Returns when all claims of the pod are ready.
    func prepare(_ pod: PodView) async throws {
        let claims = PodClaims(pod.node)
        guard !claims.isEmpty else { return }
        var batches: [String: [DriverClaim]] = [:]
        for reference in claims.references where !reference.isUnneeded {
            guard let name = reference.claim else { throw DeviceTrouble("ResourceClaim not created yet") }
            try await gather(name, pod, owned: reference.template != nil, &batches)
        }
        if let name = claims.extended { try await gather(name, pod, owned: true, &batches) }
        try save()
        for (driver, claims) in batches.sorted(by: { $0.key < $1.key }) { try await prepare(claims, driver) }
        let keys = Set(batches.values.joined().map { ObjectKey($0.namespace, $0.name) })
        if keys.isEmpty { return }
        entries.withLock { entries in for key in keys { entries[key]?.isPrepared = true } }
        try save()
    }

    private func gather(_ name: String, _ pod: PodView, owned: Bool, _ batches: inout [String: [DriverClaim]]) async throws {
        let key = ObjectKey(pod.namespace, name)
        let claim: Node
        do { claim = try await client.get(.resourceClaims, key) } catch { throw DeviceTrouble("fetch ResourceClaim \(name): \(error)") }
        if owned, !PodClaims.owns(pod.node, claim) { throw DeviceTrouble("ResourceClaim \(key) was not created for pod \(pod.namespace)/\(pod.name) (pod is not owner)") }
        guard PodClaims.isReserved(claim, for: pod.node) else { throw DeviceTrouble("pod \(pod.name) (\(pod.uid)) is not allowed to use ResourceClaim \(name) (\(claim.uid))") }
        if claim["status"]["allocation"].isNull { throw DeviceTrouble("ResourceClaim \(name) is not allocated") }
        // Before anything is noted: what no driver was asked for, none has to take back.
        for result in claim["status"]["allocation"]["devices"]["results"].list where plugins.plugin(result["driver"].string ?? "") == nil {
            throw DeviceTrouble("DRA driver \(result["driver"].string ?? "") is not registered")
        }
        let about = DriverClaim(namespace: key.namespace, uid: claim.uid, name: name)
        let isReady = try entries.withLock { entries throws(DeviceTrouble) -> Bool in
            if let known = entries[key], known.claim.uid != claim.uid {
                throw DeviceTrouble("old ResourceClaim with same name \(name) and different UID \(known.claim.uid) still exists")
            }
            entries[key, default: Entry(claim: about)].pods.insert(pod.uid)
            return entries[key]?.isPrepared ?? false
        }
        if isReady { return }
        for result in claim["status"]["allocation"]["devices"]["results"].list {
            let driver = result["driver"].string ?? ""
            entries.withLock { entries in if entries[key]?.devices[driver] == nil { entries[key]?.devices[driver] = [] } }
            if batches[driver]?.contains(about) != true { batches[driver, default: []].append(about) }
        }
    }

    private func prepare(_ claims: [DriverClaim], _ driver: String) async throws {
        guard let plugin = plugins.plugin(driver) else { throw DeviceTrouble("DRA driver \(driver) is not registered") }
        let answers: [String: DriverAnswer]
        do { answers = try DriverAnswer.read(try await plugin.call("NodePrepareResources", DriverClaim.request(claims)), isPreparing: true) } catch {
            throw DeviceTrouble("NodePrepareResources: \(error)")
        }
        for claim in claims {
            guard let answer = answers[claim.uid] else { continue }
            if !answer.error.isEmpty { throw DeviceTrouble("NodePrepareResources failed for ResourceClaim \(claim.name): \(answer.error)") }
            entries.withLock { $0[ObjectKey(claim.namespace, claim.name)]?.devices[driver] = answer.devices }
        }
        let missing = claims.filter { answers[$0.uid] == nil }.count
        if missing > 0 { throw DeviceTrouble("NodePrepareResources skipped \(missing) ResourceClaims") }
    }

    // MARK: - Using

    /// The CDI names of the devices that a container uses, in the order of its claims.
    func devices(_ pod: PodView, _ container: Node) throws -> [String] {
        let claims = PodClaims(pod.node)
        var wanted: [(claim: String, request: String)] = []
        for use in container["resources"]["claims"].list {
            guard let name = claims.references.first(where: { $0.name == use["name"].string })?.claim else { continue }
            wanted.append((name, use["request"].string ?? ""))
        }
        if let extended = claims.extended {
            for mapping in pod.node["status"]["extendedResourceClaimStatus"]["requestMappings"].list where mapping["containerName"] == container["name"] {
                wanted.append((extended, mapping["requestName"].string ?? ""))
            }
        }
        var out: [String] = []
        for (name, request) in wanted {
            guard let entry = entries.withLock({ $0[ObjectKey(pod.namespace, name)] }), entry.isPrepared else { throw DeviceTrouble("ResourceClaim \(name) is not prepared") }
            for (_, devices) in entry.devices.sorted(by: { $0.key < $1.key }) {
                for device in devices where ClaimPreparation.isFor(device, request) { for id in device.cdi where !out.contains(id) { out.append(id) } }
            }
        }
        return out
    }

    /// A container that names no request uses all; an alternative of a request is the request's.
    private static func isFor(_ device: PreparedDevice, _ request: String) -> Bool {
        request.isEmpty || device.requests.isEmpty || device.requests.contains { $0 == request || $0.hasPrefix(request + "/") }
    }

    // MARK: - Health

    /// The pods that use devices of the driver.
    func users(of driver: String) -> Set<String> {
        entries.withLock { entries in Set(entries.values.filter { $0.devices[driver]?.isEmpty == false }.flatMap(\.pods)) }
    }

    /// A container's `allocatedResourcesStatus`: for each claim that it uses the condition of the devices. Empty before they are ready.
    func health(_ pod: PodView, _ container: Node) -> [Node] {
        let claims = PodClaims(pod.node)
        return container["resources"]["claims"].list.compactMap { use -> Node? in
            guard let name = claims.references.first(where: { $0.name == use["name"].string })?.claim else { return nil }
            guard let entry = entries.withLock({ $0[ObjectKey(pod.namespace, name)] }), entry.pods.contains(pod.uid) else { return nil }
            let request = use["request"].string ?? ""
            var seen: Set<String> = []
            var resources: [Node] = []
            for (driver, devices) in entry.devices.sorted(by: { $0.key < $1.key }) {
                for device in devices where ClaimPreparation.isFor(device, request) {
                    let id = device.cdi.first ?? "\(driver)/\(device.pool)/\(device.device)"
                    guard seen.insert(id).inserted else { continue }
                    let health = plugins.health(driver, device)
                    var resource: Node = ["resourceID": .string(id), "health": .string(health.state.rawValue)]
                    if !health.message.isEmpty { resource["message"] = .string(health.message) }
                    resources.append(resource)
                }
            }
            if resources.isEmpty { return nil }
            return ["name": .string("claim:\(use["name"].string ?? "")" + (request.isEmpty ? "" : "/\(request)")), "resources": .list(resources)]
        }
    }

    // MARK: - Giving back

    func unprepare(_ pod: PodView) async throws { try await unprepare(podUID: pod.uid) }

    private func unprepare(podUID: String) async throws {
        let entries = self.entries.withLock { $0 }
        var batches: [String: [DriverClaim]] = [:]
        var keys: [ObjectKey] = []
        for (key, entry) in entries where entry.pods.contains(podUID) {
            if entry.pods.count > 1 {
                self.entries.withLock { _ = $0[key]?.pods.remove(podUID) }
                continue
            }
            keys.append(key)
            for driver in entry.devices.keys { batches[driver, default: []].append(entry.claim) }
        }
        for (driver, claims) in batches.sorted(by: { $0.key < $1.key }) {
            guard let plugin = plugins.plugin(driver) else { throw DeviceTrouble("DRA driver \(driver) is not registered") }
            let answers: [String: DriverAnswer]
            do { answers = try DriverAnswer.read(try await plugin.call("NodeUnprepareResources", DriverClaim.request(claims)), isPreparing: false) } catch {
                throw DeviceTrouble("NodeUnprepareResources: \(error)")
            }
            for claim in claims {
                guard let answer = answers[claim.uid] else { throw DeviceTrouble("NodeUnprepareResources skipped ResourceClaim \(claim.name)") }
                if !answer.error.isEmpty { throw DeviceTrouble("NodeUnprepareResources failed for ResourceClaim \(claim.name): \(answer.error)") }
            }
        }
        self.entries.withLock { entries in
            for key in keys {
                // Another pod may have come meanwhile; it is made ready again then.
                entries[key]?.pods.remove(podUID)
                if entries[key]?.pods.isEmpty == true { entries[key] = nil } else { entries[key]?.isPrepared = false }
            }
        }
        if !keys.isEmpty { try save() }
    }

    /// Takes back what pods had that went while no kubelet looked.
    func removeOrphans(besides live: Set<String>) async {
        var backoff = Backoff(base: .seconds(1), limit: .seconds(60))
        while !Task.isCancelled {
            let gone = entries.withLock { Set($0.values.flatMap(\.pods)) }.subtracting(live)
            if gone.isEmpty { return }
            for uid in gone {
                do { try await unprepare(podUID: uid) } catch { log.warning("claims of a pod that is gone are kept", metadata: ["pod": "\(uid)", "error": "\(error)"]) }
            }
            try? await Task.sleep(for: backoff.next())
        }
    }

    // MARK: - On disk

    private func save() throws {
        let nodes = entries.withLock { entries in
            entries.values.map { entry -> Node in
                var devices = Node.emptyMap
                for (driver, list) in entry.devices { devices[driver] = .list(list.map(\.node)) }
                return [
                    "namespace": .string(entry.claim.namespace), "name": .string(entry.claim.name), "uid": .string(entry.claim.uid), "devices": devices,
                    "pods": Node(entry.pods.sorted()), "prepared": .bool(entry.isPrepared),
                ]
            }
        }
        let text = Node.list(nodes).jsonText
        try writing.withLock { _ throws(SystemFailure) in
            try FileSystem.makeDirectories(FileSystem.parent(of: file), mode: 0o755)
            try Files.replace(file, Array(text.utf8), mode: 0o600)
        }
    }

    private static func load(_ file: String) -> [ObjectKey: Entry] {
        guard let text = try? Files.text(file), let list = try? JSONReader.read(Array(text.utf8)) else { return [:] }
        var out: [ObjectKey: Entry] = [:]
        for node in list.list {
            let claim = DriverClaim(namespace: node["namespace"].string ?? "", uid: node["uid"].string ?? "", name: node["name"].string ?? "")
            var entry = Entry(claim: claim)
            for (driver, devices) in node["devices"].fields { entry.devices[driver] = devices.list.map { PreparedDevice($0) } }
            entry.pods = Set(node["pods"].stringList)
            entry.isPrepared = node["prepared"].bool ?? false
            out[ObjectKey(claim.namespace, claim.name)] = entry
        }
        return out
    }
}

/// Why the devices of a pod are not ready.
struct DeviceTrouble: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
