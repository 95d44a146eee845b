import Client
import Core
import HostNetwork
import Linux
import Testing
import Tree

@testable import Platform

@Suite struct ServiceSnapshotTests {
    private func snapshot(_ spec: String, status: String = "{}", labels: String = "{}", slices: [String] = []) throws -> ServiceSnapshot {
        let service = try YAMLReader.read(Array("{metadata: {name: web, namespace: default, labels: \(labels)}, spec: \(spec), status: \(status)}".utf8))
        return ServiceSnapshot(key: ObjectKey("default", "web"), service: service, slices: try slices.map { try YAMLReader.read(Array($0.utf8)) })
    }

    @Test func everyWayInIsCarriedOver() throws {
        let found = try snapshot(
            """
            {type: LoadBalancer, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9, 'fd00::9'], externalIPs: [192.0.2.1], sessionAffinity: ClientIP,
             sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}, externalTrafficPolicy: Local, internalTrafficPolicy: Local,
             ports: [{name: a, port: 80, nodePort: 30080, protocol: TCP}, {name: b, port: 53, protocol: UDP}, {name: c, port: 99, protocol: SCTP}]}
            """, status: "{loadBalancer: {ingress: [{ip: 10.89.255.1, ipMode: VIP}, {ip: 10.89.255.2, ipMode: Proxy}, {hostname: x}]}}"
        ).ports
        #expect(found.map(\.id.port) == ["a", "b", "c"] && found.map(\.transport) == [.tcp, .udp, .sctp] && found.map(\.port) == [80, 53, 99])
        #expect(found.map(\.nodePort) == [30080, nil, nil])
        let first = try #require(found.first)
        #expect(first.clusterIPs.map(\.description) == ["10.96.0.9", "fd00::9"])
        #expect(first.externalIPs == [IPAddress(192, 0, 2, 1)] && first.loadBalancerIPs == [IPAddress(10, 89, 255, 1)])
        #expect(first.affinitySeconds == 60 && first.externalTrafficLocal && first.internalTrafficLocal)
        let plain = try snapshot("{clusterIP: 10.96.0.9, sessionAffinity: ClientIP, ports: [{port: 80, nodePort: 30080}]}", status: "{loadBalancer: {ingress: [{ip: 10.89.255.1}]}}").ports
        #expect(plain.first?.affinitySeconds == 10_800 && plain.first?.nodePort == nil && plain.first?.loadBalancerIPs == [])
    }

    @Test(arguments: [
        "{clusterIP: None, ports: [{port: 80}]}", "{type: ExternalName, externalName: a.b, ports: [{port: 80}]}", "{ports: [{port: 80}]}", "{clusterIP: '', ports: [{port: 80}]}",
        "{clusterIP: 10.96.0.9}", "{clusterIP: 10.96.0.9, ports: [{port: 0}]}",
    ]) func someHaveNoRules(_ spec: String) throws {
        #expect(try snapshot(spec).ports == [])
    }

    @Test func othersProxiesServicesAreTheirs() throws {
        let spec = "{clusterIP: 10.96.0.9, ports: [{port: 80}]}"
        #expect(try snapshot(spec, labels: "{service.kubernetes.io/service-proxy-name: mine}").ports == [])
        #expect(try snapshot(spec, labels: "{service.kubernetes.io/headless: ''}").ports == [])
        #expect(try snapshot(spec).ports.count == 1)
    }

    @Test func endpointsComeByNameAndProtocolOfTheirPort() throws {
        let slices = [
            """
            {addressType: IPv4, ports: [{name: http, port: 8080, protocol: TCP}, {name: http, port: 8081, protocol: UDP}, {name: other, port: 1}, {name: http, protocol: TCP}],
             endpoints: [{addresses: [10.244.0.2], nodeName: one}, {addresses: [10.244.0.3], conditions: {ready: false, serving: true, terminating: true}}]}
            """,
            "{addressType: FQDN, ports: [{name: http, port: 8080, protocol: TCP}], endpoints: [{addresses: [a.example.com]}]}",
            "{addressType: IPv4, ports: [{name: http, port: 9090}], endpoints: [{addresses: [10.244.1.2], conditions: {ready: true}, nodeName: two}]}",
        ]
        let ports = try snapshot("{clusterIP: 10.96.0.9, ports: [{name: http, port: 80, targetPort: web, protocol: TCP}]}", slices: slices).ports
        #expect(
            ports.first?.endpoints == [
                Endpoint(IPAddress(10, 244, 0, 2), port: 8080, serving: true, node: "one"),
                Endpoint(IPAddress(10, 244, 0, 3), port: 8080, ready: false, serving: true, terminating: true),
                Endpoint(IPAddress(10, 244, 1, 2), port: 9090, node: "two"),
            ])
    }

    @Test func aLivingEndpointCountsBeforeAnEndingOneOfTheSameAddress() throws {
        let living = "{addressType: IPv4, ports: [{port: 8080}], endpoints: [{addresses: [10.244.0.2], conditions: {ready: true}}]}"
        let ending = "{addressType: IPv4, ports: [{port: 8080}], endpoints: [{addresses: [10.244.0.2], conditions: {ready: false, terminating: true}}]}"
        for slices in [[living, ending], [ending, living]] {
            let endpoints = try snapshot("{clusterIP: 10.96.0.9, ports: [{port: 80}]}", slices: slices).ports.first?.endpoints
            #expect(endpoints == [Endpoint(IPAddress(10, 244, 0, 2), port: 8080)])
        }
    }

    @Test func namesFollowTheShape() throws {
        #expect(try snapshot("{clusterIP: '', ports: [{port: 80}]}").names == nil)
        #expect(try snapshot("{type: ExternalName, externalName: a.b}").names?.kind == .external("a.b"))
        #expect(try snapshot("{clusterIP: 10.96.0.9, ports: [{name: x, port: 80}]}").names?.kind == .cluster([IPAddress(10, 96, 0, 9)], [.init(name: "x", port: 80)]))
        let slice = "{addressType: IPv4, endpoints: [{addresses: [10.244.0.2], hostname: a}, {addresses: [10.244.0.3], conditions: {ready: false}}]}"
        #expect(try snapshot("{clusterIP: None}", slices: [slice]).names?.kind == .headless([.init(IPAddress(10, 244, 0, 2), hostname: "a")]))
        #expect(ServiceSnapshot(key: ObjectKey("default", "web"), service: nil, slices: []).names == nil)
    }
}
