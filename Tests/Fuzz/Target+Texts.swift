import APIServer
import Core
import Machinery
import Transport
import Tree

extension Target {
    static func texts(_ corpus: Corpus) -> [Target] {
        [
            text("labels", share: 4, ["app=a,tier in (x,y),!old", "a.b/c notin (),x!=y,n>5,m<3", "  key , k2==v2 ", "environment in (production, qa)"], words: ["in", "notin", "(", ")", ",", "!", "=", "==", "!=", ">", "<", "exists", "()"]) { input in
                guard let selector = try? LabelSelector(parsing: input) else { return }
                _ = selector.matches(["app": "a", "tier": "x", "n": "9223372036854775808"])
                _ = "\(selector)"
                _ = try? LabelSelector(parsing: "\(selector)")
            },
            text("fields", ["metadata.name=a,status.phase!=Running", "a==b\\,c\\=d\\\\,e="], words: ["=", "!=", "==", ",", "\\", "\\,"]) { input in
                guard let selector = try? FieldSelector(parsing: input) else { return }
                _ = selector.matches { _ in "a" }
                _ = "\(selector)"
            },
            text("quantity", ["100Mi", "1.5", "-2e3", "12345678901234567890n", "1Ei", "0.000001u", ".5k"], words: ["e", "E", ".", "Ki", "n", "u", "m", "-", "+", "9999999999", "e-99999", "00000000000000000000"]) { input in
                guard let quantity = try? Quantity(parsing: input) else { return }
                _ = quantity.description
                _ = (quantity + quantity - Quantity(1)).description
                _ = quantity < Quantity(milli: 5)
                _ = try? Quantity(parsing: quantity.description)
            },
            text("times", ["2026-01-02T03:04:05.678Z", "0001-01-01T00:00:00+23:59", "1h2m3.5s", "-106751d", "9223372036854775807ns", "1.000000000000000001h"], words: ["T", "Z", "+", "-", ":", "h", "ms", "\u{B5}s", "9999999999999999999", "."]) { input in
                _ = Timestamp(rfc3339: input).map { ($0.rendered(fractionDigits: 9), $0 + .seconds(1)) }
                _ = GoDuration.parse(input).map(GoDuration.render)
                _ = TimeZoneRules(named: input)
            },
            text("names", ["web-1.example.com", "a.b/c-d", "*.x.y", "2001:db8::1/64", "10.0.0.1", "https://a/b", "a@b.c", "%d", "A_b"], words: [".", "-", "/", "*", "::", "é", "%", "..", "_"]) { input in
                for check in [NameFormat.dnsLabel, NameFormat.dnsSubdomain, NameFormat.searchPath, NameFormat.dns1035Label, NameFormat.wildcardSubdomain, NameFormat.qualifiedName, NameFormat.labelValue, NameFormat.cIdentifier, NameFormat.portName, NameFormat.configMapKey, NameFormat.environmentName, NameFormat.percent, NameFormat.httpHeaderName] { _ = check(input) }
                for format in ["ipv4", "ipv6", "cidr", "uri", "email", "hostname", "uuid", "date", "date-time", "duration", "byte", "mac", "isbn", "creditcard", "ssn", "hexcolor", "rgbcolor", "bsonobjectid", "password"] { _ = StringFormat.accepts(format, input) }
                _ = try? ContinueToken(parsing: input)
                _ = HTTPAddress(input)
            },
            text("metrics", ["# HELP a b\n# TYPE a counter\na{x=\"y\",z=\"\\\"\\n\"} 1.5 1700000000\na 2\na{} NaN\na{x=\"q\"} +Inf\n"], words: ["{", "}", "\"", "=", ",", "\\", "\n", "a{", "1e309", "-Inf"]) { input in
                _ = PrometheusText.milliValue(of: "a", matching: LabelSelector(equals: ["x": "y"]), in: PrometheusText.samples(in: input))
            },
            certificates(),
        ]
    }

    private static func certificates() -> Target {
        let key = try? PrivateKey(.ecdsaP256)
        let authority = try? CertificateAuthority.create(commonName: "fuzz")
        let pem = authority.map { String(decoding: $0.identity.certificatePEM, as: UTF8.self) } ?? ""
        let request = key.flatMap { try? CertificateRequest.make(key: $0, subject: .init(commonName: "a", organizations: ["b"]), names: .init(dns: ["a.b"], addresses: ["::1"])) } ?? []
        let token = key.flatMap { try? JWT.sign(Array("{\"iss\":\"a\",\"exp\":1}".utf8), key: $0) } ?? ""
        return bytes("certificates", share: 3, [Array(pem.utf8), request, Array(token.utf8), Array(Base64.decode(pem.split(separator: "\n").dropFirst().dropLast().joined()) ?? [])], words: ["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE REQUEST-----\n", ".", "e30", "==", "\u{30}\u{2}"]) { input in
            _ = try? Certificate.parse(pem: input)
            _ = try? Certificate(der: input)
            _ = try? CertificateRequest(pem: input)
            _ = try? CertificateRequest(der: input)
            _ = JWT.parse(String(decoding: input, as: UTF8.self))
            _ = try? CertificatePool(pem: input)
            _ = Base64.decode(String(decoding: input, as: UTF8.self))
            _ = Encoding.decodeBase64(String(decoding: input, as: UTF8.self))
        }
    }
}
