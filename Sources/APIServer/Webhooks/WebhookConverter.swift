import Core
import Machinery
import Synchronization
import Schema
import Tree

/// Converts custom resources by asking the webhook of their definition. Only labels and annotations of the metadata are the webhook's.
final class WebhookConverter: CustomConverter {
    private static let timeout = Duration.seconds(30)
    private static let kept: Set<String> = ["labels", "annotations"]

    private let target: WebhookTarget
    private let reviewVersions: [String]
    private let client: WebhookClient

    private let versions = Mutex<[String: CustomVersion]>([:])

    func learn(_ apiVersion: String, _ version: CustomVersion) { versions.withLock { $0[apiVersion] = version } }
    func version(_ apiVersion: String) -> CustomVersion? { versions.withLock { $0[apiVersion] } }

    init(_ webhook: Node, client: WebhookClient) {
        target = WebhookTarget(webhook["clientConfig"])
        reviewVersions = webhook["conversionReviewVersions"].stringList
        self.client = client
    }

    func convert(_ objects: [Node], to apiVersion: String) async throws(APIError) -> [Node] {
        let places = objects.indices.filter { objects[$0].apiVersion != apiVersion }
        guard let first = places.first else { return objects }
        let subject = "conversion webhook for \(objects[first].apiVersion), Kind=\(objects[first].kind)"
        let answers: [Node]
        do throws(WebhookFailure) { answers = try await ask(places.map { objects[$0] }, apiVersion) } catch {
            throw WebhookConverter.failure("\(subject) failed: \(error.description)")
        }
        guard answers.count == places.count else {
            throw WebhookConverter.failure("\(subject) returned \(answers.count) objects, expected \(places.count)")
        }
        var out = objects
        for (index, place) in places.enumerated() {
            do throws(WebhookFailure) { out[place] = try WebhookConverter.checked(answers[index], objects[place], apiVersion) } catch {
                throw WebhookConverter.failure("\(subject) returned invalid converted object at index \(index): \(error.description)")
            }
        }
        return out
    }

    private static func failure(_ text: String) -> APIError { APIError(code: 500, reason: "", message: text) }

    private func ask(_ objects: [Node], _ apiVersion: String) async throws(WebhookFailure) -> [Node] {
        guard let version = reviewVersions.first(where: { $0 == "v1" || $0 == "v1beta1" }) else {
            throw WebhookFailure("no supported conversion review versions")
        }
        let uid = Identifier.uuid()
        let review: Node = [
            "kind": "ConversionReview", "apiVersion": .string("apiextensions.k8s.io/\(version)"),
            "request": ["uid": .string(uid), "desiredAPIVersion": .string(apiVersion), "objects": .list(objects)],
        ]
        let answer = try await client.post(review, to: target, timeout: WebhookConverter.timeout)
        if version == "v1", answer.apiVersion != "apiextensions.k8s.io/v1" || answer.kind != "ConversionReview" {
            throw WebhookFailure("expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got \(answer.apiVersion), Kind=\(answer.kind)")
        }
        let response = answer["response"]
        guard case .map = response else { throw WebhookFailure("no response provided") }
        let given = response["uid"].string ?? ""
        if version == "v1", given != uid { throw WebhookFailure("expected response.uid=\(FieldError.quoted(uid)), got \(FieldError.quoted(given))") }
        let status = response["result"]["status"].string ?? ""
        guard status == "Success" else {
            let message = response["result"]["message"].string ?? ""
            throw WebhookFailure(message.isEmpty ? "response.result.status was '\(status)', not 'Success'" : message)
        }
        return response["convertedObjects"].list
    }

    /// The answer with the metadata of the object that it stands for.
    private static func checked(_ answer: Node, _ original: Node, _ apiVersion: String) throws(WebhookFailure) -> Node {
        guard answer.apiVersion == apiVersion else {
            throw WebhookFailure("invalid groupVersion (expected \(apiVersion), received \(answer.apiVersion))")
        }
        for (what, before, now) in [
            ("kind", original.kind, answer.kind), ("name", original.name, answer.name), ("namespace", original.namespace, answer.namespace),
            ("UID", original.uid, answer.uid),
        ] where before != now {
            throw WebhookFailure("must have the same \(what): \(before) != \(now)")
        }
        guard case .map = answer["metadata"] else { throw WebhookFailure("missing metadata in converted object") }
        var metadata = original["metadata"]
        for field in kept {
            let given = answer["metadata"][field]
            for (key, value) in given.fields where value.string == nil {
                throw WebhookFailure("metadata.\(field)[\(key)] must be a string in converted object")
            }
            metadata[field] = given.isNull ? .null : given
        }
        var out = answer
        out["metadata"] = metadata
        return out
    }
}
