import Core

/// What flow control tells of itself: upstream's dumps and metrics.
extension FlowControl {
    private static let priorityLevels = [
        "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests", "DispatchedRequests", "RejectedRequests",
        "TimedoutRequests", "CancelledRequests",
    ]
    private static let queueColumns = [
        "PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR", "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum",
    ]
    private static let requestColumns = [
        "PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime", "InitialSeats", "FinalSeats",
        "AdditionalLatency", "StartTime",
    ]
    private static let detailColumns = ["UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource"]

    /// One of `/debug/api_priority_and_fairness/…`; nil for none of them.
    func dump(_ name: String, withDetails: Bool) -> String? {
        switch name {
        case "dump_priority_levels":
            return FlowControl.table(
                [FlowControl.priorityLevels]
                    + snapshot().map { name, state in
                        let queues = state.queues
                        let active = queues.queues.count { !$0.waiting.isEmpty }
                        let counts = queues.counts
                        return [
                            name, "\(active)", "\(queues.requests.isEmpty)", "false", "\(queues.waiting)", "\(queues.executing)", "\(counts.dispatched)",
                            "\(counts.rejected)", "\(counts.timedOut)", "0",
                        ]
                    })
        case "dump_queues":
            var rows = [FlowControl.queueColumns]
            for (name, state) in snapshot() {
                for (index, queue) in state.queues.queues.enumerated() {
                    let waiting = queue.waiting.compactMap { state.queues.requests[$0]?.estimate }
                    rows.append([
                        name, "\(index)", "\(queue.waiting.count)", "\(queue.executing.count)", "\(queue.seatsInUse)", FlowControl.seatSeconds(queue.nextDispatchR),
                        "\(waiting.reduce(0) { $0 + $1.initialSeats })", "\(waiting.reduce(0) { $0 + $1.maxSeats })",
                        FlowControl.seatSeconds(waiting.reduce(0) { $0 + $1.totalWork(0.003) }),
                    ])
                }
            }
            return FlowControl.table(rows)
        case "dump_requests": return requests(withDetails)
        default: return nil
        }
    }

    private func requests(_ withDetails: Bool) -> String {
        var rows = [FlowControl.requestColumns + (withDetails ? FlowControl.detailColumns : [])]
        for (name, state) in snapshot() {
            for request in state.queues.requests.values.sorted(by: { $0.id < $1.id }) {
                let place = request.queue.flatMap { state.queues.queues[$0].waiting.firstIndex(of: request.id) } ?? -1
                var row = [
                    name, request.schema, "\(request.queue ?? -1)", "\(place)", request.flow.split(separator: "\0", maxSplits: 1).last.map(String.init) ?? "",
                    request.arrived.rfc3339Nano, "\(request.estimate.initialSeats)", "\(request.estimate.finalSeats)",
                    GoDuration.render(Int64(request.estimate.additionalLatency * 1e9)), request.startedAt?.rfc3339Nano ?? "0001-01-01T00:00:00Z",
                ]
                if withDetails {
                    let info = request.info
                    row += [
                        request.user, info.verb, info.path, info.namespace, info.name, info.group.isEmpty ? info.version : "\(info.group)/\(info.version)", info.resource,
                        info.subresource,
                    ]
                }
                rows.append(row)
            }
        }
        return FlowControl.table(rows)
    }

    private static func seatSeconds(_ value: Double) -> String {
        let scaled = Int64((value * 1e8).rounded())
        return "\(scaled / 100_000_000).\(String(100_000_000 + scaled.magnitude % 100_000_000).dropFirst())ss"
    }

    /// Columns as wide as their widest cell, and at least eight.
    private static func table(_ rows: [[String]]) -> String {
        let count = rows.map(\.count).max() ?? 0
        var widths = [Int](repeating: 0, count: count)
        for row in rows { for (index, cell) in row.enumerated() where index < row.count - 1 { widths[index] = max(widths[index], cell.count + 2, 8) } }
        var out = ""
        for row in rows {
            for (index, cell) in row.enumerated() {
                guard index < row.count - 1 else {
                    out += cell
                    continue
                }
                out += "\(cell),".padded(to: widths[index])
            }
            out += "\n"
        }
        return out
    }

    // MARK: - Metrics

    package func metrics() -> String {
        let levels = snapshot()
        var out = ""
        func family(_ name: String, _ type: String, _ help: String, _ rows: [(String, Int)]) {
            out += "# HELP apiserver_flowcontrol_\(name) \(help)\n# TYPE apiserver_flowcontrol_\(name) \(type)\n"
            for (labels, value) in rows { out += "apiserver_flowcontrol_\(name){\(labels)} \(value)\n" }
        }
        func each(_ value: (LevelState) -> Int) -> [(String, Int)] { levels.map { ("priority_level=\"\($0.name)\"", value($0.state)) } }
        func bySchema(_ isWanted: (FairQueues.Request) -> Bool, _ value: (FairQueues.Request) -> Int) -> [(String, Int)] {
            levels.flatMap { name, state in
                Dictionary(grouping: state.queues.requests.values.filter(isWanted), by: \.schema).sorted { $0.key < $1.key }.map { schema, found in
                    ("flow_schema=\"\(schema)\",priority_level=\"\(name)\"", found.reduce(0) { $0 + value($1) })
                }
            }
        }
        family("nominal_limit_seats", "gauge", "[BETA] Seats that the configuration gives a level.", each(\.nominal))
        family("current_limit_seats", "gauge", "[ALPHA] Seats that a level has now.", each(\.queues.limit))
        family("lower_limit_seats", "gauge", "[ALPHA] Seats that a level always keeps.", each(\.lowest))
        family("upper_limit_seats", "gauge", "[ALPHA] Seats that a level may have with those it borrows.", each(\.highest))
        family("demand_seats_high_watermark", "gauge", "[ALPHA] The most seats asked for in the last period.", each(\.demand.highWatermark))
        family("current_executing_requests", "gauge", "[BETA] Requests that run.", bySchema({ $0.started != nil }, { _ in 1 }))
        family("current_executing_seats", "gauge", "[BETA] Seats that are taken.", bySchema({ $0.started != nil }, \.estimate.maxSeats))
        family("current_inqueue_requests", "gauge", "[BETA] Requests that wait.", bySchema({ $0.started == nil }, { _ in 1 }))
        family("current_inqueue_seats", "gauge", "[ALPHA] Seats that are waited for.", bySchema({ $0.started == nil }, \.estimate.maxSeats))
        family("dispatched_requests_total", "counter", "[BETA] Requests that began to run.", each(\.queues.counts.dispatched))
        family(
            "rejected_requests_total", "counter", "[BETA] Requests that were turned away.",
            levels.flatMap { name, state in state.rejected.sorted { $0.key < $1.key }.map { ("priority_level=\"\(name)\",reason=\"\($0.key)\"", $0.value) } })
        return out
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { count >= width ? self : self + String(repeating: " ", count: width - count) }
}
