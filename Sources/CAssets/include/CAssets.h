#ifndef JANGADA_CASSETS_H
#define JANGADA_CASSETS_H

#include <stddef.h>

/// A file that the build put into the binary.
typedef struct jangada_asset {
    const char *_Nonnull name;
    const unsigned char *_Nonnull bytes;
    size_t length;
} jangada_asset;

/// The schema text, one file per API group: first what all share, then the groups in the order in which discovery lists them.
jangada_asset jangada_schema(size_t index);
extern const size_t jangada_schema_count;

/// A line on each type and field, for documents.
jangada_asset jangada_descriptions(void);

/// The types whose fields are declared in another order than that of their numbers.
jangada_asset jangada_declaration_order(void);

/// The roles and bindings, and the other objects, that every cluster starts with: YAML documents.
jangada_asset jangada_bootstrap_rbac(void);
jangada_asset jangada_bootstrap_objects(void);

#endif
