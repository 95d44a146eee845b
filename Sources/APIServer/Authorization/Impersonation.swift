import Machinery
import Transport
import Tree

/// Who a request wants to be done as, by `Impersonate-User` and its companions, as they stand there.
struct Impersonation {
    let wanted: UserInfo

    /// nil where nobody is asked for; BadRequest where something of a user is, but no name.
    init?(_ headers: HTTPHeaders) throws(APIError) {
        var wanted = UserInfo(name: headers["impersonate-user"] ?? "", uid: headers["impersonate-uid"] ?? "", groups: headers.values("impersonate-group"))
        for field in headers.fields {
            let name = field.name.lowercased()
            guard name.hasPrefix("impersonate-extra-") else { continue }
            wanted.extra[PercentEncoding.decode(String(name.dropFirst("impersonate-extra-".count))), default: []].append(field.value)
        }
        guard wanted.name.isEmpty else {
            self.wanted = wanted
            return
        }
        guard wanted == UserInfo(name: "") else {
            throw .badRequest("requested \(Impersonation.shown(wanted)) without impersonating a user name")
        }
        return nil
    }

    /// The modes in their order. What has the name of a node or of a ServiceAccount is no other user, and the groups of these are given.
    private static let modes: [ImpersonationMode] = [.associatedNode, .arbitraryNode, .serviceAccount, .userInfo, .legacy]

    /// The user as whom `asked` goes on, with the verb that granted it ("" for the old one): of the first mode that allows it. Else what
    /// the first mode said.
    func grant(_ asked: Attributes, by authorizer: RBACAuthorizer) throws(APIError) -> (user: UserInfo, constraint: String) {
        var first: APIError?
        for mode in Impersonation.modes where mode.fits(wanted, asker: asked.user) {
            do throws(APIError) { return (try mode.grant(wanted, asked, authorizer), mode == .legacy ? "" : mode.verb) } catch { first = first ?? error }
        }
        throw first ?? .internalError("all impersonation modes failed")
    }

    /// Go's `%#v` of the user.
    private static func shown(_ user: UserInfo) -> String {
        func list(_ items: [String]) -> String { "[]string{\(items.map(NodePath.quoted).joined(separator: ", "))}" }
        let groups = user.groups.isEmpty ? "[]string(nil)" : list(user.groups)
        let extra = user.extra.sorted { $0.key < $1.key }.map { "\(NodePath.quoted($0.key)):\(list($0.value))" }.joined(separator: ", ")
        return "&user.DefaultInfo{Name:\"\", UID:\(NodePath.quoted(user.uid)), Groups:\(groups), Extra:map[string][]string\(extra.isEmpty ? "(nil)" : "{\(extra)}")}"
    }
}
