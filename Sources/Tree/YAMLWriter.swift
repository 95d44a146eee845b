internal import CYAML

/// Writes block YAML as `kubectl get -o yaml` does: keys in the order of the tree, lists flush with their key, strings quoted
/// only where a reader would take them for something else, text of several lines as literal blocks, long plain lines folded at 80.
package struct YAMLWriter: ~Copyable {
    private final class Output {
        var bytes: [UInt8] = []
    }

    /// On the heap: C code keeps its address between calls.
    private let emitter = UnsafeMutablePointer<yaml_emitter_t>.allocate(capacity: 1)
    private let output = Output()
    private var failed = false

    private init() { emitter.initialize(to: yaml_emitter_t()) }

    deinit {
        yaml_emitter_delete(emitter)
        emitter.deallocate()
    }

    package static func write(_ node: Node) -> [UInt8] { write(documents: [node]) }

    /// Several documents with `---` between them.
    package static func write(documents: [Node]) -> [UInt8] {
        var writer = YAMLWriter()
        writer.run(documents)
        return writer.output.bytes
    }

    private mutating func run(_ documents: [Node]) {
        guard yaml_emitter_initialize(emitter) == 1 else { return }
        yaml_emitter_set_unicode(emitter, 1)
        yaml_emitter_set_output(
            emitter,
            { data, bytes, count in
                guard let data, let bytes else { return 0 }
                Unmanaged<Output>.fromOpaque(data).takeUnretainedValue().bytes.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
                return 1
            }, Unmanaged.passUnretained(output).toOpaque())
        emit { yaml_stream_start_event_initialize(&$0, YAML_UTF8_ENCODING) }
        for (index, document) in documents.enumerated() {
            emit { yaml_document_start_event_initialize(&$0, nil, nil, nil, index == 0 ? 1 : 0) }
            node(document)
            emit { yaml_document_end_event_initialize(&$0, 1) }
        }
        emit { yaml_stream_end_event_initialize(&$0) }
        yaml_emitter_flush(emitter)
    }

    private mutating func emit(_ make: (inout yaml_event_t) -> Int32) {
        var event = yaml_event_t()
        guard !failed, make(&event) == 1, yaml_emitter_emit(emitter, &event) == 1 else {
            failed = true
            return
        }
    }

    private mutating func node(_ node: Node) {
        switch node {
        case .null: scalar("null", YAML_PLAIN_SCALAR_STYLE)
        case .bool(let value): scalar(value ? "true" : "false", YAML_PLAIN_SCALAR_STYLE)
        case .int(let value): scalar(String(value), YAML_PLAIN_SCALAR_STYLE)
        case .double(let value): scalar(YAMLWriter.number(value), YAML_PLAIN_SCALAR_STYLE)
        case .string(let text): string(text)
        case .list(let items):
            emit { yaml_sequence_start_event_initialize(&$0, nil, nil, 1, items.isEmpty ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE) }
            for item in items { self.node(item) }
            emit { yaml_sequence_end_event_initialize(&$0) }
        case .map(let fields):
            emit { yaml_mapping_start_event_initialize(&$0, nil, nil, 1, fields.isEmpty ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE) }
            for (key, value) in fields {
                string(key)
                self.node(value)
            }
            emit { yaml_mapping_end_event_initialize(&$0) }
        }
    }

    private mutating func string(_ text: String) {
        if text.utf8.contains(UInt8(ascii: "\n")) {
            scalar(text, YAML_LITERAL_SCALAR_STYLE)
        } else {
            scalar(text, YAMLScalar.staysText(text) ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE)
        }
    }

    private mutating func scalar(_ text: String, _ style: yaml_scalar_style_t) {
        var text = text
        text.withUTF8 { bytes in
            // libyaml copies the bytes; it wants a pointer even for no bytes.
            let empty: [UInt8] = [0]
            empty.withUnsafeBufferPointer { none in
                let start = bytes.baseAddress ?? none.baseAddress
                emit { yaml_scalar_event_initialize(&$0, nil, nil, start, Int32(bytes.count), 1, 1, style) }
            }
        }
    }

    /// Go's shortest 'g' format: an exponent below 1e-4 and from 1e6 on.
    static func number(_ value: Double) -> String {
        if value.isNaN { return ".nan" }
        if value.isInfinite { return value < 0 ? "-.inf" : ".inf" }
        if value.magnitude >= 1e-4 && value.magnitude < 1e6 || value == 0 { return JSONWriter.number(value) }
        return JSONWriter.scientific(value, exponentDigits: 2)
    }
}
