import Core
import Machinery
import Schema
import Tree

/// The question that goes to a webhook and the checks of what comes back.
struct AdmissionReview: Sendable {
    /// What a webhook decided.
    struct Answer: Sendable {
        var isAllowed = false
        /// A `Status`, or null.
        var status = Node.null
        var patch: Node?
        var patchType = ""
        var warnings: [String] = []
        var auditAnnotations: [String: String] = [:]
    }

    let uid = Identifier.uuid()
    let version: String
    let document: Node

    /// Nil where the webhook understands no version that we know.
    init?(_ invocation: WebhookMatching.Invocation, _ request: AdmissionRequest, object: Node, old: Node) {
        guard let version = invocation.webhook.reviewVersions.first(where: { $0 == "v1" || $0 == "v1beta1" }) else { return nil }
        self.version = version
        var out: Node = [
            "uid": .string(uid), "kind": AdmissionReview.node(invocation.kind), "resource": AdmissionReview.node(invocation.resource.gvr),
        ]
        if !request.subresource.isEmpty { out["subResource"] = .string(request.subresource) }
        out["requestKind"] = AdmissionReview.node(request.kind)
        out["requestResource"] = AdmissionReview.node(request.resource.gvr)
        if !request.subresource.isEmpty { out["requestSubResource"] = .string(request.subresource) }
        if !request.name.isEmpty { out["name"] = .string(request.name) }
        let namespace = WebhookMatching.namespace(request)
        if !namespace.isEmpty { out["namespace"] = .string(namespace) }
        out["operation"] = .string(request.operation.rawValue)
        out["userInfo"] = request.user.node
        for (key, value) in [("object", object), ("oldObject", old)] {
            if value.isNull { out.setNull(key) } else { out[key] = value }
        }
        out["dryRun"] = .bool(request.isDryRun)
        if request.options.isNull { out.setNull("options") } else { out["options"] = request.options }
        document = ["kind": "AdmissionReview", "apiVersion": .string("admission.k8s.io/\(version)"), "request": out]
    }

    private static func node(_ gvk: GroupVersionKind) -> Node {
        ["group": .string(gvk.group), "version": .string(gvk.version), "kind": .string(gvk.kind)]
    }

    private static func node(_ gvr: GroupVersionResource) -> Node {
        ["group": .string(gvr.group), "version": .string(gvr.version), "resource": .string(gvr.resource)]
    }

    /// Reads an answer. `mutating`: whether it may hold a patch. Throws what is wrong with it.
    func read(_ answer: Node, mutating: Bool) throws(WebhookFailure) -> Answer {
        func invalid(_ why: String) -> WebhookFailure { WebhookFailure("received invalid webhook response: \(why)") }
        let response = answer["response"]
        guard case .map = response else { throw invalid("webhook response was absent") }
        var out = Answer()
        let bytes = response["patch"].string ?? ""
        let type = response["patchType"].string
        if version == "v1" {
            let given = response["uid"].string ?? ""
            guard given == uid else { throw invalid("expected response.uid=\(FieldError.quoted(uid)), got \(FieldError.quoted(given))") }
            guard answer.apiVersion == "admission.k8s.io/v1", answer.kind == "AdmissionReview" else {
                let found = answer.apiVersion.contains("/") ? answer.apiVersion : "/" + answer.apiVersion
                throw invalid("expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got \(found), Kind=\(answer.kind)")
            }
            if mutating {
                if !bytes.isEmpty, type == nil { throw invalid("webhook returned response.patch but not response.patchType") }
                if bytes.isEmpty, type != nil { throw invalid("webhook returned response.patchType but not response.patch") }
                if type == "" { throw invalid("webhook returned invalid response.patchType of \"\"") }
            } else {
                if !bytes.isEmpty { throw invalid("validating webhook may not return response.patch") }
                if type != nil { throw invalid("validating webhook may not return response.patchType") }
            }
        }
        out.isAllowed = response["allowed"].bool ?? false
        out.status = response["status"]
        out.warnings = response["warnings"].stringList
        out.auditAnnotations = response["auditAnnotations"].stringMap
        guard mutating, !bytes.isEmpty else { return out }
        // v1beta1 knew one type of patch only.
        out.patchType = version == "v1" ? type ?? "" : "JSONPatch"
        guard let text = Base64.decode(bytes), let patch = try? JSONReader.read(text) else {
            throw WebhookFailure("received undecodable patch in webhook response: the patch is no JSON")
        }
        out.patch = patch
        return out
    }

    /// What the client is told of a refusal.
    static func refusal(_ webhook: String, _ status: Node) -> APIError {
        let denied = "admission webhook \(FieldError.quoted(webhook)) denied the request"
        var status = status
        let message = status["message"].string ?? ""
        let reason = status["reason"].string ?? ""
        if !message.isEmpty {
            status["message"] = .string("\(denied): \(message)")
        } else {
            status["message"] = .string(reason.isEmpty ? "\(denied) without explanation" : "\(denied): \(reason)")
        }
        if (status["code"].int ?? 0) < 400 { status["code"] = 400 }
        return APIError(status: status)
    }
}
