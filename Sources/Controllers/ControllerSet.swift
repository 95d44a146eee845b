package import Client
package import Core
import Machinery
package import Schema

/// All controllers over one view, each with the events in its own name. Made before the view runs, run beside it.
package struct ControllerSet: Sendable {
    /// What controllers need to know that no object tells.
    package struct Options: Sendable {
        /// The certificate authority of the API server, for `kube-root-ca.crt`.
        package var caPEM = ""
        /// All resources that can be listed, watched and deleted, one version each, as of now.
        package var deletable: @Sendable () -> [GarbageCollector.Served] = { [] }
        /// Where the objects of a kind are, in any version that is served.
        package var served: @Sendable (GroupVersionKind) -> GarbageCollector.Served? = { _ in nil }
        /// Nil leaves pod ranges to others.
        package var clusterCIDR: String?
        package var nodeMaskBits = 24
        package var nodeGrace: Duration = .seconds(40)
        package var terminatedPodThreshold = 12_500
        /// False leaves all that upstream's kube-controller-manager does to somebody else; making volumes stays.
        package var isControllerManager = true
        /// What makes the volumes of the StorageClasses that name it.
        package var volumeProviders: [any VolumeProvider] = []
        /// Nil leaves autoscalers to others.
        package var scaling: (any ScalingSource)?
        /// Nil leaves certificate requests to others.
        package var issuer: (any CertificateIssuer)?
        package var time: any TimeSource = SystemTime()
        package init() {}
    }

    private let view: ClusterView
    private let options: Options
    private var runners: [ControllerRunner] = []
    private var recorders: [EventRecorder] = []
    private var collector: GarbageCollector?

    package init(view: ClusterView, _ options: Options) {
        self.view = view
        self.options = options
        for provider in options.volumeProviders { add(VolumeProvisioner(provider)) }
        // Upstream's API server keeps these itself.
        add(ServiceAddresses())
        guard options.isControllerManager else { return }
        for controller in ControllerSet.controllers(options) { add(controller) }
        let namespaced: @Sendable () -> [GroupVersionResource] = { options.deletable().filter(\.isNamespaced).map(\.resource) }
        add(Namespaces(resources: namespaced))
        add(ResourceQuotas(served: options.deletable))
        if let issuer = options.issuer { add(CertificateSigner(issuer)) }
        if let scaling = options.scaling {
            add(HorizontalPodAutoscalers(scaling))
            add(ScaledDisruptionBudgets(scaling))
        } else {
            add(DisruptionBudgets())
        }
        add(VolumeReclaimer())
        add(ResourceClaims())
        add(ClaimProtection())
        add(VolumeProtection())
        add(AttributesClassProtection())
        add(PodGarbageCollector(terminatedPodThreshold: options.terminatedPodThreshold))
        if let cidr = options.clusterCIDR, let ipam = NodeIPAM(clusterCIDR: cidr, nodeMaskBits: options.nodeMaskBits) { add(ipam, parallelism: 1) }
        collector = GarbageCollector(
            view: view, recorder: recorder("garbage-collector-controller"), resources: { options.deletable().map(\.resource) }, served: options.served,
            time: options.time)
    }

    private static func controllers(_ options: Options) -> [any Controller] {
        [
            Deployments(), ReplicaSets(), ReplicaSets(.replicationController), EndpointSlices(), Endpoints(), ServiceAccounts(),
            RootCAPublisher(caPEM: options.caPEM), NodeLifecycle(grace: options.nodeGrace, start: options.time.now()), TaintEviction(),
            DaemonSets(), StatefulSets(), Jobs(), OrphanedJobPods(), CronJobs(), StaleDisruptions(), FinishedJobs(), ClusterRoleAggregation(),
            VolumeBinder(), EndpointSliceMirrors(), EphemeralVolumes(), PodResourceClaims(), DeviceTaintEviction(), CertificateCleaner(), ServiceCIDRs(),
            VolumeAttachments(),
        ]
    }

    private mutating func recorder(_ component: String) -> EventRecorder {
        let recorder = EventRecorder(client: view.client, component: component)
        recorders.append(recorder)
        return recorder
    }

    private mutating func add(_ controller: any Controller, parallelism: Int = 8) {
        runners.append(
            ControllerRunner(controller, view: view, recorder: recorder(controller.name), time: options.time, parallelism: parallelism))
    }

    private mutating func add(_ reconciler: any Reconciler) {
        runners.append(ControllerRunner(reconciler, view: view, recorder: recorder(reconciler.name), time: options.time))
    }

    private func sweep(_ provider: any VolumeProvider) async {
        await view.synced()
        await provider.sweep { [view] name in VolumeProvisioner.isKnown(name, view) }
    }

    /// Nothing due and nothing running in any of them; what waits for its time does not count.
    package var isIdle: Bool { runners.allSatisfy(\.isIdle) }

    /// Works until cancelled.
    package func run() async {
        await withDiscardingTaskGroup { group in
            for runner in runners { group.addTask { await runner.run() } }
            for provider in options.volumeProviders { group.addTask { await sweep(provider) } }
            for recorder in recorders { group.addTask { await recorder.run() } }
            if let collector { group.addTask { await collector.run() } }
        }
    }
}
