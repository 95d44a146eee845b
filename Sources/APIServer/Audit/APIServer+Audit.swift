import Core
import Machinery
import Transport

extension APIServer {
    /// Who asks; who is refused here is told of only as that.
    func authenticated(_ request: APIRequest) async throws(APIError) -> UserInfo {
        do { return try await parts.authenticators.authenticate(request.http) } catch {
            if let trail = trail(request, UserInfo(name: "")) { trail.refused(error.status) }
            throw error
        }
    }

    /// The account of a request that the audit policy wants; nil for others.
    func trail(_ request: APIRequest, _ user: UserInfo) -> AuditTrail? {
        guard let log = parts.audit else { return nil }
        let asked = Attributes(user: user, info: request.info)
        let decision = log.decide(asked)
        guard decision.level > .none else { return nil }
        return AuditTrail(decision, log, request.http, asked, auditID: request.auditID, received: .now())
    }
}
