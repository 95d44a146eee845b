import Machinery
import Tree

extension PodSpecValidation {
    mutating func checkContainers() {
        let containers = spec["containers"].list
        let path = path.child("containers")
        if containers.isEmpty { return findings.required(path) }
        var names: Set<String> = []
        var hostPorts: Set<String> = []
        for (index, container) in containers.enumerated() {
            let at = path.element(index)
            common(container, at)
            let name = container["name"].string ?? ""
            if !names.insert(name).inserted { findings.duplicate(at.child("name"), name) }
            running(container, at)
            restartRules(container, at)
        }
        for (index, container) in containers.enumerated() { conflicts(container, path.element(index), &hostPorts) }
    }

    mutating func checkInitContainers() {
        let path = path.child("initContainers")
        var names = Set(spec["containers"].list.map { $0["name"].string ?? "" })
        for (index, container) in spec["initContainers"].list.enumerated() {
            let at = path.element(index)
            common(container, at)
            restartRules(container, at)
            let name = container["name"].string ?? ""
            if names.contains(name) { findings.duplicate(at.child("name"), name) } else if !name.isEmpty { names.insert(name) }
            var hostPorts: Set<String> = []
            // Upstream names the first element here, since it checks each init container as a list of one.
            conflicts(container, path.element(0), &hostPorts)
            if container["restartPolicy"].string == "Always" {
                running(container, at)
                continue
            }
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] where !container[field].isNull {
                findings.forbidden(at.child(field), "may not be set for init containers without restartPolicy=Always")
            }
            for (step, policy) in container["resizePolicy"].list.enumerated() where policy["restartPolicy"].string == "RestartContainer" {
                findings.invalid(
                    at.child("resizePolicy").element(step).child("restartPolicy"), policy["restartPolicy"],
                    "must not be set to 'RestartContainer' for non-sidecar initContainers")
            }
        }
    }

    mutating func checkEphemeralContainers() {
        let path = path.child("ephemeralContainers")
        let others = Set((spec["containers"].list + spec["initContainers"].list).map { $0["name"].string ?? "" })
        var names = others
        for (index, container) in spec["ephemeralContainers"].list.enumerated() {
            let at = path.element(index)
            common(container, at)
            let name = container["name"].string ?? ""
            if !names.insert(name).inserted { findings.duplicate(at.child("name"), name) }
            if let target = container["targetContainerName"].string, !target.isEmpty, !others.contains(target) {
                findings.notFound(at.child("targetContainerName"), target)
            }
            let refused = ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules"]
            for field in refused where !container[field].isEmpty { findings.forbidden(at.child(field), "cannot be set for an Ephemeral Container") }
            for (step, mount) in container["volumeMounts"].list.enumerated() {
                for field in ["subPath", "subPathExpr"] where !mount[field].isEmpty {
                    findings.forbidden(at.child("volumeMounts").element(step).child(field), "cannot be set for an Ephemeral Container")
                }
            }
        }
    }

    // MARK: - Parts

    /// What holds for containers of all three lists.
    private mutating func common(_ container: Node, _ path: NodePath) {
        findings.named(path.child("name"), container["name"], NameFormat.dnsLabel)
        let image = container["image"].string ?? ""
        if image.isEmpty { findings.required(path.child("image")) }
        if isPod, image.first?.isWhitespace == true || image.last?.isWhitespace == true {
            findings.invalid(path.child("image"), .string(image), "must not have leading or trailing whitespace")
        }
        ports(container["ports"].list, path.child("ports"))
        environment(container, path)
        mounts(container, path)
        findings.resources(path.child("resources"), container["resources"], claims: claimNames)
        resizePolicy(container, path.child("resizePolicy"))
        containerSecurity(container["securityContext"], path.child("securityContext"))
    }

    /// What holds for containers that stay: probes and hooks.
    private mutating func running(_ container: Node, _ path: NodePath) {
        lifecycle(container["lifecycle"], path.child("lifecycle"))
        for field in ["livenessProbe", "readinessProbe", "startupProbe"] { probe(container[field], path.child(field), mustSucceedOnce: field != "readinessProbe") }
    }

    private mutating func ports(_ ports: [Node], _ path: NodePath) {
        var names: Set<String> = []
        for (index, port) in ports.enumerated() {
            let at = path.element(index)
            if let name = port["name"].string, !name.isEmpty {
                let problems = NameFormat.portName(name)
                for problem in problems { findings.invalid(at.child("name"), .string(name), problem) }
                if problems.isEmpty, !names.insert(name).inserted { findings.duplicate(at.child("name"), name) }
            }
            if (port["containerPort"].int ?? 0) == 0 {
                findings.required(at.child("containerPort"))
            } else {
                findings.range(at.child("containerPort"), port["containerPort"], 1...65535)
            }
            if (port["hostPort"].int ?? 0) != 0 { findings.range(at.child("hostPort"), port["hostPort"], 1...65535) }
        }
    }

    private mutating func conflicts(_ container: Node, _ path: NodePath, _ seen: inout Set<String>) {
        for (index, port) in container["ports"].list.enumerated() {
            guard let number = port["hostPort"].int, number != 0 else { continue }
            let key = "\(port["protocol"].string ?? "")/\(port["hostIP"].string ?? "")/\(number)"
            if !seen.insert(key).inserted { findings.duplicate(path.child("ports").element(index).child("hostPort"), key) }
        }
    }

    private mutating func mounts(_ container: Node, _ path: NodePath) {
        let devices = container["volumeDevices"].list
        let (deviceNames, devicePaths) = (Set(devices.compactMap { $0["name"].string }), Set(devices.compactMap { $0["devicePath"].string }))
        var points: Set<String> = []
        let list = path.child("volumeMounts")
        for (index, mount) in container["volumeMounts"].list.enumerated() {
            let at = list.element(index)
            let (name, point) = (mount["name"].string ?? "", mount["mountPath"].string ?? "")
            if name.isEmpty { findings.required(at.child("name")) }
            if !volumes.contains(name) { findings.notFound(at.child("name"), name) }
            if point.isEmpty { findings.required(at.child("mountPath")) }
            if !points.insert(point).inserted { findings.invalid(at.child("mountPath"), .string(point), "must be unique") }
            if deviceNames.contains(name) { findings.invalid(at.child("name"), .string(name), "must not already exist in volumeDevices") }
            if devicePaths.contains(point) { findings.invalid(at.child("mountPath"), .string(point), "must not already exist as a path in volumeDevices") }
            let (sub, expression) = (mount["subPath"].string ?? "", mount["subPathExpr"].string ?? "")
            // Upstream leaves the index out of these two paths.
            if !sub.isEmpty { findings.descending(list.child("subPath"), sub) }
            if !expression.isEmpty {
                if !sub.isEmpty { findings.invalid(at.child("subPathExpr"), .string(expression), "subPathExpr and subPath are mutually exclusive") }
                findings.descending(list.child("subPathExpr"), expression)
            }
            if mount["mountPropagation"].string == "Bidirectional", container["securityContext"]["privileged"].bool != true {
                findings.forbidden(list.child("mountPropagation"), "Bidirectional mount propagation is available only to privileged containers")
            }
        }
        self.devices(devices, mounted: container["volumeMounts"].list, path.child("volumeDevices"))
    }

    private mutating func devices(_ devices: [Node], mounted: [Node], _ path: NodePath) {
        var (names, paths): (Set<String>, Set<String>) = ([], [])
        for (index, device) in devices.enumerated() {
            let at = path.element(index)
            let (name, file) = (device["name"].string ?? "", device["devicePath"].string ?? "")
            if name.isEmpty { findings.required(at.child("name")) }
            if !names.insert(name).inserted { findings.invalid(at.child("name"), .string(name), "must be unique") }
            if !name.isEmpty, !volumes.contains(name) { findings.notFound(at.child("name"), name) }
            if file.isEmpty { findings.required(at.child("devicePath")) }
            if !paths.insert(file).inserted { findings.invalid(at.child("devicePath"), .string(file), "must be unique") }
            findings.noBackSteps(at.child("devicePath"), file)
            if mounted.contains(where: { $0["name"].string == name }) { findings.invalid(at.child("name"), .string(name), "must not already exist in volumeMounts") }
        }
    }

    private mutating func resizePolicy(_ container: Node, _ path: NodePath) {
        var seen: Set<String> = []
        for policy in container["resizePolicy"].list {
            let name = policy["resourceName"].string ?? ""
            if !seen.insert(name).inserted { findings.duplicate(path, name) }
            if name.isEmpty { findings.required(path) } else { findings.oneOf(path, .string(name), ["cpu", "memory"]) }
            findings.oneOf(path, policy["restartPolicy"], ["NotRequired", "RestartContainer"])
            if spec["restartPolicy"].string == "Never", policy["restartPolicy"].string == "RestartContainer", container["restartPolicy"].isNull {
                findings.invalid(path, policy["restartPolicy"], "must be 'NotRequired' when `restartPolicy` is 'Never'")
            }
        }
    }

    private mutating func restartRules(_ container: Node, _ path: NodePath) {
        let rules = container["restartPolicyRules"].list
        guard let policy = container["restartPolicy"].string else {
            if !rules.isEmpty { findings.required(path.child("restartPolicy"), "must specify restartPolicy when restart rules are used") }
            return
        }
        findings.oneOf(path.child("restartPolicy"), .string(policy), ["Always", "Never", "OnFailure"])
        if rules.count > 20 { findings.add(.tooMany("\(path.child("restartPolicyRules"))", actual: rules.count, limit: 20)) }
    }
}
