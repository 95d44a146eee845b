import Tree

extension StageState {
    /// Applies an instruction that changes only the config; false for those that make a layer.
    mutating func apply(_ instruction: Instruction, _ words: Words) throws(BuildError) -> Bool {
        switch instruction.keyword {
        case "ENV": for (name, value) in try words.pairs(instruction.text) { setEnvironment(name, value) }
        case "LABEL":
            var labels = config["Labels"].stringMap
            for (name, value) in try words.pairs(instruction.text) { labels[name] = value }
            config["Labels"] = Node(labels)
        case "MAINTAINER": break
        case "EXPOSE":
            for word in try words.split(instruction.text) {
                let port = word.contains("/") ? word.lowercased() : word + "/tcp"
                let number = port.prefix { $0 != "/" }
                guard number.split(separator: "-").allSatisfy({ UInt16($0) != nil }),
                    ["tcp", "udp", "sctp"].contains(port.drop { $0 != "/" }.dropFirst())
                else {
                    throw BuildError(instruction.line, "invalid containerPort: \(word)")
                }
                config["ExposedPorts"][port] = .emptyMap
            }
        case "USER": config["User"] = .string(try words.expand(instruction.text))
        case "CMD":
            config["Cmd"] = Node(command(instruction))
            ownCommand = true
        case "ENTRYPOINT":
            config["Entrypoint"] = Node(command(instruction))
            if !ownCommand { config.remove("Cmd") }
        case "VOLUME":
            let paths: [String]
            if let exec = instruction.exec { paths = exec } else { paths = try words.split(instruction.text) }
            for path in paths { config["Volumes"][path] = .emptyMap }
        case "STOPSIGNAL": config["StopSignal"] = .string(try words.expand(instruction.text))
        case "SHELL":
            guard let exec = instruction.exec, !exec.isEmpty else {
                throw BuildError(instruction.line, "SHELL requires the arguments to be in JSON form")
            }
            shell = exec
            config["Shell"] = Node(exec)
        case "ONBUILD":
            let inner = try Dockerfile.instruction(instruction.text, instruction.line)
            guard inner.keyword != "ONBUILD", inner.keyword != "FROM" else {
                throw BuildError(instruction.line, "\(inner.keyword) isn't allowed as an ONBUILD trigger")
            }
            config["OnBuild"].append(.string(instruction.text))
        case "HEALTHCHECK": try healthcheck(instruction)
        default: return false
        }
        return true
    }

    private func command(_ instruction: Instruction) -> [String] {
        instruction.exec ?? (instruction.text.isEmpty ? [] : shell + [instruction.text])
    }

    private mutating func healthcheck(_ instruction: Instruction) throws(BuildError) {
        let kind = instruction.text.prefix { $0 != " " }
        let rest = instruction.text.dropFirst(kind.count).trimmed
        var check: Node = .emptyMap
        switch kind.uppercased() {
        case "NONE": check["Test"] = ["NONE"]
        case "CMD":
            guard !rest.isEmpty else { throw BuildError(instruction.line, "Missing command after HEALTHCHECK CMD") }
            if let exec = Words.exec(rest) {
                check["Test"] = Node(["CMD"] + exec)
            } else {
                check["Test"] = ["CMD-SHELL", .string(String(rest))]
            }
        default: throw BuildError(instruction.line, "Unknown type \"\(kind)\" in HEALTHCHECK (try CMD)")
        }
        for (flag, field) in [
            ("interval", "Interval"), ("timeout", "Timeout"), ("start-period", "StartPeriod"), ("start-interval", "StartInterval"),
        ] {
            guard let text = instruction.flag(flag) else { continue }
            guard let value = StageState.nanoseconds(text) else {
                throw BuildError(instruction.line, "invalid duration \"\(text)\" for --\(flag)")
            }
            check[field] = .int(value)
        }
        if let text = instruction.flag("retries") {
            guard let count = Int64(text), count >= 0 else {
                throw BuildError(instruction.line, "--retries must be at least 0, not \(text)")
            }
            check["Retries"] = .int(count)
        }
        config["Healthcheck"] = check
    }

    /// Go's durations: `1m30s`, `500ms`.
    private static func nanoseconds(_ text: String) -> Int64? {
        let units: [String: Double] = ["ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9, "m": 6e10, "h": 3.6e12]
        var rest = text[...]
        var total = 0.0
        while !rest.isEmpty {
            let number = rest.prefix { $0.isNumber || $0 == "." }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let value = Double(number), let scale = units[String(unit)] else { return nil }
            total += value * scale
        }
        return text.isEmpty || total > 9e18 ? nil : Int64(total)
    }
}
