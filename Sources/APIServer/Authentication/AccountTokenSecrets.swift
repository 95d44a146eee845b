package import Client
import Core
import Machinery
import Schema
import Tree

/// Fills Secrets of type `kubernetes.io/service-account-token` with their account's token, and deletes those whose account is gone.
/// It follows only those Secrets: the others are many and large.
package struct AccountTokenSecrets: Sendable {
    private let client: any ClusterClient
    private let tokens: ServiceAccountTokens
    private let authority: [UInt8]

    private static let secrets = GroupVersionResource(group: "", version: "v1", resource: "secrets")
    private static let accounts = GroupVersionResource(group: "", version: "v1", resource: "serviceaccounts")
    private static let type = "kubernetes.io/service-account-token"
    private static let nameAnnotation = "kubernetes.io/service-account.name"
    private static let uidAnnotation = "kubernetes.io/service-account.uid"

    package init(client: any ClusterClient, tokens: ServiceAccountTokens, authority: [UInt8]) {
        self.client = client
        self.tokens = tokens
        self.authority = authority
    }

    /// Works until cancelled.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await client.follow(AccountTokenSecrets.secrets, ListOptions(fieldSelector: "type=\(AccountTokenSecrets.type)")) { try await settle($0) } }
            group.addTask { await client.follow(AccountTokenSecrets.accounts) { if $0.isBeingDeleted { try await sweep($0) } } gone: { try await sweep($0) } }
        }
    }

    private func settle(_ secret: Node) async throws {
        guard !secret.isBeingDeleted, let name = secret.annotations[AccountTokenSecrets.nameAnnotation] else { return }
        let uid = secret.annotations[AccountTokenSecrets.uidAnnotation] ?? ""
        do {
            let account: Node
            do { account = try await client.get(AccountTokenSecrets.accounts, ObjectKey(secret.namespace, name)) } catch let error as APIError where error.code == 404 {
                return try await delete(secret)
            }
            guard uid.isEmpty || uid == account.uid else { return try await delete(secret) }
            var filled = secret
            filled["data"]["ca.crt"] = .string(Base64.encode(authority))
            if filled["data"]["namespace"].isEmpty { filled["data"]["namespace"] = .string(Base64.encode(Array(secret.namespace.utf8))) }
            if filled["data"]["token"].isEmpty {
                let token = try tokens.keptToken(namespace: secret.namespace, account: name, uid: account.uid, secret: secret.name)
                filled["data"]["token"] = .string(Base64.encode(Array(token.utf8)))
            }
            guard filled["data"] != secret["data"] else { return }
            filled["metadata"]["annotations"][AccountTokenSecrets.uidAnnotation] = .string(account.uid)
            _ = try await client.update(AccountTokenSecrets.secrets, filled, subresource: nil)
        } catch let error as APIError where error.code == 404 || error.code == 409 {
            // It changed meanwhile: the next event brings it again.
            return
        }
    }

    private func sweep(_ account: Node) async throws {
        let mine = try await client.list(
            AccountTokenSecrets.secrets, ListOptions(namespace: account.namespace, fieldSelector: "type=\(AccountTokenSecrets.type)"))
        for secret in mine.items where secret.annotations[AccountTokenSecrets.nameAnnotation] == account.name { try await settle(secret) }
    }

    private func delete(_ secret: Node) async throws {
        do { _ = try await client.delete(AccountTokenSecrets.secrets, ObjectKey(secret.namespace, secret.name), DeleteOptions(uid: secret.uid)) } catch
            let error as APIError where error.code == 404
        {}
    }
}
