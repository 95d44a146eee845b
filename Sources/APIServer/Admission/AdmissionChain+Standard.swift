package import Store

extension AdmissionChain {
    /// The plugins that upstream turns on by default, in its order; the rules about roles come last, where upstream's storage has them.
    package static func standard(
        _ store: Store, _ authorizer: RBACAuthorizer, catalog: ResourceCatalog, conversion: any VersionConversion, webhooks: WebhookClient
    ) -> AdmissionChain {
        let conditions = ExpressionConditions(store: store, catalog: catalog, authorizer: authorizer, conversion: conversion)
        return AdmissionChain([
            NamespaceLifecycle(store), LimitRanger(store), ServiceAccountAdmission(store), NodeRestriction(store),
            TaintNodesByCondition(), PodSecurityAdmission(store), PriorityAdmission(store), DefaultTolerationSeconds(), DefaultStorageClass(store), StorageObjectInUseProtection(), PersistentVolumeClaimResize(store),
            RuntimeClassAdmission(store), CertificateAdmission(authorizer), DefaultIngressClass(store), PodTopologyLabels(store), DeviceAdmission(store, authorizer),
            MutatingPolicies(store: store, catalog: catalog, authorizer: authorizer, conversion: conversion),
            MutatingWebhooks(store: store, catalog: catalog, client: webhooks, conversion: conversion, conditions: conditions),
            ValidatingPolicies(store: store, catalog: catalog, authorizer: authorizer, conversion: conversion),
            ValidatingWebhooks(store: store, catalog: catalog, client: webhooks, conversion: conversion, conditions: conditions),
            RoleEscalation(store, authorizer),
        ])
    }
}
