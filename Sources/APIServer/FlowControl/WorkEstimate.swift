import Core
import Machinery
import Store
import Synchronization

/// How much of the server a request takes: so many seats while it runs, and so many for a moment after, while watchers are told.
struct WorkEstimate: Sendable, Equatable {
    var initialSeats = 1
    var finalSeats = 0
    /// In seconds.
    var additionalLatency = 0.0

    var maxSeats: Int { max(initialSeats, finalSeats) }
    /// Seat seconds, where `service` is what a request is thought to take.
    func totalWork(_ service: Double) -> Double { Double(initialSeats) * service + Double(finalSeats) * additionalLatency }
}

/// Estimates widths as upstream does: lists by what they bring into memory, writes by how many watch them.
final class WorkEstimator: Sendable {
    private static let bytesPerSeat = 100_000.0
    /// Lists come from memory and are streamed, so at most so much is in the making at once.
    private static let streamed = 1_000_000.0
    private static let watchesPerSeat = 10.0
    private static let eventDuration = 0.005
    private static let mostMutatingSeats = 10
    private static let mostListSeats = 100
    /// How many objects an average is taken over.
    private static let sample = 16

    private struct Watched: Hashable {
        let group: String
        let resource: String
        var namespace = ""
        var name = ""
    }

    private let store: Store
    private let watches = Mutex<[Watched: Int]>([:])

    init(_ store: Store) { self.store = store }

    /// `most` is what one request of its level may take; 0 where that has no bound of its own.
    func estimate(_ info: RequestInfo, limit: Int, sendsInitial: Bool, most: Int) -> WorkEstimate {
        guard info.isResource else { return WorkEstimate() }
        switch info.verb {
        case "list": return list(info, limit, most)
        case "watch": return sendsInitial ? list(info, limit, most) : WorkEstimate()
        case "create", "update", "patch", "delete": return write(info, most)
        default: return WorkEstimate()
        }
    }

    private func list(_ info: RequestInfo, _ limit: Int, _ most: Int) -> WorkEstimate {
        let most = most == 0 ? WorkEstimator.mostListSeats : min(most, WorkEstimator.mostListSeats)
        guard info.name.isEmpty, let snapshot = try? store.snapshot(of: info.group.isEmpty ? info.resource : "\(info.group)/\(info.resource)") else {
            return WorkEstimate()
        }
        let count = snapshot.count
        let some = snapshot.page(limit: WorkEstimator.sample).records
        guard count > 0, !some.isEmpty else { return WorkEstimate() }
        let average = Double(some.reduce(0) { $0 + $1.body.count }) / Double(some.count)
        let loaded = Double(limit > 0 ? min(limit, count) : count) * average
        let seats = Int((min(loaded, WorkEstimator.streamed) / WorkEstimator.bytesPerSeat).rounded(.up))
        return WorkEstimate(initialSeats: max(1, min(seats, most)))
    }

    private func write(_ info: RequestInfo, _ most: Int) -> WorkEstimate {
        // A token tells nobody anything.
        if info.resource == "serviceaccounts", info.subresource == "token" { return WorkEstimate() }
        let most = most == 0 ? WorkEstimator.mostMutatingSeats : min(most, WorkEstimator.mostMutatingSeats)
        let watching = Double(watchers(of: info))
        guard watching >= WorkEstimator.watchesPerSeat else { return WorkEstimate() }
        let seats = (watching / WorkEstimator.watchesPerSeat).rounded(.up)
        let work = seats * WorkEstimator.eventDuration
        let final = min(Int(seats), most)
        return WorkEstimate(initialSeats: 1, finalSeats: final, additionalLatency: work / Double(final))
    }

    // MARK: - Watches

    private func key(_ info: RequestInfo) -> Watched { Watched(group: info.group, resource: info.resource, namespace: info.namespace, name: info.name) }

    func watchBegins(_ info: RequestInfo) { watches.withLock { $0[key(info), default: 0] += 1 } }

    func watchEnds(_ info: RequestInfo) {
        watches.withLock { watches in
            let left = (watches[key(info)] ?? 1) - 1
            watches[key(info)] = left > 0 ? left : nil
        }
    }

    /// Those who would be told of a write.
    func watchers(of info: RequestInfo) -> Int {
        watches.withLock { watches in
            var places = [Watched(group: info.group, resource: info.resource)]
            if !info.namespace.isEmpty { places.append(Watched(group: info.group, resource: info.resource, namespace: info.namespace)) }
            if !info.name.isEmpty { places.append(key(info)) }
            return places.reduce(0) { $0 + (watches[$1] ?? 0) }
        }
    }
}
