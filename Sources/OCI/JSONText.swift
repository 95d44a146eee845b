import Tree

/// JSON bytes to tree and back, with failures as image errors.
enum JSONText {
    static func parse(_ bytes: [UInt8]) throws(ImageError) -> Node {
        do { return try JSONReader.read(bytes) } catch { throw ImageError(.invalid, error.message) }
    }

    static func render(_ node: Node) -> [UInt8] { JSONWriter.write(node) }
}
