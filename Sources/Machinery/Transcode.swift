package import Schema
package import Tree

/// Protobuf as Kubernetes speaks it: an envelope (`k8s\0` and a `runtime.Unknown`) around the object's message.
///
/// Both directions are driven by the table. Decoding gives canonical JSON form where the table and Go agree on presence;
/// encoding writes what upstream's generated code writes, with maps in key order, so equal objects give equal bytes.
package struct Transcode: Sendable {
    package static let magic: [UInt8] = [0x6B, 0x38, 0x73, 0x00]
    static let maxDepth = 512

    let canonical: Canonical
    let graph: Graph

    package init(_ canonical: Canonical) {
        self.canonical = canonical
        graph = canonical.graph
    }

    /// What the envelope says of its content.
    package struct Envelope: Sendable, Equatable {
        package var apiVersion = ""
        package var kind = ""
        package var contentType = ""
        package var raw: [UInt8] = []
    }

    package static func isProtobuf(_ bytes: some Collection<UInt8>) -> Bool { bytes.starts(with: magic) }

    package static func open(_ bytes: [UInt8]) throws(SyntaxError) -> Envelope {
        guard isProtobuf(bytes) else { throw SyntaxError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]") }
        let result: Result<Envelope, SyntaxError> = bytes.withUnsafeBytes { buffer in
            do throws(SyntaxError) {
                var envelope = Envelope()
                var reader = WireReader(UnsafeRawBufferPointer(rebasing: buffer[magic.count...]))
                while let (number, type) = try reader.nextField() {
                    switch (number, type) {
                    case (1, .bytes):
                        var meta = try reader.message()
                        while let (number, type) = try meta.nextField() {
                            switch (number, type) {
                            case (1, .bytes): envelope.apiVersion = try meta.string()
                            case (2, .bytes): envelope.kind = try meta.string()
                            default: try meta.skip(type)
                            }
                        }
                    case (2, .bytes): envelope.raw = Array(try reader.bytes())
                    case (4, .bytes): envelope.contentType = try reader.string()
                    default: try reader.skip(type)
                    }
                }
                return .success(envelope)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// An object in its envelope; `apiVersion` and `kind` come from the object.
    package func encode(_ object: Node, as id: MessageID) -> [UInt8] {
        var writer = WireWriter()
        writer.string(4, "")
        writer.string(3, "")
        var mark = writer.count
        message(object, id, &writer, depth: 0)
        writer.close(2, since: mark)
        mark = writer.count
        writer.string(2, object["kind"].string ?? "")
        writer.string(1, object["apiVersion"].string ?? "")
        writer.close(1, since: mark)
        Transcode.magic.withUnsafeBufferPointer { writer.raw($0) }
        return writer.finish()
    }

    /// The message alone.
    package func encodeRaw(_ object: Node, as id: MessageID) -> [UInt8] {
        var writer = WireWriter()
        message(object, id, &writer, depth: 0)
        return writer.finish()
    }

    /// An object from its message, with the `apiVersion` and `kind` that the envelope carried.
    package func decode(_ bytes: [UInt8], as id: MessageID, apiVersion: String = "", kind: String = "") throws(SyntaxError) -> Node {
        let result: Result<Node, SyntaxError> = bytes.withUnsafeBytes { buffer in
            do throws(SyntaxError) {
                var reader = WireReader(buffer)
                var object = try message(&reader, id, depth: 0)
                if !kind.isEmpty { object["kind"] = .string(kind) }
                if !apiVersion.isEmpty { object["apiVersion"] = .string(apiVersion) }
                return .success(object)
            } catch {
                return .failure(error)
            }
        }
        let node = try result.get()
        do throws(DecodingFailure) {
            return try canonical.normalize(node, as: id)
        } catch {
            throw SyntaxError(error.description)
        }
    }
}
