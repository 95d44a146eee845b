import Core
import Kinds
import Machinery
import Schema
import Testing
import Tree

struct CellsTests {
    private func pod(_ status: String, deleted: Bool = false, initContainers: String = "") throws -> [String] {
        try Sample.cells(
            """
            apiVersion: v1
            kind: Pod
            metadata:
              name: web
              creationTimestamp: 2026-01-01T00:00:00Z
              \(deleted ? "deletionTimestamp: 2026-01-01T00:59:00Z" : "labels: {}")
            spec:
              nodeName: node-1
              \(initContainers)
              containers: [{name: a}, {name: b}]
            status: \(status)
            """)
    }

    @Test func aRunningPodShowsReadyContainersAndItsAddress() throws {
        let row = try pod(
            """
            {phase: Running, podIPs: [{ip: 10.0.0.5}], containerStatuses: [{ready: true, restartCount: 2, state: {running: {}}, lastState: {terminated: {finishedAt: 2026-01-01T00:57:00Z}}}, {ready: false, restartCount: 0, state: {running: {}}}]}
            """)
        #expect(row == ["web", "1/2", "Running", "2 (3m ago)", "60m", "10.0.0.5", "node-1", "<none>", "<none>"])
    }

    @Test(arguments: [
        ("{phase: Pending, containerStatuses: [{state: {waiting: {reason: CrashLoopBackOff}}}]}", "CrashLoopBackOff"),
        ("{phase: Failed, containerStatuses: [{state: {terminated: {exitCode: 3}}}]}", "ExitCode:3"),
        ("{phase: Failed, reason: Evicted}", "Evicted"),
        ("{phase: Succeeded, containerStatuses: [{state: {terminated: {exitCode: 0, reason: Completed}}}]}", "Completed"),
        ("{phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: SchedulingGated}]}", "SchedulingGated"),
        ("{phase: Pending, initContainerStatuses: [{name: i, state: {running: {}}}]}", "Init:0/2"),
        ("{phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 0}}}, {name: j, state: {terminated: {exitCode: 1, reason: Error}}}]}", "Init:Error"),
        ("{phase: Pending, initContainerStatuses: [{name: i, state: {waiting: {reason: ImagePullBackOff}}}]}", "Init:ImagePullBackOff"),
    ])
    func thePodStatusIsTheReasonThatMatters(status: String, reason: String) throws {
        #expect(try pod(status, initContainers: "initContainers: [{name: i}, {name: j}]")[2] == reason)
    }

    @Test func aPodUnderDeletionIsTerminatingUnlessItHasEnded() throws {
        #expect(try pod("{phase: Running}", deleted: true)[2] == "Terminating")
        #expect(try pod("{phase: Running, reason: NodeLost}", deleted: true)[2] == "Unknown")
        #expect(try pod("{phase: Succeeded}", deleted: true)[2] == "Succeeded")
    }

    @Test func aServiceShowsItsPortsAndAddresses() throws {
        let row = try Sample.cells(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
            spec:
              type: LoadBalancer
              clusterIPs: [10.96.0.9]
              selector: {app: web}
              ports: [{port: 80, protocol: TCP, nodePort: 30080}, {port: 53, protocol: UDP}]
            """)
        #expect(row == ["web", "LoadBalancer", "10.96.0.9", "<pending>", "80:30080/TCP,53/UDP", "60m", "app=web"])
    }

    @Test func aNodeShowsItsStateAndRoles() throws {
        let row = try Sample.cells(
            """
            apiVersion: v1
            kind: Node
            metadata: {name: n1, creationTimestamp: 2026-01-01T00:00:00Z, labels: {node-role.kubernetes.io/control-plane: "", node-role.kubernetes.io/worker: ""}}
            spec: {unschedulable: true}
            status:
              conditions: [{type: Ready, status: "True"}]
              addresses: [{type: InternalIP, address: 10.1.2.3}]
              nodeInfo: {kubeletVersion: v1.36.0, osImage: Debian, kernelVersion: "6.1", architecture: amd64, containerRuntimeVersion: jangada://1}
            """)
        #expect(
            row == ["n1", "Ready,SchedulingDisabled", "control-plane,worker", "60m", "v1.36.0", "10.1.2.3", "<none>", "Debian", "6.1 (amd64)", "jangada://1"])
    }

    @Test func everyResourceHasAsManyCellsAsColumns() throws {
        for resource in Graph.builtIn.resources where !resource.columns.isEmpty {
            guard let cells = KindCells.of(group: resource.group, kind: resource.kind) else {
                // Some resources have nothing but the generic columns.
                #expect(resource.columns.map(\.name) == ["Name", "Created At"] || !resource.allows("list"), "\(resource.gvr)")
                continue
            }
            let row = cells.cells(["metadata": ["name": "x"]], now: .init(seconds: 0))
            #expect(row.count == resource.columns.count || resource.name == "ipaddresses", "\(resource.gvr)")
        }
    }
}
