package import CEL
import Synchronization
package import Tree

/// An expression that is used, or why it cannot be.
package enum PolicyExpression: Sendable {
    case program(AdmissionProgram)
    case problem(String)

    package var problem: String? { if case .problem(let detail) = self { detail } else { nil } }
}

/// A policy's expressions, compiled once. What does not compile (a definition of an older version) fails when it is used.
package final class PolicyPrograms: Sendable {
    package struct Condition: Sendable {
        package let name: String
        package let expression: PolicyExpression
        package init(name: String, expression: PolicyExpression) {
            self.name = name
            self.expression = expression
        }
    }
    package struct Check: Sendable {
        package let expression: PolicyExpression
        package let message: PolicyExpression?
        package let source: Node
    }
    package struct Annotation: Sendable {
        package let key: String
        package let expression: PolicyExpression
        package let text: String
    }
    package struct Mutation: Sendable {
        package let isJSONPatch: Bool
        package let expression: PolicyExpression
    }

    package let conditions: [Condition]
    package let variables: [(name: String, expression: PolicyExpression)]
    package let checks: [Check]
    package let annotations: [Annotation]
    package let mutations: [Mutation]

    /// `spec` is that of a ValidatingAdmissionPolicy or a MutatingAdmissionPolicy.
    package init(_ spec: Node, types: AdmissionEnvironment.Types = .init()) {
        let hasParams = !spec["paramKind"].isNull
        let plain = AdmissionEnvironment(.init(hasParams: hasParams))
        conditions = spec["matchConditions"].list.map {
            Condition(name: $0["name"].string ?? "", expression: PolicyPrograms.compile(ExpressionRule.trimmed($0["expression"].string ?? ""), plain, [.bool]))
        }
        let declared = spec["variables"].list
        let composes = !declared.isEmpty || !spec["mutations"].isNull
        var full = AdmissionEnvironment(.init(hasParams: hasParams), types: types, composes: composes)
        var messages = AdmissionEnvironment(.init(hasParams: hasParams, hasAuthorizer: false), types: types, composes: composes)
        var patches = AdmissionEnvironment(.init(hasParams: hasParams, makesPatches: true), types: types, composes: composes)
        var variables: [(name: String, expression: PolicyExpression)] = []
        for variable in declared {
            let name = variable["name"].string ?? ""
            let expression = PolicyPrograms.compile(variable["expression"].string ?? "", full, [])
            variables.append((name, expression))
            var type = CELType.dyn
            if case .program(let program) = expression { type = program.type }
            full.addVariable(name, type)
            messages.addVariable(name, type)
            patches.addVariable(name, type)
        }
        self.variables = variables
        checks = spec["validations"].list.map { source in
            let message = source["messageExpression"].string.flatMap { $0.isEmpty ? nil : PolicyPrograms.compile($0, messages, [.string]) }
            return Check(expression: PolicyPrograms.compile(source["expression"].string ?? "", full, [.bool]), message: message, source: source)
        }
        annotations = spec["auditAnnotations"].list.map { source in
            let text = ExpressionRule.trimmed(source["valueExpression"].string ?? "")
            return Annotation(key: source["key"].string ?? "", expression: PolicyPrograms.compile(text, full, [.string, .null]), text: text)
        }
        mutations = spec["mutations"].list.map { source in
            let isPatch = source["patchType"].string == "JSONPatch"
            let text = ExpressionRule.trimmed(source[isPatch ? "jsonPatch" : "applyConfiguration"]["expression"].string ?? "")
            return Mutation(
                isJSONPatch: isPatch, expression: PolicyPrograms.compile(text, patches, [isPatch ? MutationTypes.patches : MutationTypes.object]))
        }
    }

    private static func compile(_ text: String, _ environment: AdmissionEnvironment, _ types: [CELType]) -> PolicyExpression {
        do throws(AdmissionEnvironment.Problem) { return .program(try environment.compile(text, returning: types)) } catch { return .problem(error.detail) }
    }
}

/// A policy's variables for one request: each is computed when it is first read, and its cost waits to be charged.
package final class PolicyVariables: FieldSource {
    package let type = CELType.object("kubernetes.variables")
    private struct State {
        var values: [String: Result<Value, EvaluationError>] = [:]
        var running: Set<String> = []
        var cost: UInt64 = 0
    }
    private let programs: [String: PolicyExpression]
    private let bindings: AdmissionBindings
    private let state = Mutex(State())

    package init(_ programs: PolicyPrograms, _ bindings: AdmissionBindings) {
        self.programs = Dictionary(programs.variables.map { ($0.name, $0.expression) }, uniquingKeysWith: { first, _ in first })
        self.bindings = bindings
    }

    package func equals(_ other: any OpaqueValue) -> Bool { self === other }
    package func has(_ name: String) -> Bool { programs[name] != nil }

    package func field(_ name: String) throws(EvaluationError) -> Value {
        guard let expression = programs[name] else { throw EvaluationError("no such key: \(name)") }
        let known = state.withLock { state -> Result<Value, EvaluationError>? in
            if let value = state.values[name] { return value }
            if !state.running.insert(name).inserted { return .failure(EvaluationError("composited variable \(FieldError.quoted(name)) uses itself")) }
            return nil
        }
        if let known { return try known.get() }
        var result: Result<Value, EvaluationError>
        var cost: UInt64 = 0
        switch expression {
        case .problem(let detail):
            result = .failure(EvaluationError("composited variable \(FieldError.quoted(name)) fails to compile: \(detail)"))
        case .program(let program):
            var bindings = bindings
            bindings.variables = .opaque(self)
            let outcome = program.run(bindings)
            cost = outcome.cost
            result = outcome.result
            if case .failure(let error) = outcome.result, !error.isOverBudget {
                result = .failure(EvaluationError("composited variable \(FieldError.quoted(name)) fails to evaluate: \(error.message)"))
            }
        }
        state.withLock { state in
            state.values[name] = result
            state.running.remove(name)
            state.cost += cost
        }
        return try result.get()
    }

    /// What was spent since the last call.
    func takeCost() -> UInt64 {
        state.withLock { state in
            defer { state.cost = 0 }
            return state.cost
        }
    }
}

/// Runs a policy's expressions within one budget.
package struct PolicyRun {
    package static let budget: UInt64 = 10_000_000
    package static let conditionBudget: UInt64 = 2_500_000
    package static let outOfBudget = "validation failed due to running out of cost budget, no further validation rules will be run"

    private let bindings: AdmissionBindings
    private let variables: PolicyVariables?
    private var left: UInt64

    package init(_ bindings: AdmissionBindings, variables: PolicyPrograms? = nil, budget: UInt64 = PolicyRun.budget) {
        var bindings = bindings
        let source = variables.map { PolicyVariables($0, bindings) }
        if let source { bindings.variables = .opaque(source) }
        self.bindings = bindings
        self.variables = source
        left = budget
    }

    /// The budget is spent: nothing more is run.
    package struct Exhausted: Error {}

    package mutating func run(_ expression: PolicyExpression) throws(Exhausted) -> Result<Value, EvaluationError> {
        switch expression {
        case .problem(let detail): return .failure(EvaluationError("compilation error: \(detail)"))
        case .program(let program):
            let outcome = program.run(bindings)
            let (cost, over) = outcome.cost.addingReportingOverflow(variables?.takeCost() ?? 0)
            guard !over, cost <= left else { throw Exhausted() }
            left -= cost
            return outcome.result.mapError { EvaluationError("expression '\(program.text)' resulted in error: \($0.message)") }
        }
    }
}
