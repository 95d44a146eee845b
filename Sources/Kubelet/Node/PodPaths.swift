/// Where one pod's things are on disk.
struct PodPaths: Sendable, Equatable {
    /// Kept over a reboot: emptyDir contents, mount points, termination messages.
    let state: String
    /// In memory: what was read from the API.
    let memory: String
    let logs: String

    init(_ pod: PodView, _ node: NodeConfiguration) {
        state = "\(node.podsDirectory)/\(pod.uid)"
        memory = "\(node.runtimeDirectory)/pods/\(pod.uid)"
        logs = "\(node.logsDirectory)/\(pod.namespace)_\(pod.name)_\(pod.uid)"
    }

    func log(_ container: String, _ attempt: Int) -> String { "\(logs)/\(container)/\(attempt).log" }
    func volume(_ name: String) -> String { "\(state)/volumes/\(name)" }
    func content(_ name: String) -> String { "\(memory)/volumes/\(name)" }
    func terminationMessage(_ container: String, _ attempt: Int) -> String { "\(state)/containers/\(container)/\(attempt).message" }
    var hosts: String { "\(state)/etc-hosts" }
    var resolvConf: String { "\(state)/resolv.conf" }
    var hostname: String { "\(state)/hostname" }
}
