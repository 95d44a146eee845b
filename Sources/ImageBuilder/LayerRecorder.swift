import Core
import OCI

/// Takes a layer's tar as it is written: packs it with gzip into the store and hashes both forms.
final class LayerRecorder: ByteTarget {
    private let ingest: BlobIngest
    private let gzip: GzipTarget
    private let plain: HashingTarget

    init(_ content: ContentStore) throws(ImageError) {
        ingest = try content.ingest("build-\(Identifier.suffix(16))")
        gzip = try GzipTarget(ingest)
        plain = HashingTarget(gzip)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError) { try plain.write(bytes) }

    func finish(created: String) throws(ImageError) -> BuildCache.Entry {
        try gzip.finish()
        let size = ingest.size
        let digest = try ingest.commit()
        return BuildCache.Entry(
            layer: Descriptor(mediaType: MediaType.ociLayerGzip, digest: digest, size: size), diff: plain.finish(), created: created)
    }

    func abandon() { ingest.abandon() }
}
