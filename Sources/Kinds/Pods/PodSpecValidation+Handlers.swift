import Machinery
import Tree

extension PodSpecValidation {
    mutating func probe(_ probe: Node, _ path: NodePath, mustSucceedOnce: Bool) {
        guard !probe.isNull else { return }
        handler(probe, path)
        findings.nonNegative(path, fields: ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"], of: probe)
        if let grace = probe["terminationGracePeriodSeconds"].int {
            if path.steps.last == .key("readinessProbe") {
                findings.invalid(path.child("terminationGracePeriodSeconds"), .int(grace), "must not be set for readinessProbes")
            } else if grace <= 0 {
                findings.invalid(path.child("terminationGracePeriodSeconds"), .int(grace), "must be greater than 0")
            }
        }
        if mustSucceedOnce, let times = probe["successThreshold"].int, times != 1 {
            findings.invalid(path.child("successThreshold"), .int(times), "must be 1")
        }
    }

    mutating func lifecycle(_ lifecycle: Node, _ path: NodePath) {
        guard !lifecycle.isNull else { return }
        for field in ["postStart", "preStop"] where !lifecycle[field].isNull { handler(lifecycle[field], path.child(field)) }
        if !lifecycle["stopSignal"].isNull, spec["os"].isNull {
            findings.forbidden(path.child("stopSignal"), "may not be set for containers with empty `spec.os.name`")
        }
    }

    private mutating func handler(_ handler: Node, _ path: NodePath) {
        var isFirst = true
        for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] where !handler[kind].isNull {
            guard isFirst else {
                findings.forbidden(path.child(kind), "may not specify more than 1 handler type")
                continue
            }
            isFirst = false
            action(kind, handler[kind], path.child(kind))
        }
        if isFirst { findings.required(path, "must specify a handler type") }
    }

    private mutating func action(_ kind: String, _ action: Node, _ path: NodePath) {
        switch kind {
        case "exec":
            if action["command"].list.isEmpty { findings.required(path.child("command")) }
        case "httpGet":
            if action["path"].isEmpty { findings.required(path.child("path")) }
            findings.port(path.child("port"), action["port"])
            for header in action["httpHeaders"].list { findings.format(path.child("httpHeaders"), header["name"].string ?? "", NameFormat.httpHeaderName) }
        case "tcpSocket": findings.port(path.child("port"), action["port"])
        case "grpc":
            for problem in NameFormat.portNumber(action["port"].int ?? 0) { findings.invalid(path, .int(action["port"].int ?? 0), problem) }
        default:
            let seconds = action["seconds"].int ?? 0
            if let gracePeriod, seconds < 0 || seconds > gracePeriod {
                findings.invalid(path, .int(seconds), "must be non-negative and less than terminationGracePeriodSeconds (\(gracePeriod))")
            }
        }
    }

    // MARK: - Environment

    private static let fieldPaths: [String] = [
        "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs",
        "status.podIP", "status.podIPs",
    ]
    private static let volumeFieldPaths: [String] = ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"]
    private static let convertible = Set(fieldPaths + volumeFieldPaths)

    mutating func environment(_ container: Node, _ path: NodePath) {
        for (index, variable) in container["env"].list.enumerated() {
            let at = path.child("env").element(index)
            findings.named(at.child("name"), variable["name"], NameFormat.environmentName)
            valueFrom(variable, at.child("valueFrom"))
        }
        let path = path.child("envFrom")
        for (index, source) in container["envFrom"].list.enumerated() {
            let at = path.element(index)
            if let prefix = source["prefix"].string, !prefix.isEmpty { findings.format(at.child("prefix"), prefix, NameFormat.environmentName) }
            let given = ["configMapRef", "secretRef"].filter { !source[$0].isNull }
            for kind in given { findings.named(at.child(kind).child("name"), source[kind]["name"], NameFormat.dnsSubdomain) }
            if given.isEmpty { findings.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`") }
            if given.count > 1 { findings.invalid(path, "", "may not have more than one field specified at a time") }
        }
    }

    private mutating func valueFrom(_ variable: Node, _ path: NodePath) {
        let source = variable["valueFrom"]
        guard !source.isNull else { return }
        let kinds = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"].filter { !source[$0].isNull }
        for kind in kinds {
            let (reference, at) = (source[kind], path.child(kind))
            switch kind {
            case "fieldRef": fieldReference(reference, at, PodSpecValidation.fieldPaths)
            case "resourceFieldRef": resourceReference(reference, at, needsContainer: false)
            case "fileKeyRef":
                findings.named(at.child("volumeName"), reference["volumeName"], NameFormat.dnsLabel)
                findings.named(at.child("key"), reference["key"], NameFormat.environmentName)
                findings.present(at.child("path"), reference["path"])
            default:
                findings.format(at.child("name"), reference["name"].string ?? "", NameFormat.dnsSubdomain)
                findings.named(at.child("key"), reference["key"], NameFormat.configMapKey)
            }
        }
        if kinds.isEmpty {
            findings.invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`")
        } else if !variable["value"].isEmpty {
            findings.invalid(path, "", "may not be specified when `value` is not empty")
        } else if kinds.count > 1 {
            findings.invalid(path, "", "may not have more than one field specified at a time")
        }
    }

    mutating func fieldReference(_ reference: Node, _ path: NodePath, _ allowed: [String]) {
        let name = reference["fieldPath"].string ?? ""
        if name.isEmpty { return findings.required(path.child("fieldPath")) }
        // `metadata.labels['app']`
        if name.hasSuffix("']"), let start = name.ranges(of: "['").first {
            let (base, key) = (String(name[..<start.lowerBound]), String(name[start.upperBound...].dropLast(2)))
            switch base {
            case "metadata.annotations": findings.format(path, key.lowercased(), NameFormat.qualifiedName)
            case "metadata.labels": findings.format(path, key, NameFormat.qualifiedName)
            default: unknown(base, name, path)
            }
            return
        }
        if !PodSpecValidation.convertible.contains(name), name != "status.phase" {
            unknown(name, name, path)
        } else if !allowed.contains(name) {
            findings.notSupported(path.child("fieldPath"), name, allowed)
        }
    }

    private mutating func unknown(_ base: String, _ name: String, _ path: NodePath) {
        findings.invalid(path.child("fieldPath"), .string(name), "error converting fieldPath: field label not supported: \(base)")
    }

    mutating func volumeFieldReference(_ reference: Node, _ path: NodePath) { fieldReference(reference, path, PodSpecValidation.volumeFieldPaths) }

    mutating func resourceReference(_ reference: Node, _ path: NodePath, needsContainer: Bool) {
        let names = ["cpu", "ephemeral-storage", "memory"]
        let allowed = names.map { "limits." + $0 } + names.map { "requests." + $0 }
        let resource = reference["resource"].string ?? ""
        if needsContainer, reference["containerName"].isEmpty {
            findings.required(path.child("containerName"))
        } else if resource.isEmpty {
            findings.required(path.child("resource"))
        } else if !allowed.contains(resource), !resource.hasPrefix("limits.hugepages-"), !resource.hasPrefix("requests.hugepages-") {
            findings.notSupported(path.child("resource"), resource, allowed)
        }
    }
}
