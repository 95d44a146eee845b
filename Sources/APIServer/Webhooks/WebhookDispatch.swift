import Core
import Logging
import Machinery
import Schema
import Store
import Tree

/// What mutating and validating webhooks have in common: asking one, and what its failure means.
struct WebhookDispatch: Sendable {
    let matching: WebhookMatching
    let client: WebhookClient
    let conversion: any VersionConversion
    let log = Logger(label: "webhooks")

    /// How a call went wrong. A refusal is none of these: it is an answer.
    enum Trouble: Error {
        /// The webhook could not be asked; its failure policy says what that means.
        case calling(WebhookFailure)
        case other(APIError)
    }

    /// Asks a webhook; throws its refusal.
    func ask(
        _ invocation: WebhookMatching.Invocation, _ request: AdmissionRequest, object: Node, old: Node, mutating: Bool
    ) async throws(Trouble) -> AdmissionReview.Answer {
        let webhook = invocation.webhook
        if request.isDryRun, webhook.sideEffects != "None", webhook.sideEffects != "NoneOnDryRun" {
            throw .other(.badRequest("admission webhook \(FieldError.quoted(webhook.name)) does not support dry run"))
        }
        let answer: AdmissionReview.Answer
        do throws(WebhookFailure) {
            guard let review = AdmissionReview(invocation, request, object: object, old: old) else {
                throw WebhookFailure("could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)")
            }
            if case .none = webhook.target.place {
                throw WebhookFailure("could not get REST client: webhook configuration must have either service or URL")
            }
            answer = try review.read(try await post(review.document, webhook), mutating: mutating)
        } catch {
            throw .calling(error)
        }
        for (key, value) in answer.auditAnnotations { request.annotate("\(webhook.name)/\(key)", value) }
        for warning in answer.warnings { request.warn(warning) }
        guard answer.isAllowed else { throw .other(AdmissionReview.refusal(webhook.name, answer.status)) }
        return answer
    }

    private func post(_ document: Node, _ webhook: AdmissionWebhook) async throws(WebhookFailure) -> Node {
        do throws(WebhookFailure) { return try await client.post(document, to: webhook.target, timeout: webhook.timeout) } catch {
            throw WebhookFailure("failed to call webhook: \(error.description)")
        }
    }

    /// Nil where the request goes on all the same.
    func outcome(_ trouble: Trouble, _ webhook: AdmissionWebhook, _ request: AdmissionRequest, annotation: String) -> APIError? {
        switch trouble {
        case .other(let error): return error
        case .calling(let failure):
            let text = "failed calling webhook \(FieldError.quoted(webhook.name)): \(failure.description)"
            log.warning("a webhook could not be called", metadata: ["webhook": "\(webhook.name)", "error": "\(failure.description)", "ignored": "\(webhook.ignoresFailure)"])
            guard webhook.ignoresFailure else { return .internalError(text) }
            request.annotate(annotation, webhook.name)
            return nil
        }
    }

    // MARK: - Versions

    /// An object of the request in the version that the webhook wants.
    func converted(_ object: Node, from: ServedResource, to: ServedResource) async throws(APIError) -> Node {
        try await conversion.between(object, from: from, to: to)
    }
}
