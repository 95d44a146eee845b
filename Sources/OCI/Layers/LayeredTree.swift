package import Core

/// What unpacked layers look like stacked, without mounting them: lookups see the uppermost, whiteouts hide, and symbolic
/// links lead nowhere but inside. A plain directory is a tree of one layer.
package struct LayeredTree: Sendable {
    /// Uppermost first.
    private let layers: [String]

    package init(layers: [String]) { self.layers = layers }

    package struct Found: Sendable {
        /// Its parts below the root, links resolved.
        package let parts: [String]
        /// Where its bytes are.
        package let file: String
        package let status: FileStatus
    }

    /// What stands at a path, the last link followed or not; nil where nothing does.
    package func find(_ path: String, following: Bool = true) throws(ImageError) -> Found? {
        var rest = Array(path.split(separator: "/").map(String.init).reversed())
        var parts: [String] = []
        var links = 0
        var found: Found?
        while let part = rest.popLast() {
            if part == "." { continue }
            if part == ".." {
                if !parts.isEmpty { parts.removeLast() }
                found = nil
                continue
            }
            guard let next = try lookup(parts + [part]) else { return nil }
            if next.status.kind == .symlink, following || !rest.isEmpty {
                links += 1
                guard links <= 40 else { throw ImageError(.invalid, "too many symbolic links in \(path)") }
                let file = next.file
                let target = try storing { () throws(SystemFailure) in try FileSystem.readLink(file) }
                if target.hasPrefix("/") { parts = [] }
                rest += target.split(separator: "/").map(String.init).reversed()
                found = nil
                continue
            }
            parts.append(part)
            found = next
        }
        if let found { return found }
        return try lookup(parts)
    }

    /// The names in a directory given by its resolved parts, sorted.
    package func list(_ parts: [String]) throws(ImageError) -> [String] {
        var names: Set<String> = []
        var hidden: Set<String> = []
        for layer in layers {
            guard let (file, status) = try visible(layer, parts) else { continue }
            guard let status, let file, status.isDirectory else { break }
            for name in try storing({ () throws(SystemFailure) in try FileSystem.list(file) })
            where !hidden.contains(name) && !names.contains(name) {
                let child = try storing { () throws(SystemFailure) in try FileSystem.status("\(file)/\(name)") }
                if child?.isWhiteout == true { hidden.insert(name) } else { names.insert(name) }
            }
            if try isOpaque(layer, parts) { break }
        }
        return names.sorted()
    }

    private func lookup(_ parts: [String]) throws(ImageError) -> Found? {
        for layer in layers {
            guard let (file, status) = try visible(layer, parts) else {
                if try isOpaque(layer, parts) { return nil }
                continue
            }
            guard let file, let status else { return nil }
            return Found(parts: parts, file: file, status: status)
        }
        return nil
    }

    /// What one layer says of a path: nil says nothing, no file says it is hidden.
    private func visible(_ layer: String, _ parts: [String]) throws(ImageError) -> (String?, FileStatus?)? {
        var file = layer
        var status = try storing { () throws(SystemFailure) in try FileSystem.status(layer) }
        for (index, part) in parts.enumerated() {
            file += "/" + part
            let here = file
            status = try storing { () throws(SystemFailure) in try FileSystem.status(here) }
            guard let found = status else { return nil }
            if found.isWhiteout || (index < parts.count - 1 && !found.isDirectory) { return (nil, nil) }
        }
        return (file, status)
    }

    /// Whether a directory on the way, in this layer, hides what lies below it.
    private func isOpaque(_ layer: String, _ parts: [String]) throws(ImageError) -> Bool {
        var file = layer
        for part in [""] + parts {
            if !part.isEmpty { file += "/" + part }
            guard FileSystem.exists(file) else { return false }
            if FileSystem.attribute("trusted.overlay.opaque", of: file) == [UInt8(ascii: "y")] { return true }
        }
        return false
    }
}
