import Machinery

/// Which strategy a kind follows. Kinds that need code of their own register it here, one line each; versions share.
package enum KindStrategies {
    package static func of(group: String, kind: String) -> any KindStrategy {
        table["\(group)/\(kind)"] ?? standard
    }

    /// What all custom resources follow.
    package static let custom: any KindStrategy = traits {
        $0.hasGeneration = true
        $0.allowsUnconditionalUpdate = false
    }

    private static let standard = StandardStrategy()

    private static func traits(_ edit: (inout KindTraits) -> Void) -> StandardStrategy {
        var traits = KindTraits()
        edit(&traits)
        return StandardStrategy(traits)
    }

    private static let generation = traits { $0.hasGeneration = true }
    private static let pathSegment = traits { $0.nameRule = .pathSegment }

    private static let table: [String: any KindStrategy] = [
        "/Namespace": NamespaceStrategy(),
        "/ServiceAccount": traits { $0.returnsDeletedObject = true },
        "/Endpoints": traits { $0.allowsCreateOnUpdate = true },
        "/Event": traits { $0.allowsCreateOnUpdate = true },
        "events.k8s.io/Event": traits { $0.allowsCreateOnUpdate = true },
        "/LimitRange": traits { $0.allowsCreateOnUpdate = true },
        "/Pod": PodStrategy(),
        "/PersistentVolume": PersistentVolumeStrategy(),
        "/PersistentVolumeClaim": PersistentVolumeClaimStrategy(),
        "/ResourceQuota": traits { $0.returnsDeletedObject = true },
        "/PodTemplate": traits { $0.returnsDeletedObject = true; $0.hasGeneration = true },
        "/ReplicationController": ReplicaStrategy(isController: true),
        "apps/Deployment": DeploymentStrategy(),
        "apps/ReplicaSet": ReplicaStrategy(),
        "apps/StatefulSet": StatefulSetStrategy(),
        "apps/DaemonSet": DaemonSetStrategy(),
        "batch/Job": JobStrategy(),
        "batch/CronJob": CronJobStrategy(),
        "coordination.k8s.io/Lease": traits { $0.allowsCreateOnUpdate = true; $0.allowsUnconditionalUpdate = false },
        "discovery.k8s.io/EndpointSlice": generation,
        "networking.k8s.io/Ingress": generation,
        "networking.k8s.io/NetworkPolicy": generation,
        "networking.k8s.io/IngressClass": generation,
        "policy/PodDisruptionBudget": generation,
        "flowcontrol.apiserver.k8s.io/FlowSchema": generation,
        "flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": generation,
        "apiextensions.k8s.io/CustomResourceDefinition": CustomResourceDefinitionStrategy(),
        "admissionregistration.k8s.io/ValidatingWebhookConfiguration": generation,
        "admissionregistration.k8s.io/MutatingWebhookConfiguration": generation,
        "admissionregistration.k8s.io/ValidatingAdmissionPolicy": generation,
        "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": generation,
        "storage.k8s.io/StorageClass": traits { $0.returnsDeletedObject = true },
        "storage.k8s.io/CSIDriver": traits { $0.hasGeneration = true; $0.returnsDeletedObject = true },
        "rbac.authorization.k8s.io/Role": pathSegment,
        "rbac.authorization.k8s.io/RoleBinding": pathSegment,
        "rbac.authorization.k8s.io/ClusterRole": pathSegment,
        "rbac.authorization.k8s.io/ClusterRoleBinding": pathSegment,
    ]
}
