package import Core
package import Tree
package import Transport

/// What of a container's log is wanted: the query of `pods/log`.
package struct LogOptions: Sendable, Equatable {
    package enum Stream: String, Sendable { case all = "All", stdout = "Stdout", stderr = "Stderr" }
    package var follow = false
    package var previous = false
    package var timestamps = false
    package var tailLines: Int?
    package var limitBytes: Int?
    package var since: Timestamp?
    package var stream = Stream.all
    package init() {}
}

/// What has been used of processor and memory up to a moment.
package struct ResourceUsage: Sendable, Equatable {
    package var time: Timestamp
    /// Since the beginning, not a rate: whoever asks twice knows the rate.
    package var cpuNanoseconds: UInt64
    package var memoryWorkingSet: UInt64
    package var memoryUsage: UInt64
    package var memoryRSS: UInt64

    package init(time: Timestamp, cpuNanoseconds: UInt64, memoryWorkingSet: UInt64, memoryUsage: UInt64 = 0, memoryRSS: UInt64 = 0) {
        self.time = time
        self.cpuNanoseconds = cpuNanoseconds
        self.memoryWorkingSet = memoryWorkingSet
        self.memoryUsage = memoryUsage
        self.memoryRSS = memoryRSS
    }
}

/// A node's use of resources, its pods' and their containers', as of one moment.
package struct NodeStats: Sendable, Equatable {
    package struct Container: Sendable, Equatable {
        package var name: String
        package var startedAt: Timestamp
        package var usage: ResourceUsage
        package init(name: String, startedAt: Timestamp, usage: ResourceUsage) {
            self.name = name
            self.startedAt = startedAt
            self.usage = usage
        }
    }
    package struct Pod: Sendable, Equatable {
        package var key: ObjectKey
        package var uid: String
        package var usage: ResourceUsage
        package var containers: [Container]
        package init(key: ObjectKey, uid: String, usage: ResourceUsage, containers: [Container]) {
            self.key = key
            self.uid = uid
            self.usage = usage
            self.containers = containers
        }
    }
    package var node: String
    package var startedAt: Timestamp
    package var usage: ResourceUsage
    package var pods: [Pod]

    package init(node: String, startedAt: Timestamp, usage: ResourceUsage, pods: [Pod]) {
        self.node = node
        self.startedAt = startedAt
        self.usage = usage
        self.pods = pods
    }
}

/// An answer of a node's own HTTP endpoint.
package struct NodeAnswer: Sendable, Equatable {
    package var status: Int
    package var contentType: String
    package var body: [UInt8]

    package init(status: Int = 200, contentType: String = "text/plain; charset=utf-8", body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    package static let notFound = NodeAnswer(status: 404, body: Array("404 page not found\n".utf8))
}

/// What the API server asks of a node, on behalf of whoever asks it. `pod` is the object as the API has it; errors are `APIError`s.
package protocol NodeStreams: Sendable {
    /// The log in chunks of whole lines; ends with the log, or (following) with the container. `container` must be named.
    func logs(_ pod: Node, container: String, _ options: LogOptions) async throws -> AsyncThrowingStream<[UInt8], any Error>
    /// What would keep a session from beginning, to be asked before the connection is upgraded.
    func checkStream(_ pod: Node, container: String) async throws
    /// Returns when the command has ended and the client was told how.
    func exec(_ pod: Node, container: String, command: [String], session: RemoteCommandSession) async
    func attach(_ pod: Node, container: String, session: RemoteCommandSession) async
    /// Returns when the client has gone.
    func portForward(_ pod: Node, session: PortForwardSession) async
    func stats() async -> NodeStats
    /// What `nodes/proxy` leads to: `/pods`, `/stats/summary`, `/configz`, `/healthz`.
    func endpoint(_ path: String) async -> NodeAnswer
}
