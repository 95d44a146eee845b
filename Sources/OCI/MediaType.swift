/// The media types of images, OCI's and Docker's, and what each means.
package enum MediaType {
    package static let ociManifest = "application/vnd.oci.image.manifest.v1+json"
    package static let ociIndex = "application/vnd.oci.image.index.v1+json"
    package static let ociConfig = "application/vnd.oci.image.config.v1+json"
    package static let ociLayer = "application/vnd.oci.image.layer.v1.tar"
    package static let ociLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
    package static let ociLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd"
    package static let ociEmpty = "application/vnd.oci.empty.v1+json"
    package static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
    package static let dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
    package static let dockerConfig = "application/vnd.docker.container.image.v1+json"
    package static let dockerLayer = "application/vnd.docker.image.rootfs.diff.tar"
    package static let dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    package static let dockerLayerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd"
    package static let dockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    package static let schema1 = "application/vnd.docker.distribution.manifest.v1+json"
    package static let schema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"

    /// What a pull asks for, the best first.
    package static let accepted = [dockerManifest, dockerList, ociManifest, ociIndex]

    package static func isManifest(_ type: String) -> Bool { type == ociManifest || type == dockerManifest }
    package static func isIndex(_ type: String) -> Bool { type == ociIndex || type == dockerList }
    package static func isSchema1(_ type: String) -> Bool { type == schema1 || type == schema1Signed }
    package static func isConfig(_ type: String) -> Bool { type == ociConfig || type == dockerConfig }

    package static func isLayer(_ type: String) -> Bool {
        type.hasPrefix("application/vnd.oci.image.layer.") || type.hasPrefix("application/vnd.docker.image.rootfs.")
    }
    /// Layers that the registry may not hold: the descriptor's `urls` say where they are.
    package static func isForeignLayer(_ type: String) -> Bool {
        type.hasPrefix("application/vnd.docker.image.rootfs.foreign.")
            || type.hasPrefix("application/vnd.oci.image.layer.nondistributable.")
    }

    /// A `Content-Type` without its parameters, in lowercase.
    package static func bare(_ header: String) -> String {
        let type = header.prefix { $0 != ";" }
        return type.trimmingSpaces.lowercased()
    }
}

extension StringProtocol {
    var trimmingSpaces: String {
        var view = Substring(self)
        while let first = view.first, first == " " || first == "\t" { view.removeFirst() }
        while let last = view.last, last == " " || last == "\t" { view.removeLast() }
        return String(view)
    }
}
