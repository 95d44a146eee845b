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

    private static let table: [String: any KindStrategy] = {
        var table = core
        for family in [workloads, networking, cluster] { table.merge(family) { _, new in new } }
        return table
    }()

    private static let core: [String: any KindStrategy] = [
        "/Namespace": NamespaceStrategy(),
        "/Pod": PodStrategy(),
        "/PodTemplate": PodTemplateStrategy(),
        "/ConfigMap": ConfigMapStrategy(),
        "/Secret": SecretStrategy(),
        "/ServiceAccount": traits { $0.returnsDeletedObject = true },
        "/Node": NodeStrategy(),
        "/Event": EventStrategy(),
        "events.k8s.io/Event": EventStrategy(),
        "/LimitRange": LimitRangeStrategy(),
        "/ResourceQuota": ResourceQuotaStrategy(),
        "/PersistentVolume": PersistentVolumeStrategy(),
        "/PersistentVolumeClaim": PersistentVolumeClaimStrategy(),
    ]

    private static let workloads: [String: any KindStrategy] = [
        "/ReplicationController": ReplicaStrategy(isController: true),
        "apps/Deployment": DeploymentStrategy(),
        "apps/ReplicaSet": ReplicaStrategy(),
        "apps/StatefulSet": StatefulSetStrategy(),
        "apps/DaemonSet": DaemonSetStrategy(),
        "apps/ControllerRevision": ControllerRevisionStrategy(),
        "batch/Job": JobStrategy(),
        "batch/CronJob": CronJobStrategy(),
        "autoscaling/HorizontalPodAutoscaler": AutoscalerStrategy(),
        "policy/PodDisruptionBudget": DisruptionBudgetStrategy(),
        "scheduling.k8s.io/PriorityClass": PriorityClassStrategy(),
    ]

    private static let networking: [String: any KindStrategy] = [
        "/Service": ServiceStrategy(),
        "/Endpoints": EndpointsStrategy(),
        "discovery.k8s.io/EndpointSlice": EndpointSliceStrategy(),
        "networking.k8s.io/Ingress": IngressStrategy(),
        "networking.k8s.io/IngressClass": IngressClassStrategy(),
        "networking.k8s.io/NetworkPolicy": NetworkPolicyStrategy(),
        "networking.k8s.io/IPAddress": IPAddressStrategy(),
        "networking.k8s.io/ServiceCIDR": ServiceCIDRStrategy(),
    ]

    private static let fixed = { @Sendable (traits: inout KindTraits) in
        traits.hasGeneration = true
        traits.allowsUnconditionalUpdate = false
    }

    private static let policy: KindTraits = {
        var traits = KindTraits()
        fixed(&traits)
        traits.guardMetadata()
        return traits
    }()

    private static let cluster: [String: any KindStrategy] = [
        "coordination.k8s.io/Lease": LeaseStrategy(),
        "coordination.k8s.io/LeaseCandidate": traits { $0.allowsCreateOnUpdate = true; $0.allowsUnconditionalUpdate = false },
        "rbac.authorization.k8s.io/Role": RoleStrategy(isNamespaced: true),
        "rbac.authorization.k8s.io/ClusterRole": RoleStrategy(isNamespaced: false),
        "rbac.authorization.k8s.io/RoleBinding": RoleBindingStrategy(isNamespaced: true),
        "rbac.authorization.k8s.io/ClusterRoleBinding": RoleBindingStrategy(isNamespaced: false),
        "certificates.k8s.io/CertificateSigningRequest": SigningRequestStrategy(),
        "node.k8s.io/RuntimeClass": RuntimeClassStrategy(),
        "flowcontrol.apiserver.k8s.io/FlowSchema": FlowSchemaStrategy(),
        "flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": PriorityLevelStrategy(),
        "apiextensions.k8s.io/CustomResourceDefinition": CustomResourceDefinitionStrategy(),
        "apiregistration.k8s.io/APIService": APIServiceStrategy(),
        "admissionregistration.k8s.io/ValidatingWebhookConfiguration": WebhookConfigurationStrategy(),
        "admissionregistration.k8s.io/MutatingWebhookConfiguration": WebhookConfigurationStrategy(),
        "admissionregistration.k8s.io/ValidatingAdmissionPolicy": ValidatingPolicyStrategy(traits: policy),
        "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": PolicyBindingStrategy(traits: policy, isValidating: true),
        "admissionregistration.k8s.io/MutatingAdmissionPolicy": MutatingPolicyStrategy(traits: policy),
        "admissionregistration.k8s.io/MutatingAdmissionPolicyBinding": PolicyBindingStrategy(traits: policy, isValidating: false),
        "storage.k8s.io/StorageClass": StorageClassStrategy(),
        "storage.k8s.io/VolumeAttributesClass": VolumeAttributesClassStrategy(),
        "storage.k8s.io/CSIDriver": CSIDriverStrategy(),
        "storage.k8s.io/CSINode": CSINodeStrategy(),
        "storage.k8s.io/CSIStorageCapacity": CSIStorageCapacityStrategy(),
        "storage.k8s.io/VolumeAttachment": VolumeAttachmentStrategy(),
        "resource.k8s.io/DeviceClass": DeviceClassStrategy(),
        "resource.k8s.io/ResourceClaim": ResourceClaimStrategy(),
        "resource.k8s.io/ResourceClaimTemplate": ResourceClaimTemplateStrategy(),
        "resource.k8s.io/ResourceSlice": ResourceSliceStrategy(),
    ]
}
