import Machinery
import Store
import Tree

/// LIST: a page of a collection at one revision, from memory.
struct ListVerb: Sendable {
    let store: Store

    struct Page {
        var records: [Record]
        var metadata: Rendering.ListMetadata
    }

    func page(_ resource: ServedResource, namespace: String, _ query: ListQuery) throws(APIError) -> Page {
        let namespace: String? = namespace.isEmpty ? nil : namespace
        let position = try start(query, namespace)
        let snapshot: Snapshot
        do { snapshot = try store.snapshot(of: resource.collection, at: position.revision) } catch {
            throw ListVerb.failure(error, query, asked: position.revision, resource)
        }
        if let name = query.selection.name, let namespace = namespace ?? (resource.isNamespaced ? nil : "") {
            let record = snapshot.record(namespace: namespace, name: name)
            return Page(records: record.map { query.selection.matches($0) ? [$0] : [] } ?? [], metadata: .init(revision: snapshot.revision))
        }
        let limit = query.limit > 0 ? query.limit : nil
        if query.selection.isEverything {
            let page = snapshot.page(namespace: namespace, after: position.after, limit: limit)
            var metadata = Rendering.ListMetadata(revision: snapshot.revision)
            if page.remaining > 0, let last = page.records.last {
                metadata.continueToken = ListVerb.token(snapshot.revision, last.key)
                metadata.remaining = page.remaining
            }
            return Page(records: page.records, metadata: metadata)
        }
        return selected(snapshot, namespace, after: position.after, limit: limit, query.selection)
    }

    /// The same for any selection: fields that only a webhook can tell are looked at after it was asked.
    func page(_ resource: ServedResource, namespace: String, _ query: ListQuery, _ rendering: Rendering) async throws(APIError) -> Page {
        guard query.selection.needsConversion else { return try page(resource, namespace: namespace, query) }
        var open = query
        open.selection.fields = nil
        open.limit = 0
        var page = try page(resource, namespace: namespace, open)
        try await rendering.prepare(page.records)
        page.records = page.records.filter { query.selection.matches($0) { try? rendering.served($0) } }
        page.metadata.remaining = nil
        if query.limit > 0, page.records.count > query.limit {
            page.records.removeLast(page.records.count - query.limit)
            if let last = page.records.last { page.metadata.continueToken = ListVerb.token(page.metadata.revision, last.key) }
        }
        return page
    }

    /// Walks on until enough match. With selectors the number that remains is not told, as upstream does not know it either.
    private func selected(_ snapshot: Snapshot, _ namespace: String?, after: ListPosition?, limit: Int?, _ selection: Selection) -> Page {
        var records: [Record] = []
        var metadata = Rendering.ListMetadata(revision: snapshot.revision)
        snapshot.forEach(namespace: namespace, after: after) { record in
            guard selection.matches(record) else { return true }
            if let limit, records.count == limit, let last = records.last {
                metadata.continueToken = ListVerb.token(snapshot.revision, last.key)
                return false
            }
            records.append(record)
            return true
        }
        return Page(records: records, metadata: metadata)
    }

    private static func token(_ revision: Int64, _ last: Key) -> String {
        ContinueToken(revision: revision, start: last.namespace.isEmpty ? last.name : "\(last.namespace)/\(last.name)").description
    }

    private static func position(_ token: ContinueToken, _ namespace: String?) -> ListPosition {
        let parts = token.start.split(separator: "/", maxSplits: 1).map(String.init)
        return parts.count == 2 ? ListPosition(namespace: parts[0], name: parts[1]) : ListPosition(namespace: namespace ?? "", name: token.start)
    }

    private func start(_ query: ListQuery, _ namespace: String?) throws(APIError) -> (revision: Int64?, after: ListPosition?) {
        guard query.continueToken.isEmpty else {
            if let version = query.resourceVersion, version != 0 {
                throw APIError.badRequest("specifying resource version is not allowed when using continue")
            }
            let token: ContinueToken
            do { token = try ContinueToken(parsing: query.continueToken) } catch { throw APIError.badRequest("invalid continue token: \(error.message)") }
            // A revision of -1 asks for the rest as it is now.
            return (token.revision < 0 ? nil : token.revision, ListVerb.position(token, namespace))
        }
        guard let version = query.resourceVersion, version > 0 else { return (nil, nil) }
        if query.match == .exact { return (version, nil) }
        let current = store.currentRevision
        if version > current { throw StoreError.tooLarge(current: current, asked: version) }
        return (nil, nil)
    }

    private static func failure(_ error: StoreError, _ query: ListQuery, asked: Int64?, _ resource: ServedResource) -> APIError {
        switch error {
        case .expired:
            guard !query.continueToken.isEmpty, let token = try? ContinueToken(parsing: query.continueToken) else {
                return .expired("The resourceVersion for the provided list is too old.")
            }
            var gone = APIError.expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.")
            gone.continueToken = ContinueToken(revision: -1, start: token.start).description
            return gone
        case .future(let current): return StoreError.tooLarge(current: current, asked: asked)
        default: return error.apiError(resource, name: "")
        }
    }
}
