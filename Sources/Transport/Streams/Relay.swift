import NIOCore

/// Copies bytes between two streams in both directions until both are through. An end on one side is passed on as a
/// half-close; an error ends both.
package enum Relay {
    /// Bytes copied from `a` to `b` and from `b` to `a`.
    @discardableResult
    package static func run(_ a: any ByteStream, _ b: any ByteStream) async -> (forth: Int, back: Int) {
        guard let left = a as? ChannelByteStream, let right = b as? ChannelByteStream else { return await copyBoth(a, b) }
        // On the loop of one of the two, most steps need no change of thread.
        return await withTaskExecutorPreference(LoopExecutor(left.channel.eventLoop)) { await copyBoth(left, right) }
    }

    private static func copyBoth(_ a: any ByteStream, _ b: any ByteStream) async -> (forth: Int, back: Int) {
        async let forth = copy(a, b)
        async let back = copy(b, a)
        let counts = await (forth, back)
        a.close()
        b.close()
        return counts
    }

    private static func copy(_ from: any ByteStream, _ to: any ByteStream) async -> Int {
        var count = 0
        do {
            if let from = from as? ChannelByteStream, let to = to as? ChannelByteStream {
                while let data = try await from.readBuffer() {
                    count += data.readableBytes
                    try await to.write(data)
                }
            } else {
                while let data = try await from.read() {
                    count += data.count
                    try await to.write(data)
                }
            }
            await to.closeWrite()
        } catch {
            from.close()
            to.close()
        }
        return count
    }
}
