package import Tree

/// Who asks. Made by authentication, replaced by impersonation, read by everything after.
package struct UserInfo: Sendable, Equatable {
    package var name: String
    package var uid = ""
    package var groups: [String] = []
    package var extra: [String: [String]] = [:]

    package init(name: String, uid: String = "", groups: [String] = [], extra: [String: [String]] = [:]) {
        self.name = name
        self.uid = uid
        self.groups = groups
        self.extra = extra
    }

    package static let anonymous = UserInfo(name: "system:anonymous", groups: ["system:unauthenticated"])
    /// The parts of this process that act through the API without a connection.
    package static let loopback = UserInfo(name: "system:apiserver", groups: ["system:masters", "system:authenticated"])

    package var isMaster: Bool { groups.contains("system:masters") }

    /// `authentication.k8s.io/v1` UserInfo.
    package var node: Node {
        var out: Node = ["username": .string(name)]
        if !uid.isEmpty { out["uid"] = .string(uid) }
        if !groups.isEmpty { out["groups"] = Node(groups) }
        if !extra.isEmpty { out["extra"] = .map(Fields(extra.sorted { $0.key < $1.key }.map { ($0.key, Node($0.value)) })) }
        return out
    }
}
