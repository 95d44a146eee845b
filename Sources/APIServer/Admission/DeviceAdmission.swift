import Kinds
package import Machinery
package import Store
import Tree

/// Who may have what of devices: access as an administrator in namespaces that are marked for it only; who binds claims and who
/// writes of a driver's devices must be allowed that beside the status itself.
package struct DeviceAdmission: AdmissionPlugin {
    private static let group = "resource.k8s.io"
    private static let adminLabel = "resource.kubernetes.io/admin-access"

    private let store: Store
    private let authorizer: RBACAuthorizer

    package init(_ store: Store, _ authorizer: RBACAuthorizer) {
        self.store = store
        self.authorizer = authorizer
    }

    /// Upstream has these rules in its storage, not in a plugin.
    package var name: String { "DynamicResources" }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .validating && request.resource.group == DeviceAdmission.group }

    package func validate(_ request: AdmissionRequest) async throws(APIError) {
        guard request.resource.group == DeviceAdmission.group else { return }
        var errors: [FieldError] = []
        switch (request.resource.plural, request.operation, request.subresource) {
        case ("resourceclaims", .create, ""): errors = adminErrors(request.object["spec"]["devices"]["requests"].list, request.namespace)
        case ("resourceclaimtemplates", .create, ""): errors = adminErrors(request.object["spec"]["spec"]["devices"]["requests"].list, request.namespace)
        case ("resourceclaims", .update, "status"):
            errors = adminStatusErrors(request) + bindingErrors(request)
            if !request.object["status"]["allocation"].isNull { errors += deviceErrors(request) }
        default: return
        }
        if !errors.isEmpty { throw APIError.invalid(kind: request.resource.kind, group: DeviceAdmission.group, name: request.name, errors: errors) }
    }

    // MARK: - Administrators

    private func adminErrors(_ requests: [Node], _ namespace: String) -> [FieldError] {
        guard let index = requests.firstIndex(where: { $0["exactly"]["adminAccess"].bool == true }) else { return [] }
        return adminErrors("spec.devices.requests[\(index)].adminAccess", namespace)
    }

    private func adminErrors(_ path: String, _ namespace: String) -> [FieldError] {
        let object = try? store.get(Key("namespaces", namespace: "", name: namespace))?.sharedNode()
        if object?.labels[DeviceAdmission.adminLabel] == "true" { return [] }
        return [.forbidden(path, "admin access to devices requires the `\(DeviceAdmission.adminLabel): true` label on the containing namespace")]
    }

    private func adminStatusErrors(_ request: AdmissionRequest) -> [FieldError] {
        func granted(_ claim: Node) -> Int? { claim["status"]["allocation"]["devices"]["results"].list.firstIndex { $0["adminAccess"].bool == true } }
        guard granted(request.old) == nil, let index = granted(request.object) else { return [] }
        return adminErrors("status.allocation.devices.results[\(index)].adminAccess", request.namespace)
    }

    // MARK: - Permissions

    private func verb(_ request: AdmissionRequest) -> String { request.options["kind"].string == "UpdateOptions" ? "update" : "patch" }

    private func attributes(_ request: AdmissionRequest, _ verb: String, _ subresource: String, namespace: String = "", name: String = "") -> Attributes {
        Attributes(
            user: request.user, verb: verb, group: DeviceAdmission.group, resource: "resourceclaims", subresource: subresource, namespace: namespace, name: name)
    }

    private func refusal(_ attributes: Attributes) -> String {
        let name = attributes.name.isEmpty ? "" : " \(FieldError.quoted(attributes.name))"
        return "resourceclaims.\(DeviceAdmission.group)\(name) is forbidden: \(attributes.refusal)"
    }

    private func bindingErrors(_ request: AdmissionRequest) -> [FieldError] {
        let (new, old) = (request.object["status"], request.old["status"])
        if new["allocation"] == old["allocation"], new["reservedFor"] == old["reservedFor"] { return [] }
        let asked = attributes(request, verb(request), "binding")
        if authorizer.allows(asked) { return [] }
        let words = "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", verb=\"\(asked.verb)\" permission: "
        return [.forbidden("status.allocation", words + refusal(asked))]
    }

    private func deviceErrors(_ request: AdmissionRequest) -> [FieldError] {
        let drivers = DeviceAdmission.changedDrivers(request.object["status"]["devices"].list, request.old["status"]["devices"].list)
        guard !drivers.isEmpty else { return [] }
        var verbs = ["arbitrary-node:" + verb(request)]
        let node = DeviceAdmission.node(request.object["status"]["allocation"])
        if let node, request.user.name.hasPrefix("system:serviceaccount:"), request.user.extra["authentication.kubernetes.io/node-name"] == [node] {
            verbs.insert("associated-node:" + verb(request), at: 0)
        }
        return drivers.compactMap { driver in
            let asked = verbs.map { attributes(request, $0, "driver", namespace: request.namespace, name: driver) }
            if asked.contains(where: authorizer.allows) { return nil }
            let words = "changing status.devices requires resource=\"resourceclaims/driver\", verb=\"[\(verbs.joined(separator: " "))]\" permission: "
            return .forbidden("status.devices", words + refusal(asked[0]))
        }
    }

    private static func changedDrivers(_ new: [Node], _ old: [Node]) -> [String] {
        func key(_ device: Node) -> [String] { ["driver", "pool", "device", "shareID"].map { device[$0].string ?? "" } }
        let before = Dictionary(old.map { (key($0), $0) }) { first, _ in first }
        let after = Dictionary(new.map { (key($0), $0) }) { first, _ in first }
        let changed = after.filter { before[$0.key] != $0.value }.map(\.key) + before.keys.filter { after[$0] == nil }
        return Set(changed.map { $0[0] }).sorted()
    }

    /// The one node where the devices are, if there is just one.
    private static func node(_ allocation: Node) -> String? {
        let terms = allocation["nodeSelector"]["nodeSelectorTerms"].list
        guard terms.count == 1, terms[0]["matchExpressions"].isEmpty, terms[0]["matchFields"].list.count == 1 else { return nil }
        let field = terms[0]["matchFields"][0]
        let values = field["values"].stringList
        return field["key"].string == "metadata.name" && field["operator"].string == "In" && values.count == 1 ? values[0] : nil
    }
}
