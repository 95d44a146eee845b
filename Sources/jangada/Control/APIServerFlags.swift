import ArgumentParser
import Platform

/// Options of the API server, named as upstream's; what is not given stays as it was last, an empty value is the default again.
struct APIServerFlags: ParsableArguments {
    @Option(help: "Audit policy file (default: audit.yaml in the state directory, if it is there).")
    var auditPolicyFile: String?
    @Option(help: "File that audit events are written to, - for standard output (default: audit/audit.log in the state directory).")
    var auditLogPath: String?
    @Option(help: "Days that old audit logs are kept (default: 366; 0 is for ever).")
    var auditLogMaxage: Int?
    @Option(help: "How many old audit logs are kept (default: 100; 0 is all).")
    var auditLogMaxbackup: Int?
    @Option(help: "Mebibytes after which an audit log is set aside (default: 100).")
    var auditLogMaxsize: Int?
    @Option(help: "Kubeconfig file of a server that audit events are sent to.")
    var auditWebhookConfigFile: String?
    @Option(help: "The most events sent to it at once (default: 400).")
    var auditWebhookBatchMaxSize: Int?
    @Option(help: "How long events wait for others, such as 30s (default: 30s).")
    var auditWebhookBatchMaxWait: String?

    @Option(help: "AuthenticationConfiguration file: issuers whose tokens are taken (default: authentication.yaml in the state directory, if it is there).")
    var authenticationConfig: String?
    @Option(help: ArgumentHelp("File of fixed tokens: token,user,uid,\"group,group\" a line.", valueName: "file"))
    var tokenAuthFile: String?
    @Option(help: ArgumentHelp("Whether requests without credentials are answered at all (default: true).", valueName: "bool"))
    var anonymousAuth: Bool?
    @Option(help: ArgumentHelp("Admission plugins to turn on beside the usual ones, such as AlwaysPullImages.", valueName: "names"))
    var enableAdmissionPlugins: String?
    @Option(help: ArgumentHelp("Admission plugins to turn off.", valueName: "names"))
    var disableAdmissionPlugins: String?

    /// By upstream's name. Paths are made absolute: the daemon runs elsewhere.
    var changes: [String: String] {
        var out: [String: String] = [:]
        func path(_ name: String, _ value: String?) {
            if let value { out[name] = value.isEmpty || value == "-" ? value : Paths.absolute(value) }
        }
        func number(_ name: String, _ value: Int?) { if let value { out[name] = String(value) } }
        path("audit-policy-file", auditPolicyFile)
        path("audit-log-path", auditLogPath)
        path("audit-webhook-config-file", auditWebhookConfigFile)
        path("authentication-config", authenticationConfig)
        path("token-auth-file", tokenAuthFile)
        if let anonymousAuth { out["anonymous-auth"] = String(anonymousAuth) }
        if let enableAdmissionPlugins { out["enable-admission-plugins"] = enableAdmissionPlugins }
        if let disableAdmissionPlugins { out["disable-admission-plugins"] = disableAdmissionPlugins }
        number("audit-log-maxage", auditLogMaxage)
        number("audit-log-maxbackup", auditLogMaxbackup)
        number("audit-log-maxsize", auditLogMaxsize)
        number("audit-webhook-batch-max-size", auditWebhookBatchMaxSize)
        if let auditWebhookBatchMaxWait { out["audit-webhook-batch-max-wait"] = auditWebhookBatchMaxWait }
        return out
    }
}
