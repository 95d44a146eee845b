/// One question to authorization: may this user do this.
package struct Attributes: Sendable {
    package var user: UserInfo
    package var verb: String
    package var isResource: Bool
    package var group = ""
    package var version = ""
    package var resource = ""
    package var subresource = ""
    package var namespace = ""
    package var name = ""
    package var path = ""

    package init(user: UserInfo, info: RequestInfo) {
        self.user = user
        verb = info.verb
        isResource = info.isResource
        group = info.group
        version = info.version
        resource = info.resource
        subresource = info.subresource
        namespace = info.namespace
        name = info.name
        path = info.path
    }

    package init(user: UserInfo, verb: String, group: String, resource: String, subresource: String = "", namespace: String = "", name: String = "") {
        self.user = user
        self.verb = verb
        isResource = true
        self.group = group
        self.resource = resource
        self.subresource = subresource
        self.namespace = namespace
        self.name = name
    }

    package init(user: UserInfo, verb: String, path: String) {
        self.user = user
        self.verb = verb
        isResource = false
        self.path = path
    }

    var qualifiedResource: String { subresource.isEmpty ? resource : "\(resource)/\(subresource)" }

    /// Why it may not, as upstream words a refusal.
    package var refusal: String {
        if !isResource { return "User \"\(user.name)\" cannot \(verb) path \"\(path)\"" }
        var text = "User \"\(user.name)\" cannot \(verb) resource \"\(qualifiedResource)\" in API group \"\(group)\""
        if namespace.isEmpty { text += " at the cluster scope" } else { text += " in the namespace \"\(namespace)\"" }
        return text
    }
}
