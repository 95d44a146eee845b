import Containers
import Core
import Linux
import Tree

/// What CDI specifications (https://github.com/cncf-tags/container-device-interface) say of devices: the changes that a container
/// needs to use them.
struct ContainerDevices: Sendable {
    /// Directories of specifications, the weightier ones last.
    let directories: [String]
    static let machineDirectories = ["/etc/cdi", "/var/run/cdi"]

    /// The edits for devices by their full names (`vendor.com/class=name`), in the order asked for; those of a specification as a
    /// whole come before those of its first device.
    func edits(_ names: [String]) throws -> [Node] {
        if names.isEmpty { return [] }
        let specs = read()
        var used: Set<Int> = []
        var out: [Node] = []
        var missing: [String] = []
        for name in names {
            let parts = name.split(separator: "=", maxSplits: 1).map(String.init)
            let found = specs.indices.reversed().first { specs[$0]["kind"].string == parts.first && device(specs[$0], parts.last ?? "") != nil }
            guard parts.count == 2, let found, let device = device(specs[found], parts[1]) else {
                missing.append(name)
                continue
            }
            if used.insert(found).inserted, !specs[found]["containerEdits"].isEmpty { out.append(specs[found]["containerEdits"]) }
            out.append(device["containerEdits"])
        }
        if !missing.isEmpty { throw DeviceTrouble("CDI device injection failed: unresolvable CDI devices \(missing.joined(separator: ", "))") }
        return out
    }

    private func device(_ spec: Node, _ name: String) -> Node? { spec["devices"].list.first { $0["name"].string == name } }

    private func read() -> [Node] {
        directories.flatMap { directory in
            ((try? FileSystem.list(directory)) ?? []).sorted().compactMap { name -> Node? in
                guard name.hasSuffix(".json") || name.hasSuffix(".yaml"), let text = try? Files.text("\(directory)/\(name)") else { return nil }
                if name.hasSuffix(".json") { return try? JSONReader.read(Array(text.utf8)) }
                return try? YAMLReader.read(Array(text.utf8))
            }
        }
    }

    /// Makes a container's specification one that can use the devices.
    static func apply(_ edits: [Node], to spec: inout ContainerSpec) throws {
        for edit in edits {
            guard edit["hooks"].list.isEmpty else { throw DeviceTrouble("CDI device injection failed: hooks are not supported") }
            for line in edit["env"].stringList {
                let name = line.prefix { $0 != "=" } + "="
                spec.process.environment.removeAll { $0.hasPrefix(name) }
                spec.process.environment.append(line)
            }
            for node in edit["deviceNodes"].list { try addDevice(node, to: &spec) }
            for mount in edit["mounts"].list { addMount(mount, to: &spec) }
            for group in edit["additionalGids"].list { if let id = group.int, id != 0 { spec.process.user.groups.append(UInt32(clamping: id)) } }
        }
    }

    private static func addMount(_ mount: Node, to spec: inout ContainerSpec) {
        guard let source = mount["hostPath"].string, let target = mount["containerPath"].string else { return }
        let options = Set(mount["options"].stringList)
        var out: ContainerMount
        if mount["type"].string == "tmpfs" { out = ContainerMount(target: target, .tmpfs()) } else { out = ContainerMount(target: target, .bind(source: source)) }
        out.readOnly = options.contains("ro")
        out.noExec = options.contains("noexec")
        out.noSuid = options.contains("nosuid")
        out.noDevices = options.contains("nodev")
        spec.mounts.append(out)
    }

    private static func addDevice(_ node: Node, to spec: inout ContainerSpec) throws {
        guard let path = node["path"].string else { return }
        let host = node["hostPath"].string ?? path
        let status = try? FileSystem.status(host, following: true)
        var kind: DeviceRule.Kind?
        switch node["type"].string {
        case "b": kind = .block
        case "c", "u": kind = .character
        default:
            switch status?.kind {
            case .blockDevice: kind = .block
            case .characterDevice: kind = .character
            default: kind = nil
            }
        }
        // As glibc packs them.
        let number = status?.deviceNumber
        let major = node["major"].int.map { UInt32(clamping: $0) } ?? number.map { UInt32(truncatingIfNeeded: ($0 >> 8) & 0xFFF | ($0 >> 32) & ~0xFFF) }
        let minor = node["minor"].int.map { UInt32(clamping: $0) } ?? number.map { UInt32(truncatingIfNeeded: $0 & 0xFF | ($0 >> 12) & ~0xFF) }
        guard let kind, let major, let minor else { throw DeviceTrouble("CDI device injection failed: \(host) is not a device node") }
        var device = ContainerDevice(path: path, type: kind, major: major, minor: minor)
        device.mode = node["fileMode"].int.map { UInt32(clamping: $0) } ?? status.map { UInt32($0.permissions) & 0o777 } ?? 0o666
        device.uid = node["uid"].int.map { UInt32(clamping: $0) } ?? spec.process.user.uid
        device.gid = node["gid"].int.map { UInt32(clamping: $0) } ?? spec.process.user.gid
        spec.devices.removeAll { $0.path == path }
        spec.devices.append(device)
        spec.allowedDevices?.append(DeviceRule(kind, major: major, minor: minor, access: node["permissions"].string ?? "rw"))
    }
}
