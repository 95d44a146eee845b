import Client
import Core
import Machinery
import Schema
import Tree

extension ControllerRunner {
    /// The write that ended a plan.
    struct Failure {
        let action: Action
        let error: any Error
    }

    private struct Outcome: Sendable {
        var reached: [GroupVersionResource: Int64] = [:]
        var failed: (action: Action, error: any Error)?

        mutating func merge(_ other: Outcome) {
            for (resource, revision) in other.reached { reached[resource] = max(reached[resource] ?? 0, revision) }
            if failed == nil { failed = other.failed }
        }
    }

    /// Performs in order until one fails; returns when the view holds all that was written, also before a failure.
    func perform(_ actions: [Action]) async -> Failure? {
        var outcome = Outcome()
        var rest = actions[...]
        while let first = rest.first, outcome.failed == nil {
            let batch = Array(rest.prefix { $0.runs(with: first) })
            rest = rest.dropFirst(max(batch.count, 1))
            outcome.merge(await perform(batch: batch.isEmpty ? [first] : batch))
        }
        for (resource, revision) in outcome.reached { await view.reached(revision, resource) }
        return outcome.failed.map { Failure(action: $0.action, error: $0.error) }
    }

    private func perform(batch: [Action]) async -> Outcome {
        var outcome = Outcome()
        var rest = batch[...]
        // What one cannot create (quota, admission), the others cannot either: one asks for all.
        if batch.count > 2, case .create = batch[0] {
            outcome = await perform(one: batch[0])
            rest = rest.dropFirst()
            if outcome.failed != nil { return outcome }
        }
        if rest.count == 1 {
            outcome.merge(await perform(one: rest[rest.startIndex]))
            return outcome
        }
        return await withTaskGroup(of: Outcome.self, returning: Outcome.self) { [outcome] group in
            for action in rest { group.addTask { await self.perform(one: action) } }
            var all = outcome
            for await one in group { all.merge(one) }
            return all
        }
    }

    private func perform(one action: Action) async -> Outcome {
        var outcome = Outcome()
        do {
            if let (resource, revision) = try await write(action) { outcome.reached[resource] = revision }
        } catch {
            outcome.failed = (action, error)
        }
        return outcome
    }

    private func write(_ action: Action) async throws -> (GroupVersionResource, Int64)? {
        let client = view.client
        switch action {
        case .create(let resource, let object, let announcement):
            do {
                let made = try await client.create(resource, namespace: object.namespace, object)
                announce(announcement, made.name)
                return (resource, made.revision)
            } catch let error as APIError {
                // Nothing can be made in a namespace that ends, and nobody needs to hear of it.
                if error.details?.causes.contains(where: { $0.reason == "NamespaceTerminating" }) == true { return nil }
                announce(announcement, failure: error)
                throw error
            }
        case .update(let resource, let object):
            return (resource, try await client.update(resource, object, subresource: nil).revision)
        case .updateStatus(let resource, let object):
            return (resource, try await client.update(resource, object, subresource: "status").revision)
        case .patch(let resource, let key, let type, let patch, let subresource):
            return (resource, try await client.patch(resource, key, type, patch, subresource: subresource).revision)
        case .delete(let resource, let key, let options, let announcement):
            do {
                let gone = try await client.delete(resource, key, options)
                announce(announcement, key.name)
                return (resource, gone.revision)
            } catch let error as APIError {
                if error.code == 404 { return nil }
                if error.reason != "Conflict" { announce(announcement, failure: error) }
                throw error
            }
        case .post(let resource, let key, let subresource, let object):
            _ = try await client.post(resource, key, subresource: subresource, object)
            return nil
        case .event(let event):
            recorder.record(event)
            return nil
        }
    }

    private func announce(_ announcement: Announcement?, _ name: String) {
        guard let announcement else { return }
        recorder.record(Event(announcement.about, reason: announcement.success, message: announcement.successText + (announcement.namesObject ? name : "")))
    }

    private func announce(_ announcement: Announcement?, failure: APIError) {
        guard let announcement, !announcement.failure.isEmpty else { return }
        recorder.record(Event(announcement.about, .warning, reason: announcement.failure, message: announcement.failureText + failure.message))
    }
}

extension Action {
    fileprivate func runs(with first: Action) -> Bool {
        switch (first, self) {
        case (.create, .create), (.delete, .delete): true
        default: false
        }
    }
}
