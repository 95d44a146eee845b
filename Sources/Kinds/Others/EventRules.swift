import Machinery
import Tree

/// What upstream asks of events under both sets of names, in the words of its own.
enum EventRules {
    private static let limit = 128
    private static let noteLimit = 1024

    /// Since events have an `eventTime` they name who reports what.
    static func errors(_ event: Node) -> [FieldError] {
        let isNewer = event.apiVersion == "events.k8s.io/v1"
        let (regarding, controller) = (event[isNewer ? "regarding" : "involvedObject"], isNewer ? "reportingController" : "reportingComponent")
        let (namespace, path) = (regarding["namespace"].string ?? "", NodePath([.key("involvedObject"), .key("namespace")]))
        var findings = Findings()
        func mismatch() { findings.invalid(path, .string(namespace), "does not match event.namespace") }
        let home = ["default", "kube-system"].contains(event.namespace)
        guard !event["eventTime"].isNull else {
            // What has no namespace is told of in the default one.
            if namespace.isEmpty ? !home && !event.namespace.isEmpty : namespace != event.namespace { mismatch() }
            return findings.errors
        }
        if namespace.isEmpty, !home { mismatch() }
        findings.present(NodePath([.key(controller)]), event[controller])
        findings.format(NodePath([.key(controller)]), event[controller].string ?? "", NameFormat.qualifiedName)
        for field in ["reportingInstance", "action", "reason"] {
            let at = NodePath([.key(field)])
            findings.present(at, event[field])
            if (event[field].string ?? "").utf8.count > limit { findings.invalid(at, "", "can have at most \(limit) characters") }
        }
        if (event[isNewer ? "note" : "message"].string ?? "").utf8.count > noteLimit {
            findings.invalid(NodePath([.key("message")]), "", "can have at most \(noteLimit) characters")
        }
        return findings.errors
    }

    /// Under the newer names an event is what it was, but for its series.
    static func changes(_ event: Node, _ old: Node) -> [FieldError] {
        var findings = Findings()
        func text(_ name: String, _ told: String? = nil) {
            findings.immutable(NodePath([.key(told ?? name)]), .string(event[name].string ?? ""), .string(old[name].string ?? ""))
        }
        func whole(_ name: String, _ told: String, _ shown: (Node) -> Node = { $0 }) {
            if !Findings.same(event[name], old[name]) { findings.add(.invalid(told, shown(event[name]).jsonText, ObjectMeta.immutableMessage)) }
        }
        whole("regarding", "involvedObject", inGo)
        text("reason")
        text("note", "message")
        whole("deprecatedSource", "source") { ["Component": .string($0["component"].string ?? ""), "Host": .string($0["host"].string ?? "")] }
        whole("deprecatedFirstTimestamp", "firstTimestamp")
        whole("deprecatedLastTimestamp", "lastTimestamp")
        whole("deprecatedCount", "count")
        // Upstream finds it twice.
        text("reason")
        text("type")
        whole("eventTime", "eventTime")
        text("action")
        whole("related", "related", inGo)
        text("reportingController")
        text("reportingInstance")
        return findings.errors
    }

    /// A reference as Go shows its own type.
    private static func inGo(_ reference: Node) -> Node {
        if reference.isNull { return .null }
        let names = [
            ("Kind", "kind"), ("Namespace", "namespace"), ("Name", "name"), ("UID", "uid"), ("APIVersion", "apiVersion"), ("ResourceVersion", "resourceVersion"),
            ("FieldPath", "fieldPath"),
        ]
        return .map(Fields(names.map { ($0.0, .string(reference[$0.1].string ?? "")) }))
    }
}
