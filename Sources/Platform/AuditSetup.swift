import APIServer
import Core
import Machinery
import Tree

/// The audit log as the options and the state directory's `audit.yaml` ask for it.
enum AuditSetup {
    static func make(_ options: APIServerOptions, _ directory: StateDirectory) throws -> (log: AuditLog, webhook: AuditWebhook?)? {
        guard let (path, node) = try options.document("audit-policy-file", usual: directory.audit) else { return nil }
        let policy: AuditPolicy
        do throws(APIError) { policy = try AuditPolicy(node) } catch { throw ControlFailure(400, "\(path): \(error.message)") }
        var backends: [any AuditBackend] = []
        var webhook: AuditWebhook?
        if let path = options["audit-webhook-config-file"] {
            var settings = AuditWebhook.Options()
            if let number = try options.number("audit-webhook-batch-max-size"), number > 0 { settings.maxBatch = number }
            if let number = try options.number("audit-webhook-batch-buffer-size"), number > 0 { settings.bufferSize = number }
            if let wait = try options.duration("audit-webhook-batch-max-wait") { settings.maxWait = wait }
            if let pause = try options.duration("audit-webhook-initial-backoff") { settings.initialBackoff = pause }
            let made = AuditWebhook(try target(path), settings)
            backends.append(made)
            webhook = made
        }
        // Who wrote a policy and said nothing else wants a file.
        if options["audit-log-path"] != nil || webhook == nil {
            var file = AuditLogFile.Options(path: options["audit-log-path"] ?? directory.auditLog)
            if let number = try options.number("audit-log-maxsize") { file.maxSize = number }
            if let number = try options.number("audit-log-maxage") { file.maxAge = number }
            if let number = try options.number("audit-log-maxbackup") { file.maxBackups = number }
            backends.append(try AuditLogFile(file))
        }
        return (AuditLog(policy: policy, backends: backends), webhook)
    }

    /// What a kubeconfig file leads to.
    static func target(_ path: String) throws -> KubeconfigTarget {
        do { return try KubeconfigTarget(try YAMLReader.read(try FileSystem.readFile(path)), directory: FileSystem.parent(of: path)) } catch let error as APIError {
            throw ControlFailure(400, "\(path): \(error.message)")
        } catch {
            throw ControlFailure(400, "\(path): \(error)")
        }
    }
}
