import Core
import Synchronization
import Transport
import Tree

/// Constant requests to one address, each on a connection of its own and none of them repeated, until it is stopped.
final class LoadGenerator: Sendable {
    struct Counts: Sendable {
        var answered = 0
        var failed = 0
        /// Answers by what the service says its version is.
        var versions: [String: Int] = [:]
        /// The first few failures, in words.
        var failures: [String] = []
        var slowest = Duration.zero
    }

    private let endpoint: HTTPEndpoint
    private let counts = Mutex(Counts())
    private let worker = Mutex<Task<Void, Never>?>(nil)
    private static let workers = 4
    private static let pause = Duration.milliseconds(10)
    private static let timeout = Duration.seconds(10)

    init(host: String, port: Int) { endpoint = HTTPEndpoint(isTLS: false, host: host, port: port) }

    var snapshot: Counts { counts.withLock { $0 } }

    func start() {
        let task = Task {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<LoadGenerator.workers {
                    group.addTask {
                        while !Task.isCancelled {
                            await self.ask()
                            try? await Task.sleep(for: LoadGenerator.pause)
                        }
                    }
                }
            }
        }
        worker.withLock { $0 = task }
    }

    /// Ends the load once the requests on their way are answered, so that none of them counts as failed for being cut off.
    func stop() async -> Counts {
        let task = worker.withLock { worker in
            defer { worker = nil }
            return worker
        }
        task?.cancel()
        await task?.value
        return snapshot
    }

    /// Returns once the service answers with a version, or throws after `limit`.
    func waitFor(version: String, atMost limit: Duration) async throws {
        let deadline = ContinuousClock.now + limit
        let before = snapshot.versions[version] ?? 0
        while (snapshot.versions[version] ?? 0) <= before {
            guard ContinuousClock.now < deadline else { throw CommandFailure("no answer of version \(version) came within \(Words.duration(limit))") }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    private func ask() async {
        let begun = ContinuousClock.now
        // Not a child of the worker's task: cancelling the load must not break a request off.
        let outcome = await Task { [endpoint] in await LoadGenerator.request(endpoint) }.value
        let took = ContinuousClock.now - begun
        counts.withLock { counts in
            counts.slowest = max(counts.slowest, took)
            switch outcome {
            case .success(let version):
                counts.answered += 1
                counts.versions[version, default: 0] += 1
            case .failure(let failure):
                counts.failed += 1
                if counts.failures.count < 5 { counts.failures.append(failure.message) }
            }
        }
    }

    private static func request(_ endpoint: HTTPEndpoint) async -> Result<String, CommandFailure> {
        let http = HTTPClient(http2: false, connectTimeout: timeout)
        defer { http.close() }
        do {
            let response = try await http.send(HTTPClientRequest("GET", endpoint, "/", timeout: timeout))
            let body = try await response.body(limit: 1 << 16)
            guard response.status == 200 else { return .failure(CommandFailure("status \(response.status)")) }
            return .success((try? JSONReader.read(body))?["version"].string ?? "?")
        } catch {
            return .failure(CommandFailure("\(error)"))
        }
    }
}
