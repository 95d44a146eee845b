package import Tree

/// What a kind does that the table cannot say. A kind without any is served by `PlainHooks`.
///
/// All are pure: they see the object, the old one on updates, and what is asked for; they change the object or name what is
/// wrong. Nothing here reads other objects: that is admission's part.
package protocol Hooks: Sendable {
    /// How names are checked.
    var nameRule: NameRule { get }
    /// Whether a PUT to a name that is not there creates.
    var createsOnUpdate: Bool { get }
    /// Whether a PUT may come without a resourceVersion.
    var updatesUnconditionally: Bool { get }
    /// Conditional defaults; constant ones are already filled in.
    func setDefaults(_ object: inout Node)
    /// Drops what a client may not set at creation, sets what the server owns.
    func prepareCreate(_ object: inout Node)
    func validate(_ object: Node) -> [FieldError]
    /// Carries over from `old` what this request (`subresource` is empty for the object itself) may not change.
    func prepareUpdate(_ object: inout Node, old: Node, subresource: String)
    func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError]
    /// Texts for `Warning` headers.
    func warnings(_ object: Node, old: Node?) -> [String]
}

extension Hooks {
    package var nameRule: NameRule { .dnsSubdomain }
    package var createsOnUpdate: Bool { false }
    package var updatesUnconditionally: Bool { true }
    package func setDefaults(_ object: inout Node) {}
    package func validate(_ object: Node) -> [FieldError] { [] }
    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] { validate(object) }
    package func warnings(_ object: Node, old: Node?) -> [String] { [] }

    /// No status at creation, and generation 1 where there is a spec.
    package func prepareCreate(_ object: inout Node) { Hooked.prepareCreate(&object) }

    /// Spec and status each belong to their own endpoint; a change of what is desired counts up the generation.
    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        Hooked.prepareUpdate(&object, old: old, subresource: subresource)
    }
}

/// The hooks of a kind that follows the pattern.
package struct PlainHooks: Hooks {
    package let nameRule: NameRule
    package init(nameRule: NameRule = .dnsSubdomain) { self.nameRule = nameRule }
}

/// The pattern itself, for hooks that add to it.
package enum Hooked {
    package static func prepareCreate(_ object: inout Node) {
        object.remove("status")
        if object.has("spec") { object["metadata"]["generation"] = 1 }
    }

    package static func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        if subresource == "status" {
            let (status, metadata) = (object["status"], object["metadata"])
            object = old
            object["status"] = status
            // Of metadata only what bookkeeping needs may change with the status.
            object["metadata"]["managedFields"] = metadata["managedFields"]
            object["metadata"]["resourceVersion"] = metadata["resourceVersion"]
            return
        }
        if old.has("status") { object["status"] = old["status"] } else { object.remove("status") }
        bumpGeneration(&object, old: old)
    }

    /// Counts up `metadata.generation` when anything but metadata and status differs, or deletion begins.
    package static func bumpGeneration(_ object: inout Node, old: Node) {
        let before = old["metadata"]["generation"].int ?? 0
        if before == 0, !object.has("spec") { return }
        object["metadata"]["generation"] = .int(before)
        let apart: Set = ["metadata", "status", "apiVersion", "kind"]
        let keys = Set(object.fields.keys).union(old.fields.keys).subtracting(apart)
        let isChanged = keys.contains { object[$0] != old[$0] }
        if isChanged { object["metadata"]["generation"] = .int(before + 1) }
    }
}
