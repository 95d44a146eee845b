import CEL
package import Machinery
package import Store
import Tree

/// Checks requests by ValidatingAdmissionPolicies.
package struct ValidatingPolicies: AdmissionPlugin {
    package var name: String { "ValidatingAdmissionPolicy" }
    private let source: PolicySource

    package init(store: Store, catalog: ResourceCatalog, authorizer: RBACAuthorizer, conversion: any VersionConversion) {
        source = PolicySource("validatingadmission", store: store, catalog: catalog, authorizer: authorizer, conversion: conversion)
    }

    /// A refusal in the making.
    private struct Denial {
        let policy: String
        let binding: String?
        let message: String
        var reason = "Invalid"
    }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .validating }

    package func validate(_ request: AdmissionRequest) async throws(APIError) {
        guard !WebhookMatching.isExempt(request) else { return }
        let all = try source.bound()
        if all.isEmpty { return }
        var denials: [Denial] = []
        for bound in all { try await apply(bound, request, &denials) }
        if let first = denials.first { throw ValidatingPolicies.refusal(first, request) }
    }

    private func apply(_ bound: PolicySource.Bound, _ request: AdmissionRequest, _ denials: inout [Denial]) async throws(APIError) {
        let policy = bound.policy
        func misconfigured(_ message: String, _ binding: PolicyBinding?) {
            if policy.ignoresFailure { return }
            let head = binding == nil ? "failed to configure policy: " : "failed to configure binding: "
            denials.append(Denial(policy: policy.name, binding: binding?.name, message: head + message))
        }
        let match: PolicyMatching.Match
        do throws(APIError) {
            guard let found = try source.matching.match(policy.constraints, request) else { return }
            match = found
        } catch {
            return misconfigured(error.message, nil)
        }
        var shared: AdmissionBindings?
        var annotations: [(key: String, values: [String])] = []
        for binding in bound.bindings {
            let parameters: [Node]
            do throws(APIError) { if try source.matching.match(binding.constraints, request) == nil { continue } } catch {
                misconfigured(error.message, binding)
                continue
            }
            do throws(PolicySource.Misconfiguration) { parameters = try source.parameters(policy, binding, namespace: request.namespace) } catch {
                misconfigured(error.message, binding)
                continue
            }
            if shared == nil { shared = try await source.bindings(request, match) }
            guard var bindings = shared else { continue }
            for parameter in parameters {
                bindings.params = parameter
                let outcome = PolicyCheck(policy, bindings).run()
                act(outcome, policy, binding, request, &denials, &annotations)
            }
        }
        for (key, values) in annotations { request.annotate("\(policy.name)/\(key)", values.joined(separator: ", ")) }
    }

    private func act(
        _ outcome: PolicyCheck.Outcome, _ policy: PolicyDefinition, _ binding: PolicyBinding, _ request: AdmissionRequest, _ denials: inout [Denial],
        _ annotations: inout [(key: String, values: [String])]
    ) {
        for (index, finding) in outcome.findings {
            for action in binding.actions {
                switch action {
                case "Deny": denials.append(Denial(policy: policy.name, binding: binding.name, message: finding.message, reason: finding.reason))
                case "Warn":
                    request.warn("Validation failed for ValidatingAdmissionPolicy '\(policy.name)' with binding '\(binding.name)': \(finding.message)")
                case "Audit":
                    let note: Node = [
                        [
                            "message": .string(finding.message), "policy": .string(binding.policy), "binding": .string(binding.name),
                            "expressionIndex": .int(Int64(index)), "validationActions": Node(binding.actions),
                        ]
                    ]
                    request.annotate("validation.policy.admission.k8s.io/validation_failure", note.jsonText)
                default: continue
                }
            }
        }
        for annotation in outcome.annotations {
            switch annotation.value {
            case .success(let text):
                let text = String(decoding: text.utf8.prefix(10 * 1024), as: UTF8.self)
                if let at = annotations.firstIndex(where: { $0.key == annotation.key }) {
                    if !annotations[at].values.contains(text) { annotations[at].values.append(text) }
                } else {
                    annotations.append((annotation.key, [text]))
                }
            case .failure(let error): denials.append(Denial(policy: policy.name, binding: binding.name, message: error.message))
            }
        }
    }

    private static func refusal(_ denial: Denial, _ request: AdmissionRequest) -> APIError {
        let who = denial.binding.map { " with binding '\($0)'" } ?? ""
        let message = "ValidatingAdmissionPolicy '\(denial.policy)'\(who) denied request: \(denial.message)"
        var error = request.forbidden(message)
        error.reason = denial.reason
        switch denial.reason {
        case "Unauthorized": error.code = 401
        case "Forbidden": error.code = 403
        case "RequestEntityTooLarge": error.code = 413
        default: error.code = 422
        }
        error.details?.causes.append(.init(reason: "", message: message))
        return error
    }
}

/// Runs one policy's checks with one parameter.
struct PolicyCheck {
    struct Finding {
        let message: String
        var reason = "Invalid"
    }
    struct Outcome {
        /// With the number of the check.
        var findings: [(Int, Finding)] = []
        var annotations: [(key: String, value: Result<String, EvaluationError>)] = []
    }
    private static let longestMessage = 5 * 1024
    private let policy: PolicyDefinition
    private let bindings: AdmissionBindings

    init(_ policy: PolicyDefinition, _ bindings: AdmissionBindings) {
        self.policy = policy
        self.bindings = bindings
    }

    func run() -> Outcome {
        var out = Outcome()
        func fail(_ message: String) -> Outcome {
            var out = Outcome()
            if !policy.ignoresFailure { out.findings = [(0, Finding(message: message))] }
            return out
        }
        switch PolicySource.holds(policy.programs.conditions, bindings) {
        case .success(false): return out
        case .success(true): break
        case .failure(let error): return fail(error.message)
        }
        var run = PolicyRun(bindings, variables: policy.programs)
        var results: [Result<Value, EvaluationError>] = []
        do throws(PolicyRun.Exhausted) { for check in policy.programs.checks { results.append(try run.run(check.expression)) } } catch {
            return fail(PolicyRun.outOfBudget)
        }
        var isOut = false
        for (index, check) in policy.programs.checks.enumerated() {
            switch results[index] {
            case .failure(let error): if !policy.ignoresFailure { out.findings.append((index, Finding(message: error.message))) }
            case .success(.bool(true)): continue
            case .success:
                if isOut {
                    if !policy.ignoresFailure { out.findings.append((index, Finding(message: "failed messageExpression: \(PolicyRun.outOfBudget)"))) }
                    continue
                }
                do throws(PolicyRun.Exhausted) {
                    let message = try message(check, &run)
                    out.findings.append((index, Finding(message: message, reason: check.source["reason"].string ?? "Invalid")))
                } catch {
                    isOut = true
                    if !policy.ignoresFailure { out.findings.append((index, Finding(message: "failed messageExpression: \(PolicyRun.outOfBudget)"))) }
                }
            }
        }
        do throws(PolicyRun.Exhausted) { out.annotations = try annotations() } catch { return fail(PolicyRun.outOfBudget) }
        return out
    }

    private func message(_ check: PolicyPrograms.Check, _ run: inout PolicyRun) throws(PolicyRun.Exhausted) -> String {
        func trimmed(_ text: String) -> String {
            let head = text.drop(while: \.isWhitespace)
            return head.lastIndex { !$0.isWhitespace }.map { String(head[...$0]) } ?? ""
        }
        if let expression = check.message, case .success(.string(let text)) = try run.run(expression) {
            let text = trimmed(text)
            if !text.isEmpty, text.utf8.count <= PolicyCheck.longestMessage, !text.contains("\n") { return text }
        }
        let declared = trimmed(check.source["message"].string ?? "")
        return declared.isEmpty ? "failed expression: \(trimmed(check.source["expression"].string ?? ""))" : declared
    }

    private func annotations() throws(PolicyRun.Exhausted) -> [(key: String, value: Result<String, EvaluationError>)] {
        var run = PolicyRun(bindings, variables: policy.programs)
        var out: [(key: String, value: Result<String, EvaluationError>)] = []
        for annotation in policy.programs.annotations {
            switch try run.run(annotation.expression) {
            case .success(.string(let text)):
                if !text.allSatisfy(\.isWhitespace) { out.append((annotation.key, .success(text))) }
            case .success(.null): continue
            case .success(let value):
                let why =
                    "valueExpression '\(annotation.text)' resulted in unsupported return type: \(value.type.description). Return type must be either string or null."
                out.append((annotation.key, .failure(EvaluationError(why))))
            case .failure(let error): if !policy.ignoresFailure { out.append((annotation.key, .failure(error))) }
            }
        }
        return out
    }
}
