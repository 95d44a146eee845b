import APIServer
import Client
import Controllers
import Core
import Machinery
import Schema
import Store
import Testing
import Tree

@testable import Volumes

/// Claims from birth to end: an API on a store in memory, the controllers, and real directories.
@Suite(.timeLimit(.minutes(10))) struct ProvisioningTests {
    struct Cluster: Sendable {
        let client: InProcessClient
        let view: ClusterView
        let root: String

        func claim(_ name: String) -> Node? { view.get(.persistentVolumeClaims, ObjectKey("default", name)) }
        func volume(_ name: String) -> Node? { view.get(.persistentVolumes, ObjectKey("", name)) }

        func until(_ what: Comment, _ condition: @Sendable () -> Bool) async throws {
            for _ in 0..<40_000 {
                if condition() { return }
                try await Task.sleep(for: .milliseconds(5))
            }
            Issue.record(what)
            throw CancellationError()
        }

        func makeClaim(_ name: String, size: String = "1Gi") async throws -> Node {
            try await client.create(
                .persistentVolumeClaims, namespace: "default",
                [
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": ["name": .string(name)],
                    "spec": ["accessModes": ["ReadWriteOnce"], "resources": ["requests": ["storage": .string(size)]]],
                ])
        }

        /// As the scheduler does once it has chosen.
        func choose(_ node: String, for claim: String) async throws {
            _ = try await client.patch(
                .persistentVolumeClaims, ObjectKey("default", claim), .merge,
                ["metadata": ["annotations": ["volume.kubernetes.io/selected-node": .string(node)]]], subresource: nil)
        }

        /// A claim with its volume, and the volume's name.
        func bound(_ name: String) async throws -> String {
            let made = try await makeClaim(name)
            try await choose("n1", for: name)
            try await until("the claim is bound") { claim(name)?["status"]["phase"].string == "Bound" }
            return "pvc-\(made.uid)"
        }
    }

    private func run(_ body: @escaping @Sendable (Cluster) async throws -> Void) async throws {
        try await withScratch { root in
            let store = try Store(.memory)
            let writer = ObjectWriter(store: store, admission: AdmissionChain([]), conversion: BuiltInConversion(), checks: ObjectChecks())
            let client = InProcessClient(
                store: store, catalog: ResourceCatalog(graph: Graph.builtIn), writer: writer, posts: [:], user: UserInfo(name: "system:kube-controller-manager"))
            let view = ClusterView(client: client)
            var options = ControllerSet.Options()
            options.volumeProviders = [LocalVolumes(root: root)]
            let controllers = ControllerSet(view: view, options)
            _ = try await client.create(.namespaces, namespace: "", ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "default"]])
            _ = try await client.create(
                .nodes, namespace: "", ["apiVersion": "v1", "kind": "Node", "metadata": ["name": "n1", "labels": ["kubernetes.io/hostname": "n1"]], "spec": [:]])
            try await StandardClass.ensure(client)
            try await StandardClass.ensure(client)
            let cluster = Cluster(client: client, view: view, root: root)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await view.run() }
                group.addTask { await controllers.run() }
                defer { group.cancelAll() }
                try await body(cluster)
            }
            store.close()
        }
    }

    @Test func aClaimWaitsForItsNodeAndThenGetsADirectoryThere() async throws {
        try await run { cluster in
            let made = try await cluster.makeClaim("data")
            try await cluster.until("the default class is taken") { cluster.claim("data")?["spec"]["storageClassName"].string == "standard" }
            #expect(try FileSystem.list(cluster.root).isEmpty)
            try await cluster.choose("n1", for: "data")
            try await cluster.until("the claim is bound") { cluster.claim("data")?["status"]["phase"].string == "Bound" }
            let claim = try #require(cluster.claim("data"))
            let volume = try #require(cluster.volume("pvc-\(made.uid)"))
            #expect(claim["spec"]["volumeName"].string == volume.name)
            #expect(claim["status"]["capacity"]["storage"].string == "1Gi")
            #expect(claim.annotations["pv.kubernetes.io/bind-completed"] == "yes")
            #expect(claim.finalizers.contains("kubernetes.io/pvc-protection"))
            #expect(volume["spec"]["local"]["path"].string == "\(cluster.root)/\(volume.name)")
            #expect(volume.annotations["pv.kubernetes.io/provisioned-by"] == LocalVolumes.provisioner)
            #expect(FileSystem.exists("\(cluster.root)/\(volume.name)"))
        }
    }

    @Test func theEndOfAClaimIsTheEndOfItsVolumeAndDirectory() async throws {
        try await run { cluster in
            let name = try await cluster.bound("data")
            try FileSystem.writeAtomically("\(cluster.root)/\(name)/file", [1])
            _ = try await cluster.client.delete(.persistentVolumeClaims, ObjectKey("default", "data"), DeleteOptions())
            try await cluster.until("claim and volume are gone") { cluster.claim("data") == nil && cluster.volume(name) == nil }
            #expect(try FileSystem.list(cluster.root).isEmpty)
        }
    }

    @Test func aClaimInUseStaysUntilItsPodIsGone() async throws {
        try await run { cluster in
            let name = try await cluster.bound("data")
            let pod: Node = [
                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "web"],
                "spec": [
                    "nodeName": "n1", "containers": [["name": "c", "image": "i"]],
                    "volumes": [["name": "v", "persistentVolumeClaim": ["claimName": "data"]]],
                ],
            ]
            _ = try await cluster.client.create(.pods, namespace: "default", pod)
            _ = try await cluster.client.delete(.persistentVolumeClaims, ObjectKey("default", "data"), DeleteOptions())
            try await Task.sleep(for: .milliseconds(200))
            #expect(cluster.claim("data")?.isBeingDeleted == true)
            #expect(FileSystem.exists("\(cluster.root)/\(name)"))
            _ = try await cluster.client.delete(.pods, ObjectKey("default", "web"), DeleteOptions(gracePeriodSeconds: 0))
            try await cluster.until("claim and volume are gone") { cluster.claim("data") == nil && cluster.volume(name) == nil }
        }
    }

    @Test func aRetainedVolumeKeepsItsFilesEvenWhenItsObjectIsDeleted() async throws {
        try await run { cluster in
            let name = try await cluster.bound("data")
            _ = try await cluster.client.patch(
                .persistentVolumes, ObjectKey("", name), .merge, ["spec": ["persistentVolumeReclaimPolicy": "Retain"]], subresource: nil)
            _ = try await cluster.client.delete(.persistentVolumeClaims, ObjectKey("default", "data"), DeleteOptions())
            try await cluster.until("the volume is released") { cluster.volume(name)?["status"]["phase"].string == "Released" }
            _ = try await cluster.client.delete(.persistentVolumes, ObjectKey("", name), DeleteOptions())
            try await cluster.until("the volume's object is gone") { cluster.volume(name) == nil }
            #expect(FileSystem.exists("\(cluster.root)/\(name)"))
        }
    }

    @Test func aClaimGrows() async throws {
        try await run { cluster in
            let name = try await cluster.bound("data")
            _ = try await cluster.client.patch(
                .persistentVolumeClaims, ObjectKey("default", "data"), .merge, ["spec": ["resources": ["requests": ["storage": "3Gi"]]]], subresource: nil)
            try await cluster.until("the claim has grown") { cluster.claim("data")?["status"]["capacity"]["storage"].string == "3Gi" }
            try await cluster.until("the volume has grown") { cluster.volume(name)?["spec"]["capacity"]["storage"].string == "3Gi" }
        }
    }
}
