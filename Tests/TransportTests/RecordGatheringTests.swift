import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Transport

/// What is handed to TLS, and when those who wrote it are told.
@Suite struct RecordGatheringTests {
    /// Stands where TLS would, and notes the size of each piece.
    private final class Recorder: ChannelOutboundHandler, Sendable {
        typealias OutboundIn = ByteBuffer
        let sizes = Mutex<[Int]>([])

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            sizes.withLock { $0.append(unwrapOutboundIn(data).readableBytes) }
            context.write(data, promise: promise)
        }
    }

    /// Calls `body` with a connection to a server that listens and says nothing.
    private func withChannel(_ body: (any Channel, Recorder) async throws -> Void) async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let listener = try await ServerBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
        let recorder = Recorder()
        let channel = try await ClientBootstrap(group: group).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(recorder)
                try channel.pipeline.syncOperations.addHandler(RecordGathering())
            }
        }.connect(to: try #require(listener.localAddress)).get()
        do { try await body(channel, recorder) } catch {
            try? await channel.close().get()
            try? await listener.close().get()
            throw error
        }
        try? await channel.close().get()
        try? await listener.close().get()
    }

    @Test func whatIsWrittenBetweenFlushesIsOnePiece() async throws {
        try await withChannel { channel, recorder in
            let first = channel.write(ByteBuffer(string: "head"))
            let second = channel.write(ByteBuffer(string: "and body"))
            #expect(recorder.sizes.withLock { $0.isEmpty })
            channel.flush()
            try await first.get()
            try await second.get()
            try await channel.writeAndFlush(ByteBuffer(string: "more")).get()
            let sizes: [Int] = recorder.sizes.withLock { $0 }
            #expect(sizes == [12, 4])
        }
    }

    @Test func longAnswersDoNotGatherWithoutEnd() async throws {
        try await withChannel { channel, recorder in
            let piece = ByteBuffer(repeating: 0x78, count: 24 * 1024)
            let writes = (0..<5).map { _ in channel.write(piece) }
            channel.flush()
            for write in writes { try await write.get() }
            let sizes: [Int] = recorder.sizes.withLock { $0 }
            #expect(sizes == [49152, 49152, 24576])
        }
    }

    @Test func whatWasNeverFlushedFailsWithTheConnection() async throws {
        try await withChannel { channel, _ in
            let write = channel.write(ByteBuffer(string: "never sent"))
            try await channel.close().get()
            await #expect(throws: (any Error).self) { try await write.get() }
        }
    }
}
