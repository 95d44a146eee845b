import APIServer
import Core
import Linux
import Logging
import Machinery
import Tree

/// Who is let in beside the cluster's own users, from the options' files. A changed configuration holds from then on; a wrong one
/// is told in the log, and what held before goes on.
final class AuthenticationSetup: Sendable {
    let configured = ConfiguredAuthentication()
    let file: StaticTokenAuthenticator?
    private let path: String?
    private let log = Logger(label: "authentication")

    init(_ options: APIServerOptions, _ directory: StateDirectory?) throws {
        if options["anonymous-auth"] == "false" { configured.refuseAnonymous() }
        if let path = options["token-auth-file"] {
            do { file = try StaticTokenAuthenticator(csv: String(decoding: try FileSystem.readFile(path), as: UTF8.self)) } catch let error as APIError {
                throw ControlFailure(400, "\(path): \(error.message)")
            } catch { throw ControlFailure(400, "\(path): \(error)") }
        } else {
            file = nil
        }
        guard let directory, let (path, node) = try options.document("authentication-config", usual: directory.authentication) else {
            // Also one that comes later counts.
            path = directory?.authentication
            return
        }
        self.path = path
        if options["anonymous-auth"] != nil, !node["anonymous"].isNull {
            throw ControlFailure(400, "--anonymous-auth and \(path) both say something about anonymous requests")
        }
        do throws(APIError) { try configured.load(node) } catch { throw ControlFailure(400, "\(path): \(error.message)") }
    }

    /// Follows the file until the task ends.
    func run() async {
        guard let path, let watch = try? FileWatch() else { return }
        defer { watch.close() }
        do {
            try watch.add(FileSystem.parent(of: path), [.closedAfterWrite, .movedTo])
            var last = try? FileSystem.readFile(path)
            while try await watch.next() {
                guard let bytes = try? FileSystem.readFile(path), bytes != last else { continue }
                last = bytes
                reload(bytes, path)
            }
        } catch is CancellationError {} catch {
            log.error("changes of the configuration are not seen", metadata: ["path": "\(path)", "error": "\(error)"])
        }
    }

    private func reload(_ bytes: [UInt8], _ path: String) {
        do {
            try configured.load(try YAMLReader.read(bytes))
            log.info("authentication is configured anew", metadata: ["path": "\(path)"])
        } catch {
            let reason = (error as? APIError)?.message ?? "\(error)"
            log.error("the configuration of authentication is wrong and was not taken", metadata: ["path": "\(path)", "error": "\(reason)"])
        }
    }
}
