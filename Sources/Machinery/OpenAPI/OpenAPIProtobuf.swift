package import Tree

/// The protobuf form of a version 2 document (`openapi.v2.Document` of gnostic-models), which clients ask for at `/openapi/v2`.
package enum OpenAPIProtobuf {
    /// How a value under a key is written.
    private enum Form {
        case string, strings, bool, int, double
        /// Any JSON value, carried as YAML text.
        case any, anys
        case message(Shape)
        /// A message around one: `{1: value}`.
        case boxed(Shape)
        /// A list of strings, or one, in `{1: …}`.
        case types
        /// A map as a list of `{1: name, 2: value}` under a tag, inside a message where `inner` is not 0.
        case named(Shape, inner: Int)
        case parameters
        /// A map of them by their names.
        case sharedParameters
        /// Status codes to `{1: response}`.
        case responses
    }

    private enum Shape { case document, info, pathItem, operation, schema, response, body, query, path }

    private static func fields(_ shape: Shape) -> [(tag: Int, key: String, form: Form)] {
        switch shape {
        case .document:
            [
                (1, "swagger", .string), (2, "info", .message(.info)), (8, "paths", .named(.pathItem, inner: 2)), (9, "definitions", .named(.schema, inner: 1)),
                (10, "parameters", .sharedParameters),
            ]
        case .info: [(1, "title", .string), (2, "version", .string)]
        case .pathItem:
            [
                (2, "get", .message(.operation)), (3, "put", .message(.operation)), (4, "post", .message(.operation)), (5, "delete", .message(.operation)),
                (6, "options", .message(.operation)), (7, "head", .message(.operation)), (8, "patch", .message(.operation)), (9, "parameters", .parameters),
            ]
        case .operation:
            [
                (1, "tags", .strings), (3, "description", .string), (5, "operationId", .string), (6, "produces", .strings), (7, "consumes", .strings),
                (8, "parameters", .parameters), (9, "responses", .responses), (10, "schemes", .strings),
            ]
        case .schema:
            [
                (1, "$ref", .string), (2, "format", .string), (3, "title", .string), (4, "description", .string), (5, "default", .any),
                (6, "multipleOf", .double), (7, "maximum", .double), (8, "exclusiveMaximum", .bool), (9, "minimum", .double), (10, "exclusiveMinimum", .bool),
                (11, "maxLength", .int), (12, "minLength", .int), (13, "pattern", .string), (14, "maxItems", .int), (15, "minItems", .int),
                (16, "uniqueItems", .bool), (17, "maxProperties", .int), (18, "minProperties", .int), (19, "required", .strings), (20, "enum", .anys),
                (21, "additionalProperties", .boxed(.schema)), (22, "type", .types), (23, "items", .boxed(.schema)), (25, "properties", .named(.schema, inner: 1)),
                (30, "example", .any),
            ]
        case .response: [(1, "description", .string), (2, "schema", .boxed(.schema))]
        case .body: [(1, "description", .string), (2, "name", .string), (3, "in", .string), (4, "required", .bool), (5, "schema", .message(.schema))]
        case .query:
            [
                (1, "required", .bool), (2, "in", .string), (3, "description", .string), (4, "name", .string), (6, "type", .string), (7, "format", .string),
                (20, "uniqueItems", .bool),
            ]
        case .path:
            [
                (1, "required", .bool), (2, "in", .string), (3, "description", .string), (4, "name", .string), (5, "type", .string), (6, "format", .string),
                (19, "uniqueItems", .bool),
            ]
        }
    }

    /// Where `x-…` keys go.
    private static func extensionTag(_ shape: Shape) -> Int {
        switch shape {
        case .document: 16
        case .info: 7
        case .pathItem: 10
        case .operation: 13
        case .schema: 31
        case .response: 5
        case .body: 6
        case .query: 23
        case .path: 22
        }
    }

    package static func encode(_ document: Node) -> [UInt8] {
        var writer = WireWriter(capacity: 1 << 20)
        message(document, .document, &writer)
        return writer.finish()
    }

    // Written backwards, as `WireWriter` wants it. Extensions have the highest tags.
    private static func message(_ node: Node, _ shape: Shape, _ writer: inout WireWriter) {
        for (key, value) in Array(node.fields).reversed() where key.hasPrefix("x-") {
            let mark = writer.count
            any(value, 2, &writer)
            writer.string(1, key)
            writer.close(extensionTag(shape), since: mark)
        }
        for (tag, key, form) in fields(shape).reversed() where node.has(key) { value(node[key], tag, form, &writer) }
    }

    private static func any(_ node: Node, _ tag: Int, _ writer: inout WireWriter) {
        let mark = writer.count
        writer.string(2, String(decoding: YAMLWriter.write(node), as: UTF8.self))
        writer.close(tag, since: mark)
    }

    private static func nested(_ tag: Int, _ writer: inout WireWriter, _ body: (inout WireWriter) -> Void) {
        let mark = writer.count
        body(&writer)
        writer.close(tag, since: mark)
    }

    private static func value(_ node: Node, _ tag: Int, _ form: Form, _ writer: inout WireWriter) {
        switch form {
        case .string: if let text = node.string { writer.string(tag, text) }
        case .strings: for text in node.stringList.reversed() { writer.string(tag, text) }
        case .bool: if node.bool == true { writer.varint(tag, 1) }
        case .int: if let value = node.int { writer.varint(tag, UInt64(bitPattern: value)) }
        case .double: if let value = node.double { writer.fixed64(tag, value.bitPattern) }
        case .any: any(node, tag, &writer)
        case .anys: for item in node.list.reversed() { any(item, tag, &writer) }
        case .message(let shape): nested(tag, &writer) { message(node, shape, &$0) }
        case .boxed(let shape):
            nested(tag, &writer) { writer in
                if let flag = node.bool { writer.varint(2, flag ? 1 : 0) } else { nested(1, &writer) { message(node, shape, &$0) } }
            }
        case .types:
            let texts = node.string.map { [$0] } ?? node.stringList
            nested(tag, &writer) { writer in for text in texts.reversed() { writer.string(1, text) } }
        case .named(let shape, let inner):
            nested(tag, &writer) { writer in
                for (name, item) in Array(node.fields).reversed() {
                    nested(inner, &writer) { writer in
                        nested(2, &writer) { message(item, shape, &$0) }
                        writer.string(1, name)
                    }
                }
            }
        case .parameters: for item in node.list.reversed() { nested(tag, &writer) { parameterOrReference(item, &$0) } }
        case .sharedParameters:
            nested(tag, &writer) { writer in
                for (name, item) in Array(node.fields).reversed() {
                    nested(1, &writer) { writer in
                        nested(2, &writer) { parameter(item, &$0) }
                        writer.string(1, name)
                    }
                }
            }
        case .responses:
            nested(tag, &writer) { writer in
                for (code, response) in Array(node.fields).reversed() {
                    nested(1, &writer) { writer in
                        nested(2, &writer) { writer in nested(1, &writer) { message(response, .response, &$0) } }
                        writer.string(1, code)
                    }
                }
            }
        }
    }

    private static func parameterOrReference(_ node: Node, _ writer: inout WireWriter) {
        guard let reference = node["$ref"].string else { return nested(1, &writer) { parameter(node, &$0) } }
        nested(2, &writer) { $0.string(1, reference) }
    }

    private static func parameter(_ node: Node, _ writer: inout WireWriter) {
        switch node["in"].string {
        case "body": nested(1, &writer) { message(node, .body, &$0) }
        case "path": nested(2, &writer) { writer in nested(4, &writer) { message(node, .path, &$0) } }
        default: nested(2, &writer) { writer in nested(3, &writer) { message(node, .query, &$0) } }
        }
    }
}
