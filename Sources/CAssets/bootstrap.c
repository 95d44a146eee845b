#include "CAssets.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char rbac[] = {
#embed "Bootstrap/rbac.yaml"
};
static const unsigned char objects[] = {
#embed "Bootstrap/objects.yaml"
};

jangada_asset jangada_bootstrap_rbac(void) { return (jangada_asset){"rbac.yaml", rbac, sizeof rbac}; }
jangada_asset jangada_bootstrap_objects(void) { return (jangada_asset){"objects.yaml", objects, sizeof objects}; }
