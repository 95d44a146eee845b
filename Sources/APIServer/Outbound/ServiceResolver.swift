package import Machinery
package import Store
import Tree

/// Where a call from the API server to a Service goes: its cluster address, as upstream does by default.
package struct ServiceResolver: Sendable {
    private let store: Store
    package init(_ store: Store) { self.store = store }

    package struct Address: Sendable, Equatable {
        package let host: String
        package let port: Int
    }

    package func resolve(namespace: String, name: String, port: Int) throws(APIError) -> Address {
        guard let record = store.get(Key("services", namespace: namespace, name: name)) else { throw .notFound("services", name: name) }
        let spec = try record.sharedNode()["spec"]
        let type = spec["type"].string ?? "ClusterIP"
        switch type {
        case "ExternalName": return Address(host: spec["externalName"].string ?? "", port: port)
        case "ClusterIP", "NodePort", "LoadBalancer":
            let address = spec["clusterIP"].string ?? ""
            guard address != "None" else { throw APIError(code: 500, reason: "", message: "cannot route to service with ClusterIP \"None\"") }
            guard spec["ports"].list.contains(where: { $0["port"].int == Int64(port) }) else {
                throw .serviceUnavailable("no service port \(port) found for service \(FieldError.quoted(name))")
            }
            return Address(host: address, port: port)
        default: throw APIError(code: 500, reason: "", message: "unsupported service type \(FieldError.quoted(type))")
        }
    }
}
