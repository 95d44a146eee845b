/// A `--mount` of a RUN as written, its words expanded and its defaults set.
struct RunMount: Sendable {
    enum Kind: String { case bind, cache, tmpfs, secret }

    let kind: Kind
    let line: Int
    private var values: [String: String] = [:]
    private var flags: Set<String> = []

    private static let keys: [Kind: Set<String>] = [
        .bind: ["source", "target", "from"], .cache: ["id", "target", "sharing", "mode", "uid", "gid"], .tmpfs: ["target", "size"],
        .secret: ["id", "target", "env", "mode", "uid", "gid"],
    ]
    private static let switches: [Kind: Set<String>] = [
        .bind: ["rw", "ro"], .cache: ["rw", "ro"], .tmpfs: [], .secret: ["required"],
    ]
    private static let synonyms = ["src": "source", "dst": "target", "destination": "target", "readwrite": "rw", "readonly": "ro"]

    init(parsing text: String, line: Int) throws(BuildError) {
        self.line = line
        var pairs: [(key: String, value: String?)] = []
        for field in text.split(separator: ",") {
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let key = parts[0].lowercased()
            pairs.append((RunMount.synonyms[key] ?? key, parts.count > 1 ? parts[1] : nil))
        }
        let type = pairs.last { $0.key == "type" }?.value ?? "bind"
        guard let kind = Kind(rawValue: type) else { throw BuildError(line, "unsupported mount type \"\(type)\"") }
        self.kind = kind
        for (key, value) in pairs where key != "type" {
            if RunMount.switches[kind]?.contains(key) == true {
                if value == nil || value == "true" || value == "1" { flags.insert(key) }
            } else if RunMount.keys[kind]?.contains(key) == true, let value {
                values[key] = value
            } else {
                throw BuildError(line, "unexpected key '\(key)' in '\(text)'")
            }
        }
        guard kind == .secret ? values["target"] != nil || values["id"] != nil || values["env"] != nil : values["target"] != nil else {
            throw BuildError(line, "\(kind == .secret ? "one of id, target required" : "mount target is required") in '\(text)'")
        }
    }

    subscript(_ key: String) -> String? { values[key].flatMap { $0.isEmpty ? nil : $0 } }
    func has(_ flag: String) -> Bool { flags.contains(flag) }

    /// Octal, as `mode` is.
    func mode(_ standard: UInt32) throws(BuildError) -> UInt32 {
        guard let text = self["mode"] else { return standard }
        guard let mode = UInt32(text, radix: 8), mode <= 0o7777 else { throw BuildError(line, "invalid value \(text) for mode") }
        return mode
    }

    func number(_ key: String) throws(BuildError) -> UInt32 {
        guard let text = self[key] else { return 0 }
        guard let number = UInt32(text) else { throw BuildError(line, "invalid value \(text) for \(key)") }
        return number
    }

    /// Bytes, with the suffixes k, m and g.
    func size() throws(BuildError) -> Int64? {
        guard let text = self["size"]?.lowercased() else { return nil }
        let units: [Character: Int64] = ["b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30]
        let digits = text.prefix { $0.isNumber }
        let suffix = text.dropFirst(digits.count)
        guard let number = Int64(digits), number < 1 << 30, suffix.count <= 1, let unit = suffix.first.map({ units[$0] }) ?? 1 else {
            throw BuildError(line, "invalid value \(text) for size")
        }
        return number * unit
    }
}
