import Schema
import Tree
struct OpenAPIEmitter {
    init(_ graph: Graph) {}
    func v2(_ resources: [Schema.Resource]) -> Node { .emptyMap }
    func v2Protobuf(_ resources: [Schema.Resource]) -> [UInt8] { [] }
    func v3(_ resources: [Schema.Resource]) -> Node { .emptyMap }
}
