import Core
package import Tree

/// Who owns which fields of an object: the decoded `metadata.managedFields`.
package struct ManagedFields: Sendable, Equatable {
    package struct Manager: Sendable, Hashable {
        package var name: String
        /// `Apply` or `Update`.
        package var operation: String
        package var subresource = ""
        /// Part of an updater's identity; an applier is the same in every version.
        package var apiVersion: String
        package var isApplier: Bool { operation == "Apply" }

        package init(name: String, operation: String, subresource: String = "", apiVersion: String) {
            self.name = name
            self.operation = operation
            self.subresource = subresource
            self.apiVersion = apiVersion
        }

        package static func == (a: Manager, b: Manager) -> Bool {
            a.name == b.name && a.operation == b.operation && a.subresource == b.subresource && (a.isApplier || a.apiVersion == b.apiVersion)
        }
        package func hash(into hasher: inout Hasher) {
            hasher.combine(name)
            hasher.combine(operation)
            hasher.combine(subresource)
        }
    }

    package struct Entry: Sendable, Equatable {
        package var manager: Manager
        package var time: String?
        package var fields: FieldSet
    }

    package var entries: [Entry] = []
    private static let maxUpdaters = 10

    package init() {}

    /// Entries that say nothing are left out; nil for what cannot be read.
    package init?(_ node: Node) {
        for item in node.list {
            guard let operation = item["operation"].string, item["fieldsType"].string ?? "FieldsV1" == "FieldsV1" else { return nil }
            let manager = Manager(
                name: item["manager"].string ?? "", operation: operation, subresource: item["subresource"].string ?? "", apiVersion: item["apiVersion"].string ?? "")
            entries.append(Entry(manager: manager, time: item["time"].string, fields: FieldSet(fieldsV1: item["fieldsV1"])))
        }
    }

    package subscript(_ manager: Manager) -> FieldSet? { entries.first { $0.manager == manager }?.fields }

    /// Keeps the time of an entry that is there.
    mutating func set(_ manager: Manager, _ fields: FieldSet, at time: Timestamp?) {
        if let at = entries.firstIndex(where: { $0.manager == manager }) {
            entries[at].fields = fields
            entries[at].manager = manager
        } else {
            entries.append(Entry(manager: manager, time: time?.rfc3339, fields: fields))
        }
        entries.removeAll { $0.fields.isEmpty }
    }

    /// A manager changed something now. Of what is written as a Scale upstream loses the time.
    mutating func touch(_ manager: Manager, _ now: Timestamp) {
        for at in entries.indices where entries[at].manager == manager { entries[at].time = manager.subresource == "scale" ? nil : now.rfc3339 }
    }

    /// All that anyone owns.
    var all: FieldSet { entries.reduce(FieldSet()) { $0.union($1.fields) } }

    /// Folds the oldest updaters together, so that an object touched by many stays small.
    mutating func cap() {
        let updaters = entries.filter { !$0.manager.isApplier && $0.manager.subresource.isEmpty }.sorted { ($0.time ?? "") < ($1.time ?? "") }
        guard updaters.count > ManagedFields.maxUpdaters else { return }
        for old in updaters.prefix(updaters.count - ManagedFields.maxUpdaters + 1) {
            let ancient = Manager(name: "ancient-changes", operation: "Update", apiVersion: old.manager.apiVersion)
            if old.manager == ancient { continue }
            entries.removeAll { $0.manager == old.manager }
            if let at = entries.firstIndex(where: { $0.manager == ancient }) {
                entries[at].fields = entries[at].fields.union(old.fields)
                entries[at].time = old.time
            } else {
                entries.append(Entry(manager: ancient, time: old.time, fields: old.fields))
            }
        }
    }

    /// Appliers first, then by time and name.
    package var node: Node {
        let sorted = entries.sorted { a, b in
            if a.manager.isApplier != b.manager.isApplier { return a.manager.isApplier }
            return (a.time ?? "", a.manager.name, a.manager.apiVersion, a.manager.subresource) < (b.time ?? "", b.manager.name, b.manager.apiVersion, b.manager.subresource)
        }
        return .list(
            sorted.map { entry in
                var out: Node = [
                    "manager": .string(entry.manager.name), "operation": .string(entry.manager.operation), "apiVersion": .string(entry.manager.apiVersion),
                ]
                if let time = entry.time { out["time"] = .string(time) }
                out["fieldsType"] = "FieldsV1"
                out["fieldsV1"] = entry.fields.fieldsV1
                if !entry.manager.subresource.isEmpty { out["subresource"] = .string(entry.manager.subresource) }
                return out
            })
    }
}
