import Machinery
import Store
import Transport
import Tree

/// Whether the server behind an APIService answers, and if so, what it serves.
struct APIServiceAvailability: Sendable {
    struct Outcome: Sendable {
        let isAvailable: Bool
        let reason: String
        let message: String
    }

    let store: Store
    let apis: AggregatedAPIs

    func check(_ entry: APIServiceTable.Entry) async -> Outcome {
        if let refusal = service(entry) { return refusal }
        let path = "/apis/\(entry.group)/\(entry.version)"
        let url = (try? apis.endpoint(of: entry)).map { "https://\($0.host):\($0.port)\(path)" } ?? path
        do {
            let answer = try await apis.get(path, of: entry)
            guard (200..<300).contains(answer.status) else {
                return refused("FailedDiscoveryCheck", "failing or missing response from \(url): bad status from \(url): \(answer.status)")
            }
            await describe(entry, answer.body)
            return Outcome(isAvailable: true, reason: "Passed", message: "all checks passed")
        } catch {
            let why = WebhookClient.reason(error)
            return refused("FailedDiscoveryCheck", "failing or missing response from \(url): Get \(FieldError.quoted(url)): \(why)")
        }
    }

    private func refused(_ reason: String, _ message: String) -> Outcome { Outcome(isAvailable: false, reason: reason, message: message) }

    /// What is wrong with the service, before anybody is asked.
    private func service(_ entry: APIServiceTable.Entry) -> Outcome? {
        let place = "service/\(entry.service) in \(FieldError.quoted(entry.namespace))"
        guard let service = try? store.get(Key("services", namespace: entry.namespace, name: entry.service))?.node() else {
            return refused("ServiceNotFound", "\(place) is not present")
        }
        guard service["spec"]["type"].string ?? "ClusterIP" == "ClusterIP" else { return nil }
        guard let port = service["spec"]["ports"].list.first(where: { $0["port"].int == Int64(entry.port) }) else {
            return refused("ServicePortError", "\(place) is not listening on port \(entry.port)")
        }
        let slices = ((try? store.list("discovery.k8s.io/endpointslices", namespace: entry.namespace))?.records ?? []).compactMap { try? $0.node() }
            .filter { $0.labels["kubernetes.io/service-name"] == entry.service }
        if slices.isEmpty { return refused("EndpointsNotFound", "cannot find endpointslices for \(place)") }
        let name = port["name"].string ?? ""
        let isServed = slices.contains { slice in
            slice["endpoints"].list.contains { $0["conditions"]["ready"].bool ?? true }
                && slice["ports"].list.contains { ($0["name"].string ?? "") == name && $0["port"].int != nil }
        }
        return isServed
            ? nil : refused("MissingEndpoints", "endpointslices for \(place) have no addresses with port name \(FieldError.quoted(name))")
    }

    private func describe(_ entry: APIServiceTable.Entry, _ list: [UInt8]) async {
        var description = AggregatedAPIs.Description()
        if let list = try? JSONReader.read(list) { description.resources = LegacyDiscovery.resources(list) }
        let path = "apis/\(entry.group)/\(entry.version)"
        if let answer = try? await apis.get("/openapi/v3", of: entry), answer.status == 200, let index = try? JSONReader.read(answer.body) {
            description.openAPI = index["paths"][path]["serverRelativeURL"].string
        }
        if let answer = try? await apis.get("/openapi/v2", of: entry), answer.status == 200, let whole = try? JSONReader.read(answer.body) {
            description.openAPIv2 = APIServiceAvailability.part(of: whole, below: "/\(path)/")
        }
        apis.set(description, for: entry.groupVersion)
    }

    /// The paths of one group version, and all definitions: which of them are new is known when documents are joined.
    private static func part(of document: Node, below prefix: String) -> Node {
        var paths = Fields()
        for (path, item) in document["paths"].fields where (path + "/").hasPrefix(prefix) { paths[path] = item }
        return ["paths": .map(paths), "definitions": document["definitions"]]
    }
}
