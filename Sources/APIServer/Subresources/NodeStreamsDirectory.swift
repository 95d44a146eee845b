package import Client
import Synchronization

/// Which node answers for its pods' streams; nodes of this process add themselves.
package final class NodeStreamsDirectory: Sendable {
    private let nodes = Mutex<[String: any NodeStreams]>([:])
    package init() {}

    package func set(_ node: String, _ streams: (any NodeStreams)?) { nodes.withLock { $0[node] = streams } }
    package func streams(of node: String) -> (any NodeStreams)? { nodes.withLock { $0[node] } }
    package var all: [any NodeStreams] { nodes.withLock { Array($0.values) } }
}
