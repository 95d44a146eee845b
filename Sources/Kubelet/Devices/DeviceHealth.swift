import Core
import Tree

/// What a driver last said of a device's condition.
struct DeviceHealth: Sendable, Equatable {
    enum State: String, Sendable {
        case unknown = "Unknown"
        case healthy = "Healthy"
        case unhealthy = "Unhealthy"
    }
    /// A device among those of its driver.
    struct Place: Sendable, Hashable {
        var pool = ""
        var device = ""
    }

    var state = State.unknown
    var message = ""
    /// For how long it is to be believed.
    var patience = DeviceHealth.usualPatience

    static let usualPatience = Duration.seconds(30)
    private static let longestMessage = 1024

    /// `NodeWatchResourcesResponse`
    static func read(_ bytes: [UInt8]) throws(SyntaxError) -> [Place: DeviceHealth] {
        var out: [Place: DeviceHealth] = [:]
        try WireMessage.read(bytes) { reader, number throws(SyntaxError) in
            guard number == 1 else { return false }
            var place = Place()
            var health = DeviceHealth()
            try WireMessage.read(try reader.message()) { entry, number throws(SyntaxError) in
                switch number {
                case 1: place = try Place(entry.message())
                case 2: health.state = [1: .healthy, 2: .unhealthy][try entry.varint()] ?? .unknown
                case 4:
                    let seconds = Int64(bitPattern: try entry.varint())
                    if seconds > 0 { health.patience = .seconds(seconds) }
                case 5: health.message = shortened(try entry.string())
                default: return false
                }
                return true
            }
            out[place] = health
            return true
        }
        return out
    }

    private static func shortened(_ text: String) -> String {
        text.unicodeScalars.count <= longestMessage ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(longestMessage - 3))) + "..."
    }
}

extension DeviceHealth.Place {
    /// `DeviceIdentifier`
    fileprivate init(_ reader: WireReader) throws(SyntaxError) {
        try WireMessage.read(reader) { reader, number throws(SyntaxError) in
            switch number {
            case 1: pool = try reader.string()
            case 2: device = try reader.string()
            default: return false
            }
            return true
        }
    }
}

/// The conditions of all devices of a node that their drivers tell of. What was not told again in time counts as unknown.
struct DeviceHealthTable: Sendable {
    private struct Entry: Sendable {
        var health: DeviceHealth
        var toldAt: ContinuousClock.Instant
        func isStale(_ now: ContinuousClock.Instant) -> Bool { now - toldAt > health.patience }
    }
    private var drivers: [String: [DeviceHealth.Place: Entry]] = [:]

    func health(_ driver: String, _ pool: String, _ device: String, now: ContinuousClock.Instant) -> DeviceHealth {
        guard let entry = drivers[driver]?[.init(pool: pool, device: device)], !entry.isStale(now) else { return DeviceHealth() }
        return entry.health
    }

    /// True when something is otherwise than it was.
    mutating func take(_ report: [DeviceHealth.Place: DeviceHealth], of driver: String, now: ContinuousClock.Instant) -> Bool {
        var changed = expire(driver, now: now)
        for (place, health) in report {
            changed = drivers[driver]?[place]?.health != health || changed
            drivers[driver, default: [:]][place] = Entry(health: health, toldAt: now)
        }
        return changed
    }

    /// Lets go of what was not told again in time; true when there was such a thing.
    mutating func expire(_ driver: String, now: ContinuousClock.Instant) -> Bool {
        let before = drivers[driver]?.count ?? 0
        drivers[driver] = drivers[driver]?.filter { !$0.value.isStale(now) }
        return drivers[driver]?.count ?? 0 != before
    }

    mutating func forget(_ driver: String) -> Bool { drivers.removeValue(forKey: driver)?.isEmpty == false }
}
