import Machinery
import Tree

/// The rules of what a claim asks for, as an object or in a template.
struct DeviceClaimRules {
    private var findings = Findings()
    private let names: RequestNames

    static func errors(_ spec: Node, at path: NodePath) -> [FieldError] {
        var rules = DeviceClaimRules(names: RequestNames(spec["devices"]))
        rules.run(spec["devices"], path.child("devices"))
        return rules.findings.errors
    }

    private init(names: RequestNames) { self.names = names }

    private mutating func run(_ devices: Node, _ path: NodePath) {
        let requests = devices["requests"].list
        if DeviceFormat.fits(path.child("requests"), requests, 32, &findings) {
            for (index, request) in requests.enumerated() { self.request(path.child("requests").element(index), request) }
            DeviceFormat.unique(path.child("requests"), requests.map { $0["name"].string ?? "" }, &findings)
        }
        let constraints = devices["constraints"].list
        if DeviceFormat.fits(path.child("constraints"), constraints, 32, &findings) {
            for (index, constraint) in constraints.enumerated() { self.constraint(path.child("constraints").element(index), constraint) }
        }
        let configs = devices["config"].list
        if DeviceFormat.fits(path.child("config"), configs, 32, &findings) {
            for (index, config) in configs.enumerated() {
                let at = path.child("config").element(index)
                names.check(at.child("requests"), config["requests"].stringList, &findings)
                DeviceFormat.configuration(at, config, &findings)
            }
        }
    }

    private mutating func request(_ path: NodePath, _ request: Node) {
        findings.named(path.child("name"), request["name"], NameFormat.dnsLabel)
        let (exactly, choices) = (request["exactly"], request["firstAvailable"].list)
        switch (exactly.isNull, choices.isEmpty) {
        case (true, true): findings.required(path, "exactly one of `exactly` or `firstAvailable` is required")
        case (false, false):
            findings.invalid(path, .null, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set")
        case (true, false):
            let at = path.child("firstAvailable")
            guard DeviceFormat.fits(at, choices, 8, &findings) else { return }
            for (index, choice) in choices.enumerated() {
                findings.named(at.element(index).child("name"), choice["name"], NameFormat.dnsLabel)
                wish(at.element(index), choice)
            }
            DeviceFormat.unique(at, choices.map { $0["name"].string ?? "" }, &findings)
        case (false, true): wish(path.child("exactly"), exactly)
        }
    }

    private mutating func wish(_ path: NodePath, _ wish: Node) {
        findings.named(path.child("deviceClassName"), wish["deviceClassName"], NameFormat.dnsSubdomain)
        DeviceFormat.selectors(path.child("selectors"), wish["selectors"].list, &findings)
        let count = wish["count"].int ?? 0
        switch wish["allocationMode"].string ?? "" {
        case "All":
            if count != 0 { findings.invalid(path.child("count"), .int(count), "must not be specified when allocationMode is 'All'") }
        case "ExactCount": if count <= 0 { findings.invalid(path.child("count"), .int(count), Findings.notPositive) }
        case let other: findings.notSupported(path.child("allocationMode"), other, ["All", "ExactCount"])
        }
        DeviceFormat.tolerations(path.child("tolerations"), wish["tolerations"].list, &findings)
    }

    private mutating func constraint(_ path: NodePath, _ constraint: Node) {
        names.check(path.child("requests"), constraint["requests"].stringList, &findings)
        if let name = constraint["matchAttribute"].string {
            DeviceFormat.fullyQualifiedName(path.child("matchAttribute"), name, &findings)
        } else if let name = constraint["distinctAttribute"].string {
            DeviceFormat.fullyQualifiedName(path.child("distinctAttribute"), name, &findings)
        } else {
            findings.required(path, "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set")
        }
    }
}

/// The names by which a claim's parts refer to its requests: `request` or `request/subrequest`.
struct RequestNames {
    private let names: [String: Set<String>]

    init(_ devices: Node) {
        var names: [String: Set<String>] = [:]
        for request in devices["requests"].list {
            names[request["name"].string ?? ""] = Set(request["firstAvailable"].list.compactMap { $0["name"].string })
        }
        self.names = names
    }

    func check(_ path: NodePath, _ references: [String], _ findings: inout Findings) {
        guard DeviceFormat.fits(path, references.map(Node.string), 32, &findings) else { return }
        for (index, name) in references.enumerated() { check(path.element(index), name, &findings) }
        DeviceFormat.unique(path, references, &findings)
    }

    func check(_ path: NodePath, _ name: String, _ findings: inout Findings) {
        let words = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
        let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if parts.count > 2 { return findings.invalid(path, .string(name), words) }
        for part in parts { findings.format(path, part, NameFormat.dnsLabel) }
        guard let inner = names[parts[0]], parts.count == 1 || inner.contains(parts[1]) else { return findings.invalid(path, .string(name), words) }
    }
}
