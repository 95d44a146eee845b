import Schema

/// What is served besides resources: groups, their versions and resources, the server's version, its keys.
extension OpenAPI {
    private static let produced = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]

    private static func discovery(_ path: String, _ id: String, tag: String, _ kind: String) -> Route {
        Route(path: path, method: "get", id: id, tag: tag, text: "what there is", consumes: produced, produces: produced, answer: .shared("meta/v1.\(kind)"))
    }

    /// By the name of their document in version 3.
    static func discoveryRoutes(_ resources: [Resource]) -> [(document: String, route: Route)] {
        var out: [(String, Route)] = [
            ("apis", discovery("/apis/", "getAPIVersions", tag: "apis", "APIGroupList")),
            (
                "version",
                Route(
                    path: "/version/", method: "get", id: "getCodeVersion", tag: "version", text: "the server's version", consumes: ["application/json"],
                    produces: ["application/json"], answer: .shared("version.Info"))
            ),
            (
                "openid/v1/jwks",
                Route(
                    path: "/openid/v1/jwks/", method: "get", id: "getServiceAccountIssuerOpenIDKeyset", tag: "openid", text: "the keys that tokens are signed with",
                    consumes: [], produces: ["application/jwk-set+json"])
            ),
            (
                ".well-known/openid-configuration",
                Route(
                    path: "/.well-known/openid-configuration/", method: "get", id: "getServiceAccountIssuerOpenIDConfiguration", tag: "WellKnown",
                    text: "where the issuer of tokens has its keys", consumes: [], produces: ["application/json"])
            ),
        ]
        var seen: Set<String> = []
        for resource in resources {
            let group = Route.trimmed(resource.group)
            let (name, tag) = (Route.identifier(group), Route.identifier(group, isCapitalized: false))
            let root = resource.group.isEmpty ? "api" : "apis/\(resource.group)"
            if seen.insert(root).inserted {
                out.append(
                    (
                        root,
                        resource.group.isEmpty
                            ? discovery("/api/", "getCoreAPIVersions", tag: tag, "APIVersions") : discovery("/\(root)/", "get\(name)APIGroup", tag: tag, "APIGroup")
                    ))
            }
            let place = "\(root)/\(resource.version)"
            guard seen.insert(place).inserted else { continue }
            let version = Route.identifier(resource.version)
            out.append(
                (
                    place,
                    discovery(
                        "/\(place)/", "get\(name)\(version)APIResources", tag: "\(tag)_\(Route.identifier(resource.version, isCapitalized: false))", "APIResourceList")
                ))
        }
        return out
    }
}
