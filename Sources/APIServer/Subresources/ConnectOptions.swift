import Machinery
import Schema
import Transport
import Tree

/// The options object of a session, which only its query has: `PodExecOptions`, `ServiceProxyOptions` …
enum ConnectOptions {
    static func node(_ kind: String, _ query: [QueryItem]) -> Node {
        var out: Node = ["kind": .string(kind), "apiVersion": "v1"]
        func flag(_ name: String) {
            guard let value = query.first(where: { $0.name == name })?.value, value != "false", value != "0" else { return }
            out[name] = true
        }
        switch kind {
        case "PodExecOptions", "PodAttachOptions":
            for name in ["stdin", "stdout", "stderr", "tty"] { flag(name) }
            if let container = query.first(where: { $0.name == "container" })?.value, !container.isEmpty { out["container"] = .string(container) }
            if kind == "PodExecOptions" { out["command"] = Node(query.filter { $0.name == "command" }.map(\.value)) }
        case "PodPortForwardOptions":
            let ports = query.filter { $0.name == "ports" }.compactMap { Int64($0.value) }
            if !ports.isEmpty { out["ports"] = .list(ports.map(Node.int)) }
        default: break
        }
        return out
    }

    static func proxy(_ kind: String, path: String) -> Node {
        var out: Node = ["kind": .string(kind), "apiVersion": "v1"]
        if !path.isEmpty { out["path"] = .string(path) }
        return out
    }
}

extension APIServer {
    /// Admission of what opens a connection to a pod, service or node.
    func admitConnect(_ request: APIRequest, _ resource: ServedResource, _ options: Node) async throws(APIError) {
        var asked = AdmissionRequest(
            operation: .connect, resource: resource, subresource: request.info.subresource, namespace: resource.isNamespaced ? request.info.namespace : "",
            name: request.info.name, object: options, old: .null, user: request.user, isDryRun: false, warn: { request.warn($0) },
            objectKind: GroupVersionKind(group: "", version: "v1", kind: options.kind))
        try await parts.writer.admission.admit(&asked)
        try await parts.writer.admission.validate(asked)
    }
}
