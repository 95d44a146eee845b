package import Client
import Controllers
package import Core
package import HostNetwork
import Logging

/// Keeps a network true to the API: rules, names and load-balancer addresses follow the Services, and `kube-dns` is among them.
package final class NetworkServices: Sendable {
    private let view: ClusterView
    private let dnsService: ClusterDNSService
    private let proxy: ServiceProxy
    private let names: ServiceDNS
    private let balancers: ControllerRunner
    private let recorder: EventRecorder
    private let time: any TimeSource
    private let log = Logger(label: "network")

    /// Declares what it reads, so make it before the view runs.
    package init(_ network: ClusterNetwork, view: ClusterView, time: any TimeSource = SystemTime()) {
        self.view = view
        self.time = time
        dnsService = ClusterDNSService(client: view.client, address: network.plan.dnsAddress)
        proxy = ServiceProxy(network, view: view, time: time)
        names = ServiceDNS(network.dns, view: view, time: time)
        recorder = EventRecorder(client: view.client, component: "service-controller")
        balancers = ControllerRunner(LoadBalancers(network.plan.loadBalancerRange), view: view, recorder: recorder, time: time, parallelism: 1)
    }

    /// Works until cancelled; the kernel keeps the network afterwards.
    package func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.insist() }
            group.addTask { await self.proxy.run() }
            group.addTask { await self.names.run() }
            group.addTask { await self.recorder.run() }
            group.addTask { await self.balancers.run() }
        }
    }

    private func insist() async {
        var backoff = Backoff(base: .milliseconds(50), limit: .seconds(30))
        while !Task.isCancelled {
            do { return try await dnsService.ensure() } catch {
                if Task.isCancelled { return }
                log.warning("kube-dns is not there yet", metadata: ["error": "\(error)"])
            }
            try? await time.sleep(for: backoff.next())
        }
    }
}
