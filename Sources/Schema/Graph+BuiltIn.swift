import CAssets

extension Graph {
    /// The types that Kubernetes v1.36 has built in. Read from the text in the binary at first use, a few milliseconds.
    package static let builtIn: Graph = {
        do throws(SchemaError) {
            return try fresh()
        } catch {
            preconditionFailure("schema text in the binary: \(error)")
        }
    }()

    /// `builtIn`, read anew: for measuring.
    package static func fresh() throws(SchemaError) -> Graph { try Graph(files: builtInFiles()) }

    /// A graph of schema text; types may refer to types of later files, enumerations only to those of earlier ones.
    package convenience init(text files: [(name: String, text: String)]) throws(SchemaError) {
        var reader = SchemaText()
        for (name, text) in files {
            var text = text
            // `withUTF8` rethrows untyped: carry the outcome out instead.
            let outcome = text.withUTF8 { bytes in Result { () throws(SchemaError) in try reader.read(bytes, file: name) } }
            try outcome.get()
        }
        self.init(try reader.finish())
    }

    convenience init(files: [(name: String, bytes: UnsafeBufferPointer<UInt8>)]) throws(SchemaError) {
        var reader = SchemaText()
        for (name, bytes) in files { try reader.read(bytes, file: name) }
        self.init(try reader.finish())
    }

    private static func builtInFiles() -> [(name: String, bytes: UnsafeBufferPointer<UInt8>)] {
        (0..<jangada_schema_count).map { index in
            let asset = jangada_schema(index)
            return (String(cString: asset.name), UnsafeBufferPointer(start: asset.bytes, count: asset.length))
        }
    }
}
