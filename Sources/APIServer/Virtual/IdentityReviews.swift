import Core
package import Machinery
import Schema
package import Store
package import Tree

/// SelfSubjectReview: who the asker is, after authentication and impersonation.
package struct SelfReview: VirtualResource {
    package init() {}

    package func create(_ object: Node, _ resource: ServedResource, namespace: String, _ context: WriteContext) async throws(APIError) -> Node {
        var review = object
        review["metadata"]["creationTimestamp"] = .string(Timestamp.now().rfc3339)
        review["status"] = ["userInfo": context.user.node]
        return review
    }
}

/// TokenReview: whose a bearer token is. An unknown token is an answer, not an error.
package struct TokenReview: VirtualResource {
    private let tokens: ServiceAccountTokens
    /// Tokens that are good for whoever takes the API server's own.
    private let others: [any TokenAuthenticator]

    package init(_ tokens: ServiceAccountTokens, others: [any TokenAuthenticator] = []) {
        self.tokens = tokens
        self.others = others
    }

    package func create(_ object: Node, _ resource: ServedResource, namespace: String, _ context: WriteContext) async throws(APIError) -> Node {
        let token = object["spec"]["token"].string ?? ""
        guard !token.isEmpty else { throw .badRequest("token is required for TokenReview in authentication") }
        var review = object
        FieldOwnership(resource, subresource: "", now: Timestamp.now()).record(&review, old: .null, by: context.options.fieldManager)
        let audiences = object["spec"]["audiences"].stringList
        if let found = tokens.user(of: token, audiences: audiences.isEmpty ? [ServiceAccountTokens.issuer] : audiences) {
            review["status"] = ["authenticated": true, "user": found.user.node, "audiences": Node(found.audiences)]
        } else if audiences.isEmpty || audiences.contains(ServiceAccountTokens.issuer), let user = await other(token) {
            review["status"] = ["authenticated": true, "user": user.node, "audiences": [.string(ServiceAccountTokens.issuer)]]
        } else {
            review["status"] = ["user": [:], "error": "invalid bearer token"]
        }
        return review
    }

    private func other(_ token: String) async -> UserInfo? {
        for authenticator in others {
            guard var user = await authenticator.user(of: token) else { continue }
            if !user.groups.contains("system:authenticated") { user.groups.append("system:authenticated") }
            return user
        }
        return nil
    }
}

/// POST of a Binding to the namespace: the older way to the binding subresource of the pod it names.
package struct NamespaceBindings: VirtualResource {
    private let action: any PostSubresource
    private let catalog: ResourceCatalog

    package init(_ action: any PostSubresource, catalog: ResourceCatalog) {
        self.action = action
        self.catalog = catalog
    }

    package func create(_ object: Node, _ resource: ServedResource, namespace: String, _ context: WriteContext) async throws(APIError) -> Node {
        guard let pods = catalog.resource(.init(group: "", version: "v1", resource: "pods")) else { throw .pathNotFound }
        guard object.namespace.isEmpty || object.namespace == namespace else {
            throw .badRequest("the namespace of the provided object does not match the namespace sent on the request")
        }
        return try await action.post(object, pods, namespace: namespace, name: object.name, context)
    }
}

/// The parts of the control plane. They live in this process: who gets an answer at all finds them healthy.
package struct ComponentStatuses: VirtualResource {
    private let store: Store
    package init(_ store: Store) { self.store = store }

    package func list(_ resource: ServedResource, namespace: String) throws(APIError) -> [Node] {
        ["scheduler", "controller-manager", "etcd-0"].map { name in
            [
                "kind": "ComponentStatus", "apiVersion": "v1", "metadata": ["name": .string(name)],
                "conditions": [["type": "Healthy", "status": "True", "message": "ok"]],
            ]
        }
    }
}
