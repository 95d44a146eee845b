import Schema

/// The places of built-in groups and versions among all: what upstream registers for its own.
enum APIServicePriorities {
    static func of(_ groupVersion: GroupVersion) -> (group: Int64, version: Int64)? {
        guard let group = groups[groupVersion.group] else { return nil }
        return (group, versions["\(groupVersion.group)/\(groupVersion.version)"] ?? usual(groupVersion))
    }

    private static func usual(_ groupVersion: GroupVersion) -> Int64 {
        switch groupVersion.version {
        case "v1": groupVersion.group.isEmpty ? 1 : 15
        case "v2": 30
        case let version where version.contains("beta"): 12
        default: 9
        }
    }

    private static let groups: [String: Int64] = [
        "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600, "autoscaling": 17500,
        "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100, "rbac.authorization.k8s.io": 17000,
        "storage.k8s.io": 16800, "apiextensions.k8s.io": 16700, "admissionregistration.k8s.io": 16700, "scheduling.k8s.io": 16600,
        "coordination.k8s.io": 16500, "node.k8s.io": 16300, "discovery.k8s.io": 16200, "flowcontrol.apiserver.k8s.io": 16100,
        "internal.apiserver.k8s.io": 16000, "resource.k8s.io": 16200, "storagemigration.k8s.io": 15800,
    ]

    private static let versions: [String: Int64] = [
        "flowcontrol.apiserver.k8s.io/v1": 21, "resource.k8s.io/v1": 21, "flowcontrol.apiserver.k8s.io/v1beta3": 18, "certificates.k8s.io/v1beta1": 9,
        "coordination.k8s.io/v1beta1": 13, "coordination.k8s.io/v1alpha2": 12, "certificates.k8s.io/v1alpha1": 1, "storage.k8s.io/v1beta1": 9,
        "networking.k8s.io/v1beta1": 9, "storagemigration.k8s.io/v1beta1": 9, "scheduling.k8s.io/v1alpha2": 2,
    ]
}
