import Machinery
import Testing
import Tree

struct SelectorTests {
    private func labelFailure(_ text: String) -> String {
        do throws(SelectorFailure) {
            _ = try LabelSelector(parsing: text)
            return "no error"
        } catch {
            return error.description
        }
    }

    @Test(arguments: [
        ("", true), ("app=web", true), ("app==web", true), ("app!=web", false), ("app in (web,db)", true), ("app notin (db)", true), ("app", true), ("!app", false),
        ("!none", true), ("none!=x", true), ("none notin (x)", true), ("none=x", false), ("n>4", true), ("n<4", false), ("n>5", false), ("app=web,n=5", true),
        ("app=web,n=6", false), ("empty=", true), ("empty in ()", true), ("empty in (,a)", true), (" app = web , n ", true), ("in in (in)", false),
    ]) func matchingFollowsUpstream(_ text: String, _ expected: Bool) throws {
        let labels = ["app": "web", "n": "5", "empty": ""]
        let selector = try LabelSelector(parsing: text)
        #expect(selector.matches(labels) == expected)
        #expect(selector.matches(Node(labels)) == expected)
    }

    @Test(arguments: [
        ("a=b,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        ("a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"),
    ]) func brokenTextIsRefusedInUpstreamsWords(_ text: String, _ expected: String) {
        #expect(labelFailure(text) == expected)
    }

    @Test func keysAndValuesAreChecked() {
        #expect(labelFailure("-a=b").hasPrefix("unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of alphanumeric characters"))
        #expect(labelFailure("a=-b").hasPrefix("unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be an empty string or"))
    }

    @Test func textIsSortedByKey() throws {
        #expect(try LabelSelector(parsing: "z in (b,a),a!=1,!m").description == "a!=1,!m,z in (a,b)")
    }

    @Test func objectsSelectAsUpstream() {
        let object: Node = ["matchLabels": ["app": "web"], "matchExpressions": [["key": "tier", "operator": "In", "values": ["a", "b"]], ["key": "old", "operator": "DoesNotExist"]]]
        let selector = LabelSelector(object: object)
        #expect(selector.matches(["app": "web", "tier": "b"]))
        #expect(!selector.matches(["app": "web", "tier": "c"]))
        #expect(!selector.matches(["app": "web", "tier": "a", "old": ""]))
        #expect(LabelSelector(object: [:]).matches(["a": "b"]))
        #expect(!LabelSelector(object: .null).matches([String: String]()))
        #expect(selector.exactValue(of: "app") == "web")
    }

    @Test func objectsAreValidated() {
        let bad: Node = ["matchExpressions": [["key": "a", "operator": "In"], ["key": "b", "operator": "Exists", "values": ["x"]], ["key": "c", "operator": "Is"]]]
        #expect(LabelSelector.errors(bad, at: NodePath([.key("spec"), .key("selector")])).map(\.description) == [
            "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            "spec.selector.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            "spec.selector.matchExpressions[2].operator: Invalid value: \"Is\": not a valid selector operator",
        ])
    }

    @Test func fieldSelectorsMatchAndEscape() throws {
        let selector = try FieldSelector(parsing: #"metadata.name=a\,b,status.phase!=Running,spec.x=="#)
        #expect(selector.matches { ["metadata.name": "a,b", "status.phase": "Pending"][$0] })
        #expect(!selector.matches { ["metadata.name": "a,b", "status.phase": "Running"][$0] })
        #expect(selector.exactValue(of: "metadata.name") == "a,b")
        #expect(selector.exactValue(of: "status.phase") == nil)
        #expect(try FieldSelector(parsing: selector.description) == selector)
        #expect(throws: SelectorFailure.self) { try FieldSelector(parsing: "what") }
        #expect(throws: SelectorFailure.self) { try FieldSelector(parsing: #"a=b\c"#) }
        #expect(throws: SelectorFailure.self) { try FieldSelector(parsing: "a=b=c") }
    }

    @Test(arguments: [
        ("a", 0), ("a-b", 0), ("-a", 1), ("a.b", 1), ("A", 1), ("", 1), (String(repeating: "a", count: 63), 0), (String(repeating: "a", count: 64), 1),
    ]) func dnsLabels(_ name: String, _ errors: Int) {
        #expect(NameFormat.dnsLabel(name).count == errors)
    }

    @Test func nameFormatsSpeakUpstreamsWords() {
        #expect(NameFormat.dnsLabel("a.b") == ["must not contain dots"])
        #expect(NameFormat.dnsSubdomain("A_b") == [
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        ])
        #expect(NameFormat.dns1035Label("1a").count == 1)
        #expect(NameFormat.qualifiedName("a/b/c").first?.hasPrefix("a valid label key must consist of") == true)
        #expect(NameFormat.qualifiedName("/x") == ["prefix part must be non-empty"])
        #expect(NameFormat.qualifiedName("example.com/My_Name.x") == [])
        #expect(NameFormat.labelValue("") == [])
        #expect(NameFormat.configMapKey("..a") == ["must not start with '..'"])
        #expect(NameFormat.portName("a--b") == ["must not contain consecutive hyphens"])
        #expect(NameRule.dnsLabel.errors("web-", prefix: true) == [])
        #expect(NameRule.dnsLabel.errors("web-").count == 1)
    }
}
