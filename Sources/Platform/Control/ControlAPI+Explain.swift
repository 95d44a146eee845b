import Client
import Transport
import Tree

/// Why a pod is where it is, or nowhere.
extension ControlAPI {
    func explain(_ exchange: HTTPExchange) async throws {
        guard let name = query(exchange, "pod"), !name.isEmpty else { throw ControlFailure(400, "\"pod\" is missing") }
        let key = ObjectKey(query(exchange, "namespace") ?? "default", name)
        guard let answer = try await cluster.explain(key) else {
            throw ControlFailure(404, "pod \"\(name)\" not found in namespace \"\(key.namespace)\"", hint: "Another namespace: --namespace NAME")
        }
        self.answer(exchange, answer)
    }
}
