import CEL
import Machinery
package import Store
import Synchronization
import Tree

/// Decides the match conditions of webhooks.
package final class ExpressionConditions: MatchConditionEvaluator {
    private let source: PolicySource
    /// Expressions are compiled once; few webhooks have conditions.
    private let compiled = Mutex<[String: PolicyExpression]>([:])
    private static let most = 500

    package init(store: Store, catalog: ResourceCatalog, authorizer: RBACAuthorizer, conversion: any VersionConversion) {
        source = PolicySource("validatingadmission", store: store, catalog: catalog, authorizer: authorizer, conversion: conversion)
    }

    package func holds(_ conditions: [MatchCondition], for request: AdmissionRequest) async throws(MatchConditionFailure) -> Bool {
        let bindings: AdmissionBindings
        do throws(APIError) {
            bindings = try await source.bindings(request, .init(resource: request.resource, kind: request.kind))
        } catch {
            throw MatchConditionFailure(error.message)
        }
        let programs = conditions.map { PolicyPrograms.Condition(name: $0.name, expression: program($0.expression)) }
        switch PolicySource.holds(programs, bindings) {
        case .success(let holds): return holds
        case .failure(let error): throw MatchConditionFailure(error.message)
        }
    }

    private func program(_ text: String) -> PolicyExpression {
        compiled.withLock { known in
            if let found = known[text] { return found }
            let made: PolicyExpression
            do throws(AdmissionEnvironment.Problem) {
                made = .program(try AdmissionEnvironment(.init()).compile(text, returning: [.bool]))
            } catch {
                made = .problem(error.detail)
            }
            if known.count >= ExpressionConditions.most { known.removeAll() }
            known[text] = made
            return made
        }
    }
}
