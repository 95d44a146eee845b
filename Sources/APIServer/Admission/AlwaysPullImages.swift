import Machinery
import Tree

/// Has every pod ask the registry for its images, so that nobody runs a private image that somebody else pulled. Off by default.
struct AlwaysPullImages: AdmissionPlugin {
    var name: String { "AlwaysPullImages" }
    private static let lists = ["initContainers", "containers", "ephemeralContainers"]

    func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        for list in AlwaysPullImages.lists {
            for index in request.object["spec"][list].list.indices { request.object["spec"][list][index]["imagePullPolicy"] = "Always" }
        }
        for (index, volume) in request.object["spec"]["volumes"].list.enumerated() where !volume["image"].isNull {
            request.object["spec"]["volumes"][index]["image"]["pullPolicy"] = "Always"
        }
    }

    func validate(_ request: AdmissionRequest) async throws(APIError) {
        var findings: [String] = []
        func check(_ policy: Node, _ path: String) {
            guard policy.string != "Always" else { return }
            findings.append(FieldError.notSupported(path, quoted: policy.string ?? "", supported: ["Always"]).description)
        }
        for list in AlwaysPullImages.lists {
            for (index, container) in request.object["spec"][list].list.enumerated() { check(container["imagePullPolicy"], "spec.\(list)[\(index)].imagePullPolicy") }
        }
        for (index, volume) in request.object["spec"]["volumes"].list.enumerated() where !volume["image"].isNull {
            check(volume["image"]["pullPolicy"], "spec.volumes[\(index)].image.pullPolicy")
        }
        guard findings.isEmpty else { throw request.forbidden(findings.joined(separator: ", ")) }
    }

    /// Pods that are made, and those that get an image which they did not have.
    func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool {
        guard request.resource.collection == "pods", request.subresource.isEmpty else { return false }
        guard request.operation == .update else { return request.operation == .create }
        func images(_ pod: Node) -> Set<String> { Set(AlwaysPullImages.lists.flatMap { pod["spec"][$0].list.compactMap { $0["image"].string } }) }
        return !images(request.object).isSubset(of: images(request.old))
    }
}

/// Refuses Services that take addresses outside the cluster, except those they have already. Off by default.
struct DenyServiceExternalIPs: AdmissionPlugin {
    var name: String { "DenyServiceExternalIPs" }

    func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .validating && request.resource.collection == "services" }

    func validate(_ request: AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == "services", request.subresource.isEmpty, !request.object.isNull else { return }
        func addresses(_ service: Node) -> Set<String> { Set(service["spec"]["externalIPs"].stringList) }
        guard !addresses(request.object).isSubset(of: addresses(request.old)) else { return }
        throw request.forbidden("Use of external IPs is denied by admission control.")
    }
}

/// Lets nothing through. Upstream has it for tests of other plugins.
struct AlwaysDeny: AdmissionPlugin {
    var name: String { "AlwaysDeny" }
    func validate(_ request: AdmissionRequest) async throws(APIError) { throw request.forbidden("admission control is denying all modifications") }
}
