import Core
package import Machinery
package import Tree

/// SubjectAccessReview and its two companions: may somebody do something. Asks the same authorizer that guards every request.
package struct AccessReviews: VirtualResource {
    /// Whom the question is about.
    package enum Subject: Sendable {
        /// Whoever asks.
        case own
        /// Whom `spec` names.
        case named
        /// Whom `spec` names, in the namespace of the request only.
        case local
    }

    private let authorizer: RBACAuthorizer
    private let subject: Subject

    package init(_ authorizer: RBACAuthorizer, _ subject: Subject) {
        self.authorizer = authorizer
        self.subject = subject
    }

    package func create(_ object: Node, _ resource: ServedResource, namespace: String, _ context: WriteContext) async throws(APIError) -> Node {
        var review = object
        if subject == .local, review.namespace.isEmpty { review["metadata"]["namespace"] = .string(namespace) }
        if subject == .local, review.namespace != namespace {
            throw .badRequest("the namespace of the provided object does not match the namespace sent on the request")
        }
        let errors = errors(review)
        if !errors.isEmpty { throw .invalid(kind: "", group: resource.group, name: "", errors: errors) }
        FieldOwnership(resource, subresource: "", now: Timestamp.now()).record(&review, old: .null, by: context.options.fieldManager)
        let spec = review["spec"]
        let asked = attributes(spec, user: subject == .own ? context.user : AccessReviews.user(spec))
        review["status"] = ["allowed": .bool(authorizer.allows(asked))]
        return review
    }

    private static func user(_ spec: Node) -> UserInfo {
        var extra: [String: [String]] = [:]
        for (key, value) in spec["extra"].fields { extra[key.lowercased()] = value.stringList }
        return UserInfo(name: spec["user"].string ?? "", uid: spec["uid"].string ?? "", groups: spec["groups"].stringList, extra: extra)
    }

    private func attributes(_ spec: Node, user: UserInfo) -> Attributes {
        let path = spec["nonResourceAttributes"]
        if !path.isNull { return Attributes(user: user, verb: path["verb"].string ?? "", path: path["path"].string ?? "") }
        let asked = spec["resourceAttributes"]
        return Attributes(
            user: user, verb: asked["verb"].string ?? "", group: asked["group"].string ?? "", resource: asked["resource"].string ?? "",
            subresource: asked["subresource"].string ?? "", namespace: asked["namespace"].string ?? "", name: asked["name"].string ?? "")
    }

    /// Upstream shows the struct.
    private static func shown(_ attributes: Node) -> String {
        let fields: Node = ["Path": .string(attributes["path"].string ?? ""), "Verb": .string(attributes["verb"].string ?? "")]
        return fields.jsonText
    }

    private func errors(_ review: Node) -> [FieldError] {
        let spec = review["spec"]
        var errors: [FieldError] = []
        if !spec["resourceAttributes"].isNull, !spec["nonResourceAttributes"].isNull {
            errors.append(
                .invalid("spec.nonResourceAttributes", Self.shown(spec["nonResourceAttributes"]), "cannot be specified in combination with resourceAttributes"))
        }
        if spec["resourceAttributes"].isNull, spec["nonResourceAttributes"].isNull {
            errors.append(
                .invalid("spec.resourceAttributes", "null", "exactly one of nonResourceAttributes or resourceAttributes must be specified"))
        }
        if subject != .own, (spec["user"].string ?? "").isEmpty, spec["groups"].list.isEmpty {
            errors.append(.invalid("spec.user", quoted: "", "at least one of user or group must be specified"))
        }
        guard subject == .local else { return errors }
        let asked = spec["resourceAttributes"]
        if !asked.isNull, (asked["namespace"].string ?? "") != review.namespace {
            errors.append(.invalid("spec.resourceAttributes.namespace", quoted: asked["namespace"].string ?? "", "must match metadata.namespace"))
        }
        if !spec["nonResourceAttributes"].isNull {
            errors.append(.invalid("spec.nonResourceAttributes", Self.shown(spec["nonResourceAttributes"]), "disallowed on this kind of request"))
        }
        return errors
    }
}

/// SelfSubjectRulesReview: everything the asker may do in a namespace.
package struct RulesReview: VirtualResource {
    private let authorizer: RBACAuthorizer
    package init(_ authorizer: RBACAuthorizer) { self.authorizer = authorizer }

    package func create(_ object: Node, _ resource: ServedResource, namespace: String, _ context: WriteContext) async throws(APIError) -> Node {
        let asked = object["spec"]["namespace"].string ?? ""
        guard !asked.isEmpty else { throw .badRequest("no namespace on request") }
        var review = object
        review["spec"] = .emptyMap
        let rules = authorizer.rules(of: context.user, in: asked)
        var resources: [Node] = []
        var paths: [Node] = []
        for rule in rules {
            if !rule.resources.isEmpty {
                var out: Node = ["verbs": Node(rule.verbs)]
                if !rule.groups.isEmpty { out["apiGroups"] = Node(rule.groups) }
                out["resources"] = Node(rule.resources)
                if !rule.names.isEmpty { out["resourceNames"] = Node(rule.names) }
                resources.append(out)
            }
            if !rule.paths.isEmpty { paths.append(["verbs": Node(rule.verbs), "nonResourceURLs": Node(rule.paths)]) }
        }
        review["status"] = ["resourceRules": .list(resources), "nonResourceRules": .list(paths), "incomplete": false]
        return review
    }
}
