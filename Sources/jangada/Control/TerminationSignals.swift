import Core
import Glibc
import Linux

/// SIGTERM, SIGINT and SIGHUP as events. The second one ends the process at once, for whoever does not want to wait.
final class TerminationSignals: Sendable {
    let received: AsyncStream<Void>
    private let pipe: (reading: Descriptor, writing: Descriptor)

    init() throws {
        let pipe = try Descriptor.pipe()
        self.pipe = pipe
        let (received, signal) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.received = received
        jangadaSignalPipe = pipe.writing.raw
        _ = try EventLoopThread.shared.get().watch(pipe.reading.raw) { _ in
            var byte: UInt8 = 0
            guard read(pipe.reading.raw, &byte, 1) == 1 else { return }
            signal.yield()
        }
        for number in [SIGTERM, SIGINT, SIGHUP] {
            Glibc.signal(number) { number in
                var byte = UInt8(truncatingIfNeeded: number)
                write(jangadaSignalPipe, &byte, 1)
                Glibc.signal(number, SIG_DFL)
            }
        }
    }
}

// A signal handler can reach nothing but a global; written once, before the handler is there.
private nonisolated(unsafe) var jangadaSignalPipe: Int32 = -1
