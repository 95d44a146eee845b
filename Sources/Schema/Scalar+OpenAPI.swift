/// How OpenAPI documents describe a scalar.
package struct OpenAPIForm: Sendable, Equatable {
    /// Nil where any JSON value will do.
    package let type: String?
    package let format: String?
    /// The definition that fields refer to; nil for what is described in place.
    package let definition: String?
}

extension Scalar {
    package var openAPI: OpenAPIForm {
        switch self {
        case .string: OpenAPIForm(type: "string", format: nil, definition: nil)
        case .bool: OpenAPIForm(type: "boolean", format: nil, definition: nil)
        case .int32: OpenAPIForm(type: "integer", format: "int32", definition: nil)
        case .int64: OpenAPIForm(type: "integer", format: "int64", definition: nil)
        case .double: OpenAPIForm(type: "number", format: "double", definition: nil)
        case .bytes: OpenAPIForm(type: "string", format: "byte", definition: nil)
        case .quantity: OpenAPIForm(type: "string", format: nil, definition: "io.k8s.apimachinery.pkg.api.resource.Quantity")
        case .intOrString: OpenAPIForm(type: "string", format: "int-or-string", definition: "io.k8s.apimachinery.pkg.util.intstr.IntOrString")
        case .time: OpenAPIForm(type: "string", format: "date-time", definition: "io.k8s.apimachinery.pkg.apis.meta.v1.Time")
        case .microTime: OpenAPIForm(type: "string", format: "date-time", definition: "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime")
        case .duration: OpenAPIForm(type: "string", format: nil, definition: "io.k8s.apimachinery.pkg.apis.meta.v1.Duration")
        case .rawExtension: OpenAPIForm(type: "object", format: nil, definition: "io.k8s.apimachinery.pkg.runtime.RawExtension")
        case .fieldsV1: OpenAPIForm(type: "object", format: nil, definition: "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1")
        case .json: OpenAPIForm(type: nil, format: nil, definition: Scalar.extensions + "JSON")
        case .schemaOrBool: OpenAPIForm(type: nil, format: nil, definition: Scalar.extensions + "JSONSchemaPropsOrBool")
        case .schemaOrArray: OpenAPIForm(type: nil, format: nil, definition: Scalar.extensions + "JSONSchemaPropsOrArray")
        case .schemaOrStringArray: OpenAPIForm(type: nil, format: nil, definition: Scalar.extensions + "JSONSchemaPropsOrStringArray")
        }
    }

    private static let extensions = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
}
