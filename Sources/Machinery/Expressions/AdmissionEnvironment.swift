package import CEL
package import Tree

/// The variables that expressions of admission see, and their types.
package struct AdmissionEnvironment: Sendable {
    package struct Options: Sendable, Hashable {
        package var hasParams = false
        package var hasAuthorizer = true
        /// Expressions may make `Object{…}` and `JSONPatch{…}`.
        package var makesPatches = false
        package init(hasParams: Bool = false, hasAuthorizer: Bool = true, makesPatches: Bool = false) {
            self.hasParams = hasParams
            self.hasAuthorizer = hasAuthorizer
            self.makesPatches = makesPatches
        }
    }

    /// The types of `object`, `oldObject` and `params` where a check knows them; evaluation does not.
    package struct Types: Sendable {
        package var object: (any SchemaType)?
        package var params: (any SchemaType)?
        package init(object: (any SchemaType)? = nil, params: (any SchemaType)? = nil) {
            self.object = object
            self.params = params
        }
    }

    private var environment: Environment
    /// The policy's variables so far, with their types.
    private var composed: [(name: String, type: CELType)]?

    package init(_ options: Options, types: Types = Types(), composes: Bool = false) {
        var made = Environment.kubernetes
        made = types.object.map { made.declaring("object", $0).declaring("oldObject", $0) } ?? made.declaring("object", .dyn).declaring("oldObject", .dyn)
        made = made.declaring("namespaceObject", AdmissionEnvironment.namespace).declaring("request", AdmissionEnvironment.request)
        if options.hasParams { made = types.params.map { made.declaring("params", $0) } ?? made.declaring("params", .dyn) }
        if options.hasAuthorizer {
            made = made.declaring("authorizer", AuthorizerValue.type).declaring("authorizer.requestResource", AuthorizerValue.resourceType)
        }
        if options.makesPatches { made = made.making(MutationTypes.maker) }
        environment = made
        if composes { compose([]) }
    }

    private mutating func compose(_ variables: [(name: String, type: CELType)]) {
        composed = variables
        var fields: [String: FixedSchema] = [:]
        for (name, type) in variables { fields[name] = FixedSchema(type) }
        // A new name each time: a schema once learnt stays.
        environment = environment.declaring("variables", FixedSchema(object: "kubernetes.variables\(variables.isEmpty ? "" : "\(variables.count)")", fields))
    }

    /// Makes `variables.name` known to what is compiled after.
    package mutating func addVariable(_ name: String, _ type: CELType) { compose((composed ?? []) + [(name, type)]) }

    /// Why an expression cannot be used, as upstream's findings have it.
    package struct Problem: Error, Sendable {
        package let detail: String
    }

    /// `returning` lists the types allowed; none allows all.
    package func compile(_ text: String, returning allowed: [CELType] = []) throws(Problem) -> AdmissionProgram {
        let program: Program
        do { program = try Program.compile(text, in: environment) } catch { throw Problem(detail: "compilation failed: \(error.description)") }
        if !allowed.isEmpty, !allowed.contains(program.type) {
            let names = allowed.map(AdmissionEnvironment.typeName)
            let wanted = names.count == 1 ? names[0] : "one of [\(names.joined(separator: " "))]"
            throw Problem(detail: "must evaluate to \(wanted) but got \(AdmissionEnvironment.typeName(program.type))")
        }
        return AdmissionProgram(text: text, program: program, variables: environment.variables.map(\.name))
    }

    private static func typeName(_ type: CELType) -> String { type == .null ? "null_type" : type.description }

    // MARK: Types

    private static let request: FixedSchema = {
        let kind = FixedSchema(object: "kubernetes.GroupVersionKind", ["group": .string, "version": .string, "kind": .string])
        let resource = FixedSchema(object: "kubernetes.GroupVersionResource", ["group": .string, "version": .string, "resource": .string])
        let texts = FixedSchema(listOf: .string)
        let user = FixedSchema(object: "kubernetes.UserInfo", ["username": .string, "uid": .string, "groups": texts, "extra": FixedSchema(mapOf: texts)])
        return FixedSchema(
            object: "kubernetes.AdmissionRequest",
            [
                "kind": kind, "resource": resource, "subResource": .string, "requestKind": kind, "requestResource": resource, "requestSubResource": .string,
                "name": .string, "namespace": .string, "operation": .string, "userInfo": user, "dryRun": FixedSchema(.bool), "options": .dyn,
            ])
    }()

    private static let namespace: FixedSchema = {
        let texts = FixedSchema(listOf: .string)
        let labels = FixedSchema(mapOf: .string)
        let time = FixedSchema(.timestamp)
        let count = FixedSchema(.int)
        let condition = FixedSchema(
            object: "kubernetes.NamespaceCondition", ["status": .string, "type": .string, "lastTransitionTime": time, "message": .string, "reason": .string])
        let metadata = FixedSchema(
            object: "kubernetes.NamespaceMetadata",
            [
                "name": .string, "generateName": .string, "namespace": .string, "labels": labels, "annotations": labels, "UID": .string,
                "creationTimestamp": time, "deletionGracePeriodSeconds": count, "deletionTimestamp": time, "generation": count, "resourceVersion": .string,
                "finalizers": texts,
            ])
        return FixedSchema(
            object: "kubernetes.Namespace",
            [
                "metadata": metadata, "spec": FixedSchema(object: "kubernetes.NamespaceSpec", ["finalizers": texts]),
                "status": FixedSchema(object: "kubernetes.NamespaceStatus", ["conditions": FixedSchema(listOf: condition), "phase": .string]),
            ])
    }()
}

/// What the variables of admission hold for one request.
package struct AdmissionBindings: Sendable {
    package var object: Node = .null
    package var oldObject: Node = .null
    package var namespaceObject: Node = .null
    package var request: Node = .emptyMap
    package var params: Node = .null
    package var authorizer: Value = .null
    package var requestResource: Value = .null
    package var variables: Value = .null
    package init() {}

    func value(_ name: String) -> Value {
        switch name {
        case "object": Value(object)
        case "oldObject": Value(oldObject)
        // Evaluation sees plain objects: times are text in them.
        case "namespaceObject": Value(namespaceObject)
        case "request": Value(request)
        case "params": Value(params)
        case "authorizer": authorizer
        case "authorizer.requestResource": requestResource
        case "variables": variables
        default: .failure(EvaluationError("no such attribute(s): \(name)"))
        }
    }
}

/// An expression of admission, compiled.
package struct AdmissionProgram: Sendable {
    package let text: String
    let program: Program
    let variables: [String]
    package var type: CELType { program.type }

    package func run(_ bindings: AdmissionBindings, limit: UInt64 = Program.callLimit) -> Program.Outcome {
        program.run(variables.map { bindings.value($0) }, limit: limit)
    }
}

extension AdmissionBindings {
    /// Sets `authorizer`, and `authorizer.requestResource` for the resource of the request.
    package mutating func setAuthorizer(
        _ authorizer: any ExpressionAuthorizer, group: String, resource: String, subresource: String, namespace: String, name: String
    ) {
        self.authorizer = .opaque(AuthorizerValue(authorizer))
        var question = AuthorizationQuestion()
        question.group = group
        question.resource = resource
        question.subresource = subresource
        question.namespace = namespace
        question.name = name
        requestResource = .opaque(AuthorizerValue(authorizer, resource: question))
    }
}
