import CLinux
package import Core
import Glibc

/// A network namespace held by a descriptor, which keeps it alive until the last reference goes.
package final class NetworkNamespace: Sendable {
    package let descriptor: Int32

    private init(owning descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// The namespace of the calling thread.
    package static func current() throws(SystemFailure) -> NetworkNamespace { try open("/proc/thread-self/ns/net") }

    package static func open(_ path: String) throws(SystemFailure) -> NetworkNamespace {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemFailure("open", path) }
        return NetworkNamespace(owning: descriptor)
    }

    /// A new, empty namespace without a name; it ends with its last holder.
    package static func create() throws(SystemFailure) -> NetworkNamespace {
        try onOwnThread { () throws(SystemFailure) in
            let code = jangada_unshare_network()
            guard code == 0 else { throw SystemFailure("unshare", "network", errno: code) }
            return try current()
        }
    }

    /// Keeps the namespace alive by a bind mount, beyond the life of this process.
    package func pin(at path: String) throws(SystemFailure) {
        let file = Glibc.open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw SystemFailure("open", path) }
        close(file)
        guard mount("/proc/self/fd/\(descriptor)", path, nil, UInt(MS_BIND), nil) == 0 else {
            let failure = SystemFailure("mount", path)
            unlink(path)
            throw failure
        }
    }

    /// Undoes `pin`; a path that is not there, or holds no mount, is fine.
    package static func unpin(_ path: String) throws(SystemFailure) {
        while umount2(path, Int32(MNT_DETACH)) == 0 {}
        guard errno == EINVAL || errno == ENOENT else { throw SystemFailure("umount2", path) }
        guard unlink(path) == 0 || errno == ENOENT else { throw SystemFailure("unlink", path) }
    }

    /// Whether the path is a pinned network namespace (and not the empty file left where the pin was lost).
    package static func isPinned(_ path: String) -> Bool {
        jangada_is_namespace(path) == 1
    }

    /// Runs the body on a thread of its own inside this namespace, and waits for it. The thread ends with the body:
    /// no thread that others use ever stands in a foreign namespace.
    package func run<T>(_ body: () throws(SystemFailure) -> T) throws(SystemFailure) -> T {
        try NetworkNamespace.onOwnThread { () throws(SystemFailure) in
            let code = jangada_enter_network(descriptor)
            guard code == 0 else { throw SystemFailure("setns", "network", errno: code) }
            return try body()
        }
    }

    private final class Work {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    private static func onOwnThread<T>(_ body: () throws(SystemFailure) -> T) throws(SystemFailure) -> T {
        var result: Result<T, SystemFailure> = .failure(SystemFailure("pthread_create", errno: EAGAIN))
        let code = withoutActuallyEscaping(body) { body in
            withUnsafeMutablePointer(to: &result) { slot -> Int32 in
                let work = Work {
                    do throws(SystemFailure) { slot.pointee = .success(try body()) } catch { slot.pointee = .failure(error) }
                }
                return NetworkNamespace.spawnAndJoin(work)
            }
        }
        guard code == 0 else { throw SystemFailure("pthread_create", errno: code) }
        return try result.get()
    }

    private static func spawnAndJoin(_ work: Work) -> Int32 {
        var thread = pthread_t()
        let box = Unmanaged.passRetained(work)
        let code = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                Unmanaged<Work>.fromOpaque(raw).takeUnretainedValue().body()
                return nil
            }, box.toOpaque())
        if code == 0 { pthread_join(thread, nil) }
        box.release()
        return code
    }
}
