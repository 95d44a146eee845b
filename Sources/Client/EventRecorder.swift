import Core
import Logging
import Machinery
import Schema
import Synchronization
package import Tree

/// What a person reads under "Events" of `kubectl describe`.
package struct Event: Sendable, Equatable {
    package enum Kind: String, Sendable { case normal = "Normal", warning = "Warning" }
    package var about: Node
    package var type: Kind
    package var reason: String
    package var message: String
    /// The part of the object it is about, such as `spec.containers{app}`.
    package var fieldPath = ""

    /// `about` is the object (its kind, apiVersion and metadata are used).
    package init(_ about: Node, _ type: Kind = .normal, reason: String, message: String, fieldPath: String = "") {
        self.about = about
        self.type = type
        self.reason = reason
        self.message = message
        self.fieldPath = fieldPath
    }
}

/// Writes events as core/v1 `Event` objects off the caller's path; repeats of the same text raise `count` on the first.
package final class EventRecorder: Sendable {
    private struct Slot { var name: String; var count: Int64 }
    /// Same object, same text: upstream's correlator keys alike, and forgets likewise.
    private struct Identity: Hashable { let uid: String; let type: String; let reason: String; let message: String }

    private let client: any ClusterClient
    private let component: String
    private let host: String
    private let queue: AsyncStream<Event>.Continuation
    private let stream: AsyncStream<Event>

    /// `component` is what `kubectl describe` shows in the column From; `host` is the node for node agents, else empty.
    package init(client: any ClusterClient, component: String, host: String = "") {
        self.client = client
        self.component = component
        self.host = host
        (stream, queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1000))
    }

    /// Never waits; when a thousand wait already, the oldest are lost, as events may be.
    package func record(_ event: Event) { queue.yield(event) }

    /// Writes until cancelled.
    package func run() async {
        var known: [Identity: Slot] = [:]
        for await event in stream {
            if known.count > 4096 { known.removeAll() }
            let identity = Identity(uid: event.about.uid, type: event.type.rawValue, reason: event.reason, message: event.message)
            let now = Timestamp.now()
            if var slot = known[identity] {
                slot.count += 1
                let patch: Node = ["count": .int(slot.count), "lastTimestamp": .string(now.rfc3339)]
                if (try? await client.patch(.events, ObjectKey(namespace(of: event), slot.name), .merge, patch, subresource: nil)) != nil {
                    known[identity] = slot
                    continue
                }
            }
            let name = "\(event.about.name).\(String(UInt64(now.seconds) * 1_000_000_000 + UInt64(now.nanoseconds), radix: 16))"
            if (try? await client.create(.events, namespace: namespace(of: event), object(event, name: name, now: now))) != nil {
                known[identity] = Slot(name: name, count: 1)
            }
        }
    }

    private func namespace(of event: Event) -> String { event.about.namespace.isEmpty ? "default" : event.about.namespace }

    private func object(_ event: Event, name: String, now: Timestamp) -> Node {
        var source: Node = ["component": .string(component)]
        if !host.isEmpty { source["host"] = .string(host) }
        return [
            "apiVersion": "v1", "kind": "Event", "metadata": ["name": .string(name), "namespace": .string(namespace(of: event))],
            "involvedObject": [
                "kind": .string(event.about.kind), "apiVersion": .string(event.about.apiVersion), "namespace": .string(event.about.namespace),
                "name": .string(event.about.name), "uid": .string(event.about.uid), "resourceVersion": event.about["metadata"]["resourceVersion"],
                "fieldPath": event.fieldPath.isEmpty ? .null : .string(event.fieldPath),
            ],
            "reason": .string(event.reason), "message": .string(event.message), "type": .string(event.type.rawValue),
            "source": source, "reportingComponent": .string(component), "reportingInstance": .string(host),
            "firstTimestamp": .string(now.rfc3339), "lastTimestamp": .string(now.rfc3339), "count": 1,
        ]
    }
}
