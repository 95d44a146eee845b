package import Core
package import Machinery
import Schema
package import Store
import Synchronization
package import Tree

/// custom.metrics.k8s.io out of what pods tell on their own: a pod's metric is the sum of its series, that of anything with pods
/// (a Service, a workload, a namespace) the sum over its pods. Nothing is kept: who asks has the pods asked.
package final class CustomMetrics: EmbeddedAPI {
    private struct Seen {
        var names: Set<String> = []
        var generation = 0
        var refreshed: Timestamp?
    }

    private let store: Store
    private let catalog: ResourceCatalog
    private let scraper: PodScraper
    private let time: any TimeSource
    private let seen = Mutex(Seen())
    /// How long what was seen at a refresh will do, whoever asks.
    private static let pause: Duration = .seconds(2)

    package init(_ store: Store, _ catalog: ResourceCatalog, scraper: PodScraper = PodScraper(), time: any TimeSource = SystemTime()) {
        self.store = store
        self.catalog = catalog
        self.scraper = scraper
        self.time = time
    }

    package let group = "custom.metrics.k8s.io"
    package let versions = ["v1beta2", "v1beta1"]
    package var generation: Int { seen.withLock { $0.generation } }

    // MARK: - What there is

    package func resources(_ version: String) -> [Node] {
        seen.withLock { $0.names }.sorted().flatMap { name in
            [("namespaces", false), ("pods", true), ("services", true)].map { resource, isNamespaced in
                [
                    "name": .string("\(resource)/\(name)"), "singularName": "", "namespaced": .bool(isNamespaced), "kind": "MetricValueList",
                    "verbs": ["get"],
                ]
            }
        }
    }

    package func refresh() async {
        let now = time.now()
        let isDue = seen.withLock { seen in
            if let last = seen.refreshed, last <= now, now < last + CustomMetrics.pause { return false }
            seen.refreshed = now
            return true
        }
        guard isDue, let pods = try? objects("pods", namespace: "") else { return }
        let names = Set(await scraper.samples(of: pods).flatMap { $0.samples.map(\.name) })
        seen.withLock { seen in
            guard seen.names != names else { return }
            seen.names = names
            seen.generation += 1
        }
    }

    // MARK: - Values

    package func answer(_ info: RequestInfo, _ query: @Sendable (String) -> String?) async throws(APIError) -> Node {
        guard info.verb == "get" else { throw info.verb == "list" ? .pathNotFound : .methodNotAllowed }
        let asked = try Question(info, objects: query("labelSelector") ?? "", series: query("metricLabelSelector") ?? "")
        let subjects = try subjects(of: asked)
        let all = try objects("pods", namespace: asked.namespace).filter(PodScraper.mayAsk)
        let told = await scraper.samples(of: all.filter { pod in subjects.contains { $0.has(pod) } })
        let now = Node.string(time.now().rfc3339)
        let items = subjects.compactMap { subject -> Node? in
            let values = told.filter { subject.has($0.pod) }.compactMap { PrometheusText.milliValue(of: asked.metric, matching: asked.series, in: $0.samples) }
            guard !values.isEmpty else { return nil }
            let total = values.reduce(Int64(0)) { $0.addingReportingOverflow($1).overflow ? Int64.max : $0 + $1 }
            return value(total, of: subject, asked, now)
        }
        guard !items.isEmpty else { throw CustomMetrics.notFound(asked) }
        return ["kind": "MetricValueList", "apiVersion": .string("\(group)/\(info.version)"), "metadata": [:], "items": .list(items)]
    }

    private func value(_ milli: Int64, of subject: Subject, _ asked: Question, _ now: Node) -> Node {
        var object: Node = ["kind": .string(subject.kind)]
        if !subject.namespace.isEmpty { object["namespace"] = .string(subject.namespace) }
        object["name"] = .string(subject.name)
        object["apiVersion"] = .string(subject.apiVersion)
        let amount = Node.string(Quantity(milli: milli).description)
        var item: Node
        if asked.version == "v1beta1" {
            item = ["describedObject": object, "metricName": .string(asked.metric), "timestamp": now, "value": amount]
            if asked.selector.isNull { item.setNull("selector") } else { item["selector"] = asked.selector }
            return item
        }
        var metric: Node = ["name": .string(asked.metric)]
        if asked.selector.isNull { metric.setNull("selector") } else { metric["selector"] = asked.selector }
        return ["describedObject": object, "metric": metric, "timestamp": now, "value": amount]
    }

    private static func notFound(_ asked: Question) -> APIError {
        let one = asked.name == "*" ? "" : " \(asked.name)"
        return APIError(code: 404, reason: "NotFound", message: "the server could not find the metric \(asked.metric) for \(asked.resource)\(one)", details: nil)
    }

    // MARK: - Of what

    /// An object whose metric is asked for, and which pods tell it.
    private struct Subject {
        let kind: String
        let apiVersion: String
        let namespace: String
        let name: String
        let has: @Sendable (Node) -> Bool
    }

    private func subjects(of asked: Question) throws(APIError) -> [Subject] {
        if asked.resource == "namespaces" {
            let name = asked.namespace
            guard store.get(Key("namespaces", name: name)) != nil else { throw .notFound("namespaces", name: name) }
            return [Subject(kind: "Namespace", apiVersion: "v1", namespace: "", name: name) { $0.namespace == name }]
        }
        guard let resource = catalog.all.first(where: { $0.isNamespaced && $0.group == asked.group && $0.plural == asked.plural }), !asked.namespace.isEmpty else {
            throw CustomMetrics.notFound(asked)
        }
        let objects = try objects(resource.collection, namespace: asked.namespace).filter { object in
            asked.name == "*" ? asked.objects.matches(object["metadata"]["labels"]) : object.name == asked.name
        }
        if objects.isEmpty, asked.name != "*" { throw .notFound(resource.plural, group: resource.group, name: asked.name) }
        let isPod = resource.collection == "pods"
        return objects.map { object in
            Subject(
                kind: resource.kind, apiVersion: resource.resource.gvk.apiVersion, namespace: object.namespace, name: object.name,
                has: isPod ? CustomMetrics.itself(object.name) : CustomMetrics.members(of: object))
        }
    }

    private static func itself(_ name: String) -> @Sendable (Node) -> Bool { { $0.name == name } }

    /// The pods that a selector in a spec names, of whichever of the two forms it is; none where there is no selector.
    private static func members(of object: Node) -> @Sendable (Node) -> Bool {
        let selector = object["spec"]["selector"]
        guard !selector.isEmpty else { return { _ in false } }
        let isObject = !selector["matchLabels"].isNull || !selector["matchExpressions"].isNull
        let labels = isObject ? LabelSelector(object: selector) : LabelSelector(equals: selector.stringMap)
        return { labels.matches($0["metadata"]["labels"]) }
    }

    private func objects(_ collection: String, namespace: String) throws(APIError) -> [Node] {
        do {
            return try store.list(collection, namespace: namespace.isEmpty ? nil : namespace).records.map { try $0.sharedNode() }
        } catch let error as APIError { throw error } catch { throw .internalError("\(error)") }
    }

    /// What a path and its options ask: `namespaces/NS/pods/*/METRIC`, `namespaces/NS/metrics/METRIC`.
    private struct Question {
        let version: String
        let namespace: String
        /// `pods`, `deployments.apps`.
        let resource: String
        /// Or `*`, for those that `objects` selects.
        let name: String
        let metric: String
        let objects: LabelSelector
        let series: LabelSelector
        /// `series` as an object; null where it is everything.
        let selector: Node

        var plural: String { resource.split(separator: ".", maxSplits: 1).first.map(String.init) ?? "" }
        var group: String { resource.split(separator: ".", maxSplits: 1).dropFirst().first.map(String.init) ?? "" }

        init(_ info: RequestInfo, objects: String, series: String) throws(APIError) {
            version = info.version
            namespace = info.namespace
            let isNamespace = info.resource == "metrics" && info.parts.count == 2 && !info.namespace.isEmpty
            guard isNamespace || info.parts.count == 3 else { throw .pathNotFound }
            resource = isNamespace ? "namespaces" : info.resource
            name = isNamespace ? info.namespace : info.name
            metric = isNamespace ? info.name : info.subresource
            do {
                self.objects = try LabelSelector(parsing: objects)
                self.series = try LabelSelector(parsing: series)
            } catch { throw .badRequest("\(error)") }
            selector = CustomMetrics.object(self.series)
        }
    }

    private static func object(_ selector: LabelSelector) -> Node {
        guard !selector.isEverything else { return .null }
        var out = Node.emptyMap
        for requirement in selector.requirements {
            switch requirement.op {
            case .equals, .doubleEquals: out["matchLabels"][requirement.key] = .string(requirement.values.first ?? "")
            case .isIn, .notIn, .notEquals:
                out["matchExpressions"].append(
                    ["key": .string(requirement.key), "operator": requirement.op == .isIn ? "In" : "NotIn", "values": Node(requirement.values.sorted())])
            case .exists: out["matchExpressions"].append(["key": .string(requirement.key), "operator": "Exists"])
            case .doesNotExist: out["matchExpressions"].append(["key": .string(requirement.key), "operator": "DoesNotExist"])
            case .greaterThan, .lessThan: continue
            }
        }
        return out
    }
}
