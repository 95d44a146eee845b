package import Tree

/// JSON patch, RFC 6902, with upstream's limit and words.
package struct JSONPatch: Sendable {
    package static let maxOperations = 10_000
    /// What `copy` operations may add up to, so that a short patch cannot make a huge object.
    private static let maxCopied = 3 * 1024 * 1024

    private struct Operation {
        let op: String
        let path: Pointer
        let from: Pointer
        let value: Node?
    }

    private let operations: [Operation]

    package init(_ node: Node) throws(PatchFailure) {
        guard case .list(let items) = node else {
            throw PatchFailure.malformed("json: cannot unmarshal \(JSONPatch.typeName(node)) into Go value of type jsonpatch.Patch")
        }
        if items.count > JSONPatch.maxOperations {
            throw PatchFailure(code: 413, description: "The allowed maximum operations in a JSON patch is \(JSONPatch.maxOperations), got \(items.count)")
        }
        var operations: [Operation] = []
        for item in items {
            guard case .map = item else {
                throw PatchFailure.malformed("json: cannot unmarshal \(JSONPatch.typeName(item)) into Go value of type jsonpatch.Operation")
            }
            operations.append(
                Operation(
                    op: item["op"].string ?? "unknown", path: Pointer(item["path"].string ?? ""), from: Pointer(item["from"].string ?? ""),
                    value: item.has("value") ? item["value"] : nil))
        }
        self.operations = operations
    }

    package func apply(to target: Node) throws(PatchFailure) -> Node {
        var document = target
        var copied = 0
        for operation in operations {
            switch operation.op {
            case "add": try edit(&document, operation.path, operation.op) { _ in .add(operation.value ?? .null) }
            case "remove": try edit(&document, operation.path, operation.op) { _ in .remove }
            case "replace":
                // What an object has not is set, as upstream does.
                try edit(&document, operation.path, operation.op) { _ in .set(operation.value ?? .null) }
            case "move":
                let value = try read(document, operation.from, "move")
                try edit(&document, operation.from, "move") { _ in .remove }
                try edit(&document, operation.path, "move") { _ in .add(value) }
            case "copy":
                let value = try read(document, operation.from, "copy")
                copied += value.json.count
                if copied > JSONPatch.maxCopied {
                    throw inapplicable("Unable to complete the copy, the accumulated size increase of copy is \(copied), exceeding the limit \(JSONPatch.maxCopied)")
                }
                try edit(&document, operation.path, "copy") { _ in .add(value) }
            case "test":
                let found = (try? read(document, operation.path, "test")) ?? .null
                if found != operation.value ?? .null { throw inapplicable("testing value \(operation.path.text) failed: test failed") }
            default: throw inapplicable("Unexpected kind: \(operation.op)")
            }
        }
        return document
    }

    private static func typeName(_ node: Node) -> String {
        switch node {
        case .null: "null"
        case .bool: "bool"
        case .int, .double: "number"
        case .string: "string"
        case .list: "array"
        case .map: "object"
        }
    }
}

// MARK: - Pointers

extension JSONPatch {
    private struct Pointer {
        let text: String
        let steps: [String]
        init(_ text: String) {
            self.text = text
            // What stands before the first slash is nothing.
            steps = text.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map { JSONPatch.unescape($0) }
        }
    }

    private static func unescape(_ step: Substring) -> String {
        guard step.contains("~") else { return String(step) }
        var out = ""
        var isEscaped = false
        for character in step {
            if isEscaped {
                out += character == "1" ? "/" : character == "0" ? "~" : "~\(character)"
                isEscaped = false
            } else if character == "~" {
                isEscaped = true
            } else {
                out.append(character)
            }
        }
        return isEscaped ? out + "~" : out
    }

    private enum Edit {
        case add(Node), set(Node), remove
    }

    private func inapplicable(_ text: String) -> PatchFailure { .inapplicable(text) }

    private func missing(_ op: String, _ pointer: Pointer, from: Bool = false) -> PatchFailure {
        switch (op, from) {
        case ("add", _), ("remove", _): return inapplicable("\(op) operation does not apply: doc is missing path: \"\(pointer.text)\": missing value")
        case ("move", true), ("copy", true): return inapplicable("\(op) operation does not apply: doc is missing from path: \(pointer.text): missing value")
        case ("move", false), ("copy", false):
            return inapplicable("\(op) operation does not apply: doc is missing destination path: \(pointer.text): missing value")
        default: return inapplicable("\(op) operation does not apply: doc is missing path: \(pointer.text): missing value")
        }
    }

    private func badIndex(_ op: String, _ pointer: Pointer, _ step: String) -> PatchFailure {
        let why = Int(step) == nil ? "value was not a proper array index: '\(step)'" : "Unable to access invalid index: \(step): invalid index referenced"
        if op == "replace" { return inapplicable("replace operation does not apply: doc is missing key: \(pointer.text): missing value") }
        return inapplicable("error in \(op) for path: '\(pointer.text)': \(why)")
    }

    private func read(_ node: Node, _ pointer: Pointer, _ op: String) throws(PatchFailure) -> Node {
        var at = node
        for step in pointer.steps {
            switch at {
            case .map(let fields):
                guard let next = fields[step] else { throw missing(op, pointer, from: true) }
                at = next
            case .list(let items):
                guard let index = index(step, count: items.count), index < items.count else { throw missing(op, pointer, from: true) }
                at = items[index]
            default: throw missing(op, pointer, from: true)
            }
        }
        return at
    }

    private func index(_ step: String, count: Int) -> Int? {
        guard let index = Int(step), index >= -count, index <= count, step == "\(index)" else { return nil }
        return index < 0 ? index + count : index
    }

    private func edit(_ document: inout Node, _ pointer: Pointer, _ op: String, _ decide: (Node?) -> Edit) throws(PatchFailure) {
        guard !pointer.steps.isEmpty else {
            switch decide(document) {
            case .add(let value), .set(let value): document = value
            case .remove: throw missing("remove", pointer)
            }
            return
        }
        try edit(&document, pointer, pointer.steps[...], op, decide)
    }

    private func edit(_ node: inout Node, _ pointer: Pointer, _ steps: ArraySlice<String>, _ op: String, _ decide: (Node?) -> Edit) throws(PatchFailure) {
        guard let step = steps.first else { return }
        let rest = steps.dropFirst()
        switch node {
        case .map(let fields):
            guard rest.isEmpty else {
                guard fields[step] != nil else { throw missing(op, pointer) }
                try edit(&node[step], pointer, rest, op, decide)
                return
            }
            switch decide(fields[step]) {
            case .add(let value), .set(let value):
                var fields = fields
                fields[step] = value
                node = .map(fields)
            case .remove:
                guard fields[step] != nil else {
                    throw inapplicable("error in \(op) for path: '\(pointer.text)': Unable to remove nonexistent key: \(step): missing value")
                }
                node.remove(step)
            }
        case .list(var items):
            if rest.isEmpty, step == "-", case .add(let value) = decide(nil) {
                node.append(value)
                return
            }
            guard let index = index(step, count: items.count) else {
                throw badIndex(op, pointer, step)
            }
            guard rest.isEmpty else {
                guard index < items.count else { throw missing(op, pointer) }
                try edit(&node[index], pointer, rest, op, decide)
                return
            }
            switch decide(index < items.count ? items[index] : nil) {
            case .add(let value): items.insert(value, at: index)
            case .set(let value):
                guard index < items.count else { throw badIndex(op, pointer, step) }
                items[index] = value
            case .remove:
                guard index < items.count else {
                    throw badIndex(op, pointer, step)
                }
                items.remove(at: index)
            }
            node = .list(items)
        default: throw missing(op, pointer)
        }
    }
}
