import Client
import Core
import HostNetwork
import Linux
import Machinery
import Testing
import Tree

@testable import Platform

/// The answer section in a form that tests can name, sorted; nil where there is no such name.
private func resolve(_ namespace: NetworkNamespace, _ name: String, _ type: UInt16 = 1) async throws -> [String]? {
    var bytes: [UInt8] = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    for label in name.split(separator: ".") { bytes += [UInt8(label.utf8.count)] + Array(label.utf8) }
    bytes += [0, UInt8(type >> 8), UInt8(type & 255), 0, 1]
    guard let reply = try await question(namespace, bytes), reply[3] & 15 == 0 else { return nil }
    var found: [String] = []
    var offset = bytes.count
    for _ in 0..<(Int(reply[6]) << 8 | Int(reply[7])) {
        _ = readName(reply, &offset)
        let kind = Int(reply[offset]) << 8 | Int(reply[offset + 1])
        let length = Int(reply[offset + 8]) << 8 | Int(reply[offset + 9])
        offset += 10
        var data = offset
        switch kind {
        case 1: found.append(reply[offset..<(offset + 4)].map(String.init).joined(separator: "."))
        case 5: found.append("CNAME \(readName(reply, &data))")
        case 33:
            data += 6
            found.append("SRV \(Int(reply[offset + 4]) << 8 | Int(reply[offset + 5])) \(readName(reply, &data))")
        default: found.append("TYPE\(kind)")
        }
        offset += length
    }
    return found.sorted()
}

private func readName(_ bytes: [UInt8], _ offset: inout Int) -> String {
    var labels: [String] = []
    var at = offset
    var end: Int?
    while bytes[at] != 0 {
        if bytes[at] >= 0xC0 {
            end = end ?? at + 2
            at = Int(bytes[at] & 0x3F) << 8 | Int(bytes[at + 1])
            continue
        }
        labels.append(String(decoding: bytes[(at + 1)...(at + Int(bytes[at]))], as: UTF8.self))
        at += 1 + Int(bytes[at])
    }
    offset = end ?? at + 1
    return labels.joined(separator: ".")
}

@Suite(.enabled(if: isRoot, needsRoot))
struct ServiceNamesTests {
    @Test func servicesHaveNames() async throws {
        try await TestPlane.run { plane in
            let (api, node) = (plane.api, plane.nodes[0].namespace)
            try await api.make(
                .services,
                "{metadata: {name: web}, spec: {clusterIP: 10.96.0.50, ports: [{name: http, port: 80, protocol: TCP}, {name: log, port: 514, protocol: UDP}]}}")
            try await api.make(.services, "{metadata: {name: db}, spec: {clusterIP: None, ports: [{name: sql, port: 5432, protocol: TCP}]}}")
            try await api.make(
                .endpointSlices,
                """
                metadata: {name: db-1, labels: {kubernetes.io/service-name: db}}
                addressType: IPv4
                ports: [{name: sql, port: 15432, protocol: TCP}]
                endpoints:
                - {addresses: [10.244.0.5], hostname: db-0, conditions: {ready: true}}
                - {addresses: [10.244.0.6], hostname: db-1, conditions: {ready: false, serving: true}}
                """)
            try await api.make(.services, "{metadata: {name: out}, spec: {type: ExternalName, externalName: www.example.com}}")
            try await eventually("a service") { try await resolve(node, "web.default.svc.cluster.local") == ["10.96.0.50"] }
            #expect(try await resolve(node, "_log._udp.web.default.svc.cluster.local", 33) == ["SRV 514 web.default.svc.cluster.local"])
            try await eventually("a headless one") { try await resolve(node, "db.default.svc.cluster.local") == ["10.244.0.5"] }
            #expect(try await resolve(node, "db-0.db.default.svc.cluster.local") == ["10.244.0.5"])
            #expect(try await resolve(node, "db-1.db.default.svc.cluster.local") == nil, "an unready one has no name")
            #expect(try await resolve(node, "_sql._tcp.db.default.svc.cluster.local", 33) == ["SRV 15432 db-0.db.default.svc.cluster.local"])
            try await eventually("an external one") { try await resolve(node, "out.default.svc.cluster.local") == ["CNAME www.example.com"] }
            #expect(try await resolve(plane.host, "web.default.svc.cluster.local") == ["10.96.0.50"], "from the machine too")
            try await eventually("the DNS's own") { try await resolve(node, "kube-dns.kube-system.svc.cluster.local") == ["10.96.0.10"] }

            try await api.patch(.endpointSlices, "db-1", "{endpoints: [{addresses: [10.244.0.6], hostname: db-1, conditions: {ready: true}}]}")
            try await eventually("endpoints changed") { try await resolve(node, "db-1.db.default.svc.cluster.local") == ["10.244.0.6"] }
            #expect(try await resolve(node, "db.default.svc.cluster.local") == ["10.244.0.6"])
            try await api.delete(.services, "web")
            try await eventually("gone") { try await resolve(node, "web.default.svc.cluster.local") == nil }
        }
    }
}
