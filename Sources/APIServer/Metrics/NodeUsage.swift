package import Client
package import Core

/// What a node uses, as of one moment: its processor time as a rate over `window`.
package struct NodeUsage: Sendable, Equatable {
    package struct Amount: Sendable, Equatable {
        /// Billionths of a processor.
        package var cpuNanocores: UInt64
        /// Bytes that cannot be taken back at once.
        package var memoryWorkingSet: UInt64
        package init(cpuNanocores: UInt64, memoryWorkingSet: UInt64) {
            self.cpuNanocores = cpuNanocores
            self.memoryWorkingSet = memoryWorkingSet
        }
    }

    package struct Container: Sendable, Equatable {
        package var name: String
        package var usage: Amount
        package init(name: String, usage: Amount) {
            self.name = name
            self.usage = usage
        }
    }

    package struct Pod: Sendable, Equatable {
        package var key: ObjectKey
        package var uid: String
        package var window: Duration
        package var containers: [Container]
        package init(key: ObjectKey, uid: String, window: Duration, containers: [Container]) {
            self.key = key
            self.uid = uid
            self.window = window
            self.containers = containers
        }
    }

    package var node: String
    package var time: Timestamp
    package var window: Duration
    package var usage: Amount
    package var pods: [Pod]

    package init(node: String, time: Timestamp, window: Duration, usage: Amount, pods: [Pod]) {
        self.node = node
        self.time = time
        self.window = window
        self.usage = usage
        self.pods = pods
    }
}
