import Emulation
import Transport
import Tree

/// Emulated nodes: made, listed and removed.
extension ControlAPI {
    func emulatedNodes(_ exchange: HTTPExchange, _ path: [String]) async throws {
        let emulation = cluster.emulation
        switch (exchange.request.method, path.first, path.count) {
        case ("GET", nil, 0): answer(exchange, ["items": .list(emulation.list())])
        case ("POST", nil, 0):
            let wanted = try await body(exchange)
            let shape = try EmulatedShape(wanted)
            let prefix = try required(wanted, "prefix")
            await ControlStream.run(exchange) { stream in
                let names = try await emulation.add(Int(wanted["count"].int ?? 1), prefix: prefix, shape) { stream.progress($0) }
                return ["nodes": Node(names)]
            }
        case ("POST", "remove", 1):
            let names = try await body(exchange)["names"].stringList
            await ControlStream.run(exchange) { stream in ["nodes": Node(try await emulation.remove(names) { stream.progress($0) })] }
        default: throw ControlFailure(405, "\(exchange.request.method) is not for \(exchange.request.path)")
        }
    }
}
