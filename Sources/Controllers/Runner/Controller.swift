package import Client
package import Core
package import Machinery
package import Schema
package import Tree

/// One reconciling loop as a pure function: given the state of the cluster, what to do about one object.
///
/// Level-based: a plan depends on the state alone, never on which event woke it, and may be asked for at any time.
/// `plan` runs under the view's lock: no waiting, no input or output.
package protocol Controller: Sendable {
    /// As upstream names it: `deployment`, `endpointslice`; also the field manager of what it writes.
    var name: String { get }
    /// What wakes it, and which of its keys each change concerns.
    var triggers: [Trigger] { get }
    /// Tables (with indexes) that `plan` reads besides those of the triggers.
    var reads: [(GroupVersionResource, [ObjectTable.Index])] { get }
    func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan
    /// For a plan that depends on what no table holds: asks for that, and gives the controller that knows it. Most need nothing.
    func informed(of key: ObjectKey, _ view: ClusterView) async throws -> any Controller
    /// What to say of a write of the last plan that was refused (lost races aside). The key is planned again in any case.
    func plan(afterRefusal of: Action, _ error: APIError, _ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> [Action]
}

extension Controller {
    package var reads: [(GroupVersionResource, [ObjectTable.Index])] { [] }
    package func informed(of key: ObjectKey, _ view: ClusterView) async throws -> any Controller { self }
    package func plan(afterRefusal of: Action, _ error: APIError, _ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> [Action] { [] }
}

/// A reconciling loop that must ask the API more than a view holds. Level-based like a `Controller`; it writes by itself.
package protocol Reconciler: Sendable {
    var name: String { get }
    var triggers: [Trigger] { get }
    var reads: [(GroupVersionResource, [ObjectTable.Index])] { get }
    /// Gets, once, what asks for a key that no trigger names.
    func attach(_ wake: @escaping @Sendable (ObjectKey) -> Void)
    /// Returns when to look again if nothing changes; throwing looks again with back-off.
    func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration?
}

extension Reconciler {
    package var reads: [(GroupVersionResource, [ObjectTable.Index])] { [] }
    package func attach(_ wake: @escaping @Sendable (ObjectKey) -> Void) {}
}

/// A resource whose changes concern a controller. `keys` may look at old and new; both are given for an update.
package struct Trigger: Sendable {
    package let resource: GroupVersionResource
    package let indexes: [ObjectTable.Index]
    /// Runs under no lock; what it needs of the cluster beyond the change it reads from the view.
    package let keys: @Sendable (ClusterView.Change, ClusterView) -> [ObjectKey]

    package init(
        _ resource: GroupVersionResource, indexes: [ObjectTable.Index] = [], keys: @escaping @Sendable (ClusterView.Change, ClusterView) -> [ObjectKey]
    ) {
        self.resource = resource
        self.indexes = indexes
        self.keys = keys
    }

    /// The object's own key.
    package static func own(_ resource: GroupVersionResource, indexes: [ObjectTable.Index] = []) -> Trigger {
        Trigger(resource, indexes: indexes) { change, _ in [change.key] }
    }

    /// The key of the controlling owner of that kind, before and after.
    package static func owned(_ resource: GroupVersionResource, byKind kind: String, indexes: [ObjectTable.Index] = [.owner]) -> Trigger {
        Trigger(resource, indexes: indexes) { change, _ in
            var keys: [ObjectKey] = []
            for object in [change.old, change.new] {
                guard let object, let owner = object.controllerOwner, owner.kind == kind else { continue }
                let key = ObjectKey(object.namespace, owner.name)
                if !keys.contains(key) { keys.append(key) }
            }
            return keys
        }
    }
}

/// What a controller wants done now, and when it wants to be asked again if nothing changes.
package struct Plan: Sendable, Equatable {
    package var actions: [Action]
    package var requeueAfter: Duration?

    package init(_ actions: [Action] = [], requeueAfter: Duration? = nil) {
        self.actions = actions
        self.requeueAfter = requeueAfter
    }

    package static let nothing = Plan()

    /// Asks again after the shorter of the two delays.
    package mutating func requeue(after delay: Duration) { requeueAfter = min(requeueAfter ?? delay, delay) }
}

/// One write. Actions run in order; neighbouring creates, and neighbouring deletes, run at the same time.
/// The first failure ends the plan, and the key is planned again with back-off.
package enum Action: Sendable, Equatable {
    case create(GroupVersionResource, Node, announce: Announcement? = nil)
    /// Replaces; conditional on the revision in the object.
    case update(GroupVersionResource, Node)
    case updateStatus(GroupVersionResource, Node)
    case patch(GroupVersionResource, ObjectKey, PatchType, Node, subresource: String? = nil)
    case delete(GroupVersionResource, ObjectKey, DeleteOptions = DeleteOptions(), announce: Announcement? = nil)
    /// POST to a subresource.
    case post(GroupVersionResource, ObjectKey, subresource: String, Node)
    case event(Event)
}

/// The event that tells of one write, once its outcome is known.
package struct Announcement: Sendable, Equatable {
    package var about: Node
    package var success: String
    /// Text before the object's name.
    package var successText: String
    /// Empty tells nothing of a failure.
    package var failure: String
    /// Text before the error's message.
    package var failureText: String
    /// Whether the object's name follows the text of a success.
    package var namesObject: Bool

    package init(
        _ about: Node, success: String, _ successText: String, failure: String = "", _ failureText: String = "", namesObject: Bool = true
    ) {
        self.namesObject = namesObject
        self.about = about
        self.success = success
        self.successText = successText
        self.failure = failure
        self.failureText = failureText
    }

    package static func podCreation(_ owner: Node) -> Announcement {
        Announcement(owner, success: "SuccessfulCreate", "Created pod: ", failure: "FailedCreate", "Error creating: ")
    }
    package static func podDeletion(_ owner: Node) -> Announcement {
        Announcement(owner, success: "SuccessfulDelete", "Deleted pod: ", failure: "FailedDelete", "Error deleting: ")
    }
}
