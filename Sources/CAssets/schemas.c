#include "CAssets.h"

// One array per file; `#embed` needs no generator and costs the compiler nothing. It is C23, which SwiftPM has no portable
// setting for in one target; this compiler takes it in every mode.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char meta_schema[] = {
#embed "Schema/meta.schema"
};
static const unsigned char core_schema[] = {
#embed "Schema/core.schema"
};
static const unsigned char apiregistration_schema[] = {
#embed "Schema/apiregistration.schema"
};
static const unsigned char apps_schema[] = {
#embed "Schema/apps.schema"
};
static const unsigned char events_schema[] = {
#embed "Schema/events.schema"
};
static const unsigned char authentication_schema[] = {
#embed "Schema/authentication.schema"
};
static const unsigned char authorization_schema[] = {
#embed "Schema/authorization.schema"
};
static const unsigned char autoscaling_schema[] = {
#embed "Schema/autoscaling.schema"
};
static const unsigned char batch_schema[] = {
#embed "Schema/batch.schema"
};
static const unsigned char certificates_schema[] = {
#embed "Schema/certificates.schema"
};
static const unsigned char networking_schema[] = {
#embed "Schema/networking.schema"
};
static const unsigned char policy_schema[] = {
#embed "Schema/policy.schema"
};
static const unsigned char rbac_schema[] = {
#embed "Schema/rbac.schema"
};
static const unsigned char storage_schema[] = {
#embed "Schema/storage.schema"
};
static const unsigned char admissionregistration_schema[] = {
#embed "Schema/admissionregistration.schema"
};
static const unsigned char apiextensions_schema[] = {
#embed "Schema/apiextensions.schema"
};
static const unsigned char scheduling_schema[] = {
#embed "Schema/scheduling.schema"
};
static const unsigned char coordination_schema[] = {
#embed "Schema/coordination.schema"
};
static const unsigned char node_schema[] = {
#embed "Schema/node.schema"
};
static const unsigned char discovery_schema[] = {
#embed "Schema/discovery.schema"
};
static const unsigned char resource_schema[] = {
#embed "Schema/resource.schema"
};
static const unsigned char flowcontrol_schema[] = {
#embed "Schema/flowcontrol.schema"
};
static const unsigned char admission_schema[] = {
#embed "Schema/admission.schema"
};
static const unsigned char apidiscovery_schema[] = {
#embed "Schema/apidiscovery.schema"
};
static const unsigned char apiserverinternal_schema[] = {
#embed "Schema/apiserverinternal.schema"
};
static const unsigned char audit_schema[] = {
#embed "Schema/audit.schema"
};
static const unsigned char custom_metrics_schema[] = {
#embed "Schema/custom_metrics.schema"
};
static const unsigned char extensions_schema[] = {
#embed "Schema/extensions.schema"
};
static const unsigned char external_metrics_schema[] = {
#embed "Schema/external_metrics.schema"
};
static const unsigned char imagepolicy_schema[] = {
#embed "Schema/imagepolicy.schema"
};
static const unsigned char metrics_schema[] = {
#embed "Schema/metrics.schema"
};
static const unsigned char storagemigration_schema[] = {
#embed "Schema/storagemigration.schema"
};
static const unsigned char version_schema[] = {
#embed "Schema/version.schema"
};

#define SCHEMA(name) {#name ".schema", name##_schema, sizeof(name##_schema)}

static const jangada_asset jangada_schemas[] = {
    SCHEMA(meta),
    SCHEMA(core),
    SCHEMA(apiregistration),
    SCHEMA(apps),
    SCHEMA(events),
    SCHEMA(authentication),
    SCHEMA(authorization),
    SCHEMA(autoscaling),
    SCHEMA(batch),
    SCHEMA(certificates),
    SCHEMA(networking),
    SCHEMA(policy),
    SCHEMA(rbac),
    SCHEMA(storage),
    SCHEMA(admissionregistration),
    SCHEMA(apiextensions),
    SCHEMA(scheduling),
    SCHEMA(coordination),
    SCHEMA(node),
    SCHEMA(discovery),
    SCHEMA(resource),
    SCHEMA(flowcontrol),
    SCHEMA(admission),
    SCHEMA(apidiscovery),
    SCHEMA(apiserverinternal),
    SCHEMA(audit),
    SCHEMA(custom_metrics),
    SCHEMA(extensions),
    SCHEMA(external_metrics),
    SCHEMA(imagepolicy),
    SCHEMA(metrics),
    SCHEMA(storagemigration),
    SCHEMA(version),
};

const size_t jangada_schema_count = sizeof(jangada_schemas) / sizeof(jangada_schemas[0]);

jangada_asset jangada_schema(size_t index) { return jangada_schemas[index]; }

static const unsigned char descriptions[] = {
#embed "Schema/descriptions.txt"
};

jangada_asset jangada_descriptions(void) {
    jangada_asset asset = {"descriptions.txt", descriptions, sizeof(descriptions)};
    return asset;
}

static const unsigned char declaration_order[] = {
#embed "Schema/order.txt"
};

jangada_asset jangada_declaration_order(void) {
    jangada_asset asset = {"order.txt", declaration_order, sizeof(declaration_order)};
    return asset;
}
