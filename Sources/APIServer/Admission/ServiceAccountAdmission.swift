import Core
package import Machinery
package import Store
import Tree

/// Every pod runs as an account that exists, and has a token of it mounted unless it or the account says otherwise.
package struct ServiceAccountAdmission: AdmissionPlugin {
    private let store: Store
    package init(_ store: Store) { self.store = store }
    package var name: String { "ServiceAccount" }

    private static let mountPath = "/var/run/secrets/kubernetes.io/serviceaccount"
    private static let mirror = "kubernetes.io/config.mirror"
    /// The lifetime that upstream writes: an hour, and seven seconds by which its own requests are told apart.
    private static let lifetime: Int64 = 3607

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { ServiceAccountAdmission.isPodCreation(request) }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard ServiceAccountAdmission.isPodCreation(request), request.object.annotations[ServiceAccountAdmission.mirror] == nil else { return }
        var pod = request.object
        if (pod["spec"]["serviceAccountName"].string ?? "").isEmpty { pod["spec"]["serviceAccountName"] = "default" }
        // The name's old place is filled with every decode; what is stored must not differ from it.
        pod["spec"]["serviceAccount"] = pod["spec"]["serviceAccountName"]
        let account = try await account(of: pod, request)
        if pod["spec"]["automountServiceAccountToken"].bool ?? account["automountServiceAccountToken"].bool ?? true { mountToken(&pod) }
        if pod["spec"]["imagePullSecrets"].list.isEmpty {
            let secrets = account["imagePullSecrets"].list
            if !secrets.isEmpty { pod["spec"]["imagePullSecrets"] = .list(secrets.map { ["name": $0["name"]] }) }
        }
        request.object = pod
    }

    package func validate(_ request: AdmissionRequest) async throws(APIError) {
        guard ServiceAccountAdmission.isPodCreation(request) else { return }
        let pod = request.object
        if pod.annotations[ServiceAccountAdmission.mirror] != nil { return try checkMirror(request) }
        guard !(pod["spec"]["serviceAccountName"].string ?? "").isEmpty else {
            throw request.forbidden("no service account specified for pod \(request.namespace)/\(pod.name)")
        }
        let account = try await account(of: pod, request)
        if account.annotations["kubernetes.io/enforce-mountable-secrets"] == "true", let why = ServiceAccountAdmission.unreferenced(pod, account) {
            throw request.forbidden(why)
        }
    }

    private static func isPodCreation(_ request: AdmissionRequest) -> Bool {
        request.resource.collection == "pods" && request.operation == .create && request.subresource.isEmpty
    }

    /// The default account of a namespace that was only just made gets a moment to appear.
    private func account(of pod: Node, _ request: AdmissionRequest) async throws(APIError) -> Node {
        let name = pod["spec"]["serviceAccountName"].string ?? ""
        let key = Key("serviceaccounts", namespace: request.namespace, name: name)
        if let record = store.get(key) { return try record.sharedNode() }
        if name == "default", let record = await Arrival.wait(for: key, in: store, atMost: .seconds(1)) { return try record.sharedNode() }
        throw request.forbidden("error looking up service account \(request.namespace)/\(name): serviceaccount \"\(name)\" not found")
    }

    private func mountToken(_ pod: inout Node) {
        let existing = pod["spec"]["volumes"].list.compactMap { $0["name"].string }.first { $0.hasPrefix("kube-api-access-") }
        let volume = existing ?? "kube-api-access-" + Identifier.suffix()
        var isNeeded = false
        for field in ["initContainers", "containers"] {
            var containers = pod["spec"][field].list
            for index in containers.indices {
                if containers[index]["volumeMounts"].list.contains(where: { $0["mountPath"].string == ServiceAccountAdmission.mountPath }) { continue }
                containers[index]["volumeMounts"].append(
                    ["name": .string(volume), "readOnly": true, "mountPath": .string(ServiceAccountAdmission.mountPath)])
                isNeeded = true
            }
            if !containers.isEmpty { pod["spec"][field] = .list(containers) }
        }
        guard isNeeded, existing == nil else { return }
        let sources: Node = [
            ["serviceAccountToken": ["expirationSeconds": .int(ServiceAccountAdmission.lifetime), "path": "token"]],
            ["configMap": ["name": "kube-root-ca.crt", "items": [["key": "ca.crt", "path": "ca.crt"]]]],
            ["downwardAPI": ["items": [["path": "namespace", "fieldRef": ["apiVersion": "v1", "fieldPath": "metadata.namespace"]]]]],
        ]
        pod["spec"]["volumes"].append(["name": .string(volume), "projected": ["sources": sources, "defaultMode": 420]])
    }

    private func checkMirror(_ request: AdmissionRequest) throws(APIError) {
        let spec = request.object["spec"]
        if !(spec["serviceAccountName"].string ?? "").isEmpty { throw request.forbidden("a mirror pod may not reference service accounts") }
        for volume in spec["volumes"].list {
            if !volume["secret"].isNull { throw request.forbidden("a mirror pod may not reference secrets") }
            for source in volume["projected"]["sources"].list {
                if !source["secret"].isNull { throw request.forbidden("a mirror pod may not reference secrets") }
                if !source["serviceAccountToken"].isNull { throw request.forbidden("a mirror pod may not use ServiceAccountToken volume projections") }
            }
        }
        for container in spec["containers"].list + spec["initContainers"].list {
            let usesSecret = container["env"].list.contains { !$0["valueFrom"]["secretKeyRef"].isNull }
                || container["envFrom"].list.contains { !$0["secretRef"].isNull }
            if usesSecret { throw request.forbidden("a mirror pod may not reference secrets") }
        }
    }

    /// The first secret of the pod that an account which limits its pods to its own secrets does not list.
    private static func unreferenced(_ pod: Node, _ account: Node) -> String? {
        let listed = Set(account["secrets"].list.compactMap { $0["name"].string })
        func refusal(_ what: String, _ secret: Node) -> String? {
            guard let secret = secret.string, !listed.contains(secret) else { return nil }
            return "\(what) secret.secretName=\"\(secret)\" is not allowed because service account \(account.name) does not reference that secret"
        }
        for volume in pod["spec"]["volumes"].list {
            if let why = refusal("volume with", volume["secret"]["secretName"]) { return why }
        }
        for (field, word) in [("initContainers", "init container"), ("containers", "container")] {
            for container in pod["spec"][field].list {
                let name = container["name"].string ?? ""
                for env in container["env"].list {
                    let variable = env["name"].string ?? ""
                    if let why = refusal("\(word) \(name) with envVar \(variable) referencing", env["valueFrom"]["secretKeyRef"]["name"]) { return why }
                }
                for source in container["envFrom"].list {
                    if let why = refusal("\(word) \(name) with envFrom referencing", source["secretRef"]["name"]) { return why }
                }
            }
        }
        let pulls = Set(account["imagePullSecrets"].list.compactMap { $0["name"].string })
        for (index, secret) in pod["spec"]["imagePullSecrets"].list.enumerated() {
            let name = secret["name"].string ?? ""
            if !pulls.contains(name) {
                return "imagePullSecrets[\(index)].name=\"\(name)\" is not allowed because service account \(account.name) does not reference that imagePullSecret"
            }
        }
        return nil
    }
}
