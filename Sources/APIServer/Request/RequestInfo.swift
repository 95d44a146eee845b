/// What a request is about, read from its method and path alone: upstream's `RequestInfo`, which authorization, flow control
/// and audit all look at. One reference, since it goes everywhere with the request.
package struct RequestInfo: Sendable, Equatable {
    private final class Box: Sendable {
        let path: RequestPath
        init(_ path: RequestPath) { self.path = path }
    }

    private let box: Box

    /// `query` answers the first value of a query parameter: `watch` and `fieldSelector` change the verb and the name.
    package init(method: String, path: String, query: (String) -> String?) { box = Box(RequestPath(method: method, path: path, query: query)) }

    package var isResource: Bool { box.path.isResource }
    /// A deprecated prefix with nothing behind it.
    package var isCut: Bool { box.path.isCut }
    /// For resources: get, list, watch, create, update, patch, delete, deletecollection, proxy; else the method in lowercase.
    package var verb: String { box.path.verb }
    package var path: String { box.path.path }
    package var group: String { box.path.group }
    package var version: String { box.path.version }
    package var namespace: String { box.path.namespace }
    package var resource: String { box.path.resource }
    package var subresource: String { box.path.subresource }
    package var name: String { box.path.name }
    /// Everything after the version (and namespace): `["pods", "a", "proxy", "x", "y"]`.
    package var parts: [String] { box.path.parts }

    package static func == (a: RequestInfo, b: RequestInfo) -> Bool { a.box === b.box || a.box.path == b.box.path }

    static func unescape(_ text: Substring) -> String { RequestPath.unescape(text) }
}

/// The parts of a request's path, as upstream takes it apart.
private struct RequestPath: Sendable, Equatable {
    var isResource = false
    var isCut = false
    var verb = ""
    var path = ""
    var group = ""
    var version = ""
    var namespace = ""
    var resource = ""
    var subresource = ""
    var name = ""
    var parts: [String] = []

    init(method: String, path: String, query: (String) -> String?) {
        self.path = path
        verb = method.lowercased()
        var segments = path.split(separator: "/", omittingEmptySubsequences: true).map { RequestPath.unescape($0) }
        guard segments.count >= 2 else { return }
        switch segments[0] {
        case "api":
            version = segments[1]
            segments.removeFirst(2)
        case "apis":
            guard segments.count >= 3 else { return }
            group = segments[1]
            version = segments[2]
            segments.removeFirst(3)
        default: return
        }
        guard !segments.isEmpty else { return }
        isResource = true
        switch method {
        case "POST": verb = "create"
        case "GET", "HEAD": verb = "get"
        case "PUT": verb = "update"
        case "PATCH": verb = "patch"
        case "DELETE": verb = "delete"
        default: verb = ""
        }
        // The deprecated prefixes: /api/v1/watch/pods, /api/v1/proxy/…
        if segments[0] == "watch" || segments[0] == "proxy" {
            verb = segments.removeFirst()
            if segments.isEmpty {
                isResource = false
                isCut = true
                return
            }
        }
        if segments[0] == "namespaces" {
            if segments.count > 1 {
                namespace = segments[1]
                // namespaces/NAME/status and /finalize are the namespace's own; anything else lives in it.
                if segments.count > 2, segments[2] != "status", segments[2] != "finalize" { segments.removeFirst(2) }
            }
        }
        parts = segments
        resource = segments[0]
        if segments.count > 1 { name = segments[1] }
        if segments.count > 2 { subresource = segments[2] }
        finishCollectionVerbs(query)
    }

    private mutating func finishCollectionVerbs(_ query: (String) -> String?) {
        let wantsWatch = query("watch").map { $0 != "false" && $0 != "0" } ?? false
        if name.isEmpty, verb == "get" {
            verb = wantsWatch ? "watch" : "list"
            // A list or watch of one name is authorized as that name.
            if let selector = query("fieldSelector"), let only = RequestPath.singleName(selector) { name = only }
        } else if name.isEmpty, verb == "delete" {
            verb = "deletecollection"
        }
    }

    /// The name that `metadata.name=x` alone selects.
    private static func singleName(_ selector: String) -> String? {
        for term in selector.split(separator: ",") {
            for prefix in ["metadata.name==", "metadata.name="] where term.hasPrefix(prefix) {
                let value = String(term.dropFirst(prefix.count))
                return value.isEmpty || value.contains("/") ? nil : value
            }
        }
        return nil
    }

    static func unescape(_ text: Substring) -> String {
        guard text.utf8.contains(0x25) else { return String(text) }
        var out: [UInt8] = []
        var bytes = Array(text.utf8)[...]
        while let byte = bytes.popFirst() {
            if byte == 0x25, bytes.count >= 2, let high = hex(bytes[bytes.startIndex]), let low = hex(bytes[bytes.startIndex + 1]) {
                out.append(high << 4 | low)
                bytes.removeFirst(2)
            } else {
                out.append(byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }
}
