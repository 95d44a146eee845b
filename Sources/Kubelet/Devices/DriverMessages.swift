import Tree

/// A claim as drivers are told of it.
struct DriverClaim: Sendable, Hashable {
    let namespace: String
    let uid: String
    let name: String

    /// `NodePrepareResourcesRequest`, which `NodeUnprepareResourcesRequest` is like.
    static func request(_ claims: [DriverClaim]) -> [UInt8] {
        var writer = WireWriter()
        for claim in claims.reversed() {
            let mark = writer.count
            writer.string(3, claim.name)
            writer.string(2, claim.uid)
            writer.string(1, claim.namespace)
            writer.close(1, since: mark)
        }
        return writer.finish()
    }
}

/// A device that a driver has made ready.
struct PreparedDevice: Sendable, Equatable {
    var requests: [String] = []
    var pool = ""
    var device = ""
    var cdi: [String] = []
    var share: String?

    init() {}

    fileprivate init(_ reader: WireReader) throws(SyntaxError) {
        try WireMessage.read(reader) { reader, number throws(SyntaxError) in
            switch number {
            case 1: requests.append(try reader.string())
            case 2: pool = try reader.string()
            case 3: device = try reader.string()
            case 4: cdi.append(try reader.string())
            case 5: share = try reader.string()
            default: return false
            }
            return true
        }
    }

    init(_ node: Node) {
        requests = node["requests"].stringList
        pool = node["pool"].string ?? ""
        device = node["device"].string ?? ""
        cdi = node["cdi"].stringList
        share = node["share"].string
    }

    var node: Node {
        var out: Node = ["requests": Node(requests), "pool": .string(pool), "device": .string(device), "cdi": Node(cdi)]
        if let share { out["share"] = .string(share) }
        return out
    }
}

/// What a driver answered about one claim.
struct DriverAnswer: Sendable {
    var devices: [PreparedDevice] = []
    var error = ""

    /// By the uid of the claim. In answers to unpreparing, the error has another number and devices are none.
    static func read(_ bytes: [UInt8], isPreparing: Bool) throws(SyntaxError) -> [String: DriverAnswer] {
        var out: [String: DriverAnswer] = [:]
        try WireMessage.read(bytes) { reader, number throws(SyntaxError) in
            guard number == 1 else { return false }
            var uid = ""
            var answer = DriverAnswer()
            try WireMessage.read(try reader.message()) { entry, number throws(SyntaxError) in
                switch number {
                case 1: uid = try entry.string()
                case 2: answer = try DriverAnswer(try entry.message(), isPreparing)
                default: return false
                }
                return true
            }
            out[uid] = answer
            return true
        }
        return out
    }

    init() {}

    private init(_ reader: WireReader, _ isPreparing: Bool) throws(SyntaxError) {
        try WireMessage.read(reader) { reader, number throws(SyntaxError) in
            switch (number, isPreparing) {
            case (1, true): devices.append(try PreparedDevice(try reader.message()))
            case (2, true), (1, false): error = try reader.string()
            default: return false
            }
            return true
        }
    }
}
