/// Answers whether somebody may do something: what the API server's authorizer shows to expressions.
package protocol ExpressionAuthorizer: Sendable {
    func decide(_ question: AuthorizationQuestion) -> AuthorizationAnswer
}

/// What an expression asks. An empty service account means the user of the request.
package struct AuthorizationQuestion: Sendable {
    package var serviceAccount: (namespace: String, name: String)?
    package var path = ""
    package var group = ""
    package var resource = ""
    package var subresource = ""
    package var namespace = ""
    package var name = ""
    package var fieldSelector = ""
    package var labelSelector = ""
    package var verb = ""
    package init() {}
}

package struct AuthorizationAnswer: Sendable {
    package let isAllowed: Bool
    package let reason: String
    package let error: String?
    package init(isAllowed: Bool, reason: String = "", error: String? = nil) {
        self.isAllowed = isAllowed
        self.reason = reason
        self.error = error
    }
}

/// The variable `authorizer`, and the questions that are built from it.
package final class AuthorizerValue: OpaqueValue {
    enum Stage: String {
        case authorizer = "Authorizer"
        case path = "PathCheck"
        case group = "GroupCheck"
        case resource = "ResourceCheck"
        var type: CELType { .opaque("kubernetes.authorization.\(rawValue)", []) }
    }
    package var type: CELType { stage.type }
    package static let type = Stage.authorizer.type
    package static let resourceType = Stage.resource.type
    private let authorizer: any ExpressionAuthorizer
    private let stage: Stage
    private let question: AuthorizationQuestion

    package convenience init(_ authorizer: any ExpressionAuthorizer) { self.init(authorizer, .authorizer, AuthorizationQuestion()) }
    /// The variable `authorizer.requestResource`.
    package convenience init(_ authorizer: any ExpressionAuthorizer, resource: AuthorizationQuestion) { self.init(authorizer, .resource, resource) }

    private init(_ authorizer: any ExpressionAuthorizer, _ stage: Stage, _ question: AuthorizationQuestion) {
        self.authorizer = authorizer
        self.stage = stage
        self.question = question
    }

    package func equals(_ other: any OpaqueValue) -> Bool { self === other }

    func with(_ stage: Stage, _ edit: (inout AuthorizationQuestion) -> Void) -> Value {
        var question = question
        edit(&question)
        return .opaque(AuthorizerValue(authorizer, stage, question))
    }

    func check(_ verb: String) -> Value {
        var question = question
        question.verb = verb
        return .opaque(DecisionValue(authorizer.decide(question)))
    }
}

/// An answer of the authorizer.
final class DecisionValue: OpaqueValue {
    static let type = CELType.opaque("kubernetes.authorization.Decision", [])
    var type: CELType { DecisionValue.type }
    let answer: AuthorizationAnswer
    init(_ answer: AuthorizationAnswer) { self.answer = answer }
    func equals(_ other: any OpaqueValue) -> Bool { self === other }
}

/// `authorizer.group('apps').resource('deployments').check('create').allowed()`.
enum AuthorizerLibrary: FunctionLibrary {
    static func declare(_ table: inout FunctionTable) {
        let authorizer = AuthorizerValue.Stage.authorizer.type
        let resource = AuthorizerValue.Stage.resource.type
        let group = AuthorizerValue.Stage.group.type
        let path = AuthorizerValue.Stage.path.type
        table.member("path", "authorizer_path", [authorizer, .string], path) {
            let text = try required(try $0.string(1), "path")
            return try $0.opaque(0, AuthorizerValue.self).with(.path) { $0.path = text }
        }
        table.member("group", "authorizer_group", [authorizer, .string], group) {
            let text = try $0.string(1)
            return try $0.opaque(0, AuthorizerValue.self).with(.group) { $0.group = text }
        }
        table.member("serviceAccount", "authorizer_serviceaccount", [authorizer, .string, .string], authorizer) {
            let (namespace, name) = (try $0.string(1), try $0.string(2))
            guard isName(name, dots: true) else { throw EvaluationError("Invalid service account name") }
            guard isName(namespace, dots: false) else { throw EvaluationError("Invalid service account namespace") }
            return try $0.opaque(0, AuthorizerValue.self).with(.authorizer) { $0.serviceAccount = (namespace, name) }
        }
        table.member("resource", "groupcheck_resource", [group, .string], resource) {
            let text = try required(try $0.string(1), "resource")
            return try $0.opaque(0, AuthorizerValue.self).with(.resource) { $0.resource = text }
        }
        let parts: [(String, String, @Sendable (inout AuthorizationQuestion, String) -> Void)] = [
            ("subresource", "resourcecheck_subresource", { $0.subresource = $1 }), ("namespace", "resourcecheck_namespace", { $0.namespace = $1 }),
            ("name", "resourcecheck_name", { $0.name = $1 }), ("fieldSelector", "authorizer_fieldselector", { $0.fieldSelector = $1 }),
            ("labelSelector", "authorizer_labelselector", { $0.labelSelector = $1 }),
        ]
        for (name, id, edit) in parts {
            table.member(name, id, [resource, .string], resource) {
                let text = try $0.string(1)
                return try $0.opaque(0, AuthorizerValue.self).with(.resource) { edit(&$0, text) }
            }
        }
        table.member("check", "pathcheck_check", [path, .string], DecisionValue.type) { try $0.opaque(0, AuthorizerValue.self).check(try $0.string(1)) }
        table.member("check", "resourcecheck_check", [resource, .string], DecisionValue.type) { try $0.opaque(0, AuthorizerValue.self).check(try $0.string(1)) }
        table.member("allowed", "decision_allowed", [DecisionValue.type], .bool) { .bool(try $0.opaque(0, DecisionValue.self).answer.isAllowed) }
        table.member("reason", "decision_reason", [DecisionValue.type], .string) { .string(try $0.opaque(0, DecisionValue.self).answer.reason) }
        table.member("errored", "decision_errored", [DecisionValue.type], .bool) { .bool(try $0.opaque(0, DecisionValue.self).answer.error != nil) }
        table.member("error", "decision_error", [DecisionValue.type], .string) { .string(try $0.opaque(0, DecisionValue.self).answer.error ?? "") }
    }

    private static func required(_ text: String, _ what: String) throws(EvaluationError) -> String {
        if text.allSatisfy(\.isWhitespace) { throw EvaluationError("\(what) must not be empty") }
        return text
    }

    private static func isName(_ text: String, dots: Bool) -> Bool {
        func isEnd(_ byte: UInt8) -> Bool { (byte >= 97 && byte <= 122) || (byte >= 48 && byte <= 57) }
        guard text.utf8.count <= (dots ? 253 : 63) else { return false }
        let labels = dots ? text.split(separator: ".", omittingEmptySubsequences: false) : [text[...]]
        return labels.allSatisfy { label in
            guard let first = label.utf8.first, let last = label.utf8.last, isEnd(first), isEnd(last) else { return false }
            return label.utf8.allSatisfy { isEnd($0) || $0 == 45 }
        }
    }
}
