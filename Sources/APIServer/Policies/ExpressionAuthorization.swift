import CEL
import Machinery
import Tree

/// The cluster's authorizer as expressions ask it: about the user of the request, or about a service account.
struct ExpressionAuthorization: ExpressionAuthorizer {
    let authorizer: RBACAuthorizer
    let user: UserInfo

    func decide(_ question: AuthorizationQuestion) -> AuthorizationAnswer {
        var user = user
        if let account = question.serviceAccount {
            user = UserInfo(
                name: "system:serviceaccount:\(account.namespace):\(account.name)",
                groups: ["system:serviceaccounts", "system:serviceaccounts:\(account.namespace)", "system:authenticated"])
        }
        let asked =
            question.path.isEmpty
            ? Attributes(
                user: user, verb: question.verb, group: question.group, resource: question.resource, subresource: question.subresource,
                namespace: question.namespace, name: question.name)
            : Attributes(user: user, verb: question.verb, path: question.path)
        return AuthorizationAnswer(isAllowed: authorizer.allows(asked))
    }
}
