import Core
import Machinery
import Synchronization
import Transport
import Tree

/// What is told about one request: gathered while it is answered, and sent at each stage that the policy does not leave out.
/// Bodies are kept only where the policy's level asks for them.
final class AuditTrail: Sendable {
    private struct State {
        var user: Node
        var impersonated: Node?
        var constraint = ""
        var reference: Node
        var status: Node?
        var requestObject: Node?
        var responseObject: Node?
        var annotations: [String: String] = [:]
        var hasStarted = false
    }

    private static let maxUserAgent = 1024

    let decision: AuditPolicy.Decision
    private let log: AuditLog
    private let auditID: String
    private let verb: String
    private let uri: String
    private let sources: [String]
    private let agent: String
    private let received: Timestamp
    private let state: Mutex<State>

    init(_ decision: AuditPolicy.Decision, _ log: AuditLog, _ http: HTTPRequest, _ asked: Attributes, auditID: String, received: Timestamp) {
        self.decision = decision
        self.log = log
        self.auditID = auditID
        self.received = received
        verb = asked.verb
        uri = http.target
        sources = AuditTrail.sources(http)
        let agent = http.headers["user-agent"] ?? ""
        self.agent = agent.utf8.count > AuditTrail.maxUserAgent ? String(decoding: agent.utf8.prefix(AuditTrail.maxUserAgent), as: UTF8.self) + "...TRUNCATED" : agent
        state = Mutex(State(user: AuditTrail.user(asked.user), reference: AuditTrail.reference(asked)))
    }

    /// For a part of this process: no connection, so neither an agent nor an address of one.
    init(_ decision: AuditPolicy.Decision, _ log: AuditLog, _ asked: Attributes, uri: String, agent: String) {
        self.decision = decision
        self.log = log
        auditID = Identifier.uuid()
        received = .now()
        verb = asked.verb
        self.uri = uri
        sources = []
        self.agent = agent
        state = Mutex(State(user: AuditTrail.user(asked.user), reference: AuditTrail.reference(asked)))
    }

    private static func user(_ user: UserInfo) -> Node {
        var out: Node = .emptyMap
        if !user.name.isEmpty { out["username"] = .string(user.name) }
        if !user.uid.isEmpty { out["uid"] = .string(user.uid) }
        if !user.groups.isEmpty { out["groups"] = Node(user.groups) }
        for (key, values) in user.extra.sorted(by: { $0.key < $1.key }) { out["extra"][key] = Node(values) }
        return out
    }

    private static func reference(_ asked: Attributes) -> Node {
        guard asked.isResource else { return .null }
        var out: Node = ["resource": .string(asked.resource)]
        for (key, value) in [("namespace", asked.namespace), ("name", asked.name), ("apiGroup", asked.group), ("apiVersion", asked.version), ("subresource", asked.subresource)]
        where !value.isEmpty {
            out[key] = .string(value)
        }
        return out
    }

    /// Who the request says it comes from, and last who it came from.
    private static func sources(_ http: HTTPRequest) -> [String] {
        var out: [String] = []
        for field in http.headers.values("x-forwarded-for") {
            for part in field.split(separator: ",") {
                let text = part.trimmed
                if isAddress(text) { out.append(text) }
            }
        }
        if let real = http.headers["x-real-ip"], isAddress(real), !out.contains(real) { out.append(real) }
        let remote = http.peer.remoteHost
        if isAddress(remote), out.last != remote { out.append(remote) }
        return out
    }

    private static func isAddress(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy { (48...58).contains($0) || $0 == 0x2E || (97...102).contains($0) || (65...70).contains($0) } }

    // MARK: - On the way

    func annotate(_ key: String, _ value: String) {
        state.withLock { if $0.annotations[key] == nil { $0.annotations[key] = value } }
    }

    func impersonates(_ user: UserInfo, _ constraint: String) {
        state.withLock { state in
            state.impersonated = AuditTrail.user(user)
            state.constraint = constraint
        }
    }

    /// The decoded body. What it says of itself completes what the address said.
    func requestObject(_ object: Node) {
        state.withLock { state in
            guard !state.reference.isNull else { return }
            for (key, value) in [("namespace", object.namespace), ("name", object.name), ("uid", object.uid), ("resourceVersion", object["metadata"]["resourceVersion"].string ?? "")]
            where !value.isEmpty && !state.reference.has(key) {
                state.reference[key] = .string(value)
            }
            if decision.level >= .request { state.requestObject = shown(object) }
        }
    }

    /// A patch or the options of a deletion, which say nothing about themselves.
    func requestText(_ node: @autoclosure () -> Node) {
        guard decision.level >= .request else { return }
        let node = node()
        state.withLock { $0.requestObject = node }
    }

    var wantsResponse: Bool { decision.level >= .requestResponse }

    func responseObject(_ object: Node) {
        guard wantsResponse else { return }
        let object = shown(object)
        state.withLock { $0.responseObject = object }
    }

    /// A `Status` that is the answer; its words are bounded, so all levels have them.
    func responseStatus(_ status: Node) {
        var out: Node = ["metadata": [:]]
        for key in ["status", "message", "reason", "details", "code"] where status.has(key) { out[key] = status[key] }
        state.withLock { [out] in $0.status = out }
    }

    private func shown(_ object: Node) -> Node {
        guard decision.omitsManagedFields else { return object }
        var object = object
        if object["metadata"].has("managedFields") { object["metadata"].remove("managedFields") }
        func strip(_ list: String, _ inner: String?) {
            guard case .list(let items) = object[list] else { return }
            object[list] = .list(
                items.map { item in
                    var item = item
                    if let inner {
                        if item[inner]["metadata"].has("managedFields") { item[inner]["metadata"].remove("managedFields") }
                    } else if item["metadata"].has("managedFields") {
                        item["metadata"].remove("managedFields")
                    }
                    return item
                })
        }
        strip("items", nil)
        if object.kind == "Table" { strip("rows", "object") }
        return object
    }

    // MARK: - Stages

    func received(isLongRunning: Bool, _ exchange: HTTPExchange) {
        process(.requestReceived)
        guard isLongRunning else { return }
        exchange.onStatus { [self] status in started(status) }
    }

    private func started(_ code: Int) {
        state.withLock { state in
            state.hasStarted = true
            setCode(code, &state)
        }
        process(.responseStarted)
    }

    /// `code` is 0 where the connection ended before an answer.
    func completed(_ code: Int, isLongRunning: Bool) {
        let missed = state.withLock { state -> Bool in
            guard code == 0 else {
                setCode(code, &state)
                return false
            }
            if state.status == nil { state.status = ["metadata": [:], "status": "Success", "message": "Connection closed early", "code": 200] }
            return isLongRunning && !state.hasStarted
        }
        if missed { process(.responseStarted) }
        process(.responseComplete)
    }

    /// Nobody was let in: only the refusal is told, and it counts as the answer's start.
    func refused(_ status: Node) {
        state.withLock { $0.user = .emptyMap }
        responseStatus(status)
        responseObject(status)
        process(.responseStarted)
    }

    private func setCode(_ code: Int, _ state: inout State) {
        var status = state.status ?? ["metadata": [:]]
        status["code"] = .int(Int64(code))
        state.status = status
    }

    private func process(_ stage: AuditPolicy.Stage) {
        guard !decision.omitted.contains(stage) else { return }
        log.take(event(stage))
    }

    private func event(_ stage: AuditPolicy.Stage) -> Node {
        let state = state.withLock { $0 }
        var out: Node = [
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": .string(decision.level.name), "auditID": .string(auditID),
            "stage": .string(stage.rawValue), "requestURI": .string(uri), "verb": .string(verb), "user": state.user,
        ]
        if let user = state.impersonated {
            out["impersonatedUser"] = user
            if !state.constraint.isEmpty { out["authenticationMetadata"] = ["impersonationConstraint": .string(state.constraint)] }
        }
        if !sources.isEmpty { out["sourceIPs"] = Node(sources) }
        if !agent.isEmpty { out["userAgent"] = .string(agent) }
        if !state.reference.isNull { out["objectRef"] = state.reference }
        if let status = state.status { out["responseStatus"] = status }
        if let object = state.requestObject { out["requestObject"] = object }
        if let object = state.responseObject { out["responseObject"] = object }
        out["requestReceivedTimestamp"] = .string(received.rfc3339Micro)
        out["stageTimestamp"] = .string((stage == .requestReceived ? received : .now()).rfc3339Micro)
        for (key, value) in state.annotations.sorted(by: { $0.key < $1.key }) { out["annotations"][key] = .string(value) }
        return out
    }
}

extension Substring {
    var trimmed: String {
        var text = self
        while text.first == " " || text.first == "\t" { text.removeFirst() }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return String(text)
    }
}
