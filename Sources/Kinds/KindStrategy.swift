package import Machinery
package import Tree

/// What one kind does differently from the standard pattern of storing objects: upstream's REST strategy, without what all share.
///
/// The standard pattern, which the API server does for every kind: metadata is filled and guarded, `status` is written through
/// its subresource only, a changed spec raises `metadata.generation`, the schema table defaults and validates structure.
package protocol KindStrategy: Sendable {
    /// Defaults that depend on other fields; the table's constant ones are there already. Runs on every decode of a body.
    func setDefaults(_ object: inout Node)
    /// Before a first write: drop or set what clients may not choose.
    func prepareCreate(_ object: inout Node)
    /// Writes into a new object who asks for it: an `authentication.k8s.io/v1` UserInfo.
    func setRequester(_ object: inout Node, _ user: Node)
    /// Before a later write. `subresource` is empty for the object itself.
    func prepareUpdate(_ object: inout Node, old: Node, subresource: String)
    /// Rules across fields, beside what the table checks.
    func validate(_ object: Node) -> [FieldError]
    func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError]
    /// What a client should hear without being refused.
    func warnings(_ object: Node, old: Node?) -> [String]
    var traits: KindTraits { get }
}

extension KindStrategy {
    package func setDefaults(_ object: inout Node) {}
    package func prepareCreate(_ object: inout Node) {}
    package func setRequester(_ object: inout Node, _ user: Node) {}
    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {}
    package func validate(_ object: Node) -> [FieldError] { [] }
    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] { [] }
    package func warnings(_ object: Node, old: Node?) -> [String] { [] }
    package var traits: KindTraits { KindTraits() }
}

/// Choices of the standard pattern that kinds make.
package struct KindTraits: Sendable {
    /// PUT of an absent object creates it.
    package var allowsCreateOnUpdate = false
    /// PUT without a resourceVersion replaces whatever is there.
    package var allowsUnconditionalUpdate = true
    /// `metadata.generation` counts changes outside metadata and status.
    package var hasGeneration = false
    /// An immediate DELETE answers with the object; otherwise with a `Status`.
    package var returnsDeletedObject = false
    /// How upstream validates `metadata.name`.
    package var nameRule = NameRule.dnsSubdomain
    /// What the garbage collector does with dependents when the deletion does not say.
    package var orphansByDefault = false
    /// `spec.finalizers` holds a deleted object too (namespaces).
    package var hasSpecFinalizers = false
    /// How an update is checked: by what a new object is checked by, and by what it changes.
    package enum UpdateChecks: Sendable { case contentFirst, changesFirst, contentTwice, changesOnly }
    package var updateChecks = UpdateChecks.contentFirst
    /// Nobody is deleted or orphaned with it.
    package var hasNoDependents = false
    /// What a deletion that does not say what becomes of dependents is told.
    package var deletionWarning: String?
    /// What a first deletion writes into the object besides its time: what belongs to the object goes before it, by a controller.
    package var terminate: (@Sendable (inout Node) -> Void)?
    /// Of the metadata, what counts as a change of the object besides.
    package var generationCounts: Set<String> = []
    /// Whether `metadata.generation` stays what it was at creation.
    package var isGenerationFixed = false
    /// What a subresource (empty: the object itself) leaves as it was, by paths: nobody comes to own it there. What is not
    /// named leaves `status` alone on the object, and `spec` on its status.
    package var resetFields: [String: [String]] = [:]
    /// Metadata that a write to the status leaves alone.
    package var statusKeeps: Set<String> = []
    /// Annotations that stand for a field of upstream's own: metadata alone, and rows of tables, do not show them.
    package var hiddenAnnotations: Set<String> = []
    /// An object without labels of its own has those of its template, also such as the server adds there.
    package var sharesTemplateLabels = false
    /// A first write cannot bring a status.
    package var dropsStatusOnCreate = true
    /// Refusals name the kind without its group.
    package var isRefusedWithoutGroup = false
    /// Fields, without indexes, that the table asks for and upstream's validation does not; `*` at the end stands for all below.
    package var uncheckedFields: Set<String> = []
    /// DELETE gives the object this long to end, unless it says otherwise; nil deletes at once.
    /// `asked` is what the deletion says.
    package var gracePeriod: (@Sendable (Node, _ asked: Int64?) -> Int64)?
    package init() {}

    /// The status is all that is written through the subresource of that name.
    package mutating func guardMetadata() {
        statusKeeps = ["labels", "annotations", "finalizers", "ownerReferences"]
        resetFields["status"] = ["metadata", "spec"]
    }
}

/// A kind that follows the standard pattern in everything.
package struct StandardStrategy: KindStrategy {
    package let traits: KindTraits
    package init(_ traits: KindTraits = KindTraits()) { self.traits = traits }
}
