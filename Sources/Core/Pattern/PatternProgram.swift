/// A pattern as instructions for a machine that follows all ways at once: each character of the text costs at most one step per
/// instruction.
struct PatternProgram: Sendable {
    private enum Instruction: Sendable {
        case take(UInt32)
        case takeOne(of: Int)
        /// Both ways; the first is preferred.
        case split(Int, Int)
        case jump(Int)
        case assert(PatternAssertion)
        case match
    }

    private var code: [Instruction] = []
    private var sets: [PatternSet] = []
    private static let largest = 50_000

    init(_ node: PatternNode, _ pattern: String) throws(RegularExpression.Failure) {
        try emit(node, pattern)
        code.append(.match)
    }

    // MARK: Compiling

    private mutating func emit(_ node: PatternNode, _ pattern: String) throws(RegularExpression.Failure) {
        if code.count > PatternProgram.largest { throw RegularExpression.Failure(reason: "expression too large", part: pattern) }
        switch node {
        case .empty: break
        case .set(let set):
            if let single = set.single {
                code.append(.take(single))
            } else {
                var prepared = set
                prepared.prepare()
                sets.append(prepared)
                code.append(.takeOne(of: sets.count - 1))
            }
        case .assertion(let assertion): code.append(.assert(assertion))
        case .sequence(let items): for item in items { try emit(item, pattern) }
        case .alternatives(let branches):
            var exits: [Int] = []
            for (index, branch) in branches.enumerated() {
                guard index < branches.count - 1 else {
                    try emit(branch, pattern)
                    break
                }
                let split = code.count
                code.append(.split(split + 1, 0))
                try emit(branch, pattern)
                exits.append(code.count)
                code.append(.jump(0))
                code[split] = .split(split + 1, code.count)
            }
            for exit in exits { code[exit] = .jump(code.count) }
        case .loop(let body, let low, let high, let isGreedy): try emitLoop(body, low, high, isGreedy, pattern)
        }
    }

    private mutating func emitLoop(_ body: PatternNode, _ low: Int, _ high: Int?, _ isGreedy: Bool, _ pattern: String) throws(RegularExpression.Failure) {
        func fork(_ into: Int, _ past: Int) -> Instruction { isGreedy ? .split(into, past) : .split(past, into) }
        for _ in 0..<low { try emit(body, pattern) }
        guard let high else {
            let split = code.count
            code.append(.jump(0))
            try emit(body, pattern)
            code.append(.jump(split))
            code[split] = fork(split + 1, code.count)
            return
        }
        var splits: [Int] = []
        for _ in low..<max(low, high) {
            splits.append(code.count)
            code.append(.jump(0))
            try emit(body, pattern)
        }
        for split in splits { code[split] = fork(split + 1, code.count) }
    }

    // MARK: Running

    /// The ways that are open at one position, in order of preference, none twice.
    private struct Threads {
        var list: [(pc: Int, start: Int)] = []
        var mark: [Int]
        var generation = 0
        init(_ count: Int) { mark = Array(repeating: 0, count: count) }
        mutating func clear() {
            list.removeAll(keepingCapacity: true)
            generation += 1
        }
    }

    /// The bounds of the leftmost match at or after a position. Without `wantsBounds` any match will do, and its end is not looked for.
    func search(_ text: [Unicode.Scalar], from begin: Int, wantsBounds: Bool) -> Range<Int>? {
        var current = Threads(code.count)
        var following = Threads(code.count)
        current.clear()
        following.clear()
        var found: Range<Int>?
        var stack: [Int] = []
        var position = begin
        while true {
            if found == nil { add(0, position, position, text, &current, &stack) }
            if current.list.isEmpty, found != nil { break }
            following.clear()
            step: for (pc, start) in current.list {
                switch code[pc] {
                case .match:
                    found = start..<position
                    if !wantsBounds { return found }
                    break step  // ways of lower preference end here
                case .take(let value):
                    if position < text.count, text[position].value == value { add(pc + 1, start, position + 1, text, &following, &stack) }
                case .takeOne(let set):
                    if position < text.count, sets[set].contains(text[position].value) { add(pc + 1, start, position + 1, text, &following, &stack) }
                default: break
                }
            }
            swap(&current, &following)
            if position >= text.count { break }
            position += 1
        }
        return found
    }

    /// Follows what takes no character.
    private func add(_ pc: Int, _ start: Int, _ position: Int, _ text: [Unicode.Scalar], _ threads: inout Threads, _ stack: inout [Int]) {
        stack.append(pc)
        while let pc = stack.popLast() {
            if threads.mark[pc] == threads.generation { continue }
            threads.mark[pc] = threads.generation
            switch code[pc] {
            case .jump(let target): stack.append(target)
            case .split(let first, let second):
                stack.append(second)
                stack.append(first)
            case .assert(let assertion): if assertion.holds(text, position) { stack.append(pc + 1) }
            default: threads.list.append((pc, start))
            }
        }
    }
}
