package import Client
package import Core

/// Asks the nodes what they use, when somebody wants to know and not otherwise. Who asks while others wait gets their answer.
package actor UsageSource {
    private let sample: @Sendable () async -> [NodeStats]
    private let pause: Duration
    private let time: any TimeSource
    private var rates = UsageRates()
    private var isSampling = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// `pause` is between the two samples of a first answer, which has nothing before it.
    package init(pause: Duration = .seconds(1), time: any TimeSource = SystemTime(), sample: @escaping @Sendable () async -> [NodeStats]) {
        self.sample = sample
        self.pause = pause
        self.time = time
    }

    package init(_ nodes: NodeStreamsDirectory) {
        self.init {
            await withTaskGroup(of: NodeStats.self, returning: [NodeStats].self) { group in
                for node in nodes.all { group.addTask { await node.stats() } }
                var out: [NodeStats] = []
                for await stats in group { out.append(stats) }
                return out.sorted { $0.node < $1.node }
            }
        }
    }

    package func usage() async -> [NodeUsage] {
        while isSampling { await withCheckedContinuation { waiting.append($0) } }
        if let fresh = rates.fresh(time.now()) { return fresh }
        isSampling = true
        defer {
            isSampling = false
            for continuation in waiting { continuation.resume() }
            waiting = []
        }
        if !rates.hasBase(time.now()) {
            rates.add(await sample(), now: time.now())
            // Who gives up has an answer without rates, which nobody else shall get.
            do { try await Task.sleep(for: pause) } catch {
                rates = UsageRates()
                return []
            }
        }
        return rates.add(await sample(), now: time.now())
    }
}
