package import Store

extension AdmissionChain {
    /// The plugins that are chosen, in upstream's order; the rules about roles come last, where upstream's storage has them.
    package static func standard(
        _ store: Store, _ authorizer: RBACAuthorizer, catalog: ResourceCatalog, conversion: any VersionConversion, webhooks: WebhookClient,
        selection: AdmissionSelection = AdmissionSelection()
    ) -> AdmissionChain {
        let conditions = ExpressionConditions(store: store, catalog: catalog, authorizer: authorizer, conversion: conversion)
        let plugins: [any AdmissionPlugin] = [
            NamespaceLifecycle(store), LimitRanger(store), ServiceAccountAdmission(store), NodeRestriction(store),
            TaintNodesByCondition(), AlwaysPullImages(), PodSecurityAdmission(store), PriorityAdmission(store), DefaultTolerationSeconds(), DefaultStorageClass(store), StorageObjectInUseProtection(), PersistentVolumeClaimResize(store),
            RuntimeClassAdmission(store), CertificateAdmission(authorizer), DefaultIngressClass(store), DenyServiceExternalIPs(), PodTopologyLabels(store),
            MutatingPolicies(store: store, catalog: catalog, authorizer: authorizer, conversion: conversion),
            MutatingWebhooks(store: store, catalog: catalog, client: webhooks, conversion: conversion, conditions: conditions),
            ValidatingPolicies(store: store, catalog: catalog, authorizer: authorizer, conversion: conversion),
            ValidatingWebhooks(store: store, catalog: catalog, client: webhooks, conversion: conversion, conditions: conditions),
            AlwaysDeny(),
        ]
        return AdmissionChain(plugins.filter { selection.includes($0.name) } + [DeviceAdmission(store, authorizer), RoleEscalation(store, authorizer)])
    }
}
