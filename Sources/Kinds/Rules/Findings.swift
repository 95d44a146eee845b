import Machinery
import Tree

/// What validation finds, in the order found; the checks that many kinds make are one call each, in upstream's words.
struct Findings {
    private(set) var errors: [FieldError] = []

    static let negative = "must be greater than or equal to 0"
    static let notPositive = "must be greater than zero"

    mutating func add(_ error: FieldError) { errors.append(error) }
    mutating func add(_ more: [FieldError]) { errors += more }

    mutating func required(_ path: NodePath, _ detail: String = "") { add(.required("\(path)", detail)) }
    mutating func forbidden(_ path: NodePath, _ detail: String) { add(.forbidden("\(path)", detail)) }
    mutating func invalid(_ path: NodePath, _ value: Node, _ detail: String) { add(.invalid("\(path)", ObjectMeta.shown(value), detail)) }
    mutating func duplicate(_ path: NodePath, _ value: String) { add(.duplicate("\(path)", FieldError.quoted(value))) }
    mutating func notFound(_ path: NodePath, _ value: String) { add(.notFound("\(path)", FieldError.quoted(value))) }
    /// A value that is no text, as JSON has it.
    mutating func notSupported(_ path: NodePath, raw value: Node, _ supported: [String]) {
        add(.notSupported("\(path)", value.jsonText, supported: supported))
    }
    mutating func notSupported(_ path: NodePath, _ value: String, _ supported: [String]) {
        add(.notSupported("\(path)", quoted: value, supported: supported))
    }

    /// A text must keep to a format.
    mutating func format(_ path: NodePath, _ text: String, _ problems: (String) -> [String]) {
        for problem in problems(text) { invalid(path, .string(text), problem) }
    }

    /// A text must be there and keep to a format.
    mutating func named(_ path: NodePath, _ value: Node, _ problems: (String) -> [String]) {
        guard let text = value.string, !text.isEmpty else { return required(path) }
        format(path, text, problems)
    }

    mutating func present(_ path: NodePath, _ value: Node) { if value.isEmpty { required(path) } }

    /// An integer that is there must not be negative.
    mutating func nonNegative(_ path: NodePath, _ value: Node) {
        if let number = value.int, number < 0 { invalid(path, value, Findings.negative) }
    }
    mutating func nonNegative(_ path: NodePath, fields: [String], of object: Node) {
        for field in fields { nonNegative(path.child(field), object[field]) }
    }

    mutating func positive(_ path: NodePath, _ value: Node) {
        let number = value.int ?? 0
        if number <= 0 { invalid(path, .int(number), Findings.notPositive) }
    }

    mutating func range(_ path: NodePath, _ value: Node, _ range: ClosedRange<Int64>) {
        guard let number = value.int else { return }
        for problem in NameFormat.inRange(number, range) { invalid(path, value, problem) }
    }

    /// One of a set of texts; nothing is checked where there is nothing.
    mutating func oneOf(_ path: NodePath, _ value: Node, _ supported: [String]) {
        guard let text = value.string, !supported.contains(text) else { return }
        notSupported(path, text, supported)
    }

    /// A port by number or by name.
    mutating func port(_ path: NodePath, _ value: Node) {
        if let name = value.string {
            format(path, name, NameFormat.portName)
        } else {
            for problem in NameFormat.portNumber(value.int ?? 0) { invalid(path, .int(value.int ?? 0), problem) }
        }
    }

    /// Upstream calls two absent values, and an absent and an empty one, the same.
    mutating func immutable(_ path: NodePath, _ new: Node, _ old: Node) {
        if !Findings.same(new, old) { invalid(path, new, ObjectMeta.immutableMessage) }
    }

    /// Of a kind whose spec stays as it was made.
    static func immutableSpec(_ object: Node, _ old: Node) -> [FieldError] {
        var findings = Findings()
        findings.immutable(PodStrategy.specPath, object["spec"], old["spec"])
        return findings.errors
    }

    static func same(_ a: Node, _ b: Node) -> Bool { a == b || (isNothing(a) && isNothing(b)) }

    private static func isNothing(_ node: Node) -> Bool {
        switch node {
        case .null: true
        case .list(let items): items.isEmpty
        case .map(let fields): fields.isEmpty
        default: false
        }
    }

    // MARK: - Numbers or percentages

    mutating func amountOrPercent(_ path: NodePath, _ value: Node) {
        if let text = value.string {
            format(path, text, NameFormat.percent)
        } else {
            nonNegative(path, value)
        }
    }

    mutating func atMostAll(_ path: NodePath, _ value: Node) {
        if let text = value.string, text.hasSuffix("%"), let percent = Int64(text.dropLast()), percent > 100 {
            invalid(path, value, "must not be greater than 100%")
        }
    }

    /// The number before a percent sign, or the number; 0 for what is neither.
    static func number(_ value: Node) -> Int64 {
        value.int ?? value.string.flatMap { $0.hasSuffix("%") ? Int64($0.dropLast()) : nil } ?? 0
    }

    // MARK: - Paths in file systems

    mutating func noBackSteps(_ path: NodePath, _ text: String) {
        if text.split(separator: "/", omittingEmptySubsequences: false).contains("..") { invalid(path, .string(text), "must not contain '..'") }
    }

    mutating func descending(_ path: NodePath, _ text: String) {
        if text.hasPrefix("/") { invalid(path, .string(text), "must be a relative path") }
        noBackSteps(path, text)
    }

    /// A path below a volume; what begins with `..` is the kubelet's own.
    mutating func unreserved(_ path: NodePath, _ text: String) {
        descending(path, text)
        if text.hasPrefix(".."), !text.hasPrefix("../"), text != ".." { invalid(path, .string(text), "must not start with '..'") }
    }

    mutating func fileMode(_ path: NodePath, _ value: Node) {
        if let mode = value.int, !(0...0o777).contains(mode) { invalid(path, value, "must be a number between 0 and 0777 (octal), both inclusive") }
    }
}
