import NIOCore

extension Channel {
    /// Closes the connection. TLS waits for the other side's farewell, so reading must go on where it was by demand.
    /// On the channel's loop.
    func end() {
        try? syncOptions?.setOption(.autoRead, value: true)
        close(promise: nil)
    }
}

extension ChannelHandlerContext {
    func end() { channel.end() }
}
