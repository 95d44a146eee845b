import Core
package import Machinery
package import Store
package import Tree

/// `serviceaccounts/token`: a token for the account, bound to a pod, secret or node if the request says so.
package struct TokenAction: PostSubresource {
    private let tokens: ServiceAccountTokens
    private let store: Store

    package init(tokens: ServiceAccountTokens, store: Store) {
        self.tokens = tokens
        self.store = store
    }

    package func post(_ object: Node, _ resource: ServedResource, namespace: String, name: String, _ context: WriteContext) async throws(APIError) -> Node {
        let kind = (name: "TokenRequest", group: "authentication.k8s.io")
        for (field, expected, words) in [("name", name, "name"), ("namespace", namespace, "namespace")] {
            guard let said = object["metadata"][field].string, !said.isEmpty, said != expected else { continue }
            let error = FieldError.invalid("metadata.\(field)", quoted: said, "must match the service account \(words) if specified")
            throw APIError.invalid(kind: kind.name, group: kind.group, name: name, errors: [error])
        }
        guard let record = store.get(Key("serviceaccounts", namespace: namespace, name: name)) else { throw APIError.notFound("serviceaccounts", name: name) }
        let account = try record.node()
        if !object.uid.isEmpty, object.uid != account.uid {
            let why = "the UID in the token request (\(object.uid)) does not match the UID of the service account (\(account.uid))"
            throw APIError.conflict(kind.name, group: kind.group, name: name, why: why)
        }
        var request = object
        let seconds = request["spec"]["expirationSeconds"].int ?? 3600
        var errors: [FieldError] = []
        if seconds < 600 { errors.append(.invalid("spec.expirationSeconds", String(seconds), "may not specify a duration less than 10 minutes")) }
        if seconds > 1 << 32 { errors.append(.invalid("spec.expirationSeconds", String(seconds), "may not specify a duration larger than 2^32 seconds")) }
        if !errors.isEmpty { throw APIError.invalid(kind: kind.name, group: kind.group, name: "", errors: errors) }
        let (binding, node) = try bound(request["spec"]["boundObjectRef"], namespace: namespace, account: name)
        let issued = try tokens.issue(
            namespace: namespace, name: name, uid: account.uid, audiences: request["spec"]["audiences"].stringList, lifetime: seconds, binding: binding,
            node: node)
        context.annotate("authentication.kubernetes.io/issued-credential-id", "JTI=\(issued.id)")
        if request["spec"]["audiences"].list.isEmpty { request["spec"]["audiences"] = [.string(ServiceAccountTokens.issuer)] }
        request["spec"]["expirationSeconds"] = .int(seconds)
        request["metadata"]["name"] = .string(name)
        request["metadata"]["namespace"] = .string(namespace)
        request["metadata"]["uid"] = .string(account.uid)
        request["metadata"]["creationTimestamp"] = .string(Timestamp.now().rfc3339)
        request["status"] = ["token": .string(issued.token), "expirationTimestamp": .string(issued.expiry.rfc3339)]
        return request
    }

    private func bound(
        _ reference: Node, namespace: String, account: String
    ) throws(APIError) -> (ServiceAccountTokens.Binding?, (name: String, uid: String)?) {
        guard !reference.isNull else { return (nil, nil) }
        let kind = reference["kind"].string ?? ""
        let name = reference["name"].string ?? ""
        let version = (reference["apiVersion"].string ?? "").split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let group = version.count > 1 ? version[0] : ""
        guard group.isEmpty, let collection = ["Pod": "pods", "Secret": "secrets", "Node": "nodes"][kind] else {
            throw APIError.badRequest("cannot bind token to object of type \(group)/\(version.last ?? ""), Kind=\(kind)")
        }
        let key = Key(collection, namespace: collection == "nodes" ? "" : namespace, name: name)
        guard let record = store.get(key) else { throw APIError.notFound(collection, name: name) }
        let object = try record.node()
        let uid = reference["uid"].string ?? ""
        guard uid.isEmpty || uid == object.uid else {
            throw APIError.conflict(collection, name: name, why: "the UID in the bound object reference (\(uid)) does not match the UID in record. The object might have been deleted and then recreated")
        }
        if collection == "nodes" { return (.init(kind: kind, name: name, uid: object.uid), nil) }
        if collection == "pods" {
            let used = object["spec"]["serviceAccountName"].string ?? "default"
            guard used == account else {
                throw APIError.badRequest("cannot bind token for serviceaccount \(FieldError.quoted(account)) to pod running with different serviceaccount name.")
            }
        }
        var node: (name: String, uid: String)?
        if let nodeName = object["spec"]["nodeName"].string, let record = store.get(Key("nodes", name: nodeName)) { node = (nodeName, try record.node().uid) }
        return (.init(kind: kind, name: name, uid: object.uid), node)
    }
}
