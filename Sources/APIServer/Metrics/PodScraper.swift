import Machinery
import Transport
import Tree

/// Asks pods for their metrics where their annotations say that they may be asked: `prometheus.io/scrape`, and `port`, `path`, `scheme`.
package struct PodScraper: Sendable {
    private static let limit = 8 << 20
    private let client = HTTPClient(tls: ClientTLS(insecure: true), http2: false, connectTimeout: .seconds(2), idleTimeout: .seconds(20))

    package init() {}

    /// Whether a pod tells metrics to whom it may concern.
    static func mayAsk(_ pod: Node) -> Bool {
        pod.annotations["prometheus.io/scrape"] == "true" && !pod.isBeingDeleted && pod["status"]["podIP"].string?.isEmpty == false
    }

    /// What each of the pods tells, at the same time; those that tell nothing are left out.
    func samples(of pods: [Node]) async -> [(pod: Node, samples: [PrometheusText.Sample])] {
        await withTaskGroup(of: (Int, [PrometheusText.Sample]?).self) { group in
            for (index, pod) in pods.enumerated() where PodScraper.mayAsk(pod) {
                group.addTask { (index, await scrape(pod).map { PrometheusText.samples(in: $0) }) }
            }
            var found: [(index: Int, samples: [PrometheusText.Sample])] = []
            for await (index, samples) in group { if let samples { found.append((index, samples)) } }
            return found.sorted { $0.index < $1.index }.map { (pods[$0.index], $0.samples) }
        }
    }

    private func scrape(_ pod: Node) async -> String? {
        guard let address = pod["status"]["podIP"].string else { return nil }
        let annotations = pod.annotations
        let first = pod["spec"]["containers"].list.flatMap { $0["ports"].list }.compactMap { $0["containerPort"].int }.first
        guard let port = annotations["prometheus.io/port"].flatMap({ Int($0) }) ?? first.map({ Int($0) }), (1...65535).contains(port) else { return nil }
        let endpoint = HTTPEndpoint(isTLS: annotations["prometheus.io/scheme"] == "https", host: address, port: port)
        let path = annotations["prometheus.io/path"] ?? "/metrics"
        let request = HTTPClientRequest("GET", endpoint, path.hasPrefix("/") ? path : "/\(path)", timeout: .seconds(5))
        guard let answer = try? await client.send(request), answer.isSuccess, let body = try? await answer.body(limit: PodScraper.limit) else { return nil }
        return String(decoding: body, as: UTF8.self)
    }
}
