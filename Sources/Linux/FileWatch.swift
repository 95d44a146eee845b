import CLinux
package import Core

/// Tells that watched files or directories have changed, by inotify; what changed is for the caller to look up.
/// Changes that come while nobody waits are one change.
package final class FileWatch: Sendable {
    package struct Events: OptionSet, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let modified = Events(rawValue: 0x2)
        package static let closedAfterWrite = Events(rawValue: 0x8)
        package static let movedFrom = Events(rawValue: 0x40)
        package static let movedTo = Events(rawValue: 0x80)
        package static let created = Events(rawValue: 0x100)
        package static let deleted = Events(rawValue: 0x200)
        package static let selfDeleted = Events(rawValue: 0x400)
        package static let selfMoved = Events(rawValue: 0x800)
    }

    private let inotify: Int32
    private let stream: AsyncDescriptor

    package init() throws(SystemFailure) {
        inotify = jangada_inotify()
        guard inotify >= 0 else { throw SystemFailure("inotify_init1") }
        stream = try AsyncDescriptor(Descriptor(inotify))
    }

    package func add(_ path: String, _ events: Events) throws(SystemFailure) {
        guard jangada_inotify_add(inotify, path, events.rawValue) >= 0 else { throw SystemFailure("inotify_add_watch", path) }
    }

    /// Returns after the next change; false once closed.
    package func next() async throws -> Bool { try await stream.read(upTo: 65536) != nil }

    package func close() { stream.close() }
}
